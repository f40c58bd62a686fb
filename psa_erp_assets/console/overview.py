"""The first page, and the same under /api/v1/overview."""

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from jinja2 import Environment
from sqlalchemy import Engine

from psa_erp_assets.adapters.dagster_api import DagsterUnreachableError, ScheduleTick, schedules
from psa_erp_assets.console.access import Viewer
from psa_erp_assets.console.errors import Refusal
from psa_erp_assets.console.reading import snapshot
from psa_erp_assets.domain.access import Permission
from psa_erp_assets.services.overview import Overview, overview
from psa_erp_assets.services.scope import Scope


def overview_router(engine: Engine, environment: Environment, scope: Scope, *, dagster_url: str | None) -> APIRouter:
    """The page / and /api/v1/overview."""
    router = APIRouter()

    @router.get("/", response_class=HTMLResponse, include_in_schema=False)
    def page(actor: Viewer) -> HTMLResponse:
        with snapshot(engine) as connection:
            found = overview(connection, scope, actor.entities(Permission.VIEW))
        ticks = _schedules(dagster_url)
        return HTMLResponse(environment.get_template("overview.html").render(found=found, ticks=ticks))

    @router.get(
        "/api/v1/overview",
        tags=["reading"],
        summary="What goes through, what waits, what is in trouble",
        responses={
            401: {"model": Refusal, "description": "Nobody has signed in, and no token was sent."},
            403: {"model": Refusal, "description": "Whoever asks may not look."},
            503: {"model": Refusal, "description": "The store cannot be reached."},
        },
    )
    def read(actor: Viewer) -> Overview:
        """Flows of the last 24 hours, backlog, exceptions, connections, and where the audit log stands."""
        with snapshot(engine) as connection:
            return overview(connection, scope, actor.entities(Permission.VIEW))

    return router


def _schedules(url: str | None) -> tuple[ScheduleTick, ...] | None:
    """The schedules; None where Dagster gives no answer."""
    if url is None:
        return None
    try:
        return schedules(url)
    except DagsterUnreachableError:
        return None
