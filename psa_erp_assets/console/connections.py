"""Connections: the page and the API that say how each outside system fares."""

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from jinja2 import Environment
from sqlalchemy import Engine

from psa_erp_assets.console.access import Viewer
from psa_erp_assets.console.errors import Refusal
from psa_erp_assets.console.reading import snapshot
from psa_erp_assets.domain.access import Permission
from psa_erp_assets.services.connections import Connections, connections


def connections_router(engine: Engine, environment: Environment, *, tenant: str) -> APIRouter:
    """`/connections` for people and `/api/v1/connections` for programs."""
    router = APIRouter()

    @router.get("/connections", response_class=HTMLResponse, include_in_schema=False)
    def page(actor: Viewer) -> HTMLResponse:
        with snapshot(engine) as connection:
            found = connections(connection, tenant, actor.entities(Permission.VIEW))
        return HTMLResponse(environment.get_template("connections.html").render(found=found))

    @router.get(
        "/api/v1/connections",
        tags=["reading"],
        summary="How each outside system fares",
        responses={
            401: {"model": Refusal, "description": "Nobody has signed in."},
            403: {"model": Refusal, "description": "Whoever asks may not look."},
            503: {"model": Refusal, "description": "The store cannot be reached."},
        },
    )
    def read(actor: Viewer) -> Connections:
        """Health, circuit, budgets, cursors and what waits, by connection that the actor may see."""
        with snapshot(engine) as connection:
            return connections(connection, tenant, actor.entities(Permission.VIEW))

    return router
