"""What is decided about everything in a partition, from the facts, master data, credits and choices in the store.

Planning, reconciliation and reports all ask here, so that they never see two decisions about one thing. Nothing is
written.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from psa_erp_assets.adapters.store import (
    contract_balances,
    decisions,
    exception_work,
    period_choices,
    time_entries,
    work_facts,
    work_heads,
)
from psa_erp_assets.adapters.store import credits as credit_rows
from psa_erp_assets.adapters.store.work_heads import Partition
from psa_erp_assets.domain.account import ContractMonth, needs_account, sellers_in, settle
from psa_erp_assets.domain.balances import Balance
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.closed_periods import chosen
from psa_erp_assets.domain.decide import Decider
from psa_erp_assets.domain.decision import Decision, Hold, Outcome, Route
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.master import MasterData
from psa_erp_assets.domain.recognize import LOSS, REVENUE
from psa_erp_assets.domain.records import Credit, WorkItem
from psa_erp_assets.domain.write_offs import written_off
from psa_erp_assets.services import canonical
from psa_erp_assets.services.scope import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """The decisions about a partition, or about some contracts of it.

    `items` are its facts by id, `contracts` everything that was looked at (facts and contract months) with the contract
    that it is kept under, `closings` what the contracts' month leaves to the next, for those that hand anything on.
    `elsewhere` are the decisions of the same contracts' month that are another entity's, which sells in it too.
    `unchosen` are the decisions about objects that somebody has made a choice for, as they are without it.
    """

    decisions: tuple[Decision, ...]
    items: Mapping[str, WorkItem]
    contracts: Mapping[str, str | None]
    closings: Mapping[str, Balance]
    master: MasterData
    elsewhere: tuple[Decision, ...] = ()
    unchosen: Mapping[str, Decision] = field(default_factory=dict)


def decide_partition(
    connection: Connection,
    scope: Scope,
    partition: Partition,
    contracts: Collection[str | None] | None = None,
    *,
    decider: Decider | None = None,
) -> Decided:
    """Decide about a partition from what is stored now. A `decider` given holds the master data, already loaded."""
    decider = decider or Decider(canonical.load_master(connection, scope), scope.rules)
    tenant, month = scope.tenant, ServiceMonth.parse(partition[1])
    kept_under = work_heads.contracts_within(connection, tenant, partition, contracts)
    own = {contract_id for contract_id in map(contract_of_month, kept_under) if contract_id is not None}
    items: dict[str, WorkItem] = {
        item.id: item
        for item in (
            *time_entries.in_partition(connection, tenant, partition, contracts),
            *work_facts.in_partition(connection, tenant, partition, contracts),
        )
    }
    shared, others = _of_other_sellers(connection, tenant, partition, contracts, decider.master)
    credited: dict[str, list[Credit]] = defaultdict(list)
    for credit in credit_rows.of_objects(connection, tenant, [*items, *others]):
        credited[credit.object_id].append(credit)
    alone: list[Decision] = []
    together: dict[str, list[tuple[WorkItem, Decision]]] = {contract_id: [] for contract_id in sorted(own)}
    is_together = _Togetherness(decider.master)
    for item in (*items.values(), *others.values()):
        decision = decider.decide(item)
        where, contract_id = decision.route, decision.route.contract_id
        mine = (where.legal_entity == partition[0] or contract_id in shared) and where.service_month == month
        if contract_id is not None and mine and is_together(contract_id, credited.get(item.id)):
            together.setdefault(contract_id, []).append((item, decision))
        elif item.id in items:
            alone.append(decision)
    closings: dict[str, Balance] = {}
    elsewhere: list[Decision] = []
    held = [d for work in together.values() for _, d in work if d.outcome is Outcome.HOLD]
    off = exception_work.write_offs_of(connection, tenant, [d.object_id for d in held]) if held else {}
    no_room = frozenset(d.object_id for d in held if d.object_id in off and off[d.object_id].revision == d.revision)
    opening = contract_balances.before(connection, tenant, together, month)
    previous = contract_balances.of_month(connection, tenant, together, month)
    for contract_id, work in together.items():
        settled = settle(
            ContractMonth(contract_id, month),
            work,
            opening.get(contract_id, Balance()),
            decider,
            [credit for item, _ in work for credit in credited.get(item.id, ())] if credited else (),
            previous=previous.get(contract_id),
            given_up=no_room,
        )
        for decision in settled.decisions:
            of_contract = decision.object_id.startswith("contract:")
            here = decision.route.legal_entity == partition[0] if of_contract else fact_of(decision) in items
            (alone if here else elsewhere).append(decision)
        if contract_id in own:
            closings[contract_id] = settled.closing
    alone += _gone(connection, tenant, sorted(own), month, [*alone, *elsewhere], seller=partition[0], decider=decider)
    about = [decision.object_id for decision in (*alone, *elsewhere)]
    choices = period_choices.of_objects(connection, tenant, about)
    with_choice = {object_id for object_id, _ in choices}
    stopped = [decision.object_id for decision in (*alone, *elsewhere) if decision.holds]
    given_up = exception_work.write_offs_of(connection, tenant, stopped) if stopped else {}

    def in_the_end(decision: Decision) -> Decision:
        return written_off(chosen(decision, choices), given_up) if choices or given_up else decision

    return Decided(
        decisions=tuple(map(in_the_end, sorted(alone, key=lambda d: d.object_id))),
        items=items,
        contracts=kept_under,
        closings=closings,
        master=decider.master,
        elsewhere=tuple(map(in_the_end, elsewhere)),
        unchosen={d.object_id: d for d in (*alone, *elsewhere) if d.object_id in with_choice},
    )


def _of_other_sellers(
    connection: Connection,
    tenant: str,
    partition: Partition,
    contracts: Collection[str | None] | None,
    master: MasterData,
) -> tuple[frozenset[str], Mapping[str, WorkItem]]:
    """The contracts of which other entities sell in the month too, and their work: the month is settled as one."""
    month, found = ServiceMonth.parse(partition[1]), dict[str, WorkItem]()
    shared: dict[str, list[str]] = defaultdict(list)
    of_all: set[str] = set()
    for contract in map(master.contract, contracts) if contracts is not None else master.contracts:
        sellers = sellers_in(contract, month) if contract is not None and contract.amendments else ()
        if contract is None or len(sellers) < 2 or partition[0] not in sellers or not needs_account(contract):
            continue
        of_all.add(contract.id)
        for seller in sellers:
            if seller != partition[0]:
                shared[seller].append(contract.id)
    for seller, ids in shared.items():
        where = (seller, partition[1])
        for item in (
            *time_entries.in_partition(connection, tenant, where, ids),
            *work_facts.in_partition(connection, tenant, where, ids),
        ):
            found[item.id] = item
    return frozenset(of_all), found


def fact_of(decision: Decision) -> str:
    """The id of the fact that a decision is about, whole or in the part that a credit has freed."""
    return decision.object_id.partition("#")[0]


def _gone(
    connection: Connection,
    tenant: str,
    contract_ids: Sequence[str],
    month: ServiceMonth,
    decided: Sequence[Decision],
    *,
    seller: str,
    decider: Decider,
) -> list[Decision]:
    """Decisions about what the contracts' months had of their own, and have not any more.

    They are those of the entity that sells on the month's first day, whoever had it, so that there is one of each.

    Nothing of it should exist, such as an instalment that an amendment has moved to another month. But where the
    contract is missing, or what it earns cannot be told, that is a gap in master data, which takes nothing back.
    """
    if not contract_ids:
        return []
    still = {d.object_id: d for d in decided}
    gone = []
    for row in decisions.of_contracts_own(connection, tenant, str(month), contract_ids):
        if row.object_id in still:
            continue
        contract_id, what = contract_of_object(row.object_id), row.object_id.split(":")[2]
        contract = decider.master.contract_as_of(contract_id, month.last_day)
        first_seller = decider.master.contract_as_of(contract_id, month.first_day)
        if first_seller is not None and first_seller.legal_entity != seller:
            continue
        hold = None
        if contract is None:
            kind = EffectType.REVENUE_ENTRY if what in (REVENUE, LOSS) else EffectType.BILLING_LINE
            hold = Hold("unknown_contract", kind, f"{contract_id} is no signed contract")
        elif what == LOSS:
            earned = still.get(row.object_id.replace(f":{LOSS}:", f":{REVENUE}:", 1))
            hold = earned.hold(EffectType.REVENUE_ENTRY) if earned is not None else None
        outcome = Outcome.HOLD if hold is not None else Outcome.NONE
        # What takes it back is another revision than what it takes back, and the same one however often it is seen.
        first = outcome is Outcome.NONE and row.outcome != Outcome.NONE.value
        gone.append(
            Decision(
                object_id=row.object_id,
                revision=row.revision + first,
                route=Route(seller, month, contract_id),
                outcome=outcome,
                minutes=0,
                holds=() if hold is None else (hold,),
                mode=decider.mode(seller, contract, month.last_day),
            )
        )
    return gone


def contract_month_id(contract_id: str, month: ServiceMonth, seller: str) -> str:
    """The id of a contract's month as an object with effects of its own in the books of an entity that sells then."""
    return f"contract_month:{contract_id}:{month}:{seller}"


def contract_of_month(object_id: str) -> str | None:
    """The contract of such an id; None for the id of anything else."""
    kind, _, rest = object_id.partition(":")
    return rest.partition(":")[0] if kind == "contract_month" else None


def contract_of_object(object_id: str) -> str:
    """The contract of one of a contract's own objects, whose id is contract:<contract>:<what>:…"""
    return object_id.split(":")[1]


def has_changed(decision: Decision, known: Mapping[str, str]) -> bool:
    """Whether it is another one than the latest on record, whose hashes by object are given.

    A fact that nothing is on record about is new and dirty anyway. What belongs to another object, such as a fee to
    its contract's month, may come later than that was planned.
    """
    before = known.get(decision.object_id)
    if before is None:
        return decision.object_id != head_of(decision) and decision.outcome is not Outcome.NONE
    return before != decision.digest


def head_of(decision: Decision) -> str:
    """The object with a head that a decision belongs to: a contract's own objects belong to its month."""
    return head_id(decision.object_id, decision.route.service_month, decision.route.legal_entity)


def head_id(object_id: str, month: ServiceMonth, seller: str) -> str:
    """The object with a head that an object of a service month belongs to, in the books of an entity."""
    if object_id.startswith("contract:"):
        return contract_month_id(contract_of_object(object_id), month, seller)
    return object_id.partition("#")[0]


class _Togetherness:
    """Whether a fact must be decided together with the rest of its contract's month."""

    def __init__(self, master: MasterData) -> None:
        self._master, self._of_contract = master, dict[str, bool]()

    def __call__(self, contract_id: str, credited: Collection[Credit] | None) -> bool:
        if contract_id not in self._of_contract:
            contract = self._master.contract(contract_id)
            self._of_contract[contract_id] = contract is not None and needs_account(contract)
        return self._of_contract[contract_id] or bool(credited)
