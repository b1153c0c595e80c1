"""What the parent's settings are, and whether a change of them is noticed."""

from __future__ import annotations

import logging
import pickle
import warnings
from collections.abc import Callable, Iterator
from functools import partialmethod
from typing import Any

import pytest

from logpool._parent.settings_watch import SettingsWatch
from logpool._worker.settings import Snapshot

log = logging.getLogger("settings.test")


class Tracing(logging.Logger):
    pass


class Record(logging.LogRecord):
    pass


original_make_record = logging.Logger.makeRecord


def make_record(self: logging.Logger, *args: Any, **kwargs: Any) -> logging.LogRecord:
    return original_make_record(self, *args, **kwargs)


def trace(self: logging.Logger, message: str) -> None:
    self.log(5, message)


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(logging, "_levelToName", logging._levelToName.copy())
    monkeypatch.setattr(logging, "_nameToLevel", logging._nameToLevel.copy())
    level, root_level, handlers = log.level, logging.root.level, logging.root.handlers[:]
    with warnings.catch_warnings():
        yield
    logging.root.handlers[:] = handlers
    logging.root.setLevel(root_level)
    logging.captureWarnings(False)
    logging.disable(logging.NOTSET)
    logging.setLoggerClass(logging.Logger)
    logging.setLogRecordFactory(logging.LogRecord)
    logging.logThreads = True
    logging.Logger.makeRecord = original_make_record  # type: ignore[method-assign]
    log.setLevel(level)
    log.disabled = False
    if hasattr(logging.Logger, "trace"):
        del logging.Logger.trace


def test_a_method_that_takes_the_place_of_another_is_noticed() -> None:
    logging.Logger.trace = trace  # type: ignore[attr-defined]
    watch = SettingsWatch()
    assert watch.changes() is None
    logging.Logger.trace = partialmethod(logging.Logger.log, 5)  # type: ignore[attr-defined]
    assert watch.changes() is not None


@pytest.mark.parametrize(
    "change",
    [
        lambda: log.setLevel("ERROR"),
        lambda: logging.root.setLevel("ERROR"),
        lambda: logging.disable(logging.INFO),
        lambda: logging.addLevelName(5, "TRACE"),
        lambda: logging.addLevelName(logging.WARNING, "HEED"),
        lambda: logging.captureWarnings(True),
        lambda: warnings.simplefilter("ignore", BytesWarning),
        lambda: logging.setLoggerClass(Tracing),
        lambda: setattr(logging.Logger, "trace", trace),
        lambda: setattr(logging.Logger, "trace", partialmethod(logging.Logger.log, 5)),
        lambda: setattr(logging.Logger, "makeRecord", make_record),
        lambda: setattr(logging, "logThreads", False),
        lambda: logging.setLogRecordFactory(Record),
        lambda: logging.root.addHandler(logging.NullHandler()),
        lambda: log.addHandler(logging.NullHandler()),
    ],
)
def test_a_change_is_noticed_once(change: Callable[[], object]) -> None:
    watch = SettingsWatch()
    assert watch.changes() is None
    assert watch.changes() is None
    change()
    noticed = watch.changes()
    assert noticed is not None
    assert noticed[0] == 1
    assert watch.changes() is noticed
    logging.getLogger("settings.test.again").setLevel("INFO")
    again = watch.changes()
    assert again is not None
    assert again[0] == 2
    logging.getLogger("settings.test.again").setLevel("NOTSET")
    log.handlers.clear()


def test_a_logger_that_is_enabled_again_is_noticed() -> None:
    log.disabled = True
    watch = SettingsWatch()
    assert watch.changes() is None
    log.disabled = False
    assert watch.changes() is not None


def test_a_level_that_is_set_to_what_it_was_is_no_change() -> None:
    watch = SettingsWatch()
    watch.changes()
    log.setLevel("ERROR")
    noticed = watch.changes()
    log.setLevel("ERROR")
    assert watch.changes() is noticed


def test_what_goes_with_each_job_has_no_loggers_for_which_nothing_was_set() -> None:
    watch = SettingsWatch()
    watch.changes()
    for number in range(100):
        logging.getLogger(f"settings.test.unset.{number}")
    log.setLevel("ERROR")
    changes = watch.changes()
    assert changes is not None
    assert b"settings.test" in changes[1]
    assert b"unset" not in changes[1]


def test_each_watch_notices_for_itself() -> None:
    watches = SettingsWatch(), SettingsWatch()
    assert [watch.changes() for watch in watches] == [None, None]
    log.setLevel("ERROR")
    assert all(watch.changes() for watch in watches)
    for watch in watches:
        watch.close()
        assert watch not in logging.root._cache


class Strange(logging.Handler):
    """Tells nothing of where it writes but errors."""

    @property
    def stream(self) -> object:
        raise RuntimeError("no stream")


def test_a_snapshot_is_taken_of_handlers_and_filters_of_any_class() -> None:
    class Local(Strange):
        pass

    log.addHandler(Local())
    log.addFilter(lambda record: True)
    try:
        snapshot = pickle.loads(pickle.dumps(Snapshot()))
    finally:
        log.handlers.clear()
        log.filters.clear()
    _, _, _, handlers, filters, _ = snapshot.loggers["settings.test"]
    assert len(handlers) == len(filters) == 1
