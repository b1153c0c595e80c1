"""What the manager process and all others say to each other, and how their sockets are set up.

    role ─────────────▶
         ◀───── ATTACHED               or PIPED, and the end of a pipe
    frame, frame, ... ▶              who puts
    ASK, NOW, PUT, LAST ▶            who gets
         ◀──────── block

Before that both sides prove that they have the `authkey`, as `multiprocessing.connection` does it.

Knows nothing of logging.
"""

from __future__ import annotations

import contextlib
import socket
import struct

from logpool.hints import Any

Address = str | tuple[str, int]
"""A path (AF_UNIX), or host and port (AF_INET), as `multiprocessing.connection` has it."""

UNIX: Any = getattr(socket, "AF_UNIX", None)
"""The family of sockets that this system may not have."""

ATTACHED = b"attached"
"""What the manager says to a process when it knows which role that has."""

PIPED = b"piped"
"""What it says if frames are to come by the pipe whose end follows (pipes.py), in place of this connection."""

PUT_BY_SOCKET = "put-sock"
"""A role besides "put" and "get": of a process that puts, but mustn't be given a pipe."""

LONGEST_ROLE = 8
"""Bytes."""

NO_SIGNAL = getattr(socket, "MSG_NOSIGNAL", 0)
"""With which a socket whose other end is closed raises an error also where the program has SIGPIPE's default."""

# What a process that gets may say to the manager. Each ASK is answered by exactly one block.
ASK = b"g"  # A block, please, as soon as there is one.
NOW = b"n"  # Answer the ASK now, with an empty block if need be. Means nothing where the answer is on its way already.
PUT = b"p"  # A frame follows.
LAST = b"l"  # A frame follows, and nobody may put anything behind it.

ACKNOWLEDGEMENT = b"a"  # Of one frame that was put over AF_INET.

BLOCK_HEADER = struct.Struct("!Q")  # The block's length in bytes.

# Room for one socket to the manager in the kernel: what a worker can log while nobody reads. The kernel's own limit
# (net.core.wmem_max on Linux) caps it.
SOCKET_BUFFER = 2**20


def tuned(plain: socket.socket) -> socket.socket:
    """Returns a socket, after it was made fit for frames.

    Args:
        plain: Connected.
    """
    plain.setblocking(True)  # It has got what the program gave to `socket.setdefaulttimeout`.
    # Each is a wish: the connection works without.
    with contextlib.suppress(OSError):
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER)
    if plain.family == socket.AF_INET:
        with contextlib.suppress(OSError):
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return plain
