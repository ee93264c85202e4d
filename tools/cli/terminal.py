"""The user's terminal as the guest's serial line: bytes in from standard input, bytes out to standard output.

On a terminal the line discipline is turned off as far as a guest needs it (no echo, no line buffering), and put back
whatever happens. Ctrl-C still stops the run. Ctrl-A is the escape key, as in QEMU: Ctrl-A x stops the run,
Ctrl-A c sends Ctrl-C to the guest, Ctrl-A Ctrl-A sends Ctrl-A.
"""
import atexit
import os
import signal
import stat
import sys
import termios
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Self

ESCAPE = 0x01           # Ctrl-A
FATAL = (signal.SIGTERM, signal.SIGHUP)


class Escape:
    """Splits typed bytes into those for the guest and the commands after Ctrl-A."""

    def __init__(self, quit_run: Callable[[], None]) -> None:
        self._quit = quit_run
        self._pending = False

    def filter(self, typed: bytes) -> bytes:
        """The bytes that the guest shall receive."""
        out = bytearray()
        for byte in typed:
            if not self._pending:
                self._pending = byte == ESCAPE
                if not self._pending:
                    out.append(byte)
                continue
            self._pending = False
            if byte in b"xX":
                self._quit()
            elif byte in b"cC":
                out.append(0x03)
            elif byte == ESCAPE:
                out.append(ESCAPE)
        return bytes(out)


class RawTerminal:
    """A context in which file descriptor `fd`, a terminal, delivers each key at once and does not echo it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._saved = termios.tcgetattr(fd)
        self._handlers = {number: signal.getsignal(number) for number in FATAL}

    def __enter__(self) -> Self:
        raw = termios.tcgetattr(self._fd)
        raw[0] &= ~(termios.ICRNL | termios.IXON)                       # iflag: Enter is CR, Ctrl-S goes to the guest
        raw[3] &= ~(termios.ICANON | termios.ECHO | termios.IEXTEN)     # lflag; ISIG stays, for Ctrl-C
        for key in (termios.VQUIT, termios.VSUSP):
            raw[6][key] = b"\0"                                         # _POSIX_VDISABLE on Linux: an ordinary key
        atexit.register(self.restore)
        for number in FATAL:
            signal.signal(number, self._restore_and_die)
        termios.tcsetattr(self._fd, termios.TCSADRAIN, raw)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.restore()
        atexit.unregister(self.restore)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def restore(self) -> None:
        """Put the terminal back as it was found."""
        termios.tcsetattr(self._fd, termios.TCSADRAIN, self._saved)

    def _restore_and_die(self, number: int, frame: FrameType | None) -> None:
        self.restore()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def interrupt() -> None:
    """Stop the run as Ctrl-C does; callable from any thread."""
    os.kill(os.getpid(), signal.SIGINT)


def reads_keys(fd: int) -> bool:
    """Whether `fd` is a terminal that we may read: a background job that tried would be stopped by SIGTTIN."""
    try:
        return os.isatty(fd) and os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:
        return False


def feed(fd: int, receive: Callable[..., None]) -> None:
    """Send what `fd` delivers to `receive(data, more=)`, until it ends, from a thread of its own. `more` says whether
    further input may come, which an idle guest should wait for.

    A regular file goes in whole before this returns: a run that reads its input from a file is then the same each time.
    A terminal in the background delivers nothing.
    """
    try:
        mode = os.fstat(fd).st_mode
    except OSError:                       # closed: `strata run IMAGE <&-`
        return
    if stat.S_ISREG(mode):
        while data := os.read(fd, 1 << 16):
            receive(data)
        return
    keys = reads_keys(fd)
    if os.isatty(fd) and not keys:
        return
    accept = Escape(interrupt).filter if keys else bytes

    receive(b"", more=True)

    def pump() -> None:
        while data := os.read(fd, 4096):
            if out := accept(data):
                receive(out, more=True)
        receive(b"")

    threading.Thread(target=pump, name="strata-stdin", daemon=True).start()


class SerialOut:
    """Writes the guest's serial bytes to standard output; a reader that has gone stops the run."""

    def __init__(self) -> None:
        self._out = sys.stdout.buffer
        self._at_once = self._out.isatty()
        self.closed = False

    def write(self, data: bytes) -> None:
        """Write `data`, flushing at each line's end, or at once on a terminal."""
        if self.closed:
            return
        try:
            self._out.write(data)
            if self._at_once or b"\n" in data:
                self._out.flush()
        except BrokenPipeError:
            self._abandon()
            interrupt()

    def finish(self) -> None:
        """Flush the last, unfinished line."""
        if not self.closed:
            try:
                self._out.flush()
            except BrokenPipeError:
                self._abandon()

    def _abandon(self) -> None:
        self.closed = True
        # The interpreter flushes standard output once more at exit: give it somewhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), self._out.fileno())
