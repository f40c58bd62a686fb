"""The reports in a real browser: charts on two widths, in two color schemes, and the way from a number to its rows."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import create_engine

from psa_erp_assets.services.reports import REPORTS
from psa_erp_assets_tests.browser.test_console import WIDTHS, browser, page, scheme
from psa_erp_assets_tests.support.console import make_app, served

__all__ = ["browser", "page", "scheme"]

pytestmark = pytest.mark.browser

NOWHERE = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/none")
PAGES = {
    **{name: f"/reports/{name}" for name in REPORTS},
    "rows": "/reports/rows/fct_revenue?from=2026-09&to=2026-09",
}


@pytest.fixture(scope="module")
def address(reporting_file: Path) -> Iterator[str]:
    """A console with a reporting file; another one where a person wants to see pictures of it."""
    file = Path(os.environ.get("PSA_ERP_REPORTING_FILE") or reporting_file)
    with served(make_app(NOWHERE, reporting=file)) as started:
        yield started


def settle(page: Page) -> None:
    """Wait until all charts are drawn."""
    expect(page.locator("[data-chart]:not([data-drawn])")).to_have_count(0, timeout=20_000)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_reports_fit_their_window(page: Page, address: str, tmp_path: Path, width: int, scheme: str) -> None:
    """On a phone a page wider than its window hides amounts; the pictures show people what the rule cannot."""
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    folder = Path(os.environ.get("PSA_ERP_SCREENSHOTS") or tmp_path)
    for name, path in PAGES.items():
        page.goto(address + path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        settle(page)
        page.screenshot(path=folder / f"reports-{name}-{width}-{scheme}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0, name
        for chart in page.locator("[data-chart]").all():
            box, svg = chart.bounding_box(), chart.locator("svg.main-svg").first.bounding_box()
            assert box is not None
            assert svg is not None
            assert svg["width"] <= box["width"] + 1
            assert svg["height"] <= box["height"] + 1, f"{name}: a chart lies over what comes after it"


def test_from_a_figure_to_its_rows(page: Page, address: str) -> None:
    """The way of somebody in finance who does not believe a number."""
    page.goto(f"{address}/reports")
    tile = page.locator('[data-figure="revenue"] data')
    amount = tile.get_attribute("value")
    tile.click()
    expect(page).to_have_url(re.compile("/reports/rows/fct_revenue"))
    expect(page.locator('[data-sum="amount"] data')).to_have_attribute("value", str(amount))
    expect(page.locator("tbody th a").first).to_have_attribute("href", re.compile("^/postings/[0-9a-f]{32}$"))


def test_a_bar_opens_its_rows(page: Page, address: str) -> None:
    """A chart would be a picture alone."""
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto(f"{address}/reports/margin")
    settle(page)
    section = page.locator('[data-section="margin_by_entity"]')
    section.scroll_into_view_if_needed()
    section.locator(".bars .point").first.click(force=True)
    expect(page).to_have_url(re.compile("/reports/rows/fct_revenue.*entity=DE"))


def test_filters_stay_from_page_to_page(page: Page, address: str) -> None:
    """A number would be compared with another of other months."""
    page.goto(f"{address}/reports/margin")
    page.get_by_label("From").select_option("2026-07")
    page.get_by_label("Practice", exact=True).select_option("Data")
    page.get_by_role("button", name="Show").click()
    expect(page).to_have_url(re.compile("practice=Data"))
    expect(page.get_by_label("From")).to_have_value("2026-07")
    expect(page.get_by_label("Practice", exact=True)).to_have_value("Data")
    page.get_by_role("link", name="Clear").click()
    expect(page.get_by_label("Practice", exact=True)).to_have_value("")


def test_charts_follow_the_color_scheme_and_print_on_paper(page: Page, address: str, tmp_path: Path) -> None:
    """In the evening the charts would be black on black, and on paper light grey on white."""
    page.goto(f"{address}/reports")
    settle(page)
    bar = page.locator(".bars path").first
    light = bar.evaluate("bar => getComputedStyle(bar).fill")
    page.emulate_media(color_scheme="dark")
    expect(bar).not_to_have_css("fill", light)
    page.emulate_media(media="print")
    assert page.locator(".chart text").first.evaluate("text => getComputedStyle(text).fill") == "rgb(34, 34, 34)"
    expect(page.get_by_role("navigation", name="Reports")).to_be_hidden()
    (Path(os.environ.get("PSA_ERP_SCREENSHOTS") or tmp_path) / "reports.pdf").write_bytes(page.pdf(format="A4"))


def test_labels_on_a_phone_do_not_lie_over_their_numbers(page: Page, address: str) -> None:
    """A long label would make the amount beside it unreadable."""
    page.set_viewport_size({"width": 390, "height": 900})
    page.goto(f"{address}/reports/receivables")
    cell = page.locator('td[data-label="Invoiced in 12 months"]').first
    narrow = cell.evaluate("cell => parseFloat(getComputedStyle(cell, '::before').width)")
    assert narrow < cell.evaluate("cell => parseFloat(getComputedStyle(cell).paddingLeft)")
    assert cell.evaluate("cell => getComputedStyle(cell, '::before').whiteSpace") == "normal"
    inside = cell.evaluate("cell => cell.getBoundingClientRect().height")
    assert inside >= cell.evaluate("cell => parseFloat(getComputedStyle(cell, '::before').height)")


def test_contracts_of_one_name_have_a_bar_each(page: Page, reporting_file: Path, tmp_path: Path) -> None:
    """The bar of one contract would be the sum of several, and the chart would say another thing than its table."""
    copy = Path(shutil.copy(reporting_file, tmp_path / "reporting.duckdb"))
    with duckdb.connect(str(copy)) as connection:
        connection.execute("UPDATE dim_contract SET contract_name = 'Consulting of one and the same name'")
    with served(make_app(NOWHERE, reporting=copy)) as address:
        page.set_viewport_size({"width": 1440, "height": 900})
        page.goto(f"{address}/reports/wip")
        settle(page)
        section = page.locator('[data-section="wip_by_contract"]')
        rows = min(15, section.locator("tbody tr").count())
        assert rows > 1
        expect(section.locator(".bars .point")).to_have_count(rows)
        labels = section.locator(".ytick text").all_text_contents()
        assert len(set(labels)) == rows, "what tells them apart must not be cut off"


def test_without_scripts_the_numbers_are_there(page: Page, address: str) -> None:
    """Whoever has scripts switched off would see empty boxes."""
    assert page.context.browser is not None
    context = page.context.browser.new_context(java_script_enabled=False)
    plain = context.new_page()
    plain.goto(f"{address}/reports/margin")
    expect(plain.get_by_role("table").first).to_be_visible()
    expect(plain.locator(".chart").first).to_be_hidden()
    expect(plain.get_by_text("Charts need JavaScript")).to_be_visible()
    context.close()
