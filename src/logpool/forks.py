"""What a forked child must not share with its parent.

A child that is forked, by whatever means, has copies of its parent's descriptors and locks. A stream of frames that two
processes write into is garbage, and a socket's other end sees no end of file while any process holds a copy. So an
object that owns such things registers here, and drops its copies in every forked child.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class ForkAware(Protocol):
    """An object that drops what a forked child must not share."""

    def after_fork_in_child(self) -> None:
        """Called in the child, by its only thread, before anything else runs there."""


_registered: weakref.WeakSet[ForkAware] = weakref.WeakSet()


def register(owner: ForkAware) -> None:
    """Has `owner.after_fork_in_child()` called in every child that this process, or such a child, forks.

    Args:
        owner: Held weakly.
    """
    _registered.add(owner)


def _after_fork_in_child() -> None:
    for owner in list(_registered):
        owner.after_fork_in_child()


if hasattr(os, "register_at_fork"):  # Windows has no fork.
    os.register_at_fork(after_in_child=_after_fork_in_child)
