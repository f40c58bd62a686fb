"""DAGSTER_HOME: the folder that every Dagster process is pointed at, with the project's `dagster.yaml` in it."""

import shutil
from pathlib import Path

from psa_erp_assets.settings import REPOSITORY

CONFIG = REPOSITORY / "deploy" / "dagster.yaml"
URL_VARIABLE = "DAGSTER_PG_URL"


def prepare_dagster_home(home: Path, url: str) -> tuple[Path, dict[str, str]]:
    """Make the folder with the current configuration in it; returns it, and what Dagster's processes need to be told.

    `url` is the `postgresql://` address of Dagster's own database. It goes into the environment alone, as it holds a
    password.
    """
    home.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(CONFIG, home / "dagster.yaml")
    folder = home.resolve()
    return folder, {"DAGSTER_HOME": str(folder), URL_VARIABLE: url}
