"""Models built on the lake: as a whole, or for the months alone that concern them, and their tests likewise.

Of each model the catalog's database keeps as of which snapshot of the lake it was built, and by which definition. What
has changed in its inputs since then, DuckLake says itself. From that follows which months of it can be others: none,
some (`sql_models.Incremental`) or all. docs/adr/0016-models-by-month.md has the rules and why they hold.

Leaving such a note is no part of the transaction that writes the rows: a note that is too old only has a month made
again, with the same rows.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import pandas as pd
import psycopg

from psa_erp_assets.adapters.duck_sql import identifier, literal
from psa_erp_assets.adapters.lake import Computed, Lake, Written, write_computed
from psa_erp_assets.adapters.sql_models import Incremental, LookUp, ModelTest, SqlModel
from psa_erp_assets.contracts.lake_tables import LAKE_TABLES

# How many failing rows a test hands back; their number is always whole.
_SAMPLE = 20
_NO_ROWS = pd.DataFrame()
_TABLE = """
CREATE TABLE IF NOT EXISTS model_build (
    model text PRIMARY KEY, fingerprint text NOT NULL, lake_snapshot bigint NOT NULL, rows bigint NOT NULL,
    passed boolean NOT NULL
)
"""


@dataclass(frozen=True, slots=True)
class TestResult:
    """How many rows break a test's rule, and the first of them."""

    name: str
    failures: int
    sample: pd.DataFrame

    @property
    def passed(self) -> bool:
        """Whether no row breaks it."""
        return self.failures == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A model as it now is in the lake: what was written, and how its tests came out.

    `months` are those that were made; None where all were.
    """

    written: Written
    tests: Sequence[TestResult]
    months: frozenset[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Note:
    """As of which snapshot a model was built, with so many rows, and whether all of its tests passed."""

    lake_snapshot: int
    rows: int
    passed: bool


def build(lake: Lake, model: SqlModel, *, whole: bool = False) -> Built:
    """Bring a model's table or view up to date and test it; `whole` is for making all of it in any case.

    Lake tables that nothing has written yet are made, without rows. `changed` is about the rows of a table and the
    definition of a view.
    """
    with lake.catalog() as catalog:
        note = None if whole else _noted(catalog, model)
        snapshot, since = _changes_since(catalog, note)
    changed = False
    if note is None:
        lake.ensure_tables(LAKE_TABLES[table] for table in model.inputs if table in LAKE_TABLES)
        if model.kind == "VIEW":
            changed = lake.define_view(model.name, model.sql, model.description)
    months: frozenset[str] | None = frozenset()
    rows = note.rows if note else 0
    if since is None or since & _stored(model, model.inputs):
        written, months = lake.transaction(lambda c: _write(c, model, since, note, snapshot), queue=model.name)
        changed, rows = changed or written.changed, written.rows
    if since is None or not note or not note.passed or since & _stored(model, model.tested_against):
        tests = _tested(lake, model, None)
    else:
        # Rows that are those of before have passed already; a view has the rows of its tables.
        tests = _tested(lake, model, months if changed or model.kind == "VIEW" else frozenset())
    with lake.catalog() as catalog:
        passed = all(test.passed for test in tests)
        _leave_note(catalog, model, _Note(lake_snapshot=snapshot, rows=rows, passed=passed))
    return Built(written=Written(rows=rows, changed=changed), tests=tests, months=months)


def _stored(model: SqlModel, names: Iterable[str]) -> set[str]:
    return {table for name in names for table in model.stored[name]}


def _write(
    connection: duckdb.DuckDBPyConnection,
    model: SqlModel,
    since: Collection[str] | None,
    note: _Note | None,
    snapshot: int,
) -> tuple[Written, frozenset[str] | None]:
    months = None if since is None else _concerned(connection, model, since, note, snapshot)
    if months == frozenset() and note is not None:
        return Written(rows=note.rows, changed=False), months
    if model.kind == "VIEW":
        count = connection.execute(f"SELECT count(*) FROM {identifier(model.name)}").fetchone()
        return Written(rows=int(count[0]) if count else 0, changed=False), months
    table = Computed(
        name=model.name,
        description=model.description,
        types={column.name: column.type for column in model.columns},
        month=model.incremental.month if model.incremental else None,
    )
    statement = model.sql if months is None else model.of_months(months)
    return write_computed(connection, table, statement, months), months


def _concerned(
    connection: duckdb.DuckDBPyConnection, model: SqlModel, since: Collection[str], note: _Note | None, snapshot: int
) -> frozenset[str] | None:
    """The months of a model that can be others now that these tables of the lake have changed; None for all."""
    changed = {name: [t for t in model.stored[name] if t in since] for name in model.inputs}
    changed = {name: tables for name, tables in changed.items() if tables}
    if not changed:
        return frozenset()
    by = model.incremental
    if by is None or note is None or not set(changed) <= {*by.by_month, *(look.input for look in by.by_key)}:
        return None
    found: set[str] = set()
    between = (note.lake_snapshot + 1, snapshot)
    for name, tables in changed.items():
        if name in by.by_month:
            for table in tables:
                column = identifier(by.month)
                found |= _texts(connection, f"SELECT DISTINCT {column} FROM {_changes(table)}", between)
    for look in by.by_key:
        if look.input in changed:
            found |= _looked_up(connection, by, look, between)
    return frozenset(found)


def _looked_up(
    connection: duckdb.DuckDBPyConnection, by: Incremental, look: LookUp, between: tuple[int, int]
) -> set[str]:
    """The months in which the keys of an input's changed rows are found."""
    # What was written anew as it was has not changed.
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE changed_key AS SELECT DISTINCT {identifier(look.column)} AS key FROM ("
        "SELECT * EXCLUDE (snapshot_id, rowid, change_type),"
        " sum(CASE WHEN change_type IN ('insert', 'update_postimage') THEN 1 ELSE -1 END) AS net"
        f" FROM {_changes(look.table)} GROUP BY ALL HAVING net <> 0)",
        between,
    )
    month, found = identifier(by.month), set[str]()
    for source, column in look.found_in:
        keys = f"{identifier(column)} IN (SELECT key FROM changed_key)"
        found |= _texts(connection, f"SELECT DISTINCT {month} FROM {identifier(source)} WHERE {keys}")
    return found


def _changes(table: str) -> str:
    """Rows that were inserted into or deleted from a table between two snapshots, which are parameters."""
    return f"ducklake_table_changes('lake', 'main', {literal(table)}, ?, ?)"


def _texts(connection: duckdb.DuckDBPyConnection, statement: str, parameters: Sequence[object] = ()) -> set[str]:
    return {row[0] for row in connection.execute(statement, parameters).fetchall()}


def _tested(lake: Lake, model: SqlModel, months: frozenset[str] | None) -> list[TestResult]:
    """The result of each of the model's tests on what the lake has now.

    `months` are all that may be other rows than those that have passed every test; None for any.
    """
    if months is not None and not months:
        return [TestResult(test.name, 0, _NO_ROWS) for test in model.tests]
    failures = _failures(lake, model, months)
    results = []
    for test, count in zip(model.tests, failures, strict=True):
        sample = f"SELECT * FROM ({test.sql}) LIMIT {_SAMPLE}"
        results.append(TestResult(test.name, count, lake.frame(sample) if count else _NO_ROWS))
    return results


def _failures(lake: Lake, model: SqlModel, months: frozenset[str] | None) -> list[int]:
    """How many rows break each test. Conditions of rows and sums for uniqueness are found in one reading."""
    where = ""
    if months is not None and model.incremental is not None:
        where = f" WHERE {_in(model.incremental.month, months)}"
    seen = {test.name: f"count(*) FILTER (WHERE {test.breaks})" for test in model.tests if test.breaks}
    seen |= {t.name: f"count(*) - count(DISTINCT {_digest(t.unique)})" for t in model.tests if t.unique}
    names, found = list(seen), dict[str, int]()
    if names:
        counts = lake.query(f"SELECT {', '.join(seen.values())} FROM {identifier(model.name)}{where}")
        found = {name: int(column[0].as_py()) for name, column in zip(names, counts.columns, strict=True)}
    for test in model.tests:
        if test.unique and not found[test.name] and where and model.incremental is not None:
            found[test.name] = _elsewhere(lake, model, test, model.incremental.month, months or frozenset())
        # Two keys may have one digest, and nothing but the test itself says which rows are there twice.
        if test.name not in found or (test.unique and found[test.name]):
            count = lake.query(f"SELECT count(*) FROM ({test.sql})")
            found[test.name] = int(count.column(0)[0].as_py())
    return [found[test.name] for test in model.tests]


def _elsewhere(lake: Lake, model: SqlModel, test: ModelTest, month: str, months: Collection[str]) -> int:
    """How many rows of other months seem to have a key of these months."""
    if month in test.unique:
        return 0
    mine, digest, name = _in(month, months), _digest(test.unique), identifier(model.name)
    found = lake.query(
        f"SELECT count(*) FROM {name} WHERE NOT {mine} AND {digest} IN (SELECT {digest} FROM {name} WHERE {mine})"
    )
    return int(found.column(0)[0].as_py())


def _digest(columns: Sequence[str]) -> str:
    """64 bits in the place of a key: rows of different digests have different keys."""
    return f"hash({', '.join(map(identifier, columns))})"


def _in(column: str, values: Collection[str]) -> str:
    return f"{identifier(column)} IN ({', '.join(map(literal, sorted(values)))})"


def _noted(catalog: "psycopg.Connection[Any]", model: SqlModel) -> _Note | None:
    """As of when the model was built by its present definition; None if it never was."""
    try:
        row = catalog.execute(
            "SELECT lake_snapshot, rows, passed FROM model_build WHERE model = %s AND fingerprint = %s",
            (model.name, model.fingerprint),
        ).fetchone()
    except psycopg.errors.UndefinedTable:
        return None
    return _Note(lake_snapshot=row[0], rows=row[1], passed=row[2]) if row else None


def _changes_since(catalog: "psycopg.Connection[Any]", note: _Note | None) -> tuple[int, frozenset[str] | None]:
    """The latest snapshot, and the names of the tables that may have changed after that of the note.

    None in the place of the names where that cannot be told: without a note, or where its snapshot is forgotten.
    """
    row = catalog.execute(
        "SELECT max(snapshot_id), coalesce(bool_or(snapshot_id = %(since)s), false) FROM ducklake_snapshot",
        {"since": note and note.lake_snapshot},
    ).fetchone()
    assert row is not None
    latest, known = row
    if note is None or not known:
        return latest or 0, None
    # A change is written as what was done, a colon, and the number of the table; https://ducklake.select has the list.
    names = catalog.execute(
        "SELECT DISTINCT table_name FROM ducklake_table WHERE table_id IN (SELECT CAST(found[1] AS bigint)"
        " FROM ducklake_snapshot_changes, regexp_matches(changes_made, '[a-z_]+:([0-9]+)', 'g') AS found"
        " WHERE snapshot_id > %s)",
        (note.lake_snapshot,),
    )
    return latest, frozenset(name for (name,) in names)


def _leave_note(catalog: "psycopg.Connection[Any]", model: SqlModel, note: _Note) -> None:
    values = (model.name, model.fingerprint, note.lake_snapshot, note.rows, note.passed)
    with catalog.transaction():
        # Two that make the table at once would be in each other's way.
        catalog.execute("SELECT pg_advisory_xact_lock(hashtext('model_build'))")
        catalog.execute(_TABLE)
        catalog.execute(
            "INSERT INTO model_build VALUES (%s, %s, %s, %s, %s) ON CONFLICT (model) DO UPDATE SET"
            " (fingerprint, lake_snapshot, rows, passed) ="
            " (excluded.fingerprint, excluded.lake_snapshot, excluded.rows, excluded.passed)",
            values,
        )
