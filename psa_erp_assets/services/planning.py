"""From facts to a stored plan, and from a stored plan to postings. Nothing here talks to an ERP."""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
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
from psa_erp_assets.adapters.store.plan_sections import Section
from psa_erp_assets.adapters.store.postings import PgPostingStore
from psa_erp_assets.adapters.store.work_heads import Partition
from psa_erp_assets.domain.account import ContractMonth
from psa_erp_assets.domain.approval import approval_reasons
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.decide import Decider
from psa_erp_assets.domain.decision import Hold, Mode, Outcome
from psa_erp_assets.domain.keys import content_hash
from psa_erp_assets.domain.master import MasterData
from psa_erp_assets.domain.plan import ACTING, Action, PlanItem
from psa_erp_assets.domain.plan_totals import PlanTotal, totals_of
from psa_erp_assets.domain.posting import Leg, Posting, new_posting
from psa_erp_assets.domain.posting_store import ClaimTakenError, KeyReusedError
from psa_erp_assets.services import basis, canonical, contract_months
from psa_erp_assets.services.collecting import collection_paused
from psa_erp_assets.services.deciding import has_changed, head_of
from psa_erp_assets.services.drafting import Draft, make_draft
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

    Contract by contract, so that a month of a million entries needs no more memory than its largest contract; a
    contract's month about which nothing has changed since it was last planned is not worked on again. Without
    `retry_rejected`, what the ERP has just rejected is left as it is. A plan that needs approval is stored once: where
    the same one waits already, or is approved, the answer is that one; without `repeat_refused` also where somebody
    has rejected it.
    """
    limited = None if contracts is None else tuple(sorted(contracts, key=lambda c: c or ""))
    with engine.begin() as connection:
        plans.lock_partition(connection, scope.tenant, partition)
        common, master = _master(connection, scope)
        planner = _SectionPlanner(connection, engine, scope, partition, Decider(master, scope.rules))
        wanted = _bases(connection, scope.tenant, partition, limited, common)
        known = plan_sections.latest(connection, scope.tenant, partition)
        sections = []
        for contract_id, made_from in wanted.items():
            found = made_from if retry_rejected else f"{made_from} without retries"
            section = known.get(contract_id)
            if section is None or section.basis != found:
                with collection_paused():
                    section = planner.make(contract_id, found, retry_rejected=retry_rejected, now=now)
            sections.append(section)
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
    now = _bases(connection, scope.tenant, plan.partition, plan.contracts, common)
    if now.keys() != sections.keys():
        return True
    doubtful = [section for contract_id, section in sections.items() if section.basis != now[contract_id]]
    if not doubtful:
        return False
    decider = Decider(canonical.load_master(connection, scope), scope.rules)
    planner = _SectionPlanner(connection, engine, scope, plan.partition, decider)
    return any(planner.has_changed(section) for section in doubtful)


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
        seen = work_heads.ids_within(connection, scope.tenant, plan.partition, plan.contracts)
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
    """Plans contracts' months of one partition within a transaction."""

    def __init__(
        self, connection: Connection, engine: Engine, scope: Scope, partition: Partition, decider: Decider
    ) -> None:
        self._connection, self._scope, self._partition, self._decider = connection, scope, partition, decider
        self._store = PgPostingStore(engine, scope.tenant)

    def make(self, contract_id: str | None, basis: str, *, retry_rejected: bool, now: dt.datetime) -> Section:
        """Decide about a contract's month anew, and store what is decided and what is to be done."""
        connection, tenant = self._connection, self._scope.tenant
        if contract_id is not None:
            # Two partitions settle the month of a contract that two entities sell, and both keep its balance.
            plans.lock_contract_month(connection, tenant, contract_id, self._partition[1])
        draft = self._draft(contract_id)
        if not retry_rejected:
            draft = draft.without_retries()
        every = (*draft.decisions, *draft.elsewhere)
        known = decisions.latest_hashes(connection, tenant, [d.object_id for d in every])
        # A plan that nobody applies must not hide what is decided otherwise now.
        changed = {head_of(d): d.route for d in every if has_changed(d, known)}
        work_heads.mark_changed(connection, tenant, changed, now)
        decisions.record(connection, tenant, draft.decisions, known, now)
        _note_holds(connection, tenant, self._partition, draft, now)
        self._hand_on(draft, now)
        return plan_sections.add(
            connection,
            tenant,
            self._partition,
            contract_id=contract_id,
            basis=basis,
            facts_hash=draft.facts_hash,
            items=draft.items,
            totals=totals_of(draft.items),
            now=now,
        )

    def has_changed(self, section: Section) -> bool:
        """Whether another section than this one would be made now."""
        return self._draft(section.contract_id).facts_hash != section.facts_hash

    def _draft(self, contract_id: str | None) -> Draft:
        return make_draft(
            self._connection, self._store, self._scope, self._partition, [contract_id], decider=self._decider
        )

    def _hand_on(self, draft: Draft, now: dt.datetime) -> None:
        """Keep what the contracts' month leaves to the next one, which becomes due where that has changed."""
        month, tenant = ServiceMonth.parse(self._partition[1]), self._scope.tenant
        for contract_id, closing in sorted(draft.closings.items()):
            if contract_balances.put(self._connection, tenant, contract_id, month, closing=closing, now=now):
                where = ContractMonth(contract_id, month)
                contract_months.follow_up(self._connection, tenant, where, self._decider.master, now)


def _master(connection: Connection, scope: Scope) -> tuple[str, MasterData]:
    """The master data with the fingerprint of just these."""
    while True:
        before = basis.of_tenant(connection, scope)
        master = canonical.load_master(connection, scope)
        if basis.of_tenant(connection, scope) == before:
            return before, master


def _bases(
    connection: Connection, tenant: str, partition: Partition, contracts: Sequence[str | None] | None, common: str
) -> dict[str | None, str]:
    """The fingerprints of a partition's contracts, or of those that a plan is limited to, in the order of a plan."""
    there = fingerprints.contracts_of(connection, tenant, partition)
    wanted = there if contracts is None else [c for c in there if c in contracts]
    return basis.of_contracts(connection, tenant, partition, sorted(wanted, key=lambda c: c or ""), common)


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


def _note_holds(connection: Connection, tenant: str, partition: Partition, draft: Draft, now: dt.datetime) -> None:
    """Open an exception for each reason that holds an entry; resolve those of the same entries that are gone."""
    planned: dict[str, list[Hold]] = defaultdict(list)
    for item in draft.items:
        if item.hold is not None:
            planned[item.object_id].append(item.hold)
    sightings = []
    for decision in draft.decisions:
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
        looked_at=[d.object_id for d in draft.decisions],
    )
