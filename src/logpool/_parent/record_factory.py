"""`by_factory`: has the parent's own record factory make a worker's record.

The parent's is called as it would have been called for a record of the parent's own, and what it adds stays. Only what
tells of the worker, and attributes that the job has added (`extra`), are the worker's.

What it changes of the usual attributes stays as well, if the worker hasn't got the factory: it can't be pickled, as a
function inside another, say. Where the worker has it (`_worker/record_factory.py`), they have been changed there.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from logging import LogRecord

from logpool._parent.call_site import placed_like
from logpool._process.hints import Any
from logpool._record.rebuild import FactoryRecord

OF_WORKER = frozenset(
    {"created", "msecs", "relativeCreated", "thread", "threadName", "process", "processName", "taskName"}
)
"""The attributes that a record takes from the process, thread or time in which it is made."""

Handle = Callable[[LogRecord], object]


def by_factory(handle: Handle) -> Handle:
    """Return a function that calls another with the record that the parent's factory makes.

    Args:
        handle: Called with a record.
    """
    return functools.partial(_handle, handle)


# A handler or factory that looks at the stack for the line that logged passes over frames of `logging`.
@placed_like(logging.Logger.handle)
def _handle(handle: Handle, record: LogRecord) -> None:
    handle(_make(logging.getLogRecordFactory(), record))


@placed_like(logging.Logger.makeRecord)
def _make(factory: Callable[..., LogRecord], record: LogRecord) -> LogRecord:
    if factory is LogRecord:
        if type(record) is FactoryRecord:
            record.__class__ = LogRecord  # type: ignore[assignment]
        return record
    args = (record.args,) if isinstance(record.args, dict) else record.args
    arguments = (
        record.name,
        record.levelno,
        record.pathname,
        record.lineno,
        record.msg,
        args,
        record.exc_info,
        record.funcName,
        record.stack_info,
    )
    made = factory(*arguments)
    if type(record) is not LogRecord:
        for name, value in made.__dict__.items():
            record.__dict__.setdefault(name, value)
        if type(record) is not FactoryRecord:
            return record
        made.__dict__.update(record.__dict__)
        return made
    usual: dict[str, Any] = LogRecord(*arguments).__dict__
    for name, value in record.__dict__.items():
        given = made.__dict__.get(name)
        # What the factory has changed of the attributes that a record is made of stays.
        if name in OF_WORKER or name not in usual or _same(given, usual[name]):
            made.__dict__[name] = value
    return made


def _same(one: object, other: object) -> bool:
    return one is other or (type(one) is str and one == other)
