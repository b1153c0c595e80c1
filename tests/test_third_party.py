"""The same, logged in the parent and in a worker, gives the same in formatters and handlers of other libraries."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import decimal
import fcntl
import http
import inspect
import io
import json
import logging
import multiprocessing
import os
import pathlib
import pty
import re
import struct
import subprocess
import sys
import termios
import textwrap
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import pytest

import run_examples
from documents import PAGES, README_BLOCKS, Program, check_program, program_of_readme, programs_of
from logpool import LoggingProcessPoolExecutor
from logpool._record.fields import JOB_FIELDS
from run_examples import EXAMPLES, WORKER_NAMES, user_environment

pythonjsonlogger = pytest.importorskip("pythonjsonlogger.json")
rich_console = pytest.importorskip("rich.console")
rich_logging = pytest.importorskip("rich.logging")
sentry_sdk = pytest.importorskip("sentry_sdk")
sentry_logging = pytest.importorskip("sentry_sdk.integrations.logging")
structlog = pytest.importorskip("structlog")

logger = logging.getLogger("test_third_party.jobs")

call_handlers = logging.Logger.callHandlers
"""The one of `logging`: Sentry puts its own in its place for good."""

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


# Tools and recipes that look at more than a record's text: its arguments, its exception, the stack.


class Token(str):
    """What a filter hides that knows it by its type."""


@dataclasses.dataclass
class Credentials:
    user: str
    password: str


ACCESS = '%s - "%s %s HTTP/%s" %d'


def requests() -> None:
    logger.info(ACCESS, "127.0.0.1:5000", "GET", "/a?b=c", "1.1", http.HTTPStatus.NOT_FOUND)
    logger.info(ACCESS, "127.0.0.1:5000", "GET", pathlib.PurePosixPath("/a"), "1.1", 200)


def secrets() -> None:
    logger.info("token %s of %s", Token("secret"), pathlib.PurePosixPath("/home"))
    logger.info("token %s, lock %s", Token("secret"), contextlib)  # A module can't be pickled.
    logger.info("user %(user)s", {"user": Credentials("somebody", "secret"), "path": pathlib.PurePosixPath("/a")})
    logger.info("%s", {"token": Token("secret"), "items": [Token("secret")]})


def failures() -> None:
    for value in (ValueError("value"), KeyError("key"), datetime.date(2024, 1, 2)):
        try:
            raise PermissionError(13, "No", value) from (value if isinstance(value, Exception) else None)
        except PermissionError as error:
            logger.exception("failed at %s: %s", pathlib.PurePosixPath("/a"), error)


class TokenFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        hide = self.hide
        record.args = hide(record.args) if isinstance(record.args, dict) else tuple(map(hide, record.args or ()))
        return True

    def hide(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self.hide(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.hide(item) for item in value]
        if isinstance(value, Credentials):
            return dataclasses.replace(value, password="***")
        return "***" if isinstance(value, Token) else value


def masking(stream: io.StringIO) -> logging.Handler:
    handler = logging.StreamHandler(stream)
    handler.addFilter(TokenFilter())
    return handler


def with_formatter(make: Callable[[], logging.Formatter]) -> Callable[[io.StringIO], logging.Handler]:
    def make_handler(stream: io.StringIO) -> logging.Handler:
        handler = logging.StreamHandler(stream)
        handler.setFormatter(make())
        return handler

    return make_handler


def uvicorn_access() -> logging.Formatter:
    access = pytest.importorskip("uvicorn.logging")
    return access.AccessFormatter('%(client_addr)s "%(request_line)s" %(status_code)s', use_colors=False)


class AccessJson(logging.Formatter):
    """Takes the arguments apart."""

    def format(self, record: logging.LogRecord) -> str:
        address, method, path, _, status = record.args
        return json.dumps({"client": address, "method": method, "path": str(path), "status": int(status)})


class OneLine(logging.Formatter):
    """The logging cookbook's formatter of exceptions."""

    def formatException(self, ei: Any) -> str:  # noqa: N802
        return repr(super().formatException(ei))

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return text.replace("\n", "") if record.exc_text else text


class NoTraceback(logging.Formatter):
    """As for a console, beside a file that has it."""

    def formatException(self, ei: Any) -> str:  # noqa: N802
        return f"{ei[0].__name__}: {ei[1]}"


class Qualified(logging.Formatter):
    """Names the function's caller, which it looks up on the stack."""

    def format(self, record: logging.LogRecord) -> str:
        frame = inspect.currentframe()
        while frame is not None and (frame.f_code.co_filename, frame.f_lineno) != (record.pathname, record.lineno):
            frame = frame.f_back
        found = frame and (frame.f_code.co_name, frame.f_lineno, frame.f_globals["__name__"])
        return f"{found} {super().format(record)}"


def hiding_exceptions(stream: io.StringIO) -> logging.Handler:
    def hide(record: logging.LogRecord) -> bool:
        record.exc_info = None
        return True

    handler = logging.StreamHandler(stream)
    handler.addFilter(hide)
    return handler


def colorlog_formatter() -> logging.Formatter:
    return pytest.importorskip("colorlog").ColoredFormatter("%(log_color)s%(levelname)s %(message)s", force_color=True)


def coloredlogs_formatter() -> logging.Formatter:
    return pytest.importorskip("coloredlogs").ColoredFormatter("%(name)s %(levelname)s %(message)s")


def json_log_formatter() -> logging.Formatter:
    class Formatter(pytest.importorskip("json_log_formatter").VerboseJSONFormatter):
        def json_record(self, *arguments: Any) -> Any:
            return {key: value for key, value in super().json_record(*arguments).items() if key not in CHANGING_KEYS}

    return Formatter()


CHANGING_KEYS = {"time", "process", "process_name", "processName", "thread", "thread_name", "threadName"}


def ecs_formatter() -> logging.Formatter:
    ecs = pytest.importorskip("ecs_logging")
    return ecs.StdlibFormatter(exclude_fields=["@timestamp", "process", "created", "msecs", "relative_created"])


def logfmt_formatter() -> logging.Formatter:
    return pytest.importorskip("logfmter").Logfmter(
        keys=["at", "file", "fn"], mapping={"at": "levelname", "file": "filename", "fn": "funcName"}
    )


def daiquiri_formatter() -> logging.Formatter:
    formatter = pytest.importorskip("daiquiri.formatter")
    return formatter.ColorExtrasFormatter(fmt="%(levelname)s %(name)s%(extras)s: %(message)s", keywords=set())


TOOLS: dict[str, tuple[Callable[[], object], Callable[[io.StringIO], logging.Handler]]] = {
    "uvicorn access": (requests, with_formatter(uvicorn_access)),
    "access as JSON": (requests, with_formatter(AccessJson)),
    "filter by type": (secrets, masking),
    "exceptions on one line": (failures, with_formatter(OneLine)),
    "no traceback": (failures, with_formatter(NoTraceback)),
    "exceptions hidden by a filter": (failures, hiding_exceptions),
    "looks at the stack": (failures, with_formatter(Qualified)),
    "colorlog": (failures, with_formatter(colorlog_formatter)),
    "coloredlogs": (failures, with_formatter(coloredlogs_formatter)),
    "json-log-formatter": (failures, with_formatter(json_log_formatter)),
    "ecs-logging": (failures, with_formatter(ecs_formatter)),
    "logfmter": (failures, with_formatter(logfmt_formatter)),
    "daiquiri": (failures, with_formatter(daiquiri_formatter)),
}


@pytest.mark.parametrize("tool", TOOLS)
def test_tools_and_recipes(tool: str, in_worker: Callable[..., None]) -> None:
    job, make = TOOLS[tool]
    own, workers = outputs(job, in_worker, make)
    assert workers == own
    assert "secret" not in own


def test_loguru_by_its_documented_handler(in_worker: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    loguru = pytest.importorskip("loguru")
    monkeypatch.setattr(logging.Logger, "callHandlers", call_handlers)  # Else Sentry's is the caller.
    seen: list[Any] = []

    class InterceptHandler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            level = loguru.logger.level(record.levelname).name
            frame, depth = inspect.currentframe(), 0
            while frame and (depth == 0 or frame.f_code.co_filename == logging.__file__):
                frame = frame.f_back
                depth += 1
            loguru.logger.opt(depth=depth, exception=record.exc_info).log(level, record.getMessage())
            if record.exc_info is None:  # As its documentation said before: the depth as a number.
                loguru.logger.opt(depth=6).log(level, record.getMessage())

    def sink(message: Any) -> None:
        record = message.record
        exception = record["exception"] and (record["exception"].type, str(record["exception"].value))
        names = ("name", "module", "function", "line", "message")
        seen.append((record["file"].path, record["level"].name, exception, *(record[name] for name in names)))

    loguru.logger.remove()
    loguru.logger.add(sink, format="{message}")
    try:
        with handled_by(InterceptHandler()):
            failures()
            requests()
            own, seen = seen, []
            in_worker(failures)
            in_worker(requests)
    finally:
        loguru.logger.remove()
    assert {(item[0], item[3], item[5]) for item in own} == {
        (__file__, __name__, name) for name in ("failures", "requests")
    }
    assert seen == own


def test_sentry_groups_by_the_template(in_worker: Callable[..., None]) -> None:
    collected = []
    for run in (lambda job: job(), in_worker):
        transport = Transport()
        sentry_sdk.init(
            dsn="https://key@localhost/1",
            transport=transport,
            default_integrations=False,
            integrations=[sentry_logging.LoggingIntegration(event_level=logging.INFO)],
        )
        try:
            run(objects)
            run(requests)
        finally:
            sentry_sdk.init()
        collected.append([event["logentry"] for event in transport.events])
    own, workers = collected
    assert [entry["message"] for entry in own].count(ACCESS) == 2
    # A date in the place of a message has been made text.
    assert [entry for entry in workers if entry["message"] != "2024-01-02"] == [
        entry for entry in own if str(entry["message"]) != "2024-01-02"
    ]


def test_opentelemetry_logs(in_worker: Callable[..., None]) -> None:
    logs = pytest.importorskip("opentelemetry.sdk._logs")
    export = pytest.importorskip("opentelemetry.sdk._logs.export")
    exporter = getattr(export, "InMemoryLogRecordExporter", None) or export.InMemoryLogExporter
    collected = []
    for run in (lambda job: job(), in_worker):
        memory, provider = exporter(), logs.LoggerProvider()
        provider.add_log_record_processor(export.SimpleLogRecordProcessor(memory))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # That the handler has moved to another distribution.
            handler = logs.LoggingHandler(logger_provider=provider)
        with handled_by(handler):
            run(failures)
        items = [getattr(item, "log_record", None) for item in memory.get_finished_logs()]
        collected.append([(item.body, item.severity_text, dict(item.attributes)) for item in items])
        provider.shutdown()
    own, workers = collected
    assert len(own) == 3
    assert workers == own


# Examples.

COLUMNS, LINES = 100, 100


def screen_of(*command: str) -> list[str]:
    """Runs a program in a terminal, and returns what is on the screen in the end, line by line."""
    pyte = pytest.importorskip("pyte")
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    environment = {**user_environment(), "TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": str(LINES)}
    process = subprocess.Popen([sys.executable, *command], stdin=child, stdout=child, stderr=child, env=environment)
    os.close(child)
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    with contextlib.suppress(OSError):  # The last process that had the other end has closed it.
        while data := os.read(parent, 2**16):
            stream.feed(data)
    os.close(parent)
    assert process.wait() == 0
    return [line.rstrip() for line in screen.display if line.strip()]


@pytest.mark.parametrize("start_method", START_METHODS)
@pytest.mark.parametrize("bar", ["tqdm", "rich"])
def test_a_progress_bar_stays_whole_under_the_lines_of_workers(bar: str, start_method: str) -> None:
    pytest.importorskip(bar)
    program = str(EXAMPLES / "progress_bar.py")
    *lines, progress, total = screen_of(program, "--bar", bar, "--start-method", start_method)
    assert total == "76960 primes were found"
    assert re.match(r"primes.*100%", progress)
    worker = WORKER_NAMES[start_method]
    pattern = {
        "tqdm": rf"(INFO|WARNING) +{worker} (.+)",
        "rich": rf"(?:\[\S+ \S+\])? +(INFO|WARNING) +{worker} (.+?) +progress_bar\.py:\d+",
    }[bar]
    found = [re.fullmatch(pattern, line) for line in lines]
    assert all(found), "\n".join(lines)
    assert sorted(match.groups() for match in found if match) == sorted(
        [
            *(("INFO", f"counting below {limit}") for limit in range(10_000, 130_000, 10_000)),
            ("WARNING", "50000 was a large one"),
            ("WARNING", "100000 was a large one"),
        ]
    )


@pytest.mark.parametrize("start_method", START_METHODS)
def test_structlog_writes_json_with_what_the_parent_has_bound(start_method: str, tmp_path: pathlib.Path) -> None:
    output = run_examples.run("structlog_json.py", tmp_path, "--start-method", start_method)
    lines = [json.loads(line) for line in output.splitlines()]
    by_parent = [line for line in lines if line["processName"] == "MainProcess"]
    by_workers = [line for line in lines if line["processName"] != "MainProcess"]
    customers = ["ada", "bob", "eve"]
    assert [(line["event"], line["customer"], line["order"]) for line in by_parent] == [
        ("taken", customer, order) for order, customer in enumerate(customers, 1)
    ]
    assert all(re.fullmatch(WORKER_NAMES[start_method], line["processName"]) for line in by_workers)
    assert all(line["jobId"] == line["order"] for line in by_workers)
    assert all(line["customer"] == customers[line["order"] - 1] for line in by_workers)
    shipping = [(line["order"], line["parcels"]) for line in by_workers if line["event"] == "shipping"]
    assert sorted(shipping) == [(order, [1, 2]) for order in (1, 2, 3)]
    (failed,) = (line for line in by_workers if line["event"] == "cannot be shipped")
    assert (failed["level"], failed["order"]) == ("error", 2)
    assert failed["exception"][0]["exc_type"] == "ZeroDivisionError"
    assert failed["exception"][0]["frames"][0]["name"] == "ship"
    assert len(by_workers) == 4


# Programs of README and docs that need other packages.

# Those of a Dask cluster are in test_dask_docs.py.
PROGRAMS = [
    program for page in PAGES for program in programs_of(page) if {*program.packages, "distributed"} != {"distributed"}
]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_a_program_in_the_docs_writes_what_is_below_it(program: Program, tmp_path: pathlib.Path) -> None:
    for package in program.packages:
        if find_spec(package) is None:  # Not imported: some packages open files for good.
            pytest.skip(f"needs {package}")
    check_program(program, tmp_path)


def test_the_lines_for_joblib_in_readme_take_the_place_of_the_executors(tmp_path: pathlib.Path) -> None:
    if find_spec("joblib") is None:
        pytest.skip("needs joblib")
    snippet = next(text for language, text in README_BLOCKS if language == "python" and "joblib" in text)
    imports, lines = snippet.split("\n\n")
    program = program_of_readme()
    head, executor, _ = program.source.partition("    with LoggingProcessPoolExecutor()")
    assert executor
    source = f"{imports}\n{head}{textwrap.indent(lines, '    ')}"
    check_program(program._replace(source=source), tmp_path)
