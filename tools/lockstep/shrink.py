"""Makes a failing program short: drops items as long as the failure stays."""

from __future__ import annotations

from collections.abc import Callable

from tools.lockstep.program import Program


def shrink(program: Program, fails: Callable[[Program], bool]) -> Program:
    """The program with as many items removed as can be, one run of items or one item at a time."""
    size = max(len(program.items) // 2, 1)
    while True:
        at, shorter = 0, False
        while at < len(program.items):
            candidate = program._replace(items=program.items[:at] + program.items[at + size:])
            if candidate.items and fails(candidate):
                program, shorter = candidate, True
            else:
                at += size
        if size == 1 and not shorter:
            return program
        size = max(size // 2, 1)
