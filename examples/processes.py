"""The multi-process program of Python's logging cookbook, with processes and no pool: `LogRelay`.

Five `multiprocessing.Process` workers log 100 records each, to six loggers and at five levels picked at random. Nothing
is handed to them: the relay serves all child processes. The parent logs too, with the same handlers:

- console: INFO and above
- processes.log: all records
- processes-foo.log: the records of `foo` and the loggers below it
- processes-errors.log: ERROR and above
"""

from __future__ import annotations

import argparse
import logging
import logging.config
import multiprocessing
import random
from pathlib import Path

from logpool import LogRelay

LEVELS = [logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL]
LOGGERS = ["foo", "foo.bar", "foo.bar.baz", "spam", "spam.ham", "spam.ham.eggs"]


def worker(seed: int) -> None:
    """Logs 100 records, always the same for the same seed. What a worker runs."""
    choice = random.Random(seed).choice
    for number in range(100):
        logger = logging.getLogger(choice(LOGGERS))
        logger.log(choice(LEVELS), "seed %d, record %d", seed, number)


def configure_logging(directory: Path) -> None:
    """Sets up handlers, in the parent alone."""
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "detailed": {"format": "%(asctime)s %(name)-15s %(levelname)-8s %(processName)-20s %(message)s"},
                "simple": {"format": "%(name)-15s %(levelname)-8s %(processName)-20s %(message)s"},
            },
            "handlers": {
                "console": {
                    "class": "logging.StreamHandler",
                    "stream": "ext://sys.stdout",
                    "level": "INFO",
                    "formatter": "simple",
                },
                "file": {
                    "class": "logging.FileHandler",
                    "filename": str(directory / "processes.log"),
                    "mode": "w",
                    "formatter": "detailed",
                },
                "foofile": {
                    "class": "logging.FileHandler",
                    "filename": str(directory / "processes-foo.log"),
                    "mode": "w",
                    "formatter": "detailed",
                },
                "errors": {
                    "class": "logging.FileHandler",
                    "filename": str(directory / "processes-errors.log"),
                    "mode": "w",
                    "level": "ERROR",
                    "formatter": "detailed",
                },
            },
            "loggers": {"foo": {"handlers": ["foofile"]}},
            "root": {"level": "DEBUG", "handlers": ["console", "file", "errors"]},
        }
    )


def main(directory: Path) -> None:
    """Runs the workers. Runs in the parent."""
    directory.mkdir(parents=True, exist_ok=True)
    configure_logging(directory)
    logger = logging.getLogger("foo")
    with LogRelay(all_children=True):
        workers = [multiprocessing.Process(target=worker, args=(seed,), name=f"worker {seed}") for seed in range(5)]
        for process in workers:
            process.start()
        logger.info("%d workers started", len(workers))
        for process in workers:
            process.join()
    # After the with block, all that the workers logged has been handled.
    logger.info("%d workers ended", len(workers))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", nargs="?", type=Path, default=Path("logs"), help="where the log files go")
    parser.add_argument("--start-method", choices=multiprocessing.get_all_start_methods(), help="how workers start")
    arguments = parser.parse_args()
    if arguments.start_method is not None:
        multiprocessing.set_start_method(arguments.start_method)
    main(arguments.directory)
