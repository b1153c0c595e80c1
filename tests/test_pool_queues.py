"""How jobs get into the call queue: by the pool's thread itself, or by the one that feeds the pipe."""

from __future__ import annotations

import fcntl
import functools
import logging
import multiprocessing
import os
import select
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, process
from multiprocessing import reduction
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

import pytest

import jobs
from conftest import Records, Run
from logpool import LoggingProcessPoolExecutor
from logpool._process import cpython

TIMEOUT = 30  # Seconds.


def fed_to(executor: LoggingProcessPoolExecutor) -> int:
    """How many jobs the thread that feeds the pipe was given."""
    fed: int = cpython.call_queue_of(executor)._to_feed
    return fed


def test_small_plain_jobs_pass_by_the_thread_that_feeds_the_pipe(context: BaseContext) -> None:
    with LoggingProcessPoolExecutor(2, context) as executor:
        assert list(executor.map(jobs.square, range(5), chunksize=2)) == [0, 1, 4, 9, 16]
        assert executor.submit(complex, 1, 2.5).result(TIMEOUT) == 1 + 2.5j
        assert executor.submit(functools.partial(dict, one=1), {b"key": (None, True)}, name="text").result(TIMEOUT) == {
            b"key": (None, True),
            "one": 1,
            "name": "text",
        }
        assert fed_to(executor) == 0
        assert executor.submit(len, "builtin").result(TIMEOUT) == 7
        assert executor.submit(jobs.square, 1j).result(TIMEOUT) == -1
        assert fed_to(executor) == 2


class Waits:
    """Waits for a job's result when it is pickled. For the worker it is 0."""

    def __init__(self, future: Future[Any]) -> None:
        self._future = future
        self.is_pickled = threading.Event()

    def __reduce__(self) -> tuple[Callable[..., int], tuple[()]]:
        self.is_pickled.set()
        self._future.result(TIMEOUT)
        return int, ()


class Number(int):
    """The same."""

    waits: Waits

    def __reduce__(self) -> tuple[Callable[..., int], tuple[()]]:
        return self.waits.__reduce__()


def number(waits: Waits) -> Number:
    made = Number()
    made.waits = waits
    return made


@pytest.mark.parametrize(
    "job_with",
    [
        lambda waits: (repr, waits),
        lambda waits: (repr, number(waits)),
        lambda waits: (repr, [(0, waits)]),
        lambda waits: (dict, {"key": waits}),
        lambda waits: (dict, {waits: "value"}),
        lambda waits: (functools.partial(repr, waits),),
        lambda waits: (functools.partial(dict, key=waits),),
        lambda waits: ([waits].copy,),
        lambda waits: (number(waits).bit_length,),
    ],
    ids=["argument", "number", "list", "dict", "key", "partial", "keyword", "method", "method of a number"],
)
def test_an_object_whose_pickling_waits_for_another_job_keeps_no_result_back(
    context: BaseContext, tmp_path: Path, job_with: Callable[[Waits], tuple[Any, ...]]
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    with LoggingProcessPoolExecutor(2, context) as executor:
        first = executor.submit(jobs.wait_for, str(gate))
        waits = Waits(first)
        second = executor.submit(*job_with(waits))
        assert waits.is_pickled.wait(TIMEOUT)
        with gate.open("w"):
            pass
        assert first.result(TIMEOUT) is None
        second.result(TIMEOUT)


def test_one_workers_jobs_are_run_in_their_order_whatever_thread_puts_them(
    context: BaseContext, records: Records
) -> None:
    with LoggingProcessPoolExecutor(1, context) as executor:
        for number in range(30):
            executor.submit(jobs.log, "%d", number)
            if number == 10:
                executor.submit(jobs.log, "%.2s", "large" * 2**16)
            if number == 20:
                unpicklable = executor.submit(lambda: None)
        with pytest.raises(Exception, match="pickle"):
            unpicklable.result(TIMEOUT)
    expected = [str(number) for number in range(30)]
    expected.insert(11, "la")
    assert [record.getMessage() for record in records.records if record.name == "app"] == expected


def test_jobs_of_all_sizes_come_whole(context: BaseContext) -> None:
    sizes = range(select.PIPE_BUF - 300, select.PIPE_BUF + 30, 3)
    with LoggingProcessPoolExecutor(2, context) as executor:
        assert list(executor.map(len, ["x" * size for size in sizes])) == list(sizes)


def test_a_list_that_contains_itself_is_an_argument_as_any_other(context: BaseContext) -> None:
    ring: list[Any] = [1]
    ring.append(ring)
    with LoggingProcessPoolExecutor(1, context) as executor:
        assert executor.submit(len, ring).result(TIMEOUT) == 2


@pytest.mark.skipif(not hasattr(fcntl, "F_SETPIPE_SZ"), reason="only Linux lets a program choose a pipe's capacity")
def test_a_pipe_without_room_keeps_the_thread_that_puts_a_job_from_nothing() -> None:
    with LoggingProcessPoolExecutor(2, multiprocessing.get_context("fork")) as executor:
        call_queue = cpython.call_queue_of(executor)
        fcntl.fcntl(call_queue.writing_end, fcntl.F_SETPIPE_SZ, 1)  # The least that there is: a page.
        for number in range(3):
            call_queue.put(process._CallItem(number, len, ("x" * 3000,), {}))
        assert fed_to(executor) > 0
        items = [cpython.CallQueueHooks.get(call_queue) for _ in range(3)]
        assert [(item.work_id, len(item.args[0])) for item in items] == [(0, 3000), (1, 3000), (2, 3000)]
        call_queue.close()
        call_queue.join_thread()


def test_a_function_of_a_module_that_is_being_imported_keeps_no_result_back(
    run_program: Run, tmp_path: Path, context: BaseContext
) -> None:
    (tmp_path / "module.py").write_text("""
def mine():
    return "mine"

def begin(executor):
    global first, second
    first = executor.submit(int, 9)
    second = executor.submit(mine)

def go_on():
    print(first.result(20))

import __main__
if hasattr(__main__, "executor"):  # Else it is a worker that imports this.
    __main__.on_import()
""")
    ended = run_program(
        """
import multiprocessing, sys
from logpool import LoggingProcessPoolExecutor

def on_import():
    module = sys.modules["module"]
    module.begin(executor)
    module.go_on()

if __name__ == "__main__":
    with LoggingProcessPoolExecutor(1, multiprocessing.get_context(sys.argv[1])) as executor:
        import module
        print(module.second.result(20))
""",
        context.get_start_method(),
    )
    assert (ended.stdout.split(), ended.stderr) == (["9", "mine"], "")


def test_a_reducer_that_waits_for_another_job_keeps_no_result_back(
    context: BaseContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    pickling = threading.Event()

    def reduce_partial(value: Any) -> tuple[Callable[..., object], tuple[Any, ...]]:
        pickling.set()
        first.result(TIMEOUT)
        return functools.partial, (value.func, *value.args)

    with LoggingProcessPoolExecutor(2, context) as executor:
        first = executor.submit(jobs.wait_for, str(gate))
        monkeypatch.setitem(reduction.ForkingPickler._extra_reducers, functools.partial, reduce_partial)  # type: ignore[attr-defined]
        second = executor.submit(functools.partial(jobs.square, 3))
        assert pickling.wait(TIMEOUT)
        with gate.open("w"):
            pass
        assert first.result(TIMEOUT) is None
        assert second.result(TIMEOUT) == 9


def test_a_job_that_fails_to_be_pickled_when_the_others_are_cancelled_keeps_no_shutdown_waiting(
    context: BaseContext,
) -> None:
    class Fails:
        def __reduce__(self) -> tuple[Callable[..., int], tuple[()]]:
            pickling.set()
            assert go_on.wait(TIMEOUT)
            raise ValueError("failed")

    pickling, go_on = threading.Event(), threading.Event()
    executor = LoggingProcessPoolExecutor(1, context)
    failing = executor.submit(repr, Fails())
    others = [executor.submit(jobs.square, number) for number in range(5)]
    assert pickling.wait(TIMEOUT)
    executor.shutdown(wait=False, cancel_futures=True)
    with pytest.raises(CancelledError):
        others[-1].result(TIMEOUT)
    go_on.set()
    assert isinstance(failing.exception(TIMEOUT), ValueError)
    executor.shutdown()


def test_a_program_that_ends_with_jobs_of_all_kinds_pending_has_them_done(
    run_program: Run, context: BaseContext
) -> None:
    ended = run_program(
        """
import logging, multiprocessing, sys
from logpool import LoggingProcessPoolExecutor

def work(argument):
    logging.getLogger("app").warning("%.4s", argument)

if __name__ == "__main__":
    logging.basicConfig(format="%(message)s", stream=sys.stdout)
    executor = LoggingProcessPoolExecutor(1, multiprocessing.get_context(sys.argv[1]))
    executor.submit(work, "first").result()
    for argument in ("plain", {"a set"}, "x" * 10000, "last"):
        executor.submit(work, argument)
""",
        context.get_start_method(),
    )
    assert (ended.stdout.split(), ended.stderr) == (["firs", "plai", "{'a", "xxxx", "last"], "")


def test_a_job_that_is_put_at_once_takes_changed_settings_along(context: BaseContext, records: Records) -> None:
    logger = logging.getLogger("app")
    with LoggingProcessPoolExecutor(1, context) as executor:
        executor.submit(jobs.log, "before").result(TIMEOUT)
        logger.setLevel(logging.ERROR)
        try:
            executor.submit(jobs.log, "dropped").result(TIMEOUT)
        finally:
            logger.setLevel(logging.NOTSET)
        executor.submit(jobs.log, "behind").result(TIMEOUT)
    assert [record.getMessage() for record in records.records if record.name == "app"] == ["before", "behind"]
