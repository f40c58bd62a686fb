"""Which plans somebody must approve before they are applied: rules by amount, kind and entity.

What belongs here: the rules and what they say of a plan. What does not: who may approve (`services.plan_review`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.master import MasterData
from psa_erp_assets.domain.money import Money
from psa_erp_assets.domain.plan import Action
from psa_erp_assets.domain.plan_totals import PlanTotal


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRule:
    """A plan needs approval where what it does in one way comes to more than an amount. None stands for every one.

    The absolute amounts of the items that fit are converted at each item's date and added up; without `above` a single
    item that fits is enough, and so is one that cannot be converted.
    """

    name: str
    legal_entity: str | None = None
    action: Action | None = None
    effect_type: EffectType | None = None
    above: Money | None = None

    def fits(self, total: PlanTotal, legal_entity: str) -> bool:
        """Whether it is about these items of a plan for an entity. Items that do nothing need nobody."""
        return (
            total.acts
            and self.legal_entity in (None, legal_entity)
            and self.action in (None, total.action)
            and self.effect_type in (None, total.effect_type)
        )


def approval_reasons(
    totals: Sequence[PlanTotal], rules: Sequence[ApprovalRule], legal_entity: str, master: MasterData
) -> tuple[str, ...]:
    """Why a plan with these totals needs approval, one sentence a rule; empty where it needs none."""
    found = (_reason(rule, [t for t in totals if rule.fits(t, legal_entity)], master) for rule in rules)
    return tuple(reason for reason in found if reason is not None)


def _reason(rule: ApprovalRule, totals: Sequence[PlanTotal], master: MasterData) -> str | None:
    if not totals:
        return None
    if rule.above is None:
        return f"{rule.name}: {sum(total.items for total in totals)} item(s)"
    worth = Money(Decimal(0), rule.above.currency)
    for total in totals:
        if total.currency is None or total.service_date is None:
            continue
        amount = Money(total.absolute, total.currency)
        conversion = master.conversion(amount.currency, rule.above.currency, total.service_date)
        if conversion is None:
            return f"{rule.name}: {amount} cannot be compared with {rule.above}, as there is no FX rate"
        worth += amount.converted(conversion.rate, rule.above.currency)
    if worth.amount <= rule.above.amount:
        return None
    return f"{rule.name}: {worth} is above {rule.above}"
