"""Typical mistakes: the error says what is wrong and what to do instead. Nothing hangs, and nothing is left behind."""

from __future__ import annotations

import logging
import logging.handlers
import multiprocessing
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

import pytest

import jobs
from conftest import START_METHODS, Records, Run
from logpool import LoggingProcessPoolExecutor, LogRelay


def text_of(error: BaseException) -> str:
    """An error as a traceback ends with it: with its notes."""
    return "\n".join([str(error), *getattr(error, "__notes__", ())])


# Arguments. The executor and the relay take the same three, under the same names.


@pytest.mark.parametrize("make", [LoggingProcessPoolExecutor, LogRelay])
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        pytest.param(
            {"log_handlers": "file.log"},
            TypeError,
            "the log handlers must be an iterable of logging.Handler objects, such as [logging.StreamHandler()], "
            "not 'file.log'",
            id="a file name in the place of handlers",
        ),
        pytest.param(
            {"log_handlers": logging.NullHandler()},
            TypeError,
            "the log handlers must be an iterable of logging.Handler objects, such as [logging.StreamHandler()], "
            "not <NullHandler (NOTSET)>",
            id="one handler in the place of several",
        ),
        pytest.param(
            {"log_handlers": [logging.StreamHandler]},
            TypeError,
            "each log handler must be a logging.Handler object, not a class: call it to make a handler, "
            "<class 'logging.StreamHandler'>",
            id="a class in the place of a handler",
        ),
        pytest.param(
            {"log_handlers": {"console": logging.NullHandler()}},
            TypeError,
            "each log handler must be a logging.Handler object, not 'console'",
            id="handlers by name, as dictConfig has them",
        ),
        pytest.param(
            {"log_level": "debug"},
            ValueError,
            "unknown log level: 'debug'; names of levels are in upper case: 'DEBUG'",
            id="a level's name in lower case",
        ),
        pytest.param(
            {"log_level": "10"},
            ValueError,
            "unknown log level: '10'; a number is given as an int: 10",
            id="a level's number as a str",
        ),
        pytest.param(
            {"log_level": "LOUD"},
            ValueError,
            "unknown log level: 'LOUD'; add it by logging.addLevelName(), or take one of CRITICAL, ",
            id="a level that doesn't exist",
        ),
        pytest.param(
            {"log_level": True},
            TypeError,
            "the log level must be an int or the name of a level, such as 'INFO', not True",
            id="a bool in the place of a level",
        ),
        pytest.param(
            {"log_level": logging.info},
            TypeError,
            "the log level must be an int or the name of a level, such as 'INFO', not <function info at ",
            id="logging.info in the place of logging.INFO",
        ),
        pytest.param(
            {"log_backlog": "64 MB"},
            TypeError,
            "the log backlog must be an int, a number of bytes, such as 64 * 2**20, not '64 MB'",
            id="a backlog with a unit",
        ),
        pytest.param(
            {"log_backlog": True},
            TypeError,
            "the log backlog must be an int, a number of bytes, such as 64 * 2**20, not True",
            id="a bool in the place of a backlog",
        ),
        pytest.param({"log_backlog": 0}, ValueError, "the log backlog must be greater than 0 bytes", id="no backlog"),
        pytest.param(
            {"mp_context": "spawn"},
            TypeError,
            "mp_context must be a multiprocessing context, such as multiprocessing.get_context('spawn'), not 'spawn'",
            id="a start method in the place of a context",
        ),
    ],
)
def test_a_wrong_argument(make: Any, arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as raised:
        make(**arguments)
    assert str(raised.value).startswith(message)


def test_the_relay_takes_arguments_under_the_executors_names_and_shorter_ones(context: BaseContext) -> None:
    for prefix in ("log_", ""):
        handler = Records()
        arguments: dict[str, Any] = {"handlers": [handler], "level": "DEBUG", "backlog": 2**20}
        with (
            LogRelay(context, **{prefix + name: value for name, value in arguments.items()}) as relay,
            context.Pool(1, initializer=relay.install) as pool,
        ):
            pool.apply(jobs.log, ("detail",), {"level": logging.DEBUG})
        assert handler.messages == ["detail"]


@pytest.mark.parametrize(("name", "value"), [("handlers", []), ("level", 10), ("backlog", 1)])
def test_an_argument_of_the_relay_under_both_names(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=f"{name} and log_{name} are two names of one argument: give it once"):
        LogRelay(**{name: value, f"log_{name}": value})
    with pytest.raises(ValueError, match="greater than 0"):
        LogRelay(log_backlog=0)


@pytest.mark.parametrize("initializer", ["configure", logging.getLogger("result")])
def test_an_initializer_that_was_called_instead_of_named(initializer: Any) -> None:
    with pytest.raises(TypeError, match=r"initializer must be a callable, not .*: pass it without parentheses"):
        LoggingProcessPoolExecutor(initializer=initializer)


# What is sent to workers.


def no_job(*args: object) -> None:
    raise AssertionError("it can't be called")


def unsendable() -> dict[str, Callable[[Any], tuple[Any, ...]]]:
    """What is submitted, by what is wrong with it; each is made of an executor."""
    return {
        "a lambda": lambda executor: (lambda: 1,),
        "a handler": lambda executor: (no_job, logging.StreamHandler()),
        "the listener": lambda executor: (no_job, executor.log_listener),
        "another job's future": lambda executor: (no_job, executor.submit(jobs.square, 2)),
        "the executor": lambda executor: (no_job, executor),
    }


@pytest.mark.parametrize("what", unsendable())
def test_a_job_that_cannot_be_sent_to_a_worker(context: BaseContext, records: Records, what: str) -> None:
    with LoggingProcessPoolExecutor(1, context) as executor:
        job = unsendable()[what](executor)
        future = executor.submit(*job)
        with pytest.raises((TypeError, AttributeError, pickle.PicklingError)) as raised:
            future.result()
        text = text_of(raised.value)
        assert f"Job {future.job_id} can't be sent to a worker" in text
        assert "function at the top level of a module" in text
        assert "A worker needs no handler" in text
        assert executor.submit(jobs.log, "on").result() > 0  # The pool goes on.
    assert "on" in records.messages


def test_a_result_that_cannot_be_sent_to_the_parent(context: BaseContext, records: Records) -> None:
    with LoggingProcessPoolExecutor(1, context) as executor:
        future = executor.submit(logging.StreamHandler)
        with pytest.raises((TypeError, AttributeError, pickle.PicklingError)) as raised:
            future.result()
        text = text_of(raised.value)
        assert f"What job {future.job_id} returned or raised can't be sent to the parent: it is pickled." in text
        assert "Handlers, generators, locks and open files stay in their process." in text
        assert executor.submit(jobs.square, 2).result() == 4  # The pool goes on.


@pytest.mark.parametrize("start_method", ["forkserver", "spawn"])
def test_an_initializer_that_is_given_a_handler(start_method: str) -> None:
    context = multiprocessing.get_context(start_method)
    with LoggingProcessPoolExecutor(1, context, no_job, (logging.StreamHandler(),)) as executor:
        for _ in range(2):
            with pytest.raises(TypeError, match="pickle") as raised:
                executor.submit(jobs.square, 2)
            text = text_of(raised.value)
            assert f"With the start method {start_method!r}, the initializer and its arguments are pickled" in text
            assert "A worker needs no handler" in text


def test_an_initializer_that_raises(context: BaseContext, records: Records) -> None:
    with (
        LoggingProcessPoolExecutor(1, context, jobs.fail_to_initialize) as executor,
        pytest.raises(BrokenProcessPool) as raised,
    ):
        executor.submit(jobs.square, 2).result()
    said = "ended because its initializer (jobs.fail_to_initialize) raised ValueError: no good."
    assert said in text_of(raised.value)
    (traceback,) = (record.exc_text or str(record.exc_info) for record in records.records if record.exc_info)
    assert "no good" in traceback


# The relay's life.


def test_a_relay_that_is_handed_over_before_it_is_started() -> None:
    relay = LogRelay()
    said = "the relay is not started: use it as a context manager, and start the children inside `with relay:`"
    for use in (lambda: relay.install, lambda: relay.queue, lambda: relay.listener, lambda: pickle.dumps(relay)):
        with pytest.raises(RuntimeError, match=said):
            use()


def test_a_relay_that_is_handed_over_after_it_has_ended() -> None:
    with LogRelay() as relay:
        pass
    for use in (lambda: relay.install, lambda: pickle.dumps(relay)):
        with pytest.raises(RuntimeError, match="the relay has ended: start the children inside its `with` block"):
            use()


def test_a_relay_that_is_started_again() -> None:
    said = "a relay can only be started once: make another LogRelay"
    with LogRelay() as relay, pytest.raises(RuntimeError, match=said):
        relay.__enter__()
    with pytest.raises(RuntimeError, match=said):
        relay.__enter__()


def test_install_with_parentheses_as_an_initializer(records: Records) -> None:
    with LogRelay() as relay:
        assert relay.install() is None
    (message,) = records.messages
    assert "without parentheses: initializer=relay.install" in message


def work_after(relay: LogRelay, gate: str, stderr: str) -> None:
    relay.install()
    sys.stderr = open(stderr, "w")  # noqa: SIM115
    jobs.log("before")
    jobs.wait_for(gate)
    jobs.log("after")
    jobs.log("much later")


def test_a_child_that_logs_after_the_relay_has_ended(context: BaseContext, records: Records, tmp_path: Path) -> None:
    os.mkfifo(gate := tmp_path / "gate")
    with LogRelay(context) as relay:
        child = context.Process(target=work_after, args=(relay, str(gate), str(tmp_path / "stderr")))
        child.start()
        records.wait_for("before")
    gate.write_text("")
    child.join()
    child.close()
    assert records.messages == ["before"]
    said, *lines = (tmp_path / "stderr").read_text().splitlines()
    assert said.startswith("logpool: the relay has ended, or its manager process can't be reached (")
    assert said.endswith("): this process writes its records to stderr.")
    assert lines == ["INFO:app:after", "INFO:app:much later"]


# The executor's life.


def test_an_executor_that_is_closed_twice(context: BaseContext, records: Records) -> None:
    executor = LoggingProcessPoolExecutor(1, context)
    executor.submit(jobs.log, "once")
    for _ in range(2):
        executor.shutdown()
        with executor:
            pass
    assert records.messages == ["once"]
    assert executor.flush_logs()
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.submit(jobs.square, 2)


@pytest.mark.parametrize("start_method", ["forkserver", "spawn"])
def test_the_queue_of_an_executor_that_was_closed_before_it_had_one(start_method: str) -> None:
    executor = LoggingProcessPoolExecutor(1, multiprocessing.get_context(start_method))
    executor.shutdown()
    for name in ("log_queue", "log_listener"):
        with pytest.raises(RuntimeError, match="after shutdown: ask for it while the executor is open"):
            getattr(executor, name)


# Handlers and listeners.


def test_a_handler_that_waits_for_all_records(context: BaseContext, records: Records) -> None:
    errors: list[str] = []

    def flush() -> None:
        try:
            executor.flush_logs()
        except RuntimeError as error:
            errors.append(str(error))

    records.on_message["flush"] = flush
    with LoggingProcessPoolExecutor(1, context) as executor:
        executor.submit(jobs.log, "flush").result()
    assert errors == ["a handler cannot wait for all records while it handles one: flush in another thread"]


@pytest.mark.parametrize("to_handlers", [False, True], ids=["the root logger's", "one of log_handlers"])
def test_a_queue_handler_in_the_parent_that_puts_records_back(
    records: Records, capsys: pytest.CaptureFixture[str], to_handlers: bool
) -> None:
    # As in the logging cookbook's recipe, where something else takes records from the queue.
    again = logging.handlers.QueueHandler(None)  # type: ignore[arg-type]
    with LoggingProcessPoolExecutor(1, log_handlers=[records, again] if to_handlers else None) as executor:
        again.queue = executor.log_queue
        if not to_handlers:
            logging.getLogger().addHandler(again)
        executor.submit(jobs.log, "from a worker").result()
        executor.shutdown()
    assert records.messages == ["from a worker"]
    said = capsys.readouterr().err
    assert said.count("RuntimeError: this record has just come out of the log queue: ") == 1
    assert "remove the QueueHandler from the handlers of this process" in said


def test_a_listener_of_ones_own_beside_the_executors(records: Records) -> None:
    with LoggingProcessPoolExecutor(1) as executor:
        executor.submit(jobs.log, "one").result()
        with pytest.raises(RuntimeError, match=r"call stop\(\) of log_listener \(of a relay: listener\) first"):
            executor.log_queue.get()
        executor.submit(jobs.log, "two").result()
    assert records.messages == ["one", "two"]


def in_a_child(relay: LogRelay, results: Any) -> None:
    for use in (lambda: relay.listener, relay.__enter__, relay.queue.get):
        try:
            use()
        except RuntimeError as error:
            results.put(str(error))


def test_a_child_that_takes_itself_for_the_parent(context: BaseContext) -> None:
    results = context.SimpleQueue()
    with LogRelay(context) as relay:
        child = context.Process(target=in_a_child, args=(relay, results))
        child.start()
        child.join()
        child.close()
        assert [results.get() for _ in range(3)] == [
            "the listener is in the process that made the relay: a child calls install() alone",
            "a relay can only be started in the process that made it: a child calls install() alone",
            "only the process that made the log queue can get from it",
        ]
    results.close()


# Programs.

IN_A_DAEMON = """
import logging, multiprocessing, sys
from logpool import LoggingProcessPoolExecutor, LogRelay

def pool(method):
    with LoggingProcessPoolExecutor(1, multiprocessing.get_context(method)) as executor:
        executor.submit(abs, -1).result()

def relay(method):
    with LogRelay(multiprocessing.get_context(method)):
        pass

def try_it(function, method):
    try:
        function(method)
    except AssertionError as error:
        text = "; ".join([str(error), *error.__notes__])
    return text, multiprocessing.active_children()

if __name__ == "__main__":
    method = sys.argv[1]
    with multiprocessing.get_context("fork").Pool(1) as daemons:
        for function in (pool, relay):
            print(*daemons.apply(try_it, (function, method)), sep="|")
"""


@pytest.mark.parametrize("start_method", START_METHODS)
def test_a_pool_or_a_relay_in_a_daemonic_process(run_program: Run, start_method: str) -> None:
    ended = run_program(IN_A_DAEMON, start_method)
    assert ended.returncode == 0, ended.stderr
    for line in ended.stdout.splitlines():
        text, left = line.split("|")
        assert text.startswith("daemonic processes are not allowed to have children; ")
        assert "as a worker of multiprocessing.Pool is" in text
        assert "so can a worker of a ProcessPoolExecutor" in text
        assert left == "[]"
    assert len(ended.stdout.splitlines()) == 2


NO_GUARD = """
import logging, multiprocessing, sys
from logpool import LoggingProcessPoolExecutor

logging.basicConfig(format="%(levelname)s %(message)s")
with LoggingProcessPoolExecutor(1, multiprocessing.get_context(sys.argv[1])) as executor:
    print(executor.submit(abs, -1).result())
"""


@pytest.mark.parametrize("start_method", ["forkserver", "spawn"])
def test_a_main_module_without_a_guard(run_program: Run, start_method: str) -> None:
    ended = run_program(NO_GUARD, start_method)
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert "has not got as far as its first job. Its own error is on stderr. " in ended.stderr.splitlines()[-1]
    assert 'put that under `if __name__ == "__main__":`' in ended.stderr.splitlines()[-1]
    assert "An attempt has been made to start a new process before" in ended.stderr  # Said by multiprocessing.


def test_no_message_of_this_file_is_cut_short_by_optimization() -> None:
    """`python -O` has no assertions; the checks of arguments are none."""
    source = "import logpool\ntry:\n    logpool.LogRelay(log_level=True)\nexcept TypeError:\n    print('said')"
    done = subprocess.run([sys.executable, "-O", "-c", source], capture_output=True, text=True, timeout=40, check=True)
    assert done.stdout == "said\n"
