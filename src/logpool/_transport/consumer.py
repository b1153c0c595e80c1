"""`Consumer`: how the process that made the log queue asks the manager process for what is in it.

    request ── ASK, GATHER, NOW, PUT, END ─▶ manager process
    receive ◀────────────────── block ──

Guarantee:
    A signal handler that raises, Ctrl-C say, may interrupt either method anywhere: what was half said is completed by
    the next call, and what was half received is kept. So each call that moves bytes is one call in C that also notes
    what it has moved (`list.extend(map(...))`), as handlers run between calls.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import deque
from multiprocessing import connection

from logpool._transport.wire import ASK, BLOCK_HEADER, ENDED, GATHER, NO_SIGNAL, NOW

FIRST = 2**14
"""Bytes that are received at once before it is known how many come: a small answer costs one system call."""


class Consumer:
    """The consumer's end of a connection to the manager process.

    Attributes:
        asked: Whether an answer is due, or here and not taken yet.
        incoming: The parts of it that are here.
        left: What is `incoming` once the answer is taken: a part of another, if an interrupted call has asked twice.
    """

    def __init__(self, connected: socket.socket) -> None:
        """Take over a connected socket, by which the manager process knows its consumer."""
        self._socket = connected
        # Reentrant: a signal handler may make a request while its thread is sending one.
        self._send_lock = threading.RLock()
        self._sending = False
        self._requests: deque[tuple[bytes, list[int]]] = deque()  # Each with the sizes of its parts that are out.
        self.asked: bool = False  # Whether an answer is due.
        self.incoming: list[bytes] = []
        self.left: list[bytes] = []

    def request(self, message: bytes) -> None:
        """Say something to the manager process.

        Called by a signal handler that has interrupted a request, it returns at once, and the interrupted one sends
        the message.

        Raises:
            OSError: The manager process is gone.
        """
        self._requests.append((message, []))
        with self._send_lock:
            if self._sending:
                return
            while self._requests:
                self._sending = True
                try:
                    self._send()
                finally:
                    self._sending = False

    def _send(self) -> None:
        while self._requests:
            message, sizes = self._requests[0]
            rest = memoryview(message)[sum(sizes) :]
            if rest:
                sizes.extend(map(self._socket.send, (rest,), (NO_SIGNAL,)))
            else:
                self._requests.popleft()

    def receive(self, timeout: float | None = None, *, gather: bool = False) -> bytes | None:
        """Ask for a block and wait for it. One thread at a time may do so.

        The block is returned again by the next call, until `incoming` is what is `left`, and `asked` is reset.

        Args:
            timeout: Seconds to wait before an empty block will do; None: as long as it takes.
            gather: Whether to ask for many frames, a moment later. `request(NOW)` ends the moment.

        Returns:
            Frames, one behind the other; None: the queue has ended.

        Raises:
            OSError: The manager process is gone.
            EOFError: The manager process is gone.
        """
        if not self.asked:
            self.request(GATHER if gather else ASK)
            self.asked = True
        parts = self.incoming
        # Where a part of the answer is here, because the last call was interrupted, the rest is on its way.
        if timeout is not None and not parts and not (timeout and connection.wait([self._socket], timeout)):
            self.request(NOW)
        self._receive_all(parts, BLOCK_HEADER.size, FIRST, 0)
        (length,) = BLOCK_HEADER.unpack_from(parts[0])
        if length == ENDED:
            return None
        size = BLOCK_HEADER.size + length
        self._receive_all(parts, size, size, socket.MSG_WAITALL)
        (whole,) = parts
        self.left = [whole[size:]] if len(whole) > size else []
        return whole[BLOCK_HEADER.size : size]

    def _receive_all(self, parts: list[bytes], least: int, most: int, flags: int) -> None:
        """Receive bytes, and put the parts together, when they are `least` bytes at least."""
        while (size := sum(map(len, parts))) < least:
            parts.extend(map(self._socket.recv, (most - size,), (flags,)))
            if not parts[-1]:
                raise EOFError("the log manager is gone")
        if len(parts) > 1:
            parts[:] = [b"".join(parts)]

    def shut_down(self) -> None:
        """End the connection, and have a thread that waits for a block told. `close` is still to be called."""
        with contextlib.suppress(OSError):  # It is closed, or the manager process is gone.
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close this process's copy of the connection alone."""
        self._socket.close()
