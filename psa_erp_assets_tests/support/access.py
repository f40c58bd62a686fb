"""Accounts and signed-in browsers for tests about access."""

import datetime as dt
import re
from collections.abc import Iterable

import httpx
from sqlalchemy import Engine

from psa_erp_assets.domain.access import Grant, Limits, Permission, Role
from psa_erp_assets.services import accounts
from psa_erp_assets.services.accounts import THIS_MACHINE
from psa_erp_assets_tests.support.console import TENANT

NOW = dt.datetime(2026, 10, 5, 9, 30, tzinfo=dt.UTC)
PASSWORD = "correct horse battery staple"
LASTS = dt.timedelta(hours=24)
ENTITIES = ("US", "UK", "DE")

_CSRF = re.compile(r'name="csrf" value="([^"]+)"')


def add_account(
    engine: Engine, login: str, grants: Iterable[Grant] = (Grant(Role.VIEWER),), *, now: dt.datetime = NOW
) -> None:
    """An account whose password is set."""
    secret = accounts.add_account(
        engine, TENANT, login, login.title(), [*grants], actor=THIS_MACHINE, now=now, lasts=LASTS
    )
    accounts.use_link(engine, TENANT, secret, login="", name="", password=PASSWORD, now=now)


def add_token(
    engine: Engine,
    login: str,
    permissions: Iterable[Permission] = Permission,
    entities: Iterable[str] | None = None,
    *,
    now: dt.datetime = NOW,
) -> str:
    """A token of an account, for 90 days."""
    limits = Limits(permissions=frozenset(permissions), entities=None if entities is None else frozenset(entities))
    days = dt.timedelta(days=90)
    return accounts.create_token(engine, TENANT, login, "test", limits, lasts=days, actor=THIS_MACHINE, now=now)


def csrf_of(page: httpx.Response) -> str:
    """The value that the forms of a page repeat."""
    found = _CSRF.search(page.text)
    assert found, page.text
    return found[1]


def sign_in(address: str, login: str, password: str = PASSWORD, **form: str) -> tuple[httpx.Client, httpx.Response]:
    """A browser in which somebody tries to sign in, and the answer; redirects are not followed."""
    browser = httpx.Client(base_url=address, headers={"User-Agent": "Test browser"})
    csrf = csrf_of(browser.get("/sign-in"))
    body = {"csrf": csrf, "login": login, "password": password, **form}
    return browser, browser.post("/sign-in", data=body)
