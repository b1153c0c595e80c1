"""Records a second by the number of workers."""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks import ways
from benchmarks.parts import throughput
from benchmarks.results import Part, at_least, make_table
from benchmarks.session import Session

COUNTS = [1, 2, 4, 8, 16, 32]

RECORDS = {"logpool": 32_000, "multiprocessing_queue": 12_800, "concurrent_log_handler": 12_800, "recipe": 2_560}


def measure(**settings: Any) -> dict[str, Any]:
    """As for the throughput.

    Args:
        **settings: As there.
    """
    return throughput.measure(**settings)


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
    samples = session.interleave("workers", settings, session.choose(5, 1))
    tables = []
    medians: dict[str, dict[int, float]] = {}
    for name in names:
        rates = {f"{count}": [sample["rate"] for sample in samples[f"{name} {count}"]] for count in COUNTS}
        medians[name] = {count: statistics.median(rates[f"{count}"]) for count in COUNTS}
        titles = {f"{count}": f"{count} worker{'s' if count > 1 else ''}" for count in COUNTS}
        tables.append(make_table(f"{ways.TITLES[name]}: records per second", "records/s", rates, titles, "2"))
    several = [rate for count, rate in medians["logpool"].items() if count > 1]
    lost = sum(sample["lost"] for count in COUNTS for sample in samples[f"logpool {count}"])
    findings = [
        at_least("slowest number of workers from 2 on against the fastest", 0.8, min(several) / max(several)),
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
            "rates": {name: list(rates.values()) for name, rates in medians.items()},
            "direct": direct,
        },
    )
