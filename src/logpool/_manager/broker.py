"""`Broker`: the loop of the manager process, which takes frames from producers and hands them to the consumer.

    producers' streams ── frames ──▶ backlog ── blocks ──▶ consumer's socket
                        read when asked        sent when asked

Streams are read when the consumer asks for records. Until then these gather in the kernel, and the one read that
follows is large: a broker that read each record as it came would cost two context switches a record. Only when nothing
was asked for a while does it read ahead, into a backlog that is bounded; beyond that bound it stops, the kernel's
buffers fill, and producers wait. How long that while is depends on how long the consumer took for its last block. With
nothing to do the broker waits for an event, without a timeout.

The process has no other thread: the loop also lets producers in (visitor.py). Frames pass through unread: what is in
them is the business of the processes at the ends. They are counted, and what is handed out of a stream says how many
frames had come from there before, or that it has ended (`wire.ORIGIN`).
"""

from __future__ import annotations

import contextlib
import itertools
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable
from functools import partial

from logpool._manager.assembler import Assembler
from logpool._manager.reading_end import ReadingEnd
from logpool._manager.visitor import Stream, Visitor
from logpool._transport.pipe import CAPACITY
from logpool._transport.wire import (
    ACKNOWLEDGEMENT,
    ASK,
    BLOCK_HEADER,
    CONSUMER,
    END,
    ENDED,
    FROM,
    GATHER,
    GONE,
    HEADER,
    LARGE,
    LENGTH,
    NOW,
    ORIGIN,
    PUT,
    UNIX,
)

PATIENCE = 0.01
"""Seconds for which the consumer may not ask before the broker reads ahead. A worker that fills its pipe sooner waits
for a moment. Where CPUs are scarce, that leaves more of them to the consumer, and raises the rate by 5 to 10 %."""

SLOW = 0.06
"""Seconds after which a consumer that hasn't asked for more is slow. For a block of records in a FileHandler it takes
0.03 to 0.045, and beside a thread that computes 0.1 or more."""

PATIENCE_WITH_SLOW = 0.003
"""The same as PATIENCE, with a consumer that is slow: its workers would wait for nothing. A worker that does nothing
but log fills its stream in 7 ms or more, where it has a CPU to itself."""

GATHERING = 0.001
"""Seconds for which frames gather where the consumer is in no hurry: the shortest time that a selector waits. Where
each job logs one record, the consumer wakes up for eight of them, and each wake-up takes the time of several."""

RETRY = 0.1
"""Seconds after which a connection is accepted again that there was no descriptor or memory for."""

READ_SIZE = 2**18
"""Bytes read from one stream at once. More than the kernel's buffer usually has."""

BLOCK_SIZE = 2**20
"""Bytes of backlog after which a block is large enough to be handed out."""

WORKING_MEMORY = 3 * 2**19
"""Bytes of the backlog's limit that are left for what reading takes beside: the buffer, small unfinished frames, and
what the allocator can't use of what it has."""

MOST_IN_SOCKET = 2**24
"""Bytes that one socket can't have in the kernel: more than Linux lets a TCP socket grow to by itself (4 MiB to send
and 6 MiB received)."""


class Producer:
    """A process that puts frames."""

    def __init__(self, stream: Stream, number: int) -> None:
        stream.setblocking(False)
        self.stream = stream
        self.number = number
        self.most_unread = CAPACITY if isinstance(stream, ReadingEnd) else MOST_IN_SOCKET
        self.assembler = Assembler(READ_SIZE)
        self.last_read = 0  # The number of the broker's read.


class Fence:
    """An act that waits until all that was put before it has been read."""

    def __init__(self, act: Callable[[], None], producers: set[Producer]) -> None:
        self.act = act
        # Which streams may still have something from before, and how many bytes of it at most.
        self.unread = {producer: producer.most_unread for producer in producers}


class Broker:
    """Moves frames from producers to the consumer until its parent sentinel ends, or the consumer is gone."""

    def __init__(
        self,
        listening: socket.socket,
        sentinel: socket.socket,
        consumer: socket.socket,
        key: bytes,
        backlog: int,
    ) -> None:
        """Create the loop.

        Args:
            listening: The socket on which producers connect.
            sentinel: The loop ends when its other end is closed.
            consumer: The socket of the process that gets. It may have said something already.
            key: By which producers prove that they may put.
            backlog: Bytes of whole frames that are held before streams are left unread.
        """
        listening.setblocking(False)
        self._listening = listening
        self._sentinel = sentinel
        consumer.setblocking(False)
        self._consumer = consumer
        self._is_deserted = False  # Whether the consumer has closed its end: nothing can be handed out any more.
        self._outgoing: deque[memoryview] = deque()  # Parts of answers that aren't sent yet.
        self._limit = backlog
        self._acknowledges = listening.family != UNIX  # Then each producer waits until its frame has been read.
        self._key = key
        self._producers: set[Producer] = set()
        self._asked = False
        self._gathers = False  # Whether frames are to gather before the answer.
        self._answers = 0  # How many there were, to tell one ASK from the next.
        self._received = bytearray()  # Requests that aren't whole yet.
        self._blocks: deque[tuple[bytes, bytes | bytearray]] = deque()  # The backlog: origins, and frames from there.
        self._held = 0  # Its size in bytes.
        self._reads = 0  # How many there were.
        self._answered = time.monotonic()  # When the consumer was given something last.
        self._was_slow = False  # Whether the consumer was when it asked last.
        self._fences: deque[Fence] = deque()
        # The GNU C library gives blocks of READ_SIZE back to the kernel when they are freed, and gets them anew, page
        # by page, unless it has seen a larger one freed: with large records half of this process's CPU time.
        bytes(4 * BLOCK_SIZE)  # Not a bytearray, whose pages would be touched one by one.
        self._buffer = memoryview(bytearray(READ_SIZE))
        self._numbers = itertools.count(CONSUMER + 1)  # Of streams.
        self._refuses = False  # Whether the queue is to end, and no producer may connect any more.
        self._ended = False  # Whether all that was put before that has been read.
        self._full = False  # Whether no descriptor was left for the last connection.
        # Two selectors, so that leaving the producers unread for a while costs no system call for each of them.
        self._requests = selectors.DefaultSelector()
        self._everything = selectors.DefaultSelector()
        for source in (listening, sentinel, consumer):
            self._watch(source, source)
        self._consumer_events = selectors.EVENT_READ

    def run(self) -> None:
        """Move frames until the parent sentinel ends, or the consumer is gone. Close all sockets then."""
        try:
            while self._act_on(self._wait()):
                self._pass_fences()
                self._answer()
        finally:
            for key in list(self._everything.get_map().values()):
                key.fileobj.close()  # type: ignore[union-attr]  # Only sockets and pipes are in it.
            self._requests.close()
            self._everything.close()

    def _act_on(self, events: list[tuple[selectors.SelectorKey, int]]) -> bool:
        """Read what can be read.

        Returns:
            False if the parent sentinel has ended, or the consumer is gone.
        """
        for key, mask in sorted(events, key=self._place):
            source = key.data
            if isinstance(source, Producer):
                if self._has_room() and not self._ended:
                    self._read(source)
            elif source is self._consumer:
                if mask & selectors.EVENT_WRITE:
                    self._send()
                if mask & selectors.EVENT_READ:
                    self._take_requests()
                if self._is_deserted:
                    return False
            elif source is self._sentinel:
                return False
            elif not self._refuses:  # Else it was closed by an event of the same batch.
                if isinstance(source, Visitor):
                    self._hear(source)
                else:
                    self._accept()
        return True

    def _place(self, event: tuple[selectors.SelectorKey, int]) -> int:
        source = event[0].data
        if source is self._consumer:
            # First: what it has put comes before what a process puts that is about to connect.
            return -1
        # Where there is room for some producers alone, it is the others' turn next time. (The kernel reports streams
        # that always have something in the same order each time.)
        return source.last_read if isinstance(source, Producer) else 0

    def _wait(self) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for the next events that may be acted upon now."""
        if self._ended or not self._has_room():
            return self._requests.select()
        if self._gathers:
            self._gathers = False
            if events := self._requests.select(GATHERING):
                return events
        if self._fences or self._acknowledges or self._asked:
            return self._wait_for_everything()
        slow = self._was_slow or self._is_slow()
        return self._requests.select(PATIENCE_WITH_SLOW if slow else PATIENCE) or self._wait_for_everything()

    def _wait_for_everything(self) -> list[tuple[selectors.SelectorKey, int]]:
        if not self._full:
            return self._everything.select()
        events = self._everything.select(RETRY)
        self._accept_again()
        return events

    def _is_slow(self) -> bool:
        return time.monotonic() > self._answered + SLOW

    # Producers come and go.

    def _watch(self, source: socket.socket, data: socket.socket | Visitor) -> None:
        for selector in (self._requests, self._everything):
            selector.register(source, selectors.EVENT_READ, data)

    def _unwatch(self, source: socket.socket) -> None:
        for selector in (self._requests, self._everything):
            selector.unregister(source)

    def _accept(self) -> None:
        try:
            connected, _ = self._listening.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # It has gone again.
        except OSError:
            # No descriptor or no memory is left: connections wait for a moment. Watching on would only spin.
            self._full = True
            self._unwatch(self._listening)
            return
        try:
            self._watch(connected, Visitor(connected, self._key, self._numbers))
        except OSError:
            connected.close()

    def _accept_again(self) -> None:
        if self._full:
            self._full = False
            self._watch(self._listening, self._listening)

    def _hear(self, visitor: Visitor) -> None:
        stream: Stream | None = None
        try:
            stream = visitor.hear()
        except BlockingIOError:
            return
        except (OSError, EOFError, ValueError):
            pass
        self._unwatch(visitor.connected)
        if stream is not visitor.connected:
            visitor.connected.close()
        if stream is not None:
            producer = Producer(stream, visitor.number)
            self._producers.add(producer)
            self._everything.register(stream, selectors.EVENT_READ, producer)
        self._accept_again()

    def _drop(self, producer: Producer) -> None:
        self._forget(producer)
        producer.stream.close()
        self._hold_from(producer.number, GONE)
        self._accept_again()

    def _forget(self, producer: Producer) -> None:
        self._everything.unregister(producer.stream)
        self._producers.discard(producer)
        for fence in self._fences:
            fence.unread.pop(producer, None)

    # Frames come in.

    def _read(self, producer: Producer) -> None:
        self._reads += 1
        producer.last_read = self._reads
        target = producer.assembler.room() or self._buffer
        size = self._receive(producer, target)
        if not size:
            self._drop(producer)
            return
        for fence in self._fences:
            if producer in fence.unread:
                fence.unread[producer] -= size
                if size < len(target) or fence.unread[producer] <= 0:
                    del fence.unread[producer]

    def _receive(self, producer: Producer, target: memoryview) -> int:
        """Read once from a stream, and hold what has become whole by that.

        Args:
            producer: Whose stream.
            target: Where to: what the assembler has room for, or the buffer.

        Returns:
            How many bytes; -1 if there is nothing yet. 0 at the end: the process has closed the stream or died, and an
            unfinished frame goes with it.
        """
        try:
            size = producer.stream.recv_into(target)
        except BlockingIOError:
            return -1
        except OSError:
            return 0
        assembler = producer.assembler
        before = assembler.frames
        try:
            if size:
                block = assembler.feed(target[:size]) if target is self._buffer else assembler.filled(size)
                self._hold(block, producer.number, before)
                if block and self._acknowledges and isinstance(producer.stream, socket.socket):
                    producer.stream.sendall(ACKNOWLEDGEMENT)  # The producer waits for it, so it was one frame.
        except (ValueError, MemoryError, OSError):
            # No stream of frames, so what follows can't be made out; or there is no memory; or the process has died.
            return 0
        return size

    def _has_room(self) -> bool:
        # What is read at once must fit. But where nothing is held, a limit can't be too low for it.
        return not self._held or self._held + READ_SIZE + WORKING_MEMORY <= self._limit

    def _hold(self, block: bytes | bytearray, number: int = CONSUMER, before: int = 0) -> None:
        if block:
            self._hold_from(number, before, block)

    def _hold_from(self, number: int, before: int, block: bytes | bytearray = b"") -> None:
        origin = HEADER.pack(ORIGIN.size | FROM) + ORIGIN.pack(number, before)
        self._blocks.append((origin, block))
        self._held += len(origin) + len(block)

    def _pass_fences(self) -> None:
        """Let each act whose fence has nothing unread before it.

        A stream with nothing to read has nothing from before. The others are read here, while there is room.
        """
        while self._fences:
            readable = {key.data for key, _ in self._everything.select(0)}
            for fence in self._fences:
                for producer in fence.unread.keys() - readable:
                    del fence.unread[producer]
            while self._fences and not self._fences[0].unread:
                self._fences.popleft().act()  # It needs no room.
            if not self._fences or not self._has_room():
                return
            for producer in list(self._fences[0].unread):
                if self._has_room():
                    self._read(producer)

    # The consumer asks, and is answered.

    def _take_requests(self) -> None:
        try:
            size = self._consumer.recv_into(self._buffer)
        except BlockingIOError:
            return
        except OSError:
            size = 0
        if not size:
            self._is_deserted = True
            return
        received = self._received
        received += self._buffer[:size]
        while received:
            request = received[:1]
            end = 1
            if request in (ASK, GATHER):
                self._asked = True
                self._gathers = request == GATHER and not self._acknowledges
                self._was_slow = self._is_slow()
            elif request == NOW:
                if self._asked:
                    self._add_fence(partial(self._answer_now, self._answers))
            elif request == PUT:
                start = 1 + HEADER.size
                if len(received) < start:
                    return
                end = start + (HEADER.unpack_from(received, 1)[0] & LENGTH)
                if len(received) < end:
                    return
                self._add_fence(partial(self._hold, bytes(received[1:end])))
            elif request == END:
                self._refuse()
                self._add_fence(self._end)
            else:
                raise AssertionError(f"the consumer said {bytes(request)!r}")
            del received[:end]

    def _add_fence(self, act: Callable[[], None]) -> None:
        self._fences.append(Fence(act, self._producers))

    def _refuse(self) -> None:
        """Let no further producer connect. What the others have put is still read."""
        if self._refuses:
            return
        self._refuses = True
        if not self._full:
            self._unwatch(self._listening)
        self._full = False
        self._listening.close()
        for key in list(self._requests.get_map().values()):
            if isinstance(key.data, Visitor):
                self._unwatch(key.data.connected)
                key.data.connected.close()

    def _end(self) -> None:
        """Refuse what is put from now on, in such a way that its producer is told.

        Guarantee: each frame either comes out of the queue, or its write raises an error. Over AF_INET the error is
        that the frame isn't acknowledged.
        """
        for producer in list(self._producers):
            if self._acknowledges:
                self._drop(producer)
            else:
                self._forget(producer)
                self._shut_down(producer)
        self._ended = True

    def _shut_down(self, producer: Producer) -> None:
        stream = producer.stream
        if isinstance(stream, socket.socket):
            # Some systems (macOS) drop what is unread then, so that is read first; but a producer that writes all the
            # while isn't waited for.
            for _ in range(MOST_IN_SOCKET // READ_SIZE):
                if self._read_rest(producer) <= 0:
                    break
            with contextlib.suppress(OSError):
                stream.shutdown(socket.SHUT_RD)
            while self._read_rest(producer) > 0:
                pass
        else:
            while not stream.shutdown() and self._read_rest(producer):
                pass
        stream.close()

    def _read_rest(self, producer: Producer) -> int:
        return self._receive(producer, producer.assembler.room() or self._buffer)

    def _answer_now(self, answers: int) -> None:
        if self._asked and self._answers == answers:
            self._send_block()

    def _answer(self) -> None:
        if self._asked and (self._blocks or self._ended):
            self._send_block()

    def _send_block(self) -> None:
        """Answer the consumer with as much as makes a block, or with an empty one; or tell it that there is no more."""
        parts: list[bytes | bytearray] = []
        size = 0
        while self._blocks and size < BLOCK_SIZE:
            origin, block = self._blocks.popleft()
            parts += origin, block
            size += len(origin) + len(block)
        self._held -= size
        self._asked = False
        self._answers += 1
        self._answered = time.monotonic()
        header = BLOCK_HEADER.pack(ENDED if self._ended and not parts else size)
        if size < LARGE:
            parts = [header + b"".join(parts)]
        else:
            parts.insert(0, header)
        self._outgoing.extend(map(memoryview, parts))
        self._send()

    def _send(self) -> None:
        """Send as much of the answers as the socket takes now.

        Why not otherwise: a send that waits for the consumer to read would never end where the consumer waits until
        what it puts has been read.
        """
        consumer, outgoing = self._consumer, self._outgoing
        try:
            while outgoing:
                sent = consumer.send(outgoing[0])
                if sent == len(outgoing[0]):
                    outgoing.popleft()
                else:
                    outgoing[0] = outgoing[0][sent:]
        except BlockingIOError:
            self._watch_consumer(selectors.EVENT_READ | selectors.EVENT_WRITE)
        except OSError:
            # The parent died. What it had asked for is lost with it, as with any queue. The loop meets its end next.
            outgoing.clear()
            self._watch_consumer(selectors.EVENT_READ)
        else:
            self._watch_consumer(selectors.EVENT_READ)

    def _watch_consumer(self, events: int) -> None:
        if events != self._consumer_events:
            self._consumer_events = events
            for selector in (self._requests, self._everything):
                selector.modify(self._consumer, events, self._consumer)
