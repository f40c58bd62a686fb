"""A store that the tests of a module share, without rows at the start of each: a database each would take a second."""

import secrets
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text

from psa_erp_assets.adapters import postgres
from psa_erp_assets.adapters.postgres import ServerInfo
from psa_erp_assets.adapters.store.engine import make_engine
from psa_erp_assets.adapters.store.schema import metadata


@pytest.fixture(scope="module")
def _module_engine(postgres_server: ServerInfo, _migrated_template: str) -> Iterator[Engine]:
    name = f"store_{secrets.token_hex(4)}"
    postgres.ensure_database(postgres_server, name, template=_migrated_template)
    # As many connections as the tests have writers at once.
    engine = make_engine(postgres_server.sqlalchemy_url(name), pool_size=10)
    yield engine
    engine.dispose()
    postgres.drop_database(postgres_server, name)


@pytest.fixture
def clean_store(_module_engine: Engine) -> Engine:
    """An engine on an operational store that has no rows."""
    tables = ", ".join(f'"{table.schema}"."{table.name}"' for table in metadata.sorted_tables)
    with _module_engine.begin() as connection:
        # What is append-only refuses to be emptied, as it should.
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY"))
    return _module_engine
