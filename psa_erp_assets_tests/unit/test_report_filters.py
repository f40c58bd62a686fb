"""Periods of reports, and the address of what is behind a number."""

from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psa_erp_assets.services.report_filters import Drill, Filters, months_between, shifted

MONTHS = st.builds("{:04d}-{:02d}".format, st.integers(1950, 2150), st.integers(1, 12))


@given(month=MONTHS, by=st.integers(-500, 500))
def test_going_there_and_back_is_where_one_began(month: str, by: int) -> None:
    """A trend would begin in another month than the twelfth before."""
    assert shifted(shifted(month, by), -by) == month
    assert months_between(month, shifted(month, by)) == by + 1


@given(first=MONTHS, length=st.integers(1, 60))
def test_the_period_before_is_as_long_and_ends_just_before(first: str, length: int) -> None:
    """A quarter would be compared with a month, or with a part of itself."""
    filters = Filters(first=first, last=shifted(first, length - 1))
    before = filters.before()
    assert before.first is not None
    assert before.last is not None
    assert shifted(before.last, 1) == first
    assert months_between(before.first, before.last) == length


@pytest.mark.parametrize(("value", "sent"), [(None, "-"), (False, "false"), ("A & B?", "A & B?")])
def test_the_address_of_rows_has_the_values_of_the_number(value: object, sent: str) -> None:
    """The link of a number would open the rows of all, where its row has no member or a name with a sign in it."""
    drill = Drill(mart="fct_cost", keys={"customer": "member"}, exact={"kind": "kind"}, without=("practice",))
    filters = Filters(first="2026-09", last="2026-09", practice="Data", currency="entity", run=7)
    address = urlsplit(drill.address(filters, {"member": value, "kind": None}))
    assert address.path == "/reports/rows/fct_cost"
    assert parse_qs(address.query) == {
        "from": ["2026-09"],
        "to": ["2026-09"],
        "customer": [sent],
        "kind": ["-"],
        "currency": ["entity"],
        "run": ["7"],
    }
