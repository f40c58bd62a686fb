"""Back-pressure at the edge, as it is seen: each connection on its own, and all of it on the page and in the API."""

import datetime as dt
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from psa_erp_assets.adapters.http import SourceThrottledError, SourceUnreachableError
from psa_erp_assets.adapters.store import deliveries, inbox
from psa_erp_assets.sandbox.company import build_company
from psa_erp_assets.sandbox.serve import SandboxServer, running_sandbox
from psa_erp_assets.services import connections, hint_worker, hints
from psa_erp_assets.services.runtime import Runtime
from psa_erp_assets.settings import load_settings
from psa_erp_assets_tests.support.console import make_app, served
from psa_erp_assets_tests.support.deliveries import record_deliveries
from psa_erp_assets_tests.support.sources import runtime_at


@pytest.fixture(scope="module")
def shared_sandbox() -> Iterator[SandboxServer]:
    with running_sandbox(build_company()) as server:
        yield server


@pytest.fixture
def sandbox(shared_sandbox: SandboxServer) -> Iterator[SandboxServer]:
    yield shared_sandbox
    shared_sandbox.control.reset()


@pytest.fixture
def runtime(sandbox: SandboxServer, clean_store: Engine, tmp_path: Path) -> Iterator[Runtime]:
    with ExitStack() as stack:
        yield runtime_at(sandbox, clean_store, tmp_path, stack)


def shown(runtime: Runtime) -> tuple[dict[str, dict[str, Any]], str]:
    """Each connection as the API has it, and the page's text."""
    connections.note_sources(runtime)
    with served(make_app(runtime.engine, scope=runtime.scope)) as address:
        answer = httpx.get(f"{address}/api/v1/connections").raise_for_status().json()
        page = httpx.get(f"{address}/connections").raise_for_status().text
    return {one["name"]: one for one in answer["connections"]}, page


def test_a_source_that_is_down_is_left_alone_and_no_other(runtime: Runtime, sandbox: SandboxServer) -> None:
    """Every read would wait for a CRM that is down, or the CRM be asked again and again while it starts."""
    sandbox.control.fault("hubspot", "drop")
    for _ in range(3):
        with pytest.raises(SourceUnreachableError):
            runtime.sources.crm.deal_ids()
    asked = sandbox.control.stats()["hubspot"]["requests"]
    with pytest.raises(SourceUnreachableError, match="circuit open"):
        runtime.sources.crm.deal_ids()
    assert sandbox.control.stats()["hubspot"]["requests"] == asked, "nothing leaves"
    assert runtime.sources.hr.employee_ids()
    found, page = shown(runtime)
    assert (found["hubspot"]["health"], found["hubspot"]["circuit"]) == ("resting", "open")
    assert (found["bamboohr"]["health"], found["bamboohr"]["circuit"]) == ("healthy", "closed")
    # Each read was tried five times: what it was tried again came from the budget, of which a part was earned anew.
    assert found["hubspot"]["retries_left"] < found["bamboohr"]["retries_left"] == 20
    assert "SourceUnreachableError" in page
    assert f"{found['hubspot']['retries_left']} left" in page


def test_a_throttled_source_is_waited_for_as_it_asks_and_counted(runtime: Runtime, sandbox: SandboxServer) -> None:
    """A source that asks for a second would be asked at once, or a wait of hours be obeyed."""
    sandbox.control.fault("hubspot", "status", status=429, retry_after=1, times=1)
    began = dt.datetime.now(dt.UTC)
    assert runtime.sources.crm.deal_ids()
    assert dt.timedelta(seconds=0.9) < dt.datetime.now(dt.UTC) - began < dt.timedelta(seconds=20)
    found, page = shown(runtime)
    assert (found["hubspot"]["throttled"], found["hubspot"]["health"]) == (1, "healthy")
    assert "1 times" in page


def test_a_source_that_goes_on_throttling_ends_the_read_and_opens_no_circuit(
    runtime: Runtime, sandbox: SandboxServer
) -> None:
    """It is there and says so; left alone, it would be read an hour later than it asks for."""
    sandbox.control.fault("hubspot", "status", status=429, retry_after=0)
    with pytest.raises(SourceThrottledError):
        runtime.sources.crm.deal_ids()
    found, _ = shown(runtime)
    assert (found["hubspot"]["circuit"], found["hubspot"]["error"]) == ("closed", "SourceThrottledError")
    assert found["hubspot"]["throttled"] == 5


def test_the_quota_is_the_settings_and_what_is_used_of_it_is_shown(runtime: Runtime) -> None:
    """A quota that is not kept is kept by the vendor, with refusals."""
    for _ in range(3):
        runtime.sources.crm.deal_ids()
    found, page = shown(runtime)
    assert found["hubspot"]["requests_per_second"] == 1000
    assert "1000 requests a second" in page
    # HubSpot: a hundred in ten seconds. Clockify: fifty a second.
    delivered = load_settings({}).connections
    assert delivered.crm.requests_per_second <= 10
    assert delivered.psa.requests_per_second <= 50


def test_a_poison_message_holds_up_its_own_object_alone(runtime: Runtime, sandbox: SandboxServer) -> None:
    """One deal that the CRM cannot give would keep every approval waiting."""
    entry = sandbox.company.entries[0]
    sandbox.control.fault("hubspot", "html", path="/objects/deals/13")
    arrivals = [
        deliveries.Arrival(
            source="hubspot",
            delivery_id="1" * 64,
            event="deal.propertyChange",
            body='[{"subscriptionType": "deal.propertyChange", "objectId": 13}]',
            at=runtime.clock(),
        ),
        deliveries.Arrival(
            source="clockify",
            delivery_id="2" * 64,
            event="TIME_ENTRY_UPDATED",
            body=f'{{"id": "{entry.id}"}}',
            at=runtime.clock(),
        ),
    ]
    with runtime.engine.begin() as connection:
        record_deliveries(connection, runtime.settings.tenant, arrivals)
    first = hint_worker.drain(runtime)
    assert (first.handled, first.failed) == (1, 1)
    with runtime.engine.connect() as connection:
        kept = inbox.latest(connection, tenant=runtime.settings.tenant, source="clockify", object_type="time_entry")
    assert set(kept) == {entry.id}
    for _ in range(hints.ATTEMPTS):
        for _ in range(20):  # a minute each
            runtime.clock()
        hint_worker.drain(runtime)
    found, page = shown(runtime)
    assert (found["hubspot"]["waiting"], found["clockify"]["waiting"]) == (0, 0)
    assert "1 quarantined webhook" in page
