"""What the manager process runs, from its start to its end.

    start method      how the manager process comes to `serve`
    fork              `serve_forked`: it is forked from the parent
    forkserver        `serve_forked`: it is forked from the forkserver, if there is one
    forkserver, spawn `python -c ... main(pipe)`, a program of its own (POSIX)
    spawn             the target of a `multiprocessing.Process` (Windows, frozen programs)

It imports nothing of the user's: it needs no object of theirs, is up in less time, takes less memory, and what a main
module does when it is imported is done once less.
"""

from __future__ import annotations

import gc
import marshal
import os
import signal
import socket
import sys

from logpool._manager.broker import Broker
from logpool._process import directory, signals
from logpool._transport.wire import UNIX, configure_socket

Arguments = tuple[str | None, bytes, int]
"""What `serve` takes besides the sockets."""


class Sockets:
    """What the manager process is handed. It can be pickled while a process is being started."""

    def __init__(self, listening: socket.socket, sentinel: socket.socket, consumer: socket.socket) -> None:
        """Keep them.

        Args:
            listening: On which producers connect.
            sentinel: Its other end is closed when the manager process is to leave.
            consumer: Connected to the parent, as the one that gets.
        """
        self.listening = listening
        self.sentinel = sentinel
        self.consumer = consumer


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
    signals.ignore(("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGBREAK", "SIGPIPE"))
    if sockets.listening.family != UNIX:
        import hmac  # noqa: F401  # A handshake imports it. There may be no descriptor left for that by then.
    try:
        consumer = configure_socket(sockets.consumer)
        Broker(sockets.listening, sockets.sentinel, consumer, key, backlog).run()
    finally:
        directory.remove(path)


def serve_forked(descriptors: list[int], arguments: Arguments, *others: int) -> None:
    """Serve in a forked process, then end it: what it was forked from was doing something else.

    Args:
        descriptors: Of the sockets, in the order in which `Sockets` takes them.
        arguments: As for `serve`.
        *others: Descriptors that the process is to keep.
    """
    code = 1
    try:
        # What the memory holds is never freed here: an object whose descriptor is closed below would close the one that
        # has got its number.
        gc.freeze()
        own = {*descriptors, *others}
        _close_all_but({0, 1, 2} | own)
        if 0 not in own:  # Or the program was started without stdin.
            nothing = os.open(os.devnull, os.O_RDONLY)  # In its place, as in each child of `multiprocessing`.
            if nothing != 0:
                os.dup2(nothing, 0)
                os.close(nothing)
        serve(_take_over(descriptors), *arguments)
        code = 0
    except BaseException:
        sys.__excepthook__(*sys.exc_info())
    finally:
        os._exit(code)


def _take_over(descriptors: list[int]) -> Sockets:
    return Sockets(*(socket.socket(fileno=descriptor) for descriptor in descriptors))


def _close_all_but(kept: set[int]) -> None:
    ends = sorted(kept)
    for one, next_one in zip(ends, [*ends[1:], _descriptor_limit(ends[-1] + 1)]):
        if one + 1 < next_one:
            os.closerange(one + 1, next_one)


def _descriptor_limit(least: int) -> int:
    """Return a number that is greater than that of any descriptor."""
    # The limit may be a thousand million, and some systems close one number after the other.
    try:
        return max(map(int, os.listdir("/dev/fd")), default=least) + 1
    except OSError:
        return os.sysconf("SC_OPEN_MAX")


def main(pipe: int) -> None:
    """Run the program.

    Args:
        pipe: The descriptor from which it reads what it needs.
    """
    with open(pipe, "rb") as source:
        descriptors, arguments = marshal.load(source)
    serve(_take_over(descriptors), *arguments)
    # As a forked process ends: nothing is left to be done, and the parent waits.
    os._exit(0)
