"""The catalog of tables, contracts and models that definitions are made from, and the file that it is kept in."""

from pathlib import Path

import pytest

from psa_erp_assets.adapters.sql_models import SqlModelError
from psa_erp_assets.defs.catalog import load_catalog

MODEL = "SELECT id AS customer_id FROM customers"
DOCS = """
models:
  stg_people:
    description: Who is invoiced.
    grain: [customer_id]
    columns:
      customer_id: {type: VARCHAR, description: Id of the customer., unique: true}
"""


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models" / "staging"
    folder.mkdir(parents=True)
    (folder / "stg_people.sql").write_text(MODEL, encoding="utf-8")
    (folder / "staging.yaml").write_text(DOCS, encoding="utf-8")
    return folder.parent


def test_what_was_kept_is_what_was_read(models: Path, tmp_path: Path) -> None:
    """A run that reads the kept file must define the same assets as one that read the models."""
    read = load_catalog(tmp_path / "cache", models)
    assert list((tmp_path / "cache").iterdir())
    assert load_catalog(tmp_path / "cache", models) == read
    assert read.models["stg_people"].inputs == ("customers",)
    assert read.models["stg_people"].lineage == {"customer_id": (("customers", "id"),)}


def test_a_changed_model_is_read_anew_and_the_old_file_goes(models: Path, tmp_path: Path) -> None:
    """A stale copy would show columns, and build assets, that are no longer there."""
    before = load_catalog(tmp_path / "cache", models)
    sql = models / "staging" / "stg_people.sql"
    sql.write_text(f"{MODEL} WHERE id <> ''", encoding="utf-8")
    after = load_catalog(tmp_path / "cache", models)
    assert after.models["stg_people"].version != before.models["stg_people"].version
    assert len(list((tmp_path / "cache").iterdir())) == 1


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"tables": [{}]}'])
def test_a_damaged_file_is_read_past(models: Path, tmp_path: Path, content: str) -> None:
    """A full disk or a kill must not leave a file behind that keeps Dagster from starting."""
    whole = load_catalog(tmp_path / "cache", models)
    [kept] = (tmp_path / "cache").iterdir()
    kept.write_text(content, encoding="utf-8")
    assert load_catalog(tmp_path / "cache", models) == whole


def test_a_folder_that_cannot_be_written_costs_time_only(models: Path, tmp_path: Path) -> None:
    """A read-only deployment must still load."""
    (tmp_path / "cache").write_text("a file where the folder should be", encoding="utf-8")
    assert load_catalog(tmp_path / "cache", models).models.keys() == {"stg_people"}


def test_broken_models_are_said_and_never_kept(models: Path, tmp_path: Path) -> None:
    """Dagster shows the error of a code location: it must name the file and what is wrong in it."""
    (models / "staging" / "stg_people.sql").write_text("SELECT nothing FROM nowhere", encoding="utf-8")
    with pytest.raises(SqlModelError, match="stg_people"):
        load_catalog(tmp_path / "cache", models)
    assert not (tmp_path / "cache").exists()
