"""Months of a contract in which nobody works: they are earned, billed and expire all the same, each of them once."""

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.decision import Decision, Outcome
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.records import Contract
from psa_erp_assets.domain.terms import (
    MAIN,
    Component,
    ContractKind,
    DayCount,
    Estimate,
    Instalment,
    Overage,
    Recognition,
    RecognitionTerms,
    RetainerTerms,
    Terms,
)
from psa_erp_assets.domain.values import replace
from psa_erp_assets.services import sync
from psa_erp_assets.services.deciding import decide_partition
from psa_erp_assets.services.runtime import Runtime
from psa_erp_assets_tests.support.facts import CONTRACT, make_master, money
from psa_erp_assets_tests.support.punctual_erp import PunctualErp, SetClock, open_store_runtime
from psa_erp_assets_tests.support.store import keep_master, psa_payload, receive

BILLING, REVENUE = EffectType.BILLING_LINE, EffectType.REVENUE_ENTRY
DECEMBER = dt.datetime(2026, 12, 5, 9, tzinfo=dt.UTC)
MONTHS = ["2026-09", "2026-10", "2026-11"]


@pytest.fixture
def erp() -> PunctualErp:
    return PunctualErp()


@pytest.fixture
def runtime(clean_store: Engine, tmp_path: Path, erp: PunctualErp) -> Iterator[Runtime]:
    """A company in December, which has agreed nothing yet."""
    with open_store_runtime(clean_store, tmp_path, erp) as runtime:
        at(runtime, DECEMBER)
        yield runtime


def at(runtime: Runtime, now: dt.datetime) -> None:
    assert isinstance(runtime.clock, SetClock)
    runtime.clock.now = now


def due(runtime: Runtime) -> list[str]:
    """The months that are to be planned."""
    return sorted(month for _, month in sync.touched_partitions(runtime))


def reach(runtime: Runtime, contract: Contract) -> list[str]:
    """Let this contract be agreed, and its months come; answers with those that are due."""
    keep_master(runtime.engine, make_master(contracts=(contract,)), runtime.clock())
    sync.mark_touched(runtime)
    return due(runtime)


def work(runtime: Runtime, entry_id: str, minutes: int, day: dt.date) -> None:
    receive(runtime.engine, psa_payload(entry_id, minutes, day=day), now=runtime.clock())


def sync_all(runtime: Runtime, *, newest_first: bool = False) -> int:
    """Bring what is due to where it should be until nothing is due; answers with how many months that took."""
    count = 0
    while months := due(runtime):
        count += 1
        assert count < 20, "it never ends"
        assert isinstance(runtime.clock, SetClock)
        runtime.clock.later()
        sync.sync_partition(runtime, ("UK", months[-1 if newest_first else 0]), created_by="test")
    return count


def nothing_more(runtime: Runtime) -> None:
    """A second plan of each month does nothing."""
    for month in [*MONTHS, "2026-12"]:
        settled = sync.sync_partition(runtime, ("UK", month), created_by="test")
        assert not settled.actions, month
    assert due(runtime) == []


def net(erp: PunctualErp, effect_type: EffectType) -> dict[str, Decimal]:
    """What the ERP has for each month."""
    found: dict[str, Decimal] = {}
    for document in erp.documents.values():
        if document.effect_type is effect_type:
            month = str(ServiceMonth.of(document.date))
            found[month] = found.get(month, Decimal(0)) + document.amount.amount
    return dict(sorted(found.items()))


def of(runtime: Runtime, object_id: str, month: str) -> Decision:
    with runtime.engine.connect() as connection:
        decided = decide_partition(connection, runtime.scope, ("UK", month)).decisions
    [decision] = [d for d in decided if d.object_id == object_id]
    return decision


def prepaid(method: Recognition = Recognition.STRAIGHT_LINE, **said: Any) -> Contract:
    """A fee of 50,000 from the middle of September to the end of November, billed when it begins."""
    fee, first = money("50000.00"), dt.date(2026, 9, 16)
    component = Component(
        code=MAIN,
        kind=ContractKind.FIXED_FEE_SCHEDULE,
        fee=fee,
        instalments=(Instalment(due=first, amount=fee, label="prepaid"),),
        recognition=RecognitionTerms(method=method, **said),
    )
    terms = Terms(components=(component,))
    kind, last = ContractKind.FIXED_FEE_SCHEDULE, dt.date(2026, 11, 30)
    return replace(CONTRACT, kind=kind, terms=terms, valid_from=first, valid_to=last)


@pytest.mark.parametrize("newest_first", [False, True])
def test_straight_line_is_earned_in_months_without_any_work(
    runtime: Runtime, erp: PunctualErp, *, newest_first: bool
) -> None:
    """Deferred revenue would stay a liability for ever, as nothing happens that could call for it.

    The figures are those of ERPNext's test suite: half a month and two whole ones of 50,000 are 10,000, 20,000, 20,000.
    """
    assert reach(runtime, prepaid(day_count=DayCount.THIRTY_DAY_MONTHS)) == MONTHS
    sync_all(runtime, newest_first=newest_first)
    assert net(erp, REVENUE) == {"2026-09": 10_000, "2026-10": 20_000, "2026-11": 20_000}
    assert net(erp, BILLING) == {"2026-09": 50_000}
    nothing_more(runtime)


def test_a_month_is_earned_when_it_comes_and_not_before(runtime: Runtime, erp: PunctualErp) -> None:
    """Revenue of November would be in the books in October, or missing where nobody has worked since September."""
    contract, earned = prepaid(day_count=DayCount.THIRTY_DAY_MONTHS), []
    for month in (9, 10, 11, 12):
        at(runtime, dt.datetime(2026, month, 1, 6, tzinfo=dt.UTC))
        reach(runtime, contract)
        sync_all(runtime)
        earned.append(sum(net(erp, REVENUE).values()))
    assert earned == [10_000, 30_000, 50_000, 50_000]


@pytest.mark.parametrize("method", [Recognition.HOURS, Recognition.COST_TO_COST])
def test_progress_stands_still_where_nobody_works(runtime: Runtime, erp: PunctualErp, method: Recognition) -> None:
    """A month without work would be earned by the calendar, or take back what the month before has earned."""
    estimate = Estimate(total_minutes=1200) if method is Recognition.HOURS else Estimate(total_cost=Decimal(2000))
    reach(runtime, prepaid(method, estimate=estimate))
    work(runtime, "e1", 600, dt.date(2026, 9, 20))
    sync_all(runtime)
    assert list(net(erp, REVENUE)) == ["2026-09"]
    work(runtime, "e2", 60, dt.date(2026, 11, 20))
    sync_all(runtime)
    earned = net(erp, REVENUE)
    assert list(earned) == ["2026-09", "2026-11"]
    assert earned["2026-11"] * 10 == earned["2026-09"], "an hour earns a tenth of what ten hours have earned"
    nothing_more(runtime)


def retainer(rollover: int) -> Contract:
    """A retainer of two hours a month for 200, overage billed at 100 an hour."""
    terms = RetainerTerms(fee=money("200.00"), included_minutes=120, rollover_months=rollover, overage=Overage.BILL)
    component = Component(code=MAIN, kind=ContractKind.RETAINER, retainer=terms)
    return replace(CONTRACT, kind=ContractKind.RETAINER, terms=Terms(components=(component,)))


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize(
    ("rollover", "beyond", "overage"), [(0, 280, "466.67"), (1, 160, "266.67"), (2, 40, "66.67"), (3, 40, "66.67")]
)
def test_a_retainers_hours_roll_over_and_expire_in_months_without_work(
    runtime: Runtime, erp: PunctualErp, rollover: int, beyond: int, overage: str, *, newest_first: bool
) -> None:
    """Hours that nobody used would be lost with their month, or be there for ever, as nothing happens in the next."""
    reach(runtime, retainer(rollover))
    work(runtime, "e1", 400, dt.date(2026, 11, 20))
    sync_all(runtime, newest_first=newest_first)
    decision = of(runtime, "time_entry:clockify:e1", "2026-11")
    assert (decision.minutes_of(Outcome.COVERED), decision.minutes_of(Outcome.POST)) == (400 - beyond, beyond)
    fees = dict.fromkeys(("2026-09", "2026-10", "2026-11", "2026-12"), Decimal(200))
    assert net(erp, BILLING) == fees | {"2026-11": 200 + Decimal(overage)}
    nothing_more(runtime)


def test_late_work_in_an_empty_month_takes_its_hours_from_the_months_after_it(
    runtime: Runtime, erp: PunctualErp
) -> None:
    """Hours of September that October's work has used would be used a second time."""
    reach(runtime, retainer(1))
    work(runtime, "e1", 240, dt.date(2026, 10, 20))
    sync_all(runtime)
    assert of(runtime, "time_entry:clockify:e1", "2026-10").minutes_of(Outcome.COVERED) == 240
    work(runtime, "e2", 30, dt.date(2026, 9, 3))
    sync_all(runtime)
    assert of(runtime, "time_entry:clockify:e2", "2026-09").minutes_of(Outcome.COVERED) == 30
    assert of(runtime, "time_entry:clockify:e1", "2026-10").minutes_of(Outcome.POST) == 30
    assert net(erp, BILLING)["2026-10"] == 250
    nothing_more(runtime)
