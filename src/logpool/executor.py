"""`LoggingProcessPoolExecutor`: a `ProcessPoolExecutor` whose workers' log records are handled by this process.

    parent process                              manager process         worker processes
    LoggingProcessPoolExecutor                                          worker.py: Installation.install
      └─ LogRelay (relay.py) ── starts ───────▶ LogManager (manager.py)   └─ RelayHandler (handler.py)
           RelayListener (listener.py) ◀─ blocks ─ Exchange ◀─ frames ──────── LogQueue (queues.py)
           record.py: rebuild                                                 record.py: flatten

Everything in this module runs in the parent.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import sys
import threading
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing.context import BaseContext

from logpool.crash import DeathWatch
from logpool.frames import DEFAULT_BACKLOG
from logpool.hints import TYPE_CHECKING, Any
from logpool.import_guard import main_module_guarded
from logpool.jobs import CallQueue, ResultQueue
from logpool.pool import PoolThread, Wakeup
from logpool.settings import Watch
from logpool.worker import WorkerStart, initialize

if TYPE_CHECKING:
    from typing import ParamSpec, TypeVar

    from logpool.listener import RelayListener
    from logpool.queues import LogQueue
    from logpool.relay import RelayParts

    P = ParamSpec("P")
    T = TypeVar("T")

    class JobFuture(Future[T]):
        """What `submit` returns is a plain future with one more attribute. For type checkers alone."""

        job_id: int


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
        if initializer is not None and not callable(initializer):  # The base class is given one of ours.
            raise TypeError("initializer must be a callable")
        if mp_context is None:  # As the base class chooses.
            mp_context = multiprocessing.get_context(None if max_tasks_per_child is None else "spawn")
        # Here, because a spawned worker imports the main module, and with it this one, but makes no executor as a rule.
        from logpool.relay import RelayParts

        self._relay = RelayParts(mp_context, log_handlers, log_level, log_backlog)
        # The pool's thread, also when `shutdown` has let go of it. Weakly, because it has the pool's pipes.
        self._last_thread: Callable[[], threading.Thread | None] = lambda: None
        self._submit_lock = threading.Lock()
        self._relay_lock = threading.Lock()
        self._has_ended = False
        self._death_watch = DeathWatch(self._relay.flush)
        self._worker_start = WorkerStart()
        self._watch = Watch()
        if mp_context.get_start_method() == "fork":
            # The base class says no to bad arguments below. With fork that would be after the manager was started.
            ProcessPoolExecutor(max_workers, mp_context, initializer, initargs, max_tasks_per_child=max_tasks_per_child)
            # Before the pool makes its pipes: a forked manager process that had the reading end of the call queue would
            # keep the queue's feeder thread waiting after all workers have died (CPython's test_crash_big_data). With
            # the other methods it is started with the first worker, like anything of the stock class's: a module that
            # each worker imports may make an executor.
            self._started_relay()
        try:
            super().__init__(
                max_workers,
                mp_context,
                initialize,
                (self._worker_start, initializer, initargs),
                max_tasks_per_child=max_tasks_per_child,
            )
            CallQueue.adopt(self._call_queue)  # type: ignore[attr-defined]
            ResultQueue.adopt(self._result_queue)
            Wakeup.adopt(self._executor_manager_thread_wakeup)
        except BaseException:
            self._relay.close()
            raise

    @property
    def log_queue(self) -> LogQueue:
        """The queue through which the workers' records come.

        Raises:
            RuntimeError: The executor was shut down before it had a queue.
        """
        return self._started_relay().installation.queue

    @property
    def log_listener(self) -> RelayListener:
        """The `logging.handlers.QueueListener` that hands the records to this process's logging.

        Raises:
            RuntimeError: The executor was shut down before it had a listener.
        """
        return self._started_relay().listener

    def _started_relay(self) -> RelayParts:
        if not self._relay.is_launched:  # Else without the lock: who has it may wait for the handler that calls this.
            with self._relay_lock:
                self._prepare_relay()
                if not self._relay.is_launched:
                    self._relay.launch()
        return self._relay

    def _prepare_relay(self) -> None:
        """Makes what workers need, if it isn't there. The caller has _relay_lock."""
        if self._relay.is_another_processes:
            # The executor was made by the process that this one was forked from, and used here first: as daemons do.
            self._relay = self._relay.anew()
            self._death_watch = DeathWatch(self._relay.flush)
        if self._relay.is_launched:
            return
        if self._has_ended:
            raise RuntimeError("cannot start a log relay after shutdown")
        if not self._relay.is_prepared:
            self._relay.prepare()
        # Again where the last call was interrupted here.
        manager = self._relay.manager
        self._death_watch.directory = manager.directory
        self._worker_start.installation = self._relay.installation
        self._worker_start.lifeline = manager.lifeline
        self._worker_start.directory = manager.directory

    def flush_logs(self, timeout: float | None = None) -> bool:
        """Waits until all that workers logged before the call has been handled.

        Args:
            timeout: Seconds to wait at most; None: as long as it takes.

        Returns:
            Whether that happened: False if the time was over first, the manager process is gone, or nobody handles
            records, because `log_listener` was stopped.

        Raises:
            RuntimeError: Called by a handler that handles a worker's record, which can't wait for itself.
        """
        # Before the first job there are no workers, and there is no listener.
        return not self._queue_count or self._relay.flush(timeout)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends the pool, as `ProcessPoolExecutor.shutdown` does.

        Args:
            wait: Whether to return only when all jobs are done, all records are handled, and all that was started for
                them has ended. A handler that handles a worker's record can't wait for itself: it never waits.
            cancel_futures: As for `ProcessPoolExecutor`.
        """
        self._has_ended = True
        self._watch.close()
        if self._relay.is_prepared and self._relay.listener.is_current_thread():
            wait = False
        try:
            super().shutdown(wait, cancel_futures=cancel_futures)
        finally:
            thread = self._last_thread()
            if thread is not None and thread.ident is None:  # It couldn't be started, or an interrupt came first.
                thread = None
            if thread is None:  # Or there never was a job, or it has ended.
                with self._relay_lock:
                    self._relay.close()
        if wait and thread is not None:
            thread.join()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> JobFuture[T]:
        """Schedules a job, as `ProcessPoolExecutor.submit` does.

        Args:
            fn: The callable.
            *args: Its arguments.
            **kwargs: Its arguments by name.

        Returns:
            The future, which has the attribute `job_id`: the number that the job's records have as `jobId`.

        Raises:
            BrokenProcessPool: As `ProcessPoolExecutor.submit` raises it.
            RuntimeError: The same.
            OSError: The system has no process or descriptor left for a worker, or for the manager process.
        """
        with self._submit_lock:
            if self._call_queue is not None:  # type: ignore[attr-defined]  # None after shutdown.
                self._call_queue.settings = self._watch.changes()  # type: ignore[attr-defined]
            future = super().submit(fn, *args, **kwargs)
            # Private: how many jobs there were. Counting here would go wrong when a submit fails half-way.
            future.job_id = self._queue_count  # type: ignore[attr-defined]
        return future  # type: ignore[return-value]

    if sys.version_info >= (3, 14):

        def terminate_workers(self) -> None:
            """Ends the workers, as `ProcessPoolExecutor.terminate_workers` does. Their end is not reported."""
            self._death_watch.expected = True
            super().terminate_workers()

        def kill_workers(self) -> None:
            """Ends the workers, as `ProcessPoolExecutor.kill_workers` does. Their end is not reported."""
            self._death_watch.expected = True
            super().kill_workers()

    def _spawn_process(self) -> None:
        # A private method of the base class. Its thread watches the workers that it knew when it began to wait, and
        # `submit` wakes it before it starts another. If that one dies before anything else happens, nobody ever
        # notices, and its job's future waits for ever. So the thread is woken once more.
        with self._relay_lock:
            self._prepare_relay()
        with main_module_guarded(self._mp_context.get_start_method()):  # type: ignore[union-attr]
            super()._spawn_process()  # type: ignore[misc]  # Typeshed doesn't know it.
        wakeup = self._executor_manager_thread_wakeup
        if self._executor_manager_thread is not None and wakeup is not None:
            wakeup.wakeup()

    @property
    def _executor_manager_thread(self) -> Any:  # Typeshed has another type for it.
        return self._pool_thread

    @_executor_manager_thread.setter
    def _executor_manager_thread(self, thread: Any) -> None:
        # A private attribute of the base class: the one place where the thread that outlives every other part of the
        # pool is known before it runs. Once it runs it may be too late: the first worker can die before the thread that
        # submits is on a CPU again. Set under the pool's lock, after the first `submit` has forked the workers; and to
        # None by the constructor and by `shutdown`.
        if thread is not None:
            # Now, and not before the first worker: that one has more to do before the first result is there.
            try:
                self._started_relay()
            except BaseException:
                # So the worker ends by itself. It is forgotten (privately, as there is no public way), so that the next
                # `submit` starts another.
                self._relay.abandon()
                self._processes.clear()
                raise
            PoolThread.adopt(thread, self._death_watch, self._relay.close)
            self._last_thread = weakref.ref(thread)
            # Interpreters that shut down start no threads. The jobs go on; shutdown, or the end of the interpreter, has
            # their records handled.
            with contextlib.suppress(RuntimeError):
                self._relay.listen()
        self._pool_thread = thread
