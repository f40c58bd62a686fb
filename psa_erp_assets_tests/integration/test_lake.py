"""The lake on a real catalog: exact values, partitions, concurrency, time travel and maintenance."""

import datetime as dt
import multiprocessing
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pytest

from psa_erp_assets.adapters import postgres
from psa_erp_assets.adapters.lake import INLINED_ROWS, Lake, LakeSchemaError
from psa_erp_assets.adapters.postgres import PostgresError, ServerInfo
from psa_erp_assets.contracts.lake_tables import LAKE_TABLES, MONEY, LakeTable

WORK = LakeTable(
    name="work",
    description="Work that isn't approved yet.",
    schema=pa.schema(
        [
            pa.field("legal_entity", pa.string(), nullable=False, metadata={"comment": "Whose work it is."}),
            pa.field("service_month", pa.string(), nullable=False),
            pa.field("entry_id", pa.string(), nullable=False),
            pa.field("amount", MONEY),
            pa.field("minutes", pa.int64()),
            pa.field("recorded_at", pa.timestamp("us", tz="UTC")),
            pa.field("codes", pa.list_(pa.string())),
        ]
    ),
    partitioned_by=("legal_entity", "service_month"),
)
SEPTEMBER = {"legal_entity": "US", "service_month": "2026-09"}
OCTOBER = {"legal_entity": "US", "service_month": "2026-10"}
AT = dt.datetime(2026, 9, 1, 23, 59, 59, 123456, tzinfo=dt.UTC)


def work(keys: dict[str, str], *amounts: str | None, **columns: Any) -> pd.DataFrame:
    return pd.DataFrame(
        {
            **keys,
            "entry_id": [f"e{number}" for number in range(len(amounts))],
            "amount": [None if a is None else Decimal(a) for a in amounts],
            "minutes": [50] * len(amounts),
            "recorded_at": [AT] * len(amounts),
            "codes": [["no_bill_rate"]] * len(amounts),
            **columns,
        }
    )


@pytest.mark.parametrize("count", [3, INLINED_ROWS + 1], ids=["in the catalog", "in a file"])
def test_values_come_back_exactly(lake: Lake, count: int) -> None:
    """A cent, a microsecond or a missing value would change on its way, depending on how many rows were written."""
    amounts = [None, "99999999999999.9999", "-0.0001", *["0.10"] * (count - 3)]
    lake.replace_partition(WORK, work(SEPTEMBER, *amounts), SEPTEMBER)
    back = lake.frame("SELECT * FROM work ORDER BY length(entry_id), entry_id")
    assert [back["amount"][i] for i in range(3)] == [None, Decimal("99999999999999.9999"), Decimal("-0.0001")]
    assert set(back["minutes"]) == {50}
    assert back["recorded_at"][0] == AT
    assert list(back["codes"][0]) == ["no_bill_rate"]


def test_integers_beside_nulls_stay_integers(lake: Lake) -> None:
    """pandas makes floats of them by default, and minutes would be 50.0."""
    frame = work(SEPTEMBER, "1", "2", minutes=pd.array([50, None], dtype="Int64"))
    lake.replace_partition(WORK, frame, SEPTEMBER)
    minutes = lake.frame("SELECT minutes FROM work ORDER BY entry_id")["minutes"]
    assert list(minutes) == [50, None]
    assert isinstance(minutes[0], int)


def test_replacing_a_partition_leaves_the_others_alone(lake: Lake) -> None:
    """A run of one month would duplicate its rows or wipe another month's."""
    lake.replace_partition(WORK, work(SEPTEMBER, "1", "2"), SEPTEMBER)
    lake.replace_partition(WORK, work(OCTOBER, "5"), OCTOBER)
    lake.replace_partition(WORK, work(SEPTEMBER, "3"), SEPTEMBER)
    rows = lake.query("SELECT service_month, amount FROM work ORDER BY ALL").to_pylist()
    assert [(r["service_month"], r["amount"]) for r in rows] == [("2026-09", 3), ("2026-10", 5)]


def test_the_same_rows_again_make_no_snapshot(lake: Lake) -> None:
    """Every tick of a sensor would grow the lake, and its history would show changes where there were none."""
    assert lake.replace_partition(WORK, work(SEPTEMBER, "1", "1"), SEPTEMBER).changed
    before = len(lake.snapshots())
    assert not lake.replace_partition(WORK, work(SEPTEMBER, "1", "1"), SEPTEMBER).changed
    assert len(lake.snapshots()) == before
    assert lake.replace_partition(WORK, work(SEPTEMBER), SEPTEMBER).rows == 0
    assert lake.query("SELECT count(*) AS n FROM work").to_pylist() == [{"n": 0}]


@pytest.mark.parametrize(
    ("frame", "keys", "message"),
    [
        (work(OCTOBER, "1"), SEPTEMBER, r"work: rows of service_month \['2026-10'\] in partition 2026-09"),
        (work(SEPTEMBER, "1"), {"legal_entity": "US"}, "partitioned by legal_entity, service_month"),
        (work(SEPTEMBER, "1").assign(amount=[0.1]), SEPTEMBER, "work.amount: floats where decimals belong"),
        (work(SEPTEMBER, "0.00001"), SEPTEMBER, "work.amount: not decimal"),
        (work(SEPTEMBER, "1").drop(columns="minutes"), SEPTEMBER, r"missing columns \['minutes'\]"),
        (work(SEPTEMBER, "1").assign(extra=1), SEPTEMBER, r"unknown columns \['extra'\]"),
        (work(SEPTEMBER, "1").assign(entry_id=[None]), SEPTEMBER, "work.entry_id: 1 of 1 values are missing"),
    ],
)
def test_rows_that_do_not_fit_are_refused(lake: Lake, frame: pd.DataFrame, keys: dict[str, str], message: str) -> None:
    """Wrong rows would be stored, silently rounded, or left behind by the next replacement."""
    with pytest.raises(LakeSchemaError, match=message):
        lake.replace_partition(WORK, frame, keys)
    assert lake.tables() == []


def test_a_table_with_floats_cannot_be_made(lake: Lake) -> None:
    """One careless schema would store money as DOUBLE."""
    table = LakeTable(name="t", description="", schema=pa.schema([pa.field("amount", pa.float64())]))
    with pytest.raises(LakeSchemaError, match=r"t\.amount: no column of the lake is a float"):
        lake.ensure_tables([table])


def test_tables_gain_columns_and_refuse_other_types(lake: Lake) -> None:
    """A new version with one more column would fail on every lake that exists already."""
    lake.replace_partition(WORK, work(SEPTEMBER, "1"), SEPTEMBER)
    wider = LakeTable(
        name="work",
        description="",
        schema=WORK.schema.append(pa.field("note", pa.string())),
        partitioned_by=WORK.partitioned_by,
    )
    lake.replace_partition(wider, work(OCTOBER, "1", note=["x"]), OCTOBER)
    assert lake.query("SELECT note FROM work ORDER BY service_month").column(0).to_pylist() == [None, "x"]
    index = WORK.schema.get_field_index("minutes")
    other = LakeTable(
        name="work", description="", schema=WORK.schema.set(index, pa.field("minutes", pa.string())),
        partitioned_by=WORK.partitioned_by,
    )  # fmt: skip
    with pytest.raises(LakeSchemaError, match=r"work\.minutes is BIGINT in the lake and VARCHAR in its schema"):
        lake.ensure_tables([other])


def test_all_declared_tables_can_be_made_with_their_comments(lake: Lake) -> None:
    """A declared type that DuckLake does not take would only show when the first rows arrive."""
    lake.ensure_tables(LAKE_TABLES.values())
    lake.ensure_tables(LAKE_TABLES.values())
    assert lake.tables() == sorted(LAKE_TABLES)
    comments = lake.query("SELECT comment FROM duckdb_columns() WHERE database_name = 'lake'").column(0).to_pylist()
    assert all(comments)


def test_appending_adds(lake: Lake) -> None:
    """An append would replace what was there."""
    assert [lake.append(WORK, work(SEPTEMBER, "1")) for _ in range(2)] == [1, 1]
    assert lake.query("SELECT count(*) AS n FROM work").to_pylist() == [{"n": 2}]


def test_past_states_can_be_queried(lake: Lake) -> None:
    """The question what was known then would be answered with what is known now."""
    lake.replace_partition(WORK, work(SEPTEMBER, "1"), SEPTEMBER)
    then = lake.snapshots()[-1]
    lake.replace_partition(WORK, work(SEPTEMBER, "2"), SEPTEMBER)
    lake.maintain(keep=dt.timedelta(days=400))
    amount = "SELECT amount FROM work WHERE entry_id = ?"
    assert lake.query(amount, ["e0"]).column(0).to_pylist() == [2]
    assert lake.query(amount, ["e0"], as_of=then.id).column(0).to_pylist() == [1]
    assert lake.query(amount, ["e0"], as_of=then.at).column(0).to_pylist() == [1]
    with pytest.raises(duckdb.Error), lake.connection(as_of=then.id) as past:
        past.execute("DELETE FROM work")


def test_maintenance_moves_rows_to_files_and_forgets_old_states(lake: Lake, tmp_path: Path) -> None:
    """Inlined rows and snapshots would grow in the catalog for ever, or maintenance would lose rows."""
    for number in range(5):
        lake.append(WORK, work(SEPTEMBER, str(number)))
    before = lake.frame("SELECT * FROM work ORDER BY ALL")
    assert list((tmp_path / "lake").rglob("*.parquet")) == []
    done = lake.maintain(keep=dt.timedelta(0))
    assert done.rows_flushed == 5
    assert done.snapshots_expired >= 5
    assert list((tmp_path / "lake").rglob("*.parquet")) != []
    pd.testing.assert_frame_equal(lake.frame("SELECT * FROM work ORDER BY ALL"), before)


def replace_often(url: str, folder: str, worker: int, rounds: int) -> None:
    keys = {"legal_entity": "US", "service_month": f"2026-{worker + 1:02d}"}
    with Lake(url, folder) as lake:
        for number in range(rounds):
            lake.replace_partition(WORK, work(keys, str(number), str(number)), keys)


def test_processes_write_one_table_at_once(lake: Lake, postgres_url: str, tmp_path: Path) -> None:
    """Runs of several partitions would fail on each other's commits, or on making the catalog and the table at once."""
    context = multiprocessing.get_context("spawn")
    arguments = [(postgres_url, str(tmp_path / "lake"), worker, 4) for worker in range(3)]
    workers = [context.Process(target=replace_often, args=a) for a in arguments]
    for process in workers:
        process.start()
    for process in workers:
        process.join(120)
    assert [process.exitcode for process in workers] == [0, 0, 0]
    rows = lake.query("SELECT service_month, count(*) AS n, min(amount) AS a FROM work GROUP BY ALL ORDER BY ALL")
    assert [tuple(row.values()) for row in rows.to_pylist()] == [(f"2026-0{month}", 2, 3) for month in (1, 2, 3)]


def test_it_survives_a_restart_of_the_catalog(lake: Lake, postgres_server: ServerInfo, postgres_url: str) -> None:
    """After a crash of PostgreSQL every process that uses the lake would have to be restarted too."""
    lake.replace_partition(WORK, work(SEPTEMBER, "1"), SEPTEMBER)
    with postgres.connect(postgres_server, "postgres") as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s",
            (ServerInfo.from_url(postgres_url).maintenance_database,),
        )
    assert lake.query("SELECT count(*) AS n FROM work").to_pylist() == [{"n": 1}]


def test_errors_do_not_show_the_password(tmp_path: Path) -> None:
    """The catalog's password would stand in the run's log for everybody to read."""
    lake = Lake("postgresql://ann:topsecret@127.0.0.1:1/lake", tmp_path)
    with pytest.raises(PostgresError) as error:
        lake.query("SELECT 1")
    assert "topsecret" not in f"{error.value} {lake!r}"


def test_options_of_the_url_reach_the_catalog(postgres_url: str, tmp_path: Path) -> None:
    """A catalog that demands TLS would be out of reach, or be spoken to in the clear, if the option got lost."""
    with Lake(f"{postgres_url}?sslmode=disable", tmp_path / "lake") as lake:
        assert lake.append(WORK, work(SEPTEMBER, "1")) == 1
    with Lake(f"{postgres_url}?sslmode=require", tmp_path / "lake") as lake, pytest.raises(PostgresError, match="SSL"):
        lake.query("SELECT 1")
