"""`LoggingProcessPoolExecutor`: a `ProcessPoolExecutor` whose workers' log records are handled by this process.

    parent process                        manager process              worker processes
    LoggingProcessPoolExecutor
      └─ RelayService ───── starts ─────▶ serve
           RelayListener ◀── blocks ───── Broker ◀────── frames ────────── LogQueue
             rebuild                                                         ▲ RelayHandler
             the loggers of this process                                       flatten

`_parent` and `_manager` run in those processes alone. `_worker` is what a worker imports; the parent uses it, too,
where a class has two sides. `_record`, `_transport` and `_process` are of both ends.

Everything in this module runs in the parent. What it needs is imported when an executor is made: a spawned worker
imports the main module, and with it this one, but makes no executor as a rule; nor does each program that might.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import BaseContext

from logpool._process import advice, cpython, signals
from logpool._process.hints import TYPE_CHECKING, Any
from logpool._transport.wire import DEFAULT_BACKLOG

if TYPE_CHECKING:
    from typing import ParamSpec, TypeVar

    from logpool._parent.crash_reporter import CrashReporter
    from logpool._parent.jobs import JobFuture
    from logpool._parent.listener import RelayListener
    from logpool._parent.service import RelayService
    from logpool._transport.queue import LogQueue

    P = ParamSpec("P")
    T = TypeVar("T")


class LoggingProcessPoolExecutor(cpython.ExecutorHooks):
    """A `ProcessPoolExecutor` that has each record a worker logs handled as if this process had logged it.

    A program changes one import, and configures logging as if there was one process:

        import logging
        from logpool import LoggingProcessPoolExecutor

        def double(number):
            logging.getLogger("shop").info("doubling %d", number)
            return 2 * number

        if __name__ == "__main__":
            logging.basicConfig(filename="shop.log", level="INFO")
            with LoggingProcessPoolExecutor() as executor:
                print(list(executor.map(double, range(5))))
    """

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
        """Create an executor.

        The manager process, through which the workers' records come, is started by the first `submit`.

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
            TypeError: The context isn't one, a handler is no `logging.Handler`, the level is neither int nor str, or
                the backlog no int; or as `ProcessPoolExecutor` raises it.
            ValueError: The level is unknown, or the backlog not greater than 0; or as `ProcessPoolExecutor` raises it.
            OSError: The system has no process or descriptor left. Nothing is left behind.
        """
        from logpool._parent.arguments import check_context
        from logpool._parent.jobs import Jobs
        from logpool._parent.pool_thread import Wakeup
        from logpool._parent.service import RelayService
        from logpool._parent.settings_watch import SettingsWatch
        from logpool._worker.pool_queues import CallQueue, ResultQueue
        from logpool._worker.start import WorkerStart, initialize

        if initializer is not None and not callable(initializer):  # The base class is given one of ours.
            raise TypeError(f"initializer must be a callable, not {initializer!r}: pass it without parentheses")
        if check_context(mp_context) is None:  # As the base class chooses.
            mp_context = multiprocessing.get_context(None if max_tasks_per_child is None else "spawn")
        # Two underscores, here and below: a subclass of the program's may have any of these names.
        self.__jobs = Jobs()
        self.__relay = RelayService(mp_context, log_handlers, log_level, log_backlog, self.__jobs)
        # The pool's thread, also when `shutdown` has let go of it. Weakly, because it has the pool's pipes.
        self.__last_thread: Callable[[], threading.Thread | None] = lambda: None
        self.__submit_lock = threading.Lock()
        self.__relay_lock = threading.Lock()
        self.__has_ended = False
        self.__is_listened_to = False
        self.__is_shared = False  # Whether other processes than the workers may log into the queue.
        self.__crash_reporter = self.__make_crash_reporter()
        self.__worker_start = WorkerStart()
        self.__settings_watch = SettingsWatch()
        try:
            super().__init__(
                max_workers,
                mp_context,
                initialize,
                (self.__worker_start, initializer, initargs),
                max_tasks_per_child=max_tasks_per_child,
            )
            cpython.WorkIds.patch(self)
            CallQueue.patch(cpython.call_queue_of(self), self.__jobs.discard)
            ResultQueue.patch(cpython.result_queue_of(self))
            Wakeup.patch(cpython.wakeup_of(self))
        except BaseException:
            self.__relay.close()
            raise

    def __make_crash_reporter(self) -> CrashReporter:
        from logpool._parent.crash_reporter import CrashReporter

        relay = self.__relay

        def handle(record: logging.LogRecord) -> None:
            relay.listener.handle(record)  # Looked up late: the listener doesn't exist yet.

        return CrashReporter(relay.flush, handle)

    def __getstate__(self) -> object:
        raise TypeError(
            f"cannot pickle {type(self).__name__!r} object: an executor stays in its process. If a job is a method of "
            "an object that has one, submit a function, or leave the executor out in the object's __getstate__"
        )

    @property
    def log_queue(self) -> LogQueue:
        """The queue through which the workers' records come.

        Raises:
            RuntimeError: The executor was shut down before it had a queue.
            OSError: The system has no process or descriptor left for the manager process, which this may start.
        """
        queue = self.__started_relay().installation.queue
        self.__is_shared = True
        return queue

    @property
    def log_listener(self) -> RelayListener:
        """The `logging.handlers.QueueListener` that hands the records to this process's logging.

        Raises:
            RuntimeError: The executor was shut down before it had a listener.
            OSError: As for `log_queue`.
        """
        return self.__started_relay().listener

    def __started_relay(self) -> RelayService:
        # No lock once the relay runs: its holder may be waiting for the handler that called this.
        if not self.__relay.has_run or self.__relay.is_inherited:
            with self.__relay_lock:
                self.__prepare_relay()
                if not self.__relay.has_run:
                    self.__relay.launch()
        return self.__relay

    def __renew_relay(self) -> RelayService:
        self.__relay = self.__relay.anew()
        self.__is_listened_to = self.__is_shared = False
        self.__crash_reporter = self.__make_crash_reporter()
        return self.__relay

    def __prepare_relay(self) -> None:
        """Make what workers need, if it isn't there. The caller has _relay_lock."""
        relay = self.__relay
        if relay.has_run and not relay.is_inherited:
            return
        if self.__has_ended:
            raise RuntimeError("there is no log queue after shutdown: ask for it while the executor is open")
        if relay.is_inherited or relay.has_failed:
            # The executor was made by the process that this one was forked from, and used here first, as daemons do; or
            # the manager process couldn't be started before.
            relay = self.__renew_relay()
        if relay.is_new:
            relay.prepare()
        # Also where it was prepared before: an interrupt may have cut the last call short.
        manager = relay.manager
        self.__crash_reporter.directory = manager.directory
        self.__worker_start.installation = relay.installation
        self.__worker_start.parent_sentinel = manager.parent_sentinel
        self.__worker_start.directory = manager.directory

    def flush_logs(self, timeout: float | None = None) -> bool:
        """Wait until all that workers logged before the call has been handled.

        What a job logged before it ended has been handled when its result is there. This is for threads that jobs leave
        behind, and for other processes.

        Args:
            timeout: Seconds to wait at most; None: as long as it takes.

        Returns:
            True if every record was handled; False if the timeout expired, the manager process is gone, or
            `log_listener` was stopped.

        Raises:
            RuntimeError: Called by a handler that handles a worker's record, which can't wait for itself.
        """
        if not (cpython.job_count_of(self) or self.__is_shared) or not self.__relay.has_run:
            return True  # No process has anything that it could have logged into.
        if not self.__relay.listener.is_current_thread():  # Else it is a handler, which will be told.
            self.__listen()
        return self.__relay.flush(timeout)

    def __listen(self) -> None:
        """Start the listener's thread, if it hasn't been: what the program has stopped isn't started again."""
        if self.__is_listened_to:  # Without the lock, which a thread may have that waits for the caller, a handler.
            return
        with self.__relay_lock:
            if self.__is_listened_to:
                return
            self.__is_listened_to = True
        try:
            self.__relay.listen()
        except BaseException as error:
            # The system has no thread left, say: the next submit tries again. And interpreters that shut down start
            # none. The jobs go on; shutdown, or the end of the interpreter, has their records handled.
            self.__is_listened_to = False
            if not isinstance(error, RuntimeError):
                raise

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the pool, as `ProcessPoolExecutor.shutdown` does.

        Args:
            wait: Whether to return only when all jobs are done, all records are handled, and all that was started for
                them has ended. A handler that handles a worker's record can't wait for itself: it never waits.
            cancel_futures: As for `ProcessPoolExecutor`.
        """
        self.__has_ended = True
        self.__settings_watch.close()
        if self.__crash_reporter.is_current_thread() or (
            self.__relay.has_run and self.__relay.listener.is_current_thread()
        ):
            wait = False
        try:
            super().shutdown(wait, cancel_futures=cancel_futures)
        finally:
            thread = self.__last_thread()
            if thread is not None and thread.ident is None:  # It couldn't be started, or an interrupt came first.
                thread = None
            if thread is None:  # Or there never was a job, or it has ended.
                with self.__relay_lock:
                    self.__relay.close()
        if wait and thread is not None:
            thread.join()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> JobFuture[T]:
        """Schedule a job, as `ProcessPoolExecutor.submit` does.

        Its records are handled in a copy of the caller's context (`contextvars`), and before its future is done. A slow
        handler keeps futures waiting so, for no more than 10 seconds a record, but neither workers nor other futures.

        Args:
            fn: The callable.
            *args: Its arguments.
            **kwargs: Its arguments by name.

        Returns:
            The future. Its attribute `job_id` is the number that the job's records have as `jobId`.

        Raises:
            BrokenProcessPool: As `ProcessPoolExecutor.submit` raises it.
            RuntimeError: The same.
            OSError: The system has no process or descriptor left for a worker, or for the manager process.
        """
        with self.__submit_lock:
            work_id = cpython.job_count_of(self)
            call_queue = cpython.call_queue_of(self)
            if call_queue is not None:
                call_queue.submitted.append((work_id, fn, self.__settings_watch.changes()))
            # Before the job can log.
            self.__jobs.add(work_id + 1)
            try:
                future = super().submit(fn, *args, **kwargs)
            except BaseException as error:
                if isinstance(error, BrokenProcessPool):
                    self.__crash_reporter.explain(error)
                self.__undo_submit(work_id)
                raise
            self.__jobs.follow(future, work_id + 1)
            if not self.__is_listened_to:
                self.__listen()
        return future  # type: ignore[return-value]

    def __undo_submit(self, work_id: int) -> None:
        if not cpython.finish_count(self, work_id):
            self.__jobs.discard(work_id + 1)
            call_queue = cpython.call_queue_of(self)
            if call_queue is not None and call_queue.submitted and call_queue.submitted[-1][0] == work_id:
                call_queue.submitted.pop()  # Else the next job, which has the same number, gets its name.
            return
        self.__jobs.interrupted.append(work_id + 1)
        wakeup = cpython.wakeup_of(self)
        if wakeup is not None:
            wakeup.wakeup()

    if sys.version_info >= (3, 14):

        def terminate_workers(self) -> None:
            """End the workers, as `ProcessPoolExecutor.terminate_workers` does. Their end is not reported.

            Python 3.14 and newer have it.
            """
            self.__crash_reporter.expected = True
            super().terminate_workers()

        def kill_workers(self) -> None:
            """End the workers, as `ProcessPoolExecutor.kill_workers` does. Their end is not reported.

            Python 3.14 and newer have it.
            """
            self.__crash_reporter.expected = True
            super().kill_workers()

    @contextlib.contextmanager
    def _logpool_around_worker_start(self) -> Iterator[None]:
        from logpool._parent.main_module_guard import main_module_guarded

        with self.__relay_lock:
            self.__prepare_relay()
        start_method = cpython.start_method_of(self)
        with contextlib.ExitStack() as stack:
            stack.enter_context(main_module_guarded(start_method))
            stack.enter_context(advice.on_worker_start(start_method))
            if start_method == "fork":
                # A signal that comes during the fork is handled in the first hook behind that, and a Ctrl-C ends it:
                # that of `logging`, by which a lock is released that the listener waits for.
                self.__worker_start.signal_mask = stack.enter_context(signals.blocked())
            try:
                yield
            except BaseException:
                call_queue = cpython.call_queue_of(self)
                if call_queue is not None:
                    call_queue.strangers += 1
                raise
        # The pool's thread watches the workers that it knew when it began to wait, and `submit` wakes it before it
        # starts another. If that one dies before anything else happens, nothing notices, and its job's future waits for
        # ever. So the thread is woken once more.
        wakeup = cpython.wakeup_of(self)
        if cpython.pool_thread_of(self) is not None and wakeup is not None:
            wakeup.wakeup()

    def _logpool_before_pool_thread(self, thread: Any) -> None:
        from logpool._parent.pool_thread import PoolThread

        # Only here is the pool's thread known before it runs. Once it runs it may be too late to patch it: the first
        # worker can die before the thread that submits is on a CPU again. The manager process is launched after the
        # first worker, which takes longer to become ready.
        try:
            self.__started_relay()
        except BaseException:
            # So the worker ends by itself. It is forgotten, so that the next `submit` starts another.
            self.__relay.close()
            self.__renew_relay()
            cpython.workers_of(self).clear()
            raise
        start_method = cpython.start_method_of(self)
        PoolThread.patch(thread, self.__crash_reporter, self.__jobs, start_method, self.__relay.close)
        self.__last_thread = weakref.ref(thread)
        self.__listen()
