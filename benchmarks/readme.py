"""Writes the figures of the last full run into README and docs: `python -m benchmarks.readme`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.machine import caption
from benchmarks.report import number

HERE = Path(__file__).resolve().parent
README = HERE.parent / "README.md"
PAGE = HERE.parent / "docs" / "benchmarks.md"
CPU = "CPU µs a record"
BEGIN, END = "<!-- benchmark: written by `python -m benchmarks.readme` -->", "<!-- end of benchmark -->"
PICTURE = "![Records per second]({})"


def section(results: dict[str, Any]) -> str:
    """Makes README's section: the ways of logging side by side, and what each of them loses.

    Args:
        results: What a full run wrote into results.json.
    """
    table, survival = results["parts"]["throughput"]["tables"][0], results["parts"].get("survival")
    # Runs of earlier versions of the benchmark don't have it all.
    has_cpu = all(CPU in row["extra"] for row in table["rows"])
    killed = {row["name"]: row for row in survival["tables"][0]["rows"]} if survival else {}
    heads = ["way of logging", "records per second, against one process", *["CPU time a record"] * has_cpu]
    heads += ["lost of 1,000 at SIGKILL", "kills that hang another worker"] if survival else []
    lines = [f"| {' | '.join(heads)} |", f"|---{'|---:' * (len(heads) - 1)}|"]
    rows = {row["name"]: row for row in table["rows"]}
    for name in {**rows, **killed}:
        cells = ["-"] * len(heads)
        if row := rows.get(name):
            ratio = 1 if name == table["reference"] else row["ratio"]["median"]
            cells[:2] = [row["title"], f"{number(row['summary']['median'])} ({number(ratio)})"]
            if has_cpu:
                cells[2] = f"{number(row['extra'][CPU])} µs"
        if row := killed.get(name):
            cells[0] = row["title"]
            cells[-2] = number(1000 - row["summary"]["median"] * 10)
            cells[-1] = row["extra"]["other worker never ends"]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "Two workers at full speed, one `FileHandler`; a worker killed when its last call has returned, or at random.",
        f"Medians, side by side in one run: {caption(results['machine'])}. [All tables](docs/benchmarks.md), and "
        "[how they were measured](benchmarks/README.md).",
    ]
    return "\n".join(lines)


def page(results: dict[str, Any]) -> str:
    """Makes the section of the docs' page: also other kinds of records, jobs, and what fell short.

    Args:
        results: What a full run wrote into results.json.
    """
    parts = results["parts"]
    lines = throughput_lines(parts["throughput"])
    for name, make in (("survival", survival_lines), ("kinds", kinds_lines), ("jobs", jobs_lines)):
        if name in parts:
            lines += ["", *make(parts[name])]
    for picture in ("throughput", "workers"):
        lines += ["", PICTURE.format(f"../benchmarks/{picture}.svg")]
    lines += [
        "",
        "Medians of five rounds: of the rates, and of the ratios within each round, with the least and the most.",
        "So the columns need not agree. One process uses one CPU; the other ways use both.",
        f"{caption(results['machine'])}.",
    ]
    missed = [
        f"{part['title']}: {finding['figure']} ({number(finding['value'])}, to be {finding['target']})"
        for part in parts.values()
        for finding in part["findings"]
        if not finding["reached"]
    ]
    if missed:
        lines += ["", f"Targets of this project's own that this run missed: {'; '.join(missed)}."]
    return "\n".join(lines)


def throughput_lines(part: dict[str, Any]) -> list[str]:
    """Makes the table of the ways of logging."""
    table = part["tables"][0]
    # Runs of earlier versions of the benchmark don't say it.
    has_cpu = all(CPU in row["extra"] for row in table["rows"])
    lines = [
        "Two workers at full speed, one `FileHandler` in the parent, side by side in one run:",
        "",
        "| way of logging | records per second | against one process that logs to the file itself | lost |",
        "|---|---:|---:|---:|",
    ]
    if has_cpu:
        lines[2:] = [f"{lines[2]} CPU time a record, all processes |", f"{lines[3]}---:|"]
    for row in table["rows"]:
        lost = number(row["extra"].get("lost", 0))
        line = f"| {row['title']} | {number(row['summary']['median'])} | {_ratio(row, table)} | {lost} |"
        lines.append(f"{line} {number(row['extra'][CPU])} µs |" if has_cpu else line)
    return lines


def survival_lines(part: dict[str, Any]) -> list[str]:
    """Makes the table of what survives SIGKILL."""
    lines = [
        "A worker is killed by SIGKILL: what its parent has of the records whose calls had returned, and what becomes",
        "of another worker that goes on logging.",
        "",
        "| way of logging | 1,000 records, then killed: there are | killed at random: lost | the other's: lost "
        "| the other never ends |",
        "|---|---:|---:|---:|---:|",
    ]
    for row in part["tables"][0]["rows"]:
        extra = row["extra"]
        there = f"{number(row['summary']['median'] * 10)}"
        lost = f"{number(extra['killed at random: lost'])} of {number(extra['of'])}"
        other = number(extra["other worker: lost"])
        lines.append(f"| {row['title']} | {there} | {lost} | {other} | {extra['other worker never ends']} |")
    return lines


def kinds_lines(part: dict[str, Any]) -> list[str]:
    """Makes the table of the kinds of records."""
    lines = [
        "| kind of record | records per second | against one process | CPU time a record | one process |",
        "|---|---:|---:|---:|---:|",
    ]
    for table in part["tables"]:
        direct, ours = table["rows"]
        kind = table["title"].partition(", ")[2]
        cells = [number(ours["summary"]["median"]), _ratio(ours, table)]
        cells += [f"{number(row['extra'][CPU])} µs" for row in (ours, direct)]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    return lines


def jobs_lines(part: dict[str, Any]) -> list[str]:
    """Makes the table of jobs beside the stock pool."""
    lines = ["| jobs | logpool | against the stock pool |", "|---|---:|---:|"]
    for table in part["tables"]:
        ours = next(row for row in table["rows"] if row["name"] == "logpool")
        what = table["title"].partition(": ")[2]
        lines.append(f"| {what} | {number(ours['summary']['median'])} {table['unit']} | {_ratio(ours, table)} |")
    return lines


def _ratio(row: dict[str, Any], table: dict[str, Any]) -> str:
    if row["name"] == table["reference"]:
        return "1"
    median, least, most = (number(row["ratio"][name]) for name in ("median", "minimum", "maximum"))
    return f"{median} ({least} to {most})"


def insert(text: str, new: str) -> str:
    """Puts a section in place of the one that is there.

    Args:
        text: README, or the page.
        new: The section.

    Raises:
        ValueError: The text hasn't got the two marks once each.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError("the marks of the benchmark's section are missing")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{new}\n\n{END}{after}"


def main() -> None:
    """Rewrites README and the page."""
    results = json.loads((HERE / "results.json").read_text())
    for path, make in ((README, section), (PAGE, page)):
        path.write_text(insert(path.read_text(), make(results)))


if __name__ == "__main__":
    main()
