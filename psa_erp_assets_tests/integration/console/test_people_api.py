"""Accounts over the HTTP API: what the administrators' pages do, for programs."""

from collections.abc import Iterator

import httpx
import pytest
from sqlalchemy import Engine, select

from psa_erp_assets.adapters.store.schema_audit import audit_entry
from psa_erp_assets.console.gate import AccessSetUp
from psa_erp_assets.domain.access import Grant, Permission, Role
from psa_erp_assets_tests.support.access import ENTITIES, NOW, add_account, add_token
from psa_erp_assets_tests.support.console import make_app, served

API = "/api/v1/people"


@pytest.fixture
def client(store_engine: Engine) -> Iterator[httpx.Client]:
    """A program of an administrator."""
    add_account(store_engine, "root", [Grant(Role.ADMIN)])
    token = add_token(store_engine, "root", [Permission.ADMINISTER])
    with (
        served(make_app(store_engine, gate=None, clock=lambda: NOW, access=AccessSetUp(entities=ENTITIES))) as address,
        httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}, timeout=60) as http,
    ):
        yield http


def test_an_account_is_added_given_a_role_and_disabled(client: httpx.Client, store_engine: Engine) -> None:
    """Hundreds of people would have to be typed into pages, or what a program does would be nobody's."""
    made = client.post(API, json={"login": "ada@example.com", "name": "Ada", "role": "viewer", "legal_entity": "UK"})
    assert made.status_code == 201, made.text
    assert made.json()["login"] == "ada@example.com"
    assert "/link/" in made.json()["link"]
    given = client.post(f"{API}/ada@example.com/grant", json={"role": "steward"}).json()
    assert [(g["role"], g["legal_entity"]) for g in given["grants"]] == [("viewer", "UK"), ("steward", None)]
    taken = client.post(f"{API}/ada@example.com/revoke", json={"role": "viewer", "legal_entity": "UK"}).json()
    assert [(g["role"], g["legal_entity"]) for g in taken["grants"]] == [("steward", None)]
    assert client.post(f"{API}/ada@example.com/disable", json={}).json()["disabled"]
    assert not client.post(f"{API}/ada@example.com/enable", json={}).json()["disabled"]
    assert "/link/" in client.post(f"{API}/ada@example.com/link", json={}).json()["link"]
    assert client.get(f"{API}/ada@example.com").json()["how"] == "invited"
    assert {line["login"] for line in client.get(API).json()} == {"root", "ada@example.com"}
    entry = audit_entry.c
    with store_engine.connect() as connection:
        told = connection.execute(
            select(entry.kind, entry.actor).where(entry.subject == "ada@example.com").order_by(entry.id)
        ).all()
    assert {actor for _, actor in told} == {"root"}
    assert len({kind for kind, _ in told}) >= 5


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("", {"login": "root", "name": "Again", "role": "viewer"}, 409),
        ("", {"login": "new", "name": "New", "role": "viewer", "legal_entity": "ZZ"}, 409),
        ("", {"login": "new", "name": "New", "role": "emperor"}, 422),
        ("/root/disable", {}, 409),
        ("/root/revoke", {"role": "admin"}, 409),
        ("/nobody/grant", {"role": "viewer"}, 404),
        ("/nobody/link", {}, 404),
    ],
)
def test_what_cannot_be_is_refused_with_its_reason(
    client: httpx.Client, path: str, body: dict[str, str], status: int
) -> None:
    """The last administrator would be locked out, or a mistake would end in an error of the server."""
    answer = client.post(f"{API}{path}", json=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["detail"]
    assert [line["login"] for line in client.get(API).json()] == ["root"]
