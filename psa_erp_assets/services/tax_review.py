"""The tax on posted invoices compared with what was predicted: what rounding does not explain becomes an exception."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import Connection

from psa_erp_assets.adapters.store import erp_documents
from psa_erp_assets.adapters.store.exceptions import Sighting
from psa_erp_assets.domain.effects import BillingLine, from_payload
from psa_erp_assets.domain.master import MasterData
from psa_erp_assets.domain.money import Money
from psa_erp_assets.domain.tax import (
    DifferenceClass,
    RoundingProfile,
    TaxDifference,
    TaxedLine,
    explain,
    predict,
)

_ACCEPTED = frozenset({DifferenceClass.NONE, DifferenceClass.ROUNDING})


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceTax:
    """The tax of one posted invoice: predicted from its lines, charged by the ERP, and why they differ."""

    number: str
    predicted: Money
    charged: Money
    difference: TaxDifference


def review(
    connection: Connection,
    tenant: str,
    erp_company: str,
    legal_entity: str,
    *,
    master: MasterData,
    profile: RoundingProfile,
) -> list[InvoiceTax]:
    """The taxes of a company's posted invoices, as they were last read.

    Only invoices all of whose lines the sync has made are reviewed: what somebody adds by hand is theirs to tax.
    """
    rates = {t.erp_tax: t.rate for t in master.tax_profiles if t.legal_entity == legal_entity}
    lines: dict[str, list[TaxedLine]] = defaultdict(list)
    for row in erp_documents.invoiced_payloads(connection, tenant, erp_company):
        effect = from_payload(row.payload)
        assert isinstance(effect, BillingLine)
        lines[row.document].append(
            TaxedLine(amount=effect.amount, rate=rates.get(effect.tax, Decimal(0)), tax=effect.tax)
        )
    found = []
    for invoice in erp_documents.posted_invoices(connection, tenant, erp_company):
        mine = lines.get(invoice.number, [])
        if not mine or len(mine) != invoice.lines:
            continue
        nothing = Money(Decimal(0), invoice.currency)
        predicted = sum(predict(mine, profile).values(), nothing)
        charged = Money(invoice.tax, invoice.currency)
        found.append(
            InvoiceTax(
                number=invoice.number,
                predicted=predicted,
                charged=charged,
                difference=explain(predicted, charged, len(mine)),
            )
        )
    return found


def sightings(reviewed: Sequence[InvoiceTax], erp_company: str, legal_entity: str) -> list[Sighting]:
    """Exception items for the invoices whose tax no rounding explains."""
    return [
        Sighting(
            code="tax_differs",
            object_id=f"invoice:{erp_company}:{tax.number}",
            detail=f"{tax.difference.difference_class}: predicted {tax.predicted}, charged {tax.charged}",
            evidence={"class": tax.difference.difference_class.value},
            legal_entity=legal_entity,
        )
        for tax in reviewed
        if tax.difference.difference_class not in _ACCEPTED
    ]
