"""`strata bench debug`: what debugging costs: steps a second, going back, breakpoints that do not fire.

Times are processor time of the main thread, so that other work on the host counts less. Each case runs a loop of eight
instructions with a load, a store and a read-modify-write until it is compiled, then is measured, the best of REPEATS.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools.cli.options import Parser

AT, DATA = 0x10000, 0x20000
# mov ecx, 10^9; mov edi, DATA
PROLOGUE = bytes.fromhex("b900ca9a3bbf00000200")
# inc rax; add rbx, rax; xor rax, rbx; mov [rdi+16], rbx; add rdx, [rdi+16]; add qword [rdi+32], 1; dec ecx; jnz
LOOP = bytes.fromhex("48ffc04801c34831d848895f10480357104883472001ffc975e6")
MEASURED, WARM_UP, REPEATS, STEPS, SINGLE, BACK = 30_000_000, 3_000_000, 3, 1_000_000, 500, 10
SETTLED = 50            # warm-up runs at most until nothing is being compiled
STEPS_WANTED, OVERHEAD_WANTED, REVERSE_WANTED = 1e6, 0.20, 1.0

EPILOG = """\
examples:
  strata bench debug
  strata bench debug --json debug.json
"""


def parser() -> Parser:
    """The parser of `strata bench debug`."""
    p = Parser("strata bench debug", "Measure stepping, going back, and breakpoints that do not fire.", EPILOG)
    p.add_argument("--json", metavar="F", help="write the results to the file F")
    return p


def main(argv: list[str]) -> int:
    """Run the benchmark; returns its exit status."""
    args: argparse.Namespace = parser().parse_args(argv)
    with tempfile.TemporaryDirectory() as directory:
        image = Path(directory, "loop.bin")
        image.write_bytes(PROLOGUE + LOOP)
        result = measure(image)
    show(result)
    if args.json:
        Path(args.json).write_text(json.dumps(result, indent=2) + "\n")
    return 0


def measure(image: Path) -> dict[str, Any]:
    """All results: `steps_per_second`, `step_calls_per_second`, `reverse_step_seconds`, `snapshot_seconds`,
    `mips`, and `overhead`, the share of speed lost, by case."""
    from emu import Machine
    with Machine(memory="16M") as m:
        m.load(image, load_address=AT, mode=64)
        inside = AT + len(PROLOGUE) + 3
        cases: dict[str, Callable[[], Any]] = {
            "breakpoint elsewhere on the page": lambda: m.breakpoint(AT + 0x800),
            "breakpoint in the loop, register condition": lambda: m.breakpoint(inside, condition="rax == 0x1234567"),
            "breakpoint in the loop, other plane": lambda: m.breakpoint(inside, plane=3),
            "watchpoint on another page": lambda: m.watch(DATA + 0x2000),
            "watchpoint beside the loop's data": lambda: m.watch(DATA + 0x800),
            "MSR, port and hypercall": lambda: [m.break_msr(0x10), m.break_port(0x80), m.break_hypercall(0x11)],
            "plane switch and interrupt": lambda: [m.break_plane_switch(), m.break_interrupt(0x20)],
            "register change": lambda: m.watch_register("cr3"),
        }
        overhead, before, mips = {}, speed(m), []
        for name, place in cases.items():
            placed = place()
            slow = speed(m)
            for found in placed if isinstance(placed, list) else [placed]:
                found.remove()
            after = speed(m)
            overhead[name] = max(0.0, 1 - slow / ((before + after) / 2))
            mips.append(before := after)
        result: dict[str, Any] = {"mips": max(mips), "overhead": overhead}
        result["steps_per_second"] = STEPS / timed(lambda: sum(1 for _ in m.steps(STEPS)))
        result["step_calls_per_second"] = SINGLE / timed(lambda: [m.step() for _ in range(SINGLE)])
        result["snapshot_seconds"] = timed(m.snapshot)
        m.reverse_step()
        result["reverse_step_seconds"] = timed(lambda: [m.reverse_step() for _ in range(BACK)]) / BACK
    return result


def timed(action: Callable[[], Any]) -> float:
    """Seconds of this thread's processor time."""
    started = time.thread_time()
    action()
    return time.thread_time() - started


def speed(machine: Any) -> float:
    """Millions of instructions a second, once nothing is being compiled any more."""
    machine.run(max_insns=WARM_UP)
    for _ in range(SETTLED):
        machine.run(max_insns=WARM_UP)
        if not machine.engine.regions.busy:
            break
        time.sleep(0.05)
    return MEASURED / min(timed(lambda: machine.run(max_insns=MEASURED)) for _ in range(REPEATS)) / 1e6


def show(result: dict[str, Any]) -> None:
    """Print a table."""
    from rich.console import Console
    from rich.table import Table
    table = Table(title="Debugging", title_justify="left")
    for heading in ("what", "measured", "wanted"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    table.add_row("steps seen from Python", f"{result['steps_per_second'] / 1e6:.2f} M/s",
                  f"{STEPS_WANTED / 1e6:.0f} M/s")
    table.add_row("calls of step()", f"{result['step_calls_per_second'] / 1e3:.1f} k/s", "")
    table.add_row("reverse-step", f"{result['reverse_step_seconds'] * 1e3:.1f} ms", f"{REVERSE_WANTED:.0f} s")
    table.add_row("snapshot", f"{result['snapshot_seconds'] * 1e3:.2f} ms", "")
    table.add_section()
    table.add_row("the loop by itself", f"{result['mips']:.0f} MIPS", "")
    for name, lost in result["overhead"].items():
        table.add_row(name, f"-{lost:.0%}", f"< {OVERHEAD_WANTED:.0%}")
    Console().print(table)
