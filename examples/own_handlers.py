"""Handlers of the pool's own: `log_handlers` and `log_level`. The parent's loggers have no handler at all.

Each handler gets the records that its own level lets through. Records below `log_level` are dropped in the worker.

- own-info.log: INFO and above
- own-errors.log: ERROR and above
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
from pathlib import Path

from logpool import LoggingProcessPoolExecutor

log = logging.getLogger("divide")


def divide(divisor: int) -> int | None:
    """Divides 60: one job. Runs in a worker."""
    log.debug("60 / %d begins", divisor)
    try:
        quotient, rest = divmod(60, divisor)
    except ZeroDivisionError:
        log.exception("60 / %d has no result", divisor)
        return None
    if rest:
        log.warning("60 / %d leaves %d", divisor, rest)
    log.info("60 / %d is %d", divisor, quotient)
    return quotient


def file_handler(path: Path, level: str) -> logging.Handler:
    """Makes a handler, in the parent."""
    handler = logging.FileHandler(path, mode="w")
    handler.setLevel(level)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-8s %(processName)-20s %(name)s: %(message)s"))
    return handler


def main(directory: Path) -> None:
    """Runs the jobs. Runs in the parent."""
    directory.mkdir(parents=True, exist_ok=True)
    handlers = [file_handler(directory / "own-info.log", "INFO"), file_handler(directory / "own-errors.log", "ERROR")]
    with LoggingProcessPoolExecutor(3, log_handlers=handlers, log_level="INFO") as executor:
        print(*executor.map(divide, range(8)))
    for handler in handlers:
        handler.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", nargs="?", type=Path, default=Path("logs"), help="where the log files go")
    parser.add_argument("--start-method", choices=multiprocessing.get_all_start_methods(), help="how workers start")
    arguments = parser.parse_args()
    if arguments.start_method is not None:
        multiprocessing.set_start_method(arguments.start_method)
    main(arguments.directory)
