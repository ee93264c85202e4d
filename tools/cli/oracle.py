"""`strata oracle`: compares instructions, and short programs, with the host CPU."""
from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.cli.options import Parser, seed
from tools.cli.options import count as number

if TYPE_CHECKING:
    from collections.abc import Callable

    from tools.oracle.coverage import Coverage

INSTRUCTIONS = ("integer", "x87", "mmx", "sse", "avx", "avx512", "system")
FAMILIES = (*INSTRUCTIONS, "x87-bulk", "sequences")
ENGINES = ("interp", "blocks")
DEFAULT_COUNT = 100_000
DIFFERS, UNAVAILABLE = 1, 2

EPILOG = """\
families:
  integer x87 mmx sse avx avx512 system    single instructions, in the interpreter and in compiled blocks
  x87-bulk                                 the x87 arithmetic alone, millions of cases a minute
  sequences                                random programs with loops, calls, faults and code that changes itself

The exit status is 1 if anything differs, 2 if this host cannot serve as an oracle, 126 for bad input. A difference is
one line on standard output, which --repro takes.

examples:
  strata oracle
  strata oracle --count 2000000 --json oracle.json
  strata oracle --family avx512 --family sse --seed 7
  strata oracle --only SHLD --count 50000
  strata oracle --family sequences --count 5000
  strata oracle --table docs/instructions.md --json oracle.json
"""


def parser() -> Parser:
    """The parser of `strata oracle`."""
    p = Parser("strata oracle", "Compare every instruction form with the host CPU, in both engines.", EPILOG)
    p.add_argument("--family", action="append", choices=FAMILIES,
                   help="only these; may be given again (default: all of single instructions)")
    p.add_argument("--only", action="append", metavar="NAME",
                   help="only forms with NAME in iced's name, such as SHLD_RM32; may be given again")
    p.add_argument("--bits", type=int, choices=(32, 64), help="only code of this size")
    p.add_argument("--count", type=number, default=DEFAULT_COUNT, metavar="N",
                   help=f"cases, or sequences, in all (default: {DEFAULT_COUNT}; at least one of each form)")
    p.add_argument("--seed", type=seed, default=1, metavar="S", help="which cases (default: 1)")
    p.add_argument("--engine", action="append", choices=ENGINES, help="only this engine (default: both)")
    p.add_argument("--jobs", type=number, metavar="N", help="processes (default: one for each CPU)")
    p.add_argument("--json", metavar="F", help="write what came of every form to the file F")
    p.add_argument("--table", metavar="F.md",
                   help="write the tables of docs/instructions.md, with what came of it, to F.md")
    p.add_argument("--repro", metavar="LINE", help="run the case of a line that was printed for a difference")
    return p


def main(argv: list[str]) -> int:
    """Compare and report; returns the exit status."""
    args = parser().parse_args(argv)
    for option, path in (("--json", args.json), ("--table", args.table)):
        if path and not Path(path).absolute().parent.is_dir():
            parser().error(f"{option} {path}: no such directory")
    if args.table and (args.family or args.only or args.bits):
        parser().error("--table is for all families, all forms and both sizes of code")
    from tools.oracle.host import HostUnavailable
    try:
        if args.repro is not None:
            return _repro(args)
        families = args.family or INSTRUCTIONS
        status, result = 0, {"seed": args.seed, "count": args.count, "engines": args.engine or ENGINES}
        if "x87-bulk" in families:
            from tools.oracle import x87_bulk
            result["x87-bulk"] = rows = x87_bulk.compare_all(args.count, args.seed, args.only or [])
            status |= any(row["differences"] for row in rows)
        if "sequences" in families:
            status |= _sequences(args, result)
        if any(name in INSTRUCTIONS for name in families):
            status |= _instructions(args, tuple(name for name in families if name in INSTRUCTIONS), result)
        if args.json:
            Path(args.json).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        return status
    except HostUnavailable as why:
        print(f"strata: {why}", file=sys.stderr)
        return UNAVAILABLE


def _repro(args: argparse.Namespace) -> int:
    from tools.oracle.compare import Comparison
    from tools.oracle.guest import Guest
    from tools.oracle.host import Host
    from tools.oracle.line import parse
    try:
        case = parse(args.repro)
    except ValueError as why:
        parser().error(f"--repro: {why}")
    with Host() as host:
        comparison = Comparison(host, [Guest(engine) for engine in args.engine or ENGINES])
        found = comparison.one(case)
    if comparison.unimplemented:
        print(f"not implemented: {' '.join(comparison.unimplemented)}")
        return DIFFERS
    print(found or "no difference")
    return DIFFERS if found else 0


def _instructions(args: argparse.Namespace, families: tuple[str, ...], result: dict[str, Any]) -> int:
    from tools.oracle.coverage import Coverage
    from tools.oracle.forms import forms
    from tools.oracle.host import cpu_flags
    from tools.oracle.processes import ProcessDied
    from tools.oracle.sweep import sweep
    chosen = [form for form in forms(families) if (args.bits in (None, form.bits))
              and (not args.only or any(name.upper() in form.name for name in args.only))]
    if not chosen:
        parser().error(f"no instruction form has {' or '.join(args.only or ())} in its name")
    coverage = Coverage(chosen, cpu_flags())
    wanted = coverage.wanted
    each = max(1, round(args.count / max(len(wanted), 1)))
    try:
        with _Bar("comparing", each * len(wanted)) as advance:
            for tally in sweep(wanted, each, args.seed, tuple(args.engine or ENGINES), args.jobs):
                coverage.add(tally)
                advance(each, tally.form.name)
                for line in tally.differences[:1]:
                    print(line, flush=True)
    except ProcessDied as why:
        print(f"strata: {why}", file=sys.stderr)
        return DIFFERS
    _summary(coverage)
    result["forms"] = coverage.rows()
    if args.table:
        from tools.oracle.document import document
        Path(args.table).write_text(document(coverage), encoding="utf-8")
    return DIFFERS if coverage.differing else 0


def _sequences(args: argparse.Namespace, result: dict[str, Any]) -> int:
    from tools.oracle.sequences import compare
    with _Bar("comparing programs", args.count) as advance:
        found = compare(args.count, args.seed, tuple(args.engine or ENGINES), args.bits, args.jobs, advance)
    for text in found.differences:
        print(text)
    result["sequences"] = found._asdict()
    print(f"{found.programs} programs, {found.instructions} instructions, {found.faults} ended by a fault, "
          f"{len(found.differences)} differ", file=sys.stderr)
    return DIFFERS if found.differences else 0


def _summary(coverage: Coverage) -> None:
    """A table of what came of each family, on standard error."""
    from rich.console import Console
    from rich.table import Table
    table = Table(box=None, header_style="dim", pad_edge=False)
    columns = ("family", "cases", "forms passed", "differ", "not implemented", "not on this host", "not comparable",
               "absent by design")
    for name in columns:
        table.add_column(name, justify="left" if name == "family" else "right")
    for row in coverage.summary():
        table.add_row(*map(str, row))
    Console(stderr=True, highlight=False).print(table)


class _Bar:
    """A progress bar on standard error, or elsewhere than on a terminal a line for each tenth. Entering it gives the
    function that advances it."""

    def __init__(self, text: str, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
        console = Console(stderr=True)
        self._text, self._total, self._done, self._lines = text, max(total, 1), 0, not console.is_terminal
        self._progress = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                                  TimeRemainingColumn(), TextColumn("{task.fields[at]}"), console=console,
                                  transient=True, disable=self._lines)
        self._task = self._progress.add_task(text, total=total, at="")

    def __enter__(self) -> Callable[[int, str], None]:
        self._progress.start()
        return self._advance

    def _advance(self, done: int, at: str) -> None:
        tenth = 10 * self._done // self._total
        self._done += done
        self._progress.update(self._task, advance=done, at=at)
        if self._lines and 10 * self._done // self._total > tenth:
            print(f"strata: {self._text}: {self._done} of {self._total}", file=sys.stderr, flush=True)

    def __exit__(self, *_: Any) -> None:
        self._progress.stop()
