"""What EVEX encoding adds to vector instructions (SDM Vol. 2A 2.7): who may run them, masks, faults, progress."""

import pytest

from jit import exits, fpu_layout
from jit.fpu_layout import opmask, xmm
from tests.jit.rig import CODE, CR4_PAE, Rig

UD, NM, GP, PF = 6, 7, 13, 14
TS, OSFXSR, OSXMMEXCPT, OSXSAVE = 8, 1 << 9, 1 << 10, 1 << 18
DATA, NEXT_PAGE = 0x40000, 0x41000
VPADDD, KMOVW, HLT = "62f17d48fec1", "c5f890d1", "f4"
LOAD, LOAD_ZEROING, BROADCAST = "62f17d49fe13", "62f17dc9fe13", "62f17d59fe13"      # VPADDD ZMM2 {K1}, ZMM0, [RBX]
STORE_DWORDS, STORE_BYTES = "62f17e49 7f03", "62f17f09 7f03"        # VMOVDQU32 [RBX] {K1}, ZMM0; VMOVDQU8, XMM0
ALIGNED_LOAD = "62f17c492813"                                       # VMOVAPS ZMM2 {K1}, [RBX]
GATHER, SCATTER = "62f27d4990148b", "62f27d49a0148b"                # [RBX + ZMM1 * 4], ZMM2, K1
COMPRESS, EXPAND = "62f27d498b03", "62f27d498913"                   # VPCOMPRESSD [RBX] {K1}, ZMM0; VPEXPANDD ZMM2
NARROW = "62f27e493203"                                             # VPMOVQB [RBX] {K1}, ZMM0
EXTRACT = "62f37d49390301"                                          # VEXTRACTI32X4 [RBX] {K1}, ZMM0, 1


def rig(cr0: int = 0, cr4: int = OSFXSR | OSXMMEXCPT | OSXSAVE, xcr0: int = 0xE7, mask: int = -1) -> Rig:
    made = Rig("long")
    made.set("cr0", made.get("cr0") | cr0)
    made.set("cr4", CR4_PAE | cr4)
    made.set("xcr0", xcr0)
    made.set("rbx", DATA)
    made.plane.update_mode()
    made.plane.fpu_set(opmask(1), mask & (1 << 64) - 1)
    return made


def dwords(plane: Rig, register: int, count: int = 16) -> list[int]:
    words = [plane.plane.fpu_get(xmm(register) + 8 * i) for i in range((count + 1) // 2)]
    return [word >> shift & 0xFFFFFFFF for word in words for shift in (0, 32)][:count]


def set_dwords(plane: Rig, register: int, values: list[int]) -> None:
    for i in range(0, len(values), 2):
        plane.plane.fpu_set(xmm(register) + 4 * i, values[i] | values[i + 1] << 32)


@pytest.mark.parametrize(("code", "cr0", "cr4", "xcr0", "vector"), [
    (VPADDD, 0, OSXSAVE, 0xE7, None), (VPADDD, 0, 0, 0xE7, UD), (VPADDD, TS, OSXSAVE, 0xE7, NM),
    (VPADDD, 0, OSXSAVE, 7, UD), (VPADDD, TS, OSXSAVE, 7, UD), (VPADDD, 0, OSXSAVE, 0x67, UD),
    (KMOVW, 0, OSXSAVE, 0xE7, None), (KMOVW, 0, OSXSAVE, 7, UD), (KMOVW, TS, OSXSAVE, 0xE7, NM),
])
def test_state_that_must_be_enabled(code: str, cr0: int, cr4: int, xcr0: int, vector: int | None) -> None:
    plane = rig(cr0, cr4, xcr0)
    plane.run(code + HLT)
    assert plane.vector() == vector


@pytest.mark.parametrize(("code", "why"), [
    ("62f17dc8fec1", "zeroing without a mask"), ("62f17ec97f03", "zeroing a memory operand"),
    ("62f17d68fec1", "vector length 3"), ("62f27d4890148b", "a gather without a mask"),
    ("62f27d49900c8b", "a gather whose destination is the indices"), ("62f2758990148b", "a gather that zeroes"),
    ("62f17e48efc1", "a prefix that VPXORD does not have"), ("62f16649 7f03", "vvvv of a move"),
    ("62f1f5c9c2c100", "VCMPPD that zeroes"),
])
def test_undefined_encodings(code: str, why: str) -> None:
    plane = rig()
    plane.run(code + HLT)
    assert plane.vector() == UD, why


@pytest.mark.parametrize(("code", "kept"), [(LOAD, 7), (LOAD_ZEROING, 0)])
def test_masked_off_elements_are_neither_computed_nor_read(code: str, kept: int) -> None:
    """The operand's upper half lies in a page that is not there."""
    plane = rig(mask=0x0035)
    plane.protect(NEXT_PAGE, 0)
    plane.set("rbx", NEXT_PAGE - 32)
    for i in range(8):
        plane.write(NEXT_PAGE - 32 + 4 * i, 100 + i, 4)
    set_dwords(plane, 0, list(range(16)))
    set_dwords(plane, 2, [7] * 16)
    plane.run(code + HLT)
    assert plane.vector() is None
    assert dwords(plane, 2) == [100 + 2 * i if 0x35 >> i & 1 else kept for i in range(16)]


@pytest.mark.parametrize("mask", [0x0135, 0x8000])
def test_a_selected_element_of_a_missing_page_faults(mask: int) -> None:
    plane = rig(mask=mask)
    plane.protect(NEXT_PAGE, 0)
    plane.set("rbx", NEXT_PAGE - 32)
    set_dwords(plane, 2, [7] * 16)
    plane.run(LOAD + HLT)
    assert plane.vector() == PF
    assert plane.get("fault_address") == NEXT_PAGE + (0 if mask & 0x100 else 28)
    assert dwords(plane, 2) == [7] * 16


@pytest.mark.parametrize(("mask", "vector"), [(0xF0000, None), (1 << 5, PF)])
def test_a_broadcast_element_is_read_where_one_is_selected(mask: int, vector: int | None) -> None:
    plane = rig(mask=mask)
    plane.protect(DATA, 0)
    plane.run(BROADCAST + HLT)
    assert plane.vector() == vector


@pytest.mark.parametrize(("mask", "vector"), [(0, None), (1 << 15, GP)])
def test_alignment_counts_where_an_element_is_selected(mask: int, vector: int | None) -> None:
    plane = rig(mask=mask)
    plane.set("rbx", DATA + 16)
    plane.run(ALIGNED_LOAD + HLT)
    assert plane.vector() == vector


def test_a_masked_store_changes_what_is_selected() -> None:
    plane = rig(mask=0xA005)
    set_dwords(plane, 0, list(range(1, 17)))
    for i in range(16):
        plane.write(DATA + 4 * i, 99, 4)
    plane.run(STORE_DWORDS + HLT)
    assert plane.words(DATA, 16, 4) == [i + 1 if 0xA005 >> i & 1 else 99 for i in range(16)]


@pytest.mark.parametrize(("mask", "vector"), [(0x00FF, None), (0x01FF, PF)])
def test_a_masked_store_across_a_missing_page_is_all_or_nothing(mask: int, vector: int | None) -> None:
    plane = rig(mask=mask)
    plane.protect(NEXT_PAGE, 0)
    plane.set("rbx", NEXT_PAGE - 32)
    set_dwords(plane, 0, [5] * 16)
    plane.run(STORE_DWORDS + HLT)
    assert plane.vector() == vector
    assert plane.words(NEXT_PAGE - 32, 8, 4) == [0 if vector else 5] * 8


@pytest.mark.parametrize(("mask", "vector"), [(0, PF), (0xF, PF)])
def test_an_extracted_part_needs_all_of_its_memory(mask: int, vector: int) -> None:
    """Exception class E6NF."""
    plane = rig(mask=mask)
    plane.protect(DATA, 0)
    plane.run(EXTRACT + HLT)
    assert plane.vector() == vector


def test_a_masked_store_to_code() -> None:
    """The byte after the store's own becomes the operand of INC (C0h) or stays: only what is selected is written."""
    plane = rig(mask=0b10)
    plane.plane.fpu_set(xmm(0), 0xC1C1)         # ModRM of INC ECX
    plane.set("rbx", CODE + 6)
    assert plane.run(STORE_BYTES + "ffc0" + HLT) == exits.HALT
    assert (plane.get("rax"), plane.get("rcx")) == (0, 1)
    assert plane.overwritten == [CODE + 7]


def test_a_gather_keeps_what_came_before_a_fault() -> None:
    plane = rig(mask=0xFFFF_000F)
    plane.protect(NEXT_PAGE, 0)
    indices = [0, 1, 0x400, 2]
    set_dwords(plane, 1, indices + [0] * 12)
    set_dwords(plane, 2, [7] * 16)
    plane.write(DATA, 0x2_0000_0001)
    plane.run(GATHER + HLT)
    assert plane.vector() == PF
    assert plane.get("fault_address") == NEXT_PAGE
    assert dwords(plane, 2, 4) == [1, 2, 7, 7]
    assert plane.plane.fpu_get(opmask(1)) == 0xFFFF_000C


def test_a_scatter_writes_the_highest_of_equal_places_last() -> None:
    plane = rig(mask=0x7FFF)
    set_dwords(plane, 1, [3] * 16)
    set_dwords(plane, 2, list(range(16)))
    plane.run(SCATTER + HLT)
    assert plane.vector() is None
    assert plane.words(DATA, 5, 4) == [0, 0, 0, 14, 0]
    assert plane.plane.fpu_get(opmask(1)) == 0


def test_a_scatter_keeps_what_came_before_a_fault() -> None:
    plane = rig(mask=0xF)
    plane.protect(NEXT_PAGE, 0)
    set_dwords(plane, 1, [0, 0x400, 1, 2] + [0] * 12)
    set_dwords(plane, 2, [9] * 16)
    plane.run(SCATTER + HLT)
    assert plane.vector() == PF
    assert plane.words(DATA, 3, 4) == [9, 0, 0]
    assert plane.plane.fpu_get(opmask(1)) == 0xE


def test_compression_writes_no_more_than_it_selects() -> None:
    plane = rig(mask=0x8421)
    plane.protect(NEXT_PAGE, 0)
    plane.set("rbx", NEXT_PAGE - 16)
    set_dwords(plane, 0, list(range(16)))
    plane.run(COMPRESS + HLT)
    assert plane.vector() is None
    assert plane.words(NEXT_PAGE - 16, 4, 4) == [0, 5, 10, 15]


def test_expansion_reads_no_more_than_it_selects() -> None:
    plane = rig(mask=0x8421)
    plane.protect(NEXT_PAGE, 0)
    plane.set("rbx", NEXT_PAGE - 16)
    for i in range(4):
        plane.write(NEXT_PAGE - 16 + 4 * i, 50 + i, 4)
    set_dwords(plane, 2, [7] * 16)
    plane.run(EXPAND + HLT)
    assert plane.vector() is None
    assert dwords(plane, 2) == [{0: 50, 5: 51, 10: 52, 15: 53}.get(i, 7) for i in range(16)]


def test_narrowed_elements_are_stored_under_the_mask() -> None:
    plane = rig(mask=0x81)
    plane.write(DATA, 0x1111_1111_1111_1111)
    for i in range(8):
        plane.plane.fpu_set(xmm(0) + 8 * i, 0x100 + i)
    plane.run(NARROW + HLT)
    assert plane.read(DATA) == 0x0711_1111_1111_1100


def test_short_displacements_count_in_operands_and_registers_go_to_31() -> None:
    plane = rig()
    plane.write(DATA + 64, 5, 4)
    plane.run("62617d48fe7b01" + HLT)           # VPADDD ZMM31, ZMM0, [RBX + 40h]
    assert dwords(plane, 31) == [5] + [0] * 15


def test_a_narrow_vector_clears_the_rest() -> None:
    plane = rig(mask=0b0110)
    set_dwords(plane, 0, [1] * 16)
    set_dwords(plane, 2, [9] * 16)
    plane.run("62f17d89fed1" + HLT)             # VPADDD XMM2 {K1}{z}, XMM0, XMM1
    assert dwords(plane, 2) == [0, 1, 1, 0] + [0] * 12


def test_a_static_rounding_mode_raises_nothing() -> None:
    """SDM Vol. 2A 2.7.8: 1 + 2**-24 toward zero and upward, with every exception unmasked in MXCSR."""
    for control, result in (("78", 0x3F800000), ("58", 0x3F800001)):            # {rz-sae}, {ru-sae}
        plane = rig()
        plane.plane.fpu_set(fpu_layout.MXCSR, 0)
        set_dwords(plane, 0, [0x3F800000] * 16)
        set_dwords(plane, 1, [0x33800000] * 16)
        plane.run(f"62f17c{control}58d1" + HLT)
        assert plane.vector() is None
        assert dwords(plane, 2) == [result] * 16
        assert plane.plane.fpu_get(fpu_layout.MXCSR) == 0


@pytest.mark.parametrize(("code", "found"), [
    ("62f37d491ed103", 0), ("62f37d491ed107", 0xA5A5), ("62f17d4976d1", 0xA5A5 & 0xFFF0)])
def test_a_comparison_clears_what_its_mask_does_not_select(code: str, found: int) -> None:
    """VPCMPUD with the predicates false and true, VPCMPEQD; into K2 under K1."""
    plane = rig(mask=0xFFFF_FFFF_FFFF_A5A5)
    plane.plane.fpu_set(opmask(2), (1 << 64) - 1)
    set_dwords(plane, 1, [1, 2, 3, 4] + [0] * 12)
    plane.run(code + HLT)
    assert plane.plane.fpu_get(opmask(2)) == found


def test_opmask_shifts_and_tests() -> None:
    plane = rig(mask=0xFF)
    plane.run("c4e37932d107" + HLT)             # KSHIFTLB K2, K1, 7
    assert plane.plane.fpu_get(opmask(2)) == 0x80
    for mask, flags in ((0, 0x40), (0xFFFF, 1), (0x1_0001, 0)):
        plane = rig(mask=mask)
        plane.run("c5f898c9" + HLT)             # KORTESTW K1, K1
        assert plane.get("flags") & 0x8D5 == flags


@pytest.mark.parametrize("code", ["c4e27d2d0b", "c4e27d2f0b"], ids=["load", "store"])   # VMASKMOVPD of [RBX] by YMM0
@pytest.mark.parametrize(("chosen", "vector"), [((0,), PF), ((1,), GP), ((0, 1), GP)])
def test_vex_masks_report_a_non_canonical_element_before_the_page_fault_of_another(
        code: str, chosen: tuple[int, ...], vector: int) -> None:
    plane = rig()
    plane.set("rbx", (1 << 47) - 8)
    for lane in range(4):
        plane.plane.fpu_set(xmm(0) + 8 * lane, 1 << 63 if lane in chosen else 0)
    plane.run(code + HLT)
    assert plane.vector() == vector
