"""What the second PSA's sandbox answers, against what Kantata's documentation says.

Documentation: https://developer.kantata.com, "Response Format", "Pagination", "Request by ID", "Errors", schema Story.
"""

import base64
import datetime as dt
import json
import time
from dataclasses import replace
from decimal import Decimal

import httpx
import pytest

from psa_erp_assets.domain.signatures import Delivery, Scheme, Signature
from psa_erp_assets.sandbox.company import build_company
from psa_erp_assets.sandbox.company_model import DemoMilestone
from psa_erp_assets_tests.support.webhook_receiver import webhook_receiver

SHOW_ALL = {"show_archived": "true", "show_deleted": "true", "show_from_archived_workspaces": "true"}

# Schema Story and the attributes of developer.mavenlink.com/stories/ and /workspaces/ that the connector reads.
STORY_TYPES = {
    "id": str, "title": str, "story_type": str, "state": str, "status": str, "archived": bool, "fixed_fee": bool,
    "billable": bool, "percentage_complete": int, "created_at": str, "updated_at": str,
}  # fmt: skip
STORY_OPTIONAL = {"due_date": str, "start_date": str, "deleted_at": str, "budget_estimate_in_cents": int}
WORKSPACE_TYPES = {
    "id": str, "title": str, "archived": bool, "currency": str, "currency_base_unit": int, "price_in_cents": int,
    "created_at": str, "updated_at": str,
}  # fmt: skip


def milestone(number, *, contract="CTR-0001", component="main", currency="USD", amount="1000.50", state="started"):
    return DemoMilestone(
        contract=contract,
        component=component,
        title=f"Milestone {number}",
        due=dt.date(2026, 9, number),
        amount=Decimal(amount),
        currency=currency,
        psa_id=str(500 + number),
        state=state,
    )


MILESTONES = (
    milestone(1, state="completed"),
    milestone(2),
    milestone(3, component="design"),
    milestone(4, contract="CTR-0002", currency="JPY", amount="250000"),
)


@pytest.fixture(scope="module")
def company():
    return replace(build_company(), milestones=MILESTONES)


@pytest.fixture
def client(sandbox):
    headers = {"Authorization": f"Bearer {sandbox.keys.kantata}"}
    with httpx.Client(base_url=sandbox.kantata_url, headers=headers, trust_env=False) as client:
        yield client


@pytest.fixture(autouse=True)
def fresh(sandbox):
    yield
    sandbox.control.reset()


def stories(client, **query):
    """The stories of a list, in the order of `results`."""
    body = client.get("/stories", params=query).raise_for_status().json()
    return [body[reference["key"]][reference["id"]] for reference in body["results"]]


def ids(rows):
    return [row["id"] for row in rows]


def test_a_list_has_the_documented_form(client):
    """A connector that is built on the documentation must read the sandbox as it would read the vendor."""
    body = client.get("/stories", params={"include": "workspace"}).raise_for_status().json()
    assert body["count"] == len(body["results"]) == len(MILESTONES) + 3
    assert body["stories"].keys() == {reference["id"] for reference in body["results"]}
    for row in body["stories"].values():
        assert all(isinstance(row[name], kind) for name, kind in STORY_TYPES.items())
        assert all(row[name] is None or isinstance(row[name], kind) for name, kind in STORY_OPTIONAL.items())
        assert dt.datetime.fromisoformat(row["updated_at"]).tzinfo is not None
    assert body["workspaces"].keys() == {row["workspace_id"] for row in body["stories"].values()}


def test_projects_carry_contract_component_and_currency(client):
    """These are the only things by which a milestone finds its contract."""
    body = client.get("/workspaces", params={"order": "created_at:asc"}).raise_for_status().json()
    rows = [body["workspaces"][reference["id"]] for reference in body["results"]]
    assert all(isinstance(row[name], kind) for row in rows for name, kind in WORKSPACE_TYPES.items())
    assert [(row["title"].split()[0], row["currency"], row["currency_base_unit"]) for row in rows] == [
        ("CTR-0001", "USD", 100),
        ("CTR-0001/design", "USD", 100),
        ("CTR-0002", "JPY", 1),
    ]
    assert [row["price_in_cents"] for row in rows] == [200_100, 100_050, 250_000]


def test_the_project_of_a_story_comes_only_where_it_is_asked_for(client):
    """A connector that forgets to ask would find out only at the real vendor."""
    assert all("workspace_id" not in row for row in stories(client))
    assert all("workspace_id" in row for row in stories(client, include="workspace"))


def test_fees_are_in_subunits(client):
    """Cents of a dollar, whole yen."""
    fees = {row["id"]: row["budget_estimate_in_cents"] for row in stories(client, story_type="milestone")}
    assert fees == {"501": 100_050, "502": 100_050, "503": 100_050, "504": 250_000}


def test_filter_order_and_pages(client):
    """Each page goes on where the one before ended, and the count is that of the whole query."""
    query = {"story_type": "milestone", "order": "created_at:asc", "per_page": "3"}
    assert ids(stories(client, **query)) == ["501", "502", "503"]
    assert ids(stories(client, **query, page="2")) == ["504"]
    assert stories(client, **query, page="3") == []
    assert ids(stories(client, **query | {"order": "created_at:desc"})) == ["504", "503", "502"]
    assert client.get("/stories", params=query).json()["count"] == 4
    assert len(stories(client, per_page="2")) == 2


def test_only_names_ids_and_a_miss_is_no_error(client):
    """As documented for "Request by ID"; the restful route is the one that answers 404."""
    assert ids(stories(client, only="504,502,77", order="created_at:asc")) == ["502", "504"]
    assert client.get("/stories/77").status_code == 404


def test_an_archived_story_is_404_and_still_there(client, people):
    """The false deletion: the record exists and is hidden by the default filters of the route."""
    people.archive_milestone("502")
    assert client.get("/stories/502").status_code == 404
    assert "502" not in ids(stories(client))
    assert client.get("/stories/502", params={"show_archived": "true"}).json()["stories"]["502"]["archived"]
    assert "502" in ids(stories(client, show_archived="true"))


def test_a_story_of_an_archived_project_is_hidden_by_default(client, people):
    """Closing a project hides its milestones, which stay what they are."""
    workspace = stories(client, only="503", include="workspace")[0]["workspace_id"]
    people.archive_milestone_project(workspace)
    assert "503" not in ids(stories(client, show_archived="true"))
    assert "503" in ids(stories(client, show_from_archived_workspaces="true"))
    assert client.get("/workspaces").json()["count"] == 2
    assert client.get("/workspaces", params={"include_archived": "true"}).json()["count"] == 3


def test_a_deleted_story_keeps_its_content(client, people):
    """Its last content is what says which contract it belonged to."""
    people.delete_milestone("501")
    assert "501" not in ids(stories(client))
    gone = stories(client, only="501", **SHOW_ALL)[0]
    assert (gone["deleted_at"] is not None, gone["budget_estimate_in_cents"]) == (True, 100_050)
    assert client.put("/stories/501", json={"story": {"state": "started"}}).status_code == 404
    assert client.delete("/stories/501").status_code == 404


def test_a_milestone_is_completed_reopened_and_repriced(client, people):
    """What project managers do, through the vendor's own API."""
    before = stories(client, only="502")[0]
    done = people.complete_milestone("502", dt.date(2026, 10, 7))
    assert (done["state"], done["status"], done["percentage_complete"]) == ("completed", "completed", 100)
    assert (done["due_date"], done["updated_at"] > before["updated_at"]) == ("2026-10-07", True)
    assert people.reopen_milestone("502")["percentage_complete"] == 0
    assert people.change_milestone_amount("502", 99)["budget_estimate_in_cents"] == 99
    after = stories(client, only="502")[0]
    assert (after["state"], after["budget_estimate_in_cents"]) == ("started", 99)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"state": "accepted"}, "state"),
        ({"due_date": "7.10.2026"}, "due_date"),
        ({"budget_estimate_in_cents": -1}, "budget_estimate_in_cents"),
        ({"archived": "yes"}, "archived"),
        ({"title": ""}, "title"),
        ({"id": "7"}, "id"),
    ],
)
def test_a_refused_value_is_named(client, changes, field):
    """The form of the schema Errors, with the field of a failed validation; nothing is changed."""
    answer = client.put("/stories/502", json={"story": {"title": "New", **changes}})
    assert answer.status_code == 422
    assert [(e["type"], e["field"]) for e in answer.json()["errors"]] == [("validation", field)]
    assert stories(client, only="502")[0]["title"] == "Milestone 2"


@pytest.mark.parametrize(
    ("asked", "headers", "status", "kind"),
    [
        ("GET /stories", {"Authorization": "Bearer wrong"}, 401, "oauth"),
        ("GET /workspaces", {"Authorization": "Basic wrong"}, 401, "oauth"),
        ("PUT /stories/501", {"Authorization": ""}, 401, "oauth"),
        ("GET /unicorns", {}, 404, "system"),
        ("PUT /workspaces/1", {}, 404, "system"),
        ("GET /stories?per_page=201", {}, 400, "system"),
        ("GET /stories?order=color:asc", {}, 400, "system"),
        ("GET /stories?include=unicorns", {}, 400, "system"),
        ("PUT /stories/501", {}, 400, "system"),
    ],
)
def test_errors_have_the_documented_form(client, asked, headers, status, kind):
    """The status decides between a retry and an alarm."""
    answer = client.request(*asked.split(), headers=headers)
    assert (answer.status_code, [e["type"] for e in answer.json()["errors"]]) == (status, [kind])
    assert all(isinstance(e["message"], str) for e in answer.json()["errors"])


def test_throttling_names_no_wait(client, sandbox):
    """The documentation promises no Retry-After, so none is there by default."""
    sandbox.control.fault("kantata", "status", status=429, times=1)
    answer = client.get("/stories")
    assert (answer.status_code, answer.headers.get("retry-after")) == (429, None)
    assert client.get("/stories").status_code == 200


def test_every_change_is_a_subscribed_event(client, people):
    """Tag "Events": what was recorded is listed like any other record, and filtered by type and time."""
    people.complete_milestone("502", dt.date(2026, 10, 7))
    people.delete_milestone("501")
    body = client.get("/subscribed_events", params={"order": "created_at:asc"}).json()
    events = [body["subscribed_events"][reference["id"]] for reference in body["results"]]
    assert [(e["event_type"], e["subject_type"], e["subject_id"]) for e in events] == [
        ("story:updated", "Story", 502),
        ("story:deleted", "Story", 501),
    ]
    assert json.loads(events[0]["payload_changes"]).keys() == {"state", "due_date"}
    deleted = client.get("/subscribed_events", params={"event_types": "story:deleted"}).json()
    assert deleted["count"] == 1
    later = client.get("/subscribed_events", params={"created_after": "2099-01-01T00:00:00Z"}).json()
    assert later["results"] == []


def test_a_relay_sends_what_matters_to_billing_and_proves_it(client, sandbox, people):
    """A fee that is ready would wait for the hour; a delivery that proves nothing would be refused."""
    secret = "whsec_" + base64.b64encode(b"k" * 24).decode()
    [project] = {r["workspace_id"] for r in stories(client, only="502", include="workspace")}
    task = next(s["id"] for s in stories(client, per_page="200") if s["story_type"] == "task")
    with webhook_receiver() as receiver:
        people.subscribe_to_fees(receiver.url, secret)
        client.put(f"/stories/{task}", json={"story": {"state": "completed"}}).raise_for_status()
        people.complete_milestone("502", dt.date(2026, 10, 7))
        people.change_milestone_amount("502", 99)
        people.delete_milestone("502")
        people.change_milestone_project(project, status_key=400)
        people.change_milestone_project(project, title="CTR-0009 Another")
        arrived = receiver.wait_for(5)
    proof = Signature(scheme=Scheme.STANDARD, secrets=(secret,))
    for headers, body in arrived:
        assert proof.proves(Delivery(headers=headers, body=body, at=time.time()))
    assert {(b["type"], b["data"]["id"]) for b in (json.loads(body) for _, body in arrived)} == {
        ("milestone.ready", "502"),
        ("milestone.updated", "502"),
        ("milestone.deleted", "502"),
        ("project.status_changed", project),
        ("project.contract_changed", project),
    }


def test_the_relay_belongs_to_whoever_has_the_token(sandbox):
    """Somebody else would be told of the company's projects."""
    address = f"{sandbox.base_url}/kantata/relay/target"
    body = {"url": "http://127.0.0.1:1/", "secret": "whsec_" + base64.b64encode(b"k" * 24).decode()}
    right = {"Authorization": f"Bearer {sandbox.keys.kantata}"}
    assert httpx.put(address, json=body, headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert httpx.put(address, json=body | {"secret": "short"}, headers=right).status_code == 400
    assert httpx.put(address, json=body, headers=right).json() == {"url": body["url"]}
