"""An OpenID provider as an ordinary HTTP server: discovery, the page to sign in on, the token endpoint, and keys.

It lets in whoever `person` says, at once and without asking, and speaks OpenID Connect Core 1.0 (code flow) with PKCE.
Its faults are those of a provider that is broken, or of somebody between it and the console.
"""

import base64
import binascii
import datetime as dt
import hashlib
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import unquote, urlencode

from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

_LASTS = dt.timedelta(minutes=5)


class OpenIdFault(StrEnum):
    """What is wrong with the next answers."""

    WRONG_NONCE = "wrong_nonce"
    EXPIRED = "expired"
    WRONG_AUDIENCE = "wrong_audience"
    WRONG_ISSUER = "wrong_issuer"
    BAD_SIGNATURE = "bad_signature"
    UNSIGNED = "unsigned"
    NO_ID_TOKEN = "no_id_token"  # noqa: S105 - a fault's name
    DENIED = "denied"
    DOWN = "down"


@dataclass(slots=True)
class OpenIdSandbox:
    """The provider's state. `issuer` is its own address, which is known once it is served."""

    client_id: str
    client_secret: str
    clock: Callable[[], dt.datetime]
    issuer: str = ""
    person: dict[str, Any] = field(default_factory=dict)
    fault: OpenIdFault | None = None
    _key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, auto_kid=True))
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def renew_key(self) -> None:
        """Take a new key, as providers do now and then; the old one is not told any more."""
        self._key = RSAKey.generate_key(2048, auto_kid=True)

    def app(self) -> Starlette:
        """The provider's ASGI app."""
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._describe),
                Route("/authorize", self._authorize),
                Route("/token", self._token, methods=["POST"]),
                Route("/keys", self._keys),
            ]
        )

    async def _describe(self, _: Request) -> Response:
        if self.fault is OpenIdFault.DOWN:
            return Response(status_code=503)
        return JSONResponse(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            }
        )

    async def _keys(self, _: Request) -> Response:
        return JSONResponse(KeySet([self._key]).as_dict(private=False))

    async def _authorize(self, request: Request) -> Response:
        asked = dict(request.query_params)
        if asked.get("client_id") != self.client_id or asked.get("code_challenge_method") != "S256":
            return Response("unknown client, or no PKCE", 400)
        answer = {"state": asked["state"], "iss": self.issuer}
        if self.fault is OpenIdFault.DENIED:
            answer |= {"error": "access_denied"}
        else:
            code = secrets.token_urlsafe(16)
            self._codes[code] = asked
            answer |= {"code": code}
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode(answer)}", 302)

    async def _token(self, request: Request) -> Response:
        form = await request.form()
        # A code is good for one try, whatever becomes of it.
        asked = self._codes.pop(str(form.get("code")), None)
        verifier = str(form.get("code_verifier", ""))
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        if not self._knows_client(request.headers.get("authorization", "")):
            return JSONResponse({"error": "invalid_client"}, 401)
        if (
            asked is None
            or asked["code_challenge"] != challenge
            or asked["redirect_uri"] != form.get("redirect_uri")
            or form.get("grant_type") != "authorization_code"
        ):
            return JSONResponse({"error": "invalid_grant"}, 400)
        body = {"access_token": secrets.token_urlsafe(16), "token_type": "Bearer"}
        if self.fault is not OpenIdFault.NO_ID_TOKEN:
            body["id_token"] = self._id_token(asked["nonce"])
        return JSONResponse(body)

    def _knows_client(self, authorization: str) -> bool:
        try:
            name, _, secret = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return False
        return (unquote(name), unquote(secret)) == (self.client_id, self.client_secret)

    def _id_token(self, nonce: str) -> str:
        now = self.clock() - (dt.timedelta(hours=1) if self.fault is OpenIdFault.EXPIRED else dt.timedelta())
        claims = {
            "iss": "https://elsewhere.example" if self.fault is OpenIdFault.WRONG_ISSUER else self.issuer,
            "aud": "another-client" if self.fault is OpenIdFault.WRONG_AUDIENCE else self.client_id,
            "nonce": "another" if self.fault is OpenIdFault.WRONG_NONCE else nonce,
            "iat": int(now.timestamp()),
            "exp": int((now + _LASTS).timestamp()),
            **self.person,
        }
        if self.fault is OpenIdFault.UNSIGNED:
            parts = ({"alg": "none"}, claims)
            return (
                ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
                + "."
            )
        key = self._key
        if self.fault is OpenIdFault.BAD_SIGNATURE:
            # Of the same name, so that only the signature tells.
            key = RSAKey.generate_key(2048, parameters={"kid": str(self._key.kid)})
        return jwt.encode({"alg": "RS256", "kid": str(self._key.kid)}, claims, key)
