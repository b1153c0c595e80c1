"""The private names of CPython that the library uses: a Python that moves one fails here, by name."""

from __future__ import annotations

import inspect
import logging
import multiprocessing
import multiprocessing.queues
import threading
import warnings
from concurrent.futures import ProcessPoolExecutor, process
from multiprocessing import connection, managers, popen_fork, popen_spawn_posix, util


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
    assert list(inspect.signature(process._ExecutorManagerThread.terminate_broken).parameters) == ["self", "cause"]
    source = inspect.getsource(process._ExecutorManagerThread)
    assert "run" in vars(process._ExecutorManagerThread)
    assert "self.terminate_broken(cause)" in source
    assert "self.processes = executor._processes" in source
    assert "self.pending_work_items = executor._pending_work_items" in source


def test_workers_are_spawned_by_a_method_that_can_be_extended_and_the_thread_can_be_woken() -> None:
    assert "self._spawn_process()" in inspect.getsource(ProcessPoolExecutor)
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
