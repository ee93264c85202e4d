"""Loading segment registers: checks, error codes, accessed bit, null selectors (SDM Vol. 2B MOV, Vol. 3A 5.6)."""

import pytest

from jit import layout
from tests.jit.rig import CODE, GDT, KCODE, KDATA, LDT, STACK_TOP, UDATA, Rig, descriptor

UD, NP, SS, GP = 6, 11, 12, 13
SPARE = 0x40
READ_ONLY, EXECUTE_ONLY, CONFORMING = 0xC090, 0xC098, 0xC09E


def load(rig: Rig, selector: int, code: str) -> None:
    """Load from AX, then halt."""
    rig.set("rax", selector)
    rig.run(code + "f4")


@pytest.mark.parametrize(("cpl", "selector", "attributes", "expected"), [
    (0, SPARE, EXECUTE_ONLY, (GP, SPARE)), (0, SPARE, 0x89, (GP, SPARE)), (0, SPARE, READ_ONLY & ~0x80, (NP, SPARE)),
    (3, SPARE | 3, READ_ONLY, (GP, SPARE)), (0, SPARE | 3, READ_ONLY, (GP, SPARE)), (0, 0x1000, None, (GP, 0x1000)),
    (0, 0x44, None, (GP, 0x44))])
def test_bad_data_segment(cpl: int, selector: int, attributes: int | None, expected: tuple[int, int]) -> None:
    rig = Rig("pm32", cpl=cpl)
    if attributes is not None:
        rig.entry(selector, descriptor(attributes=attributes))
    old = rig.get("ds")
    load(rig, selector, "8ed8")
    assert (rig.vector(), rig.read(rig.get("rsp"), 4)) == expected
    assert rig.get("ds") == old


def test_conforming_code_may_be_read_from_anywhere() -> None:
    rig = Rig("pm32", cpl=3)
    rig.entry(SPARE, descriptor(attributes=CONFORMING))
    rig.set("rax", SPARE)
    rig.step("8ed8")
    assert (rig.get("ds"), rig.get("ds.attr")) == (SPARE, CONFORMING | 1)
    assert rig.read(GDT + SPARE + 5, 1) & 1


def test_fields_of_a_descriptor() -> None:
    rig = Rig("pm32")
    rig.entry(SPARE, descriptor(0x12345678, 0x9ABCD, 0x8092))
    load(rig, SPARE, "8ec0")
    assert [rig.get("es" + p) for p in (".base", ".limit", ".attr")] == [0x12345678, 0x9ABCDFFF, 0x8093]
    rig.entry(SPARE, descriptor(0x12345678, 0x9ABCD, 0x4092))
    load(rig, SPARE, "8ee0")
    assert rig.get("fs.limit") == 0x9ABCD


@pytest.mark.parametrize(("selector", "attributes", "expected"), [
    (0, None, (GP, 0)), (SPARE | 3, 0xC092, (GP, SPARE)), (SPARE, READ_ONLY, (GP, SPARE)),
    (SPARE, 0xC0F2, (GP, SPARE)), (SPARE, 0xC012, (SS, SPARE))])
def test_bad_stack_segment(selector: int, attributes: int | None, expected: tuple[int, int]) -> None:
    rig = Rig("pm32")
    if attributes is not None:
        rig.entry(selector, descriptor(attributes=attributes))
    load(rig, selector, "8ed0")
    assert (rig.vector(), rig.read(rig.get("rsp"), 4)) == expected


def test_stack_size_follows_ss() -> None:
    rig = Rig("pm32")
    rig.entry(SPARE, descriptor(attributes=0x8092))
    load(rig, SPARE, "8ed0")
    assert not rig.get("mode") & layout.MODE_STACK32


def test_null_data_segment_loads_but_faults_when_used() -> None:
    rig = Rig("pm32")
    rig.set("rax", 3)
    rig.set("rbx", 0x5000)
    rig.step("8ed8 8b03")
    assert (rig.get("ds"), rig.get("ds.attr")) == (3, 0)
    rig.run()
    assert (rig.vector(), rig.read(rig.get("rsp"), 4)) == (GP, 0)


def test_null_ss_in_64_bit_mode_needs_rpl_equal_cpl() -> None:
    rig = Rig("long")
    rig.set("rax", 0)
    rig.step("8ed0")
    assert rig.get("ss") == 0
    for cpl, selector in ((0, 3), (3, 3)):
        rig = Rig("long", cpl=cpl)
        load(rig, selector, "8ed0")
        assert (rig.vector(), rig.read(rig.get("rsp"))) == (GP, 0)


def test_mov_to_cs_is_ud() -> None:
    rig = Rig("pm32")
    load(rig, KCODE, "8ec8")
    assert rig.vector() == UD


def test_ldt() -> None:
    rig = Rig("pm32")
    rig.entry(0x38, descriptor(LDT, 0xF, 0x82))
    rig.write(LDT + 8, descriptor(0x1000, attributes=0xC092))
    rig.set("rax", 0x38)
    rig.step("0f00d0")
    assert (rig.get("ldtr"), rig.get("ldtr.base"), rig.get("ldtr.limit")) == (0x38, LDT, 0xF)
    load(rig, 8 | 4, "8ed8")
    assert rig.get("ds.base") == 0x1000
    rig = Rig("pm32")
    load(rig, KDATA, "0f00d0")
    assert (rig.vector(), rig.read(rig.get("rsp"), 4)) == (GP, KDATA)


def test_ltr_marks_the_tss_busy_and_refuses_a_busy_one() -> None:
    rig = Rig("pm32")
    rig.entry(SPARE, descriptor(0x6000, 0x67, 0x89))
    rig.set("rax", SPARE)
    rig.step("0f00d8")
    assert (rig.get("tr"), rig.get("tr.attr"), rig.read(GDT + SPARE + 5, 1)) == (SPARE, 0x8B, 0x8B)
    load(rig, SPARE, "0f00d8")
    assert (rig.vector(), rig.read(rig.get("rsp"), 4)) == (GP, SPARE)


def test_ltr_in_long_mode_takes_a_16_byte_descriptor() -> None:
    rig = Rig("long")
    rig.entry(SPARE, descriptor(0x6000, 0x67, 0x89))
    rig.entry(SPARE + 8, 0xFFFF8000)
    rig.set("rax", SPARE)
    rig.step("0f00d8")
    assert rig.get("tr.base") == 0xFFFF8000_00006000


def test_pop_ds_and_push_fs() -> None:
    rig = Rig("pm32")
    rig.write(STACK_TOP, UDATA, 4)
    rig.step("1f 0fa0", 2)
    assert (rig.get("ds"), rig.get("rsp"), rig.read(STACK_TOP, 4)) == (UDATA, STACK_TOP, KDATA)


def test_pop_ds_that_faults_leaves_esp() -> None:
    rig = Rig("pm32")
    rig.write(STACK_TOP, 0x1000, 4)
    rig.run("1f")
    assert rig.get("rsp") == STACK_TOP - 16


def test_lds_and_lss() -> None:
    rig = Rig("pm32")
    rig.write(0x5000, 0x12345678, 4)
    rig.write(0x5004, UDATA, 2)
    rig.step("c53d 00500000")
    assert (rig.get("rdi"), rig.get("ds")) == (0x12345678, UDATA)
    rig = Rig("pm32")
    rig.write(0x5000, 0x9000, 4)
    rig.write(0x5004, KDATA, 2)
    rig.step("0fb225 00500000")
    assert (rig.get("rsp"), rig.get("ss")) == (0x9000, KDATA)


@pytest.mark.parametrize(("name", "code", "attributes", "rpl", "zf", "value"), [
    ("verr", "0f00e0", 0xC098, 0, 0, None), ("verr", "0f00e0", 0xC09A, 0, 1, None),
    ("verw", "0f00e8", 0xC090, 0, 0, None), ("verw", "0f00e8", 0xC092, 0, 1, None),
    ("verw", "0f00e8", 0xC092, 3, 0, None), ("lar", "0f02c8", 0xC092, 0, 1, 0x00C09200),
    ("lar", "0f02c8", 0x8E, 0, 0, None), ("lar", "0f02c8", 0x8C, 0, 1, 0x8C00),
    ("lsl", "0f03c8", 0xC092, 0, 1, 0xFFFFFFFF),
    ("lsl", "0f03c8", 0x8C, 0, 0, None)])
def test_inspection(name: str, code: str, attributes: int, rpl: int, zf: int, value: int | None) -> None:
    rig = Rig("pm32")
    rig.entry(SPARE, descriptor(attributes=attributes))
    rig.set("rax", SPARE | rpl)
    rig.set("rcx", 0x5555)
    rig.step(code)
    assert rig.get("rip") == CODE + 3, name
    assert rig.get("flags") >> 6 & 1 == zf
    assert rig.get("rcx") == (0x5555 if value is None else value)


def test_arpl() -> None:
    rig = Rig("pm32")
    rig.set("rax", 0x1001)
    rig.set("rcx", 3)
    rig.step("63c8")
    assert (rig.get("rax"), rig.get("flags") >> 6 & 1) == (0x1003, 1)
    rig = Rig("real")
    rig.run("63c8")
    assert rig.vector() == UD


@pytest.mark.parametrize("code, kind", [("0f00d8", 0x89), ("0f00d0", 0x82)])
def test_ltr_and_lldt_refuse_a_base_that_is_not_canonical(code: str, kind: int) -> None:
    """SDM Vol. 2A LTR, LLDT: in 64-bit mode #GP(selector)."""
    rig = Rig("long")
    rig.entry(SPARE, descriptor(0x6000, 0x67, kind))
    rig.entry(SPARE + 8, 0x01000000)
    before = rig.get("tr.base"), rig.get("ldtr.base")
    load(rig, SPARE, code)
    assert (rig.vector(), rig.read(rig.get("rsp"))) == (GP, SPARE)
    assert (rig.get("tr.base"), rig.get("ldtr.base")) == before and rig.read(GDT + SPARE + 5, 1) == kind


@pytest.mark.parametrize("selector, changes", [(0x101, True), (0x103, False)])
@pytest.mark.parametrize("obstacle", ["none", "segment", "page"])
def test_arpl_writes_memory_only_when_it_changes_it(selector: int, changes: bool, obstacle: str) -> None:
    """SDM Vol. 2A ARPL, Operation; a host CPU does the same on read-only segments and pages."""
    rig = Rig("pm32", cpl=3, paging=True)
    rig.write(0x80000, selector, 2)
    if obstacle == "segment":
        rig.set("ds.attr", 0xC0F1)
    elif obstacle == "page":
        rig.protect(0x80000, 5)
    rig.set("rcx", 2)
    rig.set("flags", 2 if not changes else 0x42)
    rig.run("63 0d 00000800 f4")
    vector = {"segment": GP, "page": 14}.get(obstacle) if changes else None
    faulted = vector is not None                                # else HLT does, because CPL is 3
    assert (rig.vector(), rig.read(rig.get("rsp") + 4, 4)) == (vector or GP, CODE if faulted else CODE + 6)
    assert rig.read(rig.get("rsp") + 12, 4) >> 6 & 1 == (changes if not faulted else 1)
    assert rig.read(0x80000, 2) == (0x102 if changes and obstacle == "none" else selector)


@pytest.mark.parametrize(("base", "offset", "vector"), [
    (0x40000, 0xFFFFFFFE, GP), (0, 0xFFFFFFFE, None), (0x40000, 0xFFFFFFFC, None), (0, 0xFFFFFFFC, None)])
def test_around_the_end_of_4_gib_only_a_segment_from_0_wraps(base: int, offset: int, vector: int | None) -> None:
    """As Intel processors do it, seen with FS on a host; SDM Vol. 3A 5.3 leaves it open."""
    rig = Rig("pm32")
    rig.segment("fs", KDATA, base, 0xFFFFFFFF, 0xC093)
    rig.set("rdi", offset)
    rig.port_input = [0] * 4                    # below 4 GiB there is a device
    rig.run("648b07f4")                         # MOV EAX, FS:[EDI]
    assert rig.vector() == vector
