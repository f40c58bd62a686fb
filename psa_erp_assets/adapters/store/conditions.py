"""Conditions that statements share."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Text, any_, func, literal, select, true
from sqlalchemy.dialects.postgresql import ARRAY

_SEPARATOR = "\x1f"


def among(column: ColumnElement[Any], values: Collection[str]) -> ColumnElement[bool]:
    """Whether a text is one of these, as one parameter: an IN list of thousands takes long to write.

    So does an array, whose every element is looked through for what must be quoted; one text that is cut in the
    database does not, as long as its separator is in none of them.
    """
    return column == any_(_array(values))


def among_rows(column: ColumnElement[Any], values: Collection[str]) -> ColumnElement[bool]:
    """The same, as rows, which the database hashes or looks up: an array it may look through anew for each row."""
    return column.in_(select(func.unnest(_array(values))))


def _array(values: Collection[str]) -> ColumnElement[Any]:
    joined = _SEPARATOR.join(values)
    if not values or joined.count(_SEPARATOR) != len(values) - 1:
        return literal([str(value) for value in values], ARRAY(Text))
    return func.string_to_array(literal(joined), _SEPARATOR)


def of_entities(column: ColumnElement[Any], entities: Collection[str] | None) -> ColumnElement[bool]:
    """Whether a row is of one of these legal entities; with None, of any, or of none: what somebody may see."""
    return true() if entities is None else among(column, entities)
