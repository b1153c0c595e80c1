"""What both ends of a record's way agree on: a record's fields, and plain values."""

from __future__ import annotations

import functools
import marshal
import operator
import pickle
import sys
from collections.abc import Callable
from logging import LogRecord

from logpool._process.hints import Any

probe = LogRecord("", 0, "", 0, "", (), None)

FIELDS = tuple(probe.__dict__)
"""The attributes that every record has, in the order in which the running Python sets them."""

JobTag = tuple[int | None, str | None]
"""A job's number and name; None where there is no job."""

JOB_FIELDS = ("jobId", "jobName")
"""The attributes of a pool's record that tell its job."""

PLAIN = frozenset({str, int, float, bool, type(None), complex, bytes})
"""Types whose objects look the same on both sides, and can't change on the way."""

CONTAINERS = frozenset({tuple, list, dict, set, frozenset})
"""Types whose objects look the same on both sides if their items do."""

Packed = tuple[bytes | None, str | int | None]
"""A pickle, and what stands for it where it can't be loaded: a text as a rule; None: it always can. No pickle: it
couldn't be made."""

Argument = str | bytes | tuple[bytes | None, dict[str, Any]]
"""An argument that isn't plain: a path's text; or its pickle, with what it has printed in the worker if that may differ
in the parent."""

Arguments = tuple[Any, dict[Any, Argument], str | None]
"""A message's arguments: the plain ones, with None in place of those that aren't; these, by their place; and the
message, where it must be looked at as a whole."""

QUESTIONS: dict[str, Callable[[Any], Any]] = {
    "str": str,
    "repr": repr,
    "int": lambda value: int("%d" % value),  # noqa: UP031
    "float": lambda value: float("%.17g" % value),  # noqa: UP031
    "index": operator.index,
}
"""What `%` can ask an argument for, and how it asks: of a subclass of int or float it takes the number itself."""

TracebackFrame = tuple[str, str, str, str | None, str | None, int, tuple[int | None, ...]]
"""Plain data of a traceback's frame: the file, function, its qualified name, the module's name and file, the line, and
the lines and columns that Python underlines."""

LOOKED_INTO = (NameError, AttributeError, ImportError, SyntaxError)
"""Exceptions of which Python prints more than their texts: it suggests other names, or shows source."""

PRINTED_PARTS = ("module", "name", "frames", "cause", "context", "suppress")
"""What an exception on its way has, beside its text, of which a traceback is printed."""

MOST_TRACEBACKS = 1024
"""How many tracebacks each process knows at most."""

MOST_FRAMES = 2048
"""How many frames of tracebacks each process knows at most."""

NO_POSITIONS = (None, None, None, None)


class LostError(pickle.PickleError):
    """An exception that a value refers to can't be had."""


def plain_str(text: str) -> str:
    """Return a plain str of a str of any class, without calling its methods."""
    return str.__str__(text)


MAIN_MODULE = "__main__"

INTERPRETERS_MAIN_MODULE = "<fake __main__>"
"""What functions and classes of the main module say that it is called, in another interpreter of the process."""

MAIN_MODULES = (MAIN_MODULE, "__mp_main__", INTERPRETERS_MAIN_MODULE)
"""The names that the main module has: in the parent, in a process that is spawned, and in another interpreter."""


def parents_module(name: Any) -> Any:
    """Return the name that a module has in the parent: a worker may have the main module under another."""
    return MAIN_MODULE if name in MAIN_MODULES else name


def with_parents_names(text: str) -> str:
    """Return a text with the name that the main module has in the parent, where it has another in a worker."""
    for name in MAIN_MODULES:
        text = text.replace(name, MAIN_MODULE)
    return text


def class_name_of(kind: type) -> str:
    """Return a class's name as tracebacks print it."""
    name, module = plain_str(kind.__qualname__), kind.__module__
    return name if module in ("builtins", *MAIN_MODULES) or not isinstance(module, str) else f"{module}.{name}"


RAISED = "() raised "
"""Part of what stands for a text that can't be had."""


def safe_repr(value: object, make: Any = repr) -> str:
    """Return an object's `repr`, or whatever else `make` makes of it. Where that raises, the text says so."""
    try:
        return plain_str(make(value))
    except Exception as error:
        return f"<{class_name_of(type(value))} object: its {make.__name__}{RAISED}{class_name_of(type(error))}>"


PATH = "WindowsPath" if sys.platform == "win32" else "PosixPath"

_BY_VALUE = frozenset(
    {
        ("pathlib", "PosixPath"),
        ("pathlib", "PurePosixPath"),
        ("pathlib._local", "PosixPath"),
        ("pathlib._local", "PurePosixPath"),
        ("datetime", "date"),
        ("datetime", "timedelta"),
        ("decimal", "Decimal"),
        ("uuid", "UUID"),
    }
)


@functools.lru_cache(maxsize=256)
def is_path(kind: type) -> bool:
    """Tell whether objects of a type are paths of this system.

    They are the objects that are logged most, and to load one by its text takes half the time that its pickle takes.
    """
    return kind.__qualname__ == PATH and kind.__module__ in ("pathlib", "pathlib._local")


@functools.lru_cache(maxsize=256)
def is_by_value(kind: type) -> bool:
    """Tell whether objects of a type pickle and print by nothing but a few plain values that they consist of.

    So they needn't be looked at more closely than plain ones. The modules aren't imported for this.
    """
    return (kind.__module__, kind.__qualname__) in _BY_VALUE


def is_plain(value: object) -> bool:
    """Tell whether an object is plain, and if it is a container, all that is in it.

    Such an object can't but print the same in the parent as it does now.
    """
    if type(value) is tuple and PLAIN.issuperset(map(type, value)):
        return True
    if not _consists_of(value, PLAIN.__contains__):
        return False
    try:
        marshal.dumps([[[value]]])
    except ValueError:  # It is nested too deeply.
        return False
    return True


def is_all_by_value(value: object) -> bool:
    """Tell whether an object is plain or `is_by_value`, and if it is a container, all that is in it."""
    return _consists_of(value, _is_plain_or_by_value)


def _is_plain_or_by_value(kind: type) -> bool:
    return kind in PLAIN or is_by_value(kind)


def _consists_of(value: object, is_allowed: Callable[[type], bool]) -> bool:
    """Tell whether an object is of an allowed type, or a container of nothing else."""
    stack, seen = [value], set()
    while stack:
        item: Any = stack.pop()
        kind: Any = type(item)
        if is_allowed(kind):
            continue
        # The order of a set may be another in another process.
        if kind not in CONTAINERS or (kind in (set, frozenset) and len(item) > 1):
            return False
        if id(item) not in seen:
            seen.add(id(item))
            try:
                stack.extend(item)
                if kind is dict:
                    stack.extend(item.values())
            except RuntimeError:  # Another thread is just changing it.
                return False
    return True
