"""`LogQueue`: the log queue as each process sees it.

The queue itself lives in the manager process (exchange.py). A process that puts has a pipe of its own to it, or a
socket where there are no pipes that serve (pipes.py). A put is one write of one frame into that, with no reply: what
was put has left the process, and is in the kernel when the process dies. A process that gets has a socket, on which it
asks and is answered with all frames that there are.

    process that puts                      manager process            process that gets
    put ── frame, frame, frame, ... ─────▶  Exchange ◀─── ASK ─────── get
                                                     ── block ──────▶
                                                     ◀─── PUT frame ─ put: behind all that was put before

Over AF_INET each put is acknowledged, and waits for that: what TCP has taken may come later than what another process
puts afterwards, and the kernel may not have passed it on when the process dies. Over AF_UNIX it is in the receiver's
queue when the write returns.

A put by a process that gets goes by way of its socket, and the manager gives it its place behind everything that
any process had put before. So a sentinel ends a `QueueListener` after the last record, as with any other queue.

What an item is, is the business of items.py.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from multiprocessing import AuthenticationError, connection, process

from logpool import forks, pipes, signals
from logpool.frames import LARGE, Frame, split
from logpool.hints import Any
from logpool.items import decode, encode, header_of
from logpool.protocol import (
    ASK,
    ATTACHED,
    BLOCK_HEADER,
    LAST,
    NO_SIGNAL,
    NOW,
    PIPED,
    PUT,
    PUT_BY_SOCKET,
    UNIX,
    Address,
    tuned,
)

Stream = socket.socket | pipes.WritingEnd
"""What a process puts into."""


class LogQueue(forks.ForkAware):
    """A multi-process queue for log records, with the face of `queue.Queue`.

    It can be handed to child processes of any start method, and works with the standard library's
    `logging.handlers.QueueHandler` and `QueueListener`.

    Items of one thread are got in the order in which they were put. The queue is bounded, in bytes: a put waits while
    the manager holds as much as it may; but not one by a process that gets, which could wait for itself. Several
    processes may get; each item goes to one of them.

    An instance may be used by all threads of a process, by signal handlers, and by forked children.

    Attributes:
        address: Where the manager process listens.
        before_get: Called once, before the first `get` by anyone but the listener that set it.
    """

    before_get: Callable[[], object] | None

    def __init__(self, address: Address, *, key: bytes | None = None, reader: socket.socket | None = None) -> None:
        """Makes the queue's face for this process. Nothing is connected before the first put or get.

        Args:
            address: Where the manager process listens.
            key: By which processes know each other; None: the `authkey` that this process has when it connects.
            reader: A socket by which the manager knows this process as one that gets; the queue's from now on. With
                it, each put takes its place behind all that was put before; without it, from the first get on.
        """
        self.address = address
        self._key = key
        self._family: int = UNIX if isinstance(address, str) else socket.AF_INET
        self._acknowledged = self._family == socket.AF_INET
        self._begin(reader)
        forks.register(self)

    def _begin(self, reader: socket.socket | None = None) -> None:
        # Reentrant: a signal handler may log while its thread is writing, or waiting for an answer.
        self._put_lock = threading.RLock()
        self._writing = False
        self._writer: Stream | None = None
        self._spare: list[Stream] = []
        self._ordered = reader is not None
        self._get_lock = threading.RLock()
        self._ask_lock = threading.RLock()
        self._reader = reader
        self._asked: socket.socket | None = None  # The reader that owes an answer.
        self._asking = False
        self._got: deque[Frame] = deque()
        self.before_get = None

    def __reduce__(self) -> tuple[type[LogQueue], tuple[Address]]:
        # The key to the manager isn't pickled: every child process inherits its parent's `authkey`.
        return LogQueue, (self.address,)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {self.address!r}>"

    def after_fork_in_child(self) -> None:
        """Drops the parent's connections: the child makes its own when it needs one."""
        self._drop_connections()
        self._begin()

    def __del__(self) -> None:
        self._drop_connections()

    def _drop_connections(self) -> None:
        self._close_writers()
        if self._reader is not None:
            self._reader.close()

    def _close_writers(self) -> None:
        for connected in (self._writer, *self._spare):
            if connected is not None:
                connected.close()
        self._writer = None
        self._spare.clear()

    def close(self) -> None:
        """Closes this process's connections. The next put or get makes new ones."""
        with self._put_lock:
            self._close_writers()
        with self._ask_lock:
            self._let_go_of_reader()

    # Putting.

    def put(self, item: object, block: bool = True, timeout: float | None = None) -> None:
        """Puts an item into the queue.

        When this returns, the item has left the process. It waits while the queue is full; it never raises
        `queue.Full`, because a log record that is thrown away is worse than one that is late.

        Args:
            item: Something that can be pickled.
            block: Taken for the sake of the queue's face.
            timeout: Taken for the sake of the queue's face.

        Raises:
            OSError: The manager process is gone.
            EOFError: It went while a connection to it was being made.
            ValueError: The item is larger than `frames.MAX_BODY` bytes.
            Exception: What pickling raises.
        """
        self.put_nowait(item)

    def put_nowait(self, item: object) -> None:
        """The same as `put(item)`.

        Args:
            item: As for `put`.

        Raises:
            Exception: As `put` raises it.
        """
        self._put(*encode(item))

    def put_record(self, flat: bytes) -> None:
        """Puts a log record, which whoever gets it is given as a `logging.LogRecord`.

        Args:
            flat: As `record.flatten` makes it.

        Raises:
            OSError: As for `put`.
            EOFError: As for `put`.
            ValueError: As for `put`.
        """
        self._put(header_of(flat), flat)

    def _put(self, header: bytes, body: bytes) -> None:
        if self._ordered:
            with self._ask_lock:
                if self._asking:
                    self._put_aside(header + body)
                else:
                    self._request(PUT + header + body)
            return
        with self._put_lock:
            if self._writing:
                self._put_aside(header + body)
                return
            try:
                self._writing = True
                if self._writer is None:
                    self._writer = self._connect_to_put()
                if len(body) < LARGE:
                    self._writer.sendall(header + body, NO_SIGNAL)
                else:
                    self._writer.sendall(header, NO_SIGNAL)
                    self._writer.sendall(body, NO_SIGNAL)
                if self._acknowledged:
                    _await_acknowledgement(self._writer)
            except BaseException:
                # Part of the frame may be out. The manager drops what is unfinished when a connection ends.
                if self._writer is not None:
                    self._writer.close()
                    self._writer = None
                raise
            finally:
                self._writing = False

    def put_last(self, item: object) -> None:
        """Puts what is the last that comes out of the queue. Whoever puts something later is told that it is closed.

        Args:
            item: As for `put`.

        Raises:
            OSError: As for `put`.
            EOFError: As for `put`.
        """
        header, body = encode(item)
        self._request(LAST + header + body)

    def _put_aside(self, frame: bytes) -> None:
        """Puts by way of another connection.

        For a signal handler that logs while its own thread is writing: half a frame may be in the usual socket.
        """
        if self._spare:
            self._put_on(self._spare.pop(), frame)
            return
        # Connecting takes some turns of both processes. Were this interrupted by a signal whose handler logs and has to
        # connect as well, a timer that is faster than that would pile handlers up until RecursionError.
        with signals.held():
            self._put_on(self._connect_to_put(), frame)

    def _put_on(self, aside: Stream, frame: bytes) -> None:
        try:
            aside.sendall(frame, NO_SIGNAL)
            if self._acknowledged:
                _await_acknowledgement(aside)
        except BaseException:
            aside.close()
            raise
        self._spare.append(aside)

    # Getting.

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Removes the next item from the queue and returns it.

        Args:
            block: Whether to wait for an item.
            timeout: Seconds to wait at most; None: as long as it takes.

        Returns:
            The item.

        Raises:
            queue.Empty: There was none, or none in time.
            ValueError: The timeout is negative.
            OSError: The manager process is gone.
            EOFError: The manager process is gone.
            Exception: What unpickling raises. The item is lost, the next one is not.
        """
        if timeout is not None and timeout < 0:
            raise ValueError("'timeout' must be a non-negative number")
        if self.before_get is not None:
            step_aside, self.before_get = self.before_get, None
            step_aside()
        deadline = None if timeout is None else time.monotonic() + timeout
        # Another thread may have the lock as long as it waits for an item of its own.
        if not self._get_lock.acquire(block, -1 if timeout is None or not block else timeout):
            raise queue.Empty
        try:
            if not self._got:
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                self._got.extend(split(self._get_block(left if block else 0.0)))
            if not self._got:
                raise queue.Empty
            frame = self._got.popleft()
        finally:
            self._get_lock.release()
        return decode(frame)

    def get_nowait(self) -> Any:
        """The same as `get(block=False)`."""
        return self.get(block=False)

    def empty(self) -> bool:
        """Tells whether `get` would have to wait at this moment.

        Returns:
            True if nothing is there.

        Raises:
            OSError: The manager process is gone.
            EOFError: The manager process is gone.
        """
        if not self._get_lock.acquire(blocking=False):
            return True  # Another thread waits for an item, or is just being given what there was.
        try:
            if not self._got:
                self._got.extend(split(self._get_block(0.0)))
            return not self._got
        finally:
            self._get_lock.release()

    def get_frames(self) -> Iterator[Frame]:
        """Waits for items and takes all that there are: the way to get many at little cost.

        Returns:
            The frames, at least one.

        Raises:
            OSError: The manager process is gone.
            EOFError: The manager process is gone.
        """
        with self._get_lock:
            if self._got:
                got, self._got = self._got, deque()
                return iter(got)
            return split(self._get_block(None))

    def _get_block(self, timeout: float | None) -> bytes:
        """Asks the manager for a block and waits for it. The caller has _get_lock.

        Args:
            timeout: Seconds to wait before an empty block will do; None: for ever.
        """
        self._ordered = True
        while True:
            reader = self._request(ASK)
            try:
                if timeout is not None and not (timeout and connection.wait([reader], timeout)):
                    self._request(NOW)
                (length,) = BLOCK_HEADER.unpack(_receive(reader, BLOCK_HEADER.size))
                block = _receive(reader, length) if length else b""
            except BaseException as error:
                # Interrupted, perhaps in the middle of a block: what follows couldn't be made out.
                reader.close()
                self._asked = None
                if self._reader is reader:
                    self._reader = None
                elif isinstance(error, (OSError, EOFError)):
                    continue  # Another thread has let go of it, and nothing else has happened.
                raise
            self._asked = None
            if self._reader is not reader:  # Another thread has let go of it meanwhile.
                reader.close()
            return block

    def _request(self, message: bytes) -> socket.socket:
        """Says something to the manager, as a process that gets.

        Returns:
            The socket on which it was said.

        Raises:
            RuntimeError: Called by a signal handler while its own thread is saying something.
        """
        with self._ask_lock:
            if self._asking:
                raise RuntimeError("a signal handler can't get from the log queue while its own thread uses it")
            self._asking = True
            try:
                reader = self._reader
                if reader is None:
                    reader, _ = self._connect("get")
                    self._reader = reader
                if message == ASK:
                    self._asked = reader
                reader.sendall(message, NO_SIGNAL)
            except BaseException:
                # Part of it may be out. The manager drops what is unfinished when a connection ends.
                self._let_go_of_reader()
                raise
            finally:
                self._asking = False
            return reader

    def _let_go_of_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is None:
            return
        owes_an_answer = self._asked is reader
        if owes_an_answer and not self._get_lock.acquire(blocking=False):
            # The thread that waits for the answer is told by the end of file, behind all that is on its way.
            with contextlib.suppress(OSError):
                reader.shutdown(socket.SHUT_WR)
            return
        reader.close()
        if owes_an_answer:
            self._asked = None
            self._get_lock.release()

    # Connecting.

    def _connect_to_put(self) -> Stream:
        # A write into a pipe that nobody reads any more would end a program that has SIGPIPE's default.
        connected, answer = self._connect(PUT_BY_SOCKET if signals.ends_by_broken_pipes() else "put")
        if answer == ATTACHED:
            return connected
        with connected, signals.held():  # What is received and not yet an object's would never be closed.
            return pipes.receive(connected)

    def _connect(self, role: str) -> tuple[socket.socket, bytes]:
        """Makes a connection to the manager.

        Both sides prove that they have the `authkey`. The manager answers when it knows the connection, so what is
        put into it from then on is put before anything that comes later.

        Returns:
            The connection, and the answer.
        """
        key = process.current_process().authkey if self._key is None else self._key
        with signals.held():
            # A handshake imports it. It may be interrupted by another, which would find half of it.
            import hmac  # noqa: F401
        try:
            with connection.Client(self.address, authkey=key) as client:
                client.send_bytes(role.encode())
                answer = client.recv_bytes()
                if answer not in (ATTACHED, PIPED):
                    raise ConnectionRefusedError("whoever listens there is no log manager")
                return tuned(socket.fromfd(client.fileno(), self._family, socket.SOCK_STREAM)), answer
        except AuthenticationError as error:
            raise ConnectionRefusedError(f"the log manager has another authkey: {error}") from error


def _await_acknowledgement(writer: Stream) -> None:
    assert isinstance(writer, socket.socket)  # Over AF_INET there are no pipes.
    _receive(writer, 1)


def _receive(source: socket.socket, size: int) -> bytes:
    """Reads so many bytes from a socket."""
    data = source.recv(size, socket.MSG_WAITALL)
    while len(data) < size:  # Interrupted by a signal; or there is no more.
        more = source.recv(size - len(data), socket.MSG_WAITALL)
        if not more:
            raise EOFError("the log manager is gone")
        data += more
    return data
