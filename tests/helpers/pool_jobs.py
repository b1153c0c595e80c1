"""What jobs and processes of other projects' pools do: each says so on a logger. Nothing is handed to them."""

from __future__ import annotations

import logging
from typing import Any

COUNT = 25

logger = logging.getLogger("pools.jobs")


def work(number: int) -> int:
    """Logs so many records, the last with an exception."""
    for index in range(COUNT - 1):
        logger.info("job %d, record %d", number, index)
    try:
        raise ValueError(number)
    except ValueError:
        logger.exception("job %d, record %d", number, COUNT - 1)
    return number


def rank(index: int, offset: int) -> None:
    work(index + offset)


class Dataset:
    """For torch's DataLoader."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> int:
        return work(index)


def estimator() -> Any:
    """Returns an estimator for scikit-learn, which logs when it is fitted."""
    from sklearn.base import BaseEstimator

    class Estimator(BaseEstimator):  # type: ignore[misc]
        def __init__(self, number: int = 0) -> None:
            self.number = number

        def fit(self, x: Any, y: Any) -> Any:
            work(self.number)
            return self

        def score(self, x: Any, y: Any) -> float:
            return float(self.number)

    return Estimator()
