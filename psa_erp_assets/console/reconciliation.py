"""Reconciliation: approved work, the ERP's lines and posted invoices, by class of difference, down to each row."""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse
from jinja2 import Environment
from pydantic import BaseModel
from sqlalchemy import Engine

from psa_erp_assets.adapters.store import work_heads
from psa_erp_assets.console.access import Viewer, refuse_entity
from psa_erp_assets.console.bench import Answer, Bench
from psa_erp_assets.console.choices import Anew, computed
from psa_erp_assets.console.errors import Problem, Refusal
from psa_erp_assets.console.reading import snapshot
from psa_erp_assets.domain.access import Actor, Permission
from psa_erp_assets.domain.reconcile import NEXT_STEPS
from psa_erp_assets.services.reconciliation import DifferenceClass, Differences, differences
from psa_erp_assets.services.scope import Scope
from psa_erp_assets.services.trace import NotFoundError

Entity = Annotated[str, Query(pattern=r"^[A-Za-z0-9_-]{1,30}$", description="Legal entity.")]
Month = Annotated[str, Query(pattern=r"^\d{4}-\d{2}$", description="Service month, as 2026-09.")]
MaybeEntity = Annotated[str, Query(pattern=r"^[A-Za-z0-9_-]{0,30}$")]
MaybeMonth = Annotated[str, Query(pattern=r"^(\d{4}-\d{2})?$")]
ClassName = Annotated[str, Query(pattern=r"^[a-z_]{0,30}$", description="Rows of this class alone; empty for all.")]


class ReconciledRow(BaseModel):
    """One object's three sides. Amounts are net. `changes` says in what the ERP's document is not what was sent."""

    object_id: str
    contract_id: str | None
    outcome: str | None
    approved_minutes: int
    erp_minutes: int
    invoiced_minutes: int
    approved_amount: Decimal | None
    erp_amount: Decimal
    invoiced_amount: Decimal
    currency: str | None
    changes: list[str]


class ClassBody(BaseModel):
    """The rows of one class and currency: counts and sums of all, and the first 500 rows."""

    difference: str
    explained: bool
    next_step: str
    currency: str | None
    entries: int
    approved_minutes: int
    erp_minutes: int
    approved_amount: Decimal
    erp_amount: Decimal
    invoiced_amount: Decimal
    rows: list[ReconciledRow]

    @classmethod
    def of(cls, one: DifferenceClass) -> "ClassBody":
        """A class as a body."""
        return cls(
            difference=one.difference.value,
            explained=one.explained,
            next_step=NEXT_STEPS[one.difference],
            currency=one.currency,
            entries=one.entries,
            approved_minutes=one.approved_minutes,
            erp_minutes=one.erp_minutes,
            approved_amount=one.approved_amount,
            erp_amount=one.erp_amount,
            invoiced_amount=one.invoiced_amount,
            rows=[ReconciledRow.model_validate(row, from_attributes=True) for row in one.rows],
        )


class ReconciliationBody(BaseModel):
    """A partition's reconciliation as of `computed_at`, from the ERP's documents as they were read at `read_at`.

    `compared` of its `contracts` were looked at: fewer than all where the time allowed was over.
    """

    legal_entity: str
    service_month: str
    computed_at: dt.datetime
    read_at: dt.datetime | None
    contracts: int
    compared: int
    unexplained: int
    classes: list[ClassBody]


def reconciliation_router(
    engine: Engine, environment: Environment, scope: Scope, *, clock: Callable[[], dt.datetime]
) -> APIRouter:
    """The page /reconciliation and /api/v1/reconciliation."""
    router = APIRouter()
    bench = Bench(clock)

    def ask(actor: Actor, entity: str, month: str, *, anew: bool) -> Answer:
        refuse_entity(actor, Permission.VIEW, entity)
        partition = (entity, month)
        with snapshot(engine) as connection:
            if partition not in work_heads.partitions(connection, scope.tenant):
                raise NotFoundError(f"there is no work of {entity} {month}")
        return bench.ask(partition, lambda go_on: differences(engine, scope, partition, go_on=go_on), anew=anew)

    @router.get("/reconciliation", response_class=HTMLResponse, include_in_schema=False)
    def page(
        actor: Viewer, entity: MaybeEntity = "", month: MaybeMonth = "", kind: ClassName = "", anew: Anew = False
    ) -> HTMLResponse:
        mine = actor.entities(Permission.VIEW)
        with snapshot(engine) as connection:
            partitions = [p for p in work_heads.partitions(connection, scope.tenant) if mine is None or p[0] in mine]
        answer = ask(actor, entity, month, anew=anew) if entity and month else None
        found: Differences | None = None if answer is None else answer.value
        classes = [] if found is None else [c for c in found.classes if kind in ("", c.difference)]
        values: dict[str, Any] = {
            "entities": sorted({p[0] for p in partitions}),
            "months": sorted({p[1] for p in partitions}, reverse=True),
            "entity": entity,
            "month": month,
            "kind": kind,
            "answer": answer,
            "found": found,
            "classes": classes,
            "next_steps": NEXT_STEPS,
        }
        return HTMLResponse(environment.get_template("reconciliation.html").render(values))

    @router.get(
        "/api/v1/reconciliation",
        tags=["reading"],
        summary="A partition's reconciliation",
        responses={
            401: {"model": Refusal, "description": "Nobody has signed in, and no token was sent."},
            403: {"model": Refusal, "description": "The account may not look at this legal entity."},
            404: {"model": Refusal, "description": "No work of this legal entity and month is known."},
            422: {"model": Problem, "description": "Something in the request is not understood."},
            503: {"model": Refusal, "description": "It is still being computed; ask again."},
        },
    )
    def read(
        actor: Viewer, entity: Entity, month: Month, kind: ClassName = "", anew: Anew = False
    ) -> ReconciliationBody:
        """By class of difference, from what was last read of the ERP; 503 with Retry-After while it is computed."""
        answer = ask(actor, entity, month, anew=anew)
        found: Differences = computed(answer)
        return ReconciliationBody(
            legal_entity=found.legal_entity,
            service_month=found.service_month,
            computed_at=answer.at,
            read_at=found.read_at,
            contracts=found.contracts,
            compared=found.compared,
            unexplained=found.unexplained,
            classes=[ClassBody.of(c) for c in found.classes if kind in ("", c.difference)],
        )

    return router
