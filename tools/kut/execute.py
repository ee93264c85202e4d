"""Runs one test as `strata run` in a process of its own, and reads what it printed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field

from tools.kut.config import Test
from tools.kut.cpu import cpu_option, wants_hyperv
from tools.kut.known import ABSENT, CRASH, FAIL, PASS, SKIP, TIMEOUT

DEFAULT_MEMORY = 128 << 20      # QEMU's
GRACE = 60.0                    # seconds for start-up and compilation, beyond the guest's own limit
EXIT_PASS, EXIT_SKIP = 1, 77                # the suite's report_summary(), through the debug exit port
OUTPUT_LIMIT = 4 << 20
CHECK = re.compile(r"^(PASS|FAIL|SKIP|XFAIL|XPASS)\b:?\s*(.*)")
SUMMARY = re.compile(r"^SUMMARY: (\d+) tests?(?:, (\d+) unexpected failures?)?")


@dataclass
class Result:
    """What a test did: its outcome, counts of its checks, the failing ones, and what it says about itself."""

    outcome: str
    seconds: float = 0.0
    instructions: int = 0
    checks: int = 0
    failed: int = 0
    failures: list[str] = field(default_factory=list)
    message: str = ""
    output: str = ""
    errors: str = ""


def command(test: Test, timeout: float, json_path: str, engine: str) -> list[str]:
    """The arguments of `strata` that run a test."""
    hypervisor = ["--planes", "vsm"] if wants_hyperv(test.cpu) else ["--paravirt", "kvm"]
    arguments = ["run", test.path, "--test-device", *hypervisor, "--vcpus", str(test.vcpus), "--mem",
                 f"{(test.memory or DEFAULT_MEMORY) >> 10}k", "--timeout", f"{timeout:g}", "--engine", engine,
                 "--cpu", cpu_option(test.cpu)[0], "--json", json_path]
    for device in test.devices:
        arguments += ["--device", device]
    if test.arguments:
        arguments += ["--append", f"{test.path} {test.arguments}"]
    return arguments


def execute(test: Test, timeout: float, engine: str = "auto") -> Result:
    """Run a test for at most `timeout` seconds of guest time on the host's clock."""
    if not os.path.isfile(test.path):
        return Result(ABSENT, message=f"{test.path}: not built")
    with tempfile.TemporaryDirectory(prefix="strata-kut-") as directory:
        json_path = os.path.join(directory, "result.json")
        arguments = [sys.executable, "-m", "tools.cli.main", *command(test, timeout, json_path, engine)]
        started = time.perf_counter()
        status, output, errors = _communicate(arguments, timeout + GRACE)
        seconds = time.perf_counter() - started
        run: dict[str, object] = {}
        if os.path.exists(json_path):
            with open(json_path, encoding="utf-8") as file:
                run = json.load(file)
    return judge(status, output, errors, run, seconds)


def _communicate(arguments: list[str], limit: float) -> tuple[int | None, str, str]:
    """Exit status (None: had to be killed), standard output and standard error of a process."""
    with subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          start_new_session=True) as process:
        status: int | None
        try:
            output, errors = process.communicate(timeout=limit)
            status = process.returncode
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, errors = process.communicate()
            status = None
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return status, output[-OUTPUT_LIMIT:].decode("utf-8", "replace"), errors[-OUTPUT_LIMIT:].decode("utf-8", "replace")


def judge(status: int | None, output: str, errors: str, run: dict[str, object], seconds: float) -> Result:
    """What the exit status, the output and the JSON result of `strata run` mean together."""
    result = Result(FAIL, seconds, output=output, errors=errors)
    count = run.get("instructions", 0)
    result.instructions = count if isinstance(count, int) else 0
    for line in output.splitlines():
        if match := CHECK.match(line.strip()):
            result.checks += 1
            if match[1] in ("FAIL", "XPASS"):
                result.failed += 1
                result.failures.append(match[2])
        elif match := SUMMARY.match(line.strip()):
            result.checks = max(result.checks, int(match[1]))
    reason = run.get("reason")
    if status is None:
        result.outcome, result.message = TIMEOUT, "did not end by itself and was killed"
    elif reason == "timeout":
        result.outcome, result.message = TIMEOUT, str(run.get("message"))
    elif reason != "exit":
        result.outcome = CRASH
        result.message = str(run.get("message") or (errors.strip().splitlines() or [f"exit status {status}"])[-1])
    elif status == EXIT_SKIP:
        result.outcome = SKIP
    elif status == EXIT_PASS and not result.failed:
        result.outcome = PASS
    else:
        result.message = _why(output, status, result.failures)
    return result


def _why(output: str, status: int, failures: list[str]) -> str:
    """One line for a failure: the exception that nobody handled, or the first check that failed."""
    for line in output.splitlines():
        if line.startswith(("Unhandled exception", "Error:")) or "assert failed" in line.lower():
            return line.strip()
    return failures[0] if failures else f"exit status {status}"
