"""Whatever a stranger or a broken sender puts on the wire, the answer blames the sender and not the server."""

import asyncio
import json
from collections.abc import Iterator

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from psa_erp_assets.services.receiving import WebhookPolicy
from psa_erp_assets_tests.support.console import TOKEN, make_app

LIMIT = 4096

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(st.characters()), inner, max_size=5),
    max_leaves=30,
)
bodies = st.one_of(
    st.binary(max_size=200),
    json_values.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(st.text(), json_values, max_size=5).map(lambda value: json.dumps(value).encode()),
    st.integers(0, LIMIT + 500).map(lambda size: b"[" * size),
    st.integers(0, 3000).map(lambda digits: b'{"n": 1e' + b"9" * (digits % 7 + 1) + b"}"),
)
# The server passes on no header value with CR, LF or NUL: it answers 400 before the application is asked.
header_values = st.binary(max_size=60).filter(lambda value: not set(value) & {0, 10, 13})
headers = st.fixed_dictionaries(
    {},
    optional={
        "clockify-signature": st.just(TOKEN.encode()) | header_values,
        "clockify-webhook-event-type": st.just(b"TIME_ENTRY_UPDATED") | header_values,
        "content-type": st.sampled_from([b"application/json", b"application/json;charset=utf-8", b"text/xml"])
        | header_values,
        "content-encoding": st.sampled_from([b"identity", b"gzip"]) | header_values,
        "content-length": header_values,
    },
)
likely_headers = st.just(
    {
        "clockify-signature": TOKEN.encode(),
        "clockify-webhook-event-type": b"TIME_ENTRY_UPDATED",
        "content-type": b"application/json",
    }
)
sources = st.just("clockify") | st.text(min_size=1, max_size=20).filter(lambda name: "/" not in name)


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """One event loop for all examples."""
    with asyncio.Runner() as runner:
        yield runner


def test_no_delivery_makes_the_server_fail(store_engine: Engine, runner: asyncio.Runner) -> None:
    """A 5xx asks for the same delivery again: a poison one would come for ever."""
    app = make_app(store_engine, policy=WebhookPolicy(body_bytes=LIMIT))
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")
    seen: set[int] = set()

    @settings(max_examples=3000, deadline=None, suppress_health_check=list(HealthCheck))
    @given(source=sources, sent=likely_headers | headers, body=bodies)
    def check(source: str, sent: dict[str, bytes], body: bytes) -> None:
        request = client.build_request("POST", httpx.URL("http://localhost/").join("/webhooks/x"), content=body)
        request.url = request.url.copy_with(raw_path=b"/webhooks/" + _quoted(source))
        request.headers = httpx.Headers([(b"host", b"localhost"), *((k.encode(), v) for k, v in sent.items())])
        answer = runner.run(client.send(request))
        seen.add(answer.status_code)
        assert answer.status_code < 500, (source, sent, body)

    check()
    runner.run(client.aclose())
    assert {202, 400, 401, 413, 415, 422} <= seen, "the examples missed a way to be refused"


def _quoted(text: str) -> bytes:
    return b"".join(b"%%%02X" % byte for byte in text.encode("utf-8", "surrogatepass"))
