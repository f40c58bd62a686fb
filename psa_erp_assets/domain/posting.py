"""Postings: one financial effect in one ERP company, its states, and the only ways from one state to another.

A posting's content never changes. Its state changes by the functions below alone; each takes the time from its
caller and returns a `Transition`, which a store writes only if the posting still is as it was read (same fence, same
state). `TRANSITIONS` is the whole table; whatever it does not list raises `IllegalTransitionError`.

What belongs here: states and transitions. What does not: what an ERP's documents mean for a posting
(`posting_look_up`), and storing (`posting_store` and its adapters).
"""

import datetime as dt
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from psa_erp_assets.domain.effects import Effect, EffectType, to_payload
from psa_erp_assets.domain.keys import content_hash
from psa_erp_assets.domain.money import Money

ON_DOCUMENT = "on_document"
"""The code of a withdrawal that the ERP refuses because a document has taken the draft up. No fault: plan anew."""


class State(enum.StrEnum):
    """Where a posting stands."""

    PLANNED = "planned"
    HELD = "held"
    READY = "ready"
    IN_FLIGHT = "in_flight"
    AMBIGUOUS = "ambiguous"
    RESOLVING = "resolving"
    CONFIRMED = "confirmed"
    VERIFIED = "verified"
    DRIFT = "drift"
    REJECTED = "rejected"
    CONFLICT = "conflict"
    DUPLICATE = "duplicate"
    WITHDRAWN = "withdrawn"
    REVERSED = "reversed"
    CANCELLED = "cancelled"


class Operation(enum.StrEnum):
    """What the ERP is asked for."""

    CREATE = "create"
    WITHDRAW = "withdraw"


class Leg(enum.StrEnum):
    """The part that a posting plays for its object: the effect itself, or what takes that effect back."""

    ORIGINAL = "original"
    REVERSAL = "reversal"
    WITHDRAWAL = "withdrawal"


class Event(enum.StrEnum):
    """What happened to a posting."""

    ADDED = "added"
    PROMOTED = "promoted"
    HELD = "held"
    RELEASED = "released"
    CANCELLED = "cancelled"
    REVIVED = "revived"
    STARTED = "started"
    RESTARTED = "restarted"
    CONFIRMED = "confirmed"
    REJECTED = "rejected"
    DEFERRED = "deferred"
    ANSWER_LOST = "answer_lost"
    LEASE_EXPIRED = "lease_expired"
    LOOK_UP_STARTED = "look_up_started"
    LOOK_UP_FAILED = "look_up_failed"
    MISSED = "missed"
    FOUND_ABSENT = "found_absent"
    CONFLICTED = "conflicted"
    DUPLICATED = "duplicated"
    READ_BACK_STARTED = "read_back_started"
    READ_BACK_FAILED = "read_back_failed"
    VERIFIED = "verified"
    DRIFTED = "drifted"
    SUPERSEDED = "superseded"
    RESTORED = "restored"
    RETRIED = "retried"


_S: TypeAlias = State
_Ways: TypeAlias = Mapping[State, frozenset[State]]


def _ways(froms: tuple[State, ...], *tos: State) -> _Ways:
    return {state: frozenset(tos) for state in froms}


TRANSITIONS: Mapping[Event, _Ways] = {
    # Before anything is sent.
    Event.PROMOTED: _ways((_S.PLANNED,), _S.READY),
    Event.HELD: _ways((_S.PLANNED, _S.READY), _S.HELD),
    Event.RELEASED: _ways((_S.HELD,), _S.PLANNED),
    Event.CANCELLED: _ways((_S.PLANNED, _S.HELD, _S.READY, _S.REJECTED), _S.CANCELLED),
    Event.REVIVED: _ways((_S.CANCELLED,), _S.PLANNED),
    # An attempt. STARTED is committed before any byte leaves.
    Event.STARTED: _ways((_S.READY,), _S.IN_FLIGHT),
    Event.RESTARTED: _ways((_S.IN_FLIGHT,), _S.IN_FLIGHT),
    Event.CONFIRMED: _ways((_S.IN_FLIGHT, _S.RESOLVING), _S.CONFIRMED),
    Event.REJECTED: _ways((_S.IN_FLIGHT, _S.RESOLVING), _S.REJECTED),
    Event.DEFERRED: _ways((_S.IN_FLIGHT,), _S.READY),
    Event.ANSWER_LOST: _ways((_S.IN_FLIGHT,), _S.AMBIGUOUS),
    Event.LEASE_EXPIRED: _ways((_S.IN_FLIGHT, _S.RESOLVING), _S.AMBIGUOUS),
    # Nobody knows: look up before anything is sent again.
    Event.LOOK_UP_STARTED: _ways((_S.AMBIGUOUS,), _S.RESOLVING),
    Event.LOOK_UP_FAILED: _ways((_S.RESOLVING,), _S.AMBIGUOUS),
    Event.MISSED: _ways((_S.RESOLVING,), _S.AMBIGUOUS),
    Event.FOUND_ABSENT: _ways((_S.RESOLVING,), _S.READY),
    Event.CONFLICTED: _ways((_S.RESOLVING,), _S.CONFLICT),
    Event.DUPLICATED: _ways((_S.RESOLVING, _S.CONFIRMED), _S.DUPLICATE),
    # In the ERP: read back, and in the end taken back by a posting of its own.
    Event.READ_BACK_STARTED: {_S.CONFIRMED: frozenset({_S.CONFIRMED}), _S.DRIFT: frozenset({_S.DRIFT})},
    Event.READ_BACK_FAILED: {_S.CONFIRMED: frozenset({_S.CONFIRMED}), _S.DRIFT: frozenset({_S.DRIFT})},
    Event.VERIFIED: _ways((_S.CONFIRMED, _S.DRIFT), _S.VERIFIED),
    Event.DRIFTED: _ways((_S.CONFIRMED, _S.DRIFT), _S.DRIFT),
    Event.SUPERSEDED: _ways((_S.VERIFIED, _S.DRIFT), _S.WITHDRAWN, _S.REVERSED),
    Event.RESTORED: _ways((_S.REVERSED,), _S.VERIFIED),
    # A person or the planner asks again.
    Event.RETRIED: {
        _S.REJECTED: frozenset({_S.READY, _S.PLANNED}),
        _S.CONFLICT: frozenset({_S.AMBIGUOUS}),
        _S.DUPLICATE: frozenset({_S.AMBIGUOUS, _S.CONFIRMED}),
    },
}
"""For each event the states in which it may happen and the states to which it may lead. ADDED makes the posting."""

WAITS_FOR_HUMAN = frozenset({State.HELD, State.REJECTED, State.CONFLICT, State.DUPLICATE, State.DRIFT})
ENDED = frozenset({State.VERIFIED, State.WITHDRAWN, State.REVERSED, State.CANCELLED})
UNDER_WAY = frozenset(State) - WAITS_FOR_HUMAN - ENDED
"""States that the engine itself moves on."""
EVER_CONFIRMED = frozenset({State.CONFIRMED, State.VERIFIED, State.DRIFT, State.WITHDRAWN, State.REVERSED})


class IllegalTransitionError(Exception):
    """The table of transitions has no such step."""

    def __init__(self, posting: "Posting", event: Event, to: State) -> None:
        super().__init__(f"posting {posting.key} is {posting.state}: {event} cannot make it {to}")
        self.key, self.state, self.event = posting.key, posting.state, event


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """One posting as it is now.

    The first block is its content and never changes: `effect` is None for a withdrawal, whose `amount` and `minutes`
    are the opposite of what it takes back; `target_key` is what a reversal or withdrawal takes back; `depends_on`
    must be VERIFIED before this one is sent. The second block is its state: `fence` counts claims, `look_up_from`
    is when a look-up that finds nothing begins to mean something, `misses` counts such look-ups, `erp_id` is its
    document in the ERP (for a withdrawal, the one to remove), `fault_code` says what is wrong, None if nothing is.
    """

    key: str
    tenant: str
    legal_entity: str
    service_month: str
    erp_company: str
    effect_type: EffectType
    operation: Operation
    leg: Leg
    object_id: str
    revision: int
    source_revision: int
    target_key: str | None
    depends_on: str | None
    effect: Effect | None
    payload_hash: str
    amount: Money
    minutes: int
    service_date: dt.date
    plan_id: int | None
    created_at: dt.datetime

    state: State
    state_since: dt.datetime
    due_at: dt.datetime
    fence: int = 0
    attempts: int = 0
    worker: str | None = None
    lease_expires_at: dt.datetime | None = None
    look_up_from: dt.datetime | None = None
    misses: int = 0
    erp_id: str | None = None
    fault_code: str | None = None
    fault_detail: str | None = None

    def __post_init__(self) -> None:
        for name in ("created_at", "state_since", "due_at", "lease_expires_at", "look_up_from"):
            at = getattr(self, name)
            if at is not None and at.tzinfo is None:
                raise ValueError(f"{name} of posting {self.key} has no time zone")
        if (self.target_key is None) is not (self.leg is Leg.ORIGINAL):
            raise ValueError(f"posting {self.key}: a reversal or withdrawal, and nothing else, has a target")
        if (self.effect is None) is not (self.operation is Operation.WITHDRAW):
            raise ValueError(f"posting {self.key}: a withdrawal, and nothing else, has no effect")

    @property
    def source_line(self) -> str | None:
        """The line that it claims, so that no other posting bills it; None for what takes another posting back."""
        return self.object_id if self.leg is Leg.ORIGINAL else None

    @property
    def claims_when_promoted(self) -> bool:
        """Whether its line is another posting's until that one has been taken back."""
        return self.source_line is not None and self.depends_on is not None

    @property
    def document_key(self) -> str:
        """The key under which the ERP knows the document concerned."""
        return self.key if self.target_key is None or self.operation is Operation.CREATE else self.target_key

    def to_payload(self) -> dict[str, Any]:
        """What `payload_hash` is the hash of, as a JSON body."""
        if self.effect is not None:
            return to_payload(self.effect)
        assert self.target_key is not None
        return _withdrawal_payload(self.effect_type, self.erp_company, self.target_key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """A posting before and after an event, with the evidence of the event."""

    before: Posting
    after: Posting
    event: Event
    at: dt.datetime
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def recorded(self) -> bool:
        """Whether the history keeps it. A claim for reading back changes nothing but the lease."""
        return self.event is not Event.READ_BACK_STARTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Who may work on a posting, and until when."""

    worker: str
    now: dt.datetime
    duration: dt.timedelta

    @property
    def expires_at(self) -> dt.datetime:
        """When the right ends."""
        return self.now + self.duration


def new_posting(
    *,
    key: str,
    tenant: str,
    legal_entity: str,
    service_month: str,
    leg: Leg,
    object_id: str,
    revision: int,
    source_revision: int,
    effect: Effect,
    now: dt.datetime,
    target_key: str | None = None,
    depends_on: str | None = None,
    plan_id: int | None = None,
) -> Posting:
    """A PLANNED posting. `effect` is what is created or, for a withdrawal, the effect of what is withdrawn."""
    withdrawal = leg is Leg.WITHDRAWAL
    if withdrawal and target_key is None:
        raise ValueError(f"withdrawal {key} does not say what it withdraws")
    payload = (
        _withdrawal_payload(effect.effect_type, effect.erp_company, target_key)
        if withdrawal and target_key is not None
        else to_payload(effect)
    )
    return Posting(
        key=key,
        tenant=tenant,
        legal_entity=legal_entity,
        service_month=service_month,
        erp_company=effect.erp_company,
        effect_type=effect.effect_type,
        operation=Operation.WITHDRAW if withdrawal else Operation.CREATE,
        leg=leg,
        object_id=object_id,
        revision=revision,
        source_revision=source_revision,
        target_key=target_key,
        depends_on=depends_on,
        effect=None if withdrawal else effect,
        payload_hash=content_hash(payload),
        amount=-effect.amount if withdrawal else effect.amount,
        minutes=-effect.minutes if withdrawal else effect.minutes,
        service_date=effect.service_date,
        plan_id=plan_id,
        created_at=now,
        state=State.PLANNED,
        state_since=now,
        due_at=now,
    )


def promote(posting: Posting, now: dt.datetime, *, erp_id: str | None = None) -> Transition:
    """It may be sent. `erp_id` is the document that a withdrawal removes."""
    return _move(posting, Event.PROMOTED, State.READY, now, due_at=now, erp_id=erp_id)


def hold(posting: Posting, now: dt.datetime, reason: str) -> Transition:
    """Keep it from being sent until it is released."""
    return _move(posting, Event.HELD, State.HELD, now, detail={"reason": reason})


def release(posting: Posting, now: dt.datetime, reason: str) -> Transition:
    """Let a held posting go on, through the gate that every planned one passes."""
    return _move(posting, Event.RELEASED, State.PLANNED, now, detail={"reason": reason}, due_at=now)


def cancel(posting: Posting, now: dt.datetime, reason: str) -> Transition:
    """Give up a posting of which nothing exists in the ERP. Its claim is released."""
    return _move(posting, Event.CANCELLED, State.CANCELLED, now, detail={"reason": reason})


def revive(posting: Posting, now: dt.datetime) -> Transition:
    """A cancelled reversal or withdrawal is wanted again: its key is that of its target, so there is no other."""
    return _move(posting, Event.REVIVED, State.PLANNED, now, due_at=now)


def start(posting: Posting, lease: Lease) -> Transition:
    """A worker takes it: a new fence and a new attempt, to be committed before any byte leaves."""
    return _attempt(posting, Event.STARTED, lease)


def restart(posting: Posting, lease: Lease) -> Transition:
    """The ERP refused the batch that it was in and did nothing; its worker tries it again in a smaller one."""
    return _attempt(posting, Event.RESTARTED, lease)


def confirm(posting: Posting, now: dt.datetime, erp_id: str, **detail: Any) -> Transition:
    """The ERP has done it, by its own answer or by a look-up."""
    return _move(
        posting, Event.CONFIRMED, State.CONFIRMED, now, detail={"erp_id": erp_id, **detail}, due_at=now, erp_id=erp_id
    )


def reject(posting: Posting, now: dt.datetime, code: str, message: str) -> Transition:
    """The ERP has definitely not done it, and would not do it if asked again as it stands."""
    return _move(
        posting,
        Event.REJECTED,
        State.REJECTED,
        now,
        detail={"code": code, "message": message},
        fault_code=code,
        fault_detail=message,
    )


def throttle(posting: Posting, now: dt.datetime, wait: dt.timedelta, reason: str) -> Transition:
    """The ERP has definitely not done it for a reason that is not the posting's: load, or credentials.

    The attempt does not count.
    """
    return _move(
        posting,
        Event.DEFERRED,
        State.READY,
        now,
        detail={"reason": reason, "wait_seconds": wait.total_seconds()},
        due_at=now + wait,
        attempts=posting.attempts - 1,
    )


def become_ambiguous(posting: Posting, now: dt.datetime, evidence: str, horizon: dt.timedelta) -> Transition:
    """There was no answer that says what the ERP did. `horizon` is the ERP's longest execution time."""
    return _doubt(posting, Event.ANSWER_LOST, now, evidence, now + horizon)


def lease_expired(posting: Posting, now: dt.datetime, horizon: dt.timedelta) -> Transition:
    """Its worker has not come back. It sent nothing after its lease, so the horizon counts from there."""
    expired_at = posting.lease_expires_at or now
    if posting.state is State.RESOLVING:
        look_up_from = posting.look_up_from or expired_at + horizon
    else:
        look_up_from = expired_at + horizon
    evidence = f"worker {posting.worker} let its lease of {expired_at.isoformat()} expire"
    return _doubt(posting, Event.LEASE_EXPIRED, now, evidence, look_up_from)


def start_look_up(posting: Posting, lease: Lease) -> Transition:
    """A worker takes an ambiguous posting to look it up."""
    return _move(
        posting,
        Event.LOOK_UP_STARTED,
        State.RESOLVING,
        lease.now,
        keep_fault=True,
        fence=posting.fence + 1,
        worker=lease.worker,
        lease_expires_at=lease.expires_at,
    )


def look_up_failed(posting: Posting, now: dt.datetime, wait: dt.timedelta, evidence: str) -> Transition:
    """The look-up had no usable answer, which says nothing about the posting."""
    return _move(
        posting,
        Event.LOOK_UP_FAILED,
        State.AMBIGUOUS,
        now,
        detail={"evidence": evidence},
        keep_fault=True,
        due_at=now + wait,
    )


def miss(posting: Posting, now: dt.datetime, due_at: dt.datetime, *, counts: bool, evidence: str) -> Transition:
    """The ERP shows nothing done. `counts`: the horizon has passed, so that this is proof in part."""
    return _move(
        posting,
        Event.MISSED,
        State.AMBIGUOUS,
        now,
        detail={"evidence": evidence, "counts": counts},
        keep_fault=True,
        due_at=due_at,
        misses=posting.misses + counts,
    )


def found_absent(posting: Posting, now: dt.datetime, wait: dt.timedelta, evidence: str) -> Transition:
    """Two spaced misses after the horizon: nothing was done, and the same key may be sent again after `wait`."""
    return _move(
        posting,
        Event.FOUND_ABSENT,
        State.READY,
        now,
        detail={"evidence": evidence},
        due_at=now + wait,
        look_up_from=None,
        misses=0,
    )


def conflict(posting: Posting, now: dt.datetime, differences: list[str]) -> Transition:
    """The ERP holds one document under the key, and it is another one."""
    text = "; ".join(differences)
    return _move(
        posting,
        Event.CONFLICTED,
        State.CONFLICT,
        now,
        detail={"differences": differences},
        fault_code="posting_conflict",
        fault_detail=text,
    )


def duplicate(posting: Posting, now: dt.datetime, erp_ids: list[str]) -> Transition:
    """The ERP holds several documents under the key, and the sync may not choose between them."""
    return _move(
        posting,
        Event.DUPLICATED,
        State.DUPLICATE,
        now,
        detail={"erp_ids": erp_ids},
        fault_code="posting_duplicate",
        fault_detail=f"documents {', '.join(erp_ids)}",
    )


def start_read_back(posting: Posting, lease: Lease) -> Transition:
    """A worker takes a confirmed posting, or one in drift, to read it back."""
    return _move(
        posting,
        Event.READ_BACK_STARTED,
        posting.state,
        lease.now,
        keep_fault=True,
        fence=posting.fence + 1,
        worker=lease.worker,
        lease_expires_at=lease.expires_at,
    )


def read_back_failed(posting: Posting, now: dt.datetime, wait: dt.timedelta, evidence: str) -> Transition:
    """There was no usable answer, or there was something to clear up first; read back again after `wait`."""
    return _move(
        posting,
        Event.READ_BACK_FAILED,
        posting.state,
        now,
        detail={"evidence": evidence},
        keep_fault=True,
        due_at=now + wait,
    )


def verify(posting: Posting, now: dt.datetime, erp_id: str | None) -> Transition:
    """Read back: the ERP holds just what was sent, as document `erp_id`, or, for a withdrawal, nothing any more.

    The document need not be the one of the ERP's answer: of two that one request made, either may have been removed.
    """
    return _move(posting, Event.VERIFIED, State.VERIFIED, now, detail={"erp_id": erp_id}, erp_id=erp_id)


def drift(posting: Posting, now: dt.datetime, code: str, differences: list[str], wait: dt.timedelta) -> Transition:
    """Read back: the ERP holds something else. It is read again after `wait`, as somebody may have put it right."""
    return _move(
        posting,
        Event.DRIFTED,
        State.DRIFT,
        now,
        detail={"code": code, "differences": differences},
        due_at=now + wait,
        fault_code=code,
        fault_detail="; ".join(differences),
    )


def supersede(target: Posting, now: dt.datetime, by: Posting) -> Transition:
    """What was to take `target` back has been verified."""
    to = State.WITHDRAWN if by.operation is Operation.WITHDRAW else State.REVERSED
    return _move(target, Event.SUPERSEDED, to, now, detail={"by": by.key})


def void(posting: Posting, now: dt.datetime, reason: str) -> Transition:
    """The ERP itself has taken it back, by cancelling the document that it was on."""
    return _move(posting, Event.SUPERSEDED, State.REVERSED, now, detail={"reason": reason})


def restore(target: Posting, now: dt.datetime, void: Posting) -> Transition:
    """It counts again: what took it back is void, on a document that the ERP has cancelled."""
    return _move(target, Event.RESTORED, State.VERIFIED, now, detail={"void": void.key})


def reinstate(posting: Posting, now: dt.datetime, reason: str) -> Transition:
    """It counts again: the ERP has made a draft of the cancelled document that it is on."""
    return _move(posting, Event.RESTORED, State.VERIFIED, now, detail={"reason": reason})


def retry(posting: Posting, now: dt.datetime, reason: str) -> Transition:
    """Go on with the same key.

    A rejection was definite, so it is sent again; what takes another posting back passes the gate again first. A
    conflict or duplicate is looked up again and, had it once been confirmed, read back again: never sent.
    """
    if posting.state is State.REJECTED:
        to = State.READY if posting.target_key is None else State.PLANNED
    else:
        to = State.AMBIGUOUS if posting.erp_id is None else State.CONFIRMED
    return _move(posting, Event.RETRIED, to, now, detail={"reason": reason}, due_at=now, misses=0)


def _attempt(posting: Posting, event: Event, lease: Lease) -> Transition:
    return _move(
        posting,
        event,
        State.IN_FLIGHT,
        lease.now,
        detail={"attempt": posting.attempts + 1, "lease_expires_at": lease.expires_at.isoformat()},
        fence=posting.fence + 1,
        attempts=posting.attempts + 1,
        worker=lease.worker,
        lease_expires_at=lease.expires_at,
        look_up_from=None,
        misses=0,
    )


def _doubt(posting: Posting, event: Event, now: dt.datetime, evidence: str, look_up_from: dt.datetime) -> Transition:
    return _move(
        posting,
        event,
        State.AMBIGUOUS,
        now,
        detail={"evidence": evidence, "look_up_from": look_up_from.isoformat()},
        due_at=now,
        look_up_from=look_up_from,
        fault_code="posting_ambiguous",
        fault_detail=evidence,
    )


def _move(
    posting: Posting,
    event: Event,
    to: State,
    at: dt.datetime,
    *,
    detail: Mapping[str, Any] | None = None,
    keep_fault: bool = False,
    **changes: Any,
) -> Transition:
    """Check the table and build the new state. Leases and faults end with the state that had them."""
    if to not in TRANSITIONS.get(event, {}).get(posting.state, frozenset()):
        raise IllegalTransitionError(posting, event, to)
    defaults: dict[str, Any] = {"worker": None, "lease_expires_at": None}
    if not keep_fault:
        defaults |= {"fault_code": None, "fault_detail": None}
    since = at if to is not posting.state else posting.state_since
    after = replace(posting, state=to, state_since=since, **(defaults | changes))
    return Transition(before=posting, after=after, event=event, at=at, detail=detail or {})


def _withdrawal_payload(effect_type: EffectType, erp_company: str, target_key: str) -> dict[str, Any]:
    return {"effect_type": effect_type.value, "erp_company": erp_company, "withdraws": target_key}
