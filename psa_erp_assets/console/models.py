"""The documentation of the reporting store: every SQL model and column, generated from the models, searchable."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import HTMLResponse
from jinja2 import Environment

from psa_erp_assets.console.access import requires
from psa_erp_assets.domain.access import Permission

Search = Annotated[str, Query(pattern=r"^[^\x00-\x1f\x7f]{0,200}$", description="Words that a model must have.")]


def models_router(environment: Environment) -> APIRouter:
    """The page /models."""
    router = APIRouter(dependencies=[Depends(requires(Permission.VIEW))])

    @router.get("/models", include_in_schema=False, response_class=HTMLResponse)
    def read_page(search: Search = "") -> HTMLResponse:
        # Reading the models takes seconds and DuckDB, which a server that nobody asks for them does not need.
        from psa_erp_assets.services.model_docs import model_docs  # noqa: PLC0415
        from psa_erp_assets.services.reporting import models  # noqa: PLC0415

        docs = model_docs(models(), search)
        return HTMLResponse(environment.get_template("models.html").render(models=docs, search=search.strip()))

    return router
