"""`/api/v1/exceptions`: all that the exception pages show and do, for programs."""

import datetime as dt
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, Engine

from psa_erp_assets.console.access import requires
from psa_erp_assets.console.errors import Problem, Refusal
from psa_erp_assets.console.exception_query import GroupAsked, ItemId, RequestId, asked_for, refusals
from psa_erp_assets.console.guarding import GuardedRoute
from psa_erp_assets.console.reading import PageNumber, snapshot
from psa_erp_assets.domain.access import Actor, Permission
from psa_erp_assets.domain.exception_duties import Priority
from psa_erp_assets.services import exception_work, replay
from psa_erp_assets.services.exception_cases import (
    PAGE_SIZE,
    Case,
    CaseStory,
    CauseGroup,
    Request,
    Totals,
    Wanted,
    case_story,
    list_cases,
    list_groups,
    list_requests,
    totals,
)
from psa_erp_assets.services.exception_export import to_csv
from psa_erp_assets.services.exception_work import Chosen, Done, Work
from psa_erp_assets.services.replay import Replay, Replayed
from psa_erp_assets.services.scope import Scope
from psa_erp_assets.services.trace import NotFoundError

MOST_EXPORTED = 50_000
"""As many items as one export has, oldest first."""

Viewer = Annotated[Actor, Depends(requires(Permission.VIEW))]
Operator = Annotated[Actor, Depends(requires(Permission.OPERATE))]
Approver = Annotated[Actor, Depends(requires(Permission.APPROVE))]
Filter = Annotated[Wanted, Depends(asked_for)]
Text = Annotated[str, Field(min_length=1, max_length=2_000)]


class ActionName(StrEnum):
    """What can be done about items."""

    ASSIGN = "assign"
    NOTE = "note"
    PRIORITIZE = "prioritize"
    RETRY = "retry"
    RESOLVE = "resolve"
    WRITE_OFF = "write_off"
    NEW_KEY = "new_key"


class ChosenBody(BaseModel):
    """Some items by their ids, or a group as "code/cause"; not both."""

    model_config = ConfigDict(extra="forbid")

    ids: Annotated[list[int], Field(max_length=exception_work.MOST_ITEMS)] = []
    group: Annotated[str | None, Field(pattern=r"^[a-z_]{1,60}/[^\x00-\x1f\x7f]{0,200}$")] = None

    def chosen(self) -> Chosen:
        """The choice. Raises HTTPException 422 for none or two."""
        if bool(self.ids) is (self.group is not None):
            raise HTTPException(422, "give either ids or a group")
        return Chosen(ids=tuple(self.ids), group=self.group)


class ActionBody(ChosenBody):
    """An action. `text` is the note, or why; `assignee` None gives items to nobody, `priority` None to the rule."""

    action: ActionName
    text: Text | None = None
    assignee: Annotated[str | None, Field(max_length=200)] = None
    priority: Priority | None = None


class ReplayBody(ChosenBody):
    """A replay, and why."""

    reason: Text


class DecisionBody(BaseModel):
    """A decision about a request, and why."""

    model_config = ConfigDict(extra="forbid")

    approve: bool
    note: Text


def act(work: Work, body: ActionBody) -> Done:
    """Do what was asked for. Raises WorkRefusedError, NotFoundError."""
    chosen, text = body.chosen(), body.text or ""
    match body.action:
        case ActionName.ASSIGN:
            return exception_work.assign(work, chosen, body.assignee or None)
        case ActionName.PRIORITIZE:
            return exception_work.prioritize(work, chosen, body.priority)
        case ActionName.NOTE:
            return exception_work.note(work, chosen, text)
        case ActionName.RETRY:
            return exception_work.retry(work, chosen, text)
        case ActionName.RESOLVE:
            return exception_work.resolve(work, chosen, text)
        case ActionName.WRITE_OFF:
            return exception_work.ask_write_off(work, chosen, text)
        case ActionName.NEW_KEY:
            return exception_work.ask_new_key(work, chosen, text)


def exceptions_api_router(engine: Engine, scope: Scope, *, clock: Callable[[], dt.datetime]) -> APIRouter:
    """Routes under /api/v1/exceptions."""
    router = APIRouter(
        prefix="/api/v1/exceptions",
        tags=["exceptions"],
        route_class=GuardedRoute,
        responses={
            401: {"model": Refusal, "description": "Nobody has signed in, and no token was sent."},
            403: {"model": Refusal, "description": "The account may not do this."},
            404: {"model": Refusal, "description": "No such exception or request, or none that the account may see."},
            409: {"model": Refusal, "description": "It cannot be done as things stand; the detail says why."},
            413: {"model": Refusal, "description": "The body is too large."},
            415: {"model": Refusal, "description": "The body is no JSON."},
            422: {"model": Problem, "description": "Something in the request is not understood."},
        },
    )

    @router.get("", summary="Items in trouble")
    def read_items(actor: Viewer, wanted: Filter, page: PageNumber = 1) -> list[Case]:
        """A page of 100 open items, oldest first, or resolved ones, latest first, with owner, priority and due time."""
        with snapshot(engine) as connection:
            found = list_cases(
                connection,
                scope,
                wanted,
                entities=actor.entities(Permission.VIEW),
                now=clock(),
                offset=(page - 1) * PAGE_SIZE,
            )
        return list(found)

    @router.get("/totals", summary="How many there are")
    def read_totals(actor: Viewer) -> Totals:
        """Open items, and how many of them are overdue."""
        with snapshot(engine) as connection:
            return totals(connection, scope, entities=actor.entities(Permission.VIEW), now=clock())

    @router.get("/groups", summary="Items in trouble, by cause")
    def read_groups(actor: Viewer, wanted: Filter) -> list[CauseGroup]:
        """Groups of items with one code and cause, the most urgent first."""
        with snapshot(engine) as connection:
            return list(list_groups(connection, scope, wanted, entities=actor.entities(Permission.VIEW), now=clock()))

    @router.get("/groups/items", summary="The items of a cause")
    def read_group(actor: Viewer, group: GroupAsked, page: PageNumber = 1) -> list[Case]:
        """A page of 100 open items of a group, oldest first."""
        with snapshot(engine) as connection:
            found = list_cases(
                connection,
                scope,
                Wanted(group=group),
                entities=actor.entities(Permission.VIEW),
                now=clock(),
                offset=(page - 1) * PAGE_SIZE,
            )
        return list(found)

    @router.get("/export.csv", response_class=Response, include_in_schema=False)
    def export_csv(actor: Viewer, wanted: Filter) -> Response:
        """The first 50,000 items. A text that a spreadsheet would take for a formula begins with an apostrophe."""
        with snapshot(engine) as connection:
            found = list_cases(
                connection, scope, wanted, entities=actor.entities(Permission.VIEW), now=clock(), limit=MOST_EXPORTED
            )
        return Response(
            to_csv(found),
            media_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": 'attachment; filename="exceptions.csv"'},
        )

    @router.get("/export.json", summary="Items as JSON")
    def export_json(actor: Viewer, wanted: Filter, response: Response) -> list[Case]:
        """The first 50,000 items."""
        with snapshot(engine) as connection:
            found = list_cases(
                connection, scope, wanted, entities=actor.entities(Permission.VIEW), now=clock(), limit=MOST_EXPORTED
            )
        response.headers["Content-Disposition"] = 'attachment; filename="exceptions.json"'
        return list(found)

    @router.get("/requests", summary="What people asked for")
    def read_requests(
        actor: Viewer, waiting: Annotated[bool, Query(description="Only those that wait for a decision.")] = True
    ) -> list[Request]:
        """Requests, latest first: those that wait for a decision, or the last 200."""
        with snapshot(engine) as connection:
            found = list_requests(connection, scope, waiting=waiting, limit=200)
        return [request for request in found if visible(request, actor)]

    @router.get("/requests/{request_id}", summary="One request")
    def read_request(actor: Viewer, request_id: RequestId) -> Request:
        """What was asked for, by whom and why, with what it would change."""
        with snapshot(engine) as connection:
            return request_of(connection, scope, request_id, actor)

    @router.post("/requests/{request_id}/decision", summary="Approve or reject a request")
    def decide(actor: Approver, request_id: RequestId, body: DecisionBody) -> Request:
        """Four eyes: not by whoever asked for it. What is approved is done at once."""
        with refusals():
            return exception_work.decide(
                Work(engine, scope, actor, clock()), request_id, approve=body.approve, note=body.note
            )

    @router.post("/replays", status_code=201, summary="Plan anew and show the difference")
    def ask_replay(actor: Operator, body: ReplayBody) -> Replay:
        """Nothing is posted until it is confirmed."""
        with refusals():
            return replay.preview(Work(engine, scope, actor, clock()), body.chosen(), body.reason)

    @router.post("/replays/{request_id}/confirmation", summary="Carry a replay out")
    def confirm_replay(actor: Operator, request_id: RequestId) -> Replayed:
        """As it was shown, by whom it was shown to; a plan that facts have overtaken is left out."""
        with refusals():
            return replay.confirm(Work(engine, scope, actor, clock()), request_id)

    @router.post("/actions", summary="Do something about items")
    def do(actor: Operator, body: ActionBody) -> Done:
        """Assign, note, prioritize, retry, resolve; ask for a write-off or a new key, which somebody else approves."""
        with refusals():
            return act(Work(engine, scope, actor, clock()), body)

    @router.get("/{item_id}", summary="One item's whole case")
    def read_item(actor: Viewer, item_id: ItemId) -> CaseStory:
        """The item with its notes, requests, posting, and what can be done about it."""
        with snapshot(engine) as connection:
            return case_story(connection, scope, item_id, entities=actor.entities(Permission.VIEW), now=clock())

    return router


def request_of(connection: Connection, scope: Scope, request_id: int, actor: Actor) -> Request:
    """A request that somebody may see. Raises NotFoundError."""
    found = next((r for r in list_requests(connection, scope) if r.id == request_id), None)
    if found is None or not visible(found, actor):
        raise NotFoundError(f"there is no request {request_id}")
    return found


def visible(request: Request, actor: Actor) -> bool:
    """Whether somebody may see a request: it is about legal entities of theirs alone."""
    mine = actor.entities(Permission.VIEW)
    return mine is None or (bool(request.legal_entities) and set(request.legal_entities) <= mine)
