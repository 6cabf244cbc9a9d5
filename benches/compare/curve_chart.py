"""The chart of the cost curves: microseconds a request by clients, by depth and by bytes.

Plain SVG, for a page in light and in dark; both axes are logarithmic.
"""

import math

from chart import STYLE, text
from result import FLOOR, REFERENCE, SUBJECT

WIDTH, HEIGHT, TOP, BOTTOM, LEFT, PANEL, GAP = 880, 330, 70, 270, 52, 236, 44
TITLES = {"clients": "clients, all waiting", "depth": "requests sent at once", "bytes": "bytes of the reply"}
# What is drawn: a name, whose, and which account.
LINES = (
    ("respgate and Redis", SUBJECT, "sum_us", "#d1495b", "6 3"),
    ("respgate alone", SUBJECT, "front_us", "#d1495b", ""),
    ("the floor", FLOOR, "front_us", "#3a9d5d", ""),
    ("Redis' own TLS", REFERENCE, "sum_us", "#2e86ab", ""),
)


def curves(result, axis):
    """By name, the points that were measured."""
    found = {name: result.curve_of(axis, target, field) for name, target, field, *_ in LINES}
    return {name: points for name, points in found.items() if points}


def svg(result):
    """The chart, a panel for each axis."""
    drawn = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}"'
             f' height="{HEIGHT}" role="img" aria-label="microseconds of processor time a request">', STYLE]
    x = 12
    for name, _, _, colour, dashes in LINES:
        drawn.append(f'<line x1="{x}" y1="20" x2="{x + 24}" y2="20" style="{_stroke(colour, dashes)}"/>')
        drawn.append(text(x + 30, 24, name))
        x += 56 + 7 * len(name)
    for number, axis in enumerate(axis for axis in TITLES if axis in result.curve):
        drawn += _panel(TITLES[axis], curves(result, axis), LEFT + number * (PANEL + GAP))
    machine = result.made["machine"]
    note = f"microseconds of processor time a request, medians; {machine['cores']} cores, {result.made['date']}"
    return "\n".join([*drawn, text(12, HEIGHT - 12, note, kind="small"), "</svg>"]) + "\n"


def _panel(title, found, left):
    ends = sorted({at for points in found.values() for at, _ in points})
    costs = [cost for points in found.values() for _, cost in points if cost > 0]
    if len(ends) < 2 or not costs:
        return []
    low, high = math.floor(math.log10(min(costs))), math.ceil(math.log10(max(costs)))
    high = max(high, low + 1)

    def across(at):
        return left + PANEL * math.log(at / ends[0]) / math.log(ends[-1] / ends[0])

    def up(cost):
        return BOTTOM - (BOTTOM - TOP) * (math.log10(max(cost, 10.0 ** low)) - low) / (high - low)

    drawn = [text(left, TOP - 22, title, kind="head")]
    for decade in range(low, high + 1):
        y = up(10.0 ** decade)
        drawn.append(f'<line x1="{left}" y1="{y:.1f}" x2="{left + PANEL}" y2="{y:.1f}"/>')
        drawn.append(text(left - 6, y + 4, f"{10.0 ** decade:g}", kind="small", anchor="end"))
    drawn += [text(across(at), BOTTOM + 18, _short(at), kind="small", anchor="middle") for at in ends]
    for name, _, _, colour, dashes in LINES:
        if name not in found:
            continue
        path = " ".join(f"{across(at):.1f},{up(cost):.1f}" for at, cost in sorted(found[name]))
        drawn.append(f'<polyline points="{path}" style="fill:none;{_stroke(colour, dashes)}"/>')
    return drawn


def _stroke(colour, dashes):
    return f"stroke:{colour};stroke-width:2" + (f";stroke-dasharray:{dashes}" if dashes else "")


def _short(number):
    for power, letter in ((20, "M"), (10, "K")):
        if number >= 1 << power and number % (1 << power) == 0:
            return f"{number >> power}{letter}"
    return f"{number:,}"
