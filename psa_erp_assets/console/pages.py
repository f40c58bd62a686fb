"""The pages: plain HTML from templates, without a script."""

from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from jinja2 import Environment
from sqlalchemy import Engine

from psa_erp_assets.adapters.store.listings import PostingFilter
from psa_erp_assets.console.access import Viewer, refuse_entity
from psa_erp_assets.console.reading import (
    EntityCode,
    Month,
    PageNumber,
    Pending,
    PostingKey,
    StateName,
    snapshot,
)
from psa_erp_assets.domain.access import Permission
from psa_erp_assets.services.listings import inbox_page, postings_page
from psa_erp_assets.services.trace import invoices_of, trace_posting


def pages_router(engine: Engine, environment: Environment, *, tenant: str) -> APIRouter:
    """Routes of the pages. They are left out of the API's description."""
    router = APIRouter(default_response_class=HTMLResponse, include_in_schema=False)

    def render(template: str, **values: Any) -> HTMLResponse:
        return HTMLResponse(environment.get_template(template).render(values))

    @router.get("/inbox")
    def inbox(actor: Viewer, page: PageNumber = 1, pending: Pending = False) -> HTMLResponse:
        # What came in is of no legal entity yet.
        refuse_entity(actor, Permission.VIEW, None)
        with snapshot(engine) as connection:
            found = inbox_page(connection, tenant, page=page, pending=pending)
        link = "/inbox?" + ("pending=true&" if pending else "")
        return render("inbox.html", inbox=found, pending=pending, page_link=link)

    @router.get("/postings")
    def postings(
        actor: Viewer, state: StateName = "", entity: EntityCode = "", month: Month = "", page: PageNumber = 1
    ) -> HTMLResponse:
        wanted = PostingFilter(
            state=state or None,
            legal_entity=entity or None,
            service_month=month or None,
            entities=actor.entities(Permission.VIEW),
        )
        with snapshot(engine) as connection:
            found = postings_page(connection, tenant, wanted, page=page)
        chosen = {"state": state, "entity": entity, "month": month}
        kept = urlencode({name: value for name, value in chosen.items() if value})
        link = "/postings?" + (f"{kept}&" if kept else "")
        return render("postings.html", found=found, chosen=chosen, filtered=bool(kept), page_link=link)

    @router.get("/postings/{key}")
    def posting(actor: Viewer, key: PostingKey) -> HTMLResponse:
        with snapshot(engine) as connection:
            story = trace_posting(connection, tenant, key)
            invoices = invoices_of(connection, tenant, [key])
        refuse_entity(actor, Permission.VIEW, story.legal_entity)
        return render("posting.html", posting=story, invoices=invoices)

    return router
