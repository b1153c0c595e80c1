"""`Server`: lets producers in that have the key, and adds them to the broker.

    main thread                                  a thread for each new connection
    Broker.run (broker.py) ── on_connect ──────▶ shakes hands, by `multiprocessing.connection`'s challenges
                           ◀── add_producer ──── the producer's stream

The standard library's `multiprocessing.managers.Server` does the same for objects of any kind. This one isn't built on
it: that one wakes up each second, unpickles what it is sent, and takes 10 ms to be imported, which each pool would wait
for. Nothing is unpickled here.
"""

from __future__ import annotations

import contextlib
import hmac  # noqa: F401  # A handshake imports it. There may be no descriptor left for that by then.
import socket
import threading
from multiprocessing import AuthenticationError, connection

from logpool._manager.broker import Broker
from logpool._transport import pipe
from logpool._transport.wire import LONGEST_HELLO, PIPE, PIPED, READY, SOCKET, STREAM_NUMBER, UNIX, configure_socket


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


class Server:
    """Shakes hands with processes that connect, and adds them to a broker."""

    def __init__(self, sockets: Sockets, key: bytes, backlog: int) -> None:
        self._key = key
        consumer = configure_socket(sockets.consumer)
        self._broker = Broker(sockets.listening, sockets.sentinel, consumer, backlog, self._on_connect)
        self.run = self._broker.run

    def _on_connect(self, connected: socket.socket, copy: socket.socket) -> None:
        # In a thread: a peer that says nothing must not hold up the others.
        try:
            threading.Thread(target=self._shake_hands, args=(connected, copy), daemon=True).start()
        except RuntimeError:  # No thread is to be had at this moment. The peer may try again.
            connected.close()
            copy.close()

    def _shake_hands(self, connected: socket.socket, copy: socket.socket) -> None:
        welcome = False
        # A peer without the key is dropped, and so is one that has died: the end of file tells it all there is.
        with (
            contextlib.suppress(OSError, EOFError, ValueError, AuthenticationError),
            connection.Connection(connected.detach()) as established,
        ):
            # Not private by name, but not documented either: the other side of what `connection.Client` does.
            connection.deliver_challenge(established, self._key)
            connection.answer_challenge(established, self._key)
            hello = established.recv_bytes(LONGEST_HELLO)
            if hello not in (PIPE, SOCKET):
                raise ValueError(f"a producer said {hello!r}")
            ends = pipe.make() if hello == PIPE and copy.family == UNIX else None
            if ends is None:
                number = self._broker.add_producer(configure_socket(copy))
                welcome = True
                established.send_bytes(READY + STREAM_NUMBER.pack(number))
            else:
                number = self._broker.add_producer(ends[0])
                established.send_bytes(PIPED + STREAM_NUMBER.pack(number))
                pipe.send(ends[1], copy)
        if not welcome:
            copy.close()
        self._broker.connection_closed()
