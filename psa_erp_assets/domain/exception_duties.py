"""Whose an exception is, by when it should be cleared, how urgent it is, and which items have one cause.

What belongs here: the rules. What does not: the codes themselves (`faults`), and the settings that change these rules.
"""

import datetime as dt
import enum
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from psa_erp_assets.domain.faults import FAULTS, LIMITS, FaultClass, Owner
from psa_erp_assets.domain.money import Money

GROUP_LENGTH = 200

# How each class starts; age and size raise it.
_BEGINS_AT = {
    FaultClass.BUG: 1,
    FaultClass.CONFLICT: 1,
    FaultClass.DUPLICATE: 1,
    FaultClass.AUTH: 1,
    FaultClass.AMBIGUOUS: 2,
    FaultClass.ACCOUNTING_RULE: 2,
    FaultClass.MAPPING: 2,
    FaultClass.DATA: 2,
    FaultClass.TRANSIENT: 3,
}
FOUR_EYES = frozenset({FaultClass.AMBIGUOUS, FaultClass.CONFLICT, FaultClass.DUPLICATE, FaultClass.BUG})
"""Classes whose items a second person must agree to resolve: the ERP may hold something that the ledger does not."""

OF_A_CONTRACT = LIMITS | {"outside_contract_term", "no_component"}
"""Codes whose cause is a contract, whatever the item's detail says."""

_OF_THE_ERP = ("posting_", "document_missing", "key_reused")
# What tells one item from another of the same cause: days, and ids that a machine gave.
_DAY = re.compile(r"(?:\s*,?\s*(?:on or before|on|since|from|of))?\s*\b\d{4}-\d{2}-\d{2}(?:T[\d:.+Z-]+)?\b")
_MACHINE_ID = re.compile(r"\b[0-9a-f]{24,}\b")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_SPACES = re.compile(r"\s+")


class Priority(enum.StrEnum):
    """How urgent an item is."""

    URGENT = "urgent"
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


_LEVELS = tuple(Priority)


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """Who clears items of a class or code, within which time after they were first seen, and by which runbook."""

    owner: Owner
    within: dt.timedelta
    runbook: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Duties:
    """The duties by class, and those of codes that differ from their class.

    An item that holds `large_minutes` of work or more, or more than one of `large_amounts` in its currency, is more
    urgent than others of its class.
    """

    classes: Mapping[FaultClass, Duty] = field(default_factory=lambda: _DEFAULTS)
    codes: Mapping[str, Duty] = field(default_factory=dict)
    large_minutes: int = 2_400
    large_amounts: Sequence[Money] = ()

    def of(self, code: str) -> Duty:
        """The duty for items of a code. Another version's code is a matter of the engineers."""
        if code in self.codes:
            return self.codes[code]
        fault = FAULTS.get(code)
        if fault is None:
            return self.classes[FaultClass.BUG]
        duty = self.classes[fault.fault_class]
        return Duty(owner=fault.owner, within=duty.within, runbook=duty.runbook)

    def codes_of(self, owner: Owner) -> list[str]:
        """The codes whose items this owner clears."""
        return [code for code in FAULTS if self.of(code).owner is owner]

    def priority(self, fault_class: str, *, minutes: int | None, amount: Money | None, overdue: bool) -> Priority:
        """How urgent an item is as long as nobody says otherwise: by its class, one step up if it is large or late."""
        known = fault_class in set(FaultClass)
        level = _BEGINS_AT[FaultClass(fault_class)] if known else 1
        large = (minutes or 0) >= self.large_minutes or any(
            amount is not None and amount.currency == limit.currency and abs(amount.amount) > limit.amount
            for limit in self.large_amounts
        )
        return _LEVELS[max(0, level - large - overdue)]


def cause_of(code: str, detail: str, *, object_id: str, place: str | None, contract_id: str | None) -> str:
    """What the items of a code that have one cause have in common, in words.

    That is the contract where its own terms are the cause, what cannot be reached (`object_id`), the ERP company
    (`place`) with its message without the numbers in it, or what is missing, without the days on which it is missed.
    """
    if code in OF_A_CONTRACT and contract_id is not None:
        return f"contract {contract_id}"[:GROUP_LENGTH]
    if code.endswith(("_unreachable", "_auth")):
        return object_id[:GROUP_LENGTH]
    text = _MACHINE_ID.sub("…", _DAY.sub("", detail))
    if code.startswith(_OF_THE_ERP):
        text = _NUMBER.sub("#", text)
        if place is not None:
            text = f"company {place}: {text}"
    return _SPACES.sub(" ", text).strip()[:GROUP_LENGTH]


def _hours(hours: int, owner: Owner, anchor: str) -> Duty:
    return Duty(owner=owner, within=dt.timedelta(hours=hours), runbook=f"docs/operations.md#{anchor}")


_FINANCE, _ENGINEERING = Owner.FINANCE_OPERATIONS, Owner.INTEGRATION_ENGINEERING
_DEFAULTS: Mapping[FaultClass, Duty] = {
    FaultClass.TRANSIENT: _hours(4, _ENGINEERING, "transient"),
    FaultClass.AUTH: _hours(4, _ENGINEERING, "credentials"),
    FaultClass.DATA: _hours(48, Owner.APPLICATION_OWNERS, "data"),
    FaultClass.MAPPING: _hours(24, _FINANCE, "mapping"),
    FaultClass.ACCOUNTING_RULE: _hours(72, _FINANCE, "accounting-rules"),
    FaultClass.AMBIGUOUS: _hours(1, _ENGINEERING, "ambiguous-conflict-duplicate"),
    FaultClass.CONFLICT: _hours(24, _FINANCE, "ambiguous-conflict-duplicate"),
    FaultClass.DUPLICATE: _hours(24, _ENGINEERING, "ambiguous-conflict-duplicate"),
    FaultClass.BUG: _hours(4, _ENGINEERING, "bugs"),
}
