"""A relay that speaks for the second PSA: what a company runs whose vendor records events and sends no webhooks.

Kantata's Subscribed Events (https://developer.kantata.com, tag "Events") are read and not sent. The relay reads them
and sends each that matters to billing as a webhook of Standard Webhooks 1.0, https://www.standardwebhooks.com: what
happened in `type`, the object's id at `data.id`, and a signature over id, timestamp and body. As with the events
themselves, an order is not promised.

    PUT /target   {"url": ..., "secret": "whsec_..."}   with the PSA's own token
"""

import base64
import hmac
import json
import time
from collections.abc import Mapping
from functools import partial

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from psa_erp_assets.domain.signatures import standard_key
from psa_erp_assets.sandbox.state import Document, SandboxState, Tables
from psa_erp_assets.sandbox.webhooks import WebhookSender
from psa_erp_assets.sandbox.wire import VendorError, json_object, same_secret, vendor_app

_TARGET = "kantata"
# What of a project says which contract its milestones are of, and in which currency they are paid.
_CONTRACT_FIELDS = frozenset({"title", "currency", "currency_base_unit", "price_in_cents"})


def initial_tables() -> Tables:
    """Nobody is told anything before somebody asks for it."""
    return {"relay_targets": {}}


class KantataRelay:
    """Sends what it is told of to the one address that was registered."""

    def __init__(self, state: SandboxState, access_token: str, sender: WebhookSender) -> None:
        self._state, self._token, self._sender = state, access_token, sender

    def app(self) -> Starlette:
        """The relay's own settings."""
        return vendor_app(
            [("PUT", "/target", self._register)], lambda e: JSONResponse({"error": str(e)}, status_code=e.status)
        )

    def forward(self, event: Document) -> None:
        """Announce a Subscribed Event, if it is of a milestone or of a project."""
        target, kind = self._state.get("relay_targets", _TARGET), announced(event)
        if target is None or kind is None:
            return
        body = {"type": kind, "timestamp": event["created_at"], "data": {"id": event["subject_ref"]["id"]}}
        content = json.dumps(body, separators=(",", ":")).encode()
        self._sender.send_signed(target["url"], content, partial(_signed, target["secret"], event["id"], content))

    async def _register(self, request: Request) -> Response:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not same_secret(token, self._token):
            raise VendorError(401, "the PSA's token is needed")
        body = await json_object(request)
        url, secret = body.get("url"), body.get("secret")
        if not isinstance(url, str) or not isinstance(secret, str) or not standard_key(secret):
            raise VendorError(400, "url must be a text, and secret one of Standard Webhooks (whsec_ and base64)")
        self._state.commit([("relay_targets", _TARGET, {"url": url, "secret": secret})])
        return JSONResponse({"url": url})


def announced(event: Mapping[str, str]) -> str | None:
    """What a Subscribed Event is called as a webhook; None for one that does not matter to billing."""
    subject, _, what = event["event_type"].partition(":")
    row, changed = json.loads(event["current_payload"]), json.loads(event["payload_changes"]).keys()
    if subject == "workspace":
        if changed & {"status", "archived"}:
            return "project.status_changed"
        return "project.contract_changed" if changed & _CONTRACT_FIELDS else "project.updated"
    if row["story_type"] != "milestone":
        return None
    if what == "updated" and "state" in changed and row["state"] == "completed":
        return "milestone.ready"
    return f"milestone.{what}"


def _signed(secret: str, identity: str, content: bytes) -> dict[str, str]:
    stamp = str(int(time.time()))
    signed = f"evt_{identity}.{stamp}.".encode() + content
    mac = base64.b64encode(hmac.digest(standard_key(secret), signed, "sha256")).decode()
    return {"webhook-id": f"evt_{identity}", "webhook-timestamp": stamp, "webhook-signature": f"v1,{mac}"}
