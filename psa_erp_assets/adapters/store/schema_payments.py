"""The table of payments: which money the ERP has put to which invoice, as last read."""

from sqlalchemy import Column, Date, DateTime, Index, Numeric, Table, Text

from psa_erp_assets.adapters.store.schema import metadata

# A line of a journal entry that pays an invoice, or a part of it. `amount` is in the invoice's currency, negative where
# money went back.
erp_payment = Table(
    "erp_payment",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("erp_company", Text, primary_key=True),
    Column("erp_id", Text, primary_key=True),
    Column("invoice_id", Text, primary_key=True),
    Column("number", Text),
    Column("paid_on", Date, nullable=False),
    Column("amount", Numeric, nullable=False),
    Column("currency", Text, nullable=False),
    Column("read_at", DateTime(timezone=True), nullable=False),
    Index("ix_erp_payment_invoice", "tenant", "erp_company", "invoice_id"),
)
