"""`strata`: finds the subcommand and hands it the rest of the command line.

Nothing but argparse is imported here, so that `strata --help` answers at once. A subcommand's module has
`main(argv: list[str]) -> int`, which returns the exit status.
"""
import argparse
import importlib
import os
import sys

from tools.cli.garbage import collect_rarely
from tools.cli.options import Parser

COMMANDS = {
    "run": ("tools.cli.run", "run a guest image: its serial port is your terminal"),
    "demo": ("tools.cli.demo", "run a guest that switches planes, and report the switches"),
    "info": ("tools.cli.info", "list what is implemented"),
    "planes": ("tools.cli.planes", "run a guest under many scheduling policies and compare"),
    "debug": ("tools.cli.debug", "step through a guest in the terminal, forwards and backwards"),
    "gdb": ("tools.cli.gdb", "serve a guest to GDB, forwards and backwards"),
    "oracle": ("tools.cli.oracle", "compare instructions with the host CPU"),
    "bench": ("tools.cli.bench", "measure speed, beside QEMU, Unicorn and the host CPU"),
    "kut": ("tools.cli.kut", "run kvm-unit-tests and compare with what is known"),
    "fetch": ("tools.cli.fetch", "fetch guest software that is not kept here"),
    "snp": ("tools.cli.snp", "measure what an SEV-SNP guest is launched from"),
    "initramfs": ("tools.cli.initramfs", "write an initial RAM disk for a Linux guest"),
}

EPILOG = """\
commands:
{commands}

examples:
  strata demo
  strata run firmware/build/hello.elf
  strata run firmware/build/vsm_call.elf --planes vsm --report
  strata bench cpu

`strata COMMAND --help` has more examples. docs/run.md has the whole story.
"""


def version() -> str:
    """The installed version, or the checkout's if Strata is not installed."""
    from importlib import metadata
    try:
        return metadata.version("strata")
    except metadata.PackageNotFoundError:
        return "(not installed)"


def parser() -> argparse.ArgumentParser:
    """The parser of everything up to and including the subcommand's name."""
    commands = "\n".join(f"  {name:<10}{summary}" for name, (_, summary) in COMMANDS.items())
    top = Parser("strata", "An instruction-level x86-64 emulator with privilege planes (VTLs, VMPLs, KVM planes).",
                 EPILOG.format(commands=commands))
    top.add_argument("--version", action="store_true", help="print the version and exit")
    top.add_argument("command", nargs="?", metavar="COMMAND", help="one of the commands below")
    top.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="the command's own arguments")
    return top


def main(argv: list[str] | None = None) -> int:
    """Run one command line; returns the exit status, and 126 for a command that does not exist."""
    if argv is None:
        collect_rarely()
    args = parser().parse_args(sys.argv[1:] if argv is None else argv)
    if args.version:
        print(f"strata {version()}")
        return 0
    if args.command is None:
        parser().print_help()
        return 0
    if args.command not in COMMANDS:
        print(f"strata: no command named {args.command!r}; there are: {', '.join(COMMANDS)}", file=sys.stderr)
        return 126
    module = importlib.import_module(COMMANDS[args.command][0])
    try:
        status = module.main(args.arguments)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # The reader of standard output has gone (`strata info | head`); 141 is what SIGPIPE would have given.
        # What is still buffered goes to the null device, or the interpreter would complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        print("strata: stopped from the keyboard", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
