"""When x87 instructions do not execute: CR0.EM, TS, MP and NE (SDM Vol. 1 8.7, Vol. 3A 2.5)."""
import pytest

from emu.engine import Engine
from emu.mem.ram import PhysicalMemory
from emu.plane import Plane
from jit import exits, fpu_layout, layout, run_slots

MP, EM, TS, NE = 2, 4, 8, 0x20
NM, MF = 7, 16
CODE = 0x1000
FLD1, FWAIT, FNSTSW_AX, FNCLEX, FNINIT = (bytes.fromhex(c) for c in ("d9e8", "9b", "dfe0", "dbe2", "dbe3"))
PENDING = 0x8084                    # ZE, ES, B
ZE_UNMASKED = 0x37B


@pytest.fixture(scope="module")
def plane():
    memory = PhysicalMemory(1 << 20)
    memory.add_ram(0, 1 << 20)
    engine = Engine(memory, "interp")
    engine.runtime[run_slots.DELIVER] = 0       # an exception then comes out instead of being delivered
    return Plane(engine)


def execute(plane: Plane, code: bytes, cr0: int, fsw: int = 0) -> tuple[int, int]:
    """(exit status, vector) of one instruction in 64-bit mode."""
    engine = plane.engine
    engine.memory.write(CODE, code)
    engine.translator.flush()
    plane.flush()
    plane.fpu_set(fpu_layout.FCW, ZE_UNMASKED)
    plane.fpu_set(fpu_layout.FSW, fsw)
    plane.fpu_set(fpu_layout.FTW, 0)
    for field, value in ((layout.CR0, cr0 | 0x11), (layout.EFER, 0x500), (layout.RIP, CODE), (layout.BUDGET, 1),
                         (layout.FAULT_PENDING, 0), (layout.RESUME, 0), (layout.FAULT_VECTOR, 0)):
        plane.set(field, value)
    plane.set(layout.seg(layout.CS, layout.SEG_ATTR), 0xA09B)
    plane.update_mode()
    while True:
        status = engine.run(plane.address)
        if status != exits.DECODE:
            return status, plane.get(layout.FAULT_VECTOR)
        engine.translator.decode(plane.get(layout.WALK_GPA), plane.get(layout.MODE), None)


@pytest.mark.parametrize("code, cr0, vector", [
    (FLD1, EM, NM), (FLD1, TS, NM), (FNCLEX, TS, NM), (FNINIT, EM, NM), (FNSTSW_AX, EM, NM),
    (FWAIT, TS | MP, NM),
])
def test_device_not_available(plane, code, cr0, vector):
    assert execute(plane, code, cr0 | NE) == (exits.RUNTIME, vector)


@pytest.mark.parametrize("code, cr0", [(FWAIT, TS), (FWAIT, EM), (FWAIT, MP), (FLD1, MP)])
def test_available(plane, code, cr0):
    assert execute(plane, code, cr0 | NE)[0] == exits.EVENT


@pytest.mark.parametrize("code", [FLD1, FWAIT])
def test_a_pending_error_comes_out_as_mf_or_ferr(plane, code):
    assert execute(plane, code, NE, PENDING) == (exits.RUNTIME, MF)
    assert execute(plane, code, 0, PENDING)[0] == exits.FERR
    assert plane.get(layout.RIP) == CODE


@pytest.mark.parametrize("code", [FNSTSW_AX, FNCLEX, FNINIT])
def test_instructions_that_do_not_wait_ignore_a_pending_error(plane, code):
    assert execute(plane, code, NE, PENDING)[0] == exits.EVENT


def test_not_available_comes_before_a_pending_error(plane):
    assert execute(plane, FLD1, NE | TS, PENDING) == (exits.RUNTIME, NM)


@pytest.mark.parametrize("code, status_word", [("d9d9", 0x0800), ("ddd9", 0x0841)], ids=["FSTPNCE", "FSTP"])
def test_only_fstp_reports_an_empty_register(plane, code, status_word):
    """FSTPNCE pops and does nothing else (which manuals do not say; measured)."""
    assert execute(plane, bytes.fromhex(code), NE)[0] == exits.EVENT
    assert plane.fpu_get(fpu_layout.FSW) & 0xFFFF == status_word
