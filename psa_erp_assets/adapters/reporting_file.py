"""Reading the reporting file: always the newest one, by any number of threads, and never writing.

What belongs here: opening the published file anew when another takes its place, and asking it. What does not: writing
it (`adapters.reporting`), and what is asked (`services.report_queries`).
"""

import contextlib
import datetime as dt
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
from sqlalchemy import Select
from sqlalchemy.dialects.postgresql.base import PGDialect

from psa_erp_assets.adapters.duck_sql import literal

REPORTING_FILE = "reporting.duckdb"
"""Its name in the home."""

# DuckDB speaks PostgreSQL's dialect and takes parameters by number.
_DIALECT = PGDialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]  # SQLAlchemy says no types of it
_MEMORY = "1GB"


class ReportingFileError(RuntimeError):
    """The file cannot be read as it should be; the message says what to do about it."""


class NoReportingFileError(ReportingFileError):
    """No reporting run has published a file yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """When a file was written, aware, and of which snapshot of the lake."""

    published_at: dt.datetime
    lake_snapshot: int


@dataclass(frozen=True, slots=True)
class Found:
    """Rows of a query, and the names of their columns."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]

    def dicts(self) -> list[dict[str, Any]]:
        """The rows by name of the column."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


class Reader:
    """One state of the tables: all that it reads fits together."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, publication: Publication) -> None:
        self._connection = connection
        self.publication = publication

    def read(self, statement: Select[Any]) -> Found:
        """The rows of a query over tables of the file. Raises ReportingFileError where the file has no such table."""
        text, values = compiled(statement)
        try:
            cursor = self._connection.execute(text, values)
        except duckdb.CatalogException as error:
            raise ReportingFileError(
                "The reporting file was written by an older version. Run the reporting job again."
            ) from error
        return Found(tuple(column[0] for column in cursor.description or ()), cursor.fetchall())


class ReportingFile:
    """The published file of a home. Cheap to make: it is opened on first use, and again when it was replaced."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._guard = threading.Lock()
        self._opened: tuple[object, duckdb.DuckDBPyConnection] | None = None

    @contextlib.contextmanager
    def open(self) -> Iterator[Reader]:
        """A reader of the newest file. Raises NoReportingFileError where there is none, ReportingFileError else."""
        with self._guard:
            try:
                base = self._newest()
            except FileNotFoundError as error:
                raise NoReportingFileError("No reporting file has been published yet.") from error
            except duckdb.Error as error:
                raise ReportingFileError("The reporting file cannot be read. Run the reporting job again.") from error
            cursor = base.cursor()
        try:
            cursor.execute("USE report")
            yield Reader(cursor, _publication(cursor))
        finally:
            cursor.close()

    def _newest(self) -> duckdb.DuckDBPyConnection:
        found = self.path.stat()
        # A rename puts another inode there; the time tells apart one that has got the same number again.
        identity = (found.st_ino, found.st_mtime_ns, found.st_size)
        if self._opened is None or self._opened[0] != identity:
            # Who still reads the old one has a cursor of it, which keeps it open until the end.
            self._opened = (identity, _attach(self.path))
        return self._opened[1]


def compiled(statement: Select[Any]) -> tuple[str, Sequence[Any]]:
    """A query as DuckDB takes it: its text, and its parameters in order."""
    ready = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    return str(ready), [ready.params[name] for name in ready.positiontup or ()]


def _attach(path: Path) -> duckdb.DuckDBPyConnection:
    # Opened by its path alone, DuckDB would hand out the instance that still has the file before it.
    connection = duckdb.connect(config={"memory_limit": _MEMORY})
    connection.execute(f"ATTACH {literal(str(path))} AS report (READ_ONLY)")
    connection.execute("SET enable_external_access = false")
    return connection


def _publication(connection: duckdb.DuckDBPyConnection) -> Publication:
    row = connection.execute("SELECT published_at, lake_snapshot FROM publication").fetchone()
    if row is None:
        raise ReportingFileError("The reporting file does not say when it was written. Run the reporting job again.")
    return Publication(published_at=row[0], lake_snapshot=row[1])
