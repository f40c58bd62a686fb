"""A held hour keeps its place in its contract's limits: the room that it will need, and none that it may not need."""

import datetime as dt
import random
from collections.abc import Mapping
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from psa_erp_assets.domain.account import ContractMonth, Settlement, settle
from psa_erp_assets.domain.balances import Balance
from psa_erp_assets.domain.decide import Decider
from psa_erp_assets.domain.decision import Outcome
from psa_erp_assets.domain.effects import BillingLine, EffectType
from psa_erp_assets.domain.money import Money
from psa_erp_assets.domain.records import Contract, Credit, Project, TimeEntry
from psa_erp_assets.domain.terms import Component, ContractKind, LineRounding, Overage, Recognition, RecognitionTerms
from psa_erp_assets.domain.values import replace
from psa_erp_assets_tests.oracle.world import World
from psa_erp_assets_tests.support.contract_months import (
    BILLING,
    OCTOBER,
    SEPTEMBER,
    billed,
    capped,
    contract_of,
    entry,
    milestone,
    of,
    retainer,
    settle_month,
)
from psa_erp_assets_tests.support.facts import CUSTOMER, ENTRY, PROJECT, RULES, TAX, bill_rate, make_master, money
from psa_erp_assets_tests.support.months import make_world, settle_months

A, B, C = (f"{ENTRY}-{name}" for name in "abc")
OTHER = replace(PROJECT, id="PRJ-0002", code="PRJ-0002", psa_id="p2", erp_analytics={"2": "502"})
RATES = (bill_rate(), bill_rate("90.00", id="PRJ-0002", project_id="PRJ-0002"))


def unmapped(project: Project) -> Project:
    return replace(project, erp_analytics={})


def month(contract: Contract, *facts: TimeEntry, known: bool, **changes: object) -> Settlement:
    """The contract's month, with the second project's analytic account or before finance has made it."""
    projects = (PROJECT, OTHER if known else unmapped(OTHER))
    return settle_month(contract, facts, projects=projects, **({"bill_rates": RATES} | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("overage", [Overage.WRITE_OFF, Overage.HOLD])
def test_a_held_hour_keeps_its_room_below_the_cap(overage: Overage) -> None:
    """The later entry would be billed at 150.00, and be credited when the first one is released."""
    contract = contract_of(capped("150.00", overage))
    facts = entry("a", 60, 1, psa_project_id="p2"), entry("b", 120, 2)
    held, released = month(contract, *facts, known=False), month(contract, *facts, known=True)
    assert billed(held) == {B: money("60.00")}
    assert billed(released) == {A: money("90.00"), B: money("60.00")}
    assert held.closing.of("main").time == released.closing.of("main").time == Decimal("150.00")
    assert held.closing.of("main").billed == Decimal("60.00"), "only what is billed is"
    decision = of(held, A)
    assert (decision.outcome, decision.minutes_of(Outcome.HOLD)) == (Outcome.HOLD, 60)
    assert [(p.outcome, p.minutes, p.amount) for p in decision.parts] == [(Outcome.HOLD, 60, money("90.00"))]


def test_a_held_hour_that_reaches_the_cap_uses_just_what_is_left() -> None:
    """It would keep room that there is not, and show a worth that nobody can bill."""
    contract = contract_of(capped("150.00"))
    facts = entry("a", 60, 1), entry("b", 60, 2, psa_project_id="p2"), entry("c", 60, 3)
    held, released = month(contract, *facts, known=False), month(contract, *facts, known=True)
    assert billed(held) == {A: money("100.00")}
    assert billed(released) == {A: money("100.00"), B: money("50.00")}
    parts = [(p.outcome, p.minutes, p.amount) for p in of(held, B).parts]
    assert parts == [(Outcome.HOLD, 33, money("50.00")), (Outcome.HOLD, 27, money("40.00"))]
    beyond = settle_month(contract, [entry("0", 90, 1), *facts], projects=(PROJECT, unmapped(OTHER)), bill_rates=RATES)
    assert [(p.outcome, p.minutes) for p in of(beyond, B).parts] == [(Outcome.HOLD, 60)]


def test_room_is_kept_over_the_month() -> None:
    """October would take what September's held hour needs."""
    contract = contract_of(capped("150.00"))
    held = month(contract, entry("a", 60, 1, psa_project_id="p2"), known=False)
    october = settle_month(contract, [entry("b", 120, 1, OCTOBER)], OCTOBER, opening=held.closing)
    assert billed(october) == {B: money("60.00")}


def test_an_hour_of_unknown_price_cannot_keep_room() -> None:
    """Nobody knows how much: the later work is billed, as if the other one had not been approved yet."""
    contract = contract_of(capped("150.00"))
    facts = entry("a", 60, 1, psa_project_id="p2"), entry("b", 120, 2)
    assert billed(month(contract, *facts, known=True, bill_rates=(bill_rate(),))) == {B: money("150.00")}
    assert billed(month(contract, *facts, known=True)) == {A: money("90.00"), B: money("60.00")}


@pytest.mark.parametrize(
    "changes", [{"closed": True}, {"erp_analytics": {}, "closed": True}], ids=["closed", "closed and not mapped"]
)
def test_work_that_may_still_be_moved_away_keeps_no_room(changes: Mapping[str, object]) -> None:
    """A cap would stay unused for hours that belong to another contract."""
    contract = contract_of(capped("150.00"))
    facts = entry("a", 60, 1, psa_project_id="p2"), entry("b", 120, 2)
    projects = (PROJECT, replace(OTHER, **changes))  # type: ignore[arg-type]
    assert billed(settle_month(contract, facts, projects=projects, bill_rates=RATES)) == {B: money("150.00")}
    ended = replace(contract, valid_from=facts[1].service_date)
    assert billed(month(ended, *facts, known=True)) == {B: money("150.00")}


def test_an_hour_that_waits_for_its_customer_keeps_room_too() -> None:
    """Whichever mapping is missing: the closing total is what it will be."""
    contract = contract_of(capped("150.00"))
    for missing in ({"customers": (replace(CUSTOMER, erp_party=None),)}, {"tax_profiles": ()}, {"legal_entities": ()}):
        settled = settle_month(contract, [entry("a", 60, 1)], **missing)
        assert billed(settled) == {}
        assert settled.closing.of("main").time == Decimal("100.00"), missing


def test_what_was_written_off_needs_no_room() -> None:
    """Its part of the cap would never be billed to anybody."""
    contract = contract_of(capped("150.00"))
    facts = entry("a", 60, 1, psa_project_id="p2"), entry("b", 120, 2)
    decider = Decider(make_master(contracts=(contract,), projects=(PROJECT, unmapped(OTHER)), bill_rates=RATES), RULES)
    work = [(fact, decider.decide(fact)) for fact in facts]
    where = ContractMonth(contract.id, SEPTEMBER)
    assert billed(settle(where, work, Balance(), decider)) == {B: money("60.00")}
    assert billed(settle(where, work, Balance(), decider, given_up=frozenset({A}))) == {B: money("150.00")}


@pytest.mark.parametrize("rebill", [True, False])
def test_only_what_will_be_billed_of_a_credited_hour_keeps_room(rebill: bool) -> None:
    """Twenty minutes that were given away would take room from work that is paid."""
    contract = contract_of(capped("150.00"))
    facts = entry("a", 60, 1, psa_project_id="p2"), entry("b", 120, 2)
    credit = Credit(id="C1", object_id=A, minutes=20, rebill=rebill, in_erp=False, reason="agreed")
    held = month(contract, *facts, known=False, credits=[credit])
    released = month(contract, *facts, known=True, credits=[credit])
    assert billed(held)[B] == billed(released)[B] == money("60.00" if rebill else "90.00")


FEE_AMOUNT = Decimal(1000)
FEE = Component(
    code="main",
    kind=ContractKind.FIXED_FEE_MILESTONE,
    fee=money("1000.00"),
    recognition=RecognitionTerms(method=Recognition.MILESTONE),
)
FIRST, SECOND = (milestone(name, "600.00", dt.date(2026, 9, day)) for name, day in (("m1", 10), ("m2", 20)))


@pytest.mark.parametrize(
    "missing", [{"customers": (replace(CUSTOMER, erp_party=None),)}, {"tax_profiles": ()}, {"legal_entities": ()}]
)
def test_a_held_milestone_keeps_its_part_of_the_fee(missing: Mapping[str, object]) -> None:
    """A later one would be billed out of it, and be credited when the first one is released."""
    contract = contract_of(FEE)
    held = settle_month(contract, [FIRST], **missing)
    assert billed(held) == {}
    assert held.closing.of("main").milestones == Decimal("600.00")
    later = replace(SECOND, service_date=dt.date(2026, 10, 5))
    october = settle_month(contract, [later], OCTOBER, opening=held.closing)
    assert billed(october) == {}
    assert [h.code for h in of(october, "milestone:m2").holds] == ["milestone_over_fee"]
    released = settle_month(contract, [FIRST])
    assert billed(released) == {"milestone:m1": money("600.00")}
    assert released.closing.of("main").milestones == Decimal("600.00"), "released, it uses what it has kept"


def test_a_held_milestone_that_the_fee_has_no_room_for_keeps_none() -> None:
    """It would keep what a smaller one after it can have."""
    contract = contract_of(FEE)
    unknown = {"customers": (replace(CUSTOMER, erp_party=None),)}
    settled = settle_month(contract, [FIRST, SECOND, replace(SECOND, id="milestone:m3", amount=money("400.00"))])
    assert billed(settled) == {"milestone:m1": money("600.00"), "milestone:m3": money("400.00")}
    held = settle_month(contract, [FIRST, SECOND], **unknown)
    assert held.closing.of("main").milestones == Decimal("600.00")


def test_a_milestone_that_may_not_belong_to_the_fee_keeps_none_of_it() -> None:
    """One outside of the term may have been entered with a wrong date, one in dollars is of no known worth, one of
    another component is no part of this fee, and one that was written off will never be billed.
    """
    contract = contract_of(FEE)
    ended = replace(contract, valid_from=SECOND.service_date)
    assert billed(settle_month(ended, [FIRST, SECOND])) == {"milestone:m2": money("600.00")}
    for wrong in (replace(FIRST, amount=money("600.00", "USD")), replace(FIRST, component="other")):
        settled = settle_month(contract, [wrong, SECOND])
        assert billed(settled) == {"milestone:m2": money("600.00")}
        assert [d.outcome for d in settled.decisions if d.object_id == FIRST.id] == [Outcome.HOLD]
    decider = Decider(make_master(contracts=(contract,), tax_profiles=()), RULES)
    work = [(FIRST, decider.decide(FIRST))]
    where = ContractMonth(contract.id, SEPTEMBER)
    given_up = settle(where, work, Balance(), decider, given_up=frozenset({FIRST.id}))
    assert given_up.closing.of("main").milestones == 0


def test_a_milestone_that_waits_for_its_buyer_is_earned() -> None:
    """It has been reached and accepted, which is what earns it (IFRS 15.B15); who can be invoiced is another matter."""
    contract = contract_of(FEE)
    held = settle_month(contract, [FIRST], tax_profiles=())
    entries = [e for d in held.decisions for e in d.effects if e.effect_type is EffectType.REVENUE_ENTRY]
    assert [e.amount for e in entries] == [money("600.00")]
    assert billed(held) == {}


@settings(max_examples=100, deadline=None)
@given(
    amounts=st.lists(st.integers(1, 60_000), min_size=1, max_size=6),
    taxed_from=st.integers(1, 30),
    order=st.randoms(use_true_random=False),
)
def test_milestones_are_never_more_than_the_fee_and_released_ones_move_no_other(
    amounts: list[int], taxed_from: int, order: random.Random
) -> None:
    """Cumulative milestones are at most all of the fee, whatever is held and in whatever order they arrive."""
    contract = contract_of(FEE)
    facts = [milestone(f"m{n}", f"{cents / 100:.2f}", dt.date(2026, 9, 1 + n * 5)) for n, cents in enumerate(amounts)]
    late = replace(TAX, valid_from=dt.date(2026, 9, taxed_from))
    held = settle_month(contract, order.sample(facts, len(facts)), tax_profiles=(late,))
    released = settle_month(contract, facts)
    assert held.closing.of("main").milestones == released.closing.of("main").milestones <= FEE_AMOUNT
    assert sum(m.amount for m in billed(released).values()) == released.closing.of("main").milestones
    assert billed(held).items() <= billed(released).items()
    waiting = [d.object_id for d in held.decisions if d.object_id.startswith("milestone:") and d.holds]
    assert billed(held).keys() | {*waiting} == {fact.id for fact in facts}


@pytest.mark.parametrize("overage", list(Overage))
def test_a_retainers_hours_are_kept_for_work_that_waits_for_a_mapping(overage: Overage) -> None:
    """Later work would use them, and be billed, held or written off when the first one is released."""
    contract = contract_of(retainer(90, overage))
    facts = entry("a", 60, 1, psa_project_id="p2"), entry("b", 60, 2)
    held, released = month(contract, *facts, known=False), month(contract, *facts, known=True)
    assert held.closing.of("main").retainer == released.closing.of("main").retainer == ()
    assert of(held, B) == of(released, B)
    assert of(held, B).minutes_of(Outcome.COVERED) == 30
    assert [(p.outcome, p.minutes) for p in of(held, A).parts] == [(Outcome.HOLD, 60)]
    assert {h.code for h in of(held, A).holds} == {"project_not_in_erp"}


def test_a_held_hour_has_its_place_in_a_rounded_total() -> None:
    """The cents of the lines after it would move when it is released: each would be credited and billed anew."""
    hourly = Component(code="main", kind=ContractKind.TIME_AND_MATERIALS)
    contract = contract_of(hourly, rounding=LineRounding.CUMULATIVE)
    rates = (bill_rate("1.00"), bill_rate("1.00", id="PRJ-0002", project_id="PRJ-0002"))
    facts = [
        entry(str(n), minutes, n, psa_project_id="p2" if n == 2 else "p1")
        for n, minutes in enumerate((15, 50, 225, 75, 35), start=1)
    ]
    held = month(contract, *facts, known=False, bill_rates=rates)
    released = month(contract, *facts, known=True, bill_rates=rates)
    assert billed(held) == {k: v for k, v in billed(released).items() if k != f"{ENTRY}-2"}
    assert sum(m.amount for m in billed(released).values()) == Decimal("6.67")


# By seed: a world has hundreds of draws, and a smaller seed says as much.
RANDOMS = st.integers(0, 2**32).map(random.Random)


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(rng=RANDOMS, lost=st.sampled_from(("p1", "p2", "p3")))
def test_what_is_held_for_a_mapping_changes_no_other_line(rng: random.Random, lost: str) -> None:
    """Whatever the contract: an account that is missing for a while moves no other work in or out of a limit."""
    world = replace(make_world(rng), credits=())
    projects = tuple(replace(p, closed=False, closed_on=None) for p in world.projects)
    whole = replace(world, projects=projects)
    without = replace(world, projects=tuple(unmapped(p) if p.psa_id == lost else p for p in projects))
    assert _lines(without, but=lost) == _lines(whole, but=lost)


def _lines(world: World, *, but: str) -> dict[str, tuple[Money, int]]:
    others = {f.id for f in world.facts if isinstance(f, TimeEntry) and f.psa_project_id != but}
    lines = (
        (d.object_id, d.effect(BILLING))
        for settled in settle_months(world)
        for d in settled.settlement.decisions
        if d.object_id in others
    )
    return {name: (line.amount, line.minutes) for name, line in lines if isinstance(line, BillingLine)}
