"""The sensor at the edge: partitions that something has touched become runs of just those partitions.

A tick waits for the database's notification instead of looking once and leaving: the daemon comes by every five
seconds, and an approval should not wait for it. What follows from what was found is a pure function.
"""

import datetime as dt
import json
from collections.abc import Collection, Sequence
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
CHANGED_AT_TAG = "psa_erp/changed_at"


def requests_for(touched: Sequence["Touched"], now: dt.datetime) -> list[dg.RunRequest]:
    """One run for each touched partition, for the contracts concerned.

    The run key has the partition and its latest change: a change is asked for once, and once more each ten minutes
    while it still waits. Partitions outside of the months that there are keys for are left out.
    """
    known, _ = runnable(t.partition for t in touched)
    return [
        dg.RunRequest(
            partition_key=key_of(t.partition),
            run_key=_run_key(t, now),
            tags={
                CONTRACTS_TAG: json.dumps(sorted(t.contracts, key=lambda c: c or "")),
                CHANGED_AT_TAG: t.changed_at.isoformat(),
            },
        )
        for t in touched
        if t.partition in known
    ]


def news(requests: Sequence[dg.RunRequest], asked: Collection[str | None]) -> list[dg.RunRequest]:
    """The requests that were not made before."""
    return [request for request in requests if request.run_key not in asked]


def _run_key(touched: "Touched", now: dt.datetime) -> str:
    again = max(0, (now - touched.changed_at) // ASK_AGAIN_AFTER)
    return f"{key_of(touched.partition)}@{touched.changed_at.isoformat()}" + (f"+{again}" if again else "")


@dg.sensor(
    job=jobs.near_real_time,
    minimum_interval_seconds=1,
    default_status=dg.DefaultSensorStatus.RUNNING,
    required_resource_keys={RUNTIME},
    description="Asks for a run of each partition with approvals that were not planned yet, or with postings that "
    "should have moved on, limited to the contracts concerned. Woken by the commit of a change.",
)
def approvals_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """One tick. The cursor is the run keys of what still waits, so that they are asked for once."""
    from psa_erp_assets.services.touched import wait_for_touched  # noqa: PLC0415 - services are imported by ticks alone

    runtime = runtime_of(context)
    asked = frozenset(json.loads(context.cursor or "[]"))
    found = wait_for_touched(
        runtime, PATIENCE, lambda touched: bool(news(requests_for(touched, runtime.clock()), asked))
    )
    requests = requests_for(found, runtime.clock())
    _, outside = runnable(t.partition for t in found)
    if outside:
        context.log.warning(f"no partition keys for {', '.join('|'.join(p) for p in outside)}")
    wanted = news(requests, asked)
    if not wanted and {request.run_key for request in requests} == asked:
        return dg.SkipReason("nothing has been touched" if not found else "what waits was asked for")
    new_entities = {t.partition[0] for t in found} - set(context.instance.get_dynamic_partitions(ENTITY))
    return dg.SensorResult(
        run_requests=wanted,
        cursor=json.dumps([request.run_key for request in requests]),
        dynamic_partitions_requests=[LEGAL_ENTITIES.build_add_request(sorted(new_entities))] if new_entities else None,
    )


SENSORS = [approvals_sensor]
