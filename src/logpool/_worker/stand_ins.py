"""The parent's handlers and filters as a worker sees them: what is known of each, and what stands in its place.

`describe` and `describe_filter` run in both processes. Stand-ins are made in workers.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import pickle
import sys

from logpool._process.hints import Any
from logpool._record.fields import parents_module, plain_str

Settings = tuple[str | None, bytes | None, tuple[tuple[str, object], ...]]
"""Of a handler: its name, its formatter, pickled, and those of its attributes that are named in _SETTINGS."""

Identity = tuple[tuple[tuple[str, str], ...], "str | int | None"]
"""Of a handler: module and name of its class and of those that it is derived from; where it writes."""

Description = tuple[Identity, int, Settings]
"""Of a handler: the same; its level; the rest that code may ask for."""

MEMORY = 0
"""Where a handler writes that collects text for its program."""

_SETTINGS = ("mode", "encoding", "errors", "delay", "maxBytes", "backupCount", "when", "interval", "utc", "capacity")
"""What handlers of the standard library, and those derived from them, were made with."""

_ADDRESS = ("address", "host", "port", "url", "mailhost", "toaddrs")
"""Attributes by which handlers of the standard library, and those derived from them, tell where they write to."""


def describe(handler: logging.Handler) -> Description:
    """Return what workers have to know of a handler. It can be pickled and compared."""
    if isinstance(handler, StandIn):
        return handler.description
    settings: Settings = None, None, ()
    with contextlib.suppress(Exception):  # Attributes of a program's own classes may be anything.
        settings = _settings_of(handler)
    return identity_of(handler), level_of(handler), settings


def level_of(item: logging.Handler | logging.Logger) -> int:
    """Return the level of a handler or logger. By the program's mistake, or its own class, it may be anything."""
    return int(item.level) if isinstance(item.level, int) else logging.NOTSET


def identity_of(handler: logging.Handler) -> Identity:
    """Return what tells a handler from one that does something else: its classes, and where it writes."""
    classes = []
    for kind in type(handler).__mro__:
        classes.append((plain_str(parents_module(kind.__module__)), plain_str(kind.__qualname__)))
        if kind is logging.Handler:
            break
    place = None
    with contextlib.suppress(Exception):  # As above.
        place = destination_of(handler)
    return tuple(classes), place


def _settings_of(handler: logging.Handler) -> Settings:
    name = handler.get_name()
    formatter = None
    if handler.formatter is not None:
        with contextlib.suppress(Exception):
            formatter = pickle.dumps(handler.formatter)
    found = {name: vars(handler)[name] for name in _SETTINGS if name in vars(handler)}
    plain = [(name, value) for name, value in found.items() if value is None or type(value) in (str, int, bool, float)]
    return plain_str(name) if isinstance(name, str) else None, formatter, tuple(plain)


def destination_of(handler: logging.Handler) -> str | int | None:
    """Return where a handler writes.

    Returns:
        A file's path, 1 for stdout, 2 for stderr, MEMORY, or an address; None where the handler doesn't tell.
    """
    target = getattr(handler, "target", None)
    if isinstance(target, logging.Handler):  # It collects records for another.
        return destination_of(target)
    path = getattr(handler, "baseFilename", None)
    if isinstance(path, str):
        return plain_str(path)
    address = {name: value for name in _ADDRESS if (value := getattr(handler, name, None)) is not None}
    if address:
        return repr(address)
    stream = getattr(handler, "stream", None)
    return None if stream is None else _destination_of_stream(stream)


def _destination_of_stream(stream: Any) -> str | int:
    if isinstance(stream, io.StringIO):
        return MEMORY
    for number, streams in ((1, (sys.stdout, sys.__stdout__)), (2, (sys.stderr, sys.__stderr__))):
        if any(stream is standard for standard in streams):
            return number
    number = stream.fileno()
    return number if number in (1, 2) else os.path.abspath(plain_str(stream.name))


def loaded(module: str, name: str) -> Any:
    """Return a class by the names of its module and its own; None if this process hasn't loaded it."""
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def is_same(one: Identity, other: Identity) -> bool:
    """Tell whether two handlers do the same: they write to one place or, where one doesn't tell, are of one class."""
    if one[1] is None or other[1] is None:
        return one[0][0] == other[0][0]
    return one[1] == other[1] != MEMORY  # Which is each process's own.


class StandIn(logging.Handler):
    """Stands for a handler of the parent's in a worker's logger, and does nothing.

    It is an instance of the same class as far as the worker has loaded that.
    """

    description: Description
    _formatter: logging.Formatter | None = None

    def __init__(self, description: Description) -> None:
        """Make a handler that isn't the parent's, but is found where code looks for the parent's.

        Args:
            description: Of the parent's handler.
        """
        (_, place), level, (name, _, settings) = description
        logging.Handler.__init__(self, level)
        # Not by setattr: the class may have properties of these names.
        self.__dict__["description"] = description
        self.__dict__["stream"] = {1: sys.stdout, 2: sys.stderr}.get(place) if isinstance(place, int) else None
        if isinstance(place, str):
            self.__dict__["baseFilename"] = place
        self.__dict__.update(settings)
        if name is not None:
            logging.Handler.set_name(self, name)

    @property
    def formatter(self) -> logging.Formatter | None:
        """A copy of the parent's, for handlers of the worker's own, unless another was set; None if it has none."""
        if self._formatter is None and (pickled := self.description[2][1]) is not None:
            with contextlib.suppress(Exception):  # A class that this process can't import.
                self._formatter = pickle.loads(pickled)
        return self._formatter

    @formatter.setter
    def formatter(self, formatter: logging.Formatter | None) -> None:
        self._formatter = formatter

    @classmethod
    def of(cls, description: Description) -> StandIn:
        """Return one that is of the parent's class or, if the worker hasn't loaded that, of the next that it has."""
        classes = description[0][0]
        for module, name in classes:
            kind = loaded(module, name)
            if isinstance(kind, type) and issubclass(kind, logging.Handler):
                try:
                    return _class_for(kind, classes[0][1])(description)
                except Exception:  # A class that can't be derived from.
                    continue
        return cls(description)

    def handle(self, record: logging.LogRecord) -> Any:
        """Do nothing."""

    def emit(self, record: logging.LogRecord) -> None:
        """Do nothing."""

    def flush(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of the parent process>"


_classes: dict[tuple[type[logging.Handler], str], type[StandIn]] = {}


def _class_for(kind: type[logging.Handler], qualified_name: str) -> type[StandIn]:
    key = kind, qualified_name
    if key not in _classes:
        _classes[key] = type(qualified_name.rpartition(".")[2], (StandIn, kind), {"__module__": kind.__module__})
    return _classes[key]


FilterDescription = tuple[str, str, object]
"""Of a filter: module and name of its class, or of itself if it is a function, and its attribute `name`."""


def describe_filter(record_filter: Any) -> FilterDescription:
    """Return what workers have to know of a logger's filter. It can be pickled and compared."""
    if isinstance(record_filter, StandInFilter):
        return record_filter.description
    module = qualified_name = name = None
    with contextlib.suppress(Exception):  # Attributes of a program's own classes may be anything.
        named = record_filter if hasattr(record_filter, "__qualname__") else type(record_filter)
        module, qualified_name = named.__module__, named.__qualname__
        name = record_filter.name
    return (
        plain_str(parents_module(module)) if isinstance(module, str) else "",
        plain_str(qualified_name) if isinstance(qualified_name, str) else "",
        plain_str(name) if isinstance(name, str) else None,
    )


class StandInFilter:
    """Stands for a filter of the parent's in a worker's logger. The parent's filters run in the parent.

    It equals a filter that does the same, so that `addFilter` finds it there.
    """

    def __init__(self, description: FilterDescription) -> None:
        """Make a filter that lets every record through.

        Args:
            description: Of the parent's filter.
        """
        self.description = description

    def filter(self, record: logging.LogRecord) -> bool:
        """Let a record through."""
        return True

    def __eq__(self, other: object) -> bool:
        return describe_filter(other) == self.description

    def __hash__(self) -> int:
        return hash(self.description)
