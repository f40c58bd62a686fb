"""A plan's life: proposed, then applied once or overtaken; never twice, never on other facts than it was made from."""

import datetime as dt
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from sqlalchemy import Engine, select

from psa_erp_assets.adapters.store import (
    contract_balances,
    decisions,
    erp_documents,
    exceptions,
    master_records,
    schema,
    work_heads,
)
from psa_erp_assets.adapters.store import credits as credit_rows
from psa_erp_assets.adapters.store.postings import PgPostingStore
from psa_erp_assets.domain.balances import Balance, ComponentBalance
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.master import MasterData
from psa_erp_assets.domain.posting import Posting, State
from psa_erp_assets.domain.reconcile import CANCELLED
from psa_erp_assets.domain.records import AccountingPeriod, Credit
from psa_erp_assets.services import planning, touching
from psa_erp_assets.services.deciding import decide_partition
from psa_erp_assets.services.planning import Plan, PlanNotFoundError, PlanOvertakenError
from psa_erp_assets_tests.support.facts import TENANT, bill_rate, make_master
from psa_erp_assets_tests.support.store import NOW, SCOPE, keep_master, psa_payload, receive

SEPTEMBER = ("UK", "2026-09")
LATER = NOW + dt.timedelta(minutes=10)


@pytest.fixture
def store(clean_store: Engine) -> Engine:
    """A store with the company's master data and two approved entries."""
    keep_master(clean_store)
    receive(clean_store, psa_payload("e1"), psa_payload("e2", 60))
    return clean_store


def propose(engine: Engine, now: dt.datetime = NOW, **options: object) -> Plan:
    return planning.make_plan(engine, SCOPE, SEPTEMBER, now=now, created_by="test", **options)  # type: ignore[arg-type]


def apply(engine: Engine, plan: Plan, now: dt.datetime = NOW) -> int:
    return planning.apply_plan(engine, SCOPE, plan.id, now=now)


def postings(engine: Engine) -> list[Posting]:
    ids = [f"time_entry:clockify:{i}" for i in ("e1", "e2")]
    return list(PgPostingStore(engine, TENANT).of_objects(ids))


def status(engine: Engine, plan: Plan) -> str:
    with engine.connect() as connection:
        return str(connection.execute(select(schema.plan.c.status).where(schema.plan.c.id == plan.id)).scalar_one())


def test_a_plan_shows_what_it_would_do_and_does_nothing(store: Engine) -> None:
    """A preview that posts is no preview."""
    plan = propose(store)
    assert plan.actions() == Counter(
        {("create", "billing_line"): 2, ("create", "cost_transaction"): 2, ("create", "intercompany_charge"): 2}
    )
    assert plan.amounts()["create", "billing_line", "GBP"] == Decimal("183.33")
    assert plan.acting
    assert postings(store) == []
    assert status(store, plan) == "proposed"


def test_an_applied_plan_is_what_was_shown(store: Engine) -> None:
    """Somebody approved other amounts than those that are posted."""
    plan = propose(store)
    assert apply(store, plan) == 6
    assert {(p.key, p.amount) for p in postings(store)} == {
        (i.key, i.effect.amount) for i in planning.items_of(store, plan) if i.effect
    }
    assert {p.plan_id for p in postings(store)} == {plan.id}
    assert status(store, plan) == "applied"
    assert not propose(store, LATER).acting


def test_a_plan_is_applied_once(store: Engine) -> None:
    """A double click would post a month twice."""
    plan = propose(store)
    apply(store, plan)
    with pytest.raises(PlanNotFoundError, match=str(plan.id)):
        apply(store, plan)
    with pytest.raises(PlanNotFoundError, match="404"):
        planning.apply_plan(store, SCOPE, 404, now=NOW)
    assert len(postings(store)) == 6


@pytest.mark.parametrize("change", ["an edit", "a rate", "another plan", "a new entry"])
def test_a_plan_that_facts_have_overtaken_is_refused(store: Engine, change: str) -> None:
    """What was approved on Friday would be posted on Monday although the hours have been corrected since."""
    plan = propose(store)
    if change == "an edit":
        receive(store, psa_payload("e1", 40), now=LATER)
    elif change == "a rate":
        keep_master(store, make_master(bill_rates=(bill_rate("120.00"),)), LATER)
    elif change == "a new entry":
        receive(store, psa_payload("e3"), now=LATER)
    else:
        apply(store, propose(store))
    before = len(postings(store))
    with pytest.raises(PlanOvertakenError, match="make a new one"):
        apply(store, plan)
    assert len(postings(store)) == before
    assert status(store, plan) == "overtaken"


def test_a_change_that_matters_to_no_decision_overtakes_nothing(store: Engine) -> None:
    """On a busy day no plan could ever be applied."""
    plan = propose(store)
    receive(store, psa_payload("other", day=dt.date(2026, 10, 2)), now=LATER)
    keep_master(store, make_master(bill_rates=(bill_rate(), bill_rate(id="x", project_id="PRJ-0009"))), LATER)
    assert apply(store, plan) == 6


def test_two_equal_plans_at_once_make_one_set_of_postings(store: Engine) -> None:
    """Edge case 4: two runs of one partition would both bill it."""
    plans = [propose(store) for _ in range(6)]
    start = threading.Barrier(len(plans))

    def race(plan: Plan) -> str:
        start.wait()
        try:
            return f"applied {apply(store, plan)}"
        except PlanOvertakenError:
            return "overtaken"

    with ThreadPoolExecutor(len(plans)) as pool:
        assert sorted(pool.map(race, plans)) == ["applied 6", *["overtaken"] * 5]
    assert len(postings(store)) == 6


def test_one_plan_applied_by_many_at_once_is_applied_once(store: Engine) -> None:
    """The same, by six impatient people with one plan."""
    plan = propose(store)
    start = threading.Barrier(6)

    def race(_: int) -> bool:
        start.wait()
        try:
            return apply(store, plan) == 6
        except (PlanOvertakenError, PlanNotFoundError):
            return False

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(race, range(6))) == 1
    assert (len(postings(store)), status(store, plan)) == (6, "applied")


def test_planning_while_entries_change_loses_no_change(store: Engine) -> None:
    """An edit between a planner's look and its note that all is planned would be billed as it was, for ever."""
    stop = threading.Event()

    def edit() -> int:
        number = 0
        while not stop.is_set() and number < 200:
            number += 1
            receive(store, psa_payload("e1", 30 + number % 25), psa_payload("e2", 31 + number % 24), now=NOW)
        return number

    with ThreadPoolExecutor(1) as pool:
        editing = pool.submit(edit)
        for _ in range(12):
            try:
                apply(store, propose(store, LATER), LATER)
            except PlanOvertakenError:
                continue
        stop.set()
        assert editing.result() > 0
    with store.connect() as connection:
        dirty = work_heads.dirty_objects(connection, TENANT, SEPTEMBER)
    last = propose(store, LATER)
    assert {i.object_id for i in planning.items_of(store, last) if i.acts} <= dirty


def test_a_plan_can_be_limited_to_some_contracts(store: Engine) -> None:
    """The cost of one approval would be that of the whole month."""
    receive(store, psa_payload("stray", project_id=None, user_id="u2"), now=LATER)
    assert propose(store, contracts=["CTR-0002"]).sections == ()
    only = propose(store, contracts=["CTR-0001"])
    assert only.contracts == ("CTR-0001",)
    assert {item.contract_id for item in planning.items_of(store, only)} == {"CTR-0001"}
    assert apply(store, only, LATER) == 6


def test_what_was_just_rejected_is_left_alone_where_that_is_asked_for(store: Engine) -> None:
    """A run would send what the ERP refuses, over and over, until it gives up."""
    apply(store, propose(store))
    ledger = PgPostingStore(store, TENANT)
    with store.begin() as connection:
        connection.execute(schema.posting.update().values(state=State.REJECTED.value, fault_code="posting_rejected"))
    assert {action for action, _ in propose(store, LATER).actions()} == {"retry"}
    patient = propose(store, LATER, retry_rejected=False)
    assert list(planning.items_of(store, patient)) == []
    assert apply(store, patient, LATER) == 0
    assert {p.state for p in ledger.of_objects(["time_entry:clockify:e1"])} == {State.REJECTED}
    apply(store, propose(store, LATER), LATER)
    assert {p.state for p in ledger.of_objects(["time_entry:clockify:e1"])} == {State.READY}


def _decisions(engine: Engine) -> int:
    with engine.connect() as connection:
        return len(connection.execute(select(schema.decision.c.id)).all())


@pytest.mark.parametrize(("master", "more"), [(make_master(), 0), (make_master(bill_rates=(bill_rate("1.00"),)), 2)])
def test_a_decision_is_written_down_when_it_is_another_one(store: Engine, master: MasterData, more: int) -> None:
    """Its history would be as long as the number of syncs, or have gaps."""
    propose(store)
    keep_master(store, master, LATER)
    for _ in range(2):
        propose(store, LATER)
    assert _decisions(store) == 2 + more
    with store.connect() as connection:
        known = decisions.latest_hashes(connection, TENANT)
        decided = decide_partition(connection, SCOPE, SEPTEMBER).decisions
    assert known == {d.object_id: d.digest for d in decided}


def test_a_closed_period_is_an_item_of_its_own_until_it_is_opened(store: Engine) -> None:
    """Edge case 18: nobody would know why the cost is missing, and nothing would bring it in when the month opens."""
    keep_period(store, closed=True, now=NOW)
    plan = propose(store)
    assert plan.actions() == Counter(
        {("create", "billing_line"): 2, ("hold", "cost_transaction"): 2, ("hold", "intercompany_charge"): 2}
    )
    apply(store, plan)
    with store.connect() as connection:
        assert {i["code"] for i in exceptions.list_items(connection, TENANT)} == {"period_closed"}
    assert touch(store, LATER) == 0
    keep_period(store, closed=False, now=LATER)
    assert touch(store, LATER) == 2
    apply(store, propose(store, LATER), LATER)
    kinds = {"billing_line": 2, "cost_transaction": 2, "intercompany_charge": 2}
    assert Counter(p.effect_type.value for p in postings(store)) == kinds
    with store.connect() as connection:
        assert exceptions.list_items(connection, TENANT) == []


def test_a_plan_is_overtaken_by_the_closing_of_its_period(store: Engine) -> None:
    """Fault 21: what was planned for the open month would go into the closed one."""
    plan = propose(store)
    keep_period(store, closed=True, now=LATER)
    with pytest.raises(PlanOvertakenError):
        apply(store, plan, LATER)


def keep_period(engine: Engine, *, closed: bool, now: dt.datetime) -> None:
    period = AccountingPeriod(id="UK@2026-09", legal_entity="UK", month="2026-09", closed=closed)
    with engine.begin() as connection:
        master_records.replace_all(
            connection,
            tenant=TENANT,
            object_type="accounting_period",
            source="tryton",
            records=[(period.id, period)],
            now=now,
        )


def touch(engine: Engine, now: dt.datetime) -> int:
    with engine.begin() as connection:
        return touching.mark_touched(connection, SCOPE, now)


def test_a_line_that_was_withdrawn_after_it_was_read_leaves_the_mirror(store: Engine) -> None:
    """An entry that moves to another month would look like a duplicate until its old month is read again."""
    apply(store, propose(store))
    [line, other] = [p for p in postings(store) if p.effect_type is EffectType.BILLING_LINE]
    keep_documents(store, (line, other), None)
    with store.begin() as connection:
        connection.execute(
            schema.posting.update()
            .where(schema.posting.c.key == line.key)
            .values(state=State.WITHDRAWN.value, state_since=LATER)
        )
        erp_documents.forget_withdrawn(connection, TENANT)
        left = erp_documents.of_keys(connection, TENANT, [line.key, other.key])
    assert [row.key for row in left] == [other.key]


def keep_documents(engine: Engine, lines: Sequence[Posting], state: str | None) -> None:
    """What was read back: these lines, each on an invoice in this state, or (None) on their own."""
    rows = [
        {
            "erp_id": p.key,
            "key": p.key,
            "service_month": "2026-09",
            "service_date": p.service_date,
            "minutes": p.minutes,
            "amount": p.amount.amount,
            "currency": p.amount.currency,
            "document": "INV-1" if state else None,
            "document_state": state,
            "posted": state == "posted",
        }
        for p in lines
    ]
    with engine.begin() as connection:
        erp_documents.replace_scope(
            connection,
            tenant=TENANT,
            erp_company="2",
            effect_type="billing_line",
            months=["2026-09"],
            rows=rows,
            now=NOW,
        )


def invoiced_and_cancelled(engine: Engine) -> list[Posting]:
    """The lines of all entries, whose invoice finance has posted and cancelled."""
    apply(engine, propose(engine))
    with engine.begin() as connection:
        connection.execute(schema.posting.update().values(state=State.VERIFIED.value))
    lines = [p for p in postings(engine) if p.effect_type is EffectType.BILLING_LINE]
    keep_documents(engine, lines, "posted")
    assert not propose(engine, LATER).acting
    keep_documents(engine, lines, CANCELLED)
    return lines


def test_lines_of_a_cancelled_invoice_are_billed_again(store: Engine) -> None:
    """The ERP has taken them back itself: the work would be on no invoice, and the ledger would say it is."""
    lines = invoiced_and_cancelled(store)
    plan = propose(store, LATER)
    assert plan.actions() == Counter({("void", "billing_line"): 2, ("create", "billing_line"): 2})
    assert apply(store, plan, LATER) == 4
    found = [p for p in postings(store) if p.effect_type is EffectType.BILLING_LINE]
    assert {p.key: p.state for p in found if p in lines or p.revision == 1} == {p.key: State.REVERSED for p in lines}
    again = [p for p in found if p.revision == 2]
    assert sorted((p.object_id, p.amount, p.state) for p in again) == sorted(
        (p.object_id, p.amount, State.READY) for p in lines
    )
    assert not propose(store, LATER).acting


def _an_edit(engine: Engine) -> None:
    receive(engine, psa_payload("e1", 75), now=LATER)


def _a_rate(engine: Engine) -> None:
    keep_master(engine, make_master(bill_rates=(bill_rate("1.00"),)), LATER)


def _an_answer_of_the_erp(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(schema.posting.update().values(state=State.REJECTED.value, fault_code="posting_rejected"))


def _a_credit(engine: Engine) -> None:
    given = Credit(
        id="c1", object_id="time_entry:clockify:e1", minutes=10, rebill=False, in_erp=False, reason="goodwill"
    )
    with engine.begin() as connection:
        credit_rows.add(connection, TENANT, given, requested_by="test", now=LATER)


def _an_opening_balance(engine: Engine) -> None:
    before = Balance(components={"main": ComponentBalance(minutes=60)})
    with engine.begin() as connection:
        contract_balances.put(connection, TENANT, ServiceMonth(2026, 8), closings={"CTR-0001": before}, now=LATER)


@pytest.mark.parametrize(
    "change",
    [_an_edit, _a_rate, _an_answer_of_the_erp, _a_credit, _an_opening_balance],
    ids=lambda change: change.__name__,
)
def test_a_section_is_shared_until_anything_that_it_was_made_from_changes(
    store: Engine, change: Callable[[Engine], None]
) -> None:
    """A plan would take what was right yesterday for what is right today, or each look would cost a whole month."""
    apply(store, propose(store))
    first = propose(store, LATER)
    again = propose(store, LATER + dt.timedelta(minutes=1))
    assert again.sections == first.sections
    assert again.id != first.id
    change(store)
    assert set(propose(store, LATER + dt.timedelta(minutes=2)).sections).isdisjoint(first.sections)


def test_what_went_there_and_back_is_decided_anew(store: Engine) -> None:
    """The decisions on record are those of the way back; a section of before it would leave them wrong."""
    first = propose(store)
    _a_rate(store)
    changed = propose(store, LATER)
    keep_master(store, make_master(), LATER)
    back = propose(store, LATER)
    assert len({*first.sections, *changed.sections, *back.sections}) == 3
    assert back.amounts() == first.amounts() != changed.amounts()
