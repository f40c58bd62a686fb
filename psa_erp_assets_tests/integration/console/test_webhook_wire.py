"""Webhooks that are answered at their connection: as those that go the usual way, whatever is on the wire."""

import asyncio
import datetime as dt
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx
import pytest
from sqlalchemy import Engine, func, select

from psa_erp_assets.adapters.store.schema import webhook_delivery
from psa_erp_assets.console import serving, webhook_wire
from psa_erp_assets.console.webhook_wire import WebhookRequest
from psa_erp_assets.services.receiving import WebhookPolicy
from psa_erp_assets_tests.support.console import TOKEN, make_app, served
from psa_erp_assets_tests.support.hostile_senders import AT, LIMIT, SOURCES, Sent, delivery

HOSTILE, AT_ONCE = 3_000, 20


def request(number: int, *, version: str = "1.1", target: str = "/webhooks/clockify", extra: str = "") -> bytes:
    body = json.dumps({"id": number}).encode()
    head = (
        f"POST {target} HTTP/{version}\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"clockify-signature: {TOKEN}\r\nclockify-webhook-event-type: NEW\r\n{extra}Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@contextmanager
def connected(address: str) -> Iterator[socket.socket]:
    where = urlsplit(address)
    with socket.create_connection((where.hostname, where.port), timeout=20) as connection:
        yield connection


def answers(connection: socket.socket, count: int) -> bytes:
    """What comes until so many bodies have come."""
    answer = b""
    while answer.count(b"delivery_id") < count or not answer.endswith(b"}"):
        chunk = connection.recv(65536)
        assert chunk, answer
        answer += chunk
    return answer


def kept(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(select(func.count()).select_from(webhook_delivery)).scalar_one())


def is_wire(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The addresses of what is answered at the connection from now on."""
    seen: list[bytes] = []

    class Noted(WebhookRequest):
        def begin(self) -> None:
            seen.append(self._connection.url)
            super().begin()

    monkeypatch.setattr(serving, "WebhookRequest", Noted)
    return seen


def test_a_plain_webhook_is_answered_at_its_connection(console: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All the speed would be lost without anybody noticing; and what is not plain must not be mistaken for it."""
    seen = is_wire(monkeypatch)
    with connected(console) as connection:
        connection.sendall(request(1))
        first = answers(connection, 1)
    assert first.startswith(b"HTTP/1.1 202 ")
    assert seen == [b"/webhooks/clockify"]
    assert httpx.get(f"{console}/webhooks/clockify").status_code == 405
    assert httpx.get(f"{console}/healthz").status_code == 200
    assert len(seen) == 1


def test_both_ways_answer_with_the_same_headers(console: str) -> None:
    """A header for safety that one way forgets is missed by nobody until it matters."""
    with connected(console) as connection:
        connection.sendall(request(1))
        plain = answers(connection, 1)
        connection.sendall(request(1, target="/webhooks/clockify?a=b"))
        other = answers(connection, 1)

    def headers(answer: bytes) -> list[bytes]:
        lines = answer.partition(b"\r\n\r\n")[0].split(b"\r\n")
        return sorted(line for line in lines if not line.startswith(b"date:"))

    assert headers(plain) == headers(other)
    assert b"cache-control: no-store" in headers(plain)


def test_webhooks_that_are_sent_ahead_are_all_kept_and_answered(console: str, store_engine: Engine) -> None:
    """The second of two requests in one packet would be lost, or answered in the place of the first."""
    with connected(console) as connection:
        connection.sendall(b"".join(map(request, range(6))))
        answer = answers(connection, 6)
        connection.sendall(request(6))
        assert answers(connection, 1).startswith(b"HTTP/1.1 202 ")
    assert answer.count(b"HTTP/1.1 202 Accepted") == 6
    assert kept(store_engine) == 7


def test_a_refusal_does_not_overtake_the_answer_before_it(console: str) -> None:
    """It is known at once, before the first is committed; the sender would take it for the answer to the first."""
    with connected(console) as connection:
        connection.sendall(request(1) + request(2).replace(TOKEN.encode(), b"x" * len(TOKEN)) + request(3))
        answer = answers(connection, 2)
    assert [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"202", b"401", b"202"]


def test_a_body_that_comes_byte_by_byte_is_kept(console: str, store_engine: Engine) -> None:
    """What is cut differently on the way is the same delivery."""
    with connected(console) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in request(1):
            connection.sendall(bytes([byte]))
        assert answers(connection, 1).startswith(b"HTTP/1.1 202 ")
    assert kept(store_engine) == 1


def test_a_large_body_within_the_bounds_is_kept(console: str, store_engine: Engine) -> None:
    """The server stops reading at 64 KiB until somebody takes what has come: it would wait for ever."""
    body = json.dumps({"id": 1, "description": "x" * 200_000}).encode()
    headers = {
        "clockify-signature": TOKEN,
        "clockify-webhook-event-type": "NEW",
        "content-type": "application/json",
    }
    assert httpx.post(f"{console}/webhooks/clockify", content=body, headers=headers, timeout=20).status_code == 202
    assert kept(store_engine) == 1


@pytest.mark.parametrize(
    ("version", "extra", "closes"),
    [("1.0", "", True), ("1.1", "Connection: close\r\n", True), ("1.1", "Expect: 100-continue\r\n", False)],
)
def test_other_manners_are_understood(console: str, version: str, extra: str, closes: bool) -> None:
    """Programs of twenty years ago send like this; their connection would hang."""
    with connected(console) as connection:
        connection.sendall(request(1, version=version, extra=extra))
        answer = answers(connection, 1)
        assert b" 202 Accepted\r\n" in answer
        assert (b"connection: close" in answer) is closes
        if closes:
            assert connection.recv(10) == b""


def test_a_sender_that_goes_away_disturbs_nobody(console: str, store_engine: Engine) -> None:
    """Half a body is no delivery, and a whole one is, read or not."""
    with connected(console) as half, connected(console) as whole:
        half.sendall(request(1)[:-3])
        whole.sendall(request(2))
    with connected(console) as connection:
        connection.sendall(request(3))
        assert answers(connection, 1).startswith(b"HTTP/1.1 202 ")
    assert kept(store_engine) in (1, 2)


def test_an_error_of_ours_is_answered_as_one(console: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blamed on the sender, who was right, the delivery would be given up."""

    def broken(self: object, *args: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(webhook_wire.Webhooks, "receive", broken)
    with connected(console) as connection:
        connection.sendall(request(1))
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    assert answer.startswith(b"HTTP/1.1 500 ")


async def status_of(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: Sent) -> int:
    """The status with which a delivery is answered over the wire; its body goes in the chunks that it has."""
    lines = [b"POST /webhooks/%b HTTP/1.1" % sent.source.encode()]
    lines += [b"%b: %b" % header for header in sent.headers]
    if b"content-length" not in dict(sent.headers):
        lines.append(b"content-length: %d" % len(sent.body))
    try:
        writer.write(b"\r\n".join([*lines, b"", b""]))
        for chunk in sent.chunks:
            writer.write(chunk)
            await writer.drain()
    except ConnectionError:
        pass
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    await reader.readexactly(int(length.partition(b":")[2]))
    return int(head.split(b" ")[1])


def test_hostile_deliveries_over_the_wire(store_engine: Engine) -> None:
    """What the usual way refuses must be refused at the connection, and what it keeps be kept."""
    now = dt.datetime.fromtimestamp(AT, dt.UTC)
    app = make_app(store_engine, sources=SOURCES, policy=WebhookPolicy(body_bytes=LIMIT), clock=lambda: now)
    sendable = [sent for sent in map(delivery, range(HOSTILE)) if is_sendable(sent)]

    async def sender(port: int, deliveries: list[Sent]) -> None:
        for sent in deliveries:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                status = await status_of(reader, writer, sent)
            except (ConnectionError, asyncio.IncompleteReadError):
                # Refused before its body was read: the connection was closed upon what was still being sent, and the
                # answer was lost on the way.
                assert not sent.honest, sent
                continue
            finally:
                writer.close()
            assert (status == 202) is sent.honest, (status, sent.what)
            assert status == 202 or 400 <= status < 500, (status, sent.what)

    async def all_of_them(port: int) -> None:
        async with asyncio.TaskGroup() as group:
            for first in range(AT_ONCE):
                group.create_task(sender(port, sendable[first::AT_ONCE]))

    with served(app) as address:
        port = urlsplit(address).port
        assert port is not None
        asyncio.run(all_of_them(port))
    assert len({sent.what for sent in sendable}) > 8
    assert kept(store_engine) == len({(s.source, s.body) for s in sendable if s.honest})


def is_sendable(sent: Sent) -> bool:
    """Whether HTTP can carry it: a server refuses a line break or a NUL in a header before anybody looks at it."""
    return all(byte >= 32 and byte != 127 for _, value in sent.headers for byte in value)
