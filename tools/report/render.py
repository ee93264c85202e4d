"""The report of a run: what ran, the last plane switches, and how long each plane was held."""
from collections.abc import Sequence
from typing import Any, TextIO

from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from tools.cli.result import plane_name, si
from tools.report.latency import latencies

LAST = 12               # switches in the timeline
STYLES = ("cyan", "magenta", "green", "yellow")

Switches = Sequence[dict[str, Any]]


def print_report(result: dict[str, Any], stream: TextIO, width: int | None = None) -> None:
    """Print the report of `result` (see tools.cli.result) on `stream`, `width` columns wide or as the terminal is."""
    console = Console(file=stream, width=width, highlight=False)
    switches, design = result["switches"], result["planes"]
    console.print(Text(), _section("What ran", _what_ran(result)))
    if switches:
        shown = switches[-LAST:]
        timeline = _timeline(shown, design, stacked=False)
        if Measurement.get(console, console.options.update(max_width=1000), timeline).maximum > console.width:
            timeline = _timeline(shown, design, stacked=True)
        which = f"the last {len(shown)} of {len(switches):,}" if len(shown) < len(switches) else "all of them"
        console.print(Text(), _section(f"Plane switches, {which}", timeline))
        console.print(Text(), _section("Registers saved at a switch", _saved(shown, design)))
        console.print(Text(), _section("Guest instructions from a switch to the next one on the same vCPU",
                                       _latency_table(switches, design)))
        if result.get("intercepts"):
            intercepts = result["intercepts"]
            shown = intercepts[-LAST:]
            which = f"the last {len(shown)} of {len(intercepts):,}" if len(shown) < len(intercepts) else "all of them"
            console.print(Text(), _section(f"Intercepts, {which}", _intercepts(shown, design)))
    elif design != "none":
        console.print(Text(), Text("No plane switches."))
    console.print()


def _section(title: str, body: RenderableType) -> Group:
    return Group(Text(title, style="bold"), body)


def _what_ran(result: dict[str, Any]) -> Table:
    table = _table(show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _facts(result):
        table.add_row(name, Text(value))
    return table


def _facts(result: dict[str, Any]) -> list[tuple[str, str]]:
    seconds, instructions = result["seconds"], result["instructions"]
    rate = f" ({si(instructions / seconds)} a second)" if seconds > 0 else ""
    machine = f"{result['vcpus']} vCPU, {result['memory'] >> 20} MiB, CPU {result['cpu']}, engine {result['engine']}"
    planes = result["planes"] + (f", policy {result['policy']}" if result["policy"] else "")
    facts = [("image", result["image"]), ("machine", machine), ("planes", planes),
             ("ran", f"{instructions:,} instructions in {seconds:.3f} s{rate}"),
             ("ended", f"{result['reason']}, status {result['status']}")]
    if result["reason"] != "exit" and result["message"]:
        facts.append(("because", result["message"]))
    return facts


def _timeline(switches: Switches, design: str, stacked: bool) -> Table:
    """One row a switch; `stacked` puts the RIP after below the RIP before, for narrow terminals."""
    table = _table()
    table.add_column("instruction", justify="right", no_wrap=True)
    table.add_column("vCPU", justify="right", no_wrap=True)
    table.add_column("switch", no_wrap=True)
    table.add_column("why", overflow="fold")
    for name in ("RIP before / after",) if stacked else ("RIP before", "RIP after"):
        table.add_column(name, no_wrap=True)
    for switch in switches:
        rips = [f"{switch['rip_from']:x}", f"{switch['rip_to']:x}"]
        table.add_row(f"{switch['icount']:,}", str(switch["vcpu"]), _arrow(switch["from"], switch["to"], design),
                      Text(switch["cause"]), *(["\n".join(rips)] if stacked else rips))
    return table


def _intercepts(intercepts: Switches, design: str) -> Table:
    """One row an intercept: the instruction that caused it, what it was about, and where its plane went on."""
    table = _table()
    for name in ("instruction", "vCPU"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("told", no_wrap=True)
    for name in ("access", "RIP: instruction"):
        table.add_column(name, overflow="fold")
    table.add_column("resumed at", no_wrap=True)
    for one in intercepts:
        resumed = "not yet" if one["rip_after"] is None else f"{one['rip_after']:x}"
        table.add_row(f"{one['icount']:,}", str(one["vcpu"]), _arrow(one["plane"], one["to"], design),
                      Text(f"{one['kind']}: {one['what']}"), Text(f"{one['rip']:x}: {one['instruction']}"), resumed)
    return table


def _saved(switches: Switches, design: str) -> Table:
    """Each different set of registers once: a switch of one kind nearly always saves the same."""
    table = _table(show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    kinds = {(switch["from"], switch["to"], switch["cause"], tuple(switch.get("registers", ()))): None
             for switch in switches}
    for out_of, into, cause, registers in kinds:
        table.add_row(_arrow(out_of, into, design), Text(cause), Text(" ".join(registers) or "none"))
    return table


def _latency_table(switches: Switches, design: str) -> Table:
    rows = latencies(switches)
    timed = any(row.host_ns is not None for row in rows)
    table = _table()
    table.add_column("switch", no_wrap=True)
    table.add_column("why", overflow="fold")
    for name in ("count", "min", "median", "p90", "max", *(["host ns"] if timed else [])):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        numbers = [f"{row.count:,}", f"{row.least:,}", f"{row.median:,.12g}", f"{row.p90:,}", f"{row.most:,}"]
        if timed:
            numbers.append("-" if row.host_ns is None else f"{row.host_ns:,.0f}")
        table.add_row(_arrow(row.out_of, row.into, design), Text(row.cause), *numbers)
    return table


def _table(show_header: bool = True) -> Table:
    return Table(show_header=show_header, box=None, header_style="dim", pad_edge=False)


def _arrow(out_of: int | str, into: int | str, design: str) -> Text:
    return Text.assemble(_plane(out_of, design), " -> ", _plane(into, design))


def _plane(plane: int | str, design: str) -> tuple[str, str]:
    number = plane if isinstance(plane, int) else sum(plane.encode())
    return plane_name(design, plane), STYLES[number % len(STYLES)]
