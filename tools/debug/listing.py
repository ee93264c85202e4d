"""Code around an address: instructions in order, with the symbols that name them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from iced_x86 import Decoder, FlowControl, Formatter, FormatterSyntax, Instruction

from emu import Machine
from emu.api.views import PlaneView

MASK = (1 << 64) - 1
BACK = 192              # bytes before an address that are looked at for the instructions in front of it
LONGEST = 15


class Line(NamedTuple):
    """An instruction: its linear address, its bytes, mnemonic and operands, the symbol that starts there (or ""), and
    where it leads, with a name if there is one."""

    address: int
    data: bytes
    mnemonic: str
    operands: str
    label: str
    target: str


class Listing:
    """Disassembles what one plane sees."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._formatter = Formatter(FormatterSyntax.INTEL)
        self._formatter.hex_prefix, self._formatter.hex_suffix = "0x", ""
        self._formatter.space_after_operand_separator = True
        self._formatter.branch_leading_zeros = False
        self._formatter.rip_relative_addresses = True

    def around(self, plane: PlaneView, address: int, before: int, after: int) -> list[Line]:
        """Up to `before` instructions in front of an address, the one there, and up to `after` behind it."""
        return [*self._before(plane, address, before), *self._from(plane, address, after + 1)]

    def name(self, address: int) -> str:
        """SYMBOL+N of an address, or ""."""
        found = self.machine.symbols.nearest(address)
        if found is None or found[0].size and found[1] >= found[0].size or found[1] > 1 << 20:
            return ""
        return found[0].name + (f"+{found[1]:#x}" if found[1] else "")

    def _decode(self, plane: PlaneView, address: int, data: bytes, count: int) -> list[Instruction]:
        decoder = Decoder(plane.bits, data, self.machine.cpu.decoder_options, ip=address)
        found: list[Instruction] = []
        while decoder.can_decode and len(found) < count:
            insn = decoder.decode()
            if not insn and decoder.position >= len(data) > LONGEST:
                break               # cut off by the end of what was read
            found.append(insn)
        return found

    def _from(self, plane: PlaneView, address: int, count: int) -> list[Line]:
        data = readable(plane, address, count * LONGEST)
        return self._lines(self._decode(plane, address, data, count), address, data)

    def _before(self, plane: PlaneView, address: int, count: int) -> list[Line]:
        """Decodes from the symbol's start if that is near, else from where decoding comes out at the address."""
        if count <= 0:
            return []
        symbol = self.machine.symbols.nearest(address - 1) if address else None
        starts: Iterable[int] = range(max(0, address - min(BACK, count * LONGEST)), address)
        if symbol is not None and address - BACK <= symbol[0].address < address:
            starts = (symbol[0].address, *starts)
        for start in starts:
            data = readable(plane, start, address - start)
            if len(data) != address - start:
                continue
            found = self._decode(plane, start, data, len(data))
            if found and found[-1].next_ip & MASK == address and all(found):
                return self._lines(found, start, data)[-count:]
        return []

    def _lines(self, instructions: list[Instruction], start: int, data: bytes) -> list[Line]:
        lines = []
        for insn in instructions:
            address, at = insn.ip, insn.ip - start
            raw = data[at:at + insn.len]
            symbol = self.machine.symbols.nearest(address)
            label = symbol[0].name if symbol is not None and symbol[1] == 0 else ""
            if not insn:
                lines.append(Line(address, raw, "(bad)", raw.hex(" "), label, ""))
                continue
            mnemonic, _, operands = self._formatter.format(insn).partition(" ")
            lines.append(Line(address, raw, mnemonic, operands.strip(), label, self._target(insn)))
        return lines

    def _target(self, insn: Instruction) -> str:
        if insn.flow_control in (FlowControl.CALL, FlowControl.UNCONDITIONAL_BRANCH, FlowControl.CONDITIONAL_BRANCH):
            return self.name(insn.near_branch_target)
        return self.name(insn.ip_rel_memory_address) if insn.is_ip_rel_memory_operand else ""


def readable(plane: PlaneView, address: int, size: int) -> bytes:
    """As many of `size` bytes at an address as are mapped to memory, without a gap."""
    return plane.memory.most(address & MASK, size)
