"""`/api/v1`: work handed in by a PSA that has no connector, what is decided about it, and contracts' accounts."""

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, HTTPException, Path, Query, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy import Engine

from psa_erp_assets.adapters.store.work_items import ItemFilter
from psa_erp_assets.console.access import Viewer, refuse_entity, requires
from psa_erp_assets.console.errors import Problem, Refusal
from psa_erp_assets.console.guarding import GuardedRoute
from psa_erp_assets.console.reading import ENTRY_ID, EntityCode, Month, PageNumber, snapshot
from psa_erp_assets.console.rendering import in_path
from psa_erp_assets.console.work_item_bodies import WorkItemBody, submission
from psa_erp_assets.domain.access import Actor, Permission
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.decision import Outcome
from psa_erp_assets.services.billable_work_items import (
    BillableWorkItem,
    Change,
    WorkTooEarlyError,
    billable_work_item,
)
from psa_erp_assets.services.contract_account import ContractAccount, MonthNotBegunError, contract_account
from psa_erp_assets.services.scope import Scope
from psa_erp_assets.services.submitting import ForeignEntityError, ItemsPage, OlderVersionError, items_page, submit

_CONTRACT = r"^[A-Za-z0-9_-]{1,60}$"
ContractId = Annotated[str, Path(pattern=_CONTRACT, description="The contract's code.", examples=["CTR-0001"])]
ObjectId = Annotated[str, Path(pattern=ENTRY_ID, description="Canonical id.", examples=["time_entry:api:T-1041"])]
ContractFilter = Annotated[str, Query(pattern=r"^[A-Za-z0-9_-]{0,60}$", description="Contract; empty for all.")]
OutcomeFilter = Annotated[Outcome | None, Query(description="Outcome of the latest plan's decision.")]
AccountMonth = Annotated[
    str | None,
    Query(
        pattern=r"^2[0-9]{3}-(0[1-9]|1[0-2])$",
        description="Service month, as 2026-09; the present one if it is left out.",
    ),
]

_NO_DATABASE = "The store cannot be reached. Nothing was kept; send it again after `Retry-After` seconds."
_TIME: dict[str, Any] = {
    "kind": "time_entry",
    "id": "T-1041",
    "source_version": 3,
    "state": "approved",
    "psa_user_id": "5b7e0f2ac1d3",
    "psa_project_id": "64c0ffee0001",
    "service_date": "2026-09-14",
    "time_zone": "Europe/Berlin",
    "started_at": "2026-09-14T09:00:00+02:00",
    "minutes": 95,
    "billable": True,
    "description": "Data model workshop",
    "work_types": ["travel"],
}
_EXPENSE: dict[str, Any] = {
    "kind": "expense",
    "id": "R-2207",
    "state": "approved",
    "psa_user_id": "5b7e0f2ac1d3",
    "psa_project_id": "64c0ffee0001",
    "service_date": "2026-09-14",
    "category": "Travel",
    "receipt": {"amount": "84.50", "currency": "EUR"},
    "billable": True,
    "description": "Train to Hamburg",
}
_MILESTONE: dict[str, Any] = {
    "kind": "milestone",
    "id": "M-7",
    "state": "approved",
    "contract_id": "CTR-0041",
    "component": "design",
    "service_date": "2026-09-30",
    "amount": {"amount": "12000.00", "currency": "EUR"},
    "label": "Design accepted",
}
_ITEM: dict[str, Any] = {
    "object_id": "time_entry:api:T-1041",
    "kind": "time_entry",
    "revision": 1,
    "state": "approved",
    "change": "new",
    "route": {"legal_entity": "DE", "service_month": "2026-09", "contract_id": "CTR-0031"},
    "decision": {
        "object_id": "time_entry:api:T-1041",
        "outcome": "post",
        "mode": "live",
        "component": "main",
        "minutes": 95,
        "amounts": [{"effect_type": "billing_line", "amount": "190.00", "currency": "EUR", "minutes": 95}],
        "parts": [],
        "holds": [
            {
                "effect_type": "cost_transaction",
                "code": "no_cost_rate",
                "detail": "no cost rate for EMP-0012 on 2026-09-14",
                "next_step": "Record the employee's compensation in HR with an effective date on or before the work.",
            }
        ],
        "reasons": [],
        "versions": {"contract": "CTR-0031", "project": "PRJ-0031"},
    },
    "credited": [],
}


def _named(value: Mapping[str, Any], summary: str) -> dict[str, Any]:
    return {"summary": summary, "value": value}


def _example(value: Mapping[str, Any]) -> dict[str, Any]:
    return {"content": {"application/json": {"example": value}}}


def work_items_router(engine: Engine, scope: Scope, *, clock: Callable[[], dt.datetime]) -> APIRouter:
    """Routes under /api/v1."""
    router = APIRouter(
        prefix="/api/v1",
        tags=["work"],
        route_class=GuardedRoute,
        responses={
            422: {"model": Problem, "description": "A field is not understood; `problems` says which, and why."},
            503: {"model": Refusal, "description": _NO_DATABASE},
        },
    )

    @router.post(
        "/billable-work-items",
        status_code=201,
        summary="Hand in time, an expense or a milestone",
        response_description="It was not known before.",
        responses={
            201: _example(_ITEM),
            200: {"model": BillableWorkItem, "description": "It was known: `change` is revised, or unchanged."},
            400: {"model": Refusal, "description": "The body is not JSON in UTF-8."},
            403: {"model": Refusal, "description": "Not allowed, or a page of another site has sent it."},
            408: {"model": Refusal, "description": "The body took too long to arrive."},
            409: {
                "model": Refusal,
                "description": "A higher `source_version` is known, or another content under this one. The payload is "
                "kept and changes nothing.",
            },
            413: {"model": Refusal, "description": "The body has more than 64 KiB."},
            415: {"model": Refusal, "description": "The body is not announced as `application/json`."},
        },
    )
    def create(
        item: Annotated[
            WorkItemBody,
            Body(
                discriminator="kind",
                openapi_examples={
                    "time": _named(_TIME, "An hour and a half, with travel"),
                    "expense": _named(_EXPENSE, "A train ticket"),
                    "milestone": _named(_MILESTONE, "A milestone that was accepted"),
                },
            ),
        ],
        response: Response,
        actor: Annotated[Actor, Depends(requires(Permission.SUBMIT))],
    ) -> BillableWorkItem:
        """Keep it in the inbox, enter it as a billable work item, and answer with what is decided about it now.

        Nothing is posted by this: the item becomes due, and the next plan of its legal entity and month acts on it.
        Sending the same again changes nothing, so that a request whose answer was lost is simply repeated. To correct
        work, send it again under its id; to take it back, send it with the state `deleted`.
        """
        try:
            mine = actor.entities(Permission.SUBMIT)
            entered = submit(engine, scope, submission(item), clock(), entities=mine)
        except OlderVersionError as error:
            raise HTTPException(409, f"{error}; this one is kept and changes nothing") from error
        except ForeignEntityError as error:
            raise HTTPException(403, f"{error}; nothing is kept") from error
        except WorkTooEarlyError as error:
            raise _problem("body", "service_date", error) from error
        if entered.change is not Change.NEW:
            response.status_code = 200
        response.headers["Location"] = f"/api/v1/billable-work-items/{in_path(entered.object_id)}"
        return entered

    @router.get("/billable-work-items", summary="Billable work items")
    def read_items(
        actor: Viewer,
        *,
        contract: ContractFilter = "",
        entity: EntityCode = "",
        month: Month = "",
        outcome: OutcomeFilter = None,
        page: PageNumber = 1,
    ) -> ItemsPage:
        """A page of items of every source, the latest change first, with the outcome of the latest plan's decision."""
        wanted = ItemFilter(
            contract_id=contract or None,
            legal_entity=entity or None,
            service_month=month or None,
            outcome=outcome.value if outcome is not None else None,
            entities=actor.entities(Permission.VIEW),
        )
        with snapshot(engine) as connection:
            return items_page(connection, scope.tenant, wanted, page=page)

    @router.get(
        "/billable-work-items/{object_id:path}",
        summary="One billable work item",
        responses={
            200: _example(_ITEM | {"change": "unchanged"}),
            404: {"model": Refusal, "description": "No such item."},
        },
    )
    def read_item(actor: Viewer, object_id: ObjectId) -> BillableWorkItem:
        """Its current revision, where it belongs, and what is decided about it by the facts of this moment."""
        with snapshot(engine) as connection:
            item = billable_work_item(connection, scope, object_id)
        refuse_entity(actor, Permission.VIEW, item.route.legal_entity)
        return item

    @router.get(
        "/contracts/{contract_id}/account",
        summary="A contract's account",
        responses={404: {"model": Refusal, "description": "No such contract is signed."}},
    )
    def read_account(actor: Viewer, contract_id: ContractId, month: AccountMonth = None) -> ContractAccount:
        """What is billed and earned, what is left of caps and retainers, and what each month to come will earn.

        Balances are those at the end of the month, or of this moment within it.
        """
        today = clock().date()
        wanted = ServiceMonth.parse(month) if month is not None else ServiceMonth.of(today)
        try:
            with snapshot(engine) as connection:
                account = contract_account(connection, scope, contract_id, wanted, today=today)
        except MonthNotBegunError as error:
            raise _problem("query", "month", error) from error
        refuse_entity(actor, Permission.VIEW, account.legal_entity)
        return account

    return router


def _problem(where: str, field: str, error: Exception) -> RequestValidationError:
    return RequestValidationError([{"loc": (where, field), "msg": str(error), "type": "value_error"}])
