"""Vector instructions' checks and faults (SDM Vol. 3A 2.5, 13.1; Vol. 2A tables 2-18 ff.; Vol. 1 9.5, 11.5)."""

import pytest

from jit import fpu_layout, layout
from tests.jit.rig import CR4_PAE, Rig

UD, NM, GP, PF, MF, XM = 6, 7, 13, 14, 16, 19
EM, TS, NE = 4, 8, 0x20
OSFXSR, OSXMMEXCPT, OSXSAVE = 1 << 9, 1 << 10, 1 << 18
PADDB, VPADDB, PADDB_MMX, ADDPS, FXSAVE = "660ffcc1", "c5f9fcc1", "0ffcc1", "0f58c1", "0fae03"
DATA = 0x40000


def rig(cr0: int = 0, cr4: int = OSFXSR | OSXMMEXCPT, xcr0: int = 1) -> Rig:
    made = Rig("long")
    made.set("cr0", made.get("cr0") | cr0)
    made.set("cr4", CR4_PAE | cr4)
    made.set("xcr0", xcr0)
    made.plane.update_mode()
    return made


@pytest.mark.parametrize(("code", "cr0", "cr4", "xcr0", "vector"), [
    (PADDB, 0, OSFXSR, 1, None),
    (PADDB, EM, OSFXSR, 1, UD), (PADDB, 0, 0, 1, UD), (PADDB, TS, OSFXSR, 1, NM), (PADDB, EM | TS, OSFXSR, 1, UD),
    (VPADDB, 0, OSFXSR | OSXSAVE, 7, None), (VPADDB, 0, OSFXSR | OSXSAVE, 3, UD), (VPADDB, 0, OSFXSR, 7, UD),
    (VPADDB, TS, OSFXSR | OSXSAVE, 7, NM),
    (PADDB_MMX, 0, 0, 1, None), (PADDB_MMX, EM, 0, 1, UD), (PADDB_MMX, TS, 0, 1, NM),
    (FXSAVE, EM, OSFXSR, 1, NM), (FXSAVE, TS, OSFXSR, 1, NM), (FXSAVE, 0, 0, 1, None),
])
def test_control_registers_permit_each_family(code: str, cr0: int, cr4: int, xcr0: int, vector: int | None) -> None:
    plane = rig(cr0, cr4, xcr0)
    plane.set("rbx", DATA)
    plane.run(code + "f4")
    assert plane.vector() == vector


def test_clearing_task_switched_lets_the_same_code_run() -> None:
    plane = rig(TS)
    plane.run("0f06" + PADDB + "f4")            # CLTS first
    assert plane.vector() is None


def test_a_pending_x87_exception_comes_out_of_mmx() -> None:
    plane = rig(NE)
    plane.plane.fpu_set(fpu_layout.FSW, 0x80)
    plane.run(PADDB_MMX + "f4")
    assert plane.vector() == MF


@pytest.mark.parametrize(("cr4", "vector"), [(OSFXSR | OSXMMEXCPT, XM), (OSFXSR, UD)])
def test_an_unmasked_exception_leaves_the_destination(cr4: int, vector: int) -> None:
    plane = rig(cr4=cr4)
    fpu = plane.plane
    fpu.fpu_set(fpu_layout.MXCSR, 0x1F80 & ~0x80)           # invalid operation unmasked
    fpu.fpu_set(fpu_layout.xmm(0), 0x7F800000)              # infinity
    fpu.fpu_set(fpu_layout.xmm(1), 0xFF800000)
    plane.run(ADDPS + "f4")
    assert plane.vector() == vector
    assert fpu.fpu_get(fpu_layout.xmm(0)) == 0x7F800000
    assert fpu.fpu_get(fpu_layout.MXCSR) == (0x1F80 & ~0x80) | 1


def test_misaligned_operands_fault_before_the_page_does() -> None:
    plane = rig()
    plane.set("rbx", (1 << 46) + 8)
    plane.run("0f2803f4")                       # MOVAPS XMM0, [RBX]
    assert plane.vector() == GP
    plane = rig()
    plane.set("rbx", (1 << 46) + 8)
    plane.run("0f1003f4")                       # MOVUPS
    assert plane.vector() == PF


def test_a_store_across_a_missing_page_stores_nothing() -> None:
    plane = rig()
    plane.protect(DATA + 0x1000, 0)
    plane.plane.fpu_set(fpu_layout.xmm(0), (1 << 64) - 1)
    plane.set("rbx", DATA + 0xFF8)
    plane.run("0f1103f4")                       # MOVUPS [RBX], XMM0
    assert plane.vector() == PF
    assert plane.get("fault_address") == DATA + 0x1000
    assert plane.read(DATA + 0xFF8) == 0


def test_the_upper_part_survives_legacy_writes_and_not_vex_ones() -> None:
    plane = rig(cr4=OSFXSR | OSXSAVE, xcr0=7)
    for word in range(8):
        plane.plane.fpu_set(fpu_layout.xmm(0) + 8 * word, 1 + word)
    plane.run(PADDB + "f4")
    assert [plane.plane.fpu_get(fpu_layout.xmm(0) + 8 * w) for w in range(8)] == [1, 2, 3, 4, 5, 6, 7, 8]
    plane.run(VPADDB + "f4")
    assert [plane.plane.fpu_get(fpu_layout.xmm(0) + 8 * w) for w in range(8)] == [1, 2, 0, 0, 0, 0, 0, 0]


def test_planes_that_share_an_fpu_file_see_the_same_registers() -> None:
    first, second = rig(), rig()
    second.plane.use_fpu(first.plane.get(layout.FPU))
    first.plane.fpu_set(fpu_layout.xmm(1), 5)
    second.run(PADDB + "f4")
    assert first.plane.fpu_get(fpu_layout.xmm(0)) == 5


def test_reset_state() -> None:
    """SDM Vol. 3A table 9-1."""
    plane = rig().plane
    assert plane.fpu_get(fpu_layout.MXCSR) == 0x1F80
    assert plane.fpu_get(fpu_layout.FCW) == 0x40


@pytest.mark.parametrize("value", [0x10000, 0xFFFFFFFF])
def test_reserved_bits_of_mxcsr(value: int) -> None:
    plane = rig()
    plane.write(DATA, value, 4)
    plane.set("rbx", DATA)
    plane.run("0fae13f4")                       # LDMXCSR [RBX]
    assert plane.vector() == GP
    assert plane.plane.fpu_get(fpu_layout.MXCSR) == 0x1F80
