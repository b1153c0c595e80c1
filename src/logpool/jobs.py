"""Which job a worker runs, and when it has nothing to wait for any more.

Everything here runs in a worker, but `adopt` of each class, which runs in the parent.

A worker takes its jobs from the pool's call queue. This is the one place that each job passes, with its number, before
it runs, and so where the worker learns what it runs, without a frame in a job's traceback or a wrapper to be pickled.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import queue
import select
import socket
import threading
from collections.abc import Callable
from concurrent.futures import process
from multiprocessing import connection, queues

from logpool import directory, import_guard
from logpool.crash import CrashFile
from logpool.hints import Any
from logpool.record import Job

logger = logging.getLogger("logpool")

NO_JOB: Job = (None, None)

_job: Job = NO_JOB
"""The job that this worker runs."""

_main_thread = 0
"""The thread that runs the jobs."""

_job_of_thread = threading.local()
"""For any other thread, as `job`: the job that it belongs to."""

_lifeline: socket.socket | None = None
_path: str | None = None
_crash_file: CrashFile | None = None
_take_over: Callable[[bytes], object] | None = None
_settings = 0
"""The number of the parent's settings that this worker has taken over last."""


def start(
    lifeline: socket.socket, path: str | None, crash_file: CrashFile | None, take_over: Callable[[bytes], object]
) -> None:
    """Prepares a worker.

    Args:
        lifeline: Ends when the parent is gone.
        path: Of the manager's directory; None: there is none.
        crash_file: Where to write down what the worker runs.
        take_over: Called with the parent's settings where they have changed.
    """
    global _job, _main_thread, _lifeline, _path, _crash_file, _take_over, _settings
    _job = NO_JOB  # A pool in a job of another pool forks its workers with that job.
    _take_over = take_over
    _settings = 0
    _main_thread = threading.get_ident()
    _lifeline = lifeline
    _path = path
    _crash_file = crash_file


def current() -> Job:
    """Returns the job that the calling thread works for.

    A thread of the job's own belongs to the job that runs when it logs for the first time, also when that has ended.
    """
    if threading.get_ident() == _main_thread:
        return _job
    try:
        job: Job = _job_of_thread.job
    except AttributeError:
        job = _job_of_thread.job = _job
    return job


def name_of(function: Callable[..., object]) -> str:
    """Returns module and qualified name of a callable; for `map`, of the function that is mapped.

    Args:
        function: What a worker was given to call.
    """
    while isinstance(function, functools.partial):
        # Executor.map submits a partial of this function of the pool's with the user's as its argument.
        function = function.args[0] if function.func is process._process_chunk else function.func
    named = function if isinstance(getattr(function, "__qualname__", None), str) else type(function)
    # A spawned worker has the parent's main module under another name.
    module = "__main__" if named.__module__ == "__mp_main__" else named.__module__
    return f"{module}.{named.__qualname__}" if module else named.__qualname__


class CallQueue(process._SafeQueue):
    """The pool's call queue, whose workers know what they run, and leave when their parent is gone.

    Built on private parts of CPython, because a pool tells nobody which worker took which job, and leaves idle workers
    waiting for ever when it is killed: the class `_SafeQueue`, its `_reader`, that its `get` reads by `_recv_bytes`,
    and the `work_id` (from 0) and `fn` of what is got.
    """

    _poller: select.poll | None = None
    _reader: connection.Connection
    settings: tuple[int, bytes] | None = None
    """The parent's logging, where it has changed since the first submit: its number, and what workers take over."""

    @classmethod
    def adopt(cls, call_queue: Any) -> None:
        """Makes a pool's call queue one of this class. Runs in the parent, before the first worker is started.

        Args:
            call_queue: As the pool has made it.
        """
        call_queue.__class__ = cls

    def put(self, obj: Any, *args: Any, **kwargs: Any) -> None:
        """Hands out a job, with the parent's settings if they have changed. The parent alone calls this.

        Args:
            obj: The job as the pool has it; None: a worker is to leave.
            *args: As for any queue.
            **kwargs: As for any queue.
        """
        if self.settings is not None and obj is not None:
            obj.settings = self.settings
        super().put(obj, *args, **kwargs)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Waits for the next job.

        Args:
            block: As for any queue.
            timeout: As for any queue.

        Returns:
            The job as the pool has it; None: the worker is to leave.

        Raises:
            SystemExit: The parent is gone.
        """
        global _job, _settings
        _job = NO_JOB
        if self._poller is None and hasattr(select, "poll") and _lifeline is not None:
            self._poller = select.poll()
            self._poller.register(self._reader.fileno(), select.POLLIN)
            self._poller.register(_lifeline.fileno(), select.POLLIN)
            self._recv_bytes = self._receive
        import_guard.thread.loads = True
        try:
            item: Any = super().get(block, timeout)
        except (OSError, EOFError, queue.Empty):  # The parent is gone; or nothing came.
            raise
        except Exception:
            # The worker ends by this, and the pool breaks, without a word but on this worker's stderr.
            logger.exception("A worker can't load a job that it was given.")
            raise
        finally:
            import_guard.thread.loads = False
        if item is not None:
            if hasattr(item, "settings") and item.settings[0] != _settings and _take_over is not None:
                _settings, pickled = item.settings
                _take_over(pickled)
            number = item.work_id + 1
            try:
                name = name_of(item.fn)
            except Exception as error:  # Callables can be strange. None is a reason to lose a worker.
                name = f"(its name raised {type(error).__name__})"
            _job = number, name
            if _crash_file is not None:
                _crash_file.write_job(number, name)
        return item

    def _receive(self) -> bytes:
        """Waits, with the lock that lets one worker at a time do so, for a job or the parent's end."""
        assert self._poller is not None
        assert _lifeline is not None
        if any(descriptor == _lifeline.fileno() for descriptor, _ in self._poller.poll()):
            # The parent may have been killed before it started the manager, whose this is to remove.
            directory.remove(_path)
            raise SystemExit(0)
        return self._reader.recv_bytes()


class ResultQueue(queues.SimpleQueue):  # type: ignore[type-arg]
    """The pool's result queue, on which no worker waits for a parent that is gone.

    A result that is larger than the pipe waits until somebody reads. The workers themselves hold copies of the reading
    end, so that a worker whose parent was killed would wait for ever. Built on the private `_reader`.
    """

    _reader: connection.Connection

    @classmethod
    def adopt(cls, result_queue: Any) -> None:
        """Makes a pool's result queue one of this class. Runs in the parent, before the first worker is started.

        Args:
            result_queue: As the pool has made it.
        """
        result_queue.__class__ = cls

    def put(self, obj: object) -> None:
        """Hands a result to the parent. Only workers call this.

        Args:
            obj: As the pool has it.

        Raises:
            SystemExit: The parent is gone.
        """
        self._reader.close()
        with contextlib.suppress(BrokenPipeError):
            super().put(obj)
            return
        # Not while that is being handled: it would keep a buffer, which complains on stderr when the interpreter ends.
        raise SystemExit(0)
