"""Which job a record belongs to, and which future."""

from __future__ import annotations

import logging
import multiprocessing
import pickle
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing.context import BaseContext

import pytest

import jobs
from conftest import START_METHODS, Records
from logpool import LoggingProcessPoolExecutor
from logpool.jobs import name_of


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


@pytest.mark.parametrize(
    ("function", "name"),
    [
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


def fail_to_load() -> None:
    raise ValueError("can't be loaded")


class Unloadable:
    def __reduce__(self) -> tuple[object, tuple[()]]:
        return fail_to_load, ()


def test_a_job_that_a_worker_cannot_load_is_logged(context: BaseContext, records: Records) -> None:
    with LoggingProcessPoolExecutor(1, context) as executor, pytest.raises(BrokenProcessPool):
        executor.submit(repr, Unloadable()).result()
    error, critical = records.records
    assert (error.name, error.levelno, error.processName) == ("logpool", logging.ERROR, critical.workerName)
    assert "ValueError: can't be loaded" in str(error.exc_text)
    assert critical.exitCode == 1
