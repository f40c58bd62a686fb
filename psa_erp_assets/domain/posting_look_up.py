"""What the ERP's documents under a posting's key say about the posting.

A look-up decides an ambiguous posting; a read-back checks a confirmed one. For a withdrawal everything is turned
round: the document that is gone is the proof that it was done.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from psa_erp_assets.domain import posting as states
from psa_erp_assets.domain.effects import booking_date
from psa_erp_assets.domain.erp import ErpDocument
from psa_erp_assets.domain.posting import ON_DOCUMENT, Operation, Posting, Transition


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long absence must last before it is believed, and how often something is tried.

    `misses_needed` look-ups at least `spacing` apart, all after the posting's horizon. `resend_after` is the wait
    before the same key is sent again, and `reread_after` the one before a drifted document is read again. What has
    been sent `attempts` times, never with an answer and never with an effect, counts as rejected.
    """

    misses_needed: int
    attempts: int
    spacing: dt.timedelta
    resend_after: dt.timedelta
    reread_after: dt.timedelta


def looked_up(posting: Posting, documents: Sequence[ErpDocument], now: dt.datetime, patience: Patience) -> Transition:
    """Decide a RESOLVING posting by what the ERP holds under its document's key."""
    if posting.operation is Operation.WITHDRAW:
        return _withdrawal_looked_up(posting, documents, now, patience)
    if not documents:
        return _missed(posting, now, patience, "nothing under the key")
    if len(documents) > 1:
        return states.duplicate(posting, now, sorted(d.erp_id for d in documents))
    found = differences(posting, documents[0])
    if found:
        return states.conflict(posting, now, found)
    return states.confirm(posting, now, documents[0].erp_id, adopted=True)


def read_back(posting: Posting, documents: Sequence[ErpDocument], now: dt.datetime, patience: Patience) -> Transition:
    """Check a CONFIRMED posting, or one in DRIFT, against what the ERP holds under its document's key."""
    if posting.operation is Operation.WITHDRAW:
        if not documents:
            return states.verify(posting, now, posting.erp_id)
        still = [f"document {d.erp_id} is still there" for d in documents]
        return states.drift(posting, now, "posting_drift", still, patience.reread_after)
    if not documents:
        return states.drift(posting, now, "document_missing", ["nothing under the key"], patience.reread_after)
    if len(documents) > 1 and posting.state is states.State.CONFIRMED:
        return states.duplicate(posting, now, sorted(d.erp_id for d in documents))
    found = [line for document in documents for line in differences(posting, document)]
    if len(documents) > 1:
        found.append(f"{len(documents)} documents under the key")
    if found:
        return states.drift(posting, now, "posting_drift", found, patience.reread_after)
    return states.verify(posting, now, documents[0].erp_id)


def differences(posting: Posting, document: ErpDocument) -> list[str]:
    """Each field in which the ERP's document is not what was sent, in words; empty when they are the same."""
    pairs = (
        ("company", posting.erp_company, document.erp_company),
        ("type", posting.effect_type.value, document.effect_type.value),
        ("amount", posting.amount, document.amount),
        ("minutes", posting.minutes, document.minutes),
        ("date", posting.service_date if posting.effect is None else booking_date(posting.effect), document.date),
    )
    return [f"{name}: sent {sent}, the ERP has {held}" for name, sent, held in pairs if sent != held]


def surplus(posting: Posting, documents: Sequence[ErpDocument]) -> tuple[ErpDocument, ...]:
    """Which of several documents under one key may be removed so that one is left; empty if a person must choose.

    All must be just what was sent, and at most one may be on another document: that one stays, else the one
    that the posting was confirmed with, else the oldest id.
    """
    taken_up = [d for d in documents if d.document is not None]
    if len(documents) < 2 or len(taken_up) > 1 or any(differences(posting, d) for d in documents):
        return ()
    known = [d for d in documents if d.erp_id == posting.erp_id]
    keep = (taken_up or known or sorted(documents, key=lambda d: (len(d.erp_id), d.erp_id)))[0]
    return tuple(d for d in documents if d.erp_id != keep.erp_id)


def _withdrawal_looked_up(
    posting: Posting, documents: Sequence[ErpDocument], now: dt.datetime, patience: Patience
) -> Transition:
    if not documents:
        return states.confirm(posting, now, posting.erp_id or "", adopted=True)
    taken_up = next((d for d in documents if d.document is not None), None)
    if taken_up is None:
        return _missed(posting, now, patience, "the draft is still there")
    if _before_horizon(posting, now):
        # The call may still be running, and the draft may leave that document again before it ends.
        return _missed(posting, now, patience, f"the draft is on {taken_up.document}")
    return states.reject(posting, now, ON_DOCUMENT, f"the draft is on {taken_up.document}")


def _missed(posting: Posting, now: dt.datetime, patience: Patience, evidence: str) -> Transition:
    if _before_horizon(posting, now):
        assert posting.look_up_from is not None
        return states.miss(posting, now, posting.look_up_from, counts=False, evidence=evidence)
    if posting.misses + 1 >= patience.misses_needed:
        if posting.attempts >= patience.attempts:
            message = f"sent {posting.attempts} times, never with an answer that could be read, and {evidence}"
            return states.reject(posting, now, "posting_rejected", message)
        return states.found_absent(posting, now, patience.resend_after, evidence)
    return states.miss(posting, now, now + patience.spacing, counts=True, evidence=evidence)


def _before_horizon(posting: Posting, now: dt.datetime) -> bool:
    return posting.look_up_from is not None and now < posting.look_up_from
