"""Exceptions and other objects on their way from a worker to its parent, each by itself.

`Packer` (in the worker) pickles values one by one. Exceptions in them, wherever they are, are set aside, because pickle
keeps neither an exception's cause, context and traceback, nor those of an exception group's members. `Unpacker` (in the
parent) puts all together again. What can't be pickled or unpickled costs that value alone.

    value    ──▶ (pickle, text)       with a number in place of each exception, and text for the case that it can't
    exception ──▶ {"pickle": ..., "name": ..., "text": ..., "frames": ..., "cause": number, "context": number, ...}
"""

from __future__ import annotations

import contextlib
import functools
import io
import itertools
import pickle
from collections.abc import Callable, Iterable, Mapping
from types import CodeType, TracebackType

from logpool.hints import Any

Packed = tuple[bytes | None, str | int]
"""A pickle, and what stands for it where it can't be loaded: a text as a rule. No pickle: it couldn't be made."""

Frames = list[tuple[str, str, str, str | None, str | None, int, tuple[int | None, ...]]]
"""Plain data of a traceback: of each frame the file, function, its qualified name, the module's name and file, the
line, and the lines and columns that Python underlines."""

_NO_POSITIONS = (None, None, None, None)


class Lost(pickle.PickleError):
    """An exception that a value refers to can't be had."""


def exact(text: str) -> str:
    """Makes a plain str of a str of any class, without calling its methods."""
    return str.__str__(text)


def name_of(kind: type) -> str:
    """Returns a class's name as tracebacks print it."""
    name, module = exact(kind.__qualname__), kind.__module__
    return name if module in ("builtins", "__main__") or not isinstance(module, str) else f"{module}.{name}"


def text_of(value: object, make: Any = repr) -> str:
    """Returns an object's `repr`, or whatever else `make` makes of it. Where that raises, it says so."""
    try:
        return exact(make(value))
    except Exception as error:
        return f"<{name_of(type(value))} object: its {make.__name__}() raised {name_of(type(error))}>"


# In the worker.


class Packer:
    """Pickles values one by one. Runs in the worker."""

    def __init__(self, *, trusting: bool = True) -> None:
        """Makes a packer for one record.

        Args:
            trusting: Whether methods of the objects may be called. False: all become the names of their classes.
        """
        self._trusting = trusting
        self._exceptions: list[BaseException] = []
        self._numbers: dict[int, int] = {}

    def pack(self, value: object) -> Packed:
        """Pickles a value. Raises no Exception."""
        return (self._pickle(value) if self._trusting else None), self.text(value)

    def text(self, value: object) -> str:
        """Returns a value's `repr`. Raises no Exception."""
        return text_of(value) if self._trusting else f"<{name_of(type(value))} object>"

    def number(self, exception: BaseException) -> int:
        """Returns an exception's place in what `exceptions` will return."""
        number = self._numbers.setdefault(id(exception), len(self._exceptions))
        if number == len(self._exceptions):
            self._exceptions.append(exception)
        return number

    def exceptions(self) -> list[dict[str, Any]]:
        """Returns plain data of all exceptions that came up, and of those that these refer to."""
        # Grows while it is gone through: chains may be long, or circles, and so this doesn't recurse.
        return [self._exception(exception) for exception in self._exceptions]

    def _exception(self, exception: BaseException) -> dict[str, Any]:
        kind = type(exception)
        flat: dict[str, Any] = {
            "name": exact(kind.__qualname__),
            "module": exact(kind.__module__) if isinstance(kind.__module__, str) else "",
            "text": text_of(exception, str) if self._trusting else "",
            "error": isinstance(exception, Exception),
            "pickle": self._pickle_exception(exception) if self._trusting else None,
            "frames": frames_of(exception.__traceback__),
            "suppress": bool(exception.__suppress_context__),
        }
        for link, other in (("cause", exception.__cause__), ("context", exception.__context__)):
            flat[link] = None if other is None else self.number(other)
        return flat

    def _pickle_exception(self, exception: BaseException) -> bytes | None:
        # The args by themselves, because a constructor may make others of those it is called with; and the attributes,
        # because a class's own __reduce__ may leave them out. If it has a reason to, notes must do.
        args, attributes = exception.args, vars(exception)
        notes = {"__notes__": attributes["__notes__"]} if "__notes__" in attributes else {}
        pickled = self._pickle((exception, args, attributes), exception)
        return pickled if pickled is not None else self._pickle((exception, args, notes), exception)

    def _pickle(self, value: object, itself: BaseException | None = None) -> bytes | None:
        file = io.BytesIO()
        pickler = _Pickler(file, pickle.HIGHEST_PROTOCOL)
        pickler.number = self.number
        pickler.itself = itself
        try:
            pickler.dump(value)
        except Exception:
            return None
        return file.getvalue()


class _Pickler(pickle.Pickler):
    # Attributes rather than arguments of a constructor: PyPy's Pickler has a __new__ that refuses any other arguments.
    number: Callable[[BaseException], int]
    itself: BaseException | None

    def persistent_id(self, value: Any) -> Any:
        kind = type(value)
        if issubclass(kind, BaseException) and value is not self.itself:
            return self.number(value)
        return frames_of(value) if kind is TracebackType else None


def frames_of(traceback: TracebackType | None) -> Frames:
    """Makes plain data of a traceback.

    Args:
        traceback: Its outermost frame.

    Returns:
        What `make_traceback` takes.
    """
    frames: Frames = []
    while traceback is not None:
        frame = traceback.tb_frame
        code = frame.f_code
        module, file = (
            exact(value) if isinstance(value, str) else None
            for value in (frame.f_globals.get("__name__"), frame.f_globals.get("__file__"))
        )
        # As the module traceback looks them up.
        index = traceback.tb_lasti // 2
        found = next(itertools.islice(code.co_positions(), index, None), _NO_POSITIONS) if index >= 0 else _NO_POSITIONS
        frames.append(
            (code.co_filename, code.co_name, code.co_qualname, module, file, traceback.tb_lineno or 0, tuple(found))
        )
        traceback = traceback.tb_next
    return frames


# In the parent.


class Unpacker:
    """Loads what a packer made. Runs in the parent."""

    def __init__(self, exceptions: list[dict[str, Any]]) -> None:
        """Makes an unpacker for one record.

        Args:
            exceptions: What `Packer.exceptions` returned.
        """
        self._flat = exceptions
        self._loaded: dict[int, BaseException] = {}
        self._lost: set[int] = set()
        for number in range(len(exceptions)):
            self._load(number)
        for number, exception in self._loaded.items():
            # A class may have made something else of these attributes.
            with contextlib.suppress(Exception):
                self._link(exception, exceptions[number])

    def unpack(self, packed: Packed) -> Any:
        """Loads a value.

        Returns:
            The value, or where it can't be loaded, its text.
        """
        pickled, text = packed
        if pickled is not None:
            try:
                return _unpickle(pickled, self.exception)
            # Not only Exception: in this thread a class's SystemExit would end no program, but lose all records.
            except BaseException:
                return text
        return text

    def exception(self, number: int) -> BaseException:
        """Returns an exception as it was.

        Raises:
            Lost: It can't be loaded.
        """
        if number in self._lost:
            raise Lost
        return self._loaded[number]

    def _load(self, number: int) -> BaseException:
        """Loads an exception with those that its args and attributes refer to, or else makes a stand-in."""
        if number in self._loaded:
            return self._loaded[number]
        flat = self._flat[number]
        # Found there by an exception that it refers to itself, by a way other than its chain.
        self._loaded[number] = stand_in = _stand_in(flat)
        try:
            exception, args, attributes = _unpickle(flat["pickle"], self._load)
            if type(exception).__qualname__ != flat["name"] or not isinstance(exception, BaseException):
                raise Lost
            exception.args = args
            vars(exception).update(attributes)
        except BaseException:
            self._lost.add(number)
            return stand_in
        self._loaded[number] = exception
        return exception

    def _link(self, exception: BaseException, flat: dict[str, Any]) -> None:
        cause, context = flat["cause"], flat["context"]
        exception.__cause__ = None if cause is None else self._loaded[cause]
        exception.__context__ = None if context is None else self._loaded[context]
        exception.__suppress_context__ = flat["suppress"]
        exception.__traceback__ = make_traceback(flat["frames"])


def _unpickle(pickled: bytes, exception: Callable[[int], BaseException]) -> Any:
    """Load a pickle.

    Args:
        pickled: What a `_Pickler` has written.
        exception: Returns the exception of a number.
    """
    unpickler = _Unpickler(io.BytesIO(pickled))
    unpickler.exception = exception
    return unpickler.load()


class _Unpickler(pickle.Unpickler):
    exception: Callable[[int], BaseException]  # An attribute for the same reason as those of `_Pickler`.

    def persistent_load(self, number: Any) -> Any:
        return make_traceback(number) if type(number) is list else self.exception(number)


def _stand_in(flat: Mapping[str, Any]) -> BaseException:
    """Makes an exception that prints like one that can't be loaded: a link of a chain, or a group's member."""
    base = Exception if flat["error"] else BaseException
    namespace = {"__module__": flat["module"], "__qualname__": flat["name"], "__doc__": "Stands for another."}
    kind = type(flat["name"].rpartition(".")[2], (base,), namespace)
    exception: BaseException = kind(flat["text"])
    return exception


def make_traceback(frames: Iterable[tuple[Any, ...]]) -> TracebackType | None:
    """Makes a traceback that prints like the one in the worker did. It can't have the frames' variables.

    The library tblib does the same, but its frames have other columns, so that Python underlines the wrong text.

    Args:
        frames: What `frames_of` returned.

    Returns:
        A traceback; None if there are no frames.
    """
    traceback = None
    for filename, name, qualified, module, file, line, positions in reversed(list(frames)):
        known = positions
        try:
            code = _raising_code(filename, name, qualified, line, known)
        except ValueError:  # Code that a program has made may have an end that comes before its start.
            known = _NO_POSITIONS
            code = _raising_code(filename, name, qualified, line, known)
        # A frame comes of running code alone. This one raises NameError, at the position wanted.
        try:
            exec(code, {"__name__": module, "__file__": file}, {})
        except NameError as error:
            made: Any = error.__traceback__
            # Without columns, as from a worker that was started with -X no_debug_ranges: nothing is underlined.
            instruction = -1 if None in known else made.tb_next.tb_lasti
            traceback = TracebackType(traceback, made.tb_next.tb_frame, instruction, line)
    return traceback


@functools.lru_cache(maxsize=1024)
def _raising_code(filename: str, name: str, qualified: str, line: int, positions: tuple[int | None, ...]) -> CodeType:
    import ast  # Not needed in workers, which import this module, too.

    first, last, column, end = positions if None not in positions else (max(line, 1), max(line, 1), 0, 0)
    place: Any = {"lineno": first, "end_lineno": last, "col_offset": column, "end_col_offset": end}
    statement = ast.Expr(ast.Name("raising", ast.Load(), **place), **place)
    code = compile(ast.Module([statement], []), "", "exec")
    return code.replace(co_filename=filename, co_name=name, co_qualname=qualified)
