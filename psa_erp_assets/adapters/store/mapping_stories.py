"""Statements on what stewards have decided: the story of each source id, its changes, and the decisions themselves.

What exact keys say is in the same table and no part of this (`mappings`).
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    and_,
    case,
    false,
    func,
    insert,
    or_,
    select,
    true,
    update,
)

from psa_erp_assets.adapters.store.schema import inbox, mapping, source_object
from psa_erp_assets.adapters.store.schema_mappings import mapping_decision
from psa_erp_assets.domain.links import CANONICAL, Change, Link, Span

SPLIT, MERGE = "split", "merge"
_DECIDED: ColumnElement[bool] = mapping.c.decision_id.is_not(None)
_HAS_A_DAY: ColumnElement[bool] = and_(
    or_(mapping.c.valid_to.is_(None), mapping.c.valid_to >= mapping.c.valid_from), mapping.c.replaced_by.is_(None)
)


def lock(connection: Connection, tenant: str) -> None:
    """Make other decisions about mappings wait until the transaction ends."""
    connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"mappings:{tenant}", 0))))


def links(connection: Connection, tenant: str) -> tuple[Link, ...]:
    """Every link that holds on some day, in the order of their source ids and days."""
    table, seen = mapping.c, source_object.c
    account = (
        select(inbox.c.payload["company"].astext)
        .join(source_object, seen.inbox_id == inbox.c.id)
        .where(
            seen.tenant == tenant,
            seen.source == table.system,
            seen.object_type == "analytic_account",
            seen.object_id == table.source_id,
        )
        .scalar_subquery()
    )
    rows = connection.execute(
        select(mapping, case((table.object_type == "project", account)).label("erp_company"))
        .where(table.tenant == tenant, _DECIDED, _HAS_A_DAY)
        .order_by(table.object_type, table.system, table.source_id, table.valid_from)
    )
    return tuple(
        Link(
            object_type=row.object_type,
            system=row.system,
            source_id=row.source_id,
            canonical_id=row.canonical_id,
            valid_from=row.valid_from,
            valid_to=row.valid_to,
            over_exact=row.system == CANONICAL or row.method == SPLIT,
            erp_company=row.erp_company,
        )
        for row in rows
    )


def stories(
    connection: Connection, tenant: str, object_type: str, system: str, source_ids: Sequence[str]
) -> dict[str, list[Span]]:
    """The stretches of each of these source ids that have a day, in their order."""
    table = mapping.c
    rows = connection.execute(
        select(table.id, table.source_id, table.canonical_id, table.valid_from, table.valid_to, table.method)
        .where(
            table.tenant == tenant,
            table.object_type == object_type,
            table.system == system,
            table.source_id.in_(source_ids),
            _DECIDED,
            _HAS_A_DAY,
        )
        .order_by(table.source_id, table.valid_from)
    )
    found: dict[str, list[Span]] = defaultdict(list)
    for row in rows:
        found[row.source_id].append(
            Span(
                id=row.id,
                canonical_id=row.canonical_id,
                valid_from=row.valid_from,
                valid_to=row.valid_to,
                method=row.method,
            )
        )
    return dict(found)


def change(
    connection: Connection,
    tenant: str,
    *,
    identity: tuple[str, str, str],
    change: Change,
    decision_id: int,
    now: dt.datetime,
) -> None:
    """Carry out a change of the story of one source id, given as object type, system and id."""
    for span_id, last in change.ended.items():
        connection.execute(update(mapping).where(mapping.c.id == span_id).values(valid_to=last))
    if change.replaced:
        replaced = update(mapping).where(mapping.c.id.in_(change.replaced))
        connection.execute(replaced.values(replaced_by=decision_id))
    object_type, system, source_id = identity
    if change.begun:
        connection.execute(
            insert(mapping),
            [
                {
                    "tenant": tenant,
                    "object_type": object_type,
                    "canonical_id": span.canonical_id,
                    "system": system,
                    "source_id": source_id,
                    "valid_from": span.valid_from,
                    "valid_to": span.valid_to,
                    "method": span.method,
                    "decided_at": now,
                    "decision_id": decision_id,
                }
                for span in change.begun
            ],
        )


def record_decision(connection: Connection, values: Mapping[str, Any]) -> int:
    """Keep a decision for good; answers with its id."""
    decision_id: int = connection.execute(
        insert(mapping_decision).values(**values).returning(mapping_decision.c.id)
    ).scalar_one()
    return decision_id


def decision(connection: Connection, tenant: str, decision_id: int) -> RowMapping | None:
    """One decision."""
    table = mapping_decision.c
    statement = select(mapping_decision).where(table.tenant == tenant, table.id == decision_id)
    return connection.execute(statement).mappings().one_or_none()


def decisions(connection: Connection, tenant: str, *, limit: int = 200) -> Sequence[RowMapping]:
    """The latest decisions first, each with the id of the one that undoes it (`undone_by`), None where none does."""
    table, undoing = mapping_decision.c, mapping_decision.alias()
    statement = (
        select(mapping_decision, undoing.c.id.label("undone_by"))
        .outerjoin(undoing, (undoing.c.tenant == table.tenant) & (undoing.c.undoes == table.id))
        .where(table.tenant == tenant)
        .order_by(table.id.desc())
        .limit(limit)
    )
    return connection.execute(statement).mappings().all()


def last_decision_on(
    connection: Connection, tenant: str, object_type: str, system: str, source_ids: Sequence[str]
) -> int | None:
    """The id of the latest decision that changed the story of any of these source ids."""
    table = mapping_decision.c
    last: int | None = connection.execute(
        select(func.max(table.id)).where(
            table.tenant == tenant,
            table.object_type == object_type,
            table.system == system,
            table.kind != "reject",
            table.source_ids.overlap(list(source_ids)),
        )
    ).scalar_one()
    return last


def of_seen(table: Any, seen: Mapping[str, Collection[str]] | None) -> ColumnElement[bool]:
    """Rows about these canonical ids, by their type; with None all rows."""
    if seen is None:
        return true()
    given = ((table.object_type == of) & table.canonical_id.in_(sorted(ids)) for of, ids in seen.items())
    return or_(false(), *given)


def canonical_ids_of(
    connection: Connection, tenant: str, object_type: str, system: str, source_ids: Collection[str]
) -> set[str]:
    """What these source ids stand for on some day."""
    table = mapping.c
    query = select(table.canonical_id).where(
        table.tenant == tenant,
        table.object_type == object_type,
        table.system == system,
        table.source_id.in_(source_ids),
        _HAS_A_DAY,
    )
    return set(connection.execute(query).scalars())


def listing(
    connection: Connection,
    tenant: str,
    *,
    object_type: str | None = None,
    search: str = "",
    decided_only: bool = False,
    seen: Mapping[str, Collection[str]] | None = None,
    limit: int = 200,
    offset: int = 0,
) -> Sequence[RowMapping]:
    """Mappings that hold on some day, those of stewards first, then by type, canonical id and system.

    `seen` are the canonical ids by type that count; None for all.
    """
    table = mapping.c
    statement = select(mapping).where(table.tenant == tenant, _HAS_A_DAY, of_seen(table, seen))
    if object_type is not None:
        statement = statement.where(table.object_type == object_type)
    if decided_only:
        statement = statement.where(_DECIDED)
    if search:
        statement = statement.where(
            or_(
                table.source_id.icontains(search, autoescape=True),
                table.canonical_id.icontains(search, autoescape=True),
            )
        )
    statement = statement.order_by(
        _DECIDED.desc(), table.object_type, table.canonical_id, table.system, table.valid_from
    )
    return connection.execute(statement.limit(limit).offset(offset)).mappings().all()
