"""The SQL models on the lake: build and test one, and publish the file that analysts open."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from psa_erp_assets.adapters import reporting, sql_models
from psa_erp_assets.adapters.lake import Lake, Written
from psa_erp_assets.adapters.reporting import Published
from psa_erp_assets.adapters.sql_models import SqlModel, TestResult
from psa_erp_assets.contracts.lake_tables import LAKE_TABLES
from psa_erp_assets.services.runtime import Runtime
from psa_erp_assets.settings import SQL_MODELS

REPORTING_FILE = "reporting.duckdb"


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A model as it now is in the lake: what was written, and how its tests came out."""

    written: Written
    tests: Sequence[TestResult]


def models(folder: Path = SQL_MODELS) -> dict[str, SqlModel]:
    """All models by name, each after its inputs; read once a process. Raises SqlModelError."""
    return _models(folder)


def build(lake: Lake, name: str) -> Built:
    """Make one model anew and test it. Lake tables that nothing has written yet are made, without rows."""
    model = models()[name]
    lake.ensure_tables(LAKE_TABLES[table] for table in model.inputs if table in LAKE_TABLES)
    return Built(written=sql_models.run_model(lake, model), tests=sql_models.run_tests(lake, model))


def publish(runtime: Runtime) -> Published:
    """Write the reporting file and put it in its place."""
    return reporting.publish(runtime.lake, list(models().values()), runtime.settings.home / REPORTING_FILE)


@cache
def _models(folder: Path) -> dict[str, SqlModel]:
    return {model.name: model for model in sql_models.load_models(folder, LAKE_TABLES.values())}
