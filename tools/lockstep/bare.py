"""An engine without a machine around it: memory, one plane, and what Python does when compiled code leaves.

Exceptions are not delivered: a fault, HLT or an instruction that Python would carry out ends `run`, whose caller
decides. Device accesses get an answer that depends on nothing but the accesses made before.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from iced_x86 import Decoder, Instruction

from emu.engine import Engine
from emu.mem.ram import PAGE, PhysicalMemory
from emu.plane import Plane
from jit import exits, layout, run_slots

EXECUTE = 2
CR0_PE, EFER_LMA = 1, 1 << 10
MASK64 = (1 << 64) - 1
CLEARED = ("gpr", "flag_result", "flag_aux", "flag_carry", "rflags_other", "page_rip", "rip", "segments", "cr0", "cr2",
           "cr3", "cr4", "dr6", "cpl", "efer", "pdpte", "resume", "fault_pending", "fault_vector", "fault_error",
           "fault_has_error", "fault_address", "fault_kind", "io_done", "io_next", "smc_pass", "activity", "shadow",
           "no_trap", "idle_faults")
NAMES = {value: name for name, value in vars(exits).items() if name.isupper() and not name.startswith("IO_")}


class Bare:
    """One plane of one engine over `size` bytes of RAM at 0; everything above is a device. Or over other memory."""

    def __init__(self, mode: str = "interp", size: int = 1 << 20, top: int | None = None,
                 memory: PhysicalMemory | None = None) -> None:
        self.memory = memory or PhysicalMemory(top or size)
        if memory is None:
            self.ram = self.memory.add_ram(0, size)
        self.engine = Engine(self.memory, mode)
        self.plane = Plane(self.engine)
        self.devices: list[tuple[int, int, int, int]] = []      # (kind, address, size, value written)
        self.device_trace = 0           # a digest of `devices`
        self._io_uop = 0                # micro-op whose device accesses IO_LOG holds
        self.patience = 1 << 62         # exits to Python after which a run is a hang

    # --- setting up -----------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Registers 0, no decoded code, no translations, no paging."""
        self.forget()
        plane = self.plane
        for field in map(layout.FIELDS.__getitem__, CLEARED):
            for at in range(field.offset, field.offset + field.size * field.count, 8):
                plane.set(at, 0)
        plane.reset_fpu()
        self.mode(64)
        self.engine.regions.sampling(plane)
        self.devices.clear()
        self.device_trace = 0

    def forget(self) -> None:
        """Drop everything decoded and every translation."""
        self.engine.translator.flush()
        self.plane.flush()

    def mode(self, bits: int) -> None:
        """Code of 16, 32 or 64 bits at CPL 0, with flat segments (of 64 KiB for 16)."""
        plane = self.plane
        size = {16: 0, 32: 0xC000, 64: 0xA000}[bits]
        for number in range(6):
            code = number == layout.CS
            plane.set(layout.seg(number, layout.SEG_BASE), 0)
            plane.set(layout.seg(number, layout.SEG_LIMIT), 0xFFFF if bits == 16 else 0xFFFFFFFF)
            plane.set(layout.seg(number, layout.SEG_ATTR), (0x9B | size) if code else 0x93 | (0xC000 if size else 0))
        plane.set(layout.CR0, plane.get(layout.CR0) | CR0_PE)
        plane.set(layout.EFER, plane.get(layout.EFER) & ~EFER_LMA | (EFER_LMA if bits == 64 else 0))
        plane.update_mode()

    def gpr(self, number: int, value: int | None = None) -> int:
        """Read, or write, a general register."""
        if value is not None:
            self.plane.set(layout.gpr(number), value)
        return self.plane.get(layout.gpr(number))

    def load(self, gpa: int, code: bytes) -> None:
        """Write bytes to memory behind the guest's back and forget what was decoded from there."""
        self.memory.write(gpa, code)
        for page in range(gpa & -PAGE, gpa + len(code), PAGE):
            self.engine.translator.invalidate(page)

    # --- running --------------------------------------------------------------------------------------------------

    def run(self, budget: int) -> int:
        """Run at most `budget` instructions. Gives the exit that its caller has to deal with; EVENT is the budget's
        end. TimeoutError: the engine came back to Python more than `patience` times."""
        self.plane.set(layout.BUDGET, budget)
        for _ in range(self.patience):
            status = self.engine.run(self.plane.address)
            self.engine.regions.poll()
            if not self._serve(status):
                return status
        raise TimeoutError(f"{self.patience} exits")

    def left(self) -> int:
        """Instructions of the last budget that did not run."""
        return self.plane.signed(layout.BUDGET)

    def _serve(self, status: int) -> bool:
        """Deal with an exit; False leaves it to the caller."""
        if status == exits.DECODE:
            return self._decode()
        if status == exits.HOT:
            gpa = self.code_gpa()
            if gpa is not None:
                self.engine.regions.hot(self.plane.get(layout.EXIT_UOP), gpa, self.plane.get(layout.MODE))
        elif status == exits.SMC:
            self._pass_store()
        elif status == exits.SMC_DONE:
            self._forget_stored()
        elif status == exits.SHORT:
            self.engine.translator.invalidate(self.plane.get(layout.WALK_GPA))
            gpa = self.code_gpa()
            if gpa is not None:
                self.engine.translator.invalidate(gpa)
        elif status == exits.RUNTIME and self.plane.get(layout.IO_VALUE) != run_slots.DELIVER:
            self.engine.provide(self.plane.get(layout.IO_VALUE))
        elif status == exits.IO:
            self._device()
        else:
            return False
        return True

    def linear(self) -> int:
        """Linear address of RIP."""
        linear = self.plane.get(layout.RIP) + self.plane.get(layout.CS_BASE)
        return linear & (MASK64 if self.plane.get(layout.MODE) & 3 == layout.MODE_64 else 0xFFFFFFFF)

    def translate(self, linear: int, access: int = EXECUTE) -> int | None:
        """GPA of a linear address for an access, or None where it faults."""
        plane = self.plane
        if self.engine.translate(plane.address, linear, access, plane.get(layout.TLB_SET)) != exits.OK:
            return None
        return plane.get(layout.WALK_GPA)

    def code_gpa(self) -> int | None:
        """GPA of the instruction at RIP."""
        return self.translate(self.linear())

    def instruction(self) -> Instruction | None:
        """The instruction at RIP as memory has it, or None where it cannot be fetched."""
        linear, data = self.linear(), b""
        while len(data) < 15:
            gpa = self.translate(linear + len(data) & MASK64)
            if gpa is None or not self.memory.backed(gpa, 1):
                break
            data += self.memory.read(gpa, PAGE - gpa % PAGE)
        bits = (16, 32, 64)[self.plane.get(layout.MODE) & 3]
        return Decoder(bits, data[:15], ip=self.plane.get(layout.RIP)).decode() if data else None

    def skip(self) -> bool:
        """Give up the instruction at RIP, which faulted, and go on after it. False where it cannot be fetched."""
        insn = self.instruction()
        if insn is None or not insn:
            return False
        self.plane.set(layout.FAULT_PENDING, 0)
        self.plane.set(layout.RIP, insn.next_ip)
        return True

    def _decode(self) -> bool:
        plane, translator = self.plane, self.engine.translator
        gpa, mode = plane.get(layout.WALK_GPA), plane.get(layout.MODE)
        if not self.memory.backed(gpa, 1):
            return False
        if translator.full():
            self.forget()
        fresh = translator.decode(gpa, mode, None)
        if not translator.page(gpa & -PAGE, mode).table[gpa % PAGE]:
            following = self.translate((self.linear() & -PAGE) + PAGE)
            if following is None:
                plane.set(layout.FAULT_KIND, exits.KIND_FAULT)
                plane.set(layout.FAULT_PENDING, 1)
                return True
            fresh += translator.decode(gpa, mode, following & -PAGE)
        for page in fresh:
            self.engine.withdraw_writes(plane.address, page)
        return True

    def _pass_store(self) -> None:
        """Let the stores of an instruction that overwrites decoded code through."""
        self.plane.set(layout.SMC_PASS, 1)
        self.plane.set(layout.SMC_SECOND, 0)
        self.plane.set(layout.RESUME, 1)

    def _forget_stored(self) -> None:
        """That instruction has ended: forget what was decoded from the pages it hit."""
        self.plane.set(layout.SMC_PASS, 0)
        self.engine.translator.invalidate(self.plane.get(layout.SMC_GPA))
        if self.plane.get(layout.SMC_SECOND):
            self.engine.translator.invalidate(self.plane.get(layout.SMC_SECOND) - 1)

    def _device(self) -> None:
        plane = self.plane
        size = plane.get(layout.IO_SIZE)
        self.devices.append((plane.get(layout.IO_KIND), plane.get(layout.IO_ADDRESS), size,
                             plane.get(layout.IO_VALUE) & (1 << 8 * size) - 1))
        self.device_trace = hash((self.device_trace, self.devices[-1]))
        answer = (len(self.devices) * 0x9E3779B97F4A7C15 ^ self.devices[-1][1]) & (1 << 8 * size) - 1
        if plane.get(layout.EXIT_UOP) != self._io_uop:      # a later micro-op of the same instruction
            self._io_uop = plane.get(layout.EXIT_UOP)
            plane.set(layout.IO_DONE, 0)
        done = plane.get(layout.IO_DONE)
        plane.set(layout.IO_LOG + 8 * (done & layout.IO_LOGGED - 1), answer)
        plane.set(layout.IO_DONE, done + 1)
        plane.set(layout.RESUME, 1)


@contextlib.contextmanager
def closing(bare: Bare) -> Iterator[Bare]:
    """End the engine's compiling thread afterwards."""
    try:
        yield bare
    finally:
        bare.engine.regions.close()


def status_flags(plane: Plane) -> int:
    """CF PF AF ZF SF OF in their RFLAGS positions, from the lazy words of jit/flags.py."""
    result, aux, carry = (plane.get(f) for f in (layout.RES, layout.AUX, layout.CARRY))
    cf = carry & 1
    pf = (((result ^ carry >> 8) & 0xFF).bit_count() & 1) ^ 1
    sf = result >> 63 ^ carry >> 1 & 1
    return cf | pf << 2 | (aux >> 4 & 1) << 4 | (result == 0) << 6 | sf << 7 | (aux >> 63 ^ cf) << 11
