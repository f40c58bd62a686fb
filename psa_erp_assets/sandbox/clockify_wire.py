"""How the demo company looks in Clockify's wire format.

Source: the vendor's OpenAPI document (WorkspaceDtoV1, UserDtoV1, ProjectDtoImplV1, TaskDtoV1, TagDtoV1,
TimeEntryWithRatesDtoV1, ExpenseDtoV1, ExpenseHydratedDtoV1, ExpenseCategoryDtoV1, ApprovalDetailsDtoV1, WebhookDtoV1).
Rates are whole minor units an hour. What the document does not say and the live service does: values that are not set
are null, enum types are plain strings, and an expense's total is in hundredths: 100 that were typed are answered as
10000.0. In a category with a unit price the quantity is typed, and the total is the quantity times `priceInCents`.

A project's closing date has no field of its own in Clockify: the company writes it into the project's note, as
`closed_on=2026-10-14`, when it archives the project.
"""

import datetime as dt
import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from psa_erp_assets.domain.money import multiply
from psa_erp_assets.sandbox.company_model import DemoCompany, DemoProject, RequestState
from psa_erp_assets.sandbox.state import Document, SandboxState, Tables
from psa_erp_assets.sandbox.wire import instant, iso_duration

WORKSPACE_NAME = "Northgate Advisory"
CURRENCY = "USD"
"""The workspace's currency: what expenses are recorded in."""

CATEGORIES: Mapping[str, tuple[str, int] | None] = {
    "Travel": None,
    "Lodging": None,
    "Meals": None,
    "Software": None,
    "Mileage": ("mile", 67),
}
"""The categories of expenses; those with a unit price with their unit, and its price in hundredths."""


def initial_tables(company: DemoCompany) -> Tables:
    """The PSA's tables at the start of the demo."""
    currency_of: dict[str, str] = {}
    for contract in company.contracts:
        currency_of.setdefault(contract.customer, contract.currency)
    user_of = {p.email: p.psa_id for p in company.people}
    categories = [*CATEGORIES, *(e.category for e in company.expenses if e.category not in CATEGORIES)]
    category_of = {c["id"]: c for c in (_category(name) for name in categories)}
    owner = _user(company.owner_id, "Operations", "operations@northgate.example", "America/New_York")
    users = [_user(p.psa_id, f"{p.first_name} {p.last_name}", p.email, p.time_zone) for p in company.people if p.psa_id]
    return {
        "users": {u["id"]: u for u in (owner, *users)},
        "clients": {
            c.psa_id: {"id": c.psa_id, "name": c.name, "currency": currency_of[c.code]} for c in company.customers
        },
        "projects": {
            p.psa_id: _project(p, {c.code: c.psa_id for c in company.customers}, user_of) for p in company.projects
        },
        "time_entries": {
            e.id: {
                "id": e.id,
                "userId": e.user_id,
                "projectId": e.project_id,
                "start": instant(e.start),
                "end": instant(e.end) if e.end else None,
                "billable": e.billable,
                "description": e.description,
                "taskId": named_id("task", e.project_id, e.task) if e.project_id and e.task else None,
                "tagIds": [named_id("tag", tag) for tag in e.tags],
            }
            for e in company.entries
        },
        "tasks": {
            task["id"]: task
            for task in (new_task(e.project_id, e.task) for e in company.entries if e.project_id and e.task)
        },
        "tags": {tag["id"]: tag for tag in (new_tag(name) for e in company.entries for name in e.tags)},
        "expense_categories": category_of,
        "expenses": {
            e.id: {
                "id": e.id,
                "userId": e.user_id,
                "projectId": e.project_id,
                "categoryId": named_id("category", e.category),
                "date": e.date.isoformat(),
                "notes": e.notes,
                "billable": e.billable,
                **quantity_and_total(category_of[named_id("category", e.category)], e.amount),
            }
            for e in company.expenses
        },
        "approvals": {
            a.id: {
                "id": a.id,
                "userId": a.user_id,
                "start": instant(a.start),
                "end": instant(a.end),
                "state": a.state.value,
                "note": "",
                "updatedAt": instant(a.updated_at),
                "updatedBy": a.updated_by,
                "entryIds": list(a.entry_ids),
                "expenseIds": list(a.expense_ids),
            }
            for a in company.approvals
        },
        "webhooks": {},
    }


def named_id(kind: str, *names: str) -> str:
    """The id of what the company names and does not number, always the same for the same names."""
    return hashlib.blake2b("/".join((kind, *names)).encode(), digest_size=12).hexdigest()


def new_tag(name: str) -> Document:
    """A tag of the workspace."""
    return {"id": named_id("tag", name), "name": name}


def new_task(project_id: str, name: str) -> Document:
    """A task of a project."""
    return {"id": named_id("task", project_id, name), "name": name, "projectId": project_id}


def quantity_and_total(category: Document, amount: Decimal) -> Document:
    """What Clockify makes of the amount that was typed; the total in hundredths, as texts, which lose nothing."""
    total = multiply(amount, Decimal(category["priceInCents"] if category["hasUnitPrice"] else 100))
    return {"quantity": str(amount if category["hasUnitPrice"] else total), "total": str(total)}


def _category(name: str) -> Document:
    unit, cents = CATEGORIES.get(name) or ("", 0)
    return {
        "id": named_id("category", name),
        "name": name,
        "hasUnitPrice": bool(unit),
        "unit": unit,
        "priceInCents": cents,
    }


def _user(user_id: str, name: str, email: str, time_zone: str) -> Document:
    return {"id": user_id, "name": name, "email": email, "timeZone": time_zone}


def _project(project: DemoProject, client_of: dict[str, str], user_of: dict[str, str | None]) -> Document:
    def rates(rate: Decimal | None) -> list[Document]:
        return [] if rate is None else [{"since": None, "amount": int(rate * 100)}]

    return {
        "id": project.psa_id,
        "name": project.name,
        "clientId": client_of[project.customer],
        "billable": project.billable,
        "archived": project.closed_on is not None,
        "note": f"closed_on={project.closed_on}" if project.closed_on else "",
        "color": "#03A9F4",
        "public": False,
        "currency": project.currency,
        "rates": rates(project.rate),
        "members": {user_of[email]: rates(rate) for email, rate in project.staff.items()},
    }


def with_rate(rates: list[Document], amount: int, since: dt.datetime | None) -> list[Document]:
    """The history of a rate after it is set from an instant on, or (None) for all time."""
    if since is None:
        return [{"since": None, "amount": amount}]
    start = instant(since)
    return [r for r in rates if r["since"] is None or r["since"] < start] + [{"since": start, "amount": amount}]


class ClockifyView:
    """Reads the state and writes the vendor's data transfer objects."""

    def __init__(self, company: DemoCompany, state: SandboxState) -> None:
        self.workspace_id = company.workspace_id
        self.owner_id = company.owner_id
        self._state = state

    def workspace(self) -> Document:
        """WorkspaceDtoV1."""
        return {
            "id": self.workspace_id,
            "name": WORKSPACE_NAME,
            "hourlyRate": {"amount": 0, "currency": CURRENCY},
            "costRate": None,
            "memberships": [self._membership(self.owner_id, self.workspace_id, "WORKSPACE", None)],
            "workspaceSettings": {
                "timeRoundingInReports": False,
                "onlyAdminsSeeBillableRates": False,
                "durationFormat": "COMPACT",
                "timeTrackingMode": "DEFAULT",
            },
            "imageUrl": "",
            "featureSubscriptionType": "PRO_2021",
            "currencies": [{"id": self.workspace_id[::-1], "code": CURRENCY, "isDefault": True}],
        }

    def client(self, row: Document) -> Document:
        """ClientWithCurrencyDtoV1."""
        return {
            "id": row["id"],
            "name": row["name"],
            "email": None,
            "workspaceId": self.workspace_id,
            "archived": False,
            "address": None,
            "note": None,
            "currencyId": row["id"][::-1],
            "currencyCode": row["currency"],
        }

    def user(self, row: Document) -> Document:
        """UserDtoV1."""
        return {
            "id": row["id"],
            "email": row["email"],
            "name": row["name"],
            "memberships": [],
            "profilePicture": "",
            "activeWorkspace": self.workspace_id,
            "defaultWorkspace": self.workspace_id,
            "settings": {
                "weekStart": "MONDAY",
                "timeZone": row["timeZone"],
                "timeFormat": "HOUR24",
                "dateFormat": "YYYY-MM-DD",
                "sendNewsletter": False,
                "weeklyUpdates": False,
                "longRunning": False,
                "timeTrackingManual": True,
                "lang": "EN",
                "theme": "DEFAULT",
            },
            "status": "ACTIVE",
            "customFields": [],
        }

    def project(self, row: Document) -> Document:
        """ProjectDtoImplV1."""
        client = self._state.get("clients", row["clientId"])
        worked = sum(_seconds(e) for e in self._state.find("time_entries", "project", row["id"]))
        return {
            "id": row["id"],
            "name": row["name"],
            "hourlyRate": _rate(row["rates"][-1:], row["currency"]),
            "costRate": None,
            "clientId": row["clientId"],
            "clientName": client["name"] if client else "",
            "workspaceId": self.workspace_id,
            "billable": row["billable"],
            "memberships": [
                self._membership(user, row["id"], "PROJECT", _rate(rates[-1:], row["currency"]))
                for user, rates in row["members"].items()
            ],
            "color": row["color"],
            "estimate": {"estimate": "PT0S", "type": "AUTO"},
            "archived": row["archived"],
            "duration": iso_duration(worked),
            "note": row["note"],
            "timeEstimate": {
                "estimate": "PT0S",
                "type": "AUTO",
                "resetOption": None,
                "active": False,
                "includeNonBillable": True,
            },
            "budgetEstimate": None,
            "estimateReset": None,
            "template": False,
            "public": row["public"],
        }

    def task(self, row: Document) -> Document:
        """TaskDtoV1."""
        return {
            "id": row["id"],
            "name": row["name"],
            "projectId": row["projectId"],
            "assigneeIds": [],
            "userGroupIds": [],
            "estimate": "PT0S",
            "budgetEstimate": 0,
            "billable": True,
            "hourlyRate": None,
            "costRate": None,
            "status": "ACTIVE",
            "duration": "PT0S",
        }

    def tag(self, row: Document) -> Document:
        """TagDtoV1."""
        return {"id": row["id"], "name": row["name"], "workspaceId": self.workspace_id, "archived": False}

    def time_entry(self, row: Document, *, hydrated: bool = False) -> Document:
        """TimeEntryWithRatesDtoV1; hydrated, with project, task, tags and user themselves besides their ids."""
        answer = {
            "id": row["id"],
            "description": row["description"],
            "tagIds": row["tagIds"],
            "userId": row["userId"],
            "billable": row["billable"],
            "taskId": row["taskId"],
            "projectId": row["projectId"],
            "workspaceId": self.workspace_id,
            "timeInterval": _interval(row),
            "customFieldValues": [],
            "type": "REGULAR",
            "kioskId": None,
            "hourlyRate": self._entry_rate(row),
            "costRate": None,
            "isLocked": self.is_approved(row["id"]),
        }
        if hydrated:
            project = self._state.get("projects", row["projectId"] or "")
            user = self._state.get("users", row["userId"])
            answer |= {
                "project": self._project_info(project),
                "task": self._task_info(row),
                "tags": self._tags(row),
                "user": {"id": row["userId"], "name": user["name"] if user else "", "status": "ACTIVE"},
            }
        return answer

    def approval(self, row: Document) -> Document:
        """ApprovalRequestDtoV1."""
        owner, updater = self._state.get("users", row["userId"]), self._state.get("users", row["updatedBy"])
        return {
            "id": row["id"],
            "workspaceId": self.workspace_id,
            "dateRange": {"start": row["start"], "end": row["end"]},
            "owner": {
                "userId": row["userId"],
                "userName": owner["name"] if owner else "",
                "timeZone": owner["timeZone"] if owner else "",
                "startOfWeek": "MONDAY",
            },
            "status": {
                "state": row["state"],
                "updatedBy": row["updatedBy"],
                "updatedByUserName": updater["name"] if updater else "",
                "updatedAt": row["updatedAt"],
                "note": row["note"],
            },
            "creator": {
                "userId": row["userId"],
                "userName": owner["name"] if owner else "",
                "userEmail": owner["email"] if owner else "",
            },
        }

    def approval_details(self, row: Document) -> Document:
        """ApprovalDetailsDtoV1: the request, the entries and expenses that it lists and still exist, and totals."""
        entries = [e for e in (self._state.get("time_entries", i) for i in row["entryIds"]) if e is not None]
        expenses = [e for e in (self._state.get("expenses", i) for i in row["expenseIds"]) if e is not None]
        tracked = sum(_seconds(e) for e in entries)
        billable = [e for e in entries if e["billable"]]
        rates = [(self._entry_rate(e) or {"amount": 0})["amount"] for e in billable]
        amount = sum((Decimal(r * _seconds(e)) / 3600 for r, e in zip(rates, billable, strict=True)), Decimal(0))
        return {
            "approvalRequest": self.approval(row),
            "entries": [self._entry_info(e, row["id"]) for e in entries],
            "expenses": [self._expense_info(e, row) for e in expenses],
            "trackedTime": iso_duration(tracked),
            "breakTime": "PT0S",
            "billableTime": iso_duration(sum(_seconds(e) for e in billable)),
            "approvedTime": iso_duration(tracked if row["state"] == RequestState.APPROVED else 0),
            "pendingTime": iso_duration(tracked if row["state"] == RequestState.PENDING else 0),
            # The vendor's schema says double; the amounts that count are the entries' own rates.
            "billableAmount": float(round(amount)),
            "costAmount": 0.0,
            "expenseTotal": float(sum((Decimal(e["total"]) for e in expenses), Decimal(0))),
        }

    def is_approved(self, object_id: str, kind: str = "entry") -> bool:
        """Whether an approved request lists the entry, or ("expense") the expense."""
        return any(a["state"] == RequestState.APPROVED for a in self._state.find("approvals", kind, object_id))

    def expense(self, row: Document) -> Document:
        """ExpenseDtoV1, with the ids of project and category."""
        return {**self._expense(row), "projectId": row["projectId"], "categoryId": row["categoryId"], "taskId": None}

    def expense_hydrated(self, row: Document) -> Document:
        """ExpenseHydratedDtoV1, with project and category themselves."""
        return {
            **self._expense(row),
            "project": self._project_info(self._state.get("projects", row["projectId"] or "")),
            "category": self.expense_category(self._state.get("expense_categories", row["categoryId"])),
            "task": None,
            "fileName": None,
        }

    def expenses(self, rows: Sequence[Document], page: Sequence[Document]) -> Document:
        """ExpensesAndTotalsDtoV1: a page of the rows, and the totals of the page's days and weeks."""
        daily: dict[dt.date, Decimal] = defaultdict(Decimal)
        weekly: dict[dt.date, Decimal] = defaultdict(Decimal)
        for row in page:
            day = dt.date.fromisoformat(row["date"])
            daily[day] += Decimal(row["total"])
            weekly[day - dt.timedelta(days=day.weekday())] += Decimal(row["total"])
        return {
            "expenses": {"expenses": [self.expense_hydrated(e) for e in page], "count": len(rows)},
            "dailyTotals": [
                {"date": d.isoformat(), "dateAsInstant": f"{d}T00:00:00Z", "total": float(t)} for d, t in daily.items()
            ],
            "weeklyTotals": [{"date": d.isoformat(), "total": float(t)} for d, t in weekly.items()],
        }

    def expense_category(self, row: Document | None) -> Document | None:
        """ExpenseCategoryDtoV1."""
        return None if row is None else {**row, "workspaceId": self.workspace_id, "archived": False}

    def _expense(self, row: Document) -> Document:
        return {
            "id": row["id"],
            "workspaceId": self.workspace_id,
            "userId": row["userId"],
            "date": row["date"],
            "notes": row["notes"],
            "billable": row["billable"],
            # The vendor's schema says double.
            "quantity": float(row["quantity"]),
            "total": float(row["total"]),
            "fileId": "",
            "locked": self.is_approved(row["id"], "expense"),
        }

    def _expense_info(self, row: Document, approval: Document) -> Document:
        known = {RequestState.PENDING: "PENDING", RequestState.APPROVED: "APPROVED"}
        return {
            **self.expense_hydrated(row),
            "currency": CURRENCY,
            "approvalRequestId": approval["id"],
            "approvalStatus": known.get(RequestState(approval["state"]), "UNSUBMITTED"),
        }

    def _task_info(self, row: Document) -> Document | None:
        task = self._state.get("tasks", row["taskId"] or "")
        return None if task is None else {"id": task["id"], "name": task["name"]}

    def _tags(self, row: Document) -> list[Document]:
        return [self.tag(tag) for tag in (self._state.get("tags", i) for i in row["tagIds"]) if tag is not None]

    def _entry_info(self, row: Document, approval_id: str) -> Document:
        project = self._state.get("projects", row["projectId"] or "")
        return {
            "id": row["id"],
            "approvalRequestId": approval_id,
            "billable": row["billable"],
            "description": row["description"],
            "isLocked": self.is_approved(row["id"]),
            "project": self._project_info(project),
            "task": self._task_info(row),
            "tags": self._tags(row),
            "timeInterval": _interval(row),
            "hourlyRate": self._entry_rate(row),
            "costRate": None,
            "customFieldValues": [],
            "type": "REGULAR",
        }

    def _project_info(self, project: Document | None) -> Document | None:
        if project is None:
            return None
        client = self._state.get("clients", project["clientId"])
        return {
            "id": project["id"],
            "name": project["name"],
            "color": project["color"],
            "clientId": project["clientId"],
            "clientName": client["name"] if client else "",
        }

    def _entry_rate(self, row: Document) -> Document | None:
        project = self._state.get("projects", row["projectId"] or "")
        if project is None or not row["billable"]:
            return None
        for rates in (project["members"].get(row["userId"], []), project["rates"]):
            known = [r for r in rates if r["since"] is None or r["since"] <= row["start"]]
            if known:
                return _rate(known[-1:], project["currency"])
        return None

    @staticmethod
    def _membership(user: str, target: str, kind: str, rate: Document | None) -> Document:
        return {
            "userId": user,
            "hourlyRate": rate,
            "costRate": None,
            "targetId": target,
            "membershipType": kind,
            "membershipStatus": "ACTIVE",
        }


def _rate(latest: list[Document], currency: str) -> Document | None:
    return {"amount": latest[0]["amount"], "currency": currency} if latest else None


def _seconds(row: Document) -> int:
    if row["end"] is None:
        return 0
    return int((dt.datetime.fromisoformat(row["end"]) - dt.datetime.fromisoformat(row["start"])).total_seconds())


def _interval(row: Document) -> dict[str, Any]:
    return {
        "start": row["start"],
        "end": row["end"],
        "duration": iso_duration(_seconds(row)) if row["end"] is not None else None,
    }
