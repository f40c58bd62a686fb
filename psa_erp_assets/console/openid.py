"""Signing in with the OpenID provider: the way there and the way back. Open to everybody."""

import base64
import binascii
import datetime as dt
import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from sqlalchemy import Engine

from psa_erp_assets.adapters.openid import OpenIdError, OpenIdProvider
from psa_erp_assets.adapters.passwords import same
from psa_erp_assets.console.desk import Desk, local, sentence
from psa_erp_assets.console.gate import SIGNED_IN, browser_of
from psa_erp_assets.console.sign_in import Next
from psa_erp_assets.services import sign_in
from psa_erp_assets.services.sign_in import PendingSignIn, SignInRefusedError
from psa_erp_assets.settings import OpenIdSettings

CALLBACK = "/sign-in/openid/callback"
"""Where the provider sends somebody back to; it must know this address."""

_PENDING, _PENDING_LASTS = "psa_erp_openid", dt.timedelta(minutes=15)
Code = Annotated[str, Query(max_length=4_000)]


def openid_router(
    engine: Engine,
    desk: Desk,
    *,
    tenant: str,
    clock: Callable[[], dt.datetime],
) -> APIRouter:
    """Routes of /sign-in/openid."""
    router = APIRouter(default_response_class=HTMLResponse, include_in_schema=False)
    set_up = desk.set_up
    settings, provider = set_up.settings, set_up.provider

    @router.get("/sign-in/openid")
    def begin(request: Request, wanted: Next = "/") -> Response:
        openid, _ = configured()
        try:
            url, pending = sign_in.begin_openid(openid, set_up.url.rstrip("/") + CALLBACK, clock())
        except OpenIdError as error:
            return desk.sign_in_page(request, wanted=wanted, problem=sentence(error), status=502)
        response = RedirectResponse(url, HTTPStatus.SEE_OTHER)
        set_up.keep(response, _PENDING, _packed(pending, local(wanted)), lasts=_PENDING_LASTS)
        return response

    @router.get(CALLBACK)
    def finish(
        request: Request, state: Code = "", code: Code = "", iss: Code | None = None, error: Code = ""
    ) -> Response:
        openid, rules = configured()
        pending, wanted = _unpacked(request.cookies.get(set_up.cookie(_PENDING), ""))

        def refused(problem: str) -> Response:
            response = desk.sign_in_page(request, wanted=wanted, problem=problem, status=401)
            set_up.forget(response, _PENDING)
            return response

        if pending is None or not same(pending.state, state):
            return refused("This sign-in was not begun here, or it took too long. Please try again.")
        # RFC 9207: an answer that another provider has mixed in.
        if iss is not None and iss != rules.issuer:
            return refused("The answer is another provider's.")
        if error or not code:
            return refused("The provider did not sign you in.")
        now = clock()
        try:
            claims = openid.claims(
                code, set_up.url.rstrip("/") + CALLBACK, nonce=pending.nonce, verifier=pending.verifier, now=now
            )
            secret = sign_in.finish_openid(
                engine,
                tenant,
                claims,
                rules,
                browser=browser_of(request),
                lifetimes=set_up.lifetimes,
                now=now,
                before=request.cookies.get(set_up.cookie(SIGNED_IN)),
            )
        except (OpenIdError, SignInRefusedError) as problem:
            return refused(sentence(problem))
        response = desk.let_in(secret, wanted)
        set_up.forget(response, _PENDING)
        return response

    def configured() -> tuple[OpenIdProvider, OpenIdSettings]:
        if provider is None or settings.openid is None:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        return provider, settings.openid

    return router


def _packed(pending: PendingSignIn, wanted: str) -> str:
    body = {"state": pending.state, "nonce": pending.nonce, "verifier": pending.verifier, "next": wanted[:500]}
    return base64.urlsafe_b64encode(json.dumps(body).encode()).decode()


def _unpacked(cookie: str) -> tuple[PendingSignIn | None, str]:
    try:
        body = json.loads(base64.urlsafe_b64decode(cookie.encode()))
        pending = PendingSignIn(**{name: str(body[name]) for name in ("state", "nonce", "verifier")})
        return pending, str(body["next"])
    except (binascii.Error, ValueError, KeyError, TypeError):
        return None, "/"
