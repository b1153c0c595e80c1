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
        rate, ratio = number(row["summary"]["median"]), number(row["ratio"]["median"])
        lines.append(f"| {row['title']} | {rate} | {ratio} | {number(row['extra'].get('lost', 0))} |")
    lines += [
        "",
        "![Records per second by way of logging](benchmarks/throughput.svg)",
        "",
        "![Records per second by number of workers](benchmarks/workers.svg)",
        "",
        f"Medians, of the rates and of the ratios in each round; {caption(results['machine'])}.",
        "How it was measured: [benchmarks](benchmarks/README.md). All figures: [JSON](benchmarks/results.json).",
    ]
    return "\n".join(lines)


def insert(text: str, new: str) -> str:
    """Puts the section in place of the one that is there.

    Args:
        text: The README.
        new: The section.
    """
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{new}\n\n{END}{after}"


def main() -> None:
    """Rewrites the README."""
    results = json.loads((HERE / "results.json").read_text())
    README.write_text(insert(README.read_text(), section(results)))


if __name__ == "__main__":
    main()
