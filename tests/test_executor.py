"""LoggingProcessPoolExecutor in place of ProcessPoolExecutor: what doesn't change, and what comes true."""

from __future__ import annotations

import asyncio
import inspect
import logging
import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed, wait
from logging.handlers import QueueHandler
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

import pytest

import jobs
from conftest import START_METHODS, Records, Run, descriptors
from logpool import LoggingProcessPoolExecutor
from logpool._parent.manager import LogManager
from logpool._transport.queue import LogQueue


def parameters(function: Callable[..., object]) -> list[tuple[str, object, object]]:
    return [(item.name, item.kind, item.default) for item in inspect.signature(function).parameters.values()]


def test_it_is_a_process_pool_executor_with_the_same_arguments() -> None:
    stock, ours = ProcessPoolExecutor, LoggingProcessPoolExecutor
    assert issubclass(ours, stock)
    arguments = parameters(stock.__init__)
    assert parameters(ours.__init__)[: len(arguments)] == arguments
    assert {kind for _, kind, _ in parameters(ours.__init__)[len(arguments) :]} == {inspect.Parameter.KEYWORD_ONLY}
    for name in ("submit", "map", "shutdown"):
        assert parameters(getattr(ours, name)) == parameters(getattr(stock, name))


def test_jobs_futures_and_asyncio_work_as_before(context: BaseContext) -> None:
    with LoggingProcessPoolExecutor(2, context) as executor:
        assert list(executor.map(jobs.square, range(5), chunksize=2)) == [0, 1, 4, 9, 16]
        futures = [executor.submit(jobs.square, number) for number in range(5)]
        assert {future.result() for future in as_completed(futures)} == {0, 1, 4, 9, 16}
        assert wait(futures).not_done == set()

        async def main() -> int:
            return await asyncio.get_running_loop().run_in_executor(executor, jobs.square, 12)

        assert asyncio.run(main()) == 144
        with pytest.raises(TypeError):
            executor.submit(jobs.square, "text").result()


def test_records_are_handled_by_the_parents_loggers(context: BaseContext, records: Records) -> None:
    own = Records()
    logger = logging.getLogger("app.sub")
    logger.addHandler(own)
    try:
        with LoggingProcessPoolExecutor(2, context) as executor:
            pid = executor.submit(jobs.log, "of %d", 7, name="app.sub").result()
    finally:
        logger.removeHandler(own)
    assert own.messages == records.messages == ["of 7"]
    (record,) = records.records
    assert (record.process, record.name, record.levelname) == (pid, "app.sub", "INFO")
    assert record.process != os.getpid()
    assert record.processName != multiprocessing.current_process().name


def test_all_records_are_handled_before_the_with_block_ends(context: BaseContext, records: Records) -> None:
    with LoggingProcessPoolExecutor(2, context) as executor:
        for _ in range(4):
            executor.submit(jobs.log_numbers, 500)
    assert len(records.records) == 2000


def test_records_of_a_thread_keep_their_order(context: BaseContext, records: Records) -> None:
    with LoggingProcessPoolExecutor(2, context) as executor:
        executor.submit(jobs.log_from_threads, 4, 300)
        executor.submit(jobs.log_from_threads, 4, 300)
    by_thread: dict[tuple[Any, ...], list[str]] = {}
    for record in records.records:
        by_thread.setdefault((record.process, record.name), []).append(record.getMessage())
    assert sum(map(len, by_thread.values())) == 2400
    for messages in by_thread.values():
        assert messages == [str(number) for number in [*range(300)] * (len(messages) // 300)]


def test_handlers_and_filters_of_the_parent_run_once_and_in_the_parent(context: BaseContext, records: Records) -> None:
    seen: list[int] = []

    def look(record: logging.LogRecord) -> bool:
        seen.append(os.getpid())
        return "secret" not in record.getMessage()

    logger = logging.getLogger("app")
    logger.addFilter(look)
    try:
        with LoggingProcessPoolExecutor(1, context) as executor:
            executor.submit(jobs.log, "public")
            executor.submit(jobs.log, "secret")
    finally:
        logger.removeFilter(look)
    assert records.messages == ["public"]
    assert seen == [os.getpid()] * 2


def test_a_record_with_no_handler_goes_to_the_last_resort(
    context: BaseContext, capsys: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    handlers, root.handlers = root.handlers, []
    try:
        with LoggingProcessPoolExecutor(1, context) as executor:
            executor.submit(jobs.log, "of last resort", level=logging.ERROR)
    finally:
        root.handlers = handlers
    assert capsys.readouterr().err == "of last resort\n"


def test_the_parents_propagate_is_kept(context: BaseContext, records: Records) -> None:
    own = Records()
    logger = logging.getLogger("app.own")
    logger.addHandler(own)
    logger.propagate = False
    try:
        with LoggingProcessPoolExecutor(1, context) as executor:
            executor.submit(jobs.log, "private", name="app.own.sub")
    finally:
        logger.propagate = True
        logger.removeHandler(own)
    assert own.messages == ["private"]
    assert records.messages == []


def test_the_users_initializer_runs_after_ours_with_its_arguments(context: BaseContext, records: Records) -> None:
    with LoggingProcessPoolExecutor(1, context, jobs.initialize, ("five",)) as executor:
        assert executor.submit(jobs.state).result() == ["five"]
    assert records.messages == ["initializer got five"]


def test_a_failing_initializer_is_reported_by_the_parents_handlers(context: BaseContext, records: Records) -> None:
    with LoggingProcessPoolExecutor(1, context, jobs.fail_to_initialize) as executor:
        assert executor.submit(jobs.square, 2).exception() is not None
    (record,) = [record for record in records.records if record.name == "concurrent.futures"]
    assert record.getMessage() == "Exception in initializer:"
    assert "ValueError: no good" in (record.exc_text or "")


def test_captured_output_can_be_looked_at_inside_the_block(
    context: BaseContext, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO), LoggingProcessPoolExecutor(2, context) as executor:
        for _ in range(3):
            executor.submit(jobs.log_numbers, 100).result()
            assert executor.flush_logs()
            assert len(caplog.records) == 100
            caplog.clear()


def test_flush_logs_tells_when_a_handler_is_too_slow(
    context: BaseContext, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("logpool._parent.pool_thread.STUCK", 0.1)  # Seconds for which results wait.
    release = threading.Event()
    records.addFilter(lambda record: release.wait())
    with LoggingProcessPoolExecutor(1, context) as executor:
        assert executor.flush_logs(timeout=0)
        executor.submit(jobs.log, "slow").result()
        assert not executor.flush_logs(timeout=0.01)
        assert records.messages == []
        release.set()
        assert executor.flush_logs(timeout=30)
        assert records.messages == ["slow"]
    assert executor.flush_logs()


def test_flush_logs_of_several_threads_at_once(records: Records) -> None:
    with LoggingProcessPoolExecutor(2) as executor, ThreadPoolExecutor(8) as threads:

        def log_and_flush(number: int) -> bool:
            executor.submit(jobs.log, "%d", number).result()
            return executor.flush_logs() and str(number) in records.messages

        assert all(threads.map(log_and_flush, range(100)))


def test_log_handlers_get_the_records_and_the_loggers_do_not(context: BaseContext, records: Records) -> None:
    everything, errors = Records(), Records()
    errors.setLevel(logging.ERROR)
    with LoggingProcessPoolExecutor(1, context, log_handlers=[everything, errors]) as executor:
        executor.submit(jobs.log, "fine")
        executor.submit(jobs.log, "broken", level=logging.ERROR)
    assert everything.messages == ["fine", "broken"]
    assert errors.messages == ["broken"]
    assert records.messages == []


def test_no_log_handlers_at_all_means_no_output(records: Records) -> None:
    with LoggingProcessPoolExecutor(1, log_handlers=[]) as executor:
        executor.submit(jobs.log, "unheard")
    assert records.messages == []


@pytest.mark.parametrize("level", [logging.DEBUG, "DEBUG"])
def test_log_level_is_the_workers_root_level(context: BaseContext, level: int | str) -> None:
    handler = Records()
    assert logging.getLogger().level > logging.DEBUG
    with LoggingProcessPoolExecutor(1, context, log_handlers=[handler], log_level=level) as executor:
        executor.submit(jobs.log, "detail", level=logging.DEBUG)
    assert handler.messages == ["detail"]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"log_handlers": ["console"]}, TypeError, "must be a logging.Handler object, not 'console'"),
        ({"log_handlers": logging.NullHandler()}, TypeError, "must be an iterable of logging.Handler objects"),
        ({"log_level": "LOUD"}, ValueError, "unknown log level: 'LOUD'"),
        ({"log_level": 2.5}, TypeError, "the log level must be an int or the name of a level"),
        ({"log_backlog": 0}, ValueError, "greater than 0"),
        ({"log_backlog": "64M"}, TypeError, "must be an int, a number of bytes"),
        ({"max_workers": 0}, ValueError, "max_workers must be greater than 0"),
        ({"initializer": "init"}, TypeError, "initializer must be a callable"),
        ({"max_tasks_per_child": 0}, ValueError, "max_tasks_per_child must be >= 1"),
        ({"max_tasks_per_child": "1"}, TypeError, "max_tasks_per_child must be an integer"),
        ({"mp_context": "spawn"}, TypeError, "mp_context must be a multiprocessing context"),
    ],
)
def test_bad_arguments_raise_before_anything_is_started(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    before = len(descriptors())
    with pytest.raises(error, match=message):
        LoggingProcessPoolExecutor(**arguments)
    assert multiprocessing.active_children() == []
    assert len(descriptors()) <= before


BAD_ARGUMENTS = """
import multiprocessing, os, sys
from pathlib import Path
from logpool import LoggingProcessPoolExecutor

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    before = len(os.listdir("/proc/self/fd"))
    for name, value in {"log_level": "LOUD", "max_workers": 0, "initializer": 1, "max_tasks_per_child": 0}.items():
        try:
            LoggingProcessPoolExecutor(mp_context=context, **{name: value})
        except (TypeError, ValueError):
            children = Path("/proc/thread-self/children").read_text().split()
            print(name, len(os.listdir("/proc/self/fd")) - before, len(children))
"""


@pytest.mark.parametrize("start_method", START_METHODS)
def test_bad_arguments_start_none_of_the_helpers_of_multiprocessing(run_program: Run, start_method: str) -> None:
    ended = run_program(BAD_ARGUMENTS, start_method)
    assert ended.stderr == ""
    names = ("log_level", "max_workers", "initializer", "max_tasks_per_child")
    assert ended.stdout.splitlines() == [f"{name} 0 0" for name in names]


def test_flush_logs_is_false_where_the_listener_was_stopped(records: Records) -> None:
    with LoggingProcessPoolExecutor(1) as executor:
        assert executor.flush_logs()
        executor.submit(jobs.log, "one").result()
        assert executor.flush_logs()
        executor.log_listener.stop()
        executor.submit(jobs.log, "two").result()
        assert not executor.flush_logs()
        executor.log_listener.start()
        assert executor.flush_logs()
        assert records.messages == ["one", "two"]
    assert executor.flush_logs()


def test_max_tasks_per_child_chooses_spawn_and_each_worker_takes_the_levels_of_its_start(records: Records) -> None:
    logger = logging.getLogger("app")
    with LoggingProcessPoolExecutor(1, max_tasks_per_child=1) as executor:
        try:
            logger.setLevel(logging.ERROR)
            assert executor.submit(jobs.effective_level, "app").result() == logging.ERROR
            logger.setLevel(logging.WARNING)
            # The next worker is started as the one before ends, which is before its result is known here.
            levels = [executor.submit(jobs.effective_level, "app").result() for _ in range(3)]
            assert levels[-1] == logging.WARNING
        finally:
            logger.setLevel(logging.NOTSET)


def test_a_worker_that_starts_late_takes_the_levels_of_its_start(tmp_path: Path, records: Records) -> None:
    # With spawn, workers are started as jobs come.
    os.mkfifo(gate := tmp_path / "gate")
    logger = logging.getLogger("app.late")
    try:
        with LoggingProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as executor:
            logger.setLevel(logging.ERROR)
            executor.submit(jobs.log_and_wait_for, str(gate))
            records.wait_for("waiting")
            logger.setLevel(logging.DEBUG)
            assert executor.submit(jobs.effective_level, "app.late").result() == logging.DEBUG
            gate.write_text("")
    finally:
        logger.setLevel(logging.NOTSET)


def test_the_queue_and_the_listener_are_the_standard_librarys_by_type() -> None:
    from logging.handlers import QueueListener

    with LoggingProcessPoolExecutor(1) as executor:
        assert isinstance(executor.log_listener, QueueListener)
        assert executor.log_listener.queue is executor.log_queue
        assert executor.log_queue.empty()


def test_a_nested_pools_records_reach_the_outermost_parent_once(context: BaseContext, records: Records) -> None:
    with LoggingProcessPoolExecutor(1, context) as executor:
        inner = executor.submit(nested, context.get_start_method()).result()
    (record,) = [record for record in records.records if record.getMessage() == "from within"]
    assert record.process == inner != os.getpid()


def nested(start_method: str) -> int:
    with LoggingProcessPoolExecutor(1, multiprocessing.get_context(start_method)) as executor:
        return executor.submit(jobs.log, "from within").result()


def test_a_handler_of_the_parent_may_log_itself(records: Records) -> None:
    other = logging.getLogger("other")

    class Chatty(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.name == "app":
                other.info("handled %s", record.getMessage())

    chatty = Chatty()
    logging.getLogger().addHandler(chatty)
    with LoggingProcessPoolExecutor(1) as executor:
        executor.submit(jobs.log, "one")
    assert sorted(records.messages) == ["handled one", "one"]


def test_a_signal_handler_that_logs_in_the_middle_of_a_write_splits_no_frame(
    context: BaseContext, records: Records
) -> None:
    with LoggingProcessPoolExecutor(1, context) as executor:
        interrupts = executor.submit(log_while_a_timer_logs, 400, 200_000).result()
    long = [message for message in records.messages if message.startswith("long")]
    assert interrupts > 0
    assert long == [f"long {number} {'x' * 200_000}" for number in range(400)]
    assert records.messages.count("tick") == interrupts
    assert len(records.messages) == 400 + interrupts


def log_while_a_timer_logs(count: int, size: int) -> int:
    """Large records fill the socket, so that a write waits in its middle, which is where the timer strikes.

    It is faster than a connection to the manager can be made: handlers must not pile up for that.
    """
    logger = logging.getLogger("app")
    ticks = 0

    def tick(number: int, frame: object) -> None:
        nonlocal ticks
        ticks += 1
        logger.info("tick")

    signal.signal(signal.SIGALRM, tick)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        for number in range(count):
            logger.info("long %d %s", number, "x" * size)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return ticks


class Owner:
    """An object that has an executor, as an application's service may."""

    def __init__(self, executor: LoggingProcessPoolExecutor) -> None:
        self.executor = executor

    def work(self) -> None:
        """Does nothing."""


def test_an_executor_that_is_pickled_says_what_to_do(context: BaseContext) -> None:
    with LoggingProcessPoolExecutor(1, context) as executor:
        error = executor.submit(Owner(executor).work).exception()
        with pytest.raises(TypeError, match="LoggingProcessPoolExecutor"):
            pickle.dumps(executor)
    assert isinstance(error, TypeError)
    assert "cannot pickle 'LoggingProcessPoolExecutor' object" in str(error)
    assert "submit a function, or leave the executor out" in str(error)


@pytest.mark.parametrize("start_method", START_METHODS)
def test_flush_logs_returns_when_the_manager_could_not_be_started(
    start_method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: LogManager) -> None:
        raise BlockingIOError

    monkeypatch.setattr(LogManager, "prepare", fail)
    with LoggingProcessPoolExecutor(1, multiprocessing.get_context(start_method)) as executor:
        with pytest.raises(BlockingIOError):
            executor.submit(jobs.square, 2)
        assert executor.flush_logs()


def log_into(queue: LogQueue) -> None:
    handler = QueueHandler(queue)
    handler.handle(logging.makeLogRecord({"name": "app", "levelno": logging.INFO, "msg": "from another process"}))


@pytest.mark.parametrize("flush", [True, False])
def test_records_of_a_process_that_was_handed_the_queue_are_handled(
    context: BaseContext, records: Records, flush: bool
) -> None:
    start: Callable[..., Any] = context.Process
    with LoggingProcessPoolExecutor(1, context) as executor:
        process = start(target=log_into, args=(executor.log_queue,))
        process.start()
        process.join()
        process.close()
        if flush:
            assert executor.flush_logs()
            assert records.messages == ["from another process"]
            assert executor.submit(jobs.square, 2).result() == 4
    assert records.messages == ["from another process"]
