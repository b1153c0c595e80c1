"""What workers do in the tests. Spawned workers import this; what imports pytest takes them three times as long."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import struct
import threading
import time
import warnings
from typing import Any

from logpool._transport.queue import LogQueue

STATE: list[Any] = []


def log(message: str, *args: object, name: str = "app", level: int = logging.INFO) -> int:
    logging.getLogger(name).log(level, message, *args)
    return os.getpid()


def log_numbers(count: int, name: str = "app") -> int:
    logger = logging.getLogger(name)
    for number in range(count):
        logger.info("%d", number)
    return os.getpid()


def log_each_level(names: tuple[str, ...]) -> None:
    for name in names:
        for level in (5, 10, 20, 25, 30, 40, 50):
            logging.getLogger(name).log(level, "%s at %d", name, level)


def initialize(value: object) -> None:
    logging.getLogger("app.init").info("initializer got %s", value)
    STATE.append(value)


def state() -> list[Any]:
    return STATE


def fail_to_initialize() -> None:
    raise ValueError("no good")


def die(signal_number: int, count: int) -> None:
    log_numbers(count)
    os.kill(os.getpid(), signal_number)


def log_then_exit(count: int, code: int) -> None:
    log_numbers(count)
    os._exit(code)


def wait_for(path: str) -> None:
    """Waits until somebody opens this named pipe for writing and closes it."""
    with open(path) as pipe:
        pipe.read()


def log_and_wait_for(path: str) -> None:
    log("waiting")
    wait_for(path)
    log("waited")


def warn() -> None:
    warnings.warn("careful", stacklevel=1)


def handlers_and_filters(*names: str) -> dict[str, tuple[list[str], int, bool]]:
    """For each of these loggers: its handlers' classes, its number of filters, whether it propagates."""
    loggers = map(logging.getLogger, names)
    return {
        item.name: ([type(handler).__name__ for handler in item.handlers], len(item.filters), item.propagate)
        for item in loggers
    }


def is_enabled_for(name: str, level: int) -> bool:
    return logging.getLogger(name).isEnabledFor(level)


def effective_level(name: str) -> int:
    return logging.getLogger(name).getEffectiveLevel()


def log_from_threads(threads: int, count: int) -> None:
    def work(number: int) -> None:
        logger = logging.getLogger(f"app.{number}")
        for index in range(count):
            logger.info("%d", index)

    started = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def square(number: int) -> int:
    return number * number


def crash(count: int) -> None:
    """Dies of a fatal signal, in C."""
    import ctypes

    log_numbers(count)
    ctypes.string_at(0)


# With a queue.


def put_numbers(log_queue: LogQueue, count: int, size: int = 0) -> None:
    for number in range(count):
        log_queue.put((number, bytes(size)))


def put_marked(log_queue: LogQueue, mark: bytes, count: int, size: int) -> None:
    for _ in range(count):
        log_queue.put(mark * size)


def put_then_half_a_frame(log_queue: LogQueue) -> None:
    put_numbers(log_queue, 10)
    assert log_queue._stream is not None
    log_queue._stream.end.sendall(struct.pack("!I", 1_000_000) + b"half")
    os.kill(os.getpid(), signal.SIGKILL)


def put_until_refused(log_queue: LogQueue, mark: int, sender: Any) -> None:
    number = -1
    with contextlib.suppress(OSError, EOFError):
        while True:
            log_queue.put((mark, number + 1))
            number += 1
    sender.send((mark, number))
