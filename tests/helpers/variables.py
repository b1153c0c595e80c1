"""Context variables of a module, and jobs that set them. Spawned workers import this."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass

import jobs

REQUEST = ContextVar("REQUEST", default="-")
USER = ContextVar("USER", default="-")
OBJECT: ContextVar[object] = ContextVar("OBJECT", default=None)
NOT_BY_ITS_NAME = ContextVar("another name", default="-")


@dataclass
class Point:
    x: int
    y: int


class LogsWhenPickled:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[int]]:
        jobs.log("pickled")
        return int, (1,)


def log_rarely() -> None:
    logging.getLogger("app").info("rare", extra={"more": [1], "jobId": "another"})


def fail() -> None:
    jobs.log("fails")
    raise ZeroDivisionError


def log_from_a_thread() -> None:
    thread = threading.Thread(target=jobs.log, args=("from a thread",))
    thread.start()
    thread.join()


def set_and_log(name: str, value: object) -> None:
    jobs.log("before")
    globals()[name].set(value)
    jobs.log("after")


def set_and_log_a_lock() -> None:
    OBJECT.set(threading.Lock())
    jobs.log("after")


def set_and_log_what_logs() -> None:
    OBJECT.set(LogsWhenPickled())
    jobs.log("last")


def set_in_a_thread() -> None:
    def work() -> None:
        REQUEST.set("thread's")
        jobs.log("thread")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    jobs.log("main")


def set_in_tasks() -> None:
    async def work(number: int) -> None:
        REQUEST.set(str(number))
        jobs.log(f"task {number}")

    async def work_all() -> None:
        await asyncio.gather(*map(work, range(2)))

    asyncio.run(work_all())
    jobs.log("main")
