"""Three-way reconciliation of a partition, from the mirror of the ERP that `read_back` has just made."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row

from psa_erp_assets.adapters.store import credits as credit_rows
from psa_erp_assets.adapters.store import erp_documents, exceptions, work_heads
from psa_erp_assets.adapters.store.exceptions import Sighting
from psa_erp_assets.adapters.store.postings import PgPostingStore
from psa_erp_assets.adapters.store.work_heads import Partition
from psa_erp_assets.domain.decision import Decision, Outcome
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.erp import ErpDocument
from psa_erp_assets.domain.master import MasterData
from psa_erp_assets.domain.money import Money
from psa_erp_assets.domain.posting import Posting
from psa_erp_assets.domain.reconcile import Difference, Reconciled, reconcile_entry, reconcile_stray
from psa_erp_assets.domain.tax import RoundingProfile
from psa_erp_assets.services import tax_review
from psa_erp_assets.services.deciding import decide_partition, head_of
from psa_erp_assets.services.read_back import erp_company
from psa_erp_assets.services.runtime import Runtime

_BILLING = EffectType.BILLING_LINE
_CODES = {
    Difference.MISSING: "document_missing",
    Difference.DUPLICATE: "posting_duplicate",
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
            in_erp = row.difference in (Difference.MATCHED, Difference.NOT_INVOICED)
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


def reconcile(runtime: Runtime, partition: Partition) -> Reconciliation:
    """Compare and classify; each unexplained difference becomes an exception item, and resolves when it is gone."""
    tenant, scope = runtime.settings.tenant, runtime.scope
    company = erp_company(runtime, partition[0])
    store = PgPostingStore(runtime.engine, tenant)
    with runtime.engine.begin() as connection:
        decided = decide_partition(connection, scope, partition)
        dirty = work_heads.dirty_objects(connection, tenant, partition)
        postings: dict[str, list[Posting]] = defaultdict(list)
        for posting in store.of_objects([d.object_id for d in decided.decisions], connection=connection):
            if posting.effect_type is _BILLING:
                postings[posting.object_id].append(posting)
        keys = [p.key for of_entry in postings.values() for p in of_entry]
        under_key: dict[str, list[ErpDocument]] = defaultdict(list)
        for row in erp_documents.of_keys(connection, tenant, keys):
            under_key[row.key].append(_document(row))
        _review_taxes(connection, runtime, company, partition[0], decided.master)
        strays = erp_documents.strays(connection, tenant, company, partition[1])
        rows = [
            reconcile_entry(
                decision,
                postings[decision.object_id],
                [d for p in postings[decision.object_id] for d in under_key[p.key]],
                dirty=head_of(decision) in dirty,
            )
            for decision in decided.decisions
            if _matters(decision, postings[decision.object_id])
        ]
        rows += [reconcile_stray(_document(row), credits_ours=row.credits_key is not None) for row in strays]
        found = Reconciliation(partition=partition, rows=tuple(rows))
        scope_name = f"reconciliation:{partition[0]}:{partition[1]}"
        sightings = [_sighting(row, partition) for row in found.rows if not row.explained]
        sightings += _unclassified_credits(connection, tenant, company, partition)
        exceptions.open_or_touch(connection, tenant, scope_name, sightings, runtime.clock())
        seen = [(s.code, s.object_id) for s in sightings]
        exceptions.resolve_absent(connection, tenant, scope_name, seen, runtime.clock())
    return found


def _unclassified_credits(connection: Connection, tenant: str, company: str, partition: Partition) -> list[Sighting]:
    """Credits that finance made in the ERP of which nobody has said yet whether the hours are billed anew."""
    by_hand = erp_documents.credited_by_hand(connection, tenant, company, partition[1])
    said: Counter[str] = Counter()
    for credit in credit_rows.of_objects(connection, tenant, list(by_hand)):
        said[credit.object_id] += credit.minutes if credit.in_erp else 0
    return [
        Sighting(
            code="credited_in_erp",
            object_id=object_id,
            detail=f"{minutes} min credited in the ERP, {said[object_id]} of them classified",
            evidence={"credited_minutes": minutes, "classified_minutes": said[object_id]},
            legal_entity=partition[0],
            service_month=partition[1],
            minutes=minutes - said[object_id],
        )
        for object_id, minutes in sorted(by_hand.items())
        if minutes > said[object_id]
    ]


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
