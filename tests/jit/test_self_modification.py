"""Stores to decoded code: the next instruction is the new one (SDM Vol. 3A 11.6); one instruction passes at a time."""

import pytest

from jit import exits
from tests.jit.rig import CODE, STACK_TOP, Rig

TF = 1 << 8
OTHER = 0x40000
NOPS = "90" * 8 + "f4"


def decoded_elsewhere(rig: Rig) -> None:
    """Have the page OTHER hold decoded code."""
    rig.set("rip", OTHER + 0x7C0)
    assert rig.run() == exits.HALT


def start(code: str) -> Rig:
    rig = Rig()
    rig.memory.write(OTHER + 0x7C0, bytes.fromhex(NOPS))
    rig.code(code)
    decoded_elsewhere(rig)
    rig.set("rip", CODE)
    return rig


def test_an_instruction_overwrites_the_next_one() -> None:
    rig = start("c60501000000c1 ffc0 f4")                   # MOV byte [rip+1], C1h makes INC ecx of INC eax
    rig.set("rax", 5)
    rig.set("rcx", 5)
    assert rig.run() == exits.HALT
    assert (rig.get("rax"), rig.get("rcx")) == (5, 6)
    assert rig.overwritten == [CODE + 8]


@pytest.mark.parametrize("flags", [2, TF | 2])
def test_a_handler_s_frame_is_not_covered_by_the_pass(flags: int) -> None:
    """A trap after the store pushes its frame over other code: that is a store of its own."""
    rig = start("c60501000000c1 ffc0 f4")
    rig.set("flags", flags)
    rig.set("rsp", OTHER + 0x7D0)
    rig.run(budget=1)
    rig.run(budget=1)
    assert rig.overwritten[0] == CODE + 8
    assert [at & -0x1000 for at in rig.overwritten[1:]] == ([OTHER] if flags & TF else [])
    if flags & TF:
        assert rig.vector() == 1


def test_an_instruction_that_faults_ends_its_pass() -> None:
    """PUSHAD overwrites code, but its last words lie in a page that is not present; the frame of its #PF, on the stack
    of CPL 0, overwrites other code."""
    rig = Rig("pm32", cpl=3, paging=True)
    top = STACK_TOP + 0x800
    for at in (OTHER, top - 16):
        rig.memory.write(at, bytes.fromhex(NOPS))
    rig.code("60")
    for at in (OTHER, top - 16):
        rig.set("rip", at)
        rig.run(budget=2)
    rig.protect(OTHER - 1, 0)
    rig.set("rip", CODE)
    rig.set("rsp", OTHER + 4)
    rig.run(budget=1)
    assert rig.vector() == 14
    assert [at & -0x1000 for at in rig.overwritten] == [OTHER, (top - 16) & -0x1000]
    assert rig.read(OTHER, 4) == 0x90909090
