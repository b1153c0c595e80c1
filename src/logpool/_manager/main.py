"""What the manager process runs, from its start to its end.

    start method      how the manager process comes to `serve`
    fork              it is forked from the parent, and calls it
    forkserver, spawn `python -c ... main(pipe)`, a program of its own (POSIX)
    spawn             the target of a `multiprocessing.Process` (Windows, frozen programs)

As a program of its own it imports nothing of the user's: it needs no object of theirs, is up in less time, takes less
memory, and what a main module does when it is imported is done once less.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket

from logpool._manager.server import Server, Sockets
from logpool._process import directory, signals


def serve(sockets: Sockets, path: str | None, key: bytes, backlog: int) -> None:
    """Serve until the parent is gone or has closed its end of the parent sentinel.

    Args:
        sockets: This process's from now on.
        path: The directory that is to be removed in the end; None: there is none.
        key: By which producers prove that they may connect.
        backlog: Bytes that are held before producers wait.
    """
    # It lives as long as its parent, which may have reasons to survive what a terminal or a supervisor sends to all. So
    # it also survives producers that die while it writes to them, where the parent has SIGPIPE's default.
    signal.set_wakeup_fd(-1)  # A forked copy of an asyncio program would write to that program's own.
    signals.ignore(("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGBREAK", "SIGPIPE"))
    try:
        Server(sockets, key, backlog).run()
    finally:
        directory.remove(path)


def main(pipe: int) -> None:
    """Run the program.

    Args:
        pipe: The descriptor from which it reads what it needs.
    """
    with open(pipe, "rb") as source:
        descriptors, arguments = pickle.load(source)
    serve(Sockets(*(socket.socket(fileno=descriptor) for descriptor in descriptors)), *arguments)
    # As a forked process ends: nothing is left to be done, and the parent waits.
    os._exit(0)
