"""A stored plan as people read it: by contract what there is, what there will be, and what is held, and why.

What belongs here: sums over a plan's items and the ledger. What does not: making, reviewing or applying plans.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import TypeVar

from sqlalchemy import Connection, Engine, RowMapping

from psa_erp_assets.adapters.store import plan_items, plan_lists
from psa_erp_assets.adapters.store.plan_items import ItemFilter
from psa_erp_assets.adapters.store.plan_lists import PlanFilter, PlanRow
from psa_erp_assets.services.listings import PAGE_SIZE, pages_of
from psa_erp_assets.services.planning import PlanNotFoundError
from psa_erp_assets.services.scope import Scope


class PlanStatus(StrEnum):
    """Where a plan stands."""

    PROPOSED = "proposed"
    APPROVED = "approved"
    REJECTED = "rejected"
    APPLIED = "applied"
    OVERTAKEN = "overtaken"


_OPEN = (PlanStatus.PROPOSED, PlanStatus.APPROVED)
_Group = tuple[str | None, str, str]
_Record = TypeVar("_Record")


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionTotal:
    """The items of one action: how many, their minutes, and the amounts of the effects that they are about."""

    action: str
    items: int
    minutes: int
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractRow:
    """What a plan does about one contract, effect type and currency. `contract_id` None: work on no contract.

    `before` is what the ledger has, sent or about to be, `after` what it will have, `difference` the one less the
    other; all None once the plan is no longer open, as the ledger has gone on since.
    """

    contract_id: str | None
    effect_type: str
    currency: str
    actions: tuple[ActionTotal, ...]
    before: Decimal | None
    after: Decimal | None
    difference: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldRow:
    """How many effects of a contract are held, and why. `detail` is the first item's own."""

    contract_id: str | None
    effect_type: str
    code: str
    items: int
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonRow:
    """How many items of an action give this reason."""

    action: str
    reason: str
    items: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanReport:
    """A plan with all of that; `plan` says where it stands and who reviewed it."""

    plan: PlanRow
    contracts: tuple[ContractRow, ...]
    held: tuple[HeldRow, ...]
    reasons: tuple[ReasonRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectChange:
    """How many items of a plan change the books of an effect type, and what they bring to them in all."""

    effect_type: str
    currency: str
    items: int
    change: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedPlan:
    """A plan in a list, with what it changes."""

    plan: PlanRow
    changes: tuple[EffectChange, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanPage:
    """A page of plans, latest first, and what they can be narrowed down to. `total` counts all that match."""

    plans: tuple[ListedPlan, ...]
    page: int
    pages: int
    total: int
    legal_entities: tuple[str, ...]
    service_months: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One item of a plan. `place` is where it stands; `code` is why it is held, None for what is not."""

    place: str
    action: str
    effect_type: str
    object_id: str
    contract_id: str | None
    key: str | None
    target_key: str | None
    amount: Decimal | None
    currency: str | None
    minutes: int | None
    reason: str
    code: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemPage:
    """Items of a plan in its order; `after` is the place to go on after, None where these are the last."""

    items: tuple[Item, ...]
    after: str | None


def list_plans(
    connection: Connection, tenant: str, *, status: str | None = None, limit: int | None = None
) -> tuple[PlanRow, ...]:
    """Plans, the latest first."""
    return tuple(plan_lists.list_plans(connection, tenant, PlanFilter(status=status), limit=limit))


def plan_page(connection: Connection, tenant: str, wanted: PlanFilter, *, page: int = 1) -> PlanPage:
    """A page of the plans that somebody may see."""
    total = plan_lists.count_plans(connection, tenant, wanted)
    found = plan_lists.list_plans(connection, tenant, wanted, offset=(page - 1) * PAGE_SIZE, limit=PAGE_SIZE)
    changes: dict[int, list[EffectChange]] = defaultdict(list)
    for row in plan_lists.changes(connection, [plan.id for plan in found]):
        changes[row["plan_id"]].append(_only(EffectChange, row))
    facets = plan_lists.facets(connection, tenant, wanted.entities)
    return PlanPage(
        plans=tuple(ListedPlan(plan=plan, changes=tuple(changes[plan.id])) for plan in found),
        page=page,
        pages=pages_of(total),
        total=total,
        legal_entities=tuple(sorted({row["legal_entity"] for row in facets})),
        service_months=tuple(sorted({row["service_month"] for row in facets}, reverse=True)),
    )


def count_waiting(connection: Connection, tenant: str, entities: Collection[str] | None) -> int:
    """How many plans wait for somebody's approval."""
    return plan_lists.count_plans(connection, tenant, PlanFilter(waiting=True, entities=entities))


def load_plan(connection: Connection, tenant: str, plan_id: int, entities: Collection[str] | None = None) -> PlanRow:
    """A stored plan. Raises PlanNotFoundError, also for one of a legal entity that is none of `entities`."""
    found = plan_lists.list_plans(connection, tenant, PlanFilter(plan_id=plan_id, entities=entities))
    if not found:
        raise PlanNotFoundError(f"there is no plan {plan_id}")
    return found[0]


def plan_report(engine: Engine, scope: Scope, plan_id: int) -> PlanReport:
    """The report of a stored plan. Raises PlanNotFoundError."""
    with engine.connect() as connection:
        return read_report(connection, scope.tenant, plan_id)


def read_report(
    connection: Connection, tenant: str, plan_id: int, entities: Collection[str] | None = None
) -> PlanReport:
    """The same on a connection; summed up in the database, because a month's plan has a million items.

    Raises PlanNotFoundError as `load_plan` does.
    """
    plan = load_plan(connection, tenant, plan_id, entities)
    is_open, partition = plan.status in _OPEN, (plan.legal_entity, plan.service_month)
    sums = plan_items.action_sums(connection, plan_id, with_ledger=is_open)
    ledger = plan_items.ledger_sums(connection, tenant, partition, plan.contracts) if is_open else None
    held = plan_items.hold_sums(connection, plan_id)
    return PlanReport(
        plan=plan,
        contracts=tuple(_contract_rows(sums, ledger)),
        held=tuple(
            _only(HeldRow, row)
            for row in sorted(held, key=lambda row: str((row["contract_id"], row["effect_type"], row["code"])))
        ),
        reasons=tuple(_only(ReasonRow, row) for row in plan_items.reason_sums(connection, plan_id)),
    )


def item_page(connection: Connection, plan_id: int, wanted: ItemFilter, *, after: str | None = None) -> ItemPage:
    """Items of a plan, after the place of another one where that is given, as 3.120."""
    position, _, seq = (after or "0.0").partition(".")
    rows = plan_items.items(connection, plan_id, wanted, after=(int(position), int(seq or 0)), limit=PAGE_SIZE + 1)
    items = tuple(
        Item(place=f"{row['position']}.{row['seq']}", **{n: row[n] for n in Item.__annotations__ if n != "place"})
        for row in rows[:PAGE_SIZE]
    )
    return ItemPage(items=items, after=items[-1].place if len(rows) > PAGE_SIZE else None)


def _contract_rows(sums: Sequence[RowMapping], ledger: Sequence[RowMapping] | None) -> list[ContractRow]:
    groups: dict[_Group, list[RowMapping]] = defaultdict(list)
    for row in sums:
        groups[row["contract_id"], row["effect_type"], row["currency"]].append(row)
    there: Mapping[_Group, Decimal] = {
        (row["contract_id"], row["effect_type"], row["currency"]): row["amount"] for row in ledger or ()
    }
    rows = []
    for group, mine in sorted(groups.items(), key=lambda item: str(item[0])):
        before = difference = None
        if ledger is not None:
            before = there.get(group, Decimal(0))
            difference = sum((row["change"] for row in mine), Decimal(0))
        rows.append(
            ContractRow(
                contract_id=group[0],
                effect_type=group[1],
                currency=group[2],
                actions=tuple(_only(ActionTotal, row) for row in sorted(mine, key=lambda row: str(row["action"]))),
                before=before,
                after=None if before is None or difference is None else before + difference,
                difference=difference,
            )
        )
    return rows


def _only(record: type[_Record], row: RowMapping) -> _Record:
    """The record of the columns that it has a field for."""
    return record(**{name: row[name] for name in record.__annotations__})
