"""What a decider keeps for a stretch of days is what it would find for each of these days."""

import datetime as dt
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psa_erp_assets.domain.decide import Decider
from psa_erp_assets.domain.decision import Mode
from psa_erp_assets.domain.records import ApprovalState, TimeEntry
from psa_erp_assets.domain.rollout import Rollout, RolloutStep
from psa_erp_assets.domain.stretches import Stretches
from psa_erp_assets.domain.values import replace
from psa_erp_assets_tests.oracle.world import World
from psa_erp_assets_tests.support.months import make_world, master_of, rules_of

FROM = dt.date(2026, 1, 1)


def _every_day(world: World, rng: random.Random, entries: int) -> list[TimeEntry]:
    """Work like the world's own on any of its days, so that most of it shares person, project and kind."""
    mine = [fact for fact in world.facts if isinstance(fact, TimeEntry)]
    return [
        replace(
            rng.choice(mine),
            id=f"time_entry:clockify:d{number}",
            state=ApprovalState.APPROVED,
            service_date=FROM + dt.timedelta(days=rng.randrange(130)),
            minutes=rng.choice((30, 45, 60)),
        )
        for number in range(entries)
    ]


@settings(deadline=None)
@given(st.integers(0, 2**32))
def test_many_entries_are_decided_as_each_would_be_alone(seed: int) -> None:
    """A record that changes on a day, or a text that names another day, would be carried over to days it is not for."""
    rng = random.Random(seed)
    world = make_world(rng)
    step = RolloutStep(mode=rng.choice(tuple(Mode)), valid_from=FROM + dt.timedelta(days=rng.randrange(130)))
    rules = replace(rules_of(world), rollout=Rollout(steps=(step,) if rng.random() < 0.3 else ()))
    master = master_of(world)
    together = Decider(master, rules)
    for entry in _every_day(world, rng, 60):
        assert together.decide(entry) == Decider(master, rules).decide(entry)


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (dt.date(2026, 1, 2), dt.date(2026, 1, 14), True),
        (dt.date(2026, 1, 14), dt.date(2026, 1, 15), False),
        (dt.date(2026, 1, 31), dt.date(2026, 2, 1), False),
        (dt.date(2025, 6, 2), dt.date(2026, 6, 2), False),
    ],
)
def test_a_stretch_ends_where_a_record_changes_and_with_its_month(first: dt.date, second: dt.date, same: bool) -> None:
    """A route names its month, and a rollout step its day; one stretch over either would file work wrongly."""
    master = master_of(replace(make_world(random.Random(1)), bill_rates=(), rate_cards=(), cost_rates=()))
    plain = replace(master, contracts=(), projects=(), tax_profiles=())
    stretches = Stretches(plain, Rollout(steps=(RolloutStep(mode=Mode.LIVE, valid_from=dt.date(2026, 1, 15)),)))
    assert (stretches.of(first) == stretches.of(second)) is same
