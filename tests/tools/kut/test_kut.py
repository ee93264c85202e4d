"""`strata kut` from end to end, on a suite of two tiny guests of firmware/."""

import json
import shutil
from pathlib import Path

import pytest

from tools.cli import kut

BUILD = Path(__file__).resolve().parents[3] / "firmware" / "build"
CONFIG = """
[passes]
file = passes.flat
arch = x86_64
[known]
file = missing.flat
[other]
file = passes.flat
arch = i386
[spins]
file = spins.flat
timeout = 1
"""


@pytest.fixture
def suite(tmp_path) -> Path:
    """An exit with 0 is status 1, the suite's success; the other guest never ends."""
    (tmp_path / "x86").mkdir()
    (tmp_path / "x86" / "unittests.cfg").write_text(CONFIG)
    shutil.copy(BUILD / "hello.elf", tmp_path / "x86" / "passes.flat")
    return tmp_path


def test_list(suite, capsys) -> None:
    assert kut.main([str(suite), "--list"]) == 0
    out = capsys.readouterr().out
    assert "passes" in out and "other" not in out
    assert kut.main([str(suite), "--list", "--json", "-"]) == 0
    assert [test["name"] for test in json.loads(capsys.readouterr().out)["tests"]] == ["passes", "known", "spins"]


def test_a_run(suite, capsys) -> None:
    path = suite / "result.json"
    assert kut.main([str(suite), "--only", "passes", "--only", "known", "--json", str(path),
                     "--logs", str(suite / "logs")]) == 0
    data = json.loads(path.read_text())
    assert data["counts"] == {"pass": 1, "absent": 1} and data["unexpected"] == []
    assert data["tests"][0]["instructions"] > 0
    assert (suite / "logs" / "passes.log").read_text().strip()
    assert "1 passed" in capsys.readouterr().out


def test_an_unexpected_failure_gives_status_1(suite, capsys) -> None:
    (suite / "x86" / "spins.flat").write_bytes(b"neither ELF nor multiboot")
    assert kut.main([str(suite), "--only", "spins"]) == 1
    assert "1 unexpected" in capsys.readouterr().out


@pytest.mark.parametrize("arguments, says", [
    (["/nonexistent"], "not a directory"), (["{}", "--only", "nothing"], "no such test"),
    (["{}", "--json", "/nonexistent/f"], "no such directory")])
def test_what_cannot_be_used_is_refused_in_one_line(suite, capsys, arguments, says) -> None:
    assert kut.main([word.format(suite) for word in arguments]) == 126
    err = capsys.readouterr().err
    assert says in err and err.count("\n") == 1
