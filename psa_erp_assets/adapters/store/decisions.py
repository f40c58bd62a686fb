"""Decisions in the store: a row is added only where the decision differs from the one before."""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import Connection, Row, or_, select
from sqlalchemy.dialects.postgresql import distinct_on

from psa_erp_assets.adapters.store.conditions import among
from psa_erp_assets.adapters.store.copying import copy_rows
from psa_erp_assets.adapters.store.schema import decision as decision_table
from psa_erp_assets.domain.decision import Decision


def latest_hashes(connection: Connection, tenant: str, object_ids: Collection[str] | None = None) -> dict[str, str]:
    """The content hash of the latest decision about each object."""
    query = (
        select(decision_table.c.object_id, decision_table.c.content_hash)
        .ext(distinct_on(decision_table.c.object_id))
        .where(decision_table.c.tenant == tenant)
        .order_by(decision_table.c.object_id, decision_table.c.id.desc())
    )
    if object_ids is not None:
        query = query.where(among(decision_table.c.object_id, object_ids))
    return {row.object_id: row.content_hash for row in connection.execute(query).all()}


def of_contracts_own(
    connection: Connection, tenant: str, service_month: str, contract_ids: Collection[str]
) -> Sequence[Row[str, int, str]]:
    """The latest decision about each of these contracts' own objects of a month: object_id, revision, outcome."""
    table = decision_table.c
    return connection.execute(
        select(table.object_id, table.revision, table.outcome)
        .ext(distinct_on(table.object_id))
        .where(
            table.tenant == tenant,
            or_(*(table.object_id.startswith(f"contract:{c}:", autoescape=True) for c in contract_ids)),
            table.body["service_month"].astext == service_month,
        )
        .order_by(table.object_id, table.id.desc())
    ).all()


def record(
    connection: Connection, tenant: str, decisions: Sequence[Decision], known: Mapping[str, str], now: dt.datetime
) -> int:
    """Store the decisions that are new; answers with how many those were. `known` are the latest hashes by object."""
    new = [d for d in decisions if known.get(d.object_id) != d.digest]
    copy_rows(
        connection,
        decision_table,
        ("tenant", "object_id", "revision", "outcome", "body", "content_hash", "decided_at"),
        ((tenant, d.object_id, d.revision, d.outcome.value, d.text, d.digest, now) for d in new),
    )
    return len(new)
