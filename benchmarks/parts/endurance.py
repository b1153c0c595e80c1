"""Millions of records through one pool: memory and rate from the first to the last."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

from benchmarks import files, jobs, processes, ways
from benchmarks.results import Part, at_least, at_most, make_table
from benchmarks.session import Session

WORKERS = 2

STEPS = 20

GROWTH = 1.0
"""MiB by which the peak of memory may grow in the second half and still be called constant."""


def measure(records: int) -> dict[str, Any]:
    """Measures once, and looks at the memory at equal distances.

    Args:
        records: How many, all workers together.
    """
    handler = files.make_handler(Path(os.devnull))  # Written as to any file, and not kept.
    jobs.barrier = multiprocessing.Barrier(WORKERS)
    steps = []
    with ways.logpool(handler, WORKERS) as pool:
        for _ in range(STEPS):
            start = time.perf_counter()
            futures = [pool.submit(jobs.burst, "logpool", records // STEPS // WORKERS) for _ in range(WORKERS)]
            for future in futures:
                future.result()
            flushed = pool.flush_logs(timeout=300)  # type: ignore[attr-defined]
            assert flushed
            steps.append(
                {
                    "seconds": time.perf_counter() - start,
                    "resident": _memory(pool, processes.resident_memory),
                    "peak": _memory(pool, processes.peak_memory),
                }
            )
    return {"steps": steps, "logged": records // STEPS // WORKERS * STEPS * WORKERS}


def _memory(pool: Any, look: Any) -> dict[str, float]:
    found = processes.roles(pool)
    return {role: max(look(process) for process in found[role]) / 2**20 for role in found}


def run(session: Session) -> Part:
    """Tells whether memory stays constant and the rate, too.

    Args:
        session: The run.
    """
    records = session.choose(10_000_000 if session.alone else 1_000_000, 100_000)
    session.show(f"endurance: {records:,} records")
    measured = session.measure("endurance", {"records": records})
    if measured is None:
        raise RuntimeError(f"endurance: {session.failures[-1]}")
    steps = measured["steps"]
    roles = ("parent", "manager", "workers")
    memory = {role: [step["resident"][role] for step in steps] for role in roles}
    # Memory that leaks grows all the time; what is only slow to find its level has found it by the middle.
    growth = {role: steps[-1]["peak"][role] - steps[STEPS // 2 - 1]["peak"][role] for role in roles}
    rates = [records / STEPS / step["seconds"] for step in steps]
    quarter = STEPS // 4
    tables = [
        make_table(
            f"Memory of the processes over {records:,} records, looked at {STEPS} times",
            "MiB",
            memory,
            {"workers": "the larger worker"},
            None,
            {
                role: {
                    "first": memory[role][0],
                    "last": memory[role][-1],
                    "growth of the peak, second half": growth[role],
                }
                for role in roles
            },
        ),
        make_table(
            "Records per second, by quarter of the run",
            "records/s",
            {f"{start // quarter + 1}": rates[start : start + quarter] for start in range(0, STEPS, quarter)},
            {},
        ),
    ]
    findings = [
        at_most(f"growth of peak memory in the second half, {role}", GROWTH, growth[role], "MiB") for role in roles
    ]
    seconds = [step["seconds"] for step in steps]
    findings.append(
        at_least(
            "rate of the last half against the first", 0.9, sum(seconds[: STEPS // 2]) / sum(seconds[STEPS // 2 :])
        )
    )
    return Part("endurance", f"{records:,} records through one pool", tables, findings, data={"steps": steps})
