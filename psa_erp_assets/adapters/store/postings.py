"""The ledger of postings in PostgreSQL: `PostingStore` on the tables posting, posting_claim and posting_event.

Postings travel by the hundred: each statement takes or gives a whole batch, as one JSON parameter where it writes.
Rows are locked in the order of their keys, so that two writers wait for each other and never deadlock.
"""

import datetime as dt
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    Row,
    Select,
    Text,
    bindparam,
    column,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import IntegrityError

from psa_erp_assets.adapters.store import exceptions
from psa_erp_assets.adapters.store.conditions import among
from psa_erp_assets.adapters.store.schema import posting, posting_claim, posting_event
from psa_erp_assets.domain import posting as states
from psa_erp_assets.domain.effects import EffectType, from_payload
from psa_erp_assets.domain.faults import FAULTS
from psa_erp_assets.domain.money import Money
from psa_erp_assets.domain.posting import (
    TRANSITIONS,
    UNDER_WAY,
    Event,
    IllegalTransitionError,
    Lease,
    Leg,
    Operation,
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

_STATE_COLUMNS = (
    "state",
    "state_since",
    "due_at",
    "fence",
    "attempts",
    "worker",
    "lease_expires_at",
    "look_up_from",
    "misses",
    "erp_id",
    "fault_code",
    "fault_detail",
)
_VOIDABLE = TRANSITIONS[Event.SUPERSEDED].keys()
_EVENT_COLUMNS = ("key", "event", "from_state", "to_state", "fence", "worker", "detail", "at")


class PgPostingStore:
    """The postings of one tenant. Safe to share between threads; each method is a transaction of its own.

    `add`, `cancel`, `retry`, `hold` and `release` also work in the caller's transaction when they get its
    `connection`, so that a plan and its postings are stored together; a refusal then undoes their own part alone.
    """

    def __init__(self, engine: Engine, tenant: str) -> None:
        self._engine, self._tenant = engine, tenant

    def add(self, postings: Sequence[Posting], now: dt.datetime, *, connection: Connection | None = None) -> int:
        """See `PostingStore.add`."""
        wanted = {p.key: p for p in postings}
        _refuse_two_payloads(postings, wanted)
        try:
            with self._transaction(connection) as transaction:
                return self._add(transaction, wanted, now)
        except KeyReusedError as error:
            self._report_reuse([wanted[key] for key in sorted(error.keys)], now)
            raise

    def cancel(
        self, keys: Collection[str], now: dt.datetime, reason: str, *, connection: Connection | None = None
    ) -> frozenset[str]:
        """See `PostingStore.cancel`."""
        return self._apply(keys, lambda p: states.cancel(p, now, reason), connection)

    def retry(
        self, keys: Collection[str], now: dt.datetime, reason: str, *, connection: Connection | None = None
    ) -> frozenset[str]:
        """See `PostingStore.retry`."""
        return self._apply(keys, lambda p: states.retry(p, now, reason), connection)

    def void(
        self, keys: Collection[str], now: dt.datetime, reason: str, *, connection: Connection | None = None
    ) -> frozenset[str]:
        """Those whose document the ERP has cancelled are reversed by that; returns their keys.

        What one of them took back counts again, and claims its line again unless another posting has it by now.
        """
        with self._transaction(connection) as transaction:
            found = self._lock(transaction, keys)
            targets = {p.key: p for p in self._lock(transaction, {p.target_key for p in found if p.target_key})}
            voided = [states.void(p, now, reason) for p in found if p.state in _VOIDABLE]
            restored = [
                states.restore(target, now, move.after)
                for move in voided
                if (target := targets.get(move.after.target_key or "")) is not None and target.state is State.REVERSED
            ]
            self._write(transaction, [*voided, *restored])
            if restored:
                self._reclaim(transaction, [m.after for m in restored])
        return frozenset(m.after.key for m in voided)

    def reinstate(
        self, keys: Collection[str], now: dt.datetime, reason: str, *, connection: Connection | None = None
    ) -> frozenset[str]:
        """Those whose cancelled document is a draft again count again; returns their keys.

        Each takes back again what it took back before, or else claims its line again unless another posting has it.
        """
        with self._transaction(connection) as transaction:
            found = self._lock(transaction, keys)
            targets = {p.key: p for p in self._lock(transaction, {p.target_key for p in found if p.target_key})}
            back = [states.reinstate(p, now, reason) for p in found if p.state is State.REVERSED]
            taken_back = {
                target.key: states.supersede(target, now, move.after)
                for move in back
                if (target := targets.get(move.after.target_key or "")) is not None and target.state is State.VERIFIED
            }
            self._write(transaction, [*back, *taken_back.values()])
            if back:
                self._reclaim(transaction, [m.after for m in back])
        return frozenset(m.after.key for m in back)

    def hold(
        self, keys: Collection[str], now: dt.datetime, reason: str, *, connection: Connection | None = None
    ) -> frozenset[str]:
        """See `PostingStore.hold`."""
        return self._apply(keys, lambda p: states.hold(p, now, reason), connection)

    def release(
        self, keys: Collection[str], now: dt.datetime, reason: str, *, connection: Connection | None = None
    ) -> frozenset[str]:
        """See `PostingStore.release`."""
        return self._apply(keys, lambda p: states.release(p, now, reason), connection)

    def promote(self, erp_companies: Collection[str], now: dt.datetime) -> Promoted:
        """See `PostingStore.promote`."""
        ready = cancelled = 0
        while True:
            try:
                with self._engine.begin() as connection:
                    moves = self._promotions(connection, erp_companies, now)
                    self._write(connection, moves)
                    self._claim(connection, [m.after for m in moves if _claims(m)], now)
            except ClaimTakenError:
                # Another worker promoted a posting of the same line just now; this one goes on waiting.
                return Promoted(ready, cancelled)
            given_up = sum(m.event is Event.CANCELLED for m in moves)
            ready, cancelled = ready + len(moves) - given_up, cancelled + given_up
            # What depended on a cancelled one can be given up only now.
            if not given_up:
                return Promoted(ready, cancelled)

    def expire_leases(self, erp_companies: Collection[str], now: dt.datetime, horizon: dt.timedelta) -> int:
        """See `PostingStore.expire_leases`."""
        table = posting.c
        overdue = self._select(State.IN_FLIGHT, State.RESOLVING).where(
            among(table.erp_company, erp_companies), table.lease_expires_at <= now
        )
        with self._engine.begin() as connection:
            found = _load(connection, overdue.with_for_update(skip_locked=True))
            self._write(connection, [states.lease_expired(p, now, horizon) for p in found])
        return len(found)

    def claim_ready(self, work: Work, lease: Lease) -> Sequence[Posting]:
        """See `PostingStore.claim_ready`."""
        return self._take(work, lease, states.start, State.READY)

    def claim_unresolved(self, work: Work, lease: Lease) -> Sequence[Posting]:
        """See `PostingStore.claim_unresolved`."""
        return self._take(work, lease, states.start_look_up, State.AMBIGUOUS)

    def claim_unverified(self, work: Work, lease: Lease) -> Sequence[Posting]:
        """See `PostingStore.claim_unverified`."""
        return self._take(work, lease, states.start_read_back, State.CONFIRMED, State.DRIFT)

    def save(self, transitions: Sequence[Transition]) -> None:
        """See `PostingStore.save`."""
        if not transitions:
            return
        with self._engine.begin() as connection:
            table = posting.c
            moving = {t.before.key: t.before for t in transitions}
            # Targets are locked with the postings, in one order of keys, and not after them.
            ends = {t.after.target_key: t for t in transitions if t.event is Event.VERIFIED and t.after.target_key}
            mine = table.tenant == self._tenant
            locked = select(table.key, table.fence, table.state).where(mine, among(table.key, {*moving, *ends}))
            rows = connection.execute(locked.order_by(table.key).with_for_update())
            found = {key: (fence, state) for key, fence, state in rows}
            stale = [k for k, p in moving.items() if found.get(k) != (p.fence, p.state.value)]
            if stale:
                raise StaleFenceError(stale)
            superseded = [states.supersede(p, ends[p.key].at, ends[p.key].after) for p in self._lock(connection, ends)]
            self._write(connection, [*transitions, *superseded])

    def next_due(self, erp_companies: Collection[str], effect_types: Collection[EffectType]) -> dt.datetime | None:
        """See `PostingStore.next_due`."""
        table = posting.c
        moving = UNDER_WAY - {State.PLANNED}
        statement = select(func.min(func.coalesce(table.lease_expires_at, table.due_at))).where(
            table.tenant == self._tenant,
            among(table.erp_company, erp_companies),
            among(table.effect_type, effect_types),
            among(table.state, moving),
        )
        with self._engine.connect() as connection:
            due: dt.datetime | None = connection.execute(statement).scalar_one()
        return due

    def count(self, erp_companies: Collection[str]) -> Mapping[State, int]:
        """See `PostingStore.count`."""
        table = posting.c
        statement = (
            select(table.state, func.count())
            .where(table.tenant == self._tenant, among(table.erp_company, erp_companies))
            .group_by(table.state)
        )
        with self._engine.connect() as connection:
            return {State(state): number for state, number in connection.execute(statement)}

    def of_objects(self, object_ids: Collection[str], *, connection: Connection | None = None) -> Sequence[Posting]:
        """All postings of these objects, in the order in which they were planned."""
        table = posting.c
        statement = (
            select(posting)
            .where(table.tenant == self._tenant, among(table.object_id, object_ids))
            .order_by(table.object_id, table.effect_type, table.revision, table.created_at, table.key)
        )
        with self._transaction(connection) as transaction:
            return _load(transaction, statement)

    def of_contract_month(
        self, contract_id: str, service_month: str, *, connection: Connection | None = None
    ) -> Sequence[Posting]:
        """The postings of a contract's own objects in a month, in the order of `of_objects`."""
        table = posting.c
        statement = (
            select(posting)
            .where(
                table.tenant == self._tenant,
                table.service_month == service_month,
                table.object_id.startswith(f"contract:{contract_id}:", autoescape=True),
            )
            .order_by(table.object_id, table.effect_type, table.revision, table.created_at, table.key)
        )
        with self._transaction(connection) as transaction:
            return _load(transaction, statement)

    def companies_of(self, partition: tuple[str, str]) -> frozenset[str]:
        """The ERP companies that postings of a legal entity's service month are still under way to."""
        table = posting.c
        legal_entity, service_month = partition
        statement = (
            select(table.erp_company)
            .where(
                table.tenant == self._tenant,
                table.legal_entity == legal_entity,
                table.service_month == service_month,
                among(table.state, UNDER_WAY),
            )
            .distinct()
        )
        with self._engine.connect() as connection:
            return frozenset(connection.execute(statement).scalars())

    @contextmanager
    def exclusive(self, name: str) -> Iterator[bool]:
        """See `PostingStore.exclusive`. A session's advisory lock: it is free as soon as its holder's session ends."""
        lock = func.hashtextextended(literal(f"posting:{self._tenant}:{name}", Text), 0)
        # Autocommit: the lock is the session's, and no transaction stays open while the ERP is called.
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            free = bool(connection.execute(select(func.pg_try_advisory_lock(lock))).scalar_one())
            try:
                yield free
            finally:
                if free:
                    connection.execute(select(func.pg_advisory_unlock(lock)))

    def report_trouble(self, erp_company: str, code: str, detail: str, now: dt.datetime) -> None:
        """See `PostingStore.report_trouble`."""
        sighting = exceptions.Sighting(code=code, object_id=f"erp_company:{erp_company}", detail=detail)
        with self._engine.begin() as connection:
            exceptions.open_or_touch(connection, self._tenant, f"erp:{code}", [sighting], now)

    def trouble_over(self, erp_company: str, codes: Collection[str], now: dt.datetime) -> None:
        """See `PostingStore.trouble_over`."""
        with self._engine.begin() as connection:
            for code in codes:
                exceptions.resolve_absent(
                    connection, self._tenant, f"erp:{code}", (), now, looked_at=[f"erp_company:{erp_company}"]
                )

    @contextmanager
    def _transaction(self, connection: Connection | None) -> Iterator[Connection]:
        if connection is None:
            with self._engine.begin() as own:
                yield own
        else:
            with connection.begin_nested():
                yield connection

    def _select(self, *states: State) -> Select[Any]:
        return select(posting).where(posting.c.tenant == self._tenant, among(posting.c.state, states))

    def _add(self, connection: Connection, wanted: Mapping[str, Posting], now: dt.datetime) -> int:
        moves = [_added(p, now) for p in wanted.values()]
        rows = _records([_new_row(m[-1].after) for m in moves], posting.columns.keys())
        # The recordset is a lateral source; its order keeps two writers of the same keys from deadlocking.
        statement = upsert(posting).from_select(list(rows.c.keys()), select(rows).order_by(rows.c.key))
        created = set(
            connection.execute(statement.on_conflict_do_nothing(index_elements=["key"]).returning(posting.c.key))
            .scalars()
            .all()
        )
        there = {p.key: p for p in self._lock(connection, wanted.keys() - created)}
        reused = [k for k, p in there.items() if p.payload_hash != wanted[k].payload_hash]
        if reused:
            raise KeyReusedError(reused)
        fresh = [m for m in moves if m[-1].after.key in created]
        self._record(connection, [step for steps in fresh for step in steps])
        self._claim(connection, [m[-1].after for m in fresh if not m[-1].after.claims_when_promoted], now)
        gone = [p for p in there.values() if p.state is State.CANCELLED and p.target_key is not None]
        self._write(connection, [states.revive(p, now) for p in gone])
        return len(created) + len(gone)

    def _claim(self, connection: Connection, claimants: Sequence[Posting], now: dt.datetime) -> None:
        rows = [
            {
                "key": p.key,
                "tenant": p.tenant,
                "source_line": p.source_line,
                "effect_type": p.effect_type.value,
                "claimed_at": now,
            }
            for p in sorted(claimants, key=lambda p: p.key)
            if p.source_line is not None
        ]
        if not rows:
            return
        source = _records(rows, ("key", "tenant", "source_line", "effect_type", "claimed_at"), table=posting_claim)
        statement = upsert(posting_claim).from_select(list(source.c.keys()), select(source))
        taken = connection.execute(statement.on_conflict_do_nothing().returning(posting_claim.c.key)).scalars().all()
        if len(taken) < len(rows):
            raise ClaimTakenError({str(row["source_line"]) for row in rows if row["key"] not in taken})

    def _reclaim(self, connection: Connection, restored: Sequence[Posting]) -> None:
        mine, other = posting_claim, posting_claim.alias()
        taken = select(other.c.key).where(
            other.c.tenant == mine.c.tenant,
            other.c.source_line == mine.c.source_line,
            other.c.effect_type == mine.c.effect_type,
            other.c.released_at.is_(None),
        )
        free = update(mine).where(among(mine.c.key, [p.key for p in restored]), ~taken.exists())
        try:
            connection.execute(free.values(released_at=None))
        except IntegrityError as error:
            # The engine has promoted a posting of the same line just now: the next plan sees both.
            raise ClaimTakenError({p.object_id for p in restored}) from error

    def _promotions(self, connection: Connection, erp_companies: Collection[str], now: dt.datetime) -> list[Transition]:
        table = posting.c
        statement = self._select(State.PLANNED).where(among(table.erp_company, erp_companies)).order_by(table.key)
        planned = _load(connection, statement.with_for_update(skip_locked=True))
        if not planned:
            return []
        # Targets are locked before their rivals are looked for: of two workers that promote a reversal and a
        # withdrawal of the same posting, the second sees what the first has done.
        targets = {p.target_key for p in planned if p.target_key}
        others = {p.key: p for p in self._lock(connection, targets)}
        dependencies = {p.depends_on for p in planned if p.depends_on} - targets
        others |= {p.key: p for p in _load(connection, select(posting).where(among(table.key, dependencies)))}
        busy = select(table.target_key).where(among(table.target_key, targets), among(table.state, AT_WORK))
        claim = posting_claim.c
        lines = {p.object_id for p in planned if p.claims_when_promoted}
        claimed = select(claim.source_line, claim.effect_type).where(
            claim.tenant == self._tenant, among(claim.source_line, lines), claim.released_at.is_(None)
        )
        return promotions(
            planned,
            others,
            busy_targets=set(connection.execute(busy).scalars()),
            claimed_lines={(line, kind) for line, kind in connection.execute(claimed)},
            now=now,
        )

    def _take(
        self, work: Work, lease: Lease, step: Callable[[Posting, Lease], Transition], *among: State
    ) -> Sequence[Posting]:
        table = posting.c
        statement = (
            self._select(*among)
            .where(
                table.erp_company == work.erp_company,
                table.effect_type == work.effect_type.value,
                table.operation == work.operation.value,
                table.due_at <= lease.now,
                or_(table.lease_expires_at.is_(None), table.lease_expires_at <= lease.now),
            )
            .order_by(table.due_at, table.created_at, table.key)
            .limit(work.limit)
            .with_for_update(skip_locked=True)
        )
        with self._engine.begin() as connection:
            moves = [step(p, lease) for p in _load(connection, statement)]
            self._write(connection, moves)
        return [m.after for m in moves]

    def _apply(
        self, keys: Collection[str], step: Callable[[Posting], Transition], connection: Connection | None
    ) -> frozenset[str]:
        """Take the step with those postings for which the table of transitions has it; returns their keys."""
        moves = []
        with self._transaction(connection) as transaction:
            for found in self._lock(transaction, keys):
                try:
                    moves.append(step(found))
                except IllegalTransitionError:
                    # It has moved on since the caller looked; the caller sees by the answer that it was left alone.
                    continue
            self._write(transaction, moves)
        return frozenset(m.after.key for m in moves)

    def _lock(self, connection: Connection, keys: Collection[str]) -> list[Posting]:
        if not keys:
            return []
        table = posting.c
        statement = select(posting).where(table.tenant == self._tenant, among(table.key, keys)).order_by(table.key)
        return _load(connection, statement.with_for_update())

    def _write(self, connection: Connection, moves: Sequence[Transition]) -> None:
        """Write transitions of postings that this transaction has locked."""
        if not moves:
            return
        table = posting.c
        rows = _records([_state_row(m.after) for m in moves], ("key", *_STATE_COLUMNS))
        changes = {name: rows.c[name] for name in _STATE_COLUMNS}
        connection.execute(update(posting).where(table.key == rows.c.key).values(changes))
        self._record(connection, moves)
        ended = [m.after.key for m in moves if m.after.state in (State.CANCELLED, State.WITHDRAWN, State.REVERSED)]
        if ended:
            claim = posting_claim.c
            active = update(posting_claim).where(among(claim.key, ended), claim.released_at.is_(None))
            connection.execute(active.values(released_at=moves[0].at))
        self._report(connection, moves)

    def _record(self, connection: Connection, moves: Sequence[Transition]) -> None:
        events = [_event_row(m) for m in moves if m.recorded]
        if events:
            rows = _records(events, _EVENT_COLUMNS, table=posting_event)
            connection.execute(insert(posting_event).from_select(list(rows.c.keys()), select(rows)))

    def _report(self, connection: Connection, moves: Sequence[Transition]) -> None:
        """Exception items follow the faults: opened with one, resolved when the posting has moved on."""
        for kind in EffectType:
            scope = f"posting:{kind.value}"
            mine = [m for m in moves if m.after.effect_type is kind]
            sightings = [_sighting(m.after) for m in mine if _item_code(m.after)]
            over = [m for m in mine if _item_code(m.before) and _item_code(m.before) != _item_code(m.after)]
            if over:
                exceptions.resolve_absent(
                    connection,
                    self._tenant,
                    scope,
                    [(s.code, s.object_id) for s in sightings],
                    over[0].at,
                    looked_at={m.after.object_id for m in over},
                    resolution="the posting moved on",
                )
            if sightings:
                exceptions.open_or_touch(connection, self._tenant, scope, sightings, mine[0].at)

    def _report_reuse(self, culprits: Sequence[Posting], now: dt.datetime) -> None:
        with self._engine.begin() as connection:
            for p in culprits:
                sighting = exceptions.Sighting(
                    code="key_reused",
                    object_id=p.object_id,
                    detail=f"key {p.key} stands for another payload already",
                    evidence={"posting": p.key, "payload_hash": p.payload_hash},
                    legal_entity=p.legal_entity,
                    service_month=p.service_month,
                    minutes=p.minutes,
                )
                scope = f"posting:{p.effect_type.value}"
                exceptions.open_or_touch(connection, self._tenant, scope, [sighting], now)


def _refuse_two_payloads(postings: Sequence[Posting], wanted: Mapping[str, Posting]) -> None:
    twice = {p.key for p in postings if p.payload_hash != wanted[p.key].payload_hash}
    if twice:
        raise KeyReusedError(twice)


def _added(new: Posting, now: dt.datetime) -> list[Transition]:
    """How a posting begins: planned and, if it waits for nothing, ready at once."""
    steps = [Transition(before=new, after=new, event=Event.ADDED, at=now)]
    if waits_for_nothing(new):
        steps.append(states.promote(new, now))
    return steps


def _claims(move: Transition) -> bool:
    return move.event is Event.PROMOTED and move.after.claims_when_promoted


def _item_code(p: Posting) -> str | None:
    """The code of the exception item that the posting's fault deserves. One that is the planner's affair has none."""
    if p.fault_code is None or p.fault_code == states.ON_DOCUMENT:
        return None
    return p.fault_code if p.fault_code in FAULTS else "posting_rejected"


def _sighting(p: Posting) -> exceptions.Sighting:
    code = _item_code(p)
    assert code is not None
    return exceptions.Sighting(
        code=code,
        object_id=p.object_id,
        detail=p.fault_detail or "",
        evidence={"posting": p.key, "leg": p.leg.value, "erp_company": p.erp_company, "attempts": p.attempts},
        legal_entity=p.legal_entity,
        service_month=p.service_month,
        minutes=abs(p.minutes),
    )


def _records(rows: Sequence[Mapping[str, Any]], names: Sequence[str], *, table: Any = posting) -> Any:
    """The rows as a table in the statement: one JSON parameter, typed as the columns of `table`."""
    columns = [column(name, table.c[name].type) for name in names]
    plain = [{k: v.isoformat() if isinstance(v, dt.date) else v for k, v in row.items()} for row in rows]
    source = func.jsonb_to_recordset(bindparam(None, plain, type_=JSONB)).table_valued(*columns)
    return source.render_derived(name="given", with_types=True)


def _state_row(p: Posting) -> dict[str, Any]:
    return {"key": p.key} | {name: getattr(p, name) for name in _STATE_COLUMNS}


def _new_row(p: Posting) -> dict[str, Any]:
    return _state_row(p) | {
        "tenant": p.tenant,
        "legal_entity": p.legal_entity,
        "service_month": p.service_month,
        "erp_company": p.erp_company,
        "effect_type": p.effect_type.value,
        "operation": p.operation.value,
        "leg": p.leg.value,
        "object_id": p.object_id,
        "revision": p.revision,
        "source_revision": p.source_revision,
        "target_key": p.target_key,
        "depends_on": p.depends_on,
        "payload": p.to_payload(),
        "payload_hash": p.payload_hash,
        "amount": str(p.amount.amount),
        "currency": p.amount.currency,
        "minutes": p.minutes,
        "service_date": p.service_date,
        "plan_id": p.plan_id,
        "created_at": p.created_at,
    }


def _event_row(m: Transition) -> dict[str, Any]:
    return {
        "key": m.after.key,
        "event": m.event.value,
        "from_state": None if m.event is Event.ADDED else m.before.state.value,
        "to_state": m.after.state.value,
        "fence": m.after.fence,
        "worker": m.after.worker or m.before.worker,
        "detail": dict(m.detail),
        "at": m.at,
    }


def _load(connection: Connection, statement: Select[Any]) -> list[Posting]:
    return [_posting(row) for row in connection.execute(statement)]


def _posting(row: Row[Any]) -> Posting:
    operation = Operation(row.operation)
    return Posting(
        key=row.key,
        tenant=row.tenant,
        legal_entity=row.legal_entity,
        service_month=row.service_month,
        erp_company=row.erp_company,
        effect_type=EffectType(row.effect_type),
        operation=operation,
        leg=Leg(row.leg),
        object_id=row.object_id,
        revision=row.revision,
        source_revision=row.source_revision,
        target_key=row.target_key,
        depends_on=row.depends_on,
        effect=from_payload(row.payload) if operation is Operation.CREATE else None,
        payload_hash=row.payload_hash,
        amount=Money(row.amount, row.currency),
        minutes=row.minutes,
        service_date=row.service_date,
        plan_id=row.plan_id,
        created_at=row.created_at,
        **{name: getattr(row, name) for name in _STATE_COLUMNS if name != "state"},
        state=State(row.state),
    )
