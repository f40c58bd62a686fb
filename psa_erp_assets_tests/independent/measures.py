"""The measures, by their definitions in the field, over tables of facts. Keys and values as plain Python."""

import datetime as dt
import json
from collections import defaultdict
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pandas as pd

from psa_erp_assets_tests.independent.facts import Facts, Record, four_digits, month, sums
from psa_erp_assets_tests.independent.who import Who

Key = tuple[Any, ...]
_NOTHING = Decimal(0)
_COLUMNS = ["entity", "month", "project", "contract", "employee", "currency", "amount", "entity_amount", "group_amount"]


class Measures:
    """Every measure of the demo company."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.who = Who(facts)
        self.revenue = self._revenue()
        self.cost = self._cost()

    def utilization(self) -> dict[Key, tuple[int, int, int, int]]:
        """By employee and month: all, client and billable minutes, and the capacity that they are measured by.

        Capacity is eight hours on each weekday. Client work is on a contract; billable work is recorded as billable
        and not on a contract that is never billed.
        """
        work = self.facts.work[self.facts.work["employee"].notna()]
        found: dict[Key, list[int]] = defaultdict(lambda: [0, 0, 0])
        for row in work.to_dict("records"):
            of = found[row["employee"], row["month"]]
            of[0] += row["minutes"]
            of[1] += row["minutes"] if row["contract"] is not None else 0
            of[2] += row["minutes"] if self._is_billable(row) else 0
        months = sorted({row["month"] for row in self.facts.work.to_dict("records")})
        return {
            (employee, m): (*found.get((employee, m), [0, 0, 0]), _capacity(m))  # type: ignore[misc]
            for employee in self.facts.people.index
            for m in months
        }

    def realization(self) -> dict[Key, Record]:
        """By entity, contract and month: hours and value that were recorded as billable, billed, and earned."""
        found: dict[Key, dict[str, Any]] = defaultdict(
            lambda: {
                "worked": 0,
                "billable": 0,
                "billed": 0,
                "standard": _NOTHING,
                "amount": _NOTHING,
                "revenue": _NOTHING,
            }
        )
        for row in self.facts.work.to_dict("records"):
            of = found[row["entity"], row["contract"], row["month"]]
            of["worked"] += row["minutes"]
            if row["billable"]:
                of["billable"] += row["minutes"]
                of["standard"] += self._standard(row, row["minutes"]) or 0
        for row in self.facts.lines.to_dict("records"):
            if row["is_time"]:
                of = found[row["entity"], row["contract"], row["month"]]
                of["billed"] += row["minutes"]
                of["amount"] += row["amount_entity"]
        for row in self.revenue.to_dict("records"):
            found[row["entity"], row["contract"], row["month"]]["revenue"] += row["entity_amount"]
        return dict(found)

    def margin(self, dimension: str) -> dict[Key, tuple[Decimal, ...]]:
        """By member, entity and month: revenue and cost in the books' currency and in the group's."""
        rows = pd.concat(
            [
                self.revenue.assign(revenue=self.revenue["entity_amount"], group_revenue=self.revenue["group_amount"],
                                    cost=_NOTHING, group_cost=_NOTHING),
                self.cost.assign(cost=self.cost["entity_amount"], group_cost=self.cost["group_amount"],
                                 revenue=_NOTHING, group_revenue=_NOTHING),
            ]
        )  # fmt: skip
        rows["member"] = rows.apply(lambda row: self._member(dimension, row), axis=1)
        return sums(rows, ["member", "entity", "month"], ["revenue", "cost", "group_revenue", "group_cost"])

    def roll_forward(self) -> dict[Key, tuple[Decimal, Decimal, Decimal, Decimal]]:
        """By entity, contract and month: opening, earned, billed and closing of what is earned and not invoiced."""
        earned = sums(self.revenue, ["entity", "contract", "month"], ["entity_amount"])
        lines = self.facts.lines
        invoiced = lines[lines["invoiced"].astype(bool) & lines["invoice_date"].notna()].copy()
        invoiced["month"] = invoiced["invoice_date"].map(month)
        billed = sums(invoiced, ["entity", "contract", "month"], ["amount_entity"])
        last = max(key[2] for key in [*earned, *billed])
        firsts: dict[Key, str] = {}
        for entity, contract, m in [*earned, *billed]:
            firsts[entity, contract] = min(m, firsts.get((entity, contract), m))
        found = {}
        for (entity, contract), first in firsts.items():
            closing = _NOTHING
            for m in _months(first, last):
                plus = earned.get((entity, contract, m), (_NOTHING,))[0]
                less = billed.get((entity, contract, m), (_NOTHING,))[0]
                found[entity, contract, m] = (closing, plus, less, closing + plus - less)
                closing += plus - less
        return found

    def contract_balances(self) -> dict[Key, tuple[Decimal, Decimal]]:
        """Earned and billed in a month, by contract and month, in the contract's currency.

        Drafts count. Work that is billed by the hour is earned as it is billed; expenses are no part of it.
        """
        entries = self.facts.entries
        recognized = entries[(entries["form"] == "recognition") & (entries["account"] == "1250")]
        earned = sums(recognized, ["contract", "month"], ["amount"])
        spent = self.facts.lines["text"].isin(set(self.facts.expenses["text"]))
        lines = self.facts.lines[~spent]
        billed = sums(lines, ["contract", "month"], ["amount"])
        by_hour = sums(lines[lines["account"] == "4000"], ["contract", "month"], ["amount"])
        return {
            key: tuple(
                sum((of.get(key, (_NOTHING,))[0] for of in each), _NOTHING) for each in ((earned, by_hour), (billed,))
            )
            for key in {*earned, *billed}
        }  # type: ignore[return-value]

    def backlog(self, as_of: str) -> dict[str, Decimal]:
        """By contract: what is contracted and not earned (or, up to a cap, not billed) by the end of a month."""
        entries, lines = self.facts.entries, self.facts.lines
        recognized = entries[(entries["form"] == "recognition") & (entries["account"] == "1250")]
        earned = sums(recognized[recognized["month"] <= as_of], ["contract"], ["amount"])
        billed = sums(lines[lines["is_time"].astype(bool) & (lines["month"] <= as_of)], ["contract"], ["amount"])
        found = {}
        for code, contract in self.facts.contracts.items():
            terms = contract["terms"]
            for amendment in contract["amendments"]:
                terms = terms | _terms(amendment)
            fees = [Decimal(c["fee"]) for c in terms.get("components", [terms]) if "fee" in c]
            left = sum(fees, _NOTHING) - (earned.get((code,), (_NOTHING,))[0] if fees else 0)
            if "cap" in terms:
                left = Decimal(terms["cap"]) - billed.get((code,), (_NOTHING,))[0]
            if left:
                found[code] = left
        return found

    def days_sales_outstanding(self) -> dict[str, tuple[Decimal, Decimal, Decimal]]:
        """By entity, as of its latest month with an invoice: over a year, over a quarter, and counted back.

        Tax is in both, all in the books' currency at each invoice's date. A month counts as 30 days.
        """
        found = {}
        for entity, mine in self.facts.invoices.groupby("entity"):
            by_month = sums(mine.assign(month=mine["on"].map(month)), ["month"], ["total_entity"])
            last = max(by_month)[0]
            sales = [by_month.get((m,), (_NOTHING,))[0] for m in reversed(_months(_before(last, 35), last))]
            open_ = sum(mine["open_entity"], _NOTHING)
            days, left = _NOTHING, open_
            for sold in sales:
                if left <= 0:
                    break
                days += 30 if left >= sold else left * 30 / sold
                left -= sold
            found[str(entity)] = (
                _hundredths(open_ * 365 / sum(sales[:12])),
                _hundredths(open_ * 90 / sum(sales[:3])),
                _hundredths(days),
            )
        return found

    def leakage(self) -> dict[Key, tuple[int, Decimal]]:
        """By entity, contract and month: minutes recorded as billable that no line or fee pays for, and their value.

        Left out are contracts that are never billed.
        """
        covered = self._covered()
        found: dict[Key, list[Any]] = defaultdict(lambda: [0, _NOTHING])
        for row in self.facts.work.to_dict("records"):
            if not self._is_billable(row):
                continue
            lost = row["minutes"] - min(self.who.billed[row["id"]], row["minutes"]) - covered.get(row["id"], 0)
            if lost:
                of = found[row["entity"], row["contract"], row["month"]]
                of[0] += lost
                of[1] += self._standard(row, lost) or 0
        return {key: (value[0], value[1]) for key, value in found.items()}

    def _is_billable(self, row: Record) -> bool:
        contract = row["contract"]
        never = contract is not None and self.facts.contracts[contract]["kind"] == "non_billable"
        return bool(row["billable"]) and not never

    def _standard(self, row: Record, minutes: int) -> Decimal | None:
        """At the PSA's rate of the person on the project, else of the project; without one, what was billed for it."""
        if row["per_hour"] is not None:
            worth = (row["per_hour"] * minutes / 60).quantize(Decimal("0.000001"), ROUND_HALF_UP)
            return self.facts.in_books(four_digits(worth), row["currency"], row["entity"], row["on"])
        billed = self.who.amount.get(row["id"])
        contract = self.facts.contracts.get(row["contract"] or "")
        if billed is None or contract is None:
            return None
        return self.facts.in_books(billed, contract["currency"], row["entity"], row["on"])

    def _revenue(self) -> pd.DataFrame:
        """What is on revenue accounts: invoice lines, and what was recognized."""
        lines = self.facts.lines
        lines = lines[lines["account"] == "4000"]
        entries = self.facts.entries
        entries = entries[(entries["journal"] == "REVN") & (entries["form"] != "loss") & (entries["account"] == "1250")]
        return pd.concat(
            [
                lines.assign(
                    employee=[self.who.of_line.get(i) for i in lines["id"]],
                    entity_amount=lines["amount_entity"],
                    group_amount=lines["amount_group"],
                ),
                entries.assign(
                    employee=None, entity_amount=entries["amount_entity"], group_amount=entries["amount_group"]
                ),
            ]
        )[_COLUMNS]

    def _cost(self) -> pd.DataFrame:
        """What is on the accounts of delivery cost and expected losses."""
        entries = self.facts.entries
        entries = entries[
            ((entries["journal"] == "PROJ") & (entries["account"] == "5000"))
            | ((entries["form"] == "loss") & (entries["account"] == "5100"))
        ]
        return entries.assign(
            employee=self.who.of_costs(entries.to_dict("records")),
            entity_amount=entries["amount_entity"],
            group_amount=entries["amount_group"],
        )[_COLUMNS]

    def _member(self, dimension: str, row: Any) -> str:
        employee = row["employee"] if isinstance(row["employee"], str) else None
        if dimension == "project":
            return row["project"] if isinstance(row["project"], str) else "unassigned"
        if dimension == "client":
            contract = row["contract"] if isinstance(row["contract"], str) else None
            return self.facts.contracts[contract]["customer"] if contract else "unassigned"
        if employee is None:
            return "unassigned"
        if dimension == "consultant":
            return employee
        return str(self.facts.people.loc[employee, dimension])

    def _covered(self) -> dict[str, int]:
        """The minutes of each entry that a fee pays for: all under a fixed fee, a retainer's hours in their order."""
        found: dict[str, int] = {}
        used: dict[Key, int] = defaultdict(int)
        for row in sorted(self.facts.work.to_dict("records"), key=lambda r: (r["on"], r["id"])):
            contract = self.facts.contracts.get(row["contract"] or "")
            if contract is None or not self._is_billable(row) or row["employee"] is None:
                continue
            if not contract["start"] <= row["on"] or (contract["end"] and row["on"] > contract["end"]):
                continue
            terms = contract["terms"]
            components = {p: c for c in terms.get("components", ()) for p in c.get("projects", ())}
            fee = components.get(row["project"], terms)
            if contract["kind"].startswith("fixed_fee") or "fee" in fee:
                found[row["id"]] = row["minutes"]
            elif terms.get("retainer", {}).get("overage") == "bill":
                found[row["id"]] = row["minutes"] - self.who.billed[row["id"]]
            elif "retainer" in terms:
                key = (row["contract"], row["month"])
                left = terms["retainer"]["included_minutes"] - used[key]
                found[row["id"]] = min(left, row["minutes"])
                used[key] += found[row["id"]]
        return found


def _terms(amendment: Record) -> Record:
    found: Record = json.loads(amendment["billing_terms"] or "{}")
    return found


def _capacity(m: str) -> int:
    first = dt.date.fromisoformat(f"{m}-01")
    days = (first + dt.timedelta(days=n) for n in range(31))
    return 480 * sum(1 for day in days if month(day) == m and day.weekday() < 5)


def _months(first: str, last: str) -> list[str]:
    found = [first]
    while found[-1] < last:
        found.append(_before(found[-1], -1))
    return found


def _before(m: str, months: int) -> str:
    year, number = divmod(int(m[:4]) * 12 + int(m[5:]) - 1 - months, 12)
    return f"{year}-{number + 1:02}"


def _hundredths(value: Decimal) -> Decimal:
    return Decimal(value).quantize(Decimal("0.01"), ROUND_HALF_UP)
