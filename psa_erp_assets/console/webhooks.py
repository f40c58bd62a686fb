"""`POST /webhooks/{source}`: reads a body within bounds, hands it to the service, and answers 202 after the commit."""

import asyncio
import datetime as dt
from collections.abc import Callable, Mapping

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel
from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from psa_erp_assets.console.errors import Refusal
from psa_erp_assets.services import receiving

REFUSALS: Mapping[type[receiving.WebhookRefusedError], int] = {
    receiving.UnverifiedError: 401,
    receiving.UnsupportedMediaError: 415,
    receiving.NotJsonError: 400,
    receiving.UnusableBodyError: 422,
}
# The rest of an unread body must not be taken for the next request.
_CLOSE = {"Connection": "close"}


class Receipt(BaseModel):
    """The delivery is kept. `copies` counts how often the same body has come."""

    delivery_id: str
    copies: int


def webhook_router(
    engine: Engine,
    sources: Mapping[str, receiving.WebhookSource],
    *,
    tenant: str,
    policy: receiving.WebhookPolicy,
    clock: Callable[[], dt.datetime],
) -> APIRouter:
    """The route, for these sources."""
    router = APIRouter(tags=["webhooks"])

    @router.post(
        "/webhooks/{source}",
        status_code=202,
        summary="Announce that an object changed",
        responses={code: {"model": Refusal} for code in (400, 401, 408, 413, 415, 422, 503)},
    )
    async def receive(source: str, request: Request) -> Receipt:
        """Kept when the answer is 202, and only then. 503 asks to send it again; the other refusals are final."""
        if source not in sources:
            raise HTTPException(401, "not verified", _CLOSE)
        body = await read_body(request, policy)
        try:
            received = await run_in_threadpool(
                receiving.receive_webhook,
                engine,
                sources,
                tenant=tenant,
                source=source,
                headers=request.headers,
                body=body,
                now=clock(),
                policy=policy,
            )
        except receiving.WebhookRefusedError as error:
            raise HTTPException(REFUSALS[type(error)], str(error)) from error
        return Receipt(delivery_id=received.delivery_id, copies=received.copies)

    return router


async def read_body(request: Request, policy: receiving.WebhookPolicy) -> bytes:
    """The body, read no further than the policy allows whatever Content-Length claims. Raises HTTPException."""
    announced = request.headers.get("content-length", "0")
    if not announced.isascii() or not announced.isdigit() or len(announced) > 18:
        raise HTTPException(400, "content-length must be a number", _CLOSE)
    too_large = HTTPException(413, f"the body may have {policy.body_bytes} bytes", _CLOSE)
    if int(announced) > policy.body_bytes:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(policy.body_seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > policy.body_bytes:
                    raise too_large
    except TimeoutError as error:
        raise HTTPException(408, f"the body took longer than {policy.body_seconds:g} s", _CLOSE) from error
    except ClientDisconnect as error:
        # Nobody is there to read the answer; the server's log gets a refusal instead of a failure.
        raise HTTPException(400, "the sender went away") from error
    return bytes(body)
