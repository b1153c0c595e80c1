"""`SettingsWatch`: tells at each submit, in a microsecond or two, whether workers must take something over.

What they take over is a `Snapshot` (`_worker/settings.py`).
"""

from __future__ import annotations

import copy
import logging
import pickle
import warnings
from operator import attrgetter

from logpool._process import cpython
from logpool._worker.settings import FLAGS, Snapshot, methods, named_loggers

logger = logging.getLogger("logpool")

_is_disabled = attrgetter("disabled")

_flags_of = attrgetter(*FLAGS)


def _what_is_seen() -> tuple[object, ...]:
    """Return what is looked at, without copies: each submit calls this."""
    root = logging.root
    return (
        root.disabled,
        root.handlers,
        len(cpython.handler_references),
        logging.getLoggerClass(),
        logging.getLogRecordFactory(),
        _flags_of(logging),
        [*methods.values()],
        cpython.level_names(),
        warnings.showwarning,
        warnings.filters,
    )


class SettingsWatch:
    """Tells whether this process's logging has changed since its workers were started.

    A change of a level, and `logging.disable()`, empty the root logger's `_cache`, and so remove a mark from it. To
    look at each logger would take too long. So it is noticed only with the next change of another kind if a logger
    becomes disabled, propagates no longer, or gets or loses a filter, or a handler that was made before. Until then the
    parent, which handles the records, treats them as it should all the same.
    """

    def __init__(self) -> None:
        self._seen: tuple[object, ...] | None = None
        self._disabled: list[logging.Logger] = []
        self._changes: tuple[int, bytes] | None = None

    def changes(self) -> tuple[int, bytes] | None:
        """Return a number and the pickled snapshot; None if the logging is as it was at the first call.

        The first call is due before the first worker is started.
        """
        if (
            self not in cpython.level_cache()
            or self._seen != _what_is_seen()
            or (self._disabled and not all(map(_is_disabled, self._disabled)))
        ):
            self._look()
        return self._changes

    def _look(self) -> None:
        # Noted before the snapshot is taken: the next call notices what changes meanwhile.
        is_first = self._seen is None
        cpython.level_cache()[self] = True
        self._seen = tuple(copy.copy(item) if isinstance(item, (list, dict)) else item for item in _what_is_seen())
        self._disabled = [item for item in named_loggers().values() if item.disabled]
        if is_first:
            return
        try:
            pickled = pickle.dumps(Snapshot(is_whole=False))
        except Exception:
            logger.exception("Workers can't be told what has changed in this process's logging.")
            return
        if self._changes is None:
            self._changes = 1, pickled
        elif pickled != self._changes[1]:
            self._changes = self._changes[0] + 1, pickled

    def close(self) -> None:
        """Remove the mark."""
        cpython.level_cache().pop(self, None)
