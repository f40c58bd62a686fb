"""A closed accounting period as a queue of choices: an effect waits until somebody says where it goes.

Nothing is ever re-dated silently.

What belongs here: the choices and what they make of a decision. What does not: that an effect waits (`plan`).
"""

import datetime as dt
import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace

from psa_erp_assets.domain.decision import Decision
from psa_erp_assets.domain.effects import BillingLine, Effect, EffectType


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
    """Somebody's choice for one object and effect type. `posting_date` is in the open period, for POST_TO_OPEN."""

    object_id: str
    effect_type: EffectType
    choice: Choice
    posting_date: dt.date | None
    reason: str
    chosen_by: str


Choices = Mapping[tuple[str, EffectType], PeriodChoice]


def chosen(decision: Decision, choices: Choices) -> Decision:
    """The decision as the choices about its object leave it."""
    mine = {t: c for t in EffectType if (c := choices.get((decision.object_id, t))) is not None}
    if not mine:
        return decision
    effects: list[Effect] = []
    reasons = list(decision.reasons)
    for effect in decision.effects:
        choice = mine.get(effect.effect_type)
        if choice is None or choice.choice is Choice.WAIT or isinstance(effect, BillingLine):
            effects.append(effect)
            continue
        reasons.append(f"closed period, {choice.choice.value} by {choice.chosen_by}: {choice.reason}")
        if choice.choice is Choice.POST_TO_OPEN:
            effects.append(replace(effect, posting_date=choice.posting_date))
    dates = {t: c.posting_date for t, c in mine.items() if c.posting_date is not None}
    return replace(decision, effects=tuple(effects), reasons=tuple(reasons), posting_dates=dates)
