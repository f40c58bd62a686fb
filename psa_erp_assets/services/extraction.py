"""Reading the PSA: what a webhook pointed at, what changed lately, and everything (the sweep that finds deletes).

All network reads come first and the one transaction after them, so that no transaction is open across a call, and a
read that fails leaves everything as it was.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Engine

from psa_erp_assets.adapters.connectors.clockify.canonical import latest_approval, time_entry_payload, tombstone
from psa_erp_assets.adapters.connectors.clockify.client import ClockifyClient
from psa_erp_assets.adapters.connectors.clockify.hints import Hint
from psa_erp_assets.adapters.store import cursors, inbox
from psa_erp_assets.services import canonical
from psa_erp_assets.services.canonical import CLOCKIFY, TIME_ENTRY, Received
from psa_erp_assets.services.scope import Scope

_SWEEP = "approval_requests"


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

    With `find_deleted` every entry that was once seen, should be in the window and is not there any more is fetched
    by its id: a list that lacks it proves nothing. Raises a SourceError; nothing is stored then.
    """
    with engine.connect() as connection:
        known = _latest_payloads(connection, scope.tenant)
    users = psa.users()
    approvals = _by_entry(psa.approval_requests(updated_since=approvals_since))
    payloads: dict[str, dict[str, Any]] = {}
    for user in users:
        zone = (user.get("settings") or {}).get("timeZone")
        for entry in psa.time_entries(user["id"], since, now + dt.timedelta(days=366)):
            requests = approvals.get(entry["id"], [])
            payloads[entry["id"]] = time_entry_payload(
                entry,
                entry_id=entry["id"],
                user_id=user["id"],
                time_zone=zone,
                approval=_approval(requests, known.get(entry["id"]), complete=approvals_since is None),
            )
    if find_deleted:
        missing = {i: p for i, p in known.items() if i not in payloads and not p["deleted"]}
        payloads |= {i: tombstone(p) for i, p in missing.items() if psa.time_entry(i) is None}
    arrived_by = "key_sweep" if find_deleted else "sweep"
    with engine.begin() as connection:
        received = _receive(connection, scope, payloads, arrived_by, now)
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
    with engine.connect() as connection:
        zones = canonical.time_zones(connection, scope.tenant)
        known = _latest_payloads(connection, scope.tenant, wanted[TIME_ENTRY])
    payloads: dict[str, dict[str, Any]] = {}
    for entry_id in sorted(wanted[TIME_ENTRY]):
        entry, before = psa.time_entry(entry_id), known.get(entry_id)
        if entry is not None:
            payloads[entry_id] = time_entry_payload(
                entry,
                entry_id=entry_id,
                user_id=entry["userId"],
                time_zone=zones.get(entry["userId"]),
                approval=before["approval"] if before else None,
            )
        elif before is not None:
            payloads[entry_id] = tombstone(before)
    requests = [psa.approval_request(request_id) for request_id in sorted(wanted["approval_request"])]
    with engine.begin() as connection:
        payloads |= _of_requests(connection, scope.tenant, [r for r in requests if r is not None], zones)
        return _receive(connection, scope, payloads, "webhook", now)


def _of_requests(
    connection: Connection, tenant: str, requests: Sequence[Mapping[str, Any]], zones: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """Payloads of the entries in approval requests, with whichever approval of each is the latest known."""
    by_entry = _by_entry(requests)
    known = _latest_payloads(connection, tenant, by_entry.keys())
    payloads = {}
    for request in requests:
        owner = request["approvalRequest"]["owner"]["userId"]
        for entry in request["entries"]:
            payloads[entry["id"]] = time_entry_payload(
                entry,
                entry_id=entry["id"],
                user_id=owner,
                time_zone=zones.get(owner) or request["approvalRequest"]["owner"].get("timeZone"),
                approval=_approval(by_entry[entry["id"]], known.get(entry["id"]), complete=False),
            )
    return payloads


def _receive(
    connection: Connection, scope: Scope, payloads: Mapping[str, Mapping[str, Any]], arrived_by: str, now: dt.datetime
) -> Received:
    return canonical.receive_time_entries(
        connection,
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


def _approval(
    requests: Sequence[Mapping[str, Any]], known: Mapping[str, Any] | None, *, complete: bool
) -> Mapping[str, Any] | None:
    """The latest approval of an entry: of those just read, and, where not all were read, of the one kept before."""
    read = latest_approval(requests)
    kept = known["approval"] if known and not complete else None
    return max((a for a in (read, kept) if a), key=lambda a: (a["updated_at"], a["request_id"]), default=None)
