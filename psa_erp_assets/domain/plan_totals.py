"""Sums over the items of a plan: what lists, reports and approval rules need of it."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.money import add
from psa_erp_assets.domain.plan import ACTING, Action, PlanItem

_Key = tuple[Action, EffectType, str | None, dt.date | None, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanTotal:
    """The items of one action, effect type, currency and service date; of a hold, `code` says what holds them.

    `amount` is their sum, `absolute` the sum of their amounts without signs. Items without an effect, such as holds,
    have neither currency nor date.
    """

    action: Action
    effect_type: EffectType
    currency: str | None
    service_date: dt.date | None
    code: str | None
    items: int
    minutes: int
    amount: Decimal
    absolute: Decimal

    @property
    def acts(self) -> bool:
        """Whether applying the items changes anything."""
        return self.action in ACTING


def totals_of(items: Iterable[PlanItem]) -> tuple[PlanTotal, ...]:
    """The sums of these items, in the order of what they have in common."""
    sums: dict[_Key, list[PlanItem]] = defaultdict(list)
    for item in items:
        effect = item.effect
        currency, on = (None, None) if effect is None else (effect.amount.currency, effect.service_date)
        code = None if item.hold is None else item.hold.code
        sums[item.action, item.effect_type, currency, on, code].append(item)
    return tuple(_total(key, sums[key]) for key in sorted(sums, key=str))


def _total(key: _Key, items: list[PlanItem]) -> PlanTotal:
    action, effect_type, currency, on, code = key
    amount = absolute = Decimal(0)
    for item in items:
        if item.effect is not None:
            amount = add(amount, item.effect.amount.amount)
            absolute = add(absolute, item.effect.amount.amount.copy_abs())
    return PlanTotal(
        action=action,
        effect_type=effect_type,
        currency=currency,
        service_date=on,
        code=code,
        items=len(items),
        minutes=sum(item.effect.minutes for item in items if item.effect is not None),
        amount=amount,
        absolute=absolute,
    )
