"""The public face as type checkers see it. Nothing here is run: mypy and pyright check it, both strictly."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed, wait
from logging.handlers import QueueHandler, QueueListener
from typing import assert_type

import logpool
from logpool import JobFuture, LoggingProcessPoolExecutor, LogQueue, LogRelay, RelayListener


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
        assert_type(pool, LoggingProcessPoolExecutor)
        assert_type(pool.submit(double, 1, times=2).result(), str)
        assert_type(pool.map(double, [1, 2]), Iterator[str])
        assert_type(pool.flush_logs(timeout=1.0), bool)
        pool.log_queue.put_nowait(b"")
        pool.submit(double, "1")  # type: ignore[arg-type]
        pool.submit(double, 1, time=2)  # type: ignore[call-arg]
        uses_stock(pool, pool)
    LoggingProcessPoolExecutor(log_level=logging.INFO).shutdown(wait=False, cancel_futures=True)
    LoggingProcessPoolExecutor(log_backlog="1 MB")  # type: ignore[arg-type]
    LoggingProcessPoolExecutor(log_handlers=logging.StreamHandler())  # type: ignore[arg-type]
    LoggingProcessPoolExecutor(mp_context="spawn")  # type: ignore[arg-type]


def uses_stock(pool: ProcessPoolExecutor, executor: Executor) -> None:
    assert_type(pool.submit(double, 1), Future[str])
    assert_type(executor.submit(double, 1), Future[str])


class Service:
    """Names everything that the executor returns."""

    def __init__(self, pool: LoggingProcessPoolExecutor) -> None:
        self.pool = pool
        self.by_number: dict[int, JobFuture[str]] = {}
        self.queue: LogQueue = pool.log_queue
        self.listener: RelayListener = pool.log_listener

    def work(self, number: int) -> JobFuture[str]:
        future = self.pool.submit(double, number)
        assert_type(future, JobFuture[str])
        assert_type(future.job_id, int)
        self.by_number[future.job_id] = future
        future.add_done_callback(self.done)
        return future

    def done(self, future: Future[str]) -> None:
        assert_type(future.result(), str)

    def collect(self) -> None:
        futures = list(self.by_number.values())
        for future in as_completed(futures):
            assert_type(future.result(timeout=1), str)
        assert_type(wait(futures).done, set[Future[str]])

    def stock_parts(self) -> tuple[logging.Handler, QueueListener]:
        return QueueHandler(self.queue), self.listener

    async def in_a_coroutine(self) -> str:
        loop = asyncio.get_running_loop()
        assert_type(await asyncio.wrap_future(self.work(1)), str)
        assert_type(await asyncio.to_thread(self.pool.flush_logs, 1.0), bool)
        return await loop.run_in_executor(self.pool, double, 1)


class Pool(LoggingProcessPoolExecutor):
    """A subclass, as programs have them."""

    def __init__(self, workers: int) -> None:
        super().__init__(workers, log_handlers=(logging.NullHandler(),))


def relay() -> None:
    LogRelay(log_handlers=None, log_level=10, log_backlog=1)
    with LogRelay(all_children=True):
        pass
    with LogRelay(handlers=None, level=10, backlog=1) as log_relay:
        assert_type(log_relay, LogRelay)
        assert_type(log_relay.install, Callable[[], None])
        assert_type(log_relay.flush(), bool)
        assert_type(log_relay.queue, LogQueue)
        assert_type(log_relay.listener, RelayListener)
        with multiprocessing.Pool(2, initializer=log_relay.install) as pool:
            pool.map(double, [1])
        with ProcessPoolExecutor(initializer=log_relay.install) as stock:
            stock.submit(double, 1)
        multiprocessing.Process(target=child, args=(log_relay, log_relay.queue)).start()
    LogRelay(log_level=2.5)  # type: ignore[arg-type]


def child(log_relay: LogRelay, queue: LogQueue) -> None:
    log_relay.install()
    logging.getLogger().addHandler(QueueHandler(queue))


assert_type(logpool.__version__, str)
