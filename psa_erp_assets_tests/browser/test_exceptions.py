"""The exception pages in a real browser: two widths, two color schemes, by keyboard, from a group to its approval."""

import datetime as dt
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import Request
from playwright.sync_api import Page, expect
from sqlalchemy import Engine

from psa_erp_assets.adapters.store import exceptions
from psa_erp_assets.console.access import Visitor
from psa_erp_assets.domain.access import Actor, Grant, Role
from psa_erp_assets_tests.browser.test_console import WIDTHS, browser, page, scheme
from psa_erp_assets_tests.support.console import HOSTILE, NOW, TENANT, fill, make_app, served

__all__ = ["browser", "page", "scheme"]

pytestmark = pytest.mark.browser

CAUSE = "PSA user 5b7e0f2ac1d3 is no employee that HR knows"
GROUP = f"/exceptions/groups/unknown_employee/{CAUSE}"
PAGES = {
    "causes": "/exceptions",
    "group": GROUP,
    "late": "/exceptions?overdue=true",
    "none-like-that": "/exceptions?search=zzz",
    "gone": "/exceptions/groups/no_bill_rate/gone meanwhile",
    "item": "/exceptions/1",
    "requests": "/exceptions/requests",
}


def seen(code: str, number: int, detail: str, *, entity: str = "UK", minutes: int = 90) -> exceptions.Sighting:
    return exceptions.Sighting(
        code=code,
        object_id=f"time_entry:clockify:64c0ffee{number:016d}",
        detail=detail,
        evidence={"holds": ["billing_line"], "revision": 1},
        legal_entity=entity,
        service_month="2026-09",
        minutes=minutes,
    )


async def gate(request: Request) -> Visitor:
    """Whoever a cookie names, who may do everything."""
    name = request.cookies.get("who", "ada")
    return Visitor(actor=Actor(id=name, name=name, grants=frozenset(Grant(r) for r in Role)), csrf="token")


@pytest.fixture
def desk(store_engine: Engine) -> Iterator[str]:
    """The address of a console with exceptions of many kinds, of which one is hostile."""
    lines = [seen("unknown_employee", n, CAUSE, entity="US" if n % 3 else "UK") for n in range(10, 25)]
    lines += [seen("no_cost_rate", n, f"no cost rate for EMP-0012 on 2026-09-{n:02}") for n in range(14, 18)]
    lines += [seen("no_fx_rate", 40, "no USD/GBP rate on or before 2026-09-14", minutes=3_000)]
    lines += [seen("malformed_record", 41, f"description: {HOSTILE}")]
    conflict = exceptions.Sighting(
        code="posting_conflict",
        object_id="time_entry:clockify:64c0ffee0000000000000001",
        detail="amount 12.50 GBP is not 13.00 GBP",
        evidence={"posting": "0123456789abcdef0123456789abcdef", "erp_company": "3"},
        legal_entity="DE",
        service_month="2026-09",
    )
    with store_engine.begin() as connection:
        exceptions.open_or_touch(connection, TENANT, "plan", lines, NOW - dt.timedelta(hours=30))
        exceptions.open_or_touch(connection, TENANT, "posting:billing_line", [conflict], NOW - dt.timedelta(hours=2))
        fill(connection)
    with served(make_app(store_engine, gate=gate, clock=lambda: NOW)) as address:
        yield address


def picture(page: Page, name: str, folder: Path) -> None:
    """A screenshot for people, where they asked for one."""
    page.screenshot(path=Path(os.environ.get("PSA_ERP_SCREENSHOTS") or folder) / f"{name}.png", full_page=True)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_pages_fit_their_window(page: Page, desk: str, tmp_path: Path, width: int, scheme: str) -> None:
    """On a phone a page wider than its window hides amounts and buttons."""
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    for name, path in PAGES.items():
        page.goto(desk + path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        picture(page, f"exceptions-{name}-{width}-{scheme}", tmp_path)
        assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0, name


def test_a_group_is_taken_noted_and_written_off_by_two(page: Page, desk: str, tmp_path: Path) -> None:
    """The whole way of a write-off, as two people go it."""
    page.goto(f"{desk}/exceptions")
    page.get_by_role("link", name=CAUSE).first.click()
    page.get_by_role("button", name="Take them").click()
    expect(page.get_by_role("status")).to_have_text("Assigned 15 items.")
    page.get_by_label(re.compile("Note, or why")).fill("asked HR, nobody knows")
    page.get_by_role("button", name="Add note").click()
    expect(page.get_by_role("status")).to_have_text("Noted on 15 items.")
    page.get_by_label(re.compile("Note, or why")).fill("the partner gives it away")
    page.get_by_role("button", name="Ask for write-off").click()
    expect(page.get_by_text("You have asked for it: somebody else must decide.")).to_be_visible()
    picture(page, "exceptions-asked", tmp_path)
    address = page.url
    page.context.add_cookies([{"name": "who", "value": "bob", "url": desk}])
    page.goto(address)
    page.get_by_label("Why").fill("agreed")
    picture(page, "exceptions-decide", tmp_path)
    page.get_by_role("button", name="Reject").click()
    expect(page.get_by_role("status")).to_contain_text("Rejected by bob")


def test_what_cannot_be_done_is_said_on_a_page(page: Page, desk: str) -> None:
    """A form that leads to a blank page makes people press it again."""
    page.goto(desk + GROUP)
    page.get_by_label(re.compile("Note, or why")).fill("plan it")
    page.get_by_role("button", name="Replay").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Conflict")
    expect(page.get_by_text("nothing to plan anew")).to_be_visible()


def test_the_list_is_filtered_and_left_by_keyboard(page: Page, desk: str) -> None:
    """Whoever clears exceptions all day does not want to reach for the mouse."""
    page.goto(f"{desk}/exceptions")
    page.get_by_label("Search").focus()
    page.keyboard.type("EMP-0012")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="4 items")).to_be_visible()
    link = page.get_by_role("link", name="no cost rate for EMP-0012")
    link.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("no cost rate for EMP-0012")
    for field in ("Give to", "Priority", "Note, or why (Alt+Shift+N)"):
        page.get_by_label(field).focus()
        expect(page.get_by_label(field)).to_be_focused()
