"""The source connectors against real HTTP servers that misbehave: paging, throttling, broken and missing answers."""

import datetime as dt
import json
import logging
import threading
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import pytest

from psa_erp_assets.adapters.connectors.bamboohr.client import BambooHrClient, bamboohr_auth
from psa_erp_assets.adapters.connectors.clockify.client import ClockifyClient, clockify_auth
from psa_erp_assets.adapters.connectors.hubspot.client import HubSpotClient, hubspot_auth
from psa_erp_assets.adapters.http import (
    JsonApi,
    SourceAnswerError,
    SourceAuthError,
    SourceError,
    SourceThrottledError,
    SourceUnreachableError,
)
from psa_erp_assets.domain.keys import canonical_json
from psa_erp_assets_tests.support.manual_clock import ManualClock
from psa_erp_assets_tests.support.scripted_server import Asked, Reply, as_json, scripted_server

KEY = "a-very-secret-key"
NOW = dt.datetime(2026, 10, 5, 8, tzinfo=dt.UTC)
Answer = Callable[[Asked], Reply]


def connection(url: str, clock: ManualClock | None = None, **settings: Any) -> JsonApi:
    clock = clock or ManualClock()
    return JsonApi(
        url,
        auth=settings.pop("auth", clockify_auth(lambda: KEY)),
        rate=1e6,
        burst=1000,
        clock=clock,
        sleep=clock.sleep,
        now=lambda: NOW,
        **settings,
    )


def in_turn(replies: Iterable[Reply]) -> Answer:
    """One reply after the other, whatever is asked."""
    left = iter(replies)
    return lambda _: next(left)


def pages_of(items: list[dict[str, Any]], *, cap: int = 1000) -> Answer:
    """Clockify's paging over `items`, with the server's own limit of a page's size."""

    def answer(asked: Asked) -> Reply:
        size = min(int(asked.query["page-size"]), cap)
        first = (int(asked.query["page"]) - 1) * size
        return as_json(items[first : first + size])

    return answer


def records(count: int) -> list[dict[str, Any]]:
    return [{"id": f"x{n}"} for n in range(count)]


def expense_pages_of(items: list[dict[str, Any]]) -> Answer:
    """Paging over expenses and their categories, whose lists are inside an object."""
    pages = pages_of(items)

    def answer(asked: Asked) -> Reply:
        page = json.loads(pages(asked).body)
        if asked.path.endswith("/categories"):
            return as_json({"count": len(items), "categories": page})
        return as_json({"expenses": {"expenses": page, "count": len(items)}, "dailyTotals": [], "weeklyTotals": []})

    return answer


@pytest.mark.parametrize("count", [0, 1, 3, 4, 7])
def test_all_pages_are_read(count: int) -> None:
    """A sweep that stopped at the first page would lose most of the company's time."""
    with scripted_server(pages_of(records(count))) as server, connection(server.url) as api:
        assert ClockifyClient(api, "w1", page_size=3).projects() == records(count)


@pytest.mark.parametrize("count", [0, 1, 3, 4, 7])
def test_all_pages_of_expenses_are_read(count: int) -> None:
    """A list inside an object has as many pages as another; an expense on the second is one that is paid back."""
    with scripted_server(expense_pages_of(records(count))) as server, connection(server.url) as api:
        client = ClockifyClient(api, "w1", page_size=3)
        assert client.expenses() == records(count)
        assert client.expense_categories() == records(count)


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"expenses": []},
        {"expenses": {"count": 0}},
        {"expenses": None},
        {"expenses": {"expenses": {"id": "x1"}}},
    ],
    ids=["a list", "empty", "a list inside", "no list", "null", "no list inside"],
)
def test_expenses_in_another_shape_are_an_error_and_not_none(body: Any) -> None:
    """Taken for an empty list, it would look as if every expense had been deleted."""
    with (
        scripted_server(lambda _: as_json(body)) as server,
        connection(server.url) as api,
        pytest.raises(SourceAnswerError, match="another shape"),
    ):
        ClockifyClient(api, "w1").expenses()


@pytest.mark.parametrize("broken", [Reply(status=503), Reply(status=400), as_json({"expenses": {}})])
def test_expenses_that_break_midway_are_no_list(broken: Reply) -> None:
    """Half a list taken for the whole would look like deletions of the other half."""
    pages = expense_pages_of(records(3))

    def answer(asked: Asked) -> Reply:
        return pages(asked) if asked.query["page"] == "1" else broken

    with scripted_server(answer) as server, connection(server.url) as api, pytest.raises(SourceError):
        ClockifyClient(api, "w1", page_size=3).expenses()


def test_a_total_is_never_a_float() -> None:
    """What the vendor writes as a double arrives as its digits: a float would lose cents before anybody can look."""
    body = b'{"expenses": {"count": 1, "expenses": [{"id": "x1", "total": 5557.50, "quantity": 1.0E7}]}}'
    none = as_json({"expenses": {"expenses": []}})
    with scripted_server(in_turn([Reply(body=body), none])) as server, connection(server.url) as api:
        assert ClockifyClient(api, "w1").expenses() == [{"id": "x1", "total": "5557.50", "quantity": "1.0E7"}]


@pytest.mark.parametrize(
    "reply", [Reply(status=404), as_json({"message": "Expense doesn't belong to Workspace", "code": 501}, status=400)]
)
def test_an_expense_that_does_not_exist_is_none(reply: Reply) -> None:
    """Both ways in which Clockify says so."""
    with scripted_server(lambda _: reply) as server, connection(server.url) as api:
        assert ClockifyClient(api, "w1").expense("x1") is None


def test_time_is_asked_for_with_the_names_of_its_task_and_tags() -> None:
    """Without them each sweep would need the lists of tags and of every project's tasks as well."""
    with (
        scripted_server(lambda asked: as_json({"id": "x1"} if asked.path.endswith("x1") else [])) as server,
        connection(server.url) as api,
    ):
        client = ClockifyClient(api, "w1")
        client.time_entry("x1")
        client.time_entries("u1", NOW, NOW)
    assert [asked.query["hydrated"] for asked in server.asked] == ["true", "true"]


def test_a_server_that_caps_its_pages_is_read_to_the_end() -> None:
    """A page that is shorter than asked for must not be taken for the last one."""
    with scripted_server(pages_of(records(7), cap=2)) as server, connection(server.url) as api:
        assert ClockifyClient(api, "w1", page_size=100).users() == records(7)


def test_a_record_that_moves_to_the_next_page_is_read_once() -> None:
    """Somebody adds an entry while the list is read, and everything after it moves."""
    replies = [as_json(records(3)), as_json([{"id": "x2"}, {"id": "x3"}]), as_json([])]
    with scripted_server(in_turn(replies)) as server, connection(server.url) as api:
        assert ClockifyClient(api, "w1", page_size=3).clients() == records(4)


def test_a_server_that_ignores_paging_is_an_error_and_not_a_loop() -> None:
    """Without it the sweep would ask the same page for ever."""
    with (
        scripted_server(lambda _: as_json(records(3))) as server,
        connection(server.url) as api,
        pytest.raises(SourceAnswerError, match="repeats its records on page 2"),
    ):
        ClockifyClient(api, "w1").clients()


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        (Reply(status=503), SourceUnreachableError),
        (Reply(status=400), SourceAnswerError),
        (Reply(status=401), SourceAuthError),
        (as_json({"message": "no list"}), SourceAnswerError),
        (as_json([{"name": "no id"}]), SourceAnswerError),
    ],
    ids=["server error", "refused", "key revoked", "another shape", "record without id"],
)
def test_a_list_that_breaks_midway_is_no_list(broken: Reply, error: type[SourceError]) -> None:
    """Half a list taken for the whole would look like deletions of the other half."""

    def answer(asked: Asked) -> Reply:
        return as_json(records(3)) if asked.query["page"] == "1" else broken

    with scripted_server(answer) as server, connection(server.url) as api, pytest.raises(error):
        ClockifyClient(api, "w1", page_size=3).projects()


def test_a_throttled_read_waits_as_long_as_it_was_told_and_goes_on() -> None:
    """Obeying Retry-After is what keeps a vendor from shutting the key off."""
    clock = ManualClock()
    replies = [
        Reply(status=429, headers={"Retry-After": "7"}),
        Reply(status=429, headers={"Retry-After": "Mon, 05 Oct 2026 08:00:11 GMT"}),
        Reply(status=503, headers={"Retry-After": "3"}),
        as_json([]),
    ]
    with scripted_server(in_turn(replies)) as server, connection(server.url, clock) as api:
        assert ClockifyClient(api, "w1").users() == []
    assert clock.slept == [7.0, 11.0, 3.0]


@pytest.mark.parametrize(
    "asked_wait",
    ["86400", "9" * 5000, "-5", "soon", "", "Mon, 05 Oct 2099 08:00:00 GMT", "Mon, 05 Oct 1999 08:00:00 GMT", "1e9"],
)
def test_no_retry_after_however_absurd_makes_a_wait_unbounded(asked_wait: str) -> None:
    """A storm of 429 with a wait of a day must end in an error that a human sees, in bounded time."""
    clock = ManualClock()
    storm = Reply(status=429, headers={"Retry-After": asked_wait})
    with (
        scripted_server(lambda _: storm) as server,
        connection(server.url, clock, attempts=4, max_wait=20.0) as api,
        pytest.raises(SourceThrottledError) as caught,
    ):
        ClockifyClient(api, "w1").users()
    assert len(server.asked) == 4
    assert len(clock.slept) == 3
    assert all(0 <= wait <= 20.0 for wait in clock.slept)
    assert caught.value.status == 429


@pytest.mark.parametrize(
    "trouble",
    [Reply(status=500), Reply(status=503, body=b"<html>down</html>"), Reply(body=b'[{"id": "x', drop=True)],
    ids=["500", "503", "connection reset in mid-body"],
)
def test_passing_trouble_is_tried_again(trouble: Reply) -> None:
    """A proxy that dies for a second must not fail a sweep of an hour."""
    replies = [trouble, trouble, as_json(records(1)), as_json([])]
    with scripted_server(in_turn(replies)) as server, connection(server.url) as api:
        assert ClockifyClient(api, "w1").users() == records(1)
    assert len(server.asked) == 4


@pytest.mark.parametrize("trouble", [Reply(status=502), Reply(body=b"[", drop=True)], ids=["502", "reset"])
def test_trouble_that_stays_is_unreachable(trouble: Reply) -> None:
    """A source that is down is not a source that is empty."""
    with (
        scripted_server(lambda _: trouble) as server,
        connection(server.url, attempts=3) as api,
        pytest.raises(SourceUnreachableError),
    ):
        ClockifyClient(api, "w1").time_entry("x1")
    assert len(server.asked) == 3


def test_a_source_that_does_not_listen_is_unreachable() -> None:
    """The address is wrong or the server is off."""
    with scripted_server(lambda _: as_json([])) as server:
        url = server.url
    with connection(url, attempts=2) as api, pytest.raises(SourceUnreachableError, match="ConnectError"):
        HubSpotClient(api).companies()


def test_a_source_that_does_not_answer_in_time_is_unreachable() -> None:
    """A hanging source must not hang the sweep."""

    released = threading.Event()

    def slow(_: Asked) -> Reply:
        released.wait(5)
        return as_json([])

    with scripted_server(slow) as server:
        with (
            connection(server.url, attempts=1, timeout=0.2) as api,
            pytest.raises(SourceUnreachableError, match="Timeout"),
        ):
            ClockifyClient(api, "w1").users()
        released.set()


@pytest.mark.parametrize(
    "reply",
    [
        Reply(body=b'[{"id": "x1"}, {"id'),
        Reply(body=b"<html>Please log in</html>", headers={"Content-Type": "text/html"}),
        Reply(body=b""),
        Reply(body=b"\xff\xfe[]\x00"),
        Reply(body=b"[NaN]"),
        Reply(body=b"[" * 100_000),
        Reply(body=b"not gzip", headers={"Content-Encoding": "gzip"}),
        Reply(status=302, headers={"Location": "http://127.0.0.1:9/login"}),
        Reply(status=204),
        as_json("a text"),
        as_json([1, 2]),
    ],
    ids=[
        "cut off",
        "HTML",
        "empty",
        "another encoding",
        "NaN",
        "nested",
        "bad gzip",
        "redirect",
        "204",
        "text",
        "numbers",
    ],
)
def test_a_200_that_says_nothing_is_an_error_and_not_an_empty_list(reply: Reply) -> None:
    """A captive portal or a half-written answer must not look like a workspace without users."""
    with scripted_server(lambda _: reply) as server, connection(server.url) as api, pytest.raises(SourceAnswerError):
        ClockifyClient(api, "w1").users()
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_revoked_key_is_tried_once(status: int) -> None:
    """Hammering with a dead key gets an account locked."""
    with (
        scripted_server(lambda _: Reply(status=status)) as server,
        connection(server.url) as api,
        pytest.raises(SourceAuthError) as caught,
    ):
        ClockifyClient(api, "w1").users()
    assert (len(server.asked), caught.value.status) == (1, status)


def test_a_renewed_key_is_used_at_once() -> None:
    """Whoever renews a key must not have to restart anything."""
    keys = iter(["old", "new"])
    with (
        scripted_server(lambda _: as_json([])) as server,
        connection(server.url, auth=clockify_auth(lambda: next(keys))) as api,
    ):
        client = ClockifyClient(api, "w1")
        client.users()
        client.users()
    assert [asked.headers["x-api-key"] for asked in server.asked] == ["old", "new"]


def test_no_secret_and_no_person_is_in_errors_reprs_or_logs(caplog: pytest.LogCaptureFixture) -> None:
    """Errors end up in consoles, tickets and log stores."""
    body = b'{"message": "ann.example@northgate.example is not allowed"}'
    with scripted_server(lambda _: Reply(status=400, body=body)) as server, connection(server.url) as api:
        with caplog.at_level(logging.DEBUG), pytest.raises(SourceAnswerError) as caught:
            ClockifyClient(api, "w1").users()
        said = f"{caught.value} {caught.value!r} {vars(caught.value)} {caught.value.__cause__} {api!r} {caplog.text}"
    assert KEY not in said
    assert "ann.example" not in said
    assert "GET /v1/workspaces/w1/users: answered 400" in said


def test_credentials_in_a_base_url_are_refused() -> None:
    """A base URL is shown in reprs and settings pages."""
    with pytest.raises(ValueError, match="credentials") as caught:
        JsonApi(f"http://user:{KEY}@127.0.0.1", auth=dict)
    assert KEY not in str(caught.value)


def test_a_number_with_a_fraction_arrives_as_it_was_written() -> None:
    """A float would lose cents, and could not be stored as a canonical body."""
    with scripted_server(lambda _: Reply(body=b'{"a": 0.10, "b": 7}')) as server, connection(server.url) as api:
        answer = api.get("/any")
    assert answer == {"a": "0.10", "b": 7}
    assert canonical_json(answer)
    assert Decimal(answer["a"]) == Decimal("0.1")


@pytest.mark.parametrize(
    "reply", [Reply(status=404), as_json({"message": "TimeEntry doesn't belong to Workspace", "code": 501}, status=400)]
)
def test_an_entry_that_does_not_exist_is_none(reply: Reply) -> None:
    """Both ways in which Clockify says so."""
    with scripted_server(lambda _: reply) as server, connection(server.url) as api:
        assert ClockifyClient(api, "w1").time_entry("x1") is None


@pytest.mark.parametrize(
    "reply", [Reply(status=400), as_json({"message": "start is wrong", "code": 501}, status=400), Reply(status=410)]
)
def test_another_refusal_is_not_a_deletion(reply: Reply) -> None:
    """Taken for a deletion, it would credit the customer."""
    with scripted_server(lambda _: reply) as server, connection(server.url) as api, pytest.raises(SourceAnswerError):
        ClockifyClient(api, "w1").time_entry("x1")


@pytest.mark.parametrize(("entry_id", "path"), [("../users", "..%2Fusers"), ("a?b#c", "a%3Fb%23c")])
def test_an_id_stays_one_segment_of_the_path(entry_id: str, path: str) -> None:
    """An id from a forged delivery must not reach another endpoint."""
    with scripted_server(lambda _: as_json({"id": entry_id})) as server, connection(server.url) as api:
        ClockifyClient(api, "w1").time_entry(entry_id)
    assert server.asked[0].path == f"/v1/workspaces/w1/time-entries/{path}"


@pytest.mark.parametrize("entry_id", ["", ".", ".."])
def test_an_id_that_is_no_id_is_never_sent(entry_id: str) -> None:
    """A dot segment is resolved away by proxies, whatever it is quoted as."""
    with scripted_server(lambda _: as_json({})) as server, connection(server.url) as api:
        with pytest.raises(ValueError, match="no id"):
            ClockifyClient(api, "w1").time_entry(entry_id)
        assert server.asked == []


def test_a_window_is_sent_in_utc_and_must_be_aware() -> None:
    """A naive window would be read as UTC and miss the hours around midnight."""
    summer = dt.timezone(dt.timedelta(hours=2))
    start, end = dt.datetime(2026, 9, 1, tzinfo=summer), dt.datetime(2026, 10, 1, tzinfo=summer)
    with scripted_server(pages_of([])) as server, connection(server.url) as api:
        client = ClockifyClient(api, "w1")
        client.time_entries("u1", start, end)
        with pytest.raises(ValueError, match="aware"):
            client.time_entries("u1", start.replace(tzinfo=None), end)
    assert server.asked[0].path == "/v1/workspaces/w1/user/u1/time-entries"
    assert (server.asked[0].query["start"], server.asked[0].query["end"]) == (
        "2026-08-31T22:00:00Z",
        "2026-09-30T22:00:00Z",
    )


def approval(number: int) -> dict[str, Any]:
    status = {"state": "APPROVED", "updatedAt": f"2026-10-{number:02d}T08:00:00Z"}
    return {"approvalRequest": {"id": f"r{number}", "status": status}, "entries": []}


def newest_first(asked: Asked) -> Reply:
    assert (asked.query["sort-column"], asked.query["sort-order"]) == ("UPDATED_AT", "DESCENDING")
    return pages_of([approval(n) for n in range(9, 0, -1)])(asked)


def test_an_approval_request_is_looked_for_until_it_comes_up() -> None:
    """There is no way to ask for one by its id; the newest, which a webhook announced, is on the first page."""
    with scripted_server(newest_first) as server, connection(server.url) as api:
        client = ClockifyClient(api, "w1", page_size=3)
        assert client.approval_request("r8") == approval(8)
        assert len(server.asked) == 1
        assert client.approval_request("r2") == approval(2)
        assert client.approval_request("r77") is None


def test_approval_requests_stop_where_nothing_has_changed_since() -> None:
    """An hourly sweep must not read the approvals of years."""
    with scripted_server(newest_first) as server, connection(server.url) as api:
        client = ClockifyClient(api, "w1", page_size=3)
        since = dt.datetime(2026, 10, 8, 8, tzinfo=dt.UTC)
        assert client.approval_requests(updated_since=since) == [approval(9), approval(8)]
        assert client.approval_request("r2", updated_since=since) is None
    assert len(server.asked) == 2


def test_an_approval_request_that_does_not_say_when_is_an_error() -> None:
    """The sweep could not tell where to stop, and would miss changes behind it."""
    reply = as_json([{"approvalRequest": {"id": "r1", "status": {}}}])
    with scripted_server(lambda _: reply) as server, connection(server.url) as api, pytest.raises(SourceAnswerError):
        ClockifyClient(api, "w1").approval_requests(updated_since=NOW)


def test_webhooks_are_registered_once_and_their_token_is_not_shown() -> None:
    """A write whose answer was lost must not be repeated: it would leave two webhooks."""
    hook = {"id": "h1", "url": "http://127.0.0.1/x", "webhookEvent": "NEW_TIME_ENTRY", "authToken": KEY}
    replies = [as_json(hook, status=201), as_json({"webhooks": [hook]}), Reply(status=503), as_json(hook)]
    with scripted_server(in_turn(replies)) as server, connection(server.url) as api:
        client = ClockifyClient(api, "w1")
        made = client.register_webhook(event="NEW_TIME_ENTRY", url="http://127.0.0.1/x", name="sync")
        assert (made.token, client.webhooks()) == (KEY, [made])
        assert KEY not in repr(made)
        with pytest.raises(SourceUnreachableError, match="POST"):
            client.register_webhook(event="NEW_TIME_ENTRY", url="http://127.0.0.1/x", name="sync")
    assert len(server.asked) == 3


def test_hubspot_is_read_cursor_by_cursor() -> None:
    """A customer on the second page is a customer too."""
    first = {"results": [{"id": "1"}], "paging": {"next": {"after": "2", "link": "http://elsewhere.example"}}}

    def answer(asked: Asked) -> Reply:
        return as_json(first if "after" not in asked.query else {"results": [{"id": "2"}], "paging": None})

    with (
        scripted_server(answer) as server,
        connection(server.url, auth=hubspot_auth(lambda: KEY)) as api,
    ):
        assert HubSpotClient(api).deals() == [{"id": "1"}, {"id": "2"}]
    assert [asked.query.get("after") for asked in server.asked] == [None, "2"]
    assert server.asked[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    "body",
    [
        {"results": [], "paging": {"next": {"after": "2"}}},
        {"results": [], "paging": {"next": {}}},
        {"results": None},
        [],
    ],
    ids=["repeats its cursor", "next page without cursor", "no results", "no object"],
)
def test_hubspot_paging_that_makes_no_sense_is_an_error(body: Any) -> None:
    """Stopping quietly would lose customers; going on would never end."""
    with (
        scripted_server(lambda _: as_json(body)) as server,
        connection(server.url) as api,
        pytest.raises(SourceAnswerError),
    ):
        HubSpotClient(api).companies()


def bamboo_list(asked: Asked) -> Reply:
    ids, cursor = (["11", "12"], "12") if "page[after]" not in asked.query else (["13"], None)
    page = {"limit": 2, "nextCursor": cursor, "prevCursor": None}
    return as_json({"data": [{"employeeId": i} for i in ids], "meta": {"total": 3, "page": page}, "_links": {}})


def test_bamboohr_employees_are_listed_and_then_read_one_by_one() -> None:
    """Somebody who is deleted in between is no error; whoever else is left out would lose their costs."""

    def answer(asked: Asked) -> Reply:
        if asked.path == "/api/v1/employees":
            return bamboo_list(asked)
        employee_id = asked.path.rpartition("/")[2]
        return Reply(status=404) if employee_id == "12" else as_json({"id": employee_id})

    with (
        scripted_server(answer) as server,
        connection(server.url, auth=bamboohr_auth(lambda: "key")) as api,
    ):
        assert BambooHrClient(api).employees() == [{"id": "11"}, {"id": "13"}]
    assert {asked.headers["authorization"] for asked in server.asked} == {"Basic a2V5Ong="}


@pytest.mark.parametrize(
    "body",
    [
        {"data": [], "meta": {"page": {}}},
        {"data": [], "meta": {"page": {"nextCursor": 5}}},
        {"data": [{}], "meta": {"page": {"nextCursor": None}}},
        {"data": []},
    ],
    ids=["does not say if there is more", "repeats its cursor", "employee without id", "no paging"],
)
def test_bamboohr_paging_that_makes_no_sense_is_an_error(body: Any) -> None:
    """Stopping quietly would lose employees; going on would never end."""
    with (
        scripted_server(lambda _: as_json(body)) as server,
        connection(server.url) as api,
        pytest.raises(SourceAnswerError),
    ):
        BambooHrClient(api).employees()
