"""A plane's register file as Python sees it."""
import itertools

import pytest

from emu import boot
from emu.engine import Engine
from emu.mem.ram import PhysicalMemory
from emu.plane import Plane
from jit import exits, layout

PUSHF_POP_RAX, CODE, STACK = b"\x9c\x58", 0x1000, 0x3000
STATUS_BITS = (0, 2, 4, 6, 7, 11)


@pytest.fixture(scope="module")
def plane():
    memory = PhysicalMemory(1 << 20)
    memory.add_ram(0, 1 << 20)
    plane = Plane(Engine(memory, mode="interp"))
    plane.set(layout.MODE, layout.MODE_64)
    return plane


def run(plane, code, count):
    """RAX after `count` instructions of 64-bit code."""
    plane.engine.memory.write(CODE, code)
    plane.engine.translator.invalidate(CODE)
    plane.flush()
    for field, value in ((layout.RIP, CODE), (layout.gpr(4), STACK), (layout.BUDGET, count)):
        plane.set(field, value)
    while (status := plane.engine.run(plane.address)) == exits.DECODE:
        plane.engine.translator.decode(plane.get(layout.WALK_GPA), layout.MODE_64, None)
    assert status == exits.EVENT
    return plane.get(layout.gpr(0))


@pytest.mark.parametrize("bits", list(itertools.product((0, 1), repeat=6)))
def test_rflags_as_written_are_what_the_guest_pushes(plane, bits):
    value = 0x202 | sum(bit << place for bit, place in zip(bits, STATUS_BITS, strict=True))
    plane.rflags = value
    assert plane.rflags == value
    assert run(plane, PUSHF_POP_RAX, 2) == value


@pytest.mark.parametrize("code", [
    b"\x48\x31\xc0",                                # xor rax, rax
    b"\xb0\x7f\x04\x01", b"\xb0\xff\x04\x01",       # mov al, 7f or ff; add al, 1
    b"\xb0\x00\x2c\x01", b"\xf9\xfe\xc8",           # mov al, 0; sub al, 1; stc; dec al
])
def test_rflags_after_arithmetic_are_what_the_guest_pushes(plane, code):
    count = 1 if code[0] == 0x48 else 2
    run(plane, code + PUSHF_POP_RAX, count)
    seen = plane.rflags
    assert run(plane, code + PUSHF_POP_RAX, count + 2) == seen


def test_a_reset_leaves_the_machines_clock_alone(plane):
    """What describes the machine is not the guest's state: the TSC goes on counting."""
    before = [plane.get(field) for field in (layout.TSC_SCALE, layout.TSC_RATIO, layout.PHYS_MASK, layout.VENDOR)]
    boot.reset(plane)
    after = [plane.get(field) for field in (layout.TSC_SCALE, layout.TSC_RATIO, layout.PHYS_MASK, layout.VENDOR)]
    assert after == before and before[1] == layout.TSC_RATIO_ONE
