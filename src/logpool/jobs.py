"""Which job a worker runs, and when it has nothing to wait for any more.

Everything here runs in a worker, but `adopt` of each class, which runs in the parent.

A worker takes its jobs from the pool's call queue. This is the one place that each job passes, with its number, before
it runs, and so where the worker learns what it runs, without a frame in a job's traceback or a wrapper to be pickled.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import select
import socket
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import process
from multiprocessing import connection, queues

from logpool._process import directory
from logpool._process.hints import Any, Protocol
from logpool._record.fields import Job
from logpool.crash import INITIALIZER, CrashFile

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
_make_load: Callable[[], Load] | None = None


class Load(Protocol):
    """Made before a job is loaded."""

    def undo(self) -> None:
        """Called when it has been loaded."""


def start(
    lifeline: socket.socket, path: str | None, crash_file: CrashFile | None, make_load: Callable[[], Load]
) -> None:
    """Prepare a worker.

    Args:
        lifeline: Ends when the parent is gone.
        path: Of the manager's directory; None: there is none.
        crash_file: Where to write down what the worker runs.
        make_load: Called before each job is loaded.
    """
    global _job, _main_thread, _lifeline, _path, _crash_file, _make_load
    _job = NO_JOB  # A pool in a job of another pool forks its workers with that job.
    _make_load = make_load
    _main_thread = threading.get_ident()
    _lifeline = lifeline
    _path = path
    _crash_file = crash_file


def current() -> Job:
    """Return the job that the calling thread works for.

    A thread of the job's own belongs to the job that runs when it logs for the first time, also when that has ended.
    """
    if threading.get_ident() == _main_thread:
        return _job
    try:
        job: Job = _job_of_thread.job
    except AttributeError:
        job = _job_of_thread.job = _job
    return job


MOST_WRAPPERS = 100
"""How many wrappers are taken off a function. A proxy may have any attribute, and again."""


def name_of(function: Callable[..., object]) -> str:
    """Return module and qualified name of a callable, without what it is wrapped in; for `map`, of what is mapped.

    Args:
        function: What a worker was given to call.
    """
    for _ in range(MOST_WRAPPERS):
        if isinstance(function, functools.partial):
            # Executor.map submits a partial of this function of the pool's with the user's as its argument.
            function = function.args[0] if function.func is process._process_chunk else function.func
        elif not callable(wrapped := getattr(function, "__wrapped__", None)):
            break
        else:
            function = wrapped
    named = function if isinstance(getattr(function, "__qualname__", None), str) else type(function)
    # A spawned worker has the parent's main module under another name.
    module = "__main__" if named.__module__ == "__mp_main__" else named.__module__
    return f"{module}.{named.__qualname__}" if module else named.__qualname__


def safe_name_of(function: Callable[..., object]) -> str:
    """Return the same, whatever the callable is like: none is a reason to lose a worker."""
    try:
        return name_of(function)
    except Exception as error:
        return f"(its name raised {type(error).__name__})"


def run_initializer(initializer: Callable[..., object], initargs: tuple[Any, ...]) -> None:
    """Run the user's initializer, in a worker that is started.

    Args:
        initializer: The user's.
        initargs: Its arguments.

    Raises:
        BaseException: What it raises. The worker ends by this, and the parent will say so.
    """
    name = safe_name_of(initializer)
    if _crash_file is not None:
        _crash_file.write_job(INITIALIZER, name)
    try:
        initializer(*initargs)
    except BaseException as error:
        _leave(f"ended because its initializer ({name}) raised", error)
        raise
    if _crash_file is not None:
        _crash_file.write_nothing()


def _leave(what: str, error: BaseException) -> None:
    if _crash_file is not None:
        try:
            text = f"{type(error).__name__}: {error}"
        except Exception:
            text = type(error).__name__
        _crash_file.leave(f"{what} {text}")


class CallQueue(process._SafeQueue):
    """The pool's call queue, whose workers know what they run, and leave when their parent is gone.

    Built on private parts of CPython, because a pool tells nobody which worker took which job, and leaves idle workers
    waiting for ever when it is killed: the class `_SafeQueue`, its `_reader`, that its `get` reads by `_recv_bytes`,
    the `work_id` (from 0) and `fn` of what is put and got, and how the thread that feeds the pipe reports errors.

    Attributes:
        submitted: In the parent, in their order: the `work_id` of each job that isn't put yet, and the function that
            was submitted. A library that replaces `ProcessPoolExecutor.submit` has another put in its place.
    """

    submitted: deque[tuple[int, Callable[..., object]]]

    pending_work_items: dict[int, Any]
    _poller: select.poll | None = None
    _reader: connection.Connection
    _load: Load | None = None
    _has_received = False

    @classmethod
    def adopt(cls, call_queue: Any) -> None:
        """Make a pool's call queue one of this class. Runs in the parent, before the first worker is started.

        Args:
            call_queue: As the pool has made it.
        """
        call_queue.submitted = deque()
        # Else the thread that feeds the pipe ends also where it is the pickling of a job that raises this error.
        call_queue._ignore_epipe = False
        call_queue.__class__ = cls

    # In the parent.

    def put(self, obj: Any, *args: Any, **kwargs: Any) -> None:
        """Put a job into the queue, in the order in which they were submitted; or None, which has a worker leave.

        Args:
            obj: The job as the pool has it.
            *args: As for any queue.
            **kwargs: As for any queue.
        """
        if obj is not None:
            while self.submitted and self.submitted[0][0] <= obj.work_id:  # Less: of a job that was cancelled.
                number, function = self.submitted.popleft()
                if number == obj.work_id and function is not obj.fn:
                    obj.name = safe_name_of(function)
        super().put(obj, *args, **kwargs)

    def _on_queue_feeder_error(self, e: Exception, obj: Any, *args: Any, **kwargs: Any) -> None:
        # Called in the thread that feeds the pipe. What has been pickled, and so is no job any more, can't be written
        # because the pool is broken; then all futures fail by that.
        if isinstance(e, OSError) and not isinstance(obj, process._CallItem):
            return
        work_id: Any = getattr(obj, "work_id", None)
        work_item = self.pending_work_items.get(work_id)
        try:
            super()._on_queue_feeder_error(e, obj, *args, **kwargs)
        except BaseException:  # A callback's SystemExit, say. It would end the thread, and no other job would be run.
            logger.exception("A job can't be pickled, and to say so failed.")
            if work_item is not None and not work_item.future.done():
                work_item.future.set_exception(e)

    # In a worker.

    def get(self, *args: Any, **kwargs: Any) -> Any:
        """Wait for the next job.

        Args:
            *args: As for any queue.
            **kwargs: As for any queue.

        Returns:
            The job as the pool has it; None: the worker is to leave.

        Raises:
            SystemExit: The parent is gone.
        """
        global _job
        _job = NO_JOB
        self._has_received = False
        self._recv_bytes = self._receive
        try:
            item: Any = super().get(*args, **kwargs)
        except (Exception, SystemExit) as error:
            if self._has_received:  # Else the parent is gone, or nothing came.
                # The worker ends by this, and the pool breaks.
                logger.exception("A worker can't load a job that it was given.")
                _leave("ended because it can't load a job:", error)
            raise
        if self._load is not None:
            self._load.undo()
        if item is not None:
            number = item.work_id + 1
            name = getattr(item, "name", None) or safe_name_of(item.fn)
            _job = number, name
            if _crash_file is not None:
                _crash_file.write_job(number, name)
        return item

    def _receive(self) -> bytes:
        """Wait, with the lock that lets one worker at a time do so, for a job or the parent's end."""
        if hasattr(select, "poll") and _lifeline is not None:
            if self._poller is None:
                self._poller = select.poll()
                self._poller.register(self._reader.fileno(), select.POLLIN)
                self._poller.register(_lifeline.fileno(), select.POLLIN)
            if any(descriptor == _lifeline.fileno() for descriptor, _ in self._poller.poll()):
                # The parent may have been killed before it started the manager, whose this is to remove.
                directory.remove(_path)
                raise SystemExit(0)
        data: bytes = self._reader.recv_bytes()
        self._has_received = True
        # Not before: while this worker waited, threads of earlier jobs may have added handlers, which stay.
        self._load = None if _make_load is None else _make_load()
        return data


class ResultQueue(queues.SimpleQueue):  # type: ignore[type-arg]
    """The pool's result queue, on which no worker waits for a parent that is gone.

    A result that is larger than the pipe waits until somebody reads. The workers themselves hold copies of the reading
    end, so that a worker whose parent was killed would wait for ever. Built on the private `_reader` and `_writer`, and
    that `put` writes by the latter's `send_bytes` what it has pickled before.
    """

    _reader: connection.Connection
    _writer: Any

    @classmethod
    def adopt(cls, result_queue: Any) -> None:
        """Make a pool's result queue one of this class. Runs in the parent, before the first worker is started.

        Args:
            result_queue: As the pool has made it.
        """
        result_queue.__class__ = cls

    def put(self, obj: object, *args: Any, **kwargs: Any) -> None:
        """Hand a result to the parent. Only workers call this.

        Args:
            obj: As the pool has it.
            *args: As the base class has them.
            **kwargs: As the base class has them.

        Raises:
            SystemExit: The parent is gone.
            BaseException: What pickling raises.
        """
        if not isinstance(self._writer, ResultWriter):
            self._reader.close()
            self._writer = ResultWriter(self._writer)
        super().put(obj, *args, **kwargs)


class ResultWriter:
    """A worker's writing end of the result queue."""

    def __init__(self, writer: connection.Connection) -> None:
        self._writer = writer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)

    def send_bytes(self, *args: Any) -> None:
        """Write, as the connection does.

        Raises:
            SystemExit: Nothing has the reading end: the parent is gone.
        """
        with contextlib.suppress(BrokenPipeError):
            self._writer.send_bytes(*args)
            return
        # Not while that is being handled: it would keep a buffer, which complains on stderr when the interpreter ends.
        raise SystemExit(0)
