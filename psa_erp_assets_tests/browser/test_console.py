"""The console in a real browser: what it looks like on two widths, in two color schemes, and by keyboard."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from psa_erp_assets_tests.support.console import ENTRY, HOSTILE, KEY, TOKEN

pytestmark = pytest.mark.browser

WIDTHS = (1440, 390)
PAGES = {
    "overview": "/",
    "inbox": "/inbox",
    "postings": "/postings",
    "posting": f"/postings/{KEY}",
    "exceptions": "/exceptions",
    "code": "/exceptions?code=no_cost_rate",
    "trace": f"/trace/{ENTRY}",
    "error": "/trace/unknown",
}
# Chromium's own services look for hosts that a closed network does not have.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium from the system."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("Chromium is missing: install the package chromium")
        pytest.skip("Chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest) -> str:
    """The color scheme that the operator's system asks for."""
    return str(request.param)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page in a window of its own that fails the test on any script error or blocked resource."""
    context = browser.new_context()
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda line: complaints.append(line.text) if "Content Security Policy" in line.text else None)
    page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
    yield page
    context.close()
    assert complaints == []


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_its_window(
    page: Page, filled_console: str, tmp_path: Path, *, name: str, width: int, scheme: str
) -> None:
    """On a phone a page wider than its window hides amounts; the screenshot shows people what the rule cannot."""
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.goto(filled_console + PAGES[name])
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    overhang = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    folder = Path(os.environ.get("PSA_ERP_SCREENSHOTS") or tmp_path)
    page.screenshot(path=folder / f"{name}-{width}-{scheme}.png", full_page=True)
    assert overhang <= 0


@pytest.mark.parametrize("width", WIDTHS)
def test_an_empty_console_explains_itself(page: Page, console: str, tmp_path: Path, width: int) -> None:
    """On the first day there is nothing to show, and that must not look like a fault."""
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(console)
    expect(page.get_by_text("No source has been read yet")).to_be_visible()
    folder = Path(os.environ.get("PSA_ERP_SCREENSHOTS") or tmp_path)
    page.screenshot(path=folder / f"empty-{width}.png", full_page=True)


def test_from_the_overview_to_one_hours_story(page: Page, filled_console: str) -> None:
    """The way an operator takes: what is wrong, which item, what happened to it."""
    page.goto(filled_console)
    page.get_by_role("link", name="no cost rate").click()
    expect(page.get_by_text("Record the employee's compensation in HR")).to_be_visible()
    page.get_by_role("link", name=ENTRY.removeprefix("time_entry:")).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("64c0ffee0000000000000001")
    page.get_by_role("link", name=re.compile(KEY[:8])).first.click()
    expect(page).to_have_url(re.compile(f"/postings/{KEY}$"))
    expect(page.get_by_text("1,234.50 EUR").first).to_be_visible()


def test_filters_and_pages_keep_each_other(page: Page, filled_console: str) -> None:
    """A page link that dropped the filter would show other postings than were asked for."""
    page.goto(f"{filled_console}/postings")
    page.get_by_label("State").select_option("ready")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_text("60 match")).to_be_visible()
    page.get_by_role("link", name="Older").click()
    expect(page.get_by_text("Page 2 of 2")).to_be_visible()
    expect(page.get_by_label("State")).to_have_value("ready")
    expect(page.get_by_role("row")).to_have_count(11)


def test_everything_is_reached_by_keyboard(page: Page, filled_console: str) -> None:
    """Without a visible focus and a way past the navigation, the console is closed to people without a mouse."""
    page.goto(filled_console)
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.get_by_label("Find by any id").fill(ENTRY)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Understood as")).to_be_visible()


def test_hostile_text_is_read_and_not_run(page: Page, filled_console: str) -> None:
    """A description from the PSA must never act in an operator's browser."""
    page.goto(f"{filled_console}/trace/{ENTRY}")
    expect(page.locator(".lead")).to_have_text(HOSTILE)
    page.locator("details").evaluate_all("all => all.forEach(one => { one.open = true })")
    assert TOKEN not in page.content()
