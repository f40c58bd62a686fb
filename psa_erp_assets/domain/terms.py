"""The terms of a contract: what professional-services firms bill, at which price, and when revenue is earned.

Rules are data. A contract has one or more components (a mixed contract has several), each with its kind and the
numbers of that kind; amendments replace terms from a date on. What belongs here: the values and their validation.
What does not: what follows from them (`pricing`, `billing`, `revenue`).
"""

import datetime as dt
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from psa_erp_assets.domain.money import Money


class ContractKind(enum.StrEnum):
    """How a contract turns work into billing. MIXED: each of its components has a kind of its own."""

    TIME_AND_MATERIALS = "time_and_materials"
    CAPPED = "capped"
    FIXED_FEE_MILESTONE = "fixed_fee_milestone"
    FIXED_FEE_SCHEDULE = "fixed_fee_schedule"
    RETAINER = "retainer"
    NON_BILLABLE = "non_billable"
    MIXED = "mixed"


class Overage(enum.StrEnum):
    """What becomes of work beyond a cap or a retainer's hours."""

    BILL = "bill"
    HOLD = "hold"
    WRITE_OFF = "write_off"


class Recognition(enum.StrEnum):
    """When revenue is earned."""

    AS_BILLED = "as_billed"
    STRAIGHT_LINE = "straight_line"
    MILESTONE = "milestone"
    COST_TO_COST = "cost_to_cost"
    HOURS = "hours"


class DayCount(enum.StrEnum):
    """How the days of a term are counted where revenue is earned straight along it.

    CALENDAR_DAYS: each day is one. THIRTY_DAY_MONTHS: each month has thirty days, of which the last day is the
    thirtieth, so that whole months weigh the same and the 16th to the end of January is half a month.
    """

    CALENDAR_DAYS = "calendar_days"
    THIRTY_DAY_MONTHS = "thirty_day_months"


class LineRounding(enum.StrEnum):
    """What is rounded: each line by itself, or the contract's running total, of which a line is the difference."""

    LINE = "line"
    CUMULATIVE = "cumulative"


@dataclass(frozen=True, slots=True, kw_only=True)
class PricingTerms:
    """How an hour is priced.

    `rate_card` names the card that holds where no rate is agreed for the contract; `blended_rate` replaces every
    other rate; `discount` is a fraction off; `increment_minutes` is what an entry is rounded up to; `multipliers` are
    factors by type of work (overtime, travel).
    """

    rate_card: str | None = None
    blended_rate: Money | None = None
    discount: Decimal = Decimal(0)
    increment_minutes: int = 1
    multipliers: Mapping[str, Decimal] = field(default_factory=dict)
    rounding: LineRounding = LineRounding.LINE

    def __post_init__(self) -> None:
        if not 0 <= self.discount < 1:
            raise ValueError(f"discount {self.discount} is no fraction from 0 up to 1")
        if self.increment_minutes < 1:
            raise ValueError("increment_minutes is at least 1")
        if any(factor < 0 for factor in self.multipliers.values()):
            raise ValueError("a multiplier is not negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class Instalment:
    """A part of a fixed fee that is due on a date."""

    due: dt.date
    amount: Money
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RetainerTerms:
    """A monthly fee for a number of hours.

    Hours not used roll over for `rollover_months` months and then expire; the oldest are used first.
    """

    fee: Money
    included_minutes: int
    rollover_months: int = 0
    overage: Overage = Overage.BILL

    def __post_init__(self) -> None:
        if self.included_minutes < 0 or self.rollover_months < 0:
            raise ValueError("a retainer's minutes and months of roll-over are not negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What the whole work is expected to take, for percent complete. The cost is in the entity's currency."""

    total_cost: Decimal | None = None
    total_minutes: int | None = None
    excluded_cost: Decimal = Decimal(0)
    """Of the cost so far, what measures no progress: wasted cost and uninstalled material (ASC 606-10-55-21)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecognitionTerms:
    """When revenue is earned. `percent_digits` rounds the percentage complete (3: to 0.1 %), None leaves it exact.

    `day_count` says what a month of the term weighs where revenue is earned straight line.
    """

    method: Recognition = Recognition.AS_BILLED
    estimate: Estimate = Estimate()
    percent_digits: int | None = None
    day_count: DayCount = DayCount.CALENDAR_DAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpenseTerms:
    """How expenses are passed on: a fraction on top, and the most that is billed a receipt, by category."""

    billable: bool = True
    mark_up: Decimal = Decimal(0)
    limits: Mapping[str, Money] = field(default_factory=dict)
    tax_profile: str | None = None
    """The tax treatment of passed-on expenses where it is not that of the services."""

    def __post_init__(self) -> None:
        if self.mark_up < -1:
            raise ValueError(f"a mark-up of {self.mark_up} would bill less than nothing")
        if any(limit.amount < 0 for limit in self.limits.values()):
            raise ValueError("a limit is not negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A part of a contract with a kind of its own.

    `projects` are the codes of those that it covers, or empty for all that no other component names. `fee` is the
    price of a fixed fee; `cap` is the most that time is billed to.
    """

    code: str
    kind: ContractKind
    projects: tuple[str, ...] = ()
    fee: Money | None = None
    cap: Money | None = None
    cap_overage: Overage = Overage.HOLD
    instalments: tuple[Instalment, ...] = ()
    retainer: RetainerTerms | None = None
    recognition: RecognitionTerms = RecognitionTerms()

    def __post_init__(self) -> None:
        if self.kind is ContractKind.MIXED:
            raise ValueError(f"component {self.code} cannot be mixed itself")
        if self.kind is ContractKind.CAPPED and self.cap is None:
            raise ValueError(f"component {self.code} is capped and names no cap")
        if self.kind is ContractKind.CAPPED and self.cap_overage is Overage.BILL:
            raise ValueError(f"component {self.code}: what a cap cuts off cannot be billed")
        if self.kind is ContractKind.RETAINER and self.retainer is None:
            raise ValueError(f"component {self.code} is a retainer and has no fee and hours")
        if self.kind is ContractKind.FIXED_FEE_SCHEDULE and not self.instalments:
            raise ValueError(f"component {self.code} is a fixed fee by schedule and has no instalments")
        if self.kind in (ContractKind.FIXED_FEE_MILESTONE, ContractKind.FIXED_FEE_SCHEDULE):
            if self.fee is None:
                raise ValueError(f"component {self.code} is a fixed fee and has no fee")
            due = sum((i.amount.amount for i in self.instalments), Decimal(0))
            if self.instalments and due != self.fee.amount:
                raise ValueError(f"the instalments of {self.code} come to {due}, its fee is {self.fee.amount}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Everything that a contract says about money, as of one date."""

    components: tuple[Component, ...]
    pricing: PricingTerms = PricingTerms()
    expenses: ExpenseTerms = ExpenseTerms()

    def __post_init__(self) -> None:
        codes = [c.code for c in self.components]
        if not codes or len(set(codes)) != len(codes):
            raise ValueError("a contract has components, each with a code of its own")
        claimed = [p for c in self.components for p in c.projects]
        if len(set(claimed)) != len(claimed):
            raise ValueError("a project is in one component of a contract only")
        if sum(not c.projects for c in self.components) > 1:
            raise ValueError("only one component of a contract takes the projects that no other names")

    def component_for(self, project: str) -> Component | None:
        """The component that covers a project, by the project's code."""
        rest = None
        for component in self.components:
            if project in component.projects:
                return component
            if not component.projects:
                rest = component
        return rest


MAIN = "main"


def plain_terms(kind: ContractKind) -> Terms:
    """The terms of a contract that needs none beyond its kind: time and materials, or not billable."""
    return Terms(components=(Component(code=MAIN, kind=kind),))
