"""A worker's loggers stand for the parent's.

Levels, `disabled` and `propagate` are the parent's, and the handlers are stand-ins for the parent's: code that adds a
handler where there is none finds one, and the routing of records (routing.py) can tell the worker's own handlers.

An import of a module repeats what the parent has done when it imported that. So what an import does to loggers that the
parent has is undone when it is over.
"""

from __future__ import annotations

import contextlib
import logging
import pickle
import weakref
from collections.abc import Callable

from logpool._process import cpython
from logpool._process.hints import Any
from logpool._worker import settings
from logpool._worker.settings import DEFAULT, Snapshot, State, named_loggers
from logpool._worker.stand_ins import StandIn, StandInFilter, identity_of, is_same

_set_aside: list[logging.Handler] = []
"""Handlers that were removed. They are kept, because a handler that is collected may flush what it has copied from the
parent, and so write it twice."""


def with_top(name: str, old: str, new: str) -> str:
    """Return a logger's name with a new first part.

    Args:
        name: The logger's.
        old: The first part that is replaced; a name that has another is returned as it is.
        new: What comes in its place.
    """
    top, dot, rest = name.partition(".")
    return new + dot + rest if top == old else name


class Mirror:
    """The parent's logging as a worker has it."""

    def __init__(self, root_level: int | None, own: Snapshot | None = None) -> None:
        """Know nothing of the parent's yet.

        Args:
            root_level: Of the worker's root logger; None: the parent's.
            own: Of this process's logging; None: not known.
        """
        self._root_level = root_level
        self._snapshot = own
        self._states: dict[str, State] = {}
        self._own: weakref.WeakKeyDictionary[logging.Handler, dict[str, bool]] = weakref.WeakKeyDictionary()

    def apply(self, snapshot: Snapshot) -> None:
        """Make this process's logging like the parent's. Where that hasn't changed since the last call, nothing is set.

        Args:
            snapshot: Of the parent's logging.
        """
        snapshot.apply(self._snapshot)
        self._snapshot = snapshot
        states = dict(snapshot.loggers)
        here, there = settings.name_of_main_module(), snapshot.main_module
        if here != there:
            states |= {with_top(name, there, here): state for name, state in snapshot.loggers.items()}
        states["root"] = snapshot.root if self._root_level is None else (self._root_level, *snapshot.root[1:])
        if not snapshot.is_whole:
            states = dict.fromkeys(self._states, DEFAULT) | states
        known, self._states = self._states, states
        settings.parents_files = snapshot.files
        self._own.clear()
        existing = named_loggers()
        existing["root"] = logging.root
        for name, state in states.items():
            # At first, each logger that is here is set; later, what a job has set stays unless the parent's changes.
            if state == known.get(name, None if name in existing and not known else DEFAULT):
                continue
            if name in existing:
                self._set(existing[name], state, repeated=not known)
            else:
                # It isn't made: a module that is still to be imported may have a class of its own for its loggers.
                settings.to_come[name] = state
                if name in logging.Logger.manager.loggerDict:  # But loggers below it are here, and inherit from it.
                    logging.getLogger(name)

    def make(self, name: str, state: State) -> None:
        """Make a logger that the parent has, and this process hasn't.

        For `getLogger`, which lets no other thread make one meanwhile: it would be of the same class.
        """
        manager = logging.Logger.manager
        before = manager.loggerClass
        if state[5] is not None:
            with contextlib.suppress(Exception):  # A class that this process can't import, or not yet, or make.
                manager.setLoggerClass(pickle.loads(state[5]))
                logging.Manager.getLogger(manager, name)
            manager.loggerClass = before
        self._set(logging.Manager.getLogger(manager, name), state, repeated=True)

    def _set(self, item: logging.Logger, state: State, *, repeated: bool) -> None:
        level, item.disabled, item.propagate, handlers, filters, _ = state
        item.setLevel(level)
        own_handlers = [handler for handler in item.handlers if not isinstance(handler, StandIn)]
        own_filters = [own for own in item.filters if not isinstance(own, StandInFilter)]
        if repeated:
            _set_aside.extend(own_handlers)
            own_handlers.clear()
            own_filters.clear()
        item.handlers[:] = [*map(StandIn.of, handlers), *own_handlers]
        item.filters[:] = [*map(StandInFilter, filters), *own_filters]

    def is_own(self, name: str, handler: logging.Handler) -> bool:
        """Tell whether a handler does what no handler of the parent's logger of that name does.

        Args:
            name: The logger's.
            handler: One of its handlers in this process, but no stand-in.
        """
        try:
            known = self._own.setdefault(handler, {})
        except TypeError:  # Its class has no hash.
            known = {}
        if name not in known:
            identity = identity_of(handler)
            known[name] = not any(is_same(identity, parents[0]) for parents in self._states.get(name, DEFAULT)[3])
        return known[name]

    def has_handlers(self, name: str) -> bool:
        """Tell whether the parent's logger of that name has handlers.

        Args:
            name: The logger's.
        """
        return bool(self._states.get(name, DEFAULT)[3])

    def has_file(self, handler: logging.Handler) -> bool:
        """Tell whether a handler's file is one of the parent's handlers'."""
        return getattr(handler, "baseFilename", None) in settings.parents_files

    def keep_enabled(self) -> None:
        """Have `dictConfig` and `fileConfig` leave alone loggers that the parent has and a configuration doesn't name.

        They disable existing loggers. In the parent these were made later, or are enabled for another reason.
        """

        def make(handle: Callable[..., None]) -> Callable[..., None]:
            def handle_others(existing: list[str], *args: Any, **kwargs: Any) -> None:
                handle([name for name in existing if name not in self._states], *args, **kwargs)

            return handle_others

        cpython.replace_disabling(make)

    def note(self) -> Callable[[], None]:
        """Note what the parent's loggers are like, before an import.

        Returns:
            What undoes the import's changes.
        """
        existing = named_loggers()
        level, _, _, handlers, *_ = self._states.get("root", DEFAULT)
        if handlers or level != logging.WARNING:  # Else the parent has left the root logger to others.
            existing["root"] = logging.root
        before = {
            item: (item.level, item.disabled, item.propagate, item.handlers[:], item.filters[:])
            for name, item in existing.items()
            if name in self._states
        }
        disabled_level = logging.Logger.manager.disable

        def undo() -> None:
            self.keep_enabled()
            if logging.Logger.manager.disable != disabled_level:
                logging.disable(disabled_level)
            for item, (level, disabled, propagate, handlers, filters) in before.items():
                item.disabled, item.propagate = disabled, propagate
                if item.level != level:
                    item.setLevel(level)
                _set_aside.extend(handler for handler in item.handlers if handler not in handlers)
                item.handlers[:] = handlers
                item.filters[:] = filters
            for name, item in named_loggers().items():
                if item not in before and name in self._states:
                    self._set(item, self._states[name], repeated=True)

        return undo
