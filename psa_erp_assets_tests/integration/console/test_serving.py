"""How answers go over the wire."""

import asyncio
import socket
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import httpx
from fastapi import FastAPI
from starlette.responses import StreamingResponse

from psa_erp_assets.console.serving import _Together
from psa_erp_assets_tests.support.console import served

_LARGE = 8 * 1024 * 1024


def _app() -> FastAPI:
    app = FastAPI()

    @app.get("/large")
    async def large() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            for number in range(_LARGE // 1024):
                yield b"%01024d" % number

        return StreamingResponse(pieces())

    @app.get("/small")
    async def small() -> dict[str, int]:
        return {"answer": 42}

    return app


def test_a_large_answer_arrives_whole_and_in_order() -> None:
    """Gathering what is written must neither lose, nor repeat, nor reorder a part of a page or of a file."""
    with served(_app()) as address:
        body = httpx.get(f"{address}/large", timeout=60).content
    assert body == b"".join(b"%01024d" % number for number in range(_LARGE // 1024))


def test_an_answer_leaves_before_its_connection_is_closed() -> None:
    """A client that asks to close would get nothing."""
    with served(_app()) as address:
        where = urlsplit(address)
        with socket.create_connection((where.hostname, where.port), timeout=20) as connection:
            connection.sendall(b"GET /small HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            answer = b""
            while chunk := connection.recv(65536):
                answer += chunk
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b'\r\n\r\n{"answer":42}')


def test_requests_that_are_sent_ahead_are_answered_one_by_one() -> None:
    """Answers to several requests on one connection must not run into each other."""
    with served(_app()) as address:
        where = urlsplit(address)
        with socket.create_connection((where.hostname, where.port), timeout=20) as connection:
            connection.sendall(b"GET /small HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3)
            answer = b""
            while answer.count(b'{"answer":42}') < 3:
                chunk = connection.recv(65536)
                assert chunk, answer
                answer += chunk
    assert answer.count(b"HTTP/1.1 200 OK") == 3


def test_an_answers_head_and_body_are_one_write() -> None:
    """Two packets for each answer cost the server and the sender a fifth more."""
    writes: list[bytes] = []

    class Recorder(asyncio.Transport):
        def write(self, data: bytes | bytearray | memoryview) -> None:
            writes.append(bytes(data))

    async def answer() -> None:
        together = _Together(Recorder(), asyncio.get_running_loop())
        together.write(b"head")
        together.write(b"body")
        await asyncio.sleep(0)

    asyncio.run(answer())
    assert writes == [b"headbody"]
