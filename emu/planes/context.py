"""The registers with which a plane starts, whatever structure a design hands them over in: what makes them illegal, and
how they become a register file."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from emu import boot
from emu.load.model import SegmentRegister
from jit import layout

if TYPE_CHECKING:
    from emu.machine import Machine
    from emu.mem.ram import PhysicalMemory
    from emu.plane import Plane

SEGMENTS = (layout.CS, layout.DS, layout.ES, layout.FS, layout.GS, layout.SS, layout.TR, layout.LDTR)
CR0_PE, CR0_NW, CR0_CD, CR0_PG, CR0_BITS, CR0_ET = 1, 1 << 29, 1 << 30, 1 << 31, 0xE005003F, 1 << 4
CR4_PAE, CR4_PCIDE = 1 << 5, 1 << 17
EFER_LME, EFER_LMA = 1 << 8, 1 << 10
CODE, PRESENT, LONG, BIG = 0x18, 0x80, 0x2000, 0x4000           # of a segment's attributes
RFLAGS_VM, RFLAGS_SETTABLE = 1 << 17, 0x3F7FD5
PAT_TYPES = frozenset((0, 1, 4, 5, 6, 7))


class Context(NamedTuple):
    """An initial context; `segments` are in the order of SEGMENTS. `others`: (offset in the register file, value) of
    what designs carry besides."""

    rip: int
    rsp: int
    rflags: int
    segments: tuple[SegmentRegister, ...]
    idtr: tuple[int, int]       # limit, base
    gdtr: tuple[int, int]
    efer: int
    cr0: int
    cr3: int
    cr4: int
    pat: int
    others: tuple[tuple[int, int], ...] = ()


def canonical(address: int) -> bool:
    """48-bit canonical form."""
    return address >> 47 in (0, 0x1FFFF)


def illegal(context: Context, plane: Plane) -> bool:
    """Whether no processor can be in this state. EFER.LMA is ignored. Data segments may be unusable, and limits odd."""
    code, long_mode = context.segments[0], bool(context.efer & EFER_LME)
    code64 = long_mode and bool(code.attributes & LONG)
    physical = plane.get(layout.PHYS_MASK)
    wrong = (
        context.cr0 & (CR0_PE | CR0_PG) == CR0_PG or context.cr0 & ~CR0_BITS
        or context.cr0 & (CR0_NW | CR0_CD) == CR0_NW
        or context.cr4 & ~plane.get(layout.CR4_VALID) or context.efer & ~(plane.get(layout.EFER_VALID) | EFER_LMA)
        or long_mode and not context.cr4 & CR4_PAE
        or context.cr4 & CR4_PCIDE and not long_mode
        or long_mode and context.cr3 & ~physical
        or code.attributes & (CODE | PRESENT) != CODE | PRESENT
        or code64 and code.attributes & BIG
        or code64 and not canonical(context.rip) or not code64 and context.rip >> 32
        or context.rflags & RFLAGS_VM or context.rflags >> 22
        or any(context.pat >> 8 * i & 0xFF not in PAT_TYPES for i in range(8))
        or not all(canonical(base) for base in (context.gdtr[1], context.idtr[1]))
    )
    return bool(wrong)


def apply(context: Context, plane: Plane, machine: Machine) -> None:
    """Put a plane into the context; what that does not carry takes its power-on value."""
    boot.reset(plane)
    for number, segment in zip(SEGMENTS, context.segments, strict=True):
        boot.set_segment(plane, number, segment)
    for field, value in (
        (layout.RIP, context.rip), (layout.gpr(4), context.rsp),
        (layout.IDTR_LIMIT, context.idtr[0]), (layout.IDTR_BASE, context.idtr[1]),
        (layout.GDTR_LIMIT, context.gdtr[0]), (layout.GDTR_BASE, context.gdtr[1]),
        (layout.EFER, context.efer & ~EFER_LMA | (EFER_LMA if context.efer & EFER_LME else 0)),
        (layout.CR0, context.cr0 | CR0_ET), (layout.CR3, context.cr3), (layout.CR4, context.cr4),
        (layout.PAT, context.pat), (layout.CPL, context.segments[SEGMENTS.index(layout.SS)].attributes >> 5 & 3),
    ):
        plane.set(field, value)
    for field, value in context.others:
        plane.set(field, value)
    plane.rflags = context.rflags & RFLAGS_SETTABLE
    load_pdptes(plane, machine.memory)
    plane.update_mode()
    plane.flush()


def load_pdptes(plane: Plane, memory: PhysicalMemory) -> None:
    """Under PAE paging the processor has the four PDPTEs in registers (SDM Vol. 3A 4.4.1); 0 where there is no
    memory."""
    if not plane.get(layout.CR0) & CR0_PG or not plane.get(layout.CR4) & CR4_PAE or plane.get(layout.EFER) & EFER_LME:
        return
    at = plane.get(layout.CR3) & 0xFFFFFFE0
    table = memory.read(at, 32) if memory.backed(at, 32) else bytes(32)
    for i in range(4):
        plane.set(layout.PDPTE + 8 * i, int.from_bytes(table[8 * i:8 * i + 8], "little"))
