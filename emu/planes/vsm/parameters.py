"""Where a hypercall's parameters are: in memory, or in registers (TLFS, "Hypercall inputs", "Hypercall outputs",
"XMM fast hypercall input" and "output")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from emu.mem.ram import PAGE
from emu.planes.vsm import codes
from emu.planes.vsm.codes import HvError
from jit import fpu_layout, layout

if TYPE_CHECKING:
    from emu.plane import Plane
    from emu.planes.vsm.vp import Vp

RAX, RCX, RDX, RBX, RSI, RDI, R8 = (layout.gpr(n) for n in (0, 1, 2, 3, 6, 7, 8))
MASK32, MASK64 = 0xFFFFFFFF, (1 << 64) - 1
FAST_BYTES = 112                # two operands of 8 bytes, then XMM0 to XMM5
FAST_SLOT = 16


class Parameters(Protocol):
    """Input and output of one hypercall. HvError: they are not where they may be."""

    def read(self, offset: int, size: int) -> bytes:
        """Input bytes."""

    def reserve(self, input_size: int, output_size: int) -> None:
        """Tell the sizes of both, before anything is done."""

    def write(self, offset: int, data: bytes) -> None:
        """Output bytes."""


def is_wide(plane: Plane) -> bool:
    """Whether the 64-bit convention applies."""
    return plane.get(layout.MODE) & 3 == layout.MODE_64


def locate(vp: Vp, plane: Plane, fast: bool, first: int, second: int) -> Parameters:
    """The parameters of a call with these operands."""
    return InRegisters(plane, first, second) if fast else InMemory(vp, first, second)


class InMemory:
    """Parameter blocks on 8-byte boundaries, each within a page of RAM that the calling VTL may access."""

    def __init__(self, vp: Vp, first: int, second: int) -> None:
        self._vp, self._input, self._output = vp, first, second

    def read(self, offset: int, size: int) -> bytes:
        if offset + size:
            self._check(self._input, offset + size, write=False)
        return self._vp.partition.machine.memory.read(self._input + offset, size)

    def reserve(self, input_size: int, output_size: int) -> None:
        if input_size:
            self._check(self._input, input_size, write=False)
        if output_size:
            self._check(self._output, output_size, write=True)

    def write(self, offset: int, data: bytes) -> None:
        if data:
            self._vp.partition.machine.dma_write(self._output + offset, data)

    def _check(self, gpa: int, size: int, write: bool) -> None:
        partition = self._vp.partition
        if gpa % 8 or gpa % PAGE + size > PAGE:
            raise HvError(codes.INVALID_ALIGNMENT)
        if not partition.is_ram(gpa & -PAGE) or partition.pages.enabled(gpa & -PAGE):
            raise HvError(codes.INVALID_HYPERCALL_INPUT)
        partition.intercepts.check_block(self._vp, gpa, write)


class InRegisters:
    """The register file of fast calls: input first, output from the next 16-byte boundary on."""

    def __init__(self, plane: Plane, first: int, second: int) -> None:
        self._plane = plane
        self._words = [first, second,
                       *(plane.fpu_get(fpu_layout.xmm(n) + 8 * half) for n in range(6) for half in (0, 1))]
        self._output = 0

    def read(self, offset: int, size: int) -> bytes:
        data = b"".join(word.to_bytes(8, "little") for word in self._words)[offset:offset + size]
        if len(data) < size:
            raise HvError(codes.INVALID_HYPERCALL_INPUT)
        return data

    def reserve(self, input_size: int, output_size: int) -> None:
        self._output = -(-input_size // FAST_SLOT) * FAST_SLOT
        if max(input_size, self._output + output_size if output_size else 0) > FAST_BYTES:
            raise HvError(codes.INVALID_HYPERCALL_INPUT)

    def write(self, offset: int, data: bytes) -> None:
        at = self._output + offset
        for i, byte in enumerate(data):
            word, shift = (at + i) // 8, (at + i) % 8 * 8
            self._words[word] = self._words[word] & ~(0xFF << shift) & MASK64 | byte << shift
        for word in range(at // 8, (at + len(data) + 7) // 8):
            self._store(word)

    def _store(self, word: int) -> None:
        value = self._words[word]
        if word >= 2:
            self._plane.fpu_set(fpu_layout.xmm((word - 2) // 2) + word % 2 * 8, value)
        elif is_wide(self._plane):
            self._plane.set(R8 if word else RDX, value)
        else:
            high, low = (RDI, RSI) if word else (RBX, RCX)
            self._plane.set(high, value >> 32)
            self._plane.set(low, value & MASK32)
