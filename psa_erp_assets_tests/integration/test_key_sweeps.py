"""Key sweeps of CRM and HR: what is gone or new without an event is found, and trouble is never taken for emptiness."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from psa_erp_assets.adapters.http import SourceAuthError, SourceError, SourceUnreachableError
from psa_erp_assets.adapters.store import cursors, last_readings, master_records
from psa_erp_assets.domain.records import Contract, Customer, Employee
from psa_erp_assets.sandbox.actors import Actors, actors_at
from psa_erp_assets.sandbox.company import build_company
from psa_erp_assets.sandbox.company_model import DemoCompany
from psa_erp_assets.sandbox.serve import SandboxServer, running_sandbox
from psa_erp_assets.services import complete_lists, key_sweep, master_data
from psa_erp_assets.services.complete_lists import SuspiciousShrinkError
from psa_erp_assets.services.key_sweep import KeySweep
from psa_erp_assets.services.runtime import Runtime
from psa_erp_assets_tests.support.relay import Relay, lacking, relay_to
from psa_erp_assets_tests.support.scripted_server import Asked, Reply
from psa_erp_assets_tests.support.sources import runtime_at

KINDS = ("customers", "contracts", "employees")
RECORDS = {"customer": Customer, "contract": Contract, "employee": Employee}


@pytest.fixture(scope="module")
def company() -> DemoCompany:
    return build_company()


@pytest.fixture(scope="module")
def shared_sandbox(company: DemoCompany) -> Iterator[SandboxServer]:
    with running_sandbox(company) as server:
        yield server


@pytest.fixture
def sandbox(shared_sandbox: SandboxServer) -> Iterator[SandboxServer]:
    yield shared_sandbox
    shared_sandbox.control.reset()


@pytest.fixture
def people(sandbox: SandboxServer) -> Iterator[Actors]:
    with actors_at(sandbox) as actors:
        yield actors


@pytest.fixture
def runtime(sandbox: SandboxServer, clean_store: Engine, tmp_path: Path) -> Iterator[Runtime]:
    """A process at the sandboxes, which has read master data once."""
    with ExitStack() as stack:
        made = runtime_at(sandbox, clean_store, tmp_path, stack)
        for kind in KINDS:
            master_data.REFRESHES[kind](made.engine, made.settings, made.sources, made.clock())
        yield made


@pytest.fixture
def relay(sandbox: SandboxServer) -> Iterator[Relay]:
    """A way to the CRM that can be disturbed."""
    with relay_to(sandbox.hubspot_url) as made:
        yield made


@pytest.fixture
def relayed(sandbox: SandboxServer, relay: Relay, clean_store: Engine, tmp_path: Path) -> Iterator[Runtime]:
    """As `runtime`, with the relay before the CRM."""
    with ExitStack() as stack:
        made = runtime_at(sandbox, clean_store, tmp_path, stack, crm_url=relay.url)
        for kind in KINDS:
            master_data.REFRESHES[kind](made.engine, made.settings, made.sources, made.clock())
        yield made


def sweep(runtime: Runtime) -> dict[str, KeySweep]:
    return {found.object_type: found for found in key_sweep.sweep_keys(runtime, runtime.clock())}


def ids(runtime: Runtime, object_type: str) -> set[str]:
    """The canonical ids of a type that are current."""
    with runtime.engine.connect() as connection:
        found = master_records.load_all(
            connection,
            tenant=runtime.settings.tenant,
            object_type=object_type,
            record_type=RECORDS[object_type],
        )
    return {record.id for record in found}


def test_nothing_is_found_where_nothing_is_amiss(runtime: Runtime, company: DemoCompany) -> None:
    """A sweep that always finds something would read everything each night, and nobody would look at it."""
    found = sweep(runtime)
    assert {kind: (f.missed, f.deleted, f.unlisted) for kind, f in found.items()} == dict.fromkeys(
        ("company", "deal", "employee"), ((), (), ())
    )
    assert found["deal"].listed == len(company.contracts)
    with runtime.engine.connect() as connection:
        for source in ("hubspot", "bamboohr"):
            assert cursors.get(connection, tenant=runtime.settings.tenant, source=source, name="key_sweep")


@pytest.mark.parametrize(("table", "kind"), [("deals", "deal"), ("companies", "company"), ("employees", "employee")])
def test_what_was_deleted_without_an_event_is_found(
    runtime: Runtime, sandbox: SandboxServer, company: DemoCompany, table: str, kind: str
) -> None:
    """Work for a contract that is gone would be billed; the rate of somebody who is gone would be used."""
    gone, code = {
        "deals": next((c.crm_id, c.code) for c in company.contracts if c.signed and c.code == "CTR-0022"),
        "companies": next((c.crm_id, c.code) for c in company.customers),
        "employees": next((str(p.hr_id), str(p.code)) for p in company.people if p.hr_id),
    }[table]
    record = {"deal": "contract", "company": "customer"}.get(kind, kind)
    assert code in ids(runtime, record)
    sandbox.control.remove(table, gone)
    found = sweep(runtime)
    assert found[kind].deleted == (gone,)
    assert code not in ids(runtime, record)
    assert sweep(runtime)[kind].deleted == (), "it is gone once"


def test_what_was_made_without_an_event_is_found(runtime: Runtime, people: Actors, company: DemoCompany) -> None:
    """Its work would be held as if nothing had been signed."""
    people.sign_deal(
        company.customers[0].crm_id,
        dealname="Support",
        dealstage="closedwon",
        contract_code="CTR-0777",
        contract_kind="time_and_materials",
        legal_entity="UK",
        contract_start="2026-09-01",
        deal_currency_code="GBP",
    )
    assert len(sweep(runtime)["deal"].missed) == 1
    assert "CTR-0777" in ids(runtime, "contract")


@pytest.mark.parametrize(
    ("vendor", "fault", "error"),
    [
        ("hubspot", {"kind": "status", "status": 503}, SourceUnreachableError),
        ("hubspot", {"kind": "truncate"}, SourceUnreachableError),
        ("hubspot", {"kind": "auth_revoked"}, SourceAuthError),
        ("bamboohr", {"kind": "html"}, SourceError),
        ("bamboohr", {"kind": "drop"}, SourceUnreachableError),
    ],
)
def test_a_source_in_trouble_is_not_an_empty_source(
    runtime: Runtime, sandbox: SandboxServer, vendor: str, fault: dict[str, Any], error: type[Exception]
) -> None:
    """All contracts would end overnight."""
    before = {kind: ids(runtime, kind) for kind in RECORDS}
    sandbox.control.fault(vendor, fault.pop("kind"), **fault)
    with pytest.raises(error):
        sweep(runtime)
    assert {kind: ids(runtime, kind) for kind in RECORDS} == before
    with runtime.engine.connect() as connection:
        assert cursors.get(connection, tenant=runtime.settings.tenant, source=vendor, name="key_sweep") is None


def test_a_list_that_lacks_what_is_there_deletes_nothing(relayed: Runtime, relay: Relay) -> None:
    """A page that is skipped while the list is read would end the contracts on it."""
    before = ids(relayed, "contract")
    crm = relayed.sources.crm
    whole, listed = crm.deals(), crm.deal_ids()
    relay.change = lacking("/objects/deals", 3)
    assert crm.deal_ids() == listed[3:]
    found = sweep(relayed)["deal"]
    assert (set(found.unlisted), found.deleted) == (set(listed[:3]), ())
    again = complete_lists.deals(relayed.engine, relayed.settings.tenant, crm)
    assert sorted(d["id"] for d in again) == sorted(d["id"] for d in whole)
    master_data.REFRESHES["contracts"](relayed.engine, relayed.settings, relayed.sources, relayed.clock())
    assert ids(relayed, "contract") == before


def test_a_list_that_is_suddenly_short_is_not_believed(relayed: Runtime, relay: Relay) -> None:
    """A filter or a permission was changed; nobody has lost a third of the contracts."""
    before = ids(relayed, "contract")
    relay.change = lacking("/objects/deals", 1_000)
    with pytest.raises(SuspiciousShrinkError, match="hubspot no longer has"):
        sweep(relayed)
    assert ids(relayed, "contract") == before


def test_a_reading_that_ends_late_takes_nothing_back(runtime: Runtime, relay: Relay, sandbox: SandboxServer) -> None:
    """A slow hourly run would bring back what a webhook has just changed, until the next hour."""
    began = runtime.clock()
    gone = next(c.crm_id for c in sandbox.company.contracts if c.code == "CTR-0022")
    answered, go_on = threading.Event(), threading.Event()

    def keep_back(_: Asked, reply: Reply) -> Reply:
        answered.set()
        assert go_on.wait(120)
        return reply

    relay.change = keep_back
    with ThreadPoolExecutor(1) as pool, ExitStack() as stack:
        stack.callback(go_on.set)
        slow = runtime_at(sandbox, runtime.engine, runtime.settings.home, stack, crm_url=relay.url)
        late = pool.submit(master_data.REFRESHES["contracts"], slow.engine, slow.settings, slow.sources, began)
        assert answered.wait(60), "the CRM has been asked, before the deal goes"
        sandbox.control.remove("deals", gone)
        sweep(runtime)
        assert "CTR-0022" not in ids(runtime, "contract")
        assert not late.done()
        go_on.set()
        late.result(60)
    assert "CTR-0022" not in ids(runtime, "contract")
    with runtime.engine.connect() as connection:
        assert gone not in last_readings.last_keys(connection, runtime.settings.tenant, "hubspot", "deal")
