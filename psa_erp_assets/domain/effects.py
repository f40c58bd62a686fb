"""Financial effects: what should exist in an ERP because of an approved fact.

An effect is the ERP-neutral content of one posting. Its payload (a flat JSON body, amounts as strings) is what
is stored, hashed and compared: two effects with one payload hash are the same effect. Ids of the rates and
mappings used are kept beside it (`Decision.versions`), so that a re-issued rate of the same amount changes nothing.
"""

import datetime as dt
import enum
from typing import Any, ClassVar

import msgspec

from psa_erp_assets.domain.keys import canonical_text, text_hash
from psa_erp_assets.domain.money import Money
from psa_erp_assets.domain.values import Value, replace


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


class _Payload(Value, frozen=True, omit_defaults=True, forbid_unknown_fields=True, tag_field="effect_type"):
    """What is written of an effect: its type and its fields, without those that have their default."""


class BillingLine(_Payload, frozen=True, kw_only=True, tag=EffectType.BILLING_LINE.value):
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


class CostTransaction(_Payload, frozen=True, kw_only=True, tag=EffectType.COST_TRANSACTION.value):
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


class IntercompanyCharge(_Payload, frozen=True, kw_only=True, tag=EffectType.INTERCOMPANY_CHARGE.value):
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


class RevenueEntry(_Payload, frozen=True, kw_only=True, tag=EffectType.REVENUE_ENTRY.value):
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
_EFFECT: Any = Effect


def booking_date(effect: Effect) -> dt.date:
    """The day whose accounting period the effect is posted into: the chosen one, else the service date."""
    chosen = None if isinstance(effect, BillingLine) else effect.posting_date
    return chosen or effect.service_date


def to_payload(effect: Effect) -> dict[str, Any]:
    """The effect as a JSON body: dates as ISO text, money as {"amount", "currency"} with the amount as a string.

    A field that has its default is left out, so that a field which effects gain later changes no hash of before.
    """
    body: dict[str, Any] = msgspec.to_builtins(effect)
    return body


def from_payload(payload: dict[str, Any]) -> Effect:
    """The inverse of `to_payload`. Raises ValueError for a body that is not one."""
    try:
        effect: Effect = msgspec.convert(payload, _EFFECT)
    except msgspec.ValidationError as error:
        raise ValueError(f"not the payload of an effect: {error}") from error
    return effect


def payload_text(effect: Effect) -> str:
    """The payload as canonical JSON: the text of `canonical_json(to_payload(effect))`, made directly.

    A month has a million of them, and each is hashed and stored.
    """
    return canonical_text(effect)


def payload_hash(effect: Effect) -> str:
    """The content hash of the payload."""
    return text_hash(payload_text(effect))


def reversal_of(effect: Effect) -> Effect:
    """The effect that cancels `effect` in every dimension: same rate, tax and date, opposite minutes and amount."""
    if isinstance(effect, RevenueEntry):
        return replace(effect, amount=-effect.amount)
    return replace(effect, minutes=-effect.minutes, amount=-effect.amount)
