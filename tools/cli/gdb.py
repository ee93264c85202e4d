"""`strata gdb`: a guest that waits for GDB.

Exit statuses: 0 when the client ended the guest, or has gone and `--once` was given; 126 bad input; 130 stopped from
the keyboard.
"""

import argparse
import sys

from tools.cli.guest import load_guest, machine_options
from tools.cli.options import Parser
from tools.cli.run import BAD_INPUT, guest_options, unusable

DEFAULT = "127.0.0.1:1234"
EPILOG = """\
The guest stands at its first instruction until GDB attaches; its serial port is standard output. Planes of vCPUs are
threads. Breakpoints and watchpoints are kept by the emulator; reverse-stepi, reverse-continue and `monitor help` work.
Attach with: gdb -iex "set architecture i386:x86-64" -ex "target remote 127.0.0.1:1234" IMAGE
When GDB detaches, the guest waits for another; GDB's `kill` ends it. docs/gdb.md has a session.

examples:
  strata gdb firmware/build/vsm_call.elf --planes vsm
  strata gdb firmware/build/hello.elf --listen 127.0.0.1:0
"""


def endpoint(text: str) -> tuple[str, int]:
    """HOST:PORT, :PORT or PORT; IPv6 addresses stand in brackets."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or "127.0.0.1"
    if not port.isdecimal() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT, such as {DEFAULT}")
    return host, int(port)


def parser() -> Parser:
    """The parser of `strata gdb`."""
    p = Parser("strata gdb", "Serve the GDB remote protocol: attach GDB to a guest, and go forwards and backwards.",
               EPILOG)
    guest_options(p)
    server = p.add_argument_group("server")
    server.add_argument("--listen", type=endpoint, default=DEFAULT, metavar="H:P",
                        help=f"where to wait for GDB; port 0 takes one that is free (default: {DEFAULT})")
    server.add_argument("--once", action="store_true", help="end when the first client has gone")
    server.add_argument("--no-history", action="store_true", help="keep no snapshots: there is no going back")
    return p


def say(line: str) -> None:
    """One line of Strata's own, on standard error."""
    print(f"strata: {line}", file=sys.stderr, flush=True)


def main(argv: list[str]) -> int:
    """Run `strata gdb` with these arguments; returns the exit status."""
    args = parser().parse_args(argv)
    why = unusable(args)
    if why:
        say(why)
        return BAD_INPUT
    return serve(args)


def serve(args: argparse.Namespace) -> int:
    """Build the machine and serve it."""
    from emu import ImageError, Machine
    from tools.gdb.server import Server

    def serial_out(data: bytes) -> None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    try:
        machine = Machine(**machine_options(args), history=not args.no_history, serial_out=serial_out, report=say)
        load_guest(machine, args)
    except (ValueError, ImageError) as error:
        say(" ".join(str(error).split()))
        return BAD_INPUT
    except OSError as error:
        say(f"{error.filename or args.image or args.bios}: {error.strerror}")
        return BAD_INPUT
    with machine:
        try:
            server = Server(machine, args.listen)
        except OSError as error:
            say(f"--listen {args.listen[0]}:{args.listen[1]}: {error.strerror}")
            return BAD_INPUT
        host, port = server.address
        say(f"waiting for GDB: target remote {f'[{host}]' if ':' in host else host}:{port}")
        server.serve(say, args.once)
    return 0
