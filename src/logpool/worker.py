"""What a worker does at its start: its loggers get the parent's levels, and one handler.

`Installation` is made in the parent. A forked worker has it in its memory, with the parent's loggers as they were; to
any other it is pickled, and takes a snapshot of the parent's levels along.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import pickle
import socket
import sys
import warnings
from collections.abc import Callable

from logpool._process.hints import Any
from logpool._record.fields import Job, plain_str
from logpool._transport.queue import LogQueue
from logpool._worker import current_job
from logpool._worker.crash_file import CrashFile
from logpool.handler import RelayHandler, with_top

logger = logging.getLogger("logpool")

_FLAGS = ("raiseExceptions", "logThreads", "logMultiprocessing", "logProcesses", "logAsyncioTasks")
"""Switches of the module `logging`. Not every Python has each."""

_set_aside: list[logging.Handler] = []
"""Handlers that a worker came with. They are kept, because a handler that is collected may flush what it has copied
from the parent, and so write it twice."""


def named_loggers() -> dict[str, logging.Logger]:
    """Returns all loggers of this process but the root logger."""
    # A copy first: any thread may add a logger.
    existing = logging.Logger.manager.loggerDict.copy()
    return {name: item for name, item in existing.items() if isinstance(item, logging.Logger)}


def name_of_main_module() -> str:
    """Returns what the main module is called here: `multiprocessing` gives it another name in processes it spawns."""
    return getattr(sys.modules.get("__main__"), "__name__", "__main__")


class Snapshot:
    """What of a process's logging decides which records are made, and how. It can be pickled."""

    def __init__(self) -> None:
        """Takes the snapshot, in the parent."""
        self.main_module = name_of_main_module()
        # Of plain types: the parent's may be of classes, enums say, that can't be pickled or unpickled.
        self.root_level = int(logging.getLogger().level)
        self.loggers = {
            plain_str(name): (int(item.level), bool(item.disabled)) for name, item in named_loggers().items()
        }
        if _to_come is not None:  # This is a worker itself.
            self.loggers |= _to_come.states
        self.disabled_level = int(logging.Logger.manager.disable)
        level_names = [(int(level), plain_str(name)) for name, level in logging.getLevelNamesMapping().items()]
        # Of several names of one level the last that is added is the one that is printed.
        self.level_names = level_names + [(level, plain_str(logging.getLevelName(level))) for level, _ in level_names]
        # There is no public way to ask whether warnings are captured.
        self.captures_warnings = warnings.showwarning is logging._showwarning  # type: ignore[attr-defined]
        self.flags = {name: getattr(logging, name) for name in _FLAGS if hasattr(logging, name)}
        try:
            self.record_factory: bytes | None = pickle.dumps(logging.getLogRecordFactory())
        except Exception:  # A lambda, for example. The parent's records alone are made by it, then.
            self.record_factory = None

    def apply(self) -> None:
        """Makes this process's logging like it, in a worker."""
        for level, name in self.level_names:
            logging.addLevelName(level, name)
        here = named_loggers()
        main_module = name_of_main_module()
        to_come = {}
        for name, state in self.loggers.items():
            for local_name in {name, with_top(name, self.main_module, main_module)}:
                if local_name in here:
                    _set(here[local_name], *state)
                elif state != (logging.NOTSET, False):
                    to_come[local_name] = state
        if to_come:
            LoggersToCome(to_come)
        logging.getLogger().setLevel(self.root_level)
        logging.disable(self.disabled_level)
        logging.captureWarnings(self.captures_warnings)
        for name, value in self.flags.items():
            setattr(logging, name, value)
        if self.record_factory is not None:
            try:
                logging.setLogRecordFactory(pickle.loads(self.record_factory))
            except Exception:
                logger.warning("The parent's log record factory can't be loaded in this worker.", exc_info=True)


def _set(named: logging.Logger, level: int, disabled: bool) -> None:
    named.setLevel(level)
    named.disabled = disabled


class LoggersToCome:
    """Gives loggers that a worker hasn't got yet the parent's levels as soon as it has them.

    They aren't made before: a module that is still to be imported may have a class of its own for its loggers.

    Attributes:
        states: Level, and whether disabled, by name.
        made: The same, of those that have come since that was cleared.
    """

    def __init__(self, states: dict[str, tuple[int, bool]]) -> None:
        """Takes the place of the function behind `logging.getLogger`.

        Args:
            states: Of those that aren't there yet.
        """
        global _to_come
        self.states = states
        self._get_logger = logging.Logger.manager.getLogger
        self.made: dict[str, tuple[int, bool]] = {}
        logging.Logger.manager.getLogger = self.get_logger  # type: ignore[method-assign]
        _to_come = self

    def get_logger(self, name: str) -> logging.Logger:
        """Does what `logging.getLogger` does, and sets what is to be set.

        Args:
            name: The logger's.
        """
        if self.states and isinstance(name, str):
            # Those above it, too, from which it inherits.
            for made in itertools.accumulate(name.split("."), "{}.{}".format):
                if (state := self.states.pop(made, None)) is not None:
                    self.made[made] = state
                    _set(self._get_logger(made), *state)
        return self._get_logger(name)


_to_come: LoggersToCome | None = None


def _source_of(function: object) -> str | None:
    return getattr(getattr(function, "__code__", None), "co_filename", None)


def _call_handlers(logger: logging.Logger, record: logging.LogRecord) -> None:
    """Does what `logging.Logger.callHandlers` does, in a worker, which has a handler on its root logger at least."""
    source: logging.Logger | None = logger
    while source is not None:
        for handler in source.handlers:
            if record.levelno >= handler.level:
                handler.handle(record)
        source = source.parent if source.propagate else None


class Installation:
    """Routes a worker's records to its parent. What a child process gets of a `LogRelay`.

    Attributes:
        queue: The log queue.
    """

    def __init__(
        self, queue: LogQueue, level: int | None, *, pid: int | None = None, snapshot: Snapshot | None = None
    ) -> None:
        """Prepares the installation, in the parent.

        Args:
            queue: The log queue.
            level: The workers' root level; None: the parent's.
            pid: The process that handles the records; None: this one.
            snapshot: Of the parent's logging; None: the worker has the parent's in its own memory.
        """
        self.queue = queue
        self._level = level
        self._pid = os.getpid() if pid is None else pid
        self._snapshot = snapshot

    def __reduce__(self) -> tuple[Callable[..., Installation], tuple[Any, ...]]:
        # Pickled when a worker is started, so the snapshot is of that moment.
        return _load, (self.queue, self._level, self._pid, self._snapshot or Snapshot())

    def install(self, job_of: Callable[[], Job] | None = None) -> None:
        """Gives this worker's loggers the parent's levels, and one handler: the one that puts records into the queue.

        A second call changes nothing; nor does one in the process that handles the records, which says so.

        Args:
            job_of: Tells which job the calling thread works for; None: this process knows no jobs.
        """
        if os.getpid() == self._pid:
            logger.warning("install() was called in the process that handles the records. It is for its workers.")
            return
        root = logging.getLogger()
        for handler in root.handlers:
            if isinstance(handler, RelayHandler) and handler.queue.address == self.queue.address:
                return
        for item in (root, *named_loggers().values()):
            for handler in item.handlers[:]:
                item.removeHandler(handler)
                _set_aside.append(handler)
            for record_filter in item.filters[:]:
                item.removeFilter(record_filter)
            item.propagate = True
        if self._snapshot is not None:
            self._snapshot.apply()
        if self._level is not None:
            root.setLevel(self._level)
        if _source_of(logging.Logger.callHandlers) != _source_of(logging.getLogger):
            # An error tracker, say, has put its own in place, to see each record. It sees them in the parent.
            logging.Logger.callHandlers = _call_handlers  # type: ignore[assignment, method-assign]
        main_module = None
        if self._snapshot is not None and self._snapshot.main_module != (here := name_of_main_module()):
            main_module = here, self._snapshot.main_module
        root.addHandler(RelayHandler(self.queue, job_of, main_module))


def _load(queue: LogQueue, level: int | None, pid: int, snapshot: Snapshot) -> Installation:
    return Installation(queue, level, pid=pid, snapshot=snapshot)


class WorkerStart:
    """What a pool's worker needs at its start. Filled in, in the parent, before the first worker is started.

    Attributes:
        installation: Routes the worker's records.
        parent_sentinel: Ends when the parent is gone.
        directory: For the worker's file; None: there is no room for one.
    """

    installation: Installation
    parent_sentinel: socket.socket
    directory: str | None


def initialize(start: WorkerStart, initializer: Callable[..., object] | None, initargs: tuple[Any, ...]) -> None:
    """A worker's initializer: makes it one of this pool's, then runs the user's own."""
    crash_file = None
    if start.directory is not None:
        with contextlib.suppress(OSError):  # No room: then nothing is known of its death but the exit code.
            crash_file = CrashFile(start.directory)
    current_job.prepare(start.parent_sentinel, start.directory, crash_file, Load, start.installation.queue)
    start.installation.install(current_job.current)
    if initializer is not None:
        current_job.run_initializer(initializer, initargs)


class Load:
    """Undoes what a module does to logging when it is imported for a job.

    To load a job a worker may import modules that it hasn't had. In the parent these have added the same handlers, and
    there the records are handled; and they have set the levels of their loggers, which the parent may have changed
    since. What jobs and initializers themselves do stays.
    """

    def __init__(self) -> None:
        """Notes what there is, before a job is loaded."""
        self._before = _all_handlers()
        if _to_come is not None:
            _to_come.made.clear()

    def undo(self) -> None:
        """Removes handlers that have come since, and sets the levels of loggers that have, after the job was loaded."""
        if _to_come is not None:
            for name, state in list(_to_come.made.items()):  # Another thread may just make one.
                _set(logging.getLogger(name), *state)
        new = _all_handlers().keys() - self._before.keys()
        if new:
            for item in (logging.getLogger(), *named_loggers().values()):
                for handler in item.handlers[:]:
                    if id(handler) in new:
                        item.removeHandler(handler)
                        item.propagate = True
                        _set_aside.append(handler)


def _all_handlers() -> dict[int, object]:
    # There is no public way to ask for all handlers, but to ask each logger, which takes long where there are many.
    return {id(handler): handler for reference in logging._handlerList[:] if (handler := reference()) is not None}  # type: ignore[attr-defined]
