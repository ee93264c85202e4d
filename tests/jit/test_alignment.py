"""Alignment checking: #AC(0) at CPL 3 with CR0.AM and RFLAGS.AC (SDM Vol. 3A 6.15, vector 17, and table 6-7)."""

import pytest

from jit import layout
from tests.jit.rig import STACK_TOP, Rig

AC, PF, GP = 17, 14, 13
AM, WP, FLAG_AC = 1 << 18, 1 << 16, 1 << 18
DATA = 0x80000
LOADS = {2: "668b03", 4: "8b03", 8: "488b03"}               # MOV ax/eax/rax, [rbx]
STORES = {2: "668903", 4: "8903", 8: "488903"}
UPDATES = {2: "66ff03", 4: "ff03", 8: "48ff03"}             # INC


def checked(mode: str = "long", cpl: int = 3, am: bool = True, ac: bool = True) -> Rig:
    rig = Rig(mode, cpl=cpl)
    rig.set("cr0", rig.get("cr0") | (AM if am else 0))
    rig.set("flags", rig.get("flags") | (FLAG_AC if ac else 0))
    rig.plane.update_mode()
    return rig


@pytest.mark.parametrize("table", [LOADS, STORES, UPDATES], ids=["load", "store", "update"])
@pytest.mark.parametrize("size", [2, 4, 8])
def test_operands_are_aligned_to_their_size(table: dict[int, str], size: int) -> None:
    for at in range(9):
        rig = checked()
        rig.write(DATA, 0x1122334455667788)
        rig.set("rbx", DATA + at)
        rig.set("rax", 0x5A)
        before = rig.snapshot()
        rig.step(table[size])
        if at % size == 0:
            assert rig.vector() is None
        else:
            assert rig.vector() == AC
            assert rig.words(rig.get("rsp"), 2, 8) == [0, before["rip"]]
            assert rig.get("rax") == 0x5A
            assert rig.read(DATA) == 0x1122334455667788


def test_bytes_are_always_aligned() -> None:
    rig = checked()
    rig.set("rbx", DATA + 1)
    rig.step("8a03 8803", 2)
    assert rig.vector() is None


@pytest.mark.parametrize("cpl, am, ac", [(0, True, True), (3, False, True), (3, True, False)])
def test_all_three_conditions_are_needed(cpl: int, am: bool, ac: bool) -> None:
    rig = checked(cpl=cpl, am=am, ac=ac)
    rig.set("rbx", DATA + 1)
    rig.step("8b03")
    assert rig.vector() is None


@pytest.mark.parametrize("mode", ["pm32", "vm86"])
def test_outside_64_bit_mode(mode: str) -> None:
    rig = checked(mode)
    rig.set("rbx", 0x101)
    rig.step("8b03" if mode == "pm32" else "8b07")
    assert rig.vector() == AC
    assert rig.read(rig.get("rsp"), 4) == 0


def test_stack_accesses_are_checked() -> None:
    rig = checked()
    rig.set("rsp", STACK_TOP - 4)
    rig.step("50")
    assert rig.vector() == AC


def test_popf_switches_checking_on_and_off() -> None:
    rig = checked(ac=False)
    rig.set("rbx", DATA + 1)
    rig.write(STACK_TOP - 16, 0x2 | FLAG_AC)
    rig.write(STACK_TOP - 8, 0x2)
    rig.set("rsp", STACK_TOP - 16)
    rig.step("9d", 1)
    assert rig.get("tlb_set") == layout.SET_ALIGN
    rig.step("9d 8b03", 2)
    assert rig.vector() is None


def test_a_page_that_was_accessed_before_is_checked_too() -> None:
    rig = checked(ac=False)
    rig.set("rbx", DATA + 1)
    rig.write(STACK_TOP - 8, 0x2 | FLAG_AC)
    rig.set("rsp", STACK_TOP - 8)
    rig.step("8b03 9d 8b03", 3)
    assert rig.vector() == AC


def test_user_rights_stay_in_force() -> None:
    for page, write in ((0x3, False), (0x5, True)):             # a supervisor page; a read-only one
        rig = checked()
        rig.set("rbx", DATA)
        rig.protect(DATA, page)
        rig.step("8903" if write else "8b03")
        assert rig.vector() == PF
        assert rig.read(rig.get("rsp")) & 4


def test_system_accesses_are_not_checked() -> None:
    """The GDT is read with supervisor rights (SDM Vol. 3A 4.6), wherever it lies."""
    rig = checked("pm32")
    gdt = [rig.read(0x2000 + 8 * i) for i in range(16)]
    for i, entry in enumerate(gdt):
        rig.write(0x7001 + 8 * i, entry)
    rig.set("gdtr_base", 0x7001)
    rig.step("06 07", 2)                                        # PUSH ES, POP ES
    assert rig.vector() is None


def test_an_aligned_store_to_a_read_write_page_reaches_memory() -> None:
    rig = checked()
    rig.set("rbx", DATA + 8)
    rig.set("rax", 0xCAFE)
    rig.step("488903 488b0b", 2)
    assert rig.read(DATA + 8) == 0xCAFE
    assert rig.get("rcx") == 0xCAFE


def test_a_far_pointer_needs_the_alignment_of_its_offset() -> None:
    for at, vector in ((0, None), (4, None), (2, AC)):
        rig = checked("pm32")
        rig.write(DATA + at, 0x1234 | rig.get("ds") << 32, 6)
        rig.set("rbx", DATA + at)
        rig.step("c403")                                        # LES eax, [ebx]
        assert rig.vector() == vector


def test_the_fpu_state_image_needs_the_alignment_of_its_words() -> None:
    """FNSAVE: 4 bytes, though its registers lie 10 bytes apart (SDM Vol. 3A table 6-7)."""
    for at, vector in ((4, None), (2, AC)):
        rig = checked()
        rig.set("rbx", DATA + at)
        rig.step("dd33")
        assert rig.vector() == vector
        assert bool(rig.read(DATA + at)) == (vector is None)
