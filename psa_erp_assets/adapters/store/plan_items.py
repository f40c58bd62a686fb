"""Sums over the items of a stored plan, and its items page by page: a month's plan has a million of them.

What belongs here: statements that read items of plans and weigh them against the ledger. What does not: writing them
(`plan_sections`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, RowMapping, and_, case, func, literal, or_, select, union
from sqlalchemy.orm import aliased
from sqlalchemy.sql.selectable import Subquery

from psa_erp_assets.adapters.store import work_heads
from psa_erp_assets.adapters.store.schema import credit, erp_document, plan_item, plan_part, posting, work_head
from psa_erp_assets.adapters.store.work_heads import Partition
from psa_erp_assets.domain.plan import Action
from psa_erp_assets.domain.posting import ENDED, Leg, State
from psa_erp_assets.domain.reconcile import CANCELLED

_ADDS = (Action.CREATE.value, Action.REVERSE.value, Action.RESTORE.value)
_TAKES = (Action.WITHDRAW.value, Action.VOID.value)
_GONE = [state.value for state in (State.CANCELLED, State.WITHDRAWN, State.REVERSED, State.REJECTED)]
_OVER = sorted(state.value for state in ENDED | {State.REJECTED})
# A part's items are numbered from 1, so that part and number are one number for what comes first.
_PLACES = 2**32


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemFilter:
    """Which items of a plan: of an action, of a contract ("" stands for work on none), of one object; None for all."""

    action: str | None = None
    contract_id: str | None = None
    object_id: str | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """As conditions on `plan_item`."""
        item = plan_item.c
        found: list[ColumnElement[bool]] = []
        if self.action is not None:
            found.append(item.action == self.action)
        if self.contract_id is not None:
            found.append(item.contract_id == self.contract_id if self.contract_id else item.contract_id.is_(None))
        if self.object_id is not None:
            found.append(item.object_id == self.object_id)
        return found


def action_sums(connection: Connection, plan_id: int, *, with_ledger: bool) -> Sequence[RowMapping]:
    """By contract, effect type, currency and action: `items`, `minutes`, `amount`, and the `change` that they make.

    An item without an effect of its own (what cancels a withdrawal, or tries it again) has the currency of its
    posting with `with_ledger`, and is left out without.
    """
    item, there = plan_item.c, posting.c
    currency = func.coalesce(item.currency, there.currency) if with_ledger else item.currency
    change = case(
        (item.action.in_(_ADDS), item.amount),
        (item.action.in_(_TAKES), -item.amount),
        (item.action == Action.CANCEL.value, -_standing()),
        (item.action == Action.RETRY.value, there.amount),
        else_=0,
    )
    statement = (
        select(
            item.contract_id,
            item.effect_type,
            currency.label("currency"),
            item.action,
            func.count().label("items"),
            func.coalesce(func.sum(item.minutes), 0).label("minutes"),
            func.coalesce(func.sum(item.amount), 0).label("amount"),
            func.coalesce(func.sum(change), 0).label("change"),
        )
        .select_from(_of_plan().outerjoin(posting, there.key == item.key))
        .where(plan_part.c.plan_id == plan_id, currency.is_not(None))
        .group_by(item.contract_id, item.effect_type, currency, item.action)
    )
    return connection.execute(statement).mappings().all()


def ledger_sums(
    connection: Connection, tenant: str, partition: Partition, contracts: Sequence[str | None] | None
) -> Sequence[RowMapping]:
    """What the ledger has of everything that such a plan looks at, by contract, effect type and currency.

    `amount` counts what is sent or about to be. A credit's line belongs to its entry's contract, and a contract's own
    lines to the contract's month.
    """
    there, looked_at = posting.c, _looked_at(tenant, partition, contracts)
    of_work = select(looked_at.c.contract_id, there.key).join(
        posting, and_(there.tenant == tenant, there.object_id == looked_at.c.object_id)
    )
    months = (
        select(func.split_part(looked_at.c.object_id, ":", 2).label("contract_id"))
        .where(looked_at.c.object_id.startswith("contract_month:", autoescape=True))
        .distinct()
        .subquery()
    )
    of_contracts = select(months.c.contract_id, there.key).join(
        posting,
        and_(
            there.tenant == tenant,
            there.service_month == partition[1],
            there.object_id.startswith("contract:"),
            func.split_part(there.object_id, ":", 2) == months.c.contract_id,
        ),
    )
    found = union(of_work, of_contracts).subquery()
    statement = (
        select(found.c.contract_id, there.effect_type, there.currency, func.sum(_standing()).label("amount"))
        .join(posting, there.key == found.c.key)
        .group_by(found.c.contract_id, there.effect_type, there.currency)
    )
    return connection.execute(statement).mappings().all()


def hold_sums(connection: Connection, plan_id: int) -> Sequence[RowMapping]:
    """Held items by contract, effect type and `code`: how many, and the `detail` of the first."""
    item, code = plan_item.c, plan_item.c.body["hold"]["code"].astext
    place = func.min(plan_part.c.position.cast(BigInteger) * _PLACES + item.seq).label("place")
    sums = (
        select(item.contract_id, item.effect_type, code.label("code"), func.count().label("items"), place)
        .select_from(_of_plan())
        .where(plan_part.c.plan_id == plan_id, code.is_not(None))
        .group_by(item.contract_id, item.effect_type, code)
        .subquery()
    )
    first, part = aliased(plan_item), aliased(plan_part)
    statement = (
        select(
            sums.c.contract_id,
            sums.c.effect_type,
            sums.c.code,
            sums.c["items"],
            first.c.body["hold"]["detail"].astext.label("detail"),
        )
        .join(part, and_(part.c.plan_id == plan_id, part.c.position == sums.c.place // _PLACES))
        .join(first, and_(first.c.section_id == part.c.section_id, first.c.seq == sums.c.place % _PLACES))
    )
    return connection.execute(statement).mappings().all()


def reason_sums(connection: Connection, plan_id: int) -> Sequence[RowMapping]:
    """How many items of each action but holds give which reason."""
    item = plan_item.c
    statement = (
        select(item.action, item.reason, func.count().label("items"))
        .select_from(_of_plan())
        .where(plan_part.c.plan_id == plan_id, item.action != Action.HOLD.value)
        .group_by(item.action, item.reason)
        .order_by(item.action, item.reason)
    )
    return connection.execute(statement).mappings().all()


def items(
    connection: Connection, plan_id: int, wanted: ItemFilter, *, after: tuple[int, int] = (0, 0), limit: int
) -> Sequence[RowMapping]:
    """Items of a plan in its order, with their `position` in it, after the place of another one."""
    item, position = plan_item.c, plan_part.c.position
    statement = (
        select(
            position,
            item.seq,
            item.action,
            item.effect_type,
            item.object_id,
            item.contract_id,
            item.key,
            item.target_key,
            item.amount,
            item.currency,
            item.minutes,
            item.reason,
            item.body["hold"]["code"].astext.label("code"),
        )
        .select_from(_of_plan())
        .where(
            plan_part.c.plan_id == plan_id,
            or_(position > after[0], and_(position == after[0], item.seq > after[1])),
            *wanted.conditions(),
        )
        .order_by(position, item.seq)
        .limit(limit)
    )
    return connection.execute(statement).mappings().all()


def _of_plan() -> Any:
    return plan_item.join(plan_part, plan_part.c.section_id == plan_item.c.section_id)


def _looked_at(tenant: str, partition: Partition, contracts: Sequence[str | None] | None) -> Subquery:
    """The objects of a plan and their credits, with their contracts."""
    head, within = work_head.c, work_heads.within(tenant, partition, contracts)
    of_credits = (
        select((credit.c.object_id + "#" + credit.c.credit_id).label("object_id"), head.contract_id)
        .join(work_head, and_(head.tenant == credit.c.tenant, head.object_id == credit.c.object_id))
        .where(credit.c.tenant == tenant, within)
    )
    return select(head.object_id, head.contract_id).where(within).union_all(of_credits).subquery()


def _standing() -> ColumnElement[Any]:
    """What a posting brings to its contract: nothing if it has ended or was refused.

    What takes another one back, by a negative amount, counts until that other one has ended with it. Where the ERP has
    cancelled the document of that other one, only what takes it back is left there, and counts.
    """
    there = posting.c
    left_alone = and_(
        there.leg == Leg.REVERSAL.value,
        there.state == State.VERIFIED.value,
        _is_cancelled(there.tenant, there.target_key),
        ~_is_cancelled(there.tenant, there.key),
    )
    counts = case(
        (there.leg == Leg.ORIGINAL.value, there.state.not_in(_GONE)),
        else_=or_(there.state.not_in(_OVER), left_alone),
    )
    return case((counts, there.amount), else_=literal(0))


def _is_cancelled(tenant: ColumnElement[Any], key: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether the document under a key is on one that the ERP has cancelled."""
    document = erp_document.c
    return (
        select(literal(1))
        .where(document.key == key, document.tenant == tenant, document.document_state == CANCELLED)
        .correlate(posting)
        .exists()
    )
