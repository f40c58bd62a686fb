"""What the source connectors send is what the vendors' own API descriptions allow."""

import datetime as dt
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from psa_erp_assets.adapters.connectors.bamboohr.client import BambooHrClient
from psa_erp_assets.adapters.connectors.clockify.client import ClockifyClient
from psa_erp_assets.adapters.connectors.clockify.hints import SUBSCRIBED_EVENTS
from psa_erp_assets.adapters.connectors.hubspot.client import HubSpotClient
from psa_erp_assets.adapters.http import JsonApi
from psa_erp_assets_tests.support.scripted_server import Asked, Reply, as_json, scripted_server

FOLDER = Path(os.environ.get("PSA_ERP_CONTRACTS", Path(__file__).parents[3] / "shared" / "contracts"))
HOOK = {"id": "h1", "url": "u", "webhookEvent": "NEW_TIME_ENTRY", "authToken": "t"}


def description(name: str) -> dict[str, Any]:
    """A vendor's OpenAPI document."""
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"the vendor's API description {name} is not at {FOLDER}")
    text = path.read_text(encoding="utf-8")
    if name.endswith(".json"):
        return json.loads(text)
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def requests_of(use: Callable[[JsonApi], Any], answer: Callable[[Asked], Reply]) -> list[Asked]:
    """What a connector really sends over the wire."""
    with scripted_server(answer) as server, JsonApi(server.url, auth=dict, rate=1e6, burst=1000) as api:
        use(api)
        return server.asked


def use_clockify(api: JsonApi) -> None:
    client = ClockifyClient(api, "w1")
    now = dt.datetime(2026, 9, 1, tzinfo=dt.UTC)
    client.workspace()
    client.users()
    client.clients()
    client.projects()
    client.tasks("p1")
    client.tags()
    client.expenses()
    client.expense("x1")
    client.expense_categories()
    client.time_entries("u1", now, now)
    client.time_entry("e1")
    client.approval_requests("APPROVED", updated_since=now)
    client.approval_request("r1")
    client.webhooks()
    for event in SUBSCRIBED_EVENTS:
        client.register_webhook(event=event, url="https://sync.example/hook", name="sync")


def answer_clockify(asked: Asked) -> Reply:
    if asked.path.endswith("/webhooks"):
        return as_json(HOOK if asked.method == "POST" else {"webhooks": [HOOK]})
    if asked.path.endswith("/expenses"):
        return as_json({"expenses": {"expenses": [], "count": 0}})
    if asked.path.endswith("/categories"):
        return as_json({"categories": [], "count": 0})
    return as_json({"id": "e1"} if asked.path.endswith(("/time-entries/e1", "/expenses/x1", "/w1")) else [])


def answer_bamboohr(asked: Asked) -> Reply:
    if asked.path == "/api/v1/employees":
        cursor = None if "page[after]" in asked.query else "12"
        return as_json({"data": [{"employeeId": "11"}], "meta": {"page": {"nextCursor": cursor}}})
    return as_json([] if "tables" in asked.path else {"id": "11"})


def answer_hubspot(asked: Asked) -> Reply:
    return as_json({"results": [], **({} if "after" in asked.query else {"paging": {"next": {"after": "1"}}})})


def resolve(document: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        found: Any = document
        for name in node["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        node = found
    return node


def operation_for(document: dict[str, Any], asked: Asked) -> dict[str, Any]:
    """The described operation; a path without variables is preferred, as servers do."""
    fitting = [
        template
        for template in document["paths"]
        if re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", template), asked.path)
        and asked.method.lower() in document["paths"][template]
    ]
    assert fitting, f"{asked.method} {asked.path} is not described"
    return document["paths"][min(fitting, key=lambda t: t.count("{"))][asked.method.lower()]


def check_query(document: dict[str, Any], operation: dict[str, Any], asked: Asked) -> None:
    described = {p["name"]: p for p in (resolve(document, raw) for raw in operation.get("parameters", []))}
    described = {name: p for name, p in described.items() if p["in"] == "query"}
    missing = {name for name, p in described.items() if p.get("required")} - set(asked.query)
    assert not missing, f"{asked.path} lacks {missing}"
    for name, value in asked.query.items():
        outer, _, inner = name.partition("[")
        assert outer in described, f"{asked.path} has no query parameter {outer}"
        schema = resolve(document, described[outer]["schema"])
        if inner:
            assert described[outer]["style"] == "deepObject"
            schema = _property(document, schema, inner.removesuffix("]"))
        if "enum" in schema:
            assert value in schema["enum"], f"{asked.path}: {name} cannot be {value}"
        if schema.get("type") == "integer":
            assert schema.get("minimum", 0) <= int(value) <= schema.get("maximum", 10**9)


def _property(document: dict[str, Any], schema: dict[str, Any], name: str) -> dict[str, Any]:
    for piece in [schema, *(resolve(document, p) for p in schema.get("allOf", []))]:
        if name in piece.get("properties", {}):
            return resolve(document, piece["properties"][name])
    raise AssertionError(f"{name} is not described")


def check_body(document: dict[str, Any], operation: dict[str, Any], asked: Asked) -> None:
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    validator = jsonschema.Draft202012Validator({"components": document["components"], **schema})
    validator.validate(asked.body)
    unknown = set(asked.body) - set(resolve(document, schema)["properties"])
    assert not unknown, f"{asked.path} does not know {unknown}"


def check(document: dict[str, Any], requests: list[Asked]) -> None:
    for asked in requests:
        operation = operation_for(document, asked)
        check_query(document, operation, asked)
        if asked.body is not None:
            check_body(document, operation, asked)


def test_clockify_requests_are_described() -> None:
    """An undocumented path or parameter is ignored or refused by the real service, and no sandbox would tell.

    This version of the document has the events of expenses where it describes the webhooks that are answered and not
    yet where it describes their registration; the versions after it have them in both.
    """
    requests = requests_of(use_clockify, answer_clockify)
    assert len(requests) == 14 + len(SUBSCRIBED_EVENTS)
    document = description("clockify.yaml")
    schemas = document["components"]["schemas"]
    schemas["CreateWebhookRequestV1"]["properties"]["webhookEvent"] = schemas["WebhookEventType"]["oneOf"][0]
    check(document, requests)


def test_hubspot_company_requests_are_described() -> None:
    """The same for companies."""
    requests = requests_of(
        lambda api: [HubSpotClient(api).companies(), HubSpotClient(api).company_ids()], answer_hubspot
    )
    assert len(requests) == 4
    check(description("hubspot_companies.json"), requests)


def test_hubspot_deal_requests_are_described() -> None:
    """The same for deals, which the description knows by their object type id, 0-3, and the documentation by name."""
    document = description("hubspot_deals.json")
    document["paths"] = {path.replace("/0-3", "/deals"): item for path, item in document["paths"].items()}
    check(
        document, requests_of(lambda api: [HubSpotClient(api).deals(), HubSpotClient(api).deal_ids()], answer_hubspot)
    )


def test_bamboohr_requests_are_described() -> None:
    """The same for employees and compensation."""

    def use(api: JsonApi) -> None:
        client = BambooHrClient(api)
        client.employees()
        client.compensation()

    requests = requests_of(use, answer_bamboohr)
    assert len(requests) == 5
    check(description("bamboohr.yaml"), requests)
