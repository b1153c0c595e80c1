"""`LogRelay`: the manager, the queue and the listener, and when they live. Runs in the parent.

`RelayParts` is the same for the executor, which starts the parts one by one.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
from collections.abc import Callable, Iterable
from multiprocessing import util
from multiprocessing.context import BaseContext
from types import TracebackType
from typing import Any, Self

from logpool.frames import DEFAULT_BACKLOG
from logpool.import_guard import main_module_guarded
from logpool.listener import RelayListener
from logpool.manager import LogManager
from logpool.queues import LogQueue
from logpool.worker import Installation

NOT_STARTED = "the relay is not started: use it as a context manager"


class LogRelay:
    """Has the records of child processes handled by this process, as if they had been logged here.

    For any pool or `multiprocessing.Process`: hand it the relay, and call `relay.install()` there. A child that isn't
    forked has the method `install` of it, and the attribute `queue`.

        with LogRelay() as relay, multiprocessing.Pool(4, initializer=relay.install) as pool:
            pool.map(work, jobs)
    """

    def __init__(
        self,
        mp_context: BaseContext | None = None,
        *,
        handlers: Iterable[logging.Handler] | None = None,
        level: int | str | None = None,
        backlog: int = DEFAULT_BACKLOG,
    ) -> None:
        """Checks the arguments. Nothing is started.

        Args:
            mp_context: The multiprocessing context to start the manager process with; None: the default one.
            handlers: Get every record that their level lets through; None: this process's loggers handle the records.
            level: The children's root level, a number or a name; None: this process's.
            backlog: Bytes that are held for a slow handler before processes that log wait.

        Raises:
            TypeError: A handler is no `logging.Handler`, the level neither int nor str, the backlog no int.
            ValueError: The level is unknown, or the backlog not greater than 0.
        """
        self._parts = RelayParts(mp_context, handlers, level, backlog)

    @property
    def queue(self) -> LogQueue:
        """The log queue: for `logging.handlers.QueueHandler` in a child, say.

        Raises:
            RuntimeError: The relay is not started.
        """
        return self._parts.installation.queue

    @property
    def listener(self) -> RelayListener:
        """The `logging.handlers.QueueListener` that hands the records to this process's logging.

        Raises:
            RuntimeError: The relay is not started.
        """
        return self._parts.listener

    @property
    def install(self) -> Callable[[], None]:
        """To be called by each child, before it logs: its loggers get this process's levels, and relay their records.

        Called again in a child it changes nothing. Called in this process it changes nothing and logs a warning.

        Raises:
            RuntimeError: The relay is not started.
        """
        return self._parts.installation.install

    def __reduce__(self) -> tuple[Any, ...]:
        # What a child needs of it.
        return self._parts.installation.__reduce__()

    def flush(self, timeout: float | None = None) -> bool:
        """Waits until all that children logged before the call has been handled.

        Args:
            timeout: Seconds to wait at most; None: as long as it takes.

        Returns:
            Whether that happened: False if the time was over first, the manager process is gone, or nobody handles
            records here, because the listener was stopped or this is a child.

        Raises:
            RuntimeError: Called by a handler that handles a child's record, which can't wait for itself; or the relay
                is not started.
        """
        return self._parts.flush(timeout)

    def __enter__(self) -> Self:
        """Starts the manager process and the listener.

        Raises:
            OSError: The system has no process, descriptor or port left. Nothing is left behind.
            RuntimeError: It was started before; or no thread can be started, and nothing is left behind.
        """
        self._parts.prepare()
        try:
            self._parts.launch()
            self._parts.listen()
        except BaseException:
            self._parts.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Has all records handled that children have logged, and ends listener and manager process.

        What a child logs later goes to its stderr.
        """
        self._parts.close()


class RelayParts:
    """The parts of a relay, each of which can be started by itself.

    Attributes:
        manager: The manager process's handle.
    """

    def __init__(
        self,
        mp_context: BaseContext | None,
        handlers: Iterable[logging.Handler] | None,
        level: int | str | None,
        backlog: int,
    ) -> None:
        """Checks the arguments, which are `LogRelay`'s. Nothing is started."""
        self._handlers = None if handlers is None else _check_handlers(handlers)
        self._level = None if level is None else _check_level(level)
        self._backlog = _check_backlog(backlog)
        self._context = mp_context
        self._process = os.getpid()
        self.manager = LogManager(self._backlog, ctx=mp_context)
        self._prepared: tuple[RelayListener, Installation] | None = None
        self._launched = False

    @property
    def listener(self) -> RelayListener:
        """What handles the records.

        Raises:
            RuntimeError: Nothing is prepared.
        """
        return self._what_is_prepared()[0]

    @property
    def installation(self) -> Installation:
        """What a child gets.

        Raises:
            RuntimeError: Nothing is prepared.
        """
        return self._what_is_prepared()[1]

    def _what_is_prepared(self) -> tuple[RelayListener, Installation]:
        if self._prepared is None:
            raise RuntimeError(NOT_STARTED)
        return self._prepared

    @property
    def is_another_processes(self) -> bool:
        """Whether this is a copy, which this process was forked with."""
        return os.getpid() != self._process

    def anew(self) -> RelayParts:
        """Returns the same for this process, not started, and drops what is left of this copy."""
        if self.is_prepared:
            self.manager.lifeline.close()
        return RelayParts(self._context, self._handlers, self._level, self._backlog)

    @property
    def is_prepared(self) -> bool:
        """Whether children may be started, or might have been."""
        return self._prepared is not None

    @property
    def is_launched(self) -> bool:
        """Whether this process has a manager process for it, or had one."""
        return self._launched and not self.is_another_processes

    def prepare(self) -> None:
        """Makes all that children need. They may be started from now on; `launch` and `listen` are due.

        Raises:
            OSError: The system has no descriptor or port left. Nothing is left behind.
            RuntimeError: It was prepared before.
        """
        if self._prepared is not None:
            raise RuntimeError("a relay can only be started once")
        try:
            self.manager.prepare()
            queue = self.manager.queue
            listener = RelayListener(queue, self._handlers)
            self._prepared = listener, Installation(queue, self._level, to_all=self._handlers is not None)
            # Called by `close`, when this is collected, or when the interpreter exits: whichever comes first.
            self._finalize = util.Finalize(self, _close, args=(listener, self.manager), exitpriority=1)
        except BaseException:
            self.manager.shutdown()
            self._prepared = None
            raise

    def launch(self) -> None:
        """Starts the manager process.

        Raises:
            OSError: The system has no descriptor or process left. Nothing is left behind, and it isn't prepared.
        """
        try:
            with main_module_guarded((self._context or multiprocessing).get_start_method()):
                self.manager.launch()
            self._launched = True
        except BaseException:
            self.abandon()
            raise

    def abandon(self) -> None:
        """Goes back to where nothing was prepared. Children that were started meanwhile are told by the lifeline."""
        self.close()
        self._prepared = None
        self._launched = False

    def listen(self) -> None:
        """Starts the listener's thread.

        Raises:
            RuntimeError: No thread can be started. What children log is handled by `close`, then.
        """
        self.listener.start()

    def flush(self, timeout: float | None = None) -> bool:
        """Does what `LogRelay.flush` does.

        Args:
            timeout: As there.
        """
        return self.listener.flush(timeout)

    def close(self) -> None:
        """Has all records handled that children have logged, and ends listener and manager process.

        What a child logs later goes to its stderr. A second call does nothing.
        """
        if self._prepared is not None:
            self._finalize()


def _close(listener: RelayListener, manager: LogManager) -> None:
    listener.stop(then=manager.shutdown, for_good=True)


def _check_handlers(handlers: Iterable[logging.Handler]) -> tuple[logging.Handler, ...]:
    try:
        checked = tuple(handlers)
    except TypeError:
        raise TypeError(f"handlers must be an iterable of logging.Handler, not {handlers!r}") from None
    for handler in checked:
        if not isinstance(handler, logging.Handler):
            raise TypeError(f"each handler must be a logging.Handler, not {handler!r}")
    return checked


def _check_level(level: int | str) -> int:
    if isinstance(level, str):
        try:
            return logging.getLevelNamesMapping()[level]
        except KeyError:
            raise ValueError(f"Unknown level: {level!r}") from None
    if not isinstance(level, int):
        raise TypeError(f"Level not an integer or a valid string: {level!r}")
    return int(level)  # An enum's may be of a class that can't be pickled.


def _check_backlog(backlog: int) -> int:
    if not isinstance(backlog, int):
        raise TypeError(f"the backlog must be an integer, a number of bytes, not {backlog!r}")
    if backlog <= 0:
        raise ValueError("the backlog must be greater than 0 bytes")
    return backlog
