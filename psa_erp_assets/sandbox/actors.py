"""People of the demo company, played through the vendors' own APIs.

What the demo, the tests and the benchmark want to happen at a source happens here, and only by HTTP.
"""

import datetime as dt
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from psa_erp_assets.sandbox.company_model import DemoCompany, RequestState
from psa_erp_assets.sandbox.serve import SandboxServer
from psa_erp_assets.sandbox.wire import instant

ENTRY_AND_APPROVAL_EVENTS = (
    "NEW_TIME_ENTRY",
    "TIME_ENTRY_UPDATED",
    "TIME_ENTRY_DELETED",
    "NEW_APPROVAL_REQUEST",
    "APPROVAL_REQUEST_STATUS_UPDATED",
)


class Actors:
    """Acts at the sandboxes with their keys. Every method raises httpx.HTTPStatusError when it is refused."""

    def __init__(
        self, company: DemoCompany, *, clockify_url: str, clockify_key: str, hubspot_url: str, hubspot_key: str,
        bamboohr_url: str, bamboohr_key: str,
    ) -> None:  # fmt: skip
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

    def close(self) -> None:
        """Close the connections."""
        for client in (self._psa, self._crm, self._hr):
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
    ) -> dict[str, Any]:
        """A consultant changes an entry; what is None stays as it is."""
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
        }
        return self._call(self._psa, "PUT", f"/time-entries/{entry_id}", body)

    def record_entry(
        self, user_id: str, project_id: str | None, start: dt.datetime, minutes: int, *, billable: bool = True
    ) -> str:
        """A consultant records work; the new entry's id."""
        body = {
            "start": instant(start),
            "end": instant(start + dt.timedelta(minutes=minutes)),
            "projectId": project_id,
            "billable": billable,
            "description": "Late entry",
        }
        return str(self._call(self._psa, "POST", f"/user/{user_id}/time-entries", body)["id"])

    def delete_entry(self, entry_id: str) -> None:
        """Somebody deletes an entry."""
        self._psa.delete(f"/time-entries/{entry_id}").raise_for_status()

    def requests_in(self, state: RequestState) -> list[dict[str, Any]]:
        """The approval requests in a state, with their entries."""
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

    def register_webhooks(self, url: str, events: Iterable[str] = ENTRY_AND_APPROVAL_EVENTS) -> dict[str, str]:
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

    def change_deal(self, deal_id: str, **properties: str) -> dict[str, Any]:
        """Sales changes a deal's properties."""
        return self._call(self._crm, "PATCH", f"/crm/v3/objects/deals/{deal_id}", {"properties": properties})

    def record_salary(self, hr_id: str, start: dt.date, annual: str, currency: str) -> None:
        """HR records an annual salary from a date on."""
        body = {"startDate": start.isoformat(), "rate": {"value": annual, "currency": currency}, "type": "Salary"}
        self._hr.post(f"/api/v1/employees/{hr_id}/tables/compensation", json=body).raise_for_status()

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
    )
    try:
        yield people
    finally:
        people.close()


def _rate(cents: int, since: dt.datetime | None) -> dict[str, Any]:
    return {"amount": cents} | ({"since": instant(since)} if since is not None else {})
