"""`LogManager`: the process in which the log queue lives, from its start to its end.

    parent process                                manager process
    LogManager ── lifeline ──────────────────────▶ serve (server.py)
       binds the socket, starts the process
       queue ◀──── a connection of its own ──────▶

The parent binds the listening socket, so that it knows the address before the process runs: workers and manager start
side by side, and a worker that is first waits in the socket's backlog. The parent's own connection is there from the
start, so it needs no handshake, and finds a manager that is up or will be. Nothing is ever sent on the lifeline. Its
parent's end is the parent's alone; when that closes, because the parent wants it or because the parent is dead, the
manager leaves.

Knows nothing of logging.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import socket
import tempfile
from collections.abc import Callable, Iterable
from multiprocessing import managers, process, util
from multiprocessing.context import BaseContext
from typing import Any

from logpool import forks, program, signals
from logpool.protocol import UNIX, tuned
from logpool.queues import LogQueue
from logpool.server import Sockets, remove, serve

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
        queue: The queue, for this process and to be handed to others. There from `start` on.
        directory: A directory that only this user can enter, for whatever belongs to the queue; None: there is no room
            for one. There from `start` on, until `shutdown`.
        lifeline: Its other end is closed when this process ends, or by `shutdown`. There from `start` on.
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

    def start(self, initializer: Callable[..., object] | None = None, initargs: Iterable[Any] = ()) -> None:
        """Starts the manager process, and doesn't wait until it is up.

        Args:
            initializer: Called in the manager process before it serves.
            initargs: Its arguments.

        Raises:
            OSError: There is no descriptor, port or process left. Nothing is left behind.
        """
        # A Ctrl-C must not leave a part of this behind, or reach the process before that can ignore it. But a
        # forkserver that is started here would hand what is blocked on to all workers.
        forkserver = self._context.get_start_method() == "forkserver"
        held = contextlib.nullcontext() if forkserver else signals.held()
        with held, forks.by_this_thread_alone(), contextlib.ExitStack() as on_error:
            directory = _make_directory(on_error)
            with contextlib.closing(_listen(directory)) as listening:
                lifeline = Lifeline(on_error)
                reader, its_end = socket.socketpair()
                # There before the process is forked, which drops what is the parent's alone, as any child does.
                key = bytes(process.current_process().authkey)
                queue = LogQueue(listening.getsockname(), key=key, reader=tuned(reader))
                on_error.callback(queue.close)
                with its_end:
                    _check_descriptors(its_end)
                    sockets = Sockets(listening, lifeline.other_end, its_end)
                    server = self._make_process(sockets, directory, initializer, initargs)
                    server.start()
            on_error.pop_all()
            self.queue = queue
            self.directory = directory
            self.lifeline = lifeline.other_end
            self.shutdown = util.Finalize(  # As in BaseManager: also when this is collected, or the interpreter exits.
                self, _shut_down, args=(server, lifeline, directory, queue), exitpriority=0
            )
            # BaseManager's own record of what its `start` has done. That one waits until the process is up, which is
            # what this one is here to avoid.
            self._address = queue.address
            self._state.value = managers.State.STARTED  # type: ignore[attr-defined]

    def _make_process(
        self,
        sockets: Sockets,
        directory: str | None,
        initializer: Callable[..., object] | None,
        initargs: Iterable[Any],
    ) -> process.BaseProcess:
        name = type(self).__name__
        if initializer is None and program.serves(self._context.get_start_method()):
            return program.ServerProcess(sockets, directory, self._backlog, name)
        made: process.BaseProcess = self._context.Process(  # type: ignore[attr-defined]
            target=serve, args=(sockets, directory, self._backlog, initializer, initargs), name=name
        )
        return made


class Lifeline(forks.ForkAware):
    """The parent's end of a pair of sockets by which other processes know that their parent lives.

    Attributes:
        other_end: Theirs.
    """

    def __init__(self, on_error: contextlib.ExitStack) -> None:
        self._end, self.other_end = socket.socketpair()
        on_error.callback(self.close)
        forks.register(self)

    def close(self) -> None:
        """Tells the other processes to leave."""
        self._end.close()
        self.other_end.close()

    def after_fork_in_child(self) -> None:
        """A child that outlives the parent must not make the others believe that the parent lives."""
        self._end.close()


def _make_directory(on_error: contextlib.ExitStack) -> str | None:
    with contextlib.suppress(OSError):
        directory = tempfile.mkdtemp(prefix="logpool-")  # Its mode is 0700.
        on_error.callback(remove, directory)
        return directory
    return None


def _listen(directory: str | None) -> socket.socket:
    """Binds a listening socket that nobody but this user can reach, as far as the system has such.

    Args:
        directory: Where to put it; None: nowhere.
    """
    if UNIX is not None and directory is not None:
        listening = socket.socket(UNIX, socket.SOCK_STREAM)
        try:
            listening.bind(os.path.join(directory, "queue"))
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


def _shut_down(server: process.BaseProcess, lifeline: Lifeline, directory: str | None, queue: LogQueue) -> None:
    """Ends the manager process. Runs once, in the process that started it."""
    queue.close()
    lifeline.close()
    server.join(SHUTDOWN_TIMEOUT)
    if server.exitcode is None:
        server.kill()
        server.join()
    with contextlib.suppress(ValueError):  # Where SIGCHLD is ignored nobody knows that it has ended.
        server.close()
    if directory is not None:  # It is the manager's to remove, but the manager may have been killed.
        remove(directory)
