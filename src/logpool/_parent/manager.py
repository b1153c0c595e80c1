"""`LogManager`: the handle of the manager process, in which the log queue lives.

    parent process                                manager process
    LogManager ── parent sentinel ───────────────▶ serve (_manager/main.py)
       binds the socket, starts the process
       queue ◀──── a connection of its own ──────▶

The parent binds the listening socket, so that it knows the address before the process runs: workers and manager start
side by side, in any order, and a worker that is first waits in the socket's backlog. The parent's own connection is
there from the start, so it needs no handshake, and finds a manager that is up or will be. Nothing is ever sent on the
parent sentinel. Its parent's end is the parent's alone; when that closes, because the parent wants it or because the
parent is dead, the manager leaves.

How the process is started is in manager_process.py. Knows nothing of logging.
"""

from __future__ import annotations

import contextlib
import enum
import multiprocessing
import os
import socket
import threading
from collections.abc import Callable
from multiprocessing import process, util
from multiprocessing.context import BaseContext

from logpool._manager.main import Sockets
from logpool._parent.manager_process import check_descriptors, make_process
from logpool._process import cpython, directory, forks, signals
from logpool._process.hints import Any
from logpool._transport.consumer import Consumer
from logpool._transport.queue import LogQueue
from logpool._transport.wire import UNIX, configure_socket

SHUTDOWN_TIMEOUT = 5.0
"""Seconds that the manager process has to leave before it is killed. It takes milliseconds unless it was stopped."""

CONNECTIONS_WAITING = 128
"""How many connections may wait to be accepted, as with the managers of `multiprocessing`."""


class State(enum.Enum):
    """How far a manager has come. Each step leads to the next; `shutdown` leads from any to the last."""

    NEW = "new"
    PREPARED = "prepared"  # Other processes may be started: what they need is there.
    RUNNING = "running"  # The manager process was started.
    CLOSED = "closed"


class LogManager:
    """The handle of a process that holds one log queue.

    Attributes:
        state: How far it has come.
        queue: The queue, for this process and to be handed to others. There from `prepare` on.
        directory: A directory that only this user can enter, for whatever belongs to the queue; None: no place has room
            for one. There from `prepare` on, until `shutdown`.
        parent_sentinel: Its other end is closed when this process ends, or by `shutdown`. There from `prepare` on.
        fell_back: Whether the loopback interface is used although the system has Unix sockets. There from `prepare` on.
    """

    queue: LogQueue
    directory: str | None
    parent_sentinel: socket.socket
    fell_back: bool

    def __init__(
        self,
        backlog: int,
        ctx: BaseContext | None = None,
        rebuild: Callable[[bytes | memoryview], Any] = bytes,
        *,
        is_hidden: bool = False,
    ) -> None:
        """Create a manager in the state NEW. Nothing is started.

        Args:
            backlog: Bytes that the queue holds before producers wait.
            ctx: The multiprocessing context to start the manager process with; None: the default one.
            rebuild: As for `LogQueue`.
            is_hidden: Whether to hide the process from `multiprocessing`. A hidden process isn't among the
                `active_children`, which a program may wait for, takes no number from the names of other processes, and
                outlives the other children where the interpreter exits.
        """
        self._is_hidden = is_hidden
        self._context = ctx or multiprocessing.get_context()
        self._backlog = backlog
        self._rebuild = rebuild
        self._parts = _Parts()
        self.state = State.NEW

    @property
    def exit_priority(self) -> int:
        """When an exiting interpreter shuts it down: before `multiprocessing` joins the children; if hidden, after."""
        return -2 if self._is_hidden else 0

    def start(self) -> None:
        """Start the manager process, and don't wait until it is up.

        Raises:
            OSError: There is no descriptor, port or process left. Nothing is left behind.
        """
        try:
            self.prepare()
            self.launch()
        except BaseException:
            self.shutdown()
            raise

    def __enter__(self) -> LogManager:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.shutdown()

    def prepare(self) -> None:
        """Make all that other processes need. They may be started from now on: a producer waits for the manager.

        If this or `launch` raises anything, `shutdown` is to be called.

        Raises:
            OSError: There is no descriptor or port left.
        """
        assert self.state is State.NEW
        parts = self._parts
        # Also when this is collected, or the interpreter exits.
        self._finalize = util.Finalize(self, parts.close, exitpriority=self.exit_priority)
        # A child that another thread forks meanwhile would have copies that it doesn't know of.
        with signals.blocked(), forks.no_concurrent_fork():
            self.directory = parts.directory = directory.make()
            listening = parts.keep(_listen(self.directory))
            parts.parent_sentinel = ParentSentinel()
            self.parent_sentinel = parts.parent_sentinel.other_end
            ours, theirs = socket.socketpair()
            consumer = Consumer(configure_socket(ours))
            parts.keep(theirs)
            self.queue = parts.queue = LogQueue(
                listening.getsockname(), self.directory, consumer=consumer, rebuild=self._rebuild
            )
            self.fell_back = UNIX is not None and listening.family != UNIX
            check_descriptors(theirs)
            parts.handover = Handover(Sockets(listening, self.parent_sentinel, theirs))
        self.state = State.PREPARED

    def launch(self) -> None:
        """Start the manager process, when all has been prepared.

        Raises:
            OSError: There is no descriptor or process left.
        """
        assert self.state is State.PREPARED
        parts = self._parts
        assert parts.handover is not None
        assert parts.parent_sentinel is not None
        key = process.current_process().authkey if self.directory is None else directory.read_key(self.directory)
        arguments = (self.directory, bytes(key), self._backlog)
        # A Ctrl-C must not leave a part of it behind, or reach the process before that can ignore it.
        with signals.blocked():
            server = make_process(self._context, parts.handover.sockets, arguments, name=type(self).__name__)
            if self._is_hidden:
                cpython.give_number_back(server)
            parts.handover.start(server)
            parts.process = parts.parent_sentinel.watched_by = server
            if self._is_hidden:
                cpython.forget_child(server)
        self.state = State.RUNNING

    def shutdown(self) -> None:
        """End the manager process, and drop all that was prepared. It may be repeated if it was interrupted."""
        self._parts.close()
        self.state = State.CLOSED
        if hasattr(self, "_finalize"):
            self._finalize.cancel()


class _Parts:
    """What a manager has made in this process, so that all of it can be dropped; again, if that was interrupted."""

    def __init__(self) -> None:
        self.directory: str | None = None
        self.parent_sentinel: ParentSentinel | None = None
        self.queue: LogQueue | None = None
        self.handover: Handover | None = None
        self.process: process.BaseProcess | None = None
        self._sockets: list[socket.socket] = []
        self._lock = threading.RLock()  # Reentrant, as a collection of garbage may call `close` anywhere.

    def keep(self, item: socket.socket) -> socket.socket:
        """Have a socket closed with the rest."""
        self._sockets.append(item)
        return item

    def close(self) -> None:
        """Drop all, and wait until the manager process has ended."""
        with self._lock:
            if self.queue is not None:
                self.queue.close()
            if self.parent_sentinel is not None:
                self.parent_sentinel.close()
            for item in self._sockets:
                item.close()
            if self.process is not None:
                _end(self.process)
                self.process = None
            directory.remove(self.directory)  # It is the manager's to remove, but that may have been killed.
            self.directory = None


class Handover(forks.ForkAware):
    """What the manager process is to have, as long as this process has it.

    Attributes:
        sockets: The manager process's.
    """

    def __init__(self, sockets: Sockets) -> None:
        """Keep them until they are handed over.

        Args:
            sockets: Of these the parent sentinel is for workers as well, and not closed here.
        """
        self.sockets = sockets
        self._starter: int | None = None  # The thread that is starting the manager process.
        forks.register(self)

    def start(self, server: process.BaseProcess) -> None:
        """Start the process that is to have them."""
        self._starter = threading.get_ident()
        try:
            server.start()
        finally:
            self._starter = None
        self._close()

    def _close(self) -> None:
        self.sockets.listening.close()
        self.sockets.consumer.close()

    def after_fork_in_child(self) -> None:
        """Close them in any other child: a producer that connects after the manager was killed would wait for it."""
        if self._starter != threading.get_ident():
            self._close()


class ParentSentinel(forks.ForkAware):
    """The parent's end of a pair of sockets by which other processes know that their parent lives.

    Attributes:
        other_end: What workers and the manager process have.
        watched_by: The manager process, when there is one.
    """

    watched_by: process.BaseProcess | None = None

    def __init__(self) -> None:
        self._end, self.other_end = socket.socketpair()
        forks.register(self)

    def close(self) -> None:
        """Tell the other processes to leave."""
        self._end.close()
        self.other_end.close()

    def after_fork_in_child(self) -> None:
        """Close the parent's end: a child that outlives the parent must not make the others believe that it lives.

        Nor is the manager process a child of the child's.
        """
        self._end.close()
        cpython.forget_child(self.watched_by)


def _listen(path: str | None) -> socket.socket:
    """Bind a listening socket that no other user can reach, as far as the system has such.

    Args:
        path: Of the directory where to put it; None: nowhere.
    """
    if UNIX is not None and path is not None:
        listening = socket.socket(UNIX, socket.SOCK_STREAM)
        try:
            listening.bind(os.path.join(path, "queue"))
            listening.listen(CONNECTIONS_WAITING)
        except OSError:  # The disk is full, say. There is still the loopback interface.
            listening.close()
        else:
            return listening
    return socket.create_server(("127.0.0.1", 0), backlog=CONNECTIONS_WAITING)


def _end(server: process.BaseProcess) -> None:
    server.join(SHUTDOWN_TIMEOUT)
    if server.exitcode is None:
        server.kill()
        server.join()
    with contextlib.suppress(ValueError):  # Where SIGCHLD is ignored nothing tells that it has ended.
        server.close()
