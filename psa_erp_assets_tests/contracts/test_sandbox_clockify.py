"""What the PSA sandbox answers, against Clockify's own OpenAPI document."""

import datetime as dt
import json
from dataclasses import replace
from decimal import Decimal

import httpx
import pytest

from psa_erp_assets.sandbox.actors import actors_at
from psa_erp_assets.sandbox.company import Dirt
from psa_erp_assets.sandbox.company_model import DemoExpense, RequestState
from psa_erp_assets.sandbox.serve import running_sandbox
from psa_erp_assets_tests.support.openapi import load
from psa_erp_assets_tests.support.webhook_receiver import webhook_receiver

W = "/v1/workspaces/{workspaceId}"
MONDAY = dt.datetime(2026, 11, 9, 12, tzinfo=dt.UTC)
"""In a week after the demo's months, in which nobody has recorded anything; noon is on one day in all its zones."""


@pytest.fixture(scope="module")
def api():
    return load("clockify.yaml")


@pytest.fixture
def client(sandbox, company):
    base = f"{sandbox.clockify_url}/v1/workspaces/{company.workspace_id}"
    with httpx.Client(base_url=base, headers={"X-Api-Key": sandbox.keys.clockify}, trust_env=False) as client:
        yield client


@pytest.fixture(autouse=True)
def fresh(sandbox):
    yield
    sandbox.control.reset()


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("/clients", "/clients"),
        ("/clients/{id}", "/clients/{client}"),
        ("/projects", "/projects?page-size=500&hydrated=true"),
        ("/users", "/users?page-size=500&include-roles=false"),
        ("/user/{userId}/time-entries", "/user/{user}/time-entries?page-size=1000"),
        ("/user/{userId}/time-entries", "/user/{user}/time-entries?hydrated=true"),
        ("/time-entries/{id}", "/time-entries/{entry}"),
        ("/approval-requests", "/approval-requests?page-size=200"),
        ("/webhooks", "/webhooks"),
    ],
)
def test_reads_fit_the_document(api, client, company, path, url):
    """A connector that is built on the document must read the sandbox as it would read the vendor."""
    entry = company.entries[0]
    url = url.format(client=company.customers[0].psa_id, user=entry.user_id, entry=entry.id)
    answer = client.get(url)
    # The document names only the common base of a listed project.
    items = "ProjectDtoImplV1" if path == "/projects" else None
    api.check_answer("GET", f"{W}{path}", answer.status_code, answer.json(), items=items)
    assert answer.json()


def test_top_level_reads_fit_the_document(api, sandbox, company):
    """The first calls that a connector makes, to find the workspace."""
    headers = {"X-Api-Key": sandbox.keys.clockify}
    for path in ("/v1/workspaces", W, "/v1/user"):
        url = sandbox.clockify_url + path.format(workspaceId=company.workspace_id)
        answer = httpx.get(url, headers=headers, trust_env=False)
        api.check_answer("GET", path, answer.status_code, answer.json())


def test_no_field_is_invented(api, client, company):
    """A field that only the sandbox has would let a connector be built on it."""
    entry = company.entries[0]
    project = client.get("/projects?page-size=1").json()[0]
    details = client.get("/approval-requests?page-size=1").json()[0]
    for schema, body in (
        ("WorkspaceDtoV1", client.get(str(client.base_url).rstrip("/")).json()),
        ("ProjectDtoImplV1", project),
        ("MembershipDtoV1", project["memberships"][0]),
        ("UserDtoV1", client.get("/users?page-size=1").json()[0]),
        ("ClientWithCurrencyDtoV1", client.get("/clients?page-size=1").json()[0]),
        ("TimeEntryWithRatesDtoV1", client.get(f"/time-entries/{entry.id}").json()),
        ("ApprovalDetailsDtoV1", details),
        ("ApprovalRequestDtoV1", details["approvalRequest"]),
        ("TimeEntryInfoDto", details["entries"][0]),
    ):
        assert api.undocumented(schema, body) == set()


def test_all_entries_are_found_page_by_page(client, company):
    """A page that overlaps or skips would lose time that nobody bills."""
    user = company.entries[0].user_id
    pages = [client.get(f"/user/{user}/time-entries?page-size=25&page={n}").json() for n in range(1, 10)]
    found = [e["id"] for page in pages for e in page]
    assert sorted(found) == sorted(e.id for e in company.entries if e.user_id == user)


def test_entries_are_filtered_by_start(client, company):
    """An extraction window that leaks loses or doubles a month's edge."""
    user = company.entries[0].user_id
    window = {"start": "2026-09-10T00:00:00Z", "end": "2026-09-20T00:00:00Z", "page-size": "500"}
    found = {e["id"] for e in client.get(f"/user/{user}/time-entries", params=window).json()}
    low, high = dt.datetime(2026, 9, 10, tzinfo=dt.UTC), dt.datetime(2026, 9, 20, tzinfo=dt.UTC)
    assert found == {e.id for e in company.entries if e.user_id == user and low <= e.start <= high}


def test_running_timer_has_no_end(client, company):
    """A missing end read as zero minutes would bill nothing for work that is still going on."""
    interval = client.get(f"/time-entries/{company.dirt[Dirt.RUNNING][0]}").json()["timeInterval"]
    assert (interval["end"], interval["duration"]) == (None, None)


def test_writes_fit_the_document(api, client, people, company):
    """The actors must use the vendor's own requests, or the demo plays what could not happen."""
    user, project = company.entries[0].user_id, company.projects[0]
    member = next(iter(company.project_by_psa_id[project.psa_id].staff))
    member_id = next(p.psa_id for p in company.people if p.email == member)
    new = {
        "start": "2026-10-05T08:00:00Z",
        "end": "2026-10-05T09:07:00Z",
        "projectId": project.psa_id,
        "billable": True,
    }
    api.check_request("POST", f"{W}/user/{{userId}}/time-entries", new)
    made = client.post(f"/user/{user}/time-entries", json=new)
    api.check_answer("POST", f"{W}/user/{{userId}}/time-entries", made.status_code, made.json())
    assert made.json()["timeInterval"]["duration"] == "PT1H7M"
    changed = client.put(f"/time-entries/{made.json()['id']}", json=new | {"end": "2026-10-05T09:00:00Z"})
    api.check_answer("PUT", f"{W}/time-entries/{{id}}", changed.status_code, changed.json())
    rate = {"amount": 17_533, "since": "2026-10-01T00:00:00Z"}
    api.check_request("PUT", f"{W}/projects/{{projectId}}/users/{{userId}}/hourly-rate", rate)
    api.check_request("PUT", f"{W}/projects/{{projectId}}", {"hourlyRate": rate})
    api.check_answer(
        "PUT",
        f"{W}/projects/{{projectId}}/users/{{userId}}/hourly-rate",
        200,
        people.set_person_rate(project.psa_id, member_id, 17_533),
    )
    api.check_answer("PUT", f"{W}/projects/{{projectId}}", 200, people.set_project_rate(project.psa_id, 15_001))


def test_rate_holds_from_its_date(client, people, company):
    """A rate that is set from a date on must leave earlier work at the rate that it was done at."""
    project = next(p for p in company.projects if p.rate is not None)
    before = dt.datetime(2026, 10, 1, tzinfo=dt.UTC)
    own = [e for e in company.entries if e.project_id == project.psa_id and e.billable]
    own = [e for e in own if project.staff[company.person_by_psa_id[e.user_id].email] is None]
    people.set_project_rate(project.psa_id, 12_345, since=before)
    rates = {e.id: client.get(f"/time-entries/{e.id}").json()["hourlyRate"]["amount"] for e in own}
    assert {r for i, r in rates.items() if company.entry_by_id[i].start < before} == {int(project.rate * 100)}
    assert {r for i, r in rates.items() if company.entry_by_id[i].start >= before} == {12_345}


def test_edit_after_approval_leaves_it_approved(client, people, company):
    """The case that catches a sync which trusts the approval and never looks at the entry again."""
    edit = company.edits_after_approval[0]
    assert people.play_edits_after_approval()[0] == edit.entry_id
    now = client.get(f"/time-entries/{edit.entry_id}").json()
    assert dt.datetime.fromisoformat(now["timeInterval"]["end"]) == edit.end
    assert now["isLocked"]


def test_deleted_entry_is_gone_everywhere(client, people, company):
    """A deletion leaves no trace in any list, so that only a look at the id or a sweep can find it."""
    gone = people.play_deletions_after_approval()
    assert client.get(f"/time-entries/{gone[0]}").status_code == 400
    assert client.get(f"/time-entries/{gone[0]}").json()["code"] == 501
    listed = {e["id"] for r in people.requests_in(RequestState.APPROVED) for e in r["entries"]}
    assert listed.isdisjoint(gone)


def test_approved_twice(people, company):
    """Two approved requests list the same entry; counted twice it would be billed twice."""
    entry = company.dirt[Dirt.APPROVED_TWICE][0]
    requests = [r for r in people.requests_in(RequestState.APPROVED) if entry in {e["id"] for e in r["entries"]}]
    assert len(requests) == 2


def test_life_of_an_approval(api, client, people):
    """Approve, take back, edit, resubmit, approve: every step answers as documented, and others are refused."""
    request = people.requests_in(RequestState.PENDING)[0]
    request_id, user = request["approvalRequest"]["id"], request["approvalRequest"]["owner"]["userId"]
    path = f"{W}/approval-requests/{{approvalRequestId}}"
    api.check_request("PATCH", path, {"state": "APPROVED", "note": ""})
    api.check_answer("PATCH", path, 200, people.decide(request_id, RequestState.APPROVED))
    with pytest.raises(httpx.HTTPStatusError):
        people.decide(request_id, RequestState.REJECTED)
    people.decide(request_id, RequestState.WITHDRAWN_APPROVAL)
    entry = request["entries"][0]["id"]
    people.edit_entry(entry, minutes=61)
    start = dt.datetime.fromisoformat(request["approvalRequest"]["dateRange"]["start"])
    body = {"period": "WEEKLY", "periodStart": start.strftime("%Y-%m-%dT%H:%M:%SZ")}
    resubmit = f"{W}/approval-requests/users/{{userId}}/resubmit-entries-for-approval"
    api.check_request("POST", resubmit, body)
    again = people.submit_week(user, start, again=True)
    assert again != request_id
    people.approve([again])
    listed = [r for r in people.requests_in(RequestState.APPROVED) if entry in {e["id"] for e in r["entries"]}]
    assert [r["approvalRequest"]["id"] for r in listed] == [again]


def test_submitting_a_week(api, client, people, company):
    """Time that was never submitted becomes one pending request; a second submission finds nothing."""
    entry = company.entry_by_id[company.dirt[Dirt.NOT_SUBMITTED][0]]
    start = entry.start - dt.timedelta(days=1)
    answer = client.post(
        f"/approval-requests/users/{entry.user_id}",
        json={"period": "WEEKLY", "periodStart": start.strftime("%Y-%m-%dT%H:%M:%SZ")},
    )
    api.check_answer("POST", f"{W}/approval-requests/users/{{userId}}", answer.status_code, answer.json())
    with pytest.raises(httpx.HTTPStatusError):
        people.submit_week(entry.user_id, start)


def test_webhooks_are_signed_and_delivered(api, client, people, company):
    """The token in `clockify-signature` is all that tells a vendor's call from a stranger's."""
    with webhook_receiver() as receiver:
        tokens = people.register_webhooks(receiver.url)
        hooks = client.get("/webhooks").json()
        api.check_answer("GET", f"{W}/webhooks", 200, hooks)
        api.check_answer("GET", f"{W}/webhooks/{{webhookId}}", 200, hooks["webhooks"][0])
        entry = company.edits_after_approval[0].entry_id
        people.edit_entry(entry, minutes=33)
        people.delete_entry(entry)
        pending = people.requests_in(RequestState.PENDING)[0]["approvalRequest"]["id"]
        people.approve([pending])
        arrived = receiver.wait_for(3)
    seen = {headers["clockify-webhook-event-type"]: (headers, json.loads(body)) for headers, body in arrived}
    assert set(seen) == {"TIME_ENTRY_UPDATED", "TIME_ENTRY_DELETED", "APPROVAL_REQUEST_STATUS_UPDATED"}
    for event, (headers, _) in seen.items():
        assert headers["clockify-signature"] == tokens[event]
    assert len(set(tokens.values())) == len(tokens)
    assert seen["TIME_ENTRY_UPDATED"][1]["id"] == entry
    api.check("TimeEntryWithRatesDtoV1", seen["TIME_ENTRY_UPDATED"][1])
    api.check("ApprovalRequestDtoV1", seen["APPROVAL_REQUEST_STATUS_UPDATED"][1])
    assert seen["APPROVAL_REQUEST_STATUS_UPDATED"][1]["id"] == pending


def test_webhook_is_tried_again(people, company, sandbox):
    """A receiver that is down for a moment must not lose the hint."""
    with webhook_receiver(refuse=2) as receiver:
        people.register_webhooks(receiver.url, events=["NEW_TIME_ENTRY"])
        people.record_entry(company.entries[0].user_id, None, dt.datetime(2026, 10, 6, 8, tzinfo=dt.UTC), 47)
        assert len(receiver.wait_for(1)) == 1
    assert sandbox.control.stats()["webhooks"]["attempts"] >= 3


def test_webhook_of_one_project_keeps_to_it(client, people, company):
    """A trigger source narrows the hook; what is outside it must not leak."""
    entry = next(e for e in company.entries if e.project_id)
    other = next(e for e in company.entries if e.project_id not in (None, entry.project_id))
    with webhook_receiver() as receiver:
        body = {
            "url": receiver.url,
            "webhookEvent": "TIME_ENTRY_UPDATED",
            "triggerSourceType": "PROJECT_ID",
            "triggerSource": [entry.project_id],
        }
        hook = client.post("/webhooks", json=body).raise_for_status().json()
        people.edit_entry(other.id, minutes=12)
        people.edit_entry(entry.id, minutes=13)
        assert json.loads(receiver.wait_for(1)[0][1])["id"] == entry.id
        client.delete(f"/webhooks/{hook['id']}").raise_for_status()
        assert client.get("/webhooks").json()["workspaceWebhookCount"] == 0


@pytest.mark.parametrize(
    ("method", "url", "body"),
    [
        ("GET", "/user/0123/time-entries", None),
        ("GET", "/clients?page=0", None),
        ("GET", "/clients?page-size=5001", None),
        ("GET", "/approval-requests?page-size=201", None),
        ("GET", "/approval-requests?status=MAYBE", None),
        ("GET", "/user/{user}/time-entries?start=yesterday", None),
        ("POST", "/time-entries", {"start": "2026-09-02T09:00:00Z", "end": "2026-09-02T08:00:00Z"}),
        ("POST", "/time-entries", {"start": "2026-09-02T09:00:00", "end": None}),
        ("POST", "/time-entries", {"start": "2026-09-02T09:00:00Z", "billable": "yes"}),
        ("POST", "/time-entries", [1]),
        ("POST", "/webhooks", {"url": "ftp://x", "webhookEvent": "NEW_TAG", "triggerSource": []}),
        ("PUT", "/projects/{project}", {"hourlyRate": {"amount": 1.5}}),
        ("PATCH", "/approval-requests/0123", {"state": "APPROVED"}),
    ],
)
def test_bad_requests_are_refused_in_the_vendors_form(client, company, method, url, body):
    """A sandbox that forgives teaches a connector what the vendor would not accept."""
    url = url.format(user=company.entries[0].user_id, project=company.projects[0].psa_id)
    answer = client.request(method, url, json=body)
    assert answer.status_code == 400
    assert set(answer.json()) == {"message", "code"}


def test_wrong_key_workspace_and_path(client, sandbox):
    """Each is refused in another way, and a connector reacts to each in another way."""
    assert client.get("/clients", headers={"X-Api-Key": "wrong"}).status_code == 401
    headers = {"X-Api-Key": sandbox.keys.clockify}
    assert (
        httpx.get(f"{sandbox.clockify_url}/v1/workspaces/1/users", headers=headers, trust_env=False).status_code == 403
    )
    assert client.get("/no-such-thing").status_code == 404


@pytest.fixture
def project(company):
    return company.projects[0].psa_id


@pytest.fixture
def user(company):
    return company.entries[0].user_id


def test_reads_about_expenses_fit_the_document(api, client, people, user, project):
    """Lists of expenses and of categories are inside an object, and an expense has three shapes."""
    lodging = people.record_expense(user, project, MONDAY.date(), "Lodging", Decimal("462.50"), notes="hotel")
    people.record_expense(user, None, MONDAY.date(), "Mileage", Decimal("123.5"))
    listed = client.get("/expenses?page-size=200")
    api.check_answer("GET", f"{W}/expenses", 200, listed.json())
    assert {e["id"]: e["total"] for e in listed.json()["expenses"]["expenses"]}[lodging] == 46250
    assert api.undocumented("ExpenseHydratedDtoV1", listed.json()["expenses"]["expenses"][0]) == set()
    one = client.get(f"/expenses/{lodging}")
    api.check_answer("GET", f"{W}/expenses/{{expenseId}}", 200, one.json())
    assert api.undocumented("ExpenseDtoV1", one.json()) == set()
    categories = client.get("/expenses/categories").json()
    api.check_answer("GET", f"{W}/expenses/categories", 200, categories)
    assert api.undocumented("ExpenseCategoryDtoV1", categories["categories"][0]) == set()


def test_reads_about_tasks_and_tags_fit_the_document(api, client, people, user, project):
    """Without `hydrated` there are ids, with it the names besides; the approval request has only the names."""
    entry = people.record_entry(user, project, MONDAY, 60, task="Build", tags=["Overtime", "Travel"])
    for path, url in (("/tags", "/tags"), ("/projects/{projectId}/tasks", f"/projects/{project}/tasks")):
        listed = client.get(url).json()
        api.check_answer("GET", f"{W}{path}", 200, listed)
        assert listed
    for name in ("TagDtoV1", "TaskDtoV1"):
        listed = client.get("/tags" if name == "TagDtoV1" else f"/projects/{project}/tasks").json()
        assert api.undocumented(name, listed[0]) == set()
    plain = client.get(f"/time-entries/{entry}").json()
    assert len(plain["tagIds"]) == 2
    assert "tags" not in plain
    hydrated = client.get(f"/time-entries/{entry}?hydrated=true").json()
    # The document names the plain schema for both; only the internal one has the rest.
    api.check_answer("GET", f"{W}/time-entries/{{id}}", 200, hydrated)
    assert api.undocumented("TimeEntryFullDto", hydrated) <= api.schemas["TimeEntryWithRatesDtoV1"]["properties"].keys()
    assert [t["name"] for t in hydrated["tags"]] == ["Overtime", "Travel"]
    assert (hydrated["task"]["name"], hydrated["task"]["id"]) == ("Build", plain["taskId"])
    people.edit_entry(entry, minutes=90, tags=["Travel"])
    again = client.get(f"/time-entries/{entry}?hydrated=true").json()
    assert ([t["name"] for t in again["tags"]], again["task"]["name"]) == (["Travel"], "Build")


def test_writes_about_expenses_tasks_and_tags_fit_the_document(api, client, user, project):
    """An expense is sent as a form with a receipt, and what it answers is not what the list shows."""
    api.check_request("POST", f"{W}/tags", {"name": "Overtime"})
    api.check_answer("POST", f"{W}/tags", 201, client.post("/tags", json={"name": "Overtime"}).json())
    api.check_request("POST", f"{W}/projects/{{projectId}}/tasks", {"name": "Build"})
    made = client.post(f"/projects/{project}/tasks", json={"name": "Build"})
    api.check_answer("POST", f"{W}/projects/{{projectId}}/tasks", made.status_code, made.json())
    category = next(c for c in client.get("/expenses/categories").json()["categories"] if c["name"] == "Lodging")
    form = {
        "userId": user,
        "projectId": project,
        "categoryId": category["id"],
        "date": "2026-11-09T00:00:00Z",
        "notes": "Zürich; two nights",
    }
    receipt = {"file": ("receipt.pdf", b"%PDF-1.4\r\n\xff\x00", "application/pdf")}
    api.check("CreateExpenseV1Request", form | {"amount": 462.5, "billable": True, "file": ""})
    made = client.post("/expenses", data=form | {"amount": "462.5", "billable": "true"}, files=receipt)
    api.check_answer("POST", f"{W}/expenses", made.status_code, made.json())
    assert (made.json()["total"], made.json()["notes"]) == (46250.0, "Zürich; two nights")
    path, changes = f"/expenses/{made.json()['id']}", {"amount": "12", "changeFields": ["NOTES", "DATE"], "notes": ""}
    api.check("UpdateExpenseV1Request", form | changes | {"amount": 12, "file": ""})
    changed = client.put(path, data=form | changes, files=receipt)
    api.check_answer("PUT", f"{W}/expenses/{{expenseId}}", changed.status_code, changed.json())
    assert (changed.json()["total"], changed.json()["notes"]) == (46250.0, "")
    assert client.delete(path).status_code == 200
    assert client.get(path).json() == {"message": "Expense doesn't belong to Workspace", "code": 501}


def test_a_quantity_is_priced_by_its_category(people, user, project):
    """Miles are typed, and what is paid back is miles times the price: 123.5 at 67 cents are 82.745."""
    mileage = people.record_expense(user, project, MONDAY.date(), "Mileage", Decimal("123.5"))
    seen = people.expense(mileage)
    assert (seen["quantity"], seen["total"]) == (123.5, 8274.5)
    assert people.edit_expense(mileage, amount=Decimal(100))["total"] == 6700


def test_all_expenses_are_found_page_by_page(client, people, user, company):
    """A page that overlaps or skips would lose an expense that nobody bills."""
    made = {
        people.record_expense(user, None, MONDAY.date() + dt.timedelta(days=n), "Meals", Decimal(n)) for n in range(7)
    }
    made |= {e.id for e in company.expenses}
    numbers = range(1, len(made) // 3 + 2)
    pages = [client.get(f"/expenses?page-size=3&page={n}").json()["expenses"] for n in numbers]
    found = [e["id"] for page in pages for e in page["expenses"]]
    assert {p["count"] for p in pages} == {len(made)}
    assert sorted(found) == sorted(made)


def test_a_week_is_approved_with_its_expenses(api, client, people, user, project):
    """One request covers both: without the expenses in it nobody could tell that they are approved."""
    entry = people.record_entry(user, project, MONDAY, 60)
    sunday = people.record_expense(user, project, MONDAY.date() + dt.timedelta(days=6), "Meals", Decimal("31.10"))
    people.record_expense(user, project, MONDAY.date() + dt.timedelta(days=7), "Meals", Decimal("31.10"))
    start = MONDAY.replace(hour=0)
    week = people.submit_week(user, start + dt.timedelta(hours=5))
    people.approve([week])
    [details] = [r for r in people.requests_in(RequestState.APPROVED) if r["approvalRequest"]["id"] == week]
    api.check("ApprovalDetailsDtoV1", details)
    assert api.undocumented("ExpenseHydratedDto", details["expenses"][0]) == set()
    assert [e["id"] for e in details["entries"]] == [entry]
    assert [(e["id"], e["total"], e["currency"]) for e in details["expenses"]] == [(sunday, 3110.0, "USD")]
    assert (details["expenseTotal"], people.expense(sunday)["locked"]) == (3110.0, True)
    people.edit_expense(sunday, amount=Decimal("30.10"))
    assert people.expense(sunday)["locked"]
    people.delete_expense(sunday)
    [details] = [r for r in people.requests_in(RequestState.APPROVED) if r["approvalRequest"]["id"] == week]
    assert details["expenses"] == []


def test_expenses_of_a_refused_week_move_to_the_next_request(people, user, project):
    """Listed in both, they would be pending and rejected at once."""
    spent = people.record_expense(user, project, MONDAY.date(), "Meals", Decimal("31.10"))
    start = MONDAY - dt.timedelta(hours=6)
    first = people.submit_week(user, start)
    people.decide(first, RequestState.REJECTED)
    with pytest.raises(httpx.HTTPStatusError):
        people.submit_week(user, start)
    again = people.submit_week(user, start, again=True)
    listed = [r for s in RequestState for r in people.requests_in(s) if spent in {e["id"] for e in r["expenses"]}]
    assert [r["approvalRequest"]["id"] for r in listed] == [again]


def test_webhooks_of_expenses_are_signed_and_delivered(api, people, user, project):
    """Each has the token of its own webhook, and names the expense in the shape of the expense endpoint."""
    with webhook_receiver() as receiver:
        tokens = people.register_webhooks(receiver.url)
        spent = people.record_expense(user, project, MONDAY.date(), "Meals", Decimal("31.10"))
        people.edit_expense(spent, notes="Receipt GBP 25.00; lunch")
        people.delete_expense(spent)
        arrived = receiver.wait_for(3)
    seen = {headers["clockify-webhook-event-type"]: (headers, json.loads(body)) for headers, body in arrived}
    assert set(seen) == {"EXPENSE_CREATED", "EXPENSE_UPDATED", "EXPENSE_DELETED"}
    for event, (headers, body) in seen.items():
        api.check({"$ref": "#/components/schemas/WebhookEventType"}, event)
        api.check("ExpenseDtoV1", body)
        assert (headers["clockify-signature"], body["id"]) == (tokens[event], spent)


def test_the_companys_own_expenses_tasks_and_tags_are_there(company, user, project):
    """What the demo company is made with must look like what its people add later."""
    entry = next(e for e in company.entries if e.project_id == project)
    spent = DemoExpense(
        id="e" * 24,
        user_id=user,
        project_id=project,
        date=dt.date(2026, 9, 30),
        category="Visa fees",
        amount=Decimal("99.50"),
        billable=True,
        notes="Receipt CHF 90; visa",
    )
    approval = next(a for a in company.approvals if a.state is RequestState.APPROVED)
    more = replace(
        company,
        entries=tuple(replace(e, task="Build", tags=("Travel",)) if e is entry else e for e in company.entries),
        expenses=(spent,),
        approvals=tuple(replace(a, expense_ids=(spent.id,)) if a is approval else a for a in company.approvals),
    )
    with running_sandbox(more) as server, actors_at(server) as people:
        assert people.expense(spent.id)["total"] == 9950
        people.edit_entry(entry.id, tags=["Travel", "Overtime"])
        assert len(people.entry(entry.id)["tagIds"]) == 2
        assert people.entry(entry.id)["taskId"] is not None
        listed = [e for r in people.requests_in(RequestState.APPROVED) for e in r["expenses"]]
    assert [(e["id"], e["category"]["name"], e["approvalStatus"]) for e in listed] == [
        (spent.id, "Visa fees", "APPROVED")
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"userId": ""},
        {"categoryId": "0123"},
        {"projectId": "0123"},
        {"amount": "-1"},
        {"amount": "NaN"},
        {"amount": "much"},
        {"amount": "92233720368547759"},
        {"date": "2026-11-09"},
        {"billable": "maybe"},
    ],
)
def test_bad_expenses_are_refused_in_the_vendors_form(client, user, company, changes):
    """What the vendor would refuse the actors must not be able to record."""
    category = client.get("/expenses/categories").json()["categories"][0]["id"]
    form = {"userId": user, "categoryId": category, "amount": "5", "date": "2026-11-09T00:00:00Z"} | changes
    answer = client.post("/expenses", data=form, files={"file": b"receipt"})
    assert (answer.status_code, set(answer.json())) == (400, {"message", "code"})
    assert client.get("/expenses").json()["expenses"]["count"] == len(company.expenses)


def test_an_expense_that_is_no_form_is_refused(client):
    """The vendor takes multipart forms only."""
    assert client.post("/expenses", json={"amount": 5}).status_code == 415
