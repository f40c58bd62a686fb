"""The gate of a release or a month-end: whether anything in a month is unexplained, and what exactly.

Three looks: entries whose approved time, ERP lines and invoices differ without a rule that says why; postings of any
kind (costs, charges, revenue) whose document in the ERP is not what was sent; and accounts of the general ledger that
are not what the reporting store expects, and receivables that are not its open invoices, as of the last reporting run.
"""

import datetime as dt
import enum
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal

import duckdb

from psa_erp_assets.adapters.store import open_differences
from psa_erp_assets.adapters.store.work_heads import Partition
from psa_erp_assets.domain.faults import FAULTS
from psa_erp_assets.services import as_of
from psa_erp_assets.services.reconciliation import Reconciliation
from psa_erp_assets.services.runtime import Runtime

_IN_LAKE = """
    SELECT legal_entity, service_month, difference, entry_id, approved_amount, erp_amount, currency, next_step
    FROM reconciliation
    WHERE NOT explained
    ORDER BY ALL
"""
_LEDGER = """
    SELECT legal_entity, ledger_month AS month, role, expected_amount, ledger_amount, currency, next_step
    FROM mart_general_ledger_tie
    WHERE ledger_was_read AND abs(difference_amount) > tolerance_amount
    ORDER BY ALL
"""
# What customers owe stands for all months together.
_RECEIVABLES = """
    SELECT legal_entity, NULL AS month, 'receivable' AS role, open_amount AS expected_amount, ledger_amount, currency,
           'Compare the open invoices with the entries of the receivable account.' AS next_step
    FROM mart_receivables_tie
    WHERE abs(difference_amount) > tolerance_amount
    ORDER BY ALL
"""


class Look(enum.StrEnum):
    """Where something unexplained was found."""

    RECONCILIATION = "reconciliation"
    POSTINGS = "postings"
    GENERAL_LEDGER = "general_ledger"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that nothing explains. `amount` is by how much the ERP has more, where that is known.

    `service_month` is None for what is of no one month.
    """

    look: Look
    legal_entity: str
    service_month: str | None
    code: str
    object_id: str
    detail: str
    amount: Decimal | None
    currency: str | None
    next_step: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What was looked at and what was found. `ledger_as_of` is when the general ledger was last compared, if ever."""

    partitions: tuple[Partition, ...]
    findings: tuple[Finding, ...]
    ledger_as_of: dt.datetime | None

    @property
    def passed(self) -> bool:
        """Whether everything is explained. Where nothing was compared, nothing is known."""
        return bool(self.partitions) and not self.findings


def of_results(runtime: Runtime, results: Sequence[Reconciliation]) -> Gate:
    """The gate over reconciliations that have just been made."""
    rows = [
        Finding(
            look=Look.RECONCILIATION,
            legal_entity=result.partition[0],
            service_month=result.partition[1],
            code=row.difference.value,
            object_id=row.object_id,
            detail="; ".join(
                (
                    f"approved {row.approved_amount or 0}, ERP {row.erp_amount} {row.currency or ''}".strip(),
                    *row.changes,
                )
            ),
            amount=row.erp_amount - (row.approved_amount or 0),
            currency=row.currency,
            next_step=row.next_step,
        )
        for result in results
        for row in result.rows
        if not row.explained
    ]
    return _gate(runtime, [result.partition for result in results], rows)


def of_lake(runtime: Runtime, partitions: Collection[Partition]) -> Gate:
    """The gate over these partitions as they were reconciled last, without asking the ERP."""
    wanted = set(partitions)
    rows = [
        Finding(
            look=Look.RECONCILIATION,
            legal_entity=row["legal_entity"],
            service_month=row["service_month"],
            code=row["difference"],
            object_id=row["entry_id"],
            detail=f"approved {row['approved_amount'] or 0}, ERP {row['erp_amount']} {row['currency'] or ''}".strip(),
            amount=row["erp_amount"] - (row["approved_amount"] or 0),
            currency=row["currency"],
            next_step=row["next_step"],
        )
        for row in runtime.lake.query(_IN_LAKE).to_pylist()
        if (row["legal_entity"], row["service_month"]) in wanted
    ]
    return _gate(runtime, sorted(wanted), rows)


def _gate(runtime: Runtime, partitions: Sequence[Partition], rows: Sequence[Finding]) -> Gate:
    known = {(row.legal_entity, row.service_month, row.object_id) for row in rows}
    posted = _postings(runtime, partitions)
    ledger, ledger_as_of = _general_ledger(runtime, partitions)
    return Gate(
        partitions=tuple(partitions),
        findings=(
            *rows,
            *(f for f in posted if (f.legal_entity, f.service_month, f.object_id) not in known),
            *ledger,
        ),
        ledger_as_of=ledger_as_of,
    )


def _postings(runtime: Runtime, partitions: Sequence[Partition]) -> list[Finding]:
    with runtime.engine.connect() as connection:
        found = open_differences.of_partitions(connection, runtime.settings.tenant, partitions)
    return [
        Finding(
            look=Look.POSTINGS,
            legal_entity=row["legal_entity"],
            service_month=row["service_month"],
            code=row["code"],
            object_id=row["object_id"],
            detail=row["detail"],
            amount=None,
            currency=None,
            next_step=FAULTS[row["code"]].next_step,
        )
        for row in found
    ]


def _general_ledger(runtime: Runtime, partitions: Sequence[Partition]) -> tuple[Sequence[Finding], dt.datetime | None]:
    """The accounts that are off, and when they were compared; None where no reporting run has done so."""
    latest = as_of.runs(runtime, limit=1)
    if not latest:
        return (), None
    try:
        found = [row for sql in (_LEDGER, _RECEIVABLES) for row in runtime.lake.query(sql).to_pylist()]
    except (duckdb.CatalogException, duckdb.BinderException):
        # The run was of a version that did not compare them so.
        return (), None
    wanted, entities = set(partitions), {entity for entity, _ in partitions}
    return [
        Finding(
            look=Look.GENERAL_LEDGER,
            legal_entity=row["legal_entity"],
            service_month=row["month"],
            code=row["role"],
            object_id=f"account:{row['role']}",
            detail=f"expected {row['expected_amount']}, in the books {row['ledger_amount']} {row['currency']}",
            amount=row["ledger_amount"] - row["expected_amount"],
            currency=row["currency"],
            next_step=row["next_step"],
        )
        for row in found
        if (row["legal_entity"] in entities if row["month"] is None else (row["legal_entity"], row["month"]) in wanted)
    ], latest[0].published_at
