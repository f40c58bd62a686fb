"""The page about one's own account: roles, password, browsers that are signed in, and tokens."""

import datetime as dt
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Path, Query, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment
from sqlalchemy import Engine

from psa_erp_assets.console.access import current_visitor, requires_person
from psa_erp_assets.console.desk import sentence
from psa_erp_assets.console.gate import SIGNED_IN, AccessSetUp
from psa_erp_assets.console.guarding import FormRoute
from psa_erp_assets.console.reading import snapshot
from psa_erp_assets.console.sign_in import Typed
from psa_erp_assets.domain.access import Actor, Limits, Permission
from psa_erp_assets.services import accounts, sign_in
from psa_erp_assets.services.accounts import AccessRefusedError
from psa_erp_assets.services.my_account import my_account

Person = Annotated[Actor, Depends(requires_person())]
Prefix = Annotated[str, Path(pattern=r"^[A-Za-z0-9]{1,20}$")]
Done = Annotated[str, Query(pattern=r"^[a-z_]{0,30}$")]

_DONE = {
    "browser": "That browser is signed out.",
    "token": "The token is revoked. Whatever used it is refused from now on.",
}


def my_account_router(
    engine: Engine,
    environment: Environment,
    *,
    tenant: str,
    set_up: AccessSetUp,
    clock: Callable[[], dt.datetime],
) -> APIRouter:
    """Routes of /account."""
    router = APIRouter(default_response_class=HTMLResponse, include_in_schema=False, route_class=FormRoute)

    def page(actor: Actor, *, status: int = 200, **values: Any) -> Response:
        shown = {"problem": "", "done": "", "token": "", "typed": {}} | values
        with snapshot(engine) as connection:
            mine = my_account(connection, tenant, actor, lifetimes=set_up.lifetimes, now=clock())
        visitor = current_visitor()
        text = environment.get_template("my_account.html").render(
            mine=mine,
            here_id=None if visitor is None else visitor.sign_in_id,
            allowed=[p for p in Permission if actor.may(p)],
            entities=set_up.entities,
            fewest=accounts.FEWEST_CHARACTERS,
            longest_days=accounts.LONGEST_TOKEN.days,
            **shown,
        )
        return HTMLResponse(text, status)

    @router.get("/account")
    def show(actor: Person, done: Done = "") -> Response:
        return page(actor, done=_DONE.get(done, ""))

    @router.post("/account/password")
    def change_password(actor: Person, old: Typed, new: Typed, again: Typed) -> Response:
        if new != again:
            return page(actor, status=422, problem="The two passwords differ.")
        try:
            accounts.change_password(engine, tenant, actor.id, old=old, new=new, now=clock())
        except AccessRefusedError as error:
            return page(actor, status=422, problem=sentence(error))
        # Every browser is signed out, this one too: whoever knew the old password may be in one of them.
        response = RedirectResponse("/sign-in", HTTPStatus.SEE_OTHER)
        set_up.forget(response, SIGNED_IN)
        return response

    @router.post("/account/browsers/{sign_in_id}/sign-out")
    def sign_out_browser(actor: Person, sign_in_id: Annotated[int, Path(ge=1, le=2**62)]) -> Response:
        sign_in.sign_out_others(engine, tenant, actor.id, now=clock(), sign_in_id=sign_in_id)
        return RedirectResponse("/account?done=browser", HTTPStatus.SEE_OTHER)

    @router.post("/account/tokens")
    def create_token(
        actor: Person,
        *,
        name: Typed,
        days: Annotated[int, Form(ge=1, le=366)] = 90,
        permission: Annotated[list[Permission] | None, Form()] = None,
        entity: Annotated[list[str] | None, Form()] = None,
    ) -> Response:
        limits = Limits(permissions=frozenset(permission or ()), entities=frozenset(entity) if entity else None)
        try:
            token = accounts.create_token(
                engine,
                tenant,
                actor.id,
                name,
                limits,
                lasts=dt.timedelta(days=days),
                actor=actor,
                now=clock(),
            )
        except AccessRefusedError as error:
            return page(actor, status=422, problem=sentence(error), typed={"name": name, "days": days})
        return page(actor, token=token)

    @router.post("/account/tokens/{prefix}/revoke")
    def revoke_token(actor: Person, prefix: Prefix) -> Response:
        try:
            accounts.revoke_token(engine, tenant, prefix, actor=actor, now=clock(), login=actor.id)
        except AccessRefusedError as error:
            return page(actor, status=404, problem=sentence(error))
        return RedirectResponse("/account?done=token", HTTPStatus.SEE_OTHER)

    return router
