"""Asset checks: the pandera schema of each boundary, and the invariants that hold between tables.

A check looks at the whole table in the lake, whichever partition a run is about, so that its result is the table's
and not that of whatever ran last. Rows that fail are in its metadata. Blocking is not done here: a check blocks only
its own run, so the gate before posting is state in PostgreSQL.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import dagster as dg

from psa_erp_assets.defs import presenting
from psa_erp_assets.defs.catalog import Catalog, ContractDoc, writer_of
from psa_erp_assets.defs.resources import RUNTIME, runtime_of

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True)
class _Invariant:
    """A SELECT of the rows that break what must hold between tables."""

    name: str
    asset: str
    description: str
    tables: Sequence[str]
    sql: str


_INVARIANTS = (
    _Invariant(
        name="minutes_balance",
        asset="three_way_reconciliation",
        description="In each partition, billed + non-billable + held + pending minutes are the approved minutes: "
        "reconciliation has lost none and counted none twice.",
        tables=("approved_time", "reconciliation"),
        sql="""
            WITH approved AS (
                SELECT legal_entity, service_month, sum(minutes) AS approved,
                       sum(minutes) FILTER (outcome = 'non_billable') AS non_billable,
                       sum(minutes) FILTER (outcome = 'hold') AS held
                FROM approved_time GROUP BY ALL
            ), reconciled AS (
                SELECT legal_entity, service_month, sum(approved_minutes) AS reconciled,
                       sum(approved_minutes) FILTER (difference IN ('matched', 'not_invoiced', 'rounding'))
                           AS billed
                FROM reconciliation GROUP BY ALL
            )
            SELECT legal_entity, service_month, approved, reconciled, billed, non_billable, held
            FROM approved FULL JOIN reconciled USING (legal_entity, service_month)
            WHERE coalesce(approved, 0) <> coalesce(reconciled, 0)
               OR coalesce(billed, 0) + coalesce(non_billable, 0) + coalesce(held, 0) > coalesce(approved, 0)
            ORDER BY ALL
        """,
    ),
    _Invariant(
        name="ledger_equals_erp",
        asset="three_way_reconciliation",
        description="In the books of each entity, by month and currency, the billing lines that the ledger knows to be "
        "in the ERP come to what the ERP's own lines under our keys come to.",
        tables=("postings", "erp_billing_lines"),
        sql="""
            -- What takes back work that has moved to another entity or month is in the books that it has left.
            WITH books AS (
                SELECT key, min(legal_entity) AS entity, min(service_month) AS month
                FROM erp_billing_lines WHERE key IS NOT NULL GROUP BY key
            ), ledger AS (
                SELECT coalesce(entity, legal_entity) AS legal_entity, coalesce(month, service_month) AS service_month,
                       currency, sum(amount) AS ledger_amount, sum(minutes) AS minutes
                FROM postings LEFT JOIN books USING (key)
                WHERE effect_type = 'billing_line' AND operation = 'create'
                  AND state IN ('confirmed', 'verified', 'drift', 'reversed')
                GROUP BY ALL
            ), erp AS (
                SELECT legal_entity, service_month, currency, sum(net_amount) AS erp_amount, sum(minutes) AS erp_minutes
                FROM erp_billing_lines WHERE key IS NOT NULL GROUP BY ALL
            )
            SELECT legal_entity, service_month, currency, ledger_amount, erp_amount, minutes, erp_minutes
            FROM ledger FULL JOIN erp USING (legal_entity, service_month, currency)
            WHERE coalesce(ledger_amount, 0) <> coalesce(erp_amount, 0)
               OR coalesce(minutes, 0) <> coalesce(erp_minutes, 0)
            ORDER BY ALL
        """,
    ),
)


def checks(catalog: Catalog) -> list[dg.AssetChecksDefinition]:
    """One op a table for its contracts, and one an invariant."""
    by_table = groupby(sorted(catalog.contracts, key=lambda c: c.table), key=lambda c: c.table)
    return [
        *(_contracts_of(table, tuple(contracts)) for table, contracts in by_table),
        *(_invariant(invariant) for invariant in _INVARIANTS),
    ]


def _contracts_of(table: str, contracts: tuple[ContractDoc, ...]) -> dg.AssetChecksDefinition:
    asset = writer_of(table)

    @dg.multi_asset_check(
        name=f"{asset}_contracts",
        specs=[dg.AssetCheckSpec(c.name, asset=asset, description=c.description) for c in contracts],
        can_subset=True,
        required_resource_keys={RUNTIME},
    )
    def validated(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        from psa_erp_assets.contracts.boundaries import BOUNDARIES  # noqa: PLC0415 - pandera, which only runs need
        from psa_erp_assets.contracts.frames import failing_rows  # noqa: PLC0415
        from psa_erp_assets.services import frames  # noqa: PLC0415

        frame = frames.stored(runtime_of(context), table)
        wanted = {key.name for key in context.selected_asset_check_keys}
        for contract in BOUNDARIES:
            if contract.name in wanted:
                severity = dg.AssetCheckSeverity.WARN if contract.expected_dirt else dg.AssetCheckSeverity.ERROR
                failing = failing_rows(contract, frame)
                yield result(failing, asset=asset, name=contract.name, severity=severity, looked_at=len(frame))

    return validated


def _invariant(invariant: _Invariant) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        name=invariant.name,
        asset=invariant.asset,
        description=invariant.description,
        required_resource_keys={RUNTIME},
    )
    def holds(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        from psa_erp_assets.services import frames  # noqa: PLC0415

        failing = frames.selected(runtime_of(context), invariant.sql, invariant.tables)
        return result(failing, asset=invariant.asset, name=invariant.name, severity=dg.AssetCheckSeverity.ERROR)

    return holds


def result(
    failing: "pd.DataFrame", *, asset: str, name: str, severity: dg.AssetCheckSeverity, looked_at: int | None = None
) -> dg.AssetCheckResult:
    """Passed if no row fails; else with the first of those that do."""
    metadata: presenting.Metadata = {"failing_rows": len(failing), "rows": presenting.rows_table(failing)}
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=name,
        passed=failing.empty,
        severity=severity,
        metadata=metadata if looked_at is None else metadata | {"rows_looked_at": looked_at},
    )
