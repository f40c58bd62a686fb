"""Statements on postings whose document in the ERP is not what was sent, and which nobody has explained."""

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, RowMapping, select, tuple_

from psa_erp_assets.adapters.store.schema import exception_item
from psa_erp_assets.adapters.store.work_heads import Partition

CODES = ("document_missing", "posting_conflict", "posting_drift", "posting_duplicate")
"""The codes under which a difference between the ledger and the ERP waits for a person."""


def of_partitions(connection: Connection, tenant: str, partitions: Collection[Partition]) -> Sequence[RowMapping]:
    """The open ones of these partitions: code, object_id, detail, legal_entity, service_month."""
    table = exception_item.c
    statement = (
        select(table.code, table.object_id, table.detail, table.legal_entity, table.service_month)
        .where(
            table.tenant == tenant,
            table.resolved_at.is_(None),
            table.code.in_(CODES),
            tuple_(table.legal_entity, table.service_month).in_(list(partitions)),
        )
        .order_by(table.legal_entity, table.service_month, table.object_id, table.code)
    )
    return connection.execute(statement).mappings().all()
