"""What a pool's worker does at its start: its logging becomes like the parent's, and its records are routed there."""

from __future__ import annotations

import contextlib
import logging
import pickle
import socket
from collections.abc import Callable

from logpool._process import signals
from logpool._process.hints import Any
from logpool._worker import current_job, routing
from logpool._worker.crash_file import CrashFile
from logpool._worker.installation import Installation

logger = logging.getLogger("logpool")


class WorkerStart:
    """What a pool's worker needs at its start. Filled in, in the parent, before the first worker is started.

    Attributes:
        installation: Routes the worker's records.
        parent_sentinel: Ends when the parent is gone.
        directory: For the worker's file; None: there is no room for one.
        signal_mask: Of the thread that starts the worker, if that has others blocked for this.
    """

    installation: Installation
    parent_sentinel: socket.socket
    directory: str | None
    signal_mask: set[int] | None = None


def initialize(start: WorkerStart, initializer: Callable[..., object] | None, initargs: tuple[Any, ...]) -> None:
    """Make this process a worker of the pool, then run the user's own initializer."""
    if start.signal_mask is not None:
        signals.restore(start.signal_mask)
    crash_file = None
    if start.directory is not None:
        with contextlib.suppress(OSError):  # No room: then nothing is known of its death but the exit code.
            crash_file = CrashFile(start.directory)
    current_job.prepare(start.parent_sentinel, start.directory, crash_file, _apply, start.installation.queue)
    start.installation.install(current_job.current)
    if initializer is not None:
        current_job.run_initializer(initializer, initargs)
        routing.take_back()


def _apply(pickled: bytes) -> None:
    """Make this worker's logging like the parent's was when the job was submitted. Raise nothing."""
    try:
        routing.apply(pickle.loads(pickled))
    except Exception:
        logger.exception("A worker can't take over all that has changed in the parent's logging.")
