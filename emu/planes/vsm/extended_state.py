"""Processor state that came later, as virtual-processor registers (TLFS, appendix "Virtual processor register names";
HV_X64_FP_REGISTER, HV_X64_FP_CONTROL_STATUS_REGISTER, HV_X64_XMM_CONTROL_STATUS_REGISTER): x87 and vector registers,
which are shared and cannot be set, CET, IA32_XSS, IA32_DEBUGCTL, the TSC."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from emu.isa import debugctl
from emu.planes.context import canonical
from emu.planes.vsm import codes
from emu.planes.vsm import register_names as names
from emu.planes.vsm.codes import HvError
from emu.planes.vsm.vp_state import StateRegister
from jit import fpu_layout, layout

if TYPE_CHECKING:
    from emu.plane import Plane
    from emu.planes.vsm.vp import Vp

MASK64 = (1 << 64) - 1
TOP_SHIFT, MXCSR_MASK = 11, 0xFFFF
VECTOR_REGISTERS, X87_REGISTERS, SSPS = 16, 8, 3
CR4_CET, CET_FLAGS, SUPPRESS_AND_TRACKER = 1 << 23, 0xFFF, 1 << 10 | 1 << 11
DR6_FIXED, DR6_BITS = 0xFFFF0FF0, 0xE00F


def _st(vp: Vp, vtl: int, number: int) -> int:
    """ST(n): 63:0 significand, 79:64 exponent and sign."""
    plane = vp.vcpu.plane
    top = plane.fpu_get(fpu_layout.FSW) >> TOP_SHIFT & 7
    at = fpu_layout.ST + fpu_layout.ST_BYTES * (top + number & 7)
    return plane.fpu_get(at + fpu_layout.ST_SIGNIFICAND) | plane.fpu_get(at + fpu_layout.ST_EXPONENT) << 64


def _fp_control_status(vp: Vp, vtl: int) -> int:
    """u16 control, u16 status, u8 tags (1: not empty), u8 0, u16 last opcode, u64 last instruction."""
    plane = vp.vcpu.plane
    return sum(plane.fpu_get(field) << at for field, at in (
        (fpu_layout.FCW, 0), (fpu_layout.FSW, 16), (fpu_layout.FTW, 32), (fpu_layout.FOP, 48), (fpu_layout.FIP, 64)))


def _xmm_control_status(vp: Vp, vtl: int) -> int:
    """u64 last x87 operand, u32 MXCSR, u32 its mask."""
    plane = vp.vcpu.plane
    return plane.fpu_get(fpu_layout.FDP) | plane.fpu_get(fpu_layout.MXCSR) << 64 | MXCSR_MASK << 96


def _vector(number: int, at: int) -> StateRegister:
    def read(vp: Vp, vtl: int) -> int:
        offset = fpu_layout.xmm(number) + at
        return vp.vcpu.plane.fpu_get(offset) | vp.vcpu.plane.fpu_get(offset + 8) << 64
    return StateRegister(read)


def _private(offset: int, exists: Callable[[Plane], bool], legal: Callable[[Plane, int], bool]) -> StateRegister:
    """A field that each VTL has for itself, where the processor has it. HvError: it has not."""
    def plane_of(vp: Vp, vtl: int) -> Plane:
        plane = vp.vcpu.planes[vtl]
        if not exists(plane):
            raise HvError(codes.INVALID_PARAMETER)
        return plane

    def read(vp: Vp, vtl: int) -> int:
        return plane_of(vp, vtl).get(offset)

    def write(vp: Vp, vtl: int, value: int) -> None:
        plane = plane_of(vp, vtl)
        if value >> 64 or not legal(plane, value):
            raise HvError(codes.INVALID_REGISTER_VALUE)
        plane.set(offset, value)
        plane.flush()
    return StateRegister(read, write)


def _has_cet(plane: Plane) -> bool:
    return bool(plane.get(layout.CR4_VALID) & CR4_CET)


def _legal_cet(plane: Plane, value: int) -> bool:
    return (not value & CET_FLAGS & ~plane.get(layout.CET_VALID) and canonical(value & ~CET_FLAGS)
            and value & SUPPRESS_AND_TRACKER != SUPPRESS_AND_TRACKER)


def _legal_ssp(plane: Plane, value: int) -> bool:
    return canonical(value) and not value & 3


def _has_xss(plane: Plane) -> bool:
    return plane.signed(layout.XSS_VALID) >= 0


def _legal_xss(plane: Plane, value: int) -> bool:
    return not value & ~plane.get(layout.XSS_VALID)


def _always(plane: Plane) -> bool:
    return True


def _legal_debugctl(plane: Plane, value: int) -> bool:
    return not value & ~debugctl.WRITABLE


def _write_dr6(vp: Vp, vtl: int, value: int) -> None:
    if value >> 32:
        raise HvError(codes.INVALID_REGISTER_VALUE)
    vp.vcpu.planes[vtl].set(layout.DR6, value & DR6_BITS | DR6_FIXED)


def _tsc_offset(vp: Vp, vtl: int) -> int:
    return vp.vcpu.planes[vtl].get(layout.TSC_OFFSET)


def _write_tsc_offset(vp: Vp, vtl: int, value: int) -> None:
    if value >> 64:
        raise HvError(codes.INVALID_REGISTER_VALUE)
    vp.vcpu.planes[vtl].set(layout.TSC_OFFSET, value)
    vp.vcpu.lapics[vtl].timer.set_tsc_offset(value)


def _tsc(vp: Vp, vtl: int) -> int:
    return vp.partition.machine.clock.tsc + _tsc_offset(vp, vtl) & MASK64


def _write_tsc(vp: Vp, vtl: int, value: int) -> None:
    if value >> 64:
        raise HvError(codes.INVALID_REGISTER_VALUE)
    _write_tsc_offset(vp, vtl, value - vp.partition.machine.clock.tsc & MASK64)


def _deadline(vp: Vp, vtl: int) -> int:
    return vp.vcpu.lapics[vtl].timer.deadline


def _write_deadline(vp: Vp, vtl: int, value: int) -> None:
    if value >> 64:
        raise HvError(codes.INVALID_REGISTER_VALUE)
    vp.vcpu.lapics[vtl].timer.deadline = value


EXTENDED: dict[int, StateRegister] = {
    **{names.XMM + n: _vector(n, 0) for n in range(VECTOR_REGISTERS)},
    **{names.YMM_HIGH + n: _vector(n, 16) for n in range(VECTOR_REGISTERS)},
    **{names.FP_MMX + n: StateRegister(partial(_st, number=n)) for n in range(X87_REGISTERS)},
    names.FP_CONTROL_STATUS: StateRegister(_fp_control_status),
    names.XMM_CONTROL_STATUS: StateRegister(_xmm_control_status),
    names.DR6: StateRegister(lambda vp, vtl: vp.vcpu.planes[vtl].get(layout.DR6), _write_dr6),
    names.TSC: StateRegister(_tsc, _write_tsc), names.TSC_ADJUST: StateRegister(_tsc_offset, _write_tsc_offset),
    names.TSC_DEADLINE: StateRegister(_deadline, _write_deadline),
    names.DEBUGCTL: _private(layout.DEBUGCTL, _always, _legal_debugctl),
    names.XSS: _private(layout.XSS, _has_xss, _legal_xss),
    names.U_CET: _private(layout.U_CET, _has_cet, _legal_cet),
    names.S_CET: _private(layout.S_CET, _has_cet, _legal_cet),
    names.SSP: _private(layout.SSP, _has_cet, _legal_ssp),
    **{names.PL0_SSP + n: _private(layout.PL0_SSP + 8 * n, _has_cet, _legal_ssp) for n in range(SSPS)},
    names.PL3_SSP: _private(layout.PL3_SSP, _has_cet, _legal_ssp),
    names.INTERRUPT_SSP_TABLE: _private(layout.ISST, _has_cet, lambda plane, value: canonical(value)),
}
