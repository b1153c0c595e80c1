"""Parts of the standard library's pool that ours needs to be different. Everything here runs in the parent.

Nothing public serves for these. Each class takes the place of the one it extends by `patch`, on the object that the
pool has made. What workers do with the pool's queues is in `_worker/pool_queues.py`.

What CPython passes to a method that is overridden here is passed on, also what this module doesn't know: a later
version may add to it. An error in the pool's thread would leave each future without a result.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from traceback import format_exception, format_exception_only

from logpool._parent.crash_reporter import CrashReporter, wait_for_end
from logpool._parent.jobs import STUCK, Jobs
from logpool._parent.main_module_guard import main_module_guarded
from logpool._process import cpython
from logpool._process.hints import Any

GRACE = 10.0
"""Seconds for which workers are waited for that end by themselves, once the pool is broken or one of them has died."""

BEGINNING = 1.0
"""Seconds after which a thread whose start was interrupted is taken for one that was never started."""

WAKEUPS = 2**16
"""Bytes of wake-ups that are read at once."""


class Waiter:
    """Waits for several sources, as `connection.wait` does, in a tenth of the time: it keeps what the system polls."""

    def __init__(self) -> None:
        self._numbers: list[int] = []
        self._by_number: dict[int, Any] = {}
        self._poll: Callable[[float | None], list[tuple[int, int]]] = lambda _: []

    def wait(self, connections: list[Any], numbers: list[int], timeout: float | None) -> list[Any]:
        """Return what is ready.

        Args:
            connections: The same in each call.
            numbers: Sentinels of processes.
            timeout: Seconds to wait at most; None: as long as it takes.
        """
        if not hasattr(select, "poll"):
            return connection.wait([*connections, *numbers], timeout)
        if numbers != self._numbers or not self._by_number:
            self._numbers = numbers
            self._by_number = {source.fileno(): source for source in connections} | {one: one for one in numbers}
            poller = select.poll()
            for number in self._by_number:
                poller.register(number, select.POLLIN)
            self._poll = poller.poll
        ready = self._poll(None if timeout is None else timeout * 1000)
        return [self._by_number[number] for number, _ in ready]


class Wakeup(cpython.ThreadWakeup):
    """What wakes the pool's thread up, also while that is just closing it, but never in a forked child.

    An interpreter that exits wakes all pools up, without the lock that otherwise protects this. If a pool is ending by
    itself at that moment, the interpreter prints a traceback: "Bad file descriptor". So there is a lock here, where
    Python has none of its own yet: those of 3.12.8, 3.13.1, 3.14 and newer have.

    A forked child, too, does this for all its parent's pools when it exits. They have no thread there, but the lock,
    Python's own or this one, may be one that another thread of the parent held when it forked: held for ever.
    """

    guard: contextlib.AbstractContextManager[object]
    owner: int
    """The process that has the pool's thread. An executor may be made, and then used in a forked child alone."""

    @classmethod
    def patch(cls, wakeup: Any) -> None:
        """Make a pool's wakeup one of this class. Runs before the pool has a thread.

        Args:
            wakeup: As the pool has made it.
        """
        wakeup.guard = contextlib.nullcontext() if cpython.has_lock(wakeup) else threading.Lock()
        wakeup.owner = os.getpid()
        if os.name == "posix":
            os.set_blocking(cpython.reading_end_of(wakeup).fileno(), False)
        wakeup.__class__ = cls

    def wakeup(self, *args: Any, _getpid: Callable[[], int] = os.getpid, **kwargs: Any) -> None:
        """Wake the pool's thread up, if it hasn't ended and is one of this process."""
        # Also called when an executor is collected, which may be after the interpreter has cleared this module's names.
        if _getpid() == self.owner:
            with self.guard:
                super().wakeup(*args, **kwargs)

    def clear(self, *args: Any, **kwargs: Any) -> None:
        """Take all wake-ups that there are. The pool's thread does so each time that it was woken.

        By one read of what is in the pipe, where the base class polls it before and after each wake-up: that takes
        more time than all else that a job costs beside the stock pool.
        """
        if cpython.is_closed(self) or os.name != "posix":
            super().clear(*args, **kwargs)
            return
        with contextlib.suppress(BlockingIOError):
            while len(os.read(cpython.reading_end_of(self).fileno(), WAKEUPS)) == WAKEUPS:
                pass

    def close(self, *args: Any, **kwargs: Any) -> None:
        """Close the pipe. The pool's thread does so when it ends."""
        with self.guard:
            super().close(*args, **kwargs)


class ExplainedFuture:
    """Takes a future's place while the pool breaks, and adds to its error why a worker died."""

    def __init__(self, future: Future[Any], reporter: CrashReporter) -> None:
        self._future = future
        self._reporter = reporter

    def __getattr__(self, name: str) -> Any:
        return getattr(self._future, name)

    def set_exception(self, error: BaseException | None) -> None:
        """Fail the future."""
        if isinstance(error, BrokenProcessPool):
            self._reporter.explain(error)
        self._future.set_exception(error)


class PoolThread(cpython.PoolThreadHooks):
    """The pool's own thread, which outlives all else of the pool, however that ends.

    It isn't a daemon: an interpreter that exits waits for it, and so for what comes last.
    """

    reporter: CrashReporter
    jobs: Jobs
    at_end: Callable[[], object]
    is_broken: bool
    runs: threading.Event
    over: threading.Event
    waiter: Waiter
    start_method: str

    @classmethod
    def patch(
        cls, thread: Any, reporter: CrashReporter, jobs: Jobs, start_method: str, at_end: Callable[[], object]
    ) -> None:
        """Make a pool's thread one of this class. Runs before the thread does.

        Args:
            thread: As the pool has made it.
            reporter: Told when a worker has died.
            jobs: The pool's.
            start_method: By which the pool's workers are started.
            at_end: Called in the thread when the pool has ended.
        """
        thread.thread_wakeup.owner = os.getpid()
        thread.reporter = reporter
        thread.jobs = jobs
        jobs.wake = thread.thread_wakeup.wakeup
        thread.start_method = start_method
        thread.at_end = at_end
        thread.is_broken = False
        thread.runs = threading.Event()
        thread.over = threading.Event()
        thread.waiter = Waiter()
        thread.__class__ = cls

    def start(self) -> None:
        """Start the thread. The caller, `submit`, has the pool's lock.

        Raises:
            RuntimeError: No thread can be started. The pool is broken: it would take jobs that nothing handles.
        """
        try:
            super().start()
        except BaseException as error:
            # An interrupt, Ctrl-C say, comes before the thread was started, or while this waits until it runs.
            if isinstance(error, RuntimeError) or not self.runs.wait(BEGINNING):
                executor = self.executor_reference()
                if executor is not None:
                    why = "The process pool's thread could not be started, the process pool is not usable"
                    cpython.break_executor(executor, why)
            raise

    def run(self) -> None:
        """Run the pool. Whatever ends it, every future has a result, and no worker is left."""
        try:
            self.runs.set()
            super().run()
        except BaseException as error:
            self._break(error)
            raise  # For threading.excepthook, as in the base class.
        finally:
            try:
                self.reporter.wait()
            finally:
                try:
                    self.at_end()
                finally:
                    self.over.set()

    def join(self, timeout: float | None = None) -> None:
        """Wait until the thread has ended, also after a call that was interrupted. If it was never started, return."""
        if self.ident is None:
            return
        # A join that is interrupted makes Python (3.11, 3.12) believe that the thread has ended.
        if self.is_alive() and threading.current_thread() is not self:
            self.over.wait(timeout)
        super().join(timeout)

    def wait_result_broken_or_wakeup(self, *args: Any, **kwargs: Any) -> Any:
        """Wait for what comes next, as the base class does, if there is a worker from which it can come."""
        if not cpython.REPLACES_DEAD_WORKERS and not self._ensure_worker():
            return None, True, ["the last worker has left by max_tasks_per_child, and the executor is gone"]
        self.jobs.workers = len(self.processes)
        came = self._wait()
        if came is None:
            came = super().wait_result_broken_or_wakeup(*args, **kwargs)
        for result_item in self.jobs.ready():
            self._finish(result_item)
        while self.jobs.interrupted:
            self._drop_if_lost(self.jobs.interrupted.popleft())
        return came

    def _drop_if_lost(self, number: int) -> None:
        """Drop a job whose `submit` was interrupted, by Ctrl-C say, before the job was in this thread's queue.

        This thread would wait for it for ever. No other thread takes jobs out of that queue.
        """
        work_id = number - 1
        work_item = self.pending_work_items.get(work_id)
        if work_item is None or work_item.future.running() or work_item.future.done():
            return
        work_ids: Any = self.work_ids_queue
        if work_id not in work_ids:
            del self.pending_work_items[work_id]
            self.jobs.discard(number)

    def _wait(self) -> Any:
        """Wait as the base class does, in a third of the time. If the listener is stuck meanwhile, hold nothing back.

        Returns:
            What the base class returns for a result or a wake-up; None: it is to look itself, as a worker has ended.
        """
        results = cpython.result_reader_of(self.result_queue)
        wakeup = cpython.reading_end_of(self.thread_wakeup)
        sentinels = [worker.sentinel for worker in list(self.processes.values())]
        progress = self.jobs.progress
        while not (ready := self.waiter.wait([results, wakeup], sentinels, STUCK if self.jobs.held else None)):
            if self.jobs.progress == progress:
                self.jobs.release_all()
            progress = self.jobs.progress
        result_item = cause = None
        if results in ready:
            try:
                result_item = results.recv()
            except BaseException as error:
                cause = format_exception(error)
        elif wakeup not in ready:
            return None
        self.thread_wakeup.clear()
        return result_item, cause is not None, cause

    def _ensure_worker(self) -> bool:
        """Start a worker if none is left for the jobs. Return whether there is one."""
        # Pythons before 3.14.10 and 3.15 don't replace a worker that has left by `max_tasks_per_child` once the
        # executor was collected or shut down without waiting, or when a count of idle workers that includes it says
        # that there is another; they wait for a result that can't come.
        if self.processes or len(self.pending_work_items) <= len(self.jobs.held):
            return True
        with self.shutdown_lock:  # A `submit` that goes on has it until there is its worker.
            executor = self.executor_reference()
            if not self.processes and executor is not None and cpython.workers_of(executor) is not None:
                cpython.spawn_worker(executor)
            return bool(self.processes)

    def _take_held(self) -> dict[Any, Any]:
        pending = self.pending_work_items
        return {number - 1: pending.pop(number - 1) for number in self.jobs.held if number - 1 in pending}

    def replace_dead_worker(self, *args: Any, **kwargs: Any) -> Any:
        """Replace a worker that has left, as the base class does, if there are jobs left that have no result yet."""
        held = self._take_held()
        try:
            with main_module_guarded(self.start_method):
                return super().replace_dead_worker(*args, **kwargs)
        finally:
            self.pending_work_items.update(held)

    def process_result_item(self, result_item: Any, *args: Any, **kwargs: Any) -> None:
        """Hand a result to its future, as the base class does, or keep it back until its records have been handled.

        The job stays among the pending ones until then, so that this thread does not end.
        """
        number = getattr(result_item, "work_id", -1) + 1
        if not self.jobs.hold(number, getattr(result_item, "log_positions", ()), result_item):
            self._finish(result_item, *args, **kwargs)

    def _finish(self, result_item: Any, *args: Any, **kwargs: Any) -> None:
        work_id: Any = getattr(result_item, "work_id", None)
        work_item = self.pending_work_items.get(work_id)
        try:
            super().process_result_item(result_item, *args, **kwargs)
        except BaseException:
            if work_item is not None and not work_item.future.done():
                self.pending_work_items[work_id] = work_item  # So that it fails with the others.
            raise

    def flag_executor_shutting_down(self, *args: Any, **kwargs: Any) -> None:
        """Cancel the pending jobs, as the base class does, if that is wanted.

        It replaces the dictionary of the pending ones, which the call queue has as well: a job that can't be pickled
        would be taken out of the old one, and waited for in the new one for ever.
        """
        pending = self.pending_work_items
        super().flag_executor_shutting_down(*args, **kwargs)
        for work_id in pending.keys() - self.pending_work_items.keys():
            pending.pop(work_id, None)
        self.pending_work_items = pending

    def terminate_broken(self, *args: Any, **kwargs: Any) -> None:
        """Fail all futures and end all workers, as the base class does, after the workers that have died are reported.

        Args:
            *args: As the base class has them.
            **kwargs: As the base class has them.
        """
        self.is_broken = True
        # A copy: `submit` may add to both meanwhile.
        running = {work_id + 1 for work_id in list(self.pending_work_items)} - self.jobs.held
        self.reporter.report(list(self.processes.values()), running)
        self._refuse_jobs()
        # These have a result, which they get when the others have been told: a handler may wait for one of those.
        held = self._take_held()
        try:
            for work_item in list(self.pending_work_items.values()):
                explained: Any = ExplainedFuture(work_item.future, self.reporter)
                work_item.future = explained
            super().terminate_broken(*args, **kwargs)
        finally:
            self.pending_work_items.update(held)
            self._finish_held()

    def shutdown_workers(self, *args: Any, **kwargs: Any) -> None:
        """Tell all workers to leave, as the base class does, and wait until they have."""
        super().shutdown_workers(*args, **kwargs)
        self._dismiss_strangers()  # Those for whom there is no room yet, as others leave.
        self._wait_for_workers()

    def join_internals(self, *args: Any, **kwargs: Any) -> None:
        """Wait until all workers have ended if the pool is broken, and have the base class join them."""
        if self.is_broken:
            self._wait_for_workers()
        super().join_internals(*args, **kwargs)

    def _wait_for_workers(self) -> None:
        """Wait until all workers have ended, so that the base class has nothing to wait for.

        It joins one after the other, for ever where a worker doesn't end by SIGTERM (one that was forked has the
        parent's handlers of signals), or waits for the lock of the call queue that another held when it was killed.

        Why not by the sentinels: a child that a worker has forked, and that goes on, holds those open.
        """
        if self.is_broken:
            for worker in list(self.processes.values()):
                worker.terminate()
        with contextlib.ExitStack() as descriptors:
            workers: dict[int, Any] = {}
            ended: list[Any] = []
            try:
                for worker in list(self.processes.values()):
                    try:
                        descriptor = os.pidfd_open(worker.pid)  # type: ignore[arg-type]  # It was started.
                    except ProcessLookupError:  # The forkserver has waited for it.
                        ended.append(worker)
                    else:
                        descriptors.callback(os.close, descriptor)
                        workers[descriptor] = worker
            except (AttributeError, OSError):  # No Linux, or no descriptor is left. The base class waits.
                if self.is_broken:
                    self._kill_soon()
            else:
                self._wait_for_ends(workers, ended)

    def _wait_for_ends(self, left: dict[int, Any], ended: list[Any]) -> None:
        """Wait until workers have ended, and kill those that should have long ago.

        Args:
            left: By their descriptors, those that may not have.
            ended: Those that have.
        """
        timeout = GRACE if self.is_broken else None
        for descriptor, worker in left.items():
            if worker.exitcode is not None:
                # The forkserver was killed, and so the base class takes the worker for one that has ended.
                self._dismiss(descriptor)
        while True:
            for worker in ended:
                worker.join()
                if worker.exitcode != 0:
                    timeout = GRACE
            if not left:
                return
            self._dismiss_strangers()
            ended = [left.pop(descriptor) for descriptor in connection.wait(list(left), timeout)]  # type: ignore[arg-type]
            if not ended:
                for descriptor in left:
                    _send_signal(descriptor, signal.SIGKILL)
                return

    def _kill_soon(self) -> None:
        """Kill the workers that don't end by SIGTERM."""
        deadline = time.monotonic() + GRACE
        for worker in list(self.processes.values()):
            wait_for_end(worker, max(0.0, deadline - time.monotonic()))
            if worker.exitcode is None:
                worker.kill()

    def _dismiss(self, descriptor: int) -> None:
        """Have a worker leave to which the base class has said nothing."""
        if self.is_broken:
            _send_signal(descriptor, signal.SIGTERM)
        else:
            call_queue: Any = self.call_queue
            call_queue.strangers += 1

    def _dismiss_strangers(self) -> None:
        call_queue: Any = self.call_queue
        if not self.is_broken:  # Else it is closed.
            call_queue.dismiss_strangers()

    def _finish_held(self) -> None:
        """Hand all results over that are kept back, when the pool is broken, and so can't be woken as usual."""
        woken = threading.Event()
        self.jobs.wake = woken.set
        while True:
            woken.clear()
            for result_item in self.jobs.ready():
                with contextlib.suppress(BaseException):  # Of a callback.
                    self._finish(result_item)
            if not self.jobs.held:
                return
            progress = self.jobs.progress
            if not woken.wait(STUCK) and self.jobs.progress == progress:
                self.jobs.release_all()

    def _refuse_jobs(self) -> None:
        # Pythons before 3.12 go on without the pool's lock. A `submit` in the midst of what follows ends this thread
        # ("dictionary changed size during iteration"); in all others its future has no explanation.
        executor = self.executor_reference()
        if executor is not None:
            with self.shutdown_lock:
                why = "A child process terminated abruptly, the process pool is not usable anymore"
                cpython.break_executor(executor, why)

    def _break(self, error: BaseException) -> None:
        """Break the pool because of an error in this thread, which the base class would let end here."""
        cause = format_exception(error)
        self.reporter.add_reason("The process pool's thread failed: " + format_exception_only(error)[-1].strip())
        try:
            self.terminate_broken(cause)
        except BaseException:
            with contextlib.suppress(BaseException):
                self._break_step_by_step(cause)

    def _break_step_by_step(self, cause: list[str]) -> None:
        """Do what `terminate_broken` should have done. Each step is taken, whatever the others raise."""
        processes = list(self.processes.values())
        call_queue: Any = self.call_queue
        with contextlib.ExitStack() as steps:  # The last is the first.
            steps.callback(self.thread_wakeup.close)
            for worker in processes:
                steps.callback(worker.join)
            steps.callback(call_queue.join_thread)
            steps.callback(call_queue.close)
            steps.callback(cpython.close_reading_end, call_queue)  # So that no write into the queue waits any longer.
            for worker in processes:
                steps.callback(worker.kill)
            for work_item in list(self.pending_work_items.values()):
                steps.callback(self._fail, work_item.future, cause)
            steps.callback(self._refuse_jobs)

    def _fail(self, future: Future[Any], cause: list[str]) -> None:
        if not future.done():
            error = BrokenProcessPool("The process pool's thread failed while the future was running or pending.")
            error.__cause__ = cpython.remote_traceback(f"\n'''\n{''.join(cause)}'''")
            self.reporter.explain(error)
            future.set_exception(error)


def _send_signal(descriptor: int, number: int) -> None:
    with contextlib.suppress(OSError):  # The process has ended.
        signal.pidfd_send_signal(descriptor, number)
