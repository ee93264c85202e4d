"""`strata debug`: a guest in the terminal debugger.

Exit statuses: 0 when the user ends it; 126 bad input, or no terminal.
"""

import os
import sys
from typing import Any

from tools.cli.guest import load_guest, machine_options
from tools.cli.options import Parser
from tools.cli.run import BAD_INPUT, guest_options, say, unusable

SWITCH_INTERVAL = 0.0005        # seconds that the guest's thread may keep the screen's from its turn
EPILOG = """\
The guest stands at its first instruction. F11 or s steps, F10 or n steps over calls, F5 or c runs, F9 sets a
breakpoint, ] and [ go to the next and the last plane switch; S, N, C go backwards. ? shows all keys and commands.
docs/tutorial.md is a first session.

examples:
  strata debug firmware/build/vsm_call.elf --planes vsm
  strata debug firmware/build/hello.elf --theme light
  strata debug firmware/build/vsm_lockdown.elf --planes vsm --goto 100000
"""


def parser() -> Parser:
    """The parser of `strata debug`."""
    p = Parser("strata debug", "Step through a guest in the terminal, forwards and backwards, and look at its planes.",
               EPILOG)
    guest_options(p)
    debugger = p.add_argument_group("debugger")
    debugger.add_argument("--theme", choices=("dark", "light"), default=None,
                          help="colours (default: what COLORFGBG says of the terminal, else dark)")
    debugger.add_argument("--goto", type=int, default=0, metavar="N", help="start at instruction N")
    return p


def background() -> str:
    """Whether the terminal's ground is dark or light, as far as it says so (COLORFGBG of rxvt, Konsole and others: the
    number of the background colour is last; 7 and 15 are light)."""
    return "light" if os.environ.get("COLORFGBG", "").rpartition(";")[2] in ("7", "15") else "dark"


def main(argv: list[str]) -> int:
    """Run `strata debug` with these arguments; returns the exit status."""
    args = parser().parse_args(argv)
    why = unusable(args)
    if not why and args.goto < 0:
        why = f"--goto {args.goto}: not negative"
    if not why and not (sys.stdin.isatty() and sys.stdout.isatty()):
        why = "standard input and output must be a terminal; strata run and strata gdb need none"
    if why:
        say(why)
        return BAD_INPUT
    return debug(args)


def debug(args: Any) -> int:
    """Build the machine and show it."""
    from tools.cli.progress import Progress
    from tools.debug.wires import Wires
    wires = Wires()
    with Progress() as progress:
        progress("loading the engine")
        from emu import ImageError, Machine
        try:
            machine = Machine(**machine_options(args), serial_out=wires.serial, report=wires.report,
                              progress=wires.progress)
            load_guest(machine, args)
            machine.feed_serial(b"", more=True)
            if args.goto:
                progress(f"going to instruction {args.goto}")
                machine.goto(args.goto)
        except (ValueError, ImageError) as error:
            say(" ".join(str(error).split()))
            return BAD_INPUT
        except OSError as error:
            say(f"{error.filename or args.image or args.bios}: {error.strerror}")
            return BAD_INPUT
        from tools.debug.app import DebugApp
    sys.setswitchinterval(SWITCH_INTERVAL)
    with machine:
        return DebugApp(machine, wires, args.theme or background()).run() or 0
