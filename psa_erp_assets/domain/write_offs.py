"""Held work that somebody has given up for billing, with a second person's approval.

What belongs here: what a write-off makes of a decision. What does not: what was billed already, of which minutes are
written off by a credit (`records.Credit`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from psa_erp_assets.domain.decision import Decision, Outcome
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.values import replace


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOff:
    """One revision of an object is not to be billed as far as it is held. A later revision is looked at anew."""

    object_id: str
    revision: int
    reason: str
    approved_by: str


def written_off(decision: Decision, write_offs: Mapping[str, WriteOff]) -> Decision:
    """The decision with what its billing holds written off; what is billed, and its cost, stay as they are.

    Nothing changes for another revision than the one that was written off, or where nothing is held any more: work
    that can be billed meanwhile is billed.
    """
    mine = write_offs.get(decision.object_id)
    if mine is None or mine.revision != decision.revision or decision.hold(EffectType.BILLING_LINE) is None:
        return decision
    outcome = Outcome.WRITTEN_OFF if decision.outcome is Outcome.HOLD else decision.outcome
    return replace(
        decision,
        outcome=outcome,
        holds=tuple(hold for hold in decision.holds if hold.effect_type is not EffectType.BILLING_LINE),
        parts=tuple(
            replace(part, outcome=Outcome.WRITTEN_OFF) if part.outcome is Outcome.HOLD else part
            for part in decision.parts
        ),
        reasons=(*decision.reasons, f"written off by {mine.approved_by}: {mine.reason}"),
    )
