"""The engine's decisions, one at a time, against an ERP that says what the test wants."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.erp import (
    Accepted,
    Ambiguous,
    Answer,
    Command,
    Create,
    ErpClass,
    ErpDocument,
    LookUpFailedError,
    Rejected,
    Throttled,
)
from psa_erp_assets.domain.money import Money
from psa_erp_assets.domain.posting import Event, Leg, Posting, State
from psa_erp_assets.domain.values import replace
from psa_erp_assets.services.posting_engine import PostingEngine
from psa_erp_assets.services.posting_policy import EnginePolicy, EngineReport
from psa_erp_assets_tests.simulator.memory_store import MemoryPostingStore
from psa_erp_assets_tests.support.postings import NOON, make_effect, make_posting

Script = Callable[[Sequence[Command]], Answer | None]


@dataclass
class ScriptedErp:
    """Does what it is asked, unless `script` gives another answer; `copies` is how many documents a create makes."""

    script: Script = lambda commands: None
    erp_class: ErpClass = ErpClass.EXTERNAL_ID
    copies: int = 1
    documents: dict[str, ErpDocument] = field(default_factory=dict)
    batches: list[int] = field(default_factory=list)
    deaf: bool = False

    def submit(self, commands: Sequence[Command]) -> Answer:
        self.batches.append(len(commands))
        return self.script(commands) or self.do(commands)

    def do(self, commands: Sequence[Command]) -> Answer:
        """Carry the commands out."""
        ids = {}
        for command in commands:
            if isinstance(command, Create):
                for _ in range(self.copies):
                    ids[command.key] = str(len(self.documents) + 1)
                    self.documents[ids[command.key]] = self.document(ids[command.key], command)
            else:
                self.documents.pop(command.erp_id, None)
                ids[command.key] = command.erp_id
        return Accepted(erp_ids=ids)

    def look_up(
        self, erp_company: str, effect_type: EffectType, keys: Sequence[str]
    ) -> Mapping[str, Sequence[ErpDocument]]:
        if self.deaf:
            raise LookUpFailedError("503")
        return {key: [d for d in self.documents.values() if d.key == key] for key in keys}

    @staticmethod
    def document(erp_id: str, command: Create) -> ErpDocument:
        effect = command.effect
        return ErpDocument(
            key=command.key,
            erp_id=erp_id,
            erp_company=effect.erp_company,
            effect_type=effect.effect_type,
            amount=effect.amount,
            minutes=effect.minutes,
            date=effect.service_date,
            document=None,
            document_state=None,
            posted=False,
        )


class World:
    """A ledger with so many lines, an ERP and the time."""

    def __init__(self, erp: ScriptedErp, lines: int = 1, **policy: object) -> None:
        self.erp, self.store, self.now = erp, MemoryPostingStore(), NOON
        self.lines = [make_posting(f"time_entry:test:{n}", effect=make_effect(10 + n)) for n in range(lines)]
        self.store.add(self.lines, NOON)
        self.engine = PostingEngine(
            self.store, erp, lambda: self.now, worker="w", policy=EnginePolicy(**policy), sleep=self._sleep
        )

    def _sleep(self, seconds: float) -> None:
        self.now += dt.timedelta(seconds=seconds)

    def run(self, patience: float = 0) -> EngineReport:
        return self.engine.run_until_settled(["1"], patience=dt.timedelta(seconds=patience))

    def state(self, line: int = 0) -> Posting:
        return self.store.postings[self.lines[line].key]


def first_time(answer: Answer, *, done: bool, erp: ScriptedErp) -> Script:
    """Give `answer` to the first request, which the ERP has carried out or not."""
    seen: list[int] = []

    def script(commands: Sequence[Command]) -> Answer | None:
        seen.append(len(commands))
        if len(seen) > 1:
            return None
        if done:
            erp.do(commands)
        return answer

    return script


def test_one_bad_line_does_not_hold_up_its_batch() -> None:
    """An all-or-nothing request fails as a whole; the good lines must still be billed, each with its own outcome."""
    erp = ScriptedErp()
    world = World(erp, lines=9)
    bad = world.lines[4].key
    erp.script = lambda commands: (
        Rejected(code="posting_rejected", message="no such party") if any(c.key == bad for c in commands) else None
    )
    report = world.run()
    assert report.states == {State.VERIFIED: 8, State.REJECTED: 1}
    assert world.state(4).fault_detail == "no such party"
    assert erp.batches[0] == 9
    assert len(erp.batches) <= 9, "found by halving, not line by line"
    assert report.waiting_for_human == 1
    assert report.next_due is None


def test_a_lost_answer_is_adopted_and_nothing_is_sent_again() -> None:
    """The create was done; sending it again would bill twice."""
    erp = ScriptedErp()
    erp.script = first_time(Ambiguous(evidence="reset"), done=True, erp=erp)
    world = World(erp, lines=3)
    report = world.run()
    assert report.states == {State.VERIFIED: 3}
    assert erp.batches == [3]
    assert len(erp.documents) == 3


def test_absence_is_believed_only_after_the_horizon_and_two_spaced_misses() -> None:
    """The call may still be running in the ERP: what is not there yet may come."""
    erp = ScriptedErp()
    erp.script = first_time(Ambiguous(evidence="time-out"), done=False, erp=erp)
    world = World(erp)
    report = world.run()
    assert report.states == {State.AMBIGUOUS: 1}
    assert report.next_due == NOON + dt.timedelta(seconds=120)
    assert world.run(patience=300).states == {State.VERIFIED: 1}
    at = {m.event: m.at - NOON for m in world.store.history}
    assert at[Event.FOUND_ABSENT] == dt.timedelta(seconds=135)
    assert [m.detail["counts"] for m in world.store.history if m.event is Event.MISSED] == [False, True]
    assert erp.batches == [1, 1]
    assert world.state().attempts == 2


def test_a_line_that_never_gets_an_answer_is_given_to_a_person() -> None:
    """Else it would be sent for ever."""
    world = World(ScriptedErp(script=lambda commands: Ambiguous(evidence="500")))
    report = world.run(patience=7200)
    assert report.states == {State.REJECTED: 1}
    assert world.state().attempts == EnginePolicy().patience.attempts


def test_a_throttled_batch_waits_as_long_as_bounds_allow_and_comes_back_smaller() -> None:
    """Obeyed, but not for a year; and the ERP gets less at a time until it copes again."""
    erp = ScriptedErp()
    erp.script = first_time(Throttled(retry_after=1e9), done=False, erp=erp)
    world = World(erp, lines=8, batch_sizes=dict.fromkeys(EffectType, 8))
    report = world.run()
    assert report.states == {State.READY: 8}
    assert report.next_due == NOON + dt.timedelta(minutes=5)
    assert world.state().attempts == 0
    assert world.run(patience=300).states == {State.VERIFIED: 8}
    assert erp.batches == [8, 4, 4]


def test_refused_credentials_pause_the_company_and_cost_no_attempt() -> None:
    """A revoked token is nobody's line's fault; when it is renewed, everything goes on by itself."""
    erp = ScriptedErp(script=lambda commands: Rejected(code="erp_auth", message="401"))
    world = World(erp, lines=5, batch_sizes=dict.fromkeys(EffectType, 2))
    report = world.run(patience=600)
    assert (report.paused, erp.batches) == ({"1": "erp_auth"}, [2])
    assert world.store.trouble == {("1", "erp_auth")}
    assert {p.attempts for p in world.store.postings.values()} == {0}
    erp.script = lambda commands: None
    assert world.run().states == {State.VERIFIED: 5}
    assert world.store.trouble == set()


def test_an_erp_that_cannot_be_read_is_left_alone_and_reported() -> None:
    """A failed read is not an empty read: nothing may be concluded from it."""
    erp = ScriptedErp(deaf=True)
    erp.script = first_time(Ambiguous(evidence="reset"), done=True, erp=erp)
    world = World(erp)
    assert world.run().states == {State.AMBIGUOUS: 1}
    assert world.store.trouble == {("1", "erp_unreachable")}
    erp.deaf = False
    assert world.run(patience=60).states == {State.VERIFIED: 1}
    assert world.store.trouble == set()


def test_without_any_way_to_look_up_nothing_is_sent_again() -> None:
    """Of two possible mistakes, twice billed is the worse: a person decides."""
    world = World(ScriptedErp(lambda commands: Ambiguous(evidence="reset"), ErpClass.NONE))
    assert world.run().states == {State.AMBIGUOUS: 1}
    assert world.run(patience=3600).states == {State.AMBIGUOUS: 1}
    assert world.erp.batches == [1]


@pytest.mark.parametrize("answered", [True, False])
def test_surplus_drafts_are_removed_where_one_key_can_make_two(answered: bool) -> None:
    """A proxy that repeats a request makes two lines; the customer must see one."""
    erp = ScriptedErp(erp_class=ErpClass.SEARCHABLE_FIELD, copies=2)
    if not answered:
        erp.script = first_time(Ambiguous(evidence="reset"), done=True, erp=erp)
    world = World(erp)
    assert world.run().states == {State.VERIFIED: 1}
    assert list(erp.documents) == [world.state().erp_id]


def test_two_documents_on_invoices_are_left_to_a_person() -> None:
    """The sync may remove a draft of its own, never what finance has put on an invoice."""
    erp = ScriptedErp(erp_class=ErpClass.SEARCHABLE_FIELD, copies=2)

    def script(commands: Sequence[Command]) -> Answer:
        answer = erp.do(commands)
        erp.documents = {k: replace(d, document=f"INV-{k}") for k, d in erp.documents.items()}
        return answer

    erp.script = script
    world = World(erp)
    assert world.run().states == {State.DUPLICATE: 1}
    assert len(erp.documents) == 2


def test_what_the_erp_altered_is_drift_until_somebody_puts_it_right() -> None:
    """A rounded amount or shifted date would quietly make the books differ from the work."""
    erp = ScriptedErp()
    world = World(erp)

    def alter(by: int) -> None:
        for key, d in erp.documents.items():
            erp.documents[key] = replace(d, amount=d.amount + Money.from_minor_units(by, d.amount.currency))

    def script(commands: Sequence[Command]) -> Answer:
        answer = erp.do(commands)
        alter(1)
        return answer

    erp.script = script
    assert world.run().states == {State.DRIFT: 1}
    assert "amount" in (world.state().fault_detail or "")
    alter(-1)
    world.now += dt.timedelta(hours=2)
    assert world.run().states == {State.VERIFIED: 1}


def test_a_document_with_other_content_under_our_key_is_a_conflict() -> None:
    """Adopting it would take somebody else's amount for ours."""
    erp = ScriptedErp()
    world = World(erp)

    def script(commands: Sequence[Command]) -> Answer:
        erp.do([replace(c, effect=make_effect(999)) for c in commands if isinstance(c, Create)])
        return Ambiguous(evidence="reset")

    erp.script = script
    assert world.run().states == {State.CONFLICT: 1}


def test_a_draft_that_finance_takes_up_in_that_moment_is_not_withdrawn() -> None:
    """The ERP's refusal is final for the withdrawal; the planner makes a reversal of it."""
    erp = ScriptedErp()
    world = World(erp)
    world.run()
    back = make_posting(leg=Leg.WITHDRAWAL, target=world.lines[0])
    rebill = make_posting("time_entry:test:0", revision=2, depends_on=back)
    world.store.add([back, rebill], world.now)
    erp.script = lambda commands: Rejected(code="on_document", message="on INV-1")
    report = world.run()
    assert report.states == {State.VERIFIED: 1, State.REJECTED: 1, State.CANCELLED: 1}
    assert world.store.claims[("time_entry:test:0", "billing_line")] == world.lines[0].key


def test_a_withdrawal_whose_answer_is_lost_is_done_when_the_draft_is_gone() -> None:
    """Absence is its success; sending it again would meet nothing, sending nothing would leave it open."""
    erp = ScriptedErp()
    world = World(erp)
    world.run()
    world.store.add([make_posting(leg=Leg.WITHDRAWAL, target=world.lines[0])], world.now)
    erp.batches.clear()
    erp.script = first_time(Ambiguous(evidence="reset"), done=True, erp=erp)
    assert world.run().states == {State.WITHDRAWN: 1, State.VERIFIED: 1}
    assert erp.batches == [1]
    assert world.store.claims == {}


def test_only_the_asked_effect_types_are_sent() -> None:
    """A job for costs must not send invoices' lines."""
    world = World(ScriptedErp())
    report = world.engine.run_until_settled(["1"], effect_types=[EffectType.COST_TRANSACTION])
    assert report.states == {State.READY: 1}
    assert world.erp.batches == []


def test_a_policy_under_which_two_workers_could_send_one_posting_is_refused() -> None:
    """A call that may outlive its lease is a call that another worker repeats."""
    with pytest.raises(ValueError, match="lease"):
        EnginePolicy(request_timeout=dt.timedelta(seconds=180))
    with pytest.raises(ValueError, match="two"):
        EnginePolicy(patience=replace(EnginePolicy().patience, misses_needed=1))
