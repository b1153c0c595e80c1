"""One process pool for all tests: workers are started once, and each test sees what its own jobs log."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from logpool import LoggingProcessPoolExecutor


@pytest.fixture(scope="session")
def pool() -> Iterator[LoggingProcessPoolExecutor]:
    """Return the pool of the session."""
    with LoggingProcessPoolExecutor(2) as executor:
        yield executor
