"""`psa-erp trace`: the story of whatever an id is the id of."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection

from psa_erp_assets.cli import render
from psa_erp_assets.cli.output import hours, print_table, stdout
from psa_erp_assets.services import lineage, plan_report
from psa_erp_assets.services import trace as traces
from psa_erp_assets.services.lineage import Candidate, DeliveryStory, InvoiceStory, PayloadStory
from psa_erp_assets.services.plain import to_plain
from psa_erp_assets.services.trace import PostingStory

Shown = tuple[Callable[[], Any], Callable[[], None]]
"""What `--json` prints, and what prints it for people."""


def shown(connection: Connection, tenant: str, text: str) -> Shown:
    """The story of what this is the id of, or all that it can be. Raises NotFoundError."""
    found = lineage.find(connection, tenant, text)
    if len(found) > 1:
        return lambda: [to_plain(candidate) for candidate in found], lambda: _candidates(text, found)
    return _story(connection, tenant, found[0])


def _story(connection: Connection, tenant: str, one: Candidate) -> Shown:
    match one.kind:
        case "posting":
            posting = traces.trace_posting(connection, tenant, one.id)
            invoices = traces.invoices_of(connection, tenant, [one.id])
            return lambda: to_plain(posting), lambda: _posting(posting, invoices)
        case "plan":
            report = plan_report.read_report(connection, tenant, int(one.id))
            return lambda: to_plain(report), lambda: render.plan(report)
        case "invoice":
            company, _, erp_id = one.id.partition("/")
            invoice = lineage.invoice_story(connection, tenant, company, erp_id)
            return invoice.to_dict, lambda: _invoice(invoice)
        case "delivery":
            delivery = lineage.delivery_story(connection, tenant, int(one.id))
            return delivery.to_dict, lambda: _delivery(delivery)
        case "payload":
            payload = lineage.payload_story(connection, tenant, int(one.id))
            return payload.to_dict, lambda: _payload(payload)
        case _:
            work = traces.trace(connection, tenant, one.id)
            return work.to_dict, lambda: render.trace(work)


def _candidates(text: str, found: tuple[Candidate, ...]) -> None:
    print_table(
        f"{text} is the id of several things",
        ("what", "ask for", "entity", "detail"),
        [
            (c.title, c.id if c.kind in ("work", "posting") else f"{c.kind}:{c.id}", c.legal_entity, c.detail)
            for c in found
        ],
        empty="nothing",
    )


def _posting(found: PostingStory, invoices: tuple[traces.Invoice, ...]) -> None:
    stdout.print(
        f"[bold]{found.key}[/bold], {found.leg} {found.effect_type} of {found.object_id}: {found.state}."
        f" {found.amount:,} {found.currency}, {hours(found.minutes)} hours on {found.service_date},"
        f" plan {found.plan_id}.",
        highlight=False,
    )
    print_table(
        "Events",
        ("time (UTC)", "event", "state", "worker"),
        [(render.at(e.at), e.event, e.to_state, e.worker) for e in found.events],
        empty="none",
    )
    print_table(
        "In the ERP, as last read",
        ("document", "amount", "on", "state"),
        [(d.erp_id, f"{d.amount:,} {d.currency}", d.document, d.document_state) for d in found.documents],
        empty="nothing",
    )
    render.invoices(invoices)
    stdout.print(f"Of the work: psa-erp trace {found.object_id}", highlight=False)


def _invoice(story: InvoiceStory) -> None:
    render.invoices([story.invoice])
    print_table(
        "Lines, and the work that they bill",
        ("line", "work", "posting", "date", "hours", "amount"),
        [
            (line.erp_id, line.object_id, line.key, line.service_date, hours(line.minutes),
             f"{line.amount:,} {line.currency}")
            for line in story.lines
        ],
        empty="none was read",
    )  # fmt: skip


def _delivery(story: DeliveryStory) -> None:
    handled = f"handled {render.at(story.handled_at)}" if story.handled_at else "waits"
    stdout.print(
        f"Webhook {story.event} from {story.source}, {render.at(story.received_at)}, {story.copies} times: {handled}."
        + (f" {story.error}" if story.error else ""),
        highlight=False,
        markup=False,
    )
    print_table("Announced", ("object",), [(each,) for each in story.objects], empty=story.unreadable or "nothing")


def _payload(story: PayloadStory) -> None:
    made = ", ".join(map(str, story.revisions)) or "none"
    stdout.print(
        f"Payload {story.id}: {story.object_type} {story.vendor_id} from {story.source}, version {story.version},"
        f" by {story.arrived_by}, {render.at(story.received_at)}. Revisions made of it: {made}.",
        highlight=False,
        markup=False,
    )
    if story.object_id is not None:
        stdout.print(f"Of the work: psa-erp trace {story.object_id}", highlight=False)
