"""`strata info --scenarios`: the scenarios of the specifications, the tests that show them, and whether those pass.

A table is a file tests/scenarios/NAME.json: `title`, `tests` (directory), `prefix` and `scenarios` (number -> title).
The tests of scenario 7 (or 7a) are the functions in that directory whose names start with test_, the prefix, and 7_.
"""
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[2]
STDERR = 2
TABLES = ROOT / "tests" / "scenarios"
PASSED, FAILED, SKIPPED, MISSING, NOT_RUN = "passed", "failed", "skipped", "no test", "not run"


class Scenario(NamedTuple):
    """One line of the report."""

    spec: str
    id: str
    title: str
    tests: list[str]
    result: str


def tables() -> list[str]:
    """The names of the specifications that have a table."""
    return sorted(path.stem for path in TABLES.glob("*.json"))


def collect(specs: Iterable[str], run: bool) -> list[Scenario]:
    """The scenarios of some specifications; their tests are run if `run`."""
    found = []
    for spec in specs:
        table = json.loads((TABLES / f"{spec}.json").read_text())
        tests = _tests(ROOT / table["tests"], table["prefix"])
        wanted = {name for names in tests.values() for name in names}
        results = run_tests(ROOT / table["tests"], wanted) if run else {}
        for number, title in table["scenarios"].items():
            names = tests.get(number, [])
            found.append(Scenario(spec, f"{table['prefix']}{number}", title, names, _result(names, results, run)))
    return found


def _tests(directory: Path, prefix: str) -> dict[str, list[str]]:
    """Scenario number -> names of its tests."""
    found: dict[str, list[str]] = {}
    for path in sorted(directory.rglob("test_*.py")):
        for match in re.finditer(rf"^def (test_{re.escape(prefix)}(\d+[a-z]?)_\w+)", path.read_text(), re.MULTILINE):
            found.setdefault(match[2], []).append(match[1])
    return found


def run_tests(directory: Path, wanted: Iterable[str]) -> dict[str, str]:
    """Run the tests of these names, in a directory or a file: name -> the worst result of its cases."""
    order = (FAILED, SKIPPED, PASSED)
    results: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.xml"
        subprocess.run([sys.executable, "-m", "pytest", "-q", "-m", "", f"--junitxml={report}", "-k",
                        " or ".join(sorted(wanted)), str(directory)], cwd=ROOT, stdout=STDERR, check=False)
        if not report.exists():
            return {}
        for case in ElementTree.parse(report).iter("testcase"):
            name = case.get("name", "").split("[")[0]
            kinds = {child.tag for child in case}
            result = FAILED if kinds & {"failure", "error"} else SKIPPED if "skipped" in kinds else PASSED
            results[name] = min(results.get(name, PASSED), result, key=order.index)
    return results


def _result(names: list[str], results: dict[str, str], run: bool) -> str:
    if not names:
        return MISSING
    if not run:
        return NOT_RUN
    each = {results.get(name, FAILED) for name in names}
    return FAILED if FAILED in each else SKIPPED if SKIPPED in each else PASSED


def show(scenarios: list[Scenario], as_json: bool) -> int:
    """Print them; the exit status is 1 when one fails or has no test."""
    if as_json:
        rows: list[dict[str, Any]] = [scenario._asdict() for scenario in scenarios]
        json.dump(rows, sys.stdout, indent=1)
        print()
    else:
        _print_table(scenarios)
    return int(any(scenario.result in (FAILED, MISSING) for scenario in scenarios))


def _print_table(scenarios: list[Scenario]) -> None:
    from rich.console import Console
    from rich.table import Table
    table = Table(box=None, header_style="dim", pad_edge=False)
    for column in ("spec", "id", "scenario", "test", "result"):
        table.add_column(column, no_wrap=column in ("spec", "id", "result"), overflow="fold")
    for scenario in scenarios:
        style = "red" if scenario.result in (FAILED, MISSING) else ""
        table.add_row(scenario.spec, scenario.id, scenario.title, "\n".join(scenario.tests), scenario.result,
                      style=style)
    Console(highlight=False).print(table)
