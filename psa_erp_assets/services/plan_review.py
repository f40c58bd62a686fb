"""Plans that somebody must approve: who may, what waits, and what has been overtaken meanwhile.

What belongs here: the queue, its four eyes, and what somebody asks for by hand. What does not: which plans need
approval (`domain.approval`), and what applying them does (`planning`).
"""

import datetime as dt

from sqlalchemy import Connection, Engine

from psa_erp_assets.adapters.store import exceptions, plan_lists, plans, work_heads
from psa_erp_assets.adapters.store.exceptions import Sighting
from psa_erp_assets.adapters.store.work_heads import Partition
from psa_erp_assets.services import audit, planning
from psa_erp_assets.services.planning import Plan, PlanNotFoundError, PlanOvertakenError
from psa_erp_assets.services.scope import Scope

AWAITS_APPROVAL = "plan_awaits_approval"
_SCOPE = "plan_review"


class ReviewRefusedError(Exception):
    """Whoever reviews the plan may not, or the plan is none that can be reviewed."""


def review(
    engine: Engine, scope: Scope, plan_id: int, *, approve: bool, reviewed_by: str, note: str, now: dt.datetime
) -> None:
    """Approve or reject a proposed plan.

    Four eyes: whoever made it cannot review it; one that was made by a run anybody can. Nothing is posted by it.
    Raises PlanNotFoundError, or ReviewRefusedError with what is wrong.
    """
    who, why = reviewed_by.strip(), note.strip()
    if not who or not why:
        raise ReviewRefusedError("a review needs the name of whoever makes it, and a note that says why")
    verb = "approved" if approve else "rejected"
    with engine.begin() as connection:
        plan = plans.load(connection, scope.tenant, plan_id)
        if plan is None:
            raise PlanNotFoundError(f"there is no plan {plan_id}")
        if who.casefold() == plan.created_by.strip().casefold():
            raise ReviewRefusedError(f"plan {plan_id} was made by {plan.created_by}: somebody else must review it")
        if not plans.review(connection, plan_id, approved=approve, reviewed_by=who, note=why, now=now):
            raise ReviewRefusedError(f"plan {plan_id} is {plan.status}: only a proposed plan can be {verb}")
        _leave_queue(connection, scope.tenant, plan_id, f"{verb} by {who}", now)


def plan_anew(engine: Engine, scope: Scope, partition: Partition, *, asked_by: str, now: dt.datetime) -> Plan:
    """Plan a partition because somebody asks for it; where it needs approval it waits for somebody else's.

    Raises PlanNotFoundError for a partition without work.
    """
    with engine.connect() as connection:
        known = work_heads.partitions(connection, scope.tenant)
    if partition not in known:
        raise PlanNotFoundError(f"there is no work of {' '.join(partition)}")
    plan = planning.make_plan(engine, scope, partition, now=now, created_by=asked_by)
    update_queue(engine, scope, plan, now=now)
    return plan


def apply(engine: Engine, scope: Scope, plan_id: int, *, asked_by: str, now: dt.datetime) -> int:
    """Apply a plan because somebody asks for it, which the audit log keeps; answers with how many postings it touched.

    Raises as `planning.apply_plan` does.
    """
    with engine.begin() as connection:
        if plans.load(connection, scope.tenant, plan_id) is None:
            raise PlanNotFoundError(f"there is no plan {plan_id}")
        audit.record(
            connection,
            scope.tenant,
            kind="plan.apply_asked",
            subject=f"plan:{plan_id}",
            actor=asked_by,
            detail={},
            now=now,
        )
    return planning.apply_plan(engine, scope, plan_id, now=now)


def apply_approved(engine: Engine, scope: Scope, partition: Partition, *, now: dt.datetime) -> list[int]:
    """Apply what somebody has approved for a partition, as far as facts have not overtaken it; answers with the ids."""
    with engine.connect() as connection:
        waiting = plan_lists.under_review(connection, scope.tenant, partition)
        approved = [i for i in waiting if (p := plans.load(connection, scope.tenant, i)) and p.status == "approved"]
    applied = []
    for plan_id in approved:
        try:
            planning.apply_plan(engine, scope, plan_id, now=now)
        except (PlanOvertakenError, PlanNotFoundError):
            # Facts have moved on, or somebody was quicker: what is left to do is planned anew.
            continue
        applied.append(plan_id)
    return applied


def update_queue(engine: Engine, scope: Scope, plan: Plan, *, now: dt.datetime) -> None:
    """After a run has made `plan`: it joins those that wait if it does, and those that facts have overtaken leave.

    One that waits also takes the place of older ones for no other contracts than its own.
    """
    with engine.begin() as connection:
        plans.lock_partition(connection, scope.tenant, plan.partition)
        joins = plan.waits and plan.status == "proposed"
        for plan_id in plan_lists.under_review(connection, scope.tenant, plan.partition):
            other = plans.load(connection, scope.tenant, plan_id)
            if other is None or plan_id == plan.id:
                continue
            replaced = joins and plan_id < plan.id and _covers(plan.contracts, other.contracts)
            if replaced or planning.is_overtaken(connection, engine, scope, other):
                plans.finish(connection, plan_id, "overtaken", now)
                _leave_queue(connection, scope.tenant, plan_id, "overtaken by newer facts", now)
        if joins:
            exceptions.open_or_touch(connection, scope.tenant, _SCOPE, [_sighting(plan)], now)


def _covers(wide: tuple[str | None, ...] | None, narrow: tuple[str | None, ...] | None) -> bool:
    return wide is None or (narrow is not None and set(narrow) <= set(wide))


def _leave_queue(connection: Connection, tenant: str, plan_id: int, resolution: str, now: dt.datetime) -> None:
    exceptions.resolve_absent(
        connection, tenant, _SCOPE, (), now, looked_at=[_object_id(plan_id)], resolution=resolution
    )


def _sighting(plan: Plan) -> Sighting:
    return Sighting(
        code=AWAITS_APPROVAL,
        object_id=_object_id(plan.id),
        detail="; ".join(plan.approval_reasons),
        evidence={"plan": plan.id},
        legal_entity=plan.partition[0],
        service_month=plan.partition[1],
        minutes=0,
    )


def _object_id(plan_id: int) -> str:
    return f"plan:{plan_id}"
