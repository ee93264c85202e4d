"""Ten thousand random hypercalls; `python -m tests.emu.planes.vsm.fuzz --calls 1000000` makes more."""
import pytest

from tests.emu.planes.vsm import fuzz


@pytest.mark.parametrize("engine, dialect, seed", [("interp", "ms", 100), ("auto", "ms", 200), ("interp", "kut", 300),
                                                   ("auto", "kut", 400)])
def test_random_hypercalls(engine, dialect, seed):
    fuzzer = fuzz.Fuzzer(seed, engine, dialect)
    fuzzer.run(2500)
    assert all(fuzzer.answered[status] for status in (0, 2, 3, 4, 5, 6, 0xD, 0xE, 0x50))


def test_the_command_tells_of_a_failure_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr(fuzz, "STATUSES", {0x77})
    monkeypatch.setattr(fuzz.Fuzzer, "fresh", lambda self: setattr(self, "g", fuzz.Guest()))
    assert fuzz.main(["--calls", "3"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("seed 1, call ") and err.count("\n") == 1


def test_the_command_counts_calls(capsys):
    assert fuzz.main(["--calls", "20", "--seed", "5"]) == 0 and "20 calls: nothing wrong" in capsys.readouterr().out
