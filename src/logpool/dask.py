"""`relay_logs` and `LoggingDaskExecutor`: a Dask cluster's log records are handled by the client's process.

It wants the extra `dask`. Everything in this module runs in the client. How it works: `_dask/__init__.py`.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import BrokenExecutor, Executor, Future
from contextvars import copy_context
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

import dask
from distributed import Client

from logpool._dask.client import DEFAULT_BACKLOG, ClusterRelay
from logpool._worker.current_job import safe_name_of

P = ParamSpec("P")
T = TypeVar("T")

__all__ = ["DaskFuture", "LoggingDaskExecutor", "relay_logs"]


class relay_logs:  # noqa: N801  # It is used as a function is.
    """Has the records of a client's tasks handled by this process, as if they had been logged here.

        with relay_logs(client):
            client.submit(work, 1).result()

    It is for all that the client submits meanwhile: futures, collections, joblib's backend, `client.run`.
    """

    def __init__(
        self,
        client: Client,
        *,
        handlers: Iterable[logging.Handler] | None = None,
        level: int | str | None = None,
        backlog: int = DEFAULT_BACKLOG,
    ) -> None:
        """Check the arguments. Nothing is started.

        Args:
            client: A client that is connected, and not asynchronous.
            handlers: Get every record that their level lets through; None: this process's loggers handle the records.
            level: The workers' root level, a number or a name; None: this process's.
            backlog: Bytes that each worker holds for a slow handler before tasks that log wait.

        Raises:
            TypeError: The client is no `distributed.Client`, a handler no `logging.Handler`, the level neither int nor
                str, the backlog no int.
            ValueError: The level is unknown, or the backlog not greater than 0.
        """
        self._relay = ClusterRelay(client, handlers, level, backlog)

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all that tasks logged before the call has been handled.

        Args:
            timeout: Seconds to wait at most; None: as long as it takes.

        Returns:
            True if every record was handled; False if the timeout expired, or the connection to the scheduler is lost.

        Raises:
            RuntimeError: Called by a handler that handles a task's record, or in the client's event loop, which can't
                wait for themselves.
        """
        return self._relay.flush(timeout)

    def __enter__(self) -> Self:
        """Have the workers relay their records, those that are there and those that come.

        Raises:
            RuntimeError: It was started before; the client isn't connected, or is asynchronous; or a worker has no
                logpool.
        """
        self._relay.start()
        self._relay.take_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Handle all that finished tasks have logged, then leave the workers' logging as it was."""
        self._relay.close()


class DaskFuture(Future[T]):
    """A job's future, as `concurrent.futures` has it.

    Attributes:
        job_id: The number that the job's records have as `jobId`.
    """

    job_id: int
    _task: Any = None

    def cancel(self) -> bool:
        """Cancel the job. A function that runs already goes on, but its result is dropped.

        Returns:
            Whether the job is cancelled: False if it is done.
        """
        is_first = not self.cancelled()
        if not super().cancel():
            return False
        if is_first:
            with contextlib.suppress(Exception):  # The client is closed.
                self._task.cancel()
            self.set_running_or_notify_cancel()  # Wakes those that wait by `wait` or `as_completed`.
        return True


class LoggingDaskExecutor(Executor):
    """A `concurrent.futures.Executor` of a Dask cluster, which has each record of its jobs handled by this process."""

    def __init__(
        self,
        client: Client,
        *,
        workers: str | Iterable[str] | None = None,
        retries: int | None = None,
        log_handlers: Iterable[logging.Handler] | None = None,
        log_level: int | str | None = None,
        log_backlog: int = DEFAULT_BACKLOG,
    ) -> None:
        """Create an executor, and have the cluster's workers relay their records.

        Args:
            client: A client that is connected, and not asynchronous.
            workers: Addresses or hosts of the workers that may run the jobs; None: all.
            retries: How often a job that raises is run again; None: never.
            log_handlers: Get every record that their level lets through; None: the loggers of this process, with their
                handlers, handle the records.
            log_level: The workers' root level, a number or a name; None: this process's.
            log_backlog: Bytes that each worker holds for a slow handler before jobs that log wait.

        Raises:
            TypeError: As `relay_logs` raises it.
            ValueError: As `relay_logs` raises it.
            RuntimeError: As `relay_logs` raises it when it is entered.
        """
        self._relay = ClusterRelay(client, log_handlers, log_level, log_backlog)
        self._options: dict[str, Any] = {"pure": False}
        if workers is not None:
            self._options["workers"] = [workers] if isinstance(workers, str) else list(workers)
        if retries is not None:
            self._options["retries"] = retries
        self._lock = threading.Condition()  # Guards what follows.
        self._futures: dict[int, DaskFuture[Any]] = {}  # Of jobs that aren't done.
        self._count = 0
        self._is_shut_down = False
        self._relay.start()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> DaskFuture[T]:
        """Schedule a job on the cluster.

        Its records are handled in a copy of the caller's context (`contextvars`), and before its future is done.

        Args:
            fn: The callable.
            *args: Its arguments.
            **kwargs: Its arguments by name.

        Returns:
            The future, which has the attribute `job_id`: the number that the job's records have as `jobId`. If the job
            can't be pickled, it has the error.

        Raises:
            RuntimeError: The executor was shut down.
        """
        future: DaskFuture[T] = DaskFuture()
        with self._lock:
            if self._is_shut_down:
                raise RuntimeError("cannot schedule new futures after shutdown")
            self._count += 1
            number = future.job_id = self._count
            self._futures[number] = future
        self._relay.contexts[number] = copy_context()
        future.add_done_callback(self._forget)
        name = safe_name_of(fn)
        try:
            with dask.annotate(**self._relay.annotation((number, name))):
                task = self._relay.client.submit(
                    _call, fn, args, kwargs, key=f"{name}-{uuid.uuid4().hex}", **self._options
                )
        except Exception as error:
            future.set_exception(_cause_of(error))
            return future
        future._task = task
        task.add_done_callback(lambda done: _finish(future, done))
        return future

    def _forget(self, future: Future[Any]) -> None:
        number = future.job_id  # type: ignore[attr-defined]
        self._relay.contexts.pop(number, None)
        with self._lock:
            self._futures.pop(number, None)
            self._lock.notify_all()

    def flush_logs(self, timeout: float | None = None) -> bool:
        """Wait until all that jobs logged before the call has been handled.

        What a job logged before it ended has been handled when its result is there. This is for threads that jobs leave
        behind.

        Args:
            timeout: Seconds to wait at most; None: as long as it takes.

        Returns:
            True if every record was handled; False if the timeout expired, or the connection to the scheduler is lost.

        Raises:
            RuntimeError: As `relay_logs.flush` raises it.
        """
        return self._relay.flush(timeout)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more jobs, and end the relay when all jobs are done. The cluster and the client stay.

        Args:
            wait: Whether to return only when all jobs are done and all records handled. A handler that handles a job's
                record can't wait for itself: it never waits.
            cancel_futures: Whether to cancel the jobs that the scheduler hasn't handed to a worker yet.
        """
        with self._lock:
            is_first = not self._is_shut_down
            self._is_shut_down = True
        if cancel_futures:
            self._cancel()
        wait = wait and not self._relay.is_current_thread()
        if wait:
            self._close()
        elif is_first:
            # No daemon: the program doesn't end before its jobs.
            threading.Thread(target=self._close, name="logpool-dask-shutdown").start()

    def _cancel(self) -> None:
        try:
            running = {key for keys in self._relay.client.processing().values() for key in keys}
        except Exception:  # The scheduler is gone.
            running = set()
        with self._lock:
            futures = list(self._futures.values())
        for future in futures:
            if future._task is not None and future._task.key not in running:
                future.cancel()

    def _close(self) -> None:
        with self._lock:
            self._lock.wait_for(lambda: not self._futures)
        self._relay.close()


def _cause_of(error: BaseException) -> BaseException:
    """Return what an object raised when it was pickled, where distributed has wrapped that in an error of its own."""
    return error.__cause__ if isinstance(error, TypeError) and error.__cause__ is not None else error


def _call(function: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
    """Call a job's function. Runs in a worker."""
    return function(*args, **kwargs)


def _finish(future: DaskFuture[Any], task: Any) -> None:
    """Hand a task's result to its job's future."""
    with contextlib.suppress(Exception):  # It was cancelled meanwhile.
        if task.cancelled():
            if not future.cancelled():
                text = "The connection to the Dask scheduler was lost, or the cluster has cancelled the job"
                future.set_exception(BrokenExecutor(text))
            return
        try:
            result = task.result()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)
