"""A month of work in a database of its own, put there through COPY: `python -m psa_erp_assets.benchmarks.seeding`.

The rows are those that extraction writes, in the store's own tables. The one liberty is a single row of the inbox that
all facts name. Seeding is no part of what is measured.
"""

import argparse
import datetime as dt
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb
from sqlalchemy import Engine, text

from psa_erp_assets.adapters import postgres
from psa_erp_assets.adapters.postgres import ServerInfo
from psa_erp_assets.adapters.store import contract_balances
from psa_erp_assets.adapters.store.bodies import to_body
from psa_erp_assets.adapters.store.engine import make_engine
from psa_erp_assets.adapters.store.migrate import migrate
from psa_erp_assets.benchmarks.facts import make_facts
from psa_erp_assets.benchmarks.world import TENANT, World, make_world
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.decide import Decider
from psa_erp_assets.domain.decision import Route
from psa_erp_assets.domain.keys import content_hash
from psa_erp_assets.domain.records import TimeEntry, WorkItem
from psa_erp_assets.services import contract_months

SEEDED_AT = dt.datetime(2026, 9, 30, 12, tzinfo=dt.UTC)
PLANNED_AT = dt.datetime(2026, 9, 30, 18, tzinfo=dt.UTC)
_BEFORE = ServiceMonth(2026, 8)
_HEAD = ("tenant", "object_id", "revision", "state", "legal_entity", "service_month", "contract_id", "changed_at")
_TIME = (
    "tenant", "entry_id", "revision", "state", "psa_user_id", "psa_project_id", "service_date", "minutes", "billable",
    "description", "started_at", "time_zone", "task", "work_types", "inbox_id", "recorded_at",
)  # fmt: skip
_FACT = ("tenant", "object_id", "revision", "kind", "body", "inbox_id", "recorded_at")
_MASTER = ("tenant", "object_type", "canonical_id", "version", "body", "content_hash", "source", "recorded_at")


def seed_database(server: ServerInfo, database: str, entries: int, world: World | None = None) -> None:
    """Make the database anew, with so many facts of one month. Raises PostgresError."""
    world = world or make_world()
    postgres.drop_database(server, database)
    postgres.ensure_database(server, database)
    engine = make_engine(server.sqlalchemy_url(database))
    try:
        migrate(engine)
        _seed_master(engine, server.conninfo(database), world)
        _seed_facts(server.conninfo(database), world, entries)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("SET statement_timeout = 0"))
            connection.execute(text("VACUUM ANALYZE"))
            connection.execute(text("CHECKPOINT"))
    finally:
        engine.dispose()


def _seed_master(engine: Engine, conninfo: str, world: World) -> None:
    rows = []
    for object_type, records, name in (
        ("legal_entity", world.master.legal_entities, "code"),
        ("customer", world.master.customers, "id"),
        ("contract", world.master.contracts, "id"),
        ("project", world.master.projects, "id"),
        ("employee", world.master.employees, "id"),
        ("bill_rate", world.master.bill_rates, "id"),
        ("cost_rate", world.master.cost_rates, "id"),
        ("fx_rate", world.master.fx_rates, "id"),
        ("tax_profile", world.master.tax_profiles, "id"),
    ):
        for record in records:
            body = to_body(record)
            values = (object_type, getattr(record, name), 1, Jsonb(body), content_hash(body))
            rows.append((TENANT, *values, "bench", SEEDED_AT))
    with psycopg.connect(conninfo) as connection:
        _copy(connection, "master_record", _MASTER, rows)
    with engine.begin() as connection:
        contract_balances.put(connection, TENANT, _BEFORE, closings=world.opening, now=SEEDED_AT)
        contract_months.refresh(connection, world.scope, world.master, SEEDED_AT)


def _seed_facts(conninfo: str, world: World, entries: int) -> None:
    """Facts and their heads in three streams at once, so that a million need not be in memory."""
    decider = Decider(world.master, world.scope.rules)
    with psycopg.connect(conninfo) as connection:
        found = connection.execute(
            "INSERT INTO ops.inbox (tenant, source, object_type, object_id, version, content_hash, payload, arrived_by,"
            " received_at) VALUES (%s, 'bench', 'month', 'all', 1, '', '{}', 'sweep', %s) RETURNING id",
            (TENANT, SEEDED_AT),
        ).fetchone()
        assert found is not None
        batch: list[WorkItem] = []
        for item in make_facts(world, entries, payload_id=int(found[0])):
            batch.append(item)
            if len(batch) == 50_000:
                _write(connection, batch, decider)
                batch.clear()
        _write(connection, batch, decider)


def _write(connection: psycopg.Connection[Any], items: Sequence[WorkItem], decider: Decider) -> None:
    times = [item for item in items if isinstance(item, TimeEntry)]
    others = [item for item in items if not isinstance(item, TimeEntry)]
    _copy(connection, "time_entry", _TIME, (_time_row(entry) for entry in times))
    kinds = [(type(item).__name__.lower(), item) for item in others]
    _copy(
        connection,
        "work_fact",
        _FACT,
        ((TENANT, i.id, i.revision, kind, Jsonb(to_body(i)), i.payload_id, SEEDED_AT) for kind, i in kinds),
    )
    _copy(connection, "work_head", _HEAD, (_head_row(item, decider.route(item)) for item in items))


def _time_row(e: TimeEntry) -> tuple[Any, ...]:
    return (
        TENANT, e.id, e.revision, e.state.value, e.psa_user_id, e.psa_project_id, e.service_date, e.minutes,
        e.billable, e.description, e.started_at, e.time_zone, e.task, list(e.work_types), e.payload_id, SEEDED_AT,
    )  # fmt: skip


def _head_row(item: WorkItem, route: Route) -> tuple[Any, ...]:
    where = (route.legal_entity, str(route.service_month), route.contract_id)
    return (TENANT, item.id, item.revision, item.state.value, *where, SEEDED_AT)


def _copy(
    connection: psycopg.Connection[Any],
    table: str,
    columns: Sequence[str],
    rows: Iterator[tuple[Any, ...]] | Sequence[tuple[Any, ...]],
) -> None:
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier("ops", table), names)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


def main() -> None:
    """Seed, and say where. With a folder the embedded server stays up; stop it with `--stop`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, help="of an embedded PostgreSQL, made and started if need be")
    parser.add_argument("--url", help="of a PostgreSQL server instead")
    parser.add_argument("--database", default="psa_erp_bench", help="made anew")
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--stop", action="store_true", help="stop the server of the folder")
    asked = parser.parse_args()
    if asked.stop:
        postgres.stop(asked.folder)
        return
    server = ServerInfo.from_url(asked.url) if asked.url else postgres.ensure_running(asked.folder)
    begun = dt.datetime.now(dt.UTC)
    seed_database(server, asked.database, asked.entries)
    seconds = (dt.datetime.now(dt.UTC) - begun).total_seconds()
    sys.stdout.write(json.dumps({"url": server.url(asked.database), "seconds": round(seconds)}) + "\n")


if __name__ == "__main__":
    main()
