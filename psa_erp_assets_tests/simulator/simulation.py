"""One seed, one history: a company, its planner, several workers, a faulty ERP and its people, then calm.

What must hold at every moment is checked as it happens, what must hold in the end when nothing moves any more.
A violation is an AssertionError that names the seed; `Simulation.log` tells the history.
"""

import datetime as dt
import random
from collections import defaultdict
from collections.abc import Callable

from psa_erp_assets.domain.back_pressure import WaitBounds
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.erp import Create, ErpClass, ErpDocument
from psa_erp_assets.domain.posting import ENDED, EVER_CONFIRMED, WAITS_FOR_HUMAN, Leg, Operation, Posting, State
from psa_erp_assets.domain.posting_look_up import Patience, surplus
from psa_erp_assets.domain.reconcile import CANCELLED
from psa_erp_assets.domain.values import replace
from psa_erp_assets.services.posting_engine import PostingEngine
from psa_erp_assets.services.posting_policy import EnginePolicy
from psa_erp_assets_tests.simulator.company import COMPANIES, Company
from psa_erp_assets_tests.simulator.faulty_erp import FaultyErp
from psa_erp_assets_tests.simulator.memory_store import MemoryPostingStore
from psa_erp_assets_tests.simulator.scheduler import Crash, Scheduler

TIME_OUT, LONGEST = dt.timedelta(seconds=20), dt.timedelta(seconds=240)
POLICY = EnginePolicy(
    batch_sizes=dict.fromkeys(EffectType, 6),
    request_timeout=TIME_OUT,
    horizon=LONGEST,
    lease=dt.timedelta(seconds=60),
    margin=dt.timedelta(seconds=2),
    look_up_size=10,
    patience=Patience(
        misses_needed=2,
        attempts=6,
        spacing=dt.timedelta(seconds=10),
        resend_after=dt.timedelta(0),
        reread_after=dt.timedelta(minutes=30),
    ),
    waits=WaitBounds(
        shortest=dt.timedelta(seconds=1), longest=dt.timedelta(seconds=60), unsaid=dt.timedelta(seconds=5)
    ),
    unreachable_wait=dt.timedelta(seconds=15),
)
_WORKERS = 3
_TROUBLED_ROUNDS, _CALM_ROUNDS = 40, 80


class Simulation:
    """A history in the making.

    `engine`, `store` and `policy` can be broken ones, to show that the checks see it; `sleep_rate` makes zombies more
    frequent than the seed would.
    """

    def __init__(
        self,
        seed: int,
        *,
        engine: Callable[..., PostingEngine] = PostingEngine,
        store: MemoryPostingStore | None = None,
        policy: EnginePolicy = POLICY,
        sleep_rate: float | None = None,
    ) -> None:
        self.seed = seed
        self._rng = rng = random.Random(seed)
        self._engine, self._policy, self._sleep_rate = engine, policy, sleep_rate
        self.log: list[str] = []
        self._idle = 40.0
        self._drafts_again: set[str] = set()
        self.scheduler = Scheduler(rng, self._note)
        self.store = store or MemoryPostingStore()
        self.company = Company(rng, self._note)
        self.erp = FaultyErp(
            scheduler=self.scheduler,
            rng=rng,
            note=self._note,
            on_commit=self._check_commit,
            erp_class=rng.choice((ErpClass.EXTERNAL_ID, ErpClass.SEARCHABLE_FIELD)),
            time_out=TIME_OUT,
            longest=LONGEST,
        )

    def run(self) -> None:
        """The whole history. Raises AssertionError where a property does not hold."""
        self.scheduler.before_turn = lambda: self.erp.run_until(self.scheduler.now())
        for number in range(_WORKERS):
            self.scheduler.spawn(f"worker {number}", lambda name=f"w{number}": self._work(name))
        try:
            self._trouble()
            self._calm("the workers")
            self._check_only_people_are_waited_for()
            self._people_clear_up()
            self._calm("the workers after people have cleared up")
            self._check_history()
            self._check_outcome()
        finally:
            self.scheduler.stop()

    def story(self) -> str:
        """The history and the final ledger, for whoever has to find out why."""
        ledger = [
            f"{p.object_id} {p.effect_type} r{p.revision} {p.leg} {p.key[:6]} {p.state} erp_id={p.erp_id} "
            f"misses={p.misses} due={p.due_at:%H:%M:%S} {p.fault_code or ''}"
            for p in self.store.postings.values()
        ]
        return "\n".join([f"seed {self.seed}, {self.erp.erp_class}", *self.log, "ledger:", *ledger])

    # What happens

    def _work(self, name: str) -> None:
        generation, rng = 0, self._rng
        while True:
            generation += 1
            engine = self._engine(
                self.store,
                self.erp,
                self.scheduler.now,
                worker=f"{name}.{generation}",
                policy=self._policy,
                sleep=self.scheduler.sleep,
                on_boundary=self.scheduler.boundary,
            )
            try:
                while True:
                    engine.run_until_settled(COMPANIES, patience=dt.timedelta(seconds=rng.choice((0, 30))))
                    self.scheduler.sleep(rng.uniform(1, self._idle))
            except Crash:
                continue

    def _trouble(self) -> None:
        rng, scheduler, erp = self._rng, self.scheduler, self.erp
        erp.fault_rate = rng.choice((0.05, 0.2, 0.5))
        scheduler.crash_rate, scheduler.sleep_rate = rng.choice((0.0, 0.01, 0.04)), rng.choice((0.0, 0.005, 0.02))
        if self._sleep_rate is not None:
            scheduler.sleep_rate = self._sleep_rate
        for _ in range(_TROUBLED_ROUNDS):
            for _ in range(rng.randint(0, 2)):
                self.company.something_happens()
            if rng.random() < 0.6:
                self._plan()
            if rng.random() < 0.5:
                self._finance_works()
            if rng.random() < 0.1:
                company, month = rng.choice(COMPANIES), rng.choice((9, 10))
                erp.closed ^= {(company, 2026, month)}
                self._note(f"closed periods: {sorted(erp.closed)}")
            if rng.random() < 0.05:
                erp.revoked_until = scheduler.now() + dt.timedelta(seconds=rng.uniform(10, 200))
                self._note("the token is revoked")
            scheduler.run_for(rng.uniform(1, 120))
        erp.fault_rate = scheduler.crash_rate = scheduler.sleep_rate = 0.0
        erp.revoked_until = None
        erp.closed.clear()
        self._idle = 200.0
        self._note("faults stop")

    def _finance_works(self) -> None:
        """Finance puts a draft on an invoice or takes one off it, at any moment; posts the invoice, or cancels it, and
        may make a draft again of what it has cancelled."""
        if not self.erp.documents:
            return
        rng = self._rng
        document = self.erp.documents[rng.choice(sorted(self.erp.documents))]
        if document.document_state == CANCELLED:
            if rng.random() < 0.5:
                return
            self._drafts_again.add(document.key)
            changed = replace(document, document_state="draft")
        elif document.document is not None and rng.random() < 0.3 and self._can_be_cancelled(document):
            changed = replace(document, document_state=CANCELLED, posted=False)
        elif document.posted:
            return
        elif document.document is None:
            changed = replace(document, document=f"INV-{document.erp_id}", document_state="draft")
        elif rng.random() < 0.5:
            changed = replace(document, document=None, document_state=None)
        else:
            changed = replace(document, document_state="posted", posted=True)
        self._note(f"finance: document {document.erp_id} on {changed.document}, {changed.document_state}")
        self.erp.edit(document.erp_id, changed)

    def _can_be_cancelled(self, document: ErpDocument) -> bool:
        """Whether it is a billing line that is there once, of ours or in a credit note, credited already or not."""
        line = self.store.postings[document.key]
        return (
            line.effect_type is EffectType.BILLING_LINE
            and line.state in (State.VERIFIED, State.REVERSED)
            and sum(d.key == document.key for d in self.erp.documents.values()) == 1
        )

    def _plan(self) -> int:
        documents = self.erp.documents.values()
        taken_up = {d.key for d in documents if d.document is not None}
        cancelled = {d.key for d in documents if d.document_state == CANCELLED}
        standing = {d.key for d in documents} - cancelled
        return self.company.plan(self.store, taken_up, self.scheduler.now(), cancelled=cancelled, standing=standing)

    def _people_clear_up(self) -> None:
        """Correct what the ERP altered, delete what is there twice, and let the postings go on."""
        by_key = defaultdict(list)
        for document in list(self.erp.documents.values()):
            posting = self.store.postings[document.key]
            fixed = replace(document, amount=posting.amount, date=posting.service_date, minutes=posting.minutes)
            self.erp.edit(document.erp_id, fixed)
            by_key[document.key].append(fixed)
        for key, documents in by_key.items():
            alone = [replace(d, document=None) for d in documents]
            for document in surplus(self.store.postings[key], alone):
                self.erp.edit(document.erp_id, None)
        stuck = [p.key for p in self.store.postings.values() if p.state in (State.CONFLICT, State.DUPLICATE)]
        self.store.retry(stuck, self.scheduler.now(), "cleared up by hand")
        self._note(f"people have cleared up; {len(stuck)} postings go on")

    def _calm(self, who: str) -> None:
        """Plan and work until a plan is empty and nothing is under way."""
        for _ in range(_CALM_ROUNDS):
            self.scheduler.run_for(600)
            acted = self._plan()
            rereading = any(p.state is State.DRIFT and self._is_fixed(p) for p in self.store.postings.values())
            if not acted and not rereading and not self.erp.busy and not self._under_way():
                return
            for entry in self.company.entries.values():
                # Somebody sees the refusals and corrects the entry.
                if entry.poisoned:
                    self.company.entries[entry.id] = replace(entry, poisoned=False, revision=entry.revision + 1)
        raise AssertionError(f"seed {self.seed}: {who} do not come to rest")

    # What must hold

    def _check_commit(self, command: Create, doubled: bool) -> None:
        """The ERP is about to hold one more document."""
        posting = self.store.postings.get(command.key)
        assert posting is not None, f"seed {self.seed}: the ERP got a key that the ledger does not know"
        period = (command.effect.erp_company, command.effect.service_date.year, command.effect.service_date.month)
        assert period not in self.erp.closed, f"seed {self.seed}: posted into a closed period"
        assert command.effect == posting.effect, f"seed {self.seed}: the ERP got another effect than was planned"
        if doubled:
            return
        under_key = [d for d in self.erp.documents.values() if d.key == command.key]
        assert not under_key, f"seed {self.seed}: key {command.key} was sent again and is in the ERP twice"
        assert posting.state not in ENDED, f"seed {self.seed}: key {command.key} came back after it was {posting.state}"
        if posting.leg is Leg.ORIGINAL:
            self._check_line_is_free(posting)

    def _check_line_is_free(self, new: Posting) -> None:
        """Each older billing of the line is gone from the ERP, on a cancelled invoice, or has its reversal there.

        Finance may just have cancelled the reversal's own document, or made a draft of a cancelled one, and nobody has
        heard of it yet.
        """
        keys = {d.key for d in self.erp.documents.values() if d.document_state != CANCELLED}
        reversals = (self.store.postings[d.key] for d in self.erp.documents.values())
        reversed_keys = {p.target_key for p in reversals if p.leg is Leg.REVERSAL}
        for key in keys - reversed_keys - self._drafts_again:
            old = self.store.postings[key]
            same_line = (old.object_id, old.effect_type) == (new.object_id, new.effect_type)
            assert not (same_line and old.leg is Leg.ORIGINAL), (
                f"seed {self.seed}: {new.object_id} is billed again before {key} was taken back"
            )

    def _under_way(self) -> list[Posting]:
        """Postings that are neither at an end nor wait, themselves or through another, for a person."""
        postings = self.store.postings

        def waits(p: Posting) -> bool:
            if p.state in WAITS_FOR_HUMAN:
                return True
            others = [postings[k] for k in (p.depends_on, p.target_key) if k]
            return p.state is State.PLANNED and any(waits(other) for other in others)

        return [p for p in postings.values() if p.state not in ENDED and not waits(p)]

    def _is_fixed(self, posting: Posting) -> bool:
        documents = [d for d in self.erp.documents.values() if d.key == posting.document_key]
        if posting.operation is Operation.WITHDRAW:
            return not documents
        return [(d.amount, d.date) for d in documents] == [(posting.amount, posting.service_date)]

    def _check_only_people_are_waited_for(self) -> None:
        left = self._under_way()
        assert not left, f"seed {self.seed}: {left[0].key} is {left[0].state} though no fault is left"

    def _check_history(self) -> None:
        confirmed: set[str] = set()
        fences: dict[str, int] = defaultdict(int)
        for move in self.store.history:
            after = move.after
            assert after.fence >= fences[after.key], f"seed {self.seed}: the fence of {after.key} went back"
            fences[after.key] = after.fence
            if after.key in confirmed:
                allowed = EVER_CONFIRMED | {State.DUPLICATE}
                assert after.state in allowed, f"seed {self.seed}: {after.key} was confirmed and became {after.state}"
            if after.state in EVER_CONFIRMED:
                confirmed.add(after.key)

    def _check_outcome(self) -> None:
        """The ERP's net is what the final facts cost if they are billed directly, line by line."""
        net: dict[tuple[str, EffectType], tuple[int, int]] = defaultdict(lambda: (0, 0))
        keys = [d.key for d in self.erp.documents.values()]
        assert len(keys) == len(set(keys)), f"seed {self.seed}: a key has two documents"
        for document in self.erp.documents.values():
            if document.document_state == CANCELLED:
                continue
            posting = self.store.postings[document.key]
            line = (posting.object_id, posting.effect_type)
            minutes, cents = net[line]
            net[line] = (minutes + document.minutes, cents + document.amount.minor_units())
        wanted = {
            (entry.id, effect.effect_type): (effect.minutes, effect.amount.minor_units())
            for entry in self.company.entries.values()
            for effect in self.company.decide(entry).effects
        }
        for line in wanted.keys() | net.keys():
            held, due = net.get(line, (0, 0)), wanted.get(line, (0, 0))
            assert held == due, f"seed {self.seed}: {line} should be {due} (minutes, cents) and is {held}"
        for key, posting in self.store.postings.items():
            in_erp = key in keys
            should = posting.operation is Operation.CREATE and posting.state in (State.VERIFIED, State.REVERSED)
            assert in_erp == should, f"seed {self.seed}: {key} is {posting.state}, in the ERP: {in_erp}"

    def _note(self, text: str) -> None:
        self.log.append(f"{self.scheduler.now():%d %H:%M:%S} {text}")
