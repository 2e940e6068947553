"""Plots as SVG: bars of slowdown for one workload, and the ratios of all workloads."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from .figures import KILLED, LATE, LOSS, OK, Ratio, Summary

COLOURS = {
    "unlimited": "#555555",
    "uzswap": "#0b6fa4",
    "zswap": "#e08a2c",
    "zram": "#7a9e3d",
    "swap": "#a9a9a9",
}
INK = "#222222"
FAINT = "#dddddd"
FASTER = "#1a7f37"
SLOWER = "#b42318"
SLOWNESSES = (1, 1.5, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)
RATIOS = (0.1, 0.2, 0.5, 0.7, 1, 1.4, 2, 5, 10)


@dataclass(frozen=True)
class Scale:
    """Values on a logarithmic axis, to a range of coordinates."""

    least: float
    most: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        inside = min(max(value, self.least), self.most)
        part = math.log(inside / self.least) / math.log(self.most / self.least)
        return self.start + part * (self.end - self.start)


def text(x: float, y: float, words: str, anchor: str = "middle", more: str = "") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {place} fill="{INK}" {more}>{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}"/>'


def figure(width: float, height: float, label: str, parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}"'
        f' width="{width:.0f}" height="{height:.0f}" role="img" aria-label="{escape(label)}"'
        ' font-family="sans-serif" font-size="12">'
    )
    return "\n".join([head, f"<title>{escape(label)}</title>", *parts, "</svg>"])


def legend(names: Sequence[str], x: float, y: float) -> list[str]:
    parts = []
    for name in names:
        parts.append(f'<rect x="{x:.0f}" y="{y - 10:.0f}" width="11" height="11"'
                     f' fill="{COLOURS.get(name, INK)}"/>')
        parts.append(text(x + 16, y, name, "start"))
        x += 30 + 8 * len(name)
    return parts


# --- one workload ------------------------------------------------------------------------------

LEFT, TOP, BOTTOM = 52, 34, 26
BAR, GAP = 30, 34
PLOT_HEIGHT = 190


def bars(title: str, summaries: Sequence[Summary], base: float, base_name: str) -> str:
    """A group of bars for each percentage; the height is the time divided by `base`."""
    percents = sorted({one.percent for one in summaries}, reverse=True)
    names = [name for name in COLOURS if any(one.contestant == name for one in summaries)]
    by_place = {(one.percent, one.contestant): one for one in summaries}
    highest = max((value / base for one in summaries for value in one.seconds), default=1.0)
    most = next((tick for tick in SLOWNESSES if tick >= highest * 1.02 and tick > 1), highest)
    group = BAR * len(names)
    width = max(LEFT + (group + GAP) * len(percents) + 10, 420)
    floor = TOP + PLOT_HEIGHT
    scale = Scale(1, most, floor, TOP)
    parts = legend(names, LEFT, 18)
    parts += grid(scale, most, width)
    for at, percent in enumerate(percents):
        left = LEFT + GAP / 2 + at * (group + GAP)
        parts.append(text(left + group / 2, floor + 18, f"{percent} %"))
        for number, name in enumerate(names):
            one = by_place.get((percent, name))
            if one is not None:
                parts += bar(one, left + number * BAR, scale, base, floor)
    label = f"{title}: time divided by that of {base_name}"
    return figure(width, floor + BOTTOM, label, parts)


def grid(scale: Scale, most: float, width: float) -> list[str]:
    parts = []
    last = math.inf
    for tick in (one for one in SLOWNESSES if one <= most):
        y = scale(tick)
        parts.append(line(LEFT, y, width - 8, y, FAINT))
        if last - y >= 13:
            parts.append(text(LEFT - 6, y + 4, f"{tick:g}×", "end"))
            last = y
    return parts


def bar(one: Summary, x: float, scale: Scale, base: float, floor: float) -> list[str]:
    middle = x + BAR / 2
    turned = f'transform="rotate(-90 {middle + 4:.1f} {floor - 6:.1f})" font-size="11"'
    words = short_end(one.end)
    if one.median is None:
        return [text(middle + 4, floor - 6, words, "start", turned)]
    value = one.median / base
    # A bar that is not higher than the axis would not be seen.
    top = min(scale(value), floor - 2)
    low, high = scale(min(one.seconds) / base), scale(max(one.seconds) / base)
    shape = f'x="{x + 2:.1f}" y="{top:.1f}" width="{BAR - 4}" height="{floor - top:.1f}"'
    parts = [] if one.end == OK else [text(middle + 4, floor - 6, words, "start", turned)]
    return [
        f'<rect {shape} fill="{COLOURS.get(one.contestant, INK)}"/>',
        *parts,
        line(middle, low, middle, high, INK),
        text(middle, min(top, high) - 4, short(value), more='font-size="10"'),
    ]


def short_end(end: str) -> str:
    """What fits into a bar: `killed 1/3`."""
    partly = re.fullmatch(r"(.*) in (\d+) of (\d+) rounds", end)
    kind, part = (partly[1], f" {partly[2]}/{partly[3]}") if partly else (end, "")
    return (kind if kind in (KILLED, LATE) else "failed") + part


def short(value: float) -> str:
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}" if value < 99.95 else f"{value:.0f}"


# --- all workloads -----------------------------------------------------------------------------

LANE = 15  # of one percentage, so that dots do not lie on each other
NAME_WIDTH = 110
RATIO_WIDTH = 560


def ratio_plot(ratios: Sequence[Ratio]) -> str:
    """A row for each workload, a dot for each percentage. Left of 1 uzswap is faster."""
    workloads = list(dict.fromkeys(one.workload for one in ratios))
    values = [one.value for one in ratios if one.value is not None]
    least = next(tick for tick in reversed(RATIOS) if tick <= min([0.5, *values]) or tick == 0.1)
    most = next(tick for tick in RATIOS if tick >= max([2.0, *values]) or tick == 10)
    right = NAME_WIDTH + RATIO_WIDTH
    scale = Scale(least, most, NAME_WIDTH + 20, right - 20)
    percents = sorted({one.percent for one in ratios}, reverse=True)
    height = LANE * len(percents) + 10
    bottom = 40 + height * len(workloads)
    parts = [text(scale(1) - 8, 14, "← uzswap is faster", "end", 'font-weight="bold"'),
             text(scale(1) + 8, 14, "slower →", "start", 'font-weight="bold"')]
    for tick in (one for one in RATIOS if least <= one <= most):
        parts.append(line(scale(tick), 36, scale(tick), bottom, INK if tick == 1 else FAINT))
        parts.append(text(scale(tick), 30, f"{tick:g}"))
    for row, workload in enumerate(workloads):
        top = 40 + height * row
        parts.append(line(0, top, right, top, FAINT))
        parts.append(text(NAME_WIDTH, top + height / 2 + 4, workload, "end"))
        for one in (found for found in ratios if found.workload == workload):
            y = top + 5 + LANE * (percents.index(one.percent) + 0.5)
            if one.value is not None:
                parts += dot(scale(one.value), y, one)
    label = "Time of uzswap divided by the better of zswap and zram"
    return figure(right, bottom + 8, label, parts)


def dot(x: float, y: float, one: Ratio) -> list[str]:
    assert one.value is not None
    colour = SLOWER if one.value > LOSS else FASTER
    return [
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="9" fill="{colour}" fill-opacity="0.9">'
        f"<title>{escape(f'{one.workload} at {one.percent} %: {one.value:.2f}')}</title></circle>",
        f'<text x="{x:.1f}" y="{y + 3.5:.1f}" text-anchor="middle" font-size="10"'
        f' fill="#ffffff">{one.percent}</text>',
    ]


def colour_of_ratio(value: float) -> str:
    """The background of a cell: stronger the farther from 1."""
    strength = min(abs(math.log(value)) / math.log(2), 1) * 0.55
    red, green, blue = (180, 35, 24) if value > 1 else (26, 127, 55)
    return "#" + "".join(
        f"{round(255 - (255 - part) * strength):02x}" for part in (red, green, blue)
    )
