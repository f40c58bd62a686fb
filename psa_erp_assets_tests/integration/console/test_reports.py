"""Reports over HTTP: each number against its mart and the rows behind it, who sees what, and files of all of it."""

import csv
import datetime as dt
import gzip
import io
import re
import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from decimal import ROUND_HALF_UP, Decimal
from html import unescape
from pathlib import Path

import duckdb
import httpx
import pytest
from fastapi import Request
from openpyxl import load_workbook
from sqlalchemy import create_engine

from psa_erp_assets.adapters.reporting_file import Reader, ReportingFile
from psa_erp_assets.console.access import Visitor
from psa_erp_assets.console.charts import library_address
from psa_erp_assets.domain.access import Actor, Grant, Role
from psa_erp_assets.domain.report_changes import Cause, Change, Measure, Part
from psa_erp_assets.services import report_export
from psa_erp_assets.services.as_of import ExpiredRunError, NoSuchRunError, ReportingRun
from psa_erp_assets.services.report_filters import Drill, Filters
from psa_erp_assets.services.report_model import Column
from psa_erp_assets.services.report_queries import QUERIES
from psa_erp_assets.services.report_row_sources import SOURCES
from psa_erp_assets.services.report_sheets import Sheet
from psa_erp_assets.services.reports import REPORTS
from psa_erp_assets_tests.support.console import make_app, served
from psa_erp_assets_tests.support.executive import EXECUTIVE, of_marts
from psa_erp_assets_tests.support.reporting_store import BOOKS, FORMULA, MONTHS, PUBLISHED_AT

NOWHERE = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/none")
LINK = re.compile(r'href="(/[^"]*)"')
PERIODS = ("", "from=2026-08&to=2026-09", "from=2026-07&to=2026-09", "from=2026-09&to=2026-09")

# There is no general ledger in this store.
EMPTY = ("mart_general_ledger_tie", "mart_receivables_tie", "mart_manual_adjustments", "stg_exceptions")
# What a good month of the German entity has nothing of.
QUIET = ("ledger_tie", "receivables_tie", "backlog_gaps", "leakage_total", "leakage_by_reason", "adjustments_by_kind")

# Which sum of the rows is the figure.
SUMMED = {
    "revenue": "amount",
    "margin": "margin_amount",
    "wip": "unbilled_amount",
    "deferred": "deferred_amount",
    "backlog": "amount",
    "receivables": "open_amount",
    "lost": "entity_amount",
    "unexplained": "rows",
}


@pytest.fixture(scope="module")
def client(reporting_file: Path) -> Iterator[httpx.Client]:
    """Somebody who may see everything."""
    with (
        served(make_app(NOWHERE, reporting=reporting_file)) as address,
        httpx.Client(base_url=address, timeout=60) as opened,
    ):
        yield opened


@pytest.fixture(scope="module")
def german(reporting_file: Path) -> Iterator[httpx.Client]:
    """Somebody who may see the German entity alone."""

    async def gate(_: Request) -> Visitor:
        return Visitor(actor=Actor(id="de", name="De", grants=frozenset([Grant(Role.VIEWER, "DE")])), csrf="x")

    app = make_app(NOWHERE, reporting=reporting_file, gate=gate)
    with served(app) as address, httpx.Client(base_url=address, timeout=60) as opened:
        yield opened


@pytest.fixture
def marts(reporting_file: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(str(reporting_file), read_only=True) as connection:
        yield connection


def tiles(page: str) -> dict[str, list[tuple[str, str]]]:
    """The values of each figure on a page, with their currency."""
    found = {}
    for tile in re.findall(r'<li class="tile" data-figure="(\w+)">(.*?)</li>', page, re.DOTALL):
        values = re.findall(r'<data value="([^"]*)"([^>]*)>', tile[1])
        found[tile[0]] = [(v, "".join(re.findall(r'data-currency="(\w+)"', rest))) for v, rest in values]
    return found


# The books' currencies have no sum, so that pages of all entities show one figure a currency.
@pytest.mark.parametrize(
    ("currency", "entity"), [("group", ""), *((kind, entity) for kind in ("group", "entity") for entity in BOOKS)]
)
@pytest.mark.parametrize("period", PERIODS)
def test_each_number_of_the_executive_page_is_its_marts(
    client: httpx.Client, marts: duckdb.DuckDBPyConnection, period: str, currency: str, entity: str
) -> None:
    """An executive would decide on a number that no mart has."""
    answer = client.get(f"/reports?{period}&currency={currency}&entity={entity}")
    assert answer.status_code == 200
    shown = tiles(answer.text)
    assert shown.keys() == EXECUTIVE.keys()
    months = re.findall(r"2026-\d\d", period) or [MONTHS[-1]] * 2
    values = {
        "group": "group_" if currency == "group" else "",
        "fact": "group_" if currency == "group" else "entity_",
        "month": f"service_month BETWEEN '{months[0]}' AND '{months[1]}'",
        "last": months[1],
        "entity": f"legal_entity = '{entity}'" if entity else "true",
    }
    for figure in EXECUTIVE:
        expected = [value for value in of_marts(marts, figure, **values) if value is not None]
        found = [Decimal(value) for value, _ in shown[figure] if value]
        assert found == expected, figure
        money = {currency for _, currency in shown[figure]} - {""}
        assert money <= {"USD" if currency == "group" else BOOKS[entity]}
    assert Decimal(shown["revenue"][0][0]) > 0
    assert Decimal(shown["unexplained"][0][0]) > 0 or entity in ("US", "UK") or "09" not in months[1]


def test_the_period_before_is_equally_long_and_just_before(
    client: httpx.Client, marts: duckdb.DuckDBPyConnection
) -> None:
    """A fall would be shown as a rise: two months against one, or against the months after."""
    body = client.get("/api/v1/reports/executive?from=2026-09&to=2026-09").json()
    for figure in body["figures"]:
        if figure["name"] in ("revenue", "margin", "margin_share", "utilization", "realization", "lost", "wip"):
            before = {"month": "service_month = '2026-08'", "last": "2026-08", "entity": "true"}
            expected = of_marts(marts, figure["name"], group="group_", fact="group_", **before)
            assert [Decimal(one["previous"]) for one in figure["values"]] == expected, figure["name"]
    longer = client.get("/api/v1/reports/executive?from=2026-08&to=2026-09").json()["figures"][0]
    expected = of_marts(
        marts, "revenue", group="group_", month="service_month IN ('2026-06', '2026-07')", entity="true"
    )
    assert [Decimal(one["previous"]) for one in longer["values"]] == expected


@pytest.mark.parametrize("query", ["", "currency=entity&entity=UK", "from=2026-07&to=2026-09&entity=DE"])
@pytest.mark.parametrize("name", REPORTS)
def test_a_figure_is_the_sum_of_the_rows_that_it_opens(client: httpx.Client, name: str, query: str) -> None:
    """Somebody opens a number and sees rows that sum to another."""
    if "currency" in query and "entity" not in REPORTS[name].currencies:
        query = "entity=UK"
    body = client.get(f"/api/v1/reports/{name}?{query}").json()
    checked = 0
    for figure in body["figures"]:
        sums = client.get(figure["rows"]).json()["sums"]
        if figure["name"] in SUMMED:
            summed = SUMMED[figure["name"]]
            total: dict[str | None, Decimal] = {}
            for row in sums:
                key = row.get("shown_currency") if figure["unit"] == "money" else None
                total[key] = total.get(key, Decimal(0)) + Decimal(row[summed] or 0)
            for one in figure["values"]:
                assert Decimal(one["value"]) == total.get(one["currency"], Decimal(0)), figure["name"]
                checked += 1
        elif figure["name"] == "margin_share":
            [row] = sums
            expected = (Decimal(row["margin_amount"]) / Decimal(row["revenue_amount"])).quantize(
                Decimal("0.0001"), ROUND_HALF_UP
            )
            assert [Decimal(one["value"]) for one in figure["values"]] == [expected]
            checked += 1
        elif figure["name"] == "utilization":
            [row] = sums
            expected = (Decimal(row["billable_minutes"]) / Decimal(row["available_minutes"])).quantize(
                Decimal("0.0001")
            )
            assert [Decimal(one["value"]) for one in figure["values"]] == [expected]
            checked += 1
    assert checked or name in ("sync-health", "backlog")


@pytest.mark.parametrize("name", REPORTS)
def test_each_value_of_a_table_is_the_sum_of_the_rows_that_it_opens(client: httpx.Client, name: str) -> None:
    """The link of one customer or month would open the rows of others."""
    page = client.get(f"/reports/{name}?from=2026-08&to=2026-09").text
    opened = 0
    for address, value in re.findall(
        r'<a href="(/reports/rows/(?:fct_revenue|fct_cost|fct_backlog)[^"]*)"><data value="(-?[\d.]+)"', page
    ):
        found = client.get(f"/api/v1{unescape(address)}").json()
        # Steps between two periods are of both, and what is missing has no amount.
        if "from=2026-06" not in address and "gap=" not in address:
            assert sum(Decimal(row["amount"] or 0) for row in found["sums"]) == Decimal(value), address
        opened += 1
    assert opened or name not in ("executive", "revenue", "margin", "backlog")


@pytest.mark.parametrize("name", ["", *REPORTS])
def test_every_link_of_a_report_leads_somewhere(client: httpx.Client, name: str) -> None:
    """A number would open an error instead of its rows."""
    page = client.get(f"/reports/{name}" if name else "/reports").text
    links = {unescape(link) for link in LINK.findall(page)}
    reports = {link for link in links if link.startswith("/reports") and "/pdf" not in link}
    assert len(reports) > 10
    for link in sorted(reports):
        assert client.get(link).status_code == 200, link


@pytest.mark.parametrize("mart", SOURCES)
def test_each_row_leads_to_its_story_or_to_the_rows_below(client: httpx.Client, mart: str) -> None:
    """A number could be followed to rows, and from there nowhere."""
    body = client.get(f"/api/v1/reports/rows/{mart}").json()
    assert body["total"] == len(body["rows"]) > 0 or body["pages"] > 1 or mart in EMPTY
    way = SOURCES[mart].way
    for row, story in zip(body["rows"], body["stories"], strict=True):
        if isinstance(way, Drill):
            assert client.get(story).status_code == 200, story
        elif mart == "stg_exceptions":
            assert story == f"/exceptions/{row['exception_id']}"
        elif mart in ("fct_billing", "fct_revenue", "fct_cost"):
            assert re.fullmatch(r"/postings/[0-9a-f]{32}", story), row
        else:
            assert story.startswith("/trace")


def test_a_line_leads_to_its_own_posting(client: httpx.Client, marts: duckdb.DuckDBPyConnection) -> None:
    """Ids of the ERP's lines repeat from table to table, and the story of another line would be told."""
    for mart, staged, key in (
        ("fct_revenue", "stg_billing_lines", "billing_line_id"),
        ("fct_cost", "stg_cost_entries", "cost_entry_id"),
    ):
        body = client.get(f"/api/v1/reports/rows/{mart}?page=2").json()
        for row, story in zip(body["rows"], body["stories"], strict=True):
            [[posting]] = marts.execute(
                f"SELECT posting_key FROM {staged} WHERE {key} = ? AND legal_entity = ?",
                [row["source_id"], row["legal_entity"]],
            ).fetchall()
            assert story == f"/postings/{posting}"


def test_pages_of_rows_have_each_row_once(client: httpx.Client, marts: duckdb.DuckDBPyConnection) -> None:
    """Rows would be counted twice or missing where somebody turns the page."""
    first = client.get("/api/v1/reports/rows/fct_approved_work").json()
    seen = [
        row["object_id"]
        for page in range(1, first["pages"] + 1)
        for row in client.get(f"/api/v1/reports/rows/fct_approved_work?page={page}").json()["rows"]
    ]
    [[count]] = marts.execute("SELECT count(*) FROM fct_approved_work").fetchall()
    assert len(seen) == len(set(seen)) == first["total"] == count > 50
    assert "There is no such page" in client.get("/reports/rows/fct_approved_work?page=999").text


def test_the_waterfall_adds_up(client: httpx.Client) -> None:
    """A step would be missing between the revenue before and after."""
    body = client.get("/api/v1/reports/revenue?from=2026-09&to=2026-09").json()
    [bridge] = [section for section in body["sections"] if section["name"] == "revenue_bridge"]
    steps = {row["step"]: Decimal(row["amount"]) for row in bridge["rows"]}
    closing = steps.pop("This period")
    assert sum(steps.values()) == closing == Decimal(body["figures"][0]["values"][0]["value"])
    assert steps["Period before"] == Decimal(body["figures"][0]["values"][0]["previous"])
    assert steps["New customers"] > 0, "the customer of September is new"


@pytest.mark.parametrize("query", ["", "currency=entity&entity=DE", "to=2026-08"])
def test_the_ages_of_balances_sum_to_the_balances(client: httpx.Client, query: str) -> None:
    """Some of what is unbilled or unpaid would be of no age, and nobody would chase it."""
    wip = client.get(f"/api/v1/reports/wip?{query}").json()
    [aged] = [section for section in wip["sections"] if section["name"] == "wip_by_age"]
    for one in wip["figures"][0]["values"]:
        parts = [Decimal(row["amount"]) for row in aged["rows"] if row["currency"] == one["currency"]]
        assert sum(parts) == Decimal(one["value"])
    owed = client.get(f"/api/v1/reports/receivables?{query}").json()
    [aged] = [section for section in owed["sections"] if section["name"] == "receivables_by_age"]
    assert sum(Decimal(row["open_amount"]) for row in aged["rows"]) == sum(
        Decimal(one["value"]) for one in owed["figures"][0]["values"]
    )


@pytest.mark.parametrize(
    "query",
    ["customer=C&", "from=2026-13", "from=2026-09&to=2026-08", "currency=dollars", "entity=%00", "practice=a%0Ab"],
)
def test_a_filter_that_is_not_understood_is_refused(client: httpx.Client, query: str) -> None:
    """A report would be shown as if it had been filtered."""
    for address in (f"/reports/utilization?{query}", f"/api/v1/reports/utilization?{query}"):
        assert client.get(address).status_code == 422, address


@pytest.mark.parametrize("name", REPORTS)
def test_each_report_takes_each_of_its_filters_alone_and_all_together(client: httpx.Client, name: str) -> None:
    """A filter that some section of the report does not know would make an error of the whole page."""
    members = {dimension: "DE" if dimension == "entity" else "x'y" for dimension in REPORTS[name].dimensions}
    for asked in (*({one: value} for one, value in members.items()), members, dict.fromkeys(members, "-")):
        wanted = {key: "DE" if key == "entity" else value for key, value in asked.items()}
        for currency in ("group", *REPORTS[name].currencies):
            for address in (f"/reports/{name}", f"/api/v1/reports/{name}"):
                assert client.get(address, params={**wanted, "currency": currency}).status_code == 200, wanted


@pytest.mark.parametrize("mart", SOURCES)
def test_each_kind_of_rows_takes_each_of_its_filters(client: httpx.Client, mart: str) -> None:
    """A link with such a filter would lead to an error."""
    for one in (*SOURCES[mart].mart.dimensions, *SOURCES[mart].mart.exact):
        for value in ("DE", "-") if one != "backlog_month" else ("2026-10",):
            answer = client.get(f"/api/v1/reports/rows/{mart}", params={one: value, "from": "2026-08"})
            assert answer.status_code == 200, (one, value)
    for currency in ("group", "entity", "transaction"):
        answer = client.get(f"/api/v1/reports/rows/{mart}", params={"currency": currency})
        # Sums over documents have no amounts in their currencies.
        of_sums = mart in ("mart_margin", "mart_wip_by_contract_month", "mart_revenue_leakage")
        assert answer.status_code == (422 if of_sums and currency == "transaction" else 200), currency


def test_filters_limit_every_section_and_stay_in_the_links(client: httpx.Client) -> None:
    """A filtered page would lead back to unfiltered numbers."""
    everything = client.get("/api/v1/reports/margin?from=2026-07&to=2026-09").json()
    data = client.get("/api/v1/reports/margin?from=2026-07&to=2026-09&practice=Data&grade=Senior").json()
    advisory = client.get("/api/v1/reports/margin?from=2026-07&to=2026-09&practice=Advisory").json()
    for whole, one, other in zip(everything["sections"], data["sections"], advisory["sections"], strict=True):
        sums = [sum(Decimal(row["revenue"]) for row in section["rows"]) for section in (whole, one, other)]
        assert sums[0] == sums[1] + sums[2]
        assert sums[1] > 0
    page = client.get("/reports/margin?from=2026-07&to=2026-09&practice=Data").text
    rows = [unescape(link) for link in LINK.findall(page) if link.startswith("/reports/rows")]
    assert rows
    assert all("practice=Data" in link for link in rows if "practice=" in link)
    assert all("practice=" in link for link in rows)
    assert '<option value="Data" selected>' in page


# Who sees what


@pytest.mark.parametrize("name", REPORTS)
def test_nobody_sees_numbers_of_other_entities(client: httpx.Client, german: httpx.Client, name: str) -> None:
    """Somebody of the German entity would read the margins of the others, in a sum or by name."""
    mine = german.get(f"/api/v1/reports/{name}").json()
    theirs = client.get(f"/api/v1/reports/{name}?entity=DE").json()
    strip = {"rows"}
    assert [{k: v for k, v in f.items() if k not in strip} for f in mine["figures"]] == [
        {k: v for k, v in f.items() if k not in strip} for f in theirs["figures"]
    ]
    assert mine["sections"] == theirs["sections"]
    page = german.get(f"/reports/{name}").text
    assert not re.search(r"\b(CUS|CTR|PRJ|EMP)-(US|UK)\b|>(US|UK)<|Cascade|Łódź|Employee (US|UK)", page)
    for address in (
        f"/reports/{name}?entity=US",
        f"/api/v1/reports/{name}?entity=US",
        f"/reports/{name}/csv?entity=US",
    ):
        assert german.get(address).status_code == 403


@pytest.mark.parametrize("mart", SOURCES)
def test_nobody_opens_or_takes_along_rows_of_other_entities(german: httpx.Client, mart: str) -> None:
    """The pages would keep to the entity, and the files would have everything."""
    body = german.get(f"/api/v1/reports/rows/{mart}").json()
    assert {row["legal_entity"] for row in body["rows"]} <= {"DE"}
    assert body["total"] or mart in (*EMPTY, "mart_revenue_leakage")
    text = german.get(f"/reports/rows/{mart}/csv").text
    assert "DE" in text or not body["total"]
    assert not re.search(r"\b(CUS|CTR|PRJ|EMP)-(US|UK)\b|(^|,)(US|UK)(,|$)", text, re.MULTILINE)
    assert german.get(f"/reports/rows/{mart}?entity=US").status_code == 403
    assert german.get(f"/reports/rows/{mart}/xlsx?entity=US").status_code == 403


# Files


def test_a_formula_is_no_formula_in_any_file(client: httpx.Client) -> None:
    """A customer's name would be carried out by the spreadsheet of whoever opens the file."""
    query = "from=2026-07&to=2026-09"
    text = client.get(f"/reports/margin/csv?section=margin_by_customer&{query}").content.decode("utf-8-sig")
    names = [row["Customer"] for row in csv.DictReader(io.StringIO(text))]
    assert f"'{FORMULA}" in names
    assert FORMULA not in names
    book = load_workbook(io.BytesIO(client.get(f"/reports/margin/xlsx?{query}").content))
    cells = [cell for sheet in book for row in sheet.iter_rows() for cell in row if cell.value is not None]
    assert any(cell.value == f"'{FORMULA}" for cell in cells)
    assert {cell.data_type for cell in cells} <= {"s", "n", "inlineStr"}
    raw = zipfile.ZipFile(io.BytesIO(client.get(f"/reports/margin/xlsx?{query}").content))
    assert not any(b"<f>" in raw.read(name) for name in raw.namelist())


@pytest.mark.parametrize("dangerous", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "＝1"])
def test_whatever_a_spreadsheet_calculates_is_quoted(dangerous: str) -> None:
    """Each of these makes some spreadsheet calculate."""
    sheet = Sheet(title="=T", note="", columns=[Column(name="a", label="=L")], rows=[{"a": dangerous}])
    [[_], [text]] = list(csv.reader(io.StringIO(report_export.to_csv([sheet]).decode("utf-8-sig"))))
    assert text == f"'{dangerous}"
    page = load_workbook(io.BytesIO(report_export.to_xlsx([sheet], ["=about"]))).worksheets[1]
    assert (page["A1"].value, page["A1"].data_type) == ("'=L", "s")
    assert page["A2"].data_type == "s"
    assert str(page["A2"].value).startswith("'")


def test_numbers_stay_numbers_with_as_many_digits_as_a_spreadsheet_has(client: httpx.Client) -> None:
    """Sums in the spreadsheet would be of texts, or differ from the page by what a float cannot hold."""
    body = client.get("/api/v1/reports/margin").json()
    [section] = [section for section in body["sections"] if section["name"] == "margin_by_entity"]
    book = load_workbook(io.BytesIO(client.get("/reports/margin/xlsx").content))
    sheet = book["By legal entity"]
    header = [cell.value for cell in sheet[1]]
    assert header == ["Entity", "Revenue", "Cost", "Margin", "Currency", "Of revenue"]
    for row, cells in zip(section["rows"], sheet.iter_rows(min_row=2), strict=True):
        assert [cell.data_type for cell in cells] == ["s", "n", "n", "n", "s", "n"]
        assert [Decimal(str(cell.value)) for cell in cells[1:4]] == [
            Decimal(row[name]) for name in ("revenue", "cost", "margin")
        ]
    big = Decimal("12345678901.2345")
    column = Column(name="a", label="A", unit="money")
    made = report_export.to_xlsx(
        [Sheet(title="T", note="", columns=[column], rows=[{"a": big, "currency": "USD"}])], []
    )
    with zipfile.ZipFile(io.BytesIO(made)) as raw:
        assert b"<v>12345678901.2345</v>" in raw.read("xl/worksheets/sheet2.xml")
    negative = Sheet(title="T", note="", columns=[column], rows=[{"a": Decimal("-1.50"), "currency": "USD"}])
    assert report_export.to_csv([negative]).decode("utf-8-sig").splitlines()[1] == "-1.50,USD"[: len("-1.50")]


@pytest.mark.parametrize("address", ["/reports/executive/pdf", "/reports/margin/pdf", "/reports/rows/fct_revenue/pdf"])
def test_a_document_has_all_letters(client: httpx.Client, address: str) -> None:
    """Customers in other alphabets would make the document fail, or be printed as question marks."""
    answer = client.get(f"{address}?from=2026-07&to=2026-09")
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.content.startswith(b"%PDF-")
    assert b"Noto" in answer.content
    assert "attachment" in answer.headers["content-disposition"]


def test_a_file_with_too_many_rows_is_refused_and_says_what_to_do(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file would end in the middle, and nobody would know."""
    monkeypatch.setattr(report_export, "MOST_ROWS", {"csv": 10, "xlsx": 10, "pdf": 10})
    for form in ("csv", "xlsx", "pdf"):
        answer = client.get(f"/reports/rows/fct_revenue/{form}")
        assert answer.status_code == 422
        assert "Choose a shorter period" in answer.text


def test_files_have_all_rows_and_not_a_page_of_them(client: httpx.Client, marts: duckdb.DuckDBPyConnection) -> None:
    """The file would end after fifty rows."""
    [[count]] = marts.execute("SELECT count(*) FROM fct_revenue").fetchall()
    text = client.get("/reports/rows/fct_revenue/csv").content.decode("utf-8-sig")
    assert len(list(csv.reader(io.StringIO(text)))) == count + 1 > 51


# The file, and the library of charts


def test_without_a_file_the_pages_say_which_job_makes_it() -> None:
    """The first day would look like a fault."""
    with served(make_app(NOWHERE)) as address, httpx.Client(base_url=address, timeout=60) as client:
        for path in ("/reports", "/reports/margin", "/reports/rows/fct_cost", "/reports/margin/csv"):
            answer = client.get(path)
            assert answer.status_code == 200
            assert "The job reporting in Dagster" in answer.text
        answer = client.get("/api/v1/reports/margin")
        assert answer.status_code == 503
        assert answer.headers["retry-after"]


def test_only_reports_run_scripts_and_only_ours(client: httpx.Client) -> None:
    """A script that got into some page would run."""
    policies = {path: client.get(path).headers["content-security-policy"] for path in ("/reports", "/healthz")}
    assert "script-src 'self';" in policies["/reports"]
    assert "unsafe" not in policies["/reports"]
    assert "script" not in policies["/healthz"]
    page = client.get("/reports/margin").text
    assert re.findall(r"<script[^>]*>", page) == [
        f'<script src="{library_address()}">',
        '<script src="/static/reports.js">',
    ]


def test_the_library_comes_from_the_installed_package(client: httpx.Client) -> None:
    """A copy of it would grow old, and nobody would notice a hole in it."""
    plain = client.get(library_address(), headers={"Accept-Encoding": "identity"})
    assert "plotly.js" in plain.text[:200]
    assert "immutable" in plain.headers["cache-control"]
    with client.stream("GET", library_address(), headers={"Accept-Encoding": "gzip"}) as packed:
        assert packed.headers["content-encoding"] == "gzip"
        raw = b"".join(packed.iter_raw())
    assert gzip.decompress(raw) == plain.content
    assert len(raw) < len(plain.content) / 2


def test_hostile_names_are_text(client: httpx.Client) -> None:
    """A customer's name would end an attribute and begin a tag."""
    page = client.get("/reports/margin?from=2026-07&to=2026-09").text
    assert FORMULA not in page
    for data in re.findall(r'data-chart="([^"]*)"', page):
        assert unescape(data).startswith("{")


def test_all_queries_can_be_run(reporting_file: Path) -> None:
    """The benchmark would leave out a query that no page asks any more, or fail on it."""
    with ReportingFile(reporting_file).open() as reader:
        for name, query in QUERIES.items():
            for entity in (None, "DE"):
                filters = Filters(first="2026-08", last="2026-09", entity=entity)
                assert reader.read(query(filters)).rows or name in QUIET, name


# Earlier runs


class TwoRuns:
    """A history with the file as it is as run 2, and a run 1 that is gone."""

    def __init__(self, file: Path) -> None:
        self._file = ReportingFile(file)

    def runs(self) -> list[ReportingRun]:
        return [
            ReportingRun(
                id=number,
                published_at=PUBLISHED_AT - dt.timedelta(days=3 - number),
                lake_snapshot=number,
                models=40,
                kept=True,
                month_end=None,
            )
            for number in (3, 2)
        ]

    def open(self, run: int) -> AbstractContextManager[Reader]:
        if run == 1:
            raise ExpiredRunError("the state of reporting run 1 has been removed")
        if run != 2:
            raise NoSuchRunError(f"there is no reporting run {run}")
        return self._file.open()

    def changes(
        self, before: int, after: int, *, legal_entity: str | None, month: str | None, measure: Measure | None
    ) -> list[Change]:
        assert (before, after) == (2, 3)
        found = [
            Change(
                measure=Measure.REVENUE,
                legal_entity=entity,
                contract_id=f"CTR-{entity}",
                month="2026-09",
                currency=BOOKS[entity],
                before=Decimal("100.00"),
                after=Decimal("130.00"),
                parts=(Part(cause=Cause.NEW_APPROVAL, amount=Decimal("30.00"), items=2, ids=(f"id-{entity}",)),),
            )
            for entity in ("US", "DE")
        ]
        return [one for one in found if legal_entity in (None, one.legal_entity)]


@contextmanager
def historian(file: Path, *grants: Grant) -> Iterator[httpx.Client]:
    async def gate(_: Request) -> Visitor:
        return Visitor(actor=Actor(id="x", name="X", grants=frozenset(grants)), csrf="x")

    app = make_app(NOWHERE, reporting=file, history=TwoRuns(file), gate=gate)
    with served(app) as address, httpx.Client(base_url=address, timeout=60) as client:
        yield client


def test_a_report_stands_as_it_stood_and_says_so(reporting_file: Path) -> None:
    """Somebody would take an old state for the present one, or the links of it would lead to the present."""
    with historian(reporting_file, Grant(Role.VIEWER)) as client:
        assert ">As of<" in client.get("/reports").text
        page = client.get("/reports?run=2").text
        assert "This is how it stood at the reporting run of" in page
        rows = [unescape(link) for link in LINK.findall(page) if link.startswith("/reports/rows")]
        assert rows
        assert all("run=2" in link for link in rows)
        assert client.get(rows[0]).status_code == 200
        assert client.get("/api/v1/reports/margin?run=2").status_code == 200
        for run, status in ((1, 410), (99, 404)):
            for path in ("/reports", "/reports/margin/csv", "/reports/rows/fct_cost", "/api/v1/reports/margin"):
                assert client.get(f"{path}?run={run}").status_code == status, path


def test_what_has_changed_is_told_with_its_causes(reporting_file: Path) -> None:
    """A number of last week is another one today, and nobody could say why."""
    with historian(reporting_file, Grant(Role.VIEWER)) as client:
        page = client.get("/reports/changes").text
        assert "new approval: 30.00 USD, 2 items" in page
        assert "/trace?entry_id=id-US" in page
        body = client.get("/api/v1/reports/changes?entity=DE").json()
        assert [(one["legal_entity"], one["difference"]) for one in body] == [("DE", "30.00")]
        assert [run["id"] for run in client.get("/api/v1/reports/runs").json()] == [3, 2]
        assert client.get("/reports/changes?measure=x").status_code == 422


def test_changes_are_told_by_cause_and_can_be_limited_to_one(reporting_file: Path) -> None:
    """Somebody would have to read all changes to learn what kind of thing has happened."""
    with historian(reporting_file, Grant(Role.VIEWER)) as client:
        page = client.get("/reports/changes").text
        causes = page.split('id="causes"')[1].split("</table>")[0]
        assert re.findall(r'cause=(\w+)">.*?data-label="Amounts" class="num">(\d+)', causes) == [("new_approval", "2")]
        assert "Work was approved that was not before." in causes
        assert "CTR-US" in client.get("/reports/changes?cause=new_approval").text
        limited = client.get("/reports/changes?cause=edit").text
        assert "CTR-US" not in limited
        assert "Nothing has changed" in limited
        assert client.get("/api/v1/reports/changes?cause=edit").json() == []
        assert client.get("/reports/changes?cause=x").status_code == 422
        report = client.get("/reports/reconciliation?entity=DE").text
        assert "/reports/changes?entity=DE" in report, "the way from what does not agree to what has changed"


def test_changes_of_other_entities_are_not_told(reporting_file: Path) -> None:
    """The reports would keep to the entity, and what changed in them would not."""
    with historian(reporting_file, Grant(Role.VIEWER, "DE")) as client:
        assert "CTR-US" not in client.get("/reports/changes").text
        assert {one["legal_entity"] for one in client.get("/api/v1/reports/changes").json()} == {"DE"}
        assert client.get("/reports/changes?entity=US").status_code == 403


def test_without_earlier_runs_the_page_says_so(client: httpx.Client) -> None:
    """The first run would look like a fault."""
    assert "no two reporting runs to compare yet" in client.get("/reports/changes").text
    assert client.get("/api/v1/reports/changes").status_code == 404
    assert client.get("/api/v1/reports/runs").json() == []
