"""The context in which the parent handles a job's records: that of the submit, with what the job itself has set."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import multiprocessing
import signal
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextvars import ContextVar
from multiprocessing.context import BaseContext
from types import ModuleType

import pytest

import jobs
import variables
from conftest import Records
from logpool import LoggingProcessPoolExecutor
from logpool._record.label import make_label, place_of, read_label
from variables import NOT_BY_ITS_NAME, OBJECT, REQUEST, USER


class Contexts(logging.Handler):
    """Keeps message, request, and user, as they are when a record is handled."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith("app"):
            self.seen.append((record.getMessage(), REQUEST.get(), USER.get()))


@pytest.fixture
def contexts(records: Records) -> Iterator[Contexts]:
    handler = Contexts()
    logging.getLogger().addHandler(handler)
    yield handler
    REQUEST.set("-")
    USER.set("-")


def test_a_job_is_logged_in_the_context_of_its_submit(context: BaseContext, contexts: Contexts) -> None:
    with LoggingProcessPoolExecutor(2, context) as executor:
        for number in range(20):
            REQUEST.set(f"r{number}")
            executor.submit(jobs.log, "%d", number)
        REQUEST.set("later")
    assert sorted(contexts.seen) == sorted((str(number), f"r{number}", "-") for number in range(20))


def test_a_rare_record_is_handled_in_it_too(context: BaseContext, contexts: Contexts) -> None:
    REQUEST.set("r1")
    with LoggingProcessPoolExecutor(1, context) as executor:
        executor.submit(variables.log_rarely)
    assert contexts.seen == [("rare", "r1", "-")]


def test_map_has_the_context_in_which_it_was_called(context: BaseContext, contexts: Contexts) -> None:
    with LoggingProcessPoolExecutor(1, context) as executor:
        REQUEST.set("r1")
        results = executor.map(jobs.log, ["one", "two"])
        REQUEST.set("r2")
        list(results)
    assert contexts.seen == [("one", "r1", "-"), ("two", "r1", "-")]


def test_run_in_executor_has_the_context_of_its_task(context: BaseContext, contexts: Contexts) -> None:
    async def handle(executor: LoggingProcessPoolExecutor, number: int) -> None:
        REQUEST.set(f"r{number}")
        await asyncio.get_running_loop().run_in_executor(executor, jobs.log, f"{number}")

    async def handle_all() -> None:
        with LoggingProcessPoolExecutor(2, context) as executor:
            await asyncio.gather(*(handle(executor, number) for number in range(5)))

    asyncio.run(handle_all())
    assert sorted(contexts.seen) == [(str(number), f"r{number}", "-") for number in range(5)]


def test_an_initializer_has_no_context(context: BaseContext, contexts: Contexts) -> None:
    REQUEST.set("r1")
    with LoggingProcessPoolExecutor(1, context, jobs.initialize, (1,)) as executor:
        executor.submit(jobs.log, "job")
    assert contexts.seen == [("initializer got 1", "-", "-"), ("job", "r1", "-")]


def test_a_thread_of_a_job_has_the_context_of_the_jobs_submit(context: BaseContext, contexts: Contexts) -> None:
    REQUEST.set("r1")
    with LoggingProcessPoolExecutor(1, context) as executor:
        executor.submit(variables.log_from_a_thread)
    assert contexts.seen == [("from a thread", "r1", "-")]


def use_a_pool(start_method: str) -> None:
    with LoggingProcessPoolExecutor(1, multiprocessing.get_context(start_method)) as executor:
        for user in ("u0", "u1"):
            USER.set(user)
            executor.submit(jobs.log, "inner")


def test_a_record_of_a_pool_in_a_job_has_what_was_set_for_both(context: BaseContext, contexts: Contexts) -> None:
    with LoggingProcessPoolExecutor(1, context) as executor:
        for number in range(3):  # Else each job's number would be that of an inner job.
            REQUEST.set(f"r{number}")
            executor.submit(jobs.log, "outer")
        executor.submit(use_a_pool, context.get_start_method()).result()
    assert contexts.seen[3:] == [("inner", "r2", "u0"), ("inner", "r2", "u1")]


def test_a_handler_that_sets_a_variable_sets_it_for_the_jobs_next_records_alone(contexts: Contexts) -> None:
    class Sets(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage() == "0":
                REQUEST.set("set by a handler")

    logging.getLogger().addHandler(Sets())
    REQUEST.set("r1")
    with LoggingProcessPoolExecutor(1, multiprocessing.get_context("fork")) as executor:
        executor.submit(jobs.log_numbers, 2).result()
        executor.submit(jobs.log, "next").result()
    assert contexts.seen == [("0", "r1", "-"), ("1", "set by a handler", "-"), ("next", "r1", "-")]
    assert REQUEST.get() == "r1"


# Freed.


class Held:
    """What a context has. Tells when it is freed."""

    def __init__(self, freed: threading.Event) -> None:
        self.freed = weakref.finalize(self, freed.set)


def submit_with(
    executor: LoggingProcessPoolExecutor, function: Callable[..., object], *arguments: object
) -> tuple[Future[object], threading.Event]:
    freed = threading.Event()
    held = Held(freed)

    def submit() -> Future[object]:
        OBJECT.set(held)
        return executor.submit(function, *arguments)

    return contextvars.Context().run(submit), freed


def test_a_context_is_freed_when_its_jobs_last_record_was_handled(context: BaseContext, contexts: Contexts) -> None:
    with LoggingProcessPoolExecutor(1, context) as executor:
        for function, *arguments in ((jobs.log, "one"), (jobs.square, 2), (variables.fail,)):
            future, freed = submit_with(executor, function, *arguments)
            with contextlib.suppress(ZeroDivisionError):
                future.result()
            assert freed.wait(10)


def test_a_context_is_freed_when_its_job_is_cancelled_or_cannot_be_pickled(contexts: Contexts) -> None:
    with LoggingProcessPoolExecutor(1, multiprocessing.get_context("fork")) as executor:
        future, freed = submit_with(executor, lambda: None)
        with pytest.raises(Exception, match="pickle"):
            future.result()
        assert freed.wait(10)
        futures = [submit_with(executor, jobs.log_numbers, 2000) for _ in range(10)]
        cancelled = [freed for future, freed in futures if future.cancel()]
        assert cancelled
        assert all(freed.wait(10) for freed in cancelled)
        # Python 3.11.2's pool, the stock one too, waits for ever when only cancelled jobs are left at the end.
        executor.submit(jobs.square, 2).result()


def test_contexts_are_freed_when_the_pool_is_broken(contexts: Contexts) -> None:
    with LoggingProcessPoolExecutor(1, multiprocessing.get_context("fork")) as executor:
        submitted = [submit_with(executor, jobs.die, signal.SIGKILL, 1)]
        with contextlib.suppress(BrokenProcessPool):
            submitted += [submit_with(executor, jobs.square, 2) for _ in range(5)]
    assert all(freed.wait(10) for _, freed in submitted)
    assert contexts.seen == [("0", "-", "-")]


def test_the_last_words_of_a_worker_have_the_context_of_its_job(context: BaseContext, contexts: Contexts) -> None:
    REQUEST.set("r1")
    with LoggingProcessPoolExecutor(1, context) as executor:
        executor.submit(jobs.die, signal.SIGKILL, 1).exception()
    assert contexts.seen == [("0", "r1", "-")]


# What the job sets.


def test_what_a_job_sets_is_seen_and_goes_before_the_submits(context: BaseContext, contexts: Contexts) -> None:
    REQUEST.set("submit's")
    USER.set("submit's")
    with LoggingProcessPoolExecutor(1, context) as executor:
        executor.submit(variables.set_and_log, "REQUEST", "job's").result()
        executor.submit(jobs.log, "next").result()
    assert contexts.seen == [
        ("before", "submit's", "submit's"),
        ("after", "job's", "submit's"),
        ("next", "submit's", "submit's"),
    ]


def test_what_a_jobs_thread_or_task_sets_is_seen_there_alone(context: BaseContext, contexts: Contexts) -> None:
    with LoggingProcessPoolExecutor(1, context) as executor:
        executor.submit(variables.set_in_a_thread).result()
        executor.submit(variables.set_in_tasks).result()
    assert contexts.seen == [
        ("thread", "thread's", "-"),
        ("main", "-", "-"),
        ("task 0", "0", "-"),
        ("task 1", "1", "-"),
        ("main", "-", "-"),
    ]


def test_an_object_is_pickled_and_what_cannot_be_stays_the_submits(context: BaseContext, records: Records) -> None:
    seen: list[object] = []
    records.on_message["after"] = lambda: seen.append(OBJECT.get())
    OBJECT.set("submit's")
    with LoggingProcessPoolExecutor(1, context) as executor:
        executor.submit(variables.set_and_log, "OBJECT", variables.Point(1, 2)).result()
        executor.submit(variables.set_and_log_a_lock).result()
    assert seen == [variables.Point(1, 2), "submit's"]


def test_a_value_that_logs_when_it_is_pickled_breaks_nothing(contexts: Contexts) -> None:
    with LoggingProcessPoolExecutor(1, multiprocessing.get_context("fork")) as executor:
        executor.submit(variables.set_and_log_what_logs).result()
    assert [message for message, _, _ in contexts.seen] == ["pickled", "last"]


def test_a_variable_is_found_by_module_and_name_whatever_it_calls_itself(contexts: Contexts) -> None:
    assert place_of(REQUEST) == ("variables", "REQUEST")
    assert place_of(NOT_BY_ITS_NAME) == ("variables", "NOT_BY_ITS_NAME")
    assert place_of(ContextVar("local")) is None


def test_a_variable_of_a_module_that_the_parent_has_not_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("only_here")
    module.VARIABLE = variable = ContextVar("VARIABLE")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "only_here", module)
    label = make_label(3, [(variable, 1), (REQUEST, "r1")])
    assert read_label(label) == (3, [(variable, 1), (REQUEST, "r1")])
    del sys.modules["only_here"]
    assert read_label(label) == (3, [(REQUEST, "r1")])


# Beside threads.


def run_beside(kind: type, *arguments: object) -> None:
    with kind(1, *arguments) as executor:
        for number in range(3):
            REQUEST.set(f"r{number}")
            executor.submit(variables.set_and_log, "USER", f"u{number}").result()


def test_what_a_job_sets_is_the_same_as_with_threads(context: BaseContext, contexts: Contexts) -> None:
    run_beside(ThreadPoolExecutor)
    by_threads = [(message, user) for message, _, user in contexts.seen if message == "after"]
    contexts.seen.clear()
    run_beside(LoggingProcessPoolExecutor, context)
    assert [(message, user) for message, _, user in contexts.seen if message == "after"] == by_threads
    assert [request for _, request, _ in contexts.seen] == ["r0", "r0", "r1", "r1", "r2", "r2"]
