"""`Visitor`: a process that has connected, and hasn't proved yet that it may put.

The manager process never waits for what a visitor says, or hears. Nothing that it says is unpickled.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator

from logpool._manager import reading_end
from logpool._manager.reading_end import ReadingEnd
from logpool._transport.handshake import (
    HELLO_SIZE,
    MANAGER,
    NONCE_SIZE,
    NUMBER,
    PIPE,
    PIPED,
    PRODUCER,
    READY,
    REFUSED,
    SOCKET,
    is_proof,
    make_nonce,
    prove,
)
from logpool._transport.wire import UNIX, configure_socket

Stream = socket.socket | ReadingEnd
"""What a producer's frames come by."""


class Visitor:
    """A process that has connected.

    Attributes:
        connected: The connection.
        number: The stream's, once it is a producer.
    """

    number: int

    def __init__(self, connected: socket.socket, key: bytes, numbers: Iterator[int]) -> None:
        """Greet it.

        Args:
            connected: The connection, which was just accepted.
            key: The queue's.
            numbers: The next is that of the next stream.

        Raises:
            OSError: It has gone again.
        """
        self.connected = connected
        self._key = key
        self._numbers = numbers
        self._nonce = make_nonce()
        self._said = b""
        connected.setblocking(False)
        connected.send(self._nonce)  # A new connection has room for that, and for the answer.

    def hear(self) -> Stream:
        """Take what it says. If that is all, answer.

        Returns:
            By what its frames come from now on. If that isn't the connection, the connection isn't needed any more.

        Raises:
            BlockingIOError: It hasn't said all yet.
            OSError: It has gone.
            EOFError: The same.
            ValueError: It has another key, or isn't a producer.
        """
        said = self.connected.recv(HELLO_SIZE - len(self._said))
        if not said:
            raise EOFError
        self._said += said
        if len(self._said) < HELLO_SIZE:
            raise BlockingIOError
        kind, proof = self._said[:1], self._said[1 + NONCE_SIZE :]
        nonces = self._nonce + self._said[1 : 1 + NONCE_SIZE]
        family = self.connected.family
        if kind not in (PIPE, SOCKET) or not is_proof(proof, PRODUCER, family, self._key, nonces):
            self.connected.send(REFUSED)
            raise ValueError("a visitor isn't a producer, or has another key")
        ends = reading_end.make() if kind == PIPE and family == UNIX else None
        self.number = next(self._numbers)
        answer = (PIPED if ends else READY) + NUMBER.pack(self.number)
        self.connected.send(answer + prove(MANAGER, family, self._key, nonces))
        if ends is None:
            return configure_socket(self.connected)
        reading, writing = ends
        reading_end.send(writing, self.connected)
        return reading
