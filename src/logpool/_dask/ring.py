"""`Ring`: bytes on their way, in a file that is mapped into memory.

What was written is in the system's pages, so it outlives the process that wrote it, SIGKILL included, but not the
machine. Offsets count from the first byte that was ever written, and never go back:

    acked ≤ written ≤ acked + capacity

The process that writes holds a lock on the file. Once it has died, another process may adopt the ring, and send on what
wasn't acknowledged.

Each number is stored by one instruction, after the bytes that it counts.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import struct
import time

from logpool._process import forks

_MAGIC = b"logpool1"
_HEAD = struct.Struct("=8sQ")
"""At the beginning: the magic number and the capacity."""
_NUMBERS = 16
_ORIGIN = 32
_SIZE = struct.Struct("=H")
_DATA = mmap.PAGESIZE
"""Where the bytes begin."""

SUFFIX = ".ring"

_NEW = ".new"
"""Follows the suffix until the ring is locked."""

TOUCH = 3600.0
"""Seconds after which a ring that is written into is touched: what is stored by a map may not be seen in its time."""


class Ring(forks.ForkAware):
    """A ring of bytes. It has no lock of its own.

    Attributes:
        origin: What its writer has said of itself.
        written: Bytes that were ever written.
        acked: Bytes of these that aren't needed any more.
    """

    def __init__(self, path: str, descriptor: int) -> None:
        """Map a ring that is open and locked. It owns the descriptor."""
        self._path = path
        self._descriptor = descriptor
        self._map = mmap.mmap(descriptor, 0)
        magic, capacity = _HEAD.unpack_from(self._map)
        self.capacity: int = capacity
        if magic != _MAGIC or len(self._map) != _DATA + self.capacity:
            raise ValueError(f"{path} is no ring")
        (size,) = _SIZE.unpack_from(self._map, _ORIGIN)
        start = _ORIGIN + _SIZE.size
        self.origin = self._map[start : start + size].decode()
        self._next_touch = time.monotonic() + TOUCH
        self._numbers = memoryview(self._map)[_NUMBERS : _NUMBERS + 16].cast("Q")
        self.written: int = self._numbers[0]
        self.acked: int = self._numbers[1]
        forks.register(self)

    @property
    def room(self) -> int:
        """How many bytes can be written."""
        return self.capacity - (self.written - self.acked)

    def write(self, data: bytes | memoryview) -> int:
        """Write as much as there is room for. Return how many bytes that is."""
        count = min(len(data), self.room)
        if not count:
            return 0
        place = self.written % self.capacity
        first = min(count, self.capacity - place)
        self._map[_DATA + place : _DATA + place + first] = data[:first]
        if first < count:
            self._map[_DATA : _DATA + count - first] = data[first:count]
        self.written += count
        self._numbers[0] = self.written
        if (now := time.monotonic()) >= self._next_touch:
            self._next_touch = now + TOUCH
            with contextlib.suppress(OSError):
                os.utime(self._descriptor)
        return count

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes from one offset to another. They must have been written, and not acknowledged."""
        place = start % self.capacity
        first = min(stop - start, self.capacity - place)
        data = self._map[_DATA + place : _DATA + place + first]
        return data + self._map[_DATA : _DATA + stop - start - first] if first < stop - start else data

    def acknowledge(self, offset: int) -> None:
        """Make room: what was written before an offset isn't needed any more."""
        if self.acked < offset <= self.written:
            self.acked = offset
            self._numbers[1] = offset

    def close(self, *, remove: bool) -> None:
        """Unmap the file and release its lock. It may be called again.

        Args:
            remove: Whether to remove the file.
        """
        if self._descriptor < 0:
            return
        if remove:
            _unlink(self._path)
        self._numbers.release()
        self._map.close()
        os.close(self._descriptor)
        self._descriptor = -1

    def after_fork_in_child(self) -> None:
        """Drop the copy: the lock must end with the writer."""
        self.close(remove=False)


def create(directory: str, name: str, capacity: int, origin: str) -> Ring:
    """Create a ring to write into.

    Args:
        directory: Where; made if it isn't there.
        name: The file's, without its suffix.
        capacity: Bytes that can be written before any is acknowledged.
        origin: What to say of the writer.

    Raises:
        OSError: There is no room, or the directory isn't this user's.
    """
    path = os.path.join(directory, name + SUFFIX)
    new = path + _NEW  # No other process may see it before it is locked.
    said = origin.encode()[: _DATA - _ORIGIN - _SIZE.size]
    with forks.no_concurrent_fork():
        descriptor = _open_new(directory, new)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # Else a full disk would end the process by SIGBUS.
            os.posix_fallocate(descriptor, 0, _DATA + capacity)
            os.pwrite(descriptor, _HEAD.pack(_MAGIC, capacity), 0)
            os.pwrite(descriptor, _SIZE.pack(len(said)) + said, _ORIGIN)
            os.rename(new, path)
            return Ring(path, descriptor)
        except BaseException:
            os.close(descriptor)
            for made in (new, path):
                _unlink(made)
            raise


def adopt(directory: str, prefix: str) -> list[tuple[str, Ring]]:
    """Adopt all rings whose writers have died.

    Args:
        directory: Where they are.
        prefix: What their names begin with.

    Returns:
        Their names and the rings, of which this process now has the locks.
    """
    adopted = []
    try:
        names = sorted(os.listdir(directory))
    except OSError:
        return []
    for name in names:
        if not (name.startswith(prefix) and name.endswith(SUFFIX)):
            continue
        path = os.path.join(directory, name)
        with contextlib.suppress(OSError, ValueError):
            if (ring := _lock(path)) is not None:
                adopted.append((name.removesuffix(SUFFIX), ring))
    return adopted


def remove_old(directory: str, seconds: float) -> None:
    """Remove rings whose writers have died, and that nothing has touched for some time.

    Args:
        directory: Where they are.
        seconds: How long: more than TOUCH.
    """
    entries: list[os.DirEntry[str]] = []
    with contextlib.suppress(OSError):
        entries.extend(os.scandir(directory))
    for entry in entries:
        with contextlib.suppress(OSError, ValueError):  # Another process has removed it meanwhile; or it is no ring.
            if entry.stat().st_mtime >= time.time() - seconds:
                continue
            if entry.name.endswith(SUFFIX + _NEW):  # Its writer was killed when it made it.
                _unlink(entry.path)
            elif entry.name.endswith(SUFFIX) and (ring := _lock(entry.path)) is not None:
                ring.close(remove=True)


def _lock(path: str) -> Ring | None:
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_nlink:  # Else another process has adopted and removed it meanwhile.
            return Ring(path, descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _open_new(directory: str, path: str) -> int:
    """Open a new file in a directory that only this user can enter. The directory is made if it isn't there."""
    while True:
        os.makedirs(directory, 0o700, exist_ok=True)
        status = os.lstat(directory)
        if status.st_uid != os.getuid() or status.st_mode & 0o077:
            raise PermissionError(f"{directory} is another user's, or others can enter it")
        # Else the last one has just left it, and so removed it.
        with contextlib.suppress(FileNotFoundError):
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)


def _unlink(path: str) -> None:
    """Remove a file, and its directory if it was the last one there."""
    with contextlib.suppress(OSError):
        os.unlink(path)
        os.rmdir(os.path.dirname(path))
