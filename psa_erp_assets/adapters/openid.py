"""An OpenID provider: the authorization code flow with PKCE, state and nonce, and what its ID token must be.

Follows OpenID Connect Core 1.0 (3.1, code flow), OpenID Connect Discovery 1.0, RFC 7636 (PKCE) and RFC 9207 (the issuer
in the answer). Keys and signatures are joserfc's work.
"""

import base64
import datetime as dt
import hashlib
import threading
from collections.abc import Mapping, Sequence
from typing import Any, cast
from urllib.parse import quote, urlencode, urlsplit

import httpx
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, KeySetSerialization

from psa_erp_assets.adapters.passwords import same

_TIMEOUT = httpx.Timeout(10.0)
_KEPT = dt.timedelta(hours=1)
_LEEWAY_SECONDS = 60
# Signatures that the provider alone can make; "none" and those with the client's secret are not among them.
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class OpenIdError(Exception):
    """Nobody has proven who they are; the message says why, without tokens and without what they say."""


class OpenIdUnreachableError(OpenIdError):
    """The provider gave no usable answer."""


class OpenIdProvider:
    """One provider, by its issuer. Its description and keys are read when first needed, and again after an hour."""

    def __init__(self, issuer: str, *, client_id: str, client_secret: str, scopes: Sequence[str]) -> None:
        self.issuer = issuer
        self._client_id, self._client_secret, self._scopes = client_id, client_secret, tuple(scopes)
        self._lock = threading.Lock()
        self._read: tuple[dt.datetime, Mapping[str, Any], KeySet] | None = None

    def authorization_url(self, redirect_uri: str, *, state: str, nonce: str, verifier: str, now: dt.datetime) -> str:
        """Where somebody proves who they are. Raises OpenIdUnreachableError."""
        description, _ = self._described(now)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(self._scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        endpoint = str(description["authorization_endpoint"])
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"

    def claims(self, code: str, redirect_uri: str, *, nonce: str, verifier: str, now: dt.datetime) -> Mapping[str, Any]:
        """What the provider says about whoever came back with a code. Raises OpenIdError."""
        description, keys = self._described(now)
        body = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        methods = description.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        auth = None
        if "client_secret_basic" in methods:
            # RFC 6749, 2.3.1: both are encoded as in a form first.
            auth = httpx.BasicAuth(quote(self._client_id, safe=""), quote(self._client_secret, safe=""))
        else:
            body |= {"client_id": self._client_id, "client_secret": self._client_secret}
        answer = _asked("POST", str(description["token_endpoint"]), data=body, auth=auth)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise OpenIdError("the provider's answer has no ID token")
        claims = self._verified(token, keys, now)
        if not same(str(claims.get("nonce", "")), nonce):
            raise OpenIdError("the ID token was not made for this sign-in")
        return claims

    def _verified(self, token: str, keys: KeySet, now: dt.datetime) -> Mapping[str, Any]:
        try:
            try:
                decoded = jwt.decode(token, keys, algorithms=list(_ALGORITHMS))
            except (JoseError, ValueError):
                # The provider may have taken a new key since.
                decoded = jwt.decode(token, self._described(now, renew=True)[1], algorithms=list(_ALGORITHMS))
            jwt.JWTClaimsRegistry(
                now=int(now.timestamp()),
                leeway=_LEEWAY_SECONDS,
                iss={"essential": True, "value": self.issuer},
                aud={"essential": True, "value": self._client_id},
                sub={"essential": True},
                exp={"essential": True},
                iat={"essential": True},
            ).validate(decoded.claims)
        except (JoseError, ValueError, TypeError) as error:
            raise OpenIdError(f"the ID token is not valid ({type(error).__name__})") from None
        claims: Mapping[str, Any] = decoded.claims
        party, audience = claims.get("azp"), claims["aud"]
        several = isinstance(audience, list) and len(audience) > 1
        if (party is not None or several) and party != self._client_id:
            raise OpenIdError("the ID token was made for another client")
        if not isinstance(claims["sub"], str) or not claims["sub"]:
            raise OpenIdError("the ID token names nobody")
        return claims

    def _described(self, now: dt.datetime, *, renew: bool = False) -> tuple[Mapping[str, Any], KeySet]:
        with self._lock:
            if self._read is None or renew or now - self._read[0] > _KEPT:
                address = f"{self.issuer.rstrip('/')}/.well-known/openid-configuration"
                description = _asked("GET", _safe(address))
                if description.get("issuer") != self.issuer:
                    raise OpenIdUnreachableError("the provider calls itself by another issuer than the settings")
                for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
                    _safe(str(description.get(name, "")))
                try:
                    keys = KeySet.import_key_set(
                        cast("KeySetSerialization", _asked("GET", str(description["jwks_uri"])))
                    )
                except (JoseError, ValueError, KeyError, TypeError) as error:
                    raise OpenIdUnreachableError("the provider's keys cannot be read") from error
                self._read = now, description, keys
            return self._read[1], self._read[2]


def _safe(address: str) -> str:
    """The address, where nobody between here and there can change what is said. Raises OpenIdUnreachableError."""
    parts = urlsplit(address)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        return address
    raise OpenIdUnreachableError("the provider's addresses must begin with https://")


def _asked(method: str, address: str, **options: Any) -> Mapping[str, Any]:
    try:
        answer = httpx.request(method, address, timeout=_TIMEOUT, **options)
        body = answer.json() if answer.is_success else None
    except (httpx.HTTPError, ValueError) as error:
        raise OpenIdUnreachableError(f"the provider does not answer ({type(error).__name__})") from None
    if not answer.is_success:
        raise OpenIdUnreachableError(f"the provider answers {answer.status_code}")
    if not isinstance(body, dict):
        raise OpenIdUnreachableError("the provider's answer is not understood")
    return body
