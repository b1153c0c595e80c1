"""Which job this worker runs, and what it needs for that.

The state of one process: set when the worker is started, and by its call queue with each job (pool_queues.py).
"""

from __future__ import annotations

import functools
import socket
import threading
from collections.abc import Callable

from logpool._process import cpython
from logpool._process.hints import Any
from logpool._record.fields import JobTag, parents_module
from logpool._transport.queue import LogQueue
from logpool._worker import own_context
from logpool._worker.crash_file import INITIALIZER, CrashFile

NO_JOB: JobTag = (None, None)

parent_sentinel: socket.socket | None = None
"""Ends when the parent is gone."""

directory: str | None = None
"""The manager's directory; None: there is none."""

_apply: Callable[[bytes], object] | None = None

_settings_version = 0
"""The number of the parent's settings that this worker has taken over last."""

log_queue: LogQueue | None = None
"""By which this worker's records go to the pool's parent; None: it was not installed."""

_crash_file: CrashFile | None = None

_job = NO_JOB

_main_thread = 0
"""The thread that runs the jobs."""

_job_of_thread = threading.local()
"""For any other thread, as `job`: the job that it belongs to."""


def prepare(
    new_parent_sentinel: socket.socket,
    new_directory: str | None,
    crash_file: CrashFile | None,
    apply: Callable[[bytes], object],
    new_log_queue: LogQueue,
) -> None:
    """Set what is above, in a worker that is started.

    Args:
        new_parent_sentinel: As above.
        new_directory: As above.
        crash_file: Where to write down what the worker runs.
        apply: Called with the parent's settings where they have changed.
        new_log_queue: As above.
    """
    global parent_sentinel, directory, log_queue, _apply, _settings_version, _crash_file, _job, _main_thread
    log_queue = new_log_queue
    parent_sentinel = new_parent_sentinel
    directory = new_directory
    _apply = apply
    _settings_version = 0
    _crash_file = crash_file
    own_context.begin()
    _job = NO_JOB  # A pool in a job of another pool forks its workers with that job.
    _main_thread = threading.get_ident()


def apply_settings(settings: tuple[int, bytes] | None) -> None:
    """Make this worker's logging like the parent's was when the job was submitted, if it has changed.

    Args:
        settings: Their number, and a pickled snapshot; None: they haven't changed since the first submit.
    """
    global _settings_version
    if settings is not None and settings[0] != _settings_version and _apply is not None:
        _settings_version, pickled = settings
        _apply(pickled)


def begin(number: int, name: str) -> None:
    """Note that a job runs from now on."""
    global _job
    _job = number, name
    own_context.begin()
    if _crash_file is not None:
        _crash_file.write_job(number, name)


def end() -> None:
    """Note that no job runs."""
    global _job
    _job = NO_JOB


def leave(what: str, error: BaseException) -> None:
    """Write down why this worker is about to end by itself.

    Args:
        what: What the worker does, to follow its name in the report.
        error: Why.
    """
    if _crash_file is not None:
        try:
            text = f"{type(error).__name__}: {error}"
        except Exception:
            text = type(error).__name__
        _crash_file.leave(f"{what} {text}")


def current() -> JobTag:
    """Return the job that the calling thread works for.

    A thread of the job's own belongs to the job that runs when it logs for the first time, also when that has ended.
    """
    if threading.get_ident() == _main_thread:
        return _job
    try:
        job: JobTag = _job_of_thread.job
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
            function = function.args[0] if function.func is cpython.process_chunk else function.func
        elif not callable(wrapped := getattr(function, "__wrapped__", None)):
            break
        else:
            function = wrapped
    named = function if isinstance(getattr(function, "__qualname__", None), str) else type(function)
    module = parents_module(named.__module__)
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
        leave(f"ended because its initializer ({name}) raised", error)
        raise
    if _crash_file is not None:
        _crash_file.write_nothing()
