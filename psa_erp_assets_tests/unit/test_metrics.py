"""Days sales outstanding by both methods, with the published figures."""

from decimal import Decimal

import pytest

from psa_erp_assets.domain.metrics import dso, dso_count_back
from psa_erp_assets.domain.money import CurrencyMismatchError, Money
from psa_erp_assets_tests.support.facts import money

SALES = [money("70000"), money("80000"), money("100000")]


def rounded(days: Decimal | None, digits: str) -> Decimal:
    assert days is not None
    return days.quantize(Decimal(digits))


def test_the_standard_method_gives_30_4() -> None:
    """metrics.md: receivables of 150,000 and sales of 1,800,000 a year; broken, the headline figure is wrong."""
    assert rounded(dso(money("150000"), money("1800000"), 365), "0.1") == Decimal("30.4")


def test_counting_back_gives_73_71_where_the_standard_method_gives_76_32() -> None:
    """metrics.md: 212,000 against three months of thirty days; broken, growing sales look like slow payers."""
    assert rounded(dso_count_back(money("212000"), SALES), "0.01") == Decimal("73.71")
    assert rounded(dso(money("212000"), money("250000"), 90), "0.01") == Decimal("76.32")


@pytest.mark.parametrize(
    ("receivables", "days"),
    [("0", "0"), ("-10", "0"), ("50000", "15"), ("100000", "30"), ("250000", "90"), ("250000.01", None)],
)
def test_counting_back_ends_where_the_receivables_are_used_up(receivables: str, days: str | None) -> None:
    """A figure for receivables older than the sales given would be too low, and nobody would see it."""
    assert dso_count_back(money(receivables), SALES) == (None if days is None else Decimal(days))


def test_a_month_without_sales_counts_whole() -> None:
    """What is owed is older than it; left out, the receivables would look a month younger."""
    assert dso_count_back(money("10"), [money("20"), money("0")]) == 45


def test_no_sales_give_no_figure() -> None:
    """Not a division by nought, and not nought days either."""
    assert dso(money("10"), money("0"), 30) is None
    assert dso_count_back(money("10"), []) is None


def test_two_currencies_are_refused() -> None:
    """Dollars owed for pounds sold would be a figure that means nothing."""
    with pytest.raises(CurrencyMismatchError):
        dso(money("10", "USD"), money("10"), 30)
    with pytest.raises(CurrencyMismatchError):
        dso_count_back(Money(Decimal(10), "USD"), SALES)
