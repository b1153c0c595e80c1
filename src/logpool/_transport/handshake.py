"""The handshake, by which a producer and the manager process prove to each other that they have the queue's key.

    producer                                   manager process
             ◀──────────────────────── nonce ──
             ── kind, nonce, proof ───────────▶         PIPE or SOCKET: what the producer can write into
             ◀──────── answer, number, proof ──         READY; PIPED: the end of a pipe follows (pipe.py); REFUSED

The number is the stream's, by which the consumer is told what came from there (`wire.ORIGIN`).

Each message has a fixed size, and the manager process answers each in one step: its loop never waits for a peer.

Over AF_INET a proof is an HMAC of both nonces, as any user may connect, or listen there once the manager process has
ended. Over AF_UNIX it is the key. Socket and key are in one directory, which only its user can enter, so a peer can
read the key anyway; and `hmac` brings OpenSSL along, which takes each process 4 ms to import.
"""

from __future__ import annotations

import os
import socket
import struct

from logpool._transport.wire import UNIX, receive

PIPE = b"p"
SOCKET = b"s"

READY = b"r"
PIPED = b"P"
REFUSED = b"n"

NONCE_SIZE = 32
"""Bytes."""

PROOF_SIZE = 32
"""Bytes: of a key in a directory, and of an HMAC by SHA-256."""

NUMBER = struct.Struct("!Q")

HELLO_SIZE = 1 + NONCE_SIZE + PROOF_SIZE
"""Bytes that a producer says."""

PRODUCER = b"producer"
MANAGER = b"manager"


def make_nonce() -> bytes:
    """Return bytes that were never said before."""
    return os.urandom(NONCE_SIZE)


def prove(side: bytes, family: int, key: bytes, nonces: bytes) -> bytes:
    """Return a proof.

    Args:
        side: PRODUCER or MANAGER: whose.
        family: The socket's.
        key: The queue's.
        nonces: The manager process's and the producer's, in this order.
    """
    if family == UNIX:
        return key
    import hmac  # Here, because of what it takes.

    return hmac.digest(key, side + nonces, "sha256")


def is_proof(said: bytes, side: bytes, family: int, key: bytes, nonces: bytes) -> bool:
    """Tell whether what a peer said is the proof. The arguments are those of `prove`."""
    proof = prove(side, family, key, nonces)
    if family == UNIX:
        return said == proof
    import hmac

    return hmac.compare_digest(said, proof)


def introduce(connected: socket.socket, key: bytes, kind: bytes) -> tuple[bytes, int]:
    """Do the producer's part of it.

    Args:
        connected: To the manager process.
        key: The queue's.
        kind: PIPE or SOCKET.

    Returns:
        READY or PIPED, and the stream's number.

    Raises:
        OSError: The manager process is gone, or doesn't know the key, or isn't what listens there.
        EOFError: It went while this was under way.
    """
    nonce = make_nonce()
    nonces = receive(connected, NONCE_SIZE) + nonce
    connected.sendall(kind + nonce + prove(PRODUCER, connected.family, key, nonces))
    answer = receive(connected, 1)
    if answer == REFUSED:
        raise ConnectionRefusedError("the log manager has another key")
    (number,) = NUMBER.unpack(receive(connected, NUMBER.size))
    if not is_proof(receive(connected, PROOF_SIZE), MANAGER, connected.family, key, nonces):
        raise ConnectionRefusedError("the process that listens there is no log manager")
    return answer, number
