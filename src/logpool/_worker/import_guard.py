"""Imports that repeat, in a worker, what the parent has done.

`Finder` notes what loggers are like before the import of a module, and has that put back. What the parent's import of
the module logged isn't logged again. The main module is imported before any code of a worker's: `begin`
switches logging off before that import (`_parent/main_module_guard.py`). It is switched on again by the routing of
records in a worker, and by `end` in a forkserver.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import sys
import threading
from collections.abc import Callable, Sequence
from types import ModuleType

from logpool._process import cpython
from logpool._process.hints import TYPE_CHECKING, Any
from logpool._worker import files

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec


class _Thread(threading.local):
    """What the calling thread does."""

    imports = False
    """Whether it imports a module that the parent has imported, and handled the records of."""

    loads = False
    """Whether it loads a job, whose modules the parent has imported, or it couldn't have submitted the job."""


thread = _Thread()


class Finder:
    """The first entry of `sys.meta_path`: finds nothing itself, but sees the imports of modules begin and end.

    Only the outermost import of a thread counts, which ends when all that it imports is there.
    """

    def __init__(self, note: Callable[[], Callable[[], None]], modules: frozenset[str]) -> None:
        """Make a finder.

        Args:
            note: Called before an import. What it returns is called after it.
            modules: Names of modules that the parent has imported.
        """
        self._note = note
        self._modules = modules
        self._lock = threading.Lock()
        self._running = 0  # Imports of all threads: what one changes is put back when the last has ended.
        self._undo: Callable[[], object] = tuple
        thread.imports = False  # This may be a thread that was forked by an import.

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> Any:
        """Return what the next finder finds, with a loader that tells when it begins and ends."""
        if thread.imports:
            return None
        for finder in sys.meta_path:
            find_spec = getattr(finder, "find_spec", None)
            if finder is self or find_spec is None:
                continue
            spec: ModuleSpec | None = find_spec(name, path, target)
            if spec is not None:
                self._watch(spec.loader)
                return spec
        return None

    def _watch(self, loader: Any) -> None:
        # Loaders that are classes are those of built-in and frozen modules, which set up no logging.
        if loader is not None and not isinstance(loader, type):
            with contextlib.suppress(AttributeError, TypeError):  # It has no such method, or takes no attributes.
                if "exec_module" not in vars(loader):
                    loader.exec_module = functools.partial(self._execute, loader, loader.exec_module)

    def _execute(self, loader: Any, execute: Callable[[ModuleType], object], module: ModuleType) -> None:
        vars(loader).pop("exec_module", None)
        # What a module sets up that the parent hasn't imported is the job's own. And what was found before another
        # import began is a part of that.
        if thread.imports or not (thread.loads or module.__name__ in self._modules):
            execute(module)
            return
        with self._lock:
            if not self._running:
                self._undo = self._note()
            self._running += 1
        thread.imports = True
        try:
            execute(module)
        finally:
            thread.imports = False
            with self._lock:
                self._running -= 1
                if not self._running:
                    self._undo()


def begin() -> None:
    """Switch logging off, until this worker's records are routed: no record is handled, and no log file opened.

    It is on again, with the first record, when this child has what it was started with.
    """
    global _is_off
    _is_off = True
    logging.Logger.callHandlers = _call_handlers  # type: ignore[method-assign, assignment]
    files.hold(lambda handler: is_off())


def is_off() -> bool:
    """Return whether logging is switched off."""
    return _is_off and cpython.is_inheriting()


def end() -> None:
    """Switch logging on again. Files are opened for the first record."""
    global _is_off
    if _is_off:
        _is_off = False
        files.let_go()


_is_off = False
_original = logging.Logger.callHandlers


def _call_handlers(logger: logging.Logger, record: logging.LogRecord) -> None:
    """Take the place of `logging.Logger.callHandlers`."""
    if not is_off():
        end()
        _original(logger, record)
