"""HubSpot's companies and deals as facts."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from psa_erp_assets.adapters.connectors.hubspot.canonical import company_facts, deal_facts, is_signed
from psa_erp_assets.adapters.connectors.hubspot.client import COMPANY_PROPERTIES, DEAL_PROPERTIES
from psa_erp_assets.domain.malformed import MalformedRecordError
from psa_erp_assets.domain.money import Money
from psa_erp_assets.domain.terms import ContractKind, plain_terms
from psa_erp_assets.domain.terms_text import MalformedTermsError


def company(**changes: Any) -> dict[str, Any]:
    values = {"customer_code": "CUS-0001", "name": " Acme ", "country": "GB", "psa_client_id": "c1", **changes}
    return {"id": "101", "properties": values}


def deal(associations: Any = ..., **changes: Any) -> dict[str, Any]:
    values = {
        "contract_code": "CTR-0001",
        "contract_kind": "time_and_materials",
        "contract_start": "2026-01-01",
        "contract_end": "2026-12-31",
        "deal_currency_code": "GBP",
        "dealname": "Acme delivery",
        "dealstage": "closedwon",
        "legal_entity": "UK",
        "psa_project_ids": "p1; p2;;p1",
        **changes,
    }
    if associations is ...:
        associations = companies(("101", "deal_to_company"), ("101", "deal_to_company_unlabeled"))
    return {"id": "201", "properties": values, "associations": associations}


def companies(*links: tuple[str, str]) -> dict[str, Any]:
    return {"companies": {"results": [{"id": key, "type": label} for key, label in links]}}


def test_a_company_becomes_a_customer() -> None:
    """The ordinary case."""
    facts = company_facts(company())
    assert (facts.crm_id, facts.customer_code, facts.name) == ("101", "CUS-0001", "Acme")
    assert (facts.country, facts.psa_client_id) == ("GB", "c1")


@pytest.mark.parametrize(
    "changes", [{"customer_code": None}, {"name": ""}, {"country": "United Kingdom"}, {"country": "gb"}]
)
def test_a_company_that_cannot_be_a_customer_is_malformed(changes: dict[str, Any]) -> None:
    """A guessed country would choose a wrong tax."""
    with pytest.raises(MalformedRecordError, match=next(iter(changes))):
        company_facts(company(**changes))


def test_a_deal_becomes_a_contract() -> None:
    """The ordinary case; a company that is listed under two labels is one company."""
    facts = deal_facts(deal())
    assert (facts.contract_code, facts.kind, facts.currency) == ("CTR-0001", ContractKind.TIME_AND_MATERIALS, "GBP")
    assert (facts.legal_entity, facts.signed, facts.crm_company_id) == ("UK", True, "101")
    assert (facts.valid_from, facts.valid_to) == (dt.date(2026, 1, 1), dt.date(2026, 12, 31))
    assert facts.psa_project_ids == ("p1", "p2")


def test_an_open_ended_deal_has_no_last_day() -> None:
    """Absent is open, not malformed."""
    assert deal_facts(deal(contract_end=None)).valid_to is None


@pytest.mark.parametrize(("stage", "signed"), [("closedwon", True), ("contractsent", False), (None, False)])
def test_only_a_won_deal_is_signed(stage: str | None, signed: bool) -> None:
    """Work on a contract that nobody has signed is not billed."""
    assert is_signed(deal(dealstage=stage)) is signed
    assert deal_facts(deal(dealstage=stage)).signed is signed


def test_of_several_companies_the_primary_one_is_the_customer() -> None:
    """A parent company or a partner may be linked too; the invoice goes to the primary one."""
    links = companies(
        ("101", "deal_to_company_unlabeled"), ("102", "deal_to_company"), ("102", "deal_to_company_unlabeled")
    )
    assert deal_facts(deal(links)).crm_company_id == "102"


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (deal(None), "0 companies"),
        (deal(companies()), "0 companies"),
        (deal(companies(("101", "deal_to_company_unlabeled"), ("102", "deal_to_company_unlabeled"))), "2 companies"),
        (deal(contract_code=None), "contract_code"),
        (deal(contract_kind="subscription"), "subscription"),
        (deal(deal_currency_code="Pound"), "deal_currency_code"),
        (deal(contract_start="01/09/2026"), "contract_start"),
        (deal(contract_end="2025-12-31"), "before contract_start"),
        (deal(legal_entity=" "), "legal_entity"),
        (deal(billing_terms=["cap"]), "billing_terms"),
        (deal(amends_contract="CTR-0001"), "code of its own"),
        ({"id": "201"}, "properties"),
    ],
)
def test_a_deal_that_cannot_be_understood_is_malformed(broken: dict[str, Any], reason: str) -> None:
    """A guessed contract would price the work of all its projects."""
    with pytest.raises(MalformedRecordError, match=reason):
        deal_facts(broken)


CAP = '{"cap": "900.00", "cap_overage": "write_off"}'


def test_a_deal_has_the_terms_that_it_states() -> None:
    """Work would be billed beyond the cap, in the currency of somebody else."""
    facts = deal_facts(deal(contract_kind="capped", billing_terms=CAP))
    assert facts.amends is None
    assert facts.terms is not None
    [component] = facts.terms.components
    assert (component.kind, component.cap) == (ContractKind.CAPPED, Money(Decimal(900), "GBP"))


@pytest.mark.parametrize("stated", [{}, {"billing_terms": None}, {"billing_terms": " "}])
def test_a_contract_that_states_no_terms_has_the_plain_ones(stated: dict[str, Any]) -> None:
    """Contracts without terms of their own are the ordinary case."""
    assert deal_facts(deal(**stated)).terms == plain_terms(ContractKind.TIME_AND_MATERIALS)


def test_a_deal_that_amends_a_contract_says_what_changes_from_when() -> None:
    """An amendment would be taken for a contract, and its work be billed twice or never."""
    changes = {"contract_code": "CTR-0001-A1", "amends_contract": " CTR-0001 ", "contract_start": "2026-10-01"}
    facts = deal_facts(deal(**changes, contract_kind="capped", billing_terms=CAP))
    assert (facts.contract_code, facts.amends, facts.valid_from) == ("CTR-0001-A1", "CTR-0001", dt.date(2026, 10, 1))
    assert (facts.terms is not None, facts.kind, facts.valid_to) == (True, ContractKind.CAPPED, dt.date(2026, 12, 31))
    assert deal_facts(deal(**changes)).terms is None


@pytest.mark.parametrize(
    ("changes", "so"),
    [
        ({}, "contract CTR-0001 is left out"),
        (
            {"contract_code": "CTR-0001-A1", "amends_contract": "CTR-0001"},
            "contract CTR-0001 stays as it is without amendment CTR-0001-A1",
        ),
    ],
)
def test_malformed_terms_say_where_and_what_becomes_of_the_contract(changes: dict[str, Any], so: str) -> None:
    """Finance would not know that work goes on under the terms from before."""
    with pytest.raises(MalformedTermsError) as refused:
        deal_facts(deal(**changes, contract_kind="capped", billing_terms='{"cap": 900.5}'))
    assert refused.value.code == "malformed_terms"
    assert refused.value.reason.startswith("billing_terms: cap: an amount in quotes")
    assert refused.value.reason.endswith(so)


def test_every_property_that_is_understood_is_asked_for() -> None:
    """HubSpot leaves out without a word what nobody asks for: terms would silently be the plain ones."""
    asked = {*DEAL_PROPERTIES, *COMPANY_PROPERTIES}
    assert {*deal()["properties"], *company()["properties"], "billing_terms", "amends_contract"} <= asked
