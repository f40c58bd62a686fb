"""A shadow plan beside what people billed by hand: by contract and month, how far apart they are, why, and whether the
two agree well enough to go live.

What belongs here: the comparison and its verdict. What does not: how far the rollout is (`rollout`), and reading the
two sides (`services.rollout`).
"""

import enum
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.master import MasterData
from psa_erp_assets.domain.money import Money, exponent, multiply

_MOST_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A billing line of a contract's month: one that the plan has, or one that somebody made in the ERP.

    `contract_id` is None where nothing tells which contract a line made by hand is for.
    """

    contract_id: str | None
    month: ServiceMonth
    amount: Money
    minutes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldWork:
    """Work of a contract's month that the plan holds, by the code of `faults.FAULTS` that says why."""

    contract_id: str | None
    month: ServiceMonth
    code: str


class Explanation(enum.StrEnum):
    """Why a plan and what was billed by hand differ, or that they do not."""

    EQUAL = "equal"
    NOT_BILLED = "not_billed"
    NOT_PLANNED = "not_planned"
    CURRENCY = "currency"
    HELD = "held"
    ROUNDING = "rounding"
    PRICE = "price"
    HOURS = "hours"


EXPLANATIONS: Mapping[Explanation, str] = {
    Explanation.EQUAL: "They agree.",
    Explanation.NOT_BILLED: "Nobody has billed it by hand, or not yet.",
    Explanation.NOT_PLANNED: "Billed by hand, and the plan has nothing of it: is it approved, and on this contract?",
    Explanation.CURRENCY: "Billed by hand in another currency than the contract's.",
    Explanation.HELD: "The plan holds work that was billed by hand: clear what holds it.",
    Explanation.ROUNDING: "As many minutes; no more than half a smallest unit a line apart.",
    Explanation.PRICE: "As many minutes at another price: compare the rates, or fees and milestones.",
    Explanation.HOURS: "Other minutes: compare what was approved with what was billed.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A contract's month in one currency: totals of the plan and of what was billed by hand, net.

    `held` counts what the plan holds, by code; `difference` is planned less billed by hand.
    """

    contract_id: str | None
    month: ServiceMonth
    currency: str
    planned: Decimal
    by_hand: Decimal
    planned_minutes: int
    by_hand_minutes: int
    planned_lines: int
    by_hand_lines: int
    held: Mapping[str, int]
    explained_by: Explanation

    @property
    def difference(self) -> Decimal:
        """Planned less billed by hand."""
        return (Money(self.planned, self.currency) - Money(self.by_hand, self.currency)).amount


@dataclass(frozen=True, slots=True, kw_only=True)
class GoLive:
    """When it is safe to go live: in `months` consecutive months each contract is within the tolerance.

    That is `share` of what was billed by hand (a fraction: 0.005 is 0.5 %) or `amount` in the contract's currency,
    whichever is more.
    """

    months: int = 2
    share: Decimal = Decimal("0.005")
    amount: Decimal = Decimal("1.00")

    def within(self, row: Compared) -> bool:
        """Whether a contract's month is close enough."""
        return abs(row.difference) <= max(multiply(self.share, abs(row.by_hand)), self.amount)


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """Whether it is safe to go live. `agreed` are the months that count, `sentence` says what is missing."""

    ready: bool
    agreed: tuple[ServiceMonth, ...]
    sentence: str


class ByHand:
    """Tells which contract a line made by hand is for."""

    def __init__(self, master: MasterData) -> None:
        self._of_analytic: dict[str, set[str]] = defaultdict(set)
        for project in master.projects:
            if project.contract_id is not None:
                for account in project.erp_analytics.values():
                    self._of_analytic[account].add(project.contract_id)
        self._of_party: dict[str, set[str]] = defaultdict(set)
        for contract in master.contracts:
            customer = master.customer(contract.customer_id)
            if customer is not None and customer.erp_party is not None:
                self._of_party[customer.erp_party].add(contract.id)

    def contract_of(self, party: str | None, analytic: str | None) -> str | None:
        """The contract of the project's analytic account, else the only one of the customer; None if neither tells."""
        for known, value in ((self._of_analytic, analytic), (self._of_party, party)):
            found = known.get(value, set()) if value is not None else set()
            if len(found) == 1:
                return next(iter(found))
        return None


def compare(planned: Iterable[Line], by_hand: Iterable[Line], held: Iterable[HeldWork] = ()) -> tuple[Compared, ...]:
    """Both sides by contract, month and currency, in this order. What is only held makes no row of its own."""
    sides: tuple[dict[_Key, list[Line]], dict[_Key, list[Line]]] = (defaultdict(list), defaultdict(list))
    for side, lines in zip(sides, (planned, by_hand), strict=True):
        for line in lines:
            side[line.contract_id, line.month, line.amount.currency].append(line)
    codes: dict[tuple[str | None, ServiceMonth], Counter[str]] = defaultdict(Counter)
    for work in held:
        codes[work.contract_id, work.month][work.code] += 1
    keys = sorted({*sides[0], *sides[1]}, key=lambda key: (key[0] or "", key[1], key[2]))
    currencies = Counter((contract_id, month) for contract_id, month, _ in keys)
    return tuple(
        _compared(key, sides[0][key], sides[1][key], codes[key[0], key[1]], several=currencies[key[0], key[1]] > 1)
        for key in keys
    )


def readiness(rows: Sequence[Compared], rule: GoLive, through: ServiceMonth) -> Readiness:
    """Whether it is safe to go live, from the months of an entity and contract type up to `through`, the last that is
    over.

    The months that count end with the last one that was billed by hand, which is `through` or the one before: the
    latest may not be billed yet. A month without any line breaks the series, as it proves nothing.
    """
    months: dict[ServiceMonth, list[Compared]] = defaultdict(list)
    for row in rows:
        if row.month <= through:
            months[row.month].append(row)
    billed = [month for month, of_month in months.items() if any(row.by_hand_lines for row in of_month)]
    if not billed:
        return _not_ready((), "nothing has been billed by hand in a month that is over and in shadow")
    last = max(billed)
    if last != through and last.next() != through:
        return _not_ready((), f"nothing has been billed by hand since {last}")
    agreed: list[ServiceMonth] = []
    apart: ServiceMonth | None = None
    for month in sorted(m for m in months if m <= last):
        if not all(rule.within(row) for row in months[month]):
            agreed, apart = [], month
        else:
            agreed = [*agreed, month] if agreed and agreed[-1].next() == month else [month]
    if len(agreed) >= rule.months:
        return Readiness(ready=True, agreed=tuple(agreed), sentence=f"agrees since {agreed[0]}, last in {last}")
    sentence = f"{len(agreed)} of {rule.months} consecutive months agree"
    if apart is not None:
        sentence += f"; apart in {apart}: {_apart([row for row in months[apart] if not rule.within(row)])}"
    return _not_ready(tuple(agreed), sentence)


_Key = tuple[str | None, ServiceMonth, str]


def _compared(
    key: _Key, planned: Sequence[Line], by_hand: Sequence[Line], held: Mapping[str, int], *, several: bool
) -> Compared:
    contract_id, month, currency = key
    totals = [sum((line.amount for line in side), Money(Decimal(0), currency)) for side in (planned, by_hand)]
    minutes = [sum(line.minutes for line in side) for side in (planned, by_hand)]
    return Compared(
        contract_id=contract_id,
        month=month,
        currency=currency,
        planned=totals[0].amount,
        by_hand=totals[1].amount,
        planned_minutes=minutes[0],
        by_hand_minutes=minutes[1],
        planned_lines=len(planned),
        by_hand_lines=len(by_hand),
        held=dict(sorted(held.items())),
        explained_by=_why(planned, by_hand, totals[0] - totals[1], held, several=several),
    )


def _why(
    planned: Sequence[Line],
    by_hand: Sequence[Line],
    difference: Money,
    held: Mapping[str, int],
    *,
    several: bool,
) -> Explanation:
    if difference.amount == 0:
        return Explanation.EQUAL
    if several and not (planned and by_hand):
        return Explanation.CURRENCY
    if not by_hand:
        return Explanation.NOT_BILLED
    if held and difference.amount < 0:
        return Explanation.HELD
    if not planned:
        return Explanation.NOT_PLANNED
    if sum(line.minutes for line in planned) != sum(line.minutes for line in by_hand):
        return Explanation.HOURS
    # Rounding a line moves it by half a smallest unit at most (quickbooks-ruby#547).
    half_units = 2 * abs(difference.amount).scaleb(exponent(difference.currency))
    return Explanation.ROUNDING if half_units <= max(len(planned), len(by_hand)) else Explanation.PRICE


def _apart(rows: Sequence[Compared]) -> str:
    worst = sorted(rows, key=lambda row: -abs(row.difference))
    named = [
        f"{row.contract_id} by {Money(row.difference, row.currency)} ({row.explained_by.value})"
        for row in worst[:_MOST_NAMED]
    ]
    more = f" and {len(rows) - _MOST_NAMED} more" if len(rows) > _MOST_NAMED else ""
    return f"{', '.join(named)}{more}"


def _not_ready(agreed: tuple[ServiceMonth, ...], sentence: str) -> Readiness:
    return Readiness(ready=False, agreed=agreed, sentence=sentence)
