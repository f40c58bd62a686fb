"""What an hour of work costs, in whose books, and what a project keeps of its revenue.

An entity that sells the work of its own people bears what they cost. Where another entity of the group employs them,
that one charges a transfer price, cost × (1 + mark-up), in its own books, and the selling entity bears this price.
Both amounts are the one price at the FX rates of the service date, each rounded once.

What belongs here: rates and amounts of cost, margins. What does not: which entity sells (`decide`), expenses, revenue.
"""

import datetime as dt
import decimal
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from psa_erp_assets.domain.effects import CostKind, CostTransaction, IntercompanyCharge
from psa_erp_assets.domain.master import Conversion, MasterData
from psa_erp_assets.domain.money import Money, Rounding, divide, worth
from psa_erp_assets.domain.records import Employee, LegalEntity, TimeEntry

_EXACT = decimal.Context(prec=50)


@dataclass(frozen=True, slots=True, kw_only=True)
class CostPolicy:
    """How cost passes between the entities of the group: `intercompany_mark_up` is a fraction on top of cost."""

    intercompany_mark_up: Decimal = Decimal(0)

    def __post_init__(self) -> None:
        if not self.intercompany_mark_up.is_finite() or self.intercompany_mark_up < 0:
            raise ValueError(f"an intercompany mark-up is a fraction on top of cost, not {self.intercompany_mark_up}")

    @property
    def factor(self) -> Decimal:
        """What cost is multiplied by. Written one way only, so that 0.10 for 0.1 in the settings changes no posting."""
        return _EXACT.normalize(_EXACT.add(Decimal(1), self.intercompany_mark_up))


@dataclass(frozen=True, slots=True, kw_only=True)
class CostGap:
    """Why there is no cost: `code` is one of `faults.FAULTS`."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """The ERP company that an amount goes to, and what an hour is worth in its currency, unrounded."""

    erp_company: str
    per_hour: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class LaborRate:
    """What an hour of an employee costs an entity on a date; the same for all their work for it on that day.

    `per_hour` is in the currency of the cost rate: the cost rate itself, or the transfer price where another entity
    employs them. `employing` are that entity's books, None where the selling entity is the employer.
    """

    employee_name: str
    per_hour: Money
    selling: Books
    employing: Books | None
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Costed:
    """The cost in the selling entity's books, the charge in the employing one's, and the ids of the rates used."""

    cost: CostTransaction
    charge: IntercompanyCharge | None
    versions: Mapping[str, str]


def labor_cost(
    entry: TimeEntry,
    *,
    employee: Employee,
    selling: LegalEntity,
    employing: LegalEntity | None,
    analytic: str,
    master: MasterData,
    policy: CostPolicy,
    rounding: Rounding,
) -> Costed | CostGap:
    """What an entry costs.

    `labor_rate` and `cost_of` in one; who costs many entries asks for the rate once for all that share it.
    """
    rate = labor_rate(
        employee=employee,
        selling=selling,
        employing=employing,
        on=entry.service_date,
        master=master,
        policy=policy,
    )
    return rate if isinstance(rate, CostGap) else cost_of(rate, entry, analytic=analytic, rounding=rounding)


def labor_rate(
    *,
    employee: Employee,
    selling: LegalEntity,
    employing: LegalEntity | None,
    on: dt.date,
    master: MasterData,
    policy: CostPolicy,
) -> LaborRate | CostGap:
    """What an hour of the employee costs the selling entity on a date, by HR's rate and the FX rates of that date.

    `employing` is the entity of `employee.legal_entity`, None while the ERP has no company for it. The gap is
    `no_cost_rate` where HR has no rate for the date, `no_fx_rate` where one of the two companies' currencies cannot be
    reached, and `legal_entity_not_in_erp` where another entity employs them and has no books: a cost without its charge
    would leave the group's books unbalanced, so there are both or neither.
    """
    rate = master.cost_rate(employee.id, on)
    if rate is None:
        return CostGap(code="no_cost_rate", detail=f"no cost rate for {employee.id} on {on}")
    currency = rate.per_hour.currency
    into = master.conversion(currency, selling.currency, on)
    if into is None:
        return CostGap(code="no_fx_rate", detail=f"no {currency}/{selling.currency} rate on or before {on}")
    versions = {"cost_rate": rate.id}
    if into.rate_ids:
        versions["cost_fx"] = ",".join(into.rate_ids)
    if employee.legal_entity == selling.code:
        return LaborRate(
            employee_name=employee.name,
            per_hour=rate.per_hour,
            selling=_books(selling, rate.per_hour, into),
            employing=None,
            versions=versions,
        )
    if employing is None:
        detail = f"{employee.legal_entity}, which employs {employee.id}, has no company in the ERP"
        return CostGap(code="legal_entity_not_in_erp", detail=detail)
    out_of = master.conversion(currency, employing.currency, on)
    if out_of is None:
        return CostGap(code="no_fx_rate", detail=f"no {currency}/{employing.currency} rate on or before {on}")
    if out_of.rate_ids:
        versions["charge_fx"] = ",".join(out_of.rate_ids)
    versions["intercompany_mark_up"] = str(policy.intercompany_mark_up)
    per_hour = rate.per_hour.times(policy.factor)
    return LaborRate(
        employee_name=employee.name,
        per_hour=per_hour,
        selling=_books(selling, per_hour, into),
        employing=_books(employing, per_hour, out_of),
        versions=versions,
    )


def cost_of(rate: LaborRate, entry: TimeEntry, *, analytic: str, rounding: Rounding) -> Costed:
    """What an entry of the rate's employee and date costs: minutes × rate ÷ 60, converted, then rounded once."""
    cost = CostTransaction(
        erp_company=rate.selling.erp_company,
        analytic=analytic,
        employee_name=rate.employee_name,
        service_date=entry.service_date,
        minutes=entry.minutes,
        per_hour=rate.per_hour,
        amount=worth(rate.selling.per_hour, entry.minutes, rounding),
        description=entry.description,
        kind=CostKind.LABOR if rate.employing is None else CostKind.INTERCOMPANY,
    )
    if rate.employing is None:
        return Costed(cost=cost, charge=None, versions=rate.versions)
    charge = IntercompanyCharge(
        erp_company=rate.employing.erp_company,
        partner_company=rate.selling.erp_company,
        employee_name=rate.employee_name,
        service_date=entry.service_date,
        minutes=entry.minutes,
        per_hour=rate.per_hour,
        amount=worth(rate.employing.per_hour, entry.minutes, rounding),
        description=entry.description,
    )
    return Costed(cost=cost, charge=charge, versions=rate.versions)


def _books(entity: LegalEntity, per_hour: Money, into: Conversion) -> Books:
    # Converted before it is divided by sixty, so that no half of a cent is lost to the last digit of a quotient.
    return Books(erp_company=entity.erp_company, per_hour=per_hour.converted(into.rate, entity.currency))


def margin(revenue: Money, cost: Money) -> Decimal | None:
    """Project gross margin: (recognized revenue - delivery cost) ÷ recognized revenue, as an unrounded fraction.

    By convention of the field. None where there is no revenue. Raises CurrencyMismatchError for two currencies.
    """
    kept = revenue - cost
    return divide(kept.amount, revenue.amount) if revenue.amount else None
