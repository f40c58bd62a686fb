"""What a decision about a mapping would do to the plan, before anybody makes it.

The decision is carried out in a transaction that is taken back, with the same code as in earnest. Nothing is posted,
and nothing of it is seen by others. Whoever has a role for some legal entities alone is shown what becomes of these,
and that there is more, but not how much.
"""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import Connection, Engine

from psa_erp_assets.adapters.store import mapping_stories, mapping_work, work_heads
from psa_erp_assets.adapters.store.work_heads import Partition
from psa_erp_assets.domain.decide import Decider
from psa_erp_assets.domain.decision import Decision, Outcome
from psa_erp_assets.domain.links import CANONICAL, LinkType
from psa_erp_assets.domain.master import MasterData
from psa_erp_assets.services import canonical, contract_months
from psa_erp_assets.services.deciding import decide_partition, head_of
from psa_erp_assets.services.mapping_decisions import Wish, carry_out
from psa_erp_assets.services.scope import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class AmountChange:
    """Amounts of one kind that a contract's work comes to, before and after, in one currency."""

    contract_id: str | None
    effect_type: str
    currency: str
    before: Decimal
    after: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanEffect:
    """What becomes otherwise. Counts are of pieces of work, minutes whole.

    `released` and `released_minutes`: nothing holds it any more; `still_held`: by code, what goes on to wait;
    `newly_held`: by code, what did not wait before; `moved`: work that belongs to another contract or entity then.
    `elsewhere`: something changes in legal entities, too, that whoever asks may not see; nothing else here is of them.
    """

    looked_at: int
    changed: int
    released: int
    released_minutes: int
    moved: int
    still_held: Mapping[str, int]
    newly_held: Mapping[str, int]
    amounts: Sequence[AmountChange]
    elsewhere: bool


def effect_of(
    engine: Engine, scope: Scope, wish: Wish, *, now: dt.datetime, entities: frozenset[str] | None = None
) -> PlanEffect:
    """What a wish would do to the plan if it were decided now. Raises MappingRefusedError where it cannot be.

    `entities` are the legal entities that whoever asks may see (None: all); work counts for the one that sells it.
    """
    with engine.connect() as connection, connection.begin() as transaction:
        try:
            before, after = _decisions(connection, scope, wish, now)
        finally:
            transaction.rollback()
    return _compare(before, after, entities)


def _decisions(
    connection: Connection, scope: Scope, wish: Wish, now: dt.datetime
) -> tuple[Mapping[str, Decision], Mapping[str, Decision]]:
    """What is decided about the work concerned, by id: as things are, and with the wish carried out."""
    mapping_stories.lock(connection, scope.tenant)
    old = Decider(canonical.load_master(connection, scope), scope.rules)
    record = {"kind": "accept", "reason": "to see its effect", "decided_by": "dry run"}
    places = mapping_work.places_of(
        connection,
        scope.tenant,
        users=_of(wish, LinkType.EMPLOYEE, old.master),
        projects=_projects(wish, old.master),
        contracts=_contracts(wish, old.master),
    )
    before = _decide(connection, scope, places, old)
    carry_out(connection, scope, wish, record=record, now=now)
    new = Decider(canonical.load_master(connection, scope), scope.rules)
    contract_months.refresh(connection, scope, new.master, now)
    # Work that moves is decided about where it then belongs, with what else there is in that contract's month.
    heads = work_heads.heads(connection, scope.tenant, {head_of(d) for d in before.values()})
    first = _decide(connection, scope, places, new)
    moved = {head_of(d): d.route for d in first.values() if head_of(d) in heads}
    work_heads.mark_changed(connection, scope.tenant, moved, now)
    wider: dict[Partition, set[str | None]] = defaultdict(set, {p: set(c) for p, c in places.items()})
    for route in moved.values():
        wider[route.legal_entity, str(route.service_month)].add(route.contract_id)
    more = {p: contracts - places.get(p, set()) for p, contracts in wider.items()}
    after = _decide(connection, scope, wider, new)
    # What was there already in the contracts that work moves to is compared too: a cap may now be reached earlier.
    before = _decide(connection, scope, {p: c for p, c in more.items() if c}, old) | before
    return before, after


def _decide(
    connection: Connection, scope: Scope, places: Mapping[Partition, Iterable[str | None]], decider: Decider
) -> dict[str, Decision]:
    return {
        decision.object_id: decision
        for partition, contracts in sorted(places.items())
        for decision in decide_partition(connection, scope, partition, list(contracts), decider=decider).decisions
    }


def _compare(
    before: Mapping[str, Decision], after: Mapping[str, Decision], entities: frozenset[str] | None
) -> PlanEffect:
    still, newly = Counter[str](), Counter[str]()
    looked_at = released = minutes = moved = changed = 0
    elsewhere = False
    totals: dict[tuple[str | None, str, str], list[Decimal]] = defaultdict(lambda: [Decimal(0), Decimal(0)])
    for object_id in before.keys() | after.keys():
        old, new = before.get(object_id), after.get(object_id)
        both = [(index, decision) for index, decision in enumerate((old, new)) if decision is not None]
        seen = [(i, d) for i, d in both if entities is None or d.route.legal_entity in entities]
        differs = _said(old) != _said(new)
        elsewhere |= differs and len(seen) < len(both)
        if not seen:
            continue
        looked_at += 1
        changed += differs
        moved += old is not None and new is not None and old.route != new.route
        for index, decision in seen:
            for effect in decision.effects:
                key = (decision.route.contract_id, effect.effect_type.value, effect.amount.currency)
                totals[key][index] += effect.amount.amount
        if new is None or seen[-1][1] is not new:
            continue
        was, held = _codes(old), _codes(new)
        if was and not held and new.outcome is not Outcome.NONE:
            released += 1
            minutes += new.minutes
        still.update(held & was)
        newly.update(held - was)
    amounts = [
        AmountChange(contract_id=contract, effect_type=effect, currency=currency, before=old, after=new)
        for (contract, effect, currency), (old, new) in sorted(totals.items(), key=lambda item: str(item[0]))
        if old != new
    ]
    return PlanEffect(
        looked_at=looked_at,
        changed=changed,
        released=released,
        released_minutes=minutes,
        moved=moved,
        still_held=dict(sorted(still.items())),
        newly_held=dict(sorted(newly.items())),
        amounts=amounts,
        elsewhere=elsewhere,
    )


def _codes(decision: Decision | None) -> set[str]:
    return {hold.code for hold in decision.holds} if decision is not None else set()


def _said(decision: Decision | None) -> object:
    if decision is None:
        return None
    return (decision.route, decision.outcome, decision.effects, decision.holds)


def _of(wish: Wish, object_type: LinkType, master: MasterData) -> set[str]:
    """The PSA users whose work a wish is about."""
    if wish.object_type != object_type:
        return set()
    if wish.system != CANONICAL:
        return set(wish.source_ids)
    mine = set(wish.source_ids)
    exact = {e.psa_user_id for e in master.employees if e.id in mine and e.psa_user_id}
    return exact | {k.source_id for k in master.links if k.system == "clockify" and k.canonical_id in mine}


def _projects(wish: Wish, master: MasterData) -> set[str]:
    """The PSA projects whose work a wish is about."""
    if wish.object_type not in (LinkType.PROJECT, LinkType.CONTRACT):
        return set()
    if wish.system == "clockify":
        return set(wish.source_ids)
    mine = set(wish.source_ids) if wish.system == CANONICAL else {wish.canonical_id}
    exact = {p.psa_id for p in master.projects if p.id in mine}
    return exact | {k.source_id for k in master.links if k.system == "clockify" and k.canonical_id in mine}


def _contracts(wish: Wish, master: MasterData) -> set[str]:
    """The contracts whose customer, or whose projects' accounts, a wish is about."""
    if wish.object_type == LinkType.CUSTOMER:
        mine = set(wish.source_ids) if wish.system == CANONICAL else {wish.canonical_id}
        return {c.id for c in master.contracts if c.customer_id in mine or {a.customer_id for a in c.amendments} & mine}
    if wish.object_type == LinkType.PROJECT:
        mine = {wish.canonical_id} if wish.system == "tryton" else set()
        return {p.contract_id for p in master.projects if p.id in mine and p.contract_id}
    return set()
