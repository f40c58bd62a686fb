"""Bring the operational store to a revision of its schema, and see whether the migrations keep up with `schema`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Engine, func, select, text
from sqlalchemy.schema import CreateSchema

from psa_erp_assets.adapters.store.all_tables import SCHEMA, metadata

VERSION_TABLE = "alembic_version"
# Names the advisory lock; any number will do as long as it stays the same.
_LOCK = 5_072_118_230


def migrate(engine: Engine, revision: str = "head") -> None:
    """Upgrade to `revision` in one transaction. Any number of processes may ask at once: one works, the rest wait."""
    with _locked(engine) as connection:
        connection.execute(CreateSchema(SCHEMA, if_not_exists=True))
        command.upgrade(alembic_config(connection), revision)


def downgrade(engine: Engine, revision: str = "base") -> None:
    """Go back to `revision` in one transaction. Tables made since are dropped with what they hold."""
    with _locked(engine) as connection:
        command.downgrade(alembic_config(connection), revision)


def differences(engine: Engine) -> list[Any]:
    """What Alembic would still change to make the database equal to the metadata; empty when nothing was forgotten."""
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_schemas": True,
                "include_name": of_this_store,
                "version_table_schema": SCHEMA,
                "compare_server_default": True,
            },
        )
        return list(compare_metadata(context, metadata))


def of_this_store(name: str | None, kind: str, _parents: object) -> bool:
    """Alembic's filter: other programs may keep schemas in the same database."""
    return kind != "schema" or name == SCHEMA


def alembic_config(connection: Connection) -> Config:
    """Alembic's configuration, which runs on the caller's connection and in its transaction."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


@contextmanager
def _locked(engine: Engine) -> Iterator[Connection]:
    with engine.begin() as connection:
        # The engine's limit is for everyday statements; a migration may rewrite a table or wait for another.
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
        yield connection
