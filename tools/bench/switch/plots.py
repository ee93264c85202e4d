"""Results as SVG: for each price list, bars of cycles by cause, then a heat map of policy by task."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from tools.bench.switch.costs import CAUSES, Costs
from tools.bench.switch.measure import Result
from tools.bench.switch.sensitivity import design

# Okabe and Ito's palette, which people with any kind of colour vision can tell apart; grey for the guest itself.
COLOURS = dict(zip(CAUSES, ("#999999", "#0072b2", "#d55e00", "#e69f00", "#cc79a7", "#56b4e9", "#009e73", "#f0e442"),
                   strict=True))
LEFT, BARS, RIGHT, MARGIN = 270, 560, 90, 20
WIDTH = LEFT + BARS + RIGHT
BAR, GAP, LINE, TITLE = 16, 7, 18, 30
CELL, CELL_WIDTH = 26, 150
TICKS = 5


def chart(results: Sequence[Result], lists: Sequence[Costs], fpu: str, tlb: str, everywhere: bool = False) -> str:
    """The SVG text. A price list applies to the designs that its hosts run, to all with `everywhere`."""
    parts: list[str] = []
    y = MARGIN
    for costs in lists:
        mine = [each for each in results if everywhere or each.scenario.planes in costs.designs]
        if mine:
            y = _bars(parts, y, mine, costs, fpu, tlb)
            y = _heat(parts, y + LINE, mine, costs, fpu, tlb) + TITLE
    return "\n".join((
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}" '
        'font-family="sans-serif" font-size="12">', f'<rect width="{WIDTH}" height="{y}" fill="white"/>', *parts,
        "</svg>", ""))


def _text(x: float, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}"{" " + more if more else ""}>{escape(text)}</text>'


def _rect(x: float, y: float, width: float, height: float, colour: str, tip: str) -> str:
    return (f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height}" fill="{colour}">'
            f"<title>{escape(tip)}</title></rect>")


def _step(largest: float) -> float:
    """A distance between grid lines: 1, 2 or 5 times a power of ten."""
    rough = largest / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * n for n in (1, 2, 5, 10) if power * n >= rough)


def _bars(out: list[str], y: int, results: Sequence[Result], costs: Costs, fpu: str, tlb: str) -> int:
    """Draws from `y` down; gives where it ends."""
    rows = [(each, costs.by_cause(each.variant(fpu, tlb).counts.flat())) for each in results]
    largest = max(sum(causes.values()) for _, causes in rows) or 1.0
    out.append(_text(MARGIN, y + 12, f"Modelled cycles by cause: {costs.title}; {fpu} FPU, {tlb} TLB",
                     'font-size="15"'))
    y += TITLE
    x = float(LEFT)
    for cause in [cause for cause in CAUSES if any(causes[cause] for _, causes in rows)]:
        out.append(_rect(x, y - 10, 12, 12, COLOURS[cause], cause))
        out.append(_text(x + 16, y, cause))
        x += 32 + 7 * len(cause)
    y += LINE
    height = len(rows) * (BAR + GAP)
    step, tick = _step(largest), 0.0
    while tick <= largest:
        at = LEFT + BARS * tick / largest
        out.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{y}" y2="{y + height}" stroke="#ddd"/>')
        out.append(_text(at, y + height + 14, f"{tick:,.0f}", 'text-anchor="middle" fill="#555"'))
        tick += step
    for n, (each, causes) in enumerate(rows):
        top, x = y + n * (BAR + GAP), float(LEFT)
        out.append(_text(LEFT - 8, top + 12, each.scenario.name, 'text-anchor="end"'))
        for cause, cycles in causes.items():
            if cycles:
                width = BARS * cycles / largest
                out.append(_rect(x, top, width, BAR, COLOURS[cause], f"{cause}: {cycles:,.0f} cycles"))
                x += width
        out.append(_text(x + 5, top + 12, f"{sum(causes.values()):,.0f}", 'fill="#555"'))
    return y + height + LINE


def _heat(out: list[str], y: int, results: Sequence[Result], costs: Costs, fpu: str, tlb: str) -> int:
    """Draws from `y` down; gives where it ends."""
    designs = list(dict.fromkeys(design(each.scenario) for each in results))
    tasks = list(dict.fromkeys(each.scenario.task for each in results))
    totals = {(design(each.scenario), each.scenario.task): costs.total(each.variant(fpu, tlb).counts.flat())
              for each in results}
    low, high = min(totals.values()), max(totals.values())
    out.append(_text(MARGIN, y + 12, "Policy by task, cycles", 'font-size="15"'))
    y += TITLE
    for n, task in enumerate(tasks):
        out.append(_text(LEFT + n * CELL_WIDTH + CELL_WIDTH / 2, y, task, 'text-anchor="middle"'))
    y += 8
    for row, name in enumerate(designs):
        top = y + row * CELL
        out.append(_text(LEFT - 8, top + 17, name, 'text-anchor="end"'))
        for column, task in enumerate(tasks):
            cycles = totals.get((name, task))
            if cycles is None:
                continue
            share = (cycles - low) / (high - low) if high > low else 0.0
            x = LEFT + column * CELL_WIDTH
            out.append(_rect(x + 1, top + 1, CELL_WIDTH - 2, CELL - 2, _shade(share), f"{name}, {task}: {cycles:,.0f}"))
            out.append(_text(x + CELL_WIDTH / 2, top + 17, f"{cycles:,.0f}",
                             f'text-anchor="middle" fill="{"white" if share > 0.5 else "black"}"'))
    return y + len(designs) * CELL


def _shade(share: float) -> str:
    """From nearly white to dark blue."""
    ends = ((0xEF, 0xF4, 0xFB), (0x08, 0x30, 0x6B))
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in zip(*ends, strict=True))
