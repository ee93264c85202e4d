"""Pointers with tags: Intel's linear-address masking and AMD's upper-address ignore."""
import pytest

from tests.jit.rig import CODE, TABLES, Rig

CR3_U57, CR3_U48, CR4_SUP, UAIE, CR4_LA57 = 1 << 61, 1 << 62, 1 << 28, 1 << 20, 1 << 12
DATA, HIGH = 0x90000, 0xFFFF_8000_0000_0000
LOAD, STORE = "488b03", "488903"


def rig(cr3=0, cr4=0, efer=0, high=False):
    made = Rig()
    made.set("cr3", made.get("cr3") | cr3)
    made.set("cr4", made.get("cr4") | cr4)
    made.set("efer", made.get("efer") | efer)
    made.write(DATA, 0x1234)
    if high:                                        # the same pages in the upper half
        made.write(TABLES + 8 * 256, made.read(TABLES))
    made.plane.flush()
    return made


def loads(made, pointer):
    """Whether a load and a store through the pointer reach DATA."""
    made.set("rbx", pointer)
    made.run(LOAD + STORE, 2)
    if made.vector() == 13:
        return False
    assert made.vector() is None and made.get("rax") == 0x1234
    return True


@pytest.mark.parametrize("cr3, tag, fine", (
    (CR3_U48, 0x7FFF << 48, True), (CR3_U48, 1 << 47, False), (CR3_U57, 0x3F << 57, True), (CR3_U57, 1 << 56, False),
    (CR3_U57 | CR3_U48, 1 << 50, False), (CR3_U48, 1 << 63, False), (0, 1 << 57, False)))
def test_lam_for_user_pointers(cr3, tag, fine):
    """Bit 63 says whose pointer it is, and is never masked. LAM_U57 has priority."""
    assert loads(rig(cr3), DATA | tag) == fine


@pytest.mark.parametrize("cr4, clear, fine", ((CR4_SUP, 0x7FFF << 48, True), (0, 0x7FFF << 48, False)))
def test_lam_for_supervisor_pointers(cr4, clear, fine):
    assert loads(rig(cr4=cr4, high=True), (HIGH | DATA) & ~clear) == fine


@pytest.mark.parametrize("tag, fine", ((0x7F << 57, True), (1 << 55, False)))
def test_upper_address_ignore(tag, fine):
    assert loads(rig(efer=UAIE), DATA | tag) == fine


def test_fetches_are_not_masked():
    made = rig(CR3_U48)
    made.set("rax", CODE | 1 << 57)
    made.run("ffe0")
    assert made.vector() == 13


def test_cr2_has_no_tag():
    made = rig(CR3_U48)
    made.protect(DATA, 0)
    made.set("rbx", DATA | 0x55 << 48)
    made.run(LOAD)
    assert made.vector() == 14 and made.get("cr2") == DATA


@pytest.mark.parametrize("offered", (True, False))
def test_cr3_takes_the_bits_where_there_is_lam(offered):
    made = Rig()
    if not offered:
        made.set("cr4_valid", made.get("cr4_valid") & ~CR4_SUP)
    made.set("rax", TABLES | CR3_U48)
    made.step("0f22d8", 1)
    if offered:
        assert made.get("cr3") == TABLES | CR3_U48
    else:
        made.run()
        assert made.vector() == 13
