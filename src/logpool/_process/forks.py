"""What must be in order when a process forks.

A child that is forked, by whatever means, has copies of its parent's descriptors and locks. A stream of frames that two
processes write into is garbage; a socket's other end sees no end of file while any process holds a copy; and a lock
that another thread of the parent held is held in the child for ever. So an object that owns such things registers here.
It is asked to be in order before a fork, and drops its copies in the child.

Guarantee:
    Nothing here waits for longer than `TIMEOUT`, once for each fork. Other modules have fork hooks as well, some of
    which take locks (`logging`, `concurrent.futures.thread`). These run before or after the ones here, by the order of
    imports, so that two threads that fork might wait for each other. A wait that ends can't become a deadlock.

Assumption:
    The code in `no_concurrent_fork` takes no other lock and doesn't fork itself, so such a wait doesn't come about.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator

TIMEOUT = 1.0
"""Seconds for which a fork waits, in all, for whatever must not be under way at that moment."""


class ForkAware:
    """An object that takes care of forks, once it is registered."""

    def before_fork(self, deadline: float) -> None:
        """Get in order, in the parent, in the thread that forks.

        Args:
            deadline: By when this must return, as `time.monotonic` counts.
        """

    def after_fork_in_parent(self) -> None:
        """Go on, in the same thread."""

    def after_fork_in_child(self) -> None:
        """Drop what is the parent's, in the child's only thread, before anything else runs there."""


_registered: dict[int, weakref.ref[ForkAware]] = {}
"""By a number, as they came. It is changed and copied by single calls, which no other thread interrupts."""

_numbers = itertools.count()

_lock = threading.RLock()
"""Held in `no_concurrent_fork`, and by a thread that forks."""


@contextlib.contextmanager
def no_concurrent_fork() -> Iterator[None]:
    """Keep other threads from forking meanwhile, so that no child inherits what is open only for a moment."""
    lock = _lock  # In a child that a signal handler forks here, the name gets another.
    has_lock = lock.acquire(timeout=TIMEOUT)
    try:
        yield
    finally:
        if has_lock:
            lock.release()


def register(owner: ForkAware) -> None:
    """Have an object's methods called whenever this process, or such a child, forks.

    Args:
        owner: Held weakly.
    """
    number = next(_numbers)

    def forget(_: object, registered: dict[int, weakref.ref[ForkAware]] = _registered) -> None:
        registered.pop(number, None)

    _registered[number] = weakref.ref(owner, forget)


def _owners() -> list[ForkAware]:
    return [owner for reference in list(_registered.values()) if (owner := reference()) is not None]


def _call_each(call: Callable[[ForkAware], None]) -> None:
    """Call each owner's method, whatever those of others raise: Ctrl-C may come. Python prints what a hook raises."""
    errors: list[BaseException] = []
    for owner in _owners():
        try:
            call(owner)
        except BaseException as error:
            errors.append(error)
    if errors:
        raise errors[0]


# No state is kept between these: a signal handler may fork while its thread is about to.


def _before_fork() -> None:
    deadline = time.monotonic() + TIMEOUT
    _lock.acquire(timeout=TIMEOUT)
    _call_each(lambda owner: owner.before_fork(deadline))


def _after_fork_in_parent() -> None:
    with contextlib.suppress(RuntimeError):  # To get the lock had taken too long.
        _lock.release()
    _call_each(lambda owner: owner.after_fork_in_parent())


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.RLock()
    _call_each(lambda owner: owner.after_fork_in_child())


if hasattr(os, "register_at_fork"):  # Windows has no fork.
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
