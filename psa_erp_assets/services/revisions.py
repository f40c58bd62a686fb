"""From fetched payloads to canonical revisions of time entries, expenses and milestones.

A payload that cannot be understood stays in the inbox and becomes an exception item; the others go on. A revision is a
change of the canonical facts, not of the payload.
"""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection

from psa_erp_assets.adapters.connectors.clockify.canonical import STATES as CLOCKIFY_STATES
from psa_erp_assets.adapters.connectors.clockify.canonical import expense_facts, time_entry_facts
from psa_erp_assets.adapters.connectors.kantata.canonical import STATES as KANTATA_STATES
from psa_erp_assets.adapters.connectors.kantata.canonical import milestone_facts
from psa_erp_assets.adapters.store import exceptions, inbox
from psa_erp_assets.domain.facts import ExpenseFacts, MilestoneFacts, TimeEntryFacts
from psa_erp_assets.domain.malformed import MalformedRecordError
from psa_erp_assets.domain.records import ApprovalState, Expense, Milestone, TimeEntry, WorkItem
from psa_erp_assets.services import billable_work_items
from psa_erp_assets.services.billable_work_items import Change, create_billable_work_items, following
from psa_erp_assets.services.scope import Scope

CLOCKIFY, KANTATA = "clockify", "kantata"
TIME_ENTRY, EXPENSE, MILESTONE = "time_entry", "expense", "milestone"

_F = TypeVar("_F", TimeEntryFacts, ExpenseFacts, MilestoneFacts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """What became of a batch of payloads. `revised` are the ids of objects that have a new revision."""

    fetched: int
    new_versions: int
    revised: tuple[str, ...]
    malformed: int

    def __add__(self, other: "Received") -> "Received":
        return Received(
            fetched=self.fetched + other.fetched,
            new_versions=self.new_versions + other.new_versions,
            revised=self.revised + other.revised,
            malformed=self.malformed + other.malformed,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind(Generic[_F]):
    """A kind of work: where it comes from, how its payloads are understood, and what the facts say as a record.

    `understand` is also given what the source's approval states mean, None for what its connector ships with.
    `as_record` makes revision 1 of what the facts say, or None of an object that was deleted unread.
    """

    source: str
    object_type: str
    understand: Callable[[Mapping[str, Any], Mapping[str, ApprovalState] | None], _F]
    as_record: Callable[[_F, int], WorkItem | None]


def receive(
    connection: Connection,
    kind: Kind[_F],
    *,
    scope: Scope,
    payloads: Sequence[inbox.Payload],
    arrived_by: str,
    now: dt.datetime,
) -> Received:
    """Keep the payloads, and give each object whose canonical facts have changed a new revision."""
    tenant = scope.tenant
    stored = inbox.record(
        connection,
        tenant=tenant,
        source=kind.source,
        object_type=kind.object_type,
        payloads=payloads,
        arrived_by=arrived_by,
        now=now,
    )
    states = scope.approval_states.get(kind.object_type)
    facts: list[tuple[_F, int]] = []
    malformed: list[exceptions.Sighting] = []
    for payload in stored:
        try:
            facts.append((kind.understand(payload.body, states), payload.inbox_id))
        except MalformedRecordError as error:
            malformed.append(
                exceptions.Sighting(
                    code="malformed_record",
                    object_id=f"{kind.object_type}:{kind.source}:{payload.object_id}",
                    detail=error.reason,
                    evidence={"inbox_id": payload.inbox_id},
                )
            )
    known = billable_work_items.current(connection, tenant, [f.id for f, _ in facts])
    said = (_next_revision(known.get(f.id), f, kind.as_record(f, inbox_id), inbox_id) for f, inbox_id in facts)
    entered = create_billable_work_items(connection, scope, [i for i in said if i is not None], now, known=known)
    exceptions.open_or_touch(connection, tenant, "canonical", malformed, now)
    seen = [(s.code, s.object_id) for s in malformed]
    exceptions.resolve_absent(connection, tenant, "canonical", seen, now, looked_at=[f.id for f, _ in facts])
    return Received(
        fetched=len(payloads),
        new_versions=len(stored),
        revised=tuple(e.item.id for e in entered if e.change in (Change.NEW, Change.REVISED)),
        malformed=len(malformed),
    )


def _next_revision(known: WorkItem | None, facts: _F, said: WorkItem | None, inbox_id: int) -> WorkItem | None:
    """What `facts` say of an object, numbered; None of what was deleted unread."""
    if said is None:
        # Deleted before its content was read: it keeps what it last had, and without that has no effects to undo.
        if known is None:
            return None
        said = replace(known, state=facts.state, payload_id=inbox_id)
    return following(known, said)


def _time_entry(facts: TimeEntryFacts, inbox_id: int) -> TimeEntry | None:
    if facts.service_date is None or facts.started_at is None or facts.time_zone is None:
        return None
    return TimeEntry(
        id=facts.id,
        revision=1,
        state=facts.state,
        psa_user_id=facts.psa_user_id,
        psa_project_id=facts.psa_project_id,
        service_date=facts.service_date,
        minutes=facts.minutes,
        billable=facts.billable,
        description=facts.description,
        started_at=facts.started_at,
        time_zone=facts.time_zone,
        payload_id=inbox_id,
        task=facts.task,
        work_types=facts.work_types,
    )


def _expense(facts: ExpenseFacts, inbox_id: int) -> Expense | None:
    if facts.service_date is None or facts.category is None or facts.receipt is None or facts.reimbursement is None:
        return None
    return Expense(
        id=facts.id,
        revision=1,
        state=facts.state,
        psa_user_id=facts.psa_user_id,
        psa_project_id=facts.psa_project_id,
        service_date=facts.service_date,
        category=facts.category,
        receipt=facts.receipt,
        reimbursement=facts.reimbursement,
        billable=facts.billable,
        description=facts.description,
        payload_id=inbox_id,
    )


def _milestone(facts: MilestoneFacts, inbox_id: int) -> Milestone | None:
    if facts.contract_code is None or facts.component is None or facts.service_date is None or facts.amount is None:
        return None
    return Milestone(
        id=facts.id,
        revision=1,
        state=facts.state,
        contract_id=facts.contract_code,
        component=facts.component,
        service_date=facts.service_date,
        amount=facts.amount,
        label=facts.label,
        payload_id=inbox_id,
    )


TIME_ENTRIES: Kind[TimeEntryFacts] = Kind(
    source=CLOCKIFY,
    object_type=TIME_ENTRY,
    understand=lambda body, states: time_entry_facts(body, states or CLOCKIFY_STATES),
    as_record=_time_entry,
)
EXPENSES: Kind[ExpenseFacts] = Kind(
    source=CLOCKIFY,
    object_type=EXPENSE,
    understand=lambda body, states: expense_facts(body, states or CLOCKIFY_STATES),
    as_record=_expense,
)
MILESTONES: Kind[MilestoneFacts] = Kind(
    source=KANTATA,
    object_type=MILESTONE,
    understand=lambda body, states: milestone_facts(
        body["story"], {body["story"]["workspace_id"]: body["workspace"]}, states or KANTATA_STATES
    ),
    as_record=_milestone,
)
