"""What the CRM sandbox answers, against HubSpot's own OpenAPI documents."""

import json
import uuid
from dataclasses import replace

import httpx
import pytest

from psa_erp_assets.sandbox.hubspot import initial_tables
from psa_erp_assets_tests.support.openapi import load
from psa_erp_assets_tests.support.webhook_receiver import webhook_receiver

COMPANIES, DEALS = "/crm/v3/objects/companies", "/crm/v3/objects/deals"


@pytest.fixture
def client(sandbox):
    headers = {"Authorization": f"Bearer {sandbox.keys.hubspot}"}
    with httpx.Client(base_url=sandbox.hubspot_url, headers=headers, trust_env=False) as client:
        yield client


@pytest.fixture(autouse=True)
def fresh(sandbox):
    yield
    sandbox.control.reset()


def _all(client, path, **query):
    rows, after = [], {}
    while True:
        body = client.get(path, params={**query, **after}).raise_for_status().json()
        rows += body["results"]
        if "paging" not in body:
            return rows
        after = {"after": body["paging"]["next"]["after"]}


@pytest.mark.parametrize(
    ("document", "documented", "url"),
    [
        ("hubspot_companies.json", COMPANIES, f"{COMPANIES}?limit=100&associations=deals"),
        ("hubspot_companies.json", COMPANIES, f"{COMPANIES}?limit=7&properties=customer_code,psa_client_id,country"),
        ("hubspot_deals.json", "/crm/v3/objects/0-3", f"{DEALS}?limit=100&associations=companies"),
        ("hubspot_deals.json", "/crm/v3/objects/0-3", "/crm/v3/objects/0-3?properties=contract_code,contract_end"),
    ],
)
def test_lists_fit_the_document(client, document, documented, url):
    """A connector that is built on the document must read the sandbox as it would read the vendor."""
    answer = client.get(url)
    load(document).check_answer("GET", documented, answer.status_code, answer.json())
    assert answer.json()["results"]


def test_one_object_fits_the_document(client, company):
    """Reading one deal again is how a change is confirmed."""
    answer = client.get(f"{DEALS}/{company.contracts[0].crm_id}?associations=companies")
    load("hubspot_deals.json").check_answer("GET", "/crm/v3/objects/0-3/{dealId}", 200, answer.json())


def test_paging_finds_every_object_once(client, company):
    """A cursor that skips would lose a contract, and with it all of its time."""
    assert [r["id"] for r in _all(client, COMPANIES, limit="4")] == [c.crm_id for c in company.customers]
    assert [r["id"] for r in _all(client, DEALS, limit="20")] == [c.crm_id for c in company.contracts]


def test_master_data_link_by_exact_keys(client, company):
    """Customer, contract and project are joined by these properties and by nothing else."""
    names = "contract_code,deal_currency_code,psa_project_ids,dealstage"
    deals = {
        r["properties"]["contract_code"]: r for r in _all(client, DEALS, properties=names, associations="companies")
    }
    customers = {
        r["id"]: r["properties"] for r in _all(client, COMPANIES, properties="customer_code,psa_client_id,country")
    }
    for contract in company.contracts:
        values = deals[contract.code]["properties"]
        assert values["deal_currency_code"] == contract.currency
        assert (values["dealstage"] == "closedwon") is contract.signed
        projects = {p.psa_id for p in company.projects if p.contract == contract.code}
        assert set(values["psa_project_ids"].split(";")) - {""} == projects
        linked = deals[contract.code]["associations"]["companies"]["results"]
        assert {customers[x["id"]]["customer_code"] for x in linked} == {contract.customer}
        assert [x["type"] for x in linked] == ["deal_to_company", "deal_to_company_unlabeled"]


def test_change_of_a_deal(client, company, people):
    """Sales puts a project on a deal; whatever was held for it can go on."""
    deal = company.contracts[0]
    unknown = next(p for p in company.projects if p.contract is None)
    body = people.change_deal(deal.crm_id, psa_project_ids=unknown.psa_id)
    load("hubspot_deals.json").check_answer("PATCH", "/crm/v3/objects/0-3/{dealId}", 200, body)
    again = client.get(f"{DEALS}/{deal.crm_id}?properties=psa_project_ids").json()
    assert again["properties"]["psa_project_ids"] == unknown.psa_id
    assert again["updatedAt"] > again["createdAt"]


def test_terms_and_amendments_are_properties_of_deals(client, company, people):
    """Contract managers write them there and nowhere else; a change must be refused by no spelling of the name."""
    url = f"{DEALS}/{company.contracts[0].crm_id}?properties=billing_terms,amends_contract"
    changed = {"billing_terms": '{"discount": "0.1"}', "amends_contract": company.contracts[1].code}
    people.change_deal(company.contracts[0].crm_id, **changed)
    body = client.get(url).json()
    load("hubspot_deals.json").check_answer("GET", "/crm/v3/objects/0-3/{dealId}", 200, body)
    assert changed.items() <= body["properties"].items()
    people.change_deal(company.contracts[0].crm_id, billing_terms="", amends_contract="")
    assert {client.get(url).json()["properties"][name] for name in changed} == {None}


def test_a_company_may_begin_with_terms_and_amendments(company):
    """The demo's own agreements would not be in its CRM."""
    first = company.contracts[0]
    amended = replace(first, code=f"{first.code}-A1", crm_id="7", amends=first.code, billing_terms="{}")
    deals = initial_tables(replace(company, contracts=(first, amended)))["deals"]
    said = [(d["properties"]["amends_contract"], d["properties"]["billing_terms"]) for d in deals.values()]
    assert said == [(first.amends, first.billing_terms), (first.code, "{}")]


@pytest.mark.parametrize(
    ("url", "headers", "status"),
    [
        (f"{DEALS}/1", {}, 404),
        ("/crm/v3/objects/unicorns", {}, 404),
        (f"{DEALS}?limit=101", {}, 400),
        (f"{DEALS}?after=x", {}, 400),
        (DEALS, {"Authorization": "Bearer wrong"}, 401),
        (DEALS, {"Authorization": "Basic wrong"}, 401),
    ],
)
def test_errors_fit_the_document(client, url, headers, status):
    """The category decides between a retry and an alarm."""
    answer = client.get(url, headers=headers)
    assert answer.status_code == status
    load("hubspot_deals.json").check("Error", answer.json())
    uuid.UUID(answer.json()["correlationId"])


def test_a_deal_is_made_and_archived_with_an_event_each(client, company, sandbox, people):
    """What was deleted is in no list and 404 by its id, unless archived ones are asked for."""
    customer = company.customers[0].crm_id
    with webhook_receiver() as receiver:
        people.subscribe_to_crm(receiver.url, "secret")
        made = people.sign_deal(customer, dealname="New", contract_code="CTR-0777")
        shown = client.get(f"{DEALS}/{made}?properties=contract_code&associations=companies").json()
        load("hubspot_deals.json").check_answer("GET", "/crm/v3/objects/0-3/{dealId}", 200, shown)
        assert shown["associations"]["companies"]["results"][0]["id"] == customer
        people.delete_deal(made)
        people.delete_deal(made)
        arrived = [json.loads(body) for _, body in receiver.wait_for(2)]
    assert {(e["subscriptionType"], e["objectId"]) for [e] in arrived} == {
        ("deal.creation", int(made)),
        ("deal.deletion", int(made)),
    }
    assert client.get(f"{DEALS}/{made}").status_code == 404
    archived = client.get(f"{DEALS}/{made}?archived=true").json()
    load("hubspot_deals.json").check_answer("GET", "/crm/v3/objects/0-3/{dealId}", 200, archived)
    assert archived["archived"] is True
    assert made not in {d["id"] for d in client.get(f"{DEALS}?limit=100").json()["results"]}
    assert [d["id"] for d in client.get(f"{DEALS}?archived=true").json()["results"]] == [made]
    body = {"properties": {"dealname": "x"}, "associations": [{"to": {"id": "1"}}]}
    assert client.post(DEALS, json=body).status_code == 400
