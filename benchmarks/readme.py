"""Writes the figures of the last full run into the project's README: `python -m benchmarks.readme`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.machine import caption
from benchmarks.report import number

HERE = Path(__file__).resolve().parent
README = HERE.parent / "README.md"
BEGIN, END = "<!-- benchmark: written by `python -m benchmarks.readme` -->", "<!-- end of benchmark -->"


def section(results: dict[str, Any]) -> str:
    """Makes the README's section.

    Args:
        results: What a full run wrote into results.json.
    """
    table = results["parts"]["throughput"]["tables"][0]
    lines = [
        "Two workers at full speed, one `FileHandler` in the parent, side by side in one run:",
        "",
        "| way of logging | records per second | against one process that logs to the file itself | lost |",
        "|---|---:|---:|---:|",
    ]
    for row in table["rows"]:
        rate, lost, ratio = number(row["summary"]["median"]), number(row["extra"].get("lost", 0)), "1"
        if row["name"] != table["reference"]:
            median, least, most = (number(row["ratio"][name]) for name in ("median", "minimum", "maximum"))
            ratio = f"{median} ({least} to {most})"
        lines.append(f"| {row['title']} | {rate} | {ratio} | {lost} |")
    lines += [
        "",
        "![Records per second by way of logging](benchmarks/throughput.svg)",
        "",
        "![Records per second by number of workers](benchmarks/workers.svg)",
        "",
        "Medians of five rounds: of the rates, and of the ratios within each round, with the least and the most.",
        "So the columns need not agree. One process uses one CPU; the other ways use both.",
        f"{caption(results['machine'])}.",
        "How it was measured: [benchmarks](benchmarks/README.md). All figures: [JSON](benchmarks/results.json).",
    ]
    missed = [
        f"{part['title']}: {finding['figure']} ({number(finding['value'])}, to be {finding['target']})"
        for part in results["parts"].values()
        for finding in part["findings"]
        if not finding["reached"]
    ]
    if missed:
        lines += ["", f"Targets of this project's own that this run missed: {'; '.join(missed)}."]
    return "\n".join(lines)


def insert(text: str, new: str) -> str:
    """Puts the section in place of the one that is there.

    Args:
        text: The README.
        new: The section.

    Raises:
        ValueError: The README hasn't got the two marks once each.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError("the README lacks the marks of the benchmark's section")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{new}\n\n{END}{after}"


def main() -> None:
    """Rewrites the README."""
    results = json.loads((HERE / "results.json").read_text())
    README.write_text(insert(README.read_text(), section(results)))


if __name__ == "__main__":
    main()
