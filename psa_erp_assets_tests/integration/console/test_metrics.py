"""The metrics: right whichever process did the work, without business content, and for those alone who may."""

import datetime as dt
import json
import re
from collections.abc import Iterator

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine, insert, select, text

from psa_erp_assets.adapters.store import connection_states, cursors, exceptions, schema
from psa_erp_assets.adapters.store.connection_states import ConnectionState
from psa_erp_assets.domain.access import Grant, Permission, Role
from psa_erp_assets.services.figures import Figures
from psa_erp_assets.services.metric_families import FAMILIES
from psa_erp_assets.settings import REPOSITORY
from psa_erp_assets_tests.support.access import NOW as SIGNED_AT
from psa_erp_assets_tests.support.access import add_account, add_token
from psa_erp_assets_tests.support.console import KEY, NOW, SCOPE, TENANT, TOKEN, fill, make_app, served

Values = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parsed(body: str) -> Values:
    """Every sample by its name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(body)
        for sample in family.samples
    }


def value(found: Values, name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


def scrape(address: str) -> Values:
    answer = httpx.get(f"{address}/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return parsed(answer.text)


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> dt.datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def address(clean_store: Engine, clock: Clock) -> Iterator[str]:
    """A console on a store with something of everything."""
    with clean_store.begin() as connection:
        fill(connection)
    with served(make_app(clean_store, clock=clock)) as started:
        yield started


def test_it_says_what_the_store_says(address: str, clean_store: Engine) -> None:
    """Somebody is woken by a figure that is not so, or by none."""
    with clean_store.begin() as connection:
        state = ConnectionState(name="hubspot", circuit="open", error="SourceUnreachableError", tokens_left=3)
        connection_states.put(connection, TENANT, [state], by="w", now=NOW)
        cursors.put(connection, tenant=TENANT, source="clockify", name="sweep", value="x", now=NOW)
        late = exceptions.Sighting(code="erp_auth", object_id="erp_company:9", detail="d")
        exceptions.open_or_touch(connection, TENANT, "erp:erp_auth", [late], NOW - dt.timedelta(hours=5))
        stray = exceptions.Sighting(code="posting_drift", object_id="x", detail="d", legal_entity="DE")
        exceptions.open_or_touch(connection, TENANT, "reconciliation:DE:2026-09", [stray], NOW)
    found = scrape(address)
    assert value(found, "psa_erp_deliveries_pending", source="clockify") == 1
    assert value(found, "psa_erp_deliveries_oldest_age_seconds", source="clockify") == 3 * 3600
    assert value(found, "psa_erp_postings", erp_company="3", effect_type="billing_line", state="verified") == 1
    assert value(found, "psa_erp_postings", erp_company="3", effect_type="billing_line", state="ready") == 60
    assert value(found, "psa_erp_connection_circuit_open", connection="hubspot") == 1
    assert value(found, "psa_erp_connection_tokens_left", connection="hubspot") == 3
    assert value(found, "psa_erp_last_read_timestamp_seconds", source="clockify", cursor="sweep") == NOW.timestamp()
    assert value(found, "psa_erp_exceptions_overdue", fault_class="auth") == 1
    assert value(found, "psa_erp_reconciliation_unexplained", legal_entity="DE") == 1
    assert value(found, "psa_erp_entries_dirty", legal_entity="DE") >= 1
    assert value(found, "psa_erp_inbox_payloads_total") >= 60
    assert value(found, "psa_erp_audit_checkpoint_timestamp_seconds") == 0
    assert value(found, "psa_erp_audit_rows_waiting") > 0
    assert value(found, "psa_erp_database_pool_connections", state="at_most") > 0
    parts = {labels: v for (name, labels), v in found.items() if name == "psa_erp_figures_up"}
    assert len(parts) == 7
    assert set(parts.values()) == {1.0}


def test_every_metric_is_there_before_it_first_happens(address: str) -> None:
    """A rule about something that has never happened looks like a rule with a slip of the pen."""
    body = httpx.get(f"{address}/metrics").text
    helped = set(re.findall(r"^# HELP (\S+)", body, re.MULTILINE))
    assert helped == {f.name + ("_total" if f.kind == "counter" else "") for f in FAMILIES.values()}


def test_nothing_in_it_is_business_content(address: str) -> None:
    """Names, texts or amounts leave through a door that is watched less than the others."""
    body = httpx.get(f"{address}/metrics").text
    for secret in ("script", "1234.50", "CTR-0001", "64c0ffee", KEY, "EMP-0001", "read timed out"):
        assert secret not in body
    for labels in {frozenset(n for n, _ in labels) for _, labels in parsed(body)}:
        assert labels <= {label for family in FAMILIES.values() for label in family.labels} | {"le"}


def test_webhooks_are_counted_by_what_became_of_them(address: str) -> None:
    """A vendor's new secret is refused for days and nobody sees it; or strangers fill Prometheus with labels."""
    headers = {"clockify-signature": TOKEN, "clockify-webhook-event-type": "NEW", "content-type": "application/json"}
    for body in ({"id": "a"}, {"id": "a"}, {"id": "b"}):
        sent = httpx.post(f"{address}/webhooks/clockify", content=json.dumps(body), headers=headers)
        assert sent.status_code == 202
    httpx.post(f"{address}/webhooks/clockify", content="{}", headers=headers | {"clockify-signature": "wrong"})
    for number in range(5):
        httpx.post(f"{address}/webhooks/made-up-{number}", content="{}", headers=headers)
    found = scrape(address)
    assert value(found, "psa_erp_webhooks_accepted_total", source="clockify") == 3
    assert value(found, "psa_erp_webhooks_duplicate_total", source="clockify") == 1
    assert value(found, "psa_erp_webhooks_refused_total", source="clockify", status="401") == 1
    assert value(found, "psa_erp_webhooks_refused_total", source="unknown", status="401") == 5
    assert value(found, "psa_erp_webhook_receive_seconds_count", source="clockify") == 4
    assert not any("made-up" in text for _, labels in found for _, text in labels)


def test_attempts_of_other_processes_are_counted_once(address: str, clean_store: Engine, clock: Clock) -> None:
    """Runs of Dagster live for seconds: what they do would be counted nowhere, or at every scrape again."""
    scrape(address)
    add_attempts(clean_store)
    before = scrape(address)
    assert ("psa_erp_posting_attempts_total", attempt("confirmed")) not in before
    clock.now += dt.timedelta(seconds=20)
    for _ in range(2):
        found = scrape(address)
        assert found["psa_erp_posting_attempts_total", attempt("confirmed")] == 1
        assert found["psa_erp_posting_attempts_total", attempt("rejected", "posting_rejected")] == 1
        assert value(found, "psa_erp_erp_call_seconds_count", erp_company="3") == 2
        assert value(found, "psa_erp_erp_call_seconds_bucket", erp_company="3", le="1.0") == 1
        assert value(found, "psa_erp_erp_call_seconds_bucket", erp_company="3", le="5.0") == 2
        assert value(found, "psa_erp_plan_items_total", action="create", effect_type="billing_line") == 7


def attempt(outcome: str, fault: str = "none") -> frozenset[tuple[str, str]]:
    labels = {"erp_company": "3", "effect_type": "billing_line", "outcome": outcome, "fault": fault}
    return frozenset(labels.items())


def add_attempts(engine: Engine) -> None:
    """One attempt that ended well after half a second, and one that the ERP refused after three."""
    steps = (
        ("started", 0.0, {}),
        ("confirmed", 0.5, {"erp_id": "1"}),
        ("restarted", 1.0, {}),
        ("rejected", 4.0, {"code": "posting_rejected", "message": "no such thing as 1234.50"}),
    )
    with engine.begin() as connection:
        for event, seconds, detail in steps:
            connection.execute(
                insert(schema.posting_event).values(
                    key=KEY,
                    event=event,
                    to_state="ready",
                    fence=1,
                    detail=detail,
                    at=NOW + dt.timedelta(seconds=seconds),
                )
            )
        [section] = connection.execute(select(schema.plan_section)).mappings()
        totals = [{"action": "create", "effect_type": "billing_line", "items": n} for n in (3, 4)]
        content = {k: v for k, v in section.items() if k != "id"} | {"totals": totals, "made_at": NOW}
        connection.execute(insert(schema.plan_section).values(**content))


def test_a_part_that_takes_too_long_costs_only_itself(clean_store: Engine) -> None:
    """One slow table, and everything that would say why has gone with it."""
    figures = Figures(clean_store, SCOPE, lambda: NOW)
    figures.read()
    with clean_store.begin() as connection:
        connection.execute(text("LOCK TABLE ops.exception_item IN ACCESS EXCLUSIVE MODE"))
        found = {(s.name, s.labels): s.value for s in figures.read()}
    assert found["psa_erp_figures_up", ("exceptions",)] == 0
    assert found["psa_erp_figures_up", ("backlog",)] == 1


@pytest.mark.parametrize(
    ("permissions", "status"), [((Permission.MONITOR,), 200), ((Permission.VIEW, Permission.OPERATE), 403)]
)
def test_a_token_for_it_opens_nothing_else(
    clean_store: Engine, permissions: tuple[Permission, ...], status: int
) -> None:
    """Prometheus keeps its token in a file: it should open the metrics, and only a token for them should."""
    add_account(clean_store, "prometheus", [Grant(Role.OPERATOR)])
    token = add_token(clean_store, "prometheus", permissions)
    with served(make_app(clean_store, gate=None, clock=lambda: SIGNED_AT)) as address:
        with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}) as program:
            assert program.get("/metrics").status_code == status
            assert program.get("/api/status").status_code == (403 if status == 200 else 200)
        assert httpx.get(f"{address}/metrics").status_code == 401


def test_rules_and_dashboard_name_what_is_exposed(store_engine: Engine) -> None:
    """An alert on a name that nobody exposes stays silent, and a panel empty."""
    with served(make_app(store_engine)) as address:
        body = httpx.get(f"{address}/metrics").text
    families = {f.name: f.type for f in text_string_to_metric_families(body)}
    exposed = {f"{name}_total" if kind == "counter" else name for name, kind in families.items()}
    exposed |= {f"{name}_bucket" for name, kind in families.items() if kind == "histogram"}
    for path in ("prometheus-rules.yaml", "grafana/psa-erp.json"):
        named = set(re.findall(r"\bpsa_erp_\w+", (REPOSITORY / "deploy" / path).read_text(encoding="utf-8")))
        assert named
        assert named <= exposed, path
