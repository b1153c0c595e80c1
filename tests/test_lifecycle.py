"""Every ending of a pool is clean: each record is handled, nothing hangs, nothing is left behind.

That nothing is left behind in this process is looked at after each test, by a fixture.
"""

from __future__ import annotations

import gc
import inspect
import logging
import logging.handlers
import multiprocessing
import os
import pickle
import signal
import tempfile
import textwrap
import threading
import traceback
from concurrent.futures import Future, process, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, resource_tracker
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

import pytest

import jobs
from conftest import START_METHODS, Records, Run, descriptors
from logpool import LoggingProcessPoolExecutor
from logpool._parent.crash_reporter import CrashReporter
from logpool._parent.listener import RelayListener
from logpool._parent.manager import Handover, LogManager
from logpool._parent.pool_thread import PoolThread, Waiter, Wakeup
from logpool._parent.service import RelayService
from logpool._process import cpython
from logpool._transport.queue import LogQueue
from logpool._worker.pool_queues import CallQueue

PROGRAM = """
import logging, multiprocessing, os, sys, threading, time
from logpool import LoggingProcessPoolExecutor

def work(count):
    for number in range(count):
        logging.getLogger("app").info("%d", number)
    return count

def wait_at(gate):
    with open(gate) as opened:
        opened.read()
    work(1)

if __name__ == "__main__":
    logging.basicConfig(filename="log", format="%(message)s", level="INFO")
    executor = LoggingProcessPoolExecutor(2, multiprocessing.get_context(sys.argv[1]))
{body}
"""


def program(body: str) -> str:
    return PROGRAM.format(body=textwrap.indent(textwrap.dedent(body), "    "))


@pytest.mark.parametrize("start_method", START_METHODS)
@pytest.mark.parametrize(
    ("body", "count"),
    [
        pytest.param("executor.submit(work, 50)", 50, id="exit with a job pending"),
        pytest.param("for _ in range(20): executor.submit(work, 50)", 1000, id="exit with many jobs pending"),
        pytest.param("executor.submit(work, 50).result()", 50, id="exit without shutdown"),
        pytest.param(
            "executor.submit(work, 50).result(); executor.shutdown(wait=False)", 50, id="wait=False, then exit"
        ),
        pytest.param("executor.submit(work, 50).result(); del executor", 50, id="del, then exit"),
        pytest.param(
            """
            os.mkfifo("gate")
            executor.submit(wait_at, "gate")
            del executor
            open("gate", "w").close()
            """,
            1,
            id="del with a job running, then exit",
        ),
        pytest.param("", 0, id="never used, then exit"),
        pytest.param("del executor", 0, id="never used, del, then exit"),
        pytest.param("executor.shutdown()", 0, id="never used, shutdown"),
        pytest.param("executor.shutdown(wait=False)", 0, id="never used, wait=False"),
        pytest.param(
            """
            def later():
                threading.main_thread().join()
                try:
                    executor.submit(work, 1)
                except RuntimeError:
                    logging.info("refused")
            executor.submit(work, 50).result()
            threading.Thread(target=later).start()
            """,
            51,
            id="submit while the interpreter shuts down",
        ),
        pytest.param(
            """
            import atexit
            @atexit.register
            def last():
                try:
                    executor.submit(work, 1)
                except RuntimeError:
                    logging.info("refused")
            """,
            1,
            id="first submit at exit",
        ),
        pytest.param("executor.submit(work, 50).result(); raise SystemExit(0)", 50, id="SystemExit"),
    ],
)
def test_an_interpreter_that_exits_has_all_records_handled(
    run_program: Run, tmp_path: Path, start_method: str, body: str, count: int
) -> None:
    ended = run_program(program(body), start_method)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert len((tmp_path / "log").read_text().splitlines()) == count


def test_an_interpreter_that_exits_by_an_exception_has_all_records_handled(run_program: Run, tmp_path: Path) -> None:
    ended = run_program(program("executor.submit(work, 50)\nraise ValueError('the end')"), "spawn")
    assert ended.returncode == 1
    assert ended.stderr.endswith("ValueError: the end\n")
    assert len((tmp_path / "log").read_text().splitlines()) == 50


def the_thread_of_the_pool() -> threading.Thread:
    (found,) = (thread for thread in threading.enumerate() if isinstance(thread, process._ExecutorManagerThread))
    return found


def test_a_pool_that_is_deleted_ends_by_itself(context: BaseContext, records: Records) -> None:
    executor = LoggingProcessPoolExecutor(2, context)
    executor.submit(jobs.log_numbers, 100).result()
    pool_thread = the_thread_of_the_pool()
    del executor
    gc.collect()
    pool_thread.join(30)
    assert not pool_thread.is_alive()
    assert len(records.records) == 100


def test_shutdown_without_waiting_ends_by_itself(context: BaseContext, records: Records) -> None:
    executor = LoggingProcessPoolExecutor(2, context)
    executor.submit(jobs.log_numbers, 100)
    pool_thread = the_thread_of_the_pool()
    executor.shutdown(wait=False)
    pool_thread.join(30)
    assert len(records.records) == 100


def test_an_executor_that_was_shut_down_holds_nothing_open(context: BaseContext, records: Records) -> None:
    before = descriptors()
    executor = LoggingProcessPoolExecutor(2, context)
    executor.submit(jobs.log_numbers, 1).result()
    executor.shutdown()
    gc.collect()
    assert len(descriptors()) <= len(before)
    another = LoggingProcessPoolExecutor(2, context)
    another.submit(jobs.log_numbers, 1)
    pool_thread = the_thread_of_the_pool()
    another.shutdown(wait=False)
    pool_thread.join(30)
    del pool_thread
    gc.collect()
    assert len(descriptors()) <= len(before)


def test_an_interrupt_in_the_first_submit_leaves_nothing_behind(
    context: BaseContext, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = RelayListener.start

    def start_and_be_interrupted(listener: RelayListener) -> None:
        start(listener)
        raise KeyboardInterrupt

    monkeypatch.setattr(RelayListener, "start", start_and_be_interrupted)
    threads = set(threading.enumerate())
    with pytest.raises(KeyboardInterrupt), LoggingProcessPoolExecutor(2, context) as executor:
        executor.submit(jobs.log_numbers, 1)
    assert_nothing_is_left(threads)


def assert_nothing_is_left(threads: set[threading.Thread]) -> None:
    assert set(threading.enumerate()) == threads
    for process_left in multiprocessing.active_children():
        process_left.join(30)
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("start_method", START_METHODS)
@pytest.mark.parametrize(
    ("owner", "name", "error"),
    [
        (Handover, "start", BlockingIOError),
        (RelayService, "launch", KeyboardInterrupt),
    ],
    ids=["no process", "interrupted"],
)
def test_a_pool_that_has_a_worker_and_came_to_no_manager_leaves_nothing_behind_and_can_be_used_later(
    start_method: str,
    owner: type[object],
    name: str,
    error: type[BaseException],
    records: Records,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise error

    threads = set(threading.enumerate())
    with LoggingProcessPoolExecutor(1, multiprocessing.get_context(start_method)) as executor:
        with monkeypatch.context() as no_manager:
            no_manager.setattr(owner, name, fail)
            with pytest.raises(error):
                executor.submit(jobs.log_numbers, 1)
        assert_nothing_is_left(threads)
        executor.submit(jobs.log_numbers, 10).result()
    assert records.messages[-10:] == [str(number) for number in range(10)]
    assert_nothing_is_left(threads)


def test_an_interrupt_while_all_is_prepared_leaves_nothing_behind(
    context: BaseContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = LogManager.prepare

    def prepare_and_be_interrupted(manager: LogManager) -> None:
        prepare(manager)
        raise KeyboardInterrupt  # As it comes when signals are no longer held.

    monkeypatch.setattr(LogManager, "prepare", prepare_and_be_interrupted)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = descriptors()
    with pytest.raises(KeyboardInterrupt), LoggingProcessPoolExecutor(1, context) as executor:
        executor.submit(jobs.log_numbers, 1)
    assert list(tmp_path.glob("logpool-*")) == []
    executor = None
    gc.collect()
    assert len(descriptors()) <= len(before)


@pytest.mark.parametrize("start_method", ["forkserver", "spawn"])
def test_there_is_no_queue_for_who_asks_when_a_pool_without_a_manager_was_shut_down(start_method: str) -> None:
    threads = set(threading.enumerate())
    executor = LoggingProcessPoolExecutor(1, multiprocessing.get_context(start_method), initializer=lambda: None)
    with pytest.raises((pickle.PicklingError, AttributeError)):
        executor.submit(int)
    executor.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"):
        _ = executor.log_queue
    assert_nothing_is_left(threads)


@pytest.mark.parametrize("start_method", ["forkserver", "spawn"])
def test_a_parent_that_is_killed_before_it_has_started_a_manager_leaves_no_directory(
    run_program: Run, start_method: str
) -> None:
    ended = run_program(
        """
import multiprocessing, os, signal, sys
from logpool import LoggingProcessPoolExecutor
from logpool._parent.manager import LogManager

def be_killed(manager):
    print(manager.directory if os.path.exists(manager.directory) else "none", end="")
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    LogManager.launch = be_killed
    LoggingProcessPoolExecutor(1, multiprocessing.get_context(sys.argv[1])).submit(int)
""",
        start_method,
    )
    # Its output ends when the worker, which has the same, has ended.
    assert ended.returncode == -signal.SIGKILL
    assert Path(ended.stdout).name.startswith("logpool-")
    assert not Path(ended.stdout).exists()


@pytest.mark.parametrize("wait", [True, False])
def test_a_pool_whose_thread_cannot_be_started_leaves_nothing_behind(
    context: BaseContext, records: Records, monkeypatch: pytest.MonkeyPatch, wait: bool
) -> None:
    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(process._ExecutorManagerThread, "start", fail, raising=False)
    threads = set(threading.enumerate())
    executor = LoggingProcessPoolExecutor(2, context)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        executor.submit(jobs.log_numbers, 1)
    executor.shutdown(wait)
    assert_nothing_is_left(threads)


def test_shutdown_waits_for_the_records_after_one_that_did_not_wait(context: BaseContext, records: Records) -> None:
    executor = LoggingProcessPoolExecutor(2, context)
    executor.submit(jobs.log_numbers, 100)
    executor.shutdown(wait=False)
    executor.shutdown(wait=True)
    assert len(records.records) == 100


def test_shutdown_may_be_called_again(context: BaseContext, records: Records) -> None:
    executor = LoggingProcessPoolExecutor(2, context)
    executor.submit(jobs.log_numbers, 100)
    executor.shutdown()
    executor.shutdown()
    executor.shutdown(wait=False)
    assert len(records.records) == 100


def test_cancelled_futures_log_nothing_and_the_rest_is_handled(context: BaseContext, records: Records) -> None:
    executor = LoggingProcessPoolExecutor(1, context)
    futures = [executor.submit(jobs.log, "%d", number) for number in range(200)]
    executor.shutdown(cancel_futures=True)
    done = sum(not future.cancelled() for future in futures)
    assert done < 200
    assert records.messages == [str(number) for number in range(done)]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_what_a_killed_worker_had_logged_is_handled(
    context: BaseContext, records: Records, how: signal.Signals
) -> None:
    with LoggingProcessPoolExecutor(1, context) as executor:
        with pytest.raises(BrokenProcessPool):
            executor.submit(jobs.die, how, 500).result()
        with pytest.raises(BrokenProcessPool):
            executor.submit(jobs.square, 2)
    assert [message for message in records.messages if message.isdigit()] == [str(number) for number in range(500)]


def test_what_a_worker_that_exits_had_logged_is_handled(context: BaseContext, records: Records) -> None:
    with LoggingProcessPoolExecutor(2, context) as executor, pytest.raises(BrokenProcessPool):
        executor.submit(jobs.log_then_exit, 500, 3).result()
    assert [message for message in records.messages if message.isdigit()] == [str(number) for number in range(500)]


@pytest.mark.parametrize("method", ["terminate_workers", "kill_workers"])
@pytest.mark.skipif(
    not hasattr(LoggingProcessPoolExecutor, "kill_workers"), reason="this Python's executor has no such method"
)
def test_workers_that_the_user_ends_have_their_records_handled(
    context: BaseContext, records: Records, method: str
) -> None:
    executor = LoggingProcessPoolExecutor(1, context)
    executor.submit(jobs.log_numbers, 100).result()
    getattr(executor, method)()
    executor.shutdown()
    assert len(records.records) == 100


def test_a_handler_may_shut_the_pool_down(context: BaseContext, records: Records) -> None:
    executor = LoggingProcessPoolExecutor(1, context)

    class Stop(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage() == "10":
                executor.shutdown()

    stop = Stop()
    logging.getLogger().addHandler(stop)
    executor.submit(jobs.log_numbers, 100).result()
    executor.shutdown()
    assert len(records.records) == 100


def test_a_handler_that_waits_for_its_own_listener_is_told(records: Records) -> None:
    errors: list[Exception] = []

    class Flush(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            try:
                executor.flush_logs()
            except RuntimeError as error:
                errors.append(error)

    logging.getLogger().addHandler(Flush())
    with LoggingProcessPoolExecutor(1) as executor:
        executor.submit(jobs.log, "one")
    (error,) = errors
    assert "a handler cannot wait" in str(error)


def test_a_future_callback_sees_a_pool_that_shuts_down(context: BaseContext, records: Records) -> None:
    called: list[Future[int]] = []
    with LoggingProcessPoolExecutor(1, context) as executor:
        executor.submit(jobs.log_numbers, 100).add_done_callback(called.append)
    assert len(called) == 1
    assert len(records.records) == 100


def test_no_thread_to_be_had_costs_no_future_and_no_record(
    context: BaseContext, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def start_but_ours(thread: threading.Thread) -> None:
        # As an interpreter does that shuts down; it would refuse the pool's own thread as well, and with it the job.
        if thread.name.startswith("logpool"):
            raise RuntimeError("can't create new thread at interpreter shutdown")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_but_ours)
    executor = LoggingProcessPoolExecutor(2, context)
    assert [executor.submit(jobs.square, number).result() for number in range(3)] == [0, 1, 4]
    executor.submit(jobs.log_numbers, 100)
    executor.shutdown()
    executor.shutdown()
    assert len(records.records) == 100


def test_a_constructor_that_fails_leaves_nothing_behind_and_works_when_there_are_descriptors_again(
    run_program: Run,
) -> None:
    ended = run_program(
        """
import os, resource, sys
from logpool import LoggingProcessPoolExecutor
from multiprocessing import active_children, get_context, resource_tracker
from multiprocessing import synchronize  # The stock class imports it at first use.
fork = get_context("fork")
resource_tracker.ensure_running()
raised = 0
for limit in range(4, 61):
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, 256))
    try:
        LoggingProcessPoolExecutor(2, fork).shutdown()
    except OSError as error:
        raised += 1
        print(type(error).__name__, error.errno, active_children())
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
left = len(os.listdir("/proc/self/fd"))
with LoggingProcessPoolExecutor(2, fork) as executor:
    print(raised, left, executor.submit(abs, -3).result())
""",
    )
    *errors, last = ended.stdout.splitlines()
    assert ended.stderr == ""
    assert set(errors) == {"OSError 24 []"}
    raised, left, result = map(int, last.split())
    assert 0 < raised == len(errors) < 57
    assert left <= 6
    assert result == 3


def test_twenty_pools_one_after_another_leave_nothing_behind(records: Records) -> None:
    for number in range(20):
        with LoggingProcessPoolExecutor(1) as executor:
            executor.submit(jobs.log, "%d", number)
    assert records.messages == [str(number) for number in range(20)]


def test_eight_pools_at_once_do_not_mix(context: BaseContext, records: Records) -> None:
    handlers = [Records() for _ in range(8)]
    executors = [LoggingProcessPoolExecutor(1, context, log_handlers=[h], log_level="INFO") for h in handlers]
    for number, executor in enumerate(executors):
        executor.submit(jobs.log_numbers, 100 + number)
    for executor in executors:
        executor.shutdown()
    assert [len(handler.records) for handler in handlers] == [100 + number for number in range(8)]
    assert records.records == []


def test_a_pool_used_by_sixteen_threads_loses_nothing(context: BaseContext, records: Records) -> None:
    with LoggingProcessPoolExecutor(2, context) as executor:

        def use() -> None:
            for number in range(20):
                executor.submit(jobs.log, "%d", number).result()

        threads = [threading.Thread(target=use) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(map(int, records.messages)) == sorted([*range(20)] * 16)


def test_the_manager_process_ends_with_the_pool(context: BaseContext) -> None:
    with LoggingProcessPoolExecutor(1, context) as executor:
        executor.submit(os.getpid).result()
        names = [child.name for child in multiprocessing.active_children()]
        assert "LogManager" in names
    assert "LogManager" not in [child.name for child in multiprocessing.active_children()]


@pytest.mark.parametrize("start_method", START_METHODS)
def test_a_program_that_ignores_the_end_of_its_children_ends_well(run_program: Run, start_method: str) -> None:
    ended = run_program(
        """
import logging, multiprocessing, signal, sys
from logpool import LoggingProcessPoolExecutor

def work():
    logging.getLogger("app").warning("at work")

if __name__ == "__main__":
    logging.basicConfig(format="%(message)s", stream=sys.stdout)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with LoggingProcessPoolExecutor(1, multiprocessing.get_context(sys.argv[1])) as executor:
        executor.submit(work).result()
""",
        start_method,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "at work\n", "")


@pytest.mark.parametrize("start_method", ["forkserver", "spawn"])
def test_the_manager_process_does_not_import_the_main_module(
    run_program: Run, tmp_path: Path, start_method: str
) -> None:
    ended = run_program(
        """
import logging, multiprocessing, sys
from logpool import LoggingProcessPoolExecutor

with open("imports", "a") as imports:
    print(__name__, file=imports)

def work():
    logging.getLogger("app").warning("at work")

if __name__ == "__main__":
    logging.basicConfig(format="%(message)s", stream=sys.stdout)
    with LoggingProcessPoolExecutor(1, multiprocessing.get_context(sys.argv[1])) as executor:
        executor.submit(work).result()
""",
        start_method,
    )
    assert (ended.stdout, ended.stderr) == ("at work\n", "")
    # Once by the program; and by its worker, or by the forkserver, where that imports it beforehand.
    assert (tmp_path / "imports").read_text().split() == ["__main__", "__mp_main__"]


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="nothing else tells of the end of another's child")
def test_a_forkserver_that_is_killed_takes_no_record_with_it_and_leaves_no_manager_process(
    run_program: Run, tmp_path: Path
) -> None:
    ended = run_program(
        """
import logging, multiprocessing, os, select, signal, sys, tempfile
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import forkserver
from logpool import LoggingProcessPoolExecutor

def work():
    logging.getLogger("app").warning("at work")
    os.kill(os.getppid(), signal.SIGKILL)
    logging.getLogger("app").warning("still at work")

if __name__ == "__main__":
    tempfile.tempdir = os.getcwd()
    logging.basicConfig(format="%(message)s", stream=sys.stdout)
    logging.getLogger("logpool").setLevel(logging.CRITICAL + 1)
    executor = LoggingProcessPoolExecutor(1, multiprocessing.get_context("forkserver"))
    future = executor.submit(work)
    (manager,) = [child for child in multiprocessing.active_children() if child.name == "LogManager"]
    its_end = os.pidfd_open(manager.pid)
    print(type(future.exception()) in (BrokenProcessPool, type(None)))
    executor.shutdown()
    print(select.select([its_end], [], [], 20)[0] == [its_end])
"""
    )
    lines = ended.stdout.splitlines()
    assert lines[0] == "at work"
    assert [line for line in lines if "work" not in line] == ["True", "True"]
    assert [path.name for path in tmp_path.iterdir()] == ["program.py"]


@pytest.mark.parametrize("start_method", START_METHODS)
def test_a_worker_that_drops_its_handlers_after_it_has_logged_ends_without_a_word(
    run_program: Run, start_method: str
) -> None:
    ended = run_program(
        """
import logging, logging.config, multiprocessing, sys
from logpool import LoggingProcessPoolExecutor

def work():
    logging.getLogger("app").warning("at work")
    logging.config.dictConfig({"version": 1, "root": {"handlers": []}})

if __name__ == "__main__":
    logging.basicConfig(format="%(message)s", stream=sys.stdout)
    with LoggingProcessPoolExecutor(1, multiprocessing.get_context(sys.argv[1])) as executor:
        executor.submit(work).result()
""",
        start_method,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "at work\n", "")


def log_through(queue: LogQueue) -> None:
    logger = logging.getLogger("app")
    logger.handlers[:] = [logging.handlers.QueueHandler(queue)]
    logger.propagate = False
    logger.setLevel("INFO")
    logger.info("handed a queue")


@pytest.mark.parametrize("end", ["flush_logs", "shutdown"])
def test_what_another_process_puts_before_the_first_job_is_handled(
    context: BaseContext, records: Records, end: str
) -> None:
    with LoggingProcessPoolExecutor(1, context) as executor:
        other = context.Process(target=log_through, args=(executor.log_queue,))
        other.start()
        other.join()
        if end == "flush_logs":
            assert executor.flush_logs()
            assert records.messages == ["handed a queue"]
    assert records.messages == ["handed a queue"]


def test_what_comes_after_the_listener_was_stopped_is_handled_at_the_end(
    context: BaseContext, records: Records
) -> None:
    with LoggingProcessPoolExecutor(1, context) as executor:
        executor.submit(int).result()
        executor.log_listener.stop()
        executor.submit(jobs.log_numbers, 100).result()
        assert not executor.flush_logs(1)
    assert records.messages == [str(number) for number in range(100)]


def test_a_shutdown_that_was_interrupted_can_be_repeated_until_it_is_done(
    context: BaseContext, records: Records
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    go_on = threading.Event()
    records.on_message["0"] = go_on.wait
    before = signal.signal(signal.SIGALRM, interrupt)
    executor = LoggingProcessPoolExecutor(1, context)
    try:
        executor.submit(jobs.log_numbers, 10)
        records.wait_for("0")
        for _ in range(2):
            signal.setitimer(signal.ITIMER_REAL, 0.1)  # It waits for the handler, which waits for what follows.
            with pytest.raises(KeyboardInterrupt):
                executor.shutdown()
        go_on.set()
        executor.shutdown()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert records.messages == [str(number) for number in range(10)]
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("start_method", START_METHODS)
def test_a_pool_at_module_level_starts_nothing_before_it_is_used(
    run_program: Run, tmp_path: Path, start_method: str
) -> None:
    # With spawn and forkserver each worker imports the program once more, and makes an executor of its own.
    source = """
import logging, multiprocessing, sys
from logpool import LoggingProcessPoolExecutor

executor = LoggingProcessPoolExecutor(2, multiprocessing.get_context(sys.argv[1]))

def work(number):
    logging.getLogger("app").info("%d of %d", number, len(multiprocessing.active_children()))
    return number

if __name__ == "__main__":
    logging.basicConfig(filename="log", format="%(message)s", level="INFO")
    print(list(executor.map(work, range(3))))
"""
    ended = run_program(source, start_method)
    assert (ended.returncode, ended.stdout) == (0, "[0, 1, 2]\n")
    # With forkserver, processes that only import an executor leak its semaphores: the stock class's workers do, too.
    noise = ended.stderr.splitlines()
    if start_method == "forkserver":
        noise = [line for line in noise if "resource_tracker" not in line and line != "  warnings.warn("]
    assert noise == []
    assert sorted((tmp_path / "log").read_text().splitlines()) == ["0 of 0", "1 of 0", "2 of 0"]


MADE_BEFORE_A_FORK = """
import logging, multiprocessing, os, sys
from logpool import LoggingProcessPoolExecutor

def work(number):
    logging.getLogger("app").info("%d", number)
    return number

if __name__ == "__main__":
    logging.basicConfig(filename="log", format="%(message)s", level="INFO")
    executor = LoggingProcessPoolExecutor(2, multiprocessing.get_context(sys.argv[1]))
    if sys.argv[2] == "used":
        executor.log_queue
    reading, writing = os.pipe()
    if os.fork() == 0:
        if sys.argv[3] == "gone":
            os.close(writing)
            os.read(reading, 1)
        with executor:
            for number in range(3):
                executor.submit(work, number).result()
            assert executor.flush_logs()
        with open("log") as log:
            print(sorted(log.read().split()), multiprocessing.active_children(), flush=True)
        sys.exit()
    if sys.argv[3] == "there":
        os.wait()
    else:
        os._exit(0)
"""


@pytest.mark.parametrize(
    ("start_method", "queue"),
    # A forkserver that was started before a fork can't be used in the child, with the stock class neither.
    [("fork", "not used"), ("forkserver", "not used"), ("spawn", "not used"), ("fork", "used"), ("spawn", "used")],
)
@pytest.mark.parametrize("parent", ["there", "gone"])
def test_an_executor_that_was_made_before_a_fork_can_be_used_in_the_child(
    run_program: Run, start_method: str, queue: str, parent: str
) -> None:
    # Newer Pythons remove the semaphores of an executor, the stock class's too, with the process that made it.
    drops_semaphores = hasattr(resource_tracker.ResourceTracker, "_after_fork_in_child")
    if parent == "gone" and start_method != "fork" and drops_semaphores:
        pytest.skip("this Python removes an executor's semaphores with the process that made it")
    ended = run_program(MADE_BEFORE_A_FORK, start_method, queue, parent)
    assert ended.stdout == "['0', '1', '2'] []\n", ended.stderr


FORK_BEFORE_A_FORK = """
import os, signal, threading
from logpool._process import forks

class Owner(forks.ForkAware):
    underway = 0
    interrupted = False

    def before_fork(self, deadline):
        self.underway += 1
        if not self.interrupted:
            self.interrupted = True
            os.kill(os.getpid(), signal.SIGUSR1)

    def after_fork_in_parent(self):
        self.underway -= 1

    def after_fork_in_child(self):
        self.underway -= 1

def can_fork():
    with forks.no_concurrent_fork():
        can.set()

owner = Owner()
forks.register(owner)
signal.signal(signal.SIGUSR1, lambda *_: os.fork())
os.fork()
can = threading.Event()
threading.Thread(target=can_fork, daemon=True).start()
os.write(1, f"{owner.underway} {can.wait(20)}\\n".encode())
while True:
    try:
        os.wait()
    except ChildProcessError:
        break
"""


def test_a_signal_handler_that_forks_while_its_thread_is_about_to_leaves_all_in_order(run_program: Run) -> None:
    ended = run_program(FORK_BEFORE_A_FORK)
    assert (ended.stdout, ended.stderr) == ("0 True\n" * 4, "")


def test_a_fork_while_another_thread_wakes_a_pool_up_leaves_a_child_that_can_end(run_program: Run) -> None:
    source = """
import threading
from multiprocessing import get_context
from logpool import LoggingProcessPoolExecutor

if __name__ == "__main__":
    fork = get_context("fork")
    with LoggingProcessPoolExecutor(1, fork) as executor:
        executor.submit(int).result()
        going_on = True
        def submit():
            while going_on:
                executor.submit(int).result()
        thread = threading.Thread(target=submit)
        thread.start()
        for _ in range(40):
            with LoggingProcessPoolExecutor(1, fork) as other:
                other.submit(int).result()
        going_on = False
        thread.join()
    print("ended")
"""
    ended = run_program(source)
    assert ended.stdout == "ended\n"


def test_a_program_whose_sockets_time_out_loses_nothing(context: BaseContext, records: Records) -> None:
    import socket

    socket.setdefaulttimeout(0.2)
    try:
        with LoggingProcessPoolExecutor(1, context) as executor:
            for number in range(2):
                executor.submit(jobs.log, "%d", number).result()
                executor.submit(jobs.sleep, 0.5).result()
            assert executor.flush_logs()
    finally:
        socket.setdefaulttimeout(None)
    assert records.messages == ["0", "1"]


def test_another_authkey_in_the_middle_of_a_pool_is_no_obstacle(records: Records) -> None:
    process = multiprocessing.current_process()
    key = process.authkey
    with LoggingProcessPoolExecutor(1) as executor:
        executor.submit(jobs.log, "one").result()
        process.authkey = b"another"
        try:
            assert executor.flush_logs()
            executor.submit(jobs.log, "two").result()
            executor.shutdown()
        finally:
            process.authkey = key
    assert records.messages == ["one", "two"]


class Attack(BaseException):
    """Raised where nothing is expected to be."""


ATTACKED = [
    *(
        (process._ExecutorManagerThread, name)
        for name in (
            "add_call_item_to_queue",
            "wait_result_broken_or_wakeup",
            "process_result_item",
            "is_shutting_down",
            "flag_executor_shutting_down",
            "terminate_broken",
            "join_executor_internals",
            "shutdown_workers",
            "get_n_children_alive",
        )
    ),
    *((PoolThread, name) for name in ("wait_result_broken_or_wakeup", "process_result_item", "terminate_broken")),
    *((PoolThread, name) for name in ("_wait", "_refuse_jobs", "_finish", "_take_held", "_finish_held")),
    (Waiter, "wait"),
    (Wakeup, "clear"),
    (Wakeup, "close"),
    (CallQueue, "put"),
    (CallQueue, "join_thread"),
    (CrashReporter, "report"),
    (CrashReporter, "wait"),
]


BREAKING = {
    (process._ExecutorManagerThread, "process_result_item"),
    (process._ExecutorManagerThread, "is_shutting_down"),
    (PoolThread, "wait_result_broken_or_wakeup"),  # The base class's is called where a worker has ended.
    (PoolThread, "process_result_item"),
    (PoolThread, "_wait"),
    (Waiter, "wait"),
    (Wakeup, "clear"),
}
"""What the pool can't go on without."""


def text_of(error: BaseException | None) -> str:
    """Everything that a traceback of it prints."""
    return "" if error is None else "".join(traceback.format_exception(error))


def attack_a_pool(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, *, again: bool, a_worker_dies: bool) -> bool:
    """Have a method raise in the pool's thread. Return whether that has called it."""
    method = getattr(owner, name)
    attacked = False

    def attack(*args: object, **kwargs: object) -> object:
        nonlocal attacked
        if isinstance(threading.current_thread(), PoolThread) and armed and (again or not attacked):
            attacked = True
            raise Attack("attacked")
        return method(*args, **kwargs)

    armed = False
    reading, writing = os.pipe()
    monkeypatch.setattr(owner, name, attack, raising=False)
    executor = LoggingProcessPoolExecutor(1, multiprocessing.get_context("fork"))
    futures: list[Future[Any]] = [executor.submit(os.read, reading, 1)]
    if a_worker_dies:
        futures.append(executor.submit(jobs.die, signal.SIGKILL, 0))
    futures += [executor.submit(jobs.square, number) for number in range(5)]
    workers = [child for child in multiprocessing.active_children() if child.name != "LogManager"]
    armed = True
    os.write(writing, b"x")
    errors = [future.exception(30) for future in futures]
    executor.shutdown()
    assert {type(error) for error in errors} <= {BrokenProcessPool, type(None)}
    if (owner, name) in BREAKING or (name == "wait_result_broken_or_wakeup" and a_worker_dies):
        assert "Attack: attacked" in text_of(errors[-1])
        with pytest.raises(BrokenProcessPool) as refused:
            LoggingProcessPoolExecutor.submit(executor, int)
        assert "Attack: attacked" in text_of(refused.value)
    for worker in workers:
        worker.join(30)
        assert not worker.is_alive()
    os.close(reading)
    os.close(writing)
    monkeypatch.undo()
    return attacked


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("again", [True, False], ids=["always", "once"])
@pytest.mark.parametrize(("owner", "name"), ATTACKED, ids=[f"{owner.__name__}.{name}" for owner, name in ATTACKED])
def test_whatever_raises_in_the_pools_thread_every_future_has_a_result_and_all_ends(
    monkeypatch: pytest.MonkeyPatch, owner: type, name: str, again: bool
) -> None:
    attacked = [
        attack_a_pool(monkeypatch, owner, name, again=again, a_worker_dies=a_worker_dies)
        for a_worker_dies in (False, True)
    ]
    assert any(attacked)  # Some are called where all jobs get done, some where a worker dies.


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_callback_that_raises_in_the_pools_thread_costs_no_future_its_end(context: BaseContext) -> None:
    def attack(_: Future[int]) -> None:
        raise Attack("attacked")

    with LoggingProcessPoolExecutor(1, context) as executor:
        futures = [executor.submit(jobs.square, number) for number in range(10)]
        for future in futures:
            future.add_done_callback(attack) if not future.done() else None
        errors = [future.exception(30) for future in futures]
    assert {type(error) for error in errors} <= {BrokenProcessPool, type(None)}


class FalsyError(Exception):
    """As an exception that has a length may be."""

    def __bool__(self) -> bool:
        raise Attack("attacked")


def raise_falsy_error() -> None:
    raise FalsyError


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_exception_that_cannot_be_tested_for_truth_costs_no_future_its_end(context: BaseContext) -> None:
    with LoggingProcessPoolExecutor(1, context) as executor:
        future = executor.submit(raise_falsy_error)
        assert type(future.exception(30)) in {BrokenProcessPool, FalsyError}


NOT_FORK = pytest.mark.parametrize("start_method", ["forkserver", "spawn"])
"""With fork no worker is replaced."""


@NOT_FORK
@pytest.mark.parametrize("how", ["collected", "shut down"])
def test_jobs_that_no_worker_is_left_for_fail(start_method: str, how: str, tmp_path: Path) -> None:
    os.mkfifo(gate := tmp_path / "gate")
    executor = LoggingProcessPoolExecutor(1, multiprocessing.get_context(start_method), max_tasks_per_child=1)
    first = executor.submit(jobs.wait_for, str(gate))
    others = [executor.submit(jobs.square, number) for number in range(5)]
    pool_thread = the_thread_of_the_pool()
    if how == "shut down":
        executor.shutdown(wait=False)
    else:
        del executor
        gc.collect()
    open(gate, "w").close()
    assert first.exception(30) is None
    for other in others:
        error = other.exception(30)
        assert error is None or (isinstance(error, BrokenProcessPool) and "max_tasks_per_child" in text_of(error))
    assert how == "shut down" or isinstance(others[-1].exception(30), BrokenProcessPool)
    pool_thread.join(30)
    assert not pool_thread.is_alive()
    del pool_thread
    gc.collect()


@NOT_FORK
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_jobs_fail_where_no_worker_can_be_started_in_the_place_of_another(
    start_method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise OSError(11, "no process left")

    os.mkfifo(gate := tmp_path / "gate")
    context = multiprocessing.get_context(start_method)
    with LoggingProcessPoolExecutor(1, context, max_tasks_per_child=1) as executor:
        first = executor.submit(jobs.wait_for, str(gate))
        others = [executor.submit(jobs.square, number) for number in range(5)]
        monkeypatch.setattr(multiprocessing.process.BaseProcess, "start", fail)
        open(gate, "w").close()
        assert first.exception(30) is None
        for other in others:
            error = other.exception(30)
            assert isinstance(error, BrokenProcessPool)
            assert "no process left" in text_of(error)
        with pytest.raises(BrokenProcessPool):
            executor.submit(int)


@NOT_FORK
def test_a_worker_that_was_counted_as_idle_when_it_left_is_replaced(start_method: str) -> None:
    context = multiprocessing.get_context(start_method)
    with LoggingProcessPoolExecutor(1, context, max_tasks_per_child=2) as executor:
        assert [future.result(30) for future in [executor.submit(jobs.square, number) for number in range(5)]] == [
            0,
            1,
            4,
            9,
            16,
        ]


def test_a_pool_whose_thread_cannot_be_started_takes_no_other_job(
    context: BaseContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    threads = set(threading.enumerate())
    executor = LoggingProcessPoolExecutor(1, context)
    with monkeypatch.context() as no_thread:
        no_thread.setattr(process._ExecutorManagerThread, "start", fail, raising=False)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            executor.submit(jobs.square, 2)
    with pytest.raises(BrokenProcessPool, match="thread could not be started"):
        executor.submit(jobs.square, 2)
    executor.shutdown(wait=False)
    assert_nothing_is_left(threads)


def test_a_listener_that_cannot_be_started_at_first_is_started_by_the_next_submit(
    context: BaseContext, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: RelayListener) -> None:
        raise RuntimeError("can't start new thread")

    with LoggingProcessPoolExecutor(1, context) as executor:
        with monkeypatch.context() as no_thread:
            no_thread.setattr(RelayListener, "start", fail)
            executor.submit(jobs.log, "first").result(30)
        executor.submit(jobs.log, "second").result(30)
        assert executor.flush_logs(30)
        assert records.messages == ["first", "second"]


def test_a_listener_that_the_program_has_stopped_is_not_started_by_the_next_submit(records: Records) -> None:
    with LoggingProcessPoolExecutor(1) as executor:
        executor.submit(jobs.log, "first").result(30)
        executor.log_listener.stop()
        executor.submit(jobs.log, "second").result(30)
        assert not executor.flush_logs(30)
        assert records.messages == ["first"]
    assert records.messages == ["first", "second"]


@pytest.mark.skipif(
    "mp_util_debug" not in inspect.getsource(process._ExecutorManagerThread.__init__),
    reason="this Python's own class prints a traceback there",
)
@pytest.mark.parametrize("start_method", START_METHODS)
@pytest.mark.parametrize("end", ["", "executor.shutdown(wait=False)"])
def test_an_executor_that_outlives_all_modules_ends_without_a_word(
    run_program: Run, tmp_path: Path, start_method: str, end: str
) -> None:
    ended = run_program(
        program(f"executor.submit(work, 50).result()\nos.kept = executor\n{end}\ndel executor"), start_method
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert len((tmp_path / "log").read_text().splitlines()) == 50


@pytest.mark.parametrize("index", [0, 1])  # One of the two has the lock of the call queue when it dies.
def test_a_worker_that_is_killed_as_the_pool_ends_holds_up_nobody(
    context: BaseContext, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, index: int
) -> None:
    monkeypatch.setattr("logpool._parent.pool_thread.GRACE", 0.1)  # Seconds.
    gates = [tmp_path / "0", tmp_path / "1"]
    for gate in gates:
        os.mkfifo(gate)
    executor = LoggingProcessPoolExecutor(2, context)
    futures = [executor.submit(jobs.wait_for, gate) for gate in gates]
    with gates[0].open("w"), gates[1].open("w"):  # Each has its worker.
        pass
    wait(futures)

    def kill_and_end(_: Future[int]) -> None:
        # In the pool's thread, which has no time to notice.
        worker = list(cpython.workers_of(executor).values())[index]
        worker.kill()
        connection.wait([worker.sentinel])
        executor.shutdown(wait=False)

    executor.submit(jobs.log_numbers, 3).add_done_callback(kill_and_end)
    executor.shutdown()


@pytest.mark.parametrize("has_pidfd", [True, False], ids=["Linux", "elsewhere"])
def test_workers_that_outlive_sigterm_are_killed_when_the_pool_breaks(
    context: BaseContext, monkeypatch: pytest.MonkeyPatch, has_pidfd: bool
) -> None:
    if not has_pidfd:
        monkeypatch.delattr(os, "pidfd_open", raising=False)
    monkeypatch.setattr("logpool._parent.pool_thread.GRACE", 0.1)  # Seconds.
    with LoggingProcessPoolExecutor(2, context, signal.signal, (signal.SIGTERM, signal.SIG_IGN)) as executor:
        running = executor.submit(signal.pause)
        assert isinstance(executor.submit(jobs.die, signal.SIGKILL, 0).exception(), BrokenProcessPool)
        assert isinstance(running.exception(), BrokenProcessPool)


def test_a_job_that_cannot_be_pickled_as_the_pool_ends_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    ending = threading.Event()
    shutdown_workers = PoolThread.shutdown_workers

    class Pending(dict[int, Any]):
        def pop(self, *args: Any) -> Any:
            popped = super().pop(*args)
            if threading.current_thread().name == "QueueFeederThread":
                executor.shutdown(wait=False)
                assert ending.wait(30)
            return popped

    def tell_and_shut_down(thread: PoolThread) -> None:
        ending.set()
        shutdown_workers(thread)

    monkeypatch.setattr(PoolThread, "shutdown_workers", tell_and_shut_down)
    executor = LoggingProcessPoolExecutor(1, multiprocessing.get_context("fork"))
    executor._pending_work_items = cpython.call_queue_of(executor).pending_work_items = Pending()
    future = executor.submit(lambda: None)
    with pytest.raises(Exception, match="pickle"):
        future.result(30)
    executor.shutdown()


@pytest.mark.parametrize("before", [0, 1])
@pytest.mark.parametrize("behind", [0, 2])
@pytest.mark.parametrize("is_put", [True, False], ids=["queued", "not queued"])
def test_a_submit_that_is_interrupted_as_it_queues_the_job_keeps_no_other_waiting(
    context: BaseContext, monkeypatch: pytest.MonkeyPatch, before: int, behind: int, is_put: bool
) -> None:
    with LoggingProcessPoolExecutor(1, context) as executor:
        assert [executor.submit(jobs.square, 2).result(30) for _ in range(before)] == [4] * before
        put = executor._work_ids.put

        def interrupt(work_id: int) -> None:
            if is_put:
                put(work_id)
            raise KeyboardInterrupt

        with monkeypatch.context() as interrupts:
            interrupts.setattr(executor._work_ids, "put", interrupt)
            with pytest.raises(KeyboardInterrupt):
                executor.submit(jobs.square, 2)
        assert [executor.submit(jobs.square, 3).result(30) for _ in range(behind)] == [9] * behind
    assert not executor._LoggingProcessPoolExecutor__jobs.active or not before + behind


@pytest.mark.parametrize("has_pidfd", [True, False], ids=["Linux", "elsewhere"])
def test_a_worker_whose_start_is_interrupted_takes_no_others_leave(
    context: BaseContext, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, has_pidfd: bool
) -> None:
    if not has_pidfd:
        monkeypatch.delattr(os, "pidfd_open", raising=False)
    start = multiprocessing.process.BaseProcess.start

    def interrupt(process: multiprocessing.process.BaseProcess) -> None:
        start(process)
        if process.name != "LogManager":
            raise KeyboardInterrupt

    gates = [tmp_path / "0", tmp_path / "1"]
    for gate in gates:
        os.mkfifo(gate)
    with LoggingProcessPoolExecutor(1, context) as executor:
        with monkeypatch.context() as interrupts:
            interrupts.setattr(multiprocessing.process.BaseProcess, "start", interrupt)
            with pytest.raises(KeyboardInterrupt):
                executor.submit(jobs.wait_for, gates[0])
        second = executor.submit(jobs.wait_for, gates[1])
        for gate in gates:  # Each has a worker: the pool knows one of these.
            gate.open("w").close()
        second.result(30)
    for stranger in multiprocessing.active_children():
        stranger.join(30)


def test_a_submit_that_is_interrupted_while_the_pools_thread_starts_leaves_a_pool_that_works(
    context: BaseContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def interrupt(thread: threading.Thread) -> None:
        start(thread)
        raise KeyboardInterrupt

    with LoggingProcessPoolExecutor(1, context) as executor:
        with monkeypatch.context() as interrupts:
            interrupts.setattr(process._ExecutorManagerThread, "start", interrupt, raising=False)
            with pytest.raises(KeyboardInterrupt):
                executor.submit(jobs.square, 2)
        assert executor.submit(jobs.square, 3).result(30) == 9


def test_a_submit_that_is_interrupted_before_the_pools_thread_starts_breaks_the_pool(
    context: BaseContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: threading.Thread) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("logpool._parent.pool_thread.BEGINNING", 0.1)  # Seconds.
    threads = set(threading.enumerate())
    executor = LoggingProcessPoolExecutor(1, context)
    with monkeypatch.context() as interrupts:
        interrupts.setattr(process._ExecutorManagerThread, "start", interrupt, raising=False)
        with pytest.raises(KeyboardInterrupt):
            executor.submit(jobs.square, 2)
    with pytest.raises(BrokenProcessPool, match="thread could not be started"):
        executor.submit(jobs.square, 2)
    executor.shutdown()
    assert_nothing_is_left(threads)


def test_ctrl_c_while_a_worker_is_forked_leaves_no_lock_of_logging_held(run_program: Run) -> None:
    source = """
import functools, os, signal

# Before that of logging is registered, so it comes behind its lock was taken: once. (What is no Python code isn't
# interrupted itself.)
os.setpgrp()
os.register_at_fork(before=functools.partial(next, map(os.killpg, [0], [signal.SIGINT]), None))

import logging, multiprocessing
from logpool import LoggingProcessPoolExecutor

def work():
    logging.getLogger("app").warning("done")

if __name__ == "__main__":
    logging.basicConfig()
    try:
        with LoggingProcessPoolExecutor(2, multiprocessing.get_context("fork")) as executor:
            executor.submit(work).result()
    except KeyboardInterrupt:
        print("interrupted")
    with LoggingProcessPoolExecutor(2, multiprocessing.get_context("fork")) as executor:
        executor.submit(work).result()
"""
    ended = run_program(source, timeout=20)
    assert (ended.stdout, ended.stderr) == ("interrupted\n", "WARNING:app:done\n")


def test_workers_have_the_signal_mask_of_the_thread_that_started_them(context: BaseContext) -> None:
    with LoggingProcessPoolExecutor(2, context) as executor:
        mask = executor.submit(signal.pthread_sigmask, signal.SIG_BLOCK, ()).result()
    assert mask == signal.pthread_sigmask(signal.SIG_BLOCK, ())
