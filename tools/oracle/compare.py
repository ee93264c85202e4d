"""Runs cases on both sides and says where they differ."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator
from random import Random
from typing import NamedTuple

from tools.oracle.arena import ARENA_BYTES, AREAS, CODE, MUTABLE, SLOT, SLOTS, offset_of
from tools.oracle.case import GPR_NAMES, VECTOR_NAMES, Case, Outcome
from tools.oracle.encode import decode
from tools.oracle.generate import contents
from tools.oracle.guest import Guest, UnimplementedCase, address_of
from tools.oracle.host import Host
from tools.oracle.undefined_flags import ignored_flags

COMPARED_FLAGS = 0x4CD5 | 0x3000 | 0x200        # status, IF, DF, IOPL, NT; tracing itself uses TF and RF
TF = 0x100
HLT = b"\xf4"
ALIASES = {(13, 5), (13, 4)}                    # Linux reports #BR and #OF as it does #GP: (host, engine)
_libc = ctypes.CDLL(None)
_libc.memcmp.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
_libc.memcpy.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]


class Difference(NamedTuple):
    """A case on which the sides disagree."""

    text: str           # the instruction as text
    what: str           # what differs, host first
    case: Case

    def __str__(self) -> str:
        return f"{self.text}: {self.what}: {self.case.describe()}"


class Comparison:
    """A host and a guest with the same arena. `unimplemented` collects the instructions that the engine lacks."""

    def __init__(self, host: Host, guest: Guest, seed: int = 1) -> None:
        self.host, self.guest = host, guest
        self.unimplemented: set[str] = set()
        self.count = 0
        start, end = MUTABLE
        self._size = end - start
        self._initial = ctypes.create_string_buffer(contents(self._size, Random(seed)), self._size)
        self._host_memory = address_of(host.memory) + start
        self._guest_memory = guest.arena + start

    def run(self, cases: Iterable[Case]) -> Iterator[Difference]:
        """The differences, as they are found. Case i of a batch runs in slot i of the code area."""
        batch: list[Case] = []
        for case in cases:
            batch.append(case)
            if len(batch) == SLOTS:
                yield from self._batch(batch)
                batch = []
        if batch:
            yield from self._batch(batch)

    def _batch(self, batch: list[Case]) -> Iterator[Difference]:
        for slot, case in enumerate(batch):
            code = case.code.ljust(SLOT, HLT)
            self.host.write_code(slot * SLOT, code)
            self.guest.write_code(slot * SLOT, code)
        self.guest.forget()
        for slot, case in enumerate(batch):
            found = self._one(case, CODE.address + slot * SLOT)
            if found:
                yield found

    def _reset(self, case: Case) -> None:
        for memory in (self._host_memory, self._guest_memory):
            _libc.memcpy(memory, self._initial, self._size)
            for at, data in case.pokes:
                for area in AREAS[1:]:
                    if area.address <= at and at + len(data) <= area.end:
                        offset = offset_of(area) - MUTABLE[0] + at - area.address
                        ctypes.memmove(memory + offset, data, len(data))

    def _one(self, case: Case, rip: int) -> Difference | None:
        self._reset(case)
        self.count += 1
        host = self.host.run(case, rip)
        try:
            guest = self.guest.run(case, rip)
        except UnimplementedCase:
            self.unimplemented.add(str(self._text(case)))
            return None
        what = self._differs(case, host, guest)
        return Difference(self._text(case), what, case) if what else None

    def _text(self, case: Case) -> str:
        encoded = decode(case.code, case.bits)
        return str(encoded.insn) if encoded else "(bad)"

    def _differs(self, case: Case, host: Outcome, guest: Outcome) -> str:
        if host.fault != guest.fault and (host.fault, guest.fault) not in ALIASES:
            return f"exception {_fault(host)} != {_fault(guest)}"
        if host.fault == 14 and host.address != guest.address:
            return f"page-fault address {host.address:x} != {guest.address:x}"
        if host.rip != guest.rip:
            return f"rip {host.rip:x} != {guest.rip:x}"
        for name, x, y in zip(GPR_NAMES, host.registers, guest.registers, strict=True):
            if x != y:
                return f"{name} {x:x} != {y:x}"
        encoded = decode(case.code, case.bits)
        compared = COMPARED_FLAGS & ~(ignored_flags(encoded.insn.mnemonic) if encoded else 0)
        if (host.flags ^ guest.flags) & compared:
            return f"flags {host.flags & compared:x} != {guest.flags & compared:x}"
        if _libc.memcmp(self._host_memory, self._guest_memory, self._size):
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
