"""`strata planes`: one guest under many scheduling policies.

Exit statuses: 0; for outcomes 1 when a guest's check fails; 126 when the image, a policy or an option cannot be used.
"""
import argparse
import json
import os
import sys
from typing import Any

from tools.cli.options import Parser, count, size, vcpus

BAD_INPUT = 126
EPILOG = """\
compare runs IMAGE under each policy, and prints their switches of planes side by side from where they part. outcomes
runs the guests of firmware/planes under all of them.

examples:
  strata planes compare firmware/build/three_levels.elf
  strata planes compare firmware/build/ping_pong.elf --policies user,highest-runnable --rows 30
  strata planes compare firmware/build/three_levels.elf --policies lowest-runnable,docs/examples/direct.py --json -
  strata planes outcomes
"""


def parser() -> Parser:
    """The parser of `strata planes`."""
    p = Parser("strata planes", "Run a guest under KVM's scheduling policies and say where they differ.", EPILOG)
    p.add_argument("what", choices=("compare", "outcomes"), help="what to do")
    p.add_argument("image", nargs="?", metavar="IMAGE", help="what compare runs")
    p.add_argument("--policies", metavar="P,P", help="names or files (default: all presets)")
    p.add_argument("--rows", type=int, default=16, metavar="N", help="switches that are shown (default: 16)")
    p.add_argument("--max-insns", type=count, default=50_000_000, metavar="N",
                   help="stop each run after N instructions (default: 5e7)")
    p.add_argument("--mem", type=size, default="64M", metavar="SIZE", help="RAM (default: 64M)")
    p.add_argument("--vcpus", type=vcpus, default=1, metavar="N", help="virtual CPUs (default: 1)")
    p.add_argument("--engine", choices=("auto", "interp", "blocks"), default="auto", help="as for strata run")
    p.add_argument("--json", metavar="F", help="write it all to the file F, or to standard output if F is -")
    return p


def main(argv: list[str]) -> int:
    """Run `strata planes` with these arguments; returns the exit status."""
    args = parser().parse_args(argv)
    if why := _unusable(args):
        return _refuse(why)
    from tools.cli.progress import Progress
    from tools.planes import execute
    chosen = args.policies.split(",") if args.policies else list(execute.PRESETS)
    with Progress() as progress:
        if args.what == "outcomes":
            return _outcomes(args, chosen, progress)
        return _compare(args, chosen, progress)


def _unusable(args: argparse.Namespace) -> str | None:
    if args.what == "outcomes" and args.image is not None:
        return "outcomes takes no IMAGE: it runs the guests of firmware/planes"
    if args.what == "compare" and args.image is None:
        return "compare: name an IMAGE"
    if args.what == "compare" and not os.path.isfile(args.image):
        return f"IMAGE {args.image}: no such file"
    if args.rows < 1:
        return f"--rows {args.rows}: must be 1 or more"
    if args.json not in (None, "-") and not os.path.isdir(os.path.dirname(args.json) or "."):
        return f"--json {args.json}: no such directory"
    return None


def _compare(args: argparse.Namespace, policies: list[str], progress: Any) -> int:
    from emu.load.image import ImageError
    from tools.planes import compare
    from tools.planes.execute import execute
    outcomes = []
    for policy in policies:
        progress(f"running {os.path.basename(args.image)} under {policy}")
        try:
            outcomes.append(execute(args.image, policy, args.max_insns, args.mem, args.vcpus, args.engine))
        except (ImageError, OSError, ValueError) as error:
            return _refuse(" ".join(str(error).split()))
    progress("")
    for outcome in outcomes:
        if outcome.reason != "exit":
            print(f"strata planes: {outcome.policy}: {outcome.message}", file=sys.stderr)
    if args.json != "-":
        compare.print_comparison(outcomes, args.rows, sys.stdout)
    return _write(args.json, compare.as_data(args.image, outcomes))


def _outcomes(args: argparse.Namespace, policies: list[str], progress: Any) -> int:
    from tools.planes import outcomes
    if not outcomes.guests():
        return _refuse("outcomes: firmware/planes is not here; it needs a checkout of Strata")
    try:
        found = outcomes.run(policies, lambda guest, policy: progress(f"running {guest} under {policy}"))
    except (OSError, ValueError) as error:
        return _refuse(" ".join(str(error).split()))
    progress("")
    if args.json != "-":
        outcomes.print_table(found, sys.stdout)
    wrong = any(outcome.status not in (1, 77) for each in found.values() for outcome in each)
    return _write(args.json, outcomes.as_data(found)) or int(wrong)


def _write(path: str | None, data: dict[str, Any]) -> int:
    if path is None:
        return 0
    text = json.dumps(data, indent=1) + "\n"
    if path == "-":
        sys.stdout.write(text)
        return 0
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        return _refuse(f"--json {path}: {error.strerror}")
    return 0


def _refuse(why: str) -> int:
    print(f"strata planes: {why}", file=sys.stderr)
    return BAD_INPUT
