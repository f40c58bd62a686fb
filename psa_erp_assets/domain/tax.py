"""The tax that the ERP will charge, predicted, and the difference from what it did charge, explained.

The ERP posts the tax. The sync predicts it to know before an invoice is posted what will stand on it, and to tell a
cent of rounding from a wrong rate afterwards. What belongs here: prediction, differences, whether a tax may be posted
with. What does not: which tax applies (`master.MasterData.tax_profile`).
"""

import datetime as dt
import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from psa_erp_assets.domain.money import Money, Rounding, multiply
from psa_erp_assets.domain.records import TaxProfile


class TaxBasis(enum.StrEnum):
    """What an ERP rounds: the tax of each line, or that of a document's lines of one tax together."""

    LINE = "line"
    DOCUMENT = "document"


class DifferenceClass(enum.StrEnum):
    """Why the ERP's tax is not the predicted one."""

    NONE = "none"
    ROUNDING = "rounding"
    RATE_CHANGED = "rate_changed"
    TAX_MISSING = "tax_missing"
    UNEXPLAINED = "unexplained"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundingProfile:
    """How an ERP rounds tax."""

    basis: TaxBasis
    mode: Rounding


@dataclass(frozen=True, slots=True, kw_only=True)
class TaxedLine:
    """A line of an invoice or credit note: its net, and its ERP tax (None: untaxed) with that tax's rate, a fraction.

    The rate is the one that the line was billed at, which its tax need not have any more.
    """

    amount: Money
    rate: Decimal
    tax: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaxDifference:
    """The ERP's tax less the predicted one, and why.

    `adjustment` are the minor units to add to the prediction for it to be the ERP's tax: what rounding explains, and 0
    for every other class, which nobody may adjust away.
    """

    difference: Money
    difference_class: DifferenceClass
    adjustment: int


def predict(lines: Sequence[TaxedLine], profile: RoundingProfile) -> Mapping[str | None, Money]:
    """The tax of a document's lines by ERP tax, as an ERP with this profile rounds it.

    A document may have a tax at two rates (a credit of what was billed before the rate changed): each is rounded by
    itself. Raises CurrencyMismatchError for lines of two currencies.
    """
    taxes: dict[str | None, Money] = {}
    for part in lines if profile.basis is TaxBasis.LINE else _summed(lines):
        tax = part.amount.times(part.rate).rounded(profile.mode)
        taxes[part.tax] = taxes[part.tax] + tax if part.tax in taxes else tax
    return taxes


def credit_of(line: TaxedLine) -> TaxedLine:
    """The line of a credit note for the whole line: its tax and its rate, whatever the tax's rate is now."""
    return replace(line, amount=-line.amount)


def tolerance(lines: int, currency: str) -> Money:
    """The most that rounding explains on a document: half a minor unit a line, exact."""
    return Money(multiply(Money.from_minor_units(lines, currency).amount, Decimal("0.5")), currency)


def explain(predicted: Money, actual: Money | None, lines: int, *, at_new_rate: Money | None = None) -> TaxDifference:
    """Why the ERP's tax is not the predicted one, for one tax of a document with so many lines of it.

    `actual` is None where the document lacks the tax. `at_new_rate` is the prediction at the rate that the tax has in
    the ERP now, where that is not the lines' own. The first that fits: no difference; the document lacks the tax;
    rounding, within the `tolerance`; the tax at the new rate, within the tolerance; a tax of nought; unexplained.
    Raises ValueError if the difference has a fraction of a minor unit, CurrencyMismatchError for two currencies.
    """
    charged = Money.from_minor_units(0, predicted.currency) if actual is None else actual
    difference = charged - predicted
    units, most = difference.minor_units(), tolerance(lines, predicted.currency)
    if not units:
        found = DifferenceClass.NONE
    elif actual is None:
        found = DifferenceClass.TAX_MISSING
    elif _within(difference, most):
        found = DifferenceClass.ROUNDING
    elif at_new_rate is not None and _within(charged - at_new_rate, most):
        found = DifferenceClass.RATE_CHANGED
    else:
        found = DifferenceClass.UNEXPLAINED if charged.amount else DifferenceClass.TAX_MISSING
    return TaxDifference(
        difference=difference,
        difference_class=found,
        adjustment=units if found is DifferenceClass.ROUNDING else 0,
    )


def check_profile(profile: TaxProfile | None, on: dt.date) -> str | None:
    """Why nothing may be posted with a tax profile on a date, as a code of `faults.FAULTS`; None if it may be.

    `no_tax_profile` where there is none, `tax_inactive` where it is inactive or outside its dates (inclusive). To be
    asked before posting: Tryton posts an inactive tax at its old rate.
    """
    if profile is None:
        return "no_tax_profile"
    early = profile.valid_from is not None and on < profile.valid_from
    late = profile.valid_to is not None and on > profile.valid_to
    return "tax_inactive" if early or late or not profile.active else None


def _summed(lines: Iterable[TaxedLine]) -> list[TaxedLine]:
    """One line for each tax at each rate."""
    sums: dict[tuple[str | None, Decimal], TaxedLine] = {}
    for line in lines:
        key = (line.tax, line.rate)
        sums[key] = replace(line, amount=sums[key].amount + line.amount) if key in sums else line
    return list(sums.values())


def _within(difference: Money, most: Money) -> bool:
    return difference.amount.copy_abs() <= most.amount
