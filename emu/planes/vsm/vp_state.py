"""Architectural registers of a VTL as virtual-processor registers (TLFS, appendix "Virtual processor register names").

A shared register's live value is in the file of the VTL that runs on that virtual processor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from emu.planes.vsm import codes
from emu.planes.vsm.codes import HvError
from emu.planes.vsm.context import RFLAGS_SETTABLE, canonical
from emu.planes.vsm.shared import SHARED
from jit import layout

if TYPE_CHECKING:
    from emu.plane import Plane
    from emu.planes.vsm.partition import Vp

MASK64 = (1 << 64) - 1
SHARED_FIELDS = frozenset(offset + 8 * word for offset, words in SHARED for word in range(words))


class StateRegister(NamedTuple):
    """How a register is read, and written where that is implemented."""

    read: Callable[[Vp, int], int]
    write: Callable[[Vp, int, int], None] | None = None


def _file(vp: Vp, vtl: int, offset: int) -> Plane:
    return vp.vcpu.plane if offset in SHARED_FIELDS else vp.vcpu.planes[vtl]


def _field(offset: int, legal: Callable[[int], bool] | None = None) -> StateRegister:
    def write(vp: Vp, vtl: int, value: int) -> None:
        if value >> 64 or legal is not None and not legal(value):
            raise HvError(codes.INVALID_REGISTER_VALUE)
        _file(vp, vtl, offset).set(offset, value)
    return StateRegister(lambda vp, vtl: _file(vp, vtl, offset).get(offset), None if legal is None else write)


def _segment(number: int) -> StateRegister:
    """base u64, limit u32, selector u16, attributes u16."""
    def read(vp: Vp, vtl: int) -> int:
        base, limit, selector, attributes = (
            vp.vcpu.planes[vtl].get(layout.seg(number, part))
            for part in (layout.SEG_BASE, layout.SEG_LIMIT, layout.SEG_SELECTOR, layout.SEG_ATTR))
        return base | limit << 64 | selector << 96 | attributes << 112
    return StateRegister(read)


def _table(base: int, limit: int) -> StateRegister:
    """48 bits of padding, limit u16, base u64."""
    def read(vp: Vp, vtl: int) -> int:
        plane = vp.vcpu.planes[vtl]
        return plane.get(limit) << 48 | plane.get(base) << 64
    return StateRegister(read)


def _write_rflags(vp: Vp, vtl: int, value: int) -> None:
    if value & ~(RFLAGS_SETTABLE | 2):
        raise HvError(codes.INVALID_REGISTER_VALUE)
    vp.vcpu.planes[vtl].rflags = value


def _anything(_: int) -> bool:
    return True


STATE: dict[int, StateRegister] = {
    **{0x20000 + n: _field(layout.gpr(n), _anything if n == 4 else None) for n in range(16)},
    0x20010: _field(layout.RIP, canonical),
    0x20011: StateRegister(lambda vp, vtl: vp.vcpu.planes[vtl].rflags, _write_rflags),
    0x40000: _field(layout.CR0), 0x40001: _field(layout.CR2), 0x40002: _field(layout.CR3),
    0x40003: _field(layout.CR4), 0x40004: _field(layout.CR8), 0x40005: _field(layout.XCR0),
    **{0x50000 + n: _field(layout.DR + 8 * n) for n in range(4)},
    0x50004: _field(layout.DR6), 0x50005: _field(layout.DR7),
    **{0x60000 + n: _segment(number) for n, number in enumerate((
        layout.ES, layout.CS, layout.SS, layout.DS, layout.FS, layout.GS, layout.LDTR, layout.TR))},
    0x70000: _table(layout.IDTR_BASE, layout.IDTR_LIMIT), 0x70001: _table(layout.GDTR_BASE, layout.GDTR_LIMIT),
    0x80000: StateRegister(lambda vp, vtl: vp.partition.machine.clock.tsc
                           + vp.vcpu.planes[vtl].get(layout.TSC_OFFSET) & MASK64),
    0x80001: _field(layout.EFER), 0x80002: _field(layout.KERNEL_GS_BASE, canonical),
    0x80003: StateRegister(lambda vp, vtl: vp.vcpu.lapics[vtl].base),
    0x80004: _field(layout.PAT), 0x80005: _field(layout.SYSENTER_CS, _anything),
    0x80006: _field(layout.SYSENTER_EIP, canonical), 0x80007: _field(layout.SYSENTER_ESP, canonical),
    0x80008: _field(layout.STAR, _anything), 0x80009: _field(layout.LSTAR, canonical),
    0x8000A: _field(layout.CSTAR, canonical), 0x8000B: _field(layout.SFMASK, lambda value: value >> 32 == 0),
    0x8007B: _field(layout.TSC_AUX, lambda value: value >> 32 == 0),
}
