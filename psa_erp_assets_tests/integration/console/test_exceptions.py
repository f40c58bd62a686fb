"""The exception pages and their API: what is shown, what is done, and who is refused."""

import csv
import datetime as dt
import io
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest
from fastapi import Request
from sqlalchemy import Engine

from psa_erp_assets.adapters.store import exceptions
from psa_erp_assets.console.access import Visitor
from psa_erp_assets.domain.access import Actor, Grant, Role
from psa_erp_assets_tests.support.console import HOSTILE, NOW, TENANT, make_app, served

API = "/api/v1/exceptions"
GROUP = "unknown_employee/PSA user u9 is no employee that HR knows"
CONFLICT = "posting_conflict/company 3: amount # is not #"
PEOPLE = {
    "ada": frozenset({Grant(Role.OPERATOR), Grant(Role.APPROVER)}),
    "bob": frozenset({Grant(Role.OPERATOR), Grant(Role.APPROVER)}),
    "vic": frozenset({Grant(Role.VIEWER)}),
    "uma": frozenset({Grant(Role.OPERATOR, "US")}),
}


def gate() -> Callable[[Request], Awaitable[Visitor | None]]:
    """Lets in whoever a header names."""

    async def who(request: Request) -> Visitor | None:
        name = request.headers.get("x-who", "")
        return Visitor(actor=Actor(id=name, name=name, grants=PEOPLE[name]), csrf="token") if name else None

    return who


def missing(number: int, entity: str = "UK", detail: str = "") -> exceptions.Sighting:
    return exceptions.Sighting(
        code="unknown_employee",
        object_id=f"time_entry:clockify:x{number}",
        detail=detail or "PSA user u9 is no employee that HR knows",
        evidence={"holds": ["billing_line"], "revision": 1},
        legal_entity=entity,
        service_month="2026-09",
        minutes=90,
    )


@pytest.fixture
def address(store_engine: Engine) -> Iterator[str]:
    """A console on a store with three exceptions of one cause, one of the US, one conflict, one that is hostile."""
    conflict = exceptions.Sighting(
        code="posting_conflict",
        object_id="time_entry:clockify:x7",
        detail="amount 12.50 is not 13.00",
        evidence={"posting": "0" * 32, "erp_company": "3"},
        legal_entity="UK",
        service_month="2026-09",
    )
    seen = [missing(1), missing(2), missing(3), missing(4, "US"), missing(5, detail=f"=cmd|' /C calc'!A1 {HOSTILE}")]
    with store_engine.begin() as connection:
        exceptions.open_or_touch(connection, TENANT, "plan", seen, NOW - dt.timedelta(hours=30))
        exceptions.open_or_touch(connection, TENANT, "posting:billing_line", [conflict], NOW - dt.timedelta(hours=2))
    with served(make_app(store_engine, gate=gate(), clock=lambda: NOW)) as url:
        yield url


@contextmanager
def signed_in(address: str, name: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address, headers={"x-who": name}) as client:
        yield client


def test_groups_are_shown_with_what_to_do(address: str) -> None:
    """An operator must see what is worst, whose it is and what to do, without opening anything."""
    with signed_in(address, "vic") as client:
        page = client.get("/exceptions").text
        groups = client.get(f"{API}/groups").json()
    assert "Give the PSA user the same work e-mail as in HR" in page
    assert {g["name"]: (g["items"], g["overdue"], g["minutes"]) for g in groups}[GROUP] == (4, 4, 360)
    assert groups[0]["code"] in ("posting_conflict", "unknown_employee")
    assert "<script>" not in page


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"owner": "application_owners"}, 5),
        ({"fault_class": "conflict"}, 1),
        ({"entity": "US"}, 1),
        ({"overdue": "true"}, 5),
        ({"older_than_hours": "24"}, 5),
        ({"search": "x7"}, 1),
        ({"assignee": "nobody"}, 6),
        ({"assignee": "ada"}, 0),
        ({"code": "posting_conflict"}, 1),
        ({"resolved": "true"}, 0),
    ],
)
def test_a_filter_holds_for_page_api_and_export(address: str, query: dict[str, str], expected: int) -> None:
    """An export of other items than were on the page would be sent to somebody."""
    with signed_in(address, "vic") as client:
        assert len(client.get(API, params=query).json()) == expected
        assert client.get("/exceptions", params=query).status_code == 200
        assert len(list(csv.reader(io.StringIO(client.get(f"{API}/export.csv", params=query).text)))) == expected + 1
        assert len(client.get(f"{API}/export.json", params=query).json()) == expected


def test_no_cell_of_an_export_is_a_formula(address: str) -> None:
    """A spreadsheet would run what somebody wrote as the name of a project."""
    with signed_in(address, "vic") as client:
        answer = client.get(f"{API}/export.csv")
    assert answer.headers["content-type"].startswith("text/csv")
    assert "attachment" in answer.headers["content-disposition"]
    cells = [cell for row in csv.reader(io.StringIO(answer.text)) for cell in row]
    assert any("cmd|" in cell for cell in cells)
    assert not any(cell.lstrip().startswith(("=", "+", "@", "-")) for cell in cells)


def test_somebody_of_one_entity_sees_and_does_only_there(address: str) -> None:
    """The US's operator would work on the UK's books."""
    with signed_in(address, "uma") as client:
        (only,) = client.get(API).json()
        assert only["legal_entity"] == "US"
        with signed_in(address, "ada") as other:
            foreign = next(c["id"] for c in other.get(API).json() if c["legal_entity"] == "UK")
        assert client.get(f"{API}/{foreign}").status_code == 404
        assert client.get(f"/exceptions/{foreign}").status_code == 404
        body = {"action": "note", "ids": [foreign], "text": "mine"}
        assert client.post(f"{API}/actions", json=body).status_code == 404
        done = client.post(f"{API}/actions", json={"action": "assign", "group": GROUP, "assignee": "uma"}).json()
        assert done["items"] == [only["id"]]


def test_who_only_looks_changes_nothing(address: str) -> None:
    """A viewer would resolve what finance must see."""
    with signed_in(address, "vic") as client:
        assert client.post(f"{API}/actions", json={"action": "note", "group": GROUP, "text": "x"}).status_code == 403
        assert client.post(f"{API}/replays", json={"group": GROUP, "reason": "x"}).status_code == 403
        assert client.post(f"{API}/requests/1/decision", json={"approve": True, "note": "x"}).status_code == 403
        assert "Add note" not in client.get(f"/exceptions/groups/{GROUP}").text
    assert httpx.get(address + API).status_code == 401


def test_a_form_without_its_token_is_refused(address: str) -> None:
    """A page of another site would resolve exceptions with an operator's browser."""
    with signed_in(address, "ada") as client:
        form = {"action": "note", "group": GROUP, "text": "hello"}
        assert client.post("/exceptions/actions", data=form).status_code == 403
        sent = client.post("/exceptions/actions", data=form | {"csrf": "token"})
        assert sent.status_code == 303
        assert "Noted on 4 items" in client.get(sent.headers["location"]).text


def test_the_pages_take_a_group_and_tell_its_story(address: str) -> None:
    """What was done to a group must be seen on each of its items."""
    with signed_in(address, "ada") as client:
        client.post("/exceptions/actions", data={"csrf": "token", "action": "take", "group": GROUP})
        client.post("/exceptions/actions", data={"csrf": "token", "action": "note", "group": GROUP, "text": "asked HR"})
        first = client.get(API, params={"assignee": "ada"}).json()[0]["id"]
        page = client.get(f"/exceptions/{first}").text
        assert "asked HR" in page
        assert "3 others with this cause" in page
        assert "/mappings?" in page
        story = client.get(f"{API}/{first}").json()
        assert [n["written_by"] for n in story["notes"]] == ["ada"]


def test_a_conflict_is_resolved_by_two(address: str) -> None:
    """Nobody alone makes a conflict with the ERP disappear."""
    with signed_in(address, "ada") as client:
        form = {"csrf": "token", "action": "resolve", "group": CONFLICT, "text": "finance made the other one"}
        sent = client.post("/exceptions/actions", data=form)
        page = client.get(sent.headers["location"]).text
        assert "somebody else must decide" in page
        number = client.get(f"{API}/requests").json()[0]["id"]
        refused = client.post(f"{API}/requests/{number}/decision", json={"approve": True, "note": "fine"})
        assert (refused.status_code, "your own" in refused.json()["detail"]) == (409, True)
        form = {"csrf": "token", "approve": "true", "note": "fine"}
        assert client.post(f"/exceptions/requests/{number}/decision", data=form).status_code == 409
    with signed_in(address, "bob") as client:
        assert "Approve" in client.get(f"/exceptions/requests/{number}").text
        assert client.post(f"/exceptions/requests/{number}/decision", data=form).status_code == 303
        assert client.get(API, params={"fault_class": "conflict"}).json() == []
        assert "Done by bob" in client.get(f"/exceptions/requests/{number}").text
        assert "approved by bob" in client.get("/exceptions", params={"resolved": "true"}).text


def test_what_cannot_be_done_says_why(address: str) -> None:
    """A button that does nothing without a word is pressed again and again."""
    with signed_in(address, "ada") as client:
        answer = client.post(f"{API}/actions", json={"action": "retry", "group": GROUP, "text": "again"})
        assert (answer.status_code, "no posting" in answer.json()["detail"]) == (409, True)
        page = client.post(
            "/exceptions/actions", data={"csrf": "token", "action": "retry", "group": GROUP, "text": "x"}
        )
        assert (page.status_code, "no posting" in page.text) == (409, True)
        assert client.post(f"{API}/actions", json={"action": "note", "text": "x"}).status_code == 422
        assert client.post(f"{API}/actions", json={"action": "dance", "group": GROUP}).status_code == 422


@pytest.mark.parametrize(
    "path",
    [
        "/exceptions/groups/unknown_employee/never seen",
        "/exceptions/requests",
        "/exceptions?search=zzz",
        "/exceptions/groups/no_bill_rate/",
    ],
)
def test_what_is_empty_says_so(address: str, path: str) -> None:
    """A cause that has gone meanwhile must not look like a fault of the console."""
    with signed_in(address, "vic") as client:
        answer = client.get(path)
    assert (answer.status_code, 'class="empty"' in answer.text) == (200, True)


@pytest.mark.parametrize("path", ["/exceptions/999999", "/exceptions/requests/999999", f"{API}/999999"])
def test_what_is_not_there_is_not_found(address: str, path: str) -> None:
    """A link that was copied badly must say so."""
    with signed_in(address, "vic") as client:
        assert client.get(path).status_code == 404
