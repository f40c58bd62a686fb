"""A steward's decisions about mappings: accept, reject, split, merge, and undo by a new decision.

What belongs here: who may decide, what a decision changes, and the work that becomes due by it. What does not: what is
proposed (`mapping_proposals`), and what a decision would do to the plan (`mapping_effect`, which runs these same
changes and takes them back).
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping

from psa_erp_assets.adapters.store import mapping_proposals as proposal_rows
from psa_erp_assets.adapters.store import mapping_stories
from psa_erp_assets.adapters.store.mapping_proposals import ACCEPTED, PROPOSED, REJECTED, SUPERSEDED
from psa_erp_assets.adapters.store.mapping_stories import MERGE, SPLIT
from psa_erp_assets.domain.access import Actor, Permission
from psa_erp_assets.domain.links import (
    CANONICAL,
    LINK_KINDS,
    MERGEABLE,
    Link,
    LinkKind,
    LinkType,
    NewSpan,
    Span,
    change_of,
    overlaps,
)
from psa_erp_assets.services import audit, mapping_matching, mapping_sources, mapping_upkeep, touching
from psa_erp_assets.services.mapping_proposals import (
    MATCHER,
    MappingNotFoundError,
    MappingRefusedError,
    exact_keys,
    get,
    places,
)
from psa_erp_assets.services.mapping_sources import SourceRecords
from psa_erp_assets.services.master_data import rebuild_bill_rates
from psa_erp_assets.services.scope import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a decision would have: these source ids stand for a canonical id from a day to a day (None: for good)."""

    object_type: str
    system: str
    source_ids: tuple[str, ...]
    canonical_id: str
    valid_from: dt.date
    valid_to: dt.date | None = None
    method: str = SPLIT


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A decision that was made: its id, and how much work it has made due."""

    decision_id: int
    touched: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PastDecision:
    """A decision on record. `undone_by` is the id of the one that undoes it."""

    id: int
    kind: str
    object_type: str
    system: str
    source_ids: Sequence[str]
    canonical_id: str | None
    valid_from: dt.date | None
    valid_to: dt.date | None
    reason: str
    proposal_id: int | None
    undoes: int | None
    undone_by: int | None
    decided_by: str
    decided_at: dt.datetime


def accept(
    engine: Engine,
    scope: Scope,
    proposal_id: int,
    *,
    actor: Actor,
    valid_from: dt.date,
    valid_to: dt.date | None = None,
    reason: str,
    now: dt.datetime,
) -> Outcome:
    """Accept a proposal from a day on. Work that waited for it becomes due, as after a refresh.

    One steward is enough for what the matcher proposes; what a person has proposed another one must accept. Raises
    MappingNotFoundError, or MappingRefusedError with what is wrong.
    """
    why = _reason(reason)
    with engine.begin() as connection:
        mapping_stories.lock(connection, scope.tenant)
        proposal = _open_proposal(connection, scope, proposal_id, actor)
        wish = wish_of(connection, scope.tenant, proposal_id, valid_from=valid_from, valid_to=valid_to)
        decision_id = carry_out(
            connection,
            scope,
            wish,
            record={"kind": "accept", "reason": why, "proposal_id": proposal_id, "decided_by": actor.id},
            now=now,
        )
        proposal_rows.close(connection, [proposal_id], ACCEPTED, decided_by=actor.id, why=why, now=now)
        others = [
            row["id"]
            for row in proposal_rows.of_state(connection, scope.tenant, [PROPOSED])
            if (row["object_type"], row["system"]) == (proposal["object_type"], proposal["system"])
            and (
                row["source_id"] == proposal["source_id"]
                or (wish_kind(wish).one_source and row["canonical_id"] == proposal["canonical_id"])
            )
        ]
        proposal_rows.close(
            connection, others, SUPERSEDED, decided_by=actor.id, why=f"proposal {proposal_id} was accepted", now=now
        )
        touched = _follow_up(connection, scope, wish.object_type, now)
        _log(connection, scope, decision_id, what="accepted", actor=actor, reason=why, now=now, wish=wish)
    return Outcome(decision_id=decision_id, touched=touched)


def reject(engine: Engine, scope: Scope, proposal_id: int, *, actor: Actor, reason: str, now: dt.datetime) -> Outcome:
    """Reject a proposal; the matcher does not make it again. Raises as `accept`."""
    why = _reason(reason)
    with engine.begin() as connection:
        mapping_stories.lock(connection, scope.tenant)
        proposal = _open_proposal(connection, scope, proposal_id, actor)
        decision_id = mapping_stories.record_decision(
            connection,
            {
                "tenant": scope.tenant,
                "kind": "reject",
                "object_type": proposal["object_type"],
                "system": proposal["system"],
                "source_ids": [proposal["source_id"]],
                "canonical_id": proposal["canonical_id"],
                "reason": why,
                "proposal_id": proposal_id,
                "before": {},
                "decided_by": actor.id,
                "decided_at": now,
            },
        )
        proposal_rows.close(connection, [proposal_id], REJECTED, decided_by=actor.id, why=why, now=now)
        _log(connection, scope, decision_id, what="rejected", actor=actor, reason=why, now=now)
    return Outcome(decision_id=decision_id, touched=0)


def split(engine: Engine, scope: Scope, wish: Wish, *, actor: Actor, reason: str, now: dt.datetime) -> Outcome:
    """Let source ids stand for another canonical id from a day on, whatever their exact key says.

    What they stood for until then stays, and so does what was posted for it. Raises MappingRefusedError.
    """
    return _decide(engine, scope, wish, kind=SPLIT, actor=actor, reason=reason, now=now)


def merge(engine: Engine, scope: Scope, wish: Wish, *, actor: Actor, reason: str, now: dt.datetime) -> Outcome:
    """Let one canonical id take the place of others from a day on. Raises MappingRefusedError."""
    return _decide(engine, scope, wish, kind=MERGE, actor=actor, reason=reason, now=now)


def undo(engine: Engine, scope: Scope, decision_id: int, *, actor: Actor, reason: str, now: dt.datetime) -> Outcome:
    """Bring back what held before a decision, by a new one. Nothing is deleted.

    Raises MappingNotFoundError, or MappingRefusedError: what came later on the same records has to be undone first.
    """
    why = _reason(reason)
    with engine.begin() as connection:
        mapping_stories.lock(connection, scope.tenant)
        decision = mapping_stories.decision(connection, scope.tenant, decision_id)
        if decision is None:
            raise MappingNotFoundError(f"there is no decision {decision_id}")
        object_type, system, source_ids = decision["object_type"], decision["system"], decision["source_ids"]
        _check_steward(scope, actor, object_type)
        if decision["kind"] == "reject":
            raise MappingRefusedError("a rejection maps nothing; propose the mapping by hand instead")
        last = mapping_stories.last_decision_on(connection, scope.tenant, object_type, system, source_ids)
        if last != decision_id:
            raise MappingRefusedError(f"decision {last} came later and concerns the same records; undo that one first")
        stories = mapping_stories.stories(connection, scope.tenant, object_type, system, source_ids)
        before: Mapping[str, Any] = decision["before"]
        undoing = mapping_stories.record_decision(
            connection,
            {
                "tenant": scope.tenant,
                "kind": "undo",
                "object_type": object_type,
                "system": system,
                "source_ids": source_ids,
                "canonical_id": decision["canonical_id"],
                "valid_from": decision["valid_from"],
                "valid_to": decision["valid_to"],
                "reason": why,
                "undoes": decision_id,
                "before": _told(stories),
                "decided_by": actor.id,
                "decided_at": now,
            },
        )
        for source_id in source_ids:
            identity = (object_type, system, source_id)
            cleared = change_of(stories.get(source_id, ()), None, first=dt.date.min + dt.timedelta(days=1), last=None)
            mapping_stories.change(
                connection, scope.tenant, identity=identity, change=cleared, decision_id=undoing, now=now
            )
            for told in before.get(source_id, ()):
                old = _span_of(told)
                again = change_of((), old, first=old.valid_from, last=old.valid_to)
                mapping_stories.change(
                    connection, scope.tenant, identity=identity, change=again, decision_id=undoing, now=now
                )
        touched = _follow_up(connection, scope, object_type, now)
        _log(connection, scope, undoing, what="undone", actor=actor, reason=why, now=now)
    return Outcome(decision_id=undoing, touched=touched)


def past_decisions(connection: Connection, tenant: str, *, limit: int = 200) -> tuple[PastDecision, ...]:
    """The latest decisions first."""
    rows = mapping_stories.decisions(connection, tenant, limit=limit)
    return tuple(PastDecision(**{n: row[n] for n in row if n not in ("tenant", "before")}) for row in rows)


def wish_of(
    connection: Connection, tenant: str, proposal_id: int, *, valid_from: dt.date, valid_to: dt.date | None
) -> Wish:
    """What a proposal would have if it were accepted for these days. Raises MappingNotFoundError."""
    proposal = get(connection, tenant, proposal_id)
    return Wish(
        object_type=proposal.object_type,
        system=proposal.system,
        source_ids=(proposal.source_id,),
        canonical_id=proposal.canonical_id,
        valid_from=valid_from,
        valid_to=valid_to,
        method=proposal.method,
    )


def wish_kind(wish: Wish) -> LinkKind:
    """The kind of link that a wish which is no merge is about. Raises MappingRefusedError for one that there is not."""
    kind = LINK_KINDS.get((wish.object_type, wish.system))
    if kind is None:
        known = ", ".join(f"{a} in {b}" for a, b in LINK_KINDS)
        raise MappingRefusedError(f"no {wish.object_type!r} is mapped in {wish.system!r}; there are: {known}")
    return kind


def carry_out(connection: Connection, scope: Scope, wish: Wish, *, record: Mapping[str, Any], now: dt.datetime) -> int:
    """Check a wish and make it so, in the caller's transaction; answers with the decision's id.

    Raises MappingRefusedError with what is wrong, and changes nothing then.
    """
    if wish.valid_to is not None and wish.valid_to < wish.valid_from:
        raise MappingRefusedError("the last day is before the first; both are included")
    if not wish.source_ids:
        raise MappingRefusedError("name at least one id")
    if wish.system == CANONICAL:
        _check_merge(connection, scope, wish)
    else:
        _check_link(connection, scope, wish)
    stories = mapping_stories.stories(connection, scope.tenant, wish.object_type, wish.system, wish.source_ids)
    decision_id = mapping_stories.record_decision(
        connection,
        {
            "tenant": scope.tenant,
            "object_type": wish.object_type,
            "system": wish.system,
            "source_ids": list(wish.source_ids),
            "canonical_id": wish.canonical_id,
            "valid_from": wish.valid_from,
            "valid_to": wish.valid_to,
            "before": _told(stories),
            "decided_at": now,
            **record,
        },
    )
    new = NewSpan(
        canonical_id=wish.canonical_id, valid_from=wish.valid_from, valid_to=wish.valid_to, method=wish.method
    )
    for source_id in wish.source_ids:
        mapping_stories.change(
            connection,
            scope.tenant,
            identity=(wish.object_type, wish.system, source_id),
            change=change_of(stories.get(source_id, ()), new, first=wish.valid_from, last=wish.valid_to),
            decision_id=decision_id,
            now=now,
        )
    if wish.object_type == LinkType.EMPLOYEE:
        rebuild_bill_rates(connection, scope.tenant, scope.first_day, now)
    return decision_id


def _decide(
    engine: Engine, scope: Scope, wish: Wish, *, kind: str, actor: Actor, reason: str, now: dt.datetime
) -> Outcome:
    why = _reason(reason)
    with engine.begin() as connection:
        mapping_stories.lock(connection, scope.tenant)
        _check_steward(scope, actor, wish.object_type)
        record = {"kind": kind, "reason": why, "decided_by": actor.id}
        decision_id = carry_out(connection, scope, wish, record=record, now=now)
        touched = _follow_up(connection, scope, wish.object_type, now)
        what = "split" if kind == SPLIT else "merged"
        _log(connection, scope, decision_id, what=what, actor=actor, reason=why, now=now, wish=wish)
    return Outcome(decision_id=decision_id, touched=touched)


def _follow_up(connection: Connection, scope: Scope, object_type: str, now: dt.datetime) -> int:
    """As after a refresh: lists are brought up to date, and work that is now decided otherwise becomes due."""
    if object_type == LinkType.EMPLOYEE:
        rebuild_bill_rates(connection, scope.tenant, scope.first_day, now)
    mapping_upkeep.upkeep(connection, scope, now)
    return touching.mark_touched(connection, scope, now)


def _open_proposal(connection: Connection, scope: Scope, proposal_id: int, actor: Actor) -> RowMapping:
    row = proposal_rows.load(connection, scope.tenant, proposal_id, lock=True)
    if row is None:
        raise MappingNotFoundError(f"there is no proposal {proposal_id}")
    _check_steward(scope, actor, row["object_type"])
    if row["state"] != PROPOSED:
        raise MappingRefusedError(f"proposal {proposal_id} is {row['state']} already")
    if row["proposed_by"] != MATCHER and row["proposed_by"].casefold() == actor.id.casefold():
        raise MappingRefusedError(f"{actor.name} has proposed it: somebody else must decide")
    return row


def _check_steward(scope: Scope, actor: Actor, object_type: str) -> None:
    if not actor.may(Permission.STEWARD):
        raise MappingRefusedError("deciding about mappings is for stewards")
    if not scope.governance.may_decide(object_type, actor.id):
        who = ", ".join(sorted(scope.governance.stewards[object_type]))
        raise MappingRefusedError(f"mappings of this kind ({object_type}) are decided by {who} (ownership.yaml)")


def _check_link(connection: Connection, scope: Scope, wish: Wish) -> None:
    kind = wish_kind(wish)
    records = mapping_sources.load(connection, scope)
    sources, canonicals = mapping_matching.named(records, kind)
    unknown = [i for i in wish.source_ids if i not in sources]
    if unknown:
        raise MappingRefusedError(f"no {kind.source} {', '.join(unknown)} was there when the systems were last read")
    if wish.canonical_id not in canonicals:
        raise MappingRefusedError(f"no {kind.canonical} {wish.canonical_id!r} is known")
    exact = exact_keys(records, kind)
    if wish.method != SPLIT:
        says = {i: exact[i] for i in wish.source_ids if i in exact}
        if says:
            told = ", ".join(f"{i} is {c}" for i, c in sorted(says.items()))
            raise MappingRefusedError(f"the exact key says otherwise: {told}. Split it off from a day on instead")
    if kind.one_source and wish.method == SPLIT:
        raise MappingRefusedError(f"{kind.source} and {kind.canonical} are one to one: merge or map them instead")
    if kind.one_source:
        _check_claims(records, kind, wish, exact)


def _check_claims(records: SourceRecords, kind: LinkKind, wish: Wish, exact: Mapping[str, str]) -> None:
    place = places(records)
    for source_id in wish.source_ids:
        mine = Link(
            object_type=wish.object_type,
            system=wish.system,
            source_id=source_id,
            canonical_id=wish.canonical_id,
            valid_from=wish.valid_from,
            valid_to=wish.valid_to,
        )
        others = {i for i, c in exact.items() if c == wish.canonical_id and i != source_id}
        others |= {
            link.source_id
            for link in records.master.links
            if (link.object_type, link.system, link.canonical_id) == (kind.object_type, kind.system, wish.canonical_id)
            and link.source_id != source_id
            and overlaps(link, mine)
        }
        others = {i for i in others | set(wish.source_ids) - {source_id} if place.get(i) == place.get(source_id)}
        if others:
            named = ", ".join(sorted(others))
            detail = f"{kind.canonical} {wish.canonical_id} has the {kind.source} {named} on these days"
            raise MappingRefusedError(f"{detail}, and can have one only")


def _check_merge(connection: Connection, scope: Scope, wish: Wish) -> None:
    if wish.object_type not in MERGEABLE:
        raise MappingRefusedError(f"what can be merged is {', '.join(MERGEABLE)}; contracts are amended in the CRM")
    records = mapping_sources.load(connection, scope)
    master = records.master
    known = {
        LinkType.EMPLOYEE: {e.id for e in master.employees},
        LinkType.PROJECT: {p.id for p in master.projects},
        LinkType.CUSTOMER: {c.id for c in master.customers},
    }[LinkType(wish.object_type)]
    unknown = sorted({wish.canonical_id, *wish.source_ids} - known)
    if unknown:
        raise MappingRefusedError(f"no {wish.object_type} {', '.join(unknown)} is known")
    follows = {
        link.source_id: link.canonical_id
        for link in master.links
        if (link.object_type, link.system) == (wish.object_type, CANONICAL)
    }
    end, seen = wish.canonical_id, set[str]()
    while end in follows and end not in seen:
        seen.add(end)
        end = follows[end]
    if {wish.canonical_id, end, *seen} & set(wish.source_ids):
        raise MappingRefusedError("a record cannot take its own place, directly or by way of others")


def _reason(reason: str) -> str:
    if not reason.strip():
        raise MappingRefusedError("a decision needs a reason, for the record")
    return reason.strip()


def _told(stories: Mapping[str, Sequence[Span]]) -> dict[str, list[dict[str, str | None]]]:
    return {
        source_id: [
            {
                "canonical_id": span.canonical_id,
                "valid_from": span.valid_from.isoformat(),
                "valid_to": span.valid_to.isoformat() if span.valid_to else None,
                "method": span.method,
            }
            for span in spans
        ]
        for source_id, spans in stories.items()
    }


def _span_of(told: Mapping[str, Any]) -> NewSpan:
    return NewSpan(
        canonical_id=told["canonical_id"],
        valid_from=dt.date.fromisoformat(told["valid_from"]),
        valid_to=dt.date.fromisoformat(told["valid_to"]) if told["valid_to"] else None,
        method=told["method"],
    )


def _log(
    connection: Connection,
    scope: Scope,
    decision_id: int,
    *,
    what: str,
    actor: Actor,
    reason: str,
    now: dt.datetime,
    wish: Wish | None = None,
) -> None:
    detail: dict[str, Any] = {"reason": reason}
    if wish is not None:
        detail |= {
            "object_type": wish.object_type,
            "system": wish.system,
            "sources": list(wish.source_ids),
            "canonical": wish.canonical_id,
            "from": wish.valid_from.isoformat(),
            "to": wish.valid_to.isoformat() if wish.valid_to else None,
        }
    audit.record(
        connection,
        scope.tenant,
        kind=f"mapping.{what}",
        subject=f"mapping_decision:{decision_id}",
        actor=actor.id,
        detail=detail,
        now=now,
    )
