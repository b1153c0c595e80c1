"""A parent whose main thread computes all the while: records are handled beside it, under one interpreter lock.

A handler that writes a record gives the lock up for the time of the system call. With a CPU to spare the main thread is
awake before that is over, and has the lock for the next 5 ms; with none it is too late, and the handler goes on. So the
same is measured beside another program that computes, too, as a program on a busy machine has it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from benchmarks import files, jobs, ways
from benchmarks.results import Part, Summary, Table, at_least, at_most, make_table, ratios
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

BESIDE_ANOTHER = ["logpool", "multiprocessing_queue", "loguru"]
"""What is measured beside another program as well."""

DEADLINE = 2.5
"""Seconds after which the records that have been handled are counted, all or not."""

WARM_UP = 100


def measure(way: str, records: int, busy: bool, beside_another: bool = False) -> dict[str, float]:
    """Measures one way once, with one worker.

    Args:
        way: The way of logging.
        records: How many.
        busy: Whether the parent computes meanwhile; it waits otherwise.
        beside_another: Whether another program computes as well.
    """
    with _another_program() if beside_another else contextlib.nullcontext(), tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "log")
        handler = files.make_handler(path)
        counter = files.LineCounter(path)
        jobs.barrier = multiprocessing.Barrier(1)
        with ways.WAYS[way](handler, 1) as pool:
            pool.submit(jobs.burst, way, WARM_UP).result()
            warmed_up = counter.wait_for(WARM_UP)
            start = time.time()
            future = pool.submit(jobs.timed_burst, way, records)
            if busy:
                turns = _compute(future, counter, warmed_up + records)
                arrived = counter.update()
            else:
                turns = 0
                arrived = counter.wait_for(warmed_up + records)
            finished = arrived >= warmed_up + records
            elapsed = (counter.last_write() if finished else time.time()) - start
            durations = future.result()
            # What is still on its way comes now that the main thread waits: nobody is hurried.
            lost = warmed_up + records - counter.wait_for(warmed_up + records)
    return {
        "rate": (arrived - warmed_up) / elapsed,
        "call": statistics.median(durations),
        "mean_call": statistics.mean(durations),
        "computed": turns / elapsed,
        "lost": lost,
    }


@contextlib.contextmanager
def _another_program() -> Iterator[None]:
    program = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        program.kill()
        program.wait()


def _compute(future: Future[Any], counter: files.LineCounter, expected: int) -> int:
    """Computes until all records are in the file, or the deadline.

    Returns:
        How many turns of the loop it had.
    """
    end = time.monotonic() + DEADLINE
    turns = 0
    while time.monotonic() < end:
        value = 0
        for index in range(200_000):  # 10 ms or so.
            value += index * index
        turns += 1
        if future.done() and counter.update() >= expected:
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
    records = session.choose(16_000, 5_000)
    settings: dict[str, dict[str, Any]] = {
        f"{name} {'busy' if busy else 'idle'}": {
            "way": name,
            "records": records // (4 if name == "recipe" else 1),
            "busy": busy,
        }
        for name in names
        for busy in (True, False)
    }
    samples = session.interleave("busy_parent", settings, session.choose(5, 1))
    settings = {
        name: {"way": name, "records": records, "busy": True, "beside_another": True}
        for name in names
        if name in BESIDE_ANOTHER
    }
    beside = session.interleave("busy_parent", settings, session.choose(5, 1))
    rates = {name: [sample["rate"] for sample in samples[f"{name} busy"]] for name in names}
    computed: dict[str, dict[str, float | str]] = {
        name: {
            "parent's own turns/s": statistics.median(sample["computed"] for sample in samples[f"{name} busy"]),
            "lost": sum(sample["lost"] for sample in samples[f"{name} busy"]),
        }
        for name in names
    }
    others = {name: statistics.median(rates[name]) for name in names if name in IN_THE_PARENT and name != "logpool"}
    best = max(others, key=lambda name: others[name])
    tables = [
        make_table(
            "Records per second while the parent's main thread computes, one worker",
            "records/s",
            rates,
            ways.TITLES,
            "logpool",
            computed,
        ),
        make_table(
            "The same while another program computes as well",
            "records/s",
            {name: [sample["rate"] for sample in taken] for name, taken in beside.items()},
            ways.TITLES,
            "logpool",
            {name: {"lost": sum(sample["lost"] for sample in taken)} for name, taken in beside.items()},
        ),
        _slowdown("Mean wall time of a worker's call meanwhile; extra: against a parent that waits", samples, names),
    ]
    slowdown = _against_idle(samples, "logpool", "mean_call")
    findings = [
        at_least(
            f"records/s against the best other that has the parent handle them ({ways.TITLES[best]})",
            1.0,
            ratios(rates["logpool"], rates[best]).median,
        ),
        at_most("a worker's call, mean, against a parent that waits", 1.1, slowdown.median),
    ]
    return Part("busy_parent", "A parent that computes", tables, findings)


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
