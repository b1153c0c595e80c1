"""Where a worker's records go: to the parent, and to handlers that only the worker has.

`logging.Logger.callHandlers` is the one place that each record passes on its way to handlers. In a worker it hands
every record to the `RelayHandler`, whatever the loggers' lists of handlers say. Then come the worker's own handlers:
those that the parent's logger of the same name hasn't (mirror.py).
"""

from __future__ import annotations

import itertools
import logging
import sys
import threading

from logpool._process import cpython, forks
from logpool._process.hints import Any
from logpool._worker import files, import_guard, settings
from logpool._worker.handler import RelayHandler
from logpool._worker.mirror import Mirror
from logpool._worker.record_factory import set_noted
from logpool._worker.settings import Snapshot
from logpool._worker.stand_ins import StandIn

relay: RelayHandler | None = None
"""Where this process's records go. None: it is no worker."""

_thread = import_guard.thread
_mirror: Mirror
_to_all = False
_get_logger = logging.Logger.manager.getLogger


class _Making(forks.ForkAware):
    """What is held while a logger may be made of the class that the parent's is of."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        forks.register(self)

    def after_fork_in_child(self) -> None:
        """Take a new lock: another thread of the worker may have had the old one."""
        self.lock = threading.RLock()


_making = _Making()


def install(
    handler: RelayHandler,
    snapshot: Snapshot | None,
    root_level: int | None,
    *,
    to_all: bool,
    modules: frozenset[str],
) -> None:
    """Route this process's records to the parent.

    Args:
        handler: Takes them there.
        snapshot: Of the parent's logging; None: this process has just been forked, with the parent's.
        root_level: The root logger's level; None: the parent's.
        to_all: Whether the parent has other handlers than its loggers', which get every record.
        modules: Names of modules that the parent has imported, and this process perhaps hasn't.
    """
    global relay, _mirror, _to_all
    own = None
    if snapshot is None:
        own = snapshot = Snapshot()
    settings.to_come.clear()
    _mirror = mirror = Mirror(root_level, own)
    logging.Logger.manager.getLogger = _get_logger_like_the_parents  # type: ignore[method-assign]
    mirror.apply(snapshot)
    relay, _to_all = handler, to_all
    set_noted(logging.getLogRecordFactory())  # Which a forked worker has had from the start.
    # `dictConfig` and `logging.shutdown` would flush and close the handlers that were there before: copies of the
    # parent's, as a rule, some with records that the parent hasn't written yet.
    cpython.handler_references.clear()
    mirror.keep_enabled()
    files.hold(mirror.has_file)
    take_back()
    others = [finder for finder in sys.meta_path if not isinstance(finder, import_guard.Finder)]
    sys.meta_path[:] = [import_guard.Finder(mirror.note, modules), *others]


def take_back() -> None:
    """Have `callHandlers` be what routes records, and nothing else: tools wrap it to see each record, in the parent."""
    logging.Logger.callHandlers = _call_handlers  # type: ignore[method-assign, assignment]


def apply(snapshot: Snapshot) -> None:
    """Make this process's logging like the parent's, which has changed.

    Args:
        snapshot: Of the parent's logging.
    """
    _mirror.apply(snapshot)


def _call_handlers(logger: logging.Logger, record: logging.LogRecord) -> None:
    """Do what `logging.Logger.callHandlers` does, with the parent's handlers in the place of stand-ins for them."""
    assert relay is not None
    if _thread.imports:
        return
    own: list[logging.Handler] | None = None
    source: Any = logger
    while source is not None:
        for handler in source.handlers:
            if not isinstance(handler, StandIn) and _mirror.is_own(source.name, handler):
                own = [handler] if own is None else [*own, handler]
        source = source.parent if source.propagate else None
    if own is None:
        relay.emit(record)
        return
    if _to_all or _parent_handles(logger):
        relay.emit(record)
    for handler in own:
        files.release(handler, appends=_mirror.has_file(handler))
        if record.levelno >= handler.level:
            handler.handle(record)


def _parent_handles(logger: logging.Logger) -> bool:
    """Tell whether the parent has a handler for a logger's records.

    Where it has none, it would print them as the last resort. That is for records that no handler takes.
    """
    source: logging.Logger | None = logger
    while source is not None:
        if _mirror.has_handlers(source.name):
            return True
        source = source.parent if source.propagate else None
    return False


def _get_logger_like_the_parents(name: str) -> logging.Logger:
    """Do what `logging.getLogger` does, and make a logger that the parent has, and this process hasn't, like that."""
    if not settings.to_come or not isinstance(name, str):
        return _get_logger(name)
    with _making.lock:
        # Those above it, too, from which it inherits.
        for made in itertools.accumulate(name.split("."), "{}.{}".format):
            if (state := settings.to_come.get(made)) is not None:
                _mirror.make(made, state)
                settings.to_come.pop(made, None)  # Not before: until then other threads wait for the lock.
        return _get_logger(name)
