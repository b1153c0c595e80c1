"""What CPython does with each private name that the library uses: a Python that moves one fails here, by name."""

from __future__ import annotations

import concurrent.futures
import contextlib
import errno
import functools
import gc
import inspect
import io
import logging
import logging.config
import multiprocessing
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, process
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, forkserver, queues, reduction, util
from multiprocessing.context import BaseContext
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from logpool._process import cpython

FORK = multiprocessing.get_context("fork")

# The executor.


class Watched(cpython.ExecutorHooks):
    """Notes what its pool is about to do."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.seen: list[object] = []
        super().__init__(*args, **kwargs)

    @contextlib.contextmanager
    def _logpool_around_worker_start(self) -> Iterator[None]:
        self.seen.append(("worker", len(cpython.workers_of(self))))
        yield
        self.seen.append(("worker started", len(cpython.workers_of(self))))

    def _logpool_before_pool_thread(self, thread: threading.Thread) -> None:
        self.seen.append(("thread", self._shutdown_lock.locked(), thread.is_alive()))


def test_an_executor_tells_what_its_pool_is_about_to_do(context: BaseContext) -> None:
    forks = context.get_start_method() == "fork"
    with Watched(2, context) as executor:
        assert executor.seen == []
        executor.submit(int).result()
        executor.submit(int).result()
        workers = [("worker", 0), ("worker started", 1)] + forks * [("worker", 1), ("worker started", 2)]
        assert executor.seen[: len(workers) + 1] == [*workers, ("thread", True, False)]
        thread = cpython.pool_thread_of(executor)
        assert thread.is_alive()
    assert cpython.pool_thread_of(executor) is None
    assert not thread.is_alive()


@pytest.mark.parametrize(
    ("arguments", "options"),
    [((0,), {}), ((1, FORK, 1), {}), ((1, FORK), {"max_tasks_per_child": 0}), ((1, FORK), {"max_tasks_per_child": 1})],
)
def test_an_executor_checks_its_arguments_before_it_tells_anything(arguments: Any, options: Any) -> None:
    executor = Watched.__new__(Watched)
    with pytest.raises((TypeError, ValueError)):
        executor.__init__(*arguments, **options)
    assert executor.seen == []


def test_a_submit_whose_thread_is_refused_leaves_the_pool_without_one() -> None:
    class Refusing(cpython.ExecutorHooks):
        refused = False

        def _logpool_before_pool_thread(self, thread: threading.Thread) -> None:
            if not self.refused:
                self.refused = True
                raise OSError("refused")

    with Refusing(1, FORK) as executor:
        with pytest.raises(OSError, match="refused"):
            executor.submit(int)
        assert cpython.pool_thread_of(executor) is None
        assert executor.submit(int).result(30) == 0


def test_an_executor_has_its_workers_by_their_pids_until_it_is_shut_down() -> None:
    with ProcessPoolExecutor(1, FORK) as executor:
        assert cpython.workers_of(executor) == {}
        pid = executor.submit(os.getpid).result()
        assert [worker.pid for worker in cpython.workers_of(executor).values()] == list(cpython.workers_of(executor))
        assert list(cpython.workers_of(executor)) == [pid]
    for part in (cpython.workers_of, cpython.call_queue_of, cpython.result_queue_of, cpython.wakeup_of):
        assert part(executor) is None


def test_a_submit_starts_another_worker_by_the_method_that_does_nothing_after_shutdown() -> None:
    class Adjusted(cpython.ExecutorHooks):
        adjusted = 0

        def _adjust_process_count(self) -> None:
            self.adjusted += 1
            super()._adjust_process_count()

    with Adjusted(1, multiprocessing.get_context("spawn")) as executor:
        executor.submit(int).result()
        assert executor.adjusted == 1
    executor._adjust_process_count()
    assert cpython.workers_of(executor) is None


def test_a_worker_can_be_spawned_out_of_turn() -> None:
    with ProcessPoolExecutor(2, FORK) as executor:
        cpython.spawn_worker(executor)
        assert len(cpython.workers_of(executor)) == 1
        assert executor.submit(int).result() == 0


def test_jobs_are_counted_by_the_executor() -> None:
    with ProcessPoolExecutor(1, FORK) as executor:
        assert cpython.job_count_of(executor) == 0
        executor.submit(int).result()
        assert cpython.job_count_of(executor) == 1
    with pytest.raises(RuntimeError):
        executor.submit(int)
    assert cpython.job_count_of(executor) == 1


@pytest.mark.parametrize("is_first", [True, False])
def test_a_job_is_noted_then_queued_then_counted(monkeypatch: pytest.MonkeyPatch, is_first: bool) -> None:
    with ProcessPoolExecutor(1, FORK) as executor:
        if not is_first:
            executor.submit(int).result()
        before = cpython.job_count_of(executor)

        def interrupt(work_id: int) -> None:
            assert work_id == before
            raise KeyboardInterrupt

        with monkeypatch.context() as interrupts:
            interrupts.setattr(executor._work_ids, "put", interrupt)
            with pytest.raises(KeyboardInterrupt):
                executor.submit(int)
        assert cpython.job_count_of(executor) == before
        assert cpython.finish_count(executor, before)
        assert cpython.job_count_of(executor) == before + 1
        assert not cpython.finish_count(executor, before + 1)
        assert cpython.job_count_of(executor) == before + 1
        executor._pending_work_items.clear()  # Else the pool would wait for it for ever.


def test_the_pools_thread_takes_the_numbers_of_jobs_from_what_takes_the_queues_place() -> None:
    reading, writing = os.pipe()
    with ProcessPoolExecutor(1, FORK) as executor:
        cpython.WorkIds.patch(executor)
        assert executor.submit(abs, -1).result() == 1
        assert cpython.pool_thread_of(executor).work_ids_queue is executor._work_ids
        futures = [executor.submit(os.read, reading, 1) for _ in range(10)]
        futures[-1].add_done_callback(lambda _: os.write(writing, bytes(10)))  # When it is cancelled.
        executor.shutdown(cancel_futures=True)
    os.close(reading)
    os.close(writing)
    cancelled = [future.cancelled() for future in futures]
    assert cancelled[-1]
    assert [future.result() for future in futures[: cancelled.index(True)]] == [b"\0"] * cancelled.index(True)


def test_a_broken_executor_says_why_it_takes_no_job() -> None:
    with ProcessPoolExecutor(1, FORK) as executor:
        cpython.break_executor(executor, "this is why")
        with pytest.raises(BrokenProcessPool, match="this is why"):
            executor.submit(int)


def test_mapped_functions_are_in_a_partial_of_the_pools_own() -> None:
    submitted: list[functools.partial[object]] = []

    class Spy(ProcessPoolExecutor):
        def submit(self, function: Any, /, *arguments: Any) -> Any:
            submitted.append(function)
            return super().submit(function, *arguments)

    with Spy(1, FORK) as executor:
        assert list(executor.map(abs, [-1])) == [1]
    (function,) = submitted
    assert function.func is cpython.process_chunk
    assert function.args == (abs,)


# The pool's thread.


class Thread(cpython.PoolThreadHooks):
    """A pool's thread that notes what it does."""

    seen: queue.SimpleQueue[Any]

    def wait_result_broken_or_wakeup(self, *args: Any) -> Any:
        what = super().wait_result_broken_or_wakeup(*args)
        self.seen.put(("wait", *what))
        return what

    def process_result_item(self, result_item: Any, *args: Any) -> None:
        self.seen.put(("result", result_item.work_id, self.pending_work_items[result_item.work_id].future))
        super().process_result_item(result_item, *args)

    def terminate_broken(self, *args: Any) -> None:
        for work_item in self.pending_work_items.values():
            work_item.future = FailedFuture(work_item.future, self.seen)
        super().terminate_broken(*args)

    def all_seen(self) -> Iterator[Any]:
        while not self.seen.empty():
            yield self.seen.get()


class FailedFuture:
    def __init__(self, future: Future[Any], seen: queue.SimpleQueue[Any]) -> None:
        self.future = future
        self.seen = seen

    def __getattr__(self, name: str) -> Any:
        return getattr(self.future, name)

    def set_exception(self, error: BaseException) -> None:
        self.seen.put(("failed", error))
        self.future.set_exception(error)


class Threaded(cpython.ExecutorHooks):
    """Has a `Thread`."""

    def _logpool_before_pool_thread(self, thread: Any) -> None:
        thread.seen = queue.SimpleQueue()
        thread.__class__ = Thread


def test_the_pools_thread_has_the_executors_parts() -> None:
    with Threaded(1, FORK) as executor:
        executor.submit(int).result()
        thread = cpython.pool_thread_of(executor)
        assert thread.executor_reference() is executor
        assert thread.processes is cpython.workers_of(executor)
        assert thread.call_queue is cpython.call_queue_of(executor)
        assert thread.thread_wakeup is cpython.wakeup_of(executor)
        assert thread.shutdown_lock is executor._shutdown_lock
        assert thread.pending_work_items is cpython.call_queue_of(executor).pending_work_items


def test_the_pools_thread_handles_each_result_by_a_method_that_can_be_extended() -> None:
    with Threaded(1, FORK) as executor:
        futures = [executor.submit(abs, number) for number in range(3)]
        assert [future.result() for future in futures] == [0, 1, 2]
        seen = [what for what in cpython.pool_thread_of(executor).all_seen() if what[0] == "result"]
    assert seen == [("result", number, future) for number, future in enumerate(futures)]


def test_a_result_is_waited_for_by_the_same_method_and_read_from_a_connection() -> None:
    with Threaded(1, FORK) as executor:
        executor.submit(abs, -3).result()
        seen = [what for what in cpython.pool_thread_of(executor).all_seen() if what[0] == "wait" and what[1]]
        assert isinstance(cpython.result_reader_of(cpython.result_queue_of(executor)), connection.Connection)
    ((_, result_item, is_broken, cause),) = seen
    assert (result_item.work_id, result_item.result, is_broken, cause) == (0, 3, False, None)


def test_the_pools_thread_waits_by_a_method_that_can_be_extended_and_can_be_woken() -> None:
    with Threaded(1, FORK) as executor:
        executor.submit(int).result()  # Of what `submit` wakes it by, nothing is left.
        thread = cpython.pool_thread_of(executor)
        list(thread.all_seen())
        cpython.wakeup_of(executor).wakeup()
        assert thread.seen.get(timeout=30) == ("wait", None, False, None)


def test_the_pools_thread_fails_the_futures_by_a_method_that_can_be_extended() -> None:
    reading, writing = os.pipe()
    with Threaded(1, FORK) as executor:
        future = executor.submit(os.read, reading, 1)
        thread = cpython.pool_thread_of(executor)
        (worker,) = cpython.workers_of(executor)
        os.kill(worker, signal.SIGKILL)
        error = future.exception(30)
        assert isinstance(error, BrokenProcessPool)
    seen = list(thread.all_seen())
    assert ("wait", None, True, None) in seen
    assert ("failed", error) in seen
    os.close(reading)
    os.close(writing)


def test_a_job_that_cannot_be_pickled_fails_without_the_pools_lock() -> None:
    may_fail = threading.Event()

    class Unpicklable:
        def __reduce__(self) -> Any:
            assert may_fail.wait(30)
            raise pickle.PicklingError("no")

    with ProcessPoolExecutor(1, FORK) as executor:
        cpython.feed_without_lock(cpython.call_queue_of(executor))
        future = executor.submit(id, Unpicklable())
        with executor._shutdown_lock:
            may_fail.set()
            assert isinstance(future.exception(30), pickle.PicklingError)


@pytest.mark.parametrize("breaks", [False, True])
def test_the_pools_thread_joins_the_workers_after_a_method_that_can_be_extended(breaks: bool) -> None:
    called: queue.SimpleQueue[str] = queue.SimpleQueue()

    class Joining(cpython.PoolThreadHooks):
        def note(self, name: str) -> None:
            for worker in self.processes.values():
                worker.join = lambda: called.put("join")
            called.put(name)

        def shutdown_workers(self) -> None:
            self.note("shutdown_workers")
            super().shutdown_workers()

        def join_internals(self, *args: Any, **kwargs: Any) -> None:
            self.note("join_internals")
            super().join_internals(*args, **kwargs)

    class JoiningExecutor(cpython.ExecutorHooks):
        def _logpool_before_pool_thread(self, thread: Any) -> None:
            thread.__class__ = Joining

    with JoiningExecutor(1, FORK) as executor:
        executor.submit(int).result()
        (worker,) = cpython.workers_of(executor).values()
        if breaks:
            executor.submit(os.kill, worker.pid, signal.SIGKILL).exception()
    type(worker).join(worker)
    seen = [called.get() for _ in range(called.qsize())]
    if sys.version_info < (3, 12):
        assert seen == ["shutdown_workers", "join"]
    elif breaks:
        assert seen == ["join_internals", "join"]
    else:
        assert seen == ["join_internals", "shutdown_workers", "join"]


class Wakeup(cpython.ThreadWakeup):
    closed_by: int | None = None

    def close(self) -> None:
        self.closed_by = threading.get_ident()
        super().close()


def test_the_pools_thread_closes_its_wakeup() -> None:
    with ProcessPoolExecutor(1, FORK) as executor:
        wakeup = cpython.wakeup_of(executor)
        assert type(wakeup) is cpython.ThreadWakeup
        wakeup.__class__ = Wakeup
        executor.submit(int).result()
        thread = cpython.pool_thread_of(executor)
    assert wakeup.closed_by == thread.ident


class WatchedLock:
    entered = 0

    def __enter__(self) -> None:
        self.entered += 1

    def __exit__(self, *args: object) -> None:
        pass


def test_a_wakeup_has_a_lock_from_3_12_8_and_3_13_1_on() -> None:
    with ProcessPoolExecutor(1, FORK) as executor:
        wakeup = cpython.wakeup_of(executor)
        has_lock = cpython.has_lock(wakeup)
        assert has_lock == ((3, 12, 8) <= sys.version_info < (3, 13) or sys.version_info >= (3, 13, 1))
        lock = wakeup._lock = WatchedLock()
        wakeup.wakeup()
        wakeup.close()
        assert lock.entered == (2 if has_lock else 0)


def test_a_worker_that_has_left_is_replaced_by_the_method_that_tells_the_versions_apart() -> None:
    replaced_by: set[str] = set()

    class ReplacingThread(cpython.PoolThreadHooks):
        def replace_dead_worker(self, *args: Any, **kwargs: Any) -> Any:
            replaced_by.add("replace_dead_worker")
            return super().replace_dead_worker(*args, **kwargs)

    class Replacing(cpython.ExecutorHooks):
        def _logpool_before_pool_thread(self, thread: Any) -> None:
            thread.__class__ = ReplacingThread

        def _adjust_process_count(self) -> None:
            if isinstance(threading.current_thread(), ReplacingThread):
                replaced_by.add("_adjust_process_count")
            super()._adjust_process_count()

    with Replacing(1, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as executor:
        executor.submit(int).result()
    assert replaced_by == {"replace_dead_worker" if cpython.REPLACES_DEAD_WORKERS else "_adjust_process_count"}


def test_a_remote_traceback_is_printed_as_its_text() -> None:
    assert str(cpython.remote_traceback("text")) == "text"


# The pool's queues.


def test_a_worker_gets_jobs_by_get_and_puts_results_by_put() -> None:
    class Calls:
        def __init__(self) -> None:
            self.items = [process._CallItem(3, divmod, (7, 2), {}), None]

        def get(self, *args: object, **kwargs: object) -> Any:
            return self.items.pop(0)

    class Results(list[Any]):
        def put(self, item: object) -> None:
            self.append(item)

    results = Results()
    process._process_worker(Calls(), results, None, ())
    result, pid = results
    assert (result.work_id, result.result) == (3, (3, 1))
    assert pid == os.getpid()


class CallQueue(cpython.CallQueueHooks):
    """Notes what it reads, and what it can't send."""

    received: list[bytes]
    errors: queue.SimpleQueue[tuple[Exception, Any]]

    @classmethod
    def of(cls, executor: ProcessPoolExecutor) -> CallQueue:
        call_queue: CallQueue = cpython.call_queue_of(executor)
        assert type(call_queue) is process._SafeQueue
        call_queue.received = []
        call_queue.errors = queue.SimpleQueue()
        call_queue.__class__ = cls
        return call_queue

    def receive(self) -> bytes:
        self.received.append(super().receive())
        return self.received[-1]

    def on_feeder_error(self, error: Exception, obj: Any, *args: Any, **kwargs: Any) -> None:
        self.errors.put((error, obj))
        super().on_feeder_error(error, obj, *args, **kwargs)


@contextlib.contextmanager
def queue_of_a_pool() -> Iterator[CallQueue]:
    """Without workers. Not a fixture: pytest would keep it, and it has the pool's pipes."""
    with ProcessPoolExecutor(1, FORK) as executor:
        call_queue = CallQueue.of(executor)
        yield call_queue
        call_queue.close()
        call_queue.join_thread()


def job(function: Callable[..., object]) -> Any:
    return process._CallItem(3, function, (), {})


def test_what_is_got_from_the_call_queue_is_read_by_a_method_that_can_be_replaced() -> None:
    with queue_of_a_pool() as call_queue:
        call_queue.put(job(int))
        connection.wait([call_queue.reading_end])
        item = call_queue.get(block=True)
        assert (item.work_id, item.fn) == (3, int)
        assert cpython.is_job(item)
        assert [pickle.loads(data).work_id for data in call_queue.received] == [3]


def test_a_job_that_cannot_be_pickled_fails_by_a_method_that_can_be_extended() -> None:
    with ProcessPoolExecutor(1, FORK) as executor:
        call_queue = CallQueue.of(executor)
        function = lambda: None  # noqa: E731
        failed = executor.submit(function).exception(30)
        error, item = call_queue.errors.get(timeout=30)
        assert failed is error
        assert cpython.is_job(item)
        assert (item.work_id, item.fn) == (0, function)
        assert executor.submit(int).result(30) == 0


def test_what_is_put_into_the_call_queue_at_once_is_got_and_counted_as_any_other() -> None:
    with queue_of_a_pool() as call_queue:
        for _ in range(2):  # A pool of one worker has room for so many.
            assert not call_queue.full()
            assert call_queue.put_at_once(job(int), 1000, block=False)
        assert call_queue.full()
        with pytest.raises(queue.Full):
            call_queue.put_at_once(job(int), 1000, block=False)
        assert [call_queue.get().fn for _ in range(2)] == [int, int]
        assert not call_queue.full()
        assert not call_queue.put_at_once(job(int), 100)
        assert not call_queue.put_at_once(job(lambda: None), 1000)
        assert not call_queue.full()


def test_what_is_put_at_once_overtakes_nothing() -> None:
    class Blocks:
        def __reduce__(self) -> tuple[Callable[..., str], tuple[()]]:
            pickling.set()
            assert go_on.wait(30)
            return str, ()

    pickling, go_on = threading.Event(), threading.Event()
    with queue_of_a_pool() as call_queue:
        call_queue.put(job(Blocks()))  # type: ignore[arg-type]  # It isn't run.
        assert pickling.wait(30)
        assert not call_queue.put_at_once(job(int), 1000)
        call_queue.put(job(lambda: None))
        go_on.set()
        assert call_queue.get().fn == ""
        call_queue.errors.get(timeout=30)
        assert call_queue.put_at_once(job(int), 1000)
        assert call_queue.get().fn is int


def test_the_thread_that_feeds_the_call_queue_is_there_from_the_first_object() -> None:
    with queue_of_a_pool() as call_queue:
        assert not any(thread.name == "QueueFeederThread" for thread in threading.enumerate())
        call_queue.put_at_once(job(int), 1000)
        assert any(thread.name == "QueueFeederThread" for thread in threading.enumerate())


def test_a_call_queue_that_was_used_is_gone_with_its_pool() -> None:
    gc.disable()
    try:
        with queue_of_a_pool() as call_queue:
            call_queue.put_at_once(job(int), 1000)
            reference = weakref.ref(call_queue)
        del call_queue
        assert reference() is None
    finally:
        gc.enable()


def test_a_closed_call_queue_takes_nothing_at_once() -> None:
    with queue_of_a_pool() as call_queue:
        call_queue.close()
        assert not call_queue.put_at_once(job(int), 1000)
        with pytest.raises(ValueError, match="closed"):
            call_queue.put(job(int))


def test_another_pickler_of_the_call_queue_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cpython.pickles_as_usual()
    with monkeypatch.context() as patch:
        patch.setattr(queues, "_ForkingPickler", type("Other", (queues._ForkingPickler,), {}))  # type: ignore[attr-defined]
        assert not cpython.pickles_as_usual()
    assert cpython.pickles_as_usual()
    monkeypatch.setitem(reduction.ForkingPickler._extra_reducers, functools.partial, repr)  # type: ignore[attr-defined]
    assert not cpython.pickles_as_usual()


def test_a_module_is_loaded_when_its_import_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "package_of_a_test"
    package.mkdir()
    (package / "__init__.py").write_text("from package_of_a_test import inner; inner.tell(__name__)")
    (package / "inner.py").write_text(
        "from logpool._process import cpython\n"
        "def tell(package): print(cpython.is_loaded(package), cpython.is_loaded(__name__))\n"
        "tell(__name__)\n"
    )
    code = """if True:
        from logpool._process import cpython
        print(cpython.is_loaded("package_of_a_test"))
        import package_of_a_test
        package_of_a_test.inner.tell("package_of_a_test")
    """
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.stderr == ""
    # Before the import, at the end of the inner one's, at the end of the package's, and after it.
    assert ended.stdout.split() == ["False", "False", "False", "False", "False", "True", "True"]


@pytest.mark.parametrize("at_once", [False, True], ids=["put", "put at once"])
def test_bytes_of_a_job_that_cannot_be_written_are_reported_if_asked_for(at_once: bool) -> None:
    with queue_of_a_pool() as call_queue:
        cpython.report_broken_pipe(call_queue)
        cpython.close_reading_end(call_queue)
        if at_once:
            call_queue.put_at_once(job(int), 1000)
        else:
            call_queue.put(job(int))
        error, data = call_queue.errors.get(timeout=30)
        assert isinstance(error, OSError)
        assert error.errno == errno.EPIPE
        assert not cpython.is_job(data)


def test_the_thread_that_feeds_the_call_queue_ends_silently_by_a_broken_pipe_if_not() -> None:
    before = set(threading.enumerate())
    with queue_of_a_pool() as call_queue:
        cpython.close_reading_end(call_queue)
        call_queue.put(job(int))
        for thread in set(threading.enumerate()) - before:
            thread.join(30)
        assert set(threading.enumerate()) <= before
        assert call_queue.errors.empty()


class Writer:
    def __init__(self) -> None:
        self.written: list[Any] = []

    def send_bytes(self, data: Any) -> None:
        self.written.append(pickle.loads(data))


def test_a_result_is_pickled_first_and_then_written_by_what_is_in_the_writers_place() -> None:
    with ProcessPoolExecutor(1, FORK) as executor:
        results = cpython.result_queue_of(executor)
        results.__class__ = cpython.ResultQueueHooks
        results.put("through the pipe")
        assert pickle.loads(results.reader.recv_bytes()) == "through the pipe"
        pipe, results.writer = results.writer, Writer()
        results.put("through the writer")
        with pytest.raises((AttributeError, pickle.PicklingError)):
            results.put(lambda: None)
        assert results.writer.written == ["through the writer"]
        results.writer = pipe
        assert executor.submit(int).result(30) == 0


# Processes of `multiprocessing`.


def test_a_child_can_be_forgotten() -> None:
    reading, writing = os.pipe()
    child = FORK.Process(target=os.read, args=(reading, 1))
    child.start()
    assert child in multiprocessing.active_children()
    cpython.forget_child(child)
    assert child not in multiprocessing.active_children()
    cpython.forget_child(child)
    os.write(writing, b"x")
    child.join()
    os.close(reading)
    os.close(writing)


class Launched(cpython.LaunchedProcess):
    """Forked, and ends with the exit code that it reads."""

    reading = -1

    def launch(self, its_end: int) -> int:
        os.fstat(its_end)
        pid = os.fork()
        if pid == 0:
            os._exit(os.read(self.reading, 1)[0])
        return pid


def test_a_process_is_launched_by_its_class_and_waited_for_as_any_other() -> None:
    reading, writing = os.pipe()
    launched = Launched(name="launched")
    launched.reading = reading
    launched.start()
    assert launched in multiprocessing.active_children()
    launched.join(0)
    assert launched.exitcode is None
    assert connection.wait([launched.sentinel], 0) == []
    os.write(writing, bytes([7]))
    launched.join(30)
    assert launched.exitcode == 7
    launched.close()
    os.close(reading)
    os.close(writing)


def test_a_process_that_cannot_be_launched_leaves_nothing_behind() -> None:
    class Failing(cpython.LaunchedProcess):
        def launch(self, its_end: int) -> int:
            raise OSError("failed")

    descriptors = len(os.listdir("/dev/fd"))
    with pytest.raises(OSError, match="failed"):
        Failing().start()
    assert len(os.listdir("/dev/fd")) == descriptors
    assert multiprocessing.active_children() == []


def test_a_forkserver_is_known_once_it_runs() -> None:
    code = """if True:
        import multiprocessing
        from logpool._process import cpython
        print(cpython.has_forkserver())
        process = multiprocessing.get_context("forkserver").Process(target=int)
        print(cpython.has_forkserver())
        process.start()
        print(cpython.has_forkserver())
        process.join()
    """
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert (ended.stdout.split(), ended.stderr) == (["False", "False", "True"], "")


class ByForkserver(cpython.ByForkserver):
    """Writes what it reads from one pipe into another, and ends with an exit code."""

    def __init__(self, *descriptors: int) -> None:
        super().__init__(name="forked")
        self._descriptors = list(descriptors)

    def descriptors(self) -> list[int]:
        return self._descriptors

    def program(self) -> str:
        return """if True:
            import os
            from multiprocessing.forkserver import get_inherited_fds
            reading, writing = get_inherited_fds()
            os.write(writing, os.read(reading, 100))
            os._exit(7)
        """


def test_a_forkserver_runs_the_program_that_it_is_sent_with_the_descriptors_that_it_is_sent() -> None:
    reading, to_write = os.pipe()
    to_read, writing = os.pipe()
    forked = ByForkserver(to_read, to_write)
    forked.start()
    assert forked in multiprocessing.active_children()
    forked.join(0)
    assert forked.exitcode is None
    os.write(writing, b"through")
    assert os.read(reading, 100) == b"through"
    forked.join(30)
    assert forked.exitcode == 7
    forked.close()
    for descriptor in (reading, to_write, to_read, writing):
        os.close(descriptor)


def test_a_program_that_cannot_be_sent_to_a_forkserver_leaves_nothing_behind(capfd: pytest.CaptureFixture[str]) -> None:
    class Failing(ByForkserver):
        def program(self) -> str:
            raise OSError("failed")

    process = multiprocessing.get_context("forkserver").Process(target=int)
    process.start()  # Else the forkserver's own would be counted.
    process.join()
    process.close()
    descriptors = len(os.listdir("/dev/fd"))
    with pytest.raises(OSError, match="failed"):
        Failing().start()
    assert len(os.listdir("/dev/fd")) == descriptors
    assert multiprocessing.active_children() == []


def test_a_program_has_the_descriptors_that_it_is_given_and_no_other() -> None:
    reading, writing = os.pipe()
    os.set_inheritable(reading, True)
    code = """if True:
        import os, sys
        try:
            os.fstat(int(sys.argv[2]))
        except OSError:
            os.write(int(sys.argv[1]), b"not the other")
    """
    pid = cpython.start_program([sys.executable, "-S", "-c", code, str(writing), str(reading)], (writing,))
    os.close(writing)
    assert os.read(reading, 100) == b"not the other"
    assert os.waitpid(pid, 0)[1] == 0
    os.close(reading)


# Signals.


def test_signals_are_masked_and_told_as_plain_numbers() -> None:
    everything = signal.valid_signals()
    assert cpython.handled_signals(everything) == {one for one in everything if callable(signal.getsignal(one))}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        assert cpython.mask_signals(signal.SIG_BLOCK, {signal.SIGUSR1}) == before
        masked = cpython.mask_signals(signal.SIG_SETMASK, before)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert masked == before | {signal.SIGUSR1}
    assert {type(number) for number in masked} == {int}


# Not private by name, but not documented either.


def test_a_finalizer_is_called_when_its_object_is_collected_unless_it_was_cancelled() -> None:
    class Owner:
        pass

    called: list[str] = []
    owner, other = Owner(), Owner()
    util.Finalize(owner, called.append, args=("collected",), exitpriority=0)
    finalizer = util.Finalize(other, called.append, args=("cancelled",), exitpriority=0)
    finalizer.cancel()
    del owner, other
    gc.collect()
    assert called == ["collected"]


def test_captured_warnings_are_shown_by_a_function_of_logging() -> None:
    logging.captureWarnings(True)
    try:
        assert warnings.showwarning is logging._showwarning
    finally:
        logging.captureWarnings(False)
    assert warnings.showwarning is not logging._showwarning


# Settings of logging, and starts of children.


def test_a_change_of_levels_empties_the_root_loggers_cache() -> None:
    for change in (lambda: logging.getLogger("private.names").setLevel("NOTSET"), lambda: logging.disable(0)):
        logging.root._cache["mark"] = True
        change()
        assert "mark" not in logging.root._cache


def test_a_job_takes_one_more_attribute_on_its_way() -> None:
    item = process._CallItem(0, int, (), {})
    item.settings = 1, b""
    assert pickle.loads(pickle.dumps(item)).settings == (1, b"")


def test_each_new_handler_is_in_the_list_of_handlers() -> None:
    before = len(logging._handlerList)
    handler = logging.NullHandler()
    assert len(logging._handlerList) == before + 1
    assert logging._handlerList[-1]() is handler


@pytest.mark.parametrize(("style", "template"), [("%", "%(message)s"), ("{", "{message}"), ("$", "$message")])
def test_a_formatter_tells_its_template(style: Any, template: str) -> None:
    assert logging.Formatter(template, style=style)._style._fmt == template
    assert logging.Formatter()._style._fmt == "%(message)s"


def test_configurations_disable_existing_loggers_by_one_function(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(logging.config, "_handle_existing_loggers", lambda existing, *args: seen.extend(existing))
    logging.getLogger("private.names")
    logging.config.dictConfig({"version": 1, "root": {"handlers": [handler.name for handler in ()]}})
    assert "private.names" in seen


def test_file_handlers_open_their_files_by_one_method(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(logging.FileHandler, "_open", lambda handler: io.StringIO())
    logging.FileHandler(tmp_path / "app.log").close()
    assert not (tmp_path / "app.log").exists()


def test_a_forkserver_has_the_main_modules_path_in_a_variable_where_it_preloads() -> None:
    assert "__main__" in forkserver.ForkServer()._preload_modules
    functions = [getattr(forkserver, name, None) for name in ("main", "_handle_preload")]
    assert any("main_path" in inspect.signature(function).parameters for function in functions if function is not None)


def test_the_path_to_preload_is_looked_for_in_all_that_has_called() -> None:
    def preload(main_path: str) -> list[str | None]:
        return list(map(import_module, [main_path]))

    def import_module(name: str) -> str | None:
        return cpython.path_to_preload()

    assert preload("main.py") == ["main.py"]
    assert cpython.path_to_preload() is None


def test_a_logger_logs_by_one_method_that_calls_handle(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    logger = logging.getLogger("private.names")
    monkeypatch.setattr(logging.Logger, "_log", lambda *args, **kwargs: called.append("_log"))
    for log in (logger.critical, logger.error, logger.warning):
        log("said")
    logger.log(logging.ERROR, "said")
    assert called == 4 * ["_log"]
    monkeypatch.undo()
    monkeypatch.setattr(logger, "handle", lambda record: called.append(record.msg))
    cpython.log_method(logger, logging.ERROR, "handled", ())
    assert called[4:] == ["handled"]


def test_a_process_hands_its_configuration_to_children() -> None:
    assert cpython.inherited_settings()["authkey"] == multiprocessing.current_process().authkey
    child = multiprocessing.get_context("spawn").Process()
    assert cpython.settings_of(child) == cpython.inherited_settings()
    assert cpython.settings_of(child) is not cpython.inherited_settings()


def test_process_objects_are_known_until_they_are_started() -> None:
    child = multiprocessing.get_context("fork").Process()
    assert child in cpython.unstarted_children()
    child.start()
    assert child not in cpython.unstarted_children()
    child.join()


def test_the_number_of_a_process_object_can_be_given_to_the_next() -> None:
    context = multiprocessing.get_context("fork")
    cpython.give_number_back(first := context.Process())
    assert context.Process().name == first.name
    assert context.Process().name != first.name


def test_a_forkserver_preloads_what_it_is_told() -> None:
    server = forkserver._forkserver
    before = list(server._preload_modules)
    server.set_forkserver_preload(["__main__", "json"])
    try:
        cpython.preload_instead("__main__", "another")
        assert server._preload_modules == ["another", "json"]
        cpython.preload_instead("another", "__main__")
        assert server._preload_modules == ["__main__", "json"]
    finally:
        server.set_forkserver_preload(before)


def test_a_module_is_run_as_the_main_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "to_be_main.py").write_text("found = __name__, __spec__.name\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["x"])
    main = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    cpython.module_runner()("to_be_main")
    assert main.found == ("__main__", "to_be_main")
    assert sys.argv == [str(tmp_path / "to_be_main.py")]
    with pytest.raises(SystemExit, match="No module named there_is_none"):
        cpython.module_runner()("there_is_none")


class Unpickled:
    def __reduce__(self) -> Any:
        return _is_inheriting, ()


def _is_inheriting() -> bool:
    return cpython.is_inheriting()


def put(results: Any, *values: bool) -> None:
    results.put([*values, cpython.is_inheriting()])


def test_a_child_knows_that_it_still_unpickles_what_it_was_started_with() -> None:
    context = multiprocessing.get_context("spawn")
    results = context.SimpleQueue()
    child = context.Process(target=put, args=(results, Unpickled()))
    child.start()
    child.join()
    assert results.get() == [True, False]
    results.close()


def test_a_logger_method_calls_log_and_that_calls_handle() -> None:
    # Not called, but imitated by the frames between a worker's call site and the parent's handlers.
    seen: list[str] = []

    class Watching(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            frame = inspect.currentframe()
            while (frame := frame.f_back) is not None and frame.f_code.co_filename == logging.__file__:
                seen.append(frame.f_code.co_name)

    logger = logging.Logger("app")
    logger.addHandler(Watching())
    logger.log(logging.INFO, "x")
    assert seen == ["handle", "callHandlers", "handle", "_log", "log"]
    assert logging.getLogger.__code__.co_filename == logging.__file__


# What order needs: results that carry something, futures that tell when they are asked, and wake-ups.


def test_a_result_travels_with_all_its_attributes() -> None:
    item: Any = process._ResultItem(3, result=4)
    item.more = 5
    assert cpython.is_result(item)
    copy = pickle.loads(pickle.dumps(item))
    assert (copy.work_id, copy.result, copy.more) == (3, 4, 5)


def test_a_result_queue_takes_what_was_pickled_before() -> None:
    results: Any = FORK.SimpleQueue()
    results.__class__ = cpython.ResultQueueHooks
    results.put_pickled(results.pickled("result"))
    assert cpython.result_reader_of(results) is results.reader
    assert results.get() == "result"
    results.close()


def test_whatever_a_future_is_asked_its_subclass_is_told() -> None:
    class Asked(cpython.FutureHooks[int]):
        count = 0

        def _on_use(self) -> None:
            self.count += 1

    def wait_for(future: Future[int]) -> object:
        return concurrent.futures.wait([future], timeout=0)

    def complete(future: Future[int]) -> object:
        return list(concurrent.futures.as_completed([future]))

    future: Any = Future()
    future.__class__ = Asked  # As a pool's futures are.
    future.set_result(1)
    asks: list[Callable[[Future[int]], object]] = [
        Future.result,
        Future.exception,
        Future.done,
        lambda future: future.add_done_callback(print) or None,
        wait_for,
        complete,
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        for ask in asks:
            before = future.count
            ask(future)
            assert future.count > before, ask


def test_a_wake_up_can_be_waited_for_and_taken_until_it_is_closed() -> None:
    wakeup: Any = cpython.ThreadWakeup()
    reader = cpython.reading_end_of(wakeup)
    assert not reader.poll()
    wakeup.wakeup()
    wakeup.wakeup()
    assert reader.poll()
    wakeup.clear()
    assert not reader.poll()
    assert not cpython.is_closed(wakeup)
    wakeup.close()
    assert cpython.is_closed(wakeup)
