"""Exceptions as people work on them: by cause, with owner, priority and time limit, and the whole case of one.

What belongs here: what is shown. What does not: what is done about it (`exception_work`, `replay`).
"""

import datetime as dt
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import Connection, RowMapping

from psa_erp_assets.adapters.store import exception_work as rows
from psa_erp_assets.adapters.store.exception_work import ItemFilter
from psa_erp_assets.domain.exception_duties import FOUR_EYES, Duties, Priority
from psa_erp_assets.domain.faults import FAULTS, FaultClass, Owner
from psa_erp_assets.domain.money import Money
from psa_erp_assets.services.exception_items import ExceptionItem, next_step
from psa_erp_assets.services.scope import Scope
from psa_erp_assets.services.trace import NotFoundError, PostingStory, trace_posting

PAGE_SIZE = 100

# Which kind of mapping is missing, and where its id stands in the cause.
_MAPPED = {
    "unknown_employee": ("employee", re.compile(r"PSA user (\S+)")),
    "unknown_project": ("project", re.compile(r"PSA project (\S+)")),
    "project_not_in_erp": ("project", re.compile(r"^(?:no project of )?(\S+) has")),
    "customer_not_in_erp": ("customer", re.compile(r"customer (\S+)")),
    "unknown_contract": ("contract", re.compile(r"^(\S+) is")),
}
_POSTING_STATES = ("rejected", "conflict", "duplicate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which exceptions somebody asks for; what is left out narrows nothing. `group` is "code" or "code/cause".

    An empty `assignee` asks for those of nobody. `older_than` is their least age.
    """

    group: str | None = None
    fault_class: FaultClass | None = None
    owner: Owner | None = None
    legal_entity: str | None = None
    assignee: str | None = None
    older_than: dt.timedelta | None = None
    overdue: bool = False
    search: str | None = None
    resolved: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """An amount that is known to wait, and the largest part of it that one item is about."""

    amount: Decimal
    currency: str
    largest: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class CauseGroup:
    """Open items of one code and cause. `name` is what addresses the group; `owner` and `runbook` are by the settings.

    `priority` is that of its most urgent item, as far as the rule knows it. `mapping` is the address at which the
    mapping that is missing can be given, None where none is.
    """

    name: str
    code: str
    cause: str
    fault_class: str
    owner: Owner
    next_step: str
    runbook: str
    priority: Priority
    items: int
    overdue: int
    minutes: int
    amounts: tuple[Waiting, ...]
    oldest_at: dt.datetime
    due_at: dt.datetime
    legal_entities: tuple[str, ...]
    assignees: tuple[str, ...]
    unassigned: int
    mapping: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case(ExceptionItem):
    """An item with what follows from the settings: whose it is, by when it is due, and how urgent it is.

    `amount` is what is known to wait because of it. `priority_by_rule` is False where somebody has chosen it.
    """

    owner: Owner
    priority: Priority
    group: str
    runbook: str
    priority_by_rule: bool
    due_at: dt.datetime
    overdue: bool
    amount: Decimal | None
    currency: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What somebody wrote about an item."""

    id: int
    body: str
    written_by: str
    written_at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What somebody asked for. `state` is waiting, done or rejected; `difference` is what was shown before."""

    id: int
    kind: str
    item_ids: tuple[int, ...]
    legal_entities: tuple[str, ...]
    reason: str
    difference: Mapping[str, Any]
    requested_by: str
    requested_at: dt.datetime
    state: str
    ended_by: str | None
    ended_at: dt.datetime | None
    note: str | None
    result: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """What can be done about an item now. `needs_second` are those of them that a second person must approve."""

    retry: bool
    replay: bool
    new_key: bool
    write_off: bool
    resolve: bool
    needs_second: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseStory:
    """All that is known of an item. `posting` is the one that it is about, if it is about one."""

    case: Case
    notes: tuple[Note, ...]
    requests: tuple[Request, ...]
    posting: PostingStory | None
    ways: Ways
    mapping: str | None
    others: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Open items of which somebody may see, and what to narrow them by."""

    items: int
    overdue: int
    legal_entities: tuple[str, ...]
    assignees: tuple[str, ...]


def group_name(code: str, cause: str) -> str:
    """What addresses the items of a code and cause."""
    return f"{code}/{cause}"


def item_filter(scope: Scope, wanted: Wanted, entities: frozenset[str] | None, now: dt.datetime) -> ItemFilter:
    """What to look for in the store; `entities` are the legal entities that may be seen, None for all."""
    code, has_cause, cause = (wanted.group or "").partition("/")
    return ItemFilter(
        resolved=wanted.resolved,
        entities=entities,
        codes=None if wanted.owner is None else scope.duties.codes_of(wanted.owner),
        code=code or None,
        cause=cause if has_cause else None,
        fault_class=wanted.fault_class,
        legal_entity=wanted.legal_entity or None,
        assignee=wanted.assignee,
        seen_before=None if wanted.older_than is None else now - wanted.older_than,
        late=late_since(scope.duties, now) if wanted.overdue else None,
        search=wanted.search or None,
    )


def late_since(duties: Duties, now: dt.datetime) -> dict[str, dt.datetime]:
    """For each code the instant before which an item must have been seen first to be overdue now."""
    return {code: now - duties.of(code).within for code in FAULTS}


def list_groups(
    connection: Connection, scope: Scope, wanted: Wanted, *, entities: frozenset[str] | None, now: dt.datetime
) -> tuple[CauseGroup, ...]:
    """The groups of items that are asked for: the most urgent first, then the largest."""
    chosen = item_filter(scope, wanted, entities, now)
    amounts: dict[tuple[str, str], list[Waiting]] = defaultdict(list)
    for row in rows.group_amounts(connection, scope.tenant, chosen):
        amounts[row["code"], row["cause"]].append(
            Waiting(amount=row["amount"], currency=row["currency"], largest=row["largest"])
        )
    found = [
        _group(row, amounts[row["code"], row["cause"]], scope.duties)
        for row in rows.groups(connection, scope.tenant, chosen, late_since(scope.duties, now))
    ]
    return tuple(sorted(found, key=lambda g: (list(Priority).index(g.priority), -g.items, g.name)))


def list_cases(
    connection: Connection,
    scope: Scope,
    wanted: Wanted,
    *,
    entities: frozenset[str] | None,
    now: dt.datetime,
    limit: int | None = PAGE_SIZE,
    offset: int = 0,
) -> tuple[Case, ...]:
    """Items that are asked for: open ones oldest first, resolved ones latest first."""
    chosen = item_filter(scope, wanted, entities, now)
    return tuple(
        case_of(row, scope.duties, now)
        for row in rows.items(connection, scope.tenant, chosen, limit=limit, offset=offset)
    )


def count_cases(
    connection: Connection, scope: Scope, wanted: Wanted, *, entities: frozenset[str] | None, now: dt.datetime
) -> int:
    """How many items are asked for."""
    return rows.count(connection, scope.tenant, item_filter(scope, wanted, entities, now))


def totals(connection: Connection, scope: Scope, *, entities: frozenset[str] | None, now: dt.datetime) -> Totals:
    """How many open items there are and how many of them are overdue."""
    late = ItemFilter(entities=entities, late=late_since(scope.duties, now))
    facets = rows.facets(connection, scope.tenant, entities)
    return Totals(
        items=rows.count(connection, scope.tenant, ItemFilter(entities=entities)),
        overdue=rows.count(connection, scope.tenant, late),
        legal_entities=tuple(sorted({f["legal_entity"] for f in facets if f["legal_entity"]})),
        assignees=tuple(sorted({f["assignee"] for f in facets if f["assignee"]})),
    )


def case_story(
    connection: Connection, scope: Scope, item_id: int, *, entities: frozenset[str] | None, now: dt.datetime
) -> CaseStory:
    """All about one item, open or resolved. Raises NotFoundError for one that is not there or may not be seen."""
    found = rows.items(connection, scope.tenant, ItemFilter(ids=[item_id], entities=entities))
    if not found:
        raise NotFoundError(f"no exception has the number {item_id}")
    case = case_of(found[0], scope.duties, now)
    key = case.evidence.get("posting")
    posting = None
    if isinstance(key, str):
        try:
            posting = trace_posting(connection, scope.tenant, key)
        except NotFoundError:
            # What the item speaks of was never stored, such as a posting whose key was refused.
            posting = None
    group = Wanted(group=case.group)
    return CaseStory(
        case=case,
        notes=tuple(Note(**row) for row in rows.notes(connection, item_id)),
        requests=list_requests(connection, scope, item_id=item_id),
        posting=posting,
        ways=_ways(case, posting),
        mapping=mapping_address(case.code, case.cause),
        others=count_cases(connection, scope, group, entities=entities, now=now) - (case.resolved_at is None),
    )


def list_requests(
    connection: Connection, scope: Scope, *, item_id: int | None = None, waiting: bool = False, limit: int | None = None
) -> tuple[Request, ...]:
    """Requests about an item, or all, latest first; with `waiting` those that nobody has decided about."""
    found = rows.requests(connection, scope.tenant, item_id=item_id, waiting=waiting, limit=limit)
    return tuple(request_of(row) for row in found)


def request_of(row: RowMapping) -> Request:
    """A request as it is stored."""
    body = dict(row)
    body["item_ids"], body["legal_entities"] = tuple(row["item_ids"]), tuple(row["legal_entities"])
    return Request(**body)


def mapping_address(code: str, cause: str) -> str | None:
    """Where on the console the mapping can be given that is missing; None where it is none that is missing."""
    if code not in _MAPPED:
        return None
    object_type, pattern = _MAPPED[code]
    found = pattern.search(cause)
    return f"/mappings?{urlencode({'type': object_type, 'q': found[1] if found else ''})}"


_BY_DUTY = ("owner", "priority")


def case_of(row: RowMapping, duties: Duties, now: dt.datetime) -> Case:
    """An item as it is stored, with what follows from the duties."""
    own = {name: row[name] for name in ExceptionItem.__annotations__ if name in row and name not in _BY_DUTY}
    duty = duties.of(row["code"])
    due_at = row["first_seen_at"] + duty.within
    overdue = row["resolved_at"] is None and due_at < now
    known = row["amount"] is not None and row["currency"] is not None
    by_rule = duties.priority(
        row["fault_class"],
        minutes=row["minutes"],
        amount=Money(row["amount"], row["currency"]) if known else None,
        overdue=overdue,
    )
    return Case(
        **own,
        next_step=next_step(row["code"]),
        group=group_name(row["code"], row["cause"]),
        owner=duty.owner,
        runbook=duty.runbook,
        priority=Priority(row["priority"]) if row["priority"] else by_rule,
        priority_by_rule=row["priority"] is None,
        due_at=due_at,
        overdue=overdue,
        amount=row["amount"] if known else None,
        currency=row["currency"] if known else None,
    )


def _group(row: RowMapping, amounts: Sequence[Waiting], duties: Duties) -> CauseGroup:
    duty = duties.of(row["code"])
    largest: list[Money | None] = [Money(w.largest, w.currency) for w in amounts]
    rules = [
        duties.priority(row["fault_class"], minutes=row["minutes"], amount=amount, overdue=row["overdue"] > 0)
        for amount in largest or [None]
    ]
    levels = list(Priority)
    return CauseGroup(
        name=group_name(row["code"], row["cause"]),
        code=row["code"],
        cause=row["cause"],
        fault_class=row["fault_class"],
        owner=duty.owner,
        next_step=next_step(row["code"]),
        runbook=duty.runbook,
        priority=min([*rules, *map(Priority, row["priorities"])], key=levels.index),
        items=row["items"],
        overdue=row["overdue"],
        minutes=row["minutes"],
        amounts=tuple(amounts),
        oldest_at=row["oldest_at"],
        due_at=row["oldest_at"] + duty.within,
        legal_entities=tuple(row["legal_entities"]),
        assignees=tuple(row["assignees"]),
        unassigned=row["unassigned"],
        mapping=mapping_address(row["code"], row["cause"]),
    )


def can_be_written_off(item: ExceptionItem) -> bool:
    """Whether it holds the billing of work that could be given up."""
    return item.resolved_at is None and "billing_line" in item.evidence.get("holds", ())


def _ways(item: ExceptionItem, posting: PostingStory | None) -> Ways:
    is_open, second = item.resolved_at is None, item.fault_class in FOUR_EYES
    return Ways(
        retry=is_open and posting is not None and posting.state in _POSTING_STATES,
        replay=is_open and item.legal_entity is not None and item.service_month is not None,
        new_key=is_open and item.code == "document_missing",
        write_off=can_be_written_off(item),
        resolve=is_open,
        needs_second=("new_key", "write_off", "resolve") if second else ("new_key", "write_off"),
    )
