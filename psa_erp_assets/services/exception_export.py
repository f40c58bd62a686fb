"""Exceptions as files: CSV for spreadsheets, JSON for programs."""

import csv
import io
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from psa_erp_assets.services.exception_cases import Case
from psa_erp_assets.services.plain import to_plain

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
# What makes a spreadsheet take a cell for a formula, or for the end of a cell before one.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def to_csv(cases: Iterable[Case]) -> str:
    """One line an item under a header. A text that a spreadsheet would calculate begins with an apostrophe.

    Source: OWASP, "CSV Injection".
    """
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_MINIMAL, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for case in cases:
        writer.writerow(map(_cell, _row(case)))
    return out.getvalue()


def to_json(cases: Iterable[Case]) -> list[dict[str, Any]]:
    """The items as JSON bodies."""
    return [to_plain(case) for case in cases]


def _row(case: Case) -> tuple[object, ...]:
    item = case.item
    return (
        item.id,
        item.code,
        item.cause,
        item.fault_class,
        case.owner.value,
        case.priority.value,
        "yes" if case.overdue else "no",
        case.due_at.isoformat(),
        item.object_id,
        item.legal_entity,
        item.service_month,
        item.minutes,
        case.amount,
        case.currency,
        item.assignee,
        item.detail,
        item.next_step,
        item.first_seen_at.isoformat(),
        item.last_seen_at.isoformat(),
        item.resolved_at.isoformat() if item.resolved_at is not None else None,
        item.resolution,
    )


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, int | Decimal):
        # A negative number is one, and stays one.
        return str(value)
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA) or text.lstrip().startswith(_FORMULA) else text
