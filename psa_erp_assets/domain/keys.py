"""Keys and hashes: the identity of an effect, and the identity of a content."""

import hashlib
from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec

KEY_VERSION = "1"

_encode = msgspec.json.Encoder(order="sorted").encode


def posting_key(*, tenant: str, erp_company: str, effect_type: str, object_id: str, revision: int, leg: str) -> str:
    """The idempotency key of one posting: 32 hex characters of SHA-256 over length-prefixed parts.

    Never the payload, a time or an attempt, so that every retry of an effect has the key of the first try.
    Length prefixes keep it injective: ("ab", "c") and ("a", "bc") differ.
    """
    before, after = _prefixed(KEY_VERSION, tenant, erp_company, effect_type), _prefixed(str(revision), leg)
    raw = object_id.encode()
    return hashlib.sha256(b"".join((before, len(raw).to_bytes(4, "big"), raw, after))).hexdigest()[:32]


@cache
def _prefixed(*parts: str) -> bytes:
    """Parts that many keys share, each with its length before it."""
    return b"".join(len(raw).to_bytes(4, "big") + raw for raw in map(str.encode, parts))


def canonical_json(body: Mapping[str, Any]) -> str:
    """One spelling of a JSON body: sorted keys, no spaces, no floats. Raises TypeError where a float hides."""
    _refuse_floats(body)
    return _encode(body).decode()


def canonical_text(body: object) -> str:
    """The same for a body that nobody has to look through for floats, made of texts, whole numbers, dates and amounts.

    A Decimal is written as its text, a date as ISO text, an enumeration's member as its value, a record as an object.
    """
    return _encode(body).decode()


def text_hash(text: str) -> str:
    """SHA-256, as hex, of what is canonical JSON already."""
    return hashlib.sha256(text.encode()).hexdigest()


def content_hash(body: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON, as hex: equal bodies have equal hashes, however their keys were ordered."""
    return text_hash(canonical_json(body))


def _refuse_floats(value: Any) -> None:
    if isinstance(value, float):
        raise TypeError(f"a float ({value!r}) has no place in a canonical body; use a Decimal written as a string")
    if isinstance(value, Mapping):
        for item in value.values():
            _refuse_floats(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_floats(item)
