"""Master data as one immutable value, with look-ups as of a date."""

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeVar

from psa_erp_assets.domain.calendar import ServiceMonth
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
    TaxProfile,
)

ANY_COUNTRY = "*"

_K = TypeVar("_K")
_V = TypeVar("_V")
_R = TypeVar("_R", BillRate, CostRate)


@dataclass(frozen=True, slots=True)
class Conversion:
    """A rate and the ids of the FX rates that it was derived from."""

    rate: Decimal
    rate_ids: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class MasterData:
    """Everything that decisions are enriched with. Built once per planning run, never changed."""

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

    _entity: Mapping[str, LegalEntity] = field(init=False, repr=False)
    _customer: Mapping[str, Customer] = field(init=False, repr=False)
    _contract: Mapping[str, Contract] = field(init=False, repr=False)
    _project: Mapping[str, Project] = field(init=False, repr=False)
    _employee: Mapping[str, Employee] = field(init=False, repr=False)
    _bill: Mapping[tuple[str, str | None], Sequence[BillRate]] = field(init=False, repr=False)
    _cost: Mapping[str, Sequence[CostRate]] = field(init=False, repr=False)
    _fx: Mapping[tuple[str, str], Sequence[FxRate]] = field(init=False, repr=False)
    _tax: Mapping[tuple[str, str], TaxProfile] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        index = {
            "_entity": {e.code: e for e in self.legal_entities},
            "_customer": {c.id: c for c in self.customers},
            "_contract": {c.id: c for c in self.contracts},
            "_project": {p.psa_id: p for p in self.projects},
            "_employee": {e.psa_user_id: e for e in self.employees if e.psa_user_id is not None},
            "_bill": _grouped(self.bill_rates, lambda r: (r.project_id, r.employee_id)),
            "_cost": _grouped(self.cost_rates, lambda r: r.employee_id),
            "_fx": _grouped(sorted(self.fx_rates, key=lambda r: r.date), lambda r: (r.from_currency, r.to_currency)),
            "_tax": {(t.legal_entity, t.customer_country): t for t in self.tax_profiles},
        }
        for name, value in index.items():
            object.__setattr__(self, name, value)

    def legal_entity(self, code: str) -> LegalEntity | None:
        """The entity with this code, None while the ERP has no company for it."""
        return self._entity.get(code)

    def contract(self, contract_id: str | None) -> Contract | None:
        """The contract with this id."""
        return self._contract.get(contract_id) if contract_id else None

    def customer(self, customer_id: str) -> Customer | None:
        """The customer with this id."""
        return self._customer.get(customer_id)

    def project(self, psa_id: str | None) -> Project | None:
        """The project that the PSA knows by this id."""
        return self._project.get(psa_id) if psa_id else None

    def employee(self, psa_user_id: str) -> Employee | None:
        """The employee behind this PSA user."""
        return self._employee.get(psa_user_id)

    def bill_rate(self, project_id: str, employee_id: str, on: dt.date) -> BillRate | None:
        """The person's rate on the project, else the project's rate for everybody, as of the date."""
        for who in (employee_id, None):
            rate = _as_of(self._bill.get((project_id, who), ()), on)
            if rate is not None:
                return rate
        return None

    def cost_rate(self, employee_id: str, on: dt.date) -> CostRate | None:
        """What an hour of the employee costs as of the date."""
        return _as_of(self._cost.get(employee_id, ()), on)

    def tax_profile(self, legal_entity: str, customer_country: str) -> TaxProfile | None:
        """The profile for this country, else the entity's profile for any country."""
        return self._tax.get((legal_entity, customer_country)) or self._tax.get((legal_entity, ANY_COUNTRY))

    def conversion(self, from_currency: str, to_currency: str, on: dt.date) -> Conversion | None:
        """Units of `to_currency` for one of `from_currency`: the latest rate on or before the date.

        Direct, inverse, or across one common currency. None where no rate is known: a missing rate is never 1.
        """
        if from_currency == to_currency:
            return Conversion(Decimal(1), ())
        direct = self._quoted(from_currency, to_currency, on)
        if direct is not None:
            return direct
        for pivot in sorted({currency for pair in self._fx for currency in pair}):
            first, second = self._quoted(from_currency, pivot, on), self._quoted(pivot, to_currency, on)
            if first is not None and second is not None:
                return Conversion(multiply(first.rate, second.rate), first.rate_ids + second.rate_ids)
        return None

    def _quoted(self, from_currency: str, to_currency: str, on: dt.date) -> Conversion | None:
        for pair, inverse in (((from_currency, to_currency), False), ((to_currency, from_currency), True)):
            known = [r for r in self._fx.get(pair, ()) if r.date <= on]
            # An ERP may hold a rate of nought: it stands for no rate, and not for the one before it.
            if known and known[-1].rate > 0:
                rate = known[-1]
                return Conversion(divide(Decimal(1), rate.rate) if inverse else rate.rate, (rate.id,))
        return None


def _grouped(rows: Iterable[_V], key: Callable[[_V], _K]) -> dict[_K, list[_V]]:
    groups: dict[_K, list[_V]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return dict(groups)


def _as_of(rates: Iterable[_R], on: dt.date) -> _R | None:
    for rate in rates:
        if rate.valid_from <= on and (rate.valid_to is None or on <= rate.valid_to):
            return rate
    return None
