"""Why a report says something else than it did: the measures that are followed, and the causes of their changes.

What belongs here: words and the arithmetic of parts and wholes. What does not: how the causes are found in the states
of the lake (`adapters.lake_changes`).
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal


class Measure(enum.StrEnum):
    """An amount by contract and month, in the currency of the entity's books."""

    BILLED = "billed"
    INVOICED = "invoiced"
    REVENUE = "revenue"
    COST = "cost"
    WIP = "wip"


MEASURES: Mapping[Measure, str] = {
    Measure.BILLED: "Billing lines in the ERP, by the month of the work.",
    Measure.INVOICED: "Those of them on posted invoices, by the month of the work.",
    Measure.REVENUE: "Revenue, by the month of the work.",
    Measure.COST: "Delivery cost and provisions, by the month of the work.",
    Measure.WIP: "What the month adds to unbilled work: earned less billed on posted invoices by their date.",
}


class Cause(enum.StrEnum):
    """Why an amount changed."""

    NEW_APPROVAL = "new_approval"
    APPROVAL_WITHDRAWN = "approval_withdrawn"
    EDIT = "edit"
    RATE_CHANGE = "rate_change"
    CONTRACT_AMENDMENT = "contract_amendment"
    MAPPING_CHANGE = "mapping_change"
    CREDIT = "credit"
    WRITE_OFF = "write_off"
    HELD = "held"
    HOLD_CLEARED = "hold_cleared"
    REACHED_ERP = "reached_erp"
    INVOICE_POSTED = "invoice_posted"
    INVOICE_CANCELLED = "invoice_cancelled"
    MANUAL_CHANGE = "manual_change"
    SEVERAL = "several"
    UNATTRIBUTED = "unattributed"


CAUSES: Mapping[Cause, str] = {
    Cause.NEW_APPROVAL: "Work was approved that was not before.",
    Cause.APPROVAL_WITHDRAWN: "Work is not approved any more, or was deleted.",
    Cause.EDIT: "Approved work was changed in the PSA.",
    Cause.RATE_CHANGE: "A bill rate, cost rate or exchange rate is another one.",
    Cause.CONTRACT_AMENDMENT: "The contract was signed, amended, or is another one.",
    Cause.MAPPING_CHANGE: "The person or the project that the work belongs to is another one.",
    Cause.CREDIT: "Minutes were credited to the customer.",
    Cause.WRITE_OFF: "Held work was written off.",
    Cause.HELD: "The work is held by an exception that was not there before.",
    Cause.HOLD_CLEARED: "An exception that held the work is gone.",
    Cause.REACHED_ERP: "Decided before in the same way; the ERP has it, or has it no more, only now.",
    Cause.INVOICE_POSTED: "An invoice or a credit note was posted.",
    Cause.INVOICE_CANCELLED: "An invoice or a credit note was cancelled.",
    Cause.MANUAL_CHANGE: "Somebody made, changed or deleted it in the ERP by hand.",
    Cause.SEVERAL: "Several changes of the contract's work moved together what it bills or earns by its own terms.",
    Cause.UNATTRIBUTED: "No fact in the lake says why.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What of a difference has one cause, of how many items, and the ids of the first of them."""

    cause: Cause
    amount: Decimal
    items: int
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A measure of a contract's month in two states. The parts come to the whole difference, by `of`."""

    measure: Measure
    legal_entity: str
    contract_id: str | None
    month: str
    currency: str
    before: Decimal
    after: Decimal
    parts: tuple[Part, ...]

    @property
    def difference(self) -> Decimal:
        """What there is more in the later state."""
        return self.after - self.before

    @property
    def unattributed(self) -> Decimal:
        """What of it no fact explains."""
        return sum((part.amount for part in self.parts if part.cause is Cause.UNATTRIBUTED), Decimal(0))


def with_rest(difference: Decimal, parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """The parts, largest first, and what they leave of the difference as an unattributed one."""
    known = [part for part in parts if part.cause is not Cause.UNATTRIBUTED]
    unknown = [part for part in parts if part.cause is Cause.UNATTRIBUTED]
    rest = difference - sum((part.amount for part in known), Decimal(0))
    ordered = sorted(known, key=lambda part: (-abs(part.amount), part.cause))
    if rest or unknown:
        ids = tuple(id_ for part in unknown for id_ in part.ids)
        items = sum(part.items for part in unknown)
        ordered.append(Part(cause=Cause.UNATTRIBUTED, amount=rest, items=items, ids=ids))
    return tuple(ordered)
