"""How the console is served: by uvicorn in one process, with one write for each answer, and webhooks answered first.

uvicorn hands an answer's head and body to the connection one after the other, and each would be a packet of its own,
which costs the two ends together a fifth more. Here they leave together.
"""

import asyncio
import contextlib
from typing import Any, cast

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from psa_erp_assets.console.webhook_wire import WebhookRequest, is_plain
from psa_erp_assets.console.webhooks import Webhooks

_MOST_BYTES = 64 * 1024
_NOT_STARTED = 3
_IDLE_SECONDS = 75
"""How long a connection may rest: longer than senders and proxies keep theirs, who else write into a closed one."""


class _Together:
    """A connection's transport that gathers what is written until the loop has nothing more to do at once."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self.is_closing = transport.is_closing
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

    def write_whole(self, data: bytes) -> None:
        """Write an answer's head and body in one."""
        self._send()
        self._transport.write(data)

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
    def __init__(self, config: uvicorn.Config, *args: Any, **kwargs: Any) -> None:
        super().__init__(config, *args, **kwargs)
        # The console's own; another application has none.
        self._webhooks: Webhooks | None = getattr(cast("FastAPI", config.app).state, "webhooks", None)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        self._together = _Together(transport, self.loop)
        super().connection_made(cast("asyncio.Transport", self._together))

    def on_headers_complete(self) -> None:
        if self._webhooks is None or not is_plain(self):
            super().on_headers_complete()
            return
        request = WebhookRequest(self, self._webhooks, self._together.write_whole)
        self.cycle = cast("RequestResponseCycle", request)
        request.begin()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        request: object = self.cycle
        if isinstance(request, WebhookRequest):
            request.expect()


def configuration(app: FastAPI, *, host: str, port: int, patience_seconds: int | None = None) -> uvicorn.Config:
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


def serve(app: FastAPI, host: str = "127.0.0.1", port: int = 8080) -> None:
    """Serve until interrupted. Raises SystemExit where the address cannot be listened at."""
    server = uvicorn.Server(configuration(app, host=host, port=port))
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        raise SystemExit(_NOT_STARTED)
