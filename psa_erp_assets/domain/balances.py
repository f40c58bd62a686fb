"""What a contract's earlier months leave to the next: running totals for caps, retainers, rounding and revenue.

A balance is the result of planning one month of one contract and the input of the next. A month whose closing balance
changes makes the month after it due; one whose balance stays the same disturbs nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec

from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.keys import content_hash
from psa_erp_assets.domain.values import Value

_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetainerHours:
    """Minutes of a retainer that a month brought and nobody has used yet."""

    month: ServiceMonth
    minutes: int


class ComponentBalance(Value, frozen=True, kw_only=True):
    """Totals of one component of a contract, from its first month to the end of a month.

    In the contract's currency: `billed` is all that its lines bill, `time` the part that counts against a cap, `exact`
    the unrounded worth of its time, `milestones` the fees of accepted milestones, `earned` the revenue recognized, by
    lines that credit it or by revenue entries. By currency of the books: `cost`, without expenses that are passed on,
    and `provided` for expected losses. They are kept by currency, and converted only where they are needed, so that a
    missing rate at a change of the selling entity loses no cost and the books of before can still be seen.
    `minutes` are approved. `entered` and `entered_loss` are the part of `earned` and `provided` that the revenue
    entries of this very month brought; the next month does not begin with it.
    """

    billed: Decimal = _ZERO
    time: Decimal = _ZERO
    exact: Decimal = _ZERO
    milestones: Decimal = _ZERO
    earned: Decimal = _ZERO
    cost: Mapping[str, Decimal] = msgspec.field(default_factory=dict)
    provided: Mapping[str, Decimal] = msgspec.field(default_factory=dict)
    minutes: int = 0
    entered: Decimal = _ZERO
    entered_loss: Mapping[str, Decimal] = msgspec.field(default_factory=dict)
    retainer: tuple[RetainerHours, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """The components' totals at the end of a month."""

    components: Mapping[str, ComponentBalance] = field(default_factory=dict)

    def of(self, component: str) -> ComponentBalance:
        """A component's totals, all nought before its first month."""
        return self.components.get(component, ComponentBalance())

    def to_body(self) -> dict[str, Any]:
        """As a JSON body: amounts as plain text without trailing zeros, so that equal balances have equal bodies."""
        return {code: _body(balance) for code, balance in sorted(self.components.items())}

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> "Balance":
        """The inverse of `to_body`."""
        return cls(components={code: _component(values) for code, values in body.items()})

    def digest(self) -> str:
        """What two equal balances have in common."""
        return content_hash(self.to_body())


def added(amounts: Mapping[str, Decimal], currency: str, amount: Decimal) -> Mapping[str, Decimal]:
    """The amounts by currency with one more."""
    return {**amounts, currency: amounts.get(currency, _ZERO) + amount}


BOOKS = ""
"""Stands for the currency of the books in balances that were stored before amounts were kept by currency."""

_BY_CURRENCY = ("cost", "provided", "entered_loss")


def _body(balance: ComponentBalance) -> dict[str, Any]:
    fields = msgspec.structs.asdict(balance)
    body = {name: _text(value) if isinstance(value, Decimal) else value for name, value in fields.items()}
    body |= {name: {c: _text(v) for c, v in sorted(getattr(balance, name).items()) if v} for name in _BY_CURRENCY}
    return body | {"retainer": [[str(hours.month), hours.minutes] for hours in balance.retainer]}


def _text(amount: Decimal) -> str:
    # Not `normalize`: it would round to the ambient decimal context.
    text = f"{amount:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) if amount else "0"


def _component(values: Mapping[str, Any]) -> ComponentBalance:
    others = ("minutes", "retainer", *_BY_CURRENCY)
    amounts: dict[str, Any] = {name: Decimal(value) for name, value in values.items() if name not in others}
    by_currency: dict[str, Any] = {name: _by_currency(values.get(name, {})) for name in _BY_CURRENCY}
    hours = tuple(RetainerHours(month=ServiceMonth.parse(m), minutes=n) for m, n in values["retainer"])
    return ComponentBalance(**amounts, **by_currency, minutes=values["minutes"], retainer=hours)


def _by_currency(stored: str | Mapping[str, str]) -> dict[str, Decimal]:
    if isinstance(stored, str):
        return {BOOKS: Decimal(stored)} if Decimal(stored) else {}
    return {currency: Decimal(amount) for currency, amount in stored.items()}
