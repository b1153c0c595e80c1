"""The manager process: lets in who has the key, and moves frames until its parent is gone.

    main thread                              a thread for each new connection
    Exchange.run (exchange.py) ── greet ───▶ shakes hands, by `multiprocessing.connection`'s challenges
                               ◀── attach ── the connection's role

The standard library's `multiprocessing.managers.Server` does the same for objects of any kind. This one isn't built on
it: that one wakes up each second, unpickles what it is sent, and takes 10 ms to be imported, which each pool would wait
for. Nothing is unpickled here.

Knows nothing of logging. Everything in this module but `Sockets`, which the parent uses as well, runs in the manager
process.
"""

from __future__ import annotations

import contextlib
import hmac  # noqa: F401  # A handshake imports it. There may be no descriptor left for that by then.
import signal
import socket
import threading
from collections.abc import Callable, Iterable
from multiprocessing import AuthenticationError, connection, process

from logpool import directory, pipes, signals
from logpool.exchange import Exchange
from logpool.hints import Any
from logpool.protocol import ATTACHED, LONGEST_ROLE, PIPED, PUT_BY_SOCKET, UNIX, tuned


class Sockets:
    """What the manager process is handed. It can be pickled while a process is being started."""

    def __init__(self, listening: socket.socket, lifeline: socket.socket, reader: socket.socket) -> None:
        """Keeps them.

        Args:
            listening: On which processes connect.
            lifeline: Its other end is closed when the manager process is to leave.
            reader: Connected to the parent, as one that gets.
        """
        self.listening = listening
        self.lifeline = lifeline
        self.reader = reader


def serve(
    sockets: Sockets,
    path: str | None,
    backlog: int,
    initializer: Callable[..., object] | None = None,
    initargs: Iterable[Any] = (),
) -> None:
    """Serves until the parent is gone or has had enough. What the manager process does.

    Args:
        sockets: This process's from now on.
        path: Of the directory that is to be removed in the end; None: there is none.
        backlog: Bytes that are held before processes that put wait.
        initializer: Called first; None: nothing is.
        initargs: Its arguments.
    """
    # It lives as long as its parent, which may have reasons to survive what a terminal or a supervisor sends to all. So
    # it also survives those that die while it writes to them, where the parent has SIGPIPE's default.
    signal.set_wakeup_fd(-1)  # A forked copy of an asyncio program would write to that program's own.
    signals.ignore(("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGBREAK", "SIGPIPE"))
    try:
        if initializer is not None:
            initializer(*initargs)
        server = Server(sockets, backlog)
        server.run()
    finally:
        directory.remove(path)


class Server:
    """Shakes hands with those who connect, and attaches them to an exchange."""

    def __init__(self, sockets: Sockets, backlog: int) -> None:
        self._key = process.current_process().authkey
        self._exchange = Exchange(sockets.listening, sockets.lifeline, tuned(sockets.reader), backlog, self._greet)
        self.run = self._exchange.run

    def _greet(self, connected: socket.socket, copy: socket.socket) -> None:
        # In a thread: a peer that says nothing must not hold up the others.
        try:
            threading.Thread(target=self._shake_hands, args=(connected, copy), daemon=True).start()
        except RuntimeError:  # No thread is to be had at this moment. Who connected may try again.
            connected.close()
            copy.close()

    def _shake_hands(self, connected: socket.socket, copy: socket.socket) -> None:
        welcome = False
        # Who has no key is dropped, and who has died meanwhile: they are told all there is by the end of file.
        with (
            contextlib.suppress(OSError, EOFError, ValueError, AuthenticationError),
            connection.Connection(connected.detach()) as established,
        ):
            # Not private by name, but not documented either: the other side of what `connection.Client` does.
            connection.deliver_challenge(established, self._key)
            connection.answer_challenge(established, self._key)
            role = established.recv_bytes(LONGEST_ROLE).decode()
            pipe = pipes.make() if role == "put" and copy.family == UNIX else None
            if pipe is None:
                self._exchange.attach(tuned(copy), "put" if role == PUT_BY_SOCKET else role)
                welcome = True
                established.send_bytes(ATTACHED)
            else:
                self._exchange.attach(pipe[0], role)
                established.send_bytes(PIPED)
                pipes.send(pipe[1], copy)
        if not welcome:
            copy.close()
        self._exchange.released()
