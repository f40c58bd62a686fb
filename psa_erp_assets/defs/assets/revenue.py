"""Group revenue: what contracts earn, as draft journal entries in the ERP."""

from typing import Any

import dagster as dg

from psa_erp_assets.defs import policies
from psa_erp_assets.defs.assets import posting
from psa_erp_assets.domain.effects import EffectType


@policies.partitioned_asset(
    group_name=policies.REVENUE,
    description="Draft journal entries of revenue that is not earned by billing (straight line, milestones, percent "
    "complete) and of expected losses, one a contract component and month, dated at the month's end. They debit the "
    "contract's balance, which its billing lines credit.",
    deps=["posting_plan"],
    kinds={"tryton", "postgres"},
    code_version="1",
    pool=policies.POSTING_POOL,
)
def revenue_entries(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
    return posting.settle(context, EffectType.REVENUE_ENTRY)


def assets() -> list[dg.AssetsDefinition]:
    """The one asset of the group."""
    return [revenue_entries]
