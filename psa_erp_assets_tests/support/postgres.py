"""A PostgreSQL cluster for the test session, and fresh databases in it for each test."""

import itertools
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine

from psa_erp_assets.adapters import postgres
from psa_erp_assets.adapters.postgres import ServerInfo
from psa_erp_assets.adapters.store.engine import make_engine
from psa_erp_assets.adapters.store.migrate import migrate
from psa_erp_assets.services.runtime import DAGSTER_DATABASE, LAKE_DATABASE, OPERATIONAL_DATABASE, prepare

# Tests lose nothing in a power cut, and databases are created by the dozen.
UNSAFE_BUT_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "64MB"}
_TEMPLATE = "migrated_template"
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[ServerInfo]:
    """One embedded server for the whole session (for each worker under xdist).

    Its folder is not pytest's: pytest closes that one to the account under which the server runs for root.
    """
    with (
        tempfile.TemporaryDirectory(prefix="psa-erp-test-", ignore_cleanup_errors=True) as folder,
        postgres.running(Path(folder) / "postgres", overrides=UNSAFE_BUT_FAST) as server,
    ):
        yield server


@pytest.fixture(scope="session")
def _migrated_template(postgres_server: ServerInfo) -> str:
    postgres.ensure_database(postgres_server, _TEMPLATE)
    engine = make_engine(postgres_server.sqlalchemy_url(_TEMPLATE))
    migrate(engine)
    engine.dispose()
    return _TEMPLATE


@pytest.fixture
def database_name(postgres_server: ServerInfo) -> Iterator[str]:
    """The name of a fresh, empty database."""
    yield from _fresh(postgres_server, "template0")


@pytest.fixture
def postgres_url(postgres_server: ServerInfo, database_name: str) -> str:
    """`postgresql://…` of a fresh, empty database."""
    return postgres_server.url(database_name)


@pytest.fixture
def store_url(postgres_server: ServerInfo, _migrated_template: str) -> Iterator[str]:
    """`postgresql://…` of a fresh operational store, migrated to head and without rows."""
    for name in _fresh(postgres_server, _migrated_template):
        yield postgres_server.url(name)


@pytest.fixture
def store_engine(store_url: str) -> Iterator[Engine]:
    """An engine on a fresh operational store."""
    engine = make_engine(store_url)
    yield engine
    engine.dispose()


@contextmanager
def sync_databases(server: ServerInfo) -> Iterator[None]:
    """The databases that an installation has, under the names that it gives them, and gone with its test.

    A lake that stayed behind would refuse the next installation, because its files lie in another home.
    """
    prepare(server)
    try:
        yield
    finally:
        for name in (OPERATIONAL_DATABASE, LAKE_DATABASE, DAGSTER_DATABASE):
            postgres.drop_database(server, name)


def _fresh(server: ServerInfo, template: str) -> Iterator[str]:
    name = f"test_{next(_numbers)}"
    postgres.ensure_database(server, name, template=template)
    yield name
    postgres.drop_database(server, name)
