"""From facts to a stored plan, and from a stored plan to postings. Nothing here talks to an ERP."""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from sqlalchemy import Connection, Engine

from psa_erp_assets.adapters.store import (
    contract_balances,
    decisions,
    erp_documents,
    exceptions,
    plan_lists,
    plans,
    work_heads,
)
from psa_erp_assets.adapters.store.exceptions import Sighting
from psa_erp_assets.adapters.store.postings import PgPostingStore
from psa_erp_assets.adapters.store.work_heads import Partition
from psa_erp_assets.domain.approval import approval_reasons
from psa_erp_assets.domain.balances import Balance
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.decision import Decision, Hold, Mode, Outcome
from psa_erp_assets.domain.keys import content_hash
from psa_erp_assets.domain.master import MasterData
from psa_erp_assets.domain.plan import Action, PlanItem, plan_entry
from psa_erp_assets.domain.posting import Leg, Posting, State, new_posting
from psa_erp_assets.domain.posting_store import ClaimTakenError, KeyReusedError
from psa_erp_assets.services import contract_months
from psa_erp_assets.services.deciding import decide_partition, has_changed, head_of
from psa_erp_assets.services.scope import Scope

_OPEN = ("proposed", "approved")
_LEGS = {Action.CREATE: Leg.ORIGINAL, Action.WITHDRAW: Leg.WITHDRAWAL, Action.REVERSE: Leg.REVERSAL}


class PlanOvertakenError(Exception):
    """Facts have changed since the plan was made; make a new one."""


class PlanNotFoundError(Exception):
    """There is no plan with this id that could be applied."""


class PlanNeedsApprovalError(Exception):
    """The approval rules ask for somebody's approval of the plan, which it does not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What would be done for a partition, and what is decided about each of its entries.

    `contracts` limits it to some contracts of the partition (None among them: work on no contract); None is all.
    `approval_reasons` are why somebody must approve it, none where nobody must; `status` is where it stands.
    """

    id: int
    partition: Partition
    contracts: tuple[str | None, ...] | None
    items: tuple[PlanItem, ...]
    decisions: tuple[Decision, ...]
    approval_reasons: tuple[str, ...] = ()
    status: str = "proposed"

    @property
    def waits(self) -> bool:
        """Whether it is not to be applied: nobody has approved it yet, or somebody has rejected it."""
        return bool(self.approval_reasons) and self.status != "approved"

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
    object_ids: tuple[str, ...]
    facts_hash: str
    closings: Mapping[str, Balance]
    master: MasterData

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
    repeat_refused: bool = True,
) -> Plan:
    """Compute and store the plan of a partition. Nothing is posted and no entry counts as planned by it.

    Without `retry_rejected`, what the ERP has just rejected is left as it is. A plan that needs approval is stored
    once: where the same one waits already, or is approved, the answer is that one; without `repeat_refused` also where
    somebody has rejected it.
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
        _hand_on(connection, scope.tenant, partition, draft, now)
        reasons = approval_reasons(draft.items, scope.approvals, partition[0], draft.master)
        before = _OPEN if repeat_refused else (*_OPEN, "rejected")
        same = None
        if reasons:
            same = plan_lists.same_plan(
                connection,
                scope.tenant,
                partition,
                contracts=limited,
                facts_hash=draft.facts_hash,
                statuses=before,
            )
        plan_id, status = same or (
            plans.propose(
                connection,
                tenant=scope.tenant,
                partition=partition,
                contracts=limited,
                items=draft.items,
                facts_hash=draft.facts_hash,
                approval_reasons=reasons,
                created_by=created_by,
                now=now,
            ),
            "proposed",
        )
    return Plan(
        id=plan_id,
        partition=partition,
        contracts=limited,
        items=draft.items,
        decisions=draft.decisions,
        approval_reasons=reasons,
        status=status,
    )


def is_overtaken(connection: Connection, engine: Engine, scope: Scope, plan: plans.StoredPlan) -> bool:
    """Whether another plan than this one would be made now. The caller has locked the partition."""
    draft = _draft(connection, PgPostingStore(engine, scope.tenant), scope, plan.partition, plan.contracts)
    return draft.facts_hash != plan.facts_hash


def partition_of(engine: Engine, scope: Scope, plan_id: int) -> Partition:
    """The partition that a plan is for. Raises PlanNotFoundError."""
    with engine.connect() as connection:
        plan = plans.load(connection, scope.tenant, plan_id)
    if plan is None:
        raise PlanNotFoundError(f"there is no plan {plan_id}")
    return plan.partition


def apply_plan(engine: Engine, scope: Scope, plan_id: int, *, now: dt.datetime) -> int:
    """Turn a proposed plan into postings, which the posting engine then sends; answers with how many it touched.

    Raises PlanNotFoundError, PlanNeedsApprovalError, and PlanOvertakenError where the same plan would no longer be
    made.
    """
    store = PgPostingStore(engine, scope.tenant)
    with engine.begin() as connection:
        plan = plans.load(connection, scope.tenant, plan_id)
        if plan is None:
            raise PlanNotFoundError(f"there is no plan {plan_id}")
        if plan.status not in _OPEN:
            raise PlanNotFoundError(f"plan {plan_id} is {plan.status}, so that it cannot be applied any more")
        if plan.status != "approved" and plan.approval_reasons:
            raise PlanNeedsApprovalError(f"plan {plan_id} must be approved first: {'; '.join(plan.approval_reasons)}")
        plans.lock_partition(connection, scope.tenant, plan.partition)
        work_heads.lock_partition(connection, scope.tenant, plan.partition)
        draft = _draft(connection, store, scope, plan.partition, plan.contracts)
        overtaken = draft.facts_hash != plan.facts_hash
        if not overtaken:
            try:
                planned = plans.items_of(connection, plan_id)
                chosen = [i for i in draft.items if (i.action.value, i.key) in planned]
                touched = _apply(connection, store, plan, chosen, now)
            except (ClaimTakenError, KeyReusedError) as error:
                raise PlanOvertakenError(f"plan {plan_id} met another one: {error}") from error
            work_heads.mark_planned(connection, scope.tenant, draft.object_ids, plan.created_at)
        plans.finish(connection, plan_id, "overtaken" if overtaken else "applied", now)
    if overtaken:
        raise PlanOvertakenError(f"facts have changed since plan {plan_id} was made; make a new one")
    return touched


def _mark_changed(connection: Connection, tenant: str, decided: Sequence[Decision], now: dt.datetime) -> None:
    """Make dirty what is now decided otherwise, since a plan that nobody applies must not hide the change."""
    known = decisions.latest_hashes(connection, tenant, [d.object_id for d in decided])
    changed = {head_of(d): d.route for d in decided if has_changed(d, known)}
    work_heads.mark_changed(connection, tenant, changed, now)


def _draft(
    connection: Connection,
    store: PgPostingStore,
    scope: Scope,
    partition: Partition,
    contracts: Sequence[str | None] | None,
) -> _Draft:
    found = decide_partition(connection, scope, partition, contracts)
    made: dict[str, list[Posting]] = defaultdict(list)
    for posting in store.of_objects([d.object_id for d in found.decisions], connection=connection):
        made[posting.object_id].append(posting)
    live = [p.key for of_object in made.values() for p in of_object if p.state is State.VERIFIED]
    on_document = erp_documents.on_document(connection, scope.tenant, live)
    cancelled = erp_documents.cancelled(connection, scope.tenant, on_document)
    closed = {
        (entity.erp_company, month): code
        for code, month in found.master.closed_periods
        if (entity := found.master.legal_entity(code)) is not None
    }
    items = tuple(
        item
        for decision in found.decisions
        for item in plan_entry(
            decision, made[decision.object_id], on_document, scope.tenant, closed=closed, cancelled=cancelled
        )
    )
    facts = {
        "decisions": [decisions.digest(d) for d in found.decisions],
        "postings": [[p.key, p.state.value, p.key in on_document] for d in found.decisions for p in made[d.object_id]],
        "items": [[item.action.value, item.key] for item in items],
    }
    return _Draft(
        items=items,
        decisions=found.decisions,
        object_ids=found.object_ids,
        facts_hash=content_hash(facts),
        closings=found.closings,
        master=found.master,
    )


def _hand_on(connection: Connection, tenant: str, partition: Partition, draft: _Draft, now: dt.datetime) -> None:
    """Keep what the contracts' month leaves to the next one, which becomes due where that has changed."""
    month = ServiceMonth.parse(partition[1])
    for contract_id, closing in sorted(draft.closings.items()):
        if contract_balances.put(connection, tenant, contract_id, month, closing=closing, now=now):
            contract_months.follow_up(connection, tenant, contract_id, month, now)


def _apply(
    connection: Connection, store: PgPostingStore, plan: plans.StoredPlan, items: Sequence[PlanItem], now: dt.datetime
) -> int:
    by_action: dict[Action, list[PlanItem]] = defaultdict(list)
    for item in items:
        by_action[item.action].append(item)
    # What ends comes first: it releases the claims that what replaces it needs.
    sent = {
        (item.object_id, item.effect_type)
        for item in by_action[Action.CANCEL]
        if not store.cancel([_key(item)], now, item.reason, connection=connection)
    }
    for item in by_action[Action.VOID]:
        # What was to take it back may be on its way since the plan was made: the next plan sees what came of it.
        if (item.object_id, item.effect_type) not in sent:
            store.void([_key(item)], now, item.reason, connection=connection)
    new = [_posting(item, plan.tenant, plan, now) for item in items if item.action in _LEGS]
    store.add(new, now, connection=connection)
    for item in by_action[Action.RETRY]:
        store.retry([_key(item)], now, item.reason, connection=connection)
    return len(new) + sum(len(by_action[action]) for action in (Action.CANCEL, Action.VOID, Action.RETRY))


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
        if decision.mode is Mode.OFF:
            continue
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
                minutes=decision.minutes_of(Outcome.HOLD) or decision.minutes,
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
