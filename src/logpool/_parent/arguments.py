"""Checks of the arguments that the executor and the relay have in common. They start nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from multiprocessing.context import BaseContext


def check_context(mp_context: BaseContext | None) -> BaseContext | None:
    """Return a multiprocessing context, or a module that serves as one, as `multiprocessing` itself does; or None."""
    if mp_context is not None and not hasattr(mp_context, "get_start_method"):
        raise TypeError(
            "mp_context must be a multiprocessing context, such as multiprocessing.get_context('spawn'), "
            f"not {mp_context!r}"
        )
    return mp_context


def check_handlers(log_handlers: Iterable[logging.Handler] | None) -> tuple[logging.Handler, ...] | None:
    """Return the handlers, taken from an iterable; or None."""
    if log_handlers is None:
        return None
    # A str is an iterable, but not of what its author had in mind.
    if isinstance(log_handlers, str) or not isinstance(log_handlers, Iterable):
        raise TypeError(
            "log_handlers must be an iterable of logging.Handler objects, such as [logging.StreamHandler()], "
            f"not {log_handlers!r}"
        )
    handlers = tuple(log_handlers)
    for handler in handlers:
        if not isinstance(handler, logging.Handler):
            what = f"a class: call it to make a handler, {handler!r}" if isinstance(handler, type) else repr(handler)
            raise TypeError(f"log_handlers must have logging.Handler objects, and has {what}")
    return handlers


def check_level(log_level: int | str | None) -> int | None:
    """Return the number of a level, given as number or by name; or None."""
    if log_level is None:
        return None
    if isinstance(log_level, str):
        numbers = logging.getLevelNamesMapping()
        if log_level in numbers:
            return numbers[log_level]
        if (upper := log_level.strip().upper()) in numbers:
            advice = f"names of levels are in upper case: {upper!r}"
        elif upper.isdecimal():
            advice = f"a number is given as an int: {upper}"
        else:
            advice = f"add it by logging.addLevelName(), or take one of {', '.join(numbers)}"
        raise ValueError(f"unknown log_level: {log_level!r}; {advice}")
    if not isinstance(log_level, int) or isinstance(log_level, bool):
        raise TypeError(f"log_level must be an int or the name of a level, such as 'INFO', not {log_level!r}")
    return int(log_level)  # An enum's may be of a class that can't be pickled.


def check_backlog(log_backlog: int) -> int:
    """Return the number of bytes."""
    if not isinstance(log_backlog, int) or isinstance(log_backlog, bool):
        raise TypeError(f"log_backlog must be an int, a number of bytes, such as 64 * 2**20, not {log_backlog!r}")
    if log_backlog <= 0:
        raise ValueError(f"log_backlog must be greater than 0 bytes, not {log_backlog}")
    return log_backlog
