"""Contracts with their terms and amendments, from the deals of the CRM into the store, over HTTP."""

import datetime as dt
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine

from psa_erp_assets.adapters.connectors.clockify.client import ClockifyClient, clockify_auth
from psa_erp_assets.adapters.connectors.hubspot.client import HubSpotClient, hubspot_auth
from psa_erp_assets.adapters.http import JsonApi
from psa_erp_assets.adapters.store import exceptions, master_records
from psa_erp_assets.domain.records import Contract, Project
from psa_erp_assets.domain.terms import ContractKind, plain_terms
from psa_erp_assets.domain.terms_text import terms_from_text
from psa_erp_assets.domain.values import replace
from psa_erp_assets.sandbox.actors import Actors, actors_at
from psa_erp_assets.sandbox.company_model import DemoCompany, DemoContract
from psa_erp_assets.sandbox.serve import SandboxServer, running_sandbox
from psa_erp_assets.services.master_data import Sources, refresh_contracts, refresh_projects
from psa_erp_assets.settings import load_settings
from psa_erp_assets_tests.support.facts import TENANT
from psa_erp_assets_tests.support.small_company import small_company

NOW = dt.datetime(2026, 11, 30, tzinfo=dt.UTC)
OCTOBER, NOVEMBER = dt.date(2026, 10, 1), dt.date(2026, 11, 1)
CAPPED = json.dumps({"cap": "900.00", "cap_overage": "write_off"})
FIRST, SECOND = "CTR-0022-A1", "CTR-0022-A2"


def amended_company() -> DemoCompany:
    """A contract of the small company with two amendments, the later listed first; the earlier adds a project."""
    company = small_company()
    contract = next(c for c in company.contracts if c.code == "CTR-0022")
    first = replace(
        contract, code=FIRST, crm_id="901", amends=contract.code, start=OCTOBER, kind="capped", billing_terms=CAPPED
    )
    second = replace(
        contract, code=SECOND, crm_id="900", amends=contract.code, start=NOVEMBER, kind="capped", legal_entity="US"
    )
    moved = next(p for p in company.projects if p.contract == contract.code)
    added = replace(moved, code="PRJ-0900", name="PRJ-0900 Added", psa_id="f" * 24, contract=FIRST)
    return replace(company, contracts=(*company.contracts, second, first), projects=(*company.projects, added))


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxServer]:
    with running_sandbox(amended_company()) as server:
        yield server


@pytest.fixture
def people(sandbox: SandboxServer) -> Iterator[Actors]:
    sandbox.control.reset()
    with actors_at(sandbox) as actors:
        yield actors


@pytest.fixture
def sold(sandbox: SandboxServer) -> DemoContract:
    """The contract that is amended."""
    return next(c for c in sandbox.company.contracts if c.code == "CTR-0022")


class _Books:
    """An ERP that knows no company and no project yet."""

    def companies(self) -> list[Any]:
        return []

    def projects(self) -> list[Any]:
        return []


@pytest.fixture
def sources(sandbox: SandboxServer, people: Actors) -> Iterator[Sources]:
    with (
        JsonApi(sandbox.clockify_url, auth=clockify_auth(lambda: sandbox.keys.clockify), rate=1e6, burst=1000) as psa,
        JsonApi(sandbox.hubspot_url, auth=hubspot_auth(lambda: sandbox.keys.hubspot), rate=1e6, burst=1000) as crm,
    ):
        yield Sources(
            psa=ClockifyClient(psa, sandbox.company.workspace_id), crm=HubSpotClient(crm), hr=None, erp=_Books()
        )


Read = Callable[[], Contract]


@pytest.fixture
def read(clean_store: Engine, sources: Sources, sold: DemoContract) -> Read:
    """Refreshes the contracts and gives the amended one as the store has it."""

    def refresh() -> Contract:
        refresh_contracts(clean_store, load_settings({}), sources, NOW)
        with clean_store.connect() as connection:
            stored = master_records.load_all(connection, tenant=TENANT, object_type="contract", record_type=Contract)
        assert {c.id for c in stored} >= {"CTR-0001", "CTR-0031"}
        return next(c for c in stored if c.id == sold.code)

    return refresh


def troubles(engine: Engine) -> dict[tuple[str, str], str]:
    """What the open exception items say, by code and object."""
    with engine.connect() as connection:
        return {(i["code"], i["object_id"]): i["detail"] for i in exceptions.list_items(connection, TENANT)}


def test_a_contract_has_its_amendments_in_the_order_of_their_days(
    clean_store: Engine, read: Read, sold: DemoContract
) -> None:
    """The sync would bill by what was agreed at first, for ever."""
    contract = read()
    assert [(a.id, a.effective_from) for a in contract.amendments] == [(FIRST, OCTOBER), (SECOND, NOVEMBER)]
    assert contract.as_of(dt.date(2026, 9, 30)).terms == plain_terms(ContractKind.TIME_AND_MATERIALS)
    capped = terms_from_text(CAPPED, kind=ContractKind.CAPPED, currency=sold.currency)
    assert [contract.as_of(day).terms for day in (OCTOBER, NOVEMBER)] == [capped, capped]
    assert [contract.as_of(day).legal_entity for day in (OCTOBER, NOVEMBER)] == ["UK", "US"]
    assert troubles(clean_store) == {}


def test_an_amendment_makes_no_contract(clean_store: Engine, read: Read) -> None:
    """Its work would be billed by two contracts."""
    read()
    with clean_store.connect() as connection:
        stored = master_records.load_all(connection, tenant=TENANT, object_type="contract", record_type=Contract)
    assert not {c.id for c in stored} & {FIRST, SECOND}


def test_projects_of_an_amendment_are_the_contracts(
    clean_store: Engine, sources: Sources, sandbox: SandboxServer, sold: DemoContract
) -> None:
    """Work on what the customer has ordered later would be held as of no contract."""
    refresh_projects(clean_store, load_settings({}), sources, NOW)
    with clean_store.connect() as connection:
        projects = master_records.load_all(connection, tenant=TENANT, object_type="project", record_type=Project)
    of_contract = {p.id for p in projects if p.contract_id == sold.code}
    assert of_contract == {p.code for p in sandbox.company.projects if p.contract in (sold.code, FIRST)}
    assert "PRJ-0900" in of_contract


def test_malformed_terms_of_an_amendment_leave_the_contract_with_those_from_before(
    clean_store: Engine, read: Read, people: Actors
) -> None:
    """A slip in one text would take a contract away and hold all of its work; in silence it would bill too much."""
    people.change_deal("901", billing_terms='{"cap": 900.00}')
    contract = read()
    assert contract.as_of(OCTOBER).terms == plain_terms(ContractKind.TIME_AND_MATERIALS)
    found = troubles(clean_store)
    detail = found["malformed_terms", "deal:hubspot:901"]
    assert detail.startswith("billing_terms: cap: an amount in quotes")
    assert detail.endswith("contract CTR-0022 stays as it is without amendment CTR-0022-A1")
    # The later one relied on the kind and the terms of the earlier.
    assert contract.amendments == ()
    assert "billing_terms are missing" in found["malformed_terms", "deal:hubspot:900"]
    people.change_deal("901", billing_terms=CAPPED)
    assert [a.id for a in read().amendments] == [FIRST, SECOND]
    assert troubles(clean_store) == {}


def test_malformed_terms_of_a_contract_leave_it_out(
    clean_store: Engine, sources: Sources, people: Actors, sold: DemoContract
) -> None:
    """Work on it would be billed without its cap."""
    people.change_deal(sold.crm_id, contract_kind="capped", billing_terms="{}")
    refreshed = refresh_contracts(clean_store, load_settings({}), sources, NOW)
    assert sold.code not in {c.id for c in refreshed.records}
    found = troubles(clean_store)
    assert "cap: is missing" in found["malformed_terms", f"deal:hubspot:{sold.crm_id}"]
    assert {object_id for code, object_id in found if code == "malformed_record"} == {
        "deal:hubspot:900",
        "deal:hubspot:901",
    }


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"amends_contract": "CTR-9999"}, "no signed deal that is understood"),
        ({"amends_contract": SECOND}, "no signed deal that is understood"),
        ({"contract_start": "2020-01-01"}, "before the contract"),
        ({"deal_currency_code": "EUR"}, "its currency is EUR and the contract's GBP"),
        ({"contract_code": "CTR-0001"}, "is that of a contract"),
        ({"contract_code": "CTR-0022"}, "code of its own"),
        ({"legal_entity": "FR"}, "legal entity 'FR' is not known"),
        ({"dealstage": "contractsent"}, None),
    ],
)
def test_an_amendment_that_cannot_be_meant_is_left_out_and_the_contract_stays(
    clean_store: Engine, read: Read, people: Actors, changes: dict[str, str], reason: str | None
) -> None:
    """A slip in an amendment would change a contract that it does not belong to, or take one away."""
    people.change_deal("900", contract_kind="time_and_materials")
    people.change_deal("901", **changes)
    contract = read()
    assert [a.id for a in contract.amendments] == [SECOND]
    found = troubles(clean_store)
    if reason is None:
        assert found == {}
    else:
        [((code, object_id), detail)] = found.items()
        assert (code, object_id) == ("malformed_record", "deal:hubspot:901")
        assert reason in detail


def test_two_amendments_of_one_day_are_both_left_out(clean_store: Engine, read: Read, people: Actors) -> None:
    """Which of them has the last word would depend on the order in which the CRM lists them."""
    people.change_deal("900", contract_start=OCTOBER.isoformat())
    assert read().amendments == ()
    found = troubles(clean_store)
    assert set(found) == {("malformed_record", "deal:hubspot:900"), ("malformed_record", "deal:hubspot:901")}
    assert all("2 amendments hold from 2026-10-01" in detail for detail in found.values())
