"""`strata initramfs`: writes an initial RAM disk for Linux guests."""
import argparse
import os
import sys
from pathlib import Path

from tools.cli.options import Parser

BAD_INPUT = 126
ELF_MAGIC = b"\x7fELF"

EPILOG = """\
The archive holds static busybox and an /init that mounts /proc, /sys and /dev, prints "strata-init: ready" and starts a
shell on the console; with --run it executes those lines instead, prints "strata-init: done" and switches off.
The kernel and busybox come from `strata fetch linux-cloud busybox`.

examples:
  strata initramfs --output shell.cpio
  strata initramfs --run "uname -a" --run "cat /proc/cpuinfo" --output check.cpio
  strata initramfs --file ./my_static_program --run /root/my_static_program --output mine.cpio
"""


def parser() -> Parser:
    """The parser of `strata initramfs`."""
    p = Parser("strata initramfs", "Write an initial RAM disk with busybox, for strata run --initrd.", EPILOG)
    p.add_argument("--output", "-o", default="initramfs.cpio", metavar="F",
                   help="the file to write (default: initramfs.cpio)")
    p.add_argument("--run", action="append", default=[], metavar="LINE", help="a shell line to run; may be repeated")
    p.add_argument("--file", action="append", default=[], metavar="F", help="a file for /root; may be repeated")
    p.add_argument("--busybox", metavar="F", help="a static busybox (default: what `strata fetch busybox` brought)")
    return p


def _read(option: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{option} {path}: {error.strerror}") from error


def archive(args: argparse.Namespace) -> bytes:
    """The archive that the options describe. ValueError says in one line what is wrong with them."""
    from tools.fetch import find
    from tools.initramfs.build import initramfs
    busybox = args.busybox or find("busybox")
    if busybox is None:
        raise ValueError("no busybox: run `strata fetch busybox`, or name one with --busybox")
    program = _read("--busybox", str(busybox))
    if not program.startswith(ELF_MAGIC):
        raise ValueError(f"--busybox {busybox}: not an ELF file")
    return initramfs(program, args.run, [(os.path.basename(path), _read("--file", path)) for path in args.file])


def main(argv: list[str]) -> int:
    """Run `strata initramfs`; 0, or 126 with one line for a file that cannot be read or written."""
    args = parser().parse_args(argv)
    try:
        data = archive(args)
        try:
            Path(args.output).write_bytes(data)
        except OSError as error:
            raise ValueError(f"--output {args.output}: {error.strerror}") from error
    except ValueError as error:
        print(f"strata initramfs: {error}", file=sys.stderr)
        return BAD_INPUT
    return 0
