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
from types import MappingProxyType

from psa_erp_assets.domain.decision import Decision, Mode, Outcome
from psa_erp_assets.domain.effects import BillingLine, EffectType
from psa_erp_assets.domain.erp import ErpDocument
from psa_erp_assets.domain.money import Money, Rounding, exponent
from psa_erp_assets.domain.posting import Operation, Posting, State
from psa_erp_assets.domain.posting_look_up import differences


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
    ROUNDING = "rounding"
    FX = "fx"
    TAX = "tax"
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
    Difference.ROUNDING: "A cent of rounding: nothing to do; if there are many, set the ERP's `rounding` right.",
    Difference.FX: "The line is in another currency: put it back, or correct the contract's and sync.",
    Difference.TAX: "The line has another tax: put it back, or correct the tax profile and sync.",
    Difference.MANUAL_CHANGE: "Somebody changed the line in the ERP: put it back, or correct the time and sync.",
    Difference.MISSING: "Somebody deleted the line in the ERP: find out who and why, then get a new key for it.",
    Difference.DUPLICATE: "The ERP has the line more than once: delete or reverse the surplus.",
    Difference.MANUAL_LINE: "A line made by hand in the ERP: nothing to do if finance meant it.",
    Difference.CREDITED: "Finance credited a line of ours: say by `psa-erp credit --in-erp` whether it is billed anew.",
    Difference.UNKNOWN_KEY: "The ERP has a line under a key that the ledger does not know: restore the ledger first.",
    Difference.UNEXPLAINED: "No rule explains it: open the entry's trace.",
}

UNEXPLAINED = frozenset(
    {
        Difference.FX,
        Difference.TAX,
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

    `approved_minutes` are those worked, and `minutes` the same by what became of them. `changes` are the fields in
    which a document is not what was sent, in words; `missing` is the key whose document the ERP has not.
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
    changes: tuple[str, ...] = ()
    missing: str | None = None

    @property
    def explained(self) -> bool:
        """Whether a rule says why the sides differ."""
        return self.difference not in UNEXPLAINED

    @property
    def next_step(self) -> str:
        """What to do about it."""
        return NEXT_STEPS[self.difference]


def reconcile_entry(
    decision: Decision,
    postings: Sequence[Posting],
    documents: Sequence[ErpDocument],
    *,
    dirty: bool,
    tax_rates: Mapping[str, Decimal] = MappingProxyType({}),
) -> Reconciled:
    """Compare one object's three sides.

    `postings` are its billing postings and `documents` the ERP's documents under their keys; `dirty` says that it has
    changed since it was last planned. What is on a document that the ERP has cancelled counts for nothing.
    `tax_rates` are fractions by the ERP's taxes; a tax without one is not compared.
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
    difference, changes = _against_ledger(postings, documents, tax_rates)
    missing = _missing(postings, documents, cancelled)
    if missing is not None and difference in (None, Difference.ROUNDING):
        difference, changes = Difference.MISSING, ()
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
        changes=changes,
        missing=missing if difference is Difference.MISSING else None,
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
    postings: Sequence[Posting],
    documents: Sequence[ErpDocument],
    tax_rates: Mapping[str, Decimal],
) -> tuple[Difference | None, tuple[str, ...]]:
    """What is wrong with the documents as such, if anything: they must be just those that were sent, as sent."""
    rounded: tuple[str, ...] = ()
    for posting in postings:
        if posting.operation is not Operation.CREATE or posting.effect is None:
            continue
        under_key = [d for d in documents if d.key == posting.key]
        if len(under_key) > 1:
            return Difference.DUPLICATE, tuple(f"document {d.erp_id}" for d in under_key)
        if posting.state in (State.WITHDRAWN, State.CANCELLED) and under_key:
            return Difference.DUPLICATE, tuple(f"document {d.erp_id} was withdrawn" for d in under_key)
        for document in under_key:
            found, changes = _as_sent(posting, document, tax_rates)
            if found is Difference.ROUNDING:
                rounded += changes
            elif found is not None:
                return found, changes
    return (Difference.ROUNDING, rounded) if rounded else (None, ())


def _missing(postings: Sequence[Posting], documents: Sequence[ErpDocument], cancelled: AbstractSet[str]) -> str | None:
    """The key of a posting that is in the ERP as far as is known, and is not there.

    What counts for nothing although no document takes it back may be gone: somebody has had it posted anew.
    """
    there = {document.key for document in documents} | cancelled
    taken_back = {posting.target_key for posting in postings if posting.operation is Operation.CREATE}
    for posting in postings:
        if posting.operation is not Operation.CREATE or posting.state not in _IN_ERP or posting.key in there:
            continue
        if posting.state is not State.REVERSED or posting.key in taken_back:
            return posting.key
    return None


def _as_sent(
    posting: Posting, document: ErpDocument, tax_rates: Mapping[str, Decimal]
) -> tuple[Difference | None, tuple[str, ...]]:
    """In what a document is not the one that was sent. Several fields at once are a person's work."""
    changes = (*differences(posting, document), *_of_others(posting, document))
    sent, held = posting.amount, document.amount
    if not changes:
        taxed = _tax_difference(posting, document, tax_rates)
        return (Difference.TAX, (taxed,)) if taxed else (None, ())
    if len(changes) == 1 and sent.currency != held.currency:
        return Difference.FX, changes
    # One minor unit is what a line's single rounding can come to, in either mode.
    if len(changes) == 1 and sent != held and _within_a_minor_unit(sent, held):
        return Difference.ROUNDING, changes
    return Difference.MANUAL_CHANGE, changes


def _of_others(posting: Posting, document: ErpDocument) -> list[str]:
    """Whether a line was put on another customer or project; what the ERP's document does not say is not compared."""
    effect = posting.effect
    if not isinstance(effect, BillingLine):
        return []
    pairs = (("customer", effect.party, document.party), ("project", effect.analytic, document.analytic))
    return [f"{name}: sent {sent}, the ERP has {held}" for name, sent, held in pairs if held and sent != held]


def _tax_difference(posting: Posting, document: ErpDocument, tax_rates: Mapping[str, Decimal]) -> str | None:
    effect = posting.effect
    assert isinstance(effect, BillingLine)
    rate = Decimal(0) if effect.tax is None else tax_rates.get(effect.tax)
    if rate is None or document.tax_amount is None:
        return None
    sent = effect.amount.times(rate).rounded(Rounding.HALF_EVEN)
    held = Money(document.tax_amount, sent.currency)
    return None if _within_a_minor_unit(sent, held) else f"tax: sent {sent}, the ERP has {held}"


def _within_a_minor_unit(one: Money, other: Money) -> bool:
    return abs((one - other).amount) <= Decimal(1).scaleb(-exponent(one.currency))
