"""`Jobs`: what the parent knows of a pool's jobs, from `submit` until each one's result and records have been handled.

    submit                ── the context ─────────────▶ Job ◀── handled ── listener: handles records in the context
    the pool's thread     ── a result, held back ─────▶     ── ready ────▶ the pool's thread: hands it to its future

A result says up to which frame of its worker's stream it comes behind, and waits until the listener has handled that.
The futures are told by the pool's thread alone, never by the listener's.

Results aren't held back where they could wait for ever:
- no listener runs, because it was stopped, or the manager process is gone;
- the job was submitted by a handler, or a handler asks its future for anything: the listener, which runs the handler,
  can't get on meanwhile;
- the listener has handled nothing for STUCK seconds. Its handler may wait for a thread that waits for the result.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import Context, copy_context
from operator import length_hint

from logpool._process import cpython
from logpool._process.hints import TYPE_CHECKING, Any
from logpool._transport.wire import CONSUMER, GONE, ORIGIN, Positions

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
        result: The pool's item, while it waits.
        streams: In how many of them there is something left that comes before its result.
    """

    __slots__ = ("context", "holds", "result", "run", "streams")

    def __init__(self, *, holds: bool) -> None:
        self.context: Context = copy_context()
        self.run = self.context.run
        self.holds = holds
        self.result: Any = None
        self.streams = 0


class Jobs:
    """The jobs of a pool whose results or records are still to be handled.

    Attributes:
        active: By number. Changed by single calls, which no other thread interrupts.
        held: The numbers of the jobs whose results wait, or have waited and weren't taken yet. The pool's thread's own.
        waiting: By the stream's number, the jobs whose results wait for it: each with the count of frames that must be
            handled before, and the job's number; in that order.
        wake: Wakes the pool's thread up. There before the first result is.
        hurry: Ends the moment for which the listener lets records gather.
        workers: How many the pool has. Noted by the pool's thread.
        interrupted: The numbers of jobs whose `submit` was interrupted. What is to become of them is the pool's
            thread's business.
    """

    wake: Callable[[], None]
    hurry: Callable[[], None]
    workers = 0

    def __init__(self) -> None:
        self.active: dict[int, Job] = {}
        self.held: set[int] = set()
        self.interrupted: deque[int] = deque()
        self.waiting: dict[int, deque[tuple[int, int]]] = {}
        self._origins = 0  # How many the listener has met.
        self._frames: Iterator[Any] | deque[Any] = iter(())  # What the listener hasn't taken yet.
        self._stream = CONSUMER  # From which the frames are that are just being handled,
        self._before = 0  # how many had come from there before these,
        self._left = 0  # and how many were left when the first of these came.
        self._handled: dict[int, int] = {}  # How many frames have been, by the streams that haven't ended.
        self._newest = CONSUMER  # Of the streams' numbers: which were given in their order.
        self._gathers = False  # Whether the listener has asked for records in no hurry.
        self._is_listening = False
        self._listener: int | None = None  # Its thread, once that runs.
        # Guards all that is said of streams, and of all jobs holds and result. Reentrant, as a collection of garbage
        # may call a future.
        self._lock = threading.RLock()
        self._ready: deque[Any] = deque()  # Results that wait no longer.
        self._is_woken = False  # So that the pipe by which the pool's thread is woken never fills.

    # Whoever submits.

    def add(self, number: int) -> None:
        """Note a job that is about to be submitted, with the caller's context."""
        self.active[number] = Job(holds=threading.get_ident() != self._listener)

    def follow(self, future: Any, number: int) -> None:
        """Make a future, as the pool has made it, a `JobFuture`."""
        future.job_id = number
        future._jobs = self
        future.__class__ = JobFuture

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
                self.waiting.clear()
        self._wake_up()

    def gather(self) -> bool:
        """Tell whether the listener, which is about to wait for records, may let them gather for a moment.

        It may where no result waits alone: where there are more jobs than the workers have, and than wait in the call
        queue for them. When the last of these has its result, `hurry` is called.
        """
        self._gathers = len(self.active) - len(self.held) > 2 * self.workers + 1
        return self._gathers

    def go_on_with(self, frames: Iterator[Any]) -> None:
        """Note that the listener takes what is left by this from now on."""
        with self._lock:
            self._frames = frames

    def begin_stream(self, origin: bytes | memoryview, frames: Iterator[Any] | deque[Any]) -> None:
        """Note from where the next frames come.

        Args:
            origin: An ORIGIN, which was the last that the listener took.
            frames: From which it takes one by one. It knows how many are left.
        """
        with self._lock:
            self._end_stream(0)
            self._origins += 1
            self._frames = frames
            self._stream, self._before = ORIGIN.unpack(origin)
            self._left = length_hint(frames)
            while self._newest < self._stream:  # From the others that are new nothing has come yet.
                self._newest += 1
                self._handled[self._newest] = 0
            if self._before == GONE:
                stream, self._stream = self._stream, CONSUMER
                self._handled.pop(stream, None)
                self._pass(stream)
        self._wake_up()

    def end_block(self) -> None:
        """Note that all frames have been handled."""
        with self._lock:
            stream = self._stream
            self._end_stream(1)
            self._stream = CONSUMER
            self._pass(stream)
        self._wake_up()

    def _end_stream(self, more: int) -> None:
        if self._stream != CONSUMER:
            self._handled[self._stream] = self._count_of_current() + more

    def _count_of_current(self) -> int:
        # The last that the listener took it is still handling; or it was no frame of this stream.
        return self._before + self._left - length_hint(self._frames) - 1

    def _count_of(self, stream: int) -> int:
        """Return how many frames of a stream have been handled. The caller has the lock."""
        if stream == self._stream:
            return self._count_of_current()
        return self._handled.get(stream, 0 if stream > self._newest else sys.maxsize)

    def release_handled(self) -> None:
        """Have results wait no longer before which all has been handled. To be called before each frame if any wait."""
        if self._stream in self.waiting:
            with self._lock:
                self._pass(self._stream)
            self._wake_up()

    def _pass(self, stream: int) -> None:
        """Take from those that wait the jobs that need no more of a stream. The caller has the lock."""
        waiting = self.waiting.get(stream)
        if waiting is None:  # The other thread has just taken the last one.
            return
        count = self._count_of(stream)
        while waiting and waiting[0][0] <= count:
            job = self.active.get(number := waiting.popleft()[1])
            if job is not None:
                job.streams -= 1
                if not job.streams:
                    self.discard(number)
                    self._release(job)
        if not waiting:
            del self.waiting[stream]

    # The pool's thread.

    @property
    def progress(self) -> tuple[int, int]:
        """Changes whenever the listener gets on."""
        return self._origins, length_hint(self._frames)

    def hold(self, number: int, positions: Positions, result: Any) -> bool:
        """Have a result wait, if it is to.

        Args:
            number: The job's.
            positions: Up to where its worker's records come before it.
            result: The pool's item.

        Returns:
            Whether it waits. It will be one of those that `ready` returns.
        """
        if not positions:
            self.discard(number)
            self._hurry_up()
            return False
        job = self.active.get(number)
        if job is None:
            return False
        with self._lock:
            job.streams = len(positions)
            for stream, count in positions:
                # In this order: once it is there, the listener looks for it whenever it gets on.
                self.waiting.setdefault(stream, deque()).append((count, number))
                self._pass(stream)
            # Else its records are still to come, and are handled in its context.
            waits = bool(job.streams and self._is_listening and job.holds)
            if waits:
                job.result = result
                self.held.add(number)
        self._wake_up()
        self._hurry_up()
        return waits

    def _hurry_up(self) -> None:
        """Let records gather no longer, if all results that are still to come wait for these."""
        if self._gathers and len(self.held) >= len(self.active):
            self._gathers = False
            self.hurry()

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
        """Cancel the job, if it doesn't run yet.

        Returns:
            Whether the job is cancelled.
        """
        cancelled = super().cancel()
        if cancelled:
            self._jobs.discard(self.job_id)
        return cancelled
