"""What people do about exceptions: assign, note, raise, try again, resolve, write off; alone, or with a second person.

What belongs here: actions, each one transaction with its audit entry. What does not: what is shown
(`exception_cases`), and planning anew (`replay`).

Four eyes (docs/operations.md, work on exceptions): a new key, a write-off, and resolving by hand what is
ambiguous, in conflict, double or a bug are asked for by one person and done when another one approves.
"""

import datetime as dt
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping

from psa_erp_assets.adapters.store import erp_documents, work_heads
from psa_erp_assets.adapters.store import exception_work as rows
from psa_erp_assets.adapters.store.exception_work import ItemFilter
from psa_erp_assets.adapters.store.postings import PgPostingStore
from psa_erp_assets.domain.access import Actor, Permission
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.decision import Route
from psa_erp_assets.domain.exception_duties import FOUR_EYES, Priority
from psa_erp_assets.domain.posting import Leg, Posting, State
from psa_erp_assets.services import audit
from psa_erp_assets.services.deciding import head_id
from psa_erp_assets.services.exception_cases import (
    Request,
    Wanted,
    can_be_written_off,
    case_of,
    item_filter,
    request_of,
)
from psa_erp_assets.services.scope import Scope
from psa_erp_assets.services.trace import NotFoundError

MOST_ITEMS = 500
"""As many items as one action takes; a larger group takes several."""
_TEXT = 2_000
_RETRIED = (State.REJECTED, State.CONFLICT, State.DUPLICATE)
_IN_ERP = (State.VERIFIED, State.DRIFT)


class WorkRefusedError(Exception):
    """The action cannot be done as it was asked for; the message says why. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The items that an action is about: some by their ids, or a group as "code/cause"."""

    ids: tuple[int, ...] = ()
    group: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """An item that was left as it is, and why."""

    item_id: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What came of an action: the items that it was done to, those that it was not, and how many of the group are left.

    `request` is the id of the request where somebody else must approve first; nothing was done to the items then.
    """

    items: tuple[int, ...]
    refused: tuple[Refused, ...] = ()
    left: int = 0
    request: int | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """Who does something, when, and where: what every action takes."""

    engine: Engine
    scope: Scope
    actor: Actor
    now: dt.datetime


def assign(work: Work, chosen: Chosen, assignee: str | None) -> Done:
    """Give items to somebody, or with None to nobody. Raises WorkRefusedError, NotFoundError."""
    name = None if assignee is None else needed_text(assignee, "the name of whoever it is given to", 200)

    def do(connection: Connection, items: Sequence[RowMapping]) -> Done:
        rows.set_assignee(connection, _ids(items), name)
        record(connection, work, "exception.assigned", items, {"assignee": name or ""})
        return Done(items=_ids(items))

    return _act(work, chosen, do)


def note(work: Work, chosen: Chosen, body: str) -> Done:
    """Write a note to items. Raises WorkRefusedError for an empty one, NotFoundError."""
    text = needed_text(body, "a note")

    def do(connection: Connection, items: Sequence[RowMapping]) -> Done:
        rows.add_notes(connection, _ids(items), text, written_by=work.actor.id, now=work.now)
        record(connection, work, "exception.noted", items, {"note": text})
        return Done(items=_ids(items))

    return _act(work, chosen, do, resolved_too=True)


def prioritize(work: Work, chosen: Chosen, priority: Priority | None) -> Done:
    """Set how urgent items are; None leaves it to the rule. Raises WorkRefusedError, NotFoundError."""

    def do(connection: Connection, items: Sequence[RowMapping]) -> Done:
        rows.set_priority(connection, _ids(items), priority)
        record(connection, work, "exception.prioritized", items, {"priority": priority or "by rule"})
        return Done(items=_ids(items))

    return _act(work, chosen, do)


def retry(work: Work, chosen: Chosen, reason: str) -> Done:
    """Let the postings of items go on with the keys that they have.

    What was rejected is sent again; a conflict or duplicate is looked up again and never sent. Items without such a
    posting are refused with why. Raises WorkRefusedError where that is all of them, NotFoundError.
    """
    why = needed_text(reason, "a reason")

    def do(connection: Connection, items: Sequence[RowMapping]) -> Done:
        store = PgPostingStore(work.engine, work.scope.tenant)
        key_of = {item["id"]: item["evidence"].get("posting") for item in items}
        found = {
            p.key: p
            for p in store.of_objects({item["object_id"] for item in items}, connection=connection)
            if p.key in key_of.values()
        }
        keys = [key for key in key_of.values() if key in found]
        retried = store.retry(keys, work.now, f"{work.actor.id}: {why}", connection=connection) if keys else frozenset()
        refused = tuple(
            Refused(item_id=item_id, why=_why_not(found.get(key or "")))
            for item_id, key in key_of.items()
            if key not in retried
        )
        mine = [item for item in items if key_of[item["id"]] in retried]
        if not mine:
            raise WorkRefusedError(refused[0].why)
        record(connection, work, "exception.retried", mine, {"reason": why, "postings": sorted(retried)})
        return Done(items=_ids(mine), refused=refused)

    return _act(work, chosen, do)


def resolve(work: Work, chosen: Chosen, reason: str) -> Done:
    """Resolve items by hand; they open again when their cause has gone and comes back, or says something else.

    What is of a class of four eyes becomes a request. Raises WorkRefusedError where a group has both, NotFoundError.
    """
    why = needed_text(reason, "a reason")

    def do(connection: Connection, items: Sequence[RowMapping]) -> Done:
        second = {item["fault_class"] in FOUR_EYES for item in items}
        if second == {True, False}:
            raise WorkRefusedError("some of them need a second person and some do not: resolve them apart")
        if second == {True}:
            return _ask(
                connection, work, "resolve", items, reason=why, difference={"items": [_said(item) for item in items]}
            )
        rows.dismiss(connection, _ids(items), f"resolved by {work.actor.id}: {why}", work.now)
        record(connection, work, "exception.resolved", items, {"reason": why})
        return Done(items=_ids(items))

    return _act(work, chosen, do)


def ask_write_off(work: Work, chosen: Chosen, reason: str) -> Done:
    """Ask that the held billing of work be given up; somebody else approves it. Raises WorkRefusedError, NotFoundError.

    It is of the work's revision of now: what is changed or approved anew later is looked at anew.
    """
    why = needed_text(reason, "a reason")

    def do(connection: Connection, items: Sequence[RowMapping]) -> Done:
        mine = [item for item in items if can_be_written_off(case_of(item, work.scope.duties, work.now))]
        refused = tuple(
            Refused(item_id=item["id"], why="no billing of work is held by it, so that there is nothing to write off")
            for item in items
            if item not in mine
        )
        if not mine:
            raise WorkRefusedError(refused[0].why)
        revisions = rows.decided_revisions(connection, work.scope.tenant, {item["object_id"] for item in mine})
        difference = {"items": [_said(item) | {"revision": revisions.get(item["object_id"])} for item in mine]}
        asked = _ask(connection, work, "write_off", mine, reason=why, difference=difference)
        return Done(items=(), refused=refused, request=asked.request)

    return _act(work, chosen, do)


def ask_new_key(work: Work, chosen: Chosen, reason: str) -> Done:
    """Ask that what has gone from the ERP be posted again under a new key; somebody else approves it.

    Raises WorkRefusedError where the ERP still holds the document, or nothing has gone, NotFoundError.
    """
    why = needed_text(reason, "a reason")

    def do(connection: Connection, items: Sequence[RowMapping]) -> Done:
        gone = _gone(connection, work, items)
        difference = {"postings": [_posting_said(p) for p in gone]}
        return _ask(connection, work, "new_key", items, reason=why, difference=difference)

    return _act(work, chosen, do)


def decide(work: Work, request_id: int, *, approve: bool, note: str) -> Request:
    """Approve a request, which does it at once, or reject it; answers with what it is then.

    Four eyes: not whoever asked for it. Raises NotFoundError, and WorkRefusedError for them, for one that has been
    decided about, and where it cannot be done any more.
    """
    why = needed_text(note, "a note that says why")
    with work.engine.begin() as connection:
        request = load_request(connection, work, request_id)
        if request.state != "waiting":
            raise WorkRefusedError(f"request {request_id} is {request.state} already, by {request.ended_by}")
        if request.requested_by.casefold() == work.actor.id.casefold():
            raise WorkRefusedError(f"request {request_id} is your own: somebody else must decide about it")
        mine = work.actor.entities(Permission.APPROVE)
        if mine is not None and not (request.legal_entities and set(request.legal_entities) <= mine):
            raise WorkRefusedError(f"request {request_id} is about legal entities that you may not approve for")
        items = rows.items(connection, work.scope.tenant, ItemFilter(ids=request.item_ids), lock=True)
        result = _DO[request.kind](connection, work, request, items) if approve else {}
        rows.end_request(
            connection,
            request_id,
            state="done" if approve else "rejected",
            ended_by=work.actor.id,
            note=why,
            result=result,
            now=work.now,
        )
        record(
            connection,
            work,
            f"exception.{request.kind}_{'approved' if approve else 'rejected'}",
            items,
            {"request": request_id, "requested_by": request.requested_by, "note": why, "result": result},
        )
        return load_request(connection, work, request_id)


def load_request(connection: Connection, work: Work, request_id: int) -> Request:
    """A request, locked. Raises NotFoundError."""
    rows.lock_request(connection, work.scope.tenant, request_id)
    found = rows.requests(connection, work.scope.tenant, request_id=request_id)
    if not found:
        raise NotFoundError(f"there is no request {request_id}")
    return request_of(found[0])


def chosen_items(
    connection: Connection, work: Work, chosen: Chosen, *, resolved_too: bool = False
) -> tuple[Sequence[RowMapping], int]:
    """The items of a choice, locked, and how many of the group are left over.

    Raises NotFoundError where there are none that the actor may work on, WorkRefusedError for too many, and for an
    item that is resolved already.
    """
    tenant, entities = work.scope.tenant, work.actor.entities(Permission.OPERATE)
    if chosen.group is not None:
        wanted = replace(item_filter(work.scope, Wanted(group=chosen.group), None, work.now), only_entities=entities)
        items = rows.items(connection, tenant, wanted, limit=MOST_ITEMS, lock=True)
        if not items:
            raise NotFoundError(f"no open exception is in the group {chosen.group!r}")
        return items, rows.count(connection, tenant, wanted) - len(items)
    if len(chosen.ids) > MOST_ITEMS:
        raise WorkRefusedError(f"{len(chosen.ids)} items are more than the {MOST_ITEMS} that one action takes")
    items = rows.items(connection, tenant, ItemFilter(ids=chosen.ids, only_entities=entities), lock=True)
    missing = sorted(set(chosen.ids) - {item["id"] for item in items})
    if missing or not items:
        raise NotFoundError(f"no exception that you may work on has the number {missing[0] if missing else '?'}")
    resolved = [item["id"] for item in items if item["resolved_at"] is not None]
    if resolved and not resolved_too:
        raise WorkRefusedError(f"exception {resolved[0]} is resolved already")
    return items, 0


def mark_changed(connection: Connection, work: Work, items: Sequence[RowMapping]) -> int:
    """Have the objects of the items planned anew; answers with how many there are."""
    heads_of = {
        head_id(item["object_id"], ServiceMonth.parse(item["service_month"]), item["legal_entity"])
        for item in items
        if item["service_month"] is not None and item["legal_entity"] is not None
    }
    heads = work_heads.heads(connection, work.scope.tenant, heads_of)
    routes = {
        object_id: Route(head.legal_entity, ServiceMonth.parse(head.service_month), head.contract_id)
        for object_id, head in heads.items()
    }
    work_heads.mark_changed(connection, work.scope.tenant, routes, work.now)
    return len(routes)


def _act(
    work: Work,
    chosen: Chosen,
    do: Callable[[Connection, Sequence[RowMapping]], Done],
    *,
    resolved_too: bool = False,
) -> Done:
    with work.engine.begin() as connection:
        items, left = chosen_items(connection, work, chosen, resolved_too=resolved_too)
        done = do(connection, items)
        return Done(items=done.items, refused=done.refused, left=left, request=done.request)


def _ask(
    connection: Connection,
    work: Work,
    kind: str,
    items: Sequence[RowMapping],
    *,
    reason: str,
    difference: Mapping[str, Any],
) -> Done:
    waiting = rows.requests(connection, work.scope.tenant, waiting=True)
    ids = set(_ids(items))
    twice = next((r for r in waiting if r["kind"] == kind and ids & set(r["item_ids"])), None)
    if twice is not None:
        raise WorkRefusedError(f"request {twice['id']} by {twice['requested_by']} asks for the same and waits")
    request_id = rows.add_request(
        connection,
        work.scope.tenant,
        kind=kind,
        item_ids=_ids(items),
        legal_entities=_entities(items),
        reason=reason,
        difference=difference,
        requested_by=work.actor.id,
        now=work.now,
    )
    record(connection, work, f"exception.{kind}_asked", items, {"request": request_id, "reason": reason})
    return Done(items=(), request=request_id)


def _do_resolve(connection: Connection, work: Work, request: Request, items: Sequence[RowMapping]) -> dict[str, Any]:
    resolution = f"resolved by {request.requested_by}, approved by {work.actor.id}: {request.reason}"
    return {"resolved": rows.dismiss(connection, _ids(items), resolution, work.now)}


def _do_write_off(connection: Connection, work: Work, request: Request, items: Sequence[RowMapping]) -> dict[str, Any]:
    # What was shown is what is given up: a revision since then was not seen by anybody.
    shown = {said["object_id"]: said["revision"] for said in request.difference["items"]}
    now = rows.decided_revisions(connection, work.scope.tenant, shown.keys())
    changed = sorted(object_id for object_id, revision in shown.items() if now.get(object_id) != revision)
    if changed:
        raise WorkRefusedError(f"{changed[0]} has changed since the write-off was asked for: reject it and ask anew")
    number = rows.add_write_offs(
        connection,
        work.scope.tenant,
        shown,
        reason=request.reason,
        requested_by=request.requested_by,
        approved_by=work.actor.id,
        now=work.now,
    )
    return {"written_off": number, "planned_anew": mark_changed(connection, work, items)}


def _do_new_key(connection: Connection, work: Work, request: Request, items: Sequence[RowMapping]) -> dict[str, Any]:
    gone = {p.key for p in _gone(connection, work, items)}
    shown = {said["key"] for said in request.difference["postings"]}
    if not shown <= gone:
        raise WorkRefusedError("some of it is in the ERP again, or was posted anew meanwhile: reject the request")
    store = PgPostingStore(work.engine, work.scope.tenant)
    reason = f"gone from the ERP; {request.requested_by}: {request.reason}; approved by {work.actor.id}"
    ended = store.void(shown, work.now, reason, connection=connection)
    if ended != shown:
        raise WorkRefusedError("some of the postings have moved on meanwhile: reject the request")
    return {"ended": sorted(ended), "planned_anew": mark_changed(connection, work, items)}


_DO: Mapping[str, Callable[[Connection, Work, Request, Sequence[RowMapping]], dict[str, Any]]] = {
    "resolve": _do_resolve,
    "write_off": _do_write_off,
    "new_key": _do_new_key,
}


def _gone(connection: Connection, work: Work, items: Sequence[RowMapping]) -> list[Posting]:
    """The postings of the items whose document the ERP does not hold any more, as far as it was read.

    Raises WorkRefusedError where an item is about something else.
    """
    other = next((item for item in items if item["code"] != "document_missing"), None)
    if other is not None:
        raise WorkRefusedError("a new key is only for what has gone from the ERP: everything else keeps its key")
    store = PgPostingStore(work.engine, work.scope.tenant)
    keys = {item["evidence"].get("posting") for item in items}
    found = [
        p
        for p in store.of_objects({item["object_id"] for item in items}, connection=connection)
        if p.leg is Leg.ORIGINAL and p.state in _IN_ERP and (p.key in keys or keys == {None})
    ]
    there = {row.key for row in erp_documents.of_keys(connection, work.scope.tenant, [p.key for p in found])}
    gone = [p for p in found if p.key not in there]
    if not gone:
        raise WorkRefusedError(
            "the ERP held the document when it was last read, or its posting has ended: nothing to do"
        )
    return gone


def _why_not(posting: Posting | None) -> str:
    if posting is None:
        return "it is about no posting that could be tried again: correct the cause, or plan it anew by a replay"
    if posting.state in _RETRIED:
        return "its posting has moved on meanwhile"
    return (
        f"its posting is {posting.state.value}: only what was rejected is sent again, and only a conflict or duplicate"
        " is looked up again"
    )


def needed_text(text: str, what: str, most: int = _TEXT) -> str:
    """The text without spaces around it. Raises WorkRefusedError, which asks for `what`, where it is empty or long."""
    stripped = text.strip()
    if not stripped:
        raise WorkRefusedError(f"it needs {what}")
    if len(stripped) > most or "\x00" in stripped:
        raise WorkRefusedError(f"{what} may have {most} characters and no control characters")
    return stripped


def _ids(items: Sequence[RowMapping]) -> tuple[int, ...]:
    return tuple(item["id"] for item in items)


def _entities(items: Collection[RowMapping]) -> list[str]:
    return sorted({item["legal_entity"] for item in items if item["legal_entity"] is not None})


def _said(item: RowMapping) -> dict[str, Any]:
    """An item as a request shows it."""
    return {
        "item": item["id"],
        "object_id": item["object_id"],
        "detail": item["detail"],
        "minutes": item["minutes"],
        "amount": None if item["amount"] is None else str(item["amount"]),
        "currency": item["currency"],
    }


def _posting_said(posting: Posting) -> dict[str, Any]:
    return {
        "key": posting.key,
        "object_id": posting.object_id,
        "effect_type": posting.effect_type.value,
        "amount": str(posting.amount.amount),
        "currency": posting.amount.currency,
        "minutes": posting.minutes,
        "erp_company": posting.erp_company,
    }


def record(
    connection: Connection, work: Work, kind: str, items: Sequence[RowMapping], detail: Mapping[str, Any]
) -> None:
    """Append the audit entry of an action on items, in its transaction."""
    first = items[0] if items else None
    subject = f"exception:{first['id']}" if len(items) == 1 and first is not None else "exceptions"
    body = {**detail, "items": list(_ids(items)), "codes": sorted({item["code"] for item in items})}
    audit.record(
        connection, work.scope.tenant, kind=kind, subject=subject, actor=work.actor.id, detail=body, now=work.now
    )
