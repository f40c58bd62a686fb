"""A small company and its time entries for tests of decisions and plans, with only what a test is about said in it."""

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from psa_erp_assets.domain.decide import Rules
from psa_erp_assets.domain.master import MasterData
from psa_erp_assets.domain.money import Money, Rounding
from psa_erp_assets.domain.records import (
    ApprovalState,
    BillRate,
    Contract,
    CostRate,
    Customer,
    Employee,
    FxRate,
    LegalEntity,
    Project,
    RateCardLine,
    TaxProfile,
    TimeEntry,
)
from psa_erp_assets.domain.terms import ContractKind, PricingTerms, plain_terms
from psa_erp_assets.domain.values import replace

TENANT = "demo"
RULES = Rules(rounding=Rounding.HALF_EVEN, default_legal_entity="US")
FIRST = dt.date(2026, 9, 1)
DAY = dt.date(2026, 9, 14)
ENTRY = "time_entry:clockify:e1"
CARD = "standard"

US = LegalEntity(
    code="US", name="Inc.", currency="USD", country="US", time_zone="America/New_York", erp_company="1"
)  # fmt: skip
UK = LegalEntity(code="UK", name="Ltd", currency="GBP", country="GB", time_zone="Europe/London", erp_company="2")
CUSTOMER = Customer(id="CUS-0001", name="Kestrel", country="GB", crm_id="9", psa_id="c1", erp_party="70")
CONTRACT = Contract(
    id="CTR-0001",
    name="Ledger",
    customer_id="CUS-0001",
    legal_entity="UK",
    kind=ContractKind.TIME_AND_MATERIALS,
    currency="GBP",
    valid_from=FIRST,
    valid_to=None,
    terms=plain_terms(ContractKind.TIME_AND_MATERIALS),
)
PROJECT = Project(
    id="PRJ-0001",
    code="PRJ-0001",
    name="Ledger",
    psa_id="p1",
    contract_id="CTR-0001",
    closed=False,
    closed_on=None,
    erp_analytics={"2": "501"},
)
EMPLOYEE = Employee(
    id="EMP-0001",
    name="Ada Jones",
    psa_user_id="u1",
    legal_entity="US",
    department="Delivery",
    time_zone="America/New_York",
)
TAX = TaxProfile(
    id="UK/GB", legal_entity="UK", customer_country="GB", erp_tax="301", rate=Decimal("0.20"), active=True
)  # fmt: skip


def money(amount: str, currency: str = "GBP") -> Money:
    """So much."""
    return Money(Decimal(amount), currency)


def bill_rate(amount: str = "100.00", *, employee: str | None = None, **changes: Any) -> BillRate:
    """An hourly rate of the project, from the first day on."""
    rate = BillRate(
        id=f"PRJ-0001/{employee or '*'}",
        project_id="PRJ-0001",
        employee_id=employee,
        per_hour=money(amount),
        valid_from=FIRST,
        valid_to=None,
    )
    return replace(rate, **changes)


def card_line(amount: str = "90.00", **changes: Any) -> RateCardLine:
    """A line of the rate card for everybody, from the first day on; its id tells what it names."""
    line = replace(
        RateCardLine(id="", card=CARD, per_hour=money(amount), valid_from=FIRST, valid_to=None),
        **changes,
    )
    named = (line.contract_id, line.project_id, line.task, line.employee_id, line.role)
    return replace(line, id=line.id or f"{line.card}/{','.join(filter(None, named)) or '*'}@{line.valid_from}")


def priced(contract: Contract = CONTRACT, **pricing: Any) -> Contract:
    """The contract with these pricing terms, by the rate card unless they say otherwise."""
    terms = replace(contract.terms, pricing=PricingTerms(**({"rate_card": CARD} | pricing)))
    return replace(contract, terms=terms)


def cost_rate(amount: str = "60.00", **changes: Any) -> CostRate:
    """What an hour of the employee costs in US dollars, from the first day on."""
    rate = CostRate(
        id="EMP-0001@2026-09-01",
        employee_id="EMP-0001",
        per_hour=money(amount, "USD"),
        valid_from=FIRST,
        valid_to=None,
    )
    return replace(rate, **changes)


def fx_rate(from_currency: str, to_currency: str, rate: str, on: dt.date = FIRST) -> FxRate:
    """A rate from a date on."""
    return FxRate(
        id=f"{from_currency}{to_currency}@{on}",
        from_currency=from_currency,
        to_currency=to_currency,
        date=on,
        rate=Decimal(rate),
    )


def make_master(**changes: Sequence[Any] | frozenset[Any]) -> MasterData:
    """One project that the UK company sells to a British customer, and one American who works on it."""
    kinds: dict[str, Any] = {
        "legal_entities": (US, UK),
        "customers": (CUSTOMER,),
        "contracts": (CONTRACT,),
        "projects": (PROJECT,),
        "employees": (EMPLOYEE,),
        "bill_rates": (bill_rate(),),
        "cost_rates": (cost_rate(),),
        "fx_rates": (fx_rate("USD", "GBP", "0.75"),),
        "tax_profiles": (TAX,),
    }
    return MasterData(**(kinds | changes))


def make_entry(minutes: int = 50, **changes: Any) -> TimeEntry:
    """An approved, billable entry of the employee on the project."""
    entry = TimeEntry(
        id=ENTRY,
        revision=1,
        state=ApprovalState.APPROVED,
        psa_user_id="u1",
        psa_project_id="p1",
        service_date=DAY,
        minutes=minutes,
        billable=True,
        description="workshop",
        started_at=dt.datetime.combine(DAY, dt.time(14), dt.UTC),
        time_zone="America/New_York",
        payload_id=1,
    )
    return replace(entry, **changes)
