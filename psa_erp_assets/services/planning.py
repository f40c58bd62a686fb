"""From facts to a stored plan, and from a stored plan to postings. Nothing here talks to an ERP."""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import Connection, Engine

from psa_erp_assets.adapters.store import (
    contract_balances,
    decisions,
    exceptions,
    fingerprints,
    plan_lists,
    plan_sections,
    plans,
    work_heads,
)
from psa_erp_assets.adapters.store.exceptions import Sighting
from psa_erp_assets.adapters.store.plan_sections import NewSection, Section
from psa_erp_assets.adapters.store.postings import PgPostingStore
from psa_erp_assets.adapters.store.work_heads import Partition
from psa_erp_assets.domain.approval import approval_reasons
from psa_erp_assets.domain.balances import Balance
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.decide import Decider
from psa_erp_assets.domain.decision import Decision, Hold, Mode, Outcome
from psa_erp_assets.domain.keys import content_hash
from psa_erp_assets.domain.master import MasterData
from psa_erp_assets.domain.plan import ACTING, Action, PlanItem
from psa_erp_assets.domain.plan_totals import PlanTotal, totals_of
from psa_erp_assets.domain.posting import Leg, Posting, new_posting
from psa_erp_assets.domain.posting_store import ClaimTakenError, KeyReusedError
from psa_erp_assets.services import basis, canonical, contract_months
from psa_erp_assets.services.collecting import collection_paused
from psa_erp_assets.services.deciding import has_changed, head_of
from psa_erp_assets.services.drafting import Drafts, make_drafts
from psa_erp_assets.services.scope import Scope

_OPEN = ("proposed", "approved")
_AT_ONCE = 5_000
"""How many objects are decided about at once: enough that statements' round trips count for little, and no more."""
_LEGS = {Action.CREATE: Leg.ORIGINAL, Action.WITHDRAW: Leg.WITHDRAWAL, Action.REVERSE: Leg.REVERSAL}


class PlanOvertakenError(Exception):
    """Facts have changed since the plan was made; make a new one."""


class PlanNotFoundError(Exception):
    """There is no plan with this id that could be applied."""


class PlanNeedsApprovalError(Exception):
    """The approval rules ask for somebody's approval of the plan, which it does not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What would be done for a partition, as it is stored.

    `contracts` limits it to some contracts of the partition (None among them: work on no contract); None is all.
    `sections` are its parts, `totals` the sums of its items, which `items_of` reads. `approval_reasons` are why
    somebody must approve it, none where nobody must; `status` is where it stands.
    """

    id: int
    partition: Partition
    contracts: tuple[str | None, ...] | None
    sections: tuple[int, ...]
    totals: tuple[PlanTotal, ...]
    approval_reasons: tuple[str, ...] = ()
    status: str = "proposed"

    @property
    def waits(self) -> bool:
        """Whether it is not to be applied: nobody has approved it yet, or somebody has rejected it."""
        return bool(self.approval_reasons) and self.status != "approved"

    @property
    def acting(self) -> bool:
        """Whether applying it would change anything."""
        return any(total.acts for total in self.totals)

    def actions(self) -> Counter[tuple[str, str]]:
        """How many items there are of each action and effect type."""
        counted: Counter[tuple[str, str]] = Counter()
        for total in self.totals:
            counted[total.action.value, total.effect_type.value] += total.items
        return counted

    def amounts(self) -> dict[tuple[str, str, str], Decimal]:
        """Amounts by action, effect type and currency."""
        summed: dict[tuple[str, str, str], Decimal] = defaultdict(Decimal)
        for total in self.totals:
            if total.currency is not None:
                summed[total.action.value, total.effect_type.value, total.currency] += total.amount
        return dict(summed)


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

    A few contracts at a time, so that a month of a million entries needs little more memory than its largest contract;
    a contract's month about which nothing has changed since it was last planned is not worked on again. Without
    `retry_rejected`, what the ERP has just rejected is left as it is. A plan that needs approval is stored once: where
    the same one waits already, or is approved, the answer is that one; without `repeat_refused` also where somebody
    has rejected it.
    """
    limited = None if contracts is None else tuple(sorted(contracts, key=lambda c: c or ""))
    with engine.begin() as connection:
        plans.lock_partition(connection, scope.tenant, partition)
        common, master = _master(connection, scope)
        planner = _SectionPlanner(connection, engine, scope, partition, Decider(master, scope.rules))
        sizes = fingerprints.contracts_of(connection, scope.tenant, partition, limited)
        wanted = _bases(connection, scope.tenant, partition, sizes, common)
        if not retry_rejected:
            wanted = {contract_id: f"{made_from} without retries" for contract_id, made_from in wanted.items()}
        known = plan_sections.latest(connection, scope.tenant, partition)
        found = {c: section for c, section in known.items() if c in wanted and section.basis == wanted[c]}
        for some in _by_size([c for c in wanted if c not in found], sizes):
            bases = {contract_id: wanted[contract_id] for contract_id in some}
            with collection_paused():
                found |= planner.make(bases, retry_rejected=retry_rejected, now=now)
        sections = [found[contract_id] for contract_id in wanted]
        ids, totals = tuple(s.id for s in sections), tuple(t for s in sections for t in s.totals)
        facts_hash = _hash_of(sections)
        reasons = approval_reasons(totals, scope.approvals, partition[0], master)
        before = _OPEN if repeat_refused else (*_OPEN, "rejected")
        same = None
        if reasons:
            same = plan_lists.same_plan(
                connection,
                scope.tenant,
                partition,
                contracts=limited,
                facts_hash=facts_hash,
                statuses=before,
            )
        plan_id, status = same or (
            plans.propose(
                connection,
                tenant=scope.tenant,
                partition=partition,
                contracts=limited,
                section_ids=ids,
                facts_hash=facts_hash,
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
        sections=ids,
        totals=totals,
        approval_reasons=reasons,
        status=status,
    )


def items_of(engine: Engine, plan: Plan, actions: Collection[Action] | None = None) -> Iterator[PlanItem]:
    """The items of a plan in their order, of some actions only where these are given."""
    with engine.connect() as connection:
        for section_id in plan.sections:
            yield from plan_sections.items(connection, [section_id], actions)


def is_overtaken(connection: Connection, engine: Engine, scope: Scope, plan: plans.StoredPlan) -> bool:
    """Whether another plan than this one would be made now. The caller has locked the partition."""
    sections = {section.contract_id: section for section in plan_sections.of_plan(connection, plan.id)}
    common = basis.of_tenant(connection, scope)
    sizes = fingerprints.contracts_of(connection, scope.tenant, plan.partition, plan.contracts)
    now = _bases(connection, scope.tenant, plan.partition, sizes, common)
    if now.keys() != sections.keys():
        return True
    doubtful = [contract_id for contract_id, section in sections.items() if section.basis != now[contract_id]]
    if not doubtful:
        return False
    decider = Decider(canonical.load_master(connection, scope), scope.rules)
    planner = _SectionPlanner(connection, engine, scope, plan.partition, decider)
    return any(planner.have_changed([sections[c] for c in some]) for some in _by_size(doubtful, sizes))


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
        # Before the facts are looked at: what is new after it stays dirty.
        seen = work_heads.contracts_within(connection, scope.tenant, plan.partition, plan.contracts)
        overtaken = is_overtaken(connection, engine, scope, plan)
        if not overtaken:
            try:
                touched = _apply(connection, store, plan, now)
            except (ClaimTakenError, KeyReusedError) as error:
                raise PlanOvertakenError(f"plan {plan_id} met another one: {error}") from error
            work_heads.mark_planned(connection, scope.tenant, seen, plan.created_at)
        plans.finish(connection, plan_id, "overtaken" if overtaken else "applied", now)
    if overtaken:
        raise PlanOvertakenError(f"facts have changed since plan {plan_id} was made; make a new one")
    return touched


class _SectionPlanner:
    """Plans contracts' months of one partition within a transaction, a few of them at a time."""

    def __init__(
        self, connection: Connection, engine: Engine, scope: Scope, partition: Partition, decider: Decider
    ) -> None:
        self._connection, self._scope, self._partition, self._decider = connection, scope, partition, decider
        self._store = PgPostingStore(engine, scope.tenant)

    def make(
        self, bases: Mapping[str | None, str], *, retry_rejected: bool, now: dt.datetime
    ) -> dict[str | None, Section]:
        """Decide about contracts' months anew, and store what is decided and what is to be done.

        `bases` are the contracts with the fingerprints of what they are made from.
        """
        connection, tenant = self._connection, self._scope.tenant
        # Two partitions settle the month of a contract that two entities sell, and both keep its balance.
        plans.lock_contract_months(connection, tenant, [c for c in bases if c is not None], self._partition[1])
        drafts = self._drafts(bases)
        of_contract = drafts.by_contract
        if not retry_rejected:
            of_contract = {contract_id: draft.without_retries() for contract_id, draft in of_contract.items()}
        every = (*drafts.decisions, *drafts.elsewhere)
        known = decisions.latest_hashes(connection, tenant, [d.object_id for d in every])
        # A plan that nobody applies must not hide what is decided otherwise now.
        changed = {head_of(d): d.route for d in every if has_changed(d, known)}
        work_heads.mark_changed(connection, tenant, changed, now)
        decisions.record(connection, tenant, drafts.decisions, known, now)
        holds = [item for draft in of_contract.values() for item in draft.items if item.hold is not None]
        _note_holds(connection, tenant, self._partition, drafts.decisions, holds, now=now)
        self._hand_on(drafts.closings, now)
        new = [
            NewSection(
                contract_id=contract_id,
                basis=basis,
                facts_hash=of_contract[contract_id].facts_hash,
                items=of_contract[contract_id].items,
                totals=totals_of(of_contract[contract_id].items),
            )
            for contract_id, basis in bases.items()
        ]
        return plan_sections.add(connection, tenant, self._partition, new, now)

    def have_changed(self, sections: Sequence[Section]) -> bool:
        """Whether another section than one of these would be made now."""
        drafts = self._drafts([section.contract_id for section in sections]).by_contract
        return any(drafts[section.contract_id].facts_hash != section.facts_hash for section in sections)

    def _drafts(self, contracts: Collection[str | None]) -> Drafts:
        return make_drafts(
            self._connection, self._store, self._scope, self._partition, contracts, decider=self._decider
        )

    def _hand_on(self, closings: Mapping[str, Balance], now: dt.datetime) -> None:
        """Keep what the contracts' month leaves to the next one, which becomes due where that has changed."""
        connection, tenant, month = self._connection, self._scope.tenant, ServiceMonth.parse(self._partition[1])
        changed = contract_balances.put(connection, tenant, month, closings=closings, now=now)
        contract_months.follow_up(connection, tenant, changed, month, master=self._decider.master, now=now)


def _master(connection: Connection, scope: Scope) -> tuple[str, MasterData]:
    """The master data with the fingerprint of just these."""
    while True:
        before = basis.of_tenant(connection, scope)
        master = canonical.load_master(connection, scope)
        if basis.of_tenant(connection, scope) == before:
            return before, master


def _bases(
    connection: Connection, tenant: str, partition: Partition, contracts: Collection[str | None], common: str
) -> dict[str | None, str]:
    """The fingerprints of contracts of a partition, in the order of a plan."""
    return basis.of_contracts(connection, tenant, partition, sorted(contracts, key=lambda c: c or ""), common)


def _by_size(contracts: Iterable[str | None], sizes: Mapping[str | None, int]) -> Iterator[list[str | None]]:
    """Contracts by as many as have `_AT_ONCE` objects together, at least one at a time."""
    some, objects = list[str | None](), 0
    for contract_id in contracts:
        if some and objects + sizes[contract_id] > _AT_ONCE:
            yield some
            some, objects = [], 0
        some.append(contract_id)
        objects += sizes[contract_id]
    if some:
        yield some


def _hash_of(sections: Sequence[Section]) -> str:
    return content_hash({"sections": [[section.contract_id, section.facts_hash] for section in sections]})


def _apply(connection: Connection, store: PgPostingStore, plan: plans.StoredPlan, now: dt.datetime) -> int:
    """Contract by contract: claims of one object are released and taken within one section."""
    sections = plan_sections.of_plan(connection, plan.id)
    return sum(_apply_section(connection, store, plan, section, now) for section in sections)


def _apply_section(
    connection: Connection, store: PgPostingStore, plan: plans.StoredPlan, section: Section, now: dt.datetime
) -> int:
    by_action: dict[Action, list[PlanItem]] = defaultdict(list)
    for item in plan_sections.items(connection, [section.id], ACTING):
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
    for item in by_action[Action.RESTORE]:
        if (item.object_id, item.effect_type) not in sent:
            store.reinstate([_key(item)], now, item.reason, connection=connection)
    new = [_posting(item, plan.tenant, plan, now) for action in _LEGS for item in by_action[action]]
    store.add(new, now, connection=connection)
    for item in by_action[Action.RETRY]:
        store.retry([_key(item)], now, item.reason, connection=connection)
    noted = (Action.CANCEL, Action.VOID, Action.RESTORE, Action.RETRY)
    return len(new) + sum(len(by_action[action]) for action in noted)


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


def _note_holds(
    connection: Connection,
    tenant: str,
    partition: Partition,
    decided: Sequence[Decision],
    held_items: Iterable[PlanItem],
    *,
    now: dt.datetime,
) -> None:
    """Open an exception for each reason that holds an entry; resolve those of the same entries that are gone."""
    planned: dict[str, list[Hold]] = defaultdict(list)
    for item in held_items:
        if item.hold is not None:
            planned[item.object_id].append(item.hold)
    sightings = []
    for decision in decided:
        if decision.mode is Mode.OFF:
            continue
        holds = dict.fromkeys((*decision.holds, *planned.get(decision.object_id, ())))
        if not holds:
            continue
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
        looked_at=[d.object_id for d in decided],
    )
