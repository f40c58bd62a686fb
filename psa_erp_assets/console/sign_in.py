"""The pages on which somebody signs in with a password and out again, and what a proxy asks. Open to everybody."""

import datetime as dt
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Form, HTTPException, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from sqlalchemy import Engine

from psa_erp_assets.console.access import Gate, requires_person
from psa_erp_assets.console.desk import Desk, sentence
from psa_erp_assets.console.gate import SIGNED_IN, browser_of
from psa_erp_assets.console.guarding import FormRoute
from psa_erp_assets.domain.access import Actor, Permission
from psa_erp_assets.services import accounts, sign_in
from psa_erp_assets.services.accounts import spelled
from psa_erp_assets.services.sign_in import SignInRefusedError, TooManyAttemptsError

# Longer than anything that may be set, so that the rule is explained by the service.
Typed = Annotated[str, Form(max_length=400)]
Next = Annotated[str, Query(max_length=2_000, alias="next", description="The page that was asked for.")]


def sign_in_router(
    engine: Engine,
    desk: Desk,
    *,
    tenant: str,
    clock: Callable[[], dt.datetime],
) -> APIRouter:
    """Routes of /sign-in, /sign-out and /auth."""
    router = APIRouter(default_response_class=HTMLResponse, include_in_schema=False, route_class=FormRoute)
    set_up = desk.set_up
    settings = set_up.settings

    @router.get("/sign-in")
    def show_sign_in(request: Request, wanted: Next = "/") -> Response:
        return desk.sign_in_page(request, wanted=wanted)

    @router.post("/sign-in")
    def take_sign_in(
        request: Request,
        login: Typed,
        password: Typed,
        csrf: Typed = "",
        wanted: Annotated[str, Form(alias="next", max_length=2_000)] = "/",
    ) -> Response:
        if not settings.passwords:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        if not desk.is_own_form(request, csrf):
            problem = "The form was too old. Please sign in again."
            return desk.sign_in_page(request, wanted=wanted, problem=problem, login=login, status=403)
        try:
            secret = sign_in.sign_in_with_password(
                engine,
                tenant,
                login,
                password,
                browser=browser_of(request),
                lifetimes=set_up.lifetimes,
                now=clock(),
                before=request.cookies.get(set_up.cookie(SIGNED_IN)),
            )
        except TooManyAttemptsError as error:
            headers, problem = {"Retry-After": str(error.retry_after)}, sentence(error)
            return desk.sign_in_page(request, wanted=wanted, problem=problem, login=login, status=429, headers=headers)
        except SignInRefusedError as error:
            return desk.sign_in_page(request, wanted=wanted, problem=sentence(error), login=login, status=401)
        return desk.let_in(secret, wanted)

    @router.post("/sign-out")
    def sign_out(request: Request, _: Annotated[Actor, Depends(requires_person())]) -> Response:
        sign_in.sign_out(engine, tenant, request.cookies.get(set_up.cookie(SIGNED_IN), ""), now=clock())
        response = RedirectResponse("/sign-in", HTTPStatus.SEE_OTHER)
        set_up.forget(response, SIGNED_IN)
        return response

    @router.get("/auth/check")
    async def check(
        request: Request,
        permission: Annotated[Permission, Query(description="What the visitor must be allowed.")] = Permission.VIEW,
    ) -> Response:
        """What a proxy asks before it passes a request on: 204 and who it is, 401 for nobody, 403 for somebody else."""
        gate: Gate = request.app.state.gate
        visitor = await gate(request)
        if visitor is None:
            return Response(status_code=HTTPStatus.UNAUTHORIZED)
        if not visitor.actor.may(permission):
            return Response(status_code=HTTPStatus.FORBIDDEN)
        roles = ",".join(spelled(grant) for grant in accounts.in_order(visitor.actor.grants))
        headers = {"X-Auth-User": visitor.actor.id, "X-Auth-Roles": roles}
        return Response(status_code=HTTPStatus.NO_CONTENT, headers=headers)

    return router
