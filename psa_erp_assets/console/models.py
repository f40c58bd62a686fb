"""The documentation of the reporting store: every SQL model and column, generated from the models, searchable."""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment

from psa_erp_assets.adapters.sql_models import SqlModelError
from psa_erp_assets.console.access import requires
from psa_erp_assets.console.errors import Refusal
from psa_erp_assets.domain.access import Permission
from psa_erp_assets.services.model_docs import ModelDoc, model_docs
from psa_erp_assets.services.reporting import models

logger = logging.getLogger(__name__)

_PATIENCE_SECONDS, _AHEAD_SECONDS = 2.0, 5.0
_RESPONSES: dict[int | str, dict[str, Any]] = {
    202: {
        "model": list[ModelDoc],
        "description": "The models are being read for the first time: the list is empty yet, ask again.",
    },
    401: {"model": Refusal, "description": "Nobody has signed in."},
    403: {"model": Refusal, "description": "Whoever asks may not look."},
    422: {"model": Refusal, "description": "The search is not understood."},
}
Search = Annotated[str, Query(pattern=r"^[^\x00-\x1f\x7f]{0,200}$", description="Words that a model must have.")]


def models_router(environment: Environment) -> APIRouter:
    """The page /models. While the models are read for the first time it says so, and asks again by itself.

    A server that has been up for a while has read them already (`read_ahead`).
    """
    router = APIRouter(dependencies=[Depends(requires(Permission.VIEW))])
    reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="models")

    @router.get("/models", include_in_schema=False, response_class=HTMLResponse)
    def read_page(search: Search = "") -> HTMLResponse:
        page = environment.get_template("models.html")
        try:
            docs = reader.submit(_docs, search).result(_PATIENCE_SECONDS)
        except TimeoutError:
            waiting = page.render(models=[], search=search.strip(), reading=True)
            return HTMLResponse(waiting, headers={"Refresh": "2"})
        return HTMLResponse(page.render(models=docs, search=search.strip(), reading=False))

    @router.get("/api/v1/models", tags=["reading"], responses=_RESPONSES, summary="The SQL models")
    def read_models(response: Response, search: Search = "") -> list[ModelDoc]:
        """Every model of the reporting store with its columns, their meaning and where they come from."""
        try:
            return reader.submit(_docs, search).result(_PATIENCE_SECONDS)
        except TimeoutError:
            response.status_code, response.headers["Retry-After"] = HTTPStatus.ACCEPTED, "2"
            return []

    return router


def read_ahead(stop: threading.Event) -> None:
    """Read the models in the background soon after the start, so that the page is there when it is asked for.

    Not at once: what a server is started for comes first. It waits for `stop` then, as a worker of the console does.
    """
    if stop.wait(_AHEAD_SECONDS):
        return
    try:
        _docs("")
    except (SqlModelError, OSError) as error:
        logger.warning("the models cannot be read: %s", error)
    stop.wait()


def _docs(search: str) -> list[ModelDoc]:
    return model_docs(models(), search)
