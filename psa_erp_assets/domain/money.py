"""Money as Decimal with its currency, minor units, rounding, and division without a lost cent.

What belongs here: amounts, currencies, rounding modes, allocation. What does not: rates and prices (`pricing`), tax.
"""

import decimal
import enum
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

# ISO 4217 minor-unit exponents that differ from 2 (source: ISO 4217:2015 table A.1).
_EXPONENTS = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF"), 0),
    **dict.fromkeys(("UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}

# Wide enough for 10**18 minor units times a rate with ten decimals; the default of 28 digits is not.
_CONTEXT = decimal.Context(prec=50, rounding=decimal.ROUND_HALF_EVEN)
_SIXTY = Decimal(60)


class Rounding(enum.StrEnum):
    """How a half is rounded. A property of the ERP (its rounding profile), never a default of the language."""

    HALF_UP = "half_up"
    HALF_EVEN = "half_even"

    @property
    def mode(self) -> str:
        """The constant of the decimal module."""
        return decimal.ROUND_HALF_UP if self is Rounding.HALF_UP else decimal.ROUND_HALF_EVEN


_MODES = {rounding: rounding.mode for rounding in Rounding}


class CurrencyMismatchError(ValueError):
    """Two currencies met where one was expected; adding them would be a total that means nothing."""


@functools.cache
def exponent(currency: str) -> int:
    """Digits after the decimal point that `currency` has in ISO 4217: 0, 2, 3 or 4."""
    if len(currency) != 3 or not currency.isascii() or not currency.isupper() or not currency.isalpha():
        raise ValueError(f"{currency!r} is no ISO 4217 currency code: three capital letters are expected")
    return _EXPONENTS.get(currency, 2)


@dataclass(frozen=True, slots=True, order=False)
class Money:
    """An exact amount in one currency; it may carry more digits than the currency has until it is rounded."""

    amount: Decimal
    currency: str

    def __post_init__(self) -> None:
        exponent(self.currency)
        if not self.amount.is_finite():
            raise ValueError(f"an amount must be a finite Decimal, not {self.amount!r}")

    def __add__(self, other: "Money") -> "Money":
        self._same_currency(other)
        return Money(_CONTEXT.add(self.amount, other.amount), self.currency)

    def __sub__(self, other: "Money") -> "Money":
        return self + -other

    def __neg__(self) -> "Money":
        # Not the unary minus: it would round to the ambient decimal context.
        return Money(self.amount.copy_negate() if self.amount else self.amount, self.currency)

    def __str__(self) -> str:
        return f"{self.amount:,.{exponent(self.currency)}f} {self.currency}"

    def times(self, factor: Decimal) -> "Money":
        """The exact product, unrounded."""
        return Money(_CONTEXT.multiply(self.amount, factor), self.currency)

    def converted(self, rate: Decimal, currency: str) -> "Money":
        """The exact worth in `currency`, at `rate` units of it for one unit of this currency."""
        return Money(_CONTEXT.multiply(self.amount, rate), currency)

    def rounded(self, rounding: Rounding) -> "Money":
        """To the currency's minor unit."""
        return self.to_digits(exponent(self.currency), rounding)

    def to_digits(self, digits: int, rounding: Rounding) -> "Money":
        """To so many digits after the decimal point; a rate may carry more than its currency has."""
        return Money(self.amount.quantize(_quantum(digits), _MODES[rounding], _CONTEXT), self.currency)

    def minor_units(self) -> int:
        """The amount as a whole number of minor units. Raises ValueError if it is not one."""
        scaled = self.amount.scaleb(exponent(self.currency), context=_CONTEXT)
        if scaled != scaled.to_integral_value():
            raise ValueError(f"{self.amount} {self.currency} has a fraction of a minor unit; round it first")
        return int(scaled)

    @classmethod
    def from_minor_units(cls, units: int, currency: str) -> "Money":
        """The amount that is `units` cents, pence, or whatever the minor unit is."""
        return cls(Decimal(units).scaleb(-exponent(currency), context=_CONTEXT), currency)

    def _same_currency(self, other: "Money") -> None:
        if other.currency != self.currency:
            raise CurrencyMismatchError(f"{self} and {other} are of two currencies")


@functools.cache
def _quantum(digits: int) -> Decimal:
    """One unit of the last of so many digits after the decimal point."""
    return Decimal(1).scaleb(-digits)


def add(left: Decimal, right: Decimal) -> Decimal:
    """The sum in the context of this module."""
    return _CONTEXT.add(left, right)


def multiply(left: Decimal, right: Decimal) -> Decimal:
    """The product in the context of this module, which is wide enough for money and rates."""
    return _CONTEXT.multiply(left, right)


def divide(numerator: Decimal, denominator: Decimal) -> Decimal:
    """The quotient to 50 significant digits. Raises decimal.DivisionByZero."""
    return _CONTEXT.divide(numerator, denominator)


def for_minutes(rate_per_hour: Money, minutes: int) -> Money:
    """What `minutes` of work come to at an hourly rate, exact: rounding is the caller's, once, at the end.

    Multiplied before it is divided: 50 minutes at 100 an hour are 83.33, where two-decimal hours give
    83.00 (kimai#3282).
    """
    return Money(divide(multiply(rate_per_hour.amount, Decimal(minutes)), _SIXTY), rate_per_hour.currency)


@functools.lru_cache(maxsize=1 << 16)
def worth(rate_per_hour: Money, minutes: int, rounding: Rounding) -> Money:
    """The same, rounded. Kept: a month has a million entries, and few rates and durations."""
    return for_minutes(rate_per_hour, minutes).rounded(rounding)


def allocate(total: Money, weights: Sequence[int]) -> list[Money]:
    """Split `total` in proportion to `weights` by the largest-remainder method.

    The parts sum to the total exactly and each is within one minor unit of its exact share; of equal
    remainders the earlier part is served first. Raises ValueError if no weight is positive or one is negative.
    """
    if any(w < 0 for w in weights) or sum(weights) <= 0:
        raise ValueError("weights must be non-negative and at least one positive")
    units, whole = total.minor_units(), sum(weights)
    sign = -1 if units < 0 else 1
    shares = [divmod(abs(units) * w, whole) for w in weights]
    left = abs(units) - sum(q for q, _ in shares)
    by_remainder = sorted(range(len(weights)), key=lambda i: (-shares[i][1], i))
    extra = set(by_remainder[:left])
    return [Money.from_minor_units(sign * (q + (i in extra)), total.currency) for i, (q, _) in enumerate(shares)]
