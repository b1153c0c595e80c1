"""What jobs print becomes records: of the logger `stdout`, with the job's number and the line of the `print`.

The pool's initializer puts a stream that logs in the place of each worker's `sys.stdout`. This doesn't catch what a
library in C writes to the descriptor.
"""

from __future__ import annotations

import argparse
import io
import logging
import multiprocessing
import sys
import threading

from logpool import LoggingProcessPoolExecutor


class LogWriter(io.TextIOBase):
    """A text stream that logs each line written to it, when the line is complete or the stream is flushed."""

    def __init__(self, logger: logging.Logger, level: int) -> None:
        self.logger = logger
        self.level = level
        self.local = threading.local()  # Each thread has a line of its own.

    def write(self, text: str) -> int:
        """Logs the lines that this completes."""
        *lines, rest = (getattr(self.local, "rest", "") + text).split("\n")
        self.local.rest = rest
        for line in lines:
            self.logger.log(self.level, "%s", line, stacklevel=2)
        return len(text)

    def flush(self) -> None:
        """Logs a line that isn't complete."""
        if rest := getattr(self.local, "rest", ""):
            self.local.rest = ""
            self.logger.log(self.level, "%s", rest, stacklevel=2)


def print_to_log() -> None:
    """Has this process log what it prints. Each worker calls it when it starts."""
    sys.stdout = LogWriter(logging.getLogger("stdout"), logging.INFO)


def add(first: int, second: int) -> int:
    """Adds two numbers: one job. Runs in a worker."""
    print("adding", first, "and", second)
    print("that makes ", end="")
    print(first + second)
    return first + second


def main() -> None:
    """Runs the jobs. Runs in the parent."""
    logging.basicConfig(level="INFO", stream=sys.stdout, format="%(name)s %(processName)s line %(lineno)d: %(message)s")
    with LoggingProcessPoolExecutor(2, initializer=print_to_log) as executor:
        print(list(executor.map(add, range(3), range(3))))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--start-method", choices=multiprocessing.get_all_start_methods(), help="how workers start")
    arguments = parser.parse_args()
    if arguments.start_method is not None:
        multiprocessing.set_start_method(arguments.start_method)
    main()
