"""Deliveries of four sources, honest ones and ones that are wrong in one way, each from the seed of a random number.

What is made wrong is surely wrong: a delivery that is called honest must be kept, and any other must not.
"""

import base64
import hashlib
import hmac
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from psa_erp_assets.domain.signatures import Scheme, Signature
from psa_erp_assets.services.receiving import WebhookSource, clockify_source

AT = 1_790_000_000
LIMIT = 4096
_URL = "https://console.example/webhooks/hubspot"
_TOKENS, _SECRETS = ("token-of-now", "token-of-before"), ("secret-of-now", "secret-of-before")
_KEYS = (b"a key of twenty-four b..", b"another key of 24 bytes.")

SOURCES = {
    "clockify": clockify_source(_TOKENS),
    "hubspot": WebhookSource(
        signature=Signature(scheme=Scheme.HUBSPOT_V3, url=_URL, secrets=_SECRETS), event_field="subscriptionType"
    ),
    "standard": WebhookSource(
        signature=Signature(
            scheme=Scheme.STANDARD, secrets=tuple("whsec_" + base64.b64encode(key).decode() for key in _KEYS)
        ),
        event_field="type",
    ),
    "other": WebhookSource(
        signature=Signature(scheme=Scheme.BODY_HMAC, header="x-signature", prefix="sha256=", secrets=_SECRETS),
        event_header="x-event",
    ),
}


@dataclass(frozen=True)
class Sent:
    """A request to `/webhooks/{source}`: headers as they go over the wire, and the body in chunks."""

    source: str
    headers: tuple[tuple[bytes, bytes], ...]
    chunks: tuple[bytes, ...]
    honest: bool
    what: str = "honest"

    @property
    def body(self) -> bytes:
        """All of it."""
        return b"".join(self.chunks)


def delivery(seed: int) -> Sent:
    """The delivery of this number: one of five is honest."""
    dice = random.Random(seed)
    source = dice.choice(list(SOURCES))
    body = _body(dice, source, seed)
    if dice.random() < 0.2:
        return _honest(dice, source, body)
    what = dice.choice(list(_WRONG))
    return replace(_WRONG[what](dice, source, body), honest=False, what=what)


def _body(dice: random.Random, source: str, number: int) -> bytes:
    text = "".join(dice.choices("aé漢😀\\\"\n /<>'", k=dice.randrange(30)))
    item = {"n": number, "id": f"{number:x}", "text": text, "amount": dice.choice([0, 1.5, -2, 10**20, None, True])}
    item |= {"hubspot": {"subscriptionType": "deal.propertyChange"}, "standard": {"type": "milestone.ready"}}.get(
        source, {}
    )
    whole = [item, item] if source == "hubspot" or dice.random() < 0.1 else item
    return json.dumps(whole, ensure_ascii=dice.random() < 0.5).encode()


def _mac(key: bytes, signed: bytes) -> bytes:
    return hmac.new(key, signed, hashlib.sha256).digest()


def _signed(dice: random.Random, source: str, body: bytes, *, at: int = AT, wrong: bool = False) -> dict[str, str]:
    """The headers that prove the delivery, or with a `wrong` secret do not."""
    secret = "nobody's" if wrong else dice.choice(_SECRETS)
    if source == "clockify":
        token = secret if wrong else dice.choice(_TOKENS)
        return {"clockify-signature": token, "clockify-webhook-event-type": "TIME_ENTRY_UPDATED"}
    if source == "hubspot":
        stamp = str(at * 1000)
        mac = _mac(secret.encode(), b"POST" + _URL.encode() + body + stamp.encode())
        return {"x-hubspot-request-timestamp": stamp, "x-hubspot-signature-v3": base64.b64encode(mac).decode()}
    if source == "standard":
        mac = _mac(secret.encode() if wrong else dice.choice(_KEYS), f"m1.{at}.".encode() + body)
        signature = "v1," + base64.b64encode(mac).decode()
        return {"webhook-id": "m1", "webhook-timestamp": str(at), "webhook-signature": signature}
    return {"x-signature": "sha256=" + _mac(secret.encode(), body).hex(), "x-event": "time_entry.updated"}


def _sent(source: str, headers: dict[str, str], *chunks: bytes, media: str = "application/json") -> Sent:
    named = {"host": "localhost", "content-type": media, **headers}
    wire = tuple((name.encode(), value.encode("latin-1", "replace")) for name, value in named.items())
    return Sent(source, wire, chunks, honest=True)


def _honest(dice: random.Random, source: str, body: bytes) -> Sent:
    media = dice.choice(["application/json", "application/json; charset=utf-8", "Application/JSON"])
    cut = dice.randrange(len(body))
    chunks = (body,) if dice.random() < 0.8 else (body[:cut], b"", body[cut:])
    return _sent(source, _signed(dice, source, body), *chunks, media=media)


def _proved(dice: random.Random, source: str, body: bytes) -> Sent:
    """A delivery of what nobody can keep, with a proof that it is the source's."""
    return _sent(source, _signed(dice, source, body), body)


def _unsigned(dice: random.Random, source: str, body: bytes) -> Sent:
    headers = _signed(dice, source, body)
    gone = next(name for name in headers if "signature" in name)
    junk = dice.choice([None, "", "v1,", "sha256=", "\xff\xfe", "A" * 2000, "v1,====", "0" * 64])
    return _sent(source, {n: v for n, v in headers.items() if n != gone} | ({} if junk is None else {gone: junk}), body)


def _stale(dice: random.Random, source: str, body: bytes) -> Sent:
    source = dice.choice(["hubspot", "standard"])
    at = AT + dice.choice([-1, 1]) * dice.randrange(302, 10**8)
    return _sent(source, _signed(dice, source, body, at=at), body)


def _odd_stamp(dice: random.Random, source: str, body: bytes) -> Sent:
    source = dice.choice(["hubspot", "standard"])
    headers = _signed(dice, source, body)
    name = next(n for n in headers if "timestamp" in n)
    odd = dice.choice(["", "-5", "1e9", "NaN", "9" * 5000, "0x1F", "12.5", "٣"])
    return _sent(source, headers | {name: odd}, body)


def _altered(dice: random.Random, source: str, body: bytes) -> Sent:
    source = dice.choice(["hubspot", "standard", "other"])
    return _sent(source, _signed(dice, source, body), body.replace(b'"n": ', b'"n": 1', 1))


def _no_json(dice: random.Random, source: str, body: bytes) -> Sent:
    cut = body[: dice.randrange(len(body))]
    odd = [
        cut,
        body + b"]",
        b"\xff\xfe" + body,
        b"\xef\xbb\xbf" + body,
        b'{"a": NaN}',
        b"",
        b"7",
        b"[]",
        b'["a"]',
        b"null",
    ]
    odd += [body.decode().encode("utf-16"), b"{'a': 1}", dice.randbytes(dice.randrange(200)) + b"\xff"]
    return _proved(dice, source, dice.choice(odd))


def _not_storable(dice: random.Random, source: str, body: bytes) -> Sent:
    name = dice.choice(["a\\u0000b", "\\ud800", "x\\udfff"])
    deep = dice.randrange(70, 1500)
    poison = [f'"{name}"', "1e400000", "-1E+200000", '{"a":' * deep + "1" + "}" * deep, "[" * deep + "]" * deep]
    end = b"}]" if body.endswith(b"}]") else b"}"
    return _proved(dice, source, body[: -len(end)] + f', "x": {dice.choice(poison)}'.encode() + end)


def _too_large(dice: random.Random, source: str, body: bytes) -> Sent:
    large = body + b" " * (LIMIT + 1 - len(body) + dice.randrange(3000))
    sent = _proved(dice, source, large)
    if dice.random() < 0.5:
        return replace(sent, headers=(*sent.headers, (b"content-length", str(len(large)).encode())))
    return replace(sent, chunks=tuple(large[i : i + 700] for i in range(0, len(large), 700)))


def _odd_length(dice: random.Random, source: str, body: bytes) -> Sent:
    odd = dice.choice([b"-1", b"1e3", b"9" * 40, b"0x10", b"\xb2", b"five"])
    sent = _proved(dice, source, body)
    return replace(sent, headers=(*sent.headers, (b"content-length", odd)))


def _odd_media(dice: random.Random, source: str, body: bytes) -> Sent:
    odd = dice.choice(
        ["", "text/plain", "application/json; charset=utf-16", "application/xml", "multipart/form-data", "\xe9"]
    )
    return _sent(source, _signed(dice, source, body), body, media=odd)


def _packed(dice: random.Random, source: str, body: bytes) -> Sent:
    return _sent(source, _signed(dice, source, body) | {"content-encoding": dice.choice(["gzip", "br", "x"])}, body)


def _no_event(dice: random.Random, source: str, body: bytes) -> Sent:
    odd = dice.choice(["", "A B", "x" * 101, "é", "a\x00b"])
    if source in ("clockify", "other"):
        name = "x-event" if source == "other" else "clockify-webhook-event-type"
        return _sent(source, _signed(dice, source, body) | {name: odd}, body)
    changed = json.loads(body)
    for item in changed if isinstance(changed, list) else [changed]:
        item.update(dict.fromkeys(("type", "subscriptionType"), dice.choice([odd, None, 7, ["x"], {}])))
    return _proved(dice, source, json.dumps(changed).encode())


def _unknown(dice: random.Random, source: str, body: bytes) -> Sent:
    other = dice.choice(["unknown", "Clockify", "clockify%20", "\x00", "é", "x" * 3000])
    return replace(_proved(dice, source, body), source=other)


def _forged(dice: random.Random, source: str, body: bytes) -> Sent:
    return _sent(source, _signed(dice, source, body, wrong=True), body)


_WRONG: dict[str, Callable[[random.Random, str, bytes], Sent]] = {
    "no signature": _unsigned,
    "forged": _forged,
    "stale": _stale,
    "odd timestamp": _odd_stamp,
    "altered": _altered,
    "no JSON": _no_json,
    "not storable": _not_storable,
    "too large": _too_large,
    "odd length": _odd_length,
    "odd media": _odd_media,
    "packed": _packed,
    "no event": _no_event,
    "unknown source": _unknown,
}
