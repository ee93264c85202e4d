"""Lazy flags (jit/flags.py) against arithmetic on Python's unbounded integers (SDM Vol. 1 3.4.3.1, Vol. 2)."""
import itertools

import pytest

from tests.jit.bare import execute, flags, fresh

CF, PF, AF, ZF, SF, OF = 1, 4, 0x10, 0x40, 0x80, 0x800
WIDTHS = (8, 16, 32, 64)
ADD, OR, ADC, SBB, AND, SUB, XOR, CMP = range(8)        # /digit of 80-83, and bits 5:3 of the one-byte opcodes


def values(width):
    top = 1 << width
    return sorted({v % top for v in (0, 1, 2, 0xF, 0x10, 0x7F, 0x80, -1, -2, top // 2, top // 2 - 1, top // 2 + 1,
                                     0x5555555555555555, 0xFEDCBA9876543210)})


def signed(value, width):
    return value - (1 << width) if value >> (width - 1) else value


def szp(result, width):
    return ((ZF if result == 0 else 0) | (SF if result >> (width - 1) else 0)
            | (PF if (result & 0xFF).bit_count() % 2 == 0 else 0))


def model(operation, x, y, carry, width):
    """(result, flags) by the manual's definitions."""
    mask = (1 << width) - 1
    if operation in (AND, OR, XOR):
        result = {AND: x & y, OR: x | y, XOR: x ^ y}[operation]
        return result, szp(result, width)
    extra = carry if operation in (ADC, SBB) else 0
    sign = 1 if operation in (ADD, ADC) else -1
    exact = x + sign * (y + extra)
    result = exact & mask
    found = szp(result, width) | (CF if exact != result else 0)
    if signed(x, width) + sign * (signed(y, width) + extra) != signed(result, width):
        found |= OF
    if not 0 <= (x & 0xF) + sign * ((y & 0xF) + extra) <= 0xF:
        found |= AF
    return result, found


def prefix(width):
    return {8: b"", 16: b"\x66", 32: b"", 64: b"\x48"}[width]


@pytest.fixture(scope="module")
def bare():
    return fresh()


@pytest.mark.parametrize("carry", (0, 1))
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("operation", range(8))
def test_binary_operations(bare, operation, width, carry):
    """CLC or STC, then op rAX, rCX."""
    code = (b"\xf9" if carry else b"\xf8") + prefix(width) + bytes((operation << 3 | (width != 8), 0xC8))
    upper = 0xA5A5A5A5_A5A5A5A5 & ~((1 << width) - 1)
    for x, y in itertools.product(values(width), repeat=2):
        bare.gpr(0, upper | x)
        bare.gpr(1, upper | y)
        execute(bare, code, 2)
        result, expected = model(operation, x, y, carry, width)
        kept = 0 if width == 32 and operation != CMP else upper
        assert bare.gpr(0) == kept | (x if operation == CMP else result), (hex(x), hex(y))
        assert flags(bare) == expected, (hex(x), hex(y), hex(flags(bare)), hex(expected))


@pytest.mark.parametrize("carry", (0, 1))
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("step", (1, -1), ids=("inc", "dec"))
def test_inc_and_dec_keep_cf(bare, step, width, carry):
    code = (b"\xf9" if carry else b"\xf8") + prefix(width) + bytes((0xFE | (width != 8), 0xC0 if step == 1 else 0xC8))
    for x in values(width):
        bare.gpr(0, x)
        execute(bare, code, 2)
        result, expected = model(ADD if step == 1 else SUB, x, 1, 0, width)
        assert bare.gpr(0) == result
        assert flags(bare) == expected & ~CF | carry, hex(x)


@pytest.mark.parametrize("width", WIDTHS)
def test_neg_is_subtraction_from_zero(bare, width):
    for x in values(width):
        bare.gpr(0, x)
        execute(bare, prefix(width) + bytes((0xF6 | (width != 8), 0xD8)), 1)
        assert (bare.gpr(0), flags(bare)) == model(SUB, 0, x, 0, width), hex(x)


@pytest.mark.parametrize("width", WIDTHS)
def test_not_changes_no_flag(bare, width):
    for status in (0, CF | PF | AF | ZF | SF | OF, ZF | OF, CF | SF):
        set_flags(bare, status)
        execute(bare, prefix(width) + bytes((0xF6 | (width != 8), 0xD0)), 1)
        assert flags(bare) == status


def set_flags(bare, status):
    """Through SAHF for the low byte, and an overflowing ADD before it for OF."""
    bare.gpr(0, 0x7F if status & OF else 0)
    execute(bare, bytes.fromhex("0401"), 1)
    bare.gpr(0, (status & 0xFF) << 8)
    execute(bare, bytes.fromhex("9e"), 1)
    assert flags(bare) == status


CONDITIONS = (
    lambda f: f & OF, lambda f: f & CF, lambda f: f & ZF, lambda f: f & (CF | ZF), lambda f: f & SF, lambda f: f & PF,
    lambda f: bool(f & SF) != bool(f & OF), lambda f: f & ZF or bool(f & SF) != bool(f & OF))


@pytest.mark.parametrize("number", range(16))
def test_every_condition_over_every_flag_combination(bare, number):
    """SETcc DL for the 64 combinations, which no single result can all give (SDM Vol. 2 appendix B.1.4.7)."""
    for bits in itertools.product((0, 1), repeat=6):
        status = sum(flag for flag, on in zip((CF, PF, AF, ZF, SF, OF), bits, strict=True) if on)
        set_flags(bare, status)
        execute(bare, bytes((0x0F, 0x90 + number, 0xC2)), 1)
        assert bare.gpr(2) & 0xFF == bool(CONDITIONS[number >> 1](status)) ^ (number & 1), hex(status)
        assert flags(bare) == status


@pytest.mark.parametrize("width", (32, 64))
@pytest.mark.parametrize("flag, opcode", ((CF, 0x66), (OF, 0xF3)), ids=("adcx", "adox"))
def test_adcx_and_adox_change_one_flag(bare, width, flag, opcode):
    code = bytes((opcode,)) + (b"\x48" if width == 64 else b"") + bytes.fromhex("0f38f6d1")       # edx += ecx
    for status in (0, CF, OF, CF | OF | ZF | SF, CF | PF | AF | ZF | SF | OF):
        for x, y in itertools.product(values(width)[::2], repeat=2):
            set_flags(bare, status)
            bare.gpr(1, y)
            bare.gpr(2, x)
            execute(bare, code, 1)
            total = x + y + bool(status & flag)
            assert bare.gpr(2) == total % (1 << width)
            assert flags(bare) == status & ~flag | (flag if total >> width else 0)
