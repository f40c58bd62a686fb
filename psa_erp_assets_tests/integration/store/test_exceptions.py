"""Exception items: opened once, brought up to date, and resolved by the look that no longer sees them."""

import datetime as dt

import pytest
from sqlalchemy import Engine

from psa_erp_assets.adapters.store.exceptions import Sighting, list_items, open_or_touch, resolve_absent
from psa_erp_assets.domain.faults import FaultClass, Owner
from psa_erp_assets.services.exception_items import group_exceptions, list_exceptions

TENANT, SCOPE = "acme", "plan:US:2026-09"
FIRST = dt.datetime(2026, 10, 5, 9, tzinfo=dt.UTC)
LATER = FIRST + dt.timedelta(hours=1)


def sighting(object_id: str, detail: str = "as seen", code: str = "no_bill_rate", minutes: int = 30) -> Sighting:
    return Sighting(code=code, object_id=object_id, detail=detail, minutes=minutes)


def test_the_same_trouble_again_is_the_same_item(store_engine: Engine) -> None:
    """Each run would otherwise add a row for each held entry, and its age would start anew."""
    with store_engine.begin() as connection:
        open_or_touch(connection, TENANT, SCOPE, [sighting("e1")], FIRST)
        open_or_touch(connection, TENANT, SCOPE, [sighting("e1", "now worse", minutes=45)], LATER)
        [item] = list_exceptions(connection, TENANT)
    assert (item.first_seen_at, item.last_seen_at) == (FIRST, LATER)
    assert (item.detail, item.minutes) == ("now worse", 45)


def test_two_sightings_in_one_look_are_one_item(store_engine: Engine) -> None:
    """PostgreSQL refuses to touch one row twice in a statement; the whole look would be lost."""
    with store_engine.begin() as connection:
        open_or_touch(connection, TENANT, SCOPE, [sighting("e1", "a"), sighting("e1", "b")], FIRST)
        assert [item.detail for item in list_exceptions(connection, TENANT)] == ["b"]


def test_a_look_that_sees_nothing_opens_nothing(store_engine: Engine) -> None:
    """The ordinary case must not fail for want of rows."""
    with store_engine.begin() as connection:
        open_or_touch(connection, TENANT, SCOPE, [], FIRST)
        assert list_exceptions(connection, TENANT) == ()


def test_an_unknown_code_is_refused(store_engine: Engine) -> None:
    """An item without owner and next step is one that nobody clears."""
    with store_engine.begin() as connection, pytest.raises(KeyError):
        open_or_touch(connection, TENANT, SCOPE, [sighting("e1", code="no_such_code")], FIRST)


def test_what_is_no_longer_seen_resolves_and_may_open_again(store_engine: Engine) -> None:
    """An item whose cause has gone must leave the list by itself, and keep its history if it comes back."""
    with store_engine.begin() as connection:
        open_or_touch(connection, TENANT, SCOPE, [sighting("e1"), sighting("e2")], FIRST)
        assert resolve_absent(connection, TENANT, SCOPE, {("no_bill_rate", "e2")}, LATER) == 1
        [gone] = list_exceptions(connection, TENANT, resolved=True)
        assert (gone.object_id, gone.resolved_at, gone.resolution) == ("e1", LATER, "no longer seen")
        open_or_touch(connection, TENANT, SCOPE, [sighting("e1")], LATER)
        assert [item.object_id for item in list_exceptions(connection, TENANT)] == ["e2", "e1"]
        assert len(list_exceptions(connection, TENANT, resolved=True)) == 1


def test_a_look_resolves_nothing_beyond_what_it_looked_at(store_engine: Engine) -> None:
    """Another scope's, another tenant's and an unvisited object's trouble is still there."""
    with store_engine.begin() as connection:
        open_or_touch(connection, TENANT, SCOPE, [sighting("visited"), sighting("unvisited")], FIRST)
        open_or_touch(connection, TENANT, "posting:1", [sighting("visited")], FIRST)
        open_or_touch(connection, "other", SCOPE, [sighting("visited")], FIRST)
        assert resolve_absent(connection, TENANT, SCOPE, (), LATER, looked_at=["visited"]) == 1
        assert resolve_absent(connection, TENANT, SCOPE, (), LATER, looked_at=[]) == 0
        left = [(row["object_id"]) for row in list_items(connection, TENANT)]
        assert sorted(left) == ["unvisited", "visited"]
        assert len(list_items(connection, "other")) == 1


def test_one_code_clears_while_another_stays(store_engine: Engine) -> None:
    """An entry can lack both rates; getting one of them must not hide the other."""
    with store_engine.begin() as connection:
        both = [sighting("e1"), sighting("e1", code="no_cost_rate")]
        open_or_touch(connection, TENANT, SCOPE, both, FIRST)
        resolve_absent(connection, TENANT, SCOPE, {("no_cost_rate", "e1")}, LATER)
        assert [item.code for item in list_exceptions(connection, TENANT)] == ["no_cost_rate"]


def test_items_are_grouped_and_filtered_with_owner_and_next_step(store_engine: Engine) -> None:
    """The list is worked off by owner, the most frequent cause first."""
    with store_engine.begin() as connection:
        open_or_touch(connection, TENANT, SCOPE, [sighting("e1"), sighting("e2")], LATER)
        open_or_touch(connection, TENANT, SCOPE, [sighting("e3", code="no_cost_rate")], FIRST)
        groups = group_exceptions(connection, TENANT)
        owned = list_exceptions(connection, TENANT, owner=Owner.APPLICATION_OWNERS, fault_class=FaultClass.DATA)
    assert [(g.code, g.items, g.minutes, g.oldest_at) for g in groups] == [
        ("no_bill_rate", 2, 60, LATER),
        ("no_cost_rate", 1, 30, FIRST),
    ]
    assert all(group.next_step for group in groups)
    assert [item.object_id for item in owned] == ["e3"]
