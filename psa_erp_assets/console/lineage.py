"""Lineage: from any id to its story, as pages and under /api/v1."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment
from sqlalchemy import Engine

from psa_erp_assets.console.access import Viewer, foreign_entity, refuse_entity
from psa_erp_assets.console.errors import Refusal
from psa_erp_assets.console.reading import ENTRY_ID, EntryId, snapshot
from psa_erp_assets.console.rendering import in_path
from psa_erp_assets.domain.access import Actor, Permission
from psa_erp_assets.services.lineage import (
    Candidate,
    DeliveryStory,
    InvoiceStory,
    PayloadStory,
    delivery_story,
    find,
    invoice_story,
    payload_story,
)
from psa_erp_assets.services.trace import NotFoundError, Trace, trace

Text = Annotated[str, Query(pattern=ENTRY_ID, description="Any id: of work, a posting, an ERP line or invoice, …")]
Company = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,30}$", description="The ERP's id of the company.")]
ErpId = Annotated[str, Path(pattern=r"^[^\x00-\x1f\x7f/]{1,100}$", description="The ERP's id of the invoice.")]
Number = Annotated[int, Path(ge=1, le=2**63 - 1, description="Number that the store gave it.")]
_RESPONSES: dict[int | str, dict[str, Any]] = {
    401: {"model": Refusal, "description": "Nobody has signed in, and no token was sent."},
    403: {"model": Refusal, "description": "It belongs to a legal entity that the account has no role for."},
    404: {"model": Refusal, "description": "Nothing of this id is known."},
    422: {"model": Refusal, "description": "A part of the address is not understood."},
    503: {"model": Refusal, "description": "The store cannot be reached."},
}


def address_of(candidate: Candidate) -> str:
    """The page that tells the story of a candidate."""
    match candidate.kind:
        case "posting":
            return f"/postings/{candidate.id}"
        case "plan":
            return f"/plans/{candidate.id}"
        case "invoice":
            return f"/invoices/{in_path(candidate.id)}"
        case "payload":
            return f"/payloads/{candidate.id}"
        case "delivery":
            return f"/deliveries/{candidate.id}"
        case _:
            return f"/trace/{in_path(candidate.id)}"


def lineage_router(engine: Engine, environment: Environment, *, tenant: str) -> APIRouter:
    """Routes of the pages /trace, /invoices, /deliveries and /payloads, and the same under /api/v1."""
    router = APIRouter()
    pages = APIRouter(default_response_class=HTMLResponse, include_in_schema=False)
    calls = APIRouter(prefix="/api/v1", tags=["reading"], responses=_RESPONSES)

    def render(template: str, **values: Any) -> HTMLResponse:
        return HTMLResponse(environment.get_template(template).render(values))

    def found(actor: Actor, text: str) -> list[Candidate]:
        """What somebody may see of it. Raises NotFoundError, or DeniedError where that is nothing."""
        with snapshot(engine) as connection:
            candidates = find(connection, tenant, text)
        mine = actor.entities(Permission.VIEW)
        visible = [c for c in candidates if mine is None or c.legal_entity in mine]
        if not visible:
            raise foreign_entity(Permission.VIEW)
        return visible

    def choose(candidates: list[Candidate], text: str) -> Response:
        if len(candidates) == 1:
            return RedirectResponse(address_of(candidates[0]), status_code=303)
        return render("found.html", candidates=candidates, text=text, address_of=address_of)

    def story_of(actor: Actor, object_id: str) -> Trace:
        with snapshot(engine) as connection:
            story = trace(connection, tenant, object_id)
        refuse_entity(actor, Permission.VIEW, story.legal_entity)
        return story

    def invoice_of(actor: Actor, company: str, erp_id: str) -> InvoiceStory:
        with snapshot(engine) as connection:
            story = invoice_story(connection, tenant, company, erp_id)
        refuse_entity(actor, Permission.VIEW, story.legal_entity)
        return story

    # What came in is of no legal entity yet.
    def delivery_of(actor: Actor, number: int) -> DeliveryStory:
        refuse_entity(actor, Permission.VIEW, None)
        with snapshot(engine) as connection:
            return delivery_story(connection, tenant, number)

    def payload_of(actor: Actor, number: int) -> PayloadStory:
        refuse_entity(actor, Permission.VIEW, None)
        with snapshot(engine) as connection:
            return payload_story(connection, tenant, number)

    @pages.get("/trace")
    def search(actor: Viewer, entry_id: Text) -> Response:
        """Where the search field leads."""
        return choose(found(actor, entry_id), entry_id.strip())

    @pages.get("/trace/{entry_id:path}")
    def story(actor: Viewer, entry_id: EntryId) -> Response:
        try:
            shown = story_of(actor, entry_id)
        except NotFoundError:
            # It may be the id of something else, or of several.
            return choose(found(actor, entry_id), entry_id)
        return render("trace.html", trace=shown)

    @pages.get("/invoices/{company}/{erp_id}")
    def invoice(actor: Viewer, company: Company, erp_id: ErpId) -> HTMLResponse:
        return render("invoice.html", story=invoice_of(actor, company, erp_id))

    @pages.get("/deliveries/{number}")
    def delivery(actor: Viewer, number: Number) -> HTMLResponse:
        return render("delivery.html", story=delivery_of(actor, number))

    @pages.get("/payloads/{number}")
    def payload(actor: Viewer, number: Number) -> HTMLResponse:
        return render("payload.html", story=payload_of(actor, number))

    @calls.get("/find", summary="What an id is the id of")
    def read_candidates(actor: Viewer, text: Text) -> list[Candidate]:
        """Work, a posting, a plan, an ERP line or invoice, a payload or a webhook: everything that it can be."""
        return found(actor, text)

    @calls.get("/trace/{entry_id:path}", summary="The story of a piece of work")
    def read_story(actor: Viewer, entry_id: EntryId) -> Trace:
        """Time, an expense, a milestone, a credit, or a contract's own fee or revenue: from payload to payment."""
        return story_of(actor, entry_id)

    @calls.get("/invoices/{company}/{erp_id}", summary="An invoice of the ERP, back to its work")
    def read_invoice(actor: Viewer, company: Company, erp_id: ErpId) -> InvoiceStory:
        """As last read, with the first 1,000 of its lines, each with the work that it bills."""
        return invoice_of(actor, company, erp_id)

    @calls.get("/deliveries/{number}", summary="A webhook, and what it announced")
    def read_delivery(actor: Viewer, number: Number) -> DeliveryStory:
        """It takes a role for all legal entities, as it is of none yet."""
        return delivery_of(actor, number)

    @calls.get("/payloads/{number}", summary="A payload, and what was made of it")
    def read_payload(actor: Viewer, number: Number) -> PayloadStory:
        """It takes a role for all legal entities, as it is of none yet."""
        return payload_of(actor, number)

    router.include_router(pages)
    router.include_router(calls)
    return router
