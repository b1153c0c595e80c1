"""`Noted`: the parent's record factory as a worker has it.

In a worker it serves handlers of the worker's own. What it adds to a record comes from the state that it has there, and
isn't sent: the parent's own factory makes the record once more, with the parent's state (`_parent/record_factory.py`).
What the job has put in its place (`extra`) is sent.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import weakref
from collections.abc import Callable
from logging import LogRecord

from logpool._process.hints import Any
from logpool._record.fields import FIELDS

Factory = Callable[..., LogRecord]


_added: weakref.WeakKeyDictionary[LogRecord, dict[str, object]] = weakref.WeakKeyDictionary()
"""What such a factory has added to a record."""

_usual = frozenset(FIELDS)


class Noted:
    """A record factory of which it is noted what it adds. It is pickled as the factory itself."""

    def __init__(self, factory: Factory) -> None:
        """Take the factory's place."""
        self._factory = factory

    def __call__(self, *args: Any, **kwargs: Any) -> LogRecord:
        """Make a record."""
        record = self._factory(*args, **kwargs)
        with contextlib.suppress(Exception):  # It may make anything.
            _added[record] = {name: value for name, value in record.__dict__.items() if name not in _usual}
        return record

    def __getattr__(self, name: str) -> Any:
        return getattr(self._factory, name)

    def __reduce__(self) -> tuple[Callable[[Factory], Factory], tuple[Factory]]:
        return _itself, (self._factory,)


def _itself(factory: Factory) -> Factory:
    return factory


def set_noted(factory: Factory) -> None:
    """Have a factory of the parent's make this process's records from now on."""
    # A class is left as it is: code may ask whether a record is of it.
    is_plain = isinstance(factory, (type, Noted))
    logging.setLogRecordFactory(factory if is_plain else Noted(factory))


def without_what_was_added(record: LogRecord) -> LogRecord:
    """Return a record without what such a factory has added to it."""
    with contextlib.suppress(Exception):  # A class whose objects have no hash, or can't be copied.
        if added := _added.get(record):
            stripped = copy.copy(record)
            for name, value in added.items():
                if stripped.__dict__.get(name) is value:
                    del stripped.__dict__[name]
            return stripped
    return record
