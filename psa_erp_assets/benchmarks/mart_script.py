"""The marts as a plain DuckDB script computes them: from parquet files, one SELECT after the other, into a DuckDB file.

The SELECTs are the models' own. Written a second time by hand they would come to the same joins of the same tables, so
that what differed would be two authors' habits and not what is asked: what does it cost that a sync keeps the marts
instead of a script? A SELECT that is slow in itself makes both slow; `marts_10m_s` and the seconds of each model show
that. What the script leaves out is all that the sync does besides: tests, comparing with what was there, knowing what
changed, a transaction a table, snapshots, and parquet files. Staging is views over the files, all else are tables.
"""

import json
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


_FILES = "files.json"


def list_files(lake: Lake, folder: Path) -> None:
    """Note in `folder` which parquet files have the rows of each table of the lake; the script reads these very files.

    Of a lake from which nothing was ever deleted. Rows that are still in the catalog are moved to files before.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, list[str]] = {}
    with lake.connection() as connection:
        connection.execute("CALL ducklake_flush_inlined_data('lake')")
        for name in LAKE_TABLES:
            found = connection.execute(f"SELECT data_file FROM ducklake_list_files('lake', {literal(name)})").fetchall()
            files[name] = [path for (path,) in found]
            if not found:
                files[name] = [str(folder / f"{name}.parquet")]
                connection.execute(
                    f"COPY (SELECT * FROM {identifier(name)}) TO {literal(files[name][0])} (FORMAT parquet)"
                )
    (folder / _FILES).write_text(json.dumps(files), encoding="utf-8")


def run(models: Sequence[SqlModel], folder: Path, out: Path, memory: str) -> None:
    """Compute all models from the files that `folder` tells of into the DuckDB file `out`, with so much memory."""
    files = json.loads((folder / _FILES).read_text(encoding="utf-8"))
    with duckdb.connect(str(out), config={"memory_limit": memory, "preserve_insertion_order": False}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for statement in FUNCTIONS:
            connection.execute(statement)
        for name, paths in files.items():
            listed = ", ".join(map(literal, paths))
            connection.execute(
                f"CREATE VIEW {identifier(name)} AS SELECT * FROM read_parquet([{listed}], hive_partitioning = false)"
            )
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
