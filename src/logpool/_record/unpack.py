"""`Unpacker`: loads what a `Packer` made, in the parent."""

from __future__ import annotations

import builtins
import contextlib
import functools
import io
import logging
import marshal
import operator
import pickle
import sys
from collections.abc import Callable, Mapping, Sequence
from types import CodeType, FrameType, FunctionType, TracebackType

from logpool._process.hints import Any
from logpool._record.fields import (
    LOOKED_INTO,
    MOST_FRAMES,
    MOST_TRACEBACKS,
    NO_POSITIONS,
    PRINTED_PARTS,
    LostError,
    Packed,
    TracebackFrame,
)

_prints_same: dict[bytes, bool] = {}
"""Of tracebacks, whether they print here as in the worker."""

_format = logging.Formatter().formatException


class Unpacker:
    """Loads what a packer made. Runs in the parent."""

    def __init__(self, exceptions: list[dict[str, Any]]) -> None:
        """Create an unpacker for one record.

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
        """Load a value.

        Returns:
            The value, or where it can't be loaded, its text.
        """
        pickled, text = packed
        if pickled is not None:
            try:
                return pickle.loads(pickled) if text is None else self.load(pickled)
            # Not only Exception: in this thread a class's SystemExit would end no program, but lose all records.
            except BaseException:
                return text
        return text

    def load(self, pickled: bytes) -> Any:
        """Load a pickle. Raise whatever loading it raises."""
        return load(pickled, self.exception)

    def exception(self, number: int) -> BaseException:
        """Return an exception as it was.

        Raises:
            LostError: It can't be loaded.
        """
        if number in self._lost:
            raise LostError
        return self._loaded[number]

    def prints_as(self, info: tuple[Any, BaseException, Any], itself: int, text: str, limit: str | None) -> bool:
        """Tell whether an exception prints here, with its traceback, as it did in the worker.

        What is printed comes from the frames, links, notes and texts of the exceptions. So it is tried once for each
        set of frames, links and notes, and after that only the texts are compared. Where Python looks at more, to
        suggest another name or to show source, it is tried each time.

        Args:
            info: An `exc_info`.
            itself: The exception's.
            text: What the worker has printed.
            limit: The `repr` of the worker's `sys.tracebacklimit`; None: it has none.
        """
        try:
            if info[2] is not info[1].__traceback__:
                return _format(info) == text
            parts: list[object] = [itself, limit, getattr(sys, "tracebacklimit", None)]
            for number, flat in enumerate(self._flat):
                exception = self._loaded[number]
                if isinstance(exception, LOOKED_INTO):
                    return _format(info) == text
                if str(exception) != flat["text"]:
                    return False
                notes = repr(getattr(exception, "__notes__", None))
                parts.append([flat[name] for name in PRINTED_PARTS])
                parts.append(notes)
            key = marshal.dumps(parts, 2)
            known = _prints_same.get(key)
            if known is None:
                if len(_prints_same) >= MOST_TRACEBACKS:
                    _prints_same.clear()
                known = _prints_same[key] = _format(info) == text
            return known
        # As in `unpack`. Formatters print the worker's text then.
        except BaseException:
            return False

    def _load(self, number: int) -> BaseException:
        """Load an exception with those that its args and attributes refer to, or else makes a stand-in."""
        if number in self._loaded:
            return self._loaded[number]
        flat = self._flat[number]
        # Found there by an exception that it refers to itself, by a way other than its chain.
        self._loaded[number] = stand_in = _stand_in(flat)
        try:
            if (args := flat["args"]) is not None:  # Python's own, with plain arguments.
                exception, attributes = getattr(builtins, flat["name"])(*args), {}
            else:
                exception, args, attributes = load(flat["pickle"], self._load)
            if type(exception).__qualname__ != flat["name"] or not isinstance(exception, BaseException):
                raise LostError
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


def load(pickled: bytes, exception: Callable[[int], BaseException] | None = None) -> Any:
    """Load a pickle. Raise whatever loading it raises.

    Args:
        pickled: What a packer has made.
        exception: Returns the exception of a number; None: there is none in it.
    """
    unpickler = _Unpickler(io.BytesIO(pickled))
    if exception is not None:
        unpickler.exception = exception
    return unpickler.load()


class _Unpickler(pickle.Unpickler):
    exception: Callable[[int], BaseException]  # An attribute for the same reason as those of `_ExceptionPickler`.

    def find_class(self, module: str, name: str) -> Any:
        # Where another thread is just importing the module, `import` would wait for it. And that may wait for this one:
        # a module that uses a pool at its top.
        found = sys.modules.get(module)
        if found is not None:
            with contextlib.suppress(AttributeError):
                return operator.attrgetter(name)(found)
        return super().find_class(module, name)

    def persistent_load(self, number: Any) -> Any:
        return make_traceback(number) if type(number) is list else self.exception(number)


def _stand_in(flat: Mapping[str, Any]) -> BaseException:
    """Make an exception that prints like one that can't be loaded: a link of a chain, or a group's member."""
    return _stand_in_class(flat["error"], flat["module"], flat["name"])(flat["text"])


@functools.lru_cache(maxsize=256)
def _stand_in_class(error: bool, module: str, name: str) -> type[BaseException]:
    base = Exception if error else BaseException
    namespace = {"__module__": module, "__qualname__": name, "__doc__": "Stands for another."}
    return type(name.rpartition(".")[2], (base,), namespace)


def make_traceback(frames: Sequence[TracebackFrame]) -> TracebackType | None:
    """Make a traceback that prints like the one in the worker did. It can't have the frames' variables.

    The library tblib does the same, but its frames have other columns, so that Python underlines the wrong text.

    Args:
        frames: What `frames_of` returned.

    Returns:
        A traceback; None if there are no frames.
    """
    traceback = None
    for frame in reversed(frames):
        traceback = TracebackType(traceback, *_make_frame(*frame), frame[5])
    return traceback


@functools.lru_cache(maxsize=MOST_FRAMES)
def _make_frame(
    filename: str,
    name: str,
    qualified: str,
    module: str | None,
    file: str | None,
    line: int,
    positions: tuple[int | None, ...],
) -> tuple[FrameType, int]:
    """Return a frame, which tracebacks share, and the place of the instruction in its code that has the positions.

    It is the frame of a generator that isn't started: so no code is run for it, and it refers to no caller's frame.
    """
    try:
        code = _make_code(filename, name, qualified, line, positions)
    except ValueError:  # Code that a program has made may have an end that comes before its start.
        positions = NO_POSITIONS
        code = _make_code(filename, name, qualified, line, positions)
    frame = FunctionType(code, {"__name__": module, "__file__": file})().gi_frame
    # Without columns, as from a worker that was started with -X no_debug_ranges: nothing is underlined.
    found = list(code.co_positions())
    return frame, found.index(positions) * 2 if None not in positions and positions in found else -1


def _make_code(filename: str, name: str, qualified: str, line: int, positions: tuple[int | None, ...]) -> CodeType:
    """Return the code of a generator function with all it does at one place."""
    import ast  # Here, because most programs log no exception before they have started.

    first, last, column, end = positions if None not in positions else (max(line, 1), max(line, 1), 0, 0)
    tree = ast.parse("def made(): yield")
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt | ast.expr):
            node.lineno, node.end_lineno, node.col_offset, node.end_col_offset = first, last, column, end  # type: ignore[assignment]
    module: CodeType = compile(tree, "", "exec")
    code = next(constant for constant in module.co_consts if isinstance(constant, CodeType))
    return code.replace(co_filename=filename, co_name=name, co_qualname=qualified)
