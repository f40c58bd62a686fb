"""`/api/v1/people`: what the administrators' pages show and do, for programs."""

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Engine

from psa_erp_assets.console.desk import sentence
from psa_erp_assets.console.errors import Refusal
from psa_erp_assets.console.gate import AccessSetUp
from psa_erp_assets.console.guarding import GuardedRoute
from psa_erp_assets.console.people import Administrator, Login
from psa_erp_assets.console.reading import snapshot
from psa_erp_assets.domain.access import Grant, Role
from psa_erp_assets.services import accounts
from psa_erp_assets.services.accounts import AccessRefusedError, AccountLine
from psa_erp_assets.services.trace import NotFoundError

_Text = Annotated[str, Field(min_length=1, max_length=120, pattern=r"^[^\x00-\x1f\x7f]+$")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class GrantBody(_Body):
    """A role, for one legal entity or (null) for all of them."""

    role: Role
    legal_entity: Annotated[str | None, Field(pattern=r"^[A-Z0-9_-]{1,30}$")] = None


class AccountBody(GrantBody):
    """Somebody who shall be able to sign in, with their first role."""

    login: Annotated[_Text, Field(examples=["ada@example.com"])]
    name: Annotated[_Text, Field(examples=["Ada Jones"])]


class Invitation(BaseModel):
    """A link that works once and sets the password. It is told this one time."""

    login: str
    link: str


def people_api_router(
    engine: Engine, *, tenant: str, set_up: AccessSetUp, clock: Callable[[], dt.datetime]
) -> APIRouter:
    """Routes under /api/v1/people."""
    router = APIRouter(
        prefix="/api/v1/people",
        tags=["people"],
        route_class=GuardedRoute,
        responses={
            400: {"model": Refusal, "description": "The body is no JSON in UTF-8."},
            401: {"model": Refusal, "description": "Nobody has signed in, and no token was sent."},
            403: {"model": Refusal, "description": "Not for you."},
            404: {"model": Refusal, "description": "There is no such account."},
            408: {"model": Refusal, "description": "The body did not arrive in time."},
            409: {"model": Refusal, "description": "It cannot be; the detail says why."},
            413: {"model": Refusal, "description": "The body is larger than 64 KiB."},
            415: {
                "model": Refusal,
                "description": "The body is not announced as application/json; send {} where none is needed.",
            },
            422: {"model": Refusal, "description": "Something is not understood."},
            503: {"model": Refusal, "description": "The store cannot be reached."},
        },
    )

    def person(login: str) -> AccountLine:
        with snapshot(engine) as connection:
            lines = [line for line in accounts.list_accounts(connection, tenant, clock()) if line.login == login]
        if not lines:
            raise NotFoundError(f"there is no account {login}")
        return lines[0]

    def changed(login: str, change: Callable[[], None]) -> AccountLine:
        person(login)
        with _refusals():
            change()
        return person(login)

    def invitation(login: str, secret: str) -> Invitation:
        return Invitation(login=login, link=f"{set_up.url.rstrip('/')}/link/{secret}")

    def checked(body: GrantBody) -> Grant:
        return accounts.parse_grant(f"{body.role.value}:{body.legal_entity or ''}", set_up.entities)

    @router.get("", summary="Accounts")
    def read_people(_: Administrator) -> list[AccountLine]:
        """Everybody who has an account, with their roles and how many browsers they are signed in with."""
        with snapshot(engine) as connection:
            return accounts.list_accounts(connection, tenant, clock())

    @router.post("", status_code=201, summary="Add an account")
    def add(actor: Administrator, body: AccountBody) -> Invitation:
        """The person sets a password by the link."""
        with _refusals():
            secret = accounts.add_account(
                engine,
                tenant,
                body.login,
                body.name,
                [checked(body)],
                actor=actor,
                now=clock(),
                lasts=set_up.link_lasts,
            )
            return invitation(accounts.checked_login(body.login), secret)

    @router.get("/{login}", summary="One account")
    def read_person(_: Administrator, login: Login) -> AccountLine:
        """An account with its roles."""
        return person(login)

    @router.post("/{login}/grant", summary="Give a role")
    def grant_role(actor: Administrator, login: Login, body: GrantBody) -> AccountLine:
        """In effect with the next request of theirs."""
        return changed(
            login, lambda: accounts.grant_role(engine, tenant, login, checked(body), actor=actor, now=clock())
        )

    @router.post("/{login}/revoke", summary="Take a role")
    def revoke_role(actor: Administrator, login: Login, body: GrantBody) -> AccountLine:
        """An entity that the settings have lost can still be taken."""
        grant = Grant(body.role, body.legal_entity)
        return changed(login, lambda: accounts.revoke_role(engine, tenant, login, grant, actor=actor, now=clock()))

    @router.post("/{login}/disable", summary="Disable an account")
    def disable(actor: Administrator, login: Login) -> AccountLine:
        """Its browsers are signed out and its tokens revoked."""
        return changed(login, lambda: accounts.disable_account(engine, tenant, login, actor=actor, now=clock()))

    @router.post("/{login}/enable", summary="Enable an account")
    def enable(actor: Administrator, login: Login) -> AccountLine:
        """It can be used again; its tokens stay revoked."""
        return changed(login, lambda: accounts.enable_account(engine, tenant, login, actor=actor, now=clock()))

    @router.post("/{login}/link", status_code=201, summary="Make a link to set the password")
    def new_link(actor: Administrator, login: Login) -> Invitation:
        """For somebody who has forgotten theirs, or whose link is too old."""
        person(login)
        with _refusals():
            secret = accounts.reset_link(engine, tenant, login, actor=actor, now=clock(), lasts=set_up.link_lasts)
        return invitation(login, secret)

    return router


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except AccessRefusedError as error:
        raise HTTPException(HTTPStatus.CONFLICT, sentence(error)) from None
