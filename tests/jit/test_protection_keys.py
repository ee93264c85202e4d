"""Protection keys (SDM Vol. 3A 4.6.2, 4.7; Vol. 2 RDPKRU, WRPKRU): rights, error codes, and when a change counts."""
import itertools

import pytest

from jit import exits, fpu_layout, layout
from tests.jit.rig import CODE, Rig
from tests.jit.test_paging import FRAME, LINEAR, READ, SUPERVISOR, USER, WRITE, tables, walk
from tools.lockstep.tables import CR0_PE, CR0_PG, CR0_WP, RW, US, A, P

CR4_PKE, CR4_PKS = 1 << 22, 1 << 24
AD, WD = 1, 2
KEY = 5
DATA = 0x90000
RDPKRU, WRPKRU = "0f01ee", "0f01ef"
LOAD, STORE = "8a03", "8803"            # mov al, [rbx]; mov [rbx], al
PKRS = 0x6E1


def keyed(page, kind="4-level"):
    made = tables(kind)
    at = made.map(LINEAR, FRAME, P | RW | page | KEY << 59)
    made.use()
    return made, at


def rights(made, register, value, extra=0):
    """Put AD and WD of KEY in PKRU or IA32_PKRS, and turn keys on."""
    plane = made.bare.plane
    plane.fpu_set(fpu_layout.PKRU, value << 2 * KEY if register == "pkru" else 0)
    plane.set(layout.PKRS, value << 2 * KEY if register == "pkrs" else 0)
    plane.set(layout.CR4, plane.get(layout.CR4) | CR4_PKE | CR4_PKS)
    plane.set(layout.CR0, CR0_PE | CR0_PG | extra)


@pytest.mark.parametrize("kind", ("4-level", "5-level"))
def test_pkru_limits_user_pages(kind):
    """AD forbids every data access, WD writes: those of supervisors only under CR0.WP."""
    for bits, wp, access, tlb_set in itertools.product((0, AD, WD, AD | WD), (0, CR0_WP), (READ, WRITE),
                                                       (SUPERVISOR, USER)):
        made, at = keyed(US, kind)
        rights(made, "pkru", bits, wp)
        denied = bits & AD or access == WRITE and bits & WD and (tlb_set == USER or wp)
        error = 0x21 | (2 if access == WRITE else 0) | (4 if tlb_set == USER else 0)
        assert walk(made, access, tlb_set) == (("fault", error) if denied else FRAME | LINEAR & 0xFFF)
        assert bool(made.read(at) & A) == (not denied)


def test_pkrs_limits_supervisor_pages():
    for bits, wp, access in itertools.product((0, AD, WD, AD | WD), (0, CR0_WP), (READ, WRITE)):
        made, _ = keyed(0)
        rights(made, "pkrs", bits, wp)
        denied = bits & AD or access == WRITE and bits & WD and wp
        error = 0x21 | (2 if access == WRITE else 0)
        assert walk(made, access, SUPERVISOR) == (("fault", error) if denied else FRAME | LINEAR & 0xFFF)


@pytest.mark.parametrize("register, page", (("pkru", 0), ("pkrs", US)))
def test_each_register_is_for_its_pages(register, page):
    made, _ = keyed(page)
    rights(made, register, AD | WD)
    assert walk(made, WRITE, SUPERVISOR) == FRAME | LINEAR & 0xFFF


def test_keys_do_not_limit_fetches():
    made, _ = keyed(US)
    rights(made, "pkru", AD | WD)
    assert walk(made, 2, USER) == FRAME | LINEAR & 0xFFF


def test_without_pke_the_bits_are_ignored():
    made, _ = keyed(US)
    made.bare.plane.fpu_set(fpu_layout.PKRU, 0xFFFFFFFF)
    assert walk(made, WRITE, USER) == FRAME | LINEAR & 0xFFF


def test_pk_is_reported_beside_other_reasons():
    """Bit 5 tells of the key, whatever else forbids the access (SDM Vol. 3A 4.7)."""
    made = tables("4-level")
    made.map(LINEAR, FRAME, P | US | KEY << 59)
    made.use()
    rights(made, "pkru", WD)
    assert walk(made, WRITE, USER) == ("fault", 0x27)


def rig(cpl=0, pkru=0):
    made = Rig(cpl=cpl)
    made.set("cr4", made.get("cr4") | CR4_PKE)
    made.plane.fpu_set(fpu_layout.PKRU, pkru)
    made.write(layout_entry(DATA), DATA | 7 | KEY << 59)
    made.plane.flush()
    made.set("rbx", DATA)
    return made


def layout_entry(linear):
    """The rig's page-table entry of a linear address."""
    return 0x103000 + 8 * (linear >> 12)


@pytest.mark.parametrize("cpl", (0, 3))
def test_wrpkru_counts_at_once(cpl):
    """A translation that is cached does not outlive the right: load, take the right away, load."""
    made = rig(cpl)
    made.set("rcx", 0)
    made.set("rdx", 0)
    code = LOAD + "b8" + (AD << 2 * KEY).to_bytes(4, "little").hex() + WRPKRU + LOAD
    made.step(code, 3)
    assert made.vector() is None
    made.run()
    assert made.vector() == 14 and made.get("cr2") == DATA
    assert made.plane.fpu_get(fpu_layout.PKRU) == AD << 2 * KEY


def test_a_write_right_comes_back():
    made = rig(3, WD << 2 * KEY)
    made.set("rcx", 0)
    made.set("rdx", 0)
    made.step(LOAD + "31c0" + WRPKRU + STORE, 4)
    assert made.vector() is None and made.get("rip") == CODE + 9


def test_wrpkru_keeps_translations_of_other_keys():
    """Only a change of rights in use empties the data TLB."""
    made = rig()
    made.set("rcx", 0)
    made.set("rdx", 0)
    codes = [value.to_bytes(4, "little").hex() for value in (AD << 2 * 9, AD << 2 * KEY)]
    made.step(LOAD + "".join("b8" + code + WRPKRU for code in codes), 1)
    entry = made.get("tlb") + ((DATA >> 12) % layout.DATA_ENTRIES << layout.DATA_SHIFT)
    offset = (entry - made.plane.sets.address) // 8
    tags = memoryview(made.plane.sets.view).cast("Q")
    assert tags[offset] == DATA
    made.step(count=2)
    assert tags[offset] == DATA
    made.step(count=2)
    assert tags[offset] == layout.TLB_INVALID


def test_rdpkru():
    made = rig(3, 0x89ABCDEF)
    made.set("rcx", 0)
    made.set("rax", -1)
    made.set("rdx", -1)
    made.step(RDPKRU)
    assert (made.get("rax"), made.get("rdx")) == (0x89ABCDEF, 0)


@pytest.mark.parametrize("code, rcx, rdx, cr4, vector", (
    (RDPKRU, 1, 0, CR4_PKE, 13), (WRPKRU, 1, 0, CR4_PKE, 13), (WRPKRU, 0, 1, CR4_PKE, 13),
    (RDPKRU, 0, 0, 0, 6), (WRPKRU, 0, 0, 0, 6), (WRPKRU, 1, 0, 0, 6)))
def test_faults_of_the_instructions(code, rcx, rdx, cr4, vector):
    made = rig()
    made.set("cr4", made.get("cr4") & ~CR4_PKE | cr4)
    made.set("rcx", rcx)
    made.set("rdx", rdx)
    made.run(code)
    assert made.vector() == vector


def test_pkrs_msr():
    """It is 32 bits wide; a new value counts at once."""
    made = Rig()
    made.set("cr4", made.get("cr4") | CR4_PKS)
    made.write(layout_entry(DATA), DATA | 3 | KEY << 59)
    made.set("rbx", DATA)
    made.set("rcx", PKRS)
    made.set("rax", AD << 2 * KEY)
    made.set("rdx", 0)
    made.step("8a33" + "0f30" + LOAD, 2)            # mov dh, [rbx] fills the TLB
    assert made.get("pkrs") == AD << 2 * KEY
    made.set("rbx", DATA)
    made.run()
    assert made.vector() == 14

    made = Rig()
    made.set("rcx", PKRS)
    made.set("rdx", 1)
    made.run("0f30")
    assert made.vector() == 13


def test_pkrs_is_unknown_without_pks():
    made = Rig()
    made.set("cr4_valid", made.get("cr4_valid") & ~CR4_PKS)
    made.set("rcx", PKRS)
    assert made.run("0f32") == exits.RDMSR
