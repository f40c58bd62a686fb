"""What the ERP holds, as last read: a mirror that is replaced by what each reading finds."""

import datetime as dt
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, func, insert, not_, select
from sqlalchemy.dialects.postgresql import insert as pg_insert

from psa_erp_assets.adapters.store.schema import erp_document, erp_invoice, posting
from psa_erp_assets.adapters.store.schema_payments import erp_payment
from psa_erp_assets.adapters.store.work_heads import Partition
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.erp import ErpDocument
from psa_erp_assets.domain.posting import Operation, State
from psa_erp_assets.domain.reconcile import CANCELLED


def replace_scope(
    connection: Connection,
    *,
    tenant: str,
    erp_company: str,
    effect_type: str,
    months: Collection[str],
    rows: Sequence[dict[str, Any]],
    now: dt.datetime,
) -> None:
    """Make `rows` all that is known of a company's documents of a type in these months."""
    connection.execute(
        delete(erp_document).where(
            erp_document.c.tenant == tenant,
            erp_document.c.erp_company == erp_company,
            erp_document.c.effect_type == effect_type,
            (erp_document.c.service_month.in_(months)) | (erp_document.c.erp_id.in_([r["erp_id"] for r in rows])),
        )
    )
    if rows:
        identity = {"tenant": tenant, "erp_company": erp_company, "effect_type": effect_type, "read_at": now}
        connection.execute(insert(erp_document), [row | identity for row in rows])


def replace_invoices(
    connection: Connection, *, tenant: str, erp_company: str, rows: Sequence[dict[str, Any]], now: dt.datetime
) -> None:
    """Make `rows` all invoices that are known of a company."""
    connection.execute(
        delete(erp_invoice).where(erp_invoice.c.tenant == tenant, erp_invoice.c.erp_company == erp_company)
    )
    if rows:
        identity = {"tenant": tenant, "erp_company": erp_company, "read_at": now}
        connection.execute(insert(erp_invoice), [row | identity for row in rows])


def replace_payments(
    connection: Connection, *, tenant: str, erp_company: str, rows: Sequence[dict[str, Any]], now: dt.datetime
) -> None:
    """Make `rows` all payments that are known of a company's invoices."""
    table = erp_payment.c
    connection.execute(delete(erp_payment).where(table.tenant == tenant, table.erp_company == erp_company))
    if rows:
        identity = {"tenant": tenant, "erp_company": erp_company, "read_at": now}
        connection.execute(insert(erp_payment), [row | identity for row in rows])


def forget_withdrawn(connection: Connection, tenant: str) -> None:
    """Drop what was withdrawn after it was last read, in whichever month it was."""
    connection.execute(
        delete(erp_document).where(
            erp_document.c.tenant == tenant,
            posting.c.key == erp_document.c.key,
            posting.c.state == State.WITHDRAWN.value,
            erp_document.c.read_at < posting.c.state_since,
        )
    )


def on_document(connection: Connection, tenant: str, keys: Collection[str]) -> frozenset[str]:
    """Which of these keys' documents another document has taken up."""
    if not keys:
        return frozenset()
    rows = connection.execute(
        select(erp_document.c.key).where(
            erp_document.c.tenant == tenant, erp_document.c.key.in_(keys), erp_document.c.document.is_not(None)
        )
    )
    return frozenset(rows.scalars())


def objects_of_cancelled(
    connection: Connection, tenant: str, erp_companies: Collection[str]
) -> Sequence[Row[str, str, str]]:
    """The objects, with legal entity and service month, of what a document that the ERP has cancelled makes wrong.

    These are lines on it that count, and lines that take back what is on it.
    """
    return connection.execute(
        select(posting.c.object_id, posting.c.legal_entity, posting.c.service_month)
        .join(erp_document, erp_document.c.key.in_((posting.c.key, posting.c.target_key)))
        .where(
            erp_document.c.tenant == tenant,
            erp_document.c.erp_company.in_(erp_companies),
            erp_document.c.document_state == CANCELLED,
            posting.c.state == State.VERIFIED.value,
            posting.c.operation == Operation.CREATE.value,
        )
        .distinct()
    ).all()


def cancelled_credits(connection: Connection, tenant: str, erp_company: str) -> frozenset[Row[str, str, str, str]]:
    """The credits of our lines by the ERP's own means that it has cancelled: their ids, and those lines' objects with
    legal entity and service month. They take back nothing any more.
    """
    document = erp_document.c
    rows = connection.execute(
        select(document.erp_id, posting.c.object_id, posting.c.legal_entity, posting.c.service_month)
        .join(posting, posting.c.key == document.credits_key)
        .where(
            document.tenant == tenant,
            document.erp_company == erp_company,
            document.key.is_(None),
            document.document_state == CANCELLED,
        )
    )
    return frozenset(rows.all())


def cancelled(connection: Connection, tenant: str, keys: Collection[str]) -> frozenset[str]:
    """Which of these keys' documents are on a document that the ERP has cancelled."""
    if not keys:
        return frozenset()
    rows = connection.execute(
        select(erp_document.c.key).where(
            erp_document.c.tenant == tenant, erp_document.c.key.in_(keys), erp_document.c.document_state == CANCELLED
        )
    )
    return frozenset(rows.scalars())


def standing(connection: Connection, tenant: str, keys: Collection[str]) -> frozenset[str]:
    """Which of these keys' documents the ERP has, on no document that it has cancelled."""
    if not keys:
        return frozenset()
    rows = connection.execute(
        select(erp_document.c.key).where(
            erp_document.c.tenant == tenant,
            erp_document.c.key.in_(keys),
            erp_document.c.document_state.is_distinct_from(CANCELLED),
        )
    )
    return frozenset(rows.scalars())


def objects_that_count_again(
    connection: Connection, tenant: str, erp_companies: Collection[str], *, read_at: dt.datetime
) -> Sequence[Row[str, str, str]]:
    """The objects, with legal entity and service month, of what was on a cancelled document that is a draft again.

    The ledger has it as reversed, and nothing in the ERP takes it back. Of what was read at `read_at` or later.
    """
    taker = posting.alias()
    taken_back = select(taker.c.key).where(
        taker.c.tenant == posting.c.tenant,
        taker.c.object_id == posting.c.object_id,
        taker.c.target_key == posting.c.key,
        taker.c.operation == Operation.CREATE.value,
        taker.c.state == State.VERIFIED.value,
    )
    return connection.execute(
        select(posting.c.object_id, posting.c.legal_entity, posting.c.service_month)
        .join(erp_document, erp_document.c.key == posting.c.key)
        .where(
            erp_document.c.tenant == tenant,
            erp_document.c.erp_company.in_(erp_companies),
            erp_document.c.read_at >= read_at,
            erp_document.c.document_state.is_distinct_from(CANCELLED),
            posting.c.state == State.REVERSED.value,
            posting.c.operation == Operation.CREATE.value,
            ~taken_back.exists(),
        )
        .distinct()
    ).all()


def refresh(connection: Connection, tenant: str, documents: Sequence[ErpDocument], now: dt.datetime) -> None:
    """Keep these documents as just looked up; others stay as they were."""
    if not documents:
        return
    statement = pg_insert(erp_document)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=list(erp_document.primary_key.columns),
            set_={
                name: statement.excluded[name]
                for name in (
                    *("service_month", "service_date", "amount", "currency", "minutes", "tax_amount"),
                    *("document", "document_state", "posted", "read_at"),
                )
            },
        ),
        [
            {
                "tenant": tenant,
                "erp_company": d.erp_company,
                "effect_type": d.effect_type.value,
                "erp_id": d.erp_id,
                "key": d.key,
                "service_month": str(ServiceMonth.of(d.date)),
                "service_date": d.date,
                "minutes": d.minutes,
                "amount": d.amount.amount,
                "currency": d.amount.currency,
                "tax_amount": d.tax_amount,
                "document": d.document,
                "document_state": d.document_state,
                "posted": d.posted,
                "read_at": now,
            }
            for d in documents
        ],
    )


def elsewhere(connection: Connection, tenant: str, partition: Partition, erp_company: str) -> dict[str, list[str]]:
    """Keys by company of a partition's billing lines that are not among those of its own company and month.

    Work that has moved to this partition is taken back where it came from.
    """
    table = posting.c
    here = and_(table.erp_company == erp_company, func.to_char(table.service_date, "YYYY-MM") == partition[1])
    rows = connection.execute(
        select(table.erp_company, table.key).where(
            table.tenant == tenant,
            table.legal_entity == partition[0],
            table.service_month == partition[1],
            table.effect_type == EffectType.BILLING_LINE.value,
            table.operation == Operation.CREATE.value,
            table.erp_id.is_not(None),
            not_(here),
        )
    )
    keys: dict[str, list[str]] = {}
    for row in rows:
        keys.setdefault(row.erp_company, []).append(row.key)
    return keys


def not_found(connection: Connection, tenant: str, partition: Partition, erp_company: str) -> Sequence[str]:
    """Keys of a partition's billing lines that are in the ERP as far as is known, and that no reading has found."""
    table = posting.c
    rows = connection.execute(
        select(table.key).where(
            table.tenant == tenant,
            table.legal_entity == partition[0],
            table.service_month == partition[1],
            table.erp_company == erp_company,
            table.effect_type == EffectType.BILLING_LINE.value,
            table.operation == Operation.CREATE.value,
            table.state.in_([State.CONFIRMED.value, State.VERIFIED.value, State.DRIFT.value]),
            ~select(erp_document.c.key)
            .where(erp_document.c.tenant == tenant, erp_document.c.key == table.key)
            .exists(),
        )
    )
    return rows.scalars().all()


def of_keys(connection: Connection, tenant: str, keys: Collection[str]) -> Sequence[Row[Any]]:
    """The mirrored documents under these keys."""
    return connection.execute(
        select(erp_document).where(erp_document.c.tenant == tenant, erp_document.c.key.in_(keys))
    ).all()


def of_month(connection: Connection, tenant: str, erp_company: str, month: str) -> Sequence[Row[Any]]:
    """The mirrored documents of a company and service month."""
    return connection.execute(
        select(erp_document).where(
            erp_document.c.tenant == tenant,
            erp_document.c.erp_company == erp_company,
            erp_document.c.service_month == month,
        )
    ).all()


def last_read(connection: Connection, tenant: str, erp_company: str, month: str) -> dt.datetime | None:
    """When a company's documents of a service month were last read; None where none are known."""
    document = erp_document.c
    at: dt.datetime | None = connection.execute(
        select(func.max(document.read_at)).where(
            document.tenant == tenant, document.erp_company == erp_company, document.service_month == month
        )
    ).scalar_one()
    return at


def with_origins(connection: Connection, tenant: str, erp_company: str, month: str) -> Sequence[Row[Any]]:
    """The mirrored documents of a company and service month, each with the object and `payload` of its posting.

    Both are None for a document that no posting accounts for.
    """
    document = erp_document.c
    return connection.execute(
        select(erp_document, posting.c.object_id, posting.c.payload)
        .outerjoin(posting, posting.c.key == document.key)
        .where(document.tenant == tenant, document.erp_company == erp_company, document.service_month == month)
    ).all()


def invoiced_payloads(connection: Connection, tenant: str, erp_company: str) -> Sequence[Row[Any, Any]]:
    """Of each of our billing lines that is on a posted invoice: the invoice's number, and the line's `payload`."""
    document = erp_document.c
    return connection.execute(
        select(document.document, posting.c.payload)
        .join(posting, posting.c.key == document.key)
        .where(
            document.tenant == tenant,
            document.erp_company == erp_company,
            document.effect_type == EffectType.BILLING_LINE.value,
            document.posted,
        )
    ).all()


def credited_minutes(connection: Connection, tenant: str, object_ids: Collection[str]) -> dict[str, tuple[int, int]]:
    """The minutes of these objects' lines that finance credited by the ERP's own means: those that stand, and those
    whose credit note the ERP has cancelled."""
    document = erp_document.c
    minutes, gone = func.sum(-document.minutes), document.document_state == CANCELLED
    rows = connection.execute(
        select(
            posting.c.object_id,
            func.coalesce(minutes.filter(gone.is_not(True)), 0).label("standing"),
            func.coalesce(minutes.filter(gone), 0).label("cancelled"),
        )
        .join(posting, posting.c.key == document.credits_key)
        .where(document.tenant == tenant, document.key.is_(None), posting.c.object_id.in_(object_ids))
        .group_by(posting.c.object_id)
    )
    return {row.object_id: (int(row.standing), int(row.cancelled)) for row in rows}


def credited_by_hand(connection: Connection, tenant: str, erp_company: str, month: str) -> dict[str, int]:
    """The minutes that finance credited by the ERP's own means in a service month, by the object of the line."""
    document = erp_document.c
    rows = connection.execute(
        select(posting.c.object_id, func.sum(-document.minutes))
        .join(posting, posting.c.key == document.credits_key)
        .where(
            document.tenant == tenant,
            document.erp_company == erp_company,
            document.service_month == month,
            document.key.is_(None),
            document.document_state.is_distinct_from(CANCELLED),
        )
        .group_by(posting.c.object_id)
    )
    return {object_id: int(minutes) for object_id, minutes in rows}


def posted_invoices(connection: Connection, tenant: str, erp_company: str) -> Sequence[Row[Any]]:
    """The company's invoices that are posted or paid, as last read."""
    invoice = erp_invoice.c
    return connection.execute(
        select(erp_invoice)
        .where(
            invoice.tenant == tenant,
            invoice.erp_company == erp_company,
            invoice.number.is_not(None),
            invoice.state.in_(("posted", "paid")),
        )
        .order_by(invoice.number)
    ).all()


def strays(connection: Connection, tenant: str, erp_company: str, month: str) -> Sequence[Row[Any]]:
    """The billing lines of a company and service month that no posting accounts for, on no document that was cancelled:
    what is on one counts for nothing.
    """
    accounted = select(posting.c.key).where(posting.c.key == erp_document.c.key)
    return connection.execute(
        select(erp_document).where(
            erp_document.c.tenant == tenant,
            erp_document.c.erp_company == erp_company,
            erp_document.c.effect_type == EffectType.BILLING_LINE.value,
            erp_document.c.service_month == month,
            erp_document.c.document_state.is_distinct_from(CANCELLED),
            ~accounted.exists(),
        )
    ).all()
