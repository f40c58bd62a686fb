"""The exception pages: groups by cause, one group, one item with its case, requests, and the forms on them."""

import datetime as dt
from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment
from sqlalchemy import Engine

from psa_erp_assets.console.access import requires
from psa_erp_assets.console.exception_query import NOBODY, GroupName, ItemId, RequestId, asked_for, refusals
from psa_erp_assets.console.exceptions_api import ActionBody, ActionName, act, request_of, visible
from psa_erp_assets.console.guarding import FormRoute
from psa_erp_assets.console.reading import PageNumber, snapshot
from psa_erp_assets.console.rendering import in_path
from psa_erp_assets.domain.access import Actor, Permission
from psa_erp_assets.domain.exception_duties import Priority
from psa_erp_assets.domain.faults import FaultClass, Owner
from psa_erp_assets.services import exception_work, replay
from psa_erp_assets.services.exception_cases import (
    PAGE_SIZE,
    Wanted,
    case_story,
    count_cases,
    list_cases,
    list_groups,
    list_requests,
    totals,
)
from psa_erp_assets.services.exception_work import Chosen, Done, Work
from psa_erp_assets.services.scope import Scope

AGES = {24: "a day", 72: "three days", 168: "a week", 720: "a month"}

Viewer = Annotated[Actor, Depends(requires(Permission.VIEW))]
Operator = Annotated[Actor, Depends(requires(Permission.OPERATE))]
Approver = Annotated[Actor, Depends(requires(Permission.APPROVE))]
Filter = Annotated[Wanted, Depends(asked_for)]
Text = Annotated[str, Form(max_length=2_000)]
# What an action says of itself on the page that it leads back to: words and numbers of ours alone.
Said = Annotated[str, Query(pattern=r"^[a-z_]{0,30}$")]
Number = Annotated[int, Query(ge=0, le=10**9)]


def exceptions_router(
    engine: Engine, environment: Environment, scope: Scope, *, clock: Callable[[], dt.datetime]
) -> APIRouter:
    """Routes of the exception pages. They are left out of the API's description."""
    router = APIRouter(
        prefix="/exceptions", default_response_class=HTMLResponse, include_in_schema=False, route_class=FormRoute
    )

    def render(template: str, actor: Actor, **values: Any) -> HTMLResponse:
        shown = {"actor": actor, "operates": actor.may(Permission.OPERATE), "approves": actor.may(Permission.APPROVE)}
        return HTMLResponse(environment.get_template(template).render(shown | values))

    @router.get("")
    def overview(request: Request, actor: Viewer, wanted: Filter, page: PageNumber = 1) -> HTMLResponse:
        mine, now = actor.entities(Permission.VIEW), clock()
        with snapshot(engine) as connection:
            groups = () if wanted.resolved else list_groups(connection, scope, wanted, entities=mine, now=now)
            cases = list_cases(connection, scope, wanted, entities=mine, now=now, offset=(page - 1) * PAGE_SIZE)
            found = count_cases(connection, scope, wanted, entities=mine, now=now)
            all_open = totals(connection, scope, entities=mine, now=now)
            waiting = [r for r in list_requests(connection, scope, waiting=True) if visible(r, actor)]
        kept = [(name, value) for name, value in request.query_params.items() if value and name != "page"]
        return render(
            "exceptions.html",
            actor,
            groups=groups,
            cases=cases,
            found=found,
            totals=all_open,
            waiting=len([r for r in waiting if r.kind != "replay"]),
            wanted=wanted,
            chosen=dict.fromkeys(asked_for.__annotations__, "") | dict(kept),
            filtered=any(name != "resolved" for name, _ in kept),
            query=urlencode(kept),
            page=page,
            pages=max(1, -(-found // PAGE_SIZE)),
            owners=list(Owner),
            classes=list(FaultClass),
            ages=AGES,
            nobody=NOBODY,
        )

    @router.get("/requests")
    def requests(actor: Viewer) -> HTMLResponse:
        with snapshot(engine) as connection:
            found = [r for r in list_requests(connection, scope, limit=200) if visible(r, actor)]
        return render("exceptions_requests.html", actor, requests=found)

    @router.get("/requests/{request_id}")
    def one_request(actor: Viewer, request_id: RequestId, said: Said = "") -> HTMLResponse:
        with snapshot(engine) as connection:
            found = request_of(connection, scope, request_id, actor)
        return render("exceptions_request.html", actor, request=found, said=said)

    @router.post("/requests/{request_id}/decision")
    def decide(
        actor: Approver, request_id: RequestId, approve: Annotated[bool, Form()], note: Text = ""
    ) -> RedirectResponse:
        with refusals():
            exception_work.decide(Work(engine, scope, actor, clock()), request_id, approve=approve, note=note)
        return _to(f"/exceptions/requests/{request_id}")

    @router.post("/requests/{request_id}/confirmation")
    def confirm(actor: Operator, request_id: RequestId) -> RedirectResponse:
        with refusals():
            replay.confirm(Work(engine, scope, actor, clock()), request_id)
        return _to(f"/exceptions/requests/{request_id}", said="replayed")

    @router.post("/actions")
    def do(  # noqa: PLR0917 - FastAPI reads the form into them by name
        actor: Operator,
        action: Annotated[str, Form(pattern=r"^[a-z_]{1,30}$")],
        group: Annotated[str | None, Form()] = None,
        item: Annotated[int | None, Form(ge=1)] = None,
        text: Text = "",
        assignee: Annotated[str, Form(max_length=200)] = "",
        priority: Annotated[str, Form(max_length=20)] = "",
    ) -> RedirectResponse:
        work, back = Work(engine, scope, actor, clock()), _back(group, item)
        chosen = Chosen(ids=() if item is None else (item,), group=group)
        if action == "replay":
            with refusals():
                seen = replay.preview(work, chosen, text)
            return _to(f"/exceptions/requests/{seen.request}")
        if action == "take":
            action, assignee = ActionName.ASSIGN.value, actor.id
        try:
            body = ActionBody(
                ids=[*chosen.ids],
                group=group,
                action=ActionName(action),
                text=text.strip() or None,
                assignee=assignee.strip() or None,
                priority=Priority(priority) if priority else None,
            )
        except ValueError as error:
            raise HTTPException(422, "The form has a value that is not understood.") from error
        with refusals():
            done = act(work, body)
        return _to(back if done.request is None else f"/exceptions/requests/{done.request}", **_told(body.action, done))

    @router.get("/groups/{group:path}")
    def one_group(  # noqa: PLR0917 - FastAPI reads the address into them by name
        actor: Viewer, group: GroupName, page: PageNumber = 1, said: Said = "", items: Number = 0, refused: Number = 0
    ) -> HTMLResponse:
        wanted, mine, now = Wanted(group=group), actor.entities(Permission.VIEW), clock()
        with snapshot(engine) as connection:
            found = list_groups(connection, scope, wanted, entities=mine, now=now)
            cases = list_cases(connection, scope, wanted, entities=mine, now=now, offset=(page - 1) * PAGE_SIZE)
        return render(
            "exceptions_group.html",
            actor,
            group=found[0] if found else None,
            name=group,
            cases=cases,
            page=page,
            pages=max(1, -(-found[0].items // PAGE_SIZE)) if found else 1,
            page_link=f"/exceptions/groups/{in_path(group)}?",
            most=exception_work.MOST_ITEMS,
            told=(said, items, refused),
            priorities=list(Priority),
        )

    @router.get("/{item_id}")
    def one_item(
        actor: Viewer, item_id: ItemId, said: Said = "", items: Number = 0, refused: Number = 0
    ) -> HTMLResponse:
        with snapshot(engine) as connection:
            story = case_story(connection, scope, item_id, entities=actor.entities(Permission.VIEW), now=clock())
        return render(
            "exceptions_item.html",
            actor,
            story=story,
            told=(said, items, refused),
            priorities=list(Priority),
        )

    return router


def _back(group: str | None, item: int | None) -> str:
    if item is not None:
        return f"/exceptions/{item}"
    return f"/exceptions/groups/{in_path(group or '')}"


def _told(action: ActionName, done: Done) -> dict[str, object]:
    return {"said": action.value, "items": len(done.items), "refused": len(done.refused)}


def _to(address: str, **told: object) -> RedirectResponse:
    return RedirectResponse(f"{address}?{urlencode(told)}" if told else address, status_code=303)
