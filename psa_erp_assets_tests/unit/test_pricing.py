"""Prices: the most specific rate as of the day, its multipliers and discount, and the minutes that are billed."""

import datetime as dt
import itertools
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psa_erp_assets.domain.faults import FAULTS
from psa_erp_assets.domain.money import Money, Rounding, for_minutes
from psa_erp_assets.domain.pricing import Price, PriceGap, Rate, billed_minutes, price, rate_for
from psa_erp_assets.domain.records import BillRate, Contract, Employee, RateCardLine
from psa_erp_assets.domain.terms import PricingTerms
from psa_erp_assets.domain.values import replace
from psa_erp_assets_tests.support.facts import (
    CARD,
    CONTRACT,
    DAY,
    EMPLOYEE,
    FIRST,
    PROJECT,
    bill_rate,
    card_line,
    make_entry,
    make_master,
    money,
    priced,
)

ONE_DAY = dt.timedelta(days=1)
ADA = replace(EMPLOYEE, role="Principal")

CONTRACT_LINE = card_line("110.00", contract_id="CTR-0001")
HERS = bill_rate("120.00", employee="EMP-0001")
PROJECT_LINE = card_line("130.00", project_id="PRJ-0001")
PROJECTS = bill_rate("140.00")
TASK_LINE = card_line("150.00", task="Design")
PERSON_LINE = card_line("160.00", employee_id="EMP-0001")
ROLE_LINE = card_line("170.00", role="Principal")
LINE_FOR_ALL = card_line("180.00")
BY_PRECEDENCE = (CONTRACT_LINE, HERS, PROJECT_LINE, PROJECTS, TASK_LINE, PERSON_LINE, ROLE_LINE, LINE_FOR_ALL)

RATES = st.integers(0, 10_000_000).map(lambda n: Decimal(n).scaleb(-4))
FACTORS = st.integers(0, 400).map(lambda n: Decimal(n) / 100)
DISCOUNTS = st.integers(0, 999).map(lambda n: Decimal(n) / 1000)


def rate(
    *rates: BillRate | RateCardLine,
    contract: Contract | None = None,
    employee: Employee = ADA,
    task: str | None = "Design",
    work_types: Sequence[str] = (),
    on: dt.date = DAY,
) -> Rate | PriceGap:
    master = make_master(
        bill_rates=[r for r in rates if isinstance(r, BillRate)],
        rate_cards=[r for r in rates if isinstance(r, RateCardLine)],
    )
    return rate_for(
        contract=contract or priced(),
        project=PROJECT,
        employee=employee,
        task=task,
        work_types=work_types,
        on=on,
        master=master,
    )


def used(*rates: BillRate | RateCardLine, **how: Any) -> str:
    """The id of the rate that was used."""
    found = rate(*rates, **how)
    assert isinstance(found, Rate), found
    return found.rate_id


def effective(per_hour: str | Decimal, work_types: Sequence[str] = (), **terms: Any) -> Money:
    """The effective rate where an hour costs so much before the terms."""
    found = rate(bill_rate(str(per_hour)), contract=priced(**terms), work_types=work_types)
    assert isinstance(found, Rate), found
    return found.per_hour


def priced_entry(minutes: int, per_hour: str = "100.00", **terms: Any) -> Price:
    master = make_master(bill_rates=(bill_rate(per_hour),))
    found = price(make_entry(minutes), contract=priced(**terms), project=PROJECT, employee=ADA, master=master)
    assert isinstance(found, Price), found
    return found


def test_two_hours_at_fifty_are_a_hundred() -> None:
    """ERPNext's test suite, timesheet billing: 2 h at a bill rate of 50 come to 100."""
    found = priced_entry(120, "50.00")
    assert for_minutes(found.per_hour, found.minutes) == money("100")


@pytest.mark.parametrize("most_specific", range(len(BY_PRECEDENCE)))
@pytest.mark.parametrize("order", [1, -1])
def test_the_most_specific_rate_there_is_prices_the_hour(most_specific: int, order: int) -> None:
    """A rate agreed with this customer would give way to the list price."""
    there = BY_PRECEDENCE[most_specific:]
    assert used(*there[::order]) == there[0].id


def test_a_blended_rate_replaces_every_other() -> None:
    """The customer agreed to one rate whoever does the work."""
    contract = priced(blended_rate=money("145.00"))
    found = rate(*BY_PRECEDENCE, contract=contract)
    assert isinstance(found, Rate)
    assert (found.per_hour, found.rate_id) == (money("145.00"), "CTR-0001/blended")
    assert rate(contract=contract) == found


_DIMENSIONS = {"project_id": "PRJ-0001", "task": "Design", "employee_id": "EMP-0001", "role": "Principal"}
_NAMINGS = [dict(c) for n in range(5) for c in itertools.combinations(_DIMENSIONS.items(), n)]


@pytest.mark.parametrize("contract_id", [None, "CTR-0001"])
@given(lines=st.lists(st.sampled_from(_NAMINGS), min_size=2, max_size=6, unique_by=str))
def test_of_lines_that_fit_none_says_less_than_another_that_is_passed_over(
    contract_id: str | None, lines: list[dict[str, str]]
) -> None:
    """An exception for one person would be hidden by the rule that it is an exception to."""
    made = {card_line(contract_id=contract_id, **naming).id: naming for naming in lines}
    winner = made[used(*(card_line(contract_id=contract_id, **naming) for naming in lines))]
    assert not [naming for naming in lines if winner.items() < naming.items()]


@pytest.mark.parametrize("contract_id", [None, "CTR-0001"])
def test_naming_two_things_outweighs_one_and_the_weights_settle_the_rest(contract_id: str | None) -> None:
    """The documented order, from the most to the least: who changes a card must be able to foresee the price."""
    names = ["task employee role", "task employee", "task role", "employee role", "task", "employee", "role", ""]
    of = {"task": ("task", "Design"), "employee": ("employee_id", "EMP-0001"), "role": ("role", "Principal")}
    lines = [card_line(contract_id=contract_id, **dict(of[part] for part in name.split())) for name in names]
    for first in range(len(lines)):
        assert used(*reversed(lines[first:])) == lines[first].id


@pytest.mark.parametrize(
    "other",
    [
        {"task": "Testing"},
        {"employee_id": "EMP-0002"},
        {"role": "Engineer"},
        {"project_id": "PRJ-0002"},
        {"contract_id": "CTR-0002"},
        {"card": "another"},
        {"role": "Principal", "task": "Testing"},
    ],
)
def test_a_line_that_names_something_else_does_not_count(other: dict[str, str]) -> None:
    """Somebody else's price would be billed."""
    assert used(card_line("1.00", **other), LINE_FOR_ALL) == LINE_FOR_ALL.id


def test_work_without_a_task_or_a_role_fits_lines_that_name_none() -> None:
    """An entry without a task would be priced as if it were the one, or not at all."""
    both = card_line(task="Design", role="Principal")
    nobody = replace(ADA, role=None)
    assert used(both, TASK_LINE, PERSON_LINE, ROLE_LINE, task=None) == PERSON_LINE.id
    assert used(both, TASK_LINE, ROLE_LINE, LINE_FOR_ALL, task=None) == ROLE_LINE.id
    assert used(both, TASK_LINE, ROLE_LINE, LINE_FOR_ALL, employee=nobody) == TASK_LINE.id
    assert used(both, TASK_LINE, ROLE_LINE, LINE_FOR_ALL, task=None, employee=nobody) == LINE_FOR_ALL.id


def test_a_contracts_own_line_holds_whichever_card_it_names() -> None:
    """What was agreed in a side letter would be lost to a contract without a card."""
    own = card_line(contract_id="CTR-0001", card="side letter")
    assert used(own, PROJECTS, contract=priced(rate_card=None)) == own.id


def test_without_a_card_in_the_terms_no_card_holds() -> None:
    """Cards of other contracts would price this one."""
    found = rate(PROJECT_LINE, LINE_FOR_ALL, contract=priced(rate_card=None))
    assert isinstance(found, PriceGap)
    assert used(PROJECT_LINE, PROJECTS, LINE_FOR_ALL, contract=priced(rate_card=None)) == PROJECTS.id


@given(order=st.permutations([*BY_PRECEDENCE, *(replace(r, id=f"{r.id}+") for r in BY_PRECEDENCE)]), keep=st.data())
def test_the_order_of_the_records_never_matters(order: list[BillRate | RateCardLine], keep: st.DataObject) -> None:
    """A re-import in another order would re-price a month."""
    some = keep.draw(st.lists(st.sampled_from(order), min_size=1, unique=True))
    assert rate(*some) == rate(*sorted(some, key=lambda r: r.id))
    assert rate(*some) == rate(*reversed(some))


def test_of_two_lines_that_name_the_same_the_later_one_holds_then_the_first_id() -> None:
    """Overlapping lines are a slip that must not make prices a matter of chance."""
    early, late = card_line("90.00"), card_line("95.00", valid_from=DAY)
    assert used(early, late) == late.id
    assert used(early, late, on=DAY - ONE_DAY) == early.id
    twin = replace(late, id="a")
    assert used(late, twin) == used(twin, late) == "a"


@pytest.mark.parametrize(
    ("on", "expected"),
    [
        (FIRST - ONE_DAY, None),
        (FIRST, "old"),
        (DAY, "old"),
        (DAY + ONE_DAY, "new"),
        (DAY + 7 * ONE_DAY, "new"),
        (DAY + 8 * ONE_DAY, None),
    ],
)
@pytest.mark.parametrize("make", [card_line, bill_rate, lambda **how: card_line(contract_id="CTR-0001", **how)])
def test_a_rate_holds_from_its_first_day_to_its_last(make: Any, on: dt.date, expected: str | None) -> None:
    """Edge cases 11 and 13: a new price would change what was worked before it."""
    rates = [
        make(id="new", valid_from=DAY + ONE_DAY, valid_to=DAY + 7 * ONE_DAY),
        make(id="old", valid_to=DAY),
    ]
    found = rate(*rates, on=on)
    assert (found.rate_id if isinstance(found, Rate) else None) == expected


def test_a_more_specific_rate_that_has_ended_gives_way_to_the_next() -> None:
    """Work after the end of a special price would be held, or billed at it."""
    ended = [replace(r, valid_to=DAY - ONE_DAY) for r in BY_PRECEDENCE[:-1]]
    assert used(*ended, LINE_FOR_ALL) == LINE_FOR_ALL.id


@pytest.mark.parametrize("index", range(len(BY_PRECEDENCE)))
def test_a_rate_in_another_currency_is_a_gap(index: int) -> None:
    """Edge case 17: 100 dollars would be billed as 100 pounds, or quietly at a less specific rate."""
    foreign = replace(BY_PRECEDENCE[index], per_hour=money("100.00", "USD"))
    found = rate(foreign, *BY_PRECEDENCE[index + 1 :])
    assert isinstance(found, PriceGap)
    assert found.code == "rate_currency_mismatch"
    assert foreign.id in found.detail
    assert "is in USD, CTR-0001 in GBP" in found.detail
    assert found.code in FAULTS


def test_a_blended_rate_in_another_currency_is_a_gap() -> None:
    """Edge case 17, in the terms themselves."""
    found = rate(*BY_PRECEDENCE, contract=priced(blended_rate=money("1.00", "EUR")))
    assert isinstance(found, PriceGap)
    assert found.code == "rate_currency_mismatch"


@pytest.mark.parametrize(
    ("contract", "expected"),
    [
        (CONTRACT, "no rate for EMP-0001 on PRJ-0001 on 2026-09-14"),
        (priced(), f"no rate for EMP-0001 on PRJ-0001 on 2026-09-14, nor in the rate card {CARD}"),
        (
            priced(rate_card="standrad"),
            "no rate for EMP-0001 on PRJ-0001 on 2026-09-14, nor in the rate card standrad, which has no lines",
        ),
    ],
)
def test_without_a_rate_there_is_a_gap_that_says_where_was_looked(contract: Contract, expected: str) -> None:
    """Work would be billed at nothing, and a misspelled card would not be found."""
    found = rate(card_line(role="Engineer"), contract=contract)
    assert found == PriceGap(code="no_bill_rate", detail=expected)
    assert found.code in FAULTS
    master = make_master(bill_rates=())
    assert isinstance(price(make_entry(), contract=contract, project=PROJECT, employee=ADA, master=master), PriceGap)


def test_a_rate_of_nothing_is_a_rate() -> None:
    """Work that is agreed to be free would be held for ever."""
    assert effective("0.00") == money("0.0000")


@pytest.mark.parametrize(
    ("work_types", "expected"),
    [
        ((), "100"),
        (("overtime",), "150"),
        (("overtime", "weekend"), "187.5"),
        (("weekend", "overtime", "overtime"), "187.5"),
        (("travel",), "50"),
        (("on call",), "100"),
        (("on call", "travel"), "50"),
    ],
)
def test_multipliers_are_those_of_the_types_of_work_that_the_terms_name(
    work_types: tuple[str, ...], expected: str
) -> None:
    """Overtime would be billed at the plain rate, or a tag that means nothing would change a price."""
    terms = {"overtime": Decimal("1.5"), "weekend": Decimal("1.25"), "travel": Decimal("0.5")}
    assert effective("100.00", work_types, multipliers=terms) == money(expected)


@pytest.mark.parametrize(
    ("per_hour", "discount", "expected"),
    [
        ("100.00", "0", "100.0000"),
        ("100.00", "0.1", "90.0000"),
        ("133.33", "0.125", "116.6638"),  # 116.66375, half to even
        ("133.3300", "0.025", "129.9968"),  # 129.99675
        ("0.0001", "0.5", "0.0000"),  # 0.00005, half to even
        ("0.0003", "0.5", "0.0002"),  # 0.00015
    ],
)
def test_the_effective_rate_has_four_decimals_rounded_half_to_even(per_hour: str, discount: str, expected: str) -> None:
    """The ERP's line shows four; a rate with more would come to another amount there than here."""
    assert str(effective(per_hour, discount=Decimal(discount)).amount) == expected


@given(per_hour=RATES, discount=DISCOUNTS, factors=st.lists(FACTORS, max_size=4))
def test_an_hour_costs_what_the_terms_say(per_hour: Decimal, discount: Decimal, factors: list[Decimal]) -> None:
    """Sixty minutes at the effective rate are the rate × multipliers × (1 - discount), rounded once."""
    types = [f"type {n}" for n in range(len(factors))]
    found = effective(per_hour, types, discount=discount, multipliers=dict(zip(types, factors, strict=True)))
    expected = money(str(per_hour))
    for factor in (*factors, 1 - discount):
        expected = expected.times(factor)
    assert for_minutes(found, 60) == expected.to_digits(4, Rounding.HALF_EVEN)


@given(per_hour=RATES, first=DISCOUNTS, second=DISCOUNTS)
def test_discount_and_multiplier_commute(per_hour: Decimal, first: Decimal, second: Decimal) -> None:
    """Rounded in between, it would matter which of the two came first."""
    one_way = effective(per_hour, ["reduced"], discount=first, multipliers={"reduced": 1 - second})
    other_way = effective(per_hour, ["reduced"], discount=second, multipliers={"reduced": 1 - first})
    assert one_way == other_way


@pytest.mark.parametrize(
    ("minutes", "increment", "billed"),
    [(1, 15, 15), (15, 15, 15), (16, 15, 30), (0, 15, 0), (50, 1, 50), (50, 6, 54), (61, 60, 120)],
)
def test_minutes_are_rounded_up_to_the_increment(minutes: int, increment: int, billed: int) -> None:
    """A quarter of an hour that was begun is billed, one that was not begun is not."""
    assert billed_minutes(minutes, PricingTerms(increment_minutes=increment)) == billed
    assert priced_entry(minutes, increment_minutes=increment).minutes == billed


@given(minutes=st.integers(0, 10_000), increment=st.integers(1, 480))
def test_rounding_up_adds_less_than_one_increment(minutes: int, increment: int) -> None:
    """An increment too many would be billed an entry."""
    billed = billed_minutes(minutes, PricingTerms(increment_minutes=increment))
    assert billed % increment == 0
    assert 0 <= billed - minutes < increment


def test_a_price_says_how_it_came_about() -> None:
    """Nobody could explain the invoice to the customer."""
    contract = priced(discount=Decimal("0.125"), increment_minutes=15, multipliers={"overtime": Decimal("1.5")})
    found = price(
        make_entry(50, work_types=("overtime", "remote")),
        contract=contract,
        project=PROJECT,
        employee=ADA,
        master=make_master(bill_rates=(), rate_cards=(ROLE_LINE,)),
    )
    assert found == Price(
        per_hour=money("223.1250"),
        minutes=60,
        rate_id="standard/Principal@2026-09-01",
        reasons=(
            "rate-card line standard/Principal@2026-09-01: 170.00 GBP an hour",
            "times 1.5 for overtime",
            "less 12.5% discount",
            "50 minutes rounded up to 60, a multiple of 15",
        ),
    )


@pytest.mark.parametrize(
    ("contract", "which"),
    [
        (priced(blended_rate=money("145.00")), "blended rate of CTR-0001: 145.00 GBP an hour"),
        (priced(), "rate-card line standard/CTR-0001@2026-09-01 for CTR-0001 alone: 110.00 GBP an hour"),
    ],
)
def test_a_price_says_which_rate_it_is(contract: Contract, which: str) -> None:
    """Of six places where a rate can be kept, an operator would not know where to correct it."""
    found = rate(*BY_PRECEDENCE, contract=contract)
    assert isinstance(found, Rate)
    assert found.reasons == (which,)


@given(
    minutes=st.integers(1, 600),
    per_hour=RATES,
    discount=DISCOUNTS,
    work_types=st.permutations(["overtime", "travel", "remote"]),
    anything=st.text(max_size=5),
)
def test_a_price_is_a_function_of_the_entry_the_terms_and_the_cards(
    minutes: int, per_hour: Decimal, discount: Decimal, work_types: list[str], anything: str
) -> None:
    """Edge case 12: what does not bear on the price would change what is billed; a replay must come to the same."""
    contract = priced(
        discount=discount, increment_minutes=6, multipliers={"overtime": Decimal("1.5"), "travel": Decimal(0)}
    )
    entry = make_entry(minutes, work_types=tuple(work_types))
    line = card_line(str(per_hour))

    def again(entry_again: Any, *lines: RateCardLine) -> Price | PriceGap:
        master = make_master(bill_rates=(), rate_cards=lines)
        return price(entry_again, contract=contract, project=PROJECT, employee=ADA, master=master)

    found = again(entry, line)
    assert again(entry, line) == found
    other = replace(
        entry, id=anything, revision=7, description=anything, payload_id=8, work_types=("travel", "overtime", "remote")
    )
    assert again(other, line, card_line("1.00", card="another")) == found


def test_the_rate_does_not_depend_on_the_minutes() -> None:
    """Whoever asks for the rate once for many entries would bill some of them at another's."""
    prices = [priced_entry(minutes, increment_minutes=15) for minutes in (1, 15, 480)]
    assert len({p.per_hour for p in prices}) == len({p.rate_id for p in prices}) == 1
    assert rate(bill_rate("100.00"), contract=priced(increment_minutes=15)) == Rate(
        per_hour=money("100"), rate_id="PRJ-0001/*", reasons=prices[1].reasons
    )
