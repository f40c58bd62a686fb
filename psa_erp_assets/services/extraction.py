"""Reading the PSA: what a webhook pointed at, what changed lately, and everything (the sweep that finds deletes).

All network reads come first and the one transaction after them, so that no transaction is open across a call, and a
read that fails leaves everything as it was.
"""

import contextlib
import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine

from psa_erp_assets.adapters.connectors.clockify.canonical import (
    category_names,
    expense_payload,
    latest_approval,
    latest_expense_approval,
    time_entry_payload,
    tombstone,
    workspace_currency,
)
from psa_erp_assets.adapters.connectors.clockify.client import ClockifyClient
from psa_erp_assets.adapters.connectors.clockify.hints import Hint
from psa_erp_assets.adapters.store import cursors, inbox
from psa_erp_assets.domain.malformed import MalformedRecordError
from psa_erp_assets.services import canonical, revisions
from psa_erp_assets.services.revisions import CLOCKIFY, EXPENSE, TIME_ENTRY, Received
from psa_erp_assets.services.scope import Scope

_SWEEP = "approval_requests"

_Body = Mapping[str, Any] | None


def sweep(
    engine: Engine,
    psa: ClockifyClient,
    scope: Scope,
    *,
    since: dt.datetime,
    now: dt.datetime,
    find_deleted: bool = False,
    approvals_since: dt.datetime | None = None,
) -> Received:
    """Read all entries that start after `since`, and the approvals that changed after `approvals_since` (or all).

    Entries of a changed approval are read however old they are. With `find_deleted` every entry that was once seen
    and is not in what was read is fetched by its id: a list that lacks it proves nothing. Raises a SourceError;
    nothing is stored then.
    """
    users = psa.users()
    zones = {user["id"]: _zone(user) for user in users}
    requests = psa.approval_requests(updated_since=approvals_since)
    read = [
        _Read(entry["id"], user["id"], entry)
        for user in users
        for entry in psa.time_entries(user["id"], since, now + dt.timedelta(days=366))
    ]
    seen = {r.entry_id for r in read}
    read += [r for r in _listed_in(requests) if r.entry_id not in seen]
    spent = {expense["id"]: expense for expense in (*_expenses_in(requests), *psa.expenses())}
    expenses: dict[str, _Body] = dict(spent)
    if find_deleted:
        read += _missing(engine, psa, scope.tenant, {r.entry_id for r in read})
        expenses |= _missing_expenses(engine, psa, scope.tenant, spent)
    names = _Names.of(psa) if expenses else None
    arrived_by = "key_sweep" if find_deleted else "sweep"
    complete = approvals_since is None
    with engine.begin() as connection:
        payloads = _payloads(connection, scope.tenant, read, requests, zones, complete=complete)
        received = _receive(connection, scope, revisions.TIME_ENTRIES, payloads, arrived_by=arrived_by, now=now)
        bodies = _expense_payloads(
            connection, scope.tenant, expenses, requests, zones=zones, names=names, complete=complete
        )
        received += _receive(connection, scope, revisions.EXPENSES, bodies, arrived_by=arrived_by, now=now)
        cursors.put(connection, tenant=scope.tenant, source=CLOCKIFY, name=_SWEEP, value=now.isoformat(), now=now)
    return received


def last_sweep(connection: Connection, tenant: str) -> dt.datetime | None:
    """When the last sweep that succeeded began."""
    value = cursors.get(connection, tenant=tenant, source=CLOCKIFY, name=_SWEEP)
    return dt.datetime.fromisoformat(value) if value else None


def fetch_hinted(
    engine: Engine, psa: ClockifyClient, scope: Scope, hints: Iterable[Hint], *, now: dt.datetime
) -> Received:
    """Fetch again just what webhooks pointed at. Raises a SourceError; the hints then stay unhandled."""
    wanted: dict[str, set[str]] = defaultdict(set)
    for hint in hints:
        wanted[hint.object_type].add(hint.object_id)
    fetched = [(request_id, psa.approval_request(request_id)) for request_id in sorted(wanted["approval_request"])]
    requests = [request for _, request in fetched if request is not None]
    entries = [(entry_id, psa.time_entry(entry_id)) for entry_id in sorted(wanted[TIME_ENTRY])]
    read = [_Read(i, entry["userId"] if entry else None, entry) for i, entry in entries]
    read += [r for r in _listed_in(requests) if r.entry_id not in wanted[TIME_ENTRY]]
    expenses: dict[str, _Body] = {expense["id"]: expense for expense in _expenses_in(requests)}
    expenses |= {expense_id: psa.expense(expense_id) for expense_id in sorted(wanted[EXPENSE])}
    names = _Names.of(psa) if expenses else None
    with engine.begin() as connection:
        zones = canonical.time_zones(connection, scope.tenant)
        payloads = _payloads(connection, scope.tenant, read, requests, zones, complete=False)
        received = _receive(connection, scope, revisions.TIME_ENTRIES, payloads, arrived_by="webhook", now=now)
        bodies = _expense_payloads(
            connection, scope.tenant, expenses, requests, zones=zones, names=names, complete=False
        )
        return received + _receive(connection, scope, revisions.EXPENSES, bodies, arrived_by="webhook", now=now)


@dataclass(frozen=True, slots=True)
class _Read:
    """An entry as just read; None where the source has none of this id. `zone` is its owner's, if it was said."""

    entry_id: str
    user_id: str | None
    entry: Mapping[str, Any] | None
    zone: str | None = None


def _payloads(
    connection: Connection,
    tenant: str,
    read: Sequence[_Read],
    requests: Sequence[Mapping[str, Any]],
    zones: Mapping[str, str | None],
    *,
    complete: bool,
) -> dict[str, dict[str, Any]]:
    """Payloads of what was read, each with whichever approval is the latest known, `complete` or not.

    What is known is looked at under the lock of its writers: between a reading and its transaction another may have
    stored an approval.
    """
    inbox.lock(connection, tenant=tenant, source=CLOCKIFY)
    known = _latest_payloads(connection, tenant, [r.entry_id for r in read])
    by_entry = _by_entry(requests)
    payloads = {}
    for one in read:
        before = known.get(one.entry_id)
        if one.entry is not None and one.user_id is not None:
            payloads[one.entry_id] = time_entry_payload(
                one.entry,
                entry_id=one.entry_id,
                user_id=one.user_id,
                time_zone=zones.get(one.user_id) or one.zone,
                approval=_latest(latest_approval(by_entry.get(one.entry_id, ())), before, complete=complete),
            )
        elif before is not None:
            payloads[one.entry_id] = tombstone(before)
    return payloads


@dataclass(frozen=True, slots=True, kw_only=True)
class _Names:
    """What an expense itself only refers to: the names of categories, and the currency of the workspace."""

    categories: Mapping[str, str]
    currency: str

    @classmethod
    def of(cls, psa: ClockifyClient) -> "_Names":
        """Read them. What cannot be understood is left out; the expenses that need it become exception items."""
        categories, currency = psa.expense_categories(), ""
        with contextlib.suppress(MalformedRecordError):
            currency = workspace_currency(psa.workspace())
        named: dict[str, str] = {}
        for category in categories:
            with contextlib.suppress(MalformedRecordError):
                named |= category_names([category])
        return cls(categories=named, currency=currency)


def _expense_payloads(
    connection: Connection,
    tenant: str,
    read: Mapping[str, _Body],
    requests: Sequence[Mapping[str, Any]],
    *,
    zones: Mapping[str, str | None],
    names: _Names | None,
    complete: bool,
) -> dict[str, dict[str, Any]]:
    """Payloads of expenses as just read, None where the source has none of this id; approvals as for time entries."""
    if names is None:
        return {}
    known = inbox.latest(connection, tenant=tenant, source=CLOCKIFY, object_type=EXPENSE, object_ids=list(read))
    of_owner = {r["approvalRequest"]["owner"]["userId"]: r["approvalRequest"]["owner"] for r in requests}
    payloads = {}
    for expense_id, expense in read.items():
        before = known.get(expense_id)
        if expense is not None:
            mine = [r for r in requests if any(e["id"] == expense_id for e in r.get("expenses") or ())]
            owner = of_owner.get(expense["userId"], {})
            payloads[expense_id] = expense_payload(
                expense,
                time_zone=zones.get(expense["userId"]) or owner.get("timeZone"),
                currency=names.currency,
                categories=names.categories,
                approval=_latest(latest_expense_approval(mine, expense_id), before, complete=complete),
            )
        elif before is not None:
            payloads[expense_id] = tombstone(before)
    return payloads


def _expenses_in(requests: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The expenses of approval requests."""
    return [expense for request in requests for expense in request.get("expenses") or ()]


def _missing_expenses(engine: Engine, psa: ClockifyClient, tenant: str, seen: Collection[str]) -> dict[str, _Body]:
    """Expenses that were once seen and are not among those just seen, fetched one by one."""
    with engine.connect() as connection:
        known = inbox.latest(connection, tenant=tenant, source=CLOCKIFY, object_type=EXPENSE)
    return {i: psa.expense(i) for i, payload in known.items() if i not in seen and not payload["deleted"]}


def _listed_in(requests: Iterable[Mapping[str, Any]]) -> list[_Read]:
    """The entries of approval requests, each once."""
    found = {}
    for request in requests:
        owner = request["approvalRequest"]["owner"]
        for entry in request.get("entries") or ():
            found[entry["id"]] = _Read(entry["id"], owner["userId"], entry, owner.get("timeZone"))
    return list(found.values())


def _missing(engine: Engine, psa: ClockifyClient, tenant: str, seen: Collection[str]) -> list[_Read]:
    """Entries that were once seen and are not among those just seen, fetched one by one."""
    with engine.connect() as connection:
        known = _latest_payloads(connection, tenant)
    unseen = [(i, p["user_id"], psa.time_entry(i)) for i, p in known.items() if i not in seen and not p["deleted"]]
    return [_Read(entry_id, user_id, entry) for entry_id, user_id, entry in unseen]


def _zone(user: Mapping[str, Any]) -> str | None:
    settings = user.get("settings")
    return settings.get("timeZone") if isinstance(settings, Mapping) else None


def _receive(
    connection: Connection,
    scope: Scope,
    kind: revisions.Kind[Any],
    payloads: Mapping[str, Mapping[str, Any]],
    *,
    arrived_by: str,
    now: dt.datetime,
) -> Received:
    return revisions.receive(
        connection,
        kind,
        scope=scope,
        payloads=[inbox.Payload(object_id=i, body=body) for i, body in payloads.items()],
        arrived_by=arrived_by,
        now=now,
    )


def _latest_payloads(
    connection: Connection, tenant: str, entry_ids: Collection[str] | None = None
) -> dict[str, dict[str, Any]]:
    return inbox.latest(connection, tenant=tenant, source=CLOCKIFY, object_type=TIME_ENTRY, object_ids=entry_ids)


def _by_entry(requests: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    by_entry: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for request in requests:
        for entry in request.get("entries") or ():
            by_entry[entry["id"]].append(request)
    return by_entry


def _latest(
    read: Mapping[str, Any] | None, known: Mapping[str, Any] | None, *, complete: bool
) -> Mapping[str, Any] | None:
    """The latest approval: of those just read and, where not all were read, of the one kept before."""
    kept = known["approval"] if known and not complete else None
    return max((a for a in (read, kept) if a), key=lambda a: (a["updated_at"], a["request_id"]), default=None)
