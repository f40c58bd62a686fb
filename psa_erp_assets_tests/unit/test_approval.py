"""Which plans wait for somebody: by amount, action, kind and entity, across currencies."""

import datetime as dt
from decimal import Decimal

import pytest

from psa_erp_assets.domain.approval import ApprovalRule, approval_reasons
from psa_erp_assets.domain.effects import Effect, EffectType
from psa_erp_assets.domain.plan import Action, PlanItem
from psa_erp_assets.domain.plan_totals import totals_of
from psa_erp_assets_tests.support.facts import fx_rate, make_master, money
from psa_erp_assets_tests.support.postings import make_effect

BILLING, COST = EffectType.BILLING_LINE, EffectType.COST_TRANSACTION
MASTER = make_master(fx_rates=(fx_rate("EUR", "USD", "1.10"),))


def item(action: Action = Action.CREATE, minutes: int = 60, effect_type: EffectType = BILLING) -> PlanItem:
    """An item about so many minutes at 150 EUR an hour."""
    effect: Effect | None = make_effect(minutes, effect_type=effect_type)
    return PlanItem(
        action=action,
        effect_type=effect_type,
        object_id="e1",
        contract_id="CTR-0001",
        reason="test",
        source_revision=1,
        effect=None if action is Action.HOLD else effect,
    )


def reasons(*items: PlanItem, entity: str = "UK", **rule: object) -> tuple[str, ...]:
    return approval_reasons(totals_of(items), [ApprovalRule(name="rule", **rule)], entity, MASTER)  # type: ignore[arg-type]


@pytest.mark.parametrize(("above", "asks"), [("164.99", True), ("165.00", False), ("165.01", False)])
def test_the_amount_itself_needs_nobody(above: str, asks: bool) -> None:
    """A limit of 165.00 would stop what is exactly 165.00, or let a cent more pass. 150 EUR at 1.10 are 165 USD."""
    assert bool(reasons(item(), above=money(above, "USD"))) is asks


def test_amounts_of_both_signs_add_up() -> None:
    """A million credited and a million billed anew would net to nothing, and nobody would look at it."""
    found = reasons(item(minutes=60), item(Action.REVERSE, minutes=-60), above=money("329.99", "USD"))
    assert found == ("rule: 330.00 USD is above 329.99 USD",)


def test_a_rule_looks_only_at_what_it_names() -> None:
    """A rule about credits would stop every invoice."""
    items = [item(), item(Action.REVERSE, -60), item(Action.REVERSE, -60, COST)]
    assert reasons(*items, action=Action.REVERSE, effect_type=BILLING) == ("rule: 1 item(s)",)
    assert reasons(*items, action=Action.WITHDRAW) == ()
    assert reasons(*items, legal_entity="US") == ()
    assert reasons(*items, entity="US", legal_entity="US") == ("rule: 3 item(s)",)


@pytest.mark.parametrize("action", [Action.HOLD, Action.WAIT, Action.BLOCKED, Action.SHADOW])
def test_what_does_nothing_needs_nobody(action: Action) -> None:
    """A plan in shadow, or of holds alone, would wait for ever for somebody to approve nothing."""
    assert reasons(item(action)) == ()


def test_an_amount_that_cannot_be_compared_is_looked_at() -> None:
    """A missing rate would count as 1, or as nought, and the largest plan of all would pass (erpnext#50390)."""
    (reason,) = reasons(item(), above=money("999999999.00", "JPY"))
    assert "no FX rate" in reason


def test_the_rate_is_that_of_the_item_s_date() -> None:
    """A plan about last year's work would be measured with today's rate."""
    rates = (fx_rate("EUR", "USD", "1.10"), fx_rate("EUR", "USD", "9.00", dt.date(2026, 9, 15)))
    rule = ApprovalRule(name="rule", above=money("165.00", "USD"))
    assert approval_reasons(totals_of([item()]), [rule], "UK", make_master(fx_rates=rates)) == ()


def test_each_rule_that_is_met_says_so() -> None:
    """Whoever approves would see one reason and not the other."""
    rules = [ApprovalRule(name="any"), ApprovalRule(name="large", above=money("1.00", "EUR"))]
    found = approval_reasons(totals_of([item()]), rules, "UK", MASTER)
    assert [reason.partition(":")[0] for reason in found] == ["any", "large"]
    assert Decimal("150.00") == item().effect.amount.amount  # type: ignore[union-attr]
