"""The ledger of postings: one contract, kept by PostgreSQL and by the simulator's store alike."""

import datetime as dt
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Engine, select, text

from psa_erp_assets.adapters.store.exceptions import list_items
from psa_erp_assets.adapters.store.postings import PgPostingStore
from psa_erp_assets.adapters.store.schema import posting, posting_claim, posting_event
from psa_erp_assets.domain import posting as states
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.posting import Lease, Leg, Operation, Posting, State
from psa_erp_assets.domain.posting_store import (
    ClaimTakenError,
    KeyReusedError,
    PostingStore,
    StaleFenceError,
    Work,
)
from psa_erp_assets_tests.simulator.memory_store import MemoryPostingStore
from psa_erp_assets_tests.support.postings import NOON, TENANT, make_effect, make_posting

HORIZON = dt.timedelta(minutes=2)
ALL_TYPES = tuple(EffectType)


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest) -> PostingStore:
    """Each test runs against both stores."""
    if request.param == "memory":
        return MemoryPostingStore()
    return PgPostingStore(request.getfixturevalue("store_engine"), TENANT)


def at(minutes: float) -> dt.datetime:
    return NOON + dt.timedelta(minutes=minutes)


def lease(now: dt.datetime = NOON, worker: str = "w1") -> Lease:
    return Lease(worker=worker, now=now, duration=dt.timedelta(minutes=3))


def work(operation: Operation = Operation.CREATE, limit: int = 10) -> Work:
    return Work(erp_company="1", effect_type=EffectType.BILLING_LINE, operation=operation, limit=limit)


def send(store: PostingStore, now: dt.datetime, operation: Operation = Operation.CREATE) -> Sequence[Posting]:
    """Claim all that is ready and confirm it as the ERP would."""
    claimed = store.claim_ready(work(operation), lease(now))
    store.save([states.confirm(p, now, f"doc-{p.key[:6]}") for p in claimed])
    return claimed


def settle(store: PostingStore, now: dt.datetime) -> None:
    """Promote, send and verify whatever can be, once."""
    store.promote(["1"], now)
    for operation in (Operation.WITHDRAW, Operation.CREATE):
        send(store, now, operation)
        store.save([states.verify(p, now, p.erp_id) for p in store.claim_unverified(work(operation), lease(now))])


def test_a_posting_comes_back_as_it_was_added(store: PostingStore) -> None:
    """Were a field lost on the way, the ERP would get another effect than was planned."""
    new = make_posting()
    assert store.add([new], NOON) == 1
    (claimed,) = store.claim_ready(work(), lease())
    assert claimed == states.start(states.promote(new, NOON).after, lease()).after


def test_adding_the_same_posting_again_changes_nothing(store: PostingStore) -> None:
    """A planner that crashed after its commit plans again; nothing may be billed twice for it."""
    store.add([make_posting()], NOON)
    send(store, NOON)
    assert store.add([make_posting()], at(1)) == 0
    assert store.count(["1"]) == {State.CONFIRMED: 1}


def test_a_key_with_another_payload_is_refused_and_nothing_is_written(store: PostingStore) -> None:
    """One key for two effects is a bug; acting on either of them would post something wrong."""
    store.add([make_posting()], NOON)
    other = make_posting(effect=make_effect(minutes=90))
    with pytest.raises(KeyReusedError):
        store.add([make_posting("time_entry:test:2"), other], NOON)
    with pytest.raises(KeyReusedError):
        store.add([make_posting("time_entry:test:3"), make_posting("time_entry:test:3", effect=make_effect(5))], NOON)
    assert sum(store.count(["1"]).values()) == 1


def test_a_line_cannot_be_claimed_twice(store: PostingStore) -> None:
    """Two live postings of one line would bill the same work twice."""
    store.add([make_posting()], NOON)
    with pytest.raises(ClaimTakenError):
        store.add([make_posting("time_entry:test:2"), make_posting(revision=2)], NOON)
    assert sum(store.count(["1"]).values()) == 1


def test_cancelling_frees_the_line_for_a_newer_revision(store: PostingStore) -> None:
    """A change before sending replaces the plan; a claim that stayed would keep the work from being billed."""
    old = make_posting()
    store.add([old], NOON)
    assert store.cancel([old.key], NOON, "changed") == {old.key}
    assert store.add([make_posting(revision=2)], NOON) == 1


def test_what_is_in_flight_is_not_cancelled(store: PostingStore) -> None:
    """Cancelling what may already be in the ERP would lose a document."""
    new = make_posting()
    store.add([new], NOON)
    store.claim_ready(work(), lease())
    assert store.cancel([new.key], NOON, "changed") == frozenset()
    assert store.count(["1"]) == {State.IN_FLIGHT: 1}


def test_a_rejected_line_stays_claimed_until_it_is_cancelled(store: PostingStore) -> None:
    """Else another posting could take the line while this one waits to be replayed with its key."""
    new = make_posting()
    store.add([new], NOON)
    store.save([states.reject(p, NOON, "period_closed", "closed") for p in store.claim_ready(work(), lease())])
    with pytest.raises(ClaimTakenError):
        store.add([make_posting(revision=2)], NOON)
    assert store.retry([new.key], at(1), "reopened") == {new.key}
    (again,) = store.claim_ready(work(), lease(at(1)))
    assert (again.key, again.attempts, again.fault_code) == (new.key, 2, None)


def test_nothing_is_claimed_by_two_workers(store: PostingStore) -> None:
    """Two workers with one posting would send it twice."""
    store.add([make_posting(f"time_entry:test:{n}") for n in range(5)], NOON)
    first, second = store.claim_ready(work(limit=3), lease()), store.claim_ready(work(), lease(worker="w2"))
    assert (len(first), len(second)) == (3, 2)
    assert not {p.key for p in first} & {p.key for p in second}


def test_only_postings_of_the_asked_kind_and_that_are_due_are_claimed(store: PostingStore) -> None:
    """A batch is one request to one company for one type; a throttled posting must be left alone until it is due."""
    store.add([make_posting(), make_posting(effect=make_effect(effect_type=EffectType.COST_TRANSACTION))], NOON)
    store.add([make_posting("time_entry:test:2", effect=make_effect(erp_company="2"))], NOON)
    (claimed,) = store.claim_ready(work(), lease())
    store.save([states.throttle(claimed, NOON, dt.timedelta(minutes=5), "429")])
    assert store.claim_ready(work(), lease(at(4))) == []
    assert store.next_due(["1"], [EffectType.BILLING_LINE]) == at(5)
    (again,) = store.claim_ready(work(), lease(at(5)))
    assert again.attempts == 1


def test_an_expired_lease_becomes_ambiguous_and_never_ready(store: PostingStore) -> None:
    """The dead worker may have sent it: it must be looked up before anybody sends it again."""
    store.add([make_posting()], NOON)
    store.claim_ready(work(), lease())
    assert store.expire_leases(["1"], at(2), HORIZON) == 0
    assert store.next_due(["1"], ALL_TYPES) == at(3)
    assert store.expire_leases(["1"], at(3), HORIZON) == 1
    assert store.claim_ready(work(), lease(at(3))) == []
    (resolving,) = store.claim_unresolved(work(), lease(at(3)))
    assert (resolving.state, resolving.look_up_from) == (State.RESOLVING, at(5))


def test_a_zombies_outcome_is_refused(store: PostingStore) -> None:
    """A worker that wakes after its lease would overwrite what its successor has found out."""
    store.add([make_posting(), make_posting("time_entry:test:2")], NOON)
    zombie = store.claim_ready(work(), lease())
    store.expire_leases(["1"], at(3), HORIZON)
    store.claim_unresolved(work(limit=1), lease(at(3), "w2"))
    with pytest.raises(StaleFenceError):
        store.save([states.confirm(p, at(4), "x") for p in zombie])
    assert store.count(["1"]) == {State.RESOLVING: 1, State.AMBIGUOUS: 1}


def test_reading_back_is_claimed_and_a_dead_reader_is_succeeded(store: PostingStore) -> None:
    """Two readers would disturb each other; a dead one must not keep a posting unverified for ever."""
    store.add([make_posting()], NOON)
    send(store, NOON)
    (reading,) = store.claim_unverified(work(), lease())
    assert store.claim_unverified(work(), lease(at(1), "w2")) == []
    (again,) = store.claim_unverified(work(), lease(at(3), "w2"))
    with pytest.raises(StaleFenceError):
        store.save([states.verify(reading, at(3), reading.erp_id)])
    store.save([states.verify(again, at(3), again.erp_id)])
    assert store.count(["1"]) == {State.VERIFIED: 1}


@pytest.mark.parametrize(("leg", "end"), [(Leg.WITHDRAWAL, State.WITHDRAWN), (Leg.REVERSAL, State.REVERSED)])
def test_a_line_is_billed_anew_only_after_its_old_billing_is_verified_gone(
    store: PostingStore, leg: Leg, end: State
) -> None:
    """A rebill before its reversal would bill twice; one that is lost in between would not bill at all."""
    old = make_posting()
    store.add([old], NOON)
    settle(store, NOON)
    back = make_posting(leg=leg, target=old)
    rebill = make_posting(revision=2, effect=make_effect(90), depends_on=back)
    store.add([back, rebill], at(1))
    assert store.promote(["1"], at(1)).ready == 1
    (sent,) = send(store, at(1), back.operation)
    assert sent.key == back.key
    assert sent.operation is Operation.CREATE or sent.erp_id == f"doc-{old.key[:6]}"
    assert store.promote(["1"], at(1)).ready == 0
    store.save([states.verify(p, at(1), p.erp_id) for p in store.claim_unverified(work(back.operation), lease(at(1)))])
    assert store.count(["1"]) == {end: 1, State.VERIFIED: 1, State.PLANNED: 1}
    settle(store, at(2))
    assert store.count(["1"]) == {end: 1, State.VERIFIED: 2}
    with pytest.raises(ClaimTakenError):
        store.add([make_posting(revision=3)], at(3))


def test_a_refused_withdrawal_cancels_what_waits_for_it(store: PostingStore) -> None:
    """The draft is on an invoice now, so billing anew without a reversal would bill twice."""
    old = make_posting()
    store.add([old], NOON)
    settle(store, NOON)
    back = make_posting(leg=Leg.WITHDRAWAL, target=old)
    rebill = make_posting(revision=2, depends_on=back)
    after = make_posting(revision=3, depends_on=rebill)
    store.add([back, rebill, after], at(1))
    store.promote(["1"], at(1))
    claimed = store.claim_ready(work(Operation.WITHDRAW), lease(at(1)))
    store.save([states.reject(p, at(1), states.ON_DOCUMENT, "invoiced") for p in claimed])
    assert store.promote(["1"], at(1)).cancelled == 2
    assert store.count(["1"]) == {State.VERIFIED: 1, State.REJECTED: 1, State.CANCELLED: 2}


def test_a_reversal_and_a_withdrawal_of_one_posting_never_run_at_once(store: PostingStore) -> None:
    """Both would take back the same effect, and the customer would get it twice."""
    old = make_posting()
    store.add([old], NOON)
    settle(store, NOON)
    legs = [make_posting(leg=leg, target=old) for leg in (Leg.WITHDRAWAL, Leg.REVERSAL)]
    store.add(legs, at(1))
    assert store.promote(["1"], at(1)).ready == 1
    settle(store, at(1))
    assert store.promote(["1"], at(2)).ready == 0
    assert store.count(["1"])[State.CANCELLED] == 1


def test_a_cancelled_withdrawal_can_be_wanted_again(store: PostingStore) -> None:
    """Its key is that of its target, so a second wish meets the first; left cancelled, the draft would stay."""
    old = make_posting()
    store.add([old], NOON)
    settle(store, NOON)
    back = make_posting(leg=Leg.WITHDRAWAL, target=old)
    store.add([back], at(1))
    store.cancel([back.key], at(1), "wanted after all")
    assert store.add([back], at(2)) == 1
    settle(store, at(2))
    assert store.count(["1"]) == {State.WITHDRAWN: 1, State.VERIFIED: 1}


def test_a_held_posting_waits_until_it_is_released(store: PostingStore) -> None:
    """Holding is how a person keeps something from the ERP."""
    new = make_posting()
    store.add([new], NOON)
    assert store.hold([new.key], NOON, "finance asked") == {new.key}
    assert store.promote(["1"], NOON).ready == 0
    assert store.claim_ready(work(), lease()) == []
    assert store.release([new.key], at(1), "finance agreed") == {new.key}
    assert store.promote(["1"], at(1)).ready == 1


def test_a_lock_is_one_workers_at_a_time(store: PostingStore) -> None:
    """Where the ERP cannot tell duplicates, two senders at once could make some."""
    with (
        store.exclusive("1:billing_line") as first,
        store.exclusive("1:billing_line") as second,
        store.exclusive("2:billing_line") as other,
    ):
        assert (first, second, other) == (True, False, True)
    with store.exclusive("1:billing_line") as again:
        assert again


def items_of(engine: Engine, **filters: Any) -> list[tuple[str, str]]:
    with engine.connect() as connection:
        return [(row["code"], row["object_id"]) for row in list_items(connection, TENANT, **filters)]


def test_exception_items_follow_the_faults(store_engine: Engine) -> None:
    """An item that nobody opens is overlooked; one that stays open after its cause has gone teaches to ignore them."""
    store = PgPostingStore(store_engine, TENANT)
    new = make_posting()
    store.add([new], NOON)
    store.save([states.become_ambiguous(p, NOON, "reset", HORIZON) for p in store.claim_ready(work(), lease())])
    assert items_of(store_engine) == [("posting_ambiguous", new.object_id)]
    store.save([states.confirm(p, NOON, "9", adopted=True) for p in store.claim_unresolved(work(), lease())])
    assert items_of(store_engine) == []
    moves = [
        states.drift(p, NOON, "posting_drift", ["amount"], HORIZON) for p in store.claim_unverified(work(), lease())
    ]
    store.save(moves)
    assert items_of(store_engine) == [("posting_drift", new.object_id)]
    assert items_of(store_engine, resolved=True) == [("posting_ambiguous", new.object_id)]
    with pytest.raises(KeyReusedError):
        store.add([make_posting(effect=make_effect(5))], NOON)
    assert ("key_reused", new.object_id) in items_of(store_engine)
    store.report_trouble("1", "erp_auth", "401", NOON)
    assert ("erp_auth", "erp_company:1") in items_of(store_engine)
    store.trouble_over("1", ["erp_auth"], NOON)
    assert ("erp_auth", "erp_company:1") not in items_of(store_engine)


def test_the_history_tells_every_step(store_engine: Engine) -> None:
    """What happened to a posting is read from its events; a step without one could not be explained to an auditor."""
    store = PgPostingStore(store_engine, TENANT)
    store.add([make_posting()], NOON)
    settle(store, NOON)
    with store_engine.connect() as connection:
        columns = posting_event.c
        rows = connection.execute(select(columns.event, columns.to_state, columns.fence).order_by(columns.id)).all()
    assert [tuple(r) for r in rows] == [
        ("added", "planned", 0),
        ("promoted", "ready", 0),
        ("started", "in_flight", 1),
        ("confirmed", "confirmed", 1),
        ("verified", "verified", 2),
    ]


def test_postings_join_the_callers_transaction(store_engine: Engine) -> None:
    """A plan marked applied whose postings were rolled back would never be carried out."""
    store = PgPostingStore(store_engine, TENANT)
    with store_engine.connect() as connection:
        store.add([make_posting()], NOON, connection=connection)
        with pytest.raises(ClaimTakenError):
            store.add([make_posting(revision=2)], NOON, connection=connection)
        assert len(store.of_objects(["time_entry:test:1"], connection=connection)) == 1
        connection.rollback()
    assert store.count(["1"]) == {}


def test_the_database_itself_refuses_a_second_claim_of_a_line(store_engine: Engine) -> None:
    """The last line of defence against billing twice must not depend on this program."""
    PgPostingStore(store_engine, TENANT).add([make_posting()], NOON)
    with store_engine.connect() as connection:
        claims = connection.execute(select(posting_claim.c.key).where(posting_claim.c.released_at.is_(None))).all()
        assert len(claims) == 1
        definition = connection.execute(
            text("SELECT indexdef FROM pg_indexes WHERE indexname = 'ix_posting_claim_active'")
        ).scalar_one()
    assert "UNIQUE" in definition
    assert "released_at IS NULL" in definition


def test_workers_that_claim_at_the_same_time_share_the_work(store_engine: Engine) -> None:
    """SKIP LOCKED: no posting twice, none left over, and no worker waits for another."""
    store = PgPostingStore(store_engine, TENANT)
    store.add([make_posting(f"time_entry:test:{n}") for n in range(200)], NOON)
    claimed: list[str] = []

    def claim(worker: str) -> None:
        while batch := store.claim_ready(work(limit=7), lease(worker=worker)):
            claimed.extend(p.key for p in batch)

    threads = [threading.Thread(target=claim, args=(f"w{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(claimed) == len(set(claimed)) == 200


def test_a_month_of_postings_passes_in_seconds(store_engine: Engine) -> None:
    """The ledger must stay far quicker than the ERP, or it becomes the bottleneck of every billing run."""
    store = PgPostingStore(store_engine, TENANT)
    new = [make_posting(f"time_entry:test:{n}", effect=make_effect(15 + n % 400)) for n in range(3_500)]
    began = dt.datetime.now(dt.UTC)
    store.add(new, NOON)
    store.promote(["1"], NOON)
    while batch := store.claim_ready(work(limit=200), lease()):
        store.save([states.confirm(p, NOON, p.key) for p in batch])
    while batch := store.claim_unverified(work(limit=500), lease()):
        store.save([states.verify(p, NOON, p.erp_id) for p in batch])
    took = (dt.datetime.now(dt.UTC) - began).total_seconds()
    assert store.count(["1"]) == {State.VERIFIED: 3_500}
    assert took < 20
    with store_engine.connect() as connection:
        assert connection.execute(select(posting.c.key).limit(1)).all()
