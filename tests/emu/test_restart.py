"""Resets that start the guest again: what is as at power-on, and what is kept (SDM Vol. 3A 9.1.1; TLFS, partition
reset)."""
from pathlib import Path

import pytest

from emu.machine import Machine
from emu.stop import EXIT, RESET
from jit import layout

BUILD = Path(__file__).resolve().parents[2] / "firmware" / "build"
COUNT, DATA = 0x9000, 0x20000
# Counts itself at COUNT; the fourth time it ends the run with what is in the second byte of the image.
BOOT = ("fe042500900000" "803c250090000004" "7405" "{reset}" "ebfe"
        "8a042501000200" "66baf400" "ee")       # inc byte [9000h]; cmp, 4; je; RESET; jmp $; mov al, [20001h]; out
CF9 = "b006" "66baf90c" "ee" "9090909090909090"                             # out 0xcf9, 6
KEYBOARD = "b0fe" "66ba6400" "ee" "9090909090909090"
HV_RESET = "b903000040" "b801000000" "31d2" "0f30"                          # wrmsr RESET, 1


def guest(tmp_path, reset, **options):
    """A program that spoils its image and its MSRs before each reset, at DATA + 0x10."""
    spoil = "c604250100020099" "b977020000" "31c0" "31d2" "0f30"            # mov byte [20001h], 99h; wrmsr PAT, 0
    skip = f"74{len(bytes.fromhex(spoil + reset)) + 2:02x}"
    code = bytes.fromhex(BOOT.format(reset=spoil + reset).replace("7405", skip))
    path = tmp_path / "boot.bin"
    path.write_bytes(b"\xeb\x0e".ljust(16, b"\x07") + code)
    m = Machine(memory=16 << 20, report=lambda line: None, **options)
    m.load(str(path), kind="flat", load_address=DATA, mode=64)
    return m


@pytest.mark.parametrize("engine", ["interp", "blocks"])
@pytest.mark.parametrize(("reset", "planes"), [(CF9, "none"), (KEYBOARD, "none"), (CF9, "vsm"), (HV_RESET, "vsm")])
def test_a_reset_starts_the_guest_again(tmp_path, engine, reset, planes):
    m = guest(tmp_path, reset, engine=engine, planes=planes)
    m.restarts = True
    stop = m.run(max_insns=10_000)
    assert stop.reason == EXIT and stop.status == 0x0E << 1 | 1         # the image's byte, not what was stored there
    assert m.memory.read(COUNT, 1) == b"\x04"                               # other RAM is kept
    assert m.vcpus[0].plane.get(layout.PAT) == 0x0007040600070406


def test_without_restarts_the_run_ends(tmp_path):
    stop = guest(tmp_path, CF9).run(max_insns=10_000)
    assert stop.reason == RESET and "port 0xcf9" in stop.message


def test_instructions_go_on_being_counted(tmp_path):
    m = guest(tmp_path, CF9)
    m.restarts = True
    assert m.run(max_insns=2 * 12 + 2).icount == 26 and m.memory.read(COUNT, 1) == b"\x03"


def test_the_image_of_vtl1_runs_first_again():
    out, debug = bytearray(), bytearray()
    m = Machine(memory=64 << 20, planes="vsm", serial_out=out.extend, debug_out=debug.extend)
    m.restarts = True
    m.load(str(BUILD / "hello.elf"), vtl1=str(BUILD / "vsm_monitor.elf"))
    m.run(max_insns=20_000)
    assert m.vcpus[0].group.active == 0 and not out
    m.vcpus[0].plane.set(layout.RIP, 0x200000)
    m.memory.write(0x200000, bytes.fromhex(HV_RESET))
    stop = m.run(max_insns=10_000_000)
    assert (stop.reason, stop.status) == (EXIT, 1), stop
    assert debug.count(b"hidden from VTL0") == 2 and out
    assert [s["cause"] for s in m.switches].count("start") == 2
    assert m.vcpus[0].lapics[1].svr == 0x1FF
