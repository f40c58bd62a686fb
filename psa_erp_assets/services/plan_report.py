"""A stored plan as people read it: by contract what there is, what there will be, and what is held, and why.

What belongs here: sums over a plan's items and the ledger. What does not: making, reviewing or applying plans.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import Connection, Engine, RowMapping

from psa_erp_assets.adapters.store import credits as credit_rows
from psa_erp_assets.adapters.store import plan_lists, work_heads
from psa_erp_assets.adapters.store.plan_lists import PlanRow
from psa_erp_assets.adapters.store.postings import PgPostingStore
from psa_erp_assets.domain.money import Money
from psa_erp_assets.domain.plan import ACTING, Action
from psa_erp_assets.domain.posting import ENDED, Leg, Posting, State
from psa_erp_assets.services.deciding import contract_of_month
from psa_erp_assets.services.planning import PlanNotFoundError
from psa_erp_assets.services.scope import Scope

_OPEN = ("proposed", "approved")
_TAKEN_AWAY = (Action.WITHDRAW.value, Action.VOID.value)


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


def list_plans(
    connection: Connection, tenant: str, *, status: str | None = None, limit: int | None = None
) -> tuple[PlanRow, ...]:
    """Plans, the latest first."""
    return tuple(plan_lists.list_plans(connection, tenant, status=status, limit=limit))


def plan_report(engine: Engine, scope: Scope, plan_id: int) -> PlanReport:
    """The report of a stored plan. Raises PlanNotFoundError."""
    store = PgPostingStore(engine, scope.tenant)
    with engine.connect() as connection:
        found = plan_lists.list_plans(connection, scope.tenant, plan_id=plan_id)
        if not found:
            raise PlanNotFoundError(f"there is no plan {plan_id}")
        plan, items = found[0], plan_lists.items(connection, plan_id)
        ledger = _ledger(connection, store, scope.tenant, plan) if plan.status in _OPEN else {}
    return PlanReport(
        plan=plan,
        contracts=tuple(_contract_rows(plan, items, ledger)),
        held=tuple(_held_rows(items)),
        reasons=tuple(
            ReasonRow(action=action, reason=reason, items=number)
            for (action, reason), number in sorted(
                Counter((i["action"], i["reason"]) for i in items if i["action"] != Action.HOLD.value).items()
            )
        ),
    )


def _contract_rows(
    plan: PlanRow, items: Sequence[RowMapping], ledger: Mapping[str | None, Sequence[Posting]]
) -> list[ContractRow]:
    groups: dict[tuple[str | None, str, str], list[RowMapping]] = defaultdict(list)
    for item in items:
        if item["currency"] is not None:
            groups[item["contract_id"], item["effect_type"], item["currency"]].append(item)
    by_key = {posting.key: posting for of_contract in ledger.values() for posting in of_contract}
    # A withdrawal has no content of its own, so that neither has an item that cancels it or tries it again.
    for item in items:
        posting = by_key.get(item["key"])
        if item["currency"] is None and posting is not None:
            groups[item["contract_id"], item["effect_type"], posting.amount.currency].append(item)
    rows = []
    for (contract_id, effect_type, currency), mine in sorted(groups.items(), key=lambda group: str(group[0])):
        before = difference = after = None
        if plan.status in _OPEN:
            there = [
                _standing(posting)
                for posting in ledger.get(contract_id, ())
                if (posting.effect_type.value, posting.amount.currency) == (effect_type, currency)
            ]
            changes = [_change(item, by_key.get(item["key"]), currency) for item in mine]
            before, difference = _sum(there, currency), _sum(changes, currency)
            after = _sum([before, difference], currency).amount
        rows.append(
            ContractRow(
                contract_id=contract_id,
                effect_type=effect_type,
                currency=currency,
                actions=_actions(mine, currency),
                before=before.amount if before else None,
                after=after,
                difference=difference.amount if difference else None,
            )
        )
    return rows


def _actions(items: Sequence[RowMapping], currency: str) -> tuple[ActionTotal, ...]:
    of_action: dict[str, list[RowMapping]] = defaultdict(list)
    for item in items:
        of_action[item["action"]].append(item)
    return tuple(
        ActionTotal(
            action=action,
            items=len(mine),
            minutes=sum(i["minutes"] or 0 for i in mine),
            amount=_sum([Money(i["amount"] or Decimal(0), currency) for i in mine], currency).amount,
        )
        for action, mine in sorted(of_action.items())
    )


def _held_rows(items: Sequence[RowMapping]) -> list[HeldRow]:
    groups: dict[tuple[str | None, str, str], list[str]] = defaultdict(list)
    for item in items:
        hold = item["body"]["hold"]
        if hold is not None:
            groups[item["contract_id"], item["effect_type"], hold["code"]].append(hold["detail"])
    return [
        HeldRow(contract_id=contract_id, effect_type=kind, code=code, items=len(details), detail=details[0])
        for (contract_id, kind, code), details in sorted(groups.items(), key=lambda group: str(group[0]))
    ]


def _ledger(
    connection: Connection, store: PgPostingStore, tenant: str, plan: PlanRow
) -> dict[str | None, list[Posting]]:
    """The postings of everything that the plan looked at, by contract."""
    partition = (plan.legal_entity, plan.service_month)
    contract_of = {
        object_id: head.contract_id
        for object_id, head in work_heads.heads(
            connection, tenant, work_heads.ids_within(connection, tenant, partition, plan.contracts)
        ).items()
    }
    for credit in credit_rows.of_objects(connection, tenant, list(contract_of)):
        contract_of[f"{credit.object_id}#{credit.id}"] = contract_of[credit.object_id]
    found: dict[str | None, dict[str, Posting]] = defaultdict(dict)
    for posting in store.of_objects(list(contract_of), connection=connection):
        found[contract_of[posting.object_id]][posting.key] = posting
    for contract_id in filter(None, map(contract_of_month, contract_of)):
        for posting in store.of_contract_month(contract_id, plan.service_month, connection=connection):
            found[contract_id][posting.key] = posting
    return {contract_id: list(postings.values()) for contract_id, postings in found.items()}


def _standing(posting: Posting) -> Money:
    """What a posting brings to its contract: nothing if it has ended or was refused.

    What takes another one back, by a negative amount, counts until that other one has ended with it.
    """
    counts = posting.state not in (State.CANCELLED, State.WITHDRAWN, State.REVERSED, State.REJECTED)
    if posting.leg is not Leg.ORIGINAL:
        counts = counts and posting.state not in ENDED
    return posting.amount if counts else Money(Decimal(0), posting.amount.currency)


def _change(item: RowMapping, posting: Posting | None, currency: str) -> Money:
    """What an item adds to what its contract has."""
    nothing, action = Money(Decimal(0), currency), item["action"]
    if Action(action) not in ACTING:
        return nothing
    if action == Action.CANCEL.value:
        return -_standing(posting) if posting is not None else nothing
    if action == Action.RETRY.value:
        return posting.amount if posting is not None else nothing
    amount = Money(item["amount"], currency)
    return -amount if action in _TAKEN_AWAY else amount


def _sum(amounts: Sequence[Money], currency: str) -> Money:
    return sum(amounts, Money(Decimal(0), currency))
