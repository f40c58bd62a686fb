"""From a vendor's webhook to the books: deals, companies, projects, milestones and contracts, over HTTP and in Tryton.

Every event is only a hint. It is verified and kept by the console, the object is fetched again, and what it changes is
posted by the sensor's tick, whichever order the events come in.
"""

import base64
import datetime as dt
import gzip
import hmac
import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

import dagster as dg
import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from pydantic import SecretStr
from sqlalchemy import select

from psa_erp_assets.adapters.otlp import SpanSink
from psa_erp_assets.adapters.store import master_records
from psa_erp_assets.adapters.store.schema import webhook_delivery
from psa_erp_assets.definitions import build_defs
from psa_erp_assets.defs.sensors import approvals_sensor
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.records import Contract, Customer, Project
from psa_erp_assets.domain.signatures import standard_key
from psa_erp_assets.domain.tracing import root_of
from psa_erp_assets.domain.values import replace
from psa_erp_assets.sandbox.actors import Actors, actors_at
from psa_erp_assets.sandbox.company import build_company
from psa_erp_assets.sandbox.company_model import DemoCompany
from psa_erp_assets.sandbox.serve import SandboxServer, running_sandbox
from psa_erp_assets.sandbox.tryton.build import Kind
from psa_erp_assets.services import hint_worker, receiving, tracing
from psa_erp_assets.services.hints import Drained
from psa_erp_assets.services.receiving import WebhookSource
from psa_erp_assets_tests.support.console import make_app, served
from psa_erp_assets_tests.support.small_company import small_company
from psa_erp_assets_tests.support.sync import Company, Open
from psa_erp_assets_tests.support.tryton import MakeTryton
from psa_erp_assets_tests.support.webhook_receiver import webhook_receiver

# Dagster itself names the tags of a key of two dimensions so.
pytestmark = [
    pytest.mark.tryton,
    pytest.mark.filterwarnings("ignore:Non-compliant tag keys:DeprecationWarning"),
]

FEES, HOURS, OTHER = "CTR-0008", "CTR-0022", "CTR-0031"
NEXT_MILESTONE, BILLED_MILESTONE = "70000004", "70000002"
ACCEPTED = dt.date(2026, 10, 28)
PARENTS = {
    **dict.fromkeys(("received", "fetched", "canonical", "decided", "posting"), "entry"),
    **dict.fromkeys(("planned", "sent", "verified"), "posting"),
}
CRM_SECRET, RELAY_SECRET = "crm-secret", "whsec_" + base64.b64encode(b"r" * 24).decode()


def company_with_fees() -> DemoCompany:
    """Some hours of three contracts, and a contract with milestones."""
    hours, whole = small_company(per_contract=3), build_company()
    contract = next(c for c in whole.contracts if c.code == FEES)
    return replace(
        hours,
        customers=(*hours.customers, next(c for c in whole.customers if c.code == contract.customer)),
        contracts=(*hours.contracts, contract),
        projects=(*hours.projects, *(replace(p, staff={}) for p in whole.projects if p.contract == FEES)),
        milestones=tuple(m for m in whole.milestones if m.contract == FEES),
    )


@dataclass(frozen=True)
class Edge:
    """A company whose vendors send their webhooks to a console of its own."""

    company: Company
    people: Actors
    address: str
    instance: dg.DagsterInstance
    definitions: dg.Definitions

    def drain(self) -> Drained:
        """Wait for the webhooks that are on their way, and work them off."""
        control, over_at = self.company.sandbox.control, time.monotonic() + 20
        while control.stats()["webhooks"]["under_way"]:
            assert time.monotonic() < over_at, "the webhooks do not arrive"
            time.sleep(0.02)
        done = hint_worker.drain(self.company.runtime)
        assert done.failed == 0
        return done

    def tick(self) -> set[str]:
        """One tick of the sensor; the partitions that it has posted."""
        runtime = self.company.runtime
        with dg.build_sensor_context(
            instance=self.instance,
            instance_ref=self.instance.get_ref(),
            definitions=self.definitions,
            resources={"runtime": runtime},
        ) as context:
            found = approvals_sensor.evaluate_tick(context)
        assert not found.run_requests, "so few items are posted by the tick itself"
        return {str(event.partition) for event in found.asset_events}

    def relay(self, kind: str, object_id: str, source: str = "kantata") -> httpx.Response:
        """Send an event as the relay does."""
        body = json.dumps({"type": kind, "data": {"id": object_id}}).encode()
        identity, stamp = secrets.token_hex(8), str(int(time.time()))
        signed = f"{identity}.{stamp}.".encode() + body
        mac = base64.b64encode(hmac.digest(standard_key(RELAY_SECRET), signed, "sha256")).decode()
        headers = {"webhook-id": identity, "webhook-timestamp": stamp, "webhook-signature": f"v1,{mac}"}
        headers["content-type"] = "application/json"
        return httpx.post(f"{self.address}/webhooks/{source}", content=body, headers=headers)

    def events(self, source: str) -> list[str]:
        """The events that a source has sent, in the order in which they came."""
        table = webhook_delivery.c
        query = select(table.event).where(table.tenant == self.company.runtime.settings.tenant, table.source == source)
        with self.company.runtime.engine.connect() as connection:
            return list(connection.scalars(query.order_by(table.received_at)))

    def record(self, object_type: str, record_type: type, canonical_id: str) -> object:
        """A record of master data as it is now; None where there is none."""
        with self.company.runtime.engine.connect() as connection:
            found = master_records.load_all(
                connection,
                tenant=self.company.runtime.settings.tenant,
                object_type=object_type,
                record_type=record_type,
            )
        return next((r for r in found if r.id == canonical_id), None)

    def billed(self, contract: str) -> Decimal:
        """What the drafts of a contract add up to in the ERP, by its legal entity's company and its customer."""
        agreed = self.record("contract", Contract, contract)
        assert isinstance(agreed, Contract)
        entity, party = self._of(agreed.legal_entity, agreed.customer_id)
        total = sum(
            amount
            for company, _, found, _, _, _, amount, _ in self.company.books(EffectType.BILLING_LINE)
            if (company, found) == (entity, party)
        )
        return Decimal(total)

    def _of(self, legal_entity: str, customer: str) -> tuple[str, str]:
        tryton = self.company.tryton
        return tryton.companies[legal_entity], tryton.parties[customer]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxServer]:
    with running_sandbox(company_with_fees()) as server:
        yield server


@pytest.fixture(scope="module")
def edge(sandbox: SandboxServer, make_tryton: MakeTryton, open_company: Open) -> Iterator[Edge]:
    """Everything is synchronized once; then vendors and relay announce what changes."""
    company = open_company(sandbox, make_tryton(Kind.COMPANION))
    runtime, sources = company.runtime, dict[str, WebhookSource]()
    app = make_app(runtime.engine, sources=sources, scope=runtime.scope)
    with served(app) as address, actors_at(sandbox) as people, dg.instance_for_test() as instance:
        hooks = runtime.settings.connections.webhooks
        there = hooks["hubspot"].model_copy(update={"url": f"{address}/webhooks/hubspot"})
        known = {
            hooks["hubspot"].secrets: SecretStr(CRM_SECRET),
            hooks["kantata"].secrets: SecretStr(RELAY_SECRET),
            runtime.settings.connections.psa.webhook_tokens: SecretStr("unused"),
        }
        connections = runtime.settings.connections.model_copy(
            update={"webhooks": {**hooks, "hubspot": there, "psa-relay": hooks["kantata"]}}
        )
        settings = runtime.settings.model_copy(
            update={"connections": connections, "secrets": {**runtime.settings.secrets, **known}}
        )
        sources |= receiving.sources_of(settings)
        people.subscribe_to_crm(f"{address}/webhooks/hubspot", CRM_SECRET)
        people.subscribe_to_fees(f"{address}/webhooks/kantata", RELAY_SECRET)
        company.sync()
        with SpanSink(address, tenant=settings.tenant) as sink:
            # What was before is not exported.
            tracing.export(runtime.engine, sink, settings.tenant, now=runtime.clock())
        yield Edge(company, people, address, instance, build_defs(settings))


def deal_of(edge: Edge, contract: str) -> str:
    return next(c.crm_id for c in edge.company.sandbox.company.contracts if c.code == contract)


def test_a_milestone_that_is_ready_is_in_the_books_within_a_tick(edge: Edge) -> None:
    """A fee would wait for the next hourly sweep."""
    before = edge.billed(FEES)
    edge.people.complete_milestone(NEXT_MILESTONE, ACCEPTED)
    assert edge.drain().revised == 1
    assert "US|2026-10" in edge.tick()
    assert edge.events("kantata") == ["milestone.ready"]
    assert edge.billed(FEES) - before == Decimal(12000)


def test_one_trace_follows_the_milestone_from_the_webhook_to_the_books(edge: Edge) -> None:
    """Whoever asks why a fee took a minute would see half of its way, or two halves that do not belong together."""
    runtime, settings = edge.company.runtime, edge.company.runtime.settings
    with webhook_receiver() as collector, SpanSink(f"{collector.url}/v1/traces", tenant=settings.tenant) as sink:
        later = runtime.clock() + tracing.SETTLES
        assert tracing.export(runtime.engine, sink, settings.tenant, now=later) > 0
    requests = [ExportTraceServiceRequest.FromString(_plain(headers, body)) for headers, body in collector.arrived]
    [resource] = {
        (a.key, a.value.string_value)
        for request in requests
        for each in request.resource_spans
        for a in each.resource.attributes
        if a.key == "service.name"
    }
    assert resource == ("service.name", "psa-erp")
    spans = [s for r in requests for each in r.resource_spans for scope in each.scope_spans for s in scope.spans]
    revision, about = 0, {"psa_erp.object_id": f"milestone:kantata:{NEXT_MILESTONE}"}
    for span in spans:
        if span.name == "entry" and _said(span).items() >= about.items():
            revision = max(revision, int(_said(span)["psa_erp.revision"]))
    wanted = f"{root_of(settings.tenant, about['psa_erp.object_id'], revision).trace:032x}"
    trace = [s for s in spans if s.trace_id.hex() == wanted]
    by_id, named = {s.span_id: s for s in trace}, {s.name: s for s in trace}
    assert named.keys() == {"entry", *PARENTS}
    for name, parent in PARENTS.items():
        assert by_id[named[name].parent_span_id].name == parent
    assert _said(named["received"])["psa_erp.source"] == "kantata"
    assert _said(named["fetched"])["psa_erp.arrived_by"] == "webhook"
    ends = [named[name].end_time_unix_nano for name in PARENTS if name != "posting"]
    assert ends == sorted(ends)
    assert named["entry"].start_time_unix_nano == named["received"].start_time_unix_nano


def _plain(headers: dict[str, str], body: bytes) -> bytes:
    return gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body


def _said(span: Span) -> dict[str, str]:
    """A span's attributes as texts."""
    return {a.key: a.value.string_value or str(a.value.int_value) for a in span.attributes}


def test_an_event_that_comes_late_or_twice_changes_nothing(edge: Edge) -> None:
    """An old event that were believed would take back what a newer one has said."""
    before = edge.billed(FEES)
    assert edge.relay("milestone.deleted", NEXT_MILESTONE).status_code == 202
    assert edge.relay("milestone.updated", NEXT_MILESTONE).status_code == 202
    assert edge.drain().revised == 0
    edge.tick()
    assert edge.billed(FEES) == before


def test_a_milestone_that_is_deleted_is_taken_back(edge: Edge) -> None:
    """A fee that was accepted by mistake would be invoiced."""
    before = edge.billed(FEES)
    edge.people.delete_milestone(NEXT_MILESTONE)
    assert edge.drain().revised == 1
    edge.tick()
    assert edge.events("kantata")[-1] == "milestone.deleted"
    assert edge.billed(FEES) - before == Decimal(-12000)


def test_a_milestone_that_left_no_trace_is_found_gone_by_the_whole_list(edge: Edge) -> None:
    """Of one that is not shown nothing is known; taken for deleted it would be credited, ignored it would be billed."""
    before = edge.billed(FEES)
    edge.company.sandbox.control.remove("kantata_stories", BILLED_MILESTONE)
    edge.company.sandbox.control.fault("kantata", "status", status=503, path="stories")
    edge.relay("milestone.deleted", BILLED_MILESTONE)
    assert hint_worker.drain(edge.company.runtime).failed == 1
    edge.company.sandbox.control.clear("kantata")
    edge.relay("milestone.updated", BILLED_MILESTONE)
    _forget_circuits(edge)
    assert edge.drain().revised == 1
    edge.tick()
    # Another one, for which the fee had no room beside it, is billed in its place.
    assert edge.billed(FEES) - before == Decimal(14000 - 16000)


def test_a_project_of_the_second_psa_says_which_contract_its_fees_are_of(edge: Edge) -> None:
    """Fees would be billed to whom the project was for before."""
    psa = edge.company.runtime.milestones_psa
    assert psa is not None
    [project] = psa.workspaces()
    edge.people.change_milestone_project(project["id"], status_key=400)
    assert edge.drain() == Drained(1, 0, 0), "a status moves no fee"
    edge.people.change_milestone_project(project["id"], title=f"CTR-9999 {project['title']}")
    assert edge.drain().revised > 0
    edge.people.change_milestone_project(project["id"], title=project["title"])
    assert edge.drain().revised > 0
    edge.tick()
    assert {"project.status_changed", "project.contract_changed"} <= set(edge.events("kantata"))


def test_a_deal_that_changes_prices_its_work_anew(edge: Edge) -> None:
    """A discount would be found in the hour after the invoice."""
    before = edge.billed(HOURS)
    assert before > 0
    edge.people.change_deal(deal_of(edge, HOURS), billing_terms='{"discount": "0.5"}')
    assert edge.drain().revised == 1
    assert any(partition.startswith("UK|") for partition in edge.tick())
    assert edge.billed(HOURS) == before / 2
    assert edge.events("hubspot")[-1] == "deal.propertyChange"


def test_a_deal_that_is_signed_or_deleted_becomes_or_ends_a_contract(edge: Edge) -> None:
    """A contract that is gone would go on being billed, and a new one's work be held until the hour."""
    company = next(c for c in edge.company.sandbox.company.customers)
    new = edge.people.sign_deal(
        company.crm_id,
        dealname="Support",
        dealstage="closedwon",
        contract_code="CTR-0777",
        contract_kind="time_and_materials",
        legal_entity="UK",
        contract_start="2026-09-01",
        deal_currency_code="GBP",
    )
    assert edge.drain().revised == 1
    made = edge.record("contract", Contract, "CTR-0777")
    assert isinstance(made, Contract)
    assert made.customer_id == company.code
    edge.people.delete_deal(new)
    assert edge.drain().revised == 1
    assert edge.record("contract", Contract, "CTR-0777") is None
    assert edge.events("hubspot")[-2:] == ["deal.creation", "deal.deletion"]


def test_a_deletion_that_is_older_than_the_deal_is_no_deletion(edge: Edge) -> None:
    """HubSpot promises no order: a contract would be lost that was deleted and restored."""
    edge.people.change_deal(deal_of(edge, OTHER), dealname="Renamed")
    edge.relay("contract.deleted", deal_of(edge, OTHER), source="psa-relay")
    assert edge.drain().handled == 2
    found = edge.record("contract", Contract, OTHER)
    assert isinstance(found, Contract)
    assert found.name == "Renamed"


def test_a_company_that_is_renamed_is_another_version_of_its_customer(edge: Edge) -> None:
    """Invoices would be sent under the old name until the hour."""
    company = next(c for c in edge.company.sandbox.company.customers)
    edge.people.change_company(company.crm_id, name="Another Name")
    assert edge.drain().revised == 1
    found = edge.record("customer", Customer, company.code)
    assert isinstance(found, Customer)
    assert found.name == "Another Name"


def test_a_project_of_the_psa_that_is_closed_is_closed_here(edge: Edge) -> None:
    """Work on a closed project would be billed until the hour."""
    project = next(p for p in edge.company.sandbox.company.projects if p.contract == OTHER)
    edge.people.archive_project(project.psa_id)
    assert edge.relay("project.status_changed", project.psa_id, source="psa-relay").status_code == 202
    assert edge.drain().revised == 1
    found = edge.record("project", Project, project.code)
    assert isinstance(found, Project)
    assert found.closed
    edge.tick()
    assert edge.relay("project.updated", project.psa_id, source="psa-relay").status_code == 202
    assert edge.drain().revised == 0


def test_a_delivery_that_proves_nothing_is_refused(edge: Edge) -> None:
    """Anybody could have the sync ask for anything."""
    body = json.dumps({"type": "milestone.ready", "data": {"id": NEXT_MILESTONE}}).encode()
    headers = {"content-type": "application/json", "webhook-id": "1", "webhook-timestamp": str(int(time.time()))}
    headers["webhook-signature"] = "v1," + base64.b64encode(b"x" * 32).decode()
    refused = httpx.post(f"{edge.address}/webhooks/kantata", content=body, headers=headers)
    assert refused.status_code == 401


def _forget_circuits(edge: Edge) -> None:
    """The circuit of the second PSA has opened; another process would ask afresh."""
    del edge.company.runtime.milestones_psa
