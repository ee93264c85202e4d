"""Results for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tools.bench.switch.costs import GUEST, PRICES, ROUTING, SCHEDULING, STATE, USERSPACE, WORLD, Costs
from tools.bench.switch.measure import COLD, WARM, Result, measure
from tools.bench.switch.scenario import SEPARATE, SHARED, Scenario
from tools.bench.switch.sensitivity import Comparison, Flip

COLUMNS = (("insns", ("instructions",)), ("mem", ("reads", "writes")), ("plane", ("switches",)), ("exits", ("exits",)),
           ("VMM", ("userspace_exits",)), ("irqs", ("deliveries",)))
SHORT = {GUEST: "guest", WORLD: "world", USERSPACE: "VMM", ROUTING: "route", SCHEDULING: "sched", "general": "gprs",
         "segments": "segs"}
LEGEND = ("insns: instructions; mem: memory accesses; plane: switches of planes; exits: to the hypervisor; VMM: exits "
          "to userspace; irqs: handlers entered; fills, steps: TLB fills and page-walk steps of a cold path")


def measured(chosen: Sequence[Scenario], host: bool) -> list[Result]:
    """Measure scenarios, with a line on standard error that says how far it is."""
    from rich.console import Console
    from rich.progress import Progress
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("measuring", total=2 * len(chosen))
        results = []
        for each in chosen:
            progress.update(task, description=each.name)
            results.append(measure(each, host, lambda: progress.advance(task)))
    return results


def table(title: str, headings: Sequence[str]) -> Any:
    """An empty table; the first column is text."""
    from rich.table import Table
    made = Table(title=title, title_justify="left", box=None, header_style="dim", pad_edge=False)
    for n, heading in enumerate(headings):
        made.add_column(heading, justify="right" if n else "left", no_wrap=not n)
    return made


def show(results: Sequence[Result], lists: Sequence[Costs], fpu: str, tlb: str, named: bool) -> None:
    """All tables on standard output; `named`: the price lists were asked for, so each applies to all designs."""
    from rich.console import Console
    console = Console(highlight=False)
    console.print(counts_table(results))
    console.print(LEGEND, style="dim")
    if any(each.variant(SHARED, WARM).host for each in results):
        console.print()
        console.print(host_table(results))
    for costs in lists:
        mine = [each for each in results if named or each.scenario.planes in costs.designs]
        if mine:
            console.print()
            console.print(totals_table(mine, costs))
            console.print()
            console.print(causes_table(mine, costs, fpu, tlb))
    assumed = sum(price.assumed for costs in lists for price in costs.prices.values())
    console.print(f"\n{assumed} of {len(PRICES) * len(lists)} prices are assumptions; tools/bench/costs says why")


def counts_table(results: Sequence[Result]) -> Any:
    """What happened."""
    made = table("What happens on each path", ("path", *(heading for heading, _ in COLUMNS), "fills", "steps"))
    last = None
    for each in results:
        if last not in (None, (each.scenario.planes, each.scenario.policy)):
            made.add_section()
        last = each.scenario.planes, each.scenario.policy
        warm, cold = each.variant(SHARED, WARM), each.variant(SHARED, COLD)
        flat = warm.counts.flat()
        made.add_row(each.scenario.name, *(f"{sum(flat[name] for name in names):,}" for _, names in COLUMNS),
                     str(cold.counts.tlb_fills), str(cold.counts.walk_steps))
    return made


def host_table(results: Sequence[Result]) -> Any:
    """How long this emulator took."""
    made = table("Host nanoseconds a round, shared FPU", ("path", "median", "p90", "p99", "rounds a sample"))
    for each in results:
        host = each.variant(SHARED, WARM).host
        if host is not None:
            made.add_row(each.scenario.name, *(f"{value:,.0f}" for value in (host.median, host.p90, host.p99)),
                         str(host.batch))
    return made


def totals_table(results: Sequence[Result], costs: Costs) -> Any:
    """Modelled cycles of the four variants."""
    variants = [(fpu, tlb) for fpu in (SHARED, SEPARATE) for tlb in (WARM, COLD)]
    made = table(f"Modelled cycles by FPU and TLB: {costs.title} ({costs.name})", (
        "path", *(f"{fpu}, {tlb}" for fpu, tlb in variants), "us"))
    for each in results:
        totals = [costs.total(each.variant(*variant).counts.flat()) for variant in variants]
        made.add_row(each.scenario.name, *(f"{value:,.0f}" for value in totals), f"{totals[0] / costs.mhz:.2f}")
    return made


def causes_table(results: Sequence[Result], costs: Costs, fpu: str, tlb: str) -> Any:
    """Modelled cycles of one variant by cause, the state that is saved by part."""
    rows = []
    for each in results:
        counts = each.variant(fpu, tlb).counts.flat()
        causes = {cause: value for cause, value in costs.by_cause(counts).items() if cause != STATE}
        parts = {name.removeprefix("state_"): value for name, value in costs.cycles(counts).items()
                 if PRICES[name].cause == STATE}
        rows.append((each.scenario.name, causes | parts))
    shown = [cause for cause in rows[0][1] if any(cycles[cause] for _, cycles in rows)]
    headings = [SHORT.get(cause, cause) for cause in shown]
    made = table(f"... by cause, the state saved by part, {fpu} FPU, {tlb} TLB", ("path", *headings, "all"))
    for name, cycles in rows:
        made.add_row(name, *(f"{cycles[cause]:,.0f}" for cause in shown), f"{sum(cycles.values()):,.0f}")
    return made


def show_sensitivity(comparisons: Sequence[Comparison], lists: Sequence[Costs]) -> None:
    """Which price decides, and where."""
    from rich.console import Console
    console = Console(highlight=False, soft_wrap=True)
    titles = {each.name: each.title for each in lists}
    heading = None
    if not comparisons:
        console.print("\nSensitivity: every design costs the same on every task that was measured")
    for each in comparisons:
        if heading != (each.costs, each.task):
            heading = each.costs, each.task
            console.print(f"\nSensitivity: {each.task}, {titles[each.costs]} ({each.costs})")
        console.print("  " + sentence(each))


def sentence(each: Comparison) -> str:
    """One comparison in words."""
    def named(design: str) -> str:
        return " = ".join((design, *each.tied_with.get(design, ())))
    said = (f"{named(each.first)} ({each.cycles:,.0f}) before {named(each.second)} (+{each.more:,.0f}, most of it "
            f"{each.largest}, {each.share:.0%}): ")
    if not each.flips:
        return said + "no single price turns that round"
    flip = each.flips[0]
    return said + f"{flip.price} decides: they are equal at {flip.at:,.4g} instead of {flip.now:,.4g} {_range(flip)}"


def _range(flip: Flip) -> str:
    if flip.low == flip.high:
        return "cycles, a price given as exact"
    return f"cycles, {'within' if flip.likely else 'outside'} its range of {flip.low:g} to {flip.high:g}"
