"""Which record of one system stands for which canonical record, from when to when, where a steward has said so.

What belongs here: kinds of links, their dates, and how one decision changes what held before. Exact keys are no links:
they are part of the records themselves, and a plain link counts only where the exact key says nothing.
"""

import datetime as dt
import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

CANONICAL = "canonical"
"""The "system" of a merge: the source id is itself a canonical id, which another one takes the place of."""

DAY = dt.timedelta(days=1)


class LinkType(enum.StrEnum):
    """What kind of record is meant."""

    EMPLOYEE = "employee"
    PROJECT = "project"
    CONTRACT = "contract"
    CUSTOMER = "customer"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkKind:
    """A join that a steward may decide about.

    `holds` is the exception code of work that waits for it. `one_source`: no two source ids may stand for one canonical
    id on the same day.
    """

    object_type: LinkType
    system: str
    source: str
    canonical: str
    holds: str
    one_source: bool


LINK_KINDS: Mapping[tuple[str, str], LinkKind] = {
    (kind.object_type.value, kind.system): kind
    for kind in (
        LinkKind(
            object_type=LinkType.EMPLOYEE,
            system="clockify",
            source="PSA user",
            canonical="employee",
            holds="unknown_employee",
            one_source=False,
        ),
        LinkKind(
            object_type=LinkType.PROJECT,
            system="clockify",
            source="PSA project",
            canonical="project",
            holds="unknown_project",
            one_source=False,
        ),
        LinkKind(
            object_type=LinkType.CONTRACT,
            system="clockify",
            source="PSA project",
            canonical="contract",
            holds="unknown_project",
            one_source=False,
        ),
        LinkKind(
            object_type=LinkType.CUSTOMER,
            system="tryton",
            source="ERP party",
            canonical="customer",
            holds="customer_not_in_erp",
            one_source=True,
        ),
        LinkKind(
            object_type=LinkType.PROJECT,
            system="tryton",
            source="analytic account",
            canonical="project",
            holds="project_not_in_erp",
            one_source=True,
        ),
    )
}
"""Every join that exact keys can leave open, by object type and system."""

MERGEABLE = (LinkType.CUSTOMER, LinkType.EMPLOYEE, LinkType.PROJECT)
"""What can be merged. Contracts cannot: they are amended in the CRM, where their terms are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A source id stands for a canonical id from a day to a day, both included; None is open.

    `over_exact`: it was split off or merged by a decision that names what the exact key says, and so counts before it.
    `erp_company` is the company that the source record belongs to, for an analytic account.
    """

    object_type: str
    system: str
    source_id: str
    canonical_id: str
    valid_from: dt.date
    valid_to: dt.date | None
    over_exact: bool = False
    erp_company: str | None = None

    def holds_on(self, on: dt.date) -> bool:
        """Whether it holds on this day."""
        return self.valid_from <= on and (self.valid_to is None or on <= self.valid_to)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One stretch of a source id's story in the store: which canonical id it stands for, and how that was found."""

    id: int
    canonical_id: str
    valid_from: dt.date
    valid_to: dt.date | None
    method: str

    @property
    def empty(self) -> bool:
        """Whether it has no day: it was taken back before it ever held."""
        return self.valid_to is not None and self.valid_to < self.valid_from


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSpan:
    """A stretch to be added."""

    canonical_id: str
    valid_from: dt.date
    valid_to: dt.date | None
    method: str


@dataclass(frozen=True, slots=True)
class Change:
    """What one decision does to a source id's story: the last days of what was open, what takes the place of what, and
    what begins.

    A last day that is on record is never changed: a stretch that has one is replaced by what is left of it.
    """

    ended: Mapping[int, dt.date]
    replaced: tuple[int, ...]
    begun: tuple[NewSpan, ...]


def change_of(story: Sequence[Span], new: NewSpan | None, *, first: dt.date, last: dt.date | None) -> Change:
    """How the story changes if from `first` to `last` (None: for good) only `new` holds; None: nothing does.

    What held before ends the day before; what it held after `last` goes on from the day after. The story never has two
    stretches on one day, whatever order decisions are made in. Raises ValueError where `last` is before `first`.
    """
    if last is not None and last < first:
        raise ValueError("the last day is before the first; both are included")
    ended: dict[int, dt.date] = {}
    replaced: list[int] = []
    begun: list[NewSpan] = []
    for span in story:
        if span.empty or not _overlap(span, first, last):
            continue
        if span.valid_to is None:
            ended[span.id] = max(first, span.valid_from) - DAY
        else:
            replaced.append(span.id)
            if span.valid_from < first:
                begun.append(_rest(span, span.valid_from, first - DAY))
        if last is not None and (span.valid_to is None or span.valid_to > last):
            begun.append(_rest(span, last + DAY, span.valid_to))
    if new is not None:
        begun.append(new)
    return Change(ended, tuple(replaced), tuple(sorted(begun, key=lambda span: span.valid_from)))


def _rest(span: Span, first: dt.date, last: dt.date | None) -> NewSpan:
    return NewSpan(canonical_id=span.canonical_id, valid_from=first, valid_to=last, method=span.method)


def _overlap(span: Span, first: dt.date, last: dt.date | None) -> bool:
    return (last is None or span.valid_from <= last) and (span.valid_to is None or first <= span.valid_to)


def overlaps(a: Link, b: Link) -> bool:
    """Whether two links hold on one day."""
    return (a.valid_to is None or b.valid_from <= a.valid_to) and (b.valid_to is None or a.valid_from <= b.valid_to)
