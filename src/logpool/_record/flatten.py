"""`flatten`: makes bytes of a log record, in the worker.

    a record of plain values                one tuple of them
    one with paths, dates and the like      that tuple, the attributes that were added, and where those are
    one with others in it                   that tuple, the plain attributes that were added, and what isn't plain
    one that `logging` doesn't make so      a dict

A value that isn't plain is pickled by itself (pack.py, pack_args.py), and costs the others nothing. All is written by
`marshal`: it takes objects of the plain types and none of their subclasses, so that whatever it has written can be read
in the parent.
"""

from __future__ import annotations

import contextlib
import logging
import marshal
import operator
import pickle
import sys
import threading
from collections.abc import Callable, Mapping
from logging import LogRecord, getLogRecordFactory

from logpool._process.hints import Any
from logpool._record.by_value import OtherValueError, Place, separate
from logpool._record.fields import (
    CONTAINERS,
    FIELDS,
    JOB_FIELDS,
    PLAIN,
    JobTag,
    LostError,
    Packed,
    class_name_of,
    is_plain,
    plain_str,
    safe_repr,
)
from logpool._record.format_exception import format_exception, format_known
from logpool._record.pack import Packer, frames_of
from logpool._record.pack_args import UnprintableError, pack_args

NESTED_TOO_DEEPLY = 2
"""A record that is logged while another is flattened, by a `__repr__` or `__reduce__`, may have objects whose methods
log in turn. From this depth on, these methods aren't called: else there might be no end."""

_values = operator.itemgetter(*FIELDS)
_ARGS = FIELDS.index("args")

_report = logging.NullHandler().handleError
_local = threading.local()


def flatten(record: LogRecord, report: Callable[[LogRecord], object] = _report, job: JobTag | tuple[()] = ()) -> bytes:
    """Make bytes of a record.

    Args:
        record: As the worker's loggers hand it to a handler. It isn't changed.
        report: Called in the `except` clause if the message can't be formatted.
        job: The job that it belongs to; empty: the process knows no jobs.

    Returns:
        What `rebuild` takes.

    Raises:
        ValueError: The record takes more than 2 GiB.
        MemoryError: There is no memory for it.
    """
    state = record.__dict__
    usual = type(record) is LogRecord and type(state.get("msg")) is str and getLogRecordFactory() is LogRecord
    try:
        if usual and state["exc_info"] is None:
            args_are_plain = type(args := state["args"]) is tuple and PLAIN.issuperset(map(type, args))
            has_more = len(state) != len(FIELDS)
            if args_are_plain and not has_more:
                return marshal.dumps((*_values(state), *job), 2)
            added = _added(state) if has_more else {}
            if added is not None:
                if args_are_plain and PLAIN.issuperset(map(type, added.values())):
                    return marshal.dumps(((*_values(state), *job), added, None), 2)
                return _flatten_by_value(state, added, job, args_are_plain=args_are_plain)
    except Exception:  # An attribute is missing, or is something else, or too large; or this is the depth of recursion.
        pass
    depth = getattr(_local, "depth", 0)
    _local.depth = depth + 1
    try:
        if depth < NESTED_TOO_DEEPLY:
            # What objects do when they are asked is handled below. This is for those that raise where hardly any does.
            with contextlib.suppress(Exception):
                if usual and (flat := _flatten_parts(record, job)) is not None:
                    return flat
                return marshal.dumps(_flatten_any(record, report, job, call_methods=True))
        return marshal.dumps(_flatten_any(record, report, job, call_methods=False))
    finally:
        _local.depth = depth


def _added(state: dict[Any, Any]) -> dict[Any, Any] | None:
    """Return the attributes that were added to a record; None if it isn't so that the others come first."""
    names = tuple(state)
    if names[: len(FIELDS)] != FIELDS or "getMessage" in state:
        return None
    return {name: state[name] for name in names[len(FIELDS) :]}


def _flatten_by_value(
    state: dict[str, Any], added: dict[Any, Any], job: JobTag | tuple[()], *, args_are_plain: bool
) -> bytes:
    """Make bytes of a record whose arguments, and attributes that were added, are plain or by value.

    Args:
        state: The record's attributes.
        added: Those that were added.
        job: As for `flatten`.
        args_are_plain: Whether it is known that the arguments are plain.

    Raises:
        Exception: It isn't such a record.
    """
    in_args: list[Place] = []
    in_added: list[Place] = []
    values = [*_values(state), *job]
    if not args_are_plain:
        args = state["args"]
        if type(args) is not tuple and type(args) is not dict:
            raise OtherValueError
        values[_ARGS] = separate(args, in_args)
    if added:
        added = separate(added, in_added)
    return marshal.dumps((tuple(values), added, (in_args, in_added)), 2)


def _flatten_parts(record: LogRecord, job: JobTag | tuple[()]) -> bytes | None:
    """Make bytes of a record that is a plain one but for arguments, attributes that were added, and an exception.

    Returns:
        The bytes; None if it isn't such a record.
    """
    state = record.__dict__.copy()
    packer = Packer()
    flat: dict[str, Any] = {}
    with contextlib.suppress(Exception):
        if (added := _added(state)) is None:
            return None
        if added:
            added, flat["packed"] = _pack_values(added, packer)
        if not is_plain(state["args"]):
            flat["args"] = pack_args(state["msg"], state["args"], packer)
            state["args"] = None
        info = None
        if state["exc_info"] is not None:
            info = _flatten_exception(state, flat, packer, call_methods=True)
            if state["exc_info"] is not None:  # Something odd, which travels as an attribute that was added would.
                flat["odd"] = packer.pack(state["exc_info"])
                state["exc_info"] = None
        if packer.originals:
            flat["exceptions"] = packer.exceptions()
        if info is not None:
            flat["exc_text"] = format_known(info, flat["exc_info"], packer.originals, flat["exceptions"])
        return marshal.dumps(((*_values(state), *job), added, flat), 2)
    return None


def _flatten_any(
    record: LogRecord, report: Callable[[LogRecord], object], job: JobTag | tuple[()], *, call_methods: bool
) -> dict[str, Any]:
    """Make the dict that stands for a record.

    Args:
        record: The record.
        report: As for `flatten`.
        job: As for `flatten`.
        call_methods: Whether methods of the objects in it may be called.
    """
    packer = Packer(call_methods=call_methods)
    # A record that came from another pool, inside this job, keeps the job that it has.
    state = {**dict(zip(JOB_FIELDS, job)), **record.__dict__}
    flat: dict[str, Any] = {"by_factory": getLogRecordFactory() is not LogRecord}
    if type(record) is not LogRecord:
        _flatten_class(record, state, flat)
    _flatten_message(record, state, flat, packer, report, call_methods=call_methods)
    if (info := _flatten_exception(state, flat, packer, call_methods=call_methods)) is not None:
        flat["exc_text"] = format_exception(info) if call_methods else class_name_of(type(info[1]))
    _, packed = flat["state"] = _pack_values(state, packer)
    # What a record finds its way by: of a class, an enum say, that can't be pickled or unpickled, the value remains.
    for name in packed.keys() & {"name", "levelname", "levelno"}:
        value = state[name]
        if isinstance(value, (str, int)):
            packed[name] = packed[name][0], plain_str(value) if isinstance(value, str) else int.__int__(value)
    flat["exceptions"] = packer.exceptions()
    return flat


def _flatten_class(record: LogRecord, state: dict[str, Any], flat: dict[str, Any]) -> None:
    flat["class"] = b""
    # Where this fails, the parent makes a plain record of it.
    with contextlib.suppress(Exception):
        complete = object.__getstate__(record)
        if type(complete) is tuple:  # It has attributes in __slots__, which are in no __dict__.
            state.update(complete[1])
        flat["class"] = pickle.dumps(type(record))


def _flatten_message(
    record: LogRecord,
    state: dict[str, Any],
    flat: dict[str, Any],
    packer: Packer,
    report: Callable[[LogRecord], object],
    *,
    call_methods: bool,
) -> None:
    message: Any = state.get("msg")
    args = state.get("args")
    # Whether the record's class has a way of its own to make the message. It may look at anything.
    special = type(record).getMessage is not LogRecord.getMessage
    stays = type(message) is str and "args" in state and "getMessage" not in state
    if stays and is_plain(args):
        flat["args"] = args
    elif stays and call_methods:
        try:
            flat["packed_args"] = pack_args(message, args, packer, with_text=not special)
        except UnprintableError:
            stays = False
    else:
        stays = False
    if not stays or special:
        try:
            if not call_methods:
                raise LostError("its arguments can't be asked")
            text = record.getMessage()
            text = plain_str(text) if isinstance(text, str) else safe_repr(text, str)
        except Exception as error:
            stays = False
            template = plain_str(message) if isinstance(message, str) else packer.text(message)
            text = (
                f"{template} [this message can't be formatted: {class_name_of(type(error))}: {safe_repr(error, str)}]"
            )
            if call_methods:
                # To report an error of logging mustn't break a job either.
                with contextlib.suppress(Exception):
                    report(record)
        flat["text"] = text
        flat["special"] = special
    if stays:
        state["args"] = None
        return
    flat.pop("args", None)
    flat.pop("packed_args", None)
    if isinstance(message, dict) and args in (None, ()) and call_methods:
        flat["dict"] = _pack_values(_with_current_exception(message, state), packer)
        state["msg"] = None
    else:
        state.pop("getMessage", None)
        state["msg"], state["args"] = flat["text"], ()


def _with_current_exception(message: dict[Any, Any], state: Mapping[str, Any]) -> dict[Any, Any]:
    """Name the exception in an event of structlog that leaves it to the formatter to find out which is being handled.

    Such events are known by the attributes that structlog gives their records.
    """
    current = sys.exc_info()[1]
    if message.get("exc_info") is True and current is not None and "_logger" in state and "_name" in state:
        return {**message, "exc_info": current}
    return message


def _flatten_exception(
    state: dict[str, Any], flat: dict[str, Any], packer: Packer, *, call_methods: bool
) -> tuple[Any, BaseException, Any] | None:
    """Move a record's exception from its attributes to what isn't plain.

    Returns:
        The exception if its text is wanted as well.
    """
    info = state.get("exc_info")
    if type(info) is not tuple or len(info) != 3 or not isinstance(info[1], BaseException):
        return None  # There is none, or something odd that is left to the parent's handlers as it is.
    value, traceback = info[1:]
    state["exc_info"] = None
    if call_methods:
        flat["exc_info"] = packer.number(value)
        if traceback is not value.__traceback__:
            flat["frames"] = frames_of(traceback)
    if type(state.get("exc_text")) is str:  # Another handler has set it.
        return None
    # Apart from such a text: the parent needs this one only if it prints another.
    state["exc_text"] = None
    if hasattr(sys, "tracebacklimit"):
        flat["limit"] = safe_repr(sys.tracebacklimit)
    return info


def _pack_values(values: Mapping[Any, Any], packer: Packer) -> tuple[dict[Any, Any], dict[Any, Packed]]:
    """Separate values that are plain from those that aren't, which are packed.

    Returns:
        All keys in their order, with the plain values; and the packed ones.
    """
    plain: dict[Any, Any] = {}
    packed: dict[Any, Packed] = {}
    for key, value in values.items():
        name = key if type(key) in PLAIN else plain_str(key) if isinstance(key, str) else packer.text(key)
        kind: Any = type(value)
        if kind in PLAIN or (kind in CONTAINERS and is_plain(value)):
            plain[name] = value
        else:
            plain[name] = None
            packed[name] = packer.pack(value)
    return plain, packed
