"""A random program: items with labels, laid out and encoded for one address."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from iced_x86 import Decoder, Encoder, Formatter, FormatterSyntax, Instruction

Resolve = Callable[[int], int]          # label -> address


class Item(NamedTuple):
    """What is kept or dropped as one when a program is shrunk. `make` gives its instructions once addresses are
    known; their sizes do not depend on the addresses. `label` is its place in the original program."""

    label: int
    make: Callable[[Resolve], list[Instruction]]


class Program(NamedTuple):
    """Items in order, and what they start from."""

    seed: int
    bits: int
    paging: str
    origin: int                         # linear address of the first instruction
    registers: tuple[int, ...]
    items: tuple[Item, ...]
    changes_itself: bool                # dear to run: each change costs what was compiled from its page

    def encode(self) -> bytes:
        """The program's bytes. ValueError: an item cannot be encoded."""
        addresses, _ = self._lay_out({})
        return self._lay_out(addresses)[1]

    def _lay_out(self, known: dict[int, int]) -> tuple[dict[int, int], bytes]:
        end = self.items[-1].label + 1 if self.items else 0
        following = {}
        label = end
        for item in (*reversed(self.items), None):
            for missing in range(item.label + 1 if item else 0, label):
                following[missing] = label
            if item:
                label = following[item.label] = item.label
        at, found, data = self.origin, {}, b""

        def resolve(label: int) -> int:
            return known.get(following.get(label, end), at)
        for item in self.items:
            found[item.label] = at
            for insn in item.make(resolve):
                encoder = Encoder(self.bits)
                at += encoder.encode(insn, at)
                data += encoder.take_buffer()
        found[end] = at
        return found, data

    def listing(self) -> str:
        """The program's disassembly."""
        formatter = Formatter(FormatterSyntax.INTEL)
        lines = []
        data = self.encode()
        for insn in Decoder(self.bits, data, ip=self.origin):
            at = insn.ip - self.origin
            lines.append(f"  {insn.ip:#x}  {data[at:at + insn.len].hex():<24}{formatter.format(insn)}")
        return "\n".join(lines)
