"""What both ends of a record's way agree on: a record's fields, and plain values."""

from __future__ import annotations

import pickle
from logging import LogRecord

from logpool._process.hints import Any

probe = LogRecord("", 0, "", 0, "", (), None)

FIELDS = tuple(probe.__dict__)
"""The attributes that every record has, in the order in which the running Python sets them."""

Job = tuple[int | None, str | None]
"""A job's number and name; None where there is no job."""

JOB_FIELDS = ("jobId", "jobName")
"""The attributes of a pool's record that tell its job."""

PLAIN = frozenset({str, int, float, bool, type(None), complex, bytes})
"""Types whose objects look the same on both sides, and can't change on the way."""

CONTAINERS = frozenset({tuple, list, dict, set, frozenset})
"""Types whose objects look the same on both sides if their items do."""

Packed = tuple[bytes | None, str | int]
"""A pickle, and what stands for it where it can't be loaded: a text as a rule. No pickle: it couldn't be made."""

Frames = list[tuple[str, str, str, str | None, str | None, int, tuple[int | None, ...]]]
"""Plain data of a traceback: of each frame the file, function, its qualified name, the module's name and file, the
line, and the lines and columns that Python underlines."""

NO_POSITIONS = (None, None, None, None)


class LostError(pickle.PickleError):
    """An exception that a value refers to can't be had."""


def plain_str(text: str) -> str:
    """Return a plain str of a str of any class, without calling its methods."""
    return str.__str__(text)


def name_of(kind: type) -> str:
    """Return a class's name as tracebacks print it."""
    name, module = plain_str(kind.__qualname__), kind.__module__
    return name if module in ("builtins", "__main__") or not isinstance(module, str) else f"{module}.{name}"


def safe_repr(value: object, make: Any = repr) -> str:
    """Return an object's `repr`, or whatever else `make` makes of it. Where that raises, the text says so."""
    try:
        return plain_str(make(value))
    except Exception as error:
        return f"<{name_of(type(value))} object: its {make.__name__}() raised {name_of(type(error))}>"
