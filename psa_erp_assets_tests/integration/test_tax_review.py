"""Taxes of posted invoices, as the ERP charged them, beside what their lines come to, in a real store."""

from collections.abc import Sequence
from decimal import Decimal

import pytest
from sqlalchemy import Engine, insert

from psa_erp_assets.adapters.store import schema
from psa_erp_assets.adapters.store.postings import PgPostingStore
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.money import Money, Rounding
from psa_erp_assets.domain.tax import DifferenceClass, RoundingProfile, TaxBasis
from psa_erp_assets.domain.values import replace
from psa_erp_assets.services import tax_review
from psa_erp_assets_tests.support.facts import TENANT, make_master
from psa_erp_assets_tests.support.postings import NOON, make_effect, make_posting

PROFILE = RoundingProfile(basis=TaxBasis.DOCUMENT, mode=Rounding.HALF_UP)


def keep(engine: Engine, charged: str, *, lines: int = 2, by_hand: int = 0, state: str = "posted") -> None:
    """An invoice of some lines of ours, and of some that somebody made in the ERP."""
    effect = replace(make_effect(60, erp_company="2"), tax="301", amount=Money(Decimal("100.00"), "GBP"))
    ours = [replace(make_posting(f"e{n}", effect=effect), tenant=TENANT) for n in range(lines)]
    PgPostingStore(engine, TENANT).add(ours, NOON)
    same = {"tenant": TENANT, "erp_company": "2", "read_at": NOON}
    rows = [
        same
        | {
            "effect_type": EffectType.BILLING_LINE.value,
            "erp_id": f"line {n}",
            "key": ours[n].key if n < lines else None,
            "service_month": "2026-09",
            "service_date": effect.service_date,
            "minutes": 60,
            "amount": Decimal("100.00"),
            "currency": "GBP",
            "document": "INV-1",
            "document_state": state,
            "posted": state == "posted",
        }
        for n in range(lines + by_hand)
    ]
    invoice = same | {
        "erp_id": "1",
        "number": "INV-1",
        "party": "70",
        "currency": "GBP",
        "net": Decimal(100 * (lines + by_hand)),
        "tax": Decimal(charged),
        "total": Decimal(100 * (lines + by_hand)) + Decimal(charged),
        "open_amount": Decimal(0),
        "lines": lines + by_hand,
        "state": state,
    }
    with engine.begin() as connection:
        connection.execute(insert(schema.erp_document), rows)
        connection.execute(insert(schema.erp_invoice), [invoice])


def review(engine: Engine) -> Sequence[tax_review.InvoiceTax]:
    with engine.connect() as connection:
        return tax_review.review(connection, TENANT, "2", "UK", master=make_master(), profile=PROFILE)


@pytest.mark.parametrize(
    ("charged", "difference"), [("40.00", DifferenceClass.NONE), ("40.01", DifferenceClass.ROUNDING)]
)
def test_a_tax_that_is_right_to_the_cent_or_rounded_otherwise_is_no_exception(
    clean_store: Engine, charged: str, difference: DifferenceClass
) -> None:
    """A queue of cents that nobody can do anything about."""
    keep(clean_store, charged)
    (found,) = review(clean_store)
    assert (found.number, found.predicted, found.charged) == (
        "INV-1",
        Money(Decimal("40.00"), "GBP"),
        Money(Decimal(charged), "GBP"),
    )
    assert found.difference.difference_class is difference
    assert tax_review.sightings([found], "2", "UK") == []


def test_a_tax_that_no_rounding_explains_is_an_exception(clean_store: Engine) -> None:
    """The ERP charges another rate than master data say, and the tax office asks first."""
    keep(clean_store, "20.00")
    (sighting,) = tax_review.sightings(review(clean_store), "2", "UK")
    assert (sighting.code, sighting.object_id, sighting.legal_entity) == ("tax_differs", "invoice:2:INV-1", "UK")
    assert "40.00" in sighting.detail
    assert "20.00" in sighting.detail


def test_an_invoice_with_a_line_made_by_hand_is_finance_s_to_tax(clean_store: Engine) -> None:
    """Each such invoice would be an exception, as its line is not in the prediction."""
    keep(clean_store, "57.00", by_hand=1)
    assert review(clean_store) == []


@pytest.mark.parametrize("state", ["draft", "cancelled"])
def test_an_invoice_that_is_not_posted_has_no_tax_yet(clean_store: Engine, state: str) -> None:
    """What finance still changes, or has taken back, would be blamed."""
    keep(clean_store, "1.00", state=state)
    assert review(clean_store) == []
