"""`strata` by itself: finding commands, and refusing what is not one."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.cli import main, options

TOP = Path(__file__).resolve().parents[3]


def test_version_names_the_program_and_a_number(capsys):
    assert main.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("strata ")


def test_without_arguments_it_prints_help(capsys):
    assert main.main([]) == 0
    out = capsys.readouterr().out
    assert all(f"  {name} " in out for name in main.COMMANDS)


def test_unknown_command_is_one_line_that_lists_the_commands(capsys):
    assert main.main(["rum"]) == 126
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    assert "'rum'" in captured.err and "run" in captured.err


def test_ctrl_c_is_one_line(monkeypatch, capsys):
    def interrupted(argv):
        raise KeyboardInterrupt

    monkeypatch.setattr("tools.cli.info.main", interrupted)
    assert main.main(["info"]) == 130
    assert capsys.readouterr().err == "strata: stopped from the keyboard\n"


def test_a_reader_that_goes_away_is_no_traceback():
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-m", "tools.cli.main", "info", "--json"], cwd=TOP, stdout=writer,
                          stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_unknown_option_is_one_line(capsys):
    with pytest.raises(SystemExit) as stop:
        main.main(["--bogus"])
    assert stop.value.code == 126
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("text, value", [("256M", 256 << 20), ("1G", 1 << 30), ("1024k", 1 << 20), ("1048576", 1 << 20),
                                         ("2g", 2 << 30)])
def test_sizes(text, value):
    assert options.size(text) == value


@pytest.mark.parametrize("text", ["", "M", "0", "1", "512k", "-1M", "1.5G", "1T", "1MB", "1048577", "99999999G", "²M"])
def test_sizes_that_are_none(text):
    with pytest.raises(options.argparse.ArgumentTypeError):
        options.size(text)


@pytest.mark.parametrize("read, text, value", [
    (options.address, "0x7c00", 0x7c00), (options.address, "1048576", 1 << 20),
    (options.count, "1e6", 10 ** 6), (options.count, "1_000", 1000), (options.count, "7", 7),
    (options.seconds, "0.5", 0.5), (options.seed, "0xffffffffffffffff", (1 << 64) - 1), (options.vcpus, "255", 255),
])
def test_numbers(read, text, value):
    assert read(text) == value


@pytest.mark.parametrize("read, text", [
    (options.address, "here"), (options.address, "-1"), (options.address, "0x10000000000000"),
    (options.count, "0"), (options.count, "-5"), (options.count, "many"), (options.count, "1e99"),
    (options.count, "inf"), (options.count, "1e999"), (options.seconds, "0"), (options.seconds, "nan"),
    (options.seconds, "soon"), (options.seed, "-1"), (options.seed, "0x10000000000000000"), (options.vcpus, "0"),
    (options.vcpus, "256"), (options.vcpus, "two"),
])
def test_numbers_that_are_none(read, text):
    with pytest.raises(options.argparse.ArgumentTypeError):
        read(text)
