"""`RelayListener`: hands the workers' records to the parent's logging, in a thread of its own."""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import Context
from logging import Handler, LogRecord
from logging.handlers import QueueListener
from operator import length_hint

from logpool._parent.dispatcher import Dispatcher, is_for_main_thread, raise_in_main_thread
from logpool._parent.jobs import Job, Jobs
from logpool._process import forks
from logpool._process.hints import Any
from logpool._record.label import Values, read_label
from logpool._record.rebuild import rebuild
from logpool._transport.queue import LogQueue
from logpool._transport.wire import FROM, LABELLED, MARK, Frame, split_label

FLUSH = ord("f")
"""The first byte of a mark that a flush waits for; its number follows."""

STOP = ord("s")
"""The first byte of a mark that ends the thread; the thread's number follows, as a mark may be met by a later one."""


class Flush:
    """A call of `RelayListener.flush` that waits."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.reached = False  # Whether it is over because its mark came.


class RelayListener(QueueListener, forks.ForkAware):
    """Takes records from the log queue and has them handled as if they had been logged here.

    Without handlers of its own it hands each record to the logger of its name, and so to the handlers, filters and
    propagation that the parent has set up. With handlers, it hands records to those alone.

    While it runs, nothing else can get from the queue. `start` and `stop` are for programs, which need neither as a
    rule; what isn't of `QueueListener` is for the library itself.

    Attributes:
        dispatcher: What handles each record.
    """

    queue: LogQueue

    def __init__(self, queue: LogQueue, handlers: tuple[Handler, ...] | None = None, jobs: Jobs | None = None) -> None:
        """Make a listener that isn't started.

        Args:
            queue: Where the records come from.
            handlers: Get every record that their level lets through; None: the loggers of this process do.
            jobs: The pool's, in whose contexts their records are handled; None: there is no pool.
        """
        self.dispatcher = Dispatcher(handlers)
        super().__init__(queue, *(handlers or ()), respect_handler_level=True)
        if jobs is None:
            jobs = Jobs()
        else:
            jobs.hurry = queue.hurry
        self._jobs = jobs
        queue.on_pass = self._note
        queue.on_put = self._check_put
        self._lock = threading.Lock()  # Held while the thread is started, stopped, and waited for.
        self._running: threading.Thread | None = None
        self._finished = False  # Whether the queue has ended, and all that came out of it has been handled.
        self._at_end: Callable[[], object] | None = None  # What the thread calls when it has handled all.
        self._has_thread = False  # Whether the thread will see a mark that is put now.
        self._thread_is_over = threading.Event()
        self._manager_is_gone = False
        self._flushes: dict[int, Flush] = {}
        self._numbers = itertools.count()
        self._run = 0  # The number of the thread, by which it knows the mark that ends it.
        forks.register(self)

    def start(self) -> None:
        """Start the thread.

        Raises:
            RuntimeError: It is running, or no thread can be started. `finish` handles the records in the second case.
        """
        with self._lock:
            if self._running is not None and self._thread_is_over.is_set():  # A handler has called `stop`.
                self._join()
            if self._running is not None:
                raise RuntimeError("the listener is already running")
            # A daemon, as in the base class: an interpreter that exits without `stop` isn't held up.
            thread = threading.Thread(target=self._run_in_thread, name="logpool-listener", daemon=True)
            self.queue.reserved = self._has_thread = True
            self._thread_is_over.clear()
            self._run += 1
            self._running = thread  # Before it runs: its first record's handler may ask whether it is in this thread.
            self._jobs.begin_listening()
            try:
                thread.start()
            except BaseException:
                self._running = None
                self._jobs.end_listening()
                self.queue.reserved = self._has_thread = False
                raise

    def stop(self) -> None:
        """Have all records handled that were put before, and end the thread.

        What is put later stays in the queue: for a listener of the user's, until this one is started again, or until
        the relay ends. Called by a handler, in the thread itself, it doesn't wait.
        """
        if self.is_current_thread():
            self.enqueue_sentinel()
            return
        with self._lock:
            if self._running is not None:
                if not self._thread_is_over.is_set():
                    self.enqueue_sentinel()
                self._join()

    def enqueue_sentinel(self) -> None:
        """Put what ends the thread behind all records that were put before."""
        # If the manager process is gone, the thread notices by itself.
        with contextlib.suppress(OSError):
            self.queue.put_mark(b"%c%d" % (STOP, self._run))

    def finish(self, at_end: Callable[[], object]) -> None:
        """End the queue, and have all handled that was put before.

        Where no thread is running, because the user has stopped it or none could be started, this is done here. It may
        be repeated if it was interrupted. Called by a handler, in the thread itself, it doesn't wait.

        Args:
            at_end: Called when all has been handled.
        """
        with contextlib.suppress(OSError):  # If the manager process is gone, the thread notices by itself.
            self.queue.end()
        if self.is_current_thread():
            self._at_end = at_end
            return
        with self._lock:
            if self._running is not None:
                self._join()
            if not self._finished:  # Or the thread was ended by `stop`, before the queue was.
                self._running = threading.current_thread()
                try:
                    self.run()
                finally:
                    self._running = None
        at_end()

    def _join(self) -> None:
        assert self._running is not None
        # A join that is interrupted makes Python (3.11, 3.12) believe that the thread has ended.
        self._thread_is_over.wait()
        self._running.join()
        self._running = None

    @property
    def is_running(self) -> bool:
        """Whether there is a thread that handles what comes."""
        return self._has_thread

    def is_current_thread(self) -> bool:
        """Tell whether the caller is a handler that this listener is just calling."""
        return threading.current_thread() is self._running

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all that was put before has been handled.

        Args:
            timeout: Seconds to wait at most; None: as long as it takes.

        Returns:
            Whether that happened: False if the time was over first, the manager process is gone, or the thread isn't
            running. But once the relay has ended all has been handled.

        Raises:
            RuntimeError: Called by a handler, in the listener's own thread, which can't wait for itself.
        """
        if self.is_current_thread():
            raise RuntimeError("a handler cannot wait for all records while it handles one: flush in another thread")
        if self._running is None:
            return self._finished and not self._manager_is_gone
        number = next(self._numbers)
        flush = self._flushes[number] = Flush()
        try:
            self.queue.put_mark(b"%c%d" % (FLUSH, number))
            if self._has_thread:  # Else the mark will not be seen.
                flush.over.wait(timeout)
        except OSError:
            return False
        finally:
            del self._flushes[number]
        return flush.reached or (self._finished and not self._manager_is_gone)

    def _check_put(self) -> None:
        """Refuse what a handler puts back into the queue: it would come out again for ever."""
        if self.is_current_thread():
            raise RuntimeError(
                "this record has just come out of the log queue: remove the QueueHandler from the handlers of this "
                "process, which handles the workers' records without it"
            )

    def _run_in_thread(self) -> None:
        try:
            self._jobs.listen_here()
            self.run()
        finally:
            self._jobs.end_listening()
            self.queue.reserved = self._has_thread = False
            for number in list(self._flushes):
                self._end_flush(number, reached=False)
            try:
                if self._at_end is not None:
                    self._at_end()
            finally:
                self._thread_is_over.set()

    def run(self) -> None:
        """Handle records until the sentinel comes, the queue has ended, or the manager process is gone.

        Raises:
            KeyboardInterrupt: Ctrl-C has come, where `finish` handles records in the main thread. None is lost.
        """
        while True:
            try:
                frames = self.queue.get_frames(gather=self._jobs.gather())
            except (OSError, EOFError):
                self._end_early()
                self.dispatcher.report(
                    logging.ERROR, "The log manager process is gone. Workers write their records to stderr from now on."
                )
                return
            except Exception:
                # No memory for what came, say. The manager process ends where nothing can get from it any more, so that
                # no worker waits for that.
                self.queue.close()
                self._end_early()
                self.dispatcher.report(
                    logging.ERROR,
                    "Log records can't be received any more. Workers write theirs to stderr from now on.",
                    exc_info=True,
                )
                return
            if not self._handle_frames(frames):
                break
        if self._finished:
            self._jobs.end_listening(for_good=True)

    def _end_early(self) -> None:
        self._manager_is_gone = self._finished = True
        self._jobs.end_listening(for_good=True)

    def _handle_frames(self, frames: deque[Frame]) -> bool:
        """Handle what was got.

        Returns:
            False behind the mark that ends the thread, or at the end of the queue.

        Raises:
            KeyboardInterrupt: As for `run`.
        """
        self._finished = not frames
        left = iter(frames)
        try:
            ends = self._handle_each(left)
        except BaseException as error:
            if is_for_main_thread(error):
                self.queue.give_back(left)
                raise
            # A fault of this module's own, as what handlers raise is reported where it is raised. Each time it costs
            # one record at most, and one at least, so that it isn't met for ever.
            if length_hint(left) == len(frames):
                next(left, None)
            self.queue.give_back(left)
            self.dispatcher.report(logging.ERROR, "The log listener failed, and goes on.", exc_info=True)
            return bool(frames)
        if ends:
            self.queue.give_back(left)
        return bool(frames) and not ends

    def _handle_each(self, frames: Iterator[Frame]) -> bool:
        """Handle frames.

        Returns:
            Whether one of them was the mark that ends the thread. The others are left in the iterator.
        """
        jobs = self._jobs
        jobs.go_on_with(frames)
        active: dict[Any, Job] = jobs.active
        waiting = jobs.waiting
        job: Job | None
        dispatcher = self.dispatcher
        handle, only_print = dispatcher.handle, dispatcher.only_prints
        for frame in frames:
            if waiting:
                job = None  # So that its context is freed.
                jobs.release_handled()
            body, flag = frame
            values: Values | None = None
            try:
                if not flag:
                    record = rebuild(body, only_print)
                    job = active.get(record.__dict__.get("jobId")) if active else None
                elif flag in (MARK, FROM):
                    if self._note(frame, frames) and self._has_thread:
                        return True
                    continue
                elif flag == LABELLED:
                    label, flat = split_label(body)
                    record = rebuild(flat, only_print)
                    number, values = read_label(label)
                    job = active.get(number)
                else:
                    record, job = self.queue.decode(frame), None
                    if record is None:
                        continue  # What ends a listener of the user's.
            except BaseException as error:  # As in `handle`.
                raise_in_main_thread(error)
                self.dispatcher.report(
                    logging.ERROR, "A record was lost: it can't be rebuilt in this process.", exc_info=True
                )
                continue
            if values:
                (Context() if job is None else job.context.copy()).run(dispatcher.handle_with, values, record)
            elif job is None:
                handle(record)
            else:
                job.run(handle, record)
        job = None
        jobs.end_block()
        return False

    def _note(self, frame: Frame | None, left: Iterator[Frame] | deque[Frame]) -> bool:
        """Do what is to be done where a frame comes that is no item.

        Args:
            frame: A mark or an origin; None: a listener of the user's has taken all that was there.
            left: What comes behind.

        Returns:
            Whether it is the mark that ends the thread.
        """
        if frame is None:
            self._jobs.end_block()
            return False
        body, flag = frame
        if flag == FROM:
            self._jobs.begin_stream(body, left)
            return False
        kind, rest = body[0], bytes(body[1:])
        if kind == STOP:
            return int(rest) == self._run
        if kind == FLUSH:
            self._end_flush(int(rest), reached=True)
        return False

    @property
    def handlers(self) -> tuple[Handler, ...]:
        """The listener's own handlers, which a program may replace; empty: the loggers handle records."""
        return self.dispatcher.handlers

    @handlers.setter
    def handlers(self, handlers: tuple[Handler, ...]) -> None:
        self.dispatcher.handlers = handlers

    def handle(self, record: LogRecord) -> None:
        """Have a record handled. An error in a handler or filter is reported, and costs no other record.

        Args:
            record: The record.
        """
        self.dispatcher.handle(record)

    def after_fork_in_child(self) -> None:
        """Begin anew, as a listener that was never started: the child has no such thread."""
        self._lock = threading.Lock()
        self._running = None

    def _end_flush(self, number: int, *, reached: bool) -> None:
        flush = self._flushes.get(number)
        if flush is not None:
            flush.reached = reached
            flush.over.set()
