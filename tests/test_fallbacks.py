"""What takes the place of what a system hasn't got: the executor and the relay do the same by each."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import types
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import BaseContext

import pytest

import jobs
from conftest import Records
from logpool import LoggingProcessPoolExecutor, LogRelay


def no_room(*args: object, **kwargs: object) -> None:
    raise OSError(28, "No space left on device")


def without_pipes(patch: pytest.MonkeyPatch, context: BaseContext) -> None:
    """As on macOS and BSD. The manager process makes the pipes, and only a forked one has what is patched here."""
    if context.get_start_method() == "fork":
        patch.setattr("logpool._manager.reading_end.make", lambda: None)
    else:  # A producer whose program broken pipes would end asks for a socket.
        patch.setattr("logpool._process.signals.broken_pipe_is_fatal", lambda: True)


def without_unix_sockets(patch: pytest.MonkeyPatch, _: BaseContext) -> None:
    """As on Windows."""
    patch.setattr("logpool._parent.manager.UNIX", None)


def without_a_directory(patch: pytest.MonkeyPatch, _: BaseContext) -> None:
    """As on a full disk."""
    patch.setattr("tempfile.mkdtemp", no_room)


def without_an_interpreter(patch: pytest.MonkeyPatch, _: BaseContext) -> None:
    """As on Windows, and in frozen programs: the manager process is started as any other."""
    patch.setattr("logpool._parent.manager_process.sys", types.SimpleNamespace(platform="any", frozen=True))


def without_poll(patch: pytest.MonkeyPatch, _: BaseContext) -> None:
    """As on Windows. What isn't forked has it all the same."""
    patch.delattr("select.poll")


FALLBACKS = (without_pipes, without_unix_sockets, without_a_directory, without_an_interpreter, without_poll)


@pytest.fixture(params=FALLBACKS, ids=lambda fallback: fallback.__name__)
def _fallback(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, context: BaseContext) -> None:
    fallback: Callable[[pytest.MonkeyPatch, BaseContext], None] = request.param
    fallback(monkeypatch, context)


NUMBERS = [str(number) for number in range(200)]


@pytest.mark.usefixtures("_fallback")
def test_the_executor_hands_over_all_in_order_and_what_a_killed_worker_had_logged(
    context: BaseContext, records: Records
) -> None:
    with LoggingProcessPoolExecutor(1, context) as executor:
        executor.submit(jobs.log_numbers, 200).result()
        assert executor.flush_logs()
        assert [message for message in records.messages if message.isdigit()] == NUMBERS
        executor.submit(jobs.log, "x" * 3_000_000).result()
        assert executor.flush_logs()
        assert len(records.messages[-1]) == 3_000_000
        with pytest.raises(BrokenProcessPool):
            executor.submit(jobs.die, signal.SIGKILL, 200).result()
    assert [message for message in records.messages if message.isdigit()] == NUMBERS * 2


@pytest.mark.usefixtures("_fallback")
def test_a_relay_hands_over_all_in_order_until_it_ends(context: BaseContext, records: Records) -> None:
    with LogRelay(context) as relay:
        processes = [context.Process(target=install_and_log_numbers, args=(relay, name)) for name in ("one", "two")]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
    for name in ("one", "two"):
        assert [record.getMessage() for record in records.records if record.name == name] == NUMBERS
    assert multiprocessing.active_children() == []


def install_and_log_numbers(relay: LogRelay, name: str) -> None:
    relay.install()
    for number in range(200):
        logging.getLogger(name).info("%d", number)
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no other way")
def test_that_records_go_over_the_network_is_said_once(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.mkdtemp", no_room)
    with LoggingProcessPoolExecutor(1) as executor:
        executor.submit(jobs.log, "one").result()
        executor.submit(jobs.log, "two").result()
    said = [record for record in records.records if record.name == "logpool"]
    assert [record.levelname for record in said] == ["WARNING"]
    assert "loopback interface" in said[0].getMessage()
