"""Statements that follow work from what was received to the postings and what became of them, and back again."""

from collections.abc import Collection, Sequence

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, and_, literal, or_, select, tuple_

from psa_erp_assets.adapters.store.conditions import among
from psa_erp_assets.adapters.store.plan_lists import is_outdated
from psa_erp_assets.adapters.store.schema import (
    credit,
    decision,
    erp_document,
    erp_invoice,
    inbox,
    period_choice,
    plan,
    plan_item,
    plan_part,
    plan_section,
    posting,
    posting_event,
    source_object,
    time_entry,
    webhook_delivery,
    work_fact,
)
from psa_erp_assets.adapters.store.schema_payments import erp_payment

TIME_ENTRY = "time_entry"
KINDS = (TIME_ENTRY, "expense", "milestone")
"""Kinds of source objects that have financial effects."""


def kinds_of(connection: Connection, tenant: str, vendor_id: str) -> Sequence[RowMapping]:
    """The `object_type` and `source` of the work of this vendor id."""
    table = source_object.c
    return _rows(
        connection,
        select(table.object_type, table.source)
        .where(table.tenant == tenant, table.object_type.in_(KINDS), table.object_id == vendor_id)
        .order_by(table.object_type.desc(), table.source),
    )


def payloads(
    connection: Connection, tenant: str, object_type: str, source: str, vendor_id: str
) -> Sequence[RowMapping]:
    """Every version of the payload, first to last."""
    table = inbox.c
    return _rows(
        connection,
        select(table.id, table.version, table.content_hash, table.arrived_by, table.received_at, table.payload)
        .where(
            table.tenant == tenant,
            table.source == source,
            table.object_type == object_type,
            table.object_id == vendor_id,
        )
        .order_by(table.version),
    )


def payload(connection: Connection, tenant: str, payload_id: int) -> RowMapping | None:
    """One payload by its number in the inbox."""
    table = inbox.c
    return _first(connection, select(inbox).where(table.tenant == tenant, table.id == payload_id))


def revisions(connection: Connection, tenant: str, entry_id: str) -> Sequence[RowMapping]:
    """Every canonical revision of a time entry, first to last."""
    table = time_entry.c
    return _rows(
        connection,
        select(
            table.revision,
            table.state,
            table.service_date,
            table.minutes,
            table.billable,
            table.description,
            table.psa_user_id,
            table.psa_project_id,
            table.inbox_id,
            table.recorded_at,
        )
        .where(table.tenant == tenant, table.entry_id == entry_id)
        .order_by(table.revision),
    )


def facts(connection: Connection, tenant: str, object_id: str) -> Sequence[RowMapping]:
    """Every canonical revision of an expense or a milestone, first to last, its content as `body`."""
    table = work_fact.c
    return _rows(
        connection,
        select(table.revision, table.kind, table.body, table.inbox_id, table.recorded_at)
        .where(table.tenant == tenant, table.object_id == object_id)
        .order_by(table.revision),
    )


def decisions(connection: Connection, tenant: str, object_id: str) -> Sequence[RowMapping]:
    """Every decision about the object, first to last."""
    table = decision.c
    return _rows(
        connection,
        select(table.id, table.revision, table.outcome, table.body, table.decided_at)
        .where(table.tenant == tenant, table.object_id == object_id)
        .order_by(table.id),
    )


def credits_of(connection: Connection, tenant: str, object_id: str) -> Sequence[RowMapping]:
    """What was credited of the object's minutes, first to last."""
    table = credit.c
    columns = [column for column in table if column.name not in ("tenant", "object_id")]
    return _rows(
        connection,
        select(*columns).where(table.tenant == tenant, table.object_id == object_id).order_by(table.requested_at),
    )


def choices_of(connection: Connection, tenant: str, object_id: str) -> Sequence[RowMapping]:
    """What was chosen for the object's effects in closed periods, first to last."""
    table = period_choice.c
    names = ("effect_type", "choice", "posting_date", "reason", "chosen_by", "chosen_at")
    return _rows(
        connection,
        select(*(table[name] for name in names))
        .where(table.tenant == tenant, table.object_id == object_id)
        .order_by(table.id),
    )


def plan_items(connection: Connection, tenant: str, object_id: str) -> Sequence[RowMapping]:
    """The items about the object, once for each plan that has them, in the order of the plans."""
    item = plan_item.c
    return _rows(
        connection,
        select(
            plan_part.c.plan_id,
            item.section_id,
            item.seq,
            plan.c.status,
            is_outdated().label("outdated"),
            item.action,
            item.effect_type,
            item.key,
            item.target_key,
            item.amount,
            item.currency,
            item.minutes,
            item.reason,
            item.body["hold"]["code"].astext.label("code"),
            plan.c.created_at,
            plan.c.created_by,
        )
        .join_from(plan_item, plan_part, item.section_id == plan_part.c.section_id)
        .join(plan, plan_part.c.plan_id == plan.c.id)
        .where(
            plan.c.tenant == tenant, item.object_id == object_id, item.section_id.in_(_sections_of(tenant, object_id))
        )
        .order_by(plan_part.c.plan_id, item.seq),
    )


def _sections_of(tenant: str, object_id: str) -> Select[tuple[int]]:
    """The sections of the contracts' months in which it was ever decided about the object, which have its items."""
    section, body = plan_section.c, decision.c.body
    contract_id = body["contract_id"].astext
    return select(section.id).join(
        decision,
        and_(
            decision.c.tenant == tenant,
            decision.c.object_id == object_id,
            section.tenant == tenant,
            section.service_month == body["service_month"].astext,
            # A section of before plans had one each has no contract, and those of all.
            or_(section.contract_id == contract_id, section.contract_id.is_(None)),
        ),
    )


def postings(connection: Connection, tenant: str, object_id: str) -> Sequence[RowMapping]:
    """Every posting of the object, in the order of their making."""
    table = posting.c
    return _rows(
        connection,
        select(*(column for column in table if column.name != "tenant"))
        .where(table.tenant == tenant, table.object_id == object_id)
        .order_by(table.created_at, table.effect_type, table.revision),
    )


def posting_of(connection: Connection, tenant: str, key: str) -> Sequence[RowMapping]:
    """The posting of this key, or none, in the form of `postings`."""
    table = posting.c
    return _rows(
        connection,
        select(*(column for column in table if column.name != "tenant")).where(
            table.tenant == tenant, table.key == key
        ),
    )


def events(connection: Connection, keys: Sequence[str]) -> Sequence[RowMapping]:
    """Everything that happened to these postings, in order."""
    table = posting_event.c
    return _rows(connection, select(posting_event).where(table.key.in_(keys)).order_by(table.id))


def invoices_of_lines(connection: Connection, tenant: str, keys: Collection[str]) -> Sequence[RowMapping]:
    """The ERP's invoices that the lines under these keys are on, as last read."""
    line, invoice = erp_document.c, erp_invoice.c
    return _rows(
        connection,
        select(erp_invoice)
        .join(
            erp_document,
            and_(line.tenant == invoice.tenant, line.erp_company == invoice.erp_company, _is_on(line.document)),
        )
        .where(line.tenant == tenant, line.effect_type == "billing_line", among(line.key, keys))
        .distinct()
        .order_by(invoice.erp_company, invoice.erp_id),
    )


def invoices_named(connection: Connection, tenant: str, text: str) -> Sequence[RowMapping]:
    """The ERP's invoices of this number or id."""
    invoice = erp_invoice.c
    return _rows(
        connection,
        select(erp_invoice)
        .where(invoice.tenant == tenant, or_(invoice.number == text, invoice.erp_id == text))
        .order_by(invoice.erp_company, invoice.erp_id),
    )


def invoice(connection: Connection, tenant: str, erp_company: str, erp_id: str) -> RowMapping | None:
    """One of the ERP's invoices."""
    table = erp_invoice.c
    return _first(
        connection,
        select(erp_invoice).where(table.tenant == tenant, table.erp_company == erp_company, table.erp_id == erp_id),
    )


def payments_of_invoices(
    connection: Connection, tenant: str, invoices: Collection[tuple[str, str]]
) -> Sequence[RowMapping]:
    """The payments of invoices, which are given by ERP company and id, as last read, in the order of their days."""
    table = erp_payment.c
    return _rows(
        connection,
        select(erp_payment)
        .where(table.tenant == tenant, tuple_(table.erp_company, table.invoice_id).in_(list(invoices)))
        .order_by(table.paid_on, table.erp_id),
    )


def payments_named(connection: Connection, tenant: str, text: str) -> Sequence[RowMapping]:
    """Payments whose line in the ERP has this id, or whose journal entry this number."""
    table = erp_payment.c
    query = select(erp_payment).where(table.tenant == tenant, or_(table.erp_id == text, table.number == text))
    return _rows(connection, query.order_by(table.erp_company, table.erp_id, table.invoice_id).limit(20))


def lines_of_invoice(
    connection: Connection, tenant: str, erp_company: str, erp_id: str, *, limit: int
) -> Sequence[RowMapping]:
    """The lines on an invoice, as last read, each with the object of its posting; None for one that is not ours."""
    line, head = erp_document.c, erp_invoice.c
    return _rows(
        connection,
        select(
            line.erp_id,
            line.key,
            line.service_date,
            line.minutes,
            line.amount,
            line.currency,
            line.tax_amount,
            line.credits_key,
            posting.c.object_id,
        )
        .join_from(
            erp_document,
            erp_invoice,
            and_(line.tenant == head.tenant, line.erp_company == head.erp_company, _is_on(line.document)),
        )
        .outerjoin(posting, posting.c.key == line.key)
        .where(
            head.tenant == tenant,
            head.erp_company == erp_company,
            head.erp_id == erp_id,
            line.effect_type == "billing_line",
        )
        .order_by(line.service_date, line.erp_id)
        .limit(limit),
    )


def _is_on(document: ColumnElement[str | None]) -> ColumnElement[bool]:
    """Whether the document of a line is this invoice; a draft that has no number yet goes by its id."""
    head = erp_invoice.c
    return or_(document == head.number, document == literal("draft invoice ") + head.erp_id)


def lines_named(connection: Connection, tenant: str, erp_id: str) -> Sequence[RowMapping]:
    """The ERP's lines and entries of this id, as last read."""
    line = erp_document.c
    return _rows(
        connection,
        select(line.erp_company, line.effect_type, line.erp_id, line.key, line.amount, line.currency, line.document)
        .where(line.tenant == tenant, line.erp_id == erp_id)
        .order_by(line.erp_company, line.effect_type)
        .limit(20),
    )


def delivery(connection: Connection, tenant: str, delivery_id: int) -> RowMapping | None:
    """One webhook delivery by its number."""
    table = webhook_delivery.c
    return _first(connection, select(webhook_delivery).where(table.tenant == tenant, table.id == delivery_id))


def deliveries_named(connection: Connection, tenant: str, delivery_id: str) -> Sequence[RowMapping]:
    """The webhook deliveries of this id, which is a hash of what arrived."""
    table = webhook_delivery.c
    return _rows(
        connection,
        select(table.id, table.source, table.event, table.received_at)
        .where(table.tenant == tenant, table.delivery_id == delivery_id)
        .order_by(table.id),
    )


def objects_of_contract(connection: Connection, tenant: str, contract_id: str) -> Sequence[str]:
    """The contract's own objects that something was posted for: fees, instalments, revenue of a month."""
    table = posting.c
    return (
        connection.execute(
            select(table.object_id)
            .where(table.tenant == tenant, table.object_id.startswith(f"contract:{contract_id}:", autoescape=True))
            .distinct()
            .order_by(table.object_id)
            .limit(50)
        )
        .scalars()
        .all()
    )


def plan_of(connection: Connection, tenant: str, plan_id: int) -> RowMapping | None:
    """The head of the plan of this number."""
    table = plan.c
    return _first(connection, select(plan).where(table.tenant == tenant, table.id == plan_id))


def _rows(connection: Connection, statement: Select[*tuple[object, ...]]) -> Sequence[RowMapping]:
    return connection.execute(statement).mappings().all()


def _first(connection: Connection, statement: Select[*tuple[object, ...]]) -> RowMapping | None:
    return connection.execute(statement).mappings().first()
