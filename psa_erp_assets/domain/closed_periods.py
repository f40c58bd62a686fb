"""A closed accounting period as a queue of choices: an effect waits until somebody says where it goes.

Nothing is ever re-dated silently.

What belongs here: the choices and what they make of a decision. What does not: that an effect waits (`plan`).
"""

import datetime as dt
import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace

from psa_erp_assets.domain.decision import Decision
from psa_erp_assets.domain.effects import BillingLine, Effect, EffectType, payload_hash


class Choice(enum.StrEnum):
    """What to do about an effect whose period is closed.

    WAIT until finance reopens the period; POST_TO_OPEN with a reference to the original date; BY_HAND: somebody has
    journaled it; CANCEL: it is not to be booked at all.
    """

    WAIT = "wait"
    POST_TO_OPEN = "post_to_open"
    BY_HAND = "by_hand"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodChoice:
    """Somebody's choice for one object and effect type. `posting_date` is in the open period, for POST_TO_OPEN.

    `basis` is what it was made about, as `basis_of` says it: what comes of a later edit is another matter, and waits
    for a choice of its own. None is whatever there is, of a choice from before that was kept.
    """

    object_id: str
    effect_type: EffectType
    choice: Choice
    posting_date: dt.date | None
    reason: str
    chosen_by: str
    basis: str | None = None


Choices = Mapping[tuple[str, EffectType], PeriodChoice]

_NOTHING = "nothing"


def basis_of(decision: Decision, effect_type: EffectType) -> str:
    """What a decision wants in the books, for telling whether a choice was made about just that.

    The decision is one that no choice has changed, but for a posting date.
    """
    effect = decision.effect(effect_type)
    if effect is None:
        return _NOTHING
    return payload_hash(effect if isinstance(effect, BillingLine) else replace(effect, posting_date=None))


def chosen(decision: Decision, choices: Choices) -> Decision:
    """The decision as the choices about its object leave it."""
    mine = {
        t: choice
        for t in EffectType
        if (choice := choices.get((decision.object_id, t))) is not None and _holds(choice, decision)
    }
    if not mine:
        return decision
    effects: list[Effect] = []
    for effect in decision.effects:
        choice = mine.get(effect.effect_type)
        if choice is None or isinstance(effect, BillingLine):
            effects.append(effect)
        elif choice.choice is Choice.POST_TO_OPEN:
            effects.append(replace(effect, posting_date=choice.posting_date))
    reasons = [
        f"closed period, {choice.choice.value} by {choice.chosen_by}: {choice.reason}" for choice in mine.values()
    ]
    return replace(
        decision,
        effects=tuple(effects),
        reasons=(*decision.reasons, *reasons),
        posting_dates={t: c.posting_date for t, c in mine.items() if c.posting_date is not None},
        left_alone=frozenset(t for t, c in mine.items() if c.choice is not Choice.POST_TO_OPEN),
    )


def is_about(choice: PeriodChoice, decision: Decision) -> bool:
    """Whether a choice was made about what is decided now, be it with or without that choice."""
    left_alone = choice.effect_type in decision.left_alone
    return left_alone or choice.basis is None or choice.basis == basis_of(decision, choice.effect_type)


def _holds(choice: PeriodChoice, decision: Decision) -> bool:
    """A choice to wait changes nothing, and an invoice line is in no period."""
    if choice.choice is Choice.WAIT or choice.effect_type is EffectType.BILLING_LINE:
        return False
    return is_about(choice, decision)
