"""Whose data a use case works on, and by which rules."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field

from psa_erp_assets.domain.approval import ApprovalRule
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.costing import CostPolicy
from psa_erp_assets.domain.decide import Rules
from psa_erp_assets.domain.money import Money
from psa_erp_assets.domain.records import RateCardLine
from psa_erp_assets.domain.rollout import Rollout, RolloutStep
from psa_erp_assets.domain.shadow import GoLive
from psa_erp_assets.settings import Policies, Settings, rate_card_lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """A tenant, the rules that its decisions follow, and the day from which on its work is synchronized.

    `approvals` say which plans wait for somebody, `go_live` when a shadow plan agrees with what people bill by hand.
    """

    tenant: str
    rules: Rules
    first_day: dt.date
    rate_cards: tuple[RateCardLine, ...] = ()
    approvals: tuple[ApprovalRule, ...] = ()
    go_live: GoLive = field(default_factory=GoLive)

    @classmethod
    def of(cls, settings: Settings) -> "Scope":
        """The scope that the settings describe."""
        policies = settings.policies
        return cls(
            tenant=settings.tenant,
            rate_cards=rate_card_lines(settings.rate_cards),
            first_day=ServiceMonth.parse(policies.extraction.first_month).first_day,
            rules=Rules(
                rounding=settings.connections.erp.rounding,
                default_legal_entity=settings.company.default_legal_entity,
                cost=CostPolicy(intercompany_mark_up=policies.intercompany_mark_up),
                rollout=Rollout(steps=tuple(_steps(policies))),
            ),
            approvals=tuple(_approvals(policies)),
            go_live=GoLive(
                months=policies.go_live.months,
                share=policies.go_live.tolerance_share,
                amount=policies.go_live.tolerance_amount,
            ),
        )


def _approvals(policies: Policies) -> Iterator[ApprovalRule]:
    for rule in policies.approvals:
        above = rule.above
        yield ApprovalRule(
            name=rule.name,
            legal_entity=rule.legal_entity,
            action=rule.action,
            effect_type=rule.effect_type,
            above=None if above is None else Money(above.amount, above.currency),
        )


def _steps(policies: Policies) -> Iterator[RolloutStep]:
    for step in policies.rollout:
        yield RolloutStep(
            mode=step.mode,
            legal_entity=step.legal_entity,
            contract_kind=step.contract_kind,
            valid_from=step.valid_from,
        )
