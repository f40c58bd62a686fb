"""What a model may say of being made by month, and each mistake that the loader must name."""

from pathlib import Path

import pyarrow as pa
import pytest

from psa_erp_assets.adapters.sql_models import Incremental, LookUp, SqlModel, SqlModelError, load_models
from psa_erp_assets.contracts.lake_tables import LakeTable

_SOURCES = [
    LakeTable(
        name="work", description="Work.", schema=pa.schema([("service_month", pa.string()), ("id", pa.string())])
    ),
    LakeTable(name="people", description="People.", schema=pa.schema([("code", pa.string()), ("month", pa.string())])),
]
_STAGING = """
models:
  stg_work:
    description: Work.
    grain: [person_id]
    columns:
      service_month: {type: VARCHAR, description: When., not_null: true}
      person_id: {type: VARCHAR, description: Who.}
  stg_people:
    description: People.
    grain: [person_id]
    columns:
      person_id: {type: VARCHAR, description: Who.}
      service_month: {type: VARCHAR, description: When.}
"""
_MART = """
models:
  mart_work:
    description: Work.
    grain: [person_id]
    incremental:
      month: service_month
      by_month: [stg_work]
      by_key:
        stg_people: {person_id: [stg_work.person_id]}
    columns:
      service_month: {type: VARCHAR, description: When., not_null: true}
      person_id: {type: VARCHAR, description: Who.}
"""
_SQL = """WITH people AS (SELECT person_id FROM stg_people)
SELECT stg_work.service_month, people.person_id FROM stg_work LEFT JOIN people ON people.person_id = stg_work.person_id
"""


def load(folder: Path, mart: str = _MART) -> list[SqlModel]:
    """A mart over two staging models, described like that."""
    for name, text in {
        "staging/stg_work.sql": "SELECT service_month, id AS person_id FROM work",
        "staging/stg_people.sql": "SELECT code AS person_id, month AS service_month FROM people",
        "staging/staging.yaml": _STAGING,
        "marts/mart_work.sql": _SQL,
        "marts/marts.yaml": mart,
    }.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return load_models(folder, _SOURCES)


def test_the_tables_and_columns_behind_the_inputs_are_found(tmp_path: Path) -> None:
    """Changes would be looked for in views, which have none."""
    mart = load(tmp_path)[-1]
    look_up = LookUp("stg_people", "person_id", (("stg_work", "person_id"),), "people", "code")
    assert mart.incremental == Incremental("service_month", ("stg_work",), (look_up,))
    assert mart.stored == {"stg_people": ("people",), "stg_work": ("work",)}


@pytest.mark.parametrize(
    ("right", "wrong", "problem"),
    [
        ("by_month: [stg_work]", "by_month: [stg_wrok]", "mart_work does not read stg_wrok"),
        ("by_month: [stg_work]", "by_month: [stg_people]", "service_month has another name in the lake table behind"),
        ("{person_id: [stg_work", "{person: [stg_work", "stg_people has no column person"),
        ("[stg_work.person_id]", "[stg_work.person]", "stg_work has no column person"),
        ("[stg_work.person_id]", "[stg_people.person_id]", "stg_people is not among the inputs by month"),
        (", not_null: true", "", "service_month must be a column of mart_work that is not null"),
        ("month: service_month", "month: month", "month must be a column of mart_work that is not null"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, right: str, wrong: str, problem: str) -> None:
    """A month would silently be made from too few rows, or never again."""
    with pytest.raises(SqlModelError, match=problem):
        load(tmp_path, _MART.replace(right, wrong))


def test_whatever_decides_about_rows_is_part_of_the_fingerprint(tmp_path: Path) -> None:
    """A changed model would be made anew for changed months alone, and be half old."""
    before = load(tmp_path)[-1].fingerprint
    assert load(tmp_path)[-1].fingerprint == before
    assert load(tmp_path, _MART.replace("[stg_work.person_id]", "[stg_work.service_month]"))[-1].fingerprint != before
    (tmp_path / "staging/stg_people.sql").write_text("SELECT code AS person_id, month AS service_month FROM people --")
    assert load_models(tmp_path, _SOURCES)[-1].fingerprint != before
