"""Traces: one entry can be followed from its webhook to its verified posting, whichever processes did the work."""

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SentSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from sqlalchemy import Engine

from psa_erp_assets.adapters.otlp import SpanSink
from psa_erp_assets.adapters.store import deliveries
from psa_erp_assets.adapters.store.postings import PgPostingStore
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.tracing import ATTRIBUTES, STAGES, Span, is_sampled, posting_of, root_of
from psa_erp_assets.services import planning, revisions, tracing
from psa_erp_assets.services.posting_engine import EnginePolicy, PostingEngine
from psa_erp_assets_tests.support.console import TOKEN, make_app, served
from psa_erp_assets_tests.support.facts import TENANT
from psa_erp_assets_tests.support.punctual_erp import PunctualErp
from psa_erp_assets_tests.support.store import NOW, SCOPE, keep_master, psa_payload
from psa_erp_assets_tests.support.webhook_receiver import Receiver, webhook_receiver

ENTRY = "time_entry:clockify:e1"
SEPTEMBER = ("UK", "2026-09")
SECOND = dt.timedelta(seconds=1)
SETTLED = dt.timedelta(hours=1)


@pytest.fixture
def collector() -> Iterator[Receiver]:
    """A collector that takes OTLP over HTTP."""
    with webhook_receiver() as receiver:
        yield receiver


@dataclass
class Story:
    """An entry on its way; `now` moves on by a second with each step."""

    engine: Engine
    erp: PunctualErp
    now: dt.datetime = NOW

    def tick(self) -> dt.datetime:
        self.now += SECOND
        return self.now

    def announce(self, entry_id: str = "e1") -> None:
        """The PSA's webhook comes in, over HTTP."""
        headers = {"clockify-signature": TOKEN, "clockify-webhook-event-type": "TIME_ENTRY_UPDATED"}
        arrived_at = self.tick()
        app = make_app(self.engine, scope=SCOPE, clock=lambda: arrived_at)
        with served(app) as address:
            answer = httpx.post(f"{address}/webhooks/clockify", json={"id": entry_id}, headers=headers)
        assert answer.status_code == 202

    def fetch(self, minutes: int = 50) -> None:
        """What was announced is read."""
        now = self.tick()
        with self.engine.begin() as connection:
            due = deliveries.due(connection, TENANT, now=now, limit=10)
            assert due
            payload = psa_payload("e1", minutes)
            revisions.receive(
                connection, revisions.TIME_ENTRIES, scope=SCOPE, payloads=[payload], arrived_by="webhook", now=now
            )
            deliveries.mark_handled(connection, due, now=now)

    def plan(self) -> None:
        """It is decided about and planned."""
        plan = planning.make_plan(self.engine, SCOPE, SEPTEMBER, now=self.tick(), created_by="test")
        planning.apply_plan(self.engine, SCOPE, plan.id, now=self.tick())

    def post(self) -> None:
        """It is sent and read back."""
        engine = PostingEngine(
            PgPostingStore(self.engine, TENANT), self.erp, self.tick, worker="w", policy=EnginePolicy(),
            sleep=lambda _: None,
        )  # fmt: skip
        with self.engine.connect() as connection:
            companies = {row[0] for row in connection.exec_driver_sql("SELECT DISTINCT erp_company FROM ops.posting")}
        engine.run_until_settled(companies)


def export(engine: Engine, collector: Receiver, *, ratio: float = 1.0, now: dt.datetime = NOW + SETTLED) -> int:
    with SpanSink(collector.url, tenant=TENANT) as sink:
        return tracing.export(engine, sink, TENANT, now=now, ratio=ratio)


def arrived(collector: Receiver) -> list[SentSpan]:
    """Every span that the collector has, as it came over the wire."""
    found = []
    for _, body in collector.arrived:
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                found += scope.spans
    return found


def said(span: SentSpan) -> dict[str, object]:
    return {a.key: a.value.string_value or a.value.int_value for a in span.attributes}


@pytest.fixture
def story(clean_store: Engine, collector: Receiver) -> Story:
    """A company in which nothing has happened yet since traces are exported."""
    keep_master(clean_store)
    assert export(clean_store, collector) == 0
    return Story(clean_store, PunctualErp())


def test_one_entry_from_webhook_to_verified_posting(story: Story, collector: Receiver) -> None:
    """Somebody asks where the minutes went between an approval and its line, and no two logs agree."""
    story.announce()
    story.fetch()
    story.plan()
    story.post()
    assert export(story.engine, collector) > 0
    spans = arrived(collector)
    assert {span.trace_id for span in spans} == {root_of(TENANT, ENTRY, 1).trace.to_bytes(16)}
    assert {span.name for span in spans} == set(STAGES)
    by_id = {span.span_id: span for span in spans}
    assert len(by_id) == len(spans)
    [root] = [span for span in spans if not span.parent_span_id]
    assert root.name == "entry"
    for span in spans:
        above = span
        while above.parent_span_id:
            above = by_id[above.parent_span_id]
        assert above is root

    def times(name: str) -> tuple[int, int]:
        span = next(s for s in spans if s.name == name and said(s).get("psa_erp.effect_type", LINE) == LINE)
        return span.start_time_unix_nano, span.end_time_unix_nano

    way = [times(name) for name in ("received", "fetched", "canonical", "decided", "planned", "sent", "verified")]
    assert way == sorted(way)
    assert all(began <= ended for began, ended in way)
    assert times("fetched")[1] - times("fetched")[0] == 1_000_000_000
    assert all(span.status.code == Status.STATUS_CODE_OK for span in spans)
    kinds = {said(span)["psa_erp.effect_type"] for span in spans if span.name == "posting"}
    assert kinds == {"billing_line", "cost_transaction", "intercompany_charge"}


LINE = EffectType.BILLING_LINE.value


def test_each_part_comes_when_it_has_happened_and_once(story: Story, collector: Receiver) -> None:
    """The trace of an entry that waits for somebody is empty; or a collector gets everything again each time."""
    story.announce()
    story.fetch()
    story.plan()
    export(story.engine, collector)
    assert {span.name for span in arrived(collector)} == {
        "entry",
        "received",
        "fetched",
        "canonical",
        "decided",
        "planned",
    }
    before = len(arrived(collector))
    assert export(story.engine, collector) == 0
    story.post()
    export(story.engine, collector)
    assert {span.name for span in arrived(collector)[before:]} == {"sent", "verified", "posting"}


def test_what_the_collector_does_not_take_comes_later(story: Story, collector: Receiver) -> None:
    """A collector is restarted, and the entries of that minute have no trace."""
    story.announce()
    story.fetch()
    story.plan()

    class Deaf:
        """Takes nothing."""

        def send(self, _spans: list[Span]) -> bool:
            return False

    assert tracing.export(story.engine, Deaf(), TENANT, now=NOW + SETTLED) == 0  # type: ignore[arg-type]  # as a sink
    assert export(story.engine, collector) > 0
    assert "planned" in {span.name for span in arrived(collector)}


def test_a_correction_is_a_trace_that_leads_back(story: Story, collector: Receiver) -> None:
    """From the reversal nobody finds what it takes back."""
    story.announce()
    story.fetch()
    story.plan()
    story.post()
    story.announce("e1")
    story.fetch(80)
    story.plan()
    story.post()
    export(story.engine, collector)
    second = root_of(TENANT, ENTRY, 2)
    spans = [span for span in arrived(collector) if span.trace_id == second.trace.to_bytes(16)]
    [root] = [span for span in spans if span.name == "entry"]
    assert [link.span_id for link in root.links] == [root_of(TENANT, ENTRY, 1).span.to_bytes(8)]
    back = {link.trace_id for span in spans if span.name == "posting" for link in span.links}
    assert back == {root_of(TENANT, ENTRY, 1).trace.to_bytes(16)}


def test_a_refusal_is_marked(story: Story, collector: Receiver) -> None:
    """The one trace that somebody looks for looks like all others."""
    story.erp.refuses = {EffectType.COST_TRANSACTION}
    story.announce()
    story.fetch()
    story.plan()
    story.post()
    export(story.engine, collector)
    refused = [span for span in arrived(collector) if span.status.code == Status.STATUS_CODE_ERROR]
    assert {span.name for span in refused} == {"sent"}
    [code] = next(a for a in refused[0].attributes if a.key == "psa_erp.fault_codes").value.array_value.values
    assert code.string_value == "posting_rejected"


def test_a_trace_says_only_what_is_on_the_list(story: Story, collector: Receiver) -> None:
    """What a consultant wrote about a customer stands in a system that everybody reads."""
    story.announce()
    story.fetch()
    story.plan()
    story.post()
    export(story.engine, collector)
    for span in arrived(collector):
        assert {a.key for a in span.attributes} <= set(ATTRIBUTES)
    sent = b"".join(body for _, body in collector.arrived)
    for word in (b"workshop", b"u1", b"183.33", json.dumps("America").encode()):
        assert word not in sent
    with pytest.raises(ValueError, match="on the list"):
        Span(
            name="sent", id=root_of("t", "o", 1), parent=None, began=NOW, ended=NOW,
            attributes={"psa_erp.description": "workshop"},
        )  # fmt: skip


def test_a_share_of_the_traces_is_whole_traces(story: Story, collector: Receiver) -> None:
    """Of every trace some spans are missing, and none can be read."""
    story.announce()
    story.fetch()
    story.plan()
    story.post()
    assert export(story.engine, collector, ratio=0.0) == 0
    chosen = [is_sampled("t", f"e{n}", 1, 0.25) for n in range(2_000)]
    assert 400 < sum(chosen) < 600
    assert posting_of("t", "e1", 1, "k") == posting_of("t", "e1", 1, "k") != posting_of("t", "e1", 1, "l")
