"""What a contract must bill, cost, hold, write off, cover and earn, month by month.

Written from the rules as the terms state them (`domain/terms.py`, `domain/revenue.py`), not from the engine. Slow on
purpose: a retainer's hours are a list with one element a minute, terms are looked up for every day.
"""

import datetime as dt
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from fractions import Fraction

from psa_erp_assets.domain.records import (
    ApprovalState,
    Contract,
    Employee,
    Expense,
    LegalEntity,
    Milestone,
    Project,
    TimeEntry,
)
from psa_erp_assets.domain.terms import Component, ContractKind, LineRounding, Overage, Recognition, RetainerTerms
from psa_erp_assets_tests.oracle.rates import bill_rate, cost_rate
from psa_erp_assets_tests.oracle.revenue import earned
from psa_erp_assets_tests.oracle.world import (
    Month,
    World,
    component_for,
    component_of,
    contract_on,
    days_of,
    fx,
    holds_on,
    in_term,
    month_of,
    next_month,
    rounded,
)

_OVERAGE = {Overage.HOLD: "hold", Overage.WRITE_OFF: "written_off"}
_FIXED = (ContractKind.FIXED_FEE_MILESTONE, ContractKind.FIXED_FEE_SCHEDULE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A billing line. `account` is where it is credited, `minutes` what it shows."""

    amount: Fraction
    minutes: int
    party: str
    tax: str | None
    account: str


@dataclass(slots=True)
class Totals:
    """A component's totals. `hours` has an element for each unused minute of a retainer: the month that brought it."""

    billed: Fraction = Fraction(0)
    time: Fraction = Fraction(0)
    exact: Fraction = Fraction(0)
    milestones: Fraction = Fraction(0)
    recognized: Fraction = Fraction(0)
    cost: dict[str, Fraction] = field(default_factory=dict)
    provided: dict[str, Fraction] = field(default_factory=dict)
    minutes: int = 0
    hours: list[Month] = field(default_factory=list)


@dataclass(slots=True)
class Expected:
    """Everything that must come out, by object, and totals by month.

    `held` are objects with the kind of what is held of them. `revenue` is in the entity's currency.
    """

    lines: dict[str, Line] = field(default_factory=dict)
    costs: dict[str, Fraction] = field(default_factory=dict)
    charges: dict[str, Fraction] = field(default_factory=dict)
    revenue: dict[str, Fraction] = field(default_factory=dict)
    held: set[tuple[str, str]] = field(default_factory=set)
    minutes: dict[Month, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    hours: dict[tuple[Month, str], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    closing: dict[Month, dict[str, Totals]] = field(default_factory=dict)


@dataclass(slots=True)
class _Piece:
    """A part of an entry that passes the limits by itself: what is left of it, or what was credited and is rebilled."""

    object_id: str
    worked: int
    minutes: int
    amount: Fraction
    credited_by_hand: bool = False


def expected(world: World) -> Expected:
    """All that must come of a world."""
    return _Book(world).work_out()


class _Book:
    def __init__(self, world: World) -> None:
        self.world, self.out = world, Expected()
        self.totals: dict[str, Totals] = defaultdict(Totals)
        self.entity = self._seller(dt.date(*world.months[0], 1))
        self.month = world.months[0]

    def work_out(self) -> Expected:
        for month in self.world.months:
            self.month = month
            self._open_retainers()
            facts = [f for f in self.world.facts if month_of(f.service_date) == month]
            for fact in sorted(facts, key=lambda f: (f.service_date, _started(f), f.id)):
                self.entity = self._seller(fact.service_date)
                if isinstance(fact, TimeEntry):
                    self._time(fact)
                elif isinstance(fact, Expense):
                    self._expense(fact)
                else:
                    self._milestone(fact)
            self._fees()
            self.entity = self._seller(days_of(month)[-1])
            self._revenue()
            self.out.closing[month] = {code: _copy(totals) for code, totals in self.totals.items()}
        return self.out

    def _seller(self, on: dt.date) -> LegalEntity:
        """Who sells on a day, in whose books everything of that day is."""
        return next(e for e in self.world.entities if e.code == contract_on(self.world.contract, on).legal_entity)

    # Retainers

    def _retainers(self, month: Month) -> dict[str, tuple[dt.date, RetainerTerms]]:
        """Each component's retainer in a month, with the first day from which these terms hold."""
        found: dict[str, tuple[dt.date, RetainerTerms]] = {}
        for day in days_of(month):
            contract = contract_on(self.world.contract, day)
            for component in contract.terms.components if in_term(contract, day) else ():
                terms = component.retainer
                if terms is not None and (component.code not in found or found[component.code][1] != terms):
                    found[component.code] = (day, terms)
        return found

    def _open_retainers(self) -> None:
        retainers = self._retainers(self.month)
        for code, totals in self.totals.items():
            if code not in retainers:
                totals.hours = []
        for code, (_, terms) in retainers.items():
            hours = self.totals[code].hours
            count = self.out.hours[self.month, code]
            kept = [m for m in hours if _age(m, self.month) <= terms.rollover_months]
            count["brought"], count["expired"] = len(hours) + terms.included_minutes, len(hours) - len(kept)
            self.totals[code].hours = sorted(kept + [self.month] * terms.included_minutes)

    # Time

    def _time(self, entry: TimeEntry) -> None:
        if entry.state is not ApprovalState.APPROVED or not entry.minutes:
            self._count("none", entry.minutes)
            return
        world, on = self.world, entry.service_date
        contract = contract_on(world.contract, on)
        project = next(p for p in world.projects if p.psa_id == entry.psa_project_id)
        employee = next((e for e in world.employees if e.psa_user_id == entry.psa_user_id), None)
        component = component_for(contract, project.code)
        fit = employee is not None and in_term(contract, on) and component is not None and not _closed(project, on)
        fit = fit and self.entity.erp_company in project.erp_analytics
        self._cost_time(entry, employee, fit=fit)
        if component is not None:
            self.totals[component.code].minutes += entry.minutes
        if not entry.billable or (component is not None and component.kind is ContractKind.NON_BILLABLE):
            self._count("non_billable", entry.minutes)
            return
        increment = contract.terms.pricing.increment_minutes
        minutes = (entry.minutes + increment - 1) // increment * increment
        if component is None or employee is None or not fit:
            self._hold(entry.id, "billing_line", entry.minutes)
            self._keep_room(entry, contract, project, employee, minutes=minutes)
            return
        overage = component.retainer.overage if component.retainer is not None else None
        if component.kind in _FIXED:
            self._count("covered", entry.minutes)
            return
        if component.retainer is not None and overage is not Overage.BILL:
            self._covered(_Piece(entry.id, entry.minutes, minutes, Fraction(0)), component)
            return
        rate = bill_rate(world, contract, project, employee, entry)
        if rate is None or self._buyer(contract, on) is None:
            paid = self._draw(component.code, minutes) if component.retainer is not None else 0
            covered = entry.minutes if paid == minutes else min(paid, entry.minutes)
            self._count("covered", covered)
            if paid < minutes:
                self._hold(entry.id, "billing_line", entry.minutes - covered)
                self._keep_place(contract, component, rate, minutes - paid - self._given_up(entry))
            return
        amount = self._round(rate * minutes / 60)
        for piece in self._pieces(entry, minutes, amount):
            if piece.credited_by_hand and component.retainer is not None:
                self._bill_again(piece, entry, contract, component, rate)
                continue
            self._bill(piece, contract, component, rate, on)
            if piece.object_id == entry.id:
                self._credit_by_hand(entry, contract, component, rate)

    def _keep_room(
        self,
        entry: TimeEntry,
        contract: Contract,
        project: Project,
        employee: Employee | None,
        *,
        minutes: int,
    ) -> None:
        """Work that waits for a mapping is its contract's all the same: it uses hours, cap and total in its order.

        Work outside of the term or on a closed project may still be moved, and uses nothing.
        """
        component, on = component_for(contract, project.code), entry.service_date
        minutes -= self._given_up(entry)
        if component is None or component.kind in _FIXED or minutes <= 0:
            return
        if not in_term(contract, on) or _closed(project, on):
            return
        if component.retainer is not None:
            minutes -= self._draw(component.code, minutes)
            if component.retainer.overage is not Overage.BILL:
                return
        rate = None if employee is None else bill_rate(self.world, contract, project, employee, entry)
        self._keep_place(contract, component, rate, minutes)

    def _keep_place(self, contract: Contract, component: Component, rate: Fraction | None, minutes: int) -> None:
        """What will be billed once it is released counts now, as far as the cap has room for it."""
        totals = self.totals[component.code]
        if rate is None or minutes <= 0:
            return
        amount = self._round(rate * minutes / 60)
        if contract.terms.pricing.rounding is LineRounding.CUMULATIVE:
            before = totals.exact
            totals.exact += rate * minutes / 60
            amount = self._round(totals.exact) - self._round(before)
        if component.kind is ContractKind.CAPPED and component.cap is not None:
            amount = min(amount, max(Fraction(component.cap.amount) - totals.time, Fraction(0)))
        totals.time += amount

    def _given_up(self, entry: TimeEntry) -> int:
        """Minutes of an entry that were credited and are billed no more."""
        return sum(c.minutes for c in self.world.credits if c.object_id == entry.id and not c.rebill)

    def _pieces(self, entry: TimeEntry, minutes: int, amount: Fraction) -> list[_Piece]:
        """What is left of an entry after its credits, then the credits that are billed anew, in the order of their ids.

        A credit that finance made by hand leaves the line as it is.
        """
        left = _Piece(entry.id, entry.minutes, minutes, amount)
        pieces, free, worth = [left], minutes, amount
        for credit in sorted((c for c in self.world.credits if c.object_id == entry.id), key=lambda c: c.id):
            taken = min(credit.minutes, free)
            if not taken:
                continue
            part = self._round(worth * taken / free)
            free, worth, worked = free - taken, worth - part, min(taken, left.worked)
            left.worked -= worked
            if not credit.in_erp:
                left.minutes, left.amount = left.minutes - taken, left.amount - part
            if credit.rebill:
                by_hand = credit.in_erp
                pieces.append(_Piece(f"{entry.id}#{credit.id}", worked, taken, part, credited_by_hand=by_hand))
            else:
                self._count("written_off", worked)
        return pieces

    def _bill_again(
        self, piece: _Piece, entry: TimeEntry, contract: Contract, component: Component, rate: Fraction
    ) -> None:
        """Retained work that finance has credited itself has had its hours: no more than the line had is billed."""
        line, free = self.out.lines.get(entry.id), 0
        if line is not None:
            free = line.minutes
            for credit in sorted((c for c in self.world.credits if c.object_id == entry.id), key=lambda c: c.id):
                if credit.in_erp and credit.id < piece.object_id.partition("#")[2]:
                    free -= min(credit.minutes, free)
        minutes = min(piece.minutes, free)
        worked = min(minutes, piece.worked) if minutes < piece.minutes else piece.worked
        self._count("covered", piece.worked - worked)
        if minutes:
            amount = piece.amount if minutes == piece.minutes else self._round(rate * minutes / 60)
            again = _Piece(piece.object_id, worked, minutes, amount)
            self._bill(again, contract, component, rate, entry.service_date, retained=False)

    def _bill(
        self,
        piece: _Piece,
        contract: Contract,
        component: Component,
        rate: Fraction,
        on: dt.date,
        *,
        retained: bool = True,
    ) -> None:
        """Let a piece through the retainer, the running total's rounding and the cap, in this order."""
        totals = self.totals[component.code]
        if not piece.minutes:
            return
        amount, minutes, worked = piece.amount, piece.minutes, piece.worked
        if component.retainer is not None and retained:
            minutes -= self._draw(component.code, piece.minutes)
            covered = min(piece.minutes - minutes, worked) if minutes else worked
            self._count("covered", covered)
            if not minutes:
                return
            worked, amount = worked - covered, self._round(rate * minutes / 60)
        if contract.terms.pricing.rounding is LineRounding.CUMULATIVE:
            before = totals.exact
            totals.exact += rate * minutes / 60
            amount = self._round(totals.exact) - self._round(before)
        if component.kind is ContractKind.CAPPED and component.cap is not None:
            room = max(Fraction(component.cap.amount) - totals.time, Fraction(0))
            if amount > room:
                minutes = min(round(room * 60 / rate), minutes)
                amount = room
                self._over(piece.object_id, worked - min(minutes, worked), component.cap_overage)
                worked = min(minutes, worked)
                if not room:
                    return
        totals.time += amount
        self._count("post", worked)
        self._line(piece.object_id, contract, component, on, amount, minutes=minutes)

    def _credit_by_hand(self, entry: TimeEntry, contract: Contract, component: Component, rate: Fraction) -> None:
        """What finance credited itself is billed no more, although the line stays as it is."""
        line, totals = self.out.lines.get(entry.id), self.totals[component.code]
        if line is None:
            return
        free, worth = line.minutes, line.amount
        for credit in sorted((c for c in self.world.credits if c.object_id == entry.id), key=lambda c: c.id):
            taken = min(credit.minutes, free)
            if not credit.in_erp or not taken:
                continue
            part = self._round(worth * taken / free)
            free, worth = free - taken, worth - part
            totals.billed -= part
            totals.time -= part
            if line.account == "revenue":
                totals.recognized -= part
            if contract.terms.pricing.rounding is LineRounding.CUMULATIVE:
                totals.exact -= rate * taken / 60

    def _covered(self, piece: _Piece, component: Component) -> None:
        """Work that the retainer's hours pay for, or nobody."""
        assert component.retainer is not None
        paid = min(self._draw(component.code, piece.minutes), piece.minutes)
        covered = piece.worked if paid == piece.minutes else min(paid, piece.worked)
        self._count("covered", covered)
        if paid < piece.minutes:
            self._over(piece.object_id, piece.worked - covered, component.retainer.overage)

    def _draw(self, code: str, minutes: int) -> int:
        """Use a retainer's minutes, the oldest first; answers with how many there were."""
        hours = self.totals[code].hours
        used = min(minutes, len(hours))
        self.totals[code].hours = hours[used:]
        self.out.hours[self.month, code]["used"] += used
        return used

    def _over(self, object_id: str, minutes: int, overage: Overage) -> None:
        self._count(_OVERAGE[overage], minutes)
        if overage is Overage.HOLD:
            self.out.held.add((object_id, "billing_line"))

    def _cost_time(self, entry: TimeEntry, employee: Employee | None, *, fit: bool) -> None:
        world, on, selling = self.world, entry.service_date, self.entity
        if employee is None or not fit:
            self._hold(entry.id, "cost_transaction")
            return
        rate = cost_rate(world, employee, selling.code, selling.currency, on)
        employing = next((e for e in world.entities if e.code == employee.legal_entity), None)
        charge = None
        if employing is not None and employing.code != selling.code:
            charge = cost_rate(world, employee, selling.code, employing.currency, on)
        if rate is None or employing is None or (charge is None and employing.code != selling.code):
            self._hold(entry.id, "cost_transaction")
            return
        cost = rounded(rate * entry.minutes / 60, selling.currency, world.half_up)
        self._cost(entry.id, component_for_entry(world, entry), cost)
        if charge is not None:
            self.out.charges[entry.id] = rounded(charge * entry.minutes / 60, employing.currency, world.half_up)

    # Expenses

    def _expense(self, expense: Expense) -> None:
        if expense.state is not ApprovalState.APPROVED:
            return
        world, on = self.world, expense.service_date
        contract = contract_on(world.contract, on)
        project = next(p for p in world.projects if p.psa_id == expense.psa_project_id)
        employee = next((e for e in world.employees if e.psa_user_id == expense.psa_user_id), None)
        component, terms = component_for(contract, project.code), contract.terms.expenses
        fit = employee is not None and in_term(contract, on) and component is not None and not _closed(project, on)
        fit = fit and self.entity.erp_company in project.erp_analytics
        employing = next((e for e in world.entities if employee and e.code == employee.legal_entity), None)
        paid = fx(world.fx_rates, expense.reimbursement.currency, self.entity.currency, on)
        charged = fx(world.fx_rates, expense.reimbursement.currency, employing.currency, on) if employing else None
        posted = fit and paid is not None and charged is not None
        if not posted or paid is None or charged is None or employing is None:
            self._hold(expense.id, "cost_transaction")
        else:
            spent = Fraction(expense.reimbursement.amount)
            self.out.costs[expense.id] = rounded(spent * paid, self.entity.currency, world.half_up)
            if employing.code != self.entity.code:
                self.out.charges[expense.id] = rounded(spent * charged, employing.currency, world.half_up)
        if not (expense.billable and terms.billable):
            self._borne(expense, component)
            return
        into = fx(world.fx_rates, expense.receipt.currency, contract.currency, on)
        limit, most = terms.limits.get(expense.category), None
        if limit is not None:
            limit_into = fx(world.fx_rates, limit.currency, contract.currency, on)
            most = None if limit_into is None else Fraction(limit.amount) * limit_into
        unknown = into is None or (limit is not None and most is None)
        if not fit or component is None or unknown or self._buyer(contract, on, terms.tax_profile) is None:
            self._hold(expense.id, "billing_line")
            return
        assert into is not None
        amount = Fraction(expense.receipt.amount) * into
        if most is not None and abs(amount) > most:
            amount = most if amount > 0 else -most
        amount = self._round(amount * (1 + Fraction(terms.mark_up)))
        if amount:
            party, tax = self._buyer(contract, on, terms.tax_profile) or ("", None)
            line = Line(amount=amount, minutes=0, party=party, tax=tax, account="revenue")
            self.out.lines[expense.id] = line
        else:
            self._borne(expense, component)

    def _borne(self, expense: Expense, component: Component | None) -> None:
        """An expense that nobody passes on is cost of the component; one that is passed on is beside its price."""
        if component is not None and expense.id in self.out.costs:
            self._add_cost(component, self.out.costs[expense.id])

    # Fees

    def _milestone(self, milestone: Milestone) -> None:
        if milestone.state is not ApprovalState.APPROVED:
            return
        on = milestone.service_date
        contract = contract_on(self.world.contract, on)
        component = component_of(contract, milestone.component)
        known = component is not None and component.kind is ContractKind.FIXED_FEE_MILESTONE
        foreign = milestone.amount.currency != contract.currency
        if component is None or not known or foreign or not in_term(contract, on):
            self._hold(milestone.id, "billing_line")
            return
        amount, totals = self._round(Fraction(milestone.amount.amount)), self.totals[component.code]
        assert component.fee is not None
        if totals.milestones + amount > Fraction(component.fee.amount):
            self._hold(milestone.id, "billing_line")
            return
        # It has been reached, whether or not it can be billed yet.
        totals.milestones += amount
        if self._buyer(contract, on) is None or not self._has_project(contract, component):
            self._hold(milestone.id, "billing_line")
        else:
            self._line(milestone.id, contract, component, on, amount)

    def _fees(self) -> None:
        name = f"contract:{self.world.contract.id}"
        for code, (on, terms) in self._retainers(self.month).items():
            self._fee(f"{name}:retainer:{code}:{_text(self.month)}", code, on, Fraction(terms.fee.amount))
        for day in days_of(self.month):
            for component in contract_on(self.world.contract, day).terms.components:
                due = [i for i in component.instalments if i.due == day]
                for number, instalment in enumerate(due, start=1):
                    object_id = f"{name}:instalment:{component.code}:{day}/{number}"
                    self._fee(object_id, component.code, day, Fraction(instalment.amount.amount))

    def _fee(self, object_id: str, code: str, on: dt.date, amount: Fraction) -> None:
        contract = contract_on(self.world.contract, on)
        component = component_of(contract, code)
        assert component is not None
        self.entity = self._seller(on)
        if self._buyer(contract, on) is None or not self._has_project(contract, component):
            self._hold(object_id, "billing_line")
        else:
            self._line(object_id, contract, component, on, amount)

    # Revenue

    def _revenue(self) -> None:
        """Book what is earned to date less what lines and entries have recognized, and what must be provided."""
        world, last = self.world, days_of(self.month)[-1]
        contract = contract_on(world.contract, last)
        if last < contract.valid_from:
            return
        for component in contract.terms.components:
            totals, terms = self.totals[component.code], component.recognition
            as_billed = terms.method is Recognition.AS_BILLED
            quiet = (
                totals.recognized == totals.billed
                and terms.estimate.total_cost is None
                and not any(totals.provided.values())
            )
            if as_billed and quiet:
                continue
            entry = f"contract:{contract.id}:{{}}:{component.code}:{_text(self.month)}"
            into = fx(world.fx_rates, contract.currency, self.entity.currency, last)
            found = None
            cost, provided = self._in_books(totals.cost), self._in_books(totals.provided)
            untold = into is None or cost is None or provided is None
            if not untold and self._has_project(contract, component):
                found = earned(
                    component,
                    price=self._price(contract, component),
                    start=contract.valid_from,
                    end=contract.valid_to,
                    last=last,
                    billed=totals.billed,
                    milestones=totals.milestones,
                    cost=cost or Fraction(0),
                    minutes=totals.minutes,
                    currency=contract.currency,
                    into=into or Fraction(0),
                    half_up=world.half_up,
                )
            if found is None or into is None or provided is None:
                self._hold(entry.format("revenue"), "revenue_entry")
                continue
            to_date, provision = found[0], rounded(found[1], self.entity.currency, world.half_up)
            booked = rounded((to_date - totals.recognized) * into, self.entity.currency, world.half_up)
            if booked:
                self.out.revenue[entry.format("revenue")] = booked
            if provision != provided:
                self.out.revenue[entry.format("loss")] = provision - provided
            totals.recognized, totals.provided = to_date, {self.entity.currency: provision}

    def _in_books(self, amounts: dict[str, Fraction]) -> Fraction | None:
        """Amounts of several books in those of the month's last seller, by the rates of the day it took over."""
        day = days_of(self.month)[-1]
        while self._seller(day - dt.timedelta(days=1)) == self.entity and day > self.world.contract.valid_from:
            day -= dt.timedelta(days=1)
        total = Fraction(0)
        for currency, amount in amounts.items():
            into = fx(self.world.fx_rates, currency, self.entity.currency, day)
            if amount and into is None:
                return None
            total += rounded(amount * (into or 0), self.entity.currency, self.world.half_up)
        return total

    def _price(self, contract: Contract, component: Component) -> Fraction | None:
        """A fee; a retainer's fees of the months so far as they were, and of those to come as they are now."""
        if component.retainer is None:
            return Fraction(component.fee.amount) if component.fee is not None else None
        price, month = Fraction(0), month_of(contract.valid_from)
        last = month_of(contract.valid_to) if contract.valid_to is not None else self.month
        while month <= last:
            if month > self.month:
                price += Fraction(component.retainer.fee.amount)
            elif component.code in (then := self._retainers(month)):
                price += Fraction(then[component.code][1].fee.amount)
            month = next_month(month)
        return price

    # What all have in common

    def _round(self, amount: Fraction) -> Fraction:
        return rounded(amount, self.world.contract.currency, self.world.half_up)

    def _count(self, outcome: str, minutes: int) -> None:
        if minutes:
            self.out.minutes[self.month][outcome] += minutes

    def _hold(self, object_id: str, what: str, minutes: int = 0) -> None:
        self.out.held.add((object_id, what))
        self._count("hold", minutes)

    def _cost(self, object_id: str, component: Component | None, amount: Fraction) -> None:
        self.out.costs[object_id] = amount
        if component is not None:
            self._add_cost(component, amount)

    def _add_cost(self, component: Component, amount: Fraction) -> None:
        costs = self.totals[component.code].cost
        costs[self.entity.currency] = costs.get(self.entity.currency, Fraction(0)) + amount

    def _line(
        self,
        object_id: str,
        contract: Contract,
        component: Component,
        on: dt.date,
        amount: Fraction,
        *,
        minutes: int = 0,
    ) -> None:
        party, tax = self._buyer(contract, on) or ("", None)
        account = "revenue" if component.recognition.method is Recognition.AS_BILLED else "contract_balance"
        self.out.lines[object_id] = Line(amount=amount, minutes=minutes, party=party, tax=tax, account=account)
        totals = self.totals[component.code]
        totals.billed += amount
        if account == "revenue":
            totals.recognized += amount

    def _buyer(self, contract: Contract, on: dt.date, supply: str | None = None) -> tuple[str, str | None] | None:
        """The customer's party and tax; None where one of them, or the rate into the entity's books, is missing."""
        world = self.world
        customer = next((c for c in world.customers if c.id == contract.customer_id), None)
        if customer is None or customer.erp_party is None:
            return None
        if fx(world.fx_rates, contract.currency, self.entity.currency, on) is None:
            return None
        fitting = [
            t
            for t in world.tax_profiles
            if t.legal_entity == self.entity.code
            and t.customer_country in (customer.country, "*")
            and t.supply in (supply, None)
            and holds_on(t.valid_from, t.valid_to, on)
        ]
        if not fitting:
            return None
        tax = min(
            fitting,
            key=lambda t: (
                t.supply is None,
                t.customer_country == "*",
                -(t.valid_from or dt.date.min).toordinal(),
                t.id,
            ),
        )
        return (customer.erp_party, tax.erp_tax) if tax.active else None

    def _has_project(self, contract: Contract, component: Component) -> bool:
        """Whether a project with an analytic account is the component's, for what the contract itself posts."""
        return any(
            self.entity.erp_company in p.erp_analytics and component_for(contract, p.code) == component
            for p in self.world.projects
        )


def component_for_entry(world: World, entry: TimeEntry) -> Component | None:
    """The component that an entry falls under."""
    project = next(p for p in world.projects if p.psa_id == entry.psa_project_id)
    return component_for(contract_on(world.contract, entry.service_date), project.code)


def _closed(project: Project, on: dt.date) -> bool:
    return project.closed and (project.closed_on is None or on > project.closed_on)


def _started(fact: TimeEntry | Expense | Milestone) -> float:
    return fact.started_at.timestamp() if isinstance(fact, TimeEntry) else -1.0


def _age(earlier: Month, later: Month) -> int:
    return (later[0] - earlier[0]) * 12 + later[1] - earlier[1]


def _text(month: Month) -> str:
    return f"{month[0]:04d}-{month[1]:02d}"


def _copy(totals: Totals) -> Totals:
    copies = {"cost": dict(totals.cost), "provided": dict(totals.provided)}
    return Totals(**{name: getattr(totals, name) for name in Totals.__slots__} | copies)
