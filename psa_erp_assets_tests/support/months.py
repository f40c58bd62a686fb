"""Contracts with some months of work, made at random, and the engine run over them month by month.

`make_world` draws from a `random.Random`, so that one generator serves both fixed seeds and hypothesis. Amounts are
small and limits tight, so that caps, hours and halves of a cent are met often.
"""

import datetime as dt
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from psa_erp_assets.domain.account import ContractMonth, Settlement, settle
from psa_erp_assets.domain.balances import Balance
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.costing import CostPolicy
from psa_erp_assets.domain.decide import Decider, Rules
from psa_erp_assets.domain.master import MasterData
from psa_erp_assets.domain.money import Money, Rounding, exponent
from psa_erp_assets.domain.records import (
    Amendment,
    ApprovalState,
    BillRate,
    Contract,
    CostRate,
    Credit,
    Customer,
    Employee,
    Expense,
    FxRate,
    Milestone,
    Project,
    RateCardLine,
    TaxProfile,
    TimeEntry,
    WorkItem,
)
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
from psa_erp_assets_tests.oracle.world import World
from psa_erp_assets_tests.support.facts import TAX, UK, US, fx_rate

FIRST = dt.date(2026, 1, 1)
CTR = "CTR-0007"
PROJECTS = ("P1", "P2", "P3")
TASKS = ("Design", "Build", None)
WORK_TYPES = ("overtime", "travel", "weekend")
CATEGORIES = ("Meals", "Travel")

# Their inverses have few digits, so that an exact fraction and fifty digits are the same number.
_QUOTED = {"EUR": ("0.8", "0.64"), "USD": ("0.5", "0.625"), "JPY": ("0.005", "0.004"), "KWD": ("2.5", "2")}
_RECOGNITION = {
    ContractKind.TIME_AND_MATERIALS: (Recognition.AS_BILLED,),
    ContractKind.NON_BILLABLE: (Recognition.AS_BILLED,),
    ContractKind.CAPPED: (Recognition.AS_BILLED,),
    ContractKind.FIXED_FEE_MILESTONE: tuple(Recognition),
    ContractKind.FIXED_FEE_SCHEDULE: tuple(Recognition),
    ContractKind.RETAINER: (Recognition.AS_BILLED, Recognition.STRAIGHT_LINE, Recognition.HOURS),
}
KINDS = tuple(_RECOGNITION)


def make_world(rng: random.Random, *, months: int = 4, kinds: Sequence[ContractKind] = KINDS) -> World:
    """A contract of one or several kinds, perhaps amended, with facts of every kind that may be held or credited."""
    currency = rng.choice(("GBP", "GBP", "EUR", "JPY", "KWD"))
    last = _month(months - 1).last_day
    contract = Contract(
        id=CTR,
        name="Ledger",
        customer_id="CUS-1",
        legal_entity="UK",
        kind=ContractKind.MIXED,
        currency=currency,
        valid_from=FIRST + dt.timedelta(days=rng.choice((0, 0, 0, 14, 33))),
        valid_to=rng.choice((None, last, last, last - dt.timedelta(days=rng.randint(0, 45)))),
        terms=_terms(rng, currency, kinds, months),
        amendments=(),
    )
    amended = tuple(_amendment(rng, contract, n, kinds, months) for n in range(rng.choice((0, 0, 1, 2))))
    contract = Contract(**{n: getattr(contract, n) for n in Contract.__slots__} | {"amendments": amended})
    entries = [_entry(rng, n, months) for n in range(rng.randint(2, 8) * months)]
    facts: list[WorkItem] = [
        *entries,
        *(_expense(rng, n, months, currency) for n in range(rng.randint(0, months))),
        *(_milestone(rng, n, months, currency) for n in range(rng.randint(0, months + 2))),
    ]
    rng.shuffle(facts)
    credited = rng.sample(entries, min(len(entries), rng.choice((0, 0, 1, 3))))
    return World(
        entities=(US, UK),
        customers=(
            Customer(id="CUS-1", name="Kestrel", country="GB", crm_id="1", psa_id="c1", erp_party="70"),
            Customer(id="CUS-2", name="Merlin", country="FR", crm_id="2", psa_id="c2", erp_party="71"),
            Customer(id="CUS-3", name="Hobby", country="GB", crm_id="3", psa_id="c3", erp_party=None),
        ),
        contract=contract,
        projects=tuple(
            Project(
                id=f"PRJ-{code}",
                code=code,
                name=code,
                psa_id=code.lower(),
                contract_id=CTR,
                closed=(shut := rng.random() < 0.05),
                closed_on=_day(rng, months) if shut else None,
                erp_analytics={"2": f"50{n}"} | ({"1": f"60{n}"} if rng.random() < 0.9 else {}),
            )
            for n, code in enumerate(PROJECTS)
        ),
        employees=tuple(
            Employee(
                id=f"EMP-{n}",
                name=f"Person {n}",
                psa_user_id=f"u{n}",
                legal_entity="US" if n == 2 else "UK",
                department="Delivery",
                time_zone="Europe/London",
                role=rng.choice(("Principal", "Analyst", None)),
            )
            for n in range(3)
        ),
        bill_rates=tuple(_bill_rates(rng, currency, months)),
        rate_cards=tuple(_card_lines(rng, currency, months)),
        cost_rates=tuple(_cost_rates(rng, months)),
        fx_rates=tuple(_fx_rates(rng, months)),
        tax_profiles=tuple(_taxes(rng)),
        half_up=rng.random() < 0.5,
        mark_up=rng.choice((Decimal(0), Decimal("0.075"))),
        facts=tuple(facts),
        credits=tuple(
            Credit(
                id=f"C{n}",
                object_id=entry.id,
                minutes=rng.randint(1, 120),
                rebill=rng.random() < 0.5,
                in_erp=rng.random() < 0.4,
                reason="agreed",
            )
            for n, entry in enumerate([*credited, *credited[:1]])
        ),
        months=tuple((m.year, m.month) for m in map(_month, range(months))),
    )


def master_of(world: World) -> MasterData:
    """The world's records as the engine takes them."""
    return MasterData(
        legal_entities=world.entities,
        customers=world.customers,
        contracts=(world.contract,),
        projects=world.projects,
        employees=world.employees,
        bill_rates=world.bill_rates,
        cost_rates=world.cost_rates,
        fx_rates=world.fx_rates,
        tax_profiles=world.tax_profiles,
        rate_cards=world.rate_cards,
    )


def rules_of(world: World) -> Rules:
    """The world's settings as the engine takes them."""
    return Rules(
        rounding=Rounding.HALF_UP if world.half_up else Rounding.HALF_EVEN,
        default_legal_entity="US",
        cost=CostPolicy(intercompany_mark_up=world.mark_up),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A month as the engine settles it. `opening` is what the month before left."""

    month: ServiceMonth
    opening: Balance
    settlement: Settlement


def settle_months(world: World, facts: Iterable[WorkItem] | None = None) -> list[Settled]:
    """The engine over all months of a world, each with the balance that the one before left."""
    decider, balance, settled = Decider(master_of(world), rules_of(world)), Balance(), []
    by_month: dict[ServiceMonth, list[WorkItem]] = defaultdict(list)
    for fact in world.facts if facts is None else facts:
        by_month[ServiceMonth.of(fact.service_date)].append(fact)
    for year, number in world.months:
        month = ServiceMonth(year, number)
        work = [(fact, decider.decide(fact)) for fact in by_month[month]]
        where = ContractMonth(world.contract.id, month)
        # The balance goes through its stored form, as it does between two runs.
        opening = Balance.from_body(balance.to_body())
        settlement = settle(where, work, opening, decider, world.credits)
        settled.append(Settled(month=month, opening=opening, settlement=settlement))
        balance = settlement.closing
    return settled


def _month(index: int) -> ServiceMonth:
    return ServiceMonth(FIRST.year + index // 12, index % 12 + 1)


def _day(rng: random.Random, months: int) -> dt.date:
    return FIRST + dt.timedelta(days=rng.randrange((_month(months - 1).last_day - FIRST).days + 1))


def _money(rng: random.Random, low: int, high: int, currency: str) -> Money:
    """An amount in the currency that is worth so many to so many pounds."""
    each = {"JPY": Decimal(200), "KWD": Decimal("0.4")}.get(currency, Decimal(1))
    digits = exponent(currency)
    units = rng.randint(int(low * each * 10**digits), int(high * each * 10**digits))
    return Money(Decimal(units).scaleb(-digits), currency)


def _rate(rng: random.Random, currency: str) -> Money:
    return Money(
        Decimal(rng.choice((rng.randint(1, 300), rng.randint(100, 2_000_000)))) / 10000 + rng.randint(0, 150), currency
    )


def _terms(rng: random.Random, currency: str, kinds: Sequence[ContractKind], months: int) -> Terms:
    count = rng.choice((1, 1, 2, 3))
    left = list(PROJECTS)
    components = []
    for n in range(count):
        mine, left = (
            (tuple(left[:1]), left[1:]) if n < count - 1 else (() if rng.random() < 0.92 else tuple(left[:1]), [])
        )
        components.append(_component(rng, f"c{n}", mine, currency, kinds, months=months))
    return Terms(components=tuple(components), pricing=_pricing(rng, currency), expenses=_expense_terms(rng))


def _component(
    rng: random.Random,
    code: str,
    projects: tuple[str, ...],
    currency: str,
    kinds: Sequence[ContractKind],
    *,
    months: int,
) -> Component:
    kind = rng.choice(list(kinds))
    said: dict[str, object] = {}
    if kind is ContractKind.CAPPED:
        said = {
            "cap": _money(rng, 0, rng.choice((200, 1500, 5000)), currency),
            "cap_overage": rng.choice((Overage.HOLD, Overage.WRITE_OFF)),
        }
    elif kind is ContractKind.RETAINER:
        said["retainer"] = RetainerTerms(
            fee=_money(rng, 100, 900, currency),
            included_minutes=rng.choice((0, 60, 240, 601)),
            rollover_months=rng.choice((0, 1, 2)),
            overage=rng.choice(tuple(Overage)),
        )
    elif kind is ContractKind.FIXED_FEE_MILESTONE:
        said["fee"] = _money(rng, 500, 2500, currency)
    elif kind is ContractKind.FIXED_FEE_SCHEDULE:
        parts = tuple(
            Instalment(due=_day(rng, months), amount=_money(rng, 1, 600, currency), label=f"part {n}")
            for n in range(rng.randint(1, 4))
        )
        said = {"instalments": parts, "fee": Money(sum((p.amount.amount for p in parts), Decimal(0)), currency)}
    return Component(code=code, kind=kind, projects=projects, recognition=_recognition(rng, kind), **said)


def _recognition(rng: random.Random, kind: ContractKind) -> RecognitionTerms:
    cost = Decimal(rng.randint(1, 600_000)) / 100
    return RecognitionTerms(
        method=rng.choice(_RECOGNITION[kind]),
        estimate=Estimate(
            total_cost=rng.choice((None, cost)),
            total_minutes=rng.choice((None, rng.randint(1, 5000))),
            excluded_cost=rng.choice((Decimal(0), cost / 10)),
        ),
        percent_digits=rng.choice((None, None, 3)),
        day_count=rng.choice(tuple(DayCount)),
    )


def _pricing(rng: random.Random, currency: str) -> PricingTerms:
    return PricingTerms(
        rate_card=rng.choice((None, "standard", "standard", "other")),
        blended_rate=_rate(rng, currency) if rng.random() < 0.15 else None,
        discount=rng.choice((Decimal(0), Decimal(0), Decimal("0.1"), Decimal("0.033"))),
        increment_minutes=rng.choice((1, 1, 6, 15)),
        multipliers=rng.choice(
            ({}, {"overtime": Decimal("1.5")}, {"overtime": Decimal("1.5"), "travel": Decimal("0.5")})
        ),
        rounding=rng.choice(tuple(LineRounding)),
    )


def _expense_terms(rng: random.Random) -> ExpenseTerms:
    return ExpenseTerms(
        billable=rng.random() < 0.9,
        mark_up=rng.choice((Decimal(0), Decimal("0.1"), Decimal("0.025"))),
        limits=rng.choice(({}, {"Meals": Money(Decimal("30.00"), "GBP")}, {"Travel": Money(Decimal("40.00"), "EUR")})),
        tax_profile=rng.choice((None, "expenses")),
    )


def _amendment(
    rng: random.Random, contract: Contract, number: int, kinds: Sequence[ContractKind], months: int
) -> Amendment:
    """Something that is agreed anew from a day on, be it the first of a month or not."""
    on = rng.choice((_day(rng, months), _month(rng.randrange(months)).first_day))
    terms = contract.terms
    how = rng.random()
    if how < 0.5:
        changed = tuple(
            _component(
                rng, c.code, c.projects, contract.currency, kinds if rng.random() < 0.4 else (c.kind,), months=months
            )
            for c in terms.components
        )
        terms = Terms(components=changed, pricing=terms.pricing, expenses=terms.expenses)
    elif how < 0.8:
        pricing, expenses = _pricing(rng, contract.currency), _expense_terms(rng)
        terms = Terms(components=terms.components, pricing=pricing, expenses=expenses)
    return Amendment(
        id=f"A{number}",
        effective_from=on,
        customer_id=rng.choice((None, None, "CUS-2", "CUS-3")) if how > 0.7 else None,
        legal_entity=rng.choice((None, None, "US", "UK")),
        terms=terms if how < 0.8 else None,
        valid_to=_day(rng, months) if how > 0.9 else None,
    )


def _bill_rates(rng: random.Random, currency: str, months: int) -> Iterable[BillRate]:
    for n in range(rng.randint(0, 6)):
        yield BillRate(
            id=f"B{n}",
            project_id=f"PRJ-{rng.choice(PROJECTS)}",
            employee_id=rng.choice((None, None, "EMP-0", "EMP-1")),
            per_hour=_rate(rng, currency if rng.random() < 0.97 else "USD"),
            valid_from=rng.choice((FIRST, _day(rng, months))),
            valid_to=rng.choice((None, None, _day(rng, months))),
        )
    if rng.random() < 0.8:
        for code in PROJECTS:
            yield BillRate(
                id=f"B-{code}",
                project_id=f"PRJ-{code}",
                employee_id=None,
                per_hour=_rate(rng, currency),
                valid_from=FIRST,
                valid_to=None,
            )


def _card_lines(rng: random.Random, currency: str, months: int) -> Iterable[RateCardLine]:
    for n in range(rng.randint(0, 8)):
        yield RateCardLine(
            id=f"L{n}",
            card=rng.choice(("standard", "other")),
            per_hour=_rate(rng, currency),
            valid_from=rng.choice((FIRST, FIRST, _day(rng, months))),
            valid_to=rng.choice((None, None, _day(rng, months))),
            contract_id=rng.choice((None, None, None, CTR, "CTR-other")),
            project_id=rng.choice((None, None, *(f"PRJ-{code}" for code in PROJECTS))),
            task=rng.choice((None, None, "Design", "Build")),
            employee_id=rng.choice((None, None, None, "EMP-0")),
            role=rng.choice((None, None, "Principal")),
        )


def _cost_rates(rng: random.Random, months: int) -> Iterable[CostRate]:
    for n in range(3):
        for change in range(rng.choice((1, 1, 2))):
            yield CostRate(
                id=f"K{n}{change}",
                employee_id=f"EMP-{n}",
                per_hour=_rate(rng, "USD" if n == 2 else "GBP"),
                valid_from=FIRST if not change and rng.random() < 0.95 else _day(rng, months),
                valid_to=None,
            )


def _fx_rates(rng: random.Random, months: int) -> Iterable[FxRate]:
    for other, (rate, changed) in _QUOTED.items():
        days = (FIRST if rng.random() < 0.97 else _day(rng, months), _day(rng, months))
        for on, quoted in dict(zip(days, (rate, changed), strict=True)).items():
            yield fx_rate(other, "GBP", quoted, on)


def _taxes(rng: random.Random) -> Iterable[TaxProfile]:
    yield TAX
    yield TaxProfile(
        id="UK/*", legal_entity="UK", customer_country="*", erp_tax=None, rate=Decimal(0), active=rng.random() < 0.9
    )
    if rng.random() < 0.9:
        yield TaxProfile(id="US/*", legal_entity="US", customer_country="*", erp_tax=None, rate=Decimal(0), active=True)
    if rng.random() < 0.5:
        yield TaxProfile(
            id="UK/GB/expenses",
            legal_entity="UK",
            customer_country="GB",
            erp_tax="305",
            rate=Decimal("0.05"),
            active=True,
            supply="expenses",
            valid_from=rng.choice((None, FIRST + dt.timedelta(days=40))),
        )


def _state(rng: random.Random) -> ApprovalState:
    return ApprovalState.APPROVED if rng.random() < 0.93 else rng.choice(tuple(ApprovalState))


def _entry(rng: random.Random, number: int, months: int) -> TimeEntry:
    day = _day(rng, months)
    return TimeEntry(
        id=f"time_entry:t{number}",
        revision=1,
        state=_state(rng),
        psa_user_id="u9" if rng.random() < 0.02 else f"u{rng.randrange(3)}",
        psa_project_id=rng.choice(PROJECTS).lower(),
        service_date=day,
        minutes=rng.choice((0, rng.randint(1, 60), rng.randint(1, 300), rng.randint(1, 300), 15 * rng.randint(1, 20))),
        billable=rng.random() < 0.93,
        description=f"work {number}",
        started_at=dt.datetime.combine(day, dt.time(rng.choice((9, 9, 14))), dt.UTC),
        time_zone="Europe/London",
        payload_id=number,
        task=rng.choice(TASKS),
        work_types=tuple(rng.sample(WORK_TYPES, rng.choice((0, 0, 1, 2)))),
    )


def _expense(rng: random.Random, number: int, months: int, currency: str) -> Expense:
    receipt = _money(rng, 1, 90, rng.choice((currency, "EUR", "USD", "JPY")))
    return Expense(
        id=f"expense:x{number}",
        revision=1,
        state=_state(rng),
        psa_user_id=f"u{rng.randrange(3)}",
        psa_project_id=rng.choice(PROJECTS).lower(),
        service_date=_day(rng, months),
        category=rng.choice(CATEGORIES),
        receipt=receipt if rng.random() < 0.9 else -receipt,
        reimbursement=_money(rng, 1, 90, rng.choice(("GBP", "USD"))),
        billable=rng.random() < 0.9,
        description="receipt",
        payload_id=number,
    )


def _milestone(rng: random.Random, number: int, months: int, currency: str) -> Milestone:
    return Milestone(
        id=f"milestone:m{number}",
        revision=1,
        state=_state(rng),
        contract_id=CTR,
        component=rng.choice(("c0", "c0", "c1", "c2")),
        service_date=_day(rng, months),
        amount=_money(rng, 1, 1200, currency if rng.random() < 0.95 else "USD"),
        label=f"milestone {number}",
        payload_id=number,
    )
