"""Whose data a use case works on, and by which rules."""

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from psa_erp_assets.adapters.connectors.clockify.canonical import STATES as CLOCKIFY_STATES
from psa_erp_assets.adapters.connectors.kantata.canonical import STATES as KANTATA_STATES
from psa_erp_assets.domain.approval import ApprovalRule
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.costing import CostPolicy
from psa_erp_assets.domain.decide import Rules
from psa_erp_assets.domain.exception_duties import Duties, Duty
from psa_erp_assets.domain.faults import FAULTS, Owner
from psa_erp_assets.domain.money import Money
from psa_erp_assets.domain.ownership import FieldOwner, Governance
from psa_erp_assets.domain.records import ApprovalState, RateCardLine
from psa_erp_assets.domain.rollout import Rollout, RolloutStep
from psa_erp_assets.domain.shadow import GoLive
from psa_erp_assets.settings import (
    DutySettings,
    ExceptionSettings,
    OwnershipSettings,
    Policies,
    Settings,
    rate_card_lines,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """A tenant, the rules that its decisions follow, and the day from which on its work is synchronized.

    `approvals` say which plans wait for somebody, `go_live` when a shadow plan agrees with what people bill by hand,
    `duties` whose each exception is and by when it is to be cleared, `governance` who owns which field and
    stewards which mapping. `approval_states` are what a PSA's states mean, by kind of work; without one its
    connector's own.
    """

    tenant: str
    rules: Rules
    first_day: dt.date
    rate_cards: tuple[RateCardLine, ...] = ()
    approvals: tuple[ApprovalRule, ...] = ()
    go_live: GoLive = field(default_factory=GoLive)
    duties: Duties = field(default_factory=Duties)
    governance: Governance = field(default_factory=Governance)
    approval_states: Mapping[str, Mapping[str, ApprovalState]] = field(default_factory=dict)

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
            duties=_duties(settings.exceptions),
            governance=_governance(settings.ownership),
            approval_states=_approval_states(settings.ownership),
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


def _duties(settings: ExceptionSettings) -> Duties:
    shipped = Duties()
    classes = {
        kind: _duty(settings.classes[kind], duty.owner) if kind in settings.classes else duty
        for kind, duty in shipped.classes.items()
    }
    # A class that has an owner in the settings has this one for all of its codes.
    codes = {
        code: classes[fault.fault_class]
        for code, fault in FAULTS.items()
        if (kind := settings.classes.get(fault.fault_class)) is not None and kind.owner is not None
    }
    codes |= {code: _duty(duty, shipped.of(code).owner) for code, duty in settings.codes.items()}
    return Duties(
        classes=classes,
        codes=codes,
        large_minutes=settings.large_minutes,
        large_amounts=tuple(Money(a.amount, a.currency) for a in settings.large_amounts),
    )


def _duty(settings: DutySettings, owner: Owner) -> Duty:
    return Duty(
        owner=settings.owner or owner, within=dt.timedelta(hours=settings.within_hours), runbook=settings.runbook
    )


def _governance(ownership: OwnershipSettings) -> Governance:
    return Governance(
        owners=tuple(
            FieldOwner(entity=entity, field=name, system=rule.owner, on_change=rule.on_change)
            for entity, fields in ownership.fields
            for name, rule in fields
        ),
        stewards={object_type.value: frozenset(ids) for object_type, ids in ownership.stewards.items()},
    )


def _approval_states(ownership: OwnershipSettings) -> dict[str, dict[str, ApprovalState]]:
    """What each PSA's states mean, by kind of work: what is billed from a state on counts as approved in it."""
    clockify = ownership.approval_states.get("clockify", CLOCKIFY_STATES)
    states = {"time_entry": clockify, "expense": clockify}
    states["milestone"] = ownership.approval_states.get("kantata", KANTATA_STATES)
    triggers: dict[str, str] = dict(ownership.billing_triggers)
    return {
        kind: {
            theirs: ApprovalState.APPROVED if ours.value == triggers[kind] else ours for theirs, ours in known.items()
        }
        for kind, known in states.items()
    }


def _steps(policies: Policies) -> Iterator[RolloutStep]:
    for step in policies.rollout:
        yield RolloutStep(
            mode=step.mode,
            legal_entity=step.legal_entity,
            contract_kind=step.contract_kind,
            valid_from=step.valid_from,
        )
