"""What each child of `multiprocessing` inherits of a relay that serves all of them, whatever pool or library starts it.

    a process that starts a child             the child
    _config["authkey"]: Key     ── pickled ──▶ before it imports the main module again: switches logging off for that
    _config["logpool"]: Bequest ── pickled ──▶ after that, before target and arguments are there: installs
    memory                      ── forked ───▶ in `multiprocessing`'s own hook after a fork: installs

`multiprocessing` copies `_config` from a process into its children, and so into theirs. Nothing of it is patched. A
process that is forked otherwise, or started as a program, inherits nothing: the manager process, the resource tracker,
a forkserver.

A child's children relay to where the child's own records go: to the innermost relay that serves all children of that
child, if it has one, else to where it was installed last. A worker of an executor of ours installs itself, with its
job, and so does nothing here.

Guarantee:
    No child is broken by this. One that can't install says so on its own logger, and logs as it would without.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import threading
from collections.abc import Callable, Iterator
from multiprocessing import parent_process, process, util

from logpool._process import cpython, forks
from logpool._process.hints import Any
from logpool._worker import import_guard, installation
from logpool._worker.installation import Installation

logger = logging.getLogger("logpool")

NAME = "logpool"
"""The name of the `Bequest` in `_config`."""

PRELOAD = "logpool._worker.preload"
"""What a forkserver imports in the place of the main module."""

_starters: dict[tuple[int, int], bool] = {}
"""The threads that are just starting one of logpool's own processes, which installs by itself what it needs: by process
and thread. The value says whether the new process imports the main module again, for which its logging must be off."""

_testaments: list[Testament] = []
"""Of the relays that serve all children of this process, the innermost last; in a forked child also its parent's."""

_is_heir = False
"""Whether this process has inherited a relay, and so its children do."""


class Testament:
    """A relay that serves all children of this process.

    Attributes:
        relay: Is not collected before it has ended.
        installation: What the children install.
        pid: This process.
    """

    def __init__(self, relay: object, installation: Installation) -> None:
        self.relay = relay
        self.installation = installation
        self.pid = os.getpid()


def bequeath(relay: object, to_install: Installation) -> Testament:
    """Have all children that are started from now on install a relay.

    Args:
        relay: As in `Testament`.
        to_install: What they install.

    Returns:
        What `revoke` takes.
    """
    with contextlib.suppress(ImportError):  # A system without it.
        from multiprocessing import forkserver  # noqa: F401  # `_update` changes what it preloads.
    testament = Testament(relay, to_install)
    try:
        _testaments.append(testament)
        util.register_after_fork(testament, _after_fork)
        _update()
        for child in cpython.unstarted_children():
            cpython.settings_of(child)[NAME] = Bequest()
    except BaseException:  # Ctrl-C.
        revoke(testament)
        raise
    return testament


def revoke(testament: Testament) -> None:
    """Have children that are started from now on inherit a relay no longer."""
    if testament in _testaments:
        _testaments.remove(testament)
    _update()


@contextlib.contextmanager
def starting_our_own(*, guarded: bool) -> Iterator[None]:
    """Have processes that the calling thread starts meanwhile install nothing that they inherit.

    Args:
        guarded: Whether they import the main module again, for which their logging is to be off.
    """
    starter = os.getpid(), threading.get_ident()
    _starters[starter] = guarded
    try:
        if guarded:
            _update()
        yield
    finally:
        _starters.pop(starter, None)
        if guarded:
            _update()


def _update() -> None:
    """Put into `_config` what children are to inherit, and take out what they aren't."""
    with forks.no_concurrent_fork():  # One thread at a time, and no child is forked half-way.
        config = cpython.inherited_settings()
        if inherits := bool(_testaments) or _is_heir:
            config[NAME] = Bequest()
        else:
            config.pop(NAME, None)
        key = config["authkey"]
        if inherits or any(guarded and pid == os.getpid() for (pid, _), guarded in list(_starters.items())):
            if not isinstance(key, Key):
                config["authkey"] = Key(key)
            cpython.preload_instead("__main__", PRELOAD)
        else:
            if isinstance(key, Key):
                config["authkey"] = key.plain
            cpython.preload_instead(PRELOAD, "__main__")


def _heritage(pid: int) -> Installation | None:
    """Return what a child of a process is to install; None: nothing.

    Args:
        pid: The process that starts it, whose memory this process has.
    """
    if (pid, threading.get_ident()) in _starters or not (_testaments or _is_heir):
        return None
    own = next((testament for testament in reversed(_testaments) if testament.pid == pid), None)
    if own is not None:
        return own.installation
    if installation.installed is None and _testaments:
        # The process was forked by other means than `multiprocessing`, and so not installed.
        return _testaments[-1].installation
    return installation.installed


def _install(to_install: Installation) -> None:
    try:
        to_install.install()
    except Exception:
        _report("The records of this process aren't relayed.")


def _report(text: str) -> None:
    """Log the current error, where this process's records go without a relay."""
    import_guard.end()
    logger.exception(text)


# In a forked child.


def _after_fork(_: Testament) -> None:
    global _is_heir
    _is_heir = True
    parent = parent_process()
    assert parent is not None
    assert parent.pid is not None
    if (to_install := _heritage(parent.pid)) is not None:
        _install(to_install)


# What is pickled.


class Key(process.AuthenticationString):  # type: ignore[name-defined, misc]
    """The `authkey`, which a child unpickles before all else, and once more with the rest of what it inherits.

    Attributes:
        plain: The key that it stands for.
    """

    def __new__(cls, plain: bytes) -> Key:
        """Make a key that stands for another."""
        key: Key = super().__new__(cls, plain)
        key.plain = plain
        return key

    plain: bytes

    def __reduce__(self) -> Any:
        reduced = self.plain.__reduce__()  # Raises TypeError unless a child is just being started.
        if (os.getpid(), threading.get_ident()) not in _starters and _heritage(os.getpid()) is None:
            return reduced
        from multiprocessing import spawn  # Here, because forked children don't need it.

        # The path is set after the key is unpickled, and may be what `logpool` is found by.
        path = _Call(spawn.prepare, {"sys_path": spawn.get_preparation_data("")["sys_path"]})
        return _call_if_found("receive_key", self.plain, "argument", path)


class Bequest:
    """Has the child install what it inherits. Without state: that is looked up when a child is started."""

    def __reduce__(self) -> Any:
        if not _testaments and not _is_heir:
            return type(None), ()
        pickled = b""
        if (to_install := _heritage(os.getpid())) is not None:
            try:
                pickled = pickle.dumps(to_install)
            except Exception:
                logger.exception("A child process can't be told to relay its records.")
        return _call_if_found("receive", pickled, "None")


class _Call:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Callable[..., object], *args: object) -> None:
        self._reduced = function, args

    def __reduce__(self) -> Any:
        return self._reduced


def _call_if_found(function: str, argument: object, otherwise: str, before: object = None) -> Any:
    """Return what calls a function of this module when it is unpickled: by an expression, as the child may lack it.

    Args:
        function: Its name.
        argument: Its only one.
        otherwise: An expression, for a child that can't import this package.
        before: Unpickled before.
    """
    call = f"__import__({__name__!r}, fromlist=['*']).{function}(argument)"
    found = "__import__('importlib.util').util.find_spec('logpool')"
    return eval, (f"{call} if {found} else {otherwise}", {"before": before, "argument": argument})


# In a child that unpickles.


def receive_key(plain: bytes) -> Key:
    """Switch logging off, while the child still unpickles what it was given or imports the main module."""
    import_guard.begin()
    return Key(plain)


def receive(pickled: bytes) -> Bequest:
    """Install what was inherited.

    Args:
        pickled: The installation; empty: there is none.
    """
    global _is_heir
    _is_heir = True
    cpython.preload_instead("__main__", PRELOAD)
    if pickled:
        try:
            to_install: Installation = pickle.loads(pickled)
        except Exception:
            _report("The records of this process aren't relayed.")
        else:
            _install(to_install)
    return Bequest()
