"""Checks of the arguments that the executor and the relay have in common. They start nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from multiprocessing.context import BaseContext

from logpool._process.hints import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TypeVar

    T = TypeVar("T")


def check_context(mp_context: BaseContext | None) -> BaseContext | None:
    """Return a multiprocessing context, or a module that serves as one, as `multiprocessing` itself does; or None."""
    if mp_context is not None and not hasattr(mp_context, "get_start_method"):
        raise TypeError(
            "mp_context must be a multiprocessing context, such as multiprocessing.get_context('spawn'), "
            f"not {mp_context!r}"
        )
    return mp_context


def check_handlers(handlers: Iterable[logging.Handler] | None) -> tuple[logging.Handler, ...] | None:
    """Return the handlers, taken from an iterable; or None."""
    if handlers is None:
        return None
    # A str is an iterable, but not of what its author had in mind.
    if isinstance(handlers, str) or not isinstance(handlers, Iterable):
        raise TypeError(
            "the log handlers must be an iterable of logging.Handler objects, such as [logging.StreamHandler()], "
            f"not {handlers!r}"
        )
    checked = tuple(handlers)
    for handler in checked:
        if not isinstance(handler, logging.Handler):
            what = f"a class: call it to make a handler, {handler!r}" if isinstance(handler, type) else repr(handler)
            raise TypeError(f"each log handler must be a logging.Handler object, not {what}")
    return checked


def check_level(level: int | str | None) -> int | None:
    """Return the number of a level, given as number or by name; or None."""
    if level is None:
        return None
    if isinstance(level, str):
        numbers = logging.getLevelNamesMapping()
        if level in numbers:
            return numbers[level]
        if (upper := level.strip().upper()) in numbers:
            advice = f"names of levels are in upper case: {upper!r}"
        elif upper.isdecimal():
            advice = f"a number is given as an int: {upper}"
        else:
            advice = f"add it by logging.addLevelName(), or take one of {', '.join(numbers)}"
        raise ValueError(f"unknown log level: {level!r}; {advice}")
    if not isinstance(level, int) or isinstance(level, bool):
        raise TypeError(f"the log level must be an int or the name of a level, such as 'INFO', not {level!r}")
    return int(level)  # An enum's may be of a class that can't be pickled.


def check_backlog(backlog: int) -> int:
    """Return the number of bytes."""
    if not isinstance(backlog, int) or isinstance(backlog, bool):
        raise TypeError(f"the log backlog must be an int, a number of bytes, such as 64 * 2**20, not {backlog!r}")
    if backlog <= 0:
        raise ValueError(f"the log backlog must be greater than 0 bytes, not {backlog}")
    return int(backlog)  # An enum's is no plain number.


def only_one(name: str, value: T, by_other_name: T | None, *, default: T) -> T:
    """Return an argument that the relay takes under the executor's name, too.

    Args:
        name: The relay's name of it.
        value: What was given under that; or the default.
        by_other_name: What was given under the executor's; None: nothing.
        default: What is taken where nothing was given.
    """
    if by_other_name is None:
        return value
    if value is not default and value != default:
        raise TypeError(f"{name} and log_{name} are two names of one argument: give it once")
    return by_other_name
