"""The console: one ASGI application that receives webhooks and shows where the sync stands.

Everything that it works with is handed to `create_app`; nothing is read from the environment and nothing is global.
Whoever asks for more than the webhooks and its health has signed in, or is a program with a token.
"""

import datetime as dt
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Literal

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from jinja2 import Environment
from pydantic import BaseModel
from sqlalchemy import Engine, select
from sqlalchemy.exc import DataError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.staticfiles import StaticFiles

from psa_erp_assets.adapters.reporting_file import ReportingFile
from psa_erp_assets.console.access import DeniedError, ForgetVisitor, Gate
from psa_erp_assets.console.api import api_router
from psa_erp_assets.console.audit import Prove, audit_router
from psa_erp_assets.console.background import Background, Worker
from psa_erp_assets.console.charts import charts_router
from psa_erp_assets.console.choices import choices_api_router, choices_router
from psa_erp_assets.console.connections import connections_router
from psa_erp_assets.console.denied import close_denials, note_denied
from psa_erp_assets.console.desk import Desk, sign_in_address
from psa_erp_assets.console.errors import Problem, field_problems
from psa_erp_assets.console.exceptions import exceptions_router
from psa_erp_assets.console.exceptions_api import exceptions_api_router
from psa_erp_assets.console.gate import AccessSetUp, make_gate
from psa_erp_assets.console.lineage import lineage_router
from psa_erp_assets.console.links import link_router
from psa_erp_assets.console.mappings import mappings_router
from psa_erp_assets.console.mappings_api import mappings_api_router
from psa_erp_assets.console.metrics import metrics_router
from psa_erp_assets.console.models import models_router
from psa_erp_assets.console.my_account import my_account_router
from psa_erp_assets.console.openid import openid_router
from psa_erp_assets.console.overview import overview_router
from psa_erp_assets.console.pages import pages_router
from psa_erp_assets.console.people import people_router
from psa_erp_assets.console.people_api import people_api_router
from psa_erp_assets.console.plans import plans_api_router, plans_router
from psa_erp_assets.console.reconciliation import reconciliation_router
from psa_erp_assets.console.rendering import FOLDER, make_environment
from psa_erp_assets.console.report_changes import report_changes_router
from psa_erp_assets.console.report_source import ReportSource
from psa_erp_assets.console.reports import reports_router
from psa_erp_assets.console.reports_api import reports_api_router
from psa_erp_assets.console.security import HEADERS, SecurityHeaders
from psa_erp_assets.console.sign_in import sign_in_router
from psa_erp_assets.console.webhooks import RETRY_AFTER_SECONDS, WebhookLane, Webhooks, webhook_router
from psa_erp_assets.console.work_items import work_items_router
from psa_erp_assets.services.denials import Denials
from psa_erp_assets.services.figures import Figures
from psa_erp_assets.services.intake import Intake
from psa_erp_assets.services.receipts import Receipts
from psa_erp_assets.services.receiving import WebhookPolicy, WebhookSource
from psa_erp_assets.services.report_history import ReportHistory
from psa_erp_assets.services.scope import Scope
from psa_erp_assets.services.trace import NotFoundError

LOOPBACK = ("127.0.0.1", "localhost")
_FOR_PROGRAMS = ("/api/", "/webhooks/", "/healthz", "/auth/", "/metrics")

logger = logging.getLogger(__name__)

_EXPLAINED = {
    404: "Nothing is known under this address. An id may have been cut off when it was copied.",
    422: "The address has a part that is not understood.",
    503: "The store cannot be reached. Nothing is lost: whatever was accepted is kept, and senders try again.",
}
_TAGS = [
    {"name": "work", "description": "Time, expenses and milestones, what is decided about them, contracts' accounts."},
    {"name": "exceptions", "description": "What is in trouble, by cause, and what people do about it."},
    {"name": "mappings", "description": "Which record of which system is which, who said so, where systems differ."},
    {"name": "people", "description": "Accounts, and their roles by legal entity."},
    {"name": "plans", "description": "What would be posted, who approves it, closed periods, and the rollout."},
    {"name": "reports", "description": "Figures for executives and finance, and the rows behind each of them."},
    {"name": "webhooks", "description": "Vendors announce here that an object changed; its content is fetched."},
    {"name": "reading", "description": "What the pages show, for programs."},
    {"name": "health", "description": "Whether the server can do its work."},
]


class Health(BaseModel):
    """Whether the server can do its work."""

    database: Literal["reachable", "unreachable"]
    background: Literal["running", "dead"]


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def create_app(
    engine: Engine,
    *,
    scope: Scope,
    sources: Mapping[str, WebhookSource],
    dagster_url: str | None = None,
    policy: WebhookPolicy | None = None,
    allowed_hosts: Sequence[str] = LOOPBACK,
    background: Sequence[Worker] = (),
    access: AccessSetUp | None = None,
    gate: Gate | None = None,
    prove: Prove | None = None,
    reporting: Path | None = None,
    history: ReportHistory | None = None,
    clock: Callable[[], dt.datetime] = _now,
) -> FastAPI:
    """The application for the tenant of a scope.

    `sources` are the vendors that may send webhooks, by the name in their address. `allowed_hosts` are the host
    names that the server answers to: a page of another site that has its name resolve to the loopback address
    reads nothing. `access` says how people sign in; a `gate` of one's own takes its place. Each of `background` runs
    in a thread from start to shutdown. `prove` makes proofs of the audit log. `reporting` is the
    file that reports read, and without one they say that there is none; `history` has them as
    they stood before. `clock` gives an aware instant.
    """
    workers, tenant = Background(background), scope.tenant
    intake, receipts, denials = Intake(engine, tenant), Receipts(sources), Denials(engine, tenant)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        workers.start()
        try:
            yield
        finally:
            await run_in_threadpool(workers.stop)
            await intake.close()
            await close_denials(denials, clock=clock)

    # The interactive description loads scripts from elsewhere, so only the document itself is served.
    app = FastAPI(
        title="psa-erp console",
        description=(
            "Receives webhooks and work, and answers where each approved hour is on its way to the ERP. Amounts are"
            " texts with their currency beside them, minutes are whole numbers, service dates are local dates and"
            " instants have their offset."
        ),
        version="1",
        lifespan=lifespan,
        openapi_url="/api/openapi.json",
        openapi_tags=_TAGS,
        docs_url=None,
        redoc_url=None,
    )
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(allowed_hosts), www_redirect=False)
    app.add_middleware(ForgetVisitor)
    app.add_middleware(SecurityHeaders)
    environment = make_environment(dagster_url=dagster_url)
    set_up = access or AccessSetUp()
    app.state.gate, app.state.webhooks = (
        gate or make_gate(engine, tenant, set_up, clock),
        Webhooks(
            intake, sources, policy=policy or WebhookPolicy(), hosts=allowed_hosts, clock=clock, receipts=receipts
        ),
    )
    app.add_middleware(WebhookLane, webhooks=app.state.webhooks)
    _handle_errors(app, environment, partial(note_denied, denials, clock=clock))
    app.include_router(webhook_router())
    app.include_router(work_items_router(engine, scope, clock=clock))
    app.include_router(exceptions_api_router(engine, scope, clock=clock))
    app.include_router(exceptions_router(engine, environment, scope, clock=clock))
    app.include_router(metrics_router(engine, Figures(engine, scope, clock), receipts, lambda: workers.counts))
    app.include_router(api_router(engine, tenant=tenant))
    app.include_router(pages_router(engine, environment, tenant=tenant))
    app.include_router(overview_router(engine, environment, scope, dagster_url=dagster_url))
    app.include_router(lineage_router(engine, environment, tenant=tenant))
    app.include_router(connections_router(engine, environment, tenant=tenant))
    app.include_router(audit_router(engine, environment, tenant=tenant, prove=prove))
    app.include_router(models_router(environment))
    reported = ReportSource(ReportingFile(reporting or Path("no reporting file")), history)
    app.include_router(charts_router())
    for about_reports in (report_changes_router, reports_router):
        app.include_router(about_reports(environment, reported))
    app.include_router(reports_api_router(reported))
    for calls in (mappings_api_router, plans_api_router, choices_api_router):
        app.include_router(calls(engine, scope, clock=clock))
    for of_pages in (mappings_router, plans_router, choices_router, reconciliation_router):
        app.include_router(of_pages(engine, environment, scope, clock=clock))
    desk = Desk(environment, set_up)
    for entrance in (sign_in_router, link_router, openid_router):
        app.include_router(entrance(engine, desk, tenant=tenant, clock=clock))
    for about_accounts in (my_account_router, people_router):
        app.include_router(about_accounts(engine, environment, tenant=tenant, set_up=set_up, clock=clock))
    app.include_router(people_api_router(engine, tenant=tenant, set_up=set_up, clock=clock))
    app.mount("/static", StaticFiles(directory=FOLDER / "static"), name="static")

    @app.get("/healthz", tags=["health"], responses={503: {"model": Health}}, summary="Can it do its work?")
    def healthz(response: Response) -> Health:
        """200 when the database answers and every background worker lives, else 503."""
        health = Health(
            database="reachable" if _reaches_database(engine) else "unreachable",
            background="running" if workers.all_alive else "dead",
        )
        if health.database == "unreachable" or health.background == "dead":
            response.status_code = 503
        return health

    return app


def _reaches_database(engine: Engine) -> bool:
    try:
        with engine.connect() as connection:
            connection.execute(select(1))
    except (DBAPIError, PoolTimeoutError):
        return False
    return True


def _handle_errors(app: FastAPI, environment: Environment, note: Callable[..., Awaitable[None]]) -> None:
    """Every refusal in the form of what was asked: JSON for programs, a page for people; never an inner detail."""

    def answer(
        request: Request, code: int, message: str, headers: Mapping[str, str] | None = None
    ) -> HTMLResponse | JSONResponse:
        if request.url.path.startswith(_FOR_PROGRAMS):
            return JSONResponse({"detail": message}, code, headers)
        title = HTTPStatus(code).phrase
        page = environment.get_template("error.html").render(code=code, title=title, message=message)
        return HTMLResponse(page, code, headers)

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        if error.status_code == HTTPStatus.UNAUTHORIZED and not request.url.path.startswith(_FOR_PROGRAMS):
            wanted = f"{request.url.path}{'?' if request.url.query else ''}{request.url.query}"
            back = wanted if request.method == "GET" else "/"
            return RedirectResponse(sign_in_address(back), HTTPStatus.SEE_OTHER)
        if isinstance(error, DeniedError):
            await note(request, error)
        explained = _EXPLAINED.get(error.status_code, error.detail)
        message = explained if error.detail == HTTPStatus(error.status_code).phrase else error.detail
        return answer(request, error.status_code, message, error.headers)

    @app.exception_handler(RequestValidationError)
    async def misunderstood(request: Request, error: RequestValidationError) -> Response:
        problems = field_problems(error.errors())
        if request.url.path.startswith("/api/v1/"):
            body = Problem(detail="Something is not understood; see the problems.", problems=problems)
            return JSONResponse(body.model_dump(), 422)
        parts = ", ".join(sorted({problem.field for problem in problems}))
        return answer(request, 422, f"{_EXPLAINED[422]} Look at: {parts}.")

    @app.exception_handler(NotFoundError)
    async def unknown(request: Request, error: NotFoundError) -> Response:
        return answer(request, 404, f"{error}.")

    @app.exception_handler(DataError)
    async def not_storable(request: Request, _: DataError) -> Response:
        return answer(request, 422, _EXPLAINED[422])

    async def unavailable(request: Request, error: Exception) -> Response:
        # Not the error's text: it repeats the statement's parameters, which are business data.
        cause = error.orig if isinstance(error, DBAPIError) else error
        logger.warning("the store failed: %s %s", type(cause).__name__, getattr(cause, "sqlstate", None) or "")
        return answer(request, 503, _EXPLAINED[503], {"Retry-After": str(RETRY_AFTER_SECONDS)})

    app.add_exception_handler(DBAPIError, unavailable)
    app.add_exception_handler(PoolTimeoutError, unavailable)

    @app.exception_handler(Exception)
    async def failed(request: Request, _: Exception) -> Response:
        # This answer is made outside of the middleware that adds the headers to all others.
        return answer(request, 500, "Something went wrong here. The server's log has the details.", HEADERS)
