"""Addresses and values as people type them: numbers, symbols, registers, memory, and arithmetic over these."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from emu import Machine
from emu.api.views import PlaneView
from emu.debug.condition import Condition, ConditionError
from emu.state_names import REGISTERS

MASK = (1 << 64) - 1
READS = {"u8": 1, "u16": 2, "u32": 4, "u64": 8}


class Names(Mapping[str, Any]):
    """What names mean in a plane."""

    def __init__(self, machine: Machine, plane: PlaneView) -> None:
        self.machine, self.plane = machine, plane

    def __getitem__(self, name: str) -> Any:
        if name in READS:
            return lambda at: self.plane.memory.integer(at & MASK, READS[name])
        if name in REGISTERS:
            return self.plane.regs[name]
        symbol = self.machine.symbols.named(name)
        if symbol is not None:
            return symbol.address
        known = {"plane": self.plane.number, "vcpu": self.plane.vcpu, "icount": self.machine.icount}
        return known[name]

    def __iter__(self) -> Iterator[str]:
        return iter((*READS, *REGISTERS))

    def __len__(self) -> int:
        return len(READS) + len(REGISTERS)


def value(machine: Machine, plane: PlaneView, text: str) -> int:
    """What an expression is worth in a plane, modulo 2^64: `rsp+8`, `vtl1_serve`, `u64(rsp)`, `0x1000`. ValueError: it
    is no expression, or names what does not exist, or reads what is not mapped."""
    text = text.strip().removeprefix("*").removeprefix("&").replace("$", "")
    if not text:
        raise ValueError("an address is missing")
    if text not in REGISTERS:
        try:
            return machine.address_of(text) & MASK      # numbers, and symbols that are no Python names, as `f.part.0`
        except ValueError:
            pass
    try:
        found = Condition(text, lambda name: machine.symbols.named(name) is not None).value(Names(machine, plane))
    except ConditionError as error:
        raise ValueError(str(error).removeprefix("condition ")) from None
    except (ZeroDivisionError, TypeError, LookupError, OverflowError) as error:
        raise ValueError(f"{text!r}: {error}") from None
    return int(found) & MASK
