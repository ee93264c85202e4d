"""The machine's devices, one a file."""

DEVICES = ("16550A UART", "isa-debug-exit", "debug console", "8254 PIT", "MC146818 RTC and CMOS", "8042 and keyboard",
           "8237 DMA registers", "fw_cfg", "i440FX host bridge", "PIIX3 ISA bridge", "PIIX4 power management",
           "ACPI PM timer and PM1", "SMBus", "VGA text mode", "system control ports", "8259 PIC pair",
           "82093AA I/O APIC", "local APIC", "HPET", "virtio-blk", "virtio-console")
