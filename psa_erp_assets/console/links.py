"""The page of a one-time link, on which somebody sets a password and is signed in. Open to everybody."""

import datetime as dt
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Form, Path, Request, Response
from fastapi.responses import HTMLResponse
from sqlalchemy import Engine

from psa_erp_assets.console.desk import Desk, sentence
from psa_erp_assets.console.gate import browser_of
from psa_erp_assets.console.guarding import FormRoute
from psa_erp_assets.services import accounts, sign_in
from psa_erp_assets.services.accounts import AccessRefusedError, LinkRefusedError

# Longer than anything that may be set, so that the rule is explained by the service.
Typed = Annotated[str, Form(max_length=400)]
Secret = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{20,100}$", description="The link's secret.")]


def link_router(
    engine: Engine,
    desk: Desk,
    *,
    tenant: str,
    clock: Callable[[], dt.datetime],
) -> APIRouter:
    """Routes of /link."""
    router = APIRouter(default_response_class=HTMLResponse, include_in_schema=False, route_class=FormRoute)
    set_up = desk.set_up

    @router.get("/link/{secret}")
    def show_link(request: Request, secret: Secret) -> Response:
        return link_page(request, secret)

    @router.post("/link/{secret}")
    def take_link(
        request: Request,
        secret: Secret,
        *,
        password: Typed,
        again: Typed,
        login: Typed = "",
        name: Typed = "",
        csrf: Typed = "",
    ) -> Response:
        typed = {"login": login, "name": name}
        if not desk.is_own_form(request, csrf):
            return link_page(request, secret, problem="The form was too old. Please try again.", status=403, **typed)
        if password != again:
            return link_page(request, secret, problem="The two passwords differ.", status=422, **typed)
        try:
            subject = accounts.use_link(engine, tenant, secret, **typed, password=password, now=clock())
            browser = browser_of(request)
            cookie = sign_in.sign_in_after_link(
                engine, tenant, subject, browser=browser, lifetimes=set_up.lifetimes, now=clock()
            )
        except LinkRefusedError as error:
            return desk.page(request, "link_refused.html", status=410, problem=sentence(error))
        except AccessRefusedError as error:
            return link_page(request, secret, problem=sentence(error), status=422, **typed)
        return desk.let_in(cookie, "/")

    def link_page(
        request: Request, secret: str, *, problem: str = "", status: int = 200, login: str = "", name: str = ""
    ) -> Response:
        try:
            known = accounts.link_login(engine, tenant, secret, now=clock())
        except LinkRefusedError as error:
            return desk.page(request, "link_refused.html", status=410, problem=sentence(error))
        return desk.page(
            request,
            "link.html",
            status=status,
            known=known,
            problem=problem,
            login=login,
            name=name,
            fewest=accounts.FEWEST_CHARACTERS,
        )

    return router
