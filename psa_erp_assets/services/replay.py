"""Replay: plan the contract months of some exceptions anew, show the difference, and carry it out when confirmed.

Every posting keeps its key; what a replay does is what the next sync would do, now and for these alone. A plan that
needs approval waits for it as any other does.

What belongs here: the two steps of a replay. What does not: how plans are made and applied (`planning`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Row, RowMapping

from psa_erp_assets.adapters.store import exception_work as rows
from psa_erp_assets.adapters.store import work_heads
from psa_erp_assets.adapters.store.exception_work import ItemFilter
from psa_erp_assets.adapters.store.work_heads import Partition
from psa_erp_assets.domain.access import Permission
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.money import exponent
from psa_erp_assets.services import planning
from psa_erp_assets.services.deciding import contract_of_object, head_id
from psa_erp_assets.services.exception_cases import Request
from psa_erp_assets.services.exception_work import (
    Chosen,
    Work,
    WorkRefusedError,
    chosen_items,
    load_request,
    needed_text,
    record,
)
from psa_erp_assets.services.plan_report import plan_report
from psa_erp_assets.services.planning import PlanNeedsApprovalError, PlanNotFoundError, PlanOvertakenError

MOST_PLANS = 50
"""As many contract months as one replay plans: each is locked and planned while somebody waits for the difference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a replay does about one contract's effects of a type: amounts in the books before and after."""

    plan_id: int
    legal_entity: str
    service_month: str
    contract_id: str | None
    effect_type: str
    currency: str
    actions: tuple[str, ...]
    before: Decimal
    after: Decimal
    difference: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class StillHeld:
    """What stays held, and why."""

    plan_id: int
    effect_type: str
    code: str
    detail: str
    items: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """A replay before it is confirmed. `acting` is whether it would do anything; `awaiting` are its plans that need
    somebody's approval first, with why. `left` is how many items of a group it leaves to another replay.
    """

    request: int
    items: tuple[int, ...]
    plans: tuple[int, ...]
    changes: tuple[Change, ...]
    held: tuple[StillHeld, ...]
    awaiting: tuple[str, ...]
    acting: bool
    left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What a confirmed replay did: postings touched, its plans that were applied, and why others were not."""

    request: int
    postings: int
    applied: tuple[int, ...]
    partitions: tuple[Partition, ...]
    skipped: tuple[str, ...]


def preview(work: Work, chosen: Chosen, reason: str, *, on_plan: Callable[[int, int], None] | None = None) -> Replay:
    """Plan anew what the items are about, and keep who asked, why, and the difference that they are shown.

    Nothing is posted. `on_plan` hears how many of how many partitions are planned. Raises WorkRefusedError where
    the items are about no work that can be planned, NotFoundError.
    """
    why = needed_text(reason, "a reason")
    with work.engine.begin() as connection:
        items, left = chosen_items(connection, work, chosen)
        months, planned = _months(_with_month(items), work_heads.heads(connection, work.scope.tenant, _heads(items)))
    if not months:
        raise WorkRefusedError("it is about no work of a service month, so that there is nothing to plan anew")
    changes: list[Change] = []
    held: list[StillHeld] = []
    awaiting: list[str] = []
    plans: list[int] = []
    acting = False
    for number, (partition, contracts) in enumerate(months.items(), start=1):
        plan = planning.make_plan(
            work.engine, work.scope, partition, now=work.now, created_by=work.actor.id, contracts=contracts
        )
        report = plan_report(work.engine, work.scope, plan.id)
        plans.append(plan.id)
        acting |= plan.acting
        if plan.waits:
            awaiting.append(f"plan {plan.id}: {'; '.join(plan.approval_reasons)}")
        changes += [
            Change(
                plan_id=plan.id,
                legal_entity=partition[0],
                service_month=partition[1],
                contract_id=row.contract_id,
                effect_type=row.effect_type,
                currency=row.currency,
                actions=tuple(f"{total.items} {total.action}" for total in row.actions),
                before=_known(row.before, row.currency),
                after=_known(row.after, row.currency),
                difference=_known(row.difference, row.currency),
            )
            for row in report.contracts
        ]
        held += [
            StillHeld(plan_id=plan.id, effect_type=h.effect_type, code=h.code, detail=h.detail, items=h.items)
            for h in report.held
        ]
        if on_plan is not None:
            on_plan(number, len(months))
    mine = [item for item in items if item["id"] in planned]
    with work.engine.begin() as connection:
        request_id = rows.add_request(
            connection,
            work.scope.tenant,
            kind="replay",
            item_ids=[item["id"] for item in mine],
            legal_entities=sorted({partition[0] for partition in months}),
            reason=why,
            difference={"plans": plans, "changes": [_said(change) for change in changes]},
            requested_by=work.actor.id,
            now=work.now,
        )
        record(connection, work, "exception.replay_asked", mine, {"request": request_id, "reason": why, "plans": plans})
    return Replay(
        request=request_id,
        items=tuple(item["id"] for item in mine),
        plans=tuple(plans),
        changes=tuple(changes),
        held=tuple(held),
        awaiting=tuple(awaiting),
        acting=acting,
        left=left + len(items) - len(mine),
    )


def confirm(work: Work, request_id: int) -> Replayed:
    """Carry out the replay as it was shown; the posting engine then sends what it planned.

    A plan that facts have overtaken, or that still needs approval, is left out with why. Raises WorkRefusedError for
    somebody else's replay or one that has ended, and where nothing of it could be done; NotFoundError.
    """
    with work.engine.begin() as connection:
        request = _own(load_request(connection, work, request_id), work)
    touched, applied, partitions, skipped = 0, [], [], []
    for plan_id in request.difference["plans"]:
        try:
            partition = planning.partition_of(work.engine, work.scope, plan_id)
            touched += planning.apply_plan(work.engine, work.scope, plan_id, now=work.now)
        except (PlanOvertakenError, PlanNeedsApprovalError, PlanNotFoundError) as error:
            skipped.append(str(error))
            continue
        applied.append(plan_id)
        partitions.append(partition)
    if not applied:
        raise WorkRefusedError(skipped[0] if skipped else "there is nothing to do")
    with work.engine.begin() as connection:
        rows.end_request(
            connection,
            request_id,
            state="done",
            ended_by=work.actor.id,
            note="confirmed",
            result={"applied": applied, "postings": touched, "skipped": skipped},
            now=work.now,
        )
        items = rows.items(connection, work.scope.tenant, ItemFilter(ids=request.item_ids))
        detail = {"request": request_id, "reason": request.reason, "applied": applied, "postings": touched}
        record(connection, work, "exception.replayed", items, detail)
    return Replayed(
        request=request_id,
        postings=touched,
        applied=tuple(applied),
        partitions=tuple(dict.fromkeys(partitions)),
        skipped=tuple(skipped),
    )


def _with_month(items: Sequence[RowMapping]) -> list[RowMapping]:
    """The items that are about work of a partition."""
    return [item for item in items if item["legal_entity"] is not None and item["service_month"] is not None]


def _known(amount: Decimal | None, currency: str) -> Decimal:
    """An amount of the report of an open plan, which has all of them, with the currency's decimals."""
    return (amount or Decimal(0)).quantize(Decimal(1).scaleb(-exponent(currency)))


def _own(request: Request, work: Work) -> Request:
    if request.kind != "replay" or request.requested_by != work.actor.id:
        raise WorkRefusedError(
            f"request {request.id} is no replay of yours: only who was shown the difference confirms"
        )
    if request.state != "waiting":
        raise WorkRefusedError(f"replay {request.id} was confirmed already")
    mine = work.actor.entities(Permission.OPERATE)
    if mine is not None and not set(request.legal_entities) <= mine:
        raise WorkRefusedError(f"replay {request.id} is about legal entities that you have no role for")
    return request


def _heads(items: Sequence[RowMapping]) -> list[str]:
    return sorted({_head(item) for item in _with_month(items)})


def _head(item: RowMapping) -> str:
    return head_id(item["object_id"], ServiceMonth.parse(item["service_month"]), item["legal_entity"])


def _months(
    items: Sequence[RowMapping], heads: Mapping[str, Row[Any]]
) -> tuple[dict[Partition, list[str | None]], set[int]]:
    """The partitions with their contracts that the items are about, oldest items first, and the items covered."""
    found: dict[Partition, list[str | None]] = {}
    covered: set[int] = set()
    seen: set[tuple[Partition, str | None]] = set()
    for item in items:
        head = heads.get(_head(item))
        if head is not None:
            partition, contract = (head.legal_entity, head.service_month), head.contract_id
        elif item["object_id"].startswith("contract:"):
            partition = (item["legal_entity"], item["service_month"])
            contract = contract_of_object(item["object_id"])
        else:
            continue
        if (partition, contract) not in seen:
            if len(seen) == MOST_PLANS:
                continue
            seen.add((partition, contract))
            found.setdefault(partition, []).append(contract)
        covered.add(item["id"])
    return found, covered


def _said(change: Change) -> dict[str, object]:
    return {
        "plan": change.plan_id,
        "contract": change.contract_id,
        "effect_type": change.effect_type,
        "currency": change.currency,
        "actions": list(change.actions),
        "before": str(change.before),
        "after": str(change.after),
        "difference": str(change.difference),
    }
