"""RelayListener: one bad record, handler or filter costs nothing else."""

from __future__ import annotations

import io
import logging
import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections.abc import Iterator

import pytest

import jobs
from conftest import Records
from logpool import LoggingProcessPoolExecutor, LogRelay
from logpool._parent import pool_thread
from logpool._parent.jobs import Jobs
from logpool._parent.service import RelayService
from logpool._transport.wire import DEFAULT_BACKLOG


@pytest.fixture
def raising() -> Iterator[logging.Logger]:
    """A logger with a filter that raises, each in its way, on some records."""

    def check(record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if message == "error":
            raise ValueError("raised by a filter")
        if message == "exit":
            raise SystemExit(1)
        return True

    logger = logging.getLogger("app.raising")
    logger.addFilter(check)
    yield logger
    logger.removeFilter(check)


@pytest.mark.parametrize("bad", ["error", "exit"])
def test_a_filter_that_raises_is_reported_and_the_next_record_is_handled(
    raising: logging.Logger, records: Records, capsys: pytest.CaptureFixture[str], bad: str
) -> None:
    with LoggingProcessPoolExecutor(1) as executor:
        for message in ("before", bad, "after"):
            executor.submit(jobs.log, message, name=raising.name)
    assert records.messages == ["before", "after"]
    error = capsys.readouterr().err
    assert error.count("--- Logging error ---") == 1
    assert f"Message: '{bad}'" in error


def test_a_handler_that_raises_is_reported_and_the_next_record_is_handled(
    records: Records, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage() == "bad":
                raise OSError("No space left on device")

    logging.getLogger().addHandler(Broken())
    with LoggingProcessPoolExecutor(1) as executor:
        for message in ("bad", "good"):
            executor.submit(jobs.log, message)
        assert executor.flush_logs()
    assert records.messages == ["bad", "good"]
    assert capsys.readouterr().err.count("OSError: No space left on device") == 1


def test_what_cannot_be_unpickled_is_reported_and_the_next_record_is_handled(records: Records) -> None:
    class Alien:
        """Known to nobody who unpickles it."""

    with LogRelay() as relay:
        Alien.__qualname__ = "Gone"
        globals()["Gone"] = Alien
        frame = pickle.dumps(Alien())
        del globals()["Gone"]
        relay.queue.put(Lost(frame))
        relay.queue.put(logging.makeLogRecord({"name": "app", "levelno": 20, "msg": "next"}))
        assert relay.flush()
    assert [record.name for record in records.records] == ["logpool", "app"]
    assert "can't be rebuilt" in records.messages[0]


class Lost:
    """Pickles to something that can't be loaded."""

    def __init__(self, pickled: bytes) -> None:
        self.pickled = pickled

    def __reduce__(self) -> tuple[object, tuple[bytes]]:
        return pickle.loads, (self.pickled,)


def test_a_manager_process_that_is_killed_is_reported_once(records: Records) -> None:
    with LoggingProcessPoolExecutor(1) as executor:
        executor.submit(jobs.log, "before").result()
        assert executor.flush_logs()
        (manager,) = [child for child in multiprocessing.active_children() if child.name == "LogManager"]
        assert manager.pid is not None
        os.kill(manager.pid, signal.SIGKILL)
        records.wait_for("The log manager process is gone. Workers write their records to stderr from now on.")
        assert executor.submit(jobs.square, 3).result() == 9
        assert not executor.flush_logs()
    reports = [record for record in records.records if record.name == "logpool"]
    assert [record.levelno for record in reports] == [logging.ERROR]


def test_where_there_are_log_handlers_they_are_told_that_the_manager_process_is_gone(records: Records) -> None:
    own = Records()
    with LoggingProcessPoolExecutor(1, log_handlers=[own]) as executor:
        executor.submit(jobs.log, "before").result()
        (manager,) = [child for child in multiprocessing.active_children() if child.name == "LogManager"]
        manager.kill()
        own.wait_for("The log manager process is gone. Workers write their records to stderr from now on.")
    assert records.messages == []


def test_a_fault_of_the_listeners_own_costs_no_other_record(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    faults = [ArithmeticError("in the midst"), SystemExit(1), ArithmeticError("once more")]

    def fail(self: Jobs) -> None:
        if faults:
            raise faults.pop()

    with LogRelay() as relay:
        put_numbers(relay, range(1))
        assert relay.flush(30)
        monkeypatch.setattr(Jobs, "end_block", fail)
        put_numbers(relay, range(1, 101))
        while faults:  # Each block of frames meets one.
            assert relay.flush(30)
    reports = [record for record in records.records if record.name == "logpool"]
    assert [report.getMessage() for report in reports] == 3 * ["The log listener failed, and goes on."]
    assert all(report.exc_info for report in reports)
    assert [message for message in records.messages if message in NUMBERS] == NUMBERS


def test_a_fault_that_comes_again_and_again_is_not_met_for_ever(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Jobs, frames: object) -> None:
        raise ArithmeticError

    with LoggingProcessPoolExecutor(1) as executor:
        executor.submit(jobs.log, "before").result(30)
        monkeypatch.setattr(Jobs, "go_on_with", fail)
        monkeypatch.setattr(pool_thread, "STUCK", 0.2)  # How long these results wait for their records.
        for _ in range(3):
            executor.submit(jobs.log, "lost").result(30)
        monkeypatch.undo()
        executor.submit(jobs.log, "behind").result(30)
    assert [message for message in records.messages if message == "lost"] == []
    assert records.messages[-1] == "behind"


def test_where_nothing_can_be_received_any_more_workers_write_to_stderr(
    records: Records, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    with LoggingProcessPoolExecutor(1, multiprocessing.get_context("fork")) as executor:
        executor.submit(jobs.log, "before").result(30)
        (manager,) = [child for child in multiprocessing.active_children() if child.name == "LogManager"]
        monkeypatch.setattr("logpool._transport.queue.split", fail)
        executor.submit(jobs.log, "lost").result(30)
        records.wait_for("Log records can't be received any more. Workers write theirs to stderr from now on.")
        manager.join(30)
        executor.submit(jobs.log, "behind").result(30)
        assert not executor.flush_logs(30)
    assert "behind" in capfd.readouterr().err


def test_a_listener_that_runs_cannot_be_started_again() -> None:
    with LogRelay() as relay:
        with pytest.raises(RuntimeError, match="already running"):
            relay.listener.start()
        relay.listener.stop()
        relay.listener.stop()
        relay.listener.start()


def test_a_listener_that_a_handler_has_stopped_can_be_started_again(records: Records) -> None:
    with LogRelay() as relay:
        records.on_message["0"] = relay.listener.stop
        put_numbers(relay, range(1))
        assert relay.listener._thread_is_over.wait(30)
        relay.listener.start()
        put_numbers(relay, range(1, 101))
        assert relay.flush(30)
        assert records.messages == NUMBERS


def test_stopping_hands_over_all_that_was_put_before(records: Records) -> None:
    with LogRelay() as relay:
        for number in range(100):
            relay.queue.put(logging.makeLogRecord({"name": "app", "levelno": 20, "msg": str(number)}))
        relay.listener.stop()
        assert records.messages == [str(number) for number in range(100)]


class Exits:
    """Ends a program that unpickles it; here it would be the listener's thread alone."""

    def __reduce__(self) -> tuple[object, tuple[int]]:
        return sys.exit, (1,)


def test_an_item_that_exits_when_it_is_unpickled_costs_itself_alone(records: Records) -> None:
    with LogRelay() as relay:
        relay.queue.put(Exits())
        relay.queue.put(logging.makeLogRecord({"name": "app", "levelno": 20, "msg": "next"}))
        assert relay.flush()
    assert [record.name for record in records.records] == ["logpool", "app"]


def test_no_stderr_to_report_to_costs_no_record(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(record: logging.LogRecord) -> bool:
        if record.getMessage() == "bad":
            raise ValueError("refused")
        return True

    records.addFilter(refuse)
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    with LoggingProcessPoolExecutor(1) as executor:
        for message in ("one", "bad", "two"):
            executor.submit(jobs.log, message).result()
        assert executor.flush_logs()
    assert records.messages == ["one", "two"]


def test_a_relay_that_a_handler_closes_has_all_records_handled(records: Records) -> None:
    relay = RelayService(None, None, None, DEFAULT_BACKLOG)
    relay.prepare()
    relay.launch()
    all_are_put = threading.Event()

    class Close(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage() == "10":
                assert all_are_put.wait(30)
                relay.close()

    logging.getLogger().addHandler(Close())
    relay.listen()
    for number in range(100):
        relay.installation.queue.put(logging.makeLogRecord({"name": "app", "levelno": 20, "msg": str(number)}))
    all_are_put.set()
    relay.listener.stop()
    assert records.messages == [str(number) for number in range(100)]


def put_numbers(relay: LogRelay, numbers: range) -> None:
    for number in numbers:
        relay.queue.put(logging.makeLogRecord({"name": "app", "levelno": 20, "msg": str(number)}))


NUMBERS = [str(number) for number in range(101)]


def test_what_came_in_together_with_the_end_of_the_thread_is_handled_by_the_next(records: Records) -> None:
    go_on = threading.Event()
    records.on_message["0"] = go_on.wait
    with LogRelay() as relay:
        put_numbers(relay, range(1))
        records.wait_for("0")
        relay.listener.enqueue_sentinel()
        put_numbers(relay, range(1, 101))
        go_on.set()
        relay.listener.stop()
        relay.listener.start()
        assert relay.flush(20)
        assert records.messages == NUMBERS


@pytest.mark.parametrize("again", [True, False], ids=["started again", "not started again"])
def test_a_mark_that_was_to_end_an_earlier_thread_ends_nothing_else(records: Records, again: bool) -> None:
    with LogRelay() as relay:
        relay.listener.stop()
        relay.listener.enqueue_sentinel()
        relay.queue.put(None)
        if again:
            relay.listener.start()
        put_numbers(relay, range(101))
    assert records.messages == NUMBERS


def test_an_empty_answer_is_not_the_end(records: Records) -> None:
    with LogRelay() as relay:
        relay.listener.stop()
        consumer = relay.queue._consumer
        assert consumer is not None
        assert consumer.receive(0.0) == b""  # As when `get` is interrupted then.
        relay.listener.start()
        put_numbers(relay, range(101))
        assert relay.flush(20)
        assert records.messages == NUMBERS


def test_a_handler_may_stop_a_listener_that_works_in_the_main_thread(records: Records) -> None:
    relay = LogRelay().__enter__()
    relay.listener.stop()
    records.on_message["50"] = lambda: (relay.listener.stop(), relay.__exit__(None, None, None))
    put_numbers(relay, range(101))
    relay.__exit__(None, None, None)
    assert records.messages == NUMBERS
    assert multiprocessing.active_children() == []


def test_an_interrupt_while_the_main_thread_handles_records_gets_through_and_loses_no_other(records: Records) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    relay = LogRelay().__enter__()
    relay.listener.stop()
    records.on_message["50"] = lambda: signal.raise_signal(signal.SIGALRM)
    put_numbers(relay, range(101))
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            relay.__exit__(None, None, None)
    finally:
        signal.signal(signal.SIGALRM, before)
    relay.__exit__(None, None, None)
    assert records.messages == NUMBERS


def test_a_handler_may_flush_an_executor_that_shuts_down_without_a_job(records: Records) -> None:
    errors: list[str] = []

    def flush() -> None:
        try:
            executor.flush_logs(0.1)
        except RuntimeError as error:
            errors.append(str(error))

    records.on_message["handed on"] = flush
    executor = LoggingProcessPoolExecutor(1)
    executor.log_queue.put(logging.makeLogRecord({"name": "app", "levelno": 20, "msg": "handed on"}))
    executor.shutdown()
    assert records.messages == ["handed on"]
    assert errors == ["a handler cannot wait for all records while it handles one: flush in another thread"]
