"""Limits and waits stay within their bounds, whatever an ERP says."""

import datetime as dt
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psa_erp_assets.domain.back_pressure import AdaptiveLimit, WaitBounds

BOUNDS = WaitBounds(shortest=dt.timedelta(seconds=1), longest=dt.timedelta(minutes=5), unsaid=dt.timedelta(seconds=10))


@given(st.lists(st.booleans(), max_size=200), st.integers(1, 500))
def test_the_limit_stays_between_one_and_its_ceiling(windows: list[bool], ceiling: int) -> None:
    """At nothing the company would never be served again; above the ceiling the ERP refuses."""
    limit = AdaptiveLimit(size=ceiling, ceiling=ceiling)
    for clean in windows:
        after = limit.after_clean_window() if clean else limit.after_overload()
        assert 1 <= after.size <= ceiling
        assert after.size == (min(limit.size + 1, ceiling) if clean else max(limit.size // 2, 1))
        limit = after


def test_a_limit_outside_its_bounds_is_refused() -> None:
    """A batch size of nothing would make an engine that never ends."""
    with pytest.raises(ValueError, match="limit of 0"):
        AdaptiveLimit(size=0, ceiling=10)


@given(st.none() | st.floats(allow_nan=True, allow_infinity=True))
def test_every_wait_is_bounded(retry_after: float | None) -> None:
    """A Retry-After of a year would stop billing for a year; a negative one would hammer the ERP."""
    wait = BOUNDS.obey(retry_after)
    if retry_after is None or math.isnan(retry_after):
        assert wait == BOUNDS.unsaid
    else:
        assert BOUNDS.shortest <= wait <= BOUNDS.longest
    assert BOUNDS.obey(30) == dt.timedelta(seconds=30)
