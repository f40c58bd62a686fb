"""Stretches of days within which no dated record changes, so that what is found for one day holds for the others.

A month has thousands of pairs of person and project, each with work on twenty days, and one or two days on which a
rate, a contract or a mapping becomes another. FX rates change daily and are left out: what depends on one is found by
its day.
"""

import datetime as dt
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Generic, NewType, TypeVar

from psa_erp_assets.domain.master import MasterData
from psa_erp_assets.domain.rollout import Rollout

_K = TypeVar("_K")
_V = TypeVar("_V")
_DAY = dt.timedelta(days=1)

Stretch = NewType("Stretch", int)
"""The number of a stretch of days within one month."""


class Stretches:
    """The stretches that master data and rollout divide the days into."""

    def __init__(self, master: MasterData, rollout: Rollout) -> None:
        self._turns = sorted(set(_turning_points(master, rollout)))
        self._of: dict[dt.date, Stretch] = {}
        self._numbers: dict[tuple[int, int, int], Stretch] = {}

    def of(self, on: dt.date) -> Stretch:
        """The stretch that a day is in. Days of two months are never in one."""
        known = self._of.get(on)
        if known is None:
            where = (bisect_right(self._turns, on), on.year, on.month)
            known = self._of[on] = self._numbers.setdefault(where, Stretch(len(self._numbers)))
        return known


class Kept(Generic[_K, _V]):
    """What was found for a key: for a whole stretch where it `lasts`, else for the day that it was found for.

    What has gone wrong names the day in its reason, and does not last.
    """

    def __init__(self, stretches: Stretches, lasts: Callable[[_V], bool]) -> None:
        self._stretches, self._lasts = stretches, lasts
        self._found: dict[tuple[_K, Stretch | dt.date], _V] = {}

    def get(self, key: _K, on: dt.date, find: Callable[[], _V]) -> _V:
        """What was found before, or is found now."""
        stretch, found = self._stretches.of(on), self._found
        value = found.get((key, stretch))
        if value is None:
            value = found.get((key, on))
        if value is None:
            value = find()
            found[key, stretch if self._lasts(value) else on] = value
        return value


def _turning_points(master: MasterData, rollout: Rollout) -> Iterator[dt.date]:
    """The days from which something else holds than the day before."""
    amendments = [amendment for contract in master.contracts for amendment in contract.amendments]
    spans: Iterable[tuple[dt.date | None, dt.date | None]] = chain(
        ((r.valid_from, r.valid_to) for r in master.contracts),
        ((r.valid_from, r.valid_to) for r in master.bill_rates),
        ((r.valid_from, r.valid_to) for r in master.cost_rates),
        ((r.valid_from, r.valid_to) for r in master.rate_cards),
        ((r.valid_from, r.valid_to) for r in master.tax_profiles),
        ((r.valid_from, r.valid_to) for r in master.links),
        ((a.effective_from, a.valid_to) for a in amendments),
        ((None, p.closed_on) for p in master.projects),
        ((step.valid_from, None) for step in rollout.steps),
    )
    for first, last in spans:
        if first is not None:
            yield first
        if last is not None and last < dt.date.max:
            yield last + _DAY
