"""What a worker's loggers look like: as the parent's."""

from __future__ import annotations

import enum
import functools
import importlib
import io
import logging
import multiprocessing
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from multiprocessing.context import BaseContext
from pathlib import Path

import pytest

import jobs
from conftest import START_METHODS, Records, Run
from logpool import LoggingProcessPoolExecutor

TRACE = 5


@pytest.fixture
def logging_of_many_sorts(records: Records) -> Iterator[None]:
    """A parent with levels, handlers, filters, disabled loggers, and loggers that don't propagate."""
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    loggers = {name: logging.getLogger(f"sorts.{name}") for name in ("loud", "quiet", "off", "alone", "filtered")}
    loggers["loud"].setLevel(logging.DEBUG)
    loggers["quiet"].setLevel(logging.ERROR)
    loggers["off"].disabled = True
    own = logging.StreamHandler(io.StringIO())
    loggers["alone"].addHandler(own)
    loggers["alone"].propagate = False
    loggers["filtered"].addFilter(logging.Filter("sorts.filtered.inner"))
    yield
    loggers["alone"].removeHandler(own)
    loggers["alone"].propagate = True
    loggers["off"].disabled = False
    loggers["filtered"].filters.clear()
    for logger in loggers.values():
        logger.setLevel(logging.NOTSET)


@pytest.mark.usefixtures("logging_of_many_sorts")
def test_a_workers_loggers_look_as_the_parents_do(context: BaseContext) -> None:
    names = "root", "sorts.loud", "sorts.alone", "sorts.filtered", "sorts.new"
    with LoggingProcessPoolExecutor(1, context) as executor:
        assert executor.submit(jobs.handlers_and_filters, *names).result() == jobs.handlers_and_filters(*names)


@pytest.mark.usefixtures("logging_of_many_sorts")
def test_the_same_is_logged_as_by_a_thread(context: BaseContext, records: Records) -> None:
    names = ("root", "sorts", *(f"sorts.{name}" for name in ("loud", "quiet", "off", "alone", "filtered", "new")))
    jobs.log_each_level(names)
    by_thread, records.records = [(item.name, item.levelno, item.getMessage()) for item in records.records], []
    with LoggingProcessPoolExecutor(1, context) as executor:
        executor.submit(jobs.log_each_level, names)
    assert [(item.name, item.levelno, item.getMessage()) for item in records.records] == by_thread
    assert len(by_thread) == 23


@pytest.mark.usefixtures("logging_of_many_sorts")
def test_a_record_that_the_parent_would_drop_is_dropped_in_the_worker(context: BaseContext) -> None:
    with LoggingProcessPoolExecutor(1, context) as executor:
        asked = {
            (name, level): executor.submit(jobs.is_enabled_for, f"sorts.{name}", level)
            for name in ("loud", "quiet", "off", "new")
            for level in (logging.DEBUG, logging.INFO, logging.ERROR)
        }
        enabled = {key for key, future in asked.items() if future.result()}
    assert enabled == {
        ("loud", logging.DEBUG),
        ("loud", logging.INFO),
        ("loud", logging.ERROR),
        ("quiet", logging.ERROR),
        ("new", logging.INFO),
        ("new", logging.ERROR),
    }


def test_a_level_that_is_disabled_for_all_loggers_is_so_in_workers(context: BaseContext, records: Records) -> None:
    logging.disable(logging.WARNING)
    try:
        with LoggingProcessPoolExecutor(1, context) as executor:
            executor.submit(jobs.log, "disabled", level=logging.WARNING)
            executor.submit(jobs.log, "enabled", level=logging.ERROR)
    finally:
        logging.disable(logging.NOTSET)
    assert records.messages == ["enabled"]


def test_names_of_levels_are_the_parents(
    context: BaseContext, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    for table in ("_levelToName", "_nameToLevel"):
        monkeypatch.setattr(logging, table, getattr(logging, table).copy())
    logging.addLevelName(TRACE, "TRACE")
    logging.addLevelName(logging.WARNING, "HEED")
    logging.getLogger().setLevel("TRACE")
    with LoggingProcessPoolExecutor(1, context) as executor:
        executor.submit(jobs.log, "fine", level=TRACE)
        executor.submit(jobs.log, "careful", level=logging.WARNING)
    assert [record.levelname for record in records.records] == ["TRACE", "HEED"]


@pytest.mark.parametrize("captures", [True, False])
def test_warnings_are_captured_where_the_parent_captures_them(
    context: BaseContext, records: Records, captures: bool
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(captures)
        try:
            with LoggingProcessPoolExecutor(1, context) as executor:
                executor.submit(jobs.warn).result()
        finally:
            logging.captureWarnings(False)
    # Other warnings may be captured as well: forking is one cause of them.
    caught = [record.name for record in records.records if "UserWarning: careful" in record.getMessage()]
    assert caught == ["py.warnings"] * captures


def test_the_parents_switches_are_the_workers(context: BaseContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    monkeypatch.setattr(logging, "logThreads", False)
    with LoggingProcessPoolExecutor(1, context) as executor:
        assert executor.submit(switches).result() == (False, False)


def test_switches_and_the_record_factory_that_change_later_are_the_workers_then(
    context: BaseContext, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        with LoggingProcessPoolExecutor(1, context) as executor:
            assert executor.submit(switches).result() == (True, True)
            assert executor.submit(factory_name).result() == "LogRecord"
            monkeypatch.setattr(logging, "logThreads", False)
            assert executor.submit(switches).result() == (True, False)
            logging.setLogRecordFactory(MarkedRecord)
            assert executor.submit(factory_name).result() == "MarkedRecord"
            monkeypatch.setattr(logging.Logger, "mark", functools.partialmethod(logging.Logger.log, 35), raising=False)
            executor.submit(log_by_mark).result()
    finally:
        logging.setLogRecordFactory(logging.LogRecord)
    (record,) = [record for record in records.records if record.name == "app"]
    assert (record.levelno, record.getMessage(), record.thread) == (35, "marked", None)


def log_by_mark() -> None:
    logging.getLogger("app").mark("marked")  # type: ignore[attr-defined]


def switches() -> tuple[bool, bool]:
    return logging.raiseExceptions, logging.logThreads


class MarkedRecord(logging.LogRecord):
    """Made by a factory that can be pickled."""

    mark = "made by the factory"


def test_a_record_factory_that_can_be_pickled_makes_the_workers_records(context: BaseContext, records: Records) -> None:
    logging.setLogRecordFactory(MarkedRecord)
    try:
        with LoggingProcessPoolExecutor(1, context) as executor:
            assert executor.submit(factory_name).result() == "MarkedRecord"
    finally:
        logging.setLogRecordFactory(logging.LogRecord)


def factory_name() -> str:
    return getattr(logging.getLogRecordFactory(), "__name__", "")


def test_a_record_factory_that_cannot_be_pickled_breaks_nothing(context: BaseContext, records: Records) -> None:
    logging.setLogRecordFactory(lambda *args, **kwargs: logging.LogRecord(*args, **kwargs))  # noqa: PLW0108
    try:
        with LoggingProcessPoolExecutor(1, context) as executor:
            executor.submit(jobs.log, "made").result()
    finally:
        logging.setLogRecordFactory(logging.LogRecord)
    assert records.messages == ["made"]


def test_a_level_set_on_import_in_the_worker_gives_way_to_the_parents(context: BaseContext, records: Records) -> None:
    # The initializer brings this module into a new worker before anything is installed there, as `__main__` is.
    logging.getLogger("set.on.import").setLevel(logging.WARNING)
    with LoggingProcessPoolExecutor(1, context, nothing) as executor:
        assert executor.submit(jobs.effective_level, "set.on.import").result() == logging.WARNING
        names = "root", "set.on.import"
        assert executor.submit(jobs.handlers_and_filters, *names).result() == jobs.handlers_and_filters(*names)


def nothing() -> None:
    """An initializer that is only there to be imported."""


if multiprocessing.parent_process() is not None:
    logging.getLogger("set.on.import").setLevel(logging.DEBUG)
    logging.getLogger("set.on.import").addHandler(logging.StreamHandler())


def test_handlers_of_a_module_that_only_a_job_imports_are_the_parents_alone(
    context: BaseContext, records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "helpful.py").write_text(
        "import logging, sys\n"
        "logger = logging.getLogger('app.helpful')\n"
        "logger.addHandler(logging.FileHandler('helpful.log'))\n"
        "logger.propagate = False\n"
        "def work(): logger.info('helpful')\n"
    )
    monkeypatch.chdir(tmp_path)
    with LoggingProcessPoolExecutor(1, context) as executor:
        executor.submit(jobs.square, 2).result()
        helpful = importlib.import_module("helpful")
        executor.submit(helpful.work).result()
    for handler in helpful.logger.handlers:
        handler.close()
    helpful.logger.handlers.clear()
    helpful.logger.propagate = True
    del sys.modules["helpful"]
    assert (tmp_path / "helpful.log").read_text() == "helpful\n"


OF_ITS_OWN_CLASS = """
import logging

class Tracing(logging.Logger):
    def trace(self, message):
        self.log(5, message)

logging.setLoggerClass(Tracing)
logger = logging.getLogger("tracing.of.its.own")
logging.setLoggerClass(logging.Logger)
logger.setLevel("WARNING")

def work():
    logger.trace("traced")
    logger.getChild("child").log(5, "by the child")
"""


def test_a_module_that_only_a_job_imports_has_its_logger_class_and_the_parents_level(
    context: BaseContext, records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "tracing.py").write_text(OF_ITS_OWN_CLASS)
    records.setLevel(logging.NOTSET)
    try:
        tracing = importlib.import_module("tracing")
        tracing.logger.setLevel(TRACE)
        with LoggingProcessPoolExecutor(1, context) as executor:
            executor.submit(tracing.work).result()
            executor.submit(logging.getLogger("tracing.of.its.own.other").log, TRACE, "by another").result()
    finally:
        tracing.logger.setLevel(logging.NOTSET)
        del sys.modules["tracing"]
    assert records.messages == ["traced", "by the child", "by another"]


def enabled(name: str, *levels: int) -> list[bool]:
    return [logging.getLogger(name).isEnabledFor(level) for level in levels]


def level_name(level: int) -> str:
    return "".join(logging.getLevelName(level))


def test_levels_and_names_of_classes_that_cannot_be_pickled_are_taken_over(
    context: BaseContext, records: Records
) -> None:
    class Level(enum.IntEnum):
        LOUD = 45

    class Name(enum.StrEnum):
        SHOP = "enum.shop"
        LEVEL = "A LEVEL"

    logger = logging.getLogger(Name.SHOP)
    logger.setLevel(Level.LOUD)
    logging.addLevelName(Level.LOUD, Name.LEVEL)
    try:
        with LoggingProcessPoolExecutor(1, context, log_level=Level.LOUD) as executor:
            assert executor.submit(enabled, "enum.shop", 44, 45).result() == [False, True]
            assert executor.submit(level_name, 45).result() == "A LEVEL"
    finally:
        logger.setLevel(logging.NOTSET)


def add_a_handler_later(begin: str, done: str) -> None:
    def add() -> None:
        Path(begin).read_bytes()
        logging.getLogger("app").addHandler(logging.NullHandler())
        Path(done).write_bytes(b"")

    threading.Thread(target=add, daemon=True).start()


def test_a_handler_that_a_jobs_thread_adds_while_the_worker_waits_stays(
    context: BaseContext, records: Records, tmp_path: Path
) -> None:
    begin, done = tmp_path / "begin", tmp_path / "done"
    os.mkfifo(begin)
    os.mkfifo(done)
    with LoggingProcessPoolExecutor(1, context) as executor:
        executor.submit(add_a_handler_later, str(begin), str(done)).result()
        begin.write_bytes(b"")
        done.read_bytes()
        executor.submit(jobs.square, 2).result()
        assert executor.submit(jobs.handlers_and_filters, "app").result()["app"] == (["NullHandler"], 0, True)


MAIN_MODULE = """
import logging, multiprocessing, sys
from logpool import LoggingProcessPoolExecutor

logger = logging.getLogger(__name__)
logging.getLogger(__name__ + ".quiet").setLevel("ERROR")

def work():
    logger.debug("not this")
    logger.info("this")
    logger.getChild("child").info("and this")
    logging.getLogger(__name__ + ".late").info("this, too")
    logging.getLogger(__name__ + ".quiet").warning("nor this")

def nested(start_method):
    with LoggingProcessPoolExecutor(1, multiprocessing.get_context(start_method)) as executor:
        executor.submit(work).result()

if __name__ == "__main__":
    logging.basicConfig(format="root: %(name)s %(message)s", stream=sys.stdout)
    logger.setLevel("INFO")
    logging.getLogger(__name__ + ".late").setLevel("WARNING")
    logging.getLogger(__name__ + ".quiet").setLevel("CRITICAL")
    own = logging.StreamHandler(sys.stdout)
    own.setFormatter(logging.Formatter("own: %(message)s"))
    logger.addHandler(own)
    with LoggingProcessPoolExecutor(1, multiprocessing.get_context(sys.argv[1])) as executor:
        executor.submit(*{job}).result()
"""


@pytest.mark.parametrize("start_method", START_METHODS)
@pytest.mark.parametrize("job", ["(work,)", "(nested, 'fork')", "(nested, 'spawn')"])
def test_the_main_modules_logger_is_the_same_in_a_worker(run_program: Run, start_method: str, job: str) -> None:
    ended = run_program(MAIN_MODULE.replace("{job}", job), start_method)
    assert (ended.stdout.splitlines(), ended.stderr) == (
        ["own: this", "root: __main__ this", "own: and this", "root: __main__.child and this"],
        "",
    )
