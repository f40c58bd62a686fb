"""The firm whose month is measured: four legal entities, 216 contracts of every kind, 400 people, and all rates.

Deterministic: the same seed gives the same records. Its contracts do not depend on how much work there is, so that two
sizes differ in work alone. Limits (caps, included hours, fees) are of three sizes, so that any amount of work meets
some of them.
"""

import datetime as dt
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from psa_erp_assets.domain.balances import Balance, ComponentBalance, RetainerHours
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.costing import CostPolicy
from psa_erp_assets.domain.decide import EXPENSES, Rules
from psa_erp_assets.domain.master import MasterData
from psa_erp_assets.domain.money import Money, Rounding
from psa_erp_assets.domain.records import (
    Amendment,
    BillRate,
    Contract,
    CostRate,
    Customer,
    Employee,
    FxRate,
    LegalEntity,
    Project,
    RateCardLine,
    TaxProfile,
)
from psa_erp_assets.domain.terms import (
    MAIN,
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
from psa_erp_assets.services.scope import Scope

TENANT = "bench"
MONTH = ServiceMonth(2026, 9)
MID_MONTH = dt.date(2026, 9, 16)
SEED = 20260901

_START, _END = dt.date(2026, 1, 1), dt.date(2027, 3, 31)
_ENTITIES = (
    LegalEntity(code="US", name="Bench Inc.", currency="USD", country="US", time_zone="America/New_York",
                erp_company="1"),
    LegalEntity(code="UK", name="Bench Ltd", currency="GBP", country="GB", time_zone="Europe/London", erp_company="2"),
    LegalEntity(code="DE", name="Bench GmbH", currency="EUR", country="DE", time_zone="Europe/Berlin",
                erp_company="3"),
    LegalEntity(code="AU", name="Bench Pty", currency="AUD", country="AU", time_zone="Australia/Sydney",
                erp_company="4"),
)  # fmt: skip
_PER_DOLLAR = {"GBP": Decimal("0.7412"), "EUR": Decimal("0.8561"), "AUD": Decimal("1.5287")}
_ROLES = {"Analyst": 95, "Consultant": 130, "Senior Consultant": 165, "Manager": 210, "Principal": 275}
_TASKS = ("Discovery", "Build", "Test", "Training", "Support")
_PEOPLE_PER_ENTITY = 100
_STAFF_PER_PROJECT = 12
_MULTIPLIERS = {"overtime": Decimal("1.5"), "travel": Decimal("0.5"), "weekend": Decimal("1.75")}
_LIMIT_SIZES = (Decimal(1), Decimal(20), Decimal(400))

# How many contracts an entity has of each kind of deal.
_DEALS: Mapping[str, int] = {
    "plain": 14,
    "blended": 4,
    "cumulative": 5,
    "capped_hold": 4,
    "capped_write_off": 3,
    "retainer_bill": 4,
    "retainer_hold": 2,
    "retainer_write_off": 2,
    "milestone": 4,
    "schedule": 4,
    "non_billable": 3,
    "mixed": 5,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """All master data, what earlier months left, and who works on what.

    `staff` are PSA users by PSA project, `deals` is the kind of deal by contract.
    """

    master: MasterData
    scope: Scope
    opening: Mapping[str, Balance]
    staff: Mapping[str, Sequence[str]]
    deals: Mapping[str, str]

    @property
    def partitions(self) -> list[tuple[str, str]]:
        """The four partitions of the month."""
        return [(entity.code, str(MONTH)) for entity in self.master.legal_entities]


def make_world(seed: int = SEED) -> World:
    """The firm of a seed."""
    return _Builder(seed).world()


class _Builder:
    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)  # noqa: S311  # a month that can be repeated, not a secret
        self.customers: list[Customer] = []
        self.contracts: list[Contract] = []
        self.projects: list[Project] = []
        self.bill_rates: list[BillRate] = []
        self.contract_lines: list[RateCardLine] = []
        self.opening: dict[str, Balance] = {}
        self.staff: dict[str, list[str]] = {}
        self.deals: dict[str, str] = {}
        self.employees = [self._employee(entity, n) for entity in _ENTITIES for n in range(_PEOPLE_PER_ENTITY)]
        self.of_entity = {e.code: [p for p in self.employees if p.legal_entity == e.code] for e in _ENTITIES}

    def world(self) -> World:
        for entity in _ENTITIES:
            self._sell(entity)
        cards = (*_cards(), *self.contract_lines)
        master = MasterData(
            legal_entities=_ENTITIES,
            customers=self.customers,
            contracts=self.contracts,
            projects=self.projects,
            employees=self.employees,
            bill_rates=self.bill_rates,
            cost_rates=[rate for person in self.employees for rate in self._cost_rates(person)],
            fx_rates=list(self._fx_rates()),
            tax_profiles=list(_tax_profiles()),
            rate_cards=cards,
        )
        rules = Rules(
            rounding=Rounding.HALF_UP,
            default_legal_entity="US",
            cost=CostPolicy(intercompany_mark_up=Decimal("0.08")),
        )
        scope = Scope(tenant=TENANT, rules=rules, first_day=MONTH.first_day, rate_cards=cards)
        return World(master=master, scope=scope, opening=self.opening, staff=self.staff, deals=self.deals)

    # People

    def _employee(self, entity: LegalEntity, number: int) -> Employee:
        return Employee(
            id=f"{entity.code}{number:04d}",
            name=f"Employee {entity.code}{number:04d}",
            psa_user_id=f"user-{entity.code}-{number:04d}",
            legal_entity=entity.code,
            department=("Advisory", "Delivery", "Data")[number % 3],
            time_zone=entity.time_zone,
            role=list(_ROLES)[number % len(_ROLES)],
        )

    def _cost_rates(self, person: Employee) -> Iterator[CostRate]:
        """Two rates in turn within the month for a fifth of the people; none at all for one in two hundred."""
        number = int(person.id[2:])
        if number in (37, 38) and person.legal_entity in ("UK",):
            return
        currency = next(e.currency for e in _ENTITIES if e.code == person.legal_entity)
        base = Decimal(_ROLES[person.role or ""]) * Decimal("0.42") + Decimal(self.rng.randrange(0, 2000)) / 100
        changed = MID_MONTH if number % 5 == 0 else None
        yield _cost_rate(person, currency, base, _START, changed and changed - dt.timedelta(days=1))
        if changed:
            yield _cost_rate(person, currency, base * Decimal("1.035"), changed, None)

    def _fx_rates(self) -> Iterator[FxRate]:
        """Each dollar pair on each day of the month before and of the month itself, but not on weekends."""
        for currency, base in _PER_DOLLAR.items():
            rate, day = base, dt.date(2026, 8, 1)
            while day <= MONTH.last_day:
                rate = (rate * (1 + Decimal(self.rng.randrange(-40, 41)) / 10000)).quantize(Decimal("0.000001"))
                if day.weekday() < 5:
                    name = f"USD/{currency}@{day}"
                    yield FxRate(id=name, from_currency="USD", to_currency=currency, date=day, rate=rate)
                day += dt.timedelta(days=1)

    # Contracts

    def _sell(self, entity: LegalEntity) -> None:
        deals = [deal for deal, count in _DEALS.items() for _ in range(count)]
        for number, deal in enumerate(deals):
            contract_id = f"CTR-{entity.code}-{number:03d}"
            others = [e for e in _ENTITIES if e is not entity]
            foreign = number % 9 == 4
            currency = self.rng.choice(others).currency if foreign else entity.currency
            country = self.rng.choice(others).country if foreign else entity.country
            # One customer an entity has not reached the ERP yet.
            customer = self._customer(f"CUS-{entity.code}-{number:03d}", country, known=number != 13)
            codes = [f"{contract_id}-P{n}" for n in range(3 if deal == "mixed" else 2)]
            for code in codes:
                self._project(code, contract_id, entity, currency)
            self.deals[contract_id] = deal
            self.contracts.append(
                self._contract(
                    contract_id, deal, number, customer=customer, entity=entity, currency=currency, codes=codes
                )
            )
            self._open(self.contracts[-1], number)

    def _customer(self, customer_id: str, country: str, *, known: bool) -> Customer:
        customer = Customer(
            id=customer_id,
            name=f"Customer {customer_id}",
            country=country,
            crm_id=f"crm-{customer_id}",
            psa_id=f"client-{customer_id}",
            erp_party=f"party-{customer_id}" if known else None,
        )
        self.customers.append(customer)
        return customer

    def _project(self, code: str, contract_id: str, entity: LegalEntity, currency: str) -> None:
        psa_id = f"project-{code}"
        self.projects.append(
            Project(
                id=code,
                code=code,
                name=f"Project {code}",
                psa_id=psa_id,
                contract_id=contract_id,
                closed=False,
                closed_on=None,
                erp_analytics={entity.erp_company: f"analytic-{code}"},
            )
        )
        own = self.rng.sample(self.of_entity[entity.code], _STAFF_PER_PROJECT - 2)
        lent = self.rng.sample([p for p in self.employees if p.legal_entity != entity.code], 2)
        team = [*own, *lent]
        self.staff[psa_id] = [p.psa_user_id for p in team if p.psa_user_id]
        # Most projects have a rate of their own, and some people one on the project; others fall back on the card.
        if self.rng.random() < 0.7:
            self._bill_rate(code, None, Decimal(self.rng.randrange(110, 240)), currency)
        for person in team[:3]:
            self._bill_rate(code, person.id, Decimal(_ROLES[person.role or ""]) + self.rng.randrange(0, 40), currency)

    def _bill_rate(self, code: str, employee_id: str | None, amount: Decimal, currency: str) -> None:
        """A rate, and for every fourth another one from the middle of the month on."""
        rise = self.rng.random() < 0.25
        name = f"{code}/{employee_id or '*'}"
        until = MID_MONTH - dt.timedelta(days=1) if rise else None
        self.bill_rates.append(
            BillRate(
                id=name,
                project_id=code,
                employee_id=employee_id,
                per_hour=Money(amount, currency),
                valid_from=_START,
                valid_to=until,
            )
        )
        if rise:
            more = Money((amount * Decimal("1.045")).quantize(Decimal("0.01")), currency)
            self.bill_rates.append(
                BillRate(
                    id=f"{name}@{MID_MONTH}",
                    project_id=code,
                    employee_id=employee_id,
                    per_hour=more,
                    valid_from=MID_MONTH,
                    valid_to=None,
                )
            )

    def _contract(
        self,
        contract_id: str,
        deal: str,
        number: int,
        *,
        customer: Customer,
        entity: LegalEntity,
        currency: str,
        codes: Sequence[str],
    ) -> Contract:
        size = _LIMIT_SIZES[number // 2 % 3]
        terms = Terms(
            components=self._components(deal, number, currency, size, codes),
            pricing=self._pricing(contract_id, deal, number, currency),
            expenses=_expense_terms(number, currency),
        )
        kinds = {c.kind for c in terms.components}
        kind = ContractKind.MIXED if len(terms.components) > 1 else kinds.pop()
        return Contract(
            id=contract_id,
            name=f"Contract {contract_id}",
            customer_id=customer.id,
            legal_entity=entity.code,
            kind=kind,
            currency=currency,
            valid_from=_START,
            # A retainer on an open end earns its fee month by month; everything else has an end.
            valid_to=None if deal == "retainer_hold" else _END,
            terms=terms,
            amendments=self._amendments(contract_id, deal, number, terms, currency),
        )

    def _pricing(self, contract_id: str, deal: str, number: int, currency: str) -> PricingTerms:
        if deal == "cumulative" or number % 11 == 3:
            self.contract_lines += [
                RateCardLine(
                    id=f"{contract_id}/{role}",
                    card=f"standard-{currency}",
                    per_hour=Money(Decimal(amount) + Decimal("7.35"), currency),
                    valid_from=_START,
                    valid_to=None,
                    contract_id=contract_id,
                    role=role,
                )
                for role, amount in list(_ROLES.items())[:2]
            ]
        return PricingTerms(
            rate_card=f"standard-{currency}",
            blended_rate=Money(Decimal(150 + number), currency) if deal == "blended" else None,
            discount=Decimal(("0", "0.05", "0.075", "0")[number % 4]),
            increment_minutes=(1, 1, 6, 15)[number % 4],
            multipliers=_MULTIPLIERS if number % 3 else {},
            rounding=LineRounding.CUMULATIVE if deal == "cumulative" else LineRounding.LINE,
        )

    def _components(
        self, deal: str, number: int, currency: str, size: Decimal, codes: Sequence[str]
    ) -> tuple[Component, ...]:
        if deal == "mixed":
            return (
                replace(_milestone(number, currency, size), code="build", projects=(codes[0],)),
                replace(_retainer(Overage.BILL, number, currency, size), code="care", projects=(codes[1],)),
                Component(code="extra", kind=ContractKind.TIME_AND_MATERIALS),
            )
        if deal.startswith("capped"):
            overage = Overage.HOLD if deal == "capped_hold" else Overage.WRITE_OFF
            cap = Money(1500 * size, currency)
            return (Component(code=MAIN, kind=ContractKind.CAPPED, cap=cap, cap_overage=overage),)
        if deal.startswith("retainer"):
            overage = {"bill": Overage.BILL, "hold": Overage.HOLD, "write_off": Overage.WRITE_OFF}[deal[9:]]
            return (_retainer(overage, number, currency, size),)
        if deal == "milestone":
            return (_milestone(number, currency, size),)
        if deal == "schedule":
            return (_schedule(number, currency, size),)
        kind = ContractKind.NON_BILLABLE if deal == "non_billable" else ContractKind.TIME_AND_MATERIALS
        return (Component(code=MAIN, kind=kind),)

    def _amendments(
        self, contract_id: str, deal: str, number: int, terms: Terms, currency: str
    ) -> tuple[Amendment, ...]:
        """In the middle of the month every fifth contract has other terms."""
        if number % 5 != 2 or deal == "non_billable":
            return ()
        pricing = replace(
            terms.pricing,
            discount=terms.pricing.discount + Decimal("0.025"),
            blended_rate=Money(Decimal(149), currency) if deal == "blended" else None,
        )
        components = tuple(_amended(component) for component in terms.components)
        changed = replace(terms, pricing=pricing, components=components)
        return (Amendment(id=f"{contract_id}-A1", effective_from=MID_MONTH, terms=changed),)

    def _open(self, contract: Contract, number: int) -> None:
        """What the months up to August have left to a contract that keeps running totals."""
        components: dict[str, ComponentBalance] = {}
        books = {next(e.currency for e in _ENTITIES if e.code == contract.legal_entity): Decimal(200)}
        for component in contract.terms.components:
            balance = ComponentBalance()
            if component.kind is ContractKind.CAPPED:
                billed = Decimal(100 + number)
                balance = ComponentBalance(billed=billed, time=billed, earned=billed, minutes=60)
            elif component.retainer is not None:
                hours = RetainerHours(month=ServiceMonth(2026, 8), minutes=95 + number)
                old = RetainerHours(month=ServiceMonth(2026, 6), minutes=45)
                balance = ComponentBalance(retainer=(old, hours))
            elif contract.terms.pricing.rounding is LineRounding.CUMULATIVE:
                billed = Decimal(1000 + number)
                balance = ComponentBalance(billed=billed, time=billed, earned=billed, exact=billed + Decimal("0.004"))
            elif component.fee is not None:
                balance = ComponentBalance(
                    billed=Decimal(500), earned=Decimal(300), milestones=Decimal(500), cost=books, minutes=300
                )
            if balance != ComponentBalance():
                components[component.code] = balance
        if components:
            self.opening[contract.id] = Balance(components=components)


def _cost_rate(person: Employee, currency: str, amount: Decimal, start: dt.date, end: dt.date | None) -> CostRate:
    per_hour = Money(amount.quantize(Decimal("0.0001")), currency)
    return CostRate(id=f"{person.id}@{start}", employee_id=person.id, per_hour=per_hour, valid_from=start, valid_to=end)


def _cards() -> Iterator[RateCardLine]:
    """A card a currency: a line a role, lines for roles at tasks, and one for everybody that changes mid-month."""
    for currency in ("USD", *_PER_DOLLAR):
        card = f"standard-{currency}"
        factor = _PER_DOLLAR.get(currency, Decimal(1))
        for role, worth in _ROLES.items():
            per_hour = Money((worth * factor).quantize(Decimal("0.01")), currency)
            yield RateCardLine(
                id=f"{card}/{role}", card=card, per_hour=per_hour, valid_from=_START, valid_to=None, role=role
            )
            training = Money((worth * factor * Decimal("0.9")).quantize(Decimal("0.01")), currency)
            yield RateCardLine(
                id=f"{card}/{role}/Training",
                card=card,
                per_hour=training,
                valid_from=_START,
                valid_to=None,
                role=role,
                task="Training",
            )
        for start, end, amount in (
            (_START, MID_MONTH - dt.timedelta(days=1), Decimal(140)),
            (MID_MONTH, None, Decimal(144)),
        ):
            per_hour = Money((amount * factor).quantize(Decimal("0.01")), currency)
            yield RateCardLine(id=f"{card}/*@{start}", card=card, per_hour=per_hour, valid_from=start, valid_to=end)


def _tax_profiles() -> Iterator[TaxProfile]:
    for entity in _ENTITIES:
        for country in dict.fromkeys(e.country for e in _ENTITIES):
            own = country == entity.country
            yield TaxProfile(
                id=f"{entity.code}/{country}",
                legal_entity=entity.code,
                customer_country=country,
                erp_tax=f"tax-{entity.code}-{country}" if own and country != "US" else None,
                rate=Decimal("0.2") if own and country != "US" else Decimal(0),
                active=True,
            )
        yield TaxProfile(
            id=f"{entity.code}/*/{EXPENSES}",
            legal_entity=entity.code,
            customer_country="*",
            erp_tax=f"tax-{entity.code}-expenses",
            rate=Decimal("0.1"),
            active=True,
            supply=EXPENSES,
        )


def _expense_terms(number: int, currency: str) -> ExpenseTerms:
    return ExpenseTerms(
        billable=number % 10 != 7,
        mark_up=Decimal("0.1") if number % 4 == 1 else Decimal(0),
        limits={"Lodging": Money(Decimal(180), currency), "Meals": Money(Decimal(45), "EUR")} if number % 2 else {},
        tax_profile=EXPENSES if number % 3 == 0 else None,
    )


def _retainer(overage: Overage, number: int, currency: str, size: Decimal) -> Component:
    terms = RetainerTerms(
        fee=Money(600 * size, currency),
        included_minutes=int(240 * size),
        rollover_months=number % 3,
        overage=overage,
    )
    method = Recognition.STRAIGHT_LINE if number % 2 else Recognition.AS_BILLED
    return Component(code=MAIN, kind=ContractKind.RETAINER, retainer=terms, recognition=RecognitionTerms(method=method))


def _milestone(number: int, currency: str, size: Decimal) -> Component:
    methods = (Recognition.COST_TO_COST, Recognition.HOURS, Recognition.MILESTONE)
    method = methods[number % 3]
    # What the mixed contracts are estimated to cost is above the price, which calls for a provision.
    share = Decimal("1.15") if number > 50 else Decimal("0.7")
    estimate = Estimate(
        total_cost=9000 * size * share if method is Recognition.COST_TO_COST else None,
        total_minutes=int(5000 * size) if method is Recognition.HOURS else None,
        excluded_cost=Decimal(50) if method is Recognition.COST_TO_COST else Decimal(0),
    )
    terms = RecognitionTerms(method=method, estimate=estimate, percent_digits=3 if number % 2 else None)
    return Component(
        code=MAIN, kind=ContractKind.FIXED_FEE_MILESTONE, fee=Money(9000 * size, currency), recognition=terms
    )


def _schedule(number: int, currency: str, size: Decimal) -> Component:
    parts = [(dt.date(2026, 9, 1), "Start"), (dt.date(2026, 9, 20), "Middle"), (dt.date(2026, 12, 1), "End")]
    instalments = tuple(Instalment(due=day, amount=Money(2400 * size, currency), label=label) for day, label in parts)
    count = DayCount.THIRTY_DAY_MONTHS if number % 2 else DayCount.CALENDAR_DAYS
    return Component(
        code=MAIN,
        kind=ContractKind.FIXED_FEE_SCHEDULE,
        fee=Money(7200 * size, currency),
        instalments=instalments,
        recognition=RecognitionTerms(method=Recognition.STRAIGHT_LINE, day_count=count),
    )


def _amended(component: Component) -> Component:
    """A higher cap, more hours for a higher fee; other components stay."""
    if component.cap is not None:
        return replace(component, cap=component.cap.times(Decimal("1.2")))
    if component.retainer is not None:
        retainer = component.retainer
        more = replace(
            retainer, fee=retainer.fee.times(Decimal("1.1")), included_minutes=retainer.included_minutes + 120
        )
        return replace(component, retainer=more)
    return component
