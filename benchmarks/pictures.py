"""The two pictures: records a second by way of logging, and by number of workers."""

from __future__ import annotations

import math
import textwrap
from pathlib import Path
from typing import Any

from benchmarks import machine, ways
from benchmarks.results import Part
from benchmarks.svg import INK, QUIET, RULE, Canvas

WIDTH = 760
MARGIN = 24
LINE = 15
"""Pixels between lines of small text."""

OURS = "#14919b"
REFERENCE = "#7b8794"
OTHERS = ["#9fb3c8", "#d08770", "#8d7ab8"]


def draw(directory: Path, described: dict[str, Any], parts: list[Part]) -> list[Path]:
    """Draws what the parts that were measured allow.

    Args:
        directory: Where the pictures go.
        described: The machine.
        parts: What was measured.

    Returns:
        The files.
    """
    painters = {"throughput": by_way, "workers": by_workers}
    drawn = []
    for part in parts:
        if part.name in painters:
            path = directory / f"{part.name}.svg"
            path.write_text(painters[part.name](part, described))
            drawn.append(path)
    return drawn


def by_way(part: Part, described: dict[str, Any]) -> str:
    """Draws a bar for each way of logging.

    Args:
        part: The throughput.
        described: The machine.
    """
    rows = sorted(part.tables[0].rows, key=lambda row: -row.summary.median)
    pitch, height, left, right = 34, 20, 222, 124
    caption = _caption(
        "Bars: median of the rounds, in brackets against one process. Lines: slowest to fastest round.",
        described,
    )
    top = 72
    bottom = top + pitch * len(rows)
    canvas = Canvas(WIDTH, bottom + 20 + LINE * len(caption), part.title)
    canvas.text(MARGIN, 34, "Records per second into one file", size=17, bold=True)
    canvas.text(MARGIN, 54, "two workers that do nothing but log, against one process that does the same", color=QUIET)
    scale = (WIDTH - left - right) / max(row.summary.maximum for row in rows)
    for number, row in enumerate(rows):
        y = top + pitch * number
        middle = y + height / 2
        ours = row.name == "logpool"
        color = {"logpool": OURS, "direct": REFERENCE}.get(row.name, OTHERS[0])
        canvas.text(left - 10, middle + 4.5, row.title, anchor="end", bold=ours)
        canvas.bar(left, y, row.summary.median * scale, height, color)
        ends = [(left + value * scale, middle) for value in (row.summary.minimum, row.summary.maximum)]
        canvas.line(ends, INK)
        ratio = "" if row.ratio is None else f"  ({row.ratio.median:.2f})"
        at = max(left + row.summary.maximum * scale, left + row.summary.median * scale) + 8
        canvas.text(at, middle + 4.5, f"{row.summary.median:,.0f}{ratio}", bold=ours)
    _write_caption(canvas, bottom + 10, caption)
    return canvas.finish()


def by_workers(part: Part, described: dict[str, Any]) -> str:
    """Draws a line for each way of logging, over the number of workers.

    Args:
        part: The rates by number of workers.
        described: The machine.
    """
    counts: list[int] = part.data["counts"]
    rates: dict[str, list[float]] = part.data["rates"]
    direct: float = part.data["direct"]
    caption = _caption("Medians of the rounds. Higher is better.", described)
    left, right, top, bottom = 74, 204, 78, 330
    canvas = Canvas(WIDTH, bottom + 58 + LINE * len(caption), part.title)
    canvas.text(MARGIN, 34, "Records per second by number of workers", size=17, bold=True)
    canvas.text(MARGIN, 54, "all workers log at full speed into one file", color=QUIET)
    step = _step(max(direct, *(max(line) for line in rates.values())))
    highest = step * math.ceil(max(direct, *(max(line) for line in rates.values())) / step)

    def across(index: int) -> float:
        return left + (WIDTH - left - right) * index / (len(counts) - 1)

    def up(rate: float) -> float:
        return bottom - (bottom - top) * rate / highest

    for number in range(round(highest / step) + 1):
        y = up(number * step)
        canvas.line([(left, y), (WIDTH - right, y)], RULE)
        canvas.text(left - 10, y + 4, f"{number * step:,.0f}", size=11, color=QUIET, anchor="end")
    for index, count in enumerate(counts):
        canvas.text(across(index), bottom + 20, f"{count}", size=11, color=QUIET, anchor="middle")
    canvas.text((left + WIDTH - right) / 2, bottom + 38, "workers", size=11, color=QUIET, anchor="middle")

    canvas.line([(left, up(direct)), (WIDTH - right, up(direct))], REFERENCE, width=1.5, dashed=True)
    labels = [(up(direct), ways.TITLES["direct"], REFERENCE)]
    colors = iter(OTHERS)
    for name, line in rates.items():
        color = OURS if name == "logpool" else next(colors)
        points = [(across(index), up(rate)) for index, rate in enumerate(line)]
        canvas.line(points, color, width=2.5 if name == "logpool" else 2)
        for x, y in points:
            canvas.dot(x, y, color)
        labels.append((points[-1][1], ways.TITLES[name], color))
    lowest = top - 20.0
    for y, title, color in sorted(labels):
        lowest = max(y, lowest + 17)  # Lines that end close together have their names one below the other.
        canvas.text(WIDTH - right + 12, lowest + 4, title, size=12, color=color, bold=title == ways.TITLES["logpool"])
    _write_caption(canvas, bottom + 48, caption)
    return canvas.finish()


def _step(highest: float) -> float:
    """Returns the distance of the rules: 1, 2 or 5 times a power of ten, so that there are four to ten of them."""
    power = 10.0 ** math.floor(math.log10(highest))
    return next(power * factor for factor in (0.1, 0.2, 0.5, 1, 2) if highest / (power * factor) <= 8)


def _caption(first: str, described: dict[str, Any]) -> list[str]:
    return [first, *textwrap.wrap(machine.caption(described), 118, break_on_hyphens=False)]


def _write_caption(canvas: Canvas, top: float, lines: list[str]) -> None:
    for number, line in enumerate(lines, 1):
        canvas.text(MARGIN, top + LINE * number - 4, line, size=11, color=QUIET)
