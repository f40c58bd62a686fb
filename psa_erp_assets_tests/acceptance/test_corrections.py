"""Corrections after approval, from the PSA to a real Tryton: it ends as if only the final state had been billed."""

import datetime as dt
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.closed_periods import Choice
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.faults import FAULTS
from psa_erp_assets.domain.posting import State
from psa_erp_assets.sandbox.actors import Actors, actors_at
from psa_erp_assets.sandbox.company_model import DemoTimeEntry, RequestState
from psa_erp_assets.sandbox.serve import SandboxServer, running_sandbox
from psa_erp_assets.sandbox.tryton.build import Kind
from psa_erp_assets.services import period_choices, sync
from psa_erp_assets_tests.support.small_company import approved_entries, small_company
from psa_erp_assets_tests.support.sync import Company, Open
from psa_erp_assets_tests.support.tryton import MakeTryton

pytestmark = pytest.mark.tryton

US, UK, DE = "CTR-0001", "CTR-0022", "CTR-0031"
SEPTEMBER = ServiceMonth(2026, 9)
# What depends on the ERP's means against duplicates is tried with both kinds, the rest with one.
with_one_kind = pytest.mark.parametrize("kind", [Kind.COMPANION], indirect=True, scope="module")
BILLING, COST = EffectType.BILLING_LINE, EffectType.COST_TRANSACTION


# A Tryton takes seconds to start, so the tests of a kind share one company, in the order of the file. Each begins with
# what is settled, works with entries of its own, and leaves all settled.
@pytest.fixture(scope="module", params=list(Kind))
def kind(request: pytest.FixtureRequest) -> Kind:
    kind: Kind = request.param
    return kind


@pytest.fixture(scope="module")
def sandbox(kind: Kind) -> Iterator[SandboxServer]:
    with running_sandbox(small_company(per_contract=5)) as server:
        yield server


@pytest.fixture(scope="module")
def people(sandbox: SandboxServer) -> Iterator[Actors]:
    with actors_at(sandbox) as actors:
        yield actors


@dataclass(frozen=True)
class Unsigned:
    """The company after a sync in which one contract's deal was not signed yet, and what that sync made of it."""

    company: Company
    held: set[str]
    billed: set[str]


@pytest.fixture(scope="module")
def unsigned(
    kind: Kind, sandbox: SandboxServer, people: Actors, make_tryton: MakeTryton, open_company: Open
) -> Unsigned:
    people.change_deal(deal_of(sandbox, DE), dealstage="contractsent")
    company = open_company(sandbox, make_tryton(kind))
    company.sync()
    return Unsigned(company, company.open_items("unknown_project"), {line[0] for line in company.books(BILLING)})


@pytest.fixture(scope="module")
def company(unsigned: Unsigned, people: Actors) -> Company:
    """The small company, all of its deals signed, and synchronized."""
    people.change_deal(deal_of(unsigned.company.sandbox, DE), dealstage="closedwon")
    unsigned.company.sync()
    return unsigned.company


def deal_of(sandbox: SandboxServer, contract: str) -> str:
    return next(c.crm_id for c in sandbox.company.contracts if c.code == contract)


def approved(company: Company, contract: str, number: int = 0) -> str:
    return approved_entries(company.sandbox.company, contract)[number].id


def documents_of(company: Company, entry_id: str) -> int:
    """How many documents an entry has in the ERP: its line and its cost, and a charge if the person was lent."""
    postings = company.runtime.postings.of_objects([f"time_entry:clockify:{entry_id}"])
    count = sum(posting.state is State.VERIFIED for posting in postings)
    assert count in (2, 3)
    return count


def reprice(company: Company, people: Actors, cents: int) -> None:
    """Another rate for whoever recorded the German contract's first entry."""
    first = approved_entries(company.sandbox.company, DE)[0]
    assert first.project_id is not None
    people.set_person_rate(first.project_id, first.user_id, cents)


def same_rate(entry: DemoTimeEntry, company: Company) -> bool:
    """Whether the rate that `reprice` sets is this entry's."""
    first = approved_entries(company.sandbox.company, DE)[0]
    return (entry.project_id, entry.user_id) == (first.project_id, first.user_id)


def settled(company: Company) -> None:
    """What is in the books is what the facts say, every minute is accounted for, and another sync changes nothing."""
    for effect_type in EffectType:
        assert company.totals(effect_type) == company.wanted(effect_type)
    assert set(company.reconciled()) <= {"matched", "not_invoiced", "non_billable", "held"}
    before = [company.books(effect_type) for effect_type in EffectType]
    assert set(company.sync()) <= {"hold"}
    assert [company.books(effect_type) for effect_type in EffectType] == before


@with_one_kind
def test_an_approval_that_comes_before_its_contract_is_released_by_itself(unsigned: Unsigned, company: Company) -> None:
    """Edge case 23: the deal is signed a week after the work was approved, and nobody thinks of the work."""
    late = approved_entries(company.sandbox.company, DE)
    assert unsigned.held == {f"time_entry:clockify:{e.id}" for e in late}
    assert unsigned.billed == {company.tryton.companies[code] for code in ("US", "UK")}
    assert company.open_items("unknown_project") == set()
    assert len([line for line in company.books(BILLING) if line[0] == company.tryton.companies["DE"]]) == len(late)
    settled(company)


def test_drafts_end_as_if_nothing_had_ever_been_corrected(
    kind: Kind, company: Company, people: Actors, make_tryton: MakeTryton, open_company: Open
) -> None:
    """Edge cases 12 and 19: an edit, a delete and a new rate would leave traces on the customer's invoice."""
    edited, deleted = approved(company, US), approved(company, UK)
    of_edited, of_deleted = documents_of(company, edited), documents_of(company, deleted)
    people.edit_entry(edited, minutes=50)
    done = company.sync()
    assert (done["withdraw"], done["create"]) == (of_edited, of_edited)
    people.delete_entry(deleted)
    done = company.sync()
    assert (done["withdraw"], done["create"]) == (of_deleted, 0)
    reprice(company, people, 18_800)
    done = company.sync()
    assert done["withdraw"] == done["create"] > 0
    settled(company)
    fresh = open_company(company.sandbox, make_tryton(kind))
    fresh.sync()
    for effect_type in EffectType:
        assert company.books(effect_type) == fresh.books(effect_type)


def test_a_draft_that_is_invoiced_while_it_is_withdrawn_is_reversed(company: Company, people: Actors) -> None:
    """Fault 29: finance is faster by a second; the line would be billed twice, or asked for back for ever."""
    people.edit_entry(approved(company, US, 1), minutes=50)
    sync.sweep(company.runtime, complete=True)
    [(partition, contracts)] = sync.touched_partitions(company.runtime).items()
    plan = sync.plan_and_apply(company.runtime, partition, created_by="test", contracts=contracts)
    assert plan.actions()["withdraw", "billing_line"] == 1
    company.invoice()
    done = sync.settle(company.runtime, partition, created_by="test", contracts=contracts)
    assert done.actions["reverse", "billing_line"] == 1
    settled(company)


def test_invoiced_work_is_credited_with_its_own_tax_and_billed_again(company: Company, people: Actors) -> None:
    """Edge cases 13, 15 and 30: the invoices that are out stay, and the account ends at what is right."""
    company.invoice()
    before = Counter(company.books(BILLING))
    people.edit_entry(approved(company, UK, 1), minutes=50)
    people.delete_entry(approved(company, UK, 2))
    reprice(company, people, 19_900)
    done = company.sync()
    assert done["withdraw"] == 0
    after = Counter(company.books(BILLING))
    assert not before - after, "what was posted has been touched"
    credited = [line for line in (after - before).elements() if line[-3] < 0]
    for *what, minutes, amount, tax in credited:
        assert before[(*what, -minutes, -amount, -tax)], "a credit that is not the opposite of what it credits"
    repriced = [e for e in approved_entries(company.sandbox.company, DE) if same_rate(e, company)]
    expected = {company.tryton.companies["UK"]: 2, company.tryton.companies["DE"]: len(repriced)}
    assert Counter(line[0] for line in credited) == expected
    assert any(tax < 0 for *_, tax in credited), "none of them was taxed"
    settled(company)


@with_one_kind
def test_a_credit_keeps_its_tax_when_the_tax_has_changed(company: Company) -> None:
    """Edge case 30: a credit at the new rate would leave the old tax owed."""
    uk = company.tryton.companies["UK"]
    company.invoice()
    assert sum(tax for company_id, *_, tax in company.books(BILLING) if company_id == uk) > 0
    company.charge("UK", "UK VAT 0% export")
    done = company.sync()
    assert done["reverse"] == done["create"] > 0
    assert sum(tax for company_id, *_, tax in company.books(BILLING) if company_id == uk) == 0
    settled(company)


@with_one_kind
def test_cost_in_a_closed_period_is_held_until_it_is_reopened(company: Company, people: Actors) -> None:
    """Edge case 18: dated into another month without a word, or lost."""
    us = company.tryton.companies["US"]
    company.invoice()
    company.tryton.finance.close_period(us, SEPTEMBER)
    company.sync()
    assert company.open_items("period_closed") == set(), "what is in the books is not in question"
    demo = approved_entries(company.sandbox.company, US)[0]
    monday = dt.datetime(2026, 9, 7, tzinfo=dt.UTC)
    late = people.record_entry(demo.user_id, demo.project_id, monday.replace(hour=16), 45)
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


@with_one_kind
def test_cost_of_a_closed_period_goes_where_somebody_says(company: Company, people: Actors) -> None:
    """Edge case 18: re-dated silently, nobody could tell which month the cost belongs to; and it would come twice."""
    us, october = company.tryton.companies["US"], dt.date(2026, 10, 1)
    company.invoice()
    company.tryton.finance.close_period(us, SEPTEMBER)
    company.sync()
    demo = approved_entries(company.sandbox.company, US)[0]
    monday = dt.datetime(2026, 9, 14, tzinfo=dt.UTC)
    late = people.record_entry(demo.user_id, demo.project_id, monday.replace(hour=16), 45)
    people.decide(people.submit_week(demo.user_id, monday), RequestState.APPROVED)
    company.sync()
    before, runtime = Counter(company.books(COST)), company.runtime
    assert company.open_items("period_closed") == {f"time_entry:clockify:{late}"}
    period_choices.choose(
        runtime.engine,
        runtime.scope,
        f"time_entry:clockify:{late}",
        effect_type=COST,
        choice=Choice.POST_TO_OPEN,
        posting_date=october,
        reason="approved late",
        chosen_by="Ada",
        now=runtime.clock(),
    )
    company.sync()
    assert company.open_items("period_closed") == set()
    [(_, booked_on, *_, minutes, _, _)] = (Counter(company.books(COST)) - before).elements()
    assert (booked_on, minutes) == (str(october), 45)
    [cost] = [p for p in runtime.postings.of_objects([f"time_entry:clockify:{late}"]) if p.effect_type is COST]
    [entry] = company.tryton.rpc.search("account.move", [["id", "=", int(cost.erp_id or 0)]], ["description"])
    assert ServiceMonth.of(cost.service_date) == SEPTEMBER
    assert f"for {cost.service_date}" in entry["description"], "the day of the work is to be read in the books"
    company.tryton.finance.post_moves(us, [cost.erp_id or ""])
    settled(company)
    # Reopening the month afterwards books it no second time.
    company.tryton.finance.reopen_period(us, SEPTEMBER)
    settled(company)
