"""The work of one contract in one service month, taken together: caps, retainers, running totals, credits and fees.

Pure. Takes what `decide` made of each fact by itself and the balance that earlier months left; gives the decisions as
they stand in the end, those about the contract's own objects (instalments, retainer fees, revenue), and the balance
for the next month. Work is taken in the order of its service date, its start and its id, so that the same facts give
the same result whatever order they arrived in.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from decimal import Decimal

from psa_erp_assets.domain.balances import Balance, ComponentBalance, added
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.decide import ABOUT_THE_WORK, MAY_LEAVE, Decider
from psa_erp_assets.domain.decision import Decision, Hold, Outcome, Part, Route
from psa_erp_assets.domain.effects import BilledTo, BillingLine, EffectType
from psa_erp_assets.domain.limits import Available, Cut, beyond_cap, draw, hours_of_month, retainers_of, room_below
from psa_erp_assets.domain.money import Money, Rounding, divide, for_minutes, multiply
from psa_erp_assets.domain.pricing import billed_minutes
from psa_erp_assets.domain.recognize import recognize_month
from psa_erp_assets.domain.records import Contract, Credit, Expense, Milestone, TimeEntry, WorkItem
from psa_erp_assets.domain.terms import Component, ContractKind, LineRounding, Overage, RecognitionTerms
from psa_erp_assets.domain.values import replace

_BILLING = EffectType.BILLING_LINE
_BY_MILESTONE = ContractKind.FIXED_FEE_MILESTONE
_START = dt.datetime.min.replace(tzinfo=dt.UTC)
_ZERO = Decimal(0)
_OVERAGE = {Overage.HOLD: Outcome.HOLD, Overage.WRITE_OFF: Outcome.WRITTEN_OFF}


@dataclass(frozen=True, slots=True)
class ContractMonth:
    """A contract's month, whichever entities sell in it."""

    contract_id: str
    month: ServiceMonth

    def object_id(self, what: str, component: str, when: object) -> str:
        """The id of one of the contract's own objects, such as contract:CTR-0041:retainer:main:2026-09."""
        return f"contract:{self.contract_id}:{what}:{component}:{when}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """All decisions about a contract's month, in the partitions of all who sell in it, and what it leaves."""

    decisions: tuple[Decision, ...]
    closing: Balance


def needs_account(contract: Contract) -> bool:
    """Whether anything about the contract depends on more than one fact: all but plain time and materials."""
    every = [contract.terms, *(a.terms for a in contract.amendments if a.terms is not None)]
    plain = (ContractKind.TIME_AND_MATERIALS, ContractKind.NON_BILLABLE)
    return any(
        terms.pricing.rounding is not LineRounding.LINE
        or any(c.kind not in plain or c.recognition != RecognitionTerms() for c in terms.components)
        for terms in every
    )


def sellers_in(contract: Contract, month: ServiceMonth) -> tuple[str, ...]:
    """The entities that sell under a contract in a month, in their order. `contract` is the record itself."""
    changes = {a.effective_from for a in contract.amendments if ServiceMonth.of(a.effective_from) == month}
    return tuple(dict.fromkeys(contract.as_of(on).legal_entity for on in sorted({month.first_day} | changes)))


def settle(
    where: ContractMonth,
    work: Sequence[tuple[WorkItem, Decision]],
    opening: Balance,
    decider: Decider,
    credited: Sequence[Credit] = (),
    *,
    previous: Balance | None = None,
    given_up: AbstractSet[str] = frozenset(),
) -> Settlement:
    """The decisions about a contract's month.

    `work` are all its facts with what was decided about each alone, in any order and whichever entity sells them:
    there is one cap and one stock of hours, however many entities sell in a month. `credited` are those of its entries.
    `previous` is the closing balance of when the month was settled before. `given_up` are held entries that somebody
    has written off, for which no room is kept. Each decision's route names its partition:
    a fee's is that of the contract as of its day, a revenue entry's that as of the month's last day.
    """
    account = _Account(where, opening, decider, given_up)
    of_entry: dict[str, list[Credit]] = defaultdict(list)
    for credit in sorted(credited, key=lambda c: c.id):
        of_entry[credit.object_id].append(credit)
    decisions: list[Decision] = []
    for item, decision in sorted(work, key=lambda pair: _order(pair[0])):
        found = of_entry.get(item.id)
        if not found:
            decisions.append(account.take(item, decision))
        else:
            decisions += account.take_credited(item, decision, found)
    if account.contract is not None:
        decisions += account.fees()
        decisions += account.revenue(account.contract, previous or Balance())
    return Settlement(decisions=tuple(decisions), closing=account.closing())


class _Account:
    """Running totals of a contract's components while its month is worked through."""

    def __init__(self, where: ContractMonth, opening: Balance, decider: Decider, given_up: AbstractSet[str]) -> None:
        self.where, self.opening, self.decider, self.given_up = where, opening, decider, given_up
        master = decider.master
        record = master.contract(where.contract_id)
        self.contract = master.contract_as_of(where.contract_id, where.month.last_day)
        self.running = {
            code: replace(total, entered=_ZERO, entered_loss={}) for code, total in opening.components.items()
        }
        self.retainers = retainers_of(record, where.month) if record is not None else {}
        self.hours: dict[str, Available] = {
            code: hours_of_month(retainer.terms, opening.of(code).retainer, where.month)
            for code, retainer in self.retainers.items()
        }

    def take_credited(self, item: WorkItem, decision: Decision, of_entry: Sequence[Credit]) -> Iterator[Decision]:
        """The decision about what is left of an entry, and those about what was credited of it.

        What finance has credited by hand has used the retainer's hours with the line that stays: billed again, it uses
        none, and there is no more of it than the line has.
        """
        left, *apart = _credited(decision, of_entry, self.decider.rules.rounding)
        kept = self.take(item, left, less=sum(credit.minutes for credit in of_entry if not credit.rebill))
        yield kept
        self.take_back(kept, [c for c in of_entry if c.in_erp])
        line = kept.effect(_BILLING)
        billed = line.minutes if line is not None else 0
        component = self._component(decision.component, item.service_date)
        retained = component is not None and component.retainer is not None
        for credit, part in zip(of_entry, apart, strict=True):
            if part.outcome is Outcome.HOLD and kept.hold(_BILLING) is None:
                yield replace(part, outcome=Outcome.NONE, holds=())
            elif credit.in_erp and retained:
                again = _again(part, billed, self.decider.rules.rounding)
                yield self.take(item, again, draws=False)
                billed -= min(credit.minutes, billed)
            else:
                yield self.take(item, part)

    def take(self, item: WorkItem, decision: Decision, *, draws: bool = True, less: int = 0) -> Decision:
        """The decision with the component's limits applied, and the component's totals moved on by it.

        `less` are minutes of it that were credited and are billed no more, in case it is held.
        """
        component = self._component(decision.component, item.service_date)
        if component is None or decision.outcome is Outcome.NONE:
            return decision
        before = self.running.get(component.code, ComponentBalance())
        if isinstance(item, TimeEntry):
            room = self._to_keep(decision, item.service_date) - less
            decision, before = self._time(decision, component, before, item.service_date, draws=draws, room=room)
        elif isinstance(item, Milestone) and component.fee is not None and component.kind is _BY_MILESTONE:
            decision, before = self._milestone(item, decision, component.fee, before)
        if isinstance(item, Expense):
            # Passed on, it is revenue as it is billed, beside the component's price; its cost is no progress towards
            # what that pays for, and no part of what was estimated for it (ASC 606-10-55-21).
            if decision.effect(_BILLING) is None and decision.outcome is not Outcome.HOLD:
                self.running[component.code] = _moved_on(before, decision)
            return decision
        self.running[component.code] = _moved_on(before, decision)
        return decision

    def take_back(self, decision: Decision, by_hand: Sequence[Credit]) -> None:
        """Let go from the component's totals what finance has credited by hand of the decision's line."""
        line = decision.effect(_BILLING)
        for credit in by_hand:
            if decision.component is None or not isinstance(line, BillingLine) or not line.minutes:
                return
            minutes = min(credit.minutes, line.minutes)
            amount = _share(line, minutes, self.decider.rules.rounding)
            before = self.running[decision.component]
            exact = Money(before.exact, amount.currency)
            if line.per_hour is not None and self._is_cumulative(line.service_date):
                exact -= for_minutes(line.per_hour, minutes)
            self.running[decision.component] = replace(
                before,
                billed=before.billed - amount.amount,
                time=before.time - amount.amount,
                exact=exact.amount,
                earned=before.earned - (amount.amount if line.account is BilledTo.REVENUE else _ZERO),
            )
            line = replace(line, minutes=line.minutes - minutes, amount=line.amount - amount)

    def fees(self) -> Iterator[Decision]:
        """The contract's own billing lines of the month: retainer fees, and instalments that are due in it.

        Each by the contract as of its day, so that a later amendment leaves alone what was due before it.
        """
        month = self.where.month
        for code, retainer in self.retainers.items():
            object_id, label = self.where.object_id("retainer", code, month), f"Retainer {month}"
            fee = retainer.terms.fee
            yield self._fee(retainer.contract, retainer.component, object_id, on=retainer.on, amount=fee, label=label)
        for on in _days(month):
            contract = self.decider.master.contract_as_of(self.where.contract_id, on)
            for component in contract.terms.components if contract is not None else ():
                due = [i for i in component.instalments if i.due == on]
                for number, instalment in enumerate(due, start=1):
                    object_id = self.where.object_id("instalment", component.code, f"{on}/{number}")
                    assert contract is not None
                    yield self._fee(
                        contract, component, object_id, on=on, amount=instalment.amount, label=instalment.label
                    )

    def revenue(self, contract: Contract, previous: Balance) -> Iterator[Decision]:
        """What the contract's components earn in the month, and what must be provided for losses."""
        for component in contract.terms.components:
            balance = self.running.get(component.code, ComponentBalance())
            recognized = recognize_month(
                self.where.month,
                contract,
                component,
                balance,
                decider=self.decider,
                previous=previous.of(component.code),
            )
            self.running[component.code] = recognized.balance
            yield from recognized.decisions

    def closing(self) -> Balance:
        """What the next month begins with. A component of which nothing is known yet stands for nought."""
        empty = ComponentBalance()
        components = {code: replace(balance, retainer=()) for code, balance in self.running.items()}
        for code, available in self.hours.items():
            components[code] = replace(components.get(code, empty), retainer=available.left)
        return Balance(components={code: b for code, b in components.items() if b != empty})

    def _component(self, code: str | None, on: dt.date) -> Component | None:
        contract = self.decider.master.contract_as_of(self.where.contract_id, on)
        if contract is None or code is None:
            return None
        return next((c for c in contract.terms.components if c.code == code), None)

    def _keeps_room(self, decision: Decision) -> bool:
        """Whether what is held will use its contract's limits once it is released.

        Not while it may still be moved away from the contract, nor where somebody has written it off.
        """
        if decision.outcome is not Outcome.HOLD or decision.object_id in self.given_up:
            return False
        return MAY_LEAVE.isdisjoint(h.code for h in decision.holds if h.effect_type is _BILLING)

    def _to_keep(self, decision: Decision, on: dt.date) -> int:
        """The minutes that a held entry will use of its contract's limits once it is released; nought of others."""
        contract = self.decider.master.contract_as_of(self.where.contract_id, on)
        if contract is None or not self._keeps_room(decision):
            return 0
        return billed_minutes(decision.minutes, contract.terms.pricing)

    def _milestone(
        self, milestone: Milestone, decision: Decision, fee: Money, before: ComponentBalance
    ) -> tuple[Decision, ComponentBalance]:
        """A milestone within its component's fee. One that is held has been reached all the same: it keeps its part of
        the fee, as a held hour keeps its room (ADR 0017), and counts as accepted where milestones are what is earned.
        """
        line = decision.effect(_BILLING)
        keeps = self._keeps_room(decision) and milestone.amount.currency == fee.currency
        if not keeps and not isinstance(line, BillingLine):
            return decision, before
        reached = before.milestones + milestone.amount.rounded(self.decider.rules.rounding).amount
        if reached <= fee.amount:
            return decision, replace(before, milestones=reached)
        detail = f"milestones would come to more than the fee of {fee}"
        over = Hold("milestone_over_fee", _BILLING, detail)
        return decision if keeps else _without_line(decision, Outcome.HOLD, over), before

    def _time(
        self, decision: Decision, component: Component, before: ComponentBalance, on: dt.date, *, draws: bool, room: int
    ) -> tuple[Decision, ComponentBalance]:
        line = decision.effect(_BILLING)
        if component.retainer is not None and draws and component.code in self.hours:
            there = self.hours[component.code].minutes
            if _may_draw(decision):
                decision = self._draw(decision, component, component.retainer.overage, on)
                line = decision.effect(_BILLING)
            elif room > 0:
                decision = self._keep_hours(decision, component.code, room)
            room -= there - self.hours[component.code].minutes
        if room > 0 and decision.held_rate is not None:
            return self._keep_room(decision, decision.held_rate, component, before, on, minutes=room)
        if not isinstance(line, BillingLine):
            return decision, before
        line, before = self._rounded(line, before)
        if component.kind is ContractKind.CAPPED and component.cap is not None:
            cut = beyond_cap(line, component.cap, before.time)
            if cut is not None:
                return self._cut(decision, cut, component.cap_overage), replace(
                    before, time=before.time + cut.billed_amount
                )
        return _with_line(decision, line), replace(before, time=before.time + line.amount.amount)

    def _rounded(self, line: BillingLine, before: ComponentBalance) -> tuple[BillingLine, ComponentBalance]:
        """The line as a difference of the rounded running total, where the contract rounds that (odoo#285322)."""
        if line.per_hour is None or not self._is_cumulative(line.service_date):
            return line, before
        amount, before = self._in_total(line.per_hour, line.minutes, before)
        return replace(line, amount=amount), before

    def _in_total(self, per_hour: Money, minutes: int, before: ComponentBalance) -> tuple[Money, ComponentBalance]:
        so_far, mode = Money(before.exact, per_hour.currency), self.decider.rules.rounding
        total = so_far + for_minutes(per_hour, minutes)
        return total.rounded(mode) - so_far.rounded(mode), replace(before, exact=total.amount)

    def _keep_hours(self, decision: Decision, code: str, minutes: int) -> Decision:
        """Keep a retainer's hours for an entry that is held although they would pay for it."""
        self.hours[code], covered = draw(self.hours[code], minutes)
        mine = min(covered, decision.minutes) if covered < minutes else decision.minutes
        parts = [(mine, "the retainer's hours are kept for it"), (decision.minutes - mine, "beyond the retainer")]
        held = tuple(Part(outcome=Outcome.HOLD, minutes=n, amount=None, reason=why) for n, why in parts if n)
        return replace(decision, parts=held)

    def _keep_room(
        self,
        decision: Decision,
        per_hour: Money,
        component: Component,
        before: ComponentBalance,
        on: dt.date,
        *,
        minutes: int,
    ) -> tuple[Decision, ComponentBalance]:
        """Keep for a held entry its place in the running total and its room below the cap.

        Work after it does not take what it will be billed at, nor has to be taken back when it is (ADR 0017).
        """
        if self._is_cumulative(on):
            amount, before = self._in_total(per_hour, minutes, before)
        else:
            amount = for_minutes(per_hour, minutes).rounded(self.decider.rules.rounding)
        if decision.parts:
            # What the retainer's hours do not cover.
            parts = (*decision.parts[:-1], replace(decision.parts[-1], amount=amount))
            return replace(decision, parts=parts), replace(before, time=before.time + amount.amount)
        cap = component.cap if component.kind is ContractKind.CAPPED else None
        below = room_below(cap, amount, before.time, per_hour=per_hour, minutes=minutes) if cap is not None else None
        worked, kept = (decision.minutes, amount) if below is None else (min(below[0], decision.minutes), below[1])
        room = Part(outcome=Outcome.HOLD, minutes=worked, amount=kept, reason="its room is kept while it is held")
        parts = (room,)
        if below is not None:
            over, detail = amount - kept, f"beyond the cap of {cap}"
            rest = Part(outcome=Outcome.HOLD, minutes=decision.minutes - worked, amount=over, reason=detail)
            parts = (room, rest) if kept.amount else (rest,)
        return replace(decision, parts=parts), replace(before, time=before.time + kept.amount)

    def _is_cumulative(self, on: dt.date) -> bool:
        contract = self.decider.master.contract_as_of(self.where.contract_id, on)
        return contract is not None and contract.terms.pricing.rounding is LineRounding.CUMULATIVE

    def _draw(self, decision: Decision, component: Component, overage: Overage, on: dt.date) -> Decision:
        """Let the retainer's hours pay for the entry as far as they reach; its overage is decided by the terms.

        It uses hours by the billing increment, whether or not what is beyond them is billed.
        """
        line, contract = decision.effect(_BILLING), self.decider.master.contract_as_of(self.where.contract_id, on)
        assert contract is not None
        held = decision.outcome is Outcome.HOLD
        wanted = line.minutes if line is not None else billed_minutes(decision.minutes, contract.terms.pricing)
        self.hours[component.code], covered = draw(self.hours[component.code], wanted)
        if covered == wanted:
            holds = tuple(h for h in decision.holds if h.effect_type is not _BILLING)
            return _without_line(replace(decision, holds=holds), Outcome.COVERED)
        over = wanted - covered
        paid = min(covered, decision.minutes)
        if overage is Overage.BILL and isinstance(line, BillingLine) and line.per_hour is not None:
            amount = for_minutes(line.per_hour, over).rounded(self.decider.rules.rounding)
            left = _with_line(decision, replace(line, minutes=over, amount=amount))
            rest = Part(
                outcome=Outcome.POST, minutes=decision.minutes - paid, amount=amount, reason="beyond the retainer"
            )
        elif held:
            left = replace(decision, outcome=Outcome.COVERED if paid else Outcome.HOLD)
            rest = Part(
                outcome=Outcome.HOLD, minutes=decision.minutes - paid, amount=None, reason="beyond the retainer"
            )
        else:
            outcome = _OVERAGE[overage]
            detail = f"{over} min are beyond the retainer's hours of {self.where.month}"
            hold = Hold("retainer_exhausted", _BILLING, detail) if outcome is Outcome.HOLD else None
            left = _without_line(decision, outcome if not paid else Outcome.COVERED, hold)
            rest = Part(outcome=outcome, minutes=decision.minutes - paid, amount=None, reason="beyond the retainer")
        if not paid:
            return replace(left, parts=(rest,))
        first = Part(outcome=Outcome.COVERED, minutes=paid, amount=None, reason="the retainer pays for it")
        return replace(left, parts=(first, rest))

    def _cut(self, decision: Decision, cut: Cut, overage: Overage) -> Decision:
        """The decision about an entry that a cap cuts: billed up to it, the rest written off or held."""
        outcome = _OVERAGE[overage]
        worked = min(cut.minutes, decision.minutes)
        hold = Hold("cap_reached", _BILLING, cut.detail) if outcome is Outcome.HOLD else None
        rest = Part(outcome=outcome, minutes=decision.minutes - worked, amount=cut.over, reason=cut.detail)
        if cut.line is None:
            return replace(_without_line(decision, outcome, hold), parts=(rest,))
        billed = Part(outcome=Outcome.POST, minutes=worked, amount=cut.line.amount, reason="billed up to the cap")
        kept = _with_line(decision, cut.line)
        holds = (*kept.holds, *([hold] if hold else ()))
        return replace(kept, parts=(billed, rest), holds=holds, reasons=(*kept.reasons, cut.detail))

    def _fee(
        self, contract: Contract, component: Component, object_id: str, *, on: dt.date, amount: Money, label: str
    ) -> Decision:
        entity = self.decider.master.legal_entity(contract.legal_entity)
        decision = Decision(
            object_id=object_id,
            revision=1,
            route=Route(contract.legal_entity, self.where.month, contract.id),
            outcome=Outcome.POST,
            minutes=0,
            component=component.code,
            versions={"contract": contract.id},
            mode=self.decider.mode(contract.legal_entity, contract, on),
        )
        if entity is None:
            detail = f"{contract.legal_entity} has no company in the ERP"
            return replace(decision, outcome=Outcome.HOLD, holds=(Hold("legal_entity_not_in_erp", _BILLING, detail),))
        line = self.decider.fee_line(contract, component, entity, on=on, amount=amount, description=label)
        if isinstance(line, tuple):
            return replace(decision, outcome=Outcome.HOLD, holds=tuple(t.hold(_BILLING) for t in line))
        decision = replace(decision, effects=(line,))
        before = self.running.get(component.code, ComponentBalance())
        self.running[component.code] = _moved_on(before, decision)
        return decision


def _order(item: WorkItem) -> tuple[dt.date, dt.datetime, str]:
    started = item.started_at if isinstance(item, TimeEntry) else _START
    return item.service_date, started, item.id


def _days(month: ServiceMonth) -> Iterator[dt.date]:
    for day in range(month.last_day.day):
        yield month.first_day + dt.timedelta(days=day)


def _may_draw(decision: Decision) -> bool:
    """Whether a retainer's hours can pay for it: also where there is no price for what would be beyond them."""
    if decision.outcome is not Outcome.HOLD:
        return decision.outcome in (Outcome.POST, Outcome.COVERED)
    held = [h.code for h in decision.holds if h.effect_type is _BILLING]
    return bool(decision.minutes) and ABOUT_THE_WORK.isdisjoint(held)


def _again(part: Decision, billed: int, rounding: Rounding) -> Decision:
    """What is billed anew of minutes that were credited by hand, of which the line has `billed` left."""
    line = part.effect(_BILLING)
    if not isinstance(line, BillingLine) or line.minutes <= billed:
        return part
    if not billed or line.per_hour is None:
        return _without_line(part, Outcome.COVERED)
    worked, reason = min(billed, part.minutes), "the retainer pays for it"
    amount = for_minutes(line.per_hour, billed).rounded(rounding)
    parts = (
        Part(outcome=Outcome.POST, minutes=worked, amount=amount, reason="beyond the retainer"),
        Part(outcome=Outcome.COVERED, minutes=part.minutes - worked, amount=None, reason=reason),
    )
    return replace(_with_line(part, replace(line, minutes=billed, amount=amount)), parts=parts)


def _moved_on(before: ComponentBalance, decision: Decision) -> ComponentBalance:
    """The totals with what the decision bills, costs and counts."""
    line, cost = decision.effect(_BILLING), decision.effect(EffectType.COST_TRANSACTION)
    billed = line.amount.amount if isinstance(line, BillingLine) else _ZERO
    as_billed = isinstance(line, BillingLine) and line.account is BilledTo.REVENUE
    return replace(
        before,
        billed=before.billed + billed,
        earned=before.earned + billed if as_billed else before.earned,
        cost=before.cost if cost is None else added(before.cost, cost.amount.currency, cost.amount.amount),
        minutes=before.minutes + decision.minutes,
    )


def _with_line(decision: Decision, line: BillingLine) -> Decision:
    before = decision.effect(_BILLING)
    if before is line or before == line:
        return decision
    return replace(
        decision,
        effects=tuple(line if e.effect_type is _BILLING else e for e in decision.effects),
        parts=tuple(replace(p, amount=line.amount) if p.outcome is Outcome.POST else p for p in decision.parts),
    )


def _without_line(decision: Decision, outcome: Outcome, hold: Hold | None = None) -> Decision:
    return replace(
        decision,
        outcome=outcome,
        effects=tuple(e for e in decision.effects if e.effect_type is not _BILLING),
        holds=(*decision.holds, *([hold] if hold else ())),
    )


def _credited(decision: Decision, of_entry: Sequence[Credit], rounding: Rounding) -> list[Decision]:
    """The decision, less the minutes that were credited, and one decision a credit about these (odoo#280601).

    Only the credited minutes become billable again, on a line of their own. What is left and what was credited come
    to the amount before, to the cent. Where the entry bills nothing (any more), neither does a credit of it.
    """
    line = kept = decision.effect(_BILLING)
    made: list[Decision] = []
    for credit in of_entry:
        minutes = min(credit.minutes, line.minutes) if isinstance(line, BillingLine) else 0
        if not minutes or not isinstance(line, BillingLine):
            # A decision all the same, so that what was posted for it does not stay behind in the ERP.
            nothing = replace(decision, object_id=f"{decision.object_id}#{credit.id}", minutes=0, effects=())
            made.append(replace(nothing, outcome=Outcome.NONE, holds=()) if line is not None else nothing)
            continue
        amount = _share(line, minutes, rounding)
        worked = min(minutes, decision.minutes)
        again = replace(line, minutes=minutes, amount=amount)
        line = replace(line, minutes=line.minutes - minutes, amount=line.amount - amount)
        made.append(
            replace(
                decision,
                object_id=f"{decision.object_id}#{credit.id}",
                minutes=worked,
                outcome=Outcome.POST if credit.rebill else Outcome.WRITTEN_OFF,
                effects=(again,) if credit.rebill else (),
                holds=(),
                reasons=(f"credited: {credit.reason}",),
            )
        )
        decision = replace(decision, minutes=decision.minutes - worked)
        if not credit.in_erp and isinstance(kept, BillingLine):
            kept = replace(kept, minutes=kept.minutes - minutes, amount=kept.amount - amount)
            decision = _with_line(decision, kept) if kept.minutes else _without_line(decision, Outcome.WRITTEN_OFF)
    return [decision, *made]


def _share(line: BillingLine, minutes: int, rounding: Rounding) -> Money:
    """What so many of a line's minutes are of its amount."""
    share = divide(multiply(line.amount.amount, Decimal(minutes)), Decimal(line.minutes))
    return Money(share, line.amount.currency).rounded(rounding)
