"""Whatever a stranger or a broken sender puts on the wire, the answer blames the sender and not the server."""

import asyncio
import datetime as dt
from collections import Counter, defaultdict
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import Engine, select

from psa_erp_assets.adapters.store.deliveries import delivery_id
from psa_erp_assets.adapters.store.schema import webhook_delivery
from psa_erp_assets.services.receiving import WebhookPolicy
from psa_erp_assets_tests.support.console import make_app
from psa_erp_assets_tests.support.hostile_senders import AT, LIMIT, SOURCES, Sent, delivery

DELIVERIES, AT_ONCE = 100_000, 250
EVENTS = {
    "clockify": "TIME_ENTRY_UPDATED",
    "hubspot": "deal.propertyChange",
    "standard": "milestone.ready",
    "other": "time_entry.updated",
}


async def answer(app: FastAPI, sent: Sent) -> int:
    """The status that the application gives, asked as the server asks it."""
    path = f"/webhooks/{sent.source}"
    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": list(sent.headers),
        "http_version": "1.1",
        "scheme": "http",
        "server": ("localhost", 80),
        "client": ("127.0.0.1", 1),
    }
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in sent.chunks]
    messages.append({"type": "http.request", "body": b"", "more_body": False})
    waiting, statuses = iter(messages), []

    async def receive() -> dict[str, Any]:
        return next(waiting)

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await app(scope, receive, send)
    [status] = statuses
    return int(status)


@pytest.mark.timeout(600)
def test_a_hundred_thousand_hostile_deliveries(store_engine: Engine) -> None:
    """A 5xx asks for the same poison for ever; one accepted wrongly is an open door; one refused wrongly is lost."""
    now = dt.datetime.fromtimestamp(AT, dt.UTC)
    app = make_app(store_engine, sources=SOURCES, policy=WebhookPolicy(body_bytes=LIMIT), clock=lambda: now)
    answers: dict[str, Counter[int]] = defaultdict(Counter)
    kept: set[tuple[str, str]] = set()

    async def sender(numbers: range) -> None:
        for number in numbers:
            sent = delivery(number)
            status = await answer(app, sent)
            answers[sent.what][status] += 1
            assert (status == 202) is sent.honest, (number, status, sent.what)
            assert status == 202 or 400 <= status < 500, (number, status, sent.what)
            if sent.honest:
                kept.add((sent.source, delivery_id(EVENTS[sent.source], sent.body)))

    async def all_of_them() -> None:
        async with app.router.lifespan_context(app), asyncio.TaskGroup() as group:
            for first in range(AT_ONCE):
                group.create_task(sender(range(first, DELIVERIES, AT_ONCE)))

    asyncio.run(all_of_them())
    with store_engine.connect() as connection:
        table = webhook_delivery.c
        stored = {
            (source, identity) for source, identity in connection.execute(select(table.source, table.delivery_id))
        }
    assert stored == kept
    assert len(kept) > DELIVERIES / 6, "too few of them were honest"
    assert len(answers) == 14, "a way to be wrong did not come up"
    assert {202, 400, 401, 413, 415, 422} <= set().union(*answers.values())
