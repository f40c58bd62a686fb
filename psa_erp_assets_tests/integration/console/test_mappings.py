"""Mapping governance over HTTP: the pages' forms and the API, and who may do what."""

from collections.abc import Iterator

import httpx
import pytest
from fastapi import Request
from sqlalchemy import Engine

from psa_erp_assets.console.access import Visitor
from psa_erp_assets.domain.access import Actor, Grant, Role
from psa_erp_assets.domain.values import replace
from psa_erp_assets_tests.support import mappings
from psa_erp_assets_tests.support.console import make_app, served
from psa_erp_assets_tests.support.facts import EMPLOYEE
from psa_erp_assets_tests.support.mappings import BEN, SECOND_STEWARD, STEWARD, VIEWER
from psa_erp_assets_tests.support.store import NOW, SCOPE

API = "/api/v1/mappings"
AMERICAN = Actor(id="amy", name="Amy", grants=frozenset({Grant(Role.STEWARD, "US")}))
WHO = {actor.id: actor for actor in (STEWARD, SECOND_STEWARD, VIEWER, AMERICAN)}


async def gate(request: Request) -> Visitor | None:
    """Whoever the header names; a page's forms carry the word own."""
    actor = WHO.get(request.headers.get("x-who", "sam"))
    return None if actor is None else Visitor(actor=actor, csrf="own")


@pytest.fixture
def client(store_engine: Engine) -> Iterator[httpx.Client]:
    mappings.open_store(store_engine)
    app = make_app(store_engine, gate=gate, scope=SCOPE, clock=lambda: NOW)
    with served(app) as address, httpx.Client(base_url=address, follow_redirects=True) as http:
        yield http


def proposal_id(client: httpx.Client, source: str = "u2") -> int:
    [found] = [p for p in client.get(f"{API}/proposals").json() if p["source_id"] == source]
    return int(found["id"])


@pytest.mark.parametrize("tab", ["proposals", "mappings", "conflicts", "orphans", "drift", "decisions"])
def test_every_list_is_a_page_and_can_be_narrowed(client: httpx.Client, tab: str) -> None:
    """A tab or a filter would end in an error."""
    for query in ("", "&type=employee", "&q=Fischer", "&q=%25_", "&page=3", "&type=project&q=nothing"):
        answer = client.get(f"/mappings?tab={tab}{query}")
        assert answer.status_code == 200, query
    assert client.get(f"/mappings?tab={tab}&q=zzz").text.count("Nothing matches") == 1


def test_the_api_shows_what_accepting_would_do_and_does_it(client: httpx.Client) -> None:
    """A program would have to read the page."""
    number = proposal_id(client)
    effect = client.get(f"{API}/proposals/{number}/effect").json()
    assert (effect["released"], effect["released_minutes"]) == (2, 165)
    body = {"valid_from": "2026-09-01", "reason": "same person"}
    made = client.post(f"{API}/proposals/{number}/accept", json=body)
    assert made.status_code == 200
    assert client.post(f"{API}/proposals/{number}/accept", json=body).status_code == 409
    [row] = [m for m in client.get(API).json() if m["decision_id"]]
    assert (row["source_id"], row["canonical_id"], row["valid_from"]) == ("u2", "EMP-0002", "2026-09-01")
    undone = client.post(f"{API}/decisions/{made.json()['decision_id']}/undo", json={"reason": "another Ben"})
    assert undone.status_code == 200
    assert [d["kind"] for d in client.get(f"{API}/decisions").json()] == ["undo", "accept"]


def test_whoever_only_looks_decides_nothing(client: httpx.Client) -> None:
    """Everybody with an account could say who is who."""
    number, looking = proposal_id(client), {"x-who": "vic"}
    assert client.get(f"/mappings/proposals/{number}", headers=looking).status_code == 200
    assert "Accept from" not in client.get(f"/mappings/proposals/{number}", headers=looking).text
    reason = {"reason": "so"}
    for path in (f"proposals/{number}/reject", "decisions/1/undo"):
        assert client.post(f"{API}/{path}", json=reason, headers=looking).status_code == 403
    form = {"verdict": "accept", "reason": "so", "csrf": "own"}
    assert client.post(f"/mappings/proposals/{number}", data=form, headers=looking).status_code == 403
    assert client.get("/mappings/new", headers=looking).status_code == 403
    assert client.get(API, headers={"x-who": "nobody"}).status_code == 401


def test_a_form_from_elsewhere_decides_nothing(client: httpx.Client) -> None:
    """Another site's page could map in the name of the steward who has it open."""
    number = proposal_id(client)
    form = {"verdict": "accept", "reason": "so"}
    assert client.post(f"/mappings/proposals/{number}", data=form).status_code == 403
    assert client.get(f"{API}/proposals?state=accepted").json() == []


@pytest.mark.parametrize(
    ("form", "status", "told"),
    [
        ({"verdict": "accept", "reason": " "}, 409, "needs a reason"),
        ({"verdict": "accept", "reason": "so", "first": "yesterday"}, 422, "A day is written as"),
        ({"verdict": "accept", "reason": "so", "first": "2026-09-10", "last": "2026-09-01"}, 409, "before the first"),
    ],
)
def test_a_refused_form_says_why_and_keeps_the_reason(
    client: httpx.Client, form: dict[str, str], status: int, told: str
) -> None:
    """What was typed would be lost, and nobody told what is wrong."""
    number = proposal_id(client)
    answer = client.post(f"/mappings/proposals/{number}", data=form | {"csrf": "own"})
    assert answer.status_code == status
    assert told in answer.text
    assert client.get(f"{API}/proposals?state=accepted").json() == []


def test_what_is_unknown_is_not_found(client: httpx.Client) -> None:
    """An old link would end in an error of the server."""
    assert client.get("/mappings/proposals/999").status_code == 404
    assert client.get(f"{API}/proposals/999/effect").status_code == 404
    assert client.post("/mappings/decisions/999/undo", data={"reason": "x", "csrf": "own"}).status_code == 404
    refused = client.post(
        f"{API}/proposals",
        json={"object_type": "employee", "system": "clockify", "source_id": "u9", "canonical_id": "EMP-0002"},
    )
    assert refused.status_code == 409
    assert "u9" in refused.json()["detail"]


def test_split_and_merge_show_their_effect_first(client: httpx.Client) -> None:
    """A contract would be moved without anybody having seen what that does."""
    query = "action=split&kind=contract/clockify&sources=p1&canonical=CTR-0002&first=2026-09-01"
    assert "Effect on the plan" in client.get(f"/mappings/change?{query}").text
    wish = {
        "object_type": "contract", "system": "clockify", "source_ids": ["p1"], "canonical_id": "CTR-0002",
        "valid_from": "2026-09-01",
    }  # fmt: skip
    effect = client.post(f"{API}/effect", json=wish).json()
    assert effect["moved"] > 0
    assert effect["amounts"]
    refused = client.post(f"{API}/effect", json=wish | {"valid_to": "2026-08-01"})
    assert refused.status_code == 409
    assert client.get(f"{API}/decisions").json() == []
    form = dict(pair.split("=") for pair in query.split("&")) | {"last": "", "reason": "moved", "csrf": "own"}
    assert client.post("/mappings/change", data=form).status_code == 200
    [made] = client.get(f"{API}/decisions").json()
    assert (made["kind"], made["source_ids"], made["canonical_id"]) == ("split", ["p1"], "CTR-0002")
    body = {
        "object_type": "contract", "source_ids": ["CTR-0001"], "canonical_id": "CTR-0002",
        "valid_from": "2026-09-01", "reason": "one",
    }  # fmt: skip
    assert "amended in the CRM" in client.post(f"{API}/merge", json=body).json()["detail"]


def test_the_effect_in_another_legal_entity_is_not_told(store_engine: Engine, client: httpx.Client) -> None:
    """Whoever may see the American people alone would read what the British company bills for one of them."""
    mappings.open_store(store_engine, employees=(EMPLOYEE, replace(BEN, legal_entity="US")))
    number, amy = proposal_id(client), {"x-who": "amy"}
    everything = client.get(f"{API}/proposals/{number}/effect").json()
    assert (everything["released"], everything["elsewhere"]) == (2, False)
    assert everything["amounts"]
    effect = client.get(f"{API}/proposals/{number}/effect", headers=amy).json()
    assert (effect["released"], effect["changed"], effect["amounts"], effect["elsewhere"]) == (0, 0, [], True)
    for page in (
        f"/mappings/proposals/{number}",
        "/mappings/change?action=split&kind=employee/clockify&sources=u1&canonical=EMP-0002&first=2026-09-01",
    ):
        assert "Amounts that change" in client.get(page).text, page
        cut = client.get(page, headers=amy)
        assert cut.status_code == 200
        assert "Nothing changes in your legal entities" in cut.text, page
        assert "GBP" not in cut.text, page
