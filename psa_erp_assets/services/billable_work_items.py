"""The one door through which time, expenses and milestones become billing objects.

Whoever has understood a piece of work (a connector, the HTTP API, a script) hands its canonical record in here, and
nobody else writes one. What belongs here: which revision counts, and the answer of what follows from it. What does
not: how a record is understood (connectors), what is decided about it (`domain.decide`, `domain.account`), and
posting: an item is only made due, and the plan does the rest.
"""

import datetime as dt
import enum
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from sqlalchemy import Connection

from psa_erp_assets.adapters.store import inbox, time_entries, work_facts, work_heads
from psa_erp_assets.adapters.store.work_facts import Fact
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.decide import Decider
from psa_erp_assets.domain.decision import Decision, Route
from psa_erp_assets.domain.records import TimeEntry, WorkItem
from psa_erp_assets.services import canonical, contract_months
from psa_erp_assets.services.deciding import decide_partition, head_of
from psa_erp_assets.services.exception_items import next_step
from psa_erp_assets.services.scope import Scope
from psa_erp_assets.services.trace import NotFoundError


class Change(enum.StrEnum):
    """What became of a revision that was handed in.

    OLDER: a later one is known, so that this one stays in the inbox and changes nothing. TOO_EARLY: the work is from
    before the first month that is synchronized, which was billed by other means.
    """

    NEW = "new"
    REVISED = "revised"
    UNCHANGED = "unchanged"
    OLDER = "older"
    TOO_EARLY = "too_early"


class RevisionConflictError(ValueError):
    """Two contents came under one revision number; the first stays."""


class WorkTooEarlyError(ValueError):
    """The work is from before the first month that is synchronized."""


@dataclass(frozen=True, slots=True)
class Entered:
    """A revision that was handed in, and what became of it."""

    item: WorkItem
    change: Change


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemRoute:
    """Where an item belongs: legal entity, service month and, if it is known, contract."""

    legal_entity: str
    service_month: str
    contract_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectAmount:
    """What an effect of this type comes to in the ERP, and the minutes on it."""

    effect_type: str
    amount: Decimal
    currency: str
    minutes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DecidedPart:
    """A part of the minutes that has an outcome of its own. `amount` is what it is worth, where it has a price."""

    outcome: str
    minutes: int
    amount: Decimal | None
    currency: str | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldEffect:
    """Why an effect of this type is not posted, and what releases it."""

    effect_type: str
    code: str
    detail: str
    next_step: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionNow:
    """What follows from the work by the facts, master data and terms of this moment.

    `minutes` are those worked; those of the parts sum to them. `versions` are the ids of the rates and mappings used.
    """

    object_id: str
    outcome: str
    mode: str
    component: str | None
    minutes: int
    amounts: tuple[EffectAmount, ...]
    parts: tuple[DecidedPart, ...]
    holds: tuple[HeldEffect, ...]
    reasons: tuple[str, ...]
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class BillableWorkItem:
    """A piece of work as it stands: its current revision, where it belongs, and what is decided about it now.

    `change` is what became of the revision that was handed in, UNCHANGED where the item was only read. `credited` are
    the decisions about minutes of it that were credited to the customer.
    """

    object_id: str
    kind: str
    revision: int
    state: str
    change: Change
    route: ItemRoute
    decision: DecisionNow
    credited: tuple[DecisionNow, ...]


def create_billable_work_item(
    connection: Connection, scope: Scope, item: WorkItem, now: dt.datetime, *, decider: Decider | None = None
) -> BillableWorkItem:
    """Enter one revision of a piece of work, and answer with what follows from it.

    `item.payload_id` is the payload in the inbox that it was made of, and `item.revision` its place among the
    revisions of the object: the higher supersedes the lower, in whatever order they come, and the same again changes
    nothing. Whoever does not count revisions takes the number from `following`. A `decider` given holds the master
    data, already loaded. Nothing is posted: the item becomes due, and the next plan of its partition acts on it.

    Raises RevisionConflictError for another content under the current number, WorkTooEarlyError for unknown work from
    before the first month that is synchronized.
    """
    decider = decider or Decider(canonical.load_master(connection, scope), scope.rules)
    inbox.lock(connection, tenant=scope.tenant, source=source_of(item.id))
    known = current(connection, scope.tenant, [item.id])
    [entered] = create_billable_work_items(connection, scope, [item], now, known=known, decider=decider)
    if entered.change is Change.TOO_EARLY:
        raise WorkTooEarlyError(f"work from before {scope.first_day} was billed by other means")
    return replace(
        billable_work_item(connection, scope, item.id, decider=decider),
        change=entered.change,
    )


def create_billable_work_items(
    connection: Connection,
    scope: Scope,
    items: Sequence[WorkItem],
    now: dt.datetime,
    *,
    known: Mapping[str, WorkItem],
    decider: Decider | None = None,
) -> list[Entered]:
    """Enter revisions of many objects, each at most once, with one statement a table; the rules are those of one.

    `known` are the current revisions as `current` gives them, read under the lock of the source's writers
    (`inbox.lock`). Raises RevisionConflictError; nothing is entered then.
    """
    entered = [Entered(item, _change(known.get(item.id), item, scope)) for item in items]
    new = [e.item for e in entered if e.change in (Change.NEW, Change.REVISED)]
    if new:
        decider = decider or Decider(canonical.load_master(connection, scope), scope.rules)
        routes = {item.id: decider.route(item) for item in new}
        revised = [e.item.id for e in entered if e.change is Change.REVISED]
        heads = work_heads.heads(connection, scope.tenant, revised) if revised else {}
        before = {
            i: Route(h.legal_entity, ServiceMonth.parse(h.service_month), h.contract_id) for i, h in heads.items()
        }
        moved = [route for object_id, route in before.items() if route != routes[object_id]]
        left = contract_months.left_by(connection, scope.tenant, moved, decider.master)
        work_heads.mark_changed(connection, scope.tenant, left, now)
        entries = [item for item in new if isinstance(item, TimeEntry)]
        facts: list[Fact] = [item for item in new if not isinstance(item, TimeEntry)]
        time_entries.add_revisions(connection, tenant=scope.tenant, entries=entries, routes=routes, now=now)
        work_facts.add_revisions(connection, tenant=scope.tenant, facts=facts, routes=routes, now=now)
    return entered


def current(connection: Connection, tenant: str, object_ids: Collection[str]) -> dict[str, WorkItem]:
    """The current revisions of these objects, by id; those that were never seen are left out."""
    found = (
        *time_entries.current(connection, tenant, object_ids),
        *work_facts.current(connection, tenant, object_ids),
    )
    return {item.id: item for item in found}


def following(known: WorkItem | None, said: WorkItem) -> WorkItem:
    """What a source that counts no revisions says of an object, with its number.

    The first is 1, another content than the known one the next. The same content is the same revision, however often
    it comes: a revision is a change of the canonical facts, not of the payload.
    """
    if known is None:
        return replace(said, revision=1)
    return known if same_content(known, said) else replace(said, revision=known.revision + 1)


def same_content(left: WorkItem, right: WorkItem) -> bool:
    """Whether two revisions say the same, whatever payloads they were made of."""
    return replace(left, revision=right.revision, payload_id=right.payload_id) == right


def source_of(object_id: str) -> str:
    """The system that a canonical id is of: "api" of "expense:api:R-17"."""
    return object_id.split(":")[1]


def billable_work_item(
    connection: Connection, scope: Scope, object_id: str, *, decider: Decider | None = None
) -> BillableWorkItem:
    """The item as it stands, with the decision of this moment. Raises NotFoundError for what is not known.

    The decision is that of the next plan: caps, retainers and running totals of the contract's month are applied.
    """
    item = current(connection, scope.tenant, [object_id]).get(object_id)
    if item is None:
        raise NotFoundError(f"no billable work item {object_id!r} has been created")
    head = work_heads.heads(connection, scope.tenant, [object_id])[object_id]
    partition = (head.legal_entity, head.service_month)
    decided = decide_partition(connection, scope, partition, [head.contract_id], decider=decider)
    mine = [decision for decision in decided.decisions if head_of(decision) == object_id]
    [whole] = [decision for decision in mine if decision.object_id == object_id]
    route = whole.route
    return BillableWorkItem(
        object_id=object_id,
        kind=object_id.partition(":")[0],
        revision=item.revision,
        state=item.state.value,
        change=Change.UNCHANGED,
        route=ItemRoute(
            legal_entity=route.legal_entity, service_month=str(route.service_month), contract_id=route.contract_id
        ),
        decision=_decision_now(whole),
        credited=tuple(_decision_now(decision) for decision in mine if decision is not whole),
    )


def _change(known: WorkItem | None, item: WorkItem, scope: Scope) -> Change:
    if known is None:
        # Only what has moved there since is followed.
        return Change.NEW if item.service_date >= scope.first_day else Change.TOO_EARLY
    if item.revision > known.revision:
        return Change.REVISED
    if same_content(known, item):
        return Change.UNCHANGED
    if item.revision < known.revision:
        return Change.OLDER
    raise RevisionConflictError(f"revision {item.revision} of {item.id} is known with another content")


def _decision_now(decision: Decision) -> DecisionNow:
    return DecisionNow(
        object_id=decision.object_id,
        outcome=decision.outcome.value,
        mode=decision.mode.value,
        component=decision.component,
        minutes=decision.minutes,
        amounts=tuple(
            EffectAmount(
                effect_type=effect.effect_type.value,
                amount=effect.amount.amount,
                currency=effect.amount.currency,
                minutes=effect.minutes,
            )
            for effect in decision.effects
        ),
        parts=tuple(
            DecidedPart(
                outcome=part.outcome.value,
                minutes=part.minutes,
                amount=part.amount.amount if part.amount else None,
                currency=part.amount.currency if part.amount else None,
                reason=part.reason,
            )
            for part in decision.parts
        ),
        holds=tuple(
            HeldEffect(
                effect_type=hold.effect_type.value,
                code=hold.code,
                detail=hold.detail,
                next_step=next_step(hold.code),
            )
            for hold in decision.holds
        ),
        reasons=decision.reasons,
        versions=dict(decision.versions),
    )
