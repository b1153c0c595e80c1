"""First the records, then the result: what there is when a job's future is done, and that no result waits for ever."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import logging
import multiprocessing
import os
import pickle
import signal
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

import pytest

import jobs
from conftest import START_METHODS, Records, Run
from logpool import LoggingProcessPoolExecutor
from logpool._parent import pool_thread
from logpool._parent.jobs import Jobs
from logpool._transport.wire import ORIGIN
from logpool._worker import routing
from logpool._worker.handler import RelayHandler


class Gate:
    """Keeps a handler in the record with this message until it is opened."""

    def __init__(self, records: Records, message: str) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()
        records.on_message[message] = self._wait

    def _wait(self) -> None:
        self.reached.set()
        assert self.opened.wait(30)


def log_many(first: int, count: int) -> int:
    for number in range(first, first + count):
        jobs.log("%d", number)
    return first


# In order.


def test_when_a_result_is_there_its_jobs_records_have_been_handled(context: BaseContext, records: Records) -> None:
    with LoggingProcessPoolExecutor(2, context) as executor:
        for number in range(100):
            executor.submit(jobs.log, "%d", number).result()
            assert records.messages[-1] == str(number)


def test_when_a_job_raises_its_records_have_been_handled_before(context: BaseContext, records: Records) -> None:
    with LoggingProcessPoolExecutor(1, context) as executor, pytest.raises(ZeroDivisionError):
        executor.submit(log_and_raise).result()
    assert records.messages == ["before"]


def log_and_raise() -> None:
    jobs.log("before")
    raise ZeroDivisionError


@pytest.mark.parametrize("way", ["callback", "as_completed", "wait", "map", "asyncio"])
def test_in_whatever_way_a_result_is_got_the_records_come_first(way: str, records: Records) -> None:
    late: list[int] = []

    def check(number: int) -> None:
        if f"{number + 9}" not in records.messages:
            late.append(number)

    with LoggingProcessPoolExecutor(2, multiprocessing.get_context("fork")) as executor:
        firsts = range(0, 1000, 10)
        if way == "map":
            for number in executor.map(log_many, firsts, [10] * len(firsts)):
                check(number)
        elif way == "asyncio":

            async def run(number: int) -> None:
                loop = asyncio.get_running_loop()
                check(await loop.run_in_executor(executor, log_many, number, 10))

            async def run_all() -> None:
                await asyncio.gather(*map(run, firsts))

            asyncio.run(run_all())
        else:
            futures = {executor.submit(log_many, number, 10) for number in firsts}
            if way == "callback":
                for future in futures:
                    future.add_done_callback(lambda future: check(future.result()))
            elif way == "as_completed":
                for future in concurrent.futures.as_completed(futures):
                    check(future.result())
            while futures:
                done, futures = concurrent.futures.wait(futures, return_when=concurrent.futures.FIRST_COMPLETED)
                for future in done:
                    check(future.result())
    assert late == []
    assert sum(message.isdecimal() for message in records.messages) == 1000


def test_callbacks_run_in_the_pools_thread_also_when_the_listener_came_last(records: Records) -> None:
    gate = Gate(records, "gate")
    threads: list[threading.Thread] = []
    with LoggingProcessPoolExecutor(1, multiprocessing.get_context("fork")) as executor:
        future = executor.submit(jobs.log, "gate")
        future.add_done_callback(lambda _: threads.append(threading.current_thread()))
        assert gate.reached.wait(30)
        gate.opened.set()
        future.result()
    assert [type(thread).__name__ for thread in threads] == ["PoolThread"]


def test_records_of_the_initializer_come_before_the_first_result(context: BaseContext, records: Records) -> None:
    with LoggingProcessPoolExecutor(1, context, jobs.initialize, (1,)) as executor:
        assert executor.submit(jobs.square, 2).result() == 4
        assert records.messages == ["initializer got 1"]


class LogsWhenPickled:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[int]]:
        jobs.log("pickled")
        return int, (1,)


class LogsAndFailsWhenPickled:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[int]]:
        jobs.log("not pickled")
        raise TypeError("no")


def return_one(kind: type) -> object:
    return kind()


def test_what_a_result_logs_while_it_is_pickled_comes_before_it(context: BaseContext, records: Records) -> None:
    with LoggingProcessPoolExecutor(1, context) as executor:
        executor.submit(return_one, LogsWhenPickled).result()
        assert records.messages[-1] == "pickled"
        with pytest.raises((TypeError, pickle.PicklingError)):
            executor.submit(return_one, LogsAndFailsWhenPickled).result()
        assert records.messages[-1] == "not pickled"


def test_the_error_in_the_place_of_a_result_that_cannot_be_pickled_waits_for_the_records(
    context: BaseContext, records: Records
) -> None:
    gate = Gate(records, "gate")
    with LoggingProcessPoolExecutor(1, context) as executor:
        gated = executor.submit(log_and_return_a_lambda, "gate")
        assert gate.reached.wait(30)
        assert executor.submit(jobs.square, 2).result(30) == 4
        assert not gated.done()
        gate.opened.set()
        assert isinstance(gated.exception(30), (AttributeError, pickle.PicklingError))


def log_and_return_a_lambda(message: str) -> object:
    jobs.log(message)
    return lambda: None


def log_in_a_signal_handler() -> None:
    """Has a signal handler log while its thread is in the midst of a put."""
    queue = routing.relay.queue
    queue._writing = True
    try:
        jobs.log("aside")
    finally:
        queue._writing = False


def test_a_record_that_went_another_way_than_the_others_comes_first_too(records: Records) -> None:
    with LoggingProcessPoolExecutor(1, multiprocessing.get_context("fork")) as executor:
        for number in range(20):
            executor.submit(jobs.log, "usual").result()
            executor.submit(log_in_a_signal_handler).result()
            assert records.messages.count("aside") == number + 1


def log_from_a_thread() -> None:
    thread = threading.Thread(target=jobs.log, args=("from a thread",))
    thread.start()
    thread.join()


def test_a_stream_that_was_given_up_is_waited_for_too(records: Records) -> None:
    gate = Gate(records, "gate")
    with LoggingProcessPoolExecutor(1, multiprocessing.get_context("fork")) as executor:
        gated = executor.submit(log_and_lose_the_stream, "gate")
        assert gate.reached.wait(30)
        assert executor.submit(jobs.square, 2).result(30) == 4
        assert not gated.done()
        gate.opened.set()
        gated.result(30)
        assert records.messages == ["gate"]


def log_and_lose_the_stream(message: str) -> None:
    jobs.log(message)
    relay = routing.relay
    assert relay is not None
    relay.queue.close()


def test_a_result_waits_for_a_stream_however_many_others_came_and_went_meanwhile(records: Records) -> None:
    others = 500
    gate = Gate(records, f"{others}")
    with LoggingProcessPoolExecutor(1, multiprocessing.get_context("fork")) as executor:
        gated = executor.submit(log_among_others, others)
        assert gate.reached.wait(30)
        assert executor.submit(jobs.square, 2).result(30) == 4
        assert not gated.done()
        gate.opened.set()
        gated.result(30)
        assert records.messages[-1] == "last"


def log_among_others(others: int) -> None:
    jobs.log("first")
    relay = routing.relay
    assert relay is not None
    for number in range(1, others + 1):
        record = logging.makeLogRecord({"name": "app", "levelno": logging.INFO, "msg": f"{number}"})
        RelayHandler(pickle.loads(pickle.dumps(relay.queue))).emit(record)  # As a child of the job's would.
    jobs.log("last")


def test_the_streams_that_have_ended_are_forgotten(records: Records) -> None:
    context = multiprocessing.get_context("fork")
    with LoggingProcessPoolExecutor(1, context) as executor:
        executor.submit(jobs.log, "first").result(30)
        for number in range(10):
            executor.submit(log_in_a_child, f"child {number}").result(30)
        executor.submit(jobs.log, "last").result(30)
        assert executor.flush_logs(30)
        assert len(executor._LoggingProcessPoolExecutor__jobs._handled) == 1
        assert executor._LoggingProcessPoolExecutor__jobs.active == {}


def test_a_result_does_not_wait_for_what_was_lost_with_its_stream(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    def feed(*args: object) -> bytes:
        raise MemoryError

    monkeypatch.setattr("logpool._manager.broker.Assembler.feed", feed)
    monkeypatch.setattr(pool_thread, "STUCK", 1000.0)
    with LoggingProcessPoolExecutor(1, multiprocessing.get_context("fork")) as executor:
        executor.submit(jobs.log, "lost").result(30)
    assert records.messages == []


def log_in_a_child(message: str) -> None:
    child = multiprocessing.get_context("fork").Process(target=jobs.log, args=(message,))
    child.start()
    child.join()


def test_records_of_threads_that_a_job_waits_for_come_first(context: BaseContext, records: Records) -> None:
    with LoggingProcessPoolExecutor(1, context) as executor:
        executor.submit(log_from_a_thread).result()
        assert records.messages == ["from a thread"]


def use_a_pool(start_method: str) -> None:
    with LoggingProcessPoolExecutor(1, multiprocessing.get_context(start_method)) as executor:
        executor.submit(jobs.log, "inner").result()
        jobs.log("outer")


def test_records_of_a_pool_in_a_job_keep_their_order(context: BaseContext, records: Records) -> None:
    with LoggingProcessPoolExecutor(1, context) as executor:
        executor.submit(use_a_pool, context.get_start_method()).result()
        assert records.messages == ["inner", "outer"]


class NotedLock:
    """A lock that tells when a certain thread is about to take it."""

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.wanted = threading.Event()
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        if threading.get_ident() == self.thread:
            self.wanted.set()
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()


def test_the_last_job_of_a_stream_may_be_passed_by_the_pools_thread_while_the_listener_waits_for_the_lock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool = Jobs()
    pool.wake = lambda: None
    lock: Any = NotedLock()
    pool._lock = lock
    frames = iter([(b"record", 0), (b"next", 0)])
    pool.begin_listening()
    pool.add(1)
    pool.begin_stream(ORIGIN.pack(1, 0), frames)
    assert list(frames) != []  # One has been handled, the other is next.
    lock.wanted.clear()
    noted = threading.Event()
    do_pass = pool._pass

    def note_and_pass(stream: int) -> None:
        noted.set()
        assert lock.wanted.wait(30)
        do_pass(stream)

    monkeypatch.setattr(pool, "_pass", note_and_pass)
    holder = threading.Thread(target=pool.hold, args=(1, ((1, 1),), "result"))
    holder.start()
    assert noted.wait(30)
    pool.release_handled()
    holder.join()
    assert pool.waiting == pool.active == {}


# Nothing else waits.


def test_while_a_result_waits_other_jobs_run_and_their_futures_are_told(records: Records, tmp_path: Path) -> None:
    gate = Gate(records, "gate")
    with LoggingProcessPoolExecutor(1, multiprocessing.get_context("fork")) as executor:
        waits = executor.submit(jobs.log, "gate")
        assert gate.reached.wait(30)
        assert [executor.submit(jobs.square, number).result(30) for number in range(20)] == [
            number * number for number in range(20)
        ]
        assert not waits.done()
        gate.opened.set()
        waits.result(30)


def test_where_many_jobs_wait_for_workers_the_listener_wakes_up_for_many_records(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("logpool._manager.broker.GATHERING", 1)  # Second, which ends with the last job.
    with LoggingProcessPoolExecutor(1, multiprocessing.get_context("fork")) as executor:
        for future in [executor.submit(jobs.log, "%d", number) for number in range(100)]:
            future.result(30)
        blocks, _ = executor._LoggingProcessPoolExecutor__jobs.progress
    assert len(records.records) == 100
    assert blocks < 20


def test_a_job_that_logs_nothing_puts_nothing_into_the_log_queue(records: Records) -> None:
    with LoggingProcessPoolExecutor(1, multiprocessing.get_context("fork")) as executor:
        for _ in range(100):
            executor.submit(jobs.square, 2).result()
        assert executor.flush_logs()
        assert executor._LoggingProcessPoolExecutor__jobs.progress == (1, 0)  # The flush.


def test_a_worker_that_leaves_by_max_tasks_per_child_is_replaced_while_its_result_waits(records: Records) -> None:
    gate = Gate(records, "gate")
    with LoggingProcessPoolExecutor(1, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as executor:
        waits = executor.submit(jobs.log, "gate")
        assert gate.reached.wait(30)
        assert executor.submit(jobs.square, 3).result(30) == 9
        assert not waits.done()
        gate.opened.set()
        waits.result(30)


def test_the_last_workers_result_waits_also_when_the_executor_is_gone(records: Records) -> None:
    gate = Gate(records, "gate")
    executor = LoggingProcessPoolExecutor(1, multiprocessing.get_context("spawn"), max_tasks_per_child=1)
    waits = executor.submit(jobs.log, "gate")
    thread, processes = executor._executor_manager_thread, executor._processes
    (worker,) = processes.values()
    reference = weakref.ref(executor)
    del executor
    gc.collect()
    assert reference() is None
    assert gate.reached.wait(30)
    worker.join(30)
    assert not waits.done()
    gate.opened.set()
    waits.result(30)
    thread.join(30)
    assert not thread.is_alive()


# No result waits for ever.


def stop_listener(executor: LoggingProcessPoolExecutor) -> None:
    executor.log_listener.stop()


def kill_manager(executor: LoggingProcessPoolExecutor) -> None:
    (manager,) = (child for child in multiprocessing.active_children() if child.name == "LogManager")
    assert manager.pid is not None
    os.kill(manager.pid, signal.SIGKILL)


@pytest.mark.parametrize("end", [stop_listener, kill_manager])
def test_results_that_wait_are_handed_over_when_the_listener_ends(
    end: Callable[[LoggingProcessPoolExecutor], None], context: BaseContext, records: Records
) -> None:
    gate = Gate(records, "gate")
    with LoggingProcessPoolExecutor(2, context) as executor:
        gated = executor.submit(jobs.log, "gate")
        assert gate.reached.wait(30)
        futures = [executor.submit(jobs.log, "%d", number) for number in range(20)]
        ending = threading.Thread(target=end, args=(executor,))
        ending.start()
        gate.opened.set()
        concurrent.futures.wait([gated, *futures], timeout=30)
        ending.join(30)
        assert all(future.done() for future in (gated, *futures))
        # And none waits from now on.
        executor.submit(jobs.log, "after").result(30)


def test_results_wait_again_when_the_listener_is_started_again(context: BaseContext, records: Records) -> None:
    with LoggingProcessPoolExecutor(1, context) as executor:
        executor.submit(jobs.log, "first").result()
        executor.log_listener.stop()
        executor.submit(jobs.log, "second").result()
        assert records.messages == ["first"]
        executor.log_listener.start()
        executor.submit(jobs.log, "third").result()
        assert records.messages == ["first", "second", "third"]
        assert executor._LoggingProcessPoolExecutor__jobs.active == {}


def test_what_comes_behind_the_end_of_a_listener_in_one_block_waits_for_the_next(records: Records) -> None:
    gate = Gate(records, "gate")
    with LoggingProcessPoolExecutor(1, multiprocessing.get_context("fork")) as executor:
        executor.submit(jobs.log, "gate")
        assert gate.reached.wait(30)
        listener = executor.log_listener
        put = threading.Event()
        enqueue = listener.enqueue_sentinel
        listener.enqueue_sentinel = lambda: (enqueue(), put.set())  # type: ignore[assignment]
        stopping = threading.Thread(target=listener.stop)
        stopping.start()
        assert put.wait(30)
        later = executor.submit(jobs.log, "later")
        assert executor.submit(jobs.square, 2).result(30) == 4  # So the record is put.
        gate.opened.set()
        later.result(30)
        stopping.join(30)
        listener.start()
        assert executor.flush_logs(30)
        assert records.messages == ["gate", "later"]


def test_a_listener_of_the_users_gets_no_marks(context: BaseContext, records: Records) -> None:
    with LoggingProcessPoolExecutor(1, context) as executor:
        executor.submit(jobs.log, "before").result()
        executor.log_listener.stop()
        for number in range(3):
            executor.submit(jobs.log, "%d", number).result()
        queue = executor.log_queue
        assert [queue.get(timeout=30).getMessage() for _ in range(3)] == ["0", "1", "2"]
        assert queue.empty()
        assert executor._LoggingProcessPoolExecutor__jobs.active == {}


def test_a_listener_that_goes_on_where_one_of_the_users_was_tells_the_results(
    context: BaseContext, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_thread, "STUCK", 1000.0)
    with LoggingProcessPoolExecutor(1, context) as executor, multiprocessing.Manager() as manager:
        executor.submit(jobs.square, 2).result(30)
        executor.log_listener.stop()
        logged, may_end = manager.Event(), manager.Event()
        future = executor.submit(log_and_wait, logged, may_end)
        assert logged.wait(30)
        queue = executor.log_queue
        assert queue.get(timeout=30).getMessage() == "0"
        executor.log_listener.start()
        may_end.set()
        future.result(30)
        assert records.messages == ["1", "2"]
        assert executor._LoggingProcessPoolExecutor__jobs.active == {}


def log_and_wait(logged: threading.Event, may_end: threading.Event) -> None:
    log_many(0, 3)
    logged.set()
    may_end.wait(30)


def test_a_worker_that_is_killed_loses_no_result_that_waits(context: BaseContext, records: Records) -> None:
    gate = Gate(records, "gate")
    executor = LoggingProcessPoolExecutor(1, context)
    waits = executor.submit(jobs.log, "gate")
    assert gate.reached.wait(30)
    assert executor.submit(jobs.square, 2).result(30) == 4  # So the first result is in the parent.
    (worker,) = executor._processes
    killed = executor.submit(os.kill, worker, signal.SIGKILL)
    with pytest.raises(BrokenProcessPool):
        killed.result(30)
    assert not waits.done()
    gate.opened.set()
    assert waits.result(30) == worker
    executor.shutdown()


class Raises(logging.Handler):
    def handle(self, record: logging.LogRecord) -> bool:
        raise SystemExit("no")


def test_a_handler_that_raises_keeps_no_result(context: BaseContext, records: Records) -> None:
    logging.getLogger("app").addHandler(handler := Raises())
    try:
        with LoggingProcessPoolExecutor(1, context) as executor:
            for number in range(20):
                executor.submit(jobs.log, "%d", number).result(30)
    finally:
        logging.getLogger("app").removeHandler(handler)


def test_a_handler_may_submit_a_job_that_logs_and_wait_for_it(context: BaseContext, records: Records) -> None:
    results: list[object] = []
    with LoggingProcessPoolExecutor(1, context) as executor:
        records.on_message["ask"] = lambda: results.append(executor.submit(jobs.log, "answer").result(30))
        executor.submit(jobs.log, "ask").result(30)
        assert len(results) == 1
    assert records.messages == ["ask", "answer"]


@pytest.mark.parametrize("way", ["result", "exception", "wait", "as_completed", "callback"])
def test_a_handler_may_wait_for_a_future_whose_records_come_later(way: str, records: Records) -> None:
    later: list[Future[Any]] = []
    submitted = threading.Event()

    def ask() -> None:
        assert submitted.wait(30)
        (future,) = later
        if way == "wait":
            concurrent.futures.wait([future])
        elif way == "as_completed":
            list(concurrent.futures.as_completed([future]))
        elif way == "callback":
            told = threading.Event()
            future.add_done_callback(lambda _: told.set())
            told.wait()
        else:
            getattr(future, way)()

    records.on_message["ask"] = ask
    with LoggingProcessPoolExecutor(2, multiprocessing.get_context("fork")) as executor:
        asks = executor.submit(jobs.log, "ask")
        records.wait_for("ask")
        later.append(executor.submit(jobs.log, "later"))
        submitted.set()
        asks.result(30)
    assert records.messages == ["ask", "later"]


def test_a_handler_that_waits_for_a_thread_that_waits_for_a_result_gets_on(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_thread, "STUCK", 0.5)
    told = threading.Event()
    records.on_message["ask"] = told.wait
    with LoggingProcessPoolExecutor(1, multiprocessing.get_context("fork")) as executor:
        executor.submit(jobs.log, "ask").result(30)
        told.set()


def test_a_slow_handler_is_waited_for_while_it_gets_on(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_thread, "STUCK", 1.0)
    never = threading.Event()
    records.on_message.update({str(number): lambda: never.wait(0.02) for number in range(75)})
    with LoggingProcessPoolExecutor(1, multiprocessing.get_context("fork")) as executor:
        executor.submit(log_many, 0, 75).result(30)
        assert len(records.messages) == 75


def test_shutdown_without_waiting_keeps_the_order(context: BaseContext, records: Records) -> None:
    gate = Gate(records, "gate")
    executor = LoggingProcessPoolExecutor(1, context)
    futures = [executor.submit(jobs.log, "gate"), *(executor.submit(jobs.log, "%d", number) for number in range(5))]
    assert gate.reached.wait(30)
    executor.shutdown(wait=False)
    assert not futures[0].done()
    gate.opened.set()
    for number, future in enumerate(futures[1:]):
        future.result(30)
        assert str(number) in records.messages
    executor.shutdown()


def test_shutdown_with_cancel_futures_ends_with_results_that_wait(context: BaseContext, records: Records) -> None:
    gate = Gate(records, "gate")
    executor = LoggingProcessPoolExecutor(1, context)
    futures = [executor.submit(jobs.log, "gate"), *(executor.submit(jobs.log, "%d", number) for number in range(20))]
    assert gate.reached.wait(30)
    ending = threading.Thread(target=executor.shutdown, kwargs={"cancel_futures": True})
    ending.start()
    gate.opened.set()
    ending.join(30)
    assert not ending.is_alive()
    assert all(future.done() for future in futures)
    assert not futures[0].cancelled()


PROGRAM = """
import logging, multiprocessing, sys
from functools import partial
from logpool import LoggingProcessPoolExecutor

class Slow(logging.StreamHandler):
    def emit(self, record):
        __import__("time").sleep(0.01)
        super().emit(record)

def work(number):
    logging.getLogger("app").info("%d", number)

def done(number, future):
    sys.stdout.write(f"done {number}\\n")

if __name__ == "__main__":
    logging.basicConfig(level="INFO", handlers=[Slow(sys.stdout)], format="%(message)s")
    executor = LoggingProcessPoolExecutor(2, multiprocessing.get_context(sys.argv[1]))
    for number in range(20):
        executor.submit(work, number).add_done_callback(partial(done, number))
"""


@pytest.mark.parametrize("start_method", START_METHODS)
def test_an_interpreter_that_exits_waits_for_the_results_in_their_order(start_method: str, run_program: Run) -> None:
    ended = run_program(PROGRAM, start_method)
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = ended.stdout.splitlines()
    assert len(lines) == 40
    assert all(lines.index(str(number)) < lines.index(f"done {number}") for number in range(20))


def test_a_pool_that_an_error_in_its_thread_breaks_hands_over_the_results_that_wait(records: Records) -> None:
    gate = Gate(records, "gate")
    executor = LoggingProcessPoolExecutor(1, multiprocessing.get_context("fork"))
    waits = executor.submit(jobs.log, "gate")
    assert gate.reached.wait(30)
    assert executor.submit(jobs.square, 2).result(30) == 4

    class Spoiled:
        def __getattr__(self, name: str) -> Any:
            raise SystemExit("spoiled")

    thread = executor._executor_manager_thread
    hook, threading.excepthook = threading.excepthook, lambda _: None
    try:
        thread.work_ids_queue = Spoiled()
        failed = executor.submit(jobs.square, 3)
        with pytest.raises(BrokenProcessPool):
            failed.result(30)
        assert not waits.done()
        gate.opened.set()
        waits.result(30)
    finally:
        executor.shutdown()
        threading.excepthook = hook


@pytest.mark.skipif(not hasattr(LoggingProcessPoolExecutor, "kill_workers"), reason="new in Python 3.14")
def test_results_that_wait_are_handed_over_when_workers_are_killed_by_the_user(records: Records) -> None:
    gate = Gate(records, "gate")
    executor = LoggingProcessPoolExecutor(1, multiprocessing.get_context("fork"))
    waits = executor.submit(jobs.log, "gate")
    assert gate.reached.wait(30)
    assert executor.submit(jobs.square, 2).result(30) == 4
    executor.kill_workers()
    gate.opened.set()
    waits.result(30)
    assert records.messages == ["gate"]
    executor.shutdown()
