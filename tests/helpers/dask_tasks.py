"""What tasks do in the tests of `logpool.dask`. Workers import this."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from contextvars import ContextVar
from typing import Any

from distributed import get_client, worker_client

request: ContextVar[str] = ContextVar("request", default="none")


class Point:
    """Can be pickled, not by msgpack."""

    def __init__(self, x: int) -> None:
        self.x = x

    def __str__(self) -> str:
        return f"point {self.x}"


def log(message: str, *args: object, name: str = "app", level: int = logging.INFO, **extra: Any) -> int:
    logging.getLogger(name).log(level, message, *args, extra=extra)
    return os.getpid()


def log_numbers(count: int, name: str = "app") -> int:
    logger = logging.getLogger(name)
    for number in range(count):
        logger.info("%d", number)
    return count


def log_each_level(*names: str) -> None:
    for name in names:
        for level in (10, 20, 30, 40):
            logging.getLogger(name).log(level, "%s at %d", name, level)


def log_exception() -> None:
    try:
        raise ValueError("wrong") from KeyError("cause")
    except ValueError:
        logging.getLogger("app").exception("failed")


def log_and_fail(message: str) -> None:
    logging.getLogger("app").info(message)
    raise ValueError("as it should")


def log_and_die(count: int, flag: str) -> int:
    """Dies the first time, right after it has logged."""
    log_numbers(count)
    try:
        os.close(os.open(flag, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return count
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def log_large(size: int) -> None:
    logging.getLogger("app").info("x" * size)


def log_in_thread(message: str) -> None:
    thread = threading.Thread(target=log, args=(message,))
    thread.start()
    thread.join()


async def log_in_coroutine(message: str) -> None:
    async def inner(text: str) -> None:
        await asyncio.sleep(0)
        log(text)

    await asyncio.gather(inner(message + " one"), inner(message + " two"))


async def log_many_in_coroutine(count: int) -> None:
    log_numbers(count)


def log_nested(message: str) -> None:
    log(message + " outer")
    with worker_client() as client:
        client.submit(log, message + " inner", pure=False).result()
    get_client().submit(log, message + " by get_client", pure=False).result()


def add_logging(number: int) -> int:
    logging.getLogger("app").info("adding to %d", number)
    return number + 1


def logging_state(dask_worker: Any) -> dict[str, Any]:
    """All that a relay may change in a worker."""
    return {
        "call": logging.Logger.callHandlers.__module__,
        "level": logging.Logger.getEffectiveLevel.__module__,
        "root": (logging.root.level, len(logging.root.handlers)),
        "disable": logging.root.manager.disable,
        "levels": {
            name: item.level for name, item in logging.root.manager.loggerDict.items() if hasattr(item, "level")
        },
        "warnings": logging._warnings_showwarning is not None,  # type: ignore[attr-defined]
        "execute": "execute" in vars(dask_worker),
    }


def wait_for_event(name: str) -> None:
    from distributed import Event

    Event(name).wait()


def log_around_event(name: str) -> None:
    log("before")
    wait_for_event(name)
    log("after")
