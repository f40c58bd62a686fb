"""A contract's account in a month: what is billed, earned and left of its limits, and what it will still earn."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import Connection

from psa_erp_assets.adapters.store import contract_balances, work_items
from psa_erp_assets.domain.account import needs_account
from psa_erp_assets.domain.backlog import waterfall
from psa_erp_assets.domain.balances import Balance, ComponentBalance
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.decide import Decider
from psa_erp_assets.domain.money import Money
from psa_erp_assets.domain.recognize import in_books, progress_of, retainer_price
from psa_erp_assets.domain.records import ApprovalState, Contract, Milestone
from psa_erp_assets.domain.revenue import RevenueGap, position
from psa_erp_assets.domain.terms import Component
from psa_erp_assets.services import canonical
from psa_erp_assets.services.deciding import decide_partition
from psa_erp_assets.services.scope import Scope
from psa_erp_assets.services.trace import NotFoundError


class MonthNotBegunError(ValueError):
    """Nothing can be said yet of a month to come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetainerMonth:
    """Minutes of a retainer that this month brought and nobody has used yet."""

    month: str
    minutes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BacklogMonth:
    """What a month to come will earn, in the contract's currency."""

    month: str
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentAccount:
    """One component of the contract. Amounts are in the contract's currency, from its first month to the month's end.

    `kind` and `recognition` are None for one that the terms do not have any more. `cap_left` is what time can still be
    billed, None without a cap. `backlog_gap` says why there is no backlog where it cannot be told.
    """

    component: str
    kind: str | None
    recognition: str | None
    billed: Decimal
    earned: Decimal
    minutes: int
    cap: Decimal | None
    cap_left: Decimal | None
    retainer_minutes: tuple[RetainerMonth, ...]
    backlog: tuple[BacklogMonth, ...]
    backlog_gap: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractAccount:
    """A contract's account at the end of a month, or up to now within it.

    The asset is what is earned and not billed yet, the liability what is billed and not earned yet; one of them is
    nought. Without running totals (`has_totals` is false: plain time and materials needs none) amounts are nought.
    """

    contract_id: str
    month: str
    legal_entity: str
    currency: str
    has_totals: bool
    billed: Decimal
    earned: Decimal
    contract_asset: Decimal
    contract_liability: Decimal
    components: tuple[ComponentAccount, ...]


def contract_account(
    connection: Connection, scope: Scope, contract_id: str, month: ServiceMonth, *, today: dt.date
) -> ContractAccount:
    """The account from the facts of this moment; earlier months count as they were planned last.

    Raises NotFoundError for an unknown contract, MonthNotBegunError for a month after that of `today`.
    """
    if month > ServiceMonth.of(today):
        raise MonthNotBegunError(f"{month} has not begun")
    decider = Decider(canonical.load_master(connection, scope), scope.rules)
    contract = decider.master.contract_as_of(contract_id, month.last_day)
    if contract is None:
        raise NotFoundError(f"no signed contract {contract_id!r} is known")
    balance = _balance(connection, scope, decider, contract, month)
    view = _View(decider, contract, month, work_items.milestones_of(connection, scope.tenant, contract_id))
    terms = {component.code: component for component in contract.terms.components}
    totals = [balance.of(code) for code in balance.components]
    billed = sum((total.billed for total in totals), Decimal(0))
    earned = sum((total.earned for total in totals), Decimal(0))
    net = position(Money(earned, contract.currency), Money(billed, contract.currency))
    return ContractAccount(
        contract_id=contract_id,
        month=str(month),
        legal_entity=contract.legal_entity,
        currency=contract.currency,
        has_totals=needs_account(contract),
        billed=billed,
        earned=earned,
        contract_asset=net.asset.amount,
        contract_liability=net.liability.amount,
        components=tuple(
            view.component(code, terms.get(code), balance.of(code))
            for code in dict.fromkeys([*terms, *sorted(balance.components)])
        ),
    )


def _balance(
    connection: Connection, scope: Scope, decider: Decider, contract: Contract, month: ServiceMonth
) -> Balance:
    first = decider.master.contract_as_of(contract.id, month.first_day)
    seller = first.legal_entity if first is not None else contract.legal_entity
    decided = decide_partition(connection, scope, (seller, str(month)), [contract.id], decider=decider)
    closing = decided.closings.get(contract.id)
    if closing is not None:
        return closing
    return contract_balances.before(connection, scope.tenant, [contract.id], month.next()).get(contract.id, Balance())


@dataclass(frozen=True, slots=True)
class _View:
    """A contract as of a month, with its milestones."""

    decider: Decider
    contract: Contract
    month: ServiceMonth
    milestones: Sequence[Milestone]

    def component(self, code: str, component: Component | None, balance: ComponentBalance) -> ComponentAccount:
        cap = component.cap.amount if component is not None and component.cap is not None else None
        backlog = [] if component is None else self._backlog(component, balance)
        return ComponentAccount(
            component=code,
            kind=component.kind.value if component is not None else None,
            recognition=component.recognition.method.value if component is not None else None,
            billed=balance.billed,
            earned=balance.earned,
            minutes=balance.minutes,
            cap=cap,
            cap_left=None if cap is None else max(cap - balance.time, Decimal(0)),
            retainer_minutes=tuple(RetainerMonth(month=str(h.month), minutes=h.minutes) for h in balance.retainer),
            backlog=() if isinstance(backlog, str) else tuple(backlog),
            backlog_gap=backlog if isinstance(backlog, str) else None,
        )

    def _backlog(self, component: Component, balance: ComponentBalance) -> list[BacklogMonth] | str:
        """What each month to come will earn, or why that cannot be told."""
        contract, month = self.contract, self.month
        entity = self.decider.master.legal_entity(contract.legal_entity)
        cost = None if entity is None else in_books(balance.cost, contract, entity, month, self.decider)
        if cost is None:
            return f"its cost cannot be told in the books of {contract.legal_entity}"
        planned = [(m.service_date, m.amount) for m in self.milestones if self._is_planned(m, component)]
        found = waterfall(
            component,
            progress_of(contract, balance, month, cost=cost),
            start=contract.valid_from,
            end=contract.valid_to,
            rounding=self.decider.rules.rounding,
            planned=planned,
            price=retainer_price(contract, component, month, self.decider),
        )
        if isinstance(found, RevenueGap):
            return found.detail
        return [BacklogMonth(month=str(when), amount=amount.amount) for when, amount in found]

    def _is_planned(self, milestone: Milestone, component: Component) -> bool:
        """Whether it will bill after the month. One in another currency is held and says nothing of the price."""
        if milestone.component != component.code or milestone.amount.currency != self.contract.currency:
            return False
        if milestone.state is ApprovalState.APPROVED:
            return milestone.service_date > self.month.last_day
        return milestone.state in (ApprovalState.DRAFT, ApprovalState.SUBMITTED)
