"""Signals that are held while something must not be interrupted."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from logpool._process import signals


class Interruption(BaseException):
    pass


armed: list[bool] = []


def interrupt(number: int, frame: object) -> None:
    if armed:
        armed.clear()
        raise Interruption


@pytest.fixture
def interruptions() -> Iterator[None]:
    """SIGALRM raises."""
    before = signal.signal(signal.SIGALRM, interrupt)
    armed.append(True)
    yield
    armed.clear()
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("interruptions")
def test_a_signal_that_python_handles_comes_afterwards() -> None:
    reached = []

    def interrupt_oneself() -> None:
        with signals.blocked():
            # To this thread alone: another one may take what is for the process.
            signal.pthread_kill(threading.get_ident(), signal.SIGALRM)
            reached.append(True)

    with pytest.raises(Interruption):
        interrupt_oneself()
    assert reached


@pytest.mark.usefixtures("interruptions")
def test_only_signals_that_python_handles_are_blocked() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with signals.blocked():
        held = signal.pthread_sigmask(signal.SIG_BLOCK, ()) - before
    assert held >= {signal.SIGALRM, signal.SIGINT}
    assert held.isdisjoint({signal.SIGTERM, signal.SIGSEGV})


@pytest.mark.usefixtures("interruptions")
def test_no_signal_is_left_blocked_by_a_handler_that_raises_at_any_moment() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    interrupted = 0
    for moment in range(5_000):
        try:
            armed.append(True)
            signal.setitimer(signal.ITIMER_REAL, (moment % 50 + 1) * 1e-6)
            with signals.blocked():
                pass
            with signals.blocked():
                pass
            armed.clear()
        except Interruption:
            interrupted += 1
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
    assert interrupted > 0
