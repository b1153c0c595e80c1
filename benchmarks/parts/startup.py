"""From the construction of an executor, over the result of its first job, to the end of its shutdown.

And what that costs: CPU time of all processes, memory, and the import.
"""

from __future__ import annotations

import importlib
import logging
import multiprocessing.forkserver
import multiprocessing.resource_tracker
import resource
import statistics
import subprocess
import sys
import time
from typing import Any

from benchmarks import jobs, processes, ways
from benchmarks.results import Finding, Part, Table, at_most, make_table, ratios
from benchmarks.session import Session

TARGETS = {"fork": 1.5, "forkserver": 1.15, "spawn": 1.3}

CPU_TARGET = 1.3

MEMORY_TARGETS = {"fork": 5.0, "spawn": 7.0}
"""MiB more than the stock pool."""

IMPORT_TARGET = 1.2

IMPORT_TITLES = {
    "stock": "concurrent.futures.process",
    "logpool": "the executor",
    "made": "the executor, with what it imports when one is made",
}

NEEDED = (
    "logpool.executor",
    "logpool._parent.crash_reporter",
    "logpool._parent.pool_thread",
    "logpool._parent.service",
    "logpool._parent.settings_watch",
    "logpool._worker.pool_queues",
    "logpool._worker.start",
)
"""All that is imported when an executor is made, or with these."""

IMPORTS = {
    "stock": "import concurrent.futures.process",
    "logpool": "import logpool.executor",
    "made": f"import {', '.join(NEEDED)}",
}

WORKERS = 2

TITLES = {"stock": "ProcessPoolExecutor", "logpool": "logpool", "recipe": "cookbook: Manager().Queue"}


def measure(way: str, what: str) -> dict[str, float]:
    """Measures one way once.

    Args:
        way: The way of logging.
        what: "time", "cost" or "import".
    """
    if what == "import":
        return {"cpu": _import_time(IMPORTS[way])}
    # What an import takes is no part of the figure.
    if way == "logpool":
        for module in NEEDED:
            importlib.import_module(module)
    elif way == "recipe":
        import multiprocessing.managers  # noqa: F401
    return _measure_time(way) if what == "time" else _measure_cost(way)


def _measure_time(way: str) -> dict[str, float]:
    """Measures once cold, as a program that makes one pool has it, and once more in the same interpreter."""
    times = []
    for _ in range(2):
        start = time.perf_counter()
        with ways.WAYS[way](logging.NullHandler(), WORKERS) as pool:
            pool.submit(jobs.nothing).result()
            first_result = time.perf_counter()
        times.append((time.perf_counter() - start, first_result - start))
    (cold, first_result), (warm, _) = times
    return {"cold": cold, "first_result": first_result, "warm": warm}


def _measure_cost(way: str) -> dict[str, float]:
    """Measures CPU time, of all processes from their start to their end, and the memory of all when they are up."""
    start = _cpu_time()
    with ways.WAYS[way](logging.NullHandler(), WORKERS) as pool:
        for future in [pool.submit(jobs.rest) for _ in range(WORKERS)]:
            future.result()
        found = processes.roles(pool)
        memory = {role: sum(map(processes.proportional_memory, found[role])) / 2**20 for role in found}
    # The processes that serve all pools of a program end with it. Only then is known what they took.
    multiprocessing.forkserver._forkserver._stop()  # type: ignore[attr-defined]
    multiprocessing.resource_tracker._resource_tracker._stop()  # type: ignore[attr-defined]
    return {"cpu": _cpu_time() - start, "memory": sum(memory.values()), **memory}


def _cpu_time() -> float:
    """Returns the CPU time of this process and of all its children that have ended, in seconds."""
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _import_time(statement: str) -> float:
    """Returns the CPU time of a statement in a fresh interpreter, in seconds."""
    source = f"import time; start = time.process_time(); {statement}; print(time.process_time() - start)"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    return float(done.stdout)


def run(session: Session) -> Part:
    """Compares with the standard library's executor, for each start method.

    Args:
        session: The run.
    """
    settings = {
        f"{way} {method}": {"way": way, "start_method": method, "what": "time"}
        for method in TARGETS
        for way in TITLES
        if way != "recipe" or not session.quick
    }
    samples = session.interleave("startup", settings, session.choose(5, 2))
    costs = session.interleave(
        "startup", {name: {**each, "what": "cost"} for name, each in settings.items()}, session.choose(3, 1)
    )
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
        of_method = {way: costs[f"{way} {method}"] for way in of_method}
        cpu = {way: [sample["cpu"] * 1e3 for sample in taken] for way, taken in of_method.items()}
        memory = {way: [sample["memory"] for sample in taken] for way, taken in of_method.items()}
        shares = {way: _shares(taken) for way, taken in of_method.items()}
        tables += [
            make_table(f"{method}: CPU time of that, all processes, two workers", "ms", cpu, TITLES, "stock"),
            make_table(f"{method}: memory (PSS) meanwhile, all processes", "MiB", memory, TITLES, "stock", shares),
        ]
        findings.append(
            at_most(f"CPU time of it with {method}", CPU_TARGET, ratios(cpu["logpool"], cpu["stock"]).median)
        )
        if method in MEMORY_TARGETS:
            more = statistics.median(one - other for one, other in zip(memory["logpool"], memory["stock"], strict=True))
            findings.append(at_most(f"memory of it with {method}, beside", MEMORY_TARGETS[method], more, "MiB"))
        findings.append(
            at_most(
                f"an executor's life with {method} against ProcessPoolExecutor",
                target,
                ratios(cold["logpool"], cold["stock"]).median,
            )
        )
    imports = session.interleave(
        "startup", {way: {"way": way, "what": "import"} for way in IMPORTS}, session.choose(7, 3)
    )
    of_import = {way: [sample["cpu"] * 1e3 for sample in taken] for way, taken in imports.items()}
    tables.append(make_table("Import, CPU time", "ms", of_import, IMPORT_TITLES, "stock"))
    findings.append(
        at_most(
            f"import against {IMPORT_TITLES['stock']}",
            IMPORT_TARGET,
            ratios(of_import["logpool"], of_import["stock"]).median,
        )
    )
    return Part("startup", "An executor from its start to its end", tables, findings)


def _shares(taken: list[dict[str, Any]]) -> dict[str, float | str]:
    return {
        f"{role}: MiB": statistics.median(sample[role] for sample in taken) for role in ("workers", "manager", "parent")
    }
