"""What the ERP holds, as read back: the boundary from the ERP."""

import pandas as pd

from psa_erp_assets.contracts.frames import Contract, each_row, table_schema
from psa_erp_assets.contracts.lake_tables import ERP_BILLING_LINES, ERP_COST_ENTRIES, ERP_INVOICES


def _own_key(frame: pd.DataFrame) -> "pd.Series[bool]":
    return ~(frame["key"].notna() & frame["key"].duplicated(keep=False))


def _totals(frame: pd.DataFrame) -> "pd.Series[bool]":
    return frame["net_amount"] + frame["tax_amount"] == frame["total_amount"]


BILLING_LINES = Contract(
    name="billing_lines_are_readable",
    description="Each billing line of the ERP is read once, with its service date and amount.",
    table=ERP_BILLING_LINES,
    schema=table_schema(ERP_BILLING_LINES, unique=["erp_id"]),
)

ONE_LINE_A_KEY = Contract(
    name="no_billing_line_is_in_the_erp_twice",
    description="No two billing lines of the ERP have one of the sync's keys.",
    table=ERP_BILLING_LINES,
    schema=table_schema(ERP_BILLING_LINES, checks=[each_row("its key is its own", _own_key)]),
)

COST_ENTRIES = Contract(
    name="cost_entries_are_readable",
    description="Each cost entry of the ERP is read once, with its date and amount.",
    table=ERP_COST_ENTRIES,
    schema=table_schema(ERP_COST_ENTRIES, unique=["erp_id"]),
)

ONE_ENTRY_A_KEY = Contract(
    name="no_cost_entry_is_in_the_erp_twice",
    description="No two cost entries of the ERP have one of the sync's keys.",
    table=ERP_COST_ENTRIES,
    schema=table_schema(ERP_COST_ENTRIES, checks=[each_row("its key is its own", _own_key)]),
)

INVOICES = Contract(
    name="invoices_add_up",
    description="Each invoice of the ERP is read once, and its net and tax come to its total.",
    table=ERP_INVOICES,
    schema=table_schema(ERP_INVOICES, unique=["erp_id"], checks=[each_row("net and tax come to the total", _totals)]),
)

CONTRACTS = (BILLING_LINES, ONE_LINE_A_KEY, COST_ENTRIES, ONE_ENTRY_A_KEY, INVOICES)
