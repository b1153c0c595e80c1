"""`ReadingEnd`: the manager's end of a producer's pipe (`_transport/pipe.py`).

A pipe has no `shutdown`, by which a reader refuses what comes later but gets what has come. Here it is.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys

from logpool._transport.pipe import CAPACITY, End, WritingEnd

if sys.platform == "linux":
    import fcntl
    import termios  # Here, as it may be out of reach later, when it is needed: the program may have changed user.


class ReadingEnd(End):
    """The end from which the manager reads."""

    def setblocking(self, flag: bool) -> None:
        """Set whether to wait where there is nothing to read."""
        os.set_blocking(self._descriptor, flag)

    def recv_into(self, buffer: memoryview) -> int:
        """Read what there is.

        Args:
            buffer: Where to.

        Returns:
            How many bytes there were; 0 at the end.

        Raises:
            BlockingIOError: There is nothing yet.
        """
        return os.readv(self._descriptor, [buffer])

    def shutdown(self) -> bool:
        """Refuse what comes later, and close the pipe, if nothing is left in it.

        Returns:
            Whether it was empty. If not, what is left is to be read, and this to be called again.
        """
        try:
            # What is in a pipe lives as long as any end of it does. So once nothing can be written any more, it shows
            # what has come since the last read, and that can be read after all.
            own = os.open(f"/proc/self/fd/{self._descriptor}", os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # There is no such directory, or no descriptor left. What comes right now is lost.
            self.close()
            return True
        try:
            self.close()
            if not _bytes_in(own):
                return True
            self._descriptor = os.open(f"/proc/self/fd/{own}", os.O_RDONLY | os.O_NONBLOCK)
            return False
        finally:
            os.close(own)


def _bytes_in(pipe: int) -> int:
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def make() -> tuple[ReadingEnd, WritingEnd] | None:
    """Make a pipe.

    Returns:
        Its ends; None if the system's pipes aren't fit for frames, or none is left.
    """
    if sys.platform != "linux":
        return None
    with contextlib.suppress(OSError):
        reading, writing = os.pipe()
        ends = ReadingEnd(reading), WritingEnd(writing)
        # Fails where the pipes of one user hold as much as they may together. Those made then are small.
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, CAPACITY)
        return ends
    return None


def send(end: WritingEnd, connected: socket.socket) -> None:
    """Hand an end to another process, and close it here.

    Args:
        end: The end.
        connected: To that process.

    Raises:
        OSError: That process is gone.
    """
    try:
        socket.send_fds(connected, [b"\0"], [end.fileno()])
    finally:
        end.close()
