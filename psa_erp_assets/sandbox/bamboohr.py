"""An HR system that speaks BambooHR's API v1 (employees and their tables), over the demo company.

Source: the vendor's OpenAPI document for paths, parameters, cursors and answers. It leaves the columns of a table
open; those of `compensation` and `jobInfo` are the live service's (`startDate`, `rate` with value and currency,
`type`, `paidPer`; `date`, `location`, `department`, `division`, `jobTitle`). Basic authentication: the API key is
the user, the password is anything.

An employee's division and location are the code of the legal entity that employs them.
"""

import base64
import datetime as dt
import secrets
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from psa_erp_assets.sandbox.company_model import DemoCompany, DemoPerson
from psa_erp_assets.sandbox.state import Document, SandboxState, Tables
from psa_erp_assets.sandbox.wire import (
    Clock,
    Handler,
    VendorError,
    instant,
    json_object,
    parse_instant,
    same_secret,
    vendor_app,
    whole_number,
)

# Field, type, label; what "List Fields" offers.
_FIELDS = (
    ("firstName", "text", "First Name"),
    ("lastName", "text", "Last Name"),
    ("preferredName", "text", "Preferred Name"),
    ("displayName", "text", "Display Name"),
    ("employeeNumber", "employee_number", "Employee #"),
    ("workEmail", "email", "Work Email"),
    ("jobTitle", "list", "Job Title"),
    ("department", "list", "Department"),
    ("division", "list", "Division"),
    ("location", "list", "Location"),
    ("hireDate", "date", "Hire Date"),
    ("status", "status", "Status"),
)
_DIRECTORY = ("displayName", "firstName", "lastName", "preferredName", "jobTitle", "workEmail", "department",
              "location", "division")  # fmt: skip
_LISTED = ("firstName", "lastName", "preferredName")
_LIST_OPTIONS = {
    "workEmail": "workEmail",
    "hireDate": "hireDate",
    "divisionName": "division",
    "departmentName": "department",
    "locationName": "location",
}
_TABLES = ("compensation", "jobInfo")
_MOST_FIELDS = 400


def initial_tables(company: DemoCompany) -> Tables:
    """HR's tables at the start of the demo."""
    known = [p for p in company.people if p.hr_id is not None]
    return {
        "employees": {str(p.hr_id): _employee(p) for p in known},
        "compensation": {row["id"]: row for p in known for row in _compensation(p)},
    }


def _employee(person: DemoPerson) -> Document:
    return {
        "id": person.hr_id,
        "firstName": person.first_name,
        "lastName": person.last_name,
        "preferredName": None,
        "displayName": f"{person.first_name} {person.last_name}",
        "employeeNumber": person.code,
        "workEmail": person.email,
        "jobTitle": person.job_title,
        "department": person.department,
        "division": person.legal_entity,
        "location": person.legal_entity,
        "hireDate": person.hired.isoformat(),
        "status": "Active",
        "lastChanged": f"{person.hired}T09:00:00Z",
    }


def _compensation(person: DemoPerson) -> Iterable[Document]:
    for n, pay in enumerate(person.compensation):
        yield _pay_row(
            f"{person.hr_id}{n}", str(person.hr_id), pay.start, {"value": f"{pay.annual:.2f}", "currency": pay.currency}
        )


def _pay_row(row_id: str, employee: str, start: dt.date, rate: Document) -> Document:
    return {
        "id": row_id,
        "employeeId": employee,
        "startDate": start.isoformat(),
        "rate": rate,
        "type": "Salary",
        "exempt": "Exempt",
        "reason": None,
        "comment": None,
        "paidPer": "Year",
        "paySchedule": "Monthly",
    }


def bamboohr_error(status: int, message: str | None = None, code: int | str = "") -> Response:
    """An error in BambooHR's form: a body for a bad request, a bare status otherwise."""
    if status != 400:
        return Response(status_code=status)
    return JSONResponse({"error": {"code": code or "BadRequest", "message": message or "Invalid request."}}, 400)


def create_bamboohr(state: SandboxState, *, api_key: str, clock: Clock) -> Starlette:
    """HR's ASGI app."""
    hr = _BambooHr(state, api_key, clock)
    table = "/api/v1/employees/{id}/tables/{table}"
    routes = (
        ("GET", "/api/v1/meta/fields", hr.fields),
        ("GET", "/api/v1/employees", hr.employees),
        ("GET", "/api/v1/employees/directory", hr.directory),
        ("GET", "/api/v1/employees/changed", hr.changed),
        ("GET", "/api/v1/employees/changed/tables/{table}", hr.changed_table),
        ("GET", "/api/v1/employees/{id}", hr.employee),
        ("GET", table, hr.table),
        ("POST", table, hr.add_row),
    )
    return vendor_app(
        ((method, path, hr.guarded(handler)) for method, path, handler in routes),
        lambda e: bamboohr_error(e.status, str(e), e.code if isinstance(e.code, str) else ""),
    )


class _BambooHr:
    def __init__(self, state: SandboxState, api_key: str, clock: Clock) -> None:
        self._state = state
        self._key = api_key
        self._clock = clock

    def guarded(self, handler: Handler) -> Handler:
        async def guarded(request: Request) -> Response:
            if not same_secret(_basic_user(request.headers.get("authorization", "")), self._key):
                raise VendorError(401, "")
            return await handler(request)

        return guarded

    async def fields(self, _: Request) -> Response:
        return JSONResponse(
            [{"id": n, "name": label, "type": kind, "alias": f} for n, (f, kind, label) in enumerate(_FIELDS, start=1)]
        )

    async def employees(self, request: Request) -> Response:
        query = request.query_params
        limit = whole_number(query, "page[limit]", 250, 2500)
        rows = sorted(self._state.all("employees"), key=lambda e: int(e["id"]))
        total = len(rows)
        if "page[after]" in query:
            if self._state.get("employees", query["page[after]"]) is None:
                raise VendorError(400, "The cursor is malformed, or its employee is gone.", "BadPage")
            rows = [e for e in rows if int(e["id"]) > int(query["page[after]"])]
        asked = [f for f in query.get("fields", "").split(",") if f in _LIST_OPTIONS]
        shown = rows[:limit]
        links: dict[str, Any] = {"self": {"href": str(request.url)}}
        after = shown[-1]["id"] if len(rows) > limit else None
        if after is not None:
            links["next"] = {"href": str(request.url.include_query_params(**{"page[after]": after}))}
        return JSONResponse(
            {
                "data": [
                    {f: e[f] for f in _LISTED}
                    | {f: e[_LIST_OPTIONS[f]] for f in asked}
                    | {
                        "employeeId": e["id"],
                        "photoUrl": None,
                        "jobTitleName": e["jobTitle"],
                        "status": e["status"],
                        "_restrictedFields": [],
                    }
                    for e in shown
                ],
                "meta": {"total": total, "page": {"limit": limit, "nextCursor": after, "prevCursor": None}},
                "_links": links,
            }
        )

    async def directory(self, _: Request) -> Response:
        rows = self._state.all("employees")
        return JSONResponse(
            {
                "fields": [{"id": f, "type": kind, "name": label} for f, kind, label in _FIELDS if f in _DIRECTORY],
                "employees": [{"id": e["id"]} | {f: e[f] for f in _DIRECTORY} for e in rows],
            }
        )

    async def employee(self, request: Request) -> Response:
        row = self._found(request.path_params["id"])
        asked = [f for f in request.query_params.get("fields", "firstName,lastName").split(",") if f]
        if len(asked) > _MOST_FIELDS:
            raise VendorError(400, f"At most {_MOST_FIELDS} fields may be asked for.")
        offered = {name for name, _, _ in _FIELDS} | {"lastChanged"}
        return JSONResponse({"id": row["id"]} | {f: row[f] for f in asked if f in offered})

    async def changed(self, request: Request) -> Response:
        since = self._since(request)
        rows = {
            e["id"]: {"id": e["id"], "action": "Updated", "lastChanged": e["lastChanged"]}
            for e in self._state.all("employees")
            if e["lastChanged"] > since
        }
        return JSONResponse({"latest": instant(self._clock()), "employees": rows})

    async def changed_table(self, request: Request) -> Response:
        since, table = self._since(request), self._table_name(request)
        rows = {
            e["id"]: {"lastChanged": e["lastChanged"], "rows": self._rows(table, e)}
            for e in self._state.all("employees")
            if e["lastChanged"] > since
        }
        return JSONResponse({"table": table, "employees": rows})

    async def table(self, request: Request) -> Response:
        table, who = self._table_name(request), request.path_params["id"]
        employees = self._state.all("employees") if who == "all" else [self._found(who)]
        return JSONResponse([row for e in employees for row in self._rows(table, e)])

    async def add_row(self, request: Request) -> Response:
        employee = self._found(request.path_params["id"])
        if self._table_name(request) != "compensation":
            raise VendorError(403, "")
        body = await json_object(request)
        rate = body.get("rate")
        try:
            start = dt.date.fromisoformat(str(body.get("startDate")))
            amount = Decimal(str(rate["value"])) if isinstance(rate, dict) else Decimal("NaN")
            currency = str(rate["currency"]) if isinstance(rate, dict) else ""
        except (ValueError, KeyError, InvalidOperation):
            raise VendorError(406, "") from None
        if not amount.is_finite() or amount < 0:
            raise VendorError(406, "")
        row = _pay_row(
            str(secrets.randbelow(10**9) + 10**9),
            employee["id"],
            start,
            {"value": f"{amount:.2f}", "currency": currency},
        )
        self._state.commit(
            [
                ("compensation", row["id"], row),
                ("employees", employee["id"], employee | {"lastChanged": instant(self._clock())}),
            ]
        )
        return Response(status_code=200)

    def _rows(self, table: str, employee: Document) -> list[Document]:
        if table == "compensation":
            return self._state.find("compensation", "employee", employee["id"])
        job = {f: employee[f] for f in ("location", "department", "division", "jobTitle")}
        return [
            {
                "id": f"{employee['id']}9",
                "employeeId": employee["id"],
                "date": employee["hireDate"],
                **job,
                "reportsTo": None,
            }
        ]

    def _found(self, employee_id: str) -> Document:
        row = self._state.get("employees", employee_id)
        if row is None:
            raise VendorError(404, "")
        return row

    @staticmethod
    def _table_name(request: Request) -> str:
        table = str(request.path_params["table"])
        if table not in _TABLES:
            raise VendorError(404, "")
        return table

    @staticmethod
    def _since(request: Request) -> str:
        return instant(parse_instant(request.query_params.get("since"), "since"))


def _basic_user(header: str) -> str | None:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(encoded, validate=True).decode().partition(":")[0]
    except ValueError:
        return None
