"""HvCallTranslateVirtualAddress and its Ex form (TLFS, hypercall reference): page walks on behalf of a VTL that need
not run (SDM Vol. 3A chapter 4)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from emu.mem.ram import PAGE
from emu.planes.context import CR0_PG, CR4_PAE, EFER_LMA
from emu.planes.vsm import codes
from emu.planes.vsm.codes import HvError
from emu.planes.vsm.hypercall import Caller, simple_call
from emu.planes.vsm.operands import check_reserved, input_vtl
from jit import layout

if TYPE_CHECKING:
    from emu.machine import Machine
    from emu.plane import Plane
    from emu.planes.vsm.vp import Vp

(VALIDATE_READ, VALIDATE_WRITE, VALIDATE_EXECUTE, PRIVILEGE_EXEMPT, SET_PAGE_TABLE_BITS, TLB_FLUSH_INHIBIT,
 SUPERVISOR_ACCESS, USER_ACCESS, ENFORCE_SMAP, OVERRIDE_SMAP, SHADOW_STACK) = (1 << n for n in range(11))
FLAGS = (1 << 10) - 1
VTL_SHIFT = 56
(SUCCESS, NOT_PRESENT, PRIVILEGE_VIOLATION, INVALID_PAGE_TABLE_FLAGS, GPA_UNMAPPED, GPA_NO_READ, GPA_NO_WRITE,
 ILLEGAL_OVERLAY_ACCESS) = range(8)
CACHE_WRITE_BACK, CACHE_SHIFT, OVERLAY = 6, 32, 1 << 40

P, RW, US, A, D, PS = 1, 2, 4, 0x20, 0x40, 0x80
NX, PAT_LARGE = 1 << 63, 1 << 12
PAE_RESERVED, PAE_PDPTE_RESERVED = 0x7FF << 52, 0xFFF << 52 | 0x1E6
FRAME = 0x000F_FFFF_FFFF_F000
CR0_WP, CR4_PSE, CR4_LA57, CR4_SMEP, CR4_SMAP, EFER_NXE = 1 << 16, 1 << 4, 1 << 12, 1 << 20, 1 << 21, 1 << 11
RFLAGS_AC = 1 << 18


class Entry(NamedTuple):
    """A page-table entry that a walk read."""

    gpa: int
    value: int
    size: int


class Walk:
    """A walk of a plane's page tables for one linear address: `code`, and `gpa` when that is SUCCESS."""

    def __init__(self, vp: Vp, plane: Plane, linear: int, flags: int) -> None:
        self._vp, self._plane, self._flags = vp, plane, flags
        self._machine: Machine = vp.partition.machine
        self._entries: list[Entry] = []
        self.gpa = 0
        self.code = self._walk(linear)
        if self.code == SUCCESS:
            self.code = self._second_stage()
        if self.code == SUCCESS and flags & SET_PAGE_TABLE_BITS:
            self._mark()

    def _levels(self) -> tuple[int, int, list[int]] | None:
        """Table address, entry size and shift of each level; None without paging."""
        plane = self._plane
        cr4, cr3 = plane.get(layout.CR4), plane.get(layout.CR3)
        if not plane.get(layout.CR0) & CR0_PG:
            return None
        if plane.get(layout.EFER) & EFER_LMA:
            return cr3 & FRAME, 8, [48, 39, 30, 21, 12] if cr4 & CR4_LA57 else [39, 30, 21, 12]
        if cr4 & CR4_PAE:
            return cr3 & 0xFFFFFFE0, 8, [30, 21, 12]
        return cr3 & 0xFFFFF000, 4, [22, 12]

    def _walk(self, linear: int) -> int:
        levels = self._levels()
        if levels is None:
            self.gpa = linear & 0xFFFFFFFF
            return SUCCESS
        table, size, shifts = levels
        rights, nx = RW | US, False
        pae = shifts[0] == 30
        sign = linear >> shifts[0] + 8                      # of a canonical address: all bits the same
        if size == 8 and not pae and sign not in (0, (1 << 56 - shifts[0]) - 1):
            return NOT_PRESENT
        for shift in shifts:
            index = linear >> shift & (0x3FF if size == 4 else 0x1FF if not (pae and shift == 30) else 3)
            at = table + index * size
            memory = self._machine.memory
            if not memory.backed(at, size):
                return GPA_UNMAPPED
            if not self._vp.partition.protections.allows(self._plane.number, at, 0):
                return GPA_NO_READ
            entry = int.from_bytes(memory.read(at, size), "little")
            if not entry & P:
                return NOT_PRESENT
            if entry & self._reserved(entry, size, shift, pae):
                return INVALID_PAGE_TABLE_FLAGS
            if not (pae and shift == 30):
                rights &= entry
                nx = nx or bool(entry & NX) and size == 8
                self._entries.append(Entry(at, entry, size))
            large = entry & PS and shift in (21, 22, 30) and not (pae and shift == 30) and (
                size == 8 or self._plane.get(layout.CR4) & CR4_PSE)
            if shift == 12 or large:
                inside = (1 << shift) - 1
                base = entry & FRAME & ~inside if size == 8 else entry & 0xFFFFF000 & ~inside
                if size == 4 and large:
                    base |= (entry & 0x1FE000) << 19
                self.gpa = base | linear & inside
                return self._permitted(rights, nx)
            table = entry & FRAME if size == 8 else entry & 0xFFFFF000
        return NOT_PRESENT

    def _reserved(self, entry: int, size: int, shift: int, pae: bool) -> int:
        """The bits of an entry that must be clear (SDM Vol. 3A 4.3 to 4.5)."""
        if size == 4:
            return 1 << 21 if shift == 22 and entry & PS and self._plane.get(layout.CR4) & CR4_PSE else 0
        bits = FRAME & ~self._plane.get(layout.PHYS_MASK)
        if not self._plane.get(layout.EFER) & EFER_NXE:
            bits |= NX
        if pae:
            bits |= PAE_PDPTE_RESERVED if shift == 30 else PAE_RESERVED
        elif shift > 30:
            bits |= PS
        if entry & PS and (shift == 21 or shift == 30 and not pae):
            bits |= (1 << shift) - 1 & FRAME & ~PAT_LARGE
        return bits

    def _permitted(self, rights: int, nx: bool) -> int:
        flags, plane = self._flags, self._plane
        if flags & PRIVILEGE_EXEMPT or not flags & (VALIDATE_READ | VALIDATE_WRITE | VALIDATE_EXECUTE):
            return SUCCESS
        user = plane.get(layout.CPL) == 3
        if flags & (SUPERVISOR_ACCESS | USER_ACCESS):
            user = bool(flags & USER_ACCESS)
        cr4 = plane.get(layout.CR4)
        smap = cr4 & CR4_SMAP and not flags & OVERRIDE_SMAP and (
            flags & ENFORCE_SMAP or not plane.get(layout.RFL) & RFLAGS_AC)
        denied = (
            user and not rights & US
            or flags & VALIDATE_WRITE and not rights & RW and (user or bool(plane.get(layout.CR0) & CR0_WP))
            or flags & VALIDATE_EXECUTE and nx and plane.get(layout.EFER) & EFER_NXE
            or not user and rights & US and (flags & VALIDATE_EXECUTE and cr4 & CR4_SMEP
                                             or flags & (VALIDATE_READ | VALIDATE_WRITE) and smap))
        return PRIVILEGE_VIOLATION if denied else SUCCESS

    def _second_stage(self) -> int:
        protections, vtl = self._vp.partition.protections, self._plane.number
        if not self._machine.exists(self.gpa):
            return GPA_UNMAPPED
        if self._flags & VALIDATE_READ and not protections.allows(vtl, self.gpa, 0):
            return GPA_NO_READ
        if self._flags & VALIDATE_WRITE and not protections.allows(vtl, self.gpa, 1):
            return GPA_NO_WRITE
        if self._flags & VALIDATE_EXECUTE and not protections.allows(vtl, self.gpa, 2):
            return PRIVILEGE_VIOLATION
        if self._flags & (VALIDATE_WRITE | PRIVILEGE_EXEMPT) == VALIDATE_WRITE and self._vp.partition.pages.enabled(
                self.gpa & -PAGE):
            return ILLEGAL_OVERLAY_ACCESS
        return SUCCESS

    def _mark(self) -> None:
        """Set accessed bits, and the dirty bit of a page that is to be written."""
        for entry in self._entries:
            bits = A | (D if entry is self._entries[-1] and self._flags & VALIDATE_WRITE else 0)
            if entry.value & bits != bits:
                value = (entry.value | bits).to_bytes(entry.size, "little")
                self._vp.partition.store(self._plane.number, entry.gpa, value)


def _translate(caller: Caller, data: bytes) -> tuple[int, int]:
    """Result and page number for: u64 partition, u32 VP, u32 0, u64 control flags (63:56 HV_INPUT_VTL), u64 page."""
    partition = caller.vp.partition
    identity, index, flags, page = struct.unpack("<QI4xQQ", data)
    partition.check_self(identity)
    vp = partition.vp(caller.vp, index)
    check_reserved(caller, data[12:16])
    if flags & ~(FLAGS | 0xFF << VTL_SHIFT):
        raise HvError(codes.INVALID_PARAMETER)
    vtl = input_vtl(caller, flags >> VTL_SHIFT)
    if vtl > caller.vtl or not vp.enabled >> vtl & 1:
        raise HvError(codes.ACCESS_DENIED)
    walk = Walk(vp, vp.vcpu.planes[vtl], page * PAGE & (1 << 64) - 1, flags)
    if walk.code != SUCCESS:
        return walk.code, 0
    state = partition.vtls[vtl]
    overlay = state.hypercall & 1 and state.hypercall & -PAGE == walk.gpa & -PAGE
    return CACHE_WRITE_BACK << CACHE_SHIFT | (OVERLAY if overlay else 0), walk.gpa // PAGE


@simple_call(codes.TRANSLATE_VIRTUAL_ADDRESS, 32, output=16)
def translate_virtual_address(caller: Caller, data: bytes) -> bytes:
    """Out: u64 result (31:0 code, 39:32 cache type, 40 overlay page), u64 GPA page number."""
    return struct.pack("<QQ", *_translate(caller, data))


@simple_call(codes.TRANSLATE_VIRTUAL_ADDRESS_EX, 32, output=64)
def translate_virtual_address_ex(caller: Caller, data: bytes) -> bytes:
    """Out: the same with an empty event between: result at 0, page number at 48."""
    result, page = _translate(caller, data)
    return struct.pack("<Q40xQ8x", result, page)
