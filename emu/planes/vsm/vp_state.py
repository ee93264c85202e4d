"""Architectural registers of a VTL as virtual-processor registers (TLFS, appendix "Virtual processor register names").

A shared register's live value is in the file of the VTL that runs on that virtual processor; general registers and XCR0
are shared and cannot be set.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from emu.irq import lapic as apic
from emu.planes.context import (
    CR0_BITS,
    CR0_CD,
    CR0_ET,
    CR0_NW,
    CR0_PE,
    CR0_PG,
    CR4_PAE,
    EFER_LMA,
    EFER_LME,
    PAT_TYPES,
    RFLAGS_SETTABLE,
    canonical,
    load_pdptes,
)
from emu.planes.vsm import codes
from emu.planes.vsm import register_names as names
from emu.planes.vsm.codes import HvError
from emu.planes.vsm.context import ATTRIBUTES
from emu.planes.vsm.shared import SHARED
from jit import layout

if TYPE_CHECKING:
    from emu.machine import Machine
    from emu.plane import Plane
    from emu.planes.vsm.vp import Vp

MASK64 = (1 << 64) - 1
SHARED_FIELDS = frozenset(offset + 8 * word for offset, words in SHARED for word in range(words))
DR7_FIXED = 0x400


class StateRegister(NamedTuple):
    """How a register is read, and written where it can be."""

    read: Callable[[Vp, int], int]
    write: Callable[[Vp, int, int], None] | None = None


def _file(vp: Vp, vtl: int, offset: int) -> Plane:
    return vp.vcpu.plane if offset in SHARED_FIELDS else vp.vcpu.planes[vtl]


def _check(value: int, legal: bool) -> None:
    if value >> 64 or not legal:
        raise HvError(codes.INVALID_REGISTER_VALUE)


def _field(offset: int, legal: Callable[[int], bool] | None = None) -> StateRegister:
    def write(vp: Vp, vtl: int, value: int) -> None:
        _check(value, legal is not None and legal(value))
        _file(vp, vtl, offset).set(offset, value)
    return StateRegister(lambda vp, vtl: _file(vp, vtl, offset).get(offset), None if legal is None else write)


def segment_value(plane: Plane, number: int) -> int:
    """A segment register: base u64, limit u32, selector u16, attributes u16."""
    base, limit, selector, attributes = (
        plane.get(layout.seg(number, part))
        for part in (layout.SEG_BASE, layout.SEG_LIMIT, layout.SEG_SELECTOR, layout.SEG_ATTR))
    return base | limit << 64 | selector << 96 | attributes << 112


def _segment(number: int) -> StateRegister:
    def write(vp: Vp, vtl: int, value: int) -> None:
        plane, attributes = vp.vcpu.planes[vtl], value >> 112
        if attributes & ~ATTRIBUTES or not canonical(value & MASK64):
            raise HvError(codes.INVALID_REGISTER_VALUE)
        for part, word in ((layout.SEG_BASE, value & MASK64), (layout.SEG_LIMIT, value >> 64 & 0xFFFFFFFF),
                           (layout.SEG_SELECTOR, value >> 96 & 0xFFFF), (layout.SEG_ATTR, attributes)):
            plane.set(layout.seg(number, part), word)
        if number == layout.SS:
            plane.set(layout.CPL, attributes >> 5 & 3)
        plane.update_mode()
    return StateRegister(lambda vp, vtl: segment_value(vp.vcpu.planes[vtl], number), write)


def _table(base: int, limit: int) -> StateRegister:
    """48 bits of padding, limit u16, base u64."""
    def read(vp: Vp, vtl: int) -> int:
        plane = vp.vcpu.planes[vtl]
        return plane.get(limit) << 48 | plane.get(base) << 64

    def write(vp: Vp, vtl: int, value: int) -> None:
        if not canonical(value >> 64):
            raise HvError(codes.INVALID_REGISTER_VALUE)
        vp.vcpu.planes[vtl].set(limit, value >> 48 & 0xFFFF)
        vp.vcpu.planes[vtl].set(base, value >> 64)
    return StateRegister(read, write)


def _write_rip(vp: Vp, vtl: int, value: int) -> None:
    _check(value, canonical(value))
    plane = vp.vcpu.planes[vtl]
    plane.set(layout.RIP, value)
    for field in (layout.RESUME, layout.IO_DONE):           # the instruction that was under way is not finished
        plane.set(field, 0)


def _write_rflags(vp: Vp, vtl: int, value: int) -> None:
    _check(value, not value & ~(RFLAGS_SETTABLE | 2))
    vp.vcpu.planes[vtl].rflags = value
    vp.vcpu.planes[vtl].update_mode()


def _control(plane: Plane, machine: Machine, cr0: int, cr4: int, efer: int) -> None:
    """Put CR0, CR4 and EFER, which decide together on long mode, in place. HvError: they contradict each other."""
    paging, long_mode = bool(cr0 & CR0_PG), bool(efer & EFER_LME)
    bad = (cr0 & ~CR0_BITS or paging and not cr0 & CR0_PE or cr0 & CR0_NW and not cr0 & CR0_CD
           or cr4 & ~plane.get(layout.CR4_VALID) or efer & ~(plane.get(layout.EFER_VALID) | EFER_LMA)
           or paging and long_mode and not cr4 & CR4_PAE)
    if bad:
        raise HvError(codes.INVALID_REGISTER_VALUE)
    plane.set(layout.CR0, cr0 | CR0_ET)
    plane.set(layout.CR4, cr4)
    plane.set(layout.EFER, efer & ~EFER_LMA | (EFER_LMA if paging and long_mode else 0))
    load_pdptes(plane, machine.memory)
    plane.update_mode()
    plane.flush()


def _control_register(offset: int) -> StateRegister:
    def write(vp: Vp, vtl: int, value: int) -> None:
        _check(value, True)
        plane = vp.vcpu.planes[vtl]
        fields = {at: value if at == offset else plane.get(at) for at in (layout.CR0, layout.CR4, layout.EFER)}
        _control(plane, vp.partition.machine, *fields.values())
    return StateRegister(lambda vp, vtl: vp.vcpu.planes[vtl].get(offset), write)


def _write_cr3(vp: Vp, vtl: int, value: int) -> None:
    plane = vp.vcpu.planes[vtl]
    _check(value, not value & ~plane.get(layout.PHYS_MASK))
    plane.set(layout.CR3, value)
    load_pdptes(plane, vp.partition.machine.memory)
    plane.flush()


def _write_cr8(vp: Vp, vtl: int, value: int) -> None:
    _check(value, value < 16)
    vp.vcpu.lapics[vtl].write_register(apic.TPR, value << 4)


def _write_debug(offset: int) -> StateRegister:
    def write(vp: Vp, vtl: int, value: int) -> None:
        _check(value, offset != layout.DR7 or not value >> 32)
        _file(vp, vtl, offset).set(offset, value | (DR7_FIXED if offset == layout.DR7 else 0))
        vp.vcpu.planes[vtl].flush()                         # translations were made for other breakpoints
    return StateRegister(lambda vp, vtl: _file(vp, vtl, offset).get(offset), write)


def _write_apic_base(vp: Vp, vtl: int, value: int) -> None:
    """Accepted where it changes nothing."""
    if value != vp.vcpu.lapics[vtl].base:
        raise HvError(codes.INVALID_PARAMETER)


def _legal_pat(value: int) -> bool:
    return all(value >> 8 * i & 0xFF in PAT_TYPES for i in range(8))


def _narrow(value: int) -> bool:
    return value >> 32 == 0


def _anything(_: int) -> bool:
    return True


STATE: dict[int, StateRegister] = {
    **{names.GPR + n: _field(layout.gpr(n), _anything if n == 4 else None) for n in range(16)},
    names.RIP: StateRegister(lambda vp, vtl: vp.vcpu.planes[vtl].get(layout.RIP), _write_rip),
    names.RFLAGS: StateRegister(lambda vp, vtl: vp.vcpu.planes[vtl].rflags, _write_rflags),
    names.CR0: _control_register(layout.CR0), names.CR2: _field(layout.CR2, _anything),
    names.CR3: StateRegister(lambda vp, vtl: vp.vcpu.planes[vtl].get(layout.CR3), _write_cr3),
    names.CR4: _control_register(layout.CR4),
    names.CR8: StateRegister(lambda vp, vtl: vp.vcpu.planes[vtl].get(layout.CR8), _write_cr8),
    names.XCR0: _field(layout.XCR0),
    **{names.DR0 + n: _field(layout.DR + 8 * n) for n in range(3)},
    names.DR0 + 3: _write_debug(layout.DR + 24),
    names.DR7: _write_debug(layout.DR7),
    **{names.ES + n: _segment(number) for n, number in enumerate((
        layout.ES, layout.CS, layout.SS, layout.DS, layout.FS, layout.GS, layout.LDTR, layout.TR))},
    names.IDTR: _table(layout.IDTR_BASE, layout.IDTR_LIMIT), names.GDTR: _table(layout.GDTR_BASE, layout.GDTR_LIMIT),
    names.EFER: _control_register(layout.EFER), names.KERNEL_GS_BASE: _field(layout.KERNEL_GS_BASE, canonical),
    names.APIC_BASE: StateRegister(lambda vp, vtl: vp.vcpu.lapics[vtl].base, _write_apic_base),
    names.PAT: _field(layout.PAT, _legal_pat), names.SYSENTER_CS: _field(layout.SYSENTER_CS, _anything),
    names.SYSENTER_EIP: _field(layout.SYSENTER_EIP, canonical),
    names.SYSENTER_ESP: _field(layout.SYSENTER_ESP, canonical),
    names.STAR: _field(layout.STAR, _anything), names.LSTAR: _field(layout.LSTAR, canonical),
    names.CSTAR: _field(layout.CSTAR, canonical), names.SFMASK: _field(layout.SFMASK, _narrow),
    names.INITIAL_APIC_ID: StateRegister(lambda vp, vtl: vp.vcpu.lapics[vtl].apic_id),
    names.TSC_AUX: _field(layout.TSC_AUX, _narrow),
}
