"""`LogManager`: the process in which the log queue lives, from its start to its end.

    parent process                                manager process
    LogManager ── lifeline ──────────────────────▶ serve (server.py)
       binds the socket, starts the process
       queue ◀──── a connection of its own ──────▶

The parent binds the listening socket, so that it knows the address before the process runs: workers and manager start
side by side, in any order, and a worker that is first waits in the socket's backlog. The parent's own connection is
there from the start, so it needs no handshake, and finds a manager that is up or will be. Nothing is ever sent on the
lifeline. Its parent's end is the parent's alone; when that closes, because the parent wants it or because the parent is
dead, the manager leaves.

Knows nothing of logging.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import managers, process, util
from multiprocessing.context import BaseContext
from typing import Any

from logpool import directory, forks, program, signals
from logpool.protocol import UNIX, tuned
from logpool.queues import LogQueue
from logpool.server import Sockets, serve

SHUTDOWN_TIMEOUT = 5.0
"""Seconds that the manager process has to leave before it is killed. It takes milliseconds unless it was stopped."""

CONNECTIONS_WAITING = 128
"""How many connections may wait to be accepted, as in `multiprocessing.managers`."""


DESCRIPTORS = 8
"""How many descriptors the manager process opens before it serves the first worker: two selectors, a pair of sockets,
and for each connection one more while it shakes hands."""


class LogManager(managers.BaseManager):
    """A manager whose process holds one log queue.

    Attributes:
        queue: The queue, for this process and to be handed to others. There from `prepare` on.
        directory: A directory that only this user can enter, for whatever belongs to the queue; None: there is no room
            for one. There from `prepare` on, until `shutdown`.
        lifeline: Its other end is closed when this process ends, or by `shutdown`. There from `prepare` on.
    """

    queue: LogQueue
    directory: str | None
    lifeline: socket.socket

    def __init__(self, backlog: int, ctx: BaseContext | None = None) -> None:
        """Prepares a manager. Nothing is started.

        Args:
            backlog: Bytes that the queue holds before processes that put wait.
            ctx: The multiprocessing context to start the manager process with; None: the default one.
        """
        self._context = ctx or multiprocessing.get_context()
        super().__init__(ctx=self._context)
        self._backlog = backlog
        self.shutdown: Callable[[], object] = _nothing  # type: ignore[assignment]  # BaseManager has none yet.

    def start(self, initializer: Callable[..., object] | None = None, initargs: Iterable[Any] = ()) -> None:
        """Starts the manager process, and doesn't wait until it is up.

        Args:
            initializer: Called in the manager process before it serves.
            initargs: Its arguments.

        Raises:
            OSError: There is no descriptor, port or process left. Nothing is left behind.
        """
        try:
            self.prepare()
            self.launch(initializer, initargs)
        except BaseException:
            self.shutdown()
            raise

    def prepare(self) -> None:
        """Makes all that other processes need. They may be started from now on: who connects waits for the manager.

        If this or `launch` raises anything, `shutdown` is to be called.

        Raises:
            OSError: There is no descriptor or port left.
        """
        with self._undisturbed(), contextlib.ExitStack() as ending:
            self.directory = directory.make()
            ending.callback(directory.remove, self.directory)  # It is the manager's to remove, but that may be killed.
            listening = _listen(self.directory)
            ending.callback(listening.close)
            self._own_end = Lifeline()
            ending.callback(self._own_end.close)
            self.lifeline = self._own_end.other_end
            reader, its_end = socket.socketpair()
            ending.callback(its_end.close)
            # There before a process is forked, which drops what is the parent's alone, as any child does.
            key = bytes(process.current_process().authkey)
            self.queue = LogQueue(listening.getsockname(), key=key, reader=tuned(reader))
            ending.callback(self.queue.close)
            _check_descriptors(its_end)
            self._handover = Handover(Sockets(listening, self.lifeline, its_end))
            self._ending = ending.pop_all()
            # As in BaseManager: also when this is collected, or the interpreter exits.
            self.shutdown = util.Finalize(self, self._ending.close, exitpriority=0)

    def launch(self, initializer: Callable[..., object] | None = None, initargs: Iterable[Any] = ()) -> None:
        """Starts the manager process, when all has been prepared.

        Args:
            initializer: As for `start`.
            initargs: As for `start`.

        Raises:
            OSError: There is no descriptor or process left.
        """
        with self._undisturbed():
            server = self._make_process(initializer, initargs)
            self._handover.start(server)
            self._own_end.watched_by = server
            self._ending.callback(_end, server, self._own_end, self.queue)
            # BaseManager's own record of what its `start` has done. That one waits until the process is up, which is
            # what this one is here to avoid.
            self._address = self.queue.address
            self._state.value = managers.State.STARTED  # type: ignore[attr-defined]

    @contextlib.contextmanager
    def _undisturbed(self) -> Iterator[None]:
        # A Ctrl-C must not leave a part of it behind, or reach the process before that can ignore it. But a forkserver
        # that is started here would hand what is blocked on to all workers.
        forkserver = self._context.get_start_method() == "forkserver"
        with contextlib.nullcontext() if forkserver else signals.held(), forks.by_this_thread_alone():
            yield

    def _make_process(self, initializer: Callable[..., object] | None, initargs: Iterable[Any]) -> process.BaseProcess:
        name = type(self).__name__
        sockets = self._handover.sockets
        if initializer is None and program.serves(self._context.get_start_method()):
            return program.ServerProcess(sockets, self.directory, self._backlog, name)
        made: process.BaseProcess = self._context.Process(  # type: ignore[attr-defined]
            target=serve, args=(sockets, self.directory, self._backlog, initializer, initargs), name=name
        )
        return made


class Handover(forks.ForkAware):
    """What the manager process is to have, as long as this process has it.

    Attributes:
        sockets: The manager process's.
    """

    def __init__(self, sockets: Sockets) -> None:
        """Keeps them until they are handed over, or closed.

        Args:
            sockets: Of these the lifeline is for others as well, and not closed here.
        """
        self.sockets = sockets
        self._is_underway = False
        forks.register(self)

    def start(self, server: process.BaseProcess) -> None:
        """Starts the process that is to have them.

        Args:
            server: The process.
        """
        self._is_underway = True
        server.start()
        self._is_underway = False
        self.close()

    def close(self) -> None:
        """Drops them."""
        self.sockets.listening.close()
        self.sockets.reader.close()

    def after_fork_in_child(self) -> None:
        """No other child must have them: whoever connects to a manager that was killed would wait for that child."""
        if not self._is_underway:
            self.close()


class Lifeline(forks.ForkAware):
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
        """Tells the other processes to leave."""
        self._end.close()
        self.other_end.close()

    def after_fork_in_child(self) -> None:
        """A child that outlives the parent must not make the others believe that the parent lives.

        Nor is the manager process a child of its own. `multiprocessing` forgets its children in those that it forks
        itself; in any other, when it exits, it prints that it can't join them. There is no public way to say so.
        """
        self._end.close()
        process._children.discard(self.watched_by)  # type: ignore[attr-defined]


def _listen(path: str | None) -> socket.socket:
    """Binds a listening socket that nobody but this user can reach, as far as the system has such.

    Args:
        path: Of the directory where to put it; None: nowhere.
    """
    if UNIX is not None and path is not None:
        listening = socket.socket(UNIX, socket.SOCK_STREAM)
        try:
            listening.bind(os.path.join(path, "queue"))
            listening.listen(CONNECTIONS_WAITING)
        except OSError:  # The path is too long for a socket, or the disk full: there is still the loopback interface.
            listening.close()
        else:
            return listening
    return socket.create_server(("127.0.0.1", 0), backlog=CONNECTIONS_WAITING)


def _check_descriptors(example: socket.socket) -> None:
    """Raises what the manager process, if it is forked, would else raise out of sight, later: too many open files."""
    with contextlib.ExitStack() as copies:
        for _ in range(DESCRIPTORS):
            copies.enter_context(example.dup())


def _nothing() -> None:
    """What is to be done to shut down a manager that nothing has been made for."""


def _end(server: process.BaseProcess, lifeline: Lifeline, queue: LogQueue) -> None:
    """Ends the manager process. Runs once, in the process that started it."""
    queue.close()
    lifeline.close()
    server.join(SHUTDOWN_TIMEOUT)
    if server.exitcode is None:
        server.kill()
        server.join()
    with contextlib.suppress(ValueError):  # Where SIGCHLD is ignored nobody knows that it has ended.
        server.close()
