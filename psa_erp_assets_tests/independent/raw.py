"""The vendors' own APIs, asked with plain requests, all pages of everything that measures are made of."""

import base64
import datetime as dt
import itertools
import json
from decimal import Decimal
from typing import Any

import httpx

Record = dict[str, Any]


def read(*, clockify: str, workspace: str, hubspot: str, bamboohr: str, kantata: str, keys: dict[str, str]) -> Record:
    """Everything of the four sandboxes. Addresses are the vendors' base URLs; `keys` are by vendor."""
    with httpx.Client(timeout=60) as http:
        psa = _Clockify(http, f"{clockify}/v1/workspaces/{workspace}", {"X-Api-Key": keys["clockify"]})
        users = psa.pages("/users", {"status": "ALL"})
        window = {"start": "2026-01-01T00:00:00Z", "end": "2027-12-31T00:00:00Z", "hydrated": "true"}
        bearer = {"Authorization": f"Bearer {keys['hubspot']}"}
        basic = {"Authorization": "Basic " + base64.b64encode(f"{keys['bamboohr']}:x".encode()).decode()}
        return {
            "users": users,
            "projects": psa.pages("/projects", {"hydrated": "true"}),
            "entries": [e for user in users for e in psa.pages(f"/user/{user['id']}/time-entries", window)],
            "approvals": psa.pages("/approval-requests", {}),
            "expenses": psa.expenses(),
            "companies": _crm(http, f"{hubspot}/crm/v3/objects/companies", bearer, "customer_code,name,country"),
            "deals": _crm(
                http,
                f"{hubspot}/crm/v3/objects/deals",
                bearer,
                "amends_contract,billing_terms,contract_code,contract_kind,contract_start,contract_end,"
                "deal_currency_code,dealname,dealstage,legal_entity,psa_project_ids",
            ),
            "employees": _hr(http, bamboohr, basic),
            "stories": _milestones(http, kantata, {"Authorization": f"Bearer {keys['kantata']}"}),
        }


class _Clockify:
    def __init__(self, http: httpx.Client, root: str, headers: dict[str, str]) -> None:
        self._http, self._root, self._headers = http, root, headers

    def pages(self, path: str, params: dict[str, str]) -> list[Record]:
        found: list[Record] = []
        for page in itertools.count(1):
            asked = {**params, "page": str(page), "page-size": "200"}
            items = _json(self._http.get(self._root + path, params=asked, headers=self._headers))
            if not items:
                return found
            found += items
        raise AssertionError

    def expenses(self) -> list[Record]:
        found: list[Record] = []
        for page in itertools.count(1):
            asked = {"page": str(page), "page-size": "200"}
            answer = _json(self._http.get(f"{self._root}/expenses", params=asked, headers=self._headers))
            items = answer["expenses"]["expenses"]
            if not items:
                return found
            found += items
        raise AssertionError


def _crm(http: httpx.Client, url: str, headers: dict[str, str], properties: str) -> list[Record]:
    found: list[Record] = []
    after: dict[str, str] = {}
    while True:
        params = {"properties": properties, "associations": "companies", "limit": "100", **after}
        body = _json(http.get(url, params=params, headers=headers))
        found += body["results"]
        following = (body.get("paging") or {}).get("next")
        if not following:
            return found
        after = {"after": following["after"]}


def _hr(http: httpx.Client, url: str, headers: dict[str, str]) -> list[Record]:
    ids, after = [], {}
    while True:
        params = {"page[limit]": "100", **after}
        body = _json(http.get(f"{url}/api/v1/employees", params=params, headers=headers))
        ids += [item["employeeId"] for item in body["data"]]
        page = body["meta"]["page"]
        if not page.get("nextCursor"):
            break
        after = {"page[after]": page["nextCursor"]}
    fields = "employeeNumber,displayName,workEmail,department,location,jobTitle,status"
    return [_json(http.get(f"{url}/api/v1/employees/{i}", params={"fields": fields}, headers=headers)) for i in ids]


def _milestones(http: httpx.Client, url: str, headers: dict[str, str]) -> list[Record]:
    found: list[Record] = []
    for page in itertools.count(1):
        params = {"page": str(page), "per_page": "200", "include": "workspace"}
        body = _json(http.get(f"{url}/stories", params=params, headers=headers))
        found += [
            body["stories"][r["id"]] | {"workspace": body["workspaces"].get(body["stories"][r["id"]]["workspace_id"])}
            for r in body["results"]
        ]
        if len(found) >= body["count"] or not body["results"]:
            return found
    raise AssertionError


def _json(answer: httpx.Response) -> Any:
    answer.raise_for_status()
    return json.loads(answer.text, parse_float=Decimal)


def read_books(books: "Tryton") -> dict[str, list[Record]]:
    """All that measures are made of in the ERP, whoever entered it."""
    out = [["type", "=", "out"]]
    return {
        "entities": books.search("company.company", [], ["party.name", "party.code", "currency.code"]),
        "currencies": books.search("currency.currency", [], ["code", "rates.date", "rates.rate"]),
        "lines": books.search(
            "account.invoice.line",
            [["type", "=", "line"]],
            [
                *("company", "amount", "unit.name", "quantity", "unit_price", "currency.code", "taxes_date"),
                *("description", "account.code", "analytic_accounts.account.code", "create_date"),
                *("invoice", "invoice.state", "invoice.invoice_date", "invoice.cancel_move.origin"),
            ],
        ),
        "invoices": books.search(
            "account.invoice",
            out,
            [
                "company",
                "state",
                "invoice_date",
                "currency.code",
                "untaxed_amount",
                "tax_amount",
                "total_amount",
                "amount_to_pay",
            ],
        ),
        "moves": books.search(
            "account.move",
            [["journal.code", "in", ["PROJ", "REVN", "ICOM"]]],
            ["company", "date", "description", "journal.code", "state"],
        ),
        "move_lines": books.search(
            "account.move.line",
            [["move.journal.code", "in", ["PROJ", "REVN", "ICOM"]]],
            ["move", "account.code", "debit", "credit", "analytic_lines.account.code"],
        ),
    }


class Tryton:
    """One user's JSON-RPC session with a Tryton database."""

    def __init__(self, url: str, database: str, user: str, password: str) -> None:
        self._http = httpx.Client(timeout=300)
        self._url = f"{url}/{database}/rpc/"
        answer = self._post("common.db.login", [user, {"password": password}, "en"], {})
        token = base64.b64encode(f"{user}:{answer[0]}:{answer[1]}".encode()).decode()
        self._http.headers["Authorization"] = f"Session {token}"

    def search(self, model: str, domain: list[Any], fields: list[str], **context: Any) -> list[Record]:
        """All records in the domain, archived ones too."""
        context = {"active_test": False, **context}
        method = f"model.{model}.search_read"
        return list(self._post(method, [domain, 0, None, None, fields, context], {}))

    def close(self) -> None:
        """Give the connection back."""
        self._http.close()

    def _post(self, method: str, params: list[Any], headers: dict[str, str]) -> Any:
        body = {"id": 1, "method": method, "params": params}
        answer = self._http.post(
            self._url,
            content=json.dumps(body, default=_marked),
            headers={"Content-Type": "application/json", **headers},
        )
        answer.raise_for_status()
        result = json.loads(answer.text, object_hook=_value, parse_float=Decimal)
        if isinstance(result, dict) and "error" in result:
            raise RuntimeError(f"{method}: {result['error']}")
        return result["result"] if isinstance(result, dict) and "result" in result else result


def _marked(value: Any) -> Record:
    if isinstance(value, dt.date):
        return {"__class__": "date", "year": value.year, "month": value.month, "day": value.day}
    raise TypeError(type(value))


def _value(body: Record) -> Any:
    match body.get("__class__"):
        case "Decimal":
            return Decimal(body["decimal"])
        case "date":
            return dt.date(body["year"], body["month"], body["day"])
        case "datetime":
            parts = {k: v for k, v in body.items() if k != "__class__"}
            return dt.datetime(**parts, tzinfo=dt.UTC)
        case _:
            return body
