"""The canonical model: what every source system's records become, whoever the vendor is.

Ids are canonical ids. Where a rule depends on a date, the record carries `valid_from` and `valid_to`
(inclusive, None for open). Amounts are Money; time is whole minutes; `service_date` is local.
"""

import datetime as dt
import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from psa_erp_assets.domain.money import Money
from psa_erp_assets.domain.terms import Component, ContractKind, Terms

ANY_COMPANY = "*"
"""Stands for the one company whose account a project's body named before accounts were kept by company."""


class ApprovalState(enum.StrEnum):
    """Where a time entry stands. Only APPROVED has financial effects."""

    DRAFT = "draft"
    SUBMITTED = "submitted"
    APPROVED = "approved"
    REJECTED = "rejected"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class LegalEntity:
    """A company of the group that employs people, sells work and keeps books."""

    code: str
    name: str
    currency: str
    country: str
    time_zone: str
    erp_company: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """Who is invoiced. `erp_party` is None while the ERP does not know it."""

    id: str
    name: str
    country: str
    crm_id: str
    psa_id: str | None
    erp_party: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """An agreement under which a legal entity sells work to a customer, in the contract's currency."""

    id: str
    name: str
    customer_id: str
    legal_entity: str
    kind: ContractKind
    currency: str
    valid_from: dt.date
    valid_to: dt.date | None
    terms: Terms
    amendments: tuple["Amendment", ...] = ()

    def as_of(self, on: dt.date) -> "Contract":
        """The contract with the amendments that are in force on a date, in the order of their dates."""
        amended = self
        for change in sorted((a for a in self.amendments if a.effective_from <= on), key=lambda a: a.effective_from):
            said = {
                name: value
                for name in ("customer_id", "legal_entity", "kind", "terms", "valid_to")
                if (value := getattr(change, name)) is not None
            }
            amended = replace(amended, **said)
        return amended

    def sold_since(self, on: dt.date) -> dt.date:
        """The day from which the entity that sells on a date has sold without a break; the first day if always."""
        seller, since = self.as_of(on).legal_entity, self.valid_from
        for change in sorted({a.effective_from for a in self.amendments if a.effective_from <= on}, reverse=True):
            if self.as_of(change - dt.timedelta(days=1)).legal_entity != seller:
                return change
        return since

    def component_for(self, project: str, on: dt.date) -> Component | None:
        """The component that covers a project on a date."""
        return self.as_of(on).terms.component_for(project)


@dataclass(frozen=True, slots=True, kw_only=True)
class Amendment:
    """What is agreed otherwise from a date on. None: as before. `terms` are complete, not a difference."""

    id: str
    effective_from: dt.date
    customer_id: str | None = None
    legal_entity: str | None = None
    kind: ContractKind | None = None
    terms: Terms | None = None
    valid_to: dt.date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """Where time is recorded. `erp_analytics` are its analytic accounts by ERP company: each belongs to one.

    `closed` says that the PSA has archived it: work after `closed_on` (or any, where that is not known) is then
    held if it is not posted yet; what is posted stays.
    """

    id: str
    code: str
    name: str
    psa_id: str
    contract_id: str | None
    closed: bool
    closed_on: dt.date | None
    erp_analytics: Mapping[str, str]

    def analytic_in(self, erp_company: str) -> str | None:
        """Its analytic account in a company, None while that has none for it."""
        return self.erp_analytics.get(erp_company) or self.erp_analytics.get(ANY_COMPANY)

    @classmethod
    def upgraded(cls, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """A body as it is now, from one that was stored when a project had one account, of the company that sold it."""
        if "erp_analytic" not in body:
            return body
        account = body["erp_analytic"]
        kept = {name: value for name, value in body.items() if name != "erp_analytic"}
        return kept | {"erp_analytics": {} if account is None else {ANY_COMPANY: account}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Employee:
    """A consultant, as HR knows them.

    `psa_user_id` is None while no PSA user has the same work e-mail. `department` is their practice, `role` their
    job title, by which rate cards price them and margins are grouped by grade.
    """

    id: str
    name: str
    psa_user_id: str | None
    legal_entity: str
    department: str
    time_zone: str
    role: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BillRate:
    """What an hour costs the customer: on a project, for one employee or (None) for everybody on it."""

    id: str
    project_id: str
    employee_id: str | None
    per_hour: Money
    valid_from: dt.date
    valid_to: dt.date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RateCardLine:
    """What an hour costs the customer by a rate card. A None fits everything; what a line names, it must be.

    `card` is the card's name, which a contract's terms refer to; a line with a `contract_id` holds for that contract
    alone, whichever card it names.
    """

    id: str
    card: str
    per_hour: Money
    valid_from: dt.date
    valid_to: dt.date | None
    contract_id: str | None = None
    project_id: str | None = None
    task: str | None = None
    employee_id: str | None = None
    role: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRate:
    """What an hour of an employee costs the entity that employs them."""

    id: str
    employee_id: str
    per_hour: Money
    valid_from: dt.date
    valid_to: dt.date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FxRate:
    """Units of `to_currency` for one unit of `from_currency`, from `date` until the next rate of the pair."""

    id: str
    from_currency: str
    to_currency: str
    date: dt.date
    rate: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class TaxProfile:
    """Which ERP tax a legal entity charges to customers of a country. `rate` is a fraction: 0.2 is 20 %.

    A profile may hold for one kind of supply only ("expenses", say) and for a span of dates.
    """

    id: str
    legal_entity: str
    customer_country: str
    erp_tax: str | None
    rate: Decimal
    active: bool
    supply: str | None = None
    valid_from: dt.date | None = None
    valid_to: dt.date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountingPeriod:
    """A month in a legal entity's books. Nothing is posted into a closed one."""

    id: str
    legal_entity: str
    month: str
    closed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeEntry:
    """One revision of a recorded piece of work."""

    id: str
    revision: int
    state: ApprovalState
    psa_user_id: str
    psa_project_id: str | None
    service_date: dt.date
    minutes: int
    billable: bool
    description: str
    started_at: dt.datetime
    time_zone: str
    payload_id: int
    task: str | None = None
    work_types: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Expense:
    """One revision of what somebody spent on a project.

    `receipt` is the amount on the receipt and `reimbursement` what the employer pays back, each in its own currency;
    the billing currency is the contract's.
    """

    id: str
    revision: int
    state: ApprovalState
    psa_user_id: str
    psa_project_id: str | None
    service_date: dt.date
    category: str
    receipt: Money
    reimbursement: Money
    billable: bool
    description: str
    payload_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Milestone:
    """One revision of a milestone of a fixed fee. APPROVED means reached and accepted: ready to invoice.

    `service_date` is the day of acceptance, the planned one before.
    """

    id: str
    revision: int
    state: ApprovalState
    contract_id: str
    component: str
    service_date: dt.date
    amount: Money
    label: str
    payload_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Credit:
    """A part of an entry's billed minutes that was credited to the customer; only these become billable again.

    `rebill`: they are billed anew (on another line, under the current terms); otherwise they are written off.
    `in_erp`: finance has made the credit line by hand already, so that the original line stays as it is.
    """

    id: str
    object_id: str
    minutes: int
    rebill: bool
    in_erp: bool
    reason: str


WorkItem = TimeEntry | Expense | Milestone
"""What `create_billable_work_item` turns into billing objects."""
