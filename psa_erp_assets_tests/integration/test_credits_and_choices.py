"""Credits of billed time, choices for closed periods, and shadow plans beside what people billed, in a real store."""

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert

from psa_erp_assets.adapters.store import erp_documents, exceptions, master_records, schema, work_heads
from psa_erp_assets.adapters.store.postings import PgPostingStore
from psa_erp_assets.domain.closed_periods import Choice
from psa_erp_assets.domain.costing import CostPolicy
from psa_erp_assets.domain.decision import Mode
from psa_erp_assets.domain.effects import EffectType, booking_date
from psa_erp_assets.domain.posting import Leg, Posting, State
from psa_erp_assets.domain.records import AccountingPeriod
from psa_erp_assets.domain.rollout import Rollout, RolloutStep
from psa_erp_assets.domain.shadow import Explanation
from psa_erp_assets.domain.terms import Component, ContractKind, Estimate, Recognition, RecognitionTerms
from psa_erp_assets.domain.values import replace
from psa_erp_assets.services import sync
from psa_erp_assets.services.credits import CreditRefusedError, request_credit
from psa_erp_assets.services.period_choices import ChoiceRefusedError, WaitingEffect, choose, waiting_effects
from psa_erp_assets.services.rollout import RolloutState, rollout_report
from psa_erp_assets.services.runtime import Runtime
from psa_erp_assets.services.trace import NotFoundError
from psa_erp_assets_tests.support.contract_months import contract_of
from psa_erp_assets_tests.support.facts import PROJECT, RULES, TENANT, make_master, money
from psa_erp_assets_tests.support.punctual_erp import PunctualErp, SetClock, open_store_runtime
from psa_erp_assets_tests.support.store import NOW, SCOPE, keep_master, psa_payload, receive

SEPTEMBER = ("UK", "2026-09")
E1 = "time_entry:clockify:e1"
COST, BILLING, CHARGE = EffectType.COST_TRANSACTION, EffectType.BILLING_LINE, EffectType.INTERCOMPANY_CHARGE
NOVEMBER = dt.date(2026, 11, 1)


@pytest.fixture
def erp() -> PunctualErp:
    return PunctualErp()


@pytest.fixture
def runtime(clean_store: Engine, tmp_path: Path, erp: PunctualErp) -> Iterator[Runtime]:
    """A company with an approved entry of eight hours at 100 GBP."""
    keep_master(clean_store)
    receive(clean_store, psa_payload("e1", 480))
    with open_store_runtime(clean_store, tmp_path, erp) as runtime:
        yield runtime


def later(runtime: Runtime) -> dt.datetime:
    assert isinstance(runtime.clock, SetClock)
    return runtime.clock.later()


def run(runtime: Runtime) -> None:
    later(runtime)
    sync.sync_partition(runtime, SEPTEMBER, created_by="dagster run 1")


def credit(runtime: Runtime, minutes: int = 210, entry: str = "e1", **changes: object) -> str:
    options: dict[str, object] = {"rebill": True, "in_erp": False, "reason": "wrong week", "requested_by": "Ada"}
    now = later(runtime)
    options |= changes
    return request_credit(runtime.engine, runtime.scope, entry, minutes=minutes, now=now, **options).id  # type: ignore[arg-type]


def lines(erp: PunctualErp) -> list[tuple[int, Decimal]]:
    """Minutes and amounts of all billing lines in the ERP."""
    found = (d for d in erp.documents.values() if d.effect_type is BILLING)
    return sorted((d.minutes, d.amount.amount) for d in found)


def dirty(runtime: Runtime) -> frozenset[str]:
    with runtime.engine.connect() as connection:
        return work_heads.dirty_objects(connection, TENANT, SEPTEMBER)


def test_only_the_credited_minutes_become_billable_again(runtime: Runtime, erp: PunctualErp) -> None:
    """Edge case 7: a credit of 3.5 hours on 8 made June bill all 8 again (odoo#280601)."""
    run(runtime)
    erp.invoice()
    credit(runtime, 210)
    assert dirty(runtime) == {E1}
    run(runtime)
    assert lines(erp) == [
        (-480, Decimal("-800.00")),
        (210, Decimal("350.00")),
        (270, Decimal("450.00")),
        (480, Decimal("800.00")),
    ]
    assert dirty(runtime) == frozenset()
    run(runtime)
    assert len(lines(erp)) == 4


def test_what_finance_has_credited_itself_is_not_credited_again(runtime: Runtime, erp: PunctualErp) -> None:
    """The customer would get the credit twice: finance's line, and ours."""
    run(runtime)
    erp.invoice()
    credit(runtime, 210, in_erp=True)
    run(runtime)
    assert lines(erp) == [(210, Decimal("350.00")), (480, Decimal("800.00"))]


def test_what_is_written_off_is_billed_never(runtime: Runtime, erp: PunctualErp) -> None:
    """A gift to the customer would be on the next invoice."""
    run(runtime)
    credit(runtime, 210, rebill=False)
    run(runtime)
    assert lines(erp) == [(270, Decimal("450.00"))]


@pytest.mark.parametrize("in_erp", [True, False])
@pytest.mark.parametrize("synced", [True, False])
def test_no_minute_is_credited_twice(runtime: Runtime, in_erp: bool, synced: bool) -> None:
    """Three credits of 210 minutes on 480 would be more than was billed."""
    run(runtime)
    credit(runtime, 210, in_erp=in_erp, rebill=False)
    if synced:
        run(runtime)
    with pytest.raises(CreditRefusedError, match="271 minutes are more than the 270"):
        credit(runtime, 271, in_erp=in_erp, rebill=False)
    credit(runtime, 270, in_erp=in_erp, rebill=False)
    if synced:
        run(runtime)
    with pytest.raises(CreditRefusedError):
        credit(runtime, 1, in_erp=in_erp, rebill=False)


def test_two_credits_at_once_do_not_take_the_same_minutes(runtime: Runtime) -> None:
    """A double click would credit 600 of 480 minutes."""
    run(runtime)

    def ask(_: int) -> bool:
        try:
            credit(runtime, 300)
        except CreditRefusedError:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(ask, range(6))) == 1


def test_a_credit_that_cannot_be_says_why(runtime: Runtime) -> None:
    """It would be kept, change nothing, and everybody would believe that it did."""
    with pytest.raises(CreditRefusedError, match="has no billing line in the ERP"):
        credit(runtime)
    run(runtime)
    with pytest.raises(NotFoundError, match="nowhere"):
        credit(runtime, entry="nowhere")
    with pytest.raises(NotFoundError, match="time_entry:clockify:nowhere"):
        credit(runtime, entry="time_entry:clockify:nowhere")
    for minutes in (0, -5):
        with pytest.raises(CreditRefusedError, match="above nought"):
            credit(runtime, minutes)
    for missing in ({"reason": " "}, {"requested_by": ""}):
        with pytest.raises(CreditRefusedError, match="name"):
            credit(runtime, **missing)
    assert dirty(runtime) == frozenset()
    credit(runtime, entry=E1)
    receive(runtime.engine, psa_payload("e1", 480, state="REJECTED"), now=later(runtime))
    with pytest.raises(CreditRefusedError, match="nothing of time_entry:clockify:e1 is to be billed any more"):
        credit(runtime)


def keep_periods(engine: Engine, closed: Mapping[str, bool], now: dt.datetime = NOW, entity: str = "UK") -> None:
    """The entity's periods: closed by month."""
    periods = [
        AccountingPeriod(id=f"{entity}@{month}", legal_entity=entity, month=month, closed=shut)
        for month, shut in closed.items()
    ]
    with engine.begin() as connection:
        master_records.replace_all(
            connection,
            tenant=TENANT,
            object_type="accounting_period",
            source="tryton",
            records=[(period.id, period) for period in periods],
            now=now,
        )


def pick(runtime: Runtime, choice: Choice, date: dt.date | None = None, **changes: object) -> WaitingEffect:
    options: dict[str, object] = {"effect_type": COST, "reason": "late approval", "chosen_by": "Ada"} | changes
    object_id = str(options.pop("object_id", E1))
    now = later(runtime)
    return choose(runtime.engine, runtime.scope, object_id, choice=choice, posting_date=date, now=now, **options)  # type: ignore[arg-type]


def costs(runtime: Runtime) -> list[Posting]:
    return [p for p in PgPostingStore(runtime.engine, TENANT).of_objects([E1]) if p.effect_type is COST]


def waiting(runtime: Runtime) -> WaitingEffect:
    """What waits for its own period, of which there is one."""
    (row,) = [row for row in waiting_effects(runtime.engine, runtime.scope) if row.own_period]
    return row


@pytest.fixture
def shut(runtime: Runtime) -> Runtime:
    """September is closed in the books of the UK company, October as well, November is open."""
    keep_periods(runtime.engine, {"2026-09": True, "2026-10": True, "2026-11": False})
    run(runtime)
    return runtime


def test_what_waits_is_listed_with_its_amount_and_period(shut: Runtime) -> None:
    """Nobody could choose what they do not see."""
    row = waiting(shut)
    assert (row.object_id, row.effect_type, row.legal_entity, row.service_month) == (E1, COST, *SEPTEMBER)
    assert (row.books, row.period, row.contract_id) == ("UK", "2026-09 is closed in UK", "CTR-0001")
    # Eight hours at 60 USD, at 0.75.
    assert (row.amount, row.currency) == (Decimal("360.00"), "GBP")
    assert (row.choice, row.chosen_by) == (None, None)
    assert row.since > NOW


def test_it_is_posted_to_the_open_period_once_somebody_says_so(shut: Runtime) -> None:
    """Edge case 18: it would wait for ever, or be re-dated silently."""
    assert costs(shut) == []
    assert pick(shut, Choice.POST_TO_OPEN, NOVEMBER).amount == Decimal("360.00")
    assert dirty(shut) == {E1}
    row = waiting(shut)
    assert (row.choice, row.posting_date, row.chosen_by) == (Choice.POST_TO_OPEN, NOVEMBER, "Ada")
    run(shut)
    (posting,) = costs(shut)
    assert posting.state is State.VERIFIED
    assert posting.effect is not None
    assert (posting.service_date, booking_date(posting.effect)) == (dt.date(2026, 9, 14), NOVEMBER)
    assert waiting_effects(shut.engine, shut.scope) == ()
    run(shut)
    assert len(costs(shut)) == 1


@pytest.mark.parametrize("choice", [Choice.BY_HAND, Choice.CANCEL])
def test_what_is_not_for_the_sync_to_book_leaves_the_queue(shut: Runtime, choice: Choice) -> None:
    """It would be posted when the period is reopened, on top of what somebody has journaled."""
    pick(shut, choice)
    run(shut)
    assert waiting_effects(shut.engine, shut.scope) == ()
    keep_periods(shut.engine, {"2026-09": False}, later(shut))
    sync.mark_touched(shut)
    run(shut)
    assert costs(shut) == []


def correct(runtime: Runtime, minutes: int) -> None:
    receive(runtime.engine, psa_payload("e1", minutes), now=later(runtime))
    run(runtime)


@pytest.mark.parametrize("choice", [Choice.BY_HAND, Choice.CANCEL])
def test_a_correction_of_what_is_booked_leaves_the_queue_until_the_next_edit(
    runtime: Runtime, erp: PunctualErp, choice: Choice
) -> None:
    """It would wait for ever; and a choice that outlives it would hide the next correction.

    What was journaled by hand is in the books: the next edit books what is left. What was canceled is not.
    """
    run(runtime)
    erp.documents = {i: replace(d, document="MOVE", posted=True) for i, d in erp.documents.items()}
    with runtime.engine.begin() as connection:
        erp_documents.refresh(connection, TENANT, list(erp.documents.values()), later(runtime))
    keep_periods(runtime.engine, {"2026-09": True, "2026-11": False}, later(runtime))
    correct(runtime, 500)
    pick(runtime, choice)
    run(runtime)
    assert waiting_effects(runtime.engine, runtime.scope) == ()
    assert [p.state for p in costs(runtime)] == [State.VERIFIED]
    correct(runtime, 540)
    row = waiting(runtime)
    by_hand = Decimal("15.00") if choice is Choice.BY_HAND else Decimal(0)
    assert (row.amount, row.choice) == (Decimal("45.00") - by_hand, None)
    # Somebody thinks better of it: the second choice replaces the first, about the same correction.
    pick(runtime, Choice.BY_HAND)
    pick(runtime, Choice.POST_TO_OPEN, NOVEMBER)
    run(runtime)
    assert waiting_effects(runtime.engine, runtime.scope) == ()
    booked = [p.amount.amount for p in costs(runtime)]
    assert booked == [Decimal("360.00"), Decimal("-360.00"), Decimal("405.00") - by_hand]


def test_an_edit_of_what_was_booked_by_hand_books_the_difference(shut: Runtime) -> None:
    """Edge case 18: eight hours that somebody has journaled would be in the books twice."""
    pick(shut, Choice.BY_HAND)
    run(shut)
    correct(shut, 540)
    assert waiting(shut).amount == Decimal("45.00")
    keep_periods(shut.engine, {"2026-09": False}, later(shut))
    sync.mark_touched(shut)
    run(shut)
    assert [(p.amount.amount, p.minutes) for p in costs(shut)] == [(Decimal("45.00"), 60)]
    correct(shut, 500)
    live = [p for p in costs(shut) if p.leg is Leg.ORIGINAL and p.state is State.VERIFIED]
    assert [(p.amount.amount, p.minutes) for p in live] == [(Decimal("15.00"), 20)]
    correct(shut, 480)
    assert [p for p in costs(shut) if p.leg is Leg.ORIGINAL and p.state is State.VERIFIED] == []


def test_work_that_is_gone_takes_back_what_was_booked_by_hand(shut: Runtime) -> None:
    """Its cost would stay in the books for ever: nobody would think of the journal."""
    pick(shut, Choice.BY_HAND)
    run(shut)
    keep_periods(shut.engine, {"2026-09": False}, later(shut))
    sync.mark_touched(shut)
    receive(shut.engine, psa_payload("e1", 480, state="REJECTED"), now=later(shut))
    run(shut)
    assert [(p.amount.amount, p.minutes, p.state) for p in costs(shut)] == [(Decimal("-360.00"), -480, State.VERIFIED)]
    receive(shut.engine, psa_payload("e1", 480), now=later(shut))
    run(shut)
    live = [p for p in costs(shut) if p.leg is Leg.ORIGINAL and p.state is State.VERIFIED]
    assert live == [], "as it was booked by hand"


def test_what_was_booked_by_hand_elsewhere_is_for_people_to_move(shut: Runtime) -> None:
    """One project would keep the cost, and the other one get it as well, or not at all."""
    pick(shut, Choice.BY_HAND)
    run(shut)
    keep_periods(shut.engine, {"2026-09": False, "2026-11": False}, later(shut))
    second = replace(PROJECT, id="PRJ-0002", code="PRJ-0002", psa_id="p2", erp_analytics={"2": "502"})
    keep_master(shut.engine, make_master(projects=(PROJECT, second)), later(shut))
    sync.mark_touched(shut)
    receive(shut.engine, psa_payload("e1", 480, project_id="p2"), now=later(shut))
    run(shut)
    assert costs(shut) == []
    (row,) = waiting_effects(shut.engine, shut.scope)
    assert (row.effect_type, row.to_move, row.amount, row.books) == (COST, True, Decimal("360.00"), "UK")
    assert row.period == (
        "360.00 GBP in company 2 was booked by hand, and the work is booked elsewhere now: move it, then choose"
    )
    pick(shut, Choice.POST_TO_OPEN, NOVEMBER)
    run(shut)
    assert [(p.amount.amount, p.state) for p in costs(shut)] == [(Decimal("360.00"), State.VERIFIED)]
    assert waiting_effects(shut.engine, shut.scope) == ()
    correct_on = psa_payload("e1", 540, project_id="p2")
    receive(shut.engine, correct_on, now=later(shut))
    run(shut)
    live = [p for p in costs(shut) if p.leg is Leg.ORIGINAL and p.state is State.VERIFIED]
    assert [p.amount.amount for p in live] == [Decimal("405.00")], "nothing of it is booked by hand any more"


def test_a_rate_that_is_missing_takes_back_nothing_that_was_booked_by_hand(shut: Runtime) -> None:
    """A gap in master data is no reason to take back what was right, whoever has booked it."""
    pick(shut, Choice.BY_HAND)
    run(shut)
    keep_periods(shut.engine, {"2026-09": False}, later(shut))
    keep_master(shut.engine, make_master(cost_rates=()), later(shut))
    sync.mark_touched(shut)
    run(shut)
    assert costs(shut) == []


def test_what_is_gone_is_left_in_a_closed_month_by_choice(runtime: Runtime) -> None:
    """A removal that may not be booked, and that nobody could get out of the queue."""
    run(runtime)
    keep_periods(runtime.engine, {"2026-09": True}, later(runtime))
    receive(runtime.engine, psa_payload("e1", 480, state="REJECTED"), now=later(runtime))
    run(runtime)
    assert waiting(runtime).amount == Decimal("-360.00")
    pick(runtime, Choice.BY_HAND)
    run(runtime)
    assert waiting_effects(runtime.engine, runtime.scope) == ()
    assert [p.state for p in costs(runtime)] == [State.VERIFIED]


def test_what_waits_is_posted_when_the_period_is_reopened(shut: Runtime) -> None:
    """Somebody who chose to wait would wait for ever."""
    pick(shut, Choice.WAIT)
    run(shut)
    row = waiting(shut)
    assert (row.choice, costs(shut)) == (Choice.WAIT, [])
    keep_periods(shut.engine, {"2026-09": False}, later(shut))
    sync.mark_touched(shut)
    run(shut)
    assert [p.state for p in costs(shut)] == [State.VERIFIED]


def test_a_correction_shows_what_would_come_to_the_books(runtime: Runtime) -> None:
    """The whole amount would be journaled by hand, although all but the difference is in the books."""
    run(runtime)
    keep_periods(runtime.engine, {"2026-09": True, "2026-11": False}, later(runtime))
    receive(runtime.engine, psa_payload("e1", 500), now=later(runtime))
    run(runtime)
    row = waiting(runtime)
    assert row.amount == Decimal("15.00")


def test_the_charge_waits_for_the_books_of_the_employer(runtime: Runtime) -> None:
    """Its date would be looked for in the periods of the entity that sells the work."""
    keep_periods(runtime.engine, {"2026-09": True, "2026-11": False}, entity="US")
    run(runtime)
    row = waiting(runtime)
    assert (row.effect_type, row.legal_entity, row.books) == (CHARGE, "UK", "US")
    with pytest.raises(ChoiceRefusedError, match="2026-10 is no period in the books of US; open are 2026-11"):
        pick(runtime, Choice.POST_TO_OPEN, dt.date(2026, 10, 1), effect_type=CHARGE)
    pick(runtime, Choice.POST_TO_OPEN, NOVEMBER, effect_type=CHARGE)
    run(runtime)
    assert waiting_effects(runtime.engine, runtime.scope) == ()


def test_the_other_side_waits_too_and_is_released_with_it(shut: Runtime) -> None:
    """Somebody would choose for the charge, whose period is open, and nothing would come of it."""
    rows = {row.effect_type: row for row in waiting_effects(shut.engine, shut.scope)}
    assert {kind: (row.books, row.own_period) for kind, row in rows.items()} == {
        COST: ("UK", True),
        CHARGE: ("US", False),
    }
    with pytest.raises(ChoiceRefusedError, match="open in the books of US: choose for the cost_transaction"):
        pick(shut, Choice.WAIT, effect_type=CHARGE)


def test_a_choice_that_cannot_be_says_why(shut: Runtime) -> None:
    """The ERP would refuse it later, or it would be about nothing, and the effect would go on waiting."""
    with pytest.raises(ChoiceRefusedError, match="2026-10 is closed in the books of UK; open are 2026-11"):
        pick(shut, Choice.POST_TO_OPEN, dt.date(2026, 10, 1))
    with pytest.raises(ChoiceRefusedError, match="2027-01 is no period in the books of UK"):
        pick(shut, Choice.POST_TO_OPEN, dt.date(2027, 1, 1))
    for choice, date in ((Choice.POST_TO_OPEN, None), (Choice.CANCEL, NOVEMBER)):
        with pytest.raises(ChoiceRefusedError, match="needs a date"):
            pick(shut, choice, date)
    with pytest.raises(ChoiceRefusedError, match="no billing_line of time_entry:clockify:e1 waits"):
        pick(shut, Choice.CANCEL, effect_type=BILLING)
    with pytest.raises(ChoiceRefusedError, match="no cost_transaction of nothing waits"):
        pick(shut, Choice.CANCEL, object_id="nothing")
    for missing in ({"reason": ""}, {"chosen_by": " "}):
        with pytest.raises(ChoiceRefusedError, match="name"):
            pick(shut, Choice.CANCEL, **missing)
    assert dirty(shut) == frozenset()
    with shut.engine.connect() as connection:
        assert {i["code"] for i in exceptions.list_items(connection, TENANT)} == {"period_closed"}


SHADOW = Rollout(steps=(RolloutStep(mode=Mode.SHADOW, legal_entity="UK"),))


@pytest.fixture
def in_shadow(runtime: Runtime) -> Runtime:
    """The UK company is in shadow, the others are off. Eight hours are planned in September, one in October."""
    rules = replace(RULES, rollout=SHADOW, cost=CostPolicy())
    runtime.scope = replace(SCOPE, rules=rules)
    receive(runtime.engine, psa_payload("e2", 60, day=dt.date(2026, 10, 2)), now=later(runtime))
    return runtime


def bill_by_hand(
    engine: Engine, *amounts: str, month: str = "2026-09", key: str | None = None, **changes: object
) -> None:
    """Lines that somebody made in the ERP, an hour for each hundred."""
    rows = [
        {
            "tenant": TENANT,
            "erp_company": "2",
            "effect_type": BILLING.value,
            "erp_id": f"{month}/{key}/{number}/{sorted(changes)}",
            "key": key,
            "service_month": month,
            "service_date": dt.date.fromisoformat(f"{month}-20"),
            "party": "70",
            "analytic": "501",
            "minutes": int(Decimal(amount) * 60 / 100),
            "amount": Decimal(amount),
            "currency": "GBP",
            "tax_amount": None,
            "document": "INV",
            "document_state": "posted",
            "document_date": None,
            "posted": True,
            "read_at": NOW,
            **changes,
        }
        for number, amount in enumerate(amounts)
    ]
    with engine.begin() as connection:
        connection.execute(insert(schema.erp_document), rows)


def state(runtime: Runtime, today: dt.date = NOVEMBER, entity: str | None = "UK") -> RolloutState:
    report = rollout_report(runtime.engine, runtime.scope, today=today, legal_entity=entity)
    (found,) = report.states
    return found


def test_the_shadow_plan_is_compared_with_what_people_billed(in_shadow: Runtime) -> None:
    """Nobody would know whether the plan is right before it posts."""
    bill_by_hand(in_shadow.engine, "300.00", "500.00")
    bill_by_hand(in_shadow.engine, "100.00", month="2026-10")
    found = state(in_shadow)
    assert [(str(r.month), r.planned, r.by_hand, r.explained_by) for r in found.compared] == [
        ("2026-09", Decimal("800.00"), Decimal("800.00"), Explanation.EQUAL),
        ("2026-10", Decimal("100.00"), Decimal("100.00"), Explanation.EQUAL),
    ]
    assert (found.mode, found.contracts, found.ready) == (Mode.SHADOW, 1, True)
    assert found.sentence == "It may go live: the plan agrees since 2026-09, last in 2026-10."
    assert found.contract_kind is ContractKind.TIME_AND_MATERIALS


def test_what_is_missing_is_said(in_shadow: Runtime) -> None:
    """A "no" without a reason would not be worked on."""
    assert "nothing has been billed by hand" in state(in_shadow).sentence
    bill_by_hand(in_shadow.engine, "800.00")
    bill_by_hand(in_shadow.engine, "150.00", month="2026-10")
    found = state(in_shadow)
    assert (found.ready, found.sentence) == (
        False,
        "Not yet: 0 of 2 consecutive months agree; apart in 2026-10: CTR-0001 by -50.00 GBP (hours).",
    )


def test_a_month_that_is_not_over_is_left_out(in_shadow: Runtime) -> None:
    """Each first of a month would undo what was ready."""
    bill_by_hand(in_shadow.engine, "800.00")
    found = state(in_shadow, today=dt.date(2026, 10, 31))
    assert [str(r.month) for r in found.compared] == ["2026-09"]


def test_only_lines_by_hand_that_stand_are_compared(in_shadow: Runtime) -> None:
    """A cancelled invoice, or a line of the sync's own, would be taken for what people billed."""
    bill_by_hand(in_shadow.engine, "800.00")
    bill_by_hand(in_shadow.engine, "999.00", document_state="cancelled")
    bill_by_hand(in_shadow.engine, "999.00", key="somebody-else-s")
    assert state(in_shadow).compared[0].by_hand == Decimal("800.00")


def test_a_line_on_no_contract_that_is_known_is_shown_and_counts_for_none(in_shadow: Runtime) -> None:
    """It would vanish, or be blamed on a contract that it is not for."""
    bill_by_hand(in_shadow.engine, "800.00")
    bill_by_hand(in_shadow.engine, "70.00", party="99", analytic=None)
    report = rollout_report(in_shadow.engine, in_shadow.scope, today=NOVEMBER)
    assert [(code, row.by_hand) for code, row in report.unassigned] == [("UK", Decimal("70.00"))]
    assert state(in_shadow).compared[0].by_hand == Decimal("800.00")


def test_shadow_posts_nothing_and_live_and_off_say_so(in_shadow: Runtime, erp: PunctualErp) -> None:
    """The month would be billed by hand and by the sync."""
    run(in_shadow)
    assert erp.documents == {}
    in_shadow.scope = SCOPE
    assert (state(in_shadow).mode, state(in_shadow).sentence) == (Mode.LIVE, "It is live.")
    off = Rollout(steps=(RolloutStep(mode=Mode.LIVE, legal_entity="US"),))
    in_shadow.scope = replace(SCOPE, rules=replace(RULES, rollout=off))
    found = state(in_shadow)
    assert (found.mode, found.ready, found.compared) == (Mode.OFF, False, ())
    assert "put it into shadow" in found.sentence
    assert rollout_report(in_shadow.engine, in_shadow.scope, today=NOVEMBER, legal_entity="DE").states == ()


def test_what_was_live_before_counts_on_neither_side(runtime: Runtime, erp: PunctualErp) -> None:
    """An entity that goes back to shadow would seem to have billed nothing of what the sync has posted itself."""
    run(runtime)
    receive(runtime.engine, psa_payload("e2", 60), now=later(runtime))
    runtime.scope = replace(SCOPE, rules=replace(RULES, rollout=SHADOW))
    bill_by_hand(runtime.engine, "100.00")
    (row,) = state(runtime).compared
    assert (row.planned, row.by_hand) == (Decimal("100.00"), Decimal("100.00"))
    assert Counter(d.effect_type for d in erp.documents.values())[BILLING] == 1


def test_holds_explain_what_the_plan_lacks(in_shadow: Runtime) -> None:
    """A missing rate would look like wrong hours."""
    keep_master(in_shadow.engine, make_master(bill_rates=()), later(in_shadow))
    bill_by_hand(in_shadow.engine, "800.00")
    row = state(in_shadow).compared[0]
    assert (row.explained_by, row.held) == (Explanation.HELD, {"no_bill_rate": 1})
    assert {p.leg for p in PgPostingStore(in_shadow.engine, TENANT).of_objects([E1])} <= {Leg.ORIGINAL}


@pytest.mark.parametrize("choice", [Choice.BY_HAND, Choice.POST_TO_OPEN])
def test_what_the_terms_have_not_any_more_can_be_chosen_for(
    clean_store: Engine, tmp_path: Path, erp: PunctualErp, choice: Choice
) -> None:
    """Revenue of a fee that is no part of the contract any more would wait for ever in the month that is closed."""
    hours = RecognitionTerms(method=Recognition.HOURS, estimate=Estimate(total_minutes=9600))
    fee = Component(code="main", kind=ContractKind.FIXED_FEE_MILESTONE, fee=money("10000.00"), recognition=hours)
    keep_master(clean_store, make_master(contracts=(contract_of(fee),)))
    receive(clean_store, psa_payload("e1", 480))
    with open_store_runtime(clean_store, tmp_path, erp) as runtime:
        sync.mark_touched(runtime)
        run(runtime)
        assert revenue(erp) == [Decimal("500.00")]
        erp.documents = {i: replace(d, document="MOVE", posted=True) for i, d in erp.documents.items()}
        with runtime.engine.begin() as connection:
            erp_documents.refresh(connection, TENANT, list(erp.documents.values()), later(runtime))
        keep_periods(clean_store, {"2026-09": True, "2026-11": False}, later(runtime))
        hourly = Component(code="main", kind=ContractKind.TIME_AND_MATERIALS)
        keep_master(clean_store, make_master(contracts=(contract_of(hourly),)), later(runtime))
        sync.mark_touched(runtime)
        run(runtime)
        (row,) = waiting_effects(clean_store, runtime.scope)
        assert (row.effect_type, row.amount) == (EffectType.REVENUE_ENTRY, Decimal("-500.00"))
        date = NOVEMBER if choice is Choice.POST_TO_OPEN else None
        pick(runtime, choice, date, object_id=row.object_id, effect_type=EffectType.REVENUE_ENTRY)
        run(runtime)
        assert waiting_effects(clean_store, runtime.scope) == ()
        assert revenue(erp) == [Decimal(f"{sign}500.00") for sign in (("", "-") if date else ("",))]


def test_a_canceled_revenue_entry_is_not_caught_up(clean_store: Engine, tmp_path: Path, erp: PunctualErp) -> None:
    """What somebody has decided not to book would come with the next month's revenue, and nobody would know why."""
    hours = RecognitionTerms(method=Recognition.HOURS, estimate=Estimate(total_minutes=9600))
    fee = Component(code="main", kind=ContractKind.FIXED_FEE_MILESTONE, fee=money("10000.00"), recognition=hours)
    keep_master(clean_store, make_master(contracts=(contract_of(fee),)))
    keep_periods(clean_store, {"2026-09": True, "2026-10": False})
    receive(clean_store, psa_payload("e1", 480), psa_payload("e2", 960, day=dt.date(2026, 10, 2)))
    with open_store_runtime(clean_store, tmp_path, erp) as runtime:
        sync.mark_touched(runtime)
        run(runtime)
        [entry] = [w for w in waiting_effects(clean_store, runtime.scope) if w.effect_type is EffectType.REVENUE_ENTRY]
        assert entry.amount == Decimal("500.00")
        pick(runtime, Choice.CANCEL, object_id=entry.object_id, effect_type=EffectType.REVENUE_ENTRY)
        run(runtime)
        october = ("UK", "2026-10")
        later(runtime)
        sync.sync_partition(runtime, october, created_by="dagster run 1")
        assert revenue(erp) == [Decimal("1000.00")], "sixteen hours of October, and none of September's eight"
        keep_periods(clean_store, {"2026-09": False, "2026-10": False}, later(runtime))
        sync.mark_touched(runtime)
        run(runtime)
        assert revenue(erp) == [Decimal("1000.00")]
        # More work in September: what is booked is all that its revenue comes to now.
        receive(clean_store, psa_payload("e1", 960), now=later(runtime))
        run(runtime)
        sync.sync_partition(runtime, october, created_by="dagster run 1")
        assert sum(revenue(erp)) == Decimal("2000.00")


def revenue(erp: PunctualErp) -> list[Decimal]:
    return [d.amount.amount for d in erp.documents.values() if d.effect_type is EffectType.REVENUE_ENTRY]
