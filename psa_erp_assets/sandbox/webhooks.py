"""Delivers webhooks in the background, and tries again with growing pauses, as vendors do.

A delivery is a hint and no promise: after the last attempt it is given up, and what is under way when the sandbox
stops is lost. Receivers must live with that; a sweep finds what no webhook announced.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx

ATTEMPTS = 6
FIRST_PAUSE_SECONDS = 0.2
TIMEOUT_SECONDS = 5.0
_AT_ONCE = 8


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
        """Deliver soon: any 2xx answer is a delivery."""
        headers = {"clockify-signature": token, "clockify-webhook-event-type": event}
        task = asyncio.get_running_loop().create_task(self._deliver(url, headers, body))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, url: str, headers: Mapping[str, str], body: Mapping[str, Any]) -> None:
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))
            async with self._slots:
                if await self._arrives(url, headers, body):
                    self.delivered += 1
                    return
        self.failed += 1

    async def _arrives(self, url: str, headers: Mapping[str, str], body: Mapping[str, Any]) -> bool:
        assert self._client is not None
        self.attempts += 1
        try:
            answer = await self._client.post(url, json=body, headers=headers)
        except httpx.HTTPError:
            return False
        return answer.is_success
