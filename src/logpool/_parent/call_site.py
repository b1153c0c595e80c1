"""`call_from`: calls a handler as if the line in the worker that logged had called it.

Handlers, filters and formatters may look at the stack to find the line that logged: loguru's `InterceptHandler`, for
example, or `logging.Handler.handleError` in its report. In this process that line isn't running. So between the
listener and the handlers there are frames that look as if it were:

    Dispatcher.handle ─▶ the function that logged, at its line ─▶ Logger.log ─▶ Logger._log ─▶ Logger.handle ─▶ ...

The two of `logging` are there because some handlers count frames instead of looking at them.

The frame that stands for the call site has the globals of its module, if that is loaded here, and no variables of the
function's. Its line is known, its columns aren't.
"""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable, Iterable
from logging import Handler, Logger, LogRecord
from types import CodeType, FunctionType

from logpool._process import cpython
from logpool._process.hints import Any

Handle = Callable[[LogRecord], object]


@functools.cache
def _code_of(expression: str) -> CodeType:
    """Return the code of a lambda. It has no columns, because they would be those of another text than the shown."""
    import ast  # Here, because a program that starts has no record to handle yet.

    tree = ast.parse(expression, mode="eval")
    for node in ast.walk(tree):
        if isinstance(node, ast.expr | ast.arg):
            node.col_offset = node.end_col_offset = -1
    code: CodeType = eval(compile(tree, "", "eval")).__code__
    return code


_CALL_NEXT = "lambda handle, record, next_frame: next_frame(handle, record)"
_CALL_HANDLE = "lambda handle, record: handle(record)"


def _placed(code: CodeType, file: str, name: str, line: int, namespace: dict[str, Any], *defaults: Any) -> Any:
    """Return a function of which the frame looks like that of another."""
    code = code.replace(co_filename=file, co_name=name, co_qualname=name, co_firstlineno=line)
    return FunctionType(code, namespace, name, defaults)


def _placed_like(method: Any, code: CodeType, *defaults: Any, namespace: dict[str, Any] | None = None) -> Any:
    like: CodeType = getattr(method, "__code__", logging.getLogger.__code__)  # Unless a tool has replaced it.
    return _placed(code, like.co_filename, like.co_name, like.co_firstlineno, namespace or vars(logging), *defaults)


@functools.cache
def _log() -> Any:
    """Return a function whose frames look like those of a logger's methods."""
    inner = _placed_like(cpython.log_method, _code_of(_CALL_HANDLE))
    return _placed_like(Logger.log, _code_of(_CALL_NEXT), inner)


MOST_CALL_SITES = 1024
"""How many call sites are kept at most."""

_call_sites: dict[tuple[Any, ...], Callable[[Handle, LogRecord], None]] = {}
"""By file, line and function. Only the listeners of this process write to it, one entry at a time."""


def _call_site(place: tuple[Any, ...], logger: str) -> Callable[[Handle, LogRecord], None]:
    """Return a function that calls from a place.

    Raises:
        Exception: There can't be such a place: the record has been made by hand.
    """
    file, line, function = place
    made = _placed(_code_of(_CALL_NEXT), file, function, line, _globals_of(file, logger), _log())
    if len(_call_sites) >= MOST_CALL_SITES:
        _call_sites.clear()
    _call_sites[place] = made
    return made  # type: ignore[no-any-return]


def _globals_of(file: str, logger: str) -> dict[str, Any]:
    for module in list(sys.modules.values()):
        namespace = getattr(module, "__dict__", None)
        if type(namespace) is dict and namespace.get("__file__") == file:
            return namespace
    # By convention a logger has the name of its module.
    stem = file.rpartition("/")[2].removesuffix(".py")
    return {"__name__": logger if logger.rpartition(".")[2] == stem else stem, "__file__": file}


def placed_like(method: Any) -> Callable[[Any], Any]:
    """Return a decorator, for a function whose frames are to look like those of one of `logging`."""
    return lambda function: _placed_like(method, function.__code__, namespace=function.__globals__)


@placed_like(Logger.callHandlers)
def call_handlers(handlers: Iterable[Handler], record: LogRecord) -> None:
    """Have a record handled by handlers, each by its own level."""
    for handler in handlers:
        if record.levelno >= handler.level:
            handler.handle(record)


def call_from(handle: Handle, record: LogRecord) -> None:
    """Call a function with a record, from the place in which the record was made.

    Args:
        handle: The function.
        record: Its argument.
    """
    place = record.pathname, record.lineno, record.funcName
    try:
        call = _call_sites.get(place) or _call_site(place, record.name)
    except Exception:
        handle(record)
    else:
        call(handle, record)
