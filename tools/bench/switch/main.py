"""`strata bench switch`: what plane switches cost, by path, and why."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tools.bench.switch import scenario as registry
from tools.bench.switch.scenario import FAMILIES, SEPARATE, SHARED, TASKS, Scenario
from tools.cli.options import Parser

if TYPE_CHECKING:
    from tools.bench.switch.costs import Costs

WARM, COLD = "warm", "cold"
FAILED, BAD_INPUT = 1, 126
EPILOG = """\
Counts are exact and the same on every machine; modelled cycles are counts times prices, each of which has a source or
is marked as an assumption (tools/bench/costs, docs/bench.md); host time is how fast this emulator is, and is measured.

examples:
  strata bench switch
  strata bench switch --planes vsm --no-host --costs hyperv --costs kvm-userspace
  strata bench switch --planes kvm --policy USER --fpu separate --tlb cold
  strata bench switch --sensitivity --no-host
  strata bench switch --sensitivity vsm/ms:kvm/USER --costs kvm-userspace --no-host
  strata bench switch --json switch.json --plot switch.svg
  strata bench switch --no-host --baseline switch.json
"""


def parser() -> Parser:
    """The parser of `strata bench switch`."""
    p = Parser("strata bench switch", "Count and price what plane switches do.", EPILOG)
    p.add_argument("--planes", choices=tuple(FAMILIES), help="measure this design (default: all)")
    p.add_argument("--policy", default="all", metavar="P", help="measure this policy or dialect, or all (default: all)")
    p.add_argument("--task", choices=tuple(TASKS), help="measure this kind of path (default: all)")
    p.add_argument("--fpu", choices=(SHARED, SEPARATE), default=SHARED,
                   help="whose FPU tables and plots are about; results have both (default: shared)")
    p.add_argument("--tlb", choices=(WARM, COLD), default=WARM,
                   help="whether translations are there; results have both (default: warm)")
    p.add_argument("--costs", action="append", metavar="NAME|FILE",
                   help="price list; may be given again (default: the one that belongs to each design)")
    p.add_argument("--sensitivity", nargs="?", const="", metavar="A:B",
                   help="which price decides the ranking of designs, and where it flips; A and B as planes/policy")
    p.add_argument("--baseline", metavar="F", help="compare with results of before; fails where a path became longer")
    p.add_argument("--no-host", action="store_true", help="leave host time out")
    p.add_argument("--json", metavar="F", help="write the results to the file F")
    p.add_argument("--plot", metavar="F.svg", help="write a chart of causes and a heat map to F.svg")
    return p


def say(line: str) -> None:
    """One line of Strata's own, on standard error."""
    print(f"strata: {line}", file=sys.stderr, flush=True)


def main(argv: list[str]) -> int:
    """Measure and report; 1 if a path is worse than in the baseline, 126 for what cannot be used."""
    args = parser().parse_args(argv)
    from tools.bench.switch import baseline, costs, report, result, sensitivity
    try:
        chosen = choose(args.planes, args.policy, args.task)
        lists = price_lists(args.costs, chosen)
        pair = sensitivity.pair(args.sensitivity, chosen) if args.sensitivity else None
        before = baseline.read(args.baseline) if args.baseline else None
        for option in ("json", "plot"):
            path = getattr(args, option)
            if path and not Path(path).absolute().parent.is_dir():
                raise ValueError(f"--{option} {path}: no such directory")
    except (ValueError, costs.CostError) as error:
        parser().error(str(error))
    from tools.bench.switch.rig import GuestError
    try:
        results = report.measured(chosen, host=not args.no_host)
    except (GuestError, FileNotFoundError) as error:
        say(str(error))
        return BAD_INPUT
    comparisons = sensitivity.rank(results, lists, args.fpu, args.tlb, pair) if args.sensitivity is not None else None
    report.show(results, lists, args.fpu, args.tlb, named=bool(args.costs))
    if comparisons is not None:
        report.show_sensitivity(comparisons, lists)
    if args.json:
        text = json.dumps(result.as_data(results, lists, comparisons), indent=1)
        Path(args.json).write_text(text + "\n", encoding="utf-8")
    if args.plot:
        from tools.bench.switch import plots
        picture = plots.chart(results, lists, args.fpu, args.tlb, everywhere=bool(args.costs))
        Path(args.plot).write_text(picture, encoding="utf-8")
    return 0 if before is None else judge(baseline.compare(before, results, args.baseline))


def judge(found: tuple[list[str], list[str]]) -> int:
    """Say what a comparison with a baseline gave: the first thing that is worse, or what else is different."""
    worse, notes = found
    for line in notes:
        say(line)
    if worse:
        more = f" (and {len(worse) - 1} more)" if len(worse) > 1 else ""
        say(f"{worse[0]}{more}")
    return FAILED if worse else 0


def choose(planes: str | None, policy: str, task: str | None) -> list[Scenario]:
    """The scenarios that the options name. ValueError: there are none."""
    found: list[Scenario] = []
    designs = (planes,) if planes else tuple(FAMILIES)
    known = {design: registry.policies(design) for design in designs}
    if policy != "all" and not any(policy in policies for policies in known.values()):
        listed = "; ".join(f"for {design}: {', '.join(policies)}" for design, policies in known.items())
        raise ValueError(f"--policy {policy}: no such policy ({listed})")
    for design, policies in known.items():
        for name in policies if policy == "all" else [each for each in policies if each == policy]:
            found += [each for each in registry.scenarios(design, name) if task in (None, each.task)]
    if not found:
        raise ValueError(f"--task {task}: --planes {planes} has no such path")
    return found


def price_lists(names: Sequence[str] | None, chosen: Sequence[Scenario]) -> list[Costs]:
    """The price lists to use: those named, else those whose hosts run the chosen designs."""
    from tools.bench.switch import costs
    if names:
        return [costs.load(name) for name in dict.fromkeys(names)]
    designs = {each.planes for each in chosen}
    return [each for each in map(costs.load, costs.names()) if designs & set(each.designs)]
