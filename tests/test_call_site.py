"""What handlers, filters and factories of the parent's find when they look at the stack of a worker's record."""

from __future__ import annotations

import inspect
import io
import logging
import sys
from collections.abc import Iterator
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

import pytest

from conftest import START_METHODS, Run
from logpool import LoggingProcessPoolExecutor
from logpool._parent import call_site
from logpool._parent.call_site import call_from

logger = logging.getLogger("test_call_site.jobs")

Place = tuple[str, str, int, str]


def job(template: str = "%s", *args: object) -> int:
    logger.warning(template, *(args or ("x",)))
    return inspect.currentframe().f_lineno - 1


class StackWalker(logging.Handler):
    """Finds the call site as loguru's InterceptHandler does, and as handlers that count frames do."""

    def __init__(self) -> None:
        super().__init__()
        self.walked: list[Place] = []
        self.counted: list[Place] = []

    def emit(self, record: logging.LogRecord) -> None:
        frame = inspect.currentframe().f_back
        while frame.f_code.co_filename == logging.__file__:
            frame = frame.f_back
        self.walked.append(place(frame))
        self.counted.append(place(sys._getframe(6)))


def place(frame: Any) -> Place:
    return frame.f_code.co_filename, frame.f_code.co_name, frame.f_lineno, frame.f_globals["__name__"]


@pytest.fixture
def walker() -> Iterator[StackWalker]:
    handler = StackWalker()
    logger.addHandler(handler)
    logger.propagate = False
    yield handler
    logger.removeHandler(handler)
    logger.propagate = True


def test_a_handler_that_walks_the_stack_finds_the_call_site(context: BaseContext, walker: StackWalker) -> None:
    with LoggingProcessPoolExecutor(1, context) as executor:
        line = executor.submit(job).result()
    job()
    assert walker.walked == walker.counted == [(__file__, "job", line, __name__)] * 2


def test_handlers_of_the_pool_find_the_call_site(context: BaseContext) -> None:
    handler = StackWalker()
    with LoggingProcessPoolExecutor(1, context, log_handlers=[handler]) as executor:
        line = executor.submit(job).result()
    assert handler.walked == [(__file__, "job", line, __name__)]


def test_the_report_of_a_bad_format_ends_with_the_call_site(
    context: BaseContext, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = logging.StreamHandler(io.StringIO())
    logger.addHandler(handler)
    try:
        with LoggingProcessPoolExecutor(1, context) as executor:
            line = executor.submit(job, "%s %s", Path("/one")).result()
    finally:
        logger.removeHandler(handler)
    report = capsys.readouterr().err
    assert "TypeError: not enough arguments for format string" in report
    stack = report.partition("Call stack:\n")[2].partition("Message: ")[0]
    assert stack.endswith(
        f'  File "{__file__}", line {line}, in job\n    logger.warning(template, *(args or ("x",)))\n'
    ), report


MAIN = """
import logging, multiprocessing, sys
from logpool import LoggingProcessPoolExecutor

class Walker(logging.Handler):
    def emit(self, record):
        frame = sys._getframe(6)
        print(record.getMessage(), frame.f_globals["__name__"], frame.f_globals is globals(), frame.f_code.co_name)

def work():
    logging.getLogger("app").warning("x")

if __name__ == "__main__":
    logging.getLogger().addHandler(Walker())
    work()
    with LoggingProcessPoolExecutor(1, multiprocessing.get_context(sys.argv[1])) as executor:
        executor.submit(work).result()
"""


@pytest.mark.parametrize("start_method", START_METHODS)
def test_the_module_of_a_call_site_is_the_parents(run_program: Run, start_method: str) -> None:
    ended = run_program(MAIN, start_method)
    assert (ended.stdout, ended.stderr) == ("x __main__ True work\n" * 2, "")


# The function by itself.


def called_from(**fields: Any) -> list[Place]:
    found: list[Place] = []

    def handle(record: logging.LogRecord) -> None:
        frame = sys._getframe(1)
        for _ in range(3):
            found.append(place(frame))
            frame = frame.f_back

    call_from(handle, logging.makeLogRecord({"name": "app", **fields}))
    return found


def test_there_are_two_frames_of_logging_between() -> None:
    names = [(file, name) for file, name, _, _ in called_from(pathname="/no/such/file.py", lineno=5, funcName="f")]
    assert names == [(logging.__file__, "_log"), (logging.__file__, "log"), ("/no/such/file.py", "f")]


@pytest.mark.parametrize(
    ("name", "module"), [("app.prices", "app.prices"), ("prices", "prices"), ("other", "prices"), ("", "prices")]
)
def test_a_module_that_is_not_loaded_here_has_the_name_of_its_logger_or_file(name: str, module: str) -> None:
    found = called_from(pathname="/no/such/prices.py", lineno=5, funcName=f"of {name}", name=name)
    assert found[2] == ("/no/such/prices.py", f"of {name}", 5, module)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"pathname": None, "lineno": None, "funcName": None},
        {"pathname": "x", "lineno": -1, "funcName": "<lambda>"},
        {"pathname": "x", "lineno": 2**70, "funcName": "f"},
        {"pathname": ["x"], "lineno": "7", "funcName": b"f"},
    ],
    ids=repr,
)
def test_a_record_without_a_place_is_handled_all_the_same(fields: dict[str, Any]) -> None:
    assert called_from(**fields)


def test_no_more_call_sites_are_kept_than_there_is_room_for() -> None:
    for line in range(3 * call_site.MOST_CALL_SITES):
        assert called_from(pathname="/no/such/file.py", lineno=line, funcName="f")[2][2] == line
        assert len(call_site._call_sites) <= call_site.MOST_CALL_SITES


def test_what_a_handler_raises_is_raised() -> None:
    def handle(record: logging.LogRecord) -> None:
        raise LookupError("in a handler")

    with pytest.raises(LookupError, match="in a handler"):
        call_from(handle, logging.makeLogRecord({"pathname": "/no/file.py", "lineno": 5, "funcName": "f"}))
