"""Signing in with an OpenID provider that runs as an HTTP server of its own."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import pytest
from sqlalchemy import Engine

from psa_erp_assets.adapters.openid import OpenIdProvider
from psa_erp_assets.adapters.store import access
from psa_erp_assets.console.gate import AccessSetUp
from psa_erp_assets.domain.access import Grant, Role
from psa_erp_assets.sandbox.openid import OpenIdFault, OpenIdSandbox
from psa_erp_assets.services import accounts
from psa_erp_assets.services.accounts import THIS_MACHINE
from psa_erp_assets.settings import AccessSettings, GroupRoleSettings, OpenIdSettings
from psa_erp_assets_tests.support.access import NOW, add_account
from psa_erp_assets_tests.support.console import TENANT, make_app, served

CLIENT, CLIENT_SECRET = "psa-erp", "a:secret/with+signs"


@dataclass(slots=True)
class Clock:
    """Time that passes when a test says so."""

    now: dt.datetime = NOW

    def __call__(self) -> dt.datetime:
        return self.now


@dataclass(slots=True)
class Desk:
    """A console, its provider, and the time that both go by."""

    provider: OpenIdSandbox
    clock: Clock
    engine: Engine
    address: str = ""
    browsers: list[httpx.Client] = field(default_factory=list)

    def browser(self) -> httpx.Client:
        """Another browser."""
        self.browsers.append(httpx.Client(base_url=self.address))
        return self.browsers[-1]

    def sign_in(self, browser: httpx.Client | None = None, path: str = "/sign-in/openid") -> httpx.Response:
        """Go to the provider and come back; the answer of the console."""
        browser = browser or self.browser()
        there = browser.get(path)
        assert there.status_code == 303, there.text
        back = httpx.get(there.headers["location"])
        assert back.status_code == 302, back.text
        return browser.get(back.headers["location"])

    def grants(self, login: str) -> frozenset[Grant]:
        """The roles of an account in the store."""
        with self.engine.connect() as connection:
            return access.grants_of(connection, TENANT, login)


@pytest.fixture
def desk(store_engine: Engine) -> Iterator[Desk]:
    """A console whose people sign in with a provider; Ada is in the group that operates UK and DE."""
    clock = Clock()
    sandbox = OpenIdSandbox(client_id=CLIENT, client_secret=CLIENT_SECRET, clock=clock)
    sandbox.person = {
        "sub": "00u-ada",
        "email": "Ada@example.com",
        "email_verified": True,
        "name": "Ada",
        "groups": ["everybody", "operations"],
    }
    with served(sandbox.app()) as issuer:
        sandbox.issuer = issuer
        settings = OpenIdSettings(
            issuer=issuer,
            client_id=CLIENT,
            client_secret="PSA_ERP_OPENID_SECRET",
            roles=(
                GroupRoleSettings(group="operations", role=Role.OPERATOR, legal_entities=("UK", "DE")),
                GroupRoleSettings(group="controllers", role=Role.APPROVER),
            ),
        )
        provider = OpenIdProvider(issuer, client_id=CLIENT, client_secret=CLIENT_SECRET, scopes=settings.scopes)
        found = Desk(provider=sandbox, clock=clock, engine=store_engine)
        set_up = AccessSetUp(settings=AccessSettings(openid=settings), provider=provider)
        app = make_app(store_engine, gate=None, clock=clock, access=set_up)
        with served(app) as address:
            # The port is known only now; the provider sends people back to it.
            object.__setattr__(set_up, "url", address)
            found.address = address
            yield found
            for browser in found.browsers:
                browser.close()


def test_the_first_sign_in_makes_an_account_with_the_roles_of_its_groups(desk: Desk) -> None:
    """Somebody of the company signs in and can do nothing, or more than their group may."""
    browser = desk.browser()
    answer = desk.sign_in(browser, "/sign-in/openid?next=/postings%3Fstate%3Dready")
    assert (answer.status_code, answer.headers["location"]) == (303, "/postings?state=ready")
    assert desk.grants("ada@example.com") == {Grant(Role.OPERATOR, "UK"), Grant(Role.OPERATOR, "DE")}
    assert browser.get("/").status_code == 200
    assert "ada@example.com" in browser.get("/account").text


def test_roles_follow_the_groups_at_each_sign_in(desk: Desk) -> None:
    """Somebody changes to another department and keeps the roles of the old one; a role given here is taken along."""
    desk.sign_in()
    extra = Grant(Role.AUDITOR)
    accounts.grant_role(desk.engine, TENANT, "ada@example.com", extra, actor=THIS_MACHINE, now=NOW)
    desk.provider.person["groups"] = ["controllers"]
    assert desk.sign_in().status_code == 303
    assert desk.grants("ada@example.com") == {Grant(Role.APPROVER), extra}


def test_whoever_left_the_groups_loses_their_roles_and_is_not_let_in(desk: Desk) -> None:
    """Somebody leaves the department and goes on with what they could."""
    browser = desk.browser()
    desk.sign_in(browser)
    desk.provider.person["groups"] = []
    answer = desk.sign_in()
    assert answer.status_code == 401
    assert "None of your groups has a role here" in answer.text
    assert desk.grants("ada@example.com") == frozenset()
    # The browser of before is still known, and its roles are gone.
    assert browser.get("/").status_code == 403


@pytest.mark.parametrize(
    "fault",
    [
        OpenIdFault.WRONG_NONCE,
        OpenIdFault.EXPIRED,
        OpenIdFault.WRONG_AUDIENCE,
        OpenIdFault.WRONG_ISSUER,
        OpenIdFault.BAD_SIGNATURE,
        OpenIdFault.UNSIGNED,
        OpenIdFault.NO_ID_TOKEN,
        OpenIdFault.DENIED,
    ],
)
def test_an_id_token_that_proves_nothing_lets_nobody_in(desk: Desk, fault: OpenIdFault) -> None:
    """A token that is old, another's, for another sign-in, or that anybody could have written, is believed."""
    desk.provider.fault = fault
    browser = desk.browser()
    answer = desk.sign_in(browser)
    assert answer.status_code == 401
    assert browser.get("/").headers["location"] == "/sign-in"
    assert desk.grants("ada@example.com") == frozenset()
    desk.provider.fault = None
    assert desk.sign_in(browser).status_code == 303


def test_a_provider_that_is_down_is_said_so(desk: Desk) -> None:
    """The provider does not answer, and the page fails instead of saying so."""
    desk.provider.fault = OpenIdFault.DOWN
    answer = desk.browser().get("/sign-in/openid")
    assert answer.status_code == 502
    assert "The provider answers 503" in answer.text


def test_a_new_key_of_the_provider_is_taken(desk: Desk) -> None:
    """The provider renews its key, and nobody can sign in until the console is started again."""
    desk.sign_in()
    desk.provider.renew_key()
    assert desk.sign_in().status_code == 303


def test_an_answer_that_another_browser_has_begun_is_refused(desk: Desk) -> None:
    """Somebody has another person finish their own sign-in, and that person works in the wrong account."""
    begun = desk.browser().get("/sign-in/openid")
    back = httpx.get(begun.headers["location"]).headers["location"]
    other = desk.browser()
    assert other.get(back).status_code == 401
    other.get("/sign-in/openid")
    assert other.get(back).status_code == 401


def test_a_code_is_used_once(desk: Desk) -> None:
    """An address from a history signs its reader in."""
    browser = desk.browser()
    begun = browser.get("/sign-in/openid")
    back = httpx.get(begun.headers["location"]).headers["location"]
    kept = dict(browser.cookies)
    assert browser.get(back).status_code == 303
    again = desk.browser()
    again.cookies.update({name: value for name, value in kept.items() if name != "psa_erp"})
    assert again.get(back).status_code == 401


def test_another_providers_answer_is_refused(desk: Desk) -> None:
    """A second provider that the person uses is mixed in (RFC 9207)."""
    browser = desk.browser()
    begun = browser.get("/sign-in/openid")
    back = httpx.URL(httpx.get(begun.headers["location"]).headers["location"])
    answer = browser.get(str(back.copy_set_param("iss", "https://elsewhere.example")))
    assert answer.status_code == 401
    assert "another provider" in answer.text


def test_an_address_that_is_not_verified_is_refused(desk: Desk) -> None:
    """Somebody writes another person's address into their profile at the provider."""
    desk.provider.person["email_verified"] = False
    assert desk.sign_in().status_code == 401


def test_an_account_with_a_password_is_not_taken_over(desk: Desk) -> None:
    """Whoever has the provider say a name gets the account that has this name here."""
    add_account(desk.engine, "ada@example.com", [Grant(Role.ADMIN)])
    answer = desk.sign_in()
    assert answer.status_code == 401
    assert "is an account with a password here" in answer.text


def test_a_disabled_account_is_not_let_in(desk: Desk) -> None:
    """Somebody is disabled here and comes in through the provider."""
    desk.sign_in()
    add_account(desk.engine, "root", [Grant(Role.ADMIN)])
    accounts.disable_account(desk.engine, TENANT, "ada@example.com", actor=THIS_MACHINE, now=NOW)
    assert desk.sign_in().status_code == 401
