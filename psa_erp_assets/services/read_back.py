"""What the ERP holds for a partition, read into the mirror that planning and reconciliation look at."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, Row

from psa_erp_assets.adapters.connectors.tryton.read_back import BookedDocument, BookedInvoice, BookedPayment
from psa_erp_assets.adapters.store import erp_documents, master_records, work_heads
from psa_erp_assets.adapters.store.work_heads import Partition
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.decision import Route
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.erp import ErpDocument
from psa_erp_assets.domain.records import LegalEntity
from psa_erp_assets.services.deciding import head_id
from psa_erp_assets.services.runtime import Runtime


class UnknownEntityError(Exception):
    """The legal entity has no company in the ERP, as far as master data say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadBackResult:
    """What was read: the month's documents by the type of effect that they carry, and all invoices of the company."""

    partition: Partition
    documents: Mapping[EffectType, Sequence[BookedDocument]]
    invoices: Sequence[BookedInvoice]
    payments: Sequence[BookedPayment]

    @property
    def duplicates(self) -> int:
        """Documents too many: those beyond the first under each of the sync's keys."""
        keys = [d.key for documents in self.documents.values() for d in documents if d.key is not None]
        return len(keys) - len(set(keys))


def erp_company(runtime: Runtime, legal_entity: str) -> str:
    """The ERP's company of a legal entity. Raises UnknownEntityError."""
    with runtime.engine.connect() as connection:
        entities = master_records.load_all(
            connection, tenant=runtime.settings.tenant, object_type="legal_entity", record_type=LegalEntity
        )
    for entity in entities:
        if entity.code == legal_entity:
            return entity.erp_company
    raise UnknownEntityError(f"{legal_entity} has no company in the ERP; extract master data first")


def read_back(runtime: Runtime, partition: Partition) -> ReadBackResult:
    """Read a partition's documents and the company's invoices from the ERP and make the mirror equal to them.

    Raises TrytonError or LookUpFailedError where the ERP gave no usable answer; the mirror then stays as it was.
    """
    company, month = erp_company(runtime, partition[0]), ServiceMonth.parse(partition[1])
    reader = runtime.erp_reader
    found = ReadBackResult(
        partition=partition,
        documents={
            EffectType.BILLING_LINE: reader.billing_lines(company, month, month),
            EffectType.COST_TRANSACTION: reader.cost_transactions(company, month, month),
            EffectType.INTERCOMPANY_CHARGE: reader.intercompany_charges(company, month, month),
            EffectType.REVENUE_ENTRY: reader.revenue_entries(company, month, month),
        },
        invoices=reader.invoices(company),
        payments=reader.payments(company),
    )
    tenant, now = runtime.settings.tenant, runtime.clock()
    elsewhere = _elsewhere(runtime, partition, company)
    with runtime.engine.begin() as connection:
        called_back = erp_documents.cancelled_credits(connection, tenant, company)
        for effect_type, documents in found.documents.items():
            erp_documents.replace_scope(
                connection,
                tenant=tenant,
                erp_company=company,
                effect_type=effect_type.value,
                months=[partition[1]],
                rows=[_row(booked) for booked in documents],
                now=now,
            )
        # An entry that moved here has left lines in another month or company, which is not read now.
        erp_documents.refresh(connection, tenant, elsewhere, now)
        erp_documents.forget_withdrawn(connection, tenant)
        erp_documents.replace_invoices(
            connection, tenant=tenant, erp_company=company, rows=[_invoice(i) for i in found.invoices], now=now
        )
        erp_documents.replace_payments(
            connection, tenant=tenant, erp_company=company, rows=[asdict(p) for p in found.payments], now=now
        )
        companies = {company, *(document.erp_company for document in elsewhere)}
        wrong = [
            *erp_documents.objects_of_cancelled(connection, tenant, companies),
            *erp_documents.objects_that_count_again(connection, tenant, companies, read_at=now),
            *(called_back ^ erp_documents.cancelled_credits(connection, tenant, company)),
        ]
        _make_due(connection, tenant, wrong, now)
    _find_moved(runtime, partition, company, now)
    return found


def _find_moved(runtime: Runtime, partition: Partition, company: str, now: dt.datetime) -> None:
    """A line that somebody dated into another month is not gone: what the month has not is looked for by its key."""
    tenant = runtime.settings.tenant
    with runtime.engine.connect() as connection:
        keys = erp_documents.not_found(connection, tenant, partition, company)
    if keys:
        moved = runtime.erp.look_up(company, EffectType.BILLING_LINE, keys)
        with runtime.engine.begin() as connection:
            erp_documents.refresh(connection, tenant, [d for found in moved.values() for d in found], now)


def _make_due(connection: Connection, tenant: str, wrong: Sequence[Row[*tuple[str, ...]]], now: dt.datetime) -> None:
    """What a document that finance has cancelled, or made a draft again, makes wrong is put right by its next plan."""
    ids = {head_id(row.object_id, ServiceMonth.parse(row.service_month), row.legal_entity) for row in wrong}
    heads = work_heads.heads(connection, tenant, ids)
    routes = {
        object_id: Route(head.legal_entity, ServiceMonth.parse(head.service_month), head.contract_id)
        for object_id, head in heads.items()
    }
    work_heads.mark_changed(connection, tenant, routes, now)


def _elsewhere(runtime: Runtime, partition: Partition, company: str) -> list[ErpDocument]:
    """The billing lines of the partition's work that are in other books, or in another month of the same."""
    with runtime.engine.connect() as connection:
        keys = erp_documents.elsewhere(connection, runtime.settings.tenant, partition, company)
    return [
        document
        for other, wanted in keys.items()
        for documents in runtime.erp.look_up(other, EffectType.BILLING_LINE, wanted).values()
        for document in documents
    ]


def _row(booked: BookedDocument) -> dict[str, object]:
    document = booked.document
    return {
        "erp_id": document.erp_id,
        "key": booked.key,
        "service_month": str(ServiceMonth.of(document.date)),
        "service_date": document.date,
        "party": booked.party,
        "analytic": booked.analytic,
        "minutes": document.minutes,
        "amount": document.amount.amount,
        "currency": document.amount.currency,
        "tax_amount": document.tax_amount,
        "document": document.document,
        "document_state": document.document_state,
        "document_date": booked.document_date,
        "posted": document.posted,
        "credits_key": booked.credits_key,
    }


def _invoice(invoice: BookedInvoice) -> dict[str, object]:
    return {
        "erp_id": invoice.erp_id,
        "number": invoice.number,
        "party": invoice.party,
        "invoice_date": invoice.invoice_date,
        "currency": invoice.currency,
        "net": invoice.net,
        "tax": invoice.tax,
        "total": invoice.total,
        "open_amount": invoice.open_amount,
        "lines": invoice.lines,
        "state": invoice.state,
    }
