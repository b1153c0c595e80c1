"""Records a second by the number of workers."""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks import ways
from benchmarks.parts import throughput
from benchmarks.results import Part, at_least, make_table, ratios
from benchmarks.session import Session

COUNTS = [1, 2, 4, 8, 16, 32]

RECORDS = {"logpool": 32_000, "multiprocessing_queue": 12_800, "concurrent_log_handler": 12_800, "recipe": 2_560}


measure = throughput.measure


def run(session: Session) -> Part:
    """Compares the numbers of workers.

    Args:
        session: The run.
    """
    names = [name for name in ways.available(list(RECORDS)) if not session.quick or name == "logpool"]
    settings: dict[str, dict[str, Any]] = {
        f"{name} {count}": {"way": name, "workers": count, "records": RECORDS[name] // session.choose(1, 2)}
        for count in COUNTS
        for name in names
    }
    settings["direct"] = {"way": "direct", "workers": 1, "records": RECORDS["logpool"]}
    samples = session.interleave("workers", settings, session.choose(3, 1))
    rates = {
        name: {f"{count}": [sample["rate"] for sample in samples[f"{name} {count}"]] for count in COUNTS}
        for name in names
    }
    titles = {f"{count}": f"{count} worker{'s' if count > 1 else ''}" for count in COUNTS}
    tables = [
        make_table(f"{ways.TITLES[name]}: records per second", "records/s", rates[name], titles, "2") for name in names
    ]
    medians = {name: [statistics.median(taken) for taken in rates[name].values()] for name in names}
    several = [taken for count, taken in rates["logpool"].items() if count != "1"]
    fastest = max(several, key=statistics.median)
    slowest = min(ratios(taken, fastest).median for taken in several)
    lost = sum(sample["lost"] for count in COUNTS for sample in samples[f"logpool {count}"])
    findings = [
        at_least("slowest number of workers from 2 on against the fastest", 0.8, slowest),
    ]
    notes = [f"Records lost by logpool: {lost}."]
    direct = statistics.median(sample["rate"] for sample in samples["direct"])
    return Part(
        "workers",
        "Rate by number of workers",
        tables,
        findings,
        notes,
        data={
            "counts": COUNTS,
            "rates": medians,
            "direct": direct,
        },
    )
