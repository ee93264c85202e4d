"""The terminal as COM1: keys on a pseudo-terminal, its state afterwards, files and pipes as input."""
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from tools.cli import terminal

TOP = Path(__file__).resolve().parents[3]
COMMAND = [sys.executable, "-m", "tests.fakes.machine", "run"]


class Screen:
    """A child process whose standard streams are a pseudo-terminal of its own."""

    def __init__(self, arguments):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(TOP)
            os.execv(arguments[0], arguments)
        self.seen = b""

    def expect(self, what, limit=20):
        end = time.monotonic() + limit
        while what not in self.seen:
            assert time.monotonic() < end, self.seen
            try:
                self.seen += os.read(self.fd, 4096)
            except OSError:                     # EIO: the child has closed it
                break
        assert what in self.seen

    def type(self, keys):
        os.write(self.fd, keys)

    def flags(self):
        return termios.tcgetattr(self.fd)[3] & (termios.ICANON | termios.ECHO)

    def status(self):
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.fixture
def screen(guest):
    opened = []

    def start(text):
        # The shell holds the terminal open, so that its state can be looked at when the command has ended.
        opened.append(Screen(["/bin/sh", "-c", f"{' '.join(COMMAND)} {guest(text)}; echo status=$?; read x"]))
        return opened[-1]

    yield start
    for one in opened:
        os.close(one.fd)
        os.waitpid(one.pid, 0)


COOKED = termios.ICANON | termios.ECHO


def test_keys_arrive_at_once_and_are_not_echoed(screen):
    s = screen("echo")
    s.expect(b"ready\r\n")
    assert s.flags() == 0
    s.type(b"a\r\x13\x1a")                      # Enter is CR; Ctrl-S and Ctrl-Z are keys like others
    s.expect(b"<61><0d><13><1a>")
    s.type(b"q")
    s.expect(b"status=1")
    assert s.flags() == COOKED


def test_ctrl_c_stops_the_run_and_restores_the_terminal(screen):
    s = screen("spin")
    s.expect(b"spinning")
    s.type(b"\x03")
    s.expect(b"stopped from the keyboard")
    # The shell was interrupted too, as every process of the foreground group is.


def test_ctrl_a_x_stops_the_run(screen):
    s = screen("spin")
    s.expect(b"spinning")
    s.type(b"\x01x")
    s.expect(b"status=130")
    assert s.flags() == COOKED


def test_killed_it_still_restores_the_terminal(screen):
    s = screen("spin")
    s.expect(b"spinning")
    assert s.flags() == 0
    (child,) = Path(f"/proc/{s.pid}/task/{s.pid}/children").read_text().split()
    os.kill(int(child), signal.SIGTERM)
    s.expect(b"status=143")
    assert s.flags() == COOKED


def test_escape_sends_the_two_keys_it_hides():
    quits = []
    escape = terminal.Escape(lambda: quits.append(1))
    assert escape.filter(b"a\x01") == b"a"
    assert escape.filter(b"cb\x01\x01\x01?z") == b"\x03b\x01z"
    assert not quits
    assert escape.filter(b"\x01x!") == b"!"
    assert quits == [1]


def test_a_file_is_delivered_whole_before_the_run(tmp_path):
    path = tmp_path / "input"
    path.write_bytes(bytes(range(256)) * 1000)
    got = bytearray()
    with path.open("rb") as file:
        terminal.feed(file.fileno(), got.extend)
    assert got == path.read_bytes()


def test_a_pipe_is_delivered_as_it_comes_and_control_a_is_a_byte(guest):
    done = subprocess.run([*COMMAND, guest("echo")], cwd=TOP, input=b"a\x01xq", capture_output=True, timeout=20)
    assert done.stdout == b"ready\n<61><01><78>" and done.returncode == 1


def test_closed_standard_input(guest):
    done = subprocess.run(f"{' '.join(COMMAND)} {guest('exit 0')} <&-", shell=True, cwd=TOP, capture_output=True,
                          timeout=20)
    assert done.returncode == 1 and done.stderr == b"debug port\n"
