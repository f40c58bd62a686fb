"""What a contract's earlier months leave to the next: running totals for caps, retainers, rounding and revenue.

A balance is the result of planning one month of one contract and the input of the next. A month whose closing balance
changes makes the month after it due; one whose balance stays the same disturbs nothing.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any

from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.keys import content_hash

_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetainerHours:
    """Minutes of a retainer that a month brought and nobody has used yet."""

    month: ServiceMonth
    minutes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentBalance:
    """Totals of one component of a contract, from its first month to the end of a month.

    In the contract's currency: `billed` is all that its lines bill, `time` the part that counts against a cap, `exact`
    the unrounded worth of its time, `milestones` the fees of accepted milestones, `earned` the revenue recognized, by
    lines that credit it or by revenue entries. In the entity's currency: `cost`, and `provided` for expected losses.
    `minutes` are approved.
    """

    billed: Decimal = _ZERO
    time: Decimal = _ZERO
    exact: Decimal = _ZERO
    milestones: Decimal = _ZERO
    earned: Decimal = _ZERO
    cost: Decimal = _ZERO
    provided: Decimal = _ZERO
    minutes: int = 0
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


def _body(balance: ComponentBalance) -> dict[str, Any]:
    body = {name: _text(value) if isinstance(value, Decimal) else value for name, value in asdict(balance).items()}
    return body | {"retainer": [[str(hours.month), hours.minutes] for hours in balance.retainer]}


def _text(amount: Decimal) -> str:
    # Not `normalize`: it would round to the ambient decimal context.
    text = f"{amount:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) if amount else "0"


def _component(values: Mapping[str, Any]) -> ComponentBalance:
    amounts = {name: Decimal(value) for name, value in values.items() if name not in ("minutes", "retainer")}
    hours = tuple(RetainerHours(month=ServiceMonth.parse(m), minutes=n) for m, n in values["retainer"])
    return ComponentBalance(**amounts, minutes=values["minutes"], retainer=hours)
