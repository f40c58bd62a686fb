"""Whose work a line or an entry of the ERP is: found by what it says (project, day, text, minutes), not by any key."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from psa_erp_assets_tests.independent.facts import Facts, Record

_Place = tuple[Any, ...]


class Who:
    """Assigns lines to entries, and entries of the cost journal to people.

    Where several people did the same on one day, for as long and in the same words, lines are told apart by the hourly
    rate, and cost by what an hour of each of them costs elsewhere.
    """

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._work: dict[_Place, list[Record]] = defaultdict(list)
        for entry in facts.work.to_dict("records"):
            self._work[entry["project"], entry["on"], entry["text"]].append(entry)
        self._spent: dict[_Place, list[str]] = defaultdict(list)
        for expense in facts.expenses.to_dict("records"):
            self._spent[expense["project"], expense["on"], expense["text"]].append(expense["employee"])
        self.billed: dict[str, int] = defaultdict(int)
        """Minutes of work that lines bill, by entry. More than worked where a line is rounded up."""
        self.amount: dict[str, Decimal] = defaultdict(Decimal)
        self.of_line: dict[int, str | None] = {}
        self._assign_lines()

    def of_costs(self, rows: list[Record]) -> list[str | None]:
        """Whose cost each of the entries is."""
        candidates = [self._spenders(row) for row in rows]
        hours: dict[tuple[str, str], Decimal] = {}
        for row, people in zip(rows, candidates, strict=True):
            if len(people) == 1 and row["minutes"]:
                hours[people[0], row["entity"]] = row["amount"] / row["minutes"]

        def apart(person: str, row: Record) -> Decimal:
            usual = hours.get((person, row["entity"]))
            return Decimal("Infinity") if usual is None else abs(usual - row["amount"] / row["minutes"])

        return [
            min(people, key=lambda person, row=row: apart(person, row))
            if len(people) > 1
            else people[0]
            if people
            else None
            for row, people in zip(rows, candidates, strict=True)
        ]

    def _spenders(self, row: Record) -> list[str]:
        place = (row["project"], row["on"], row["text"])
        if row["minutes"] == 0:
            return self._spent.get(place, [])[:1]
        told = row["text"].partition(" (for ")
        if told[1]:
            place = (row["project"], dt.date.fromisoformat(told[2][:10]), told[0])
        mine = [e["employee"] for e in self._work.get(place, ()) if e["minutes"] == abs(row["minutes"])]
        return sorted({employee for employee in mine if employee})

    def _assign_lines(self) -> None:
        places: dict[_Place, list[Record]] = defaultdict(list)
        for line in self._facts.lines.to_dict("records"):
            if line["is_time"]:
                places[line["project"], line["on"], line["text"]].append(line)
            else:
                spent = self._spent.get((line["project"], line["on"], line["text"]))
                self.of_line[line["id"]] = spent[0] if spent else None
        for place, lines in places.items():
            work = self._work.get(place, [])
            for line in _standing(lines):
                entry = self._best(line, work)
                if entry is None:
                    continue
                self.of_line[line["id"]] = entry["employee"]
                self.billed[entry["id"]] += line["minutes"]
                self.amount[entry["id"]] += line["amount"]

    def _best(self, line: Record, work: list[Record]) -> Record | None:
        """The entry with just these minutes, rounded up as its contract says; else of this rate; else with room."""
        open_work = [e for e in work if self.billed[e["id"]] < e["minutes"]]

        def rank(entry: Record) -> tuple[bool, bool, bool, str]:
            contract = self._facts.contracts.get(entry["contract"] or "")
            step = contract["terms"].get("increment_minutes", 1) if contract else 1
            left = -(-(entry["minutes"] - self.billed[entry["id"]]) // step) * step
            return (
                left != line["minutes"],
                entry["per_hour"] != line["unit_price"],
                left < line["minutes"],
                entry["id"],
            )

        return min(open_work, key=rank, default=None)


def _standing(lines: Iterable[Record]) -> list[Record]:
    """The lines that no line of the opposite amount takes back."""
    left = sorted(lines, key=lambda line: line["id"])
    for taker in [line for line in left if line["amount"] < 0]:
        for line in left:
            if line["amount"] == -taker["amount"] and line["minutes"] == -taker["minutes"]:
                left.remove(line)
                left.remove(taker)
                break
    return left
