"""Delivers webhooks in the background, and tries again with growing pauses, as vendors do.

A delivery is a hint and no promise: after the last attempt it is given up, and what is under way when the sandbox
stops is lost. Receivers must live with that; a sweep finds what no webhook announced.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx

ATTEMPTS = 6
FIRST_PAUSE_SECONDS = 0.2
TIMEOUT_SECONDS = 5.0
_AT_ONCE = 8

HeadersOf = Callable[[], Mapping[str, str]]


class WebhookSender:
    """Used from one event loop; `start` and `stop` belong to the app's lifespan."""

    def __init__(self) -> None:
        self.delivered = self.failed = self.attempts = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._client: httpx.AsyncClient | None = None
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def start(self) -> None:
        """Open the connections."""
        self._client = httpx.AsyncClient(timeout=TIMEOUT_SECONDS, trust_env=False)

    async def stop(self) -> None:
        """Give up what is under way and close the connections."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    def stats(self) -> dict[str, int]:
        """How many were delivered, given up and are under way; how often one was tried."""
        return {
            "delivered": self.delivered,
            "failed": self.failed,
            "attempts": self.attempts,
            "under_way": len(self._tasks),
        }

    def send(self, url: str, event: str, token: str, body: Mapping[str, Any]) -> None:
        """Deliver soon, as Clockify does: any 2xx answer is a delivery."""
        headers = {"clockify-signature": token, "clockify-webhook-event-type": event}
        self.send_signed(url, json.dumps(body).encode(), lambda: headers)

    def send_signed(self, url: str, body: bytes, headers_of: HeadersOf) -> None:
        """Deliver soon, with headers that are made anew for each attempt, as a signed timestamp must be."""
        task = asyncio.get_running_loop().create_task(self._deliver(url, headers_of, body))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, url: str, headers_of: HeadersOf, body: bytes) -> None:
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))
            async with self._slots:
                if await self._arrives(url, headers_of(), body):
                    self.delivered += 1
                    return
        self.failed += 1

    async def _arrives(self, url: str, headers: Mapping[str, str], body: bytes) -> bool:
        assert self._client is not None
        self.attempts += 1
        try:
            answer = await self._client.post(url, content=body, headers={"content-type": "application/json", **headers})
        except httpx.HTTPError:
            return False
        return answer.is_success
