"""One partition brought to where it should be: plan, apply, send, and again until there is nothing left to do."""

import datetime as dt
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from psa_erp_assets.adapters.store import erp_documents, work_heads
from psa_erp_assets.adapters.store.work_heads import Partition
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.plan import Action
from psa_erp_assets.domain.posting import Event
from psa_erp_assets.services import (
    audit_log,
    connections,
    extraction,
    mapping_upkeep,
    milestones,
    plan_review,
    planning,
    touching,
    work_log,
)
from psa_erp_assets.services.planning import Plan, PlanOvertakenError
from psa_erp_assets.services.posting_engine import EngineReport
from psa_erp_assets.services.read_back import erp_company
from psa_erp_assets.services.revisions import CLOCKIFY, Received
from psa_erp_assets.services.runtime import Runtime

# A removal that the ERP refuses and the reversal that then takes its place need two rounds; facts that move
# while a round runs may need another. What still moves after this many is left to the next run.
_ROUNDS = 5
_ALL_TYPES = tuple(EffectType)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What became of a partition: plan actions by action and effect type, the last plan, and what was sent.

    `plan` is None where nothing that the ERP answered called for another plan. The actions are those of plans that
    were applied.
    """

    partition: Partition
    actions: Counter[tuple[str, str]]
    plan: Plan | None
    engine: tuple[EngineReport, ...]


def sweep(runtime: Runtime, *, complete: bool) -> Received:
    """Read the PSA: all of it with a look for deletes, or what changed since the last sweep.

    The latter stands back while more webhooks wait than are worked off in a while: they announce the same.
    """
    policy = runtime.settings.policies.extraction
    first = dt.datetime.combine(ServiceMonth.parse(policy.first_month).first_day, dt.time(), dt.UTC)
    # A day earlier: the first of the month begins in Auckland while it is still the last of the one before in UTC.
    first -= dt.timedelta(days=1)
    with runtime.engine.connect() as connection:
        last = extraction.last_sweep(connection, runtime.settings.tenant)
        if not complete and connections.is_above_high_water(connection, runtime.settings.tenant, CLOCKIFY):
            return Received(fetched=0, new_versions=0, revised=(), malformed=0)
    approvals_since = None if complete or last is None else last - dt.timedelta(hours=policy.overlap_hours)
    began = time.monotonic()
    received = extraction.sweep(
        runtime.engine,
        runtime.psa,
        runtime.scope,
        since=first if approvals_since is None else max(first, approvals_since),
        now=runtime.clock(),
        find_deleted=complete,
        approvals_since=approvals_since,
    )
    work_log.swept(CLOCKIFY, received, complete=complete, seconds=time.monotonic() - began)
    return received


def sweep_milestones(runtime: Runtime) -> Received:
    """Read all milestones of the second PSA; nothing where there is none."""
    if runtime.milestones_psa is None:
        return Received(fetched=0, new_versions=0, revised=(), malformed=0)
    return milestones.sweep(runtime.engine, runtime.milestones_psa, runtime.scope, now=runtime.clock())


def mark_touched(runtime: Runtime) -> int:
    """Make dirty the entries that changed master data now decide otherwise; answers with how many.

    Mappings are looked at first: what is proposed, what contradicts and where systems drift apart.
    """
    runtime.note_settings()
    with runtime.engine.begin() as connection:
        mapping_upkeep.upkeep(connection, runtime.scope, runtime.clock())
        return touching.mark_touched(connection, runtime.scope, runtime.clock())


def touched_partitions(runtime: Runtime) -> dict[Partition, list[str | None]]:
    """The partitions with entries that changed since they were last planned, and the contracts concerned."""
    with runtime.engine.connect() as connection:
        return work_heads.dirty_partitions(connection, runtime.settings.tenant)


def all_partitions(runtime: Runtime) -> list[Partition]:
    """All partitions that have time entries."""
    with runtime.engine.connect() as connection:
        return work_heads.partitions(connection, runtime.settings.tenant)


def sync_partition(
    runtime: Runtime, partition: Partition, *, created_by: str, contracts: Collection[str | None] | None = None
) -> Settled:
    """Plan, apply and send until the plan is empty; limited to some contracts of the partition if given."""
    first = plan_and_apply(runtime, partition, created_by=created_by, contracts=contracts)
    settled = settle(runtime, partition, created_by=created_by, contracts=contracts)
    return Settled(
        partition=partition,
        actions=_applied(first) + settled.actions,
        plan=settled.plan or first,
        engine=settled.engine,
    )


def settle(
    runtime: Runtime,
    partition: Partition,
    *,
    created_by: str,
    contracts: Collection[str | None] | None = None,
    effect_types: Sequence[EffectType] = _ALL_TYPES,
) -> Settled:
    """Send what was planned and, where the ERP's answers change what is to be done, plan and send again."""
    actions: Counter[tuple[str, str]] = Counter()
    reports: list[EngineReport] = []
    plan: Plan | None = None
    for _ in range(_ROUNDS):
        reports.append(send(runtime, partition, effect_types))
        if not (reports[-1].events[Event.REJECTED] or reports[-1].events[Event.CANCELLED]):
            break
        plan = plan_and_apply(runtime, partition, created_by=created_by, contracts=contracts, retry_rejected=False)
        actions += _applied(plan)
        if plan.waits or not any(total.acts and total.effect_type in effect_types for total in plan.totals):
            break
    return Settled(partition=partition, actions=actions, plan=plan, engine=tuple(reports))


def send(runtime: Runtime, partition: Partition, effect_types: Sequence[EffectType] = _ALL_TYPES) -> EngineReport:
    """Let the posting engine work on a partition's ERP companies until only what waits for time or a person is left.

    That is the company of its legal entity, and any other from which work that has moved here is taken back. Raises
    AuditLogError where an old backup was restored: what was posted since is not known, and could be posted twice.
    """
    audit_log.refuse_disagreement(runtime.engine, runtime.settings)
    companies = {*runtime.postings.companies_of(partition), erp_company(runtime, partition[0])}
    began = time.monotonic()
    report = runtime.posting_engine.run_until_settled(companies, effect_types=effect_types)
    work_log.posted(partition, report, seconds=time.monotonic() - began)
    return report


def plan_and_apply(
    runtime: Runtime,
    partition: Partition,
    *,
    created_by: str,
    contracts: Collection[str | None] | None = None,
    retry_rejected: bool = True,
) -> Plan:
    """Make a plan and apply it at once; made anew where facts move in between. Raises PlanOvertakenError at last.

    What somebody has approved comes first. A plan that needs an approval waits for it, and one that was rejected is
    not made again until facts change.
    """
    began = time.monotonic()
    runtime.note_settings()
    plan_review.apply_approved(runtime.engine, runtime.scope, partition, now=runtime.clock())
    for attempt in range(1, _ROUNDS + 1):
        plan = propose(
            runtime,
            partition,
            created_by=created_by,
            contracts=contracts,
            retry_rejected=retry_rejected,
            repeat_refused=False,
        )
        if plan.waits:
            break
        try:
            planning.apply_plan(runtime.engine, runtime.scope, plan.id, now=runtime.clock())
        except PlanOvertakenError:
            if attempt == _ROUNDS:
                raise
        else:
            break
    plan_review.update_queue(runtime.engine, runtime.scope, plan, now=runtime.clock())
    work_log.planned(plan, seconds=time.monotonic() - began)
    return plan


def propose(
    runtime: Runtime,
    partition: Partition,
    *,
    created_by: str,
    contracts: Collection[str | None] | None = None,
    retry_rejected: bool = True,
    repeat_refused: bool = True,
) -> Plan:
    """Make a plan from what is known, after asking the ERP whether drafts to be withdrawn are still on their own."""

    def make() -> Plan:
        return planning.make_plan(
            runtime.engine,
            runtime.scope,
            partition,
            now=runtime.clock(),
            created_by=created_by,
            contracts=contracts,
            retry_rejected=retry_rejected,
            repeat_refused=repeat_refused,
        )

    plan = make()
    return make() if _drafts_were_taken_up(runtime, plan) else plan


def _applied(plan: Plan) -> Counter[tuple[str, str]]:
    return Counter() if plan.waits else plan.actions()


def _drafts_were_taken_up(runtime: Runtime, plan: Plan) -> bool:
    """Look up the drafts that the plan withdraws; true if any is on a document now. Raises LookUpFailedError."""
    wanted: dict[tuple[str, EffectType], list[str]] = defaultdict(list)
    for item in planning.items_of(runtime.engine, plan, [Action.WITHDRAW]):
        if item.effect is not None and item.target_key is not None:
            wanted[item.effect.erp_company, item.effect_type].append(item.target_key)
    found = [
        document
        for (company, effect_type), keys in wanted.items()
        for documents in runtime.erp.look_up(company, effect_type, keys).values()
        for document in documents
        if document.document is not None
    ]
    with runtime.engine.begin() as connection:
        erp_documents.refresh(connection, runtime.settings.tenant, found, runtime.clock())
    return bool(found)
