"""Records a second at full speed: workers that do nothing but log, and one FileHandler."""

from __future__ import annotations

import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import files, jobs, processes, ways
from benchmarks.results import Part, Table, at_least, at_most, make_table, ratios
from benchmarks.session import Samples, Session

COMPARED = [
    "direct",
    "logpool",
    "recipe",
    "multiprocessing_queue",
    "multiprocessing_logging",
    "concurrent_log_handler",
    "loguru",
]

WORKERS = 2

ROLES = ("workers", "manager", "parent")

WARM_UP = 200
"""Records of each worker before the clock runs: connections are made, caches are filled."""

LINES = {"exception": 11 if sys.version_info >= (3, 13) else 9}
"""How many lines of the file a record of a kind takes: more than one with a traceback."""

FRACTION = {
    "recipe": 10,
    "multiprocessing_queue": 2,
    "multiprocessing_logging": 2,
    "concurrent_log_handler": 2,
    "loguru": 4,
}
"""Slower ways get a fraction of the records, so that each measurement takes a second or two."""


def measure(way: str, workers: int, records: int, kind: str = "plain") -> dict[str, Any]:
    """Measures one way once. The clock runs from the first job's submission until the last record is in the file.

    Args:
        way: The way of logging.
        workers: How many.
        records: How many, all workers together.
        kind: Of records, as in `jobs.KINDS`.
    """
    share = records // workers
    lines = LINES.get(kind, 1)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "log")
        handler = files.make_handler(path)
        counter = files.LineCounter(path)
        jobs.barrier = multiprocessing.Barrier(workers)
        with ways.WAYS[way](handler, workers) as pool:
            for future in [pool.submit(jobs.burst, way, WARM_UP, kind) for _ in range(workers)]:
                future.result()
            warmed_up = counter.wait_for(WARM_UP * workers * lines)
            before, busy_before = processes.usage_by_role(pool), processes.machine_busy()
            start = time.time()
            futures = [pool.submit(jobs.burst, way, share, kind) for _ in range(workers)]
            bursts = [future.result() for future in futures]
            arrived = counter.wait_for(warmed_up + share * workers * lines) - warmed_up
            elapsed = counter.last_write() - start
            after, busy_after = processes.usage_by_role(pool), processes.machine_busy()
            measured = time.time() - start
    used = {role: after[role] - before[role] for role in before}
    return {
        "rate": arrived / lines / elapsed,
        # Of CPUs that anything else on the machine kept busy: what the figures suffer from.
        "others": max(0.0, busy_after - busy_before - sum(usage.cpu for usage in used.values())) / measured,
        "lost": (share + WARM_UP) * workers - (arrived + warmed_up) / lines,
        "call": statistics.mean(burst["wall"] for burst in bursts) / share,
        "cpu": {role: usage.cpu / records for role, usage in used.items()},
        "voluntary": {role: usage.voluntary / records for role, usage in used.items()},
        "involuntary": {role: usage.involuntary / records for role, usage in used.items()},
    }


def run(session: Session) -> Part:
    """Compares all ways with one process that logs straight to the file.

    Args:
        session: The run.
    """
    names = ways.available(COMPARED)
    total = session.choose(100_000, 20_000)
    settings = {
        name: {
            "way": name,
            "workers": 1 if name == "direct" else WORKERS,
            "records": total // FRACTION.get(name, 1),
        }
        for name in names
    }
    samples = session.interleave("throughput", settings, session.choose(5, 3))
    rates = {name: [sample["rate"] for sample in taken] for name, taken in samples.items()}
    lost: dict[str, dict[str, float | str]] = {
        name: {
            "lost": sum(sample["lost"] for sample in taken),
            "CPU µs a record": statistics.median(sum(sample["cpu"].values()) for sample in taken) * 1e6,
            "CPUs busy with other programs": statistics.median(sample["others"] for sample in taken),
        }
        for name, taken in samples.items()
    }
    table = make_table(
        f"Records per second, {WORKERS} workers at full speed", "records/s", rates, ways.TITLES, "direct", lost
    )
    findings = [
        at_least(f"records/s against {ways.TITLES[name]}", target, ratios(rates["logpool"], rates[name]).median)
        for name, target in [("direct", 1.0), ("recipe", 15.0)]
    ]
    findings += [
        at_least(f"records/s against {ways.TITLES[name]}", 1.0, ratios(rates["logpool"], rates[name]).median)
        for name in names
        if name not in ("direct", "recipe", "logpool")
    ]
    findings.append(
        at_most("records lost by logpool", 0, sum(sample["lost"] for sample in samples["logpool"]), "records")
    )
    effort = _effort(samples)
    return Part(
        "throughput",
        "Records per second by way of logging",
        [table, effort],
        findings,
        [_limit(samples)],
    )


def _limit(samples: Samples) -> str:
    """Says what CPU time alone would allow, whatever else the machine was busy with."""
    cpus = len(os.sched_getaffinity(0))
    direct = statistics.median(sum(sample["cpu"].values()) for sample in samples["direct"])
    total = statistics.median(sum(sample["cpu"].values()) for sample in samples["logpool"])
    parent = statistics.median(sample["cpu"]["parent"] for sample in samples["logpool"])
    return (
        f"By CPU time alone logpool could reach {direct / parent:.2f} of one process, which is as fast as its parent "
        f"can go, and {cpus * direct / total:.2f} when all its processes share {cpus} CPUs."
    )


def _effort(samples: Samples) -> Table:
    """Tells which process works how much, and how often it waits for another."""
    totals = {name: [sum(sample["cpu"].values()) * 1e6 for sample in taken] for name, taken in samples.items()}
    shares = effort_of(samples)
    for name, taken in samples.items():
        del shares[name]["CPU µs a record"]
        for role in ROLES:
            shares[name][f"{role}: switches"] = statistics.median(sample["voluntary"][role] for sample in taken)
    return make_table(
        "The same run: CPU time and voluntary context switches for one record, all processes of a kind together",
        "µs",
        totals,
        ways.TITLES,
        "direct",
        shares,
    )


def effort_of(samples: Samples) -> dict[str, dict[str, float | str]]:
    """Tells the CPU time for one record, of all processes, and of those of each kind.

    It is what a busy machine pays, and hardly depends on how busy it is.

    Args:
        samples: What was measured.
    """
    effort: dict[str, dict[str, float | str]] = {}
    for name, taken in samples.items():
        total = statistics.median(sum(sample["cpu"].values()) for sample in taken)
        effort[name] = {"CPU µs a record": total * 1e6}
        for role in ROLES:
            effort[name][f"{role}: µs"] = statistics.median(sample["cpu"][role] for sample in taken) * 1e6
    return effort
