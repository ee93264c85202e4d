"""EXTRQ, INSERTQ, MOVNTSS and MOVNTSD, from their descriptions in APM Vol. 4."""
import pytest

from jit import fpu_layout
from tests.jit.rig import Rig

VALUE, OTHER, UPPER = 0xFEDC_BA98_7654_3210, 0x0123_4567_89AB_CDEF, 0x1111_2222_3333_4444
BUFFER, MASK = 0x40000, (1 << 64) - 1


def make(control=0):
    """XMM1 = UPPER:VALUE; XMM2 = control:OTHER."""
    rig = Rig("long")
    rig.set("cr4", rig.get("cr4") | 0x600)
    rig.plane.update_mode()
    for at, word in ((fpu_layout.xmm(1), VALUE), (fpu_layout.xmm(1) + 8, UPPER), (fpu_layout.xmm(2), OTHER),
                     (fpu_layout.xmm(2) + 8, control)):
        rig.plane.fpu_set(at, word)
    rig.set("rbx", BUFFER)
    return rig


def low(rig):
    assert rig.plane.fpu_get(fpu_layout.xmm(1) + 8) == UPPER
    return rig.plane.fpu_get(fpu_layout.xmm(1))


@pytest.mark.parametrize("length, place", [(8, 4), (1, 63), (63, 1), (0, 0), (64, 0), (16, 48), (0x48, 0x44)])
def test_a_field_is_extracted(length, place):
    """Only bits 5:0 of each count, and a length of 0 means 64."""
    mask = (1 << (length & 63 or 64)) - 1
    rig = make()
    rig.step(bytes.fromhex("660f78c1") + bytes((length, place)))
    assert low(rig) == VALUE >> (place & 63) & mask
    rig = make()
    rig.plane.fpu_set(fpu_layout.xmm(2), 0xFFFF_0000_0000_C0C0 | length & 63 | (place & 63) << 8)
    rig.step("660f79ca")
    assert low(rig) == VALUE >> (place & 63) & mask


@pytest.mark.parametrize("length, place", [(8, 4), (1, 63), (63, 1), (0, 0), (16, 48), (32, 32)])
def test_a_field_is_inserted(length, place):
    mask = (1 << (length or 64)) - 1
    expected = VALUE & ~(mask << place) & MASK | (OTHER & mask) << place
    rig = make()
    rig.step(bytes.fromhex("f20f78ca") + bytes((length, place)))
    assert low(rig) == expected
    rig = make(0xFFFF_0000_0000_C0C0 | length | place << 8)
    rig.step("f20f79ca")
    assert low(rig) == expected


@pytest.mark.parametrize("code, size", [("f30f2b4b01", 4), ("f20f2b4b01", 8)])
def test_scalar_stores_take_any_address(code, size):
    rig = make()
    rig.memory.write(BUFFER, b"\xff" * 16)
    rig.step(code)
    assert rig.memory.read(BUFFER, 16) == b"\xff" + VALUE.to_bytes(8, "little")[:size] + b"\xff" * (15 - size)


@pytest.mark.parametrize("code", ["660f78c10804", "660f79ca", "f20f78ca0804", "f20f79ca", "f30f2b0b", "f20f2b0b"])
def test_they_need_what_sse_needs(code):
    rig = make()
    rig.set("cr4", rig.get("cr4") & ~0x200)
    rig.plane.update_mode()
    rig.run(bytes.fromhex(code), 1)
    assert rig.vector() == 6
    rig = make()
    rig.set("cr0", rig.get("cr0") | 8)
    rig.plane.update_mode()
    rig.run(bytes.fromhex(code), 1)
    assert rig.vector() == 7
