"""From what was touched to the runs that are asked for."""

import datetime as dt
import json
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import insert

from psa_erp_assets.adapters.store import schema, time_entries
from psa_erp_assets.adapters.store.touched import Touched
from psa_erp_assets.definitions import build_defs
from psa_erp_assets.defs.assets.posting import CONTRACTS_TAG
from psa_erp_assets.defs.requests import ASK_AGAIN_AFTER, UnderWay, news, requests_for
from psa_erp_assets.defs.sensors import approvals_sensor
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.decision import Route
from psa_erp_assets.domain.records import ApprovalState, TimeEntry
from psa_erp_assets.services.runtime import Runtime, open_runtime
from psa_erp_assets.settings import Settings

# Dagster itself names the tags of a key of two dimensions so.
pytestmark = pytest.mark.filterwarnings("ignore:Non-compliant tag keys:DeprecationWarning")

NOW = dt.datetime(2026, 10, 5, 9, 0, tzinfo=dt.UTC)


IDLE = UnderWay()


def touched(
    entity: str = "UK",
    month: str = "2026-09",
    *,
    changed: dt.datetime | None = NOW,
    due: dt.datetime | None = None,
    contracts: tuple[str | None, ...] = ("CTR-0001",),
) -> Touched:
    return Touched(partition=(entity, month), contracts=contracts, changed_at=changed, due_at=due, items=1)


def keys(requests: Sequence[dg.RunRequest]) -> list[str]:
    return [str(request.partition_key) for request in requests]


def test_each_touched_partition_becomes_one_run_limited_to_its_contracts() -> None:
    """A run of the whole month for one approval would cost as much as the month has entries."""
    requests = requests_for([touched(), touched("US", contracts=("CTR-0002", None))], NOW, IDLE)
    assert keys(requests) == ["UK|2026-09", "US|2026-09"]
    assert [json.loads(r.tags[CONTRACTS_TAG]) for r in requests] == [["CTR-0001"], [None, "CTR-0002"]]


def test_one_change_is_asked_for_once_and_the_next_one_again() -> None:
    """The same run over and over would keep the machine busy; a lost later change would never be billed."""
    asked = {r.run_key for r in requests_for([touched()], NOW, IDLE)}
    soon = NOW + dt.timedelta(seconds=5)
    assert news(requests_for([touched()], soon, IDLE), asked) == []
    assert len(news(requests_for([touched(changed=NOW + dt.timedelta(seconds=1))], soon, IDLE), asked)) == 1


def test_what_still_waits_after_a_while_is_asked_for_again() -> None:
    """A run that failed would otherwise leave its approvals unbilled until somebody looks."""
    asked = {r.run_key for r in requests_for([touched()], NOW, IDLE)}
    assert len(news(requests_for([touched()], NOW + ASK_AGAIN_AFTER, IDLE), asked)) == 1


def test_a_clock_that_is_ahead_changes_no_key() -> None:
    """The change is stamped by another process; a moment's difference must not ask for the same run twice."""
    [ahead] = requests_for([touched(changed=NOW)], NOW - dt.timedelta(seconds=3), IDLE)
    [later] = requests_for([touched(changed=NOW)], NOW, IDLE)
    assert ahead.run_key == later.run_key


def test_a_run_that_has_not_begun_takes_the_change_along() -> None:
    """Under a flood of approvals each would otherwise queue a run of its own."""
    assert requests_for([touched()], NOW, UnderWay(queued=frozenset({"UK|2026-09"}))) == []


def test_a_run_that_has_begun_may_have_planned_already() -> None:
    """It would be a lost update to rely on it."""
    assert keys(requests_for([touched()], NOW, UnderWay(begun=frozenset({"UK|2026-09"})))) == ["UK|2026-09"]


def test_postings_that_are_due_ask_for_a_run_only_while_no_engine_works() -> None:
    """A posting in doubt must be looked up by somebody; an engine that is at work on the entity will do it."""
    due = touched(changed=None, due=NOW)
    assert keys(requests_for([due], NOW, IDLE)) == ["UK|2026-09"]
    assert requests_for([due], NOW, UnderWay(begun=frozenset({"UK|2026-10"}))) == []
    assert keys(requests_for([due], NOW, UnderWay(begun=frozenset({"US|2026-09"})))) == ["UK|2026-09"]


def test_a_month_without_a_key_does_not_stop_the_others() -> None:
    """One entry dated 1999 must not hold up everybody's billing."""
    assert keys(requests_for([touched(month="1999-12"), touched()], NOW, IDLE)) == ["UK|2026-09"]


@pytest.fixture
def runtime(stores: Settings) -> Iterator[Runtime]:
    with open_runtime(stores) as opened:
        yield opened


def record(runtime: Runtime, name: str, *, state: ApprovalState = ApprovalState.APPROVED) -> None:
    """A time entry of the UK in September, as extraction leaves it."""
    now, tenant = runtime.clock(), runtime.settings.tenant
    entry_id = f"time_entry:clockify:{name}"
    with runtime.engine.begin() as connection:
        payload = connection.execute(
            insert(schema.inbox)
            .values(
                tenant=tenant,
                source="clockify",
                object_type="time_entry",
                object_id=name,
                version=1,
                content_hash=name,
                payload={},
                arrived_by="sweep",
                received_at=now,
            )
            .returning(schema.inbox.c.id)
        ).scalar_one()
        entry = TimeEntry(
            id=entry_id,
            revision=1,
            state=state,
            psa_user_id="u1",
            psa_project_id="p1",
            service_date=dt.date(2026, 9, 14),
            minutes=60,
            billable=True,
            description="",
            started_at=dt.datetime(2026, 9, 14, 9, tzinfo=dt.UTC),
            time_zone="Europe/London",
            payload_id=payload,
        )
        route = Route("UK", ServiceMonth(2026, 9), "CTR-0001")
        time_entries.add_revisions(connection, tenant=tenant, entries=[entry], routes={entry_id: route}, now=now)


def tick(runtime: Runtime, daemon_instance: dg.DagsterInstance, cursor: str | None = None) -> Any:
    """What the daemon gets from one tick."""
    defs = build_defs(runtime.settings)
    with (
        dg.build_sensor_context(
            instance=daemon_instance,
            instance_ref=daemon_instance.get_ref(),
            cursor=cursor,
            definitions=defs,
            resources={"runtime": runtime},
        ) as context,
    ):
        return approvals_sensor.evaluate_tick(context)


def test_a_tick_asks_for_what_is_dirty_and_makes_the_key_of_a_new_entity(
    runtime: Runtime, daemon_instance: dg.DagsterInstance
) -> None:
    """Without the entity's key the run that is asked for would be refused."""
    record(runtime, "a")
    first = tick(runtime, daemon_instance)
    assert [str(r.partition_key) for r in first.run_requests] == ["UK|2026-09"]
    [request] = first.dynamic_partitions_requests
    assert list(request.partition_keys) == ["UK"]
    began = time.monotonic()
    second = tick(runtime, daemon_instance, first.cursor)
    assert not second.run_requests
    assert second.skip_message
    assert time.monotonic() - began > 3, "with nothing new it waits, as the daemon would only come back in five seconds"


def test_drafts_ask_for_nothing(runtime: Runtime, daemon_instance: dg.DagsterInstance) -> None:
    """People write drafts all day; each would cost a run that has nothing to do."""
    record(runtime, "a", state=ApprovalState.DRAFT)
    assert not tick(runtime, daemon_instance).run_requests


def test_a_commit_ends_the_wait_at_once(runtime: Runtime, daemon_instance: dg.DagsterInstance) -> None:
    """The wait is part of the ten seconds within which an approval is in the ERP."""
    runtime.engine.connect().close()
    committed: list[float] = []

    def approve() -> None:
        time.sleep(1)
        record(runtime, "a")
        committed.append(time.monotonic())

    thread = threading.Thread(target=approve)
    thread.start()
    result = tick(runtime, daemon_instance)
    answered = time.monotonic()
    thread.join()
    assert len(result.run_requests) == 1
    assert answered - committed[0] < 1
