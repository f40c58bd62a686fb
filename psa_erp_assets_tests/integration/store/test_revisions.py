"""From payloads to revisions, and from changed master data to just the entries that depend on it."""

import datetime as dt

import pytest
from sqlalchemy import Engine

from psa_erp_assets.adapters.store import cursors, exceptions, time_entries, work_heads
from psa_erp_assets.adapters.store.inbox import Payload
from psa_erp_assets.domain.master import MasterData
from psa_erp_assets.domain.records import ApprovalState, TimeEntry
from psa_erp_assets.domain.values import replace
from psa_erp_assets.services import planning, touching
from psa_erp_assets_tests.support.facts import (
    CONTRACT,
    EMPLOYEE,
    PROJECT,
    TENANT,
    bill_rate,
    cost_rate,
    fx_rate,
    make_master,
)
from psa_erp_assets_tests.support.store import NOW, SCOPE, keep_master, psa_payload, receive

SEPTEMBER, OCTOBER = ("UK", "2026-09"), ("UK", "2026-10")
ENTRY = "time_entry:clockify:e1"


def later(minutes: int) -> dt.datetime:
    return NOW + dt.timedelta(minutes=minutes)


def entry(engine: Engine, entry_id: str = ENTRY) -> TimeEntry:
    with engine.connect() as connection:
        [found] = time_entries.current(connection, TENANT, [entry_id])
    return found


def dirty(engine: Engine) -> dict[tuple[str, str], list[str | None]]:
    with engine.connect() as connection:
        return work_heads.dirty_partitions(connection, TENANT)


def dirty_entries(engine: Engine, partition: tuple[str, str] = SEPTEMBER) -> set[str]:
    with engine.connect() as connection:
        return {i.rsplit(":", 1)[1] for i in work_heads.dirty_objects(connection, TENANT, partition)}


def sync(engine: Engine, minute: int, partition: tuple[str, str] = SEPTEMBER) -> None:
    plan = planning.make_plan(engine, SCOPE, partition, now=later(minute), created_by="test")
    planning.apply_plan(engine, SCOPE, plan.id, now=later(minute))


def touch(engine: Engine, master: MasterData, minute: int) -> int:
    keep_master(engine, master, later(minute))
    with engine.begin() as connection:
        return touching.mark_touched(connection, SCOPE, later(minute))


def codes(engine: Engine, *, resolved: bool = False) -> set[tuple[str, str]]:
    with engine.connect() as connection:
        return {(i["code"], i["object_id"]) for i in exceptions.list_items(connection, TENANT, resolved=resolved)}


def test_a_change_of_the_payload_alone_is_no_revision(clean_store: Engine) -> None:
    """An approval that was given twice would credit and rebill the entry."""
    keep_master(clean_store)
    assert receive(clean_store, psa_payload()).revised == (ENTRY,)
    again = psa_payload()
    again.body["approval"]["updated_at"] = "2026-10-02T00:00:00Z"
    received = receive(clean_store, again, now=later(1))
    assert (received.new_versions, received.revised, received.malformed) == (1, (), 0)
    assert entry(clean_store).revision == 1


@pytest.mark.parametrize("changes", [{"taskId": "t9", "task": "Design"}, {"tags": ["Overtime"]}])
def test_a_task_and_a_kind_of_work_are_facts(clean_store: Engine, changes: dict[str, object]) -> None:
    """They choose the rate: overtime would be billed at the rate of what it was recorded as at first."""
    keep_master(clean_store)
    receive(clean_store, psa_payload())
    assert receive(clean_store, psa_payload(**changes), now=later(1)).revised == (ENTRY,)
    found = entry(clean_store)
    assert (found.task, found.work_types) in {("Design", ()), (None, ("overtime",))}


def test_each_change_of_the_facts_is_the_next_revision(clean_store: Engine) -> None:
    """Edge case 22: approved, un-approved, edited, approved again: the latest counts, and no other."""
    keep_master(clean_store)
    steps = [(50, "APPROVED"), (50, "WITHDRAWN_APPROVAL"), (40, "WITHDRAWN_APPROVAL"), (40, "APPROVED")]
    for number, (minutes, state) in enumerate(steps, start=1):
        receive(clean_store, psa_payload(minutes=minutes, state=state), now=later(number))
        assert entry(clean_store).revision == number
    assert (entry(clean_store).minutes, entry(clean_store).state) == (40, ApprovalState.APPROVED)


def test_a_tombstone_keeps_what_was_there(clean_store: Engine) -> None:
    """Edge case 19: without its month and contract nobody could find what is to be credited."""
    keep_master(clean_store)
    receive(clean_store, psa_payload())
    receive(clean_store, psa_payload(deleted=True), now=later(1))
    gone = entry(clean_store)
    assert (gone.state, gone.minutes, gone.revision) == (ApprovalState.DELETED, 50, 2)
    assert dirty(clean_store) == {SEPTEMBER: ["CTR-0001"]}
    assert receive(clean_store, psa_payload(deleted=True), now=later(2)).new_versions == 0


def test_an_entry_that_was_deleted_before_it_was_read_is_nothing(clean_store: Engine) -> None:
    """There is no day on which to put it, and nothing to take back."""
    body = {"id": "e1", "user_id": "u1", "time_zone": None, "deleted": True, "approval": None, "entry": None}
    assert receive(clean_store, Payload(object_id="e1", body=body)).revised == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"description": "a\x00b"},
        {"description": "\ud800"},
        {"billable": "maybe"},
        {"timeInterval": {"start": "yesterday", "end": None}},
        {"timeInterval": {"start": "2026-09-14T14:00:00Z", "end": "2026-09-14T13:00:00Z"}},
        {"timeInterval": {"start": "9999-12-31T23:59:59Z", "end": None}},
        {"type": "NAP"},
    ],
)
def test_an_entry_that_cannot_be_understood_holds_up_no_other(clean_store: Engine, changes: dict[str, object]) -> None:
    """Edge case 20, fault 20: one bad row would reject its whole batch, or vanish."""
    keep_master(clean_store)
    received = receive(clean_store, psa_payload("bad", **changes), psa_payload("e1"))
    assert (received.malformed, received.revised) == (1, (ENTRY,))
    assert codes(clean_store) == {("malformed_record", "time_entry:clockify:bad")}
    receive(clean_store, psa_payload("bad"), now=later(1))
    assert codes(clean_store) == set()
    assert entry(clean_store, "time_entry:clockify:bad").minutes == 50


def test_the_service_date_decides_the_month(clean_store: Engine) -> None:
    """Edge case 24: an evening of the 30th in New York is the 1st in UTC."""
    keep_master(clean_store)
    interval = {"start": "2026-10-01T02:00:00Z", "end": "2026-10-01T03:00:00Z"}
    receive(clean_store, psa_payload("night", timeInterval=interval), psa_payload("day", day=dt.date(2026, 10, 1)))
    assert set(dirty(clean_store)) == {SEPTEMBER, OCTOBER}
    assert dirty_entries(clean_store) == {"night"}


def test_what_was_planned_is_clean_until_it_changes(clean_store: Engine) -> None:
    """Every sync would plan the whole month again, or never see a late edit."""
    keep_master(clean_store)
    receive(clean_store, psa_payload("e1"), psa_payload("e2"))
    sync(clean_store, 1)
    assert dirty(clean_store) == {}
    receive(clean_store, psa_payload("e2", 40), now=later(2))
    assert dirty_entries(clean_store) == {"e2"}


def test_a_plan_that_is_only_looked_at_leaves_its_entries_dirty(clean_store: Engine) -> None:
    """A preview would take the place of the sync."""
    keep_master(clean_store)
    receive(clean_store, psa_payload())
    planning.make_plan(clean_store, SCOPE, SEPTEMBER, now=later(1), created_by="test")
    assert dirty_entries(clean_store) == {"e1"}


def test_a_plan_that_is_only_looked_at_does_not_hide_what_master_data_changed(clean_store: Engine) -> None:
    """The decision is on record then, and the change of rate would look as if it had been dealt with."""
    keep_master(clean_store)
    receive(clean_store, psa_payload())
    sync(clean_store, 1)
    keep_master(clean_store, make_master(bill_rates=(bill_rate("120.00"),)), later(2))
    planning.make_plan(clean_store, SCOPE, SEPTEMBER, now=later(3), created_by="test")
    assert dirty_entries(clean_store) == {"e1"}
    sync(clean_store, 4)
    assert dirty(clean_store) == {}


def test_a_reading_that_began_before_the_planning_and_ended_after_it_makes_dirty(clean_store: Engine) -> None:
    """A sweep takes minutes: what it brings bears the time of its beginning, and would never be planned."""
    keep_master(clean_store)
    receive(clean_store, psa_payload())
    sync(clean_store, 5)
    receive(clean_store, psa_payload(minutes=40), now=later(1))
    assert dirty_entries(clean_store) == {"e1"}
    sync(clean_store, 6)
    assert dirty(clean_store) == {}


def test_a_change_from_a_clock_that_is_ahead_is_clean_once_it_is_planned(clean_store: Engine) -> None:
    """Fault 25: its partition would be planned over and over until the clocks meet."""
    keep_master(clean_store)
    receive(clean_store, psa_payload(), now=later(24 * 60))
    sync(clean_store, 1)
    assert dirty(clean_store) == {}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"bill_rates": (bill_rate("120.00"),)}, {"ada", "tax"}),
        ({"bill_rates": (bill_rate(), bill_rate("150.00", employee="EMP-0001"))}, {"ada"}),
        ({"cost_rates": (cost_rate("61.00"), cost_rate("80.00", id="b", employee_id="EMP-0002"))}, {"ada"}),
        ({"fx_rates": (fx_rate("USD", "GBP", "0.80"),)}, {"ada", "tax"}),
        ({"fx_rates": (fx_rate("USD", "GBP", "0.75"), fx_rate("USD", "GBP", "0.80", dt.date(2026, 9, 20)))}, {"tax"}),
        ({"fx_rates": (fx_rate("USD", "GBP", "0.75"), fx_rate("USD", "EUR", "0.85"))}, set()),
        ({"projects": (replace(PROJECT, name="Renamed"),)}, set()),
        ({"contracts": (replace(CONTRACT, valid_to=dt.date(2026, 9, 20)),)}, {"tax"}),
    ],
)
def test_changed_master_data_touch_just_what_depends_on_them(
    clean_store: Engine, changes: dict[str, tuple[object, ...]], expected: set[str]
) -> None:
    """Edge case 12: one raise would plan a month anew, or an old rate stay on what it no longer applies to."""
    people = {
        "employees": (EMPLOYEE, replace(EMPLOYEE, id="EMP-0002", psa_user_id="u2")),
        "cost_rates": (cost_rate(), cost_rate("80.00", id="b", employee_id="EMP-0002")),
    }
    keep_master(clean_store, make_master(**people))
    # Ada on the 14th, her colleague on the 25th, and one entry that is not approved.
    colleague = psa_payload("tax", day=dt.date(2026, 9, 25), user_id="u2")
    receive(clean_store, psa_payload("ada"), colleague, psa_payload("draft", state=None))
    sync(clean_store, 1)
    assert touch(clean_store, make_master(**people | changes), 2) == len(expected)
    assert dirty_entries(clean_store) == expected
    assert touch(clean_store, make_master(**people | changes), 3) == len(expected), "still to be planned"


def test_work_follows_its_contract_to_another_company(clean_store: Engine) -> None:
    """Edge case 16: it would stay in a partition that no longer plans it."""
    keep_master(clean_store)
    receive(clean_store, psa_payload())
    sync(clean_store, 1)
    touch(clean_store, make_master(contracts=(replace(CONTRACT, legal_entity="US"),)), 2)
    assert dirty(clean_store) == {("US", "2026-09"): ["CTR-0001"]}


def test_an_approval_that_came_before_its_project_is_released_by_itself(clean_store: Engine) -> None:
    """Edge case 23: held for ever, or until somebody remembers."""
    keep_master(clean_store, make_master(projects=()))
    receive(clean_store, psa_payload())
    assert dirty(clean_store) == {("US", "2026-09"): [None]}
    sync(clean_store, 1, ("US", "2026-09"))
    assert codes(clean_store) == {("unknown_project", ENTRY)}
    touch(clean_store, make_master(), 2)
    assert dirty(clean_store) == {SEPTEMBER: ["CTR-0001"]}
    sync(clean_store, 3)
    assert codes(clean_store) == set()
    assert codes(clean_store, resolved=True) == {("unknown_project", ENTRY)}


def test_a_cursor_moves_with_what_was_stored(clean_store: Engine) -> None:
    """Moved without it, the rows between two sweeps would be skipped for good."""
    common = {"tenant": TENANT, "source": "clockify", "name": "n"}
    with clean_store.connect() as connection:
        assert cursors.get(connection, **common) is None
        cursors.put(connection, **common, value="1", now=NOW)
        connection.rollback()
        assert cursors.get(connection, **common) is None
        for value in ("2", "3"):
            cursors.put(connection, **common, value=value, now=NOW)
            assert cursors.get(connection, **common) == value
