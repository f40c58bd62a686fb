"""The token bucket: a vendor's documented limit is kept, whatever the burst."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psa_erp_assets.adapters.pacing import TokenBucket
from psa_erp_assets_tests.support.manual_clock import ManualClock


def test_a_burst_passes_at_once_and_then_the_rate_holds() -> None:
    """Without it the first sweep of the day would be throttled by the vendor."""
    clock = ManualClock()
    bucket = TokenBucket(rate=2, burst=3, clock=clock, sleep=clock.sleep)
    for _ in range(5):
        bucket.acquire()
    assert clock.slept == pytest.approx([0.5, 0.5])


def test_an_idle_hour_saves_up_no_more_than_the_burst() -> None:
    """An unbounded saving would break the limit after each quiet night."""
    clock = ManualClock()
    bucket = TokenBucket(rate=1, burst=2, clock=clock, sleep=clock.sleep)
    clock.time += 3600
    for _ in range(3):
        bucket.acquire()
    assert clock.slept == pytest.approx([1.0])


@given(
    rate=st.floats(min_value=0.1, max_value=100),
    burst=st.integers(min_value=1, max_value=20),
    gaps=st.lists(st.floats(min_value=0, max_value=10), max_size=50),
)
def test_no_window_holds_more_than_burst_plus_rate_times_its_length(rate: float, burst: int, gaps: list[float]) -> None:
    """The promise of a token bucket, for any pattern of requests."""
    clock = ManualClock()
    bucket = TokenBucket(rate=rate, burst=burst, clock=clock, sleep=clock.sleep)
    passed = []
    for gap in gaps:
        clock.time += gap
        bucket.acquire()
        passed.append(clock.time)
    for i, first in enumerate(passed):
        for j in range(i, len(passed)):
            assert j - i + 1 <= burst + rate * (passed[j] - first) + 1e-6


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (-1, 1), (1, 0)])
def test_a_bucket_that_would_never_give_a_token_is_refused(rate: float, burst: int) -> None:
    """A mistyped setting must not turn into a connection that waits for ever."""
    with pytest.raises(ValueError, match="positive rate"):
        TokenBucket(rate=rate, burst=burst)
