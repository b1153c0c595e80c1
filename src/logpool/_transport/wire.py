"""The wire format: frames, and what the manager process and its clients say to each other.

    producer                                   manager process
             ◀──────── handshake.py ──────────▶
             ── frame, frame, frame, ... ─────▶
             ◀──────────────── ACKNOWLEDGEMENT ──         of each frame, over AF_INET alone

    consumer                                   manager process
             ── ASK, GATHER, NOW, PUT, END ───▶
             ◀───────────────────────── block ──          frames, one behind the other; before those of a stream
                                                          the manager's own, which says what they are (ORIGIN)

A frame is a header of four bytes and a body. The header is the body's length in bytes, big-endian, with some of its
highest bits set where the body isn't a record alone (PICKLED, MARK, LABELLED, FROM). What is in a producer's body is
the business of the processes at the ends.

So the consumer knows how many frames of each stream have come out of the queue, and a producer how many it has put:
whether all has been handled that a process had put by some moment can be told without a word to the manager.
"""

from __future__ import annotations

import contextlib
import socket
import struct

from logpool._process.hints import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

Address = str | tuple[str, int]
"""A path (AF_UNIX), or host and port (AF_INET), as `multiprocessing.connection` has it."""

UNIX: Any = getattr(socket, "AF_UNIX", None)
"""The family of sockets that this system may not have."""

# Frames.

HEADER = struct.Struct("!I")

PICKLED = 1 << 31
"""The body is a pickle."""

MARK = 1 << 30
"""The body is a mark of the consumer's own: when it comes out, so has all that any process had put before."""

LABELLED = 1 << 29
"""The body is a label and a record, in this order."""

FROM = MARK | LABELLED
"""The body is of the manager: an ORIGIN."""

LENGTH = LABELLED - 1

MAX_BODY = 256 * 2**20
"""Most bytes that one item may take: 256 MiB. The manager holds a frame in memory whole, so there must be a limit."""

DEFAULT_BACKLOG = 64 * 2**20
"""Bytes of frames that the manager holds before producers wait: 64 MiB."""

Frame = tuple[bytes | memoryview, int]
"""The body of a frame that came out of the queue, and its flag; 0: a record. A plain tuple, because there are many."""

ORIGIN = struct.Struct("!QQ")
"""Which stream the frames behind this are from, by its number, and how many had come from there before; or GONE."""

GONE = 2**64 - 1
"""In the place of how many: the stream has ended, and nothing more comes from there."""

CONSUMER = 0
"""In the place of a stream's number: what follows has been put by the consumer."""

LABEL_SIZE = struct.Struct("!I")
"""How many bytes a label takes: before the label."""

Positions = tuple[tuple[int, int], ...]
"""Of streams, by their numbers: how many frames have been put."""

LARGE = 2**16
"""Bytes from which on it costs less to avoid a copy of a body than to make it."""

# What the manager process says.

ACKNOWLEDGEMENT = b"a"

# What the consumer may say.

ASK = b"g"
"""A block, please, as soon as there is one. Each ASK is answered by exactly one block."""

GATHER = b"w"
"""The same as ASK, in no hurry: the manager lets frames gather for a moment, as each block wakes the consumer up."""

NOW = b"n"
"""Answer the ASK now, with an empty block if need be. Without meaning if the answer is already on its way."""

PUT = b"p"
"""A frame follows. It is given its place behind all that producers have put before."""

END = b"e"
"""Take no more frames from producers. Once all that they have put before is handed out, each ASK is answered by
ENDED."""

BLOCK_HEADER = struct.Struct("!Q")
"""The block's length in bytes; or ENDED, without a block."""

ENDED = 2**64 - 1

NO_SIGNAL = getattr(socket, "MSG_NOSIGNAL", 0)
"""The flag by which a send to a closed socket raises an error also where SIGPIPE would end the program."""

SOCKET_BUFFER = 2**20
"""Bytes that a producer's socket is to hold in the kernel: what it can put while nothing reads. The kernel's own limit
(net.core.wmem_max on Linux) caps it."""


def split(block: bytes) -> Iterator[Frame]:
    """Take a block of whole frames apart.

    Args:
        block: Frames, one behind the other.

    Yields:
        The frames in their order.
    """
    unpack_from = HEADER.unpack_from
    start, end = 0, len(block)
    while start < end:
        header = unpack_from(block, start)[0]
        start += 4
        length = header & LENGTH
        stop = start + length
        yield block[start:stop] if length < LARGE else memoryview(block)[start:stop], header - length
        start = stop


def split_label(body: bytes | memoryview) -> tuple[bytes | memoryview, bytes | memoryview]:
    """Take the body of a frame that is LABELLED apart, into label and record."""
    end = LABEL_SIZE.size + LABEL_SIZE.unpack_from(body)[0]
    return body[LABEL_SIZE.size : end], body[end:]


def header_of(body: bytes, flag: int = 0) -> bytes:
    """Return a frame's header.

    Args:
        body: The frame's body.
        flag: PICKLED, MARK, LABELLED or FROM; 0: the body is a record.

    Raises:
        ValueError: The body is larger than MAX_BODY.
    """
    length = len(body)
    if length > MAX_BODY:
        raise ValueError(f"an item of {length:,} bytes is too large for the log queue, which takes {MAX_BODY:,}")
    return HEADER.pack(length | flag)


def configure_socket(connected: socket.socket) -> socket.socket:
    """Make a connected socket fit for frames, and return it."""
    connected.setblocking(True)  # It has got what the program gave to `socket.setdefaulttimeout`.
    # Each of these is a wish: the connection works without.
    with contextlib.suppress(OSError):
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER)
    if connected.family == socket.AF_INET:
        with contextlib.suppress(OSError):
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connected


def receive(source: socket.socket, size: int) -> bytes:
    """Read exactly so many bytes from a socket.

    Raises:
        EOFError: The other side is gone.
    """
    data = source.recv(size, socket.MSG_WAITALL)
    while len(data) < size:  # A signal has interrupted it; or there is no more.
        more = source.recv(size - len(data), socket.MSG_WAITALL)
        if not more:
            raise EOFError("the log manager is gone")
        data += more
    return data
