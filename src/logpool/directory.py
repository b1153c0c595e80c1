"""The manager's directory, which only its user can enter: for the listening socket, and for each worker's file."""

from __future__ import annotations

import contextlib
import errno
import os

REMOVALS = 100
"""How often at most it is tried to remove a directory into which files come meanwhile."""


def make() -> str | None:
    """Makes a directory.

    Returns:
        Its path; None: there is no room for one.
    """
    import tempfile  # Here, because workers don't need it.

    with contextlib.suppress(OSError):
        return os.path.abspath(tempfile.mkdtemp(prefix="logpool-"))  # Its mode is 0700.
    return None


def remove(path: str | None) -> None:
    """Removes a directory and the files in it.

    Not by `shutil.rmtree`, which needs two descriptors: there may be one, or none where it is empty.

    Args:
        path: The directory's, which may be gone already; None: there is none.
    """
    if path is None:
        return
    for _ in range(REMOVALS):
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
