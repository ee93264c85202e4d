"""Skips what this machine cannot run, saying why, and says which tests the default selection leaves out."""
import os
import shutil
import signal

import pytest

OPT_IN = ("slow", "root", "bench")      # as in pyproject.toml's addopts


def _obstacle(marker: str) -> str | None:
    """Why tests with this marker cannot run here, or None."""
    if marker == "qemu" and not shutil.which("qemu-system-x86_64"):
        return "qemu-system-x86_64 is not installed; on Debian 12: apt-get install qemu-system-x86"
    if marker == "root" and os.geteuid() != 0:
        return "needs the superuser; as root: pytest -m root"
    return None


def pytest_configure():
    # A shell without job control starts background commands with SIGINT ignored, and children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser):
    parser.addoption("--lockstep-count", type=int, default=1_000_000,
                     help="instructions that test_lockstep.py compares (default: one million)")
    parser.addoption("--lockstep-seed", type=int, default=100, help="seed of its first program")


def pytest_collection_modifyitems(items):
    obstacles = {marker: _obstacle(marker) for marker in ("qemu", "root")}
    for item in items:
        for marker, why in obstacles.items():
            if why and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=why))


def pytest_terminal_summary(terminalreporter, config):
    if all(f"not {marker}" in config.option.markexpr for marker in OPT_IN):
        ways = ", ".join(f"pytest -m {marker}" for marker in OPT_IN)
        terminalreporter.write_line(f"left out by default: {', '.join(OPT_IN)} ({ways})")
