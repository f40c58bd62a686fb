"""What terms refuse, which component covers a project, and what amendments change from which day on."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from psa_erp_assets.domain.records import Amendment
from psa_erp_assets.domain.terms import (
    Component,
    ContractKind,
    Instalment,
    Overage,
    PricingTerms,
    RetainerTerms,
    Terms,
    plain_terms,
)
from psa_erp_assets.domain.values import replace
from psa_erp_assets_tests.support.facts import CONTRACT, FIRST, money

K = ContractKind


def component(kind: ContractKind = K.TIME_AND_MATERIALS, code: str = "main", **said: Any) -> Component:
    return Component(code=code, kind=kind, **said)


def half(label: str) -> Instalment:
    return Instalment(due=FIRST, amount=money("50.00"), label=label)


@pytest.mark.parametrize(
    ("kind", "said", "reason"),
    [
        (K.MIXED, {}, "cannot be mixed"),
        (K.CAPPED, {}, "names no cap"),
        (K.CAPPED, {"cap": money("1.00"), "cap_overage": Overage.BILL}, "cannot be billed"),
        (K.RETAINER, {}, "no fee and hours"),
        (K.FIXED_FEE_MILESTONE, {}, "has no fee"),
        (K.FIXED_FEE_SCHEDULE, {"fee": money("100.00")}, "no instalments"),
        (K.FIXED_FEE_SCHEDULE, {"instalments": (half("a"),)}, "has no fee"),
        (K.FIXED_FEE_SCHEDULE, {"fee": money("100.01"), "instalments": (half("a"), half("b"))}, "come to 100.00"),
    ],
)
def test_a_component_that_contradicts_its_kind_is_refused(
    kind: ContractKind, said: dict[str, Any], reason: str
) -> None:
    """A cap of nothing bills nothing, and a fee whose instalments do not add up is never billed in full."""
    with pytest.raises(ValueError, match=reason):
        component(kind, **said)


@pytest.mark.parametrize(
    "said",
    [
        {"discount": Decimal(1)},
        {"discount": Decimal("-0.01")},
        {"increment_minutes": 0},
        {"multipliers": {"night": Decimal(-1)}},
    ],
)
def test_a_price_that_would_be_nothing_or_less_is_refused(said: dict[str, Any]) -> None:
    """5 for 5 % would bill minus four times the price."""
    with pytest.raises(ValueError, match=next(iter(said)).removesuffix("s")):
        PricingTerms(**said)


@pytest.mark.parametrize("said", [{"included_minutes": -1}, {"included_minutes": 0, "rollover_months": -1}])
def test_a_retainer_of_less_than_nothing_is_refused(said: dict[str, Any]) -> None:
    """Its overage would begin before its first hour."""
    with pytest.raises(ValueError, match="not negative"):
        RetainerTerms(fee=money("1.00"), **said)


@pytest.mark.parametrize(
    "components",
    [
        (),
        (component(projects=("p",)), component(projects=("q",))),
        (component(code="a", projects=("p",)), component(code="b", projects=("p",))),
        (component(code="a"), component(code="b")),
    ],
)
def test_terms_under_which_a_project_has_no_one_component_are_refused(components: tuple[Component, ...]) -> None:
    """Its work would be billed by whichever component comes first."""
    with pytest.raises(ValueError, match="component"):
        Terms(components=components)


def test_a_project_that_no_component_names_belongs_to_the_one_that_names_none() -> None:
    """Work on a new project would be on no component, although one takes the rest."""
    named, rest = component(code="a", projects=("p",)), component(code="b")
    for order in ((named, rest), (rest, named)):
        assert Terms(components=order).component_for("p") is named
        assert Terms(components=order).component_for("q") is rest
    assert Terms(components=(named,)).component_for("q") is None


def amendment(month: int, **said: Any) -> Amendment:
    return Amendment(id=f"CTR-0001-A{month}", effective_from=dt.date(2026, month, 1), **said)


LAST = dt.date(2027, 3, 31)
CAPPED = Terms(components=(component(K.CAPPED, cap=money("900.00")),))


def test_an_amendment_holds_from_its_day_on() -> None:
    """Work from before a price was changed would be billed at the new price, or the first day's at the old."""
    amended = replace(CONTRACT, amendments=(amendment(10, kind=K.CAPPED, terms=CAPPED),))
    before, after = dt.date(2026, 9, 30), dt.date(2026, 10, 1)
    assert amended.as_of(before).terms == CONTRACT.terms
    assert amended.as_of(after) == replace(amended, kind=K.CAPPED, terms=CAPPED)
    assert amended.component_for("PRJ-0001", before) == plain_terms(K.TIME_AND_MATERIALS).components[0]
    assert amended.component_for("PRJ-0001", after) == CAPPED.components[0]


def test_what_an_amendment_does_not_say_stays() -> None:
    """An extension of the term would take the cap away."""
    amendments = (amendment(10, kind=K.CAPPED, terms=CAPPED), amendment(11, valid_to=LAST, customer_id="CUS-0002"))
    for order in (amendments, amendments[::-1]):
        amended = replace(CONTRACT, amendments=order)
        assert amended.as_of(dt.date(2026, 12, 1)) == replace(
            amended, kind=K.CAPPED, terms=CAPPED, valid_to=LAST, customer_id="CUS-0002"
        )


def test_of_two_amendments_the_later_has_the_last_word() -> None:
    """The order in which the CRM lists them is by chance."""
    amendments = (amendment(11, legal_entity="DE"), amendment(10, legal_entity="US"))
    for order in (amendments, amendments[::-1]):
        entities = [replace(CONTRACT, amendments=order).as_of(dt.date(2026, m, 15)).legal_entity for m in (9, 10, 11)]
        assert entities == ["UK", "US", "DE"]
