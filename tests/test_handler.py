"""Records on their whole way, from a worker's logger to the parent's handlers."""

from __future__ import annotations

import contextlib
import io
import logging
import multiprocessing
import os
import sys
import threading
import types
from collections.abc import Callable, Iterator
from logging import LogRecord
from logging.handlers import QueueHandler
from typing import Any

import pytest

from logpool import LoggingProcessPoolExecutor
from logpool._transport.queue import LogQueue
from logpool._transport.wire import MAX_BODY
from logpool._worker.handler import KEPT, RelayHandler

logger = logging.getLogger("test_handler")

START_METHODS = multiprocessing.get_all_start_methods()


class Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[LogRecord] = []

    def emit(self, record: LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def collector() -> Iterator[Collector]:
    handler = Collector()
    logger.addHandler(handler)
    logger.setLevel(1)
    logger.propagate = False
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)
    logger.propagate = True


@pytest.fixture(params=START_METHODS)
def run(request: pytest.FixtureRequest, collector: Collector) -> Callable[..., list[LogRecord]]:
    """Runs jobs in a worker, and returns the records that the parent has handled."""

    def run(*jobs: Callable[[], object], **options: Any) -> list[LogRecord]:
        context = multiprocessing.get_context(request.param)
        with LoggingProcessPoolExecutor(1, context, **options) as executor:
            for job in jobs:
                assert executor.submit(job).result() is None
        return collector.records

    return run


def hello() -> None:
    logger.info("hello %s", "parent")


def huge() -> None:
    logger.info("%s", "é" * 5_000_000)


def test_a_record_of_ten_megabytes_arrives(run: Callable[..., list[LogRecord]]) -> None:
    first, second = run(huge, hello)
    assert (first.msg, first.args) == ("%s", ("é" * 5_000_000,))
    assert second.getMessage() == "hello parent"


def too_large() -> None:
    try:
        raise ValueError("too much")
    except ValueError:
        logger.exception("beginning%s", "x" * MAX_BODY, extra={"more": "y" * (2 * KEPT), "when": range(3)})


@pytest.mark.parametrize("run", ["spawn"], indirect=True)
def test_a_record_that_is_too_large_is_shortened(
    run: Callable[..., list[LogRecord]], capfd: pytest.CaptureFixture[str]
) -> None:
    first, second = run(too_large, hello)
    message = first.getMessage()
    assert message.startswith("beginningxxxx")
    assert len(message) < KEPT + 1000
    assert f"and the log queue takes {MAX_BODY:,} bytes at most]" in message
    assert first.__dict__["more"] == "y" * KEPT
    assert "when" not in first.__dict__
    assert first.exc_text is not None
    assert first.exc_text.endswith("ValueError: too much")
    assert second.getMessage() == "hello parent"
    err = capfd.readouterr().err
    assert "--- Logging error ---\nA record was shortened: it takes 270," in err
    assert f"Logged from file {__file__}, line" in err
    assert len(err) < 1000


class Large:
    def __init__(self) -> None:
        self.data = b"y" * MAX_BODY


def object_too_large() -> None:
    logger.info("x", extra={"more": Large()})


@pytest.mark.parametrize("run", ["spawn"], indirect=True)
def test_a_record_with_an_object_that_is_too_large_loses_its_objects(
    run: Callable[..., list[LogRecord]], capfd: pytest.CaptureFixture[str]
) -> None:
    (record,) = run(object_too_large)
    assert record.getMessage().startswith("x... [shortened: it takes ")
    assert record.lineno
    assert "more" not in record.__dict__
    assert len(capfd.readouterr().err) < 1000


def numbers() -> None:
    for number in range(5):
        logger.info("%d", number)


class RaisingFilter(logging.Filter):
    def filter(self, record: LogRecord) -> bool:
        if record.args == (1,):
            raise LookupError("in a filter")
        return True


class RaisingHandler(logging.Handler):
    def emit(self, record: LogRecord) -> None:
        if record.args == (3,):
            raise LookupError("in a handler")


def test_a_filter_or_handler_that_raises_is_reported_and_costs_no_other_record(
    run: Callable[..., list[LogRecord]], collector: Collector, capsys: pytest.CaptureFixture[str]
) -> None:
    record_filter, handler = RaisingFilter(), RaisingHandler()
    logger.addFilter(record_filter)
    logger.addHandler(handler)
    try:
        run(numbers)
    finally:
        logger.removeFilter(record_filter)
        logger.removeHandler(handler)
    assert [record.args for record in collector.records] == [(0,), (2,), (3,), (4,)]
    err = capsys.readouterr().err
    assert err.count("--- Logging error ---") == 2
    assert "LookupError: in a filter" in err
    assert "LookupError: in a handler" in err
    assert "Arguments: (1,)" in err


class RecordHere(LogRecord):
    """Of a module that only the worker has, as long as `only_here` runs."""


def only_here() -> None:
    module = types.ModuleType("only_in_the_worker")
    sys.modules[module.__name__] = module
    code = "class E(Exception): pass\nclass V:\n  def __repr__(self): return 'V()'\n"
    code += "import logging\nclass R(logging.LogRecord):\n  def getMessage(self): return self.msg.format(*self.args)\n"
    exec(code, module.__dict__)
    try:
        raise module.E("unknown")
    except module.E:
        logger.exception("failed %s", 1, extra={"value": module.V(), "number": 2})
    logging.setLogRecordFactory(module.R)
    logger.info("{} of {}", 1, 2)  # noqa: PLE1205
    logging.setLogRecordFactory(LogRecord)


def test_what_only_the_worker_can_import_yields_records_with_their_text(run: Callable[..., list[LogRecord]]) -> None:
    first, second, third = run(only_here, hello)
    assert (first.msg, first.args) == ("failed %s", (1,))
    assert first.exc_info is None
    assert first.exc_text is not None
    assert first.exc_text.endswith("only_in_the_worker.E: unknown")
    assert first.__dict__["value"] == "V()"
    assert first.__dict__["number"] == 2
    assert type(second) is LogRecord
    assert second.getMessage() == "1 of 2"
    assert third.getMessage() == "hello parent"


def level_of_its_own() -> None:
    logging.addLevelName(33, "LOUD")
    logger.log(33, "x")


def test_a_level_that_only_the_worker_names_prints_by_name(run: Callable[..., list[LogRecord]]) -> None:
    (record,) = run(level_of_its_own)
    assert logging.Formatter("%(levelname)s %(message)s").format(record) == "LOUD x"
    assert logging.getLevelName(33) == "Level 33"


class RaisingStr:
    def __str__(self) -> str:
        raise ValueError("no text")


class LogsItself:
    def __reduce__(self) -> Any:
        logger.info("again", extra={"itself": self})
        return LogsItself, ()

    def __repr__(self) -> str:
        logger.info("%s", self)
        return "LogsItself()"


def raising_str() -> None:
    with contextlib.redirect_stderr(io.StringIO()) as stderr:
        logger.info("%s of template", RaisingStr())
    logger.info(stderr.getvalue())


def logs_itself() -> None:
    logger.info("%s", LogsItself(), extra={"itself": LogsItself()})


def test_a_str_that_raises_is_reported_once_in_the_worker_and_the_record_arrives(
    run: Callable[..., list[LogRecord]],
) -> None:
    first, second = run(raising_str)
    assert first.getMessage() == "%s of template [this message can't be formatted: ValueError: no text]"
    assert second.getMessage().count("--- Logging error ---") == 1
    assert "ValueError: no text" in second.getMessage()


def test_an_object_that_logs_itself_when_it_is_pickled_or_printed_comes_to_an_end(
    run: Callable[..., list[LogRecord]],
) -> None:
    records = run(logs_itself, hello)
    assert 3 < len(records) < 300
    assert records[-2].getMessage() == "LogsItself()"
    assert records[-1].getMessage() == "hello parent"


def everything() -> None:
    items = [1]
    try:
        raise ExceptionGroup("group", [ValueError(1)])
    except ExceptionGroup as error:
        error.add_note("note")
        logger.exception("%s", items, extra={"items": items, "lock": threading.Lock()}, stack_info=True)
    items.append(2)


def test_a_record_arrives_whole(run: Callable[..., list[LogRecord]]) -> None:
    (record,) = run(everything)
    assert (record.msg, record.args, record.getMessage()) == ("%s", ([1],), "[1]")
    assert record.process != os.getpid()
    assert record.processName != "MainProcess"
    assert record.funcName == "everything"
    assert record.pathname == __file__
    assert record.__dict__["items"] == [1]
    assert record.__dict__["lock"].startswith("<unlocked _thread.lock object")
    assert record.stack_info is not None
    assert record.stack_info.startswith("Stack (most recent call last):")
    assert record.exc_info is not None
    assert repr(record.exc_info[1]) == "ExceptionGroup('group', [ValueError(1)])"
    assert record.exc_info[1].__notes__ == ["note"]
    assert "| note\n" in logging.Formatter().formatException(record.exc_info)
    here = logging.makeLogRecord({})
    assert here.relativeCreated - record.relativeCreated == pytest.approx((here.created - record.created) * 1000, abs=1)


# The handler by itself.


def test_without_a_manager_records_are_written_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    handler = RelayHandler(LogQueue("/there/is/no/manager"))
    handler.emit(logger.makeRecord("name", logging.ERROR, "/file.py", 7, "lost %s", ("manager",), None))
    said, line = capsys.readouterr().err.splitlines()
    assert said.startswith("logpool: the relay has ended, or its manager process can't be reached (FileNotFoundError: ")
    assert line == "ERROR:name:lost manager"
    handler.setFormatter(logging.Formatter("own: %(message)s"))
    handler.emit(logger.makeRecord("name", logging.ERROR, "/file.py", 7, "lost %s", ("manager",), None))
    assert capsys.readouterr().err == "own: lost manager\n"


def test_without_a_manager_and_with_a_message_that_cannot_be_formatted_nothing_is_raised(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = RelayHandler(LogQueue("/there/is/no/manager"))
    record = logger.makeRecord("name", logging.ERROR, "/file.py", 7, "%d", ("x",), None)
    handler.emit(record)
    assert "Logging error" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stderr", None)
    handler.emit(record)


def test_prepare_leaves_the_record_alone() -> None:
    handler = RelayHandler(LogQueue("/there/is/no/manager"))
    assert isinstance(handler, QueueHandler)
    record = logger.makeRecord("name", logging.ERROR, "/file.py", 7, "%s", (object(),), None)
    before = dict(record.__dict__)
    assert isinstance(handler.prepare(record), bytes)
    assert record.__dict__ == before
