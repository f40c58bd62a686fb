"""The administrators' pages: who has an account, with which roles for which legal entities."""

import datetime as dt
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Path, Query, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment
from sqlalchemy import Engine

from psa_erp_assets.console.access import requires
from psa_erp_assets.console.desk import sentence
from psa_erp_assets.console.gate import AccessSetUp
from psa_erp_assets.console.guarding import FormRoute
from psa_erp_assets.console.reading import snapshot
from psa_erp_assets.console.rendering import in_path
from psa_erp_assets.console.sign_in import Typed
from psa_erp_assets.domain.access import Actor, Grant, Permission, Role, carried
from psa_erp_assets.services import accounts
from psa_erp_assets.services.accounts import AccessRefusedError
from psa_erp_assets.services.trace import NotFoundError

Administrator = Annotated[Actor, Depends(requires(Permission.ADMINISTER))]
Login = Annotated[
    str, Path(pattern=r"^[a-z0-9][a-z0-9._@+-]{0,119}$", description="The name that somebody signs in with.")
]
Done = Annotated[str, Query(pattern=r"^[a-z_]{0,30}$")]
Chosen = Annotated[Role, Form()]
Entity = Annotated[str, Form(pattern=r"^[A-Z0-9_-]{0,30}$")]

_DONE = {
    "granted": "The role is given.",
    "revoked": "The role is taken.",
    "disabled": "The account is disabled; its browsers are signed out and its tokens revoked.",
    "enabled": "The account can be used again.",
}


def people_router(
    engine: Engine,
    environment: Environment,
    *,
    tenant: str,
    set_up: AccessSetUp,
    clock: Callable[[], dt.datetime],
) -> APIRouter:
    """Routes of /people."""
    router = APIRouter(default_response_class=HTMLResponse, include_in_schema=False, route_class=FormRoute)

    def people(*, status: int = 200, problem: str = "", **typed: str) -> Response:
        with snapshot(engine) as connection:
            lines = accounts.list_accounts(connection, tenant, clock())
        roles = [(role, sorted(carried(role))) for role in Role]
        text = environment.get_template("people.html").render(
            people=lines, roles=roles, entities=set_up.entities, problem=problem, typed=typed
        )
        return HTMLResponse(text, status)

    def person(login: str, *, status: int = 200, **values: Any) -> Response:
        with snapshot(engine) as connection:
            lines = [line for line in accounts.list_accounts(connection, tenant, clock()) if line.login == login]
        if not lines:
            raise NotFoundError(f"there is no account {login}")
        shown = {"problem": "", "done": "", "link": "", "hours": set_up.settings.link_hours} | values
        text = environment.get_template("person.html").render(
            person=lines[0], roles=list(Role), entities=set_up.entities, **shown
        )
        return HTMLResponse(text, status)

    def changed(login: str, done: str, change: Callable[[], None]) -> Response:
        try:
            change()
        except AccessRefusedError as error:
            return person(login, status=422, problem=sentence(error))
        return RedirectResponse(f"/people/{in_path(login)}?done={done}", HTTPStatus.SEE_OTHER)

    def link(secret: str) -> str:
        return f"{set_up.url.rstrip('/')}/link/{secret}"

    @router.get("/people")
    def show_people(_: Administrator) -> Response:
        return people()

    @router.post("/people")
    def add(
        actor: Administrator, *, login: Typed, name: Typed, role: Chosen = Role.VIEWER, entity: Entity = ""
    ) -> Response:
        try:
            grant = accounts.parse_grant(f"{role.value}:{entity}", set_up.entities)
            secret = accounts.add_account(
                engine, tenant, login, name, [grant], actor=actor, now=clock(), lasts=set_up.link_lasts
            )
        except AccessRefusedError as error:
            return people(status=422, problem=sentence(error), login=login, name=name)
        return person(accounts.checked_login(login), link=link(secret), done="The account is added.")

    @router.get("/people/{login}")
    def show_person(_: Administrator, login: Login, done: Done = "") -> Response:
        return person(login, done=_DONE.get(done, ""))

    @router.post("/people/{login}/grant")
    def grant_role(actor: Administrator, login: Login, role: Chosen, entity: Entity = "") -> Response:
        def change() -> None:
            grant = accounts.parse_grant(f"{role.value}:{entity}", set_up.entities)
            accounts.grant_role(engine, tenant, login, grant, actor=actor, now=clock())

        return changed(login, "granted", change)

    @router.post("/people/{login}/revoke")
    def revoke_role(actor: Administrator, login: Login, role: Chosen, entity: Entity = "") -> Response:
        def change() -> None:
            # Not `parse_grant`: an entity that the settings have lost can still be taken.
            grant = Grant(role, entity or None)
            accounts.revoke_role(engine, tenant, login, grant, actor=actor, now=clock())

        return changed(login, "revoked", change)

    @router.post("/people/{login}/disable")
    def disable(actor: Administrator, login: Login) -> Response:
        return changed(
            login, "disabled", lambda: accounts.disable_account(engine, tenant, login, actor=actor, now=clock())
        )

    @router.post("/people/{login}/enable")
    def enable(actor: Administrator, login: Login) -> Response:
        return changed(
            login, "enabled", lambda: accounts.enable_account(engine, tenant, login, actor=actor, now=clock())
        )

    @router.post("/people/{login}/link")
    def new_link(actor: Administrator, login: Login) -> Response:
        try:
            secret = accounts.reset_link(engine, tenant, login, actor=actor, now=clock(), lasts=set_up.link_lasts)
        except AccessRefusedError as error:
            return person(login, status=422, problem=sentence(error))
        return person(login, link=link(secret))

    return router
