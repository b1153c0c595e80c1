"""`RelayListener`: hands the workers' records to the parent's logging. Runs in the parent, in a thread of its own."""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
from collections.abc import Callable, Iterator
from logging import Handler, LogRecord
from logging.handlers import QueueListener

from logpool import forks
from logpool.frames import Frame
from logpool.items import decode
from logpool.queues import LogQueue

logger = logging.getLogger("logpool")

SENTINEL = None
"""What ends the thread: the same as the base class's, for whoever puts that into the queue."""

FORK_TIMEOUT = 1.0
"""Seconds for which a fork waits for a handler."""

_loggers = logging.Logger.manager.loggerDict

_reporter = logging.NullHandler()
"""Lends its `handleError`."""


class FlushMark:
    """Put into the queue behind the records that a flush waits for."""

    def __init__(self, number: int) -> None:
        self.number = number


class Flush:
    """A call of `RelayListener.flush` that waits."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.reached = False  # Whether it is over because its mark came.


class RelayListener(QueueListener, forks.ForkAware):
    """Takes records from the log queue and has them handled as if they had been logged here.

    Without handlers of its own it hands each record to the logger of its name, and so to the handlers, filters and
    propagation that the parent has set up. With handlers, it hands records to those alone.

    It steps aside for whoever else gets from the queue in this process: all records from then on are theirs.
    """

    queue: LogQueue

    def __init__(self, queue: LogQueue, handlers: tuple[Handler, ...] | None = None) -> None:
        """Makes a listener that isn't started.

        Args:
            queue: Where the records come from.
            handlers: Get every record that their level lets through; None: the loggers of this process do.
        """
        super().__init__(queue, *(handlers or ()), respect_handler_level=True)
        self._by_logger = handlers is None
        self._lock = threading.Lock()  # Start and stop.
        self._running: threading.Thread | None = None
        self._threadless = False  # Whether a thread was wanted and couldn't be had.
        self._then: Callable[[], object] | None = None  # What comes after the thread's last record.
        self._for_good = False
        self._ended = False  # Whether the thread has handled its last record.
        self._manager_is_gone = False
        self._flushes: dict[int, Flush] = {}
        self._numbers = itertools.count()
        # Held while a record is handled. See before_fork.
        self._handling = threading.RLock()
        forks.register(self)

    def start(self) -> None:
        """Starts the thread.

        Raises:
            RuntimeError: It runs already, or no thread can be started. `stop` handles the records in the second case.
        """
        with self._lock:
            if self._running is not None:
                raise RuntimeError("the listener runs already")
            # A daemon, as in the base class: whoever starts it stops it, and an interpreter that exits without isn't
            # held up.
            thread = threading.Thread(target=self.run, name="logpool-listener", daemon=True)
            self._ended = False
            self._running = thread  # Before it runs: its first record's handler may ask whether it is in this thread.
            try:
                thread.start()
            except RuntimeError:
                self._running = None
                self._threadless = True
                raise
            # The standard library's own listener, say, put to work on the same queue.
            self.queue.before_get = self.stop

    def stop(self, then: Callable[[], object] | None = None, *, for_good: bool = False) -> None:
        """Has all records handled that were put before, and ends the thread.

        Called by a handler, in the thread itself, it doesn't wait for that.

        Args:
            then: Called when that has happened.
            for_good: Whether nobody will get what is put later, so that whoever puts it is to be told.
        """
        self._for_good = self._for_good or for_good
        if self.is_current_thread():
            self._then = then
            self.enqueue_sentinel()
            return
        with self._lock:
            self.queue.before_get = None
            if self._running is not None:
                self.enqueue_sentinel()
                self._running.join()
                self._running = None
            elif self._threadless:
                self.enqueue_sentinel()
                self.run()
                self._threadless = False
        if then is not None:
            then()

    def enqueue_sentinel(self) -> None:
        """Puts what ends the thread behind all records that were put before."""
        # If the manager process is gone, the thread notices by itself.
        with contextlib.suppress(OSError, EOFError):
            if self._for_good:
                self.queue.put_last(SENTINEL)
            else:
                self.queue.put_nowait(SENTINEL)

    def is_current_thread(self) -> bool:
        """Tells whether the caller is a handler that this listener is just calling."""
        return threading.current_thread() is self._running

    def flush(self, timeout: float | None = None) -> bool:
        """Waits until all that was put before has been handled.

        Args:
            timeout: Seconds to wait at most; None: as long as it takes.

        Returns:
            Whether that happened: False if the time was over first, the manager process is gone, or the thread doesn't
            run. But once it was stopped for good all has been handled.

        Raises:
            RuntimeError: Called by a handler, in the listener's own thread, which can't wait for itself.
        """
        if self.is_current_thread():
            raise RuntimeError("cannot wait for the log listener in its own thread")
        if self._running is None:
            return self._for_good and not self._manager_is_gone and not self._threadless
        number = next(self._numbers)
        flush = self._flushes[number] = Flush()
        try:
            self.queue.put_nowait(FlushMark(number))
            if not self._ended:  # Else nobody is left to see the mark.
                flush.over.wait(timeout)
        except (OSError, EOFError):
            return False
        finally:
            del self._flushes[number]
        return flush.reached

    def run(self) -> None:
        """Handles records until the sentinel comes, or the manager process is gone. What the thread does."""
        try:
            while self._handle_frames(self.queue.get_frames()):
                pass
        except (OSError, EOFError):
            self._manager_is_gone = True
            self._say("The log manager process is gone. Workers write their records to stderr from now on.")
        finally:
            self._ended = True
            for number in list(self._flushes):
                self._end_flush(number, reached=False)
            if self._then is not None:
                self._then()

    def _handle_frames(self, frames: Iterator[Frame]) -> bool:
        """Handles what was got. Raises nothing.

        Returns:
            False behind the sentinel.
        """
        for frame in frames:
            _, pickled = frame
            try:
                record = decode(frame)
            except BaseException:  # As in `handle`.
                self._say("A record was lost: it can't be rebuilt in this process.", exc_info=True)
                continue
            if pickled:
                if record is SENTINEL:
                    return False
                if isinstance(record, FlushMark):
                    self._end_flush(record.number, reached=True)
                    continue
            self.handle(record)
        return True

    def handle(self, record: LogRecord) -> None:
        """Has a record handled. An error in a handler or filter is reported, and costs no other record.

        Args:
            record: The record.
        """
        try:
            with self._handling:
                if self._by_logger:
                    # As getLogger finds it, without the lock.
                    found = _loggers.get(record.name)
                    (found if isinstance(found, logging.Logger) else logging.getLogger(record.name)).handle(record)
                else:
                    super().handle(record)
        except BaseException:  # Also a handler's SystemExit: it was to end a program, and would end this thread alone.
            # There may be no stderr to report to.
            with contextlib.suppress(BaseException):
                _reporter.handleError(record)

    def _say(self, text: str, *, exc_info: bool = False) -> None:
        """Logs what went wrong here. What goes wrong with that can't be said any more."""
        with contextlib.suppress(BaseException):
            logger.error(text, exc_info=exc_info)

    def before_fork(self) -> None:
        """Waits until no record is being handled, lest the child inherit a lock that is held for ever.

        `logging` makes its own locks anew in a child, but a stream has one as well, which the child waits for when it
        flushes stdout at its end. Nobody can wait for a handler that is slow for a reason, or that waits itself for
        the thread that forks.
        """
        self._handling.acquire(timeout=FORK_TIMEOUT)

    def after_fork_in_parent(self) -> None:
        """Goes on."""
        with contextlib.suppress(RuntimeError):  # It had taken too long.
            self._handling.release()

    def after_fork_in_child(self) -> None:
        """Begins anew, as a listener that was never started: the child has no such thread."""
        self._handling = threading.RLock()
        self._lock = threading.Lock()
        self._running = None

    def _end_flush(self, number: int, *, reached: bool) -> None:
        flush = self._flushes.get(number)
        if flush is not None:
            flush.reached = reached
            flush.over.set()
