"""A primary and four ranks, started as `torch.multiprocessing.spawn` does it: a function with its rank, then `args`.

Two files stand behind the relay's listener, a thread of the primary, which alone writes to them. The ranks log to them
because the relay serves all child processes. The primary does by way of the standard library's `QueueHandler` on the
relay's queue.

- primary-info.log: INFO and above
- primary-errors.log: ERROR and above
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
from collections.abc import Callable
from logging.handlers import QueueHandler
from pathlib import Path
from typing import Any

from logpool import LogRelay

log = logging.getLogger("train")


def spawn(function: Callable[..., None], args: tuple[Any, ...], process_count: int) -> list[multiprocessing.Process]:
    """Starts `function(rank, *args)` in processes. Stands for `torch.multiprocessing.spawn(..., join=False)`."""
    ranks = [multiprocessing.Process(target=function, args=(rank, *args)) for rank in range(process_count)]
    for process in ranks:
        process.start()
    return ranks


def train(rank: int, steps: int) -> None:
    """Trains nothing. What a rank runs."""
    log.info("rank %d begins", rank)
    for step in range(steps):
        log.debug("rank %d, step %d", rank, step)
        if step == rank:
            log.error("rank %d, step %d: loss is not a number", rank, step)
    log.info("rank %d is done", rank)


def file_handler(path: Path, level: str) -> logging.Handler:
    """Makes a handler, in the primary."""
    handler = logging.FileHandler(path, mode="w")
    handler.setLevel(level)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-8s %(processName)-20s %(name)s: %(message)s"))
    return handler


def main(directory: Path) -> None:
    """Runs the ranks. Runs in the primary."""
    directory.mkdir(parents=True, exist_ok=True)
    files = [
        file_handler(directory / "primary-info.log", "INFO"),
        file_handler(directory / "primary-errors.log", "ERROR"),
    ]
    with LogRelay(handlers=files, level="INFO", all_children=True) as relay:
        to_queue = QueueHandler(relay.queue)
        log.addHandler(to_queue)
        log.setLevel("INFO")
        log.info("the primary starts 4 ranks")
        ranks = spawn(train, (10,), 4)
        for process in ranks:
            process.join()
        log.info("the ranks ended with %s", [process.exitcode for process in ranks])
        log.removeHandler(to_queue)
    for handler in files:
        handler.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", nargs="?", type=Path, default=Path("logs"), help="where the log files go")
    parser.add_argument("--start-method", choices=multiprocessing.get_all_start_methods(), help="how workers start")
    arguments = parser.parse_args()
    if arguments.start_method is not None:
        multiprocessing.set_start_method(arguments.start_method)
    main(arguments.directory)
