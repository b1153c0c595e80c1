"""From the construction of an executor, over the result of its first job, to the end of its shutdown."""

from __future__ import annotations

import logging
import time

from benchmarks import jobs, ways
from benchmarks.results import Finding, Part, Table, at_most, make_table, ratios
from benchmarks.session import Session

TARGETS = {"fork": 2.0, "forkserver": 1.5, "spawn": 1.5}

WORKERS = 2

TITLES = {"stock": "ProcessPoolExecutor", "logpool": "logpool", "recipe": "cookbook: Manager().Queue"}


def measure(way: str) -> dict[str, float]:
    """Measures one way once cold, as a program that makes one pool has it, and once more in the same interpreter.

    Args:
        way: The way of logging.
    """
    # What an import takes is no part of the figure.
    if way == "logpool":
        from logpool import LoggingProcessPoolExecutor  # noqa: F401
    elif way == "recipe":
        import multiprocessing.managers  # noqa: F401
    times = []
    for _ in range(2):
        start = time.perf_counter()
        with ways.WAYS[way](logging.NullHandler(), WORKERS) as pool:
            pool.submit(jobs.nothing).result()
            first_result = time.perf_counter()
        times.append((time.perf_counter() - start, first_result - start))
    (cold, first_result), (warm, _) = times
    return {"cold": cold, "first_result": first_result, "warm": warm}


def run(session: Session) -> Part:
    """Compares with the standard library's executor, for each start method.

    Args:
        session: The run.
    """
    settings = {
        f"{way} {method}": {"way": way, "start_method": method}
        for method in TARGETS
        for way in TITLES
        if way != "recipe" or not session.quick
    }
    samples = session.interleave("startup", settings, session.choose(7, 3))
    tables: list[Table] = []
    findings: list[Finding] = []
    for method, target in TARGETS.items():
        of_method = {way: samples[f"{way} {method}"] for way in TITLES if f"{way} {method}" in samples}
        cold = {way: [sample["cold"] * 1e3 for sample in taken] for way, taken in of_method.items()}
        warm = {way: [sample["warm"] * 1e3 for sample in taken] for way, taken in of_method.items()}
        first = {way: [sample["first_result"] * 1e3 for sample in taken] for way, taken in of_method.items()}
        tables += [
            make_table(f"{method}: construct, first result, shutdown", "ms", cold, TITLES, "stock"),
            make_table(f"{method}: of that until the first result", "ms", first, TITLES, "stock"),
            make_table(f"{method}: a second executor in the same process", "ms", warm, TITLES, "stock"),
        ]
        findings.append(
            at_most(
                f"an executor's life with {method} against ProcessPoolExecutor",
                target,
                ratios(cold["logpool"], cold["stock"]).median,
            )
        )
    return Part("startup", "An executor from its start to its end", tables, findings)
