"""The posting engine: brings planned postings into the ERP, each at most once, whatever happens on the way.

It keeps nothing that matters: all of its knowledge is in the store, written before and after each call to the ERP,
so that any point may be its last. A definite answer is acted on; everything else is looked up before anything is
sent again. Several engines may work on one ledger.
"""

import datetime as dt
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

from psa_erp_assets.domain import posting as states
from psa_erp_assets.domain.back_pressure import AdaptiveLimit
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.erp import (
    Accepted,
    Ambiguous,
    Answer,
    Command,
    Create,
    ErpClass,
    ErpClient,
    ErpDocument,
    LookUpFailedError,
    Rejected,
    Throttled,
    Withdraw,
)
from psa_erp_assets.domain.posting import ON_DOCUMENT, Event, Lease, Operation, Posting, Transition
from psa_erp_assets.domain.posting_look_up import looked_up, read_back, surplus
from psa_erp_assets.domain.posting_store import PostingStore, StaleFenceError, Work
from psa_erp_assets.services.posting_policy import CompanyPressure, EnginePolicy, EngineReport

__all__ = ["EnginePolicy", "EngineReport", "PostingEngine"]

AUTH, UNREACHABLE = "erp_auth", "erp_unreachable"
_NOTHING = dt.timedelta(0)
_IDLE = dt.timedelta(seconds=1)

# Refusals after which the ERP's own documents decide: there is already one under the key, or none to withdraw.
_TELLING = {Operation.CREATE: "posting_duplicate", Operation.WITHDRAW: "document_missing"}


def _unheard(_report: EngineReport) -> None:
    """Nobody listens."""


def _no_boundary(_name: str) -> None:
    """Nobody listens."""


class PostingEngine:
    """One worker. `worker` names it in leases and histories and must be its own.

    `clock` gives the time, aware and in UTC; `sleep` lets seconds pass.
    `on_report` is told each report when its run ends.
    `on_boundary` is called with a name of `BOUNDARIES` at each point between two effects, for tests that kill there.
    """

    def __init__(
        self,
        store: PostingStore,
        erp: ErpClient,
        clock: Callable[[], dt.datetime],
        *,
        worker: str,
        policy: EnginePolicy | None = None,
        sleep: Callable[[float], None] = time.sleep,
        on_boundary: Callable[[str], None] = _no_boundary,
        on_report: Callable[[EngineReport], None] = _unheard,
    ) -> None:
        self._store, self._erp, self._now, self._sleep = store, erp, clock, sleep
        self._worker, self._policy, self._at = worker, policy or EnginePolicy(), on_boundary
        self._tell = on_report
        self._limits: dict[tuple[str, EffectType], AdaptiveLimit] = {}
        self._resume_at: dict[str, dt.datetime] = {}
        self._answered: set[str] = set()
        self._silent: set[str] = set()
        self._throttled: Counter[str] = Counter()
        self._report = EngineReport()

    def run_until_settled(
        self,
        erp_companies: Collection[str],
        *,
        effect_types: Collection[EffectType] = tuple(EffectType),
        patience: dt.timedelta = dt.timedelta(0),
    ) -> EngineReport:
        """Work until nothing is left but what waits for a person, or for a time later than `patience` from now.

        Postings of other companies and effect types than these are left alone. A company whose credentials the ERP
        refused is left alone for the rest of the run.
        """
        self._report = EngineReport()
        self._answered.clear()
        give_up_at = self._now() + patience
        while True:
            moved = [self.step(company, effect_types) for company in sorted(erp_companies)]
            if any(moved):
                continue
            now = self._now()
            due = self._next_due(erp_companies, effect_types)
            if due is None or max(due, now + _IDLE) > give_up_at:
                break
            self._sleep(max(due - now, _IDLE).total_seconds())
        self._report.next_due = due
        self._report.states = self._store.count(erp_companies)
        self._report.pressure = {company: self._pressure(company) for company in sorted(erp_companies)}
        self._tell(self._report)
        return self._report

    def step(self, erp_company: str, effect_types: Collection[EffectType] = tuple(EffectType)) -> bool:
        """One round for one company: resolve, send, read back. Returns whether anything moved."""
        if erp_company in self._report.paused:
            return False
        before = self._report.events.total()
        self._settle_plans(erp_company)
        try:
            for effect_type in effect_types:
                with self._alone(erp_company, effect_type) as free:
                    if free:
                        self._work_on(erp_company, effect_type)
        except LookUpFailedError as error:
            self._unreachable(erp_company, str(error))
        return self._report.events.total() > before

    def _settle_plans(self, erp_company: str) -> None:
        """Bring in what other workers left behind, and let go on what has been waited for."""
        now, events = self._now(), self._report.events
        self._at("before_promote")
        events[Event.LEASE_EXPIRED] += self._store.expire_leases([erp_company], now, self._policy.horizon)
        promoted = self._store.promote([erp_company], now)
        events[Event.PROMOTED] += promoted.ready
        events[Event.CANCELLED] += promoted.cancelled
        self._at("after_promote")

    def _work_on(self, erp_company: str, effect_type: EffectType) -> None:
        for operation in (Operation.WITHDRAW, Operation.CREATE):
            # After a doubt nothing more is sent before a look-up has shown that the ERP answers.
            self._resolve(erp_company, effect_type, operation)
            self._send(erp_company, effect_type, operation)
            self._verify(erp_company, effect_type, operation)

    # Sending

    def _send(self, erp_company: str, effect_type: EffectType, operation: Operation) -> None:
        while not self._pausing(erp_company):
            limit = self._limit(erp_company, effect_type).size
            self._at("before_intent")
            work = Work(erp_company=erp_company, effect_type=effect_type, operation=operation, limit=limit)
            batch = self._store.claim_ready(work, self._lease())
            if not batch:
                return
            self._report.events[Event.STARTED] += len(batch)
            self._at("after_intent")
            if not self._attempt(batch):
                return

    def _attempt(self, batch: Sequence[Posting]) -> bool:
        """Send one batch that has been claimed. Returns whether more may be sent now."""
        self._at("before_send")
        if not self._may_call(batch):
            return False
        self._report.requests += 1
        answer = self._erp.submit([_command(p) for p in batch])
        self._at("after_answer")
        company, first = batch[0].erp_company, batch[0]
        if isinstance(answer, Rejected) and answer.code != AUTH:
            self._good_answer(company)
            return self._split(batch) if len(batch) > 1 else self._refused(first, answer)
        limit = self._limit(company, first.effect_type)
        if isinstance(answer, Accepted):
            self._good_answer(company)
            self._limits[company, first.effect_type] = limit.after_clean_window()
        elif isinstance(answer, Rejected):
            self._report.paused[company] = AUTH
            self._store.report_trouble(company, AUTH, answer.message, self._now())
        else:
            self._limits[company, first.effect_type] = limit.after_overload()
        self._save([self._outcome(p, answer) for p in batch])
        return isinstance(answer, Accepted)

    def _outcome(self, posting: Posting, answer: Answer) -> Transition:
        now, horizon = self._now(), self._policy.horizon
        if isinstance(answer, Accepted):
            erp_id = answer.erp_ids.get(posting.key)
            if erp_id is None:
                return states.become_ambiguous(posting, now, "accepted, but the answer names no document", horizon)
            return states.confirm(posting, now, erp_id)
        if isinstance(answer, Throttled):
            wait = self._policy.waits.obey(answer.retry_after)
            self._throttled[posting.erp_company] += 1
            self._resume_at[posting.erp_company] = now + wait
            return states.throttle(posting, now, wait, f"throttled; Retry-After {answer.retry_after}")
        if isinstance(answer, Ambiguous):
            return states.become_ambiguous(posting, now, answer.evidence, horizon)
        return states.throttle(posting, now, _NOTHING, f"{answer.code}: {answer.message}")

    def _split(self, batch: Sequence[Posting]) -> bool:
        """The ERP did none of it because of some of it: try each half on its own, as new attempts."""
        middle = len(batch) // 2
        for half in (batch[:middle], batch[middle:]):
            if self._pausing(half[0].erp_company):
                # Throttled or refused for credentials meanwhile. The ERP did nothing of this half either.
                self._save([states.throttle(p, self._now(), _NOTHING, "the company is paused") for p in half])
                continue
            self._at("before_split")
            lease = self._lease()
            again = [states.restart(p, lease) for p in half]
            if self._save(again):
                self._attempt([t.after for t in again])
        return not self._pausing(batch[0].erp_company)

    def _refused(self, posting: Posting, answer: Rejected) -> bool:
        now = self._now()
        if answer.code == _TELLING[posting.operation]:
            self._save([states.become_ambiguous(posting, now, answer.message, _NOTHING)])
            return False
        self._save([states.reject(posting, now, answer.code, answer.message)])
        return True

    # Looking up and reading back

    def _resolve(self, erp_company: str, effect_type: EffectType, operation: Operation) -> None:
        if self._erp.erp_class is ErpClass.NONE:
            # Nothing can be looked up, so nothing may be sent again: a person decides.
            return
        self._read(erp_company, effect_type, operation, ambiguous=True)

    def _verify(self, erp_company: str, effect_type: EffectType, operation: Operation) -> None:
        self._read(erp_company, effect_type, operation, ambiguous=False)

    def _read(self, erp_company: str, effect_type: EffectType, operation: Operation, *, ambiguous: bool) -> None:
        policy, claim = self._policy, self._store.claim_unresolved if ambiguous else self._store.claim_unverified
        work = Work(erp_company=erp_company, effect_type=effect_type, operation=operation, limit=policy.look_up_size)
        while not self._pausing(erp_company):
            claimed = claim(work, self._lease())
            if not claimed:
                return
            self._at("before_look_up" if ambiguous else "before_verify")
            try:
                found = self._look_up(erp_company, effect_type, claimed)
            except LookUpFailedError as error:
                self._save([self._no_answer(p, str(error)) for p in claimed])
                raise
            self._at("after_look_up" if ambiguous else "after_verify")
            judge = looked_up if ambiguous else read_back
            now = self._now()
            moves = [judge(p, found[p.document_key], now, policy.patience) for p in claimed]
            self._save([self._without_surplus(m, found[m.before.document_key]) for m in moves])
            self._at("after_look_up_commit" if ambiguous else "after_verify_commit")

    def _look_up(
        self, erp_company: str, effect_type: EffectType, postings: Sequence[Posting]
    ) -> Mapping[str, Sequence[ErpDocument]]:
        self._report.look_ups += 1
        found = self._erp.look_up(erp_company, effect_type, [p.document_key for p in postings])
        self._good_answer(erp_company)
        return found

    def _no_answer(self, posting: Posting, evidence: str) -> Transition:
        """Claimed for reading, and there was nothing to read. It is read again later."""
        now, wait = self._now(), self._policy.unreachable_wait
        if posting.state is states.State.RESOLVING:
            return states.look_up_failed(posting, now, wait, evidence)
        return states.read_back_failed(posting, now, wait, evidence)

    def _without_surplus(self, move: Transition, documents: Sequence[ErpDocument]) -> Transition:
        """Where an ERP lets one key make several documents, remove all but one if they are the same and drafts."""
        if move.event is not Event.DUPLICATED or self._erp.erp_class is not ErpClass.SEARCHABLE_FIELD:
            return move
        doomed = surplus(move.before, documents)
        if not doomed or not self._may_call([move.before]):
            return move
        self._at("before_surplus")
        self._report.requests += 1
        answer = self._erp.submit([_removal(move.before, document) for document in doomed])
        self._at("after_surplus")
        if isinstance(answer, Rejected) and answer.code != ON_DOCUMENT:
            return move
        evidence = f"surplus documents {', '.join(d.erp_id for d in doomed)}: {type(answer).__name__.lower()}"
        wait = _NOTHING if isinstance(answer, Accepted) else self._policy.patience.spacing
        if move.before.state is states.State.RESOLVING:
            return states.look_up_failed(move.before, self._now(), wait, evidence)
        return states.read_back_failed(move.before, self._now(), wait, evidence)

    # What all of it needs

    def _save(self, moves: Sequence[Transition]) -> bool:
        """Write outcomes. Another worker's claim in between makes them void; that worker finds out for itself."""
        self._at("before_confirm_commit")
        try:
            self._store.save(moves)
        except StaleFenceError:
            self._report.refused += len(moves)
            return False
        self._report.events.update(m.event for m in moves)
        self._at("after_confirm")
        return True

    def _lease(self) -> Lease:
        return Lease(worker=self._worker, now=self._now(), duration=self._policy.lease)

    def _may_call(self, batch: Sequence[Posting]) -> bool:
        """Whether a call that starts now ends before the lease does, however long it takes."""
        ends_at = self._now() + self._policy.request_timeout + self._policy.margin
        return all(p.lease_expires_at is not None and ends_at <= p.lease_expires_at for p in batch)

    def _limit(self, erp_company: str, effect_type: EffectType) -> AdaptiveLimit:
        full = self._policy.batch_sizes[effect_type]
        return self._limits.setdefault((erp_company, effect_type), AdaptiveLimit(size=full, ceiling=full))

    def _pausing(self, erp_company: str) -> bool:
        resume_at = self._resume_at.get(erp_company)
        return erp_company in self._report.paused or (resume_at is not None and self._now() < resume_at)

    def _pressure(self, erp_company: str) -> CompanyPressure:
        return CompanyPressure(
            limits={
                kind.value: (limit.size, limit.ceiling)
                for (company, kind), limit in self._limits.items()
                if company == erp_company
            },
            resumes_at=self._resume_at.get(erp_company),
            throttled=self._throttled[erp_company],
            answered=erp_company in self._answered,
            trouble=self._report.paused.get(erp_company, UNREACHABLE if erp_company in self._silent else None),
        )

    def _good_answer(self, erp_company: str) -> None:
        """The ERP works and knows us: what was reported about it in this run or an earlier one is over."""
        self._silent.discard(erp_company)
        if erp_company not in self._answered:
            self._answered.add(erp_company)
            self._store.trouble_over(erp_company, (AUTH, UNREACHABLE), self._now())

    def _unreachable(self, erp_company: str, evidence: str) -> None:
        self._answered.discard(erp_company)
        self._silent.add(erp_company)
        self._resume_at[erp_company] = self._now() + self._policy.unreachable_wait
        self._store.report_trouble(erp_company, UNREACHABLE, evidence, self._now())

    def _next_due(self, erp_companies: Collection[str], effect_types: Collection[EffectType]) -> dt.datetime | None:
        dues = []
        for company in erp_companies:
            due = None if company in self._report.paused else self._store.next_due([company], effect_types)
            if due is not None:
                dues.append(max(due, self._resume_at.get(company, due)))
        return min(dues, default=None)

    @contextmanager
    def _alone(self, erp_company: str, effect_type: EffectType) -> Iterator[bool]:
        """Where only a search can tell duplicates, one worker at a time."""
        if self._erp.erp_class is ErpClass.SEARCHABLE_FIELD:
            with self._store.exclusive(f"{erp_company}:{effect_type.value}") as free:
                yield free
        else:
            yield True


def _command(posting: Posting) -> Command:
    if posting.effect is not None:
        return Create(key=posting.key, effect=posting.effect)
    assert posting.target_key is not None
    assert posting.erp_id is not None
    return Withdraw(
        key=posting.key,
        target_key=posting.target_key,
        erp_id=posting.erp_id,
        erp_company=posting.erp_company,
        effect_type=posting.effect_type,
    )


def _removal(posting: Posting, document: ErpDocument) -> Withdraw:
    return Withdraw(
        key=posting.key,
        target_key=posting.key,
        erp_id=document.erp_id,
        erp_company=posting.erp_company,
        effect_type=posting.effect_type,
    )
