"""The guests that come with Strata, under every policy: what each comes to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table

from tools.planes.execute import Outcome, execute

FIRMWARE = Path(__file__).resolve().parents[2] / "firmware"
MAX_INSNS = 50_000_000
VERDICTS = {1: "passed", 3: "failed", 77: "skipped"}        # exit statuses of firmware/README.md


def guests() -> list[str]:
    """The names of the guests with KVM planes."""
    return sorted(path.stem for path in (FIRMWARE / "planes").glob("*.c") if path.stem != "planes")


def run(policies: Iterable[str], started: Callable[[str, str], None]) -> dict[str, list[Outcome]]:
    """Guest -> its outcomes; `started` hears of each run."""
    found: dict[str, list[Outcome]] = {}
    for guest in guests():
        for policy in policies:
            started(guest, policy)
            image = str(FIRMWARE / "build" / f"{guest}.elf")
            found.setdefault(guest, []).append(execute(image, policy, MAX_INSNS))
    return found


def ways(outcome: Outcome) -> list[str]:
    """The kinds of switches that occurred."""
    return sorted({f"{step.out_of} -> {step.into} {step.cause}" for step in outcome.steps})


def as_data(found: dict[str, list[Outcome]]) -> dict[str, Any]:
    """What tests/emu/planes/kvm/outcomes.json holds: guest -> policy -> exit status and kinds of switches."""
    return {guest: {outcome.policy: {"status": outcome.status, "switches": ways(outcome)} for outcome in outcomes}
            for guest, outcomes in found.items()}


def print_table(found: dict[str, list[Outcome]], stream: TextIO) -> None:
    """A row for each guest and policy."""
    table = Table(box=None, header_style="dim", pad_edge=False)
    for name in ("guest", "policy", "outcome"):
        table.add_column(name, no_wrap=True)
    for name in ("instructions", "switches"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("what it says", overflow="fold")
    for guest, outcomes in found.items():
        for n, outcome in enumerate(outcomes):
            verdict = VERDICTS.get(outcome.status, f"{outcome.reason}, status {outcome.status}")
            table.add_row("" if n else guest, outcome.policy, verdict, f"{outcome.instructions:,}",
                          f"{len(outcome.steps):,}", _said(outcome), style="red" if verdict != "passed" else "")
    Console(file=stream, highlight=False).print(table)


def _said(outcome: Outcome) -> str:
    """The guest's line before the count of its checks."""
    lines: Sequence[str] = outcome.output.splitlines()
    return lines[-2].partition(": ")[2] if len(lines) > 1 else lines[-1].partition(": ")[2] if lines else ""
