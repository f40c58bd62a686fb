"""Financial effects: what should exist in an ERP because of an approved fact.

An effect is the ERP-neutral content of one posting. Its payload (a flat JSON body, amounts as strings) is what
is stored, hashed and compared: two effects with one payload hash are the same effect. Ids of the rates and
mappings used are kept beside it (`Decision.versions`), so that a re-issued rate of the same amount changes nothing.
"""

import datetime as dt
import enum
from dataclasses import MISSING, dataclass, fields, replace
from decimal import Decimal
from operator import attrgetter
from typing import Any, ClassVar

import msgspec

from psa_erp_assets.domain.keys import canonical_text, text_hash
from psa_erp_assets.domain.money import Money


class EffectType(enum.StrEnum):
    """What kind of ERP document carries the effect."""

    BILLING_LINE = "billing_line"
    COST_TRANSACTION = "cost_transaction"
    INTERCOMPANY_CHARGE = "intercompany_charge"
    REVENUE_ENTRY = "revenue_entry"


class BilledTo(enum.StrEnum):
    """The account that a billing line credits.

    REVENUE where billing is earning. CONTRACT_BALANCE where revenue entries say what is earned: the account's balance
    per contract is then earned less billed, a contract asset or, if negative, a contract liability (IFRS 15.105).
    """

    REVENUE = "revenue"
    CONTRACT_BALANCE = "contract_balance"


class CostKind(enum.StrEnum):
    """What a cost transaction is credited to: own labor, another entity's labor, or money spent on expenses."""

    LABOR = "labor"
    INTERCOMPANY = "intercompany"
    EXPENSE = "expense"


class RevenueKind(enum.StrEnum):
    """What a revenue entry moves: revenue against the contract's balance, or a loss against its provision."""

    RECOGNITION = "recognition"
    LOSS_PROVISION = "loss_provision"


class _Payload:
    """Room for the payload of an effect, which is no part of its content. Effects cannot be changed."""

    __slots__ = ("payload",)
    payload: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingLine(_Payload):
    """A draft invoice line that stands alone until finance puts it on an invoice.

    `amount` is the net in the contract's currency, already rounded by the ERP's profile; `minutes` and `amount`
    are negative on a credit line. `per_hour` is None for what is not billed by the hour (a fee, a milestone, an
    expense): one unit at the amount, with no minutes and no employee. `tax` is the ERP's tax id or None for an
    untaxed line.
    """

    effect_type: ClassVar[EffectType] = EffectType.BILLING_LINE
    erp_company: str
    party: str
    analytic: str
    employee_name: str
    service_date: dt.date
    minutes: int
    per_hour: Money | None
    amount: Money
    tax: str | None
    description: str
    account: BilledTo = BilledTo.REVENUE


@dataclass(frozen=True, slots=True, kw_only=True)
class CostTransaction(_Payload):
    """A draft journal entry of project cost: debit delivery cost on the project's account, credit what `kind` says.

    `amount` is in the ERP company's currency; minutes and amount are negative on a reversal. `per_hour` is None for
    an expense. `posting_date` is where the entry goes by somebody's choice because its own period is closed.
    """

    effect_type: ClassVar[EffectType] = EffectType.COST_TRANSACTION
    erp_company: str
    analytic: str
    employee_name: str
    service_date: dt.date
    minutes: int
    per_hour: Money | None
    amount: Money
    description: str
    kind: CostKind = CostKind.LABOR
    posting_date: dt.date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IntercompanyCharge(_Payload):
    """A draft journal entry in the books of the entity that employs whoever worked for another entity's project.

    Debit intercompany receivable, credit labor charged out, at the transfer price in this company's currency.
    `partner_company` is the ERP company that owes it. `per_hour` is None for an expense, which is charged as it is.
    """

    effect_type: ClassVar[EffectType] = EffectType.INTERCOMPANY_CHARGE
    erp_company: str
    partner_company: str
    employee_name: str
    service_date: dt.date
    minutes: int
    per_hour: Money | None
    amount: Money
    description: str
    posting_date: dt.date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RevenueEntry(_Payload):
    """A draft journal entry of what a contract earned in a month, dated at the month's end.

    RECOGNITION debits the contract's balance and credits revenue; LOSS_PROVISION debits the expected loss and credits
    its provision. `amount` is in the ERP company's currency, negative where less is earned than was before.
    """

    effect_type: ClassVar[EffectType] = EffectType.REVENUE_ENTRY
    erp_company: str
    analytic: str
    service_date: dt.date
    amount: Money
    description: str
    kind: RevenueKind
    posting_date: dt.date | None = None

    @property
    def minutes(self) -> int:
        """None of it is time."""
        return 0


Effect = BillingLine | CostTransaction | IntercompanyCharge | RevenueEntry

_CLASSES: dict[EffectType, type[Effect]] = {
    EffectType.BILLING_LINE: BillingLine,
    EffectType.COST_TRANSACTION: CostTransaction,
    EffectType.INTERCOMPANY_CHARGE: IntercompanyCharge,
    EffectType.REVENUE_ENTRY: RevenueEntry,
}
_NAMES = {of: ("effect_type", *(f.name for f in fields(of))) for of in _CLASSES.values()}
_READ = {of: attrgetter(*names) for of, names in _NAMES.items()}
_DEFAULTS = {of: tuple((f.name, f.default) for f in fields(of) if f.default is not MISSING) for of in _CLASSES.values()}
_MONEY, _DATES = ("per_hour", "amount"), ("service_date", "posting_date")
_ENUMS: dict[tuple[EffectType, str], type[enum.StrEnum]] = {
    (EffectType.BILLING_LINE, "account"): BilledTo,
    (EffectType.COST_TRANSACTION, "kind"): CostKind,
    (EffectType.REVENUE_ENTRY, "kind"): RevenueKind,
}


def booking_date(effect: Effect) -> dt.date:
    """The day whose accounting period the effect is posted into: the chosen one, else the service date."""
    chosen = None if isinstance(effect, BillingLine) else effect.posting_date
    return chosen or effect.service_date


def to_payload(effect: Effect) -> dict[str, Any]:
    """The effect as a JSON body: dates as ISO text, money as {"amount", "currency"} with the amount as a string.

    A field that has its default is left out, so that a field which effects gain later changes no hash of before.
    """
    body: dict[str, Any] = msgspec.to_builtins(_said(effect))
    return body


def from_payload(payload: dict[str, Any]) -> Effect:
    """The inverse of `to_payload`. Raises KeyError or ValueError for a body that is not one."""
    body = dict(payload)
    kind = EffectType(body.pop("effect_type"))
    try:
        for name in _DATES:
            if body.get(name) is not None:
                body[name] = dt.date.fromisoformat(body[name])
        for name in _MONEY:
            if body.get(name) is not None:
                body[name] = Money(Decimal(body[name]["amount"]), body[name]["currency"])
        for (of, name), values in _ENUMS.items():
            if of is kind and name in body:
                body[name] = values(body[name])
        return _CLASSES[kind](**body)
    except (TypeError, ArithmeticError) as error:
        raise ValueError(f"not the payload of a {kind.value}: {error}") from error


def payload_text(effect: Effect) -> str:
    """The payload as canonical JSON: the text of `canonical_json(to_payload(effect))`, made directly.

    A month has a million of them, and each is hashed and stored. An effect keeps the text that was made of it.
    """
    try:
        return effect.payload
    except AttributeError:
        object.__setattr__(effect, "payload", text := canonical_text(_said(effect)))
        return text


def _said(effect: Effect) -> dict[str, Any]:
    """The fields that make the payload, by their names."""
    kind = type(effect)
    said = dict(zip(_NAMES[kind], _READ[kind](effect), strict=True))
    for name, default in _DEFAULTS[kind]:
        if said[name] == default:
            del said[name]
    return said


def payload_hash(effect: Effect) -> str:
    """The content hash of the payload."""
    return text_hash(payload_text(effect))


def reversal_of(effect: Effect) -> Effect:
    """The effect that cancels `effect` in every dimension: same rate, tax and date, opposite minutes and amount."""
    if isinstance(effect, RevenueEntry):
        return replace(effect, amount=-effect.amount)
    return replace(effect, minutes=-effect.minutes, amount=-effect.amount)
