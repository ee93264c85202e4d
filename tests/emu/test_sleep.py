"""S3: what is kept, what wakes the machine, and where it goes on (ACPI specification 6.4, 16.3; PIIX4, 7.2)."""

from pathlib import Path

import pytest

from emu import Machine
from emu.clock import SECOND
from emu.stop import EXIT, RESET
from jit import layout
from tests.emu.load import build

# At 64-bit entry: the waking vector of the FACS = 0x80000; RTC alarm each second, by "do not care" in all three alarm
# bytes and AIE; RTC_EN in PM1 enable; SLP_EN with type 1 in PM1 control; then count at 0x90000 for ever.
KERNEL = bytes.fromhex("c704254c000f0000000800b001e833000000b003e82c000000b005e825000000b00be670b022e671"
                       "66ba020666b8000466ef66ba040666b8002466efff042500000900ebf7e670b0c0e671c3")
WAKING_CODE = bytes.fromhex("b005e6f4")             # mov al, 5; out 0xf4, al
# From the reset vector: CMOS byte 0x0F is 0xFE: exit with what is at 0x500. Else the power-management ports to 0x600,
# 0x55 to 0x500, and the same as above.
FIRMWARE = bytes.fromhex("b00fe670e4713cfe745a66b8400b0080baf80c66ef66b801060000bafc0c66ef66b8800b0080baf8"
                         "0c66efb001bafc0cee31c08ed8c606000555b001e67086c4b0c0e67186c404023c0772f0b00be670"
                         "b022e671ba0206b80004efba0406b80024efebfe31c08ed8a00005e6f4")


def machine(**options) -> Machine:
    return Machine(memory=64 << 20, report=lambda line: None, **options)


def kernel(tmp_path: Path, code: bytes = KERNEL, **options) -> Machine:
    made = machine(**options)
    (tmp_path / "kernel").write_bytes(build.linux(kernel=bytes(0x200) + code.ljust(0x400, b"\x90")))
    made.load(str(tmp_path / "kernel"))
    made.memory.write(0x80000, WAKING_CODE)
    return made


@pytest.mark.parametrize("vcpus", (1, 2))
def test_a_kernel_goes_on_at_its_waking_vector(tmp_path, vcpus):
    """In real mode, with the board reset and RAM as it was; the RTC's next second woke it."""
    made = kernel(tmp_path, vcpus=vcpus)
    made.vcpus[0].msrs.write(0x250, 0)              # a fixed-range MTRR, which the stand-in for firmware sets
    stop = made.run(max_insns=10_000)
    assert (stop.reason, stop.status) == (EXIT, 5 << 1 | 1)
    assert made.memory.read(0x90000, 4) == bytes(4) and SECOND // 2 < made.clock.now < 3 * SECOND // 2
    plane = made.vcpus[0].plane
    assert plane.get(layout.CR0) & 1 == 0 and plane.get(layout.seg(layout.CS)) == 0x8000
    assert made.pc.bus.port_read(0x600, 2) & 0x8400 == 0x8400 and made.pc.bus.port_read(0x602, 2) == 0
    assert made.vcpus[0].msrs.read(0x250) == 0x0606060606060606


def test_firmware_finds_in_cmos_that_it_has_to_wake_the_guest(tmp_path):
    rom = FIRMWARE.ljust(0xFFF0, b"\xf4") + b"\xea\0\0\0\xf0".ljust(16, b"\xf4")
    (tmp_path / "rom").write_bytes(rom)
    made = machine()
    made.load(None, bios=str(tmp_path / "rom"))
    stop = made.run(max_insns=10_000)
    assert (stop.reason, stop.status) == (EXIT, 0x55 << 1 & 0xFF | 1)


def test_without_a_waking_vector_the_machine_resets(tmp_path):
    made = kernel(tmp_path, b"\x90" * 11 + KERNEL[11:])
    stop = made.run(max_insns=10_000)
    assert stop.reason == RESET and "waking vector" in stop.message


def test_nothing_wakes_it_that_is_not_enabled(tmp_path):
    """RTC_EN is clear: the alarm comes every second, and the machine sleeps on."""
    made = kernel(tmp_path, KERNEL.replace(bytes.fromhex("66b80004"), bytes.fromhex("66b80000")))
    assert made.run(max_insns=10_000, timeout=0.3).reason in ("timeout", "halted") and made.pc.acpi_pm.asleep
    made.pc.bus.port_write(0x602, 2, 0x100)
    made.pc.acpi_pm.press_power_button()
    assert made.run(max_insns=10_000).reason == EXIT and made.pc.bus.port_read(0x600, 2) == 0x8100


def test_sleep_is_part_of_a_snapshot(tmp_path):
    """Taken around the 29th instruction, which asks for S3; it happens after that."""
    made = kernel(tmp_path)
    made.run(max_insns=27)
    for _ in range(4):
        state = made.snapshot()
        first = made.run(max_insns=10_000)
        made.restore(state)
        again = made.run(max_insns=10_000)
        assert (first.reason, first.icount) == (EXIT, again.icount) and again.reason == EXIT
        made.restore(state)
        made.run(max_insns=1)
