"""`LoggingProcessPoolExecutor`: a `ProcessPoolExecutor` whose workers' log records are handled by this process.

    parent process                              manager process         worker processes
    LoggingProcessPoolExecutor                                          worker.py: Installation.install
      └─ LogRelay (relay.py) ── starts ───────▶ LogManager (manager.py)   └─ RelayHandler (handler.py)
           RelayListener (listener.py) ◀─ blocks ─ Exchange ◀─ frames ──────── LogQueue (queues.py)
           record.py: rebuild                                                 record.py: flatten

Everything in this module but `_initialize` runs in the parent.
"""

from __future__ import annotations

import logging
import multiprocessing
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.context import BaseContext
from typing import Any

from logpool.listener import RelayListener
from logpool.queues import LogQueue
from logpool.relay import DEFAULT_BACKLOG, LogRelay
from logpool.worker import Installation


class LoggingProcessPoolExecutor(ProcessPoolExecutor):
    """A `ProcessPoolExecutor` that has each record a worker logs handled as if this process had logged it."""

    def __init__(
        self,
        max_workers: int | None = None,
        mp_context: BaseContext | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        max_tasks_per_child: int | None = None,
        log_handlers: Iterable[logging.Handler] | None = None,
        log_level: int | str | None = None,
        log_backlog: int = DEFAULT_BACKLOG,
    ) -> None:
        """Makes an executor, and starts the manager process through which its workers' records will come.

        Args:
            max_workers: As for `ProcessPoolExecutor`.
            mp_context: As for `ProcessPoolExecutor`.
            initializer: As for `ProcessPoolExecutor`. Its records are relayed, too.
            initargs: As for `ProcessPoolExecutor`.
            max_tasks_per_child: As for `ProcessPoolExecutor`.
            log_handlers: Get every record that their level lets through; None: the loggers of this process, with their
                handlers, handle the records.
            log_level: The workers' root level, a number or a name; None: the level that this process's root logger has
                when the worker starts.
            log_backlog: Bytes that are held for a slow handler before workers that log wait.

        Raises:
            TypeError: A handler is no `logging.Handler`, the level neither int nor str, the backlog no int; or as
                `ProcessPoolExecutor` raises it.
            ValueError: The level is unknown, or the backlog not greater than 0; or as `ProcessPoolExecutor` raises it.
            OSError: The system has no process, descriptor or port left. Nothing is left behind.
        """
        # The base class says no to bad arguments, and starts nothing: so it is asked before anything is started.
        ProcessPoolExecutor(max_workers, mp_context, initializer, initargs, max_tasks_per_child=max_tasks_per_child)
        if mp_context is None:  # As the base class chooses.
            mp_context = multiprocessing.get_context(None if max_tasks_per_child is None else "spawn")
        self._relay = LogRelay(mp_context, handlers=log_handlers, level=log_level, backlog=log_backlog)
        self._keeper: threading.Thread | None = None
        # Before the pool makes its pipes: a forked manager process that had the reading end of the call queue would
        # keep the queue's feeder thread waiting after all workers have died (CPython's test_crash_big_data).
        self._relay.start()
        try:
            super().__init__(
                max_workers,
                mp_context,
                _initialize,
                (self._relay.installation, initializer, initargs),
                max_tasks_per_child=max_tasks_per_child,
            )
        except BaseException:
            self._relay.close()
            raise

    @property
    def log_queue(self) -> LogQueue:
        """The queue through which the workers' records come."""
        return self._relay.queue

    @property
    def log_listener(self) -> RelayListener:
        """The `logging.handlers.QueueListener` that hands the records to this process's logging."""
        return self._relay.listener

    def flush_logs(self, timeout: float | None = None) -> bool:
        """Waits until all that workers logged before the call has been handled.

        Args:
            timeout: Seconds to wait at most; None: as long as it takes.

        Returns:
            Whether that happened: False if the time was over first, or the manager process is gone.

        Raises:
            RuntimeError: Called by a handler that handles a worker's record, which can't wait for itself.
        """
        return self._relay.flush(timeout)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends the pool, as `ProcessPoolExecutor.shutdown` does.

        Args:
            wait: Whether to return only when all jobs are done, all records are handled, and all that was started for
                them has ended. A handler that handles a worker's record can't wait for itself: it never waits.
            cancel_futures: As for `ProcessPoolExecutor`.
        """
        wait = wait and not self._relay.listener.is_current_thread()
        super().shutdown(wait, cancel_futures=cancel_futures)
        if self._keeper is None:  # It never had a job.
            self._relay.close()
        elif wait:
            if self._keeper.ident is None:  # There was no thread to be had.
                self._keeper.run()
            else:
                self._keeper.join()

    def _start_executor_manager_thread(self) -> None:
        # A private method of the base class: the one place where the thread that outlives every other part of the pool
        # is known and can't be taken away by a `shutdown` in another thread, and from where it may be joined however
        # the pool ends. Called by each `submit`, under the pool's lock, after the first has forked its workers.
        super()._start_executor_manager_thread()
        if self._keeper is None:
            pool_thread: Any = self._executor_manager_thread  # Typeshed has another type for it.
            self._keeper = threading.Thread(
                target=_keep, args=(pool_thread, self._relay), name="logpool-keeper", daemon=False
            )
            try:
                self._relay.listen()
                self._keeper.start()
            except RuntimeError:
                # Interpreters that shut down start no threads. The jobs go on; shutdown, or the end of the interpreter,
                # has their records handled.
                pass


def _keep(pool_thread: threading.Thread, relay: LogRelay) -> None:
    """Closes the relay when the pool has ended, however it ended: the keeper thread.

    It isn't a daemon, so an interpreter that exits waits for it.
    """
    pool_thread.join()
    relay.close()


def _initialize(
    installation: Installation, initializer: Callable[..., object] | None, initargs: tuple[Any, ...]
) -> None:
    """A worker's initializer: installs, then runs the user's own."""
    installation.install()
    if initializer is not None:
        initializer(*initargs)
