"""The assembled board: wiring of interrupts, A20, resets, firmware's view, snapshots."""

import struct

import pytest

from emu.dev.i440fx import ShadowSegment
from emu.irq.lapic_msr import GeneralProtection
from emu.pc import PC, PcHooks
from emu.pc_config import GIB, MIB, ram_layout


class Rig:
    def __init__(self, ram: int = 64 * MIB, **options: object) -> None:
        self.reports: list[str] = []
        self.exits: list[int] = []
        self.resets: list[str] = []
        self.off = 0
        self.serial = bytearray()
        self.debug = bytearray()
        self.a20: list[bool] = []
        self.shadow: list[list[ShadowSegment]] = []
        self.signals: list[tuple[int, str, int]] = []
        self.notified: set[int] = set()
        self.pc = PC(
            ram,
            PcHooks(
                report=self.reports.append,
                request_exit=self.exits.append,
                request_reset=self.resets.append,
                power_off=self._off,
                serial=self.serial.append,
                debug=self.debug.append,
                a20=self.a20.append,
                shadow=self.shadow.append,
                interrupt=self.notified.add,
                signal=lambda *signal: self.signals.append(signal),
            ),
            **options,  # type: ignore[arg-type]
        )
        self.bus = self.pc.bus

    def _off(self) -> None:
        self.off += 1

    def out(self, port: int, value: int, size: int = 1) -> None:
        self.bus.port_write(port, size, value)

    def inb(self, port: int) -> int:
        return self.bus.port_read(port, 1)

    def wait(self, ns: int) -> None:
        end = self.pc.clock.now + ns
        while (deadline := self.pc.clock.next_deadline()) is not None and deadline <= end:
            self.pc.clock.skip_to(deadline)
            self.pc.clock.run_due()
        self.pc.clock.skip_to(end)

    def pic(self) -> None:
        for port, values in ((0x20, (0x11,)), (0x21, (0x20, 4, 1, 0)), (0xA0, (0x11,)), (0xA1, (0x28, 2, 1, 0))):
            for value in values:
                self.out(port, value)

    def pit(self, divisor: int) -> None:
        self.out(0x43, 0x34)
        self.out(0x40, divisor & 0xFF)
        self.out(0x40, divisor >> 8)

    def cmos(self, index: int) -> int:
        self.out(0x70, index)
        return self.inb(0x71)

    def pci(self, dev: int, fn: int, offset: int, value: int, size: int = 4) -> None:
        self.out(0xCF8, 1 << 31 | dev << 11 | fn << 8 | offset & 0xFC, 4)
        self.out(0xCFC + (offset & 3), value, size)

    def ioapic(self, pin: int, low: int) -> None:
        self.bus.mmio_write(0xFEC00000, 4, 0x10 + 2 * pin)
        self.bus.mmio_write(0xFEC00010, 4, low)


@pytest.fixture
def r() -> Rig:
    return Rig()


def test_timer_interrupt_reaches_vcpu_0_through_the_8259(r: Rig) -> None:
    r.pic()
    r.pit(1193)
    lapic = r.pc.lapics[0]
    assert not lapic.pending()
    r.notified.clear()
    r.wait(1_100_000)
    assert lapic.pending() and 0 in r.notified
    assert lapic.acknowledge() == 0x20 and not lapic.pending()


def test_timer_interrupt_through_ioapic_pin_2(r: Rig) -> None:
    r.pc.mmio_write(r.pc.lapics[0], 0xFEE000F0, 4, 0x1FF)
    r.ioapic(2, 0x51)
    r.pit(1193)
    r.wait(1_100_000)
    assert r.pc.lapics[0].acknowledge() == 0x51


def test_uart_irq_4_and_serial_output(r: Rig) -> None:
    r.pic()
    for byte in b"hi":
        r.out(0x3F8, byte)
    r.out(0x3FC, 0x08)
    r.out(0x3F9, 0x02)
    assert r.serial == b"hi" and r.pc.lapics[0].acknowledge() == 0x24


def test_rtc_irq_8_and_keyboard_irq_1(r: Rig) -> None:
    r.pic()
    r.out(0x70, 0x0B)
    r.out(0x71, 0x12)
    r.wait(10**9)
    assert r.pc.lapics[0].acknowledge() == 0x28
    r.out(0xA0, 0x20)
    r.out(0x20, 0x20)
    r.pc.i8042.key(b"\x1c")
    assert r.pc.lapics[0].acknowledge() == 0x21


def test_level_interrupt_is_ended_by_the_lapic_eoi(r: Rig) -> None:
    r.pc.mmio_write(r.pc.lapics[0], 0xFEE000F0, 4, 0x1FF)
    r.ioapic(9, 0x8061)
    r.pc.acpi_pm.enable_acpi(True)
    r.pc.acpi_pm.base = 0x600
    r.pc.acpi_pm.port_write(0x602, 2, 0x0100)
    r.pc.acpi_pm.press_power_button()
    assert r.pc.lapics[0].acknowledge() == 0x61
    r.pc.mmio_write(r.pc.lapics[0], 0xFEE000B0, 4, 0)
    assert r.pc.lapics[0].acknowledge() == 0x61, "the line is still asserted"
    r.pc.acpi_pm.port_write(0x600, 2, 0x0100)
    r.pc.mmio_write(r.pc.lapics[0], 0xFEE000B0, 4, 0)
    assert not r.pc.lapics[0].pending()


def test_each_vcpu_sees_its_own_lapic() -> None:
    r = Rig(cpus=3)
    assert r.pc.mmio_read(r.pc.lapics[2], 0xFEE00020, 4) == 2 << 24
    r.pc.mmio_write(r.pc.lapics[2], 0xFEE00300, 4, 0xC4500)
    assert r.signals == [(0, "init", 0), (1, "init", 0)]


def test_a_local_apic_can_be_moved(r: Rig) -> None:
    """SDM Vol. 3A 11.4.5; there it covers what the chipset has."""
    r.pc.lapic_msrs[0].msr_write(0x1B, 0xFEC00900)
    assert r.pc.mmio_read(r.pc.lapics[0], 0xFEE00030, 4) == 0xFFFFFFFF
    assert r.pc.mmio_read(r.pc.lapics[0], 0xFEC00030, 4) == r.pc.lapics[0].read_register(0x30)
    assert r.reports == []


def test_the_page_is_gone_while_disabled_and_in_x2apic_mode(r: Rig) -> None:
    for base in (0xFEE00100, 0xFEE00900, 0xFEE00D00):
        r.pc.lapic_msrs[0].msr_write(0x1B, base)
        present = base == 0xFEE00900
        assert (r.pc.mmio_read(r.pc.lapics[0], 0xFEE00030, 4) != 0xFFFFFFFF) is present


def test_a_processor_without_x2apic_refuses_the_mode() -> None:
    """SDM Vol. 3A 11.12.1: the bit is reserved then."""
    r = Rig(x2apic=False)
    with pytest.raises(GeneralProtection):
        r.pc.lapic_msrs[0].msr_write(0x1B, 0xFEE00D00)


def test_nmi_line(r: Rig) -> None:
    r.pc.nmi()
    r.pc.nmi()
    assert r.signals == [(0, "nmi", 2)] * 2


def test_a20_is_one_gate(r: Rig) -> None:
    r.out(0x64, 0xD1)
    r.out(0x60, 0xDD)
    assert r.a20[-1] is False and r.inb(0x92) == 0
    r.out(0x92, 2)
    assert r.a20[-1] is True
    r.out(0x64, 0xD0)
    assert r.inb(0x60) & 2


def test_three_ways_to_reset(r: Rig) -> None:
    r.out(0x64, 0xFE)
    r.out(0x92, 3)
    r.out(0xCF9, 6)
    assert r.resets == ["keyboard controller", "port 0x92", "port 0xcf9"]


def test_exit_debug_and_harmless_ports(r: Rig) -> None:
    r.out(0xF4, 3)
    r.out(0x402, ord("x"))
    r.out(0xE9, ord("y"))
    for port in (0x80, 0xED, 0x61, 0x92, 0x3F4, 0x1F7, 0x87, 0x3DA):
        r.inb(port)
    assert r.exits == [7] and r.debug == b"xy" and r.inb(0x402) == 0xE9 and r.reports == []
    r.inb(0x1234)
    assert len(r.reports) == 1


def test_there_is_no_register_block_of_hot_plug_processors(r: Rig) -> None:
    """Firmware that selects a processor and asks for a command's result must not read 0, which says that it worked."""
    r.bus.port_write(0xAF00, 4, 0)
    r.bus.port_write(0xAF05, 1, 0)
    assert r.bus.port_read(0xAF00, 4) == 0xFFFFFFFF


def test_speaker_port_times_counter_2(r: Rig) -> None:
    r.out(0x61, 0x01)
    r.out(0x43, 0xB0)
    r.out(0x42, 0xA9)
    r.out(0x42, 0x04)
    assert not r.inb(0x61) & 0x20
    r.wait(1_001_000)
    assert r.inb(0x61) & 0x20


def test_cmos_memory_sizes() -> None:
    r = Rig(5 * GIB, cpus=4)
    assert (r.cmos(0x15), r.cmos(0x16)) == (0x80, 0x02)
    assert (r.cmos(0x17), r.cmos(0x18), r.cmos(0x30), r.cmos(0x31)) == (0xFF,) * 4
    assert r.cmos(0x34) | r.cmos(0x35) << 8 == (3 * GIB - 16 * MIB) >> 16
    assert r.cmos(0x5B) | r.cmos(0x5C) << 8 | r.cmos(0x5D) << 16 == 2 * GIB >> 16
    assert r.cmos(0x5F) == 3 and r.cmos(0x3D) == 0x32
    small = Rig(4 * MIB)
    assert small.cmos(0x30) | small.cmos(0x31) << 8 == 3072 and small.cmos(0x34) == 0


def test_fwcfg_e820_and_counts() -> None:
    r = Rig(5 * GIB, cpus=2)

    def item(key: int, size: int) -> bytes:
        r.out(0x510, key, 2)
        return bytes(r.inb(0x511) for _ in range(size))

    assert item(0, 4) == b"QEMU" and item(5, 2) == b"\2\0" and item(3, 8) == struct.pack("<Q", 5 * GIB)
    assert item(0x20, 40) == struct.pack("<QQIQQI", 0, 3 * GIB, 1, 4 * GIB, 2 * GIB, 1)


def test_pm_block_moves_with_its_base_and_powers_off(r: Rig) -> None:
    r.pci(1, 3, 0x40, 0x601)
    r.pci(1, 3, 0x80, 1, 1)
    r.wait(10**9)
    assert r.bus.port_read(0x608, 4) == 3_579_545
    r.pci(1, 3, 0x40, 0xB001)
    assert r.bus.port_read(0x608, 4) == 0xFFFFFFFF and r.bus.port_read(0xB008, 4) == 3_579_545
    r.out(0xB004, 0x2000, 2)
    assert r.off == 1
    r.pci(1, 3, 0x40, 0x3C1)
    assert "covers another device" in r.reports[-1]
    r.pci(1, 3, 0x40, 0x601)
    assert r.bus.port_read(0x608, 4) == 3_579_545


def test_shadow_segments_reach_the_machine(r: Rig) -> None:
    r.pci(0, 0, 0x59, 0x30, 1)
    assert r.shadow[-1][-1] == ShadowSegment(0xF0000, 0x10000, True, True)


def test_reset_restores_the_board_and_keeps_cmos(r: Rig) -> None:
    r.out(0x70, 0x40)
    r.out(0x71, 0x77)
    r.pci(0, 0, 0x59, 0x30, 1)
    r.out(0x3FB, 0x80)
    r.pc.reset()
    assert r.cmos(0x40) == 0x77 and r.inb(0x3FB) == 0 and not r.shadow[-1][-1].read_ram


@pytest.mark.parametrize("options", [{"cpus": 0}, {"cpus": 256}, {"boot_order": "x"}, {"ram": 4096}, {"ram": MIB + 1}])
def test_bad_options_are_named(options: dict) -> None:
    with pytest.raises(ValueError, match="vCPU count|boot order|RAM size"):
        Rig(**options)


def test_ram_layout() -> None:
    assert ram_layout(64 * MIB) == [(0, 64 * MIB)]
    assert ram_layout(4 * GIB) == [(0, 3 * GIB), (4 * GIB, GIB)]


def test_snapshot_round_trip(r: Rig) -> None:
    r.pic()
    r.pit(1000)
    r.pci(1, 3, 0x40, 0x601)
    r.pci(1, 3, 0x80, 1, 1)
    r.out(0x3FC, 0x08)
    r.out(0x3F9, 0x02)
    r.bus.mmio_write(0xB8000, 2, 0x0741)
    r.wait(1_234_567)
    other = Rig()
    other.pc.load(r.pc.save())
    assert other.pc.save() == r.pc.save()
    assert other.pc.clock.next_deadline() == r.pc.clock.next_deadline()
    r.wait(5_000_000)
    other.wait(5_000_000)
    assert other.pc.save() == r.pc.save()
    assert other.bus.port_read(0x608, 4) == r.bus.port_read(0x608, 4)
