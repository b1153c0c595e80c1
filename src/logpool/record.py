"""`flatten` and `rebuild`: a log record on its way from a worker to its parent.

Knows nothing but `logging`.
"""

from __future__ import annotations

import logging
import pickle
from logging import LogRecord
from typing import Any

_new_record = LogRecord.__new__

FIELDS = tuple(LogRecord("", 0, "", 0, "", (), None).__dict__)
"""The attributes that every record has, in the order in which the running Python sets them."""

PLAIN = frozenset({str, int, float, bool, type(None), complex, bytes})
"""Types whose objects look the same on both sides, and can't change on the way."""

_probe = LogRecord("", 0, "", 0, "", (), None)
_PROCESS_START = _probe.created - _probe.relativeCreated / 1000
"""When `logging` was loaded into this process, in seconds since the epoch: what `relativeCreated` counts from."""


def flatten(record: LogRecord) -> bytes:
    """Makes bytes of a record. Runs in the worker.

    Args:
        record: As the worker's loggers hand it to a handler. It isn't changed.

    Returns:
        What `rebuild` takes.
    """
    state = record.__dict__
    if (
        tuple(state) == FIELDS
        and type(record) is LogRecord
        and type(record.msg) is str
        and record.exc_info is None
        and PLAIN.issuperset(map(type, record.args or ()))
        and type(record.args) is tuple
    ):
        return pickle.dumps(tuple(state.values()), pickle.HIGHEST_PROTOCOL)
    return _flatten_any(record)


def _flatten_any(record: LogRecord) -> bytes:
    state = dict(record.__dict__)
    if state.get("exc_info") and not state.get("exc_text"):
        state["exc_text"] = logging.Formatter().formatException(state["exc_info"])
    state["exc_info"] = None
    state["msg"] = record.getMessage()
    state["args"] = ()
    for name, value in state.items():
        if type(value) not in PLAIN:
            try:
                pickle.dumps(value)
            except Exception:
                state[name] = repr(value)
    return pickle.dumps(state, pickle.HIGHEST_PROTOCOL)


def rebuild(flat: bytes) -> LogRecord:
    """Makes a record of bytes. Runs in the parent.

    Args:
        flat: What `flatten` returned.

    Returns:
        The record.
    """
    state: Any = pickle.loads(flat)
    record = _new_record(LogRecord)
    if type(state) is tuple:
        record.__dict__.update(zip(FIELDS, state))
    else:
        record.__dict__.update(state)
    record.relativeCreated = (record.created - _PROCESS_START) * 1000
    return record
