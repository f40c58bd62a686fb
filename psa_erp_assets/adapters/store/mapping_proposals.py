"""Statements on proposals of mappings: what is proposed, what has become of it."""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, func, insert, or_, select, update

from psa_erp_assets.adapters.store.mapping_stories import of_seen
from psa_erp_assets.adapters.store.schema_mappings import mapping_proposal

PROPOSED, ACCEPTED, REJECTED, SUPERSEDED = "proposed", "accepted", "rejected", "superseded"


def add(connection: Connection, values: dict[str, Any]) -> int:
    """Keep a proposal; answers with its id. Raises IntegrityError where the same one is open."""
    proposal_id: int = connection.execute(
        insert(mapping_proposal).values(**values, state=PROPOSED).returning(mapping_proposal.c.id)
    ).scalar_one()
    return proposal_id


def refresh(connection: Connection, proposal_id: int, values: dict[str, Any]) -> None:
    """Bring the names, score and evidence of an open proposal up to date."""
    connection.execute(update(mapping_proposal).where(mapping_proposal.c.id == proposal_id).values(**values))


def load(connection: Connection, tenant: str, proposal_id: int, *, lock: bool = False) -> RowMapping | None:
    """One proposal; with `lock` nobody else decides about it until the transaction ends."""
    table = mapping_proposal.c
    statement = select(mapping_proposal).where(table.tenant == tenant, table.id == proposal_id)
    return connection.execute(statement.with_for_update() if lock else statement).mappings().one_or_none()


def of_state(connection: Connection, tenant: str, states: Collection[str]) -> Sequence[RowMapping]:
    """All proposals in one of these states."""
    table = mapping_proposal.c
    statement = select(mapping_proposal).where(table.tenant == tenant, table.state.in_(states)).order_by(table.id)
    return connection.execute(statement).mappings().all()


def listing(
    connection: Connection,
    tenant: str,
    *,
    state: str = PROPOSED,
    object_type: str | None = None,
    method: str | None = None,
    search: str = "",
    seen: Mapping[str, Collection[str]] | None = None,
    limit: int = 200,
    offset: int = 0,
) -> Sequence[RowMapping]:
    """Proposals in a state, the highest score first; `seen` are the canonical ids by type that count, None for all."""
    table = mapping_proposal.c
    statement = select(mapping_proposal).where(table.tenant == tenant, table.state == state, of_seen(table, seen))
    if object_type is not None:
        statement = statement.where(table.object_type == object_type)
    if method is not None:
        statement = statement.where(table.method == method)
    if search:
        named = (table.source_id, table.source_name, table.canonical_id, table.canonical_name)
        statement = statement.where(or_(*(column.icontains(search, autoescape=True) for column in named)))
    order = (table.score.desc(), table.source_name, table.id) if state == PROPOSED else (table.decided_at.desc(),)
    return connection.execute(statement.order_by(*order).limit(limit).offset(offset)).mappings().all()


def counts(connection: Connection, tenant: str, *, seen: Mapping[str, Collection[str]] | None = None) -> dict[str, int]:
    """How many proposals there are in each state; `seen` as for `listing`."""
    table = mapping_proposal.c
    mine = (table.tenant == tenant, of_seen(table, seen))
    statement = select(table.state, func.count().label("items")).where(*mine).group_by(table.state)
    return {row.state: row.items for row in connection.execute(statement)}


def close(
    connection: Connection,
    proposal_ids: Collection[int],
    state: str,
    *,
    decided_by: str,
    why: str,
    now: dt.datetime,
) -> None:
    """Give open proposals their end."""
    if not proposal_ids:
        return
    connection.execute(
        update(mapping_proposal)
        .where(mapping_proposal.c.id.in_(proposal_ids), mapping_proposal.c.state == PROPOSED)
        .values(state=state, decided_by=decided_by, decided_at=now, why=why)
    )
