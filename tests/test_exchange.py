"""The manager's loop, in a thread of the test's own: what can't be brought about from outside a process at will."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from logpool.exchange import Exchange
from logpool.frames import HEADER, split
from logpool.protocol import ASK, BLOCK_HEADER, LAST, PUT

Run = Callable[[int], Exchange]


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where the exchange listens."""
    return str(tmp_path / "socket")


@pytest.fixture
def run(path: str) -> Iterator[Run]:
    """Runs exchanges with a certain backlog, which must end well."""
    ended_well: list[threading.Event] = []
    with contextlib.ExitStack() as ends:

        def run(backlog: int) -> Exchange:
            listening = socket.socket(socket.AF_UNIX)
            listening.bind(path)
            listening.listen()
            lifeline, other_end = socket.socketpair()
            reader, other_reader = socket.socketpair()
            ends.callback(other_reader.close)
            exchange = Exchange(listening, lifeline, reader, backlog, lambda *_: pytest.fail("somebody was let in"))
            ended = threading.Event()

            def target() -> None:
                exchange.run()
                ended.set()

            thread = threading.Thread(target=target)
            thread.start()
            ends.callback(thread.join, 10)
            ends.callback(other_end.close)
            ended_well.append(ended)
            return exchange

        yield run
    assert all(ended.is_set() for ended in ended_well)


def attached(exchange: Exchange, role: str) -> socket.socket:
    its_end, other_end = socket.socketpair()
    exchange.attach(its_end, role)
    return other_end


def frame(body: bytes) -> bytes:
    return HEADER.pack(len(body)) + body


def receive_block(source: socket.socket) -> list[bytes]:
    (length,) = BLOCK_HEADER.unpack(source.recv(BLOCK_HEADER.size, socket.MSG_WAITALL))
    return [bytes(body) for body, _ in split(source.recv(length, socket.MSG_WAITALL))]


def test_a_connection_that_comes_together_with_the_last_item_does_not_end_the_loop(run: Run, path: str) -> None:
    large = b"x" * 2**22
    with attached(run(2**26), "get") as reader, socket.socket(socket.AF_UNIX) as late:
        reader.sendall(ASK + PUT + frame(large))
        # The loop hands out a block that isn't read, so it waits in that. Meanwhile both come, in this order.
        assert reader.recv(1, socket.MSG_PEEK)
        reader.sendall(LAST + frame(b"last"))
        late.connect(path)
        assert receive_block(reader) == [large]
        reader.sendall(ASK)
        assert receive_block(reader) == [b"last"]
        with contextlib.suppress(ConnectionResetError):  # Or so it is told that the queue is closed.
            assert late.recv(1) == b""


def test_who_puts_all_the_time_keeps_nobody_waiting_when_the_backlog_is_full(run: Run) -> None:
    exchange = run(1)
    with attached(exchange, "put") as busy, attached(exchange, "put") as quiet, attached(exchange, "get") as reader:
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
            reader.sendall(ASK)
            got.update(receive_block(reader))
        assert got == {b"busy" * 1000, b"quiet"}


def test_what_a_reader_put_before_somebody_connected_comes_first(path: str) -> None:
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket(socket.AF_UNIX))
        listening.bind(path)
        listening.listen()
        lifeline, other_end = socket.socketpair()
        reader, its_end = socket.socketpair()
        stack.enter_context(reader)

        def let_in(connected: socket.socket, copy: socket.socket) -> None:
            connected.close()
            exchange.attach(copy, "put")

        reader.sendall(PUT + frame(b"one"))
        late = stack.enter_context(socket.socket(socket.AF_UNIX))
        late.connect(path)
        late.sendall(frame(b"two"))
        exchange = Exchange(listening, lifeline, its_end, 2**20, let_in)
        thread = threading.Thread(target=exchange.run)
        thread.start()
        stack.callback(thread.join, 10)
        stack.callback(other_end.close)
        got: list[bytes] = []
        while len(got) < 2:
            reader.sendall(ASK)
            got += receive_block(reader)
        assert got == [b"one", b"two"]


def test_an_item_may_be_called_the_last_twice(run: Run) -> None:
    with attached(run(2**20), "get") as reader:
        reader.sendall(LAST + frame(b"one") + LAST + frame(b"two") + ASK)
        assert receive_block(reader) == [b"one", b"two"]
