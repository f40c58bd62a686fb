"""Terms as the text that a contract manager writes, and back."""

import datetime as dt
import json
import re
from dataclasses import fields
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psa_erp_assets.domain.faults import FAULTS
from psa_erp_assets.domain.terms import (
    Component,
    ContractKind,
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
    plain_terms,
)
from psa_erp_assets.domain.terms_text import MalformedTermsError, terms_from_text, terms_to_text
from psa_erp_assets.settings import REPOSITORY
from psa_erp_assets_tests.support.facts import money
from psa_erp_assets_tests.support.terms import terms

K = ContractKind
CONNECTING = REPOSITORY / "docs" / "connecting.md"
STATED = (Terms, PricingTerms, ExpenseTerms, Component, Instalment, RetainerTerms, RecognitionTerms, Estimate)


def read(body: Any, kind: ContractKind = K.TIME_AND_MATERIALS, currency: str = "GBP") -> Terms:
    text = body if isinstance(body, str) or body is None else json.dumps(body)
    return terms_from_text(text, kind=kind, currency=currency)


def kind_of(stated: Terms) -> ContractKind:
    """The kind of the contract whose terms these are."""
    kinds = {component.kind for component in stated.components}
    return kinds.pop() if len(kinds) == 1 else K.MIXED


def test_everything_that_can_be_agreed_is_read() -> None:
    """A key that is read into the wrong place changes the price of all work on the contract."""
    text = """
        {"rate_card": "standard-2026-gbp", "blended_rate": "142.5000", "discount": "0.05", "increment_minutes": 15,
         "multipliers": {"overtime": "1.5", "travel": "0"}, "rounding": "cumulative",
         "expenses": {"billable": false, "mark_up": "0.05", "limits": {"hotel": "180.00"}, "tax_profile": "disbursed"},
         "components": [
            {"code": "build", "kind": "fixed_fee_schedule", "projects": ["PRJ-0001", "PRJ-0002"], "fee": "30000.00",
             "instalments": [{"due": "2026-09-30", "amount": "10000.00", "label": "Start"},
                             {"due": "2026-12-31", "amount": "20000.00", "label": "End"}],
             "recognition": {"method": "cost_to_cost", "percent_digits": 3,
                             "estimate": {"total_cost": "21000.00", "total_minutes": 18000, "excluded_cost": "500"}}},
            {"code": "run", "kind": "retainer", "projects": ["PRJ-0003"],
             "retainer": {"fee": "5000.00", "included_minutes": 3000, "rollover_months": 2, "overage": "hold"}},
            {"code": "extras", "kind": "capped", "cap": "50000.00", "cap_overage": "write_off"}]}
        """
    assert read(text, K.MIXED) == Terms(
        pricing=PricingTerms(
            rate_card="standard-2026-gbp",
            blended_rate=money("142.50"),
            discount=Decimal("0.05"),
            increment_minutes=15,
            multipliers={"overtime": Decimal("1.5"), "travel": Decimal(0)},
            rounding=LineRounding.CUMULATIVE,
        ),
        expenses=ExpenseTerms(
            billable=False, mark_up=Decimal("0.05"), limits={"hotel": money("180.00")}, tax_profile="disbursed"
        ),
        components=(
            Component(
                code="build",
                kind=K.FIXED_FEE_SCHEDULE,
                projects=("PRJ-0001", "PRJ-0002"),
                fee=money("30000.00"),
                instalments=(
                    Instalment(due=dt.date(2026, 9, 30), amount=money("10000.00"), label="Start"),
                    Instalment(due=dt.date(2026, 12, 31), amount=money("20000.00"), label="End"),
                ),
                recognition=RecognitionTerms(
                    method=Recognition.COST_TO_COST,
                    percent_digits=3,
                    estimate=Estimate(total_cost=Decimal("21000.00"), total_minutes=18000, excluded_cost=Decimal(500)),
                ),
            ),
            Component(
                code="run",
                kind=K.RETAINER,
                projects=("PRJ-0003",),
                retainer=RetainerTerms(
                    fee=money("5000.00"), included_minutes=3000, rollover_months=2, overage=Overage.HOLD
                ),
            ),
            Component(code="extras", kind=K.CAPPED, cap=money("50000.00"), cap_overage=Overage.WRITE_OFF),
        ),
    )


@given(terms())
def test_what_is_written_is_read_as_it_was(stated: Terms) -> None:
    """Terms that change on their way through the CRM are not what was agreed."""
    for kind in {kind_of(stated), K.MIXED}:
        assert read(terms_to_text(stated), kind) == stated


@given(terms("JPY"))
def test_amounts_are_in_the_currency_of_the_contract(stated: Terms) -> None:
    """The text names no currency: an amount in another one would be off by the exchange rate."""
    assert read(terms_to_text(stated), K.MIXED, "JPY") == stated


@given(terms())
def test_no_number_with_a_fraction_is_written(stated: Terms) -> None:
    """Any other reader of the text would make a float of it."""

    def refuse(number: str) -> None:
        raise AssertionError(number)

    json.loads(terms_to_text(stated), parse_float=refuse, parse_constant=refuse)


def test_nothing_that_is_so_anyway_is_written() -> None:
    """A text full of defaults hides what was agreed."""
    assert terms_to_text(plain_terms(K.NON_BILLABLE)) == '{"components": [{"code": "main", "kind": "non_billable"}]}'


@pytest.mark.parametrize("text", [None, "", " \n", "{}"])
@pytest.mark.parametrize("kind", [K.TIME_AND_MATERIALS, K.NON_BILLABLE])
def test_a_contract_without_terms_has_the_plain_ones(text: str | None, kind: ContractKind) -> None:
    """Every contract from before there were terms would be left out."""
    assert read(text, kind) == plain_terms(kind)


@pytest.mark.parametrize(
    ("kind", "body", "component"),
    [
        (K.CAPPED, {"cap": "5.00"}, {"cap": money("5.00")}),
        (K.FIXED_FEE_MILESTONE, {"fee": "5.00"}, {"fee": money("5.00")}),
        (
            K.RETAINER,
            {"retainer": {"fee": "5.00", "included_minutes": 60}},
            {"retainer": RetainerTerms(fee=money("5.00"), included_minutes=60)},
        ),
        (
            K.TIME_AND_MATERIALS,
            {"recognition": {"method": "hours"}},
            {"recognition": RecognitionTerms(method=Recognition.HOURS)},
        ),
    ],
)
def test_a_simple_contract_needs_no_components(
    kind: ContractKind, body: dict[str, Any], component: dict[str, Any]
) -> None:
    """A simple contract stays simple: its one component has the contract's kind and its keys stand at the top."""
    assert read(body, kind).components == (Component(code="main", kind=kind, **component),)
    assert read({**body, "discount": "0.1"}, kind).pricing == PricingTerms(discount=Decimal("0.1"))


def test_a_component_has_the_kind_of_its_contract_unless_that_is_mixed() -> None:
    """Two kinds in one deal that says it is of one: whichever is billed, somebody meant the other."""
    parts = [{"code": "a", "cap": "1.00", "projects": ["p"]}, {"code": "b", "cap": "2.00"}]
    assert {c.kind for c in read({"components": parts}, K.CAPPED).components} == {K.CAPPED}
    with pytest.raises(MalformedTermsError, match=r"components\[1\].kind: is retainer, and the contract's is capped"):
        read({"components": [parts[0], {"code": "b", "kind": "retainer"}]}, K.CAPPED)


RETAINER = {"fee": "5000.00", "included_minutes": 3000}
PART = {"code": "a", "cap": "1.00"}
INSTALMENT = {"due": "2026-09-30", "amount": "10.00", "label": "Start"}


@pytest.mark.parametrize(
    ("kind", "body", "reason"),
    [
        # What is missing.
        (K.CAPPED, None, "cap: is missing"),
        (K.RETAINER, {"retainer": {"fee": "1.00"}}, "retainer.included_minutes: is missing"),
        (K.FIXED_FEE_MILESTONE, {}, "fee: is missing"),
        (K.FIXED_FEE_SCHEDULE, {"fee": "1.00"}, "instalments: is missing"),
        (K.MIXED, {}, "components: is missing"),
        (K.MIXED, {"components": [{"code": "a"}]}, r"components[0].kind: is missing"),
        (K.MIXED, {"components": [{"kind": "capped", "cap": "1.00"}]}, "components[0].code: is missing"),
        (K.MIXED, {"components": []}, "components: a contract has components"),
        # What nobody would keep.
        (K.TIME_AND_MATERIALS, {"discont": "0.1"}, "discont: is unknown here"),
        (K.TIME_AND_MATERIALS, {"code": "main"}, "code: is unknown here"),
        (K.TIME_AND_MATERIALS, {"cap": "1.00"}, "cap: means nothing"),
        (K.FIXED_FEE_MILESTONE, {"fee": "10.00", "instalments": [INSTALMENT]}, "instalments: means nothing"),
        (K.CAPPED, {"cap": "1.00", "components": []}, "cap: is unknown here"),
        (K.RETAINER, {"retainer": {**RETAINER, "cap": "1.00"}}, "retainer.cap: is unknown here"),
        (K.TIME_AND_MATERIALS, '{"discount": "0.1", "discount": "0.2"}', "discount: is there more than once"),
        (K.TIME_AND_MATERIALS, {"multipliers": {"night": "2", "night ": "3"}}, "multipliers.night : is there more"),
        # Wrong types.
        (K.CAPPED, '{"cap": 50000.00}', "cap: an amount in quotes"),
        (K.CAPPED, '{"cap": 50000}', "cap: an amount in quotes"),
        (K.CAPPED, {"cap": None}, "cap: an amount in quotes"),
        (K.CAPPED, {"cap": "50,000.00"}, "cap: an amount in quotes"),
        (K.CAPPED, {"cap": "-1.00"}, "cap: an amount in quotes"),
        (K.CAPPED, {"cap": "1e3"}, "cap: an amount in quotes"),
        (K.CAPPED, {"cap": "NaN"}, "cap: an amount in quotes"),
        (K.CAPPED, {"cap": "１"}, "cap: an amount in quotes"),
        (K.CAPPED, {"cap": "1.00\n"}, "cap: an amount in quotes"),
        (K.CAPPED, {"cap": "1" * 16}, "cap: an amount in quotes"),
        (K.CAPPED, {"cap": "1.005"}, "cap: is finer than the smallest unit of GBP"),
        (K.TIME_AND_MATERIALS, '{"discount": 0.05}', "discount: a number in quotes"),
        (K.TIME_AND_MATERIALS, '{"increment_minutes": 7.5}', "increment_minutes: a whole number"),
        (K.TIME_AND_MATERIALS, '{"increment_minutes": 1e2}', "increment_minutes: a whole number"),
        (K.TIME_AND_MATERIALS, '{"increment_minutes": NaN}', "increment_minutes: a whole number"),
        (K.TIME_AND_MATERIALS, {"increment_minutes": True}, "increment_minutes: a whole number"),
        (K.TIME_AND_MATERIALS, {"increment_minutes": 0}, "increment_minutes: a whole number from 1"),
        (K.TIME_AND_MATERIALS, {"increment_minutes": "15"}, "increment_minutes: a whole number"),
        (K.TIME_AND_MATERIALS, {"rate_card": 7}, "rate_card: a text"),
        (K.TIME_AND_MATERIALS, {"rate_card": "a\0b"}, "rate_card: a text"),
        (K.TIME_AND_MATERIALS, {"rate_card": "\ud800"}, "rate_card: a text"),
        (K.TIME_AND_MATERIALS, {"rounding": "nearest"}, "rounding: one of line, cumulative"),
        (K.TIME_AND_MATERIALS, {"multipliers": ["1.5"]}, "multipliers: an object in braces"),
        (K.TIME_AND_MATERIALS, {"multipliers": {"night": 2}}, "multipliers.night: a number in quotes"),
        (K.TIME_AND_MATERIALS, {"expenses": {"billable": "yes"}}, "expenses.billable: true or false"),
        (K.TIME_AND_MATERIALS, {"expenses": {"limits": {"": "1.00"}}}, "expenses.limits: a text"),
        (K.TIME_AND_MATERIALS, {"recognition": {"method": "monthly"}}, "recognition.method: one of as_billed"),
        (K.MIXED, {"components": {}}, "components: a list in brackets"),
        (K.MIXED, {"components": [[]]}, "components[0]: an object in braces"),
        (K.MIXED, {"components": [{"code": "a", "kind": "mixed"}]}, "components[0].kind: one of"),
        (K.MIXED, {"components": [{"code": "a", "kind": "retainer", "projects": [7]}]}, "components[0].projects[0]: a"),
        (K.FIXED_FEE_SCHEDULE, {"fee": "10.00", "instalments": [INSTALMENT | {"due": "30.09.2026"}]},
         "instalments[0].due: a date in quotes"),
        (K.FIXED_FEE_SCHEDULE, {"fee": "10.00", "instalments": [INSTALMENT | {"due": "2026-09-31"}]},
         "instalments[0].due: a date in quotes"),
        (K.TIME_AND_MATERIALS, {"expenses": {"mark_up": "--1"}}, "expenses.mark_up: a number in quotes"),
        # What the terms refuse themselves.
        (K.TIME_AND_MATERIALS, {"expenses": {"mark_up": "-1.01"}}, "expenses: a mark-up of -1.01"),
        (K.TIME_AND_MATERIALS, {"discount": "1"}, "discount 1 is no fraction"),
        (K.CAPPED, {"cap": "1.00", "cap_overage": "bill"}, "cap_overage: one of hold, write_off"),
        (K.FIXED_FEE_SCHEDULE, {"fee": "11.00", "instalments": [INSTALMENT]}, "come to 10.00, its fee is 11.00"),
        (K.CAPPED, {"components": [PART, PART | {"code": "b"}]}, "components: only one component"),
        (K.CAPPED, {"components": [PART, PART | {"projects": ["p"]}]}, "components: a contract has components, each"),
        # No JSON, or none of this form.
        (K.TIME_AND_MATERIALS, "15% off", "the text is no JSON"),
        (K.TIME_AND_MATERIALS, '{“discount”: "0.1"}', "the text is no JSON"),
        (K.TIME_AND_MATERIALS, "[" * 60_000, "the text is no JSON"),
        (K.TIME_AND_MATERIALS, "9" * 5000, "the text is no JSON"),
        (K.TIME_AND_MATERIALS, "[]", "an object in braces"),
    ],
)  # fmt: skip
def test_a_text_that_is_not_understood_is_refused_with_its_place(kind: ContractKind, body: Any, reason: str) -> None:
    """A guess at terms bills a contract at a price that nobody agreed; a reason without a place is not found."""
    with pytest.raises(MalformedTermsError) as refused:
        read(body, kind)
    assert reason in refused.value.reason
    assert FAULTS[refused.value.code].code == "malformed_terms"


_keys = st.sampled_from(
    (
        "rate_card",
        "discount",
        "multipliers",
        "expenses",
        "limits",
        "components",
        "code",
        "kind",
        "fee",
        "cap",
        "retainer",
    )
) | st.text(max_size=3)
_leaves = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(("1.00", "hold"))
)
_values = st.recursive(
    _leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=3),
    max_leaves=8,
)


@given(_values, st.sampled_from(K))
def test_no_text_crashes_the_reading(body: Any, kind: ContractKind) -> None:
    """One deal's terms would stop the refresh of all contracts, or the store would refuse the reason."""
    try:
        stated = read(json.dumps(body), kind)
    except MalformedTermsError as refused:
        reason = refused.reason
    else:
        reason = "none"
        assert read(terms_to_text(stated), kind) == stated
    assert reason.isprintable()


def test_the_documentation_has_every_key_and_examples_that_are_understood() -> None:
    """A contract manager copies an example, or looks for a key, and the sync does not understand what they write."""
    section = CONNECTING.read_text(encoding="utf-8").split("### Contract terms\n")[1].split("\n### ")[0]
    examples = re.findall(r"`(\w+)`[^`]*```json\n(.*?)```", section, re.DOTALL)
    assert sorted(kind for kind, _ in examples) == sorted(K)
    for kind, text in examples:
        assert kind_of(read(text, K(kind))) == kind
    pieces = re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", section, flags=re.DOTALL))
    named = {word for piece in pieces for word in re.findall(r"\w+", piece)}
    assert {f.name for t in STATED for f in fields(t)} - named <= {"pricing"}
