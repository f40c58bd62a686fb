"""The pages and the API on empty and on filled stores."""

import re
import threading
from html.parser import HTMLParser

import httpx
import pytest
from sqlalchemy import Engine

from psa_erp_assets_tests.support.console import (
    DAGSTER_URL,
    ENTRY,
    HOSTILE,
    KEY,
    REVERSAL_KEY,
    TOKEN,
    make_app,
    served,
)

PAGES = ("/", "/inbox", "/inbox?pending=true", "/postings", "/exceptions", "/exceptions?resolved=true")
FILLED = (
    *PAGES,
    "/inbox?page=2",
    "/postings?state=ready&entity=US&month=2026-09&page=2",
    "/postings?state=&entity=&month=",
    f"/postings/{KEY}",
    f"/postings/{REVERSAL_KEY}",
    "/exceptions?code=no_cost_rate",
    f"/trace/{ENTRY}",
)


class Page(HTMLParser):
    """What a browser would make of a page: its elements and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.mark.parametrize("path", PAGES)
def test_every_page_says_something_while_there_is_nothing(shared_console: str, path: str) -> None:
    """On the first day an operator must see that nothing has come, not an empty table or an error."""
    answer = httpx.get(shared_console + path)
    assert answer.status_code == 200
    assert 'class="empty"' in answer.text


@pytest.mark.parametrize("path", FILLED)
def test_hostile_text_stays_text(filled_console: str, path: str) -> None:
    """Descriptions come from outside: a script in one would run with an operator's eyes on it."""
    answer = httpx.get(filled_console + path)
    assert answer.status_code == 200
    page = Page(answer.text)
    assert page.of("script") == []
    assert not any("onerror" in attributes for _, attributes in page.elements)
    assert {image["src"] for image in page.of("img")} == {"/static/icon.svg"}
    assert TOKEN not in answer.text


@pytest.mark.parametrize("path", FILLED)
def test_tables_and_times_are_told_in_full(filled_console: str, path: str) -> None:
    """A table without caption or headers is noise in a screen reader; a time without its zone misleads."""
    page = Page(httpx.get(filled_console + path).text)
    assert len(page.of("caption")) == len(page.of("table"))
    assert all(header.get("scope") in ("col", "row") for header in page.of("th"))
    assert all(time["datetime"].endswith("+00:00") for time in page.of("time"))
    assert len(page.of("h1")) == 1
    assert len(page.of("main")) == 1


def test_a_trace_tells_the_whole_story(filled_console: str) -> None:
    """Whoever asks what became of an hour must not have to look anywhere else."""
    page = Page(httpx.get(f"{filled_console}/trace/{ENTRY}").text)
    for told in (HOSTILE, "1,234.50 EUR", "-1,234.50 EUR", "4711", "account.invoice,12", "no cost rate for EMP-0001",
                 "clockify:p1:u1:2026-09-01", "approved and not posted yet", "worker-1", "resolved"):  # fmt: skip
        assert told in page.text


def test_a_vendors_own_id_finds_the_entry(filled_console: str) -> None:
    """That id is what people copy out of the PSA."""
    answer = httpx.get(f"{filled_console}/trace", params={"entry_id": ENTRY.rsplit(":", 1)[1]}, follow_redirects=True)
    assert answer.status_code == 200
    assert "Understood as" in answer.text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/nothing", 404),
        ("/trace/unknown", 404),
        ("/trace/time_entry:clockify:unknown", 404),
        ("/trace/%00", 422),
        ("/trace/%ED%A0%80", 404),
        ("/postings/" + "f" * 32, 404),
        ("/postings/' OR 1=1", 422),
        ("/postings?page=0", 422),
        ("/postings?page=x", 422),
        ("/postings?entity=%00", 422),
        ("/postings?month=2026", 422),
        ("/inbox?page=999999999999999999999", 422),
        ("/exceptions?code=%27%3B--", 422),
    ],
)
def test_what_is_not_understood_is_explained_on_a_page(filled_console: str, path: str, status: int) -> None:
    """People get a page and programs get JSON, and neither gets a 500."""
    page, program = httpx.get(filled_console + path), httpx.get(filled_console + "/api" + path)
    assert (page.status_code, program.status_code) == (status, status)
    assert page.headers["content-type"].startswith("text/html")
    assert "Back to the overview" in page.text
    assert list(program.json()) == ["detail"]


@pytest.mark.parametrize("path", ["/", "/nothing", "/api/status", "/healthz", "/static/console.css", "/webhooks/x"])
def test_every_answer_carries_the_security_headers(shared_console: str, path: str) -> None:
    """One answer without them is where a page can be framed or a content misread."""
    headers = httpx.get(shared_console + path).headers
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "'unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "server" not in headers


def test_pages_hold_nothing_that_their_policy_forbids(filled_console: str) -> None:
    """Inline styles and scripts would silently not work."""
    for path in FILLED:
        page = Page(httpx.get(filled_console + path).text)
        assert not page.of("style")
        assert not any(re.match(r"style$|on", name) for _, attributes in page.elements for name in attributes)


def test_another_sites_name_for_this_server_reads_nothing(shared_console: str) -> None:
    """A foreign page whose name resolves to the loopback address would read the books through the browser."""
    answer = httpx.get(shared_console, headers={"host": "evil.example"})
    assert answer.status_code == 400


def test_dagster_is_one_click_away(shared_console: str) -> None:
    """The address is a setting; without the link nobody finds the runs."""
    assert {"href": DAGSTER_URL, "rel": "noreferrer"} in Page(httpx.get(shared_console).text).of("a")


def test_the_api_answers_what_the_pages_show(filled_console: str) -> None:
    """Programs that watch the sync rely on these names, and on amounts that are no floats."""
    with httpx.Client(base_url=filled_console + "/api") as client:
        status = client.get("/status").json()
        assert (status["deliveries_pending"], status["payloads"]) == (1, 60)
        assert {g["code"]: g["items"] for g in status["exceptions"]} == {"no_cost_rate": 3, "posting_ambiguous": 1}
        assert status["oldest_unprocessed_seconds"] >= 0
        page = client.get("/postings", params={"state": "ready"}).json()
        assert (page["total"], page["pages"], len(page["postings"])) == (60, 2, 50)
        assert client.get("/inbox").json()["payloads_total"] == 60
        posting = client.get(f"/postings/{KEY}").json()
        assert posting["amount"] == "1234.50"
        assert [event["to_state"] for event in posting["events"]] == ["planned", "in_flight", "verified"]
        trace = client.get(f"/trace/{ENTRY}").json()
        assert [p["version"] for p in trace["payloads"]] == [1, 2]
        assert [e["code"] for e in trace["exceptions"]] == ["unknown_employee", "no_cost_rate", "posting_ambiguous"]
        owned = client.get("/exceptions", params={"owner": "integration_engineering"}).json()
        assert [item["code"] for item in owned] == ["posting_ambiguous"]
        assert len(client.get("/exceptions/groups").json()) == 2


def test_the_api_describes_itself(shared_console: str) -> None:
    """Clients are generated from the description; a page or an undescribed answer in it would mislead them."""
    description = httpx.get(f"{shared_console}/api/openapi.json").json()
    assert description["openapi"].startswith("3.")
    assert {"/webhooks/{source}", "/healthz", "/api/status", "/api/postings/{key}"} <= set(description["paths"])
    for path, operations in description["paths"].items():
        assert path.startswith(("/api/", "/webhooks/", "/healthz"))
        assert all(operation["summary"] for operation in operations.values())


def test_workers_live_as_long_as_the_server_and_are_watched(store_engine: Engine) -> None:
    """A worker that died unseen would leave deliveries waiting; one that is not told to stop would hang the exit."""
    started, stopped, die = threading.Event(), threading.Event(), threading.Event()

    def steady(stop: threading.Event) -> None:
        started.set()
        stop.wait()
        stopped.set()

    def mortal(stop: threading.Event) -> None:
        while not stop.wait(0.01):
            if die.is_set():
                raise RuntimeError("worker of the test")

    with served(make_app(store_engine, background=(steady, mortal))) as address:
        assert started.wait(10)
        assert httpx.get(f"{address}/healthz").json() == {"database": "reachable", "background": "running"}
        die.set()
        for _ in range(500):
            health = httpx.get(f"{address}/healthz")
            if health.status_code == 503:
                break
        assert health.json() == {"database": "reachable", "background": "dead"}
    assert stopped.wait(10)
