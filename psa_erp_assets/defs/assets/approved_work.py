"""Group approved_work: time as the PSA has it, and what of it is approved."""

from typing import Any

import dagster as dg

from psa_erp_assets.defs import policies, presenting
from psa_erp_assets.defs.assets.master_data import TOUCHED
from psa_erp_assets.defs.catalog import Catalog
from psa_erp_assets.defs.partitions import lake_keys, partition_of
from psa_erp_assets.defs.resources import runtime_of


class Sweep(dg.Config):
    """How much a sweep reads: what changed since the last one or, if complete, everything, with a look for deletes."""

    complete: bool = False


@policies.asset(
    group_name=policies.APPROVED_WORK,
    description="Every version of every time entry and its approval, as received from the PSA, and the canonical "
    "revisions made of them. First works off webhook deliveries that wait, then sweeps: what a webhook missed, a "
    "sweep finds. A complete sweep also finds what was deleted.",
    deps=["psa_users"],
    kinds={"clockify", "postgres"},
    code_version="1",
    pool=policies.PSA_POOL,
)
def time_entry_inbox(context: dg.AssetExecutionContext, config: Sweep) -> dg.MaterializeResult[Any]:
    from psa_erp_assets.services import hint_worker, sync  # noqa: PLC0415 - services are imported by runs alone

    runtime = runtime_of(context)
    drained = hint_worker.drain(runtime)
    received = sync.sweep(runtime, complete=config.complete)
    return dg.MaterializeResult(
        metadata={
            "deliveries_handled": drained.handled,
            "deliveries_failed": drained.failed,
            "fetched": received.fetched,
            "new_versions": received.new_versions,
            "new_revisions": drained.revised + len(received.revised),
            "malformed": received.malformed,
            "inbox": presenting.console_link(runtime.settings.console_url, "/inbox"),
        }
    )


@policies.asset(
    group_name=policies.APPROVED_WORK,
    description="Every version of every milestone of a fixed fee, as received from the second PSA, and the canonical "
    "revisions made of them. Always a complete read: what the PSA no longer lists has been deleted. Reads nothing "
    "where the settings name no second PSA.",
    deps=["contracts"],
    kinds={"kantata", "postgres"},
    code_version="1",
    pool=policies.PSA_POOL,
)
def milestone_inbox(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
    from psa_erp_assets.services import sync  # noqa: PLC0415

    runtime = runtime_of(context)
    received = sync.sweep_milestones(runtime)
    return dg.MaterializeResult(
        metadata={
            "fetched": received.fetched,
            "new_versions": received.new_versions,
            "new_revisions": len(received.revised),
            "malformed": received.malformed,
            "inbox": presenting.console_link(runtime.settings.console_url, "/inbox"),
        }
    )


def assets(catalog: Catalog) -> list[dg.AssetsDefinition]:
    """The inbox, and approved time by partition."""

    @policies.partitioned_asset(
        group_name=policies.APPROVED_WORK,
        description="Approved time entries in their current revision with what is decided about each: post with this "
        "amount, not billable, or hold and why. An entry stands in exactly one partition.",
        deps=["time_entry_inbox", "milestone_inbox", TOUCHED],
        kinds={"postgres", "ducklake", "pandas"},
        code_version="1",
        metadata={"dagster/column_schema": catalog.column_schema("approved_time")},
    )
    def approved_time(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        from psa_erp_assets.contracts.lake_tables import APPROVED_TIME  # noqa: PLC0415
        from psa_erp_assets.services import frames  # noqa: PLC0415

        runtime, partition = runtime_of(context), partition_of(context.partition_key)
        frame = frames.approved_time(runtime, partition)
        result = runtime.lake.replace_partition(APPROVED_TIME, frame, lake_keys(partition))
        # Of no rows at all `map` makes objects, and pandas would take those for names of columns.
        held = frame[frame["hold_codes"].map(bool).astype(bool)]
        return dg.MaterializeResult(
            metadata={
                **presenting.written(result, "approved_time"),
                "minutes": int(frame["minutes"].sum()),
                "held_entries": len(held),
                "held": presenting.rows_table(held[["entry_id", "service_date", "minutes", "hold_codes"]]),
                **presenting.amounts_of(frame, "bill_amount", "bill_currency"),
                **presenting.amounts_of(frame, "cost_amount", "cost_currency"),
            }
        )

    return [time_entry_inbox, milestone_inbox, approved_time]
