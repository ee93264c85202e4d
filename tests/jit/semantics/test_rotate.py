"""ROL, ROR, RCL, RCR: OF, which a comparison with the host leaves out (SDM Vol. 2B RCL/RCR/ROL/ROR, Operation)."""

import pytest

from tests.jit.rig import Rig

OF, CF = 0x800, 1
ROL, ROR, RCL, RCR = 0xC0, 0xC8, 0xD0, 0xD8        # ModR/M of the form with AL


def rotated(modrm: int, value: int, count: int, carry: int = 0) -> tuple[int, int, int]:
    """(result, CF, OF) of a rotate of AL by an immediate."""
    rig = Rig()
    rig.set("rax", value)
    rig.set("flags", 2 | carry | OF)
    rig.step(f"c0{modrm:02x}{count:02x}")
    flags = rig.get("flags")
    return rig.get("rax"), flags & CF, flags >> 11 & 1


@pytest.mark.parametrize("modrm, value, carry, expected", [
    (ROL, 0x40, 0, (0x80, 0, 1)), (ROL, 0xC0, 0, (0x81, 1, 0)), (ROR, 0x01, 0, (0x80, 1, 1)),
    (ROR, 0x03, 0, (0x81, 1, 1)),
    (RCL, 0x80, 0, (0x00, 1, 1)), (RCL, 0xC0, 0, (0x80, 1, 0)), (RCR, 0x00, 1, (0x80, 0, 1)),
    (RCR, 0x80, 1, (0xC0, 0, 0))])
def test_by_one(modrm: int, value: int, carry: int, expected: tuple[int, int, int]) -> None:
    """Left: whether the result's top bit differs from CF; right: whether its top two bits differ."""
    assert rotated(modrm, value, 1, carry) == expected


@pytest.mark.parametrize("modrm", [ROL, ROR, RCL, RCR])
@pytest.mark.parametrize("count", [2, 7])
def test_by_more_it_is_as_by_one_with_the_same_result(modrm: int, count: int) -> None:
    for value in (0x01, 0x7E, 0x81, 0xFE):
        result, carry, overflow = rotated(modrm, value, count, value >> 1 & 1)
        top, next_top = result >> 7, result >> 6 & 1
        assert overflow == (top ^ carry if modrm in (ROL, RCL) else top ^ next_top)


@pytest.mark.parametrize("modrm", [ROL, ROR, RCL, RCR])
def test_by_zero_nothing_changes(modrm: int) -> None:
    assert rotated(modrm, 0x81, 0, 1) == (0x81, 1, 1)
