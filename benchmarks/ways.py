"""The ways to log from worker processes that are compared, each set up as its documentation says.

Everything but the initializers runs in the parent. Each way is a context manager: it is given the handler that is to
have the records in the end and the number of workers, and gives an executor whose workers log.
"""

from __future__ import annotations

import logging
import logging.handlers
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from importlib import metadata
from typing import Any

from benchmarks import jobs

Way = Callable[[Any, int], AbstractContextManager[Executor]]
"""The handler is a FileHandler for those that write files of their own."""


class InlineExecutor(Executor):
    """Runs jobs in this process, at once."""

    def submit(self, job: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Runs a job.

        Args:
            job: What to call.
            *args: Its arguments.
            **kwargs: Its arguments by name.

        Returns:
            A future that is done.
        """
        future: Future[Any] = Future()
        future.set_result(job(*args, **kwargs))
        return future


@contextmanager
def direct(handler: logging.Handler, workers: int) -> Iterator[Executor]:
    """One process that logs straight to the handler: the measure of all others."""
    assert workers == 1
    logging.getLogger().addHandler(handler)
    yield InlineExecutor()


@contextmanager
def stock(handler: logging.Handler, workers: int) -> Iterator[Executor]:
    """The standard library's executor, which does nothing about logging."""
    with ProcessPoolExecutor(workers) as pool:
        yield pool


@contextmanager
def file_in_worker(handler: logging.Handler, workers: int) -> Iterator[Executor]:
    """Workers with the handler in them, which only fork can hand to them. Each appends to the file."""
    with ProcessPoolExecutor(workers, initializer=logging.getLogger().addHandler, initargs=(handler,)) as pool:
        yield pool


@contextmanager
def logpool(handler: logging.Handler, workers: int, **options: Any) -> Iterator[Executor]:
    """This project."""
    from logpool import LoggingProcessPoolExecutor

    logging.getLogger().addHandler(handler)
    with LoggingProcessPoolExecutor(workers, **options) as pool:
        yield pool


@contextmanager
def recipe(handler: logging.Handler, workers: int) -> Iterator[Executor]:
    """The recipe of Python's logging cookbook for `concurrent.futures.ProcessPoolExecutor`."""
    with multiprocessing.Manager() as manager:
        queue = manager.Queue(-1)
        listener = logging.handlers.QueueListener(queue, handler)
        listener.start()
        with ProcessPoolExecutor(workers, initializer=_log_to_queue, initargs=(queue,)) as pool:
            yield pool
        listener.stop()


@contextmanager
def multiprocessing_queue(handler: logging.Handler, workers: int) -> Iterator[Executor]:
    """The same with a `multiprocessing.Queue`, which has no process of its own."""
    queue: multiprocessing.Queue[Any] = multiprocessing.Queue(-1)
    listener = logging.handlers.QueueListener(queue, handler)
    listener.start()
    with ProcessPoolExecutor(workers, initializer=_log_to_queue, initargs=(queue,)) as pool:
        yield pool
    listener.stop()


@contextmanager
def multiprocessing_logging(handler: logging.Handler, workers: int) -> Iterator[Executor]:
    """The package multiprocessing-logging."""
    from multiprocessing_logging import install_mp_handler, uninstall_mp_handler

    logging.getLogger().addHandler(handler)
    install_mp_handler()
    with ProcessPoolExecutor(workers) as pool:
        yield pool
    uninstall_mp_handler()


@contextmanager
def concurrent_log_handler(handler: logging.FileHandler, workers: int) -> Iterator[Executor]:
    """The package concurrent-log-handler: each worker writes to the file, under a lock. It never rotates here."""
    with ProcessPoolExecutor(
        workers, initializer=log_to_shared_file, initargs=(handler.baseFilename, jobs.RECORD_FORMAT)
    ) as pool:
        yield pool


@contextmanager
def loguru(handler: logging.FileHandler, workers: int) -> Iterator[Executor]:
    """The package loguru, with its own interface, and a format that comes to the same text."""
    from loguru import logger

    logger.remove()
    logger.add(
        handler.baseFilename,
        enqueue=True,
        format="{time:YYYY-MM-DD HH:mm:ss,SSS} {level} {process.name} {name}: {message}",
    )
    with ProcessPoolExecutor(workers) as pool:
        yield pool
    logger.remove()


def _log_to_queue(queue: Any) -> None:
    """Runs in the worker."""
    logging.getLogger().addHandler(logging.handlers.QueueHandler(queue))


def log_to_shared_file(path: str, record_format: str) -> None:
    """Runs in the worker.

    Args:
        path: The file.
        record_format: The format of its lines.
    """
    from concurrent_log_handler import ConcurrentRotatingFileHandler

    handler = ConcurrentRotatingFileHandler(path, "a")
    handler.setFormatter(logging.Formatter(record_format))
    logging.getLogger().addHandler(handler)


WAYS: dict[str, Way] = {
    way.__name__: way
    for way in (
        direct,
        stock,
        file_in_worker,
        logpool,
        recipe,
        multiprocessing_queue,
        multiprocessing_logging,
        concurrent_log_handler,
        loguru,
    )
}

TITLES = {
    "direct": "one process, FileHandler",
    "stock": "ProcessPoolExecutor",
    "file_in_worker": "FileHandler in the worker",
    "logpool": "logpool",
    "recipe": "cookbook: Manager().Queue",
    "multiprocessing_queue": "multiprocessing.Queue",
    "multiprocessing_logging": "multiprocessing-logging",
    "concurrent_log_handler": "concurrent-log-handler",
    "loguru": "loguru, enqueue=True",
    "logger_tt": "logger-tt",
}

PACKAGES = {
    "logpool": "logpool-executor",
    "multiprocessing_logging": "multiprocessing-logging",
    "concurrent_log_handler": "concurrent-log-handler",
    "loguru": "loguru",
    "logger_tt": "logger-tt",
}
"""The distributions that must be installed for a way; the others need the standard library alone."""


def versions() -> dict[str, str]:
    """Returns the versions of the packages that are installed."""
    found = {}
    for package in PACKAGES.values():
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def available(names: list[str]) -> list[str]:
    """Returns those ways for which everything is installed.

    Args:
        names: Of ways.
    """
    installed = versions()
    return [name for name in names if PACKAGES.get(name, "logpool-executor") in installed]
