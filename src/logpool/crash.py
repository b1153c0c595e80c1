"""Why a worker died: what it leaves for its parent to read, and what the parent makes of it.

A worker that is killed can't say anything any more. So each writes down beforehand what would be asked: which job it
runs, in a file of its own in the manager's private directory. Behind that, `faulthandler` writes the Python stack if a
fatal signal strikes. A job costs one write of a few bytes, into the kernel's cache.
"""

from __future__ import annotations

import contextlib
import faulthandler
import functools
import logging
import os
import signal
from collections.abc import Callable, Iterable
from multiprocessing import connection, util
from multiprocessing.process import BaseProcess

from logpool._process.hints import Any

logger = logging.getLogger("logpool")

JOB_SIZE = 512
"""Bytes at the beginning of the file that are for the job. The rest is faulthandler's."""

MOST_STACK = 2**16
"""Bytes that are read of a stack."""

FLUSH_TIMEOUT = 1.0
"""Seconds for which the report of a death waits for what was logged before it, and for the worker's end. Nothing slow
must keep the futures from being told."""

SIGKILL = getattr(signal, "SIGKILL", None)
"""Windows has no such signal."""


class CrashFile:
    """A worker's file, as the worker has it."""

    def __init__(self, directory: str) -> None:
        """Makes the file, and has faulthandler write into it.

        Args:
            directory: The manager's, which is private.

        Raises:
            OSError: There is no room, or no descriptor left.
        """
        path = _path(directory, os.getpid())
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        os.write(self._descriptor, bytes(JOB_SIZE))
        # From here on the descriptor's position is faulthandler's.
        was_enabled = faulthandler.is_enabled()
        faulthandler.enable(self._descriptor)
        if hasattr(os, "register_at_fork"):
            # What a child of this worker does is not this worker's.
            os.register_at_fork(after_in_child=functools.partial(_stop_writing, was_enabled))
        # A worker that leaves by itself has nothing to be asked.
        util.Finalize(self, _remove, args=(path,), exitpriority=-100)

    def write_job(self, number: int, name: str) -> None:
        """Writes down which job runs from now on.

        Args:
            number: The job's number.
            name: Its name.
        """
        line = b"%d %s\n" % (number, name.encode(errors="replace")[: JOB_SIZE - 32])
        with contextlib.suppress(OSError):  # A full disk is no reason to fail a job.
            _write_at_start(self._descriptor, line)


def _write_at_start(descriptor: int, data: bytes) -> None:
    if hasattr(os, "pwrite"):
        os.pwrite(descriptor, data, 0)
    else:  # Windows.
        position = os.lseek(descriptor, 0, os.SEEK_CUR)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, data)
        os.lseek(descriptor, position, os.SEEK_SET)


def _path(directory: str, pid: int | None) -> str:
    return os.path.join(directory, str(pid))


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


def _stop_writing(was_enabled: bool) -> None:
    faulthandler.disable()
    if was_enabled:
        with contextlib.suppress(Exception):  # There may be no stderr, or none with a descriptor.
            faulthandler.enable()


# In the parent.


class KillCounter:
    """How often the kernel has killed a process because memory ran out, in this process's control group or at all."""

    def __init__(self) -> None:
        """Notes the present count."""
        self._before = _out_of_memory_kills()

    def has_risen(self) -> bool:
        """Tells whether there was another since."""
        return any(count > self._before.get(where, count) for where, count in _out_of_memory_kills().items())


def _out_of_memory_kills() -> dict[str, int]:
    """Reads the counts: the control group's in `memory.events`, the machine's in /proc/vmstat. Linux alone has them."""
    paths = ["/proc/vmstat"]
    with contextlib.suppress(OSError), open("/proc/self/cgroup") as groups:
        paths += [f"/sys/fs/cgroup{line.rstrip().split(':', 2)[2]}/memory.events" for line in groups]
    counts = {}
    for path in paths:
        with contextlib.suppress(OSError), open(path) as counters:
            for line in counters:
                if line.startswith("oom_kill "):
                    counts[path] = int(line.split()[1])
    return counts


class DeathWatch:
    """What is needed to say why a worker died.

    Attributes:
        expected: Whether the user has ended the workers.
        directory: Where the workers' files are; None: there are none.
    """

    def __init__(self, flush: Callable[[float], bool]) -> None:
        """Begins to watch.

        Args:
            flush: Waits some seconds until all is handled that was logged.
        """
        self.expected = False
        self.directory: str | None = None
        self._flush = flush
        self._kills = KillCounter()

    def report(self, processes: Iterable[BaseProcess], running: set[int]) -> None:
        """Logs, for each worker that has died by itself, why. Raises nothing: the futures are to be told next.

        Args:
            processes: The pool's workers, before the pool ends those that are left.
            running: Numbers of the jobs that have no result.
        """
        with contextlib.suppress(Exception):
            if not self.expected:
                self._report(processes, running)

    def _report(self, processes: Iterable[BaseProcess], running: set[int]) -> None:
        by_sentinel: dict[Any, BaseProcess] = {process.sentinel: process for process in processes}
        dead = [by_sentinel[sentinel] for sentinel in connection.wait(list(by_sentinel), timeout=0)]
        if dead:
            self._flush(FLUSH_TIMEOUT)  # So that its own last words come first.
        for process in dead:
            _wait_for_end(process)
            self._report_one(process, running)

    def _report_one(self, process: BaseProcess, running: set[int]) -> None:
        exit_code = process.exitcode
        signal_name = _signal_name(exit_code)
        job, name, stack = _read(self.directory, process.pid)
        if job not in running:  # It had finished that one.
            job = name = None
        hint = ""
        if SIGKILL is not None and exit_code == -SIGKILL and self._kills.has_risen():
            hint = "The kernel has killed a process for want of memory meanwhile; it may have been this one."
        if exit_code is None:
            how = "has closed its connection to the pool, and still runs"
        else:
            how = f"was killed by {signal_name}" if signal_name else f"exited with code {exit_code}"
        what = "no job" if job is None else f"job {job} ({name})"
        logger.critical(
            "Worker %s (pid %s) %s, running %s.%s%s",
            process.name,
            process.pid,
            how,
            what,
            f" {hint}" if hint else "",
            f"\n{stack}" if stack else "",
            extra={
                "workerName": process.name,
                "workerPid": process.pid,
                "exitCode": exit_code,
                "signalName": signal_name,
                "jobId": job,
                "jobName": name,
                "stack": stack or None,
                "hint": hint or None,
            },
        )


def _wait_for_end(process: BaseProcess) -> None:
    """Waits for a worker whose end of a pipe is closed.

    Usually it is just ending. But it may have closed that itself, and run on.

    `join` won't do: with fork it waits without a timeout once the pipe is closed.
    """
    if hasattr(os, "pidfd_open") and process.pid is not None:  # Linux.
        with contextlib.suppress(OSError):
            descriptor = os.pidfd_open(process.pid)
            try:
                connection.wait([descriptor], FLUSH_TIMEOUT)
            finally:
                os.close(descriptor)


def _signal_name(exit_code: int | None) -> str | None:
    if exit_code is None or exit_code >= 0:
        return None
    try:
        return signal.Signals(-exit_code).name
    except ValueError:  # A real-time signal, say.
        return f"signal {-exit_code}"


def _read(directory: str | None, pid: int | None) -> tuple[int | None, str | None, str]:
    """Reads a dead worker's file, if there is one, and removes it.

    Returns:
        The job's number, its name, and the stack.
    """
    if directory is None:
        return None, None, ""
    path = _path(directory, pid)
    try:
        with open(path, "rb") as file:
            line = file.read(JOB_SIZE).split(b"\n", 1)[0]
            stack = file.read(MOST_STACK).decode(errors="replace").strip()
    except OSError:
        return None, None, ""
    _remove(path)
    number, _, name = line.decode(errors="replace").partition(" ")
    return (int(number), name, stack) if number.isdigit() else (None, None, stack)
