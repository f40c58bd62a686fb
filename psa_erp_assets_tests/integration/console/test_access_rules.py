"""Every page and every call has a rule: generated from the route table, so that a new one cannot be forgotten."""

import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import httpx
import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts
from sqlalchemy import Engine, create_engine

from psa_erp_assets.adapters.postgres import ServerInfo
from psa_erp_assets.console.access import Rule
from psa_erp_assets.console.guarding import FORM, FormRoute
from psa_erp_assets.domain.access import Grant, Permission, Role, carried
from psa_erp_assets_tests.support.access import NOW, add_account, add_token, csrf_of, sign_in
from psa_erp_assets_tests.support.console import make_app, served, store

# Open to everybody, each for a reason. Whatever else there is has a rule.
PUBLIC = {
    "/api/openapi.json": "the description of the API; the same for everybody, and without a datum",
    "/healthz": "a load balancer has no account; it says up or down",
    "/webhooks/{source}": "vendors have no account here; each delivery is verified by its own secret",
    "/sign-in": "nobody has signed in yet",
    "/sign-in/openid": "nobody has signed in yet",
    "/sign-in/openid/callback": "nobody has signed in yet",
    "/link/{secret}": "the link is what lets somebody in",
    "/auth/check": "what it is asked by a proxy is just whether somebody is let in",
    "/static": "the style sheet and the icon, which the sign-in page needs",
}


@dataclass(frozen=True, slots=True)
class Call:
    """A method of a route, with its rule if it has one."""

    method: str
    path: str
    rule: Rule | None
    is_form: bool

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def request(self, client: httpx.Client, **options: object) -> httpx.Response:
        """Call it with some value for each part of its path."""
        # A key of the right form is one of nothing.
        path = re.sub(r"\{[^}]*\}", "1", self.path)
        headers = {"Content-Type": FORM} if self.is_form else {"Content-Type": "application/json"}
        content = None if self.method == "GET" else b"" if self.is_form else b"{}"
        headers |= options.pop("headers", {})  # type: ignore[arg-type]  # a dictionary of headers
        return client.request(self.method, path, headers=headers, content=content, **options)  # type: ignore[arg-type]


def calls_of(app: FastAPI) -> list[Call]:
    """Every method of every route of an app."""
    found: list[Call] = []
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        rule = _rule_of(context.dependant) if isinstance(route, APIRoute) else None
        found += [
            Call(method, str(context.path), rule, isinstance(route, FormRoute))
            for method in sorted((context.methods or {"GET"}) - {"HEAD"})
        ]
    return found


def _rule_of(dependant: Dependant) -> Rule | None:
    rules = [inner.call for inner in dependant.dependencies if isinstance(inner.call, Rule)]
    assert len(rules) <= 1, f"{dependant.path} has several rules"
    return rules[0] if rules else None


def unruled(app: FastAPI) -> list[str]:
    """What has no rule and is not open to everybody for a reason."""
    return [str(call) for call in calls_of(app) if call.rule is None and call.path not in PUBLIC]


APP = make_app(create_engine("postgresql+psycopg://nobody@127.0.0.1:1/none"))
CALLS = calls_of(APP)
RULED = [call for call in CALLS if call.rule is not None]
BY_PERMISSION = [call for call in RULED if call.rule is not None and call.rule.permission is not None]
PERSONAL = [call for call in RULED if call.rule is not None and call.rule.permission is None]


@pytest.fixture(scope="module")
def engine(postgres_server: ServerInfo, _migrated_template: str) -> Iterator[Engine]:
    """A store with an account and a token for each role."""
    with store(postgres_server, _migrated_template) as opened:
        yield opened


@pytest.fixture(scope="module")
def address(engine: Engine) -> Iterator[str]:
    """The address of a console at which people sign in."""
    with served(make_app(engine, gate=None, clock=lambda: NOW)) as started:
        yield started


@pytest.fixture(scope="module")
def tokens(engine: Engine) -> dict[Role, str]:
    """A token of somebody with just this role; it may all that the role may."""
    found = {}
    for role in Role:
        add_account(engine, role.value, [Grant(role)])
        found[role] = add_token(engine, role.value)
    return found


def test_nothing_is_without_a_rule() -> None:
    """Somebody adds a page or a call, and everybody can open it."""
    assert unruled(APP) == []
    assert len(RULED) > 20


def test_a_route_without_a_rule_is_noticed() -> None:
    """The test above would let everything pass."""
    app = make_app(create_engine("postgresql+psycopg://nobody@127.0.0.1:1/none"))
    app.get("/new")(lambda: "for everybody")
    assert unruled(app) == ["GET /new"]


def test_what_is_open_exists() -> None:
    """A reason for a page that has gone covers the next one of its name."""
    assert set(PUBLIC) <= {call.path for call in CALLS}


def test_every_permission_can_be_had_and_missed() -> None:
    """A rule that nobody or everybody passes is none."""
    for permission in Permission:
        assert any(permission in carried(role) for role in Role)
        if permission is not Permission.VIEW:
            assert any(permission not in carried(role) for role in Role)


@pytest.mark.parametrize("call", RULED, ids=str)
@pytest.mark.parametrize("authorization", ["", "Bearer psaerp_nobody00_x", "Basic bm9ib2R5OnB3"])
def test_nobody_gets_nothing(address: str, call: Call, authorization: str) -> None:
    """Somebody who has not signed in, or with a token that is none, reads or does something."""
    headers = {"Authorization": authorization} if authorization else {}
    with httpx.Client(base_url=address) as client:
        answer = call.request(client, headers=headers)
    if call.path.startswith(("/api/", "/metrics")):
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
    else:
        assert answer.status_code == 303
        assert answer.headers["location"].partition("?")[0] == "/sign-in"


@pytest.mark.parametrize("call", BY_PERMISSION, ids=str)
def test_one_role_may_and_another_may_not(address: str, tokens: dict[Role, str], call: Call) -> None:
    """A page or a call asks for another permission than the one that its rule names, or for none."""
    assert call.rule is not None
    permission = call.rule.permission
    assert permission is not None
    may = [role for role in Role if permission in carried(role)]
    may_not = [role for role in Role if role not in may]
    with httpx.Client(base_url=address) as client:
        answer = call.request(client, headers={"Authorization": f"Bearer {tokens[may[-1]]}"})
        assert answer.status_code not in {401, 403, 500}, answer.text
        assert not answer.headers.get("location", "").startswith("/sign-in"), answer.headers
        if may_not:
            answer = call.request(client, headers={"Authorization": f"Bearer {tokens[may_not[0]]}"})
            assert answer.status_code == 403, answer.text


def test_an_account_without_a_role_sees_nothing(engine: Engine, address: str) -> None:
    """What every role may, somebody without any may as well."""
    add_account(engine, "roleless", [])
    token = add_token(engine, "roleless")
    with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}) as client:
        for call in BY_PERMISSION:
            assert call.request(client).status_code == 403, call


@pytest.mark.parametrize("call", PERSONAL, ids=str)
def test_ones_own_account_is_for_people(address: str, tokens: dict[Role, str], call: Call) -> None:
    """A program's token changes its owner's password or makes further tokens, or a person cannot see their account."""
    with httpx.Client(base_url=address) as client:
        answer = call.request(client, headers={"Authorization": f"Bearer {tokens[Role.ADMIN]}"})
        assert answer.status_code == 403
    browser, _ = sign_in(address, Role.VIEWER.value)
    with closing(browser):
        csrf = csrf_of(browser.get("/account"))
        if call.method == "POST":
            path = re.sub(r"\{[^}]*\}", "1", call.path)
            answer = browser.post(path, data={"csrf": csrf, "old": "x", "new": "y", "again": "y", "name": "x"})
        else:
            answer = call.request(browser)
        assert answer.status_code not in {401, 403, 500}
        leads_out = call.path == "/sign-out"
        assert answer.headers.get("location", "").startswith("/sign-in") is leads_out


@pytest.mark.parametrize("call", [call for call in RULED if call.is_form and call.method == "POST"], ids=str)
def test_a_form_without_its_value_is_refused(address: str, tokens: dict[Role, str], call: Call) -> None:
    """A page of another site posts a form with the cookie of whoever has it open."""
    assert tokens
    browser, _ = sign_in(address, Role.ADMIN.value)
    with closing(browser):
        for body in (b"", b"csrf=" + b"0" * 64):
            path = re.sub(r"\{[^}]*\}", "1", call.path)
            answer = browser.post(path, content=body, headers={"Content-Type": FORM})
            assert answer.status_code == 403
            assert "The form is not from this page" in answer.text
