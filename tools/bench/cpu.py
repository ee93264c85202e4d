"""`strata bench cpu`: eleven loops in Strata and, in the same run, in QEMU, Unicorn and on the host CPU.

Only ratios measured in one run mean anything: a shared machine's speed swings by a third from one run to the next.
"""
import argparse
import json
import sys
from pathlib import Path
from typing import Any

from tools.bench.loop import Loop
from tools.bench.loops import LOOPS
from tools.bench.measure import Speed, speed
from tools.bench.peers import Native, PeerError, Runner, Strata, available
from tools.cli.options import Parser, seconds

ENGINES = ("interp", "auto")
PEERS = ("qemu", "unicorn", "native")
FAILED = 125

EPILOG = f"""\
loops:
{chr(10).join(f"  {loop.name:<12}{loop.about}" for loop in LOOPS)}

examples:
  strata bench cpu
  strata bench cpu --engine auto --loop fib --vs unicorn
  strata bench cpu --json cpu.json --plot cpu.svg
"""


def parser() -> Parser:
    """The parser of `strata bench cpu`."""
    p = Parser("strata bench cpu", "Instructions a second on eleven loops, beside other emulators.", EPILOG)
    p.add_argument("--engine", action="append", choices=("interp", "blocks", "auto"),
                   help="measure this engine; may be given again (default: interp and auto)")
    p.add_argument("--loop", action="append", choices=[loop.name for loop in LOOPS],
                   help="measure this loop; may be given again (default: all)")
    p.add_argument("--vs", type=_peers, default=set(PEERS), metavar="LIST",
                   help=f"peers, of {','.join(PEERS)}, or none (default: all that are here)")
    p.add_argument("--seconds", type=seconds, default=1.0, metavar="S",
                   help="how long one measurement takes, of several (default: 1)")
    p.add_argument("--json", metavar="F", help="write the results to the file F")
    p.add_argument("--plot", metavar="F.svg", help="draw the results into the file F.svg")
    return p


def _peers(text: str) -> set[str]:
    wanted = set() if text == "none" else set(text.split(","))
    if wanted - set(PEERS):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of {','.join(PEERS)}, nor none")
    return wanted


def main(argv: list[str]) -> int:
    """Measure and report; returns 0, or 125 if some measurement of Strata itself failed."""
    args = parser().parse_args(argv)
    engines: list[Runner] = [Strata(name) for name in dict.fromkeys(args.engine or ENGINES)]
    loops = [loop for loop in LOOPS if args.loop is None or loop.name in args.loop]
    for option, path in (("--json", args.json), ("--plot", args.plot)):
        if path and not Path(path).absolute().parent.is_dir():
            parser().error(f"{option} {path}: no such directory")
    peers, missing = available(args.vs)
    for line in missing:
        _say(f"{line} (left out)")
    rows, failed = [], False
    for loop in loops:
        at_peers = measure(peers, loop, args.seconds)
        at_engines = measure(engines, loop, args.seconds)
        failed |= len(at_engines) < len(engines)
        rows += [row(loop, engine, found, at_peers) for engine, found in at_engines.items()]
        report(loop, at_engines, at_peers)
    if args.json:
        Path(args.json).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    if args.plot and rows:
        Path(args.plot).write_text(plot(rows), encoding="utf-8")
    return FAILED if failed else 0


def measure(runners: list[Runner], loop: Loop, target: float) -> dict[str, Speed]:
    """The speed of each runner that could run the loop; the others are named on standard error."""
    reference = None if Native.missing() else Native()
    found = {}
    for runner in runners:
        try:
            found[runner.name] = speed(runner, loop, target, reference)
        except PeerError as error:
            _say(str(error))
    return found


def row(loop: Loop, engine: str, found: Speed, peers: dict[str, Speed]) -> dict[str, Any]:
    """One element of the JSON result: `ratio` is Strata's speed over the peer's, `peers` the peers' own in MIPS."""
    return {"name": loop.name, "engine": engine, "instructions": found.instructions,
            "seconds": round(found.seconds, 6), "mips": round(found.mips, 1),
            "ratio": {name: round(found.mips / peer.mips, 4) for name, peer in peers.items()},
            "peers": {name: round(peer.mips, 1) for name, peer in peers.items()}}


def report(loop: Loop, engines: dict[str, Speed], peers: dict[str, Speed]) -> None:
    """Print one loop's table on standard output."""
    from rich.console import Console
    from rich.table import Table
    table = Table(box=None, header_style="dim", pad_edge=False)
    table.add_column("", no_wrap=True, min_width=16)
    table.add_column("MIPS", justify="right", no_wrap=True)
    for name in engines:
        table.add_column(f"{name} is", justify="right", no_wrap=True)
    for name, found in engines.items():
        table.add_row(f"strata {name}", f"{found.mips:,.0f}", *[""] * len(engines), style="bold")
    for name, peer in peers.items():
        table.add_row(name, f"{peer.mips:,.0f}", *(f"{found.mips / peer.mips:.2f} x" for found in engines.values()))
    Console(highlight=False).print(f"[bold]{loop.name}[/]: {loop.about}", table, "")


def plot(rows: list[dict[str, Any]]) -> str:
    """The SVG chart of the JSON result."""
    from tools.bench.plot import bars
    groups: dict[str, dict[str, float]] = {}
    for entry in rows:
        groups.setdefault(entry["name"], {})[f"strata {entry['engine']}"] = entry["mips"]
    for entry in rows:
        groups[entry["name"]].update(entry["peers"])
    return bars("Instructions a second", "MIPS", list(groups.items()))


def _say(line: str) -> None:
    print(f"strata: {line}", file=sys.stderr, flush=True)
