"""The sensor at the edge: what has just been approved is in the ERP within seconds.

A tick waits for the database's notification instead of looking once and leaving: the daemon comes by every five
seconds, and an approval should not wait for it. A few changed entries are posted by the tick itself, because a run's
process takes longer to start than an approval may take altogether; the tick reports the materializations. More than
a few, and whatever fails, becomes a run of just the partition and the contracts concerned.
"""

import datetime as dt
import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from psa_erp_assets.defs import jobs, presenting
from psa_erp_assets.defs.partitions import ENTITY, LEGAL_ENTITIES, key_of, partition_of, runnable
from psa_erp_assets.defs.requests import UnderWay, news, requests_for
from psa_erp_assets.defs.resources import RUNTIME, runtime_of

if TYPE_CHECKING:
    from psa_erp_assets.services.runtime import Runtime
    from psa_erp_assets.services.touched import Touched

# The daemon sleeps for what is left of five seconds after its sensors' ticks: a tick of five leaves no gap.
PATIENCE = dt.timedelta(seconds=5)
# Posting as many takes a second or two; the daemon gives up on a tick after sixty.
FEW_ITEMS = 60


@dg.sensor(
    job=jobs.near_real_time,
    minimum_interval_seconds=1,
    default_status=dg.DefaultSensorStatus.RUNNING,
    required_resource_keys={RUNTIME},
    description="Posts approvals as they come: a few in the tick itself, more by a run of each partition that they "
    "touch, limited to the contracts concerned. Moves on postings that were left waiting, too. Woken by the commit "
    "of a change.",
)
def approvals_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """One tick. The cursor is the run keys of what was posted, or asked of a run, and still waits."""
    runtime, asked = runtime_of(context), frozenset(json.loads(context.cursor or "[]"))
    over_at = time.monotonic() + PATIENCE.total_seconds()
    posted: list[dg.AssetMaterialization] = []
    while True:
        found, waiting = _wait(context, runtime, asked, dt.timedelta(seconds=max(0.0, over_at - time.monotonic())))
        few = {key_of(t.partition) for t in found if t.items <= FEW_ITEMS}
        runs = []
        fresh = news(waiting, asked)
        # Whatever becomes of it: what cannot move now must not be tried again and again.
        asked |= {str(request.run_key) for request in fresh}
        for request in fresh:
            done = _post_now(context, runtime, request, found) if request.partition_key in few else []
            posted += done
            runs += [] if done else [request]
        if runs or time.monotonic() >= over_at:
            break
    if not runs and not posted:
        return dg.SkipReason("what was touched is under way" if found else "nothing has been touched")
    entities = {t.partition[0] for t in found} - set(context.instance.get_dynamic_partitions(ENTITY))
    return dg.SensorResult(
        run_requests=runs,
        skip_reason=None
        if runs
        else f"posted at once: {', '.join(sorted({str(event.partition) for event in posted}))}",
        asset_events=posted,
        cursor=json.dumps([request.run_key for request in waiting if request.run_key in asked]),
        dynamic_partitions_requests=[LEGAL_ENTITIES.build_add_request(sorted(entities))] if entities else None,
    )


def _wait(
    context: dg.SensorEvaluationContext, runtime: "Runtime", asked: frozenset[str], patience: dt.timedelta
) -> tuple[Sequence["Touched"], list[dg.RunRequest]]:
    """What is touched and the requests that follow, as soon as one of them is new, or after `patience`."""
    from psa_erp_assets.services.touched import wait_for_touched  # noqa: PLC0415 - services are imported by ticks alone

    def requests(touched: Sequence["Touched"]) -> list[dg.RunRequest]:
        return requests_for(touched, runtime.clock(), _under_way(context.instance)) if touched else []

    found = wait_for_touched(runtime, patience, lambda touched: bool(news(requests(touched), asked)))
    _, outside = runnable(t.partition for t in found)
    if outside:
        context.log.warning(f"no partition keys for {', '.join('|'.join(p) for p in outside)}")
    return found, requests(found)


def _post_now(
    context: dg.SensorEvaluationContext, runtime: "Runtime", request: dg.RunRequest, found: Sequence["Touched"]
) -> list[dg.AssetMaterialization]:
    """Plan, post and settle here and now; answers with nothing where that fails, and a run is to try it."""
    from psa_erp_assets.services import sync  # noqa: PLC0415 - as above

    key = str(request.partition_key)
    contracts = next(t.contracts for t in found if key_of(t.partition) == key)
    try:
        settled = sync.sync_partition(runtime, partition_of(key), created_by="approvals_sensor", contracts=contracts)
    except Exception as error:  # noqa: BLE001 - whatever it is, a run has the retries and shows the trace
        context.log.warning(f"{key} is left to a run: {type(error).__name__}")
        return []
    metadata = presenting.settled(settled)
    return [
        dg.AssetMaterialization(asset, partition=request.partition_key, metadata=metadata)
        for asset in jobs.CRITICAL_PATH
    ]


def _under_way(instance: dg.DagsterInstance) -> UnderWay:
    def keys(*statuses: dg.DagsterRunStatus) -> frozenset[str]:
        runs = instance.get_runs(dg.RunsFilter(job_name=jobs.near_real_time.name, statuses=list(statuses)))
        return frozenset(run.tags["dagster/partition"] for run in runs if "dagster/partition" in run.tags)

    status = dg.DagsterRunStatus
    return UnderWay(keys(status.NOT_STARTED, status.QUEUED), keys(status.STARTING, status.STARTED))


SENSORS = [approvals_sensor]
