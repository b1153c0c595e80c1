"""The file that the records end up in: how many are there, and since when."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from benchmarks import jobs

STANDSTILL = 3.0
"""Seconds without a new line after which no more are expected."""

POLL = 0.02
"""Seconds between looks at the file: few enough looks to leave the listener's thread alone."""


def make_handler(path: Path) -> logging.FileHandler:
    """Makes the handler that has the records in the end, and lets records of level INFO through.

    Args:
        path: Where it writes.
    """
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter(jobs.RECORD_FORMAT))
    logging.getLogger().setLevel(logging.INFO)
    return handler


class LineCounter:
    """Counts the lines of a file that grows. Reads each byte once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self._file = path.open("rb", buffering=0)

    def update(self) -> int:
        """Counts what is new.

        Returns:
            All lines by now.
        """
        while data := self._file.read(2**20):
            self.count += data.count(b"\n")
        return self.count

    def wait_for(self, expected: int) -> int:
        """Waits until the file has so many lines, or gets no more.

        Args:
            expected: How many.

        Returns:
            How many there are.
        """
        changed = time.monotonic()
        while True:
            before = self.count
            if self.update() >= expected:
                return self.count
            if self.count > before:
                changed = time.monotonic()
            elif time.monotonic() - changed > STANDSTILL:
                return self.count
            time.sleep(POLL)

    def last_write(self) -> float:
        """Returns when the file was written to last, in seconds since the epoch.

        The kernel notes it, so nobody has to watch for the last record while it is on its way. Exact to a tick of the
        kernel's clock, which is 4 ms or less.
        """
        return self.path.stat().st_mtime
