"""`strata info`: what is implemented, as the engine side itself lists it."""
import argparse
import json
import sys
from pathlib import Path

from tools.cli.available import names
from tools.cli.options import Parser

# Section, and where its names are listed: a collection of strings, or a mapping by name.
SECTIONS = {
    "instructions": ("emu.decode", "IMPLEMENTED"),
    "MSRs": ("emu.isa.msr", "IMPLEMENTED"),
    "CPU models": ("emu.isa.models", "MODELS"),
    "hypercalls": ("emu.planes.vsm", "HYPERCALLS"),
    "devices": ("emu.dev", "DEVICES"),
    "planes": ("emu.planes", "AVAILABLE"),
    "policies": ("emu.planes", "POLICIES"),
}
GUESTS = Path(__file__).resolve().parents[2] / "firmware" / "build"

EPILOG = """\
examples:
  strata info
  strata info devices planes
  strata info --json instructions
  strata info --cpu list                     the CPU models
  strata info --cpu EPYC-Milan               what one offers, and what Strata lacks of it
  strata info --cpu x86-64-v2,+aes --json
  strata info --forms                        instruction forms by extension: implemented, absent, not yet
  strata info --scenarios vsm        # runs the tests of the scenarios of a specification
  strata info --scenarios --no-run
"""


def parser() -> Parser:
    """The parser of `strata info`."""
    p = Parser("strata info", "List what is implemented.", EPILOG)
    p.add_argument("section", nargs="*", metavar="SECTION",
                   help=f"only these, of: {', '.join(SECTIONS)}, guests; lists every name instead of the first few")
    p.add_argument("--cpu", metavar="NAME", help="a CPU model as `strata run --cpu` takes it, or list")
    p.add_argument("--forms", action="store_true", help="count instruction forms by extension")
    p.add_argument("--json", action="store_true", help="every name of every section, as JSON")
    p.add_argument("--scenarios", action="store_true", help="the scenarios of the specifications instead, their tests "
                   "and whether these pass; a SECTION is then the name of a specification")
    p.add_argument("--no-run", action="store_true", help="with --scenarios: do not run the tests")
    return p


def collect(sections: list[str]) -> dict[str, list[str]]:
    """The sorted names of each section."""
    found = {}
    for section in sections:
        if section == "guests":
            found[section] = sorted(path.stem for path in GUESTS.glob("*.elf"))
        else:
            found[section] = sorted(names(*SECTIONS[section]))
    return found


def main(argv: list[str]) -> int:
    """Print the lists; returns the exit status."""
    args = parser().parse_args(argv)
    if args.cpu or args.forms:
        return _isa(args)
    if args.scenarios:
        return _scenarios(args.section, run=not args.no_run, as_json=args.json)
    every = [*SECTIONS, "guests"]
    for section in args.section:
        if section not in every:
            parser().error(f"no section named {section!r}; there are: {', '.join(every)}")
    found = collect(args.section or every)
    if args.json:
        json.dump(found, sys.stdout, indent=1)
        print()
        return 0
    from rich.console import Console
    from rich.table import Table
    table = Table(box=None, header_style="dim", pad_edge=False)
    table.add_column("section", no_wrap=True)
    table.add_column("count", justify="right")
    table.add_column("names", overflow="fold")
    for section, listed in found.items():
        table.add_row(section, str(len(listed)), _line(listed, whole=bool(args.section)))
    Console(highlight=False).print(table)
    return 0


def _isa(args: argparse.Namespace) -> int:
    """`--cpu` and `--forms`."""
    from tools.cli import info_isa
    if args.section or (args.cpu and args.forms):
        parser().error("--cpu, --forms and SECTION exclude each other")
    try:
        data = info_isa.forms() if args.forms else info_isa.cpu_list() if args.cpu == "list" else info_isa.cpu_one(
            args.cpu)
    except ValueError as error:
        parser().error(str(error))
    if args.json:
        json.dump(data, sys.stdout, indent=1)
        print()
    else:
        (info_isa.show_forms if args.forms else info_isa.show_cpu)(data)
    return 0


def _scenarios(specs: list[str], run: bool, as_json: bool) -> int:
    from tools.cli import scenarios
    known = scenarios.tables()
    if not known:
        parser().error("--scenarios: there are no tests here; it needs a checkout of the sources")
    for spec in specs:
        if spec not in known:
            parser().error(f"no specification named {spec!r}; there are: {', '.join(known)}")
    return scenarios.show(scenarios.collect(specs or known, run), as_json)


def _line(listed: list[str], whole: bool) -> str:
    few = 12
    if whole or len(listed) <= few:
        return ", ".join(listed) or "none yet"
    return f"{', '.join(listed[:few])}, ... (strata info SECTION lists them all)"
