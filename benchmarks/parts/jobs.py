"""Jobs beside the stock pool: many that log one record each, many that log nothing, and one at a time."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from benchmarks import files, jobs, processes, ways
from benchmarks.results import Part, at_least, at_most, make_table, ratios
from benchmarks.session import Samples, Session

WORKERS = 2

WARM_UP = 100

TITLES = {"file_in_worker": "stock pool, workers write the file", "logpool": "logpool"}

CASES = {
    "logging": "jobs that log one record each",
    "quiet": "jobs that log nothing",
    "one_at_a_time": "one job at a time that logs one record, from submit to result",
}


def measure(way: str, count: int) -> dict[str, Any]:
    """Measures one way once.

    Args:
        way: The way of logging.
        count: Of jobs, in each case.
    """
    with tempfile.TemporaryDirectory() as directory:
        handler = files.make_handler(Path(directory, "log"))
        with ways.WAYS[way](handler, WORKERS) as pool:
            _all_at_once(pool, jobs.log_one, WARM_UP)
            return {
                "logging": _measure(pool, lambda: _all_at_once(pool, jobs.log_one, count), count),
                "quiet": _measure(pool, lambda: _all_at_once(pool, jobs.nothing, count), count),
                "one_at_a_time": _measure(pool, lambda: _one_at_a_time(pool, jobs.log_one, count), count),
            }


def _all_at_once(pool: Executor, job: Callable[[], object], count: int) -> None:
    for future in [pool.submit(job) for _ in range(count)]:
        future.result()


def _one_at_a_time(pool: Executor, job: Callable[[], object], count: int) -> None:
    for _ in range(count):
        pool.submit(job).result()


def _measure(pool: Executor, run_jobs: Callable[[], None], count: int) -> dict[str, float]:
    """Returns seconds for one job: of wall time, and of CPU time of all processes."""
    before, start = processes.usage_by_role(pool), time.perf_counter()
    run_jobs()
    wall, after = time.perf_counter() - start, processes.usage_by_role(pool)
    return {"wall": wall / count, **{role: (after[role] - before[role]).cpu / count for role in before}}


def run(session: Session) -> Part:
    """Compares with the standard library's pool, whose forked workers have the file's handler.

    Args:
        session: The run.
    """
    count = session.choose(2_000, 400)
    settings = {name: {"way": name, "count": count} for name in TITLES}
    samples = session.interleave("jobs", settings, session.choose(5, 1))
    rates = {case: _values(samples, case, lambda wall: 1 / wall) for case in ("logging", "quiet")}
    times = _values(samples, "one_at_a_time", lambda wall: wall * 1e6)
    stock = "file_in_worker"
    tables = [
        make_table(f"Jobs per second: {CASES[case]}", "jobs/s", rates[case], TITLES, stock, _effort(samples, case))
        for case in rates
    ]
    title = f"Wall time: {CASES['one_at_a_time']}"
    tables.append(make_table(title, "µs", times, TITLES, stock, _effort(samples, "one_at_a_time")))
    findings = [
        at_least(f"{CASES[case]}: jobs/s against the stock pool", target, ratios(rate["logpool"], rate[stock]).median)
        for (case, rate), target in zip(rates.items(), (0.95, 1.0), strict=True)
    ]
    findings.append(
        at_most(f"{CASES['one_at_a_time']}, against the stock pool", 1.2, ratios(times["logpool"], times[stock]).median)
    )
    return Part("jobs", "Jobs beside the stock pool", tables, findings)


def _values(samples: Samples, case: str, make: Callable[[float], float]) -> dict[str, list[float]]:
    return {name: [make(sample[case]["wall"]) for sample in taken] for name, taken in samples.items()}


def _effort(samples: Samples, case: str) -> dict[str, dict[str, float | str]]:
    """Tells the CPU time for one job, as `throughput.effort_of` does for one record."""
    effort: dict[str, dict[str, float | str]] = {}
    for name, taken in samples.items():
        roles = ("workers", "manager", "parent")
        total = statistics.median(sum(sample[case][role] for role in roles) for sample in taken)
        effort[name] = {"CPU µs a job": total * 1e6}
        for role in roles:
            effort[name][f"{role}: µs"] = statistics.median(sample[case][role] for sample in taken) * 1e6
    return effort
