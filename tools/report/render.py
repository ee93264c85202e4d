"""The report of a run: what ran, the last plane switches, and how long each plane was held."""
from collections.abc import Sequence
from typing import Any, TextIO

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from tools.cli.result import plane_name, si
from tools.report.latency import latencies

LAST = 12               # switches in the timeline
STYLES = ("cyan", "magenta", "green", "yellow")


def print_report(result: dict[str, Any], stream: TextIO, width: int | None = None) -> None:
    """Print the report of `result` (see tools.cli.result) on `stream`, `width` columns wide or as wide as the terminal."""
    Console(file=stream, width=width, highlight=False).print(report(result))


def report(result: dict[str, Any]) -> RenderableType:
    """The whole report as one rich renderable."""
    switches = result["switches"]
    parts: list[RenderableType] = [Text(), _what_ran(result)]
    if switches:
        parts += [Text(), _timeline(switches, result["planes"]), Text(), _latency_table(switches, result["planes"])]
    elif result["planes"] != "none":
        parts += [Text(), Text("No plane switches.", style="dim")]
    return Group(*parts)


def _what_ran(result: dict[str, Any]) -> Table:
    table = _table("What ran", show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _facts(result):
        table.add_row(name, value)
    return table


def _facts(result: dict[str, Any]) -> list[tuple[str, str]]:
    seconds, instructions = result["seconds"], result["instructions"]
    rate = f" ({si(instructions / seconds)} a second)" if seconds > 0 else ""
    machine = f"{result['vcpus']} vCPU, {result['memory'] >> 20} MiB, CPU {result['cpu']}, engine {result['engine']}"
    planes = result["planes"] + (f", policy {result['policy']}" if result["policy"] else "")
    end = f"{result['reason']}, status {result['status']}"
    facts = [("image", result["image"]), ("machine", machine), ("planes", planes),
             ("ran", f"{instructions:,} instructions in {seconds:.3f} s{rate}"), ("ended", end)]
    if result["reason"] != "exit" and result["message"]:
        facts.append(("because", result["message"]))
    if result["switches"]:
        facts.append(("switches", f"{len(result['switches']):,}"))
    return facts


def _timeline(switches: Sequence[dict[str, Any]], design: str) -> Table:
    shown = switches[-LAST:]
    table = _table(f"Plane switches, the last {len(shown)} of {len(switches):,}" if len(shown) < len(switches)
                   else "Plane switches")
    table.add_column("instruction", justify="right", no_wrap=True)
    table.add_column("vCPU", justify="right", no_wrap=True)
    table.add_column("switch", no_wrap=True)
    table.add_column("why", overflow="fold")
    table.add_column("RIP before", no_wrap=True)
    table.add_column("RIP after", no_wrap=True)
    table.add_column("registers saved", overflow="fold", ratio=1)
    for switch in shown:
        table.add_row(f"{switch['icount']:,}", str(switch["vcpu"]), _arrow(switch["from"], switch["to"], design),
                      switch["cause"], f"{switch['rip_from']:x}", f"{switch['rip_to']:x}",
                      ", ".join(switch.get("registers", ())) or "-")
    return table


def _latency_table(switches: Sequence[dict[str, Any]], design: str) -> Table:
    rows = latencies(switches)
    timed = any(row.host_ns is not None for row in rows)
    table = _table("Guest instructions from a switch to the next one on the same vCPU")
    table.add_column("switch", no_wrap=True)
    table.add_column("why", overflow="fold")
    for name in ("count", "min", "median", "p90", "max"):
        table.add_column(name, justify="right", no_wrap=True)
    if timed:
        table.add_column("host ns", justify="right", no_wrap=True)
    for row in rows:
        cells = [_arrow(row.out_of, row.into, design), row.cause, f"{row.count:,}", f"{row.least:,}",
                 f"{row.median:,g}", f"{row.p90:,}", f"{row.most:,}"]
        if timed:
            cells.append("-" if row.host_ns is None else f"{row.host_ns:,.0f}")
        table.add_row(*cells)
    return table


def _table(title: str, show_header: bool = True) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", show_header=show_header, box=None,
                 header_style="dim", pad_edge=False)


def _arrow(out_of: int | str, into: int | str, design: str) -> Text:
    return Text.assemble(_plane(out_of, design), " → ", _plane(into, design))


def _plane(plane: int | str, design: str) -> tuple[str, str]:
    number = plane if isinstance(plane, int) else sum(plane.encode())
    return plane_name(design, plane), STYLES[number % len(STYLES)]
