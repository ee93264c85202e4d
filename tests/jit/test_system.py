"""Control and debug registers, MSRs, descriptor table registers, privilege checks (SDM Vol. 2, Vol. 3A 2.5)."""

import pytest

from jit import exits, layout
from tests.jit.rig import (
    CODE,
    CR0_PE,
    CR0_PG,
    EFER_LMA,
    EFER_LME,
    KCODE,
    TABLES,
    TSS,
    Rig,
    descriptor,
)

UD, DB, NP, SS, GP, PF = 6, 1, 11, 12, 13, 14
MOV_CR0_EAX, MOV_CR3_EAX, MOV_CR4_EAX = "0f22c0", "0f22d8", "0f22e0"
RDMSR, WRMSR = "0f32", "0f30"


def faults(rig: Rig, vector: int, code: int | None = 0) -> bool:
    """Whether the plane is in the handler of a vector, which got an error code, for the instruction at CODE."""
    size = 8 if rig.mode == "long" else 4
    words = rig.words(rig.get("rsp"), 2, size)
    return rig.vector() == vector and words == ([code, CODE] if code is not None else [CODE, words[1]])


@pytest.mark.parametrize("code", [
    "f4", "0f22c0", "0f20c0", "0f06", "0f01f0", "0f0138", "0f0110", "0f0118", "0f00d0", "0f00d8", "0f30", "0f32",
    "0f08", "0f09", "0f21c0", "0f23c0", "fa", "fb", "e410"])
def test_user_level_may_not(code: str) -> None:
    rig = Rig("long", cpl=3)
    rig.set("tr.limit", 0x67)
    rig.write(TSS + 0x66, 0x68, 2)
    rig.run(code)
    assert faults(rig, GP)


def test_umip() -> None:
    for code in ("0f0100", "0f0108", "0f00c0", "0f00c8", "0f01e0"):
        rig = Rig("pm32", cpl=3)
        rig.set("rax", 0x6000)
        rig.step(code)
        assert rig.get("cpl") == 3, code
        rig = Rig("pm32", cpl=3)
        rig.set("cr4", 1 << 11)
        rig.run(code)
        assert faults(rig, GP), code


@pytest.mark.parametrize("code", ["0f00c0", "0f00c8", "0f00d0", "0f00d8", "0f00e0", "0f02c0",
                                  "c4e278f2c1", "c5f857c0", "c5c95de6", "62f17c4858c0"])    # VEX and EVEX
def test_only_in_protected_mode(code: str) -> None:
    for mode in ("real", "vm86"):
        rig = Rig(mode)
        rig.run(code)
        assert rig.vector() == UD and not rig.unimplemented


@pytest.mark.parametrize("value", [CR0_PG, CR0_PE | 1 << 29])
def test_cr0_combinations_that_fault(value: int) -> None:
    rig = Rig("pm32")
    rig.set("rax", value)
    rig.run(MOV_CR0_EAX)
    assert faults(rig, GP)


def test_cr0_keeps_et_and_drops_reserved_bits() -> None:
    rig = Rig("pm32")
    rig.set("rax", CR0_PE | 1 << 6 | 1 << 2)
    rig.step(MOV_CR0_EAX)
    assert rig.get("cr0") == CR0_PE | 1 << 2 | 1 << 4


def test_entering_long_mode_needs_pae_a_legacy_code_segment_and_on_intel_a_tss_of_32_bits() -> None:
    """SDM Vol. 3A 4.1.2; APM Vol. 2 14.6.2 says nothing of the TSS, and Linux as an SNP guest starts APs with such."""
    intel, amd = layout.VENDOR_INTEL, layout.VENDOR_AMD
    for cr4, attr, tr, vendor, works in (
            (0x20, 0xC09B, 0x8B, intel, True), (0, 0xC09B, 0x8B, intel, False), (0x20, 0xA09B, 0x8B, intel, False),
            (0x20, 0xC09B, 0x83, intel, False), (0x20, 0xC09B, 0x83, amd, True)):
        rig = Rig("pm32")
        rig.write(TABLES, TABLES + 0x1000 | 7)
        rig.write(TABLES + 0x1000, 0x87)
        rig.set("cr3", TABLES)
        rig.set("cr4", cr4)
        rig.set("efer", EFER_LME)
        rig.set("cs.attr", attr)
        rig.set("tr.attr", tr)
        rig.plane.set(layout.VENDOR, vendor)
        rig.set("rax", CR0_PE | CR0_PG)
        rig.write(TABLES + 0x1000, TABLES + 0x2000 | 7)
        rig.write(TABLES + 0x2000, 0x87)
        rig.step(MOV_CR0_EAX)
        assert bool(rig.get("efer") & EFER_LMA) == works
        if not works:
            assert faults(rig, GP)


def test_leaving_paging_in_64_bit_mode_is_gp() -> None:
    rig = Rig("long")
    rig.set("rax", CR0_PE)
    rig.run(MOV_CR0_EAX)
    assert faults(rig, GP)


def test_cr4_reserved_bits_and_pae_in_long_mode() -> None:
    for value in (1 << 31, 0):
        rig = Rig("long")
        rig.set("rax", value)
        rig.run(MOV_CR4_EAX)
        assert faults(rig, GP)


def test_pae_loads_its_pointers_with_cr3_and_checks_reserved_bits() -> None:
    rig = Rig("pm32")
    rig.set("cr4", 0x20)
    rig.write(TABLES, TABLES + 0x1000 | 1)
    rig.write(TABLES + 0x1000, 0x83)
    rig.set("cr3", TABLES)
    rig.set("rax", CR0_PE | CR0_PG)
    rig.step(MOV_CR0_EAX)
    assert rig.get("pdpte") == TABLES + 0x1000 | 1
    rig.write(TABLES + 8, 0x1000 | 1 | 1 << 5)
    rig.set("rax", TABLES)
    rig.run(MOV_CR3_EAX)
    assert faults(rig, GP)
    assert rig.get("cr3") == TABLES


def test_write_protect_and_smap_take_effect_at_once() -> None:
    store = "c705 00000800 01000000"
    rig = Rig("pm32", paging=True)
    rig.protect(0x80000, 0b101)
    rig.set("rax", rig.get("cr0") | 1 << 16)
    rig.run(store + MOV_CR0_EAX + store)
    assert rig.vector() == PF
    assert rig.words(rig.get("rsp"), 2, 4) == [0b011, CODE + 13]
    rig = Rig("pm32", paging=True)
    for page in (CODE, 0x20000, 0x30000, 0x2000, 0x3000):
        rig.protect(page, 0b011)
    rig.set("rax", 1 << 21)
    rig.run(MOV_CR4_EAX + "0f01cb a100000800 0f01ca a100000800")
    assert rig.vector() == PF
    assert rig.words(rig.get("rsp"), 2, 4) == [0b001, CODE + 14]


def test_cr8_exits_with_the_value() -> None:
    rig = Rig("long")
    rig.set("rax", 9)
    assert rig.run("440f22c0") == exits.CR_WRITE
    assert rig.get("cr8") == rig.get("io_value") == 9
    rig = Rig("long")
    rig.set("rax", 16)
    rig.run("440f22c0")
    assert faults(rig, GP)


def test_lmsw_cannot_clear_pe_and_clts_clears_ts() -> None:
    rig = Rig("pm32")
    rig.set("rax", 0x8)
    rig.step("0f01f0")
    assert rig.get("cr0") & 0xF == 9
    rig.step("0f06")
    assert rig.get("cr0") & 0xF == 1


def test_mov_cr1_is_ud() -> None:
    rig = Rig("pm32")
    rig.run("0f22c8")
    assert rig.vector() == UD


def test_debug_registers() -> None:
    rig = Rig("pm32")
    rig.set("rax", 0xFFFFFFFF)
    rig.step("0f23f0 0f23c0 0f21f1", 3)
    assert (rig.get("dr6"), rig.get("dr"), rig.get("rcx")) == (0xFFFFEFFF, 0xFFFFFFFF, 0xFFFFEFFF)
    rig.step("0f21e2")                         # DR4 is DR6 ...
    assert rig.get("rdx") == 0xFFFFEFFF
    rig.set("cr4", 8)
    rig.run("0f21e2")                          # ... but with CR4.DE not
    assert rig.vector() == UD


def test_general_detect() -> None:
    rig = Rig("pm32")
    rig.set("dr7", 0x2400)
    rig.run("0f21c0")
    assert rig.vector() == DB
    assert rig.get("dr6") & 1 << 13
    assert not rig.get("dr7") & 1 << 13
    assert rig.read(rig.get("rsp"), 4) == CODE


def test_upper_half_of_dr7_is_gp() -> None:
    rig = Rig("long")
    rig.set("rax", 1 << 32)
    rig.run("0f23f8")
    assert faults(rig, GP)


def test_lgdt_and_sgdt() -> None:
    rig = Rig("long")
    rig.set("rax", 0x6000)
    rig.write(0x6000, 0x7FFF, 2)
    rig.write(0x6002, 0xFFFF8000_12345678)
    rig.step("0f0110 0f014010", 2)
    assert (rig.get("gdtr_base"), rig.get("gdtr_limit")) == (0xFFFF8000_12345678, 0x7FFF)
    assert (rig.read(0x6010, 2), rig.read(0x6012)) == (0x7FFF, 0xFFFF8000_12345678)
    rig = Rig("long")
    rig.set("rax", 0x6000)
    rig.write(0x6002, 1 << 56)
    rig.run("0f0118")
    assert faults(rig, GP)


def test_16_bit_lgdt_takes_24_bits() -> None:
    rig = Rig("real")
    rig.write(0x6000, 0xFFFFFFFF_FFFF, 6)
    rig.step("0f0116 0060")
    assert (rig.get("gdtr_base"), rig.get("gdtr_limit")) == (0xFFFFFF, 0xFFFF)


@pytest.mark.parametrize(("index", "field", "good", "bad"), [
    (0x174, "sysenter_cs", 0x8, None), (0x175, "sysenter_esp", -1, 1 << 60), (0x277, "pat", 0x0706050401000604, 2),
    (0xC0000081, "star", 0xFFFFFFFF_FFFFFFFF, None), (0xC0000082, "lstar", 0x7FFF_FFFFFFFF, 1 << 56),
    (0xC0000084, "sfmask", 0xFFFFFFFF, 1 << 32), (0xC0000100, "fs.base", -1 << 47, 1 << 56),
    (0xC0000101, "gs.base", 0x1234, 1 << 63), (0xC0000102, "kernel_gs_base", 0x1234, 1 << 62),
    (0xC0000103, "tsc_aux", 7, 1 << 32), (0xC0000080, "efer", 0xD01, 1 << 1)])
def test_msrs(index: int, field: str, good: int, bad: int | None) -> None:
    good &= (1 << 64) - 1
    rig = Rig("long")
    rig.set("rcx", index)
    rig.set("rax", good & 0xFFFFFFFF)
    rig.set("rdx", good >> 32)
    rig.step(WRMSR + RDMSR, 2)
    assert (rig.get(field), rig.get("rax"), rig.get("rdx")) == (good, good & 0xFFFFFFFF, good >> 32)
    if bad is not None:
        rig.set("rax", bad & 0xFFFFFFFF)
        rig.set("rdx", bad >> 32)
        rig.run(WRMSR)
        assert faults(rig, GP)
        assert rig.get(field) == good


def test_efer_lme_cannot_change_under_paging_and_lma_cannot_be_written() -> None:
    rig = Rig("long")
    rig.set("rcx", 0xC0000080)
    rig.set("rax", 0)
    rig.run(WRMSR)
    assert faults(rig, GP)
    rig = Rig("pm32")
    rig.set("rcx", 0xC0000080)
    rig.set("rax", EFER_LME | EFER_LMA)
    rig.step(WRMSR)
    assert rig.get("efer") == EFER_LME


def test_other_msrs_exit() -> None:
    for code, status in ((RDMSR, exits.RDMSR), (WRMSR, exits.WRMSR), ("0fa2", exits.CPUID)):
        rig = Rig("long")
        rig.set("rcx", 0x1B)
        assert rig.run(code) == status
        assert (rig.get("rip"), rig.get("next_rip")) == (CODE, CODE + 2)


def test_rdtsc_and_tsd() -> None:
    rig = Rig("long", cpl=3)
    rig.set("tsc_base", 1000)
    rig.set("tsc_aux", 5)
    rig.step("0f01f9")
    assert (rig.get("rax"), rig.get("rcx")) == (999, 5)
    rig.set("cr4", rig.get("cr4") | 4)
    rig.run("0f31")
    assert faults(rig, GP)


def test_swapgs_and_fsgsbase() -> None:
    rig = Rig("long")
    rig.set("gs.base", 1)
    rig.set("kernel_gs_base", 2)
    rig.step("0f01f8")
    assert (rig.get("gs.base"), rig.get("kernel_gs_base")) == (2, 1)
    rig.run("f3480faec0")
    assert rig.vector() == UD
    rig = Rig("long")
    rig.set("cr4", rig.get("cr4") | 1 << 16)
    rig.set("rax", 0x123)
    rig.step("f3480faed0 f3480faec1", 2)
    assert rig.get("rcx") == 0x123


def test_xsetbv() -> None:
    rig = Rig("long")
    rig.run("0f01d0")
    assert rig.vector() == UD
    rig = Rig("long")
    rig.set("cr4", rig.get("cr4") | 1 << 18)
    rig.set("rax", 2)
    rig.run("0f01d1")
    assert faults(rig, GP)


def test_invlpg_forgets_one_page() -> None:
    rig = Rig("long")
    rig.write(0x80000, 1)
    rig.write(0x81000, 2)
    rig.step("a1 0000080000000000")
    rig.write(TABLES + 0x3000 + 8 * 0x80, 0x81007)
    rig.code("0f013c2500000800 a1 0000080000000000")
    rig.set("rip", CODE)
    rig.step(count=2)
    assert rig.get("rax") == 2


def test_mode_follows_the_segments() -> None:
    rig = Rig("pm32")
    assert rig.get("mode") == layout.MODE_32 | layout.MODE_STACK32 | layout.MODE_FLAT_CODE
    rig.entry(KCODE, descriptor(0x100, attributes=0x409A))
    rig.step(b"\xea" + (CODE - 0x100).to_bytes(4, "little") + bytes((KCODE, 0)))
    assert rig.get("mode") == layout.MODE_32 | layout.MODE_STACK32
    assert rig.get("code_base") == 0x100
    assert Rig("real").get("mode") == layout.MODE_16
    assert Rig("long").get("mode") == layout.MODE_64
    assert Rig("long", cpl=3).get("tlb_set") == layout.SET_USER
