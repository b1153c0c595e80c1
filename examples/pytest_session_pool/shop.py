"""What is tested: a job that logs."""

from __future__ import annotations

import logging

log = logging.getLogger("shop")


def total(prices: list[int]) -> int:
    """Adds up prices: one job. Runs in a worker."""
    log.debug("prices: %s", prices)
    if not prices:
        log.warning("nothing was bought")
    return sum(prices)
