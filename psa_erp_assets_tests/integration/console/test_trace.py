"""Trace and status on the store itself."""

import datetime as dt
import json

import pytest
from sqlalchemy import Engine, insert

from psa_erp_assets.adapters.store import inbox, schema
from psa_erp_assets.services.status import status
from psa_erp_assets.services.trace import NotFoundError, trace, trace_posting
from psa_erp_assets_tests.support.console import ENTRY, KEY, NOW, REVERSAL_KEY, TENANT, fill


def arrive(engine: Engine, source: str, vendor_id: str) -> None:
    payload = inbox.Payload(object_id=vendor_id, body={"id": vendor_id})
    with engine.begin() as connection:
        inbox.record(
            connection,
            tenant=TENANT,
            source=source,
            object_type="time_entry",
            payloads=[payload],
            arrived_by="sweep",
            now=NOW,
        )


def test_the_story_is_complete_and_in_order(store_engine: Engine) -> None:
    """A step that is missing is a question that somebody asks the database by hand."""
    with store_engine.begin() as connection:
        fill(connection)
        story = trace(connection, TENANT, ENTRY)
    assert [p.arrived_by for p in story.payloads] == ["webhook", "sweep"]
    assert [(r.revision, r.minutes) for r in story.revisions] == [(1, 90), (2, 120)]
    assert [d.versions["contract"] for d in story.decisions] == ["CTR-0001", "CTR-0001"]
    assert [d.reasons[0].code for d in story.decisions] == ["no_cost_rate", "no_cost_rate"]
    assert [(i.action, str(i.amount)) for i in story.plan_items] == [("create", "1234.50")]
    assert {p.key: len(p.events) for p in story.postings} == {KEY: 3, REVERSAL_KEY: 3}
    original = next(p for p in story.postings if p.key == KEY)
    assert [(d.erp_id, d.document, d.posted) for d in original.documents] == [("4711", "account.invoice,12", True)]
    assert [(e.code, e.resolved_at is None) for e in story.exceptions] == [
        ("unknown_employee", False),
        ("no_cost_rate", True),
        ("posting_ambiguous", True),
    ]


def test_a_story_is_plain_json(store_engine: Engine) -> None:
    """What the command line prints must be readable by any program, with amounts that keep their digits."""
    with store_engine.begin() as connection:
        fill(connection)
        body = json.loads(json.dumps(trace(connection, TENANT, ENTRY).to_dict()))
        assert json.loads(json.dumps(status(connection, TENANT).to_dict()))["payloads"] == 60
    assert body["postings"][0]["amount"] == "1234.50"
    assert dt.datetime.fromisoformat(body["payloads"][0]["received_at"]).utcoffset() == dt.timedelta(0)


def test_what_was_never_understood_has_a_story_too(store_engine: Engine) -> None:
    """A malformed record is exactly what somebody looks for."""
    arrive(store_engine, "clockify", "broken")
    with store_engine.begin() as connection:
        story = trace(connection, TENANT, "broken")
    assert (story.entry_id, len(story.payloads), story.revisions) == ("time_entry:clockify:broken", 1, ())


def test_a_vendors_id_that_two_sources_use_is_not_guessed(store_engine: Engine) -> None:
    """Showing one of two entries would answer a question that was not asked."""
    arrive(store_engine, "clockify", "42")
    arrive(store_engine, "kantata", "42")
    with store_engine.begin() as connection:
        with pytest.raises(NotFoundError, match="time_entry:clockify:42 or time_entry:kantata:42"):
            trace(connection, TENANT, "42")
        assert trace(connection, TENANT, "time_entry:kantata:42").source == "kantata"
        assert trace(connection, TENANT, "kantata:42").source == "kantata", "as the console shows it"


@pytest.mark.parametrize("entry_id", ["", ":", "unknown", "time_entry:", "time_entry:clockify:unknown", "'; --", "%"])
def test_an_unknown_id_is_told_as_such(store_engine: Engine, entry_id: str) -> None:
    """A typed error lets the command line and the page say it in their own way."""
    with store_engine.begin() as connection, pytest.raises(NotFoundError):
        trace(connection, TENANT, entry_id)


def test_tenants_see_their_own(store_engine: Engine) -> None:
    """One company's hours and amounts must not show up in another's console."""
    with store_engine.begin() as connection:
        fill(connection)
        for ask in (lambda: trace(connection, "other", ENTRY), lambda: trace_posting(connection, "other", KEY)):
            with pytest.raises(NotFoundError):
                ask()
        nothing = status(connection, "other")
    assert (nothing.payloads, nothing.postings, nothing.exceptions, nothing.entries) == (0, (), (), ())


def test_status_counts_what_waits_and_since_when(store_engine: Engine) -> None:
    """The age of the oldest that waits is what an alarm is set on."""
    with store_engine.begin() as connection:
        fill(connection)
        now = status(connection, TENANT)
        assert now.oldest_unprocessed_at == NOW - dt.timedelta(hours=3)
        assert [(p.legal_entity, p.entries) for p in now.dirty_partitions] == [("DE", 1)]
        assert (now.entries_dirty, now.exceptions_open, now.postings_in("verified", "ready")) == (1, 4, 61)
        connection.execute(schema.webhook_delivery.update().values(handled_at=NOW))
        assert status(connection, TENANT).oldest_unprocessed_at == NOW - dt.timedelta(hours=2)


def test_a_change_from_a_clock_ahead_has_no_negative_age(store_engine: Engine) -> None:
    """An age below zero would switch the alarm off."""
    with store_engine.begin() as connection:
        connection.execute(
            insert(schema.work_head).values(
                tenant=TENANT,
                object_id=ENTRY,
                revision=1,
                state="approved",
                legal_entity="DE",
                service_month="2026-09",
                changed_at=dt.datetime(2200, 1, 1, tzinfo=dt.UTC),
            )
        )
        assert status(connection, TENANT).oldest_unprocessed_seconds == 0
