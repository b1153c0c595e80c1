"""`LogQueue`: the log queue as each process sees it.

    producer: any process                  manager process               consumer: the process that made the queue
    put ── frame, frame, frame, ... ─────▶ Broker ◀─────────── ASK ───── get
                                                  ── block ────────────▶
                                                  ◀─────────── PUT ───── put: behind all that was put before

The queue itself lives in the manager process. A producer has a pipe of its own to it, or a socket where there are no
pipes fit for it (pipe.py). A put is one write of one frame into that, with no reply: what was put has left the process,
and is in the kernel when the process dies. The consumer has a socket, on which it asks and is answered with all frames
that there are (consumer.py).

Over AF_INET each put is acknowledged, and waits for that: what TCP has taken may come later than what another process
puts afterwards, and the kernel may not have passed it on when the process dies. Over AF_UNIX it is in the receiver's
queue when the write returns.

A put by the consumer goes by way of its socket, and the manager gives it its place behind everything that any process
had put before. So a sentinel ends a `QueueListener` after the last record, as with any other queue.

Each process counts the frames that it has put, and the consumer is told how many of a stream have come out. So a
process can say up to which frame its records are to be handled (`positions`), by whatever way it likes.
"""

from __future__ import annotations

import contextlib
import pickle
import queue
import socket
import threading
import time
from collections import deque
from multiprocessing import process

from logpool._process import directory, forks, signals
from logpool._process.hints import TYPE_CHECKING, Any
from logpool._transport import pipe
from logpool._transport.consumer import Consumer
from logpool._transport.handshake import PIPE, READY, SOCKET, introduce
from logpool._transport.wire import (
    END,
    FROM,
    LABEL_SIZE,
    LABELLED,
    LARGE,
    MARK,
    NO_SIGNAL,
    NOW,
    PICKLED,
    PUT,
    UNIX,
    Address,
    Frame,
    Positions,
    configure_socket,
    header_of,
    receive,
    split,
    split_label,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Stream:
    """What a producer writes into.

    Attributes:
        end: The pipe's, or the socket.
        number: By which the process that gets knows the stream.
        frames: How many have been put into it.
        told: How many of them `positions` has told of.
    """

    __slots__ = ("end", "frames", "number", "told")

    def __init__(self, end: socket.socket | pipe.WritingEnd, number: int) -> None:
        self.end = end
        self.number = number
        self.frames = self.told = 0


class LogQueue(forks.ForkAware):
    """A multi-process queue for log records, with the interface of `queue.Queue`.

    It can be handed to child processes of any start method, where the standard library's
    `logging.handlers.QueueHandler` works with it; and a `QueueListener` in the process that made it, which alone gets.

    Items of one thread are got in the order in which they were put. The queue is bounded, in bytes: a put waits while
    the manager holds as much as it may; but not one by the process that gets, which could wait for itself.

    An instance may be used by all threads of a process, by signal handlers, and by forked children. What isn't of
    `queue.Queue` is for the library itself.

    Attributes:
        address: Where the manager process listens.
        reserved: Whether the relay's own listener takes what is put, so that `get` isn't for others.
        on_pass: Called by `get` with each mark or origin that it skips, or with None when no frame is left; the second
            argument is the frames that are left. None: marks and origins are dropped.
        on_put: In the process that gets, called before an item is put, which it may refuse; None: all are taken.
    """

    on_pass: Callable[[Frame | None, deque[Frame]], object] | None = None
    on_put: Callable[[], object] | None = None

    def __init__(
        self,
        address: Address,
        path: str | None = None,
        *,
        consumer: Consumer | None = None,
        rebuild: Callable[[bytes | memoryview], Any] = bytes,
    ) -> None:
        """Make the queue's interface for this process. A producer connects when it puts for the first time.

        Args:
            address: Where the manager process listens.
            path: The directory that has the key to it; None: the key is the `authkey` of each process.
            consumer: The manager's one consumer; None: this process doesn't get.
            rebuild: Makes an item of what `put_record` was given, in the process that gets.
        """
        self.address = address
        self._path = path
        self._family: int = UNIX if isinstance(address, str) else socket.AF_INET
        self._acknowledged = self._family == socket.AF_INET
        self._rebuild = rebuild
        self._begin(consumer)
        forks.register(self)

    def _begin(self, consumer: Consumer | None = None) -> None:
        # Reentrant: a signal handler may log while its thread is writing, or waiting for an answer.
        self._put_lock = threading.RLock()
        self._writing = False
        self._stream: Stream | None = None
        self._spare: list[Stream] = []
        self._broken: list[Stream] = []  # Streams that were given up, with frames that `positions` hasn't told of.
        self._get_lock = threading.RLock()
        self._consumer = consumer
        self._got: deque[Frame] = deque()
        self._has_ended = False  # Whether the manager has said that nothing will come any more.
        self.reserved = False

    def __reduce__(self) -> tuple[type[LogQueue], tuple[Address, str | None]]:
        return LogQueue, (self.address, self._path)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {self.address!r}>"

    def after_fork_in_child(self) -> None:
        """Drop the parent's connections: the child makes its own when it needs one."""
        for stream in (self._stream, *self._spare):
            if stream is not None and isinstance(stream.end, pipe.WritingEnd):
                stream.end.close_if_ours()
        self._close_streams()
        if self._consumer is not None:
            self._consumer.close()
        self._begin()

    def __del__(self) -> None:
        self._close_streams()
        if self._consumer is not None:
            self._consumer.close()

    def _close_streams(self) -> None:
        for stream in (self._stream, *self._spare):
            if stream is not None:
                self._give_up(stream)
        self._stream = None
        self._spare.clear()

    def _give_up(self, stream: Stream) -> None:
        stream.end.close()
        if stream.frames > stream.told:
            self._broken.append(stream)

    def close(self) -> None:
        """Close this process's connections. The next put makes a new one; a process that gets can do so no more."""
        with self._put_lock:
            self._close_streams()
        if self._consumer is not None:
            self._consumer.shut_down()
            # When no thread receives any more: it could wait for another file that gets the descriptor's number.
            with self._get_lock:
                self._consumer.close()

    # Putting.

    def put(self, item: object, block: bool = True, timeout: float | None = None) -> None:
        """Put an item into the queue.

        When this returns, the item has left the process. It waits while the queue is full; it never raises
        `queue.Full`, because a log record that is thrown away is worse than one that is late.

        Args:
            item: Something that can be pickled.
            block: Accepted for the sake of the interface.
            timeout: Accepted for the sake of the interface.

        Raises:
            OSError: The manager process is gone.
            EOFError: It went while a connection to it was being made.
            ValueError: Pickled, the item is larger than 268,435,456 bytes (256 MiB).
            RuntimeError: A handler puts back a record that has come out of this queue.
            Exception: What pickling raises.
        """
        self.put_nowait(item)

    def put_nowait(self, item: object) -> None:
        """Do the same as `put(item)`, which never raises `queue.Full`.

        Args:
            item: As for `put`.

        Raises:
            Exception: As for `put`.
        """
        if self._consumer is not None and self.on_put is not None:
            self.on_put()
        body = pickle.dumps(item, pickle.HIGHEST_PROTOCOL)
        self._put(header_of(body, PICKLED), body)

    def put_record(self, flat: bytes, label: bytes = b"") -> None:
        """Put a log record, which is got as a `logging.LogRecord`.

        Args:
            flat: As `flatten` makes it.
            label: What the relay's listener is to know besides. `get` drops it.

        Raises:
            OSError: As for `put`.
            EOFError: As for `put`.
            ValueError: As for `put`.
        """
        if label:
            body = b"".join((LABEL_SIZE.pack(len(label)), label, flat))
            self._put(header_of(body, LABELLED), body)
        else:
            self._put(header_of(flat), flat)

    def positions(self) -> Positions:
        """Tell what this process has put since it was asked last: by the frames up to which streams must be handled.

        Returns:
            Of each stream in which there is anything new, its number and how many frames have been put into it.
        """
        stream = self._stream
        if stream is not None and not self._spare and not self._broken:  # As a rule.
            frames = stream.frames
            if frames == stream.told:
                return ()
            stream.told = frames
            return ((stream.number, frames),)
        positions = []
        with self._put_lock:
            for stream in (self._stream, *self._spare, *self._broken):
                if stream is not None and stream.frames > stream.told:
                    stream.told = stream.frames
                    positions.append((stream.number, stream.frames))
            self._broken.clear()
        return tuple(positions)

    def put_mark(self, mark: bytes) -> None:
        """Put a mark behind all that was put before. The process that gets alone can do so.

        Args:
            mark: By which it knows the mark.

        Raises:
            OSError: The manager process is gone.
        """
        assert self._consumer is not None
        self._put(header_of(mark, MARK), mark)

    def _put(self, header: bytes, body: bytes) -> None:
        if self._consumer is not None:
            self._consumer.request(PUT + header + body)
            return
        with self._put_lock:
            if self._writing:
                self._put_aside(header + body)
                return
            try:
                self._writing = True
                stream = self._stream
                if stream is None:
                    stream = self._stream = self._connect()
                if len(body) < LARGE:
                    stream.end.sendall(header + body, NO_SIGNAL)
                else:
                    stream.end.sendall(header, NO_SIGNAL)
                    stream.end.sendall(body, NO_SIGNAL)
                stream.frames += 1
                if self._acknowledged:
                    _await_acknowledgement(stream)
            except BaseException:
                # Part of the frame may be out. The manager drops what is unfinished when a connection ends.
                if self._stream is not None:
                    self._give_up(self._stream)
                    self._stream = None
                raise
            finally:
                self._writing = False

    def _put_aside(self, frame: bytes) -> None:
        """Put by way of another connection.

        For a signal handler that logs while its own thread is writing: half a frame may be in the usual stream.
        """
        if self._spare:
            self._put_into(self._spare.pop(), frame)
            return
        # Connecting takes some turns of both processes. Were this interrupted by a signal whose handler logs and has to
        # connect as well, a timer that is faster than that would pile handlers up until RecursionError.
        with signals.blocked():
            self._put_into(self._connect(), frame)

    def _put_into(self, stream: Stream, frame: bytes) -> None:
        try:
            stream.end.sendall(frame, NO_SIGNAL)
            stream.frames += 1
            if self._acknowledged:
                _await_acknowledgement(stream)
        except BaseException:
            self._give_up(stream)
            raise
        self._spare.append(stream)

    def _connect(self) -> Stream:
        """Make a connection to put by.

        Both sides prove that they have the key. The manager answers when it knows the connection, so what is put into
        it from then on is put before anything that comes later.
        """
        key = process.current_process().authkey if self._path is None else directory.read_key(self._path)
        # A write into a pipe without a reader would end a program that has SIGPIPE's default.
        kind = SOCKET if self._acknowledged or signals.broken_pipe_is_fatal() else PIPE
        if self._acknowledged:
            with signals.blocked():
                # The handshake imports it. It may be interrupted by another, which would find half of it.
                import hmac  # noqa: F401
        connected = socket.socket(self._family, socket.SOCK_STREAM)
        try:
            connected.setblocking(True)  # It has got what the program gave to `socket.setdefaulttimeout`.
            connected.connect(self.address)
            answer, number = introduce(connected, key, kind)
            if answer == READY:
                return Stream(configure_socket(connected), number)
            with signals.blocked():  # What is received and not yet an object's would never be closed.
                end = pipe.receive(connected)
        except BaseException:
            connected.close()
            raise
        connected.close()
        return Stream(end, number)

    # Getting.

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Remove the next item from the queue and return it.

        Args:
            block: Whether to wait for an item.
            timeout: Seconds to wait at most; None: as long as it takes.

        Raises:
            queue.Empty: There was none, or none in time; or the relay has ended.
            ValueError: The timeout is negative.
            RuntimeError: This process hasn't made the queue; or the relay's own listener takes what is put.
            OSError: The manager process is gone.
            EOFError: The manager process is gone.
            Exception: What unpickling raises. The item is lost, the next one is not.
        """
        if timeout is not None and timeout < 0:
            raise ValueError("'timeout' must be a non-negative number")
        self._check_that_it_is_free()
        deadline = None if timeout is None else time.monotonic() + timeout
        # Another thread may have the lock as long as it waits for an item of its own.
        if not self._get_lock.acquire(block, -1 if timeout is None or not block else timeout):
            raise queue.Empty
        try:
            self._pass_marks()
            while not self._got:
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                left = left if block else 0.0
                if not self._fill(left) or (left is not None and not self._got):
                    raise queue.Empty
                self._pass_marks()
            frame = self._got.popleft()
        finally:
            self._get_lock.release()
        return self.decode(frame)

    def get_nowait(self) -> Any:
        """Do the same as `get(block=False)`.

        Raises:
            Exception: As for `get`.
        """
        return self.get(block=False)

    def empty(self) -> bool:
        """Tell whether `get` would have to wait at this moment.

        Raises:
            RuntimeError: As for `get`.
            OSError: The manager process is gone.
            EOFError: The manager process is gone.
        """
        self._check_that_it_is_free()
        if not self._get_lock.acquire(blocking=False):
            return True  # Another thread waits for an item, or is just being given what there was.
        try:
            self._pass_marks()
            while not self._got and self._fill(0.0) and self._got:
                self._pass_marks()
            return not self._got
        finally:
            self._get_lock.release()

    def _check_that_it_is_free(self) -> None:
        if self.reserved:
            raise RuntimeError(
                "the relay's own listener takes what is put into the log queue: call stop() of log_listener (of a "
                "relay: listener) first"
            )

    def get_frames(self, *, gather: bool = False) -> deque[Frame]:
        """Wait for items and take all that there are: the way to get many at little cost.

        Args:
            gather: Whether to let more gather for a moment, at less cost still. `hurry` ends the moment.

        Returns:
            The frames; none if the queue has ended.

        Raises:
            OSError: The manager process is gone.
            EOFError: The manager process is gone.
        """
        with self._get_lock:
            while not self._got and self._fill(None, gather=gather):
                pass  # An empty block, which an earlier call with a timeout had asked for.
            got, self._got = self._got, deque()
            return got

    def hurry(self) -> None:
        """End the moment for which a `get_frames` of another thread lets items gather. If it doesn't, do nothing."""
        assert self._consumer is not None
        with contextlib.suppress(OSError):  # The manager process is gone. The thread that gets notices by itself.
            self._consumer.request(NOW)

    def give_back(self, frames: Iterable[Frame]) -> None:
        """Have frames got again that `get_frames` has returned.

        Args:
            frames: The last ones.
        """
        with self._get_lock:
            self._got.extendleft(reversed(list(frames)))

    def _fill(self, timeout: float | None, *, gather: bool = False) -> bool:
        """Get more frames from the manager, when there are none here. The caller has _get_lock.

        Returns:
            False if the queue has ended.
        """
        consumer = self._consumer
        if consumer is None:
            raise RuntimeError("only the process that made the log queue can get from it")
        if self._has_ended:  # The connection may be closed. A listener of the user's is told by `queue.Empty`.
            return False
        block = consumer.receive(timeout, gather=gather)
        frames = deque(split(block or b""))
        # A signal handler that raises runs at calls and jumps. There is none between these, so no frame is lost.
        consumer.incoming = consumer.left
        consumer.asked = False
        self._got = frames
        self._has_ended = block is None
        return block is not None

    def _pass_marks(self) -> None:
        """Take the marks and origins that come next, which aren't for users. The caller has _get_lock."""
        on_pass = self.on_pass
        while self._got and self._got[0][1] in (MARK, FROM):
            frame = self._got.popleft()
            if on_pass is not None:
                on_pass(frame, self._got)
        if not self._got and on_pass is not None:
            on_pass(None, self._got)

    def end(self) -> None:
        """End the queue: what was put before is got, what a producer puts later is refused.

        Raises:
            OSError: The manager process is gone.
        """
        assert self._consumer is not None
        self._consumer.request(END)

    def decode(self, frame: Frame) -> Any:
        """Make of a frame what was put into the queue.

        Raises:
            Exception: What unpickling raises, for an item whose class this process can't import, for example.
        """
        body, flag = frame
        if flag == PICKLED:
            return pickle.loads(body)
        return self._rebuild(split_label(body)[1] if flag else body)


def _await_acknowledgement(stream: Stream) -> None:
    assert isinstance(stream.end, socket.socket)  # Over AF_INET there are no pipes.
    receive(stream.end, 1)
