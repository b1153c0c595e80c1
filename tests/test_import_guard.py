"""Imports that a worker repeats."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import multiprocessing
import pickle
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import forkserver, process
from multiprocessing.context import BaseContext
from pathlib import Path

import pytest

import jobs
from conftest import Records, Run
from logpool import LoggingProcessPoolExecutor
from logpool._parent import main_module_guard


@pytest.mark.parametrize("start_method", ["forkserver", "spawn"])
def test_the_key_is_guarded_only_while_a_worker_is_started(start_method: str) -> None:
    key = process.current_process().authkey
    with main_module_guard.main_module_guarded(start_method):
        assert process.current_process().authkey == key
        assert type(process.current_process().authkey) is not type(key)
    assert process.current_process().authkey is key


def test_a_key_cannot_be_pickled_but_for_a_child() -> None:
    with main_module_guard.main_module_guarded("spawn"), pytest.raises(TypeError):
        pickle.dumps(process.current_process().authkey)


def test_children_that_other_threads_start_meanwhile_are_not_guarded(records: Records) -> None:
    lines: list[str] = []

    def start_another() -> None:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as stock:
            lines.append(stock.submit(what_call_handlers_is).result())

    with main_module_guard.main_module_guarded("spawn"):
        thread = threading.Thread(target=start_another)
        thread.start()
        thread.join()
    assert lines == ["logging"]


def what_call_handlers_is() -> str:
    return logging.Logger.callHandlers.__module__


def stock_child() -> str:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as stock:
        return stock.submit(what_call_handlers_is).result()


def test_a_stock_pool_in_a_worker_has_its_logging(context: BaseContext) -> None:
    with LoggingProcessPoolExecutor(1, context) as executor:
        assert executor.submit(stock_child).result() == "logging"
        assert executor.submit(what_call_handlers_is).result() == "logpool._worker.routing"


def test_a_forkserver_preloads_what_it_did_before() -> None:
    before = list(forkserver._forkserver._preload_modules)
    with main_module_guard.main_module_guarded("forkserver"):
        assert "__main__" not in forkserver._forkserver._preload_modules
    assert forkserver._forkserver._preload_modules == before


STOCK_BESIDE = """
import logging, multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
from logpool import LoggingProcessPoolExecutor

logging.basicConfig(filename="app.log", level="INFO", format="%(message)s")

def work(text):
    logging.info(text)

if __name__ == "__main__":
    context = multiprocessing.get_context("forkserver")
    with LoggingProcessPoolExecutor(1, context) as executor:
        executor.submit(work, "ours").result()
    with ProcessPoolExecutor(1, context) as executor:
        executor.submit(work, "stock").result()
"""


def test_workers_of_a_stock_pool_log_though_our_forkserver_has_preloaded_the_main_module(
    run_program: Run, tmp_path: Path
) -> None:
    ended = run_program(STOCK_BESIDE)
    assert ended.stderr == ""
    assert (tmp_path / "app.log").read_text() == "ours\nstock\n"


def import_and_look(name: str) -> tuple[object, ...]:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    module = importlib.import_module(name)
    assert module.__spec__ is not None
    return (
        type(spec.loader).__name__,
        type(module.__loader__).__name__,
        vars(module.__loader__).get("exec_module"),
        module.__spec__.loader is module.__loader__,
    )


def test_modules_and_loaders_are_what_they_would_be(
    context: BaseContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "plain_module.py").write_text("import plain_package.inner\n")
    (tmp_path / "plain_package").mkdir()
    (tmp_path / "plain_package" / "inner.py").write_text("")
    with LoggingProcessPoolExecutor(1, context) as executor:
        seen = executor.submit(import_and_look, "plain_module").result()
    assert seen == ("SourceFileLoader", "SourceFileLoader", None, True)


def fail_to_import(name: str) -> int:
    with pytest.raises(ZeroDivisionError):
        importlib.import_module(name)
    return logging.getLogger("app").level


FAILING = """
import logging, multiprocessing
logging.getLogger("app").setLevel(50)
multiprocessing.parent_process() is None or 1 / 0
"""


@pytest.mark.parametrize("start_method", ["forkserver", "spawn"])
def test_what_an_import_did_that_fails_in_the_worker_is_undone(
    start_method: str, records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "failing.py").write_text(FAILING)
    importlib.import_module("failing")
    logging.getLogger("app").setLevel("NOTSET")
    try:
        with LoggingProcessPoolExecutor(1, multiprocessing.get_context(start_method)) as executor:
            assert executor.submit(fail_to_import, "failing").result() == logging.NOTSET
            executor.submit(jobs.log, "goes on")
    finally:
        del sys.modules["failing"]
    assert records.messages == ["goes on"]


def import_and_tell_level(name: str) -> int:
    importlib.import_module(name)
    return logging.getLogger("app").level


def test_what_an_import_sets_that_the_parent_has_not_made_stays(
    context: BaseContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "of_the_job.py").write_text("import logging\nlogging.getLogger('app').setLevel(50)\n")
    logging.getLogger("app")
    with LoggingProcessPoolExecutor(1, context) as executor:
        assert executor.submit(import_and_tell_level, "of_the_job").result() == 50
        assert executor.submit(import_and_tell_level, "of_the_job").result() == 50


@pytest.mark.parametrize("start_method", ["forkserver", "spawn"])
def test_a_worker_that_takes_the_place_of_another_empties_no_log_file(
    run_program: Run, tmp_path: Path, start_method: str
) -> None:
    ended = run_program(
        """
import logging, multiprocessing, sys
from logpool import LoggingProcessPoolExecutor

logging.basicConfig(filename="log", filemode="w", level="INFO", format="%(message)s")
logging.info("imported as %s", __name__)

def work(number):
    logging.info("job %d", number)

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    with LoggingProcessPoolExecutor(1, context, max_tasks_per_child=1) as executor:
        list(executor.map(work, range(4)))
""",
        start_method,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (tmp_path / "log").read_text().splitlines() == ["imported as __main__", "job 0", "job 1", "job 2", "job 3"]
