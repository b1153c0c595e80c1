"""`Installation`: routes a worker's records to its parent.

It is made in the parent. A forked worker has it in its memory, with the parent's logging as it was; to any other it is
pickled, and takes a snapshot of the parent's logging along.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
from collections.abc import Callable

from logpool._process.hints import Any
from logpool._record.fields import JobTag
from logpool._transport.queue import LogQueue
from logpool._worker import routing, settings
from logpool._worker.handler import RelayHandler
from logpool._worker.settings import Snapshot

logger = logging.getLogger("logpool")

Home = tuple[int, bytes]
"""A process and an interpreter in it."""

_interpreter = os.urandom(8)
"""Tells this interpreter from others of the process. A forked child has the same."""

installed: Installation | None = None
"""By which this process's records are routed; None: they aren't."""


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
        home: Home | None = None,
        snapshot: Snapshot | None = None,
        modules: frozenset[str] = frozenset(),
    ) -> None:
        """Create the installation, in the parent.

        Args:
            queue: The log queue.
            level: The workers' root level; None: the parent's.
            to_all: Whether handlers that aren't those of the parent's loggers get every record.
            home: Process and interpreter that handle the records; None: this one.
            snapshot: Of the parent's logging; None: the worker has the parent's in its own memory.
            modules: Names of modules that the parent has imported, but for those that the worker has then.
        """
        self.queue = queue
        self._level = level
        self._to_all = to_all
        self._home = _here() if home is None else home
        self._snapshot = snapshot
        self._modules = modules

    def __reduce__(self) -> tuple[Callable[..., Installation], tuple[Any, ...]]:
        # Pickled when a worker is started, so the snapshot is of that moment.
        snapshot = self._snapshot or Snapshot()
        return _load, (self.queue, self._level, self._to_all, self._home, snapshot, self._modules or _imported())

    def install(self, job_of: Callable[[], JobTag] | None = None) -> None:
        """Make this worker's logging like the parent's, and route its records there.

        A second call changes nothing; nor does one in the process that handles the records, which says so.

        Args:
            job_of: Tells which job the calling thread works for; None: this process knows no jobs.
        """
        global installed
        if self._home == _here():
            logger.warning(
                "install() was called in the process that handles the records. It is for its children. An initializer "
                "is passed without parentheses: initializer=relay.install"
            )
            return
        if routing.relay is not None and routing.relay.queue.address == self.queue.address:
            return
        if self._home[0] == os.getpid():
            settings.is_interpreter = True
            atexit.register(self.queue.close)  # What it connects by would stay in the process.
        main_module = None
        if self._snapshot is not None and self._snapshot.main_module != (here := settings.name_of_main_module()):
            main_module = here, self._snapshot.main_module
        handler = RelayHandler(self.queue, job_of, main_module)
        routing.install(handler, self._snapshot, self._level, to_all=self._to_all, modules=self._modules)
        installed = self


def _here() -> Home:
    return os.getpid(), _interpreter


def _load(
    queue: LogQueue, level: int | None, to_all: bool, home: Home, snapshot: Snapshot, modules: frozenset[str]
) -> Installation:
    return Installation(queue, level, to_all=to_all, home=home, snapshot=snapshot, modules=modules)


def _imported() -> frozenset[str]:
    """Return the names of all imported modules but the standard library's, which log nothing when they are imported."""
    return frozenset(name for name in list(sys.modules) if name.partition(".")[0] not in sys.stdlib_module_names)
