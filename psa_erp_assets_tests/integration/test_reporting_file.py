"""Reading the published file: the newest one, undisturbed by its successor, and never more than reading."""

import datetime as dt
import threading
from pathlib import Path

import duckdb
import pytest
from sqlalchemy import column, func, literal_column, select, table

from psa_erp_assets.adapters.reporting_file import NoReportingFileError, ReportingFile, ReportingFileError, compiled

NUMBERS = table("numbers", column("n"))
TOTAL = select(func.sum(NUMBERS.c.n).label("total"))


def publish(path: Path, *numbers: int) -> None:
    """A file with some numbers, put in its place by a rename."""
    draft = path.with_name("draft.duckdb")
    with duckdb.connect(str(draft)) as connection:
        connection.execute("CREATE TABLE numbers (n BIGINT)")
        connection.executemany("INSERT INTO numbers VALUES (?)", [[number] for number in numbers])
        connection.execute("CREATE TABLE publication AS SELECT now() AS published_at, 3 AS lake_snapshot")
    draft.replace(path)


def test_without_a_file_it_says_so_and_finds_it_later(tmp_path: Path) -> None:
    """The console would have to be started again after the first reporting run."""
    file = ReportingFile(tmp_path / "reporting.duckdb")
    with pytest.raises(NoReportingFileError), file.open():
        pass
    publish(file.path, 1, 2)
    with file.open() as reader:
        assert reader.read(TOTAL).dicts() == [{"total": 3}]
        assert reader.publication.lake_snapshot == 3
        assert reader.publication.published_at.tzinfo is not None
        assert abs(reader.publication.published_at - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=5)


def test_a_successor_is_read_at_once_and_disturbs_nobody(tmp_path: Path) -> None:
    """Yesterday's numbers would be shown for as long as the server lives, or a page would mix two states."""
    file = ReportingFile(tmp_path / "reporting.duckdb")
    publish(file.path, 1)
    with file.open() as before:
        publish(file.path, 10, 20)
        with file.open() as after:
            assert after.read(TOTAL).rows == [(30,)]
        assert before.read(TOTAL).rows == [(1,)]


def test_many_threads_read_at_once(tmp_path: Path) -> None:
    """One connection that several requests share would mix up their answers."""
    file = ReportingFile(tmp_path / "reporting.duckdb")
    publish(file.path, *range(1000))
    wrong: list[object] = []

    def read(limit: int) -> None:
        for _ in range(20):
            with file.open() as reader:
                found = reader.read(select(func.count()).select_from(NUMBERS).where(NUMBERS.c.n < limit)).rows
            if found != [(limit,)]:
                wrong.append((limit, found))

    threads = [threading.Thread(target=read, args=(limit,)) for limit in (1, 10, 100, 1000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []


def test_a_query_reads_nothing_else_and_writes_nothing(tmp_path: Path) -> None:
    """Somebody who got a statement in would read the server's files, or change what everybody sees."""
    file = ReportingFile(tmp_path / "reporting.duckdb")
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    publish(file.path, 1)
    with file.open() as reader:
        with pytest.raises(duckdb.Error):
            reader.read(select(literal_column("*")).select_from(func.read_csv(str(secret))))
        with pytest.raises(duckdb.Error):
            reader._connection.execute("DELETE FROM numbers")


def test_a_file_of_an_older_version_says_what_to_do(tmp_path: Path) -> None:
    """After an update the pages would fail until the next reporting run, with no word why."""
    file = ReportingFile(tmp_path / "reporting.duckdb")
    publish(file.path, 1)
    with file.open() as reader, pytest.raises(ReportingFileError, match="Run the reporting job"):
        reader.read(select(table("not_yet", column("a")).c.a))
    file.path.write_bytes(b"no database")
    with pytest.raises(ReportingFileError, match="cannot be read"), file.open():
        pass


def test_values_are_parameters() -> None:
    """A name with a quote in it would break a report, or be carried out."""
    text, values = compiled(select(NUMBERS.c.n).where(NUMBERS.c.n == "x' OR 1=1 --").limit(5))
    assert "OR 1=1" not in text
    assert list(values) == ["x' OR 1=1 --", 5]
