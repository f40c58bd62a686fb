"""Effects: one payload for one content, and reversals that leave nothing."""

import datetime as dt
import enum
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psa_erp_assets.domain.effects import (
    BilledTo,
    BillingLine,
    CostKind,
    CostTransaction,
    Effect,
    IntercompanyCharge,
    RevenueEntry,
    RevenueKind,
    booking_date,
    from_payload,
    payload_hash,
    reversal_of,
    to_payload,
)
from psa_erp_assets.domain.money import Money
from psa_erp_assets.domain.values import replace

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
AMOUNTS = st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**12), max_value=10**12)
MONEY = st.builds(Money, AMOUNTS, st.sampled_from(("USD", "GBP", "JPY")))
EVERY: dict[str, st.SearchStrategy[Any]] = {
    "erp_company": TEXT,
    "service_date": st.dates(),
    "amount": MONEY,
    "description": TEXT,
}
WORK = EVERY | {"employee_name": TEXT, "minutes": st.integers(-100_000, 100_000)}
POSTED_ON = {"posting_date": st.none() | st.dates()}
FIELDS: dict[type[Effect], dict[str, st.SearchStrategy[Any]]] = {
    BillingLine: WORK
    | {
        "party": TEXT,
        "analytic": TEXT,
        "per_hour": st.none() | MONEY,
        "tax": st.none() | TEXT,
        "account": st.sampled_from(BilledTo),
    },
    CostTransaction: WORK
    | POSTED_ON
    | {"analytic": TEXT, "per_hour": st.none() | MONEY, "kind": st.sampled_from(CostKind)},
    IntercompanyCharge: WORK | POSTED_ON | {"partner_company": TEXT, "per_hour": MONEY},
    RevenueEntry: EVERY | POSTED_ON | {"analytic": TEXT, "kind": st.sampled_from(RevenueKind)},
}
EFFECTS = st.one_of([st.builds(kind, **of_kind) for kind, of_kind in FIELDS.items()])
LINE = BillingLine(
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
COST = CostTransaction(
    erp_company="1",
    analytic="11",
    employee_name="Ada",
    service_date=dt.date(2026, 9, 14),
    minutes=60,
    per_hour=Money(Decimal(60), "USD"),
    amount=Money(Decimal(60), "USD"),
    description="",
)


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
    same = [name for name in effect.__struct_fields__ if name not in ("minutes", "amount")]
    assert [getattr(credit, name) for name in same] == [getattr(effect, name) for name in same]
    assert reversal_of(credit) == effect


def test_the_strategies_have_every_field() -> None:
    """A field that is added would be stored, hashed and reversed by nobody's proof."""
    assert {kind: set(kind.__struct_fields__) for kind in FIELDS} == {k: set(names) for k, names in FIELDS.items()}


def test_defaults_are_one_object() -> None:
    """What equals its default would be written where it is another object, and hash otherwise than before."""
    defaults = [default for kind in FIELDS for default in kind.__struct_defaults__]
    assert defaults
    assert all(default is None or isinstance(default, enum.Enum) for default in defaults)


@given(effect=EFFECTS, data=st.data())
def test_every_field_counts(effect: Effect, data: st.DataObject) -> None:
    """Edge case 12: a change that the hash does not see is never corrected in the ERP."""
    name = data.draw(st.sampled_from(effect.__struct_fields__))
    other = FIELDS[type(effect)][name].filter(lambda value: value != getattr(effect, name))
    changed = replace(effect, **{name: data.draw(other)})
    assert payload_hash(changed) != payload_hash(effect)


def test_what_was_posted_before_has_the_hash_that_it_had() -> None:
    """Everything in the ERP would be credited and posted anew because effects have gained fields."""
    assert payload_hash(LINE) == "0aacdfddf2df33d8c85489173f5f0050830e668d41335d83f1b8378c62f58ba4"
    assert payload_hash(COST) == "cf5c8e44f65839a662b911ccdf465f033e4717fb039580bed0dd419a27337498"


def test_an_effect_is_booked_on_its_own_day_unless_somebody_chose_another() -> None:
    """Edge case 18: an entry would be looked for, or held, in a month that it is not in."""
    chosen = dt.date(2026, 10, 1)
    assert [booking_date(effect) for effect in (LINE, COST)] == [LINE.service_date, COST.service_date]
    assert booking_date(replace(COST, posting_date=chosen)) == chosen


@pytest.mark.parametrize(
    "spoil",
    [
        lambda p: {k: v for k, v in p.items() if k != "amount"},
        lambda p: p | {"effect_type": "gift"},
        lambda p: p | {"service_date": "yesterday"},
        lambda p: p | {"amount": {"amount": "much", "currency": "USD"}},
        lambda p: p | {"amount": {"amount": "1", "currency": "dollars"}},
        lambda p: p | {"discount": "1"},
        lambda p: p | {"account": "suspense"},
        lambda p: {k: v for k, v in p.items() if k != "party"},
    ],
)
def test_what_is_no_payload_is_refused(spoil: Callable[[dict[str, object]], dict[str, object]]) -> None:
    """Half an effect would be posted."""
    with pytest.raises((KeyError, ValueError)):
        from_payload(spoil(to_payload(LINE)))
