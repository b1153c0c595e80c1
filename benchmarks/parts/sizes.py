"""Bytes a second by the size of the records."""

from __future__ import annotations

import itertools
import logging
import multiprocessing
import threading
import time
from typing import Any

from benchmarks import jobs, ways
from benchmarks.results import Part, at_least, make_table, ratios
from benchmarks.session import Session

SIZES = {100: "100 bytes", 1_000: "1 kB", 10_000: "10 kB", 100_000: "100 kB", 1_000_000: "1 MB"}

WORKERS = 2

COMPARED = ["logpool", "multiprocessing_queue"]

MOST_RECORDS = 20_000


class Counter(logging.Handler):
    """Counts records, and throws them away: a file would be slower than what is measured here."""

    def __init__(self) -> None:
        super().__init__()
        self.expected = 0
        self.count = 0
        self.complete = threading.Event()

    def expect(self, count: int) -> None:
        """Begins to count."""
        self.expected, self.count = count, 0
        self.complete.clear()

    def emit(self, record: logging.LogRecord) -> None:
        """Counts."""
        self.count += 1
        if self.count == self.expected:
            self.complete.set()


def measure(way: str, size: int, records: int) -> dict[str, float]:
    """Measures one way once.

    Args:
        way: The way of logging.
        size: Bytes of a message.
        records: How many, all workers together.
    """
    counter = Counter()
    logging.getLogger().setLevel(logging.INFO)
    jobs.barrier = multiprocessing.Barrier(WORKERS)
    with ways.WAYS[way](counter, WORKERS) as pool:
        elapsed = 0.0
        for each in (2, records // WORKERS):  # First to warm up.
            counter.expect(each * WORKERS)
            start = time.perf_counter()
            for future in [pool.submit(jobs.sized, each, size) for _ in range(WORKERS)]:
                future.result()
            counter.complete.wait(60)
            elapsed = time.perf_counter() - start
        return {"rate": counter.count * size / elapsed, "lost": records - counter.count}


def run(session: Session) -> Part:
    """Compares the sizes.

    Args:
        session: The run.
    """
    names = [name for name in COMPARED if not session.quick or name == "logpool"]
    total = session.choose(240_000_000, 20_000_000)
    most = MOST_RECORDS // session.choose(1, 4)
    settings: dict[str, dict[str, Any]] = {
        f"{name} {size}": {"way": name, "size": size, "records": min(most, total // size)}
        for size in SIZES
        for name in names
    }
    samples = session.interleave("sizes", settings, session.choose(5, 1))
    rates = {
        name: {f"{size}": [sample["rate"] / 1e6 for sample in samples[f"{name} {size}"]] for size in SIZES}
        for name in names
    }
    titles = {f"{size}": text for size, text in SIZES.items()}
    tables = [
        make_table(f"{ways.TITLES[name]}: message bytes per second", "MB/s", rates[name], titles, "100")
        for name in names
    ]
    smallest = min(ratios(later, earlier).median for earlier, later in itertools.pairwise(rates["logpool"].values()))
    return Part(
        "sizes",
        "Rate by size of record",
        tables,
        [at_least("rate of a size against that of the next smaller one, at its worst", 0.9, smallest)],
        [f"Records lost by logpool: {sum(sample['lost'] for size in SIZES for sample in samples[f'logpool {size}'])}."],
    )
