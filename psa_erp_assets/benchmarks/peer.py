"""The same rules as the planner's, as a good analyst would write them in pandas: the peer that it is measured by.

Facts and master data are read from PostgreSQL, joined with merge and merge_asof, priced row by row with Decimal,
worked through contract by contract (`peer_contracts`), and written back with COPY as rows like those of a plan's
items. Nothing is shared with the planner but the tables, and the settings: rate cards, rounding half up, the mark-up
between entities.

All rules that the seeded month uses are here: rate cards, rates that change, multipliers, discounts, increments,
blended rates, rounding of running totals, caps, retainers with hours of earlier months and overage, milestones,
instalments, percent complete, straight line, losses, non-billable work, cost with other entities' people, expenses in
three currencies with limits and mark-ups, and gaps in master data. What the month does not have is not here: states
other than approved, credits, closed periods, postings already made, contracts that move between entities.
"""

import datetime as dt
import hashlib
import json
import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal, localcontext
from typing import Any

import pandas as pd
from psycopg import Connection, connect
from psycopg.rows import dict_row

from psa_erp_assets.benchmarks.peer_contracts import Contracts, Effect, Outcome
from psa_erp_assets.services.scope import Scope

_CENT, _RATE = Decimal("0.01"), Decimal("0.0001")
_FIXED = ("fixed_fee_milestone", "fixed_fee_schedule")


@dataclass(frozen=True, slots=True)
class Peer:
    """What became of each object, by its id."""

    outcomes: Mapping[str, Outcome]


def plan_with_pandas(conninfo: str, scope: Scope) -> Peer:
    """Plan all partitions of the month and store the items in the table `peer.plan_item`."""
    with connect(conninfo) as connection, localcontext(Context(prec=50, rounding=ROUND_HALF_EVEN)):
        analyst = _Analyst(connection, scope)
        outcomes = analyst.outcomes()
        _write(connection, outcomes)
    return Peer(outcomes)


class _Analyst:
    def __init__(self, connection: Connection[Any], scope: Scope) -> None:
        self.connection, self.scope = connection, scope
        self.master = {
            kind: self._records(kind)
            for kind in (
                "legal_entity", "customer", "contract", "project", "employee", "bill_rate", "cost_rate", "fx_rate",
            )
        }  # fmt: skip
        self.entities = {e["code"]: e for e in self.master["legal_entity"]}
        self.parties = {c["id"]: c["erp_party"] for c in self.master["customer"]}
        self.versions = _versions(self.master["contract"])
        self.quotes = self._quotes()
        self.factor = Decimal(1) + scope.rules.cost.intercompany_mark_up
        self.components: dict[tuple[int, str], dict[str, Any] | None] = {}
        self.rates: dict[tuple[Any, ...], Decimal | None] = {}
        self.cards = self._cards()

    def _records(self, kind: str) -> list[dict[str, Any]]:
        query = (
            "SELECT body FROM ops.master_record WHERE tenant = %s AND object_type = %s AND superseded_at IS NULL"
            " ORDER BY canonical_id"
        )
        return [row[0] for row in self.connection.execute(query, (self.scope.tenant, kind))]

    def _quotes(self) -> dict[tuple[str, str], tuple[list[dt.date], list[Decimal]]]:
        frame = pd.DataFrame(self.master["fx_rate"]).sort_values(["date", "id"])
        return {
            (str(source), str(target)): (
                [dt.date.fromisoformat(day) for day in rows["date"]],
                [Decimal(rate) for rate in rows["rate"]],
            )
            for (source, target), rows in frame.groupby(["from_currency", "to_currency"])
        }

    def fx(self, source: str, target: str, on: dt.date) -> Decimal:
        """Units of `target` for one of `source`; across the dollar where there is no quotation."""
        if source == target:
            return Decimal(1)
        for pair, inverse in (((source, target), False), ((target, source), True)):
            if pair in self.quotes:
                days, rates = self.quotes[pair]
                rate = rates[bisect_right(days, on) - 1]
                return Decimal(1) / rate if inverse else rate
        return self.fx(source, "USD", on) * self.fx("USD", target, on)

    def _cards(self) -> dict[tuple[str, str | None, str | None], list[tuple[dt.date, Decimal]]]:
        """Rates by card or contract, role and task, the latest first."""
        cards = defaultdict(list)
        for line in self.scope.rate_cards:
            key = (line.contract_id or line.card, line.role, line.task)
            cards[key].append((line.valid_from, line.per_hour.amount))
        return {key: sorted(lines, reverse=True) for key, lines in cards.items()}

    # Frames

    def outcomes(self) -> dict[str, Outcome]:
        """Everything, object by object."""
        entries = self._joined(self._entries())
        entries = self._asof(entries, self._rates_of("bill_rate", person=True), ["project_id", "employee_id"])
        entries = self._asof(entries, self._rates_of("bill_rate", person=False), ["project_id"])
        entries = self._asof(entries, self._rates_of("cost_rate", person=True), ["employee_id"])
        times = [self._time(row) for row in entries.itertuples(index=False)]
        expenses = [self._expense(row) for row in self._joined(self._expenses()).itertuples(index=False)]
        every = [*times, *expenses, *self._milestones()]
        return Contracts(self.scope, self.master, self.versions, self._balances(), self.fx).settle(every)

    def _read(self, query: str) -> pd.DataFrame:
        with self.connection.cursor(row_factory=dict_row) as cursor:
            cursor.execute(query.encode(), (self.scope.tenant,))
            return pd.DataFrame(cursor.fetchall())

    def _entries(self) -> pd.DataFrame:
        return self._read(
            "SELECT t.entry_id AS object_id, t.psa_user_id, t.psa_project_id, t.service_date, t.minutes, t.billable,"
            " t.description, t.started_at, t.task, t.work_types FROM ops.time_entry t JOIN ops.work_head h"
            " ON h.tenant = t.tenant AND h.object_id = t.entry_id AND h.revision = t.revision WHERE t.tenant = %s"
        )

    def _facts(self, kind: str) -> list[dict[str, Any]]:
        frame = self._read(
            "SELECT f.kind, f.body FROM ops.work_fact f JOIN ops.work_head h ON h.tenant = f.tenant"
            " AND h.object_id = f.object_id AND h.revision = f.revision WHERE f.tenant = %s"
        )
        return list(frame.loc[frame["kind"] == kind, "body"]) if len(frame) else []

    def _expenses(self) -> pd.DataFrame:
        frame = pd.DataFrame(self._facts("expense")).rename(columns={"id": "object_id"})
        frame["service_date"] = [dt.date.fromisoformat(day) for day in frame["service_date"]]
        return frame

    def _balances(self) -> dict[str, dict[str, Any]]:
        frame = self._read("SELECT contract_id, body FROM ops.contract_balance WHERE service_month < '2026-09'"
                           " AND tenant = %s")  # fmt: skip
        return dict(zip(frame["contract_id"], frame["body"], strict=True))

    def _joined(self, frame: pd.DataFrame) -> pd.DataFrame:
        """With project, person and the contract as of the day; the day as `on`, a timestamp in `service_date`."""
        projects = pd.DataFrame(
            [
                (p["psa_id"], p["id"], p["contract_id"], next(iter(p["erp_analytics"].values()), None))
                for p in self.master["project"]
            ],
            columns=["psa_project_id", "project_id", "contract_id", "analytic"],
        )
        people = pd.DataFrame(self.master["employee"])[["psa_user_id", "id", "name", "role", "legal_entity"]]
        people.columns = pd.Index(["psa_user_id", "employee_id", "name", "role", "employer"])
        versions = pd.DataFrame(
            [(v["contract_id"], v["valid_from"], number) for number, v in enumerate(self.versions)],
            columns=["contract_id", "valid_from", "version"],
        )
        versions["valid_from"] = _timestamps(versions["valid_from"])
        frame = frame.assign(on=frame["service_date"], service_date=_timestamps(frame["service_date"]))
        frame = frame.merge(projects, on="psa_project_id", how="left").merge(people, on="psa_user_id", how="left")
        return self._asof(frame, versions, ["contract_id"])

    def _rates_of(self, kind: str, *, person: bool) -> pd.DataFrame:
        """Rates with the day from which they hold, ready to be joined as of a day."""
        name = "cost" if kind == "cost_rate" else "of_person" if person else "of_project"
        frame = pd.DataFrame(self.master[kind])
        frame = frame[frame["employee_id"].notna() == person]
        keys = [
            key for key in ("project_id", "employee_id") if key in frame.columns and (person or key != "employee_id")
        ]
        frame = frame.assign(valid_from=_timestamps([dt.date.fromisoformat(day) for day in frame["valid_from"]]))
        frame[name] = frame["per_hour"].map(lambda money: Decimal(money["amount"]))
        frame[f"{name}_currency"] = [money["currency"] for money in frame["per_hour"]]
        return frame[[*keys, "valid_from", name, f"{name}_currency"]]

    @staticmethod
    def _asof(left: pd.DataFrame, right: pd.DataFrame, by: list[str]) -> pd.DataFrame:
        """The left rows, each with the latest right one of its keys that holds on its day."""
        known = left[by].notna().all(axis=1)
        merged = pd.merge_asof(
            left[known].sort_values("service_date"),
            right.sort_values("valid_from"),
            left_on="service_date",
            right_on="valid_from",
            by=by,
        )
        return pd.concat([merged, left[~known]], ignore_index=True).drop(columns="valid_from")

    # Rows

    def _component(self, version: int, project: str) -> dict[str, Any] | None:
        key = (version, project)
        if key not in self.components:
            components = self.versions[version]["terms"]["components"]
            named = [c for c in components if project in c["projects"]]
            self.components[key] = (named or [c for c in components if not c["projects"]] or [None])[0]
        return self.components[key]

    def _time(self, row: Any) -> Outcome:
        out = Outcome(row.object_id, "time", row.on, row.started_at, minutes=row.minutes)
        out.text = row.description
        known = _is(row.contract_id) and _is(row.employee_id)
        if _is(row.contract_id):
            out.contract_id, out.version = row.contract_id, int(row.version)
            out.component = self._component(out.version, row.project_id)
        if known:
            self._cost(row, out)
        kind = out.component["kind"] if out.component else None
        if not row.billable or kind == "non_billable":
            out.outcome = "non_billable"
        elif out.component is None:
            out.outcome = "hold"
        else:
            contract = self.versions[out.version]
            pricing = contract["terms"]["pricing"]
            increment = pricing["increment_minutes"]
            out.billed = -(-row.minutes // increment) * increment
            retainer = out.component["retainer"]
            if not known:
                out.outcome = "hold"
                return out
            if kind in _FIXED or (retainer and retainer["overage"] != "bill"):
                out.outcome = "covered"
            else:
                self._bill(row, out, contract)
        return out

    def _bill(self, row: Any, out: Outcome, contract: dict[str, Any]) -> None:
        party = self.parties.get(contract["customer_id"])
        rate = self._rate(row, out.version, contract)
        out.rate = rate
        if party is None or rate is None:
            out.outcome = "hold"
            return
        out.outcome = "post"
        amount = (rate * out.billed / 60).quantize(_CENT, ROUND_HALF_UP)
        out.line = Effect(amount, contract["currency"], out.billed)
        out.line.body = {
            "erp_company": self.entities[contract["legal_entity"]]["erp_company"],
            "party": party, "analytic": row.analytic, "employee_name": row.name, "per_hour": str(rate),
        }  # fmt: skip

    def _rate(self, row: Any, version: int, contract: dict[str, Any]) -> Decimal | None:
        key = (version, row.project_id, row.employee_id, row.on, row.task, tuple(row.work_types))
        if key not in self.rates:
            self.rates[key] = self._find_rate(row, contract)
        return self.rates[key]

    def _find_rate(self, row: Any, contract: dict[str, Any]) -> Decimal | None:
        pricing = contract["terms"]["pricing"]
        rate: Decimal | None = None
        if pricing["blended_rate"]:
            rate = Decimal(pricing["blended_rate"]["amount"])
        if rate is None:
            rate = self._card(contract["contract_id"], row)
        if rate is None and _is(row.of_person):
            rate = row.of_person
        if rate is None and _is(row.of_project):
            rate = row.of_project
        if rate is None:
            rate = self._card(pricing["rate_card"], row)
        if rate is None:
            return None
        for work_type in sorted(set(row.work_types)):
            rate *= Decimal(pricing["multipliers"].get(work_type, "1"))
        rate -= rate * Decimal(pricing["discount"])
        return rate.quantize(_RATE, ROUND_HALF_EVEN)

    def _card(self, name: str, row: Any) -> Decimal | None:
        """The line that names most: role and task, the role, nothing."""
        for role, task in ((row.role, row.task), (row.role, None), (None, None)):
            for start, amount in self.cards.get((name, role, task), ()):
                if start <= row.on:
                    return amount
        return None

    def _cost(self, row: Any, out: Outcome) -> None:
        if not _is(row.cost):
            return
        selling = self.entities[self.versions[out.version]["legal_entity"]]
        lent = row.employer != selling["code"]
        per_hour = row.cost * self.factor if lent else row.cost
        worth = per_hour * self.fx(row.cost_currency, selling["currency"], row.on) * row.minutes / 60
        out.cost = Effect(worth.quantize(_CENT, ROUND_HALF_UP), selling["currency"], row.minutes)
        out.cost.body = {
            "erp_company": selling["erp_company"], "analytic": row.analytic, "employee_name": row.name,
            "per_hour": str(per_hour), "kind": "intercompany" if lent else "labor",
        }  # fmt: skip
        if lent:
            employing = self.entities[row.employer]
            worth = per_hour * self.fx(row.cost_currency, employing["currency"], row.on) * row.minutes / 60
            out.charge = Effect(worth.quantize(_CENT, ROUND_HALF_UP), employing["currency"], row.minutes)
            out.charge.body = {
                "erp_company": employing["erp_company"], "partner_company": selling["erp_company"],
                "employee_name": row.name, "per_hour": str(per_hour),
            }  # fmt: skip

    def _expense(self, row: Any) -> Outcome:
        out = Outcome(row.object_id, "expense", row.on, None)
        out.text = f"{row.category}: {row.description}"
        known = _is(row.contract_id) and _is(row.employee_id)
        if _is(row.contract_id):
            out.contract_id, out.version = row.contract_id, int(row.version)
            out.component = self._component(out.version, row.project_id)
        if not known:
            passed_on = not _is(row.contract_id) or self.versions[out.version]["terms"]["expenses"]["billable"]
            out.outcome = "hold" if row.billable and passed_on else "non_billable"
            return out
        contract = self.versions[out.version]
        entity, terms = self.entities[contract["legal_entity"]], contract["terms"]["expenses"]
        lent = row.employer != entity["code"]
        out.cost = self._paid(row, entity["currency"])
        out.cost.body = {
            "erp_company": entity["erp_company"], "analytic": row.analytic, "employee_name": row.name,
            "kind": "intercompany" if lent else "expense",
        }  # fmt: skip
        if lent:
            employing = self.entities[row.employer]
            out.charge = self._paid(row, employing["currency"])
            out.charge.body = {"erp_company": employing["erp_company"], "partner_company": entity["erp_company"]}
        if not (row.billable and terms["billable"]):
            out.outcome = "non_billable"
        elif self.parties.get(contract["customer_id"]) is None:
            out.outcome = "hold"
        else:
            out.outcome = "post"
            amount = self._passed_on(row, contract["currency"], terms)
            if amount:
                out.line = Effect(amount, contract["currency"], 0)
                out.line.body = {"erp_company": entity["erp_company"], "analytic": row.analytic}
        return out

    def _paid(self, row: Any, currency: str) -> Effect:
        paid = Decimal(row.reimbursement["amount"]) * self.fx(row.reimbursement["currency"], currency, row.on)
        return Effect(paid.quantize(_CENT, ROUND_HALF_UP), currency, 0)

    def _passed_on(self, row: Any, currency: str, terms: dict[str, Any]) -> Decimal:
        amount = Decimal(row.receipt["amount"]) * self.fx(row.receipt["currency"], currency, row.on)
        limit = terms["limits"].get(row.category)
        if limit is not None:
            most = Decimal(limit["amount"]) * self.fx(limit["currency"], currency, row.on)
            if abs(amount) > most:
                amount = most if amount > 0 else -most
        return (amount + amount * Decimal(terms["mark_up"])).quantize(_CENT, ROUND_HALF_UP)

    def _milestones(self) -> list[Outcome]:
        found = []
        for body in self._facts("milestone"):
            on = dt.date.fromisoformat(body["service_date"])
            numbers = [n for n, v in enumerate(self.versions) if v["contract_id"] == body["contract_id"]]
            version = max(n for n in numbers if self.versions[n]["valid_from"] <= on)
            contract = self.versions[version]
            out = Outcome(body["id"], "milestone", on, None, contract_id=body["contract_id"], version=version)
            out.component = next(c for c in contract["terms"]["components"] if c["code"] == body["component"])
            out.outcome, out.text = "post", body["label"]
            out.line = Effect(Decimal(body["amount"]["amount"]).quantize(_CENT, ROUND_HALF_UP), contract["currency"], 0)
            found.append(out)
        return found


def _versions(contracts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each contract as it is from a day on; the versions of one follow each other in the order of their days."""
    versions = []
    for contract in contracts:
        version = {
            **contract,
            "contract_id": contract["id"],
            "valid_from": dt.date.fromisoformat(contract["valid_from"]),
        }
        version["start"], version["end"] = version["valid_from"], _date(contract["valid_to"])
        versions.append(version)
        for change in sorted(contract["amendments"], key=lambda a: a["effective_from"]):
            said = {name: change[name] for name in ("customer_id", "terms") if change[name] is not None}
            version = {**version, **said, "valid_from": dt.date.fromisoformat(change["effective_from"])}
            versions.append(version)
    return versions


def _date(day: str | None) -> dt.date | None:
    return None if day is None else dt.date.fromisoformat(day)


def _timestamps(days: Any) -> Any:
    return pd.to_datetime(pd.Series(list(days))).astype("datetime64[ns]").to_numpy()


def _is(value: Any) -> bool:
    """Whether a join has found something."""
    return value is not None and not (isinstance(value, float) and math.isnan(value)) and value is not pd.NA


def _write(connection: Connection[Any], outcomes: Mapping[str, Outcome]) -> None:
    """Rows like a plan's items, through COPY."""
    connection.execute("DROP SCHEMA IF EXISTS peer CASCADE")
    connection.execute("CREATE SCHEMA peer")
    connection.execute(
        "CREATE TABLE peer.plan_item (seq integer PRIMARY KEY, action text, effect_type text, object_id text,"
        " contract_id text, key text, amount numeric, currency text, minutes integer, body jsonb)"
    )
    rows = [
        (out, effect_type, effect) for _, out in sorted(outcomes.items()) for effect_type, effect in out.effects.items()
    ]
    with connection.cursor().copy("COPY peer.plan_item FROM STDIN") as copy:
        for seq, (out, effect_type, effect) in enumerate(rows, start=1):
            key = hashlib.sha256(f"{effect_type}/{out.object_id}/1".encode()).hexdigest()[:32]
            body = {
                **effect.body, "service_date": str(out.on), "amount": str(effect.amount),
                "currency": effect.currency, "minutes": effect.minutes, "description": out.text,
            }  # fmt: skip
            copy.write_row(
                (
                    seq, "create", effect_type, out.object_id, out.contract_id, key, effect.amount, effect.currency,
                    effect.minutes, json.dumps(body),
                )
            )  # fmt: skip
