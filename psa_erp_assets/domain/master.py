"""Master data as one immutable value, with look-ups as of a date."""

import datetime as dt
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import NamedTuple, Protocol, TypeVar

from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.links import CANONICAL, Link, LinkType
from psa_erp_assets.domain.money import divide, multiply
from psa_erp_assets.domain.records import (
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

ANY_COUNTRY = "*"

_K = TypeVar("_K")
_V = TypeVar("_V")


class _Dated(Protocol):
    @property
    def id(self) -> str: ...

    @property
    def valid_from(self) -> dt.date | None: ...

    @property
    def valid_to(self) -> dt.date | None: ...


_D = TypeVar("_D", bound=_Dated)


class Work(NamedTuple):
    """What of an hour a rate-card line can name, in the order of weight. None: not named, or nothing to name."""

    project_id: str | None
    task: str | None
    employee_id: str | None
    role: str | None


@dataclass(frozen=True, slots=True)
class _Lines:
    """Some rate-card lines by what they name; `shapes` says which of the dimensions, the most specific first."""

    shapes: Sequence[tuple[bool, ...]]
    by_work: Mapping[Work, Sequence[RateCardLine]]

    @classmethod
    def of(cls, lines: Iterable[RateCardLine]) -> "_Lines":
        by_work = _newest_first(lines, lambda r: Work(r.project_id, r.task, r.employee_id, r.role))
        shapes = {tuple(value is not None for value in work) for work in by_work}
        return cls(sorted(shapes, key=lambda shape: (sum(shape), shape), reverse=True), by_work)

    def find(self, work: Work, on: dt.date) -> RateCardLine | None:
        for shape in self.shapes:
            asked = Work(*(value if named else None for value, named in zip(work, shape, strict=True)))
            # Work without a task is not what a line that names one is about.
            if sum(value is not None for value in asked) < sum(shape):
                continue
            line = _as_of(self.by_work.get(asked, ()), on)
            if line is not None:
                return line
        return None


_NO_LINES = _Lines((), {})


@dataclass(frozen=True, slots=True)
class Conversion:
    """A rate and the ids of the FX rates that it was derived from."""

    rate: Decimal
    rate_ids: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class MasterData:
    """Everything that decisions are enriched with. Built once per planning run, never changed.

    `links` are what stewards have decided about which record is which; they count where a date is given, and only where
    exact keys say nothing, unless they are about to say otherwise (`Link.over_exact`). `contested` are records about
    which two systems do not agree, by entity and id, with what they say: work that depends on them waits.
    """

    legal_entities: Sequence[LegalEntity]
    customers: Sequence[Customer]
    contracts: Sequence[Contract]
    projects: Sequence[Project]
    employees: Sequence[Employee]
    bill_rates: Sequence[BillRate]
    cost_rates: Sequence[CostRate]
    fx_rates: Sequence[FxRate]
    tax_profiles: Sequence[TaxProfile]
    closed_periods: frozenset[tuple[str, ServiceMonth]] = frozenset()
    rate_cards: Sequence[RateCardLine] = ()
    links: Sequence[Link] = ()
    contested: Mapping[tuple[str, str], str] = field(default_factory=dict)

    _entity: Mapping[str, LegalEntity] = field(init=False, repr=False)
    _customer: Mapping[str, Customer] = field(init=False, repr=False)
    _contract: Mapping[str, Contract] = field(init=False, repr=False)
    _amended: Mapping[str, Sequence[tuple[dt.date, Contract]]] = field(init=False, repr=False)
    _project: Mapping[str, Project] = field(init=False, repr=False)
    _of_contract: Mapping[str, Sequence[Project]] = field(init=False, repr=False)
    _project_by_id: Mapping[str, Project] = field(init=False, repr=False)
    _employee_by_id: Mapping[str, Employee] = field(init=False, repr=False)
    _link_from: Mapping[tuple[str, str, str], Sequence[Link]] = field(init=False, repr=False)
    _link_to: Mapping[tuple[str, str, str], Sequence[Link]] = field(init=False, repr=False)
    _employee: Mapping[str, Employee] = field(init=False, repr=False)
    _bill: Mapping[tuple[str, str | None], Sequence[BillRate]] = field(init=False, repr=False)
    _cost: Mapping[str, Sequence[CostRate]] = field(init=False, repr=False)
    _card_names: frozenset[str] = field(init=False, repr=False)
    _priced_tasks: frozenset[str] = field(init=False, repr=False)
    _contract_lines: Mapping[str | None, _Lines] = field(init=False, repr=False)
    _card_lines: Mapping[tuple[str, bool], _Lines] = field(init=False, repr=False)
    _fx: Mapping[tuple[str, str], Sequence[FxRate]] = field(init=False, repr=False)
    _currencies: Sequence[str] = field(init=False, repr=False)
    _tax: Mapping[tuple[str, str, str | None], Sequence[TaxProfile]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for_contracts = _grouped((r for r in self.rate_cards if r.contract_id is not None), lambda r: r.contract_id)
        for_all = _grouped(
            (r for r in self.rate_cards if r.contract_id is None), lambda r: (r.card, r.project_id is not None)
        )
        fx = _grouped(sorted(self.fx_rates, key=lambda r: (r.date, r.id)), lambda r: (r.from_currency, r.to_currency))
        index: dict[str, object] = {
            "_link_from": _grouped(self.links, lambda k: (k.object_type, k.system, k.source_id)),
            "_link_to": _grouped(self.links, lambda k: (k.object_type, k.system, k.canonical_id)),
            "_project_by_id": {p.id: p for p in self.projects},
            "_employee_by_id": {e.id: e for e in self.employees},
            "_entity": {e.code: e for e in self.legal_entities},
            "_customer": {c.id: c for c in self.customers},
            "_contract": {c.id: c for c in self.contracts},
            "_amended": {
                c.id: [(on, c.as_of(on)) for on in sorted({a.effective_from for a in c.amendments})]
                for c in self.contracts
                if c.amendments
            },
            "_project": {p.psa_id: p for p in self.projects},
            "_employee": {e.psa_user_id: e for e in self.employees if e.psa_user_id is not None},
            "_bill": _newest_first(self.bill_rates, lambda r: (r.project_id, r.employee_id)),
            "_cost": _newest_first(self.cost_rates, lambda r: r.employee_id),
            "_card_names": frozenset(r.card for r in self.rate_cards),
            "_priced_tasks": frozenset(r.task for r in self.rate_cards if r.task is not None),
            "_contract_lines": {contract: _Lines.of(lines) for contract, lines in for_contracts.items()},
            "_card_lines": {where: _Lines.of(lines) for where, lines in for_all.items()},
            "_fx": fx,
            "_currencies": sorted({currency for pair in fx for currency in pair}),
            "_tax": _newest_first(self.tax_profiles, lambda t: (t.legal_entity, t.customer_country, t.supply)),
        }
        for name, value in index.items():
            object.__setattr__(self, name, value)
        by_contract = _grouped(
            sorted(
                ((contract, project) for project in self.projects for contract in self._contracts_of(project)),
                key=lambda pair: (pair[0], pair[1].id),
            ),
            lambda pair: pair[0],
        )
        of_contract = {c: [self._with_account(p, None) for _, p in pairs] for c, pairs in by_contract.items()}
        object.__setattr__(self, "_of_contract", of_contract)

    def legal_entity(self, code: str) -> LegalEntity | None:
        """The entity with this code, None while the ERP has no company for it."""
        return self._entity.get(code)

    def contract(self, contract_id: str | None) -> Contract | None:
        """The contract with this id."""
        return self._contract.get(contract_id) if contract_id else None

    def contract_as_of(self, contract_id: str | None, on: dt.date) -> Contract | None:
        """The contract with the amendments that are in force on a date; the record itself where there are none."""
        contract = self.contract(contract_id)
        if contract is None:
            return None
        amended = self._amended.get(contract.id, ())
        past = bisect_right(amended, on, key=lambda version: version[0])
        return amended[past - 1][1] if past else contract

    def customer(self, customer_id: str, on: dt.date | None = None) -> Customer | None:
        """The customer with this id; with a date the one that stands for it on that day."""
        if on is None or not self.links:
            return self._customer.get(customer_id)
        customer = self._customer.get(self._survivor(LinkType.CUSTOMER, customer_id, on))
        if customer is not None and customer.erp_party is None:
            party = self._source_of(LinkType.CUSTOMER, "tryton", customer.id, on)
            return customer if party is None else replace(customer, erp_party=party)
        return customer

    def project(self, psa_id: str | None, on: dt.date | None = None) -> Project | None:
        """The project that the PSA knows by this id; with a date as stewards have mapped it for that day."""
        if not psa_id:
            return None
        exact = self._project.get(psa_id)
        if on is None or not self.links:
            return exact
        link = self._linked(LinkType.PROJECT, psa_id, on)
        if link is not None and (exact is None or link.over_exact):
            exact = self._project_by_id.get(link.canonical_id)
        if exact is None:
            return None
        found = self._project_by_id.get(self._survivor(LinkType.PROJECT, exact.id, on), exact)
        agreed = self._linked(LinkType.CONTRACT, psa_id, on)
        if agreed is not None and (found.contract_id is None or agreed.over_exact):
            found = replace(found, contract_id=agreed.canonical_id)
        return self._with_account(found, on)

    def projects_of(self, contract_id: str) -> Sequence[Project]:
        """The projects of a contract, in the order of their ids."""
        return self._of_contract.get(contract_id, ())

    def employee(self, psa_user_id: str, on: dt.date | None = None) -> Employee | None:
        """The employee behind this PSA user; with a date the one behind them on that day."""
        exact = self._employee.get(psa_user_id)
        if on is None or not self.links:
            return exact
        link = self._linked(LinkType.EMPLOYEE, psa_user_id, on)
        if link is not None and (exact is None or link.over_exact):
            exact = self._employee_by_id.get(link.canonical_id)
        if exact is None:
            return None
        return self._employee_by_id.get(self._survivor(LinkType.EMPLOYEE, exact.id, on), exact)

    def project_rate(self, project_id: str, employee_id: str | None, on: dt.date) -> BillRate | None:
        """The PSA's rate on the project for just this person, or (None) the one for everybody, as of the date."""
        return _as_of(self._bill.get((project_id, employee_id), ()), on)

    def has_rate_card(self, card: str) -> bool:
        """Whether there is a line of a card of this name, for whatever date."""
        return card in self._card_names

    def prices_task(self, task: str | None) -> bool:
        """Whether a line of any card names this task; otherwise work at it is priced as work without a task."""
        return task in self._priced_tasks

    def contract_line(self, contract_id: str, work: Work, on: dt.date) -> RateCardLine | None:
        """The most specific rate-card line that is for this contract alone and fits the work, as of the date.

        Of lines that fit, the one that names more wins, then the one that names what weighs more (project, task,
        person, role), then the later `valid_from`, then the first id.
        """
        return self._contract_lines.get(contract_id, _NO_LINES).find(work, on)

    def card_line(self, card: str, work: Work, on: dt.date, *, naming_project: bool) -> RateCardLine | None:
        """The most specific line of a card that fits the work as of the date, chosen as in `contract_line`.

        `naming_project` asks for lines that name the project, otherwise for those that name none.
        """
        return self._card_lines.get((card, naming_project), _NO_LINES).find(work, on)

    def cost_rate(self, employee_id: str, on: dt.date) -> CostRate | None:
        """What an hour of the employee costs as of the date."""
        return _as_of(self._cost.get(employee_id, ()), on)

    def tax_profile(
        self, legal_entity: str, customer_country: str, *, supply: str | None = None, on: dt.date | None = None
    ) -> TaxProfile | None:
        """The profile for this supply, else the general one; of each the country's, else that for any country.

        Of profiles that hold on the date the one with the later `valid_from` counts. Without a date only profiles
        without dates are looked at.
        """
        for kind in dict.fromkeys((supply, None)):
            for country in (customer_country, ANY_COUNTRY):
                profile = _as_of(self._tax.get((legal_entity, country, kind), ()), on)
                if profile is not None:
                    return profile
        return None

    def conversion(self, from_currency: str, to_currency: str, on: dt.date) -> Conversion | None:
        """Units of `to_currency` for one of `from_currency`: the latest rate on or before the date.

        Direct, inverse, or across one common currency. None where no rate is known: a missing rate is never 1.
        """
        if from_currency == to_currency:
            return Conversion(Decimal(1), ())
        direct = self._quoted(from_currency, to_currency, on)
        if direct is not None:
            return direct
        for pivot in self._currencies:
            first, second = self._quoted(from_currency, pivot, on), self._quoted(pivot, to_currency, on)
            if first is not None and second is not None:
                return Conversion(multiply(first.rate, second.rate), first.rate_ids + second.rate_ids)
        return None

    def _linked(self, object_type: LinkType, psa_id: str, on: dt.date) -> Link | None:
        """What a steward has mapped the PSA's id to on a day."""
        links = self._link_from.get((object_type, "clockify", psa_id), ())
        return next((link for link in links if link.holds_on(on)), None)

    def _source_of(self, object_type: LinkType, system: str, canonical_id: str, on: dt.date | None) -> str | None:
        """The id that stands for a canonical one in a system; None where there is none, or which is meant is open."""
        links = self._link_to.get((object_type, system, canonical_id), ())
        ids = {link.source_id for link in links if on is None or link.holds_on(on)}
        return ids.pop() if len(ids) == 1 else None

    def _survivor(self, object_type: LinkType, canonical_id: str, on: dt.date) -> str:
        """The canonical id that has taken the place of another one on a day, or that one itself."""
        seen = {canonical_id}
        while True:
            links = self._link_from.get((object_type, CANONICAL, canonical_id), ())
            link = next((link for link in links if link.holds_on(on)), None)
            if link is None or link.canonical_id in seen:
                return canonical_id
            canonical_id = link.canonical_id
            seen.add(canonical_id)

    def _contracts_of(self, project: Project) -> set[str]:
        """Every contract that the project is or was under, by the CRM or by a steward's word."""
        links = self._link_from.get((LinkType.CONTRACT, "clockify", project.psa_id), ())
        return {link.canonical_id for link in links} | ({project.contract_id} if project.contract_id else set())

    def _with_account(self, project: Project, on: dt.date | None) -> Project:
        """The project with the analytic accounts that stewards have given it, where the ERP knows none by its code."""
        links = self._link_to.get((LinkType.PROJECT, "tryton", project.id), ())
        accounts: dict[str, str] = {}
        for link in links:
            if link.erp_company is not None and (on is None or link.holds_on(on)):
                accounts.setdefault(link.erp_company, link.source_id)
        if not accounts:
            return project
        return replace(project, erp_analytics=accounts | dict(project.erp_analytics))

    def _quoted(self, from_currency: str, to_currency: str, on: dt.date) -> Conversion | None:
        for pair, inverse in (((from_currency, to_currency), False), ((to_currency, from_currency), True)):
            rates = self._fx.get(pair, ())
            known = bisect_right(rates, on, key=lambda r: r.date)
            # An ERP may hold a rate of nought: it stands for no rate, and not for the one before it.
            if known and rates[known - 1].rate > 0:
                rate = rates[known - 1]
                return Conversion(divide(Decimal(1), rate.rate) if inverse else rate.rate, (rate.id,))
        return None


def _grouped(rows: Iterable[_V], key: Callable[[_V], _K]) -> dict[_K, list[_V]]:
    groups: dict[_K, list[_V]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return dict(groups)


def _newest_first(rows: Iterable[_D], key: Callable[[_D], _K]) -> dict[_K, list[_D]]:
    """Grouped, the later `valid_from` first and then by id, so that the order in which rows arrive says nothing."""
    by_id = sorted(rows, key=lambda r: r.id)
    return _grouped(sorted(by_id, key=lambda r: r.valid_from or dt.date.min, reverse=True), key)


def _as_of(rows: Iterable[_D], on: dt.date | None) -> _D | None:
    for row in rows:
        begun = row.valid_from is None or (on is not None and row.valid_from <= on)
        if begun and (row.valid_to is None or (on is not None and on <= row.valid_to)):
            return row
    return None
