"""The demo company: the same for the same seed, complete, linkable, and irregular in every way it promises."""

import dataclasses
import datetime as dt
import json
from decimal import Decimal

import pytest

from psa_erp_assets.domain.calendar import ServiceMonth, service_date
from psa_erp_assets.sandbox.company import Dirt, build_company


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
    assert len([c for c in company.contracts if c.kind == "time_and_materials" and c.signed]) == 40
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


def test_unsigned_deal_has_a_project_without_time(company):
    """Nothing may be billed on a contract that is still negotiated."""
    unsigned = {c.code for c in company.contracts if not c.signed}
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
