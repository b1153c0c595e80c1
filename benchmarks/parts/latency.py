"""A worker that logs at a steady, modest rate: how long a call takes, and when the parent's handler has the record."""

from __future__ import annotations

import logging
import statistics
import threading
import time
from typing import Any

from benchmarks import jobs, ways
from benchmarks.results import Part, at_most, make_table, ratios
from benchmarks.session import Session

RATE = 250.0
"""Records a second: nothing is saturated."""

COMPARED = ["recipe", "logpool", "multiprocessing_queue", "file_in_worker"]


class Arrivals(logging.Handler):
    """Notes for each record how long it took to get here."""

    def __init__(self, expected: int) -> None:
        super().__init__()
        self.expected = expected
        self.delays: list[float] = []
        self.complete = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        """Notes it."""
        now = time.monotonic_ns()
        # The monotonic clock is the same in all processes. Its reading is the text, which each way of logging passes.
        self.delays.append((now - int(record.getMessage())) / 1e9)
        if len(self.delays) >= self.expected:
            self.complete.set()


def measure(way: str, records: int) -> dict[str, Any]:
    """Measures one way once, with one worker.

    Args:
        way: The way of logging.
        records: How many.
    """
    warm_up = 50
    arrivals = Arrivals(warm_up + records)
    logging.getLogger().setLevel(logging.INFO)
    with ways.WAYS[way](arrivals, 1) as pool:
        pool.submit(jobs.paced, warm_up, RATE).result()
        durations = pool.submit(jobs.paced, records, RATE).result()
        if way != "file_in_worker":
            arrivals.complete.wait(10)
    delays = arrivals.delays[warm_up:]
    return {
        "call": statistics.median(durations),
        "delay": statistics.median(delays) if delays else None,
        "delay_99": statistics.quantiles(delays, n=100)[98] if delays else None,
    }


def run(session: Session) -> Part:
    """Compares with the recipe.

    Args:
        session: The run.
    """
    names = [name for name in ways.available(COMPARED) if not session.quick or name in ("recipe", "logpool")]
    records = session.choose(500, 200)
    settings = {name: {"way": name, "records": records} for name in names}
    samples = session.interleave("latency", settings, session.choose(4, 2))

    def column(field: str) -> dict[str, list[float]]:
        return {
            name: [sample[field] * 1e6 for sample in taken]
            for name, taken in samples.items()
            if taken[0][field] is not None
        }

    calls, delays, delays_99 = column("call"), column("delay"), column("delay_99")
    titles = {**ways.TITLES, "file_in_worker": "a list in the worker itself"}
    tables = [
        make_table(f"Wall time of a call at {RATE:g} records a second, median", "µs", calls, titles, "recipe"),
        make_table("From the call to the parent's handler, median", "µs", delays, titles, "recipe"),
        make_table("From the call to the parent's handler, 99th percentile", "µs", delays_99, titles, "recipe"),
    ]
    findings = [
        at_most("time of a call at a steady rate against the recipe", 0.6, _ratio(calls)),
        at_most("time to the parent's handler against the recipe, median", 0.8, _ratio(delays)),
        at_most("time to the parent's handler against the recipe, 99th percentile", 0.8, _ratio(delays_99)),
    ]
    return Part("latency", f"At {RATE:g} records a second", tables, findings)


def _ratio(values: dict[str, list[float]]) -> float:
    return ratios(values["logpool"], values["recipe"]).median
