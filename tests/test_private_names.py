"""The private names of CPython that the library uses: a Python that moves one fails here, by name."""

from __future__ import annotations

import inspect
import io
import logging
import logging.config
import multiprocessing
import multiprocessing.queues
import pickle
import threading
import warnings
from concurrent.futures import ProcessPoolExecutor, process
from multiprocessing import connection, forkserver, managers, popen_fork, popen_spawn_posix, util
from multiprocessing import process as process_module
from pathlib import Path

import pytest


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


def test_a_process_hands_its_configuration_to_children() -> None:
    assert process_module.current_process()._config["authkey"] == process_module.current_process().authkey
    child = multiprocessing.get_context("spawn").Process()
    assert child._config["authkey"] == process_module.current_process().authkey
