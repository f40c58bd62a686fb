"""The revenue entries of a contract's month: what its components earn, and what must be provided for losses.

What belongs here: from running totals to effects. What does not: how much is earned (`revenue`).
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from psa_erp_assets.domain.balances import BOOKS, ComponentBalance, added
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.decide import Decider
from psa_erp_assets.domain.decision import Decision, Hold, Outcome, Route
from psa_erp_assets.domain.effects import EffectType, RevenueEntry, RevenueKind
from psa_erp_assets.domain.limits import retainers_of
from psa_erp_assets.domain.money import Money
from psa_erp_assets.domain.records import Contract, LegalEntity
from psa_erp_assets.domain.revenue import (
    Progress,
    Recognized,
    RevenueGap,
    Translation,
    earned_to_date,
    months_between,
    movement,
)
from psa_erp_assets.domain.terms import Component, Recognition
from psa_erp_assets.domain.values import replace

_REVENUE = EffectType.REVENUE_ENTRY
REVENUE, LOSS = "revenue", "loss"
"""What the ids of the two kinds of entries say that they are."""

_NAMES = {RevenueKind.RECOGNITION: REVENUE, RevenueKind.LOSS_PROVISION: LOSS}


@dataclass(frozen=True, slots=True, kw_only=True)
class RecognizedMonth:
    """The component's totals with what it has earned, and the decisions about its revenue entries."""

    balance: ComponentBalance
    decisions: tuple[Decision, ...] = ()


def recognize_month(
    month: ServiceMonth,
    contract: Contract,
    component: Component,
    balance: ComponentBalance,
    *,
    decider: Decider,
    previous: ComponentBalance,
) -> RecognizedMonth:
    """What a component earns in a month, in the books of the entity that sells on its last day.

    `contract` is as of that day, `balance` has everything of the month but what it earns, and `previous` is what the
    month closed with when it was settled before.

    As-billed revenue needs no entry, since its billing lines credit revenue, unless it was earned otherwise before an
    amendment. Where what is earned cannot be told, an entry is held and the next month catches up. What
    the month's entry said before stays in the ERP then, and so it counts as recognized: the next month would book it
    again otherwise.
    """
    where, terms = Route(contract.legal_entity, month, contract.id), component.recognition
    as_billed = terms.method is Recognition.AS_BILLED and balance.earned == balance.billed
    no_loss = terms.estimate.total_cost is None and not any(balance.provided.values())
    if (as_billed and no_loss) or month.last_day < contract.valid_from:
        return RecognizedMonth(balance=balance)
    entity = decider.master.legal_entity(where.legal_entity)
    held = _Entry(where, contract, component, decider, month.last_day)
    kept = _as_before(balance, previous)
    if entity is None:
        return held.stopped(kept, "legal_entity_not_in_erp", f"{where.legal_entity} has no company in the ERP")
    conversion = decider.master.conversion(contract.currency, entity.currency, month.last_day)
    if conversion is None:
        detail = f"no {contract.currency}/{entity.currency} rate on or before {month.last_day}"
        return held.stopped(kept, "no_fx_rate", detail)
    cost, provided = (in_books(a, contract, entity, month, decider) for a in (balance.cost, balance.provided))
    if cost is None or provided is None:
        detail = f"no rate into {entity.currency} on the day from which {entity.code} sells {contract.id}"
        return held.stopped(kept, "no_fx_rate", detail)
    analytic = decider.analytic(contract, component, entity)
    if analytic is None:
        detail = f"no project of {contract.id} has an analytic account in {entity.code}"
        return held.stopped(kept, "project_not_in_erp", detail)
    rounding = decider.rules.rounding
    earned = earned_to_date(
        component,
        progress_of(contract, balance, month, cost=cost),
        start=contract.valid_from,
        end=contract.valid_to,
        rounding=rounding,
        books=Translation(currency=entity.currency, rate=conversion.rate),
        price=retainer_price(contract, component, month, decider),
    )
    if isinstance(earned, RevenueGap):
        return held.stopped(kept, earned.code, earned.detail)
    before = Recognized(earned=Money(balance.earned, contract.currency), provided=Money(provided, entity.currency))
    moved = movement(before, earned)
    amounts = {
        RevenueKind.RECOGNITION: moved.recognition.converted(conversion.rate, entity.currency).rounded(rounding),
        RevenueKind.LOSS_PROVISION: moved.loss_provision,
    }
    reasons = [f"{component.recognition.method}: {earned.amount} earned to date, {before.earned} recognized before"]
    if earned.percent is not None:
        reasons.append(f"{earned.percent * 100:.4f} % complete")
    versions = {"fx": ",".join(conversion.rate_ids)} if conversion.rate_ids else {}
    entries = tuple(
        replace(
            held.decision(kind),
            effects=(
                RevenueEntry(
                    erp_company=entity.erp_company,
                    analytic=analytic,
                    service_date=month.last_day,
                    amount=amount,
                    description=f"{contract.id} {component.code}: {_NAMES[kind]} of {month}",
                    kind=kind,
                ),
            ),
            reasons=tuple(reasons),
            versions={"contract": contract.id, **versions},
        )
        for kind, amount in amounts.items()
        if amount.amount
    )
    return RecognizedMonth(
        balance=replace(
            balance,
            earned=earned.amount.amount,
            provided={entity.currency: earned.provision.amount},
            entered=moved.recognition.amount,
            entered_loss={entity.currency: moved.loss_provision.amount},
        ),
        decisions=entries,
    )


def _as_before(balance: ComponentBalance, previous: ComponentBalance) -> ComponentBalance:
    """The totals with what the month's own entries brought when it was settled before."""
    provided = balance.provided
    for currency, amount in previous.entered_loss.items():
        provided = added(provided, currency, amount)
    return replace(
        balance,
        earned=balance.earned + previous.entered,
        provided=provided,
        entered=previous.entered,
        entered_loss=previous.entered_loss,
    )


def in_books(
    amounts: Mapping[str, Decimal], contract: Contract, entity: LegalEntity, month: ServiceMonth, decider: Decider
) -> Decimal | None:
    """Amounts by currency of books in those of the entity that sells at a month's end; None where a rate is missing.

    What another entity's books had is converted at the rate of the day on which this one took the contract over, so
    that it does not move with later rates.
    """
    total, record = Decimal(0), decider.master.contract(contract.id) or contract
    for currency, amount in amounts.items():
        if currency in (BOOKS, entity.currency) or not amount:
            total += amount
            continue
        into = decider.master.conversion(currency, entity.currency, record.sold_since(month.last_day))
        if into is None:
            return None
        converted = Money(amount, currency).converted(into.rate, entity.currency)
        total += converted.rounded(decider.rules.rounding).amount
    return total


@dataclass(frozen=True, slots=True)
class _Entry:
    """The decision about a revenue entry before its amount is known."""

    where: Route
    contract: Contract
    component: Component
    decider: Decider
    on: dt.date

    def decision(self, kind: RevenueKind) -> Decision:
        name, code = _NAMES[kind], self.component.code
        return Decision(
            object_id=f"contract:{self.contract.id}:{name}:{code}:{self.where.service_month}",
            revision=1,
            route=self.where,
            outcome=Outcome.POST,
            minutes=0,
            component=code,
            mode=self.decider.mode(self.where.legal_entity, self.contract, self.on),
        )

    def stopped(self, balance: ComponentBalance, code: str, detail: str) -> RecognizedMonth:
        held = replace(
            self.decision(RevenueKind.RECOGNITION), outcome=Outcome.HOLD, holds=(Hold(code, _REVENUE, detail),)
        )
        return RecognizedMonth(balance=balance, decisions=(held,))


def retainer_price(contract: Contract, component: Component, month: ServiceMonth, decider: Decider) -> Money | None:
    """A retainer's fees of the months so far, as they were, and of those to come, as they are; None for what is none.

    Each month of a retainer is a service of its own, so that a fee agreed anew holds from its month on (ASC
    606-10-25-13(a)).
    """
    record = decider.master.contract(contract.id)
    if component.retainer is None or record is None:
        return None
    price = Money(Decimal(0), contract.currency)
    end = ServiceMonth.of(contract.valid_to) if contract.valid_to is not None else month
    for each in months_between(ServiceMonth.of(contract.valid_from), end):
        billed = retainers_of(record, each).get(component.code) if each <= month else None
        if billed is not None:
            price += billed.terms.fee
        elif each > month:
            price += component.retainer.fee
    return price


def progress_of(contract: Contract, balance: ComponentBalance, month: ServiceMonth, *, cost: Decimal) -> Progress:
    """What a component's totals say has happened by the end of a month; `cost` is theirs `in_books`."""
    return Progress(
        month=month,
        billed=Money(balance.billed, contract.currency),
        cost=cost,
        minutes=balance.minutes,
        milestones=Money(balance.milestones, contract.currency),
    )
