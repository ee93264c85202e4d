"""Runs a program in two engines, stops both at the same random counts, and compares their whole states there."""

from __future__ import annotations

import ctypes
import random
from typing import NamedTuple

from emu.mem.ram import PAGE
from jit import exits, layout, uops
from tools.lockstep.program import Program
from tools.lockstep.world import World

WHOLE = 64                  # block ends between looks at memory and the vector registers
MAX_STOPS = 4000            # after which a program that does little but fault is given up

EXECUTE = 2                 # access of a translation
TRANSLATION = (layout.WALK_GPA, layout.WALK_RIGHTS, layout.FAULT_VECTOR, layout.FAULT_ERROR, layout.FAULT_HAS_ERROR,
               layout.FAULT_ADDRESS)
SLICE = 20_000              # in which a world with a background compiler runs, so that it can put regions in place


class Difference(NamedTuple):
    """Where two runs part: instructions run before the stop, and the fields that differ with both values."""

    after: int
    fields: dict[str, tuple[object, object]]

    def __str__(self) -> str:
        shown = ", ".join(f"{name} {_text(a)} and {_text(b)}" for name, (a, b) in self.fields.items())
        return f"after {self.after} instructions: {shown}"


class Result(NamedTuple):
    """What a run came to."""

    difference: Difference | None
    instructions: int
    stops: int
    faults: int


def _text(value: object) -> str:
    return hex(value) if isinstance(value, int) else str(value)[:16]


def worthwhile(program: Program, instructions: int) -> int:
    """How many of the instructions to run of a program whose compiled code is short-lived."""
    return instructions // 100 if program.changes_itself else instructions


def differences(a: World, b: World, whole: bool = True) -> dict[str, tuple[object, object]]:
    """The fields in which two worlds differ, with both values. Not the whole state is looked at unless asked for, or
    unless a part of it differs."""
    if not whole and a.brief() == b.brief():
        return {}
    first, second = a.state(), b.state()
    found: dict[str, tuple[object, object]] = {name: (value, second[name]) for name, value in first.items()
                                               if value != second[name]}
    if not a.same_memory(b):
        at = next(n for n, (x, y) in enumerate(zip(a.bare.ram.view, b.bare.ram.view, strict=True)) if x != y)
        found[f"memory at {at:#x}"] = a.bare.ram.view[at], b.bare.ram.view[at]
    return found


def to_block_end(world: World) -> int:
    """Instructions up to the end of the block that comes next, or 1 where none is decoded yet."""
    plane, translator = world.bare.plane, world.bare.engine.translator
    linear = plane.get(layout.RIP) + plane.get(layout.CS_BASE)
    mode = plane.get(layout.MODE)
    if mode & 3 != layout.MODE_64:
        linear &= 0xFFFFFFFF
    kept = [plane.get(field) for field in TRANSLATION]
    status = world.bare.engine.translate(plane.address, linear, EXECUTE, plane.get(layout.TLB_SET))
    gpa = plane.get(layout.WALK_GPA)
    for field, value in zip(TRANSLATION, kept, strict=True):
        plane.set(field, value)
    if status == exits.OK:
        for page in translator.pages.get(gpa & -PAGE, ()):
            if page.mode == mode and (uop := page.table[gpa % PAGE]):
                return max(1, ctypes.c_uint32.from_address(uop + uops.REM).value)
    return 1


def lockstep(program: Program, a: World, b: World, instructions: int, slices: int = 2000,
             at_block_ends: bool = False) -> Result:
    """Run up to `instructions` in slices of at most `slices`, or of a block each, until the program ends or the worlds
    differ."""
    rng = random.Random(program.seed ^ 0x5EED)
    instructions = worthwhile(program, instructions)
    a.start(program)
    b.start(program)
    done = stops = faults = 0
    whole = WHOLE if at_block_ends else 1
    while done < instructions:
        if at_block_ends:
            budget = to_block_end(a)
        else:
            budget = rng.choice((1, rng.randrange(1, 8), rng.randrange(1, 100), rng.randrange(1, slices)))
        left, how = budget, ""
        while left > 0:
            how, other = a.go(left), b.go(left)
            stops += 1
            ran = left - a.bare.left()
            done += ran
            left -= ran
            if how != other or differences(a, b, how == "EVENT" and stops % whole == 0):
                fields = {"exit": (how, other)} if how != other else {}
                return Result(Difference(done, fields | differences(a, b)), done, stops, faults)
            if how == "EVENT":
                break
            faults += 1
            a.go_on(how)
            b.go_on(how)
            if stops > MAX_STOPS:
                return Result(None, done, stops, faults)
    return Result(None, done, stops, faults)


def agree_at_end(program: Program, a: World, b: World, instructions: int) -> Difference | None:
    """Run each world by itself, in slices of its own, and compare once the instructions have run."""
    instructions = worthwhile(program, instructions)
    for world, slice_length in ((a, instructions), (b, SLICE)):
        world.start(program)
        left, faults = instructions, 0
        while left > 0 and faults < MAX_STOPS:
            budget = min(left, slice_length)
            how = world.go(budget)
            left -= budget - world.bare.left()
            if how != "EVENT":
                faults += 1
                world.go_on(how)
        world.bare.plane.set(layout.BUDGET, left)          # how far it came counts, not how the slices fell
    fields = differences(a, b)
    return Difference(instructions - left, fields) if fields else None
