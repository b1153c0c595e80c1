"""Log files that a worker doesn't open before it must.

A handler of the worker's that stands for one of the parent's gets no records, but making it would open the parent's
file, and with mode "w" empty it.
"""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Callable

from logpool._process import cpython
from logpool._process.hints import Any

_must_hold: Callable[[logging.Handler], bool] = bool
_held: weakref.WeakSet[logging.Handler] = weakref.WeakSet()
_released: weakref.WeakSet[logging.Handler] = weakref.WeakSet()


def hold(must_hold: Callable[[logging.Handler], bool]) -> None:
    """Have file handlers begin with no file.

    Args:
        must_hold: Tells of a handler whether its file must not be opened.
    """
    global _must_hold
    _must_hold = must_hold
    cpython.set_open_file(_open)


def let_go() -> None:
    """Have file handlers open files again, those that hold one for their next record."""
    cpython.set_open_file(cpython.open_file)
    for handler in list(_held):
        release(handler, appends=False)


def _open(handler: logging.FileHandler) -> Any:
    if handler in _released or not _must_hold(handler):
        return cpython.open_file(handler)
    _held.add(handler)
    return open(os.devnull, "w", encoding=handler.encoding, errors=handler.errors)


def release(handler: logging.Handler, *, appends: bool) -> None:
    """Have a handler open its file for its next record, if the file was held.

    Args:
        handler: The handler.
        appends: Whether the file is in use, so that it must not be emptied.
    """
    if not isinstance(handler, logging.FileHandler) or handler not in _held:
        return
    _held.discard(handler)
    _released.add(handler)
    if appends:
        handler.mode = "a"
    if handler.stream is not None:
        handler.stream.close()
        handler.stream = None
