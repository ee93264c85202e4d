"""The table of a suite's results, and the list of its tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tools.cli.result import si
from tools.kut.config import Test
from tools.kut.cpu import cpu_option
from tools.kut.known import GOOD
from tools.kut.suite import Verdict

STYLES = {"pass": "green", "skip": "cyan", "absent": "dim"}


def _state(verdict: Verdict) -> Text:
    outcome = verdict.result.outcome
    if outcome in GOOD:
        return Text(f"{outcome} (was known to fail)" if verdict.fixed else outcome, STYLES[outcome])
    return Text(f"{outcome} (known)", "yellow") if verdict.expected else Text(outcome, "bold red")


def print_table(verdicts: Sequence[Verdict], stream: TextIO, width: int | None = None) -> None:
    """Print one row a test, then the totals."""
    console = Console(file=stream, width=width, highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title, justify in (("test", "left"), ("result", "left"), ("checks", "right"), ("failed", "right"),
                           ("instructions", "right"), ("seconds", "right"), ("reason", "left")):
        table.add_column(title, justify=justify, no_wrap=title == "test")  # type: ignore[arg-type]
    for verdict in verdicts:
        result = verdict.result
        table.add_row(verdict.test.name, _state(verdict), str(result.checks or ""), str(result.failed or ""),
                      si(result.instructions) if result.instructions else "", f"{result.seconds:.1f}",
                      Text(verdict.reason))
    console.print(table)
    good = sum(v.result.outcome == "pass" for v in verdicts)
    known = sum(v.expected and v.result.outcome not in GOOD for v in verdicts)
    bad = sum(not v.expected for v in verdicts)
    skipped = len(verdicts) - good - known - bad
    console.print(f"\n{len(verdicts)} tests: {good} passed, {skipped} skipped, {known} failed as known, "
                  f"{bad} unexpected")


def print_list(tests: Sequence[Test], stream: TextIO, width: int | None = None) -> None:
    """Print the names and options of tests."""
    console = Console(file=stream, width=width, highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("test", "vCPUs", "cpu", "arguments", "groups", "ignored options"):
        table.add_column(title, no_wrap=title == "test")
    for test in tests:
        table.add_row(test.name, str(test.vcpus), test.cpu or "", Text(test.arguments), " ".join(test.groups),
                      Text(" ".join((*test.ignored, *cpu_option(test.cpu)[1]))))
    console.print(table)
