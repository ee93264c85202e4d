"""A PC: bus, clock, interrupt controllers and devices of an i440FX board, wired together.

The processor, RAM and ROM belong to the machine that owns this; it is told through `PcHooks` what concerns it.
Addresses and IRQ numbers are the PC/AT's and QEMU's "pc" machine's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from emu.clock import Clock, ClockModel
from emu.dev import fwcfg, rtc, testdev
from emu.dev.acpipm import BLOCK_SIZE as PM_BLOCK_SIZE
from emu.dev.acpipm import AcpiPm, ApmControl
from emu.dev.coprocessor import COPROCESSOR_PORT, COPROCESSOR_PORTS, CoprocessorError
from emu.dev.debugcon import BOCHS_PORT, FIRMWARE_PORT, DebugConsole
from emu.dev.debugexit import DEBUG_EXIT_PORT, DebugExit
from emu.dev.dma import MASTER_BASE, PAGE_BASE, SLAVE_BASE, DmaController, DmaPages
from emu.dev.fwcfg import FwCfg
from emu.dev.hpet import HPET_BASE, HPET_SIZE, Hpet
from emu.dev.i440fx import HostBridge, ShadowSegment
from emu.dev.i8042 import COMMAND, DATA, I8042
from emu.dev.pci import ADDRESS_PORT, PciBus
from emu.dev.pci_memory import PciMemory
from emu.dev.piix import IsaBridge, PowerManagement
from emu.dev.pirq import PirqRouter
from emu.dev.pit import PIT_BASE, Pit
from emu.dev.ps2keyboard import Ps2Keyboard
from emu.dev.rtc import Rtc
from emu.dev.smbus import BLOCK_SIZE as SMBUS_BLOCK_SIZE
from emu.dev.smbus import SmbusHost
from emu.dev.system_control import (
    DELAY_PORT,
    PORT_A,
    POST_PORT,
    SPEAKER_PORT,
    Absent,
    Latch,
    SpeakerControl,
    SystemControlA,
)
from emu.dev.testdev import LINE_PORT, LINES, MMIO_BASE, MMIO_SIZE, SCRATCH_PORT, TestDevice
from emu.dev.uart import Uart
from emu.dev.vga import FIRST_PORT, FRAME_BUFFER, FRAME_BUFFER_SIZE, PORTS, Vga
from emu.dev.virtio.disk import Disk
from emu.dev.virtio.slots import VirtioSlots
from emu.irq.apicbus import ApicBus
from emu.irq.ioapic import IOAPIC_BASE, IoApic
from emu.irq.lapic import DEFAULT_BASE, LocalApic
from emu.irq.lapic_msr import LapicMsrs
from emu.irq.pic import ELCR_MASTER, MASTER_COMMAND, SLAVE_COMMAND, PicPair
from emu.mem.bus import Bus
from emu.pc_config import MAX_CPUS, fill_cmos, fill_fwcfg, ram_layout
from emu.pc_devices import plug

COM1 = 0x3F8
APIC_PAGE = 0x1000
IRQ_TIMER, IRQ_KEYBOARD, IRQ_COM1, IRQ_RTC, IRQ_SCI, IRQ_AUX, IRQ_COPROCESSOR = 0, 1, 4, 8, 9, 12, 13
TIMER_IOAPIC_PIN = 2

# (first port, count, name, value read): probed by firmware and kernels, and known not to be there.
ABSENT_PORTS = (
    (0x02E, 2, "super I/O (0x2e)", 0xFF), (0x04E, 2, "super I/O (0x4e)", 0xFF),
    (0x170, 8, "secondary IDE", 0xFF), (0x1F0, 8, "primary IDE", 0xFF), (0x376, 1, "secondary IDE control", 0xFF),
    (0x3F6, 1, "primary IDE control", 0xFF), (0x3F0, 6, "floppy controller", 0xFF),
    (0x3F7, 1, "floppy controller input", 0xFF), (0x200, 8, "game port", 0xFF),
    (0x278, 3, "LPT2", 0xFF), (0x378, 3, "LPT1", 0xFF), (0x279 + 0x800, 1, "ISA PnP write data", 0xFF),
    (0x2E8, 8, "COM4", 0xFF), (0x2F8, 8, "COM2", 0xFF), (0x3E8, 8, "COM3", 0xFF),
    (0x5658, 2, "VMware backdoor", 0xFF), (0xAE00, 0x18, "PCI hot plug", 0x00), (0xAF00, 0x20, "CPU hot plug", 0xFF),
    (0xAFE0, 4, "general-purpose events", 0x00),
)  # fmt: skip
ABSENT_MMIO = (
    (0xC0000, 0x30000, "expansion ROMs"),
    (0xFED40000, 0x5000, "TPM"),
)


def _ignore(*_: Any) -> None:
    """A hook that nobody needs."""


def _no_memory(*_: Any) -> Any:
    raise ValueError("no memory is attached")


def _ioapic_pin(irq: int) -> int:
    """Where a line is on the I/O APIC: the timer on input 2, the others on that of their number."""
    return TIMER_IOAPIC_PIN if irq == IRQ_TIMER else irq


@dataclass
class PcHooks:
    """What a PC asks of its machine. All but `report` default to doing nothing.

    `interrupt(vcpu)`: what `lapics[vcpu].pending()` answers may have changed. `signal(vcpu, kind, vector)`: an NMI,
    SMI, INIT or start-up IPI, kind "nmi" | "smi" | "init" | "sipi". `request_reset(source)`: the guest asked for a
    reset by the named means. `suspend()`: S3 begins, if it gives True; `wake()`: it ends, so everything but RAM, CMOS
    and time is to be reset. `shadow(segments)`: how 0xC0000-0xFFFFF reads and writes RAM. `smram(register)`: the host
    bridge's SMRAM register. `read_memory(gpa, size)` and `write_memory(gpa, data)` raise ValueError outside RAM.
    """

    report: Callable[[str], None]
    request_exit: Callable[[int], None] = _ignore
    request_reset: Callable[[str], None] = _ignore
    power_off: Callable[[], None] = _ignore
    suspend: Callable[[], bool] = bool
    wake: Callable[[], None] = _ignore
    serial: Callable[[int], None] = _ignore
    debug: Callable[[int], None] = _ignore
    post_code: Callable[[int], None] = _ignore
    interrupt: Callable[[int], None] = _ignore
    signal: Callable[[int, str, int], None] = _ignore
    a20: Callable[[bool], None] = _ignore
    shadow: Callable[[list[ShadowSegment]], None] = _ignore
    smram: Callable[[int], None] = _ignore
    read_memory: Callable[[int, int], bytes] = _no_memory
    write_memory: Callable[[int, bytes], None] = _no_memory


class PC:
    """The board. Public parts: `clock`, `bus`, `lapics`, `lapic_msrs`, and each device by its name."""

    def __init__(
        self,
        ram_size: int,
        hooks: PcHooks,
        *,
        cpus: int = 1,
        clock_model: ClockModel | None = None,
        rtc_start: int = rtc.DEFAULT_START,
        boot_order: str = "cd",
        vga_memory: bytearray | memoryview | None = None,
        virtual_wire: bool = True,
        serial_console: bool = True,
        address_bits: int = 48,
        x2apic: bool = True,
        test_device: bool = False,
        disks: Sequence[Disk] = (),
        virtio_console: bool = False,
        devices: Sequence[str] = (),
    ) -> None:
        """Build and reset the board. ValueError names the option that is out of range.

        `virtual_wire`: vCPU 0 starts with LINT0 = ExtINT and LINT1 = NMI, as firmware leaves it.
        `serial_console`: firmware mirrors its text screen to COM1. `address_bits`: MAXPHYADDR. `x2apic`: the
        processors have that mode. `test_device`: with the ports and memory of emu/dev/testdev.py.
        `disks`: one virtio block device each. `virtio_console`: with that device, too. `devices`: names in
        emu.pc_config.DEVICES.
        """
        if not 1 <= cpus <= MAX_CPUS:
            raise ValueError(f"vCPU count {cpus}: must be 1 to {MAX_CPUS}")
        self.ram = ram_layout(ram_size)
        self.hooks = hooks
        self.clock = Clock(clock_model)
        self.bus = Bus(hooks.report)
        self._pm_base: int | None = None
        self._smbus_base: int | None = None
        self._build_interrupts(cpus, virtual_wire, address_bits, x2apic)
        self._build_chipset(rtc_start, ram_size)
        self._build_peripherals(vga_memory)
        self._devices: dict[str, Any] = {
            "uart": self.uart, "debug_exit": self.debug_exit, "hpet": self.hpet, "pit": self.pit,
            "speaker": self.speaker,
            "rtc": self.rtc, "i8042": self.i8042, "port_a": self.port_a, "coprocessor": self.coprocessor,
            "post": self.post, "delay": self.delay,
            "dma_slave": self.dma[0], "dma_master": self.dma[1], "dma_pages": self.dma_pages, "fwcfg": self.fwcfg,
            "acpi_pm": self.acpi_pm, "apm": self.apm, "smbus": self.smbus, "pci": self.pci, "vga": self.vga,
        }  # fmt: skip
        slots = VirtioSlots(self.pci, self.pirqs, PciMemory(self.bus, hooks.report), hooks.read_memory,
                            hooks.write_memory, hooks.report)
        slots.add_disks(disks)
        self.console = slots.add_console(hooks.serial) if virtio_console else None
        self.iommu = plug(self, slots, devices)
        if self.iommu is not None:
            self._devices["iommu"] = self.iommu
        self._claim()
        if test_device:
            self._add_test_device()
        fill_cmos(self.rtc, ram_size, cpus, boot_order)
        fill_fwcfg(self.fwcfg, ram_size, cpus, serial_console)
        self.reset()

    # -- construction --

    def _build_interrupts(self, cpus: int, virtual_wire: bool, address_bits: int, x2apic: bool) -> None:
        hooks = self.hooks
        self.apic_bus = ApicBus(hooks.report)
        self.lapics: list[LocalApic] = []
        self.interrupted = lambda: self.lapics[0]       # whose LINT0 the INTR pin is wired to
        self.pic = PicPair(self._intr, hooks.report)
        self.ioapic = IoApic(self.apic_bus.send)
        for index in range(cpus):
            lapic = LocalApic(
                index,
                self.clock,
                send=self.apic_bus.send,
                notify=lambda index=index: hooks.interrupt(index),  # type: ignore[misc]
                signal=lambda kind, vector, index=index: hooks.signal(index, kind, vector),  # type: ignore[misc]
                eoi=self.ioapic.eoi,
                extint=self.pic.acknowledge,
                bsp=index == 0,
                virtual_wire=virtual_wire and index == 0,
            )
            self.apic_bus.attach(lapic)
            self.lapics.append(lapic)
        self.lapic_msrs = [LapicMsrs(lapic, address_bits, x2apic) for lapic in self.lapics]

    def _build_chipset(self, rtc_start: int, ram_size: int) -> None:
        hooks = self.hooks
        self.hpet = Hpet(self.clock, self.ioapic.set_irq, self._line(IRQ_TIMER), self._line(IRQ_RTC))
        self.pit = Pit(self.clock, self.hpet.pit_line)
        self.speaker = SpeakerControl(self.clock, lambda gate: self.pit.set_gate(2, gate), lambda: self.pit.out(2))
        self.rtc = Rtc(self.clock, self._rtc_line, rtc_start)
        self.port_a = SystemControlA(self._set_a20, lambda: hooks.request_reset("port 0x92"))
        self.coprocessor = CoprocessorError(self._line(IRQ_COPROCESSOR))
        self.post, self.delay = Latch(hooks.post_code), Latch()
        self.dma = (DmaController(SLAVE_BASE, 1), DmaController(MASTER_BASE, 2))
        self.dma_pages = DmaPages()
        self.acpi_pm = AcpiPm(self.clock, self._line(IRQ_SCI), hooks.power_off, hooks.report, hooks.suspend, hooks.wake)
        self.apm = ApmControl(self.acpi_pm.enable_acpi, self._apm_smi, hooks.report)
        self.smbus = SmbusHost()
        self.pci = PciBus(lambda: hooks.request_reset("port 0xcf9"))
        self.pci.add(0, 0, HostBridge(hooks.shadow, hooks.smram))
        bridge = IsaBridge()
        self.pci.add(1, 0, bridge)
        self.pirqs = PirqRouter(bridge, lambda irq, level: self._line(irq)(level))
        self.power = PowerManagement(self._pm_moved, self._smbus_moved)
        self.pci.add(1, 3, self.power)
        self.fwcfg = FwCfg(hooks.read_memory, hooks.write_memory, hooks.report)

    def _build_peripherals(self, vga_memory: bytearray | memoryview | None) -> None:
        hooks = self.hooks
        self.uart = Uart(self.clock, COM1, self._line(IRQ_COM1), hooks.serial)
        self.debug_exit = DebugExit(hooks.request_exit)
        self.debug_console = DebugConsole(hooks.debug)
        self.keyboard = Ps2Keyboard()
        self.i8042 = I8042(
            self.keyboard,
            self._line(IRQ_KEYBOARD),
            self._line(IRQ_AUX),
            self._set_a20,
            lambda: hooks.request_reset("keyboard controller"),
            hooks.report,
        )
        self.vga = Vga(self.clock, vga_memory)

    def _claim(self) -> None:
        bus = self.bus
        for first, count, device, name in (
            (MASTER_COMMAND, 2, self.pic, "8259A master"), (SLAVE_COMMAND, 2, self.pic, "8259A slave"),
            (ELCR_MASTER, 2, self.pic, "edge/level control"), (PIT_BASE, 4, self.pit, "8254 timer"),
            (SPEAKER_PORT, 1, self.speaker, "NMI status and speaker"), (0x70, 2, self.rtc, "real-time clock"),
            (COPROCESSOR_PORT, COPROCESSOR_PORTS, self.coprocessor, "coprocessor error"),
            (PORT_A, 1, self.port_a, "system control port A"), (POST_PORT, 1, self.post, "POST code"),
            (DELAY_PORT, 1, self.delay, "delay port"), (SLAVE_BASE, 16, self.dma[0], "DMA 0-3"),
            (MASTER_BASE, 32, self.dma[1], "DMA 4-7"), (PAGE_BASE, 15, self.dma_pages, "DMA pages"),
            (DATA, 1, self.i8042, "keyboard data"), (COMMAND, 1, self.i8042, "keyboard command"),
            (COM1, 8, self.uart, "COM1"), (DEBUG_EXIT_PORT, 4, self.debug_exit, "debug exit"),
            (BOCHS_PORT, 1, self.debug_console, "debug console"),
            (FIRMWARE_PORT, 1, self.debug_console, "firmware debug console"),
            (fwcfg.SELECTOR_PORT, 2, self.fwcfg, "fw_cfg"), (fwcfg.DMA_PORT, 8, self.fwcfg, "fw_cfg DMA"),
            (ADDRESS_PORT, 8, self.pci, "PCI configuration"), (ApmControl.COMMAND_PORT, 2, self.apm, "APM control"),
            (FIRST_PORT, PORTS, self.vga, "VGA"),
        ):  # fmt: skip
            bus.add_ports(first, count, device, name)
        for first, count, name, value in ABSENT_PORTS:
            bus.add_ports(first, count, Absent(name, value), name)
        bus.add_mmio(FRAME_BUFFER, FRAME_BUFFER_SIZE, self.vga, "VGA frame buffer")
        bus.add_mmio(HPET_BASE, HPET_SIZE, self.hpet, "HPET")
        bus.add_mmio(IOAPIC_BASE, 0x1000, self.ioapic, "I/O APIC")
        bus.add_mmio(DEFAULT_BASE, APIC_PAGE, Absent("local APIC", 0xFF), "local APIC")
        for base, size, name in ABSENT_MMIO:
            bus.add_mmio(base, size, Absent(name), name)

    def _add_test_device(self) -> None:
        device = TestDevice(self.clock, lambda line, level: self.ioapic.set_irq(_ioapic_pin(line), level),
                            self.pic.set_irq)
        self._devices["test"] = device
        self.bus.add_ports(SCRATCH_PORT, testdev.PORTS, device, "test device")
        self.bus.add_ports(LINE_PORT, LINES, device, "test device's interrupt lines")
        self.bus.add_mmio(MMIO_BASE, MMIO_SIZE, device, "test device's memory")

    @property
    def low_ram(self) -> int:
        """Bytes of RAM below 4 GiB."""
        return self.ram[0][1]

    # -- memory-mapped accesses --

    def mmio_read(self, lapic: LocalApic, gpa: int, size: int) -> int:
        """A load by the vCPU (and plane) whose local APIC is given: that one's page covers what else is there, wherever
        IA32_APIC_BASE puts it outside RAM (SDM Vol. 3A 11.4.5)."""
        if lapic.covers(gpa):
            return lapic.mmio_read(gpa % APIC_PAGE, size)
        return self.bus.mmio_read(gpa, size)

    def mmio_write(self, lapic: LocalApic, gpa: int, size: int, value: int) -> None:
        """A store, likewise."""
        if lapic.covers(gpa):
            lapic.mmio_write(gpa % APIC_PAGE, size, value)
        else:
            self.bus.mmio_write(gpa, size, value)

    # -- wiring --

    def _line(self, irq: int) -> Callable[[bool], None]:
        """An ISA interrupt line: it reaches the 8259A pair and the I/O APIC."""
        pin = _ioapic_pin(irq)

        def drive(level: bool) -> None:
            self.pic.set_irq(irq, level)
            self.ioapic.set_irq(pin, level)

        return drive

    def _rtc_line(self, level: bool) -> None:
        """The RTC's interrupt goes to the HPET, which may replace it, and to power management."""
        self.hpet.rtc_line(level)
        self.acpi_pm.rtc_line(level)

    def _intr(self, level: bool) -> None:
        if self.lapics:
            self.interrupted().set_lint(0, level)

    def _apm_smi(self) -> bool:
        """Port 0xB2 was written: an SMI of vCPU 0, if firmware wants one."""
        if self.power.smi_enabled:
            self.hooks.signal(0, "smi", 0)
        return self.power.smi_enabled

    def may_raise_nmi(self) -> bool:
        """Whether some device's interrupt would arrive as an NMI, by the I/O APIC's table or LINT0."""
        return self.ioapic.raises_nmi() or any(lapic.lint0_is_nmi() for lapic in self.lapics)

    def nmi(self) -> None:
        """Pulse the NMI line, LINT1 of vCPU 0."""
        self.lapics[0].set_lint(1, True)
        self.lapics[0].set_lint(1, False)

    def _set_a20(self, enabled: bool) -> None:
        # Keyboard controller and port 0x92 act on one gate; each shows what the other did.
        self.port_a.set_a20(enabled)
        self.i8042.set_a20(enabled)
        self.hooks.a20(enabled)

    def _pm_moved(self, base: int | None) -> None:
        self._pm_base = self._move(self._pm_base, base, PM_BLOCK_SIZE, self.acpi_pm, "ACPI power management")

    def _smbus_moved(self, base: int | None) -> None:
        self._smbus_base = self._move(self._smbus_base, base, SMBUS_BLOCK_SIZE, self.smbus, "SMBus host")

    def _move(self, old: int | None, new: int | None, count: int, device: Any, name: str) -> int | None:
        """Move a relocatable port block; where it would cover something it is reported and stays unmapped."""
        if new == old:
            return old
        if old is not None:
            self.bus.remove_ports(old, count)
        if new is None:
            return None
        if not self.bus.ports_free(new, count):
            self.hooks.report(f"{name}: I/O base {new:#x} covers another device; not mapped")
            return None
        device.base = new
        self.bus.add_ports(new, count, device, name)
        return new

    # -- state --

    def reset(self) -> None:
        """Board reset: every device, then the interrupt controllers. RAM, CMOS and time stay."""
        for device in self._devices.values():
            device.reset()
        self.pic.reset()
        self.ioapic.reset()
        for lapic in self.lapics:
            lapic.reset()
        self.hooks.a20(True)

    def save(self) -> dict[str, Any]:
        """Plain data for a snapshot."""
        state: dict[str, Any] = {name: device.save() for name, device in self._devices.items()}
        state.update(clock=self.clock.save(), pic=self.pic.save(), ioapic=self.ioapic.save())
        state["lapics"] = [lapic.save() for lapic in self.lapics]
        return state

    def load(self, state: dict[str, Any]) -> None:
        """Restore a snapshot of a board built with the same options.

        Interrupt controllers come last: restoring a device drives its line, which must not count as an edge.
        """
        self.clock.load(state["clock"])
        for name, device in self._devices.items():
            device.load(state[name])
        self.ioapic.load(state["ioapic"])
        self.pic.load(state["pic"])
        for lapic, saved in zip(self.lapics, state["lapics"], strict=True):
            lapic.load(saved)
        self.fwcfg.settle()
