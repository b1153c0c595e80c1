"""The private names of CPython that the library uses: a Python that moves one fails here, by name."""

from __future__ import annotations

import inspect
import logging
import threading
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import connection, managers, util


def test_submit_starts_the_pools_thread_under_its_lock_by_a_method_that_can_be_extended() -> None:
    locked: list[bool] = []

    class Watched(ProcessPoolExecutor):
        def _start_executor_manager_thread(self) -> None:
            locked.append(self._shutdown_lock.locked())
            super()._start_executor_manager_thread()
            assert isinstance(self._executor_manager_thread, threading.Thread)

    with Watched(1) as executor:
        executor.submit(int).result()
        executor.submit(int).result()
    assert locked == [True, True]


def test_captured_warnings_are_shown_by_a_function_of_logging() -> None:
    logging.captureWarnings(True)
    try:
        assert warnings.showwarning is logging._showwarning  # type: ignore[attr-defined]
    finally:
        logging.captureWarnings(False)
    assert warnings.showwarning is not logging._showwarning  # type: ignore[attr-defined]


def test_a_manager_keeps_its_address_and_state_where_ours_sets_them() -> None:
    manager = managers.BaseManager(address=("127.0.0.1", 1))
    assert manager._address == ("127.0.0.1", 1)  # type: ignore[attr-defined]
    assert manager._state.value == managers.State.INITIAL  # type: ignore[attr-defined]
    assert managers.State.STARTED != managers.State.INITIAL  # type: ignore[attr-defined]


def test_a_managers_server_shakes_hands_and_dispatches_by_what_ours_gives_it() -> None:
    # Not private by name, but not documented either.
    source = inspect.getsource(managers.Server.handle_request)
    source += inspect.getsource(managers.Server._handle_request)  # type: ignore[attr-defined]
    used = {name for name in ("authkey", "public") if f"self.{name}" in source}
    assert used == {"authkey", "public"}
    assert not {"registry", "mutex", "id_to_obj", "stop_event"} & set(source.replace("self.", " ").split())
    assert next(iter(inspect.signature(managers.Server.handle_request).parameters)) == "self"
    assert {"obj", "callback", "args", "exitpriority"} <= set(inspect.signature(util.Finalize).parameters)
    assert callable(connection.Connection)
