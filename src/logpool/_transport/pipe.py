"""Pipes, which take the place of sockets for streams of frames where the system's pipes are fit for it: on Linux.

A write of one frame takes half of the CPU time that it takes on a socket, and so does reading it: the kernel appends it
to a page, where a socket allocates memory for each write. In all other respects a pipe is as good: what was written is
there for the reader when the write returns, also when the writer is killed, and the end of file comes behind it.

The manager process makes them, and has the reading ends (`_manager/reading_end.py`).
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Callable

if sys.platform == "linux":
    import fcntl

CAPACITY = 2**18
"""Bytes that a pipe holds: what a process can log while nothing reads. With a quarter of it, as any pipe has at first,
processes that log wait more often; with four times as much nothing is faster (benchmarks/README.md)."""


class End:
    """One end of a pipe. What it has in common with a socket goes by the same name."""

    _descriptor = -1

    def __init__(self, descriptor: int) -> None:
        """Take over a descriptor."""
        self._descriptor = descriptor

    def fileno(self) -> int:
        """Return the descriptor; -1 if it is closed."""
        return self._descriptor

    # Bound beforehand, as `__del__` may run when the interpreter has cleared this module.
    def close(self, _close: Callable[[int], None] = os.close) -> None:
        """Close it, if it isn't closed."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            _close(descriptor)

    def __del__(self) -> None:
        self.close()


class WritingEnd(End):
    """A producer's end."""

    def sendall(self, data: bytes, flags: int = 0) -> None:
        """Write all of it.

        Args:
            data: What to write.
            flags: As for a socket; without meaning for a pipe.

        Raises:
            OSError: The reading end is closed, or the descriptor isn't this pipe's any more.
        """
        try:  # `_is_ours`, without the call: each record passes here.
            is_ours = fcntl.fcntl(self._descriptor, fcntl.F_GETPIPE_SZ) == CAPACITY
        except OSError:
            is_ours = False
        if not is_ours:
            self._descriptor = -1
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        written = os.write(self._descriptor, data)
        if written < len(data):  # A signal has interrupted it, in the midst of more than there was room for.
            rest = memoryview(data)[written:]
            while rest:
                # Its handler may have closed this end, or be a child by now, and have another with the same number.
                rest = rest[os.write(self._descriptor, rest) :]

    def _is_ours(self) -> bool:
        # A program may close all descriptors, as daemons do, and then open something that gets this one's number. That
        # is hardly a pipe of this size. (Where a socket was expected, the kernel itself refuses most.)
        try:
            return fcntl.fcntl(self._descriptor, fcntl.F_GETPIPE_SZ) == CAPACITY
        except OSError:
            return False

    def close_if_ours(self) -> None:
        """Close it, if the descriptor is still this pipe's. For a forked child, in which it may be anything."""
        if self._is_ours():
            self.close()
        self._descriptor = -1


def receive(connected: socket.socket) -> WritingEnd:
    """Take what `send` has sent.

    Args:
        connected: To the process that sends.

    Raises:
        OSError: This process has no descriptor left.
        EOFError: That process is gone.
    """
    sent, descriptors, _, _ = socket.recv_fds(connected, 1, 1)
    if not sent:
        raise EOFError("the log manager is gone")
    if not descriptors:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    end = WritingEnd(descriptors[0])
    os.set_inheritable(end.fileno(), False)  # `recv_fds` takes flags by which the kernel would do it, and drops them.
    return end
