"""Tests of what workers log, by pytest's own `caplog`: when a result is there, so are the job's records."""

from __future__ import annotations

import pytest
import shop

from logpool import LoggingProcessPoolExecutor


def test_an_empty_basket_is_warned_about(pool: LoggingProcessPoolExecutor, caplog: pytest.LogCaptureFixture) -> None:
    assert pool.submit(shop.total, []).result() == 0
    assert caplog.record_tuples == [("shop", 30, "nothing was bought")]


def test_prices_are_logged_at_debug(pool: LoggingProcessPoolExecutor, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG", "shop"):  # Also in workers that have been running for long.
        assert pool.submit(shop.total, [2, 3]).result() == 5
    assert caplog.messages == ["prices: [2, 3]"]


def test_at_the_usual_level_they_are_not(pool: LoggingProcessPoolExecutor, caplog: pytest.LogCaptureFixture) -> None:
    assert list(pool.map(shop.total, [[1], [2, 3]])) == [1, 5]
    assert caplog.messages == []
