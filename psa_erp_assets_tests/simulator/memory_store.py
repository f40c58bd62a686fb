"""The ledger of postings in memory, with the meaning that `PostingStore` gives it.

Each method is atomic because nothing else runs in it: the simulator switches workers only at the engine's boundaries
and inside calls to the ERP. What a worker's crash loses is the worker; the ledger stays.
"""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

from psa_erp_assets.domain import posting as states
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.posting import (
    UNDER_WAY,
    Event,
    IllegalTransitionError,
    Lease,
    Posting,
    State,
    Transition,
)
from psa_erp_assets.domain.posting_gate import AT_WORK, promotions, waits_for_nothing
from psa_erp_assets.domain.posting_store import (
    ClaimTakenError,
    KeyReusedError,
    Promoted,
    StaleFenceError,
    Work,
)
from psa_erp_assets.domain.values import replace


class MemoryPostingStore:
    """Implements `PostingStore`; `postings`, `claims` (line and type → key) and `history` are there to be looked at."""

    def __init__(self) -> None:
        self.postings: dict[str, Posting] = {}
        self.claims: dict[tuple[str, str], str] = {}
        self.history: list[Transition] = []
        self.trouble: set[tuple[str, str]] = set()
        self._locks: set[str] = set()

    def add(self, postings: Sequence[Posting], now: dt.datetime) -> int:
        wanted = {p.key: p for p in postings}
        hashes = {k: p.payload_hash for k, p in (wanted | self.postings).items()}
        reused = {p.key for p in postings if hashes[p.key] != p.payload_hash}
        if reused:
            raise KeyReusedError(reused)
        fresh = [p for k, p in wanted.items() if k not in self.postings]
        lines = [_line(p) for p in fresh if p.source_line is not None and not p.claims_when_promoted]
        taken = {line for line, n in Counter(lines).items() if n > 1 or line in self.claims}
        if taken:
            raise ClaimTakenError({line for line, _ in taken})
        for new in fresh:
            self.postings[new.key] = new
            self.history.append(Transition(before=new, after=new, event=Event.ADDED, at=now))
            if new.source_line is not None and not new.claims_when_promoted:
                self.claims[_line(new)] = new.key
            if waits_for_nothing(new):
                self._write([states.promote(new, now)])
        there = [self.postings[k] for k in wanted if self.postings[k] not in fresh]
        gone = [p for p in there if p.state is State.CANCELLED and p.target_key is not None]
        self._write([states.revive(p, now) for p in gone])
        return len(fresh) + len(gone)

    def cancel(self, keys: Collection[str], now: dt.datetime, reason: str) -> frozenset[str]:
        return self._apply(keys, lambda p: states.cancel(p, now, reason))

    def void(self, keys: Collection[str], now: dt.datetime, reason: str) -> frozenset[str]:
        voided = self._apply(keys, lambda p: states.void(p, now, reason))
        for key in voided:
            void = self.postings[key]
            target = self.postings.get(void.target_key or "")
            if target is not None and target.state is State.REVERSED:
                self._write([states.restore(target, now, void)])
                if target.source_line is not None:
                    self.claims.setdefault(_line(target), target.key)
        return voided

    def reinstate(self, keys: Collection[str], now: dt.datetime, reason: str) -> frozenset[str]:
        back = self._apply(keys, lambda p: states.reinstate(p, now, reason))
        for key in back:
            posting = self.postings[key]
            target = self.postings.get(posting.target_key or "")
            if target is not None and target.state is State.VERIFIED:
                self._write([states.supersede(target, now, posting)])
            if posting.source_line is not None:
                self.claims.setdefault(_line(posting), key)
        return back

    def retry(self, keys: Collection[str], now: dt.datetime, reason: str) -> frozenset[str]:
        return self._apply(keys, lambda p: states.retry(p, now, reason))

    def hold(self, keys: Collection[str], now: dt.datetime, reason: str) -> frozenset[str]:
        return self._apply(keys, lambda p: states.hold(p, now, reason))

    def release(self, keys: Collection[str], now: dt.datetime, reason: str) -> frozenset[str]:
        return self._apply(keys, lambda p: states.release(p, now, reason))

    def promote(self, erp_companies: Collection[str], now: dt.datetime) -> Promoted:
        ready = cancelled = 0
        while True:
            planned = [p for p in self._of(erp_companies) if p.state is State.PLANNED]
            busy = {p.target_key for p in self.postings.values() if p.target_key and p.state in AT_WORK}
            claimed = set(self.claims)
            moves = promotions(planned, self.postings, busy_targets=busy, claimed_lines=claimed, now=now)
            self._write(moves)
            for move in moves:
                if move.event is Event.PROMOTED and move.after.claims_when_promoted:
                    self.claims[_line(move.after)] = move.after.key
            given_up = sum(m.event is Event.CANCELLED for m in moves)
            ready, cancelled = ready + len(moves) - given_up, cancelled + given_up
            if not given_up:
                return Promoted(ready, cancelled)

    def expire_leases(self, erp_companies: Collection[str], now: dt.datetime, horizon: dt.timedelta) -> int:
        overdue = [
            states.lease_expired(p, now, horizon)
            for p in self._of(erp_companies)
            if p.state in (State.IN_FLIGHT, State.RESOLVING) and p.lease_expires_at and p.lease_expires_at <= now
        ]
        self._write(overdue)
        return len(overdue)

    def claim_ready(self, work: Work, lease: Lease) -> Sequence[Posting]:
        return self._take(work, lease, states.start, State.READY)

    def claim_unresolved(self, work: Work, lease: Lease) -> Sequence[Posting]:
        return self._take(work, lease, states.start_look_up, State.AMBIGUOUS)

    def claim_unverified(self, work: Work, lease: Lease) -> Sequence[Posting]:
        return self._take(work, lease, states.start_read_back, State.CONFIRMED, State.DRIFT)

    def save(self, transitions: Sequence[Transition]) -> None:
        moving = {t.before.key: t.before for t in transitions}
        stale = [k for k, p in moving.items() if not _as_read(self.postings.get(k), p)]
        if stale:
            raise StaleFenceError(stale)
        superseded = [
            states.supersede(self.postings[t.after.target_key], t.at, t.after)
            for t in transitions
            if t.event is Event.VERIFIED and t.after.target_key is not None
        ]
        self._write([*transitions, *superseded])

    def next_due(self, erp_companies: Collection[str], effect_types: Collection[EffectType]) -> dt.datetime | None:
        moving = UNDER_WAY - {State.PLANNED}
        mine = [p for p in self._of(erp_companies) if p.state in moving and p.effect_type in effect_types]
        return min((p.lease_expires_at or p.due_at for p in mine), default=None)

    def count(self, erp_companies: Collection[str]) -> Mapping[State, int]:
        return Counter(p.state for p in self._of(erp_companies))

    @contextmanager
    def exclusive(self, name: str) -> Iterator[bool]:
        free = name not in self._locks
        self._locks.add(name)
        try:
            yield free
        finally:
            if free:
                self._locks.discard(name)

    def report_trouble(self, erp_company: str, code: str, detail: str, now: dt.datetime) -> None:
        self.trouble.add((erp_company, code))

    def trouble_over(self, erp_company: str, codes: Collection[str], now: dt.datetime) -> None:
        self.trouble -= {(erp_company, code) for code in codes}

    def _of(self, erp_companies: Collection[str]) -> list[Posting]:
        return [p for p in self.postings.values() if p.erp_company in erp_companies]

    def _take(
        self, work: Work, lease: Lease, step: Callable[[Posting, Lease], Transition], *among: State
    ) -> Sequence[Posting]:
        wanted = (work.erp_company, work.effect_type, work.operation)
        found = [
            p
            for p in self.postings.values()
            if p.state in among
            and (p.erp_company, p.effect_type, p.operation) == wanted
            and p.due_at <= lease.now
            and (p.lease_expires_at is None or p.lease_expires_at <= lease.now)
        ]
        found.sort(key=lambda p: (p.due_at, p.created_at, p.key))
        moves = [step(p, lease) for p in found[: work.limit]]
        self._write(moves)
        return [m.after for m in moves]

    def _apply(self, keys: Collection[str], step: Callable[[Posting], Transition]) -> frozenset[str]:
        moves = []
        for key in sorted(keys):
            try:
                moves.append(step(self.postings[key]))
            except (KeyError, IllegalTransitionError):
                continue
        self._write(moves)
        return frozenset(m.after.key for m in moves)

    def _write(self, moves: Sequence[Transition]) -> None:
        for move in moves:
            self.postings[move.after.key] = replace(move.after)
            self.history.append(move)
            if move.after.state in (State.CANCELLED, State.WITHDRAWN, State.REVERSED):
                line = _line(move.after)
                if self.claims.get(line) == move.after.key:
                    del self.claims[line]


def _line(posting: Posting) -> tuple[str, str]:
    return posting.object_id, posting.effect_type.value


def _as_read(found: Posting | None, read: Posting) -> bool:
    return found is not None and (found.fence, found.state) == (read.fence, read.state)
