"""Fault switches: what goes wrong between a client and a vendor, at the flip of a switch.

One `FaultySwitchboard` stands before each vendor's app. It counts requests, and while a fault is on it answers in
the vendor's place: status storms, a rate limit, a slow or cut answer, a page of HTML with status 200, a revoked key.
"""

import asyncio
import json
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Kind = Literal["status", "rate_limit", "latency", "drop", "truncate", "html", "auth_revoked"]
KINDS: tuple[Kind, ...] = ("status", "rate_limit", "latency", "drop", "truncate", "html", "auth_revoked")

ErrorAnswer = Callable[[int], Response]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A switched-on fault.

    status: the status to answer with (`status` only). retry_after: seconds for that header, none if None.
    per_second: requests a second that still pass (`rate_limit`). seconds: how long an answer is kept back (`latency`).
    times: how many requests it strikes, None until it is switched off. path: strikes only paths that contain it.
    after: for `drop`, the request takes effect first and only its answer is lost.
    """

    kind: Kind
    status: int = 503
    retry_after: float | None = None
    per_second: int = 10
    seconds: float = 1.0
    times: int | None = None
    path: str = ""
    after: bool = False

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> "Fault":
        """Raises ValueError for an unknown kind, field or type."""
        if body.get("kind") not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}")
        try:
            fault = cls(**body)
            numbers = [fault.status, fault.per_second, fault.seconds, fault.times or 1, fault.retry_after or 0]
            if min(numbers) < 0:
                raise ValueError("a fault has no negative numbers")
        except TypeError as error:
            raise ValueError(str(error)) from None
        if not 100 <= fault.status <= 599 or (fault.times is not None and fault.times < 1):
            raise ValueError("status must be a status code, and times 1 or more")
        return fault


class FaultySwitchboard:
    """ASGI middleware before one vendor's app."""

    def __init__(self, app: ASGIApp, error: ErrorAnswer) -> None:
        """`error` makes the vendor's own answer for a status."""
        self._app = app
        self._error = error
        self._fault: Fault | None = None
        self._recent: deque[float] = deque()
        self._requests = 0
        self._statuses: Counter[int] = Counter()
        self._struck: Counter[str] = Counter()

    def switch(self, fault: Fault | None) -> None:
        """On, or (None) off."""
        self._fault = fault
        self._recent.clear()

    def stats(self) -> dict[str, Any]:
        """Requests, answers by status, struck requests by fault, and the fault that is on."""
        return {
            "requests": self._requests,
            "statuses": {str(k): v for k, v in sorted(self._statuses.items())},
            "faults": dict(self._struck),
            "fault": asdict(self._fault) if self._fault else None,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or strike it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self._requests += 1

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._statuses[message["status"]] += 1
            await send(message)

        fault = self._strikes(scope)
        if fault is None:
            await self._app(scope, receive, counted)
            return
        self._struck[fault.kind] += 1
        if fault.kind == "latency":
            await asyncio.sleep(fault.seconds)
            await self._app(scope, receive, counted)
        elif fault.kind == "truncate":
            await self._truncate(scope, receive, counted)
        elif fault.kind == "drop":
            if fault.after:
                await self._app(scope, receive, _nowhere)
            await _hang_up(receive)
        else:
            await self._instead(fault)(scope, receive, counted)

    def _strikes(self, scope: Scope) -> Fault | None:
        fault = self._fault
        if fault is None or fault.path not in scope["path"]:
            return None
        if fault.kind == "rate_limit":
            now = time.monotonic()
            while self._recent and self._recent[0] <= now - 1:
                self._recent.popleft()
            if len(self._recent) < fault.per_second:
                self._recent.append(now)
                return None
        if fault.times is not None:
            self._fault = replace(fault, times=fault.times - 1) if fault.times > 1 else None
        return fault

    def _instead(self, fault: Fault) -> Response:
        if fault.kind == "html":
            return HTMLResponse("<!doctype html><title>Maintenance</title><p>We will be back shortly.</p>")
        status = {"auth_revoked": 401, "rate_limit": 429}.get(fault.kind, fault.status)
        answer = self._error(status)
        if fault.retry_after is not None:
            # The header counts whole seconds (RFC 9110 section 10.2.3).
            answer.headers["retry-after"] = str(round(fault.retry_after))
        return answer

    async def _truncate(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Announce the whole body, send half of it, hang up."""
        start: Message = {}
        body = bytearray()

        async def keep(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                body.extend(message.get("body", b""))

        await self._app(scope, receive, keep)
        if not body:
            body.extend(json.dumps({}).encode())
        headers = [(k, v) for k, v in start["headers"] if k.lower() != b"content-length"]
        await send({**start, "headers": [*headers, (b"content-length", str(len(body)).encode())]})
        await send({"type": "http.response.body", "body": bytes(body[: len(body) // 2]), "more_body": True})
        await asyncio.sleep(0.05)  # what was sent leaves before the connection is reset
        await _hang_up(receive)


async def _nowhere(_: Message) -> None:
    """Swallows an answer."""


async def _hang_up(receive: Receive) -> None:
    """Cut the connection without another byte.

    ASGI has no word for it; uvicorn's `receive` is a method of the object that holds the connection.
    """
    transport = getattr(getattr(receive, "__self__", None), "transport", None)
    if transport is None:
        raise RuntimeError("connections can be dropped only under uvicorn")
    transport.abort()
    await asyncio.sleep(0)  # let the loop tell uvicorn that the connection is gone
