"""Reading single fields of a vendor's record. Each function raises MalformedRecordError with the field's name."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

from psa_erp_assets.domain.malformed import MalformedRecordError
from psa_erp_assets.domain.money import exponent

Record = Mapping[str, Any]


def text(record: Record, name: str) -> str:
    """A text that says something, trimmed."""
    value = optional_text(record, name)
    if value is None:
        raise MalformedRecordError(f"{name} is missing")
    return value


def optional_text(record: Record, name: str) -> str | None:
    """A trimmed text; None where it is absent, null or blank, which vendors use for each other."""
    value = record.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise MalformedRecordError(f"{name} is not a text")
    # PostgreSQL's text and jsonb can hold neither; refused here, it is one record's trouble and not a batch's.
    if "\0" in value:
        raise MalformedRecordError(f"{name} contains a NUL character")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise MalformedRecordError(f"{name} contains half of a character")
    return value.strip() or None


def flag(record: Record, name: str, *, default: bool | None = None) -> bool:
    """A boolean; `default`, if one is given, where it is absent or null."""
    value = record.get(name)
    if value is None:
        value = default
    if not isinstance(value, bool):
        raise MalformedRecordError(f"{name} is neither true nor false")
    return value


def part(record: Record, name: str) -> Record:
    """A nested object."""
    value = record.get(name)
    if not isinstance(value, Mapping):
        raise MalformedRecordError(f"{name} is missing or not an object")
    return value


def parts(record: Record, name: str) -> list[Record]:
    """A list of nested objects; empty where it is absent or null."""
    value = record.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        raise MalformedRecordError(f"{name} is not a list of objects")
    return value


def instant(record: Record, name: str) -> dt.datetime:
    """A moment with its offset, in UTC."""
    value = text(record, name)
    try:
        moment = dt.datetime.fromisoformat(value)
        in_utc = moment.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        raise MalformedRecordError(f"{name} {value[:40]!r} is no moment in time") from None
    if moment.tzinfo is None:
        raise MalformedRecordError(f"{name} has no offset from UTC")
    return in_utc


def date(record: Record, name: str) -> dt.date:
    """A calendar date, written 2026-09-01."""
    value = text(record, name)
    try:
        return dt.date.fromisoformat(value)
    except ValueError:
        raise MalformedRecordError(f"{name} {value[:40]!r} is no date") from None


def currency(record: Record, name: str) -> str:
    """An ISO 4217 code."""
    value = text(record, name)
    try:
        exponent(value)
    except ValueError:
        raise MalformedRecordError(f"{name} {value[:40]!r} is no currency code") from None
    return value
