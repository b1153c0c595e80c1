"""`format_exception` and `format_known`: a traceback as text, in the worker.

What Python prints comes from the frames, links and texts of the exceptions. So tracebacks that differ in these texts
alone, as those of one line that raises often do, are formatted once, and the texts put in from then on.
"""

from __future__ import annotations

import contextlib
import linecache
import logging
import marshal
import re
import sys
from collections.abc import Iterator, Sequence
from types import TracebackType

from logpool._process.hints import Any
from logpool._record.fields import (
    LOOKED_INTO,
    MOST_TRACEBACKS,
    PRINTED_PARTS,
    RAISED,
    class_name_of,
    plain_str,
    safe_repr,
)

Info = tuple[Any, BaseException, Any]
"""An `exc_info`."""

_formatter = logging.Formatter()

_known: dict[bytes, list[str | int] | None] = {}
"""Tracebacks in pieces, with the number of an exception in the place of its text. None: it can't be taken apart."""

_UNKNOWN: Any = object()


def format_exception(info: Info) -> str:
    """Return the traceback as text, as `logging.Formatter` prints it."""
    if sys.version_info >= (3, 15):
        with contextlib.suppress(Exception):
            _read_sources(info[1], info[2])
    try:
        text = plain_str(_formatter.formatException(info))
        # The main module has these names in workers only, and Python prints no main module's name.
        if "__mp_main__." in text or "<fake __main__>." in text:
            text = re.sub(r"(?m)^([ |+-]*)(?:__mp_main__|<fake __main__>)\.", r"\1", text)
        return text
    except Exception:
        return f"{class_name_of(type(info[1]))}: {safe_repr(info[1], str)}"


def _read_sources(exception: BaseException, traceback: TracebackType | None) -> None:
    """Have `linecache` read the files of all frames that belong to an exception.

    For a file that it doesn't know, Python 3.15's asks the loader of the frame's module, and warns if the module has
    none. The main module of a spawned worker has none. Where warnings are errors, there would be no traceback.
    """
    exceptions, seen, files = [exception], {id(exception)}, set(_files_of(traceback))
    for item in exceptions:  # Appended to during iteration.
        files.update(_files_of(item.__traceback__))
        members = item.exceptions if isinstance(item, BaseExceptionGroup) else ()
        for other in (item.__cause__, item.__context__, *members):
            if other is not None and id(other) not in seen:
                seen.add(id(other))
                exceptions.append(other)
    for file in files:
        linecache.getlines(file)


def _files_of(traceback: TracebackType | None) -> Iterator[str]:
    while traceback is not None:
        yield traceback.tb_frame.f_code.co_filename
        traceback = traceback.tb_next


def format_known(info: Info, itself: int, exceptions: Sequence[BaseException], flat: Sequence[dict[str, Any]]) -> str:
    """Do the same as `format_exception`, in less time where another text is all that is new.

    Args:
        info: An `exc_info`.
        itself: The exception's number.
        exceptions: It and those that it refers to, and perhaps others.
        flat: What the packer has made of these.
    """
    if info[2] is not info[1].__traceback__ or any(map(_prints_more, exceptions)):
        return format_exception(info)
    parts: list[Any] = [getattr(sys, "tracebacklimit", None), itself]
    for item in flat:
        parts.append([bool(item["text"]), RAISED in item["text"], *(item[name] for name in PRINTED_PARTS)])
    key = marshal.dumps(parts, 2)
    pieces = _known.get(key, _UNKNOWN)
    if pieces is _UNKNOWN:
        text = format_exception(info)
        if len(_known) >= MOST_TRACEBACKS:
            _known.clear()
        printed = {
            number: (class_name_of(type(exceptions[number])), flat[number]["text"]) for number in _chain(itself, flat)
        }
        _known[key] = _take_apart(text, printed)
        return text
    if pieces is None:
        return format_exception(info)
    return "".join(piece if isinstance(piece, str) else flat[piece]["text"] for piece in pieces)


def _prints_more(exception: BaseException) -> bool:
    """Tell whether Python may print more of an exception than its text, or not in lines of its own."""
    return isinstance(exception, (*LOOKED_INTO, BaseExceptionGroup)) or hasattr(exception, "__notes__")


def _chain(number: int | None, flat: Sequence[dict[str, Any]]) -> list[int]:
    """Return the numbers of the exceptions that are printed with one, and its own."""
    numbers: list[int] = []
    while number is not None and number not in numbers:
        numbers.append(number)
        item = flat[number]
        number = item["cause"] if item["cause"] is not None or item["suppress"] else item["context"]
    return numbers


def _take_apart(text: str, printed: dict[int, tuple[str, str]]) -> list[str | int] | None:
    """Take a traceback apart at the exceptions' texts.

    Args:
        text: As it was printed.
        printed: Of each exception, by its number, the name of its type and its text.

    Returns:
        The pieces; None if it isn't clear which lines are whose.
    """
    whole = f"\n{text}\n"
    found = []
    for number, (name, own) in printed.items():
        line = f"\n{name}: {own}\n" if own else f"\n{name}\n"
        if whole.count(line) != 1:
            return None
        end = whole.index(line) + len(line) - 2
        found.append((end - len(own), end, number))
    pieces: list[str | int] = []
    last = 0
    for start, end, number in sorted(found):
        if start < last:
            return None
        pieces += [text[last:start], number]
        last = end
    return [*pieces, text[last:]]
