"""What of a worker's log record arrives in the parent, by the standard library's recipe and by logpool.

    pip install -e ".[third-party-test]"
    python benchmarks/fidelity.py

The recipe is the logging cookbook's: `Manager().Queue`, a `QueueHandler` in each worker, a `QueueListener` in the
parent.
Each job runs three times: in the parent, in a worker by the recipe, in a worker by logpool. Prints a Markdown table of
what a handler in the parent gets, compared with what it gets from the parent's own record.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import io
import logging
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from logging import LogRecord
from logging.handlers import QueueHandler, QueueListener
from typing import Any

import _pytest.logging
import pythonjsonlogger.json
import rich.console
import rich.logging
import sentry_sdk
import structlog
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.transport import Transport

from logpool import LoggingProcessPoolExecutor

# By one path, wherever this is run: a worker imports this module once more, under another name.
logger = logging.getLogger("fidelity")
context = multiprocessing.get_context("spawn")

SAME = "as the parent's own"
LOST = "the record is lost"


# Jobs. They return the process's and thread's numbers.

Identity = tuple[int, int]


def identity() -> Identity:
    """Returns the numbers of the process and thread that a job runs in."""
    return os.getpid(), threading.get_ident()


def job_plain() -> Identity:
    """Everything a record can have, all of it plain but the exception."""
    try:
        try:
            len([int("x"), 2])
        except ValueError as error:
            error.add_note("a note")
            raise KeyError("key") from error
    except KeyError:
        logger.exception("failed %s, %d", "here", 1, extra={"user": "somebody"})
    return identity()


def job_stack() -> Identity:
    """Logs the call stack."""
    logger.info("with its stack", stack_info=True)
    return identity()


async def _in_task() -> None:
    logger.info("in a task")


def job_task() -> Identity:
    """Logs in a task of asyncio."""
    asyncio.run(_in_task())
    return identity()


class Request:
    """An object that can't be pickled."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def __repr__(self) -> str:
        return "Request()"


def job_unpicklable_extra() -> Identity:
    """Logs an attribute that can't be pickled, beside one that can."""
    logger.info("extra", extra={"when": datetime.date(2024, 1, 2), "request": Request()})
    return identity()


def job_unpicklable_arg() -> Identity:
    """Logs an argument that can't be pickled."""
    logger.info("argument %s", Request())
    return identity()


class RaisingStr:
    """An object that can't be printed."""

    def __str__(self) -> str:
        raise ValueError("no text")


def job_raising_str() -> Identity:
    """Logs an argument that can't be printed."""
    with contextlib.redirect_stderr(None):
        logger.info("template %s", RaisingStr())
    return identity()


class LostError(Exception):
    """Can't be unpickled."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{reason} ({code})")


LostError.__module__ = "builtins"  # So that it prints by one name, whatever this module's.


def job_lost_exception() -> Identity:
    """Logs an exception that can't be unpickled."""
    try:
        raise LostError(404, "not found")
    except LostError:
        logger.exception("lost")
    return identity()


def job_level() -> Identity:
    """Logs with a level that only this process knows by name."""
    logging.addLevelName(33, "LOUD")
    logger.log(33, "loud")
    return identity()


def job_structured() -> Identity:
    """Logs by structlog."""
    structlog.configure(
        processors=[structlog.stdlib.add_log_level, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    log = structlog.stdlib.get_logger(logger.name)
    log.info("an event", user="somebody", when=datetime.date(2024, 1, 2))
    try:
        int("x")
    except ValueError:
        log.exception("failed")
    structlog.reset_defaults()
    return identity()


def job_brace_record() -> Identity:
    """Logs a record of a derived class."""
    logging.setLogRecordFactory(BraceRecord)
    logger.info("{} and {}", 1, 2)  # noqa: PLE1205
    logging.setLogRecordFactory(LogRecord)
    return identity()


class BraceRecord(LogRecord):
    """A record whose message is made by str.format."""

    def getMessage(self) -> str:  # noqa: N802 (named by logging)
        """Returns the message."""
        return str(self.msg).format(*(self.args or ()))


# Ways to run a job, and have its records handled.

Job = Callable[[], Identity]
Way = Callable[[Job, logging.Handler], Identity]


@contextlib.contextmanager
def handled_by(handler: logging.Handler) -> Iterator[None]:
    """Has records handled by one handler."""
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = True


def parent(job: Job, handler: logging.Handler) -> Identity:
    """Runs a job in this process."""
    with handled_by(handler):
        return job()


def _configure_worker(queue: Any) -> None:
    root = logging.getLogger()
    root.addHandler(QueueHandler(queue))
    root.setLevel(logging.INFO)


def recipe(job: Job, handler: logging.Handler) -> Identity:
    """Runs a job in a worker, by the standard library's recipe."""
    with context.Manager() as manager:
        queue = manager.Queue()
        listener = QueueListener(queue, handler, respect_handler_level=True)
        listener.start()
        try:
            with ProcessPoolExecutor(1, context, _configure_worker, (queue,)) as executor:
                return executor.submit(job).result()
        finally:
            listener.stop()


def logpool(job: Job, handler: logging.Handler) -> Identity:
    """Runs a job in a worker, by this library."""
    with handled_by(handler), LoggingProcessPoolExecutor(1, context) as executor:
        return executor.submit(job).result()


# What is looked at.


class Collector(logging.Handler):
    """Keeps records."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[LogRecord] = []

    def emit(self, record: LogRecord) -> None:
        """Keeps a record."""
        self.records.append(record)


def record_of(way: Way, job: Job) -> tuple[LogRecord | None, Identity]:
    """Returns the first record that a handler gets, and where its job ran."""
    collector = Collector()
    ids = way(job, collector)
    return (collector.records[0] if collector.records else None), ids


def text_of(way: Way, job: Job, make: Callable[[io.StringIO], logging.Handler]) -> str:
    """Returns what a handler writes."""
    stream = io.StringIO()
    way(job, make(stream))
    return stream.getvalue()


class MemoryTransport(Transport):
    """Keeps events."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Any] = []

    def capture_envelope(self, envelope: Any) -> None:
        """Keeps an event."""
        self.events.append(envelope.get_event())


def sentry(way: Way) -> str:
    """Returns what Sentry would be sent."""
    transport = MemoryTransport()
    integrations = [LoggingIntegration(event_level=logging.ERROR)]
    sentry_sdk.init(
        "https://key@localhost/1", transport=transport, default_integrations=False, integrations=integrations
    )
    way(job_plain, logging.NullHandler())
    sentry_sdk.init()
    lines = []
    for event in transport.events:
        lines.append(f"{event['logger']} {event['level']} {event.get('logentry')} {event['extra'].get('user')}")
        for value in event.get("exception", {}).get("values", []):
            frames = [(frame["function"], frame["lineno"]) for frame in value.get("stacktrace", {}).get("frames", [])]
            lines.append(f"{value['type']} {value['value']} {frames}")
    return "\n".join(lines)


def with_formatter(formatter: logging.Formatter) -> Callable[[io.StringIO], logging.Handler]:
    """Returns what makes a handler with a formatter."""

    def make(stream: io.StringIO) -> logging.Handler:
        handler = logging.StreamHandler(stream)
        handler.setFormatter(formatter)
        return handler

    return make


def rich_handler(tracebacks: bool) -> Callable[[io.StringIO], logging.Handler]:
    """Returns what makes one of Rich's handlers."""
    return lambda stream: rich.logging.RichHandler(
        console=rich.console.Console(file=stream, width=150), show_time=False, rich_tracebacks=tracebacks
    )


def caplog(way: Way) -> str:
    """Returns what pytest's handler keeps."""
    handler = _pytest.logging.LogCaptureHandler()
    way(job_plain, handler)
    return f"{[(record.levelno, record.msg, record.args) for record in handler.records]}"


def structlog_formatter() -> logging.Formatter:
    """Makes structlog's formatter."""
    return structlog.stdlib.ProcessorFormatter(
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(sort_keys=True),
        ]
    )


ATTRIBUTES: dict[str, Callable[[LogRecord], Any]] = {
    name: (lambda record, name=name: record.__dict__[name])
    for name in LogRecord("", 0, "", 0, "", (), None).__dict__
    if name not in {"created", "msecs", "relativeCreated", "process", "processName", "thread", "threadName", "taskName"}
}
del ATTRIBUTES["exc_info"], ATTRIBUTES["stack_info"], ATTRIBUTES["exc_text"]


def chain_of(record: LogRecord) -> Any:
    """Returns the exception's cause."""
    assert record.exc_info is not None
    cause = record.exc_info[1].__cause__  # type: ignore[union-attr]
    return type(cause), cause.args, cause.__notes__  # type: ignore[union-attr]


def frames_of(record: LogRecord) -> Any:
    """Returns the exception's frames."""
    frames = []
    traceback = record.exc_info[2]  # type: ignore[index]
    while traceback is not None:
        code = traceback.tb_frame.f_code
        frames.append((code.co_filename, code.co_name, traceback.tb_lineno))
        traceback = traceback.tb_next
    return frames


def formatted(record: LogRecord) -> str:
    """Returns what a plain formatter makes of a record."""
    return logging.Formatter("%(levelname)s %(message)s").format(record)


MORE: dict[str, tuple[Job, Callable[[LogRecord], Any]]] = {
    "`exc_info`: type, args": (job_plain, lambda record: (record.exc_info[0], record.exc_info[1].args)),  # type: ignore
    "`exc_info`: cause, notes": (job_plain, chain_of),
    "`exc_info`: traceback": (job_plain, frames_of),
    "`exc_text`, once formatted": (job_plain, lambda record: formatted(record) and record.exc_text),
    "`stack_info`, its last line": (job_stack, lambda record: record.stack_info.splitlines()[-1]),  # type: ignore
    "`extra`, plain": (job_plain, lambda record: record.__dict__["user"]),
    "`extra`, an object, beside one that won't pickle": (job_unpicklable_extra, lambda record: record.__dict__["when"]),
    "`extra` that won't pickle, as text": (job_unpicklable_extra, lambda record: repr(record.__dict__["request"])),
    "`getMessage()`, an argument that won't pickle": (job_unpicklable_arg, lambda record: record.getMessage()),
    "`taskName`": (job_task, lambda record: record.__dict__.get("taskName", "no such attribute on this Python")),
    "name of a level added in the worker": (job_level, lambda record: record.levelname),
    "`getMessage()` of a record class with str.format": (job_brace_record, lambda record: record.getMessage()),
    "plain Formatter": (job_plain, formatted),
    "plain Formatter, an exception that won't unpickle": (job_lost_exception, formatted),
}

TOOLS: dict[str, Callable[[Way], str]] = {
    "python-json-logger": lambda way: text_of(
        way,
        job_plain,
        with_formatter(pythonjsonlogger.json.JsonFormatter("%(name)s %(message)s %(lineno)d %(exc_info)s")),
    ),
    "RichHandler": lambda way: text_of(way, job_plain, rich_handler(False)),
    "RichHandler, rich_tracebacks=True": lambda way: text_of(way, job_plain, rich_handler(True)),
    "sentry-sdk": sentry,
    "structlog, a record of logging": lambda way: text_of(way, job_plain, with_formatter(structlog_formatter())),
    "structlog, an event of its own": lambda way: text_of(way, job_structured, with_formatter(structlog_formatter())),
    "caplog": caplog,
}


def shown(value: Any) -> str:
    """Makes a cell of a value."""
    text = value if isinstance(value, str) else repr(value)
    text = text.replace("\n", "\\n").replace("|", "\\|")
    return (
        f"`{text if len(text) < 60 else text[:57] + '...'}`" if text not in ("", "nothing", LOST) else text or "nothing"
    )


def row(title: str, look: Callable[[Way], Any]) -> None:
    """Prints one row."""
    own = look(parent)
    cells = []
    for way in (recipe, logpool):
        try:
            value = look(way)
        except Exception:  # It looks into what isn't there.
            value = "nothing"
        if value == own:
            cells.append(SAME)
        elif isinstance(value, str) and isinstance(own, str) and "\n" in own:
            differing = [line for line in value.splitlines() if line not in own.splitlines()]
            missing = [line for line in own.splitlines() if line not in value.splitlines()]
            cells.append(f"differs, as in {shown(differing[0])}" if differing else f"without {len(missing)} lines")
        else:
            cells.append(shown(value))
    print(f"| {title} | {' | '.join(cells)} |", flush=True)


def look_at(job: Job, look: Callable[[LogRecord], Any]) -> Callable[[Way], Any]:
    """Returns what looks at a record that came one way."""

    def looked(way: Way) -> Any:
        record, _ = record_of(way, job)
        return LOST if record is None else look(record)

    return looked


def of_the_worker(name: str) -> Callable[[Way], Any]:
    """Whether an attribute that belongs to the worker is the worker's."""

    def looked(way: Way) -> Any:
        record, (process, thread) = record_of(way, job_plain)
        if record is None:
            return LOST
        here = logging.makeLogRecord({})
        expected: dict[str, bool] = {
            "process": record.process == process,
            "thread": record.thread == thread,
            "processName": (record.processName == "MainProcess") is (way is parent),
            "threadName": record.threadName == "MainThread",
            "created": abs(here.created - record.created) < 60,
            "msecs": abs(record.created % 1 * 1000 - (record.msecs or 0)) < 2,
            "relativeCreated": abs(
                (here.created - record.created) * 1000 - (here.relativeCreated - record.relativeCreated)
            )
            < 2,
        }
        return expected[name] or f"{record.__dict__[name]} where another is right"

    return looked


def main() -> None:
    """Prints the table."""
    logger.setLevel(logging.INFO)
    logging.raiseExceptions = False
    print("| What a handler of the parent gets | recipe | logpool |")
    print("|---|---|---|")
    for name, look in ATTRIBUTES.items():
        row(f"`{name}`", look_at(job_plain, look))
    for name in ("process", "processName", "thread", "threadName", "created", "msecs", "relativeCreated"):
        row(f"`{name}`", of_the_worker(name))
    for title, (job, look) in MORE.items():
        row(title, look_at(job, look))
    row("message of an argument whose `__str__` raises", look_at(job_raising_str, lambda record: record.msg))
    for title, tool in TOOLS.items():
        row(title, tool)


if __name__ == "__main__":
    main()
