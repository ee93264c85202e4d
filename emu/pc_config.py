"""What a PC's firmware is told about the machine: the RAM layout, CMOS bytes and fw_cfg items."""

from __future__ import annotations

from collections.abc import Sequence

from emu.dev import fwcfg
from emu.dev.fwcfg import FwCfg, e820_table
from emu.dev.rtc import Rtc

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
LOW_RAM_LIMIT = 3 * GIB  # above it lies the hole for PCI, APICs and firmware
HIGH_RAM_BASE = 4 * GIB
MIN_RAM = 1 * MIB
MAX_CPUS = 255
IRQ0_OVERRIDE = 0x8002  # fw_cfg, x86: the PIT is on I/O APIC input 2
DEVICES = EDU, IOMMU = "edu", "intel-iommu"     # that can be plugged in by name (emu/pc_devices.py)
BOOT_DEVICES = {"a": 1, "c": 2, "d": 3, "n": 4}


def ram_layout(ram_size: int) -> list[tuple[int, int]]:
    """(base, size) of each RAM block for `ram_size` bytes: up to 3 GiB from 0, the rest from 4 GiB.

    ValueError unless the size is a multiple of 4 KiB of at least 1 MiB.
    """
    if ram_size < MIN_RAM or ram_size % 4096:
        raise ValueError(f"RAM size {ram_size:#x}: must be a multiple of 4 KiB and at least 1 MiB")
    low = min(ram_size, LOW_RAM_LIMIT)
    return [(0, low)] + ([(HIGH_RAM_BASE, ram_size - low)] if ram_size > low else [])


def fill_cmos(rtc: Rtc, ram_size: int, cpus: int, boot_order: Sequence[str]) -> None:
    """Set the CMOS bytes that PC firmware reads (IBM AT Technical Reference, "CMOS RAM"; SeaBIOS for 0x34 and up).

    `boot_order`: up to three of "a" floppy, "c" disk, "d" CD, "n" network; ValueError for others.
    """
    if len(boot_order) > 3 or any(device not in BOOT_DEVICES for device in boot_order):
        raise ValueError(f"boot order {''.join(boot_order)!r}: up to three of {''.join(BOOT_DEVICES)}")
    low = min(ram_size, LOW_RAM_LIMIT)

    def word(index: int, value: int) -> None:
        rtc.set_cmos(index, value & 0xFF)
        rtc.set_cmos(index + 1, value >> 8)

    word(0x15, 640)
    extended = min((low - MIB) // KIB, 0xFFFF)
    word(0x17, extended)
    word(0x30, extended)
    word(0x34, min(max(low - 16 * MIB, 0) // (64 * KIB), 0xFFFF))
    above = min((ram_size - low) // (64 * KIB), 0xFFFFFF)
    word(0x5B, above & 0xFFFF)
    rtc.set_cmos(0x5D, above >> 16)
    first, second, third = ([BOOT_DEVICES[device] for device in boot_order] + [0, 0, 0])[:3]
    rtc.set_cmos(0x3D, second << 4 | first)
    rtc.set_cmos(0x38, third << 4 | 1)  # bit 0: no signature check of floppies
    rtc.set_cmos(0x5F, cpus - 1)
    rtc.set_cmos(0x10, 0)  # no floppy drives
    rtc.set_cmos(0x12, 0)  # no disks
    rtc.set_cmos(0x14, 0x02)  # equipment: a coprocessor, an adapter with its own BIOS


def fill_fwcfg(device: FwCfg, ram_size: int, cpus: int, serial_console: bool) -> None:
    """Set the items that SeaBIOS and kvm-unit-tests read; more can be added before the run.

    With `serial_console` SeaBIOS shows its text screen on COM1 too.
    """
    device.set_item(fwcfg.UUID, bytes(16))
    device.set_int(fwcfg.RAM_SIZE, ram_size, 8)
    device.set_int(fwcfg.NOGRAPHIC, int(serial_console), 2)
    device.set_int(fwcfg.NB_CPUS, cpus, 2)
    device.set_int(fwcfg.MAX_CPUS, cpus, 2)
    device.set_int(fwcfg.BOOT_MENU, 0, 2)
    device.set_int(IRQ0_OVERRIDE, 1, 4)
    for key in (fwcfg.KERNEL_SIZE, fwcfg.INITRD_SIZE, fwcfg.CMDLINE_SIZE, fwcfg.SETUP_SIZE):
        device.set_int(key, 0, 4)
    device.add_file("etc/e820", e820_table([(base, size, fwcfg.E820_RAM) for base, size in ram_layout(ram_size)]))
