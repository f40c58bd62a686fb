"""From Clockify's records to facts. Pure: no I/O, no clock.

Documentation: "Clockify API", https://docs.clockify.me, schemas TimeEntryWithRatesDtoV1, TimeEntryInfoDto,
ExpenseDtoV1, ExpenseHydratedDtoV1, ExpenseHydratedDto, ExpenseCategoryDtoV1, ApprovalRequestDtoV1, ProjectDtoImplV1,
MembershipDtoV1, UserDtoV1, ClientWithCurrencyDtoV1 and WorkspaceDtoV1.

Every function raises MalformedRecordError for a record that it cannot understand.
"""

import datetime as dt
import decimal
import re
import zoneinfo
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from psa_erp_assets.adapters.connectors.clockify.receipts import receipt_of
from psa_erp_assets.adapters.connectors.reading import (
    Record,
    currency,
    date,
    flag,
    instant,
    optional_text,
    part,
    parts,
    text,
)
from psa_erp_assets.domain.calendar import service_date
from psa_erp_assets.domain.facts import (
    BillRateFacts,
    ExpenseFacts,
    ProjectFacts,
    PsaClientFacts,
    PsaUserFacts,
    TimeEntryFacts,
)
from psa_erp_assets.domain.malformed import MalformedRecordError
from psa_erp_assets.domain.money import Money, Rounding
from psa_erp_assets.domain.records import ApprovalState

PROJECT_NAME = re.compile(r"(?P<code>PRJ-\d{4,})\b[\s:–-]*(?P<name>.*)", re.DOTALL)
"""How a project's name begins with its code: "PRJ-0007 Ledger migration"."""

CLOSING_NOTE = re.compile(r"\bclosed_on=(?P<date>\S+)")
"""Where a project's note says when it was closed: Clockify itself knows only whether it is archived."""

SECONDS_ROUND_UP_FROM = 30
"""Durations are seconds in Clockify and whole minutes here: half a minute and more counts as one, once an entry."""

# Expenses come as doubles, and fifteen significant digits are what a double surely carries (IEEE 754: DBL_DIG). Read
# to those, 1.15 km at 50 cents, which comes as 57.49999999999999, is 57.5 cents again.
_DOUBLE = decimal.Context(prec=15, rounding=decimal.ROUND_HALF_EVEN)

STATES: Mapping[str, ApprovalState] = {
    "PENDING": ApprovalState.SUBMITTED,
    "APPROVED": ApprovalState.APPROVED,
    "REJECTED": ApprovalState.REJECTED,
    "WITHDRAWN_SUBMISSION": ApprovalState.DRAFT,
    "WITHDRAWN_APPROVAL": ApprovalState.DRAFT,
}
"""What the states of an approval request mean where the settings do not say otherwise."""
_WORK = "REGULAR"
_NOT_WORK = frozenset({"BREAK", "HOLIDAY", "TIME_OFF"})


def latest_approval(requests: Iterable[Record]) -> dict[str, Any] | None:
    """What the most recently changed of an entry's approval requests says, as `time_entry_payload` takes it.

    `requests` are ApprovalDetailsDtoV1. An entry is in several when one was withdrawn or rejected and the time
    was handed in again. None if there is none. Of two changed in the same second the greater id decides, so that
    the answer does not depend on the order of the list.
    """
    return _latest(_approval(part(details, "approvalRequest")) for details in requests)


def latest_expense_approval(requests: Iterable[Record], expense_id: str) -> dict[str, Any] | None:
    """As `latest_approval`, for an expense that `requests` list; with the currency that its total has there.

    Only approval requests say the currency of an expense: None if they do not.
    """
    return _latest(
        {**_approval(part(details, "approvalRequest")), "currency": expense.get("currency")}
        for details in requests
        for expense in parts(details, "expenses")
        if expense.get("id") == expense_id
    )


def time_entry_payload(
    entry: Record | None,
    *,
    entry_id: str,
    user_id: str,
    time_zone: str | None,
    approval: Record | None,
    deleted: bool = False,
) -> dict[str, Any]:
    """What is kept of a time entry: the same body, whichever way the entry was read.

    `entry` is a TimeEntryWithRatesDtoV1 with its task and tags (from the entry endpoints) or a TimeEntryInfoDto (from
    an approval request), or None for a deleted one of which nothing is known; `approval` is what `latest_approval`
    gave; `time_zone` is the user's. Kept in the first shape are the fields that both shapes have and that decide what
    the work means, task and tags by their names, which are what terms and rate cards know. Rates are left out: they
    come with the project, and would make a new version of every entry whenever one changes. Custom fields are left
    out: the two shapes spell them differently.
    """
    return {
        "id": entry_id,
        "user_id": user_id,
        "time_zone": time_zone,
        "deleted": deleted,
        "approval": None if approval is None else dict(approval),
        "entry": None if entry is None else _entry_body(entry, entry_id, user_id),
    }


def expense_payload(
    expense: Record, *, time_zone: str | None, currency: str, categories: Mapping[str, str], approval: Record | None
) -> dict[str, Any]:
    """What is kept of an expense: the same body, whichever way the expense was read.

    `expense` is an ExpenseDtoV1 (from the expense endpoint and from a delivery), an ExpenseHydratedDtoV1 (from the
    list) or an ExpenseHydratedDto (from an approval request). The first has the category's id only, and `categories`
    its name by that id (`category_names`). `approval` is what `latest_expense_approval` gave; `time_zone` is the
    user's, `currency` the workspace's (`workspace_currency`).
    """
    nested = expense.get("category")
    category_id = _own_or_nested_id(expense, "categoryId", "category")
    named = nested.get("name") if isinstance(nested, dict) else None
    return {
        "id": expense.get("id"),
        "user_id": expense.get("userId"),
        "time_zone": time_zone,
        "currency": currency,
        "deleted": False,
        "approval": None if approval is None else dict(approval),
        "expense": {
            "projectId": _own_or_nested_id(expense, "projectId", "project"),
            "categoryId": category_id,
            "category": named or (categories.get(category_id) if isinstance(category_id, str) else None),
            "date": expense.get("date"),
            "total": expense.get("total"),
            "billable": expense.get("billable"),
            "notes": expense.get("notes") or "",
        },
    }


def tombstone(payload: Record) -> dict[str, Any]:
    """The payload of what has been deleted since `payload`, an entry or an expense, with its last content."""
    return {**payload, "deleted": True}


def time_entry_facts(payload: Record, states: Mapping[str, ApprovalState] = STATES) -> TimeEntryFacts:
    """The canonical reading of a stored payload; `states` are what the states of its approval mean.

    A running timer is a draft of no minutes, and malformed only if somebody approved it. Breaks, holidays and
    time off are no work: they have no minutes and are not billable.
    """
    entry_id, user_id = text(payload, "id"), text(payload, "user_id")
    if not flag(payload, "deleted"):
        return _entry_facts(payload, entry_id, user_id, _state(payload, states))
    try:
        return _entry_facts(payload, entry_id, user_id, ApprovalState.DELETED)
    except MalformedRecordError:
        # Whatever is wrong with the content: what was posted before it went wrong has to be undone.
        return _deleted_unread(entry_id, user_id)


def expense_facts(payload: Record, states: Mapping[str, ApprovalState] = STATES) -> ExpenseFacts:
    """The canonical reading of a stored payload; `states` are what the states of its approval mean.

    `total` is what the employer pays back, in hundredths of the currency's unit: `amount`, of which Clockify makes
    it, is in units and bounded by the largest long integer divided by a hundred, and a category with a unit price has
    `priceInCents` times the quantity for a total. A part of a hundredth is kept. The receipt is what the notes state
    (`receipts`), without that the total.
    """
    expense_id, user_id = text(payload, "id"), text(payload, "user_id")
    if not flag(payload, "deleted"):
        return _expense_facts(payload, expense_id, user_id, _state(payload, states))
    try:
        return _expense_facts(payload, expense_id, user_id, ApprovalState.DELETED)
    except MalformedRecordError:
        return _deleted_unread_expense(expense_id, user_id)


def category_names(categories: Iterable[Record]) -> dict[str, str]:
    """The names of ExpenseCategoryDtoV1 by their ids."""
    return {text(category, "id"): text(category, "name") for category in categories}


def workspace_currency(workspace: Record) -> str:
    """The default currency of a WorkspaceDtoV1, in which expenses are recorded."""
    codes = [currency(c, "code") for c in parts(workspace, "currencies") if flag(c, "isDefault", default=False)]
    if len(codes) != 1:
        raise MalformedRecordError("currencies do not have one default")
    return codes[0]


def user_facts(user: Record) -> PsaUserFacts:
    """A UserDtoV1. Its time zone is that of the user's settings."""
    zone = text(part(user, "settings"), "timeZone")
    _known_zone(zone)
    return PsaUserFacts(
        psa_id=text(user, "id"),
        name=optional_text(user, "name") or "",
        email=text(user, "email").lower(),
        time_zone=zone,
        active=optional_text(user, "status") == "ACTIVE",
    )


def client_facts(client: Record) -> PsaClientFacts:
    """A ClientWithCurrencyDtoV1."""
    return PsaClientFacts(
        psa_id=text(client, "id"), name=text(client, "name"), archived=flag(client, "archived", default=False)
    )


def project_facts(
    project: Record,
    *,
    pattern: re.Pattern[str] = PROJECT_NAME,
    closing_note: re.Pattern[str] = CLOSING_NOTE,
) -> ProjectFacts:
    """A ProjectDtoImplV1 whose name matches `pattern`, which has the groups "code" and "name".

    `closing_note` has the group "date"; it counts for an archived project only, so that one that was reopened is
    open whatever its note still says.
    """
    match = pattern.match(text(project, "name"))
    if match is None:
        raise MalformedRecordError("name does not begin with a project code")
    archived = flag(project, "archived", default=False)
    closed = closing_note.search(optional_text(project, "note") or "") if archived else None
    return ProjectFacts(
        psa_id=text(project, "id"),
        code=match["code"],
        name=match["name"].strip() or match["code"],
        psa_client_id=optional_text(project, "clientId"),
        billable=flag(project, "billable", default=True),
        archived=archived,
        closed_on=None if closed is None else date(closed.groupdict(), "date"),
    )


def bill_rates_of(project: Record) -> list[BillRateFacts]:
    """The project's own hourly rate, then those that it has for single members. Absent rates are not listed.

    Memberships of people who have left the project count: the work that they did is still to be billed.
    """
    project_id = text(project, "id")
    members = [m for m in parts(project, "memberships") if m.get("membershipType") in (None, "PROJECT")]
    rates: list[tuple[str | None, Any]] = [(None, project.get("hourlyRate"))]
    rates += [(text(member, "userId"), member.get("hourlyRate")) for member in members]
    return [
        BillRateFacts(psa_project_id=project_id, psa_user_id=user_id, per_hour=_hourly(rate))
        for user_id, rate in rates
        if rate is not None
    ]


def _latest(approvals: Iterable[dict[str, Any]]) -> dict[str, Any] | None:
    return max(approvals, key=lambda a: (instant(a, "updated_at"), a["request_id"]), default=None)


def _approval(request: Record) -> dict[str, Any]:
    status = part(request, "status")
    return {
        "request_id": text(request, "id"),
        "state": text(status, "state"),
        "updated_at": instant(status, "updatedAt").strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _entry_body(entry: Record, entry_id: str, user_id: str) -> dict[str, Any]:
    interval = entry.get("timeInterval")
    if isinstance(interval, dict):
        # The duration follows from the two ends, and its spelling differs between endpoints.
        interval = {"start": interval.get("start"), "end": interval.get("end")}
    return {
        "id": entry_id,
        "userId": user_id,
        "projectId": _own_or_nested_id(entry, "projectId", "project"),
        "taskId": _own_or_nested_id(entry, "taskId", "task"),
        "task": task.get("name") if isinstance(task := entry.get("task"), dict) else None,
        "tags": _tag_names(entry),
        "type": entry.get("type") or _WORK,
        "billable": entry.get("billable"),
        "description": entry.get("description") or "",
        "timeInterval": interval,
    }


def _tag_names(entry: Record) -> list[str] | None:
    """The names of the entry's tags, sorted; None if they cannot all be told."""
    ids, tags = entry.get("tagIds") or [], entry.get("tags") or []
    if not isinstance(ids, list) or not isinstance(tags, list) or not all(isinstance(tag, dict) for tag in tags):
        return None
    names = [tag.get("name") for tag in tags]
    known = [tag.get("id") for tag in tags]
    if not all(tag_id in known for tag_id in ids) or not all(isinstance(name, str) for name in names):
        return None
    return sorted({str(name) for name in names})


def _own_or_nested_id(entry: Record, own: str, nested: str) -> Any:
    inner = entry.get(nested)
    return (inner.get("id") if isinstance(inner, dict) else entry.get(own)) or None


def _entry_facts(payload: Record, entry_id: str, user_id: str, state: ApprovalState) -> TimeEntryFacts:
    if payload.get("entry") is None:
        raise MalformedRecordError("entry is missing although it was not deleted")
    entry, interval = part(payload, "entry"), part(part(payload, "entry"), "timeInterval")
    started_at, zone = instant(interval, "start"), text(payload, "time_zone")
    running = interval.get("end") is None
    if running and state is ApprovalState.APPROVED:
        raise MalformedRecordError("timeInterval.end is missing: a running timer was approved")
    minutes = 0 if running else _minutes(started_at, instant(interval, "end"))
    is_work = _is_work(entry)
    return TimeEntryFacts(
        id=f"time_entry:clockify:{entry_id}",
        state=ApprovalState.DRAFT if running and state is not ApprovalState.DELETED else state,
        psa_user_id=user_id,
        psa_project_id=optional_text(entry, "projectId"),
        service_date=_local_date(started_at, zone, "timeInterval.start"),
        minutes=minutes if is_work else 0,
        billable=flag(entry, "billable") and is_work,
        description=optional_text(entry, "description") or "",
        started_at=started_at,
        time_zone=zone,
        task=_task(entry),
        work_types=_work_types(entry),
    )


def _expense_facts(payload: Record, expense_id: str, user_id: str, state: ApprovalState) -> ExpenseFacts:
    expense = part(payload, "expense")
    total = _total(expense, _expense_currency(payload))
    receipt, description = receipt_of(optional_text(expense, "notes") or "")
    return ExpenseFacts(
        id=f"expense:clockify:{expense_id}",
        state=state,
        psa_user_id=user_id,
        psa_project_id=optional_text(expense, "projectId"),
        service_date=_expense_date(expense, payload),
        category=text(expense, "category"),
        receipt=total if receipt is None else receipt,
        reimbursement=total,
        billable=flag(expense, "billable"),
        description=description,
    )


def _deleted_unread(entry_id: str, user_id: str) -> TimeEntryFacts:
    return TimeEntryFacts(
        id=f"time_entry:clockify:{entry_id}",
        state=ApprovalState.DELETED,
        psa_user_id=user_id,
        psa_project_id=None,
        service_date=None,
        minutes=0,
        billable=False,
        description="",
        started_at=None,
        time_zone=None,
    )


def _deleted_unread_expense(expense_id: str, user_id: str) -> ExpenseFacts:
    return ExpenseFacts(
        id=f"expense:clockify:{expense_id}",
        state=ApprovalState.DELETED,
        psa_user_id=user_id,
        psa_project_id=None,
        service_date=None,
        category=None,
        receipt=None,
        reimbursement=None,
        billable=False,
        description="",
    )


def _state(payload: Record, states: Mapping[str, ApprovalState]) -> ApprovalState:
    if payload.get("approval") is None:
        return ApprovalState.DRAFT
    state = text(part(payload, "approval"), "state")
    if state not in states:
        raise MalformedRecordError(f"approval.state {state[:40]!r} is unknown")
    return states[state]


def _task(entry: Record) -> str | None:
    name = optional_text(entry, "task")
    if name is None and entry.get("taskId") is not None:
        raise MalformedRecordError("task has no name")
    return name


def _work_types(entry: Record) -> tuple[str, ...]:
    names = entry.get("tags")
    if not isinstance(names, list):
        raise MalformedRecordError("tags cannot all be told by their names")
    return tuple(sorted({text({"tags": name}, "tags").lower() for name in names}))


def _expense_currency(payload: Record) -> str:
    """What the approval request says, which knows better: without one, the workspace's."""
    approval = payload.get("approval")
    stated = approval.get("currency") if isinstance(approval, Mapping) else None
    return currency(payload if stated is None else {"currency": stated}, "currency")


def _total(expense: Record, code: str) -> Money:
    value = expense.get("total")
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise MalformedRecordError("total is missing or not a number")
    try:
        hundredths = _DOUBLE.create_decimal(value)
    except decimal.InvalidOperation:
        raise MalformedRecordError("total is not a number") from None
    if not hundredths.is_finite() or not 0 <= hundredths < Decimal(10) ** 15:
        raise MalformedRecordError("total is not an amount of zero or more")
    exact = Money(_DOUBLE.normalize(hundredths).scaleb(-2), code)
    rounded = exact.rounded(Rounding.HALF_EVEN)
    return rounded if rounded == exact else exact


def _expense_date(expense: Record, payload: Record) -> dt.date:
    """The local date: the date as it is written, if it is one, or midnight; else where whoever spent it is.

    Clockify documents a date, and answers with a moment too.
    """
    if "T" not in text(expense, "date"):
        return date(expense, "date")
    moment = instant(expense, "date")
    written = dt.datetime.fromisoformat(text(expense, "date"))
    if written.time() == dt.time():
        return written.date()
    return _local_date(moment, text(payload, "time_zone"), "date")


def _is_work(entry: Record) -> bool:
    kind = optional_text(entry, "type") or _WORK
    if kind != _WORK and kind not in _NOT_WORK:
        raise MalformedRecordError(f"type {kind[:40]!r} is unknown")
    return kind == _WORK


def _minutes(start: dt.datetime, end: dt.datetime) -> int:
    seconds = (end - start) // dt.timedelta(seconds=1)
    if seconds < 0:
        raise MalformedRecordError("timeInterval ends before it starts")
    return (seconds + 60 - SECONDS_ROUND_UP_FROM) // 60


def _local_date(moment: dt.datetime, zone: str, name: str) -> dt.date:
    _known_zone(zone)
    try:
        return service_date(moment, zone)
    except OverflowError:
        raise MalformedRecordError(f"{name} is outside the calendar") from None


def _known_zone(zone: str) -> None:
    try:
        zoneinfo.ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        # A name that is a folder of the zone database raises OSError, one that points outside it ValueError.
        raise MalformedRecordError(f"the time zone {zone[:40]!r} is unknown") from None


def _hourly(rate: Any) -> Money:
    if not isinstance(rate, dict):
        raise MalformedRecordError("hourlyRate is not an object")
    amount = rate.get("amount")
    if not isinstance(amount, int) or isinstance(amount, bool) or amount < 0:
        raise MalformedRecordError("hourlyRate.amount is not a whole number of minor units, zero or more")
    return Money.from_minor_units(amount, currency(rate, "currency"))
