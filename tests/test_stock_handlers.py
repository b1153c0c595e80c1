"""Exceptions of workers, printed by handlers of every kind as exceptions of the parent's own are."""

from __future__ import annotations

import io
import linecache
import logging
import logging.handlers
import multiprocessing
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from logpool import LoggingProcessPoolExecutor, LogRelay

FORK = multiprocessing.get_context("fork" if "fork" in multiprocessing.get_all_start_methods() else None)

logger = logging.getLogger("test_stock_handlers.jobs")


def fail() -> None:
    try:
        int("no number")
    except ValueError:
        logger.exception("failed")


@pytest.fixture
def add() -> Iterator[Callable[..., None]]:
    """Gives the logger, or its parent, the only handlers that see its records."""
    parent = logging.getLogger("test_stock_handlers")

    def add(*handlers: logging.Handler, to: logging.Logger = logger) -> None:
        if parent.propagate:  # Not before: pytest has handlers of its own on loggers that don't propagate.
            parent.propagate = False
        for handler in handlers:
            to.addHandler(handler)

    yield add
    parent.propagate = True
    for item in (parent, logger):
        item.handlers.clear()
        item.filters.clear()


class Output(list[str]):
    """What is seen: all that handlers have written or noted, in its order. A stream, too."""

    write = list.append

    def flush(self) -> None:
        pass

    def note(self, record: logging.LogRecord) -> bool:
        """Note whether a record has its exception's text: a filter."""
        self.append(f"text: {record.exc_text is not None}\n")
        return True


class Upper(logging.Formatter):
    def formatException(self, ei: Any) -> str:  # noqa: N802
        return super().formatException(ei).upper()


def stock(output: Output, formatter: logging.Formatter | None = None) -> logging.Handler:
    handler: logging.Handler = logging.StreamHandler(output)
    handler.setFormatter(formatter or logging.Formatter("%(levelname)s %(message)s"))
    return handler


def noting(output: Output) -> logging.Handler:
    class Noting(logging.StreamHandler[Output]):
        def emit(self, record: logging.LogRecord) -> None:
            output.note(record)
            super().emit(record)

    return Noting(output)


def formatter_with(**replaced: Any) -> logging.Formatter:
    formatter = logging.Formatter()
    vars(formatter).update(replaced)
    return formatter


def with_filter(handler: logging.Handler, note: Callable[[logging.LogRecord], bool]) -> logging.Handler:
    handler.addFilter(note)
    return handler


HANDLERS: dict[str, Callable[[Output], list[logging.Handler]]] = {
    "stock": lambda output: [stock(output)],
    "stock twice": lambda output: [stock(output), stock(output)],
    "none but the null handler": lambda output: [logging.NullHandler()],
    "stock without a formatter": lambda output: [logging.StreamHandler(output)],
    "formatter with a way of its own": lambda output: [stock(output, Upper())],
    "formatter with a way of its own behind a stock one": lambda output: [stock(output), stock(output, Upper())],
    "formatter with a way of its own before a stock one": lambda output: [stock(output, Upper()), stock(output)],
    "formatter with another method": lambda output: [
        stock(output, formatter_with(formatException=lambda info: "an exception"))
    ],
    "formatter that prints the text": lambda output: [stock(output, logging.Formatter("%(message)s %(exc_text)s"))],
    "formatter that prints the text in braces": lambda output: [
        stock(output, logging.Formatter("{message} {exc_text}", style="{"))
    ],
    "handler of another class": lambda output: [noting(output)],
    "handler of another class behind a stock one": lambda output: [stock(output), noting(output)],
    "handler with a filter": lambda output: [with_filter(stock(output), output.note)],
    "handler with a filter behind a stock one": lambda output: [stock(output), with_filter(stock(output), output.note)],
    "handler of records": lambda output: [logging.handlers.MemoryHandler(1, target=noting(output))],
    "formatter that fails before a way of its own": lambda output: [
        stock(output, logging.Formatter("%(missing)s")),
        stock(output, Upper()),
    ],
}


def seen_of_both(output: Output) -> tuple[list[str], list[str]]:
    """Have the parent and then a worker log an exception, twice each. Return what is seen of each."""

    def take() -> list[str]:
        taken = list(output)
        output.clear()
        return taken

    fail()
    fail()
    own = take()
    with LoggingProcessPoolExecutor(1, FORK) as executor:
        for _ in range(2):
            executor.submit(fail).result()
    return own, take()


@pytest.fixture
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)


@pytest.mark.usefixtures("_quiet")
@pytest.mark.parametrize("place", ["logger", "parent"])
@pytest.mark.parametrize("name", HANDLERS)
def test_handlers_see_of_a_workers_exception_what_they_see_of_the_parents_own(
    add: Callable[..., None], name: str, place: str
) -> None:
    output = Output()
    add(*HANDLERS[name](output), to=logger if place == "logger" else logger.parent)
    own, workers = seen_of_both(output)
    assert workers == own
    assert name == "none but the null handler" or own


def test_a_filter_of_the_logger_sees_no_text(add: Callable[..., None]) -> None:
    output = Output()
    add(stock(output))
    logger.addFilter(output.note)
    own, workers = seen_of_both(output)
    assert workers == own
    assert own[0] == "text: False\n"


def replace_nothing(function: Any, note: Callable[..., object]) -> Any:
    def replacement(*args: Any, **kwargs: Any) -> Any:
        note(*args)
        return function(*args, **kwargs)

    return replacement


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (logging.Formatter, "formatException"),
        (logging.Formatter, "format"),
        (logging.StreamHandler, "emit"),
        (logging.Handler, "handle"),
        (logging.Logger, "callHandlers"),
        (traceback, "print_exception"),
        (traceback.TracebackException, "format"),
    ],
)
def test_a_function_of_the_standard_library_that_a_program_has_replaced_is_called(
    add: Callable[..., None], monkeypatch: pytest.MonkeyPatch, owner: Any, name: str
) -> None:
    output = Output()
    add(stock(output))
    assert seen_of_both(output)[0]  # So that the traceback is known.

    def note(*args: Any) -> None:
        if args and isinstance(args[-1], logging.LogRecord):
            output.note(args[-1])
        output.append("called\n")

    with LoggingProcessPoolExecutor(1, FORK) as executor:
        executor.submit(int).result()  # The worker has the functions as they were.
        monkeypatch.setattr(owner, name, replace_nothing(getattr(owner, name), note))
        fail()
        own = list(output)
        output.clear()
        executor.submit(fail).result()
    assert output == own
    assert "called\n" in own


def test_a_record_factory_of_the_parents_makes_records_without_the_text(add: Callable[..., None]) -> None:
    class Factory(logging.LogRecord):
        @property
        def exc_text(self) -> str | None:
            return self.__dict__.get("text")

        @exc_text.setter
        def exc_text(self, text: str | None) -> None:
            self.__dict__["text"] = text and text.upper()

    output = Output()
    add(stock(output))
    logging.setLogRecordFactory(Factory)
    try:
        own, workers = seen_of_both(output)
    finally:
        logging.setLogRecordFactory(logging.LogRecord)
    assert workers == own


def test_handlers_may_change_from_record_to_record(add: Callable[..., None]) -> None:
    output = Output()
    handler = stock(output)
    add(handler)
    changes: list[Callable[[], object]] = [
        lambda: None,
        lambda: handler.setFormatter(Upper()),
        lambda: handler.setFormatter(logging.Formatter("%(message)s")),
        lambda: handler.addFilter(output.note),
        lambda: handler.removeFilter(output.note),
        lambda: logger.addHandler(noting(output)),
    ]
    with LoggingProcessPoolExecutor(1, FORK) as executor:
        for change in changes:
            change()
            fail()
            own = list(output)
            output.clear()
            executor.submit(fail).result()
            assert output == own
            output.clear()


@pytest.mark.parametrize("name", HANDLERS)
@pytest.mark.usefixtures("_quiet")
def test_handlers_of_the_listeners_see_what_a_loggers_see(add: Callable[..., None], name: str) -> None:
    output = Output()
    handlers = HANDLERS[name](output)
    add(*handlers)
    fail()
    own = list(output)
    output.clear()
    logger.handlers.clear()
    with LogRelay(FORK, handlers=handlers) as relay:
        worker = FORK.Process(target=relay_fail, args=(relay,))
        worker.start()
        worker.join()
        worker.close()
    assert output == own * 2


def relay_fail(relay: LogRelay) -> None:
    relay.install()
    fail()
    fail()


def test_stock_handlers_print_equal_tracebacks_without_making_their_text_again(
    add: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    check = linecache.checkcache
    monkeypatch.setattr(linecache, "checkcache", lambda *args: (made.append(1), check(*args))[1])
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(message)s"))
    add(handler)
    fail()
    assert made
    made.clear()
    with LoggingProcessPoolExecutor(1, FORK) as executor:
        for _ in range(4):
            executor.submit(fail).result()
    assert len(made) <= 1  # To compare the worker's text with the parent's, unless another test has done so.
    text = stream.getvalue()
    assert text.count("ValueError: invalid literal for int() with base 10: 'no number'\n") == 5
    assert text == text[: len(text) // 5] * 5


def test_tracebacks_of_another_limit_are_told_apart(add: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    output = Output()
    add(stock(output))
    seen_of_both(output)  # So that the traceback is known.
    # A worker that is forked with a limit has it to its end.
    monkeypatch.setattr(sys, "tracebacklimit", 0, raising=False)
    with LoggingProcessPoolExecutor(1, FORK) as executor:
        executor.submit(fail).result()
        monkeypatch.delattr(sys, "tracebacklimit")
        executor.submit(fail).result()
    assert len(output) == 2
    assert "in fail" not in output[0] + output[1]
