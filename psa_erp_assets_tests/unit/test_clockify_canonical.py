"""Clockify's records as facts."""

import contextlib
import datetime as dt
import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psa_erp_assets.adapters.connectors.clockify.canonical import (
    bill_rates_of,
    category_names,
    client_facts,
    expense_facts,
    expense_payload,
    latest_approval,
    latest_expense_approval,
    project_facts,
    time_entry_facts,
    time_entry_payload,
    tombstone,
    user_facts,
    workspace_currency,
)
from psa_erp_assets.domain.keys import canonical_json
from psa_erp_assets.domain.malformed import MalformedRecordError
from psa_erp_assets.domain.money import Money
from psa_erp_assets.domain.records import ApprovalState

APPROVED = {"request_id": "r1", "state": "APPROVED", "updated_at": "2026-10-05T08:00:00Z"}
TAGS = {"g1": {"id": "g1", "name": "Overtime"}, "g2": {"id": "g2", "name": "Travel"}}


def listed(**changes: Any) -> dict[str, Any]:
    """A TimeEntryWithRatesDtoV1 with its task and tags, as the entry endpoints answer it."""
    entry = {
        "id": "e1",
        "userId": "u1",
        "workspaceId": "w1",
        "projectId": "p1",
        "taskId": None,
        "tagIds": [],
        "type": "REGULAR",
        "billable": True,
        "isLocked": True,
        "description": " Migration rehearsal ",
        "hourlyRate": {"amount": 15000, "currency": "USD"},
        "costRate": None,
        "customFieldValues": [{"customFieldId": "c1", "value": 1.5}],
        "timeInterval": {"start": "2026-09-30T13:00:00Z", "end": "2026-09-30T14:30:00Z", "duration": "PT1H30M"},
        **changes,
    }
    task, tags = entry["taskId"], entry["tagIds"]
    known = {
        "task": {"id": task, "name": "Build"} if task else None,
        "tags": [TAGS[i] for i in tags] if isinstance(tags, list) and all(i in list(TAGS) for i in tags) else tags,
    }
    return {**known, **entry}


def requested(**changes: Any) -> dict[str, Any]:
    """The same entry as a TimeEntryInfoDto, as an approval request lists it."""
    own = listed(**changes)
    project = own.pop("projectId")
    for name in ("userId", "workspaceId", "tagIds", "taskId"):
        del own[name]
    return {
        **own,
        "approvalRequestId": "r1",
        "isLocked": False,
        "tags": own["tags"][::-1] or None,
        "project": {"id": project, "name": "PRJ-0001 Ledger", "clientId": "c1"} if project else None,
    }


def payload(entry: Any = ..., *, approval: Any = APPROVED, **changes: Any) -> dict[str, Any]:
    body = time_entry_payload(
        listed() if entry is ... else entry,
        entry_id="e1",
        user_id="u1",
        time_zone=changes.pop("time_zone", "America/New_York"),
        approval=approval,
        deleted=changes.pop("deleted", False),
    )
    return {**body, **changes}


def interval(start: str, end: str | None) -> dict[str, Any]:
    return listed(timeInterval={"start": start, "end": end})


def test_an_approved_entry_becomes_facts() -> None:
    """The ordinary case, field by field."""
    facts = time_entry_facts(payload())
    assert facts.id == "time_entry:clockify:e1"
    assert facts.state is ApprovalState.APPROVED
    assert (facts.psa_user_id, facts.psa_project_id) == ("u1", "p1")
    assert (facts.service_date, facts.minutes) == (dt.date(2026, 9, 30), 90)
    assert (facts.billable, facts.description) == (True, "Migration rehearsal")
    assert facts.started_at == dt.datetime(2026, 9, 30, 13, tzinfo=dt.UTC)
    assert facts.time_zone == "America/New_York"


@given(
    refs=st.tuples(
        st.sampled_from(["p1", "p2", None]), st.sampled_from(["t1", None]), st.lists(st.sampled_from(sorted(TAGS)))
    ),
    kind=st.sampled_from(["REGULAR", "BREAK", "HOLIDAY", "TIME_OFF", None]),
    billable=st.booleans(),
    description=st.one_of(
        st.none(), st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
    ),
    seconds=st.one_of(st.none(), st.integers(min_value=0, max_value=200_000)),
)
def test_both_shapes_of_one_entry_give_one_payload(
    refs: tuple[str | None, str | None, list[str]],
    kind: str | None,
    billable: bool,
    description: str | None,
    seconds: int | None,
) -> None:
    """Otherwise an entry would get a new version each time it is read the other way."""
    start = dt.datetime(2026, 9, 30, 13, tzinfo=dt.UTC)
    end = None if seconds is None else (start + dt.timedelta(seconds=seconds)).isoformat()
    changes = {
        "projectId": refs[0],
        "taskId": refs[1],
        "tagIds": refs[2],
        "type": kind,
        "billable": billable,
        "description": description,
        "timeInterval": {"start": start.isoformat(), "end": end, "duration": "PT1S"},
    }
    from_list, from_request = payload(listed(**changes), approval=None), payload(requested(**changes), approval=None)
    assert canonical_json(from_list) == canonical_json(from_request)
    assert time_entry_facts(from_list) == time_entry_facts(from_request)


def test_a_rate_change_or_a_lock_is_no_new_version_of_the_entry() -> None:
    """A new rate on a project of a thousand entries would otherwise make a thousand new payloads."""
    changed = listed(hourlyRate={"amount": 1, "currency": "USD"}, isLocked=False, customFieldValues=[])
    assert payload(changed) == payload()


@pytest.mark.parametrize(
    ("approval_state", "state"),
    [
        ("APPROVED", ApprovalState.APPROVED),
        ("PENDING", ApprovalState.SUBMITTED),
        ("REJECTED", ApprovalState.REJECTED),
        ("WITHDRAWN_SUBMISSION", ApprovalState.DRAFT),
        ("WITHDRAWN_APPROVAL", ApprovalState.DRAFT),
    ],
)
def test_the_request_decides_the_state(approval_state: str, state: ApprovalState) -> None:
    """Only APPROVED has financial effects: a wrong reading here bills unapproved time."""
    assert time_entry_facts(payload(approval={**APPROVED, "state": approval_state})).state is state


def test_an_entry_in_no_request_is_a_draft() -> None:
    """Time that nobody handed in must not be billed."""
    assert time_entry_facts(payload(approval=None)).state is ApprovalState.DRAFT


def test_a_deletion_keeps_the_content_and_outranks_the_approval() -> None:
    """Clockify leaves a deleted entry's request approved; the work must still be reversed."""
    facts = time_entry_facts(tombstone(payload()))
    assert (facts.state, facts.minutes, facts.service_date) == (ApprovalState.DELETED, 90, dt.date(2026, 9, 30))


def test_an_entry_deleted_before_it_was_read_has_no_content() -> None:
    """A deletion must not be lost only because nothing was known before it."""
    facts = time_entry_facts(payload(None, approval=None, deleted=True))
    assert (facts.state, facts.service_date, facts.started_at, facts.minutes) == (ApprovalState.DELETED, None, None, 0)


def test_a_missing_entry_that_is_not_deleted_is_malformed() -> None:
    """A failed read must not turn into a deletion."""
    with pytest.raises(MalformedRecordError, match="entry is missing"):
        time_entry_facts(payload(None))


@pytest.mark.parametrize(
    ("zone", "start", "day"),
    [
        ("America/New_York", "2026-10-01T03:59:59Z", dt.date(2026, 9, 30)),
        ("America/New_York", "2026-10-01T04:00:00Z", dt.date(2026, 10, 1)),
        ("Europe/Berlin", "2026-09-30T22:00:00Z", dt.date(2026, 10, 1)),
        ("Europe/London", "2026-10-24T23:30:00Z", dt.date(2026, 10, 25)),
        ("Europe/London", "2026-10-25T23:30:00Z", dt.date(2026, 10, 25)),
        ("America/New_York", "2026-11-01T03:30:00Z", dt.date(2026, 10, 31)),
        ("America/New_York", "2026-11-02T04:30:00Z", dt.date(2026, 11, 1)),
    ],
    ids=[
        "last second of the month",
        "first second of the month",
        "another month in UTC",
        "before the clock change",
        "after the clock change",
        "before the change in New York",
        "after it",
    ],
)
def test_the_service_date_is_where_the_work_was(zone: str, start: str, day: dt.date) -> None:
    """A UTC date would move work into the wrong month, and with it into a closed period."""
    end = (dt.datetime.fromisoformat(start) + dt.timedelta(hours=2)).isoformat()
    facts = time_entry_facts(payload(interval(start, end), time_zone=zone))
    assert facts.service_date == day
    assert facts.minutes == 120


def test_minutes_over_a_clock_change_are_elapsed_and_not_wall_clock() -> None:
    """In the night in which clocks go back, 01:30 to 02:30 in Berlin can be two hours of work."""
    facts = time_entry_facts(
        payload(interval("2026-10-24T23:30:00Z", "2026-10-25T01:30:00Z"), time_zone="Europe/Berlin")
    )
    assert facts.minutes == 120


@pytest.mark.parametrize(("seconds", "minutes"), [(0, 0), (29, 0), (30, 1), (89, 1), (90, 2), (3600, 60)])
def test_seconds_are_rounded_half_up_to_minutes(seconds: int, minutes: int) -> None:
    """The rule decides what is billed; half-to-even would give 90 seconds and 150 seconds the same two minutes."""
    start = dt.datetime(2026, 9, 1, 9, tzinfo=dt.UTC)
    entry = interval(start.isoformat(), (start + dt.timedelta(seconds=seconds)).isoformat())
    assert time_entry_facts(payload(entry)).minutes == minutes


def test_a_running_timer_is_a_draft_without_minutes() -> None:
    """A timer may run for days before it is stopped; until then it is nothing that could be billed."""
    facts = time_entry_facts(payload(interval("2026-09-01T09:00:00Z", None), approval=None))
    assert (facts.state, facts.minutes) == (ApprovalState.DRAFT, 0)


def test_an_approved_running_timer_is_malformed() -> None:
    """Approved with no end: no number of minutes would be right."""
    with pytest.raises(MalformedRecordError, match="running timer was approved"):
        time_entry_facts(payload(interval("2026-09-01T09:00:00Z", None)))


def test_a_running_timer_that_was_deleted_is_deleted() -> None:
    """The deletion of a timer must not leave a draft behind."""
    body = tombstone(payload(interval("2026-09-01T09:00:00Z", None), approval=None))
    assert time_entry_facts(body).state is ApprovalState.DELETED


@pytest.mark.parametrize("kind", ["BREAK", "HOLIDAY", "TIME_OFF"])
def test_what_is_no_work_has_no_minutes(kind: str) -> None:
    """A lunch break in an approved week must be neither billed nor costed."""
    facts = time_entry_facts(payload(listed(type=kind)))
    assert (facts.minutes, facts.billable) == (0, False)


def test_task_and_tags_are_known_by_their_names() -> None:
    """Rate cards price by task, and the terms' factors by the names of tags: ids would find neither."""
    facts = time_entry_facts(payload(listed(taskId="t1", tagIds=["g2", "g1", "g2"])))
    assert (facts.task, facts.work_types) == ("Build", ("overtime", "travel"))
    plain = time_entry_facts(payload())
    assert (plain.task, plain.work_types) == (None, ())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"tagIds": ["g1"], "tags": None}, "tags"),
        ({"tagIds": ["g1", "g2"], "tags": [TAGS["g1"]]}, "tags"),
        ({"tags": [{"id": "g1", "name": None}]}, "tags"),
        ({"tags": [{"id": "g1", "name": " "}]}, "tags"),
        ({"tags": "overtime"}, "tags"),
        ({"taskId": "t1", "task": None}, "task"),
        ({"taskId": "t1", "task": {"id": "t1"}}, "task"),
    ],
    ids=["ids only", "one of two", "no name", "blank name", "a text", "task by id only", "task without name"],
)
def test_a_task_or_tag_without_a_name_is_malformed(changes: dict[str, Any], reason: str) -> None:
    """Overtime whose tag is passed over would be billed as ordinary work."""
    with pytest.raises(MalformedRecordError, match=reason):
        time_entry_facts(payload(listed(**changes)))


def test_a_deletion_undoes_what_was_posted_though_the_last_content_is_malformed() -> None:
    """Posted, then edited into nonsense, then deleted: refused, the deletion would leave the customer billed."""
    facts = time_entry_facts(tombstone(payload(listed(billable=None))))
    assert (facts.state, facts.service_date, facts.minutes) == (ApprovalState.DELETED, None, 0)


def test_null_fields_that_may_be_null_are_nothing_special() -> None:
    """Time without project or description is common; it is for the posting rules to say what becomes of it."""
    facts = time_entry_facts(payload(listed(projectId=None, description=None, type=None)))
    assert (facts.psa_project_id, facts.description, facts.minutes) == (None, "", 90)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (payload(listed(billable=None)), "billable"),
        (payload(listed(type="OVERTIME")), "OVERTIME"),
        (payload(listed(timeInterval=None)), "timeInterval"),
        (payload(interval("2026-09-01T09:00:00", "2026-09-01T10:00:00Z")), "offset"),
        (payload(interval("yesterday", "2026-09-01T10:00:00Z")), "no moment"),
        (payload(interval("2026-09-01T10:00:00Z", "2026-09-01T09:00:00Z")), "before it starts"),
        (payload(interval("0001-01-01T00:00:00+14:00", "2026-09-01T09:00:00Z")), "no moment"),
        (payload(interval("0001-01-01T00:00:00Z", "2026-09-01T09:00:00Z")), "outside the calendar"),
        (payload(time_zone=None), "time_zone"),
        (payload(time_zone="Mars/Olympus"), "unknown"),
        (payload(time_zone="../etc/passwd"), "unknown"),
        (payload(time_zone="Europe"), "unknown"),
        (payload(listed(projectId=7)), "projectId"),
        (payload(listed(description="a\0b")), "NUL"),
        (payload(approval={**APPROVED, "state": "ARCHIVED"}), "ARCHIVED"),
        (payload() | {"deleted": None}, "deleted"),
        (payload() | {"approval": "APPROVED"}, "approval"),
    ],
)
def test_what_cannot_be_understood_is_malformed_with_its_reason(body: dict[str, Any], reason: str) -> None:
    """Guessing would post a wrong amount; crashing would stop everybody else's entries."""
    with pytest.raises(MalformedRecordError, match=re.escape(reason)):
        time_entry_facts(body)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(field=st.sampled_from(sorted(listed())), value=json_values)
def test_any_value_in_any_field_is_either_understood_or_malformed(field: str, value: Any) -> None:
    """No vendor surprise may crash a sweep."""
    with contextlib.suppress(MalformedRecordError):
        time_entry_facts(payload(listed(**{field: value})))


def request(request_id: str, state: str, updated_at: str) -> dict[str, Any]:
    return {"approvalRequest": {"id": request_id, "status": {"state": state, "updatedAt": updated_at}}, "entries": []}


def test_the_most_recently_changed_request_decides_in_any_order() -> None:
    """Approved, withdrawn, handed in again: the old approval must not keep the entry billable."""
    requests = [
        request("r1", "WITHDRAWN_APPROVAL", "2026-10-06T08:00:00Z"),
        request("r2", "PENDING", "2026-10-06T10:30:00+02:00"),
        request("r0", "REJECTED", "2026-10-01T08:00:00Z"),
    ]
    expected = {"request_id": "r2", "state": "PENDING", "updated_at": "2026-10-06T08:30:00Z"}
    assert latest_approval(requests) == latest_approval(reversed(requests)) == expected


def test_a_tie_is_decided_the_same_way_in_any_order() -> None:
    """The state of an entry must not depend on how a list was sorted."""
    tied = [request("r1", "APPROVED", "2026-10-06T08:00:00Z"), request("r2", "REJECTED", "2026-10-06T08:00:00Z")]
    assert latest_approval(tied) == latest_approval(tied[::-1])


def test_no_request_is_no_approval() -> None:
    """The entry is a draft then."""
    assert latest_approval([]) is None


def project(**changes: Any) -> dict[str, Any]:
    return {
        "id": "p1",
        "name": "PRJ-0007 Ledger migration",
        "clientId": "c1",
        "billable": True,
        "archived": False,
        "hourlyRate": {"amount": 18750, "currency": "GBP"},
        "memberships": [
            {"userId": "u1", "hourlyRate": {"amount": 21000, "currency": "GBP"}, "membershipType": "PROJECT"},
            {"userId": "u2", "hourlyRate": None, "membershipType": "PROJECT", "membershipStatus": "INACTIVE"},
            {"userId": "u3", "hourlyRate": {"amount": 1, "currency": "GBP"}, "membershipType": "WORKSPACE"},
        ],
        **changes,
    }


def test_a_project_is_known_by_the_code_at_the_start_of_its_name() -> None:
    """The code is what joins PSA, CRM and ERP."""
    facts = project_facts(project())
    assert (facts.code, facts.name, facts.psa_client_id) == ("PRJ-0007", "Ledger migration", "c1")


@pytest.mark.parametrize(
    ("archived", "note", "closed_on"),
    [
        (True, "Handed over. closed_on=2026-10-14", dt.date(2026, 10, 14)),
        (False, "closed_on=2026-10-14", None),
        (True, "", None),
        (True, None, None),
    ],
)
def test_an_archived_project_is_closed_on_the_day_that_its_note_says(
    archived: bool, note: str | None, closed_on: dt.date | None
) -> None:
    """Work before the closing is billed and work after it is held; a reopened project is open."""
    assert project_facts(project(archived=archived, note=note)).closed_on == closed_on


def test_a_closing_date_that_cannot_be_read_is_malformed() -> None:
    """Taken for open, the project would bill work after its end."""
    with pytest.raises(MalformedRecordError, match="no date"):
        project_facts(project(archived=True, note="closed_on=tomorrow"))


@pytest.mark.parametrize("name", ["Ledger migration", "PRJ-07 Ledger", "PRJ-0007x Ledger", "", None, 7])
def test_a_project_without_a_code_is_malformed(name: Any) -> None:
    """Half a code could be another project's."""
    with pytest.raises(MalformedRecordError):
        project_facts(project(name=name))


def test_the_pattern_of_project_names_is_the_companys_own() -> None:
    """Not every company numbers its projects as the demo does."""
    facts = project_facts(project(name="Ledger [4711]"), pattern=re.compile(r"(?P<name>.*) \[(?P<code>\d+)\]"))
    assert (facts.code, facts.name) == ("4711", "Ledger")


def test_rates_come_from_the_project_and_from_its_members() -> None:
    """A member's own rate beats the project's; a workspace membership has no say about the project."""
    rates = {rate.psa_user_id: rate.per_hour for rate in bill_rates_of(project())}
    assert rates == {None: Money(Decimal("187.50"), "GBP"), "u1": Money(Decimal("210.00"), "GBP")}


@pytest.mark.parametrize(("currency", "amount"), [("JPY", "18750"), ("KWD", "18.750"), ("USD", "187.50")])
def test_minor_units_follow_the_currency(currency: str, amount: str) -> None:
    """Two digits for all would bill a Japanese customer a hundredth."""
    [rate, *_] = bill_rates_of(project(hourlyRate={"amount": 18750, "currency": currency}))
    assert rate.per_hour == Money(Decimal(amount), currency)


@pytest.mark.parametrize(
    "rate", [{"amount": "187.50", "currency": "GBP"}, {"amount": True, "currency": "GBP"}, {"amount": -1}, {}, 5]
)
def test_a_rate_that_cannot_be_read_is_malformed(rate: Any) -> None:
    """A rate that was guessed would be billed."""
    with pytest.raises(MalformedRecordError, match="hourlyRate"):
        bill_rates_of(project(hourlyRate=rate))


def test_a_project_without_any_rate_has_none() -> None:
    """Absent is not zero: the entry is held and not billed for nothing."""
    assert bill_rates_of(project(hourlyRate=None, memberships=None)) == []


def test_a_user_is_joined_by_e_mail_in_one_spelling() -> None:
    """HR and PSA seldom agree about capitals."""
    user = {"id": "u1", "name": "A B", "email": " A.B@Example.com ", "status": "ACTIVE"}
    facts = user_facts({**user, "settings": {"timeZone": "Europe/London"}})
    assert (facts.email, facts.time_zone, facts.active) == ("a.b@example.com", "Europe/London", True)


@pytest.mark.parametrize("settings", [None, {}, {"timeZone": "Nowhere"}])
def test_a_user_without_a_zone_is_malformed(settings: Any) -> None:
    """Without it no service date could be told."""
    with pytest.raises(MalformedRecordError):
        user_facts({"id": "u1", "name": "A B", "email": "a.b@example.com", "settings": settings})


def test_a_client_is_read() -> None:
    """Archived clients stay known: their old work is still to be billed."""
    assert client_facts({"id": "c1", "name": "Client", "archived": True}).archived


CATEGORIES = {"k1": "Lodging", "k2": "Mileage"}


def expense(**changes: Any) -> dict[str, Any]:
    """An ExpenseDtoV1, as the expense endpoint answers it; a number with a fraction is the text that was sent."""
    return {
        "id": "x1",
        "workspaceId": "w1",
        "userId": "u1",
        "date": "2026-09-30",
        "projectId": "p1",
        "taskId": None,
        "categoryId": "k1",
        "notes": "Receipt CHF 412.50; hotel",
        "quantity": "46250.0",
        "total": "46250.0",
        "billable": True,
        "fileId": "",
        "locked": False,
        **changes,
    }


def expense_in_list(**changes: Any) -> dict[str, Any]:
    """The same expense as an ExpenseHydratedDtoV1."""
    own = expense(**changes)
    project, category = own.pop("projectId"), own.pop("categoryId")
    return {
        **own,
        "project": {"id": project, "name": "PRJ-0001 Ledger", "clientId": "c1"} if project else None,
        "category": {"id": category, "name": CATEGORIES[category], "hasUnitPrice": False, "priceInCents": 0},
    }


def expense_in_request(**changes: Any) -> dict[str, Any]:
    """The same expense as an ExpenseHydratedDto, as an approval request lists it."""
    own = expense_in_list(**changes)
    return {**own, "currency": "USD", "approvalRequestId": "r1", "approvalStatus": "APPROVED", "locked": True}


def spent(body: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """The payload of an expense."""
    made = expense_payload(
        expense() if body is None else body,
        time_zone=changes.pop("time_zone", "America/New_York"),
        currency=changes.pop("currency", "USD"),
        categories=changes.pop("categories", CATEGORIES),
        approval=changes.pop("approval", {**APPROVED, "currency": None}),
    )
    return {**made, **changes}


def test_an_approved_expense_becomes_facts() -> None:
    """The ordinary case, field by field: 412.50 francs on the receipt, 462.50 dollars paid back."""
    facts = expense_facts(spent())
    assert (facts.id, facts.state) == ("expense:clockify:x1", ApprovalState.APPROVED)
    assert (facts.psa_user_id, facts.psa_project_id) == ("u1", "p1")
    assert (facts.service_date, facts.category) == (dt.date(2026, 9, 30), "Lodging")
    assert facts.receipt == Money(Decimal("412.50"), "CHF")
    assert facts.reimbursement == Money(Decimal("462.50"), "USD")
    assert (facts.billable, facts.description) == (True, "hotel")


@given(
    project=st.sampled_from(["p1", None]),
    category=st.sampled_from(sorted(CATEGORIES)),
    total=st.sampled_from(["0.0", "1.5", "46250.0", "1.0E7", 462]),
    notes=st.sampled_from([None, "", "taxi", "Receipt GBP 5; taxi"]),
    billable=st.booleans(),
)
def test_the_three_shapes_of_one_expense_give_one_payload(
    project: str | None, category: str, total: Any, notes: str | None, billable: bool
) -> None:
    """Otherwise an expense would get a new version each time it is read another way."""
    changes = {"projectId": project, "categoryId": category, "total": total, "notes": notes, "billable": billable}
    bodies = [shape(**changes) for shape in (expense, expense_in_list, expense_in_request)]
    first, *others = [canonical_json(spent(body)) for body in bodies]
    assert others == [first, first]


@pytest.mark.parametrize(
    ("approval_state", "state"),
    [
        ("APPROVED", ApprovalState.APPROVED),
        ("PENDING", ApprovalState.SUBMITTED),
        ("REJECTED", ApprovalState.REJECTED),
        ("WITHDRAWN_SUBMISSION", ApprovalState.DRAFT),
        ("WITHDRAWN_APPROVAL", ApprovalState.DRAFT),
        (None, ApprovalState.DRAFT),
    ],
)
def test_the_request_decides_the_state_of_an_expense(approval_state: str | None, state: ApprovalState) -> None:
    """The week's request covers expenses too; read otherwise, an unapproved hotel is billed."""
    approval = None if approval_state is None else {**APPROVED, "state": approval_state}
    assert expense_facts(spent(approval=approval)).state is state


@pytest.mark.parametrize(
    ("total", "currency", "amount"),
    [
        ("46250.0", "USD", "462.50"),
        (46250, "USD", "462.50"),
        ("1.0E7", "USD", "100000.00"),
        ("5557.5", "USD", "55.575"),
        ("10500.5", "EUR", "105.005"),
        ("57.49999999999999", "USD", "0.575"),
        ("434.99999999999994", "USD", "4.35"),
        ("50000.0", "JPY", "500"),
        ("10050.0", "KWD", "100.500"),
        ("0.0", "USD", "0.00"),
        (0, "USD", "0.00"),
        ("999999999999999.0", "USD", "9999999999999.99"),
    ],
)
def test_a_total_is_exact_hundredths(total: Any, currency: str, amount: str) -> None:
    """Taken for units, a hotel of 462.50 is paid back as 46,250; read as binary, 4.35 km lose a part of a cent.

    100 that were typed are answered as 10000.0, in each currency; 123.5 km at 45 cents are 5557.5.
    """
    facts = expense_facts(spent(expense(total=total, notes=""), currency=currency))
    assert facts.reimbursement == facts.receipt == Money(Decimal(amount), currency)


@given(units=st.integers(min_value=0, max_value=10**15 - 1), digits=st.integers(min_value=0, max_value=6))
def test_a_total_of_fifteen_digits_or_less_loses_nothing(units: int, digits: int) -> None:
    """Whatever the vendor writes: a double is sure of fifteen digits, and money of each of them."""
    total = Decimal(units).scaleb(-digits)
    facts = expense_facts(spent(expense(total=format(total, "f"), notes="")))
    assert facts.reimbursement == Money(total.scaleb(-2), "USD")


def test_the_approval_request_knows_the_currency_better_than_the_workspace() -> None:
    """Only there Clockify says it; a client's own currency read as the workspace's is a wrong amount."""
    assert expense_facts(spent(approval={**APPROVED, "currency": "GBP"})).reimbursement == Money(
        Decimal("462.50"), "GBP"
    )


@pytest.mark.parametrize(
    ("notes", "receipt", "description"),
    [
        ("Receipt CHF 412.50; hotel", "412.50 CHF", "hotel"),
        ("Receipt CHF 412.50", "412.50 CHF", ""),
        ("  Receipt JPY 5000 ;two nights; with breakfast", "5,000 JPY", "two nights; with breakfast"),
        ("Receipt KWD 1.125; taxi", "1.125 KWD", "taxi"),
        ("Receipt is lost; taxi", "462.50 USD", "Receipt is lost; taxi"),
        ("Receipts of the whole week", "462.50 USD", "Receipts of the whole week"),
        ("Taxi, 12 km", "462.50 USD", "Taxi, 12 km"),
        ("", "462.50 USD", ""),
        (None, "462.50 USD", ""),
    ],
)
def test_the_receipt_is_what_the_notes_state_and_else_the_total(
    notes: str | None, receipt: str, description: str
) -> None:
    """The customer is billed by the receipt; passed over, they would pay the exchange rate of the payroll."""
    facts = expense_facts(spent(expense(notes=notes)))
    assert (str(facts.receipt), facts.description) == (receipt, description)


@pytest.mark.parametrize(
    "notes",
    [
        "Receipt XQZ 412.50; hotel",
        "Receipt CHF 412,50; hotel",
        "Receipt CHF 1,412.50; hotel",
        "Receipt CHF -5; refund",
        "Receipt CHF 0.00; hotel",
        "Receipt CHF 412.505; hotel",
        "Receipt JPY 5000.50; hotel",
        "Receipt CHF; hotel",
        "Receipt CHF412.50; hotel",
        "Receipt: CHF 412.50; hotel",
        "Receipt 412.50 CHF; hotel",
        "Receipt 412.50; hotel",
        "Receipt €412.50; hotel",
        "receipt chf 412.50; hotel",
        "Receipt CHF 412.50, hotel",
        "Receipt CHF 412.50 hotel",
        "Receipt CHF 4e2; hotel",
        "Receipt CHF 9999999999999999; hotel",
        "hotel; Receipt CHF 412.50",
        "Receipt CHF 412.50; Receipt CHF 5",
    ],
)
def test_a_receipt_that_is_nearly_stated_is_malformed(notes: str) -> None:
    """Taken for prose, a slip of the keyboard bills the total in another currency."""
    with pytest.raises(MalformedRecordError, match="notes") as caught:
        expense_facts(spent(expense(notes=notes)))
    assert "hotel" not in caught.value.reason


@given(notes=st.text(max_size=30) | st.text(alphabet="Receipt CHFchf0123.;,€: ", max_size=30).map("Receipt ".__add__))
def test_any_notes_are_either_understood_or_malformed(notes: str) -> None:
    """People write what they like; a stated receipt is never read as another amount."""
    with contextlib.suppress(MalformedRecordError):
        facts = expense_facts(spent(expense(notes=notes)))
        total = facts.receipt == Money(Decimal("462.50"), "USD")
        assert total or notes.strip().startswith(f"Receipt {facts.receipt.currency} " if facts.receipt else "")


@pytest.mark.parametrize(
    ("date", "zone", "day"),
    [
        ("2026-09-30", None, dt.date(2026, 9, 30)),
        ("2026-09-30T00:00:00Z", "America/New_York", dt.date(2026, 9, 30)),
        ("2026-10-01T00:00:00+02:00", "America/New_York", dt.date(2026, 10, 1)),
        ("2026-09-30T22:00:00Z", "Europe/Berlin", dt.date(2026, 10, 1)),
        ("2026-10-01T01:30:00Z", "America/New_York", dt.date(2026, 9, 30)),
    ],
    ids=["a date", "midnight is a date", "midnight elsewhere", "local midnight in UTC", "a moment"],
)
def test_an_expense_is_of_the_day_on_which_it_was_spent(date: str, zone: str | None, day: dt.date) -> None:
    """A day that slips over the end of a month moves the expense into another invoice, or a closed period."""
    assert expense_facts(spent(expense(date=date), time_zone=zone)).service_date == day


def test_an_expense_without_a_project_is_understood() -> None:
    """It is for the posting rules to say what becomes of it."""
    assert expense_facts(spent(expense_in_list(projectId=None))).psa_project_id is None


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (spent(expense(total="-46250.0")), "total"),
        (spent(expense(total=-1)), "total"),
        (spent(expense(total=None)), "total"),
        (spent(expense(total=True)), "total"),
        (spent(expense(total="NaN")), "total"),
        (spent(expense(total="Infinity")), "total"),
        (spent(expense(total="46250,0")), "total"),
        (spent(expense(total="1E+999999")), "total"),
        (spent(expense(total=10**15)), "total"),
        (spent(expense(categoryId=None)), "category"),
        (spent(expense(categoryId="k9")), "category"),
        (spent({**expense_in_list(), "category": None}), "category"),
        (spent(expense(date=None)), "date"),
        (spent(expense(date="yesterday")), "date"),
        (spent(expense(date="2026-09-30T10:00:00")), "offset"),
        (spent(expense(date="2026-09-30T10:00:00Z"), time_zone=None), "time_zone"),
        (spent(expense(date="0001-01-01T00:30:00Z")), "outside the calendar"),
        (spent(expense(billable=None)), "billable"),
        (spent(expense(userId=None)), "user_id"),
        (spent(currency="Dollars"), "currency"),
        (spent(approval={**APPROVED, "currency": "usd"}), "currency"),
        (spent(approval={**APPROVED, "state": "ARCHIVED"}), "ARCHIVED"),
        (spent() | {"expense": None}, "expense"),
    ],
)
def test_an_expense_that_cannot_be_understood_is_malformed(body: dict[str, Any], reason: str) -> None:
    """Guessing would post a wrong amount; crashing would stop everybody else's expenses."""
    with pytest.raises(MalformedRecordError, match=re.escape(reason)):
        expense_facts(body)


@given(
    shape=st.sampled_from([expense, expense_in_list, expense_in_request]),
    field=st.sampled_from(sorted({*expense_in_request(), *expense()})),
    value=json_values,
)
def test_any_value_in_any_field_of_an_expense_is_either_understood_or_malformed(
    shape: Any, field: str, value: Any
) -> None:
    """No vendor surprise may crash a sweep."""
    with contextlib.suppress(MalformedRecordError):
        expense_facts(spent({**shape(), field: value}))


def test_a_deleted_expense_keeps_its_content_and_outranks_the_approval() -> None:
    """Its request stays approved in Clockify; what was billed must still be reversed."""
    facts = expense_facts(tombstone(spent()))
    assert (facts.state, facts.receipt) == (ApprovalState.DELETED, Money(Decimal("412.50"), "CHF"))


def test_a_deleted_expense_with_malformed_content_is_deleted() -> None:
    """Posted, then edited into nonsense, then deleted: refused, the deletion would leave the customer billed."""
    facts = expense_facts(tombstone(spent(expense(notes="Receipt CHF"))))
    assert facts.state is ApprovalState.DELETED
    assert (facts.service_date, facts.category, facts.receipt, facts.reimbursement) == (None, None, None, None)


def test_the_latest_request_that_lists_an_expense_decides_about_it() -> None:
    """Other expenses of the same requests, and requests that do not list it, have no say."""
    requests = [
        request("r1", "WITHDRAWN_APPROVAL", "2026-10-06T08:00:00Z") | {"expenses": [expense_in_request()]},
        request("r2", "PENDING", "2026-10-07T08:00:00Z") | {"expenses": [expense_in_request(id="x2")]},
        request("r0", "APPROVED", "2026-10-01T08:00:00Z") | {"expenses": [expense_in_request()]},
        request("r3", "REJECTED", "2026-10-09T08:00:00Z"),
    ]
    expected = {"request_id": "r1", "state": "WITHDRAWN_APPROVAL", "updated_at": "2026-10-06T08:00:00Z"}
    assert latest_expense_approval(requests, "x1") == {**expected, "currency": "USD"}
    assert latest_expense_approval(requests, "x9") is None


def test_categories_and_the_workspaces_currency_are_read() -> None:
    """The one is what limits are agreed for, the other what totals are in."""
    assert category_names([{"id": "k1", "name": " Lodging "}]) == {"k1": "Lodging"}
    currencies = [{"code": "EUR", "isDefault": False}, {"code": "USD", "isDefault": True}, {"code": "GBP"}]
    assert workspace_currency({"currencies": currencies}) == "USD"


@pytest.mark.parametrize("currencies", [None, [], [{"code": "EUR"}], [{"code": "EUR", "isDefault": True}] * 2])
def test_a_workspace_without_one_default_currency_is_malformed(currencies: Any) -> None:
    """Any guess would be the currency of every expense."""
    with pytest.raises(MalformedRecordError, match="default"):
        workspace_currency({"currencies": currencies})
