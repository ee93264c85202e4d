"""`strata kut`: kvm-unit-tests, from the directory where the user built them.

Exit statuses: 0 when every test passed, was skipped or failed as known; 1 when one failed unexpectedly; 126 when the
directory or an option cannot be used.
"""
import argparse
import json
import os
import sys
from typing import Any

from tools.cli.options import Parser, seconds

BAD_INPUT = 126

EPILOG = """\
DIR is where kvm-unit-tests was configured for x86_64 and built. What is known to fail, and why, is in
tools/kut/known.json; exit status 1 means that something else failed.

examples:
  strata kut ../kvm-unit-tests --list
  strata kut ../kvm-unit-tests --only 'vmexit*' --only ioapic
  strata kut ../kvm-unit-tests --json kut.json --logs kut-logs
"""


def jobs(text: str) -> int:
    """How many tests run at a time, 1 to 256."""
    if not text.isdecimal() or len(text) > 3 or not 1 <= int(text) <= 256:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 256")
    return int(text)


def parser() -> Parser:
    """The parser of `strata kut`."""
    p = Parser("strata kut", "Run kvm-unit-tests unmodified and compare with what is known.", EPILOG)
    p.add_argument("directory", metavar="DIR", help="where kvm-unit-tests was built")
    p.add_argument("--list", action="store_true", help="list the tests and their options; run nothing")
    p.add_argument("--only", action="append", default=[], metavar="P",
                   help="tests whose name or group matches the pattern; may be given several times")
    p.add_argument("--json", metavar="F", help="write the results to the file F, or to standard output if F is -")
    p.add_argument("--logs", metavar="D", help="write what each test printed to D/NAME.log")
    p.add_argument("--jobs", type=jobs, default=os.cpu_count() or 1, metavar="N", help="tests at a time")
    p.add_argument("--timeout", type=seconds, metavar="S",
                   help="seconds for each test (default: what the suite asks for, at least 300)")
    p.add_argument("--engine", choices=("auto", "interp", "blocks"), default="auto", help="as for strata run")
    return p


def main(argv: list[str]) -> int:
    """Run `strata kut` with these arguments; returns the exit status."""
    from tools.kut import config, suite, table
    args = parser().parse_args(argv)
    try:
        tests = suite.select(config.read_suite(args.directory), args.only)
    except config.ConfigError as error:
        return _refuse(str(error))
    if not tests:
        return _refuse(f"--only {' '.join(args.only)}: no such test in {args.directory}; --list shows them")
    if args.json not in (None, "-") and not os.path.isdir(os.path.dirname(args.json) or "."):
        return _refuse(f"--json {args.json}: no such directory")
    text = sys.stderr if args.json == "-" else sys.stdout
    if args.list:
        if args.json:
            return _write(args.json, {"tests": [test.__dict__ for test in tests]})
        table.print_list(tests, text)
        return 0
    try:
        if args.logs:
            os.makedirs(args.logs, exist_ok=True)
    except OSError as error:
        return _refuse(f"--logs {args.logs}: {error.strerror}")
    verdicts = _run(args, tests)
    table.print_table(verdicts, text)
    if args.json and _write(args.json, suite.as_data(args.directory, verdicts)):
        return BAD_INPUT
    return int(any(not verdict.expected for verdict in verdicts))


def _run(args: argparse.Namespace, tests: list[Any]) -> list[Any]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from tools.kut import known, suite
    running: list[str] = []
    columns = (TextColumn("kut"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TextColumn("{task.description}"))
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as progress:
        task = progress.add_task("", total=len(tests))

        def started(test: Any) -> None:
            running.append(test.name)
            progress.update(task, description=" ".join(running))

        def ended(verdict: Any) -> None:
            running.remove(verdict.test.name)
            progress.update(task, advance=1, description=" ".join(running))
            if args.logs:
                with open(os.path.join(args.logs, f"{verdict.test.name}.log"), "w", encoding="utf-8") as file:
                    file.write(verdict.result.output + verdict.result.errors)

        return suite.run(tests, known.load(), args.jobs, args.timeout, args.engine, started, ended)


def _write(path: str, data: dict[str, Any]) -> int:
    text = json.dumps(data, indent=1) + "\n"
    if path == "-":
        sys.stdout.write(text)
        return 0
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        return _refuse(f"--json {path}: {error.strerror}")
    return 0


def _refuse(why: str) -> int:
    print(f"strata kut: {why}", file=sys.stderr)
    return BAD_INPUT
