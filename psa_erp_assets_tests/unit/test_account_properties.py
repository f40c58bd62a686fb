"""What holds for every contract and every history: nothing vanishes, nothing is billed twice, order says nothing."""

import datetime as dt
import random
from collections import Counter, defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from psa_erp_assets.domain.account import ContractMonth, settle
from psa_erp_assets.domain.balances import Balance
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.closed_periods import (
    Choice,
    PeriodChoice,
    basis_of,
    booked_before,
    chosen,
    hand_bookings,
)
from psa_erp_assets.domain.decide import Decider
from psa_erp_assets.domain.decision import Decision, Outcome
from psa_erp_assets.domain.effects import BillingLine, EffectType, IntercompanyCharge, reversal_of
from psa_erp_assets.domain.keys import canonical_json
from psa_erp_assets.domain.master import MasterData
from psa_erp_assets.domain.plan import is_settled
from psa_erp_assets.domain.posting import Leg, State
from psa_erp_assets.domain.records import (
    Amendment,
    ApprovalState,
    Contract,
    Credit,
    Expense,
    Milestone,
    TimeEntry,
    WorkItem,
)
from psa_erp_assets.domain.terms import (
    Component,
    ContractKind,
    DayCount,
    Estimate,
    Instalment,
    LineRounding,
    Overage,
    PricingTerms,
    Recognition,
    RecognitionTerms,
    Terms,
)
from psa_erp_assets.domain.values import replace
from psa_erp_assets_tests.oracle.world import World
from psa_erp_assets_tests.support.contract_months import BILLING, capped, retainer
from psa_erp_assets_tests.support.facts import (
    CONTRACT,
    CUSTOMER,
    EMPLOYEE,
    PROJECT,
    RULES,
    TAX,
    bill_rate,
    cost_rate,
    fx_rate,
    make_entry,
    make_master,
    money,
)
from psa_erp_assets_tests.support.months import Settled, make_world, master_of, rules_of, settle_months
from psa_erp_assets_tests.support.small_erp import Net, SmallErp, add, decided_net, net

# By seed and not by hypothesis's own draws: a world has hundreds of them, and a smaller seed says as much.
RANDOMS = st.integers(0, 2**32).map(random.Random)
SOME = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
WORKED = (Outcome.POST, Outcome.COVERED, Outcome.WRITTEN_OFF, Outcome.NON_BILLABLE, Outcome.HOLD)


def decisions_of(settled: Iterable[Settled]) -> list[Decision]:
    return [d for month in settled for d in month.settlement.decisions]


def alone(world: World, *, increments: bool = True, credits: bool = True) -> World:  # noqa: A002
    """The world without amendments, and without increments or credits if a property is not about them."""
    terms = world.contract.terms
    if not increments:
        terms = replace(terms, pricing=replace(terms.pricing, increment_minutes=1))
    contract = replace(world.contract, terms=terms, amendments=())
    return replace(world, contract=contract, credits=world.credits if credits else ())


@SOME
@given(rng=RANDOMS)
def test_every_approved_minute_is_in_one_place(rng: random.Random) -> None:
    """Billed + non-billable (covered and written off too) + held = approved; what is not approved is pending.

    A minute that is in none of them was worked for nothing, one that is in two is billed twice.
    """
    world = make_world(rng)
    for month in settle_months(world):
        facts = [f for f in world.facts if isinstance(f, TimeEntry) and ServiceMonth.of(f.service_date) == month.month]
        decided = month.settlement.decisions
        approved = sum(f.minutes for f in facts if f.state is ApprovalState.APPROVED)
        assert sum(d.minutes_of(outcome) for d in decided for outcome in WORKED) == approved
        pending = sum(f.minutes for f in facts) - approved
        assert sum(d.minutes_of(Outcome.NONE) for d in decided) == pending


@SOME
@given(rng=RANDOMS)
def test_the_parts_of_an_entry_are_the_entry(rng: random.Random) -> None:
    """A split that loses a minute, or shows another amount than the line of the invoice."""
    for decision in decisions_of(settle_months(make_world(rng))):
        assert all(part.minutes >= 0 for part in decision.parts)
        if decision.parts:
            assert sum(part.minutes for part in decision.parts) == decision.minutes
        line = decision.effect(BILLING)
        billed = [part.amount for part in decision.parts if part.outcome is Outcome.POST]
        if decision.parts and isinstance(line, BillingLine):
            assert billed == [line.amount]
        if decision.object_id.startswith("time_entry:"):
            posted = Outcome.POST in (decision.outcome, *(part.outcome for part in decision.parts))
            assert posted is (line is not None)


@SOME
@given(minutes=st.integers(1, 2000), credited=st.lists(st.integers(1, 900), max_size=4), rate=st.integers(1, 10**7))
def test_credits_and_what_they_leave_are_the_line_to_the_cent(minutes: int, credited: list[int], rate: int) -> None:
    """Each is within a cent of its share too: a credit of 3.5 h would move money between the two lines."""
    contract, per_hour = CONTRACT, Decimal(rate) / 10000
    credits = [  # noqa: A001
        Credit(id=f"C{n}", object_id="e", minutes=m, rebill=True, in_erp=False, reason="")
        for n, m in enumerate(credited)
    ]
    decider = Decider(make_master(bill_rates=(bill_rate(str(per_hour)),)), RULES)
    fact = make_entry(minutes, id="e")
    where, whole = ContractMonth(contract.id, ServiceMonth(2026, 9)), decider.decide(fact)
    settled = settle(where, [(fact, whole)], Balance(), decider, credits)
    lines = [line for d in settled.decisions if isinstance(line := d.effect(BILLING), BillingLine)]
    line = whole.effect(BILLING)
    assert isinstance(line, BillingLine)
    assert sum(part.minutes for part in lines) == minutes
    assert sum(part.amount.amount for part in lines) == line.amount.amount
    # Each credit is rounded from what those before it left.
    cent = Decimal("0.01") * (len(credits) + 1)
    assert all(abs(part.amount.amount - per_hour * part.minutes / 60) <= cent for part in lines)


@SOME
@given(rng=RANDOMS)
def test_a_cap_is_reached_to_the_cent_and_never_passed(rng: random.Random) -> None:
    """The customer agreed to pay no more; and what may be billed up to it is billed."""
    world = alone(make_world(rng, kinds=(ContractKind.CAPPED, ContractKind.TIME_AND_MATERIALS)))
    cut = Counter[str | None]()
    for month in settle_months(world):
        for decision in month.settlement.decisions:
            beyond = any(part.reason.startswith("beyond the cap") for part in decision.parts)
            by_hand = any(c.in_erp for c in world.credits)
            cut[decision.component] += beyond and not by_hand
        for component in world.contract.terms.components:
            if component.cap is None:
                continue
            time = month.settlement.closing.of(component.code).time
            assert time <= component.cap.amount
            assert time == component.cap.amount or not cut[component.code]


@SOME
@given(rng=RANDOMS)
def test_a_retainers_minutes_are_used_left_or_expired(rng: random.Random) -> None:
    """Hours that nobody used and nobody has any more, or that paid for work twice."""
    world = alone(make_world(rng, kinds=(ContractKind.RETAINER,)), increments=False, credits=False)
    for month in settle_months(world):
        for component in world.contract.terms.components:
            terms, mine = component.retainer, [d for d in month.settlement.decisions if d.component == component.code]
            assert terms is not None
            used = sum(d.minutes_of(Outcome.COVERED) for d in mine)
            kept = [part for d in mine for part in d.parts if part.reason == "the retainer's hours are kept for it"]
            used += sum(part.minutes for part in kept)
            left = sum(h.minutes for h in month.settlement.closing.of(component.code).retainer)
            in_term = any(d.object_id.startswith("contract:") and ":retainer:" in d.object_id for d in mine)
            brought = terms.included_minutes if in_term else 0
            before = month.opening.of(component.code).retainer
            expired = sum(
                h.minutes
                for h in before
                if not in_term
                or (month.month.year - h.month.year) * 12 + month.month.month - h.month.month > terms.rollover_months
            )
            assert sum(h.minutes for h in before) + brought == used + left + expired


@SOME
@given(rng=RANDOMS, shuffle=RANDOMS)
def test_the_order_duplication_and_batching_of_facts_change_nothing(rng: random.Random, shuffle: random.Random) -> None:
    """Webhooks arrive twice, late and permuted; the invoice would depend on the network."""
    world = make_world(rng)
    older = [replace(f, revision=0, state=ApprovalState.SUBMITTED) for f in world.facts]
    arrived: list[WorkItem] = [*world.facts, *older, *world.facts]
    shuffle.shuffle(arrived)
    latest: dict[str, WorkItem] = {}
    for fact in arrived:
        if fact.id not in latest or latest[fact.id].revision < fact.revision:
            latest[fact.id] = fact
    credits = list(world.credits)  # noqa: A001
    shuffle.shuffle(credits)
    again = settle_months(replace(world, credits=tuple(credits)), latest.values())
    assert bodies(again) == bodies(settle_months(world))


@SOME
@given(rng=RANDOMS, shuffle=RANDOMS)
def test_the_same_inputs_give_the_same_bytes(rng: random.Random, shuffle: random.Random) -> None:
    """However a query sorts the master data: a decision that differs without a reason touches its object each time."""
    world = make_world(rng)
    mixed = {}
    for name in ("projects", "employees", "bill_rates", "rate_cards", "cost_rates", "fx_rates", "tax_profiles"):
        rows = list(getattr(world, name))
        shuffle.shuffle(rows)
        mixed[name] = tuple(rows)
    assert bodies(settle_months(replace(world, **mixed))) == bodies(settle_months(world))


@SOME
@given(rng=RANDOMS)
def test_a_month_settled_again_leaves_the_same(rng: random.Random) -> None:
    """A balance that moves by being computed again makes the next month due for ever."""
    world = make_world(rng)
    assert [m.settlement.closing.digest() for m in settle_months(world)] == [
        m.settlement.closing.digest() for m in settle_months(world)
    ]


@SOME
@given(rng=RANDOMS)
def test_a_reversal_and_its_original_are_nought_in_every_dimension(rng: random.Random) -> None:
    """A credit that leaves a cent or a minute, or that has another tax, account or project than what it credits."""
    for decision in decisions_of(settle_months(make_world(rng))):
        for effect in decision.effects:
            back = reversal_of(effect)
            assert net([("x", effect), ("x", back)]) == {}
            kept = (
                {"amount": effect.amount}
                if effect.minutes == 0
                else {"amount": effect.amount, "minutes": effect.minutes}
            )
            assert replace(back, **kept) == effect


@SOME
@given(rng=RANDOMS)
def test_balances_move_by_what_is_decided(rng: random.Random) -> None:
    """Caps and revenue would count what no line bills."""
    world = replace(make_world(rng), credits=())
    for month in settle_months(world):
        moved = Counter[str]()
        for decision in month.settlement.decisions:
            line = decision.effect(BILLING)
            if line is not None and decision.component and not decision.object_id.startswith("expense:"):
                moved[decision.component] += line.amount.amount
        for code in {*month.opening.components, *month.settlement.closing.components}:
            before, after = month.opening.of(code), month.settlement.closing.of(code)
            assert after.billed - before.billed == moved[code]


@SOME
@given(rng=RANDOMS)
def test_revenue_is_no_more_than_the_price(rng: random.Random) -> None:
    """Recognized revenue ≤ contract value, where there is one and revenue is not what is billed."""
    world = alone(make_world(rng, kinds=(ContractKind.FIXED_FEE_MILESTONE, ContractKind.FIXED_FEE_SCHEDULE)))
    for month in settle_months(world):
        for component in world.contract.terms.components:
            assert component.fee is not None
            if component.recognition.method is not Recognition.AS_BILLED:
                assert 0 <= month.settlement.closing.of(component.code).earned <= component.fee.amount


def bodies(settled: Iterable[Settled]) -> list[str]:
    """All that the months decide and leave, as it is stored, by object."""
    found = []
    for month in settled:
        found += [canonical_json(d.to_body()) for d in sorted(month.settlement.decisions, key=lambda d: d.object_id)]
        found.append(canonical_json(month.settlement.closing.to_body()))
    return found


def test_the_worlds_meet_every_outcome() -> None:
    """A property that holds because nothing ever happens says nothing."""
    met = Counter[str]()
    for seed in range(60):
        world = make_world(random.Random(seed))
        assert master_of(world) is not None
        assert rules_of(world).rounding is not None
        for decision in decisions_of(settle_months(world)):
            met[decision.outcome] += 1
            met.update(hold.code for hold in decision.holds)
            met.update(effect.effect_type.value for effect in decision.effects)
            met["parts"] += len(decision.parts)
            met["credits"] += "#" in decision.object_id
    expected = {*Outcome, *EffectType, "parts", "credits", "cap_reached", "retainer_exhausted", "malformed_terms"}
    assert {name for name in expected if not met[name]} == set()


# Histories

MONTHS = tuple(ServiceMonth(2026, month) for month in (9, 10, 11))
US_TAX = replace(TAX, id="US/GB", legal_entity="US", erp_tax="401")
HERE, THERE = (
    CONTRACT,
    replace(CONTRACT, id="CTR-0002", legal_entity="US", currency="USD", kind=ContractKind.TIME_AND_MATERIALS),
)
FEE_PROJECT = replace(PROJECT, id="PRJ-0002", code="PRJ-0002", psa_id="p2", erp_analytics={"2": "502"})
THERE_PROJECT = replace(
    PROJECT, id="PRJ-0003", code="PRJ-0003", psa_id="p3", erp_analytics={"1": "601"}, contract_id="CTR-0002"
)
BRITON = replace(EMPLOYEE, id="EMP-0002", psa_user_id="u2", legal_entity="UK", name="Bo Reid")


def _schedule(currency: str) -> Component:
    parts = tuple(
        Instalment(due=dt.date(2026, month, 5), amount=money(amount, currency), label=f"part {month}")
        for month, amount in ((9, "100.00"), (10, "250.00"), (10, "33.33"))
    )
    recognition = RecognitionTerms(
        method=Recognition.COST_TO_COST,
        estimate=Estimate(total_cost=Decimal("600.00")),
        day_count=DayCount.CALENDAR_DAYS,
    )
    return Component(
        code="main",
        kind=ContractKind.FIXED_FEE_SCHEDULE,
        fee=money("383.33", currency),
        instalments=parts,
        recognition=recognition,
    )


def _in(currency: str, component: Component) -> Component:
    if component.cap is not None:
        return replace(component, cap=replace(component.cap, currency=currency))
    if component.retainer is not None:
        return replace(
            component, retainer=replace(component.retainer, fee=replace(component.retainer.fee, currency=currency))
        )
    return component


MAIN = st.sampled_from(
    (
        Component(code="main", kind=ContractKind.TIME_AND_MATERIALS),
        Component(code="main", kind=ContractKind.NON_BILLABLE),
        capped("120.00", Overage.HOLD),
        capped("350.55", Overage.WRITE_OFF),
        retainer(90, rollover=1),
        retainer(200, Overage.HOLD, fee="700.00"),
        retainer(45, Overage.WRITE_OFF, rollover=2),
        _schedule("GBP"),
    )
)
PRICING = st.builds(
    PricingTerms,
    increment_minutes=st.sampled_from((1, 15)),
    rounding=st.sampled_from(LineRounding),
    discount=st.sampled_from((Decimal(0), Decimal("0.15"))),
)
DATES = st.sampled_from([dt.date(m.year, m.month, day) for m in MONTHS for day in (1, 14, 15, 28)])
MINUTES = st.sampled_from((1, 7, 25, 60, 95, 240))
PSA_PROJECTS = st.sampled_from(("p1", "p2", "p3"))


class Histories(RuleBasedStateMachine):
    """What people do to work, terms, invoices and periods; in the end the ERP holds what the final state comes to."""

    def __init__(self) -> None:
        super().__init__()
        self.facts: dict[str, WorkItem] = {}
        self.credits: list[Credit] = []
        self.rates = {"PRJ-0001": "100.00", "PRJ-0002": "90.00", "PRJ-0003": "130.00"}
        self.cost = "60.00"
        self.mapped = True
        self.erp = SmallErp()
        self.choices: list[PeriodChoice] = []
        self.journaled: dict[tuple[str, EffectType], Net] = {}
        self.contracts: dict[str, Contract] = {}

    @initialize(main=MAIN, there=MAIN, pricing=PRICING, method=st.sampled_from(Recognition))
    def begin(self, main: Component, there: Component, pricing: PricingTerms, method: Recognition) -> None:
        fee = Component(
            code="fee",
            kind=ContractKind.FIXED_FEE_MILESTONE,
            projects=("PRJ-0002",),
            fee=money("900.00"),
            recognition=RecognitionTerms(
                method=method, estimate=Estimate(total_cost=Decimal("950.00"), total_minutes=600)
            ),
        )
        self.contracts = {
            "here": replace(HERE, valid_to=dt.date(2026, 11, 30), terms=Terms(components=(main, fee), pricing=pricing)),
            "there": replace(THERE, terms=self._terms("there", there, pricing)),
        }

    # Work

    @rule(minutes=MINUTES, on=DATES, project=PSA_PROJECTS, user=st.sampled_from(("u1", "u2")), billable=st.booleans())
    def work(self, minutes: int, on: dt.date, project: str, user: str, billable: bool) -> None:
        name = f"time_entry:{len(self.facts)}"
        self.facts[name] = make_entry(
            minutes,
            id=name,
            service_date=on,
            psa_project_id=project,
            psa_user_id=user,
            billable=billable or minutes > 25,
        )

    @rule(units=st.integers(1, 9999), on=DATES, project=PSA_PROJECTS)
    def spend(self, units: int, on: dt.date, project: str) -> None:
        name = f"expense:{len(self.facts)}"
        self.facts[name] = Expense(
            id=name,
            revision=1,
            state=ApprovalState.APPROVED,
            psa_user_id="u1",
            psa_project_id=project,
            service_date=on,
            category="Travel",
            receipt=money(f"{Decimal(units) / 100}", "USD"),
            reimbursement=money(f"{Decimal(units) / 100}", "USD"),
            billable=True,
            description="train",
            payload_id=1,
        )

    @rule(amount=st.sampled_from(("250.00", "400.00", "333.33")), on=DATES)
    def accept(self, amount: str, on: dt.date) -> None:
        name = f"milestone:{len(self.facts)}"
        self.facts[name] = Milestone(
            id=name,
            revision=1,
            state=ApprovalState.APPROVED,
            contract_id=HERE.id,
            component="fee",
            service_date=on,
            amount=money(amount),
            label=name,
            payload_id=1,
        )

    @precondition(lambda self: self.facts)
    @rule(data=st.data(), state=st.sampled_from(ApprovalState))
    def set_state(self, data: st.DataObject, state: ApprovalState) -> None:
        """Approved, un-approved, rejected, deleted, and approved again."""
        self._revise(self._some(data), state=state)

    @precondition(lambda self: self.facts)
    @rule(data=st.data(), on=DATES)
    def redate(self, data: st.DataObject, on: dt.date) -> None:
        self._revise(self._some(data), service_date=on)

    @precondition(lambda self: self._entries())
    @rule(data=st.data(), minutes=MINUTES)
    def edit(self, data: st.DataObject, minutes: int) -> None:
        self._revise(data.draw(st.sampled_from(self._entries())), minutes=minutes)

    @precondition(lambda self: self._entries())
    @rule(data=st.data(), project=PSA_PROJECTS)
    def move(self, data: st.DataObject, project: str) -> None:
        """To another project, contract or entity."""
        self._revise(data.draw(st.sampled_from(self._entries())), psa_project_id=project)

    @precondition(lambda self: self._entries())
    @rule(data=st.data())
    def split(self, data: st.DataObject) -> None:
        entry = self.facts[data.draw(st.sampled_from(self._entries()))]
        assert isinstance(entry, TimeEntry)
        name, half = f"time_entry:{len(self.facts)}", entry.minutes // 2
        self._revise(entry.id, minutes=entry.minutes - half)
        self.facts[name] = replace(entry, id=name, revision=1, minutes=half)

    @precondition(lambda self: self._entries())
    @rule(data=st.data(), minutes=MINUTES, rebill=st.booleans())
    def credit(self, data: st.DataObject, minutes: int, rebill: bool) -> None:
        self.credits.append(
            Credit(
                id=f"C{len(self.credits)}",
                object_id=data.draw(st.sampled_from(self._entries())),
                minutes=minutes,
                rebill=rebill,
                in_erp=False,
                reason="agreed",
            )
        )

    # Rates and terms

    @rule(
        project=st.sampled_from(("PRJ-0001", "PRJ-0002", "PRJ-0003")), rate=st.sampled_from(("99.9999", "100.00", "0"))
    )
    def change_a_rate(self, project: str, rate: str) -> None:
        """From the beginning: retroactively."""
        self.rates[project] = rate

    @rule(rate=st.sampled_from(("60.00", "61.01")))
    def change_a_cost(self, rate: str) -> None:
        self.cost = rate

    @rule(which=st.sampled_from(("here", "there")), main=MAIN, pricing=PRICING, on=st.none() | DATES)
    def change_terms(self, which: str, main: Component, pricing: PricingTerms, on: dt.date | None) -> None:
        """In the contract itself, or by an amendment from a date on."""
        terms, contract = self._terms(which, main, pricing), self.contracts[which]
        if on is None:
            self.contracts[which] = replace(contract, terms=terms)
        else:
            amendment = Amendment(id=f"A{len(contract.amendments)}", effective_from=on, terms=terms)
            self.contracts[which] = replace(contract, amendments=(*contract.amendments, amendment))

    @rule(seller=st.sampled_from(("UK", "US")), on=DATES)
    def change_the_seller(self, seller: str, on: dt.date) -> None:
        """Another entity takes the contract over, in mid-month as a rule."""
        contract = self.contracts["here"]
        amendment = Amendment(id=f"A{len(contract.amendments)}", effective_from=on, legal_entity=seller)
        self.contracts["here"] = replace(contract, amendments=(*contract.amendments, amendment))

    # Finance

    @rule()
    def settle_up(self) -> None:
        self._plan()
        self.erp.work()

    @rule(most=st.integers(0, 6))
    def settle_in_part(self, most: int) -> None:
        """The engine is interrupted between a plan and its end, such as between a reversal and the rebill."""
        self._plan()
        self.erp.work(most)

    @precondition(lambda self: self.erp.documents)
    @rule(data=st.data())
    def invoice(self, data: st.DataObject) -> None:
        self.erp.invoice(data.draw(st.lists(st.sampled_from(sorted(self.erp.documents)), max_size=8)))

    @precondition(lambda self: self._invoiced())
    @rule(data=st.data())
    def cancel_an_invoice(self, data: st.DataObject) -> None:
        """Or a credit note, at any moment: whether its lines still count, or have been taken back already."""
        self.erp.cancel_invoice(data.draw(st.lists(st.sampled_from(self._invoiced()), min_size=1, max_size=4)))

    @precondition(lambda self: self.erp.cancelled)
    @rule(data=st.data())
    def make_a_draft_again(self, data: st.DataObject) -> None:
        """Of what was cancelled, whether or not it has been billed anew since."""
        self.erp.make_draft_again(
            data.draw(st.lists(st.sampled_from(sorted(self.erp.cancelled)), min_size=1, max_size=4))
        )

    @rule(company=st.sampled_from((("1", "US"), ("2", "UK"))), month=st.sampled_from(MONTHS))
    def close(self, company: tuple[str, str], month: ServiceMonth) -> None:
        self.erp.closed[company[0], month] = company[1]

    @precondition(lambda self: self.erp.closed)
    @rule(data=st.data())
    def reopen(self, data: st.DataObject) -> None:
        del self.erp.closed[data.draw(st.sampled_from(sorted(self.erp.closed)))]

    @rule(mapped=st.booleans())
    def map_or_unmap(self, mapped: bool) -> None:
        """The account of the first project is missing for a while: its work is held, and released by itself."""
        self.mapped = mapped

    @precondition(lambda self: self.erp.closed and self.facts)
    @rule(data=st.data(), to_open=st.booleans())
    def choose(self, data: st.DataObject, to_open: bool) -> None:
        """What to do about a cost or a charge that waits for a closed period: journal it by hand, or post it to an open
        one, if there is one."""
        held = [i for i in self.erp.plan(self._decide()) if i.hold is not None and i.hold.code == "period_closed"]
        waiting = sorted({(i.object_id, i.effect_type) for i in held if i.object_id in self.facts})
        if not waiting:
            return
        object_id, effect_type = data.draw(st.sampled_from(waiting))
        days = [m.first_day for m in MONTHS if not any(month == m for _, month in self.erp.closed)]
        if to_open and days:
            self._choose(object_id, effect_type, Choice.POST_TO_OPEN, days[0])
        elif not to_open:
            self._choose(object_id, effect_type, Choice.BY_HAND)

    # What must hold

    @invariant()
    def entities_are_isolated(self) -> None:
        """An entity's work in another one's books, but for what its own people cost there."""
        for key, effect in self.erp.documents.items():
            if not isinstance(effect, IntercompanyCharge):
                name = self.erp.postings[key].object_id
                analytics = {"1": {"601", "701", "702"}, "2": {"501", "502"}}[effect.erp_company]
                assert effect.analytic in analytics, f"{name} is in the books of company {effect.erp_company}"

    @invariant()
    def no_line_is_in_the_erp_twice(self) -> None:
        """At most one original of an object and type counts at a time; others are about to be taken back, since
        finance has made a draft again of what they were on."""
        postings = self.erp.postings.values()
        going = {p.target_key for p in postings if p.target_key and p.state in (State.PLANNED, State.REJECTED)}
        live = Counter(
            (p.object_id, p.effect_type)
            for p in postings
            if p.leg is Leg.ORIGINAL and p.state is State.VERIFIED and p.key not in self.erp.cancelled | going
        )
        assert all(count == 1 for count in live.values())

    def teardown(self) -> None:
        """With every period open, the ERP comes to just what deciding the final state directly gives."""
        if not self.contracts:
            return
        self.erp.closed.clear()
        self.mapped = True
        for _ in range(4):
            self._plan()
            self.erp.work()
            self._move_what_was_booked_by_hand()
        decided = self._decide()
        assert [item for item in self.erp.plan(decided) if item.acts] == []
        # Decided by somebody who has never seen the history.
        there, wanted = self._books(), decided_net(self._decide(reverse=True, as_chosen=False))
        assert {k: (there.get(k), wanted.get(k)) for k in {*there, *wanted} if there.get(k) != wanted.get(k)} == {}

    def _books(self) -> Net:
        """What the sync has posted, and what people have journaled beside it."""
        return add(self.erp.net(), *self.journaled.values())

    def _choose(self, object_id: str, what: EffectType, choice: Choice, date: dt.date | None = None) -> None:
        """Keep a choice as the service does; what people book by hand makes the books just what they should be."""
        (now,) = (d for d in self._decide() if d.object_id == object_id)
        (decision,) = (d for d in self._decide(as_chosen=False) if d.object_id == object_id)
        postings = [p for p in self.erp.postings.values() if (p.object_id, p.effect_type) == (object_id, what)]
        earlier = [c for c in reversed(self.choices) if (c.object_id, c.effect_type) == (object_id, what)]
        basis = basis_of(decision, what)
        to_move = any(h.code == "period_closed" and h.effect_type is what for h in now.holds)
        in_effect = not to_move and (what in now.left_alone or is_settled(now, what, postings))
        assert not in_effect, "nothing of it waits"
        by_hand = booked_before(earlier, basis, in_effect=False)
        if choice is Choice.BY_HAND:
            live = [p for p in postings if p.leg is Leg.ORIGINAL and p.state is State.VERIFIED]
            by_hand = hand_bookings(decision.effect(what), [p.effect for p in live if p.effect is not None])
            wanted = decided_net(
                [replace(decision, effects=tuple(e for e in decision.effects if e.effect_type is what))]
            )
            posted = {k: (-a, -m) for k, (a, m) in self.erp.net().items() if k[:2] == (object_id, what)}
            self.journaled[object_id, what] = add(wanted, posted)
        elif to_move:
            by_hand = ()
            self.journaled.pop((object_id, what), None)
        self.choices.append(
            PeriodChoice(
                object_id=object_id,
                effect_type=what,
                choice=choice,
                posting_date=date,
                reason="late",
                chosen_by="cfo",
                basis=basis,
                by_hand=by_hand,
            )
        )

    def _move_what_was_booked_by_hand(self) -> None:
        """People take back what is elsewhere now, and let the sync post."""
        for decision in self._decide():
            for hold in decision.holds:
                if hold.code == "period_closed":
                    date = MONTHS[-1].first_day
                    self._choose(decision.object_id, hold.effect_type, Choice.POST_TO_OPEN, date)

    def _plan(self) -> None:
        decided = self._decide()
        self.erp.apply(self.erp.plan(decided))

    def _master(self) -> MasterData:
        return make_master(
            contracts=tuple(self.contracts.values()),
            customers=(CUSTOMER,),
            projects=(
                replace(PROJECT, erp_analytics={"1": "701", "2": "501"} if self.mapped else {}),
                replace(FEE_PROJECT, erp_analytics={"1": "702", "2": "502"}),
                THERE_PROJECT,
            ),
            employees=(EMPLOYEE, BRITON),
            bill_rates=tuple(
                bill_rate(
                    amount,
                    id=project,
                    project_id=project,
                    per_hour=money(amount, "USD" if project == "PRJ-0003" else "GBP"),
                )
                for project, amount in self.rates.items()
            ),
            cost_rates=(
                cost_rate(self.cost),
                cost_rate("40.00", id="EMP-0002@2026-09-01", employee_id="EMP-0002"),
            ),
            fx_rates=(fx_rate("USD", "GBP", "0.75"),),
            tax_profiles=(TAX, US_TAX),
        )

    def _decide(self, *, reverse: bool = False, as_chosen: bool = True) -> list[Decision]:
        """All months of both contracts, each with what the one before leaves."""
        decider, decided = Decider(self._master(), RULES), list[Decision]()
        work: dict[tuple[str | None, ServiceMonth], list[Any]] = defaultdict(list)
        for fact in sorted(self.facts.values(), key=lambda f: f.id, reverse=reverse):
            decision = decider.decide(fact)
            where = decision.route
            work[where.contract_id, where.service_month].append((fact, decision))
        for contract in self.contracts.values():
            balance = Balance()
            for month in MONTHS:
                where = ContractMonth(contract.id, month)
                mine = work.pop((contract.id, month), [])
                settled = settle(where, mine, balance, decider, self.credits)
                decided += settled.decisions
                balance = settled.closing
        assert not work
        latest = {(c.object_id, c.effect_type): c for c in self.choices} if as_chosen else {}
        return [chosen(decision, latest) for decision in decided]

    def _terms(self, which: str, main: Component, pricing: PricingTerms) -> Terms:
        if which == "there":
            main = _schedule("USD") if main.instalments else _in("USD", main)
            return Terms(components=(main,), pricing=pricing)
        return Terms(components=(main, self.contracts["here"].terms.components[1]), pricing=pricing)

    def _entries(self) -> list[str]:
        return sorted(f.id for f in self.facts.values() if isinstance(f, TimeEntry))

    def _invoiced(self) -> list[str]:
        return sorted(self.erp.on_document - self.erp.cancelled)

    def _some(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(sorted(self.facts)))

    def _revise(self, object_id: str, **changes: Any) -> None:
        fact = self.facts[object_id]
        if any(getattr(fact, name) != value for name, value in changes.items()):
            self.facts[object_id] = replace(fact, revision=fact.revision + 1, **changes)


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    phases=set(Phase) - {Phase.explain},
    suppress_health_check=list(HealthCheck),
)
