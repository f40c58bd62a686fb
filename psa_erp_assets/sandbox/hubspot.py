"""A CRM that speaks HubSpot's CRM v3 objects API (companies and deals), over the demo company.

Sources: the vendor's OpenAPI documents for companies and deals (paths, parameters, SimplePublicObjectWithAssociations,
ForwardPaging, Error); deals answer under `deals` and under their object type id `0-3`, as in the live service.
As there, an association comes once under each of its labels, so one company is listed twice on a deal, and a list
has at most 100 objects a page. What is deleted is archived: it is in no list and 404 by its id, unless archived ones
are asked for. An app that has subscribed hears of creations, changed properties and deletions, signed as version 3 of
"Validating requests" says; its secret is given along with the address, as the sandbox has no page to read it from.

Custom properties of the company's portal: `customer_code` and `psa_client_id` on companies; `contract_code`,
`contract_kind`, `legal_entity`, `contract_start`, `contract_end`, `psa_project_ids`, `billing_terms` and
`amends_contract` on deals.
"""

import base64
import datetime as dt
import hmac
import json
import secrets
import time
import uuid
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from psa_erp_assets.sandbox.company_model import DemoCompany, DemoContract
from psa_erp_assets.sandbox.state import Document, SandboxState, Tables
from psa_erp_assets.sandbox.webhooks import WebhookSender
from psa_erp_assets.sandbox.wire import (
    Clock,
    Handler,
    VendorError,
    flag,
    json_object,
    same_secret,
    vendor_app,
    whole_number,
)

_ALIASES = {"companies": "companies", "0-2": "companies", "deals": "deals", "0-3": "deals"}
_ALWAYS = ("createdate", "hs_lastmodifieddate", "hs_object_id")
_DEFAULT = {
    "companies": (*_ALWAYS, "domain", "name"),
    "deals": (*_ALWAYS, "amount", "closedate", "dealname", "dealstage", "pipeline"),
}
_CATEGORIES = {400: "VALIDATION_ERROR", 401: "INVALID_AUTHENTICATION", 404: "OBJECT_NOT_FOUND", 429: "RATE_LIMITS"}
_MESSAGES = {
    401: "Authentication credentials not found or no longer valid.",
    429: "You have reached your ten_secondly_rolling limit.",
}


def initial_tables(company: DemoCompany) -> Tables:
    """The CRM's tables at the start of the demo."""
    crm_id = {c.code: c.crm_id for c in company.customers}
    made = f"{company.months[0]}-01T00:00:00.000Z"
    companies = {
        c.crm_id: {
            "id": c.crm_id,
            "createdAt": made,
            "updatedAt": made,
            "properties": {
                "name": c.name,
                "domain": c.code.lower() + ".example",
                "country": c.country,
                "customer_code": c.code,
                "psa_client_id": c.psa_id,
            },
        }
        for c in company.customers
    }
    deals = {
        c.crm_id: {
            "id": c.crm_id,
            "createdAt": made,
            "updatedAt": made,
            "companies": [crm_id[c.customer]],
            "properties": _deal_properties(c, [p.psa_id for p in company.projects if p.contract == c.code]),
        }
        for c in company.contracts
    }
    return {"companies": companies, "deals": deals, "hubspot_webhooks": {}}


def _deal_properties(contract: DemoContract, projects: Sequence[str]) -> Document:
    return {
        "dealname": contract.name,
        "dealstage": "closedwon" if contract.signed else "contractsent",
        "pipeline": "default",
        "amount": None,
        "closedate": f"{contract.start}T00:00:00.000Z",
        "deal_currency_code": contract.currency,
        "contract_code": contract.code,
        "contract_kind": contract.kind,
        "legal_entity": contract.legal_entity,
        "contract_start": contract.start.isoformat(),
        "contract_end": contract.end.isoformat() if contract.end else None,
        "psa_project_ids": ";".join(projects),
        "billing_terms": contract.billing_terms,
        "amends_contract": contract.amends,
    }


def hubspot_error(status: int, message: str | None = None) -> Response:
    """An error in HubSpot's form."""
    body = {
        "status": "error",
        "message": message or _MESSAGES.get(status, "internal error"),
        "correlationId": str(uuid.uuid4()),
        "category": _CATEGORIES.get(status, "INTERNAL_ERROR"),
    }
    return JSONResponse(body, status)


def create_hubspot(
    state: SandboxState, *, access_token: str, clock: Clock, sender: WebhookSender | None = None
) -> Starlette:
    """The CRM's ASGI app. Without a `sender` it announces nothing."""
    crm = _HubSpot(state, access_token, clock, sender)
    routes = [
        route
        for alias, kind in _ALIASES.items()
        for route in (
            ("GET", f"/crm/v3/objects/{alias}", crm.guarded(crm.objects(kind))),
            ("GET", f"/crm/v3/objects/{alias}/{{id}}", crm.guarded(crm.one(kind))),
            ("POST", f"/crm/v3/objects/{alias}", crm.guarded(crm.create(kind))),
            ("PATCH", f"/crm/v3/objects/{alias}/{{id}}", crm.guarded(crm.update(kind))),
            ("DELETE", f"/crm/v3/objects/{alias}/{{id}}", crm.guarded(crm.archive(kind))),
        )
    ]
    routes.append(("PUT", "/webhooks/v3/{app}/settings", crm.guarded(crm.subscribe)))
    return vendor_app(routes, lambda e: hubspot_error(e.status, str(e)))


class _HubSpot:
    def __init__(self, state: SandboxState, access_token: str, clock: Clock, sender: WebhookSender | None) -> None:
        self._state, self._sender = state, sender
        self._token = access_token
        self._clock = clock

    def guarded(self, handler: Handler) -> Handler:
        async def guarded(request: Request) -> Response:
            scheme, _, token = request.headers.get("authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not same_secret(token, self._token):
                raise VendorError(401, _MESSAGES[401])
            return await handler(request)

        return guarded

    def objects(self, kind: str) -> Handler:
        async def answer(request: Request) -> Response:
            query = request.query_params
            limit = whole_number(query, "limit", 10, 100)
            archived = bool(flag(query, "archived"))
            rows = [r for r in self._state.all(kind) if ("archivedAt" in r) is archived]
            rows.sort(key=lambda r: int(r["id"]))
            if "after" in query:
                if not query["after"].isdigit():
                    raise VendorError(400, "after is no paging cursor of this list")
                rows = [r for r in rows if int(r["id"]) >= int(query["after"])]
            body: dict[str, Any] = {"results": [self._shown(kind, r, request) for r in rows[:limit]]}
            if len(rows) > limit:
                # The cursor is the first id of the next page.
                after = rows[limit]["id"]
                link = str(request.url.include_query_params(after=after))
                body["paging"] = {"next": {"after": after, "link": link}}
            return JSONResponse(body)

        return answer

    def one(self, kind: str) -> Handler:
        async def answer(request: Request) -> Response:
            return JSONResponse(self._shown(kind, self._found(kind, request), request))

        return answer

    def update(self, kind: str) -> Handler:
        async def answer(request: Request) -> Response:
            row = self._found(kind, request)
            properties = _properties(await json_object(request), row["properties"])
            # An empty text is how a value is cleared.
            row = row | {
                "properties": row["properties"] | {k: v or None for k, v in properties.items()},
                "updatedAt": _millis(self._clock()),
            }
            self._state.commit([(kind, row["id"], row)])
            changes = [{"propertyName": name, "propertyValue": value} for name, value in sorted(properties.items())]
            self._announce(kind, row["id"], "propertyChange", changes)
            return JSONResponse(self._shown(kind, row, request))

        return answer

    def create(self, kind: str) -> Handler:
        async def answer(request: Request) -> Response:
            body, now = await json_object(request), _millis(self._clock())
            others = self._state.all(kind)
            properties = dict.fromkeys(others[0]["properties"]) | _properties(body, others[0]["properties"])
            key = str(max(int(r["id"]) for r in others) + 1)
            row: Document = {"id": key, "createdAt": now, "updatedAt": now, "properties": properties}
            if kind == "deals":
                row["companies"] = [self._company(link) for link in body.get("associations", ())]
            self._state.commit([(kind, key, row)])
            self._announce(kind, key, "creation", [{}])
            return JSONResponse(self._shown(kind, row, request), 201)

        return answer

    def archive(self, kind: str) -> Handler:
        async def answer(request: Request) -> Response:
            row = self._state.get(kind, request.path_params["id"])
            # As in the live service, deleting what is not there is no error.
            if row is not None and "archivedAt" not in row:
                now = _millis(self._clock())
                self._state.commit([(kind, row["id"], row | {"archivedAt": now, "updatedAt": now})])
                self._announce(kind, row["id"], "deletion", [{}])
            return Response(status_code=204)

        return answer

    def _company(self, link: Any) -> str:
        to = link.get("to") if isinstance(link, dict) else None
        key = str(to.get("id")) if isinstance(to, dict) else ""
        if self._state.get("companies", key) is None:
            raise VendorError(400, "an association must lead to a company")
        return key

    async def subscribe(self, request: Request) -> Response:
        """Where the app's events are sent. The secret of the app, which the vendor makes, is given along here."""
        body = await json_object(request)
        if not all(isinstance(body.get(name), str) and body[name] for name in ("targetUrl", "clientSecret")):
            raise VendorError(400, "targetUrl and clientSecret must be texts")
        row = {"id": request.path_params["app"], "url": body["targetUrl"], "secret": body["clientSecret"]}
        self._state.commit([("hubspot_webhooks", row["id"], row)])
        return JSONResponse({"targetUrl": row["url"]})

    def _announce(self, kind: str, object_id: str, what: str, details: Sequence[Document]) -> None:
        """One event a detail, all in one delivery."""
        if self._sender is None:
            return
        name = {"deals": "deal", "companies": "company"}[kind]
        for hook in self._state.all("hubspot_webhooks"):
            events = [
                {
                    "eventId": secrets.randbelow(2**31),
                    "subscriptionType": f"{name}.{what}",
                    "objectId": int(object_id),
                    "occurredAt": int(self._clock().timestamp() * 1000),
                    "attemptNumber": 0,
                    **detail,
                }
                for detail in details
            ]
            body = json.dumps(events).encode()
            self._sender.send_signed(hook["url"], body, partial(self._signed, hook, body))

    def _signed(self, hook: Document, body: bytes) -> dict[str, str]:
        stamp = str(int(time.time() * 1000))
        signed = b"POST" + str(hook["url"]).encode() + body + stamp.encode()
        mac = hmac.digest(str(hook["secret"]).encode(), signed, "sha256")
        return {"x-hubspot-request-timestamp": stamp, "x-hubspot-signature-v3": base64.b64encode(mac).decode()}

    def _found(self, kind: str, request: Request) -> Document:
        row = self._state.get(kind, request.path_params["id"])
        if row is None or ("archivedAt" in row) is not bool(flag(request.query_params, "archived")):
            raise VendorError(404, "Object not found. objectId are usually numeric.")
        return row

    def _shown(self, kind: str, row: Document, request: Request) -> Document:
        asked = [p for value in request.query_params.getlist("properties") for p in value.split(",") if p]
        values = row["properties"] | {
            "createdate": row["createdAt"],
            "hs_lastmodifieddate": row["updatedAt"],
            "hs_object_id": row["id"],
        }
        names = (*_ALWAYS, *asked) if asked else _DEFAULT[kind]
        shown = {
            "id": row["id"],
            "properties": {n: values[n] for n in sorted(set(names)) if n in values},
            "createdAt": row["createdAt"],
            "updatedAt": row["updatedAt"],
            "archived": "archivedAt" in row,
        } | ({"archivedAt": row["archivedAt"]} if "archivedAt" in row else {})
        links = self._associations(kind, row, request)
        return shown | {"associations": links} if links else shown

    def _associations(self, kind: str, row: Document, request: Request) -> Document:
        asked = {a for value in request.query_params.getlist("associations") for a in value.split(",")}
        other = "companies" if kind == "deals" else "deals"
        if other not in {_ALIASES.get(a) for a in asked}:
            return {}
        if kind == "deals":
            ids, label = row["companies"], "deal_to_company"
        else:
            ids, label = (
                [d["id"] for d in self._state.find("deals", "company", row["id"]) if "archivedAt" not in d],
                "company_to_deal",
            )
        results = [{"id": i, "type": kind_of} for i in ids for kind_of in (label, f"{label}_unlabeled")]
        return {other: {"results": results}} if results else {}


def _properties(body: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, str]:
    """The properties of a request. Raises VendorError 400 for one that the portal does not have."""
    properties = body.get("properties")
    if not isinstance(properties, dict) or not all(isinstance(v, str) for v in properties.values()):
        raise VendorError(400, "properties must map names to texts")
    unknown = sorted(set(properties) - set(known))
    if unknown:
        raise VendorError(400, f"Property values were not valid: {', '.join(unknown)} do not exist")
    return properties


def _millis(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
