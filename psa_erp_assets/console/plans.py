"""Plans: the pages and the API on which they are looked at, reviewed and applied."""

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, HTTPException, Path, Query
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from sqlalchemy import Engine

from psa_erp_assets.adapters.store.plan_items import ItemFilter
from psa_erp_assets.adapters.store.plan_lists import PlanFilter, PlanRow
from psa_erp_assets.console.access import Viewer, refuse_entity, requires
from psa_erp_assets.console.errors import Problem, Refusal
from psa_erp_assets.console.guarding import FormRoute, GuardedRoute
from psa_erp_assets.console.reading import EntityCode, Month, PageNumber, snapshot
from psa_erp_assets.domain.access import Actor, Permission
from psa_erp_assets.domain.plan import Action
from psa_erp_assets.services import plan_report, plan_review
from psa_erp_assets.services.plan_report import ItemPage, PlanPage, PlanReport, PlanStatus
from psa_erp_assets.services.plan_review import ReviewRefusedError
from psa_erp_assets.services.planning import PlanNeedsApprovalError, PlanNotFoundError, PlanOvertakenError
from psa_erp_assets.services.scope import Scope
from psa_erp_assets.services.trace import NotFoundError

_EMPTY = BeforeValidator(lambda value: None if value == "" else value)
Operator = Annotated[Actor, Depends(requires(Permission.OPERATE))]
Approver = Annotated[Actor, Depends(requires(Permission.APPROVE))]
PlanId = Annotated[int, Path(ge=1, le=2**63 - 1, description="The plan's number.")]
StatusName = Annotated[PlanStatus | None, _EMPTY, Query(description="Status; empty for all.")]
Waiting = Annotated[bool, Query(description="Only those that need somebody's approval.")]
ActionName = Annotated[Action | None, _EMPTY, Query(description="Items of this action; empty for all.")]
Contract = Annotated[
    str | None,
    Query(pattern=r"^[^\x00-\x1f\x7f]{0,200}$", description="Items of this contract; none for work on no contract."),
]
Place = Annotated[
    str, Query(pattern=r"^(\d{1,9}\.\d{1,9})?$", description="Items after this place, as the page before says.")
]
Note = Annotated[str, Form(max_length=2_000)]
Said = Annotated[str, Query(pattern=r"^[a-z_]{0,30}$")]
NO_CONTRACT = "none"


class ReviewBody(BaseModel):
    """A review, and why."""

    model_config = ConfigDict(extra="forbid")

    approve: bool
    note: Annotated[str, Field(min_length=1, max_length=2_000)]


class PartitionBody(BaseModel):
    """What to plan anew."""

    model_config = ConfigDict(extra="forbid")

    legal_entity: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,30}$")]
    service_month: Annotated[str, Field(pattern=r"^\d{4}-\d{2}$")]


class Applied(BaseModel):
    """What applying a plan did: so many postings were planned, stopped or tried again."""

    plan: int
    postings: int


class Desk:
    """What people do about plans, within their legal entities. What is refused is answered with 404 or 409."""

    def __init__(self, engine: Engine, scope: Scope, clock: Callable[[], dt.datetime]) -> None:
        self.engine, self.scope, self.clock = engine, scope, clock

    def listed(self, wanted: PlanFilter, page: int) -> PlanPage:
        """A page of plans."""
        with snapshot(self.engine) as connection:
            return plan_report.plan_page(connection, self.scope.tenant, wanted, page=page)

    def report(self, actor: Actor, plan_id: int) -> PlanReport:
        """One plan by contract."""
        with _refusals(), snapshot(self.engine) as connection:
            return plan_report.read_report(
                connection, self.scope.tenant, plan_id, entities=actor.entities(Permission.VIEW)
            )

    def items(self, actor: Actor, plan_id: int, wanted: ItemFilter, after: str) -> ItemPage:
        """Items of one plan."""
        with _refusals(), snapshot(self.engine) as connection:
            plan_report.load_plan(connection, self.scope.tenant, plan_id, actor.entities(Permission.VIEW))
            return plan_report.item_page(connection, plan_id, wanted, after=after or None)

    def review(self, actor: Actor, plan_id: int, *, approve: bool, note: str) -> None:
        """Approve or reject."""
        self._may(actor, Permission.APPROVE, plan_id)
        with _refusals():
            plan_review.review(
                self.engine,
                self.scope,
                plan_id,
                approve=approve,
                reviewed_by=actor.id,
                note=note,
                now=self.clock(),
            )

    def apply(self, actor: Actor, plan_id: int) -> int:
        """Apply; answers with how many postings it touched."""
        self._may(actor, Permission.OPERATE, plan_id)
        with _refusals():
            return plan_review.apply(self.engine, self.scope, plan_id, asked_by=actor.id, now=self.clock())

    def plan_anew(self, actor: Actor, legal_entity: str, service_month: str) -> int:
        """Plan a partition; answers with the plan's id."""
        refuse_entity(actor, Permission.OPERATE, legal_entity)
        with _refusals():
            partition = (legal_entity, service_month)
            return plan_review.plan_anew(self.engine, self.scope, partition, asked_by=actor.id, now=self.clock()).id

    def _may(self, actor: Actor, permission: Permission, plan_id: int) -> None:
        with _refusals(), snapshot(self.engine) as connection:
            plan = plan_report.load_plan(connection, self.scope.tenant, plan_id, actor.entities(Permission.VIEW))
        refuse_entity(actor, permission, plan.legal_entity)


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except PlanNotFoundError as error:
        raise NotFoundError(str(error)) from error
    except (ReviewRefusedError, PlanNeedsApprovalError, PlanOvertakenError) as error:
        text = str(error)
        raise HTTPException(409, f"{text[:1].upper()}{text[1:]}.") from error


def plans_router(
    engine: Engine, environment: Environment, scope: Scope, *, clock: Callable[[], dt.datetime]
) -> APIRouter:
    """Routes of the pages. They are left out of the API's description."""
    router = APIRouter(
        prefix="/plans", default_response_class=HTMLResponse, include_in_schema=False, route_class=FormRoute
    )
    desk = Desk(engine, scope, clock)

    def render(template: str, **values: Any) -> HTMLResponse:
        return HTMLResponse(environment.get_template(template).render(values))

    @router.get("")
    def overview(  # noqa: PLR0917 - FastAPI reads the address into them by name
        actor: Viewer,
        status: StatusName = None,
        entity: EntityCode = "",
        month: Month = "",
        waiting: Waiting = False,
        page: PageNumber = 1,
    ) -> HTMLResponse:
        mine = actor.entities(Permission.VIEW)
        found = desk.listed(_wanted(actor, status, entity, month, waiting=waiting), page)
        with snapshot(engine) as connection:
            waits = plan_report.count_waiting(connection, scope.tenant, mine)
        chosen = {"status": status or "", "entity": entity, "month": month, "waiting": "true" if waiting else ""}
        kept = urlencode({name: value for name, value in chosen.items() if value})
        return render(
            "plans.html",
            found=found,
            waits=waits,
            chosen=chosen,
            filtered=bool(kept),
            statuses=list(PlanStatus),
            page_link="/plans?" + (f"{kept}&" if kept else ""),
            operates=actor.may(Permission.OPERATE),
        )

    @router.post("")
    def plan_anew(
        actor: Operator,
        entity: Annotated[str, Form(pattern=r"^[A-Za-z0-9_-]{1,30}$")],
        month: Annotated[str, Form(pattern=r"^\d{4}-\d{2}$")],
    ) -> RedirectResponse:
        return _to(f"/plans/{desk.plan_anew(actor, entity, month)}", said="planned")

    @router.get("/{plan_id}")
    def one(  # noqa: PLR0917 - FastAPI reads the address into them by name
        actor: Viewer,
        plan_id: PlanId,
        action: ActionName = None,
        contract: Contract = None,
        after: Place = "",
        said: Said = "",
    ) -> HTMLResponse:
        found = desk.report(actor, plan_id)
        items = desk.items(actor, plan_id, _items(action, contract), after)
        chosen = {"action": action or "", "contract": contract or ""}
        kept = urlencode({name: value for name, value in chosen.items() if value})
        return render(
            "plan.html",
            found=found,
            items=items,
            chosen=chosen,
            first=not after,
            filter_link=f"/plans/{plan_id}?" + (f"{kept}&" if kept else ""),
            said=said,
            can=_can(actor, found.plan),
            no_contract=NO_CONTRACT,
        )

    @router.post("/{plan_id}/review")
    def review(actor: Approver, plan_id: PlanId, approve: Annotated[bool, Form()], note: Note = "") -> RedirectResponse:
        desk.review(actor, plan_id, approve=approve, note=note)
        return _to(f"/plans/{plan_id}", said="approved" if approve else "rejected")

    @router.post("/{plan_id}/application")
    def apply(actor: Operator, plan_id: PlanId) -> RedirectResponse:
        desk.apply(actor, plan_id)
        return _to(f"/plans/{plan_id}", said="applied")

    return router


def plans_api_router(engine: Engine, scope: Scope, *, clock: Callable[[], dt.datetime]) -> APIRouter:
    """Routes under /api/v1/plans."""
    router = APIRouter(
        prefix="/api/v1/plans",
        tags=["plans"],
        route_class=GuardedRoute,
        responses={
            401: {"model": Refusal, "description": "Nobody has signed in, and no token was sent."},
            403: {"model": Refusal, "description": "The account may not do this."},
            404: {"model": Refusal, "description": "No such plan, or none that the account may see."},
            409: {"model": Refusal, "description": "It cannot be done as things stand; the detail says why."},
            413: {"model": Refusal, "description": "The body is too large."},
            415: {"model": Refusal, "description": "The body is no JSON."},
            422: {"model": Problem, "description": "Something in the request is not understood."},
            503: {"model": Refusal, "description": "The store cannot be reached."},
        },
    )
    desk = Desk(engine, scope, clock)

    @router.get("", summary="Plans")
    def read_plans(  # noqa: PLR0917 - FastAPI reads the address into them by name
        actor: Viewer,
        status: StatusName = None,
        entity: EntityCode = "",
        month: Month = "",
        waiting: Waiting = False,
        page: PageNumber = 1,
    ) -> PlanPage:
        """A page of 50, latest first, each with what it brings to the books."""
        return desk.listed(_wanted(actor, status, entity, month, waiting=waiting), page)

    @router.post("", status_code=201, summary="Plan a partition")
    def plan_anew(actor: Operator, body: PartitionBody) -> PlanReport:
        """Nothing is posted. Where the approval rules ask for it, the plan waits for somebody else."""
        return desk.report(actor, desk.plan_anew(actor, body.legal_entity, body.service_month))

    @router.get("/{plan_id}", summary="One plan by contract")
    def read_plan(actor: Viewer, plan_id: PlanId) -> PlanReport:
        """What there is, what there will be, the difference; what is held, and why."""
        return desk.report(actor, plan_id)

    @router.get("/{plan_id}/items", summary="The items of a plan")
    def read_items(
        actor: Viewer, plan_id: PlanId, action: ActionName = None, contract: Contract = None, after: Place = ""
    ) -> ItemPage:
        """Fifty at a time, in the plan's order."""
        return desk.items(actor, plan_id, _items(action, contract), after)

    @router.post("/{plan_id}/review", summary="Approve or reject a plan")
    def review(actor: Approver, plan_id: PlanId, body: ReviewBody) -> PlanReport:
        """Four eyes: not by whoever made it. Nothing is posted by it."""
        desk.review(actor, plan_id, approve=body.approve, note=body.note)
        return desk.report(actor, plan_id)

    @router.post("/{plan_id}/application", summary="Apply a plan")
    def apply(actor: Operator, plan_id: PlanId) -> Applied:
        """Turn it into postings, which the posting engine sends. 409 where facts have overtaken it."""
        return Applied(plan=plan_id, postings=desk.apply(actor, plan_id))

    return router


def _wanted(actor: Actor, status: PlanStatus | None, entity: str, month: str, *, waiting: bool) -> PlanFilter:
    return PlanFilter(
        status=status,
        legal_entity=entity or None,
        service_month=month or None,
        waiting=waiting,
        entities=actor.entities(Permission.VIEW),
    )


def _items(action: Action | None, contract: str | None) -> ItemFilter:
    return ItemFilter(action=action, contract_id="" if contract == NO_CONTRACT else contract or None)


def _can(actor: Actor, plan: PlanRow) -> dict[str, bool]:
    """What the actor may do about a plan as it stands; `own` says why they may not review it."""
    own = actor.id.casefold() == plan.created_by.strip().casefold()
    waits = plan.status == PlanStatus.PROPOSED and bool(plan.approval_reasons)
    ready = plan.status == PlanStatus.APPROVED or (plan.status == PlanStatus.PROPOSED and not plan.approval_reasons)
    return {
        "waits": waits,
        "own": own,
        "review": waits and not own and actor.may(Permission.APPROVE, plan.legal_entity),
        "apply": ready and actor.may(Permission.OPERATE, plan.legal_entity),
        "ready": ready,
    }


def _to(address: str, **told: str) -> RedirectResponse:
    return RedirectResponse(f"{address}?{urlencode(told)}" if told else address, status_code=303)
