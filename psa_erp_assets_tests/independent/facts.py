"""From the vendors' records to tables of facts: work, lines, entries and invoices, each with who, where and when."""

import datetime as dt
import json
import re
from collections import defaultdict
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd

Record = dict[str, Any]
Raw = dict[str, list[Record]]

GROUP = "USD"
DEFAULT_ENTITY = "US"
_STAMP = re.compile(r"psa-erp:\S+ \d{4}-\d\d-\d\d (?P<minutes>-?\d+)min(?:/(?P<form>\w+))? ?(?P<text>.*)", re.S)


def four_digits(amount: Decimal) -> Decimal:
    """Amounts are kept with four digits, half away from zero."""
    return amount.quantize(Decimal("0.0001"), ROUND_HALF_UP)


def month(day: dt.date) -> str:
    """2026-09"""
    return f"{day:%Y-%m}"


class Exchange:
    """The policy: the ERP's latest rate on or before the fact's own date, inverted and crossed with ten digits."""

    def __init__(self, currencies: list[Record]) -> None:
        self._rates = {
            c["code"]: sorted((r["date"], Decimal(r["rate"])) for r in c["rates."]) for c in currencies if c["rates."]
        }

    def rate(self, source: str, target: str, on: dt.date) -> Decimal | None:
        """Units of `target` for one of `source`; None where the ERP knows none."""
        if source == target:
            return Decimal(1)
        one, other = (self._per_base(code, on) for code in (source, target))
        if one is None or other is None:
            return None
        inverse = (1 / one).quantize(Decimal("0.0000000001"), ROUND_HALF_UP)
        return (inverse * other).quantize(Decimal("0.0000000001"), ROUND_HALF_UP)

    def _per_base(self, code: str, on: dt.date) -> Decimal | None:
        """Units of the currency for one of the ERP's base, which is the group's."""
        if code == GROUP:
            return Decimal(1)
        known = [rate for day, rate in self._rates.get(code, []) if day <= on]
        return known[-1] if known else None


class Facts:
    """Everything as tables. Amounts are exact decimals, minutes whole numbers."""

    def __init__(self, raw: Raw) -> None:
        self._raw = raw
        self.exchange = Exchange(raw["currencies"])
        self.currency = {_code(e): e["currency."]["code"] for e in raw["entities"]}
        self._entity = {e["id"]: _code(e) for e in raw["entities"]}
        self.people = self._people()
        self.contracts = self._contracts()
        self._by_user = {u["id"]: u for u in raw["users"]}
        self._project = {p["id"]: _project_code(p["name"]) for p in raw["projects"]}
        self._contract_of_project = self._projects()
        self.rates = self._hourly_rates()
        self.work = self._work()
        self.expenses = self._expenses()
        self.lines = self._lines()
        self.entries = self._entries()
        self.invoices = self._invoices()

    def _people(self) -> pd.DataFrame:
        rows = [
            {
                "employee": e["employeeNumber"],
                "email": e["workEmail"].lower(),
                "entity": e["location"],
                "practice": e["department"],
                "grade": e["jobTitle"],
            }
            for e in self._raw["employees"]
        ]
        return pd.DataFrame(rows, dtype=object).set_index("employee", drop=False)

    def _contracts(self) -> dict[str, Record]:
        """Signed contracts by code, with their terms, and the amendments in force by date."""
        found: dict[str, Record] = {}
        signed = [d for d in self._raw["deals"] if d["properties"]["dealstage"] == "closedwon"]
        customers = {c["id"]: c["properties"]["customer_code"] for c in self._raw["companies"]}
        for deal in signed:
            values = deal["properties"]
            if not values["amends_contract"]:
                found[values["contract_code"]] = {
                    "kind": values["contract_kind"],
                    "currency": values["deal_currency_code"],
                    "entity": values["legal_entity"],
                    "customer": customers[deal["associations"]["companies"]["results"][0]["id"]],
                    "start": dt.date.fromisoformat(values["contract_start"]),
                    "end": values["contract_end"] and dt.date.fromisoformat(values["contract_end"]),
                    "terms": json.loads(values["billing_terms"] or "{}", parse_float=Decimal),
                    "projects": (values["psa_project_ids"] or "").split(";"),
                    "amendments": [],
                }
        for deal in sorted(signed, key=lambda d: d["properties"]["contract_start"]):
            values = deal["properties"]
            if values["amends_contract"]:
                found[values["amends_contract"]]["amendments"].append(values)
        return found

    def seller(self, contract: str, on: dt.date) -> str:
        """The legal entity that sells under a contract on a date."""
        entity: str = self.contracts[contract]["entity"]
        for amendment in self.contracts[contract]["amendments"]:
            if dt.date.fromisoformat(amendment["contract_start"]) <= on and amendment["legal_entity"]:
                entity = amendment["legal_entity"]
        return entity

    def _projects(self) -> dict[str, str]:
        """The contract of each project, by the project's code."""
        return {
            self._project[psa_id.strip()]: code
            for code, contract in self.contracts.items()
            for psa_id in contract["projects"]
            if self._project.get(psa_id.strip())
        }

    def _hourly_rates(self) -> dict[tuple[str, str | None], tuple[Decimal, str]]:
        found: dict[tuple[str, str | None], tuple[Decimal, str]] = {}
        for project in self._raw["projects"]:
            own = [(None, project.get("hourlyRate"))]
            own += [(m["userId"], m.get("hourlyRate")) for m in project["memberships"]]
            for user, rate in own:
                if rate:
                    found[project["id"], user] = Decimal(rate["amount"]) / 100, rate["currency"]
        return found

    def _employee(self, user_id: str) -> str | None:
        user = self._by_user.get(user_id)
        mine = self.people[self.people["email"] == user["email"].lower()] if user else self.people[:0]
        return None if mine.empty else str(mine.iloc[0]["employee"])

    def _work(self) -> pd.DataFrame:
        """Approved time: one row an entry."""
        state: dict[str, tuple[tuple[str, str], str]] = {}
        for details in self._raw["approvals"]:
            request = details["approvalRequest"]
            at = (request["status"]["updatedAt"], request["id"])
            for entry in details["entries"]:
                if entry["id"] not in state or state[entry["id"]][0] < at:
                    state[entry["id"]] = at, request["status"]["state"]
        employees = {user: self._employee(user) for user in self._by_user}
        rows = []
        for entry in self._raw["entries"]:
            interval = entry["timeInterval"]
            if state.get(entry["id"], ((), ""))[1] != "APPROVED" or entry["type"] != "REGULAR" or not interval["end"]:
                continue
            start, end = (dt.datetime.fromisoformat(interval[name]) for name in ("start", "end"))
            zone = ZoneInfo(self._by_user[entry["userId"]]["settings"]["timeZone"])
            on = start.astimezone(zone).date()
            employee, project = employees[entry["userId"]], self._project.get(entry["projectId"])
            contract = self._contract_of_project.get(project) if project else None
            # Nobody can say what a person is worth whom HR does not know: the project's rate is taken.
            own = self.rates.get((entry["projectId"], entry["userId"])) if employee else None
            rate = own or self.rates.get((entry["projectId"], None))
            rows.append(
                {
                    "id": entry["id"],
                    "employee": employee,
                    "project": project,
                    "contract": contract,
                    "entity": self._entity_of_work(contract, employee, on),
                    "on": on,
                    "month": month(on),
                    "minutes": (int((end - start).total_seconds()) + 30) // 60,
                    "billable": bool(entry["billable"]),
                    "text": entry["description"].strip(),
                    "per_hour": rate[0] if rate else None,
                    "currency": rate[1] if rate else None,
                }
            )
        return pd.DataFrame(rows, dtype=object)

    def _entity_of_work(self, contract: str | None, employee: str | None, on: dt.date) -> str:
        if contract is not None:
            return self.seller(contract, on)
        return str(self.people.loc[employee, "entity"]) if employee else DEFAULT_ENTITY

    def _expenses(self) -> pd.DataFrame:
        rows = [
            {
                "employee": self._employee(e["userId"]),
                "project": _project_code(e["project"]["name"]) if e.get("project") else None,
                "on": dt.date.fromisoformat(e["date"][:10]),
                "text": f"{e['category']['name']}: {e['notes'].rpartition(';')[2].strip()}",
            }
            for e in self._raw["expenses"]
        ]
        return pd.DataFrame(rows, columns=["employee", "project", "on", "text"], dtype=object)

    def _lines(self) -> pd.DataFrame:
        """Customer invoice lines that count: not those of a cancelled invoice, unless a credit note cancelled it."""
        rows = []
        for line in self._raw["lines"]:
            invoice = line["invoice."] or {}
            cancelling = (invoice.get("cancel_move.") or {}).get("origin") or ""
            refunded = cancelling.startswith("account.invoice,")
            if invoice.get("state") == "cancelled" and not refunded:
                continue
            on = line["taxes_date"] or invoice.get("invoice_date") or line["create_date"].date()
            is_time = line["unit."] is not None and line["unit."]["name"] == "Billing hour"
            [project] = [a["account."]["code"] for a in line["analytic_accounts."]] or [None]
            rows.append(
                {
                    "id": line["id"],
                    "entity": self._entity[line["company"]],
                    "on": on,
                    "month": month(on),
                    "project": project,
                    "contract": self._contract_of_project.get(project or ""),
                    "is_time": is_time,
                    "minutes": round(Decimal(line["quantity"]) * 60) if is_time else 0,
                    "amount": line["amount"],
                    "currency": line["currency."]["code"],
                    "account": line["account."]["code"],
                    "text": line["description"],
                    "unit_price": line["unit_price"],
                    "invoiced": invoice.get("state") in ("posted", "paid") or refunded,
                    "invoice_date": invoice.get("invoice_date"),
                }
            )
        return self._converted(pd.DataFrame(rows, dtype=object), "amount", "on")

    def _entries(self) -> pd.DataFrame:
        """Journal entries of the sync's three journals: the amount that each brings to each of its accounts."""
        moves = {m["id"]: m for m in self._raw["moves"]}
        rows = []
        for line in self._raw["move_lines"]:
            move = moves[line["move"]]
            stamp = _STAMP.match(move["description"] or "")
            [project] = [a["account."]["code"] for a in line["analytic_lines."]] or [None]
            entity = self._entity[move["company"]]
            text = stamp["text"].strip() if stamp else ""
            rows.append(
                {
                    "id": move["id"],
                    "journal": move["journal."]["code"],
                    "form": (stamp["form"] if stamp else None) or "",
                    "entity": entity,
                    "on": move["date"],
                    "month": month(move["date"]),
                    "account": line["account."]["code"],
                    "project": project,
                    "minutes": int(stamp["minutes"]) if stamp else 0,
                    "text": text,
                    "amount": line["debit"] - line["credit"],
                    "currency": self.currency[entity],
                    "posted": move["state"] == "posted",
                }
            )
        found = pd.DataFrame(rows, dtype=object)
        of_move = found[found["project"].notna()].drop_duplicates("id").set_index("id")["project"]
        found["project"] = found["id"].map(of_move)
        named = found["text"].str.extract(r"^(CTR-\d+)", expand=False)
        by_project = found["project"].map(self._contract_of_project.get)
        found["contract"] = named.where(found["journal"] == "REVN", by_project)
        return self._converted(found, "amount", "on")

    def _invoices(self) -> pd.DataFrame:
        rows = [
            {
                "entity": self._entity[i["company"]],
                "state": i["state"],
                "on": i["invoice_date"],
                "currency": i["currency."]["code"],
                "total": i["total_amount"],
                "open": i["amount_to_pay"],
            }
            for i in self._raw["invoices"]
            if i["invoice_date"] is not None and i["state"] in ("posted", "paid")
        ]
        found = pd.DataFrame(rows, columns=["entity", "state", "on", "currency", "total", "open"], dtype=object)
        return self._converted(self._converted(found, "total", "on"), "open", "on")

    def _converted(self, rows: pd.DataFrame, amount: str, on: str) -> pd.DataFrame:
        """With `<amount>_entity` and `<amount>_group`: into the books' currency, and from there into the group's."""
        in_entity, in_group = [], []
        for row in rows.to_dict("records"):
            books = self.currency[row["entity"]]
            into = self.exchange.rate(row["currency"], books, row[on])
            further = self.exchange.rate(books, GROUP, row[on])
            assert into is not None, row
            assert further is not None, row
            value = four_digits(row[amount] * into)
            in_entity.append(value)
            in_group.append(four_digits(value * further))
        return rows.assign(**{f"{amount}_entity": in_entity, f"{amount}_group": in_group})

    def in_books(self, amount: Decimal, currency: str, entity: str, on: dt.date) -> Decimal | None:
        """An amount in the currency of an entity's books at a date's rate; None where there is no rate."""
        rate = self.exchange.rate(currency, self.currency[entity], on)
        return None if rate is None else four_digits(amount * rate)


def sums(rows: pd.DataFrame, by: list[str], columns: list[str]) -> dict[Any, Any]:
    """Exact sums of columns by key; keys with a missing value count."""
    found: dict[Any, list[Any]] = defaultdict(lambda: [0] * len(columns))
    for row in rows[[*by, *columns]].itertuples(index=False, name=None):
        key = tuple(None if pd.isna(v) else v for v in row[: len(by)])
        for n, value in enumerate(row[len(by) :]):
            found[key][n] += value
    return {key: tuple(values) for key, values in found.items()}


def _code(entity: Record) -> str:
    return str(entity["party."]["code"]).removeprefix("ENTITY-")


def _project_code(name: str) -> str | None:
    found = re.match(r"PRJ-\d{4,}", name)
    return found[0] if found else None
