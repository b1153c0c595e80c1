"""`rebuild`: makes a log record of bytes, in the parent."""

from __future__ import annotations

import contextlib
import marshal
import pickle
from collections.abc import Callable
from logging import LogRecord
from types import MemberDescriptorType

from logpool._process.hints import Any
from logpool._record.by_value import Place, restore
from logpool._record.fields import FIELDS, JOB_FIELDS, LostError, Packed, probe, safe_repr
from logpool._record.unpack import Unpacker, load, make_traceback
from logpool._record.unpack_args import unpack_args

_PROCESS_START = probe.created - probe.relativeCreated / 1000
"""When `logging` was loaded into this process, in seconds since the epoch: what `relativeCreated` counts from."""

_new_record = LogRecord.__new__

_UNPACKER = Unpacker([])
"""For records without exceptions."""

_namespace: dict[str, Any] = {}
# One assignment takes half the time of `record.__dict__.update(zip(FIELDS, values))`.
for _name, _fields in (("assign", FIELDS), ("assign_with_job", (*FIELDS, *JOB_FIELDS))):
    exec(f"def {_name}(record, values): ({', '.join(f'record.{name}' for name in _fields)}) = values", _namespace)
_assign: Callable[[LogRecord, tuple[Any, ...]], None] = _namespace["assign"]
_assign_with_job: Callable[[LogRecord, tuple[Any, ...]], None] = _namespace["assign_with_job"]


class Event(dict[Any, Any]):
    """A dict that was logged in the place of a message, and prints as it did in the worker."""

    text: str

    def __str__(self) -> str:
        return self.text


class FactoryRecord(LogRecord):
    """A record that a factory of the worker's has made, which is a plain one otherwise."""


def rebuild(flat: bytes | memoryview, only_print: Callable[[LogRecord], bool] | None = None) -> LogRecord:
    """Make a record of bytes.

    Args:
        flat: What `flatten` returned.
        only_print: Tells whether the record will be printed, and its exception with it, by nothing but formatters of
            the standard library. Then it has the exception's text at once. None: that isn't known.

    Returns:
        The record.
    """
    values: Any = marshal.loads(flat)
    if type(values) is not tuple:
        return _rebuild_any(values)
    added: dict[Any, Any] | None = None
    if len(values) == 3:
        values, added, parts = values
    record = _new_record(LogRecord)
    if len(values) == len(FIELDS):
        _assign(record, values)
    else:
        _assign_with_job(record, values)
    if type(record.created) is float:
        record.relativeCreated = (record.created - _PROCESS_START) * 1000
    if added is not None:
        state = record.__dict__
        if parts is None:
            state.update(added)
        elif type(parts) is tuple:
            _restore(state, added, *parts)
        else:
            state.update(added)
            text = _add_parts(state, parts)
            if text is not None and only_print is not None and only_print(record):
                record.exc_text = text
    return record


def _restore(state: dict[str, Any], added: dict[Any, Any], in_args: list[Place], in_added: list[Place]) -> None:
    """Put back what is by value among a record's arguments, and add the attributes that were added."""
    args = state["args"]
    restore(args, in_args)
    if type(args) is list:
        state["args"] = tuple(args)
    if added:
        restore(added, in_added)
        state.update(added)


def _add_parts(state: dict[str, Any], flat: dict[str, Any]) -> str | None:
    """Add what isn't plain to a record's attributes.

    Returns:
        The text that a formatter will make of the exception; None: that isn't known, or it has it already.
    """
    unpacker = Unpacker(flat["exceptions"]) if "exceptions" in flat else _UNPACKER
    if "args" in flat:
        load_argument = load if unpacker is _UNPACKER else unpacker.load
        state["msg"], state["args"] = unpack_args(state["msg"], flat["args"], load_argument)
    if "packed" in flat:
        for name, value in flat["packed"].items():
            state[name] = unpacker.unpack(value)
    if "odd" in flat:
        state["exc_info"] = unpacker.unpack(flat["odd"])
    return _add_exception(state, flat, unpacker) if "exc_info" in flat else None


def _add_exception(state: dict[str, Any], flat: dict[str, Any], unpacker: Unpacker) -> str | None:
    if "exc_info" in flat:
        with contextlib.suppress(LostError):
            value = unpacker.exception(flat["exc_info"])
            traceback = make_traceback(flat["frames"]) if "frames" in flat else value.__traceback__
            state["exc_info"] = (type(value), value, traceback)
    if "exc_text" in flat:
        info, text = state["exc_info"], flat["exc_text"]
        if info and unpacker.prints_as(info, flat["exc_info"], text, flat.get("limit")):
            return text  # type: ignore[no-any-return]
        state["exc_text"] = text
    return None


def _rebuild_any(flat: dict[str, Any]) -> LogRecord:
    unpacker = Unpacker(flat["exceptions"])
    state = _unpack_values(flat["state"], unpacker)
    if "args" in flat:
        state["args"] = flat["args"]
    if "packed_args" in flat:
        state["msg"], state["args"] = unpack_args(state["msg"], flat["packed_args"], unpacker.load)
    if "dict" in flat:
        state["msg"] = _rebuild_event(flat, unpacker)
    _add_exception(state, flat, unpacker)
    if isinstance(state.get("created"), float):
        state["relativeCreated"] = (state["created"] - _PROCESS_START) * 1000
    record = _rebuild_class(flat, state) if "class" in flat else None
    if record is None:
        if flat.get("special"):
            state.update(msg=flat["text"], args=())
        record = _new_record(FactoryRecord if flat["by_factory"] else LogRecord)
        record.__dict__.update(state)
    return record


def _unpack_values(values: tuple[dict[Any, Any], dict[Any, Packed]], unpacker: Unpacker) -> dict[Any, Any]:
    state, packed = values
    for name, value in packed.items():
        state[name] = unpacker.unpack(value)
    return state


def _rebuild_event(flat: dict[str, Any], unpacker: Unpacker) -> dict[Any, Any]:
    event = _unpack_values(flat["dict"], unpacker)
    if safe_repr(event, str) == flat["text"]:
        return event
    event = Event(event)
    event.text = flat["text"]
    return event


def _rebuild_class(flat: dict[str, Any], state: dict[str, Any]) -> LogRecord | None:
    """Make a record of a class derived from LogRecord.

    Returns:
        The record; None if there is no such class here, or its message would be another.
    """
    try:
        record: LogRecord = object.__new__(pickle.loads(flat["class"]))
        for name, value in state.items():
            slot = getattr(type(record), name, None) if isinstance(name, str) else None
            if type(slot) is MemberDescriptorType:
                slot.__set__(record, value)
            else:
                record.__dict__[name] = value
        return None if flat.get("special") and str(record.getMessage()) != flat["text"] else record
    except BaseException:  # As in Unpacker.unpack.
        return None
