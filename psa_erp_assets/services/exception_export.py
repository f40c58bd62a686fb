"""Exceptions as files: CSV for spreadsheets, JSON for programs."""

import csv
import io
from collections.abc import Iterable
from typing import Any

from psa_erp_assets.services.exception_cases import Case
from psa_erp_assets.services.plain import to_plain
from psa_erp_assets.services.spreadsheets import cell

COLUMNS = (
    "id",
    "code",
    "cause",
    "class",
    "owner",
    "priority",
    "overdue",
    "due_at",
    "object_id",
    "legal_entity",
    "service_month",
    "minutes",
    "amount",
    "currency",
    "assignee",
    "detail",
    "next_step",
    "first_seen_at",
    "last_seen_at",
    "resolved_at",
    "resolution",
)


def to_csv(cases: Iterable[Case]) -> str:
    """One line an item under a header. A text that a spreadsheet would calculate begins with an apostrophe.

    Source: OWASP, "CSV Injection".
    """
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_MINIMAL, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for case in cases:
        writer.writerow(map(cell, _row(case)))
    return out.getvalue()


def to_json(cases: Iterable[Case]) -> list[dict[str, Any]]:
    """The items as JSON bodies."""
    return [to_plain(case) for case in cases]


def _row(case: Case) -> tuple[object, ...]:
    return (
        case.id,
        case.code,
        case.cause,
        case.fault_class,
        case.owner.value,
        case.priority.value,
        "yes" if case.overdue else "no",
        case.due_at.isoformat(),
        case.object_id,
        case.legal_entity,
        case.service_month,
        case.minutes,
        case.amount,
        case.currency,
        case.assignee,
        case.detail,
        case.next_step,
        case.first_seen_at.isoformat(),
        case.last_seen_at.isoformat(),
        case.resolved_at.isoformat() if case.resolved_at is not None else None,
        case.resolution,
    )
