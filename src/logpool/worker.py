"""What a worker does at its start: its logging becomes like the parent's, and its records are routed there.

`Installation` is made in the parent. A forked worker has it in its memory, with the parent's logging as it was; to any
other it is pickled, and takes a snapshot of the parent's logging along.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import socket
import sys
from collections.abc import Callable

from logpool import jobs, routing
from logpool.crash import CrashFile
from logpool.handler import RelayHandler
from logpool.hints import Any
from logpool.queues import LogQueue
from logpool.record import Job
from logpool.settings import Snapshot, name_of_main_module

logger = logging.getLogger("logpool")


class Installation:
    """Routes a worker's records to its parent. What a child process gets of a `LogRelay`.

    Attributes:
        queue: The log queue.
    """

    def __init__(
        self,
        queue: LogQueue,
        level: int | None,
        *,
        to_all: bool = False,
        pid: int | None = None,
        snapshot: Snapshot | None = None,
        modules: frozenset[str] = frozenset(),
    ) -> None:
        """Prepares the installation, in the parent.

        Args:
            queue: The log queue.
            level: The workers' root level; None: the parent's.
            to_all: Whether handlers that aren't those of the parent's loggers get every record.
            pid: The process that handles the records; None: this one.
            snapshot: Of the parent's logging; None: the worker has the parent's in its own memory.
            modules: Names of modules that the parent has imported, but for those that the worker has then.
        """
        self.queue = queue
        self._level = level
        self._to_all = to_all
        self._pid = os.getpid() if pid is None else pid
        self._snapshot = snapshot
        self._modules = modules

    def __reduce__(self) -> tuple[Callable[..., Installation], tuple[Any, ...]]:
        # Pickled when a worker is started, so the snapshot is of that moment.
        snapshot = self._snapshot or Snapshot()
        return _load, (self.queue, self._level, self._to_all, self._pid, snapshot, self._modules or _imported())

    def install(self, job_of: Callable[[], Job] | None = None) -> None:
        """Makes this worker's logging like the parent's, and routes its records there.

        A second call changes nothing; nor does one in the process that handles the records, which says so.

        Args:
            job_of: Tells which job the calling thread works for; None: this process knows no jobs.
        """
        if os.getpid() == self._pid:
            logger.warning("install() was called in the process that handles the records. It is for its workers.")
            return
        if routing.relay is not None and routing.relay.queue.address == self.queue.address:
            return
        main_module = None
        if self._snapshot is not None and self._snapshot.main_module != (here := name_of_main_module()):
            main_module = here, self._snapshot.main_module
        handler = RelayHandler(self.queue, job_of, main_module)
        routing.install(handler, self._snapshot, self._level, to_all=self._to_all, modules=self._modules)


def _load(
    queue: LogQueue, level: int | None, to_all: bool, pid: int, snapshot: Snapshot, modules: frozenset[str]
) -> Installation:
    return Installation(queue, level, to_all=to_all, pid=pid, snapshot=snapshot, modules=modules)


def _imported() -> frozenset[str]:
    """Return the names of all imported modules but the standard library's, which log nothing when they are imported."""
    return frozenset(name for name in list(sys.modules) if name.partition(".")[0] not in sys.stdlib_module_names)


class WorkerStart:
    """What a pool's worker needs at its start. Filled in, in the parent, before the first worker is started.

    Attributes:
        installation: Routes the worker's records.
        lifeline: Ends when the parent is gone.
        directory: For the worker's file; None: there is no room for one.
    """

    installation: Installation
    lifeline: socket.socket
    directory: str | None


def initialize(start: WorkerStart, initializer: Callable[..., object] | None, initargs: tuple[Any, ...]) -> None:
    """A worker's initializer: makes it one of this pool's, then runs the user's own."""
    crash_file = None
    if start.directory is not None:
        with contextlib.suppress(OSError):  # No room: then nothing is known of its death but the exit code.
            crash_file = CrashFile(start.directory)
    jobs.start(start.lifeline, start.directory, crash_file, _take_over)
    start.installation.install(jobs.current)
    if initializer is not None:
        initializer(*initargs)


def _take_over(pickled: bytes) -> None:
    """Make this worker's logging like the parent's was when the job was submitted. Raise nothing."""
    try:
        routing.take_over(pickle.loads(pickled))
    except Exception:
        logger.exception("A worker can't take over all that has changed in the parent's logging.")
