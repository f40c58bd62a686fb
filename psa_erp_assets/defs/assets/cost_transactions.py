"""Group cost_transactions: what the work costs, as draft journal entries in the ERP."""

from typing import Any

import dagster as dg

from psa_erp_assets.defs import policies
from psa_erp_assets.defs.assets import posting
from psa_erp_assets.domain.effects import EffectType


@policies.partitioned_asset(
    group_name=policies.COST_TRANSACTIONS,
    description="Draft journal entries of project cost in the ERP, on the project's analytic account and in the "
    "currency of the entity's books, one for each approved time entry or expense, billable or not. Labor of another "
    "entity's people is at the transfer price.",
    deps=["posting_plan"],
    kinds={"tryton", "postgres"},
    code_version="1",
    pool=policies.POSTING_POOL,
)
def cost_transactions(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
    return posting.settle(context, EffectType.COST_TRANSACTION)


@policies.partitioned_asset(
    group_name=policies.COST_TRANSACTIONS,
    description="Draft journal entries in the books of the entity that employs whoever worked for another entity's "
    "project: what it charges that entity, at the transfer price. The partition is that of the project.",
    deps=["posting_plan"],
    kinds={"tryton", "postgres"},
    code_version="1",
    pool=policies.POSTING_POOL,
)
def intercompany_charges(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
    return posting.settle(context, EffectType.INTERCOMPANY_CHARGE)


def assets() -> list[dg.AssetsDefinition]:
    """Cost in the books of whoever sells the work, and what its people's employer charges."""
    return [cost_transactions, intercompany_charges]
