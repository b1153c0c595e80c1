"""Imports the main module into a forkserver, with logging switched off: nothing is logged, and no log file is opened.

A forkserver that is started for a worker of ours imports this module in the place of the main module
(inheritance.py). Children get the main module from it; those that aren't ours find logging switched on again.
"""

from __future__ import annotations

from multiprocessing import spawn

from logpool._process import cpython
from logpool._worker import (
    import_guard,
    inheritance,  # noqa: F401  # Which its children would import, each for itself.
)


def _import_main_module(path: str) -> None:
    """Do what the forkserver does."""
    import_guard.begin()
    try:
        with cpython.inheriting():
            spawn.import_main_path(path)
    finally:
        import_guard.end()


if (_path := cpython.path_to_preload()) is not None:
    _import_main_module(_path)
