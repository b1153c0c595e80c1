"""`Snapshot`: what of the parent's logging its workers take over.

It is taken in the parent (in a forked worker: of the parent's memory), and applied in the worker.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import pickle
import sys
import warnings

from logpool._process import cpython
from logpool._process.hints import Any
from logpool._record.fields import INTERPRETERS_MAIN_MODULE, plain_str
from logpool._worker.record_factory import set_noted
from logpool._worker.stand_ins import (
    Description,
    FilterDescription,
    describe,
    describe_filter,
    destination_of,
    level_of,
    loaded,
)

logger = logging.getLogger("logpool")

State = tuple[int, bool, bool, tuple[Description, ...], tuple[FilterDescription, ...], bytes | None]
"""Of a logger: level, whether disabled, whether it propagates, its handlers, its filters, and its class, pickled; None:
it is that of the standard library, or can't be pickled."""

DEFAULT: State = (logging.NOTSET, False, True, (), (), None)

FLAGS = tuple(
    name
    for name in ("raiseExceptions", "logThreads", "logMultiprocessing", "logProcesses", "logAsyncioTasks")
    if hasattr(logging, name)
)
"""Switches of the module `logging`. Not every Python has each."""

methods = vars(logging.Logger)

to_come: dict[str, State] = {}
"""In a worker: states of loggers that the parent has and this process hasn't made yet."""

parents_files: frozenset[str] = frozenset()
"""In a worker: paths of the files that the parent's handlers write."""


def named_loggers() -> dict[str, logging.Logger]:
    """Return all loggers of this process but the root logger."""
    # A copy first: any thread may add a logger.
    existing = logging.Logger.manager.loggerDict.copy()
    return {name: item for name, item in existing.items() if isinstance(item, logging.Logger)}


is_interpreter = False
"""Whether this is another interpreter in the process that handles the records, and no worker process."""


def name_of_main_module() -> str:
    """Return the name of the main module here: `multiprocessing` renames it in processes that it spawns."""
    if is_interpreter:  # Which may have it later, if at all.
        return INTERPRETERS_MAIN_MODULE
    return getattr(sys.modules.get("__main__"), "__name__", "__main__")


def state_of(item: logging.Logger) -> State:
    """Return a logger's state. It can be pickled."""
    # Of plain types: the parent's may be of classes, enums say, that can't be pickled or unpickled.
    handlers = tuple(map(describe, item.handlers)) if item.handlers else ()
    filters = tuple(map(describe_filter, item.filters)) if item.filters else ()
    kind: Any = type(item)  # mypy takes a class for no Hashable.
    state = level_of(item), bool(item.disabled), bool(item.propagate), handlers, filters, _pickled_class(kind)
    return DEFAULT if state == DEFAULT else state


@functools.lru_cache(maxsize=64)
def _pickled_class(kind: Any) -> bytes | None:
    return None if kind in (logging.Logger, logging.RootLogger) else _pickled(kind)


class Snapshot:
    """What of a process's logging decides which records are made, how, and where they go. It can be pickled."""

    def __init__(self, *, is_whole: bool = True) -> None:
        """Take the snapshot.

        Args:
            is_whole: Whether it is to have each logger. Else it is small, as it goes with each job, and lacks those
                whose state is DEFAULT: most, as a rule.
        """
        self.is_whole = is_whole
        self.main_module = name_of_main_module()
        self.root = state_of(logging.root)
        loggers = {plain_str(name): state_of(item) for name, item in named_loggers().items()} | to_come
        self.loggers = {name: state for name, state in loggers.items() if is_whole or state != DEFAULT}
        self.files = _files() | parents_files
        self.disabled_level = int(logging.Logger.manager.disable)
        # By the program's mistake, levels may be names, and names anything. Such are left out.
        names = [(level, name) for name, level in logging.getLevelNamesMapping().items()]
        # Of several names of one level the last that is added is the one that is printed.
        names += [(level, logging.getLevelName(level)) for level, _ in names]
        self.level_names = [
            (int(level), plain_str(name)) for level, name in names if isinstance(level, int) and isinstance(name, str)
        ]
        self.captures_warnings = cpython.captures_warnings()
        self.warnings_filters = [
            (action, message, _names_of(category), module, line)
            for action, message, category, module, line in warnings.filters
        ]
        self.flags = {name: getattr(logging, name) for name in FLAGS}
        self.record_factory = _pickled(logging.getLogRecordFactory())
        self.logger_class = _pickled(logging.getLoggerClass())
        self.methods = {
            name: pickled
            for name, value in methods.items()
            if (callable(value) or isinstance(value, functools.partialmethod))
            and _is_the_programs(value)
            and (pickled := _pickled(value)) is not None
        }

    def apply(self, before: Snapshot | None) -> None:
        """Make this process's logging like it, but for the loggers.

        Args:
            before: What was applied last: what is the same in it isn't set again. None: nothing was.
        """

        def differs(name: str) -> bool:
            return before is None or getattr(before, name) != getattr(self, name)

        if differs("level_names"):
            for level, name in self.level_names:
                logging.addLevelName(level, name)
        if differs("disabled_level"):
            logging.disable(self.disabled_level)
        if differs("captures_warnings"):
            logging.captureWarnings(self.captures_warnings)
        if differs("warnings_filters"):
            self._apply_warnings_filters()
        if differs("flags"):
            for name, value in self.flags.items():
                setattr(logging, name, value)
        if differs("record_factory") and (factory := _loaded(self.record_factory, "log record factory")) is not None:
            set_noted(factory)
        if differs("logger_class") and (logger_class := _loaded(self.logger_class, "logger class")) is not None:
            logging.setLoggerClass(logger_class)
        if differs("methods"):
            for name, pickled in self.methods.items():
                if (method := _loaded(pickled, f"logging.Logger.{name}")) is not None:
                    setattr(logging.Logger, name, method)

    def _apply_warnings_filters(self) -> None:
        filters: list[Any] = []
        here, there = name_of_main_module(), self.main_module
        for action, message, names, module, line in self.warnings_filters:
            # A class of a module that isn't loaded is that of no warning.
            if categories := [kind for name in names if (kind := loaded(*name)) is not None]:
                category = categories[0] if len(categories) == 1 else tuple(categories)
                filters.append((action, message, category, module, line))
                if _matches(module, there) and not _matches(module, here):
                    filters.append((action, message, category, here, line))
        if filters != warnings.filters:
            warnings.resetwarnings()
            warnings.filters.extend(filters)  # type: ignore[attr-defined]


def _matches(pattern: Any, module: str) -> bool:
    """Tell whether a filter of warnings is for a module, as `warnings` tells it."""
    return pattern is None or (pattern == module if isinstance(pattern, str) else bool(pattern.match(module)))


def _names_of(category: type | tuple[type, ...]) -> list[tuple[str, str]]:
    categories = category if isinstance(category, tuple) else (category,)
    return [(item.__module__, item.__qualname__) for item in categories]


def _files() -> frozenset[str]:
    """Return the paths of the files that handlers of this process write, wherever these hang: in a listener, say."""
    places: list[object] = []
    for reference in list(cpython.handler_references):
        with contextlib.suppress(Exception):  # An attribute of a program's own class may be anything.
            places.append(destination_of(reference()))
    return frozenset(place for place in places if isinstance(place, str))


def _is_the_programs(method: object) -> bool:
    """Tell whether a method of `logging.Logger` was put there by the program."""
    module = getattr(method, "__module__", None)
    return isinstance(module, str) and module not in ("logging", "builtins") and not module.startswith("logpool.")


class _PartialMethod:
    """A `functools.partialmethod` on its way: Python 3.14 pickles one, and can't load it."""

    def __init__(self, method: functools.partialmethod[object]) -> None:
        self._method = method

    def __reduce__(self) -> tuple[object, ...]:
        return _partialmethod, (self._method.func, self._method.args, self._method.keywords)


def _partialmethod(function: Any, args: tuple[object, ...], kwargs: dict[str, object]) -> object:
    return functools.partialmethod(function, *args, **kwargs)


def _pickled(value: object) -> bytes | None:
    try:
        return pickle.dumps(_PartialMethod(value) if isinstance(value, functools.partialmethod) else value)
    except Exception:  # A lambda, for example. It is the parent's alone, then.
        return None


def _loaded(pickled: bytes | None, what: str) -> Any:
    if pickled is None:
        return None
    try:
        return pickle.loads(pickled)
    except Exception:
        logger.warning("The parent's %s can't be loaded in this worker.", what, exc_info=True)
        return None
