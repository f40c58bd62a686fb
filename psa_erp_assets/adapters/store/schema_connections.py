"""The table of connections: how each outside system was last found, by whichever process found it."""

from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, Integer, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from psa_erp_assets.adapters.store.schema import metadata

# One row a connection: a source by its kind, an ERP company as erp:ID. Processes overwrite each other; the instants
# only ever go forward.
connection_state = Table(
    "connection_state",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("circuit", Text, nullable=False),
    Column("requests_per_second", Integer),
    Column("tokens_left", Integer),
    Column("retries_left", Integer),
    Column("throttled", BigInteger, nullable=False, server_default=text("0")),
    Column("limits", JSONB, nullable=False, server_default=text("'{}'")),
    Column("paused_until", DateTime(timezone=True)),
    Column("succeeded_at", DateTime(timezone=True)),
    Column("failed_at", DateTime(timezone=True)),
    Column("error", Text),
    Column("reported_by", Text, nullable=False),
    Column("reported_at", DateTime(timezone=True), nullable=False),
    CheckConstraint("circuit IN ('closed', 'open', 'half_open')", name="circuit"),
)
