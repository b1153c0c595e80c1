"""Parts of the standard library's pool that ours needs to be different. Everything here runs in the parent.

Nothing public serves for these. Each class takes the place of the one it extends by `adopt`, on the object that the
pool has made. What workers do with the pool's queues is in jobs.py.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import process

from logpool._process.hints import Any
from logpool.crash import DeathWatch


class Wakeup(process._ThreadWakeup):
    """What wakes the pool's thread up, also while that is just closing it, but never in a forked child.

    An interpreter that exits wakes all pools up, without the lock that otherwise protects this. If a pool is ending by
    itself at that moment, the interpreter prints a traceback: "Bad file descriptor". So there is a lock here, where
    Python has none of its own yet: those of 3.12.8, 3.13.1, 3.14 and newer have.

    A forked child, too, does this for all its parent's pools when it exits. They have no thread there, but the lock,
    Python's own or this one, may be one that another thread of the parent held when it forked: held for ever.
    """

    guard: contextlib.AbstractContextManager[object]
    owner: int
    """The process that has the pool's thread. An executor may be made, and then used in a forked child alone."""

    @classmethod
    def adopt(cls, wakeup: Any) -> None:
        """Makes a pool's wakeup one of this class. Runs before the pool has a thread.

        Args:
            wakeup: As the pool has made it.
        """
        wakeup.guard = contextlib.nullcontext() if hasattr(wakeup, "_lock") else threading.Lock()
        wakeup.owner = os.getpid()
        wakeup.__class__ = cls

    def wakeup(self) -> None:
        """Wakes the pool's thread up, if it hasn't ended and is one of this process."""
        if os.getpid() == self.owner:
            with self.guard:
                super().wakeup()

    def close(self) -> None:
        """Called by the pool's thread when it ends."""
        with self.guard:
            super().close()


class PoolThread(process._ExecutorManagerThread):
    """The pool's own thread, which outlives all else of the pool, however that ends.

    It isn't a daemon: an interpreter that exits waits for it, and so for what comes last.

    Private to CPython, like its `terminate_broken`, `processes` and `pending_work_items`: nothing public tells that a
    pool has ended, or that a worker has died, or which, before the pool has ended them all.
    """

    watch: DeathWatch
    at_end: Callable[[], object]

    @classmethod
    def adopt(cls, thread: Any, watch: DeathWatch, at_end: Callable[[], object]) -> None:
        """Makes a pool's thread one of this class. Runs before the thread does.

        Args:
            thread: As the pool has made it.
            watch: Told when a worker has died.
            at_end: Called in the thread when the pool has ended.
        """
        thread.thread_wakeup.owner = os.getpid()
        thread.watch = watch
        thread.at_end = at_end
        thread.__class__ = cls

    def run(self) -> None:
        """What the thread does."""
        try:
            super().run()
        finally:
            self.at_end()

    def terminate_broken(self, cause: Any) -> None:
        """Called by the thread when a worker has died.

        Args:
            cause: As the pool has it.
        """
        try:
            # Copies: `submit` may add to both meanwhile.
            running = {work_id + 1 for work_id in list(self.pending_work_items)}
            self.watch.report(list(self.processes.values()), running)
        finally:
            if sys.version_info < (3, 12):
                self._refuse_jobs()
            super().terminate_broken(cause)

    if sys.version_info < (3, 12):

        def _refuse_jobs(self) -> None:
            # Later Pythons have the pool's lock from here on. Without it a `submit` in the midst of what follows ends
            # this thread ("dictionary changed size during iteration"), and no future is told.
            executor = self.executor_reference()
            if executor is not None:
                with self.shutdown_lock:
                    executor._broken = "A child process terminated abruptly, the process pool is not usable anymore"
