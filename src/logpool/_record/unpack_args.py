"""`unpack_args`: loads what `pack_args` made, in the parent."""

from __future__ import annotations

import pickle
from collections.abc import Callable

from logpool._process.hints import Any
from logpool._record.by_value import make_path
from logpool._record.fields import QUESTIONS, Arguments, class_name_of, with_parents_names


class PrintedArgument:
    """An argument that prints as it did in the worker, in the place of one that can't be had here.

    Attributes:
        printed: What the argument answered, by the question: a key of `QUESTIONS`.
    """

    __slots__ = ("printed",)

    def __init__(self, printed: dict[str, Any]) -> None:
        self.printed = printed

    def _text(self, *questions: str) -> str:
        # An argument was asked for one of them at least. Another handler may ask for the other.
        return str(next(self.printed[question] for question in (*questions, *self.printed) if question in self.printed))

    def __str__(self) -> str:
        return self._text("str", "repr")

    def __repr__(self) -> str:
        return self._text("repr", "str")

    def __int__(self) -> int:
        return self._number("int", "index")  # type: ignore[no-any-return]

    def __float__(self) -> float:
        return self._number("float", "index")  # type: ignore[no-any-return]

    def __index__(self) -> int:
        return self._number("index")  # type: ignore[no-any-return]

    def _number(self, *questions: str) -> Any:
        for question in questions:
            if question in self.printed:
                return self.printed[question]
        raise TypeError(f"the argument {self} was never asked for a number")


def unpack_args(message: str, arguments: Arguments, load: Callable[[bytes], Any]) -> tuple[str, Any]:
    """Load a message's arguments.

    Args:
        message: The template.
        arguments: What `pack_args` returned.
        load: Loads a pickle.

    Returns:
        The message and its arguments. Where these can't be had as a whole, the message is the text that it made.
    """
    plain, packed, text = arguments
    if text is None:
        for place, argument in packed.items():
            plain[place] = _argument(argument, load)
        return message, tuple(plain) if type(plain) is list else plain
    whole: Any = packed[None]
    try:
        args = load(whole[0])  # A TypeError if it couldn't be pickled.
        if message % args == text:
            return message, args
    except BaseException:  # As below.
        pass
    return text, ()


def _argument(argument: Any, load: Callable[[bytes], Any]) -> Any:
    if type(argument) is str:
        return make_path(argument)
    pickled, printed = (argument, {}) if type(argument) is bytes else argument
    try:
        value = pickle.loads(pickled) if pickled is argument else load(pickled)
        asked = {question: QUESTIONS[question](value) for question in printed}
        if asked == printed:
            return value
        # The worker may have the main module under another name, which is that of classes and functions in it.
        printed = {name: with_parents_names(text) if type(text) is str else text for name, text in printed.items()}
        return value if asked == printed else PrintedArgument(printed)
    # Not only Exception: in this thread a class's SystemExit would end no program, but lose all records.
    except BaseException as error:
        return PrintedArgument(printed or {"str": f"<an argument that can't be loaded: {class_name_of(type(error))}>"})
