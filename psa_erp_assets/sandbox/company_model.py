"""What the demo company consists of: frozen records that the sandboxes and the ERP's seed are filled from.

What belongs here: the shape of the company and the ERP's seed document. What does not: how it is generated
(`company_master`, `company_entries`), and how a vendor shows it (`clockify`, `hubspot`, `bamboohr`, `kantata`).
"""

import datetime as dt
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any


class RequestState(enum.StrEnum):
    """Where an approval request stands, in the words of the PSA."""

    PENDING = "PENDING"
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"
    WITHDRAWN_SUBMISSION = "WITHDRAWN_SUBMISSION"
    WITHDRAWN_APPROVAL = "WITHDRAWN_APPROVAL"


class Dirt(enum.StrEnum):
    """The irregularities of real life that the demo company has, each several times."""

    NOT_SUBMITTED = "not_submitted"
    PENDING = "pending"
    REJECTED = "rejected"
    EDITED_AFTER_APPROVAL = "edited_after_approval"
    DELETED_AFTER_APPROVAL = "deleted_after_approval"
    APPROVED_TWICE = "approved_twice"
    PROJECT_NOT_IN_ERP = "project_not_in_erp"
    PROJECT_WITHOUT_DEAL = "project_without_deal"
    NO_COMPENSATION = "no_compensation"
    NO_FX_RATE = "no_fx_rate"
    AFTER_PROJECT_CLOSED = "after_project_closed"
    OVER_MIDNIGHT = "over_midnight"
    OTHER_MONTH_IN_UTC = "other_month_in_utc"
    OVER_CLOCK_CHANGE = "over_clock_change"
    RUNNING = "running"
    NO_PROJECT = "no_project"
    ZERO_MINUTES = "zero_minutes"
    UNKNOWN_TO_HR = "unknown_to_hr"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoEntity:
    """A company of the group."""

    code: str
    name: str
    currency: str
    country: str
    time_zone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoCustomer:
    """Who is invoiced: a client in the PSA, a company in the CRM, a party in the ERP."""

    code: str
    name: str
    country: str
    crm_id: str
    psa_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoContract:
    """A deal in the CRM. `signed` is false for one that is still negotiated.

    `billing_terms` is the JSON text of its terms; `amends` is the code of the contract that an amendment changes.
    """

    code: str
    name: str
    customer: str
    legal_entity: str
    kind: str
    currency: str
    start: dt.date
    end: dt.date | None
    signed: bool
    crm_id: str
    billing_terms: str | None = None
    amends: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoProject:
    """A project in the PSA. `contract` is None where no deal knows it; rates are per hour in `currency`.

    `staff` maps the e-mail of everybody on the project to their own rate, None where the project's applies. `also_in`
    are other entities whose books have an account for it, because they take it over.
    """

    code: str
    name: str
    psa_id: str
    customer: str
    contract: str | None
    legal_entity: str
    billable: bool
    in_erp: bool
    closed_on: dt.date | None
    currency: str
    rate: Decimal | None
    staff: Mapping[str, Decimal | None]
    also_in: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Compensation:
    """Annual salary from a date on."""

    start: dt.date
    annual: Decimal
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoPerson:
    """A consultant. Without `hr_id` HR does not know them; without `psa_id` they do not record time."""

    code: str
    first_name: str
    last_name: str
    email: str
    legal_entity: str
    department: str
    job_title: str
    time_zone: str
    hired: dt.date
    compensation: tuple[Compensation, ...]
    hr_id: str | None
    psa_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoTimeEntry:
    """A piece of work as the PSA holds it; instants in UTC, `end` None while the timer runs.

    `task` is the name of a task of the project, `tags` are names of tags of the workspace.
    """

    id: str
    user_id: str
    project_id: str | None
    start: dt.datetime
    end: dt.datetime | None
    billable: bool
    description: str
    task: str | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoExpense:
    """What somebody spent, as the PSA holds it.

    `category` is the name of one of `clockify_wire.CATEGORIES`, or of another without a unit price. `amount` is what
    was typed: units of the workspace's currency, US dollars, or the quantity in a category that has a unit price.
    `notes` may begin with what the receipt says: "Receipt CHF 412.50; hotel".
    """

    id: str
    user_id: str
    project_id: str | None
    date: dt.date
    category: str
    amount: Decimal
    billable: bool
    notes: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoApproval:
    """A person's request to have a week approved, and the entries and expenses that it lists."""

    id: str
    user_id: str
    start: dt.datetime
    end: dt.datetime
    state: RequestState
    updated_at: dt.datetime
    updated_by: str
    entry_ids: tuple[str, ...]
    expense_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """An edit that somebody makes after approval: the entry stays approved and gets another end."""

    entry_id: str
    end: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoFxRate:
    """Units of `currency` for one US dollar, from `date` until the next rate."""

    currency: str
    date: dt.date
    per_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoTax:
    """A tax that a company of the group charges in its ERP; `rate` is a fraction."""

    company: str
    name: str
    rate: Decimal
    active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoMilestone:
    """A milestone of a contract's component, with its fee, in the second PSA.

    `due` is the day of acceptance for one that is completed, else the planned one; `state` is in the words of that PSA:
    not started, started, needs info or completed.
    """

    contract: str
    component: str
    title: str
    due: dt.date
    amount: Decimal
    currency: str
    psa_id: str
    state: str


@dataclass(frozen=True, kw_only=True)
class DemoCompany:
    """The whole group at the start of the demo.

    `edits_after_approval` and `deletions_after_approval` are not applied yet: they are what people do later, played
    by `actors`. `dirt` says which entries carry which irregularity.
    """

    seed: int
    months: tuple[str, ...]
    workspace_id: str
    owner_id: str
    entities: tuple[DemoEntity, ...] = field(repr=False)
    customers: tuple[DemoCustomer, ...] = field(repr=False)
    contracts: tuple[DemoContract, ...] = field(repr=False)
    people: tuple[DemoPerson, ...] = field(repr=False)
    projects: tuple[DemoProject, ...] = field(repr=False)
    fx_rates: tuple[DemoFxRate, ...] = field(repr=False)
    taxes: tuple[DemoTax, ...] = field(repr=False)
    entries: tuple[DemoTimeEntry, ...] = field(repr=False)
    approvals: tuple[DemoApproval, ...] = field(repr=False)
    edits_after_approval: tuple[Edit, ...] = field(repr=False)
    deletions_after_approval: tuple[str, ...] = field(repr=False)
    dirt: Mapping[Dirt, tuple[str, ...]] = field(repr=False)
    milestones: tuple[DemoMilestone, ...] = field(default=(), repr=False)
    expenses: tuple[DemoExpense, ...] = field(default=(), repr=False)

    @cached_property
    def project_by_psa_id(self) -> Mapping[str, DemoProject]:
        """Projects by their id in the PSA."""
        return {p.psa_id: p for p in self.projects}

    @cached_property
    def person_by_psa_id(self) -> Mapping[str, DemoPerson]:
        """People by their user id in the PSA."""
        return {p.psa_id: p for p in self.people if p.psa_id is not None}

    @cached_property
    def entry_by_id(self) -> Mapping[str, DemoTimeEntry]:
        """Time entries by id."""
        return {e.id: e for e in self.entries}

    @property
    def fingerprint(self) -> str:
        """Tells whether state on disk belongs to this company."""
        return f"seed={self.seed} months={','.join(self.months)}"

    def erp_seed(self) -> dict[str, Any]:
        """What the ERP is set up with, as JSON-able values; decimals are strings."""
        currencies = {e.currency for e in self.entities} | {c.currency for c in self.contracts}
        return {
            "companies": [
                {"code": e.code, "name": e.name, "currency": e.currency, "country": e.country} for e in self.entities
            ],
            "fiscal_year": int(self.months[0][:4]),
            "currencies": sorted(currencies),
            "fx_rates": [
                {"currency": r.currency, "date": r.date.isoformat(), "per_usd": str(r.per_usd)} for r in self.fx_rates
            ],
            "customers": [{"code": c.code, "name": c.name, "country": c.country} for c in self.customers],
            "projects": [
                {"code": p.code, "name": p.name, "company": company}
                for p in self.projects
                if p.in_erp
                for company in (p.legal_entity, *p.also_in)
            ],
            "taxes": [
                {"company": t.company, "name": t.name, "rate": str(t.rate), "active": t.active} for t in self.taxes
            ],
            "service_product": "Consulting hours",
        }
