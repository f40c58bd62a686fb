"""The end of a month in Dagster: everything is read back and compared, and only what is explained is closed.

The check blocks: where anything in the month is unexplained, the run ends before the asset `month_end`, so that a
materialization of it is the proof that the gate has passed.
"""

from typing import Any

import dagster as dg

from psa_erp_assets.defs import policies, presenting
from psa_erp_assets.defs.partitions import partition_of
from psa_erp_assets.defs.resources import RUNTIME, runtime_of

_COMPARED = "three_way_reconciliation"


@dg.asset_check(
    asset=_COMPARED,
    name="nothing_is_unexplained",
    blocking=True,
    required_resource_keys={RUNTIME},
    description="No entry, posting or account of the general ledger differs from the ERP without an explanation: of "
    "the run's month, or of all months where the run has none. Blocks the end of a month.",
)
def nothing_is_unexplained(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """Fails with what is unexplained, as `psa-erp reconcile --gate` does."""
    from psa_erp_assets.services import gate, sync  # noqa: PLC0415 - services are imported by runs alone

    runtime = runtime_of(context)
    of_run = [partition_of(context.partition_key)] if context.has_partition_key else None
    found = gate.of_lake(runtime, of_run or sync.all_partitions(runtime))
    rows = [
        (f.legal_entity, f.service_month, f.look.value, f.code, f.object_id, f.detail, f.next_step)
        for f in found.findings[: presenting.MOST_ROWS]
    ]
    headings = ["entity", "month", "look", "what", "id", "detail", "next step"]
    return dg.AssetCheckResult(
        passed=not found.findings,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={
            "unexplained": len(found.findings),
            "months": len(found.partitions),
            "rows": presenting.markdown_table(headings, rows),
        },
    )


@policies.partitioned_asset(
    group_name=policies.RECONCILIATION,
    description="A month of an entity in which everything is explained. It is materialized only where the blocking "
    "check `nothing_is_unexplained` has passed, with what the month came to.",
    deps=[_COMPARED],
    kinds={"ducklake"},
    code_version="1",
)
def month_end(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
    """What the month came to, by class of difference."""
    from psa_erp_assets.services import frames  # noqa: PLC0415 - services are imported by runs alone

    runtime, partition = runtime_of(context), partition_of(context.partition_key)
    frame = frames.stored(runtime, "reconciliation")
    mine = frame[(frame["legal_entity"] == partition[0]) & (frame["service_month"] == partition[1])]
    classes = [
        (difference, len(rows), int(rows["approved_minutes"].sum()), int(rows["erp_minutes"].sum()))
        for difference, rows in mine.groupby("difference", sort=True)
    ]
    return dg.MaterializeResult(
        metadata={
            "entries": len(mine),
            "differences": presenting.markdown_table(["class", "rows", "approved minutes", "ERP minutes"], classes),
            **presenting.amounts_of(mine, "invoiced_amount", "currency"),
            "page": presenting.console_link(
                runtime.settings.console_url, "/reconciliation", entity=partition[0], month=partition[1]
            ),
        }
    )


_JOB = dg.define_asset_job(
    "month_end_gate",
    selection=dg.AssetSelection.assets(
        "approved_time",
        "posting_ledger",
        "erp_billing_lines",
        "erp_cost_entries",
        "erp_intercompany_charges",
        "erp_revenue_entries",
        "erp_invoices",
        "erp_payments",
        _COMPARED,
        "month_end",
    ).without_checks()
    | dg.AssetSelection.checks(nothing_is_unexplained),
    description="Reads a month back from the ERP, compares it, and ends it only if nothing is unexplained. Posts "
    "nothing.",
    executor_def=dg.in_process_executor,
)
JOBS = [_JOB]
