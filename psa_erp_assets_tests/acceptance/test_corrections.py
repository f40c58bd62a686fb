"""Corrections after approval, from the PSA to a real Tryton: it ends as if only the final state had been billed."""

import datetime as dt
from collections import Counter
from collections.abc import Iterator

import pytest

from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.faults import FAULTS
from psa_erp_assets.sandbox.actors import Actors, actors_at
from psa_erp_assets.sandbox.company_model import RequestState
from psa_erp_assets.sandbox.serve import SandboxServer, running_sandbox
from psa_erp_assets.sandbox.tryton.build import Kind
from psa_erp_assets.services import sync
from psa_erp_assets_tests.support.small_company import approved_entries, small_company
from psa_erp_assets_tests.support.sync import Company, Open
from psa_erp_assets_tests.support.tryton import MakeTryton, RunningTryton

pytestmark = pytest.mark.tryton

US, UK, DE = "CTR-0001", "CTR-0022", "CTR-0031"
SEPTEMBER = ServiceMonth(2026, 9)
BILLING, COST = EffectType.BILLING_LINE, EffectType.COST_TRANSACTION


# A Tryton takes seconds to start, so the tests of a kind share one company, in the order of the file. Each begins with
# what is settled, works with entries of its own, and leaves all settled.
@pytest.fixture(scope="module", params=list(Kind))
def kind(request: pytest.FixtureRequest) -> Kind:
    kind: Kind = request.param
    return kind


@pytest.fixture(scope="module")
def sandbox(kind: Kind) -> Iterator[SandboxServer]:
    with running_sandbox(small_company()) as server:
        yield server


@pytest.fixture(scope="module")
def people(sandbox: SandboxServer) -> Iterator[Actors]:
    with actors_at(sandbox) as actors:
        yield actors


@pytest.fixture(scope="module")
def company(
    kind: Kind, sandbox: SandboxServer, people: Actors, make_tryton: MakeTryton, open_company: Open
) -> Company:
    """The small company, synchronized once."""
    company = open_company(sandbox, make_tryton(kind))
    company.sync()
    for effect_type in EffectType:
        assert company.totals(effect_type) == company.wanted(effect_type)
        assert company.books(effect_type)
    return company


def approved(company: Company, contract: str, number: int = 0) -> str:
    return approved_entries(company.sandbox.company, contract)[number].id


def project_of(company: Company, contract: str) -> str:
    """The project of the contract's first approved entry."""
    project = approved_entries(company.sandbox.company, contract)[0].project_id
    assert project is not None
    return project


def settled(company: Company) -> None:
    """What is in the books is what the facts say, every minute is accounted for, and another sync changes nothing."""
    for effect_type in EffectType:
        assert company.totals(effect_type) == company.wanted(effect_type)
    assert set(company.reconciled()) <= {"matched", "not_invoiced", "non_billable", "held"}
    before = [company.books(effect_type) for effect_type in EffectType]
    assert set(company.sync()) <= {"hold"}
    assert [company.books(effect_type) for effect_type in EffectType] == before


def test_drafts_end_as_if_nothing_had_ever_been_corrected(
    company: Company, people: Actors, make_tryton: MakeTryton, open_company: Open
) -> None:
    """Edge cases 12 and 19: an edit, a delete and a new rate would leave traces on the customer's invoice."""
    people.edit_entry(approved(company, US), minutes=50)
    assert company.sync()["withdraw"] == 2
    people.delete_entry(approved(company, UK))
    assert company.sync()["withdraw"] == 2
    people.set_project_rate(project_of(company, DE), 17_700)
    for entry in approved_entries(company.sandbox.company, DE)[:1]:
        people.set_person_rate(project_of(company, DE), entry.user_id, 18_800)
    done = company.sync()
    assert done["withdraw"] == done["create"] > 0
    assert done["reverse"] == 0
    settled(company)
    fresh = open_company(company.sandbox, make_tryton(Kind.COMPANION))
    fresh.sync()
    for effect_type in EffectType:
        assert company.books(effect_type) == fresh.books(effect_type)


def test_invoiced_work_is_credited_with_its_own_tax_and_billed_again(company: Company, people: Actors) -> None:
    """Edge cases 13, 15 and 30: the invoices that are out stay, and the account ends at what is right."""
    company.invoice()
    before = company.books(BILLING)
    edited, deleted = approved(company, UK), approved(company, UK, 1)
    people.edit_entry(edited, minutes=50)
    people.delete_entry(deleted)
    people.set_person_rate(project_of(company, DE), approved_entries(company.sandbox.company, DE)[0].user_id, 18_800)
    done = company.sync()
    assert done["withdraw"] == 0
    assert done["reverse"] >= 5, "two entries with their costs, and the lines with the new rate"
    added = Counter(company.books(BILLING)) - Counter(before)
    assert not Counter(before) - Counter(company.books(BILLING)), "what was posted has been touched"
    credited = [line for line in added.elements() if line[-3] < 0]
    originals = Counter(before)
    for *what, minutes, amount, tax in credited:
        assert originals[*what, -minutes, -amount, -tax], "a credit that is not the opposite of what it credited"
    assert any(line[-1] < 0 for line in credited), "none of them was taxed"
    settled(company)


def test_a_credit_keeps_its_tax_when_the_tax_has_changed(company: Company, people: Actors, open_company: Open) -> None:
    """Edge case 30: a credit at the new rate would leave the old tax owed."""
    uk = company.tryton.companies["UK"]
    company.invoice()
    taxes = {line[-1] for line in company.books(BILLING) if line[0] == uk}
    assert all(tax > 0 for tax in taxes)
    profiles = company.runtime.settings.tax_profiles
    changed = tuple(replace_tax(p) if p.legal_entity == "UK" else p for p in profiles)
    company.runtime.settings = company.runtime.settings.model_copy(update={"tax_profiles": changed})
    done = company.sync()
    assert done["reverse"] == done["create"] == len(approved_entries(company.sandbox.company, UK))
    tax = sum(line[-1] for line in company.books(BILLING) if line[0] == uk)
    assert tax == 0, "what was charged is credited, and nothing is charged any more"
    settled(company)


def replace_tax(profile: object) -> object:
    return profile.model_copy(update={"erp_tax": "UK VAT 0% export"})  # type: ignore[attr-defined]


def test_a_draft_that_is_invoiced_while_it_is_withdrawn_is_reversed(company: Company, people: Actors) -> None:
    """Fault 29: finance is faster by a second; the line would be billed twice, or asked for back for ever."""
    edited = approved(company, US)
    people.edit_entry(edited, minutes=50)
    sync.sweep(company.runtime, complete=True)
    [(partition, contracts)] = sync.touched_partitions(company.runtime).items()
    plan = sync.plan_and_apply(company.runtime, partition, created_by="test", contracts=contracts)
    assert plan.actions()["withdraw", "billing_line"] == 1
    company.invoice()
    done = sync.settle(company.runtime, partition, created_by="test", contracts=contracts)
    assert done.actions["reverse", "billing_line"] == 1
    settled(company)


def test_an_approval_that_comes_before_its_contract_is_released_by_itself(
    sandbox: SandboxServer, tryton: RunningTryton, open_company: Open, people: Actors
) -> None:
    """Edge case 23: the deal is signed a week after the work was approved."""
    deal = next(c for c in sandbox.company.contracts if c.code == DE)
    people.change_deal(deal.crm_id, dealstage="contractsent")
    company = open_company(sandbox, tryton)
    company.sync()
    entries = {f"time_entry:clockify:{e.id}" for e in approved_entries(sandbox.company, DE)}
    assert company.open_items("unknown_project") == entries
    assert not [line for line in company.books(BILLING) if line[0] == tryton.companies["DE"]]
    people.change_deal(deal.crm_id, dealstage="closedwon")
    assert company.sync()["create"] == 2 * len(entries)
    assert company.open_items("unknown_project") == set()
    settled(company)


def test_cost_in_a_closed_period_is_held_until_it_is_reopened(company: Company, people: Actors) -> None:
    """Edge case 18: dated into another month without a word, or lost."""
    us = company.tryton.companies["US"]
    company.invoice()
    company.tryton.finance.close_period(us, SEPTEMBER)
    demo = approved_entries(company.sandbox.company, US)[0]
    monday = dt.datetime(2026, 9, 7, tzinfo=dt.UTC)
    start = monday.replace(hour=16)
    late = people.record_entry(demo.user_id, demo.project_id, start, 45)
    people.decide(people.submit_week(demo.user_id, monday), RequestState.APPROVED)
    before = company.books(COST)
    company.sync()
    assert company.open_items("period_closed") == {f"time_entry:clockify:{late}"}
    assert "Reopen the period" in FAULTS["period_closed"].next_step
    assert company.books(COST) == before
    assert company.totals(BILLING) == company.wanted(BILLING), "billing does not wait for it"
    company.tryton.finance.reopen_period(us, SEPTEMBER)
    company.sync()
    assert company.open_items("period_closed") == set()
    assert len(company.books(COST)) == len(before) + 1
    settled(company)
