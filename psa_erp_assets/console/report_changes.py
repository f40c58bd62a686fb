"""What has changed between two reporting runs, and why: a page, and the same under /api/v1/reports."""

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment
from pydantic import BaseModel, Field

from psa_erp_assets.adapters.reporting_file import ReportingFileError
from psa_erp_assets.console.access import Viewer, refuse_entity
from psa_erp_assets.console.report_source import ReportSource
from psa_erp_assets.console.reports_api import RESPONSES
from psa_erp_assets.domain.access import Actor, Permission
from psa_erp_assets.domain.report_changes import CAUSES, MEASURES, Cause, Change, Measure
from psa_erp_assets.services import report_text
from psa_erp_assets.services.as_of import ReportingRun
from psa_erp_assets.services.reports import REPORTS

_MOST = 200
"""As many changes as the page has; programs get all."""


class AskedChanges(BaseModel):
    """Which runs are compared, and what of it is wanted. Empty is what a form sends for a choice that was not made."""

    before: str = Field("", pattern=r"^\d{0,18}$", description="Number of the earlier run; empty for the last but one.")
    after: str = Field("", pattern=r"^\d{0,18}$", description="Number of the later run; empty for the last.")
    entity: str = Field("", pattern=r"^[A-Za-z0-9_-]{0,30}$", description="Legal entity; empty for all.")
    month: str = Field("", pattern=r"^(\d{4}-\d{2})?$", description="Month, as 2026-09; empty for all.")
    measure: Measure | Literal[""] = Field("", description="Changes of this measure alone; empty for all.")
    cause: Cause | Literal[""] = Field("", description="Changes with this cause alone; empty for all.")


ChangesQuery = Annotated[AskedChanges, Query()]


class RunBody(BaseModel):
    """A reporting run. `month_end` is the month of which it is the last."""

    id: int
    published_at: dt.datetime
    month_end: str | None


class PartBody(BaseModel):
    """What a cause has added to a change, and the first of the ids that it is about."""

    cause: Cause
    amount: Decimal
    items: int
    ids: list[str]


class ChangeBody(BaseModel):
    """A measure of a contract and month that differs; its parts come to the whole difference."""

    measure: Measure
    legal_entity: str
    contract_id: str | None
    month: str
    currency: str
    before: Decimal
    after: Decimal
    difference: Decimal
    parts: list[PartBody]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What two runs differ by. `causes` are those of all changes, with how many amounts each has moved."""

    before: int
    after: int
    changes: Sequence[Change]
    causes: Mapping[Cause, int]


def report_changes_router(environment: Environment, source: ReportSource) -> APIRouter:
    """The page /reports/changes, and /api/v1/reports/runs and /api/v1/reports/changes."""
    router = APIRouter()

    def found(actor: Actor, asked: AskedChanges) -> Found | None:
        """The changes that somebody may see, the largest first; None where there are no two runs.

        Raises HTTPException and ReportingFileError.
        """
        if asked.entity:
            refuse_entity(actor, Permission.VIEW, asked.entity)
        before, after = _pair(source.runs(), asked.before, asked.after)
        if before is None or after is None:
            return None
        mine = actor.entities(Permission.VIEW)
        changes = source.changes(
            before,
            after,
            legal_entity=asked.entity or None,
            month=asked.month or None,
            measure=asked.measure or None,
        )
        seen = [change for change in changes if mine is None or change.legal_entity in mine]
        seen.sort(key=lambda change: (-abs(change.difference), change.legal_entity, change.month))
        moved = Counter(part.cause for change in seen for part in change.parts)
        if asked.cause:
            seen = [change for change in seen if asked.cause in {part.cause for part in change.parts}]
        return Found(before=before, after=after, changes=seen, causes=dict(moved.most_common()))

    @router.get("/reports/changes", response_class=HTMLResponse, include_in_schema=False)
    def page(actor: Viewer, asked: ChangesQuery) -> Response:
        try:
            one = found(actor, asked)
        except ReportingFileError as error:
            raise HTTPException(503, str(error)) from error
        values: dict[str, Any] = {
            "reports": REPORTS,
            "runs": source.runs(),
            "asked": asked,
            "found": one,
            "changes": [] if one is None else one.changes[:_MOST],
            "measures": MEASURES,
            "causes": CAUSES,
            "text": report_text.text,
        }
        return HTMLResponse(environment.get_template("reports_changes.html").render(values))

    calls = APIRouter(prefix="/api/v1/reports", tags=["reports"], responses=RESPONSES)

    @calls.get("/runs", summary="The reporting runs that can be looked at")
    def read_runs(_: Viewer) -> list[RunBody]:
        """The latest first; those whose state the lake has no longer are left out."""
        return [RunBody.model_validate(run, from_attributes=True) for run in source.runs()]

    @calls.get("/changes", summary="What has changed between two reporting runs, and why")
    def read_changes(actor: Viewer, asked: ChangesQuery) -> list[ChangeBody]:
        """By contract and month, the largest first, in the currency of the entity's books."""
        try:
            one = found(actor, asked)
        except ReportingFileError as error:
            raise HTTPException(503, str(error), {"Retry-After": "60"}) from error
        if one is None:
            raise HTTPException(404, "There are no two reporting runs to compare yet.")
        return [ChangeBody.model_validate(change, from_attributes=True) for change in one.changes]

    router.include_router(calls)
    return router


def _pair(runs: Sequence[ReportingRun], before: str, after: str) -> tuple[int | None, int | None]:
    """The two runs that are asked for: by themselves the last, and the one before it."""
    later = int(after) if after else (runs[0].id if runs else None)
    if before:
        return int(before), later
    earlier = next((run.id for run in runs if later is not None and run.id < later), None)
    return earlier, later
