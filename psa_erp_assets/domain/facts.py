"""What one source system says, in canonical words but under that system's own ids.

Facts are what connectors make of vendor payloads. Master-data services join the facts of several systems into the
records of `domain.records`; only then do canonical ids of the other systems' objects appear.
"""

import datetime as dt
from dataclasses import dataclass

from psa_erp_assets.domain.money import Money
from psa_erp_assets.domain.records import ApprovalState
from psa_erp_assets.domain.terms import ContractKind, Terms


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeEntryFacts:
    """A piece of recorded work as the PSA has it now.

    `minutes` are whole; `service_date` is the local date of the start in `time_zone`, the zone of whoever worked.
    `service_date`, `started_at` and `time_zone` are None only for a DELETED entry whose content cannot be read (any
    more). `task` is the name of the project's task; `work_types` are the names of the entry's tags in lower case and
    sorted: which of them mean something (overtime, travel) is for the contract's terms to say.
    """

    id: str
    state: ApprovalState
    psa_user_id: str
    psa_project_id: str | None
    service_date: dt.date | None
    minutes: int
    billable: bool
    description: str
    started_at: dt.datetime | None
    time_zone: str | None
    task: str | None = None
    work_types: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpenseFacts:
    """What somebody spent, as the PSA has it now.

    `service_date` is the local date of the expense and `category` the name of its category. `receipt` is the amount
    on the receipt and `reimbursement` what the employer pays back, each in its own currency and neither negative.
    These four are None together, and only for a DELETED expense whose content cannot be read (any more).
    """

    id: str
    state: ApprovalState
    psa_user_id: str
    psa_project_id: str | None
    service_date: dt.date | None
    category: str | None
    receipt: Money | None
    reimbursement: Money | None
    billable: bool
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PsaUserFacts:
    """A person in the PSA. `email` is trimmed and in lower case: it is what joins them to HR."""

    psa_id: str
    name: str
    email: str
    time_zone: str
    active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PsaClientFacts:
    """A client in the PSA."""

    psa_id: str
    name: str
    archived: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectFacts:
    """A project in the PSA. `code` is the canonical project id, taken from the start of its name there.

    `closed_on` is the last day on which work counts, None for an open project and where the PSA does not say.
    """

    psa_id: str
    code: str
    name: str
    psa_client_id: str | None
    billable: bool
    archived: bool
    closed_on: dt.date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BillRateFacts:
    """The PSA's hourly rate on a project, for one user or (None) for everybody on it."""

    psa_project_id: str
    psa_user_id: str | None
    per_hour: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class MilestoneFacts:
    """A fixed fee that falls due when its milestone is accepted, as the PSA has it now. APPROVED means accepted.

    `contract_code` is the canonical contract id, `component` the code of a component of its terms; `service_date` is
    the day of acceptance, the planned one before; `label` is the milestone's title. The first four of these are None
    together, and only for a DELETED milestone whose content cannot be read (any more).
    """

    id: str
    state: ApprovalState
    contract_code: str | None
    component: str | None
    service_date: dt.date | None
    amount: Money | None
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CompanyFacts:
    """A customer in the CRM. `customer_code` is the canonical customer id; `country` is ISO 3166-1 alpha-2."""

    crm_id: str
    customer_code: str
    name: str
    country: str
    psa_client_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DealFacts:
    """An agreement in the CRM. `contract_code` is the canonical contract id; the dates are inclusive.

    `amends` is the contract that an amendment changes from `valid_from` on; `contract_code` is then the amendment's own
    id, and `terms` are None if it leaves them as they are. A contract always has terms.
    """

    crm_id: str
    contract_code: str
    name: str
    kind: ContractKind
    currency: str
    legal_entity: str
    valid_from: dt.date
    valid_to: dt.date | None
    signed: bool
    psa_project_ids: tuple[str, ...]
    crm_company_id: str
    terms: Terms | None
    amends: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EmployeeFacts:
    """An employee in HR. `employee_number` is the canonical employee id; `hr_id` is the HR system's own.

    `email` is trimmed and in lower case, None while HR has no work e-mail for them; `job_title` None while it has none.
    """

    hr_id: str
    employee_number: str
    name: str
    email: str | None
    legal_entity: str
    department: str
    job_title: str | None
    active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRateFacts:
    """What an hour of an employee costs, from HR's compensation history. The dates are inclusive."""

    hr_id: str
    hr_row_id: str
    per_hour: Money
    valid_from: dt.date
    valid_to: dt.date | None
