"""Contracts on frames: which rows break them, and what is said about these."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest

from psa_erp_assets.contracts import approved_time, postings, read_back
from psa_erp_assets.contracts.boundaries import BOUNDARIES
from psa_erp_assets.contracts.frames import Contract, failing_rows
from psa_erp_assets.domain.faults import FAULTS

ENTRY: dict[str, Any] = {
    "tenant": "demo",
    "entry_id": "time_entry:clockify:1",
    "revision": 1,
    "legal_entity": "UK",
    "service_month": "2026-09",
    "service_date": dt.date(2026, 9, 14),
    "employee_id": "EMP-0001",
    "project_id": "PRJ-0001",
    "contract_id": "CTR-0001",
    "customer_id": "CUS-0001",
    "minutes": 60,
    "billable": True,
    "outcome": "post",
    "hold_codes": [],
    "bill_rate_id": "PRJ-0001/*",
    "cost_rate_id": "EMP-0001@2026-01-01",
    "fx_rate_id": None,
    "bill_amount": Decimal("120.00"),
    "bill_currency": "GBP",
    "cost_amount": Decimal("40.00"),
    "cost_currency": "GBP",
    "recorded_at": dt.datetime(2026, 9, 15, tzinfo=dt.UTC),
}


def broken(contract: Contract, *rows: dict[str, Any]) -> pd.DataFrame:
    return failing_rows(contract, pd.DataFrame(list(rows), columns=contract.table.schema.names, dtype=object))


def test_rows_as_they_should_be_break_nothing() -> None:
    """A check that is red without a reason is soon ignored."""
    assert broken(approved_time.DECIDED, ENTRY).empty
    assert broken(approved_time.CAN_BE_POSTED, ENTRY).empty


@pytest.mark.parametrize("contract", BOUNDARIES, ids=lambda c: c.name)
def test_no_rows_break_nothing(contract: Contract) -> None:
    """A month in which nobody has worked is no fault."""
    assert broken(contract).empty


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"bill_amount": 120.0}, "bill_amount: is a Decimal"),
        ({"minutes": 60.0}, "minutes: is a int"),
        ({"minutes": True}, "minutes: is a int"),
        ({"minutes": 0}, "minutes are above zero"),
        ({"legal_entity": None}, "legal_entity: not_nullable"),
        ({"service_date": dt.date(2026, 10, 1)}, "the service date is in the service month"),
        ({"bill_currency": None}, "an amount has a currency"),
        ({"bill_amount": None, "bill_currency": None}, "an entry has a bill amount exactly if it is posted"),
        ({"hold_codes": ["nonsense"]}, "a hold has a code that is known"),
        ({"outcome": "none"}, "outcome: isin"),
    ],
)
def test_a_row_that_breaks_a_rule_is_shown_once_with_that_rule(change: dict[str, Any], rule: str) -> None:
    """Whoever reads a failed check must see which row it is and what is wrong with it."""
    failing = broken(approved_time.DECIDED, ENTRY, ENTRY | {"entry_id": "other"} | change)
    [row] = failing.to_dict("records")
    assert rule in row["rule"]
    assert row["entry_id"] == "other"


def test_two_rows_of_one_entry_are_both_shown() -> None:
    """An entry in two partitions would be billed twice."""
    assert len(broken(approved_time.DECIDED, ENTRY, ENTRY | {"legal_entity": "US"})) == 2


def test_a_missing_column_fails_as_such() -> None:
    """A frame without a column must not pass because there was nothing to look at."""
    frame = pd.DataFrame([ENTRY], dtype=object).drop(columns=["minutes"])
    assert not failing_rows(approved_time.CAN_BE_POSTED, frame).empty


def test_a_held_entry_says_what_to_do_next() -> None:
    """The list of held entries is what finance operations work from."""
    held = ENTRY | {"outcome": "hold", "hold_codes": ["no_bill_rate"], "bill_amount": None, "bill_currency": None}
    [row] = broken(approved_time.CAN_BE_POSTED, held).to_dict("records")
    assert row["hold_codes"] == ["no_bill_rate"]
    assert row["next_step"] == FAULTS["no_bill_rate"].next_step


def test_one_key_on_two_lines_of_the_erp_is_found_and_lines_without_a_key_are_not() -> None:
    """This is the duplicate that must never happen; finance's own lines have no key and are many."""
    line = dict.fromkeys(read_back.ONE_LINE_A_KEY.table.schema.names) | {
        "erp_id": "1",
        "legal_entity": "UK",
        "service_month": "2026-09",
        "service_date": dt.date(2026, 9, 14),
        "minutes": 60,
        "net_amount": Decimal(120),
        "currency": "GBP",
        "posted": False,
    }
    twice = [line | {"erp_id": "2", "key": "k"}, line | {"erp_id": "3", "key": "k"}]
    failing = broken(read_back.ONE_LINE_A_KEY, line, line | {"erp_id": "4"}, *twice)
    assert list(failing["erp_id"]) == ["2", "3"]


POSTING: dict[str, Any] = dict.fromkeys(postings.SENT_AS_PLANNED.table.schema.names) | {
    "key": "k",
    "legal_entity": "UK",
    "service_month": "2026-09",
    "effect_type": "billing_line",
    "leg": "original",
    "operation": "create",
    "object_id": "time_entry:clockify:1",
    "revision": 1,
    "state": "verified",
    "amount": Decimal(120),
    "currency": "GBP",
    "minutes": 60,
    "erp_id": "7",
    "service_date": dt.date(2026, 9, 14),
    "created_at": dt.datetime(2026, 9, 15, tzinfo=dt.UTC),
}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"leg": "reversal", "amount": Decimal(-120), "minutes": -60},
        {"leg": "reversal", "takes_back_minutes": -60},
        {"leg": "withdrawal", "operation": "withdraw", "amount": Decimal(-120), "minutes": -60},
        {"amount": Decimal(0)},
        {"minutes": 0},
        {"minutes": 0, "amount": Decimal(-42)},
        {"leg": "reversal", "minutes": 0, "amount": Decimal(42)},
    ],
    ids=[
        "time",
        "its reversal",
        "the reversal of that",
        "its withdrawal",
        "at no rate",
        "a fee",
        "a refunded expense",
        "the reversal of one",
    ],
)
def test_fees_expenses_and_revenue_may_be_of_either_sign(change: dict[str, Any]) -> None:
    """Without minutes there is no sign to expect: the check would be red for every fee and for corrected revenue."""
    assert broken(postings.SENT_AS_PLANNED, POSTING | change).empty


@pytest.mark.parametrize("change", [{"amount": Decimal(-120)}, {"minutes": -60}, {"leg": "reversal"}])
def test_time_that_is_taken_back_the_wrong_way_is_found(change: dict[str, Any]) -> None:
    """A credit that bills a second time is the most expensive sign of all."""
    assert len(broken(postings.SENT_AS_PLANNED, POSTING | change)) == 1
