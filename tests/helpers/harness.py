"""Attacks on pools and relays at random moments, and the count of what became of the records.

Processes log numbered records, a stream each: one behind the other, some with an exception, some with an extra field,
some so large that a kill strikes in the middle of a frame. Before and after each call of the logger they write its
number into a file that they have mapped into memory, which outlives them however they end. Afterwards each record whose
call had returned must have been handled: once, in order, as it was logged.

    python tests/helpers/harness.py --kills 1000 --seed 1

kills that many workers, by turns in pools and in relays, under each start method, and prints what became of all.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import faulthandler
import gc
import logging
import mmap
import multiprocessing
import os
import random
import re
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, fields
from multiprocessing import forkserver, resource_tracker, util
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

from logpool import LoggingProcessPoolExecutor, LogRelay

START_METHODS = ("fork", "forkserver", "spawn")

NAME = "harness"
"""The streams' logger."""

LARGE = 200_000
"""Characters of a large record: more than a socket takes at once, so that the write of it waits in its middle."""

WAIT = 60.0
"""Seconds after which something that should happen counts as something that doesn't."""


# What is logged.


@dataclass(frozen=True)
class Item:
    """What one record of a stream is to be: known to who logs it and who handles it."""

    message: str
    level: int
    error: str | None
    extra: dict[str, object] | None


def item(stream: int, number: int) -> Item:
    mixed = (stream * 7919 + number * 104_729) % 1000
    size = LARGE if mixed % 8 == 3 else mixed
    mark = f"{stream}.{number}:"
    return Item(
        message=f"{stream} {number} " + (mark * (size // len(mark) + 1))[:size],
        level=(logging.INFO, logging.WARNING, logging.ERROR)[mixed % 3],
        error=mark if mixed % 11 == 0 else None,
        extra={"detail": {"mark": mark, "values": [stream, number]}} if mixed % 5 == 0 else None,
    )


def log_item(logger: logging.Logger, stream: int, number: int) -> None:
    what = item(stream, number)
    logger.debug("dropped: the parent's level is higher")
    if what.error is None:
        logger.log(what.level, what.message, extra=what.extra)
        return
    try:
        raise ValueError(what.error)
    except ValueError:
        logger.log(what.level, what.message, exc_info=True, extra=what.extra)


class Tally:
    """For each stream, how many of its calls have begun and how many have returned. Shared by way of a file."""

    def __init__(self, path: str, streams: int | None = None) -> None:
        """Opens the file.

        Args:
            path: The file.
            streams: How many streams there may be, when the file is to be made.
        """
        if streams is not None:
            Path(path).write_bytes(bytes(16 * (streams + 1)))
        with open(path, "r+b") as file:
            # One aligned store of eight bytes a number: a kill can't come in its middle.
            self._numbers = memoryview(mmap.mmap(file.fileno(), 0)).cast("Q")

    def begin(self, stream: int, number: int) -> None:
        self._numbers[2 * stream + 2] = number + 1

    def end(self, stream: int, number: int) -> None:
        self._numbers[2 * stream + 3] = number + 1

    def begun(self, stream: int) -> int:
        return self._numbers[2 * stream + 2]

    def returned(self, stream: int) -> int:
        return self._numbers[2 * stream + 3]

    def stop(self) -> None:
        """Tells the streams that have no end of their own to come to one."""
        self._numbers[0] = 1

    @property
    def stopped(self) -> bool:
        return bool(self._numbers[0])


def log_stream(path: str, stream: int, count: int | None = None, *, first: int = 0) -> int:
    """Logs a stream of records, in a worker.

    Args:
        path: The tally's.
        stream: Which one.
        count: How many; None: until the tally says stop.
        first: The number of the first.
    """
    tally = Tally(path)
    logger = logging.getLogger(NAME)
    number = first
    while not tally.stopped if count is None else number < first + count:
        tally.begin(stream, number)
        log_item(logger, stream, number)
        tally.end(stream, number)
        number += 1
    return number


def install_and_log_stream(relay: LogRelay, path: str, stream: int, count: int | None = None) -> None:
    relay.install()
    log_stream(path, stream, count)


def log_streams_from_threads(path: str, first: int, threads: int, count: int) -> None:
    started = [
        threading.Thread(target=log_stream, args=(path, stream, count)) for stream in range(first, first + threads)
    ]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()


def log_stream_of_a_fork(path: str, stream: int, count: int) -> None:
    pid = os.fork()
    if pid == 0:
        log_stream(path, stream, count)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert status == 0


def log_streams_of_children(path: str, first: int, count: int) -> None:
    """Logs four streams: one in this worker, and one each in children that it forks in all ways that there are."""
    log_stream(path, first, 1)
    log_stream_of_a_fork(path, first + 1, count)
    process = multiprocessing.get_context("fork").Process(target=log_stream, args=(path, first + 2, count))
    process.start()
    subprocess.run(["true"], preexec_fn=lambda: log_stream(path, first + 3, count) and None, check=True)
    process.join()
    log_stream(path, first, count, first=1)


def log_nested(start_method: str, depth: int, path: str, stream: int, count: int) -> None:
    """Logs a stream in the innermost of several pools, each in a worker of the one before."""
    if depth == 0:
        log_stream(path, stream, count)
        return
    with LoggingProcessPoolExecutor(1, multiprocessing.get_context(start_method)) as executor:
        executor.submit(log_nested, start_method, depth - 1, path, stream, count).result()


def wait_at(gate: str) -> None:
    """Waits until there is a byte for this process in a named pipe."""
    descriptor = os.open(gate, os.O_RDONLY)
    os.read(descriptor, 1)
    os.close(descriptor)


def log_wait_and_log(message: str, gate: str) -> int:
    logging.getLogger("app").info("%s before", message)
    wait_at(gate)
    logging.getLogger("app").info("%s after", message)
    return os.getpid()


def leave_a_grandchild(gate: str, error: str) -> int:
    """Forks a child that logs, waits at the gate, which is long after this worker's end, and logs again."""
    pid = os.fork()
    if pid == 0:
        write_stderr_to(error)
        log_wait_and_log("grandchild", gate)
        os._exit(0)
    return pid


def leave_a_grandchild_that_logs_for_ever(path: str, stream: int, error: str) -> int:
    pid = os.fork()
    if pid == 0:
        # Seconds of CPU time. A test that fails doesn't stop it, and it would fill the disk.
        resource.setrlimit(resource.RLIMIT_CPU, (10, 10))
        write_stderr_to(error)
        log_stream(path, stream)
        os._exit(0)
    return pid


def fork_many_that_log_at_once(path: str, first: int, children: int, gate: str) -> None:
    """Forks children each of which has a connection to the manager while the others have theirs."""
    pids = []
    for stream in range(first, first + children):
        pid = os.fork()
        if pid == 0:
            log_stream(path, stream, 5)
            wait_at(gate)
            os._exit(0)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)


def crash_after(path: str, stream: int, count: int, how: str) -> None:
    """Logs a stream and dies."""
    log_stream(path, stream, count)
    if how == "exit":
        os._exit(3)
    os.kill(os.getpid(), getattr(signal, how))


def write_stderr_to(path: str) -> None:
    """Has this process write its stderr into a file."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    # What was forked from a program under test may have another one.
    sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 (for the rest of the process)


# What becomes of it.


class Ledger(logging.Handler):
    """Checks each record of the streams as it is handled, and counts. Those of the library it keeps.

    Attributes:
        tally: Of the streams that run now.
        delay: Seconds for which each record is handled.
        reports: Records of the logger "logpool".
        first_faults: The beginning of what was wrong, to be read by a person.
    """

    def __init__(self, path: str, streams: int, delay: float = 0.0) -> None:
        super().__init__()
        self.path = path
        self.tally = Tally(path, streams)
        self.delay = delay
        self.reports: list[logging.LogRecord] = []
        self.arrival = threading.Condition()
        self.handled = self.lost = self.doubled = self.garbled = 0
        self.first_faults: list[str] = []
        self._streams = streams
        self._next = [0] * streams

    def emit(self, record: logging.LogRecord) -> None:
        if record.name != NAME:
            self.reports.append(record)
            return
        if self.delay:
            time.sleep(self.delay)
        self.handled += 1
        message = record.getMessage()
        try:
            stream, number = map(int, message.split(" ", 2)[:2])
            what = item(stream, number)
            expected = self._next[stream]
        except (ValueError, IndexError):
            self._fault("garbled", message)
            return
        extra = None if "detail" not in record.__dict__ else {"detail": record.__dict__["detail"]}
        error = str(record.exc_info[1]) if record.exc_info else None
        if (message, record.levelno, error, extra) != (what.message, what.level, what.error, what.extra):
            self._fault("garbled", message)
        if number < expected:
            self._fault("doubled", f"{stream} {number}, expected {expected}")
            return
        if number > expected:
            self._fault("lost", f"{stream} {expected} to {number - 1}", number - expected)
        with self.arrival:
            self._next[stream] = number + 1
            self.arrival.notify_all()

    def _fault(self, kind: str, detail: str, count: int = 1) -> None:
        setattr(self, kind, getattr(self, kind) + count)
        if len(self.first_faults) < 20:
            self.first_faults.append(f"{kind}: {detail[:100]}")

    def wait_for(self, stream: int, number: int = 1) -> None:
        """Waits until so many records of a stream have been handled."""
        with self.arrival:
            assert self.arrival.wait_for(lambda: self._next[stream] >= number, WAIT), f"nothing from stream {stream}"

    def handled_of(self, stream: int) -> int:
        return self._next[stream]

    def settle(self, *, gone: bool = False, error: str | None = None) -> Figures:
        """Compares with the tally, when all is over.

        Args:
            gone: Whether the manager process was killed: what it held is gone then.
            error: Where the processes wrote their stderr, to which they logged what came after the end of the pool.
        """
        logged = torn = 0
        written = numbers_in(error)
        for stream in range(self._streams):
            begun, returned, handled = self.tally.begun(stream), self.tally.returned(stream), self._next[stream]
            for number in written.get(stream, ()):
                if number < handled:
                    self._fault("doubled", f"{stream} {number}, on stderr and handled")
            handled += len([number for number in written.get(stream, ()) if number >= handled])
            logged += returned
            torn += begun > max(returned, handled)
            if handled < returned and not gone:
                self._fault("lost", f"{stream} {handled} to {returned - 1}, its last", returned - handled)
            if handled > begun:
                self._fault("garbled", f"{stream}: more was handled than logged", handled - begun)
        for fault in self.first_faults:
            print(fault, file=sys.stderr, flush=True)
        return Figures(
            logged=logged,
            handled=self.handled,
            written=sum(map(len, written.values())),
            torn=torn,
            lost=self.lost,
            doubled=self.doubled,
            garbled=self.garbled,
        )


def numbers_in(error: str | None) -> dict[int, list[int]]:
    """Which records of which streams processes have written to their stderr."""
    found: dict[int, list[int]] = {}
    if error is not None and os.path.exists(error):
        for stream, number in re.findall(rf"[A-Z]+:{NAME}:(\d+) (\d+) ", Path(error).read_text(errors="replace")):
            found.setdefault(int(stream), []).append(int(number))
    return found


@dataclass
class Figures:
    """What became of the records.

    Attributes:
        tried: Kills.
        logged: Calls of the logger that returned.
        handled: Records that were handled.
        written: Records that were written to stderr, because the manager was gone.
        torn: Calls that were cut off by a kill, and whose record was not handled.
        lost: Records that were not handled though their call had returned.
        doubled: Records that were handled again, or too late.
        garbled: Records that were handled as something else.
        wrong: What the library's own log said too often or not at all.
    """

    tried: int = 0
    logged: int = 0
    handled: int = 0
    written: int = 0
    torn: int = 0
    lost: int = 0
    doubled: int = 0
    garbled: int = 0
    wrong: int = 0

    def __iadd__(self, other: Figures) -> Figures:
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))
        return self

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.doubled or self.garbled or self.wrong)

    def __str__(self) -> str:
        return ", ".join(f"{field.name} {getattr(self, field.name):,}" for field in fields(self))


@contextmanager
def handled_by(ledger: Ledger) -> Iterator[Ledger]:
    """Makes the ledger this process's one handler."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    root.handlers[:] = [ledger]
    root.setLevel(logging.INFO)
    try:
        yield ledger
    finally:
        ledger.tally.stop()  # Streams without an end of their own must not outlive a round that fails.
        root.setLevel(level)
        root.handlers[:] = handlers


# The kills.


def random_moment(chance: random.Random, longest: float = 0.01) -> None:
    """Waits for a moment. A duration, because no event marks the middle of a write in another process."""
    time.sleep(chance.uniform(0, longest))


def kill_processes(context: BaseContext, kills: int, chance: random.Random, directory: str) -> Figures:
    """Kills processes that log by way of a relay, two at a time, beside one that nobody kills."""
    start: Callable[..., Any] = context.Process
    ledger = Ledger(os.path.join(directory, "tally"), kills + 1)
    with handled_by(ledger), LogRelay(context) as relay:
        bystander = start(target=install_and_log_stream, args=(relay, ledger.path, kills))
        bystander.start()
        for first in range(0, kills, 2):
            streams = range(first, min(first + 2, kills))
            victims = [start(target=install_and_log_stream, args=(relay, ledger.path, stream)) for stream in streams]
            for victim in victims:
                victim.start()
            for stream, victim in zip(streams, victims):
                if chance.random() < 0.8:  # The others while they start or connect.
                    ledger.wait_for(stream)
                random_moment(chance)
                victim.kill()
            for victim in victims:
                victim.join()
                victim.close()
        ledger.tally.stop()
        bystander.join()
        assert bystander.exitcode == 0
        bystander.close()
    figures = ledger.settle()
    figures.tried = kills
    figures.wrong = len(ledger.reports)
    return figures


def workers() -> list[Any]:
    return [child for child in multiprocessing.active_children() if child.name != "LogManager"]


def manager() -> Any:
    (found,) = [child for child in multiprocessing.active_children() if child.name == "LogManager"]
    return found


def kill_worker_of_a_pool(context: BaseContext, chance: random.Random, directory: str, size: int = 2) -> Figures:
    """Kills one worker of a pool whose workers all log."""
    ledger = Ledger(os.path.join(directory, "tally"), size)
    with handled_by(ledger), LoggingProcessPoolExecutor(size, context) as executor:
        futures = [executor.submit(log_stream, ledger.path, stream) for stream in range(size)]
        if chance.random() < 0.8:  # The others while they start or connect.
            ledger.wait_for(chance.randrange(size))
        random_moment(chance)
        victim = chance.choice(workers()).pid
        os.kill(victim, signal.SIGKILL)
        assert all(isinstance(error, BrokenProcessPool) for error in errors_of(futures))
    figures = ledger.settle()
    figures.tried = 1
    figures.wrong = int([report.__dict__.get("workerPid") for report in ledger.reports] != [victim])
    return figures


def errors_of(futures: Iterable[Future[Any]]) -> list[BaseException | None]:
    return [future.exception(WAIT) for future in futures]


# What is left.


class _MallocInfo(ctypes.Structure):
    """The GNU C library's `struct mallinfo2`."""

    _fields_ = [
        *((name, ctypes.c_size_t) for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks")),
        *((name, ctypes.c_size_t) for name in ("uordblks", "fordblks", "keepcost")),
    ]


def _free_memory() -> int:
    """Returns the bytes that the C library's allocator keeps for later, in an arena for each of several threads."""
    try:
        mallinfo2 = ctypes.CDLL(None).mallinfo2
    except AttributeError:  # Another C library.
        return 0
    mallinfo2.restype = _MallocInfo
    return int(mallinfo2().fordblks)


@dataclass
class Leftovers:
    """What this process has, and what belongs to it."""

    threads: int
    descriptors: int
    processes: int
    files: int
    memory: int

    @classmethod
    def now(cls) -> Leftovers:
        gc.collect()
        return cls(
            threads=threading.active_count(),
            descriptors=len(os.listdir("/proc/self/fd")),
            processes=len(family()),
            files=len(os.listdir(tempfile.gettempdir())),
            memory=int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") - _free_memory(),
        )

    def is_no_more_than(self, before: Leftovers) -> bool:
        """Tells whether nothing has been added, but for 8 MiB of memory: Python's own allocator keeps some as well."""
        return (
            self.threads <= before.threads
            and self.descriptors <= before.descriptors
            and self.processes <= before.processes
            and self.files <= before.files
            and self.memory <= before.memory + 8 * 2**20
        )

    def __str__(self) -> str:
        return (
            f"threads {self.threads}, descriptors {self.descriptors}, processes {self.processes}, "
            f"temporary files {self.files}, memory in use {self.memory / 2**20:.1f} MiB"
        )


def family() -> list[int]:
    """The processes of this one's session, which all that it starts belongs to.

    But for those that have ended, and that another's process is to wait for: init, where a worker that had started them
    was killed.
    """
    session, found = os.getsid(0), []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            if os.getsid(int(name)) == session:
                state, parent = Path("/proc", name, "stat").read_text().rpartition(")")[2].split()[:2]
                if state != "Z" or os.getsid(int(parent)) == session:
                    found.append(int(name))
    return found


def set_apart() -> str:
    """Gives a program a session and a temporary directory of its own, and what multiprocessing keeps until the end.

    Returns:
        A directory to work in.
    """
    if os.getsid(0) != os.getpid():
        if os.getpgid(0) == os.getpid():  # A job of an interactive shell can't leave its group.
            pid = os.fork()
            if pid:
                _, status = os.waitpid(pid, 0)
                os._exit(os.waitstatus_to_exitcode(status) & 255)
        os.setsid()
    directory = tempfile.mkdtemp()
    # After multiprocessing's own directory, which it makes in this one and removes with priority -100.
    util.Finalize(None, shutil.rmtree, args=(directory,), exitpriority=-200)
    os.environ["TMPDIR"] = tempfile.tempdir = directory
    resource_tracker.ensure_running()
    forkserver.ensure_running()
    os.mkdir(os.path.join(directory, "work"))
    return os.path.join(directory, "work")


def wait_for_all_but(helpers: set[int]) -> None:
    """Waits for the ends of processes of the session, but for those that stay: children of killed workers, say."""
    for pid in set(family()) - helpers:
        with contextlib.suppress(ProcessLookupError):
            descriptor = os.pidfd_open(pid)
            try:
                assert select.select([descriptor], [], [], WAIT)[0], f"process {pid} still runs"
            finally:
                os.close(descriptor)


class Watchdog:
    """Ends the program when a round of it takes so long that it hangs."""

    def __init__(self, say: Callable[[], None], limit: float = 120.0) -> None:
        self._say = say
        self._limit = limit
        self._timer: threading.Timer | None = None

    def __enter__(self) -> None:
        self._timer = threading.Timer(self._limit, self._bark)
        self._timer.daemon = True
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        assert self._timer is not None
        self._timer.cancel()
        self._timer.join()

    def _bark(self) -> None:
        faulthandler.dump_traceback()
        self._say()
        print("hangs 1", flush=True)
        for pid in family():
            if pid != os.getpid():
                os.kill(pid, signal.SIGKILL)
        os._exit(1)


def main() -> int:
    parser = argparse.ArgumentParser(description="Kills workers at random moments, and counts records.")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    directory = set_apart()
    # Once before the count: what Python imports and keeps at first use is no leftover.
    for name in START_METHODS:
        kill_worker_of_a_pool(multiprocessing.get_context(name), random.Random(0), directory)
    before, total = Leftovers.now(), {name: Figures() for name in START_METHODS}
    chance = random.Random(options.seed)
    watchdog = Watchdog(lambda: print(*total.items(), sep="\n"))
    print(f"seed {options.seed}; before: {before}", flush=True)
    turn = 0
    while sum(figures.tried for figures in total.values()) < options.kills:
        name = START_METHODS[turn % 3]
        context = multiprocessing.get_context(name)
        with watchdog:
            total[name] += kill_processes(context, 10, chance, directory)
            for _ in range(10):
                total[name] += kill_worker_of_a_pool(context, chance, directory, chance.randint(1, 3))
        turn += 1
        print(f"{sum(figures.tried for figures in total.values())} kills", end="\r", file=sys.stderr, flush=True)
    after = Leftovers.now()
    for name, figures in total.items():
        print(f"{name}: {figures}")
    print(f"hangs 0; after: {after}")
    return int(not (after.is_no_more_than(before) and all(figures.is_clean for figures in total.values())))


if __name__ == "__main__":
    sys.exit(main())
