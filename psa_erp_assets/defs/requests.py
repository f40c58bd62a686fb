"""From touched partitions to the runs that are asked for: pure, and so tested without a daemon."""

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dagster as dg

from psa_erp_assets.defs.assets.posting import contracts_tag
from psa_erp_assets.defs.partitions import key_of, partition_of, runnable

if TYPE_CHECKING:
    from psa_erp_assets.services.touched import Touched

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

    A run that has not begun will plan what has changed by then. Postings that are due are left to a run of the legal
    entity that has begun, as its engine takes along all of the entity's. The run key has the partition and what it
    is asked for: a change is asked for once, and once more each ten minutes while it still waits. Partitions outside
    of the months that there are keys for are left out.
    """
    known, _ = runnable(t.partition for t in touched)
    at_work = {partition_of(key)[0] for key in under_way.begun}
    requests = []
    for t in touched:
        if t.partition not in known or key_of(t.partition) in under_way.queued:
            continue
        since = t.changed_at or (None if t.partition[0] in at_work else t.due_at)
        if since is not None:
            tags = {**contracts_tag(t.contracts), SINCE_TAG: since.isoformat()}
            key = key_of(t.partition)
            requests.append(dg.RunRequest(partition_key=key, run_key=_run_key(key, since, now), tags=tags))
    return requests


def news(requests: Sequence[dg.RunRequest], asked: Collection[str | None]) -> list[dg.RunRequest]:
    """The requests that were not made before."""
    return [request for request in requests if request.run_key not in asked]


def _run_key(key: str, since: dt.datetime, now: dt.datetime) -> str:
    again = max(0, (now - since) // ASK_AGAIN_AFTER)
    return f"{key}@{since.isoformat()}" + (f"#{again}" if again else "")
