"""What proves a delivery, scheme by scheme, and that nothing else does."""

import base64
import hashlib
import hmac
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psa_erp_assets.domain.signatures import Delivery, Scheme, Signature, hubspot_uri

AT = 1_790_000_000.0
BODY = b'{"id": "1"}'
URL = "https://console.example/webhooks/crm?a=%3A%20b"


def mac(key: bytes, signed: bytes, digest: str = "sha256") -> bytes:
    return hmac.new(key, signed, getattr(hashlib, digest)).digest()


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


KEY = b"0123456789abcdef01234567"
WHSEC = "whsec_" + b64(KEY)
TOKEN = Signature(scheme=Scheme.TOKEN, header="x-token", secrets=("old", "new"))
HEX = Signature(scheme=Scheme.BODY_HMAC, header="x-hub-signature-256", prefix="sha256=", secrets=("old", "new"))
IN_BASE64 = Signature(scheme=Scheme.BODY_HMAC, header="x-xero-signature", in_base64=True, secrets=("old", "new"))
STAMPED = replace(HEX, timestamp_header="x-timestamp")
HUBSPOT = Signature(scheme=Scheme.HUBSPOT_V3, url=URL, secrets=("old", "new"))
STANDARD = Signature(scheme=Scheme.STANDARD, secrets=("whsec_" + b64(b"another key of 24 bytes!"), WHSEC))


def headers_of(signature: Signature, body: bytes = BODY, at: float = AT, secret: str = "new") -> dict[str, str]:
    """What an honest sender of the scheme sends; `secret` as the vendor knows it."""
    seconds, key = str(int(at)), secret.encode()
    if signature is TOKEN:
        return {"x-token": secret}
    if signature is HEX:
        return {"x-hub-signature-256": "sha256=" + mac(key, body).hex()}
    if signature is IN_BASE64:
        return {"x-xero-signature": b64(mac(key, body))}
    if signature is STAMPED:
        signed = seconds.encode() + b"." + body
        return {"x-timestamp": seconds, "x-hub-signature-256": "sha256=" + mac(key, signed).hex()}
    if signature is HUBSPOT:
        millis = str(int(at * 1000))
        signed = b"POST" + b"https://console.example/webhooks/crm?a=:%20b" + body + millis.encode()
        return {"x-hubspot-request-timestamp": millis, "x-hubspot-signature-v3": b64(mac(key, signed))}
    signed = b"msg_1." + seconds.encode() + b"." + body
    wrong = b64(mac(b"not the key", signed))
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": seconds,
        "webhook-signature": f"v1,{wrong} v2,ignored v1,{b64(mac(KEY, signed))}",
    }


ALL = pytest.mark.parametrize(
    "signature", [TOKEN, HEX, IN_BASE64, STAMPED, HUBSPOT, STANDARD], ids=["token", "hex", "b64", "stamped", "hs", "sw"]
)
DATED = pytest.mark.parametrize("signature", [STAMPED, HUBSPOT, STANDARD], ids=["stamped", "hs", "sw"])


def proves(signature: Signature, headers: dict[str, str], body: bytes = BODY, at: float = AT) -> bool:
    return signature.proves(Delivery(headers=headers, body=body, at=at))


@ALL
def test_an_honest_delivery_is_accepted_with_each_live_secret(signature: Signature) -> None:
    """While a secret is rotated, deliveries signed with either would be lost."""
    assert proves(signature, headers_of(signature))
    if signature is not STANDARD:
        assert proves(signature, headers_of(signature, secret="old"))
        assert not proves(signature, headers_of(signature, secret="older"))


@ALL
def test_no_header_and_no_secret_prove_nothing(signature: Signature) -> None:
    """A source whose secret is empty would accept everybody."""
    assert not proves(signature, {})
    assert not proves(signature, dict.fromkeys(headers_of(signature), ""))
    assert not proves(replace(signature, secrets=()), headers_of(signature))
    assert not proves(replace(signature, secrets=("",)), headers_of(signature, secret=""))


@ALL
def test_another_body_is_not_what_was_signed(signature: Signature) -> None:
    """A body changed on its way would be believed. A token signs nothing, which is why a webhook is only a hint."""
    assert proves(signature, headers_of(signature), b'{"id": "2"}') is (signature is TOKEN)


@DATED
@pytest.mark.parametrize(("late", "accepted"), [(0, True), (299, True), (-299, True), (302, False), (-302, False)])
def test_what_is_too_old_or_from_the_future_is_refused(signature: Signature, late: int, accepted: bool) -> None:
    """A delivery that somebody recorded could be played back for ever."""
    assert proves(signature, headers_of(signature), at=AT + late) is accepted


@DATED
@pytest.mark.parametrize("stamp", ["", "-1", "1e9", "٣", "9" * 40, "0x10", " 1", "nan"])
def test_a_timestamp_that_is_none_is_no_failure(signature: Signature, stamp: str) -> None:
    """An exception here would be a 500, and the vendor would send it again."""
    headers = {name: stamp if "timestamp" in name else value for name, value in headers_of(signature).items()}
    assert not proves(signature, headers)


def test_the_address_is_signed_as_hubspot_writes_it() -> None:
    """Each delivery to an address with an escape would be refused."""
    assert hubspot_uri("https://x/a%2Fb%3f%20%zz") == "https://x/a/b?%20%zz"
    assert not proves(replace(HUBSPOT, url="https://elsewhere.example/"), headers_of(HUBSPOT))


def test_a_secret_of_standard_webhooks_that_is_no_base64_proves_nothing() -> None:
    """An HMAC with an empty key is one that everybody can make."""
    signed = b"msg_1." + str(int(AT)).encode() + b"." + BODY
    forged = headers_of(STANDARD) | {"webhook-signature": "v1," + b64(mac(b"", signed))}
    assert not proves(replace(STANDARD, secrets=("whsec_", "%%%")), forged)


@ALL
@given(noise=st.dictionaries(st.text(max_size=20), st.text(st.characters(exclude_categories=()), max_size=40)))
def test_noise_is_refused_and_raises_nothing(signature: Signature, noise: dict[str, str]) -> None:
    """Whatever a stranger sends, the answer is 401."""
    sendable = {n: v.encode("latin-1", "replace").decode("latin-1") for n, v in noise.items()}
    honest = {name: sendable.get("x", value[:-1]) for name, value in headers_of(signature).items()}
    assert not proves(signature, sendable)
    assert not proves(signature, honest)
