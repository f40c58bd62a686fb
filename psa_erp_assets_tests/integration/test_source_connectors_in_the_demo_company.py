"""The source connectors at the vendor sandboxes: every record of the demo company is read, and read rightly."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from psa_erp_assets.adapters.connectors.bamboohr.canonical import CostRule, cost_histories, employee_facts
from psa_erp_assets.adapters.connectors.bamboohr.client import BambooHrClient, bamboohr_auth
from psa_erp_assets.adapters.connectors.clockify.canonical import (
    bill_rates_of,
    category_names,
    client_facts,
    expense_facts,
    expense_payload,
    latest_approval,
    latest_expense_approval,
    project_facts,
    time_entry_facts,
    time_entry_payload,
    user_facts,
    workspace_currency,
)
from psa_erp_assets.adapters.connectors.clockify.client import ClockifyClient, clockify_auth
from psa_erp_assets.adapters.connectors.hubspot.canonical import company_facts, deal_facts, is_signed
from psa_erp_assets.adapters.connectors.hubspot.client import HubSpotClient, hubspot_auth
from psa_erp_assets.adapters.http import (
    JsonApi,
    SourceAnswerError,
    SourceAuthError,
    SourceError,
    SourceThrottledError,
    SourceUnreachableError,
)
from psa_erp_assets.domain.facts import TimeEntryFacts
from psa_erp_assets.domain.keys import canonical_json
from psa_erp_assets.domain.money import Money
from psa_erp_assets.domain.records import ApprovalState
from psa_erp_assets.sandbox.actors import actors_at
from psa_erp_assets.sandbox.company import build_company
from psa_erp_assets.sandbox.company_model import DemoCompany, Dirt, RequestState
from psa_erp_assets.sandbox.serve import SandboxServer, running_sandbox
from psa_erp_assets_tests.support.manual_clock import ManualClock

START, END = dt.datetime(2026, 8, 31, tzinfo=dt.UTC), dt.datetime(2026, 11, 2, tzinfo=dt.UTC)
RULE = CostRule(burden=Decimal("0.25"), annual_hours=1760)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxServer]:
    with running_sandbox(build_company()) as server:
        yield server


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def company(sandbox: SandboxServer) -> DemoCompany:
    return sandbox.company


@pytest.fixture
def clockify(sandbox: SandboxServer, clock: ManualClock) -> Iterator[ClockifyClient]:
    auth = clockify_auth(lambda: sandbox.keys.clockify)
    with JsonApi(sandbox.clockify_url, auth=auth, rate=1e6, burst=1000, clock=clock, sleep=clock.sleep) as api:
        yield ClockifyClient(api, sandbox.company.workspace_id)


@pytest.fixture
def hubspot(sandbox: SandboxServer) -> Iterator[HubSpotClient]:
    auth = hubspot_auth(lambda: sandbox.keys.hubspot)
    with JsonApi(sandbox.hubspot_url, auth=auth, rate=1e6, burst=1000) as api:
        yield HubSpotClient(api, page_size=7)


@pytest.fixture
def bamboohr(sandbox: SandboxServer) -> Iterator[BambooHrClient]:
    auth = bamboohr_auth(lambda: sandbox.keys.bamboohr)
    with JsonApi(sandbox.bamboohr_url, auth=auth, rate=1e6, burst=1000) as api:
        yield BambooHrClient(api, page_size=7)


def entries_of_requests(requests: list[dict[str, Any]]) -> dict[str, list[tuple[dict[str, Any], dict[str, Any]]]]:
    """By entry: each request that lists it, with the entry as it is listed there."""
    found = defaultdict(list)
    for details in requests:
        for entry in details["entries"]:
            found[entry["id"]].append((details, entry))
    return found


def test_every_time_entry_is_read_with_its_minutes_day_and_state(
    clockify: ClockifyClient, company: DemoCompany
) -> None:
    """The sweep is the last resort against lost webhooks: what it misreads is billed wrongly."""
    zones = {u.psa_id: u.time_zone for u in map(user_facts, clockify.users())}
    requests = entries_of_requests(clockify.approval_requests())
    facts: dict[str, TimeEntryFacts] = {}
    for user_id, zone in zones.items():
        for entry in clockify.time_entries(user_id, START, END):
            listed = requests.get(entry["id"], [])
            known = {
                "entry_id": entry["id"],
                "user_id": user_id,
                "time_zone": zone,
                "approval": latest_approval(details for details, _ in listed),
            }
            payload = time_entry_payload(entry, **known)
            for _, other_shape in listed:
                assert canonical_json(time_entry_payload(other_shape, **known)) == canonical_json(payload)
            facts[entry["id"]] = time_entry_facts(payload)
    assert facts.keys() == company.entry_by_id.keys()
    for entry_id, expected in company.entry_by_id.items():
        seen = facts[entry_id]
        worked = expected.end - expected.start if expected.end else dt.timedelta()
        assert seen.minutes == worked // dt.timedelta(minutes=1)
        assert (seen.psa_user_id, seen.psa_project_id) == (expected.user_id, expected.project_id)
        assert (seen.billable, seen.started_at) == (expected.billable, expected.start)
        assert (seen.task, seen.work_types) == (expected.task, tuple(sorted({t.lower() for t in expected.tags})))
    approved = {i for a in company.approvals if a.state is RequestState.APPROVED for i in a.entry_ids}
    assert {i for i, f in facts.items() if f.state is ApprovalState.APPROVED} == approved
    other_month = [facts[i] for i in company.dirt[Dirt.OTHER_MONTH_IN_UTC]]
    assert other_month
    assert all(f.service_date and f.started_at and f.service_date.month != f.started_at.month for f in other_month)


def test_expenses_are_read_alike_from_the_list_by_id_and_from_the_approval(
    sandbox: SandboxServer, clockify: ClockifyClient, company: DemoCompany
) -> None:
    """A receipt in francs, mileage and a plain total: what a webhook fetches must be what a sweep reads."""
    monday = dt.datetime(2026, 11, 9, 12, tzinfo=dt.UTC)
    user, project = company.entries[0].user_id, company.projects[0].psa_id
    with actors_at(sandbox) as people:
        made = [
            people.record_expense(user, project, monday.date(), *spent)
            for spent in (("Lodging", Decimal("462.50")), ("Mileage", Decimal("123.5")), ("Meals", Decimal("31.10")))
        ]
        people.edit_expense(made[0], notes="Receipt CHF 412.50; hotel")
        people.approve([people.submit_week(user, monday.replace(hour=5))])
    try:
        requests = clockify.approval_requests()
        categories = category_names(clockify.expense_categories())
        currency = workspace_currency(clockify.workspace())
        listed = {e["id"]: e for e in clockify.expenses()}
        in_request = {e["id"]: e for r in requests for e in r["expenses"]}
        facts = []
        for expense_id in made:
            bodies = [listed[expense_id], clockify.expense(expense_id), in_request[expense_id]]
            payloads = [
                expense_payload(
                    body,
                    time_zone=None,
                    currency=currency,
                    categories=categories,
                    approval=latest_expense_approval(requests, expense_id),
                )
                for body in bodies
                if body is not None
            ]
            assert len({canonical_json(p) for p in payloads}) == 1
            assert len(payloads) == 3
            facts.append(expense_facts(payloads[0]))
    finally:
        sandbox.control.reset()
    assert {(f.state, f.service_date, f.psa_user_id) for f in facts} == {(ApprovalState.APPROVED, monday.date(), user)}
    assert [(f.category, f.receipt, f.reimbursement, f.description) for f in facts] == [
        ("Lodging", Money(Decimal("412.50"), "CHF"), Money(Decimal("462.50"), "USD"), "hotel"),
        ("Mileage", Money(Decimal("82.745"), "USD"), Money(Decimal("82.745"), "USD"), ""),
        ("Meals", Money(Decimal("31.10"), "USD"), Money(Decimal("31.10"), "USD"), ""),
    ]


def test_overtime_and_tasks_are_read_alike_from_the_list_by_id_and_from_the_approval(
    sandbox: SandboxServer, clockify: ClockifyClient, company: DemoCompany
) -> None:
    """An hour of overtime must not become an ordinary one when the approval's webhook comes after the entry's."""
    monday = dt.datetime(2026, 11, 9, 12, tzinfo=dt.UTC)
    user, project = company.entries[0].user_id, company.projects[0].psa_id
    with actors_at(sandbox) as people:
        made = people.record_entry(user, project, monday, 60, task="Build", tags=["Travel", "Overtime"])
        people.approve([people.submit_week(user, monday.replace(hour=5))])
    try:
        in_request = [e for r in clockify.approval_requests() for e in r["entries"] if e["id"] == made]
        listed = [e for e in clockify.time_entries(user, monday, monday) if e["id"] == made]
        by_id = clockify.time_entry(made)
        assert by_id is not None
        payloads = [
            time_entry_payload(body, entry_id=made, user_id=user, time_zone="Europe/London", approval=None)
            for body in (*in_request, *listed, by_id)
        ]
        tasks, tags = clockify.tasks(project), clockify.tags()
    finally:
        sandbox.control.reset()
    assert len(payloads) == 3
    assert len({canonical_json(p) for p in payloads}) == 1
    facts = time_entry_facts(payloads[0])
    assert (facts.task, facts.work_types) == ("Build", ("overtime", "travel"))
    assert [t["name"] for t in tasks] == ["Build"]
    assert {t["name"] for t in tags} >= {"Overtime", "Travel"}


def test_a_deleted_expense_is_gone(sandbox: SandboxServer, clockify: ClockifyClient, company: DemoCompany) -> None:
    """None by its id is what makes a tombstone."""
    with actors_at(sandbox) as people:
        made = people.record_expense(
            company.entries[0].user_id, None, dt.date(2026, 11, 9), "Meals", Decimal(5), billable=False
        )
        assert clockify.expense(made) is not None
        people.delete_expense(made)
    assert clockify.expense(made) is None
    assert made not in {e["id"] for e in clockify.expenses()}


def test_every_project_client_and_rate_is_read(clockify: ClockifyClient, company: DemoCompany) -> None:
    """A project that is misread holds all its work."""
    assert {client_facts(c).psa_id for c in clockify.clients()} == {c.psa_id for c in company.customers}
    user_of = {p.email: p.psa_id for p in company.people}
    listed = {p["id"]: p for p in clockify.projects()}
    assert listed.keys() == company.project_by_psa_id.keys()
    for psa_id, expected in company.project_by_psa_id.items():
        facts = project_facts(listed[psa_id])
        assert (facts.code, facts.closed_on) == (expected.code, expected.closed_on)
        assert facts.archived is (expected.closed_on is not None)
        own = {None: expected.rate} | {user_of[email]: rate for email, rate in expected.staff.items()}
        rates = {r.psa_user_id: r.per_hour for r in bill_rates_of(listed[psa_id])}
        assert rates == {who: Money(rate, expected.currency) for who, rate in own.items() if rate is not None}


def test_every_customer_and_signed_contract_is_read(hubspot: HubSpotClient, company: DemoCompany) -> None:
    """A contract that is misread prices the work of all its projects."""
    customers = [company_facts(c) for c in hubspot.companies()]
    assert {(c.customer_code, c.name, c.country, c.psa_client_id, c.crm_id) for c in customers} == {
        (c.code, c.name, c.country, c.psa_id, c.crm_id) for c in company.customers
    }
    code_of = {c.crm_id: c.customer_code for c in customers}
    deals = hubspot.deals()
    assert len(deals) == len(company.contracts)
    contracts = [deal_facts(d) for d in deals if is_signed(d)]
    assert {
        (c.contract_code, c.kind.value, c.currency, c.legal_entity, c.valid_from, c.valid_to, code_of[c.crm_company_id])
        for c in contracts
    } == {
        (c.code, c.kind, c.currency, c.legal_entity, c.start, c.end, c.customer) for c in company.contracts if c.signed
    }
    signed = {c.code for c in company.contracts if c.signed}
    assert {i for c in contracts for i in c.psa_project_ids} == {
        p.psa_id for p in company.projects if p.contract in signed
    }


def test_every_employee_and_cost_rate_is_read(bamboohr: BambooHrClient, company: DemoCompany) -> None:
    """Somebody without a cost rate has all their work held."""
    known = {p.hr_id: p for p in company.people if p.hr_id is not None}
    employees = [employee_facts(e) for e in bamboohr.employees()]
    assert {(e.employee_number, e.email, e.legal_entity, e.department) for e in employees} == {
        (p.code, p.email, p.legal_entity, p.department) for p in known.values()
    }
    histories = cost_histories(bamboohr.compensation(), RULE)
    assert histories.keys() == {hr_id for hr_id, p in known.items() if p.compensation}
    for hr_id, history in histories.items():
        assert history.malformed == ()
        assert [r.valid_from for r in history.rates] == sorted(c.start for c in known[hr_id].compensation)
        for rate, pay in zip(history.rates, sorted(known[hr_id].compensation, key=lambda c: c.start), strict=True):
            exact = pay.annual * Decimal("1.25") / 1760
            assert rate.per_hour.currency == pay.currency
            assert abs(rate.per_hour.amount - exact) <= Decimal("0.00005")


def test_a_deleted_entry_is_gone_and_a_changed_one_is_read_anew(
    sandbox: SandboxServer, clockify: ClockifyClient, company: DemoCompany
) -> None:
    """What a webhook announces is fetched again; None is what makes a tombstone."""
    with actors_at(sandbox) as people:
        [deleted, *_] = people.play_deletions_after_approval()
        [edited, *_] = people.play_edits_after_approval()
    try:
        assert clockify.time_entry(deleted) is None
        fresh = clockify.time_entry(edited)
        end = next(e.end for e in company.edits_after_approval if e.entry_id == edited)
        assert fresh is not None
        assert dt.datetime.fromisoformat(fresh["timeInterval"]["end"]) == end
    finally:
        sandbox.control.reset()


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "status", "status": 503, "retry_after": 86400}, SourceUnreachableError),
        ({"kind": "status", "status": 429, "retry_after": 86400}, SourceThrottledError),
        ({"kind": "status", "status": 429}, SourceThrottledError),
        ({"kind": "drop"}, SourceUnreachableError),
        ({"kind": "truncate"}, SourceUnreachableError),
        ({"kind": "html"}, SourceAnswerError),
        ({"kind": "auth_revoked"}, SourceAuthError),
    ],
    ids=["503", "429 for a day", "429 without a wait", "dropped", "cut off", "HTML", "key revoked"],
)
def test_a_fault_that_stays_is_an_error_of_its_kind(
    sandbox: SandboxServer,
    clockify: ClockifyClient,
    clock: ManualClock,
    fault: dict[str, Any],
    error: type[SourceError],
) -> None:
    """The kind of error decides who is called and whether it is tried again; none may look like an empty company."""
    sandbox.control.fault("clockify", **fault)
    try:
        with pytest.raises(error):
            clockify.users()
    finally:
        sandbox.control.clear("clockify")
    assert sum(clock.slept) <= 120


@pytest.mark.parametrize("kind", ["drop", "truncate", "status"])
def test_a_fault_that_passes_loses_nothing(
    sandbox: SandboxServer, clockify: ClockifyClient, company: DemoCompany, kind: Any
) -> None:
    """A sweep goes on where a connection broke."""
    sandbox.control.fault("clockify", kind, times=3, path="/projects")
    assert len(clockify.projects()) == len(company.projects)
