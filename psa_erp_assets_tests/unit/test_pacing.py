"""The token bucket: a vendor's documented limit is kept, whatever the burst."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psa_erp_assets.adapters.pacing import Circuit, CircuitState, RetryBudget, TokenBucket
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


def test_a_circuit_opens_after_failures_in_a_row_and_closes_with_an_answer() -> None:
    """A dead system would be asked thousands of times, and everybody would wait for each of its time-outs."""
    clock = ManualClock()
    circuit = Circuit(failures=3, rest=10, longest=15, clock=clock)
    for _ in range(2):
        assert circuit.admits()
        circuit.failed()
    circuit.succeeded()
    for _ in range(3):
        assert circuit.admits()
        circuit.failed()
    assert (circuit.state, circuit.admits()) == (CircuitState.OPEN, False)
    clock.time += 10
    assert circuit.state is CircuitState.HALF_OPEN
    assert [circuit.admits(), circuit.admits()] == [True, False], "one request finds out whether it is back"
    circuit.failed()
    clock.time += 14
    assert circuit.state is CircuitState.OPEN, "after a failed trial it rests for longer"
    clock.time += 1
    assert circuit.admits()
    circuit.succeeded()
    assert (circuit.state, circuit.admits()) == (CircuitState.CLOSED, True)


def test_retries_are_a_share_of_requests() -> None:
    """In an outage each request would become five, just when the system can bear least."""
    budget = RetryBudget(share=0.2, most=2)
    assert [budget.spend(), budget.spend(), budget.spend()] == [True, True, False]
    for _ in range(5):
        budget.earn()
    assert [budget.spend(), budget.spend()] == [True, False]
    for _ in range(1000):
        budget.earn()
    assert budget.left() == 2, "a quiet week saves up no storm"


@pytest.mark.parametrize(("share", "most"), [(0, 1), (1.1, 1), (0.5, 0)])
def test_a_budget_that_makes_no_sense_is_refused(share: float, most: int) -> None:
    """More retries than requests would be no bound."""
    with pytest.raises(ValueError, match="retry budget"):
        RetryBudget(share=share, most=most)
