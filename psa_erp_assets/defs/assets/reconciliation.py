"""Group reconciliation: what the ERP holds, whoever put it there, and how it compares with what was approved."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import dagster as dg

from psa_erp_assets.defs import policies, presenting
from psa_erp_assets.defs.catalog import Catalog
from psa_erp_assets.defs.partitions import PARTITIONS, lake_keys, partition_of
from psa_erp_assets.defs.resources import RUNTIME, runtime_of

_READ_BACK = {
    "erp_billing_lines": "Customer invoice lines as the ERP has them, made by the sync or by hand, with the invoice "
    "that has taken them up.",
    "erp_cost_entries": "Entries of the ERP's cost journal, made by the sync or by hand.",
    "erp_intercompany_charges": "What the entity charges other entities for its people's work.",
    "erp_revenue_entries": "Revenue recognized and losses provided for, in the ERP's revenue journal.",
    "erp_invoices": "Customer invoices and credit notes of all entities as the ERP has them, drafts included: number, "
    "state, amounts and what is still open.",
    "erp_payments": "Payments of customer invoices of all entities as the ERP has them: which invoice, when, how much.",
}


def assets(catalog: Catalog) -> list[dg.AssetsDefinition]:
    """The read-back, the comparison, and the items that people have to clear."""
    return [_read_back(catalog), _three_way(catalog), _exceptions(catalog)]


def _read_back(catalog: Catalog) -> dg.AssetsDefinition:
    specs = [
        dg.AssetSpec(
            name,
            description=f"{description} Read from the ERP itself, never from our own ledger.",
            group_name=policies.RECONCILIATION,
            deps=["draft_invoice_lines", "cost_transactions", "intercompany_charges", "revenue_entries"],
            kinds={"tryton", "ducklake", "pandas"},
            code_version="1",
            partitions_def=PARTITIONS,
            metadata={"dagster/column_schema": catalog.column_schema(name)},
        )
        for name, description in _READ_BACK.items()
    ]

    @dg.multi_asset(
        specs=specs,
        name="erp_read_back",
        required_resource_keys={RUNTIME},
        pool=policies.ERP_POOL,
    )
    def erp_read_back(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
        yield from _read(context)

    return erp_read_back


@policies.trying_again
def _read(context: dg.AssetExecutionContext) -> list[dg.MaterializeResult[Any]]:
    from psa_erp_assets.services import frames, read_back  # noqa: PLC0415 - services are imported by runs alone

    runtime, partition = runtime_of(context), partition_of(context.partition_key)
    found = read_back.read_back(runtime, partition)
    results: list[dg.MaterializeResult[Any]] = []
    for table, frame, keys in frames.read_back(runtime, partition):
        result = runtime.lake.replace_partition(table, frame, keys)
        metadata = {
            **presenting.written(result, table.name),
            **presenting.amounts_of(frame, "amount" if "amount" in frame.columns else "net_amount", "currency"),
            "documents_too_many": found.duplicates,
        }
        results.append(dg.MaterializeResult(asset_key=table.name, metadata=metadata))
    return results


def _three_way(catalog: Catalog) -> dg.AssetsDefinition:
    @policies.partitioned_asset(
        group_name=policies.RECONCILIATION,
        description="Approved time, the ERP's billing lines and its posted invoices, compared entry by entry. Each "
        "difference has a class and a next step; one that no rule explains fails the month's gate. "
        "Billed + non-billable + held + pending minutes are the approved minutes.",
        deps=["approved_time", "posting_ledger", *_READ_BACK],
        kinds={"postgres", "ducklake", "pandas"},
        code_version="1",
        metadata={"dagster/column_schema": catalog.column_schema("reconciliation")},
    )
    def three_way_reconciliation(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        from psa_erp_assets.contracts.lake_tables import RECONCILIATION  # noqa: PLC0415
        from psa_erp_assets.services import frames  # noqa: PLC0415
        from psa_erp_assets.services.reconciliation import reconcile  # noqa: PLC0415

        runtime, partition = runtime_of(context), partition_of(context.partition_key)
        found = reconcile(runtime, partition)
        frame = frames.reconciliation(runtime, found)
        result = runtime.lake.replace_partition(RECONCILIATION, frame, lake_keys(partition))
        classes = Counter((row.difference.value, row.next_step) for row in found.rows)
        return dg.MaterializeResult(
            metadata={
                **presenting.written(result, "reconciliation"),
                "differences": presenting.markdown_table(
                    ["class", "rows", "next step"], [(name, n, step) for (name, step), n in classes.most_common()]
                ),
                "unexplained": sum(not row.explained for row in found.rows),
                **presenting.minutes(found.minutes),
                "page": presenting.console_link(
                    runtime.settings.console_url, "/reconciliation", entity=partition[0], month=partition[1]
                ),
            }
        )

    return three_way_reconciliation


def _exceptions(catalog: Catalog) -> dg.AssetsDefinition:
    @policies.asset(
        group_name=policies.RECONCILIATION,
        description="Everything in trouble, open and resolved: what it is, whose it is and what to do next.",
        deps=["three_way_reconciliation"],
        kinds={"postgres", "ducklake", "pandas"},
        code_version="1",
        metadata={"dagster/column_schema": catalog.column_schema("exceptions")},
    )
    def exceptions(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        from psa_erp_assets.contracts.lake_tables import EXCEPTIONS  # noqa: PLC0415
        from psa_erp_assets.services import frames  # noqa: PLC0415

        runtime = runtime_of(context)
        frame = frames.exceptions(runtime)
        result = runtime.lake.replace_partition(EXCEPTIONS, frame)
        now_open = frame[frame["resolved_at"].isna()]
        groups = now_open.groupby(["code", "owner", "next_step"]).size().reset_index(name="items")
        return dg.MaterializeResult(
            metadata={
                **presenting.written(result, "exceptions"),
                "open": len(now_open),
                "open_by_code": presenting.rows_table(groups),
                "console": presenting.console_link(runtime.settings.console_url, "/exceptions"),
            }
        )

    return exceptions
