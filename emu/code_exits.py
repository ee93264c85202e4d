"""Exits about code: pages to decode, code that is stored into, code that is hot."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from emu.mem.ram import PAGE
from emu.plane import Plane
from emu.stop import UNIMPLEMENTED
from emu.walk import walk
from jit import exits, layout

if TYPE_CHECKING:
    from emu.vcpu import VCpu

EXECUTE = 2
MASK32 = 0xFFFFFFFF


class CodeExits:
    """What a vCPU does about them; `serve` has a function for each exit number (jit/exits.py)."""

    def __init__(self, vcpu: VCpu) -> None:
        self.vcpu = vcpu
        self.serve: dict[int, Callable[[Plane], None]] = {
            exits.DECODE: self._decode, exits.SHORT: self._short, exits.SMC: self._smc, exits.SMC_DONE: self.smc_done,
            exits.HOT: self._hot, exits.CODE_WRITE: self._code_write,
        }

    def _decode(self, plane: Plane) -> None:
        gpa = plane.get(layout.WALK_GPA)
        translator = self.vcpu.engine.translator
        if not self.vcpu.machine.memory.host(gpa):
            where = f"{self.vcpu.machine.plane_name(plane.number)}, RIP {plane.get(layout.RIP):#x}"
            self.vcpu.machine.stop(UNIMPLEMENTED, f"execution from {gpa:#x}, where there is no memory, at {where}; "
                              "a jump through a bad pointer?", self.vcpu)
            return
        if translator.full():
            translator.flush()
            self.vcpu.machine.flush_all()
        mode = plane.get(layout.MODE)
        fresh = translator.decode(gpa, mode, None)
        if not translator.page(gpa & -PAGE, mode).table[gpa % PAGE]:
            fresh += self._decode_across(plane, gpa, mode)
        for page in fresh:
            self.vcpu.machine.withdraw_writes(page)

    def _decode_across(self, plane: Plane, gpa: int, mode: int) -> list[int]:
        linear = (plane.get(layout.RIP) + plane.get(layout.CS_BASE) & -PAGE) + PAGE
        if mode & 3 != layout.MODE_64:
            linear &= MASK32
        status = self.vcpu.engine.translate(plane.address, linear, EXECUTE, plane.get(layout.TLB_SET))
        if status == exits.DENIED:
            self.vcpu.denied(plane)
            return []
        if status != exits.OK:
            plane.set(layout.FAULT_KIND, exits.KIND_FAULT)
            plane.set(layout.FAULT_PENDING, 1)
            return []
        return self.vcpu.engine.translator.decode(gpa, mode, plane.get(layout.WALK_GPA) & -PAGE)

    def _short(self, plane: Plane) -> None:
        """The bytes that an instruction runs into are no longer those it was decoded from."""
        self.vcpu.engine.translator.invalidate(plane.get(layout.WALK_GPA))
        uop_page = self._code_gpa(plane)
        if uop_page is not None:
            self.vcpu.engine.translator.invalidate(uop_page)

    def _code_gpa(self, plane: Plane) -> int | None:
        linear = plane.get(layout.RIP) + plane.get(layout.CS_BASE)
        if plane.get(layout.MODE) & 3 != layout.MODE_64:
            linear &= MASK32
        return walk(self.vcpu.machine, plane, linear).place        # changes nothing: it may be asked for at any time

    def _smc(self, plane: Plane) -> None:
        """Let the instruction's stores through."""
        plane.set(layout.SMC_PASS, 1)
        plane.set(layout.SMC_SECOND, 0)
        plane.set(layout.RESUME, 1)

    def smc_done(self, plane: Plane) -> None:
        """The instruction has ended: drop what was decoded from the pages it hit."""
        plane.set(layout.SMC_PASS, 0)
        self.vcpu.engine.translator.invalidate(plane.get(layout.SMC_GPA))
        if plane.get(layout.SMC_SECOND):
            self.vcpu.engine.translator.invalidate(plane.get(layout.SMC_SECOND) - 1)

    def _hot(self, plane: Plane) -> None:
        gpa = self._code_gpa(plane)
        if gpa is not None:
            self.vcpu.engine.regions.hot(plane.get(layout.EXIT_UOP), gpa, plane.get(layout.MODE))

    def _code_write(self, plane: Plane) -> None:
        """Drop what was decoded from a page that the hypervisor is about to write; then it tries again."""
        self.vcpu.engine.translator.invalidate(plane.get(layout.SMC_GPA))
