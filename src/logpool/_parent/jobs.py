"""`Jobs`: what the parent knows of a pool's jobs, from `submit` until each one's result and records have been handled.

    submit                ── the context ─────────────▶ Job ◀── marks ──── listener: handles records in the context
    the pool's thread     ── a result, held back ─────▶     ── ready ────▶ the pool's thread: hands it to its future

A result waits until the listener has met the marks that the worker has put behind the job's records. The futures are
told by the pool's thread alone, never by the listener's.

Results aren't held back where they could wait for ever:
- no listener runs, because it was stopped, or the manager process is gone;
- the job was submitted by a handler, or a handler asks its future for anything: the listener, which runs the handler,
  can't meet any mark meanwhile;
- the listener has handled nothing for STUCK seconds. Its handler may wait for a thread that waits for the result.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import Context, copy_context
from operator import length_hint

from logpool._process import cpython
from logpool._process.hints import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import TypeVar

    T = TypeVar("T")

STUCK = 10.0
"""Seconds after which a listener that goes on handling one record isn't waited for any longer."""


class Job:
    """A job that was submitted.

    Attributes:
        context: In which it was submitted: a copy.
        run: Calls a function in that context.
        holds: Whether its result is to wait for its records.
        marks: How many of its marks have been met.
        due: How many it has; None: its result isn't here yet.
        result: The pool's item, while it waits.
    """

    __slots__ = ("context", "due", "holds", "marks", "result", "run")

    def __init__(self, *, holds: bool) -> None:
        self.context: Context = copy_context()
        self.run = self.context.run
        self.holds = holds
        self.marks = 0
        self.due: int | None = None
        self.result: Any = None


class Jobs:
    """The jobs of a pool whose results or records are still to be handled.

    Attributes:
        active: By number. Changed by single calls, which no other thread interrupts.
        held: The numbers of the jobs whose results wait, or have waited and weren't taken yet. The pool's thread's own.
        wake: Wakes the pool's thread up. There before the first result is.
    """

    wake: Callable[[], None]

    def __init__(self) -> None:
        self.active: dict[int, Job] = {}
        self.held: set[int] = set()
        self._blocks = 0  # How many the listener has begun to handle.
        self._frames: Iterator[Any] = iter(())  # The last one's frames: those that are left.
        self._is_listening = False
        self._listener: int | None = None  # Its thread, once that runs.
        # Guards marks, due, holds and result of all jobs. Reentrant, as a collection of garbage may call a future.
        self._lock = threading.RLock()
        self._ready: deque[Any] = deque()  # Results that wait no longer.
        self._is_woken = False  # So that the pipe by which the pool's thread is woken never fills.

    # Whoever submits.

    def add(self, number: int) -> None:
        """Note a job that is about to be submitted, with the caller's context."""
        self.active[number] = Job(holds=threading.get_ident() != self._listener)

    def discard(self, number: int) -> None:
        """Forget a job that isn't run."""
        self.active.pop(number, None)

    def ask(self, number: int) -> None:
        """Note that a job's future is asked for something."""
        if threading.get_ident() == self._listener:
            with self._lock:
                job = self.active.get(number)
                if job is not None:
                    job.holds = False
                    self._release(job)
            self._wake_up()

    # The listener.

    def begin_listening(self) -> None:
        """Hold results back from now on: the listener's thread is about to run."""
        self._is_listening = True

    def listen_here(self) -> None:
        """Note that the calling thread is the listener's."""
        self._listener = threading.get_ident()

    def end_listening(self, *, for_good: bool = False) -> None:
        """Hold nothing back any more.

        Args:
            for_good: Whether no record will come any more.
        """
        with self._lock:
            self._is_listening = False
            self._listener = None
            self._release(*self.active.copy().values())
            if for_good:
                self.active.clear()
        self._wake_up()

    def note_progress(self, frames: Iterator[Any]) -> None:
        """Note that the listener has got frames.

        Args:
            frames: By which it takes one by one. It knows how many are left.
        """
        self._blocks += 1
        self._frames = frames

    def meet(self, mark: bytes | memoryview) -> None:
        """Note that all records have been handled that came before a mark."""
        number = int(bytes(mark))
        job = self.active.get(number)
        if job is None:
            return
        with self._lock:
            job.marks += 1
            if job.due is not None and job.marks >= job.due:
                self.discard(number)
                self._release(job)
        self._wake_up()

    # The pool's thread.

    @property
    def progress(self) -> tuple[int, int]:
        """Changes whenever the listener gets on."""
        return self._blocks, length_hint(self._frames)

    def hold(self, number: int, marks: int, result: Any) -> bool:
        """Have a result wait, if it is to.

        Args:
            number: The job's.
            marks: How many marks come behind its records.
            result: The pool's item.

        Returns:
            Whether it waits. It will be one of those that `ready` returns.
        """
        job = self.active.get(number)
        if job is None:
            return False
        with self._lock:
            job.due = marks
            if job.marks >= marks:
                self.discard(number)
                return False
            if not self._is_listening or not job.holds:
                return False  # Its records are still to come, and are handled in its context.
            job.result = result
            self.held.add(number)
            return True

    def ready(self) -> Iterator[Any]:
        """Take the results that wait no longer.

        Yields:
            The pool's items.
        """
        self._is_woken = False  # Before: what is added from now on wakes the thread again.
        while self._ready:
            result = self._ready.popleft()
            self.held.discard(result.work_id + 1)
            yield result

    def release_all(self) -> None:
        """Have no result wait any longer."""
        with self._lock:
            self._release(*self.active.copy().values())
        self._wake_up()

    def _release(self, *jobs: Job) -> None:
        """Have the results of these jobs wait no longer, if they do. The caller has the lock, and wakes up then."""
        for job in jobs:
            if job.result is not None:
                self._ready.append(job.result)
                job.result = None

    def _wake_up(self) -> None:
        # Without the lock: where the pipe is full, this waits for the pool's thread.
        if self._ready and not self._is_woken:
            self._is_woken = True
            self.wake()


class JobFuture(cpython.FutureHooks["T"]):
    """The future of a job, as `LoggingProcessPoolExecutor.submit` returns it.

    Attributes:
        job_id: The job's number, which its records have as `jobId`.
    """

    job_id: int
    _jobs: Jobs

    def _on_use(self) -> None:
        """Have the result not wait for records if it is a handler that asks: a handler that waits is known in time."""
        self._jobs.ask(self.job_id)

    def cancel(self) -> bool:
        """Cancel the job, if it doesn't run yet."""
        cancelled = super().cancel()
        if cancelled:
            self._jobs.discard(self.job_id)
        return cancelled


def follow(future: Any, number: int, jobs: Jobs) -> None:
    """Make a future a `JobFuture`.

    Args:
        future: As the pool has made it.
        number: The job's.
        jobs: Of the pool.
    """
    future.job_id = number
    future._jobs = jobs
    future.__class__ = JobFuture
