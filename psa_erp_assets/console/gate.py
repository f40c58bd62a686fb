"""Who is behind a request: the cookie of a browser, or a program's token. And the cookies that say so."""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fastapi import Request, Response
from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool

from psa_erp_assets.adapters.openid import OpenIdProvider
from psa_erp_assets.console.access import Gate, Visitor
from psa_erp_assets.services import sign_in
from psa_erp_assets.services.sign_in import Browser, Lifetimes
from psa_erp_assets.settings import AccessSettings

_BEARER = "bearer "


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessSetUp:
    """How people sign in to one console. `url` is its address as browsers have it, `entities` the group's codes."""

    settings: AccessSettings = field(default_factory=AccessSettings)
    provider: OpenIdProvider | None = None
    url: str = "http://127.0.0.1:8080"
    entities: Sequence[str] = ()

    @property
    def lifetimes(self) -> Lifetimes:
        """How long somebody stays signed in."""
        return Lifetimes(
            idle=dt.timedelta(minutes=self.settings.idle_minutes),
            longest=dt.timedelta(hours=self.settings.longest_hours),
        )

    @property
    def link_lasts(self) -> dt.timedelta:
        """How long a one-time link can be used."""
        return dt.timedelta(hours=self.settings.link_hours)

    @property
    def is_secure(self) -> bool:
        """Whether browsers reach the console by https."""
        return self.url.startswith("https://")

    def cookie(self, name: str) -> str:
        """A cookie's name. With the prefix a browser takes it from this host alone, and by https alone."""
        return f"__Host-{name}" if self.is_secure else name

    def keep(self, response: Response, name: str, value: str, *, lasts: dt.timedelta) -> None:
        """Have the browser keep a cookie that no script reads."""
        response.set_cookie(
            self.cookie(name),
            value,
            max_age=int(lasts.total_seconds()),
            path="/",
            secure=self.is_secure,
            httponly=True,
            samesite="lax",
        )

    def forget(self, response: Response, name: str) -> None:
        """Have the browser forget a cookie."""
        response.delete_cookie(self.cookie(name), path="/", secure=self.is_secure, httponly=True, samesite="lax")


SIGNED_IN = "psa_erp"
"""The cookie of a browser that somebody has signed in with."""


def browser_of(request: Request) -> Browser:
    """Where a request comes from."""
    address = request.client.host if request.client is not None else ""
    return Browser(address=address, name=request.headers.get("user-agent", ""))


def make_gate(engine: Engine, tenant: str, set_up: AccessSetUp, clock: Callable[[], dt.datetime]) -> Gate:
    """The gate of a console. A request with a token is judged by the token alone, whatever cookie comes along."""

    def look(secret: str | None, authorization: str) -> Visitor | None:
        if authorization:
            if not authorization.lower().startswith(_BEARER):
                return None
            program = sign_in.program(engine, tenant, authorization[len(_BEARER) :].strip(), now=clock())
            return None if program is None else Visitor(actor=program.actor, token=program.prefix)
        if not secret:
            return None
        person = sign_in.person(engine, tenant, secret, lifetimes=set_up.lifetimes, now=clock())
        if person is None:
            return None
        return Visitor(actor=person.actor, csrf=person.csrf, sign_in_id=person.sign_in_id)

    async def gate(request: Request) -> Visitor | None:
        secret, authorization = request.cookies.get(set_up.cookie(SIGNED_IN)), request.headers.get("authorization", "")
        return await run_in_threadpool(look, secret, authorization)

    return gate
