"""Records per second by kind of record: fields of their own, arguments that are objects, exceptions.

Plain records are in throughput.py.
"""

from __future__ import annotations

from typing import Any

from benchmarks import ways
from benchmarks.parts import throughput
from benchmarks.results import Part, at_least, make_table, ratios
from benchmarks.session import Session

WORKERS = 2

RECORDS = {"fields": 24_000, "path": 24_000, "new path": 24_000, "nested": 16_000, "exception": 4_000}

TITLES = {
    "fields": "two plain fields in `extra`",
    "path": "a `Path` among the arguments, one of 500",
    "new path": "a `Path` among the arguments, a new one each time",
    "nested": "a dict with a dict and a `Path` in `extra`, one of 500",
    "exception": "an exception with its traceback",
}

TARGETS = {"fields": 0.95, "path": 0.85, "new path": 0.85, "nested": 0.8, "exception": 0.95}


measure = throughput.measure


def run(session: Session) -> Part:
    """Compares each kind with one process that logs the same straight to the file.

    Args:
        session: The run.
    """
    settings: dict[str, dict[str, Any]] = {
        f"{way} {kind}": {"way": way, "workers": workers, "records": records // session.choose(1, 4), "kind": kind}
        for kind, records in RECORDS.items()
        for way, workers in (("direct", 1), ("logpool", WORKERS))
    }
    samples = session.interleave("kinds", settings, session.choose(5, 1))
    tables, findings = [], []
    for kind, target in TARGETS.items():
        of_kind = {way: samples[f"{way} {kind}"] for way in ("direct", "logpool")}
        rates = {way: [sample["rate"] for sample in taken] for way, taken in of_kind.items()}
        title = f"Records per second, {TITLES[kind]}"
        tables.append(make_table(title, "records/s", rates, ways.TITLES, "direct", throughput.effort_of(of_kind)))
        findings.append(
            at_least(
                f"{TITLES[kind]}: records/s against {ways.TITLES['direct']}",
                target,
                ratios(rates["logpool"], rates["direct"]).median,
            )
        )
    return Part("kinds", "Records per second by kind of record", tables, findings)
