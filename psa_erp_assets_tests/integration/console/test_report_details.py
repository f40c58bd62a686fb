"""Reports of a store with a general ledger, manual adjustments, and contracts that have the same name."""

import shutil
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import duckdb
import httpx
import pytest
from sqlalchemy import create_engine

from psa_erp_assets_tests.support.console import make_app, served

NOWHERE = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/none")
SAME = "Consulting of one name"

_ROWS = """
    INSERT INTO mart_receivables_tie BY NAME
    SELECT *, '2026-09' AS as_of_month, open_amount - ledger_amount AS difference_amount, 0.02 AS tolerance_amount
    FROM (VALUES ('DE', 'EUR', 100.00, 99.99), ('UK', 'GBP', 70.00, 60.00))
        AS tie (legal_entity, currency, open_amount, ledger_amount);
    DELETE FROM mart_general_ledger_tie;
    INSERT INTO mart_general_ledger_tie BY NAME
    SELECT *, 'DE' AS legal_entity, '2026-09' AS ledger_month, 'EUR' AS currency,
           expected_amount - ledger_amount AS difference_amount, 0 AS tolerance_amount
    FROM (VALUES ('contract_balance', 5.00, 5.00, true), ('tax', 0.00, 0.00, true),
                 ('labor_absorbed', 8.00, 0.00, false), ('revenue', -9.00, -7.00, true))
        AS tie (role, expected_amount, ledger_amount, ledger_was_read);
    INSERT INTO mart_manual_adjustments BY NAME
    SELECT *, 'DE' AS legal_entity, 'write_off' AS kind, 60 AS minutes
    FROM (VALUES ('2026-08', 3), ('2026-09', 4)) AS done (service_month, adjustments);
    UPDATE dim_contract SET contract_name = '{same}';
"""


@pytest.fixture(scope="module")
def file(reporting_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reporting file, with what its company has nothing of."""
    copy = Path(shutil.copy(reporting_file, tmp_path_factory.mktemp("details") / "reporting.duckdb"))
    with duckdb.connect(str(copy)) as connection:
        connection.execute(_ROWS.format(same=SAME))
    return copy


@pytest.fixture(scope="module")
def client(file: Path) -> Iterator[httpx.Client]:
    app = make_app(NOWHERE, reporting=file)
    with served(app) as address, httpx.Client(base_url=address, timeout=60) as opened:
        yield opened


def section(client: httpx.Client, report: str, name: str) -> list[dict[str, str]]:
    body = client.get(f"/api/v1/reports/{report}?from=2026-09&to=2026-09").json()
    [found] = [one for one in body["sections"] if one["name"] == name]
    rows: list[dict[str, str]] = found["rows"]
    return rows


@pytest.mark.parametrize("report", ["receivables", "reconciliation"])
def test_receivables_are_held_against_the_ledger(client: httpx.Client, report: str) -> None:
    """Customers would be chased for what the books do not have, or a wrong booking would stay."""
    rows = section(client, report, "receivables_tie")
    assert [(row["legal_entity"], row["verdict"]) for row in rows] == [("UK", "differs"), ("DE", "ties")]
    assert Decimal(rows[0]["difference_amount"]) == 10
    page = client.get(f"/reports/{report}").text
    assert "/reports/rows/mart_receivables_tie?entity=UK" in page
    behind = client.get("/api/v1/reports/rows/mart_receivables_tie?entity=UK").json()
    assert [Decimal(row["difference_amount"]) for row in behind["rows"]] == [10]
    assert behind["stories"] == ["/reports/rows/fct_invoice?entity=UK&posted=true"]


def test_what_is_open_in_the_books_opens_invoices_in_the_books_currency(client: httpx.Client) -> None:
    """An amount of pounds would open a sum of the group's dollars."""
    page = client.get("/reports/receivables").text
    assert "/reports/rows/fct_invoice?entity=UK&amp;currency=entity&amp;posted=true" in page
    sums = client.get("/api/v1/reports/rows/fct_invoice?entity=UK&currency=entity&posted=true").json()["sums"]
    [dso] = [row for row in section(client, "receivables", "dso_by_entity") if row["legal_entity"] == "UK"]
    assert [(row["shown_currency"], Decimal(row["open_amount"])) for row in sums] == [
        ("GBP", Decimal(dso["receivable_amount"]))
    ]


def test_accounts_that_differ_come_first_and_empty_ones_are_left_out(client: httpx.Client) -> None:
    """The one account that differs would stand behind a page of zeros."""
    rows = section(client, "reconciliation", "ledger_tie")
    assert [(row["account"], row["verdict"]) for row in rows] == [
        ("labor absorbed", "not read yet"),
        ("revenue", "differs"),
        ("contract balance", "ties"),
    ]


def test_counts_are_compared_with_the_period_before(client: httpx.Client) -> None:
    """A count divided by the one before would make an error of the page."""
    answer = client.get("/reports/sync-health?from=2026-09&to=2026-09")
    assert answer.status_code == 200
    tile = answer.text.split('data-figure="adjustments"')[1].split("</li>")[0]
    assert '<span class="bad">▲' in tile
    assert "33.3 %" in tile


def test_contracts_of_the_same_name_are_told_apart(client: httpx.Client) -> None:
    """A chart would add up contracts of one name, and nobody could choose one of them."""
    rows = section(client, "wip", "wip_by_contract")
    names = [row["name"] for row in rows]
    assert len(rows) > 1
    assert len(set(names)) == len(names)
    assert set(names) == {f"{SAME} ({row['member']})" for row in rows}
    page = client.get("/reports/wip").text
    assert f'<option value="{rows[0]["member"]}">{SAME} ({rows[0]["member"]})</option>' in page
