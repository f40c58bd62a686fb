"""Group cost_transactions: what the work costs, as draft journal entries in the ERP."""

from typing import Any

import dagster as dg

from psa_erp_assets.defs import policies
from psa_erp_assets.defs.assets import posting
from psa_erp_assets.domain.effects import EffectType


@policies.partitioned_asset(
    group_name=policies.COST_TRANSACTIONS,
    description="Draft journal entries of labor cost in the ERP, on the project's analytic account and in the "
    "currency of the entity's books, one for each approved entry, billable or not.",
    deps=["posting_plan"],
    kinds={"tryton", "postgres"},
    code_version="1",
    pool=policies.POSTING_POOL,
)
def cost_transactions(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
    return posting.settle(context, EffectType.COST_TRANSACTION)


def assets() -> list[dg.AssetsDefinition]:
    """The one asset of the group."""
    return [cost_transactions]
