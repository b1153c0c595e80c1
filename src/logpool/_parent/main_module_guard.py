"""`main_module_guarded`: has logging switched off in a child while it imports the main module again.

A child unpickles its `authkey` before that import, and before all else. A key of a class of ours brings the call of
`begin` (`_worker/import_guard.py`) there.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from multiprocessing import process, spawn

from logpool._process import cpython
from logpool._process.hints import Any
from logpool._worker.import_guard import begin


@contextlib.contextmanager
def main_module_guarded(start_method: str) -> Iterator[None]:
    """Have children that the calling thread starts meanwhile call `begin` before they import the main module.

    Args:
        start_method: By which they are started. Forked children don't import it.
    """
    if start_method == "fork":
        yield
        return
    config = cpython.inherited_settings()
    key = config["authkey"]
    guard = config["authkey"] = _Key(key)
    guard.starter = os.getpid(), threading.get_ident()
    by_forkserver = start_method == "forkserver"
    try:
        with cpython.preloading("logpool._worker.preload") if by_forkserver else contextlib.nullcontext():
            yield
    finally:
        guard.starter = None
        if config["authkey"] is guard:
            config["authkey"] = key


class _Key(process.AuthenticationString):  # type: ignore[name-defined, misc]
    """The `authkey`, which a child unpickles before all else."""

    starter: tuple[int, int] | None

    def __reduce__(self) -> Any:
        reduced = super().__reduce__()
        if self.starter != (os.getpid(), threading.get_ident()):
            return reduced
        # The path is set after the key is unpickled, and may be what `logpool` is found by.
        path = {"sys_path": spawn.get_preparation_data("")["sys_path"]}
        return *reduced, {"calls": (_Call(spawn.prepare, path), _Call(begin))}


class _Call:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Callable[..., object], *args: object) -> None:
        self._reduced = function, args

    def __reduce__(self) -> Any:
        return self._reduced
