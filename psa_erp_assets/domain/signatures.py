"""How a webhook delivery proves where it comes from, as data: the scheme, its headers, and the secrets that are live.

Sources: Clockify, "Webhooks" (a token a webhook, sent as it is); HubSpot, "Validating requests" (v3: base64 of
HMAC-SHA256 over method, URI, body and timestamp, at most five minutes old); Standard Webhooks 1.0,
https://www.standardwebhooks.com (base64 of HMAC-SHA256 over id, timestamp and body, several signatures at once);
Xero, QuickBooks, ERPNext and many others (HMAC over the raw body, in hex or base64). Kantata sends none: its
Subscribed Events are polled, so a relay speaks Standard Webhooks for it.

Every comparison takes as long for a wrong value as for a right one and looks at all live secrets, of which there are
two while one is being rotated. Nothing here raises: what cannot be understood is not authentic.
"""

import base64
import binascii
import enum
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

TOLERANCE_SECONDS = 300
_DIGITS = re.compile(r"[0-9]{1,15}", re.ASCII)
# HubSpot signs the URI with just these decoded.
_DECODED_BY_HUBSPOT = {
    "%3A": ":",
    "%2F": "/",
    "%3F": "?",
    "%40": "@",
    "%21": "!",
    "%24": "$",
    "%27": "'",
    "%28": "(",
    "%29": ")",
    "%2A": "*",
    "%2C": ",",
    "%3B": ";",
}
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")


class Scheme(enum.StrEnum):
    """How deliveries are verified."""

    TOKEN = "token"  # noqa: S105 - the name of a scheme
    BODY_HMAC = "body_hmac"
    HUBSPOT_V3 = "hubspot_v3"
    STANDARD = "standard_webhooks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What was sent: header names in lower case, the body as it came, and the seconds since 1970 at which it came."""

    headers: Mapping[str, str]
    body: bytes
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What proves a delivery of one source.

    `secrets` are all that are live. `header` carries the token or the HMAC, `prefix` stands before an HMAC, such as
    "sha256=", and `digest` is sha256, sha1 or sha512, written in hex unless `in_base64`. `timestamp_header`, if the
    vendor of a body HMAC has one, is the seconds since 1970 that are signed before the body, with a dot between.
    `url` is the address to which the vendor was told to send, which HubSpot signs. `tolerance_seconds` bounds how far
    a signed timestamp may be from the time of arrival, either way.
    """

    scheme: Scheme
    secrets: Sequence[str] = field(repr=False)
    header: str = ""
    prefix: str = ""
    digest: str = "sha256"
    in_base64: bool = False
    timestamp_header: str = ""
    url: str = ""
    tolerance_seconds: int = TOLERANCE_SECONDS

    def proves(self, delivery: Delivery) -> bool:
        """Whether the delivery is from whoever knows one of the secrets, and no older than the tolerance."""
        if self.scheme is Scheme.TOKEN:
            return _any_equal([delivery.headers.get(self.header, "").encode()], _encoded(self.secrets))
        if self.scheme is Scheme.BODY_HMAC:
            return self._body_hmac(delivery)
        if self.scheme is Scheme.HUBSPOT_V3:
            return self._hubspot_v3(delivery)
        return self._standard(delivery)

    def _body_hmac(self, delivery: Delivery) -> bool:
        given = delivery.headers.get(self.header, "")
        if not given.startswith(self.prefix):
            return False
        signed = delivery.body
        if self.timestamp_header:
            stamp = delivery.headers.get(self.timestamp_header, "")
            if not self._is_recent(stamp, delivery.at):
                return False
            signed = stamp.encode() + b"." + signed
        return self._matches([given[len(self.prefix) :]], signed, self.digest, _encoded(self.secrets))

    def _hubspot_v3(self, delivery: Delivery) -> bool:
        stamp = delivery.headers.get("x-hubspot-request-timestamp", "")
        if not self._is_recent(stamp, delivery.at, unit=1000):
            return False
        signed = b"POST" + hubspot_uri(self.url).encode() + delivery.body + stamp.encode()
        given = delivery.headers.get("x-hubspot-signature-v3", "")
        return _any_equal([given.encode()], [_base64(_mac(s, signed, "sha256")) for s in _encoded(self.secrets)])

    def _standard(self, delivery: Delivery) -> bool:
        identity, stamp = delivery.headers.get("webhook-id", ""), delivery.headers.get("webhook-timestamp", "")
        if not identity or not self._is_recent(stamp, delivery.at):
            return False
        signed = identity.encode() + b"." + stamp.encode() + b"." + delivery.body
        listed = (entry.partition(",") for entry in delivery.headers.get("webhook-signature", "").split(" ")[:10])
        given = [signature.encode() for version, _, signature in listed if version == "v1"]
        keys = [key for key in map(standard_key, self.secrets) if key]
        return _any_equal(given, [_base64(_mac(key, signed, "sha256")) for key in keys])

    def _matches(self, given: Iterable[str], signed: bytes, digest: str, keys: Iterable[bytes]) -> bool:
        macs = [_mac(key, signed, digest) for key in keys]
        if self.in_base64:
            return _any_equal([g.encode() for g in given], [_base64(mac) for mac in macs])
        return _any_equal([g.lower().encode() for g in given], [mac.hex().encode() for mac in macs])

    def _is_recent(self, stamp: str, at: float, unit: int = 1) -> bool:
        if _DIGITS.fullmatch(stamp) is None:
            return False
        return abs(at - int(stamp) / unit) <= self.tolerance_seconds


def hubspot_uri(url: str) -> str:
    """The URI as HubSpot signs it: a few escapes are decoded, the others stay."""
    return _ESCAPE.sub(lambda found: _DECODED_BY_HUBSPOT.get(found[0].upper(), found[0]), url)


def standard_key(secret: str) -> bytes:
    """The key in a secret of Standard Webhooks, "whsec_" and base64; empty where it is none."""
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _encoded(secrets: Iterable[str]) -> list[bytes]:
    return [secret.encode() for secret in secrets if secret]


def _mac(key: bytes, signed: bytes, digest: str) -> bytes:
    return hmac.digest(key, signed, digest)


def _base64(mac: bytes) -> bytes:
    return base64.b64encode(mac)


def _any_equal(given: Iterable[bytes], expected: Sequence[bytes]) -> bool:
    matches = [hmac.compare_digest(one, other) for one in given for other in expected]
    return any(matches)
