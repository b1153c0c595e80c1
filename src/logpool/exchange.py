"""`Exchange`: the loop of the manager process, which takes frames from writers and hands blocks of them to readers.

Streams are read when somebody asks for records. Until then these gather in the kernel, and the one read that follows is
big: an exchange that read each record as it came would cost two context switches a record. Only when nobody has asked
for a while does it read ahead, into a backlog that is bounded; beyond that bound it stops, the kernel's buffers fill,
and processes that put wait. How long that while is depends on how long the reader took for what it got last. With
nothing to do the exchange waits for an event, without a timeout.

One thread runs the loop. Others only hand it new sockets. Frames pass through unread: what is in them is the business
of the processes at the ends.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial

from logpool import pipes
from logpool.frames import HEADER, LARGE, LENGTH, Assembler
from logpool.protocol import ACKNOWLEDGEMENT, ASK, BLOCK_HEADER, LAST, NOW, PUT, UNIX

Stream = socket.socket | pipes.ReadingEnd
"""What a process puts into."""

PATIENCE = 0.01
"""Seconds for which nobody may ask before the exchange reads ahead. Long enough for a reader to handle what it was
given (a thousand records in a FileHandler). A worker that fills its pipe sooner waits for a moment. Where CPUs are
scarce, that leaves more of them to the reader, and raises the rate by 5 to 10 %."""

SLOW = 0.06
"""Seconds after which a reader that hasn't come back for more is slow. For a block of records in a FileHandler it takes
0.03 to 0.045, and beside a thread that computes 0.1 or more."""

PATIENCE_WITH_SLOW = 0.003
"""The same as PATIENCE, with a reader that is slow: its workers would wait for nothing. A worker that does nothing but
log fills its stream in 7 ms or more, where it has a CPU to itself."""

READ_SIZE = 2**18
"""Bytes read from one socket at once. More than the kernel's buffer usually has."""

BLOCK_SIZE = 2**20
"""Bytes of backlog after which a block is large enough to be handed out."""

WORKING_MEMORY = 3 * 2**19
"""Bytes of the backlog's limit that are left for what reading takes beside: the buffer, small unfinished frames, and
what the allocator can't use of what it has."""

MOST_IN_SOCKET = 2**24
"""Bytes that one socket can't have in the kernel: more than Linux lets a TCP socket grow to by itself (4 MiB to send
and 6 MiB received)."""


class Writer:
    """A process that puts."""

    def __init__(self, stream: Stream) -> None:
        stream.setblocking(False)
        self.stream = stream
        self.most_unread = pipes.CAPACITY if isinstance(stream, pipes.ReadingEnd) else MOST_IN_SOCKET
        self.assembler = Assembler(READ_SIZE)
        self.last_read = 0  # The number of the exchange's read.


class Reader:
    """A process that gets, and may put as well."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.asks = False
        self.answers = 0  # How many it was given, to tell one ask from the next.
        self.received = bytearray()  # Requests that aren't whole yet.


class Turn:
    """Something that has its turn when all that was put before it has been read."""

    def __init__(self, act: Callable[[], None], writers: set[Writer]) -> None:
        self.act = act
        # Which streams may still have something from before, and how many bytes of it at most.
        self.unread = {writer: writer.most_unread for writer in writers}


class Exchange:
    """Moves frames from writers to readers until its lifeline ends."""

    def __init__(
        self,
        listening: socket.socket,
        lifeline: socket.socket,
        reader: socket.socket,
        backlog: int,
        greet: Callable[[socket.socket, socket.socket], None],
    ) -> None:
        """Prepares the loop.

        Args:
            listening: The socket on which processes connect.
            lifeline: The loop ends when its other end is closed.
            reader: The first one. It may have put something already.
            backlog: Bytes of whole frames that are held before sockets are left unread.
            greet: Called in the loop with each new connection, and a copy of it; must not block. It calls `attach` in
                the end, from any thread, with the copy of those that are welcome.
        """
        listening.setblocking(False)
        self._listening = listening
        self._lifeline = lifeline
        self._limit = backlog
        self._acknowledges = listening.family != UNIX  # Then somebody waits for each frame to be read.
        self._greet = greet
        self._writers: set[Writer] = set()
        self._readers: deque[Reader] = deque()  # The one that was served last is at the end.
        self._blocks: deque[bytes | bytearray] = deque()  # The backlog.
        self._held = 0  # Its size in bytes.
        self._reads = 0  # How many there were.
        self._answered = time.monotonic()  # When a reader was given something last.
        self._was_slow = False  # Whether who asked last had been.
        self._turns: deque[Turn] = deque()
        # The GNU C library gives blocks of READ_SIZE back to the kernel when they are freed, and gets them anew, page
        # by page, unless it has seen a larger one freed: with large records half of this process's CPU time.
        bytearray(4 * BLOCK_SIZE)
        self._buffer = memoryview(bytearray(READ_SIZE))
        self._attached: deque[Writer | Reader] = deque()  # By other threads, not in the selectors yet.
        self._attaching = threading.Lock()
        self._refuses = False  # Whether the last item is known, and nobody may put any more.
        self._ended = False  # Whether that item has had its turn.
        self._full = False  # Whether no descriptor was left for the last one who connected.
        self._wake_up, self._woken = socket.socketpair()
        self._woken.setblocking(False)
        # Two selectors, so that leaving the writers unread for a while costs no system call for each of them.
        self._requests = selectors.DefaultSelector()
        self._everything = selectors.DefaultSelector()
        for source in (listening, lifeline, self._woken):
            self._watch(source, source)
        self._add(Reader(reader))

    def attach(self, stream: Stream, role: str) -> None:
        """Adds a process. May be called by any thread; what it puts after this has returned comes after this.

        Args:
            stream: To it, and the exchange's from now on. A process that gets has a socket.
            role: "put" or "get".

        Raises:
            ValueError: For any other role, or when the last item is known.
        """
        with self._attaching:
            if self._refuses:
                raise ValueError("the queue is closed")
            if role == "put":
                self._attached.append(Writer(stream))
            elif role == "get" and isinstance(stream, socket.socket):
                self._attached.append(Reader(stream))
            else:
                raise ValueError(f"unknown role: {role!r}")
        self._wake_up.send(b"\0")

    def released(self) -> None:
        """Notes that a connection that wasn't attached has been closed. May be called by any thread."""
        if self._full:
            self._wake_up.send(b"\0")

    def run(self) -> None:
        """Moves frames until the lifeline ends, and closes all sockets."""
        try:
            while self._act_on(self._wait()):
                self._take_turns()
                self._answer()
        finally:
            for key in list(self._everything.get_map().values()):
                key.fileobj.close()  # type: ignore[union-attr]  # Only sockets are in it.
            self._wake_up.close()
            self._requests.close()
            self._everything.close()

    def _act_on(self, events: list[tuple[selectors.SelectorKey, int]]) -> bool:
        """Reads what can be read.

        Returns:
            False if the lifeline has ended.
        """
        for key, _ in sorted(events, key=_place):
            source = key.data
            if isinstance(source, Writer):
                if self._has_room() and not self._ended:
                    self._read(source)
            elif isinstance(source, Reader):
                self._listen_to(source)
            elif source is self._lifeline:
                return False
            elif source is self._listening:
                if not self._refuses:  # Else it was closed by an event of the same batch.
                    self._accept()
            else:
                self._woken.recv(READ_SIZE)
                self._take_attached()
                self._accept_again()
        return True

    def _wait(self) -> list[tuple[selectors.SelectorKey, int]]:
        """Waits for the next events that may be acted upon now."""
        if self._ended or not self._has_room():
            return self._requests.select()
        if self._turns or self._acknowledges or any(reader.asks for reader in self._readers):
            return self._everything.select()
        slow = self._was_slow or self._is_slow()
        return self._requests.select(PATIENCE_WITH_SLOW if slow else PATIENCE) or self._everything.select()

    def _is_slow(self) -> bool:
        return time.monotonic() > self._answered + SLOW

    # Processes come and go.

    def _watch(self, source: socket.socket, data: object) -> None:
        for selector in (self._requests, self._everything):
            selector.register(source, selectors.EVENT_READ, data)

    def _unwatch(self, source: socket.socket) -> None:
        for selector in (self._requests, self._everything):
            selector.unregister(source)

    def _accept(self) -> None:
        try:
            connected, copy = self._accept_with_copy()
        except BlockingIOError:
            return  # It has gone again.
        except OSError:
            # No descriptor is left: whoever wants to connect waits until one is. Watching on would only spin.
            self._full = True
            try:
                # Another thread may have closed one just before it could know that this is waited for.
                connected, copy = self._accept_with_copy()
            except OSError:
                self._unwatch(self._listening)
                return
            self._full = False
        connected.setblocking(True)  # Some systems hand the listening socket's mode on.
        self._greet(connected, copy)

    def _accept_with_copy(self) -> tuple[socket.socket, socket.socket]:
        """Accepts a connection only if there is a descriptor for its copy as well: it can't be sent back to wait."""
        with self._listening.dup():
            connected, _ = self._listening.accept()
        return connected, connected.dup()

    def _take_attached(self) -> None:
        while self._attached:
            self._add(self._attached.popleft())

    def _add(self, source: Writer | Reader) -> None:
        if isinstance(source, Writer):
            self._writers.add(source)
            self._everything.register(source.stream, selectors.EVENT_READ, source)
        else:
            self._readers.append(source)
            self._watch(source.socket, source)

    def _drop(self, source: Writer | Reader) -> None:
        if isinstance(source, Writer):
            self._everything.unregister(source.stream)
            self._writers.discard(source)
            for turn in self._turns:
                turn.unread.pop(source, None)
            source.stream.close()
        else:
            self._unwatch(source.socket)
            self._readers.remove(source)
            source.asks = False
            source.socket.close()
        self._accept_again()

    def _accept_again(self) -> None:
        if self._full:
            self._full = False
            self._watch(self._listening, self._listening)

    # Frames come in.

    def _read(self, writer: Writer) -> None:
        self._reads += 1
        writer.last_read = self._reads
        target = writer.assembler.room() or self._buffer
        size = self._receive(writer, target)
        if not size:
            self._drop(writer)
            return
        for turn in self._turns:
            if writer in turn.unread:
                turn.unread[writer] -= size
                if size < len(target) or turn.unread[writer] <= 0:
                    del turn.unread[writer]

    def _receive(self, writer: Writer, target: memoryview) -> int:
        """Reads once from a stream, and holds what has become whole by that.

        Args:
            writer: Whose stream.
            target: Where to: what the assembler has room for, or the buffer.

        Returns:
            How many bytes; -1 if there is nothing yet. 0 at the end: the process has closed the stream or died, and an
            unfinished frame goes with it.
        """
        try:
            size = writer.stream.recv_into(target)
        except BlockingIOError:
            return -1
        except OSError:
            return 0
        try:
            if size:
                in_buffer = target is self._buffer
                block = writer.assembler.feed(target[:size]) if in_buffer else writer.assembler.filled(size)
                self._hold(block)
                if block and self._acknowledges and isinstance(writer.stream, socket.socket):
                    writer.stream.sendall(ACKNOWLEDGEMENT)  # Who puts waits for it, so it was one frame.
        except (ValueError, MemoryError, OSError):
            # No stream of frames, so what follows can't be made out; or nobody can take it; or it has died.
            return 0
        return size

    def _has_room(self) -> bool:
        # What is read at once must fit. But where nothing is held, a limit can't be too low for it.
        return not self._held or self._held + READ_SIZE + WORKING_MEMORY <= self._limit

    def _hold(self, block: bytes | bytearray) -> None:
        if block:
            self._blocks.append(block)
            self._held += len(block)

    def _take_turns(self) -> None:
        """Lets each act whose turn has come.

        A socket with nothing to read has nothing from before. The others are read here, while there is room.
        """
        while self._turns and self._has_room():
            readable = {key.data for key, _ in self._everything.select(0)}
            for turn in self._turns:
                for writer in turn.unread.keys() - readable:
                    del turn.unread[writer]
            while self._turns and not self._turns[0].unread:
                self._turns.popleft().act()
            if self._turns:
                for writer in list(self._turns[0].unread):
                    if self._has_room():
                        self._read(writer)

    # Readers ask, and are answered.

    def _listen_to(self, reader: Reader) -> None:
        try:
            size = reader.socket.recv_into(self._buffer)
        except OSError:
            size = 0
        if not size:
            self._drop(reader)
            return
        received = reader.received
        received += self._buffer[:size]
        while received:
            request = received[:1]
            if request == ASK:
                reader.asks = True
                self._was_slow = self._is_slow()
            elif request == NOW:
                if reader.asks:
                    self._append_turn(partial(self._answer_now, reader, reader.answers))
            elif request in (PUT, LAST):
                start = 1 + HEADER.size
                if len(received) < start:
                    return
                end = start + (HEADER.unpack_from(received, 1)[0] & LENGTH)
                if len(received) < end:
                    return
                frame = bytes(received[1:end])
                if request == LAST:
                    self._refuse()
                    self._append_turn(partial(self._end, frame))
                else:
                    self._append_turn(partial(self._hold, frame))
                del received[: end - 1]
            else:
                self._drop(reader)
                return
            del received[:1]

    def _append_turn(self, act: Callable[[], None]) -> None:
        self._take_attached()  # What was put before came from a process that had been attached before.
        self._turns.append(Turn(act, self._writers))

    def _refuse(self) -> None:
        """Has whoever puts something from now on told that the queue is closed. What was put before is still read."""
        if self._refuses:
            return
        with self._attaching:
            self._refuses = True
        self._take_attached()  # Each was attached before, or is told that it can't be.
        if not self._full:
            self._unwatch(self._listening)
        self._full = False
        self._listening.close()
        if not self._acknowledges:
            for writer in self._writers:
                if isinstance(writer.stream, socket.socket):
                    with contextlib.suppress(OSError):
                        writer.stream.shutdown(socket.SHUT_RD)

    def _end(self, frame: bytes) -> None:
        for writer in list(self._writers):
            if isinstance(writer.stream, pipes.ReadingEnd):
                self._cut(writer, writer.stream)
            else:  # What comes over TCP now isn't acknowledged, so it isn't lost without a word.
                self._drop(writer)
        self._hold(frame)
        self._ended = True

    def _cut(self, writer: Writer, stream: pipes.ReadingEnd) -> None:
        """Takes what has come by a pipe so far, and has whoever puts something later told that the queue is closed."""
        self._everything.unregister(stream)
        self._writers.discard(writer)
        while not stream.shutdown() and self._receive(writer, writer.assembler.room() or self._buffer):
            pass
        stream.close()

    def _answer_now(self, reader: Reader, answers: int) -> None:
        if reader.asks and reader.answers == answers:
            self._send_block(reader)

    def _answer(self) -> None:
        """Hands out what is held, in turn to those who ask."""
        while self._blocks:
            for reader in self._readers:
                if reader.asks:
                    break
            else:
                return
            self._readers.remove(reader)
            self._readers.append(reader)
            self._send_block(reader)

    def _send_block(self, reader: Reader) -> None:
        """Answers one who asks, with as much as makes a block, or with an empty one."""
        parts: list[bytes | bytearray] = []
        size = 0
        while self._blocks and size < BLOCK_SIZE:
            parts.append(self._blocks.popleft())
            size += len(parts[-1])
        self._held -= size
        reader.asks = False
        reader.answers += 1
        self._answered = time.monotonic()
        header = BLOCK_HEADER.pack(size)
        try:
            if size < LARGE:
                reader.socket.sendall(header + b"".join(parts))
            else:
                reader.socket.sendall(header)
                for part in parts:
                    reader.socket.sendall(part)
        except OSError:  # It died. What it had asked for is lost with it, as with any queue.
            self._drop(reader)


def _place(event: tuple[selectors.SelectorKey, int]) -> int:
    source = event[0].data
    if isinstance(source, Reader):
        # First: what it has put comes before what somebody puts who is about to connect.
        return -1
    # Where there is room for some writers alone, it is the others' turn next time. (The kernel reports sockets that
    # always have something in the same order each time.)
    return source.last_read if isinstance(source, Writer) else 0
