"""How far the rollout is: the most specific step that has begun decides, and what nobody named is off."""

import datetime as dt

import pytest

from psa_erp_assets.domain.decide import Rules, decide
from psa_erp_assets.domain.decision import Decision, Mode
from psa_erp_assets.domain.plan import Action, plan_entry
from psa_erp_assets.domain.rollout import Rollout, RolloutStep
from psa_erp_assets.domain.terms import ContractKind
from psa_erp_assets_tests.support.facts import RULES, TENANT, make_entry, make_master

T_AND_M, CAPPED = ContractKind.TIME_AND_MATERIALS, ContractKind.CAPPED
ON = dt.date(2026, 9, 14)


def rollout(*steps: tuple[object, ...]) -> Rollout:
    """Steps of mode, entity, type and first day."""
    padded = [(*step, *(None,) * (4 - len(step))) for step in steps]
    return Rollout(
        steps=tuple(RolloutStep(mode=m, legal_entity=e, contract_kind=k, valid_from=f) for m, e, k, f in padded)  # type: ignore[arg-type]
    )


def test_without_a_rollout_all_is_live() -> None:
    """Whoever never heard of a rollout would post nothing."""
    assert rollout().mode("UK", T_AND_M, ON) is Mode.LIVE


def test_with_a_rollout_what_it_does_not_name_is_off() -> None:
    """The first entity goes live, and all others with it."""
    steps = rollout((Mode.LIVE, "UK"))
    assert steps.mode("UK", CAPPED, ON) is Mode.LIVE
    assert steps.mode("DE", CAPPED, ON) is Mode.OFF


@pytest.mark.parametrize(
    ("entity", "kind", "mode"),
    [
        ("UK", CAPPED, Mode.SHADOW),
        ("UK", T_AND_M, Mode.LIVE),
        ("DE", CAPPED, Mode.OFF),
        ("DE", T_AND_M, Mode.SHADOW),
        ("UK", None, Mode.LIVE),
    ],
)
def test_entity_and_type_go_before_either_and_either_before_neither(
    entity: str, kind: ContractKind | None, mode: Mode
) -> None:
    """The order in which the settings are written would decide what is posted."""
    steps = ((Mode.SHADOW,), (Mode.LIVE, "UK"), (Mode.OFF, None, CAPPED), (Mode.SHADOW, "UK", CAPPED))
    assert rollout(*steps).mode(entity, kind, ON) is mode
    assert rollout(*reversed(steps)).mode(entity, kind, ON) is mode


@pytest.mark.parametrize(("day", "mode"), [(13, Mode.SHADOW), (14, Mode.LIVE), (15, Mode.LIVE)])
def test_a_step_begins_on_its_day(day: int, mode: Mode) -> None:
    """The month before the go-live, which people have billed by hand, would be billed again."""
    steps = rollout((Mode.SHADOW, "UK"), (Mode.LIVE, "UK", None, ON))
    assert steps.mode("UK", T_AND_M, dt.date(2026, 9, day)) is mode


def decided(mode: Mode) -> Decision:
    rules = Rules(
        rounding=RULES.rounding,
        default_legal_entity=RULES.default_legal_entity,
        rollout=rollout((mode, "UK", T_AND_M)),
    )
    return decide(make_entry(), make_master(), rules)


def test_shadow_plans_everything_and_does_nothing() -> None:
    """There would be nothing to compare with what people bill by hand, or it would be billed twice."""
    items = plan_entry(decided(Mode.SHADOW), [], frozenset(), TENANT)
    assert {item.action for item in items} == {Action.SHADOW}
    assert [item.effect for item in items] == list(decided(Mode.LIVE).effects)
    assert not any(item.acts for item in items)


def test_off_plans_nothing() -> None:
    """What nobody has looked at would fill the plans."""
    assert plan_entry(decided(Mode.OFF), [], frozenset(), TENANT) == []
