"""Partitions with work to do, for whoever starts that work: asked for now, or waited for."""

import datetime as dt
import time
from collections.abc import Callable, Sequence

import psycopg

from psa_erp_assets.adapters.store import touched as statements
from psa_erp_assets.adapters.store.touched import Touched
from psa_erp_assets.adapters.store.work_heads import TOUCHED_CHANNEL, Partition
from psa_erp_assets.services.runtime import OPERATIONAL_DATABASE, Runtime

__all__ = ["Touched", "changed_partitions", "touched_now", "wait_for_touched"]


# A posting is due from the moment it is planned until the engine takes it; only one that was left is news.
_LEFT_ALONE = dt.timedelta(seconds=20)


def touched_now(runtime: Runtime) -> Sequence[Touched]:
    """The partitions with something to do now, the longest waiting first."""
    with runtime.engine.connect() as connection:
        return statements.touched(connection, runtime.settings.tenant, due_before=runtime.clock() - _LEFT_ALONE)


def wait_for_touched(
    runtime: Runtime, patience: dt.timedelta, wanted: Callable[[Sequence[Touched]], bool]
) -> Sequence[Touched]:
    """`touched_now` as soon as it is what is wanted, or after `patience`.

    Woken by the commit of whatever touches a partition, so that a change is answered in milliseconds.
    """
    give_up_at = time.monotonic() + patience.total_seconds()
    with psycopg.connect(runtime.server.url(OPERATIONAL_DATABASE), autocommit=True) as listener:
        # Listening begins before the first look, so that nothing is missed in between.
        listener.execute(f"LISTEN {TOUCHED_CHANNEL}")
        while True:
            found = touched_now(runtime)
            left = give_up_at - time.monotonic()
            if wanted(found) or left <= 0:
                return found
            for _ in listener.notifies(timeout=left, stop_after=1):
                pass


def changed_partitions(runtime: Runtime, within: dt.timedelta) -> list[Partition]:
    """Partitions of which an entry or a posting has changed lately."""
    with runtime.engine.connect() as connection:
        return statements.changed_since(connection, runtime.settings.tenant, runtime.clock() - within)
