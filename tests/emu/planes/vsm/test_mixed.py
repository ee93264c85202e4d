"""A few random programs; `python -m tests.emu.planes.vsm.mixed --programs 200` makes more."""
import pytest

from tests.emu.planes.vsm import mixed


@pytest.mark.parametrize("dialect", ["ms", "kut", "ms-vtl2"])
def test_both_engines_do_the_same(dialect):
    for seed in range(50, 53):
        mixed.compare(seed, dialect)


def test_a_difference_is_one_line(monkeypatch, capsys):
    whole = mixed.Program.compared
    monkeypatch.setattr(mixed.Program, "compared", lambda self: whole(self) | {"engine": self.engine})
    assert mixed.main(["--programs", "1", "--seed", "9"]) == 1
    assert capsys.readouterr().err == "seed 9, ms, step 0: the engines differ in engine\n"


def test_the_command_counts_programs(capsys):
    assert mixed.main(["--programs", "1"]) == 0 and "1 programs of 200 steps" in capsys.readouterr().out
