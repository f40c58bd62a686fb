"""Statements behind the console's lists: payloads and postings, filtered and by the page."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, RowMapping, func, select

from psa_erp_assets.adapters.store.conditions import of_entities
from psa_erp_assets.adapters.store.schema import inbox, posting


@dataclass(frozen=True, slots=True, kw_only=True)
class PostingFilter:
    """Which postings to list; None does not narrow. `entities` are those that the reader may see."""

    state: str | None = None
    legal_entity: str | None = None
    service_month: str | None = None
    entities: Collection[str] | None = None

    def conditions(self, tenant: str) -> list[ColumnElement[bool]]:
        """As conditions on the table."""
        table = posting.c
        wanted = (
            (table.state, self.state),
            (table.legal_entity, self.legal_entity),
            (table.service_month, self.service_month),
        )
        mine = [table.tenant == tenant, of_entities(table.legal_entity, self.entities)]
        return [*mine, *(column == value for column, value in wanted if value is not None)]


def list_payloads(connection: Connection, tenant: str, *, offset: int, limit: int) -> Sequence[RowMapping]:
    """Payload versions without their payloads, latest first."""
    table = inbox.c
    return (
        connection.execute(
            select(
                table.id,
                table.source,
                table.object_type,
                table.object_id,
                table.version,
                table.arrived_by,
                table.received_at,
            )
            .where(table.tenant == tenant)
            .order_by(table.id.desc())
            .offset(offset)
            .limit(limit)
        )
        .mappings()
        .all()
    )


def count_postings(connection: Connection, tenant: str, wanted: PostingFilter) -> int:
    """How many postings the filter lets through."""
    statement = select(func.count()).select_from(posting).where(*wanted.conditions(tenant))
    return int(connection.execute(statement).scalar_one())


def list_postings(
    connection: Connection, tenant: str, wanted: PostingFilter, *, offset: int, limit: int
) -> Sequence[RowMapping]:
    """Postings, latest change of state first; the key makes the order of equal times certain."""
    table = posting.c
    return (
        connection.execute(
            select(
                table.key,
                table.legal_entity,
                table.service_month,
                table.effect_type,
                table.operation,
                table.leg,
                table.object_id,
                table.amount,
                table.currency,
                table.minutes,
                table.service_date,
                table.state,
                table.state_since,
                table.attempts,
                table.erp_id,
                table.fault_code,
            )
            .where(*wanted.conditions(tenant))
            .order_by(table.state_since.desc(), table.key)
            .offset(offset)
            .limit(limit)
        )
        .mappings()
        .all()
    )


def posting_facets(
    connection: Connection, tenant: str, entities: Collection[str] | None = None
) -> Sequence[RowMapping]:
    """The states, legal entities and service months that postings have, to choose a filter from."""
    table = posting.c
    return (
        connection.execute(
            select(table.state, table.legal_entity, table.service_month)
            .where(table.tenant == tenant, of_entities(table.legal_entity, entities))
            .distinct()
        )
        .mappings()
        .all()
    )
