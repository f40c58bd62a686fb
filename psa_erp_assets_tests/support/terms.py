"""Terms of every shape that a contract can have, for properties that hold for all of them."""

import datetime as dt
from decimal import Decimal

from hypothesis import strategies as st

from psa_erp_assets.domain.money import Money, exponent
from psa_erp_assets.domain.terms import (
    Component,
    ContractKind,
    DayCount,
    Estimate,
    ExpenseTerms,
    Instalment,
    LineRounding,
    Overage,
    PricingTerms,
    Recognition,
    RecognitionTerms,
    RetainerTerms,
    Terms,
)

KINDS = [kind for kind in ContractKind if kind is not ContractKind.MIXED]
NAMES = st.text("abcÄß日 -_.'\"\\{1", min_size=1, max_size=8).map(str.strip).filter(bool)
FRACTIONS = st.decimals(0, Decimal("0.9999"), places=4)
FACTORS = st.decimals(0, 100, places=4)
DAYS = st.dates(dt.date(2020, 1, 1), dt.date(2040, 12, 31))


def amounts(currency: str) -> st.SearchStrategy[Money]:
    """Whole numbers of the smallest unit."""
    return st.integers(0, 10**12).map(lambda units: Money.from_minor_units(units, currency))


def estimates(currency: str) -> st.SearchStrategy[Estimate]:
    cost = amounts(currency).map(lambda money: money.amount)
    return st.builds(
        Estimate, total_cost=st.none() | cost, total_minutes=st.none() | st.integers(1, 10**6), excluded_cost=cost
    )


def recognition(currency: str) -> st.SearchStrategy[RecognitionTerms]:
    return st.builds(
        RecognitionTerms,
        method=st.sampled_from(Recognition),
        estimate=estimates(currency),
        percent_digits=st.none() | st.integers(0, 10),
        day_count=st.sampled_from(DayCount),
    )


@st.composite
def components(
    draw: st.DrawFn, currency: str, code: str, projects: tuple[str, ...], kinds: list[ContractKind]
) -> Component:
    """A component of one of these kinds with what its kind needs."""
    kind = draw(st.sampled_from(kinds))
    said: dict[str, object] = {}
    if kind is ContractKind.CAPPED:
        overage = draw(st.sampled_from((Overage.HOLD, Overage.WRITE_OFF)))
        said = {"cap": draw(amounts(currency)), "cap_overage": overage}
    elif kind is ContractKind.RETAINER:
        said["retainer"] = draw(
            st.builds(
                RetainerTerms,
                fee=amounts(currency),
                included_minutes=st.integers(0, 10**5),
                rollover_months=st.integers(0, 24),
                overage=st.sampled_from(Overage),
            )
        )
    elif kind is ContractKind.FIXED_FEE_MILESTONE:
        said["fee"] = draw(amounts(currency))
    elif kind is ContractKind.FIXED_FEE_SCHEDULE:
        instalment = st.builds(Instalment, due=DAYS, amount=amounts(currency), label=NAMES)
        parts = tuple(draw(st.lists(instalment, min_size=1, max_size=3)))
        fee = sum((part.amount.amount for part in parts), Decimal(0))
        said = {"instalments": parts, "fee": Money(fee, currency)}
    return Component(code=code, kind=kind, projects=projects, recognition=draw(recognition(currency)), **said)


@st.composite
def terms(draw: st.DrawFn, currency: str = "GBP") -> Terms:
    """Terms with amounts in this currency: one component, or several of one kind or of different ones."""
    codes = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    kinds = draw(st.sampled_from([KINDS, *([kind] for kind in KINDS)]))
    projects = draw(st.lists(NAMES, min_size=len(codes), max_size=6, unique=True)) if len(codes) > 1 else []
    shares = [tuple(projects[n :: len(codes)]) for n in range(len(codes))]
    if draw(st.booleans()):
        shares[-1] = ()
    rate = st.decimals(0, 5000, places=exponent(currency) + 2).map(lambda amount: Money(amount, currency))
    return Terms(
        components=tuple(draw(components(currency, *which, kinds)) for which in zip(codes, shares, strict=True)),
        pricing=draw(
            st.builds(
                PricingTerms,
                rate_card=st.none() | NAMES,
                blended_rate=st.none() | rate,
                discount=FRACTIONS,
                increment_minutes=st.integers(1, 60),
                multipliers=st.dictionaries(NAMES, FACTORS, max_size=3),
                rounding=st.sampled_from(LineRounding),
            )
        ),
        expenses=draw(
            st.builds(
                ExpenseTerms,
                billable=st.booleans(),
                mark_up=st.decimals(-1, 1, places=4),
                limits=st.dictionaries(NAMES, amounts(currency), max_size=3),
                tax_profile=st.none() | NAMES,
            )
        ),
    )
