"""Master data: what each system of record says, joined by governed keys into the canonical model.

One function a kind of record. Each reads first (a read that fails changes nothing), then replaces the records of its
kind in one transaction. A record that cannot be understood, or that two systems do not agree on, is left out and
becomes an exception item.
"""

import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine

from psa_erp_assets.adapters.connectors.bamboohr.canonical import CostRule, cost_histories, employee_facts
from psa_erp_assets.adapters.connectors.bamboohr.client import BambooHrClient
from psa_erp_assets.adapters.connectors.clockify.canonical import bill_rates_of, project_facts, user_facts
from psa_erp_assets.adapters.connectors.clockify.client import ClockifyClient
from psa_erp_assets.adapters.connectors.hubspot.canonical import company_facts, deal_facts, is_signed
from psa_erp_assets.adapters.connectors.hubspot.client import HubSpotClient
from psa_erp_assets.adapters.connectors.tryton.master import MasterData as ErpMasterData
from psa_erp_assets.adapters.store import (
    exceptions,
    inbox,
    last_readings,
    mapping_stories,
    mappings,
    master_records,
)
from psa_erp_assets.adapters.store.bodies import to_body
from psa_erp_assets.adapters.store.exceptions import Sighting
from psa_erp_assets.adapters.store.master_records import Change
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.facts import CompanyFacts, DealFacts, EmployeeFacts, ProjectFacts
from psa_erp_assets.domain.links import Link, LinkType
from psa_erp_assets.domain.malformed import MalformedRecordError
from psa_erp_assets.domain.records import (
    AccountingPeriod,
    Amendment,
    BillRate,
    Contract,
    CostRate,
    Customer,
    Employee,
    LegalEntity,
    Project,
    TaxProfile,
)
from psa_erp_assets.services import complete_lists
from psa_erp_assets.services.complete_lists import SuspiciousShrinkError
from psa_erp_assets.settings import Settings

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """The systems of record."""

    psa: ClockifyClient
    crm: HubSpotClient
    hr: BambooHrClient
    erp: ErpMasterData


@dataclass(frozen=True, slots=True, kw_only=True)
class Refreshed:
    """What a refresh did. `records` are the current ones."""

    object_type: str
    change: Change
    records: Sequence[Any]
    exceptions: int


@dataclass(slots=True)
class _Reading:
    """Payloads to keep, and what could not be understood, gathered while records are read."""

    object_type: str
    payloads: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = field(default_factory=dict)
    sightings: list[Sighting] = field(default_factory=list)

    def read(
        self,
        source: str,
        object_type: str,
        bodies: Iterable[Mapping[str, Any]],
        understand: Callable[[Mapping[str, Any]], _T],
    ) -> list[_T]:
        """The facts in these bodies; one that cannot be understood is sighted and left out."""
        facts = []
        for body in bodies:
            object_id = str(body["id"])
            self.payloads.setdefault((source, object_type), {})[object_id] = body
            try:
                facts.append(understand(body))
            except MalformedRecordError as error:
                self.sight(error.code, f"{object_type}:{source}:{object_id}", error.reason)
        return facts

    def keep(self, source: str, object_type: str, records: Iterable[Any]) -> None:
        """Keep records that are understood already (dataclasses with an `id`), for whoever compares the systems."""
        self.payloads[source, object_type] = {record.id: to_body(record) for record in records}

    def sight(self, code: str, object_id: str, detail: str) -> None:
        self.sightings.append(Sighting(code=code, object_id=object_id, detail=detail))


def refresh_legal_entities(engine: Engine, settings: Settings, sources: Sources, now: dt.datetime) -> Refreshed:
    """Legal entities: the settings are the record, the ERP's company is found by its id or name."""
    reading = _Reading("legal_entity")
    companies = {c.name: c for c in sources.erp.companies()}
    by_id = {c.id: c for c in companies.values()}
    records = []
    for entity in settings.company.legal_entities:
        company = by_id.get(entity.erp_company or "") or companies.get(entity.name)
        if company is None or company.currency != entity.currency:
            detail = f"no ERP company named {entity.name!r} keeps its books in {entity.currency}"
            reading.sight("malformed_record", f"legal_entity:{entity.code}", detail)
            continue
        records.append(
            LegalEntity(
                code=entity.code,
                name=entity.name,
                currency=entity.currency,
                country=entity.country,
                time_zone=entity.time_zone,
                erp_company=company.id,
            )
        )
    return _store(engine, settings, reading, source="settings", records=[(r.code, r) for r in records], now=now)


def refresh_customers(engine: Engine, settings: Settings, sources: Sources, now: dt.datetime) -> Refreshed:
    """Customers: the CRM is the record; the ERP's party has the customer code."""
    reading = _Reading("customer")
    listed = complete_lists.companies(engine, settings.tenant, sources.crm)
    companies = reading.read("hubspot", "company", listed, company_facts)
    known = sources.erp.parties()
    reading.keep("tryton", "party", known)
    parties = {party.code: party.id for party in known if party.active}
    records = [
        Customer(
            id=facts.customer_code,
            name=facts.name,
            country=facts.country,
            crm_id=facts.crm_id,
            psa_id=facts.psa_client_id,
            erp_party=parties.get(facts.customer_code),
        )
        for facts in _unique(reading, companies, lambda f: f.customer_code)
    ]
    return _store(
        engine, settings, reading, source="hubspot", records=[(r.id, r) for r in records], now=now, ids_of=_customer_ids
    )


def refresh_contracts(engine: Engine, settings: Settings, sources: Sources, now: dt.datetime) -> Refreshed:
    """Contracts: signed deals of the CRM, with the amendments that other signed deals make to them."""
    reading = _Reading("contract")
    listed = complete_lists.companies(engine, settings.tenant, sources.crm)
    companies = {f.crm_id: f for f in reading.read("hubspot", "company", listed, company_facts)}
    records = []
    for agreement in _signed_deals(reading, complete_lists.deals(engine, settings.tenant, sources.crm)):
        deal = agreement.contract
        customer = _customer_of(reading, settings, deal, companies)
        if customer is None:
            continue
        assert deal.terms is not None
        records.append(
            Contract(
                id=deal.contract_code,
                name=deal.name,
                customer_id=customer,
                legal_entity=deal.legal_entity,
                kind=deal.kind,
                currency=deal.currency,
                valid_from=deal.valid_from,
                valid_to=deal.valid_to,
                terms=deal.terms,
                amendments=_amendments(reading, settings, agreement, companies),
            )
        )
    return _store(engine, settings, reading, source="hubspot", records=[(r.id, r) for r in records], now=now)


def refresh_projects(engine: Engine, settings: Settings, sources: Sources, now: dt.datetime) -> Refreshed:
    """Projects: the PSA is the record; the deal that lists one gives its contract, the ERP its analytic accounts."""
    reading = _Reading("project")
    contract_of: dict[str, DealFacts] = {}
    for agreement in _signed_deals(reading, complete_lists.deals(engine, settings.tenant, sources.crm)):
        # A project that an amendment repeats is the contract's own.
        for deal in (*agreement.amendments, agreement.contract):
            for psa_id in deal.psa_project_ids:
                contract_of[psa_id] = deal
    accounts = sources.erp.projects()
    reading.keep("tryton", "analytic_account", accounts)
    accounts_of: dict[str, dict[str, str]] = {}
    for account in accounts:
        if account.open:
            accounts_of.setdefault(account.code, {})[account.company] = account.id
    records = []
    for facts in _projects(reading, settings, sources.psa):
        signed = contract_of.get(facts.psa_id)
        records.append(
            Project(
                id=facts.code,
                code=facts.code,
                name=facts.name,
                psa_id=facts.psa_id,
                contract_id=(signed.amends or signed.contract_code) if signed else None,
                closed=facts.archived,
                closed_on=facts.closed_on,
                erp_analytics=accounts_of.get(facts.code, {}),
            )
        )
    return _store(
        engine, settings, reading, source="clockify", records=[(r.id, r) for r in records], now=now, ids_of=_project_ids
    )


def refresh_psa_users(engine: Engine, settings: Settings, sources: Sources, now: dt.datetime) -> Refreshed:
    """The PSA's users, for their time zones and e-mail addresses."""
    reading = _Reading("psa_user")
    users = reading.read("clockify", "user", sources.psa.users(), user_facts)
    return _store(engine, settings, reading, source="clockify", records=[(u.psa_id, u) for u in users], now=now)


def refresh_employees(engine: Engine, settings: Settings, sources: Sources, now: dt.datetime) -> Refreshed:
    """Employees: HR is the record; the PSA user is the one with the same work e-mail."""
    reading = _Reading("employee")
    users = {u.email: u for u in reading.read("clockify", "user", sources.psa.users(), user_facts)}
    zones = {e.code: e.time_zone for e in settings.company.legal_entities}
    records = []
    for facts in _employees(reading, complete_lists.employees(engine, settings.tenant, sources.hr)):
        if facts.legal_entity not in zones:
            detail = f"its division {facts.legal_entity!r} is no legal entity"
            reading.sight("malformed_record", f"employee:bamboohr:{facts.hr_id}", detail)
            continue
        user = users.get(facts.email) if facts.email else None
        records.append(
            Employee(
                id=facts.employee_number,
                name=facts.name,
                psa_user_id=user.psa_id if user else None,
                legal_entity=facts.legal_entity,
                department=facts.department,
                time_zone=user.time_zone if user else zones[facts.legal_entity],
                role=facts.job_title,
            )
        )
    return _store(
        engine,
        settings,
        reading,
        source="bamboohr",
        records=[(r.id, r) for r in records],
        now=now,
        ids_of=_employee_ids,
    )


def refresh_cost_rates(engine: Engine, settings: Settings, sources: Sources, now: dt.datetime) -> Refreshed:
    """Cost rates: HR's compensation history through the company's cost rule."""
    reading = _Reading("cost_rate")
    policy = settings.policies.cost_rates
    staff = complete_lists.employees(engine, settings.tenant, sources.hr)
    numbers = {f.hr_id: f.employee_number for f in _employees(reading, staff)}
    rule = CostRule(burden=policy.burden, annual_hours=policy.annual_hours)
    records = []
    for hr_id, history in cost_histories(sources.hr.compensation(), rule).items():
        for error in history.malformed:
            reading.sight("malformed_record", f"compensation:bamboohr:{hr_id}", error.reason)
        if hr_id not in numbers:
            continue
        records += [
            CostRate(
                id=f"{numbers[hr_id]}@{rate.valid_from}",
                employee_id=numbers[hr_id],
                per_hour=rate.per_hour,
                valid_from=rate.valid_from,
                valid_to=rate.valid_to,
            )
            for rate in history.rates
        ]
    return _store(engine, settings, reading, source="bamboohr", records=[(r.id, r) for r in records], now=now)


def refresh_bill_rates(engine: Engine, settings: Settings, sources: Sources, now: dt.datetime) -> Refreshed:
    """Bill rates: the PSA's project and membership rates. It keeps no history, so a rate holds from the start."""
    reading = _Reading("bill_rate")
    with engine.connect() as connection:
        employees = master_records.load_all(
            connection, tenant=settings.tenant, object_type="employee", record_type=Employee
        )
    codes = {f.psa_id: f.code for f in _projects(reading, settings, sources.psa)}
    start = ServiceMonth.parse(settings.policies.extraction.first_month).first_day
    with engine.connect() as connection:
        persons = _Persons(employees, mapping_stories.links(connection, settings.tenant), start)
    bodies = reading.payloads["clockify", "project"].values()
    records = _bill_rates(reading, bodies, codes, persons)
    return _store(engine, settings, reading, source="clockify", records=[(r.id, r) for r in records], now=now)


def rebuild_bill_rates(connection: Connection, tenant: str, start: dt.date, now: dt.datetime) -> None:
    """Bill rates again from what the PSA last said, because who is behind a PSA user has been decided otherwise.

    Without it, the work of somebody just mapped would be priced by the project's rate until the next refresh.
    """

    def current(object_type: str, record_type: type[_T]) -> list[_T]:
        return master_records.load_all(connection, tenant=tenant, object_type=object_type, record_type=record_type)

    bodies = last_readings.last_reading(connection, tenant, "clockify", "project").values()
    if not bodies:
        return
    codes = {p.psa_id: p.code for p in current("project", Project)}
    persons = _Persons(current("employee", Employee), mapping_stories.links(connection, tenant), start)
    records = _bill_rates(_Reading("bill_rate"), bodies, codes, persons)
    master_records.replace_all(
        connection,
        tenant=tenant,
        object_type="bill_rate",
        source="clockify",
        records=[(r.id, r) for r in records],
        now=now,
    )


class _Persons:
    """The employees behind a PSA user, each with the days on which that is so: by the exact key, else by a steward."""

    def __init__(self, employees: Sequence[Employee], links: Sequence[Link], start: dt.date) -> None:
        self._exact = {e.psa_user_id: e.id for e in employees if e.psa_user_id}
        self._links = [k for k in links if (k.object_type, k.system) == (LinkType.EMPLOYEE, "clockify")]
        self.start = start

    def everybody(self) -> list[tuple[str | None, dt.date, dt.date | None]]:
        """No one employee: the project's own rate."""
        return [(None, self.start, None)]

    def behind(self, psa_user_id: str) -> list[tuple[str | None, dt.date, dt.date | None]]:
        """The employees, with the first and last day."""
        exact = self._exact.get(psa_user_id)
        found: list[tuple[str | None, dt.date, dt.date | None]] = [(exact, self.start, None)] if exact else []
        return found + [
            (link.canonical_id, max(link.valid_from, self.start), link.valid_to)
            for link in self._links
            if link.source_id == psa_user_id and link.canonical_id != exact and (exact is None or link.over_exact)
        ]


def _bill_rates(
    reading: _Reading, bodies: Iterable[Mapping[str, Any]], codes: Mapping[str, str], persons: _Persons
) -> list[BillRate]:
    records: dict[str, BillRate] = {}
    for body in bodies:
        if str(body["id"]) not in codes:
            continue
        try:
            rates = bill_rates_of(body)
        except MalformedRecordError as error:
            reading.sight("malformed_record", f"project:clockify:{body['id']}", error.reason)
            continue
        for rate in rates:
            code = codes[rate.psa_project_id]
            for who, first, last in persons.behind(rate.psa_user_id) if rate.psa_user_id else persons.everybody():
                since = "" if first == persons.start else f"@{first}"
                record = BillRate(
                    id=f"{code}/{who or '*'}{since}",
                    project_id=code,
                    employee_id=who,
                    per_hour=rate.per_hour,
                    valid_from=first,
                    valid_to=last,
                )
                # Of two accounts of one person, the one that the exact key names has the word.
                records.setdefault(record.id, record)
    return list(records.values())


def refresh_fx_rates(engine: Engine, settings: Settings, sources: Sources, now: dt.datetime) -> Refreshed:
    """FX rates: the ERP is the record, so that amounts in the sync and in the ledger are converted alike."""
    records = sources.erp.fx_rates(settings.company.group_currency)
    return _store(engine, settings, _Reading("fx_rate"), source="tryton", records=[(r.id, r) for r in records], now=now)


def refresh_tax_profiles(engine: Engine, settings: Settings, sources: Sources, now: dt.datetime) -> Refreshed:
    """Tax profiles: the settings say which tax, the ERP which id and rate it has and whether it is active."""
    reading = _Reading("tax_profile")
    with engine.connect() as connection:
        entities = {
            e.code: e
            for e in master_records.load_all(
                connection, tenant=settings.tenant, object_type="legal_entity", record_type=LegalEntity
            )
        }
    taxes = {(t.company, t.name): t for t in sources.erp.taxes()}
    records = []
    for profile in settings.tax_profiles:
        profile_id = f"{profile.legal_entity}/{profile.customer_country}"
        entity = entities.get(profile.legal_entity)
        tax = taxes.get((entity.erp_company, profile.erp_tax)) if entity and profile.erp_tax else None
        if profile.erp_tax and tax is None:
            reading.sight("no_tax_profile", f"tax_profile:{profile_id}", f"the ERP has no tax {profile.erp_tax!r}")
            continue
        records.append(
            TaxProfile(
                id=profile_id,
                legal_entity=profile.legal_entity,
                customer_country=profile.customer_country,
                erp_tax=tax.id if tax else None,
                rate=tax.rate if tax else Decimal(0),
                active=tax.active if tax else True,
            )
        )
    return _store(engine, settings, reading, source="settings", records=[(r.id, r) for r in records], now=now)


def refresh_accounting_periods(engine: Engine, settings: Settings, sources: Sources, now: dt.datetime) -> Refreshed:
    """Accounting periods and whether they are closed: the ERP is the record."""
    with engine.connect() as connection:
        entities = master_records.load_all(
            connection, tenant=settings.tenant, object_type="legal_entity", record_type=LegalEntity
        )
    code_of = {e.erp_company: e.code for e in entities}
    records = [
        AccountingPeriod(
            id=f"{code_of[period.company]}@{ServiceMonth.of(period.start)}",
            legal_entity=code_of[period.company],
            month=str(ServiceMonth.of(period.start)),
            closed=period.state != "open",
        )
        for period in sources.erp.periods()
        if period.company in code_of
    ]
    return _store(
        engine, settings, _Reading("accounting_period"), source="tryton", records=[(r.id, r) for r in records], now=now
    )


REFRESHES: Mapping[str, Callable[[Engine, Settings, Sources, dt.datetime], Refreshed]] = {
    "legal_entities": refresh_legal_entities,
    "tax_profiles": refresh_tax_profiles,
    "accounting_periods": refresh_accounting_periods,
    "fx_rates": refresh_fx_rates,
    "customers": refresh_customers,
    "contracts": refresh_contracts,
    "projects": refresh_projects,
    "psa_users": refresh_psa_users,
    "employees": refresh_employees,
    "cost_rates": refresh_cost_rates,
    "bill_rates": refresh_bill_rates,
}
"""Every kind of master data by its asset's name, in an order in which each finds what it needs."""


def _projects(reading: _Reading, settings: Settings, psa: ClockifyClient) -> list[ProjectFacts]:
    pattern = re.compile(settings.policies.project_name_pattern)
    facts = reading.read("clockify", "project", psa.projects(), lambda p: project_facts(p, pattern=pattern))
    return _unique(reading, facts, lambda f: f.code)


def _employees(reading: _Reading, staff: Sequence[Mapping[str, Any]]) -> list[EmployeeFacts]:
    facts = reading.read("bamboohr", "employee", staff, employee_facts)
    return _unique(reading, facts, lambda f: f.employee_number)


@dataclass(frozen=True, slots=True)
class _Agreement:
    """A contract's deal, and those that amend it in the order of the days from which they hold."""

    contract: DealFacts
    amendments: Sequence[DealFacts]


def _signed_deals(reading: _Reading, listed: Sequence[Mapping[str, Any]]) -> list[_Agreement]:
    """The contracts among the signed deals. An amendment that cannot be meant is left out, and its contract stays."""
    facts = reading.read("hubspot", "deal", listed, lambda deal: deal_facts(deal) if is_signed(deal) else None)
    signed = [f for f in facts if f is not None]
    contracts = _unique(reading, [f for f in signed if f.amends is None], lambda f: f.contract_code)
    by_code = {f.contract_code: f for f in contracts}
    by_day: dict[tuple[str, dt.date], list[DealFacts]] = {}
    for deal in _unique(reading, [f for f in signed if f.amends is not None], lambda f: f.contract_code):
        why = _misfit(deal, by_code)
        if why is not None:
            _leave_out(reading, deal, "malformed_record", why)
        else:
            by_day.setdefault((str(deal.amends), deal.valid_from), []).append(deal)
    amendments: dict[str, list[DealFacts]] = {}
    for (code, day), deals in sorted(by_day.items()):
        if len(deals) == 1:
            amendments.setdefault(code, []).extend(deals)
            continue
        for deal in deals:
            why = f"{len(deals)} amendments hold from {day} on, and which of them has the last word is not known"
            _leave_out(reading, deal, "malformed_record", why)
    return [_Agreement(contract, amendments.get(code, ())) for code, contract in by_code.items()]


def _misfit(deal: DealFacts, contracts: Mapping[str, DealFacts]) -> str | None:
    """Why a deal cannot amend the contract that it names; None if it can."""
    contract = contracts.get(str(deal.amends))
    if contract is None:
        return "no signed deal that is understood has that contract_code"
    if deal.contract_code in contracts:
        return "its contract_code is that of a contract"
    if deal.currency != contract.currency:
        return f"its currency is {deal.currency} and the contract's {contract.currency}"
    if deal.valid_from < contract.valid_from:
        return "it begins before the contract does"
    return None


def _leave_out(reading: _Reading, deal: DealFacts, code: str, why: str) -> None:
    detail = f"amendment {deal.contract_code}: {why}; contract {deal.amends} stays as it is without it"
    reading.sight(code, f"deal:hubspot:{deal.crm_id}", detail)


def _customer_of(
    reading: _Reading, settings: Settings, deal: DealFacts, companies: Mapping[str, CompanyFacts]
) -> str | None:
    """The code of the customer that a deal is made with; None if it or the entity that sells is not known."""
    company = companies.get(deal.crm_company_id)
    if company is not None and deal.legal_entity in settings.entity_codes:
        return company.customer_code
    why = f"its company {deal.crm_company_id} or legal entity {deal.legal_entity!r} is not known"
    if deal.amends is not None:
        _leave_out(reading, deal, "malformed_record", why)
    else:
        reading.sight("malformed_record", f"deal:hubspot:{deal.crm_id}", why)
    return None


def _amendments(
    reading: _Reading, settings: Settings, agreement: _Agreement, companies: Mapping[str, CompanyFacts]
) -> tuple[Amendment, ...]:
    """What is agreed otherwise, in the order of the days from which it holds."""
    agreed: list[Amendment] = []
    kind = agreement.contract.kind
    for deal in agreement.amendments:
        customer = _customer_of(reading, settings, deal, companies)
        if customer is None:
            continue
        if deal.terms is None and deal.kind is not kind:
            why = f"billing_terms are missing, though contract_kind is no longer {kind} but {deal.kind}"
            _leave_out(reading, deal, "malformed_terms", why)
            continue
        kind = deal.kind
        agreed.append(
            Amendment(
                id=deal.contract_code,
                effective_from=deal.valid_from,
                customer_id=customer,
                legal_entity=deal.legal_entity,
                kind=deal.kind,
                terms=deal.terms,
                valid_to=deal.valid_to,
            )
        )
    return tuple(agreed)


def _unique(reading: _Reading, facts: Sequence[_T], code_of: Callable[[_T], str]) -> list[_T]:
    """The facts whose code is theirs alone: which of two records of one code is meant cannot be guessed."""
    by_code: dict[str, list[_T]] = {}
    for fact in facts:
        by_code.setdefault(code_of(fact), []).append(fact)
    for code, claimants in by_code.items():
        if len(claimants) > 1:
            detail = f"{len(claimants)} records have the code {code}"
            reading.sight("malformed_record", f"{reading.object_type}:{code}", detail)
    return [claimants[0] for claimants in by_code.values() if len(claimants) == 1]


def _customer_ids(customer: Customer) -> list[tuple[str, str | None]]:
    return [("hubspot", customer.crm_id), ("clockify", customer.psa_id), ("tryton", customer.erp_party)]


def _project_ids(project: Project) -> list[tuple[str, str | None]]:
    return [("clockify", project.psa_id), *(("tryton", account) for account in project.erp_analytics.values())]


def _employee_ids(employee: Employee) -> list[tuple[str, str | None]]:
    return [("clockify", employee.psa_user_id)]


def _store(
    engine: Engine,
    settings: Settings,
    reading: _Reading,
    *,
    source: str,
    records: Sequence[tuple[str, Any]],
    now: dt.datetime,
    ids_of: Callable[[Any], Sequence[tuple[str, str | None]]] | None = None,
) -> Refreshed:
    """Keep payloads, records, mappings and exceptions of one reading in one transaction.

    `now` is when the reading began: where one that began later has changed the records, it is old and is not kept.
    """
    tenant, object_type = settings.tenant, reading.object_type
    with engine.begin() as connection:
        if master_records.is_overtaken(connection, tenant=tenant, object_type=object_type, began=now):
            unchanged = Change(added=0, changed=0, removed=0, unchanged=len(records))
            return Refreshed(object_type=object_type, change=unchanged, records=[r for _, r in records], exceptions=0)
        _keep_payloads(connection, tenant, reading, now)
        change = master_records.replace_all(
            connection, tenant=tenant, object_type=object_type, source=source, records=records, now=now
        )
        if change.removed > max(5, (change.removed + change.unchanged + change.changed) // 3):
            raise SuspiciousShrinkError(
                f"{source} no longer has {change.removed} of the {object_type} records that it had; nothing was changed"
            )
        if ids_of is not None:
            mappings.replace_all(
                connection,
                tenant=tenant,
                object_type=object_type,
                ids={
                    (system, source_id): canonical_id
                    for canonical_id, record in records
                    for system, source_id in ids_of(record)
                    if source_id is not None
                },
                method="exact key",
                now=now,
            )
        scope = f"master:{object_type}"
        exceptions.open_or_touch(connection, tenant, scope, reading.sightings, now)
        seen = [(s.code, s.object_id) for s in reading.sightings]
        exceptions.resolve_absent(connection, tenant, scope, seen, now)
    return Refreshed(
        object_type=object_type, change=change, records=[r for _, r in records], exceptions=len(reading.sightings)
    )


def _keep_payloads(connection: Connection, tenant: str, reading: _Reading, now: dt.datetime) -> None:
    for (source, object_type), bodies in reading.payloads.items():
        inbox.record(
            connection,
            tenant=tenant,
            source=source,
            object_type=object_type,
            payloads=[inbox.Payload(object_id=i, body=body) for i, body in bodies.items()],
            arrived_by="sweep",
            now=now,
        )
