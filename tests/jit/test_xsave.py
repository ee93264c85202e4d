"""XSAVE, XRSTOR and their family (SDM Vol. 1 13; Vol. 2 of each instruction), XGETBV and XSETBV."""
import ctypes

import pytest

from jit import exits, fpu_layout, layout
from jit.xsave_layout import COMPONENTS, HEADER
from tests.jit.rig import Rig

AREA, SIZE = 0x40000, 2752
OSXSAVE, TS, ALL = 0x40600, 8, 0xE7
UD, NM, GP, PF = 6, 7, 13, 14
BY_NAME = {part.name: part for part in COMPONENTS}
# [rbx]; the 64 forms have REX.W
XSAVE, XRSTOR, XSAVEOPT, XSAVEC, XSAVES, XRSTORS = "0fae23", "0fae2b", "0fae33", "0fc723", "0fc72b", "0fc71b"
W = "48"
EVERY = [XSAVE, XRSTOR, XSAVEOPT, XSAVEC, XSAVES, XRSTORS]
COMPACT = 1 << 63


def make(mode="long", xcr0=ALL, cpl=0):
    rig = Rig(mode, cpl)
    rig.set("cr4", rig.get("cr4") | OSXSAVE)
    rig.set("xcr0", xcr0)
    rig.set("rbx", AREA)
    rig.plane.update_mode()
    rig.plane.reset_fpu()
    rig.plane.fpu_set(fpu_layout.FCW, 0x37F)        # the configuration of FNINIT
    rig.plane.fpu_set(fpu_layout.FTW, 0)
    return rig


def ask(rig, mask):
    rig.set("rax", mask & 0xFFFFFFFF)
    rig.set("rdx", mask >> 32)


def fill(rig, name, value):
    """All registers of a component hold bytes of `value`."""
    part = BY_NAME[name]
    fpu = rig.plane.get(layout.FPU)
    for n in range(part.count):
        ctypes.memset(fpu + part.file + n * part.stride, value, part.each)


def content(rig, name):
    part = BY_NAME[name]
    fpu = rig.plane.get(layout.FPU)
    return b"".join(ctypes.string_at(fpu + part.file + n * part.stride, part.each) for n in range(part.count))


def area(rig, offset, size):
    return rig.memory.read(AREA + offset, size)


def run(rig, code, mask=ALL):
    """Execute one instruction; gives the vector it raised, if any."""
    ask(rig, mask)
    rig.set("rsp", 0x20800)
    status = rig.run(bytes.fromhex(code) + b"\xf4", 1)
    return rig.vector() if rig.vector() is not None else None if status == exits.EVENT else status


# --- checks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", EVERY)
def test_without_osxsave_it_is_undefined_even_if_switched_and_misaligned(code):
    rig = make()
    rig.set("cr4", rig.get("cr4") & ~0x40000)
    rig.set("cr0", rig.get("cr0") | TS)
    rig.set("rbx", AREA + 1)
    rig.plane.update_mode()
    assert run(rig, code) == UD


@pytest.mark.parametrize("code", EVERY)
def test_a_switched_task_comes_before_misalignment(code):
    rig = make()
    rig.set("cr0", rig.get("cr0") | TS)
    rig.set("rbx", AREA + 1)
    rig.plane.update_mode()
    assert run(rig, code) == NM


@pytest.mark.parametrize("code", EVERY)
def test_the_area_is_aligned_to_64_bytes(code):
    rig = make()
    rig.memory.write(AREA + HEADER, (COMPACT << 64).to_bytes(16, "little"))
    rig.set("rbx", AREA + 32)
    assert run(rig, code) == GP


@pytest.mark.parametrize("code, vector", [(XSAVE, None), (XSAVES, GP), (XRSTORS, GP), (XSAVEC, None)])
def test_supervisor_forms_need_privilege(code, vector):
    assert run(make(cpl=3), code) == vector


@pytest.mark.parametrize("code", ["f0" + XSAVE, "0faee3", "0fc7e3"])
def test_lock_and_register_operands_are_undefined(code):
    assert run(make(), code) == UD


@pytest.mark.parametrize("code, page", [(XSAVE, AREA + 0x1000), (XRSTOR, AREA + 0x1000)])
def test_a_fault_in_the_last_component_changes_nothing(code, page):
    rig = make()
    rig.set("rbx", AREA + 0x800)
    for part in COMPONENTS[1:6]:
        fill(rig, part.name, 0x11)
    rig.memory.write(AREA + 0x800 + HEADER, (0xE6).to_bytes(8, "little"))
    rig.protect(page, 0)
    before = rig.memory.read(AREA, 0x2000), content(rig, "AVX"), rig.plane.fpu_get(fpu_layout.MXCSR)
    assert run(rig, code) == PF
    assert page <= rig.get("cr2") < page + 0x1000
    assert before == (rig.memory.read(AREA, 0x2000), content(rig, "AVX"), rig.plane.fpu_get(fpu_layout.MXCSR))


# --- saving --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [XSAVE, XSAVEOPT, XSAVEC, XRSTOR])
@pytest.mark.parametrize(("mask", "end", "vector"),
                         [(0, 0x240, None), (4, 0x340, None), (4, 0x300, PF), (7, 0x300, PF)])
def test_the_last_byte_of_what_is_asked_for_is_accessed_even_if_unused(code, mask, end, vector):
    """AVX state is in its initial configuration, and the area empty; 0x340 is AVX's end."""
    rig = make()
    rig.protect(AREA + 0x1000, 0)
    rig.set("rbx", AREA + 0x1000 - end)
    assert run(rig, code, mask) == vector


def test_xsave_writes_all_that_is_asked_for_and_says_what_is_in_use():
    rig = make()
    rig.memory.write(AREA, b"\xaa" * SIZE)
    rig.memory.write(AREA + HEADER, bytes(64))
    fill(rig, "AVX", 0x22)
    fill(rig, "Hi16_ZMM", 0x33)
    assert run(rig, XSAVE) is None
    assert area(rig, HEADER, 64) == (4 | 0x80).to_bytes(8, "little") + bytes(56)
    assert area(rig, 160, 256) == bytes(256) and area(rig, 1088, 64) == bytes(64)       # in their initial state
    assert area(rig, 576, 256) == b"\x22" * 256 and area(rig, 1664, 1024) == b"\x33" * 1024
    assert area(rig, 0, 24) == b"\x7f\x03" + bytes(22) and area(rig, 24, 8) == b"\x80\x1f\0\0\xff\xff\0\0"
    assert area(rig, 416, 96) == b"\xaa" * 96 and area(rig, 832, 256) == b"\xaa" * 256  # no component's


@pytest.mark.parametrize("code", [XSAVE, XSAVEOPT])
def test_the_standard_forms_keep_header_bits_that_are_not_asked_for(code):
    rig = make()
    fill(rig, "SSE", 1)
    rig.memory.write(AREA + HEADER, (1 << 62 | 4 | 1).to_bytes(8, "little"))
    run(rig, code, 3)
    assert area(rig, HEADER, 8) == (1 << 62 | 4 | 2).to_bytes(8, "little")


def test_only_enabled_components_are_saved():
    rig = make(xcr0=3)
    fill(rig, "AVX", 1)
    rig.memory.write(AREA + 576, b"\xaa" * 256)
    run(rig, XSAVE, (1 << 64) - 1)
    assert area(rig, 576, 256) == b"\xaa" * 256 and area(rig, HEADER, 8) == bytes(8)


def test_xsaveopt_leaves_out_what_is_in_its_initial_state_but_writes_mxcsr():
    rig = make()
    rig.memory.write(AREA, b"\xaa" * HEADER)
    fill(rig, "AVX", 5)
    run(rig, XSAVEOPT)
    assert area(rig, HEADER, 8) == (4).to_bytes(8, "little")
    assert area(rig, 0, 24) == b"\xaa" * 24 and area(rig, 160, 256) == b"\xaa" * 256
    assert area(rig, 24, 8) == b"\x80\x1f\0\0\xff\xff\0\0" and area(rig, 576, 256) == b"\5" * 256


@pytest.mark.parametrize("code", [XSAVEC, XSAVES])
def test_the_compacted_forms_pack_what_is_asked_for(code):
    """AVX is left out; opmask, asked for but not in use, keeps its place (SDM Vol. 1 13.4.3)."""
    rig = make()
    fill(rig, "ZMM_Hi256", 7)
    fill(rig, "SSE", 6)
    run(rig, code, 0xE3)
    assert area(rig, HEADER, 16) == (0x42 | (COMPACT | 0xE3) << 64).to_bytes(16, "little")
    assert area(rig, 576, 64) == bytes(64)
    assert area(rig, 640, 512) == b"\7" * 512 and area(rig, 160, 256) == b"\6" * 256


def test_xsavec_counts_mxcsr_as_sse_state_and_xsave_does_not():
    rig = make()
    rig.plane.fpu_set(fpu_layout.MXCSR, 0x1F00)
    run(rig, XSAVE)
    assert area(rig, HEADER, 8) == bytes(8) and area(rig, 24, 4) == b"\0\x1f\0\0"
    run(rig, XSAVEC, 2)
    assert area(rig, HEADER, 8) == (2).to_bytes(8, "little")


def test_outside_64_bit_mode_the_upper_registers_do_not_exist():
    rig = make("pm32")
    for part in COMPONENTS[1:6]:
        fill(rig, part.name, 0x44)
    rig.memory.write(AREA, b"\xaa" * SIZE)
    rig.memory.write(AREA + HEADER, bytes(64))
    assert run(rig, XSAVE) is None
    assert area(rig, HEADER, 8) == (0x66).to_bytes(8, "little")
    assert area(rig, 160, 256) == b"\x44" * 128 + b"\xaa" * 128
    assert area(rig, 1152, 512) == b"\x44" * 256 + b"\xaa" * 256 and area(rig, 1664, 1024) == b"\xaa" * 1024
    rig.memory.write(AREA + HEADER, bytes(8))
    assert run(rig, XRSTOR) is None
    assert content(rig, "SSE") == bytes(128) + b"\x44" * 128 and content(rig, "Hi16_ZMM") == b"\x44" * 1024


# --- restoring -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("saves, restores", [(W + XSAVE, W + XRSTOR), (XSAVEOPT, XRSTOR), (W + XSAVEC, W + XRSTOR),
                                             (W + XSAVES, W + XRSTORS)])
def test_what_was_saved_comes_back(saves, restores):
    rig = make()
    for value, part in enumerate(COMPONENTS[1:6], 1):
        fill(rig, part.name, value)
    words = {fpu_layout.FCW: 0x27F, fpu_layout.FSW: 0x3900, fpu_layout.FTW: 0x80, fpu_layout.FOP: 0x123,
             fpu_layout.FIP: 0x12345678, fpu_layout.FDP: 0x9ABCDEF0, fpu_layout.MXCSR: 0x9FC0}
    for field, value in words.items():
        rig.plane.fpu_set(field, value)
    ctypes.memset(rig.plane.get(layout.FPU) + fpu_layout.ST + 7 * 16, 0x3F, 10)
    before = {part.name: content(rig, part.name) for part in COMPONENTS[1:6]}
    st = ctypes.string_at(rig.plane.get(layout.FPU) + fpu_layout.ST, 128)
    assert run(rig, saves) is None
    rig.plane.reset_fpu()
    assert run(rig, restores) is None
    assert {part.name: content(rig, part.name) for part in COMPONENTS[1:6]} == before
    assert {field: rig.plane.fpu_get(field) for field in words} == words
    assert ctypes.string_at(rig.plane.get(layout.FPU) + fpu_layout.ST, 128) == st


@pytest.mark.parametrize("code, layout_bits, mxcsr", [(XRSTOR, 0, 0x1FC0), (XRSTOR, COMPACT | ALL, 0x1F80),
                                                      (XRSTORS, COMPACT | ALL, 0x1F80)])
def test_absent_components_are_initialised_and_mxcsr_follows_the_form(code, layout_bits, mxcsr):
    """The standard form loads MXCSR whatever XSTATE_BV says; the compacted one has it initialised (SDM Vol. 1 13.8)."""
    rig = make()
    for part in COMPONENTS[1:6]:
        fill(rig, part.name, 9)
    rig.plane.fpu_set(fpu_layout.FTW, 0xFF)
    rig.memory.write(AREA + 24, (0x1FC0).to_bytes(4, "little"))
    rig.memory.write(AREA + HEADER + 8, layout_bits.to_bytes(8, "little"))
    assert run(rig, code) is None
    assert not any(any(content(rig, part.name)) for part in COMPONENTS[1:6])
    assert rig.plane.fpu_get(fpu_layout.FCW) == 0x37F and rig.plane.fpu_get(fpu_layout.FTW) == 0
    assert rig.plane.fpu_get(fpu_layout.MXCSR) == mxcsr


def test_components_that_are_not_asked_for_are_kept():
    rig = make()
    fill(rig, "SSE", 8)
    fill(rig, "AVX", 9)
    assert run(rig, XRSTOR, 4) is None
    assert content(rig, "SSE") == b"\x08" * 256 and content(rig, "AVX") == bytes(256)


HEADERS = [
    ("XSTATE_BV beyond XCR0", XRSTOR, 0x200, 0, 0, GP), ("byte 8 of a standard header", XRSTOR, 1, 1, 0, GP),
    ("byte 16 of one", XRSTOR, 1, 0, 1 << 0, GP), ("byte 24, not looked at", XRSTOR, 1, 0, 1 << 64, None),
    ("XCOMP_BV beyond XCR0", XRSTOR, 1, COMPACT | 0x201, 0, GP),
    ("XSTATE_BV beyond XCOMP_BV", XRSTOR, 4, COMPACT | 3, 0, GP),
    ("byte 16 of a compacted header", XRSTOR, 1, COMPACT | 3, 1, GP),
    ("byte 63 of one", XRSTOR, 1, COMPACT | 3, 1 << 376, GP), ("a good one", XRSTOR, 1, COMPACT | 3, 0, None),
    ("XRSTORS of the standard form", XRSTORS, 1, 0, 0, GP), ("XRSTORS", XRSTORS, 1, COMPACT | 1, 0, None)]


@pytest.mark.parametrize("_, code, present, compacted, rest, vector", HEADERS, ids=[h[0] for h in HEADERS])
def test_the_header_is_checked(_, code, present, compacted, rest, vector):
    rig = make()
    fill(rig, "SSE", 8)
    rig.memory.write(AREA, bytes(HEADER))
    rig.memory.write(AREA + 24, (0x1F80).to_bytes(4, "little"))
    rig.memory.write(AREA + HEADER, (present | compacted << 64 | rest << 128).to_bytes(64, "little"))
    assert run(rig, code) == vector
    assert (content(rig, "SSE") == b"\x08" * 256) == (vector is not None)


@pytest.mark.parametrize("mask, present, vector", [(1, 0, None), (2, 0, GP), (4, 0, GP), (6, 6, GP)])
def test_reserved_bits_of_mxcsr_fault_where_it_is_loaded(mask, present, vector):
    rig = make()
    rig.memory.write(AREA + 24, (0x11F80).to_bytes(4, "little"))
    rig.memory.write(AREA + HEADER, present.to_bytes(8, "little"))
    assert run(rig, XRSTOR, mask) == vector


# --- XGETBV, XSETBV ------------------------------------------------------------------------------------------------


def test_xgetbv_1_tells_what_is_in_use():
    rig = make(xcr0=7)
    fill(rig, "AVX", 1)
    fill(rig, "opmask", 1)
    rig.set("rcx", 1)
    rig.run("0f01d0f4", 1)
    assert (rig.get("rax"), rig.get("rdx")) == (4, 0)
    rig.set("rcx", 2)
    rig.run("0f01d0f4", 1)
    assert rig.vector() == GP


@pytest.mark.parametrize("value, good", [(1, True), (3, True), (7, True), (0xE7, True), (0, False), (2, False),
                                         (5, False), (0x27, False), (0x67, False), (0xE3, False), (0xE1, False),
                                         (8 | 7, False), (1 << 63 | 7, False), (0x207, False)])
def test_xsetbv_takes_what_makes_sense(value, good):
    rig = make(xcr0=1)
    rig.set("xcr0_valid", 0xE7)
    rig.set("rcx", 0)
    rig.set("rax", value & 0xFFFFFFFF)
    rig.set("rdx", value >> 32)
    rig.run("0f01d1f4", 1)
    assert rig.get("xcr0") == (value if good else 1) and rig.vector() == (None if good else GP)


@pytest.mark.parametrize("code, xcr0, cr4, cr0, vector", [
    ("c5f857c0", 7, OSXSAVE, 0, None), ("c5f857c0", 3, OSXSAVE, 0, UD), ("c5f857c0", 7, 0x600, 0, UD),
    ("c5f857c0", 7, OSXSAVE, TS, NM), ("c5f857c0", 3, OSXSAVE, TS, UD), ("0f57c0", 1, OSXSAVE, 0, None)])
def test_avx_needs_its_state_enabled(code, xcr0, cr4, cr0, vector):
    """VXORPS, and XORPS, which needs no XCR0 (SDM Vol. 1 13.1, 14.3)."""
    rig = make(xcr0=xcr0)
    rig.set("cr4", 0x20 | cr4)
    rig.set("cr0", rig.get("cr0") | cr0)
    rig.plane.update_mode()
    assert run(rig, code) == vector
