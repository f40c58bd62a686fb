"""Models on a real lake, the numbers of the marts, and publishing the reporting file under readers."""

import datetime as dt
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from psa_erp_assets.adapters import postgres
from psa_erp_assets.adapters.lake import Computed, Lake, write_computed
from psa_erp_assets.adapters.model_builds import build
from psa_erp_assets.adapters.postgres import ServerInfo
from psa_erp_assets.adapters.reporting import publish
from psa_erp_assets.adapters.sql_models import SqlModel, load_models
from psa_erp_assets.contracts.lake_tables import LAKE_TABLES
from psa_erp_assets.domain.master import MasterData
from psa_erp_assets.domain.records import FxRate

MODELS = load_models(Path(__file__).parents[2] / "dbt_like_sql", LAKE_TABLES.values())
DAY = dt.date(2026, 9, 15)
AT = dt.datetime(2026, 9, 16, tzinfo=dt.UTC)
UK = {"legal_entity": "UK", "service_month": "2026-09"}


def put(lake: Lake, name: str, *rows: dict[str, Any], keys: dict[str, str] | None = None) -> None:
    """Rows of a lake table; what a row leaves out is null."""
    table = LAKE_TABLES[name]
    frame = pd.DataFrame([dict.fromkeys(table.schema.names) | (keys or {}) | row for row in rows], dtype=object)
    lake.replace_partition(table, frame, keys)


def entry(entry_id: str, minutes: int, outcome: str, amount: str | None, **more: Any) -> dict[str, Any]:
    return {
        "tenant": "demo", "entry_id": entry_id, "revision": 1, "service_date": DAY, "employee_id": "EMP-1",
        "project_id": "PRJ-1", "contract_id": "CTR-1", "customer_id": "CUS-1", "minutes": minutes, "billable": True,
        "outcome": outcome, "hold_codes": [], "bill_amount": amount and Decimal(amount),
        "bill_currency": amount and "EUR", "recorded_at": AT,
    } | more  # fmt: skip


def decided(object_id: str, minutes: int, outcome: str, amount: str | None) -> dict[str, Any]:
    return {
        "object_id": object_id, "part": 1, "kind": "time", "legal_entity": "UK", "service_month": "2026-09",
        "service_date": DAY, "employee_id": "EMP-1", "project_id": "PRJ-1", "contract_id": "CTR-1", "outcome": outcome,
        "minutes": minutes, "recorded_as_billable": outcome != "non_billable", "amount": amount and Decimal(amount),
        "bill_amount": amount and Decimal(amount), "currency": amount and "EUR",
    }  # fmt: skip


def line(erp_id: str, minutes: int, amount: str, *, posted: bool, project: str | None = "P1") -> dict[str, Any]:
    return {
        "key": f"key-{erp_id}", "erp_id": erp_id, "service_date": DAY, "project_code": project, "minutes": minutes,
        "net_amount": Decimal(amount), "currency": "EUR", "posted": posted,
    }  # fmt: skip


@pytest.fixture(scope="module")
def template(postgres_server: ServerInfo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The catalog and data folder of a filled lake: its few rows are all in the catalog, so copying that is enough."""
    name, folder = "filled_lake", tmp_path_factory.mktemp("lake")
    postgres.ensure_database(postgres_server, name)
    with Lake(postgres_server.url(name), folder) as lake:
        fill(lake)
    yield name, folder
    postgres.drop_database(postgres_server, name)


@pytest.fixture
def filled(postgres_server: ServerInfo, template: tuple[str, Path]) -> Iterator[Lake]:
    """A lake of its own, filled by `fill`, with all models run."""
    postgres.ensure_database(postgres_server, "filled_copy", template=template[0])
    with Lake(postgres_server.url("filled_copy"), template[1]) as lake:
        yield lake
    postgres.drop_database(postgres_server, "filled_copy")


def fill(lake: Lake) -> None:
    """One contract in EUR that the UK entity sells, with one entry of each kind on it."""
    lake.ensure_tables(LAKE_TABLES.values())
    put(lake, "legal_entities", {"code": "UK", "name": "Ltd.", "currency": "GBP", "country": "GB",
                                 "time_zone": "Europe/London", "erp_company": "2"})  # fmt: skip
    put(lake, "customers", {"id": "CUS-1", "name": "Acme", "country": "IE", "crm_id": "7"})
    put(lake, "contracts", {"id": "CTR-1", "name": "Advice", "customer_id": "CUS-1", "legal_entity": "UK",
                            "kind": "time_and_materials", "currency": "EUR", "valid_from": DAY})  # fmt: skip
    put(lake, "projects", {"id": "PRJ-1", "code": "P1", "name": "Audit", "psa_id": "x", "contract_id": "CTR-1",
                           "closed": False})  # fmt: skip
    put(lake, "employees",
        *({"id": f"EMP-{n}", "name": f"Employee {n}", "legal_entity": "UK", "department": "Audit",
           "time_zone": "Europe/London"} for n in (1, 2)))  # fmt: skip
    put(lake, "fx_rates", *(
        {"id": f"FX-{day}", "from_currency": "EUR", "to_currency": "GBP", "date": dt.date(2026, 9, day),
         "rate": Decimal(rate)} for day, rate in ((1, "0.8"), (20, "2"))))  # fmt: skip
    put(lake, "approved_time",
        entry("e1", 600, "post", "1000.00"), entry("e2", 60, "hold", None, hold_codes=["no_bill_rate"]),
        entry("e3", 120, "non_billable", None, billable=False), keys=UK)  # fmt: skip
    put(lake, "company", {"group_currency": "GBP"})
    put(lake, "decided_work", decided("e1", 600, "post", "1000.00"), decided("e2", 60, "hold", None),
        decided("e3", 120, "non_billable", None))  # fmt: skip
    put(lake, "erp_billing_lines", line("10", 600, "1000.00", posted=True), line("11", 60, "100.05", posted=False),
        line("12", 0, "5.00", posted=False, project=None), keys=UK)  # fmt: skip
    put(lake, "erp_cost_entries", {"key": "c1", "erp_id": "20", "service_date": DAY, "project_code": "P1",
                                   "minutes": 600, "amount": Decimal("300.10"), "currency": "GBP", "posted": True},
        keys=UK)  # fmt: skip
    for model in MODELS:
        build(lake, model)


def rows(lake: Lake, statement: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = lake.query(statement).to_pylist()
    return found


def test_billing_by_contract(filled: Lake) -> None:
    """Finance would read amounts that are neither the PSA's nor the ERP's."""
    mart = "SELECT * FROM mart_billing_by_contract_month WHERE contract_id IS NOT DISTINCT FROM "
    assert rows(filled, f"{mart} 'CTR-1'") == [
        {
            "legal_entity": "UK", "contract_id": "CTR-1", "contract_name": "Advice", "customer_name": "Acme",
            "contract_kind": "time_and_materials", "service_month": "2026-09", "currency": "EUR",
            "approved_minutes": 660, "held_minutes": 60, "erp_minutes": 660, "invoiced_minutes": 600,
            "approved_amount": Decimal("1000"), "erp_amount": Decimal("1100.05"), "invoiced_amount": Decimal("1000"),
            "not_invoiced_amount": Decimal("0"),
        }
    ]  # fmt: skip
    assert rows(filled, f"{mart} NULL")[0]["erp_amount"] == Decimal("5"), "a line on no project must not vanish"


def test_utilization_has_the_stated_denominator(filled: Lake) -> None:
    """Utilization would be divided by something else than the description says, or idle people would be left out."""
    found = rows(filled, "SELECT * FROM mart_utilization_by_employee_month ORDER BY employee_id")
    september = {"working_days": 22, "capacity_minutes": 22 * 480, "service_month": "2026-09"}
    assert [{k: r[k] for k in september} for r in found] == [september, september]
    assert [(r["approved_minutes"], r["billable_minutes"]) for r in found] == [(780, 660), (0, 0)]
    assert [r["billable_utilization"] for r in found] == [Decimal("0.0625"), Decimal("0")]


def test_project_margin_is_in_the_entitys_currency(filled: Lake) -> None:
    """EUR billed and GBP spent would be subtracted, or converted at a rate of another date."""
    found = rows(filled, "SELECT * FROM mart_project_margin WHERE project_id = 'PRJ-1'")
    assert [(r["currency"], r["billed_amount"], r["cost_amount"], r["margin_amount"]) for r in found] == [
        ("GBP", Decimal("880.04"), Decimal("300.10"), Decimal("579.94"))
    ]
    assert found[0]["margin_fraction"] == Decimal("0.658993")
    assert found[0]["lines_without_rate"] == 0


def test_tests_pass_and_hand_back_the_rows_that_break_them(filled: Lake) -> None:
    """Broken data would pass, or an operator would be told that something fails but not what."""
    model = next(m for m in MODELS if m.name == "stg_approved_time")
    assert all(result.passed for m in MODELS for result in build(filled, m).tests)
    october = UK | {"service_month": "2026-10"}
    put(filled, "approved_time", entry("e1", 5, "post", "1.00"), keys=october)
    failed = [result for result in build(filled, model).tests if not result.passed]
    assert [(r.name, r.failures) for r in failed] == [("unique_grain", 1)]
    assert failed[0].sample.to_dict("records") == [{"entry_id": "e1", "copies": 2}]


def test_a_missing_rate_is_seen(filled: Lake) -> None:
    """A line without an exchange rate would count as nothing, or as 1 : 1, and nobody would know."""
    put(filled, "fx_rates", {"id": "FX-9", "from_currency": "EUR", "to_currency": "GBP",
                             "date": dt.date(2027, 1, 1), "rate": Decimal("1")})  # fmt: skip
    for model in MODELS:
        build(filled, model)
    margin = next(m for m in MODELS if m.name == "mart_project_margin")
    failed = {result.name for result in build(filled, margin).tests if not result.passed}
    assert failed == {"every_line_is_converted"}


def test_conversion_rates_are_those_of_the_domain(filled: Lake) -> None:
    """The marts would convert by another rule than the postings: the pure version is the oracle."""
    published = [
        ("EUR", "GBP", dt.date(2026, 9, 20), "0.87"),
        ("GBP", "EUR", dt.date(2026, 9, 1), "1.16"),
        ("USD", "EUR", dt.date(2026, 9, 1), "0.9"),
        ("USD", "GBP", dt.date(2026, 9, 10), "0.75"),
        ("USD", "JPY", dt.date(2026, 9, 1), "150"),
    ]
    rates = [
        FxRate(id=f"FX-{n}", from_currency=a, to_currency=b, date=day, rate=Decimal(rate))
        for n, (a, b, day, rate) in enumerate(published)
    ]
    put(filled, "fx_rates", *({name: getattr(r, name) for name in LAKE_TABLES["fx_rates"].schema.names} for r in rates))
    days = [dt.date(2026, 8, 31), dt.date(2026, 9, 1), dt.date(2026, 9, 12), dt.date(2026, 9, 30)]
    lines = [
        line(f"{currency}{day}", 1, "1", posted=False) | {"currency": currency, "service_date": day}
        for currency in ("EUR", "USD", "JPY", "CHF", "GBP")
        for day in days
    ]
    put(filled, "erp_billing_lines", *lines, keys=UK)
    for model in MODELS:
        build(filled, model)
    found = {
        (r["from_currency"], r["service_date"]): r["rate"]
        for r in rows(filled, "FROM int_conversion_rates")
        # The company's other work has days of its own, and its own currency goes into that of the group.
        if r["to_currency"] == "GBP" and r["service_date"] in days
    }
    others = ("legal_entities", "customers", "contracts", "projects", "employees", "bill_rates", "cost_rates")
    oracle = MasterData(fx_rates=rates, tax_profiles=[], **{name: [] for name in others})
    assert len(found) == 16
    for (currency, day), rate in found.items():
        expected = oracle.conversion(currency, "GBP", day)
        if expected is None:
            assert rate is None, (currency, day)
        else:
            assert rate == pytest.approx(expected.rate, abs=Decimal("2E-10")), (currency, day)


def test_running_a_model_again_commits_nothing_until_its_rows_change(filled: Lake) -> None:
    """Every reporting run would add snapshots and make each process that uses the lake read its catalog anew."""
    before = len(filled.snapshots())
    assert not any(build(filled, model).written.changed for model in MODELS)
    assert len(filled.snapshots()) == before
    put(filled, "employees", {"id": "EMP-9", "name": "New", "legal_entity": "UK", "department": "Audit",
                              "time_zone": "Europe/London"})  # fmt: skip
    changed = [model.name for model in MODELS if build(filled, model).written.changed]
    assert set(changed) == {"mart_utilization_by_employee_month", "dim_employee", "fct_capacity"}


def test_a_changed_model_replaces_the_old_one(filled: Lake) -> None:
    """A new version of a model would fail on the table or view of the old version, or be ignored."""
    one = Computed(name="m", description="One.", types={"a": "INTEGER"}, month=None)
    filled.transaction(lambda c: write_computed(c, one, "SELECT 1 AS a"))
    two = Computed(name="m", description="Two.", types={"a": "INTEGER", "b": "VARCHAR"}, month=None)
    filled.transaction(lambda c: write_computed(c, two, "SELECT 2 AS a, 'x' AS b"))
    assert filled.query("SELECT * FROM m").to_pylist() == [{"a": 2, "b": "x"}]
    assert filled.define_view("v", "SELECT 1 AS a", "One.")
    assert not filled.define_view("v", "SELECT  1  AS a", "One.")
    assert filled.define_view("v", "SELECT 2 AS a", "One.")
    assert filled.define_view("v", "SELECT 2 AS a", "Two.")
    assert filled.query("SELECT * FROM v").to_pylist() == [{"a": 2}]


def test_the_published_file_explains_itself(filled: Lake, tmp_path: Path) -> None:
    """An analyst would open tables without a word on what their columns mean, or intermediate tables by mistake."""
    result = publish(filled, MODELS, tmp_path / "reporting.duckdb")
    with duckdb.connect(str(result.path), read_only=True) as file:
        comments = dict(file.execute("SELECT table_name, comment FROM duckdb_tables()").fetchall())
        columns = file.execute("SELECT column_name, comment FROM duckdb_columns() WHERE NOT internal").fetchall()
        assert file.execute("SELECT sum(minutes) FROM stg_approved_time").fetchone() == (780,)
        assert file.execute("SELECT lake_snapshot FROM publication").fetchone() == (result.lake_snapshot,)
    assert all(comments.values())
    assert all(comment for _, comment in columns)
    assert not any(name.startswith("int_") for name in comments)
    assert result.rows["mart_billing_by_contract_month"] == 2
    assert not list(tmp_path.glob(".reporting.duckdb.draft-*"))


def test_readers_are_never_disturbed(filled: Lake, tmp_path: Path) -> None:
    """A dashboard that reads while the file is published would find half a file, or lose the one it has open."""
    path = tmp_path / "reporting.duckdb"
    wanted = [m for m in MODELS if m.name in {"stg_approved_time", "mart_billing_by_contract_month"}]
    publish(filled, wanted, path)
    patient = duckdb.connect(str(path), read_only=True)
    done, problems, readings = threading.Event(), [], []

    def read() -> None:
        number = 0
        while not done.is_set():
            # A link of its own for each reading: within one process DuckDB shares what it has open under one path.
            link = tmp_path / f"reading-{number}.duckdb"
            number += 1
            try:
                os.link(path, link)
                with duckdb.connect(str(link), read_only=True) as file:
                    readings.append(file.execute("SELECT count(*), sum(minutes) FROM stg_approved_time").fetchone())
            except (duckdb.Error, OSError) as error:
                problems.append(error)
            finally:
                link.unlink(missing_ok=True)

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(5):
        publish(filled, wanted, path)
    done.set()
    reader.join()
    assert problems == []
    assert set(readings) == {(3, 780)}
    assert patient.execute("SELECT count(*) FROM mart_billing_by_contract_month").fetchone() == (2,)
    patient.close()


ANALYST = """
import sys
import duckdb
file = duckdb.connect(sys.argv[1])
print("open", flush=True)
sys.stdin.readline()
print(file.execute("SELECT sum(minutes) FROM stg_approved_time").fetchone()[0], flush=True)
"""


def test_whoever_has_the_file_open_for_writing_blocks_no_run(filled: Lake, tmp_path: Path) -> None:
    """An analyst who forgot `-readonly`, and went to lunch, would stop the nightly run with DuckDB's lock."""
    path = tmp_path / "reporting.duckdb"
    wanted = [m for m in MODELS if m.name == "stg_approved_time"]
    publish(filled, wanted, path)
    with subprocess.Popen(
        [sys.executable, "-c", ANALYST, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as analyst:
        assert analyst.stdin is not None
        assert analyst.stdout is not None
        assert analyst.stdout.readline() == "open\n"
        held = path.stat().st_ino
        put(filled, "approved_time", entry("e1", 5, "post", "1.00"), keys=UK)
        publish(filled, wanted, path)
        assert path.stat().st_ino != held
        with duckdb.connect(str(path), read_only=True) as file:
            assert file.execute("SELECT sum(minutes) FROM stg_approved_time").fetchone() == (5,)
        analyst.stdin.write("go on\n")
        analyst.stdin.flush()
        assert analyst.stdout.readline() == "780\n", "what they have open stays as it was"


def test_a_failed_publication_leaves_the_old_file(filled: Lake, tmp_path: Path) -> None:
    """A broken model would take the reports of yesterday away."""
    path = tmp_path / "reporting.duckdb"
    publish(filled, MODELS, path)
    before = path.read_bytes()
    missing = SqlModel(**{name: getattr(MODELS[0], name) for name in MODELS[0].__slots__} | {"name": "stg_gone"})
    with pytest.raises(duckdb.CatalogException):
        publish(filled, [*MODELS, missing], path)
    assert path.read_bytes() == before
    assert not list(tmp_path.glob(".reporting.duckdb.draft-*"))
