"""`Packer`: pickles values one by one, in the worker.

Exceptions in them, wherever they are, are set aside, because pickle keeps neither an exception's cause, context and
traceback, nor those of an exception group's members. `Unpacker` (unpack.py) puts all together again. What can't be
pickled or unpickled costs that value alone.

    value    ──▶ (pickle, text)       with a number in place of each exception, and text for the case that it can't
    exception ──▶ {"pickle": ..., "name": ..., "text": ..., "frames": ..., "cause": number, "context": number, ...}
"""

from __future__ import annotations

import builtins
import contextlib
import functools
import itertools
import pickle
import sys
from collections.abc import Callable
from types import CodeType, FunctionType, TracebackType

from logpool._process.hints import Any
from logpool._record.fields import (
    INTERPRETERS_MAIN_MODULE,
    MAIN_MODULE,
    MOST_FRAMES,
    NO_POSITIONS,
    PLAIN,
    Packed,
    TracebackFrame,
    class_name_of,
    is_all_by_value,
    plain_str,
    safe_repr,
)


class Packer:
    """Pickles values one by one. Runs in the worker.

    Attributes:
        originals: The exceptions that came up, in the order of their numbers.
    """

    def __init__(self, *, call_methods: bool = True) -> None:
        """Create a packer for one record.

        Args:
            call_methods: Whether methods of the objects may be called. False: all become the names of their classes.
        """
        self._call_methods = call_methods
        self.originals: list[BaseException] = []
        self._numbers: dict[int, int] = {}

    def pack(self, value: object) -> Packed:
        """Pickle a value. Raise no Exception."""
        if self._call_methods and is_all_by_value(value):
            with contextlib.suppress(Exception):  # It is nested too deeply.
                return pickle.dumps(value, pickle.HIGHEST_PROTOCOL), None
        return self.pickle(value), self.text(value)

    def text(self, value: object) -> str:
        """Return a value's `repr`. Raise no Exception."""
        return safe_repr(value) if self._call_methods else f"<{class_name_of(type(value))} object>"

    def number(self, exception: BaseException) -> int:
        """Return an exception's place in what `exceptions` will return."""
        number = self._numbers.setdefault(id(exception), len(self.originals))
        if number == len(self.originals):
            self.originals.append(exception)
        return number

    def exceptions(self) -> list[dict[str, Any]]:
        """Return plain data of all exceptions that came up, and of those that these refer to."""
        # Appended to during iteration: chains may be long, or circles, and so this doesn't recurse.
        return [self._exception(exception) for exception in self.originals]

    def _exception(self, exception: BaseException) -> dict[str, Any]:
        kind = type(exception)
        flat: dict[str, Any] = {
            "name": plain_str(kind.__qualname__),
            "module": plain_str(kind.__module__) if isinstance(kind.__module__, str) else "",
            "text": safe_repr(exception, str) if self._call_methods else "",
            "error": isinstance(exception, Exception),
            "args": exception.args if (plain := self._is_plain_builtin(exception)) else None,
            "pickle": self._pickle_exception(exception) if self._call_methods and not plain else None,
            "frames": frames_of(exception.__traceback__),
            "suppress": bool(exception.__suppress_context__),
        }
        for link, other in (("cause", exception.__cause__), ("context", exception.__context__)):
            flat[link] = None if other is None else self.number(other)
        return flat

    @staticmethod
    def _is_plain_builtin(exception: BaseException) -> bool:
        """Tell whether an exception is one of Python's own, made of nothing but plain arguments."""
        kind = type(exception)
        return (
            kind.__module__ == "builtins"
            and getattr(builtins, kind.__name__, None) is kind
            and kind.__reduce__ is BaseException.__reduce__
            and not vars(exception)
            and PLAIN.issuperset(map(type, exception.args))
        )

    def _pickle_exception(self, exception: BaseException) -> bytes | None:
        # The args by themselves, because a constructor may make others of those it is called with; and the attributes,
        # because a class's own __reduce__ may leave them out. If it has a reason to, notes must do.
        args, attributes = exception.args, vars(exception)
        notes = {"__notes__": attributes["__notes__"]} if "__notes__" in attributes else {}
        pickled = self._pickle((exception, args, attributes), exception)
        return pickled if pickled is not None else self._pickle((exception, args, notes), exception)

    def pickle(self, value: object, limit: int | None = None) -> bytes | None:
        """Pickle a value. Raise no Exception.

        Args:
            value: Any object.
            limit: Bytes that the pickle may take; None: as many as it needs.

        Returns:
            The pickle; None if the value can't be pickled.
        """
        return self._pickle(value, None, limit) if self._call_methods else None

    def _pickle(self, value: object, itself: BaseException | None = None, limit: int | None = None) -> bytes | None:
        try:
            with contextlib.suppress(_ExceptionFoundError):
                if itself is None:
                    file = _File(limit)
                    _Pickler(file, pickle.HIGHEST_PROTOCOL).dump(value)
                    return file.getvalue()
            file = _File(limit)
            pickler = _ExceptionPickler(file, pickle.HIGHEST_PROTOCOL)
            pickler.number = self.number
            pickler.itself = itself
            pickler.dump(value)
        except Exception:
            return None
        return file.getvalue()


class _File:
    """What a pickler writes to."""

    def __init__(self, limit: int | None) -> None:
        self._room = sys.maxsize if limit is None else limit
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        # Large bytes come by themselves, not copied yet, as those of an array do. So no time is lost on them.
        self._room -= len(data)
        if self._room < 0:
            raise pickle.PicklingError("it is too large")
        self._parts.append(bytes(data))

    def getvalue(self) -> bytes:
        return b"".join(self._parts)


class _ExceptionFoundError(Exception):
    """There is an exception or a traceback in a value. Raised so that most values need no `persistent_id`."""


class _Pickler(pickle.Pickler):
    """Pickles values in which there are no exceptions.

    It refuses objects that have a `__del__`. A copy in the parent would do there, when it is freed, what the object is
    to do at its own end: remove a file that is in use, or close a descriptor by number, as that of a
    `multiprocessing.Pipe` does.
    """

    def reducer_override(self, value: Any) -> Any:
        kind = type(value)
        if isinstance(value, (type, FunctionType)):
            # Pickled by name. In another interpreter no module has the name that those of the main module have there.
            is_main = value.__module__ == INTERPRETERS_MAIN_MODULE
            return (_of_main_module, (value.__qualname__,)) if is_main else NotImplemented
        if hasattr(kind, "__del__"):
            raise pickle.PicklingError("it has a __del__")
        if issubclass(kind, BaseException) or kind is TracebackType:
            raise _ExceptionFoundError
        return NotImplemented


def _of_main_module(name: str) -> Any:
    """Return what the main module has by a qualified name."""
    return functools.reduce(getattr, name.split("."), sys.modules[MAIN_MODULE])


class _ExceptionPickler(_Pickler):
    """Sets aside exceptions, and makes plain data of tracebacks."""

    # Attributes rather than arguments of a constructor: PyPy's Pickler has a __new__ that refuses any other arguments.
    number: Callable[[BaseException], int]
    itself: BaseException | None

    def persistent_id(self, value: Any) -> Any:
        kind = type(value)
        if issubclass(kind, BaseException) and value is not self.itself:
            return self.number(value)
        return frames_of(value) if kind is TracebackType else None

    def reducer_override(self, value: Any) -> Any:
        return NotImplemented if value is self.itself else super().reducer_override(value)


_frames: dict[tuple[Any, ...], tuple[CodeType, TracebackFrame]] = {}
"""Frames that were in a traceback before, by what they are made of. The code is kept, so that its identity stays its
own: to compare it, or to find the columns of an instruction in it, takes the longer the longer the function is."""


def frames_of(traceback: TracebackType | None) -> list[TracebackFrame]:
    """Make plain data of a traceback.

    Args:
        traceback: Its outermost frame.

    Returns:
        What `make_traceback` takes.
    """
    frames: list[TracebackFrame] = []
    while traceback is not None:
        frame = traceback.tb_frame
        code, instruction, line = frame.f_code, traceback.tb_lasti, traceback.tb_lineno or 0
        module, file = frame.f_globals.get("__name__"), frame.f_globals.get("__file__")
        module = plain_str(module) if isinstance(module, str) else None
        file = plain_str(file) if isinstance(file, str) else None
        key = id(code), instruction, line, module, file
        if (known := _frames.get(key)) is None:
            if len(_frames) >= MOST_FRAMES:
                _frames.clear()
            positions = _positions_of(code, instruction)
            known = code, (code.co_filename, code.co_name, code.co_qualname, module, file, line, positions)
            _frames[key] = known
        frames.append(known[1])
        traceback = traceback.tb_next
    return frames


def _positions_of(code: CodeType, instruction: int) -> tuple[int | None, ...]:
    """Return the lines and columns that Python underlines, as the module traceback looks them up."""
    if instruction < 0:
        return NO_POSITIONS
    return tuple(next(itertools.islice(code.co_positions(), instruction // 2, None), NO_POSITIONS))
