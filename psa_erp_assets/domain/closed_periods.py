"""A closed accounting period as a queue of choices: an effect waits until somebody says where it goes.

Nothing is ever re-dated silently.

What belongs here: the choices and what they make of a decision. What does not: that an effect waits (`plan`).
"""

import datetime as dt
import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psa_erp_assets.domain.decision import Decision, Hold
from psa_erp_assets.domain.effects import (
    BillingLine,
    CostTransaction,
    Effect,
    EffectType,
    IntercompanyCharge,
    RevenueEntry,
    payload_hash,
    reversal_of,
)
from psa_erp_assets.domain.values import replace


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
    for a choice of its own. None is whatever there is, of a choice from before that was kept. `by_hand` is what stands
    in the books by people's own hand then, beside what the sync has posted, as `hand_bookings` says it: only what is
    left of a later edit is the sync's to book.
    """

    object_id: str
    effect_type: EffectType
    choice: Choice
    posting_date: dt.date | None
    reason: str
    chosen_by: str
    basis: str | None = None
    by_hand: tuple[Effect, ...] = ()


Choices = Mapping[tuple[str, EffectType], PeriodChoice]

_NOTHING = "nothing"
_BY_HAND = "booked by hand"


def basis_of(decision: Decision, effect_type: EffectType) -> str:
    """What a decision wants in the books, for telling whether a choice was made about just that.

    The decision is one that no choice has changed, but for a posting date.
    """
    effect = decision.effect(effect_type)
    if effect is None:
        return _NOTHING
    return payload_hash(effect if isinstance(effect, BillingLine) else replace(effect, posting_date=None))


def hand_bookings(wanted: Effect | None, posted: Sequence[Effect]) -> tuple[Effect, ...]:
    """What stands in the books by hand once somebody has journaled what was missing there: what should be less what
    the sync has posted (`posted`), for each place in the books where that is not nought. Without names and texts.
    """
    sums: dict[tuple[str, ...], Effect] = {}
    for effect in ([wanted] if wanted is not None else []) + [reversal_of(p) for p in posted]:
        place, bare = _place(effect), _bare(effect)
        sums[place] = _sum(sums[place], bare) if place in sums else bare
    return tuple(effect for _, effect in sorted(sums.items()) if effect.minutes or effect.amount.amount)


def booked_before(earlier: Sequence[PeriodChoice], basis: str, *, in_effect: bool) -> tuple[Effect, ...]:
    """What stands in the books by hand before another choice. `earlier` are those before it, the newest first.

    `in_effect`: the newest one still holds, so that a choice about the same is made by whoever thinks better of it
    before anything was done; then nothing of that one was booked.
    """
    left = list(earlier)
    while in_effect and left and left[0].choice is Choice.BY_HAND and left[0].basis == basis:
        left.pop(0)
    return left[0].by_hand if left else ()


def chosen(decision: Decision, choices: Choices) -> Decision:
    """The decision as the choices about its object leave it."""
    for effect_type in EffectType:
        choice = choices.get((decision.object_id, effect_type))
        if choice is not None and effect_type is not EffectType.BILLING_LINE:
            decision = _apply(decision, choice)
    return decision


def _apply(decision: Decision, choice: PeriodChoice) -> Decision:
    what, holds = choice.effect_type, choice.choice is not Choice.WAIT and is_about(choice, decision)
    if holds:
        reason = f"closed period, {choice.choice.value} by {choice.chosen_by}: {choice.reason}"
        decision = replace(decision, reasons=(*decision.reasons, reason))
        if choice.choice is Choice.BY_HAND and len(choice.by_hand) == 1:
            decision = replace(decision, settled=decision.settled | {what})
        elif choice.choice is not Choice.POST_TO_OPEN:
            return _left_alone(decision, what)
    if choice.by_hand:
        decision = _less_by_hand(decision, what, choice.by_hand)
    if holds and choice.posting_date is not None:
        dated = tuple(
            replace(e, posting_date=choice.posting_date)
            if e.effect_type is what and not isinstance(e, BillingLine)
            else e
            for e in decision.effects
        )
        decision = replace(decision, effects=dated, posting_dates={**decision.posting_dates, what: choice.posting_date})
    return decision


def _less_by_hand(decision: Decision, what: EffectType, by_hand: Sequence[Effect]) -> Decision:
    """The decision with what is left for the sync to book beside what people have booked by hand.

    What they have booked in other books, or for another project, only they can move: it waits for them.
    """
    wanted = decision.effect(what)
    charge = what is EffectType.INTERCOMPANY_CHARGE
    gap = decision.hold(what) or (decision.hold(EffectType.COST_TRANSACTION) if charge else None)
    if wanted is None and gap is not None:
        return decision
    elsewhere = [e for e in by_hand if wanted is not None and _place(e) != _place(wanted)]
    if elsewhere or len(by_hand) > 1:
        amounts = ", ".join(f"{e.amount} in company {e.erp_company}" for e in elsewhere or by_hand)
        detail = f"{amounts} was booked by hand, and the work is booked elsewhere now: move it, then choose"
        hold = Hold("period_closed", what, detail)
        return replace(_left_alone(decision, what), holds=(*decision.holds, hold))
    (booked,) = by_hand
    back = reversal_of(booked)
    left = back if wanted is None else _sum(wanted, back)
    others = tuple(e for e in decision.effects if e.effect_type is not what)
    reason = f"{booked.amount} of it was booked by hand"
    effects = (*others, left) if left.minutes or left.amount.amount else others
    return replace(decision, effects=effects, reasons=(*decision.reasons, reason))


def _left_alone(decision: Decision, what: EffectType) -> Decision:
    effects = tuple(e for e in decision.effects if e.effect_type is not what)
    return replace(decision, effects=effects, left_alone=decision.left_alone | {what})


def _place(effect: Effect) -> tuple[str, ...]:
    """Where in the books an effect is: what two effects must have in common so that their difference can be booked."""
    place = (effect.erp_company, effect.amount.currency)
    match effect:
        case CostTransaction() | RevenueEntry():
            return (*place, effect.analytic, effect.kind.value)
        case IntercompanyCharge():
            return (*place, effect.partner_company)
        case _:
            return place


def _bare(effect: Effect) -> Effect:
    """The effect without names, texts, rate and chosen date."""
    match effect:
        case RevenueEntry():
            return replace(effect, description=_BY_HAND, posting_date=None)
        case CostTransaction() | IntercompanyCharge():
            return replace(effect, employee_name="", description=_BY_HAND, per_hour=None, posting_date=None)
        case _:
            return effect


def _sum(effect: Effect, other: Effect) -> Effect:
    """The first effect with the minutes and the amount of both."""
    amount = effect.amount + other.amount
    if isinstance(effect, RevenueEntry):
        return replace(effect, amount=amount)
    return replace(effect, amount=amount, minutes=effect.minutes + other.minutes)


def is_about(choice: PeriodChoice, decision: Decision) -> bool:
    """Whether a choice was made about what is decided, before any choice has changed that."""
    return choice.basis is None or choice.basis == basis_of(decision, choice.effect_type)
