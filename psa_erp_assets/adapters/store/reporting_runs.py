"""Statements on reporting runs."""

import datetime as dt
from collections.abc import Sequence

from sqlalchemy import Connection, RowMapping, select

from psa_erp_assets.adapters.store.schema_reporting import reporting_run


def add(connection: Connection, tenant: str, *, lake_snapshot: int, models: int, published_at: dt.datetime) -> int:
    """Record a run; returns its id."""
    new = reporting_run.insert().values(
        tenant=tenant, lake_snapshot=lake_snapshot, models=models, published_at=published_at
    )
    return int(connection.execute(new.returning(reporting_run.c.id)).scalar_one())


def all_of(connection: Connection, tenant: str) -> Sequence[RowMapping]:
    """All runs, the latest first: id, lake_snapshot, models, published_at."""
    table = reporting_run.c
    statement = select(table.id, table.lake_snapshot, table.models, table.published_at).where(table.tenant == tenant)
    return connection.execute(statement.order_by(table.published_at.desc(), table.id.desc())).mappings().all()
