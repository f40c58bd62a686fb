"""`POST /webhooks/{source}`: reads a body within bounds, has it verified and kept, and answers 202 after the commit.

It is answered in front of FastAPI, whose machinery would take longer than the rest; FastAPI knows the route for the
description of the API.
"""

import asyncio
import datetime as dt
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel
from starlette.types import ASGIApp, Receive, Scope, Send

from psa_erp_assets.console.errors import Refusal
from psa_erp_assets.console.security import NOT_STORED
from psa_erp_assets.services import receiving
from psa_erp_assets.services.intake import Intake
from psa_erp_assets.services.receipts import Receipts

REFUSALS: Mapping[type[receiving.WebhookRefusedError], int] = {
    receiving.UnverifiedError: 401,
    receiving.UnsupportedMediaError: 415,
    receiving.NotJsonError: 400,
    receiving.UnusableBodyError: 422,
}
# The rest of an unread body must not be taken for the next request.
_CLOSE = {"Connection": "close"}
_NOT_ACCEPTED, _PATH = "not accepted", "/webhooks/"
_UNAVAILABLE = b'{"detail":"the store cannot be reached"}'
_ANSWER = [*NOT_STORED.items(), (b"content-type", b"application/json")]
_LATE = "the body is late"
RETRY_AFTER_SECONDS = 15

logger = logging.getLogger(__name__)


class Receipt(BaseModel):
    """The delivery is kept. `copies` counts how often the same body has come."""

    delivery_id: str
    copies: int


class WebhookLane:
    """ASGI middleware, the outermost: answers POST /webhooks/{source} by itself and passes everything else on.

    What stands between the server and a route (who may ask, what a page needs) would take longer than all the rest of
    receiving, and a vendor proves itself by its signature.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        intake: Intake,
        sources: Mapping[str, receiving.WebhookSource],
        policy: receiving.WebhookPolicy,
        hosts: Sequence[str],
        clock: Callable[[], dt.datetime],
        receipts: Receipts,
    ) -> None:
        self._app, self._intake, self._sources, self._policy = app, intake, sources, policy
        self._hosts, self._clock, self._receipts = frozenset(hosts), clock, receipts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        if scope["type"] != "http" or scope["method"] != "POST" or not scope["path"].startswith(_PATH):
            await self._app(scope, receive, send)
            return
        began, copies = time.perf_counter(), 0
        extra: Mapping[str, str] = {}
        try:
            body, copies = await self._receipt(scope, receive)
            status = 202
        except HTTPException as error:
            status, body = error.status_code, json.dumps({"detail": error.detail}).encode()
            extra = error.headers or {}
        except receiving.StoreUnavailableError as error:
            # Not the error's text: it repeats the statement's parameters, which are business data.
            logger.warning("the store failed: %s", type(error.cause).__name__)
            status, body, extra = 503, _UNAVAILABLE, {"Retry-After": str(RETRY_AFTER_SECONDS)}
        headers = [*_ANSWER, (b"content-length", b"%d" % len(body))]
        for name, value in extra.items():
            headers.append((name.lower().encode(), value.encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        self._receipts.count(scope["path"][len(_PATH) :], status, copies=copies, began=began)

    async def _receipt(self, scope: Scope, receive: Receive) -> tuple[bytes, int]:
        """The answer to a delivery that is kept, and how often it has come.

        Raises HTTPException for one that is not, and StoreUnavailableError.
        """
        # The first of two headers with one name counts.
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(scope["headers"])}
        if headers.get("host", "").partition(":")[0] not in self._hosts and "*" not in self._hosts:
            raise HTTPException(400, "invalid host", _CLOSE)
        source = scope["path"][len(_PATH) :]
        if source not in self._sources:
            raise HTTPException(401, "not verified", _CLOSE)
        try:
            body = await read_body(receive, headers.get("content-length", "0"), self._policy)
        except HTTPException as error:
            # A stranger is not told what the bounds are.
            raise HTTPException(error.status_code, _NOT_ACCEPTED, error.headers) from error
        try:
            arrival = receiving.admit(
                self._sources, source=source, headers=headers, body=body, now=self._clock(), policy=self._policy
            )
        except receiving.WebhookRefusedError as error:
            raise _refusal(error) from error
        outcome = await self._intake.keep(arrival)
        if isinstance(outcome, receiving.StoreUnavailableError):
            raise outcome
        if isinstance(outcome, receiving.UnusableBodyError):
            raise _refusal(outcome) from outcome
        return b'{"delivery_id":"%b","copies":%d}' % (arrival.delivery_id.encode(), outcome), outcome


def webhook_router() -> APIRouter:
    """The route as the API's description has it. `WebhookLane` answers it."""
    router = APIRouter(tags=["webhooks"])

    @router.post(
        "/webhooks/{source}",
        status_code=202,
        response_model=Receipt,
        summary="Announce that an object changed",
        responses={code: {"model": Refusal} for code in (400, 401, 408, 413, 415, 422, 503)},
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": {"type": ["object", "array"]}}},
            }
        },
    )
    async def receive(source: str) -> None:  # noqa: ARG001 - it is in the path
        """Kept when the answer is 202, and only then. 503 asks to send it again; the other refusals are final."""
        raise HTTPException(401, "not verified", _CLOSE)

    return router


def _refusal(error: receiving.WebhookRefusedError) -> HTTPException:
    status = REFUSALS[type(error)]
    return HTTPException(status, "not verified" if status == 401 else _NOT_ACCEPTED)


async def read_body(receive: Receive, announced: str, policy: receiving.WebhookPolicy) -> bytes:
    """The body, read no further than the policy allows whatever its `announced` Content-Length claims.

    Raises HTTPException.
    """
    if not announced.isascii() or not announced.isdigit() or len(announced) > 18:
        raise HTTPException(400, "content-length must be a number", _CLOSE)
    if int(announced) > policy.body_bytes:
        raise _too_large(policy)
    task = asyncio.current_task()
    assert task is not None
    # As `asyncio.timeout` does it, which takes as long as all the rest of reading.
    late = asyncio.get_running_loop().call_later(policy.body_seconds, task.cancel, _LATE)
    pieces: list[bytes] = []
    size, more = 0, True
    try:
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                # Nobody is there to read the answer; the server's log gets a refusal instead of a failure.
                raise HTTPException(400, "the sender went away")
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            if size > policy.body_bytes:
                raise _too_large(policy)
            more = message.get("more_body", False)
    except asyncio.CancelledError as error:
        # Where the server cancels too, because it ends, that is what counts.
        if error.args != (_LATE,) or task.uncancel():
            raise
        raise HTTPException(408, f"the body took longer than {policy.body_seconds:g} s", _CLOSE) from error
    finally:
        late.cancel()
    return b"".join(pieces)


def _too_large(policy: receiving.WebhookPolicy) -> HTTPException:
    return HTTPException(413, f"the body may have {policy.body_bytes} bytes", _CLOSE)
