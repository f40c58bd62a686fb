"""Reading Clockify's REST API v1.

Documentation: "Clockify API", https://docs.clockify.me, sections "Authentication", "Rate limiting", "User",
"Client", "Project", "Task", "Tag", "Time entry", "Expense", "Approval" and "Webhooks".

What its documents do not say, or say by the way:

- Lists are counted in pages from 1 and have no cursor. A record that is removed between two pages moves the rest
  forward, so that one list can miss a record: before "it was not in the list" is taken for "it was deleted", the
  record is fetched by its id.
- An unknown or deleted id is answered with 400, code 501 and a message that it does not belong to the workspace, or
  with 404.
- v1 has no GET of one approval request; the list, newest first, is read until it comes up.
- The list of expenses knows no dates: all that were ever recorded are read.
- `hydrated` adds a time entry's task and tags with their names to their ids, and spares reading both lists.
- A page may be shorter than it was asked to be (the server's own limit), so only an empty page is the end.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from psa_erp_assets.adapters.connectors.reading import instant, part
from psa_erp_assets.adapters.http import Auth, JsonApi, SourceAnswerError, expect_list, expect_object, path_segment
from psa_erp_assets.domain.malformed import MalformedRecordError


def clockify_auth(api_key: Callable[[], str]) -> Auth:
    """The X-Api-Key header; `api_key` is asked at each request and kept nowhere."""
    return lambda: {"X-Api-Key": api_key()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """A registered webhook. `token` is what its deliveries carry in the clockify-signature header: a secret."""

    id: str
    event: str
    url: str
    enabled: bool
    token: str = field(repr=False)


class ClockifyClient:
    """One workspace. Every method raises a SourceError when the source gave no usable answer; none returns a part.

    `api` has the base URL of the workspace's region, https://api.clockify.me/api for most.
    """

    def __init__(self, api: JsonApi, workspace_id: str, *, page_size: int = 200) -> None:
        self._api, self._page_size = api, page_size
        self._workspace_id = workspace_id
        self._root = f"/v1/workspaces/{path_segment(workspace_id)}"

    def workspace(self) -> dict[str, Any]:
        """The workspace itself (WorkspaceDtoV1), with its currencies."""
        return expect_object(self._api.get(self._root), self._root)

    def users(self) -> list[dict[str, Any]]:
        """Everybody in the workspace (UserDtoV1), those who have left included: their time remains."""
        return list(self._pages("/users", {"status": "ALL", "include-roles": "false"}))

    def clients(self) -> list[dict[str, Any]]:
        """All clients (ClientWithCurrencyDtoV1)."""
        return list(self._pages("/clients", {}))

    def projects(self) -> list[dict[str, Any]]:
        """All projects, archived ones too, with their memberships and rates (ProjectDtoImplV1)."""
        return list(self._pages("/projects", {"hydrated": "true"}))

    def project(self, project_id: str) -> dict[str, Any] | None:
        """One project, as `projects` gives them; None if it does not exist, or no longer."""
        return self._one(f"/projects/{path_segment(project_id)}", {"hydrated": "true"})

    def tasks(self, project_id: str) -> list[dict[str, Any]]:
        """All tasks of a project, finished ones too (TaskDtoV1)."""
        return list(self._pages(f"/projects/{path_segment(project_id)}/tasks", {}))

    def tags(self) -> list[dict[str, Any]]:
        """All tags, archived ones too (TagDtoV1)."""
        return list(self._pages("/tags", {}))

    def time_entries(self, user_id: str, start: dt.datetime, end: dt.datetime) -> list[dict[str, Any]]:
        """A user's entries that start from `start` to `end`, both aware.

        TimeEntryWithRatesDtoV1, and with it the entry's task and tags by name.
        """
        window = {"start": _wire_instant(start), "end": _wire_instant(end), "hydrated": "true"}
        return list(self._pages(f"/user/{path_segment(user_id)}/time-entries", window))

    def time_entry(self, entry_id: str) -> dict[str, Any] | None:
        """One entry, as `time_entries` gives them; None if it does not exist, or no longer."""
        return self._one(f"/time-entries/{path_segment(entry_id)}", {"hydrated": "true"})

    def expenses(self) -> list[dict[str, Any]]:
        """Everybody's expenses, with their project and category (ExpenseHydratedDtoV1)."""
        return list(self._pages("/expenses", {}, listed_at=("expenses", "expenses")))

    def expense(self, expense_id: str) -> dict[str, Any] | None:
        """One expense, with its project and category by id (ExpenseDtoV1); None if it does not exist, or no longer."""
        return self._one(f"/expenses/{path_segment(expense_id)}", None)

    def expense_categories(self) -> list[dict[str, Any]]:
        """All categories of expenses, archived ones too (ExpenseCategoryDtoV1)."""
        return list(self._pages("/expenses/categories", {}, listed_at=("categories",)))

    def approval_requests(
        self, status: str | None = None, *, updated_since: dt.datetime | None = None
    ) -> list[dict[str, Any]]:
        """Approval requests with their entries (ApprovalDetailsDtoV1), the most recently changed first.

        `status` is PENDING, APPROVED, WITHDRAWN_SUBMISSION, WITHDRAWN_APPROVAL or REJECTED; None for all.
        With `updated_since` reading stops at the first one that has not changed since.
        """
        return list(self._approvals(status, updated_since))

    def approval_request(self, request_id: str, *, updated_since: dt.datetime | None = None) -> dict[str, Any] | None:
        """One approval request (ApprovalDetailsDtoV1); None if it does not exist.

        With `updated_since` also None if it has not changed since, which spares reading the whole list.
        """
        for details in self._approvals(None, updated_since):
            if details["approvalRequest"]["id"] == request_id:
                return details
        return None

    def webhooks(self) -> list[Webhook]:
        """The workspace's webhooks."""
        path = f"{self._root}/webhooks"
        answer = expect_object(self._api.get(path), path)
        return [_webhook(item, path, "GET") for item in expect_list(answer.get("webhooks"), path)]

    def register_webhook(self, *, event: str, url: str, name: str) -> Webhook:
        """Have every `event` of the workspace announced to `url`. Clockify makes the token.

        Sent once: after a SourceUnreachableError it may exist, so look at `webhooks` before another try.
        """
        path = f"{self._root}/webhooks"
        body = {
            "name": name,
            "url": url,
            "webhookEvent": event,
            "triggerSourceType": "WORKSPACE_ID",
            "triggerSource": [self._workspace_id],
        }
        return _webhook(expect_object(self._api.post(path, body), path, method="POST"), path, "POST")

    def _approvals(self, status: str | None, updated_since: dt.datetime | None) -> Iterator[dict[str, Any]]:
        path, params = "/approval-requests", {"sort-column": "UPDATED_AT", "sort-order": "DESCENDING"}
        if status is not None:
            params["status"] = status
        for details in self._pages(path, params, id_of=_approval_id):
            if updated_since is not None and _updated_at(details, self._root + path) < updated_since:
                return
            yield details

    def _one(self, path: str, params: Mapping[str, str] | None) -> dict[str, Any] | None:
        path = self._root + path
        answer = self._api.get_or_none(path, params, absent=_says_absent)
        return None if answer is None else expect_object(answer, path)

    def _pages(
        self,
        path: str,
        params: Mapping[str, str],
        *,
        id_of: Callable[[Mapping[str, Any]], Any] = lambda item: item["id"],
        listed_at: Sequence[str] = (),
    ) -> Iterator[dict[str, Any]]:
        """Each record once, though a record that moves to a later page meanwhile is sent twice.

        `listed_at` are the names under which an answer that is an object has its list, the outermost first.
        """
        path, seen, page = self._root + path, set[str](), 1
        while items := _listed(
            self._api.get(path, {**params, "page": str(page), "page-size": str(self._page_size)}), listed_at, path
        ):
            fresh = {_id(item, id_of, path): item for item in items}
            fresh = {key: item for key, item in fresh.items() if key not in seen}
            if not fresh:
                # A server that ignores the page number would be asked for ever.
                raise SourceAnswerError("GET", path, f"repeats its records on page {page}", status=200)
            seen.update(fresh)
            yield from fresh.values()
            page += 1


def _listed(answer: Any, listed_at: Sequence[str], path: str) -> list[dict[str, Any]]:
    for name in listed_at:
        answer = expect_object(answer, path).get(name)
    return expect_list(answer, path)


def _says_absent(status: int, body: Any) -> bool:
    if status == 400 and isinstance(body, dict):
        # The code alone would not do: Clockify gives it to other refusals too.
        return body.get("code") == 501 and "belong" in str(body.get("message"))
    return status == 404


def _wire_instant(moment: dt.datetime) -> str:
    if moment.tzinfo is None:
        raise ValueError("a window needs aware datetimes; a naive one is ambiguous")
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _approval_id(details: Mapping[str, Any]) -> Any:
    return details["approvalRequest"]["id"]


def _id(item: Mapping[str, Any], id_of: Callable[[Mapping[str, Any]], Any], path: str) -> str:
    try:
        key = id_of(item)
    except (KeyError, TypeError):
        key = None
    if not isinstance(key, str) or not key:
        raise SourceAnswerError("GET", path, "answered with a record that has no id", status=200)
    return key


def _updated_at(details: Mapping[str, Any], path: str) -> dt.datetime:
    try:
        return instant(part(part(details, "approvalRequest"), "status"), "updatedAt")
    except MalformedRecordError as error:
        raise SourceAnswerError("GET", path, f"an approval request's {error.reason}", status=200) from None


def _webhook(item: Mapping[str, Any], path: str, method: str) -> Webhook:
    try:
        return Webhook(
            id=item["id"],
            event=item["webhookEvent"],
            url=item["url"],
            enabled=item.get("enabled") is not False,
            token=item["authToken"],
        )
    except KeyError as error:
        raise SourceAnswerError(
            method, path, f"answered with a webhook without its {error.args[0]}", status=200
        ) from None
