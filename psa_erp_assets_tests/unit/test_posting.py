"""The posting's states: every way that exists, and no other."""

import datetime as dt
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psa_erp_assets.domain import posting as states
from psa_erp_assets.domain.keys import posting_key
from psa_erp_assets.domain.posting import (
    ENDED,
    EVER_CONFIRMED,
    TRANSITIONS,
    UNDER_WAY,
    WAITS_FOR_HUMAN,
    Event,
    IllegalTransitionError,
    Lease,
    Leg,
    Posting,
    State,
    Transition,
)
from psa_erp_assets.domain.values import replace
from psa_erp_assets_tests.support.postings import NOON, make_effect, make_posting

LATER = NOON + dt.timedelta(minutes=1)
MINUTE = dt.timedelta(minutes=1)
LEASE = Lease(worker="w", now=LATER, duration=3 * MINUTE)

STEPS: dict[Event, Callable[[Posting], Transition]] = {
    Event.PROMOTED: lambda p: states.promote(p, LATER),
    Event.HELD: lambda p: states.hold(p, LATER, "asked"),
    Event.RELEASED: lambda p: states.release(p, LATER, "asked"),
    Event.CANCELLED: lambda p: states.cancel(p, LATER, "changed"),
    Event.REVIVED: lambda p: states.revive(p, LATER),
    Event.STARTED: lambda p: states.start(p, LEASE),
    Event.RESTARTED: lambda p: states.restart(p, LEASE),
    Event.CONFIRMED: lambda p: states.confirm(p, LATER, "9"),
    Event.REJECTED: lambda p: states.reject(p, LATER, "period_closed", "closed"),
    Event.DEFERRED: lambda p: states.throttle(p, LATER, MINUTE, "429"),
    Event.ANSWER_LOST: lambda p: states.become_ambiguous(p, LATER, "reset", MINUTE),
    Event.LEASE_EXPIRED: lambda p: states.lease_expired(p, LATER, MINUTE),
    Event.LOOK_UP_STARTED: lambda p: states.start_look_up(p, LEASE),
    Event.LOOK_UP_FAILED: lambda p: states.look_up_failed(p, LATER, MINUTE, "503"),
    Event.MISSED: lambda p: states.miss(p, LATER, LATER, counts=True, evidence="nothing"),
    Event.FOUND_ABSENT: lambda p: states.found_absent(p, LATER, MINUTE, "nothing"),
    Event.CONFLICTED: lambda p: states.conflict(p, LATER, ["amount"]),
    Event.DUPLICATED: lambda p: states.duplicate(p, LATER, ["1", "2"]),
    Event.READ_BACK_STARTED: lambda p: states.start_read_back(p, LEASE),
    Event.READ_BACK_FAILED: lambda p: states.read_back_failed(p, LATER, MINUTE, "503"),
    Event.VERIFIED: lambda p: states.verify(p, LATER, "9"),
    Event.DRIFTED: lambda p: states.drift(p, LATER, "posting_drift", ["amount"], MINUTE),
    Event.SUPERSEDED: lambda p: states.supersede(p, LATER, make_posting(leg=Leg.REVERSAL, target=make_posting())),
    Event.RESTORED: lambda p: states.restore(p, LATER, make_posting(leg=Leg.REVERSAL, target=make_posting())),
    Event.RETRIED: lambda p: states.retry(p, LATER, "asked"),
}


def in_state(state: State) -> Posting:
    return replace(make_posting(), state=state, attempts=1, fence=4, lease_expires_at=LATER, worker="w")


def test_every_event_has_its_function() -> None:
    """An event without one could be written by hand, past the table."""
    assert set(STEPS) == set(TRANSITIONS) == set(Event) - {Event.ADDED}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", STEPS)
def test_each_event_is_defined_or_refused_in_each_state(event: Event, state: State) -> None:
    """A step that the table does not list would be one that nobody has thought through."""
    posting = in_state(state)
    if state not in TRANSITIONS[event]:
        with pytest.raises(IllegalTransitionError):
            STEPS[event](posting)
        return
    move = STEPS[event](posting)
    assert move.after.state in TRANSITIONS[event][state]
    assert (move.before, move.event, move.at) == (posting, event, LATER)
    assert move.after.fence >= posting.fence


def test_the_groups_of_states_are_all_states_without_overlap() -> None:
    """A state in no group would be waited for by nobody; one in two would be both done and not."""
    assert set(State) == UNDER_WAY | WAITS_FOR_HUMAN | ENDED
    assert not WAITS_FOR_HUMAN & ENDED


def reachable(start: State) -> set[State]:
    found, todo = {start}, [start]
    while todo:
        state = todo.pop()
        new = {to for ways in TRANSITIONS.values() for to in ways.get(state, ())} - found
        found |= new
        todo += new
    return found


@pytest.mark.parametrize("state", [State.CONFIRMED, State.VERIFIED, State.DRIFT])
def test_what_was_confirmed_never_becomes_sendable(state: State) -> None:
    """A confirmed posting that is sent again is a second document in the ERP."""
    by_itself = {to for ways in TRANSITIONS.values() for to in ways.get(state, ())}
    assert by_itself <= EVER_CONFIRMED | {State.DUPLICATE}
    duplicate = replace(in_state(State.DUPLICATE), erp_id="9")
    assert states.retry(duplicate, LATER, "cleared up").after.state is State.CONFIRMED


def test_every_state_is_reached_from_the_beginning() -> None:
    """A state that nothing leads to is dead, or its way in was forgotten."""
    assert reachable(State.PLANNED) == set(State)


def test_a_throttle_costs_no_attempt() -> None:
    """Else a storm of 429s would use up the attempts of postings that nothing is wrong with."""
    sent = states.start(states.promote(make_posting(), NOON).after, LEASE).after
    deferred = states.throttle(sent, LATER, MINUTE, "429").after
    assert (sent.attempts, deferred.attempts, deferred.due_at) == (1, 0, LATER + MINUTE)


def test_the_horizon_counts_from_the_end_of_the_dead_workers_lease() -> None:
    """It may have sent until then; earlier, a miss would prove nothing."""
    sent = states.start(states.promote(make_posting(), NOON).after, LEASE).after
    doubtful = states.lease_expired(sent, LEASE.expires_at + 10 * MINUTE, 2 * MINUTE).after
    assert doubtful.look_up_from == LEASE.expires_at + 2 * MINUTE


def test_a_rejected_reversal_passes_the_gate_again() -> None:
    """Meanwhile something else may have taken its target back."""
    rejected = replace(make_posting(leg=Leg.REVERSAL, target=make_posting()), state=State.REJECTED)
    assert states.retry(rejected, LATER, "reopened").after.state is State.PLANNED


def test_content_never_changes() -> None:
    """Postings are immutable: whatever happens, the ledger must still say what was planned."""
    fields = ("key", "effect", "payload_hash", "amount", "minutes", "service_date", "object_id", "revision", "plan_id")
    for event, ways in TRANSITIONS.items():
        for state in ways:
            move = STEPS[event](in_state(state))
            assert all(getattr(move.before, f) == getattr(move.after, f) for f in fields)


def test_naive_times_and_half_made_postings_are_refused() -> None:
    """A naive time would be compared as if it were UTC; a reversal of nothing would be a bare credit."""
    good = make_posting()
    with pytest.raises(ValueError, match="time zone"):
        replace(good, due_at=dt.datetime(2026, 10, 5))  # noqa: DTZ001 - naive on purpose
    with pytest.raises(ValueError, match="target"):
        replace(good, leg=Leg.REVERSAL)
    with pytest.raises(ValueError, match="effect"):
        replace(good, effect=None)
    with pytest.raises(ValueError, match="withdraws"):
        make_posting(leg=Leg.WITHDRAWAL)


def test_a_withdrawal_is_the_opposite_of_what_it_takes_back() -> None:
    """Summed over the ledger, an original and what takes it back must be nothing."""
    old = make_posting(effect=make_effect(90))
    for leg in (Leg.WITHDRAWAL, Leg.REVERSAL):
        back = make_posting(leg=leg, target=old)
        assert ((old.amount + back.amount).amount, old.minutes + back.minutes) == (0, 0)
    assert make_posting(leg=Leg.WITHDRAWAL, target=old).document_key == old.key
    assert make_posting(leg=Leg.REVERSAL, target=old).document_key != old.key


PARTS = st.tuples(st.text(), st.text(), st.text(), st.text(), st.integers(0, 10**6), st.text())


@given(PARTS, PARTS)
def test_keys_are_injective(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    """Two effects with one key would be one document; one effect with two keys, two documents."""
    names = ("tenant", "erp_company", "effect_type", "object_id", "revision", "leg")
    first, second = (posting_key(**dict(zip(names, parts, strict=True))) for parts in (one, other))
    assert (first == second) is (one == other)


@given(st.text(min_size=1), st.text(), st.integers(1, 5))
def test_a_key_knows_where_its_parts_end(one: str, other: str, cut: int) -> None:
    """("ab", "c") and ("a", "bc") are two objects."""
    joined = one + other
    moved = (joined[:cut], joined[cut:])
    base = {"effect_type": "billing_line", "object_id": "x", "revision": 1, "leg": "original"}
    keys = {posting_key(tenant=t, erp_company=c, **base) for t, c in ((one, other), moved)}
    assert len(keys) == len({(one, other), moved})
