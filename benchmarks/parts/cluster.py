"""A Dask cluster's worker beside a worker of this machine's pool: rate, cost of a call, time to the handler, kills.

Scheduler and workers are processes of their own on the loopback interface.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import Executor
from typing import Any

from benchmarks import jobs
from benchmarks.results import Part, at_least, at_most, make_table, ratios
from benchmarks.session import Session

TITLES = {
    "forward_logging": "Dask: Client.forward_logging",
    "relay_logs": "Dask: logpool.dask",
    "logpool": "logpool, this machine's process pool",
}

WARM_UP = 200
RATE = 250.0
"""Records a second, for the time to the handler."""

FEW, MANY = 20, 2000
"""Records that a worker has logged when it is killed."""

SETTLE = 2.0
"""Seconds without a new record after which no more are expected."""


class Counter(logging.Handler):
    """Formats each record, and notes when it came, and of which process."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter(jobs.RECORD_FORMAT))
        self.delays: list[float] = []
        self.by_process: dict[int | None, int] = {}
        self.count = 0
        self.last = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        """Notes it."""
        if record.name == jobs.LOGGER_NAME:
            self.format(record)
            self.last = time.monotonic()
            message = record.getMessage()
            if message.isdigit():
                self.delays.append(self.last - int(message) / 1e9)
            self.by_process[record.process] = self.by_process.get(record.process, 0) + 1
            self.count += 1

    def wait_for(self, count: int) -> None:
        """Waits until so many have come, or none comes any more."""
        since = time.monotonic()
        while self.count < count and time.monotonic() < max(self.last, since) + SETTLE:
            time.sleep(0.01)


@contextlib.contextmanager
def _connected(way: str) -> Iterator[tuple[Executor, Any]]:
    """Starts one worker, and gives an executor and the client; None: there is no cluster."""
    if way == "logpool":
        from logpool import LoggingProcessPoolExecutor

        with LoggingProcessPoolExecutor(1) as executor:
            yield executor, None
        return
    from distributed import Client
    from distributed.deploy.subprocess import SubprocessCluster

    with (
        SubprocessCluster(
            n_workers=1, threads_per_worker=1, dashboard_address=None, silence_logs=logging.ERROR
        ) as made,
        Client(made) as client,
    ):
        client.wait_for_workers(1)
        if way == "forward_logging":
            client.run(_set_level)
            client.forward_logging()
            yield client.get_executor(pure=False), client
        else:
            from logpool.dask import LoggingDaskExecutor

            with LoggingDaskExecutor(client) as executor:
                yield executor, client


def _set_level() -> None:
    """Runs in a worker: `forward_logging` forwards what the worker's own levels let through."""
    logging.getLogger().setLevel(logging.INFO)


def log_and_die(count: int, flag: str) -> None:
    """Logs, and kills its process when it does that for the first time. Runs in a worker."""
    jobs.log(count)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(flag, os.O_CREAT | os.O_EXCL))
        os.kill(os.getpid(), signal.SIGKILL)


def measure(way: str, records: int, paced: int) -> dict[str, Any]:
    """Measures one way once, with one worker.

    Args:
        way: The way of logging.
        records: How many at full speed.
        paced: How many at a steady rate.
    """
    counter = Counter()
    logging.getLogger().addHandler(counter)
    logging.getLogger().setLevel(logging.INFO)
    with _connected(way) as (executor, client):
        executor.submit(jobs.burst, "logpool", WARM_UP).result()
        counter.wait_for(WARM_UP)
        scheduler_before = _scheduler_time(client)
        start = time.monotonic()
        burst = executor.submit(jobs.burst, "logpool", records).result()
        counter.wait_for(WARM_UP + records)
        wall = counter.last - start
        scheduler = _scheduler_time(client) - scheduler_before
        came = counter.count - WARM_UP
        executor.submit(jobs.paced, paced, RATE).result()
        counter.wait_for(WARM_UP + came + paced)
    return {
        "rate": came / wall,
        "lost": records - came,
        "call": burst["cpu"] / records,
        "scheduler": scheduler / records,
        "delay": statistics.median(counter.delays),
        **{f"lost_{count}": _lost_by_kill(way, counter, count) for count in (FEW, MANY)},
    }


def _scheduler_time(client: Any) -> float:
    return 0.0 if client is None else float(client.run_on_scheduler(time.process_time))


def _lost_by_kill(way: str, counter: Counter, count: int) -> int:
    """Returns how many records are lost of a worker that is killed right after it has logged."""
    counter.by_process.clear()
    flag = f"/tmp/logpool-benchmark-{os.getpid()}-{count}"
    with contextlib.suppress(Exception), _connected(way) as (executor, _):
        counter.last = time.monotonic()
        # A pool breaks. A cluster's worker is started again, and so is the task: its records come second.
        executor.submit(log_and_die, count, flag).result()
        counter.wait_for(counter.count + 1)
    os.unlink(flag)
    return count - next(iter(counter.by_process.values()), 0)


def run(session: Session) -> Part:
    """Compares with Dask's own.

    Args:
        session: The run.
    """
    try:
        import distributed  # noqa: F401
    except ImportError:
        return Part("cluster", "A Dask cluster", [], [], ["left out: distributed isn't installed"])
    records, paced = session.choose(20_000, 5_000), session.choose(500, 200)
    settings = {
        way: {"way": way, "records": records // (1 if way != "forward_logging" else 4), "paced": paced}
        for way in TITLES
    }
    samples = session.interleave("cluster", settings, session.choose(3, 2))

    def column(field: str, factor: float = 1.0) -> dict[str, list[float]]:
        return {way: [sample[field] * factor for sample in taken] for way, taken in samples.items()}

    rates, calls, delays = column("rate"), column("call", 1e6), column("delay", 1e6)
    lost: dict[str, dict[str, float | str]] = {
        way: {
            "lost": sum(sample["lost"] for sample in taken),
            f"lost of {FEW} by SIGKILL": statistics.median(sample[f"lost_{FEW}"] for sample in taken),
            f"lost of {MANY} by SIGKILL": statistics.median(sample[f"lost_{MANY}"] for sample in taken),
            "scheduler's CPU time for a record, µs": statistics.median(sample["scheduler"] * 1e6 for sample in taken),
        }
        for way, taken in samples.items()
    }
    reference = "forward_logging"
    return Part(
        "cluster",
        "A Dask cluster with one worker",
        [
            make_table("Records per second", "records", rates, TITLES, reference, lost),
            make_table("CPU time of a worker for one call of logger.info", "µs", calls, TITLES, reference),
            make_table(f"From the call to the handler at {RATE:g} a second", "µs", delays, TITLES, reference),
        ],
        [
            at_least("rate against forward_logging", 2.0, ratios(rates["relay_logs"], rates[reference]).median),
            at_most(
                "time of a call against forward_logging", 0.6, ratios(calls["relay_logs"], calls[reference]).median
            ),
        ],
    )
