"""tools/venv.sh: what the system lacks is said in one line, with the way to get it."""
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "venv.sh"


def run(tmp_path, python):
    done = subprocess.run([SCRIPT, "stamp"], cwd=tmp_path, capture_output=True, text=True,
                          env={"PATH": "/usr/bin:/bin", "PYTHON": str(python)})
    assert not (tmp_path / "stamp").exists() and not (tmp_path / ".venv").exists()
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    return done.stderr


def test_no_python(tmp_path):
    said = run(tmp_path, "/nonexistent/python3")
    assert "is not installed. On Debian 12: apt-get install python3 python3-venv" in said


@pytest.mark.parametrize("fails_on, says", [
    ("version_info", "older than 3.11"), ("ensurepip", "no venv module. On Debian 12: apt-get install python3-venv")])
def test_python_that_will_not_do(tmp_path, fails_on, says):
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\ncase "$2" in *{fails_on}*) exit 1;; esac\n')
    python.chmod(0o755)
    assert says in run(tmp_path, python)
