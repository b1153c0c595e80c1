"""`CrashFile`: what a worker leaves for its parent to read if it dies.

A worker that is killed can't say anything any more. So each writes down beforehand what would be asked: what it runs,
in a file of its own in the manager's private directory. Behind that, `faulthandler` writes the Python stack if a fatal
signal strikes. A job costs one write of a few bytes, into the kernel's cache.

The file's first line is one of these; in a new file it is empty:

    3 module.function    job 3 runs, or was the last
    0 module.function    the initializer runs
    ! text               the worker is ending by itself, because of this

The parent's side is `_parent/crash_reporter.py`.
"""

from __future__ import annotations

import contextlib
import functools
import os
from multiprocessing import util

# In the parent, too, as forked workers have it then. In other interpreters than the main one it can't be imported.
with contextlib.suppress(ImportError):
    import faulthandler

LINE_SIZE = 512
"""Bytes at the beginning of the file that are for the line. The rest is faulthandler's."""

INITIALIZER = 0
"""The number in the place of a job's while the initializer runs. Jobs are numbered from 1."""


class CrashFile:
    """A worker's file, as the worker has it."""

    def __init__(self, directory: str) -> None:
        """Make the file, and have faulthandler write into it.

        Args:
            directory: The manager's, which is private.

        Raises:
            OSError: There is no room, or no descriptor left.
        """
        path = path_of(directory, os.getpid())
        # Windows would write another end of line in a file that isn't binary.
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
        self._descriptor = os.open(path, flags, 0o600)
        os.write(self._descriptor, bytes(LINE_SIZE))
        # From here on the descriptor's position is faulthandler's.
        was_enabled = faulthandler.is_enabled()
        faulthandler.enable(self._descriptor)
        if hasattr(os, "register_at_fork"):
            # What a child of this worker does is not this worker's.
            os.register_at_fork(after_in_child=functools.partial(_stop_writing, was_enabled))
        # A worker that leaves in good order has nothing to be asked.
        self._removal = util.Finalize(self, remove, args=(path,), exitpriority=-100)

    def write_job(self, number: int, name: str) -> None:
        """Write down what runs from now on.

        Args:
            number: The job's number, or INITIALIZER.
            name: Of the function.
        """
        self._write_line(f"{number} {name}")

    def write_nothing(self) -> None:
        """Write down that nothing runs."""
        self._write_line("")

    def leave(self, reason: str) -> None:
        """Write down why this worker is about to end by itself, and leave the file to the parent.

        Args:
            reason: What is to follow the worker's name in the report.
        """
        self._write_line(f"! {' '.join(reason.split())}")
        self._removal.cancel()

    def _write_line(self, text: str) -> None:
        line = text.encode("utf-8", "replace")[: LINE_SIZE - 1] + b"\n"
        with contextlib.suppress(OSError):  # A full disk is no reason to fail a job.
            _write_at(self._descriptor, line, 0)


def _write_at_on_windows(descriptor: int, data: bytes, place: int) -> None:
    position = os.lseek(descriptor, 0, os.SEEK_CUR)
    os.lseek(descriptor, place, os.SEEK_SET)
    os.write(descriptor, data)
    os.lseek(descriptor, position, os.SEEK_SET)


_write_at = getattr(os, "pwrite", _write_at_on_windows)


def path_of(directory: str, pid: int | None) -> str:
    """Return the path of a worker's file."""
    return os.path.join(directory, str(pid))


def remove(path: str) -> None:
    """Remove a worker's file, if it is there."""
    with contextlib.suppress(OSError):
        os.unlink(path)


def _stop_writing(was_enabled: bool) -> None:
    faulthandler.disable()
    if was_enabled:
        with contextlib.suppress(Exception):  # There may be no stderr, or none with a descriptor.
            faulthandler.enable()
