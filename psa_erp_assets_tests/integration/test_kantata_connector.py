"""Kantata's connector: against a server that misbehaves, and against the sandbox of the demo company."""

import datetime as dt
import logging
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from psa_erp_assets.adapters.connectors.kantata.canonical import milestone_facts
from psa_erp_assets.adapters.connectors.kantata.client import KantataClient, kantata_auth
from psa_erp_assets.adapters.http import (
    JsonApi,
    SourceAnswerError,
    SourceAuthError,
    SourceError,
    SourceThrottledError,
    SourceUnreachableError,
)
from psa_erp_assets.domain.facts import MilestoneFacts
from psa_erp_assets.domain.keys import canonical_json
from psa_erp_assets.domain.money import Money
from psa_erp_assets.domain.records import ApprovalState
from psa_erp_assets.sandbox.actors import Actors, actors_at
from psa_erp_assets.sandbox.company import build_company
from psa_erp_assets.sandbox.company_model import DemoMilestone
from psa_erp_assets.sandbox.serve import SandboxServer, running_sandbox
from psa_erp_assets_tests.support.manual_clock import ManualClock
from psa_erp_assets_tests.support.scripted_server import Asked, Reply, as_json, scripted_server

TOKEN = "a-very-secret-token"


def connection(url: str, clock: ManualClock | None = None, *, token: str = TOKEN) -> JsonApi:
    clock = clock or ManualClock()
    auth = kantata_auth(lambda: token)
    return JsonApi(url, auth=auth, rate=1e6, burst=1000, attempts=3, clock=clock, sleep=clock.sleep)


def page(ids: list[str], count: int, *, key: str = "stories", **more: Any) -> dict[str, Any]:
    """An answer with these records, which stand in another order than `results` names them in."""
    results = [{"key": key, "id": i} for i in ids]
    return {"count": count, "results": results, key: {i: {"id": i} for i in reversed(ids)}, **more}


def read(answer: Any, *, page_size: int = 2) -> tuple[list[str], list[Asked]]:
    """The ids of the milestones that a server gives, and what it was asked."""
    with scripted_server(answer) as server, connection(server.url) as api:
        return [m["id"] for m in KantataClient(api, page_size=page_size).milestones()], server.asked


@pytest.mark.parametrize("total", [0, 1, 2, 3, 4, 5])
def test_all_pages_are_read_in_the_order_of_the_results(total: int) -> None:
    """A milestone on the second page is a fee too."""
    every = [str(900 - n) for n in range(total)]

    def answer(asked: Asked) -> Reply:
        first = (int(asked.query["page"]) - 1) * int(asked.query["per_page"])
        return as_json(page(every[first : first + int(asked.query["per_page"])], total))

    found, asked = read(answer)
    assert found == every
    assert len(asked) == max(1, (total + 1) // 2)


def test_everything_hidden_is_asked_for() -> None:
    """What the default filters leave out would look deleted, and its fee would be credited."""
    _, asked = read(lambda _: as_json(page([], 0)))
    assert asked[0].path == "/stories"
    assert asked[0].query == {
        "story_type": "milestone",
        "all_on_account": "true",
        "show_archived": "true",
        "show_deleted": "true",
        "show_from_archived_workspaces": "true",
        "include": "workspace",
        "order": "created_at:asc",
        "per_page": "2",
        "page": "1",
    }
    assert asked[0].headers["authorization"] == f"Bearer {TOKEN}"
    with scripted_server(lambda _: as_json(page([], 0, key="workspaces"))) as server, connection(server.url) as api:
        assert KantataClient(api).workspaces() == []
    assert (server.asked[0].path, server.asked[0].query["include_archived"]) == ("/workspaces", "true")


def test_records_that_were_only_included_are_none_of_the_list() -> None:
    """A parent that comes along with its milestone stands under the same name and is no milestone."""
    body = page(["1"], 1)
    body["stories"]["2"] = {"id": "2"}
    assert read(lambda _: as_json(body))[0] == ["1"]


def test_what_is_made_while_the_list_is_read_is_read_too() -> None:
    """It comes at the end, and the count of the last page tells."""
    pages = iter([page(["1", "2"], 2 + 1), page(["3", "4"], 4)])
    assert read(lambda _: as_json(next(pages)))[0] == ["1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        (Reply(status=500), SourceUnreachableError),
        (Reply(status=429), SourceThrottledError),
        (Reply(status=404), SourceAnswerError),
        (Reply(status=401), SourceAuthError),
        (Reply(body=b'{"count": 3, "results', drop=True), SourceUnreachableError),
        (Reply(body=b"<html>Sign in</html>"), SourceAnswerError),
        (as_json(page([], 3)), SourceAnswerError),
        (as_json(page(["1", "2"], 3)), SourceAnswerError),
        (as_json(page(["3"], 3) | {"count": None}), SourceAnswerError),
        (as_json(page(["3"], 3) | {"results": None}), SourceAnswerError),
        (as_json(page(["3"], 3) | {"stories": {}}), SourceAnswerError),
        (as_json(page(["3"], 3) | {"stories": []}), SourceAnswerError),
        (as_json(page(["3"], 3) | {"stories": {"3": {"id": "4"}}}), SourceAnswerError),
        (as_json(page(["3"], 3, key="workspaces")), SourceAnswerError),
        (as_json([]), SourceAnswerError),
    ],
    ids=[
        "server error",
        "throttled",
        "not found",
        "token revoked",
        "reset",
        "HTML",
        "ends before its count",
        "repeats its page",
        "no count",
        "no results",
        "record missing",
        "records no object",
        "record under another id",
        "other records",
        "another shape",
    ],
)
def test_a_list_that_breaks_midway_is_no_list(broken: Reply, error: type[SourceError]) -> None:
    """Half a list taken for the whole would look like deletions of the other half."""

    def answer(asked: Asked) -> Reply:
        return as_json(page(["1", "2"], 3)) if asked.query["page"] == "1" else broken

    with pytest.raises(error):
        read(answer)


def test_a_throttled_read_goes_on_after_a_while() -> None:
    """Kantata says to wait and not how long."""
    clock = ManualClock()
    replies = iter([Reply(status=429), Reply(status=429), as_json(page(["1"], 1))])
    with scripted_server(lambda _: next(replies)) as server, connection(server.url, clock) as api:
        assert [m["id"] for m in KantataClient(api).milestones()] == ["1"]
    assert len(clock.slept) == 2


def test_the_token_is_in_no_error_repr_or_log(caplog: pytest.LogCaptureFixture) -> None:
    """Errors end up in consoles, tickets and log stores."""
    body = f'{{"errors": [{{"type": "oauth", "message": "{TOKEN} is unknown"}}]}}'.encode()
    with scripted_server(lambda _: Reply(status=401, body=body)) as server, connection(server.url) as api:
        client = KantataClient(api)
        with caplog.at_level(logging.DEBUG), pytest.raises(SourceAuthError) as caught:
            client.milestones()
        said = f"{caught.value} {caught.value!r} {vars(caught.value)} {caught.value.__cause__} {api!r} {caplog.text}"
        assert TOKEN not in said + f"{client!r} {vars(client)}"
    assert len(server.asked) == 1


def milestone(
    number: int, *, contract: str = "CTR-0001", currency: str = "USD", amount: str = "1000.50"
) -> DemoMilestone:
    return DemoMilestone(
        contract=contract,
        component="main" if number % 2 else "design",
        title=f"Milestone {number}",
        due=dt.date(2026, 9, number),
        amount=Decimal(amount),
        currency=currency,
        psa_id=str(500 + number),
        state="completed" if number < 3 else "not started",
    )


MILESTONES = (
    *(milestone(n) for n in range(1, 6)),
    milestone(7, contract="CTR-0002", currency="JPY", amount="250000"),
    milestone(9, contract="CTR-0003", currency="GBP", amount="0.01"),
)


@pytest.fixture(scope="module")
def module_sandbox() -> Iterator[SandboxServer]:
    with running_sandbox(replace(build_company(), milestones=MILESTONES)) as server:
        yield server


@pytest.fixture
def sandbox(module_sandbox: SandboxServer) -> Iterator[SandboxServer]:
    yield module_sandbox
    module_sandbox.control.reset()


@pytest.fixture
def client(sandbox: SandboxServer) -> Iterator[KantataClient]:
    with connection(sandbox.kantata_url, token=sandbox.keys.kantata) as api:
        yield KantataClient(api, page_size=2)


@pytest.fixture
def people(sandbox: SandboxServer) -> Iterator[Actors]:
    with actors_at(sandbox) as actors:
        yield actors


def facts_of(client: KantataClient) -> dict[str, MilestoneFacts]:
    milestones = client.milestones()
    workspaces = {w["id"]: w for w in client.workspaces()}
    return {m["id"]: milestone_facts(m, workspaces) for m in milestones}


def test_every_milestone_of_the_company_is_read(client: KantataClient) -> None:
    """What is missing or misread here is not invoiced, or invoiced wrongly."""
    facts = facts_of(client)
    for wanted in MILESTONES:
        got = facts[wanted.psa_id]
        assert (got.contract_code, got.component, got.label) == (wanted.contract, wanted.component, wanted.title)
        assert (got.service_date, got.amount) == (wanted.due, Money(wanted.amount, wanted.currency))
        done = wanted.state == "completed"
        assert got.state is (ApprovalState.APPROVED if done else ApprovalState.DRAFT)
    assert len(facts) == len(MILESTONES)
    assert all(canonical_json(m) for m in client.milestones())


def test_a_milestone_lives_through_the_vendors_api(client: KantataClient, people: Actors) -> None:
    """Accepted, repriced, taken back: each sweep sees what is so now."""
    people.complete_milestone("504", dt.date(2026, 10, 2))
    facts = facts_of(client)["504"]
    assert (facts.state, facts.service_date) == (ApprovalState.APPROVED, dt.date(2026, 10, 2))
    people.change_milestone_amount("504", 77)
    assert facts_of(client)["504"].amount == Money(Decimal("0.77"), "USD")
    people.reopen_milestone("504")
    assert facts_of(client)["504"].state is ApprovalState.DRAFT


def test_archived_and_deleted_milestones_are_told_and_not_missing(client: KantataClient, people: Actors) -> None:
    """By its id each is 404, as if it had never been; the list says what became of it, and of what contract it was."""
    people.archive_milestone("501")
    people.delete_milestone("502")
    facts = facts_of(client)
    assert [facts[i].state for i in ("501", "502")] == [ApprovalState.DELETED] * 2
    assert [facts[i].contract_code for i in ("501", "502")] == ["CTR-0001"] * 2
    assert len(facts) == len(MILESTONES)


def test_milestones_of_a_closed_project_are_still_read(client: KantataClient, people: Actors) -> None:
    """A project is closed when its last fee is invoiced; nothing of it may be credited for that."""
    before = facts_of(client)
    for workspace in client.workspaces():
        people.archive_milestone_project(workspace["id"])
    assert facts_of(client) == before


@pytest.mark.parametrize(
    ("fault", "options", "error"),
    [
        ("status", {"status": 503}, SourceUnreachableError),
        ("status", {"status": 429}, SourceThrottledError),
        ("drop", {}, SourceUnreachableError),
        ("truncate", {}, SourceUnreachableError),
        ("html", {}, SourceAnswerError),
        ("auth_revoked", {}, SourceAuthError),
    ],
)
def test_a_source_in_trouble_is_not_an_empty_source(
    client: KantataClient, sandbox: SandboxServer, fault: Any, options: dict[str, Any], error: type[SourceError]
) -> None:
    """All fees would be credited overnight."""
    sandbox.control.fault("kantata", fault, **options)
    with pytest.raises(error):
        client.milestones()
    sandbox.control.clear("kantata")
    assert len(client.milestones()) == len(MILESTONES)


def test_a_passing_trouble_is_ridden_out(client: KantataClient, sandbox: SandboxServer) -> None:
    """One 429 must not fail a sweep."""
    sandbox.control.fault("kantata", "status", status=429, times=2)
    assert len(client.milestones()) == len(MILESTONES)
