"""Work over HTTP: on a real server and a real PostgreSQL, every answer held against the API's own description."""

import asyncio
import concurrent.futures
import contextlib
import copy
import datetime as dt
import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openapi_spec_validator import OpenAPIV31SpecValidator, validate
from sqlalchemy import Engine, func, select

from psa_erp_assets.adapters.store import schema, work_heads
from psa_erp_assets.adapters.store.engine import make_engine
from psa_erp_assets.adapters.store.work_heads import Head
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.decision import Route
from psa_erp_assets.domain.terms import ContractKind
from psa_erp_assets.services import planning
from psa_erp_assets_tests.support.console import make_app, served
from psa_erp_assets_tests.support.facts import CONTRACT, TENANT, fx_rate, make_master
from psa_erp_assets_tests.support.openapi import ApiDocument
from psa_erp_assets_tests.support.store import NOW, SCOPE, keep_master, psa_payload, receive

ITEMS = "/api/v1/billable-work-items"
ITEM = ITEMS + "/{object_id}"
ACCOUNT = "/api/v1/contracts/{contract_id}/account"
TIME: dict[str, Any] = {
    "kind": "time_entry",
    "id": "T-1",
    "state": "approved",
    "psa_user_id": "u1",
    "psa_project_id": "p1",
    "service_date": "2026-09-14",
    "minutes": 50,
    "billable": True,
    "description": "workshop",
}
EXPENSE: dict[str, Any] = {
    "kind": "expense",
    "id": "R-1",
    "state": "approved",
    "psa_user_id": "u1",
    "psa_project_id": "p1",
    "service_date": "2026-09-14",
    "category": "Hotel",
    "receipt": {"amount": "120.5", "currency": "EUR"},
    "reimbursement": {"amount": "131.07", "currency": "USD"},
    "billable": True,
}
MILESTONE: dict[str, Any] = {
    "kind": "milestone",
    "id": "M-1",
    "state": "submitted",
    "contract_id": "CTR-0001",
    "service_date": "2026-09-30",
    "amount": {"amount": "12000", "currency": "GBP"},
    "label": "Design accepted",
}
EACH = pytest.mark.parametrize("body", [TIME, EXPENSE, MILESTONE], ids=lambda body: body["kind"])


class Api:
    """A client that fails where an answer is not as it is described."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self.description = self._client.get("/api/openapi.json").json()
        self._document = ApiDocument(copy.deepcopy(self.description))

    @property
    def address(self) -> str:
        """The server's."""
        return str(self._client.base_url).rstrip("/")

    def post(self, body: Any, status: int, **headers: str) -> Any:
        """The answer to a body, or to these very bytes."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = self._client.post(ITEMS, content=content, headers={"content-type": "application/json"} | headers)
        return self._checked("post", ITEMS, answer, status)

    def get(self, template: str, status: int = 200, *, values: dict[str, str] | None = None, **query: str) -> Any:
        """The answer for a path as it is described."""
        path = template.format(**(values or {}))
        return self._checked("get", template, self._client.get(path, params=query), status)

    def _checked(self, method: str, template: str, answer: httpx.Response, status: int) -> Any:
        assert answer.status_code == status, answer.text
        self._document.check_answer(method, template, status, answer.json())
        if answer.headers.get("location"):
            assert self._client.get(answer.headers["location"]).json()["object_id"] == answer.json()["object_id"]
        return answer.json()


@contextlib.contextmanager
def calling(engine: Engine, clock: Callable[[], dt.datetime] = lambda: NOW) -> Iterator[Api]:
    """A client of a server for the store."""
    with (
        served(make_app(engine, scope=SCOPE, clock=clock)) as address,
        httpx.Client(base_url=address, timeout=60) as client,
    ):
        yield Api(client)


@pytest.fixture
def company(clean_store: Engine) -> Engine:
    """A store with a small company's master data."""
    keep_master(clean_store, make_master(fx_rates=(fx_rate("USD", "GBP", "0.75"), fx_rate("EUR", "GBP", "0.85"))))
    return clean_store


@pytest.fixture
def api(company: Engine) -> Iterator[Api]:
    with calling(company) as api:
        yield api


def counts(engine: Engine) -> tuple[int, int]:
    """Payloads in the inbox and canonical revisions."""
    with engine.connect() as connection:
        sizes = {
            table: int(connection.execute(select(func.count()).select_from(table)).scalar_one())
            for table in (schema.inbox, schema.time_entry, schema.work_fact)
        }
    return sizes[schema.inbox], sizes[schema.time_entry] + sizes[schema.work_fact]


@EACH
def test_each_kind_is_kept_entered_and_answered(api: Api, company: Engine, body: dict[str, Any]) -> None:
    """A 201 without a payload in the inbox could not be traced to what was sent."""
    made = api.post(body, 201)
    assert made["object_id"] == f"{body['kind']}:api:{body['id']}"
    assert (made["change"], made["revision"], made["route"]["service_month"]) == ("new", 1, "2026-09")
    assert counts(company) == (1, 1)
    with company.connect() as connection:
        row = connection.execute(select(schema.inbox)).one()
    assert (row.source, row.arrived_by, row.object_id, row.payload["kind"]) == ("api", "api", body["id"], body["kind"])
    assert api.get(ITEM, values={"object_id": made["object_id"]}) == made | {"change": "unchanged"}


def test_a_change_is_a_revision_and_a_copy_is_none(api: Api, company: Engine) -> None:
    """A repeated request would credit and rebill; a correction that is taken for a copy would be lost."""
    api.post(TIME, 201)
    assert api.post(TIME, 200)["change"] == "unchanged"
    # What is left out and what is said to be as usual mean the same.
    assert api.post(TIME | {"time_zone": "UTC", "started_at": "2026-09-14T00:00:00Z"}, 200)["change"] == "unchanged"
    revised = api.post(TIME | {"minutes": 60}, 200)
    assert (revised["change"], revised["revision"], revised["decision"]["minutes"]) == ("revised", 2, 60)
    gone = api.post(TIME | {"minutes": 60, "state": "deleted"}, 200)
    assert (gone["change"], gone["state"], gone["decision"]["outcome"]) == ("revised", "deleted", "none")
    assert counts(company) == (4, 3)


def test_a_version_that_goes_backwards_is_kept_and_refused(api: Api, company: Engine) -> None:
    """The message that was overtaken would undo the correction that overtook it."""
    api.post(TIME | {"source_version": 7, "minutes": 60}, 201)
    refused = api.post(TIME | {"source_version": 6}, 409)
    assert "source_version 7" in refused["detail"]
    assert "another content" in api.post(TIME | {"source_version": 7}, 409)["detail"]
    assert counts(company) == (3, 1)
    again = api.post(TIME | {"source_version": 7, "minutes": 60}, 200)
    assert (again["change"], again["decision"]["minutes"]) == ("unchanged", 60)


def test_versions_in_any_order_end_in_the_same_state(api: Api) -> None:
    """Fault 18, with a version that goes back to what the first said."""
    ends = []
    for number, arrival in enumerate(itertools.permutations([(1, 50), (2, 60), (3, 50), (4, 40)])):
        highest = 0
        for version, minutes in arrival:
            body = TIME | {"id": f"T-{number}", "source_version": version, "minutes": minutes}
            api.post(body, 409 if version < highest else 200 if highest else 201)
            highest = max(highest, version)
        item = api.get(ITEM, values={"object_id": f"time_entry:api:T-{number}"})
        ends.append({k: v for k, v in item["decision"].items() if k != "object_id"} | {"state": item["state"]})
    assert all(end == ends[0] for end in ends)
    assert ends[0]["minutes"] == 40


def test_going_back_to_an_earlier_content_is_not_undone_by_what_lies_between(api: Api) -> None:
    """Version 3 says what version 1 said and makes no revision; version 2 is older than it all the same."""
    api.post(TIME | {"source_version": 1}, 201)
    assert api.post(TIME | {"source_version": 3}, 200)["change"] == "unchanged"
    api.post(TIME | {"source_version": 2, "minutes": 90}, 409)
    assert api.get(ITEM, values={"object_id": "time_entry:api:T-1"})["decision"]["minutes"] == 50


def test_a_clock_that_is_put_back_loses_nothing(company: Engine) -> None:
    """A 200 for a correction that was dropped, because another server's clock is ahead."""
    times = iter([NOW, NOW - dt.timedelta(minutes=5), NOW - dt.timedelta(minutes=4)])
    with calling(company, lambda: next(times)) as api:
        api.post(TIME, 201)
        assert api.post(TIME | {"minutes": 60}, 200)["decision"]["minutes"] == 60
        assert api.post(TIME | {"minutes": 70}, 200)["revision"] == 3
    assert counts(company) == (3, 3)


def test_a_thousand_copies_at_once_are_one_revision(company: Engine) -> None:
    """Fault 17: each copy that made a revision of its own would be billed, credited and billed again."""
    content = json.dumps(TIME).encode()
    with (
        served(make_app(company, scope=SCOPE, clock=lambda: NOW)) as address,
        httpx.Client(timeout=300, limits=httpx.Limits(max_connections=50)) as client,
        concurrent.futures.ThreadPoolExecutor(50) as pool,
    ):
        send = {"content": content, "headers": {"content-type": "application/json"}}
        answers = list(pool.map(lambda _: client.post(address + ITEMS, **send), range(1000)))  # type: ignore[arg-type]
    assert sorted(a.status_code for a in answers) == [200] * 999 + [201]
    assert {a.json()["revision"] for a in answers} == {1}
    assert counts(company) == (1, 1)


def test_work_of_a_connector_is_decided_and_planned_alike(api: Api, company: Engine) -> None:
    """A PSA would pay for having no connector with other amounts."""
    receive(company, psa_payload("e1"))
    mine = api.post(TIME | {"started_at": "2026-09-14T14:00:00Z", "time_zone": "America/New_York"}, 201)
    theirs = api.get(ITEM, values={"object_id": "time_entry:clockify:e1"})
    assert mine["decision"] | {"object_id": ""} == theirs["decision"] | {"object_id": ""}
    assert [a["amount"] for a in mine["decision"]["amounts"]] == ["83.33", "37.50", "50.00"]
    plan = planning.make_plan(company, SCOPE, ("UK", "2026-09"), now=NOW, created_by="test")
    of = {
        source: [
            (i.action, i.effect_type, i.effect.amount)
            for i in planning.items_of(company, plan)
            if f":{source}:" in i.object_id and i.effect
        ]
        for source in ("api", "clockify")
    }
    assert of["api"] == of["clockify"] != []
    assert planning.apply_plan(company, SCOPE, plan.id, now=NOW) == 6
    again = api.post(TIME | {"started_at": "2026-09-14T14:00:00Z", "time_zone": "America/New_York"}, 200)
    assert again["change"] == "unchanged"
    assert not planning.make_plan(company, SCOPE, ("UK", "2026-09"), now=NOW, created_by="test").acting


def test_what_is_held_says_what_to_do(api: Api) -> None:
    """A sender that is told only "hold" asks finance, and finance asks engineering."""
    made = api.post(TIME | {"psa_project_id": None}, 201)
    assert made["decision"]["outcome"] == "hold"
    assert made["route"] == {"legal_entity": "US", "service_month": "2026-09", "contract_id": None}
    assert {(h["code"], h["effect_type"]) for h in made["decision"]["holds"]} == {
        ("unknown_project", "billing_line"),
        ("unknown_project", "cost_transaction"),
    }
    assert all("signed deal" in h["next_step"] for h in made["decision"]["holds"])


def test_lists_are_narrowed_and_paged(api: Api, company: Engine) -> None:
    """A month that does not list what it holds cannot be closed by whoever reads it."""
    for number in range(60):
        api.post(TIME | {"id": f"T-{number}"}, 201)
    api.post(MILESTONE, 201)
    api.post(TIME | {"id": "stray", "psa_project_id": None, "service_date": "2026-10-01"}, 201)
    # A contract's month is due by itself too, and is no work.
    month = Head(
        object_id="contract_month:CTR-0001:2026-09",
        revision=1,
        state="approved",
        route=Route("UK", ServiceMonth(2026, 9), "CTR-0001"),
    )
    with company.begin() as connection:
        work_heads.put(connection, TENANT, [month], NOW)
    plan = planning.make_plan(company, SCOPE, ("UK", "2026-09"), now=NOW, created_by="test")
    planning.apply_plan(company, SCOPE, plan.id, now=NOW)
    whole = api.get(ITEMS)
    assert (whole["total"], whole["pages"], len(whole["items"])) == (62, 2, 50)
    second = api.get(ITEMS, page="2")
    assert {i["object_id"] for i in whole["items"]}.isdisjoint(i["object_id"] for i in second["items"])
    assert len(second["items"]) == 12
    assert api.get(ITEMS, contract="CTR-0001", month="2026-09", entity="UK")["total"] == 61
    assert api.get(ITEMS, outcome="post")["total"] == 60
    assert [i["object_id"] for i in api.get(ITEMS, outcome="none")["items"]] == ["milestone:api:M-1"]
    [stray] = api.get(ITEMS, month="2026-10")["items"]
    assert (stray["outcome"], stray["is_due"], stray["kind"]) == (None, True, "time_entry")
    assert {i["is_due"] for i in api.get(ITEMS, outcome="post")["items"]} == {False}


def test_accounts_are_answered(api: Api) -> None:
    """What is left of a contract is asked for by every project manager."""
    account = api.get(ACCOUNT, values={"contract_id": "CTR-0001"}, month="2026-09")
    assert (account["currency"], account["has_totals"], account["month"]) == ("GBP", False, "2026-09")
    assert [c["kind"] for c in account["components"]] == [ContractKind.TIME_AND_MATERIALS.value]
    assert api.get(ACCOUNT, values={"contract_id": CONTRACT.id})["month"] == "2026-10"
    api.get(ACCOUNT, 404, values={"contract_id": "CTR-9999"})
    assert api.get(ACCOUNT, 422, values={"contract_id": "CTR-0001"}, month="2026-11")["problems"] == [
        {"field": "month", "message": "2026-11 has not begun"}
    ]
    assert api.get(ACCOUNT, 422, values={"contract_id": "CTR-0001"}, month="2026-13")["problems"][0]["field"] == "month"


@pytest.mark.parametrize("object_id", ["time_entry:api:unknown", "contract_month:CTR-0001:2026-09", "x", "a/b"])
def test_an_unknown_item_is_not_found(api: Api, object_id: str) -> None:
    """A 200 or a 500 for what is not there."""
    api.get(ITEM, 404, values={"object_id": object_id})


@pytest.mark.parametrize(
    ("body", "change", "field"),
    [
        (TIME, {"minutes": "50"}, "minutes"),
        (TIME, {"minutes": 50.0}, "minutes"),
        (TIME, {"minutes": True}, "minutes"),
        (TIME, {"minutes": -1}, "minutes"),
        (TIME, {"billable": "true"}, "billable"),
        (TIME, {"kind": "tip"}, "kind"),
        (TIME, {"kind": None}, "kind"),
        (TIME, {"id": "a:b"}, "id"),
        (TIME, {"id": "a#1"}, "id"),
        (TIME, {"id": "a\n"}, "id"),
        (TIME, {"id": 7}, "id"),
        (TIME, {"state": "paid"}, "state"),
        (TIME, {"psa_user_id": " "}, "psa_user_id"),
        (TIME, {"service_date": "14.09.2026"}, "service_date"),
        (TIME, {"service_date": "2026-09-31"}, "service_date"),
        (TIME, {"service_date": 1789344000}, "service_date"),
        (TIME, {"service_date": "1789344000"}, "service_date"),
        (TIME, {"service_date": "9999-12-31"}, "service_date"),
        (TIME, {"service_date": "2026-08-31"}, "service_date"),
        (TIME, {"time_zone": "Mars/Olympus"}, "time_zone"),
        (TIME, {"time_zone": "../../etc/passwd"}, "time_zone"),
        (TIME, {"time_zone": "Europe"}, "time_zone"),
        (TIME, {"started_at": "2026-09-14T09:00:00"}, "started_at"),
        (TIME, {"started_at": "2026-09-15T09:00:00Z"}, "started_at"),
        (TIME, {"started_at": "9999-12-31T23:59:59-12:00"}, "started_at"),
        (TIME, {"started_at": 1789344000}, "started_at"),
        (TIME, {"source_version": 0}, "source_version"),
        (TIME, {"source_version": 10**400}, "source_version"),
        (TIME, {"work_types": ["a", ""]}, "work_types.1"),
        (TIME, {"rate": "100"}, "rate"),
        (EXPENSE, {"receipt": {"amount": 1.5, "currency": "EUR"}}, "receipt.amount"),
        (EXPENSE, {"receipt": {"amount": "-1", "currency": "EUR"}}, "receipt.amount"),
        (EXPENSE, {"receipt": {"amount": "1.005", "currency": "EUR"}}, "receipt.amount"),
        (EXPENSE, {"receipt": {"amount": "1.5", "currency": "JPY"}}, "receipt.amount"),
        (EXPENSE, {"receipt": {"amount": "NaN", "currency": "EUR"}}, "receipt.amount"),
        (EXPENSE, {"receipt": {"amount": "1e9", "currency": "EUR"}}, "receipt.amount"),
        (EXPENSE, {"receipt": {"amount": "1", "currency": "eur"}}, "receipt.currency"),
        (EXPENSE, {"receipt": "1 EUR"}, "receipt"),
        (MILESTONE, {"amount": {"amount": "1"}}, "amount.currency"),
        (MILESTONE, {"label": 5}, "label"),
    ],
    ids=lambda value: repr(value)[:40] if isinstance(value, dict) and "kind" not in value else "",
)
def test_a_field_that_is_not_understood_is_named(
    refusing: Api, body: dict[str, Any], change: dict[str, Any], field: str
) -> None:
    """A number read as it was not meant bills the wrong amount; "422" alone sends the sender to the logs."""
    problem = refusing.post(body | change, 422)
    assert [p["field"] for p in problem["problems"]] == [field]
    assert problem["problems"][0]["message"]


@pytest.fixture(scope="module")
def refusing(_module_engine: Engine) -> Iterator[Api]:
    """A server that the tests of refusals share; none of them leaves anything behind."""
    with calling(_module_engine) as api:
        yield api


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff{}", 400),
        (b'{"minutes": NaN}', 400),
        (b"[]", 422),
        (b"7", 422),
        (b"[{}]", 422),
        (b'{"id": "\\u0000"}', 422),
        (b'{"\\ud800": 1}', 422),
        (b'{"a":' * 100 + b"1" + b"}" * 100, 422),
        (b'{"description": "' + b"x" * 70_000 + b'"}', 413),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_body_that_is_none_is_refused(refusing: Api, body: bytes, status: int) -> None:
    """A 5xx would make the sender repeat it for ever."""
    refusing.post(body, status)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://localhost.evil.example"}, 403),
        ({"origin": "http://["}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-type": "multipart/form-data; boundary=x"}, 415),
        ({"content-type": "application/json", "content-encoding": "gzip"}, 415),
    ],
    ids=str,
)
def test_no_page_of_another_site_hands_work_in(api: Api, company: Engine, headers: dict[str, str], status: int) -> None:
    """Whoever has the console open and visits a hostile page would bill a customer by it."""
    api.post(TIME, status, **headers)
    assert counts(company) == (0, 0)


def test_its_own_pages_and_programs_are_let_in(company: Engine) -> None:
    """A check that refuses everybody protects nothing that is used."""
    with calling(company) as api:
        address = api.address
        api.post(TIME, 201, **{"origin": address, "sec-fetch-site": "same-origin"})
        foreign = httpx.post(f"{address}{ITEMS}", json=TIME, headers={"host": "evil.example"})
        asked = httpx.options(
            f"{address}{ITEMS}",
            headers={"origin": "https://evil.example", "access-control-request-method": "POST"},
        )
    assert foreign.status_code == 400
    assert asked.status_code == 405
    assert not any(name.startswith("access-control-") for name in asked.headers)


def test_without_a_database_the_sender_is_asked_to_come_again() -> None:
    """A 2xx without a row loses the work; a 4xx would make the sender give up."""
    engine = make_engine("postgresql://nobody:secret-password@127.0.0.1:1/none")
    with calling(engine) as api:
        assert "secret-password" not in json.dumps(api.post(TIME, 503))
        api.get(ITEMS, 503)
    engine.dispose()


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters()), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    """A body that was right, with some of its fields changed, lost or added."""
    body = copy.deepcopy(draw(st.sampled_from([TIME, EXPENSE, MILESTONE])))
    for name in draw(st.lists(st.sampled_from([*body, "source_version", "started_at", "time_zone"]), max_size=3)):
        body[name] = draw(values)
    for name in draw(st.lists(st.sampled_from(sorted(body)), max_size=1)):
        del body[name]
    body |= draw(st.dictionaries(st.text(st.characters(), max_size=5), values, max_size=1))
    return json.dumps(body).encode()


bodies = spoiled() | st.binary(max_size=200) | values.map(lambda value: json.dumps(value).encode())
headers = st.just({"content-type": b"application/json"}) | st.fixed_dictionaries(
    {},
    optional={
        name: st.binary(max_size=40).filter(lambda value: not set(value) & {0, 10, 13})
        for name in ("content-type", "origin", "sec-fetch-site", "content-encoding", "content-length")
    },
)


def test_no_body_makes_the_server_fail(company: Engine) -> None:
    """A 5xx asks for the same body again: a poison one would come for ever."""
    app = make_app(company, scope=SCOPE, clock=lambda: NOW)
    document = ApiDocument(copy.deepcopy(app.openapi()))
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")
    seen: set[int] = set()

    with asyncio.Runner() as runner:

        @settings(max_examples=1500, deadline=None, suppress_health_check=list(HealthCheck))
        @given(body=bodies, sent=headers)
        def check(body: bytes, sent: dict[str, bytes]) -> None:
            request = client.build_request("POST", ITEMS, content=body)
            request.headers = httpx.Headers([(b"host", b"localhost"), *((k.encode(), v) for k, v in sent.items())])
            answer = runner.run(client.send(request))
            seen.add(answer.status_code)
            assert answer.status_code < 500, (body, sent)
            document.check_answer("post", ITEMS, answer.status_code, answer.json())

        check()
        runner.run(client.aclose())
    assert {200, 201, 400, 415, 422} <= seen, "the examples missed a way to be answered"


def test_the_description_is_valid_and_complete(refusing: Api) -> None:
    """Clients are generated from it: a description that no tool accepts, or that leaves an answer out, is none."""
    description = refusing.description
    assert description["openapi"].startswith("3.1")
    validate(description, cls=OpenAPIV31SpecValidator)
    tags = {tag["name"] for tag in description["tags"]}
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            where = f"{method} {path}"
            assert operation["summary"], where
            assert operation["description"], where
            assert set(operation["tags"]) <= tags, where
            for parameter in operation.get("parameters", ()):
                assert parameter.get("description") or parameter["name"] == "source", f"{where} {parameter['name']}"
            for code, answer in operation["responses"].items():
                assert answer["description"], f"{where} {code}"
                assert "application/json" in answer["content"], f"{where} {code}"
    names = description["components"]["schemas"]
    # FastAPI's own, which no route here answers with.
    assert "HTTPValidationError" not in names
    for name in ("TimeEntryBody", "ExpenseBody", "MilestoneBody", "Amount"):
        undescribed = [p for p, said in names[name]["properties"].items() if "description" not in said and p != "kind"]
        assert undescribed == []


def test_the_examples_are_taken(api: Api) -> None:
    """An example is the first thing that somebody sends."""
    operation = api.description["paths"][ITEMS]["post"]
    examples = operation["requestBody"]["content"]["application/json"]["examples"]
    assert {example["value"]["kind"] for example in examples.values()} == {"time_entry", "expense", "milestone"}
    document = ApiDocument(copy.deepcopy(api.description))
    for example in examples.values():
        document.check_request("post", ITEMS, example["value"])
        api.post(example["value"], 201)
    for path, method, code in ((ITEMS, "post", "201"), (ITEM, "get", "200")):
        answer = api.description["paths"][path][method]["responses"][code]["content"]["application/json"]
        document.check_answer(method, path, int(code), answer["example"])


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/api/docs"])
def test_no_page_loads_scripts_from_elsewhere(refusing: Api, path: str) -> None:
    """FastAPI's interactive pages do: whoever serves those scripts could read the books."""
    assert httpx.get(refusing.address + path).status_code == 404
