"""Generates the demo company's master data: people, customers, contracts, projects, rates.

Everything follows from the seed; nothing reads a clock. Ids look like the vendors': 24 hexadecimal digits in
Clockify, decimal strings in HubSpot and BambooHR.
"""

import datetime as dt
import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.sandbox.company_model import (
    Compensation,
    DemoContract,
    DemoCustomer,
    DemoEntity,
    DemoFxRate,
    DemoPerson,
    DemoProject,
    DemoTax,
)

T_AND_M, NON_BILLABLE = "time_and_materials", "non_billable"

ENTITIES = (
    DemoEntity(code="US", name="Northgate Advisory, Inc.", currency="USD", country="US", time_zone="America/New_York"),
    DemoEntity(code="UK", name="Northgate Advisory Ltd", currency="GBP", country="GB", time_zone="Europe/London"),
    DemoEntity(code="DE", name="Northgate Advisory GmbH", currency="EUR", country="DE", time_zone="Europe/Berlin"),
)
_ENTITY = {e.code: e for e in ENTITIES}

TAXES = (
    DemoTax(company="UK", name="UK VAT 20%", rate=Decimal("0.20"), active=True),
    DemoTax(company="UK", name="UK VAT 0% export", rate=Decimal(0), active=True),
    DemoTax(company="DE", name="DE USt 19%", rate=Decimal("0.19"), active=True),
    DemoTax(company="DE", name="DE reverse charge 0%", rate=Decimal(0), active=True),
    DemoTax(company="DE", name="DE USt 16% (expired)", rate=Decimal("0.16"), active=False),
)

# Units per US dollar around which the invented rates move, in ten-thousandths. Nobody quotes the krona.
_FX = {"GBP": 7_421, "EUR": 8_537, "CHF": 7_985}

_FIRST_NAMES = (
    "Ada", "Amir", "Anouk", "Aoife", "Ben", "Bianca", "Callum", "Carmen", "Chidi", "Clara", "Dario", "Deepa",
    "Edith", "Elias", "Emre", "Esther", "Farah", "Felix", "Freya", "Gita", "Grace", "Hana", "Hugo", "Ines", "Ivan",
    "Jana", "Jonas", "Joy", "Kai", "Keiko", "Lars", "Leila", "Liam", "Lucia", "Malik", "Maren", "Mateo", "Mina",
    "Nadia", "Nils", "Noor", "Olga", "Omar", "Paula", "Petra", "Priya", "Quinn", "Rafael", "Rosa", "Ruben", "Sadie",
    "Sofia", "Stefan", "Tara", "Theo", "Uma", "Viktor", "Wanda", "Yara", "Zoe", "Milan", "Greta",
)  # fmt: skip
_LAST_NAMES = (
    "Abbott", "Adeyemi", "Almeida", "Andersen", "Baker", "Bauer", "Becker", "Bianchi", "Brandt", "Castillo", "Chen",
    "Clarke", "Costa", "Dietrich", "Dubois", "Eriksen", "Fischer", "Fletcher", "Fontaine", "Garcia", "Graf",
    "Hartmann", "Hayes", "Hoffmann", "Ibrahim", "Ito", "Jansen", "Johansson", "Kaya", "Keller", "Khan", "Klein",
    "Kowalski", "Lambert", "Lindqvist", "Lopez", "Marsh", "Meyer", "Moreau", "Murphy", "Nakamura", "Novak",
    "Okafor", "Olsen", "Park", "Patel", "Pereira", "Quigley", "Reid", "Richter", "Rossi", "Sato", "Schmidt",
    "Sharma", "Silva", "Stone", "Tanaka", "Vogel", "Walsh", "Weber", "Winter", "Ziegler",
)  # fmt: skip
_DEPARTMENTS = ("Advisory", "Data Platforms", "Delivery", "Technology")
_TITLES = ("Consultant", "Senior Consultant", "Principal", "Engineer", "Senior Engineer")

# Legal entity, time zone, how many: most work at home, some abroad.
_POSTS = (
    ("US", "America/New_York", 14),
    ("US", "America/Chicago", 4),
    ("US", "America/Los_Angeles", 4),
    ("US", "Asia/Tokyo", 2),
    ("US", "Asia/Kolkata", 1),
    ("UK", "Europe/London", 15),
    ("UK", "Australia/Sydney", 2),
    ("UK", "Europe/Lisbon", 1),
    ("DE", "Europe/Berlin", 15),
    ("DE", "Asia/Singapore", 1),
    ("DE", "America/Sao_Paulo", 1),
)
_SALARY = {"US": (92_000, 178_000), "UK": (52_000, 104_000), "DE": (56_000, 112_000)}
_RATE = {"USD": (135, 265), "GBP": (98, 190), "EUR": (104, 205), "CHF": (150, 260), "SEK": (1_150, 1_900)}

# Name, country. The last is the group itself, the customer of its internal projects.
_CUSTOMERS = (
    ("Alder Creek Foods", "US"), ("Bluestem Energy", "US"), ("Cascade Freight Lines", "US"),
    ("Delmar Medical Devices", "US"), ("Evergreen Mutual", "US"), ("Fairhaven Hotels", "US"),
    ("Granite State Utilities", "US"), ("Harborline Bank", "US"), ("Ironbridge Pensions", "GB"),
    ("Juniper & Hale Publishing", "GB"), ("Kestrel Rail", "GB"), ("Lowland Breweries", "GB"),
    ("Marlowe Insurance", "GB"), ("Northumbria Water Services", "GB"), ("Oberrhein Maschinenbau", "DE"),
    ("Pfälzer Versicherung", "DE"), ("Rheinland Logistik", "DE"), ("Spreewald Lebensmittel", "DE"),
    ("Taunus Pharma", "DE"), ("Atelier Beaumont", "FR"), ("Compagnie du Littoral", "FR"),
    ("Helvetia Präzision", "CH"), ("Limmat Privatbank", "CH"), ("Vänern Skog", "SE"),
    ("Northgate Advisory (internal)", "US"),
)  # fmt: skip
_INTERNAL = len(_CUSTOMERS)

# Selling entity and the countries that it sells to; 40 contracts in all.
_MARKETS = (("US", ("US",), 16), ("UK", ("GB", "FR"), 12), ("DE", ("DE", "FR"), 7))
# Selling entity, country, currency: the contracts that are not in the entity's own currency, or cross a border.
_CROSS_BORDER = (
    ("UK", "CH", "CHF"),
    ("DE", "CH", "CHF"),
    ("UK", "FR", "EUR"),
    ("US", "GB", "USD"),
    ("UK", "SE", "SEK"),
)
_WORK = (
    "Ledger migration", "Order-to-cash redesign", "Data warehouse", "Claims automation", "Treasury reporting",
    "Pricing study", "Plant systems roll-out", "Procurement review", "Identity platform", "Carbon accounting",
    "Payments hub", "Tariff engine", "Fleet telemetry", "Actuarial models", "Customer portal", "Cost allocation",
)  # fmt: skip

PROJECTS_NOT_IN_ERP, PROJECTS_CLOSED, PEOPLE_WITHOUT_PAY = 2, 2, 2


@dataclass(frozen=True, kw_only=True)
class MasterData:
    """What the time entries refer to."""

    customers: tuple[DemoCustomer, ...]
    contracts: tuple[DemoContract, ...]
    people: tuple[DemoPerson, ...]
    projects: tuple[DemoProject, ...]
    fx_rates: tuple[DemoFxRate, ...]


def hex_id(seed: int, kind: str, number: int) -> str:
    """An id of 24 hexadecimal digits, always the same for the same arguments."""
    return hashlib.blake2b(f"{seed}/{kind}/{number}".encode(), digest_size=12).hexdigest()


def build_master(rng: random.Random, seed: int, months: Sequence[ServiceMonth], closing: dt.date) -> MasterData:
    """All master data for consecutive months. `closing` is the day on which the closed projects were closed."""
    year = months[0].year
    customers = _customers(seed)
    people = _people(rng, seed, year)
    contracts = _contracts(rng, customers, year)
    projects = _projects(rng, seed, customers=customers, contracts=contracts, people=people, closing=closing)
    return MasterData(
        customers=customers,
        contracts=contracts,
        people=people,
        projects=projects,
        fx_rates=_fx_rates(rng, months),
    )


def _customers(seed: int) -> tuple[DemoCustomer, ...]:
    return tuple(
        DemoCustomer(
            code=f"CUS-{n:04d}",
            name=name,
            country=country,
            crm_id=str(20_418_300_000 + 1_379 * n),
            psa_id=hex_id(seed, "client", n),
        )
        for n, (name, country) in enumerate(_CUSTOMERS, start=1)
    )


def _fx_rates(rng: random.Random, months: Sequence[ServiceMonth]) -> tuple[DemoFxRate, ...]:
    """Rates of the first and the fifteenth, from the month before the first month on."""
    before = ServiceMonth.of(months[0].first_day - dt.timedelta(days=1))
    dates = [m.first_day.replace(day=day) for m in (before, *months, months[-1].next()) for day in (1, 15)]
    return tuple(
        DemoFxRate(currency=currency, date=date, per_usd=Decimal(middle + rng.randint(-85, 85)).scaleb(-4))
        for currency, middle in _FX.items()
        for date in dates
    )


def _people(rng: random.Random, seed: int, year: int) -> tuple[DemoPerson, ...]:
    posts = [(entity, zone) for entity, zone, count in _POSTS for _ in range(count)]
    names = list(zip(rng.sample(_FIRST_NAMES, len(posts) + 2), rng.sample(_LAST_NAMES, len(posts) + 2), strict=True))
    people = []
    for n, ((entity, zone), (first, last)) in enumerate(zip(posts, names, strict=False), start=1):
        salary = Decimal(rng.randrange(*_SALARY[entity], 250))
        pay = [Compensation(start=dt.date(year - 1, 1, 1), annual=salary, currency=_ENTITY[entity].currency)]
        if n % 8 == 0:
            raised = salary + Decimal(rng.randrange(1_500, 6_000, 125))
            pay.append(Compensation(start=dt.date(year, 10, 1), annual=raised, currency=pay[0].currency))
        unpaid = n in (len(posts) // 3, 2 * len(posts) // 3)[:PEOPLE_WITHOUT_PAY]
        people.append(
            _person(
                seed, n, (first, last), entity, zone,
                department=rng.choice(_DEPARTMENTS),
                title=rng.choice(_TITLES),
                hired=dt.date(year - rng.randint(1, 9), rng.randint(1, 12), 1),
                pay=() if unpaid else tuple(pay),
            )
        )  # fmt: skip
    # One contractor whom HR never heard of, and one bookkeeper who records no time.
    for n, in_hr in ((len(posts) + 1, False), (len(posts) + 2, True)):
        people.append(
            _person(
                seed, n, names[n - 1], "US", "America/New_York",
                department="Finance" if in_hr else "Delivery",
                title="Bookkeeper" if in_hr else "Contractor",
                hired=dt.date(year - 2, 3, 1),
                pay=(Compensation(start=dt.date(year - 1, 1, 1), annual=Decimal(71_500), currency="USD"),),
                in_hr=in_hr,
                in_psa=not in_hr,
            )
        )  # fmt: skip
    return tuple(people)


def _person(
    seed: int, n: int, name: tuple[str, str], entity: str, zone: str, *, department: str, title: str, hired: dt.date,
    pay: tuple[Compensation, ...], in_hr: bool = True, in_psa: bool = True,
) -> DemoPerson:  # fmt: skip
    return DemoPerson(
        code=f"EMP-{n:04d}",
        first_name=name[0],
        last_name=name[1],
        email=f"{name[0]}.{name[1]}@northgate.example".lower(),
        legal_entity=entity,
        department=department,
        job_title=title,
        time_zone=zone,
        hired=hired,
        compensation=pay,
        hr_id=str(4_100 + n) if in_hr else None,
        psa_id=hex_id(seed, "user", n) if in_psa else None,
    )


def _contracts(rng: random.Random, customers: Sequence[DemoCustomer], year: int) -> tuple[DemoContract, ...]:
    external = customers[: _INTERNAL - 1]
    sold: list[tuple[str, DemoCustomer, str]] = []
    for entity, countries, count in _MARKETS:
        market = [c for c in external if c.country in countries]
        sold += [(entity, market[i % len(market)], _ENTITY[entity].currency) for i in range(count)]
    for i, (entity, country, currency) in enumerate(_CROSS_BORDER):
        market = [c for c in external if c.country == country]
        sold.append((entity, market[i % len(market)], currency))
    terms = [(entity, customer, currency, T_AND_M, True) for entity, customer, currency in sold]
    terms.append(("US", customers[_INTERNAL - 1], "USD", NON_BILLABLE, True))
    terms.append(("DE", external[14], "EUR", NON_BILLABLE, True))
    terms.append(("UK", external[8], "GBP", T_AND_M, False))
    return tuple(
        DemoContract(
            code=f"CTR-{n:04d}",
            name=f"{customer.name}: {'internal' if kind == NON_BILLABLE else 'consulting'} {year}",
            customer=customer.code,
            legal_entity=entity,
            kind=kind,
            currency=currency,
            start=dt.date(year, rng.choice((1, 2, 3, 4)), 1),
            end=None if rng.random() < 0.3 else dt.date(year + 1, rng.choice((3, 6, 12)), 28),
            signed=signed,
            crm_id=str(31_877_000_000 + 2_741 * n),
        )
        for n, (entity, customer, currency, kind, signed) in enumerate(terms, start=1)
    )


def _projects(
    rng: random.Random, seed: int, *, customers: Sequence[DemoCustomer], contracts: Sequence[DemoContract],
    people: Sequence[DemoPerson], closing: dt.date,
) -> tuple[DemoProject, ...]:  # fmt: skip
    customer_by_code = {c.code: c for c in customers}
    # (contract or None, customer, entity, currency)
    plans: list[tuple[DemoContract | None, DemoCustomer, str, str]] = []
    for i, sold in enumerate(contracts):
        internal = sold.customer == customers[-1].code
        count = 2 if internal or (sold.signed and sold.kind == T_AND_M and i % 5 < 2) else 1
        plans += [(sold, customer_by_code[sold.customer], sold.legal_entity, sold.currency)] * count
    plans += [(None, customers[1], "US", "USD"), (None, customers[9], "UK", "GBP")]
    ordinary = [
        n
        for n, (contract, _, _, currency) in enumerate(plans)
        if contract is not None and contract.signed and contract.kind == T_AND_M and currency != "SEK"
    ]
    not_in_erp, closed = ordinary[3::17][:PROJECTS_NOT_IN_ERP], ordinary[8::19][:PROJECTS_CLOSED]
    staff = _staff(rng, [(p[0] is None or p[0].signed, p[2]) for p in plans], people)
    projects = []
    for n, (contract, customer, entity, currency) in enumerate(plans):
        billable = contract is None or contract.kind == T_AND_M
        work = ("Internal tools", "Sales support")[n % 2] if customer is customers[-1] else _WORK[n % len(_WORK)]
        projects.append(
            DemoProject(
                code=f"PRJ-{n + 1:04d}",
                name=f"PRJ-{n + 1:04d} {work}",
                psa_id=hex_id(seed, "project", n + 1),
                customer=customer.code,
                contract=contract.code if contract is not None else None,
                legal_entity=entity,
                billable=billable,
                in_erp=n not in not_in_erp,
                closed_on=closing if n in closed else None,
                currency=currency,
                rate=_rate(rng, currency) if billable else None,
                staff={p.email: _rate(rng, currency) if billable and rng.random() < 0.4 else None for p in staff[n]},
            )
        )
    return tuple(projects)


def _staff(
    rng: random.Random, plans: Sequence[tuple[bool, str]], people: Sequence[DemoPerson]
) -> list[list[DemoPerson]]:
    """Who works on each of the plans (under way, selling entity): mostly its own people, a few from abroad."""
    recording = [p for p in people if p.psa_id is not None]
    staff: list[list[DemoPerson]] = []
    for under_way, entity in plans:
        own = [p for p in recording if p.legal_entity == entity]
        abroad = [p for p in recording if p.legal_entity != entity]
        chosen = rng.sample(own, rng.randint(3, 6)) + rng.sample(abroad, rng.randint(0, 2))
        staff.append(chosen if under_way else [])
    busy = {p.code for team in staff for p in team}
    for person in recording:
        if person.code not in busy:
            rng.choice([team for team, plan in zip(staff, plans, strict=True) if plan[0]]).append(person)
    return staff


def _rate(rng: random.Random, currency: str) -> Decimal:
    """An hourly rate with cents that do not divide by 60, so that rounding shows."""
    low, high = _RATE[currency]
    return Decimal(rng.randint(low * 100, high * 100)) / 100
