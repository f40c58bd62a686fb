"""The documentation of the reporting store: every SQL model and column, generated from the models, searchable."""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import HTMLResponse
from jinja2 import Environment

from psa_erp_assets.console.access import requires
from psa_erp_assets.domain.access import Permission

if TYPE_CHECKING:
    from psa_erp_assets.services.model_docs import ModelDoc

logger = logging.getLogger(__name__)

_PATIENCE_SECONDS, _AHEAD_SECONDS = 2.0, 5.0
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

    return router


def read_ahead(stop: threading.Event) -> None:
    """Read the models in the background soon after the start, so that the page is there when it is asked for.

    Not at once: what a server is started for comes first. It waits for `stop` then, as a worker of the console does.
    """
    from psa_erp_assets.adapters.sql_models import SqlModelError  # noqa: PLC0415 - as below

    if stop.wait(_AHEAD_SECONDS):
        return
    try:
        _docs("")
    except (SqlModelError, OSError) as error:
        logger.warning("the models cannot be read: %s", error)
    stop.wait()


def _docs(search: str) -> "list[ModelDoc]":
    # Reading the models takes seconds and DuckDB, which a server that nobody asks for them does not need.
    from psa_erp_assets.services.model_docs import model_docs  # noqa: PLC0415
    from psa_erp_assets.services.reporting import models  # noqa: PLC0415

    return model_docs(models(), search)
