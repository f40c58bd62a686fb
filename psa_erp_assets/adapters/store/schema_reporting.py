"""The table of reporting runs: which state of the lake each published file is of."""

from sqlalchemy import BigInteger, Column, DateTime, Identity, Index, Integer, Table, Text

from psa_erp_assets.adapters.store.schema import metadata

# One row a published reporting file. The state that it is of can be asked for as long as maintenance keeps it.
reporting_run = Table(
    "reporting_run",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("lake_snapshot", BigInteger, nullable=False),
    Column("models", Integer, nullable=False),
    Column("published_at", DateTime(timezone=True), nullable=False),
    Index("ix_reporting_run_published_at", "tenant", "published_at"),
    info={"append_only": True},
)
