"""Which partitions each schedule asks for."""

import datetime as dt

import dagster as dg
import pytest

from psa_erp_assets.definitions import build_defs
from psa_erp_assets.defs import schedules
from psa_erp_assets.services.runtime import open_runtime
from psa_erp_assets.settings import Settings

# Dagster itself names the tags of a key of two dimensions so.
pytestmark = pytest.mark.filterwarnings("ignore:Non-compliant tag keys:DeprecationWarning")

TICK = dt.datetime(2026, 11, 2, 6, 0, tzinfo=dt.UTC)


def requests_of(
    defs: dg.Definitions, schedule: dg.ScheduleDefinition, daemon_instance: dg.DagsterInstance, **resources: object
) -> list[dg.RunRequest]:
    """What the daemon gets from the schedule's tick."""
    with dg.build_schedule_context(
        instance=daemon_instance,
        scheduled_execution_time=TICK,
        repository_def=defs.get_repository_def(),
        resources=dict(resources),
    ) as context:
        return list(schedule.evaluate_tick(context).run_requests or ())


def test_the_billing_run_is_of_the_month_before_for_every_entity(
    defs: dg.Definitions, daemon_instance: dg.DagsterInstance
) -> None:
    """An entity that is left out would not invoice its month."""
    daemon_instance.add_dynamic_partitions("legal_entity", ["US", "UK", "DE"])
    requests = requests_of(defs, schedules.monthly_billing_run, daemon_instance)
    assert [str(r.partition_key) for r in requests] == ["DE|2026-10", "UK|2026-10", "US|2026-10"]


def test_the_month_before_january_is_december() -> None:
    """At the turn of the year the month before has another year."""
    assert schedules.months_before(dt.datetime(2027, 1, 2, tzinfo=dt.UTC), 3) == ["2027-01", "2026-12", "2026-11"]


def test_one_tick_asks_for_a_partition_once() -> None:
    """A partition that is recent and has changed stands in both lists."""
    requests = schedules.month_requests([("UK", "2026-10"), ("UK", "2026-10"), ("UK", "1999-01")], TICK)
    assert [str(r.partition_key) for r in requests] == ["UK|2026-10"]


def test_the_nightly_sweep_is_a_complete_one(defs: dg.Definitions, daemon_instance: dg.DagsterInstance) -> None:
    """Without it an entry that was deleted in the PSA, whose webhook was lost, would stay billed."""
    [request] = requests_of(defs, schedules.nightly_sweep, daemon_instance)
    assert request.run_config["ops"] == {"time_entry_inbox": {"config": {"complete": True}}}


def test_with_nothing_changed_the_hourly_and_nightly_looks_ask_for_nothing(
    stores: Settings, daemon_instance: dg.DagsterInstance
) -> None:
    """An idle company must not keep the machine busy."""
    defs = build_defs(stores)
    with open_runtime(stores) as runtime:
        assert requests_of(defs, schedules.hourly_changes, daemon_instance, runtime=runtime) == []
        assert requests_of(defs, schedules.nightly_reconciliation, daemon_instance, runtime=runtime) == []


def test_every_schedule_and_sensor_runs_from_the_start(defs: dg.Definitions) -> None:
    """`psa-erp up` is to work untouched."""
    assert all(s.default_status is dg.DefaultScheduleStatus.RUNNING for s in schedules.SCHEDULES)


def test_projects_are_read_each_hour(defs: dg.Definitions) -> None:
    """No webhook of the PSA announces that a project was closed: nothing else would find it."""
    job = defs.resolve_job_def(schedules.hourly_extraction.job_name)
    assert job.asset_layer is not None
    assert dg.AssetKey("projects") in job.asset_layer.executable_asset_keys
    assert schedules.hourly_extraction.cron_schedule == "5 * * * *"
