"""Runs programs one after the other, each in a fork of this process, which has loaded what they need.

    python run_programs.py START_METHOD DIRECTORY...

Each directory has a program's modules. What the program prints goes into the file `output` there.
"""

from __future__ import annotations

import logging.config
import logging.handlers  # noqa: F401
import multiprocessing.popen_fork
import multiprocessing.popen_forkserver
import multiprocessing.popen_spawn_posix  # noqa: F401
import os
import runpy
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor  # noqa: F401

from logpool import LoggingProcessPoolExecutor, relay  # noqa: F401


def run(start_method: str, directory: str) -> None:
    """Become the program, which ends when this process does."""
    os.chdir(directory)
    output = os.open("output", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    sys.path[0] = directory
    sys.argv = ["main.py", start_method]
    try:
        runpy.run_path(os.path.join(directory, "main.py"), run_name="__main__")
    except Exception:
        traceback.print_exc()


def main() -> None:
    _, start_method, *directories = sys.argv
    for directory in directories:
        pid = os.fork()
        if not pid:
            run(start_method, directory)
            return
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
