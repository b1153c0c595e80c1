"""The worst night: processes are killed at any moment, and nothing is lost, nothing hangs, nobody is left behind.

That nothing is left behind in this process is looked at after each test, by a fixture.
"""

from __future__ import annotations

import contextlib
import json
import logging
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
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

import pytest

import harness
import jobs
from conftest import START_METHODS, Records, wait_until_gone
from harness import Ledger, handled_by
from logpool import LoggingProcessPoolExecutor, LogRelay


class Gate:
    """A named pipe at which processes wait, each for a byte of its own."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = str(path)
        # For both, so that neither this nor whoever reads has to wait for the other.
        self._descriptor = os.open(path, os.O_RDWR)

    def let_through(self, count: int = 1) -> None:
        os.write(self._descriptor, b"x" * count)

    def close(self) -> None:
        os.close(self._descriptor)


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    made = Gate(tmp_path / "gate")
    yield made
    made.close()


# Random kills.


def test_random_kills_of_processes_lose_double_and_garble_nothing(context: BaseContext, tmp_path: Path) -> None:
    figures = harness.kill_processes(context, 12, random.Random(1), str(tmp_path))
    assert figures.is_clean, figures
    # It was worth the while: kills did strike in the middle of frames.
    assert figures.torn


def test_random_kills_of_workers_lose_double_and_garble_nothing(context: BaseContext, tmp_path: Path) -> None:
    chance = random.Random(2)
    for _ in range(4):
        figures = harness.kill_worker_of_a_pool(context, chance, str(tmp_path))
        assert figures.is_clean, figures


def test_random_kills_lose_nothing_over_a_network_socket(
    context: BaseContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("logpool._parent.manager.UNIX", None)
    figures = harness.kill_processes(context, 8, random.Random(3), str(tmp_path))
    assert figures.is_clean, figures


# Programs of their own, for what concerns a whole family of processes.

HEAD = """
import json, logging, multiprocessing, os, signal, socket, subprocess, sys, threading, time
from concurrent.futures import ProcessPoolExecutor
from logpool import LoggingProcessPoolExecutor

logger = logging.getLogger("app")

def wait_at(gate):
    descriptor = os.open(gate, os.O_RDONLY)
    os.read(descriptor, 1)
    os.close(descriptor)

def say(**what):
    os.write(1, json.dumps(what).encode() + b"\\n")  # At once, lest the lines of several processes mix.

class Seen(logging.Handler):
    # Lets the main thread wait for records.

    def __init__(self):
        super().__init__()
        self.arrival = threading.Condition()
        self.messages = []

    def emit(self, record):
        with self.arrival:
            self.messages.append(record.getMessage())
            self.arrival.notify_all()

    def wait_for(self, message, times):
        with self.arrival:
            self.arrival.wait_for(lambda: self.messages.count(message) >= times)

def manager():
    return [child.pid for child in multiprocessing.active_children() if child.name == "LogManager"]

"""


class Program:
    """A program in a session and a temporary directory of its own, that says what there is to know, line by line."""

    def __init__(self, directory: Path, source: str, *arguments: str) -> None:
        self.directory = directory
        (directory / "program.py").write_text(HEAD + textwrap.dedent(source))
        # With a short path, for the sockets of multiprocessing.
        self._temporary = tempfile.mkdtemp()
        self._error = directory / "stderr"
        with open(self._error, "w") as error:
            self.process = subprocess.Popen(
                [sys.executable, str(directory / "program.py"), *arguments],
                stdout=subprocess.PIPE,
                stderr=error,
                text=True,
                cwd=directory,
                env=os.environ | {"TMPDIR": self._temporary},
                start_new_session=True,
            )
        self.pid = self.process.pid

    def remove(self) -> None:
        shutil.rmtree(self._temporary, ignore_errors=True)

    def hear(self) -> dict[str, Any]:
        """Waits for what the program says next."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.error
        heard: dict[str, Any] = json.loads(line)
        return heard

    def end(self) -> int:
        """Waits for its end, which only comes when nobody holds its stdout any more.

        Returns:
            Its exit code.
        """
        self.process.communicate(timeout=30)
        return self.process.returncode

    @property
    def error(self) -> str:
        """What it and its children have written to stderr."""
        return self._error.read_text()

    @property
    def leftovers(self) -> list[str]:
        """Temporary files and directories of ours."""
        return [path.name for path in Path(self._temporary).iterdir() if path.name.startswith("logpool-")]


@pytest.fixture
def start_program(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    started: list[Program] = []

    def start(source: str, *arguments: str) -> Program:
        directory = tmp_path / str(len(started))
        directory.mkdir()
        started.append(Program(directory, source, *arguments))
        return started[-1]

    yield start
    for program in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)
        program.process.communicate()
        program.remove()


# The manager process is killed.

MANAGER_KILLED = """
def work(gate, count):
    logger.warning("before")
    wait_at(gate)
    for number in range(count):
        logger.warning("after %d", number)
    return count

if __name__ == "__main__":
    logging.basicConfig(filename="log", format="%(levelname)s %(name)s %(message)s", level="INFO")
    logging.getLogger().addHandler(seen := Seen())
    with LoggingProcessPoolExecutor(2, multiprocessing.get_context(sys.argv[1])) as executor:
        futures = [executor.submit(work, sys.argv[2], 100) for _ in range(2)]
        seen.wait_for("before", 2)
        (pid,) = manager()
        say(manager=pid)
        say(results=[future.result() for future in futures])
        say(flushed=executor.flush_logs(), results=[executor.submit(abs, -3).result()])
        executor.submit(logger.warning, "later").result()
"""


@pytest.mark.parametrize("start_method", START_METHODS)
def test_when_the_manager_is_killed_jobs_go_on_and_records_go_to_stderr(
    start_program: Callable[..., Program], gate: Gate, start_method: str
) -> None:
    program = start_program(MANAGER_KILLED, start_method, gate.path)
    pid = program.hear()["manager"]
    os.kill(pid, signal.SIGKILL)
    wait_until_gone(pid)
    gate.let_through(2)
    assert program.hear() == {"results": [100, 100]}
    assert program.hear() == {"flushed": False, "results": [3]}
    assert program.end() == 0
    assert (program.directory / "log").read_text().splitlines() == [
        "WARNING app before",
        "WARNING app before",
        "ERROR logpool The log manager process is gone. Workers write their records to stderr from now on.",
    ]
    expected = [f"WARNING:app:after {number}" for number in range(100)] * 2 + ["WARNING:app:later"]
    assert Counter(program.error.splitlines()) == Counter(expected)
    assert program.leftovers == []


BROKEN_PIPES = """
signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # In spawned workers, too.

def work(message):
    logger.warning(message)
    return message

if __name__ == "__main__":
    logging.basicConfig(filename="log", format="%(levelname)s %(name)s %(message)s", level="INFO")
    with LoggingProcessPoolExecutor(1, multiprocessing.get_context(sys.argv[1])) as executor:
        address = executor.log_queue.address
        say(result=executor.submit(work, "before").result())
        for _ in range(20):
            with socket.socket(socket.AF_UNIX) as stranger:
                stranger.connect(address)
        assert executor.flush_logs()
        (pid,) = manager()
        say(manager=pid)
        wait_at(sys.argv[2])
        say(result=executor.submit(work, "after").result())
        say(flushed=executor.flush_logs())
"""


@pytest.mark.parametrize("start_method", START_METHODS)
def test_a_program_that_broken_pipes_would_end_survives_the_manager(
    start_program: Callable[..., Program], gate: Gate, start_method: str
) -> None:
    program = start_program(BROKEN_PIPES, start_method, gate.path)
    assert program.hear() == {"result": "before"}
    pid = program.hear()["manager"]
    os.kill(pid, signal.SIGKILL)
    wait_until_gone(pid)
    gate.let_through(1)
    assert program.hear() == {"result": "after"}
    assert program.hear() == {"flushed": False}
    assert program.end() == 0
    assert (program.directory / "log").read_text().splitlines() == [
        "WARNING app before",
        "ERROR logpool The log manager process is gone. Workers write their records to stderr from now on.",
    ]
    assert program.error == "WARNING:app:after\n"
    assert program.leftovers == []


# The parent is killed.

PARENT_KILLED = """
def work(gate, size):
    logger.info("at work")
    wait_at(gate)
    logger.info("at the end")
    with open(f"done {os.getpid()}", "w") as file:
        file.write("done")
    return bytes(size)

def log_for_ever():
    while True:
        logger.info("%s", "x" * 1000)

if __name__ == "__main__":
    start_method, gate, size, rest = sys.argv[1:]
    logging.basicConfig(filename="log", format="%(message)s", level="INFO")
    logging.getLogger().addHandler(seen := Seen())
    executor = LoggingProcessPoolExecutor(3, multiprocessing.get_context(start_method))
    # Three at once, so that there are three workers.
    started = [executor.submit(wait_at, gate) for _ in range(3)]
    say(pid=os.getpid())
    for future in started:
        future.result()
    # A fork of the parent's own, which holds what the parent holds, must keep nobody.
    if rest == "fork" and os.fork() == 0:
        wait_at(gate)
        os._exit(0)
    for _ in range(2):
        executor.submit(work, gate, int(size))
    seen.wait_for("at work", 2)
    say(manager=manager(), workers=[c.pid for c in multiprocessing.active_children() if c.pid not in manager()])
    wait_at(os.path.dirname(gate) + "/never")
"""


@pytest.mark.parametrize("size", [10, 1_000_000], ids=["small result", "large result"])
@pytest.mark.parametrize("start_method", START_METHODS)
def test_when_the_parent_is_killed_nobody_is_left_but_jobs_are_finished(
    start_program: Callable[..., Program], tmp_path: Path, gate: Gate, start_method: str, size: int
) -> None:
    os.mkfifo(tmp_path / "never")
    program = start_program(PARENT_KILLED, start_method, gate.path, str(size), "")
    program.hear()
    gate.let_through(3)
    heard = program.hear()
    (manager,) = heard["manager"]
    assert len(heard["workers"]) == 3
    with contextlib.ExitStack() as stack:
        handles = {pid: os.pidfd_open(pid) for pid in (manager, *heard["workers"])}
        for handle in handles.values():
            stack.callback(os.close, handle)
        os.kill(program.pid, signal.SIGKILL)
        deadline = time.monotonic() + 2
        # The manager and the one that has nothing to do.
        gone = wait_for_ends(handles, 2, deadline)
        assert manager in gone
        assert program.leftovers == []
        assert list(program.directory.glob("done *")) == []
        gate.let_through(2)
        busy = {pid: handle for pid, handle in handles.items() if pid not in gone}
        assert wait_for_ends(busy, 2, time.monotonic() + 10) == set(busy)
    assert len(list(program.directory.glob("done *"))) == 2
    assert program.leftovers == []
    # Nobody was there any more to take what they logged.
    lines = program.error.splitlines()
    assert lines.count("INFO:app:at the end") == 2
    # Python's own resource tracker may have something to say.
    assert not [line for line in lines if line.startswith("Traceback") or "logpool" in line]


def test_when_the_parent_is_killed_its_own_forks_keep_nobody(
    start_program: Callable[..., Program], tmp_path: Path, gate: Gate
) -> None:
    os.mkfifo(tmp_path / "never")
    program = start_program(PARENT_KILLED, "fork", gate.path, "10", "fork")
    program.hear()
    gate.let_through(3)
    (manager,) = program.hear()["manager"]
    os.kill(program.pid, signal.SIGKILL)
    wait_until_gone(manager, seconds=2)
    assert program.leftovers == []


def wait_for_ends(handles: dict[int, int], count: int, deadline: float) -> set[int]:
    """Waits until so many of these processes have ended."""
    ended: set[int] = set()
    while len(ended) < count:
        left = {handle: pid for pid, handle in handles.items() if pid not in ended}
        ready, _, _ = select.select(list(left), [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"only {ended} of {list(handles)} ended in time"
        ended |= {left[handle] for handle in ready}
    return ended


# Signals to the whole group.

INTERRUPTED = """
def work(what, gate):
    for number in range(50):
        logger.info("%d", number)
    say(ready=True)
    if what == "wait":
        wait_at(gate)
    while True:
        logger.info("more")

def log_to_nobody():
    logging.basicConfig(filename=os.devnull, level="INFO")

if __name__ == "__main__":
    kind, start_method, what, gate = sys.argv[1:]
    context = multiprocessing.get_context(start_method)
    if kind == "stock":
        executor = ProcessPoolExecutor(2, context, log_to_nobody)
    else:
        logging.basicConfig(filename="log", format="%(process)d %(message)s", level="INFO")
        executor = LoggingProcessPoolExecutor(2, context)
    with executor:
        futures = [executor.submit(work, what, gate) for _ in range(2)]
        for future in futures:
            future.result()
"""


@pytest.mark.parametrize("what", ["wait", "log"])
@pytest.mark.parametrize("start_method", START_METHODS)
def test_ctrl_c_ends_the_program_as_with_the_stock_pool(
    start_program: Callable[..., Program], gate: Gate, start_method: str, what: str
) -> None:
    programs = [start_program(INTERRUPTED, kind, start_method, what, gate.path) for kind in ("stock", "ours")]
    for program in programs:
        for _ in range(2):
            program.hear()
        os.killpg(program.pid, signal.SIGINT)
    stock, ours = programs
    assert ours.end() == stock.end()
    assert not outline(ours.error) - outline(stock.error), ours.error
    assert "logpool-" not in ours.error  # Our threads' names.
    by_process = Counter(
        line.split()[0] for line in (ours.directory / "log").read_text().splitlines() if line.split()[1].isdigit()
    )
    assert list(by_process.values()) == [50, 50]
    assert ours.leftovers == []


def outline(error: str) -> Counter[str]:
    """What a stderr says, without the lines of code that each traceback goes through, which are not the same."""
    return Counter(re.sub(r"\d+", "N", line) for line in error.splitlines() if not line.startswith(" "))


TERMINATED = """
def work(gate):
    for number in range(3000):
        logger.info("%d %s", number, "x" * 1000)
    say(ready=True)
    wait_at(gate)

if __name__ == "__main__":
    start_method, gate = sys.argv[1:]
    terminated = threading.Event()

    def terminate(number, frame):
        terminated.set()
        sys.exit(7)

    handler = logging.FileHandler("log")
    # Until then all that is logged is in the manager process.
    handler.addFilter(lambda record: terminated.wait())
    logging.basicConfig(format="%(process)d %(name)s %(message)s", level="INFO", handlers=[handler])
    with LoggingProcessPoolExecutor(2, multiprocessing.get_context(start_method)) as executor:
        futures = [executor.submit(work, gate) for _ in range(2)]
        signal.signal(signal.SIGTERM, terminate)  # Not before the workers are forked: it isn't for them.
        say(ready=True)
        for future in futures:
            future.result()
"""


@pytest.mark.parametrize("start_method", START_METHODS)
def test_a_parent_that_shuts_down_when_all_are_terminated_has_all_records_handled(
    start_program: Callable[..., Program], gate: Gate, start_method: str
) -> None:
    program = start_program(TERMINATED, start_method, gate.path)
    for _ in range(3):
        program.hear()
    os.killpg(program.pid, signal.SIGTERM)
    assert program.end() == 7
    assert program.error == ""
    handled: dict[str, list[int]] = {}
    for line in (program.directory / "log").read_text().splitlines():
        process, name, number, *_ = line.split()
        if name == "app":
            handled.setdefault(process, []).append(int(number))
    assert list(handled.values()) == [[*range(3000)]] * 2
    assert program.leftovers == []


# Handlers.


def test_a_handler_that_blocks_makes_shutdown_wait_and_nothing_else(
    context: BaseContext, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("logpool._parent.pool_thread.STUCK", 0.1)  # Seconds for which results wait.
    release = threading.Event()
    records.addFilter(lambda record: record.name != "app" or release.wait())
    executor = LoggingProcessPoolExecutor(1, context)
    executor.submit(jobs.log, "blocked").result()
    assert not executor.flush_logs(0.1)
    assert executor.submit(jobs.square, 3).result() == 9
    with LoggingProcessPoolExecutor(1, context, log_handlers=[own := Records()]) as other:
        other.submit(jobs.log, "passed").result()
    assert own.messages == ["passed"]
    shutdown = threading.Thread(target=executor.shutdown)
    shutdown.start()
    # There is no event for that something doesn't happen.
    shutdown.join(0.3)
    assert shutdown.is_alive()
    release.set()
    shutdown.join()
    assert records.messages == ["blocked"]


def test_a_full_disk_is_reported_and_the_next_handler_gets_the_record(
    context: BaseContext, records: Records, capsys: pytest.CaptureFixture[str]
) -> None:
    full = logging.FileHandler("/dev/full")
    logging.getLogger().handlers.insert(0, full)
    with LoggingProcessPoolExecutor(1, context) as executor:
        executor.submit(jobs.log_numbers, 10).result()
    assert records.messages == [str(number) for number in range(10)]
    assert capsys.readouterr().err.count("OSError: [Errno 28] No space left on device") == 10
    with pytest.raises(OSError, match="No space left"):
        full.close()


# Workers with threads, children and pools of their own.


def ledger_of(tmp_path: Path, streams: int) -> Ledger:
    return Ledger(str(tmp_path / "tally"), streams)


def test_all_kinds_of_forked_children_of_workers_log_whole_records_once(context: BaseContext, tmp_path: Path) -> None:
    with handled_by(ledger_of(tmp_path, 8)) as ledger:
        with LoggingProcessPoolExecutor(2, context) as executor:
            futures = [executor.submit(harness.log_streams_of_children, ledger.path, first, 60) for first in (0, 4)]
            assert harness.errors_of(futures) == [None, None]
        figures = ledger.settle()
    assert figures.is_clean, figures
    assert figures.logged == figures.handled == 2 * (61 + 3 * 60)


def test_a_worker_with_sixteen_threads_logs_whole_records_once(context: BaseContext, tmp_path: Path) -> None:
    with handled_by(ledger_of(tmp_path, 16)) as ledger:
        with LoggingProcessPoolExecutor(1, context) as executor:
            executor.submit(harness.log_streams_from_threads, ledger.path, 0, 16, 50).result()
        figures = ledger.settle()
    assert figures.is_clean, figures
    assert figures.logged == figures.handled == 800


def test_pools_three_deep_hand_the_innermost_records_to_the_outermost_parent_once(
    context: BaseContext, tmp_path: Path
) -> None:
    with handled_by(ledger_of(tmp_path, 1)) as ledger:
        with LoggingProcessPoolExecutor(1, context) as executor:
            executor.submit(harness.log_nested, context.get_start_method(), 2, ledger.path, 0, 100).result()
        figures = ledger.settle()
    assert figures.is_clean, figures
    assert figures.logged == figures.handled == 100


def test_a_grandchild_that_outlives_the_pool_is_not_waited_for_and_logs_to_its_stderr(
    context: BaseContext, records: Records, gate: Gate, tmp_path: Path
) -> None:
    error = tmp_path / "stderr"
    with LoggingProcessPoolExecutor(1, context) as executor:
        pid = executor.submit(harness.leave_a_grandchild, gate.path, str(error)).result()
        records.wait_for("grandchild before")
    assert records.messages == ["grandchild before"]
    gate.let_through()
    wait_until_gone(pid)
    assert error.read_text() == "INFO:app:grandchild after\n"


def test_what_a_grandchild_logs_while_the_pool_ends_is_handled_or_written_to_its_stderr(
    context: BaseContext, tmp_path: Path
) -> None:
    error = str(tmp_path / "stderr")
    for _ in range(3):
        with handled_by(ledger_of(tmp_path, 1)) as ledger:
            with LoggingProcessPoolExecutor(1, context) as executor:
                pid = executor.submit(harness.leave_a_grandchild_that_logs_for_ever, ledger.path, 0, error).result()
                ledger.wait_for(0, 50)
            # The pool's end hasn't waited for it: it only stops now.
            ledger.tally.stop()
            wait_until_gone(pid)
            figures = ledger.settle(error=error)
        assert figures.is_clean, figures
        os.unlink(error)


@pytest.mark.parametrize("start_method", ["fork", "forkserver"])  # 64 new interpreters would take too long.
def test_sixty_four_workers_log_at_once(start_method: str, records: Records, gate: Gate) -> None:
    with LoggingProcessPoolExecutor(64, multiprocessing.get_context(start_method)) as executor:
        futures = [executor.submit(harness.log_wait_and_log, str(number), gate.path) for number in range(64)]
        with records.arrival:
            assert records.arrival.wait_for(lambda: len(records.records) == 64, 40)
        gate.let_through(64)
        assert len({future.result() for future in futures}) == 64
    assert Counter(records.messages) == Counter(
        f"{number} {moment}" for number in range(64) for moment in ("before", "after")
    )


def test_a_manager_with_too_few_descriptors_for_all_who_log_takes_them_one_after_another(
    context: BaseContext, tmp_path: Path, gate: Gate
) -> None:
    error = str(tmp_path / "stderr")
    with handled_by(ledger_of(tmp_path, 30)) as ledger:
        with LoggingProcessPoolExecutor(1, context, harness.write_stderr_to, (error,)) as executor:
            worker = executor.submit(os.getpid).result()
            assert executor.flush_logs(20)  # So the manager is up, and has opened what it needs itself.
            pid = harness.manager().pid
            # It needs two for each that connects, and keeps one.
            limit = max(int(name) for name in os.listdir(f"/proc/{pid}/fd")) + 7
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, limit))
            future = executor.submit(harness.fork_many_that_log_at_once, ledger.path, 0, 30, gate.path)
            gate.let_through(30)
            try:
                assert future.exception(10) is None
            finally:
                for child in Path(f"/proc/{worker}/task/{worker}/children").read_text().split():
                    os.kill(int(child), signal.SIGKILL)
                if not future.done():
                    harness.manager().kill()  # So that the test ends.
        figures = ledger.settle()
    assert Path(error).read_text() == ""
    assert figures.is_clean, figures
    assert figures.logged == figures.handled == 150


# Processes that stand still, and forks while records are handled.


def test_a_process_that_is_stopped_in_the_middle_of_a_write_holds_up_nobody(
    context: BaseContext, tmp_path: Path
) -> None:
    start: Any = context.Process
    with handled_by(ledger_of(tmp_path, 2)) as ledger:
        with LogRelay(context) as relay:
            stopped, other = (
                start(target=harness.install_and_log_stream, args=(relay, ledger.path, stream)) for stream in (0, 1)
            )
            stopped.start()
            other.start()
            chance = random.Random(4)
            for _ in range(10):
                ledger.wait_for(0, ledger.handled_of(0) + 5)
                harness.random_moment(chance)
                os.kill(stopped.pid, signal.SIGSTOP)
                ledger.wait_for(1, ledger.handled_of(1) + 50)
                assert relay.flush(10)
                os.kill(stopped.pid, signal.SIGCONT)
            ledger.tally.stop()
            for process in (stopped, other):
                process.join()
        figures = ledger.settle()
    assert figures.is_clean, figures
    assert figures.torn == 0


FORKED_WHILE_HANDLING = """
def log(count):
    for number in range(count):
        logger.info("%d", number)
    print("printed", flush=True)  # As the end of the process flushes it, with the stream's lock.
    print("printed", file=sys.stderr, flush=True)

if __name__ == "__main__":
    for name in ("stdout", "stderr"):
        getattr(sys, name).reconfigure(line_buffering=False)
    file = open("log", "w")
    logging.basicConfig(
        format="%(message)s", level="INFO", handlers=[logging.StreamHandler(s) for s in (sys.stdout, sys.stderr, file)]
    )
    with LoggingProcessPoolExecutor(2, multiprocessing.get_context("fork")) as busy:
        stop = threading.Event()

        def keep_busy():
            while not stop.is_set():
                busy.submit(log, 500).result()

        threads = [threading.Thread(target=keep_busy) for _ in range(2)]
        for thread in threads:
            thread.start()
        for _ in range(30):
            with LoggingProcessPoolExecutor(2, multiprocessing.get_context("fork")) as executor:
                executor.submit(log, 1).result()
        stop.set()
        for thread in threads:
            thread.join()
"""


def test_a_pool_that_is_forked_while_another_ones_records_are_handled_does_not_hang(
    run_program: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    ended = run_program(HEAD + FORKED_WHILE_HANDLING)
    assert ended.returncode == 0, ended.stderr[-2000:]
