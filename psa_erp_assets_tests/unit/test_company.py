"""The demo company: the same for the same seed, complete, linkable, and irregular in every way it promises."""

import dataclasses
import datetime as dt
import json
from collections import Counter
from decimal import Decimal

import pytest

from psa_erp_assets.domain.calendar import ServiceMonth, service_date
from psa_erp_assets.domain.terms import ContractKind, LineRounding, Overage, Recognition, Terms
from psa_erp_assets.domain.terms_text import terms_from_text
from psa_erp_assets.sandbox.company import Dirt, build_company
from psa_erp_assets.sandbox.company_model import RequestState
from psa_erp_assets.sandbox.company_terms import LATE_AMENDMENT, REOPENED_MILESTONE


@pytest.fixture(scope="module")
def company():
    return build_company()


def _bytes(company) -> bytes:
    return json.dumps(dataclasses.asdict(company), default=str, sort_keys=True).encode()


def test_same_seed_same_bytes(company):
    """A demo that differs from run to run could not be checked against expected amounts."""
    assert _bytes(build_company()) == _bytes(company)


def test_another_seed_is_another_company(company):
    """The seed must reach everything, or two benchmark companies would be one."""
    assert {e.id for e in build_company(seed=7).entries}.isdisjoint(e.id for e in company.entries)


def test_size(company):
    """The company that the documents describe."""
    assert len([p for p in company.people if p.psa_id and p.hr_id]) == 60
    assert len(company.customers) == 25
    kinds = Counter(c.kind for c in company.contracts if c.signed and c.amends is None)
    assert kinds == {
        "time_and_materials": 28,
        "capped": 4,
        "fixed_fee_milestone": 2,
        "fixed_fee_schedule": 3,
        "retainer": 2,
        "mixed": 1,
        "non_billable": 2,
    }
    assert len(company.expenses) == 43
    assert 3_800 <= len(company.entries) <= 4_300
    assert 0.08 <= sum(not e.billable for e in company.entries) / len(company.entries) <= 0.13
    assert {c.country for c in company.customers} >= {"US", "GB", "DE", "FR", "CH", "SE"}


@pytest.mark.parametrize("kind", Dirt)
def test_every_irregularity_is_there_several_times(company, kind):
    """An irregularity that does not occur is one that nobody's tests meet."""
    ids = company.dirt[kind]
    assert len(ids) >= 3
    assert len(set(ids)) == len(ids)
    assert set(ids) <= set(company.entry_by_id)


def test_ids_and_links_hold(company):
    """A dangling reference here would look like a bug of the sync."""
    projects, people = company.project_by_psa_id, company.person_by_psa_id
    contracts, customers = {c.code for c in company.contracts}, {c.code for c in company.customers}
    assert all(len(e.id) == 24 and int(e.id, 16) >= 0 for e in company.entries)
    assert all(e.project_id in projects for e in company.entries if e.project_id)
    assert all(e.user_id in people for e in company.entries)
    assert all(i in company.entry_by_id for a in company.approvals for i in a.entry_ids)
    assert all(p.contract in contracts for p in company.projects if p.contract)
    assert {p.customer for p in company.projects} == customers
    assert {c.customer for c in company.contracts} == customers
    assert all(p.name.startswith(p.code) for p in company.projects)
    assert len({p.email for p in company.people}) == len(company.people)
    by_email = {p.email for p in company.people}
    assert all(set(p.staff) <= by_email for p in company.projects)


def test_work_is_done_by_the_team(company):
    """Time on a project that its author is not on would have no rate of theirs."""
    for entry in company.entries:
        if entry.project_id:
            project = company.project_by_psa_id[entry.project_id]
            assert company.person_by_psa_id[entry.user_id].email in project.staff


def test_service_months_are_those_asked_for(company):
    """Local dates decide the month, also where the UTC date is in the month before or after."""
    months = {
        str(ServiceMonth.of(service_date(e.start, company.person_by_psa_id[e.user_id].time_zone)))
        for e in company.entries
    }
    assert months == set(company.months)
    utc = {str(ServiceMonth.of(e.start.date())) for e in company.entries}
    assert utc == {"2026-08", *company.months, "2026-11"}


def _terms(contract) -> Terms:
    return terms_from_text(contract.billing_terms, kind=ContractKind(contract.kind), currency=contract.currency)


def test_every_way_to_bill_and_to_earn_is_agreed_somewhere(company):
    """What no contract of the company has, nobody sees in the demo."""
    terms = [_terms(c) for c in company.contracts if c.amends is None]
    components = [c for t in terms for c in t.components]
    assert {c.kind for c in components} == set(ContractKind) - {ContractKind.MIXED}
    assert {c.recognition.method for c in components} == set(Recognition)
    assert {c.cap_overage for c in components if c.cap} == {Overage.HOLD, Overage.WRITE_OFF}
    assert {c.retainer.overage for c in components if c.retainer} == {Overage.HOLD, Overage.BILL}
    assert any(c.retainer and c.retainer.rollover_months for c in components)
    pricing = [t.pricing for t in terms]
    assert any(p.rate_card and p.discount and p.multipliers and p.increment_minutes > 1 for p in pricing)
    assert any(p.blended_rate for p in pricing)
    assert any(p.rounding is LineRounding.CUMULATIVE for p in pricing)
    assert any(t.expenses.limits for t in terms)
    assert any(t.expenses.mark_up for t in terms)
    assert any(not t.expenses.billable for t in terms)


def test_everything_that_an_amendment_can_change_is_changed_somewhere(company):
    """Among them the customer, and the entity that sells: in mid-month, on the same project, which both books know."""
    by_code = {c.code: c for c in company.contracts}
    amended = [(by_code[c.amends], c) for c in company.contracts if c.amends is not None]
    assert all(old.start <= new.start and old.currency == new.currency for old, new in amended)
    assert any(old.customer != new.customer for old, new in amended)
    assert any(new.end and old.end and new.end > old.end for old, new in amended)
    assert any(new.billing_terms and old.kind == "time_and_materials" for old, new in amended)
    assert any(_terms(new).components[0].cap for _, new in amended if new.billing_terms)
    [(old, new)] = [(old, new) for old, new in amended if old.legal_entity != new.legal_entity]
    assert new.start == dt.date(2026, 10, 12)
    [project] = [p for p in company.projects if p.contract == old.code]
    assert {p["company"] for p in company.erp_seed()["projects"] if p["code"] == project.code} == {"UK", "DE"}
    days = [day for day in _days_on(company, project.psa_id) if (day.year, day.month) == (2026, 10)]
    assert min(days) < new.start <= max(days)
    assert not by_code[LATE_AMENDMENT].signed


def _days_on(company, project: str) -> list[dt.date]:
    entries = [e for e in company.entries if e.project_id == project]
    return [service_date(e.start, company.person_by_psa_id[e.user_id].time_zone) for e in entries]


def test_milestones_are_reached_in_each_month_and_one_is_over_the_fee(company):
    """A fee that is exceeded must be somebody's question and not the customer's surprise."""
    reached = [m for m in company.milestones if m.state == "completed"]
    assert {str(ServiceMonth.of(m.due)) for m in reached} == set(company.months)
    contracts = {c.code: c for c in company.contracts}
    fees = {
        (code, c.code): c.fee.amount
        for code in {m.contract for m in company.milestones}
        for c in _terms(contracts[code]).components
        if c.fee is not None
    }
    totals: Counter[tuple[str, str]] = Counter()
    for milestone in reached:
        totals[milestone.contract, milestone.component] += milestone.amount
    assert [key for key, total in totals.items() if total > fees[key]] == [("CTR-0008", "main")]
    [reopened] = [m for m in reached if m.psa_id == REOPENED_MILESTONE]
    assert str(ServiceMonth.of(reopened.due)) == company.months[0]


def test_expenses_are_spent_by_the_team_in_the_week_of_their_request(company):
    """A request that lists what was spent in another week is one that nobody could have submitted."""
    listed = {i: a for a in company.approvals for i in a.expense_ids}
    assert set(listed) == {e.id for e in company.expenses}
    for expense in company.expenses:
        request = listed[expense.id]
        zone = company.person_by_psa_id[expense.user_id].time_zone
        assert request.user_id == expense.user_id
        assert service_date(request.start, zone) <= expense.date <= service_date(request.end, zone)
        assert company.person_by_psa_id[expense.user_id].email in company.project_by_psa_id[expense.project_id].staff
    assert {a.state for a in listed.values()} == {RequestState.APPROVED, RequestState.PENDING}
    assert {e.notes.split()[1] for e in company.expenses if e.notes.startswith("Receipt")} == {
        "CHF",
        "EUR",
        "GBP",
        "SEK",
    }
    assert {e.billable for e in company.expenses} == {True, False}
    assert {e.category for e in company.expenses} == {"Lodging", "Travel", "Meals", "Mileage", "Software"}


def test_types_of_work_and_tasks_are_recorded_where_the_rate_card_prices_them(company):
    """Without them overtime would never be dearer, and training never cheaper."""
    tagged = [e for e in company.entries if e.tags or e.task]
    assert {tag for e in tagged for tag in e.tags} == {"Overtime", "Travel"}
    assert {e.task for e in tagged} == {None, "Training"}
    assert {company.project_by_psa_id[e.project_id].rate for e in tagged} == {None}


def test_unsigned_deal_has_a_project_without_time(company):
    """Nothing may be billed on a contract that is still negotiated."""
    unsigned = {c.code for c in company.contracts if not c.signed and c.amends is None}
    idle = {p.psa_id for p in company.projects if p.contract in unsigned}
    assert idle
    assert idle.isdisjoint(e.project_id for e in company.entries)


def test_rounding_matters(company):
    """Amounts that come out even would hide every rounding mistake."""
    minutes = [(e.end - e.start) // dt.timedelta(minutes=1) for e in company.entries if e.end]
    assert sum(m % 6 != 0 for m in minutes) > len(minutes) / 2
    assert any(p.rate % 1 for p in company.projects if p.rate is not None)


def test_approvals_cover_local_weeks(company):
    """A request lists only entries of its own person and week, in that person's zone."""
    for approval in company.approvals:
        for entry_id in approval.entry_ids:
            entry = company.entry_by_id[entry_id]
            assert entry.user_id == approval.user_id
            assert approval.start <= entry.start <= approval.end


def test_edits_change_approved_entries(company):
    """An edit that changes nothing, or an entry that was not approved, would prove nothing."""
    approved = {i for a in company.approvals if a.state == "APPROVED" for i in a.entry_ids}
    for edit in company.edits_after_approval:
        entry = company.entry_by_id[edit.entry_id]
        assert edit.entry_id in approved
        assert entry.start < edit.end != entry.end
    assert set(company.deletions_after_approval) <= approved


def test_erp_seed(company):
    """The ERP is set up in another environment, so this document is all that it learns of the company."""
    seed = json.loads(json.dumps(company.erp_seed()))
    assert [c["code"] for c in seed["companies"]] == ["US", "UK", "DE"]
    assert set(seed["currencies"]) == {"USD", "GBP", "EUR", "CHF", "SEK"}
    assert {r["currency"] for r in seed["fx_rates"]} == {"GBP", "EUR", "CHF"}
    assert all(Decimal(r["per_usd"]) > 0 for r in seed["fx_rates"])
    assert min(r["date"] for r in seed["fx_rates"]) < "2026-09-01"
    assert {p["code"] for p in seed["projects"]} == {p.code for p in company.projects if p.in_erp}
    assert len(seed["customers"]) == 25
    assert sum(not t["active"] for t in seed["taxes"]) == 1


@pytest.mark.parametrize("months", [(), ("2026-09", "2026-11"), ("2026-13",)])
def test_months_must_follow_one_another(months):
    """A gap would leave weeks half filled without a word."""
    with pytest.raises(ValueError, match="month"):
        build_company(months=months)
