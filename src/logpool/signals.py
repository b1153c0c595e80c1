"""Signals that are held for a moment: what is done meanwhile isn't interrupted, and what is started isn't ended."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Has the calling thread not interrupted by signals that Python code handles: they come afterwards.

    With other threads in the process the kernel may give a signal to one of these, and then it interrupts after all. A
    process that is started meanwhile has these signals blocked until it says otherwise.
    """
    if sys.platform == "win32":
        yield
        return
    handled = {number for number in signal.valid_signals() if callable(signal.getsignal(number))}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, handled)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ignore(names: tuple[str, ...]) -> None:
    """Ignores signals, also those that have come while this process was started with them held.

    Args:
        names: Those that this system doesn't have mean nothing.
    """
    numbers = {getattr(signal, name) for name in names if hasattr(signal, name)}
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)
