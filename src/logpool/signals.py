"""Signals: held for a moment, so that what is done meanwhile isn't interrupted; ignored; and what one does."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator

_FAULTS = ("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL")

_INTERRUPTIONS = (
    set() if sys.platform == "win32" else signal.valid_signals() - {getattr(signal, name) for name in _FAULTS}
)
"""All signals but those of a thread's own fault, which nothing can hold."""


def _is_handled(number: int) -> bool:
    return callable(signal.getsignal(number))


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Has the calling thread not interrupted by signals that Python code handles: they come afterwards.

    With other threads in the process the kernel may give a signal to one of these, and then it interrupts after all. A
    process that is started meanwhile has these signals blocked until it says otherwise.
    """
    if sys.platform == "win32":
        yield
        return
    # Asked first, because the call that blocks may run a handler, which may raise.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        # All at once, because to ask for each takes long enough to be interrupted by a timer.
        signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPTIONS)
        # No loop in Python: handlers run at its jumps, too, some of which CPython (3.13) leaves out of the `try`.
        signal.pthread_sigmask(signal.SIG_SETMASK, before | set(filter(_is_handled, _INTERRUPTIONS)))
        yield
    finally:
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        finally:
            # A handler that another thread's signal has called may have raised before that could be done.
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ends_by_broken_pipes() -> bool:
    """Tells whether a write that nobody can read any more ends this program, as it ends those that aren't Python's."""
    return hasattr(signal, "SIGPIPE") and signal.getsignal(signal.SIGPIPE) is signal.SIG_DFL


def ignore(names: tuple[str, ...]) -> None:
    """Ignores signals, also those that have come while this process was started with them held.

    Args:
        names: Of the signals. Those that this system doesn't have are skipped.
    """
    numbers = {getattr(signal, name) for name in names if hasattr(signal, name)}
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)
