"""One line for every pool: `LogRelay(all_children=True)` around code that starts processes, whoever wrote it.

A pool of `multiprocessing`, a stock `ProcessPoolExecutor`, a process that has a child of its own, and joblib if it is
installed. Nothing is handed to any of them, and none of them knows of logging.

- console: INFO and above
- any_pool.log: all records
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import logging
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from logpool import LogRelay

log = logging.getLogger("squares")


def square(number: int, caller: str) -> int:
    """Squares a number: one job. Runs in a worker."""
    log.debug("%s: squaring %d", caller, number)
    log.info("%s: %d", caller, number * number)
    return number * number


def square_in_a_child(number: int) -> None:
    """Has a child process square a number. Runs in a process."""
    child = multiprocessing.Process(target=square, args=(number, "a process's child"))
    child.start()
    child.join()
    square(number, "a process")


def use_pools() -> None:
    """Starts processes in each way. Stands for code that can't be changed."""
    with multiprocessing.Pool(2) as pool:
        pool.starmap(square, [(number, "Pool") for number in range(3)])
    with ProcessPoolExecutor(2) as executor:
        list(executor.map(square, range(3), ["ProcessPoolExecutor"] * 3))
    process = multiprocessing.Process(target=square_in_a_child, args=(3,))
    process.start()
    process.join()
    if importlib.util.find_spec("joblib"):
        joblib = importlib.import_module("joblib")
        joblib.Parallel(n_jobs=2)(joblib.delayed(square)(number, "joblib") for number in range(3))


def main(directory: Path) -> None:
    """Sets up handlers, in the parent alone, and uses the pools there."""
    directory.mkdir(parents=True, exist_ok=True)
    console, file = logging.StreamHandler(sys.stdout), logging.FileHandler(directory / "any_pool.log", "w")
    console.setLevel("INFO")
    logging.basicConfig(level="DEBUG", format="%(levelname)-5s %(name)s %(message)s", handlers=[console, file])
    with LogRelay(all_children=True):
        use_pools()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", nargs="?", type=Path, default=Path("logs"), help="where the log files go")
    parser.add_argument("--start-method", choices=multiprocessing.get_all_start_methods(), help="how processes start")
    arguments = parser.parse_args()
    if arguments.start_method is not None:
        multiprocessing.set_start_method(arguments.start_method)
    main(arguments.directory)
