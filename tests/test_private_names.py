"""The private names of CPython that the library uses: a Python that moves one fails here, by name."""

from __future__ import annotations

import concurrent.futures
import inspect
import logging
import multiprocessing
import multiprocessing.queues
import pickle
import threading
import warnings
from concurrent.futures import Future, ProcessPoolExecutor, _base, process
from multiprocessing import connection, managers, popen_fork, popen_spawn_posix, util
from typing import Any


def test_submit_makes_the_pools_thread_under_its_lock_and_starts_it_when_it_has_kept_it() -> None:
    seen: list[tuple[bool, bool]] = []

    class Watched(ProcessPoolExecutor):
        kept: threading.Thread | None

        @property
        def _executor_manager_thread(self) -> threading.Thread | None:
            return self.kept

        @_executor_manager_thread.setter
        def _executor_manager_thread(self, thread: threading.Thread | None) -> None:
            self.kept = thread
            if thread is not None:
                seen.append((self._shutdown_lock.locked(), thread.is_alive()))

    with Watched(1) as executor:
        executor.submit(int).result()
        executor.submit(int).result()
    assert seen == [(True, False)]


def test_captured_warnings_are_shown_by_a_function_of_logging() -> None:
    logging.captureWarnings(True)
    try:
        assert warnings.showwarning is logging._showwarning
    finally:
        logging.captureWarnings(False)
    assert warnings.showwarning is not logging._showwarning


def test_a_manager_keeps_its_address_and_state_where_ours_sets_them() -> None:
    manager = managers.BaseManager(address=("127.0.0.1", 1))
    assert manager._address == ("127.0.0.1", 1)
    assert manager._state.value == managers.State.INITIAL
    assert managers.State.STARTED != managers.State.INITIAL


def test_a_handshake_is_made_of_a_challenge_in_each_direction() -> None:
    # Not private by name, but not documented either.
    for name in ("deliver_challenge", "answer_challenge"):
        assert list(inspect.signature(getattr(connection, name)).parameters)[:2] == ["connection", "authkey"]
    source = inspect.getsource(connection.Client)
    assert source.index("answer_challenge(c, authkey)") < source.index("deliver_challenge(c, authkey)")
    assert {"obj", "callback", "args", "exitpriority"} <= set(inspect.signature(util.Finalize).parameters)


def test_a_worker_reads_its_jobs_and_their_numbers_from_the_call_queue() -> None:
    assert issubclass(process._SafeQueue, multiprocessing.queues.Queue)
    source = inspect.getsource(process._process_worker)
    assert "call_queue.get(block=True)" in source
    assert "call_item.fn(" in source
    assert "call_item.work_id" in source
    assert "self._recv_bytes()" in inspect.getsource(multiprocessing.queues.Queue.get)
    with ProcessPoolExecutor(1) as executor:
        assert type(executor._call_queue) is process._SafeQueue
        assert executor._call_queue._reader.fileno() >= 0
        assert executor._queue_count == 0
        executor.submit(int).result()
        assert executor._queue_count == 1


def test_mapped_functions_are_in_a_partial_of_the_pools_own() -> None:
    with ProcessPoolExecutor(1) as executor:
        submitted: list[object] = []
        submit = executor.submit

        def spy(function: object, /, *arguments: object) -> object:
            submitted.append(function)
            return submit(function, *arguments)

        executor.submit = spy
        list(executor.map(abs, [1]))
    (function,) = submitted
    assert function.func is process._process_chunk
    assert function.args == (abs,)


def test_the_pools_thread_fails_the_futures_by_a_method_that_can_be_extended() -> None:
    thread = process._ExecutorManagerThread
    assert list(inspect.signature(thread.terminate_broken).parameters)[:2] == ["self", "cause"]
    assert {"run", "wait_result_broken_or_wakeup", "process_result_item"} <= set(vars(thread))
    source = inspect.getsource(thread)
    assert "self.terminate_broken(cause)" in source
    assert "self.wait_result_broken_or_wakeup()" in source
    assert "self.process_result_item(result_item)" in source
    assert "work_item.future.set_exception(bpe)" in source
    for name in (
        "_processes",
        "_pending_work_items",
        "_call_queue",
        "_shutdown_lock",
        "_executor_manager_thread_wakeup",
    ):
        assert f"= executor.{name}" in source
    assert "self.executor_reference = weakref.ref(executor" in source
    assert "raise BrokenProcessPool(self._broken)" in inspect.getsource(ProcessPoolExecutor.submit)
    assert str(process._RemoteTraceback("text")) == "text"


def test_the_constructor_forgets_the_pools_thread_between_its_checks_and_its_pipes() -> None:
    source = inspect.getsource(ProcessPoolExecutor.__init__)
    first, *others = (source.index(f"self.{name} =") for name in ("_executor_manager_thread", "_call_queue"))
    assert all(first < other for other in others)
    assert first < source.index("_ThreadWakeup()")
    assert first < source.index("mp_context.SimpleQueue()")
    assert first > source.rindex("raise ")
    assert first > source.index("self._safe_to_dynamically_spawn_children =")


def test_the_thread_that_feeds_the_call_queue_reports_a_job_that_it_cannot_pickle_and_bytes_that_it_cannot_write() -> (
    None
):
    source = inspect.getsource(multiprocessing.queues.Queue._feed)
    assert "obj = _ForkingPickler.dumps(obj)" in source
    assert "onerror(e, obj)" in source
    assert "if ignore_epipe and" in source
    assert list(inspect.signature(process._SafeQueue._on_queue_feeder_error).parameters) == ["self", "e", "obj"]
    with ProcessPoolExecutor(1) as executor:
        assert executor._call_queue._ignore_epipe is True
        assert executor._call_queue.pending_work_items is executor._pending_work_items
    assert process._CallItem(3, int, (), {}).work_id == 3


def test_a_result_is_pickled_first_and_then_written_by_the_writing_end() -> None:
    source = inspect.getsource(multiprocessing.queues.SimpleQueue.put)
    assert source.index("_ForkingPickler.dumps(obj)") < source.index("self._writer.send_bytes(obj)")
    assert "result_queue.put(" in inspect.getsource(process._sendback_result)


def test_a_result_is_an_object_whose_attributes_travel() -> None:
    item: Any = process._ResultItem(3, result=4)
    item.more = 5
    copy = pickle.loads(pickle.dumps(item))
    assert (copy.work_id, copy.result, copy.more) == (3, 4, 5)
    source = inspect.getsource(process._ExecutorManagerThread)
    assert "result_item = result_reader.recv()" in source
    assert "self.pending_work_items.pop(result_item.work_id, None)" in source
    source = inspect.getsource(multiprocessing.queues.SimpleQueue.put)
    assert "with self._wlock:" in source


def test_whatever_a_future_is_asked_it_takes_its_condition() -> None:
    assert type(vars(Future())["_condition"]) is threading.Condition
    for method in (Future.result, Future.exception, Future.add_done_callback, Future.done):
        assert "self._condition" in inspect.getsource(method)
    assert "future._condition.acquire()" in inspect.getsource(_base._AcquireFutures)
    for function in (concurrent.futures.wait, concurrent.futures.as_completed):
        assert "_AcquireFutures(fs)" in inspect.getsource(function)


def test_the_pools_thread_waits_for_three_kinds_of_things_and_takes_all_wake_ups() -> None:
    source = inspect.getsource(process._ExecutorManagerThread.wait_result_broken_or_wakeup)
    assert "wait(readers + worker_sentinels)" in source
    assert "readers = [result_reader, wakeup_reader]" in source
    assert "result_reader = self.result_queue._reader" in source
    assert "self.thread_wakeup.clear()" in source
    wakeup = process._ThreadWakeup()
    assert wakeup._closed is False
    wakeup.wakeup()
    assert wakeup._reader.poll()
    wakeup.close()
    # Where there is one: what replaces a worker that has left, with the pool's lock.
    replace = getattr(process._ExecutorManagerThread, "_replace_dead_worker", None)
    assert replace is None or list(inspect.signature(replace).parameters) == ["self"]


def test_workers_are_spawned_by_a_method_that_can_be_extended_and_the_thread_can_be_woken() -> None:
    assert "self._spawn_process()" in inspect.getsource(ProcessPoolExecutor)
    assert "self._adjust_process_count()" in inspect.getsource(ProcessPoolExecutor.submit)
    with ProcessPoolExecutor(1) as executor:
        assert callable(executor._executor_manager_thread_wakeup.wakeup)
        assert executor._processes == {}
        executor.submit(int).result()
        assert [worker.pid for worker in executor._processes.values()] == list(executor._processes)


def test_the_pools_thread_is_woken_by_an_object_with_two_methods() -> None:
    with ProcessPoolExecutor(1) as executor:
        assert type(executor._executor_manager_thread_wakeup) is process._ThreadWakeup
    assert {"wakeup", "close", "clear"} <= set(vars(process._ThreadWakeup))


def test_the_children_of_a_process_are_in_a_set_that_a_fork_copies() -> None:
    child = multiprocessing.get_context("fork").Process(target=int)
    child.start()
    assert child in multiprocessing.process._children
    child.join()
    assert child not in multiprocessing.process._children


def test_a_process_is_launched_by_methods_that_can_be_replaced() -> None:
    # As the standard library's own class for spawn does it.
    assert "self._popen = self._Popen(self)" in inspect.getsource(multiprocessing.process.BaseProcess.start)
    assert issubclass(popen_spawn_posix.Popen, popen_fork.Popen)
    assert list(inspect.signature(popen_fork.Popen._launch).parameters) == ["self", "process_obj"]
    source = inspect.getsource(popen_spawn_posix.Popen._launch)
    for name in ("self.sentinel", "self.pid = util.spawnv_passfds(spawn.get_executable()", "self.finalizer"):
        assert name in source
    assert list(inspect.signature(util.spawnv_passfds).parameters) == ["path", "args", "passfds"]
