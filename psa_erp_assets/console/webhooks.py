"""`POST /webhooks/{source}`: reads a body within bounds, has it verified and kept, and answers 202 after the commit.

It is answered in front of FastAPI, whose machinery would take longer than the rest; FastAPI knows the route for the
description of the API. A plain request is answered in front of ASGI too (`console.webhook_wire`), by the same rules.
"""

import asyncio
import datetime as dt
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

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
_NOT_ACCEPTED, PATH = "not accepted", "/webhooks/"
_UNAVAILABLE = b'{"detail":"the store cannot be reached"}'
HEADERS = [*NOT_STORED.items(), (b"content-type", b"application/json")]
"""What every answer to a webhook carries."""
_LATE = "the body is late"
RETRY_AFTER_SECONDS = 15

logger = logging.getLogger(__name__)


class Receipt(BaseModel):
    """The delivery is kept. `copies` counts how often the same body has come."""

    delivery_id: str
    copies: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is sent back, with `HEADERS` and its own `headers`; `copies` is how often the body has come."""

    status: int
    body: bytes
    headers: Sequence[tuple[bytes, bytes]] = ()
    copies: int = 0


class Webhooks:
    """The rules by which one console receives webhooks, for whoever reads requests."""

    def __init__(
        self,
        intake: Intake,
        sources: Mapping[str, receiving.WebhookSource],
        *,
        policy: receiving.WebhookPolicy,
        hosts: Sequence[str],
        clock: Callable[[], dt.datetime],
        receipts: Receipts,
    ) -> None:
        self.policy, self.receipts = policy, receipts
        self._intake, self._sources = intake, sources
        self._hosts, self._clock = frozenset(hosts), clock

    def check_head(self, source: str, headers: Mapping[str, str]) -> None:
        """Raise HTTPException where the body need not be read; the headers have lower-case names."""
        if headers.get("host", "").partition(":")[0] not in self._hosts and "*" not in self._hosts:
            raise HTTPException(400, "invalid host", _CLOSE)
        if source not in self._sources:
            raise HTTPException(401, "not verified", _CLOSE)
        try:
            check_length(headers.get("content-length", "0"), self.policy)
        except HTTPException as error:
            raise unread(error) from error

    def receive(self, source: str, headers: Mapping[str, str], body: bytes, answer: Callable[[Answer], None]) -> None:
        """Verify a delivery and have it kept; `answer` is called once it is committed, or refused.

        Raises a `WebhookRefusedError` for one that is not even tried.
        """
        arrival = receiving.admit(
            self._sources, source=source, headers=headers, body=body, now=self._clock(), policy=self.policy
        )

        def kept(outcome: receiving.Outcome) -> None:
            answer(_accepted(arrival.delivery_id, outcome) if isinstance(outcome, int) else answer_to(outcome))

        self._intake.keep(arrival, kept)


def _accepted(delivery_id: str, copies: int) -> Answer:
    body = b'{"delivery_id":"%b","copies":%d}' % (delivery_id.encode(), copies)
    return Answer(status=202, body=body, copies=copies)


def answer_to(error: Exception) -> Answer:
    """The answer to a delivery that was not kept, and why. Raises what is neither a refusal nor an outcome."""
    if isinstance(error, receiving.StoreUnavailableError):
        # Not the error's text: it repeats the statement's parameters, which are business data.
        logger.warning("the store failed: %s", type(error.cause).__name__)
        return Answer(status=503, body=_UNAVAILABLE, headers=[(b"retry-after", b"%d" % RETRY_AFTER_SECONDS)])
    if isinstance(error, receiving.WebhookRefusedError):
        status = REFUSALS[type(error)]
        error = HTTPException(status, "not verified" if status == 401 else _NOT_ACCEPTED)
    if not isinstance(error, HTTPException):
        raise error
    extra = [(name.lower().encode(), value.encode()) for name, value in (error.headers or {}).items()]
    body = json.dumps({"detail": error.detail}).encode()
    return Answer(status=error.status_code, body=body, headers=extra)


def unread(error: HTTPException) -> HTTPException:
    """The refusal of a body that was not read to its end: a stranger is not told what the bounds are."""
    return HTTPException(error.status_code, _NOT_ACCEPTED, error.headers)


def named(headers: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers, with names in lower case, by name. The first of two headers with one name counts."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(headers)}


class WebhookLane:
    """ASGI middleware, the outermost: answers POST /webhooks/{source} by itself and passes everything else on.

    What stands between the server and a route (who may ask, what a page needs) would take longer than all the rest of
    receiving, and a vendor proves itself by its signature.
    """

    def __init__(self, app: ASGIApp, *, webhooks: Webhooks) -> None:
        self._app, self._webhooks = app, webhooks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        if scope["type"] != "http" or scope["method"] != "POST" or not scope["path"].startswith(PATH):
            await self._app(scope, receive, send)
            return
        began, source = time.perf_counter(), scope["path"][len(PATH) :]
        try:
            answer = await self._answer(source, named(scope["headers"]), receive)
        except (HTTPException, receiving.WebhookRefusedError) as error:
            answer = answer_to(error)
        headers = [*HEADERS, *answer.headers, (b"content-length", b"%d" % len(answer.body))]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})
        self._webhooks.receipts.count(source, answer.status, copies=answer.copies, began=began)

    async def _answer(self, source: str, headers: Mapping[str, str], receive: Receive) -> Answer:
        """Raises HTTPException and WebhookRefusedError."""
        self._webhooks.check_head(source, headers)
        try:
            body = await read_body(receive, self._webhooks.policy)
        except HTTPException as error:
            raise unread(error) from error
        made: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def give(answer: Answer) -> None:
            # A sender that has gone away waits no longer.
            if not made.done():
                made.set_result(answer)

        self._webhooks.receive(source, headers, body, give)
        return await made


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


def check_length(announced: str, policy: receiving.WebhookPolicy) -> None:
    """Raise HTTPException for a Content-Length that is none, or larger than the policy allows."""
    if not announced.isascii() or not announced.isdigit() or len(announced) > 18:
        raise HTTPException(400, "content-length must be a number", _CLOSE)
    if int(announced) > policy.body_bytes:
        raise too_large(policy)


async def read_body(receive: Receive, policy: receiving.WebhookPolicy) -> bytes:
    """The body, read no further than the policy allows whatever its Content-Length claims. Raises HTTPException."""
    task = asyncio.current_task()
    assert task is not None
    # As `asyncio.timeout` does it, which takes as long as all the rest of reading.
    clock = asyncio.get_running_loop().call_later(policy.body_seconds, task.cancel, _LATE)
    pieces: list[bytes] = []
    size, more = 0, True
    try:
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                # Nobody is there to read the answer; the server's log gets a refusal instead of a failure.
                raise gone()
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            if size > policy.body_bytes:
                raise too_large(policy)
            more = message.get("more_body", False)
    except asyncio.CancelledError as error:
        # Where the server cancels too, because it ends, that is what counts.
        if error.args != (_LATE,) or task.uncancel():
            raise
        raise late(policy) from error
    finally:
        clock.cancel()
    return b"".join(pieces)


def too_large(policy: receiving.WebhookPolicy) -> HTTPException:
    """The refusal of a body beyond the bounds."""
    return HTTPException(413, f"the body may have {policy.body_bytes} bytes", _CLOSE)


def late(policy: receiving.WebhookPolicy) -> HTTPException:
    """The refusal of a body that does not come to its end."""
    return HTTPException(408, f"the body took longer than {policy.body_seconds:g} s", _CLOSE)


def gone() -> HTTPException:
    """What became of a request whose sender did not wait for the answer."""
    return HTTPException(400, "the sender went away")
