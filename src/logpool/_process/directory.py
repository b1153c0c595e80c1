"""The manager's private directory, which only its user can enter.

It holds the manager's socket, the key by which processes prove that they may connect, and a file for each worker of a
pool (`_worker/crash_file.py`).
"""

from __future__ import annotations

import contextlib
import errno
import os

from logpool._process.hints import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_REMOVALS = 100
"""How often at most the removal of a directory is tried while other processes add files to it."""

LONGEST_PATH = 80
"""Bytes of a directory's path. A socket's path may have 103 on macOS and BSD, 107 on Linux (`sun_path` in unix(7))."""

SHORT_PLACES = ("/tmp", "/var/tmp")
"""Where the directory is made if the path of the usual place is too long, or has no room."""

KEY_SIZE = 32
"""Bytes."""


def make() -> str | None:
    """Make a directory with a new key in it.

    Returns:
        Its path, which is short enough for a socket in it; None: no place has room for one.
    """
    import tempfile  # Here, because workers don't need it.

    try:
        usual = os.path.abspath(tempfile.gettempdir())
    except OSError:  # It has tried all places, by writing a file.
        return None
    for place in _places(usual):
        with contextlib.suppress(OSError):
            path = tempfile.mkdtemp(prefix="logpool-", dir=place)  # Its mode is 0700.
            try:
                with open(_key_path(path), "xb") as file:
                    file.write(os.urandom(KEY_SIZE))
            except BaseException:
                remove(path)
                raise
            return path
    return None


def _places(usual: str) -> Iterator[str]:
    if len(os.fsencode(usual)) <= LONGEST_PATH:
        yield usual
    yield from (place for place in SHORT_PLACES if place != usual and os.path.isdir(place))


def _key_path(path: str) -> str:
    return os.path.join(path, "key")


def read_key(path: str) -> bytes:
    """Return the key of a directory.

    Args:
        path: The directory's.

    Raises:
        OSError: The directory is gone, or another user's.
    """
    with open(_key_path(path), "rb") as file:
        return file.read()


def remove(path: str | None) -> None:
    """Remove a directory and the files in it.

    Args:
        path: The directory's, which may be gone already; None: there is none.
    """
    if path is None:
        return
    # Not by `shutil.rmtree`, which needs two descriptors, where the process may have none left.
    for _ in range(MOST_REMOVALS):
        try:
            os.rmdir(path)
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                return
        else:
            return
        # Once more where a worker that is just being started adds its file meanwhile.
        with contextlib.suppress(OSError):
            for name in os.listdir(path):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(path, name))
