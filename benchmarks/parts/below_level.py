"""What a record below the logger's level costs a worker."""

from __future__ import annotations

import logging

from benchmarks import jobs, ways
from benchmarks.results import Part, at_most, make_table, ratios
from benchmarks.session import Session

NOISE = 0.05
"""Ratios closer to 1 than this are taken as 1: the same code measured twice differs by as much."""


def measure(way: str, calls: int) -> dict[str, float]:
    """Measures one way once, with one worker.

    Args:
        way: The way of logging.
        calls: How many, for each copy of the code.
    """
    logging.getLogger().setLevel(logging.INFO)
    with ways.WAYS[way](logging.NullHandler(), 1) as pool:
        pool.submit(jobs.below_level, 1000).result()
        # The best of several: whatever else the machine does only ever adds to it.
        return {"call": min(pool.submit(jobs.below_level, calls).result() for _ in range(5))}


def run(session: Session) -> Part:
    """Compares with plain logging in one process.

    Args:
        session: The run.
    """
    calls = session.choose(20_000, 10_000)
    settings = {name: {"way": name, "calls": calls} for name in ("direct", "logpool", "recipe")}
    samples = session.interleave("below_level", settings, session.choose(5, 3))
    times = {name: [sample["call"] * 1e9 for sample in taken] for name, taken in samples.items()}
    return Part(
        "below_level",
        "A record below the logger's level",
        [make_table("CPU time of a call of logger.debug where the level is INFO", "ns", times, ways.TITLES, "direct")],
        [
            at_most(
                "cost of a record below the level against one process",
                1.0 + NOISE,
                ratios(times["logpool"], times["direct"]).median,
            )
        ],
    )
