"""The progress line: silent at first, once on a file, kept up to date and erased on a terminal."""
import io
import time

import pytest

from tools.cli import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(progress, "PERIOD", 0.01)


def wait_for(stream):
    end = time.monotonic() + 5
    while not stream.getvalue():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_short_work_says_nothing():
    stream = io.StringIO()
    with progress.Progress(stream, patience=60) as report:
        report("compiling")
        time.sleep(0.05)
        report("")
    assert stream.getvalue() == ""


def test_long_work_says_so_once_where_there_is_no_terminal():
    stream = io.StringIO()
    with progress.Progress(stream, patience=0.03) as report:
        report("compiling")
        wait_for(stream)
        time.sleep(0.05)
    assert stream.getvalue() == "strata: compiling\n"


def test_on_a_terminal_the_line_is_erased_at_the_end():
    stream = Terminal()
    with progress.Progress(stream, patience=0.03) as report:
        report("compiling")
        wait_for(stream)
        report("")
        shown = stream.getvalue()
    assert "strata: compiling" in shown and shown.endswith("\r\x1b[K")
    assert "\n" not in shown


def test_each_piece_of_work_has_its_own_patience():
    stream = io.StringIO()
    with progress.Progress(stream, patience=60) as report:
        report("first")
        report("")
        report("second")
        assert report._elapsed == 0.0
