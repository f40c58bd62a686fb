"""Receive a webhook: verify it, keep it, and only then say so.

A webhook is a hint that an object changed; its content is never taken for the truth. It may come twice, late, out
of order or never. What belongs here: the checks on one delivery and the transaction that keeps it. What does not:
HTTP, and fetching the object.
"""

import datetime as dt
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import DataError

from psa_erp_assets.adapters.connectors.clockify import verify as clockify
from psa_erp_assets.adapters.store import deliveries

Verify = Callable[[Mapping[str, str], bytes], bool]

_EVENT = re.compile(r"[A-Za-z0-9_.:-]{1,100}")
_NOT_STORABLE = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSource:
    """A vendor that may send webhooks: how a delivery proves its origin, and which header names the event.

    `verify` gets the headers, with lower-case names, and the body as sent. Header names are written in lower case.
    """

    verify: Verify
    event_header: str


def clockify_source(tokens: Sequence[str]) -> WebhookSource:
    """Clockify, which sends the token of the webhook that is registered; `tokens` are all that are live."""
    return WebhookSource(
        verify=lambda headers, _: clockify.is_authentic(headers.get(clockify.SIGNATURE_HEADER), tokens),
        event_header=clockify.EVENT_HEADER,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookPolicy:
    """Bounds on one delivery: bytes of its body, seconds to send it in, and how deep its JSON may nest.

    PostgreSQL gives up on JSON some thousands of levels deep and Python's parser on about a thousand, so the
    bound on nesting is far below both.
    """

    body_bytes: int = 256 * 1024
    body_seconds: float = 10.0
    nesting: int = 64


class WebhookRefusedError(Exception):
    """A delivery that is not kept. The message is safe to send back: it repeats nothing that was received."""


class UnverifiedError(WebhookRefusedError):
    """The source is unknown or the delivery does not prove to be from it; the two are not told apart."""


class UnsupportedMediaError(WebhookRefusedError):
    """The body is not declared as plain JSON."""


class NotJsonError(WebhookRefusedError):
    """The body is no JSON text in UTF-8."""


class UnusableBodyError(WebhookRefusedError):
    """The body is JSON, or nearly, but nothing that can be kept as a delivery."""


@dataclass(frozen=True, slots=True)
class Received:
    """A delivery that is kept. `copies` counts how often the same body has come."""

    delivery_id: str
    copies: int


def receive_webhook(
    engine: Engine,
    sources: Mapping[str, WebhookSource],
    *,
    tenant: str,
    source: str,
    headers: Mapping[str, str],
    body: bytes,
    now: dt.datetime,
    policy: WebhookPolicy,
) -> Received:
    """Keep one delivery, in one transaction; when this returns, it is committed.

    The same event and body again is counted on the row that is there. Raises a `WebhookRefusedError` for a delivery
    that must not be kept, and SQLAlchemy's errors where PostgreSQL cannot be reached: then nothing was kept.
    """
    sender = sources.get(source)
    if sender is None or not sender.verify(headers, body):
        raise UnverifiedError("not verified")
    check_media(headers)
    event = headers.get(sender.event_header, "")
    if not _EVENT.fullmatch(event):
        raise UnusableBodyError(f"the header {sender.event_header} must name the event")
    text = json_text(body, policy.nesting)
    identity = deliveries.delivery_id(event, body)
    try:
        with engine.begin() as connection:
            copies = deliveries.record_delivery(
                connection, tenant=tenant, source=source, delivery_id=identity, event=event, body=text, now=now
            )
    except DataError as error:
        # Such as a number beyond PostgreSQL's range: the sender's doing, and the same at every retry.
        raise UnusableBodyError("the body holds a value that cannot be stored") from error
    return Received(identity, copies)


def check_media(headers: Mapping[str, str]) -> None:
    """Raise UnsupportedMediaError unless the headers, with lower-case names, announce plain JSON in UTF-8."""
    media, _, parameters = headers.get("content-type", "").lower().partition(";")
    if media.strip() != "application/json":
        raise UnsupportedMediaError("content-type must be application/json")
    charset = re.search(r'charset="?([^";\s]+)', parameters)
    if charset and charset[1] not in ("utf-8", "utf8", "us-ascii"):
        raise UnsupportedMediaError("the charset must be utf-8")
    if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise UnsupportedMediaError("content-encoding is not supported")


def json_text(body: bytes, nesting: int) -> str:
    """The text of the body, once it has proved to be an object, or objects, of JSON that PostgreSQL can hold.

    Raises NotJsonError or UnusableBodyError.
    """
    try:
        text = body.decode("utf-8")
        # Numbers stay text: neither their precision nor Python's limit on digits matters to a check of the shape.
        parsed = json.loads(text, parse_constant=_refuse_constant, parse_int=str, parse_float=str)
    except RecursionError as error:
        raise UnusableBodyError("the body nests too deeply") from error
    except ValueError as error:
        raise NotJsonError("the body must be JSON in UTF-8") from error
    # Clockify announces a bulk edit as a list of the entries.
    items = parsed if isinstance(parsed, list) else [parsed]
    if not items or not all(isinstance(item, dict) for item in items):
        raise UnusableBodyError("the body must be a JSON object or a list of objects")
    _check_values(parsed, nesting)
    return text


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _check_values(value: object, nesting: int) -> None:
    """Refuse nesting beyond the bound, and text that JSON can spell and PostgreSQL cannot hold."""
    level: list[Any] = [value]
    for _ in range(nesting + 1):
        if any(_NOT_STORABLE.search(text) for item in level for text in _texts(item)):
            raise UnusableBodyError("the body holds text that is not valid Unicode, or a NUL")
        level = [child for item in level for child in _children(item)]
        if not level:
            return
    raise UnusableBodyError("the body nests too deeply")


def _texts(value: object) -> Iterable[str]:
    if isinstance(value, dict):
        return value.keys()
    return (value,) if isinstance(value, str) else ()


def _children(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
