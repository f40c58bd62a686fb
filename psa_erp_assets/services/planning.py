"""From facts to a stored plan, and from a stored plan to postings. Nothing here talks to an ERP."""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from sqlalchemy import Connection, Engine

from psa_erp_assets.adapters.store import decisions, erp_documents, exceptions, plans, time_entries
from psa_erp_assets.adapters.store.exceptions import Sighting
from psa_erp_assets.adapters.store.postings import PgPostingStore
from psa_erp_assets.adapters.store.time_entries import Partition
from psa_erp_assets.domain.decide import Decision, Hold, decide
from psa_erp_assets.domain.keys import content_hash
from psa_erp_assets.domain.plan import Action, PlanItem, plan_entry
from psa_erp_assets.domain.posting import Leg, Posting, State, new_posting
from psa_erp_assets.domain.posting_store import ClaimTakenError, KeyReusedError
from psa_erp_assets.services import canonical
from psa_erp_assets.services.scope import Scope

_LEGS = {Action.CREATE: Leg.ORIGINAL, Action.WITHDRAW: Leg.WITHDRAWAL, Action.REVERSE: Leg.REVERSAL}


class PlanOvertakenError(Exception):
    """Facts have changed since the plan was made; make a new one."""


class PlanNotFoundError(Exception):
    """There is no proposed plan with this id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What would be done for a partition, and what is decided about each of its entries.

    `contracts` limits it to some contracts of the partition (None among them: work on no contract); None is all.
    """

    id: int
    partition: Partition
    contracts: tuple[str | None, ...] | None
    items: tuple[PlanItem, ...]
    decisions: tuple[Decision, ...]

    @property
    def acting(self) -> bool:
        """Whether applying it would change anything."""
        return any(item.acts for item in self.items)

    def actions(self) -> Counter[tuple[str, str]]:
        """How many items there are of each action and effect type."""
        return Counter((item.action.value, item.effect_type.value) for item in self.items)

    def amounts(self) -> dict[tuple[str, str, str], Decimal]:
        """Amounts by action, effect type and currency."""
        totals: dict[tuple[str, str, str], Decimal] = defaultdict(Decimal)
        for item in self.items:
            if item.effect is not None:
                money = item.effect.amount
                totals[item.action.value, item.effect_type.value, money.currency] += money.amount
        return dict(totals)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    items: tuple[PlanItem, ...]
    decisions: tuple[Decision, ...]
    entry_ids: tuple[str, ...]
    facts_hash: str

    def without_retries(self) -> "_Draft":
        """The same without all that is to be done about what was rejected."""
        rejected = {(i.object_id, i.effect_type) for i in self.items if i.action is Action.RETRY}
        kept = tuple(i for i in self.items if (i.object_id, i.effect_type) not in rejected)
        return replace(self, items=kept)


def make_plan(
    engine: Engine,
    scope: Scope,
    partition: Partition,
    *,
    now: dt.datetime,
    created_by: str,
    contracts: Collection[str | None] | None = None,
    retry_rejected: bool = True,
) -> Plan:
    """Compute and store the plan of a partition. Nothing is posted and no entry counts as planned by it.

    Without `retry_rejected`, what the ERP has just rejected is left as it is.
    """
    limited = None if contracts is None else tuple(sorted(contracts, key=lambda c: c or ""))
    with engine.begin() as connection:
        plans.lock_partition(connection, scope.tenant, partition)
        draft = _draft(connection, PgPostingStore(engine, scope.tenant), scope, partition, limited)
        if not retry_rejected:
            draft = draft.without_retries()
        _mark_changed(connection, scope.tenant, draft.decisions, now)
        decisions.record(connection, scope.tenant, draft.decisions, now)
        _note_holds(connection, scope.tenant, partition, draft, now)
        plan_id = plans.propose(
            connection,
            tenant=scope.tenant,
            partition=partition,
            contracts=limited,
            items=draft.items,
            facts_hash=draft.facts_hash,
            created_by=created_by,
            now=now,
        )
    return Plan(id=plan_id, partition=partition, contracts=limited, items=draft.items, decisions=draft.decisions)


def partition_of(engine: Engine, scope: Scope, plan_id: int) -> Partition:
    """The partition that a plan is for. Raises PlanNotFoundError."""
    with engine.connect() as connection:
        plan = plans.load(connection, scope.tenant, plan_id)
    if plan is None:
        raise PlanNotFoundError(f"there is no plan {plan_id}")
    return plan.partition


def apply_plan(engine: Engine, scope: Scope, plan_id: int, *, now: dt.datetime) -> int:
    """Turn a proposed plan into postings, which the posting engine then sends; answers with how many it touched.

    Raises PlanNotFoundError, and PlanOvertakenError where the same plan would no longer be made.
    """
    store = PgPostingStore(engine, scope.tenant)
    with engine.begin() as connection:
        plan = plans.load(connection, scope.tenant, plan_id)
        if plan is None or plan.status != "proposed":
            raise PlanNotFoundError(f"there is no proposed plan {plan_id}")
        plans.lock_partition(connection, scope.tenant, plan.partition)
        time_entries.lock_partition(connection, scope.tenant, plan.partition)
        draft = _draft(connection, store, scope, plan.partition, plan.contracts)
        overtaken = draft.facts_hash != plan.facts_hash
        if not overtaken:
            try:
                planned = plans.items_of(connection, plan_id)
                chosen = [i for i in draft.items if (i.action.value, i.key) in planned]
                touched = _apply(connection, store, plan, chosen, now)
            except (ClaimTakenError, KeyReusedError) as error:
                raise PlanOvertakenError(f"plan {plan_id} met another one: {error}") from error
            time_entries.mark_planned(connection, scope.tenant, draft.entry_ids, plan.created_at)
        plans.finish(connection, plan_id, "overtaken" if overtaken else "applied", now)
    if overtaken:
        raise PlanOvertakenError(f"facts have changed since plan {plan_id} was made; make a new one")
    return touched


def _mark_changed(connection: Connection, tenant: str, decided: Sequence[Decision], now: dt.datetime) -> None:
    """Make dirty what is now decided otherwise, since a plan that nobody applies must not hide the change."""
    known = decisions.latest_hashes(connection, tenant, [d.object_id for d in decided])
    changed = {
        d.object_id: d.route for d in decided if known.get(d.object_id, decisions.digest(d)) != decisions.digest(d)
    }
    time_entries.mark_changed(connection, tenant, changed, now)


def _draft(
    connection: Connection,
    store: PgPostingStore,
    scope: Scope,
    partition: Partition,
    contracts: Sequence[str | None] | None,
) -> _Draft:
    entries = time_entries.in_partition(connection, scope.tenant, partition, contracts)
    master = canonical.load_master(connection, scope.tenant)
    made: dict[str, list[Posting]] = defaultdict(list)
    for posting in store.of_objects([e.id for e in entries], connection=connection):
        made[posting.object_id].append(posting)
    live = [p.key for of_entry in made.values() for p in of_entry if p.state is State.VERIFIED]
    on_document = erp_documents.on_document(connection, scope.tenant, live)
    decided = tuple(decide(entry, master, scope.rules) for entry in entries)
    closed = {
        (entity.erp_company, month): code
        for code, month in master.closed_periods
        if (entity := master.legal_entity(code)) is not None
    }
    items = tuple(
        item
        for decision in decided
        for item in plan_entry(decision, made[decision.object_id], on_document, scope.tenant, closed=closed)
    )
    facts = {
        "decisions": [decisions.digest(d) for d in decided],
        "postings": [[p.key, p.state.value, p.key in on_document] for d in decided for p in made[d.object_id]],
        "items": [[item.action.value, item.key] for item in items],
    }
    return _Draft(
        items=items, decisions=decided, entry_ids=tuple(e.id for e in entries), facts_hash=content_hash(facts)
    )


def _apply(
    connection: Connection, store: PgPostingStore, plan: plans.StoredPlan, items: Sequence[PlanItem], now: dt.datetime
) -> int:
    by_action: dict[Action, list[PlanItem]] = defaultdict(list)
    for item in items:
        by_action[item.action].append(item)
    # Cancellations first: they release the claims that what replaces them needs.
    for item in by_action[Action.CANCEL]:
        store.cancel([_key(item)], now, item.reason, connection=connection)
    new = [_posting(item, plan.tenant, plan, now) for item in items if item.action in _LEGS]
    store.add(new, now, connection=connection)
    for item in by_action[Action.RETRY]:
        store.retry([_key(item)], now, item.reason, connection=connection)
    return len(new) + len(by_action[Action.CANCEL]) + len(by_action[Action.RETRY])


def _posting(item: PlanItem, tenant: str, plan: plans.StoredPlan, now: dt.datetime) -> Posting:
    assert item.effect is not None
    assert item.revision is not None
    return new_posting(
        key=_key(item),
        tenant=tenant,
        legal_entity=plan.partition[0],
        service_month=plan.partition[1],
        leg=_LEGS[item.action],
        object_id=item.object_id,
        revision=item.revision,
        source_revision=item.source_revision,
        effect=item.effect,
        now=now,
        target_key=item.target_key,
        depends_on=item.depends_on,
        plan_id=plan.id,
    )


def _key(item: PlanItem) -> str:
    assert item.key is not None
    return item.key


def _note_holds(connection: Connection, tenant: str, partition: Partition, draft: _Draft, now: dt.datetime) -> None:
    """Open an exception for each reason that holds an entry; resolve those of the same entries that are gone."""
    planned: dict[str, list[Hold]] = defaultdict(list)
    for item in draft.items:
        if item.hold is not None:
            planned[item.object_id].append(item.hold)
    sightings = []
    for decision in draft.decisions:
        holds = dict.fromkeys((*decision.holds, *planned[decision.object_id]))
        effects: dict[str, list[str]] = defaultdict(list)
        for hold in holds:
            effects[hold.code].append(hold.effect_type.value)
        details = {hold.code: hold.detail for hold in holds}
        sightings += [
            Sighting(
                code=code,
                object_id=decision.object_id,
                detail=details[code],
                evidence={"holds": sorted(held), "revision": decision.revision},
                legal_entity=partition[0],
                service_month=partition[1],
                minutes=decision.minutes,
            )
            for code, held in effects.items()
        ]
    exceptions.open_or_touch(connection, tenant, "plan", sightings, now)
    exceptions.resolve_absent(
        connection,
        tenant,
        "plan",
        [(s.code, s.object_id) for s in sightings],
        now,
        looked_at=[d.object_id for d in draft.decisions],
    )
