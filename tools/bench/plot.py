"""A bar chart as SVG: one group of bars a loop, one bar a runner, on a logarithmic scale."""
import math
from collections.abc import Mapping, Sequence
from html import escape

COLOURS = ("#3b6ea5", "#6fa8dc", "#c0504d", "#e6a23c", "#7f9f4f", "#999999", "#8064a2")
HEIGHT, TOP, LEFT, BAR, GAP = 360, 40, 64, 22, 36
PLOT = 240                          # height of the plotting area, in pixels
LINE = 18


def bars(title: str, unit: str, groups: Sequence[tuple[str, Mapping[str, float]]]) -> str:
    """The SVG text of a chart of positive values: `groups` is (name, {series: value}); series may be missing in some.
    Raises ValueError if there is nothing to draw."""
    series = list(dict.fromkeys(name for _, values in groups for name in values))
    everything = [value for _, values in groups for value in values.values()]
    if not everything or min(everything) <= 0:
        raise ValueError("a logarithmic chart needs values, all of them above 0")
    low = math.ceil(math.log10(min(everything))) - 1        # a decade below the smallest, or it would have no bar
    high = math.ceil(math.log10(max(everything)))
    group_width = BAR * len(series) + GAP
    width = LEFT + max(group_width * len(groups) + GAP, 130 * len(series))

    def y(value: float) -> float:
        return TOP + PLOT * (1 - (math.log10(value) - low) / (high - low))

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{HEIGHT}" '
           'font-family="sans-serif" font-size="12">',
           f'<rect width="{width}" height="{HEIGHT}" fill="white"/>',
           f'<text x="{LEFT}" y="20" font-size="15">{escape(title)}</text>']
    for power in range(low, high + 1):
        at = y(10.0 ** power)
        out.append(f'<line x1="{LEFT}" x2="{width}" y1="{at:.1f}" y2="{at:.1f}" stroke="#ddd"/>')
        out.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{10.0 ** power:,g}</text>')
    out.append(f'<text x="6" y="{TOP - 8}">{escape(unit)}</text>')
    for number, (name, values) in enumerate(groups):
        x = LEFT + GAP / 2 + number * group_width
        for position, label in enumerate(series):
            if label in values:
                top = y(values[label])
                out.append(f'<rect x="{x + position * BAR:.1f}" y="{top:.1f}" width="{BAR - 3}" '
                           f'height="{TOP + PLOT - top:.1f}" fill="{COLOURS[position % len(COLOURS)]}">'
                           f'<title>{escape(label)}: {values[label]:,.0f} {escape(unit)}</title></rect>')
        out.append(f'<text x="{x + BAR * len(series) / 2:.1f}" y="{TOP + PLOT + LINE}" '
                   f'text-anchor="middle">{escape(name)}</text>')
    for position, label in enumerate(series):
        x, at = LEFT + 130 * position, TOP + PLOT + 3 * LINE
        out.append(f'<rect x="{x}" y="{at - 10}" width="12" height="12" fill="{COLOURS[position % len(COLOURS)]}"/>')
        out.append(f'<text x="{x + 17}" y="{at}">{escape(label)}</text>')
    return "\n".join([*out, "</svg>", ""])
