"""What all tests share: each start method, a logging set-up of one's own, and a look at what a test leaves behind."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from multiprocessing import forkserver, resource_tracker, util
from multiprocessing.context import BaseContext
from pathlib import Path

import pytest

# All three on Linux and macOS; Windows has the last alone.
START_METHODS = tuple(sorted(multiprocessing.get_all_start_methods()))

Run = Callable[..., "subprocess.CompletedProcess[str]"]


class Records(logging.Handler):
    """Keeps what it handles."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.on_message: dict[str, Callable[[], object]] = {}  # Called while the record is handled.
        self.arrival = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        with self.arrival:
            self.records.append(record)
            self.arrival.notify_all()
        if (act := self.on_message.get(record.getMessage())) is not None:
            act()

    def wait_for(self, message: str) -> None:
        with self.arrival:
            assert self.arrival.wait_for(lambda: message in self.messages, timeout=30), message

    @property
    def messages(self) -> list[str]:
        return [record.getMessage() for record in self.records]


@pytest.fixture(params=START_METHODS)
def context(request: pytest.FixtureRequest) -> BaseContext:
    """Each start method in turn: for behaviour that must not depend on it."""
    return multiprocessing.get_context(request.param)


@pytest.fixture
def records() -> Iterator[Records]:
    """A handler on the root logger, which lets everything through."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    handler = Records()
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler
    root.setLevel(level)
    root.handlers[:] = handlers


def descriptors() -> list[str]:
    """What each descriptor of this process is open on. Linux alone tells."""
    found: list[str] = []
    if not os.path.isdir("/proc/self/fd"):
        return found
    for number in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{number}"))
        except FileNotFoundError:  # The one that listed the directory.
            continue
    return found


def sockets_of_ours() -> list[str]:
    return [str(path) for path in Path(tempfile.gettempdir()).glob("logpool-*")]


@pytest.fixture(scope="session", autouse=True)
def _temporary_directory_of_our_own() -> Iterator[None]:
    """Keeps apart what other runs on the same machine leave in the temporary directory, for a while or for good."""
    directory = tempfile.mkdtemp()
    # After multiprocessing's own directory, which it makes in this one and removes with priority -100.
    util.Finalize(None, shutil.rmtree, args=(directory,), exitpriority=-200)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", directory)
        patch.setattr(tempfile, "tempdir", None)
        yield


@pytest.fixture(scope="session", autouse=True)
def _signals_as_in_a_terminal() -> Iterator[None]:
    """Undoes what `nohup`, or a shell that starts something in the background, has set for all that it starts."""
    if not hasattr(signal, "pthread_sigmask"):  # On Windows, which has neither `nohup` nor such masks.
        yield
        return
    by_python = {signal.SIGPIPE, signal.SIGXFSZ}  # Which the interpreter itself ignores.
    ignored = [item for item in signal.valid_signals() - by_python if signal.getsignal(item) is signal.SIG_IGN]
    blocked = signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in ignored:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


@pytest.fixture(scope="session", autouse=True)
def _long_lived_helpers(_temporary_directory_of_our_own: None, _signals_as_in_a_terminal: None) -> None:
    """Starts what multiprocessing keeps until the interpreter ends, so that no test seems to leave it behind."""
    if "forkserver" in START_METHODS:
        resource_tracker.ensure_running()
        forkserver.set_forkserver_preload(["pytest"])
        forkserver.ensure_running()
    # What is there by now stays. That a collection leaves it out saves 30 ms a test.
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    """No test leaves a thread, a process, a descriptor, or a file of ours."""
    threads, open_before, sockets = set(threading.enumerate()), descriptors(), set(sockets_of_ours())
    yield
    gc.collect()
    for thread in set(threading.enumerate()) - threads:
        thread.join(10)
    assert set(threading.enumerate()) <= threads
    assert multiprocessing.active_children() == []
    assert set(sockets_of_ours()) <= sockets
    assert len(descriptors()) <= len(open_before), sorted(set(descriptors()) - set(open_before))


@pytest.fixture
def run_program(tmp_path: Path) -> Run:
    """Runs a program of its own interpreter, for what can't be seen from inside: its end."""

    def run(source: str, *arguments: str, timeout: float = 40) -> subprocess.CompletedProcess[str]:
        path = tmp_path / "program.py"
        path.write_text(source)
        return subprocess.run(
            [sys.executable, "-X", "dev", str(path), *arguments],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            cwd=tmp_path,
        )

    return run


def wait_until_gone(pid: int, seconds: float = 10) -> None:
    """Waits for a process that isn't a child of this one, for which the system has an event only on Linux."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        import select

        ready, _, _ = select.select([handle], [], [], seconds)
        assert ready, f"process {pid} still runs after {seconds} seconds"
    finally:
        os.close(handle)
