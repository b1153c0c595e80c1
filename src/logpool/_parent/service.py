"""`RelayService`: the manager process, the queue and the listener of one relay or executor, and when they live.

state       what there is
NEW         checked arguments
PREPARED    all that children need: they may be started
RUNNING     the manager process; and the listener's thread, once `listen` was called
CLOSED      nothing; all records have been handled
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import threading
from collections.abc import Iterable
from multiprocessing import util
from multiprocessing.context import BaseContext

from logpool._parent.arguments import check_backlog, check_context, check_handlers, check_level
from logpool._parent.jobs import Jobs
from logpool._parent.listener import RelayListener
from logpool._parent.main_module_guard import main_module_guarded
from logpool._parent.manager import LogManager, State
from logpool._process import advice
from logpool._record.rebuild import rebuild
from logpool._worker.installation import Installation

logger = logging.getLogger("logpool")


class RelayService:
    """The parts of a relay, each of which can be started by itself.

    Attributes:
        manager: The manager process's handle.
        listener: What handles the records. There from `prepare` on.
        installation: What a child gets. There from `prepare` on.
    """

    manager: LogManager
    listener: RelayListener
    installation: Installation

    def __init__(
        self,
        mp_context: BaseContext | None,
        handlers: Iterable[logging.Handler] | None,
        level: int | str | None,
        backlog: int,
        jobs: Jobs | None = None,
        *,
        is_hidden: bool = False,
    ) -> None:
        """Check the arguments, which are `LogRelay`'s, `RelayListener`'s and `LogManager`'s. Nothing is started."""
        self._jobs = jobs
        self._context = check_context(mp_context) or _default_context()
        self._handlers = check_handlers(handlers)
        self._level = check_level(level)
        self._backlog = check_backlog(backlog)
        self._is_hidden = is_hidden
        self._process = os.getpid()
        self._closing = threading.Lock()
        self._has_run = False
        self.manager = LogManager(self._backlog, ctx=self._context, rebuild=rebuild, is_hidden=is_hidden)

    @property
    def is_new(self) -> bool:
        """Whether nothing has been prepared."""
        return self.manager.state is State.NEW

    @property
    def has_run(self) -> bool:
        """Whether the manager process is running, or has been."""
        return self._has_run

    @property
    def has_failed(self) -> bool:
        """Whether it was closed before the manager process was running."""
        return self.manager.state is State.CLOSED and not self._has_run

    @property
    def has_ended(self) -> bool:
        """Whether it was closed, so that no record of any child will be handled."""
        return self.manager.state is State.CLOSED

    @property
    def is_inherited(self) -> bool:
        """Whether this is a copy, with which this process was forked."""
        return os.getpid() != self._process

    def anew(self) -> RelayService:
        """Return the same for this process, not started, and drop what is left of this one."""
        if self.is_inherited and not self.is_new:
            self.manager.parent_sentinel.close()
        arguments = self._context, self._handlers, self._level, self._backlog, self._jobs
        return RelayService(*arguments, is_hidden=self._is_hidden)

    def prepare(self) -> None:
        """Make all that children need. They may be started from now on; `launch` and `listen` are due.

        Raises:
            OSError: The system has no descriptor or port left. Nothing is left behind.
            RuntimeError: It was prepared before.
        """
        if not self.is_new:
            raise RuntimeError("a relay can only be started once: make another LogRelay")
        try:
            self.manager.prepare()
            queue = self.manager.queue
            self.listener = RelayListener(queue, self._handlers, self._jobs)
            self.installation = Installation(queue, self._level, to_all=self._handlers is not None)
            # Also when this is collected, or when the interpreter exits.
            priority = self.manager.exit_priority + 1
            self._finalize = util.Finalize(self, _close, args=(self.listener, self.manager), exitpriority=priority)
        except BaseException:
            self.manager.shutdown()
            raise
        if self.manager.fell_back:
            logger.warning(
                "No temporary directory can hold the log queue's socket. Records go over the loopback interface, "
                "which takes six times as long."
            )

    def launch(self) -> None:
        """Start the manager process.

        Raises:
            OSError: The system has no descriptor or process left. Nothing is left behind; children that were started
                meanwhile are told by the parent sentinel.
        """
        try:
            # Windows' process imports the main module.
            with main_module_guarded(self._context.get_start_method()), advice.on_start():
                self.manager.launch()
            self._has_run = True
        except BaseException:
            self.close()
            raise

    def listen(self) -> None:
        """Start the listener's thread, if it isn't running.

        Raises:
            RuntimeError: No thread can be started. What children log is handled by `close`, then.
        """
        if not self.listener.is_running:  # Or the program has started it.
            self.listener.start()

    def flush(self, timeout: float | None = None) -> bool:
        """Do what `LogRelay.flush` does."""
        return self.listener.flush(timeout)

    def close(self) -> None:
        """Handle every record that children have logged, then end the listener and the manager process.

        What a child logs later goes to its stderr. It may be called again: it goes on where it was interrupted, and
        does nothing when all is done.
        """
        if self.manager.state in (State.NEW, State.CLOSED) or self.is_inherited:
            return
        if self.manager.state is State.RUNNING and self.listener.is_current_thread():
            _close(self.listener, self.manager)  # It doesn't wait, and so takes no lock.
            return
        with self._closing:
            _close(self.listener, self.manager)
        self._finalize.cancel()


def _close(listener: RelayListener, manager: LogManager) -> None:
    if manager.state is State.RUNNING:
        listener.finish(at_end=manager.shutdown)
    else:
        manager.shutdown()


def _default_context() -> BaseContext:
    """Return the context of the default start method, which the program may still choose later."""
    chosen = multiprocessing.get_start_method(allow_none=True)
    return multiprocessing.get_context(chosen or multiprocessing.get_all_start_methods()[0])
