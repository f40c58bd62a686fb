"""How the console is served: by uvicorn in one process, with one write for each answer.

uvicorn hands an answer's head and body to the connection one after the other, and each would be a packet of its own,
which costs the two ends together a fifth more. Here they leave together.
"""

import asyncio
import contextlib
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_MOST_BYTES = 64 * 1024
_NOT_STARTED = 3
_IDLE_SECONDS = 75
"""How long a connection may rest: longer than senders and proxies keep theirs, who else write into a closed one."""


class _Together:
    """A connection's transport that gathers what is written until the loop has nothing more to do at once."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._waiting: list[bytes] = []
        self._size = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._waiting:
            self._loop.call_soon(self._send)
        self._waiting.append(data)
        self._size += len(data)
        # Or whoever writes without a pause is not told when the other side is slow to read.
        if self._size > _MOST_BYTES:
            self._send()

    def close(self) -> None:
        self._send()
        self._transport.close()

    def _send(self) -> None:
        if self._waiting:
            data = b"".join(self._waiting)
            self._waiting.clear()
            self._size = 0
            self._transport.write(data)


class _Protocol(HttpToolsProtocol):
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(cast("asyncio.Transport", _Together(transport, self.loop)))


def configuration(app: ASGIApp, *, host: str, port: int, patience_seconds: int | None = None) -> uvicorn.Config:
    """How uvicorn serves the console; port 0 is any free one.

    At the end it waits so long for answers that are being made, or until they are. There is no access log, as the
    address of a page can hold an id, and uvicorn speaks through the process's log.
    """
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=_Protocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=patience_seconds,
    )


def serve(app: ASGIApp, host: str = "127.0.0.1", port: int = 8080) -> None:
    """Serve until interrupted. Raises SystemExit where the address cannot be listened at."""
    server = uvicorn.Server(configuration(app, host=host, port=port))
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        raise SystemExit(_NOT_STARTED)
