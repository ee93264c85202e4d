"""`strata bench boot` around its measurements, which a stand-in makes."""

import json

import pytest

from tools.bench import boot
from tools.bench.boot import Boot


@pytest.fixture
def fetched(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name, file in (("linux-cloud", "vmlinuz"), ("busybox", "busybox")):
        place = tmp_path / "strata" / "guests" / name
        place.mkdir(parents=True)
        (place / file).write_bytes(b"\x7fELF")
    return tmp_path


def test_the_best_run_counts_and_ratios_are_of_times(fetched, monkeypatch, capsys):
    times = iter((3.0, 2.0))
    monkeypatch.setattr(boot.shutil, "which", lambda name: "/bin/true")
    monkeypatch.setattr(boot, "in_qemu", lambda *_: Boot(next(times), None))
    ours = iter((9.0, 5.0))
    monkeypatch.setattr(boot, "in_strata", lambda *_: Boot(next(ours), 500_000_000))
    out = fetched / "boot.json"
    assert boot.main(["--json", str(out)]) == 0
    assert json.loads(out.read_text()) == [{
        "name": "linux-short", "engine": "auto", "vcpus": 1, "instructions": 500_000_000, "seconds": 5.0,
        "mips": 100.0, "ratio": {"qemu": 2.5}, "peers": {"qemu": 2.0}}]
    assert "2.50 x" in capsys.readouterr().out


def test_a_boot_that_fails_is_named_and_gives_125(fetched, monkeypatch, capsys):
    monkeypatch.setattr(boot.sys, "executable", "/bin/false")
    assert boot.main(["--vs", "none", "--runs", "1"]) == 125
    assert "did not get to the shell" in capsys.readouterr().err


def test_missing_guests_are_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert boot.main([]) == 126
    assert "strata fetch linux-cloud busybox" in capsys.readouterr().err


def test_missing_qemu_is_left_out(fetched, monkeypatch, capsys):
    monkeypatch.setattr(boot.shutil, "which", lambda name: None)
    monkeypatch.setattr(boot, "in_strata", lambda *_: Boot(1.0, 1))
    assert boot.main(["--runs", "1"]) == 0
    assert "apt-get install" in capsys.readouterr().err
