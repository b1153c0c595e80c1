"""An idle pool: which of its processes wake up, and how often."""

from __future__ import annotations

import logging
import time
from typing import Any

from benchmarks import jobs, processes, ways
from benchmarks.results import Part, at_most, make_table
from benchmarks.session import Session

COMPARED = ["stock", "logpool", "recipe", "multiprocessing_queue"]

WORKERS = 2

A_HANDFUL = 5


def measure(way: str, seconds: float) -> dict[str, Any]:
    """Measures one way once.

    Args:
        way: The way of logging.
        seconds: How long it idles.
    """
    logging.getLogger().setLevel(logging.INFO)
    with ways.WAYS[way](logging.NullHandler(), WORKERS) as pool:
        for future in [pool.submit(jobs.log, 10) for _ in range(4)]:
            future.result()
        time.sleep(1.0)  # Until all is quiet.
        before = processes.usage_by_role(pool)
        time.sleep(seconds)
        after = processes.usage_by_role(pool)
    switches = {
        role: after[role].voluntary + after[role].involuntary - before[role].voluntary - before[role].involuntary
        for role in before
    }
    switches["parent"] = max(0, switches["parent"] - 1)  # Its main thread wakes up to look.
    return switches


def run(session: Session) -> Part:
    """Counts for several ways, at the same time: they don't disturb each other by doing nothing.

    Args:
        session: The run.
    """
    seconds = session.choose(10, 3)
    trials = {name: session.start("idle", {"way": name, "seconds": seconds}) for name in COMPARED}
    session.show(f"idle: {seconds} s")
    switches = {name: session.finish(trial, f"idle {name}") for name, trial in trials.items()}
    counted = {name: found for name, found in switches.items() if found is not None}
    if "logpool" not in counted:
        raise RuntimeError(f"idle: {session.failures[-1]}")
    totals = {name: [float(sum(found.values()))] for name, found in counted.items()}
    table = make_table(
        f"Context switches of an idle pool with {WORKERS} workers in {seconds} s",
        "switches",
        totals,
        ways.TITLES,
        None,
        {name: dict(found) for name, found in counted.items()},
    )
    return Part(
        "idle",
        "An idle pool",
        [table],
        [at_most(f"context switches of all processes in {seconds} s", A_HANDFUL, totals["logpool"][0], "switches")],
    )
