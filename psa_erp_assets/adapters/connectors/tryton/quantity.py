"""The quantity at which Tryton's own arithmetic gives exactly the amount that was decided."""

from decimal import ROUND_HALF_EVEN, Decimal

from psa_erp_assets.domain.money import Money, divide, exponent, multiply

DIGITS = 10
"""Digits of an hour that the ERP's billing unit keeps."""

_QUANTUM = Decimal(1).scaleb(-DIGITS)
# Half a minute, 1/120 of an hour, cut off early enough that no rounding of the tenth digit reaches it.
_ALMOST_HALF_A_MINUTE = Decimal("0.0083333331")


class NotExpressibleError(ValueError):
    """No quantity near the minutes gives the amount at this rate."""


def hours(minutes: int, per_hour: Money, amount: Money) -> Decimal:
    """Hours with ten digits, such that Tryton shows `amount` for them.

    Tryton rounds quantity × price, half to even (`currency.round` in its currency module). Seven minutes at 133.50
    are 15.575, whose half a cent is lost in ten digits of an hour: 0.1166666667 gives 15.58, 0.1166666666 15.57.
    So where the nearest quantity misses the amount, the one that hits its middle is taken, or the closest to it that
    still reads back as the minutes: less than half a minute away from them. What a cap leaves of a line is such an
    amount, with the minutes that it comes to. Raises NotExpressibleError where no such quantity gives the amount.
    """
    nearest = divide(Decimal(minutes), Decimal(60)).quantize(_QUANTUM)
    if _shown(nearest, per_hour) == amount.amount:
        return nearest
    if per_hour.amount:
        middle = divide(amount.amount, per_hour.amount).quantize(_QUANTUM)
        within = min(max(middle, nearest - _ALMOST_HALF_A_MINUTE), nearest + _ALMOST_HALF_A_MINUTE)
        if _shown(within, per_hour) == amount.amount:
            return within
    raise NotExpressibleError(f"{minutes} min at {per_hour} an hour cannot be shown as {amount}")


def minutes_of(quantity: Decimal) -> int:
    """The whole minutes of a quantity of hours."""
    return int((quantity * 60).to_integral_value(ROUND_HALF_EVEN))


def _shown(quantity: Decimal, per_hour: Money) -> Decimal:
    exact = multiply(quantity, per_hour.amount)
    return exact.quantize(Decimal(1).scaleb(-exponent(per_hour.currency)), ROUND_HALF_EVEN)
