"""The marts as a plain DuckDB script computes them: from parquet files, one SELECT after the other, into a DuckDB file.

The SELECTs are the models' own, so that both compute the same thing and results can be held against each other. What
the script leaves out is all that the sync does besides: tests, comparing with what was there, knowing what changed, a
transaction a table, snapshots, and comments. Staging is views over the files, all else are tables.
"""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import duckdb

from psa_erp_assets.adapters.duck_sql import FUNCTIONS, identifier, literal
from psa_erp_assets.adapters.lake import Lake
from psa_erp_assets.adapters.sql_models import SqlModel
from psa_erp_assets.contracts.lake_tables import LAKE_TABLES

Totals = dict[str, tuple[int, dict[str, Decimal | int | None]]]
"""By table: how many rows, and the sum of each column of amounts or whole numbers."""


def export(lake: Lake, folder: Path) -> None:
    """Write the lake's tables to parquet files, one a table."""
    folder.mkdir(parents=True, exist_ok=True)
    with lake.connection() as connection:
        for name in LAKE_TABLES:
            target = literal(str(folder / f"{name}.parquet"))
            connection.execute(f"COPY (SELECT * FROM {identifier(name)}) TO {target} (FORMAT parquet)")


def run(models: Sequence[SqlModel], folder: Path, out: Path, memory: str) -> None:
    """Compute all models from the files in `folder` into the DuckDB file `out`, with so much memory."""
    with duckdb.connect(str(out), config={"memory_limit": memory, "preserve_insertion_order": False}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for statement in FUNCTIONS:
            connection.execute(statement)
        for name in LAKE_TABLES:
            file = literal(str(folder / f"{name}.parquet"))
            connection.execute(f"CREATE VIEW {identifier(name)} AS SELECT * FROM read_parquet({file})")
        for model in models:
            connection.execute(f"CREATE {model.kind} {identifier(model.name)} AS {model.sql}")


def totals_of_script(models: Sequence[SqlModel], out: Path) -> Totals:
    """What the script's tables come to."""
    with duckdb.connect(str(out), read_only=True) as connection:
        return _totals(connection, models)


def totals_of_lake(models: Sequence[SqlModel], lake: Lake) -> Totals:
    """What the lake's tables come to."""
    with lake.connection() as connection:
        return _totals(connection, models)


def _totals(connection: duckdb.DuckDBPyConnection, models: Sequence[SqlModel]) -> Totals:
    found: Totals = {}
    for model in models:
        if model.kind == "VIEW":
            continue
        numbers = [c.name for c in model.columns if c.type in ("BIGINT", "INTEGER") or c.type.startswith("DECIMAL")]
        sums = "".join(f", sum({identifier(name)})" for name in numbers)
        row = connection.execute(f"SELECT count(*){sums} FROM {identifier(model.name)}").fetchone()
        assert row is not None
        found[model.name] = (row[0], dict(zip(numbers, row[1:], strict=True)))
    return found
