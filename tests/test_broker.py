"""The manager's loop, in a thread of the test's own: what can't be brought about from outside a process at will."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from logpool._manager import broker
from logpool._manager.broker import Broker
from logpool._transport.handshake import NONCE_SIZE, NUMBER, PROOF_SIZE, READY, SOCKET, introduce
from logpool._transport.wire import (
    ACKNOWLEDGEMENT,
    ASK,
    BLOCK_HEADER,
    END,
    ENDED,
    FROM,
    GATHER,
    HEADER,
    NOW,
    PUT,
    receive,
    split,
)

Run = Callable[..., socket.socket]

KEY = bytes(range(PROOF_SIZE))


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where the broker listens."""
    return str(tmp_path / "socket")


@pytest.fixture
def run(path: str) -> Iterator[Run]:
    """Run brokers with a certain backlog, each with the consumer's socket. They must end well.

    What `before` does with that socket has been done when the broker looks for the first time.
    """
    ended_well: list[threading.Event] = []
    with contextlib.ExitStack() as ends:

        def run(
            backlog: int,
            before: Callable[[socket.socket], None] = lambda _: None,
            listening: socket.socket | None = None,
        ) -> socket.socket:
            if listening is None:
                listening = socket.socket(socket.AF_UNIX)
                listening.bind(path)
                listening.listen()
            sentinel, other_end = socket.socketpair()
            consumer, other_consumer = socket.socketpair()
            ends.callback(other_consumer.close)
            loop = Broker(listening, sentinel, consumer, KEY, backlog)
            ended = threading.Event()

            def target() -> None:
                loop.run()
                ended.set()

            before(other_consumer)
            thread = threading.Thread(target=target)
            thread.start()
            ends.callback(thread.join, 10)
            ends.callback(other_end.close)
            ended_well.append(ended)
            return other_consumer

        yield run
    assert all(ended.is_set() for ended in ended_well)


def connect(path: str) -> socket.socket:
    connected = socket.socket(socket.AF_UNIX)
    connected.connect(path)
    return connected


def producer_at(path: str) -> socket.socket:
    connected = connect(path)
    assert introduce(connected, KEY, SOCKET)[0] == READY
    return connected


def frame(body: bytes) -> bytes:
    return HEADER.pack(len(body)) + body


def receive_block(source: socket.socket) -> list[bytes] | None:
    (length,) = BLOCK_HEADER.unpack(source.recv(BLOCK_HEADER.size, socket.MSG_WAITALL))
    frames = [] if length == ENDED else split(source.recv(length, socket.MSG_WAITALL))
    return None if length == ENDED else [bytes(body) for body, flag in frames if flag != FROM]


def test_a_connection_that_comes_together_with_the_end_does_not_end_the_loop(run: Run, path: str) -> None:
    with socket.socket(socket.AF_UNIX) as late:

        def end_and_connect(consumer: socket.socket) -> None:
            consumer.sendall(PUT + frame(b"last") + END)
            late.connect(path)

        consumer = run(2**20, end_and_connect)
        consumer.sendall(ASK)
        assert receive_block(consumer) == [b"last"]
        with contextlib.suppress(ConnectionResetError):  # Or so it is told that the queue is closed.
            assert late.recv(1) == b""


def test_frames_gather_where_the_consumer_is_in_no_hurry(run: Run, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "GATHERING", 0.1)  # Seconds.
    consumer = run(2**20)
    with producer_at(path) as producer:
        producer.sendall(frame(b"one"))
        asked = time.monotonic()
        consumer.sendall(GATHER)
        assert receive_block(consumer) == [b"one"]
        assert time.monotonic() - asked >= 0.1


def test_a_consumer_that_gets_into_a_hurry_has_what_there_is(
    run: Run, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "GATHERING", 1000)
    consumer = run(2**20)
    with producer_at(path) as producer:
        producer.sendall(frame(b"one"))
        consumer.sendall(GATHER)
        consumer.sendall(NOW)
        assert receive_block(consumer) == [b"one"]


def test_frames_do_not_gather_where_their_producers_wait_for_them(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "GATHERING", 1000)
    listening = socket.create_server(("127.0.0.1", 0))
    address = listening.getsockname()
    consumer = run(2**20, listening=listening)
    with socket.create_connection(address) as producer:
        assert introduce(producer, KEY, SOCKET)[0] == READY
        consumer.sendall(GATHER)
        producer.sendall(frame(b"one"))
        assert receive_block(consumer) == [b"one"]
        assert producer.recv(1) == ACKNOWLEDGEMENT


def test_a_producer_that_puts_all_the_time_keeps_no_other_waiting_when_the_backlog_is_full(run: Run, path: str) -> None:
    consumer = run(1)
    with producer_at(path) as busy, producer_at(path) as quiet:
        busy.setblocking(False)
        rest = b""
        got: set[bytes] = set()
        for number in range(20):
            with contextlib.suppress(BlockingIOError):
                while True:
                    rest = rest or frame(b"busy" * 1000)
                    rest = rest[busy.send(rest) :]
            if number == 1:
                quiet.sendall(frame(b"quiet"))
            # What was read before fills the backlog, so nothing more is read until it is asked for.
            consumer.sendall(ASK)
            got.update(receive_block(consumer) or ())
        assert got == {b"busy" * 1000, b"quiet"}


def test_what_the_consumer_put_before_a_producer_connected_comes_first(run: Run, path: str) -> None:
    with contextlib.ExitStack() as stack:
        late = stack.enter_context(socket.socket(socket.AF_UNIX))

        def put_and_connect(consumer: socket.socket) -> None:
            consumer.sendall(PUT + frame(b"one"))
            late.connect(path)

        consumer = run(2**20, put_and_connect)
        introduce(late, KEY, SOCKET)
        late.sendall(frame(b"two"))
        got: list[bytes] = []
        while len(got) < 2:
            consumer.sendall(ASK)
            got += receive_block(consumer) or ()
        assert got == [b"one", b"two"]


def test_a_producer_may_introduce_itself_slowly_while_others_put(run: Run, path: str) -> None:
    consumer = run(2**20)
    with connect(path) as slow, producer_at(path) as other:
        receive(slow, NONCE_SIZE)
        for number, byte in enumerate(SOCKET + bytes(NONCE_SIZE) + KEY):
            slow.sendall(bytes([byte]))
            other.sendall(frame(b"%d" % number))
            consumer.sendall(ASK)
            assert receive_block(consumer) == [b"%d" % number]
        assert receive(slow, 1 + NUMBER.size + PROOF_SIZE) == READY + NUMBER.pack(2) + KEY
        slow.sendall(frame(b"heard"))
        consumer.sendall(ASK)
        assert receive_block(consumer) == [b"heard"]


def test_a_connection_that_is_gone_before_it_is_accepted_keeps_no_other_out(
    run: Run, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept = socket.socket.accept

    def accept_too_late(listening: socket.socket) -> tuple[socket.socket, object]:  # As on macOS and BSD.
        monkeypatch.setattr(socket.socket, "accept", accept)
        accept(listening)[0].close()
        raise ConnectionAbortedError

    monkeypatch.setattr(socket.socket, "accept", accept_too_late)
    run(2**20)
    with connect(path) as gone:
        assert gone.recv(1) == b""
    with connect(path) as other:
        other.settimeout(10)
        introduce(other, KEY, SOCKET)


def test_a_visitor_is_told_that_the_queue_has_ended(run: Run, path: str) -> None:
    consumer = run(2**20)
    with connect(path) as late:
        receive(late, NONCE_SIZE)
        consumer.sendall(END + ASK)
        assert receive_block(consumer) is None
        assert late.recv(1) == b""


def test_a_visitor_with_another_key_is_refused(run: Run, path: str) -> None:
    run(2**20)
    with connect(path) as stranger:
        with pytest.raises(ConnectionRefusedError, match="another key"):
            introduce(stranger, bytes(PROOF_SIZE), SOCKET)
        assert stranger.recv(1) == b""


def test_each_question_after_the_end_is_answered_by_the_end(run: Run) -> None:
    consumer = run(2**20)
    consumer.sendall(PUT + frame(b"one") + END + END + ASK)
    assert receive_block(consumer) == [b"one"]
    for _ in range(2):
        consumer.sendall(ASK)
        assert receive_block(consumer) is None


def test_what_a_socket_holds_when_the_queue_ends_comes_out_and_what_is_put_later_is_refused(
    run: Run, path: str
) -> None:
    consumer = run(2**20)
    put = 0
    with producer_at(path) as producer:

        def put_until_refused() -> None:
            nonlocal put
            with contextlib.suppress(BrokenPipeError):
                while True:
                    producer.sendall(frame(b"%d" % put))
                    put += 1

        putting = threading.Thread(target=put_until_refused)
        putting.start()
        consumer.sendall(ASK)
        got = receive_block(consumer) or []
        consumer.sendall(END + ASK)
        while block := receive_block(consumer):
            got += block
            consumer.sendall(ASK)
        putting.join()
    assert got == [b"%d" % number for number in range(put)]


def test_a_fence_passes_while_producers_keep_the_backlog_full(run: Run, path: str) -> None:
    consumer = run(2**22)
    stop = threading.Event()
    producers = [producer_at(path) for _ in range(8)]

    def put_all_the_time(producer: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while not stop.is_set():
                producer.sendall(frame(bytes(10_000)))

    threads = [threading.Thread(target=put_all_the_time, args=(producer,)) for producer in producers]
    for thread in threads:
        thread.start()
    consumer.sendall(ASK)
    receive_block(consumer)
    consumer.sendall(PUT + frame(b"behind what was put before"))
    got, blocks = False, 0
    while not got and blocks < 300:
        consumer.sendall(ASK)
        got = b"behind what was put before" in (receive_block(consumer) or ())
        blocks += 1
    stop.set()
    for producer in producers:
        producer.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join()
    for producer in producers:
        producer.close()
    assert got


def test_a_connection_that_could_not_be_accepted_is_accepted_soon(run: Run, path: str) -> None:
    class Listening(socket.socket):
        refusals = 3

        def accept(self) -> Any:
            if self.refusals:
                self.refusals -= 1
                raise OSError(errno.ENFILE, os.strerror(errno.ENFILE))
            return super().accept()

    listening = Listening(socket.AF_UNIX)
    listening.bind(path)
    listening.listen()
    consumer = run(2**20, lambda consumer: consumer.sendall(ASK), listening)
    with producer_at(path) as producer:
        producer.sendall(frame(b"ok"))
        assert receive_block(consumer) == [b"ok"]
    assert listening.refusals == 0
