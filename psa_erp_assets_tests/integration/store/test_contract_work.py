"""Expenses, milestones, credits, choices and contracts' months in the store: there and back, and what becomes due."""

import datetime as dt
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, delete, select, update
from sqlalchemy.exc import DBAPIError

from psa_erp_assets.adapters.store import (
    contract_balances,
    exceptions,
    inbox,
    period_choices,
    schema,
    work_facts,
    work_heads,
)
from psa_erp_assets.adapters.store import credits as credit_rows
from psa_erp_assets.adapters.store.postings import PgPostingStore
from psa_erp_assets.adapters.store.work_facts import Fact
from psa_erp_assets.domain.balances import Balance, ComponentBalance, RetainerHours
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.closed_periods import Choice, PeriodChoice
from psa_erp_assets.domain.decision import Decision, Outcome, Route
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.plan import Action
from psa_erp_assets.domain.posting import Posting, State
from psa_erp_assets.domain.records import Amendment, ApprovalState, Contract, Credit, Expense, Milestone
from psa_erp_assets.domain.terms import (
    MAIN,
    Component,
    ContractKind,
    Estimate,
    Instalment,
    Overage,
    Recognition,
    RecognitionTerms,
    RetainerTerms,
    Terms,
)
from psa_erp_assets.domain.values import replace
from psa_erp_assets.services import planning, touching
from psa_erp_assets.services.deciding import decide_partition
from psa_erp_assets.services.planning import Plan
from psa_erp_assets_tests.support.facts import CONTRACT, DAY, PROJECT, TAX, TENANT, bill_rate, make_master, money
from psa_erp_assets_tests.support.store import NOW, SCOPE, keep_master, psa_payload, receive

SEPTEMBER, OCTOBER = ServiceMonth(2026, 9), ServiceMonth(2026, 10)
ROUTE = Route("UK", SEPTEMBER, "CTR-0001")
BILLING, COST = EffectType.BILLING_LINE, EffectType.COST_TRANSACTION
EXPENSE = Expense(
    id="expense:clockify:x1",
    revision=1,
    state=ApprovalState.APPROVED,
    psa_user_id="u1",
    psa_project_id="p1",
    service_date=DAY,
    category="Hotel",
    receipt=money("120.50", "EUR"),
    reimbursement=money("131.07", "USD"),
    billable=True,
    description="Bærum, 2 nights",
    payload_id=1,
)
MILESTONE = Milestone(
    id="milestone:kantata:m1",
    revision=1,
    state=ApprovalState.SUBMITTED,
    contract_id="CTR-0001",
    component="build",
    service_date=DAY,
    amount=money("15000.00"),
    label="Go-live",
    payload_id=1,
)
FULL = Balance(
    components={
        "build": ComponentBalance(
            billed=Decimal("1234.50"),
            time=Decimal("0.10"),
            exact=Decimal("83.33333333333333333333333333333333333333333333333333"),
            milestones=Decimal(15000),
            earned=Decimal("-0.01"),
            cost={"GBP": Decimal("1E+3"), "USD": Decimal("0.01")},
            provided={"GBP": Decimal("12.345")},
            entered=Decimal("-0.02"),
            entered_loss={"GBP": Decimal("0.5")},
            minutes=61,
            retainer=(RetainerHours(month=SEPTEMBER, minutes=90), RetainerHours(month=OCTOBER, minutes=600)),
        ),
        "run": ComponentBalance(minutes=1),
    }
)


def later(minutes: int) -> dt.datetime:
    return NOW + dt.timedelta(minutes=minutes)


def keep_facts(engine: Engine, *facts: Fact, now: dt.datetime = NOW) -> None:
    """Store revisions of these facts, each with a payload to refer to."""
    with engine.begin() as connection:
        stored = inbox.record(
            connection,
            tenant=TENANT,
            source="test",
            object_type="fact",
            payloads=[inbox.Payload(object_id=f"{f.id}/{f.revision}", body={"id": f.id}) for f in facts],
            arrived_by="sweep",
            now=now,
        )
        work_facts.add_revisions(
            connection,
            tenant=TENANT,
            facts=[replace(f, payload_id=p.inbox_id) for f, p in zip(facts, stored, strict=True)],
            routes={f.id: ROUTE for f in facts},
            now=now,
        )


@pytest.mark.parametrize("fact", [EXPENSE, replace(EXPENSE, psa_project_id=None), MILESTONE], ids=lambda f: f.id)
def test_a_fact_goes_there_and_back(clean_store: Engine, fact: Fact) -> None:
    """A cent, a currency or a category that changes on its way is on an invoice."""
    keep_facts(clean_store, fact)
    with clean_store.connect() as connection:
        [found] = work_facts.current(connection, TENANT, [fact.id])
        in_month = work_facts.in_partition(connection, TENANT, ("UK", "2026-09"), ["CTR-0001"])
        elsewhere = [
            work_facts.in_partition(connection, TENANT, ("UK", "2026-10")),
            work_facts.in_partition(connection, TENANT, ("UK", "2026-09"), [None]),
            work_facts.current(connection, "somebody else"),
        ]
    assert found == replace(fact, payload_id=found.payload_id)
    assert repr(found) == repr(replace(fact, payload_id=found.payload_id))
    assert (in_month, elsewhere) == ([found], [[], [], []])


def test_the_latest_revision_of_a_fact_is_the_one_that_counts(clean_store: Engine) -> None:
    """A corrected receipt would be billed as it was recorded at first, or twice."""
    after = replace(EXPENSE, revision=2, receipt=money("12.05", "EUR"))
    keep_facts(clean_store, EXPENSE)
    keep_facts(clean_store, after, MILESTONE, now=later(1))
    with clean_store.connect() as connection:
        found = work_facts.current(connection, TENANT)
        dirty = work_heads.dirty_objects(connection, TENANT, ("UK", "2026-09"))
    assert [(f.id, f.revision) for f in found] == [(EXPENSE.id, 2), (MILESTONE.id, 1)]
    assert isinstance(found[0], Expense)
    assert found[0].receipt == after.receipt
    assert dirty == {EXPENSE.id, MILESTONE.id}


def test_credits_go_there_and_back(clean_store: Engine) -> None:
    """Minutes that were credited would be billed on, or those of another entry or tenant be written off."""
    first = Credit(id="c1", object_id="e1", minutes=20, rebill=True, in_erp=False, reason="wrong task")
    second = replace(first, id="c2", rebill=False, in_erp=True, minutes=1)
    other = replace(first, id="c3", object_id="e2")
    with clean_store.begin() as connection:
        for credit in (second, first, other):
            credit_rows.add(connection, TENANT, credit, requested_by="Ada", now=NOW)
        assert credit_rows.of_objects(connection, TENANT, ["e1"]) == [first, second]
        assert credit_rows.of_objects(connection, TENANT, ["e1", "e2"]) == [first, second, other]
        assert credit_rows.of_objects(connection, TENANT, []) == []
        assert credit_rows.of_objects(connection, "somebody else", ["e1"]) == []


def test_a_credit_of_nothing_is_refused(clean_store: Engine) -> None:
    """It would be a line of no minutes on an invoice."""
    nothing = Credit(id="c1", object_id="e1", minutes=0, rebill=True, in_erp=False, reason="?")
    with clean_store.connect() as connection, pytest.raises(DBAPIError, match="ck_credit_minutes"):
        credit_rows.add(connection, TENANT, nothing, requested_by="Ada", now=NOW)


def choice(what: Choice = Choice.POST_TO_OPEN, **changes: Any) -> PeriodChoice:
    date = dt.date(2026, 10, 1) if what is Choice.POST_TO_OPEN else None
    made = PeriodChoice(
        object_id="e1", effect_type=COST, choice=what, posting_date=date, reason="late", chosen_by="Ada"
    )
    return replace(made, **changes)


def test_the_latest_choice_for_an_object_and_effect_holds(clean_store: Engine) -> None:
    """What somebody took back would be posted, or a choice about the cost move the charge."""
    charge = choice(Choice.BY_HAND, effect_type=EffectType.INTERCOMPANY_CHARGE)
    with clean_store.begin() as connection:
        for number, made in enumerate((choice(), charge, choice(Choice.CANCEL), choice(object_id="e2"))):
            period_choices.add(connection, TENANT, made, later(number))
        found = period_choices.of_objects(connection, TENANT, ["e1"])
        assert period_choices.of_objects(connection, TENANT, []) == {}
        assert period_choices.of_objects(connection, "somebody else", ["e1"]) == {}
        assert found == {("e1", COST): choice(Choice.CANCEL), ("e1", charge.effect_type): charge}
        period_choices.add(connection, TENANT, choice(), NOW)
        assert period_choices.of_objects(connection, TENANT, ["e1"])["e1", COST] == choice()


@pytest.mark.parametrize("what", [c for c in Choice if c is not Choice.POST_TO_OPEN])
def test_only_what_is_posted_to_an_open_period_has_a_date(clean_store: Engine, what: Choice) -> None:
    """A date that means nothing would be taken for one that does."""
    with clean_store.connect() as connection, pytest.raises(DBAPIError, match="ck_period_choice_posting_date"):
        period_choices.add(connection, TENANT, choice(what, posting_date=DAY), NOW)


@pytest.mark.parametrize("table", [schema.credit, schema.period_choice, schema.work_fact], ids=lambda t: t.name)
@pytest.mark.parametrize("change", [update, delete])
def test_what_people_said_and_systems_sent_is_kept(clean_store: Engine, table: Any, change: Callable[..., Any]) -> None:
    """Nobody could tell afterwards who had a line credited or a cost re-dated."""
    statement = change(table).values(tenant="x") if change is update else change(table)
    with clean_store.connect() as connection, pytest.raises(DBAPIError, match="append-only"):
        connection.execute(statement)


def test_a_balance_goes_there_and_back(clean_store: Engine) -> None:
    """The next month would begin with another total: a cap that is a cent off, an hour of a retainer that is lost."""
    with clean_store.begin() as connection:
        both = ["CTR-0001", "CTR-0002"]
        assert contract_balances.before(connection, TENANT, both, OCTOBER) == {}
        closings = {"CTR-0001": FULL, "CTR-0002": Balance()}
        assert contract_balances.put(connection, TENANT, SEPTEMBER, closings=closings, now=NOW) == set(both)
        found = contract_balances.before(connection, TENANT, both, OCTOBER)
        assert found == closings
        assert found["CTR-0001"].components["build"].exact == FULL.components["build"].exact
        assert contract_balances.before(connection, TENANT, both, SEPTEMBER) == {}
        assert contract_balances.before(connection, TENANT, ["CTR-0001"], ServiceMonth(2027, 3)) == {"CTR-0001": FULL}
        assert contract_balances.of_month(connection, TENANT, both, SEPTEMBER) == closings
        assert contract_balances.of_month(connection, TENANT, both, OCTOBER) == {}


def test_a_balance_of_the_same_numbers_is_the_same(clean_store: Engine) -> None:
    """1.50 for 1.5 would plan every later month of the contract anew at every sync."""
    spelled = Balance(components={"main": ComponentBalance(billed=Decimal("1.50"), cost={"GBP": Decimal("1E+3")})})
    again = Balance(
        components={"main": ComponentBalance(billed=Decimal("1.5"), cost={"GBP": Decimal(1000), "USD": Decimal(0)})}
    )
    with clean_store.begin() as connection:
        for closing, changed in ((spelled, True), (again, False), (Balance(), True), (Balance(), False)):
            closings = {"CTR-0001": closing}
            found = contract_balances.put(connection, TENANT, SEPTEMBER, closings=closings, now=NOW)
            assert found == ({"CTR-0001"} if changed else set())


# What makes a contract's months due


def retainer(**changes: Any) -> Contract:
    """A retainer of two hours a month that roll over, overage billed."""
    terms = RetainerTerms(fee=money("200.00"), included_minutes=120, rollover_months=1, overage=Overage.BILL)
    component = Component(code=MAIN, kind=ContractKind.RETAINER, retainer=replace(terms, **changes))
    return replace(CONTRACT, kind=ContractKind.RETAINER, terms=Terms(components=(component,)))


def scheduled(*due: tuple[dt.date, str]) -> Terms:
    """The terms of a fixed fee by instalments."""
    parts = tuple(Instalment(due=on, amount=money(amount), label=f"Part {n}") for n, (on, amount) in enumerate(due))
    fee = money(str(sum(Decimal(amount) for _, amount in due)))
    kind = ContractKind.FIXED_FEE_SCHEDULE
    return Terms(components=(Component(code=MAIN, kind=kind, fee=fee, instalments=parts),))


def fixed_fee(*due: tuple[dt.date, str]) -> Contract:
    return replace(CONTRACT, kind=ContractKind.FIXED_FEE_SCHEDULE, terms=scheduled(*due))


def touch(engine: Engine, minute: int, *contracts: Contract) -> int:
    keep_master(engine, make_master(contracts=contracts), later(minute))
    with engine.begin() as connection:
        return touching.mark_touched(connection, SCOPE, later(minute))


def dirty(engine: Engine) -> set[str]:
    with engine.connect() as connection:
        found = work_heads.dirty_partitions(connection, TENANT)
    assert all(contracts == ["CTR-0001"] for contracts in found.values())
    return {month for _, month in found}


ENTRIES = ("time_entry:clockify:e1", "time_entry:clockify:e2")


def sync(engine: Engine, minute: int, month: str = "2026-09", *, seller: str = "UK") -> Plan:
    plan = planning.make_plan(engine, SCOPE, (seller, month), now=later(minute), created_by="test")
    planning.apply_plan(engine, SCOPE, plan.id, now=later(minute))
    return plan


def billed(engine: Engine, *object_ids: str) -> list[Posting]:
    found = PgPostingStore(engine, TENANT).of_objects(object_ids)
    return [p for p in found if p.effect_type is BILLING]


def verify_all(engine: Engine) -> None:
    """The ERP has taken everything."""
    with engine.begin() as connection:
        connection.execute(update(schema.posting).values(state=State.VERIFIED.value))


def of(engine: Engine, object_id: str, month: str = "2026-09") -> Decision:
    with engine.connect() as connection:
        decided = decide_partition(connection, SCOPE, ("UK", month)).decisions
    [decision] = [d for d in decided if d.object_id == object_id]
    return decision


def acts(engine: Engine, plan: Plan, what: str = "contract:") -> Counter[tuple[str, str]]:
    """What the plan does about objects whose ids begin so: action and rest of the id."""
    items = planning.items_of(engine, plan)
    return Counter((i.action.value, i.object_id) for i in items if i.object_id.startswith(what))


FEE = "contract:CTR-0001:retainer:main:2026-09"
INSTALMENT = "contract:CTR-0001:instalment:main:{}/1"


def test_a_month_of_a_contract_is_due_once_it_is_reached(clean_store: Engine) -> None:
    """A month without any work would never bill its fee."""
    touch(clean_store, 0, retainer())
    assert dirty(clean_store) == {"2026-09", "2026-10"}
    plan = sync(clean_store, 1)
    assert acts(clean_store, plan) == {("create", FEE): 1}
    assert [(p.amount, p.minutes) for p in billed(clean_store, FEE)] == [(money("200.00"), 0)]
    sync(clean_store, 2, "2026-10")
    assert dirty(clean_store) == set()
    assert touch(clean_store, 3, retainer()) == 0
    assert not sync(clean_store, 4).acting


def test_a_month_becomes_due_when_the_one_before_leaves_it_something_else(clean_store: Engine) -> None:
    """Hours that a late entry used up would be given away a second time in the next month."""
    touch(clean_store, 0, retainer())
    receive(clean_store, psa_payload("e1", 60), psa_payload("e2", 200, day=dt.date(2026, 10, 2)))
    sync(clean_store, 1)
    sync(clean_store, 2, "2026-10")
    assert of(clean_store, "time_entry:clockify:e2", "2026-10").minutes_of(Outcome.POST) == 20, (
        "60 left over and 120 of its own"
    )
    assert dirty(clean_store) == set()
    receive(clean_store, psa_payload("e1", 90), now=later(3))
    assert dirty(clean_store) == {"2026-09"}
    sync(clean_store, 4)
    assert dirty(clean_store) == {"2026-10"}
    sync(clean_store, 5, "2026-10")
    assert of(clean_store, "time_entry:clockify:e2", "2026-10").minutes_of(Outcome.POST) == 50
    assert dirty(clean_store) == set()


def test_a_month_stays_as_it_is_when_the_one_before_leaves_it_the_same(clean_store: Engine) -> None:
    """Every edit would plan all months after it."""
    touch(clean_store, 0, retainer())
    receive(clean_store, psa_payload("e1", 60))
    sync(clean_store, 1)
    sync(clean_store, 2, "2026-10")
    receive(clean_store, psa_payload("e1", 60, description="another word"), now=later(3))
    sync(clean_store, 4)
    assert dirty(clean_store) == set()


def test_an_instalment_that_is_agreed_later_becomes_due(clean_store: Engine) -> None:
    """Its month was planned before there was such an instalment: it would never be billed."""
    touch(clean_store, 0, fixed_fee((dt.date(2026, 9, 15), "500.00")))
    for month in ("2026-09", "2026-10"):
        sync(clean_store, 1, month)
    assert dirty(clean_store) == set()
    more = fixed_fee((dt.date(2026, 9, 15), "500.00"), (dt.date(2026, 9, 30), "250.00"))
    touch(clean_store, 2, more)
    assert dirty(clean_store) == {"2026-09"}
    assert acts(clean_store, sync(clean_store, 3)) == {("create", INSTALMENT.format("2026-09-30")): 1}
    sync(clean_store, 4, "2026-10")
    assert touch(clean_store, 5, more) == 0


def test_a_look_at_the_plan_does_not_hide_an_instalment_that_is_agreed_later(clean_store: Engine) -> None:
    """The decision is on record then, and the instalment would look as if it had been dealt with."""
    touch(clean_store, 0, fixed_fee((dt.date(2026, 9, 15), "500.00")))
    sync(clean_store, 1)
    more = fixed_fee((dt.date(2026, 9, 15), "500.00"), (dt.date(2026, 9, 30), "250.00"))
    keep_master(clean_store, make_master(contracts=(more,)), later(2))
    planning.make_plan(clean_store, SCOPE, ("UK", "2026-09"), now=later(2), created_by="test")
    assert "2026-09" in dirty(clean_store)


def test_an_instalment_that_moves_is_taken_back_where_it_was(clean_store: Engine) -> None:
    """It would be billed in both months."""
    touch(clean_store, 0, fixed_fee((dt.date(2026, 9, 30), "500.00")))
    for month in ("2026-09", "2026-10"):
        sync(clean_store, 1, month)
    verify_all(clean_store)
    moved = fixed_fee((dt.date(2026, 10, 2), "500.00"))
    touch(clean_store, 2, moved)
    assert dirty(clean_store) == {"2026-09", "2026-10"}
    before, after = INSTALMENT.format("2026-09-30"), INSTALMENT.format("2026-10-02")
    september = sync(clean_store, 3)
    assert acts(clean_store, september) == {("withdraw", before): 1}
    assert of(clean_store, before).outcome is Outcome.NONE
    assert acts(clean_store, sync(clean_store, 4, "2026-10")) == {("create", after): 1}
    assert dirty(clean_store) == set()
    assert touch(clean_store, 5, moved) == 0, "what is gone would be planned at every sync"
    touch(clean_store, 6, fixed_fee((dt.date(2026, 9, 30), "500.00")))
    assert dirty(clean_store) == {"2026-09", "2026-10"}, "and back again"


def test_a_held_fee_that_is_not_agreed_any_more_leaves_the_queue(clean_store: Engine) -> None:
    """An exception that nothing can resolve."""
    agreed = fixed_fee((dt.date(2026, 9, 30), "500.00"))
    keep_master(clean_store, make_master(contracts=(agreed,), projects=()))
    with clean_store.begin() as connection:
        touching.mark_touched(connection, SCOPE, NOW)
    sync(clean_store, 1)
    assert codes(clean_store) == {("project_not_in_erp", INSTALMENT.format("2026-09-30"))}
    touch(clean_store, 2, fixed_fee((dt.date(2026, 11, 30), "500.00")))
    sync(clean_store, 3)
    assert codes(clean_store) == set()


def codes(engine: Engine) -> set[tuple[str, str]]:
    with engine.connect() as connection:
        return {(i["code"], i["object_id"]) for i in exceptions.list_items(connection, TENANT)}


def test_a_contract_that_is_missing_for_a_while_takes_no_fee_back(clean_store: Engine) -> None:
    """Terms in the CRM that cannot be read for a day would credit every fee, and bill it again the day after."""
    touch(clean_store, 0, retainer())
    sync(clean_store, 1)
    sync(clean_store, 1, "2026-10")
    verify_all(clean_store)
    october = FEE.replace("2026-09", "2026-10")
    touch(clean_store, 2)
    assert acts(clean_store, sync(clean_store, 3)) == {("hold", FEE): 1}
    assert acts(clean_store, sync(clean_store, 3, "2026-10")) == {("hold", october): 1}
    assert codes(clean_store) == {("unknown_contract", FEE), ("unknown_contract", october)}
    assert touch(clean_store, 4) == 0
    touch(clean_store, 5, retainer())
    for month in ("2026-09", "2026-10"):
        assert not sync(clean_store, 6, month).acting
    assert codes(clean_store) == set()


def test_a_cap_that_is_lowered_takes_back_what_is_beyond_it(clean_store: Engine) -> None:
    """What the customer has agreed not to pay would stay on their account."""

    def capped(amount: str) -> Contract:
        component = Component(code=MAIN, kind=ContractKind.CAPPED, cap=money(amount))
        return replace(CONTRACT, kind=ContractKind.CAPPED, terms=Terms(components=(component,)))

    touch(clean_store, 0, capped("1000.00"))
    receive(clean_store, psa_payload("e1", 60), psa_payload("e2", 60, day=DAY + dt.timedelta(days=1)))
    sync(clean_store, 1)
    verify_all(clean_store)
    touch(clean_store, 2, capped("150.00"))
    plan = sync(clean_store, 3)
    assert acts(clean_store, plan, "time_entry:clockify:e1") == {}
    e2 = Counter(
        (i.action.value, i.effect_type) for i in planning.items_of(clean_store, plan) if i.object_id.endswith(":e2")
    )
    assert e2 == {("withdraw", BILLING): 1, ("create", BILLING): 1, ("hold", BILLING): 1}
    assert codes(clean_store) == {("cap_reached", "time_entry:clockify:e2")}
    [created] = [i.effect for i in planning.items_of(clean_store, plan, [Action.CREATE])]
    assert created is not None
    assert (created.amount, created.minutes) == (money("50.00"), 30)


@pytest.mark.parametrize(
    ("due", "term"),
    [
        (dt.date(2026, 9, 20), {"valid_from": dt.date(2026, 10, 1)}),
        (dt.date(2026, 10, 3), {"valid_to": dt.date(2026, 9, 10)}),
    ],
    ids=["before the first month", "after the last month"],
)
def test_an_instalment_outside_the_term_is_billed(clean_store: Engine, due: dt.date, term: dict[str, Any]) -> None:
    """A payment in advance, or a last one some weeks after the end, would be asked for by nobody."""
    touch(clean_store, 0, replace(fixed_fee((due, "500.00")), **term))
    month = f"{due:%Y-%m}"
    assert month in dirty(clean_store)
    assert acts(clean_store, sync(clean_store, 1, month)) == {("create", INSTALMENT.format(due)): 1}


def capped_at(cap: str) -> Contract:
    component = Component(code=MAIN, kind=ContractKind.CAPPED, cap=money(cap))
    return replace(CONTRACT, kind=ContractKind.CAPPED, terms=Terms(components=(component,)))


def live(engine: Engine) -> dict[str, Any]:
    """What is billed of the entries, by the end of their ids."""
    gone = (State.CANCELLED, State.WITHDRAWN, State.REVERSED)
    return {p.object_id[-2:]: p.amount for p in billed(engine, *ENTRIES) if p.state not in gone and not p.target_key}


LEAVING = ["another month", "another contract", "no contract", "deleted", "with its project"]


@pytest.mark.parametrize("how", LEAVING)
def test_a_month_that_its_last_work_has_left_is_settled_again(clean_store: Engine, how: str) -> None:
    """What it left to the next month would count for ever: the cap would be used up by work that is elsewhere."""
    with_project = how == "with its project"

    def master(minute: int, of_second: str) -> None:
        second = replace(PROJECT, id="PRJ-0002", code="PRJ-0002", psa_id="p2", erp_analytics={"2": "502"})
        keep_master(
            clean_store,
            make_master(
                contracts=(capped_at("150.00"), replace(CONTRACT, id="CTR-0002")),
                projects=(PROJECT, replace(second, contract_id=of_second)),
                bill_rates=(bill_rate(), bill_rate(id="PRJ-0002", project_id="PRJ-0002")),
            ),
            later(minute),
        )
        with clean_store.begin() as connection:
            touching.mark_touched(connection, SCOPE, later(minute))

    master(0, "CTR-0001" if with_project else "CTR-0002")
    october = dt.date(2026, 10, 2)
    first = psa_payload("e1", 60, project_id="p2" if with_project else "p1")
    receive(clean_store, first, psa_payload("e2", 120, day=october))
    sync_all_due(clean_store, 1)
    assert live(clean_store) == {"e1": money("100.00"), "e2": money("50.00")}
    moved = {
        "another month": psa_payload("e1", 60, day=october - dt.timedelta(days=1)),
        "another contract": psa_payload("e1", 60, project_id="p2"),
        "no contract": psa_payload("e1", 60, project_id="p9"),
        "deleted": psa_payload("e1", 60, deleted=True),
    }
    if with_project:
        master(2, "CTR-0002")
    else:
        receive(clean_store, moved[how], now=later(2))
    sync_all_due(clean_store, 3)
    expected = {
        "with its project": {"e1": money("100.00"), "e2": money("150.00")},
        "another month": {"e1": money("100.00"), "e2": money("50.00")},
        "another contract": {"e1": money("100.00"), "e2": money("150.00")},
        "no contract": {"e2": money("150.00")},
        "deleted": {"e2": money("150.00")},
    }
    assert live(clean_store) == expected[how]
    with clean_store.connect() as connection:
        left = contract_balances.before(connection, TENANT, ["CTR-0001"], OCTOBER)["CTR-0001"]
    assert left.of(MAIN).time == 0


def sync_all_due(engine: Engine, minute: int) -> None:
    """Plan and apply just what is due, until nothing is; the ERP does at once what it is asked for."""
    for _ in range(4):
        with engine.connect() as connection:
            due = work_heads.dirty_partitions(connection, TENANT)
        for partition, contracts in sorted(due.items()):
            plan = planning.make_plan(
                engine, SCOPE, partition, now=later(minute), created_by="test", contracts=contracts
            )
            planning.apply_plan(engine, SCOPE, plan.id, now=later(minute))
            carry_out(engine)
    assert not due


def carry_out(engine: Engine) -> None:
    """The ERP has done all that was planned, and what was taken back is."""
    with engine.begin() as connection:
        taken = select(schema.posting.c.target_key).where(
            schema.posting.c.state == State.PLANNED.value, schema.posting.c.target_key.is_not(None)
        )
        table = schema.posting.c
        gone = update(schema.posting).where(table.key.in_(taken)).values(state=State.WITHDRAWN.value)
        connection.execute(gone)
        started = (State.PLANNED.value, State.READY.value)
        connection.execute(update(schema.posting).where(table.state.in_(started)).values(state=State.VERIFIED.value))


def test_a_line_that_stays_through_a_gap_keeps_its_room_below_the_cap(clean_store: Engine) -> None:
    """A gap takes nothing back, so that later work in its room would come to more than the cap in the ERP; and when the
    gap is closed it would be taken back again."""
    contract = capped_at("150.00")
    second = replace(PROJECT, id="PRJ-0002", code="PRJ-0002", psa_id="p2", erp_analytics={"2": "502"})
    rates = (bill_rate(), bill_rate(id="PRJ-0002", project_id="PRJ-0002"))

    def mapped(minute: int, *, known: bool) -> None:
        other = second if known else replace(second, erp_analytics={})
        master = make_master(contracts=(contract,), projects=(PROJECT, other), bill_rates=rates)
        keep_master(clean_store, master, later(minute))
        with clean_store.begin() as connection:
            touching.mark_touched(connection, SCOPE, later(minute))

    mapped(0, known=True)
    receive(clean_store, psa_payload("e1", 60, project_id="p2"))
    sync(clean_store, 1)
    verify_all(clean_store)
    mapped(2, known=False)
    receive(clean_store, psa_payload("e2", 120, day=DAY + dt.timedelta(days=1)), now=later(2))
    sync(clean_store, 3)
    verify_all(clean_store)
    assert [p.amount for p in billed(clean_store, *ENTRIES)] == [money("100.00"), money("50.00")]
    assert codes(clean_store) == {
        ("project_not_in_erp", "time_entry:clockify:e1"),
        ("cap_reached", "time_entry:clockify:e2"),
    }
    mapped(4, known=True)
    assert acts(clean_store, sync(clean_store, 5), "time_entry:") == {("hold", "time_entry:clockify:e2"): 1}
    assert [p.amount for p in billed(clean_store, *ENTRIES)] == [money("100.00"), money("50.00")]


def test_an_amendment_reaches_the_months_from_its_date_on(clean_store: Engine) -> None:
    """Edge case 12: the months before it would be billed anew, or those after it as before."""
    touch(clean_store, 0, retainer())
    for month in ("2026-09", "2026-10"):
        sync(clean_store, 1, month)
    dearer = Amendment(
        id="CTR-0001-A1",
        effective_from=dt.date(2026, 10, 1),
        terms=retainer(fee=money("300.00")).terms,
    )
    touch(clean_store, 2, replace(retainer(), amendments=(dearer,)))
    assert dirty(clean_store) == {"2026-10"}
    october = FEE.replace("2026-09", "2026-10")
    assert acts(clean_store, sync(clean_store, 3, "2026-10")) == {("cancel", october): 1, ("create", october): 1}


def test_both_sellers_of_a_month_share_its_cap(clean_store: Engine) -> None:
    """Each partition would bill up to the cap, and the next month begin without what the second one billed."""
    component = Component(code=MAIN, kind=ContractKind.CAPPED, cap=money("250.00"))
    capped = replace(CONTRACT, kind=ContractKind.CAPPED, terms=Terms(components=(component,)))
    taken_over = Amendment(id="A1", effective_from=dt.date(2026, 9, 21), legal_entity="US")
    contract = replace(capped, amendments=(taken_over,))
    books = {"projects": (replace(PROJECT, erp_analytics={"1": "601", "2": "501"}),)}
    taxes = (TAX, replace(TAX, id="US/GB", legal_entity="US", erp_tax=None))
    keep_master(clean_store, make_master(contracts=(contract,), tax_profiles=taxes, **books), NOW)
    receive(clean_store, psa_payload("e1", 60), psa_payload("e2", 120, day=dt.date(2026, 9, 22)))
    with clean_store.begin() as connection:
        touching.mark_touched(connection, SCOPE, NOW)
    for seller in ("UK", "US"):
        sync(clean_store, 1, seller=seller)
    amounts = {p.object_id[-2:]: (p.effect.erp_company, p.amount) for p in billed(clean_store, *ENTRIES)}
    assert amounts == {"e1": ("2", money("100.00")), "e2": ("1", money("150.00"))}
    with clean_store.connect() as connection:
        left = contract_balances.before(connection, TENANT, ["CTR-0001"], OCTOBER)["CTR-0001"]
        assert ("US", "2026-09") not in work_heads.dirty_partitions(connection, TENANT)
    assert left.of(MAIN).billed == Decimal("250.00")
    # What the first seller's work uses up is missing in the partition of the second.
    receive(clean_store, psa_payload("e1", 90), now=later(2))
    sync(clean_store, 3)
    with clean_store.connect() as connection:
        assert ("US", "2026-09") in work_heads.dirty_partitions(connection, TENANT)
    sync(clean_store, 4, seller="US")
    live = [p for p in billed(clean_store, *ENTRIES) if p.state is not State.CANCELLED]
    assert {p.object_id[-2:]: p.amount for p in live} == {"e1": money("150.00"), "e2": money("100.00")}


def test_an_instalment_of_the_second_seller_is_planned_without_any_work(clean_store: Engine) -> None:
    """Its partition would never be looked at."""
    agreed = fixed_fee((dt.date(2026, 9, 10), "500.00"), (dt.date(2026, 9, 25), "250.00"))
    taken_over = Amendment(id="A1", effective_from=dt.date(2026, 9, 21), legal_entity="US")
    books = {"projects": (replace(PROJECT, erp_analytics={"1": "601", "2": "501"}),)}
    taxes = (TAX, replace(TAX, id="US/GB", legal_entity="US", erp_tax=None))
    contract = replace(agreed, amendments=(taken_over,))
    keep_master(clean_store, make_master(contracts=(contract,), tax_profiles=taxes, **books), NOW)
    with clean_store.begin() as connection:
        touching.mark_touched(connection, SCOPE, NOW)
    first, second = (INSTALMENT.format(on) for on in ("2026-09-10", "2026-09-25"))
    assert acts(clean_store, sync(clean_store, 1)) == {("create", first): 1}
    assert acts(clean_store, sync(clean_store, 1, seller="US")) == {("create", second): 1}
    assert dirty(clean_store) == {"2026-10"}


def test_a_record_of_an_earlier_version_is_an_exception_until_it_is_read_again(clean_store: Engine) -> None:
    """Nothing at all could be planned, nor the extraction run that would put it right."""
    touch(clean_store, 0, retainer())
    sync(clean_store, 1)
    sync(clean_store, 1, "2026-10")
    verify_all(clean_store)
    body = schema.master_record.c.body
    with clean_store.begin() as connection:
        old = update(schema.master_record).where(schema.master_record.c.object_type == "contract")
        connection.execute(old.values(body=body.op("-")("terms"), content_hash="old"))
        touching.mark_touched(connection, SCOPE, later(2))
    assert ("malformed_record", "contract:CTR-0001") in codes(clean_store)
    assert acts(clean_store, sync(clean_store, 3)) == {("hold", FEE): 1}
    touch(clean_store, 4, retainer())
    for month in ("2026-09", "2026-10"):
        assert not sync(clean_store, 5, month).acting
    assert codes(clean_store) == set()


def test_an_estimate_that_is_missing_for_a_while_takes_neither_revenue_nor_provision_back(clean_store: Engine) -> None:
    """The expected loss alone would be taken back, and the month show a profit that nobody expects."""

    def estimated(total_cost: str | None) -> Contract:
        estimate = Estimate(total_cost=None if total_cost is None else Decimal(total_cost))
        recognition = RecognitionTerms(method=Recognition.COST_TO_COST, estimate=estimate)
        kind = ContractKind.FIXED_FEE_MILESTONE
        component = Component(code=MAIN, kind=kind, fee=money("1000.00"), recognition=recognition)
        return replace(CONTRACT, kind=kind, terms=Terms(components=(component,)))

    earned, loss = (f"contract:CTR-0001:{what}:main:2026-09" for what in ("revenue", "loss"))
    touch(clean_store, 0, estimated("2000.00"))
    receive(clean_store, psa_payload("e1", 600))
    assert acts(clean_store, sync(clean_store, 1)) == {("create", earned): 1, ("create", loss): 1}
    verify_all(clean_store)
    touch(clean_store, 2, estimated(None))
    assert acts(clean_store, sync(clean_store, 3)) == {("hold", earned): 1, ("hold", loss): 1}
    touch(clean_store, 4, estimated("900.00"))
    changed = acts(clean_store, sync(clean_store, 5))
    assert changed == {("withdraw", earned): 1, ("create", earned): 1, ("withdraw", loss): 1}
