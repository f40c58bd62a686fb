"""Reading HubSpot's CRM v3 objects.

Documentation: https://developers.hubspot.com/docs/api-reference/crm-companies-v3 and crm-deals-v3, operation
"Retrieve companies" / "Retrieve deals" (properties, associations, limit, after); "Private apps" for the bearer
token; "API usage guidelines and limits" (100 requests in 10 seconds for a private app on the smaller plans).

Only the properties that are asked for come back; one that does not exist is left out without a word.
"""

from collections.abc import Callable, Mapping
from typing import Any

from psa_erp_assets.adapters.http import Auth, JsonApi, SourceAnswerError, expect_list, expect_object, path_segment

COMPANY_PROPERTIES = ("customer_code", "name", "country", "psa_client_id")
DEAL_PROPERTIES = (
    "amends_contract",
    "billing_terms",
    "contract_code",
    "contract_kind",
    "contract_start",
    "contract_end",
    "deal_currency_code",
    "dealname",
    "dealstage",
    "legal_entity",
    "psa_project_ids",
)


def hubspot_auth(access_token: Callable[[], str]) -> Auth:
    """The bearer token of a private app; `access_token` is asked at each request and kept nowhere."""
    return lambda: {"Authorization": f"Bearer {access_token()}"}


class HubSpotClient:
    """One portal. Each method raises a SourceError when there was no usable answer; none returns a part of a list.

    `page_size` is at most 100, the API's own limit.
    """

    def __init__(self, api: JsonApi, *, page_size: int = 100) -> None:
        self._api, self._page_size = api, page_size

    def companies(self) -> list[dict[str, Any]]:
        """All companies that are not archived, with COMPANY_PROPERTIES."""
        return self._all("/crm/v3/objects/companies", {"properties": ",".join(COMPANY_PROPERTIES)})

    def deals(self) -> list[dict[str, Any]]:
        """All deals that are not archived, with DEAL_PROPERTIES and the ids of their companies."""
        return self._all(
            "/crm/v3/objects/deals", {"properties": ",".join(DEAL_PROPERTIES), "associations": "companies"}
        )

    def company_ids(self) -> list[str]:
        """The ids of all companies that are not archived."""
        return self._keys("/crm/v3/objects/companies")

    def deal_ids(self) -> list[str]:
        """The ids of all deals that are not archived."""
        return self._keys("/crm/v3/objects/deals")

    def deal(self, deal_id: str) -> dict[str, Any] | None:
        """One deal, as `deals` gives them; None if it does not exist, or is archived."""
        return self._one(
            f"/crm/v3/objects/deals/{path_segment(deal_id)}",
            {"properties": ",".join(DEAL_PROPERTIES), "associations": "companies"},
        )

    def company(self, company_id: str) -> dict[str, Any] | None:
        """One company, as `companies` gives them; None if it does not exist, or is archived."""
        return self._one(
            f"/crm/v3/objects/companies/{path_segment(company_id)}", {"properties": ",".join(COMPANY_PROPERTIES)}
        )

    def _one(self, path: str, params: Mapping[str, str]) -> dict[str, Any] | None:
        answer = self._api.get_or_none(path, params)
        return None if answer is None else expect_object(answer, path)

    def _keys(self, path: str) -> list[str]:
        found = []
        for item in self._all(path, {"properties": "hs_object_id"}):
            key = item.get("id")
            if not isinstance(key, str) or not key:
                raise SourceAnswerError("GET", path, "lists an object that has no id", status=200)
            found.append(key)
        return found

    def _all(self, path: str, params: Mapping[str, str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        seen: set[str] = set()
        after: str | None = None
        while True:
            cursor = {} if after is None else {"after": after}
            answer = expect_object(self._api.get(path, {**params, "limit": str(self._page_size), **cursor}), path)
            found += expect_list(answer.get("results"), path)
            after = _next_cursor(answer, path)
            if after is None:
                return found
            if after in seen:
                raise SourceAnswerError("GET", path, "repeats its paging cursor", status=200)
            seen.add(after)


def _next_cursor(answer: Mapping[str, Any], path: str) -> str | None:
    """paging.next.after; None where paging or next is absent, which is the last page."""
    step: Any = answer
    for name in ("paging", "next"):
        step = step.get(name)
        if step is None:
            return None
        step = expect_object(step, path)
    after = step.get("after")
    if not isinstance(after, str) or not after:
        raise SourceAnswerError("GET", path, "announces a next page without its cursor", status=200)
    return after
