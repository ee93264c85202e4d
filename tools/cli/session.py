"""Builds the machine that the options describe, joins it to the terminal, and runs it."""
import argparse
import contextlib
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from tools.cli.guest import load_guest, machine_options
from tools.cli.progress import Progress
from tools.cli.result import result_of
from tools.cli.terminal import RawTerminal, SerialOut, feed, reads_keys


class BadInput(Exception):
    """The image or an option cannot be used; the text is one line that names it."""


class Session:
    """One run of one guest. `say` receives each line of Strata's own."""

    def __init__(self, args: argparse.Namespace, say: Callable[[str], None]) -> None:
        self._args = args
        self._say = say
        self._serial = SerialOut()

    def run(self) -> dict[str, Any]:
        """Load and run the guest; returns the result (see tools.cli.result). Raises BadInput."""
        with Progress() as progress:
            machine = self._build(progress)
            self._load(machine)
            with contextlib.ExitStack() as stack:
                if reads_keys(0):
                    stack.enter_context(RawTerminal(0))
                feed(0, machine.feed_serial)
                stop = self._go(machine)
                self._serial.finish()
        if self._serial.closed:
            self._say("standard output was closed, so the run was stopped")
        elif stop.reason != "exit":
            self._say(stop.message)
        return result_of(self._args, machine, stop)

    def _build(self, progress: Progress) -> Any:
        args = self._args
        progress("loading the engine")
        from emu.machine import Machine
        progress("")

        def serial_out(data: bytes) -> None:
            progress("")
            self._serial.write(data)

        try:
            machine = Machine(**machine_options(args), serial_out=serial_out, debug_out=debug_out, report=self._say,
                              progress=progress)
        except ValueError as error:       # a CPU model, policy, disk or combination that there is not
            raise BadInput(one_line(error)) from error
        if args.trace:
            if not hasattr(machine, "trace"):
                raise BadInput(f"--trace {args.trace}: this version records no traces; --json lists the switches")
            machine.trace(args.trace)
        return machine

    def _load(self, machine: Any) -> None:
        from emu.load.image import ImageError
        args = self._args
        try:
            load_guest(machine, args)
        except ImageError as error:
            raise BadInput(one_line(error)) from error
        except OSError as error:
            raise BadInput(f"{error.filename or args.image or args.bios}: {error.strerror}") from error

    def _go(self, machine: Any) -> Any:
        try:
            return machine.run(max_insns=self._args.max_insns, timeout=self._args.timeout)
        except KeyboardInterrupt:         # it came outside the machine's own loop, which turns it into a Stop
            return SimpleNamespace(reason="interrupted", status=130, message="stopped from the keyboard", vcpu=0,
                                   plane=0, rip=None, icount=machine.icount)


def debug_out(data: bytes) -> None:
    """What the guest writes to the debug ports 0xe9 and 0x402."""
    sys.stderr.buffer.write(data)
    sys.stderr.buffer.flush()


def one_line(error: Exception) -> str:
    """The error's text on one line."""
    return " ".join(str(error).split())
