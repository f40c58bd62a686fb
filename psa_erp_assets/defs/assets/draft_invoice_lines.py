"""Group draft_invoice_lines: the plan of a partition, and the billing lines that it puts into the ERP."""

from typing import Any

import dagster as dg

from psa_erp_assets.defs import policies, presenting
from psa_erp_assets.defs.assets import posting
from psa_erp_assets.defs.catalog import Catalog
from psa_erp_assets.defs.partitions import lake_keys, partition_of
from psa_erp_assets.defs.resources import runtime_of
from psa_erp_assets.domain.effects import EffectType


@policies.partitioned_asset(
    group_name=policies.DRAFT_INVOICE_LINES,
    description="The difference between the effects that should exist in the ERP and those that do: what to create, "
    "take back or hold, and why. Making it again from the same facts gives an empty plan. Applied as soon as it is "
    "made; nothing has been sent yet.",
    deps=["approved_time"],
    kinds={"postgres"},
    code_version="1",
)
def posting_plan(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
    from psa_erp_assets.services import sync  # noqa: PLC0415 - services are imported by runs alone

    runtime, partition = runtime_of(context), partition_of(context.partition_key)
    contracts = posting.with_late_changes(context, partition, posting.contracts_of(context))
    plan = sync.plan_and_apply(runtime, partition, created_by=posting.created_by(context), contracts=contracts)
    page = presenting.console_link(runtime.settings.console_url, f"/plans/{plan.id}")
    return dg.MaterializeResult(metadata={**presenting.plan(plan), "page": page})


@policies.partitioned_asset(
    group_name=policies.DRAFT_INVOICE_LINES,
    description="Draft customer invoice lines in the ERP, one for each approved billable entry, expense, milestone, "
    "instalment and retainer fee, each sent at most once and read back. Finance puts them on invoices; the "
    "sync never posts an invoice.",
    deps=["posting_plan"],
    kinds={"tryton", "postgres"},
    code_version="1",
    pool=policies.POSTING_POOL,
)
def draft_invoice_lines(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
    return posting.settle(context, EffectType.BILLING_LINE)


def assets(catalog: Catalog) -> list[dg.AssetsDefinition]:
    """The plan, the lines, and the ledger of everything that was sent."""

    @policies.partitioned_asset(
        group_name=policies.DRAFT_INVOICE_LINES,
        description="The ledger of effects in the lake: each posting with its key, its state and its id in the ERP. "
        "It is what replays and audits start from.",
        deps=["draft_invoice_lines", "cost_transactions", "intercompany_charges", "revenue_entries"],
        kinds={"postgres", "ducklake", "pandas"},
        code_version="1",
        metadata={"dagster/column_schema": catalog.column_schema("postings")},
    )
    def posting_ledger(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        from psa_erp_assets.contracts.lake_tables import POSTINGS  # noqa: PLC0415
        from psa_erp_assets.services import frames  # noqa: PLC0415

        runtime, partition = runtime_of(context), partition_of(context.partition_key)
        frame = frames.postings(runtime, partition)
        result = runtime.lake.replace_partition(POSTINGS, frame, lake_keys(partition))
        states = frame.groupby(["effect_type", "state"]).size().reset_index(name="postings")
        return dg.MaterializeResult(
            metadata={
                **presenting.written(result, "postings"),
                "states": presenting.rows_table(states),
                **presenting.amounts_of(frame, "amount", "currency"),
            }
        )

    return [posting_plan, draft_invoice_lines, posting_ledger]
