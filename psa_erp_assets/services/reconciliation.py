"""Three-way reconciliation of a partition, from the mirror of the ERP that `read_back` has just made."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row

from psa_erp_assets.adapters.store import erp_documents, exceptions, time_entries
from psa_erp_assets.adapters.store.exceptions import Sighting
from psa_erp_assets.adapters.store.postings import PgPostingStore
from psa_erp_assets.adapters.store.time_entries import Partition
from psa_erp_assets.domain.decide import Decision, Outcome, decide
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.erp import ErpDocument
from psa_erp_assets.domain.money import Money
from psa_erp_assets.domain.posting import Posting
from psa_erp_assets.domain.reconcile import Difference, Reconciled, reconcile_entry, reconcile_stray
from psa_erp_assets.services import canonical
from psa_erp_assets.services.read_back import erp_company
from psa_erp_assets.services.runtime import Runtime

_CODES = {
    Difference.MISSING: "document_missing",
    Difference.DUPLICATE: "posting_duplicate",
    Difference.MANUAL_CHANGE: "posting_drift",
    Difference.UNKNOWN_KEY: "posting_conflict",
    Difference.UNEXPLAINED: "posting_conflict",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Minutes:
    """Where a partition's approved minutes are. The four parts sum to the first, by construction of `of`."""

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
            if row.outcome is Outcome.NON_BILLABLE:
                part = "non_billable"
            elif row.outcome is Outcome.HOLD:
                part = "held"
            else:
                part = "billed" if row.difference in (Difference.MATCHED, Difference.NOT_INVOICED) else "pending"
            totals[part] += row.approved_minutes
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


def reconcile(runtime: Runtime, partition: Partition) -> Reconciliation:
    """Compare and classify; each unexplained difference becomes an exception item, and resolves when it is gone."""
    tenant, scope = runtime.settings.tenant, runtime.scope
    company = erp_company(runtime, partition[0])
    store = PgPostingStore(runtime.engine, tenant)
    with runtime.engine.begin() as connection:
        entries = time_entries.in_partition(connection, tenant, partition)
        master = canonical.load_master(connection, tenant)
        heads = time_entries.dirty_entries(connection, tenant, partition)
        postings: dict[str, list[Posting]] = defaultdict(list)
        for posting in store.of_objects([e.id for e in entries], connection=connection):
            if posting.effect_type is EffectType.BILLING_LINE:
                postings[posting.object_id].append(posting)
        keys = [p.key for of_entry in postings.values() for p in of_entry]
        under_key: dict[str, list[ErpDocument]] = defaultdict(list)
        for row in erp_documents.of_keys(connection, tenant, keys):
            under_key[row.key].append(_document(row))
        strays = erp_documents.strays(connection, tenant, company, partition[1])
        rows = [
            reconcile_entry(
                decision,
                postings[decision.object_id],
                [d for p in postings[decision.object_id] for d in under_key[p.key]],
                dirty=decision.object_id in heads,
            )
            for decision in (decide(entry, master, scope.rules) for entry in entries)
            if _matters(decision, postings[decision.object_id])
        ]
        rows += [reconcile_stray(_document(row)) for row in strays]
        found = Reconciliation(partition=partition, rows=tuple(rows))
        scope_name = f"reconciliation:{partition[0]}:{partition[1]}"
        sightings = [_sighting(row, partition) for row in found.rows if not row.explained]
        exceptions.open_or_touch(connection, tenant, scope_name, sightings, runtime.clock())
        seen = [(s.code, s.object_id) for s in sightings]
        exceptions.resolve_absent(connection, tenant, scope_name, seen, runtime.clock())
    return found


def _matters(decision: Decision, postings: Sequence[Posting]) -> bool:
    return decision.outcome is not Outcome.NONE or bool(postings)


def _sighting(row: Reconciled, partition: Partition) -> Sighting:
    return Sighting(
        code=_CODES[row.difference],
        object_id=row.object_id,
        detail=f"{row.difference.value}: approved {row.approved_amount}, ERP {row.erp_amount} {row.currency or ''}",
        evidence={"difference": row.difference.value},
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
    )
