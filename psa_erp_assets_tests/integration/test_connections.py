"""How connections fare: kept where every process sees it, and shown on the page and by the API."""

import datetime as dt
import json
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine
from typer.testing import CliRunner

from psa_erp_assets.adapters import postgres
from psa_erp_assets.adapters.postgres import ServerInfo
from psa_erp_assets.adapters.store import connection_states, cursors, deliveries, exceptions
from psa_erp_assets.adapters.store.connection_states import ConnectionState
from psa_erp_assets.adapters.store.engine import make_engine
from psa_erp_assets.cli.app import app
from psa_erp_assets.services import connections as service
from psa_erp_assets.services.connections import connections, is_above_high_water, note_erp
from psa_erp_assets.services.posting_policy import CompanyPressure, EngineReport
from psa_erp_assets.services.runtime import OPERATIONAL_DATABASE
from psa_erp_assets.settings import load_settings
from psa_erp_assets_tests.integration.test_review_commands import own_server
from psa_erp_assets_tests.support.console import TENANT, make_app, served
from psa_erp_assets_tests.support.deliveries import record_deliveries

__all__ = ["own_server"]

NOW = dt.datetime(2026, 10, 5, 9, tzinfo=dt.UTC)
LATER = NOW + dt.timedelta(hours=1)


def put(engine: Engine, *states: ConnectionState, now: dt.datetime = NOW) -> None:
    with engine.begin() as connection:
        connection_states.put(connection, TENANT, states, by="worker", now=now)


def arrive(engine: Engine, count: int, source: str = "clockify") -> None:
    arrivals = [
        deliveries.Arrival(source=source, delivery_id=f"{n:064d}", event="E", body="{}", at=NOW) for n in range(count)
    ]
    with engine.begin() as connection:
        record_deliveries(connection, TENANT, arrivals)


def test_each_connection_says_what_it_is_and_what_waits(clean_store: Engine) -> None:
    """Somebody who is called at night would have to look into five places."""
    put(
        clean_store,
        ConnectionState(name="clockify", circuit="closed", requests_per_second=50, tokens_left=49, succeeded_at=NOW),
        ConnectionState(name="hubspot", circuit="open", error="SourceUnreachableError", failed_at=NOW),
        ConnectionState(name="kantata", circuit="closed", error="SourceAuthError", failed_at=NOW),
    )
    arrive(clean_store, 3)
    with clean_store.begin() as connection:
        cursors.put(connection, tenant=TENANT, source="clockify", name="approvals", value="x", now=NOW)
        cursors.put(connection, tenant=TENANT, source="bamboohr", name="people", value="y", now=NOW)
    with clean_store.connect() as connection:
        found = {c.name: c for c in connections(connection, TENANT).connections}
        assert connections(connection, "another").connections == ()
    assert {name: c.health for name, c in found.items()} == {
        "bamboohr": "unknown", "clockify": "healthy", "hubspot": "resting", "kantata": "failing",
    }  # fmt: skip
    assert (found["clockify"].waiting, found["clockify"].cursors[0].name) == (3, "approvals")
    assert found["clockify"].oldest_waiting_seconds is not None


def test_a_process_that_knows_less_takes_nothing_back(clean_store: Engine) -> None:
    """The console would say "never" of a source that a run read a minute ago."""
    put(clean_store, ConnectionState(name="hubspot", circuit="closed", succeeded_at=LATER, failed_at=NOW))
    put(clean_store, ConnectionState(name="hubspot", circuit="closed", succeeded_at=NOW), now=LATER)
    put(clean_store, ConnectionState(name="hubspot", circuit="closed", error="SourceThrottledError"), now=LATER)
    with clean_store.connect() as connection:
        [row] = connection_states.all_of(connection, TENANT)
    assert (row["succeeded_at"], row["failed_at"], row["error"]) == (LATER, NOW, "SourceThrottledError")


def test_what_the_posting_engine_met_is_kept_by_company(clean_store: Engine) -> None:
    """A throttled ERP shows only as postings that do not move."""
    calm = CompanyPressure(
        limits={"billing_line": (200, 200)}, resumes_at=None, throttled=0, answered=True, trouble=None
    )
    slow = CompanyPressure(
        limits={"billing_line": (25, 200)}, resumes_at=LATER, throttled=3, answered=False, trouble="erp_unreachable"
    )
    note_erp(clean_store, TENANT, EngineReport(pressure={"1": calm, "2": slow}), by="w", now=NOW)
    with clean_store.connect() as connection:
        rows = {row["name"]: row for row in connection_states.all_of(connection, TENANT)}
    assert rows["erp:1"]["succeeded_at"] == NOW
    assert rows["erp:2"]["limits"] == {"billing_line": [25, 200]}
    assert (rows["erp:2"]["circuit"], rows["erp:2"]["paused_until"], rows["erp:2"]["throttled"]) == ("open", LATER, 3)


def test_above_the_high_water_mark_sweeps_stand_back(clean_store: Engine) -> None:
    """A sweep on top of thousands of hints would read everything twice and end later."""
    arrive(clean_store, service.HIGH_WATER - 1)
    with clean_store.connect() as connection:
        assert not is_above_high_water(connection, TENANT, "clockify")
    arrive(clean_store, service.HIGH_WATER)
    with clean_store.connect() as connection:
        assert is_above_high_water(connection, TENANT, "clockify")
        assert not is_above_high_water(connection, TENANT, "hubspot")


def test_the_page_and_the_api_show_them(clean_store: Engine) -> None:
    """What is kept and not shown helps nobody."""
    with served(make_app(clean_store)) as address:
        assert "No connection has been asked yet" in httpx.get(f"{address}/connections").text
        put(
            clean_store,
            ConnectionState(name="hubspot", circuit="open", error="SourceUnreachableError", requests_per_second=9),
            ConnectionState(name="erp:2", circuit="closed", limits={"billing_line": (25, 200)}, paused_until=LATER),
        )
        arrive(clean_store, 2, "hubspot")
        page, answer = httpx.get(f"{address}/connections"), httpx.get(f"{address}/api/v1/connections")
    assert page.status_code == answer.status_code == 200
    for shown in ("hubspot", "SourceUnreachableError", "billing line: 25 of 200", "2 of a high-water mark of 5,000"):
        assert shown in page.text
    assert [c["name"] for c in answer.json()["connections"]] == ["erp:2", "hubspot"]
    assert answer.json()["connections"][1]["waiting"] == 2


def test_the_command_shows_what_the_page_shows(
    own_server: ServerInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody on a server without a browser would not see that a quota is used up or a source left alone."""
    monkeypatch.setenv("PSA_ERP_HOME", str(tmp_path))
    monkeypatch.setenv("PSA_ERP_DATABASE_URL", own_server.url("postgres"))
    monkeypatch.setenv("COLUMNS", "400")
    postgres.drop_database(own_server, OPERATIONAL_DATABASE)
    assert "Connections: none has been asked yet" in CliRunner().invoke(app, ["status"]).stdout
    engine = make_engine(own_server.sqlalchemy_url(OPERATIONAL_DATABASE))
    tenant, found = load_settings().tenant, [
        ConnectionState(
            name="hubspot", circuit="open", error="SourceUnreachableError", failed_at=NOW,
            requests_per_second=9, tokens_left=2, retries_left=4, throttled=3,
        ),
        ConnectionState(name="erp:2", circuit="closed", limits={"billing_line": (25, 200)}, succeeded_at=NOW),
    ]  # fmt: skip
    arrival = deliveries.Arrival(source="hubspot", delivery_id="0" * 64, event="E", body="{}", at=NOW)
    given_up = exceptions.Sighting(code="webhook_quarantined", object_id="webhook:hubspot:1", detail="malformed")
    try:
        with engine.begin() as connection:
            connection_states.put(connection, tenant, found, by="worker", now=NOW)
            record_deliveries(connection, tenant, [arrival])
            cursors.put(connection, tenant=tenant, source="hubspot", name="key_sweep", value="2026-10-05", now=NOW)
            exceptions.open_or_touch(connection, tenant, "webhooks", [given_up], NOW)
            systems = connections(connection, tenant)
    finally:
        engine.dispose()
    printed, answer = CliRunner().invoke(app, ["status"]), CliRunner().invoke(app, ["status", "--json"])
    assert (printed.exit_code, answer.exit_code) == (0, 0), printed.output + answer.output
    for shown in (
        "resting, SourceUnreachableError, ", "7 of 9 a second", "billing_line 25 of 200",
        "key_sweep 2026-10-05, moved ", "1 wait, the oldest for ", "1 webhooks were given up",
    ):  # fmt: skip
        assert shown in printed.stdout, printed.stdout
    body = json.loads(answer.stdout)
    assert body["webhooks_quarantined"] == 1
    ages = {"oldest_waiting_seconds": None}
    assert [one | ages for one in body["connections"]] == [one | ages for one in systems.to_dict()["connections"]]
