"""A process pool whose workers log: to several loggers, at several levels, with a warning and an exception among them.

The parent configures logging once, with `logging.config.dictConfig`. The workers are given no handler and no queue.
What they log is on the console and in the files as if the parent had logged it, under each worker's own process name.

- console: INFO and above
- quickstart.log: all records
- quickstart-errors.log: ERROR and above
"""

from __future__ import annotations

import argparse
import logging
import logging.config
import multiprocessing
import warnings
from math import isqrt
from pathlib import Path

from logpool import LoggingProcessPoolExecutor

LIMITS = ["1", "1000", "5000", "10,000", "20000", "many", "50000"]

main_log = logging.getLogger("primes")
parse_log = logging.getLogger("primes.parse")
count_log = logging.getLogger("primes.count")


def parse(text: str) -> int:
    """Makes a number of a text. Runs in a worker."""
    parse_log.debug("parsing %r", text)
    if "," in text:
        warnings.warn(f"the comma in {text!r} will be an error", FutureWarning, stacklevel=2)
    return int(text.replace(",", ""))


def count_primes(text: str) -> int | None:
    """Counts the primes below a limit: one job. Runs in a worker."""
    try:
        limit = parse(text)
    except ValueError:
        parse_log.exception("%r is not a number", text)
        return None
    if limit <= 2:
        count_log.warning("there are no primes below %d", limit)
    count = sum(all(number % divisor for divisor in range(2, isqrt(number) + 1)) for number in range(2, limit))
    count_log.info("%d primes below %d", count, limit)
    return count


def configure_logging(directory: Path) -> None:
    """Sets up handlers, in the parent alone."""
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "line": {
                    "format": "%(asctime)s %(levelname)-8s %(processName)-19s %(name)-12s %(message)s",
                    "datefmt": "%H:%M:%S",
                }
            },
            "handlers": {
                "console": {
                    "class": "logging.StreamHandler",
                    "stream": "ext://sys.stdout",
                    "level": "INFO",
                    "formatter": "line",
                },
                "all": {
                    "class": "logging.FileHandler",
                    "filename": str(directory / "quickstart.log"),
                    "mode": "w",
                    "formatter": "line",
                },
                "errors": {
                    "class": "logging.FileHandler",
                    "filename": str(directory / "quickstart-errors.log"),
                    "mode": "w",
                    "level": "ERROR",
                    "formatter": "line",
                },
            },
            "root": {"level": "DEBUG", "handlers": ["console", "all", "errors"]},
        }
    )
    logging.captureWarnings(True)


def main(directory: Path) -> None:
    """Runs the jobs. Runs in the parent."""
    directory.mkdir(parents=True, exist_ok=True)
    configure_logging(directory)
    main_log.info("%d jobs for 2 workers", len(LIMITS))
    with LoggingProcessPoolExecutor(2) as executor:
        counts = list(executor.map(count_primes, LIMITS))
    main_log.info("%d of %d jobs have a result", len(LIMITS) - counts.count(None), len(LIMITS))
    main_log.info("log files are in %s", directory)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", nargs="?", type=Path, default=Path("logs"), help="where the log files go")
    parser.add_argument("--start-method", choices=multiprocessing.get_all_start_methods(), help="how workers start")
    arguments = parser.parse_args()
    if arguments.start_method is not None:
        multiprocessing.set_start_method(arguments.start_method)
    main(arguments.directory)
