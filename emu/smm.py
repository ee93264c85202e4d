"""System-management mode: how an SMI is taken, RSM, and SMRAM in the PC's legacy window (APM Vol. 2 chapter 10; SDM
Vol. 3C chapter 31; Intel 82441FX datasheet, SMRAM register).

The state-save map is AMD's 64-bit one for every CPU model, with the revision that QEMU's processors have, which
firmware for virtual machines looks for: SMBASE can be relocated, I/O instructions are not restarted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from emu.boot import set_segment
from emu.dev.i440fx import SMRAM_DOPEN, SMRAM_ENABLE
from emu.load.model import SegmentRegister
from emu.mem.ram import PAGE, HostBlock
from emu.waiting import HALTED, RUNNING, SHUT_DOWN, WAIT_FOR_SIPI
from jit import layout, pmap

if TYPE_CHECKING:
    from emu.machine import Machine
    from emu.plane import Plane
    from emu.vcpu import VCpu

ENTRY, SAVE_AREA, SAVE_BYTES = 0x8000, 0xFE00, 0x200
REVISION = 0x20064
WINDOW, WINDOW_SIZE = 0xA0000, 0x20000
MASK64, LOW32 = (1 << 64) - 1, (1 << 32) - 1
CR0_PE, CR0_EM, CR0_TS, CR0_NW, CR0_CD, CR0_PG = 1, 4, 8, 1 << 29, 1 << 30, 1 << 31
CR4_PAE, EFER_LME, EFER_LMA, RFLAGS_VM = 1 << 5, 1 << 8, 1 << 10, 1 << 17


class Slot(NamedTuple):
    """A word of the save area: offset from SMBASE, bytes, and the state field that it holds."""

    at: int
    size: int
    field: int


SLOTS = (
    Slot(0xFE64, 4, layout.GDTR_LIMIT), Slot(0xFE68, 8, layout.GDTR_BASE), Slot(0xFE84, 4, layout.IDTR_LIMIT),
    Slot(0xFE88, 8, layout.IDTR_BASE), Slot(0xFED0, 8, layout.EFER), Slot(0xFF18, 8, layout.SSP),
    Slot(0xFF48, 8, layout.CR4), Slot(0xFF50, 8, layout.CR3), Slot(0xFF58, 8, layout.CR0), Slot(0xFF60, 8, layout.DR7),
    Slot(0xFF68, 8, layout.DR6), Slot(0xFF78, 8, layout.RIP),
    *(Slot(0xFFF8 - 8 * n, 8, layout.gpr(number)) for n, number in enumerate((0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
                                                                              13, 14, 15))))
SEGMENTS = {layout.ES: 0xFE00, layout.CS: 0xFE10, layout.SS: 0xFE20, layout.DS: 0xFE30, layout.FS: 0xFE40,
            layout.GS: 0xFE50, layout.LDTR: 0xFE70, layout.TR: 0xFE90}
AUTO_HALT, NMI_MASK, REVISION_AT, SMBASE_AT, RFLAGS_AT = 0xFEC9, 0xFECA, 0xFEFC, 0xFF00, 0xFF70


class SystemManagement:
    """The machine's SMRAM, and what an SMI and RSM do to a vCPU."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._ram: HostBlock | None = None
        self._register = 0                  # the host bridge's SMRAM
        self._covered: list[int] = []       # words of the physical map that SMRAM stands in front of
        self._visible = False
        self._inits: set[int] = set()       # vCPUs for which an INIT waits

    # --- SMRAM -------------------------------------------------------------------------------------------------------

    def register_changed(self, value: int) -> None:
        """The host bridge's SMRAM register was written."""
        self._register = value
        self.show(False)

    def show(self, managing: bool) -> None:
        """Let the window be SMRAM where the vCPU that runs next sees it: while it is `managing`, or with D_OPEN."""
        visible = bool(self._register & SMRAM_ENABLE and (managing or self._register & SMRAM_DOPEN))
        if visible == self._visible:
            return
        machine, first = self._machine, WINDOW // PAGE
        pages = range(first, first + WINDOW_SIZE // PAGE)
        for page in pages:
            machine.engine.translator.invalidate(page * PAGE)
        if visible:
            if self._ram is None:
                self._ram = HostBlock(WINDOW_SIZE)
            self._covered = [machine.memory.map[page] for page in pages]
            for page in pages:
                machine.memory.map[page] = self._ram.address + (page - first) * PAGE | pmap.READ | pmap.WRITE
        else:
            for page, word in zip(pages, self._covered, strict=True):
                machine.memory.map[page] = word
        self._visible = visible
        machine.flush_all()

    # --- entering and leaving ----------------------------------------------------------------------------------------

    def enter(self, vcpu: VCpu, plane: Plane) -> None:
        """Take the SMI that is pending: save the state, and go on at SMBASE + 8000h."""
        halted = plane.get(layout.ACTIVITY) == HALTED
        if halted:
            vcpu.waiting.end(plane)
        plane.set(layout.SMI, 0)
        plane.set(layout.SMM, 1)
        self.show(True)
        self._save(plane, halted)
        plane.set(layout.NMI_BLOCKED, 1)
        base = plane.get(layout.SMBASE)
        plane.set(layout.EFER, 0)
        plane.set(layout.CR4, 0)
        plane.set(layout.CR0, plane.get(layout.CR0) & ~(CR0_PE | CR0_EM | CR0_TS | CR0_PG))
        plane.set(layout.DR7, 0x400)
        plane.rflags = 2
        data = SegmentRegister(0, 0, LOW32, 0x8093)
        for number in (layout.ES, layout.SS, layout.DS, layout.FS, layout.GS):
            set_segment(plane, number, data)
        set_segment(plane, layout.CS, SegmentRegister(base >> 4 & 0xFFFF, base, LOW32, 0x809B))
        plane.set(layout.CPL, 0)
        plane.set(layout.RIP, ENTRY)
        self._settle(plane)

    def resume(self, vcpu: VCpu, plane: Plane) -> None:
        """RSM: the state of the save area. What no processor could be in is a shutdown (SDM Vol. 3C 31.3.1)."""
        area = self._machine.memory.read(plane.get(layout.SMBASE) + SAVE_AREA, SAVE_BYTES)

        def word(at: int, size: int) -> int:
            return int.from_bytes(area[at - SAVE_AREA:at - SAVE_AREA + size], "little")
        plane.set(layout.SMM, 0)
        plane.set(layout.BUDGET, plane.get(layout.BUDGET) - 1)
        for slot in SLOTS:
            plane.set(slot.field, word(slot.at, slot.size))
        for number, at in SEGMENTS.items():
            attributes = word(at + 2, 2)
            set_segment(plane, number, SegmentRegister(
                word(at, 2), word(at + 8, 8), word(at + 4, 4), attributes & 0xFF | (attributes >> 8 & 15) << 12))
        plane.rflags = word(RFLAGS_AT, 8)
        plane.set(layout.SMBASE, word(SMBASE_AT, 4))
        plane.set(layout.NMI_BLOCKED, word(NMI_MASK, 1) & 1)
        plane.set(layout.CPL, plane.get(layout.seg(layout.SS, layout.SEG_ATTR)) >> 5 & 3)
        if plane.get(layout.RFL) & RFLAGS_VM:
            plane.set(layout.CPL, 3)
        elif not plane.get(layout.CR0) & CR0_PE:
            plane.set(layout.CPL, 0)
        self.show(False)
        if not self._possible(plane):
            plane.set(layout.CR4, plane.get(layout.CR4) & plane.get(layout.CR4_VALID))
            self._settle(plane)
            vcpu.end_in_shutdown(plane, "RSM found an impossible state in the save area")
            return
        if plane.get(layout.CR0) & CR0_PG and not plane.get(layout.EFER) & EFER_LMA and plane.get(layout.CR4) & CR4_PAE:
            table = self._machine.memory.read(plane.get(layout.CR3) & 0xFFFFFFE0, 32)
            for n in range(4):
                plane.set(layout.PDPTE + 8 * n, int.from_bytes(table[8 * n:8 * n + 8], "little"))
        self._settle(plane)
        if word(AUTO_HALT, 1) & 1:
            vcpu.waiting.begin(plane, HALTED)
        if vcpu.index in self._inits:
            self._inits.remove(vcpu.index)
            self._machine.initialise(vcpu)

    @staticmethod
    def _possible(plane: Plane) -> bool:
        cr0, cr4, efer = plane.get(layout.CR0), plane.get(layout.CR4), plane.get(layout.EFER)
        if cr4 & ~plane.get(layout.CR4_VALID) or efer & ~(plane.get(layout.EFER_VALID) | EFER_LMA) or cr0 >> 32:
            return False
        if cr0 & CR0_PG and not cr0 & CR0_PE or cr0 & CR0_NW and not cr0 & CR0_CD:
            return False
        active = bool(cr0 & CR0_PG and efer & EFER_LME)
        return active == bool(efer & EFER_LMA) and (not active or bool(cr4 & CR4_PAE))

    def _save(self, plane: Plane, halted: bool) -> None:
        area = bytearray(SAVE_BYTES)

        def put(at: int, size: int, value: int) -> None:
            area[at - SAVE_AREA:at - SAVE_AREA + size] = (value & (1 << 8 * size) - 1).to_bytes(size, "little")
        for slot in SLOTS:
            put(slot.at, slot.size, plane.get(slot.field))
        for number, at in SEGMENTS.items():
            selector, base, limit, attributes = (plane.get(layout.seg(number, part)) for part in (
                layout.SEG_SELECTOR, layout.SEG_BASE, layout.SEG_LIMIT, layout.SEG_ATTR))
            put(at, 2, selector)
            put(at + 2, 2, attributes & 0xFF | (attributes >> 12 & 15) << 8)
            put(at + 4, 4, limit)
            put(at + 8, 8, base)
        put(RFLAGS_AT, 8, plane.rflags)
        put(AUTO_HALT, 1, int(halted))
        put(NMI_MASK, 1, plane.get(layout.NMI_BLOCKED))
        put(REVISION_AT, 4, REVISION)
        put(SMBASE_AT, 4, plane.get(layout.SMBASE))
        at = plane.get(layout.SMBASE) + SAVE_AREA
        if self._machine.memory.backed(at, SAVE_BYTES):
            self._machine.poke(at, bytes(area))

    @staticmethod
    def _settle(plane: Plane) -> None:
        plane.update_mode()
        plane.flush()

    # --- an SMI arrives, and snapshots -------------------------------------------------------------------------------

    def request(self, vcpu: VCpu) -> None:
        """An SMI for a vCPU, which one that waits for a start-up IPI or has shut down keeps pending."""
        plane = vcpu.plane
        plane.set(layout.SMI, 1)
        if plane.get(layout.ACTIVITY) not in (RUNNING, WAIT_FOR_SIPI, SHUT_DOWN) and not plane.get(layout.SMM):
            self.enter(vcpu, plane)

    def holds_init(self, vcpu: VCpu) -> bool:
        """Whether an INIT that comes now waits for RSM, as one does in this mode (APM Vol. 2 chapter 10)."""
        if vcpu.plane.get(layout.SMM):
            self._inits.add(vcpu.index)
        return vcpu.index in self._inits

    def reset(self) -> None:
        """The processors are reset: no INIT waits any more."""
        self._inits.clear()

    def save(self) -> dict[str, Any]:
        """SMRAM and who sees it."""
        return {"inits": sorted(self._inits), "register": self._register, "visible": self._visible,
                "ram": b"" if self._ram is None else bytes(self._ram.view)}

    def load(self, state: dict[str, Any]) -> None:
        """Put a state back. The caller flushes TLBs."""
        self._register, self._inits = state["register"], set(state["inits"])
        if state["ram"]:
            if self._ram is None:
                self._ram = HostBlock(WINDOW_SIZE)
            self._ram.view[:] = state["ram"]
        self.show(state["visible"])
