"""The rows of one model as they are in a state of the lake, and what is other in another state.

What belongs here: reading on connections of `Lake`. What does not: which states there are (`services.as_of`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import duckdb

from psa_erp_assets.adapters.duck_sql import identifier

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRows:
    """Rows of a model, in the order of its grain, and how many there are in all."""

    model: str
    columns: tuple[str, ...]
    rows: Sequence[Row]
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RowChange:
    """A row of a model in two states, found by its grain: None where it is not there."""

    kind: Literal["added", "removed", "changed"]
    key: Row
    before: Row | None
    after: Row | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChanges:
    """Rows of a model that are others in a later state; `columns` are those that both states have, the grain first."""

    model: str
    grain: tuple[str, ...]
    columns: tuple[str, ...]
    rows: Sequence[RowChange]
    added: int
    removed: int
    changed: int


class NoSuchColumnError(ValueError):
    """A filter names a column that the model has not in that state; the message says which it has."""


def model_rows(
    connection: duckdb.DuckDBPyConnection,
    model: str,
    grain: Sequence[str],
    *,
    where: Mapping[str, str],
    limit: int | None,
    offset: int,
) -> ModelRows:
    """Rows of a model where each column named has that text as its value. Raises duckdb.CatalogException without it.

    Raises NoSuchColumnError.
    """
    table = identifier(model)
    columns = _columns(connection, table)
    unknown = sorted(where.keys() - set(columns))
    if unknown:
        raise NoSuchColumnError(f"{model} has no column {', '.join(unknown)}; it has {', '.join(columns)}")
    condition = " AND ".join(f"CAST({identifier(name)} AS VARCHAR) = ?" for name in where) or "true"
    values = list(where.values())
    count = connection.execute(f"SELECT count(*) FROM {table} WHERE {condition}", values).fetchone()
    order = ", ".join(identifier(name) for name in grain if name in columns)
    ordered = f"SELECT * FROM {table} WHERE {condition} ORDER BY {order or 'ALL'}"
    page = connection.execute(f"{ordered} LIMIT ? OFFSET ?", [*values, limit, offset])
    return ModelRows(model=model, columns=columns, rows=page.fetchall(), total=int(count[0]) if count else 0)


def model_changes(
    connection: duckdb.DuckDBPyConnection, model: str, grain: Sequence[str], *, limit: int | None
) -> ModelChanges:
    """What is other in the catalog `after` than in `before`, of a connection of `Lake.between`.

    Raises duckdb.CatalogException where a state does not have the model, NoSuchColumnError where one has another grain.
    """
    tables = [f"{state}.{identifier(model)}" for state in ("before", "after")]
    had, has = (_columns(connection, table) for table in tables)
    missing = [name for name in grain if name not in had or name not in has]
    if missing:
        raise NoSuchColumnError(f"{model} had no column {', '.join(missing)} in one of the states")
    columns = (*grain, *(name for name in has if name in had and name not in grain))
    same = " AND ".join(f"was.{identifier(c)} IS NOT DISTINCT FROM now.{identifier(c)}" for c in grain)
    other = " OR ".join(f"was.{identifier(c)} IS DISTINCT FROM now.{identifier(c)}" for c in columns if c not in grain)
    names = ", ".join(identifier(c) for c in columns)
    numbered = list(enumerate(columns))
    # `present` tells a row of nulls from no row.
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE differing AS"
        f" SELECT CASE WHEN was.present IS NULL THEN 'added' WHEN now.present IS NULL THEN 'removed'"
        f" ELSE 'changed' END AS kind,"
        f" {', '.join(f'was.{identifier(c)} AS was_{n}, now.{identifier(c)} AS now_{n}' for n, c in numbered)}"
        f" FROM (SELECT true AS present, {names} FROM {tables[0]}) AS was"
        f" FULL JOIN (SELECT true AS present, {names} FROM {tables[1]}) AS now ON {same}"
        f" WHERE was.present IS NULL OR now.present IS NULL OR {other or 'false'}"
    )
    counts = dict(connection.execute("SELECT kind, count(*) FROM differing GROUP BY kind").fetchall())
    keys = ", ".join(f"coalesce(was_{n}, now_{n})" for n in range(len(grain)))
    found = connection.execute(f"SELECT * FROM differing ORDER BY {keys or 'ALL'} LIMIT ?", [limit]).fetchall()
    return ModelChanges(
        model=model,
        grain=tuple(grain),
        columns=columns,
        rows=[_change(row[0], row[1::2], row[2::2], len(grain)) for row in found],
        added=counts.get("added", 0),
        removed=counts.get("removed", 0),
        changed=counts.get("changed", 0),
    )


def _change(kind: Literal["added", "removed", "changed"], before: Row, after: Row, grain: int) -> RowChange:
    return RowChange(
        kind=kind,
        key=(before if kind == "removed" else after)[:grain],
        before=None if kind == "added" else before,
        after=None if kind == "removed" else after,
    )


def _columns(connection: duckdb.DuckDBPyConnection, table: str) -> tuple[str, ...]:
    return tuple(row[0] for row in connection.execute(f"DESCRIBE {table}").fetchall())
