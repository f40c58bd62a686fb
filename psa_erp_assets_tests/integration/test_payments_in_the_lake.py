"""Payments on their way from the ERP's mirror to the lake."""

import datetime as dt
from decimal import Decimal
from pathlib import Path

from sqlalchemy import Engine

from psa_erp_assets.contracts import read_back as contracts
from psa_erp_assets.contracts.lake_tables import ERP_PAYMENTS
from psa_erp_assets.services import frames
from psa_erp_assets_tests.support.plan_desk import PARTITION, plan_desk


def test_a_payment_is_in_the_lake_with_its_date_and_the_invoice_that_it_pays(
    clean_store: Engine, tmp_path: Path
) -> None:
    """Analysts would know how much was paid, and not when."""
    with plan_desk(clean_store, tmp_path) as desk:
        found = {table.name: (frame, keys) for table, frame, keys in frames.read_back(desk.runtime, PARTITION)}
    frame, keys = found[ERP_PAYMENTS.name]
    assert keys is None, "they have no service month: those of all entities are replaced together"
    contracts.PAYMENTS.schema.validate(frame)
    [row] = frame.to_dict("records")
    assert row == {
        "erp_id": "901",
        "number": "PAY-7",
        "invoice_id": "12",
        "legal_entity": "UK",
        "paid_on": dt.date(2026, 10, 3),
        "amount": Decimal("550.00"),
        "currency": "GBP",
    }
    [invoice] = found["erp_invoices"][0].to_dict("records")
    assert (invoice["erp_id"], invoice["legal_entity"]) == (row["invoice_id"], row["legal_entity"])
