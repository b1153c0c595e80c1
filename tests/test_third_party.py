"""The same, logged in the parent and in a worker, gives the same in formatters and handlers of other libraries."""

from __future__ import annotations

import contextlib
import datetime
import decimal
import io
import json
import logging
import multiprocessing
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from logpool import LoggingProcessPoolExecutor
from logpool._record.fields import JOB_FIELDS

pythonjsonlogger = pytest.importorskip("pythonjsonlogger.json")
rich_console = pytest.importorskip("rich.console")
rich_logging = pytest.importorskip("rich.logging")
sentry_sdk = pytest.importorskip("sentry_sdk")
sentry_logging = pytest.importorskip("sentry_sdk.integrations.logging")
structlog = pytest.importorskip("structlog")

logger = logging.getLogger("test_third_party.jobs")

START_METHODS = multiprocessing.get_all_start_methods()

TIME_PROCESS_THREAD = {"created", "msecs", "relativeCreated", "process", "processName", "thread", "threadName"}


class OtherConstructorError(Exception):
    """Can't be unpickled."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{reason} ({code})")


def messages() -> None:
    logger.debug("below the level")
    logger.info("plain %s, %d", "args", 2)
    logger.info("mapping %(key)s", {"key": "value"})
    logger.warning("percent %d%%", 5, extra={"user": "somebody", "list": [1, {"a": (None,)}]})
    logger.error("lines\nand [markup] é \U0001f40d", extra={"when": datetime.date(2024, 1, 2)})
    logger.error({"a": "dict", "when": datetime.date(2024, 1, 2)})


def exceptions() -> None:
    try:
        try:
            len([int("x"), 2])
        except ValueError as error:
            error.add_note("a note")
            raise KeyError("key") from error
    except KeyError:
        logger.exception("failed %s", 1, extra={"user": "somebody"})
    try:
        raise ExceptionGroup("group", [ValueError(1), OSError(2, "No such file", "name")])
    except ExceptionGroup as error:
        logger.error("a group", exc_info=error)


def objects() -> None:
    """Their messages are formatted in the worker, so a tool that shows templates shows others."""
    logger.info("object %s", decimal.Decimal("1.1"))
    logger.info(datetime.date(2024, 1, 2))
    logger.error("no exception", exc_info=True)


def lost_exception() -> None:
    try:
        raise OtherConstructorError(404, "not found")
    except OtherConstructorError:
        logger.exception("cannot be sent")


@pytest.fixture(autouse=True)
def level() -> Iterator[None]:
    logger.setLevel(logging.INFO)
    yield
    logger.setLevel(logging.NOTSET)


@pytest.fixture(params=START_METHODS)
def in_worker(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Runs a job in a worker and waits until what it has logged has been handled."""

    def in_worker(job: Callable[[], object]) -> None:
        with LoggingProcessPoolExecutor(1, multiprocessing.get_context(request.param)) as executor:
            executor.submit(job).result()

    return in_worker


@contextlib.contextmanager
def handled_by(handler: logging.Handler) -> Iterator[None]:
    # The two attributes that a pool's record has and the parent's own hasn't.
    handler.addFilter(lambda record: [record.__dict__.pop(name, None) for name in JOB_FIELDS] != [])
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = True


def outputs(
    job: Callable[[], object], in_worker: Callable[..., None], make: Callable[[io.StringIO], logging.Handler]
) -> tuple[str, str]:
    """What a handler writes when a job runs in the parent, and in a worker."""
    written = []
    for run in (lambda job: job(), in_worker):
        stream = io.StringIO()
        with handled_by(make(stream)):
            run(job)
        written.append(stream.getvalue())
    own, workers = written
    assert own
    return own, workers


@pytest.mark.parametrize("job", [messages, objects, exceptions, lost_exception])
def test_python_json_logger(job: Callable[[], object], in_worker: Callable[..., None]) -> None:
    def make(stream: io.StringIO) -> logging.Handler:
        handler = logging.StreamHandler(stream)
        names = [
            name for name in logging.makeLogRecord({}).__dict__ if name not in {"exc_info", "exc_text", "msg", "args"}
        ]
        handler.setFormatter(pythonjsonlogger.JsonFormatter(" ".join(f"%({name})s" for name in names)))
        return handler

    own, workers = (
        [
            {name: value for name, value in json.loads(line).items() if name not in TIME_PROCESS_THREAD}
            for line in output.splitlines()
        ]
        for output in outputs(job, in_worker, make)
    )
    assert workers == own


@pytest.mark.parametrize("job", [messages, objects, exceptions])
@pytest.mark.parametrize("tracebacks", [False, True], ids=["plain", "rich_tracebacks"])
def test_rich_handler(job: Callable[[], object], tracebacks: bool, in_worker: Callable[..., None]) -> None:
    def make(stream: io.StringIO) -> logging.Handler:
        # Without colors where Rich prints tracebacks: in one of a frame that still runs, as the parent's own does, it
        # underlines what runs now and not what raised.
        color = None if tracebacks else "truecolor"
        console = rich_console.Console(file=stream, width=150, force_terminal=True, color_system=color)
        handler: logging.Handler = rich_logging.RichHandler(
            console=console, show_time=False, enable_link_path=False, rich_tracebacks=tracebacks
        )
        return handler

    own, workers = outputs(job, in_worker, make)
    assert workers == own


class Transport(sentry_sdk.transport.Transport):
    """Keeps events in memory."""

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self.events: list[Any] = []

    def capture_envelope(self, envelope: Any) -> None:
        event = envelope.get_event()
        if event is not None:
            self.events.append(event)


CHANGING = {
    "_meta",
    "event_id",
    "timestamp",
    "contexts",
    "breadcrumbs",
    "modules",
    "vars",
    "sys.argv",
    "thread_id",
    "server_name",
    *JOB_FIELDS,
}


def comparable(item: Any) -> Any:
    """An event without what differs each time, and without the variables of frames."""
    if isinstance(item, dict):
        return {key: comparable(value) for key, value in item.items() if key not in CHANGING}
    if isinstance(item, list):
        return [comparable(value) for value in item]
    return item


@pytest.mark.parametrize("job", [messages, exceptions])
def test_sentry(job: Callable[[], object], in_worker: Callable[..., None]) -> None:
    collected = []
    for run in (lambda job: job(), in_worker):
        transport = Transport()
        sentry_sdk.init(
            dsn="https://key@localhost/1",
            transport=transport,
            default_integrations=False,
            integrations=[sentry_logging.LoggingIntegration(event_level=logging.WARNING)],
        )
        try:
            run(job)
        finally:
            sentry_sdk.init()
        collected.append([comparable(event) for event in transport.events])
    own, workers = collected
    assert own
    assert workers == own


def configure_structlog() -> None:
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def structured() -> None:
    configure_structlog()
    log = structlog.stdlib.get_logger(logger.name)
    log.info("an event", user="somebody", items=[1, 2], when=datetime.date(2024, 1, 2))
    log.bind(request=5).warning("positional %s", "args")
    try:
        len([int("x"), 2])
    except ValueError as error:
        log.exception("failed")
        log.error("failed", exc_info=error)


@pytest.mark.parametrize("job", [messages, objects, exceptions, structured])
@pytest.mark.parametrize("renderer", ["console", "json"])
def test_structlog(job: Callable[[], object], renderer: str, in_worker: Callable[..., None]) -> None:
    def make(stream: io.StringIO) -> logging.Handler:
        console = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
        handler = logging.StreamHandler(stream)
        handler.setFormatter(
            structlog.stdlib.ProcessorFormatter(
                foreign_pre_chain=[
                    structlog.stdlib.add_log_level,
                    structlog.stdlib.add_logger_name,
                    structlog.stdlib.ExtraAdder(),
                ],
                processors=[
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    *(
                        [console]
                        if renderer == "console"
                        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
                    ),
                ],
            )
        )
        return handler

    logger_class = logging.getLoggerClass()
    try:
        own, workers = outputs(job, in_worker, make)
    finally:
        structlog.reset_defaults()
        logging.setLoggerClass(logger_class)
    assert workers == own


@pytest.mark.parametrize("job", [messages, objects, exceptions, lost_exception])
@pytest.mark.parametrize("start_method", START_METHODS)
def test_caplog(job: Callable[[], object], start_method: str, caplog: pytest.LogCaptureFixture) -> None:
    job()
    own = caplog.record_tuples, caplog.text
    caplog.clear()
    with LoggingProcessPoolExecutor(1, multiprocessing.get_context(start_method)) as executor:
        executor.submit(job).result()
        assert executor.flush_logs()
        assert (caplog.record_tuples, caplog.text) == own
