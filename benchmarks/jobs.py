"""The jobs that log. They run in the worker, or in the one process there is."""

from __future__ import annotations

import logging
import pathlib
import time
import types
from collections.abc import Iterable, Iterator
from multiprocessing.synchronize import Barrier

LOGGER_NAME = "application.module"

RECORD_FORMAT = "%(asctime)s %(levelname)s %(processName)s %(name)s: %(message)s"

barrier: Barrier | None = None
"""Where all workers meet before they start, so that each has one of the jobs. Forked workers have their parent's."""


def meet() -> None:
    """Waits for the other workers."""
    if barrier is not None:
        barrier.wait()


def log(count: int) -> None:
    """Logs ordinary records as fast as it can.

    Args:
        count: How many.
    """
    logger = logging.getLogger(LOGGER_NAME)
    for index in range(count):
        logger.info("processed item %d of %s in %.3f seconds", index, "the batch", 0.1234)


def log_with_loguru(count: int) -> None:
    """Logs the same text as `log`, with loguru's own interface.

    Args:
        count: How many records.
    """
    from loguru import logger

    for index in range(count):
        logger.info("processed item {} of {} in {:.3f} seconds", index, "the batch", 0.1234)


def log_fields(count: int) -> None:
    """Logs as `log` does, with two plain fields, as programs that write JSON have them in each line."""
    logger = logging.getLogger(LOGGER_NAME)
    for index in range(count):
        extra = {"request_id": f"{index:08x}", "user_id": index}
        logger.info("processed item %d of %s in %.3f seconds", index, "the batch", 0.1234, extra=extra)


PATHS = [pathlib.Path(f"/var/lib/application/batch-{number}.csv") for number in range(500)]
"""Those that a program works on: many, and each comes up again."""


def log_path(count: int) -> None:
    """Logs as `log` does, with a path in the place of a str: an object."""
    logger = logging.getLogger(LOGGER_NAME)
    for index in range(count):
        path = PATHS[index % len(PATHS)]
        logger.info("processed item %d of %s in %.3f seconds", index, path, 0.1234)


def log_new_path(count: int) -> None:
    """Logs as `log_path` does, with a path that comes up once, made for the record."""
    logger = logging.getLogger(LOGGER_NAME)
    for index in range(count):
        path = pathlib.Path(f"/var/lib/application/batch-{index}.csv")
        logger.info("processed item %d of %s in %.3f seconds", index, path, 0.1234)


def log_nested(count: int) -> None:
    """Logs as `log` does, with a field that is a dict of dicts with a path in it."""
    logger = logging.getLogger(LOGGER_NAME)
    for index in range(count):
        path = PATHS[index % len(PATHS)]
        extra = {"context": {"user": {"id": index, "name": "somebody"}, "file": path}}
        logger.info("processed item %d of %s in %.3f seconds", index, "the batch", 0.1234, extra=extra)


def log_exception(count: int) -> None:
    """Logs exceptions, each with another text and a traceback of three frames."""
    logger = logging.getLogger(LOGGER_NAME)
    for index in range(count):
        try:
            _call_that_raises(index)
        except ValueError:
            logger.exception("failed item %d of %s in %.3f seconds", index, "the batch", 0.1234)


def _call_that_raises(index: int) -> None:
    _raise(index)


def _raise(index: int) -> None:
    raise ValueError(f"no item {index}")


KINDS = {
    "plain": log,
    "fields": log_fields,
    "path": log_path,
    "new path": log_new_path,
    "nested": log_nested,
    "exception": log_exception,
}
"""By the kind of record."""


def burst(way: str, count: int, kind: str = "plain") -> dict[str, float]:
    """Logs as fast as it can, when all workers are there.

    Args:
        way: The way of logging, as in ways.py.
        count: How many records.
        kind: Of record. loguru has plain ones alone.

    Returns:
        What it took, in seconds: CPU time of all threads, and wall time.
    """
    log_many = log_with_loguru if way == "loguru" else KINDS[kind]
    meet()
    start_cpu, start = time.process_time(), time.perf_counter()
    log_many(count)
    return {"cpu": time.process_time() - start_cpu, "wall": time.perf_counter() - start}


def timed_burst(way: str, count: int) -> list[float]:
    """Logs as fast as it can, and times each call.

    Args:
        way: The way of logging, as in ways.py.
        count: How many records.

    Returns:
        Seconds of wall time, for each call.
    """
    return _timed(way, range(count))


def timed_logging(way: str, seconds: float) -> list[float]:
    """Logs as fast as it can for some time, and times each call.

    Args:
        way: The way of logging, as in ways.py.
        seconds: How long.

    Returns:
        Seconds of wall time, for each call.
    """
    return _timed(way, _for(seconds))


def _timed(way: str, turns: Iterable[object]) -> list[float]:
    log_many = log_with_loguru if way == "loguru" else log
    meet()
    durations = []
    for _ in turns:
        start = time.perf_counter()
        log_many(1)
        durations.append(time.perf_counter() - start)
    return durations


def _for(seconds: float) -> Iterator[None]:
    end = time.perf_counter() + seconds  # From the first turn on.
    while time.perf_counter() < end:
        yield


def paced(count: int, rate: float) -> list[float]:
    """Logs at a steady rate. Each record's message is the time of the call in nanoseconds, by the system's clock.

    Args:
        count: How many records.
        rate: How many in a second.

    Returns:
        Seconds of wall time, for each call.
    """
    logger = logging.getLogger(LOGGER_NAME)
    durations = []
    due = time.monotonic()
    for _ in range(count):
        due += 1 / rate
        time.sleep(max(0.0, due - time.monotonic()))
        start = time.monotonic_ns()
        logger.info("%d", start)
        durations.append((time.monotonic_ns() - start) / 1e9)
    return durations


COPIES = 8
"""How many copies of one function are tried. What else is in memory, and where, makes such a short call 15 % slower in
one process than in another, whatever they have imported, and also from one copy to the next."""


def below_level(count: int) -> float:
    """Logs below the logger's level.

    Args:
        count: How many times, by each of several copies of the same code.

    Returns:
        Seconds of CPU time for one call, by the fastest.
    """
    copies = [types.FunctionType(_below_level.__code__.replace(), globals()) for _ in range(COPIES)]
    return min(copy(count) for copy in copies) / count


def _below_level(count: int) -> float:
    logger = logging.getLogger(LOGGER_NAME)
    start = time.thread_time()
    for index in range(count):
        logger.debug("processed item %d of %s in %.3f seconds", index, "the batch", 0.1234)
    return time.thread_time() - start


def sized(count: int, size: int) -> float:
    """Logs records with a message of a certain size, when all workers are there.

    Args:
        count: How many.
        size: Characters, and bytes.

    Returns:
        Seconds of wall time of the longest call.
    """
    logger = logging.getLogger(LOGGER_NAME)
    message = "x" * size
    meet()
    longest = 0.0
    for _ in range(count):
        start = time.perf_counter()
        logger.info(message)
        longest = max(longest, time.perf_counter() - start)
    return longest


def nothing() -> None:
    """Does nothing."""


def log_one() -> None:
    """Logs one record."""
    log(1)


def rest() -> None:
    """Waits for a while, so that another worker gets the next job."""
    time.sleep(0.2)
