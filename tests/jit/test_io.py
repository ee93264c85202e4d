"""Port I/O: permission by IOPL and bitmap, string forms (SDM Vol. 1 chapter 19, Vol. 2 IN, OUT, INS, OUTS)."""

import pytest

from jit import exits
from tests.jit.rig import CODE, TSS, Rig

GP, PF = 13, 14


def test_in_and_out_of_each_size() -> None:
    rig = Rig("long")
    rig.set("rax", 0x11223344_55667788)
    rig.set("rdx", 0x1234)
    rig.port_input = [0xAB, 0xCDEF, 0x89ABCDEF]
    rig.step("e660 66ef ef ec", 4)
    assert rig.port_output == [(0x60, 1, 0x88), (0x1234, 2, 0x7788), (0x1234, 4, 0x55667788)]
    assert rig.get("rax") == 0x11223344_556677AB
    rig.step("66ed ed", 2)
    assert rig.get("rax") == 0x89ABCDEF


def bitmap(rig: Rig, port: int, allowed: bool) -> None:
    rig.write(TSS + 0x66, 0x80, 2)
    for at in range(0x80, 0x300):
        rig.write(TSS + at, 0xFF, 1)
    if allowed:
        rig.write(TSS + 0x80 + (port >> 3), ~(1 << (port & 7)), 1)


@pytest.mark.parametrize("mode", ["pm32", "long", "vm86"])
@pytest.mark.parametrize("allowed", [True, False])
def test_bitmap(mode: str, allowed: bool) -> None:
    rig = Rig(mode, cpl=3)
    bitmap(rig, 0x60, allowed)
    rig.step("e660")
    assert bool(rig.port_output) == allowed
    if not allowed:
        assert rig.vector() == GP
        assert rig.read(rig.get("rsp"), 4) == 0


def test_bitmap_needs_every_byte_of_the_port_and_room_in_the_tss() -> None:
    rig = Rig("pm32", cpl=3)
    bitmap(rig, 0x60, True)
    rig.run("e760")                            # four bytes, one allowed
    assert rig.vector() == GP
    rig = Rig("pm32", cpl=3)
    bitmap(rig, 0x60, True)
    rig.set("tr.limit", 0x80 + 0x0C)           # the byte after the port's is beyond the limit
    rig.run("e660")
    assert rig.vector() == GP


def test_iopl_allows_without_bitmap_except_in_virtual_8086_mode() -> None:
    rig = Rig("pm32", cpl=3)
    rig.set("flags", 0x3002)
    rig.step("e660")
    assert rig.port_output
    rig = Rig("vm86")
    rig.set("flags", 0x23002)
    rig.set("tr.limit", 0x66)
    rig.run("e660")
    assert rig.vector() == GP


@pytest.mark.parametrize("mode", ["real", "pm32", "long"])
def test_rep_outs_and_ins_count_each_iteration(mode: str) -> None:
    rig = Rig(mode)
    rig.memory.write(0x6000, b"abc")
    for name, value in (("rcx", 3), ("rsi", 0x6000), ("rdi", 0x7000), ("rdx", 0x60)):
        rig.set(name, value)
    assert rig.step("f36e", 2) == exits.EVENT
    assert (rig.get("rcx"), rig.get("rsi"), rig.get("rip") + rig.get("code_base")) == (1, 0x6002, CODE)
    rig.step()
    assert rig.port_output == [(0x60, 1, c) for c in b"abc"]
    assert rig.get("rip") + rig.get("code_base") == CODE + 2
    rig.set("rcx", 2)
    rig.set("flags", 0x402)
    rig.port_input = [1, 2]
    rig.step("f36d" if mode != "real" else "f3666d", 2)
    assert (rig.read(0x7000, 4), rig.read(0x6FFC, 4), rig.get("rdi"), rig.get("rcx")) == (1, 2, 0x6FF8, 0)


def test_rep_with_count_0_does_nothing() -> None:
    rig = Rig("long")
    rig.set("rcx", 0)
    rig.step("f36e")
    assert (rig.get("rip"), rig.port_output) == (CODE + 2, [])


def test_ins_faults_before_it_reads_the_port() -> None:
    rig = Rig("pm32", cpl=3, paging=True)
    rig.set("flags", 0x3002)
    rig.protect(0x80000, 1)
    rig.set("rdi", 0x80000)
    rig.run("6c")                              # the rig has no input to give
    assert rig.vector() == PF
    assert rig.get("cr2") == 0x80000
