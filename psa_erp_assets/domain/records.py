"""The canonical model: what every source system's records become, whoever the vendor is.

Ids are canonical ids. Where a rule depends on a date, the record carries `valid_from` and `valid_to`
(inclusive, None for open). Amounts are Money; time is whole minutes; `service_date` is local.
"""

import datetime as dt
import enum
from dataclasses import dataclass
from decimal import Decimal

from psa_erp_assets.domain.money import Money


class ContractKind(enum.StrEnum):
    """How a contract turns work into billing."""

    TIME_AND_MATERIALS = "time_and_materials"
    FIXED_FEE_MILESTONE = "fixed_fee_milestone"
    RETAINER = "retainer"
    CAPPED = "capped"
    NON_BILLABLE = "non_billable"


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """Where time is recorded. `erp_analytic` is its analytic account, None while the ERP does not know it.

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
    erp_analytic: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Employee:
    """A consultant, as HR knows them. `psa_user_id` is None while no PSA user has the same work e-mail."""

    id: str
    name: str
    psa_user_id: str | None
    legal_entity: str
    department: str
    time_zone: str


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
    """Which ERP tax a legal entity charges to customers of a country. `rate` is a fraction: 0.2 is 20 %."""

    id: str
    legal_entity: str
    customer_country: str
    erp_tax: str | None
    rate: Decimal
    active: bool


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
