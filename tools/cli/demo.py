"""`strata demo`: a guest that calls from VTL0 into VTL1 and back a thousand times, and the report of it."""
import sys
from pathlib import Path

from tools.cli import run
from tools.cli.options import Parser

GUEST = "firmware/build/vsm_call.elf"

EPILOG = """\
examples:
  strata demo
  strata demo --engine interp
"""


def parser() -> Parser:
    """The parser of `strata demo`."""
    p = Parser("strata demo", f"Run {GUEST}, which switches planes, and report the switches.", EPILOG)
    p.add_argument("--engine", choices=("auto", "interp", "blocks"), default="auto", help="as for strata run")
    return p


def guest() -> Path | None:
    """The demo's guest: in the checkout that this module is part of, else under the current directory."""
    for top in (Path(__file__).resolve().parents[2], Path.cwd()):
        if (top / GUEST).is_file():
            return top / GUEST
    return None


def main(argv: list[str]) -> int:
    """Run the demo; returns the guest's exit status, 0 if that is the one that stands for success."""
    args = parser().parse_args(argv)
    path = guest()
    if path is None:
        run.say(f"{GUEST}: not found; the demo needs a checkout of Strata (in one: make firmware)")
        return run.BAD_INPUT
    options = run.parser().parse_args([str(path), "--planes", "vsm", "--engine", args.engine, "--report"])
    status = run.run(options, report_to=sys.stdout)
    return 0 if status == PASSED else status


PASSED = (0 << 1) | 1   # our guests write 0 to port 0xf4 when every check in them held
