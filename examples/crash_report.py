"""A worker crashes: a file of its own says which, why, and what it was doing, and a second pool does the other jobs.

The report is a record of the logger `logpool` at CRITICAL. What its message says in words, it has as attributes, too.
The job that the worker died of isn't tried again.
"""

from __future__ import annotations

import argparse
import ctypes
import logging
import multiprocessing
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from logpool import LoggingProcessPoolExecutor

log = logging.getLogger("images")

FORMAT = """\
%(asctime)s %(message)s
worker: %(workerName)s, pid %(workerPid)s
signal: %(signalName)s, exit code %(exitCode)s
job:    %(jobId)s, %(jobName)s
"""


class ForReports(logging.Filter):
    """Notes the number of the job that a worker died of, and lets nothing but such reports pass."""

    def __init__(self) -> None:
        super().__init__()
        self.job: int | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        """Tells a report by an attribute that only reports have."""
        if not hasattr(record, "workerPid"):
            return False
        self.job = getattr(record, "jobId", None)
        return True


def scale(name: str) -> str:
    """Scales an image: one job. Runs in a worker."""
    log.info("scaling %s", name)
    if name == "broken.png":
        ctypes.string_at(0)  # Reads where no memory is, as a bug in a library written in C does.
    return name.replace(".png", ".jpg")


def main(directory: Path) -> None:
    """Runs the jobs. Runs in the parent."""
    directory.mkdir(parents=True, exist_ok=True)
    log_file = logging.FileHandler(directory / "images.log", mode="w")
    logging.basicConfig(level="INFO", format="%(levelname)s %(message)s", handlers=[log_file])
    reports = ForReports()
    to_file = logging.FileHandler(directory / "crashes.log", mode="w", delay=True)
    to_file.setFormatter(logging.Formatter(FORMAT))
    to_file.addFilter(reports)
    logging.getLogger("logpool").addHandler(to_file)

    names = ["one.png", "two.png", "broken.png", "three.png"]
    done: dict[str, str] = {}
    while len(done) < len(names):
        with LoggingProcessPoolExecutor(1) as executor:
            futures = {name: executor.submit(scale, name) for name in names if name not in done}
            for name, future in futures.items():
                try:
                    done[name] = future.result()
                except BrokenProcessPool:
                    if future.job_id == reports.job:
                        done[name] = "crashed"
    print(done)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", nargs="?", type=Path, default=Path("logs"), help="where the log files go")
    parser.add_argument("--start-method", choices=multiprocessing.get_all_start_methods(), help="how workers start")
    arguments = parser.parse_args()
    if arguments.start_method is not None:
        multiprocessing.set_start_method(arguments.start_method)
    main(arguments.directory)
