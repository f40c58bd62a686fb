"""What a request that changes something must be: JSON or a form within bounds, and from no other site's page.

Whoever has signed in has a cookie that the browser sends along, so a page of another site that they have open must not
be able to post to the console. A browser says where a request comes from (Origin, Sec-Fetch-Site), and asks first
before it sends JSON to another origin, which nothing here allows. Programs send neither header.
"""

from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import urlsplit

from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute
from starlette.types import Message, Scope

from psa_erp_assets.console.webhooks import REFUSALS, check_length, read_body
from psa_erp_assets.services.receiving import WebhookPolicy, WebhookRefusedError, check_media, json_text

POLICY = WebhookPolicy(body_bytes=64 * 1024)
"""Bounds on one body: a piece of work has a few hundred bytes, and a long description some thousands."""

FORM = "application/x-www-form-urlencoded"
"""What a browser sends a form as that has no files."""

# The page itself, or no page: an address that somebody typed.
_OWN_SITES = ("same-origin", "none")


class GuardedRoute(APIRoute):
    """A route that checks a request before FastAPI reads its body. GET passes as it is."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route's handler behind the checks."""
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            if request.method != "GET":
                refuse_foreign(request)
                request = _Read(request.scope, await _checked_body(request))
            return await handle(request)

        return guarded


class FormRoute(APIRoute):
    """A route of a page's form: it checks where the form comes from and its size before FastAPI reads it."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route's handler behind the checks."""
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            if request.method != "GET":
                refuse_foreign(request)
                if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
                    raise HTTPException(415, f"the form must be sent as {FORM}", {"Connection": "close"})
                request = _replayed(request.scope, await _body_of(request))
            return await handle(request)

        return guarded


def refuse_foreign(request: Request) -> None:
    """Raise HTTPException 403 where a browser says that another site's page is asking."""
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    # Without the scheme: behind a proxy that ends TLS it differs. "null" has no host and is foreign, unless the browser
    # itself says that it is this page's: pages that send no referrer have their forms sent with it.
    vouched = origin == "null" and site == "same-origin"
    own = origin is None or vouched or _host(origin) == request.headers.get("host", "").lower()
    if not own or (site is not None and site not in _OWN_SITES):
        raise HTTPException(403, "the request comes from another site's page", {"Connection": "close"})


def _host(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


async def _body_of(request: Request) -> bytes:
    check_length(request.headers.get("content-length", "0"), POLICY)
    return await read_body(request.receive, POLICY)


async def _checked_body(request: Request) -> bytes:
    try:
        check_media(request.headers)
        body = await _body_of(request)
        json_text(body, POLICY.nesting)
    except WebhookRefusedError as error:
        raise HTTPException(REFUSALS[type(error)], str(error), {"Connection": "close"}) from error
    return body


def _replayed(scope: Scope, body: bytes) -> Request:
    """The request again, with its body to be read from the beginning."""

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request(scope, receive)


class _Read(Request):
    """A request whose body has been read."""

    def __init__(self, scope: Scope, body: bytes) -> None:
        super().__init__(scope)
        self._read = body

    async def body(self) -> bytes:
        """The body."""
        return self._read
