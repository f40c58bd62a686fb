"""A second PSA that speaks Kantata OX's API v1 (projects and their milestones), over the demo company.

Sources: "Kantata OX API", https://developer.kantata.com, sections "Response Format", "Pagination", "Request by ID" and
"Errors", operations of Stories and Workspaces, schemas Story and Errors; http://developer.mavenlink.com/stories/ and
/workspaces/. As in the live service:

- what is asked for is named in `results`, in order; the records stand by id under their plural name;
- archived and deleted stories, and those of archived projects, are shown only where that is asked for, and one that
  is not shown is 404 by its id; a list that is asked for `only` some ids leaves it out and is no error;
- a deleted story is kept with `deleted_at`; `workspace_id` is there only with `include=workspace`;
- each change is a Subscribed Event, which is read at /subscribed_events (tag "Events"): there are no webhooks, and
  `kantata_relay` is what a company puts in their place;
- an unknown token is answered 401 with an error of the type oauth, a refused value 422 with its field.

Each project has a plain task beside its milestones. There is one project for each component of a contract, with the
contract's code at the start of its title.
"""

import contextlib
import datetime as dt
import itertools
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from psa_erp_assets.domain.money import Money, exponent
from psa_erp_assets.domain.terms import MAIN
from psa_erp_assets.sandbox.company_model import DemoCompany, DemoMilestone
from psa_erp_assets.sandbox.state import Document, SandboxState, Tables
from psa_erp_assets.sandbox.wire import (
    Clock,
    Handler,
    VendorError,
    flag,
    instant,
    json_object,
    parse_instant,
    same_secret,
    vendor_app,
    whole_number,
)

_MESSAGES = {401: "Invalid OAuth 2 Request", 429: "Too many requests. Retry your request after a small delay."}
_TYPES = {401: "oauth", 422: "validation"}
_STATES = ("not started", "started", "needs info", "completed")
_ORDERS = ("created_at", "updated_at")
# Labels of the status of a project, by their key; an account can have others.
_STATUSES = {
    200: ("gray", "In Setup"),
    300: ("green", "In Progress"),
    400: ("yellow", "On Hold"),
    500: ("blue", "Done"),
}
_SUBJECTS = {"kantata_stories": "Story", "kantata_workspaces": "Workspace"}

OnEvent = Callable[[Document], None]
"""Is told of each Subscribed Event when it is recorded."""
_FIRST_WORKSPACE, _FIRST_TASK = 40_000_001, 90_000_001


def initial_tables(company: DemoCompany) -> Tables:
    """The second PSA's tables at the start of the demo."""
    names = {c.code: c.name for c in company.contracts}
    start = dt.datetime.fromisoformat(f"{company.months[0]}-01T00:00:00+00:00")
    # A minute apart, so that their order by age is the order in which they are written here.
    ages = (instant(start + dt.timedelta(minutes=n)) for n in itertools.count())
    by_project: dict[tuple[str, str], list[DemoMilestone]] = {}
    for milestone in company.milestones:
        by_project.setdefault((milestone.contract, milestone.component), []).append(milestone)
    workspaces: dict[str, Document] = {}
    stories: dict[str, Document] = {}
    for number, ((contract, component), milestones) in enumerate(by_project.items()):
        key = str(_FIRST_WORKSPACE + number)
        code = contract if component == MAIN else f"{contract}/{component}"
        workspaces[key] = _workspace(key, f"{code} {names.get(contract, component)}", milestones, next(ages))
        task = {"story_type": "task", "title": "Weekly status", "state": "started", "due_date": None}
        fee = {"fixed_fee": False, "budget_estimate_in_cents": None}
        rows = [{"id": str(_FIRST_TASK + number), **task, **fee}, *map(_milestone, milestones)]
        for row in rows:
            stories[row["id"]] = _story(row, key, next(ages))
    return {"kantata_workspaces": workspaces, "kantata_stories": stories, "kantata_events": {}}


def _workspace(key: str, title: str, milestones: list[DemoMilestone], made: str) -> Document:
    currency = milestones[0].currency
    return {
        "id": key,
        "title": title,
        "archived": False,
        "status": _status(300),
        "budgeted": True,
        "currency": currency,
        "currency_base_unit": 10 ** exponent(currency),
        "price_in_cents": sum(Money(m.amount, currency).minor_units() for m in milestones),
        "created_at": made,
        "updated_at": made,
    }


def _status(key: int) -> Document:
    color, message = _STATUSES[key]
    return {"key": key, "color": color, "message": message}


def _milestone(milestone: DemoMilestone) -> Document:
    return {
        "id": milestone.psa_id,
        "story_type": "milestone",
        "title": milestone.title,
        "state": milestone.state,
        "due_date": milestone.due.isoformat(),
        "fixed_fee": True,
        "budget_estimate_in_cents": Money(milestone.amount, milestone.currency).minor_units(),
    }


def _story(row: Document, workspace: str, made: str) -> Document:
    return _with_state(row, row["state"]) | {
        "workspace_id": workspace,
        "start_date": None,
        "priority": "normal",
        "archived": False,
        "billable": True,
        "deleted_at": None,
        "created_at": made,
        "updated_at": made,
    }


def _with_state(row: Document, state: str) -> Document:
    return row | {"state": state, "status": state, "percentage_complete": 100 if state == "completed" else 0}


def kantata_error(status: int, message: str | None = None, field: str = "") -> Response:
    """An error in Kantata's form."""
    error = {"type": _TYPES.get(status, "system"), "message": message or _MESSAGES.get(status, "internal error")}
    return JSONResponse({"errors": [error | ({"field": field} if field else {})]}, status)


def _nobody(_: Document) -> None:
    """Nobody listens."""


def create_kantata(state: SandboxState, *, access_token: str, clock: Clock, on_event: OnEvent = _nobody) -> Starlette:
    """The second PSA's ASGI app; paths are below /api/v1."""
    psa = _Kantata(state, access_token, clock, on_event)
    routes = [
        ("GET", "/stories", psa.guarded(psa.stories)),
        ("GET", "/stories/{id}", psa.guarded(psa.story)),
        ("PUT", "/stories/{id}", psa.guarded(psa.update_story)),
        ("DELETE", "/stories/{id}", psa.guarded(psa.delete_story)),
        ("GET", "/workspaces", psa.guarded(psa.workspaces)),
        ("PUT", "/workspaces/{id}", psa.guarded(psa.update_workspace)),
        ("GET", "/subscribed_events", psa.guarded(psa.subscribed_events)),
    ]
    return vendor_app(
        routes, lambda e: kantata_error(e.status, str(e), e.code if e.status == 422 and isinstance(e.code, str) else "")
    )


class _Kantata:
    def __init__(self, state: SandboxState, access_token: str, clock: Clock, on_event: OnEvent) -> None:
        self._state = state
        self._token = access_token
        self._clock, self._on_event = clock, on_event

    def guarded(self, handler: Handler) -> Handler:
        async def guarded(request: Request) -> Response:
            scheme, _, token = request.headers.get("authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not same_secret(token, self._token):
                raise VendorError(401, _MESSAGES[401])
            return await handler(request)

        return guarded

    async def stories(self, request: Request) -> Response:
        query = request.query_params
        wanted = [s for s in self._state.all("kantata_stories") if self._is_shown(s, query)]
        if "story_type" in query:
            wanted = [s for s in wanted if s["story_type"] == query["story_type"]]
        return self._page("stories", wanted, request)

    async def story(self, request: Request) -> Response:
        row = self._found("kantata_stories", request)
        if not self._is_shown(row, request.query_params):
            raise VendorError(404, "Page Not Found")
        return self._answer("stories", [row], 1, request)

    async def update_story(self, request: Request) -> Response:
        row, changes = self._editable_story(request), await _changes(request, "story")
        row = row | changes | {"updated_at": instant(self._clock())}
        row = _with_state(row, row["state"]) if "state" in changes else row
        self._keep("kantata_stories", row, "updated", changes)
        return self._answer("stories", [row], 1, request)

    async def delete_story(self, request: Request) -> Response:
        row, now = self._editable_story(request), instant(self._clock())
        self._keep("kantata_stories", row | {"deleted_at": now, "updated_at": now}, "deleted", ())
        return Response(status_code=204)

    async def workspaces(self, request: Request) -> Response:
        rows = self._state.all("kantata_workspaces")
        if not flag(request.query_params, "include_archived"):
            rows = [r for r in rows if not r["archived"]]
        return self._page("workspaces", rows, request)

    async def update_workspace(self, request: Request) -> Response:
        row, changes = self._found("kantata_workspaces", request), await _changes(request, "workspace")
        if "status_key" in changes:
            changes = {"status": _status(changes.pop("status_key"))} | changes
        row = row | changes | {"updated_at": instant(self._clock())}
        self._keep("kantata_workspaces", row, "updated", changes)
        return self._answer("workspaces", [row], 1, request)

    async def subscribed_events(self, request: Request) -> Response:
        query = request.query_params
        after = parse_instant(query["created_after"], "created_after") if "created_after" in query else None
        wanted = {kind for kind in query.get("event_types", "").split(",") if kind}
        rows = [
            e
            for e in self._state.all("kantata_events")
            if (after is None or dt.datetime.fromisoformat(e["created_at"]) > after)
            and (not wanted or e["event_type"] in wanted)
        ]
        return self._page("subscribed_events", rows, request)

    def _keep(self, table: str, row: Document, what: str, changed: Iterable[str]) -> None:
        """Keep the record, and the Subscribed Event that says so."""
        number, now = len(self._state.all("kantata_events")) + 1, instant(self._clock())
        subject = _SUBJECTS[table]
        changed = sorted(changed)
        event: Document = {
            "id": str(number),
            "event_type": f"{subject.lower()}:{what}",
            "subject_type": subject,
            "subject_id": int(row["id"]),
            "subject_ref": {"key": table.removeprefix("kantata_"), "id": row["id"]},
            "subject_changed_at": now,
            "created_at": now,
            "updated_at": now,
            "payload_changes": json.dumps({name: row[name] for name in changed}),
            "current_payload": json.dumps(row),
        }
        self._state.commit([(table, row["id"], row), ("kantata_events", event["id"], event)])
        self._on_event(event)

    def _is_shown(self, story: Document, query: Mapping[str, str]) -> bool:
        workspace = self._state.get("kantata_workspaces", story["workspace_id"])
        assert workspace is not None
        hidden = (
            ("show_deleted", story["deleted_at"] is not None),
            ("show_archived", story["archived"]),
            ("show_from_archived_workspaces", workspace["archived"]),
        )
        return all(flag(query, name) or not is_hidden for name, is_hidden in hidden)

    def _editable_story(self, request: Request) -> Document:
        row = self._found("kantata_stories", request)
        if row["deleted_at"] is not None:
            raise VendorError(404, "Page Not Found")
        return row

    def _found(self, table: str, request: Request) -> Document:
        row = self._state.get(table, request.path_params["id"])
        if row is None:
            raise VendorError(404, "Page Not Found")
        return row

    def _page(self, kind: str, rows: Iterable[Document], request: Request) -> Response:
        query = request.query_params
        if "only" in query:
            only = set(query["only"].split(","))
            rows = [r for r in rows if r["id"] in only]
        by, _, direction = query.get("order", "updated_at:desc").partition(":")
        if by not in _ORDERS or direction not in ("asc", "desc"):
            raise VendorError(400, f"order must be one of {', '.join(_ORDERS)} with :asc or :desc")
        ordered = sorted(rows, key=lambda r: (r[by], int(r["id"])), reverse=direction == "desc")
        size, number = whole_number(query, "per_page", 20, 200), whole_number(query, "page", 1, 10**6)
        return self._answer(kind, ordered[(number - 1) * size : number * size], len(ordered), request)

    def _answer(self, kind: str, rows: Iterable[Document], count: int, request: Request) -> Response:
        included = {name for name in request.query_params.get("include", "").split(",") if name}
        unknown = included - {"workspace"} if kind == "stories" else included
        if unknown:
            raise VendorError(400, f"include={','.join(sorted(unknown))} is not known to this sandbox")
        rows = list(rows)
        body: dict[str, Any] = {"count": count, "results": [{"key": kind, "id": r["id"]} for r in rows]}
        body[kind] = {r["id"]: r if included else _without_workspace(r) for r in rows}
        if included:
            owners = {r["workspace_id"] for r in rows}
            body["workspaces"] = {i: self._state.get("kantata_workspaces", i) for i in sorted(owners)}
        return JSONResponse(body)


def _without_workspace(row: Document) -> Document:
    return {name: value for name, value in row.items() if name != "workspace_id"}


async def _changes(request: Request, kind: str) -> Document:
    """The changes in the body, each of the type that the record has for it. Raises VendorError 400 or 422."""
    changes = (await json_object(request)).get(kind)
    if not isinstance(changes, dict):
        raise VendorError(400, f"the body must have an object {kind}")
    for name, value in changes.items():
        if not _fits(kind, name, value):
            raise VendorError(422, f"{name} is not valid", name)
    return changes


def _fits(kind: str, name: str, value: object) -> bool:
    if name == "title":
        return isinstance(value, str) and value != ""
    if name == "archived" or (kind == "story" and name in ("fixed_fee", "billable")):
        return isinstance(value, bool)
    if kind == "workspace" and name == "status_key":
        return value in _STATUSES
    if kind == "story" and name == "state":
        return value in _STATES
    if kind == "story" and name == "budget_estimate_in_cents":
        return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31
    if kind == "story" and name == "due_date":
        with contextlib.suppress(ValueError):
            return dt.date.fromisoformat(str(value)).isoformat() == value
    return False
