"""Receive a webhook: verify it, keep it, and only then say so.

A webhook is a hint that an object changed; its content is never taken for the truth. It may come twice, late, out
of order or never. What belongs here: the checks on one delivery. What does not:
HTTP, writing it down (`intake`), and fetching the object.
"""

import datetime as dt
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from psa_erp_assets.adapters.connectors.clockify import verify as clockify
from psa_erp_assets.adapters.store import deliveries
from psa_erp_assets.adapters.store.deliveries import Arrival
from psa_erp_assets.domain.signatures import Delivery, Scheme, Signature
from psa_erp_assets.settings import Settings

_EVENT = re.compile(r"[A-Za-z0-9_.:-]{1,100}")
_CHARSET = re.compile(r'charset="?([^";\s]+)')
_NOT_STORABLE = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSource:
    """A vendor that may send webhooks: how a delivery proves its origin, and where it names its event.

    The event is in the header `event_header`, in lower case, or in the field `event_field` of the body or of each of
    its items; where items name several, the delivery's event is "several".
    """

    signature: Signature
    event_header: str = ""
    event_field: str = ""

    def __post_init__(self) -> None:
        if bool(self.event_header) == bool(self.event_field):
            raise ValueError("the event is either in a header or in a field")


def clockify_source(tokens: Sequence[str]) -> WebhookSource:
    """Clockify, which sends the token of the webhook that is registered; `tokens` are all that are live."""
    return WebhookSource(
        signature=Signature(scheme=Scheme.TOKEN, header=clockify.SIGNATURE_HEADER, secrets=tuple(tokens)),
        event_header=clockify.EVENT_HEADER,
    )


def sources_of(settings: Settings) -> dict[str, WebhookSource]:
    """The sources that the settings name, by the name in their address.

    Raises ConfigError where a secret is missing.
    """

    def live(name: str) -> tuple[str, ...]:
        return tuple(secret.strip() for secret in settings.secret(name).split(",") if secret.strip())

    connections = settings.connections
    found = {"clockify": clockify_source(live(connections.psa.webhook_tokens))}
    for name, hook in connections.webhooks.items():
        found[name] = WebhookSource(
            signature=Signature(
                scheme=hook.scheme,
                secrets=live(hook.secrets),
                header=hook.header,
                prefix=hook.prefix,
                digest=hook.digest,
                in_base64=hook.encoding == "base64",
                timestamp_header=hook.timestamp_header,
                url=hook.url or "",
                tolerance_seconds=hook.tolerance_seconds,
            ),
            event_header=hook.event_header or "",
            event_field=hook.event_field or "",
        )
    return found


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


class StoreUnavailableError(Exception):
    """PostgreSQL did not keep the delivery, for a reason that is not the delivery's. Sending it again is right.

    `cause` is the driver's error, whose text repeats parameters and is not to be shown.
    """

    def __init__(self, cause: Exception) -> None:
        super().__init__("the store cannot be reached")
        self.cause = cause


Outcome = int | UnusableBodyError | StoreUnavailableError
"""What became of an arrival: how many copies of it there are now, or why it was not kept."""


def admit(
    sources: Mapping[str, WebhookSource],
    *,
    source: str,
    headers: Mapping[str, str],
    body: bytes,
    now: dt.datetime,
    policy: WebhookPolicy,
) -> Arrival:
    """The delivery as it is to be kept, once it has proved to be from the source and to be something that can be kept.

    `headers` have lower-case names. Raises a `WebhookRefusedError` for any other.
    """
    sender = sources.get(source)
    if sender is None or not sender.signature.proves(Delivery(headers=headers, body=body, at=now.timestamp())):
        raise UnverifiedError("not verified")
    check_media(headers)
    if sender.event_header:
        event = _event(headers.get(sender.event_header))
        text, _ = _parsed(body, policy.nesting)
    else:
        text, items = _parsed(body, policy.nesting)
        named = {_event(item.get(sender.event_field)) for item in items}
        event = named.pop() if len(named) == 1 else "several"
    return Arrival(source=source, delivery_id=deliveries.delivery_id(event, body), event=event, body=text, at=now)


def _event(name: object) -> str:
    if not isinstance(name, str) or isinstance(name, _Number) or not _EVENT.fullmatch(name):
        raise UnusableBodyError("the delivery must name its event")
    return name


def check_media(headers: Mapping[str, str]) -> None:
    """Raise UnsupportedMediaError unless the headers, with lower-case names, announce plain JSON in UTF-8."""
    media, _, parameters = headers.get("content-type", "").lower().partition(";")
    if media.strip() != "application/json":
        raise UnsupportedMediaError("content-type must be application/json")
    charset = _CHARSET.search(parameters) if parameters else None
    if charset and charset[1] not in ("utf-8", "utf8", "us-ascii"):
        raise UnsupportedMediaError("the charset must be utf-8")
    if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise UnsupportedMediaError("content-encoding is not supported")


def json_text(body: bytes, nesting: int) -> str:
    """The text of the body, once it has proved to be an object, or objects, of JSON that PostgreSQL can hold.

    Raises NotJsonError or UnusableBodyError.
    """
    return _parsed(body, nesting)[0]


def _parsed(body: bytes, nesting: int) -> tuple[str, list[dict[str, Any]]]:
    """The text, and its objects; their numbers are good for nothing but to see that they are numbers."""
    try:
        text = body.decode("utf-8")
        parsed = _decoded(body, text)
    except RecursionError as error:
        raise UnusableBodyError("the body nests too deeply") from error
    except ValueError as error:
        raise NotJsonError("the body must be JSON in UTF-8") from error
    # Clockify announces a bulk edit as a list of the entries.
    items = parsed if isinstance(parsed, list) else [parsed]
    if set(map(type, items)) != {dict}:
        raise UnusableBodyError("the body must be a JSON object or a list of objects")
    # What PostgreSQL cannot hold is spelled with an escape, and depth takes brackets: most bodies have few of either.
    if b"\\u" in body or body.count(b"{") + body.count(b"[") > nesting:
        _check_values(parsed, nesting)
    return text, items


def _decoded(body: bytes, text: str) -> Any:
    try:
        # Many times as quick as Python's own parser. What it takes is JSON; what it does not take may be JSON too, of
        # thousands of digits or hundreds of levels.
        return from_json(body, allow_inf_nan=False)
    except ValueError:
        # Numbers stay text: neither their precision nor Python's limit on digits matters to a check of the shape.
        return _DECODER.decode(text)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


class _Number(str):
    """A number as it was written."""

    __slots__ = ()


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=_Number, parse_float=_Number)


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
