"""Fixtures of the Dagster tests: definitions without any service, and a whole world of real services for one chain."""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
import yaml

from psa_erp_assets.adapters.postgres import ServerInfo
from psa_erp_assets.definitions import build_defs
from psa_erp_assets.sandbox.actors import Actors, actors_at
from psa_erp_assets.sandbox.company import build_company
from psa_erp_assets.sandbox.serve import running_sandbox
from psa_erp_assets.sandbox.tryton.build import SYNC_USER, Kind
from psa_erp_assets.settings import REPOSITORY, Settings, load_settings
from psa_erp_assets_tests.support.postgres import sync_databases
from psa_erp_assets_tests.support.tryton import MakeTryton

CONFIG = REPOSITORY / "data" / "config"


@pytest.fixture(scope="session")
def catalog_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which the catalog of models is kept from test to test: reading it takes seconds."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def defs(catalog_home: Path) -> dg.Definitions:
    """Fresh definitions from the delivered settings, with no service running and no secret set."""
    return build_defs(load_settings({"PSA_ERP_HOME": str(catalog_home)}))


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """A Dagster instance that forgets everything."""
    with dg.DagsterInstance.ephemeral() as fresh:
        yield fresh


@pytest.fixture
def daemon_instance() -> Iterator[dg.DagsterInstance]:
    """One in a folder of its own: sensors and schedules reach theirs by reference, as under the daemon."""
    with dg.instance_for_test() as fresh:
        yield fresh


@pytest.fixture
def environ(postgres_server: ServerInfo, catalog_home: Path) -> Iterator[Mapping[str, str]]:
    """What points settings at the session's PostgreSQL, with fresh databases of the sync in it."""
    with sync_databases(postgres_server):
        yield {"PSA_ERP_HOME": str(catalog_home), "PSA_ERP_DATABASE_URL": postgres_server.url("postgres")}
    shutil.rmtree(catalog_home / "lake", ignore_errors=True)


@pytest.fixture
def stores(environ: Mapping[str, str]) -> Settings:
    """Settings with empty stores behind them, and nothing else."""
    return load_settings(environ)


@dataclass(frozen=True)
class World:
    """Settings with everything behind them: stores, the vendor sandboxes with the demo company, and a real Tryton."""

    settings: Settings
    people: Actors


@pytest.fixture
def world(environ: Mapping[str, str], make_tryton: MakeTryton, tmp_path: Path) -> Iterator[World]:
    """A world in which the sync has not read anything yet."""
    tryton = make_tryton(Kind.COMPANION)
    with running_sandbox(build_company()) as sandbox, actors_at(sandbox) as people:
        config = tmp_path / "config"
        shutil.copytree(CONFIG, config)
        path = config / "connections.yaml"
        body = yaml.safe_load(path.read_text(encoding="utf-8"))
        body["psa"]["base_url"] = sandbox.clockify_url
        body["crm"]["base_url"], body["hr"]["base_url"] = sandbox.hubspot_url, sandbox.bamboohr_url
        body["milestones"]["base_url"] = sandbox.kantata_url
        body["erp"] |= {"base_url": tryton.server.url, "database": tryton.server.database, "user": SYNC_USER}
        path.write_text(yaml.safe_dump(body), encoding="utf-8")
        secrets = {
            body["psa"]["api_key"]: sandbox.keys.clockify,
            body["crm"]["token"]: sandbox.keys.hubspot,
            body["hr"]["api_key"]: sandbox.keys.bamboohr,
            body["milestones"]["token"]: sandbox.keys.kantata,
            body["erp"]["password"]: tryton.server.credentials.passwords[SYNC_USER],
        }
        yield World(load_settings({**environ, "PSA_ERP_CONFIG": str(config), **secrets}), people)
