"""From the PSA into the store, over HTTP: sweeps, webhooks, faults of the source, and any order of events."""

import datetime as dt
import json
import random
from collections.abc import Callable, Iterator, Sequence

import pytest
from sqlalchemy import Engine, func, select

from psa_erp_assets.adapters.connectors.clockify.canonical import user_facts
from psa_erp_assets.adapters.connectors.clockify.client import ClockifyClient, clockify_auth
from psa_erp_assets.adapters.http import JsonApi, SourceError
from psa_erp_assets.adapters.store import deliveries, exceptions, master_records, schema, time_entries
from psa_erp_assets.domain.facts import PsaUserFacts
from psa_erp_assets.domain.records import ApprovalState, TimeEntry
from psa_erp_assets.domain.values import replace
from psa_erp_assets.sandbox.actors import Actors, actors_at
from psa_erp_assets.sandbox.company_model import DemoCompany, RequestState
from psa_erp_assets.sandbox.serve import SandboxServer, running_sandbox
from psa_erp_assets.services import canonical, extraction, hints
from psa_erp_assets.services.hints import Drained
from psa_erp_assets.services.master_data import REFRESHES, Refreshed, Sources, SuspiciousShrinkError
from psa_erp_assets.services.revisions import Received
from psa_erp_assets.services.scope import Scope
from psa_erp_assets.settings import load_settings
from psa_erp_assets_tests.support.deliveries import record_delivery
from psa_erp_assets_tests.support.facts import RULES, TENANT
from psa_erp_assets_tests.support.manual_clock import ManualClock
from psa_erp_assets_tests.support.small_company import small_company

FIRST = dt.datetime(2026, 9, 1, tzinfo=dt.UTC)
SCOPE = Scope(tenant=TENANT, rules=RULES, first_day=FIRST.date())
# The sandbox stamps approvals with the time of day; everything here happens after the company's own story.
NOW = dt.datetime(2026, 11, 30, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxServer]:
    with running_sandbox(small_company()) as server:
        yield server


@pytest.fixture
def people(sandbox: SandboxServer) -> Iterator[Actors]:
    """The company's people, before anything has happened."""
    sandbox.control.reset()
    with actors_at(sandbox) as actors:
        yield actors


@pytest.fixture
def clock() -> ManualClock:
    """The connection's clock, which does not let a test wait for retries."""
    return ManualClock()


@pytest.fixture
def psa(sandbox: SandboxServer, people: Actors, clock: ManualClock) -> Iterator[ClockifyClient]:
    """The PSA."""
    auth = clockify_auth(lambda: sandbox.keys.clockify)
    with JsonApi(sandbox.clockify_url, auth=auth, rate=1e6, burst=1000, clock=clock, sleep=clock.sleep) as api:
        yield ClockifyClient(api, sandbox.company.workspace_id)


@pytest.fixture
def company(sandbox: SandboxServer) -> DemoCompany:
    return sandbox.company


def complete(engine: Engine, psa: ClockifyClient, *, now: dt.datetime = NOW, scope: Scope = SCOPE) -> Received:
    return extraction.sweep(engine, psa, scope, since=FIRST, now=now, find_deleted=True)


def lately(engine: Engine, psa: ClockifyClient, *, now: dt.datetime = NOW, since: dt.datetime) -> Received:
    return extraction.sweep(engine, psa, SCOPE, since=since, now=now, approvals_since=since)


def entries(engine: Engine, tenant: str = TENANT) -> dict[str, TimeEntry]:
    """What the store holds, without what depends on the way there."""
    with engine.connect() as connection:
        found = time_entries.current(connection, tenant)
    return {e.id.rsplit(":", 1)[1]: replace(e, revision=0, payload_id=0) for e in found}


def revision(engine: Engine, entry_id: str) -> int:
    with engine.connect() as connection:
        [entry] = time_entries.current(connection, TENANT, [f"time_entry:clockify:{entry_id}"])
    return entry.revision


def rows(engine: Engine) -> list[int]:
    with engine.connect() as connection:
        return [
            connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (schema.inbox, schema.time_entry, schema.sync_cursor, schema.exception_item)
        ]


def know_users(engine: Engine, psa: ClockifyClient, tenant: str = TENANT) -> None:
    users = [user_facts(user) for user in psa.users()]
    with engine.begin() as connection:
        master_records.replace_all(
            connection,
            tenant=tenant,
            object_type="psa_user",
            source="clockify",
            records=[(u.psa_id, u) for u in users],
            now=NOW,
        )


def deliver(engine: Engine, *events: tuple[str, str], tenant: str = TENANT, now: dt.datetime = NOW) -> None:
    """Webhooks arrive: event and object id."""
    with engine.begin() as connection:
        for event, object_id in events:
            body = json.dumps({"id": object_id})
            record_delivery(
                connection,
                tenant=tenant,
                source="clockify",
                delivery_id=deliveries.delivery_id(event, body.encode()),
                event=event,
                body=body,
                now=now,
            )


def drain(engine: Engine, psa: ClockifyClient, now: dt.datetime = NOW) -> Drained:
    return hints.drain(engine, psa, SCOPE, now=now)


def pending(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        waiting = deliveries.due(connection, TENANT, now=NOW + dt.timedelta(days=1), limit=1000)
    return [delivery.body["id"] for delivery in waiting]


def of_state(company: DemoCompany, state: RequestState) -> list[str]:
    """Entries of requests in this state, in the company as it was built."""
    return [i for approval in company.approvals if approval.state is state for i in approval.entry_ids]


def test_a_complete_sweep_reads_everything_once(clean_store: Engine, psa: ClockifyClient, company: DemoCompany) -> None:
    """Fault 19: what no webhook announced would never be billed; read twice, it would be billed twice."""
    received = complete(clean_store, psa)
    assert len(received.revised) == received.new_versions == len(company.entries)
    found = entries(clean_store)
    assert {i for i, e in found.items() if e.state is ApprovalState.APPROVED} == set(
        of_state(company, RequestState.APPROVED)
    )
    for demo in company.entries:
        assert demo.end is not None
        assert found[demo.id].minutes == round((demo.end - demo.start).total_seconds() / 60)
    again = complete(clean_store, psa, now=NOW + dt.timedelta(hours=1))
    assert (again.new_versions, again.revised) == (0, ())


def test_a_sweep_finds_what_was_deleted(
    clean_store: Engine, psa: ClockifyClient, people: Actors, company: DemoCompany
) -> None:
    """Edge case 19: no feed of changes says that something is gone."""
    complete(clean_store, psa)
    gone = of_state(company, RequestState.APPROVED)[0]
    people.delete_entry(gone)
    lately(clean_store, psa, since=NOW - dt.timedelta(days=2), now=NOW + dt.timedelta(hours=1))
    assert entries(clean_store)[gone].state is ApprovalState.APPROVED, "a list that lacks it proves nothing"
    assert complete(clean_store, psa, now=NOW + dt.timedelta(hours=2)).revised == (f"time_entry:clockify:{gone}",)
    assert entries(clean_store)[gone].state is ApprovalState.DELETED
    assert complete(clean_store, psa, now=NOW + dt.timedelta(hours=3)).revised == ()


def test_a_sweep_of_the_last_days_finds_the_late_approval_of_old_work(
    clean_store: Engine, psa: ClockifyClient, people: Actors, company: DemoCompany
) -> None:
    """Edge case 28: work of September that is approved in November lies outside of every window of entries."""
    complete(clean_store, psa, now=NOW - dt.timedelta(days=1))
    request = next(a for a in company.approvals if a.state is RequestState.PENDING)
    people.approve([request.id])
    # By the sandbox's clock the approval was given just now.
    just_now = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=5)
    assert all(e.start < just_now for e in company.entries)
    received = lately(clean_store, psa, since=just_now)
    assert {i.rsplit(":", 1)[1] for i in received.revised} == set(request.entry_ids)
    assert all(entries(clean_store)[i].state is ApprovalState.APPROVED for i in request.entry_ids)


def test_windows_that_overlap_change_nothing(clean_store: Engine, psa: ClockifyClient, company: DemoCompany) -> None:
    """Edge case 28: every sweep reads back behind its cursor; each entry would get a revision an hour."""
    middle = sorted(e.start for e in company.entries)[len(company.entries) // 2]
    first = extraction.sweep(clean_store, psa, SCOPE, since=middle, now=NOW)
    assert 0 < len(first.revised) <= len(company.entries)
    complete(clean_store, psa, now=NOW + dt.timedelta(hours=1))
    for hour in (2, 3):
        assert lately(clean_store, psa, since=middle, now=NOW + dt.timedelta(hours=hour)).new_versions == 0
    assert len(entries(clean_store)) == len(company.entries)


def test_the_cursor_is_when_the_last_sweep_that_succeeded_began(clean_store: Engine, psa: ClockifyClient) -> None:
    """Counted from its end, what changed while it read would be skipped."""
    with clean_store.connect() as connection:
        assert extraction.last_sweep(connection, TENANT) is None
    complete(clean_store, psa)
    with clean_store.connect() as connection:
        assert extraction.last_sweep(connection, TENANT) == NOW


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"kind": "status", "status": 503, "path": "/time-entries"}, id="unavailable"),
        pytest.param({"kind": "html", "path": "/time-entries"}, id="a page of HTML with 200"),
        pytest.param({"kind": "truncate", "path": "/approval-requests"}, id="half an answer"),
        pytest.param({"kind": "drop", "path": "/time-entries"}, id="hung up"),
        pytest.param({"kind": "auth_revoked"}, id="key revoked"),
    ],
)
def test_a_source_that_fails_midway_leaves_everything_as_it_was(
    clean_store: Engine,
    sandbox: SandboxServer,
    psa: ClockifyClient,
    people: Actors,
    fault: dict[str, object],
) -> None:
    """A failed read is not an empty read: everything would be taken for deleted, and credited."""
    complete(clean_store, psa)
    changed = of_state(sandbox.company, RequestState.APPROVED)[0]
    people.edit_entry(changed, minutes=17)
    before = rows(clean_store), entries(clean_store)
    sandbox.control.fault("clockify", **fault)  # type: ignore[arg-type]
    with pytest.raises(SourceError):
        complete(clean_store, psa, now=NOW + dt.timedelta(hours=1))
    assert (rows(clean_store), entries(clean_store)) == before
    sandbox.control.clear("clockify")
    assert len(complete(clean_store, psa, now=NOW + dt.timedelta(hours=2)).revised) == 1


def test_hints_fetch_just_what_they_point_at(
    clean_store: Engine, sandbox: SandboxServer, psa: ClockifyClient, people: Actors, company: DemoCompany
) -> None:
    """A webhook that is answered with a sweep makes thousands of requests of one edit."""
    complete(clean_store, psa)
    know_users(clean_store, psa)
    edited, deleted = of_state(company, RequestState.APPROVED)[:2]
    people.edit_entry(edited, minutes=17)
    people.delete_entry(deleted)
    deliver(clean_store, ("TIME_ENTRY_UPDATED", edited), ("TIME_ENTRY_DELETED", deleted))
    before = sandbox.control.stats()["clockify"]["requests"]
    assert drain(clean_store, psa) == Drained(handled=2, failed=0, revised=2)
    assert sandbox.control.stats()["clockify"]["requests"] - before == 2
    found = entries(clean_store)
    assert (found[edited].minutes, found[edited].state) == (17, ApprovalState.APPROVED)
    assert found[deleted].state is ApprovalState.DELETED
    assert drain(clean_store, psa) == Drained(0, 0, 0)


def test_many_copies_of_one_webhook_are_one_revision(
    clean_store: Engine, psa: ClockifyClient, people: Actors, company: DemoCompany
) -> None:
    """Fault 17: each copy would be fetched, and each fetch be a version."""
    complete(clean_store, psa)
    know_users(clean_store, psa)
    edited = of_state(company, RequestState.APPROVED)[0]
    people.edit_entry(edited, minutes=17)
    deliver(clean_store, *[("TIME_ENTRY_UPDATED", edited)] * 1000)
    assert drain(clean_store, psa) == Drained(handled=1, failed=0, revised=1)
    assert revision(clean_store, edited) == 2


def test_an_approval_brings_the_entries_that_it_is_of(
    clean_store: Engine, psa: ClockifyClient, people: Actors, company: DemoCompany
) -> None:
    """Approval is what makes work billable, and its webhook names no entry."""
    know_users(clean_store, psa)
    request = next(a for a in company.approvals if a.state is RequestState.PENDING)
    people.approve([request.id])
    deliver(clean_store, ("APPROVAL_REQUEST_STATUS_UPDATED", request.id))
    assert drain(clean_store, psa).revised == len(request.entry_ids)
    found = entries(clean_store)
    assert {i: found[i].state for i in request.entry_ids} == dict.fromkeys(request.entry_ids, ApprovalState.APPROVED)
    people.decide(request.id, RequestState.WITHDRAWN_APPROVAL)
    deliver(clean_store, ("APPROVAL_REQUEST_STATUS_UPDATED", request.id))
    drain(clean_store, psa)
    assert {e.state for e in entries(clean_store).values()} == {ApprovalState.DRAFT}


def test_hints_wait_while_the_source_is_down(
    clean_store: Engine,
    *,
    sandbox: SandboxServer,
    psa: ClockifyClient,
    people: Actors,
    company: DemoCompany,
    clock: ManualClock,
) -> None:
    """Edge case 27: a webhook that comes in an outage would be lost, or be asked about without a pause."""
    complete(clean_store, psa)
    know_users(clean_store, psa)
    edited = of_state(company, RequestState.APPROVED)[0]
    people.edit_entry(edited, minutes=17)
    deliver(clean_store, ("TIME_ENTRY_UPDATED", edited))
    sandbox.control.fault("clockify", "status", status=503)
    assert drain(clean_store, psa) == Drained(handled=0, failed=1, revised=0)
    assert drain(clean_store, psa) == Drained(0, 0, 0), "it is not due yet"
    assert drain(clean_store, psa, NOW + dt.timedelta(seconds=3)).failed == 1
    sandbox.control.clear("clockify")
    assert drain(clean_store, psa, NOW + dt.timedelta(seconds=5)) == Drained(0, 0, 0), "it waits longer each time"
    clock.time += 600
    assert drain(clean_store, psa, NOW + dt.timedelta(minutes=11)) == Drained(handled=1, failed=0, revised=1)
    assert pending(clean_store) == []


def test_a_delivery_that_cannot_be_handled_holds_up_no_other(
    clean_store: Engine, sandbox: SandboxServer, psa: ClockifyClient, people: Actors, company: DemoCompany
) -> None:
    """Fault 20: one object that the source cannot serve, and one body that means nothing, before a good one."""
    complete(clean_store, psa)
    know_users(clean_store, psa)
    stuck, edited = of_state(company, RequestState.APPROVED)[:2]
    for entry_id in (stuck, edited):
        people.edit_entry(entry_id, minutes=17)
    deliver(
        clean_store,
        ("TIME_ENTRY_UPDATED", "../../users"),
        ("TIME_ENTRY_UPDATED", stuck),
        ("TAG_CREATED", "t1"),
        ("TIME_ENTRY_UPDATED", edited),
    )
    sandbox.control.fault("clockify", "status", status=500, path=stuck)
    assert drain(clean_store, psa) == Drained(handled=3, failed=1, revised=1)
    assert (entries(clean_store)[edited].minutes, pending(clean_store)) == (17, [stuck])
    with clean_store.connect() as connection:
        [item] = exceptions.list_items(connection, TENANT)
    assert (item["code"], item["object_id"].startswith("webhook:clockify:")) == ("malformed_record", True)
    sandbox.control.clear("clockify")
    drain(clean_store, psa, NOW + dt.timedelta(minutes=1))
    assert entries(clean_store)[stuck].minutes == 17


def test_an_object_that_fails_again_and_again_is_quarantined(
    clean_store: Engine,
    *,
    sandbox: SandboxServer,
    psa: ClockifyClient,
    people: Actors,
    company: DemoCompany,
    clock: ManualClock,
) -> None:
    """It would be asked for ever, and nobody would know; an outage, in turn, must give nothing up."""
    complete(clean_store, psa)
    know_users(clean_store, psa)
    stuck = of_state(company, RequestState.APPROVED)[0]
    people.edit_entry(stuck, minutes=17)
    deliver(clean_store, ("TIME_ENTRY_UPDATED", stuck))
    sandbox.control.fault("clockify", "status", status=503)
    at = NOW
    for _ in range(2):
        at += dt.timedelta(minutes=15)
        assert drain(clean_store, psa, at).failed == 1
        clock.time += 900
    sandbox.control.fault("clockify", "status", status=418, path=stuck)
    for attempt in range(hints.ATTEMPTS):
        at += dt.timedelta(minutes=15)
        with clean_store.connect() as connection:
            assert exceptions.list_items(connection, TENANT) == []
        assert drain(clean_store, psa, at).failed == 1, attempt
        if not pending(clean_store):
            break
    assert hints.ATTEMPTS // 2 <= attempt < hints.ATTEMPTS
    with clean_store.connect() as connection:
        [item] = exceptions.list_items(connection, TENANT)
    assert (item["code"], item["object_id"].startswith("webhook:clockify:")) == ("webhook_quarantined", True)
    sandbox.control.clear("clockify")
    assert drain(clean_store, psa, at) == Drained(0, 0, 0)
    deliver(clean_store, ("TIME_ENTRY_UPDATED", stuck), now=at)
    assert drain(clean_store, psa, at).revised == 1, "the next webhook tries it again"


def test_an_entry_with_text_that_cannot_be_stored_is_held_alone(
    clean_store: Engine, sandbox: SandboxServer, psa: ClockifyClient, people: Actors, company: DemoCompany
) -> None:
    """Fault 20: one NUL in one description would stop the sweep of everybody, and the worker of all webhooks."""
    poisoned, edited = of_state(company, RequestState.APPROVED)[:2]
    know_users(clean_store, psa)
    complete(clean_store, psa)
    _describe(sandbox, people, poisoned, "a\x00b")
    people.edit_entry(edited, minutes=17)
    deliver(clean_store, ("TIME_ENTRY_UPDATED", poisoned), ("TIME_ENTRY_UPDATED", edited))
    assert drain(clean_store, psa, NOW + dt.timedelta(hours=1)) == Drained(handled=2, failed=0, revised=1)
    complete(clean_store, psa, now=NOW + dt.timedelta(hours=2))
    assert entries(clean_store)[edited].minutes == 17
    with clean_store.connect() as connection:
        items = exceptions.list_items(connection, TENANT)
    assert [(i["code"], i["object_id"]) for i in items] == [("malformed_record", f"time_entry:clockify:{poisoned}")]


def _describe(sandbox: SandboxServer, people: Actors, entry_id: str, description: str) -> None:
    old = people.entry(entry_id)
    body = {
        "start": old["timeInterval"]["start"],
        "end": old["timeInterval"]["end"],
        "projectId": old["projectId"],
        "billable": old["billable"],
        "description": description,
    }
    people._psa.put(f"/time-entries/{entry_id}", json=body).raise_for_status()


def things_happen(people: Actors, company: DemoCompany, rng: random.Random) -> list[tuple[str, str]]:
    """Two hundred edits, deletes, new entries and approvals; the webhooks that announce them."""
    events = []
    approved, waiting = of_state(company, RequestState.APPROVED), of_state(company, RequestState.PENDING)
    for entry_id in rng.choices(approved, k=190):
        people.edit_entry(entry_id, minutes=rng.randint(10, 300))
        events.append(("TIME_ENTRY_UPDATED", entry_id))
    for entry_id in [*rng.sample(approved, 4), *rng.sample(waiting, min(2, len(waiting)))]:
        people.delete_entry(entry_id)
        events.append(("TIME_ENTRY_DELETED", entry_id))
    for demo in rng.sample(company.entries, 6):
        start = demo.start + dt.timedelta(days=1)
        events.append(("NEW_TIME_ENTRY", people.record_entry(demo.user_id, demo.project_id, start, rng.randint(5, 90))))
    for request in company.approvals:
        if request.state is RequestState.PENDING:
            state = rng.choice((RequestState.APPROVED, RequestState.REJECTED))
        elif rng.random() < 0.3:
            state = RequestState.WITHDRAWN_APPROVAL
        else:
            continue
        people.decide(request.id, state)
        events.append(("APPROVAL_REQUEST_STATUS_UPDATED", request.id))
    return events


def _in_order(events: Sequence[tuple[str, str]], _rng: random.Random) -> list[tuple[str, str]]:
    return list(events)


def _shuffled(events: Sequence[tuple[str, str]], rng: random.Random) -> list[tuple[str, str]]:
    return rng.sample(events, len(events))


def _shuffled_and_doubled(events: Sequence[tuple[str, str]], rng: random.Random) -> list[tuple[str, str]]:
    return rng.sample([*events, *events], 2 * len(events))


def test_any_order_of_webhooks_ends_in_the_same_state(
    clean_store: Engine, psa: ClockifyClient, people: Actors, company: DemoCompany
) -> None:
    """Edge case 27, fault 18: late, doubled, out of order and in any batches, and as if it had been swept."""
    rng = random.Random(18)
    orders: list[Callable[[Sequence[tuple[str, str]], random.Random], list[tuple[str, str]]]]
    orders = [_in_order, _shuffled, _shuffled, _shuffled_and_doubled]
    scopes = [replace(SCOPE, tenant=f"order-{number}") for number in range(len(orders))]
    for scope in [SCOPE, *scopes]:
        know_users(clean_store, psa, scope.tenant)
        complete(clean_store, psa, scope=scope)
    events = things_happen(people, company, rng)
    assert len(events) >= 200
    complete(clean_store, psa, now=NOW + dt.timedelta(hours=2))
    swept = entries(clean_store)
    for order, scope in zip(orders, scopes, strict=True):
        left = order(events, rng)
        while left:
            size = rng.randint(1, 15)
            deliver(clean_store, *left[:size], tenant=scope.tenant, now=NOW)
            drained = hints.drain(clean_store, psa, scope, now=NOW + dt.timedelta(hours=1))
            assert drained.failed == 0
            left = left[size:]
        assert entries(clean_store, scope.tenant) == swept


def refresh_users(engine: Engine, psa: ClockifyClient) -> Refreshed:
    """Master data that need the PSA alone."""
    sources = Sources(psa=psa, crm=None, hr=None, erp=None)
    return REFRESHES["psa_users"](engine, load_settings({}), sources, NOW)


def keep_users(engine: Engine, number: int) -> None:
    """People of whom the PSA no longer says anything."""
    users = [
        PsaUserFacts(psa_id=f"gone-{n}", name="", email=f"{n}@example.com", time_zone="UTC", active=True)
        for n in range(number)
    ]
    with engine.begin() as connection:
        master_records.replace_all(
            connection,
            tenant=TENANT,
            object_type="psa_user",
            source="clockify",
            records=[(u.psa_id, u) for u in users],
            now=NOW,
        )


def test_a_source_that_lost_most_of_its_records_is_not_believed(
    clean_store: Engine, psa: ClockifyClient, company: DemoCompany
) -> None:
    """A view that was misconfigured would take a company's people away, and hold all of their work."""
    keep_users(clean_store, 40)
    before = rows(clean_store)
    with pytest.raises(SuspiciousShrinkError, match="clockify no longer has 40 of the psa_user records"):
        refresh_users(clean_store, psa)
    assert rows(clean_store) == before
    with clean_store.connect() as connection:
        assert len(canonical.time_zones(connection, TENANT)) == 40


def test_a_few_records_may_go(clean_store: Engine, psa: ClockifyClient) -> None:
    """People leave; a guard that never lets them go is switched off."""
    keep_users(clean_store, 5)
    refreshed = refresh_users(clean_store, psa)
    assert refreshed.change.removed == 5
    assert refreshed.change.added == len(refreshed.records) > 0
