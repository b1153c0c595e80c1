"""`Dispatcher`: has a record that a worker has logged handled as if it had been logged here."""

from __future__ import annotations

import contextlib
import functools
import logging
import sys
import threading
import time
from collections.abc import Callable
from logging import Handler, LogRecord

from logpool._parent.call_site import call_from, call_handlers
from logpool._parent.record_factory import by_factory
from logpool._parent.stock_handlers import only_print
from logpool._process import forks
from logpool._process.hints import Any
from logpool._record.label import Values

logger = logging.getLogger("logpool")

_loggers = logging.Logger.manager.loggerDict

_reporter = logging.NullHandler()
"""Lends its `handleError`."""


def raise_in_main_thread(error: BaseException) -> None:
    """Raise an error if it is Ctrl-C: in the main thread, where `finish` may handle records."""
    if is_for_main_thread(error):
        raise error


def is_for_main_thread(error: BaseException) -> bool:
    """Tell whether an error is Ctrl-C in the main thread."""
    return isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread()


class Dispatcher(forks.ForkAware):
    """Has records handled by the loggers of this process, or by handlers of its own.

    Attributes:
        handlers: Its own.
    """

    def __init__(self, handlers: tuple[Handler, ...] | None = None) -> None:
        """Make a dispatcher.

        Args:
            handlers: Get every record that their level lets through; None: the loggers of this process do.
        """
        self._by_logger = handlers is None
        self.handlers = handlers or ()
        self._handling = threading.RLock()  # Held while a record is handled. See before_fork.
        forks.register(self)

    def only_prints(self, record: LogRecord) -> bool:
        """Tell whether none but handlers of the standard library will see a record, and print it."""
        return only_print(record, None if self._by_logger else self.handlers)

    def handle_with(self, values: Values, record: LogRecord) -> None:
        """Set context variables, and have a record handled."""
        for variable, value in values:
            variable.set(value)
        self.handle(record)

    def handle(self, record: LogRecord) -> None:
        """Have a record handled. An error in a handler or filter is reported, and costs no other record.

        Args:
            record: The record.
        """
        # `before_fork` may hold this lock. The timeout keeps two threads from waiting for each other. Without a timeout
        # first: that takes a third of the time.
        has_lock = self._handling.acquire(False) or self._handling.acquire(timeout=forks.TIMEOUT)
        try:
            handle: Callable[[LogRecord], object]
            if self._by_logger:
                # As getLogger finds it, without the lock.
                found = _loggers.get(record.name)
                handle = (found if isinstance(found, logging.Logger) else logging.getLogger(record.name)).handle
            else:
                handle = functools.partial(call_handlers, self.handlers)
            if type(record) is not LogRecord or logging.getLogRecordFactory() is not LogRecord:
                handle = by_factory(handle)
            call_from(handle, record)
        except BaseException as error:
            # Also a handler's SystemExit: it was to end a program, and would end this thread alone.
            raise_in_main_thread(error)
            # There may be no stderr to report to.
            with contextlib.suppress(BaseException):
                _reporter.handleError(record)
        finally:
            if has_lock:
                self._handling.release()

    def report(self, level: int, text: str, *, exc_info: bool = False, **fields: Any) -> None:
        """Log, where the workers' records go, what is to be said about the pool itself. Raises nothing.

        Args:
            level: The record's level.
            text: The message.
            exc_info: Whether to add the current exception.
            **fields: Attributes of the record.
        """
        # What goes wrong with that can't be said any more.
        with contextlib.suppress(BaseException):
            if self._by_logger:
                logger.log(level, text, exc_info=exc_info, extra=fields)
            elif logger.isEnabledFor(level):
                info = sys.exc_info() if exc_info else None
                record = LogRecord(logger.name, level, __file__, 0, text, (), info, "report")
                record.__dict__.update(fields)
                self.handle(record)

    def before_fork(self, deadline: float) -> None:
        """Wait until no record is being handled, lest the child inherit a lock that is held for ever.

        `logging` makes its own locks anew in a child, but a stream has one as well, which the child waits for when it
        flushes stdout at its end. A handler that is slow, or that waits itself for the thread that forks, can't be
        waited for.
        """
        self._handling.acquire(timeout=max(0.0, deadline - time.monotonic()))

    def after_fork_in_parent(self) -> None:
        """Go on."""
        with contextlib.suppress(RuntimeError):  # It had taken too long.
            self._handling.release()

    def after_fork_in_child(self) -> None:
        """Take a new lock: another thread of the parent may have had the old one."""
        self._handling = threading.RLock()
