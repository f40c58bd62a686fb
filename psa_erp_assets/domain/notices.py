"""What people are told of, and what a message says about it: counts, never content.

What belongs here: the kinds of events and how many of them become one message. What does not: who is told (settings)
and how (services, adapters). A message has codes, counts, months and codes of legal entities. It has no name, no
amount, no text and no id of an object, so that it can be read by whoever forwards mail.
"""

import enum
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from psa_erp_assets.domain.exception_duties import Priority

_ORDER = tuple(Priority)


class NoticeKind(enum.StrEnum):
    """What has happened."""

    EXCEPTION_OPENED = "exception_opened"
    EXCEPTION_OVERDUE = "exception_overdue"
    UNEXPLAINED_DIFFERENCE = "unexplained_difference"
    PLAN_WAITING = "plan_waiting"
    AUDIT_LOG_BROKEN = "audit_log_broken"


TITLES = {
    NoticeKind.EXCEPTION_OPENED: ("new exception", "new exceptions"),
    NoticeKind.EXCEPTION_OVERDUE: ("overdue exception", "overdue exceptions"),
    NoticeKind.UNEXPLAINED_DIFFERENCE: ("unexplained difference", "unexplained differences"),
    NoticeKind.PLAN_WAITING: ("plan waits for approval", "plans wait for approval"),
    NoticeKind.AUDIT_LOG_BROKEN: ("failed verification of the audit log", "failed verifications of the audit log"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """So many events of one kind that have everything in common but their objects.

    `code` is an exception's, or says what the event is.
    """

    kind: NoticeKind
    code: str
    fault_class: str | None
    severity: Priority
    legal_entity: str | None
    service_month: str | None
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which events somebody is told of; an empty collection narrows nothing."""

    kinds: Collection[NoticeKind]
    classes: Collection[str] = ()
    at_least: Priority = Priority.LOW
    legal_entities: Collection[str] = ()

    def matches(self, notice: Notice) -> bool:
        """Whether they are told of this one. What is of no legal entity concerns all of them."""
        return (
            notice.kind in self.kinds
            and (not self.classes or notice.fault_class is None or notice.fault_class in self.classes)
            and _ORDER.index(notice.severity) <= _ORDER.index(self.at_least)
            and (not self.legal_entities or notice.legal_entity is None or notice.legal_entity in self.legal_entities)
        )


def digest(notices: Iterable[Notice]) -> tuple[Notice, ...]:
    """The events with equal ones added up: the most urgent first, then the most frequent."""
    counts: Counter[Notice] = Counter()
    for notice in notices:
        counts[replace(notice, count=0)] += notice.count
    return tuple(sorted((replace(notice, count=count) for notice, count in counts.items()), key=_rank))


def subject(notices: Iterable[Notice]) -> str:
    """One line about all of it, such as "12 new exceptions, 1 plan waits for approval"."""
    counts: Counter[NoticeKind] = Counter()
    for notice in notices:
        counts[notice.kind] += notice.count
    return ", ".join(f"{counts[kind]:,} {TITLES[kind][counts[kind] != 1]}" for kind in NoticeKind if counts[kind])


def _rank(notice: Notice) -> tuple[int, int, str, str, str, str]:
    place = (notice.legal_entity or "", notice.service_month or "")
    return (_ORDER.index(notice.severity), -notice.count, notice.kind.value, notice.code, *place)
