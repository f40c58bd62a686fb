"""A month of one contract of the small company in `facts`, settled, with only what a test is about said in it."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from psa_erp_assets.domain.account import ContractMonth, Settlement, settle
from psa_erp_assets.domain.balances import Balance
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.decide import Decider
from psa_erp_assets.domain.decision import Decision
from psa_erp_assets.domain.effects import BillingLine, EffectType
from psa_erp_assets.domain.money import Money
from psa_erp_assets.domain.records import ApprovalState, Contract, Credit, Milestone, TimeEntry, WorkItem
from psa_erp_assets.domain.terms import Component, ContractKind, Overage, PricingTerms, RetainerTerms, Terms
from psa_erp_assets.domain.values import replace
from psa_erp_assets_tests.support.facts import CONTRACT, ENTRY, RULES, make_entry, make_master, money

SEPTEMBER, OCTOBER, NOVEMBER = (ServiceMonth(2026, month) for month in (9, 10, 11))
BILLING, COST, REVENUE = EffectType.BILLING_LINE, EffectType.COST_TRANSACTION, EffectType.REVENUE_ENTRY


def capped(cap: str, overage: Overage = Overage.WRITE_OFF) -> Component:
    """Time up to so many pounds."""
    return Component(code="main", kind=ContractKind.CAPPED, cap=money(cap), cap_overage=overage)


def retainer(minutes: int, overage: Overage = Overage.BILL, *, fee: str = "1000.00", rollover: int = 0) -> Component:
    """So many minutes a month."""
    terms = RetainerTerms(fee=money(fee), included_minutes=minutes, rollover_months=rollover, overage=overage)
    return Component(code="main", kind=ContractKind.RETAINER, retainer=terms)


def terms_of(*components: Component, **pricing: Any) -> Terms:
    """Terms of these components."""
    return Terms(components=components, pricing=PricingTerms(**pricing))


def contract_of(*components: Component, changes: Mapping[str, Any] | None = None, **pricing: Any) -> Contract:
    """The small company's contract with these components, and with what `changes` say."""
    return replace(CONTRACT, terms=terms_of(*components, **pricing), **(changes or {}))


def entry(
    name: str, minutes: int, on: dt.date | int = 14, month: ServiceMonth = SEPTEMBER, **changes: Any
) -> TimeEntry:
    """An approved entry by this name on a day of a month."""
    day = dt.date(month.year, month.month, on) if isinstance(on, int) else on
    said = {"started_at": dt.datetime.combine(day, dt.time(9), dt.UTC)} | changes
    return make_entry(minutes, id=f"{ENTRY}-{name}", service_date=day, **said)


def milestone(name: str, amount: str, on: dt.date, **changes: Any) -> Milestone:
    """An accepted milestone of the contract's main component."""
    made = Milestone(
        id=f"milestone:{name}",
        revision=1,
        state=ApprovalState.APPROVED,
        contract_id=CONTRACT.id,
        component="main",
        service_date=on,
        amount=money(amount),
        label=name,
        payload_id=1,
    )
    return replace(made, **changes)


def settle_month(
    contract: Contract,
    facts: Sequence[WorkItem],
    month: ServiceMonth = SEPTEMBER,
    *,
    opening: Balance | None = None,
    credits: Sequence[Credit] = (),  # noqa: A002
    previous: Balance | None = None,
    **master: Any,
) -> Settlement:
    """The contract's month, with 100 pounds an hour unless the master data say otherwise."""
    decider = Decider(make_master(contracts=(contract,), **master), RULES)
    where = ContractMonth(contract.id, month)
    work = [(f, decider.decide(f)) for f in facts]
    return settle(where, work, opening or Balance(), decider, credits, previous=previous)


def of(settlement: Settlement, object_id: str) -> Decision:
    """The one decision about an object."""
    (found,) = [d for d in settlement.decisions if d.object_id == object_id]
    return found


def billed(settlement: Settlement) -> dict[str, Money]:
    """What is billed, by object."""
    lines = ((d.object_id, d.effect(BILLING)) for d in settlement.decisions)
    return {object_id: line.amount for object_id, line in lines if isinstance(line, BillingLine)}


def total(settlement: Settlement) -> Money:
    """All that is billed."""
    amount = money("0.00")
    for line in billed(settlement).values():
        amount += line
    return amount
