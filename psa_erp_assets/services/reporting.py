"""The SQL models on the lake: build and test one, and publish the file that analysts open."""

from functools import cache
from pathlib import Path

from psa_erp_assets.adapters import model_builds, reporting, sql_models
from psa_erp_assets.adapters.lake import Lake
from psa_erp_assets.adapters.model_builds import Built
from psa_erp_assets.adapters.reporting import Published
from psa_erp_assets.adapters.reporting_file import REPORTING_FILE
from psa_erp_assets.adapters.sql_models import SqlModel
from psa_erp_assets.adapters.store import reporting_runs
from psa_erp_assets.contracts.lake_tables import LAKE_TABLES
from psa_erp_assets.services.runtime import Runtime
from psa_erp_assets.settings import SQL_MODELS


def models(folder: Path = SQL_MODELS) -> dict[str, SqlModel]:
    """All models by name, each after its inputs; read once a process. Raises SqlModelError."""
    return _models(folder)


def build(lake: Lake, name: str, *, whole: bool = False) -> Built:
    """Bring one model up to date and test it: what has changed since it was built last, or with `whole` all of it."""
    return model_builds.build(lake, models()[name], whole=whole)


def publish(runtime: Runtime) -> Published:
    """Write the reporting file, put it in its place, and record the run with the state of the lake that it is of."""
    published = reporting.publish(runtime.lake, list(models().values()), runtime.settings.home / REPORTING_FILE)
    with runtime.engine.begin() as connection:
        reporting_runs.add(
            connection,
            runtime.settings.tenant,
            lake_snapshot=published.lake_snapshot,
            models=len(published.rows),
            published_at=runtime.clock(),
        )
    return published


@cache
def _models(folder: Path) -> dict[str, SqlModel]:
    return {model.name: model for model in sql_models.load_models(folder, LAKE_TABLES.values())}
