"""What waits because an accounting period is closed, and what people choose for it.

What belongs here: the queue and its choices. What does not: what a choice makes of a decision
(`domain.closed_periods`), and that an effect waits (`domain.plan`).
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import Connection, Engine

from psa_erp_assets.adapters.store import exceptions, master_records, plans, work_heads
from psa_erp_assets.adapters.store import period_choices as choice_rows
from psa_erp_assets.adapters.store.postings import PgPostingStore
from psa_erp_assets.adapters.store.work_heads import Partition
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.closed_periods import Choice, PeriodChoice, basis_of, booked_before, hand_bookings, is_about
from psa_erp_assets.domain.decision import Decision
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.money import Money
from psa_erp_assets.domain.plan import is_settled
from psa_erp_assets.domain.posting import Leg, Posting, State
from psa_erp_assets.domain.records import AccountingPeriod
from psa_erp_assets.services.deciding import Decided, decide_partition, head_of
from psa_erp_assets.services.scope import Scope

_CODE = "period_closed"
_GONE = (State.CANCELLED, State.WITHDRAWN, State.REVERSED, State.REJECTED)
_UNSENT = (State.PLANNED, State.HELD, State.READY)


class ChoiceRefusedError(Exception):
    """The choice cannot be: nothing waits for it, or the date is in no open period."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingEffect:
    """An effect that a closed period keeps from the books, with what was chosen for it so far.

    `amount` is what would come to the books: what there should be less what there is. `books` is the legal entity
    that it goes to, `period` says in words which one is closed; where that is not `own_period`, it waits for the other
    side of work that is in two entities' books, and the choice is that other side's. None where the work has gone
    meanwhile. `to_move`: it waits for people to move what they have booked by hand elsewhere.
    """

    object_id: str
    contract_id: str | None
    effect_type: EffectType
    legal_entity: str
    service_month: str
    books: str | None
    period: str
    own_period: bool
    amount: Decimal | None
    currency: str | None
    since: dt.datetime
    to_move: bool
    choice: Choice | None
    posting_date: dt.date | None
    chosen_by: str | None


def waiting_effects(engine: Engine, scope: Scope, object_id: str | None = None) -> tuple[WaitingEffect, ...]:
    """Everything that waits for a closed period, or what of one object does, the longest waiting first."""
    with engine.connect() as connection:
        return _waiting(connection, PgPostingStore(engine, scope.tenant), scope, object_id)


def choose(
    engine: Engine,
    scope: Scope,
    object_id: str,
    *,
    effect_type: EffectType,
    choice: Choice,
    posting_date: dt.date | None,
    reason: str,
    chosen_by: str,
    now: dt.datetime,
) -> WaitingEffect:
    """Keep what somebody chose for an effect that waits; the next sync carries it out. Answers with what waited.

    A date belongs to POST_TO_OPEN alone, and is in a period that is open in the same books. Raises
    ChoiceRefusedError with what is wrong.
    """
    who, why = chosen_by.strip(), reason.strip()
    if not who or not why:
        raise ChoiceRefusedError("a choice needs the name of whoever makes it, and a reason")
    if (posting_date is not None) != (choice is Choice.POST_TO_OPEN):
        raise ChoiceRefusedError(
            f"{Choice.POST_TO_OPEN.value} needs a date in an open period, and nothing else takes one"
        )
    with engine.begin() as connection:
        waiting = _waiting(connection, PgPostingStore(engine, scope.tenant), scope, object_id)
        found = next((w for w in waiting if w.effect_type is effect_type), None)
        if found is None:
            raise ChoiceRefusedError(f"no {effect_type.value} of {object_id} waits for a closed period")
        partition = (found.legal_entity, found.service_month)
        plans.lock_partition(connection, scope.tenant, partition)
        decided = decide_partition(connection, scope, partition, [found.contract_id])
        decision = decided.unchosen.get(object_id) or _decision(decided, object_id)
        if decision is None or found.books is None:
            raise ChoiceRefusedError(f"{object_id} has gone from {' '.join(partition)}: sync it, or reopen the period")
        if not found.own_period:
            other = " or ".join(w.effect_type.value for w in waiting if w.own_period)
            raise ChoiceRefusedError(f"its period is open in the books of {found.books}: choose for the {other}")
        if posting_date is not None:
            _check_open(connection, scope.tenant, found.books, posting_date)
        store = PgPostingStore(engine, scope.tenant)
        basis = basis_of(decision, effect_type)
        earlier = choice_rows.history(connection, scope.tenant, object_id, effect_type)
        now_decided = _decision(decided, object_id)
        postings = store.of_objects([object_id], connection=connection)
        holds = now_decided is not None and (
            effect_type in now_decided.left_alone or is_settled(now_decided, effect_type, postings)
        )
        in_effect = holds and not found.to_move
        by_hand = booked_before(earlier, basis, in_effect=in_effect)
        if choice is Choice.BY_HAND:
            posted = _posted(postings, effect_type)
            by_hand = hand_bookings(decision.effect(effect_type), [p.effect for p in posted if p.effect is not None])
        elif choice is Choice.POST_TO_OPEN and found.to_move:
            # They have taken it back themselves, where only they could.
            by_hand = ()
        chosen = PeriodChoice(
            object_id=object_id,
            effect_type=effect_type,
            choice=choice,
            posting_date=posting_date,
            reason=why,
            chosen_by=who,
            basis=basis,
            by_hand=by_hand,
        )
        choice_rows.add(connection, scope.tenant, chosen, now)
        work_heads.mark_changed(connection, scope.tenant, {head_of(decision): decision.route}, now)
    return found


def _waiting(
    connection: Connection, store: PgPostingStore, scope: Scope, object_id: str | None = None
) -> tuple[WaitingEffect, ...]:
    items = exceptions.list_items(
        connection, scope.tenant, code=_CODE, object_ids=None if object_id is None else [object_id]
    )
    # The posting engine reports under a posting's key that the ERP itself has refused; that is planned anew.
    items = [item for item in items if "holds" in item["evidence"]]
    ids = [item["object_id"] for item in items]
    choices = choice_rows.of_objects(connection, scope.tenant, ids)
    there = _standing(store.of_objects(ids, connection=connection))
    decided: dict[Partition, Decided] = {}
    waiting = []
    for item in items:
        partition = (item["legal_entity"], item["service_month"])
        if partition not in decided:
            decided[partition] = decide_partition(connection, scope, partition)
        decision = _decision(decided[partition], item["object_id"])
        code_of = {entity.erp_company: entity.code for entity in decided[partition].master.legal_entities}
        for effect_type in map(EffectType, item["evidence"]["holds"]):
            mine = [p for p in there if (p.object_id, p.effect_type) == (item["object_id"], effect_type)]
            company, money = _to_come(decision, mine, effect_type)
            books = code_of.get(company) if company is not None else None
            months = {ServiceMonth.of(day) for day in _days(decision, mine, effect_type)}
            closed = decided[partition].master.closed_periods
            chosen = choices.get((item["object_id"], effect_type))
            unchosen = decided[partition].unchosen.get(item["object_id"])
            to_move = decision is not None and _is_to_move(decision, effect_type)
            if to_move:
                company, money = _to_come(unchosen, mine, effect_type)
                books = code_of.get(company) if company is not None else None
            if chosen is not None and unchosen is not None and not is_about(chosen, unchosen):
                chosen = None
            waiting.append(
                WaitingEffect(
                    object_id=item["object_id"],
                    contract_id=decision.route.contract_id if decision is not None else None,
                    effect_type=effect_type,
                    legal_entity=partition[0],
                    service_month=partition[1],
                    books=books,
                    period=item["detail"],
                    own_period=to_move or (books is not None and any((books, month) in closed for month in months)),
                    to_move=to_move,
                    amount=money.amount if money is not None else None,
                    currency=money.currency if money is not None else None,
                    since=item["first_seen_at"],
                    choice=chosen.choice if chosen is not None else None,
                    posting_date=chosen.posting_date if chosen is not None else None,
                    chosen_by=chosen.chosen_by if chosen is not None else None,
                )
            )
    return tuple(waiting)


def _standing(postings: Sequence[Posting]) -> list[Posting]:
    return [p for p in postings if p.leg is Leg.ORIGINAL and p.state not in _GONE]


def _posted(postings: Sequence[Posting], effect_type: EffectType) -> list[Posting]:
    """What of an object's type is in the ERP, or on its way there."""
    return [p for p in _standing(postings) if p.effect_type is effect_type and p.state not in _UNSENT]


def _is_to_move(decision: Decision, effect_type: EffectType) -> bool:
    """Whether it is held as `closed_periods` holds it: where a period is closed, the plan is what holds."""
    return any(hold.code == _CODE and hold.effect_type is effect_type for hold in decision.holds)


def _to_come(
    decision: Decision | None, there: Sequence[Posting], effect_type: EffectType
) -> tuple[str | None, Money | None]:
    """The ERP company, and what there should be in its books less what there is."""
    wanted = decision.effect(effect_type) if decision is not None else None
    company = wanted.erp_company if wanted is not None else there[-1].erp_company if there else None
    currency = wanted.amount.currency if wanted is not None else there[-1].amount.currency if there else None
    if currency is None:
        return company, None
    # Work that moves between companies is taken back in one and comes to the other.
    same = [p.amount for p in there if (p.erp_company, p.amount.currency) == (company, currency)]
    return company, sum(
        (-amount for amount in same), wanted.amount if wanted is not None else Money(Decimal(0), currency)
    )


def _days(decision: Decision | None, there: Sequence[Posting], effect_type: EffectType) -> set[dt.date]:
    """The days of what there should be and of what there is, as they are without a choice."""
    wanted = decision.effect(effect_type) if decision is not None else None
    return {posting.service_date for posting in there} | ({wanted.service_date} if wanted is not None else set())


def _decision(decided: Decided, object_id: str) -> Decision | None:
    return next((d for d in decided.decisions if d.object_id == object_id), None)


def _check_open(connection: Connection, tenant: str, books: str, date: dt.date) -> None:
    periods = master_records.load_all(
        connection, tenant=tenant, object_type="accounting_period", record_type=AccountingPeriod
    )
    closed: Mapping[str, bool] = {p.month: p.closed for p in periods if p.legal_entity == books}
    month = str(ServiceMonth.of(date))
    if closed.get(month, True):
        open_ones = ", ".join(sorted(m for m, shut in closed.items() if not shut)) or "none"
        what = "closed" if month in closed else "no period"
        raise ChoiceRefusedError(f"{month} is {what} in the books of {books}; open are {open_ones}")
