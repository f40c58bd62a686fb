"""Figures that finance steers by and that follow from amounts alone: days sales outstanding.

Receivables and sales are of one currency and both with tax or both without. Days of several currencies are compared
as days; amounts are translated only afterwards.
"""

from collections.abc import Sequence
from decimal import Decimal

from psa_erp_assets.domain.money import CurrencyMismatchError, Money, divide, multiply


def dso(receivables: Money, sales: Money, days: int) -> Decimal | None:
    """Days sales outstanding by the standard method: receivables ÷ credit sales of so many days × these days.

    Unrounded; None where nothing was sold. Raises CurrencyMismatchError for two currencies.
    """
    if receivables.currency != sales.currency:
        raise CurrencyMismatchError(f"{receivables} and {sales} are of two currencies")
    if sales.amount <= 0:
        return None
    return divide(multiply(receivables.amount, Decimal(days)), sales.amount)


def dso_count_back(receivables: Money, sales_by_month: Sequence[Money], *, days_per_month: int = 30) -> Decimal | None:
    """Days sales outstanding by counting back: the receivables use up the sales of the latest months, one by one.

    A month that is used up counts as `days_per_month` days, the last one by the fraction of its sales that is left to
    use. `sales_by_month` are the oldest first. Unrounded; None where all the months together do not use up the
    receivables: more months must be given. Raises CurrencyMismatchError for two currencies.
    """
    left, days = receivables, Decimal(0)
    for sales in reversed(sales_by_month):
        rest = left - sales
        if left.amount <= 0:
            break
        if rest.amount < 0:
            return days + divide(multiply(left.amount, Decimal(days_per_month)), sales.amount)
        left, days = rest, days + days_per_month
    return days if left.amount <= 0 else None
