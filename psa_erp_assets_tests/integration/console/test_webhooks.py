"""Receiving webhooks over HTTP, on a real server and a real PostgreSQL."""

import concurrent.futures
import datetime as dt
import gzip
import json
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
from sqlalchemy import Engine, RowMapping, select, text, update

from psa_erp_assets.adapters.store.deliveries import CHANNEL
from psa_erp_assets.adapters.store.engine import make_engine
from psa_erp_assets.adapters.store.schema import webhook_delivery
from psa_erp_assets.services.receiving import WebhookPolicy
from psa_erp_assets_tests.support.console import NOW, RENEWED_TOKEN, TOKEN, make_app, served

HEADERS = {
    "clockify-signature": TOKEN,
    "clockify-webhook-event-type": "TIME_ENTRY_UPDATED",
    "content-type": "application/json",
}
BODY = json.dumps({"id": "64c0ffee0000000000000001", "hourlyRate": {"amount": 12050}}).encode()


def post(address: str, body: bytes = BODY, source: str = "clockify", **headers: str | None) -> httpx.Response:
    """Send a delivery; a header given as None is left out."""
    merged = HEADERS | {name.replace("_", "-"): value for name, value in headers.items()}
    kept = {name: value for name, value in merged.items() if value is not None}
    return httpx.post(f"{address}/webhooks/{source}", content=body, headers=kept, timeout=30)


def rows(engine: Engine) -> list[RowMapping]:
    with engine.connect() as connection:
        return list(connection.execute(select(webhook_delivery)).mappings())


def raw(address: str, request: bytes) -> bytes:
    """The answer to bytes that no HTTP client would send."""
    where = urlsplit(address)
    with socket.create_connection((where.hostname, where.port), timeout=20) as connection:
        connection.sendall(request)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    return answer


def test_a_delivery_is_kept_as_it_was_sent(console: str, store_engine: Engine) -> None:
    """A 202 without a row, or with another content, would lose the hint."""
    answer = post(console)
    assert (answer.status_code, answer.json()["copies"]) == (202, 1)
    [row] = rows(store_engine)
    assert row["body"] == json.loads(BODY)
    assert (row["source"], row["event"], row["copies"]) == ("clockify", "TIME_ENTRY_UPDATED", 1)
    assert row["handled_at"] is None
    assert row["delivery_id"] == answer.json()["delivery_id"]


def test_each_live_token_is_accepted(shared_console: str) -> None:
    """While a webhook's token is being renewed, deliveries with the new one would be refused."""
    assert post(shared_console, clockify_signature=RENEWED_TOKEN).status_code == 202


@pytest.mark.parametrize(
    ("source", "signature"),
    [("clockify", None), ("clockify", ""), ("clockify", "wrong"), ("clockify", TOKEN + "x"), ("unknown", TOKEN)],
)
def test_what_is_not_verified_is_refused_alike(
    console: str, store_engine: Engine, source: str, signature: str | None
) -> None:
    """A stranger would write to the inbox, or learn from the answer which sources there are."""
    answer = post(console, source=source, clockify_signature=signature)
    assert (answer.status_code, answer.json()) == (401, {"detail": "not verified"})
    assert rows(store_engine) == []


def test_a_signature_that_is_not_ascii_is_refused(shared_console: str) -> None:
    """Comparing in constant time fails on text outside ASCII; that must not become a 500."""
    answer = raw(
        shared_console,
        b"POST /webhooks/clockify HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        b"Content-Type: application/json\r\n"
        b"clockify-signature: \xff\xfe\r\nclockify-webhook-event-type: X\r\nContent-Length: 2\r\n\r\n{}",
    )
    assert answer.startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content_type": None}, 415),
        ({"content_type": "text/plain"}, 415),
        ({"content_type": "application/json; charset=utf-16"}, 415),
        ({"content_type": "application/json; charset=UTF-8"}, 202),
        ({"content_encoding": "gzip"}, 415),
        ({"clockify_webhook_event_type": None}, 422),
        ({"clockify_webhook_event_type": "A B"}, 422),
        ({"clockify_webhook_event_type": "X" * 101}, 422),
    ],
)
def test_headers_decide_what_can_be_read(shared_console: str, headers: dict[str, str | None], status: int) -> None:
    """A compressed or recoded body would be stored as garbage, or not at all after a 202."""
    body = gzip.compress(BODY) if "content_encoding" in headers else BODY
    assert post(shared_console, body, **headers).status_code == status


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"not json", 400),
        (b'{"a": NaN}', 400),
        (b'{"a": -Infinity}', 400),
        (b"\xff\xfe{}", 400),
        ('{"a": "ü"}'.encode("latin-1"), 400),
        ('{"a": 1}'.encode("utf-16"), 400),
        (b"\xef\xbb\xbf{}", 400),
        (b"[]", 422),
        (b"7", 422),
        (b"null", 422),
        (b'["a"]', 422),
        (b'{"a": "\\u0000"}', 422),
        (b'{"\\u0000": 1}', 422),
        (b'{"a": "\\ud800"}', 422),
        (b'{"a": "\x1f"}', 400),
        (b'{"a": "\\u001f"}', 202),
        (b'{"a": 1, "a": 2}', 202),
        (b'{"a": "\\u0000", "a": 2}', 422),
        (b'{"a": 1e400000}', 422),
        (b'{"a": ' + b"9" * 10_000 + b"}", 202),
        (b'{"a": ' + b"[" * 62 + b"]" * 62 + b"}", 202),
        (b'{"a": ' + b"[" * 100 + b"]" * 100 + b"}", 422),
        (b'{"a": ' + b"[" * 60_000 + b"]" * 60_000 + b"}", 422),
        (b'{"a":' * 20_000 + b"1" + b"}" * 20_000, 422),
        (b'[{"id": "1"}, {"id": "2"}]', 202),
    ],
    ids=repr,
)
def test_a_body_that_cannot_be_kept_is_refused_for_good(shared_console: str, body: bytes, status: int) -> None:
    """A 5xx here would make the vendor send the same poison again and again."""
    assert post(shared_console, body).status_code == status


def test_numbers_keep_every_digit(console: str, store_engine: Engine) -> None:
    """A detour over floats would change amounts."""
    post(console, b'{"amount": 0.10000000000000000001}')
    with store_engine.connect() as connection:
        amount = connection.execute(select(webhook_delivery.c.body["amount"].astext)).scalar_one()
    assert amount == "0.10000000000000000001"


def test_a_body_beyond_the_limit_is_refused_before_it_is_read(console: str, store_engine: Engine) -> None:
    """Content-Length alone must suffice, or a sender could have the server read without end."""
    limit = WebhookPolicy().body_bytes
    head = f"POST /webhooks/clockify HTTP/1.1\r\nHost: localhost\r\nContent-Length: {limit + 1}\r\n\r\n"
    assert raw(console, head.encode()).startswith(b"HTTP/1.1 413 ")
    assert rows(store_engine) == []


def test_a_chunked_body_beyond_the_limit_is_cut_off(console: str, store_engine: Engine) -> None:
    """Without Content-Length the limit must hold all the same."""
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 64 * 1024 * 1024:
            sent += 16_384
            yield b" " * 16_384

    try:
        answer = httpx.post(f"{console}/webhooks/clockify", content=endless(), headers=HEADERS, timeout=30)
        assert answer.status_code == 413
    except httpx.TransportError:
        # The server closed the connection while the client was still sending, and its answer was lost on the way.
        assert sent < 8 * 1024 * 1024
    assert rows(store_engine) == []


def test_a_body_that_trickles_in_is_given_up(store_engine: Engine) -> None:
    """A sender that never finishes would hold a connection for ever."""
    with served(make_app(store_engine, policy=WebhookPolicy(body_seconds=0.3))) as address:
        where = urlsplit(address)
        with socket.create_connection((where.hostname, where.port), timeout=20) as connection:
            connection.sendall(b"POST /webhooks/clockify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
            assert connection.recv(65536).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("length", ["-1", "1e3", "9" * 30, "0x10"])
def test_a_strange_content_length_is_no_failure(shared_console: str, length: str) -> None:
    """It is the sender's mistake and must be told as one."""
    head = f"POST /webhooks/clockify HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{{}}"
    assert raw(shared_console, head.encode())[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 413")


def test_a_copy_of_a_handled_delivery_is_pending_again(console: str, store_engine: Engine) -> None:
    """An object that went A → B → A is announced by two equal bodies; the second must be worked on too."""
    post(console)
    with store_engine.begin() as connection:
        connection.execute(update(webhook_delivery).values(handled_at=NOW, attempts=3, error="gone"))
    assert post(console).json()["copies"] == 2
    [row] = rows(store_engine)
    assert (row["handled_at"], row["attempts"], row["error"]) == (None, 0, None)
    assert row["next_attempt_at"] > NOW


def test_a_copy_of_a_waiting_delivery_leaves_its_back_off_alone(console: str, store_engine: Engine) -> None:
    """A flood of copies would otherwise drive one attempt after the other at a source that is down."""
    post(console)
    later = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)
    with store_engine.begin() as connection:
        connection.execute(update(webhook_delivery).values(next_attempt_at=later, attempts=2, error="timeout"))
    post(console)
    [row] = rows(store_engine)
    assert (row["next_attempt_at"], row["attempts"], row["error"], row["copies"]) == (later, 2, "timeout", 2)


def test_the_same_body_for_another_event_is_another_delivery(console: str, store_engine: Engine) -> None:
    """An update and a deletion may carry equal bodies."""
    post(console)
    post(console, clockify_webhook_event_type="TIME_ENTRY_DELETED")
    assert len(rows(store_engine)) == 2


def test_whoever_drains_deliveries_is_woken_by_the_commit(console: str, store_url: str) -> None:
    """Without the notification a change would wait for the next sweep."""
    with psycopg.connect(store_url, autocommit=True) as listener:
        listener.execute(f"LISTEN {CHANNEL}")
        post(console)
        [notice] = list(listener.notifies(timeout=10, stop_after=1))
    assert notice.payload == "clockify"


def test_a_thousand_copies_at_once_are_one_row(console: str, store_engine: Engine) -> None:
    """Fault 17: each copy that made a row of its own would be fetched and compared on its own."""
    with (
        httpx.Client(headers=HEADERS, timeout=120, limits=httpx.Limits(max_connections=100)) as client,
        concurrent.futures.ThreadPoolExecutor(100) as pool,
    ):
        url = f"{console}/webhooks/clockify"
        answers = list(pool.map(lambda _: client.post(url, content=BODY).status_code, range(1000)))
    assert answers == [202] * 1000
    [row] = rows(store_engine)
    assert row["copies"] == 1000


def test_a_lost_connection_to_the_database_loses_no_delivery(console: str, store_engine: Engine) -> None:
    """After a restart of PostgreSQL the next delivery would be answered 503, and a sender may wait hours to retry."""
    its_own = text(
        "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    assert post(console).status_code == 202
    with store_engine.connect() as connection:
        assert connection.scalar(its_own) > 0
    assert post(console, b'{"id": "2"}').status_code == 202
    assert len(rows(store_engine)) == 2


def test_one_that_cannot_be_stored_is_refused_alone(console: str, store_engine: Engine) -> None:
    """Deliveries that come together are written together: a poisoned one would take the others down with it."""
    bodies = [b'{"id": %d, "n": %b}' % (n, b"1e400000" if n % 10 == 0 else b"1") for n in range(100)]
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda body: post(console, body).status_code, bodies))
    assert answers == [422 if n % 10 == 0 else 202 for n in range(100)]
    assert len(rows(store_engine)) == 90


def test_without_a_database_the_sender_is_asked_to_come_again(closed_port: int) -> None:
    """A 2xx without a row loses the delivery; a 4xx would make the sender give up."""
    engine = make_engine(f"postgresql://nobody:secret-password@127.0.0.1:{closed_port}/none")
    with served(make_app(engine)) as address:
        answer = post(address)
        page, health = httpx.get(f"{address}/inbox"), httpx.get(f"{address}/healthz")
    engine.dispose()
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert (page.status_code, health.status_code) == (503, 503)
    assert health.json()["database"] == "unreachable"
    assert "secret-password" not in answer.text + page.text + health.text


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that is taken and that nobody listens on."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]
