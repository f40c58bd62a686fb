"""Loading SQL models: the project's own, and models with each mistake that the loader must name."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from psa_erp_assets.adapters.sql_models import Layer, SqlModelError, load_models
from psa_erp_assets.contracts.lake_tables import LAKE_TABLES, LakeTable

MODELS = Path(__file__).parents[2] / "dbt_like_sql"
SOURCES = [
    LakeTable(
        name="people",
        description="People.",
        schema=pa.schema([("id", pa.string()), ("minutes", pa.int64()), ("pay", pa.decimal128(18, 4))]),
    )
]
STAGING_SQL = "SELECT\n    id AS person_id,\n    minutes,\n    pay\nFROM people\n"
STAGING_YAML = """
models:
  stg_people:
    description: People.
    grain: [person_id]
    columns:
      person_id: {type: VARCHAR, description: Who., not_null: true, unique: true}
      minutes: {type: BIGINT, description: Minutes.}
      pay: {type: "DECIMAL(18,4)", description: Pay.}
"""
MART_SQL = (
    "WITH big AS (SELECT * FROM stg_people WHERE minutes > 10)\nSELECT person_id, pay + minutes AS score FROM big\n"
)
MART_YAML = """
models:
  mart_people:
    description: Scores.
    grain: [person_id]
    columns:
      person_id: {type: VARCHAR, description: Who., relationship: {to: stg_people, column: person_id}}
      score: {type: "DECIMAL(24,4)", description: Score., accepted_values: ["1", "it's"]}
    assertions:
      - {name: none_is_negative, sql: SELECT * FROM mart_people WHERE score < 0}
"""
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a set of models, good unless a file is given otherwise; None leaves it out."""

    def _write(**changes: str | None) -> Path:
        files = {
            "staging/stg_people.sql": STAGING_SQL,
            "staging/staging.yaml": STAGING_YAML,
            "marts/mart_people.sql": MART_SQL,
            "marts/marts.yaml": MART_YAML,
        } | {name.replace("__", "/").replace("_dot_", "."): text for name, text in changes.items()}
        for name, text in files.items():
            if text is not None:
                (tmp_path / name).parent.mkdir(exist_ok=True)
                (tmp_path / name).write_text(text)
        return tmp_path

    return _write


def problems(root: Path) -> list[str]:
    with pytest.raises(SqlModelError) as error:
        load_models(root, SOURCES)
    return [problem.replace(f"{root}/", "") for problem in error.value.problems]


def test_a_model_has_its_inputs_columns_lineage_and_tests(write: Write) -> None:
    """The assets would show wrong dependencies, or tests written in YAML would not run."""
    staging, mart = load_models(write(), SOURCES)
    assert (staging.name, staging.layer, staging.kind, staging.inputs) == (
        "stg_people", Layer.STAGING, "VIEW", ("people",),
    )  # fmt: skip
    assert (mart.name, mart.kind, mart.inputs, mart.grain) == ("mart_people", "TABLE", ("stg_people",), ("person_id",))
    assert mart.column_lineage["score"] == (("stg_people", "minutes"), ("stg_people", "pay"))
    assert [(c.name, c.type) for c in mart.columns] == [("person_id", "VARCHAR"), ("score", "DECIMAL(24,4)")]
    assert [t.name for t in staging.tests] == ["unique_grain", "unique_person_id", "not_null_person_id"]
    assert [t.name for t in mart.tests] == [
        "unique_grain", "relationship_person_id", "accepted_values_score", "none_is_negative",
    ]  # fmt: skip


def test_the_projects_own_models_are_sound() -> None:
    """A lake table's column was renamed or a model was changed, and reporting would fail at night."""
    models = load_models(MODELS, LAKE_TABLES.values())
    order = [model.name for model in models]
    for model in models:
        assert all(order.index(name) < order.index(model.name) for name in model.inputs if name in order)
        assert model.description
        assert all(column.description for column in model.columns)
    assert {"mart_billing_by_contract_month", "mart_utilization_by_employee_month"} <= set(order)
    margin = models[order.index("mart_project_margin")]
    assert margin.column_lineage["cost_amount"] == (("stg_cost_entries", "cost_amount"),)


def test_money_in_the_projects_models_is_never_a_float() -> None:
    """A division would turn an amount into a DOUBLE and lose cents without a word."""
    types = {column.type for model in load_models(MODELS, LAKE_TABLES.values()) for column in model.columns}
    assert not types & {"DOUBLE", "FLOAT"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"marts__mart_people_dot_sql": "SELECT person_id, 1 AS score\nFROM stg_peopel"},
            "marts/mart_people.sql:2: stg_peopel is neither a lake table nor a model",
        ),
        (
            {"marts__mart_people_dot_sql": "SELECT\n    person_id,\n    scor AS score\nFROM stg_people"},
            'marts/mart_people.sql:3: Binder Error: Referenced column "scor" not found',
        ),
        (
            {"marts__mart_people_dot_sql": "SELECT person_id FROM stg_people"},
            "marts/marts.yaml:8: mart_people has no column score, which is described here",
        ),
        (
            {"marts__mart_people_dot_sql": MART_SQL.replace("FROM big", ", 1 AS more FROM big")},
            "marts/mart_people.sql:2: column more is not described in marts.yaml",
        ),
        (
            {"marts__mart_people_dot_sql": "SELECT person_id, pay AS score FROM stg_people"},
            "marts/marts.yaml:8: score of mart_people is DECIMAL(18,4), described as DECIMAL(24,4)",
        ),
        (
            {
                "marts__mart_people_dot_sql": "SELECT person_id, pay / 2 AS score FROM stg_people",
                "marts__marts_dot_yaml": MART_YAML.replace('"DECIMAL(24,4)"', "DOUBLE"),
            },
            "marts/mart_people.sql:1: score is a float; cast it to a decimal",
        ),
        (
            {"marts__mart_people_dot_sql": "SELECT id AS person_id, 1 AS score\n\nFROM people"},
            "marts/mart_people.sql:3: people: staging models alone read lake tables, and nothing else",
        ),
        (
            {"marts__mart_people_dot_sql": "DROP TABLE people"},
            "marts/mart_people.sql:1: a model is exactly one SELECT",
        ),
        (
            {"marts__mart_people_dot_sql": "SELECT 1; SELECT 2"},
            "marts/mart_people.sql:1: a model is exactly one SELECT",
        ),
        ({"marts__mart_people_dot_sql": "SELECT 1,\nFROM ("}, "marts/mart_people.sql:2: "),
        (
            {"marts__mart_people_dot_sql": None, "marts__marts_dot_yaml": MART_YAML, "marts__other_dot_sql": MART_SQL},
            "marts/marts.yaml:3: describes mart_people, of which there is no file",
        ),
        ({"marts__marts_dot_yaml": None}, "marts/marts.yaml: is missing"),
        ({"marts__marts_dot_yaml": "models:\n  a: [\n"}, "marts/marts.yaml:3: not valid YAML"),
        (
            {"marts__marts_dot_yaml": MART_YAML.replace("grain", "grains")},
            "marts/marts.yaml:3: models.mart_people.grain: Field required",
        ),
        (
            {"marts__marts_dot_yaml": MART_YAML.replace("grain: [person_id]", "grain: [nobody]")},
            "marts/marts.yaml:5: the grain of mart_people names nobody, which it has not",
        ),
        (
            {"marts__marts_dot_yaml": MART_YAML.replace("score < 0", "scores < 0")},
            "marts/marts.yaml:10: test none_is_negative of mart_people: Binder Error",
        ),
        (
            {"staging__stg_people_dot_sql": None, "staging__staging_dot_yaml": None},
            "marts/mart_people.sql:1: stg_people is neither a lake table nor a model",
        ),
        (
            {"marts__mart_people_dot_sql": "SELECT person_id, score FROM mart_people"},
            "marts/mart_people.sql: reads itself: mart_people → mart_people",
        ),
    ],
)
def test_a_mistake_is_named_with_its_file_and_line(write: Write, changes: dict[str, str | None], expected: str) -> None:
    """Whoever writes a model would find out at night, from an error in a table that they never wrote."""
    found = problems(write(**changes))
    assert any(problem.startswith(expected) for problem in found), found
