"""Alembic runs this file for each command; the connection comes from `store.migrate`."""

from alembic import context

from psa_erp_assets.adapters.store.migrate import VERSION_TABLE, of_this_store
from psa_erp_assets.adapters.store.schema import SCHEMA, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    version_table_schema=SCHEMA,
    include_schemas=True,
    include_name=of_this_store,
    compare_server_default=True,
)
with context.begin_transaction():
    context.run_migrations()
