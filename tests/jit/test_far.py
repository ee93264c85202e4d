"""Far jumps, calls, returns, gates, IRET and fast system calls in every mode, with their error codes."""

import pytest

from jit import exits, layout
from tests.jit.rig import (
    CALL16,
    CALL32,
    CODE,
    GDT,
    KCODE,
    KDATA,
    NULL,
    STACK,
    STACK_TOP,
    TSS,
    UCODE,
    UDATA,
    Rig,
    descriptor,
    gate,
)

UD, NP, SS, GP = 6, 11, 12, 13
TARGET = 0x12000
SPARE, SECOND = 0x40, 0x48


def ljmp(selector: int, offset: int = TARGET) -> bytes:
    return b"\xea" + offset.to_bytes(4, "little") + selector.to_bytes(2, "little")


def lcall(selector: int, offset: int = TARGET) -> bytes:
    return b"\x9a" + offset.to_bytes(4, "little") + selector.to_bytes(2, "little")


def error_of(rig: Rig) -> tuple[int | None, int]:
    """Vector and error code after a delivery."""
    return rig.vector(), rig.read(rig.get("rsp"), 8 if rig.mode == "long" else 4)


def test_real_mode_jump_call_return() -> None:
    rig = Rig("real")
    rig.code("cb", 0x11230)
    rig.run("9a 3012 0010 f4")                 # lcall 0x1000:0x1230
    assert rig.get("rip") == 5
    assert rig.words(STACK + 0x7FC, 2, 2) == [5, CODE >> 4]
    assert (rig.get("cs"), rig.get("cs.base"), rig.get("rsp")) == (0x1000, 0x10000, 0x800)


def test_real_mode_keeps_the_cached_limit() -> None:
    rig = Rig("real")
    rig.set("ds.limit", 0xFFFFFFFF)
    rig.set("rax", 0x123)
    rig.run("8ed8 f4")
    assert (rig.get("ds"), rig.get("ds.base"), rig.get("ds.limit")) == (0x123, 0x1230, 0xFFFFFFFF)


@pytest.mark.parametrize(("selector", "attributes", "expected"), [
    (NULL, None, (GP, 0)), (KDATA, None, (GP, KDATA)), (0xFF8, 0, (GP, 0xFF8)), (0x1000, None, (GP, 0x1000)),
    (SPARE, 0xC01A, (NP, SPARE)), (SPARE, 0xC0FA, (GP, SPARE)), (SPARE, 0x82, (GP, SPARE)), (4, None, (GP, 4))])
def test_jump_to_a_bad_selector(selector: int, attributes: int | None, expected: tuple[int, int]) -> None:
    rig = Rig("pm32")
    if attributes is not None:
        rig.entry(selector, descriptor(attributes=attributes))
    before = rig.snapshot()
    rig.run(ljmp(selector))
    assert error_of(rig) == expected
    assert rig.read(rig.get("rsp") + 4, 4) == CODE
    assert rig.get("rsp") == before["rsp"] - 16


def test_jump_beyond_the_limit_is_gp_0() -> None:
    rig = Rig("pm32")
    rig.entry(SPARE, descriptor(limit=TARGET - 1, attributes=0x409A))
    rig.run(ljmp(SPARE))
    assert error_of(rig) == (GP, 0)


def test_conforming_code_keeps_cpl() -> None:
    rig = Rig("pm32", cpl=3)
    rig.entry(SPARE, descriptor(attributes=0xC09E))
    rig.code("90", TARGET)
    assert rig.step(ljmp(SPARE)) == exits.EVENT
    assert (rig.get("cs"), rig.get("cpl"), rig.get("rip")) == (SPARE | 3, 3, TARGET)
    assert rig.read(GDT + SPARE + 5, 1) == 0x9F


def test_call_and_return_same_level() -> None:
    rig = Rig("pm32")
    rig.code("ca0800", TARGET)                 # lret 8
    rig.step(lcall(KCODE))
    assert rig.words(STACK_TOP - 8, 2, 4) == [CODE + 7, KCODE]
    rig.step()
    assert (rig.get("rip"), rig.get("rsp")) == (CODE + 7, STACK_TOP + 8)


def test_call_gate_to_inner_level_copies_parameters_and_returns() -> None:
    rig = Rig("pm32", cpl=3)
    rig.entry(SPARE, gate(KCODE, TARGET, CALL32 | 0x60, 2))
    rig.code("ca0800", TARGET)
    rig.write(STACK_TOP, 0x11111111, 4)
    rig.write(STACK_TOP + 4, 0x22222222, 4)
    rig.step(lcall(SPARE))
    top = STACK_TOP + 0x800
    assert rig.words(top - 24, 6, 4) == [CODE + 7, UCODE | 3, 0x11111111, 0x22222222, STACK_TOP, UDATA | 3]
    assert (rig.get("cs"), rig.get("ss"), rig.get("cpl")) == (KCODE, KDATA, 0)
    rig.segment("es", KDATA, 0, 0xFFFFFFFF, 0xC093)
    rig.step()
    assert (rig.get("rip"), rig.get("rsp"), rig.get("cpl")) == (CODE + 7, STACK_TOP + 8, 3)
    assert (rig.get("es"), rig.get("ds")) == (0, UDATA | 3)


def test_16_bit_call_gate() -> None:
    rig = Rig("pm32")
    rig.entry(SPARE, gate(KCODE, 0x4000, CALL16))
    rig.step(lcall(SPARE))
    assert rig.get("rip") == 0x4000
    assert rig.words(STACK_TOP - 4, 2, 2) == [(CODE + 7) & 0xFFFF, KCODE]


@pytest.mark.parametrize(("selector", "value", "expected"), [
    (SPARE | 3, gate(KCODE, TARGET, CALL32), (GP, SPARE)), (SPARE, gate(KCODE, TARGET, CALL32 & 0x7F), (NP, SPARE)),
    (SPARE, gate(0, TARGET, CALL32), (GP, 0)), (SPARE, gate(KDATA, TARGET, CALL32), (GP, KDATA))])
def test_bad_call_gate(selector: int, value: int, expected: tuple[int, int]) -> None:
    rig = Rig("pm32")
    rig.entry(SPARE, value)
    rig.run(lcall(selector))
    assert error_of(rig) == expected


def test_64_bit_call_gate() -> None:
    rig = Rig("long", cpl=3)
    rig.entry(SPARE, gate(KCODE, TARGET, CALL32 | 0x60))
    rig.entry(SECOND, 0)
    rig.memory.write(CODE + 0x100, TARGET.to_bytes(4, "little") + SPARE.to_bytes(2, "little"))
    rig.code("48cb", TARGET)
    rig.step("ff1c25 00010100")                # lcall [0x10100]
    top = STACK_TOP + 0x800
    assert rig.words(top - 32, 4, 8) == [CODE + 7, UCODE | 3, STACK_TOP, UDATA | 3]
    assert (rig.get("cpl"), rig.get("ss"), rig.get("mode")) == (0, 0, layout.MODE_64)
    rig.step()
    assert (rig.get("rip"), rig.get("rsp"), rig.get("cpl"), rig.get("ss")) == (CODE + 7, STACK_TOP, 3, UDATA | 3)


def test_far_return_inwards_is_gp() -> None:
    rig = Rig("pm32", cpl=3)
    rig.write(STACK_TOP, TARGET, 4)
    rig.write(STACK_TOP + 4, KCODE, 4)
    rig.run("cb")
    assert error_of(rig) == (GP, KCODE)


def test_far_return_checks_the_outer_stack() -> None:
    for selector, attributes, expected in ((NULL, None, (GP, 0)), (KDATA | 3, None, (GP, KDATA)),
                                           (SPARE | 3, 0xC072, (SS, SPARE))):
        rig = Rig("pm32")
        if attributes is not None:
            rig.entry(selector, descriptor(attributes=attributes))
        for i, word in enumerate((TARGET, UCODE | 3, 0x8000, selector)):
            rig.write(STACK_TOP + 4 * i, word, 4)
        rig.run("cb")
        assert error_of(rig) == expected


def test_iret_to_virtual_8086_mode() -> None:
    rig = Rig("pm32")
    for i, word in enumerate((0x10, 0x1000, 0x23202, 0x700, 0x2000, 0x11, 0x22, 0x33, 0x44)):
        rig.write(STACK_TOP + 4 * i, word, 4)
    rig.step("cf")
    assert (rig.get("rip"), rig.get("cs"), rig.get("cs.base"), rig.get("cpl")) == (0x10, 0x1000, 0x10000, 3)
    assert (rig.get("rsp"), rig.get("ss")) == (0x700, 0x2000)
    assert [rig.get(s) for s in ("es", "ds", "fs", "gs")] == [0x11, 0x22, 0x33, 0x44]
    assert (rig.get("flags"), rig.get("ds.attr"), rig.get("mode")) == (0x23202, 0xF3, layout.MODE_16)


@pytest.mark.parametrize(("iopl", "allowed"), [(0, False), (3, True)])
def test_iret_in_virtual_8086_mode_needs_iopl_3(iopl: int, allowed: bool) -> None:
    rig = Rig("vm86")
    rig.set("flags", 0x20002 | iopl << 12)
    for i, word in enumerate((0x20, CODE >> 4, 0x0202)):
        rig.write(STACK + 0x800 + 2 * i, word, 2)
    rig.step("cf")
    if allowed:
        assert (rig.get("rip"), rig.get("flags")) == (0x20, 0x23202)
    else:
        assert error_of(rig) == (GP, 0)


def test_iret_at_user_level_cannot_change_iopl_or_if() -> None:
    rig = Rig("pm32", cpl=3)
    for i, word in enumerate((TARGET, UCODE | 3, 0x3247)):
        rig.write(STACK_TOP + 4 * i, word, 4)
    rig.step("cf")
    assert rig.get("flags") == 0x47


def test_iretq_with_null_ss_at_cpl_0() -> None:
    rig = Rig("long")
    for i, word in enumerate((TARGET, KCODE, 0x202, 0x9000, 0)):
        rig.write(STACK_TOP + 8 * i, word)
    rig.step("48cf")
    assert (rig.get("rip"), rig.get("rsp"), rig.get("ss"), rig.get("flags")) == (TARGET, 0x9000, 0, 0x202)


def test_iretq_to_compatibility_mode() -> None:
    rig = Rig("long")
    rig.entry(SPARE, descriptor(attributes=0xC0FA))
    for i, word in enumerate((TARGET, SPARE | 3, 0x202, 0x9000, UDATA | 3)):
        rig.write(STACK_TOP + 8 * i, word)
    rig.step("48cf")
    assert rig.get("mode") == layout.MODE_32 | layout.MODE_STACK32 | layout.MODE_FLAT_CODE
    assert (rig.get("cpl"), rig.get("rsp"), rig.get("tlb_set")) == (3, 0x9000, layout.SET_USER)


def test_iretq_to_user_level_empties_inner_segments_but_keeps_bases_of_null_ones() -> None:
    rig = Rig("long")
    rig.segment("fs", 0, 0x12345000, 0, 0)              # as after MOV FS, 0 and WRFSBASE
    rig.segment("gs", KDATA, 0x5000, 0xFFFFFFFF, 0xC093)
    for i, word in enumerate((TARGET, UCODE | 3, 0x202, 0x9000, UDATA | 3)):
        rig.write(STACK_TOP + 8 * i, word)
    rig.step("48cf")
    assert [rig.get(n) for n in ("cpl", "fs", "fs.base", "gs")] == [3, 0, 0x12345000, 0]


def test_iretq_with_nt_or_a_non_canonical_target_is_gp_0() -> None:
    for flags, target in ((0x4002, TARGET), (2, 1 << 48)):
        rig = Rig("long")
        rig.set("flags", flags)
        for i, word in enumerate((target, KCODE, 2, 0x9000, 0)):
            rig.write(STACK_TOP + 8 * i, word)
        rig.run("48cf")
        assert error_of(rig) == (GP, 0)


def syscall_rig(cpl: int) -> Rig:
    rig = Rig("long", cpl=cpl)
    rig.set("efer", rig.get("efer") | 1)
    rig.set("star", 0x10 << 48 | KCODE << 32)
    rig.set("lstar", TARGET)
    rig.set("sfmask", 0x300)
    return rig


def test_syscall_and_sysret() -> None:
    rig = syscall_rig(3)
    rig.set("flags", 0x203)
    rig.code("480f07", TARGET)
    rig.step("0f05")
    assert (rig.get("rip"), rig.get("rcx"), rig.get("r11")) == (TARGET, CODE + 2, 0x203)
    assert (rig.get("cs"), rig.get("ss"), rig.get("cpl"), rig.get("flags")) == (KCODE, KDATA, 0, 3)
    rig.step()
    assert (rig.get("rip"), rig.get("cs"), rig.get("ss"), rig.get("cpl"), rig.get("flags")) == (
        CODE + 2, 0x23, 0x1B, 3, 0x203)


def test_syscall_without_sce_is_ud() -> None:
    rig = syscall_rig(3)
    rig.set("efer", rig.get("efer") & ~1)
    rig.run("0f05")
    assert rig.vector() == UD


def test_sysret_to_a_non_canonical_address_faults_in_the_kernel() -> None:
    rig = syscall_rig(0)
    rig.set("rcx", 1 << 47)
    rig.run("480f07")
    assert error_of(rig) == (GP, 0)
    assert rig.read(rig.get("rsp") + 16) == KCODE


def test_sysenter_and_sysexit() -> None:
    rig = Rig("pm32", cpl=3)
    rig.set("sysenter_cs", KCODE)
    rig.set("sysenter_esp", 0x9000)
    rig.set("sysenter_eip", TARGET)
    rig.code("0f35", TARGET)
    rig.set("rcx", 0x8000)
    rig.set("rdx", CODE)
    rig.step("0f34")
    assert [rig.get(n) for n in ("rip", "rsp", "cs", "ss", "cpl")] == [TARGET, 0x9000, KCODE, KDATA, 0]
    rig.step()
    assert [rig.get(n) for n in ("rip", "rsp", "cs", "ss", "cpl")] == [CODE, 0x8000, 0x1B, 0x23, 3]


def test_sysenter_without_a_segment_is_gp_0() -> None:
    rig = Rig("pm32")
    rig.run("0f34")
    assert error_of(rig) == (GP, 0)


def test_tss_without_room_for_the_inner_stack() -> None:
    rig = Rig("pm32", cpl=3)
    rig.write(TSS + 4, 8, 4)                   # too little room below: the frame wraps to the top, which is allowed
    rig.entry(KDATA, descriptor(limit=0xFF, attributes=0x4092))
    rig.entry(SPARE, gate(KCODE, TARGET, CALL32 | 0x60))
    rig.entry(SECOND, descriptor(attributes=0xC09E))
    rig.write(0x3000 + 8 * SS, gate(SECOND, 0x30000 + 16 * SS, 0x8E))
    rig.run(lcall(SPARE))
    assert rig.words(STACK_TOP - 16, 2, 4) == [KDATA, CODE]


def test_segments_dropped_by_a_return_keep_their_base() -> None:
    """FS and GS go on working with a base that an MSR gave them, under the null selector (SDM Vol. 3A 3.4.4.1)."""
    rig = Rig("long")
    rig.set("gs.base", 0x12345000)
    for i, word in enumerate((TARGET, UCODE | 3, 0x202, 0x9000, UDATA | 3)):
        rig.write(STACK_TOP + 8 * i, word)
    rig.step("48cf")
    assert (rig.get("cpl"), rig.get("gs"), rig.get("gs.base"), rig.get("ds")) == (3, 0, 0x12345000, 0)
