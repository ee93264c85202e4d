"""Runs cases on both sides and says where they differ."""

from __future__ import annotations

import ctypes
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from random import Random
from typing import NamedTuple

from iced_x86 import Instruction

from emu.decode.names import code_name
from tools.oracle import quirks
from tools.oracle.arena import AREAS, ARENA_BYTES, CODE, MUTABLE, SLOT, offset_of
from tools.oracle.case import GPR_NAMES, OPMASKS, VECTOR_NAMES, ZMMS, Case, Outcome, VectorState
from tools.oracle.encode import decode
from tools.oracle.generate import contents
from tools.oracle.guest import JUMP, Guest, UnexpectedExit, UnimplementedCase, address_of
from tools.oracle.host import Host
from tools.oracle.undefined_flags import ignored_flags
from tools.oracle.x87_states import reconciled

COMPARED_FLAGS = 0x4CD5 | 0x3000 | 0x200        # status, IF, DF, IOPL, NT; tracing itself uses TF and RF
TF = 0x100
TOP = 0x3800            # of FSW
X87_FIELDS = ("st", "fcw", "fsw", "ftw", "fop", "fip", "fdp")
RSP = 4
HLT = b"\xf4"
BATCH = 8192            # cases between which decoded code is dropped
_libc = ctypes.CDLL(None)
_libc.memcmp.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
_libc.memcpy.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]


@cache
def _contents(size: int) -> bytes:
    """What memory holds before each case, always the same, so that a case's line says all of it."""
    return contents(size, Random(1))


class Difference(NamedTuple):
    """A case on which the sides disagree."""

    text: str           # the instruction as text
    what: str           # what differs, host first
    case: Case

    def __str__(self) -> str:
        return f"{self.text}: {self.what}: {self.case.describe()}"


class Comparison:
    """A host and some guests with the same arena. `unimplemented` collects the forms that the engine lacks."""

    def __init__(self, host: Host, guest: Guest | Sequence[Guest]) -> None:
        self.host = host
        self.guests = (guest,) if isinstance(guest, Guest) else tuple(guest)
        self.unimplemented: set[str] = set()
        self.count = 0
        self.cases: Counter[tuple[int, int]] = Counter()        # by (code, bits)
        self.faults: Counter[tuple[int, int]] = Counter()       # those in which the host raised an exception
        start, end = MUTABLE
        self._size = end - start
        self._initial = ctypes.create_string_buffer(_contents(self._size), self._size)
        self._host_memory = address_of(host.memory) + start
        self._guest_memory = 0          # of the guest that is being compared

    def run(self, cases: Iterable[Case]) -> Iterator[Difference]:
        """The differences, as they are found. Cases of one instruction should follow each other, at one address."""
        batch: list[Case] = []
        slots: dict[int, bytes] = {}
        for case in cases:
            if batch and (slots.get(case.rip, case.code) != case.code or case.bits != batch[0].bits
                          or len(batch) == BATCH):
                yield from self._batch(batch)
                batch, slots = [], {}
            batch.append(case)
            slots[case.rip] = case.code
        if batch:
            yield from self._batch(batch)

    def _batch(self, batch: list[Case]) -> Iterator[Difference]:
        slots = {case.rip: case.code for case in batch}
        for rip, instruction in slots.items():
            code = (instruction + JUMP).ljust(SLOT, HLT)
            self.host.write_code(rip - CODE.address, code)
            for guest in self.guests:
                guest.write_code(rip - CODE.address, code)
        for guest in self.guests:
            guest.forget()
            guest.prepare(list(slots), batch[0].bits)
        for case in batch:
            found = self._one(case)
            if found:
                yield found

    def reset_host(self, case: Case) -> None:
        """Put the case's memory before the host."""
        self._reset(self._host_memory, case)

    def reset_guest(self, guest: Guest, case: Case) -> None:
        """Put the case's memory before a guest."""
        self._guest_memory = guest.arena + MUTABLE[0]
        self._reset(self._guest_memory, case)

    def _reset(self, memory: int, case: Case) -> None:
        _libc.memcpy(memory, self._initial, self._size)
        for at, data in case.pokes:
            if any(area.address <= at and at + len(data) <= area.end for area in AREAS[1:]):
                ctypes.memmove(memory + self._offset(at), data, len(data))

    def one(self, case: Case) -> Difference | None:
        """The difference of one case, whose code is written for it."""
        return next(self._batch([case]), None)

    def _one(self, case: Case) -> Difference | None:
        encoded = decode(case.code, case.bits)
        assert encoded is not None, case.describe()
        insn = encoded.insn
        self.reset_host(case)
        host = self.host.run(case)
        self.count += 1
        while host.fault is None and host.rip == case.rip and insn.is_vsib:
            host, _ = self.host.step(case)      # the step ended before the element that faults (SDM Vol. 2C VGATHERDPS)
        self.cases[insn.code, case.bits] += 1
        if host.fault is not None:
            self.faults[insn.code, case.bits] += 1
        if quirks.pushes_trap_flag(insn) and host.fault is None:
            self._clear_pushed_trap_flag(host.registers[RSP])
        for guest in self.guests:
            self.reset_guest(guest, case)
            try:
                outcome = guest.run(case)
            except UnimplementedCase:
                self.unimplemented.add(code_name(insn.code))
                return None
            except UnexpectedExit as why:
                return Difference(str(insn), f"{guest.engine.mode}: {why}", case)
            what = self.differs(insn, host, outcome)
            if what:
                engine = "" if len(self.guests) == 1 else f"{guest.engine.mode}: "
                return Difference(str(insn), engine + what, case)
        return None

    def _clear_pushed_trap_flag(self, pointer: int) -> None:
        at = MUTABLE[0] + self._offset(pointer + 1)
        self.host.memory[at] &= ~(TF >> 8)

    @staticmethod
    def _offset(address: int) -> int:
        """Where an address of the arena's mutable areas lies in them."""
        area = next(a for a in AREAS[1:] if a.address <= address < a.end)
        return offset_of(area) - MUTABLE[0] + address - area.address

    def differs(self, insn: Instruction, host: Outcome, guest: Outcome) -> str:
        """What differs between the host and the guest that was reset last, after an instruction; or an empty text."""
        if host.fault != guest.fault and (host.fault, guest.fault) not in quirks.SAME_SIGNAL:
            return f"exception {_fault(host)} != {_fault(guest)}"
        if host.fault == 14 and (host.address ^ guest.address) & quirks.address_mask(insn):
            return f"page-fault address {host.address:x} != {guest.address:x}"
        if host.rip != guest.rip:
            return f"rip {host.rip:x} != {guest.rip:x}"
        faulted = host.fault is not None
        mask = quirks.register_mask(insn, faulted)
        for name, x, y in zip(GPR_NAMES, host.registers, guest.registers, strict=True):
            if (x ^ y) & mask:
                return f"{name} {x:x} != {y:x}"
        compared = COMPARED_FLAGS & ~ignored_flags(insn.mnemonic)
        if (host.flags ^ guest.flags) & compared:
            return f"flags {host.flags & compared:x} != {guest.flags & compared:x}"
        if host.bases != guest.bases:
            return f"FS and GS bases {host.bases[0]:x} {host.bases[1]:x} != {guest.bases[0]:x} {guest.bases[1]:x}"
        if host.vector and guest.vector:
            expected = reconciled(insn.mnemonic, host.vector, guest.vector)
            if faulted and quirks.enters_mmx_early(insn):
                expected = expected._replace(fsw=expected.fsw & ~TOP | guest.vector.fsw & TOP, ftw=guest.vector.ftw)
            if faulted and quirks.loads_x87_early(insn):
                expected = expected._replace(**{name: getattr(guest.vector, name) for name in X87_FIELDS})
            found = _vector_difference(expected, guest.vector)
            if found:
                return found
        if (quirks.compares_memory(insn, faulted)
                and _libc.memcmp(self._host_memory, self._guest_memory, self._size)):
            return self._memory_difference()
        return ""

    def _memory_difference(self) -> str:
        host = ctypes.string_at(self._host_memory, self._size)
        guest = ctypes.string_at(self._guest_memory, self._size)
        at = next(i for i in range(self._size) if host[i] != guest[i])
        for area in AREAS:
            inside = at + MUTABLE[0] - offset_of(area)
            if 0 <= inside < area.size:
                return f"memory at {area.address + inside:x}: {host[at:at + 8].hex()} != {guest[at:at + 8].hex()}"
        raise AssertionError(f"offset {at} lies outside the arena of {ARENA_BYTES} bytes")


def _fault(outcome: Outcome) -> str:
    return "none" if outcome.fault is None else VECTOR_NAMES.get(outcome.fault, str(outcome.fault))


def _vector_difference(host: VectorState, guest: VectorState) -> str:
    if host == guest:
        return ""
    for n in range(ZMMS):
        if host.register(n) != guest.register(n):
            return f"zmm{n} {host.register(n):x} != {guest.register(n):x}"
    for n in range(OPMASKS):
        if host.mask(n) != guest.mask(n):
            return f"k{n} {host.mask(n):x} != {guest.mask(n):x}"
    if host.mxcsr != guest.mxcsr:
        return f"mxcsr {host.mxcsr:x} != {guest.mxcsr:x}"
    for n in range(8):
        x, y = (s.st[16 * n:16 * n + 10][::-1].hex() for s in (host, guest))
        if x != y:
            return f"x87 register {n} {x} != {y}"
    for name in ("fcw", "fsw", "ftw", "fop", "fip", "fdp"):
        if getattr(host, name) != getattr(guest, name):
            return f"{name} {getattr(host, name):x} != {getattr(guest, name):x}"
    return ""
