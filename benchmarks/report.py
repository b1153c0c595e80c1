"""Prints what was measured, and writes it as JSON."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from benchmarks.results import Finding, Part, Row, Summary, Table


def number(value: float) -> str:
    """Writes a number with three digits that mean something, or all digits of a large one.

    Args:
        value: Of any size.
    """
    if value == 0 or (float(value).is_integer() and abs(value) < 1000):
        return f"{value:.0f}"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    if abs(value) >= 1:
        return f"{value:.2f}"
    return f"{value:.3g}" if abs(value) >= 0.0001 else f"{value:.1e}"


def table_lines(table: Table) -> list[str]:
    """Writes a table in Markdown that can be read as it is, too.

    Args:
        table: The table.
    """
    extra = list(dict.fromkeys(name for row in table.rows for name in row.extra))
    head = ["", f"min {table.unit}", "median", "max"]
    if table.reference is not None:
        title = next(row.title for row in table.rows if row.name == table.reference)
        head += [f"ratio to {title}", "its min … max"]
    body = [_cells(row, extra, compared=table.reference is not None) for row in table.rows]
    return _aligned([[*head, *extra], *body])


def finding_lines(findings: list[Finding]) -> list[str]:
    """Writes which targets were reached.

    Args:
        findings: Of one part.
    """
    rows = [
        ["reached" if item.reached else "MISSED", item.figure, item.target, f"{number(item.value)} {item.unit}"]
        for item in findings
    ]
    return _aligned([["", "figure", "target", "measured"], *rows])


def print_part(part: Part) -> None:
    """Prints a part.

    Args:
        part: What was measured.
    """
    print(f"\n## {part.title}")
    for table in part.tables:
        print(f"\n{table.title}\n")
        print("\n".join(table_lines(table)))
    if part.findings:
        print("\n" + "\n".join(finding_lines(part.findings)))
    for note in part.notes:
        print(f"\n{note}")
    print(flush=True)


def write_json(path: Path, description: dict[str, Any], parts: list[Part]) -> None:
    """Writes all that was measured.

    Args:
        path: The file.
        description: Of the machine and the run.
        parts: What was measured.
    """
    content = {**description, "parts": {part.name: dataclasses.asdict(part) for part in parts}}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _cells(row: Row, extra: list[str], *, compared: bool) -> list[str]:
    cells = [row.title, *(number(value) for value in _values(row.summary))]
    if compared:
        ratio = row.ratio
        cells += (
            ["", ""] if ratio is None else [number(ratio.median), f"{number(ratio.minimum)} … {number(ratio.maximum)}"]
        )
    values = [row.extra.get(name, "") for name in extra]
    return cells + [value if isinstance(value, str) else number(value) for value in values]


def _values(summary: Summary) -> tuple[float, float, float]:
    return summary.minimum, summary.median, summary.maximum


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))]
        lines.append("| " + " | ".join(cells) + " |")
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines.insert(1, "| " + " | ".join(rule) + " |")
    return lines
