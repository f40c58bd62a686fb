"""Plans that need approval: they wait for somebody else, nothing is posted before and nothing twice after."""

import datetime as dt
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from psa_erp_assets.adapters.store import exceptions, schema
from psa_erp_assets.domain.approval import ApprovalRule
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.plan import Action
from psa_erp_assets.domain.values import replace
from psa_erp_assets.services import plan_report, plan_review, planning, sync
from psa_erp_assets.services.plan_review import ReviewRefusedError
from psa_erp_assets.services.planning import (
    Plan,
    PlanNeedsApprovalError,
    PlanNotFoundError,
    PlanOvertakenError,
)
from psa_erp_assets.services.runtime import Runtime
from psa_erp_assets_tests.support.facts import CONTRACT, PROJECT, TENANT, bill_rate, make_master, money
from psa_erp_assets_tests.support.punctual_erp import PunctualErp, SetClock, open_store_runtime
from psa_erp_assets_tests.support.store import SCOPE, keep_master, psa_payload, receive

SEPTEMBER = ("UK", "2026-09")
RUN = "dagster run 1"
# Two entries of 50 and 60 minutes at 100 GBP an hour are billed at 183.33 GBP.
ABOVE_150 = ApprovalRule(name="large", effect_type=EffectType.BILLING_LINE, above=money("150.00"))
MASTER = make_master(
    contracts=(CONTRACT, replace(CONTRACT, id="CTR-0002")),
    projects=(PROJECT, replace(PROJECT, id="PRJ-0002", code="PRJ-0002", psa_id="p2", contract_id="CTR-0002")),
    bill_rates=(bill_rate(), bill_rate(id="PRJ-0002/*", project_id="PRJ-0002")),
)


@dataclass
class Desk:
    """A company whose plans above 150 GBP wait for somebody."""

    runtime: Runtime
    erp: PunctualErp

    @property
    def engine(self) -> Engine:
        return self.runtime.engine

    @property
    def clock(self) -> SetClock:
        clock = self.runtime.clock
        assert isinstance(clock, SetClock)
        return clock

    def run(self, contracts: list[str | None] | None = None, created_by: str = RUN) -> Plan:
        """What a run does: plan, apply, send."""
        self.clock.later()
        settled = sync.sync_partition(self.runtime, SEPTEMBER, created_by=created_by, contracts=contracts)
        assert settled.plan is not None
        return settled.plan

    def review(self, plan_id: int, *, approve: bool = True, by: str = "Ada", note: str = "looks right") -> None:
        plan_review.review(
            self.engine, self.runtime.scope, plan_id, approve=approve, reviewed_by=by, note=note, now=self.clock.later()
        )

    def apply(self, plan_id: int) -> int:
        return planning.apply_plan(self.engine, self.runtime.scope, plan_id, now=self.clock.later())

    def statuses(self) -> dict[int, str]:
        with self.engine.connect() as connection:
            return {p.id: p.status for p in plan_report.list_plans(connection, TENANT)}

    def waiting(self) -> list[tuple[str, str | None, str | None, int | None]]:
        """The open items about plans that wait."""
        with self.engine.connect() as connection:
            items = exceptions.list_items(connection, TENANT, code="plan_awaits_approval")
        return [(i["object_id"], i["legal_entity"], i["service_month"], i["minutes"]) for i in items]

    def resolutions(self) -> list[str | None]:
        with self.engine.connect() as connection:
            items = exceptions.list_items(connection, TENANT, code="plan_awaits_approval", resolved=True)
        return [item["resolution"] for item in reversed(items)]

    def postings(self) -> int:
        with self.engine.connect() as connection:
            return len(connection.execute(select(schema.posting.c.key)).all())


@pytest.fixture
def desk(clean_store: Engine, tmp_path: Path) -> Iterator[Desk]:
    keep_master(clean_store, MASTER)
    receive(clean_store, psa_payload("e1"), psa_payload("e2", 60))
    erp = PunctualErp()
    with open_store_runtime(clean_store, tmp_path, erp, replace(SCOPE, approvals=(ABOVE_150,))) as runtime:
        yield Desk(runtime, erp)


def test_a_run_leaves_a_large_plan_to_somebody_and_does_not_fail(desk: Desk) -> None:
    """It would be posted unseen, or every run of the partition would fail until somebody comes."""
    plan = desk.run()
    assert plan.waits
    assert plan.approval_reasons == ("large: 183.33 GBP is above 150.00 GBP",)
    assert (desk.postings(), desk.erp.submitted) == (0, 0)
    assert desk.statuses() == {plan.id: "proposed"}
    assert desk.waiting() == [(f"plan:{plan.id}", *SEPTEMBER, 0)]


def test_what_was_not_applied_is_not_reported_as_done(desk: Desk) -> None:
    """The run's report would say that it created lines that nobody has approved."""
    settled = sync.sync_partition(desk.runtime, SEPTEMBER, created_by=RUN)
    assert settled.actions == Counter()


def test_the_same_plan_is_not_proposed_by_each_run(desk: Desk) -> None:
    """After a weekend of hourly runs there would be fifty equal plans, and nobody would know which one to approve."""
    first = desk.run()
    assert [desk.run().id for _ in range(3)] == [first.id] * 3
    assert len(desk.statuses()) == 1
    assert desk.waiting() == [(f"plan:{first.id}", *SEPTEMBER, 0)]


def test_an_approved_plan_is_applied_and_nothing_is_left_for_the_next_run(desk: Desk) -> None:
    """It would be posted a second time by the run after it."""
    plan = desk.run()
    desk.review(plan.id)
    assert desk.waiting() == []
    assert desk.resolutions() == ["approved by Ada"]
    assert desk.apply(plan.id) == 6
    sync.send(desk.runtime, SEPTEMBER)
    assert len(desk.erp.documents) == 6
    after = desk.run()
    assert (after.acting, after.waits) == (False, False)
    assert len(desk.erp.documents) == desk.postings() == 6
    assert desk.statuses()[plan.id] == "applied"


def test_a_run_applies_what_somebody_has_approved(desk: Desk) -> None:
    """It would propose the same plan again and ask for another approval."""
    plan = desk.run()
    desk.review(plan.id)
    desk.run()
    assert desk.statuses()[plan.id] == "applied"
    assert len(desk.erp.documents) == 6
    assert desk.waiting() == []
    with pytest.raises(PlanNotFoundError, match=f"plan {plan.id} is applied"):
        desk.apply(plan.id)


def test_without_approval_it_is_not_applied_by_hand_either(desk: Desk) -> None:
    """The rule would hold for runs alone."""
    plan = desk.run()
    with pytest.raises(PlanNeedsApprovalError, match=r"183\.33 GBP is above 150\.00 GBP"):
        desk.apply(plan.id)
    desk.review(plan.id, approve=False)
    with pytest.raises(PlanNotFoundError, match="rejected"):
        desk.apply(plan.id)
    assert desk.postings() == 0


def test_facts_that_move_on_overtake_what_waits(desk: Desk) -> None:
    """Somebody would approve 183.33 and 233.33 would be posted, or the first plan would wait for ever."""
    first = desk.run()
    receive(desk.engine, psa_payload("e1", 80), now=desk.clock.later())
    second = desk.run()
    assert desk.statuses() == {second.id: "proposed", first.id: "overtaken"}
    assert [item[0] for item in desk.waiting()] == [f"plan:{second.id}"]
    assert desk.resolutions() == ["overtaken by newer facts"]
    with pytest.raises(ReviewRefusedError, match="overtaken"):
        desk.review(first.id)


def test_facts_that_move_on_after_the_approval_overtake_the_plan(desk: Desk) -> None:
    """What was approved on Friday would be posted on Monday although the hours have been corrected since."""
    plan = desk.run()
    desk.review(plan.id)
    receive(desk.engine, psa_payload("e1", 80), now=desk.clock.later())
    with pytest.raises(PlanOvertakenError):
        desk.apply(plan.id)
    assert (desk.postings(), desk.statuses()) == (0, {plan.id: "overtaken"})


def test_a_run_does_not_apply_an_approved_plan_that_facts_have_overtaken(desk: Desk) -> None:
    """An approval would stand for whatever comes after it."""
    plan = desk.run()
    desk.review(plan.id)
    receive(desk.engine, psa_payload("e1", 80), now=desk.clock.later())
    after = desk.run()
    assert after.waits
    assert (desk.postings(), desk.statuses()) == (0, {after.id: "proposed", plan.id: "overtaken"})


def test_what_becomes_small_again_waits_for_nobody(desk: Desk) -> None:
    """The item would stay open although there is nothing left to approve."""
    plan = desk.run()
    receive(desk.engine, psa_payload("e2", 20), now=desk.clock.later())
    assert not desk.run().waits
    assert (desk.waiting(), desk.statuses()[plan.id]) == ([], "overtaken")
    assert len(desk.erp.documents) == 6


def test_a_rejected_plan_is_not_proposed_again_until_facts_change(desk: Desk) -> None:
    """Whoever said no would be asked the same each hour."""
    plan = desk.run()
    desk.review(plan.id, approve=False, note="rates are wrong")
    again = desk.run()
    assert (again.id, again.status, again.waits) == (plan.id, "rejected", True)
    assert (desk.waiting(), desk.postings(), desk.resolutions()) == ([], 0, ["rejected by Ada"])
    receive(desk.engine, psa_payload("e1", 80), now=desk.clock.later())
    assert desk.run().id != plan.id
    assert len(desk.waiting()) == 1


def test_a_person_can_propose_again_what_was_rejected(desk: Desk) -> None:
    """A slip of the hand could never be put right."""
    plan = desk.run()
    desk.review(plan.id, approve=False)
    again = sync.propose(desk.runtime, SEPTEMBER, created_by="Bob")
    assert again.id != plan.id
    desk.review(again.id)
    assert desk.apply(again.id) == 6


@pytest.mark.parametrize("by", ["Ada", "ada", " ADA "])
def test_whoever_made_a_plan_cannot_review_it(desk: Desk, by: str) -> None:
    """Four eyes: one person would post alone what two must see."""
    plan = sync.propose(desk.runtime, SEPTEMBER, created_by="Ada")
    for approve in (True, False):
        with pytest.raises(ReviewRefusedError, match="somebody else"):
            desk.review(plan.id, approve=approve, by=by)
    desk.review(plan.id, by="Bob")
    assert desk.statuses() == {plan.id: "approved"}


def test_only_a_proposed_plan_is_reviewed_and_with_a_name_and_a_reason(desk: Desk) -> None:
    """A posted plan could be rejected afterwards, and the record would say so."""
    plan = desk.run()
    for by, note in (("", "why"), ("Bob", "  ")):
        with pytest.raises(ReviewRefusedError, match="name"):
            desk.review(plan.id, by=by, note=note)
    desk.review(plan.id)
    for approve in (True, False):
        with pytest.raises(ReviewRefusedError, match="approved: only a proposed plan"):
            desk.review(plan.id, approve=approve, by="Bob")
    with pytest.raises(PlanNotFoundError, match="no plan 404"):
        desk.review(404)


def test_a_wider_plan_takes_the_place_of_what_waits(desk: Desk) -> None:
    """Two plans would wait about one thing, and the approval of one would overtake the other."""
    first = desk.run(["CTR-0001"])
    receive(desk.engine, psa_payload("e3", project_id="p2"), now=desk.clock.later())
    second = desk.run(["CTR-0001", "CTR-0002"])
    assert desk.statuses() == {second.id: "proposed", first.id: "overtaken"}
    assert [item[0] for item in desk.waiting()] == [f"plan:{second.id}"]


def test_another_contract_does_not_wait_for_it(desk: Desk) -> None:
    """One plan that waits would stop the whole entity, or be overtaken by work that has nothing to do with it."""
    first = desk.run(["CTR-0001"])
    receive(desk.engine, psa_payload("e3", project_id="p2"), now=desk.clock.later())
    assert not desk.run(["CTR-0002"]).waits
    assert len(desk.erp.documents) == 3
    assert desk.statuses()[first.id] == "proposed"
    desk.review(first.id)
    assert desk.apply(first.id) == 6


def test_a_plan_that_is_overtaken_by_a_narrower_run_leaves_the_queue(desk: Desk) -> None:
    """Its item would stay open until somebody approves a plan that can never be applied."""
    receive(desk.engine, psa_payload("e3", project_id="p2"), now=desk.clock.later())
    first = desk.run()
    assert first.waits
    assert not desk.run(["CTR-0002"]).waits
    assert desk.statuses()[first.id] == "overtaken"
    assert desk.waiting() == []


def test_what_the_erp_refuses_after_the_approval_does_not_loop(desk: Desk) -> None:
    """The run would plan, wait and send in circles, or ask for an approval of nothing."""
    plan = desk.run()
    desk.review(plan.id)
    desk.erp.refuses = {EffectType.BILLING_LINE}
    desk.run()
    assert desk.statuses()[plan.id] == "applied"
    assert desk.erp.submitted < 20
    again = desk.run()
    assert again.waits
    assert again.actions()["retry", "billing_line"] == 2
    assert [item[0] for item in desk.waiting()] == [f"plan:{again.id}"]
    desk.erp.refuses = set()
    desk.review(again.id)
    desk.run()
    assert len(desk.erp.documents) == 6


def report(desk: Desk, plan: Plan) -> plan_report.PlanReport:
    return plan_report.plan_report(desk.engine, desk.runtime.scope, plan.id)


def billing(found: plan_report.PlanReport) -> tuple[dict[str, int], Decimal | None, Decimal | None, Decimal | None]:
    """Items by action, and before, after and difference, of the billing lines."""
    (row,) = [row for row in found.contracts if row.effect_type == "billing_line"]
    assert (row.contract_id, row.currency) == ("CTR-0001", "GBP")
    return {a.action: a.items for a in row.actions}, row.before, row.after, row.difference


def test_the_report_says_what_there_is_and_what_there_will_be(desk: Desk) -> None:
    """Whoever approves would see what is added and not to what, or a correction as if it were new."""
    plan = desk.run()
    assert billing(report(desk, plan)) == ({"create": 2}, Decimal(0), Decimal("183.33"), Decimal("183.33"))
    desk.review(plan.id)
    desk.run()
    # 50 → 40 minutes, in a draft: withdrawn and written again.
    receive(desk.engine, psa_payload("e1", 40), now=desk.clock.later())
    draft = sync.propose(desk.runtime, SEPTEMBER, created_by="Bob")
    assert billing(report(desk, draft)) == (
        {"create": 1, "withdraw": 1},
        Decimal("183.33"),
        Decimal("166.67"),
        Decimal("-16.66"),
    )
    # The same on a posted invoice: reversed and billed again.
    desk.erp.invoice()
    invoiced = sync.propose(desk.runtime, SEPTEMBER, created_by="Bob")
    assert billing(report(desk, invoiced)) == (
        {"create": 1, "reverse": 1},
        Decimal("183.33"),
        Decimal("166.67"),
        Decimal("-16.66"),
    )
    found = report(desk, invoiced)
    assert {(r.action, r.reason) for r in found.reasons} >= {("reverse", "its content changed")}


def test_a_plan_under_way_counts_once_in_the_report(desk: Desk) -> None:
    """What is about to be sent would be missing from what there is, or be in it beside what it replaces."""
    desk.runtime.scope = SCOPE
    desk.run()
    receive(desk.engine, psa_payload("e1", 40), now=desk.clock.later())
    first = sync.propose(desk.runtime, SEPTEMBER, created_by=RUN)
    desk.apply(first.id)
    receive(desk.engine, psa_payload("e1", 20), now=desk.clock.later())
    # The line of 40 minutes was never sent: it is cancelled, while the withdrawal of the first goes on.
    actions, before, after, difference = billing(report(desk, sync.propose(desk.runtime, SEPTEMBER, created_by=RUN)))
    assert actions == {"cancel": 1, "create": 1}
    assert (before, after, difference) == (Decimal("166.67"), Decimal("133.33"), Decimal("-33.34"))
    # And back to 50 minutes: the withdrawal, which has no content of its own, is stopped as well.
    receive(desk.engine, psa_payload("e1", 50), now=desk.clock.later())
    actions, before, after, difference = billing(report(desk, sync.propose(desk.runtime, SEPTEMBER, created_by=RUN)))
    assert actions == {"cancel": 2}
    assert (before, after, difference) == (Decimal("166.67"), Decimal("183.33"), Decimal("16.66"))


def test_the_report_counts_what_is_held_and_why(desk: Desk) -> None:
    """Whoever approves would not see what is missing."""
    receive(desk.engine, psa_payload("stray", user_id="u9"), now=desk.clock.later())
    found = report(desk, desk.run())
    assert {(row.contract_id, row.effect_type, row.code, row.items) for row in found.held} == {
        ("CTR-0001", "billing_line", "unknown_employee", 1),
        ("CTR-0001", "cost_transaction", "unknown_employee", 1),
    }
    assert all(row.action != Action.HOLD for row in found.reasons)


def test_an_applied_plan_shows_what_it_did_and_no_before_that_is_gone(desk: Desk) -> None:
    """The ledger has moved on: today's sums would be shown as those of then."""
    plan = desk.run()
    desk.review(plan.id, note="as agreed")
    desk.run()
    found = report(desk, plan)
    assert billing(found) == ({"create": 2}, None, None, None)
    assert (found.plan.status, found.plan.reviewed_by, found.plan.review_note) == ("applied", "Ada", "as agreed")
    assert found.plan.applied_at is not None
    with pytest.raises(PlanNotFoundError):
        plan_report.plan_report(desk.engine, desk.runtime.scope, 404)


def test_plans_are_listed_latest_first_and_by_status(desk: Desk) -> None:
    """What waits would be lost among what is done."""
    first = desk.run()
    receive(desk.engine, psa_payload("e1", 80), now=desk.clock.later())
    second = desk.run()
    with desk.engine.connect() as connection:
        assert [p.id for p in plan_report.list_plans(connection, TENANT)] == [second.id, first.id]
        (waiting,) = plan_report.list_plans(connection, TENANT, status="proposed")
        assert [p.id for p in plan_report.list_plans(connection, TENANT, limit=1)] == [second.id]
    assert (waiting.id, waiting.items, waiting.created_by) == (second.id, 6, RUN)
    assert waiting.created_at > dt.datetime(2026, 10, 5, tzinfo=dt.UTC)
