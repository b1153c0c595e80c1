"""Record factories of the parent's, and records of workers."""

from __future__ import annotations

import io
import itertools
import logging
import multiprocessing
import sys
from collections.abc import Callable, Iterator
from multiprocessing.context import BaseContext
from typing import Any

import pytest

from conftest import Records
from logpool import LoggingProcessPoolExecutor

logger = logging.getLogger("test_record_factory.jobs")

Factory = Callable[..., logging.LogRecord]


class Tagged(logging.LogRecord):
    """A factory that can be pickled, and so is a spawned worker's as well."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.tag = "tagged"


def prefixing(*args: Any, **kwargs: Any) -> logging.LogRecord:
    record = logging.LogRecord(*args, **kwargs)
    record.msg = f"[app] {record.msg}"
    return record


def nested(change: Callable[[logging.LogRecord], object], make: Factory = logging.LogRecord) -> Factory:
    """A factory that can't be pickled."""

    def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        change(record)
        return record

    return factory


@pytest.fixture
def use(records: Records) -> Iterator[Callable[[Factory], None]]:
    yield logging.setLogRecordFactory
    logging.setLogRecordFactory(logging.LogRecord)


def job() -> None:
    logger.info("token=%s", "secret", extra={"user": "somebody"})


def both(context: BaseContext, records: Records) -> tuple[logging.LogRecord, logging.LogRecord]:
    """A record that the parent logs, and the same of a worker."""
    job()
    with LoggingProcessPoolExecutor(1, context) as executor:
        executor.submit(job).result()
    own, workers = (record for record in records.records if record.name == logger.name)
    assert own.process != workers.process
    assert own.processName != workers.processName
    assert workers.user == "somebody"
    return own, workers


def test_a_nested_factory_adds_its_field(
    context: BaseContext, records: Records, use: Callable[[Factory], None]
) -> None:
    use(nested(lambda record: setattr(record, "request", 5)))
    for record in both(context, records):
        assert (record.request, record.getMessage()) == (5, "token=secret")


def test_a_nested_factory_masks(context: BaseContext, records: Records, use: Callable[[Factory], None]) -> None:
    use(nested(lambda record: setattr(record, "args", ("***",))))
    for record in both(context, records):
        assert record.getMessage() == "token=***"


@pytest.mark.parametrize("factory", [prefixing, nested(lambda record: None, prefixing)], ids=["pickled", "nested"])
def test_what_a_factory_changes_is_changed_once(
    context: BaseContext, records: Records, use: Callable[[Factory], None], factory: Factory
) -> None:
    use(factory)
    for record in both(context, records):
        assert record.getMessage() == "[app] token=secret"
        assert type(record) is logging.LogRecord


@pytest.mark.parametrize("factory", [Tagged, nested(lambda record: None, Tagged)], ids=["pickled", "nested"])
def test_a_class_of_records_is_kept(
    context: BaseContext, records: Records, use: Callable[[Factory], None], factory: Factory
) -> None:
    use(factory)
    for record in both(context, records):
        assert (type(record), record.tag) == (Tagged, "tagged")


def caller() -> str:
    frame = sys._getframe(1)
    while frame.f_code.co_filename in (logging.__file__, __file__) and frame.f_code.co_name != "job":
        frame = frame.f_back
    return frame.f_code.co_name


class Walker(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        record.__dict__["seen_by_handler"] = caller()


def test_a_factory_and_the_handlers_behind_it_find_the_call_site(
    context: BaseContext, records: Records, use: Callable[[Factory], None]
) -> None:
    use(nested(lambda record: setattr(record, "seen_by_factory", caller())))
    handler = Walker()
    logger.addHandler(handler)
    try:
        for record in both(context, records):
            assert (record.seen_by_factory, record.seen_by_handler) == ("job", "job")
    finally:
        logger.removeHandler(handler)


run_id = "unknown"
"""Set in the parent alone."""

numbers = itertools.count()


def add_state(*args: Any, **kwargs: Any) -> logging.LogRecord:
    """A factory that can be pickled, and depends on the state of its process."""
    record = logging.LogRecord(*args, **kwargs)
    record.run_id = run_id
    record.number = next(numbers)
    record.user = "nobody"
    return record


def log_as(user: str) -> None:
    def set_user(record: logging.LogRecord) -> bool:
        record.user = user
        return True

    logger.addFilter(set_user)
    logger.info("as somebody", extra={"request": 5})
    logger.removeFilter(set_user)


def test_what_a_factory_adds_is_the_parents_but_for_what_the_job_has_changed(
    context: BaseContext, records: Records, use: Callable[[Factory], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    use(add_state)
    with LoggingProcessPoolExecutor(2, context) as executor:
        executor.submit(log_as, "somebody").result()
        monkeypatch.setattr(sys.modules[__name__], "run_id", "the parent's")
        for _ in range(4):
            executor.submit(logger.info, "not given").result()
    made = [record for record in records.records if record.name == logger.name]
    assert [record.user for record in made] == ["somebody", *4 * ["nobody"]]
    assert made[0].request == 5
    assert [record.run_id for record in made] == ["unknown", *4 * ["the parent's"]]
    assert [record.number - made[0].number for record in made] == [0, 1, 2, 3, 4]


def log_to_a_handler_of_its_own() -> str:
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(logging.Formatter("%(run_id)s %(user)s %(message)s"))
    logger.addHandler(handler)
    logger.info("own")
    logger.removeHandler(handler)
    return text.getvalue()


def test_handlers_of_a_workers_own_get_what_the_factory_adds_there(
    context: BaseContext, records: Records, use: Callable[[Factory], None]
) -> None:
    use(add_state)
    with LoggingProcessPoolExecutor(1, context) as executor:
        assert executor.submit(log_to_a_handler_of_its_own).result() == "unknown nobody own\n"
    assert "own" in records.messages


def make_anything(*args: Any, **kwargs: Any) -> Any:
    record = logging.LogRecord(*args, **kwargs)
    record.__dict__["unhashable"] = []
    return record if record.getMessage() != "uncopied" else Uncopied(*args, **kwargs)


class Uncopied(logging.LogRecord):
    def __copy__(self) -> Uncopied:
        raise TypeError("not to be copied")


def test_a_factory_may_make_anything(context: BaseContext, records: Records, use: Callable[[Factory], None]) -> None:
    use(make_anything)
    with LoggingProcessPoolExecutor(1, context) as executor:
        for message in ("copied", "uncopied"):
            executor.submit(logger.info, message).result()
    assert [record.getMessage() for record in records.records if record.name == logger.name] == ["copied", "uncopied"]


def tagged_and_prefixed() -> None:
    for factory in (Tagged, prefixing):
        logging.setLogRecordFactory(factory)
        logger.info("token=%s", "secret")
    logging.setLogRecordFactory(logging.LogRecord)


@pytest.mark.parametrize(
    "parents", [logging.LogRecord, nested(lambda record: setattr(record, "request", 5))], ids=["none", "nested"]
)
def test_a_factory_that_a_job_sets_goes_before_the_parents(
    context: BaseContext, records: Records, use: Callable[[Factory], None], parents: Factory
) -> None:
    use(parents)
    with LoggingProcessPoolExecutor(1, context) as executor:
        executor.submit(tagged_and_prefixed).result()
    tagged, prefixed = (record for record in records.records if record.name == logger.name)
    assert (type(tagged), tagged.tag, tagged.getMessage()) == (Tagged, "tagged", "token=secret")
    assert (type(prefixed), prefixed.getMessage()) == (logging.LogRecord, "[app] token=secret")
    for record in (tagged, prefixed):
        assert hasattr(record, "request") is (parents is not logging.LogRecord)


def test_a_factory_that_raises_is_reported_and_costs_no_other_record(
    records: Records, use: Callable[[Factory], None], capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(record: logging.LogRecord) -> None:
        if record.name == logger.name:
            raise LookupError("in a factory")

    use(nested(refuse))
    with LoggingProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:
        executor.submit(job).result()
        executor.submit(logging.getLogger("other").info, "other").result()
    assert [record.name for record in records.records] == ["other"]
    assert "LookupError: in a factory" in capsys.readouterr().err
