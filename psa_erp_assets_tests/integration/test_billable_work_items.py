"""The one door: which revision counts, and that nothing gets past it."""

import datetime as dt
import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, func, select

from psa_erp_assets.adapters.store import inbox, schema, work_heads
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.decide import Decider
from psa_erp_assets.domain.master import MasterData
from psa_erp_assets.domain.money import Money
from psa_erp_assets.domain.records import ApprovalState, Contract, Expense, Milestone, TimeEntry, WorkItem
from psa_erp_assets.domain.terms import (
    Component,
    ContractKind,
    Overage,
    Recognition,
    RecognitionTerms,
    RetainerTerms,
    Terms,
)
from psa_erp_assets.domain.values import replace
from psa_erp_assets.services import billable_work_items, planning, revisions, touching
from psa_erp_assets.services.billable_work_items import (
    BillableWorkItem,
    Change,
    RevisionConflictError,
    WorkTooEarlyError,
    billable_work_item,
    create_billable_work_item,
)
from psa_erp_assets.services.contract_account import MonthNotBegunError, contract_account
from psa_erp_assets.services.revisions import EXPENSES, MILESTONES, TIME_ENTRIES, Kind
from psa_erp_assets.services.trace import NotFoundError
from psa_erp_assets.settings import REPOSITORY
from psa_erp_assets_tests.support.facts import CONTRACT, DAY, TENANT, fx_rate, make_entry, make_master, money
from psa_erp_assets_tests.support.store import NOW, SCOPE, keep_master, psa_payload, receive

SEPTEMBER, MONTH = ("UK", "2026-09"), ServiceMonth(2026, 9)
FEE = money("30000.00")
FIXED = Terms(
    components=(
        Component(code="hours", kind=ContractKind.TIME_AND_MATERIALS),
        Component(
            code="build",
            kind=ContractKind.FIXED_FEE_MILESTONE,
            projects=("PRJ-0001",),
            fee=FEE,
            recognition=RecognitionTerms(method=Recognition.MILESTONE),
        ),
    )
)
MIXED = replace(CONTRACT, kind=ContractKind.MIXED, terms=FIXED, valid_to=dt.date(2026, 12, 31))
TIME = make_entry(id="time_entry:script:t1")
EXPENSE = Expense(
    id="expense:script:x1",
    revision=1,
    state=ApprovalState.APPROVED,
    psa_user_id="u1",
    psa_project_id="p1",
    service_date=DAY,
    category="Hotel",
    receipt=money("120.50", "EUR"),
    reimbursement=money("131.07", "USD"),
    billable=True,
    description="2 nights",
    payload_id=1,
)
MILESTONE = Milestone(
    id="milestone:script:m1",
    revision=1,
    state=ApprovalState.APPROVED,
    contract_id="CTR-0001",
    component="build",
    service_date=DAY,
    amount=money("12000.00"),
    label="Design accepted",
    payload_id=1,
)
MASTER = make_master(
    fx_rates=(fx_rate("USD", "GBP", "0.75"), fx_rate("EUR", "GBP", "0.85")),
)


def of_contract(contract: Contract) -> MasterData:
    return make_master(contracts=(contract,), fx_rates=MASTER.fx_rates)


def put_in_inbox(connection: Connection, item: WorkItem) -> int:
    """Something for the item to be made of."""
    kind, source, own_id = item.id.split(":")
    body = {"revision": item.revision, "text": repr(item)}
    [stored] = inbox.record(
        connection,
        tenant=TENANT,
        source=source,
        object_type=kind,
        payloads=[inbox.Payload(object_id=own_id, body=body)],
        arrived_by="sweep",
        now=NOW,
    ) or [None]
    if stored is not None:
        return stored.inbox_id
    return int(connection.execute(select(func.max(schema.inbox.c.id))).scalar_one())


def create(engine: Engine, item: WorkItem, now: dt.datetime = NOW) -> BillableWorkItem:
    with engine.begin() as connection:
        item = replace(item, payload_id=put_in_inbox(connection, item))
        return create_billable_work_item(connection, SCOPE, item, now)


def now_known(engine: Engine, object_id: str) -> WorkItem:
    with engine.connect() as connection:
        return billable_work_items.current(connection, TENANT, [object_id])[object_id]


def rows(engine: Engine) -> int:
    """Revisions in the store, of all kinds."""
    with engine.connect() as connection:
        return sum(
            connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (schema.time_entry, schema.work_fact)
        )


@pytest.fixture
def store(clean_store: Engine) -> Engine:
    """A store with master data: a contract with time and a fixed fee by milestones."""
    keep_master(clean_store, of_contract(MIXED))
    return clean_store


@pytest.mark.parametrize(
    ("item", "amounts"),
    [
        (TIME, {("cost_transaction", "37.50", "GBP"), ("intercompany_charge", "50.00", "USD")}),
        (
            EXPENSE,
            {
                ("billing_line", "102.42", "GBP"),
                ("cost_transaction", "98.30", "GBP"),
                ("intercompany_charge", "131.07", "USD"),
            },
        ),
        (MILESTONE, {("billing_line", "12000.00", "GBP")}),
    ],
    ids=["time", "expense", "milestone"],
)
def test_each_kind_is_entered_decided_and_due(
    store: Engine, item: WorkItem, amounts: set[tuple[str, str, str]]
) -> None:
    """Work that is entered and not due would never be billed; an answer without amounts could not be checked."""
    made = create(store, item)
    assert (made.change, made.revision, made.state) == (Change.NEW, 1, "approved")
    assert (made.route.legal_entity, made.route.service_month, made.route.contract_id) == (*SEPTEMBER, "CTR-0001")
    found = {(a.effect_type, str(a.amount), a.currency) for a in made.decision.amounts}
    assert found == amounts
    assert made.decision.outcome == ("covered" if item is TIME else "post")
    assert made.decision.versions["contract"] == "CTR-0001"
    with store.connect() as connection:
        assert item.id in work_heads.dirty_objects(connection, TENANT, SEPTEMBER)
        assert connection.execute(select(func.count()).select_from(schema.posting)).scalar_one() == 0


@pytest.mark.parametrize("item", [TIME, EXPENSE, MILESTONE], ids=lambda item: item.id)
def test_the_same_again_is_the_same_revision(store: Engine, item: WorkItem) -> None:
    """A request that is repeated because its answer was lost would credit and rebill the work."""
    create(store, item)
    again = create(store, item)
    assert (again.change, again.revision, rows(store)) == (Change.UNCHANGED, 1, 1)


def test_work_that_is_planned_is_not_due_again_by_a_copy(store: Engine) -> None:
    """Every copy would make a plan of the whole contract's month."""
    create(store, MILESTONE)
    plan = planning.make_plan(store, SCOPE, SEPTEMBER, now=NOW, created_by="test")
    planning.apply_plan(store, SCOPE, plan.id, now=NOW)
    create(store, MILESTONE, NOW + dt.timedelta(minutes=1))
    with store.connect() as connection:
        assert work_heads.dirty_objects(connection, TENANT, SEPTEMBER) == frozenset()


@pytest.mark.parametrize("order", list(itertools.permutations([1, 2, 3])), ids=str)
@pytest.mark.parametrize("item", [TIME, EXPENSE], ids=lambda item: item.id)
def test_revisions_in_any_order_end_in_the_same_state(store: Engine, item: WorkItem, order: tuple[int, ...]) -> None:
    """Fault 18. Messages overtake each other; the last to arrive is not the last that was said.

    The first and the third say the same, so that comparing contents alone is not enough.
    """
    said = {1: item, 2: replace(item, state=ApprovalState.REJECTED, revision=2), 3: replace(item, revision=3)}
    for number in order:
        create(store, said[number])
    last = now_known(store, item.id)
    assert replace(last, payload_id=1) == replace(said[3], payload_id=1)
    with store.connect() as connection:
        head = work_heads.heads(connection, TENANT, [item.id])[item.id]
    assert (head.revision, head.state, head.service_month) == (3, "approved", "2026-09")


def test_an_older_revision_is_kept_and_ignored(store: Engine) -> None:
    """It would take back what the later one says; without its payload nobody could see that it came."""
    create(store, replace(TIME, revision=5, minutes=60))
    late = create(store, replace(TIME, revision=4, minutes=10))
    assert (late.change, late.revision, late.decision.minutes) == (Change.OLDER, 5, 60)
    with store.connect() as connection:
        kept = connection.execute(select(func.count()).select_from(schema.inbox)).scalar_one()
    assert (kept, rows(store)) == (2, 1)


def test_a_newer_revision_supersedes_and_moves(store: Engine) -> None:
    """Edge case 15: work that is moved to another month must become due there."""
    create(store, TIME)
    moved = create(store, replace(TIME, revision=2, service_date=dt.date(2026, 10, 2), psa_project_id="p9"))
    assert (moved.change, moved.route.service_month, moved.route.contract_id) == (Change.REVISED, "2026-10", None)
    [hold] = [h for h in moved.decision.holds if h.effect_type == "cost_transaction"]
    assert (moved.decision.outcome, hold.code) == ("hold", "unknown_project")
    assert "signed deal in the CRM" in hold.next_step


def test_two_contents_under_one_number_are_refused(store: Engine) -> None:
    """Whichever was taken, the other would be lost without a word."""
    create(store, TIME)
    with pytest.raises(RevisionConflictError, match="revision 1 of time_entry:script:t1"):
        create(store, replace(TIME, minutes=7))
    known = now_known(store, TIME.id)
    assert isinstance(known, TimeEntry)
    assert known.minutes == 50


def test_what_was_billed_by_other_means_is_not_entered(store: Engine) -> None:
    """Work from before the first month would be billed a second time."""
    with pytest.raises(WorkTooEarlyError, match="before 2026-09-01"):
        create(store, replace(TIME, service_date=dt.date(2026, 8, 31)))
    assert rows(store) == 0
    create(store, TIME)
    assert create(store, replace(TIME, revision=2, service_date=dt.date(2026, 8, 31))).change is Change.REVISED


def test_nobody_else_writes_canonical_work() -> None:
    """A second way in would have rules of its own about which revision counts."""
    writers = {
        path.relative_to(REPOSITORY).as_posix()
        for path in (REPOSITORY / "psa_erp_assets").rglob("*.py")
        if "adapters/store" not in path.as_posix() and "add_revisions(" in path.read_text(encoding="utf-8")
    }
    assert writers == {"psa_erp_assets/services/billable_work_items.py"}


def test_many_are_entered_with_one_statement_a_table(store: Engine) -> None:
    """A sweep brings a month of a hundred thousand entries; one round trip for each takes an hour."""
    statements: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        statements.append(statement)

    event.listen(store, "before_cursor_execute", note)
    try:
        receive(store, *(psa_payload(f"e{number}") for number in range(500)))
    finally:
        event.remove(store, "before_cursor_execute", note)
    # SQLAlchemy sends a thousand rows and less as one statement.
    assert sum(s.startswith("INSERT INTO ops.time_entry") for s in statements) == 1
    assert sum(s.startswith("INSERT INTO ops.work_head") for s in statements) == 1
    assert len(statements) < 40
    assert rows(store) == 500


def test_copies_at_once_are_one_revision(store: Engine) -> None:
    """Fault 17, in the service itself: two writers that look at the same time would both call theirs the first."""
    with store.begin() as connection:
        payload_id = put_in_inbox(connection, TIME)
    barrier = threading.Barrier(8)

    def one(_: int) -> Change:
        barrier.wait()
        with store.begin() as connection:
            return create_billable_work_item(connection, SCOPE, replace(TIME, payload_id=payload_id), NOW).change

    with ThreadPoolExecutor(8) as pool:
        changes = sorted(pool.map(one, range(8)))
    assert changes == [Change.NEW, *[Change.UNCHANGED] * 7]
    assert rows(store) == 1


KANTATA = {
    "story": {
        "id": "1",
        "story_type": "milestone",
        "title": "Design accepted",
        "workspace_id": "9",
        "state": "completed",
        "due_date": DAY.isoformat(),
        "fixed_fee": True,
        "billable": True,
        "budget_estimate_in_cents": 1_200_000,
        "archived": False,
        "deleted_at": None,
    },
    "workspace": {"id": "9", "title": "CTR-0001/build", "currency": "GBP", "currency_base_unit": 100},
}
CLOCKIFY_EXPENSE = {
    "id": "1",
    "user_id": "u1",
    "time_zone": "America/New_York",
    "currency": "USD",
    "deleted": False,
    "approval": {"request_id": "r1", "state": "APPROVED", "updated_at": "2026-10-01T00:00:00Z", "currency": "USD"},
    "expense": {
        "projectId": "p1",
        "categoryId": "c1",
        "category": "Hotel",
        "date": DAY.isoformat(),
        "total": 13107,
        "billable": True,
        "notes": "Receipt EUR 120.50; 2 nights",
    },
}


@pytest.mark.parametrize(
    ("kind", "payload", "item"),
    [
        (TIME_ENTRIES, psa_payload("1"), TIME),
        (EXPENSES, inbox.Payload(object_id="1", body=CLOCKIFY_EXPENSE), EXPENSE),
        (MILESTONES, inbox.Payload(object_id="1", body=KANTATA), MILESTONE),
    ],
    ids=["time", "expense", "milestone"],
)
def test_work_of_a_connector_is_decided_and_planned_alike(
    store: Engine, kind: Kind[Any], payload: inbox.Payload, item: WorkItem
) -> None:
    """Two ways to the ledger with two amounts for one piece of work."""
    with store.begin() as connection:
        received = revisions.receive(connection, kind, scope=SCOPE, payloads=[payload], arrived_by="sweep", now=NOW)
        [object_id] = received.revised
    connectors = one_plan(store, object_id)
    mine = create(store, item)
    with store.connect() as connection:
        theirs = billable_work_item(connection, SCOPE, object_id)
    assert replace(theirs.decision, object_id=item.id) == mine.decision
    assert one_plan(store, item.id) == connectors != []


def one_plan(engine: Engine, object_id: str) -> list[tuple[str, str, Money]]:
    """What the next plan does about an object."""
    plan = planning.make_plan(engine, SCOPE, SEPTEMBER, now=NOW, created_by="test")
    return sorted(
        (i.action.value, i.effect_type.value, i.effect.amount)
        for i in planning.items_of(engine, plan)
        if i.object_id == object_id and i.effect is not None
    )


def test_a_cap_cuts_the_answer_as_it_cuts_the_plan(clean_store: Engine) -> None:
    """Edge case 26: decided alone, the entry would be promised in full and billed up to the cap."""
    capped = Component(code="main", kind=ContractKind.CAPPED, cap=money("100.00"), cap_overage=Overage.WRITE_OFF)
    keep_master(
        clean_store, of_contract(replace(CONTRACT, kind=ContractKind.CAPPED, terms=Terms(components=(capped,))))
    )
    create(clean_store, replace(TIME, id="time_entry:script:t0", minutes=45))
    cut = create(clean_store, replace(TIME, minutes=60))
    assert [(p.outcome, p.minutes, p.amount) for p in cut.decision.parts] == [
        ("post", 15, Decimal("25.00")),
        ("written_off", 45, Decimal("75.00")),
    ]
    with clean_store.begin() as connection:
        touching.mark_touched(connection, SCOPE, NOW)
        account = contract_account(connection, SCOPE, "CTR-0001", MONTH, today=NOW.date())
    [main] = account.components
    assert (main.billed, main.cap, main.cap_left, account.has_totals) == (100, 100, 0, True)


def test_an_account_tells_asset_retainer_and_backlog(clean_store: Engine) -> None:
    """Finance answers auditors with these; the parts must come to the price, to the penny."""
    terms = Terms(
        components=(
            Component(
                code="build",
                kind=ContractKind.FIXED_FEE_MILESTONE,
                fee=FEE,
                recognition=RecognitionTerms(method=Recognition.STRAIGHT_LINE),
            ),
            Component(
                code="care",
                kind=ContractKind.RETAINER,
                projects=("PRJ-0002",),
                retainer=RetainerTerms(fee=money("500.00"), included_minutes=600),
            ),
        )
    )
    keep_master(clean_store, of_contract(replace(MIXED, terms=terms)))
    with clean_store.begin() as connection:
        touching.mark_touched(connection, SCOPE, NOW)
    create(clean_store, MILESTONE)
    create(clean_store, replace(MILESTONE, id="milestone:script:m2", state=ApprovalState.DRAFT))
    with clean_store.connect() as connection:
        account = contract_account(connection, SCOPE, "CTR-0001", MONTH, today=NOW.date())
        with pytest.raises(MonthNotBegunError, match="2026-11"):
            contract_account(connection, SCOPE, "CTR-0001", ServiceMonth(2026, 11), today=NOW.date())
        with pytest.raises(NotFoundError):
            contract_account(connection, SCOPE, "CTR-9999", MONTH, today=NOW.date())
    build, care = account.components
    # 30 of the term's 122 days: ASC 606-10-55-20.
    assert (build.billed, build.earned) == (Decimal("12000.00"), Decimal("7377.05"))
    assert build.earned + sum(month.amount for month in build.backlog) == FEE.amount
    assert [month.month for month in build.backlog] == ["2026-10", "2026-11", "2026-12"]
    assert [(month.month, month.minutes) for month in care.retainer_minutes] == [("2026-09", 600)]
    assert sum(month.amount for month in care.backlog) == 1500
    assert (account.contract_asset, account.contract_liability) == (0, Decimal("4622.95"))


def test_the_decision_is_that_of_the_domain(store: Engine) -> None:
    """An answer that is computed otherwise than the plan would be a promise that nobody keeps."""
    made = create(store, EXPENSE)
    decision = Decider(of_contract(MIXED), SCOPE.rules).decide(replace(EXPENSE, payload_id=1))
    assert [(a.effect_type, a.amount) for a in made.decision.amounts] == [
        (e.effect_type.value, e.amount.amount) for e in decision.effects
    ]
    assert (made.decision.reasons, dict(made.decision.versions)) == (decision.reasons, dict(decision.versions))
