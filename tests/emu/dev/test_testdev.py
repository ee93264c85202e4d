"""The test device of QEMU's pc-testdev: scratch ports, interrupt lines, device memory."""

from emu.clock import Clock
from emu.dev.testdev import HOLD, LINE_PORT, MMIO_BASE, SCRATCH_PORT, TestDevice
from emu.pc import PC, PcHooks


def made() -> tuple[TestDevice, Clock, list[tuple[int, bool]], list[tuple[int, bool]]]:
    clock, apic, pic = Clock(), [], []
    device = TestDevice(clock, lambda *line: apic.append(line), lambda *line: pic.append(line))
    return device, clock, apic, pic


def test_scratch_ports_keep_each_size() -> None:
    device = made()[0]
    device.port_write(SCRATCH_PORT, 4, 0x44332211)
    device.port_write(SCRATCH_PORT + 1, 1, 0xAA)
    assert device.port_read(SCRATCH_PORT, 4) == 0x4433AA11
    assert device.port_read(SCRATCH_PORT + 2, 2) == 0x4433
    device.port_write(SCRATCH_PORT + 3, 2, 0xBBCC)
    assert device.port_read(SCRATCH_PORT, 4) == 0xCC33AA11


def test_a_pulse_reaches_the_io_apic_at_once_and_stays_on_the_8259a() -> None:
    device, clock, apic, pic = made()
    device.port_write(LINE_PORT + 11, 4, 1)
    device.port_write(LINE_PORT + 11, 4, 0)
    assert apic == [(11, True), (11, False)]
    assert pic == [(11, True)]
    clock.skip_to(HOLD)
    clock.run_due()
    assert pic == [(11, True), (11, False)]


def test_raising_again_keeps_the_8259as_line_high() -> None:
    device, clock, _, pic = made()
    for level in (1, 0, 1):
        device.port_write(LINE_PORT + 11, 1, level)
    clock.skip_to(2 * HOLD)
    clock.run_due()
    assert (11, False) not in pic


def test_lines_that_the_8259a_does_not_have() -> None:
    device, _, apic, pic = made()
    for line in (2, 16, 23):
        device.port_write(LINE_PORT + line, 1, 1)
    assert apic == [(2, True), (16, True), (23, True)] and pic == []


def test_save_and_load() -> None:
    device = made()[0]
    device.port_write(SCRATCH_PORT, 2, 0x1234)
    device.mmio_write(0xFFF8, 8, 0x1122334455667788)
    device.port_write(LINE_PORT + 5, 1, 1)
    device.port_write(LINE_PORT + 5, 1, 0)
    other, clock, _, pic = made()
    other.load(device.save())
    assert (other.port_read(SCRATCH_PORT, 2), other.mmio_read(0xFFFC, 4)) == (0x1234, 0x11223344)
    clock.skip_to(HOLD)
    clock.run_due()
    assert pic == [(5, False)]


def test_a_board_has_it_only_if_asked() -> None:
    for present in (False, True):
        reports: list[str] = []
        pc = PC(1 << 20, PcHooks(report=reports.append), test_device=present)
        pc.bus.port_write(LINE_PORT, 1, 1)
        pc.bus.mmio_write(MMIO_BASE, 4, 0x55)
        assert bool(reports) is not present
        if present:
            assert pc.bus.mmio_read(MMIO_BASE, 4) == 0x55
            pc.ioapic.mmio_write(0, 4, 0x10 + 2 * 2)
            pc.reset()
            assert pc.bus.mmio_read(MMIO_BASE, 4) == 0
