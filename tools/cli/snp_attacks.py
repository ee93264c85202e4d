"""`strata snp attacks`: what hypervisors that lie do, what comes of it, and whether the tests still show that.

A row is a test of tests/emu/planes/snp/test_attacks.py whose docstring has a "|": the attack before it, the outcome
behind it.
"""
import ast
import json
import re
import sys
from pathlib import Path
from typing import NamedTuple

from tools.cli.scenarios import FAILED, NOT_RUN, ROOT, run_tests

TESTS = Path("tests/emu/planes/snp/test_attacks.py")
BEGIN, END = "<!-- strata snp attacks: written by it -->\n", "<!-- end of what it writes -->\n"


class Attack(NamedTuple):
    """One row: the scenario's number or "", what the hypervisor does, what comes of it, the test, its result."""

    scenario: str
    attack: str
    outcome: str
    test: str
    result: str


def attacks(run: bool) -> list[Attack]:
    """The rows in the order of the tests. FileNotFoundError: there are no tests here, only an installed package."""
    found = []
    for node in ast.parse((ROOT / TESTS).read_text(encoding="utf-8")).body:
        text = ast.get_docstring(node) if isinstance(node, ast.FunctionDef) else None
        if isinstance(node, ast.FunctionDef) and text and "|" in text:
            attack, _, outcome = " ".join(text.split()).partition("|")
            number = re.match(r"test_(t\d+)_", node.name)
            found.append(Attack(number[1] if number else "", attack.strip(), outcome.strip(), node.name, NOT_RUN))
    results = run_tests(ROOT / TESTS, [row.test for row in found]) if run else {}
    return [row._replace(result=results.get(row.test, FAILED)) if run else row for row in found]


def markdown(rows: list[Attack]) -> str:
    """The table for docs/snp.md."""
    lines = ["| | the hypervisor | what comes of it | shown |", "|---|---|---|---|"]
    lines += [f"| {row.scenario.upper()} | {row.attack} | {row.outcome} | {row.result} |" for row in rows]
    return "\n".join(lines) + "\n"


def write_table(path: str, rows: list[Attack]) -> None:
    """Put the table into a page, between its marks. ValueError: the page has none. OSError: as for any file."""
    page = Path(path).read_text(encoding="utf-8")
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path}: the page has no marks for the table ({BEGIN.strip()})")
    Path(path).write_text(before + BEGIN + markdown(rows) + END + after, encoding="utf-8")


def main(run: bool, as_json: bool, table: str | None) -> int:
    """Print the rows, or write them to a page; 1 if a test does not pass, 126 with one line for bad input."""
    try:
        rows = attacks(run)
        if table is not None:
            write_table(table, rows)
    except FileNotFoundError as error:
        print(f"strata snp: {error.filename}: no such file; attacks need a checkout of the sources", file=sys.stderr)
        return 126
    except (OSError, ValueError) as error:
        print(f"strata snp: {error}", file=sys.stderr)
        return 126
    if as_json:
        json.dump([row._asdict() for row in rows], sys.stdout, indent=1)
        print()
    elif table is None:
        _print(rows)
    return int(any(row.result == FAILED for row in rows))


def _print(rows: list[Attack]) -> None:
    from rich.console import Console
    from rich.table import Table
    shown = Table(box=None, header_style="dim", pad_edge=False)
    for column in ("", "the hypervisor", "what comes of it", "shown"):
        shown.add_column(column, overflow="fold", no_wrap=column == "shown")
    for row in rows:
        shown.add_row(row.scenario.upper(), row.attack, row.outcome.replace("**", ""), row.result,
                      style="red" if row.result == FAILED else "")
    Console(highlight=False).print(shown)
