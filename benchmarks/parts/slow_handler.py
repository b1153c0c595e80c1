"""A handler that sleeps: workers log faster than it handles, by much more than the backlog holds."""

from __future__ import annotations

import logging
import multiprocessing
import threading
import time
from typing import Any

from benchmarks import jobs, processes, ways
from benchmarks.results import Finding, Part, at_least, at_most, make_table
from benchmarks.session import Session

WORKERS = 2

SIZE = 1_000
"""Bytes of a message."""

NAP_EVERY = 100
"""Records after which the handler sleeps."""


class SleepyHandler(logging.Handler):
    """Handles a certain number of records a second."""

    def __init__(self, nap: float, expected: int) -> None:
        super().__init__()
        self.nap = nap
        self.expected = expected
        self.count = 0
        self.complete = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        """Counts, and sleeps now and then."""
        self.count += 1
        if self.count % NAP_EVERY == 0:
            time.sleep(self.nap)
        if self.count == self.expected:
            self.complete.set()


def measure(records: int, backlog: int, nap: float) -> dict[str, Any]:
    """Measures once.

    Args:
        records: How many, all workers together.
        backlog: The pool's log_backlog, in bytes.
        nap: Seconds that the handler sleeps each time.
    """
    warm_up = 10
    handler = SleepyHandler(nap, records + warm_up * WORKERS)
    logging.getLogger().setLevel(logging.INFO)
    jobs.barrier = multiprocessing.Barrier(WORKERS)
    with ways.logpool(handler, WORKERS, log_backlog=backlog) as pool:
        for future in [pool.submit(jobs.sized, warm_up, SIZE) for _ in range(WORKERS)]:
            future.result()
        (manager,) = processes.roles(pool)["manager"]
        memory_before = processes.resident_memory(manager)
        parent_before = processes.resident_memory(processes.roles(pool)["parent"][0])
        start = time.perf_counter()
        futures = [pool.submit(jobs.sized, records // WORKERS, SIZE) for _ in range(WORKERS)]
        longest = [future.result() for future in futures]
        workers_done = time.perf_counter() - start
        handler.complete.wait(120)
        handled = time.perf_counter() - start
        return {
            "manager_growth": processes.peak_memory(manager) - memory_before,
            "parent_growth": processes.peak_memory(processes.roles(pool)["parent"][0]) - parent_before,
            "workers_done": workers_done,
            "handled": handled,
            "longest_call": max(longest),
            "lost": records + warm_up * WORKERS - handler.count,
        }


def run(session: Session) -> Part:
    """Tells whether memory stays bounded, workers wait, and nothing is lost.

    Args:
        session: The run.
    """
    records = session.choose(40_000, 25_000)
    backlog = 8 * 2**20
    settings = {"logpool": {"records": records, "backlog": backlog, "nap": session.choose(10, 6) / 1000}}
    samples = session.interleave("slow_handler", settings, session.choose(3, 1))["logpool"]
    growth = {
        "manager": [sample["manager_growth"] / backlog for sample in samples],
        "parent": [sample["parent_growth"] / backlog for sample in samples],
    }
    waits = {
        "workers_done": [sample["workers_done"] for sample in samples],
        "handled": [sample["handled"] for sample in samples],
        "longest_call": [sample["longest_call"] for sample in samples],
    }
    titles = {
        "workers_done": "until the workers had logged all",
        "handled": "until all was handled",
        "longest_call": "longest call in a worker",
    }
    size = records * SIZE
    tables = [
        make_table(
            f"Growth of memory at its peak, in parts of log_backlog, which is {backlog / 2**20:.0f} MiB, "
            f"while {WORKERS} workers log {size / 2**20:.0f} MiB",
            "log_backlog",
            growth,
            {},
        ),
        make_table("Time", "s", waits, titles, "handled"),
    ]
    findings: list[Finding] = [
        at_most("manager's memory growth against log_backlog", 1.0, max(growth["manager"])),
        # All but what fits into the backlog and the sockets is logged no faster than it is handled.
        at_least(
            "workers wait: their time against the handler's",
            0.5,
            min(done / handled for done, handled in zip(waits["workers_done"], waits["handled"])),
        ),
        at_most("records lost", 0, sum(sample["lost"] for sample in samples), "records"),
    ]
    return Part("slow_handler", "A handler that sleeps", tables, findings)
