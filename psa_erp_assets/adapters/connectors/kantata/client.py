"""Reading Kantata OX's REST API v1, which was Mavenlink's.

Documentation: "Kantata OX API", https://developer.kantata.com, sections "Response Format", "Pagination", "Request by
ID", "Rate Limits" and "Timeouts"; operations "Fetching a list of Stories" (story_type, all_on_account, show_archived,
show_deleted, show_from_archived_workspaces, include, order) and "Fetching a list of Workspaces" (include_archived);
the older pages http://developer.mavenlink.com/stories/ and /workspaces/ say what the fields mean.

- An answer has `count` (of the whole query), `results` (an ordered list of {key, id}) and the records, by id, under
  their plural name. Records that were only included stand there too, so `results` alone says what was asked for.
- A page has at most 200 records. There is no cursor: what is read is checked against `count`.
- A story's `workspace_id` comes only with `include=workspace`.
- Archived and deleted stories, and those of archived projects, are left out unless they are asked for; so does the
  vendor's own Ruby client (mavenlink/mavenlink_ruby, Story#association_load_filters). The same filters apply to
  GET /stories/{id}, which then answers 404 for a story that exists. So 404 proves no deletion and there is no reading
  of single records here: only a complete list that lacks a story says that it is gone.
- 429 comes without a Retry-After that is documented ("retry your request after a small delay"); a request is cut off
  after three minutes.

The token is that of an account administrator, or of somebody who may see all projects and their budgets: fields about
money are absent for everybody else.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from psa_erp_assets.adapters.http import Auth, JsonApi, SourceAnswerError, expect_list, expect_object


def kantata_auth(access_token: Callable[[], str]) -> Auth:
    """The bearer token of OAuth 2.0; `access_token` is asked at each request and kept nowhere."""
    return lambda: {"Authorization": f"Bearer {access_token()}"}


class KantataClient:
    """One account. Each method raises a SourceError when there was no usable answer; none returns a part of a list.

    `api` has the base URL https://api.mavenlink.com/api/v1; `page_size` is at most 200, the API's own limit.
    """

    def __init__(self, api: JsonApi, *, page_size: int = 200) -> None:
        self._api, self._page_size = api, page_size

    def milestones(self, ids: Collection[str] | None = None) -> list[dict[str, Any]]:
        """All stories of the type milestone with their `workspace_id`, the oldest first; or only those with these ids.

        Archived and deleted ones are among them, and those of archived projects. One that is not shown is left out.
        """
        filters = ("all_on_account", "show_archived", "show_deleted", "show_from_archived_workspaces")
        wanted = {} if ids is None else {"only": ",".join(sorted(ids))}
        asked = {"story_type": "milestone", "include": "workspace", **dict.fromkeys(filters, "true"), **wanted}
        return self._all("stories", asked)

    def workspaces(self) -> list[dict[str, Any]]:
        """All projects, archived ones too, with title and currency, the oldest first."""
        return self._all("workspaces", {"include_archived": "true"})

    def _all(self, name: str, params: Mapping[str, str]) -> list[dict[str, Any]]:
        path, page = f"/{name}", 1
        # The oldest first: whatever is made while the list is read comes at its end, and moves nothing.
        params = {**params, "order": "created_at:asc", "per_page": str(self._page_size)}
        found: dict[str, dict[str, Any]] = {}
        while True:
            answer = expect_object(self._api.get(path, {**params, "page": str(page)}), path)
            listed, count = _listed(answer, name, path), _count(answer, path)
            if listed and listed.keys() <= found.keys():
                # A server that ignores the page number would be asked for ever.
                raise SourceAnswerError("GET", path, f"repeats its records on page {page}", status=200)
            found |= listed
            if len(found) >= count:
                return list(found.values())
            if not listed:
                raise SourceAnswerError("GET", path, f"counts {count} records and lists {len(found)}", status=200)
            page += 1


def _listed(answer: Mapping[str, Any], name: str, path: str) -> dict[str, dict[str, Any]]:
    """The records that `results` names, by id and in its order."""
    records = answer.get(name, {})
    found: dict[str, dict[str, Any]] = {}
    for reference in expect_list(answer.get("results"), path):
        key = reference.get("id")
        record = records.get(key) if isinstance(records, dict) and isinstance(key, str) else None
        if reference.get("key") != name or not isinstance(record, dict) or record.get("id") != key:
            raise SourceAnswerError("GET", path, f"names in its results what is none of its {name}", status=200)
        found[record["id"]] = record
    return found


def _count(answer: Mapping[str, Any], path: str) -> int:
    count = answer.get("count")
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        raise SourceAnswerError("GET", path, "does not say how many records there are", status=200)
    return count
