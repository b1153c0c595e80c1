"""Signals: block them for a moment, ignore them, and tell what one of them does."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator

_FAULTS = ("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL")

_MASKABLE: frozenset[int] = (
    frozenset()
    if sys.platform == "win32"
    else frozenset(map(int, signal.valid_signals() - {getattr(signal, name) for name in _FAULTS}))
)
"""All signals but those of a thread's own fault, which can't be blocked."""


@contextlib.contextmanager
def blocked() -> Iterator[set[int]]:
    """Block, in the calling thread, the signals that Python code handles. Their handlers run afterwards.

    In a process with several threads the kernel may give a signal to another thread, and then its handler interrupts
    the main thread after all. A process that is started meanwhile has these signals blocked until it unblocks them.

    Yields:
        The signals that were blocked before, for `restore` in such a process.
    """
    if sys.platform == "win32":
        yield set()
        return
    # Here, because the manager process, which blocks none, needs nothing of it.
    from logpool._process.cpython import handled_signals, mask_signals

    # Asked first, because the call that blocks may run a handler, which may raise.
    before = mask_signals(signal.SIG_BLOCK, ())
    try:
        # All at once, because to ask for each takes long enough to be interrupted by a timer.
        mask_signals(signal.SIG_BLOCK, _MASKABLE)
        mask_signals(signal.SIG_SETMASK, before | handled_signals(_MASKABLE))
        yield before
    finally:
        try:
            mask_signals(signal.SIG_SETMASK, before)
        finally:
            # The first call runs the handlers of what has come meanwhile; one that raises may do so before the mask is
            # set.
            mask_signals(signal.SIG_SETMASK, before)


def restore(mask: set[int]) -> None:
    """Block these signals and no others, in a process that was started while more were blocked."""
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def broken_pipe_is_fatal() -> bool:
    """Tell whether SIGPIPE ends this process: Python ignores it, but a program may have restored its default."""
    return hasattr(signal, "SIGPIPE") and signal.getsignal(signal.SIGPIPE) is signal.SIG_DFL


def ignore(names: tuple[str, ...]) -> None:
    """Ignore signals, and unblock them, so that those which came while this process was started are dropped as well.

    Args:
        names: The signals' names. Those that this system doesn't have are skipped.
    """
    numbers = {getattr(signal, name) for name in names if hasattr(signal, name)}
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)
