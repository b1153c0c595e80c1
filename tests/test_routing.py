"""Which handlers a worker's record goes to."""

from __future__ import annotations

import io
import logging
import os
import pickle
import sys
from collections.abc import Callable
from logging.handlers import MemoryHandler
from multiprocessing.context import BaseContext
from pathlib import Path

import pytest

from conftest import START_METHODS, Records, Run
from logpool import LoggingProcessPoolExecutor, LogRelay
from logpool._worker.stand_ins import StandIn, describe, identity_of, is_same

log = logging.getLogger("routed")


def add_file_and_log(path: str, message: str, *, propagate: bool = True) -> None:
    handler = logging.FileHandler(path)
    log.addHandler(handler)
    log.propagate = propagate
    log.info(message)
    log.removeHandler(handler)
    handler.close()


def test_a_handler_of_the_workers_own_is_used_beside_the_parents(
    context: BaseContext, records: Records, tmp_path: Path
) -> None:
    with LoggingProcessPoolExecutor(1, context) as executor:
        executor.submit(add_file_and_log, str(tmp_path / "own.log"), "both").result()
    assert (tmp_path / "own.log").read_text() == "both\n"
    assert records.messages == ["both"]


def test_a_record_that_was_kept_from_the_parents_handlers_is_handled_by_the_workers_alone(
    context: BaseContext, records: Records, tmp_path: Path
) -> None:
    with LoggingProcessPoolExecutor(1, context) as executor:
        executor.submit(add_file_and_log, str(tmp_path / "own.log"), "own", propagate=False).result()
    assert (tmp_path / "own.log").read_text() == "own\n"
    assert records.messages == []


def test_handlers_of_the_executor_get_each_record(context: BaseContext, records: Records, tmp_path: Path) -> None:
    own = Records()
    log.setLevel("INFO")
    with LoggingProcessPoolExecutor(1, context, log_handlers=[own]) as executor:
        executor.submit(add_file_and_log, str(tmp_path / "own.log"), "own", propagate=False).result()
    log.setLevel("NOTSET")
    assert own.messages == ["own"]


def without_any_handler() -> None:
    logging.getLogger().handlers = []
    log.propagate = False
    log.info("nothing cuts the way to the parent")


def test_nothing_cuts_the_way_to_the_parent(context: BaseContext, records: Records) -> None:
    with LoggingProcessPoolExecutor(1, context) as executor:
        executor.submit(without_any_handler).result()
    assert records.messages == ["nothing cuts the way to the parent"]


def log_by_root_helper(relay: LogRelay) -> None:
    relay.install()
    logging.basicConfig(level="INFO", force=True)
    log.info("once")


def test_children_of_a_relay_are_routed_in_the_same_way(
    context: BaseContext, records: Records, capfd: pytest.CaptureFixture[str]
) -> None:
    console = logging.StreamHandler()
    logging.getLogger().addHandler(console)
    with LogRelay(context) as relay:
        child = context.Process(target=log_by_root_helper, args=(relay,))  # type: ignore[attr-defined]
        child.start()
        child.join()
    assert records.messages == ["once"]
    assert capfd.readouterr().err == "once\n"


def overwrite(path: str) -> None:
    handler = logging.FileHandler(path, "w")
    log.addHandler(handler)
    log.info("beside")
    log.removeHandler(handler)
    handler.close()


def test_a_file_of_the_parents_is_not_emptied_by_a_handler_of_another_logger(
    context: BaseContext, records: Records, tmp_path: Path
) -> None:
    path = tmp_path / "app.log"
    parents = logging.FileHandler(path)
    logging.getLogger().addHandler(parents)
    log.info("begin")
    with LoggingProcessPoolExecutor(1, context) as executor:
        executor.submit(overwrite, str(path)).result()
    parents.close()
    assert path.read_text() == "begin\nbeside\nbeside\n"


@pytest.mark.parametrize("start_method", START_METHODS)
@pytest.mark.parametrize(
    "attach",
    [
        "listener = QueueListener(lines, file); logging.getLogger().addHandler(QueueHandler(lines))",
        "logging.getLogger().addHandler(MemoryHandler(1, target=file))",
    ],
    ids=["a listener's", "another handler's"],
)
def test_a_file_of_the_parents_is_not_emptied_wherever_its_handler_hangs(
    run_program: Run, tmp_path: Path, start_method: str, attach: str
) -> None:
    (tmp_path / "setup.py").write_text(f"""
import logging, queue
from logging.handlers import MemoryHandler, QueueHandler, QueueListener

lines = queue.SimpleQueue()
file = logging.FileHandler("log", "w")
logger = logging.getLogger()
{attach}
""")
    (tmp_path / "work.py").write_text("""
def work(number):
    import setup
    setup.logger.warning("job %d", number)
""")
    ended = run_program(
        """
import multiprocessing, sys
from logpool import LoggingProcessPoolExecutor
from work import work

if __name__ == "__main__":
    import setup
    setup.file.emit(setup.logging.makeLogRecord({"msg": "begin"}))
    with LoggingProcessPoolExecutor(1, multiprocessing.get_context(sys.argv[1]), work, (0,)) as executor:
        executor.submit(work, 1).result()
    setup.file.emit(setup.logging.makeLogRecord({"msg": "end"}))
""",
        start_method,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = (tmp_path / "log").read_text().splitlines()
    assert (lines[0], lines[-1]) == ("begin", "end")
    assert all(line in ("begin", "job 0", "job 1", "end") for line in lines)


def capture() -> str:
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(logging.getLogger().handlers[0].formatter)
    logging.getLogger().addHandler(handler)
    log.info("captured")
    logging.getLogger().removeHandler(handler)
    return text.getvalue()


def test_a_job_that_captures_its_log_in_the_parents_format_gets_it(
    context: BaseContext, records: Records, capfd: pytest.CaptureFixture[str]
) -> None:
    console = logging.StreamHandler()
    console.setFormatter(logging.Formatter("%(levelname)s|%(message)s"))
    logging.getLogger().handlers.insert(0, console)
    with LoggingProcessPoolExecutor(1, context) as executor:
        assert executor.submit(capture).result() == "INFO|captured\n"
    assert capfd.readouterr().err == "INFO|captured\n"


class Console(logging.StreamHandler):  # type: ignore[type-arg]
    pass


class Alone(logging.Handler):
    pass


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (logging.StreamHandler, logging.StreamHandler, True),
        (lambda: logging.StreamHandler(sys.stdout), logging.StreamHandler, False),
        (Console, logging.StreamHandler, True),  # To one stream.
        (Alone, Alone, True),
        (Alone, logging.NullHandler, False),
        (Alone, logging.StreamHandler, False),
        (lambda: logging.FileHandler(os.devnull), lambda: logging.FileHandler(os.devnull, "w"), True),
        (lambda: logging.StreamHandler(io.StringIO()), logging.StreamHandler, False),
        (lambda: logging.StreamHandler(io.StringIO()), lambda: logging.StreamHandler(io.StringIO()), False),
        (lambda: Console(io.StringIO()), lambda: logging.StreamHandler(io.StringIO()), False),
        (lambda: MemoryHandler(9), lambda: MemoryHandler(9), True),
        (lambda: MemoryHandler(9, target=logging.StreamHandler()), logging.StreamHandler, True),
        (lambda: MemoryHandler(9, target=logging.StreamHandler(io.StringIO())), logging.StreamHandler, False),
        (lambda: logging.FileHandler(os.devnull), lambda: logging.FileHandler("other.log", delay=True), False),
    ],
)
def test_handlers_do_the_same_if_they_write_to_one_place(
    one: Callable[[], logging.Handler], other: Callable[[], logging.Handler], same: bool
) -> None:
    handlers = one(), other()
    assert is_same(*map(identity_of, handlers)) is same
    for handler in handlers:
        handler.close()


@pytest.mark.parametrize("make", [Console, Alone, logging.NullHandler, lambda: logging.FileHandler(os.devnull)])
def test_a_stand_in_looks_like_what_it_stands_for(make: Callable[[], logging.Handler]) -> None:
    handler = make()
    handler.setLevel("ERROR")
    handler.setFormatter(logging.Formatter("%(levelname)s|%(message)s"))
    handler.set_name("a handler's name")
    stand_in = StandIn.of(pickle.loads(pickle.dumps(describe(handler))))
    assert logging._handlers["a handler's name"] is stand_in  # type: ignore[attr-defined]
    assert stand_in.get_name() == "a handler's name"
    assert stand_in.formatter is not None
    assert stand_in.formatter.format(logging.makeLogRecord({"levelname": "X", "msg": "y"})) == "X|y"
    for name in ("mode", "encoding", "delay", "maxBytes", "backupCount", "capacity"):
        assert getattr(stand_in, name, None) == getattr(handler, name, None)
    assert isinstance(stand_in, type(handler))
    assert type(stand_in).__name__ == type(handler).__name__
    assert stand_in.level == logging.ERROR
    assert getattr(stand_in, "stream", None) is getattr(handler, "stream", None) or isinstance(
        handler, logging.FileHandler
    )
    assert getattr(stand_in, "baseFilename", None) == getattr(handler, "baseFilename", None)
    stand_in.handle(logging.makeLogRecord({}))
    stand_in.flush()
    stand_in.close()
    assert describe(stand_in) == describe(handler)
    handler.close()
