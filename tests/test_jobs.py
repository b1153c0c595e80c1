"""Which job a record belongs to, and which future."""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import signal
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial, update_wrapper, wraps
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

import pytest

import jobs
from conftest import START_METHODS, Records
from logpool import LoggingProcessPoolExecutor
from logpool._worker.current_job import name_of


def jobs_of(records: Records) -> list[tuple[str, object, object]]:
    return [
        (record.getMessage(), record.__dict__["jobId"], record.__dict__["jobName"])
        for record in records.records
        if record.name.startswith("app")
    ]


def test_a_record_carries_the_number_and_name_of_its_job(context: BaseContext, records: Records) -> None:
    with LoggingProcessPoolExecutor(1, context) as executor:
        futures = [executor.submit(jobs.log, "%d", number) for number in range(3)]
        assert [future.job_id for future in futures] == [1, 2, 3]
    assert jobs_of(records) == [("0", 1, "jobs.log"), ("1", 2, "jobs.log"), ("2", 3, "jobs.log")]


def test_a_job_behind_a_submit_that_failed_carries_its_own_name(
    context: BaseContext, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("refused")

    with LoggingProcessPoolExecutor(1, context) as executor:
        executor.submit(jobs.log, "before").result()
        with monkeypatch.context() as patch:
            patch.setattr(ProcessPoolExecutor, "submit", refuse)
            with pytest.raises(ValueError, match="refused"):
                executor.submit(log_rarely)
        executor.submit(jobs.log, "behind").result()
    assert jobs_of(records) == [("before", 1, "jobs.log"), ("behind", 2, "jobs.log")]


def test_a_mapped_functions_record_carries_its_name(context: BaseContext, records: Records) -> None:
    with LoggingProcessPoolExecutor(1, context) as executor:
        list(executor.map(jobs.log, ["one", "two", "three"], chunksize=2))
    assert jobs_of(records) == [("one", 1, "jobs.log"), ("two", 1, "jobs.log"), ("three", 2, "jobs.log")]


def test_a_record_of_the_initializer_has_no_job(context: BaseContext, records: Records) -> None:
    with LoggingProcessPoolExecutor(1, context, jobs.initialize, (1,)) as executor:
        executor.submit(jobs.log, "job").result()
    assert jobs_of(records) == [("initializer got 1", None, None), ("job", 1, "jobs.log")]


def use_a_pool(start_method: str) -> None:
    inner = multiprocessing.get_context(start_method)
    with LoggingProcessPoolExecutor(1, inner, jobs.initialize, (1,)) as executor:
        executor.submit(jobs.square, 2).result()


def test_a_record_of_the_initializer_of_a_pool_in_a_job_has_no_job(context: BaseContext, records: Records) -> None:
    with LoggingProcessPoolExecutor(1, context) as executor:
        executor.submit(use_a_pool, context.get_start_method()).result()
    assert [(message, number) for message, number, _ in jobs_of(records)] == [("initializer got 1", None)]


def test_a_rare_records_job_is_carried_too(context: BaseContext, records: Records) -> None:
    with LoggingProcessPoolExecutor(1, context) as executor:
        executor.submit(log_rarely).result()
    assert jobs_of(records) == [("rare", 1, "test_jobs.log_rarely")]


def log_rarely() -> None:
    logging.getLogger("app").info("rare", extra={"more": [1]}, stack_info=True)


def test_records_of_threads_that_a_job_started_carry_it_also_after_its_end(
    context: BaseContext, records: Records
) -> None:
    with LoggingProcessPoolExecutor(1, context) as executor:
        executor.submit(start_a_thread).result()
        executor.submit(let_the_thread_go_on).result()
    assert jobs_of(records) == [
        ("in time", 1, "test_jobs.start_a_thread"),
        ("job 2", 2, "test_jobs.let_the_thread_go_on"),
        ("late", 1, "test_jobs.start_a_thread"),
    ]


_goes_on = threading.Event()
_threads: list[threading.Thread] = []


def start_a_thread() -> None:
    logged = threading.Event()

    def work() -> None:
        jobs.log("in time")
        logged.set()
        _goes_on.wait()
        jobs.log("late")

    _threads.append(threading.Thread(target=work))
    _threads[0].start()
    logged.wait()


def let_the_thread_go_on() -> None:
    jobs.log("job 2")
    _goes_on.set()
    _threads[0].join()


def test_numbers_are_those_of_submit_when_threads_submit_at_once(records: Records) -> None:
    with LoggingProcessPoolExecutor(2) as executor, ThreadPoolExecutor(8) as threads:
        futures = list(threads.map(lambda number: (number, executor.submit(jobs.log, "%d", number)), range(200)))
    numbers = {str(number): future.job_id for number, future in futures}
    assert sorted(numbers.values()) == list(range(1, 201))
    assert {message: job for message, job, _ in jobs_of(records)} == numbers


def test_a_format_with_defaults_takes_records_with_and_without_a_job(
    records: Records, capsys: pytest.CaptureFixture[str]
) -> None:
    records.setFormatter(logging.Formatter("%(jobId)s %(jobName)s %(message)s", defaults={"jobId": "-", "jobName": ""}))
    jobs.log("own")
    with LoggingProcessPoolExecutor(1) as executor:
        executor.submit(jobs.log, "job's")
    assert [records.format(record) for record in records.records] == ["-  own", "1 jobs.log job's"]


def test_errors_of_jobs_are_as_the_stock_class_has_them(context: BaseContext) -> None:
    with LoggingProcessPoolExecutor(1, context) as executor:
        error = executor.submit(jobs.square, "text").exception()
        assert isinstance(error, TypeError)
        assert "logpool" not in str(error.__cause__)
        with pytest.raises((pickle.PicklingError, AttributeError), match="local object"):
            executor.submit(lambda: None).result()


@pytest.mark.parametrize("start_method", START_METHODS)
def test_a_function_of_the_main_module_has_the_same_name_under_each_start_method(
    run_program: Callable[..., subprocess.CompletedProcess[str]], start_method: str
) -> None:
    source = """
import logging, multiprocessing, sys
from logpool import LoggingProcessPoolExecutor

def work():
    logging.warning("done")

if __name__ == "__main__":
    logging.basicConfig(format="%(jobName)s %(message)s", stream=sys.stdout)
    with LoggingProcessPoolExecutor(1, multiprocessing.get_context(sys.argv[1])) as executor:
        executor.submit(work)
"""
    assert run_program(source, start_method).stdout == "__main__.work done\n"


@pytest.mark.parametrize("start_method", START_METHODS)
def test_a_class_of_the_main_module_is_printed_alike_under_each_start_method(
    run_program: Callable[..., subprocess.CompletedProcess[str]], start_method: str
) -> None:
    source = """
import logging, multiprocessing, sys
from logpool import LoggingProcessPoolExecutor

class Shown:
    pass

def work():
    logging.warning("%s %r %s", Shown, [Shown], ValueError(Shown))

if __name__ == "__main__":
    logging.basicConfig(format="%(message)s", stream=sys.stdout)
    with LoggingProcessPoolExecutor(1, multiprocessing.get_context(sys.argv[1])) as executor:
        executor.submit(work)
"""
    shown = "<class '__main__.Shown'>"
    assert run_program(source, start_method).stdout == f"{shown} [{shown}] {shown}\n"


class Strange:
    def __getattr__(self, name: str) -> object:
        raise ValueError(name)

    def __call__(self) -> None:
        jobs.log("strange")

    def __reduce__(self) -> tuple[type[Strange], tuple[()]]:
        return Strange, ()


def test_a_callable_that_has_no_name_is_run_all_the_same(context: BaseContext, records: Records) -> None:
    with LoggingProcessPoolExecutor(1, context) as executor:
        executor.submit(Strange()).result()
    assert jobs_of(records) == [("strange", 1, "(its name raised ValueError)")]


class Nameless:
    def __call__(self) -> None:
        """Does nothing."""

    def method(self) -> None:
        """Does nothing."""


class Wrapper:
    """As a decorator may be written: it has no name of its own, but what it wraps."""

    def __init__(self, function: Callable[..., object]) -> None:
        self.__wrapped__ = function

    def __call__(self, *args: object) -> object:
        return self.__wrapped__(*args)


class Updated(Wrapper):
    def __init__(self, function: Callable[..., object]) -> None:
        super().__init__(function)
        update_wrapper(self, function)


@wraps(jobs.log)
def wrapping(*args: Any) -> object:
    return jobs.log(*args)


class Proxy:
    """Has any attribute, and again."""

    def __getattr__(self, name: str) -> Proxy:
        return Proxy()

    def __call__(self) -> None:
        """Does nothing."""


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (Wrapper(jobs.log), "jobs.log"),
        (Updated(jobs.log), "jobs.log"),
        (partial(Wrapper(partial(jobs.log, "x")), name="y"), "jobs.log"),
        (wrapping, "jobs.log"),
        (Proxy(), "test_jobs.Proxy"),
        (jobs.log, "jobs.log"),
        (partial(partial(jobs.log, "x"), name="y"), "jobs.log"),
        (Nameless(), "test_jobs.Nameless"),
        (Nameless().method, "test_jobs.Nameless.method"),
        (len, "builtins.len"),
        ("text".upper, "str.upper"),
        (dict, "builtins.dict"),
    ],
)
def test_any_callable_has_a_name(function: object, name: str) -> None:
    assert name_of(function) == name


def run_in_context(carrier: dict[str, str], fn: Callable[..., object]) -> object:
    """What a tracing library has a pool run in the place of the user's function."""
    return fn()


def test_a_job_has_the_users_name_where_a_library_has_replaced_submit(
    context: BaseContext, records: Records, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    submit = ProcessPoolExecutor.submit

    def submit_in_context(pool: ProcessPoolExecutor, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return submit(pool, run_in_context, carrier={}, fn=partial(fn, *args, **kwargs))

    monkeypatch.setattr(ProcessPoolExecutor, "submit", submit_in_context)
    os.mkfifo(gate := tmp_path / "gate")
    with LoggingProcessPoolExecutor(1, context) as executor:
        first = executor.submit(jobs.log_and_wait_for, str(gate))
        futures = [executor.submit(jobs.log, "%d", number) for number in range(10)]
        cancelled = [future.cancel() for future in futures[5:]]
        open(gate, "w").close()
        first.result()
        list(executor.map(jobs.log, ["mapped"]))
    assert all(cancelled)
    assert jobs_of(records) == [
        ("waiting", 1, "jobs.log_and_wait_for"),
        ("waited", 1, "jobs.log_and_wait_for"),
        *((str(number), number + 2, "jobs.log") for number in range(5)),
        ("mapped", 12, "jobs.log"),
    ]


def fail(error: BaseException) -> None:
    raise error


class Unloadable:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __reduce__(self) -> tuple[object, tuple[BaseException]]:
        return fail, (self.error,)


@pytest.mark.parametrize(
    "error", [ValueError("no good"), OSError(5, "no good"), EOFError("no good"), BrokenPipeError(32, "no good")]
)
def test_a_job_that_a_worker_cannot_load_is_logged(context: BaseContext, records: Records, error: Exception) -> None:
    with LoggingProcessPoolExecutor(1, context) as executor:
        broken = executor.submit(repr, Unloadable(error)).exception()
    first, critical = records.records
    assert (first.name, first.levelno, first.processName) == ("logpool", logging.ERROR, critical.__dict__["workerName"])
    assert f"{type(error).__name__}: {error}" in str(first.exc_text)
    assert critical.__dict__["exitCode"] == 1
    assert critical.getMessage().endswith(f"ended because it can't load a job: {type(error).__name__}: {error}.")
    assert isinstance(broken, BrokenProcessPool)
    assert broken.__notes__ == [critical.getMessage()]


class Unpicklable:
    """A result, or an argument, whose pickling raises the error that a broken pipe does."""

    def __reduce__(self) -> tuple[object, ...]:
        raise BrokenPipeError(32, "in the pickling")


def test_an_error_of_a_broken_pipe_in_the_pickling_of_a_result_is_the_jobs(context: BaseContext) -> None:
    with LoggingProcessPoolExecutor(1, context) as executor:
        with pytest.raises(BrokenPipeError, match="in the pickling"):
            executor.submit(Unpicklable).result()
        assert executor.submit(jobs.square, 2).result() == 4


def test_an_error_of_a_broken_pipe_in_the_pickling_of_a_job_is_the_jobs(context: BaseContext) -> None:
    with LoggingProcessPoolExecutor(1, context) as executor:
        with pytest.raises(BrokenPipeError, match="in the pickling"):
            executor.submit(repr, Unpicklable()).result(30)
        assert executor.submit(jobs.square, 2).result(30) == 4


def test_a_pool_that_breaks_while_a_job_is_written_says_nothing_but_why(
    context: BaseContext, records: Records, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    os.mkfifo(gate := tmp_path / "gate")
    with LoggingProcessPoolExecutor(1, context) as executor:
        running = executor.submit(jobs.log_and_wait_for, str(gate))
        large = [executor.submit(len, bytes(2**20)) for _ in range(2)]
        records.wait_for("waiting")
        victim = records.records[0].process
        assert victim is not None
        os.kill(victim, signal.SIGKILL)
        for future in (running, *large):
            assert isinstance(future.exception(30), BrokenProcessPool)
    assert capfd.readouterr().err == ""


class Ends(BaseException):
    """Like SystemExit, to everything that catches an Exception."""


def test_a_callback_that_raises_where_a_job_cannot_be_pickled_costs_no_other_job(
    context: BaseContext, records: Records
) -> None:
    with LoggingProcessPoolExecutor(1, context) as executor:
        executor.submit(jobs.square, 1).result()
        future = executor.submit(repr, Unpicklable())
        future.add_done_callback(lambda _: fail(Ends()))
        assert executor.submit(jobs.square, 2).result(30) == 4
        assert isinstance(future.exception(30), BrokenPipeError)
