"""Imports the main module into a forkserver, with logging switched off: nothing is logged, and no log file is opened.

A forkserver that is started for a worker of ours imports this module in the place of the main module
(inheritance.py). Children get the main module from it; those that aren't ours find logging switched on again.
"""

from __future__ import annotations

import sys
from multiprocessing import spawn

from logpool._process import cpython
from logpool._worker import (
    import_guard,
    inheritance,  # noqa: F401  # Which its children would import, each for itself.
)


def _path_of_main_module() -> str | None:
    """Return what the forkserver was given as `main_path`, a variable of the function that imports this module."""
    frame = sys._getframe()
    while (caller := frame.f_back) is not None:
        frame = caller
        if "main_path" in frame.f_locals:
            path: str | None = frame.f_locals["main_path"]
            return path
    return None


def _import_main_module(path: str) -> None:
    """Do what the forkserver does."""
    import_guard.begin()
    try:
        with cpython.inheriting():
            spawn.import_main_path(path)
    finally:
        import_guard.end()


if (_path := _path_of_main_module()) is not None:
    _import_main_module(_path)
