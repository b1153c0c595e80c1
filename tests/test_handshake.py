"""What a producer and the manager process say to each other first, over the network, where any user may be one of them.

Over Unix sockets: test_broker.py.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from logpool._parent.manager import LogManager
from logpool._transport.handshake import (
    HELLO_SIZE,
    MANAGER,
    NONCE_SIZE,
    NUMBER,
    PRODUCER,
    PROOF_SIZE,
    READY,
    REFUSED,
    SOCKET,
    introduce,
    is_proof,
    make_nonce,
    prove,
)
from logpool._transport.queue import LogQueue
from logpool._transport.wire import receive

KEY = b"a key of any length, as an authkey may be of any"


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A connection over the network, both ends."""
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.create_connection(listening.getsockname()) as ours:
        theirs, _ = listening.accept()
        with theirs:
            yield ours, theirs


def answer(theirs: socket.socket, say: Callable[[bytes, bytes], bytes]) -> tuple[bytes, bytes]:
    """Be a manager process that answers what `say` returns for both nonces and the producer's proof."""
    nonce = make_nonce()
    theirs.sendall(nonce)
    hello = receive(theirs, HELLO_SIZE)
    nonces, proof = nonce + hello[1 : 1 + NONCE_SIZE], hello[1 + NONCE_SIZE :]
    theirs.sendall(say(nonces, proof))
    return nonces, proof


@contextlib.contextmanager
def answering(theirs: socket.socket, say: Callable[[bytes, bytes], bytes]) -> Iterator[list[tuple[bytes, bytes]]]:
    got: list[tuple[bytes, bytes]] = []
    thread = threading.Thread(target=lambda: got.append(answer(theirs, say)))
    thread.start()
    yield got
    thread.join()


def test_both_sides_prove_that_they_have_the_key_and_do_not_say_it(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    with answering(
        theirs, lambda nonces, _: READY + NUMBER.pack(7) + prove(MANAGER, socket.AF_INET, KEY, nonces)
    ) as got:
        assert introduce(ours, KEY, SOCKET) == (READY, 7)
    ((nonces, proof),) = got
    assert is_proof(proof, PRODUCER, socket.AF_INET, KEY, nonces)
    assert not is_proof(proof, PRODUCER, socket.AF_INET, b"another", nonces)
    assert not is_proof(proof, PRODUCER, socket.AF_INET, KEY, make_nonce() + make_nonce())
    assert KEY not in proof


@pytest.mark.parametrize(
    "say",
    [
        lambda nonces, proof: READY + NUMBER.pack(7) + bytes(PROOF_SIZE),
        lambda nonces, proof: READY + NUMBER.pack(7) + proof,  # As an echo would.
        lambda nonces, proof: READY + NUMBER.pack(7) + prove(MANAGER, socket.AF_INET, b"another", nonces),
        lambda nonces, proof: REFUSED,
    ],
    ids=["garbage", "an echo", "another key", "a refusal"],
)
def test_a_process_that_listens_in_the_place_of_the_manager_gets_no_records(
    ends: tuple[socket.socket, socket.socket], say: Callable[[bytes, bytes], bytes]
) -> None:
    ours, theirs = ends
    with answering(theirs, say), pytest.raises(ConnectionRefusedError, match="log manager"):
        introduce(ours, KEY, SOCKET)


def test_a_producer_with_another_key_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("logpool._parent.manager.UNIX", None)
    monkeypatch.setattr("tempfile.mkdtemp", no_room)
    with LogManager(2**26) as manager:
        producer = LogQueue(manager.queue.address)
        producer.put("with the key")
        process = multiprocessing.current_process()
        key = process.authkey
        process.authkey = b"another"
        try:
            with pytest.raises(ConnectionRefusedError, match="another key"):
                LogQueue(manager.queue.address).put("without")
        finally:
            process.authkey = key
        producer.put("once more")
        assert [manager.queue.get(timeout=20) for _ in range(2)] == ["with the key", "once more"]


def no_room(*args: object, **kwargs: object) -> None:
    raise OSError(28, "No space left on device")
