"""`strata debug` as a process: what it refuses, in a line; a session in a terminal of its own."""
import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from tools.cli import debug

TOP = Path(__file__).resolve().parents[3]
HELLO = TOP / "firmware/build/hello.elf"
LONG = 120


def command(*arguments):
    return [sys.executable, "-m", "tools.cli.main", "debug", *map(str, arguments)]


@pytest.mark.parametrize("arguments, why", [
    ((), "nothing to run"), (("/no/such/image",), "no such file"), ((HELLO, "--goto", "-1"), "--goto -1: not negative"),
    ((HELLO,), "must be a terminal"), ((HELLO, "--theme", "blue"), "invalid choice")])
def test_what_cannot_be_is_one_line(arguments, why):
    done = subprocess.run(command(*arguments), cwd=TOP, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 126 and why in done.stderr and done.stderr.count("\n") == 1 and not done.stdout


class Session:
    """`strata debug` in a terminal of 80 by 24."""

    def __init__(self, *arguments):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.before = termios.tcgetattr(slave)
        self.process = subprocess.Popen(command(*arguments), cwd=TOP, stdin=slave, stdout=slave, stderr=slave,
                                        env=os.environ | {"TERM": "xterm-256color"}, start_new_session=True)
        self.slave, self.seen = slave, b""

    def until(self, text):
        end = time.monotonic() + LONG
        while text not in self.seen:
            assert time.monotonic() < end, self.seen[-2000:]
            if select.select([self.master], [], [], 0.1)[0]:
                self.seen += os.read(self.master, 1 << 16)

    def status(self):
        """The exit status, once the rest of the output is read."""
        end = time.monotonic() + LONG
        while self.process.poll() is None:
            assert time.monotonic() < end
            if select.select([self.master], [], [], 0.05)[0]:
                self.seen += os.read(self.master, 1 << 16)
        return self.process.returncode

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def session():
    opened = []

    def make(*arguments):
        opened.append(Session(*arguments))
        return opened[-1]
    yield make
    for each in opened:
        each.close()


def test_a_session_in_a_terminal(session):
    terminal = session(HELLO)
    terminal.until(b"_start")
    os.write(terminal.master, b"sss")
    terminal.until(b"instruction 3")
    os.write(terminal.master, b"q")
    assert terminal.status() == 0
    assert termios.tcgetattr(terminal.slave) == terminal.before
    assert b"\x1b[?1049l" in terminal.seen     # the other screen is left again


def test_a_bad_image_in_a_terminal(session, tmp_path):
    bad = tmp_path / "bad.elf"
    bad.write_bytes(HELLO.read_bytes()[:100])
    terminal = session(bad)
    assert terminal.status() == 126 and b"bad.elf" in terminal.seen and b"Traceback" not in terminal.seen


@pytest.mark.parametrize("value, ground", [("15;0", "dark"), ("0;15", "light"), ("0;default;7", "light"), ("", "dark")])
def test_the_ground_is_what_the_terminal_says(monkeypatch, value, ground):
    monkeypatch.setenv("COLORFGBG", value)
    assert debug.background() == ground
