"""Effects and postings for tests, with only what a test is about said in it."""

import datetime as dt
from decimal import Decimal

from psa_erp_assets.domain.effects import (
    BillingLine,
    CostTransaction,
    Effect,
    EffectType,
    IntercompanyCharge,
    RevenueEntry,
    RevenueKind,
    reversal_of,
)
from psa_erp_assets.domain.keys import posting_key
from psa_erp_assets.domain.money import Money, Rounding, for_minutes
from psa_erp_assets.domain.posting import Leg, Posting, new_posting

TENANT = "demo"
NOON = dt.datetime(2026, 10, 5, 12, 0, tzinfo=dt.UTC)


def make_effect(
    minutes: int = 60,
    *,
    rate: str = "150.00",
    effect_type: EffectType = EffectType.BILLING_LINE,
    erp_company: str = "1",
    service_date: dt.date = dt.date(2026, 9, 14),
) -> Effect:
    """An effect of so many minutes at so much an hour, in euros; a revenue entry has just the amount."""
    per_hour = Money(Decimal(rate), "EUR")
    amount = for_minutes(per_hour, minutes).rounded(Rounding.HALF_UP)
    match effect_type:
        case EffectType.BILLING_LINE:
            return BillingLine(
                erp_company=erp_company,
                party="7",
                analytic="11",
                employee_name="Consultant",
                service_date=service_date,
                minutes=minutes,
                per_hour=per_hour,
                amount=amount,
                tax=None,
                description="work",
            )
        case EffectType.COST_TRANSACTION:
            return CostTransaction(
                erp_company=erp_company,
                analytic="11",
                employee_name="Consultant",
                service_date=service_date,
                minutes=minutes,
                per_hour=per_hour,
                amount=amount,
                description="work",
            )
        case EffectType.INTERCOMPANY_CHARGE:
            return IntercompanyCharge(
                erp_company=erp_company,
                partner_company="3",
                employee_name="Consultant",
                service_date=service_date,
                minutes=minutes,
                per_hour=per_hour,
                amount=amount,
                description="work",
            )
        case EffectType.REVENUE_ENTRY:
            return RevenueEntry(
                erp_company=erp_company,
                analytic="11",
                service_date=service_date,
                amount=amount,
                description="work",
                kind=RevenueKind.RECOGNITION,
            )


def make_posting(
    line: str = "time_entry:test:1",
    *,
    revision: int = 1,
    leg: Leg = Leg.ORIGINAL,
    effect: Effect | None = None,
    target: Posting | None = None,
    depends_on: Posting | None = None,
    now: dt.datetime = NOON,
) -> Posting:
    """A planned posting of a line. A reversal's or withdrawal's effect follows from its target."""
    if target is not None:
        assert target.effect is not None
        effect = reversal_of(target.effect) if leg is Leg.REVERSAL else target.effect
        line, revision = target.object_id, target.revision
    effect = effect or make_effect()
    return new_posting(
        key=posting_key(
            tenant=TENANT,
            erp_company=effect.erp_company,
            effect_type=effect.effect_type.value,
            object_id=line,
            revision=revision,
            leg=leg.value,
        ),
        tenant=TENANT,
        legal_entity="DE",
        service_month="2026-09",
        leg=leg,
        object_id=line,
        revision=revision,
        source_revision=revision,
        effect=effect,
        now=now,
        target_key=target.key if target else None,
        depends_on=depends_on.key if depends_on else None,
    )
