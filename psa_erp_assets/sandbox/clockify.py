"""A PSA that speaks Clockify's REST API v1, over the demo company.

Sources: the vendor's OpenAPI document for paths, parameters, bodies and page sizes; the vendor's marketplace
documentation for webhooks (`clockify-signature` carries the webhook's own token, `clockify-webhook-event-type` the
event). Where the document is silent the sandbox does what the live service is known to do: an id that does not exist
is answered with 400 and code 501 ("… doesn't belong to Workspace"), not with 404; an expense needs neither a project
nor a receipt's file, though the document requires both. A newer version of the document than the 2025 one lets
webhooks be registered for the events of expenses too.

The key acts as the workspace's owner, who may change approved time and expenses; they stay approved.
"""

import datetime as dt
import decimal
import email.parser
import email.policy
import secrets
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from zoneinfo import ZoneInfo

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from psa_erp_assets.sandbox.clockify_wire import ClockifyView, new_tag, new_task, quantity_and_total, with_rate
from psa_erp_assets.sandbox.company_model import DemoCompany, RequestState
from psa_erp_assets.sandbox.state import Change, Document, SandboxState
from psa_erp_assets.sandbox.webhooks import WebhookSender
from psa_erp_assets.sandbox.wire import (
    Clock,
    Handler,
    VendorError,
    flag,
    instant,
    json_object,
    page_of,
    parse_instant,
    same_secret,
    vendor_app,
)

EVENTS = frozenset({
    "NEW_PROJECT", "NEW_TASK", "NEW_CLIENT", "NEW_TIMER_STARTED", "TIMER_STOPPED", "TIME_ENTRY_UPDATED",
    "TIME_ENTRY_DELETED", "NEW_TIME_ENTRY", "NEW_TAG", "USER_DELETED_FROM_WORKSPACE", "USER_JOINED_WORKSPACE",
    "USER_DEACTIVATED_ON_WORKSPACE", "USER_ACTIVATED_ON_WORKSPACE", "USER_EMAIL_CHANGED", "USER_UPDATED",
    "NEW_INVOICE", "INVOICE_UPDATED", "NEW_APPROVAL_REQUEST", "APPROVAL_REQUEST_STATUS_UPDATED", "TIME_OFF_REQUESTED",
    "TIME_OFF_REQUEST_APPROVED", "TIME_OFF_REQUEST_REJECTED", "TIME_OFF_REQUEST_WITHDRAWN", "BALANCE_UPDATED",
    "EXPENSE_CREATED", "EXPENSE_UPDATED", "EXPENSE_DELETED",
})  # fmt: skip
"""What a webhook can be registered for; the sandbox raises those of time entries, expenses and approvals."""

WEBHOOKS_PER_USER = 10
_PENDING, _APPROVED, _REJECTED = RequestState.PENDING, RequestState.APPROVED, RequestState.REJECTED
_NEXT_STATES = {
    _PENDING: {_APPROVED, _REJECTED, RequestState.WITHDRAWN_SUBMISSION},
    _APPROVED: {RequestState.WITHDRAWN_APPROVAL},
}
_LARGEST_AMOUNT = 92_233_720_368_547_758
_CHANGED_BY = {
    "USER": ("userId",),
    "DATE": ("date",),
    "PROJECT": ("projectId",),
    "CATEGORY": ("categoryId", "quantity", "total"),
    "NOTES": ("notes",),
    "AMOUNT": ("quantity", "total"),
    "BILLABLE": ("billable",),
    "TASK": (),
    "FILE": (),
}
_SORT_KEYS = {"ID": "id", "USER_ID": "userId", "START": "start", "UPDATED_AT": "updatedAt"}


def clockify_error(status: int, message: str | None = None, code: int | str = "") -> Response:
    """An error in Clockify's form."""
    known = {401: ("Api key does not exist", 4003), 429: ("Too many requests", 429)}
    text, number = known.get(status, ("Unexpected error", status))
    return JSONResponse({"message": message or text, "code": code or number}, status)


def create_clockify(
    company: DemoCompany, state: SandboxState, *, api_key: str, sender: WebhookSender, clock: Clock
) -> Starlette:
    """The PSA's ASGI app, to be mounted at the vendor's base path `/api`."""
    return _Clockify(company, state, api_key, sender, clock).app()


class _Clockify:
    def __init__(
        self, company: DemoCompany, state: SandboxState, api_key: str, sender: WebhookSender, clock: Clock
    ) -> None:
        self._state = state
        self._view = ClockifyView(company, state)
        self._key = api_key
        self._sender = sender
        self._clock = clock

    def app(self) -> Starlette:
        workspace = "/v1/workspaces/{workspace}"
        routes: Sequence[tuple[str, str, Handler]] = (
            ("GET", "/v1/user", self.current_user),
            ("GET", "/v1/workspaces", self.workspaces),
            ("GET", workspace, self.one_workspace),
            ("GET", f"{workspace}/clients", self.clients),
            ("GET", f"{workspace}/clients/{{client}}", self.one_client),
            ("GET", f"{workspace}/projects", self.projects),
            ("GET", f"{workspace}/projects/{{project}}", self.one_project),
            ("PUT", f"{workspace}/projects/{{project}}", self.update_project),
            ("PUT", f"{workspace}/projects/{{project}}/users/{{user}}/hourly-rate", self.set_member_rate),
            ("GET", f"{workspace}/projects/{{project}}/tasks", self.tasks),
            ("POST", f"{workspace}/projects/{{project}}/tasks", self.create_task),
            ("GET", f"{workspace}/tags", self.tags),
            ("POST", f"{workspace}/tags", self.create_tag),
            ("GET", f"{workspace}/users", self.users),
            ("GET", f"{workspace}/user/{{user}}/time-entries", self.entries_of_user),
            ("POST", f"{workspace}/user/{{user}}/time-entries", self.create_entry),
            ("POST", f"{workspace}/time-entries", self.create_entry),
            ("GET", f"{workspace}/time-entries/{{entry}}", self.one_entry),
            ("PUT", f"{workspace}/time-entries/{{entry}}", self.update_entry),
            ("DELETE", f"{workspace}/time-entries/{{entry}}", self.delete_entry),
            ("GET", f"{workspace}/expenses", self.expenses),
            ("POST", f"{workspace}/expenses", self.create_expense),
            ("GET", f"{workspace}/expenses/categories", self.expense_categories),
            ("GET", f"{workspace}/expenses/{{expense}}", self.one_expense),
            ("PUT", f"{workspace}/expenses/{{expense}}", self.update_expense),
            ("DELETE", f"{workspace}/expenses/{{expense}}", self.delete_expense),
            ("GET", f"{workspace}/approval-requests", self.approvals),
            ("POST", f"{workspace}/approval-requests", self.submit),
            ("POST", f"{workspace}/approval-requests/users/{{user}}", self.submit),
            (
                "POST",
                f"{workspace}/approval-requests/users/{{user}}/resubmit-entries-for-approval",
                self.resubmit,
            ),
            ("PATCH", f"{workspace}/approval-requests/{{approval}}", self.decide),
            ("GET", f"{workspace}/webhooks", self.webhooks),
            ("POST", f"{workspace}/webhooks", self.create_webhook),
            ("GET", f"{workspace}/webhooks/{{webhook}}", self.one_webhook),
            ("PUT", f"{workspace}/webhooks/{{webhook}}", self.update_webhook),
            ("DELETE", f"{workspace}/webhooks/{{webhook}}", self.delete_webhook),
            ("PATCH", f"{workspace}/webhooks/{{webhook}}/token", self.new_webhook_token),
        )
        return vendor_app(
            ((method, path, self._guarded(handler)) for method, path, handler in routes),
            lambda e: clockify_error(e.status, str(e), e.code),
        )

    def _guarded(self, handler: Handler) -> Handler:
        async def guarded(request: Request) -> Response:
            if not same_secret(request.headers.get("x-api-key"), self._key):
                raise VendorError(401, "Api key does not exist", 4003)
            if request.path_params.get("workspace", self._view.workspace_id) != self._view.workspace_id:
                raise VendorError(403, "Access Denied", 501)
            return await handler(request)

        return guarded

    # Workspace, clients, users

    async def current_user(self, _: Request) -> Response:
        return JSONResponse(self._view.user(self._found("users", self._view.owner_id, "User")))

    async def workspaces(self, _: Request) -> Response:
        return JSONResponse([self._view.workspace()])

    async def one_workspace(self, _: Request) -> Response:
        return JSONResponse(self._view.workspace())

    async def clients(self, request: Request) -> Response:
        query = request.query_params
        rows = [c for c in self._state.all("clients") if query.get("name", "").lower() in c["name"].lower()]
        rows = [] if flag(query, "archived") else sorted(rows, key=lambda c: c["name"])
        return JSONResponse([self._view.client(c) for c in page_of(rows, query)])

    async def one_client(self, request: Request) -> Response:
        return JSONResponse(self._view.client(self._found("clients", request.path_params["client"], "Client")))

    async def users(self, request: Request) -> Response:
        query = request.query_params
        rows = [
            u
            for u in self._state.all("users")
            if query.get("email", "").lower() in u["email"] and query.get("name", "").lower() in u["name"].lower()
        ]
        if query.get("status", "ALL") not in ("ALL", "ACTIVE"):
            rows = []
        if "project-id" in query:
            members = self._found("projects", query["project-id"], "Project")["members"]
            rows = [u for u in rows if u["id"] in members]
        rows.sort(key=lambda u: str(u["email"]))
        return JSONResponse([self._view.user(u) for u in page_of(rows, query)])

    # Projects and rates

    async def projects(self, request: Request) -> Response:
        query = request.query_params
        archived, billable = flag(query, "archived"), flag(query, "billable")
        clients = query["clients"].split(",") if query.get("clients") else None
        rows = [
            p
            for p in self._state.all("projects")
            if archived in (None, p["archived"])
            and billable in (None, p["billable"])
            and query.get("name", "").lower() in p["name"].lower()
            and (clients is None or p["clientId"] in clients)
        ]
        rows.sort(key=lambda p: str(p["name"]))
        return JSONResponse([self._view.project(p) for p in page_of(rows, query)])

    async def one_project(self, request: Request) -> Response:
        return JSONResponse(self._view.project(self._found("projects", request.path_params["project"], "Project")))

    async def update_project(self, request: Request) -> Response:
        row = dict(self._found("projects", request.path_params["project"], "Project"))
        body = await json_object(request)
        row |= {f: _text(body, f) for f in ("name", "note", "color") if f in body}
        row |= {f: _boolean(body, f) for f in ("archived", "billable") if f in body}
        if "isPublic" in body:
            row["public"] = _boolean(body, "isPublic")
        if "clientId" in body:
            row["clientId"] = self._found("clients", _text(body, "clientId"), "Client")["id"]
        if body.get("hourlyRate") is not None:
            row["rates"] = with_rate(row["rates"], *_rate_in(body["hourlyRate"]))
        self._state.commit([("projects", row["id"], row)])
        return JSONResponse(self._view.project(row))

    async def set_member_rate(self, request: Request) -> Response:
        row = dict(self._found("projects", request.path_params["project"], "Project"))
        user = request.path_params["user"]
        if user not in row["members"]:
            raise VendorError(400, "User is not a member of the project", 501)
        rate = _rate_in(await json_object(request))
        row["members"] = row["members"] | {user: with_rate(row["members"][user], *rate)}
        self._state.commit([("projects", row["id"], row)])
        return JSONResponse(self._view.project(row))

    # Tasks and tags

    async def tasks(self, request: Request) -> Response:
        query = request.query_params
        project = self._found("projects", request.path_params["project"], "Project")
        rows = _named(self._state.find("tasks", "project", project["id"]), query)
        rows = [] if flag(query, "is-active") is False else rows
        return JSONResponse([self._view.task(t) for t in page_of(rows, query)])

    async def create_task(self, request: Request) -> Response:
        project = self._found("projects", request.path_params["project"], "Project")
        row = new_task(project["id"], _text(await json_object(request), "name"))
        self._add("tasks", row, "Task")
        return JSONResponse(self._view.task(row), 201)

    async def tags(self, request: Request) -> Response:
        query = request.query_params
        rows = [] if flag(query, "archived") else _named(self._state.all("tags"), query)
        return JSONResponse([self._view.tag(t) for t in page_of(rows, query)])

    async def create_tag(self, request: Request) -> Response:
        row = new_tag(_text(await json_object(request), "name"))
        self._add("tags", row, "Tag")
        return JSONResponse(self._view.tag(row), 201)

    def _add(self, table: str, row: Document, what: str) -> None:
        if self._state.get(table, row["id"]) is not None:
            raise VendorError(400, f"{what} with name '{row['name']}' already exists", 501)
        self._state.commit([(table, row["id"], row)])

    # Time entries

    async def entries_of_user(self, request: Request) -> Response:
        query = request.query_params
        user = self._found("users", request.path_params["user"], "User")["id"]
        rows = self._state.find("time_entries", "user", user)
        if "start" in query:
            start = instant(parse_instant(query["start"], "start"))
            rows = [e for e in rows if e["start"] >= start]
        if "end" in query:
            end = instant(parse_instant(query["end"], "end"))
            rows = [e for e in rows if e["start"] <= end]
        if "project" in query:
            rows = [e for e in rows if e["projectId"] == query["project"]]
        if flag(query, "project-required"):
            rows = [e for e in rows if e["projectId"] is not None]
        if flag(query, "in-progress"):
            rows = [e for e in rows if e["end"] is None]
        if "description" in query:
            rows = [e for e in rows if query["description"].lower() in e["description"].lower()]
        rows.sort(key=lambda e: (e["start"], e["id"]), reverse=True)
        hydrated = bool(flag(query, "hydrated"))
        return JSONResponse([self._view.time_entry(e, hydrated=hydrated) for e in page_of(rows, query)])

    async def one_entry(self, request: Request) -> Response:
        row = self._found("time_entries", request.path_params["entry"], "TimeEntry")
        return JSONResponse(self._view.time_entry(row, hydrated=bool(flag(request.query_params, "hydrated"))))

    async def create_entry(self, request: Request) -> Response:
        user = self._found("users", request.path_params.get("user", self._view.owner_id), "User")["id"]
        body = await json_object(request)
        body.setdefault("start", instant(self._clock()))
        row = {"id": secrets.token_hex(12), "userId": user, **self._entry_in(body)}
        self._state.commit([("time_entries", row["id"], row)])
        self._announce_entry("NEW_TIME_ENTRY" if row["end"] else "NEW_TIMER_STARTED", row)
        return JSONResponse(self._view.time_entry(row), 201)

    async def update_entry(self, request: Request) -> Response:
        old = self._found("time_entries", request.path_params["entry"], "TimeEntry")
        row = {"id": old["id"], "userId": old["userId"], **self._entry_in(await json_object(request))}
        self._state.commit([("time_entries", row["id"], row)])
        self._announce_entry("TIME_ENTRY_UPDATED", row)
        return JSONResponse(self._view.time_entry(row))

    async def delete_entry(self, request: Request) -> Response:
        row = self._found("time_entries", request.path_params["entry"], "TimeEntry")
        self._announce_entry("TIME_ENTRY_DELETED", row)
        self._state.commit([("time_entries", row["id"], None)])
        return Response(status_code=204)

    def _entry_in(self, body: Document) -> Document:
        start = parse_instant(body.get("start"), "start")
        end = None if body.get("end") is None else parse_instant(body["end"], "end")
        if end is not None and end < start:
            raise VendorError(400, "Start date must be before end date", 501)
        project = body.get("projectId")
        if project is not None:
            project = self._found("projects", str(project), "Project")["id"]
        task, tags = body.get("taskId"), body.get("tagIds") or []
        if task is not None and self._found("tasks", str(task), "Task")["projectId"] != project:
            raise VendorError(400, "Task doesn't belong to Project", 501)
        if not isinstance(tags, list):
            raise VendorError(400, "tagIds must be a list of ids", 501)
        return {
            "projectId": project,
            "start": instant(start),
            "end": instant(end) if end else None,
            "billable": _boolean(body, "billable") if body.get("billable") is not None else False,
            "description": _text(body, "description") if body.get("description") is not None else "",
            "taskId": task,
            "tagIds": [self._found("tags", str(tag), "Tag")["id"] for tag in tags],
        }

    # Expenses

    async def expenses(self, request: Request) -> Response:
        query = request.query_params
        rows = self._state.all("expenses")
        if "user-id" in query:
            rows = self._state.find("expenses", "user", query["user-id"])
        rows.sort(key=lambda e: (e["date"], e["id"]), reverse=True)
        return JSONResponse(self._view.expenses(rows, page_of(rows, query, maximum=200)))

    async def expense_categories(self, request: Request) -> Response:
        query = request.query_params
        rows = [] if flag(query, "archived") else _named(self._state.all("expense_categories"), query)
        page = [self._view.expense_category(c) for c in page_of(rows, query)]
        return JSONResponse({"count": len(rows), "categories": page})

    async def one_expense(self, request: Request) -> Response:
        return JSONResponse(self._view.expense(self._found("expenses", request.path_params["expense"], "Expense")))

    async def create_expense(self, request: Request) -> Response:
        form = await _form(request)
        row = {"id": secrets.token_hex(12), "projectId": None, "notes": "", "billable": False, **self._expense_in(form)}
        self._state.commit([("expenses", row["id"], row)])
        self._announce_expense("EXPENSE_CREATED", row)
        return JSONResponse(self._view.expense(row), 201)

    async def update_expense(self, request: Request) -> Response:
        """Only what `changeFields` names is changed, whatever else the form has."""
        row = dict(self._found("expenses", request.path_params["expense"], "Expense"))
        form = await _form(request)
        new = self._expense_in(form)
        for field in form.get("changeFields", ()):
            if field not in _CHANGED_BY:
                raise VendorError(400, f"changeFields must be of {', '.join(_CHANGED_BY)}", 501)
            row |= {name: new[name] for name in _CHANGED_BY[field] if name in new}
        self._state.commit([("expenses", row["id"], row)])
        self._announce_expense("EXPENSE_UPDATED", row)
        return JSONResponse(self._view.expense(row))

    async def delete_expense(self, request: Request) -> Response:
        row = self._found("expenses", request.path_params["expense"], "Expense")
        self._announce_expense("EXPENSE_DELETED", row)
        self._state.commit([("expenses", row["id"], None)])
        return Response(status_code=200)

    def _expense_in(self, form: Mapping[str, list[str]]) -> Document:
        """What the form says, the fields that need not be there only if they are."""
        said = {name: values[-1] for name, values in form.items()}
        for name, what in (
            ("userId", "User ID"),
            ("categoryId", "Category ID"),
            ("amount", "Amount"),
            ("date", "Date"),
        ):
            if not said.get(name):
                raise VendorError(400, f"{what} is required", 501)
        category = self._found("expense_categories", said["categoryId"], "Expense category")
        row: Document = {
            "userId": self._found("users", said["userId"], "User")["id"],
            "categoryId": category["id"],
            "date": parse_instant(said["date"], "date").date().isoformat(),
            **quantity_and_total(category, _amount(said["amount"])),
        }
        if "projectId" in said:
            row["projectId"] = self._found("projects", said["projectId"], "Project")["id"]
        if "billable" in said:
            row["billable"] = bool(flag(said, "billable"))
        if "notes" in said:
            row["notes"] = said["notes"]
        return row

    # Approval

    async def approvals(self, request: Request) -> Response:
        query = request.query_params
        rows = self._state.all("approvals")
        if "status" in query:
            state = _choice(query["status"], RequestState, "status")
            rows = [a for a in rows if a["state"] == state]
        column = query.get("sort-column", "START")
        if column not in _SORT_KEYS:
            raise VendorError(400, f"sort-column must be one of {', '.join(_SORT_KEYS)}", 501)
        rows.sort(
            key=lambda a: (a[_SORT_KEYS[column]], a["id"]), reverse=query.get("sort-order", "ASCENDING") == "DESCENDING"
        )
        return JSONResponse([self._view.approval_details(a) for a in page_of(rows, query, maximum=200)])

    async def submit(self, request: Request) -> Response:
        """A new request for the finished entries and expenses of a week that no pending or approved request lists."""

        def is_free(listed: Sequence[Document]) -> bool:
            return not any(a["state"] in (_PENDING, _APPROVED, _REJECTED) for a in listed)

        return JSONResponse(
            self._view.approval(self._request_approval(request, await json_object(request), is_free)), 201
        )

    async def resubmit(self, request: Request) -> Response:
        """A new request for what a rejected or withdrawn request of the week listed; it moves to the new one."""

        def was_refused(listed: Sequence[Document]) -> bool:
            return bool(listed) and not any(a["state"] in (_PENDING, _APPROVED) for a in listed)

        return JSONResponse(
            self._view.approval(self._request_approval(request, await json_object(request), was_refused))
        )

    def _request_approval(
        self, request: Request, body: Document, wanted: Callable[[Sequence[Document]], bool]
    ) -> Document:
        """`wanted` says by the requests that list an entry or an expense whether the new one takes it."""
        user = self._found("users", request.path_params.get("user", self._view.owner_id), "User")
        if body.get("period", "WEEKLY") != "WEEKLY":
            raise VendorError(400, "Approval period has to match the workspace setting", 501)
        start = parse_instant(body.get("periodStart"), "periodStart")
        end = start + dt.timedelta(days=7, seconds=-1)
        first, last = (m.astimezone(ZoneInfo(user["timeZone"])).date().isoformat() for m in (start, end))
        entries = [
            e["id"]
            for e in self._state.find("time_entries", "user", user["id"])
            if instant(start) <= e["start"] <= instant(end)
            and e["end"] is not None
            and wanted(self._state.find("approvals", "entry", e["id"]))
        ]
        expenses = [
            e["id"]
            for e in self._state.find("expenses", "user", user["id"])
            if first <= e["date"] <= last and wanted(self._state.find("approvals", "expense", e["id"]))
        ]
        if not entries and not expenses:
            raise VendorError(400, "There are no entries to submit for approval", 501)
        row = {
            "id": secrets.token_hex(12),
            "userId": user["id"],
            "start": instant(start),
            "end": instant(end),
            "state": _PENDING.value,
            "note": "",
            "updatedAt": instant(self._clock()),
            "updatedBy": user["id"],
            "entryIds": entries,
            "expenseIds": expenses,
        }
        moved: dict[str, Document] = {}
        for index, listing in (("entry", "entryIds"), ("expense", "expenseIds")):
            for object_id in row[listing]:
                for old in self._state.find("approvals", index, object_id):
                    kept = moved.get(old["id"], old)
                    moved[old["id"]] = kept | {listing: [i for i in kept[listing] if i != object_id]}
        changes: list[Change] = [("approvals", i, a) for i, a in moved.items()]
        self._state.commit([*changes, ("approvals", row["id"], row)])
        self._announce("NEW_APPROVAL_REQUEST", self._view.approval(row), user=user["id"])
        return row

    async def decide(self, request: Request) -> Response:
        row = self._state.get("approvals", request.path_params["approval"])
        if row is None:
            raise VendorError(400, "Approval request doesn't belong to Workspace", 501)
        body = await json_object(request)
        state = _choice(body.get("state"), RequestState, "state")
        if state not in _NEXT_STATES.get(RequestState(row["state"]), ()):
            raise VendorError(400, f"An approval request cannot go from {row['state']} to {state}", 501)
        note = _text(body, "note") if body.get("note") is not None else ""
        row = row | {
            "state": state.value,
            "note": note,
            "updatedAt": instant(self._clock()),
            "updatedBy": row["userId"] if state is RequestState.WITHDRAWN_SUBMISSION else self._view.owner_id,
        }
        self._state.commit([("approvals", row["id"], row)])
        self._announce("APPROVAL_REQUEST_STATUS_UPDATED", self._view.approval(row), user=row["userId"])
        return JSONResponse(self._view.approval(row))

    # Webhooks

    async def webhooks(self, request: Request) -> Response:
        rows = self._state.all("webhooks") if request.query_params.get("type", "USER_CREATED") == "USER_CREATED" else []
        return JSONResponse({"workspaceWebhookCount": len(rows), "webhooks": rows})

    async def create_webhook(self, request: Request) -> Response:
        if len(self._state.all("webhooks")) >= WEBHOOKS_PER_USER:
            raise VendorError(400, f"You can have up to {WEBHOOKS_PER_USER} webhooks", 501)
        row = {
            "id": secrets.token_hex(12),
            "userId": self._view.owner_id,
            "workspaceId": self._view.workspace_id,
            "authToken": secrets.token_urlsafe(32),
            "enabled": True,
            **_webhook_in(await json_object(request)),
        }
        self._state.commit([("webhooks", row["id"], row)])
        return JSONResponse(row, 201)

    async def one_webhook(self, request: Request) -> Response:
        return JSONResponse(self._found("webhooks", request.path_params["webhook"], "Webhook"))

    async def update_webhook(self, request: Request) -> Response:
        row = self._found("webhooks", request.path_params["webhook"], "Webhook") | _webhook_in(
            await json_object(request)
        )
        self._state.commit([("webhooks", row["id"], row)])
        return JSONResponse(row)

    async def delete_webhook(self, request: Request) -> Response:
        row = self._found("webhooks", request.path_params["webhook"], "Webhook")
        self._state.commit([("webhooks", row["id"], None)])
        return Response(status_code=200)

    async def new_webhook_token(self, request: Request) -> Response:
        row = self._found("webhooks", request.path_params["webhook"], "Webhook")
        row = row | {"authToken": secrets.token_urlsafe(32)}
        self._state.commit([("webhooks", row["id"], row)])
        return JSONResponse(row)

    def _announce_entry(self, event: str, row: Document) -> None:
        body = self._view.time_entry(row, hydrated=True)
        self._announce(event, body, user=row["userId"], project=row["projectId"])

    def _announce_expense(self, event: str, row: Document) -> None:
        self._announce(event, self._view.expense(row), user=row["userId"], project=row["projectId"])

    def _announce(self, event: str, body: Document, *, user: str, project: str | None = None) -> None:
        sources = {"WORKSPACE_ID": self._view.workspace_id, "USER_ID": user, "PROJECT_ID": project}
        for hook in self._state.all("webhooks"):
            if hook["enabled"] and hook["webhookEvent"] == event:
                source = sources.get(hook["triggerSourceType"])
                if source is not None and source in hook["triggerSource"]:
                    self._sender.send(hook["url"], event, hook["authToken"], body)

    def _found(self, table: str, key: str, what: str) -> Document:
        row = self._state.get(table, key)
        if row is None:
            raise VendorError(400, f"{what} doesn't belong to Workspace", 501)
        return row


def _named(rows: Sequence[Document], query: Mapping[str, str]) -> list[Document]:
    """The rows of which the asked name is a part, or which have just that name if the search is strict."""
    name = query.get("name", "").lower()
    strict = bool(flag(query, "strict-name-search")) and "name" in query
    found = [r for r in rows if name == r["name"].lower() or (not strict and name in r["name"].lower())]
    return sorted(found, key=lambda r: str(r["name"]))


async def _form(request: Request) -> dict[str, list[str]]:
    """The fields of a multipart form, each with its values; a file counts as its content."""
    content_type = request.headers.get("content-type", "")
    if not content_type.startswith("multipart/form-data"):
        raise VendorError(415, f"Content-Type '{content_type[:60]}' is not supported", 501)
    head = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1")
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + await request.body())
    fields: dict[str, list[str]] = defaultdict(list)
    for part in message.iter_parts():
        content = part.get_payload(decode=True)
        value = content.decode("utf-8", errors="replace") if isinstance(content, bytes) else ""
        fields[str(part.get_param("name", header="content-disposition"))].append(value)
    return fields


def _amount(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except decimal.InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or not 0 <= amount <= _LARGEST_AMOUNT:
        raise VendorError(400, f"amount must be a number from 0 to {_LARGEST_AMOUNT}", 501)
    return amount


def _webhook_in(body: Document) -> Document:
    url, sources = _text(body, "url"), body.get("triggerSource")
    if not url.startswith(("http://", "https://")):
        raise VendorError(400, "url must be an http or https address", 501)
    if not isinstance(sources, list) or not all(isinstance(s, str) for s in sources):
        raise VendorError(400, "triggerSource must be a list of ids", 501)
    if body.get("webhookEvent") not in EVENTS:
        raise VendorError(400, "webhookEvent is unknown", 501)
    return {
        "name": _text(body, "name") if body.get("name") is not None else "",
        "url": url,
        "webhookEvent": body["webhookEvent"],
        "triggerSourceType": _text(body, "triggerSourceType"),
        "triggerSource": sources,
    }


def _rate_in(body: object) -> tuple[int, dt.datetime | None]:
    amount = body.get("amount") if isinstance(body, dict) else None
    if not isinstance(body, dict) or not isinstance(amount, int) or isinstance(amount, bool) or amount < 0:
        raise VendorError(400, "amount must be a whole number of minor units, 0 or more", 501)
    return amount, None if body.get("since") is None else parse_instant(body["since"], "since")


def _choice(value: object, choices: type[RequestState], name: str) -> RequestState:
    if value not in [c.value for c in choices]:
        raise VendorError(400, f"{name} must be one of {', '.join(choices)}", 501)
    return choices(str(value))


def _text(body: Document, name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        raise VendorError(400, f"{name} must be a text", 501)
    return value


def _boolean(body: Document, name: str) -> bool:
    value = body.get(name)
    if not isinstance(value, bool):
        raise VendorError(400, f"{name} must be true or false", 501)
    return value
