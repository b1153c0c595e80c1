"""`RelayHandler`: takes a worker's records to the parent. Runs in the worker."""

from __future__ import annotations

import contextlib
import copy
import logging
import sys
import threading
from collections.abc import Callable
from contextvars import copy_context
from logging import LogRecord
from logging.handlers import QueueHandler

from logpool._process.hints import Any
from logpool._record.fields import PLAIN, JobTag
from logpool._record.flatten import flatten
from logpool._record.label import make_label
from logpool._transport.queue import LogQueue
from logpool._transport.wire import LARGE, MAX_BODY
from logpool._worker.mirror import with_top
from logpool._worker.own_context import own_values
from logpool._worker.record_factory import without_what_was_added

KEPT = 2**20
"""Characters that are kept of each text in a record that is too large."""

_formatter = logging.Formatter(logging.BASIC_FORMAT)


class Labelling(threading.local):
    """Whether the thread is just making a label."""

    busy = False


class RelayHandler(QueueHandler):
    """Puts each record into the log queue, made into bytes.

    Logging never breaks a job: where the manager process is gone, records are written to stderr. A record that takes
    more than `wire.MAX_BODY` bytes is shortened, which stderr says as well.
    """

    queue: LogQueue

    def __init__(
        self,
        queue: LogQueue,
        job_of: Callable[[], JobTag] | None = None,
        main_module: tuple[str, str] | None = None,
    ) -> None:
        """Make a handler.

        Args:
            queue: As it was handed to this process.
            job_of: Tells which job the calling thread works for; None: this process knows no jobs.
            main_module: Its name in this process, and in the one that handles the records; None: they are the same.
        """
        super().__init__(queue)
        self._job_of = job_of
        self._main_module = main_module
        self._labelling = Labelling()
        # Whether it needs no saying why stderr gets records: a pool's parent says that its manager process is gone.
        self._has_said = job_of is not None

    def prepare(self, record: LogRecord) -> Any:
        """Make bytes of a record. It isn't changed, for the sake of handlers that the user may add.

        Args:
            record: The record.

        Returns:
            What the listener takes.
        """
        if logging.getLogRecordFactory() is not LogRecord:
            record = without_what_was_added(record)
        if self._main_module is not None:
            name = str(record.name)
            if (there := with_top(name, *self._main_module)) != name:
                record = copy.copy(record)
                record.name = there
        return flatten(record, self.handleError, () if self._job_of is None else self._job_of())

    def emit(self, record: LogRecord) -> None:
        """Put a record into the queue. When this returns, the record has left the process.

        Args:
            record: The record.
        """
        try:
            try:
                flat = self.prepare(record)
                size = len(flat)
            except (ValueError, MemoryError):
                size = sys.maxsize
            if size > MAX_BODY:
                flat = self._shorten(record, size)
            if self._job_of is not None and (copy_context() or "jobId" in record.__dict__):
                self.queue.put_record(flat, self._label(record, len(flat)))
            else:
                self.queue.put_record(flat)
        except (OSError, EOFError) as error:  # The manager process is gone, or no descriptor is left, say.
            self._write(record, error)
        except Exception:
            self.handleError(record)

    def _label(self, record: LogRecord, size: int) -> bytes:
        """Return a record's label; empty: it needs none.

        Args:
            record: The record.
            size: Bytes that it takes.
        """
        if self._job_of is None or self._labelling.busy:
            return b""
        values = own_values()
        if not values and "jobId" not in record.__dict__:
            return b""
        self._labelling.busy = True  # A value that logs while it is pickled, say.
        try:
            label = make_label(self._job_of()[0], values)
        finally:
            self._labelling.busy = False
        return label if size + len(label) < MAX_BODY - LARGE else b""

    def handleError(self, record: LogRecord) -> None:  # noqa: N802 (named by logging)
        """Report the current error on stderr, as `logging.Handler.handleError` does. Raise nothing.

        Args:
            record: What was being handled.
        """
        with contextlib.suppress(Exception):
            super().handleError(record)

    def _write(self, record: LogRecord, error: Exception) -> None:
        """Write a record to stderr, and before the first one why.

        Args:
            record: The record.
            error: Why it can't be handed to the manager process.
        """
        try:
            if sys.stderr is not None:
                line = (self.formatter or _formatter).format(record) + "\n"
                if not self._has_said:
                    self._has_said = True
                    reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
                    line = (
                        f"logpool: the relay has ended, or its manager process can't be reached ({reason}): this "
                        f"process writes its records to stderr.\n{line}"
                    )
                sys.stderr.write(line)
                sys.stderr.flush()
        except Exception:
            self.handleError(record)

    def _shorten(self, record: LogRecord, size: int) -> bytes:
        """Make bytes of as much of a record as may pass, and say on stderr that it isn't all.

        Args:
            record: The record.
            size: How many bytes it takes.
        """
        takes = "more memory than there is" if size == sys.maxsize else f"{size:,} bytes"
        note = f"shortened: it takes {takes}, and the log queue takes {MAX_BODY:,} bytes at most"
        if logging.raiseExceptions and sys.stderr is not None:
            with contextlib.suppress(Exception):
                place = f"file {record.pathname}, line {record.lineno}"
                sys.stderr.write(f"--- Logging error ---\nA record was {note}.\nLogged from {place}\n")
        try:
            message = record.getMessage()
        except Exception:
            message = str(record.msg)
        state = {name: value for name, value in record.__dict__.items() if type(value) in PLAIN and name != "args"}
        state["msg"] = f"{message[:KEPT]}... [{note}]"
        if record.exc_info and not record.exc_text:
            state["exc_text"] = _formatter.formatException(record.exc_info)
        for name, value in state.items():
            if name != "msg" and isinstance(value, (str, bytes)):
                state[name] = value[:KEPT]
        return flatten(logging.makeLogRecord(state), job=() if self._job_of is None else self._job_of())
