"""A plain `POST /webhooks/{source}` is answered at its connection: no task, no ASGI messages, no middleware.

Those would cost more than verifying a delivery and reading it. What is not plain (a request behind another that is
still being answered, HTTP/1.0, `Expect`, an address with a query) goes the usual way, to `WebhookLane`; the rules are
those of `Webhooks` on both ways. What belongs here: reading a body and writing an answer. What does not: the rules.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import cast

from fastapi import HTTPException
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from psa_erp_assets.console.webhooks import (
    HEADERS,
    PATH,
    Answer,
    Webhooks,
    answer_to,
    gone,
    late,
    named,
    too_large,
    unread,
)
from psa_erp_assets.services.receiving import WebhookRefusedError

_PATH = PATH.encode()
_HEADERS = b"".join(b"%b: %b\r\n" % header for header in HEADERS)
_FAILED = Answer(status=500, body=b'{"detail":"something went wrong"}', headers=[(b"connection", b"close")])

logger = logging.getLogger(__name__)


class WebhookRequest:
    """One request as its connection has it, in the place of uvicorn's `RequestResponseCycle`."""

    __slots__ = (
        "_began",
        "_clock",
        "_connection",
        "_headers",
        "_source",
        "_taken",
        "_webhooks",
        "_write",
        "body",
        "disconnected",
        "keep_alive",
        "more_body",
        "response_complete",
    )

    def __init__(self, connection: HttpToolsProtocol, webhooks: Webhooks, write: Callable[[bytes], None]) -> None:
        self._began, self._write = time.perf_counter(), write
        self._connection, self._webhooks = connection, webhooks
        self._source = connection.url[len(_PATH) :].decode("ascii")
        self._headers: Mapping[str, str] = named(connection.headers)
        self._clock: asyncio.TimerHandle | None = None
        self._taken = False
        # What uvicorn writes to, and looks at.
        self.body = bytearray()
        self.more_body, self.disconnected, self.response_complete = True, False, False
        self.keep_alive = connection.parser.should_keep_alive()

    @property
    def message_event(self) -> "WebhookRequest":
        """What uvicorn sets when more of the body has come, or its end, or the sender has gone away: see `set`."""
        return self

    def begin(self) -> None:
        """Refuse what need not be read."""
        try:
            self._webhooks.check_head(self._source, self._headers)
        except HTTPException as error:
            self._end(answer_to(error))

    def expect(self) -> None:
        """Wait no longer than the policy allows for what is missing of the body."""
        if self.more_body and not self.response_complete and self._clock is None:
            self._clock = self._connection.loop.call_later(self._webhooks.policy.body_seconds, self._give_up)

    def set(self) -> None:
        """Look at what has come of the body."""
        if self._taken or self.response_complete:
            return
        if self.disconnected:
            self._end(answer_to(gone()))
        elif len(self.body) > self._webhooks.policy.body_bytes:
            self._end(answer_to(unread(too_large(self._webhooks.policy))))
        elif not self.more_body:
            self._take()
        elif len(self.body) > HIGH_WATER_LIMIT:
            # uvicorn has stopped reading until somebody takes what is there.
            self._connection.flow.resume_reading()

    def _take(self) -> None:
        self._taken = True
        try:
            self._webhooks.receive(self._source, self._headers, bytes(self.body), self._end)
        except WebhookRefusedError as error:
            self._end(answer_to(error))
        except Exception:
            # Let through, it would be taken for a request that is no HTTP.
            logger.exception("a webhook could not be looked at")
            self._end(_FAILED)

    def _give_up(self) -> None:
        self._end(answer_to(unread(late(self._webhooks.policy))))

    def _end(self, answer: Answer) -> None:
        self.response_complete = True
        if self._clock is not None:
            self._clock.cancel()
        transport = self._connection.transport
        if not self.disconnected and not transport.is_closing():
            self._write(self._written(answer))
            if not self.keep_alive:
                transport.close()
            self._connection.on_response_complete()
        self._webhooks.receipts.count(self._source, answer.status, copies=answer.copies, began=self._began)

    def _written(self, answer: Answer) -> bytes:
        own = [*self._connection.server_state.default_headers, *answer.headers]
        if (b"connection", b"close") in answer.headers:
            self.keep_alive = False
        elif not self.keep_alive:
            own.append((b"connection", b"close"))
        lines = b"".join([b"%b: %b\r\n" % header for header in own])
        length = b"content-length: %d\r\n\r\n" % len(answer.body)
        return b"".join((STATUS_LINE[answer.status], lines, _HEADERS, length, answer.body))


def is_plain(connection: HttpToolsProtocol) -> bool:
    """Whether the request whose headers have just come is a webhook that needs nothing of ASGI."""
    url, parser = connection.url, connection.parser
    before = cast("RequestResponseCycle | None", connection.cycle)
    return (
        url.startswith(_PATH)
        and b"?" not in url
        and b"%" not in url
        and url.isascii()
        and parser.get_method() == b"POST"
        and parser.get_http_version() == "1.1"
        and not parser.should_upgrade()
        and not connection.expect_100_continue
        and (before is None or before.response_complete)
    )
