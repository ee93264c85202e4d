"""What is measured: a path through guest code that changes planes, in one plane design under one policy.

A design registers its scenarios by having a module in FAMILIES with `policies()`, the names that it can be measured
under, and `scenarios(policy)`. A path begins before the instruction at a label of the guest's and ends before the one
at another; what has to happen from outside at its beginning (an interrupt) is the rig's.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tools.bench.switch.rig import Rig

FAMILIES = {"vsm": "tools.bench.switch.vsm", "kvm": "tools.bench.switch.kvm", "snp": "tools.bench.switch.snp"}
CALL, CALL_NORMAL, INTERRUPT, LOWER = "call", "call-normal", "interrupt", "lower-interrupt"
TASKS = {
    CALL: "a call of the more privileged plane, and its return",
    CALL_NORMAL: "the same where the return restores the caller's RAX and RCX from memory",
    INTERRUPT: "an interrupt for the more privileged plane while the other runs, until that goes on",
    LOWER: "an interrupt for the less privileged plane while the other runs, until its handler is done",
}
SHARED, SEPARATE = "shared", "separate"


@dataclass(frozen=True)
class Scenario:
    """One path. `task`: a key of TASKS; paths of one task are compared with each other. `open_rig(fpu, engine)` makes a
    machine that is about to begin it, with one FPU file for all planes (SHARED) or one for each (SEPARATE)."""

    planes: str
    policy: str
    task: str
    title: str
    open_rig: Callable[[str, str], Rig]

    @property
    def name(self) -> str:
        """As in results and in --only: planes/policy/task."""
        return f"{self.planes}/{self.policy}/{self.task}"


def policies(planes: str) -> tuple[str, ...]:
    """The policies that a design can be measured under."""
    return tuple(importlib.import_module(FAMILIES[planes]).policies())


def scenarios(planes: str, policy: str) -> Iterator[Scenario]:
    """The paths of a design under a policy. ValueError: one line that lists the design's policies."""
    known = policies(planes)
    if policy not in known:
        raise ValueError(f"policy {policy!r}: for planes {planes} one of {', '.join(known)}")
    yield from importlib.import_module(FAMILIES[planes]).scenarios(policy)
