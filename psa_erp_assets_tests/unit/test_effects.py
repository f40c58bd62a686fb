"""Effects: one payload for one content, and reversals that leave nothing."""

import datetime as dt
import json
from collections.abc import Callable
from dataclasses import fields, replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psa_erp_assets.domain.effects import (
    BillingLine,
    CostTransaction,
    Effect,
    from_payload,
    payload_hash,
    reversal_of,
    to_payload,
)
from psa_erp_assets.domain.money import Money

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
AMOUNTS = st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**12), max_value=10**12)
MONEY = st.builds(Money, AMOUNTS, st.sampled_from(("USD", "GBP", "JPY")))
COMMON = {
    "erp_company": TEXT,
    "analytic": TEXT,
    "employee_name": TEXT,
    "service_date": st.dates(),
    "minutes": st.integers(-100_000, 100_000),
    "per_hour": MONEY,
    "amount": MONEY,
    "description": TEXT,
}
BILLING = st.builds(BillingLine, party=TEXT, tax=st.none() | TEXT, **COMMON)
EFFECTS = BILLING | st.builds(CostTransaction, **COMMON)


@given(effect=EFFECTS)
def test_a_payload_goes_there_and_back(effect: Effect) -> None:
    """What is sent again after a crash would not be what was planned."""
    stored = json.loads(json.dumps(to_payload(effect)))
    assert from_payload(stored) == effect
    assert payload_hash(from_payload(stored)) == payload_hash(effect)


@given(effect=EFFECTS)
def test_a_reversal_and_its_original_are_nothing(effect: Effect) -> None:
    """Edge cases 7, 8 and 30: a credit with another tax, rate, date or account leaves something in the ledger."""
    credit = reversal_of(effect)
    assert credit.minutes + effect.minutes == 0
    assert (credit.amount + effect.amount).amount == 0
    same = [f.name for f in fields(effect) if f.name not in ("minutes", "amount")]
    assert [getattr(credit, name) for name in same] == [getattr(effect, name) for name in same]
    assert reversal_of(credit) == effect


@given(effect=BILLING, data=st.data())
def test_every_field_counts(effect: BillingLine, data: st.DataObject) -> None:
    """Edge case 12: a change that the hash does not see is never corrected in the ERP."""
    name = data.draw(st.sampled_from([f.name for f in fields(effect)]))
    strategy = {**COMMON, "party": TEXT, "tax": st.none() | TEXT}[name]
    changed = replace(effect, **{name: data.draw(strategy.filter(lambda value: value != getattr(effect, name)))})
    assert payload_hash(changed) != payload_hash(effect)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda p: {k: v for k, v in p.items() if k != "amount"},
        lambda p: p | {"effect_type": "gift"},
        lambda p: p | {"service_date": "yesterday"},
        lambda p: p | {"amount": {"amount": "much", "currency": "USD"}},
        lambda p: p | {"amount": {"amount": "1", "currency": "dollars"}},
        lambda p: p | {"discount": "1"},
        lambda p: {k: v for k, v in p.items() if k != "party"},
    ],
)
def test_what_is_no_payload_is_refused(spoil: Callable[[dict[str, object]], dict[str, object]]) -> None:
    """Half an effect would be posted."""
    effect = BillingLine(
        erp_company="1",
        party="7",
        analytic="11",
        employee_name="Ada",
        service_date=dt.date(2026, 9, 14),
        minutes=60,
        per_hour=Money(Decimal(100), "USD"),
        amount=Money(Decimal(100), "USD"),
        tax=None,
        description="",
    )
    with pytest.raises((KeyError, ValueError)):
        from_payload(spoil(to_payload(effect)))
