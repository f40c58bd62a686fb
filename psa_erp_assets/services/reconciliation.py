"""Three-way reconciliation of a partition, from the mirror of the ERP that `read_back` has just made."""

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Engine, Row

from psa_erp_assets.adapters.store import erp_documents, exceptions, fingerprints, work_heads
from psa_erp_assets.adapters.store.exceptions import Sighting
from psa_erp_assets.adapters.store.postings import PgPostingStore
from psa_erp_assets.adapters.store.work_heads import Partition
from psa_erp_assets.domain.decide import Decider
from psa_erp_assets.domain.decision import Decision, Outcome
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.erp import ErpDocument
from psa_erp_assets.domain.master import MasterData
from psa_erp_assets.domain.money import Money
from psa_erp_assets.domain.posting import Posting
from psa_erp_assets.domain.reconcile import (
    UNEXPLAINED,
    Difference,
    Reconciled,
    reconcile_entry,
    reconcile_stray,
)
from psa_erp_assets.domain.tax import RoundingProfile
from psa_erp_assets.services import canonical, tax_review, work_log
from psa_erp_assets.services.credit_review import note_unclassified
from psa_erp_assets.services.deciding import Decided, decide_partition, head_of
from psa_erp_assets.services.read_back import erp_company
from psa_erp_assets.services.runtime import Runtime
from psa_erp_assets.services.scope import Scope

_BILLING = EffectType.BILLING_LINE
_CODES = {
    Difference.MISSING: "document_missing",
    Difference.DUPLICATE: "posting_duplicate",
    Difference.FX: "posting_drift",
    Difference.TAX: "posting_drift",
    Difference.MANUAL_CHANGE: "posting_drift",
    Difference.UNKNOWN_KEY: "posting_conflict",
    Difference.UNEXPLAINED: "posting_conflict",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Minutes:
    """Where a partition's approved minutes are. The four parts sum to the first, by construction of `of`.

    Non-billable are also those that a fee or a retainer pays for, and those that are written off: no line of their own
    bills them.
    """

    approved: int
    billed: int
    non_billable: int
    held: int
    pending: int

    @classmethod
    def of(cls, rows: Sequence[Reconciled]) -> "Minutes":
        """Billed is what the ERP has as it should be; pending is what should be there and is not, or not so."""
        totals: dict[str, int] = defaultdict(int)
        for row in rows:
            in_erp = row.difference in (Difference.MATCHED, Difference.NOT_INVOICED, Difference.ROUNDING)
            for outcome, minutes in row.minutes.items():
                if row.difference is Difference.NOT_LIVE or outcome is Outcome.HOLD:
                    part = "held"
                elif outcome is Outcome.POST:
                    part = "billed" if in_erp else "pending"
                else:
                    part = "non_billable"
                totals[part] += minutes
        return cls(
            approved=sum(row.approved_minutes for row in rows),
            billed=totals["billed"],
            non_billable=totals["non_billable"],
            held=totals["held"],
            pending=totals["pending"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """The rows of one partition: one an entry that is approved or has documents, one a stray document."""

    partition: Partition
    rows: tuple[Reconciled, ...]

    @property
    def minutes(self) -> Minutes:
        """Where the approved minutes are."""
        return Minutes.of(self.rows)


@dataclass(slots=True, kw_only=True)
class DifferenceClass:
    """The rows of one class and currency: how many, and their sums. `rows` has the first of them."""

    difference: Difference
    currency: str | None
    entries: int = 0
    approved_minutes: int = 0
    erp_minutes: int = 0
    approved_amount: Decimal = Decimal(0)
    erp_amount: Decimal = Decimal(0)
    invoiced_amount: Decimal = Decimal(0)
    rows: list[Reconciled] = field(default_factory=list)

    @property
    def explained(self) -> bool:
        """Whether a rule says why the sides differ."""
        return self.difference not in UNEXPLAINED

    def add(self, row: Reconciled, most_rows: int) -> None:
        """Count a row, and keep it if there are not that many yet."""
        self.entries += 1
        self.approved_minutes += row.approved_minutes
        self.erp_minutes += row.erp_minutes
        self.approved_amount += row.approved_amount or 0
        self.erp_amount += row.erp_amount
        self.invoiced_amount += row.invoiced_amount
        if len(self.rows) < most_rows:
            self.rows.append(row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """A partition's reconciliation as it stands in the store, by class; those without an explanation come first.

    `read_at` is when the ERP's documents of the partition were last read, None where they never were. Only `compared`
    of its `contracts` (work on none is one) where the time allowed was over before.
    """

    legal_entity: str
    service_month: str
    contracts: int
    compared: int
    read_at: dt.datetime | None
    classes: tuple[DifferenceClass, ...]

    @property
    def complete(self) -> bool:
        """Whether nothing was left out."""
        return self.compared == self.contracts

    @property
    def unexplained(self) -> int:
        """Entries that no rule explains."""
        return sum(c.entries for c in self.classes if not c.explained)


def differences(
    engine: Engine, scope: Scope, partition: Partition, *, go_on: Callable[[], bool], most_rows: int = 500
) -> Differences:
    """Compare a partition from what is in the store, without asking the ERP and without writing anything.

    Contract by contract, so that a month of a million entries needs no more memory than its largest contract, for as
    long as `go_on` says so. `most_rows` of each class are kept.
    """
    store, tenant = PgPostingStore(engine, scope.tenant), scope.tenant
    found: dict[tuple[Difference, str | None], DifferenceClass] = {}

    def count(row: Reconciled) -> None:
        kind = (row.difference, row.currency)
        one = found.setdefault(kind, DifferenceClass(difference=row.difference, currency=row.currency))
        one.add(row, most_rows)

    with engine.connect() as connection:
        decider = Decider(canonical.load_master(connection, scope), scope.rules)
        entity = decider.master.legal_entity(partition[0])
        dirty = work_heads.dirty_objects(connection, tenant, partition)
        contracts = list(fingerprints.contracts_of(connection, tenant, partition))
        compared = 0
        for contract_id in contracts:
            if not go_on():
                break
            decided = decide_partition(connection, scope, partition, [contract_id], decider=decider)
            for row in _rows(connection, store, tenant, decided, dirty):
                count(row)
            compared += 1
        if entity is not None:
            for row in _strays(connection, tenant, entity.erp_company, partition[1]):
                count(row)
        read_at = (
            None if entity is None else erp_documents.last_read(connection, tenant, entity.erp_company, partition[1])
        )
    return Differences(
        legal_entity=partition[0],
        service_month=partition[1],
        contracts=len(contracts),
        compared=compared,
        read_at=read_at,
        classes=tuple(sorted(found.values(), key=lambda c: (c.explained, c.difference, c.currency or ""))),
    )


def reconcile(runtime: Runtime, partition: Partition) -> Reconciliation:
    """Compare and classify; each unexplained difference becomes an exception item, and resolves when it is gone."""
    tenant, scope = runtime.settings.tenant, runtime.scope
    company = erp_company(runtime, partition[0])
    store = PgPostingStore(runtime.engine, tenant)
    with runtime.engine.begin() as connection:
        decided = decide_partition(connection, scope, partition)
        dirty = work_heads.dirty_objects(connection, tenant, partition)
        rows = list(_rows(connection, store, tenant, decided, dirty))
        _review_taxes(connection, runtime, company, partition[0], decided.master)
        rows += _strays(connection, tenant, company, partition[1])
        found = Reconciliation(partition=partition, rows=tuple(rows))
        scope_name = f"reconciliation:{partition[0]}:{partition[1]}"
        sightings = [_sighting(row, partition) for row in found.rows if not row.explained]
        exceptions.open_or_touch(connection, tenant, scope_name, sightings, runtime.clock())
        seen = [(s.code, s.object_id) for s in sightings]
        exceptions.resolve_absent(connection, tenant, scope_name, seen, runtime.clock())
        note_unclassified(connection, tenant, partition, company=company, now=runtime.clock())
    work_log.reconciled(partition, entries=len(rows), unexplained=len(sightings))
    return found


def _rows(
    connection: Connection, store: PgPostingStore, tenant: str, decided: Decided, dirty: Collection[str]
) -> Iterator[Reconciled]:
    """The rows of what was decided about; `dirty` has the ids of what changed since it was last planned."""
    postings: dict[str, list[Posting]] = defaultdict(list)
    for posting in store.of_objects([d.object_id for d in decided.decisions], connection=connection):
        if posting.effect_type is _BILLING:
            postings[posting.object_id].append(posting)
    keys = [p.key for of_entry in postings.values() for p in of_entry]
    tax_rates = {t.erp_tax: t.rate for t in decided.master.tax_profiles if t.erp_tax is not None}
    under_key: dict[str, list[ErpDocument]] = defaultdict(list)
    for row in erp_documents.of_keys(connection, tenant, keys):
        under_key[row.key].append(_document(row))
    for decision in decided.decisions:
        mine = postings[decision.object_id]
        if _matters(decision, mine):
            documents = [d for p in mine for d in under_key[p.key]]
            yield reconcile_entry(decision, mine, documents, dirty=head_of(decision) in dirty, tax_rates=tax_rates)


def _strays(connection: Connection, tenant: str, company: str, month: str) -> Iterator[Reconciled]:
    """The rows of the ERP's lines that no posting accounts for."""
    for row in erp_documents.strays(connection, tenant, company, month):
        yield reconcile_stray(_document(row), credits_ours=row.credits_key is not None)


def _review_taxes(
    connection: Connection, runtime: Runtime, company: str, legal_entity: str, master: MasterData
) -> None:
    profile = RoundingProfile(
        basis=runtime.settings.connections.erp.tax_basis, mode=runtime.settings.connections.erp.rounding
    )
    tenant, now = runtime.settings.tenant, runtime.clock()
    reviewed = tax_review.review(connection, tenant, company, legal_entity, master=master, profile=profile)
    found = tax_review.sightings(reviewed, company, legal_entity)
    scope = f"tax:{company}"
    exceptions.open_or_touch(connection, tenant, scope, found, now)
    exceptions.resolve_absent(connection, tenant, scope, [(s.code, s.object_id) for s in found], now)


def _matters(decision: Decision, postings: Sequence[Posting]) -> bool:
    """Whether it is about billing. What a contract earns in a month is not."""
    bills = decision.minutes > 0 or decision.effect(_BILLING) is not None or decision.hold(_BILLING) is not None
    return (decision.outcome is not Outcome.NONE and bills) or bool(postings)


def _sighting(row: Reconciled, partition: Partition) -> Sighting:
    return Sighting(
        code=_CODES[row.difference],
        object_id=row.object_id,
        detail="; ".join(
            (
                f"{row.difference.value}: approved {row.approved_amount}, ERP {row.erp_amount} {row.currency or ''}",
                *row.changes,
            )
        ),
        evidence={"difference": row.difference.value, **({"posting": row.missing} if row.missing else {})},
        legal_entity=partition[0],
        service_month=partition[1],
        minutes=row.approved_minutes,
    )


def _document(row: Row[Any]) -> ErpDocument:
    return ErpDocument(
        key=row.key or "",
        erp_id=row.erp_id,
        erp_company=row.erp_company,
        effect_type=EffectType(row.effect_type),
        amount=Money(row.amount, row.currency),
        minutes=row.minutes,
        date=row.service_date,
        document=row.document,
        document_state=row.document_state,
        posted=row.posted,
        tax_amount=row.tax_amount,
        party=row.party,
        analytic=row.analytic,
    )
