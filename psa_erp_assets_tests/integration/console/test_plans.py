"""Plans, lineage, reconciliation and the overview: pages and calls, by different people, in a real store."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, insert

from psa_erp_assets.adapters.store import schema
from psa_erp_assets.console.bench import Bench
from psa_erp_assets.services import lineage, sync
from psa_erp_assets.services.overview import overview
from psa_erp_assets.services.trace import NotFoundError, trace
from psa_erp_assets_tests.support.console import ENTRY as FILLED_ENTRY
from psa_erp_assets_tests.support.console import KEY, SCOPE, fill
from psa_erp_assets_tests.support.console import TENANT as FILLED_TENANT
from psa_erp_assets_tests.support.facts import TENANT
from psa_erp_assets_tests.support.plan_desk import ENTRY, PARTITION, STRAY, PlanDesk, plan_desk

REASON = "large reversals: 1,000.00 GBP is above 500.00 GBP"


@pytest.fixture
def desk(store_engine: Engine, tmp_path: Path) -> Iterator[PlanDesk]:
    with plan_desk(store_engine, tmp_path) as opened:
        yield opened


def ask(desk: PlanDesk, who: str, method: str, path: str, **options: Any) -> httpx.Response:
    return httpx.request(method, f"{desk.address}{path}", headers={"x-who": who}, **options)


def make(desk: PlanDesk) -> int:
    answer = ask(desk, "olga", "POST", "/api/v1/plans", json={"legal_entity": "UK", "service_month": "2026-09"})
    assert answer.status_code == 201, answer.text
    return int(answer.json()["plan"]["id"])


def test_a_plan_goes_from_its_maker_to_an_approver_and_back(desk: PlanDesk) -> None:
    """One person alone could take back what was billed, or what two agreed on could not be done."""
    plan = make(desk)
    review = {"approve": True, "note": "agreed with the customer"}
    for who, status in (("olga", 409), ("vic", 403), ("uma", 404)):
        assert ask(desk, who, "POST", f"/api/v1/plans/{plan}/review", json=review).status_code == status, who
        assert ask(desk, who, "POST", f"/api/v1/plans/{plan}/application", json={}).status_code == status, who
    approved = ask(desk, "ada", "POST", f"/api/v1/plans/{plan}/review", json=review)
    assert approved.json()["plan"]["status"] == "approved"
    assert ask(desk, "ada", "POST", f"/api/v1/plans/{plan}/application", json={}).status_code == 403
    applied = ask(desk, "olga", "POST", f"/api/v1/plans/{plan}/application", json={})
    assert applied.json() == {"plan": plan, "postings": 6}
    again = ask(desk, "olga", "POST", f"/api/v1/plans/{plan}/application", json={})
    assert again.status_code == 404
    with desk.runtime.engine.connect() as connection:
        asked = connection.execute(schema.metadata.tables["ops.audit_entry"].select()).mappings().all()
    assert ("plan.apply_asked", f"plan:{plan}", "olga") in {(a["kind"], a["subject"], a["actor"]) for a in asked}


def test_what_facts_have_overtaken_is_refused_with_the_reason(desk: PlanDesk) -> None:
    """Whoever clicks a minute too late would see an error of the server, or the old plan would be posted."""
    plan = make(desk)
    ask(desk, "ada", "POST", f"/api/v1/plans/{plan}/review", json={"approve": False, "note": "not yet"})
    answer = ask(desk, "ada", "POST", f"/plans/{plan}/review", data={"csrf": "x", "approve": "true", "note": "yes"})
    assert answer.status_code == 403, "a form without its value"
    form = {"csrf": "the-value-that-forms-repeat", "approve": "true", "note": "yes"}
    answer = ask(desk, "ada", "POST", f"/plans/{plan}/review", data=form)
    assert answer.status_code == 409
    assert "is rejected: only a proposed plan can be approved" in answer.text


def test_a_list_says_what_each_plan_brings_and_what_waits(desk: PlanDesk) -> None:
    """An approver would open every plan to see how much it is about."""
    plan = make(desk)
    listed = ask(desk, "vic", "GET", "/api/v1/plans?waiting=true").json()
    [row] = listed["plans"]
    assert (row["plan"]["id"], row["plan"]["approval_reasons"], row["plan"]["outdated"]) == (plan, [REASON], False)
    assert {(c["effect_type"], c["change"]) for c in row["changes"]} == {
        ("billing_line", "-900.00"),
        ("cost_transaction", "-405.00"),
        ("intercompany_charge", "-540.00"),
    }
    assert ask(desk, "uma", "GET", "/api/v1/plans").json()["total"] == 0
    assert ask(desk, "uma", "GET", f"/api/v1/plans/{plan}").status_code == 404
    assert "/plans?waiting=true" in ask(desk, "vic", "GET", "/").text


def test_items_are_read_page_by_page_and_narrowed_down(desk: PlanDesk) -> None:
    """A plan of a million lines would be one answer, or its holds would be lost among them."""
    plan = make(desk)
    everything = ask(desk, "vic", "GET", f"/api/v1/plans/{plan}/items").json()
    assert (len(everything["items"]), everything["after"]) == (8, None)
    held = ask(desk, "vic", "GET", f"/api/v1/plans/{plan}/items?action=hold").json()["items"]
    assert {(i["object_id"], i["code"]) for i in held} == {(STRAY, "unknown_employee")}
    third = everything["items"][2]["place"]
    rest = ask(desk, "vic", "GET", f"/api/v1/plans/{plan}/items?after={third}").json()["items"]
    assert rest == everything["items"][3:]
    assert ask(desk, "vic", "GET", f"/api/v1/plans/{plan}/items?contract=none").json()["items"] == []


def test_holds_are_one_row_however_many_plans_repeat_them(desk: PlanDesk) -> None:
    """The story of held work would be hundreds of equal rows, with the one that matters among them."""
    for _ in range(3):
        desk.clock.later()
        sync.sync_partition(desk.runtime, PARTITION, created_by="dagster run 2")
    with desk.runtime.engine.connect() as connection:
        story = trace(connection, TENANT, STRAY)
    billing = [i for i in story.plan_items if i.effect_type == "billing_line"]
    assert [(i.action, i.code) for i in billing] == [("hold", "unknown_employee")]
    assert billing[0].plans >= 3
    assert billing[0].first_plan == 1


def test_a_plan_that_newer_facts_left_behind_does_not_look_open(desk: PlanDesk) -> None:
    """Whoever looks at the story would think that it is still to be posted."""
    first = make(desk)
    with desk.runtime.engine.connect() as connection:
        [reverse] = [i for i in trace(connection, TENANT, ENTRY).plan_items if i.action == "reverse"]
    assert (reverse.statuses, reverse.applied_in) == ({"proposed": 1}, None)
    ask(desk, "ada", "POST", f"/api/v1/plans/{first}/review", json={"approve": True, "note": "ok"})
    second = make(desk)
    assert second == first, "the same plan is stored once"
    ask(desk, "olga", "POST", f"/api/v1/plans/{first}/application", json={})
    with desk.runtime.engine.connect() as connection:
        [reverse] = [i for i in trace(connection, TENANT, ENTRY).plan_items if i.action == "reverse"]
    assert (reverse.statuses, reverse.applied_in) == ({"applied": 1}, first)


@pytest.mark.parametrize(
    ("text", "kind"),
    [("e1", "work"), (ENTRY, "work"), ("INV-1", "invoice"), ("invoice:2/12", "invoice"), ("2001", "posting"),
     ("plan:1", "plan"), ("payload:1", "payload")],
)  # fmt: skip
def test_any_id_leads_to_its_story(desk: PlanDesk, text: str, kind: str) -> None:
    """Somebody who has an invoice, a line or a payload in hand would search the database."""
    [found] = ask(desk, "vic", "GET", "/api/v1/find", params={"text": text}).json()
    assert found["kind"] == kind
    page = ask(desk, "vic", "GET", "/trace", params={"entry_id": text}, follow_redirects=True)
    assert page.status_code == 200


def test_nobody_finds_what_belongs_to_an_entity_that_is_not_theirs(desk: PlanDesk) -> None:
    """The search field would be the way around the rules."""
    for text in ("e1", "INV-1", "2001", "plan:1", "payload:1"):
        assert ask(desk, "uma", "GET", "/api/v1/find", params={"text": text}).status_code == 403, text
    for path in (f"/api/v1/trace/{ENTRY}", "/api/v1/invoices/2/12", "/api/v1/payloads/1", "/invoices/2/12"):
        assert ask(desk, "uma", "GET", path).status_code == 403, path
    answer = ask(desk, "uma", "GET", "/api/v1/reconciliation?entity=UK&month=2026-09")
    assert answer.status_code == 403


def test_an_invoice_leads_back_to_its_work_and_work_to_its_payment(desk: PlanDesk) -> None:
    """What a customer asks about an invoice could not be answered from here."""
    story = ask(desk, "vic", "GET", "/api/v1/invoices/2/12").json()
    assert {line["object_id"] for line in story["lines"]} == {ENTRY, "time_entry:clockify:e2"}
    assert (story["invoice"]["paid"], story["invoice"]["open_amount"]) == ("550.00", "550.00")
    work = ask(desk, "vic", "GET", f"/api/v1/trace/{ENTRY}").json()
    assert [invoice["number"] for invoice in work["invoices"]] == ["INV-1"]
    [payment] = work["invoices"][0]["payments"]
    assert (payment["erp_id"], payment["number"], payment["amount"]) == ("901", "PAY-7", "550.00")
    assert story["invoice"]["payments"] == [payment]
    for text in ("PAY-7", "payment:2/901", "901"):
        found = ask(desk, "vic", "GET", "/api/v1/find", params={"text": text}).json()
        assert [(one["kind"], one["id"]) for one in found] == [("invoice", "2/12")], text
    assert "PAY-7" in ask(desk, "vic", "GET", "/invoices/2/12").text
    assert work["awaits_plan"]


def test_an_id_of_two_things_lists_both(store_engine: Engine) -> None:
    """One of them would be shown, and it would be the wrong one half of the time."""
    with store_engine.begin() as connection:
        fill(connection)
        connection.execute(
            insert(schema.erp_invoice).values(
                tenant=FILLED_TENANT, erp_company="3", erp_id="4711", number="INV-9", party="1", currency="EUR", net=1,
                tax=0, total=1, open_amount=1, state="draft", read_at=dt.datetime(2026, 10, 5, tzinfo=dt.UTC),
            )
        )  # fmt: skip
        found = lineage.find(connection, FILLED_TENANT, "4711")
        assert [(c.kind, c.id) for c in found] == [("invoice", "3/4711"), ("posting", KEY)]
        with pytest.raises(NotFoundError, match="nothing with the id 'nonsense'"):
            lineage.find(connection, FILLED_TENANT, "nonsense")


def test_a_webhook_tells_what_it_announced(store_engine: Engine) -> None:
    """Whether a webhook that came has led to anything could not be said."""
    with store_engine.begin() as connection:
        fill(connection)
        [found] = lineage.find(connection, FILLED_TENANT, "a" * 64)
        story = lineage.delivery_story(connection, FILLED_TENANT, int(found.id))
    assert (found.kind, story.objects, story.unreadable) == ("delivery", (FILLED_ENTRY,), None)


def test_reconciliation_counts_by_class_and_shows_the_rows(desk: PlanDesk) -> None:
    """A difference would be a number without the entries that make it."""
    answer = ask(desk, "vic", "GET", "/api/v1/reconciliation?entity=UK&month=2026-09")
    found = answer.json()
    classes = {c["difference"]: (c["entries"], [r["object_id"] for r in c["rows"]]) for c in found["classes"]}
    assert classes == {
        "held": (1, [STRAY]),
        "matched": (1, ["time_entry:clockify:e2"]),
        "pending": (1, [ENTRY]),
    }
    assert (found["compared"], found["contracts"], found["unexplained"]) == (2, 2, 0)
    page = ask(desk, "vic", "GET", "/reconciliation?entity=UK&month=2026-09&kind=pending").text
    assert f"/trace/{ENTRY}" in page
    assert ask(desk, "vic", "GET", "/api/v1/reconciliation?entity=UK&month=2020-01").status_code == 404


def test_what_takes_long_says_so_and_what_fails_is_begun_anew() -> None:
    """The page would hang for minutes, or show a failure until the server is restarted."""
    now = dt.datetime(2026, 10, 5, tzinfo=dt.UTC)
    bench, attempts = Bench(lambda: now, patience=0.01), []

    def slow(go_on: Any) -> str:
        attempts.append(go_on())
        if len(attempts) == 1:
            raise ValueError("no")
        return "done"

    patient = Bench(lambda: now, patience=5)
    assert patient.ask("x", slow).failed
    assert patient.ask("x", slow).value == "done"
    assert patient.ask("x", slow).value == "done"
    assert attempts == [True, True], "what is kept is not computed again"

    def never(go_on: Any) -> None:
        while go_on():
            if len(attempts) > 2:
                return

    waiting = bench.ask("y", never)
    assert (waiting.value, waiting.failed) == (None, False)
    attempts.append(True)


def test_the_overview_counts_the_hours_and_keeps_to_ones_entities(store_engine: Engine) -> None:
    """A standstill would not be seen, or somebody would see the work of another entity."""
    with store_engine.begin() as connection:
        fill(connection)
        now = connection.exec_driver_sql("SELECT now()").scalar_one()
        for number in range(3):
            connection.execute(
                insert(schema.inbox).values(
                    tenant=FILLED_TENANT, source="clockify", object_type="time_entry", object_id=f"new{number}",
                    version=1, content_hash="0" * 64, payload={}, arrived_by="webhook", received_at=now,
                )
            )  # fmt: skip
        connection.execute(
            insert(schema.posting_event).values(
                key=KEY, event="confirmed", from_state="resolving", to_state="confirmed", fence=9, worker="w",
                detail={}, at=now,
            )
        )  # fmt: skip
        found = overview(connection, SCOPE)
        others = overview(connection, SCOPE, frozenset({"UK"}))
    flows = {flow.step: flow for flow in found.flows}
    assert flows["received"].by_hour[-1] == 3
    assert (flows["posted"].by_hour[-1], found.found_again) == (1, 1)
    assert (others.found_again, {f.step: sum(f.by_hour) for f in others.flows}["posted"]) == (0, 0)
