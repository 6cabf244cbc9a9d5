"""The chart of a result: respgate and its peers beside Redis' own TLS, one row a workload.

Plain SVG, for a README in light and in dark. Knows nothing of bars.
"""

import math
import statistics
from xml.sax.saxutils import escape

from result import PROXIES, REFERENCE, SUBJECT

WIDTH, LEFT, ROW, TOP, FOOT = 880, 250, 34, 92, 56
PANEL = 280
GAP = 48
# Doublings to either side: from a quarter to four times as much.
OCTAVES = 2
COLOURS = {SUBJECT: "#d1495b", "haproxy": "#2e86ab", "stunnel": "#7f8c8d", "hitch": "#3a9d5d",
           "envoy-tcp": "#b8860b", "envoy-redis": "#8e5ea2"}
STYLE = """<style>
text { font: 12px system-ui, sans-serif; fill: #1f2328; }
.small { font-size: 11px; fill: #59636e; }
.head { font-weight: 600; }
line { stroke: #d1d9e0; }
.one { stroke: #59636e; stroke-dasharray: 3 3; }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc; } .small { fill: #9198a1; } line { stroke: #3d444d; } .one { stroke: #9198a1; }
}
</style>"""
PANELS = (("rps", "requests a second (right is better)"), ("sum_us", "processor time a request (left is better)"))


def svg(result):
    """The chart; workloads without a reference are left out."""
    rows = [name for name in result.samples if result.values(name, REFERENCE, "rps")]
    height = TOP + ROW * len(rows) + FOOT
    drawn = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}"'
             f' height="{height}" role="img" aria-label="respgate and its peers beside Redis\' own TLS">', STYLE,
             *_legend(result)]
    for number, (field, title) in enumerate(PANELS):
        drawn += _panel(result, rows, field, title, LEFT + number * (PANEL + GAP))
    drawn += [text(LEFT - 12, _middle(row) + 4, result.workloads[name], anchor="end")
              for row, name in enumerate(rows)]
    machine = result.made["machine"]
    note = (f"medians of {result.made['rounds']} interleaved rounds beside Redis' own TLS in the same round;"
            f" the bar at respgate spans its rounds; hollow: beyond; {machine['cores']} cores, {result.made['date']}")
    drawn += [text(12, height - 12, note, kind="small"), "</svg>"]
    return "\n".join(drawn) + "\n"


def _panel(result, rows, field, title, left):
    bottom = TOP + ROW * len(rows)
    drawn = [text(left, TOP - 30, title, kind="head")]
    for octave in range(-OCTAVES, OCTAVES + 1):
        x, kind = left + _across(2.0 ** octave), ' class="one"' if octave == 0 else ""
        drawn.append(f'<line x1="{x:.1f}" y1="{TOP - 8}" x2="{x:.1f}" y2="{bottom}"{kind}/>')
        drawn.append(text(x, TOP - 14, f"{2.0 ** octave:g}x", kind="small", anchor="middle"))
    for row, name in enumerate(rows):
        for target in (SUBJECT, *PROXIES):
            ratios = result.ratios(name, target, field)
            if ratios:
                drawn += _dot(target, ratios, left, _middle(row))
    return drawn


def _dot(target, ratios, left, y):
    at, colour = left + _across(statistics.median(ratios)), COLOURS[target]
    if target != SUBJECT:
        # Hollow where it is farther out than the panel shows.
        is_out = not 1 <= statistics.median(ratios) * 2 ** OCTAVES <= 4 ** OCTAVES
        fill = f'fill="none" stroke="{colour}"' if is_out else f'fill="{colour}" fill-opacity="0.85"'
        return [f'<circle cx="{at:.1f}" cy="{y}" r="4" {fill}/>']
    low, high = (left + _across(end) for end in (min(ratios), max(ratios)))
    return [f'<line x1="{low:.1f}" y1="{y}" x2="{high:.1f}" y2="{y}" style="stroke:{colour};stroke-width:3"/>',
            f'<circle cx="{at:.1f}" cy="{y}" r="6.5" fill="{colour}"/>']


def _legend(result):
    shown = [name for name in COLOURS if any(result.values(one, name, "rps") for one in result.samples)]
    drawn, x = [], 12
    for name in shown:
        title = result.targets[name]
        drawn.append(f'<circle cx="{x + 6}" cy="20" r="{6 if name == SUBJECT else 4}" fill="{COLOURS[name]}"/>')
        drawn.append(text(x + 18, 24, title))
        x += 34 + 7 * len(title)
    return drawn


def _across(ratio):
    """Where a ratio is in a panel: each doubling is as wide as the next."""
    within = max(2.0 ** -OCTAVES, min(2.0 ** OCTAVES, ratio))
    return (math.log2(within) + OCTAVES) / (2 * OCTAVES) * PANEL


def _middle(row):
    return TOP + ROW * row + ROW // 2


def text(x, y, words, kind="", anchor=""):
    """A piece of text at a place."""
    kind = f' class="{kind}"' if kind else ""
    anchor = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{kind}{anchor}>{escape(words)}</text>'
