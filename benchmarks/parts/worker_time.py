"""CPU time that a call of `logger.info` costs a worker at full speed."""

from __future__ import annotations

import multiprocessing
import tempfile
from pathlib import Path

from benchmarks import files, jobs, ways
from benchmarks.results import Part, at_most, make_table, ratios
from benchmarks.session import Session

COMPARED = [
    "file_in_worker",
    "logpool",
    "recipe",
    "multiprocessing_queue",
    "multiprocessing_logging",
    "concurrent_log_handler",
    "loguru",
]

WARM_UP = 200


def measure(way: str, records: int) -> dict[str, float]:
    """Measures one way once, with one worker.

    Args:
        way: The way of logging.
        records: How many.
    """
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "log")
        handler = files.make_handler(path)
        jobs.barrier = multiprocessing.Barrier(1)
        with ways.WAYS[way](handler, 1) as pool:
            pool.submit(jobs.burst, way, WARM_UP).result()
            burst = pool.submit(jobs.burst, way, records).result()
            files.LineCounter(path).wait_for(WARM_UP + records)
    # Of all threads: some ways leave the work to one that they start in the worker.
    return {"call": burst["cpu"] / records}


def run(session: Session) -> Part:
    """Compares all ways with a FileHandler in the worker.

    Args:
        session: The run.
    """
    total = session.choose(20_000, 5_000)
    settings = {name: {"way": name, "records": total // (5 if name == "recipe" else 1)} for name in COMPARED}
    settings = {name: settings[name] for name in ways.available(COMPARED)}
    samples = session.interleave("worker_time", settings, session.choose(5, 2))
    calls = {name: [sample["call"] * 1e6 for sample in taken] for name, taken in samples.items()}
    return Part(
        "worker_time",
        "What a call costs the worker",
        [make_table("CPU time of a worker for one call of logger.info", "µs", calls, ways.TITLES, "file_in_worker")],
        [
            at_most(
                "CPU time of a call in the worker against a FileHandler there",
                1.0,
                ratios(calls["logpool"], calls["file_in_worker"]).median,
            )
        ],
    )
