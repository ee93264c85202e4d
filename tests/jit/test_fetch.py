"""Limits on instruction fetch: CS.limit, instruction length, canonical addresses (SDM Vol. 3A 5.3, Vol. 2A 2.3.11)."""

import pytest

from jit import exits
from tests.jit.rig import CODE, KCODE, STACK, Rig, descriptor

GP = 13


def test_running_past_the_limit_faults_at_the_first_instruction_beyond() -> None:
    rig = Rig("pm32")
    rig.set("cs.limit", CODE + 2)
    rig.set("cs.attr", 0x409B)
    rig.plane.update_mode()
    rig.set("rax", 0)
    rig.run("40 40 40 40")
    assert rig.get("rax") == 3
    assert rig.vector() == GP
    assert rig.words(rig.get("rsp"), 2, 4) == [0, CODE + 3]


def test_an_instruction_that_straddles_the_limit_does_nothing() -> None:
    rig = Rig("pm32")
    rig.set("cs.limit", CODE + 3)
    rig.set("cs.attr", 0x409B)
    rig.plane.update_mode()
    rig.run("40 b8 01000000")
    assert rig.get("rax") == 1
    assert rig.words(rig.get("rsp"), 2, 4) == [0, CODE + 1]


def test_ip_does_not_wrap_in_real_mode() -> None:
    rig = Rig("real")
    rig.code("9090", CODE + 0xFFFE)
    rig.set("rip", 0xFFFE)
    rig.run()
    assert rig.vector() == GP
    assert rig.read(STACK + rig.get("rsp"), 2) == 0     # 0x10000, of which 16 bits are pushed


def test_the_same_linear_address_under_another_limit_is_checked_again() -> None:
    """Code cached for one segment must not be reached through one that ends before it."""
    rig = Rig("pm32")
    rig.entry(0x40, descriptor(limit=0x1FFFF, attributes=0x409A))
    rig.entry(0x48, descriptor(limit=CODE + 0xFF, attributes=0x409A))
    target = CODE + 0x100
    rig.code("c3", target)
    rig.code(b"\xe8" + (target - CODE - 5).to_bytes(4, "little") + b"\xf4")
    for selector, vector in ((0x40, None), (0x48, GP), (KCODE, None)):
        rig.code(b"\xea" + CODE.to_bytes(4, "little") + selector.to_bytes(2, "little"), 0x11000)
        rig.set("rip", 0x11000)
        assert rig.run() == exits.HALT
        assert rig.vector() == vector
        if vector is not None:
            rig.segment("cs", KCODE, 0, 0xFFFFFFFF, 0xC09B)
            rig.set("rsp", 0x20800)
            rig.plane.update_mode()


@pytest.mark.parametrize(("prefixes", "vector"), [(14, None), (15, GP)])
def test_instruction_length(prefixes: int, vector: int | None) -> None:
    rig = Rig("pm32")
    rig.run(b"\x3e" * prefixes + b"\x90\xf4")
    assert rig.vector() == vector
    if vector is not None:
        assert rig.words(rig.get("rsp"), 2, 4) == [0, CODE]


def test_non_canonical_rip() -> None:
    rig = Rig("long")
    rig.set("rip", 1 << 47)
    rig.run()
    assert rig.vector() == GP
    assert rig.words(rig.get("rsp"), 2, 8) == [0, 1 << 47]
