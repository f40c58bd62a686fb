"""Webhook deliveries as whoever works them off sees them."""

import datetime as dt

from sqlalchemy import Connection, Engine

from psa_erp_assets.adapters.store.deliveries import due, mark_handled, postpone
from psa_erp_assets_tests.support.deliveries import record_delivery

TENANT = "acme"
NOW = dt.datetime(2026, 10, 5, 9, tzinfo=dt.UTC)


def record(connection: Connection, delivery_id: str, *, tenant: str = TENANT, now: dt.datetime = NOW) -> int:
    return record_delivery(
        connection, tenant=tenant, source="clockify", delivery_id=delivery_id, event="E", body="{}", now=now
    )


def ids(connection: Connection, now: dt.datetime = NOW) -> list[str]:
    return [delivery.delivery_id for delivery in due(connection, TENANT, now=now, limit=100)]


def test_what_is_due_comes_oldest_first_and_is_ones_own(store_engine: Engine) -> None:
    """A later change must not be fetched before an earlier one, nor another company's at all."""
    with store_engine.begin() as connection:
        record(connection, "a")
        record(connection, "b")
        record(connection, "c", tenant="other")
        record(connection, "later", now=NOW + dt.timedelta(minutes=1))
        assert ids(connection) == ["a", "b"]
        assert len(due(connection, TENANT, now=NOW, limit=1)) == 1


def test_what_was_handled_is_due_no_more(store_engine: Engine) -> None:
    """It would be fetched again for ever."""
    with store_engine.begin() as connection:
        record(connection, "a")
        mark_handled(connection, due(connection, TENANT, now=NOW, limit=10), now=NOW)
        assert ids(connection) == []


def test_a_copy_that_comes_while_the_first_is_worked_off_stays_due(store_engine: Engine) -> None:
    """It may announce a change that the fetch was too early for, even if it came in the same instant."""
    with store_engine.begin() as connection:
        record(connection, "a")
        taken = due(connection, TENANT, now=NOW, limit=10)
        record(connection, "a")
        mark_handled(connection, taken, now=NOW)
        postpone(connection, taken[0], attempts=1, until=NOW + dt.timedelta(days=1), error="unreachable")
        assert ids(connection) == ["a"]


def test_a_postponed_delivery_waits_for_its_time(store_engine: Engine) -> None:
    """A source that is down would otherwise be asked without a pause."""
    later = NOW + dt.timedelta(minutes=10)
    with store_engine.begin() as connection:
        record(connection, "a")
        [first] = due(connection, TENANT, now=NOW, limit=10)
        postpone(connection, first, attempts=1, until=later, error="unreachable")
        assert ids(connection) == []
        [delivery] = due(connection, TENANT, now=later, limit=10)
    assert delivery.attempts == 1
