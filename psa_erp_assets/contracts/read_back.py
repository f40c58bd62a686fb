"""What the ERP holds, as read back: the boundary from the ERP."""

import pandas as pd

from psa_erp_assets.contracts.frames import Contract, each_row, table_schema
from psa_erp_assets.contracts.lake_tables import (
    ERP_BILLING_LINES,
    ERP_COST_ENTRIES,
    ERP_INTERCOMPANY_CHARGES,
    ERP_INVOICES,
    ERP_PAYMENTS,
    ERP_REVENUE_ENTRIES,
    LakeTable,
)


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


def _entries(table: LakeTable, what: str) -> tuple[Contract, Contract]:
    """What holds for journal entries of one kind: each is read once, and none is there twice."""
    plural = table.name.removeprefix("erp_")
    return (
        Contract(
            name=f"{plural}_are_readable",
            description=f"Each {what} of the ERP is read once, with its date and amount.",
            table=table,
            schema=table_schema(table, unique=["erp_id"]),
        ),
        Contract(
            name=f"no_{what.replace(' ', '_')}_is_in_the_erp_twice",
            description=f"No two of the ERP's {plural.replace('_', ' ')} have one of the sync's keys.",
            table=table,
            schema=table_schema(table, checks=[each_row("its key is its own", _own_key)]),
        ),
    )


INVOICES = Contract(
    name="invoices_add_up",
    description="Each invoice of the ERP is read once, and its net and tax come to its total.",
    table=ERP_INVOICES,
    schema=table_schema(ERP_INVOICES, unique=["erp_id"], checks=[each_row("net and tax come to the total", _totals)]),
)

PAYMENTS = Contract(
    name="payments_are_readable",
    description="Each payment of the ERP is read once for each invoice that it pays, with its date and amount.",
    table=ERP_PAYMENTS,
    schema=table_schema(ERP_PAYMENTS, unique=["legal_entity", "erp_id", "invoice_id"]),
)

CONTRACTS = (
    BILLING_LINES,
    ONE_LINE_A_KEY,
    *_entries(ERP_COST_ENTRIES, "cost entry"),
    *_entries(ERP_INTERCOMPANY_CHARGES, "intercompany charge"),
    *_entries(ERP_REVENUE_ENTRIES, "revenue entry"),
    INVOICES,
    PAYMENTS,
)
