"""Kantata's milestones as facts."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psa_erp_assets.adapters.connectors.kantata.canonical import STATES, milestone_facts
from psa_erp_assets.domain.malformed import MalformedRecordError
from psa_erp_assets.domain.money import Money, exponent
from psa_erp_assets.domain.records import ApprovalState

ABSENT = object()


def record(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The values with the changes; what is changed to ABSENT is left out."""
    return {name: value for name, value in (values | changes).items() if value is not ABSENT}


def story(**changes: Any) -> dict[str, Any]:
    values = {
        "id": "501",
        "story_type": "milestone",
        "title": " Design accepted ",
        "workspace_id": "41",
        "state": "completed",
        "due_date": "2026-09-30",
        "archived": False,
        "deleted_at": None,
        "fixed_fee": True,
        "billable": True,
        "budget_estimate_in_cents": 1_250_050,
    }
    return record(values, changes)


def projects(**changes: Any) -> dict[str, dict[str, Any]]:
    values = {
        "id": "41",
        "title": "CTR-0041 Data platform",
        "archived": False,
        "currency": "USD",
        "currency_base_unit": 100,
    }
    return {"41": record(values, changes)}


def test_a_completed_milestone_is_a_fee_that_is_due() -> None:
    """The ordinary case: contract and component of the project's title, the fee in its currency."""
    facts = milestone_facts(story(), projects())
    assert (facts.id, facts.state) == ("milestone:kantata:501", ApprovalState.APPROVED)
    assert (facts.contract_code, facts.component) == ("CTR-0041", "main")
    assert (facts.service_date, facts.label) == (dt.date(2026, 9, 30), "Design accepted")
    assert facts.amount == Money(Decimal("12500.50"), "USD")


@pytest.mark.parametrize(
    ("title", "contract", "component"),
    [
        ("CTR-0041 Data platform", "CTR-0041", "main"),
        ("CTR-0041/design Data platform", "CTR-0041", "design"),
        ("CTR-0041: Data platform", "CTR-0041", "main"),
        ("CTR-0041 – Data platform", "CTR-0041", "main"),
        ("  CTR-0041/phase-2", "CTR-0041", "phase-2"),
    ],
)
def test_the_title_names_contract_and_component(title: str, contract: str, component: str) -> None:
    """A fee on another component would be recognized by another rule, or be held as unknown."""
    facts = milestone_facts(story(), projects(title=title))
    assert (facts.contract_code, facts.component) == (contract, component)


@pytest.mark.parametrize(
    "title", ["Data platform", "ctr-0041 Data platform", "CTR-0041/Design X", "CTR-0041B X", "CTR-"]
)
def test_a_title_without_a_contract_code_is_malformed(title: str) -> None:
    """A guessed contract would be invoiced for somebody else's milestone."""
    with pytest.raises(MalformedRecordError, match="does not begin with a contract code"):
        milestone_facts(story(), projects(title=title))


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("not started", ApprovalState.DRAFT),
        ("started", ApprovalState.DRAFT),
        ("needs info", ApprovalState.SUBMITTED),
        ("fixed", ApprovalState.SUBMITTED),
        ("resolved", ApprovalState.SUBMITTED),
        ("won't fix", ApprovalState.REJECTED),
        ("completed", ApprovalState.APPROVED),
    ],
)
def test_states(state: str, expected: ApprovalState) -> None:
    """A state on the wrong side bills what was not accepted, or takes back what was."""
    assert milestone_facts(story(state=state), projects()).state is expected


def test_only_completed_is_accepted() -> None:
    """Done but not accepted is no reason for an invoice."""
    assert [name for name, state in STATES.items() if state is ApprovalState.APPROVED] == ["completed"]


@pytest.mark.parametrize("state", ["Completed", "accepted", "", None, 5])
def test_an_unknown_state_is_malformed(state: Any) -> None:
    """Taken for a draft, it would take billed milestones back; taken for accepted, it would bill."""
    with pytest.raises(MalformedRecordError, match="state"):
        milestone_facts(story(state=state), projects())


@pytest.mark.parametrize(
    "change",
    [{"archived": True}, {"deleted_at": "2026-10-01T09:00:00Z"}, {"fixed_fee": False}, {"billable": False}],
    ids=str,
)
def test_a_withdrawn_milestone_is_deleted_and_keeps_its_content(change: dict[str, Any]) -> None:
    """What was billed for it would stay."""
    facts = milestone_facts(story(**change), projects())
    assert (facts.state, facts.contract_code) == (ApprovalState.DELETED, "CTR-0041")
    assert facts.amount == Money(Decimal("12500.50"), "USD")


@pytest.mark.parametrize(
    ("change", "workspaces"),
    [
        ({"budget_estimate_in_cents": None}, projects()),
        ({"due_date": None}, projects()),
        ({"title": ""}, projects()),
        ({"state": "gone"}, projects()),
        ({}, projects(title="Internal plan")),
        ({}, {}),
    ],
)
def test_a_withdrawn_milestone_needs_no_content(change: dict[str, Any], workspaces: dict[str, Any]) -> None:
    """A deletion that is held as malformed would leave the invoice line in place.

    And a milestone that only marks progress, in a project without a contract, is no trouble for anybody.
    """
    facts = milestone_facts(story(fixed_fee=False, **change), workspaces)
    assert (facts.id, facts.state) == ("milestone:kantata:501", ApprovalState.DELETED)


@pytest.mark.parametrize("change", [{"archived": True}, {"deleted_at": "2026-10-01T09:00:00Z"}], ids=str)
def test_a_deletion_is_one_without_any_field_about_money(change: dict[str, Any]) -> None:
    """What the token may not see must not keep a deleted milestone billed."""
    facts = milestone_facts(story(fixed_fee=ABSENT, budget_estimate_in_cents=ABSENT, **change), projects())
    assert facts.state is ApprovalState.DELETED


def test_a_milestone_of_an_archived_project_stays() -> None:
    """Closing a project when its work is done would credit everything that it billed."""
    assert milestone_facts(story(), projects(archived=True)).state is ApprovalState.APPROVED


@pytest.mark.parametrize("hidden", [ABSENT, None])
def test_a_hidden_fee_is_no_missing_fee(hidden: Any) -> None:
    """A token that loses the right to see budgets would take all fees for withdrawn, and credit them."""
    with pytest.raises(MalformedRecordError, match="fixed_fee"):
        milestone_facts(story(fixed_fee=hidden), projects())


@pytest.mark.parametrize(
    ("cents", "currency", "subunits", "amount"),
    [
        (1, "USD", 100, "0.01"),
        (10_000_001, "EUR", 100, "100000.01"),
        (1_200_000, "JPY", 1, "1200000"),
        (1_200_000, "JPY", 100, "12000"),
        (1_234_567, "KWD", 1000, "1234.567"),
        (7, "MGA", 5, "1.40"),
        (0, "USD", 100, "0"),
    ],
)
def test_subunits_become_money_exactly(cents: int, currency: str, subunits: int, amount: str) -> None:
    """A fee in yen read as cents would be a hundredth of what was agreed."""
    facts = milestone_facts(
        story(budget_estimate_in_cents=cents), projects(currency=currency, currency_base_unit=subunits)
    )
    assert facts.amount == Money(Decimal(amount), currency)


@given(st.integers(0, 2**31 - 1), st.sampled_from(["USD", "EUR", "JPY", "BHD", "CLF"]))
def test_no_cent_is_lost(cents: int, currency: str) -> None:
    """Whatever the fee, its minor units are the vendor's."""
    facts = milestone_facts(
        story(budget_estimate_in_cents=cents), projects(currency=currency, currency_base_unit=10 ** exponent(currency))
    )
    assert facts.amount is not None
    assert facts.amount.minor_units() == cents


@pytest.mark.parametrize(
    ("changes", "project", "reason"),
    [
        ({"id": ABSENT}, {}, "id"),
        ({"story_type": "task"}, {}, "story_type"),
        ({"title": None}, {}, "title"),
        ({"workspace_id": ABSENT}, {}, "workspace_id"),
        ({"workspace_id": "99"}, {}, "workspace_id"),
        ({"due_date": None}, {}, "due_date"),
        ({"due_date": "30.09.2026"}, {}, "due_date"),
        ({"archived": ABSENT}, {}, "archived"),
        ({"archived": "no"}, {}, "archived"),
        ({"fixed_fee": "true"}, {}, "fixed_fee"),
        ({"budget_estimate_in_cents": None}, {}, "budget_estimate_in_cents"),
        ({"budget_estimate_in_cents": -1}, {}, "budget_estimate_in_cents"),
        ({"budget_estimate_in_cents": "12500.50"}, {}, "budget_estimate_in_cents"),
        ({"budget_estimate_in_cents": True}, {}, "budget_estimate_in_cents"),
        ({}, {"title": None}, "title"),
        ({}, {"currency": ABSENT}, "currency"),
        ({}, {"currency": "dollar"}, "currency"),
        ({}, {"currency": "usd"}, "currency"),
        ({}, {"currency_base_unit": ABSENT}, "currency_base_unit"),
        ({}, {"currency_base_unit": 0}, "currency_base_unit"),
        ({"budget_estimate_in_cents": 150}, {"currency": "JPY"}, "fraction of a minor unit"),
        ({"budget_estimate_in_cents": 1}, {"currency_base_unit": 3}, "fraction of a minor unit"),
    ],
)
def test_a_milestone_that_cannot_be_understood_is_malformed(
    changes: dict[str, Any], project: dict[str, Any], reason: str
) -> None:
    """A guess would be invoiced. The reason names the field, for whoever puts it right."""
    with pytest.raises(MalformedRecordError, match=reason):
        milestone_facts(story(**changes), projects(**project))
