"""Financial effects: what should exist in an ERP because of an approved fact.

An effect is the ERP-neutral content of one posting. Its payload (a flat JSON body, amounts as strings) is what
is stored, hashed and compared: two effects with one payload hash are the same effect. Ids of the rates and
mappings used are kept beside it (`Decision.versions`), so that a re-issued rate of the same amount changes nothing.
"""

import datetime as dt
import enum
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from typing import Any

from psa_erp_assets.domain.keys import content_hash
from psa_erp_assets.domain.money import Money


class EffectType(enum.StrEnum):
    """What kind of ERP document carries the effect."""

    BILLING_LINE = "billing_line"
    COST_TRANSACTION = "cost_transaction"


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingLine:
    """A draft invoice line that stands alone until finance puts it on an invoice.

    `amount` is the net in the contract's currency, already rounded by the ERP's profile; `minutes` and `amount`
    are negative on a credit line. `tax` is the ERP's tax id or None for an untaxed line.
    """

    erp_company: str
    party: str
    analytic: str
    employee_name: str
    service_date: dt.date
    minutes: int
    per_hour: Money
    amount: Money
    tax: str | None
    description: str

    @property
    def effect_type(self) -> EffectType:
        """BILLING_LINE."""
        return EffectType.BILLING_LINE


@dataclass(frozen=True, slots=True, kw_only=True)
class CostTransaction:
    """A draft journal entry of labor cost: debit delivery cost, credit labor absorbed, on the project's account.

    `amount` is in the ERP company's currency; minutes and amount are negative on a reversal.
    """

    erp_company: str
    analytic: str
    employee_name: str
    service_date: dt.date
    minutes: int
    per_hour: Money
    amount: Money
    description: str

    @property
    def effect_type(self) -> EffectType:
        """COST_TRANSACTION."""
        return EffectType.COST_TRANSACTION


Effect = BillingLine | CostTransaction


def to_payload(effect: Effect) -> dict[str, Any]:
    """The effect as a JSON body: dates as ISO text, money as {"amount", "currency"} with the amount as a string."""
    return {"effect_type": effect.effect_type.value, **{k: _plain(v) for k, v in asdict(effect).items()}}


def from_payload(payload: dict[str, Any]) -> Effect:
    """The inverse of `to_payload`. Raises KeyError or ValueError for a body that is not one."""
    body = dict(payload)
    kind = EffectType(body.pop("effect_type"))
    try:
        body["service_date"] = dt.date.fromisoformat(body["service_date"])
        for name in ("per_hour", "amount"):
            body[name] = Money(Decimal(body[name]["amount"]), body[name]["currency"])
        return BillingLine(**body) if kind is EffectType.BILLING_LINE else CostTransaction(**body)
    except (TypeError, ArithmeticError) as error:
        raise ValueError(f"not the payload of a {kind.value}: {error}") from error


def payload_hash(effect: Effect) -> str:
    """The content hash of the payload."""
    return content_hash(to_payload(effect))


def reversal_of(effect: Effect) -> Effect:
    """The effect that cancels `effect` in every dimension: same rate, tax and date, opposite minutes and amount."""
    return replace(effect, minutes=-effect.minutes, amount=-effect.amount)


def _plain(value: Any) -> Any:
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, dict):
        return {k: str(v) if isinstance(v, Decimal) else v for k, v in value.items()}
    return value
