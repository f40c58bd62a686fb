"""The peer's second half: the work of each contract in its order, with caps, retainers, running totals and revenue."""

import calendar
import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from typing import Any

from psa_erp_assets.benchmarks.world import MONTH
from psa_erp_assets.services.scope import Scope

_CENT = Decimal("0.01")
_FIRST, _LAST = MONTH.first_day, MONTH.last_day
_EARLY = dt.datetime.min.replace(tzinfo=dt.UTC)


@dataclass(slots=True)
class Effect:
    """An amount that is to be posted."""

    amount: Decimal
    currency: str
    minutes: int
    body: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Outcome:
    """What becomes of an object. `billed` are the minutes after rounding up, `version` is that of the contract."""

    object_id: str
    kind: str
    on: dt.date
    started_at: dt.datetime | None
    contract_id: str | None = None
    version: int = -1
    component: dict[str, Any] | None = None
    outcome: str = "post"
    minutes: int = 0
    billed: int = 0
    rate: Decimal | None = None
    line: Effect | None = None
    cost: Effect | None = None
    charge: Effect | None = None
    revenue: Effect | None = None
    text: str = ""

    @property
    def effects(self) -> dict[str, Effect]:
        """By effect type, those that there are."""
        named = {
            "billing_line": self.line,
            "cost_transaction": self.cost,
            "intercompany_charge": self.charge,
            "revenue_entry": self.revenue,
        }
        return {name: effect for name, effect in named.items() if effect is not None}


@dataclass(slots=True)
class _Totals:
    billed: Decimal = Decimal(0)
    time: Decimal = Decimal(0)
    exact: Decimal = Decimal(0)
    milestones: Decimal = Decimal(0)
    earned: Decimal = Decimal(0)
    cost: Decimal = Decimal(0)
    provided: Decimal = Decimal(0)
    minutes: int = 0
    hours: int = 0


class Contracts:
    """All contracts of the month."""

    def __init__(
        self,
        scope: Scope,
        master: Mapping[str, Sequence[dict[str, Any]]],
        versions: Sequence[dict[str, Any]],
        balances: Mapping[str, dict[str, Any]],
        fx: Callable[[str, str, dt.date], Decimal],
    ) -> None:
        self.scope, self.versions, self.balances, self.fx = scope, versions, balances, fx
        self.currency = {e["code"]: e["currency"] for e in master["legal_entity"]}
        self.of_contract: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for version in versions:
            self.of_contract[version["contract_id"]].append(version)

    def settle(self, every: Sequence[Outcome]) -> dict[str, Outcome]:
        """The outcomes with their contracts' limits applied, and those of the contracts themselves."""
        by_contract: dict[str, list[Outcome]] = defaultdict(list)
        settled = {out.object_id: out for out in every}
        for out in every:
            if out.contract_id is not None:
                by_contract[out.contract_id].append(out)
        for contract_id, versions in self.of_contract.items():
            if not any(_has_totals(version["terms"]) for version in versions):
                continue
            account = _Account(versions, self.balances.get(contract_id, {}))
            for out in sorted(by_contract[contract_id], key=lambda o: (o.on, o.started_at or _EARLY, o.object_id)):
                account.take(out)
            entity = self.currency[versions[-1]["legal_entity"]]
            into = self.fx(versions[-1]["currency"], entity, _LAST)
            for own in (*account.fees(), *account.revenue(entity, into)):
                settled[own.object_id] = own
        return settled


class _Account:
    def __init__(self, versions: Sequence[dict[str, Any]], balance: Mapping[str, Any]) -> None:
        self.versions, self.last = versions, versions[-1]
        self.contract_id = self.last["contract_id"]
        self.totals: dict[str, _Totals] = defaultdict(_Totals)
        for code, values in balance.items():
            self.totals[code] = _Totals(
                billed=Decimal(values["billed"]),
                time=Decimal(values["time"]),
                exact=Decimal(values["exact"]),
                milestones=Decimal(values["milestones"]),
                earned=Decimal(values["earned"]),
                # No contract of the month has changed hands, so that all is in the books of one entity.
                cost=sum(map(Decimal, values["cost"].values()), Decimal(0)),
                provided=sum(map(Decimal, values["provided"].values()), Decimal(0)),
                minutes=values["minutes"],
            )
        for component in self.last["terms"]["components"]:
            retainer = component["retainer"]
            if retainer is not None:
                kept = [
                    minutes
                    for month, minutes in balance.get(component["code"], {"retainer": []})["retainer"]
                    if _age(month) <= retainer["rollover_months"]
                ]
                self.totals[component["code"]].hours = sum(kept) + retainer["included_minutes"]

    def take(self, out: Outcome) -> None:
        """Apply the component's limits, and move its totals on."""
        component = out.component
        assert component is not None
        totals = self.totals[component["code"]]
        if out.kind == "milestone" and out.line is not None:
            if totals.milestones + out.line.amount > Decimal(component["fee"]["amount"]):
                out.outcome, out.line = "hold", None
            else:
                totals.milestones += out.line.amount
        elif out.kind == "time":
            if component["retainer"] is not None and out.outcome in ("post", "covered"):
                self._draw(out, totals, component["retainer"]["overage"])
            elif out.outcome == "hold":
                self._keep(out, totals, component)
            self._limit(out, totals, component)
        if out.kind == "expense" and (out.line is not None or out.outcome == "hold"):
            # What is passed on is no part of what the component's price pays for.
            return
        if out.line is not None:
            self._billed(totals, component, out.line.amount)
        totals.cost += out.cost.amount if out.cost is not None else 0
        totals.minutes += out.minutes

    @staticmethod
    def _billed(totals: _Totals, component: dict[str, Any], amount: Decimal) -> None:
        totals.billed += amount
        if component["recognition"]["method"] == "as_billed":
            totals.earned += amount

    @staticmethod
    def _draw(out: Outcome, totals: _Totals, overage: str) -> None:
        """Hours that the retainer has paid for come first."""
        covered = min(out.billed, totals.hours)
        totals.hours -= covered
        over = out.billed - covered
        if not over:
            out.outcome, out.line = "covered", None
        elif overage == "bill":
            assert out.line is not None
            assert out.rate is not None
            out.line.minutes = over
            out.line.amount = (out.rate * over / 60).quantize(_CENT, ROUND_HALF_UP)
        else:
            beyond = "hold" if overage == "hold" else "written_off"
            out.outcome, out.line = "covered" if covered else beyond, None

    def _keep(self, out: Outcome, totals: _Totals, component: dict[str, Any]) -> None:
        """What is held uses hours, cap and running total in its order, as far as its price is known."""
        minutes = out.billed
        if component["retainer"] is not None:
            covered = min(minutes, totals.hours)
            totals.hours -= covered
            minutes -= covered
        if out.rate is None or not minutes:
            return
        amount = (out.rate * minutes / 60).quantize(_CENT, ROUND_HALF_UP)
        if self._is_cumulative(out.on):
            before = totals.exact
            totals.exact += out.rate * minutes / 60
            amount = totals.exact.quantize(_CENT, ROUND_HALF_UP) - before.quantize(_CENT, ROUND_HALF_UP)
        if component["kind"] == "capped":
            amount = min(amount, max(Decimal(component["cap"]["amount"]) - totals.time, Decimal(0)))
        totals.time += amount

    def _is_cumulative(self, on: dt.date) -> bool:
        version = max((v for v in self.versions if v["valid_from"] <= on), key=lambda v: v["valid_from"])
        return bool(version["terms"]["pricing"]["rounding"] == "cumulative")

    def _limit(self, out: Outcome, totals: _Totals, component: dict[str, Any]) -> None:
        """Round the running total where the contract does, and cut what is beyond the cap."""
        line = out.line
        if line is None:
            return
        assert out.rate is not None
        if self._is_cumulative(out.on):
            before = totals.exact
            totals.exact += out.rate * line.minutes / 60
            line.amount = totals.exact.quantize(_CENT, ROUND_HALF_UP) - before.quantize(_CENT, ROUND_HALF_UP)
        if component["kind"] == "capped":
            left = max(Decimal(component["cap"]["amount"]) - totals.time, Decimal(0))
            if line.amount > left:
                if left:
                    worth = int((left * 60 / out.rate).to_integral_value(ROUND_HALF_EVEN))
                    line.minutes, line.amount = min(worth, line.minutes), left
                else:
                    out.outcome = "hold" if component["cap_overage"] == "hold" else "written_off"
                    out.line = None
        totals.time += out.line.amount if out.line is not None else 0

    def _own(self, what: str, component: dict[str, Any], when: object, on: dt.date) -> Outcome:
        object_id = f"contract:{self.contract_id}:{what}:{component['code']}:{when}"
        return Outcome(object_id, what, on, None, contract_id=self.contract_id, component=component)

    def fees(self) -> Iterator[Outcome]:
        """Retainer fees by the month's last terms, and instalments that are due in it."""
        for component in self.last["terms"]["components"]:
            if component["retainer"] is not None:
                fee = component["retainer"]["fee"]
                yield self._fee(self._own("retainer", component, MONTH, _FIRST), fee)
        for day in range(1, _LAST.day + 1):
            on = _FIRST.replace(day=day)
            version = max((v for v in self.versions if v["valid_from"] <= on), key=lambda v: v["valid_from"])
            for component in version["terms"]["components"]:
                due = [i for i in component["instalments"] if i["due"] == str(on)]
                for number, instalment in enumerate(due, start=1):
                    yield self._fee(self._own("instalment", component, f"{on}/{number}", on), instalment["amount"])

    def _fee(self, out: Outcome, money: dict[str, str]) -> Outcome:
        out.line = Effect(Decimal(money["amount"]), money["currency"], 0)
        assert out.component is not None
        self._billed(self.totals[out.component["code"]], out.component, out.line.amount)
        return out

    def revenue(self, currency: str, into: Decimal) -> Iterator[Outcome]:
        """What is earned to date less what was before, and what must be provided for a loss."""
        for component in self.last["terms"]["components"]:
            totals, terms = self.totals[component["code"]], component["recognition"]
            whole_cost = terms["estimate"]["total_cost"]
            if terms["method"] == "as_billed" and totals.earned == totals.billed and whole_cost is None:
                continue
            price = self._price(component)
            earned = self._earned(component, price, totals).quantize(_CENT, ROUND_HALF_UP)
            provision = Decimal(0)
            if whole_cost is not None:
                total, worth = max(Decimal(whole_cost), totals.cost), max(price, earned)
                if total > worth * into:
                    provision = max(total - totals.cost - (worth - earned) * into, Decimal(0))
            booked = ((earned - totals.earned) * into).quantize(_CENT, ROUND_HALF_UP)
            loss = provision.quantize(_CENT, ROUND_HALF_UP) - totals.provided
            for what, amount in (("revenue", booked), ("loss", loss)):
                if amount:
                    out = self._own(what, component, MONTH, _LAST)
                    out.revenue = Effect(amount, currency, 0)
                    yield out

    def _price(self, component: dict[str, Any]) -> Decimal:
        """A fixed fee; or a retainer's fees, month by month as they were, and as they are now for months to come."""
        if component["retainer"] is None:
            return Decimal(component["fee"]["amount"])
        start, end = self.last["start"], self.last["end"] or _LAST
        price = Decimal(0)
        year, month = start.year, start.month
        while (year, month) <= (end.year, end.month):
            last_day = dt.date(year, month, calendar.monthrange(year, month)[1])
            version = max((v for v in self.versions if v["valid_from"] <= last_day), key=lambda v: v["valid_from"])
            then = next(c for c in version["terms"]["components"] if c["code"] == component["code"])
            price += Decimal(then["retainer"]["fee"]["amount"])
            year, month = year + month // 12, month % 12 + 1
        return price

    def _earned(self, component: dict[str, Any], price: Decimal, totals: _Totals) -> Decimal:
        terms = component["recognition"]
        method, estimate = terms["method"], terms["estimate"]
        if method == "as_billed":
            return totals.billed
        if method == "milestone":
            return min(totals.milestones, price)
        start, end = self.last["start"], self.last["end"]
        if method == "straight_line":
            if end is None:
                return price
            count = terms["day_count"]
            return price * _days(start, min(end, _LAST), count) / _days(start, end, count)
        if method == "hours":
            part, whole = Decimal(totals.minutes), Decimal(estimate["total_minutes"])
        else:
            excluded = Decimal(estimate["excluded_cost"])
            part, whole = totals.cost - excluded, Decimal(estimate["total_cost"]) - excluded
        part = min(max(part, Decimal(0)), whole)
        if terms["percent_digits"] is None:
            return price * part / whole
        return price * (part / whole).quantize(Decimal(1).scaleb(-terms["percent_digits"]), ROUND_HALF_UP)


def _has_totals(terms: dict[str, Any]) -> bool:
    plain = ("time_and_materials", "non_billable")
    return terms["pricing"]["rounding"] == "cumulative" or any(c["kind"] not in plain for c in terms["components"])


def _age(month: str) -> int:
    year, number = map(int, month.split("-"))
    return (MONTH.year - year) * 12 + MONTH.month - number


def _days(first: dt.date, last: dt.date, count: str) -> int:
    """Calendar days, or days of months of thirty, both ends included."""
    if count == "calendar_days":
        return (last - first).days + 1
    return _thirtieth(last) - _thirtieth(first) + 1


def _thirtieth(day: dt.date) -> int:
    is_last = day.day == calendar.monthrange(day.year, day.month)[1]
    return (day.year * 12 + day.month) * 30 + (30 if is_last else min(day.day, 30))
