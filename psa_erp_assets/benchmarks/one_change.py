"""One entry of the month gets another number of minutes, and what that touches is planned again."""

import datetime as dt
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from sqlalchemy import Connection, Engine, select, update

from psa_erp_assets.adapters.store import work_heads
from psa_erp_assets.adapters.store.schema import work_head
from psa_erp_assets.benchmarks.seeding import PLANNED_AT
from psa_erp_assets.benchmarks.world import MONTH, TENANT, World
from psa_erp_assets.domain.records import TimeEntry
from psa_erp_assets.services import billable_work_items
from psa_erp_assets.services.planning import make_plan
from psa_erp_assets.services.scope import Scope

_KINDS = ("plain", "blended", "cumulative", "capped_hold", "retainer_bill", "milestone", "schedule", "mixed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A changed entry in a contract of a kind: seconds to find the contracts concerned, and to plan them."""

    deal: str
    finding_seconds: float
    planning_seconds: float


def one_change_each(engine: Engine, world: World) -> list[Change]:
    """Change one entry in a contract of each kind and plan what it touches, one after the other.

    All work counts as planned before, as after every sync. The plan is for the contracts that have changed, found as
    the sync finds them.
    """
    with engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        connection.execute(update(work_head).values(planned_at=PLANNED_AT))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE ops.work_head")
    return [
        _change(engine, world, deal, object_id, PLANNED_AT + dt.timedelta(hours=number))
        for number, (deal, object_id) in enumerate(_chosen(engine, world), start=1)
    ]


def _chosen(engine: Engine, world: World) -> Iterator[tuple[str, str]]:
    """An entry in the middle of the month of a contract of each kind, of another entity in turn."""
    codes = [entity.code for entity in world.master.legal_entities]
    for number, deal in enumerate(_KINDS):
        entity = codes[number % len(codes)]
        contracts = [c.id for c in world.master.contracts if c.legal_entity == entity and world.deals[c.id] == deal]
        with engine.connect() as connection:
            ids = connection.execute(
                select(work_head.c.object_id)
                .where(
                    work_heads.within(TENANT, (entity, str(MONTH)), contracts),
                    work_head.c.object_id.startswith("time_entry:"),
                )
                .order_by(work_head.c.object_id)
            ).scalars()
            every = list(ids)
        if every:
            yield deal, every[len(every) // 2]


def _change(engine: Engine, world: World, deal: str, object_id: str, now: dt.datetime) -> Change:
    with engine.begin() as connection:
        _revise(connection, world.scope, object_id, now)
    begun = time.perf_counter()
    with engine.connect() as connection:
        dirty = work_heads.dirty_partitions(connection, TENANT)
    found = time.perf_counter()
    for partition, contracts in dirty.items():
        make_plan(engine, world.scope, partition, now=now, created_by="bench", contracts=contracts)
    done = time.perf_counter()
    with engine.begin() as connection:
        for partition in dirty:
            touched = work_heads.dirty_objects(connection, TENANT, partition)
            work_heads.mark_planned(connection, TENANT, touched, now)
    return Change(deal=deal, finding_seconds=found - begun, planning_seconds=done - found)


def _revise(connection: Connection, scope: Scope, object_id: str, now: dt.datetime) -> None:
    """A new revision with a quarter of an hour more, by the door that extraction uses."""
    known = billable_work_items.current(connection, TENANT, [object_id])
    entry = known[object_id]
    assert isinstance(entry, TimeEntry)
    revised = replace(entry, revision=entry.revision + 1, minutes=entry.minutes + 15)
    billable_work_items.create_billable_work_items(connection, scope, [revised], now, known=known)
