"""`python -m tools.lockstep`: random programs in two engines until they differ or the count is reached."""

from __future__ import annotations

import argparse
import itertools
import sys
import time

from tools.lockstep import counting
from tools.lockstep.compare import agree_at_end, lockstep
from tools.lockstep.generate import generate
from tools.lockstep.program import Program
from tools.lockstep.shrink import shrink
from tools.lockstep.world import World

ENGINES = ("interp", "blocks", "auto")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    line = argparse.ArgumentParser("python -m tools.lockstep", description=__doc__)
    line.add_argument("--count", type=int, default=1_000_000, help="instructions to run (default: one million)")
    line.add_argument("--seed", type=int, default=1, help="seed of the first program; the next has the next number")
    line.add_argument("--each", type=int, default=50_000, help="instructions of one program")
    line.add_argument("--bits", type=int, choices=(32, 64), help="only programs of this code size")
    line.add_argument("--engine-a", choices=ENGINES, default="interp")
    line.add_argument("--engine-b", choices=ENGINES, default="blocks")
    line.add_argument("--no-shrink", action="store_true", help="show a failing program as it was drawn")
    return line


def report(program: Program, found: object, bits: int | None, engines: tuple[str, str]) -> str:
    """A difference as one line that says how to see it again, and the program."""
    again = f"--seed {program.seed}" + (f" --bits {bits}" if bits else "") + f" --engine-a {engines[0]}"
    return f"seed {program.seed}: {found} (again: {again} --engine-b {engines[1]} --count 1)\n{program.listing()}"


def main(argv: list[str] | None = None) -> int:
    """Exit status 0 when the engines agree everywhere, 1 when they differ."""
    args = parser().parse_args(argv)
    a, b = World(args.engine_a), World(args.engine_b)
    if args.engine_b == "blocks":
        counting.count(b.bare.engine)
    started, total, stops, faults, before = time.monotonic(), 0, 0, 0, counting.ran()
    apart = "auto" in (args.engine_a, args.engine_b)
    for seed in itertools.count(args.seed):
        program = generate(seed, args.bits)
        result = lockstep(program, a, b, args.each)
        total, stops, faults = total + result.instructions, stops + result.stops, faults + result.faults
        found = result.difference or (agree_at_end(program, a, b, args.each) if apart else None)
        if found:
            if not args.no_shrink:
                def differs(candidate: Program) -> bool:
                    return lockstep(candidate, a, b, args.each).difference is not None
                program = shrink(program, differs) if result.difference else program
                found = lockstep(program, a, b, args.each).difference or found
            print(report(program, found, args.bits, (args.engine_a, args.engine_b)))
            return 1
        if total >= args.count:
            break
    took = time.monotonic() - started
    regions = b.bare.engine.regions
    share = f", {100 * (counting.ran() - before) // max(total, 1)} % of instructions in regions" \
        if args.engine_b == "blocks" else ""
    print(f"{seed - args.seed + 1} programs, {total} instructions, {stops} stops ({faults} at faults) agree; "
          f"{regions.compiled} regions{share}; {took:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
