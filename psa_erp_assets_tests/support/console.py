"""The console on a free port, and a store with something of everything to show."""

import contextlib
import datetime as dt
import secrets
import threading
import time
from collections.abc import Iterator
from decimal import Decimal

import pytest
import uvicorn
from fastapi import FastAPI, Request
from sqlalchemy import Connection, Engine, insert

from psa_erp_assets.adapters import postgres
from psa_erp_assets.adapters.postgres import ServerInfo
from psa_erp_assets.adapters.store import exceptions, schema
from psa_erp_assets.adapters.store.engine import make_engine
from psa_erp_assets.console.access import Visitor
from psa_erp_assets.console.app import create_app
from psa_erp_assets.console.serving import configuration
from psa_erp_assets.domain.access import Actor, Grant, Role
from psa_erp_assets.services.receiving import clockify_source
from psa_erp_assets.services.scope import Scope
from psa_erp_assets_tests.support.deliveries import record_delivery
from psa_erp_assets_tests.support.facts import FIRST, RULES

TENANT = "acme"
SCOPE = Scope(tenant=TENANT, rules=RULES, first_day=FIRST)
TOKEN = "live-webhook-token-of-the-tests"
RENEWED_TOKEN = "second-live-webhook-token"
CSRF = "the-value-that-forms-repeat"
DAGSTER_URL = "http://127.0.0.1:3000"
NOW = dt.datetime(2026, 10, 5, 9, 30, tzinfo=dt.UTC)
HOSTILE = "<script>alert('x')</script> \"quoted\" & <img src=x onerror=alert(1)>"
ENTRY = "time_entry:clockify:64c0ffee0000000000000001"
KEY, REVERSAL_KEY = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"


async def open_gate(_: Request) -> Visitor:
    """A gate behind which everybody is one person with every role: for tests that are not about access."""
    grants = frozenset(Grant(role) for role in Role)
    return Visitor(actor=Actor(id="tester", name="Tester", grants=grants), csrf=CSRF)


def make_app(engine: Engine, **options: object) -> FastAPI:
    """The console as the tests use it, open to everybody; `options` go to `create_app`.

    With `gate=None` people must sign in.
    """
    sources = {"clockify": clockify_source((TOKEN, RENEWED_TOKEN))}
    settings: dict[str, object] = {"gate": open_gate, "scope": SCOPE, "sources": sources, "dagster_url": DAGSTER_URL}
    return create_app(engine, **(settings | options))  # type: ignore[arg-type]  # a test may pass any option


@contextlib.contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """The address of a real server for the app, on a free port, for as long as the block lasts."""
    server = uvicorn.Server(configuration(app, host="127.0.0.1", port=0))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + 20
        while not server.started:
            assert thread.is_alive(), "the server ended instead of starting"
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.02)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(30)


@pytest.fixture
def console(store_engine: Engine) -> Iterator[str]:
    """The address of a console on a fresh, empty store."""
    with served(make_app(store_engine)) as address:
        yield address


@pytest.fixture(scope="module")
def shared_console(postgres_server: ServerInfo, _migrated_template: str) -> Iterator[str]:
    """The address of a console that the tests of a module share: for those that look at the answer alone."""
    with store(postgres_server, _migrated_template) as engine, served(make_app(engine)) as address:
        yield address


@pytest.fixture(scope="module")
def filled_console(postgres_server: ServerInfo, _migrated_template: str) -> Iterator[str]:
    """The address of a console on a store that has something of everything; tests that share it only read."""
    with store(postgres_server, _migrated_template) as engine:
        with engine.begin() as connection:
            fill(connection)
        with served(make_app(engine)) as address:
            yield address


@contextlib.contextmanager
def store(server: ServerInfo, template: str) -> Iterator[Engine]:
    """A store of its own for the time of the block."""
    name = f"console_{secrets.token_hex(4)}"
    postgres.ensure_database(server, name, template=template)
    engine = make_engine(server.sqlalchemy_url(name))
    try:
        yield engine
    finally:
        engine.dispose()
        postgres.drop_database(server, name)


def fill(connection: Connection) -> None:
    """One entry that was corrected after it was posted, with its whole story, and some company around it."""
    _receive(connection)
    _decide(connection)
    _post(connection)
    _trouble(connection)


def _receive(connection: Connection) -> None:
    record_delivery(
        connection,
        tenant=TENANT,
        source="clockify",
        delivery_id="a" * 64,
        event="TIME_ENTRY_UPDATED",
        body='{"id": "64c0ffee0000000000000001"}',
        now=NOW - dt.timedelta(hours=3),
    )
    for version, (arrived_by, minutes) in enumerate((("webhook", 90), ("sweep", 120)), start=1):
        vendor_id, recorded = ENTRY.rsplit(":", 1)[1], NOW - dt.timedelta(hours=30 - version)
        inbox_id = _insert_inbox(connection, vendor_id, version, arrived_by, recorded)
        connection.execute(
            insert(schema.time_entry).values(
                tenant=TENANT,
                entry_id=ENTRY,
                revision=version,
                state="approved",
                psa_user_id="u1",
                psa_project_id="p1",
                service_date=dt.date(2026, 9, 14),
                minutes=minutes,
                billable=True,
                description=HOSTILE,
                started_at=dt.datetime(2026, 9, 14, 8, tzinfo=dt.UTC),
                time_zone="Europe/Berlin",
                inbox_id=inbox_id,
                recorded_at=recorded,
            )
        )
    for number in range(2, 60):
        _insert_inbox(connection, f"64c0ffee{number:016d}", 1, "key_sweep", NOW - dt.timedelta(minutes=number))
    heads = [("draft", "DE", None), ("submitted", "UK", NOW), ("approved", "US", NOW + dt.timedelta(hours=1))]
    for number, (state, entity, planned_at) in enumerate(heads, start=2):
        entry_id = f"time_entry:clockify:64c0ffee{number:016d}"
        _insert_head(connection, entry_id, revision=1, state=state, entity=entity, planned_at=planned_at)
    _insert_head(connection, ENTRY, revision=2, state="approved", entity="DE", planned_at=NOW)
    connection.execute(
        insert(schema.sync_cursor).values(
            tenant=TENANT, source="clockify", name="time_entries", value="2026-10-05T09:00:00+00:00", updated_at=NOW
        )
    )


def _insert_inbox(connection: Connection, vendor_id: str, version: int, arrived_by: str, at: dt.datetime) -> int:
    identity = {"tenant": TENANT, "source": "clockify", "object_type": "time_entry", "object_id": vendor_id}
    content = {"version": version, "content_hash": f"{version:064d}"}
    body = {"id": vendor_id, "description": HOSTILE}
    inbox_id: int = connection.execute(
        insert(schema.inbox)
        .values(**identity, **content, payload=body, arrived_by=arrived_by, received_at=at)
        .returning(schema.inbox.c.id)
    ).scalar_one()
    if version == 1:
        connection.execute(
            insert(schema.source_object).values(**identity, **content, inbox_id=inbox_id, last_seen_at=at)
        )
    return inbox_id


def _insert_head(
    connection: Connection, entry_id: str, *, revision: int, state: str, entity: str, planned_at: dt.datetime | None
) -> None:
    connection.execute(
        insert(schema.work_head).values(
            tenant=TENANT,
            object_id=entry_id,
            revision=revision,
            state=state,
            legal_entity=entity,
            service_month="2026-09",
            contract_id="CTR-0001",
            changed_at=NOW - dt.timedelta(hours=2),
            planned_at=planned_at,
        )
    )


def _decide(connection: Connection) -> None:
    hold = {"code": "no_cost_rate", "effect_type": "cost_transaction", "detail": "no cost rate for EMP-0001"}
    versions = {"contract": "CTR-0001", "bill_rate": "clockify:p1:u1:2026-09-01", "project": "PRJ-0001"}
    for revision in (1, 2):
        connection.execute(
            insert(schema.decision).values(
                tenant=TENANT,
                object_id=ENTRY,
                revision=revision,
                outcome="post",
                body={
                    "outcome": "post",
                    "holds": [hold],
                    "versions": versions,
                    "legal_entity": "DE",
                    "service_month": "2026-09",
                    "contract_id": "CTR-0001",
                },
                content_hash=f"{revision:064d}",
                decided_at=NOW - dt.timedelta(hours=28 - revision),
            )
        )


def _post(connection: Connection) -> None:
    plan_id = connection.execute(
        insert(schema.plan)
        .values(
            tenant=TENANT,
            legal_entity="DE",
            service_month="2026-09",
            status="applied",
            facts_hash="f" * 64,
            created_by="dagster",
            created_at=NOW - dt.timedelta(hours=27),
            applied_at=NOW - dt.timedelta(hours=26),
        )
        .returning(schema.plan.c.id)
    ).scalar_one()
    section_id = connection.execute(
        insert(schema.plan_section)
        .values(
            tenant=TENANT,
            legal_entity="DE",
            service_month="2026-09",
            contract_id="CTR-0001",
            basis="b" * 64,
            facts_hash="f" * 64,
            totals=[],
            made_at=NOW - dt.timedelta(hours=27),
        )
        .returning(schema.plan_section.c.id)
    ).scalar_one()
    connection.execute(insert(schema.plan_part).values(plan_id=plan_id, position=1, section_id=section_id))
    connection.execute(
        insert(schema.plan_item).values(
            section_id=section_id,
            seq=1,
            action="create",
            effect_type="billing_line",
            object_id=ENTRY,
            contract_id="CTR-0001",
            key=KEY,
            amount=Decimal("1234.50"),
            currency="EUR",
            minutes=90,
            reason="approved and not posted yet",
            body={"effect": None, "hold": None, "revision": 1, "source_revision": 1, "depends_on": None},
        )
    )
    _insert_posting(connection, plan_id, KEY, state="verified", amount=Decimal("1234.50"), minutes=90)
    _insert_posting(
        connection, plan_id, REVERSAL_KEY, state="ambiguous", amount=Decimal("-1234.50"), minutes=-90, undoes=KEY
    )
    for number in range(60):
        key, object_id = f"{number:032x}", f"time_entry:clockify:{number}"
        _insert_posting(
            connection, plan_id, key, state="ready", amount=Decimal(number), minutes=15, object_id=object_id
        )
    connection.execute(
        insert(schema.erp_document).values(
            tenant=TENANT,
            erp_company="3",
            effect_type="billing_line",
            erp_id="4711",
            key=KEY,
            service_month="2026-09",
            service_date=dt.date(2026, 9, 14),
            minutes=90,
            amount=Decimal("1234.50"),
            currency="EUR",
            document="account.invoice,12",
            document_state="posted",
            posted=True,
            read_at=NOW,
        )
    )


def _insert_posting(
    connection: Connection,
    plan_id: int,
    key: str,
    *,
    state: str,
    amount: Decimal,
    minutes: int,
    undoes: str | None = None,
    object_id: str = ENTRY,
) -> None:
    revision = 2 if undoes else 1
    connection.execute(
        insert(schema.posting).values(
            key=key,
            tenant=TENANT,
            legal_entity="DE" if object_id == ENTRY else "US",
            service_month="2026-09",
            erp_company="3",
            effect_type="billing_line",
            operation="create",
            leg="reversal" if undoes else "original",
            object_id=object_id,
            revision=revision,
            source_revision=revision,
            target_key=undoes,
            payload={"description": HOSTILE, "amount": {"amount": str(amount), "currency": "EUR"}},
            payload_hash="e" * 64,
            amount=amount,
            currency="EUR",
            minutes=minutes,
            service_date=dt.date(2026, 9, 14),
            plan_id=plan_id,
            created_at=NOW - dt.timedelta(hours=26),
            state=state,
            due_at=NOW,
            erp_id="4711" if state == "verified" else None,
            fault_code="posting_ambiguous" if state == "ambiguous" else None,
            fault_detail=f"read timed out {HOSTILE}" if state == "ambiguous" else None,
            state_since=NOW - dt.timedelta(hours=25, minutes=revision),
        )
    )
    steps = [("planned", None, "planned"), ("sent", "ready", "in_flight"), (state, "in_flight", state)]
    for number, (event, from_state, to_state) in enumerate(steps):
        connection.execute(
            insert(schema.posting_event).values(
                key=key,
                event=event,
                from_state=from_state,
                to_state=to_state,
                fence=number,
                worker="worker-1",
                detail={"evidence": HOSTILE} if number else {},
                at=NOW - dt.timedelta(hours=26, minutes=-number),
            )
        )


def _trouble(connection: Connection) -> None:
    seen = [
        exceptions.Sighting(
            code="no_cost_rate",
            object_id=f"time_entry:clockify:64c0ffee{number:016d}",
            detail=f"no cost rate for EMP-0001 {HOSTILE}",
            legal_entity="DE",
            service_month="2026-09",
            minutes=90,
        )
        for number in (1, 2, 3)
    ]
    posting = exceptions.Sighting(code="posting_ambiguous", object_id=REVERSAL_KEY, detail="read timed out")
    exceptions.open_or_touch(connection, TENANT, "plan:DE:2026-09", seen, NOW - dt.timedelta(hours=5))
    exceptions.open_or_touch(connection, TENANT, "posting:3", [posting], NOW - dt.timedelta(hours=1))
    gone = exceptions.Sighting(code="unknown_employee", object_id=ENTRY, detail="PSA user u1 is unknown")
    exceptions.open_or_touch(connection, TENANT, "plan:UK:2026-09", [gone], NOW - dt.timedelta(days=2))
    exceptions.resolve_absent(connection, TENANT, "plan:UK:2026-09", (), NOW - dt.timedelta(days=1))
