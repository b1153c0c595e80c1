"""What to do about errors of CPython's that users meet when they make a mistake, as notes on these errors."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Iterator
from multiprocessing import process

NOT_READY = (
    "It has not got as far as its first job. Its own error is on stderr. If the main module makes the pool when it is "
    'imported, put that under `if __name__ == "__main__":`.'
)
"""Of a worker that ended while it was starting."""

DAEMON = (
    "A daemonic process, as a worker of multiprocessing.Pool is, can have neither a pool nor a log relay. The main "
    "process can, and so can a worker of a ProcessPoolExecutor, and a Process that is made with daemon=False."
)

PICKLABLE = (
    "They must be picklable: take a function at the top level of a module in the place of a lambda or a nested one. "
    "Executors, listeners, futures, locks and open files stay in their process. A worker needs no handler: it logs by "
    "logging.getLogger(), and the parent's handlers get its records."
)


def add_note(error: BaseException, note: str) -> None:
    """Add a note to an error that hasn't got it yet. Raise nothing, whatever the error is like."""
    with contextlib.suppress(Exception):
        if note not in getattr(error, "__notes__", ()):
            error.add_note(note)


def add_note_on_job(error: BaseException, number: int) -> None:
    """Add to the error of a job that can't be pickled what to do about it."""
    add_note(error, f"Job {number} can't be sent to a worker: its function and arguments are pickled. {PICKLABLE}")


def add_note_on_result(error: BaseException, number: int) -> None:
    """Add to the error of a result that can't be pickled what to do about it."""
    add_note(
        error,
        f"What job {number} returned or raised can't be sent to the parent: it is pickled. Handlers, generators, locks "
        "and open files stay in their process. Return plain data.",
    )


@contextlib.contextmanager
def on_start() -> Iterator[None]:
    """Add to an error that keeps a process from being started what to do about it."""
    try:
        yield
    except AssertionError as error:
        if process.current_process().daemon:
            add_note(error, DAEMON)
        raise


@contextlib.contextmanager
def on_worker_start(start_method: str) -> Iterator[None]:
    """Do the same for a worker of a pool.

    Args:
        start_method: The name of the method.
    """
    try:
        with on_start():
            yield
    except (AttributeError, TypeError, pickle.PicklingError) as error:
        if start_method != "fork":
            what = f"With the start method {start_method!r}, the initializer and its arguments are pickled"
            add_note(error, f"{what} for each worker. {PICKLABLE}")
        raise
    except (ConnectionError, EOFError) as error:
        if start_method == "forkserver":  # From Python 3.14 on it imports the main module itself.
            add_note(error, f"The forkserver has ended, and so the worker. {NOT_READY}")
        raise
