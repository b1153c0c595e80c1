"""`RelayHandler`: the one handler that a worker has. Runs in the worker."""

from __future__ import annotations

import sys
from logging import LogRecord
from logging.handlers import QueueHandler
from typing import Any

from logpool.queues import LogQueue
from logpool.record import flatten


class RelayHandler(QueueHandler):
    """Puts each record into the log queue, made into bytes.

    Logging never breaks a job: where the manager process is gone, records are written to stderr.
    """

    queue: LogQueue  # type: ignore[assignment]  # It has of a queue what a handler needs.

    def __init__(self, queue: LogQueue) -> None:
        """Makes a handler.

        Args:
            queue: As it was handed to this process.
        """
        super().__init__(queue)  # type: ignore[arg-type]

    def prepare(self, record: LogRecord) -> Any:
        """Makes bytes of a record. It isn't changed, for the sake of handlers that the user may add.

        Args:
            record: The record.

        Returns:
            What the listener takes.
        """
        return flatten(record)

    def emit(self, record: LogRecord) -> None:
        """Puts a record into the queue. When this returns, the record has left the process.

        Args:
            record: The record.
        """
        try:
            self.queue.put_nowait(flatten(record))
        except (OSError, EOFError):  # The manager process is gone.
            self._write(record)
        except Exception:
            self.handleError(record)

    def _write(self, record: LogRecord) -> None:
        """Writes a record to stderr, for want of anybody to hand it to."""
        try:
            if sys.stderr is not None:
                sys.stderr.write(self.format(record) + "\n")
                sys.stderr.flush()
        except Exception:
            self.handleError(record)
