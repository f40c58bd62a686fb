"""Work on exceptions in a real store: groups, assignment, retry, replay, write-off, and who may approve what."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from psa_erp_assets.adapters.store import exception_work as rows
from psa_erp_assets.adapters.store import schema, work_heads
from psa_erp_assets.adapters.store.exceptions import Sighting, open_or_touch, resolve_absent
from psa_erp_assets.adapters.store.schema_audit import audit_entry
from psa_erp_assets.adapters.store.schema_exceptions import write_off
from psa_erp_assets.domain.access import Actor, Grant, Role
from psa_erp_assets.domain.decision import Outcome
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.exception_duties import Priority
from psa_erp_assets.domain.faults import Owner
from psa_erp_assets.domain.posting import State
from psa_erp_assets.domain.values import replace
from psa_erp_assets.services import exception_work, replay, sync
from psa_erp_assets.services.deciding import decide_partition
from psa_erp_assets.services.exception_cases import Case, Wanted, case_story, list_cases, list_groups, totals
from psa_erp_assets.services.exception_work import Chosen, Work, WorkRefusedError
from psa_erp_assets.services.runtime import Runtime
from psa_erp_assets.services.trace import NotFoundError
from psa_erp_assets_tests.support.facts import TENANT, make_master
from psa_erp_assets_tests.support.punctual_erp import PunctualErp, SetClock, open_store_runtime
from psa_erp_assets_tests.support.store import SCOPE, keep_master, psa_payload, receive

SEPTEMBER = ("UK", "2026-09")
E1 = "time_entry:clockify:e1"


def actor(name: str, *roles: Role, entity: str | None = None) -> Actor:
    return Actor(id=name, name=name.title(), grants=frozenset(Grant(role, entity) for role in roles))


ADA, BOB = actor("ada", Role.OPERATOR, Role.APPROVER), actor("bob", Role.OPERATOR, Role.APPROVER)


@dataclass
class Desk:
    """A company, and somebody who works on its exceptions."""

    runtime: Runtime
    erp: PunctualErp

    @property
    def engine(self) -> Engine:
        return self.runtime.engine

    def later(self, minutes: int = 10) -> dt.datetime:
        assert isinstance(self.runtime.clock, SetClock)
        return self.runtime.clock.later(minutes)

    def work(self, who: Actor = ADA) -> Work:
        return Work(self.engine, self.runtime.scope, who, self.later())

    def run(self) -> None:
        self.later()
        sync.sync_partition(self.runtime, SEPTEMBER, created_by="dagster run 1")

    def open(self, wanted: Wanted | None = None, entities: frozenset[str] | None = None) -> list[Case]:
        with self.engine.connect() as connection:
            now = self.runtime.clock()
            return list(list_cases(connection, SCOPE, wanted or Wanted(), entities=entities, now=now))

    def see(self, *sightings: Sighting, scope: str = "plan") -> None:
        with self.engine.begin() as connection:
            open_or_touch(connection, TENANT, scope, sightings, self.later())

    def audited(self) -> list[str]:
        with self.engine.connect() as connection:
            kinds = connection.execute(select(audit_entry.c.kind).order_by(audit_entry.c.id)).scalars()
            return [kind for kind in kinds if kind.startswith("exception.")]


@pytest.fixture
def desk(clean_store: Engine, tmp_path: Path) -> Iterator[Desk]:
    """A company with an approved entry of eight hours at 100 GBP."""
    keep_master(clean_store)
    receive(clean_store, psa_payload("e1", 480))
    erp = PunctualErp()
    with open_store_runtime(clean_store, tmp_path, erp) as runtime:
        yield Desk(runtime, erp)


def missing(number: int, *, user: str = "u9", minutes: int = 60, entity: str = "UK") -> Sighting:
    return Sighting(
        code="unknown_employee",
        object_id=f"time_entry:clockify:x{number}",
        detail=f"PSA user {user} is no employee that HR knows",
        evidence={"holds": ["billing_line"], "revision": 1},
        legal_entity=entity,
        service_month="2026-09",
        minutes=minutes,
    )


def rate(number: int, day: str) -> Sighting:
    return replace(missing(number), code="no_cost_rate", detail=f"no cost rate for EMP-0001 on {day}")


def test_items_of_one_cause_are_one_group(desk: Desk) -> None:
    """Two hundred entries of one unknown person would be two hundred pieces of work."""
    desk.see(missing(1), missing(2), missing(3, user="u8"), rate(4, "2026-09-14"), rate(5, "2026-09-15"))
    with desk.engine.connect() as connection:
        groups = list_groups(connection, SCOPE, Wanted(), entities=None, now=desk.later())
    assert {(g.name, g.items, g.minutes) for g in groups} == {
        ("unknown_employee/PSA user u9 is no employee that HR knows", 2, 120),
        ("unknown_employee/PSA user u8 is no employee that HR knows", 1, 60),
        ("no_cost_rate/no cost rate for EMP-0001", 2, 120),
    }
    mapping = next(g.mapping for g in groups if "u8" in g.name)
    assert mapping is not None
    assert "u8" in mapping


def test_a_group_is_late_after_the_time_of_its_class(desk: Desk) -> None:
    """Nobody would notice what has waited too long; and what is late comes first."""
    desk.see(missing(1), rate(2, "2026-09-14"))
    desk.later(25 * 60)
    now = desk.runtime.clock()
    with desk.engine.connect() as connection:
        assert totals(connection, SCOPE, entities=None, now=now).overdue == 1
        groups = list_groups(connection, SCOPE, Wanted(), entities=None, now=now)
    assert [(g.code, g.overdue, g.priority) for g in groups] == [
        ("unknown_employee", 1, Priority.HIGH),
        ("no_cost_rate", 0, Priority.NORMAL),
    ]
    assert [c.code for c in desk.open(Wanted(overdue=True))] == ["unknown_employee"]


def test_filters_narrow_the_list(desk: Desk) -> None:
    """Whoever works through a list of somebody else's items wastes the day."""
    desk.see(missing(1), missing(2, entity="US"), rate(3, "2026-09-14"))
    first = desk.open()[0].id
    exception_work.assign(desk.work(), Chosen(ids=(first,)), "ada")
    assert len(desk.open(Wanted(legal_entity="US"))) == 1
    assert len(desk.open(Wanted(assignee="ada"))) == 1
    assert len(desk.open(Wanted(assignee=""))) == 2
    assert len(desk.open(Wanted(owner=Owner.APPLICATION_OWNERS))) == 3
    assert len(desk.open(Wanted(owner=Owner.FINANCE_OPERATIONS))) == 0
    assert len(desk.open(Wanted(search="x3"))) == 1
    assert len(desk.open(Wanted(search="100%_"))) == 0
    assert len(desk.open(entities=frozenset({"US"}))) == 1


def test_nobody_works_on_another_entitys_items(desk: Desk) -> None:
    """An operator of the UK would clear what is the US's."""
    desk.see(missing(1, entity="US"))
    (case,) = desk.open()
    with pytest.raises(NotFoundError):
        exception_work.note(desk.work(actor("eve", Role.OPERATOR, entity="UK")), Chosen(ids=(case.id,)), "mine")


def test_what_people_do_is_kept_and_audited(desk: Desk) -> None:
    """Nobody could say later who had taken an item, or why it was raised."""
    desk.see(missing(1), missing(2))
    group = desk.open()[0].group
    ids = tuple(c.id for c in desk.open())
    assert exception_work.assign(desk.work(), Chosen(group=group), "bob").items == ids
    exception_work.note(desk.work(), Chosen(ids=ids[:1]), " asked HR ")
    exception_work.prioritize(desk.work(), Chosen(ids=ids[:1]), Priority.URGENT)
    desk.see(missing(1), missing(2))
    with desk.engine.connect() as connection:
        story = case_story(connection, SCOPE, ids[0], entities=None, now=desk.runtime.clock())
    assert (story.case.assignee, story.case.priority, story.others) == ("bob", Priority.URGENT, 1)
    assert [(n.body, n.written_by) for n in story.notes] == [("asked HR", "ada")]
    assert desk.audited() == ["exception.assigned", "exception.noted", "exception.prioritized"]


@pytest.mark.parametrize("text", ["", "  ", "x" * 2_001, "a\x00b"])
def test_a_text_that_says_nothing_or_too_much_is_refused(desk: Desk, text: str) -> None:
    """An empty reason in the record explains nothing; a NUL would be an error of the database."""
    desk.see(missing(1))
    with pytest.raises(WorkRefusedError):
        exception_work.resolve(desk.work(), Chosen(group=desk.open()[0].group), text)


def test_what_is_resolved_by_hand_stays_so_until_it_comes_back(desk: Desk) -> None:
    """The next hourly look would open the item again; or a new occurrence of it would never be seen."""
    desk.see(missing(1))
    (case,) = desk.open()
    exception_work.resolve(desk.work(), Chosen(ids=(case.id,)), "known, agreed with HR")
    desk.see(missing(1))
    assert desk.open() == []
    with desk.engine.begin() as connection:
        assert resolve_absent(connection, TENANT, "plan", (), desk.later()) == 0
    desk.see(missing(1))
    assert [c.id for c in desk.open()] != [case.id]
    assert len(desk.open()) == 1


def test_what_says_something_else_opens_although_it_was_resolved_by_hand(desk: Desk) -> None:
    """A resolution of one trouble would hide another of the same code."""
    desk.see(missing(1))
    exception_work.resolve(desk.work(), Chosen(group=desk.open()[0].group), "agreed")
    desk.see(missing(1, user="u7"))
    assert [c.detail for c in desk.open()] == ["PSA user u7 is no employee that HR knows"]


def test_what_the_erp_rejected_is_tried_again(desk: Desk) -> None:
    """The cause is corrected and the posting would lie there for ever."""
    desk.erp.refuses = {EffectType.BILLING_LINE}
    desk.run()
    (case,) = desk.open()
    assert case.code == "posting_rejected"
    assert (case.amount, case.currency) == (800, "GBP")
    desk.erp.refuses.clear()
    done = exception_work.retry(desk.work(), Chosen(ids=(case.id,)), "the account is open again")
    assert done.items == (case.id,)
    assert desk.open() == []
    sync.send(desk.runtime, SEPTEMBER)
    assert {p.state for p in desk.runtime.postings.of_objects([E1])} == {State.VERIFIED}


def test_what_is_no_rejected_posting_is_not_tried_again(desk: Desk) -> None:
    """A click would send what the ledger says is on its way."""
    desk.see(missing(1))
    with pytest.raises(WorkRefusedError, match="no posting"):
        exception_work.retry(desk.work(), Chosen(group=desk.open()[0].group), "again")
    assert desk.audited() == []


def test_a_replay_shows_the_difference_and_does_what_it_showed(desk: Desk) -> None:
    """Nobody should have to find out by doing it what a replay does."""
    keep_master(desk.engine, make_master(projects=()), desk.later())
    desk.run()
    assert {c.code for c in desk.open()} == {"unknown_project"}
    keep_master(desk.engine, now=desk.later())
    seen = replay.preview(desk.work(), Chosen(group=desk.open()[0].group), "the deal is signed")
    assert seen.acting
    assert {(c.effect_type, str(c.before), str(c.after)) for c in seen.changes} >= {("billing_line", "0.00", "800.00")}
    assert desk.erp.documents == {}
    with pytest.raises(WorkRefusedError, match="no replay of yours"):
        replay.confirm(desk.work(BOB), seen.request)
    done = replay.confirm(desk.work(), seen.request)
    assert done.postings > 0
    sync.send(desk.runtime, SEPTEMBER)
    assert desk.open() == []
    assert any(d.amount.amount == 800 for d in desk.erp.documents.values())
    with pytest.raises(WorkRefusedError, match="already"):
        replay.confirm(desk.work(), seen.request)
    assert desk.audited() == ["exception.replay_asked", "exception.replayed"]


def test_a_replay_that_facts_have_overtaken_does_nothing(desk: Desk) -> None:
    """Somebody would confirm a difference that is no longer the one that was shown."""
    keep_master(desk.engine, make_master(projects=()), desk.later())
    desk.run()
    keep_master(desk.engine, now=desk.later())
    seen = replay.preview(desk.work(), Chosen(group=desk.open()[0].group), "the deal is signed")
    receive(desk.engine, psa_payload("e1", 240), now=desk.later())
    with pytest.raises(WorkRefusedError, match="changed"):
        replay.confirm(desk.work(), seen.request)
    assert desk.erp.documents == {}


def held(desk: Desk) -> Case:
    """The item of the entry, which no bill rate holds."""
    keep_master(desk.engine, make_master(bill_rates=()), desk.later())
    desk.run()
    (case,) = desk.open(Wanted(group="no_bill_rate"))
    return case


def test_a_write_off_needs_two_people(desk: Desk) -> None:
    """One person alone could give away what a customer owes."""
    case = held(desk)
    asked = exception_work.ask_write_off(desk.work(), Chosen(ids=(case.id,)), "goodwill")
    assert asked.request is not None
    for same in (ADA, replace(ADA, id="ADA")):
        with pytest.raises(WorkRefusedError, match="your own"):
            exception_work.decide(desk.work(same), asked.request, approve=True, note="fine")
    with pytest.raises(WorkRefusedError, match="asks for the same"):
        exception_work.ask_write_off(desk.work(), Chosen(ids=(case.id,)), "again")
    with desk.engine.connect() as connection:
        assert connection.execute(select(write_off)).all() == []
    request = exception_work.decide(desk.work(BOB), asked.request, approve=True, note="agreed with the partner")
    assert (request.state, request.ended_by, request.result) == ("done", "bob", {"written_off": 1, "planned_anew": 1})
    with desk.engine.connect() as connection:
        found = rows.write_offs_of(connection, TENANT, [E1])
        assert (found[E1].revision, found[E1].approved_by) == (1, "bob")
        assert work_heads.dirty_objects(connection, TENANT, SEPTEMBER) == {E1}
    with pytest.raises(WorkRefusedError, match="already"):
        exception_work.decide(desk.work(BOB), asked.request, approve=False, note="no")


def test_what_is_written_off_is_planned_as_given_up_until_it_changes(desk: Desk) -> None:
    """The same eight hours would be back on the list with the next run, or a later correction be lost."""
    asked = exception_work.ask_write_off(desk.work(), Chosen(ids=(held(desk).id,)), "goodwill")
    assert asked.request is not None
    exception_work.decide(desk.work(BOB), asked.request, approve=True, note="agreed with the partner")
    desk.run()
    assert desk.open(Wanted(group="no_bill_rate")) == []
    with desk.engine.connect() as connection:
        [decision] = decide_partition(connection, SCOPE, SEPTEMBER).decisions
    assert (decision.outcome, decision.minutes_of(Outcome.WRITTEN_OFF)) == (Outcome.WRITTEN_OFF, 480)
    assert "written off by bob: goodwill" in decision.reasons
    assert decision.effect(EffectType.COST_TRANSACTION) is not None, "what it cost is cost all the same"
    receive(desk.engine, psa_payload("e1", 600), now=desk.later())
    desk.run()
    assert len(desk.open(Wanted(group="no_bill_rate"))) == 1


def test_an_approver_of_another_entity_does_not_approve(desk: Desk) -> None:
    """The US's approver would give away what is the UK's."""
    asked = exception_work.ask_write_off(desk.work(), Chosen(ids=(held(desk).id,)), "goodwill")
    assert asked.request is not None
    other = actor("zoe", Role.APPROVER, entity="US")
    with pytest.raises(WorkRefusedError, match="may not approve"):
        exception_work.decide(desk.work(other), asked.request, approve=True, note="fine")


def test_a_rejected_write_off_changes_nothing(desk: Desk) -> None:
    """Saying no must be as good as not asking."""
    asked = exception_work.ask_write_off(desk.work(), Chosen(ids=(held(desk).id,)), "goodwill")
    assert asked.request is not None
    assert exception_work.decide(desk.work(BOB), asked.request, approve=False, note="no").state == "rejected"
    with desk.engine.connect() as connection:
        assert connection.execute(select(write_off)).all() == []


def test_work_that_changed_since_is_not_written_off(desk: Desk) -> None:
    """Fifty minutes were shown, and eight hours would be given away."""
    asked = exception_work.ask_write_off(desk.work(), Chosen(ids=(held(desk).id,)), "goodwill")
    assert asked.request is not None
    receive(desk.engine, psa_payload("e1", 600), now=desk.later())
    desk.run()
    with pytest.raises(WorkRefusedError, match="has changed"):
        exception_work.decide(desk.work(BOB), asked.request, approve=True, note="fine")


def test_what_the_erp_may_hold_is_resolved_by_two(desk: Desk) -> None:
    """One person could make a conflict with the ERP disappear from the list."""
    desk.see(replace(missing(1), code="posting_conflict", detail="amount differs"), scope="posting:billing_line")
    (case,) = desk.open()
    asked = exception_work.resolve(desk.work(), Chosen(ids=(case.id,)), "the other document is finance's")
    assert asked.items == ()
    assert asked.request is not None
    assert len(desk.open()) == 1
    exception_work.decide(desk.work(BOB), asked.request, approve=True, note="looked at both")
    assert desk.open() == []


def test_what_has_gone_from_the_erp_is_posted_again_under_a_new_key(desk: Desk) -> None:
    """Somebody deleted a draft: without a new key the work would never be billed."""
    desk.run()
    gone = next(i for i, d in desk.erp.documents.items() if d.effect_type is EffectType.BILLING_LINE)
    del desk.erp.documents[gone]
    (before,) = [p for p in desk.runtime.postings.of_objects([E1]) if p.effect_type is EffectType.BILLING_LINE]
    with desk.engine.begin() as connection:
        connection.execute(schema.erp_document.delete())
    desk.see(
        Sighting(code="document_missing", object_id=E1, detail="missing", legal_entity="UK", service_month="2026-09"),
        scope="reconciliation",
    )
    (case,) = desk.open()
    asked = exception_work.ask_new_key(desk.work(), Chosen(ids=(case.id,)), "deleted by mistake")
    assert asked.request is not None
    with pytest.raises(WorkRefusedError, match="your own"):
        exception_work.decide(desk.work(), asked.request, approve=True, note="fine")
    exception_work.decide(desk.work(BOB), asked.request, approve=True, note="looked in the ERP")
    desk.run()
    states = {p.key: p.state for p in desk.runtime.postings.of_objects([E1]) if p.effect_type is before.effect_type}
    assert states.pop(before.key) is State.REVERSED
    assert list(states.values()) == [State.VERIFIED]
    assert [d.amount.amount for d in desk.erp.documents.values() if d.effect_type is before.effect_type] == [800]


def test_what_keeps_its_key_gets_no_new_one(desk: Desk) -> None:
    """A second line would be made for what the ERP has."""
    case = held(desk)
    with pytest.raises(WorkRefusedError, match="keeps its key"):
        exception_work.ask_new_key(desk.work(), Chosen(ids=(case.id,)), "again")
