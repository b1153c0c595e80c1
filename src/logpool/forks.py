"""What must be in order when a process forks.

A child that is forked, by whatever means, has copies of its parent's descriptors and locks. A stream of frames that
two processes write into is garbage; a socket's other end sees no end of file while any process holds a copy; and a lock
that another thread of the parent held is held in the child for ever. So an object that owns such things registers here.
It is asked to be in order before a fork, and drops its copies in the child.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Iterator


class ForkAware:
    """An object that takes care of forks, once it is registered."""

    def before_fork(self) -> None:
        """Called in the parent, by the thread that forks."""

    def after_fork_in_parent(self) -> None:
        """Called in the parent, by the same thread."""

    def after_fork_in_child(self) -> None:
        """Called in the child, by its only thread, before anything else runs there."""


_registered: weakref.WeakSet[ForkAware] = weakref.WeakSet()

_lock = threading.RLock()
"""Held while a process forks, while an object registers, and where one thread alone may fork."""

_asked: list[list[ForkAware]] = []
"""Those whose `before_fork` was called, which could be collected meanwhile; for each fork that is under way: a signal
handler may fork while its thread is about to."""


@contextlib.contextmanager
def by_this_thread_alone() -> Iterator[None]:
    """Keeps other threads from forking meanwhile, so that no child inherits what is open only for a moment."""
    with _lock:
        yield


def register(owner: ForkAware) -> None:
    """Has an object's methods called whenever this process, or such a child, forks.

    Args:
        owner: Held weakly.
    """
    with _lock:
        _registered.add(owner)


def _before_fork() -> None:
    _lock.acquire()
    _asked.append(list(_registered))
    for owner in _asked[-1]:
        owner.before_fork()


def _after_fork_in_parent() -> None:
    for owner in _asked.pop():
        owner.after_fork_in_parent()
    _lock.release()


def _after_fork_in_child() -> None:
    global _lock
    for owner in _asked.pop():
        owner.after_fork_in_child()
    _lock = threading.RLock()  # The old one is held more than once if this thread alone might fork.
    for _ in _asked:  # What was interrupted by this fork goes on here, too.
        _lock.acquire()


if hasattr(os, "register_at_fork"):  # Windows has no fork.
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
