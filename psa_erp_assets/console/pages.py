"""The pages: plain HTML from templates, without a script."""

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment
from sqlalchemy import Engine

from psa_erp_assets.adapters.store.listings import PostingFilter
from psa_erp_assets.console.reading import (
    ENTRY_ID,
    Code,
    EntityCode,
    EntryId,
    Month,
    PageNumber,
    Pending,
    PostingKey,
    Resolved,
    StateName,
    snapshot,
)
from psa_erp_assets.console.rendering import in_path
from psa_erp_assets.services.exception_items import group_exceptions, list_exceptions
from psa_erp_assets.services.listings import inbox_page, postings_page
from psa_erp_assets.services.status import status
from psa_erp_assets.services.trace import trace, trace_posting

MOST_ITEMS = 200


def pages_router(engine: Engine, environment: Environment, *, tenant: str) -> APIRouter:
    """Routes of the pages. They are left out of the API's description."""
    router = APIRouter(default_response_class=HTMLResponse, include_in_schema=False)

    def render(template: str, **values: Any) -> HTMLResponse:
        return HTMLResponse(environment.get_template(template).render(values))

    @router.get("/")
    def overview() -> HTMLResponse:
        with snapshot(engine) as connection:
            return render("overview.html", status=status(connection, tenant))

    @router.get("/inbox")
    def inbox(page: PageNumber = 1, pending: Pending = False) -> HTMLResponse:
        with snapshot(engine) as connection:
            found = inbox_page(connection, tenant, page=page, pending=pending)
        link = "/inbox?" + ("pending=true&" if pending else "")
        return render("inbox.html", inbox=found, pending=pending, page_link=link)

    @router.get("/postings")
    def postings(
        state: StateName = "", entity: EntityCode = "", month: Month = "", page: PageNumber = 1
    ) -> HTMLResponse:
        wanted = PostingFilter(state=state or None, legal_entity=entity or None, service_month=month or None)
        with snapshot(engine) as connection:
            found = postings_page(connection, tenant, wanted, page=page)
        chosen = {"state": state, "entity": entity, "month": month}
        kept = urlencode({name: value for name, value in chosen.items() if value})
        link = "/postings?" + (f"{kept}&" if kept else "")
        return render("postings.html", found=found, chosen=chosen, filtered=bool(kept), page_link=link)

    @router.get("/postings/{key}")
    def posting(key: PostingKey) -> HTMLResponse:
        with snapshot(engine) as connection:
            return render("posting.html", posting=trace_posting(connection, tenant, key))

    @router.get("/exceptions")
    def exceptions(code: Code = "", resolved: Resolved = False) -> HTMLResponse:
        with snapshot(engine) as connection:
            groups = group_exceptions(connection, tenant)
            items = list_exceptions(connection, tenant, resolved=resolved, code=code or None, limit=MOST_ITEMS + 1)
        return render(
            "exceptions.html",
            groups=groups,
            items=items[:MOST_ITEMS],
            more=len(items) > MOST_ITEMS,
            code=code,
            resolved=resolved,
        )

    @router.get("/trace")
    def find(entry_id: Annotated[str, Query(pattern=ENTRY_ID)]) -> RedirectResponse:
        """Where the search field leads."""
        return RedirectResponse(f"/trace/{in_path(entry_id.strip())}", status_code=303)

    @router.get("/trace/{entry_id:path}")
    def story(entry_id: EntryId) -> HTMLResponse:
        with snapshot(engine) as connection:
            return render("trace.html", trace=trace(connection, tenant, entry_id))

    return router
