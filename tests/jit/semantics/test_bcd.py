"""Decimal arithmetic: the manual's examples and pseudocode's edges (SDM Vol. 2A: AAA, AAD, AAM, AAS, DAA, DAS)."""
import pytest

from tests.jit.rig import Rig

CF, PF, AF, ZF, SF = 0x1, 0x4, 0x10, 0x40, 0x80
DE = 0


def run(mode: str, code: str, ax: int, flags: int = 0) -> tuple[int, int]:
    """(AX, CF and AF and PF and ZF and SF) after the instruction."""
    rig = Rig(mode)
    rig.set("rax", 0x11110000 | ax)
    rig.set("flags", 2 | flags)
    rig.step(code)
    assert rig.get("rax") >> 16 == 0x1111
    return rig.get("rax") & 0xFFFF, rig.get("flags") & (CF | PF | AF | ZF | SF)


@pytest.mark.parametrize("code, ax, flags, expected, set_flags", [
    ("27", 0xAE, 0, 0x14, CF | PF | AF),            # the manual's example: 79 + 35 = AE, adjusted 14 with carry
    ("27", 0x99, 0, 0x99, PF | SF),
    ("27", 0x9A, 0, 0x00, CF | AF | PF | ZF),
    ("27", 0x00, CF, 0x60, CF | PF),
    ("27", 0x00, AF, 0x06, AF | PF),
    ("2f", 0xEE, CF | AF, 0x88, CF | AF | PF | SF),  # 35 - 47 = EE, adjusted 88 with borrow
    ("2f", 0x05, AF, 0xFF, CF | AF | PF | SF),      # the first step borrows
    ("2f", 0x12, 0, 0x12, PF),
    ("37", 0x000A, 0, 0x0100, CF | AF),
    ("37", 0x0009, 0, 0x0009, 0),
    ("37", 0x01FF, 0, 0x0305, CF | AF),             # AX + 106H carries from AL into AH
    ("3f", 0x000A, 0, 0xFF04, CF | AF),
    ("3f", 0x0200, AF, 0x000A, CF | AF),
    ("3f", 0x0009, 0, 0x0009, 0),
    ("d40a", 0x0063, 0, 0x0909, PF),
    ("d410", 0x00AB, 0, 0x0A0B, 0),
    ("d50a", 0x0909, 0, 0x0063, PF),
    ("d510", 0x0A0B, 0, 0x00AB, SF),
])
@pytest.mark.parametrize("mode", ["real", "pm32"])
def test_adjustment(mode, code, ax, flags, expected, set_flags):
    result, got = run(mode, code, ax, flags)
    assert result == expected
    defined = CF | AF if code in ("37", "3f") else PF | ZF | SF if code.startswith("d") else 0xD5
    assert got & defined == set_flags & defined


def test_aam_of_base_zero_divides_by_zero():
    rig = Rig("pm32")
    rig.set("rax", 0x1234)
    rig.run("d400")
    assert rig.vector() == DE
    assert rig.get("rax") == 0x1234


@pytest.mark.parametrize("flags, al", [(CF, 0xFF), (0, 0)])
def test_salc(flags, al):
    assert run("pm32", "d6", 0x5512, flags)[0] == 0x5500 | al


@pytest.mark.parametrize("code", ["27", "2f", "37", "3f", "d40a", "d50a", "d6"])
def test_64_bit_mode_has_none(code):
    rig = Rig("long")
    rig.run(code)
    assert rig.vector() == 6
