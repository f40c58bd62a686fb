"""People of the demo company, played through the vendors' own APIs.

What the demo, the tests and the benchmark want to happen at a source happens here, and only by HTTP.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import httpx

from psa_erp_assets.sandbox.company_model import DemoCompany, RequestState
from psa_erp_assets.sandbox.serve import SandboxServer
from psa_erp_assets.sandbox.wire import instant

WATCHED_EVENTS = (
    "NEW_TIME_ENTRY",
    "TIME_ENTRY_UPDATED",
    "TIME_ENTRY_DELETED",
    "EXPENSE_CREATED",
    "EXPENSE_UPDATED",
    "EXPENSE_DELETED",
    "NEW_APPROVAL_REQUEST",
    "APPROVAL_REQUEST_STATUS_UPDATED",
)


class Actors:
    """Acts at the sandboxes with their keys. Every method raises httpx.HTTPStatusError when it is refused."""

    def __init__(
        self, company: DemoCompany, *, clockify_url: str, clockify_key: str, hubspot_url: str, hubspot_key: str,
        bamboohr_url: str, bamboohr_key: str, kantata_url: str = "", kantata_key: str = "",
    ) -> None:  # fmt: skip
        """Without `kantata_url`, for a company that has no second PSA, nobody can act there."""
        self._company = company
        self._psa = httpx.Client(
            base_url=f"{clockify_url}/v1/workspaces/{company.workspace_id}",
            headers={"x-api-key": clockify_key},
            timeout=30,
            trust_env=False,
        )
        self._crm = httpx.Client(
            base_url=hubspot_url, headers={"authorization": f"Bearer {hubspot_key}"}, timeout=30, trust_env=False
        )
        self._hr = httpx.Client(base_url=bamboohr_url, auth=(bamboohr_key, "x"), timeout=30, trust_env=False)
        self._fees = httpx.Client(
            base_url=kantata_url, headers={"authorization": f"Bearer {kantata_key}"}, timeout=30, trust_env=False
        )
        self._relay_url = f"{kantata_url.removesuffix('/api/v1')}/relay/target"

    def close(self) -> None:
        """Close the connections."""
        for client in (self._psa, self._crm, self._hr, self._fees):
            client.close()

    def entry(self, entry_id: str) -> dict[str, Any]:
        """The entry as the PSA has it now."""
        return self._call(self._psa, "GET", f"/time-entries/{entry_id}")

    def edit_entry(
        self,
        entry_id: str,
        *,
        minutes: int | None = None,
        end: dt.datetime | None = None,
        project_id: str | None = None,
        billable: bool | None = None,
        tags: Iterable[str] | None = None,
    ) -> dict[str, Any]:
        """A consultant changes an entry; what is None stays as it is. In another project it has no task."""
        old = self.entry(entry_id)
        start = dt.datetime.fromisoformat(old["timeInterval"]["start"])
        if minutes is not None:
            end = start + dt.timedelta(minutes=minutes)
        body = {
            "start": old["timeInterval"]["start"],
            "end": instant(end) if end is not None else old["timeInterval"]["end"],
            "projectId": project_id if project_id is not None else old["projectId"],
            "billable": billable if billable is not None else old["billable"],
            "description": old["description"],
            "taskId": old["taskId"] if project_id in (None, old["projectId"]) else None,
            "tagIds": old["tagIds"] if tags is None else [self._tag(name) for name in tags],
        }
        return self._call(self._psa, "PUT", f"/time-entries/{entry_id}", body)

    def record_entry(
        self,
        user_id: str,
        project_id: str | None,
        start: dt.datetime,
        minutes: int,
        *,
        billable: bool = True,
        task: str | None = None,
        tags: Iterable[str] = (),
    ) -> str:
        """A consultant records work, on a task of the project and with tags by name; the new entry's id."""
        body = {
            "start": instant(start),
            "end": instant(start + dt.timedelta(minutes=minutes)),
            "projectId": project_id,
            "billable": billable,
            "description": "Late entry",
            "taskId": self._task(project_id, task) if project_id and task else None,
            "tagIds": [self._tag(name) for name in tags],
        }
        return str(self._call(self._psa, "POST", f"/user/{user_id}/time-entries", body)["id"])

    def delete_entry(self, entry_id: str) -> None:
        """Somebody deletes an entry."""
        self._psa.delete(f"/time-entries/{entry_id}").raise_for_status()

    def expense(self, expense_id: str) -> dict[str, Any]:
        """The expense as the PSA has it now."""
        return self._call(self._psa, "GET", f"/expenses/{expense_id}")

    def record_expense(
        self,
        user_id: str,
        project_id: str | None,
        date: dt.date,
        category: str,
        amount: Decimal,
        *,
        notes: str = "",
        billable: bool = True,
    ) -> str:
        """A consultant records an expense; the new expense's id.

        `amount` is in the workspace's currency, or the quantity in a category that has a unit price. What the receipt
        says stands at the beginning of the notes: "Receipt CHF 412.50; hotel".
        """
        form = {
            "userId": user_id,
            "date": _midnight(date),
            "categoryId": self._category(category),
            "amount": str(amount),
            "notes": notes,
            "billable": str(billable).lower(),
        }
        if project_id is not None:
            form["projectId"] = project_id
        return str(self._send_form("POST", "/expenses", form)["id"])

    def edit_expense(
        self,
        expense_id: str,
        *,
        amount: Decimal | None = None,
        category: str | None = None,
        notes: str | None = None,
        project_id: str | None = None,
        date: dt.date | None = None,
        billable: bool | None = None,
    ) -> dict[str, Any]:
        """A consultant changes an expense; what is None stays as it is. A new category needs the amount again."""
        old = self.expense(expense_id)
        new = {
            "AMOUNT": ("amount", None if amount is None else str(amount)),
            "CATEGORY": ("categoryId", None if category is None else self._category(category)),
            "NOTES": ("notes", notes),
            "PROJECT": ("projectId", project_id),
            "DATE": ("date", None if date is None else _midnight(date)),
            "BILLABLE": ("billable", None if billable is None else str(billable).lower()),
        }
        # The vendor requires these, changed or not; what is not named in changeFields is not looked at.
        form = {
            "userId": old["userId"],
            "categoryId": old["categoryId"],
            "amount": "0",
            "date": f"{old['date']}T00:00:00Z",
            "changeFields": [field for field, (_, value) in new.items() if value is not None],
            **{name: value for name, value in new.values() if value is not None},
        }
        return self._send_form("PUT", f"/expenses/{expense_id}", form)

    def delete_expense(self, expense_id: str) -> None:
        """Somebody deletes an expense."""
        self._psa.delete(f"/expenses/{expense_id}").raise_for_status()

    def requests_in(self, state: RequestState) -> list[dict[str, Any]]:
        """The approval requests in a state, with their entries and expenses."""
        found: list[dict[str, Any]] = []
        for page in range(1, 10_000):
            query = {"status": state.value, "page": str(page), "page-size": "200"}
            rows = self._psa.get("/approval-requests", params=query).raise_for_status().json()
            found += rows
            if not rows:
                break
        return found

    def submit_week(self, user_id: str, start: dt.datetime, *, again: bool = False) -> str:
        """A consultant submits the week from `start` on, or (again) resubmits what was refused; the request's id."""
        path = f"/approval-requests/users/{user_id}" + ("/resubmit-entries-for-approval" if again else "")
        body = {"period": "WEEKLY", "periodStart": instant(start)}
        return str(self._call(self._psa, "POST", path, body)["id"])

    def decide(self, request_id: str, state: RequestState, note: str = "") -> dict[str, Any]:
        """The approver approves or rejects a request, or takes an approval back."""
        return self._call(self._psa, "PATCH", f"/approval-requests/{request_id}", {"state": state.value, "note": note})

    def approve(self, request_ids: Iterable[str]) -> None:
        """The approver approves requests, one after the other."""
        for request_id in request_ids:
            self.decide(request_id, RequestState.APPROVED)

    def set_project_rate(self, project_id: str, cents: int, since: dt.datetime | None = None) -> dict[str, Any]:
        """The project manager changes the project's hourly rate, from an instant on or for all time."""
        return self._call(self._psa, "PUT", f"/projects/{project_id}", {"hourlyRate": _rate(cents, since)})

    def set_person_rate(
        self, project_id: str, user_id: str, cents: int, since: dt.datetime | None = None
    ) -> dict[str, Any]:
        """The project manager changes one person's hourly rate on the project."""
        return self._call(self._psa, "PUT", f"/projects/{project_id}/users/{user_id}/hourly-rate", _rate(cents, since))

    def archive_project(self, project_id: str) -> dict[str, Any]:
        """The project manager closes a project."""
        return self._call(self._psa, "PUT", f"/projects/{project_id}", {"archived": True})

    def register_webhooks(self, url: str, events: Iterable[str] = WATCHED_EVENTS) -> dict[str, str]:
        """The administrator registers one webhook an event; the token of each, by event."""
        tokens = {}
        for event in events:
            body = {
                "name": event.replace("_", " ").title()[:30],
                "url": url,
                "webhookEvent": event,
                "triggerSourceType": "WORKSPACE_ID",
                "triggerSource": [self._company.workspace_id],
            }
            tokens[event] = str(self._call(self._psa, "POST", "/webhooks", body)["authToken"])
        return tokens

    def subscribe_to_crm(self, url: str, secret: str) -> None:
        """The administrator has the CRM announce changes of deals and companies, signed with a secret."""
        body = {"targetUrl": url, "clientSecret": secret}
        self._call(self._crm, "PUT", "/webhooks/v3/1/settings", body)

    def subscribe_to_fees(self, url: str, secret: str) -> None:
        """The administrator has the relay announce changes of the second PSA's projects and milestones."""
        self._call(self._fees, "PUT", self._relay_url, {"url": url, "secret": secret})

    def change_deal(self, deal_id: str, **properties: str) -> dict[str, Any]:
        """Sales changes a deal's properties."""
        return self._call(self._crm, "PATCH", f"/crm/v3/objects/deals/{deal_id}", {"properties": properties})

    def sign_deal(self, company_id: str, **properties: str) -> str:
        """Sales adds a deal of a company; its id."""
        link = {"to": {"id": company_id}, "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 5}]}
        body = {"properties": properties, "associations": [link]}
        return str(self._call(self._crm, "POST", "/crm/v3/objects/deals", body)["id"])

    def delete_deal(self, deal_id: str) -> None:
        """Sales deletes a deal."""
        self._crm.delete(f"/crm/v3/objects/deals/{deal_id}").raise_for_status()

    def change_company(self, company_id: str, **properties: str) -> dict[str, Any]:
        """Sales changes a company's properties."""
        return self._call(self._crm, "PATCH", f"/crm/v3/objects/companies/{company_id}", {"properties": properties})

    def record_salary(self, hr_id: str, start: dt.date, annual: str, currency: str) -> None:
        """HR records an annual salary from a date on."""
        body = {"startDate": start.isoformat(), "rate": {"value": annual, "currency": currency}, "type": "Salary"}
        self._hr.post(f"/api/v1/employees/{hr_id}/tables/compensation", json=body).raise_for_status()

    def complete_milestone(self, milestone_id: str, on: dt.date) -> dict[str, Any]:
        """The project manager completes a milestone that the customer accepted on a day."""
        return self._change_milestone(milestone_id, state="completed", due_date=on.isoformat())

    def reopen_milestone(self, milestone_id: str) -> dict[str, Any]:
        """The project manager takes the acceptance of a milestone back."""
        return self._change_milestone(milestone_id, state="started")

    def change_milestone_amount(self, milestone_id: str, cents: int) -> dict[str, Any]:
        """The project manager changes a milestone's fee, in minor units."""
        return self._change_milestone(milestone_id, budget_estimate_in_cents=cents)

    def archive_milestone(self, milestone_id: str) -> dict[str, Any]:
        """The project manager archives a milestone."""
        return self._change_milestone(milestone_id, archived=True)

    def delete_milestone(self, milestone_id: str) -> None:
        """The project manager deletes a milestone."""
        self._fees.delete(f"/stories/{milestone_id}").raise_for_status()

    def archive_milestone_project(self, workspace_id: str) -> dict[str, Any]:
        """The project manager closes a project of the second PSA."""
        return self._call(self._fees, "PUT", f"/workspaces/{workspace_id}", {"workspace": {"archived": True}})

    def change_milestone_project(self, workspace_id: str, **changes: Any) -> None:
        """The project manager changes a project of the second PSA: its title, or its status by `status_key`."""
        self._call(self._fees, "PUT", f"/workspaces/{workspace_id}", {"workspace": changes})

    def play_edits_after_approval(self) -> list[str]:
        """Consultants edit their approved entries, as the demo company has it; the ids of those entries."""
        for edit in self._company.edits_after_approval:
            self.edit_entry(edit.entry_id, end=edit.end)
        return [edit.entry_id for edit in self._company.edits_after_approval]

    def play_deletions_after_approval(self) -> list[str]:
        """Somebody deletes approved entries, as the demo company has it; the ids of those entries."""
        for entry_id in self._company.deletions_after_approval:
            self.delete_entry(entry_id)
        return list(self._company.deletions_after_approval)

    def _change_milestone(self, milestone_id: str, **changes: Any) -> dict[str, Any]:
        answer = self._call(self._fees, "PUT", f"/stories/{milestone_id}", {"story": changes})
        story: dict[str, Any] = answer["stories"][milestone_id]
        return story

    def _tag(self, name: str) -> str:
        return self._named("/tags", name)

    def _task(self, project_id: str, name: str) -> str:
        return self._named(f"/projects/{project_id}/tasks", name)

    def _named(self, path: str, name: str) -> str:
        """The id of the tag or task of that name, which is added if there is none."""
        query = {"name": name, "strict-name-search": "true"}
        found = self._psa.get(path, params=query).raise_for_status().json()
        return str(found[0]["id"] if found else self._call(self._psa, "POST", path, {"name": name})["id"])

    def _category(self, name: str) -> str:
        answer = self._psa.get("/expenses/categories", params={"name": name}).raise_for_status().json()
        return next(str(c["id"]) for c in answer["categories"] if c["name"] == name)

    def _send_form(self, method: str, path: str, form: Mapping[str, Any]) -> dict[str, Any]:
        receipt = {"file": ("receipt.txt", b"A receipt", "text/plain")}
        answer: dict[str, Any] = self._psa.request(method, path, data=form, files=receipt).raise_for_status().json()
        return answer

    @staticmethod
    def _call(client: httpx.Client, method: str, path: str, body: Any = None) -> dict[str, Any]:
        answer: dict[str, Any] = client.request(method, path, json=body).raise_for_status().json()
        return answer


@contextmanager
def actors_at(sandbox: SandboxServer) -> Iterator[Actors]:
    """The people of a running sandbox."""
    people = Actors(
        sandbox.company,
        clockify_url=sandbox.clockify_url,
        clockify_key=sandbox.keys.clockify,
        hubspot_url=sandbox.hubspot_url,
        hubspot_key=sandbox.keys.hubspot,
        bamboohr_url=sandbox.bamboohr_url,
        bamboohr_key=sandbox.keys.bamboohr,
        kantata_url=sandbox.kantata_url,
        kantata_key=sandbox.keys.kantata,
    )
    try:
        yield people
    finally:
        people.close()


def _midnight(date: dt.date) -> str:
    return f"{date}T00:00:00Z"


def _rate(cents: int, since: dt.datetime | None) -> dict[str, Any]:
    return {"amount": cents} | ({"since": instant(since)} if since is not None else {})
