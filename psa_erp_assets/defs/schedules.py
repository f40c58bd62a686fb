"""Schedules, all in UTC and all running from the start: none of them does anything that a person must have agreed to.

Drafts alone are made in the ERP; what is posted there is posted by finance. A schedule can be stopped in the UI.
"""

import datetime as dt

import dagster as dg

from psa_erp_assets.defs import jobs
from psa_erp_assets.defs.partitions import ENTITY, Partition, key_of, runnable
from psa_erp_assets.defs.resources import RUNTIME, runtime_of
from psa_erp_assets.domain.calendar import ServiceMonth

_RUNNING = dg.DefaultScheduleStatus.RUNNING
_COMPLETE = dg.RunConfig(ops={"time_entry_inbox": {"config": {"complete": True}}})
# A little more than the time between two looks, so that a late tick leaves nothing out.
_THE_LAST_HOURS, _THE_LAST_DAY = dt.timedelta(hours=2), dt.timedelta(hours=26)
NIGHTLY_MONTHS = 3
"""How many service months, the current one included, are reconciled each night whether or not they changed."""


def month_requests(partitions: list[Partition], tick: dt.datetime) -> list[dg.RunRequest]:
    """A run for each partition that there is a key for, once a tick."""
    known, _ = runnable(sorted(set(partitions)))
    return [dg.RunRequest(partition_key=key_of(p), run_key=f"{key_of(p)}@{tick.isoformat()}") for p in known]


def months_before(tick: dt.datetime, count: int) -> list[str]:
    """The month that `tick` is in and those before it, `count` in all, latest first."""
    month = ServiceMonth.of(tick.date())
    months = []
    for _ in range(count):
        months.append(str(month))
        month = ServiceMonth.of(month.first_day - dt.timedelta(days=1))
    return months


@dg.schedule(
    cron_schedule="20 * * * *",
    job=jobs.month_sync,
    default_status=_RUNNING,
    required_resource_keys={RUNTIME},
    description="Each hour: the partitions that changed lately, copied to the lake, read back and reconciled.",
)
def hourly_changes(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest]:
    """A run for each partition that changed lately."""
    from psa_erp_assets.services.touched import changed_partitions  # noqa: PLC0415 - services are imported by ticks alone

    changed = changed_partitions(runtime_of(context), _THE_LAST_HOURS)
    return month_requests(changed, context.scheduled_execution_time)


@dg.schedule(
    cron_schedule="5 1 * * *",
    job=jobs.extraction,
    default_status=_RUNNING,
    description="Each night: everything in the PSA, with a look for what was deleted there.",
)
def nightly_sweep(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """One complete sweep."""
    return dg.RunRequest(run_key=f"complete@{context.scheduled_execution_time.isoformat()}", run_config=_COMPLETE)


@dg.schedule(
    cron_schedule="40 1 * * *",
    job=jobs.month_sync,
    default_status=_RUNNING,
    required_resource_keys={RUNTIME},
    description="Each night: read back and reconcile the last three service months, and older ones that changed.",
)
def nightly_reconciliation(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest]:
    """A run for each partition that has time entries and is recent, or changed within the day."""
    from psa_erp_assets.services import sync  # noqa: PLC0415
    from psa_erp_assets.services.touched import changed_partitions  # noqa: PLC0415

    runtime, tick = runtime_of(context), context.scheduled_execution_time
    recent = months_before(tick, NIGHTLY_MONTHS)
    filled = [p for p in sync.all_partitions(runtime) if p[1] in recent]
    return month_requests(filled + changed_partitions(runtime, _THE_LAST_DAY), tick)


def _whole(
    name: str, job: "dg.UnresolvedAssetJobDefinition", cron_schedule: str, description: str
) -> dg.ScheduleDefinition:
    """A run of a job without partitions at each tick."""
    return dg.ScheduleDefinition(
        name=name, job=job, cron_schedule=cron_schedule, default_status=_RUNNING, description=description
    )


hourly_extraction = _whole(
    "hourly_extraction",
    jobs.extraction,
    "5 * * * *",
    "Each hour: master data, and what changed in the PSA since the last sweep.",
)
hourly_checks = _whole(
    "hourly_checks", jobs.table_checks, "50 * * * *", "Each hour: the contracts and invariants of the month tables."
)
nightly_key_sweep = _whole(
    "nightly_key_sweep",
    jobs.key_sweep,
    "45 0 * * *",
    "Each night: the keys of CRM and HR, for what no event told of and what is gone.",
)
nightly_reporting = _whole(
    "nightly_reporting", jobs.reporting, "30 3 * * *", "Each night: the SQL models and the reporting file."
)
nightly_lake_upkeep = _whole(
    "nightly_lake_upkeep", jobs.lake_maintenance, "15 4 * * *", "Each night: upkeep of the lake."
)


@dg.schedule(
    cron_schedule="0 6 2 * *",
    job=jobs.month_sync,
    default_status=_RUNNING,
    description="On the second of each month, when everybody's month has ended: the billing run of the month before, "
    "for every legal entity, so that finance finds all drafts in the ERP.",
)
def monthly_billing_run(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest]:
    """A run for each legal entity."""
    tick = context.scheduled_execution_time
    entities = context.instance.get_dynamic_partitions(ENTITY)
    return month_requests([(entity, months_before(tick, 2)[1]) for entity in entities], tick)


SCHEDULES = [
    hourly_extraction,
    hourly_changes,
    hourly_checks,
    nightly_key_sweep,
    nightly_sweep,
    nightly_reconciliation,
    nightly_reporting,
    nightly_lake_upkeep,
    monthly_billing_run,
]
