"""The multi-process program of Python's logging cookbook, by process pool: handlers on the root and on one subsystem.

Each of five jobs logs 100 records, to six loggers picked at random, at five levels picked at random. The parent's
configuration alone says what becomes of them:

- console: INFO and above
- mplog.log: all records
- mplog-foo.log: the records of `foo` and the loggers below it
- mplog-errors.log: ERROR and above
"""

from __future__ import annotations

import argparse
import logging
import logging.config
import multiprocessing
import random
from pathlib import Path

from logpool import LoggingProcessPoolExecutor

LEVELS = [logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL]
LOGGERS = ["foo", "foo.bar", "foo.bar.baz", "spam", "spam.ham", "spam.ham.eggs"]


def work(job: int) -> None:
    """Logs 100 records, always the same for the same job. Runs in a worker."""
    choice = random.Random(job).choice
    for number in range(100):
        logger = logging.getLogger(choice(LOGGERS))
        logger.log(choice(LEVELS), "job %d, record %d", job, number)


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
                    "filename": str(directory / "mplog.log"),
                    "mode": "w",
                    "formatter": "detailed",
                },
                "foofile": {
                    "class": "logging.FileHandler",
                    "filename": str(directory / "mplog-foo.log"),
                    "mode": "w",
                    "formatter": "detailed",
                },
                "errors": {
                    "class": "logging.FileHandler",
                    "filename": str(directory / "mplog-errors.log"),
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
    """Runs the jobs. Runs in the parent."""
    directory.mkdir(parents=True, exist_ok=True)
    configure_logging(directory)
    with LoggingProcessPoolExecutor(5) as executor:
        list(executor.map(work, range(5)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", nargs="?", type=Path, default=Path("logs"), help="where the log files go")
    parser.add_argument("--start-method", choices=multiprocessing.get_all_start_methods(), help="how workers start")
    arguments = parser.parse_args()
    if arguments.start_method is not None:
        multiprocessing.set_start_method(arguments.start_method)
    main(arguments.directory)
