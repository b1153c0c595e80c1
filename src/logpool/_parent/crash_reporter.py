"""`CrashReporter`: says why a worker died, in the log and on the futures' errors.

What the worker has left is described in `_worker/crash_file.py`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterable
from logging import LogRecord
from multiprocessing import connection
from multiprocessing.process import BaseProcess

from logpool._process import advice
from logpool._process.hints import Any
from logpool._worker.crash_file import INITIALIZER, LINE_SIZE, path_of, remove

logger = logging.getLogger("logpool")

MOST_STACK = 2**16
"""Bytes that are read of a stack."""

END_TIMEOUT = 1.0
"""Seconds for which the report waits for the exit codes of workers that have closed their end of a pipe. Usually they
are just ending."""

REPORT_TIMEOUT = 1.0
"""Seconds for which the futures wait for the report to be handled, and what was logged before it. Nothing slow must
keep them from being told."""

SIGKILL = getattr(signal, "SIGKILL", None)
"""Windows has no such signal."""


class KillCounter:
    """How often the kernel has killed a process because memory ran out, in this process's control group or at all."""

    def __init__(self) -> None:
        """Note the present count."""
        self._before = _out_of_memory_kills()

    def has_risen(self) -> bool:
        """Tell whether there was another since."""
        return any(count > self._before.get(where, count) for where, count in _out_of_memory_kills().items())


def _out_of_memory_kills() -> dict[str, int]:
    """Return the counts of the control group (`memory.events`) and the machine (/proc/vmstat). Linux alone has them."""
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


class CrashReporter:
    """Says why a worker died.

    Attributes:
        expected: Whether the user has ended the workers.
        directory: Where the workers' files are; None: there are none.
    """

    def __init__(self, flush: Callable[[float], bool], handle: Callable[[LogRecord], object]) -> None:
        """Begin to watch.

        Args:
            flush: Waits some seconds until all is handled that was logged.
            handle: Has a record handled where those of the workers are.
        """
        self.expected = False
        self.directory: str | None = None
        self._flush = flush
        self._handle = handle
        self._kills = KillCounter()
        self._reasons: list[str] = []
        self._reporting: threading.Thread | None = None

    def report(self, processes: Iterable[BaseProcess], running: set[int]) -> None:
        """Log, for each worker that has died by itself, why. Raises nothing: the futures are to be told next.

        Args:
            processes: The pool's workers, before the pool ends those that are left.
            running: Numbers of the jobs that have no result.
        """
        with contextlib.suppress(Exception):
            if not self.expected:
                self._report(processes, running)

    def add_reason(self, reason: str) -> None:
        """Note why the pool breaks, for the errors that say that it is broken."""
        self._reasons.append(reason)

    def explain(self, error: BaseException) -> None:
        """Add to an error, as notes, why the pool has broken."""
        for reason in self._reasons:
            advice.add_note(error, reason)  # Pythons before 3.14 give all futures one error.

    def wait(self) -> None:
        """Wait until all reports are handled, however long their handlers take."""
        if self._reporting is not None:
            self._reporting.join()

    def is_current_thread(self) -> bool:
        """Return whether the caller is a handler that handles a report."""
        return threading.current_thread() is self._reporting

    def _report(self, processes: Iterable[BaseProcess], running: set[int]) -> None:
        by_sentinel: dict[Any, BaseProcess] = {process.sentinel: process for process in processes}
        dead = [by_sentinel[sentinel] for sentinel in connection.wait(list(by_sentinel), timeout=0)]
        if not dead:
            return
        for process in dead:
            wait_for_end(process, END_TIMEOUT)
        records = [self._record_of(process, running) for process in dead]
        self._reasons += [record.getMessage() for record in records]
        # In a thread, because a handler may be slow, or wait for a future that is to be told next.
        reporting = threading.Thread(target=self._tell, args=(records,), name="logpool-reporter")
        self._reporting = reporting  # Before it runs: a handler may ask whether it is in this thread.
        try:
            reporting.start()
        except RuntimeError:  # No thread can be started: the interpreter is ending, say.
            self._reporting = None
            self._tell(records)
        else:
            reporting.join(REPORT_TIMEOUT)

    def _tell(self, records: list[LogRecord]) -> None:
        self._flush(REPORT_TIMEOUT)  # So that a worker's own last words come first.
        for record in records:
            if logger.isEnabledFor(record.levelno):
                self._handle(record)

    def _record_of(self, process: BaseProcess, running: set[int]) -> LogRecord:
        exit_code = process.exitcode
        signal_name = _signal_name(exit_code)
        file = WorkersFile.take(self.directory, process.pid)
        job, name = (file.number, file.name) if file.number in running else (None, None)  # Else it had finished that.
        hint = ""
        if SIGKILL is not None and exit_code == -SIGKILL and self._kills.has_risen():
            hint = "The kernel has killed a process meanwhile, because memory ran out; it may have been this one."
        elif exit_code == 1 and self.directory is not None and not file.was_found:
            hint = advice.NOT_READY
        if exit_code is None:
            how = "has closed its connection to the pool, and still runs"
        elif file.reason:
            how = file.reason
        else:
            how = f"was killed by {signal_name}" if signal_name else f"exited with code {exit_code}"
        if file.number == INITIALIZER:
            how += f", running its initializer ({file.name})"
        elif not file.reason:
            how += ", running no job" if job is None else f", running job {job} ({name})"
        path, line, function, _ = logger.findCaller()
        extra = {
            "workerName": process.name,
            "workerPid": process.pid,
            "exitCode": exit_code,
            "signalName": signal_name,
            "jobId": job,
            "jobName": name,
            "stack": file.stack or None,
            "hint": hint or None,
        }
        arguments = (process.name, process.pid, how, hint and f" {hint}", file.stack and f"\n{file.stack}")
        return logger.makeRecord(
            logger.name, logging.CRITICAL, path, line, "Worker %s (pid %s) %s.%s%s", arguments, None, function, extra
        )


def wait_for_end(process: BaseProcess, timeout: float) -> None:
    """Wait for a worker that usually is just ending.

    `join` has a timeout for the pipe alone: with fork and spawn it waits for the worker's end without one once the pipe
    is closed, which a worker may have done itself and run on.

    Args:
        process: The worker.
        timeout: Seconds to wait at most.
    """
    try:
        descriptor = os.pidfd_open(process.pid)  # type: ignore[arg-type]  # It was started.
    except ProcessLookupError:  # It was waited for.
        return
    except (AttributeError, OSError):  # No Linux, or no descriptor is left.
        # It ends when the pool has ended the worker, at the latest.
        waiting = threading.Thread(target=process.join, name="logpool-waiting", daemon=True)
        with contextlib.suppress(RuntimeError):  # No thread can be started: the interpreter is ending, say.
            waiting.start()
            waiting.join(timeout)
        return
    try:
        connection.wait([descriptor], timeout)
    finally:
        os.close(descriptor)


def _signal_name(exit_code: int | None) -> str | None:
    if exit_code is None or exit_code >= 0:
        return None
    try:
        return signal.Signals(-exit_code).name
    except ValueError:  # A real-time signal, say.
        return f"signal {-exit_code}"


class WorkersFile:
    """What was in a dead worker's file.

    Attributes:
        number: The number of the job that ran, or was the last; INITIALIZER; None: neither is known.
        name: Of its function.
        reason: Why the worker has ended itself.
        was_found: Whether there is such a file: the worker had got as far as its initializer.
        stack: As faulthandler has written it.
    """

    number: int | None = None
    name: str | None = None
    reason = ""
    stack = ""
    was_found = False

    @classmethod
    def take(cls, directory: str | None, pid: int | None) -> WorkersFile:
        """Read a file and remove it. Return what was in it; nothing if there is none.

        Args:
            directory: The manager's; None: there is none.
            pid: The worker's.
        """
        found = cls()
        if directory is None:
            return found
        path = path_of(directory, pid)
        try:
            with open(path, "rb") as file:
                line = file.read(LINE_SIZE).split(b"\n", 1)[0].decode(errors="replace")
                found.stack = file.read(MOST_STACK).decode(errors="replace").strip()
        except OSError:
            return found
        remove(path)
        found.was_found = True
        first, _, text = line.partition(" ")
        if first == "!":
            found.reason = text
        elif first.isdecimal():
            found.number, found.name = int(first), text
        return found
