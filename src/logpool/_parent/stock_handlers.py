"""`only_print`: tells whether none but the standard library's own handlers will see a record, and print it.

A record has the text of its exception (`exc_text`) once a formatter has made it; those that come later take that. The
listener knows the text beforehand, from the worker, and to make it takes several times as long as all else that is done
for the record. But a filter, handler or formatter of another kind may look for it, and prints the exception in its own
way where it isn't there yet. So a record gets it from the listener only where that can't be noticed.
"""

from __future__ import annotations

import logging
import logging.handlers
import traceback
from collections.abc import Iterable
from logging import Formatter, Handler, Logger, LogRecord, NullHandler, RootLogger

from logpool._process import cpython
from logpool._process.hints import Any

_PRINT = ("handle", "filter", "emit", "format", "handleError")
_ROTATE = (*_PRINT, "shouldRollover")

_METHODS: dict[type, tuple[str, ...]] = {
    Logger: ("handle", "filter", "callHandlers"),
    RootLogger: ("handle", "filter", "callHandlers"),
    NullHandler: ("handle",),
    logging.StreamHandler: _PRINT,
    logging.FileHandler: _PRINT,
    logging.handlers.WatchedFileHandler: _PRINT,
    logging.handlers.RotatingFileHandler: _ROTATE,
    logging.handlers.TimedRotatingFileHandler: _ROTATE,
    Formatter: ("format", "formatTime", "usesTime", "formatMessage", "formatException", "formatStack"),
}
"""Of classes whose objects do nothing with a record but print it: the methods that get to see it, or its exception."""

_STOCK = frozenset(id(vars(module)) for module in (logging, logging.handlers, traceback))

_loggers = logging.Logger.manager.loggerDict


def only_print(record: LogRecord, handlers: Iterable[Handler | None] | None) -> bool:
    """Tell whether none but the standard library's own handlers will see a record, and print it.

    Args:
        record: A record, which isn't handled yet.
        handlers: Those that will get it; None: those of the logger of its name.
    """
    try:
        if handlers is None:
            logger: Any = logging.root if record.name == logging.root.name else _loggers[record.name]
            if logger.filters or not _is_stock(logger):
                return False
            handlers = _handlers_of(logger)
        return (
            logging.getLogRecordFactory() is LogRecord
            and _are_functions(traceback, ("print_exception",))
            and _are_functions(traceback.TracebackException, ("__init__", "format"))
            and all(map(_only_prints, handlers))
        )
    except Exception:  # A record that was made by hand, a placeholder for a logger, something that isn't a handler.
        return False


def _handlers_of(logger: Logger | None) -> list[Handler | None]:
    handlers: list[Handler | None] = []
    while logger is not None:
        handlers += logger.handlers
        logger = logger.parent if logger.propagate else None
    return handlers or [logging.lastResort]


def _only_prints(handler: Any) -> bool:
    if not _is_stock(handler):
        return False
    if type(handler) is NullHandler:
        return True
    formatter = handler.formatter
    return not handler.filters and _is_stock(formatter) and "exc_text" not in cpython.template_of(formatter)


def _is_stock(value: object) -> bool:
    """Tell whether an object is of one of the classes above, and nothing has replaced any of the methods."""
    methods = _METHODS.get(type(value))
    return methods is not None and _are_functions(value, methods)


def _are_functions(owner: object, names: tuple[str, ...]) -> bool:
    """Tell whether what is called by these names is the standard library's own."""
    for name in names:  # noqa: SIM110 (takes half the time)
        if id(getattr(getattr(owner, name), "__globals__", None)) not in _STOCK:
            return False
    return True
