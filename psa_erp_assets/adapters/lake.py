"""The lake: DuckLake tables, with their catalog in PostgreSQL and their rows in parquet files.

What belongs here: connections, replacing and appending rows, queries (as of now or of a snapshot), maintenance.
What does not: which tables there are (`contracts.lake_tables`) and what is computed from them (`sql_models`).

Several processes may write at once. DuckLake is optimistic: of two commits to one table, one fails. Writers of a
table therefore queue at an advisory lock in the catalog's database, which is faster than losing and beginning again;
what still loses (a race with maintenance) is run again as a whole. docs/adr/0002-ducklake.md has the measurements.
Decimals stay exact both ways, and no column is ever a float.
"""

import contextlib
import datetime as dt
import importlib.util
import tempfile
import threading
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, cast

import duckdb
import pandas as pd
import psycopg
import pyarrow as pa
import tenacity

from psa_erp_assets.adapters import postgres
from psa_erp_assets.adapters.duck_sql import FUNCTIONS, comment_statements, identifier
from psa_erp_assets.adapters.postgres import ServerInfo
from psa_erp_assets.contracts.lake_tables import MONTH, LakeTable

# Commits of up to this many rows go into the catalog instead of a parquet file each; `maintain` moves them out.
INLINED_ROWS = 100
# A file that a merge replaced stays for readers that began before.
_KEEP_REPLACED_FILES = dt.timedelta(days=1)
_RETRY_SECONDS = 120.0
_EXTENSIONS = ("ducklake", "postgres_scanner")
# First half of the advisory locks' ids: one kind for writers of a table, with the checksum of its name as second half,
# one for whoever attaches. A writer attaches while it holds the first, so the two must never be the same lock.
_WRITING, _ATTACHING = 0x1A4E, 0x1A4F

AsOf = int | dt.datetime
_T = TypeVar("_T")


class LakeError(RuntimeError):
    """The lake cannot be reached or does not take what it was given; the message says what and where."""


class LakeSchemaError(LakeError):
    """Rows or a table that are not of the schema that they should be of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A committed state of the whole lake. `changes` as DuckLake words them."""

    id: int
    at: dt.datetime
    changes: Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a write left in the partition. `changed` is False if it had these very rows before."""

    rows: int
    changed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Computed:
    """A table whose rows are computed: the DuckDB type of each column, and the column that has the month.

    Without a month its rows are replaced as a whole. What its columns mean is said where it is published: in the lake
    that takes longer than most tables do.
    """

    name: str
    description: str
    types: Mapping[str, str]
    month: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintained:
    """What a maintenance run did: rows moved out of the catalog, files after merging, snapshots and files removed."""

    rows_flushed: int
    files_merged: int
    snapshots_expired: int
    files_removed: int


class Lake:
    """One lake. Cheap to make; it connects on first use and may be shared by threads, not by forked processes.

    `catalog_url` is the `postgresql://` URL of an existing database, `data_path` a folder or an object-store prefix.
    """

    def __init__(self, catalog_url: str, data_path: Path | str, *, memory_limit: str = "2GB") -> None:
        self._catalog = ServerInfo.from_url(catalog_url)
        self._data_path = str(data_path)
        self._memory_limit = memory_limit
        self._guard = threading.Lock()
        self._instance: duckdb.DuckDBPyConnection | None = None
        # Schemas of tables that were found right: looking again at every write costs more than the write.
        self._right: dict[str, pa.Schema] = {}

    def __repr__(self) -> str:
        return f"Lake({self._catalog.host}:{self._catalog.port}/{self._catalog.maintenance_database})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the catalog. The next use connects again."""
        with self._guard:
            if self._instance is not None:
                self._instance.close()
                self._instance = None

    @contextlib.contextmanager
    def connection(self, as_of: AsOf | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
        """A DuckDB connection whose default catalog is the lake; what it has not committed is rolled back at the end.

        With `as_of` (a snapshot's id, or an instant) it sees that state and cannot write. Raises LakeError when the
        catalog cannot be reached.
        """
        if as_of is not None:
            with self._open({"lake": as_of}) as past:
                _define_functions(past)
                yield past
            return
        with self._guard:
            if self._instance is None:
                self._instance = self._open({"lake": None})
            cursor = self._instance.cursor()
        try:
            cursor.execute("USE lake")
            _define_functions(cursor)
            yield cursor
        finally:
            cursor.close()

    @contextlib.contextmanager
    def between(self, before: int, after: int) -> Iterator[duckdb.DuckDBPyConnection]:
        """A DuckDB connection with the states of two snapshots as its catalogs `before` and `after`, to read alone.

        Raises LakeError when the catalog cannot be reached.
        """
        with self._open({"before": before, "after": after}) as both:
            _define_functions(both)
            yield both

    def replace_partition(
        self, table: LakeTable, frame: pd.DataFrame | pa.Table, keys: Mapping[str, str] | None = None
    ) -> Written:
        """Make `frame` the rows of the partition of `table` that `keys` names, in one transaction.

        `keys` has a value for each of the table's partition columns: none for a table that is replaced whole. The
        table is made on first use and gains columns that its schema gained. Nothing is committed when the rows are
        there already. Raises LakeSchemaError for rows that do not fit the schema or lie outside of the partition.
        """
        rows, keys = to_arrow(frame, table), dict(keys or {})
        _check_partition(rows, keys, table)

        def work(connection: duckdb.DuckDBPyConnection) -> Written:
            if self._right.get(table.name) is not table.schema:
                _ensure_table(connection, table)
            if keys or not table.by_month:
                return _replace_rows(connection, table.name, table.schema.names, keys)
            changed = _replace_months(connection, (table.name, MONTH), table.schema.names)
            return Written(rows=rows.num_rows, changed=changed)

        written = self._transaction(work, rows, queue=table.name)
        self._right[table.name] = table.schema
        return written

    def append(self, table: LakeTable, frame: pd.DataFrame | pa.Table) -> int:
        """Add rows to `table`, which is made on first use; returns how many. Raises LakeSchemaError."""
        rows = to_arrow(frame, table)
        columns = ", ".join(identifier(name) for name in table.schema.names)

        def work(connection: duckdb.DuckDBPyConnection) -> int:
            _ensure_table(connection, table)
            connection.execute(f"INSERT INTO {identifier(table.name)} ({columns}) SELECT {columns} FROM incoming")
            return int(rows.num_rows)

        return self._transaction(work, rows, queue=table.name)

    def transaction(self, work: Callable[[duckdb.DuckDBPyConnection], _T], *, queue: str | None = None) -> _T:
        """`work` in one transaction, alone among the writers of the table `queue`; again if it still loses a race."""
        return self._transaction(work, queue=queue)

    @contextlib.contextmanager
    def catalog(self) -> "Iterator[psycopg.Connection[Any]]":
        """The database that DuckLake keeps its catalog in, each statement committed at once."""
        with contextlib.closing(postgres.connect(self._catalog, self._catalog.maintenance_database)) as connection:
            yield connection

    def replace_texts(self, replacements: Mapping[str, str]) -> dict[str, int]:
        """Put other texts in the place of these, in their order, wherever they stand in a text column of any table.

        Answers with how many rows of each table that were. Older states keep what they had until they are forgotten
        (`maintain`), and the files of the rows of before until a day after that.
        """
        columns: dict[str, list[str]] = {}
        found = self.query(
            "SELECT table_name, column_name FROM duckdb_columns() WHERE database_name = 'lake'"
            " AND data_type = 'VARCHAR' AND table_name IN (SELECT table_name FROM duckdb_tables()"
            " WHERE database_name = 'lake') ORDER BY 1, 2"
        )
        for row in found.to_pylist():
            columns.setdefault(row["table_name"], []).append(row["column_name"])
        olds, news = list(replacements), list(replacements.values())
        changed = {}
        for table, names in columns.items() if olds else ():
            cleaned = {name: "replace(" * len(olds) + identifier(name) + ", ?, ?)" * len(olds) for name in names}
            sets = ", ".join(f"{identifier(name)} = {cleaned[name]}" for name in names)
            hits = " OR ".join(f"contains({identifier(name)}, ?)" for name in names for _ in olds)
            pairs = [text for pair in zip(olds, news, strict=True) for text in pair]
            parameters = [*pairs * len(names), *olds * len(names)]
            statement = f"UPDATE {identifier(table)} SET {sets} WHERE {hits}"

            def work(connection: duckdb.DuckDBPyConnection, statement: str = statement, given: Any = parameters) -> int:
                row = connection.execute(statement, given).fetchone()
                return int(row[0]) if row else 0

            count = self._transaction(work, queue=table)
            if count:
                changed[table] = count
        return changed

    def define_view(self, name: str, statement: str, description: str) -> bool:
        """Make `name` the view of a SELECT; False when it is that already, in which case nothing is committed."""
        definition = "SELECT sql FROM duckdb_views() WHERE database_name = 'lake' AND view_name = ?"

        def work(connection: duckdb.DuckDBPyConnection) -> bool:
            before = connection.execute(definition, [name]).fetchone()
            connection.execute(f"CREATE OR REPLACE VIEW {identifier(name)} AS {statement}")
            same = before == connection.execute(definition, [name]).fetchone()
            if same:
                # DuckDB has its own spelling of a statement, so the two could only be compared once both were made.
                connection.rollback()
                connection.begin()
            return _describe(connection, name, "VIEW", description, {}) or not same

        return self._transaction(work, queue=name)

    def rows(self, table: str) -> pa.Table:
        """All rows of a table."""
        return self.query(f"SELECT * FROM {identifier(table)}")

    def query(
        self, statement: str, parameters: Sequence[object] | Mapping[str, object] = (), *, as_of: AsOf | None = None
    ) -> pa.Table:
        """The rows of a SELECT with `?` or `$name` parameters, now or as of a snapshot's id or an instant."""

        def work(connection: duckdb.DuckDBPyConnection) -> pa.Table:
            return connection.execute(statement, parameters).to_arrow_table()

        if as_of is not None:
            with self.connection(as_of) as past:
                return work(past)
        return self._transaction(work)

    def frame(
        self, statement: str, parameters: Sequence[object] | Mapping[str, object] = (), *, as_of: AsOf | None = None
    ) -> pd.DataFrame:
        """`query` as a pandas frame: Decimals and dates as objects, integers integers even beside nulls."""
        table = self.query(statement, parameters, as_of=as_of)
        return cast("pd.DataFrame", table.to_pandas(integer_object_nulls=True, date_as_object=True))

    def ensure_tables(self, tables: Iterable[LakeTable]) -> None:
        """Make those that do not exist, without rows, so that models can read them before anything was written."""
        wanted = list(tables)

        def work(connection: duckdb.DuckDBPyConnection) -> None:
            for table in wanted:
                _ensure_table(connection, table)

        self._transaction(work, queue="")

    def tables(self) -> list[str]:
        """Names of all tables, sorted."""
        found = self.query("SELECT table_name FROM duckdb_tables() WHERE database_name = 'lake' ORDER BY 1")
        return [str(name) for name in found.column(0).to_pylist()]

    def snapshots(self) -> list[Snapshot]:
        """All states that can still be queried, oldest first."""
        rows = self.query("SELECT snapshot_id, snapshot_time, changes FROM lake.snapshots() ORDER BY 1").to_pylist()
        return [Snapshot(id=r["snapshot_id"], at=r["snapshot_time"], changes=dict(r["changes"])) for r in rows]

    def readable(self, snapshots: Collection[int]) -> set[int]:
        """Those of the snapshots that can still be queried."""
        found = self.query(
            "SELECT snapshot_id FROM lake.snapshots() WHERE snapshot_id IN (SELECT unnest(?))", [list(snapshots)]
        )
        return set(found.column(0).to_pylist())

    def maintain(self, *, keep: dt.timedelta, kept: Collection[int] = ()) -> Maintained:
        """Move inlined rows to files, merge small files, forget states older than `keep`, remove what nobody needs.

        The snapshots `kept` stay however old they are. Safe beside readers and writers; run it on a schedule, as every
        commit leaves a small file or inlined rows.
        """
        flushed = self._call("SELECT coalesce(sum(rows_flushed), 0) FROM ducklake_flush_inlined_data('lake')")
        merged = self._call("SELECT count(*) FROM ducklake_merge_adjacent_files('lake')")
        self._call("SELECT count(*) FROM ducklake_rewrite_data_files('lake')")
        expired = self._expire(keep, kept)
        removed = self._call(
            "SELECT count(*) FROM ducklake_cleanup_old_files('lake', older_than => now() - to_seconds(?))",
            _KEEP_REPLACED_FILES,
        )
        return Maintained(rows_flushed=flushed, files_merged=merged, snapshots_expired=expired, files_removed=removed)

    def _expire(self, keep: dt.timedelta, kept: Collection[int]) -> int:
        """Forget the states older than `keep` but the latest and those `kept`; returns how many."""

        def work(connection: duckdb.DuckDBPyConnection) -> int:
            found = connection.execute(
                "SELECT list(snapshot_id) FROM lake.snapshots() WHERE snapshot_time < now() - to_seconds(?)"
                " AND snapshot_id NOT IN (SELECT unnest(CAST(? AS BIGINT[])))"
                " AND snapshot_id < (SELECT max(snapshot_id) FROM lake.snapshots())",
                [keep.total_seconds(), list(kept)],
            ).fetchone()
            old = found[0] if found else None
            if old:
                connection.execute("CALL ducklake_expire_snapshots('lake', versions => ?)", [old])
            return len(old or ())

        return self._transaction(work)

    def _call(self, statement: str, age: dt.timedelta | None = None) -> int:
        parameters = [] if age is None else [age.total_seconds()]

        def work(connection: duckdb.DuckDBPyConnection) -> int:
            row = connection.execute(statement, parameters).fetchone()
            return int(row[0]) if row else 0

        return self._transaction(work)

    def _transaction(
        self,
        work: Callable[[duckdb.DuckDBPyConnection], _T],
        incoming: pa.Table | None = None,
        queue: str | None = None,
    ) -> _T:
        """`work` and its commit, alone among the writers of the table `queue`; again if it still loses a race."""
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type((duckdb.TransactionException, duckdb.IOException)),
            stop=tenacity.stop_after_delay(_RETRY_SECONDS),
            wait=tenacity.wait_random_exponential(multiplier=0.02, max=2),
            reraise=True,
        )
        with contextlib.nullcontext() if queue is None else self._locked(_WRITING, zlib.crc32(queue.encode())):
            return cast("_T", retrying(self._attempt, work, incoming))

    def _attempt(self, work: Callable[[duckdb.DuckDBPyConnection], _T], incoming: pa.Table | None) -> _T:
        try:
            with self.connection() as connection:
                if incoming is not None:
                    connection.register("incoming", incoming)
                connection.begin()
                result = work(connection)
                connection.commit()
                return result
        except duckdb.IOException:
            # Its connections to the catalog may have died with a restart; the next attempt makes new ones.
            self.close()
            raise

    @contextlib.contextmanager
    def _locked(self, kind: int, number: int) -> Iterator[None]:
        """Hold an advisory lock of the catalog's database; the server lets it go when this process dies."""
        signed = number - (number >> 31 << 32)
        with contextlib.closing(postgres.connect(self._catalog, self._catalog.maintenance_database)) as connection:
            connection.execute("SELECT set_config('lock_timeout', %s, false)", (f"{_RETRY_SECONDS:.0f}s",))
            try:
                connection.execute("SELECT pg_advisory_lock(%s, %s)", (kind, signed))
            except psycopg.errors.LockNotAvailable:
                raise LakeError(f"another process has been writing for more than {_RETRY_SECONDS:.0f} s") from None
            yield

    def _open(self, catalogs: Mapping[str, AsOf | None]) -> duckdb.DuckDBPyConnection:
        """A connection to the lake under these names, each as of its snapshot or instant, the last one by default."""
        connection = duckdb.connect(
            config={
                "memory_limit": self._memory_limit,
                "temp_directory": str(Path(tempfile.gettempdir()) / "psa-erp-duckdb"),
                "autoinstall_known_extensions": False,
                # Rows have no order of their own; keeping one costs memory and time.
                "preserve_insertion_order": False,
            }
        )
        try:
            connection.execute("SET TimeZone = 'UTC'")
            for name in _EXTENSIONS:
                load_extension(connection, name)
            # Secrets, because a connection string would stand in every error message.
            connection.execute(
                "CREATE SECRET catalog (TYPE postgres, HOST $host, PORT $port, DATABASE $database,"
                " USER $user, PASSWORD $password)",
                {
                    "host": self._catalog.host,
                    "port": self._catalog.port,
                    "database": self._catalog.maintenance_database,
                    "user": self._catalog.user,
                    "password": self._catalog.password,
                },
            )
            options = " ".join(f"{name}={value}" for name, value in self._catalog.options)
            connection.execute(
                "CREATE SECRET lake (TYPE ducklake, METADATA_PATH $options, DATA_PATH $data_path,"
                " METADATA_PARAMETERS MAP {'TYPE': 'postgres', 'SECRET': 'catalog'})",
                {"options": options, "data_path": self._data_path},
            )
            # The first to attach creates the catalog's tables, and two cannot do so at once.
            with self._locked(_ATTACHING, 0):
                for name, as_of in catalogs.items():
                    connection.execute(f"ATTACH 'ducklake:lake' AS {name} ({_attach_options(as_of)})")
                    connection.execute(f"USE {name}")
        except duckdb.Error:
            connection.close()
            raise
        return connection


def _define_functions(connection: duckdb.DuckDBPyConnection) -> None:
    # Temporary ones, because the lake keeps none; a cursor does not have those of its connection.
    for statement in FUNCTIONS:
        connection.execute(statement)


def load_extension(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Load a DuckDB extension from its wheel, without a network; from DuckDB's repository where there is no wheel."""
    spec = importlib.util.find_spec(f"duckdb_extension_{name}")
    roots = (spec.submodule_search_locations if spec else None) or []
    files = [Path(root) / "extensions" / f"v{duckdb.__version__}" / f"{name}.duckdb_extension" for root in roots]
    for file in files:
        if file.exists():
            connection.load_extension(str(file))
            return
    connection.install_extension(name)
    connection.load_extension(name)


def to_arrow(frame: pd.DataFrame | pa.Table, table: LakeTable) -> pa.Table:
    """`frame` as exactly the table's schema, or LakeSchemaError that names the column and what is wrong with it.

    Floats are refused where decimals belong, however whole they look: their cents are already lost.
    """
    names = set(frame.columns if isinstance(frame, pd.DataFrame) else frame.column_names)
    wanted = set(table.schema.names)
    if names != wanted:
        missing, surplus = sorted(wanted - names), sorted(map(str, names - wanted))
        raise LakeSchemaError(f"{table.name}: missing columns {missing}, unknown columns {surplus}")
    return pa.table([_array(frame[field.name], field, table) for field in table.schema], schema=table.schema)


def _array(values: "pd.Series[Any] | pa.ChunkedArray", field: pa.Field, table: LakeTable) -> pa.Array:
    where = f"{table.name}.{field.name}"
    series = isinstance(values, pd.Series)
    if series and not values.notna().any():
        # Whatever type pandas gave it: a column without a value is often one of floats.
        array = pa.nulls(len(values), field.type)
    elif pa.types.is_decimal(field.type) and (
        values.dtype.kind == "f" if series else pa.types.is_floating(values.type)
    ):
        raise LakeSchemaError(f"{where}: floats where decimals belong")
    else:
        try:
            array = pa.array(values, type=field.type, from_pandas=True) if series else values.cast(field.type)
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise LakeSchemaError(f"{where}: not {field.type}: {error}") from error
    if not field.nullable and array.null_count:
        raise LakeSchemaError(f"{where}: {array.null_count} of {len(array)} values are missing")
    return array


def _check_partition(rows: pa.Table, keys: Mapping[str, str], table: LakeTable) -> None:
    if set(keys) != set(table.partitioned_by):
        wanted = ", ".join(table.partitioned_by) or "no columns"
        raise LakeSchemaError(f"{table.name} is partitioned by {wanted}, not by {', '.join(keys) or 'none'}")
    for column, value in keys.items():
        strangers = set(rows.column(column).unique().to_pylist()) - {value}
        if strangers:
            raise LakeSchemaError(f"{table.name}: rows of {column} {sorted(strangers)} in partition {value}")


def _ensure_table(connection: duckdb.DuckDBPyConnection, table: LakeTable) -> None:
    wanted, found = column_types(connection, table), _columns(connection, table.name)
    if not found:
        _create_table(connection, table.name, wanted, table.partitioned_by)
    else:
        for column, kind in wanted.items():
            if column not in found:
                connection.execute(f"ALTER TABLE {identifier(table.name)} ADD COLUMN {identifier(column)} {kind}")
            elif found[column] != kind:
                raise LakeSchemaError(f"{table.name}.{column} is {found[column]} in the lake and {kind} in its schema")
    _describe(connection, table.name, "TABLE", table.description, table.comments())


def _columns(connection: duckdb.DuckDBPyConnection, name: str) -> dict[str, str]:
    found = connection.execute(
        "SELECT column_name, data_type FROM duckdb_columns() WHERE database_name = 'lake' AND table_name = ?"
        " ORDER BY column_index",
        [name],
    )
    return dict(found.fetchall())


def _create_table(
    connection: duckdb.DuckDBPyConnection, name: str, types: Mapping[str, str], partitioned_by: Sequence[str] = ()
) -> None:
    body = ", ".join(f"{identifier(column)} {kind}" for column, kind in types.items())
    connection.execute(f"CREATE TABLE {identifier(name)} ({body})")
    if partitioned_by:
        columns = ", ".join(identifier(column) for column in partitioned_by)
        connection.execute(f"ALTER TABLE {identifier(name)} SET PARTITIONED BY ({columns})")


def _describe(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    kind: Literal["TABLE", "VIEW"],
    description: str,
    comments: Mapping[str, str],
) -> bool:
    """Set the comments where they are others; returns whether they were."""
    found = connection.execute(
        "SELECT NULL, comment FROM duckdb_tables() WHERE database_name = 'lake' AND table_name = $name"
        " UNION ALL SELECT NULL, comment FROM duckdb_views() WHERE database_name = 'lake' AND view_name = $name"
        " UNION ALL SELECT column_name, comment FROM duckdb_columns()"
        " WHERE database_name = 'lake' AND table_name = $name AND comment IS NOT NULL",
        {"name": name},
    )
    if dict(found.fetchall()) == {None: description} | dict(comments):
        return False
    for statement in comment_statements(name, kind, description, comments):
        connection.execute(statement)
    return True


def write_computed(
    connection: duckdb.DuckDBPyConnection, table: Computed, statement: str, months: Collection[str] | None = None
) -> Written:
    """Make the rows of a SELECT those that a table has of `months`, or all that it has.

    Of months alone, the table is there with these very columns. Months that have these very rows are not written; of a
    table without months all rows are, or none. The table is dropped and made anew when its columns are others: what is
    computed can be computed again. (A change of the catalog costs every process that uses the lake some 0.2 s at its
    next statement, so a table is not made anew for new rows.)
    """
    name, names = table.name, list(table.types)
    if months is None:
        if list(_columns(connection, name).items()) != list(table.types.items()):
            connection.execute(f"DROP TABLE IF EXISTS {identifier(name)}")
            _create_table(connection, name, table.types)
        _describe(connection, name, "TABLE", table.description, {})
    if connection.execute(f"SELECT 1 FROM {identifier(name)} LIMIT 1").fetchone() is None:
        row = connection.execute(f"INSERT INTO {identifier(name)} {statement}").fetchone()
        return Written(rows=int(row[0]) if row else 0, changed=bool(row and row[0]))
    connection.execute(f"CREATE OR REPLACE TEMP TABLE incoming AS {statement}")
    if table.month is None:
        return _replace_rows(connection, name, names, {})
    changed = _replace_months(connection, (name, table.month), names, months)
    count = connection.execute(f"SELECT count(*) FROM {identifier(name)}").fetchone()
    return Written(rows=int(count[0]) if count else 0, changed=changed)


def _replace_months(
    connection: duckdb.DuckDBPyConnection,
    by: tuple[str, str],
    names: Sequence[str],
    months: Collection[str] | None = None,
) -> bool:
    """Make the rows of `incoming` those of `months`, or of all; returns whether any month had others.

    `by` are the table and the column that has the month. A month's rows are compared by their number and the sum of
    their digests.
    """
    target, key, columns = identifier(by[0]), identifier(by[1]), ", ".join(map(identifier, names))
    sums = f"SELECT {key} AS month, count(*) AS rows, sum(CAST(hash({columns}) AS HUGEINT)) AS digests FROM"
    mine = "" if months is None else f" WHERE {key} IN (SELECT unnest(?))"
    differing = connection.execute(
        f"SELECT coalesce(old.month, new.month) FROM ({sums} {target}{mine} GROUP BY ALL) AS old"
        f" FULL JOIN ({sums} incoming GROUP BY ALL) AS new ON new.month = old.month"
        " WHERE (old.rows, old.digests) IS DISTINCT FROM (new.rows, new.digests)",
        [] if months is None else [list(months)],
    ).fetchall()
    if not differing:
        return False
    wanted = [row[0] for row in differing]
    connection.execute(f"DELETE FROM {target} WHERE {key} IN (SELECT unnest(?))", [wanted])
    connection.execute(
        f"INSERT INTO {target} ({columns}) SELECT {columns} FROM incoming WHERE {key} IN (SELECT unnest(?))", [wanted]
    )
    return True


def _replace_rows(
    connection: duckdb.DuckDBPyConnection, name: str, names: Sequence[str], keys: Mapping[str, str]
) -> Written:
    """Make the rows of `incoming` those of a partition, unless they are already."""
    mine = " AND ".join(f"{identifier(column)} = ?" for column in keys) or "true"
    values = list(keys.values())
    columns = ", ".join(identifier(column) for column in names)
    old = f"SELECT {columns} FROM {identifier(name)} WHERE {mine}"
    new = f"SELECT {columns} FROM incoming"
    row = connection.execute(
        f"SELECT n, n = (SELECT count(*) FROM ({old}))"
        f" AND NOT EXISTS (({old}) EXCEPT ALL ({new})) FROM (SELECT count(*) AS n FROM incoming)",
        [*values, *values],
    ).fetchone()
    assert row is not None
    rows, same = int(row[0]), bool(row[1])
    if not same:
        connection.execute(f"DELETE FROM {identifier(name)} WHERE {mine}", values)
        connection.execute(f"INSERT INTO {identifier(name)} ({columns}) {new}")
    return Written(rows=rows, changed=not same)


def column_types(connection: duckdb.DuckDBPyConnection, table: LakeTable) -> dict[str, str]:
    """The DuckDB type of each column. Raises LakeSchemaError for a float: amounts would lose cents."""
    for field in table.schema:
        if pa.types.is_floating(field.type):
            raise LakeSchemaError(f"{table.name}.{field.name}: no column of the lake is a float; use a decimal")
    connection.register("shape", table.schema.empty_table())
    described = connection.execute("DESCRIBE SELECT * FROM shape").fetchall()
    connection.unregister("shape")
    return {row[0]: row[1] for row in described}


def _attach_options(as_of: AsOf | None) -> str:
    if as_of is None:
        return f"DATA_INLINING_ROW_LIMIT {INLINED_ROWS}"
    if isinstance(as_of, int):
        return f"SNAPSHOT_VERSION {as_of:d}"
    return f"SNAPSHOT_TIME '{as_of.astimezone(dt.UTC).isoformat()}'"
