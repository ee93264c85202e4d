"""Runs many tests side by side, and compares each result with what is known."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from tools.kut.config import Test
from tools.kut.execute import Result, execute
from tools.kut.known import ABSENT, GOOD, SKIP, Known

ARCH = "x86_64"
DEFAULT_TIMEOUT = 300.0


@dataclass(frozen=True)
class Verdict:
    """A test with its result; `expected` says that it is good or known, `reason` why it is not good."""

    test: Test
    result: Result
    expected: bool
    reason: str
    fixed: bool = False         # known to fail, and passed


def select(tests: list[Test], patterns: list[str]) -> list[Test]:
    """The tests for this architecture whose name or group matches one of the shell-style patterns; all without any."""
    return [test for test in tests if test.arch in ("", ARCH) and (
        not patterns or any(fnmatchcase(word, pattern) for pattern in patterns for word in (test.name, *test.groups)))]


def judge(test: Test, result: Result, known: Known | None) -> Verdict:
    """Whether a result is as it should be."""
    if result.outcome in (SKIP, ABSENT):
        return Verdict(test, result, True, known.reason if known else result.message)
    if result.outcome in GOOD:
        return Verdict(test, result, True, "", fixed=known is not None and known.outcome not in GOOD)
    if known is not None and known.covers(result.outcome, result.failures):
        return Verdict(test, result, True, known.reason)
    return Verdict(test, result, False, result.message)


def run(tests: list[Test], known: dict[str, Known], jobs: int, timeout: float | None, engine: str,
        started: Callable[[Test], None], ended: Callable[[Verdict], None]) -> list[Verdict]:
    """Run the tests, `jobs` at a time; `started` and `ended` are called one at a time. The order is that of `tests`."""
    lock = threading.Lock()

    def one(test: Test) -> Verdict:
        with lock:
            started(test)
        limit = timeout or max(DEFAULT_TIMEOUT, float(test.timeout or 0))
        verdict = judge(test, execute(test, limit, engine), known.get(test.name))
        with lock:
            ended(verdict)
        return verdict

    pool = ThreadPoolExecutor(jobs)
    try:
        return list(pool.map(one, tests))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def as_data(directory: str, verdicts: list[Verdict]) -> dict[str, Any]:
    """What `--json` writes."""
    counts: dict[str, int] = {}
    for verdict in verdicts:
        counts[verdict.result.outcome] = counts.get(verdict.result.outcome, 0) + 1
    return {
        "suite": os.path.abspath(directory),
        "counts": counts,
        "unexpected": [v.test.name for v in verdicts if not v.expected],
        "fixed": [v.test.name for v in verdicts if v.fixed],
        "tests": [{
            "name": v.test.name, "file": os.path.basename(v.test.path), "arguments": v.test.arguments,
            "vcpus": v.test.vcpus, "cpu": v.test.cpu, "ignored": list(v.test.ignored),
            "outcome": v.result.outcome, "expected": v.expected, "reason": v.reason, "checks": v.result.checks,
            "failed": v.result.failed, "failures": v.result.failures, "seconds": round(v.result.seconds, 2),
            "instructions": v.result.instructions} for v in verdicts]}
