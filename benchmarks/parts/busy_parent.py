"""A parent whose main thread computes all the while: records are handled beside it, under one interpreter lock.

A handler that writes a record gives the lock up for the time of the system call. With a CPU to spare the main thread is
awake before that is over, and has the lock for the next 5 ms; with none it is too late, and the handler goes on. So two
cases are measured: a worker that logs all the while, and one that logs a number of records and then leaves its CPU.
"""

from __future__ import annotations

import multiprocessing
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import files, jobs, ways
from benchmarks.results import Finding, Part, Summary, Table, at_least, at_most, make_table, ratios
from benchmarks.session import Samples, Session

COMPARED = [
    "logpool",
    "recipe",
    "multiprocessing_queue",
    "multiprocessing_logging",
    "concurrent_log_handler",
    "loguru",
]

IN_THE_PARENT = [name for name in COMPARED if name != "concurrent_log_handler"]
"""The ways whose records are handled by the parent, which is what the computing is in the way of."""

OF_A_BURST = ["logpool", "multiprocessing_queue", "loguru"]
"""What is measured with a burst as well."""

SECONDS = 0.8
"""For which a worker logs that logs all the while."""

DEADLINE = 2.5
"""Seconds after which the records of a burst that have been handled are counted, all or not."""

WARM_UP = 100


def measure(way: str, busy: bool, records: int | None = None) -> dict[str, float]:
    """Measures one way once, with one worker.

    Args:
        way: The way of logging.
        busy: Whether the parent computes meanwhile; it waits otherwise.
        records: How many are logged, at once; None: the worker logs all the while.
    """
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "log")
        handler = files.make_handler(path)
        counter = files.LineCounter(path)
        jobs.barrier = multiprocessing.Barrier(1)
        with ways.WAYS[way](handler, 1) as pool:
            pool.submit(jobs.burst, way, WARM_UP).result()
            warmed_up = counter.wait_for(WARM_UP)
            start = time.time()
            if records is None:
                future = pool.submit(jobs.timed_logging, way, SECONDS)
            else:
                future = pool.submit(jobs.timed_burst, way, records)
            if busy:
                end = time.monotonic() + (SECONDS if records is None else DEADLINE)
                turns = _compute(counter, end, None if records is None else warmed_up + records)
            else:
                turns = 0
                time.sleep(SECONDS)
            arrived = counter.update()
            finished = records is not None and arrived >= warmed_up + records
            elapsed = (counter.last_write() if finished else time.time()) - start
            durations = future.result()
            # What is still on its way comes now that the main thread waits: nobody is hurried.
            logged = warmed_up + len(durations)
            lost = logged - counter.wait_for(logged)
    return {
        "rate": (arrived - warmed_up) / elapsed,
        "call": statistics.median(durations),
        "mean_call": statistics.mean(durations),
        "computed": turns / elapsed,
        "lost": lost,
    }


def _compute(counter: files.LineCounter, end: float, expected: int | None) -> int:
    """Computes until a time, or until all records are in the file.

    Args:
        counter: Of the file's lines.
        end: By `time.monotonic`.
        expected: How many lines there will be; None: nobody knows.

    Returns:
        How many turns of the loop it had.
    """
    turns = 0
    while time.monotonic() < end:
        value = 0
        for index in range(200_000):  # 10 ms or so.
            value += index * index
        turns += 1
        if expected is not None and counter.update() >= expected:
            break
    return turns


def run(session: Session) -> Part:
    """Compares all ways with each other, and each with itself beside a parent that waits.

    Args:
        session: The run.
    """
    names = ways.available(COMPARED)
    if session.quick:
        names = [name for name in names if name in ("logpool", "multiprocessing_queue")]
    settings: dict[str, dict[str, Any]] = {
        f"{name} {'busy' if busy else 'idle'}": {"way": name, "busy": busy} for name in names for busy in (True, False)
    }
    samples = session.interleave("busy_parent", settings, session.choose(3, 1))
    records = session.choose(16_000, 5_000)
    settings = {name: {"way": name, "busy": True, "records": records} for name in names if name in OF_A_BURST}
    bursts = session.interleave("busy_parent", settings, session.choose(3, 1))
    rates = {name: [sample["rate"] for sample in samples[f"{name} busy"]] for name in names}
    computed: dict[str, dict[str, float | str]] = {
        name: {
            "parent's own turns/s": statistics.median(sample["computed"] for sample in samples[f"{name} busy"]),
            "lost": sum(sample["lost"] for sample in samples[f"{name} busy"]),
        }
        for name in names
    }
    of_bursts = {name: [sample["rate"] for sample in taken] for name, taken in bursts.items()}
    tables = [
        make_table(
            "Records per second while the parent's main thread computes, and one worker logs all the while",
            "records/s",
            rates,
            ways.TITLES,
            "logpool",
            computed,
        ),
        make_table(
            f"The same where the worker logs {records:,} records at once, and then nothing",
            "records/s",
            of_bursts,
            ways.TITLES,
            "logpool",
            {name: {"lost": sum(sample["lost"] for sample in taken)} for name, taken in bursts.items()},
        ),
        _slowdown("Mean wall time of a worker's call meanwhile; extra: against a parent that waits", samples, names),
    ]
    slowdown = _against_idle(samples, "logpool", "mean_call")
    findings = [
        _against_the_best("a worker that logs all the while", rates),
        _against_the_best("a burst", of_bursts),
        at_most("a worker's call, mean, against a parent that waits", 1.1, slowdown.median),
    ]
    return Part("busy_parent", "A parent that computes", tables, findings)


def _against_the_best(case: str, rates: dict[str, list[float]]) -> Finding:
    others = {name: statistics.median(rates[name]) for name in rates if name in IN_THE_PARENT and name != "logpool"}
    best = max(others, key=lambda name: others[name])
    return at_least(
        f"{case}: records/s against the best other that has the parent handle them ({ways.TITLES[best]})",
        1.0,
        ratios(rates["logpool"], rates[best]).median,
    )


def _against_idle(samples: Samples, name: str, field: str) -> Summary:
    return ratios(
        [sample[field] for sample in samples[f"{name} busy"]], [sample[field] for sample in samples[f"{name} idle"]]
    )


def _slowdown(title: str, samples: Samples, names: list[str]) -> Table:
    calls = {name: [sample["mean_call"] * 1e6 for sample in samples[f"{name} busy"]] for name in names}
    extra: dict[str, dict[str, float | str]] = {
        name: {
            "mean, busy/waiting": _against_idle(samples, name, "mean_call").median,
            "median, busy/waiting": _against_idle(samples, name, "call").median,
        }
        for name in names
    }
    return make_table(title, "µs", calls, ways.TITLES, None, extra)
