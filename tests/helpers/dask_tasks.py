"""What tasks do in the tests of `logpool.dask`. Workers import this."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import warnings
from contextvars import ContextVar
from typing import Any

from distributed import get_client, get_worker, worker_client

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


def set_request_and_log(value: str, message: str) -> None:
    request.set(value)
    log(message)


class Unpicklable:
    """Raises an error whose context is another one."""

    def __reduce__(self) -> tuple[object, ...]:
        try:
            raise KeyError("context")
        except KeyError:
            raise ValueError("not to be pickled") from None


def warn(message: str) -> None:
    warnings.warn(message, FutureWarning, stacklevel=1)


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
        "app": logging.getLogger("app").level,
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


def log_in_background(count: int) -> None:
    """Leaves a thread that logs when the task is done."""
    threading.Thread(target=log_numbers, args=(count,), daemon=True).start()


def log_when_disconnected(message: str) -> None:
    """Logs when the worker has found that the scheduler is gone, and so must close."""
    log("before")
    worker = get_worker()
    gone = threading.Event()
    worker.loop.add_callback(_watch, worker, gone)
    gone.wait()
    log(message)
    _logged.set()


async def _watch(worker: Any, gone: threading.Event) -> None:
    import functools

    from logpool._dask.worker import WorkerRelay

    [relay] = [plugin for plugin in worker.plugins.values() if isinstance(plugin, WorkerRelay)]
    teardown = relay.teardown

    @functools.wraps(teardown)
    async def both(worker: Any) -> None:
        gone.set()
        await asyncio.to_thread(_logged.wait)
        await teardown(worker)

    relay.teardown = both  # type: ignore[method-assign]


_logged = threading.Event()


def watch_for_waits(dask_worker: Any) -> None:
    """Sets an event when a task first waits for room."""
    from logpool._dask.worker import WorkerRelay

    [relay] = [plugin for plugin in dask_worker.plugins.values() if isinstance(plugin, WorkerRelay)]
    wait = relay._outbox._wait

    def waits() -> None:
        _waits.set()
        wait()

    relay._outbox._wait = waits  # type: ignore[method-assign]


_waits = threading.Event()


async def wait_for_wait() -> None:
    await asyncio.to_thread(_waits.wait)


def fork_and_log() -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pid = os.fork()
    if not pid:
        try:
            log("from a child")
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
