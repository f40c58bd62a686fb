"""The inbox keeps every version of every object, and each change once, whoever brings it and how often."""

import datetime as dt
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import Connection, Engine, select

from psa_erp_assets.adapters.store import inbox, schema
from psa_erp_assets.adapters.store.inbox import Payload, StoredPayload

TENANT = "acme"
NOW = dt.datetime(2026, 10, 5, 9, tzinfo=dt.UTC)


def record(
    connection: Connection, bodies: Mapping[str, Mapping[str, Any]], *, tenant: str = TENANT, now: dt.datetime = NOW
) -> list[StoredPayload]:
    return inbox.record(
        connection,
        tenant=tenant,
        source="clockify",
        object_type="time_entry",
        payloads=[Payload(object_id=i, body=body) for i, body in bodies.items()],
        arrived_by="sweep",
        now=now,
    )


def versions(engine: Engine, object_id: str = "e1") -> list[tuple[int, Any]]:
    statement = select(schema.inbox.c.version, schema.inbox.c.payload).where(schema.inbox.c.object_id == object_id)
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(statement.order_by(schema.inbox.c.version))]


def latest(engine: Engine, **options: Any) -> dict[str, dict[str, Any]]:
    with engine.connect() as connection:
        return inbox.latest(connection, tenant=TENANT, source="clockify", object_type="time_entry", **options)


def test_what_goes_there_and_back_has_three_versions(clean_store: Engine) -> None:
    """A → B → A: kept by content alone, the second A would be taken for the first, and B would stay billed."""
    for minutes in (60, 50, 60):
        with clean_store.begin() as connection:
            assert len(record(connection, {"e1": {"minutes": minutes}})) == 1
    assert versions(clean_store) == [(1, {"minutes": 60}), (2, {"minutes": 50}), (3, {"minutes": 60})]
    assert latest(clean_store) == {"e1": {"minutes": 60}}


def test_the_same_again_is_only_seen_again(clean_store: Engine) -> None:
    """Each sweep would double the inbox."""
    later = NOW + dt.timedelta(hours=1)
    with clean_store.begin() as connection:
        record(connection, {"e1": {"a": 1, "b": 2}})
        assert record(connection, {"e1": {"b": 2, "a": 1}}, now=later) == []
        assert connection.execute(select(schema.source_object.c.last_seen_at)).scalar_one() == later
    assert len(versions(clean_store)) == 1


def test_only_what_changed_is_answered_with(clean_store: Engine) -> None:
    """Entries that nobody touched would get new revisions, or changed ones none."""
    with clean_store.begin() as connection:
        record(connection, {"e1": {"m": 1}, "e2": {"m": 1}})
        stored = record(connection, {"e1": {"m": 1}, "e2": {"m": 2}, "e3": {"m": 1}})
    assert {(s.object_id, s.body["m"]) for s in stored} == {("e2", 2), ("e3", 1)}
    assert latest(clean_store, object_ids=["e2", "e404"]) == {"e2": {"m": 2}}


def test_an_object_that_comes_twice_in_one_reading_counts_as_it_came_last(clean_store: Engine) -> None:
    """A page that shifts while it is read would stop the whole sweep."""
    payloads = [Payload(object_id="e1", body={"m": m}) for m in (1, 2)]
    with clean_store.begin() as connection:
        identity = {"tenant": TENANT, "source": "clockify", "object_type": "time_entry"}
        assert len(inbox.record(connection, **identity, payloads=payloads, arrived_by="sweep", now=NOW)) == 1
    assert latest(clean_store) == {"e1": {"m": 2}}


def test_twenty_writers_at_once_make_one_version_a_change(clean_store: Engine) -> None:
    """Fault 17: the same webhook many times at once would be as many revisions, or an error."""

    def write(number: int) -> int:
        with clean_store.begin() as connection:
            return len(record(connection, {"e1": {"m": 1}, f"own-{number}": {"m": number}, "e2": {"m": 1}}))

    with ThreadPoolExecutor(20) as pool:
        stored = list(pool.map(write, range(20)))
    assert sum(stored) == 2 + 20
    assert len(versions(clean_store, "e1")) == len(versions(clean_store, "e2")) == 1


def test_twenty_writers_of_different_contents_make_versions_without_a_gap(clean_store: Engine) -> None:
    """Two writers that both call theirs the second version: one of them fails, and its change is lost."""

    def write(number: int) -> None:
        with clean_store.begin() as connection:
            record(connection, {"e1": {"m": number}})

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(write, range(20)))
    found = versions(clean_store)
    assert [version for version, _ in found] == list(range(1, 21))
    assert latest(clean_store)["e1"] == found[-1][1]


def test_a_slow_reading_does_not_overwrite_a_later_one(clean_store: Engine) -> None:
    """A sweep of ten minutes would undo the edit that a webhook brought meanwhile, until the next sweep."""
    began, later = NOW, NOW + dt.timedelta(minutes=5)
    with clean_store.begin() as connection:
        record(connection, {"e1": {"m": 60}}, now=NOW - dt.timedelta(days=1))
        record(connection, {"e1": {"m": 50}}, now=later)
        assert record(connection, {"e1": {"m": 60}, "e2": {"m": 1}}, now=began)[0].object_id == "e2"
    assert latest(clean_store)["e1"] == {"m": 50}


def test_a_clock_that_was_put_back_does_not_stop_reading(clean_store: Engine) -> None:
    """Fault 25: for a day nothing that is read would be kept."""
    with clean_store.begin() as connection:
        record(connection, {"e1": {"m": 60}}, now=NOW + dt.timedelta(days=1))
        assert len(record(connection, {"e1": {"m": 50}}, now=NOW)) == 1


def test_text_that_postgresql_cannot_hold_is_one_objects_trouble(clean_store: Engine) -> None:
    """A NUL in one description would keep a whole company's time out."""
    with clean_store.begin() as connection:
        stored = record(connection, {"e1": {"d": "a\x00b", "\ud800": ["\udfff"]}, "e2": {"d": "fine"}})
        assert record(connection, {"e1": {"d": "a\x00b", "\ud800": ["\udfff"]}}) == []
    assert {s.object_id for s in stored} == {"e1", "e2"}
    assert latest(clean_store)["e1"] == {"d": "a�b", "�": ["�"]}
    assert stored[0].body["d"] == "a\x00b", "whoever reads it must see that it is not well formed"


def test_tenants_and_sources_do_not_meet(clean_store: Engine) -> None:
    """One company's entry would be another one's."""
    with clean_store.begin() as connection:
        record(connection, {"e1": {"m": 1}}, tenant="other")
        assert len(record(connection, {"e1": {"m": 1}})) == 1
    assert latest(clean_store) == {"e1": {"m": 1}}
