"""A steward's way through the pages of mappings, in a real browser and at both widths."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import Engine

from psa_erp_assets_tests.browser.test_console import browser, page
from psa_erp_assets_tests.support import mappings
from psa_erp_assets_tests.support.console import make_app, served
from psa_erp_assets_tests.support.store import NOW, SCOPE

__all__ = ["browser", "page"]


@pytest.fixture
def console_with_open_joins(store_engine: Engine) -> Iterator[str]:
    mappings.open_store(store_engine)
    with served(make_app(store_engine, scope=SCOPE, clock=lambda: NOW)) as address:
        yield address


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_from_the_list_to_an_accepted_mapping_and_back(
    page: Page, console_with_open_joins: str, width: int, scheme: str
) -> None:
    """A steward could not find, understand, decide or take back what is proposed."""
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(f"{console_with_open_joins}/mappings")
    page.get_by_label("Id or name").fill("fischer")
    page.get_by_role("button", name="Filter").click()
    page.get_by_role("link", name="Fischer, Benjamin").click()
    expect(page.get_by_role("heading", name="Effect on the plan")).to_be_visible()
    expect(page.get_by_text("375.00 GBP")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    page.get_by_label("From").fill("2026-09-15")
    page.get_by_role("button", name="Show the effect").click()
    page.get_by_label("Reason").fill("the same person under an old address")
    page.get_by_role("button", name="Accept from 2026-09-15").click()
    expect(page.get_by_text("accepted", exact=True)).to_be_visible()
    page.goto(f"{console_with_open_joins}/mappings?tab=decisions")
    page.locator("main summary").first.click()
    page.get_by_placeholder("Reason").fill("somebody else after all")
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("undone by", exact=False)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
