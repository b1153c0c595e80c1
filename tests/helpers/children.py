"""What processes do in the tests of relays that serve all children. Nothing is handed to them.

What a spawned one doesn't need isn't imported.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
from multiprocessing.context import BaseContext
from typing import Any

import jobs


def run(method: str, target: Any, *args: object, **kwargs: object) -> int | None:
    """Runs a child of a process that knows the start method's name, and returns its exit code."""
    context: Any = multiprocessing.get_context(method)
    process = context.Process(target=target, args=args, kwargs=kwargs)
    process.start()
    process.join()
    code = process.exitcode
    process.close()
    return code


def log_and_run(method: str, depth: int) -> None:
    """Logs, and has a child do the same, and so on."""
    jobs.log("depth %d", depth)
    if depth:
        assert run(method, log_and_run, method, depth - 1) == 0


def log_and_be_killed(count: int) -> None:
    jobs.log_numbers(count)
    os.kill(os.getpid(), signal.SIGKILL)


def relay_here(method: str) -> None:
    """Has a relay of its own in a child, whose handler marks what it handles."""
    from logpool import LogRelay

    jobs.log("before")

    class Marking(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            jobs.log("marked %s", record.getMessage())

    with LogRelay(handlers=[Marking()], all_children=True):
        assert run(method, log_and_run, method, 1) == 0
    assert run(method, jobs.log, "after") == 0


def stock_pool(method: str, count: int) -> None:
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(1, multiprocessing.get_context(method)) as executor:
        for number in range(count):
            executor.submit(jobs.log, "stock %d", number).result()


def our_pool(method: str) -> None:
    from logpool import LoggingProcessPoolExecutor

    with LoggingProcessPoolExecutor(1, multiprocessing.get_context(method)) as executor:
        executor.submit(jobs.log, "ours").result()


def raw_fork_that_runs(method: str) -> None:
    """Forks without `multiprocessing`, and has that process run a child."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = run(method, jobs.log, "grandchild") or 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0


def log_waiting(gate: str) -> None:
    with open(gate + ".stderr", "w") as sys.stderr:
        jobs.log_and_wait_for(gate)
        run("spawn", jobs.log, "late grandchild")


def call_handlers_module() -> str:
    return logging.Logger.callHandlers.__module__


def logs_itself(context: BaseContext) -> Any:
    """Returns a process object whose class has a `run` of its own."""
    classes = {"fork": ForkLogger, "forkserver": ForkServerLogger, "spawn": SpawnLogger}
    return classes[context.get_start_method()]()


class ForkLogger(multiprocessing.context.ForkProcess):
    def run(self) -> None:
        jobs.log("my own run")


class ForkServerLogger(multiprocessing.context.ForkServerProcess):
    def run(self) -> None:
        jobs.log("my own run")


class SpawnLogger(multiprocessing.context.SpawnProcess):
    def run(self) -> None:
        jobs.log("my own run")
