"""From Clockify's records to facts. Pure: no I/O, no clock.

Documentation: "Clockify API", https://docs.clockify.me, schemas TimeEntryWithRatesDtoV1, TimeEntryInfoDto,
ApprovalRequestDtoV1, ProjectDtoImplV1, MembershipDtoV1, UserDtoV1 and ClientWithCurrencyDtoV1.

Every function raises MalformedRecordError for a record that it cannot understand.
"""

import datetime as dt
import re
import zoneinfo
from collections.abc import Iterable
from typing import Any

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
from psa_erp_assets.domain.facts import BillRateFacts, ProjectFacts, PsaClientFacts, PsaUserFacts, TimeEntryFacts
from psa_erp_assets.domain.malformed import MalformedRecordError
from psa_erp_assets.domain.money import Money
from psa_erp_assets.domain.records import ApprovalState

PROJECT_NAME = re.compile(r"(?P<code>PRJ-\d{4,})\b[\s:–-]*(?P<name>.*)", re.DOTALL)
"""How a project's name begins with its code: "PRJ-0007 Ledger migration"."""

CLOSING_NOTE = re.compile(r"\bclosed_on=(?P<date>\S+)")
"""Where a project's note says when it was closed: Clockify itself knows only whether it is archived."""

SECONDS_ROUND_UP_FROM = 30
"""Durations are seconds in Clockify and whole minutes here: half a minute and more counts as one, once an entry."""

_STATES = {
    "PENDING": ApprovalState.SUBMITTED,
    "APPROVED": ApprovalState.APPROVED,
    "REJECTED": ApprovalState.REJECTED,
    "WITHDRAWN_SUBMISSION": ApprovalState.DRAFT,
    "WITHDRAWN_APPROVAL": ApprovalState.DRAFT,
}
_WORK = "REGULAR"
_NOT_WORK = frozenset({"BREAK", "HOLIDAY", "TIME_OFF"})


def latest_approval(requests: Iterable[Record]) -> dict[str, str] | None:
    """What the most recently changed of an entry's approval requests says, as `time_entry_payload` takes it.

    `requests` are ApprovalDetailsDtoV1. An entry is in several when one was withdrawn or rejected and the time
    was handed in again. None if there is none. Of two changed in the same second the greater id decides, so that
    the answer does not depend on the order of the list.
    """
    approvals = [_approval(part(details, "approvalRequest")) for details in requests]
    return max(approvals, key=lambda a: (instant(a, "updated_at"), a["request_id"]), default=None)


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

    `entry` is a TimeEntryWithRatesDtoV1 (from the entry endpoints) or a TimeEntryInfoDto (from an approval
    request), or None for a deleted one of which nothing is known; `approval` is what `latest_approval` gave;
    `time_zone` is the user's. Kept in the first shape are the fields that both shapes have and that decide what
    the work means. Rates are left out: they come with the project, and would make a new version of every entry
    whenever one changes. Custom fields are left out: the two shapes spell them differently.
    """
    return {
        "id": entry_id,
        "user_id": user_id,
        "time_zone": time_zone,
        "deleted": deleted,
        "approval": None if approval is None else dict(approval),
        "entry": None if entry is None else _entry_body(entry, entry_id, user_id),
    }


def tombstone(payload: Record) -> dict[str, Any]:
    """The payload of an entry that has been deleted since `payload`, with the content that it last had."""
    return {**payload, "deleted": True}


def time_entry_facts(payload: Record) -> TimeEntryFacts:
    """The canonical reading of a stored payload.

    A running timer is a draft of no minutes, and malformed only if somebody approved it. Breaks, holidays and
    time off are no work: they have no minutes and are not billable.
    """
    entry_id, user_id = text(payload, "id"), text(payload, "user_id")
    deleted = flag(payload, "deleted")
    if payload.get("entry") is None:
        if not deleted:
            raise MalformedRecordError("entry is missing although it was not deleted")
        return _deleted_unread(entry_id, user_id)
    entry, interval = part(payload, "entry"), part(part(payload, "entry"), "timeInterval")
    state = ApprovalState.DELETED if deleted else _state(payload)
    started_at, zone = instant(interval, "start"), text(payload, "time_zone")
    running = interval.get("end") is None
    if running and state is ApprovalState.APPROVED:
        raise MalformedRecordError("timeInterval.end is missing: a running timer was approved")
    minutes = 0 if running else _minutes(started_at, instant(interval, "end"))
    is_work = _is_work(entry)
    return TimeEntryFacts(
        id=f"time_entry:clockify:{entry_id}",
        state=ApprovalState.DRAFT if running and not deleted else state,
        psa_user_id=user_id,
        psa_project_id=optional_text(entry, "projectId"),
        service_date=_local_date(started_at, zone),
        minutes=minutes if is_work else 0,
        billable=flag(entry, "billable") and is_work,
        description=optional_text(entry, "description") or "",
        started_at=started_at,
        time_zone=zone,
    )


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


def _approval(request: Record) -> dict[str, str]:
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
        "type": entry.get("type") or _WORK,
        "billable": entry.get("billable"),
        "description": entry.get("description") or "",
        "timeInterval": interval,
    }


def _own_or_nested_id(entry: Record, own: str, nested: str) -> Any:
    inner = entry.get(nested)
    return (inner.get("id") if isinstance(inner, dict) else entry.get(own)) or None


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


def _state(payload: Record) -> ApprovalState:
    if payload.get("approval") is None:
        return ApprovalState.DRAFT
    state = text(part(payload, "approval"), "state")
    if state not in _STATES:
        raise MalformedRecordError(f"approval.state {state[:40]!r} is unknown")
    return _STATES[state]


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


def _local_date(started_at: dt.datetime, zone: str) -> dt.date:
    _known_zone(zone)
    try:
        return service_date(started_at, zone)
    except OverflowError:
        raise MalformedRecordError("timeInterval.start is outside the calendar") from None


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
