"""How far each legal entity and contract type have been rolled out, and whether what is in shadow may go live."""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine

from psa_erp_assets.adapters.store import erp_documents, work_heads
from psa_erp_assets.adapters.store.postings import PgPostingStore
from psa_erp_assets.adapters.store.work_heads import Partition
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.decide import Decider
from psa_erp_assets.domain.decision import Mode
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.money import Money
from psa_erp_assets.domain.posting import ENDED, State
from psa_erp_assets.domain.shadow import ByHand, Compared, HeldWork, Line, Readiness, compare, readiness
from psa_erp_assets.domain.terms import ContractKind
from psa_erp_assets.services import canonical
from psa_erp_assets.services.deciding import decide_partition
from psa_erp_assets.services.scope import Scope

_BILLING = EffectType.BILLING_LINE
_WITHOUT_DOCUMENT = (ENDED - {State.VERIFIED}) | {State.REJECTED}


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutState:
    """Where a legal entity's contracts of one type are, today, and how their shadow plans compare.

    `sentence` says what is missing until they may go live, or why nothing is.
    """

    legal_entity: str
    contract_kind: ContractKind
    mode: Mode
    contracts: int
    ready: bool
    sentence: str
    compared: tuple[Compared, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutReport:
    """All of them, and by entity what was billed by hand that no contract is known of."""

    states: tuple[RolloutState, ...]
    unassigned: tuple[tuple[str, Compared], ...]


@dataclass(slots=True)
class _Sides:
    planned: list[Line] = field(default_factory=list)
    by_hand: list[Line] = field(default_factory=list)
    held: list[HeldWork] = field(default_factory=list)


def rollout_report(
    engine: Engine,
    scope: Scope,
    *,
    today: dt.date,
    legal_entity: str | None = None,
    contract_kind: ContractKind | None = None,
) -> RolloutReport:
    """Compare what would be billed in shadow with what people billed by hand, as the ERP was last read.

    Months that are not over are left out. Nothing is written.
    """
    this_month, store = ServiceMonth.of(today), PgPostingStore(engine, scope.tenant)
    with engine.connect() as connection:
        decider = Decider(canonical.load_master(connection, scope), scope.rules)
        sides: dict[str, _Sides] = defaultdict(_Sides)
        if any(step.mode is Mode.SHADOW for step in scope.rules.rollout.steps):
            for partition in work_heads.partitions(connection, scope.tenant):
                if legal_entity in (None, partition[0]) and ServiceMonth.parse(partition[1]) < this_month:
                    _collect(connection, store, scope, partition, decider=decider, into=sides[partition[0]])
    compared = {code: compare(s.planned, s.by_hand, s.held) for code, s in sides.items()}
    return RolloutReport(
        states=tuple(
            state
            for state in _states(scope, decider, compared, today)
            if legal_entity in (None, state.legal_entity) and contract_kind in (None, state.contract_kind)
        ),
        unassigned=tuple((code, row) for code, rows in compared.items() for row in rows if row.contract_id is None),
    )


def _states(
    scope: Scope, decider: Decider, compared: dict[str, tuple[Compared, ...]], today: dt.date
) -> Iterator[RolloutState]:
    in_force = [contract.as_of(today) for contract in decider.master.contracts]
    contracts = Counter((contract.legal_entity, contract.kind) for contract in in_force)
    rows: dict[tuple[str, ContractKind], list[Compared]] = defaultdict(list)
    for code, of_entity in compared.items():
        for row in of_entity:
            contract = decider.master.contract_as_of(row.contract_id, row.month.last_day)
            if contract is not None:
                rows[code, contract.kind].append(row)
    through = _before(ServiceMonth.of(today))
    for code, kind in sorted({*contracts, *rows}):
        mode = scope.rules.rollout.mode(code, kind, today)
        found = readiness(rows[code, kind], scope.go_live, through)
        yield RolloutState(
            legal_entity=code,
            contract_kind=kind,
            mode=mode,
            contracts=contracts[code, kind],
            ready=mode is Mode.SHADOW and found.ready,
            sentence=_sentence(mode, found),
            compared=tuple(rows[code, kind]),
        )


def _sentence(mode: Mode, found: Readiness) -> str:
    if mode is Mode.LIVE:
        return "It is live."
    if mode is Mode.OFF:
        return "It is off: put it into shadow in data/config/policies.yaml, so that it can be compared."
    if found.ready:
        return f"It may go live: the plan {found.sentence}."
    return f"Not yet: {found.sentence}."


def _collect(
    connection: Connection, store: PgPostingStore, scope: Scope, partition: Partition, *, decider: Decider, into: _Sides
) -> None:
    code, month = partition[0], ServiceMonth.parse(partition[1])
    shadow = [
        decision
        for decision in decide_partition(connection, scope, partition, decider=decider).decisions
        if decision.mode is Mode.SHADOW
    ]
    # What was live before and is in the ERP by the sync's own doing was not billed by hand.
    ours = {
        posting.object_id
        for posting in store.of_objects([decision.object_id for decision in shadow], connection=connection)
        if posting.effect_type is _BILLING and posting.state not in _WITHOUT_DOCUMENT
    }
    for decision in shadow:
        line, hold = decision.effect(_BILLING), decision.hold(_BILLING)
        contract_id = decision.route.contract_id
        if line is not None and decision.object_id not in ours:
            into.planned.append(Line(contract_id=contract_id, month=month, amount=line.amount, minutes=line.minutes))
        if hold is not None:
            into.held.append(HeldWork(contract_id=contract_id, month=month, code=hold.code))
    entity = decider.master.legal_entity(code)
    if entity is None:
        return
    by_hand = ByHand(decider.master)
    for row in erp_documents.strays(connection, scope.tenant, entity.erp_company, partition[1]):
        contract_id = by_hand.contract_of(row.party, row.analytic)
        contract = decider.master.contract_as_of(contract_id, row.service_date)
        in_shadow = decider.mode(code, contract, row.service_date) is Mode.SHADOW
        if row.key is None and (in_shadow or contract is None):
            into.by_hand.append(
                Line(contract_id=contract_id, month=month, amount=Money(row.amount, row.currency), minutes=row.minutes)
            )


def _before(month: ServiceMonth) -> ServiceMonth:
    return ServiceMonth.of(month.first_day - dt.timedelta(days=1))
