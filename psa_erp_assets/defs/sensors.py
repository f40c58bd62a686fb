"""The sensor at the edge: partitions that something has touched become runs of just those partitions.

A tick waits for the database's notification instead of looking once and leaving: the daemon comes by every five
seconds, and an approval should not wait for it. What follows from what was found is a pure function.
"""

import datetime as dt
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dagster as dg

from psa_erp_assets.defs import jobs
from psa_erp_assets.defs.assets.posting import CONTRACTS_TAG
from psa_erp_assets.defs.partitions import ENTITY, LEGAL_ENTITIES, key_of, runnable
from psa_erp_assets.defs.resources import RUNTIME, runtime_of

if TYPE_CHECKING:
    from psa_erp_assets.services.touched import Touched

# The daemon sleeps for what is left of five seconds after its sensors' ticks: a tick of five leaves no gap.
PATIENCE = dt.timedelta(seconds=5)
# A run that failed left its partition touched, and the change alone would not ask for another.
ASK_AGAIN_AFTER = dt.timedelta(minutes=10)
SINCE_TAG = "psa_erp/since"


@dataclass(frozen=True, slots=True)
class UnderWay:
    """Partition keys of the job's runs that are not over: those that have not begun, and those that have."""

    queued: frozenset[str] = frozenset()
    begun: frozenset[str] = frozenset()


def requests_for(touched: Sequence["Touched"], now: dt.datetime, under_way: UnderWay) -> list[dg.RunRequest]:
    """One run for each touched partition that no run under way takes care of, for the contracts concerned.

    A run that has not begun will plan what has changed by then. Postings that are due are left to any run that has
    begun, as its engine takes along all of them. The run key has the partition and what it is asked for: a change is
    asked for once, and once more each ten minutes while it still waits. Partitions outside of the months that there
    are keys for are left out.
    """
    known, _ = runnable(t.partition for t in touched)
    requests = []
    for t in touched:
        if t.partition not in known or key_of(t.partition) in under_way.queued:
            continue
        since = t.changed_at or (None if under_way.begun else t.due_at)
        if since is not None:
            tags = {CONTRACTS_TAG: json.dumps(sorted(t.contracts, key=lambda c: c or "")), SINCE_TAG: since.isoformat()}
            key = key_of(t.partition)
            requests.append(dg.RunRequest(partition_key=key, run_key=_run_key(key, since, now), tags=tags))
    return requests


def news(requests: Sequence[dg.RunRequest], asked: Collection[str | None]) -> list[dg.RunRequest]:
    """The requests that were not made before."""
    return [request for request in requests if request.run_key not in asked]


def _run_key(key: str, since: dt.datetime, now: dt.datetime) -> str:
    again = max(0, (now - since) // ASK_AGAIN_AFTER)
    return f"{key}@{since.isoformat()}" + (f"#{again}" if again else "")


def _under_way(instance: dg.DagsterInstance) -> UnderWay:
    def keys(*statuses: dg.DagsterRunStatus) -> frozenset[str]:
        runs = instance.get_runs(dg.RunsFilter(job_name=jobs.near_real_time.name, statuses=list(statuses)))
        return frozenset(run.tags["dagster/partition"] for run in runs if "dagster/partition" in run.tags)

    status = dg.DagsterRunStatus
    return UnderWay(keys(status.NOT_STARTED, status.QUEUED), keys(status.STARTING, status.STARTED))


@dg.sensor(
    job=jobs.near_real_time,
    minimum_interval_seconds=1,
    default_status=dg.DefaultSensorStatus.RUNNING,
    required_resource_keys={RUNTIME},
    description="Asks for a run of each partition with approvals that were not planned yet, or with postings that "
    "should have moved on, limited to the contracts concerned. Woken by the commit of a change.",
)
def approvals_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """One tick. The cursor is the run keys of what still waited at the last one that asked for something."""
    from psa_erp_assets.services.touched import wait_for_touched  # noqa: PLC0415 - services are imported by ticks alone

    runtime = runtime_of(context)
    asked = frozenset(json.loads(context.cursor or "[]"))

    def requests(touched: Sequence["Touched"]) -> list[dg.RunRequest]:
        return requests_for(touched, runtime.clock(), _under_way(context.instance)) if touched else []

    found = wait_for_touched(runtime, PATIENCE, lambda touched: bool(news(requests(touched), asked)))
    wanted = requests(found)
    _, outside = runnable(t.partition for t in found)
    if outside:
        context.log.warning(f"no partition keys for {', '.join('|'.join(p) for p in outside)}")
    fresh = news(wanted, asked)
    if not fresh:
        return dg.SkipReason("what was touched is under way" if found else "nothing has been touched")
    new_entities = {t.partition[0] for t in found} - set(context.instance.get_dynamic_partitions(ENTITY))
    return dg.SensorResult(
        run_requests=fresh,
        cursor=json.dumps([request.run_key for request in wanted]),
        dynamic_partitions_requests=[LEGAL_ENTITIES.build_add_request(sorted(new_entities))] if new_entities else None,
    )


SENSORS = [approvals_sensor]
