"""Plans, lineage and reconciliation in a real browser: two widths, two color schemes, and a reversal's way."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import Engine

from psa_erp_assets.adapters.store import plan_lists
from psa_erp_assets.adapters.store.plan_lists import PlanFilter
from psa_erp_assets_tests.browser.test_console import WIDTHS, browser, page, scheme
from psa_erp_assets_tests.support.facts import TENANT
from psa_erp_assets_tests.support.plan_desk import ENTRY, STRAY, PlanDesk, plan_desk

__all__ = ["browser", "page", "scheme"]

pytestmark = pytest.mark.browser

PAGES = {
    "overview": "/",
    "plans": "/plans",
    "plan": "/plans/1",
    "plan-held": "/plans/1?action=hold",
    "choices": "/choices",
    "rollout": "/rollout",
    "reconciliation": "/reconciliation",
    "reconciled": "/reconciliation?entity=UK&month=2026-09&kind=pending",
    "entry": f"/trace/{ENTRY}",
    "held-entry": f"/trace/{STRAY}",
    "invoice": "/invoices/2/12",
    "payload": "/payloads/1",
}


@pytest.fixture
def desk(store_engine: Engine, tmp_path: Path) -> Iterator[PlanDesk]:
    with plan_desk(store_engine, tmp_path) as opened:
        yield opened


def as_somebody(page: Page, desk: PlanDesk, name: str) -> None:
    page.context.add_cookies([{"name": "who", "value": name, "url": desk.address}])


def picture(page: Page, name: str, folder: Path) -> None:
    """A screenshot for people, where they asked for one."""
    page.screenshot(path=Path(os.environ.get("PSA_ERP_SCREENSHOTS") or folder) / f"{name}.png", full_page=True)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_pages_fit_their_window(page: Page, desk: PlanDesk, tmp_path: Path, width: int, scheme: str) -> None:
    """On a phone a page wider than its window hides amounts and buttons."""
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    for name, path in PAGES.items():
        page.goto(desk.address + path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        picture(page, f"plans-{name}-{width}-{scheme}", tmp_path)
        assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0, name


def test_a_large_reversal_is_made_by_one_approved_by_another_and_applied(
    page: Page, desk: PlanDesk, tmp_path: Path
) -> None:
    """Somebody alone could take back ten billed hours, or a viewer could, or nobody could any more."""
    page.goto(f"{desk.address}/plans")
    page.get_by_text("Plan a month now").click()
    page.get_by_label("Entity").last.fill("UK")
    page.get_by_label("Month").last.fill("2026-09")
    page.get_by_role("button", name="Plan it").click()
    expect(page.get_by_role("status")).to_have_text("Planned. Nothing is posted yet.")
    expect(page.get_by_text("large reversals: 1,000.00 GBP is above 500.00 GBP")).to_be_visible()
    expect(page.get_by_text("You have made it: somebody else must review it.")).to_be_visible()
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    picture(page, "plan-waits", tmp_path)
    plan_page = page.url.partition("?")[0]

    as_somebody(page, desk, "vic")
    page.goto(plan_page)
    expect(page.get_by_text("It waits for somebody who may approve plans of UK.")).to_be_visible()
    assert page.locator("form[method=post]").count() == 0
    page.goto(f"{desk.address}/plans")
    assert page.locator("form[method=post]").count() == 0

    as_somebody(page, desk, "ada")
    page.goto(f"{desk.address}/plans?waiting=true")
    page.get_by_role("row").nth(1).get_by_role("link").first.click()
    page.get_by_label("Why").fill("the customer has seen the correction")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("status")).to_contain_text("Approved.")
    expect(page.get_by_role("button", name="Apply")).to_have_count(0)

    as_somebody(page, desk, "olga")
    page.goto(plan_page)
    expect(page.get_by_text("“the customer has seen the correction”")).to_be_visible()
    page.get_by_role("button", name="Apply plan").click()
    expect(page.get_by_role("status")).to_contain_text("Applied")
    picture(page, "plan-applied", tmp_path)
    with desk.runtime.engine.connect() as connection:
        last = plan_lists.list_plans(connection, TENANT, PlanFilter(), limit=1)[0]
    assert (last.status, last.created_by, last.reviewed_by) == ("applied", "olga", "ada")


def test_from_an_invoice_number_to_the_hour_that_it_bills_and_back(page: Page, desk: PlanDesk) -> None:
    """A customer names an invoice, and nobody finds which work is on it, or whether it is paid."""
    page.goto(desk.address)
    page.get_by_label("Find by any id").fill("INV-1")
    page.get_by_label("Find by any id").press("Enter")
    expect(page.get_by_role("heading", name="Invoice INV-1")).to_be_visible()
    expect(page.get_by_text("partly paid")).to_be_visible()
    page.get_by_role("link", name="clockify:e1").click()
    expect(page.get_by_role("heading", name="Invoiced and paid")).to_be_visible()
    page.get_by_role("link", name="INV-1").click()
    expect(page.get_by_role("heading", name="Invoice INV-1")).to_be_visible()
