"""The public face as type checkers see it. Nothing here is run: mypy checks it."""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from logging.handlers import QueueListener
from typing import assert_type

from logpool import LoggingProcessPoolExecutor, LogRelay


def double(number: int, *, times: int = 1) -> str:
    return str(number * 2 * times)


def executor() -> None:
    with LoggingProcessPoolExecutor(
        4,
        multiprocessing.get_context("spawn"),
        print,
        ("started",),
        max_tasks_per_child=10,
        log_handlers=[logging.StreamHandler()],
        log_level="INFO",
        log_backlog=2**20,
    ) as pool:
        future: Future[str] = pool.submit(double, 1, times=2)
        assert_type(future.result(), str)
        assert_type(pool.submit(double, 1).job_id, int)
        assert_type(pool.map(double, [1, 2]), Iterator[str])
        assert_type(pool.flush_logs(timeout=1.0), bool)
        listener: QueueListener = pool.log_listener
        pool.log_queue.put_nowait(b"")
        pool.submit(double, "1")  # type: ignore[arg-type]
        pool.submit(double, 1, time=2)  # type: ignore[call-arg]
        stock: ProcessPoolExecutor | Executor = pool
        del listener, stock
    LoggingProcessPoolExecutor(log_level=logging.INFO).shutdown(wait=False, cancel_futures=True)
    LoggingProcessPoolExecutor(log_backlog="1 MB")  # type: ignore[arg-type]
    LoggingProcessPoolExecutor(log_handlers=logging.StreamHandler())  # type: ignore[arg-type]


def relay() -> None:
    with LogRelay(log_handlers=None, log_level=10, log_backlog=1) as log_relay:
        assert_type(log_relay, LogRelay)
        assert_type(log_relay.install, Callable[[], None])
        assert_type(log_relay.flush(), bool)
        with multiprocessing.Pool(2, initializer=log_relay.install) as pool:
            pool.map(double, [1])
