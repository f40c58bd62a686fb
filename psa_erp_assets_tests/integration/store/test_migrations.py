"""The migrations of the operational store, on a real server."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import Engine, inspect, text
from sqlalchemy.schema import CreateSchema

from psa_erp_assets.adapters import postgres
from psa_erp_assets.adapters.postgres import ServerInfo
from psa_erp_assets.adapters.store.engine import make_engine
from psa_erp_assets.adapters.store.migrate import differences, downgrade, migrate
from psa_erp_assets.adapters.store.schema import SCHEMA, metadata

APPEND_ONLY = sorted(table.name for table in metadata.tables.values() if table.info.get("append_only"))


@pytest.fixture
def empty(postgres_url: str) -> Any:
    engine = make_engine(postgres_url)
    yield engine
    engine.dispose()


def tables(engine: Engine) -> set[str]:
    return set(inspect(engine).get_table_names(schema=SCHEMA)) - {"alembic_version"}


def test_upgrade_downgrade_upgrade(empty: Engine) -> None:
    """A deployment could not be taken back, or could not go forward again after it was."""
    migrate(empty)
    assert tables(empty) == {table.name for table in metadata.tables.values()}
    downgrade(empty)
    assert tables(empty) == set()
    migrate(empty)
    assert tables(empty) == {table.name for table in metadata.tables.values()}


def test_no_migration_was_forgotten(store_engine: Engine) -> None:
    """schema.py changed and no revision carries the change: new installations would differ from old ones."""
    assert differences(store_engine) == []


def test_migrated_constraints_are_those_of_the_metadata(
    store_engine: Engine, postgres_server: ServerInfo, empty: Engine
) -> None:
    """Alembic does not compare CHECK constraints and partial indexes; a forgotten one would let bad rows in."""
    with empty.begin() as connection:
        connection.execute(CreateSchema(SCHEMA))
        metadata.create_all(connection)

    def catalog(engine: Engine) -> set[Any]:
        with engine.connect() as connection:
            constraints = connection.execute(
                text(
                    "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
                    " WHERE connamespace = 'ops'::regnamespace AND conrelid::regclass::text <> 'ops.alembic_version'"
                )
            )
            indexes = connection.execute(
                text(
                    "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'ops'"
                    " AND tablename <> 'alembic_version'"
                )
            )
            return {tuple(row) for row in [*constraints, *indexes]}

    assert catalog(store_engine) == catalog(empty)


def test_processes_that_migrate_at_once_do_it_once(postgres_url: str) -> None:
    """The console, the Dagster code server and a worker start together; without the lock two of them would fail."""

    def start(_: int) -> None:
        engine = make_engine(postgres_url)
        migrate(engine)
        engine.dispose()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(start, range(4)))
    engine = make_engine(postgres_url)
    assert differences(engine) == []
    engine.dispose()


@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize("statement", ["DELETE FROM ops.{}", "TRUNCATE ops.{} CASCADE", "UPDATE ops.{} SET {}"])
def test_append_only_tables_refuse_change(store_engine: Engine, table: str, statement: str) -> None:
    """History could be rewritten: a table that is marked append-only has no trigger."""
    column = next(c.name for c in metadata.tables[f"{SCHEMA}.{table}"].columns if c.identity is None)
    with pytest.raises(sqlalchemy.exc.IntegrityError, match="is append-only"), store_engine.begin() as connection:
        connection.execute(text(statement.format(table, f"{column} = {column}")))


def test_sessions_are_in_utc_and_limited(store_engine: Engine) -> None:
    """Timestamps would come back in the server's zone, or a stuck statement would hold its locks for ever."""
    with store_engine.connect() as connection:
        settings = {
            name: connection.execute(text(f"SHOW {name}")).scalar_one()
            for name in ("timezone", "statement_timeout", "idle_in_transaction_session_timeout", "application_name")
        }
    assert settings == {
        "timezone": "UTC",
        "statement_timeout": "2min",
        "idle_in_transaction_session_timeout": "5min",
        "application_name": "psa-erp",
    }


def test_an_engine_survives_the_death_of_its_connections(store_engine: Engine) -> None:
    """Connections that died in the pool would be handed out after PostgreSQL was restarted."""
    with store_engine.connect() as connection:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    server = ServerInfo.from_url(store_engine.url.render_as_string(hide_password=False))
    with postgres.connect(server, "postgres") as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
    with store_engine.connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1
