"""Three-way reconciliation: approved time ↔ the ERP's billing lines ↔ posted invoices, entry by entry.

The ERP's side is what was read from the ERP. The ledger of postings only says which documents belong to which entry
and what was sent; it never stands in for the ERP's own word.
"""

import enum
from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from decimal import Decimal

from psa_erp_assets.domain.decision import Decision, Mode, Outcome
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.erp import ErpDocument
from psa_erp_assets.domain.posting import Operation, Posting, State


class Difference(enum.StrEnum):
    """Why the three sides of an entry differ, or that they do not."""

    MATCHED = "matched"
    NOT_INVOICED = "not_invoiced"
    NON_BILLABLE = "non_billable"
    HELD = "held"
    PENDING = "pending"
    COVERED = "covered"
    WRITTEN_OFF = "written_off"
    NOT_LIVE = "not_live"
    MANUAL_CHANGE = "manual_change"
    MISSING = "missing"
    DUPLICATE = "duplicate"
    MANUAL_LINE = "manual_line"
    CREDITED = "credited"
    UNKNOWN_KEY = "unknown_key"
    UNEXPLAINED = "unexplained"


NEXT_STEPS: Mapping[Difference, str] = {
    Difference.MATCHED: "Nothing to do.",
    Difference.NOT_INVOICED: "Timing: finance puts the draft line on an invoice.",
    Difference.NON_BILLABLE: "Nothing to do: the work is not billable.",
    Difference.HELD: "Clear the entry's exception; it is then posted by itself.",
    Difference.COVERED: "Nothing to do: a fixed fee or a retainer pays for the work.",
    Difference.WRITTEN_OFF: "Nothing to do: the contract's terms, or a credit, write the work off.",
    Difference.NOT_LIVE: "The rollout has not gone live here: people bill it by hand.",
    Difference.PENDING: "Wait for the next sync, or look at the posting's state.",
    Difference.MANUAL_CHANGE: "Somebody changed the line in the ERP: put it back, or correct the time and sync.",
    Difference.MISSING: "Somebody deleted the line in the ERP: find out who and why, then replay the posting.",
    Difference.DUPLICATE: "The ERP has the line more than once: delete or reverse the surplus.",
    Difference.MANUAL_LINE: "A line made by hand in the ERP: nothing to do if finance meant it.",
    Difference.CREDITED: "Finance credited a line of ours: say by `psa-erp credit --in-erp` whether it is billed anew.",
    Difference.UNKNOWN_KEY: "The ERP has a line under a key that the ledger does not know: restore the ledger first.",
    Difference.UNEXPLAINED: "No rule explains it: open the entry's trace.",
}

UNEXPLAINED = frozenset(
    {
        Difference.MANUAL_CHANGE,
        Difference.MISSING,
        Difference.DUPLICATE,
        Difference.UNKNOWN_KEY,
        Difference.UNEXPLAINED,
    }
)
"""Classes that fail the gate. A line made by hand is finance's own and is reported, not blamed."""

CANCELLED = "cancelled"
"""The state of a document that the ERP has cancelled, in every connector's words."""

_SETTLED_WITHOUT_LINE = {
    Outcome.NON_BILLABLE: Difference.NON_BILLABLE,
    Outcome.COVERED: Difference.COVERED,
    Outcome.WRITTEN_OFF: Difference.WRITTEN_OFF,
}
_IN_ERP = frozenset({State.CONFIRMED, State.VERIFIED, State.DRIFT, State.REVERSED})
_SETTLED = frozenset({State.VERIFIED, State.WITHDRAWN, State.REVERSED, State.CANCELLED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """One row of the reconciliation. Amounts are net, in the contract's currency; None where there is none.

    `approved_minutes` are those worked, and `minutes` the same by what became of them.
    """

    object_id: str
    contract_id: str | None
    outcome: Outcome | None
    approved_minutes: int
    minutes: Mapping[Outcome, int]
    erp_minutes: int
    invoiced_minutes: int
    approved_amount: Decimal | None
    erp_amount: Decimal
    invoiced_amount: Decimal
    currency: str | None
    difference: Difference

    @property
    def explained(self) -> bool:
        """Whether a rule says why the sides differ."""
        return self.difference not in UNEXPLAINED

    @property
    def next_step(self) -> str:
        """What to do about it."""
        return NEXT_STEPS[self.difference]


def reconcile_entry(
    decision: Decision, postings: Sequence[Posting], documents: Sequence[ErpDocument], *, dirty: bool
) -> Reconciled:
    """Compare one object's three sides.

    `postings` are its billing postings and `documents` the ERP's documents under their keys; `dirty` says that it has
    changed since it was last planned. What is on a document that the ERP has cancelled counts for nothing.
    """
    cancelled = {d.key for d in documents if d.document_state == CANCELLED}
    documents = [d for d in documents if d.document_state != CANCELLED]
    effect = decision.effect(EffectType.BILLING_LINE)
    approved = decision.outcome is not Outcome.NONE
    wanted_minutes = effect.minutes if effect else 0
    wanted_amount = effect.amount.amount if effect else Decimal(0)
    currency = effect.amount.currency if effect else documents[0].amount.currency if documents else None
    erp_minutes = sum(d.minutes for d in documents)
    erp, posted = _totals(documents), [d for d in documents if d.posted]
    invoiced = _totals(posted)
    difference = _against_ledger(postings, documents, cancelled)
    if difference is None:
        as_wanted = erp_minutes == wanted_minutes and _is(erp, wanted_amount, currency)
        if decision.mode is not Mode.LIVE:
            difference = Difference.NOT_LIVE
        elif not as_wanted and (dirty or any(p.state not in _SETTLED for p in postings)):
            difference = Difference.PENDING
        elif decision.outcome is Outcome.HOLD:
            difference = Difference.HELD
        elif not as_wanted:
            difference = Difference.UNEXPLAINED
        elif decision.outcome in _SETTLED_WITHOUT_LINE:
            difference = _SETTLED_WITHOUT_LINE[decision.outcome]
        else:
            difference = Difference.MATCHED if _is(invoiced, wanted_amount, currency) else Difference.NOT_INVOICED
    return Reconciled(
        object_id=decision.object_id,
        contract_id=decision.route.contract_id,
        outcome=decision.outcome,
        approved_minutes=decision.minutes if approved else 0,
        minutes={o: n for o in Outcome if approved and (n := decision.minutes_of(o))},
        erp_minutes=erp_minutes,
        invoiced_minutes=sum(d.minutes for d in posted),
        approved_amount=effect.amount.amount if effect else None,
        erp_amount=erp.get(currency, Decimal(0)),
        invoiced_amount=invoiced.get(currency, Decimal(0)),
        currency=currency,
        difference=difference,
    )


def reconcile_stray(document: ErpDocument, *, credits_ours: bool = False) -> Reconciled:
    """A billing line that no posting accounts for: made by hand, or under a key that the ledger does not know.

    `credits_ours`: the ERP's own credit note made it for one of our lines.
    """
    if document.key:
        difference = Difference.UNKNOWN_KEY
    else:
        difference = Difference.CREDITED if credits_ours else Difference.MANUAL_LINE
    return Reconciled(
        object_id=f"erp:{document.erp_company}:{document.effect_type.value}:{document.erp_id}",
        contract_id=None,
        outcome=None,
        approved_minutes=0,
        minutes={},
        erp_minutes=document.minutes,
        invoiced_minutes=document.minutes if document.posted else 0,
        approved_amount=None,
        erp_amount=document.amount.amount,
        invoiced_amount=document.amount.amount if document.posted else Decimal(0),
        currency=document.amount.currency,
        difference=difference,
    )


def _totals(documents: Sequence[ErpDocument]) -> dict[str | None, Decimal]:
    """Amounts by currency: a sum over two of them would mean nothing."""
    totals: dict[str | None, Decimal] = defaultdict(Decimal)
    for document in documents:
        totals[document.amount.currency] += document.amount.amount
    return totals


def _is(totals: Mapping[str | None, Decimal], amount: Decimal, currency: str | None) -> bool:
    """Whether it is just this amount of this currency, and nothing of any other."""
    return all(total == 0 for other, total in totals.items() if other != currency) and (
        totals.get(currency, Decimal(0)) == amount
    )


def _against_ledger(
    postings: Sequence[Posting], documents: Sequence[ErpDocument], cancelled: AbstractSet[str]
) -> Difference | None:
    """What is wrong with the documents as such, if anything: they must be just those that were sent, as sent."""
    for posting in postings:
        if posting.operation is not Operation.CREATE or posting.effect is None:
            continue
        under_key = [d for d in documents if d.key == posting.key]
        if len(under_key) > 1:
            return Difference.DUPLICATE
        if posting.state in _IN_ERP and not under_key and posting.key not in cancelled:
            return Difference.MISSING
        if posting.state in (State.WITHDRAWN, State.CANCELLED) and under_key:
            return Difference.DUPLICATE
        for document in under_key:
            if (document.amount, document.minutes) != (posting.effect.amount, posting.effect.minutes):
                return Difference.MANUAL_CHANGE
    return None
