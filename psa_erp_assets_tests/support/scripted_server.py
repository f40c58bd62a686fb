"""A real HTTP server on 127.0.0.1 that answers from a script and writes down what it was asked."""

import http.server
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What to answer. `drop` resets the connection after `body`, which then is shorter than was promised."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False


def as_json(value: Any, status: int = 200, **headers: str) -> Reply:
    """A JSON answer."""
    return Reply(
        status=status, body=json.dumps(value).encode(), headers={"Content-Type": "application/json", **headers}
    )


@dataclass(slots=True)
class ScriptedServer:
    """Its base URL, and every request in the order of arrival."""

    url: str
    asked: list[Asked]


def _said(raw: bytes, media: str) -> Any:
    """A text as it is, anything else as JSON; None where nothing was said."""
    if media.startswith("text/"):
        return raw.decode()
    return json.loads(raw) if raw else None


@contextmanager
def scripted_server(answer: Callable[[Asked], Reply]) -> Iterator[ScriptedServer]:
    """A server that answers each request with `answer(request)`, stopped at the end of the block."""
    asked: list[Asked] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class names it so
            return

        def _serve(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length", 0))
            raw = self.rfile.read(length)
            request = Asked(
                method=self.command,
                path=parts.path,
                query=dict(parse_qsl(parts.query, keep_blank_values=True)),
                headers={name.lower(): value for name, value in self.headers.items()},
                body=_said(raw, self.headers.get("Content-Type", "")),
            )
            asked.append(request)
            reply = answer(request)
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body) + (100 if reply.drop else 0)))
            self.end_headers()
            self.wfile.write(reply.body)
            if reply.drop:
                self.wfile.flush()
                # A linger of zero seconds makes the close a reset, as when a proxy dies.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                self.close_connection = True

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield ScriptedServer(url=f"http://127.0.0.1:{server.server_address[1]}", asked=asked)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
