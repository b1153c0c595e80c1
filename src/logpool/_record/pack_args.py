"""`pack_args`: makes a message's arguments ready for their way to the parent, in the worker.

An argument that is plain travels as it is, and any other as an object, pickled by itself, so that a filter, formatter
or handler in the parent sees the arguments that the job has passed: one that masks by type or place masks them.

The message is formatted here all the same, where the objects are and as they are now, with a `Recorder` in the place of
each that isn't plain. So it is known what each has printed, and the parent can tell whether what it has loaded prints
the same there. An argument that doesn't, or that can't be pickled or loaded, arrives as a `PrintedArgument`
(unpack_args.py), which prints as it did here. That one alone: the message and the other arguments stay what they are.

What is only printed: objects that pickle refuses, that take more than `MAX_ARGUMENT` bytes, that have a `__del__` (see
`_Pickler`), or that are lazy (see `_is_lazy`), and those whose text is another in the parent, as that of a default
`repr` with its address. A filter can't tell their type, but their text and place.
"""

from __future__ import annotations

import contextlib
import functools
import pickle
from collections.abc import Iterable
from types import FunctionType

from logpool._process.hints import Any
from logpool._record.fields import (
    CONTAINERS,
    PLAIN,
    QUESTIONS,
    Argument,
    Arguments,
    is_by_value,
    is_path,
    is_plain,
    plain_str,
)
from logpool._record.pack import Packer

MAX_ARGUMENT = 2**16
"""Bytes of a pickled argument. One that takes more, an array say, mostly prints as a few of its items."""


class Recorder:
    """Stands for an argument while a message is formatted, and notes what the argument was asked for.

    Attributes:
        value: The argument.
        printed: What it answered, by the question: a key of `QUESTIONS`.
        failed: Whether its text can't be had.
    """

    __slots__ = ("failed", "printed", "value")

    def __init__(self, value: object) -> None:
        self.value = value
        self.printed: dict[str, Any] = {}
        self.failed = False

    def _ask(self, question: str) -> Any:
        try:
            answer = QUESTIONS[question](self.value)
        except BaseException:
            # It may rightly be no number: then the template is wrong.
            self.failed = question in ("str", "repr")
            raise
        if isinstance(answer, str):
            answer = plain_str(answer)
        self.printed[question] = answer
        return answer

    def __str__(self) -> str:
        return self._ask("str")  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return self._ask("repr")  # type: ignore[no-any-return]

    def __int__(self) -> int:
        return self._ask("int")  # type: ignore[no-any-return]

    def __float__(self) -> float:
        return self._ask("float")  # type: ignore[no-any-return]

    def __index__(self) -> int:
        return self._ask("index")  # type: ignore[no-any-return]


class UnprintableError(Exception):
    """A message's argument has raised when it was asked for its text. The cause is what it raised."""


def pack_args(message: str, args: Any, packer: Packer, *, with_text: bool = True) -> Arguments:
    """Make plain data of a message's arguments.

    Args:
        message: The template.
        args: As a record has them.
        packer: Pickles what isn't plain.
        with_text: Whether the message is `message % args`; False: only its record's class knows.

    Returns:
        What `unpack_args` takes.

    Raises:
        UnprintableError: The message can't be formatted, and it is an argument's fault.
    """
    kind = type(args)
    plain: Any
    pairs: Iterable[tuple[Any, Any]]
    if kind is tuple:
        plain, pairs = list(args), enumerate(args)
    elif kind is dict and PLAIN.issuperset(map(type, args)):
        plain = args.copy()
        pairs = list(plain.items())
    else:  # A mapping of another class, say, which may make values of keys that it doesn't have.
        try:
            return _pack_whole(message, args, packer)
        except Exception as error:
            raise UnprintableError from error
    packed: dict[Any, Argument] = {}
    recorders: dict[Any, Recorder] = {}
    for key, value in pairs:
        value_type: Any = type(value)
        if value_type in PLAIN or (value_type in CONTAINERS and is_plain(value)):
            continue
        if is_by_value(value_type):
            packed[key] = str(value) if is_path(value_type) else pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
            plain[key] = None
        else:
            plain[key] = recorders[key] = Recorder(value)
    if recorders:
        if with_text and not _record(message, tuple(plain) if kind is tuple else plain, recorders.values()):
            # It wants what a recorder can't give, as `%c` does with a str of a class of its own; or it is wrong, which
            # is left to the parent's handlers, as it is with plain arguments.
            with contextlib.suppress(Exception):
                return _pack_whole(message, args, packer)
        for key, recorder in recorders.items():
            plain[key] = None
            value_type = type(recorder.value)
            pickled = None if _is_lazy(value_type) else packer.pickle(recorder.value, MAX_ARGUMENT)
            if pickled is None and not recorder.printed:
                recorder.printed["repr"] = packer.text(recorder.value)
            packed[key] = pickled, recorder.printed
    return plain, packed, None


@functools.lru_cache(maxsize=256)
def _is_lazy(kind: type) -> bool:
    """Tell whether pickling an object may load all that it stands for, of which it prints a few items.

    Django's QuerySet does, and data frames of some libraries write all their columns before it is known how many.
    """
    return hasattr(kind, "__len__") and isinstance(getattr(kind, "__getstate__", None), FunctionType)


def _record(message: str, args: Any, recorders: Iterable[Recorder]) -> bool:
    """Format a message with recorders among its arguments, and tell whether that was possible."""
    try:
        message % args
    except Exception as error:
        if any(recorder.failed for recorder in recorders):
            raise UnprintableError from error
        return False
    return True


def _pack_whole(message: str, args: Any, packer: Packer) -> Arguments:
    """Pack arguments as one object, together with the text that the message must have in the parent."""
    text = plain_str(message % args)
    return None, {None: (packer.pickle(args, MAX_ARGUMENT), {})}, text
